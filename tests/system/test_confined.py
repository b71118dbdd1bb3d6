# SPDX-License-Identifier: MIT
"""Harmless if broken into: who may ask the daemon for what, and what the daemon itself may do."""
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from conftest import Overlay
from lab import LabError, keypair
from lab.daemon import build_folder
from lab.net import new_folder, wait_for

GROUP = 54321
STRANGER = 65534


@pytest.fixture
def io():
    """The control side is the same over both backends."""
    return "poll"


def status(pid, name):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":")[1].split() for line in lines if line.startswith(name + ":"))


@pytest.fixture
def grouped(lab, io, monkeypatch):
    """A daemon on a host that has the group; the host itself stays as it is."""
    groups = new_folder() / "group"
    groups.write_text(f"root:x:0:\novltun:x:{GROUP}:\n")
    popen = lab[0].popen
    script = 'mount --bind "$0" /etc/group && exec "$@"'
    monkeypatch.setattr(lab[0], "popen", lambda argv, **kwargs: popen(
        ["unshare", "-m", "sh", "-c", script, groups, *argv], **kwargs))
    daemon = Overlay(lab, io, start=False).daemon(lab[0])
    daemon.folder.chmod(0o755)
    yield daemon
    shutil.rmtree(groups.parent)


def ask(daemon, *argv, uid=STRANGER, groups=()):
    """ovlctl as somebody else. Exit status, and what it said."""
    tool = daemon.folder / "ovlctl"
    if not tool.exists():
        shutil.copy(build_folder() / "ctl" / "ovlctl", tool)
    who = ["--groups", ",".join(str(g) for g in groups)] if groups else ["--clear-groups"]
    done = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={STRANGER}", *who, tool, "--socket", daemon.socket, *argv],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20, check=False)
    return done.returncode, done.stdout


def test_the_group_looks_and_root_changes(grouped):
    assert grouped.socket.stat().st_mode & 0o777 == 0o660
    assert (grouped.socket.stat().st_uid, grouped.socket.stat().st_gid) == (0, GROUP)
    # wg(8) is told the keys, so that socket stays root's.
    assert grouped.uapi.stat().st_mode & 0o777 == 0o600
    for command in (["show"], ["show", "--json"], ["show", "drops"], ["show", "neigh"], ["route", "list"]):
        assert ask(grouped, *command, groups=[GROUP])[0] == 0, command
    before = grouped.show()["peers"]
    # A file that whoever asks may read; who may not change is refused whatever it says.
    (grouped.folder / "sent.conf").write_text(grouped.config.read_text())
    shutil.chown(grouped.folder / "sent.conf", STRANGER)
    (grouped.folder / "sent.conf").chmod(0o600)
    for command in (["reload"], ["sync", grouped.folder / "sent.conf"],
                    ["peer", "remove", before[0]["public_key"]],
                    ["route", "add", "172.20.200.0/24", before[0]["public_key"]]):
        code, said = ask(grouped, *command, groups=[GROUP])
        assert code == 1 and said.count("\n") == 1, (command, said)
        assert "permission denied" in said and "group ovltun" in said
    assert [p["public_key"] for p in grouped.show()["peers"]] == [p["public_key"] for p in before]
    assert grouped.ctl("reload") is not None


def test_strangers_get_nothing(grouped):
    code, said = ask(grouped, "show")
    assert code == 1 and said.count("\n") == 1 and "permission denied" in said
    # And if somebody opened the path to all: the kernel's word on who they are counts.
    grouped.socket.chmod(0o666)
    code, said = ask(grouped, "show")
    assert code == 1 and "peer" not in said
    assert ask(grouped, "show", uid=0)[0] == 0


TRACES = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
lines = client.makefile("rw")
for request in sys.argv[2:]:
    print(request, file=lines, flush=True)
    print(lines.readline(), end="")
"""


def test_traces_of_the_group_end_none_of_roots(grouped):
    who = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--groups", str(GROUP)]
    begin = '{"do": "trace", "to": "172.20.102.9", "wait_s": 60}'

    def ask_all(who, *requests):
        done = subprocess.run([*who, "/usr/bin/python3", "-c", TRACES, grouped.socket, *requests], stdout=subprocess.PIPE,
                              text=True, timeout=20, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    [roots] = ask_all([], begin)
    assert all(reply["number"] for reply in ask_all(who, *[begin] * 20))
    [look] = ask_all([], json.dumps({"do": "trace-look", "number": roots["number"]}))
    assert look["ok"] and not look["over"], look


def test_without_the_group_it_is_root_alone(overlay):
    daemon = overlay.daemons[0]
    assert daemon.socket.stat().st_mode & 0o777 == 0o600
    daemon.folder.chmod(0o755)
    daemon.socket.chmod(0o666)
    assert ask(daemon, "show", groups=[GROUP])[0] == 1
    assert daemon.show()["peers"]


def test_nothing_it_executes_gains_privileges(overlay):
    assert status(overlay.daemons[0].process.pid, "NoNewPrivs") == ["1"]


NET_BIND_SERVICE, NET_ADMIN, IPC_LOCK, SYS_NICE, SYS_RESOURCE = (1 << n for n in (10, 12, 14, 23, 24))
NOBODY = 65534


def tasks(pid):
    return [int(path.name) for path in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def helper(daemon):
    [child] = pathlib.Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
    return int(child)


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists() and status(pid, "State")[0] != "Z"


def check_confined(task, kept, instrumented):
    assert status(task, "NoNewPrivs") == ["1"]
    for kind in ("CapEff", "CapPrm"):
        left = int(status(task, kind)[0], 16)
        if not int(status("self", "CapEff")[0], 16) & SYS_RESOURCE:
            left &= ~(IPC_LOCK | SYS_NICE)  # limits cannot be raised here, so they are kept
        assert left == kept
    for kind in ("CapInh", "CapAmb", "CapBnd"):
        assert int(status(task, kind)[0], 16) == 0
    assert instrumented or status(task, "Seccomp") == ["2"]


@pytest.mark.parametrize("io", ["uring", "poll"])
def test_the_daemon_keeps_nothing(lab, io):
    daemon = Overlay(lab, io, start=False).daemon(lab[0], options=["--user", "nobody"])
    instrumented = "system calls not restricted (Operation not supported)" in daemon.log  # a sanitizer's build
    assert instrumented or "system calls not restricted" not in daemon.log
    for task in tasks(daemon.process.pid):
        check_confined(task, 0, instrumented)
        if not instrumented:
            assert set(status(task, "Uid")) == {str(NOBODY)} and status(task, "Groups") == []
            assert "0" not in status(task, "Gid")
    task = helper(daemon)
    assert instrumented or tasks(task) == [task]  # ThreadSanitizer has a thread of its own
    check_confined(task, NET_ADMIN | NET_BIND_SERVICE, instrumented)
    assert status(task, "Name") == ["ovltund-helper"]
    # Of what the daemon has open, and who started it, nothing but streams and their socket.
    opened = sorted(int(path.name) for path in pathlib.Path(f"/proc/{task}/fd").iterdir())
    assert opened[:4] == [0, 1, 2, 3] and len(opened) == 5, opened  # and its own netlink socket


def test_the_user_is_said(lab, io):
    overlay = Overlay(lab, io, start=False)
    plain = overlay.daemon(lab[0])
    expected = "user ovltun" if "ovltun:" in pathlib.Path("/etc/passwd").read_text() else "not user ovltun (there is none)"
    if "not user ovltun (Operation not supported)" in plain.log:
        pytest.skip("a sanitizer's build asks for no user")
    assert expected in plain.log
    refused = overlay.daemon(lab[1], options=["--user", "nosuch"], start=False)
    with pytest.raises(LabError, match='ended with 2: .*there is no user "nosuch"'):
        refused.start()


def test_where_few_users_are_mapped(tmp_path):
    """In a user namespace of root alone the daemon's user and group mean nothing: it says so and starts."""
    (tmp_path / "passwd").write_text(f"root:x:0:0::/:/bin/sh\novltun:x:{GROUP}:{GROUP}::/:/bin/sh\n")
    (tmp_path / "group").write_text(f"root:x:0:\novltun:x:{GROUP}:\n")
    config = tmp_path / "few.conf"
    config.write_text(f"[Interface]\nPrivateKey = {keypair()[0]}\n[Network]\nBridge = none0\n")
    config.chmod(0o600)
    script = 'mount --bind passwd /etc/passwd && mount --bind group /etc/group && exec "$@"'
    namespaces = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
    if subprocess.run([*namespaces, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no user namespaces here")
    daemon = subprocess.Popen([*namespaces, "sh", "-c", script, "sh", build_folder() / "ctl" / "ovltund", "-c", config,
                               "--run-dir", tmp_path, "--uapi-dir", tmp_path, "--state-dir", tmp_path],
                              cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        log = []
        for line in daemon.stderr:
            log.append(line)
            if line.startswith("ovltund 0."):
                break
        assert "not user ovltun (Operation not" in log[-1], log
        assert any("not for group ovltun" in line for line in log), log
        assert (tmp_path / "few.ctl").stat().st_mode & 0o777 == 0o600
    finally:
        daemon.terminate()
        daemon.communicate(timeout=20)
    assert daemon.returncode == 0


def test_they_end_together(lab, io):
    overlay = Overlay(lab, io)
    first, second = overlay.daemons
    child = helper(first)
    first.stop(signal.SIGKILL)
    wait_for(lambda: not alive(child), 5, "the helper of a dead daemon to leave")
    child = helper(second)
    os.kill(child, signal.SIGTERM)  # as a service manager or a terminal does to both
    assert overlay.daemons[1].show()["peers"] and alive(child)
    os.kill(child, signal.SIGKILL)
    assert second.process.wait(10) == 1
    assert "the helper process has ended" in second.log
    first.start()  # over what the dead one left
    assert first.stop() == 0


@pytest.mark.parametrize("user", [[], ["--user", "nobody"]], ids=["same user", "other user"])
@pytest.mark.parametrize("io", ["uring", "poll"])
def test_a_confined_daemon_does_all_it_did(lab, io, user):
    """What needs privilege or a file after the start: port, mark, TAP, route, key file, names."""
    overlay = Overlay(lab, io, start=False)
    overlay.daemons = [overlay.daemon(host, options=user) for host in lab]
    daemon, host = overlay.daemons[0], lab[0]
    for one in overlay.daemons:
        one.attached()
    a, b = overlay.containers
    assert a.ping(b.address)
    text = daemon.config.read_text()
    key = next(line for line in text.splitlines() if line.startswith("PrivateKey"))
    private = daemon.folder / "key"
    private.write_text(key.split("=", 1)[1].strip() + "\n")
    private.chmod(0o600)
    host.bridge("ovl9", address="172.29.1.1/24")
    port = next(line for line in text.splitlines() if line.startswith("ListenPort"))
    daemon.write(text.replace(key, "PrivateKeyFile = key\nFwMark = 77").replace(port, "ListenPort = 900")
                 + "\n[Network]\nName = second\nBridge = ovl9\nSubnet = 172.29.1.0/24, 172.30.0.0/16\n"
                 + "[Peer]\nPublicKey = " + keypair()[1] + "\nEndpoint = localhost:5\nAllowedIPs = 172.29.2.0/24\n")
    daemon.ctl("reload")
    assert daemon.show()["device"]["listen_port"] == 900
    daemon.attached(1)
    wait_for(lambda: "172.30.0.0/16 dev ovl9" in host.run("ip route"), 5, "the route of a Subnet")
    wait_for(lambda: overlay.daemons[1].ctl("show") and a.ping(b.address), 20, "traffic from the new port")
    private.chmod(0o644)
    assert "others than its owner can use this file" in daemon.ctl("reload", check=False)
    daemon.write(text)
    daemon.ctl("reload")
    assert "ovl9" not in daemon.ctl("show") and "172.30.0.0/16" not in host.run("ip route")
    assert a.ping(b.address)
    assert daemon.stop() == 0
    assert not daemon.socket.exists() and not daemon.uapi.exists()
    assert not list(daemon.folder.glob("*.lock"))
    assert "ovt-" not in host.run("ip link")
