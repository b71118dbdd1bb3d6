# SPDX-License-Identifier: MIT
"""A stock peer: Debian's wireguard-go and wg(8) in a host's namespace.

It has an interface wg0 with an address of its own instead of a bridge; what it
sends and takes are plain IP packets.
"""
import shutil
import subprocess

from lab.net import new_folder, wait_for


class WireguardGo:
    def __init__(self, host, text, addresses, mtu=1420, binary="wireguard-go"):
        self.host = host
        self.folder = new_folder()
        self.config = self.folder / "wg0.conf"
        self.config.write_text(text)
        self.config.chmod(0o600)
        host.daemons.append(self)
        # A /var/run of its own: its socket has a fixed place and name.
        self.process = host.popen(
            ["unshare", "-m", "sh", "-c",
             f"mount --bind {self.folder} /var/run && mkdir -p /var/run/wireguard && exec {binary} -f wg0"],
            stdout=open(self.folder / "log", "w", encoding="utf-8"), stderr=subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LOG_LEVEL": "verbose", "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"})
        wait_for(lambda: (self.folder / "wireguard" / "wg0.sock").exists(), 10, "wireguard-go")
        for address in addresses:
            host.run(f"ip addr add {address} dev wg0")
        host.run(f"ip link set wg0 mtu {mtu} up")
        self.wg("setconf", "wg0", self.config)

    def wg(self, *argv, check=True):
        return self.host.run(["unshare", "-m", "sh", "-c",
                              f'mount --bind {self.folder} /var/run && exec wg "$@"', "wg", *argv], check=check)

    @property
    def log(self):
        return (self.folder / "log").read_text()

    def describe(self):
        return self.log[-4000:]

    def stop(self, sig=15):
        self.host.stop(self.process, sig)

    def close(self):
        self.stop()
        if self in self.host.daemons:
            self.host.daemons.remove(self)
        shutil.rmtree(self.folder, ignore_errors=True)
