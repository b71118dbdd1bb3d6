# SPDX-License-Identifier: MIT
"""Harmless if broken into: who may ask the daemon for what, and what the daemon itself may do."""
import pathlib
import shutil
import subprocess

import pytest

from conftest import Overlay
from lab import keypair
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


def tasks(pid):
    return [int(path.name) for path in pathlib.Path(f"/proc/{pid}/task").iterdir()]


@pytest.mark.parametrize("io", ["uring", "poll"])
def test_the_daemon_keeps_nothing(lab, io):
    daemon = Overlay(lab, io).daemons[0]
    for task in tasks(daemon.process.pid):
        assert status(task, "NoNewPrivs") == ["1"]
        for kind in ("CapEff", "CapPrm"):
            left = int(status(task, kind)[0], 16)
            if not int(status("self", "CapEff")[0], 16) & SYS_RESOURCE:
                left &= ~(IPC_LOCK | SYS_NICE)  # limits cannot be raised here, so they are kept
            assert left == NET_BIND_SERVICE | NET_ADMIN
        for kind in ("CapInh", "CapAmb", "CapBnd"):
            assert int(status(task, kind)[0], 16) == 0
        if "system calls not restricted (Operation not supported)" in daemon.log:
            continue  # a build with a sanitizer
        assert status(task, "Seccomp") == ["2"], daemon.log
    assert "system calls not restricted" not in daemon.log or "not supported" in daemon.log


@pytest.mark.parametrize("io", ["uring", "poll"])
def test_a_confined_daemon_does_all_it_did(lab, io):
    """What needs privilege or a file after the start: port, mark, TAP, route, key file, names."""
    overlay = Overlay(lab, io)
    daemon, host = overlay.daemons[0], lab[0]
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
                 + "\n[Network]\nName = second\nBridge = ovl9\n[Peer]\nPublicKey = " + keypair()[1]
                 + "\nEndpoint = localhost:5\nAllowedIPs = 172.29.2.0/24\n")
    daemon.ctl("reload")
    assert daemon.show()["device"]["listen_port"] == 900
    daemon.attached(1)
    wait_for(lambda: overlay.daemons[1].ctl("show") and a.ping(b.address), 20, "traffic from the new port")
    daemon.write(text)
    daemon.ctl("reload")
    assert "ovl9" not in daemon.ctl("show")
    assert a.ping(b.address)
    assert daemon.stop() == 0
    assert not daemon.socket.exists() and not daemon.uapi.exists()
    assert not list(daemon.folder.glob("*.lock"))
