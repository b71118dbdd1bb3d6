#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The main job at work: containers on three hosts talk through ovltund.

Three hosts on this machine (barge1 to barge3), each with a part of the overlay
172.20.0.0/16, one, two and five containers on them, a serf agent in each. Docker
engines when Docker is installed, bare namespaces otherwise or with --namespaces.
Everything is removed at the end.
"""
import argparse
import json
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Daemon, DockerEngine, Lab, LabError, keypair, wait_for  # noqa: E402
from lab.docker import available  # noqa: E402

AGENTS = (1, 2, 5)
BOLD, DIM, GREEN, OFF = ("\033[1m", "\033[2m", "\033[32m", "\033[0m") if sys.stdout.isatty() else ("",) * 4


def say(text):
    print(f"\n{BOLD}{text}{OFF}", flush=True)


def show(text):
    for line in text.rstrip().splitlines():
        print(f"  {line}")
    sys.stdout.flush()


class Namespaced:
    """Containers as bare namespaces on a bridge of the host."""

    def __init__(self, host):
        self.host = host
        self.third = 101 + host.index
        host.bridge("ovl0", address=f"172.20.{self.third}.1/16")
        self.members = {}

    def container(self, name, number):
        self.members[name] = self.host.container(name, address=f"172.20.{self.third}.{1 + number}/16",
                                                 gateway=f"172.20.{self.third}.1")

    def address(self, name):
        return self.members[name].address

    def run(self, name, command, check=True):
        return self.members[name].run(command, check=check)

    def background(self, name, command):
        self.members[name].popen(command)


class Docked:
    """Containers of a real engine; addresses as Docker gives them."""

    def __init__(self, host):
        self.engine = DockerEngine(host)
        self.third = 101 + host.index
        self.engine.network()

    def container(self, name, number):
        self.engine.container(name, options=("--ip", f"172.20.{self.third}.{1 + number}"))

    def address(self, name):
        return self.engine.ip(name)

    def run(self, name, command, check=True):
        return self.engine.run(name, *command.split(), check=check)

    def background(self, name, command):
        self.engine.docker("exec", "-d", name, *command.split())


def peers_conf(hosts, keys, own):
    text = f"[Interface]\nPrivateKey = {keys[own][0]}\nListenPort = 12345\n\n"
    text += f"[Network]\nBridge = ovl0\nRange = 172.20.{101 + own}.0/24\n"
    for index, host in enumerate(hosts):
        if index != own:
            text += (f"\n[Peer]\nName = {host.name}\nPublicKey = {keys[index][1]}\n"
                     f"Endpoint = {host.underlay}:12345\nAllowedIPs = 172.20.{101 + index}.0/24\n")
    return text


def start(lab, kind):
    keys = [keypair() for _ in lab.hosts]
    sides = []
    for host in lab:
        sides.append(kind(host))
    daemons = [Daemon(host, peers_conf(lab.hosts, keys, host.index), name="peers") for host in lab]
    say("peers.conf of barge1")
    show(re.sub(r"(PrivateKey = ).*", r"\1(hidden)", daemons[0].config.read_text()))
    for daemon in daemons:
        daemon.attached()
    say("ovltund -c peers.conf   (on each host)")
    for host, daemon in zip(lab, daemons):
        show(f"{DIM}{host.name}:{OFF} " + daemon.log.strip().splitlines()[0])
    return sides, daemons


def ping(sides, names):
    say("ping from the container on barge1 to the first on barge3")
    target = sides[2].address(names[2][0])
    reply = sides[0].run(names[0][0], f"ping -c 3 {target}")
    show(reply)
    if " 0% packet loss" not in reply:
        raise LabError("ping lost packets")


def serf(sides, names):
    say("serf members: eight agents on three hosts")
    first = sides[0].address(names[0][0])
    for side, members in zip(sides, names):
        for name in members:
            join = "" if name == names[0][0] else f" -retry-join={first}"
            side.background(name, f"serf agent -node={name} -bind={side.address(name)} -log-level=err{join}")
    wait_for(lambda: sides[0].run(names[0][0], "serf members", check=False).count("alive") == sum(AGENTS), 60,
             "all serf agents")
    show(sides[0].run(names[0][0], "serf members"))


def throughput(sides, names):
    say("iperf3 from barge1 to barge2, 3 s of TCP through the tunnel")
    target = sides[1].address(names[1][0])
    sides[1].background(names[1][0], "iperf3 -s -1")
    wait_for(lambda: ":1451" in sides[1].run(names[1][0], "cat /proc/net/tcp6 /proc/net/tcp", check=False), 10,
             "iperf3 to listen")
    result = json.loads(sides[0].run(names[0][0], f"iperf3 -J -t 3 -c {target}"))["end"]["sum_received"]
    show(f"{result['bits_per_second'] / 1e9:.2f} Gbit/s ({result['bytes'] / 1e6:.0f} MB; client, server and both daemons share "
         "this machine)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--docker", action="store_true", help="real Docker engines, one a host")
    kind.add_argument("--namespaces", action="store_true", help="bare namespaces instead of engines")
    options = parser.parse_args()
    docker = options.docker or (available() and not options.namespaces)
    if docker and not available():
        parser.error("--docker: dockerd and docker are not installed")

    began = time.monotonic()
    say(f"Three hosts on one machine, with {'a Docker engine each' if docker else 'namespaces as containers'}")
    show("barge1 10.10.10.101  172.20.101.0/24  1 container\n"
         "barge2 10.10.10.102  172.20.102.0/24  2 containers\n"
         "barge3 10.10.10.103  172.20.103.0/24  5 containers")
    with Lab(3) as lab:
        sides, daemons = start(lab, Docked if docker else Namespaced)
        names = [[f"serf{host + 1}{number + 1}" for number in range(count)] for host, count in enumerate(AGENTS)]
        for side, members in zip(sides, names):
            for number, name in enumerate(members, 1):
                side.container(name, number)
        ping(sides, names)
        serf(sides, names)
        throughput(sides, names)
        say("ovlctl show   (on barge1)")
        show(daemons[0].ctl("show"))
    print(f"\n{GREEN}All of it works{OFF}, and all of it is removed again ({time.monotonic() - began:.0f} s).")


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
