# SPDX-License-Identifier: MIT
"""ovlctl doctor: each broken set-up (lab/broken.py) is found, its cause named first, and mended by the command
that it says; ovlctl trace names it first, too, where it stops a packet. A healthy one is let be, Docker's too.

One laboratory for all: each test leaves it well.
"""
import json
import os
import pathlib
import shlex
import shutil
import subprocess

import pytest

from conftest import Overlay
from lab import Daemon, Lab, keypair, wait_for
from lab.broken import BROKEN, FAR, FROM_HOST, Ward, clock_shim
from lab.daemon import build_folder
from lab.docker import available
from test_trace import answer, ask, told_wrong

OVLCTL = build_folder() / "ctl" / "ovlctl"
DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
# These are much like others, or cost seconds: the long tier runs them all.
LONG = {"address_of_another_host", "endpoint_in_the_overlay", "no_route_to_endpoint", "blackhole",
        "udp_out_blocked", "missing_allowed_ips", "udp_blocked_elsewhere"}


@pytest.fixture
def io():
    """What is looked at is the host."""
    return "poll"


@pytest.fixture(scope="module")
def ward():
    with Lab(2) as lab:
        yield Ward(Overlay(lab, "poll", start=False))


def doctor(daemon, *options, config=None, env=None, host=None):
    """Exit status and standard output."""
    argv = [*(["env", *env] if env else []), OVLCTL, "--socket", daemon.socket, "doctor", "-c", config or daemon.config,
            *options]
    done = subprocess.run((host or daemon.host).argv(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=30, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def findings(daemon, **kwargs):
    status, text = doctor(daemon, "--json", **kwargs)
    reply = json.loads(text)
    worst = reply["findings"][0]["severity"]
    assert reply["version"] == 1 and reply["ok"] is True
    assert status == (1 if worst in ("error", "warning") else 0) and reply["healthy"] == (status == 0)
    for finding in reply["findings"]:
        assert finding["severity"] in ("ok", "note", "warning", "error")
        assert finding["check"] and finding["found"]
        if finding["severity"] in ("error", "warning"):
            assert finding["means"] and (finding.get("mend") or finding.get("advice")), finding
    return reply["findings"]


def bad(found):
    return [f for f in found if f["severity"] in ("error", "warning")]


def healed(ward, first):
    """The finding is gone, and no error is left."""
    found = bad(findings(ward.daemon))
    return not [f for f in found if f["severity"] == "error" or f["found"] == first["found"]]


def found_by(ward, check):
    return next(f for f in bad(findings(ward.daemon)) if f["check"] == check)


def test_healthy(ward):
    assert bad(findings(ward.daemon)) == []
    status, text = doctor(ward.daemon)
    assert status == 0 and "ok: " in text and "error" not in text and "warning" not in text


def addresses(ward):
    return [w for line in ward.here.run("ip -4 -o addr show ovl0").splitlines() for w in line.split() if "/16" in w]


def test_no_command_takes_the_right_address_with_the_wrong_one(ward):
    """Of one subnet the first address of a device takes the others along when it goes."""
    wrong, right = "172.20.102.1/16", "172.20.101.1/16"
    ward.here.sysctl("net.ipv4.conf.ovl0.promote_secondaries", 0)
    ward.here.run(f"ip addr del {right} dev ovl0")
    ward.here.run(f"ip addr add {wrong} dev ovl0")
    try:
        first = found_by(ward, "addresses")
        assert "mend" not in first and "only one" in first["advice"]
        ward.here.run(f"ip addr add {right} dev ovl0")
        ward.type(found_by(ward, "addresses")["mend"])
        assert addresses(ward) == [right]
    finally:
        ward.here.run("ip -4 addr flush dev ovl0")
        ward.here.run(f"ip addr add {right} dev ovl0")
        ward.talk()


def test_trace_tells_what_concerns_it_alone(ward):
    """Not of another network, nor of another's address: those are doctor's."""
    with ward.ip("link set ovl7 down", "link set ovl7 up"), \
         ward.nft(ward.here, "bridge", "forward", "ip daddr 172.20.102.0/24 drop"):
        tracing = ask(ward.daemon, FAR)
        assert [f["check"] for f in bad(findings(ward.daemon))] == ["bridges", "forward"]
        assert answer(tracing)["causes"][0]["text"].startswith("FORWARD")
    routes = ("route add 172.20.64.0/20 via 10.10.10.1", "route del 172.20.64.0/20"), \
             ("route add 172.20.102.0/24 via 10.10.10.1", "route del 172.20.102.0/24")
    with ward.container("double", 2), ward.ip(*routes[0]), ward.ip(*routes[1]):
        tracing = ask(ward.daemon, *FROM_HOST)
        found = [f["check"] for f in bad(findings(ward.daemon))]
        told = answer(tracing)
    assert found == ["overlaps", "overlaps", "addresses", "allowed-ips"] and told["verdict"] == "stops"
    assert not [c for c in told["causes"] if "172.20.64.0" in c["text"] or "duplicate" in c["text"]]


@pytest.mark.long
def test_trace_from_a_container_that_does_not_answer(ward):
    """It is not there, or the bridge keeps it from being heard."""
    absent = "no container of this host has 172.20.101.9"
    told = answer(ask(ward.daemon, FAR, "--from", "172.20.101.9"))
    assert told["verdict"] == "stops" and [c["text"].startswith(absent) for c in told["causes"]] == [True], told
    with BROKEN["bridge_down"].on(ward):
        told = answer(ask(ward.daemon, FAR, "--from", "172.20.101.9"))
    assert "the bridge ovl0 is down" in told["causes"][0]["text"] and told["causes"][1]["text"].startswith(absent), told


def test_usage(ward):
    for options in (("--what",), ("x",), ("-c",)):
        done = subprocess.run([OVLCTL, "doctor", *options], stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 2 and "ovlctl: doctor: " in done.stderr and options[0] in done.stderr


def test_help_tells_the_exit_status():
    text = subprocess.run([OVLCTL, "help", "doctor"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "Exit status 0" in text and "1" in text and "2" in text


def test_key_file(ward, tmp_path):
    tmp_path = tmp_path / "it's a folder; its $HOME"
    tmp_path.mkdir()
    tmp_path.chmod(0o777)
    (tmp_path / "private.key").write_text(ward.overlay.keys[0][0])
    (tmp_path / "private.key").chmod(0o640)
    path = tmp_path / "peers.conf"
    path.write_text(ward.text_here(f"PrivateKey = {ward.overlay.keys[0][0]}", "PrivateKeyFile = private.key"))
    path.chmod(0o600)
    first, *_ = found = findings(ward.daemon, config=path)
    assert first["check"] == "keys" and shlex.split(first["mend"]) == ["chmod", "600", f"{tmp_path}/private.key"]
    ward.type(first["mend"])
    # Not the key, but its folder.
    mends = [f["mend"] for f in found if f["severity"] == "warning"]
    assert ["chmod", "go-w", str(tmp_path)] in map(shlex.split, mends)
    for mend in mends:
        ward.type(mend)
    assert bad(findings(ward.daemon, config=path)) == []


def test_key_file_of_any_name(ward, tmp_path):
    """What the daemon takes as a path doctor looks at, and what mends is one command still."""
    folder = tmp_path / "host's keys; all"
    folder.mkdir(mode=0o700)
    key, path = folder / "private $(id) key", tmp_path / "peers.conf"
    key.write_text(ward.overlay.keys[0][0])
    key.chmod(0o640)
    path.write_text(ward.text_here(f"PrivateKey = {ward.overlay.keys[0][0]}", f"PrivateKeyFile = {key}  # here"))
    path.chmod(0o600)
    first = findings(ward.daemon, config=path)[0]
    assert first["check"] == "keys" and first["found"].startswith(f"{key} holds a key")
    ward.type(first["mend"])
    assert bad(findings(ward.daemon, config=path)) == []


def test_no_such_file(ward, tmp_path):
    first = findings(ward.daemon, config=tmp_path / "none.conf")[0]
    assert first["check"] == "configuration" and "No such file" in first["found"]
    status, text = doctor(ward.daemon, config=tmp_path / "none.conf")
    assert status == 1 and text.startswith(f"error: {first['found']}\n    {first['means']}\n    advice: "), text


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_clock_of_this_host(ward, tmp_path):
    first = findings(ward.daemon, env=clock_shim(tmp_path, -1_000_000_000))[0]
    assert first["check"] == "clock" and "not set" in first["found"]
    first = findings(ward.daemon, env=clock_shim(tmp_path, -1000))[0]
    assert first["check"] == "clock" and "set back" in first["found"]


def test_peer_of_nothing(ward):
    text = ward.text(ward.here, peer="").replace("AllowedIPs = 172.20.102.0/24, fd20:102::/64\n", "")
    with ward.reloaded(text):
        found = bad(findings(ward.daemon))
    assert "peer barge2 has neither AllowedIPs nor VNIs" in [f["found"] for f in found]


def test_many_alike(ward):
    """A thousand peers of one fault do not fill the screen."""
    peers = "".join(f"[Peer]\nPublicKey = {keypair()[1]}\nAllowedIPs = 10.9.{i}.0/24\n" for i in range(20))
    with ward.reloaded(ward.text(ward.here) + peers):
        found = [f for f in findings(ward.daemon) if "is in no network's Subnet" in f["found"]]
    assert len(found) == 4 and found[-1]["more"] == 16


def test_without_a_daemon(ward, tmp_path):
    """The file is what it goes by: its bridges, ranges, and names are looked at all the same."""
    with ward.stopped():
        ward.here.run("ip link set ovl7 down")
        found = bad(findings(ward.daemon))
        ward.here.run("ip link set ovl7 up")
        left = bad(findings(ward.daemon))
    assert [f["check"] for f in found] == ["daemon", "bridges"]
    assert [f["check"] for f in left] == ["daemon"]
    # A name that is wrong: no other daemon's file and port is what is wrong then.
    done = subprocess.run(ward.here.argv([OVLCTL, "-i", "nobodys", "doctor", "--json"]), stdout=subprocess.PIPE, text=True,
                          timeout=30, check=False)
    first = json.loads(done.stdout)["findings"][0]
    assert "no ovltund listens on /run/ovltun/nobodys.ctl" in first["found"] and "choose one by -i" in first["advice"]


def test_as_nobody(ward):
    """What it may not look at, it says."""
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv")
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", OVLCTL, "--socket", ward.daemon.socket, "doctor",
            "-c", ward.daemon.config, "--json"]
    done = subprocess.run(ward.here.argv(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30,
                          check=False)
    if done.returncode == 126 or not os.access(build_folder(), os.X_OK):
        pytest.skip("the build may not be run by nobody")
    said = " ".join(f["found"] for f in json.loads(done.stdout)["findings"] if f["severity"] == "note")
    assert "cannot be read" in said and "packet filter was not looked at" in said and not done.stderr


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in BROKEN])
def test_broken(ward, name):
    fault = BROKEN[name]
    if fault.lacks():
        pytest.skip(f"no {fault.lacks()}")
    with fault.on(ward):
        tracing = ask(ward.daemon, *fault.trace.argv, wait=fault.trace.wait)
        found = findings(ward.daemon)
        first = found[0]
        assert first["check"] == fault.check and fault.words in first["found"], bad(found)
        assert first["severity"] == fault.severity
        assert not told_wrong(tracing, fault.trace)
        if not fault.mends:
            return
        ward.type(first["mend"])
        wait_for(lambda: healed(ward, first), 5, f"{first['mend']} to mend it")
        wait_for(lambda: ward.near.ping(ward.far.address, timeout=1), what="a container to be reached")


def test_no_command_cuts_this_host_off(ward):
    """The route of an address of its own: without it the host would not reach its network."""
    with ward.ip("addr add 172.20.102.9/24 dev eth0", "addr del 172.20.102.9/24 dev eth0"):
        first = found_by(ward, "overlaps")
    assert "172.20.102.0/24 of eth0" in first["found"]
    assert "mend" not in first and "choose another Subnet" in first["advice"]


def test_no_command_gives_a_peer_what_is_anothers(ward):
    """A peer sends from an address that another peer has: it may just be lying."""
    ward.daemon.ctl("peer", "set", "barge2", "allowed-ips", "172.20.103.0/24")
    ward.daemon.ctl("peer", "add", keypair()[1], "allowed-ips", "172.20.102.0/24")
    try:
        with ward.pinging(ward.far, ward.near.address):
            before = ward.daemon.drops("in-source")
            wait_for(lambda: ward.daemon.drops("in-source") > before, what="a packet of a wrong source")
            found = [f for f in findings(ward.daemon) if "in-source" in f["found"]]
    finally:
        ward.daemon.ctl("reload")
        ward.talk()
    assert found and not [f for f in found if "mend" in f]


def test_healthy_again(ward):
    """After all that: what was mended is let be."""
    ward.talk()
    assert bad(findings(ward.daemon)) == [] and bad(findings(ward.other)) == []


def test_every_check_is_in_the_document(ward):
    rows = (DOCS / "doctor.md").read_text()
    for check in {f["check"] for f in findings(ward.daemon)}:
        assert f"| `{check}` |" in rows, check


@pytest.mark.docker
@pytest.mark.long
@pytest.mark.skipif(not available(), reason="no Docker engine is installed")
def test_healthy_with_docker(lab):
    """Docker's own rules, policies and ranges are no fault; one of its networks in the way is."""
    from test_docker import Cluster, pings
    cluster = Cluster(lab)
    _, b = cluster.run(0, "alice", 2), cluster.run(1, "bob", 2)
    pings(cluster, 0, "alice", b)
    for daemon in cluster.daemons:
        assert bad(findings(daemon)) == []
    # The engine without inter-container communication, told by its own rule.
    cluster.engines[0].docker("network", "create", "--subnet", "10.99.0.0/24", "-o", "com.docker.network.bridge.name=other",
                              "-o", "com.docker.network.bridge.enable_icc=false", "other")
    assert bad(findings(cluster.daemons[0])) == []
    cluster.daemons[0].write(cluster.daemons[0].config.read_text() + "[Network]\nBridge = other\nRange = 10.99.0.0/25\n")
    cluster.daemons[0].ctl("reload")
    first = findings(cluster.daemons[0])[0]
    assert first["check"] == "forward" and "-i other -o other -j DROP" in first["found"]
    assert "-I DOCKER-USER -i other -o other -j ACCEPT" in first["mend"]
    lab[0].run(first["mend"])
    assert [f for f in bad(findings(cluster.daemons[0])) if f["severity"] == "error"] == []


@pytest.mark.docker
@pytest.mark.long
@pytest.mark.skipif(not available(), reason="no Docker engine is installed")
def test_healthy_with_docker_bridged(lab):
    from test_docker_bridged import Switch, pings
    switch = Switch(lab, "poll")
    _, b = switch.run(0, "alice", "10.7.1.1"), switch.run(1, "bob", "10.7.2.1")
    pings(switch, 0, "alice", b)
    for daemon in switch.daemons:
        assert bad(findings(daemon)) == []
