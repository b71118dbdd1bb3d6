# SPDX-License-Identifier: MIT
"""Namespaces, links, bridges, containers."""
import atexit
import ctypes
import itertools
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time

PREFIX = "ovlab"
_serial = itertools.count()


class LabError(Exception):
    """A command failed; the text has what it said."""


def new_folder():
    """A temporary folder that lab.clean knows whose it was."""
    return pathlib.Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-"))


def wait_for(condition, seconds=10.0, what="a condition", interval=0.02):
    """Returns the condition's first true value; LabError when it takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds} s in vain for {what}")
        time.sleep(interval)


def sh(command, check=True, timeout=60, **kwargs):
    """Runs a command given as a string or a list; returns its standard output."""
    argv = command.split() if isinstance(command, str) else [str(c) for c in command]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout, check=False, **kwargs)
    if check and done.returncode:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def netns_socket(netns, family=socket.AF_INET, kind=socket.SOCK_DGRAM):
    """A socket of another network namespace: only the thread that makes it goes there."""
    made = []

    def make():
        libc = ctypes.CDLL(None, use_errno=True)
        fd = os.open(f"/run/netns/{netns}", os.O_RDONLY)
        if libc.setns(fd, 0x40000000):
            made.append(OSError(ctypes.get_errno(), "setns"))
        else:
            made.append(socket.socket(family, kind))
        os.close(fd)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


class Namespace:
    """A network namespace and what runs in it."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self.netns = f"{PREFIX}{lab.id}-{name}"
        self.processes = []
        sh(f"ip netns add {self.netns}")
        self.run("ip link set lo up")

    def argv(self, command):
        rest = command.split() if isinstance(command, str) else [str(c) for c in command]
        # nsenter, not "ip netns exec": that one remounts /sys and hides the cgroups.
        return ["nsenter", f"--net=/run/netns/{self.netns}", *rest]

    def run(self, command, **kwargs):
        return sh(self.argv(command), **kwargs)

    def popen(self, command, **kwargs):
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.STDOUT)
        process = subprocess.Popen(self.argv(command), text=True, **kwargs)
        self.processes.append(process)
        return process

    def sysctl(self, key, value):
        path = "/proc/sys/" + key.replace(".", "/")
        self.run(["sh", "-c", f"echo {value} > {path}"])

    def echo_replies(self):
        """Answers to pings that this namespace's kernel got so far, both families."""
        said = self.run(["cat", "/proc/net/snmp", "/proc/net/snmp6"], check=False)
        names, values = [line.split() for line in said.splitlines() if line.startswith("Icmp:")]
        six = next((line for line in said.splitlines() if line.startswith("Icmp6InEchoReplies")), "0")
        return int(values[names.index("InEchoReps")]) + int(six.split()[-1])

    def ping(self, address, count=1, timeout=2, size=None, options=()):
        """True when every request was answered."""
        argv = ["ping", "-n", "-D", "-c", str(count), "-i", "0.05", "-W", str(timeout), *options]
        if size is not None:
            argv += ["-s", str(size)]
        before, started = self.echo_replies(), time.time()
        done = subprocess.run(self.argv([*argv, str(address)]), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=count * timeout + 10, check=False)
        answered = done.returncode == 0 and f"{count} received" in done.stdout
        if not answered:
            # A ping that does not get to run for its timeout calls lost what lies in its socket.
            self.lab.failed_pings.append(
                f"{self.name}, from {started:.3f} to {time.time():.3f}; its kernel got "
                f"{self.echo_replies() - before} answers of {count}: {done.stdout.strip()}")
        return answered

    def stop(self, process, sig=15, seconds=10):
        if process.poll() is None:
            process.send_signal(sig)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def close(self):
        for process in self.processes:
            self.stop(process, 9)
            if process.stdout:
                process.stdout.close()
        sh(f"ip netns del {self.netns}", check=False)


class Container(Namespace):
    """A namespace with one interface, eth0, on a bridge of its host."""

    def __init__(self, host, name, bridge, address=None, gateway=None, mac=None, mtu=None, address6=None):
        super().__init__(host.lab, name)
        self.host = host
        self.bridge = bridge
        self.port = f"v{next(_serial)}p{os.getpid() % 100000}"
        host.run(f"ip link add {self.port} type veth peer name eth0 netns {self.netns}")
        if mac:
            self.run(f"ip link set eth0 address {mac}")
        if mtu:
            host.run(f"ip link set {self.port} mtu {mtu}")
            self.run(f"ip link set eth0 mtu {mtu}")
        host.run(f"ip link set {self.port} master {bridge} up")
        if address6:
            # Optimistic enough for a lab: no waiting for duplicate address detection.
            self.sysctl("net.ipv6.conf.eth0.accept_dad", 0)
        self.run("ip link set eth0 up")
        self.address = self.address6 = None
        if address:
            self.address = address.split("/")[0]
            self.run(f"ip addr add {address} dev eth0")
        if address6:
            self.address6 = address6.split("/")[0]
            self.run(f"ip addr add {address6} dev eth0 nodad")
        if gateway:
            self.run(f"ip route add default via {gateway}")

    @property
    def mac(self):
        return next(w for w in self.run("ip -br link show eth0").split() if w.count(":") == 5)

    def close(self):
        super().close()
        if self in self.host.containers:
            self.host.containers.remove(self)


class Host(Namespace):
    def __init__(self, lab, name, index):
        super().__init__(lab, name)
        self.index = index
        self.containers = []
        self.daemons = []
        self.underlay = f"10.10.10.{101 + index}"
        self.underlay6 = f"fd10::{101 + index}"
        self.uplink = f"u{index}x{os.getpid() % 100000}"
        self.run(f"ip link add eth0 type veth peer name {self.uplink} netns {lab.net.netns}")
        self.run("ip addr add %s/24 dev eth0" % self.underlay)
        self.run("ip addr add %s/64 dev eth0 nodad" % self.underlay6)
        self.run("ip link set eth0 up")
        lab.net.run(f"ip link set {self.uplink} master underlay up")

    def bridge(self, name="ovl0", address=None, address6=None, mtu=None):
        self.run(f"ip link add {name} type bridge")
        # A test about our checks should not meet the bridge's own.
        self.run(f"ip link set {name} type bridge mcast_snooping 0")
        if address:
            self.run(f"ip addr add {address} dev {name}")
        if address6:
            self.run(f"ip addr add {address6} dev {name} nodad")
        if mtu:
            self.run(f"ip link set {name} mtu {mtu}")
        self.run(f"ip link set {name} up")
        return name

    def container(self, name, **kwargs):
        container = Container(self, name, kwargs.pop("bridge", "ovl0"), **kwargs)
        self.containers.append(container)
        return container

    def loss(self, percent):
        """Loses that share of the UDP datagrams that come in from the underlay; 0: none."""
        self.run("nft delete table ip lab", check=False)
        if percent:
            share = int(percent * 10)
            self.run(["nft", "-f", "-"], input="table ip lab {\n chain in {\n type filter hook input priority 0;\n"
                     f"meta l4proto udp numgen random mod 1000 < {share} drop\n }}\n}}\n")

    def close(self):
        for daemon in list(self.daemons):
            daemon.close()
        for container in list(self.containers):
            container.close()
        super().close()


class Lab:
    _open = []

    def __init__(self, hosts=2, mtu=None):
        self.id = f"{os.getpid()}x{next(_serial)}"
        self.hosts = []
        self.failed_pings = []
        Lab._open.append(self)
        atexit.register(self.close)
        self.closed = False
        try:
            self.net = Namespace(self, "net")
            self.net.run("ip link add underlay type bridge")
            self.net.run("ip link set underlay type bridge mcast_snooping 0")
            if mtu:
                self.net.run(f"ip link set underlay mtu {mtu}")
            self.net.run("ip link set underlay up")
            for index in range(hosts):
                self.hosts.append(Host(self, f"barge{index + 1}", index))
        except BaseException:
            self.close()
            raise

    def __iter__(self):
        return iter(self.hosts)

    def __getitem__(self, index):
        return self.hosts[index]

    @classmethod
    def open_ones(cls):
        return list(cls._open)

    def describe(self):
        """For the report of a failure: pairs of a title and a text."""
        sections = [("pings that failed", "\n".join(self.failed_pings))] if self.failed_pings else []
        for host in self.hosts:
            for daemon in host.daemons:
                sections.append((f"{host.name}: {type(daemon).__name__}", daemon.describe()))
        return sections

    def close(self):
        if self.closed:
            return
        self.closed = True
        Lab._open.remove(self)
        for host in self.hosts:
            host.close()
        if hasattr(self, "net"):
            self.net.close()
        atexit.unregister(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()
