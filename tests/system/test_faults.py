# SPDX-License-Identifier: MIT
"""What goes wrong on real hosts, and how soon traffic is back."""
import os
import re
import signal
import time

import pytest

from conftest import Overlay
from lab import wait_for
from lab.relay import Relay


def back_within(overlay, seconds, sender=0, receiver=1):
    a, b = overlay.containers[sender], overlay.containers[receiver]
    start = time.monotonic()
    wait_for(lambda: a.ping(b.address, timeout=1), seconds, "traffic to come back")
    return time.monotonic() - start


@pytest.mark.early
@pytest.mark.workers(two="long")
def test_kill_and_restart(overlay):
    a, b = overlay.containers
    assert a.ping(b.address)
    cached = a.run(f"ip neigh show {b.address}").split()[2:5]
    overlay.daemons[0].stop(signal.SIGKILL)
    overlay.daemons[0].start()
    overlay.daemons[0].attached()
    print(f"back after {back_within(overlay, 20):.1f} s")
    # The router MAC is the same, so the container's cache was right all the time.
    assert a.run(f"ip neigh show {b.address}").split()[2:5] == cached
    overlay.daemons[1].stop(signal.SIGKILL)
    overlay.daemons[1].start()
    overlay.daemons[1].attached()
    print(f"and after {back_within(overlay, 20):.1f} s when the other end was killed")


def test_bridge_deleted_and_made_again(overlay):
    host = overlay.lab[0]
    a, b = overlay.containers
    assert a.ping(b.address)
    host.run("ip link del ovl0")
    wait_for(lambda: not overlay.daemons[0].show()["networks"][0]["attached"], 5)
    host.bridge("ovl0", address="172.20.101.1/16", address6="fd20:101::1/16")
    host.run(f"ip link set {a.port} master ovl0")
    overlay.daemons[0].attached()
    back_within(overlay, 10)


def test_what_others_change_is_put_right(overlay):
    host, daemon = overlay.lab[0], overlay.daemons[0]
    tap = daemon.show()["networks"][0]["tap"]
    a, b = overlay.containers
    before = host.run(f"ip -br link show {tap}").split()[2]
    for change in (f"ip link set {tap} down", f"ip link set {tap} address 02:00:00:00:00:99", f"ip link set {tap} nomaster",
                   f"ip link set {tap} mtu 900"):
        host.run(change)
        wait_for(lambda: daemon.show()["networks"][0]["attached"] and a.ping(b.address, timeout=1, size=1400), 10, change)
    link = host.run(f"ip link show {tap}")
    assert "master ovl0" in link and "mtu 1500" in link and before in link


def test_tap_deleted_by_someone(overlay):
    host, daemon = overlay.lab[0], overlay.daemons[0]
    host.run(f"ip link del {daemon.show()['networks'][0]['tap']}")
    back_within(overlay, 10)
    assert daemon.show()["networks"][0]["attached"]


def test_underlay_address_changes(overlay):
    """Roaming: the other end follows with the next packet."""
    host = overlay.lab[0]
    a, b = overlay.containers
    assert a.ping(b.address)
    host.run("ip addr add 10.10.10.201/24 dev eth0")
    host.run(f"ip addr del {host.underlay}/24 dev eth0")
    host.run("ip addr del 10.10.10.201/24 dev eth0", check=False)
    host.run("ip addr add 10.10.10.201/24 dev eth0")
    print(f"back after {back_within(overlay, 20):.2f} s")
    wait_for(lambda: overlay.daemons[1].peer("barge1")["endpoint"] == "10.10.10.201:12345", 5)
    assert b.ping(a.address)


def test_pitfall_25_source_address_removed_in_mid_flow(overlay):
    host = overlay.lab[0]
    host.run("ip addr add 10.10.10.150/24 dev eth0")
    a, b = overlay.containers
    overlay.daemons[1].wg("set", "peers", "peer", overlay.keys[0][1], "endpoint", "10.10.10.150:12345")
    assert b.ping(a.address)
    assert a.ping(b.address)
    host.run("ip addr del 10.10.10.150/24 dev eth0")
    assert back_within(overlay, 20) < 20


def test_pitfall_34_container_restarted_with_another_mac(overlay):
    host = overlay.lab[1]
    a, b = overlay.containers
    assert a.ping(b.address)
    b.close()
    again = overlay.container(host, "c2", 2, mac="02:11:22:33:44:55")
    overlay.containers[1] = again
    print(f"back after {back_within(overlay, 10):.1f} s")


@pytest.mark.parametrize("percent", [1, 5, 20])
def test_loss_on_the_underlay(overlay, percent):
    for host in overlay.lab:
        host.loss(percent)
    a, b = overlay.containers
    wait_for(lambda: a.ping(b.address, timeout=1), 60, "a session over a lossy net")
    # All at once: what is lost does not depend on what was.
    said = a.run(["ping", "-n", "-q", "-c", "30", "-i", "0.05", "-W", "1", b.address], check=False)
    answered = int(re.search(r"(\d+) received", said)[1])
    assert answered >= 30 * (1 - percent / 100) ** 2 * 0.5
    assert overlay.daemons[0].peer("barge2")["latest_handshake"] > 0


NUMBERS = 20000
SENDER = """
import socket, struct, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range({count}):
    s.sendto(struct.pack("!I", n) + bytes(60), ("{address}", 9))
    if n % 50 == 0:
        time.sleep(0.004)
"""
RECEIVER = """
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
s.bind(("", 9))
print("up", flush=True)
seen = {}
s.settimeout(3)
try:
    while True:
        n = struct.unpack("!I", s.recv(2048)[:4])[0]
        seen[n] = seen.get(n, 0) + 1
except socket.timeout:
    pass
print(len(seen), sum(seen.values()) - len(seen))
"""


def numbered(a, b, count=NUMBERS):
    """Sends numbered datagrams; how many arrived, and how many twice."""
    receiver = b.popen(["/usr/bin/python3", "-c", RECEIVER])
    assert receiver.stdout.readline() == "up\n"
    a.run(["/usr/bin/python3", "-c", SENDER.format(count=count, address=b.address)])
    out, _ = receiver.communicate(timeout=60)
    return tuple(int(n) for n in out.split())


def through_relay(lab, io, **manners):
    """An overlay whose barge1 reaches barge2 through a relay on the underlay."""
    overlay = Overlay(lab, io, start=False)
    relay = Relay(lab, target=(lab[1].underlay, 12345), **manners)
    original = overlay.endpoint
    overlay.endpoint = lambda host: relay.address if host is lab[1] else original(host)
    overlay.daemons = [overlay.daemon(host) for host in lab]
    for daemon in overlay.daemons:
        daemon.attached()
    return overlay, relay


def test_reorder_and_duplication(lab, io):
    """Shuffled within 4,096, and every datagram twice: all arrive, none twice."""
    overlay, relay = through_relay(lab, io)
    a, b = overlay.containers
    assert a.ping(b.address, timeout=5)
    relay.manners(shuffle=4096, duplicate=True)
    received, doubled = numbered(a, b)
    print(f"{received} of {NUMBERS} received, {doubled} doubled, {overlay.daemons[1].drops('rx-replay')} replays refused")
    assert (received, doubled) == (NUMBERS, 0)
    assert overlay.daemons[1].drops("rx-replay") >= NUMBERS - 100


def test_replay_of_a_hundred_thousand(lab, io):
    overlay, relay = through_relay(lab, io)
    a, b = overlay.containers
    assert a.ping(b.address, timeout=5)
    relay.manners(record=5000)
    assert numbered(a, b, 5000) == (5000, 0)
    before = b.run("cat /proc/net/dev").split("eth0:")[1].split()[1]
    refused = overlay.daemons[1].drops("rx-replay")
    relay.replay(times=20)
    wait_for(lambda: overlay.daemons[1].drops("rx-replay") - refused >= 90_000, 30, "the replays to be counted")
    after = b.run("cat /proc/net/dev").split("eth0:")[1].split()[1]
    assert int(after) - int(before) < 20  # ND and the like; none of the 100,000
    assert a.ping(b.address)


def test_both_sides_initiate_at_once(lab, io):
    overlay = Overlay(lab, io)
    a, b = overlay.containers
    one = a.popen(["ping", "-n", "-c", "1", "-W", "12", b.address])
    two = b.popen(["ping", "-n", "-c", "1", "-W", "12", a.address])
    assert one.wait(15) == 0 and two.wait(15) == 0


def test_pitfall_26_memory_is_flat_under_junk(overlay):
    """Datagrams of unknown type leave nothing behind."""
    daemon, other = overlay.daemons[0], overlay.lab[1]
    script = ("import os, socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              "for n in range(200000):\n"
              f"  s.sendto(os.urandom(1 + n % 200), ('{overlay.lab[0].underlay}', 12345))\n")

    def resident():
        return int(open(f"/proc/{daemon_pid(daemon)}/statm", encoding="ascii").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    other.run(["/usr/bin/python3", "-c", script.replace("200000", "20000")])
    before = resident()
    other.run(["/usr/bin/python3", "-c", script], timeout=120)
    wait_for(lambda: daemon.drops("rx-malformed") > 20000, 10)
    assert resident() - before < 1 << 20
    assert overlay.containers[0].ping(overlay.containers[1].address)


def daemon_pid(daemon):
    return daemon.process.pid
