# SPDX-License-Identifier: MIT
"""Real Docker engines on one Ethernet segment: `docker network create` as it comes, the same on every host."""
import json
import pathlib
import re
import time

import pytest

from lab import Daemon, DockerEngine, Lab, keypair, wait_for
from lab.docker import available
from test_docker import lines_of, pings, stream

pytestmark = [pytest.mark.docker, pytest.mark.early, pytest.mark.skipif(not available(), reason="no Docker engine is installed")]

SUBNET = "10.7.0.0/16"
GATEWAY = "10.7.0.1"
OUTSIDE = "10.10.10.1"


# Engines are slow to start: one backend in ci, the other in the long tier.
LONG = pytest.mark.long
URING_FIRST = pytest.mark.parametrize("io", ["uring", pytest.param("poll", marks=LONG)])
POLL_FIRST = pytest.mark.parametrize("io", ["poll", pytest.param("uring", marks=LONG)])


class Switch:
    """Engines and daemons on every host; for each VNI a network "netVNI" on bridge segVNI.

    @subnets: for each host its networks' subnets by VNI. Nothing else is said to Docker: every
    gateway is the subnet's first address.
    """

    def __init__(self, lab, io, subnets=None, vnis=(7,)):
        self.lab = lab
        self.vnis = vnis
        # The rest of the world, which knows no container's address.
        lab.net.run(f"ip addr add {OUTSIDE}/24 dev underlay")
        for host in lab:
            host.run(f"ip route add default via {OUTSIDE}")
        self.engines = [DockerEngine(host) for host in lab]
        for host in lab:
            for vni, subnet in (subnets[host.index] if subnets else {7: SUBNET}).items():
                self.network(host.index, vni, subnet)
        self.keys = [keypair() for _ in lab.hosts]
        self.daemons = [Daemon(host, self.config(host), io=io) for host in lab]
        for daemon in self.daemons:
            for number in range(len(vnis)):
                daemon.attached(number, seconds=20)

    def config(self, host):
        text = f"[Interface]\nPrivateKey = {self.keys[host.index][0]}\nListenPort = 12345\n"
        for vni in self.vnis:
            text += f"[Network]\nBridge = seg{vni}\nMode = bridged\nVNI = {vni}\n"
        for other in self.lab:
            if other is not host:
                text += (f"[Peer]\nName = {other.name}\nPublicKey = {self.keys[other.index][1]}\n"
                         f"Endpoint = {other.underlay}:12345\nVNIs = {', '.join(str(v) for v in self.vnis)}\n")
        return text

    def network(self, host, vni=7, subnet=SUBNET):
        self.engines[host].docker("network", "create", "-o", f"com.docker.network.bridge.name=seg{vni}",
                                  "--subnet", subnet, f"net{vni}")

    def run(self, host, name, address, *command, vni=7, options=()):
        self.engines[host].container(name, *command, network=f"net{vni}", options=("--ip", address, *options))
        return address

    def show(self, host, vni=7):
        return self.daemons[host].show()["networks"][self.vnis.index(vni)]

    def stations(self, host, vni=7):
        return json.loads(self.daemons[host].ctl("fdb", "list", f"seg{vni}", "--json"))[0]["stations"]

    def gateway_mac(self, host, vni=7):
        return next(w for w in self.lab[host].run(f"ip -br link show seg{vni}").split() if w.count(":") == 5)


def serve(switch, host, name, word):
    """A web server in the container that says @word."""
    switch.engines[host].docker("exec", "-d", name, "sh", "-c", f"echo {word} > /tmp/index.html; httpd -f -p 80 -h /tmp")


def fetch(switch, host, name, url, expected=None, seconds=15):
    def get():
        return switch.engines[host].run(name, "wget", "-q", "-O", "-", url, check=False).strip()
    return wait_for(lambda: get() == expected, seconds, f"{expected} at {url}") if expected else get()


def resolved(switch, host, name, address):
    """The MAC that a container takes an address for."""
    table = switch.engines[host].run(name, "cat", "/proc/net/arp")
    return next((line.split()[3] for line in table.splitlines() if line.split()[0] == address), None)


@URING_FIRST
def test_docker_defaults_on_three_hosts(lab3, io):
    """The same line on three hosts, the same gateway on three bridges: each container has its own host's."""
    switch = Switch(lab3, io)
    engines = switch.engines
    addresses = [switch.run(host, f"box{host}", f"10.7.0.{11 + 10 * host}") for host in range(3)]
    for host in range(3):
        for other in range(3):
            if other != host:
                pings(switch, host, f"box{host}", addresses[other])
    # The gateway, and the rest of the world behind its NAT.
    for host in range(3):
        assert lab3[host].run("ip -4 addr show dev seg7").count(f"{GATEWAY}/16") == 1
        assert engines[host].ping(f"box{host}", GATEWAY)
        assert resolved(switch, host, f"box{host}", GATEWAY) == switch.gateway_mac(host)
        assert engines[host].ping(f"box{host}", OUTSIDE)
        # Whom the host itself takes for its containers' neighbours: it has an address like any other's.
        assert lab3[host].ping(addresses[host])
    # A published port, from a container of another host, and from one of its own by the gateway.
    switch.run(1, "web", "10.7.0.80", options=("-p", "8080:80"))
    serve(switch, 1, "web", "published")
    fetch(switch, 0, "box0", f"http://{lab3[1].underlay}:8080/", "published")
    fetch(switch, 1, "box1", f"http://{GATEWAY}:8080/", "published")
    fetch(switch, 2, "box2", "http://10.7.0.80/", "published")
    assert fetch(switch, 0, "box0", f"http://{GATEWAY}:8080/") != "published"
    for host in range(3):
        engines[host].docker("exec", "-d", f"box{host}", "serf", "agent", f"-node=box{host}",
                             f"-bind={addresses[host]}", f"-retry-join={addresses[0]}")
    wait_for(lambda: engines[2].run("box2", "serf", "members", check=False).count("alive") == 3, 60,
             "three serf agents")
    for daemon in switch.daemons:
        drops = daemon.counters()
        assert not any(drops[name] for name in ("in-binding", "in-mac-owned", "in-vni", "out-no-hello")), drops


class Prober:
    """Pings from a container's namespace, twenty a second, with the time of each answer."""

    def __init__(self, switch, host, name, address):
        self.host = switch.lab[host]
        self.process = switch.engines[host].inside(name).popen(["ping", "-n", "-D", "-O", "-i", "0.05", address])

    def times(self):
        """Ends it; when each answer came."""
        self.host.stop(self.process, 2)
        return [float(t) for t in re.findall(r"^\[([\d.]+)\] \d+ bytes from", self.process.stdout.read(), re.MULTILINE)]


@POLL_FIRST
def test_a_container_run_again_on_another_host(lab3, io, record_property):
    """`docker rm` here, `docker run` there with the same --ip and --mac-address: reached at once, from everywhere."""
    switch = Switch(lab3, io)
    mac = ("--mac-address", "02:07:00:00:00:33")
    a, c = switch.run(0, "anna", "10.7.0.11"), switch.run(2, "carl", "10.7.0.31")
    mover = switch.run(1, "mover", "10.7.0.33", options=mac)
    for host, name in ((0, "anna"), (2, "carl")):
        pings(switch, host, name, mover)
    for there, here in ((2, 1), (1, 2)):
        prober = Prober(switch, 0, "anna", mover)
        time.sleep(0.5)
        switch.engines[here].docker("rm", "-f", "mover")
        removed = time.time()
        wait_for(lambda: not any(e["station"] == mover for e in switch.stations(0)), 5, "its withdrawal")
        switch.run(there, "mover", mover, options=mac)
        running = time.time()
        time.sleep(1.5)
        times = prober.times()
        last, first = max(t for t in times if t < removed), min((t for t in times if t > removed), default=None)
        assert first, "it is never reached"
        record_property("measured", f"container moved from host {here + 1} to {there + 1}: no answer for "
                        f"{(first - last) * 1000:.0f} ms, the first {(first - running) * 1000:+.0f} ms from when docker run "
                        "had returned")
        assert first - running < 1
        assert switch.engines[2].ping("carl", mover)
        assert switch.engines[there].ping("mover", a) and switch.engines[there].ping("mover", c)
    # Another MAC for the same address: others have the old one in their tables, until it says a word.
    switch.engines[1].docker("rm", "-f", "mover")
    switch.run(2, "mover", mover, options=("--mac-address", "02:07:00:00:00:44"))
    assert switch.engines[2].ping("mover", a)
    assert switch.engines[0].ping("anna", mover)


@URING_FIRST
def test_what_docker_does_under_a_segment(lab, io):
    switch = Switch(lab, io)
    engine, daemon = switch.engines[1], switch.daemons[1]
    a, b = switch.run(0, "anna", "10.7.0.11"), switch.run(1, "bert", "10.7.0.21")
    pings(switch, 0, "anna", b)
    engine.docker("restart", "-t", "0", "bert")
    pings(switch, 0, "anna", b)
    # The engine restarts; its containers with it, its bridge stays or comes again.
    engine.stop()
    engine.start()
    engine.docker("start", "bert")
    pings(switch, 0, "anna", b, seconds=30)
    # The network is removed and made again under the daemon.
    engine.docker("rm", "-f", "bert")
    engine.docker("network", "rm", "net7")
    wait_for(lambda: not switch.show(1)["attached"], 10, "the daemon to notice")
    switch.network(1)
    daemon.attached()
    switch.run(1, "bert", b)
    pings(switch, 0, "anna", b)
    assert engine.ping("bert", a)
    assert engine.ping("bert", GATEWAY) and resolved(switch, 1, "bert", GATEWAY) == switch.gateway_mac(1)


@POLL_FIRST
def test_overlapping_segments_stay_apart(io):
    """VNI 7 on two engines, VNI 42 on two others, the same subnet, addresses and MACs in both."""
    other = "10.99.0.0/16"
    with Lab(4) as lab:
        # No engine takes one subnet twice, so each has the segment it does not live in under another one: what
        # crossed would arrive at a bridge of Docker's.
        switch = Switch(lab, io, vnis=(7, 42),
                        subnets=[{7: SUBNET, 42: other}] * 2 + [{42: SUBNET, 7: other}] * 2)
        segments = {7: (0, 1), 42: (2, 3)}
        for vni, hosts in segments.items():
            for number, host in enumerate(hosts):
                switch.run(host, "box", f"10.7.0.{2 + number}", vni=vni,
                           options=("--mac-address", f"02:07:00:00:00:0{2 + number}"))
                serve(switch, host, "box", f"{vni}-{host}")
        alone = switch.run(1, "alone", "10.7.0.9", vni=7)
        for vni, hosts in segments.items():
            for number, host in enumerate(hosts):
                far = hosts[1 - number]
                fetch(switch, host, "box", f"http://10.7.0.{3 - number}/", f"{vni}-{far}")
                fetch(switch, host, "box", f"http://10.7.0.{2 + number}/", f"{vni}-{host}")
                assert switch.engines[host].ping("box", GATEWAY)
                assert resolved(switch, host, "box", GATEWAY) == switch.gateway_mac(host, vni)
        # An address that is in one of them only, asked for in both.
        pings(switch, 0, "box", alone)
        assert not switch.engines[2].ping("box", alone) and not switch.engines[3].ping("box", alone)
        # What any host knows of a segment is at the hosts of that segment.
        for host, daemon in zip(lab, switch.daemons):
            for vni, hosts in segments.items():
                known = {e["station"]: host.name if e["at"] == "here" else e["at"] for e in switch.stations(host.index, vni)}
                places = {at for station, at in known.items() if re.match(r"10\.7\.0\.[2-9]$|02:07:", station)}
                assert places == {lab[h].name for h in hosts}, (host.name, vni, known)
                assert ("10.7.0.9" in known) == (vni == 7)
            assert daemon.drops("in-vni") == 0


@URING_FIRST
def test_a_hundred_megabytes_each_way(lab, io):
    """TCP at Docker's default MTU."""
    switch = Switch(lab, io)
    a, b = switch.run(0, "anna", "10.7.0.11"), switch.run(1, "bert", "10.7.0.21")
    pings(switch, 0, "anna", b)
    assert "mtu 1500" in switch.engines[0].run("anna", "ip", "link", "show", "eth0")
    for sender, receiver in (((0, "anna"), (1, "bert", b)), ((1, "bert"), (0, "anna", a))):
        sent, received = stream(switch, sender, receiver, 100)
        assert sent == received


def test_the_lines_of_the_documents(lab):
    """What docs/docker.md says of bridged networks, typed; and what `ovlctl fdb` shows then."""
    chapter = (pathlib.Path(__file__).resolve().parents[2] / "docs/docker.md").read_text(encoding="utf-8").split("## Bridged networks")[1]
    network, table = re.search(r"```\n(\[Network\].*?)```", chapter, re.S)[1], re.search(r"```\n(STATION.*?)```", chapter, re.S)[1]
    grant, part = re.search(r"`(VNIs = .*?)`", chapter)[1], re.search(r"`(--ip-range .*?)`", chapter)[1]
    create = next(line for line in lines_of("docs/docker.md", "docker network create") if "ovl7" in line)
    run = lines_of("docs/docker.md", "docker run -d")[0]
    keys = [keypair() for _ in lab.hosts]
    engines, daemons = [DockerEngine(host) for host in lab], []
    for host, engine in zip(lab, engines):
        # The second host's engine has a part of the addresses, as the chapter offers.
        options = part.replace(".1.0/24", ".2.0/24").split() if host.index else []
        engine.docker(*create.split()[1:-1], *options, create.split()[-1])
        assert " 172.27.0.1/16 " in lab[host.index].run("ip -br addr show ovl7")
        other = lab[1 - host.index]
        daemons.append(Daemon(host, f"[Interface]\nPrivateKey = {keys[host.index][0]}\nListenPort = 12345\n{network}"
                              f"[Peer]\nName = {other.name}\nPublicKey = {keys[other.index][1]}\n"
                              f"Endpoint = {other.underlay}:12345\n{grant}\n"))
    for engine, third in zip(engines, "12"):
        line = run.replace("27.1.2", f"27.{third}.2").replace("01:02", f"0{third}:02").replace("busybox", "--name c1 lab")
        engine.docker(*line.split()[1:])
    for daemon in daemons:
        daemon.attached(seconds=20)
    wait_for(lambda: engines[0].ping("c1", "172.27.2.2"), 15)
    assert engines[1].ping("c1", "172.27.1.2") and engines[1].ping("c1", "172.27.0.1")
    engines[1].docker(*run.split()[1:3], "--network", "seven", "--name", "c2", "lab", "sleep", "100000")
    assert engines[1].ip("c2", "seven").startswith("172.27.2.")

    def columns(text):
        """Without the age, and the host's own bridge."""
        rows = [re.sub(r" ago| s\b", "", line).split() for line in text.splitlines() if line]
        return [row[:4] + row[5:] for row in rows]

    shown = columns(daemons[0].ctl("fdb"))
    assert shown[0] == columns(table)[0]
    for row in columns(table)[1:]:
        assert row in shown, (row, shown)
