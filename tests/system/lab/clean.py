# SPDX-License-Identifier: MIT
"""Removes what lab runs left whose process is gone: processes, namespaces, mounts, cgroups, folders.

    cd tests/system && python3 -m lab.clean
"""
import os
import pathlib
import re
import shutil
import signal
import tempfile

from lab.net import PREFIX, sh, wait_for
from lab.real_systemd import cgroup_roots, remove_cgroup


def dead(name):
    """Whether @name is that of a run whose process is gone."""
    match = re.match(rf"{PREFIX}-?(\d+)[x-]", name)
    if not match:
        return False
    try:
        # A zombie is dead, too, when nobody waits for it.
        return " Z " in pathlib.Path(f"/proc/{match.group(1)}/stat").read_text()
    except FileNotFoundError:
        return True


def family(pids):
    """The processes and all that descend from them: a container has a namespace of its own."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, left = set(), list(pids)
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, [])
    return found


def remove_namespace(name):
    pids = family(int(pid) for pid in sh(f"ip netns pids {name}").split())
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_for(lambda: not sh(f"ip netns pids {name}").split(), 10, f"the processes of {name} to end")
    sh(f"ip netns del {name}", check=False)
    print(f"removed {name}")


def remove_folder(folder):
    for line in reversed(pathlib.Path("/proc/self/mounts").read_text().splitlines()):
        if line.split()[1].startswith(f"{folder}/"):
            sh(["umount", "-l", line.split()[1]], check=False)
    shutil.rmtree(folder, ignore_errors=True)
    print(f"removed {folder}")


def main():
    for line in sh("ip netns list").splitlines():
        if dead(line.split()[0]):
            remove_namespace(line.split()[0])
    for cgroup in (place for root in cgroup_roots() for place in root.glob(f"{PREFIX}*")):
        if dead(cgroup.name):
            remove_cgroup(cgroup)
            print(f"removed {cgroup}")
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{PREFIX}-*"):
        if dead(folder.name):
            remove_folder(folder)


if __name__ == "__main__":
    main()
