# SPDX-License-Identifier: MIT
"""ovlctl trace: each broken set-up is made, found, and its cause named first."""
import json
import shutil

import pytest

from conftest import Overlay
from lab import Lab, keypair, wait_for
from lab.broken import BROKEN, Ward
from lab.daemon import build_folder
from lab.segments import Segments
from test_interop import STOCK, Mixed


@pytest.fixture
def io():
    """What is asked is the same over both backends."""
    return "poll"


@pytest.fixture(scope="module")
def ward():
    with Lab(2) as lab:
        yield Ward(Overlay(lab, "poll", start=False))


def trace(daemon, *argv, wait=4):
    """What it says and its exit status, which have to agree."""
    argv = [build_folder() / "ctl" / "ovlctl", "--socket", daemon.socket, "trace", *argv, "--wait", str(wait), "--json"]
    process = daemon.host.popen(argv)
    said, _ = process.communicate(timeout=60)
    told = json.loads(said)
    assert process.returncode == (0 if told["verdict"] == "reaches" else 1), said
    return told


def stop(told):
    return next((s for s in told["steps"] if s["verdict"] != "ok"), None)


def wrong(told, at, step, reason, cause):
    """What is not as it should be; empty: nothing."""
    last = stop(told)
    if not last or (last["at"], last["step"], last["reason"]) != (at, step, reason):
        return f"stops at {last}, not at {at} {step} {reason}"
    first = told["causes"][0]["text"] if told["causes"] else "nothing"
    return "" if cause in first else f"first is \"{first}\", not \"{cause}\""


def assert_stops(told, *what):
    assert not wrong(told, *what)


def reload(daemon, text):
    daemon.write(text)
    daemon.ctl("reload")


STEPS = ["network", "bridge", "source", "route", "session", "arrived", "checks", "bridge", "container", "ping", "size"]


def test_a_packet_that_arrives(overlay):
    a, b = overlay.containers
    daemon = overlay.daemons[0]
    told = trace(daemon, b.address6)
    # Of this host's containers none is known yet, so that none is tried.
    assert told["verdict"] == "reaches" and [s["step"] for s in told["steps"]] == STEPS, told
    assert a.ping(b.address)
    told = trace(daemon, b.address)
    assert told["verdict"] == "reaches" and not told["causes"], told
    assert [s["step"] for s in told["steps"]] == STEPS[:4] + ["container"] + STEPS[4:]
    assert told["full_size"] == told["largest"] == 1440 and told["answer"]["tap_mtu"] == 1500
    # The ping that the daemon sent was its own business; so is what is known of the source.
    told = trace(daemon, b.address, "--from", a.address, "--size", "1000")
    assert told["from"] == a.address and told["full_size"] == 1000 and told["verdict"] == "reaches"
    text = daemon.ctl("trace", b.address)
    assert "it arrives" in text and len(text.splitlines()) <= 24
    # The gateway of the other host, an address of this one, and what is no address.
    assert trace(daemon, f"172.20.{102}.1")["answer"]["gateway"]
    assert trace(daemon, a.address)["here"]
    for wrong in ((), ("nonsense",), (b.address, "--from", "::1"), (b.address, "--size", "1"), (b.address, "--what")):
        process = daemon.host.popen([build_folder() / "ctl" / "ovlctl", "--socket", daemon.socket, "trace", *wrong])
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 2, said


class Broken:
    """One laboratory, broken and mended again and again."""

    def __init__(self, overlay):
        self.overlay = overlay
        self.lab = overlay.lab
        self.a, self.b = overlay.containers
        self.here, self.there = overlay.daemons
        self.hosts = list(overlay.lab)
        self.texts = [overlay.config(host) for host in overlay.lab]

    def change(self, which, old, new):
        """One host's configuration; the sessions end as they would with the file."""
        daemon = self.overlay.daemons[which]
        assert old in self.texts[which]
        reload(daemon, self.texts[which].replace(old, new))

    def mend(self, which):
        reload(self.overlay.daemons[which], self.texts[which])

    def forget_session(self):
        """Both daemons begin anew."""
        for daemon in self.overlay.daemons:
            daemon.stop()
        for daemon in self.overlay.daemons:
            daemon.start()
            daemon.attached()

    def other_speaks(self):
        """The other host has something to say, so that its handshakes come."""
        self.b.popen(["ping", "-n", "-c", "1", "-W", "1", self.a.address])

    def nft(self, host, rules):
        host.run(["nft", "-f", "-"], input=rules)


def address_of(b):
    return b.b.address


def wrong_key_here(b):
    other = keypair()[1]
    b.change(0, b.overlay.keys[1][1], other)
    b.forget_session()
    b.other_speaks()
    wait_for(lambda: b.here.drops("handshake-invalid"), 5)


def wrong_key_there(b):
    b.change(1, b.overlay.keys[0][1], keypair()[1])
    b.forget_session()
    b.other_speaks()
    wait_for(lambda: b.here.drops("handshake-mac1"), 5)


def psk_differs(b):
    b.change(0, "AllowedIPs", "PresharedKey = " + keypair()[0] + "\nAllowedIPs")
    b.forget_session()


def wrong_port(b):
    b.change(0, ":12345\n", ":12346\n")
    b.forget_session()


def blocked_out(b):
    b.forget_session()
    b.nft(b.hosts[0], "table ip lab {\nchain out { type filter hook output priority 0; udp dport 12345 drop\n}\n}\n")


def blocked_in(b):
    b.forget_session()
    b.nft(b.hosts[1], "table ip lab {\nchain in { type filter hook input priority 0; udp dport 12345 drop\n}\n}\n")


def unblock(b):
    for host in b.hosts:
        host.run("nft flush ruleset")


def no_endpoint(b):
    b.change(0, f"Endpoint = {b.overlay.endpoint(b.hosts[1])}\n", "")
    b.forget_session()


def no_route(b):
    b.change(0, "AllowedIPs = 172.20.102.0/24, ", "AllowedIPs = ")


def not_allowed_there(b):
    b.change(1, "AllowedIPs = 172.20.101.0/24, ", "AllowedIPs = ")


def overlap(b):
    b.change(0, "Range = 172.20.101.0/24", "Range = 172.20.101.0/24, 172.20.102.0/25")


def bridge_gone_here(b):
    b.hosts[0].run("ip link del ovl0")
    wait_for(lambda: not b.here.show()["networks"][0]["attached"], 5)


def bridge_gone_there(b):
    b.hosts[1].run("ip link del ovl0")
    wait_for(lambda: not b.there.show()["networks"][0]["attached"], 5)


def bridge_back_there(b):
    b.hosts[1].bridge("ovl0", address="172.20.102.1/16", address6="fd20:102::1/16")
    b.hosts[1].run(f"ip link set {b.b.port} master ovl0")
    b.there.attached()


def small_port_there(b):
    b.hosts[1].run(f"ip link set {b.b.port} mtu 1280")


def port_back(b):
    b.hosts[1].run(f"ip link set {b.b.port} mtu 1500")


def small_path(b):
    """Loses what is long, without a word."""
    b.nft(b.hosts[1], "table ip lab {\nchain pre { type filter hook prerouting priority -450; meta length > 1300 drop\n}\n}\n")


def forward_drop_there(b):
    b.nft(b.hosts[1], "table bridge lab {\nchain forward { type filter hook forward priority 0; ether type ip drop\n}\n}\n")


def forward_drop_here(b):
    b.nft(b.hosts[0], "table bridge lab {\nchain forward { type filter hook forward priority 0; ether type ip drop\n}\n}\n")


def no_way_out(b):
    b.a.run("ip addr del 172.20.101.2/16 dev eth0")
    b.a.run("ip addr add 172.20.101.2/24 dev eth0")
    wait_for(lambda: b.a.run("ip route get 172.20.102.2", check=False).startswith("RTNETLINK"), 5)


def way_out(b):
    b.a.run("ip addr del 172.20.101.2/24 dev eth0")
    b.a.run("ip addr add 172.20.101.2/16 dev eth0")
    b.a.run("ip route replace default via 172.20.101.1")


def no_way_back(b):
    b.b.run("ip addr del 172.20.102.2/16 dev eth0")
    b.b.run("ip addr add 172.20.102.2/24 dev eth0")


def way_back(b):
    b.b.run("ip addr del 172.20.102.2/24 dev eth0")
    b.b.run("ip addr add 172.20.102.2/16 dev eth0")
    b.b.run("ip route replace default via 172.20.102.1")


def duplicate_here(b):
    b.a.run(f"ip addr add {b.b.address}/32 dev eth0")
    b.a.run(["arping", "-q", "-c", "1", "-U", "-I", "eth0", b.b.address], check=False)
    b.a.run(["/usr/bin/python3", "-c",
             "import socket\ns = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\ns.bind(('eth0', 0))\n"
             f"mac = bytes.fromhex('{b.a.mac.replace(':', '')}')\nip = socket.inet_aton('{b.b.address}')\n"
             "s.send(b'\\xff' * 6 + mac + b'\\x08\\x06\\0\\1\\x08\\0\\6\\4\\0\\1' + mac + ip + bytes(6) + ip + bytes(18))"])
    wait_for(lambda: b.here.drops("out-arp"), 5)


def nothing(b):
    pass


SETUPS = [
    # what is broken, how it is mended, whither, where it stops, what is said first
    (no_route, lambda b: b.mend(0), address_of, ("here", "route", "out-no-route"), "in no peer's AllowedIPs"),
    (overlap, lambda b: b.mend(0), address_of, ("here", "route", "out-no-route"), "though AllowedIPs of peer barge2"),
    (not_allowed_there, lambda b: b.mend(1), address_of, ("peer", "checks", "in-source"), "have not 172.20.101."),
    (nothing, nothing, lambda b: "192.0.2.1", ("here", "network", "out-network"), "in no network's Subnet"),
    (nothing, nothing, lambda b: "172.20.103.9", ("here", "route", "out-no-route"), "in no peer's AllowedIPs"),
    (nothing, nothing, lambda b: "172.20.102.99", ("peer", "container", "in-unresolved"), "no container on barge2 has"),
    (small_port_there, port_back, address_of, ("peer", "size", None), "the bridge on barge2, a port of it"),
    (small_path, unblock, address_of, ("peer", "size", None), "a link on the way to barge2 takes less"),
    (forward_drop_there, unblock, address_of, ("peer", "ping", None), "FORWARD"),
    (forward_drop_here, unblock, address_of, ("here", "container", None), "FORWARD: the packet filter drops"),
    (no_way_out, way_out, address_of, ("here", "container", None), "the container has no route to there"),
    (no_way_back, way_back, address_of, ("peer", "ping", None), "no route back"),
    (bridge_gone_there, bridge_back_there, address_of, ("peer", "checks", "in-network"), "its bridge is not there"),
    (wrong_port, lambda b: b.mend(0), address_of, ("here", "session", "out-stage-expired"), "nothing listens on"),
    (blocked_out, unblock, address_of, ("here", "session", "out-stage-expired"), "blocked UDP"),
    (blocked_in, unblock, address_of, ("here", "session", "out-stage-expired"), "cannot be told apart"),
    (psk_differs, lambda b: b.mend(0), address_of, ("here", "session", "out-stage-expired"), "the same PresharedKey"),
    (wrong_key_here, lambda b: b.mend(0), address_of, ("here", "session", "out-stage-expired"), "PublicKey of [Peer] barge2 is wrong"),
    (wrong_key_there, lambda b: b.mend(1), address_of, ("here", "session", "out-stage-expired"), "for another public key"),
    (no_endpoint, lambda b: b.mend(0), address_of, ("here", "session", "out-no-endpoint"), "no Endpoint"),
    (bridge_gone_here, nothing, address_of, ("here", "bridge", "in-no-bridge"), "network ovl0"),
]


def test_each_broken_set_up_is_named(overlay):
    broken = Broken(overlay)
    assert broken.a.ping(broken.b.address)
    assert trace(broken.here, broken.b.address)["verdict"] == "reaches"
    missed = {}
    for make, mend, whither, where, cause in SETUPS:
        make(broken)
        # Where no session is to be had there is nothing to wait for.
        wait = 0.6 if where[1] == "session" else 4
        said = wrong(trace(broken.here, whither(broken), wait=wait), *where, cause)
        if said:
            missed[f"{make.__name__} {whither(broken)}"] = said
        mend(broken)
    assert not missed


def test_an_address_that_two_have(overlay):
    broken = Broken(overlay)
    duplicate_here(broken)
    told = trace(broken.here, broken.b.address)
    assert "a container of this host uses" in told["causes"][0]["text"]


def test_bridged_networks(lab, io):
    seg = Segments(lab, io)
    a, b = (seg.containers[7][i] for i in range(2))
    here, there = seg.daemons
    assert a.ping(b.address)
    told = trace(here, b.address)
    assert told["verdict"] == "reaches" and told["network"]["vni"] == 7, told
    assert trace(here, b.mac)["verdict"] == "reaches"
    assert_stops(trace(here, "02:00:00:00:00:77"), "here", "station", None, "no member of the network has told")
    there.ctl("peer", "set", "barge1", "vnis", "")
    wait_for(lambda: not here.peer("barge2")["hello"]["vnis"], 5)
    assert_stops(trace(here, b.address), "here", "hello", "out-no-hello", "has no bridged network with VNI 7")
    here.ctl("peer", "set", "barge2", "vnis", "")
    assert_stops(trace(here, b.address), "here", "station", None, "no peer may carry VNI 7")


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, fault in BROKEN.items() if fault.stops])
def test_what_doctor_finds_stops_a_packet_here(ward, name):
    fault = BROKEN[name]
    if fault.lacks():
        pytest.skip(f"{fault.lacks()} is not installed")
    with fault.on(ward):
        if not ward.daemon.answers():
            return  # nobody to ask
        told = trace(ward.daemon, ward.far.address, wait=1.5)
        assert told["verdict"] == "stops" and told["causes"], told


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("wireguard-go"), reason="wireguard-go is not installed")
def test_a_stock_peer_answers_nothing(lab, io):
    mixed = Mixed(lab, io)
    told = trace(mixed.daemon, STOCK, wait=6)
    assert told["verdict"] == "unknown" and "stock WireGuard peer" in stop(told)["text"]
    assert "it cannot be told" in mixed.daemon.ctl("trace", STOCK, check=False)
