# SPDX-License-Identifier: MIT
"""The package under a real systemd (lab/real_systemd.py): installed, restarted, upgraded, broken, removed."""
import re
import signal
import subprocess
import time

import pytest

from conftest import Overlay
from lab import wait_for
from lab.real_systemd import CannotBoot, RealSystemd
from lab.service import Service
from lab.stream import Capture, Stream
from test_confined import NET_ADMIN, NET_BIND_SERVICE
from test_restart import connect, handshakes, tap_index

WENT_ON = "went on from the last daemon: 1 of 1 peers with their session, 1 of 1 TAPs, its UDP port"


@pytest.fixture
def machine(lab, package):
    """A host with a systemd that has the package."""
    try:
        machine = RealSystemd(lab[0])
    except CannotBoot as error:
        pytest.skip(f"no systemd can be booted here: {error}")
    try:
        install(machine, package[0])
        yield machine
    finally:
        machine.close()


def install(machine, deb):
    machine.path("/run/ovltun.deb").write_bytes(deb.read_bytes())
    said = machine.run("dpkg -i /run/ovltun.deb")
    assert not re.search("error|warning|failed", said, re.IGNORECASE), said


def of_version(deb, folder, version):
    """The same package, but for its version."""
    tree, out = folder / f"{version}", folder / f"{version}.deb"
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*", f"Version: {version}", control.read_text(), flags=re.MULTILINE))
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, out], check=True, stdout=subprocess.DEVNULL)
    return out


class Installed(Overlay):
    """The first host has the machine's service, the other a daemon as always."""

    def __init__(self, lab, machine):
        self.machine = machine
        super().__init__(lab, "auto")

    def daemon(self, host, **kwargs):
        if host.index:
            return super().daemon(host, **kwargs)
        service = Service(host, self.config(host), self.machine)
        service.systemctl("enable", "--now")
        return service


class Watched:
    """A stream from the service's container to the peer's, and all that goes over the underlay meanwhile."""

    def __init__(self, overlay, tmp_path, seconds):
        self.capture = Capture(overlay.lab[0], tmp_path / "outer.pcap")
        self.overlay, self.seconds = overlay, seconds
        self.tap, self.handshakes = tap_index(overlay.lab[0]), handshakes(overlay.daemons[1])
        before = self.sent()
        self.stream = Stream(*overlay.containers, seconds)
        wait_for(lambda: self.sent() > before + 50, 10, "packets")

    def sent(self):
        return self.overlay.daemons[0].show()["peers"][0]["tx_packets"]

    def check(self, what, record_property):
        """Nothing lost, but for what this machine may be too busy for; no handshake; no counter twice."""
        said, came, unique, stall = self.stream.result()
        kinds = self.capture.check()
        text = (f"{what}: {said - unique} of {said} datagrams lost, none for {stall * 1000:.0f} ms; "
                f"{kinds[4]} outer datagrams, each counter once")
        record_property("measured", text)
        assert came == unique and said > self.seconds * 300, text
        # A TAP's queue holds a thousand.
        assert said - unique < 200 + 1000 * max(0, stall - 1) and stall < 3, text
        assert kinds[4] > said / 4 and set(kinds) == {4}, kinds  # some are of several segments
        assert handshakes(self.overlay.daemons[0]) == 0 and handshakes(self.overlay.daemons[1]) == self.handshakes
        assert tap_index(self.overlay.lab[0]) == self.tap


def check_processes(service):
    """Who runs, as whom, with what: as docs/threat-model.md has it."""
    machine, main, helper = service.machine, service.pid, service.helper
    tasks = [f"{main}/task/{path.name}" for path in machine.path(f"/proc/{main}/task").iterdir()]
    assert len(tasks) > 1
    for task in (*tasks, helper):
        kept = NET_ADMIN | NET_BIND_SERVICE if task == helper else 0
        for kind, bits in (("CapPrm", kept), ("CapEff", kept), ("CapInh", 0), ("CapAmb", 0), ("CapBnd", 0)):
            assert int(service.status(task, kind)[0], 16) == bits, (task, kind)
        assert service.status(task, "Seccomp") == ["2"] and service.status(task, "NoNewPrivs") == ["1"]
        # The unit's filter, and its own.
        assert int(service.status(task, "Seccomp_filters")[0]) >= 2
    uid, gid = (machine.run(["id", option, "ovltun"]).strip() for option in ("-u", "-g"))
    assert set(service.status(main, "Uid")) == {uid} and set(service.status(main, "Gid")) == {gid}
    service.says("user ovltun")
    assert "system calls not restricted" not in service.log


def check_sandbox(service):
    """What the unit says is so, for whoever is where the daemon is."""
    machine = service.machine
    machine.path("/home/secret").write_text("x")
    machine.path("/tmp/secret").write_text("x")
    inside = ["nsenter", f"--target={service.pid}", "--mount", "--", "sh", "-c"]
    for place in ("/etc/ovltun", "/usr", "/var/lib", "/run", "/run/lock", "/dev/shm",
                  "/sys/fs/cgroup"):
        assert "Read-only file system" in machine.run([*inside, f": >{place}/x"], check=False), place
    for place in ("/run/ovltun", "/run/wireguard", "/var/lib/ovltun", "/tmp"):
        machine.run([*inside, f": >{place}/x && rm {place}/x"])
    for place in ("/home/secret", "/tmp/secret", "/proc/sys/kernel/hostname"):
        assert machine.run([*inside, f"cat {place}"], check=False).startswith("cat: "), place
    # Root's processes see each other; it is not root.
    seen = machine.run([*inside[:-2], "setpriv", "--reuid=ovltun", "--regid=ovltun", "--clear-groups", "ls", "/proc"])
    assert "self" in seen.split() and "1" not in seen.split()
    # Devices are by cgroup.
    join = f"echo $$ >/sys/fs/cgroup{service.prop('ControlGroup')}/cgroup.procs && exec"
    assert "not permitted" in machine.run(["sh", "-c", f"{join} head -c 0 /dev/refused"], check=False)
    machine.run(["sh", "-c", f"{join} head -c 0 /dev/null"])


def check_units(machine, record_property):
    said = machine.run("systemd-analyze verify ovltund.service ovltund@x.service")
    assert not said.strip(), said
    said = machine.run("systemd-analyze security ovltund")
    score = re.search(r"Overall exposure level for \S+: ([\d.]+) (\w+)", said)
    record_property("measured", f"systemd-analyze security ovltund: {score[1]} {score[2]}")
    assert float(score[1]) < 3


def test_installed_enabled_restarted_stopped(lab, machine, tmp_path, record_property):
    assert machine.show("ovltund", "ActiveState") == "inactive" and machine.show("ovltund", "Result") == "success"
    overlay = Installed(lab, machine)
    service, a, b = overlay.daemons[0], *overlay.containers
    assert [service.prop(name) for name in ("ActiveState", "Type", "NRestarts")] == ["active", "notify", "0"]
    connect(overlay)
    check_processes(service)
    check_sandbox(service)
    check_units(machine, record_property)

    first = service.pid
    watched = Watched(overlay, tmp_path, 1.5)
    for count in (1, 2):
        service.restart()
        service.says(WENT_ON, count)
    watched.check("two restarts by systemctl", record_property)
    assert service.pid != first and service.prop("NFileDescriptorStore") == "0"
    assert service.prop("NRestarts") == "0"

    good, peers = service.config.read_text(), service.show()["peers"]
    main = service.pid
    service.systemctl("reload")
    service.config.write_text(good.replace("ListenPort", "ListenPrt"))
    status, said = machine.try_run("systemctl reload ovltund")
    assert status == 1 and "failed" in said
    service.says('unknown key "ListenPrt"; did you mean "ListenPort"?')
    assert service.prop("ActiveState") == "active" and service.pid == main
    assert [p["public_key"] for p in service.show()["peers"]] == [p["public_key"] for p in peers]
    service.config.write_text(good)
    service.systemctl("reload")
    assert a.ping(b.address) and handshakes(service) == 0

    service.stop()
    assert service.prop("ActiveState") == "inactive" and service.prop("Result") == "success"
    assert tap_index(lab[0]) == [] and service.prop("NFileDescriptorStore") == "0"
    complaints = machine.run("journalctl --no-pager -o cat -p warning _PID=1").splitlines()
    assert [line.partition(" for ")[0] for line in complaints if "ovltun" in line] == ["Reload failed"]


# Tries what the unit refuses to whatever it starts, before the daemon gives up anything itself; says what went well.
PROBE = """
import ctypes, mmap, os, socket, time
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *args):
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)

def suid():
    open("/run/ovltun/suid", "w").close()
    try:
        os.chmod("/run/ovltun/suid", 0o4755)
    finally:
        os.unlink("/run/ovltun/suid")

tries = {
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "vsock": lambda: socket.socket(40, socket.SOCK_STREAM),
    "user namespace": lambda: call("unshare", 0x10000000),
    "mount namespace": lambda: call("unshare", 0x20000),
    "network namespace": lambda: call("unshare", 0x40000000),
    "other personality": lambda: call("personality", 0x0040000),
    "memory that is written and executed": lambda: mmap.mmap(-1, 4096, prot=7),
    "clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "name of the host": lambda: socket.sethostname("other"),
    "kernel log": lambda: call("klogctl", 3, ctypes.create_string_buffer(9), 8),
    "file system": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "modules": lambda: os.listdir("/usr/lib/modules"),
    "file of another uid": lambda: os.open("/etc/shadow", os.O_RDWR),
    "key ring": lambda: call("syscall", 250, 0, -3, 0),
    "tracing": lambda: call("ptrace", 16, 1, 0, 0),
    "settings": lambda: os.stat("/proc/sys/net"),
    "core files": lambda: call("prlimit", 0, 4, (ctypes.c_ulong * 2)(1, 1), None),
    "set-user-ID": suid,
}
for what, attempt in tries.items():
    try:
        attempt()
        print("went well:", what)
    except OSError:
        pass
os.close(os.open("/dev/net/tun", os.O_RDWR))
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
print("tried", len(tries))
"""


@pytest.mark.long
def test_what_the_unit_refuses(lab, machine):
    service = Installed(lab, machine).daemons[0]
    machine.path("/usr/probe.py").write_text(PROBE)
    service.drop_in("[Service]\nExecStartPre=/usr/bin/python3 /usr/probe.py\n")
    service.restart()
    service.says("tried ")
    assert "went well" not in service.log, service.log


@pytest.mark.long
def test_what_waits_for_the_next_is_kept(lab, machine, tmp_path, record_property):
    """A start that takes its time, with a systemd executed anew meanwhile; too small a store; a start that fails."""
    overlay = Installed(lab, machine)
    service, a, b = overlay.daemons[0], *overlay.containers
    connect(overlay)
    service.drop_in("[Service]\nExecStartPre=/bin/sleep 0.6\n")
    watched = Watched(overlay, tmp_path, 3)
    service.systemctl("restart", "--no-block")
    # A TAP, two sockets, a state.
    wait_for(lambda: service.prop("NFileDescriptorStore") == "4", 5, "descriptors in the store")
    machine.run("systemctl daemon-reexec")
    assert service.prop("NFileDescriptorStore") == "4" and service.prop("ActiveState") == "activating"
    service.active()
    service.says(WENT_ON)
    watched.check("a restart with 0.6 s in between", record_property)

    service.drop_in("[Service]\nFileDescriptorStoreMax=2\n")
    service.restart()
    service.says("there is no state with it (FileDescriptorStoreMax= may be too small)")
    wait_for(lambda: a.ping(b.address), 10, "an answer")

    # A file that is wrong ends the service; the sessions do not wait for ever.
    good = service.config.read_text()
    service.config.write_text(good + "Nonsense = 1\n")
    status, _ = machine.try_run("systemctl restart ovltund")
    assert status and service.prop("ActiveState") == "failed" and service.prop("NRestarts") == "0"
    service.says('unknown key "Nonsense"')
    assert service.prop("NFileDescriptorStore") == "0" and tap_index(lab[0]) == []
    service.config.write_text(good)
    service.start()
    wait_for(lambda: a.ping(b.address), 10, "an answer")


def kill(service, sig):
    service.systemctl("kill", "--kill-whom=main", "-s", sig)


@pytest.mark.long
def test_crashes(lab, machine, tmp_path, record_property):
    overlay = Installed(lab, machine)
    service, a, b = overlay.daemons[0], *overlay.containers
    connect(overlay)
    service.drop_in("[Service]\nWatchdogSec=3\n")
    service.restart()
    capture = Capture(lab[0], tmp_path / "outer.pcap")
    for count in range(1, 8):
        main, helper = service.pid, service.helper
        kill(service, "KILL")
        began = time.monotonic()
        wait_for(lambda n=count: service.prop("NRestarts") == str(n), 15, "another start")
        service.active()
        assert service.pid != main and not machine.path(f"/proc/{helper}").exists()
        wait_for(lambda: a.ping(b.address), 10, "an answer in a new session")
        taken = time.monotonic() - began
        assert handshakes(service) >= 1
    record_property("measured", f"killed, started anew by systemd, answered after {taken:.1f} s")
    assert service.prop("NFileDescriptorStore") == "0" and len(tap_index(lab[0])) == 1
    # One that hangs.
    main, helper = service.pid, service.helper
    began = time.monotonic()
    kill(service, "STOP")
    wait_for(lambda: service.prop("NRestarts") == "8", 20, "the watchdog to bite")
    service.active()
    wait_for(lambda: a.ping(b.address), 10, "an answer in a new session")
    record_property("measured", f"hung, answered after {time.monotonic() - began:.1f} s with WatchdogSec=3")
    service.says("Watchdog timeout")
    assert not machine.path(f"/proc/{helper}").exists()
    capture.check()


@pytest.mark.long
def test_upgraded_removed_purged(lab, machine, package, tmp_path, record_property):
    overlay = Installed(lab, machine)
    service, host = overlay.daemons[0], lab[0]
    text = overlay.config(host).replace("ListenPort = 12345", "ListenPort = 12399").replace("ovl0", "ovl9")
    other = Service(host, text, machine, "other")
    other.systemctl("enable", "--now")
    connect(overlay)
    before = [daemon.pid for daemon in (service, other)]
    newer = of_version(package[0], tmp_path, "99.0")
    watched = Watched(overlay, tmp_path, 10)
    install(machine, newer)
    assert watched.stream.mouth.poll() is None, "the upgrade took longer than the stream"
    service.says(WENT_ON)
    watched.check("an upgrade by dpkg", record_property)
    assert machine.run("dpkg-query -W -f ${Version} ovltun") == "99.0"
    for daemon, last in zip((service, other), before):
        assert daemon.pid != last and daemon.prop("NRestarts") == "0"
        assert "(deleted)" not in machine.run(["readlink", f"/proc/{daemon.pid}/exe"])

    # A file that is wrong by now: the daemon of before goes on, and who upgrades is told.
    good, main = service.config.read_text(), service.pid
    service.config.write_text(good + "Nonsense = 1\n")
    machine.path("/run/ovltun.deb").write_bytes(of_version(package[0], tmp_path, "99.1").read_bytes())
    said = machine.run("dpkg -i /run/ovltun.deb")
    assert "Nonsense" in said and "ovltund.service was not restarted" in said
    assert service.pid == main and overlay.containers[0].ping(overlay.containers[1].address)
    service.config.write_text(good)
    # What the operator has switched off stays so.
    service.systemctl("disable", "--now")
    install(machine, of_version(package[0], tmp_path, "99.2"))
    assert service.prop("ActiveState") == "inactive" and other.prop("ActiveState") == "active"
    service.systemctl("enable", "--now")

    machine.run("dpkg --remove ovltun")
    assert tap_index(host) == [] and "ovltund" not in machine.run("ps -e -o comm")
    machine.run("dpkg --purge ovltun")
    left = machine.run("find /etc /lib /usr /run /var -xdev -name *ovltun* -o -path /run/wireguard").split()
    # Keys, of which there may be no other copy; and what the test brought.
    assert sorted(left) == ["/etc/ovltun", "/run/ovltun.deb"], left
    assert service.config.exists() and other.config.exists()
