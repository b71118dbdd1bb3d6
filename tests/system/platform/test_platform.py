# SPDX-License-Identifier: MIT
"""What ovltun believes about the kernel it runs on.

A probe that finds something missing is skipped with what is missing: the daemon then
does without it. A probe that fails shows a belief that is false on this kernel.
"""
import pathlib
import re
import subprocess
import time

import pytest

from lab import wait_for
from lab.net import sh

HERE = pathlib.Path(__file__).resolve().parent
PROBES = ["tap-offloads", "tap-uso", "udp-segment", "udp-gro", "pmtudisc-omit", "uring", "recvmsg-multishot",
          "tap-read-multishot"]
ROUTER = "02:00:5e:10:00:01"
LAST = "02:00:5e:30:00:01"  # ends a count


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("platform") / "probes"
    sh(["cc", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-o", path, HERE / "probes.c", "-luring"])
    return path


@pytest.mark.parametrize("probe", PROBES)
def test_probe(lab, program, probe):
    done = subprocess.run(lab[0].argv([program, probe]), stdout=subprocess.PIPE, text=True, timeout=20, check=False)
    if done.returncode == 77:
        pytest.skip(f"this kernel lacks {done.stdout.strip()}")
    assert done.returncode == 0, done.stdout


def test_every_probe_is_run(program):
    listed = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    assert listed == PROBES


# Opens tap0 as a port of ovl0 and prints the destination of every frame that comes out of it.
TAP = """
import fcntl, os, struct, subprocess
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"tap0", 0x1002))
for command in ("ip link set tap0 address 02:00:5e:20:00:01", "ip link set tap0 master ovl0 up"):
    subprocess.run(command.split(), check=True)
print("up", flush=True)
while True:
    frame = os.read(fd, 65536)
    if frame[12:14] == b"\\x08\\x00":
        print(":".join("%02x" % b for b in frame[:6]), flush=True)
"""


def frames_at(host, sender, destination):
    """How many of three IPv4 packets to that MAC come out of the TAP."""
    tap = host.popen(["/usr/bin/python3", "-c", TAP])
    try:
        assert tap.stdout.readline() == "up\n"
        # No flooding: what comes, comes by the static entries.
        host.run("bridge link set dev tap0 flood off")
        for mac in (ROUTER, LAST):
            host.run(f"bridge fdb add {mac} dev tap0 master static")
        for address, mac in (("172.20.9.9", destination), ("172.20.9.10", LAST)):
            sender.run(f"ip neigh replace {address} lladdr {mac} dev eth0")
        sender.ping("172.20.9.9", count=3, timeout=1)
        sender.ping("172.20.9.10", timeout=1)
        count = 0
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            line = tap.stdout.readline().strip()
            if line == destination:
                count += 1
            elif line == LAST:
                return count
        return count
    finally:
        host.stop(tap)


@pytest.fixture
def bridged(lab):
    host = lab[0]
    host.bridge("ovl0", address="172.20.101.1/16")
    return host, host.container("c1", address="172.20.101.2/16", gateway="172.20.101.1")


def test_a_static_fdb_entry_brings_the_router_mac_to_the_tap(bridged):
    assert frames_at(*bridged, ROUTER) == 3


def test_a_frame_to_the_port_s_own_address_never_reaches_it(bridged):
    """Why the router MAC is not the TAP's address (docs/architecture.md)."""
    assert frames_at(*bridged, "02:00:5e:20:00:01") == 0


def test_an_arp_probe_from_nobody_is_answered(bridged):
    """The daemon asks for containers with sender address 0.0.0.0."""
    host, container = bridged
    script = ("from scapy.all import *\n"
              f"a = srp1(Ether(dst='ff:ff:ff:ff:ff:ff', src='02:00:5e:40:00:01')/ARP(op=1, hwsrc='02:00:5e:40:00:01',"
              f" psrc='0.0.0.0', pdst='{container.address}'), iface='ovl0', timeout=3, verbose=0)\n"
              "print(a.hwsrc)")
    for ignore in (0, 1, 2):
        container.sysctl("net.ipv4.conf.eth0.arp_ignore", ignore)
        assert container.mac in host.run(["/usr/bin/python3", "-c", script]), f"arp_ignore {ignore}"


def test_a_bridge_s_mtu_is_the_least_of_its_ports(bridged):
    host, container = bridged
    host.run(f"ip link set {container.port} mtu 1400")
    wait_for(lambda: re.search(r"mtu (\d+)", host.run("ip link show ovl0")).group(1) == "1400", 2)
