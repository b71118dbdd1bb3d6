# SPDX-License-Identifier: MIT
"""Two hosts, a container on each, and a way between the containers."""
import os
import pathlib
import re

from demo import peers_conf
from lab import Daemon, Lab, LabError, keypair, wait_for
from lab.net import sh

# What the underlay's devices may leave to whoever comes after them. Their GRO is off already, as veth's is.
OFFLOADS = ("tso", "gso", "tx-udp-segmentation", "tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation")
PORT = 12345
VNI = 7


class Way:
    """A subclass builds the way in join(); the first container's host is the sending one."""

    key = ""
    name = ""
    about = ""
    cipher = "none"
    layer = 3
    per_byte = False  # tell how long a byte of TCP takes, too
    prefixes = (24, 24)
    mtus = (1500, 1500)
    by_name = False  # stands only when it is asked for

    def __init__(self, stack, options):
        self.options = options
        self.check()
        self.lab = stack.enter_context(Lab(2))
        self.containers = []
        self.daemons = []
        for host in self.lab:
            third, prefix, mtu = 101 + host.index, self.prefixes[host.index], self.mtus[host.index]
            host.bridge("ovl0", address=f"172.20.{third}.1/{prefix}", mtu=mtu)
            self.containers.append(host.container(f"c{host.index}", address=f"172.20.{third}.2/{prefix}",
                                                  gateway=f"172.20.{third}.1", mtu=mtu))
        self.join()
        self.a, self.b = self.containers
        wait_for(lambda: self.a.ping(self.b.address), 15, f"{self.name} to carry a ping")

    def check(self):
        """LabError when this machine lacks what the way needs."""

    def join(self):
        raise NotImplementedError

    def pairs(self):
        """Each host with its other."""
        return ((self.lab[0], self.lab[1]), (self.lab[1], self.lab[0]))

    def forward(self, device):
        """The hosts route to each other's containers."""
        for host, other in self.pairs():
            host.sysctl("net.ipv4.ip_forward", 1)
            host.run(f"ip route add 172.20.{101 + other.index}.0/24 {device(other)}")

    def offloads(self, on):
        """Off: every packet crosses the underlay by itself, whatever was handed to its device."""
        words = [word for name in OFFLOADS for word in (name, "on" if on else "off")]
        for host in self.lab:
            host.run(["ethtool", "-K", "eth0", *words], check=False)
            self.lab.net.run(["ethtool", "-K", host.uplink, *words], check=False)
            told = host.run("ethtool -k eth0")
            if not on and re.search(r"^\s*(tx-udp|generic)-(segmentation|segmentation-offload|receive-offload): on", told, re.M):
                raise LabError("the underlay's segmentation and GRO cannot be switched off")

    def drops(self):
        """What the two daemons counted, by name; {} where nothing counts."""
        return {}

    def said(self):
        """The first line of the sending host's daemon: which cipher, which backend."""
        return ""

    def processes(self):
        """Of each daemon: its host, program, and the seconds it used in user space and in the kernel."""
        tick, found = os.sysconf("SC_CLK_TCK"), []
        for daemon in self.daemons:
            # The second field is the name in brackets; user and system time are the 14th and 15th.
            head, _, rest = self.read(daemon, "stat").rpartition(")")
            fields = rest.split()
            found.append({"host": daemon.host.name, "program": head.partition("(")[2],
                          "user": int(fields[11]) / tick, "system": int(fields[12]) / tick})
        return found

    def resident(self):
        """Megabytes of each daemon."""
        return [int(re.search(r"^VmRSS:\s*(\d+) kB", self.read(daemon, "status"), re.M).group(1)) / 1e3
                for daemon in self.daemons]

    @staticmethod
    def read(daemon, name):
        return pathlib.Path(f"/proc/{daemon.process.pid}/{name}").read_text(encoding="utf-8")


class Veth(Way):
    key = "veth"
    name = "veth"
    about = "no tunnel: routes over the underlay"

    def join(self):
        self.forward(lambda other: f"via {other.underlay}")


class Vxlan(Way):
    key = "vxlan"
    name = "VXLAN"
    about = "the kernel's, plaintext, bridge to bridge"
    layer = 2
    prefixes = (16, 16)
    mtus = (1450, 1450)

    def join(self):
        for host, other in self.pairs():
            host.run(f"ip link add vx0 type vxlan id 42 local {host.underlay} remote {other.underlay} "
                     "dstport 4789 dev eth0")
            host.run("ip link set vx0 master ovl0 up")


class Ovltund(Way):
    cipher = "ChaCha20-Poly1305"
    prefixes = (16, 16)
    io = "auto"
    build = None

    def join(self):
        keys = [keypair() for _ in self.lab]
        self.daemons = [Daemon(host, self.config(keys, host), io=self.io, build=self.build) for host in self.lab]
        for daemon in self.daemons:
            daemon.attached()
        tunnel = self.daemons[0].peer(self.lab[1].name)["tunnel_mtu"]
        self.about = f"--io={self.io}, {self.about}; the tunnel's MTU {tunnel}, MSS clamped to it"

    def config(self, keys, host):
        raise NotImplementedError

    def drops(self):
        total = {}
        for daemon in self.daemons:
            if isinstance(daemon, Daemon):
                for name, value in daemon.counters().items():
                    total[name] = total.get(name, 0) + value
        return total

    def said(self):
        return self.daemons[0].log.partition("\n")[0]


class Routed(Ovltund):
    about = "routed"
    interface = ""  # more of [Interface]

    def config(self, keys, host):
        return peers_conf(self.lab.hosts, keys, host.index).replace("[Interface]\n", f"[Interface]\n{self.interface}\n")


class Bridged(Ovltund):
    about = "bridged"
    layer = 2

    def config(self, keys, host):
        other = self.lab[1 - host.index]
        return (f"[Interface]\nPrivateKey = {keys[host.index][0]}\nListenPort = {PORT}\n"
                f"[Network]\nBridge = ovl0\nMode = bridged\nVNI = {VNI}\n"
                f"[Peer]\nName = {other.name}\nPublicKey = {keys[other.index][1]}\n"
                f"Endpoint = {other.underlay}:{PORT}\nVNIs = {VNI}\n")


class RoutedUring(Routed):
    key = "routed-uring"
    name = "ovltund routed, uring"
    io = "uring"


class RoutedPoll(Routed):
    key = "routed-poll"
    name = "ovltund routed, poll"
    io = "poll"


class RoutedTwo(RoutedUring):
    """Against routed-uring: what several workers cost where there is one peer, and gain where the kernel spreads its flows."""

    key = "routed-2w"
    name = "ovltund routed, 2 workers"
    about = "routed, Workers = 2"
    interface = "Workers = 2"
    by_name = True


class RoutedFour(RoutedUring):
    key = "routed-4w"
    name = "ovltund routed, 4 workers"
    about = "routed, Workers = 4"
    interface = "Workers = 4"
    by_name = True


class RoutedNormal(RoutedUring):
    """Against routed-uring: what realtime priority and pauses do."""

    key = "routed-normal"
    name = "ovltund routed, normal priority"
    about = "routed, Realtime = no"
    interface = "Realtime = no"
    by_name = True


class RoutedPolling(RoutedUring):
    """With two processors and two daemons that never sleep, containers only get what the scheduler takes from them."""

    key = "routed-polling"
    name = "ovltund routed, busy polling"
    about = "routed, BusyPoll = 20000"
    interface = "BusyPoll = 20000"
    by_name = True


class RoutedAvx2(RoutedUring):
    key = "routed-avx2"
    name = "ovltund routed, AVX2"
    about = "routed, OVLTUN_AEAD=avx2"
    by_name = True

    def join(self):
        # Daemons inherit it.
        before = os.environ.get("OVLTUN_AEAD")
        os.environ["OVLTUN_AEAD"] = "avx2"
        try:
            super().join()
        finally:
            del os.environ["OVLTUN_AEAD"]
            if before is not None:
                os.environ["OVLTUN_AEAD"] = before


class RoutedNoCrypto(Routed):
    """What the rest costs: a build of its own, whose AEAD is a copy."""

    key = "routed-nocrypto"
    name = "ovltund routed, no AEAD"
    about = "routed, WITHOUT ENCRYPTION: only to see what is spent outside the AEAD"
    cipher = "none"
    per_byte = True

    def check(self):
        self.build = self.options.no_aead_build
        program = self.build / "ctl" / "ovltund"
        if not program.exists() or "WITHOUT ENCRYPTION" not in sh([program, "--version"]):
            raise LabError(f"{self.build} is no build with bench_no_aead; meson setup -Dbench_no_aead=true {self.build} && "
                           f"ninja -C {self.build} makes one")


class BridgedUring(Bridged):
    key = "bridged-uring"
    name = "ovltund bridged, uring"
    io = "uring"


class BridgedPoll(Bridged):
    key = "bridged-poll"
    name = "ovltund bridged, poll"
    io = "poll"


WAYS = (Veth, Vxlan, RoutedUring, RoutedPoll, RoutedAvx2, RoutedNormal, RoutedPolling, RoutedTwo, RoutedFour, RoutedNoCrypto,
        BridgedUring, BridgedPoll)
