# SPDX-License-Identifier: MIT
"""Short of descriptors, of memory, of buffers: packets go on, it is said what is the matter, and ends with its cause.

Each test proves that the fault was there: by what the kernel counted, or by the words themselves.
"""
import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time

import pytest

from lab import wait_for
from lab.daemon import build_folder
from lab.transfer import transfer
from test_confined import GROUP, STRANGER, grouped  # noqa: F401 (a fixture)
from test_metrics import METRICS, Http, peers_of_nobody

# Of ctl/server.h: replies that are held for clients who do not take them.
HELD_MAX = 64 << 20
SO_SNDBUFFORCE = 32

TAKE = """
import socket, time
s = socket.create_server(("::", 5002), family=socket.AF_INET6, dualstack_ipv6=True)
print("up", flush=True)
c, _ = s.accept()
last, gap = time.monotonic(), 0
while c.recv(65536):
    now = time.monotonic()
    gap, last = max(gap, now - last), now
print(gap)
"""
GIVE = """
import select, socket, sys
s = socket.create_connection(("{address}", 5002))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print("up", flush=True)
while not select.select([sys.stdin], [], [], 0.02)[0]:
    s.sendall(bytes(500))
"""


class Traffic:
    """Pings and a TCP stream from one container to another, all the time."""

    def __init__(self, a, b):
        self.a = a
        assert a.ping(b.address, timeout=5)
        self.taker = b.popen(["/usr/bin/python3", "-c", TAKE])
        assert self.taker.stdout.readline() == "up\n"
        self.giver = a.popen(["/usr/bin/python3", "-c", GIVE.format(address=b.address)], stdin=subprocess.PIPE)
        assert self.giver.stdout.readline() == "up\n"
        self.pings = a.popen(["ping", "-n", "-q", "-i", "0.1", b.address])

    def __enter__(self):
        return self

    def __exit__(self, *args):
        for process in (self.giver, self.taker, self.pings):
            self.a.stop(process)

    def end(self):
        """Pings without an answer, and the longest pause of the stream in seconds."""
        self.pings.send_signal(signal.SIGINT)
        sent, answered = re.search(r"(\d+) packets transmitted, (\d+) received", self.pings.communicate(timeout=10)[0]).groups()
        assert self.giver.poll() is None, "the stream broke"
        self.giver.communicate("\n", timeout=10)
        gap = float(self.taker.communicate(timeout=10)[0])
        # The last may have been under way.
        return int(sent) - int(answered) - 1, gap


def unharmed(traffic, record_property):
    lost, gap = traffic.end()
    record_property("measured", f"{max(lost, 0)} pings lost, the stream paused for {gap * 1000:.0f} ms at the most")
    assert lost <= 3 and gap < 3


def pid_of(daemon):
    return daemon.process.pid


@contextlib.contextmanager
def limited(daemon, what, value):
    """The soft limit, so that it can be given back; the daemon does not touch it while it runs."""
    before = resource.prlimit(pid_of(daemon), what)
    resource.prlimit(pid_of(daemon), what, (value, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid_of(daemon), what, before)


def status(daemon, name):
    """In bytes."""
    text = pathlib.Path(f"/proc/{pid_of(daemon)}/status").read_text()
    return 1024 * int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M)[1])


def busy_share(daemon, seconds=1.0):
    """Of one processor's time."""
    def used():
        fields = pathlib.Path(f"/proc/{pid_of(daemon)}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before, began = used(), time.monotonic()
    time.sleep(seconds)
    return (used() - before) / (time.monotonic() - began)


def sockets_of(daemon, table, wanted):
    """Descriptors of the daemon whose line in /proc/net/TABLE (as a list of words) is wanted; the inode is at @at."""
    lines = pathlib.Path(f"/proc/{pid_of(daemon)}/net/{table}").read_text().splitlines()
    inodes = {words[-1] if table == "netlink" else words[9] for words in map(str.split, lines[1:]) if wanted(words)}
    folder = pathlib.Path(f"/proc/{pid_of(daemon)}/fd")
    return [int(fd.name) for fd in folder.iterdir() if re.sub(r"socket:\[(\d+)\]", r"\1", os.readlink(fd)) in inodes]


def borrow(daemon, fd):
    """The same open socket, here."""
    pidfd = os.pidfd_open(pid_of(daemon))
    libc = ctypes.CDLL(None, use_errno=True)
    copy = libc.syscall(438, pidfd, fd, 0)  # pidfd_getfd
    os.close(pidfd)
    if copy < 0:
        pytest.skip(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
    return socket.socket(fileno=copy)


@contextlib.contextmanager
def control_thread_held(daemon):
    """It alone: workers go on."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(request):
        if libc.ptrace(request, pid_of(daemon), None, None) < 0:
            pytest.skip(f"ptrace: {os.strerror(ctypes.get_errno())}")

    ptrace(0x4206)  # PTRACE_SEIZE
    ptrace(0x4207)  # PTRACE_INTERRUPT
    os.waitpid(pid_of(daemon), 0x40000000)  # __WALL: until it stands
    try:
        yield
    finally:
        ptrace(17)  # PTRACE_DETACH


def ovlctl(daemon, *argv):
    return [build_folder() / "ctl" / "ovlctl", "--socket", daemon.socket, *argv]


def test_out_of_descriptors(overlay, record_property):
    daemon, host = overlay.daemons[0], overlay.lab[0]
    plain = overlay.config(host) + METRICS
    daemon.write(plain)
    daemon.ctl("reload")
    host.run("ip link add ovl1 type bridge")
    with Traffic(*overlay.containers) as traffic:
        open_ones = {int(fd) for fd in os.listdir(f"/proc/{pid_of(daemon)}/fd")}
        with limited(daemon, resource.RLIMIT_NOFILE, next(n for n in itertools.count() if n not in open_ones)):
            asking = host.popen(ovlctl(daemon, "show", "--json"))
            scraping = Http(host).send("GET /metrics HTTP/1.0\r\n\r\n")
            for whose in (str(daemon.socket), "metrics"):
                wait_for(lambda: f"{whose}: cannot take a client: Too many open files" in daemon.log, 5)
            daemon.write(plain + "[Network]\nName = more\nBridge = ovl1\nMode = bridged\nVNI = 7\n")
            daemon.process.send_signal(signal.SIGHUP)
            wait_for(lambda: re.search("not reloaded, all stays as it was: .*Too many open files", daemon.log), 5)
            # Those who wait to be accepted make poll(2) return at once: nobody may spin for them.
            assert busy_share(daemon) < 0.5 and asking.poll() is None
        assert len(json.loads(asking.communicate(timeout=10)[0])["networks"]) == 1
        assert scraping.read().startswith(b"HTTP/1.1 200")
        for whose in (str(daemon.socket), "metrics"):
            assert f"{whose}: takes clients again" in daemon.log
        daemon.ctl("reload")
        daemon.attached(1)
        # Fewer than poll(2) is asked to wait for.
        with limited(daemon, resource.RLIMIT_NOFILE, 3):
            assert busy_share(daemon) < 0.5
        assert len(daemon.show()["networks"]) == 2
        unharmed(traffic, record_property)


class Control:
    """A connection to the control socket."""

    def __init__(self, daemon):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(daemon.socket))
        self.file = self.socket.makefile("r", encoding="utf-8")

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, **request):
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return self

    def ask(self, **request):
        return json.loads(self.send(**request).file.readline())


@pytest.mark.parametrize("io", ["uring"])
def test_out_of_memory(overlay, record_property):
    daemon, host = overlay.daemons[0], overlay.lab[0]
    plain = overlay.config(host) + METRICS
    daemon.write(plain)
    daemon.ctl("reload")
    many = list(peers_of_nobody(6000))
    keys = [re.search("PublicKey = (.*)", peer)[1] for peer in many]
    with Traffic(*overlay.containers) as traffic:
        control, added = Control(daemon), 0
        with limited(daemon, resource.RLIMIT_AS, status(daemon, "VmSize")):
            for key in keys:
                reply = control.ask(do="peer-add", public_key=key)
                if not reply["ok"]:
                    break
                added += 1
            assert "memory" in reply["error"], reply
            # What was in force stays so.
            daemon.write(plain + "".join(many))
            assert "out of memory" in daemon.ctl("reload", check=False)
            # Who asks gets an answer, or is told why not.
            told = []
            for name in ("show", "drops", "drops-last", "events", "traffic", "neigh", "route-list", "fdb-list"):
                reply = control.ask(do=name)
                told.append(reply["ok"])
                assert reply["ok"] or "memory" in reply["error"], (name, reply)
            with contextlib.suppress(ConnectionError, socket.timeout):
                Http(host, timeout=3).send("GET /metrics HTTP/1.0\r\n\r\n").read()
            host.run("ip link add ovl1 type bridge")
            host.run("ip link del ovl1")
            host.run(f"ip link set {daemon.host.containers[0].port} mtu 1400")
            host.run(f"ip link set {daemon.host.containers[0].port} mtu 1500")
        shown = control.ask(do="show")
        assert len(shown["peers"]) == added + 1
        daemon.ctl("reload")
        assert len(daemon.show()["peers"]) == len(many) + 1
        assert Http(host).ask()[0] == 200
        record_property("measured", f"refused after {added} peers; {sum(told)} of {len(told)} questions answered")
        unharmed(traffic, record_property)


@pytest.mark.parametrize("io", ["uring"])
def test_netlink_overflow(overlay, record_property):
    """Changes that nobody had room to tell of are found all the same."""
    daemon, host = overlay.daemons[0], overlay.lab[0]
    daemon.write(overlay.config(host) + "[Network]\nName = more\nBridge = ovl1\nMode = bridged\nVNI = 7\n")
    daemon.ctl("reload")
    a, b = overlay.containers
    tap = daemon.show()["networks"][0]["tap"]
    with Traffic(a, b) as traffic:
        for fd in sockets_of(daemon, "netlink", lambda words: int(words[3], 16)):
            with borrow(daemon, fd) as watch:
                watch.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        # What matters among what does not: another network's bridge, and a TAP that somebody meddles with.
        storm = [f"link add d{i} type veth peer name e{i}" for i in range(20)]
        storm[10:10] = ["link add ovl1 type bridge", "link set ovl1 up", f"link set {tap} mtu 1400"]
        with control_thread_held(daemon):
            host.run(["ip", "-batch", "-"], input="\n".join(storm) + "\n", timeout=60)
            assert a.ping(b.address)
        wait_for(lambda: daemon.drops("netlink-overflow") > 0, 10)
        assert "changed faster than they were read" in daemon.log
        daemon.attached(1)
        wait_for(lambda: "mtu 1500" in host.run(f"ip link show {tap}"), 10, "the TAP's MTU to be put right")
        lost = sum(int(line.split()[8]) for line in
                   pathlib.Path(f"/proc/{pid_of(daemon)}/net/netlink").read_text().splitlines()[1:])
        record_property("measured", f"{lost} events lost, counted {daemon.drops('netlink-overflow')} times")
        unharmed(traffic, record_property)


@pytest.mark.parametrize("io", ["uring"])
def test_no_room_to_send(overlay, record_property):
    daemon, host = overlay.daemons[0], overlay.lab[0]
    a, b = overlay.containers
    with Traffic(a, b) as traffic:
        with contextlib.ExitStack() as stack:
            # Of each worker one.
            group = [stack.enter_context(borrow(daemon, fd))
                     for fd in sockets_of(daemon, "udp", lambda words: words[1].endswith(f":{12345:04X}"))]
            before = group[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            # What waits to be sent counts.
            host.run("tc qdisc add dev eth0 root tbf rate 2mbit burst 5kb latency 2s")
            for udp in group:
                udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            flood = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            a.run(["/usr/bin/python3", "-c", flood + f"for n in range(3000):\n  s.sendto(bytes(1200), ('{b.address}', 9))\n"])
            refused = wait_for(lambda: (count := daemon.drops("out-send")) > 500 and count, 10)
            wait_for(lambda: "out-send" in daemon.ctl("events"), 5)
            assert "its send buffer is full" in daemon.ctl("show", "drops")
            # One at a time goes, if not each.
            wait_for(lambda: a.ping(b.address, timeout=1), 10)
            for udp in group:
                udp.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, before // 2)
            host.run("tc qdisc del dev eth0 root")
        after = daemon.drops("out-send")
        sent, received = transfer(a, b, b.address, 3)
        assert sent == received and daemon.drops("out-send") == after
        lost, gap = traffic.end()
        record_property("measured", f"{refused} datagrams refused, {max(lost, 0)} pings lost, the stream paused for {gap:.1f} s")
        assert gap < 10


@pytest.mark.long
@pytest.mark.parametrize("io", ["uring"])
def test_clients_that_never_read(overlay, record_property):
    daemon, host = overlay.daemons[0], overlay.lab[0]
    daemon.write(overlay.config(host) + "".join(peers_of_nobody(10000)))
    daemon.ctl("reload")
    with Traffic(*overlay.containers) as traffic:
        size = len(json.dumps(Control(daemon).ask(do="show"), separators=(",", ":")))
        before = status(daemon, "VmRSS")
        deaf = [Control(daemon).send(do="show") for _ in range(HELD_MAX // size + 6)]
        began = time.monotonic()
        assert len(daemon.show()["peers"]) == 10001
        seconds = time.monotonic() - began
        held = status(daemon, "VmRSS") - before
        assert held < HELD_MAX + 3 * size
        assert "a client did not read its reply" in daemon.log
        record_property("measured", f"{len(deaf)} deaf clients of {size / 1e6:.1f} MB each: {held / 1e6:.0f} MB held, "
                                    f"another is answered after {seconds:.1f} s")
        for client in deaf:
            client.close()
        wait_for(lambda: status(daemon, "VmRSS") - before < 16 << 20, 10, "the memory to be given back")
        unharmed(traffic, record_property)


CROWD = """
import socket, sys, time
crowd = []
for n in range(100):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(2)
    try:
        s.connect(sys.argv[1])
        s.send(b"half a request")
    except OSError:
        pass
    crowd.append(s)
print("up", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("io", ["uring"])
def test_who_may_look_leaves_places_to_root(grouped):  # noqa: F811
    crowd = subprocess.Popen(["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--groups", str(GROUP),
                              "/usr/bin/python3", "-c", CROWD, grouped.socket], stdout=subprocess.PIPE, text=True)
    try:
        assert crowd.stdout.readline() == "up\n"
        began = time.monotonic()
        assert grouped.show()["peers"]
        assert time.monotonic() - began < 5
    finally:
        crowd.kill()
        crowd.communicate()
