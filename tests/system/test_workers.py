# SPDX-License-Identifier: MIT
"""Several workers: order, spreading, and everything at once.

With OVLTUN_BUILD set to a build with -Db_sanitize=thread this is the test for data
races of a whole daemon: what ThreadSanitizer says lands in the daemons' logs.
"""
import json
import re
import signal
import time

import pytest

from conftest import Overlay
from lab import Daemon, Lab, keypair, wait_for
from lab.segments import Segments

FOUR = pytest.mark.parametrize("workers", [4], indirect=True)

# Sixteen flows to one port, numbered one by one; every so often an answer, by which the kernel steers.
UDP_SOURCE = """
import socket, struct, sys, time
flows = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
for flow in flows:
    flow.setblocking(False)
    flow.connect((sys.argv[1], 7100))
number, end = 0, time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    for _ in range(4):
        number += 1
        for flow in flows:
            try:
                flow.send(struct.pack("!Q", number) + bytes(900))
            except OSError:
                pass
    for flow in flows:
        try:
            flow.recv(100)
        except OSError:
            pass
    time.sleep(0.001)
print(number)
"""
# Prints how many came, and how many of them behind a later one of their flow: before and after flows settled.
UDP_SINK = """
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
s.bind(("", 7100))
s.settimeout(1.5)
print("up", flush=True)
last, came, late, start = {}, 0, [0, 0], None
while True:
    try:
        data, sender = s.recvfrom(2048)
    except socket.timeout:
        if start is None:
            continue
        break
    now = time.monotonic()
    start = start or now
    number, = struct.unpack_from("!Q", data)
    came += 1
    if number < last.get(sender, 0):
        late[now - start > 1] += 1
    else:
        last[sender] = number
    if number % 32 == 0:
        s.sendto(b"heard", sender)
print(came, len(last), *late)
"""


def netstat(container, *names):
    """The kernel's own counters of a container."""
    lines = container.run("cat /proc/self/net/netstat").splitlines()
    found = {}
    for head, values in zip(lines[::2], lines[1::2]):
        found.update(zip(head.split()[1:], map(int, values.split()[1:])))
    return {name: found[name] for name in names}


@pytest.mark.parametrize("workers", [2, 4], indirect=True)
def test_udp_flows_keep_their_order(lab, io, workers, record_property):
    overlay = Overlay(lab, io)
    a, b = overlay.containers
    assert a.ping(b.address) and overlay.daemons[0].show()["device"]["workers"] == workers
    sinks = [c.popen(["/usr/bin/python3", "-c", UDP_SINK]) for c in (a, b)]
    for sink in sinks:
        assert sink.stdout.readline() == "up\n"
    sources = [c.popen(["/usr/bin/python3", "-c", UDP_SOURCE, other.address, "4"]) for c, other in ((a, b), (b, a))]
    told = []
    for source, sink in zip(sources, reversed(sinks)):
        sent = 16 * int(source.communicate(timeout=30)[0])
        came, flows, early, late = map(int, sink.communicate(timeout=30)[0].split())
        told.append(f"{came} of {sent}, {early} early and {late} settled ones out of order")
        assert flows == 16 and came > sent / 4
        assert late == 0, told
    record_property("measured", "; ".join(told))


@pytest.mark.parametrize("workers", [2, 4], indirect=True)
def test_tcp_flows_keep_their_order(lab, io, workers, record_property):
    overlay = Overlay(lab, io)
    a, b = overlay.containers
    assert a.ping(b.address)
    b.popen("iperf3 -s -1")
    wait_for(lambda: "5201" in b.run("ss -Hltn"), 5, "iperf3 to listen")
    names = ("TCPSACKReorder", "TCPTSReorder", "TCPRenoReorder")
    before = netstat(a, *names)
    result = json.loads(a.run(f"iperf3 -J -P 16 -t 3 -c {b.address}", timeout=60))["end"]
    after = netstat(a, *names)
    record_property("measured", f"{result['sum_received']['bits_per_second'] / 1e9:.2f} Gb/s, "
                                f"{result['sum_sent']['retransmits']} retransmits")
    # What the sender's TCP itself found to have been overtaken, not lost.
    assert after == before, (before, after)


@FOUR
def test_peers_are_spread_over_sockets(lab, io):
    """Each peer is heard by one worker; a second daemon does not get a share of them."""
    overlay = Overlay(lab, io)
    host = lab[0]
    assert overlay.containers[0].ping(overlay.containers[1].address)
    assert len(re.findall(r"0\.0\.0\.0:12345\s", host.run("ss -Hlun"))) == 4
    assert host.run("ip -d link show ovt-ovl0").count("multi_queue") == 1
    host.bridge("ovl9")
    other = Daemon(host, overlay.config(host).replace("ovl0", "ovl9"), name="other", io=io, start=False)
    with pytest.raises(Exception, match="UDP port 12345 is in use by another program"):
        other.start()
    assert len(re.findall(r"0\.0\.0\.0:12345\s", host.run("ss -Hlun"))) == 4


def test_a_change_waits_for_the_next_start(overlay):
    daemon, host = overlay.daemons[0], overlay.lab[0]
    text = overlay.config(host)
    daemon.write(text.replace("[Interface]\n", "[Interface]\nWorkers = 3\n"))
    assert "Workers = 3 is for the next start of the daemon\n" in daemon.ctl("reload")
    assert daemon.log.count("Workers = 3 is for the next start: 1 run until then") == 1
    assert daemon.show()["device"]["workers"] == 1
    daemon.stop()
    daemon.start()
    daemon.attached()
    assert daemon.show()["device"]["workers"] == 3 and ", 3 workers, " in daemon.log and "3 workers" in daemon.ctl("show")
    assert overlay.containers[0].ping(overlay.containers[1].address)
    assert "next start" not in daemon.ctl("reload")


@FOUR
def test_the_tap_is_deleted(lab, io):
    """Every worker hears of it; it is made again once."""
    overlay = Overlay(lab, io)
    daemon, host = overlay.daemons[0], lab[0]
    a, b = overlay.containers
    assert a.ping(b.address)
    for _ in range(5):
        seen = daemon.log.count("is made again")
        host.run("ip link del ovt-ovl0")
        wait_for(lambda: daemon.log.count("is made again") > seen, 5, "another TAP")
        wait_for(lambda: a.ping(b.address, timeout=1), 10, "traffic to come back")
    time.sleep(2.5)
    assert daemon.log.count("is made again") == 5


class Mixed(Segments):
    """A bridged segment and a routed network on three hosts."""

    def peer(self, other):
        return super().peer(other) + f"AllowedIPs = 172.20.{101 + other.index}.0/24\n"

    def extra_peers(self, keys, offset):
        return "".join(f"[Peer]\nPublicKey = {key}\nVNIs = 7\nAllowedIPs = 172.20.{200 + (i + offset) % 50}.0/24\n"
                       for i, key in enumerate(keys))


# One way only, so that a flow's queue is the one that its hash says: all workers seal for one peer.
SCATTER = """
import socket, sys, time
flows = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(32)]
while True:
    for i, flow in enumerate(flows):
        flow.sendto(bytes(i * 40), (sys.argv[1], 7200))
    time.sleep(0.02)
"""
ROUTED = "[Network]\nBridge = ovl0\nRange = 172.20.{0}.0/24\n"


class Load:
    """TCP, UDP and pings between pairs of containers, until stopped."""

    def __init__(self, pairs):
        self.processes = []
        for number, (a, b) in enumerate(pairs):
            b.popen(["iperf3", "-s", "-p", str(5300 + number)])
            wait_for(lambda c=b, n=number: str(5300 + n) in c.run("ss -Hltn"), 5, "iperf3 to listen")
            self.processes.append(a.popen(["iperf3", "-P", "3", "-t", "60", "-p", str(5300 + number), "-c", b.address]))
            self.processes.append(a.popen(["ping", "-n", "-q", "-i", "0.005", "-s", "1000", b.address]))
            b.run("nft add table ip quiet")
            b.run(["nft", "add chain ip quiet in { type filter hook input priority 0; }"])
            b.run("nft add rule ip quiet in udp dport 7200 drop")
            self.processes.append(a.popen(["/usr/bin/python3", "-c", SCATTER, b.address]))

    def stop(self, lab):
        for process in self.processes:
            lab.stop(process, signal.SIGINT)


@pytest.mark.early
@FOUR
def test_everything_at_once(lab3, io):
    """Four workers a daemon: loads, announcements, handshakes, roaming, another port, kill -9, under traffic."""
    for host in lab3:
        host.bridge("ovl0", address=f"172.20.{101 + host.index}.1/16")
    mixed = Mixed(lab3, io, extra={h.index: ROUTED.format(101 + h.index) for h in lab3})
    routed = [h.container(f"r{h.index}", address=f"172.20.{101 + h.index}.2/16",
                          gateway=f"172.20.{101 + h.index}.1") for h in lab3]
    first, _, third = mixed.daemons
    seg = mixed.containers[7]
    for group in (seg, routed):
        wait_for(lambda g=group: g[0].ping(g[1].address) and g[2].ping(g[0].address), 20, "every network")
    load = Load([(group[i], group[(i + 1) % 3]) for group in (seg, routed) for i in range(3)])
    keys = [keypair()[1] for _ in range(20)]
    stranger, end, step = keypair(), time.monotonic() + 9, 0
    while time.monotonic() < end:
        step += 1
        first.write(mixed.config(lab3[0]) + mixed.extra_peers(keys[step % 5:], step))
        first.ctl("reload")
        # New addresses in the segment, heard by ARP and announced to the others.
        seg[0].run(f"ip addr replace 10.7.1.{step % 100 + 100}/16 dev eth0")
        seg[0].run(f"busybox arping -U -c 1 -I eth0 10.7.1.{step % 100 + 100}", check=False)
        first.ctl("show", "--json")
        first.ctl("fdb", "list", "seg7")
        if step % 3 == 0:
            # Another port: the others see the peer roam. New keys for a moment: handshakes with everyone.
            first.ctl("peer", "set", "barge2", "endpoint", f"10.10.10.102:{12345 + step % 2}")
            first.write(mixed.config(lab3[0]).replace("ListenPort = 12345", f"ListenPort = {12350 + step}"))
            first.ctl("reload")
            first.write(mixed.config(lab3[0]).replace(mixed.keys[0][0], stranger[0]))
            first.ctl("reload")
        if step == 6:
            third.stop(signal.SIGKILL)
            third.start()
    first.write(mixed.config(lab3[0]))
    first.ctl("reload")
    load.stop(lab3[0])
    for group in (seg, routed):
        wait_for(lambda g=group: g[0].ping(g[1].address) and g[2].ping(g[0].address), 30, "every network once more")
    for daemon in mixed.daemons:
        daemon.stop()
        assert daemon.process.returncode == 0, daemon.log
        assert "Sanitizer" not in daemon.log, daemon.log
    assert step > 5, "slow"
