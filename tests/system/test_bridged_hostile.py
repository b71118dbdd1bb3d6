# SPDX-License-Identifier: MIT
"""A member of the segment that has the keys and lies: each lie is dropped, has its counter, and harms nobody else.

barge2 is the hostile one: not an ovltund but our client (lab/client.py), which sends what it is told.
barge1 is who is attacked, barge3 who talks with it all the time.
"""
import json
import os
import re
import threading
import time

import pytest

from lab import Lab, wait_for
from lab.client import ANNOUNCE, CHECK, Client, announce, control, station, tlv, vxlan
from lab.segments import PORT, Segments
from test_bridged import BROADCAST, frame, known, stations
from test_hostile import MARK, Sniffer, mac_bytes

EVIL = "02:66:66:66:66:66"


class Battlefield(Segments):
    """VNI 7 on three hosts, the second one hostile; VNI 42 on the other two, which it may not carry."""

    def __init__(self, lab, io, **kwargs):
        super().__init__(lab, io, vnis=(7, 42), hosts=[lab[0], lab[2]], granted={1: [7]}, **kwargs)
        self.victim, self.friend = self.daemons
        self.a, self.c = self.containers[7]
        self.client = Client(lab[1], self.keys[1][0], self.keys[0][1], (lab[0].underlay, PORT), vnis=[7, 42])
        self.client.connect()
        assert self.a.ping(self.c.address, count=2) and self.c.ping(self.a.address)
        assert self.a.ping(self.c.address6, count=2) and self.c.ping(self.a.address6)
        wait_for(lambda: self.entry(self.c.mac) and self.entry(self.c.address) and self.entry(self.c.address6), 5, "what the friend announced")

    def entry(self, station_, network="seg7"):
        return known(self.victim, network, station_)

    def counter(self, name):
        return self.victim.drops(name)

    def close(self):
        self.client.close()


@pytest.fixture(scope="module", params=["uring", "poll"])
def field(request):
    """One battlefield for all lies of a backend: that each leaves no trace is part of the test."""
    with Lab(3) as lab:
        battlefield = Battlefield(lab, request.param)
        yield battlefield
        battlefield.close()


def ip(source, destination, payload=MARK):
    from scapy.layers.inet import IP, UDP
    return bytes(IP(src=source, dst=destination) / UDP(sport=7, dport=7) / payload)


def arp(operation, mac, address, target, hardware=None):
    from scapy.layers.l2 import ARP
    return bytes(ARP(op=operation, hwsrc=hardware or mac, psrc=address, pdst=target)) + MARK


def nd_advert(mac, address, link=None, hlim=255):
    from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
    return bytes(IPv6(src=address, dst="ff02::1", hlim=hlim) / ICMPv6ND_NA(tgt=address, R=0, S=0, O=1)
                 / ICMPv6NDOptDstLLAddr(lladdr=link or mac))


def router_advert():
    from scapy.layers.inet6 import ICMPv6ND_RA, IPv6
    return bytes(IPv6(src="fe80::66", dst="ff02::1", hlim=255) / ICMPv6ND_RA())


def dhcp_offer():
    from scapy.layers.dhcp import BOOTP, DHCP
    from scapy.layers.inet import IP, UDP
    return bytes(IP(src="10.7.2.66", dst="255.255.255.255") / UDP(sport=67, dport=68)
                 / BOOTP(op=2) / DHCP(options=[("message-type", "offer"), "end"]))


def undone_icmp():
    from scapy.layers.inet import ICMP, IP
    return bytes(IP(src="10.7.2.66", dst="10.7.1.1") / ICMP() / MARK)


# Name, the counter that has to rise, and the plaintexts: functions of the battlefield.
LIES = [
    ("a neighbour's IP address", "in-binding",
     lambda f: [vxlan(7, frame(EVIL, f.a.mac, 0x0800, ip(f.c.address, f.a.address)))]),
    ("a local container's IP address", "in-binding",
     lambda f: [vxlan(7, frame(EVIL, f.a.mac, 0x0800, ip(f.a.address, f.a.address)))]),
    ("a neighbour's MAC", "in-mac-owned",
     lambda f: [vxlan(7, frame(f.c.mac, f.a.mac, 0x88b5, MARK))]),
    ("a local container's MAC", "in-mac-owned",
     lambda f: [vxlan(7, frame(f.a.mac, BROADCAST, 0x88b5, MARK))]),
    ("a multicast sender", "in-source-mac",
     lambda f: [vxlan(7, frame("03:00:00:00:00:01", f.a.mac, 0x88b5, MARK))]),
    ("no sender", "in-source-mac",
     lambda f: [vxlan(7, frame("00:00:00:00:00:00", f.a.mac, 0x88b5, MARK))]),
    ("ARP for a neighbour", "in-binding",
     lambda f: [vxlan(7, frame(EVIL, BROADCAST, 0x0806, arp(2, EVIL, f.c.address, f.a.address)))]),
    ("ARP whose sender is another", "in-arp",
     lambda f: [vxlan(7, frame(EVIL, BROADCAST, 0x0806, arp(2, EVIL, "10.7.2.77", f.a.address, hardware=f.c.mac)))]),
    ("ND for a neighbour", "in-binding",
     lambda f: [vxlan(7, frame(EVIL, "33:33:00:00:00:01", 0x86dd, nd_advert(EVIL, f.c.address6)))]),
    ("ND whose link address is another's", "in-arp",
     lambda f: [vxlan(7, frame(EVIL, "33:33:00:00:00:01", 0x86dd, nd_advert(EVIL, "fd00:7::2:77", link=f.c.mac)))]),
    ("ND from afar", "in-arp",
     lambda f: [vxlan(7, frame(EVIL, "33:33:00:00:00:01", 0x86dd, nd_advert(EVIL, "fd00:7::2:78", hlim=64)))]),
    ("a router advertisement", "in-router",
     lambda f: [vxlan(7, frame(EVIL, "33:33:00:00:00:01", 0x86dd, router_advert()))]),
    ("a DHCP offer", "in-dhcp",
     lambda f: [vxlan(7, frame(EVIL, BROADCAST, 0x0800, dhcp_offer()))]),
    ("a foreign VNI", "in-vni",
     lambda f: [vxlan(42, frame(EVIL, BROADCAST, 0x88b5, MARK))]),
    ("a VNI that is not here", "in-vni",
     lambda f: [vxlan(4711, frame(EVIL, BROADCAST, 0x88b5, MARK))]),
    ("a BPDU", "in-link-control",
     lambda f: [vxlan(7, mac_bytes("01:80:c2:00:00:00") + mac_bytes(EVIL) + b"\0\x26\x42\x42\3" + MARK)]),
    ("LLDP", "in-link-control",
     lambda f: [vxlan(7, frame(EVIL, "01:80:c2:00:00:0e", 0x88cc, MARK))]),
    ("802.1X", "in-link-control",
     lambda f: [vxlan(7, frame(EVIL, f.a.mac, 0x888e, MARK))]),
    ("a VLAN tag", "in-vlan",
     lambda f: [vxlan(7, frame(EVIL, f.a.mac, 0x8100, b"\0\x0a\x88\xb5" + MARK))]),
    ("a martian", "in-martian",
     lambda f: [vxlan(7, frame(EVIL, f.a.mac, 0x0800, ip("127.0.0.1", f.a.address)))]),
    ("a frame of thirteen bytes", "in-frame",
     lambda f: [vxlan(7, bytes(13))[:8 + 13]]),
    ("a header alone", "in-frame", lambda f: [vxlan(7, b"")[:8], vxlan(7, b"")[:3]]),
    ("a pad longer than the frame", "in-frame",
     lambda f: [vxlan(7, frame(EVIL, BROADCAST, 0x88b5, b""), pad=255), vxlan(7, bytes(14), pad=15)[:8 + 14]]),
    ("no VNI flag", "in-kind", lambda f: [vxlan(7, frame(EVIL, BROADCAST, 0x88b5, MARK), flags=0)]),
    ("IP that is longer than its frame", "in-malformed",
     lambda f: [vxlan(7, frame(EVIL, f.a.mac, 0x0800, ip("10.7.2.66", f.a.address, MARK * 3)[:-20]), pad=0)]),
    ("an undone checksum that is none", "in-malformed",
     lambda f: [vxlan(7, frame(EVIL, f.a.mac, 0x0800, undone_icmp()), hint=1)]),
    ("a frame to send back into the tunnel", "in-tunnel",
     lambda f: [vxlan(7, frame(EVIL, f.c.mac, 0x88b5, MARK))]),
    ("a control message that does not add up", "in-control",
     lambda f: [b"\x10\x02\xff\xff" + bytes(12), control(ANNOUNCE, tlv("vni", b"\0")), control(CHECK)]),
    ("a second word after a word of the tunnel", "in-kind", lambda f: [b"\x20" + bytes(31)]),
]


@pytest.mark.parametrize("counter,plaintexts", [row[1:] for row in LIES], ids=[row[0] for row in LIES])
def test_a_lie_is_dropped_and_counted(field, counter, plaintexts):
    before = field.counter(counter)
    mine = field.entry(field.c.mac), field.entry(field.c.address)["mac"]
    with Sniffer(field.a) as at_a, Sniffer(field.c) as at_c, Sniffer(field.containers[42][0]) as at_other:
        sent = plaintexts(field)
        for plain in sent:
            field.client.send(plain)
        wait_for(lambda: field.counter(counter) >= before + len(sent), 5, f"{counter} to rise")
        time.sleep(0.1)
    assert not at_a.frames and not at_c.frames and not at_other.frames
    assert field.entry(field.c.mac)["at"] == mine[0]["at"] and field.entry(field.c.address)["mac"] == mine[1]
    assert field.a.ping(field.c.address)


def test_a_gateways_address_is_never_claimed(field):
    host = field.lab[0]
    host.run("ip addr add 10.7.0.1/16 dev seg7")
    try:
        before = field.counter("in-gateway")

        def claim():
            field.client.frame(7, frame(EVIL, BROADCAST, 0x0806, arp(2, EVIL, "10.7.0.1", field.a.address)))
            return field.counter("in-gateway") > before

        wait_for(claim, 5, "in-gateway to rise", interval=0.2)
        claimed = field.counter("in-gateway")
        field.client.send(announce(7, field.client.boot, 0, 1, station(1, mac_bytes(EVIL), "10.7.0.1")))
        wait_for(lambda: field.counter("in-gateway") > claimed, 5, "the announcement's drop")
        assert field.a.ping("10.7.0.1")
        own = next(w for w in host.run("ip -br link show seg7").split() if w.count(":") == 5)
        assert own in field.a.run("ip neigh show 10.7.0.1")
    finally:
        host.run("ip addr del 10.7.0.1/16 dev seg7")


def test_an_address_is_not_stolen_by_announcing(field):
    """The owner is asked, and says that it is still there."""
    client = field.client
    client.boot += 1
    client.hello()
    client.send(announce(7, client.boot, 0, 3, station(1, mac_bytes(EVIL)),
                         station(2, mac_bytes(EVIL), field.c.address), station(3, mac_bytes(field.c.mac))))
    time.sleep(1)
    assert field.entry(field.c.address)["at"] == "barge3" and field.entry(field.c.address)["mac"] == field.c.mac
    assert field.entry(field.c.mac)["at"] == "barge3"
    assert field.a.ping(field.c.address)
    # Nor a local one, nor by saying that it is gone.
    client.send(announce(7, client.boot, 3, 6, station(4, mac_bytes(EVIL), field.a.address),
                         station(5, mac_bytes(field.c.mac), gone=True),
                         station(6, mac_bytes(field.c.mac), field.c.address, gone=True)))
    time.sleep(0.5)
    assert field.entry(field.a.address)["at"] == "here"
    assert field.entry(field.c.address)["at"] == "barge3"
    assert field.c.ping(field.a.address)


def test_the_greatest_sequence_number_harms_its_sender_alone(field):
    client = field.client
    client.boot += 1
    client.hello()
    last = 2**64 - 1
    client.send(announce(7, client.boot, 0, last, station(last, mac_bytes("02:66:66:00:00:01"))))
    wait_for(lambda: field.entry("02:66:66:00:00:01"), 5, "its own station")
    newcomer = field.container(field.lab[2], 7, 31)
    assert newcomer.ping(field.c.address)
    wait_for(lambda: field.entry(newcomer.mac), 5, "an honest member's announcement")
    newcomer.close()
    # A new life of the sender is heard again.
    client.boot += 1
    client.hello()
    client.send(announce(7, client.boot, 0, 1, station(1, mac_bytes("02:66:66:00:00:02"))))
    wait_for(lambda: field.entry("02:66:66:00:00:02"), 5, "the next boot's station")


class Stream:
    """iperf3 between the attacked host and its friend; throughput before and during."""

    def __init__(self, field):
        self.field = field

    def rate(self, seconds=2):
        server = self.field.c.popen("iperf3 -s -1")
        wait_for(lambda: "5201" in self.field.c.run("ss -Hltn"), 5, "iperf3")
        out = json.loads(self.field.a.run(f"iperf3 -J -c {self.field.c.address} -t {seconds}"))
        self.field.c.stop(server)
        return out["end"]["sum_received"]["bits_per_second"] / 1e9


def under_attack(field, record_property, what, attack, seconds=2.0):
    """Runs attack(client) over and over while a stream goes on; both rates are printed."""
    stream = Stream(field)
    quiet = stream.rate()
    stop = threading.Event()
    sent = [0]

    def run():
        while not stop.is_set():
            sent[0] += attack()

    thread = threading.Thread(target=run)
    start = time.monotonic()
    thread.start()
    during = stream.rate(seconds)
    stop.set()
    thread.join()
    rate = sent[0] / (time.monotonic() - start)
    record_property("measured", f"{what}: {quiet:.2f} Gbit/s before, {during:.2f} during {rate / 1000:.1f} thousand a second")
    # Attacker, daemons and stream share two cores; that it goes on is what counts, how fast is printed.
    assert during > quiet / 10
    assert field.a.ping(field.c.address)


def test_a_flood_of_macs_fills_nobody_elses_share(field, record_property):
    before = field.counter("in-quota")
    serial = iter(range(10**9))
    target = field.a.mac

    def attack():
        for _ in range(200):
            n = next(serial) % 100_000
            mac = "02:aa:%02x:%02x:%02x:00" % (n >> 16, n >> 8 & 255, n & 255)
            field.client.frame(7, frame(mac, target, 0x88b6, bytes(46)))
        return 200

    under_attack(field, record_property, "flood of MACs", attack)
    while next(serial) < 100_000:
        attack()
    assert field.counter("in-quota") > before + 50_000
    entries = stations(field.victim, "seg7")
    assert sum(e["at"] == "barge2" for e in entries) <= 256 * 5
    assert field.entry(field.c.mac)["at"] == "barge3"
    newcomer = field.container(field.lab[2], 7, 30)
    assert field.a.ping(newcomer.address, timeout=3), "a newcomer at an honest member still gets in"
    newcomer.close()


FLOOD = r"""
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
to, first, rounds = bytes.fromhex(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for _ in range(rounds):
    for n in range(first, first + 100000):
        s.send(to + b"\2\xbb" + n.to_bytes(4, "big") + b"\x88\xb6" + bytes(46))
"""


def flood_from(container, to, first, rounds=1):
    return container.popen(["/usr/bin/python3", "-c", FLOOD, mac_bytes(to).hex(), str(first), str(rounds)])


def test_a_container_leaves_room_for_those_after_it(field):
    """100,000 MACs from one container, once and over and over; who is started afterwards, or meanwhile, is reached."""
    host = field.lab[0]
    bad = field.container(host, 7, 40)
    before = field.counter("out-quota")
    assert flood_from(bad, field.c.mac, 0).wait(60) == 0
    wait_for(lambda: field.counter("out-quota") > before + 10_000, 10, "MACs beyond the share")
    for number in 41, 42:
        newcomer = field.container(host, 7, number)
        # Frames alone get it no place any more. The bridge tells of it, behind 100,000 others when that is slow.
        wait_for(lambda: field.entry(newcomer.mac), 10, "the newcomer at its own host")
        assert field.c.ping(newcomer.address) and newcomer.ping(field.c.address)
        wait_for(lambda: known(field.friend, "seg7", newcomer.mac), 5, "the newcomer at the remote host")
        newcomer.close()
    here = [e for e in stations(field.victim, "seg7") if e["at"] == "here" and re.fullmatch("(..:){5}..", e["station"])]
    assert 60 < len(here) < 160, "a quarter, and another of what frames alone told of"
    endless = flood_from(bad, field.c.mac, 200_000, rounds=10**6)
    try:
        newcomer = field.container(host, 7, 43)
        wait_for(lambda: field.c.ping(newcomer.address, timeout=1), 40, "a newcomer meanwhile")
        newcomer.close()
    finally:
        bad.stop(endless)
        bad.close()
    # What it had goes with its port.
    wait_for(lambda: sum(e["at"] == "here" for e in stations(field.victim, "seg7")) < 110, 15, "its stations to go")
    assert field.a.ping(field.c.address)


def test_a_broadcast_storm_stays_in_its_bucket(field, record_property):
    before = field.counter("in-flood")
    mac = "02:aa:00:00:00:00"

    def attack():
        for _ in range(200):
            field.client.frame(7, frame(mac, BROADCAST, 0x88b6, bytes(46)))
        return 200

    with Sniffer(field.c) as forwarded:
        under_attack(field, record_property, "broadcast storm", attack)
    assert field.counter("in-flood") > before
    assert not forwarded.frames, "split horizon"


def test_a_flood_of_announcements(field, record_property):
    client = field.client
    client.boot += 1
    client.hello()
    serial = iter(range(10**9))
    before = field.counter("in-announce")

    def attack():
        n = next(serial)
        stations = [station(n * 40 + i + 1, os.urandom(6)[:0] + bytes([2]) + os.urandom(5)) for i in range(40)]
        client.send(announce(7, client.boot, n * 40, n * 40 + 40, *stations))
        return 40

    under_attack(field, record_property, "flood of announcements", attack)
    assert field.counter("in-announce") > before
    entries = stations(field.victim, "seg7")
    assert sum(e["at"] == "barge2" for e in entries) <= 256 * 5
    assert field.entry(field.c.mac)["at"] == "barge3"


def ip6(source, destination, payload=MARK):
    from scapy.layers.inet import UDP
    from scapy.layers.inet6 import IPv6
    return bytes(IPv6(src=source, dst=destination) / UDP(sport=7, dport=7) / payload)


@pytest.mark.parametrize("rule", ["drop", "pass"])
def test_a_host_is_no_way_into_its_other_networks(lab3, io, rule):
    """A host that forwards, as Docker has it: a member's packets to the bridge's MAC go no further, unless they may.

    With "pass" it shows as well what never went further: what came by broadcast, or to the MAC of another station.
    """
    with_rule = {7: f"HostRouting = {rule}\n"}
    field = Battlefield(lab3, io, networks=with_rule if rule == "pass" else {})
    host = lab3[0]
    for bridge, prefix in (("seg7", "10.7.0.1/16"), ("priv", "192.168.77.1/24")):
        if bridge == "priv":
            host.bridge(bridge)
        host.run(f"ip addr add {prefix} dev {bridge}")
    host.run("ip -6 addr add fd77::1/64 dev priv nodad")
    for key in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        host.sysctl(f"net.{key}", 1)
    for key in ("all", "seg7"):
        host.sysctl(f"net.ipv4.conf.{key}.rp_filter", 0)
    behind = host.container("behind", bridge="priv", address="192.168.77.2/24", address6="fd77::2/64")
    assert host.ping(behind.address) and host.ping(behind.address6)

    def mac_of(device):
        return next(w for w in host.run(f"ip -br link show {device}").split() if w.count(":") == 5)

    tap = next(p["ifname"] for p in json.loads(host.run("ip -j -d link show master seg7"))
               if p["linkinfo"]["info_kind"] == "tun")
    # A MAC that the bridge takes for its own as well: of a port, of which one has the bridge's.
    ports = [mac_of(c.port) for c in (field.a, field.container(host, 7, 8))]
    port = next(mac for mac in ports if mac != mac_of("seg7"))
    try:
        with Sniffer(behind) as through:
            for to in (mac_of("seg7"), mac_of(tap)):
                for packet in (ip("10.7.2.66", behind.address), ip6("fd00:7::2:66", behind.address6)):
                    field.client.frame(7, frame(EVIL, to, 0x0800 if packet[0] == 0x45 else 0x86dd, packet))
            if rule == "drop":
                wait_for(lambda: field.counter("in-host-routing") >= 4, 5, "the drops")
            time.sleep(0.3)
        assert len(through.frames) == (0 if rule == "drop" else 4)
        with Sniffer(behind) as through:
            for to in (BROADCAST, "33:33:00:00:00:01", port, field.a.mac):
                field.client.frame(7, frame(EVIL, to, 0x0800, ip("10.7.2.66", behind.address)))
                field.client.frame(7, frame(EVIL, to, 0x86dd, ip6("fd00:7::2:66", behind.address6)))
            time.sleep(0.3)
        assert not through.frames
        assert field.counter("in-host-routing") == (4 if rule == "drop" else 0)
        # The host itself is there for the segment.
        assert field.c.ping("10.7.0.1", count=2)
        own = link_local(host, "seg7") + "%eth0"
        wait_for(lambda: field.c.ping(own, timeout=1), 5, "the bridge's link-local address")
    finally:
        field.close()


def link_local(host, device):
    return next(a["local"] for a in json.loads(host.run(f"ip -j -6 addr show dev {device} scope link"))[0]["addr_info"])


def test_stations_of_a_member_that_dies_can_be_had_by_another(lab3, io):
    """kill -9 of a host: its container, started elsewhere with the same addresses, is reached."""
    segments = Segments(lab3, io)
    a, b, _ = segments.containers[7]
    assert a.ping(b.address)
    mac, address = b.mac, b.address
    segments.daemons[1].stop(9)
    b.close()
    reborn = lab3[2].container("reborn", bridge="seg7", address=address + "/16", mac=mac)
    start = time.monotonic()
    wait_for(lambda: reborn.ping(a.address, timeout=1), 30, "the reborn container")
    assert a.ping(address)
    print(f"reached again after {time.monotonic() - start:.1f} s")


def test_two_bridges_cabled_together(lab3, io, record_property):
    """A loop beside the tunnel: the storm stays within the buckets, both ways, and other networks go on."""
    segments = Segments(lab3, io, vnis=(7, 42))
    a, b, _ = segments.containers[7]
    x, y, _ = segments.containers[42]
    assert a.ping(b.address) and x.ping(y.address)

    def count():
        return json.loads(lab3[0].run("ip -j -s link show eth0"))[0]["stats64"]["tx"]["packets"]

    lab3[0].run(f"ip link add cable type veth peer name cable netns {lab3[1].netns}")
    for host in (lab3[0], lab3[1]):
        host.run("ip link set cable master seg7 up")
    try:
        a.run("ip neigh flush dev eth0")
        a.popen(["busybox", "arping", "-c", "3", "-I", "eth0", "10.7.9.9"])
        time.sleep(1)
        before, start = count(), time.monotonic()
        assert x.ping(y.address, count=10), "another network goes on"
        assert segments.daemons[0].answers(), "control goes on"
        time.sleep(1)
        rate = (count() - before) / (time.monotonic() - start)
    finally:
        lab3[0].run("ip link del cable")
    record_property("measured", f"cabled bridges: {rate:.0f} packets a second on the underlay")
    # Two members at 1,000 a second each, and what answers and pings add; and there was a storm at all.
    assert 200 < rate < 2 * 1000 + 500
    assert segments.daemons[0].drops("out-flood") > 0
    # Where the cable ends, the frames come from MACs that are the other host's.
    assert segments.daemons[1].drops("out-flood") + segments.daemons[1].drops("out-mac-owned") > 0
    wait_for(lambda: a.ping(b.address), 20, "the segment after the loop was cut")
