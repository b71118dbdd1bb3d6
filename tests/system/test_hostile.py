# SPDX-License-Identifier: MIT
"""Containers with raw sockets, strangers on the underlay, and peers that lie: dropped, counted, survived."""
import base64
import hashlib
import json
import os
import subprocess
import threading
import time

import pytest

from conftest import Overlay
from lab import Daemon, WireguardGo, keypair, wait_for

# Sends the frames given in hex, one a line on standard input, out of eth0 of a container.
RAW = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
for line in sys.stdin:
    s.send(bytes.fromhex(line.strip()))
"""
# Prints every frame that comes in by eth0 and holds the marker, until it is stopped.
SNIFF = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("eth0", 3))
print("up", flush=True)
while True:
    frame, address = s.recvfrom(65535)
    if address[2] != socket.PACKET_OUTGOING and b"OVLTUN-MARK" in frame:
        print(frame.hex(), flush=True)
"""
MARK = b"OVLTUN-MARK"


class Sniffer:
    """Marked frames that reach a container; use it with "with" around what must not arrive."""

    def __init__(self, container):
        self.container = container

    def __enter__(self):
        self.process = self.container.popen(["/usr/bin/python3", "-c", SNIFF])
        assert self.process.stdout.readline() == "up\n"
        return self

    def __exit__(self, *args):
        self.container.stop(self.process)
        self.frames = self.process.stdout.read().splitlines()


def send_frames(container, frames):
    container.run(["/usr/bin/python3", "-c", RAW], input="\n".join(f.hex() for f in frames))


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def ipv4(source, destination, payload=MARK, first=0x45, protocol=17):
    """A UDP datagram in IPv4 with right checksums, but for the first byte when it is given."""
    from scapy.layers.inet import IP, UDP
    whole = bytes(IP(src=source, dst=destination) / UDP(sport=7, dport=7) / payload)
    return bytes([first]) + whole[1:]


def ipv6(source, destination, payload=MARK, first=0x60):
    from scapy.layers.inet import UDP
    from scapy.layers.inet6 import IPv6
    whole = bytes(IPv6(src=source, dst=destination) / UDP(sport=7, dport=7) / payload)
    return bytes([first]) + whole[1:]


def router_mac(daemon):
    return daemon.show()["networks"][0]["router_mac"]


def settled(daemon, expected):
    """The counters once those in @expected have risen to at least what is expected."""
    wait_for(lambda: all(daemon.counters()[n] >= v for n, v in expected.items()), 10,
             f"{expected} in {daemon.counters()}")
    return daemon.counters()


def drops_of(counters):
    return {n: v for n, v in counters.items() if n.startswith(("in-", "rx-")) and v}


def test_the_first_byte_never_makes_a_control_message_or_a_frame(overlay):
    """Ethertype IPv4 or IPv6 before every first byte that is not that version's."""
    a, b = overlay.containers
    assert a.ping(b.address) and a.ping(b.address6)
    for family in ("iptables", "ip6tables"):
        # br_netfilter, where Docker loaded it, drops malformed packets before they reach us.
        if os.path.exists(f"/proc/sys/net/bridge/bridge-nf-call-{family}"):
            overlay.lab[0].sysctl(f"net.bridge.bridge-nf-call-{family}", 0)
    ethernet = mac_bytes(router_mac(overlay.daemons[0])) + mac_bytes(a.mac)
    frames = []
    for first in range(256):
        if first >> 4 != 4:
            frames.append(ethernet + b"\x08\x00" + ipv4(a.address, b.address, first=first))
        if first >> 4 != 6:
            frames.append(ethernet + b"\x86\xdd" + ipv6(a.address6, b.address6, first=first))
    # A VXLAN header and a frame, and a hello, as the session would carry them.
    frames.append(ethernet + b"\x08\x00" + bytes.fromhex("0800000000000100") + ethernet + b"\x08\x00" + MARK * 4)
    frames.append(ethernet + b"\x08\x00" + bytes.fromhex("1000001000000001") + MARK * 4)
    before = overlay.daemons[0].counters()
    remote = drops_of(overlay.daemons[1].counters())
    with Sniffer(b) as sniffer:
        send_frames(a, frames)
        settled(overlay.daemons[0], {"out-malformed": before["out-malformed"] + len(frames)})
        assert a.ping(b.address)
    assert sniffer.frames == []
    # The other end did not even see them.
    assert drops_of(overlay.daemons[1].counters()) == remote


def test_spoofed_sources_stay_at_home(overlay):
    a, b = overlay.containers
    assert a.ping(b.address) and a.ping(b.address6)
    ethernet = mac_bytes(router_mac(overlay.daemons[0])) + mac_bytes(a.mac)
    elsewhere = ["172.20.102.9", "172.20.103.1", "8.8.8.8"]
    elsewhere6 = ["fd20:102::9", "2001:db8::1"]
    martian = ["127.0.0.1", "0.0.0.0", "224.0.0.1"]
    frames = [ethernet + b"\x08\x00" + ipv4(source, b.address) for source in elsewhere + martian]
    frames += [ethernet + b"\x86\xdd" + ipv6(source, b.address6) for source in elsewhere6 + ["::1", "ff02::1"]]
    before = overlay.daemons[0].counters()
    with Sniffer(b) as sniffer:
        send_frames(a, frames)
        settled(overlay.daemons[0], {"out-source": before["out-source"] + 5, "out-martian": before["out-martian"] + 5})
        # The true source arrives, so the sniffer was looking.
        send_frames(a, [ethernet + b"\x08\x00" + ipv4(a.address, b.address)])
        assert a.ping(b.address)
    assert len(sniffer.frames) == 1


def test_arp_for_remote_addresses_is_not_believed(overlay):
    """A container claims a remote container's address, and a neighbour's."""
    from scapy.layers.l2 import ARP, Ether
    host, daemon = overlay.lab[0], overlay.daemons[0]
    liar, remote = overlay.containers
    victim = overlay.container(host, "c1b", 3)
    assert victim.ping(remote.address) and remote.ping(victim.address) and remote.ping(liar.address)
    frames = []
    for claimed in (remote.address, "172.20.102.1", victim.address):
        for op, to in ((1, "ff:ff:ff:ff:ff:ff"), (2, "ff:ff:ff:ff:ff:ff"), (2, router_mac(daemon))):
            frames.append(bytes(Ether(dst=to, src=liar.mac) /
                                ARP(op=op, hwsrc=liar.mac, psrc=claimed, pdst=claimed, hwdst=to)))
    before = daemon.counters()
    send_frames(liar, frames)
    settled(daemon, {"out-arp": before["out-arp"] + 6})
    # On one bridge containers can fool each other, and the victim's answers may go astray. What the
    # daemon delivers goes to the victim all the same.
    with Sniffer(liar) as at_liar, Sniffer(victim) as at_victim:
        remote.ping(victim.address, count=5, timeout=1, options=("-p", MARK.hex()))
    assert len(at_victim.frames) == 5
    router = router_mac(daemon).replace(":", "")
    assert not [f for f in at_liar.frames if f[12:24] == router], "the liar got the victim's packets"
    victim.run("ip neigh flush dev eth0")
    assert victim.ping(remote.address, count=3)
    assert router_mac(daemon) in victim.run(f"ip neigh show {remote.address}")


def test_a_container_claims_what_is_not_its_own_over_ipv6(overlay):
    """The same with neighbour discovery; and what is asked alone is heard, so nothing is asked again."""
    from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
    from scapy.layers.l2 import Ether
    host, daemon = overlay.lab[0], overlay.daemons[0]
    liar, remote = overlay.containers
    victim = overlay.container(host, "c1b", 3)
    assert victim.ping(remote.address6) and remote.ping(victim.address6)
    before = daemon.counters()
    send_frames(liar, [
        bytes(Ether(dst=to, src=liar.mac) / IPv6(src=liar.address6, dst="ff02::1", hlim=255) /
              ICMPv6ND_NA(tgt=claimed, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=liar.mac))
        for claimed in (remote.address6, victim.address6) for to in ("33:33:00:00:00:01", router_mac(daemon))])
    settled(daemon, {"out-arp": before["out-arp"] + 2, "probe-sent": before["probe-sent"] + 1})
    # Longer than the old owner is given to answer, and than an answer is believed unasked.
    with Sniffer(liar) as at_liar, Sniffer(victim) as at_victim:
        remote.ping(victim.address6, count=8, timeout=1, options=("-i", "1", "-p", MARK.hex()))
    router = router_mac(daemon).replace(":", "")
    assert len(at_victim.frames) == 8
    assert not [f for f in at_liar.frames if f[12:24] == router], "the liar got the victim's packets"
    assert daemon.counters()["probe-sent"] - before["probe-sent"] <= 3


@pytest.fixture
def liar(lab3, io):
    """A stock peer on barge2 that routes all of the overlay to us; we allow it 172.20.102.0/24."""
    ours, theirs, third = keypair(), keypair(), keypair()
    a, b, _ = lab3
    a.bridge("ovl0", address="172.20.101.1/16")
    a.container("c1", address="172.20.101.2/16", gateway="172.20.101.1")
    daemon = Daemon(a, f"[Interface]\nPrivateKey = {ours[0]}\nListenPort = 12345\n[Network]\nBridge = ovl0\n"
                    f"[Peer]\nName = liar\nPublicKey = {theirs[1]}\nAllowedIPs = 172.20.102.0/24\n"
                    f"[Peer]\nName = third\nPublicKey = {third[1]}\nAllowedIPs = 172.20.103.0/24\n", io=io)
    daemon.attached()
    WireguardGo(b, f"[Interface]\nPrivateKey = {theirs[0]}\n[Peer]\nPublicKey = {ours[1]}\n"
                f"Endpoint = {a.underlay}:12345\nAllowedIPs = 0.0.0.0/0\n", ["172.20.102.1/16"])
    assert b.ping("172.20.101.2", timeout=5)
    return daemon, b, a.containers[0]


TUN = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("wg0", 0x0800))
for line in sys.stdin:
    s.send(bytes.fromhex(line.strip()))
"""


@pytest.mark.parametrize("source,destination,counter", [
    ("172.20.103.5", "172.20.101.2", "in-source"),
    ("172.20.101.1", "172.20.101.2", "in-source"),
    ("10.10.10.103", "172.20.101.2", "in-source"),
    ("172.20.102.1", "172.20.103.2", "in-not-local"),
    ("172.20.102.1", "10.10.10.101", "in-network"),
    ("172.20.102.1", "127.0.0.1", "in-martian"),
    ("172.20.102.1", "224.0.0.5", "in-broadcast"),
    ("172.20.102.1", "172.20.255.255", "in-unresolved"),
])
def test_a_peer_that_lies_is_counted(liar, source, destination, counter):
    daemon, stock, container = liar
    before = daemon.counters()
    with Sniffer(container) as sniffer:
        stock.run(["/usr/bin/python3", "-c", TUN], input=(ipv4(source, destination).hex() + "\n") * 5)
        settled(daemon, {counter: before[counter] + 5})
        stock.run(["/usr/bin/python3", "-c", TUN], input=ipv4("172.20.102.1", container.address).hex())
        assert stock.ping(container.address)
    assert len(sniffer.frames) == 1, "only the honest packet arrives"


# Sends bursts of equal datagrams (UDP_SEGMENT), so many a second, and counts what comes back.
FLOOD = """
import base64, json, socket, sys, time
order = json.load(sys.stdin)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((order["address"], 12345))
s.setblocking(False)
bursts = [base64.b64decode(b) for b in order["bursts"]]
s.setsockopt(17, 103, order["size"])
sent = replies = longest = 0
start = time.monotonic()
while (now := time.monotonic() - start) < order["seconds"]:
    if sent < now * order["rate"]:
        try:
            data = bursts[sent // 64 % len(bursts)]
            s.send(data)
        except (BlockingIOError, ConnectionRefusedError):
            pass
        sent += 64
    else:
        time.sleep(0.0005)
    try:
        while True:
            longest = max(longest, len(s.recv(2048)))
            replies += 1
    except (BlockingIOError, ConnectionRefusedError):
        pass
print(json.dumps({"sent": sent, "seconds": now, "replies": replies, "longest": longest}))
"""


def flood_order(address, packets, seconds, rate):
    bursts = [b"".join(packets[i:i + 64]) for i in range(0, len(packets), 64)]
    return {"address": address, "size": len(packets[0]), "seconds": seconds, "rate": rate,
            "bursts": [base64.b64encode(b).decode() for b in bursts]}


def flood(host, address, packets, seconds, rate=60000):
    """@packets: of one size, a multiple of 64 of them."""
    order = flood_order(address, packets, seconds, rate)
    return json.loads(host.run(["/usr/bin/python3", "-c", FLOOD], input=json.dumps(order), timeout=seconds + 30))


def endless_flood(host, address, packets):
    """The same until its process is stopped."""
    process = host.popen(["/usr/bin/python3", "-c", FLOOD], stdin=subprocess.PIPE)
    json.dump(flood_order(address, packets, 600, 60000), process.stdin)
    process.stdin.close()
    return process


def initiation(public_key):
    """An initiation from nobody: its mac1 is right, nothing in it decrypts."""
    key = hashlib.blake2s(b"mac1----" + base64.b64decode(public_key)).digest()
    body = b"\x01\x00\x00\x00" + os.urandom(112)
    return body + hashlib.blake2s(body, key=key, digest_size=16).digest() + bytes(16)


def resident(daemon):
    with open(f"/proc/{daemon.process.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tcp_rate(a, b, seconds):
    """Mbit/s from a to b, and the least of its seconds."""
    server = b.popen("iperf3 -s -1")
    wait_for(lambda: ":1451" in b.run("cat /proc/net/tcp6 /proc/net/tcp"), 10, "iperf3")
    result = json.loads(a.run(["iperf3", "-J", "-t", str(seconds), "-c", b.address], timeout=seconds + 40))
    b.stop(server)
    return (result["end"]["sum_received"]["bits_per_second"] / 1e6,
            min(i["sum"]["bits_per_second"] for i in result["intervals"]) / 1e6)


@pytest.mark.early
def test_pitfall_11_fifty_thousand_bad_handshakes_a_second(lab3, io, record_property):
    """TCP goes on, memory stays flat, and no reply is longer than its request."""
    overlay = Overlay(lab3, io)
    a, b, _ = overlay.containers
    daemon, stranger = overlay.daemons[1], lab3[2]
    assert a.ping(b.address)
    packets = [initiation(overlay.keys[1][1]) for _ in range(2048)]
    # Every second one without a right mac1.
    packets = [p if n % 2 else p[:-32] + os.urandom(16) + bytes(16) for n, p in enumerate(packets)]
    outcome = {}

    def flooded_rate(flood_seconds, seconds):
        thread = threading.Thread(target=lambda: outcome.update(flood(stranger, lab3[1].underlay, packets, flood_seconds)))
        thread.start()
        rates = tcp_rate(a, b, seconds)
        thread.join()
        return rates

    quiet, _ = tcp_rate(a, b, 2)
    # Both at once fill more of the worker's buffers than either alone: they are used once from here on.
    flooded_rate(2, 2)
    before, memory = daemon.counters(), resident(daemon)
    loaded, worst = flooded_rate(10, 8)
    grown = resident(daemon) - memory
    after = daemon.counters()
    risen = {n: after[n] - before[n] for n in after
             if n.startswith(("handshake-", "cookie-")) and after[n] != before[n]}
    record_property("measured", f"{outcome['sent'] / outcome['seconds']:,.0f} bad handshakes/s for "
                    f"{outcome['seconds']:.0f} s: TCP {quiet:,.0f} Mbit/s before, {loaded:,.0f} under it (worst second "
                    f"{worst:,.0f}); {outcome['replies']} replies, the longest {outcome['longest']} B; memory "
                    f"{grown / 1024:+.0f} KiB; {risen}")
    assert outcome["sent"] / outcome["seconds"] > 50_000
    assert loaded > 1 and worst > 0
    assert outcome["longest"] <= 148 and outcome["replies"] <= outcome["sent"]
    assert risen["handshake-mac1"] > 0
    assert grown < 2 << 20
    assert a.ping(b.address)
    assert daemon.peer("barge1")["latest_handshake"] > 0


def test_a_handshake_gets_through_a_flood(lab3, io):
    """A peer that comes up while strangers flood is let in: cookies, and a bounded queue."""
    overlay = Overlay(lab3, io)
    a, b, _ = overlay.containers
    packets = [initiation(overlay.keys[1][1]) for _ in range(2048)]
    process = endless_flood(lab3[2], lab3[1].underlay, packets)
    wait_for(lambda: overlay.daemons[1].drops("handshake-cookie") > 10_000, 10, "the flood")
    start = time.monotonic()
    wait_for(lambda: a.ping(b.address, timeout=1), 30, "a handshake under load")
    print(f"up after {time.monotonic() - start:.1f} s")
    assert process.poll() is None, "the flood went on all the time"


@pytest.mark.parametrize("size", [0, 1, 3, 31, 32, 64, 92, 148, 149, 1400])
def test_junk_is_never_answered(overlay, size):
    """Every first byte with that length; replies would be an oracle."""
    a, b = overlay.containers
    assert a.ping(b.address)
    daemon, stranger = overlay.daemons[0], overlay.lab[1]
    before = daemon.counters()
    script = ("import os, socket\n"
              "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(0.3)\n"
              "for first in list(range(256)) * 4:\n"
              f"  s.sendto((bytes([first]) + (b'\\0\\0\\0' if first & 1 else b'') + os.urandom({size}))[:{size}],"
              f" ('{overlay.lab[0].underlay}', 12345))\n"
              "try:\n  print('answered', s.recv(2048).hex())\nexcept TimeoutError:\n  print('silence')\n")
    assert "silence" in stranger.run(["/usr/bin/python3", "-c", script])

    def counted():
        # What a full socket buffer lost never came to be judged; it is counted, too.
        after = daemon.counters()
        return sum(after[n] - before[n] for n in after
                   if n.startswith(("rx-", "handshake-", "cookie-", "rcv-overflow"))
                   and n not in ("handshake-sent", "handshake-done"))

    wait_for(lambda: counted() >= 1024, 5, "all of the junk in the counters")
    assert a.ping(b.address)


def test_a_roaming_stranger_gets_no_endpoint(overlay):
    """Junk in a peer's name from elsewhere moves nothing: only authentic messages do."""
    a, b = overlay.containers
    assert a.ping(b.address)
    host, other = overlay.lab
    other.run("ip addr add 10.10.10.222/24 dev eth0")
    script = ("import os, socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('10.10.10.222', 0))\n"
              f"for n in range(200):\n  s.sendto(b'\\4\\0\\0\\0' + os.urandom(124), ('{host.underlay}', 12345))\n")
    other.run(["/usr/bin/python3", "-c", script])
    settled(overlay.daemons[0], {"rx-unknown-index": 200})
    assert overlay.daemons[0].peer("barge2")["endpoint"] == overlay.endpoint(other)


def test_no_key_in_the_log_or_the_tool(overlay):
    """Pitfall 35."""
    a, b = overlay.containers
    assert a.ping(b.address)
    for host, daemon in zip(overlay.lab, overlay.daemons):
        private = overlay.keys[host.index][0]
        shown = daemon.log + daemon.ctl("show") + daemon.ctl("show", "--json") + daemon.ctl("show", "drops")
        assert private not in shown
        assert base64.b64decode(private).hex() not in shown
