# SPDX-License-Identifier: MIT
"""Containers on several hosts talk, over both families, inside and outside."""
import re

import pytest

from conftest import Overlay
from lab import Daemon, Lab, keypair, wait_for
from lab.transfer import transfer


@pytest.mark.workers
def test_three_hosts_ping_each_other(overlay3):
    for a in overlay3.containers:
        for b in overlay3.containers:
            if a is not b:
                assert a.ping(b.address, count=3), f"{a.name} to {b.name}"
                assert a.ping(b.address6, count=3), f"{a.name} to {b.name} over IPv6"


@pytest.mark.parametrize("over", [4, 6])
@pytest.mark.parametrize("psk", [False, True])
def test_outer_family_and_preshared_key(lab, io, over, psk):
    overlay = Overlay(lab, io, over=over, psk=psk)
    a, b = overlay.containers
    assert a.ping(b.address)
    assert b.ping(a.address6)
    assert overlay.daemons[0].peer("barge2")["endpoint"] == overlay.endpoint(lab[1])


def test_the_host_itself_reaches_containers(overlay):
    a, b = overlay.lab
    assert a.ping(overlay.containers[1].address)
    assert a.ping(overlay.containers[1].address6)
    assert a.ping("172.20.102.1")
    assert overlay.containers[0].ping("172.20.102.1")


def test_neighbours_on_one_bridge_are_left_alone(overlay):
    host = overlay.lab[0]
    second = overlay.container(host, "c1b", 3)
    before = overlay.daemons[0].counters()
    assert overlay.containers[0].ping(second.address, count=3)
    mac = re.search(r"lladdr (\S+)", overlay.containers[0].run(f"ip neigh show {second.address}")).group(1)
    assert mac == second.mac
    after = overlay.daemons[0].counters()
    assert after["arp-answered"] == before["arp-answered"]


def test_remote_addresses_are_at_the_router_mac(overlay):
    a, b = overlay.containers
    assert a.ping(b.address) and a.ping(b.address6)
    router = overlay.daemons[0].show()["networks"][0]["router_mac"]
    for address in (b.address, b.address6):
        assert re.search(r"lladdr (\S+)", a.run(f"ip neigh show {address}")).group(1) == router
    # The other host's gateway is remote like any other address; one's own is the bridge's.
    assert a.ping("172.20.101.1")
    own = re.search(r"lladdr (\S+)", a.run("ip neigh show 172.20.101.1")).group(1)
    assert own != router


@pytest.mark.workers
@pytest.mark.parametrize("family", [4, 6])
def test_tcp_arrives_whole_both_ways(overlay, family):
    a, b = overlay.containers
    for sender, receiver in ((a, b), (b, a)):
        sent, received = transfer(sender, receiver, receiver.address if family == 4 else receiver.address6, 20)
        assert sent == received


def test_udp_of_every_size(overlay):
    """Odd lengths, and lengths on both sides of every limit, arrive as they were sent."""
    a, b = overlay.containers
    sizes = list(range(1, 130)) + list(range(1360, 1480)) + [2000, 2900, 4000, 8000]
    echo = b.popen(["/usr/bin/python3", "-c", "import socket\n"
                    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.setsockopt(0, 10, 0)\ns.bind(('', 7))\nprint('up', flush=True)\n"
                    "while True:\n d, w = s.recvfrom(65535)\n s.sendto(d, w)"])
    assert echo.stdout.readline() == "up\n"
    script = ("import hashlib, socket, sys\n"
              "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(3)\n"
              # Fragments are let out: a UDP sender that does not do path MTU discovery.
              "s.setsockopt(socket.IPPROTO_IP, 10, 0)\n"
              f"for n in {sizes}:\n"
              " d = hashlib.shake_256(str(n).encode()).digest(n)\n"
              f" s.sendto(d, ('{b.address}', 7))\n"
              " assert s.recvfrom(65535)[0] == d, n\n"
              "print('all', n)")
    assert "all 8000" in a.run(["/usr/bin/python3", "-c", script])


def test_nothing_in_plaintext_on_the_underlay(overlay):
    host = overlay.lab[0]
    dump = host.popen("tcpdump -i eth0 -n -s 0 -U -w - -c 40 udp", stdout=-1, stderr=-3)
    a, b = overlay.containers
    marker = "4f564c54554e2d504c41494e"  # OVLTUN-PLAIN
    wait_for(lambda: a.ping(b.address, count=5, options=("-p", marker)), 5)
    for _ in range(10):
        a.ping(b.address, count=5, options=("-p", marker))
        if dump.poll() is not None:
            break
    host.stop(dump)
    captured = dump.stdout.buffer.read() if hasattr(dump.stdout, "buffer") else dump.stdout.read()
    assert len(captured) > 2000
    assert bytes.fromhex(marker) not in captured


def test_sigterm_leaves_nothing_behind(overlay):
    host, daemon = overlay.lab[0], overlay.daemons[0]
    tap = daemon.show()["networks"][0]["tap"]
    assert tap in host.run("ip -br link")
    assert daemon.stop() == 0
    assert tap not in host.run("ip -br link")
    assert not daemon.socket.exists() and not daemon.uapi.exists()


def test_stock_wg_config_with_bridge(lab, io):
    overlay = Overlay(lab, io, start=False)
    daemons = []
    for host in lab:
        text = re.sub(r"\[Network\][^\[]*", "", overlay.config(host)).replace("Name = ", "# Name = ")
        text = text.replace("[Interface]\n", "[Interface]\nAddress = 10.0.0.1/24\nDNS = 10.0.0.53\n")
        daemons.append(Daemon(host, text, name="wg0", io=io, options=["--bridge", "ovl0"]))
    for daemon in daemons:
        daemon.attached()
    a, b = overlay.containers
    assert a.ping(b.address)
    # wg-quick's own keys: one warning each.
    assert daemons[0].log.count("Address") == 1 and daemons[0].log.count("DNS") == 1


def test_stock_full_tunnel_leaves_containers_alone(lab, io):
    """A peer that claims everything: our own containers' addresses are not answered for."""
    host = lab[0]
    host.bridge("ovl0", address="172.20.101.1/16", address6="fd20:101::1/64")
    stock = (f"[Interface]\nPrivateKey = {keypair()[0]}\n"
             f"[Peer]\nPublicKey = {keypair()[1]}\nEndpoint = {lab[1].underlay}:9\nAllowedIPs = 0.0.0.0/0, ::/0\n")
    daemon = Daemon(host, stock, name="wg0", io=io, options=["--bridge", "ovl0"])
    daemon.attached()
    problem = wait_for(lambda: daemon.show()["networks"][0]["problem"], 10)
    assert problem.endswith("AllowedIPs 0.0.0.0/0 claims all of Subnet 172.20.0.0/16, so nothing lives here: "
                            "give the network a Range")
    a, b = (host.container(f"c{i}", address=f"172.20.101.{i}/16") for i in (2, 3))
    a.sysctl("net.ipv6.conf.eth0.accept_dad", 1)
    a.run("ip -6 addr add fd20:101::2/64 dev eth0")
    b.run("ip -6 addr add fd20:101::3/64 dev eth0 nodad")
    wait_for(lambda: "tentative" not in a.run("ip -6 addr show dev eth0"), 10, "the end of DAD")
    assert "dadfailed" not in a.run("ip -6 addr show dev eth0")
    for address in ("172.20.101.3", "fd20:101::3"):
        assert a.ping(address, count=5)
        assert b.mac in a.run(f"ip neigh show {address}")
    assert a.ping("172.20.101.1")
    counters = daemon.counters()
    assert counters["arp-answered"] == counters["nd-answered"] == counters["probe-sent"] == 0
    assert daemon.log.count("claims all of") == 2  # once a family


def test_a_bridge_that_comes_late_goes_and_comes_back(lab, io):
    overlay = Overlay(lab, io, start=False)
    host = lab[0]
    host.containers[0].close()
    host.run("ip link del ovl0")
    overlay.daemons = [overlay.daemon(h) for h in lab]
    assert "ovl0" in overlay.daemons[0].log
    for _ in range(2):
        host.bridge("ovl0", address="172.20.101.1/16", address6="fd20:101::1/16")
        container = overlay.container(host, "c1", 2)
        overlay.daemons[0].attached()
        assert wait_for(lambda: container.ping(overlay.containers[1].address, timeout=1), 15)
        container.close()
        host.run("ip link del ovl0")
        wait_for(lambda: not overlay.daemons[0].show()["networks"][0]["attached"], 5)
