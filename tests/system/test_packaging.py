# SPDX-License-Identifier: MIT
"""The Debian package: built, installed on a Debian of its own, run, removed.

That Debian is this machine's, under an overlay that takes all that is written.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest
from lab import keypair
from lab.daemon import build_folder
from lab.package import TOP

BUILD = build_folder()


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=60, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def debian(tmp_path):
    """A root directory like this machine's, whose changes are lost. Namespaces of its own come with `chroot`."""
    layers = tmp_path / "layers"
    root = tmp_path / "debian"
    layers.mkdir()
    root.mkdir()
    mounts = []

    def mount(*words):
        done = subprocess.run(["mount", *map(str, words)], stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no overlay can be mounted here: {done.stderr.strip()}")
        mounts.append(words[-1])

    try:
        mount("-t", "tmpfs", "ovltun-test", layers)
        (layers / "upper").mkdir()
        (layers / "work").mkdir()
        mount("-t", "overlay", "ovltun-test", "-o", f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work", root)
        mount("-t", "tmpfs", "ovltun-test", root / "run")
        mount("-t", "proc", "proc", root / "proc")
        mount("--bind", "/dev", root / "dev")
        # Nobody looks for pages.
        (root / "var/lib/man-db/auto-update").unlink(missing_ok=True)
        yield root
    finally:
        for place in reversed(mounts):
            subprocess.run(["umount", "-l", str(place)], check=False)


def write_config(folder):
    private, _ = keypair()
    _, public = keypair()
    path = folder / "peers.conf"
    path.write_text(f"[Interface]\nPrivateKey = {private}\n\n[Network]\nBridge = ovl0\nSubnet = 172.20.0.0/16\n"
                    f"Range = 172.20.101.0/24\n\n[Peer]\nPublicKey = {public}\nAllowedIPs = 172.20.102.0/24\n")
    path.chmod(0o600)
    return path


def test_contents(package):
    deb, root = package
    for path in ("usr/sbin/ovltund", "usr/bin/ovlctl", "lib/systemd/system/ovltund.service",
                 "lib/systemd/system/ovltund@.service", "usr/lib/sysusers.d/ovltun.conf",
                 "usr/share/man/man8/ovltund.8.gz", "usr/share/man/man8/ovlctl.8.gz",
                 "usr/share/man/man5/peers.conf.5.gz", "usr/share/bash-completion/completions/ovlctl",
                 "usr/share/zsh/vendor-completions/_ovlctl", "usr/share/fish/vendor_completions.d/ovlctl.fish",
                 "usr/share/doc/ovltun/copyright"):
        assert (root / path).is_file(), path
    assert (root / "etc/ovltun").stat().st_mode & 0o777 == 0o700, "keys lie there"
    # What the package says of itself is what the program does.
    version = run("dpkg-deb", "-f", deb, "Version").strip()
    assert run(root / "usr/bin/ovlctl", "--version") == f"ovlctl {version}\n"
    assert "libsystemd0" in run("dpkg-deb", "-f", deb, "Depends")
    strings = (root / "usr/sbin/ovltund").read_bytes()
    assert str(TOP).encode() not in strings and b"/tmp/" not in strings, "a path of the machine that built it"


def test_units(package, record_property):
    _, root = package
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    units = sorted((root / "lib/systemd/system").glob("*.service"))
    for unit in units:
        text = unit.read_text()
        for program in re.findall(r"^Exec\w+=(\S+)", text, re.MULTILINE):
            assert (root / program.lstrip("/")).is_file(), program
        # verify looks for the programs and pages where they are to be.
        unit.write_text(text.replace("=/usr/", f"={root}/usr/").replace("Documentation=", "#"))
    said = run("systemd-analyze", "verify", *[unit.parent / unit.name.replace("@", "@x") for unit in units],
               env=dict(os.environ, SYSTEMD_LOG_LEVEL="warning"))
    assert not [line for line in said.splitlines() if "ovltund" in line], said
    for unit in units:
        said = run("systemd-analyze", "security", "--offline=true", unit)
        score = re.search(r"Overall exposure level for \S+: ([\d.]+) (\w+)", said)
        record_property("measured", f"systemd-analyze security {unit.name}: {score[1]} {score[2]}")
        assert float(score[1]) < 3, said  # of 10; root with CAP_NET_ADMIN cannot be far below 2


def test_install_run_remove(package, debian, tmp_path):
    """By dpkg, with its scripts; then as systemd would run it, in a network namespace of its own."""
    deb, _ = package
    apart = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "chroot", debian)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    shutil.copy(deb, debian / "run" / "ovltun.deb")
    run(*apart, "dpkg", "-i", "/run/ovltun.deb", env=environment)
    found = re.search(r"^ovltun:[^:]*:(\d+):", (debian / "etc/group").read_text(), re.MULTILINE)
    assert found, "sysusers made no group"
    group = int(found[1])
    found = re.search(r"^ovltun:[^:]*:(\d+):(\d+):", (debian / "etc/passwd").read_text(), re.MULTILINE)
    assert found, "sysusers made no user"
    user = int(found[1])
    assert user and int(found[2]) == group
    assert (debian / "etc/systemd/system/multi-user.target.wants/ovltund.service").is_symlink()
    config = write_config(debian / "etc" / "ovltun")
    run(*apart, "ovltund", "-c", "/etc/ovltun/peers.conf", "--check", env=environment)
    assert "network ovl0" in run(*apart, "ovlctl", "check", "/etc/ovltun/peers.conf", env=environment)

    # The unit's own command.
    unit = (debian / "lib/systemd/system/ovltund.service").read_text()
    [start] = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    [bounding] = re.findall(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    kept = ",".join("+" + name.removeprefix("CAP_").lower() for name in bounding.split())
    [reload] = re.findall(r"^ExecReload=(.*)$", unit, re.MULTILINE)
    with Manager(debian / "run" / "notify", "/run/notify") as manager:
        daemon = subprocess.Popen(["unshare", "--mount", "--net", "chroot", str(debian), "setpriv", "--no-new-privs",
                                   "--bounding-set", f"-all,{kept}", *start.split()],
                                  env={**environment, **manager.environment})
        try:
            manager.expect("READY=1")
            for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
                status = (task / "status").read_text()
                assert re.search(r"^Uid:(.*)$", status, re.MULTILINE)[1].split() == [str(user)] * 4
                assert re.search(r"^Gid:(.*)$", status, re.MULTILINE)[1].split() == [str(group)] * 4
            shown = run("chroot", debian, *reload.split(), env=environment)
            assert "peers 0 added" in shown
            told = (debian / "run/ovltun/peers.ctl").stat()
            assert (told.st_mode & 0o777, told.st_gid) == (0o660, group)
            manager.expect("RELOADING=1")
            manager.expect("READY=1")
            shown = json.loads(run("chroot", debian, "ovlctl", "show", "--json", env=environment))
            assert [network["name"] for network in shown["networks"]] == ["ovl0"]
            daemon.send_signal(signal.SIGTERM)
            manager.expect("STOPPING=1")
            assert daemon.wait(20) == 0
        finally:
            daemon.kill()
            daemon.wait()
    # An upgrade keeps what is the operator's, and so does a removal.
    run(*apart, "dpkg", "-i", "/run/ovltun.deb", env=environment)
    run(*apart, "dpkg", "--purge", "ovltun", env=environment)
    assert config.exists()
    left = [p for p in (debian / "usr/sbin/ovltund", debian / "usr/bin/ovlctl",
                        debian / "etc/systemd/system/multi-user.target.wants/ovltund.service") if os.path.lexists(p)]
    assert not left


class Manager:
    """What a service manager hears of a daemon."""

    def __init__(self, path, told=None, watchdog_s=60):
        self.path, self.socket = path, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.environment = {"NOTIFY_SOCKET": str(told or path), "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}

    def __enter__(self):
        self.socket.bind(str(self.path))
        self.path.chmod(0o777)  # as systemd's is: who tells is no longer root
        self.socket.settimeout(20)
        return self

    def __exit__(self, *_):
        self.socket.close()

    def expect(self, state):
        """The next that it hears, but for signs of life."""
        heard = self.hear()
        while heard == "WATCHDOG=1" and state != heard:
            heard = self.hear()
        assert heard == state

    def hear(self):
        return self.socket.recv(4096).decode()


def test_watchdog(tmp_path):
    """Signs of life come while it runs, in time, and end with a daemon that hangs."""
    if "libsystemd" not in run("ldd", BUILD / "ctl" / "ovltund"):
        pytest.skip("built without libsystemd")
    config = write_config(tmp_path)
    with Manager(tmp_path / "notify", watchdog_s=3) as manager:
        daemon = subprocess.Popen(["unshare", "--net", BUILD / "ctl" / "ovltund", "-c", config,
                                   "--run-dir", tmp_path, "--uapi-dir", tmp_path],
                                  env={**os.environ, **manager.environment})
        try:
            manager.expect("READY=1")
            manager.socket.settimeout(3)
            for _ in range(3):
                manager.expect("WATCHDOG=1")
            config.write_text("[Interface]\nListenPrt = 1\n")
            daemon.send_signal(signal.SIGHUP)
            manager.expect("RELOADING=1")
            manager.expect("READY=1")  # with what it had
            manager.expect("WATCHDOG=1")
        finally:
            daemon.kill()
            daemon.wait()


def expand_calls(words):
    """The system calls of a SystemCallFilter."""
    calls = set()
    for word in words:
        if not word.startswith("@"):
            calls.add(word)
            continue
        listed = [line.strip() for line in run("systemd-analyze", "syscall-filter", word).splitlines()[1:]]
        calls |= expand_calls(line for line in listed if line and not line.startswith("#"))
    return calls


def test_unit_lets_pass_what_is_used(tmp_path):
    """System calls and kinds of sockets of a whole life, from start to end."""
    missing = [tool for tool in ("strace", "systemd-analyze") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not here, and needed to compare: {', '.join(missing)}")
    unit = (BUILD / "packaging" / "ovltund.service").read_text()
    allowed, families = set(), set()
    for words in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        if words.startswith("~"):
            allowed -= expand_calls(words[1:].split())
        else:
            allowed |= expand_calls(words.split())
    for words in re.findall(r"^RestrictAddressFamilies=(.*)$", unit, re.MULTILINE):
        families |= set(words.split())
    config, log = write_config(tmp_path), tmp_path / "calls"
    script = 'ip link add ovl0 type bridge && ip link set ovl0 up && exec "$@"'
    with Manager(tmp_path / "notify") as manager:
        daemon = subprocess.Popen(["unshare", "--net", "sh", "-c", script, "sh", "strace", "-D", "-f", "-o", log,
                                   BUILD / "ctl" / "ovltund", "-c", config, "--run-dir", tmp_path,
                                   "--uapi-dir", tmp_path], env={**os.environ, **manager.environment})
        try:
            manager.expect("READY=1")
            run(BUILD / "ctl" / "ovlctl", "--socket", tmp_path / "peers.ctl", "show")
            daemon.send_signal(signal.SIGHUP)
            manager.expect("RELOADING=1")
            manager.expect("READY=1")
            # As for a restart, which calls more; nobody answers, so it ends as by SIGTERM then.
            daemon.send_signal(signal.SIGUSR2)
            assert daemon.wait(20) == 0
        finally:
            daemon.kill()
            daemon.wait()
    text = log.read_text()
    used = set(re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE))
    assert len(used) > 40, text
    assert used <= allowed, f"the unit refuses {', '.join(sorted(used - allowed))}"
    assert set(re.findall(r" socket\((AF_\w+)", text)) <= families
