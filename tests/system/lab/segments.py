# SPDX-License-Identifier: MIT
"""Bridged networks over the hosts of a lab, a container on each."""
from lab.daemon import Daemon, keypair

PORT = 12345


class Segments:
    """For each VNI a bridge "segVNI" on every host, and a container on each of them.

    Container number i of VNI v on host h has 10.v.h.i/16 and fd00:v::h:i/64 (h from 1).
    @networks: extra lines of a [Network] by VNI; @interface, @extra: more sections' text.
    """

    def __init__(self, lab, io, vnis=(7,), networks=None, mtu=None, start=True, hosts=None, extra=None,
                 granted=None, containers=True):
        self.lab = lab
        self.io = io
        self.vnis = list(vnis)
        self.networks = networks or {}
        self.extra = extra or {}
        self.granted = granted or {}
        self.keys = [keypair() for _ in lab.hosts]
        self.hosts = list(lab) if hosts is None else hosts
        self.containers = {vni: [] for vni in self.vnis}
        for host in self.hosts:
            for vni in self.vnis:
                host.bridge(f"seg{vni}", mtu=mtu)
                if containers:
                    self.containers[vni].append(self.container(host, vni, 1, mtu=mtu))
        self.daemons = [self.daemon(host) for host in self.hosts] if start else []
        for daemon in self.daemons:
            for number in range(len(self.vnis)):
                daemon.attached(number)

    def address(self, host, vni, number):
        return f"10.{vni}.{host.index + 1}.{number}"

    def container(self, host, vni, number, name=None, addressed=True, **kwargs):
        if addressed:
            kwargs.setdefault("address", self.address(host, vni, number) + "/16")
            kwargs.setdefault("address6", f"fd00:{vni}::{host.index + 1}:{number}/64")
        return host.container(name or f"v{vni}h{host.index + 1}n{number}", bridge=f"seg{vni}", **kwargs)

    def config(self, host):
        text = f"[Interface]\nPrivateKey = {self.keys[host.index][0]}\nListenPort = {PORT}\n"
        for vni in self.vnis:
            text += f"[Network]\nBridge = seg{vni}\nMode = bridged\nVNI = {vni}\n{self.networks.get(vni, '')}"
        text += self.extra.get(host.index, "")
        for other in self.lab:
            if other is not host:
                text += self.peer(other)
        return text

    def peer(self, other):
        granted = self.granted.get(other.index, self.vnis)
        vnis = f"VNIs = {', '.join(str(v) for v in granted)}\n" if granted else ""
        return (f"[Peer]\nName = {other.name}\nPublicKey = {self.keys[other.index][1]}\n"
                f"Endpoint = {other.underlay}:{PORT}\n{vnis}")

    def daemon(self, host, **kwargs):
        return Daemon(host, self.config(host), io=self.io, **kwargs)
