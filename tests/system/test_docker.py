# SPDX-License-Identifier: MIT
"""Real Docker engines, one a host, with Docker's defaults: the job ovltun is for."""
import pathlib
import re

import pytest

from lab import Daemon, DockerEngine, keypair, wait_for
from lab.docker import available
from lab.transfer import transfer

pytestmark = [pytest.mark.early, pytest.mark.skipif(not available(), reason="no Docker engine is installed")]


class Cluster:
    """Engines and daemons on every host; network "ovl" on bridge ovl0 by the README's line."""

    def __init__(self, lab, io="auto", network_options=()):
        self.lab = lab
        keys = [keypair() for _ in lab.hosts]
        self.engines = [DockerEngine(host) for host in lab]
        for engine in self.engines:
            engine.network(options=network_options)
        self.daemons = []
        for host in lab:
            text = f"[Interface]\nPrivateKey = {keys[host.index][0]}\nListenPort = 12345\n[Network]\nBridge = ovl0\n"
            for other in lab:
                if other is not host:
                    text += (f"[Peer]\nName = {other.name}\nPublicKey = {keys[other.index][1]}\n"
                             f"Endpoint = {other.underlay}:12345\nAllowedIPs = 172.20.{101 + other.index}.0/24\n")
            self.daemons.append(Daemon(host, text, io=io))
        for daemon in self.daemons:
            daemon.attached(seconds=20)

    def run(self, host, name, number, **kwargs):
        options = ("--ip", f"172.20.{101 + host}.{number}", *kwargs.pop("options", ()))
        self.engines[host].container(name, options=options, **kwargs)
        return f"172.20.{101 + host}.{number}"


def pings(cluster, host, container, address, seconds=15):
    wait_for(lambda: cluster.engines[host].ping(container, address), seconds, f"{container} to reach {address}")


def stream(cluster, sender, receiver, megabytes):
    """TCP of so many MB from one container to another; lengths and checksums of both ends."""
    (from_host, from_name), (to_host, to_name, address) = sender, receiver
    source, sink = cluster.engines[from_host].inside(from_name), cluster.engines[to_host].inside(to_name)
    return transfer(source, sink, address, megabytes)


def lines_of(document, start):
    """The first command of a document that begins so, as one line."""
    text = (pathlib.Path(__file__).resolve().parents[2] / document).read_text(encoding="utf-8")
    return [re.sub(r"\\\n", " ", m) for m in re.findall(rf"^{start}(?:.*\\\n)*.*$", text, re.MULTILINE)]


def test_the_lines_of_the_documents(lab):
    """What README.md and docs/docker.md say to type, typed: IPv4, and IPv6 too."""
    assert lines_of("README.md", "docker network create")[0] == lines_of("docs/docker.md", "docker network create")[0]
    create = next(line for line in lines_of("docs/docker.md", "docker network create") if "--ipv6" in line)
    run = lines_of("README.md", "docker run -d")[0]
    keys = [keypair() for _ in lab.hosts]
    engines, daemons = [DockerEngine(host) for host in lab], []
    for host, engine in zip(lab, engines):
        third, other = 101 + host.index, 102 - host.index
        engine.docker(*create.replace("101", str(third)).split()[1:])
        daemons.append(Daemon(host, f"[Interface]\nPrivateKey = {keys[host.index][0]}\nListenPort = 12345\n[Network]\nBridge = ovl0\n"
                              f"[Peer]\nPublicKey = {keys[1 - host.index][1]}\nEndpoint = {lab[1 - host.index].underlay}:12345\n"
                              f"AllowedIPs = 172.20.{other}.0/24, fd20::{other}:0:0:0/80\n"))
        engine.docker(*run.replace("102.2", f"{third}.2").replace("busybox", "--name c1 lab").split()[1:])
    for daemon in daemons:
        daemon.attached(seconds=20)
    addresses = [engine.docker("inspect", "-f", '{{(index .NetworkSettings.Networks "ovl").GlobalIPv6Address}}', "c1") for engine in engines]
    print(addresses)
    for one, far in ((0, 1), (1, 0)):
        wait_for(lambda: engines[one].ping("c1", f"172.20.{101 + far}.2"), 15)
        wait_for(lambda: engines[one].ping("c1", addresses[far]), 15)


def test_eight_serf_agents_on_three_engines(lab3):
    cluster = Cluster(lab3)
    first = None
    for host, count in enumerate((1, 2, 5)):
        for number in range(count):
            name = f"serf{host + 1}{number + 1}"
            address = cluster.run(host, name, 2 + number)
            first = first or address
            cluster.engines[host].docker("exec", "-d", name, "serf", "agent", f"-node={name}", f"-bind={address}",
                                         f"-retry-join={first}")
    wait_for(lambda: cluster.engines[0].run("serf11", "serf", "members", check=False).count("alive") == 8, 60,
             "eight serf agents")


@pytest.mark.parametrize("io, jumbo", [
    pytest.param("uring", False, id="uring-mtu1500"),
    pytest.param("poll", True, id="poll-mtu9000"),
    pytest.param("uring", True, id="uring-mtu9000", marks=pytest.mark.long),
    pytest.param("poll", False, id="poll-mtu1500", marks=pytest.mark.long),
])
def test_two_hundred_megabytes_each_way(lab, io, jumbo):
    options = ("-o", "com.docker.network.driver.mtu=9000") if jumbo else ()
    cluster = Cluster(lab, io, network_options=options)
    a, b = cluster.run(0, "alice", 2), cluster.run(1, "bob", 2, options=("--mac-address", "02:9a:3b:11:22:33"))
    pings(cluster, 0, "alice", b)
    sent, received = stream(cluster, (0, "alice"), (1, "bob", b), 200)
    assert sent == received
    sent, received = stream(cluster, (1, "bob"), (0, "alice", a), 200)
    assert sent == received


def test_sizes_hosts_and_published_ports(lab, io):
    cluster = Cluster(lab, io)
    a, b = cluster.run(0, "alice", 2), cluster.run(1, "bob", 2)
    cluster.run(1, "web", 3, options=("-p", "8080:80"))
    pings(cluster, 0, "alice", b)
    assert cluster.engines[0].ping("alice", b, "-s", "3000")
    # The host itself, in both directions.
    assert lab[0].ping(b)
    assert lab[1].ping(a)
    # A whole path MTU discovery: iputils on the host, for busybox's ping has no -M.
    out = lab[0].run(["ping", "-c", "2", "-W", "1", "-M", "do", "-s", "1472", b], check=False)
    assert re.search(r"mtu ?= ?1440", out), out
    # A published port of a container on the other host, from a container here.
    cluster.engines[1].docker("exec", "-d", "web", "sh", "-c",
                              "echo published > /tmp/index.html; httpd -f -p 80 -h /tmp")
    wait_for(lambda: "published" in cluster.engines[0].run("alice", "wget", "-q", "-O", "-", "http://172.20.102.1:8080/",
                                                           check=False), 15, "the published port")


def test_what_docker_does_under_us(lab, io):
    cluster = Cluster(lab, io)
    a, b = cluster.run(0, "alice", 2), cluster.run(1, "bob", 2)
    pings(cluster, 0, "alice", b)
    cluster.engines[1].docker("restart", "-t", "0", "bob")
    pings(cluster, 0, "alice", b)
    # The engine restarts; its containers with it, its bridge stays or comes again.
    cluster.engines[1].stop()
    cluster.engines[1].start()
    cluster.engines[1].docker("start", "bob")
    pings(cluster, 0, "alice", b, seconds=30)
    # The network is removed and made again under the daemon.
    cluster.engines[1].docker("rm", "-f", "bob")
    cluster.engines[1].docker("network", "rm", "ovl")
    wait_for(lambda: not cluster.daemons[1].show()["networks"][0]["attached"], 10, "the daemon to notice")
    cluster.engines[1].network()
    cluster.daemons[1].attached()
    cluster.run(1, "bob", 2)
    pings(cluster, 0, "alice", b)


def test_random_macs_and_ip_range_addresses(lab, io):
    """Docker picks addresses out of the ip-range by itself, and may draw MACs."""
    cluster = Cluster(lab, io)
    cluster.engines[0].container("alice", options=("--mac-address", "02:77:00:00:00:01"))
    cluster.engines[1].container("bob", options=("--mac-address", "02:77:00:00:00:02"))
    address = cluster.engines[1].ip("bob")
    assert address.startswith("172.20.102.")
    pings(cluster, 0, "alice", address)
    assert cluster.engines[1].ping("bob", cluster.engines[0].ip("alice"))


