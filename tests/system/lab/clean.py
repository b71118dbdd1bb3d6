# SPDX-License-Identifier: MIT
"""Removes the namespaces of lab runs whose process is gone."""
import os
import re

from lab.net import PREFIX, sh


def main():
    for line in sh("ip netns list").splitlines():
        name = line.split()[0]
        match = re.match(rf"{PREFIX}(\d+)x", name)
        if not match or os.path.exists(f"/proc/{match.group(1)}"):
            continue
        for pid in sh(f"ip netns pids {name}").split():
            sh(f"kill -9 {pid}", check=False)
        sh(f"ip netns del {name}", check=False)
        print(f"removed {name}")


if __name__ == "__main__":
    main()
