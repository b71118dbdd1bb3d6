# SPDX-License-Identifier: MIT
"""One Ethernet segment over several hosts, and several of them beside each other."""
import json
import re
import shutil
import subprocess
import time

import pytest

from lab import Lab, wait_for
from lab.client import Client, announce, station
from lab.segments import PORT, Segments
from lab.transfer import transfer
from test_hostile import MARK, Sniffer, mac_bytes, send_frames

BROADCAST = "ff:ff:ff:ff:ff:ff"
ROUTED = "[Network]\nBridge = ovl0\nRange = 172.20.{0}.0/24\n"


def frame(source, destination, ethertype, payload):
    return mac_bytes(destination) + mac_bytes(source) + ethertype.to_bytes(2, "big") + payload


def stations(daemon, network):
    return json.loads(daemon.ctl("fdb", "list", network, "--json"))[0]["stations"]


def known(daemon, network, station):
    """The entry of a MAC or an address in the forwarding table, or None."""
    return next((e for e in stations(daemon, network) if e["station"] == station), None)


# Prints one line for each datagram to a group or broadcast address that it gets on port 7000.
LISTEN = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 7000))
if len(sys.argv) > 1:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(sys.argv[1]) + socket.inet_aton(sys.argv[2]))
print("up", flush=True)
while True:
    print(s.recvfrom(2048)[1][0], flush=True)
"""
SAY = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[2]))
s.sendto(b"hello", (sys.argv[1], 7000))
"""


class Listener:
    def __init__(self, container, *group):
        self.container = container
        argv = ["/usr/bin/python3", "-c", LISTEN, *group] + ([container.address] if group else [])
        self.process = container.popen(argv)
        assert self.process.stdout.readline() == "up\n"

    def heard(self):
        self.container.stop(self.process)
        return self.process.stdout.read().split()


def say(container, destination):
    container.run(["/usr/bin/python3", "-c", SAY, destination, container.address])


@pytest.mark.workers
def test_two_segments_and_a_routed_network_at_once(lab3, io):
    """Three hosts, VNIs 7 and 42 with the same addresses inside, and a routed network beside them."""
    for host in lab3:
        host.bridge("ovl0", address=f"172.20.{101 + host.index}.1/16")
    extra = {h.index: ROUTED.format(101 + h.index) for h in lab3}

    class Mixed(Segments):
        def peer(self, other):
            return super().peer(other) + f"AllowedIPs = 172.20.{101 + other.index}.0/24\n"

        def address(self, host, vni, number):
            return f"10.99.{host.index + 1}.{number}"

    segments = Mixed(lab3, io, vnis=(7, 42), extra=extra)
    routed = [h.container(f"r{h.index}", address=f"172.20.{101 + h.index}.2/16",
                          gateway=f"172.20.{101 + h.index}.1") for h in lab3]
    for daemon in segments.daemons:
        daemon.attached(2)
    for group in (*segments.containers.values(), routed):
        for a in group:
            for b in group:
                if a is not b:
                    assert a.ping(b.address, count=2), f"{a.name} to {b.name}"
                    assert not b.address6 or a.ping(b.address6, count=2), f"{a.name} to {b.name}, IPv6"
    # The same address in both segments is two stations.
    seven, other = segments.containers[7][1], segments.containers[42][1]
    assert seven.address == other.address
    line = segments.containers[7][0].run(f"ip neigh show {seven.address}")
    assert seven.mac in line and other.mac not in line


@pytest.mark.parametrize("way", ["broadcast", "multicast"])
def test_broadcast_and_multicast_reach_every_host_of_the_segment_once(lab3, io, way):
    segments = Segments(lab3, io, vnis=(7, 42))
    group = ("239.1.2.3",) if way == "multicast" else ()
    listeners = [Listener(c, *group) for c in segments.containers[7][1:]]
    strangers = [Listener(c, *group) for c in segments.containers[42]]
    sender = segments.containers[7][0]
    assert sender.ping(segments.containers[7][1].address) and sender.ping(segments.containers[7][2].address)
    say(sender, group[0] if group else "10.7.255.255")
    assert sender.ping(segments.containers[7][2].address)
    time.sleep(0.2)
    for listener in listeners:
        assert listener.heard() == [sender.address]
    for listener in strangers:
        assert listener.heard() == []


def test_a_protocol_that_is_not_ip(lab, io):
    segments = Segments(lab, io)
    a, b = segments.containers[7]
    assert a.ping(b.address)
    with Sniffer(b) as sniffer:
        send_frames(a, [frame(a.mac, b.mac, 0x88b5, MARK + bytes(n)) for n in (1, 46, 1300)])
        send_frames(a, [frame(a.mac, BROADCAST, 0x88b5, MARK)])
        time.sleep(0.3)
    assert len(sniffer.frames) == 4
    assert {len(f) // 2 for f in sniffer.frames} >= {14 + len(MARK) + n for n in (46, 1300)}


def test_jumbo_frames_over_an_ordinary_underlay(lab, io):
    """Bridges of MTU 9000 over 1500: TCP is cut, fragments are made, DF is answered, the rest goes whole."""
    segments = Segments(lab, io, mtu=9000)
    a, b = segments.containers[7]
    said = a.run(f"ping -n -c 1 -W 2 -M do -s 8000 {b.address}", check=False)
    mtu = int(re.search(r"mtu ?= ?(\d+)", said).group(1))
    assert 1300 < mtu < 1420
    assert a.ping(b.address, size=8000, options=("-M", "dont"))
    # IPv6 is not cut on its way: the first is answered by "too big", on the way back as well.
    wait_for(lambda: b.ping(a.address6, size=8000, timeout=1), 5, "a ping of 8000 bytes over IPv6")
    # What may neither be cut nor answered.
    with Sniffer(b) as sniffer:
        send_frames(a, [frame(a.mac, b.mac, 0x88b5, MARK + bytes(8000))])
        time.sleep(0.3)
    assert len(sniffer.frames) == 1 and len(sniffer.frames[0]) // 2 == 14 + len(MARK) + 8000
    assert segments.daemons[0].counters()["oversize-sent"] >= 1
    sent, received = transfer(a, b, b.address, 50)
    assert sent == received


def tagged(container, source, destination, vlan, payload=MARK):
    return frame(source, destination, 0x8100, vlan.to_bytes(2, "big") + b"\x88\xb5" + payload)


@pytest.mark.parametrize("vlans,carried", [("none", []), ("10", [10]), ("all", [10, 20])])
def test_vlans_are_dropped_unless_configured(lab, io, vlans, carried):
    segments = Segments(lab, io, networks={7: f"VLANs = {vlans}\n"})
    a, b = segments.containers[7]
    assert a.ping(b.address)
    for vlan in (10, 20):
        with Sniffer(b) as sniffer:
            send_frames(a, [tagged(a, a.mac, b.mac, vlan)])
            if vlan not in carried:
                wait_for(lambda: segments.daemons[0].drops("out-vlan") > 0, 5, "the drop's counter")
            time.sleep(0.2)
        assert len(sniffer.frames) == (1 if vlan in carried else 0)
        # The sniffer's kernel takes the tag out of the frame; what stood behind it shows that there was one.
        assert all(f[24:28] == "88b5" for f in sniffer.frames)


# A station of a VLAN, by raw frames, as VLAN devices are not everywhere: it says that it is there, answers
# ARP, neighbour discovery and pings. With an address to ask for: finds that, pings it, and prints its MAC for both.
TAGGED = """
from scapy.all import *
from scapy.layers.inet6 import *
import select, socket, sys, time
vlan, own, own6, target, target6 = int(sys.argv[1]), *sys.argv[2:]
mac = get_if_hwaddr("eth0")
s = conf.L2socket(iface="eth0")
found, heard = {}, set()

def say(to, packet):
    s.send(Ether(src=mac, dst=to) / Dot1Q(vlan=vlan) / packet)

def ask():
    say("ff:ff:ff:ff:ff:ff", ARP(op=1, hwsrc=mac, psrc=own, pdst=target))
    group = in6_getnsma(inet_pton(socket.AF_INET6, target6))
    say(in6_getnsmac(group), IPv6(src=own6, dst=inet_ntop(socket.AF_INET6, group), hlim=255) / ICMPv6ND_NS(tgt=target6) / ICMPv6NDOptSrcLLAddr(lladdr=mac))
    if "4" in found:
        say(found["4"], IP(src=own, dst=target) / ICMP() / b"ping")
    if "6" in found:
        say(found["6"], IPv6(src=own6, dst=target6) / ICMPv6EchoRequest(data=b"ping"))

def hear(p):
    if ARP in p:
        if p.op == 1 and p.pdst == own:
            say(p.hwsrc, ARP(op=2, hwsrc=mac, psrc=own, hwdst=p.hwsrc, pdst=p.psrc))
        elif p.op == 2 and p.psrc == target:
            found["4"] = p.hwsrc
    elif ICMPv6ND_NS in p and p.tgt == own6:
        to = "ff02::1" if p[IPv6].src == "::" else p[IPv6].src
        say("33:33:00:00:00:01" if p[IPv6].src == "::" else p[Ether].src, IPv6(src=own6, dst=to, hlim=255) /
            ICMPv6ND_NA(tgt=own6, R=0, S=int(p[IPv6].src != "::"), O=1) / ICMPv6NDOptDstLLAddr(lladdr=mac))
    elif ICMPv6ND_NA in p and p.tgt == target6:
        found["6"] = p[ICMPv6NDOptDstLLAddr].lladdr
    elif ICMP in p and p[IP].dst == own:
        if p[ICMP].type == 8:
            say(p[Ether].src, IP(src=own, dst=p[IP].src) / ICMP(type=0, id=p[ICMP].id, seq=p[ICMP].seq) / b"pong")
        elif p[IP].src == target:
            heard.add("4")
    elif ICMPv6EchoRequest in p and p[IPv6].dst == own6:
        say(p[Ether].src, IPv6(src=own6, dst=p[IPv6].src) / ICMPv6EchoReply(data=b"pong"))
    elif ICMPv6EchoReply in p and p[IPv6].src == target6:
        heard.add("6")

say("ff:ff:ff:ff:ff:ff", ARP(op=1, hwsrc=mac, psrc=own, pdst=own))
say("33:33:00:00:00:01", IPv6(src=own6, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=own6, R=0, S=0, O=1) /
    ICMPv6NDOptDstLLAddr(lladdr=mac))
print("up", flush=True)
asked = 0
while not (target and heard == {"4", "6"}):
    if target and time.time() > asked + 0.3:
        ask()
        asked = time.time()
    for ready in select.select([s], [], [], 0.1)[0]:
        p = ready.recv()
        if p is not None and Dot1Q in p and p[Dot1Q].vlan == vlan and p[Ether].src != mac and \
                (p[Ether].dst == mac or int(p[Ether].dst[:2], 16) & 1):
            hear(p)
print(found["4"], found["6"])
"""


class TaggedStation:
    """TAGGED in a container; @target: the number of whom to find."""

    def __init__(self, container, vlan, number, target=None):
        self.container = container
        find = (f"10.7.0.{target}", f"fd00:7::{target}") if target else ("", "")
        argv = ["/usr/bin/python3", "-c", TAGGED, str(vlan), f"10.7.0.{number}", f"fd00:7::{number}", *find]
        self.process = container.popen(argv)
        assert self.process.stdout.readline() == "up\n"

    def found(self):
        return self.process.communicate(timeout=20)[0].split()


def test_one_address_in_two_vlans_is_two_stations(lab, io):
    """The same addresses in VLAN 10 on one host and in VLAN 20 on the other: both are found and used, none contested."""
    segments = Segments(lab, io, networks={7: "VLANs = all\n"}, containers=False)
    first, second = segments.daemons
    ten, twenty = (segments.container(host, 7, 9, addressed=False) for host in lab)
    stations_ = [TaggedStation(ten, 10, 9), TaggedStation(twenty, 20, 9)]
    for daemon, here in ((first, ten), (second, twenty)):
        for vlan, owner in ((10, ten), (20, twenty)):
            for address in ("10.7.0.9", "fd00:7::9"):
                wait_for(lambda: known(daemon, "seg7", f"{address}@{vlan}"), 5, f"{address} in VLAN {vlan}")
                entry = known(daemon, "seg7", f"{address}@{vlan}")
                assert entry["mac"] == owner.mac and entry["vlan"] == str(vlan)
                assert (entry["at"] == "here") == (owner is here)
        assert not known(daemon, "seg7", "10.7.0.9") and not known(daemon, "seg7", "fd00:7::9")
        assert "10.7.0.9@20" in daemon.ctl("fdb", "list")
    # Each asks at the host where the other VLAN has the address.
    finders = [TaggedStation(segments.container(lab[1], 7, 10, addressed=False), 10, 10, target=9),
               TaggedStation(segments.container(lab[0], 7, 11, addressed=False), 20, 11, target=9)]
    assert finders[0].found() == [ten.mac] * 2
    assert finders[1].found() == [twenty.mac] * 2
    for daemon in (first, second):
        counters = daemon.counters()
        assert counters["arp-answered"] > 0 and counters["nd-answered"] > 0
        assert not any(daemon.drops(f"{way}-binding") for way in ("in", "out"))
        for vlan in (10, 20):
            entry = known(daemon, "seg7", f"10.7.0.9@{vlan}")
            assert entry["moves"] == 0 and not entry["contested"]
    for station in stations_:
        station.container.stop(station.process)


RA = """
from scapy.all import *
from scapy.layers.inet6 import *
a = Ether(src=get_if_hwaddr("eth0"), dst="33:33:00:00:00:01") / IPv6(src="fe80::77", dst="ff02::1", hlim=255) / ICMPv6ND_RA(routerlifetime=0) / \
    ICMPv6NDOptPrefixInfo(prefix="fd77::", prefixlen=64, L=1, A=1, validlifetime=3600, preferredlifetime=3600)
conf.verb = 0
sendp(a, iface="eth0")
"""


@pytest.mark.parametrize("allowed", [True, False])
def test_slaac_from_an_allowed_router_only(lab, io, allowed):
    rule = "RouterAdverts = all\n" if allowed else ""
    segments = Segments(lab, io, networks={7: rule})
    a, b = segments.containers[7]
    assert a.ping(b.address)
    b.sysctl("net.ipv6.conf.eth0.accept_ra", 2)

    def has_prefix():
        a.run(["/usr/bin/python3", "-c", RA])
        return "fd77::" in b.run("ip -6 addr show dev eth0")

    if allowed:
        wait_for(has_prefix, 10, "an address by SLAAC", interval=0.5)
        return
    assert not has_prefix()
    wait_for(lambda: segments.daemons[0].drops("out-router") > 0, 5, "the drop's counter")
    assert not has_prefix()


@pytest.mark.parametrize("allowed", [True, False])
def test_dhcp_from_an_allowed_server_only(lab, io, tmp_path, allowed):
    rule = "DHCPServers = all\n" if allowed else ""
    segments = Segments(lab, io, networks={7: rule})
    server = segments.containers[7][0]
    client = segments.container(lab[1], 7, 9, addressed=False)
    conf = tmp_path / "udhcpd.conf"
    conf.write_text(f"start 10.7.200.1\nend 10.7.200.9\ninterface eth0\nlease_file {tmp_path}/leases\n"
                    f"pidfile {tmp_path}/pid\noption subnet 255.255.0.0\n")
    (tmp_path / "leases").touch()
    script = tmp_path / "script"
    script.write_text('#!/bin/sh\n[ "$1" = bound ] && ip addr add $ip/16 dev eth0\nexit 0\n')
    script.chmod(0o755)
    daemon = server.popen(f"busybox udhcpd -f {conf}")
    wait_for(lambda: ":67 " in server.run("ss -Hlun"), 5, "udhcpd to listen")
    client.run(f"busybox udhcpc -i eth0 -n -q -t {15 if allowed else 3} -T 1 -s {script}", check=False, timeout=30)
    assert ("10.7.200." in client.run("ip addr show dev eth0")) == allowed
    assert (segments.daemons[0].drops("out-dhcp") > 0) != allowed
    server.stop(daemon)


def test_the_host_itself_joins(lab, io):
    """An address of its own on the bridge, and the host reaches the segment's containers, and they it."""
    segments = Segments(lab, io)
    for host in lab:
        host.run(f"ip addr add 10.7.0.{host.index + 1}/16 dev seg7")
    a, b = segments.containers[7]
    assert lab[0].ping(b.address, count=3)
    assert lab[0].ping("10.7.0.2", count=3)
    assert b.ping("10.7.0.1", count=3)


def test_every_container_finds_its_own_hosts_gateway(lab3, io):
    """Docker's default: the same .1 on every host's bridge. It is each host's own, and never anyone else's."""
    segments = Segments(lab3, io)
    for host in lab3:
        host.run("ip addr add 10.7.0.1/16 dev seg7")
    for host, container in zip(lab3, segments.containers[7]):
        container.run("ip neigh flush dev eth0")
        assert container.ping("10.7.0.1", count=2)
        own = next(w for w in host.run("ip -br link show seg7").split() if w.count(":") == 5)
        assert own in container.run("ip neigh show 10.7.0.1")
    a, b = segments.containers[7][:2]
    assert a.ping(b.address, count=2)


def test_questions_are_answered_where_they_are_asked(lab3, io):
    """What is known is no longer broadcast, and the counter says how many copies were saved."""
    segments = Segments(lab3, io)
    a, b, _ = segments.containers[7]
    assert a.ping(b.address)
    wait_for(lambda: known(segments.daemons[0], "seg7", b.address), 5, "the announcement")
    before = segments.daemons[0].counters()
    for _ in range(5):
        a.run("ip neigh flush dev eth0")
        assert a.ping(b.address)
    after = segments.daemons[0].counters()
    assert after["suppressed"] - before["suppressed"] >= 5 * 2
    assert b.mac in a.run(f"ip neigh show {b.address}")


def test_an_announcement_is_there_before_the_first_question(lab3, io):
    """A container's first word at its own host is known at the others at once: nothing is flooded there."""
    segments = Segments(lab3, io)
    a, b, c = segments.containers[7]
    assert a.ping(b.address) and a.ping(c.address) and b.ping(c.address)
    late = segments.container(lab3[2], 7, 5)
    assert late.ping(c.address)
    wait_for(lambda: known(segments.daemons[0], "seg7", late.mac), 5, "the newcomer's MAC at another host")
    entry = known(segments.daemons[0], "seg7", late.mac)
    assert entry["at"] == "barge3"
    late.close()
    wait_for(lambda: not known(segments.daemons[0], "seg7", entry["station"]), 5, "its withdrawal")


@pytest.mark.parametrize("policy", ["flood", "drop"])
def test_unicast_whose_place_is_not_known(lab, io, policy):
    segments = Segments(lab, io, networks={7: f"UnknownUnicast = {policy}\n"})
    a, b = segments.containers[7]
    assert a.ping(b.address)
    with Sniffer(b) as sniffer:
        b.run("ip link set eth0 promisc on")
        send_frames(a, [frame(a.mac, "02:00:00:12:34:56", 0x88b5, MARK)])
        time.sleep(0.3)
    assert len(sniffer.frames) == (1 if policy == "flood" else 0)
    assert (segments.daemons[0].drops("out-unknown") > 0) == (policy == "drop")


def move(container, host):
    """The same namespace, with its MAC and addresses, on another host's bridge: returns when it is plugged in."""
    mac = container.mac
    container.host.run(f"ip link del {container.port}")
    container.host.containers.remove(container)
    host.run(f"ip link add {container.port} type veth peer name eth0 netns {container.netns}")
    container.run(f"ip link set eth0 address {mac}")
    host.run(f"ip link set {container.port} master {container.bridge} up")
    container.sysctl("net.ipv6.conf.eth0.accept_dad", 0)
    container.run(f"ip addr add {container.address}/16 dev eth0")
    container.run("ip link set eth0 up")
    container.host = host
    host.containers.append(container)


COUNT = """
import socket, sys, time
s = socket.create_server(("", 7001))
print("up", flush=True)
c, _ = s.accept()
last = time.monotonic()
worst = 0
total = 0
while True:
    data = c.recv(65536)
    now = time.monotonic()
    if not data:
        break
    worst = max(worst, now - last)
    last = now
    total += len(data)
print(total, worst, flush=True)
"""
PUSH = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], 7001))
end = time.monotonic() + float(sys.argv[2])
n = 0
while time.monotonic() < end:
    n += s.send(bytes(1000))
    time.sleep(0.005)
s.close()
print(n)
"""


def test_a_container_that_moves_keeps_its_connection(lab3, io, record_property):
    segments = Segments(lab3, io)
    a, b, c = segments.containers[7]
    assert a.ping(b.address) and b.ping(a.address) and c.ping(b.address)
    server = a.popen(["/usr/bin/python3", "-c", COUNT])
    assert server.stdout.readline() == "up\n"
    client = b.popen(["/usr/bin/python3", "-c", PUSH, a.address, "5"])
    time.sleep(1)
    move(b, lab3[2])
    # It says something of its own accord sooner or later, as a moved container does.
    b.run(f"busybox arping -U -c 1 -I eth0 {b.address}", check=False)
    sent = int(client.communicate(timeout=20)[0])
    total, worst = server.communicate(timeout=20)[0].split()
    assert int(total) == sent, "every byte arrived"
    record_property("measured", f"outage of a moved container: {float(worst) * 1000:.0f} ms")
    assert float(worst) < 3
    assert c.ping(b.address), "a neighbour on its new host"
    entry = known(segments.daemons[0], "seg7", b.mac)
    assert entry and entry["at"] == "barge3"


def test_wireshark_shows_frames_and_hello(lab, io, tmp_path):
    """tshark with our dissector: VXLAN with the right VNI, and hello's fields."""
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")
    segments = Segments(lab, io, vnis=(7, 42), start=False)
    segments.daemons = [segments.daemon(lab[0])]
    segments.daemons[0].attached()
    capture = tmp_path / "frames.pcap"
    dump = lab[1].popen(["tcpdump", "--immediate-mode", "-U", "-i", "eth0", "-w", capture, "udp"])
    wait_for(lambda: capture.exists() and capture.stat().st_size >= 24, 5, "tcpdump")
    with Client(lab[1], segments.keys[1][0], segments.keys[0][1], (lab[0].underlay, PORT), vnis=[7, 42]) as client:
        client.connect()
        a = segments.containers[42][0]
        wait_for(lambda: "0 received" in a.run(f"ping -n -c 1 -W 1 {'10.42.9.9'}", check=False)
                 and any(f[12:14] == b"\x08\x06" for f in client.frames(42)), 10, "ARP in VNI 42")
        client.send(announce(42, client.boot, 0, 2, station(1, mac_bytes(a.mac)),
                             station(2, mac_bytes(a.mac), "10.42.8.8", vlan=0x8064)))
        wait_for(lambda: segments.daemons[0].drops("in-vlan"), 5, "the announcement")
        client.write_keylog(tmp_path / "keys")
    lab[1].stop(dump)
    script = __import__("pathlib").Path(__file__).resolve().parents[2] / "docs" / "ovltun.lua"
    fields = ("ovltun.kind", "vxlan.vni", "arp.dst.proto_ipv4", "ovltun.hello.vni", "ovltun.hello.tunnel_mtu",
              "ovltun.hello.feature.frames", "_ws.expert.message", "ovltun.station.ipv4", "ovltun.station.vlan",
              "ovltun.station.service_tag")
    argv = ["tshark", "-r", capture, "-X", f"lua_script:{script}", "-d", f"udp.port=={PORT},wg",
            "-o", f"wg.keylog_file:{tmp_path / 'keys'}", "-Y", "ovltun", "-T", "fields"]
    for name in fields:
        argv += ["-e", name]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert any(r[1] == "42" and r[2] == "10.42.9.9" for r in rows), rows
    assert not any(r[1] == "7" and r[2] == "10.42.9.9" for r in rows)
    hellos = [r for r in rows if r[3]]
    assert hellos and all(r[3] == "7,42" and int(r[4]) > 1300 and r[5] in ("1", "True") for r in hellos)
    told = [r[7:] for r in rows if r[7] == "10.42.8.8"]
    assert told and told[0][1] == "100" and told[0][2] in ("1", "True"), told
    assert "Lua" not in done.stdout
