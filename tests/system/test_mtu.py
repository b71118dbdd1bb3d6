# SPDX-License-Identifier: MIT
"""Docker's default of 1500 works untouched: what is too long is cut, answered or fragmented."""
import re

import pytest

from conftest import Overlay
from lab import wait_for
from lab.transfer import transfer


def too_big(container, address, size, *options):
    out = container.run(["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", str(size), *options, address],
                        check=False)
    match = re.search(r"[Ff]rag needed and DF set \(mtu = (\d+)\)|Packet too big: mtu=(\d+)|[Mm]essage too long, mtu[=:] ?(\d+)", out)
    return int(next(g for g in match.groups() if g)) if match else None


def test_do_not_fragment_gets_its_answer(overlay):
    a, b = overlay.containers
    mtu = overlay.daemons[0].peer("barge2")["tunnel_mtu"]
    assert mtu == 1440
    assert too_big(a, b.address, 1472) == mtu
    assert overlay.daemons[0].counters()["out-too-big"] >= 1
    # Exactly as large as it may be goes through.
    assert a.ping(b.address, size=mtu - 28, options=("-M", "do"))
    assert not a.ping(b.address, size=mtu - 27, options=("-M", "do"), timeout=1)


def test_ipv6_packet_too_big(overlay):
    a, b = overlay.containers
    mtu = overlay.daemons[0].peer("barge2")["tunnel_mtu"]
    assert too_big(a, b.address6, 1452) == mtu
    assert a.ping(b.address6, size=mtu - 48)


def test_long_pings_come_through_in_fragments(overlay):
    a, b = overlay.containers
    for size in (1472, 1500, 3000, 8000):
        assert a.ping(b.address, size=size, count=3, options=("-M", "dont")), size
    assert overlay.daemons[0].counters()["fragmented"] > 0


def test_the_mss_in_a_syn_is_clamped(overlay):
    a, b = overlay.containers
    dump = b.popen(["tcpdump", "-i", "eth0", "-n", "-l", "--immediate-mode", "-c", "1", "tcp[tcpflags] & tcp-syn != 0"])
    b.popen("busybox nc -l -p 99")
    wait_for(lambda: ":0063" in b.run("cat /proc/net/tcp /proc/net/tcp6"), 5)
    wait_for(lambda: a.run(["busybox", "nc", "-w", "1", b.address, "99"], check=False, input="x") is not None
             and dump.poll() is not None, 10)
    assert int(re.search(r"mss (\d+)", dump.stdout.read()).group(1)) == 1440 - 40
    assert overlay.daemons[0].counters()["mss-clamped"] >= 1


@pytest.mark.parametrize("mtu", [None, 9000], ids=["bridge1500", "bridge9000"])
def test_no_black_hole(lab, io, mtu):
    """Bulk TCP both ways over both families, whatever the bridge's MTU."""
    overlay = Overlay(lab, io, mtu=mtu)
    a, b = overlay.containers
    if mtu:
        wait_for(lambda: f"mtu {mtu}" in lab[0].run(["ip", "link", "show", overlay.daemons[0].show()["networks"][0]["tap"]]), 10,
                 "the TAP to follow the bridge's ports")
    for sender, receiver in ((a, b), (b, a)):
        for address in (receiver.address, receiver.address6):
            sent, received = transfer(sender, receiver, address, 50)
            assert sent == received


def test_the_tap_never_pins_the_bridge(overlay):
    """A port of MTU 9000 lifts a plain bridge again once the TAP has followed it."""
    host = overlay.lab[0]
    tap = overlay.daemons[0].show()["networks"][0]["tap"]
    for container in host.containers:
        host.run(f"ip link set {container.port} mtu 9000")
    wait_for(lambda: "mtu 9000" in host.run(f"ip link show {tap}"), 10, "the TAP to follow")
    wait_for(lambda: "mtu 9000" in host.run("ip link show ovl0"), 10, "the bridge to be free")


def test_a_spoofed_fragmentation_needed_sways_nothing(overlay):
    """One forged ICMP (MTU 600) on the underlay must not shrink or stop what we send."""
    a, b = overlay.containers
    host, other = overlay.lab
    assert a.ping(b.address)
    script = ("from scapy.all import *\n"
              f"inner = IP(src='{host.underlay}', dst='{other.underlay}')/UDP(sport=12345, dport=12345)/Raw(b'x'*64)\n"
              f"send(IP(src='{other.underlay}', dst='{host.underlay}')/ICMP(type=3, code=4, nexthopmtu=600)/bytes(inner), verbose=0)\n")
    other.run(["/usr/bin/python3", "-c", script])
    dump = host.popen(["tcpdump", "-i", "eth0", "-n", "-l", "--immediate-mode", "-c", "20", "udp and src", host.underlay])
    assert a.ping(b.address, count=30, size=1400)
    wait_for(lambda: dump.poll() is not None, 10)
    lengths = [int(n) for n in re.findall(r"length (\d+)", dump.stdout.read())]
    assert max(lengths) > 1400
    counters = overlay.daemons[0].counters()
    assert counters["out-send"] == 0 and counters["gso-fallback"] == 0
