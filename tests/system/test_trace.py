# SPDX-License-Identifier: MIT
"""ovlctl trace: what is wrong at the other host, and what no set-up of lab/broken.py has; those are test_doctor.py's."""
import json
import shutil

import pytest

from lab import wait_for
from lab.daemon import build_folder
from lab.segments import Segments
from test_interop import STOCK, Mixed


@pytest.fixture
def io():
    """What is asked is the same over both backends."""
    return "poll"


def ask(daemon, *argv, wait=4):
    """A trace that is under way."""
    return daemon.host.popen([build_folder() / "ctl" / "ovlctl", "--socket", daemon.socket, "trace", *argv,
                              "--wait", str(wait), "--json"])


def answer(process):
    """What it says and its exit status, which have to agree."""
    said, _ = process.communicate(timeout=60)
    told = json.loads(said)
    assert process.returncode == (0 if told["verdict"] == "reaches" else 1), said
    return told


def trace(daemon, *argv, wait=4):
    return answer(ask(daemon, *argv, wait=wait))


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


def told_wrong(process, expected):
    """Of a broken set-up (lab/broken.py): what it does not say of it, but should. Empty: nothing."""
    if expected.verdict is None:
        said, _ = process.communicate(timeout=60)
        return "" if process.returncode == 1 and expected.words in said else said
    told = answer(process)
    step = (stop(told) or {}).get("step")
    first = told["causes"][0]["text"] if told["causes"] else None
    good = expected.words in first if expected.words and first else expected.words == first
    return "" if good and (told["verdict"], step) == (expected.verdict, expected.step) else json.dumps(told, indent=1)


def reload(daemon, text):
    daemon.write(text)
    daemon.ctl("reload")


STEPS = ["network", "bridge", "source", "route", "session", "arrived", "checks", "bridge", "container", "ping", "size"]


def test_a_packet_that_arrives(overlay):
    a, b = overlay.containers
    daemon = overlay.daemons[0]
    nobodys = ask(daemon, "172.20.102.99")
    assert_stops(trace(daemon, "192.0.2.1"), "here", "network", "out-network", "in no network's Subnet")
    assert_stops(trace(daemon, "172.20.103.9"), "here", "route", "out-no-route", "in no peer's AllowedIPs")
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
    told = trace(daemon, a.address)
    assert told["here"] and "no other container is known" in told["steps"][2]["text"], told
    told = trace(daemon, b.address, "--from", "172.20.103.2")
    assert stop(told)["text"].startswith("172.20.103.2: a container sent"), told
    for wrong in ((), ("nonsense",), (b.address, "--from", "::1"), (b.address, "--size", "1"), (b.address, "--what")):
        process = daemon.host.popen([build_folder() / "ctl" / "ovlctl", "--socket", daemon.socket, "trace", *wrong])
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 2, said
    assert_stops(answer(nobodys), "peer", "container", "in-unresolved", "no container on barge2 has")


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

    def nft(self, host, rules):
        host.run(["nft", "-f", "-"], input=rules)


def unblock(b):
    for host in b.hosts:
        host.run("nft flush ruleset")


def blocked_there(b):
    """In the middle of a session."""
    assert b.a.ping(b.b.address)
    b.nft(b.hosts[1], "table ip lab {\nchain in { type filter hook input priority 0; udp dport 12345 drop\n}\n}\n")


def no_endpoint(b):
    b.change(0, f"Endpoint = {b.overlay.endpoint(b.hosts[1])}\n", "")
    b.forget_session()


def no_such_name(b):
    b.change(0, b.overlay.endpoint(b.hosts[1]), "no-such-host.invalid:12345")
    b.forget_session()


def not_allowed_there(b):
    b.change(1, "AllowedIPs = 172.20.101.0/24, ", "AllowedIPs = ")


def overlap(b):
    b.change(0, "Range = 172.20.101.0/24", "Range = 172.20.101.0/24, 172.20.102.0/25")


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


SETUPS = [
    # what is broken, how it is mended, where it stops, what is said first
    (overlap, lambda b: b.mend(0), ("here", "route", "out-no-route"), "though AllowedIPs of peer barge2"),
    (not_allowed_there, lambda b: b.mend(1), ("peer", "checks", "in-source"), "have not 172.20.101."),
    (small_port_there, port_back, ("peer", "size", None), "the bridge on barge2, a port of it"),
    (small_path, unblock, ("peer", "size", None), "a link on the way to barge2 takes less"),
    (forward_drop_there, unblock, ("peer", "ping", None), "FORWARD"),
    (no_way_out, way_out, ("here", "container", None), "the container has no route to there"),
    (no_way_back, way_back, ("peer", "ping", None), "no route back"),
    (bridge_gone_there, bridge_back_there, ("peer", "checks", "in-network"), "its bridge is not there"),
    (blocked_there, unblock, ("peer", "arrived", None), "blocked UDP: peer barge2 was called"),
    (no_such_name, lambda b: b.mend(0), ("here", "session", "out-no-endpoint"), "the endpoint of peer barge2 does not resolve"),
    (no_endpoint, lambda b: b.mend(0), ("here", "session", "out-no-endpoint"), "no Endpoint"),
]


@pytest.mark.early
def test_each_broken_set_up_is_named(overlay):
    broken = Broken(overlay)
    assert broken.a.ping(broken.b.address)
    assert trace(broken.here, broken.b.address)["verdict"] == "reaches"
    missed = {}
    for make, mend, where, cause in SETUPS:
        make(broken)
        # Where no session is to be had there is nothing to wait for.
        wait = 0.6 if where[1] in ("session", "arrived") else 4
        said = wrong(trace(broken.here, broken.b.address, wait=wait), *where, cause)
        if said:
            missed[make.__name__] = said
        mend(broken)
    assert not missed
    # A container here says that it has the address, too: packets of its neighbours go there, or not.
    broken.a.run(f"ip addr add {broken.b.address}/32 dev eth0")
    told = trace(broken.here, broken.b.address)
    assert told["causes"] and "a container here has 172.20.102.2, which belongs to peer barge2" in told["causes"][0]["text"]


def test_bridged_networks(lab, io):
    seg = Segments(lab, io)
    a, b = (seg.containers[7][i] for i in range(2))
    here, _ = seg.daemons
    assert a.ping(b.address)
    told = trace(here, b.address)
    assert told["verdict"] == "reaches" and told["network"]["vni"] == 7, told
    assert trace(here, b.mac)["verdict"] == "reaches"
    told = trace(here, "02:00:00:00:00:77")
    assert told["verdict"] == "unknown", told
    assert not wrong(told, "here", "station", None, "no member of the network has told")


def test_who_never_spoke_is_asked_for_at_all_members(lab3, io):
    """Its place is nobody's yet, as it is for the ARP of a real packet, which is flooded."""
    seg = Segments(lab3, io)
    here, far = seg.daemons[0], seg.daemons[2]
    told = trace(here, "10.7.3.9")
    assert told["verdict"] == "unknown" and stop(told)["step"] == "probe", told
    seg.containers[7][0].run(["ping", "-c", "1", "-W", "0.1", "10.7.1.99"], check=False)
    nobodys = ask(here, "10.7.3.9")
    told = trace(here, seg.containers[7][2].address)
    assert told["verdict"] == "reaches" and told["peer"]["name"] == seg.hosts[2].name, told
    assert_stops(answer(nobodys), "here", "members", "in-unresolved", "no container of the network's members")
    far.stop()
    told = trace(here, "10.7.3.8", wait=0.6)
    assert told["verdict"] == "unknown" and stop(told)["step"] == "members", told
    assert "which did not answer" in told["causes"][0]["text"] and seg.hosts[2].name in told["causes"][0]["text"]


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("wireguard-go"), reason="wireguard-go is not installed")
def test_a_stock_peer_answers_nothing(lab, io):
    mixed = Mixed(lab, io)
    told = trace(mixed.daemon, STOCK, wait=6)
    assert told["verdict"] == "unknown" and "stock WireGuard peer" in stop(told)["text"]
    assert "it cannot be told" in mixed.daemon.ctl("trace", STOCK, check=False)


@pytest.mark.long
def test_a_daemon_that_is_gone(overlay):
    """Its kernel says so a few times, then once a second: trace's own requests must not use that up."""
    a, b = overlay.containers
    here, there = overlay.daemons
    assert a.ping(b.address)
    there.stop()
    pinging = a.popen(["ping", "-q", "-c", "80", "-i", "0.25", b.address])
    # The session is fresh still, but what is sent has no answer for longer than the protocol allows.
    wait_for(lambda: (here.show()["peers"][0]["unanswered_s"] or 0) >= 1, 25, what="a handshake in vain")
    pinging.kill()
    pinging.communicate()
    report = here.ctl("doctor", "-c", str(here.config), check=False)
    assert "error: nobody listens at the endpoint of peer barge2" in report, report
    said = [trace(here, b.address, wait=3)["causes"][0]["text"] for _ in range(3)]
    assert ["nobody listens" in text for text in said] == [True] * 3, said
