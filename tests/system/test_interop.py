# SPDX-License-Identifier: MIT
"""Stock WireGuard on the other end: Debian's wireguard-go, and wg(8) on our socket.

The stock host has an interface wg0 with one address of the overlay and sees plain
IP packets only.
"""
import json
import re
import subprocess

import pytest

from conftest import sharedkey
from lab import Daemon, WireguardGo, keypair, wait_for

STOCK = "172.20.102.9"
STOCK6 = "fd20:102::9"


class Mixed:
    """ovltund with one container on barge1, wireguard-go on barge2."""

    def __init__(self, lab, io, over=4, psk=None):
        self.a, self.b = lab
        self.ours, self.theirs = keypair(), keypair()
        end = (lambda h: h.underlay) if over == 4 else (lambda h: f"[{h.underlay6}]")
        self.end = end
        shared = f"PresharedKey = {psk}\n" if psk else ""
        self.a.bridge("ovl0", address="172.20.101.1/16", address6="fd20:101::1/16")
        self.container = self.a.container("c1", address="172.20.101.2/16", gateway="172.20.101.1",
                                          address6="fd20:101::2/16")
        self.daemon = Daemon(self.a, f"[Interface]\nPrivateKey = {self.ours[0]}\nListenPort = 12345\n"
                             "[Network]\nBridge = ovl0\n"
                             f"[Peer]\nName = stock\nPublicKey = {self.theirs[1]}\n{shared}"
                             f"Endpoint = {end(self.b)}:51820\nAllowedIPs = 172.20.102.0/24, fd20:102::/64\n", io=io)
        self.stock = WireguardGo(self.b, f"[Interface]\nPrivateKey = {self.theirs[0]}\nListenPort = 51820\n"
                                 f"[Peer]\nPublicKey = {self.ours[1]}\n{shared}"
                                 f"Endpoint = {end(self.a)}:12345\nAllowedIPs = 172.20.101.0/24, fd20:101::/64\n",
                                 [f"{STOCK}/32", f"{STOCK6}/128"])
        self.b.run("ip route add 172.20.101.0/24 dev wg0")
        self.b.run("ip route add fd20:101::/64 dev wg0")
        self.daemon.attached()


@pytest.fixture(params=[4, 6], ids=["over4", "over6"])
def over(request):
    return request.param


@pytest.mark.parametrize("with_psk", [False, True], ids=["", "psk"])
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_either_side_initiates(lab, io, over, with_psk, first):
    mixed = Mixed(lab, io, over, sharedkey() if with_psk else None)
    if first == "ours":
        assert mixed.container.ping(STOCK, timeout=5)
        assert mixed.daemon.counters()["handshake-sent"] == 1
    else:
        assert mixed.b.ping(mixed.container.address, timeout=5)
        assert mixed.daemon.counters()["handshake-sent"] == 0
    assert mixed.container.ping(STOCK6, count=3)
    assert mixed.b.ping(mixed.container.address6, count=3)
    peer = mixed.daemon.peer("stock")
    assert peer["hello"] is None
    assert peer["latest_handshake"] > 0


def test_tcp_both_ways(lab, io):
    mixed = Mixed(lab, io)
    assert mixed.container.ping(STOCK, timeout=5)
    for options in ([], ["-R"], ["-P", "4"]):
        # A server a run: one that has just served says "busy" for a moment.
        server = mixed.b.popen("iperf3 -s -1")
        wait_for(lambda: ":1451 00" in mixed.b.run("cat /proc/net/tcp6 /proc/net/tcp"), 10, "iperf3")
        result = json.loads(mixed.container.run(["iperf3", "-J", "-n", "30M", "-c", STOCK, *options]))
        assert result["end"]["sum_received"]["bytes"] >= 20_000_000
        assert server.wait(10) == 0


def test_a_wrong_preshared_key_gets_no_session(lab, io):
    mixed = Mixed(lab, io, psk=sharedkey())
    mixed.stock.wg("set", "wg0", "peer", mixed.ours[1], "preshared-key", "/dev/null")
    assert not mixed.container.ping(STOCK, timeout=2)
    assert mixed.daemon.peer("stock")["latest_handshake"] == 0


def test_wg_show_is_as_with_wireguard_go(lab, io):
    mixed = Mixed(lab, io)
    assert mixed.container.ping(STOCK, timeout=5)
    ours = mixed.daemon.wg("show", "peers", "dump").strip().split("\n")
    theirs = mixed.stock.wg("show", "wg0", "dump").strip().split("\n")
    assert [len(line.split("\t")) for line in ours] == [len(line.split("\t")) for line in theirs]
    device, peer = ours[0].split("\t"), ours[1].split("\t")
    assert device == [mixed.ours[0], mixed.ours[1], "12345", "off"]
    assert peer[:4] == [mixed.theirs[1], "(none)", f"{mixed.b.underlay}:51820", "172.20.102.0/24,fd20:102::/64"]
    assert int(peer[4]) > 0 and int(peer[5]) > 0 and int(peer[6]) > 0
    text = mixed.daemon.wg("show", "peers")
    for word in ("interface: peers", "listening port: 12345", "latest handshake:", "transfer:", "allowed ips: 172.20.102.0/24"):
        assert word in text
    # Both ends count the same bytes.
    reverse = theirs[1].split("\t")
    assert abs(int(peer[5]) - int(reverse[6])) < 400 and abs(int(peer[6]) - int(reverse[5])) < 400


def test_wg_set_changes_and_moves(lab, io):
    mixed = Mixed(lab, io)
    daemon, other = mixed.daemon, keypair()
    assert mixed.container.ping(STOCK, timeout=5)
    daemon.wg("set", "peers", "peer", other[1], "allowed-ips", "172.20.102.9/32,172.20.103.0/24", "endpoint",
              "10.10.10.109:7", "persistent-keepalive", "25")
    dump = daemon.wg("show", "peers", "dump")
    assert f"{other[1]}\t(none)\t10.10.10.109:7\t172.20.102.9/32,172.20.103.0/24\t0\t" in dump
    assert dump.strip().endswith("25") or "\t25\n" in dump
    # The longer prefix is the other's now.
    assert not mixed.container.ping(STOCK, timeout=1)
    # As wg does it: a prefix that is given to one peer leaves the one that had it.
    daemon.wg("set", "peers", "peer", mixed.theirs[1], "allowed-ips", "172.20.102.0/24,172.20.102.9/32,fd20:102::/64")
    assert mixed.container.ping(STOCK, timeout=2)
    assert f"{other[1]}\t(none)\t10.10.10.109:7\t172.20.103.0/24\t" in daemon.wg("show", "peers", "dump")
    daemon.wg("set", "peers", "peer", other[1], "remove")
    assert other[1] not in daemon.wg("show", "peers", "dump")
    assert mixed.container.ping(STOCK, timeout=2)


def test_wg_syncconf_keeps_the_session(lab, io):
    mixed = Mixed(lab, io)
    daemon = mixed.daemon
    assert mixed.container.ping(STOCK, timeout=5)
    other = keypair()
    before = daemon.peer("stock")["latest_handshake"]
    path = daemon.folder / "sync.conf"
    path.write_text(daemon.wg("showconf", "peers") + f"\n[Peer]\nPublicKey = {other[1]}\nAllowedIPs = 172.20.104.0/24\n")
    daemon.wg("syncconf", "peers", path)
    assert other[1] in daemon.wg("show", "peers", "peers")
    assert mixed.container.ping(STOCK, timeout=2)
    assert daemon.peer("stock")["latest_handshake"] == before
    assert daemon.counters()["handshake-sent"] <= 1


def test_wg_refuses_what_it_refuses(lab, io):
    mixed = Mixed(lab, io)
    out = mixed.daemon.wg("set", "peers", "peer", mixed.theirs[1], "endpoint", "10.10.10.102:0", check=False)
    before = mixed.daemon.wg("show", "peers", "dump")
    assert "172.20.102.0/24" in before
    assert out is not None



@pytest.mark.skipif(subprocess.run(["which", "tshark"], capture_output=True, check=False).returncode != 0,
                    reason="tshark is not installed")
def test_tshark_believes_our_handshake(lab, io, tmp_path):
    """Wireshark's dissector, which knows our private key, finds the handshake right and decrypts the data."""
    mixed = Mixed(lab, io)
    capture = tmp_path / "wg.pcapng"
    dump = mixed.a.popen(["tcpdump", "-i", "eth0", "-n", "-s", "0", "-U", "--immediate-mode", "-w", str(capture), "udp"])
    wait_for(lambda: capture.exists() and capture.stat().st_size > 0, 10, "tcpdump")
    assert mixed.b.ping(mixed.container.address, timeout=5, count=5)
    wait_for(lambda: capture.stat().st_size > 1500, 10, "the packets in the capture")
    mixed.a.stop(dump)
    keys = tmp_path / "keys"
    keys.write_text(f"LOCAL_STATIC_PRIVATE_KEY = {mixed.ours[0]}\nLOCAL_STATIC_PRIVATE_KEY = {mixed.theirs[0]}\n"
                    f"REMOTE_STATIC_PUBLIC_KEY = {mixed.ours[1]}\nREMOTE_STATIC_PUBLIC_KEY = {mixed.theirs[1]}\n")
    fields = subprocess.run(["tshark", "-r", str(capture), "-d", "udp.port==12345,wg", "-o", f"wg.keylog_file:{keys}",
                             "-T", "fields", "-e", "wg.type", "-e", "wg.handshake_ok", "-e", "wg.static.known_pubkey"],
                            capture_output=True, text=True, check=True).stdout
    types = [line.split("\t")[0] for line in fields.splitlines()]
    assert types.count("1") == 1 and types.count("2") == 1 and types.count("4") >= 5
    # The initiator's static key decrypts with the responder's private key, which is ours.
    assert re.search(r"^1\t.*\t?1", fields, re.M), fields


@pytest.mark.long
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_rekeys_in_real_time_lose_nothing(lab, io, first):
    """Five minutes of traffic with a stock peer, through two rekeys, either side being the initiator."""
    mixed = Mixed(lab, io)
    sender, target = (mixed.container, STOCK) if first == "ours" else (mixed.b, mixed.container.address)
    assert sender.ping(target, timeout=5)
    out = sender.run(["ping", "-n", "-q", "-i", "0.02", "-w", "300", target], timeout=320)
    sent, received = (int(n) for n in re.search(r"(\d+) packets transmitted, (\d+) received", out).groups())
    print(f"{sent} sent, {received} received, {mixed.daemon.counters()['handshake-done']} handshakes")
    assert sent == received and sent > 10000
    assert mixed.daemon.counters()["handshake-done"] >= 3
