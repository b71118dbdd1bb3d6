# SPDX-License-Identifier: MIT
"""Other tunnels, all with containers' MTU 1420; but for fastd with routes between the hosts' bridges."""
import pathlib
import shutil
import subprocess
import types

from lab import Daemon, LabError, WireguardGo, keypair, wait_for
from lab.net import new_folder, sh

from comparison import newest
from comparison.ways import PORT, Routed, Way

TUNNEL = "10.42.0"  # addresses of the tunnels' own devices


def found(program, hint):
    path = program and shutil.which(program)
    if not path:
        raise LabError(f"{program or 'its program'} is not here; {hint}")
    return str(pathlib.Path(path).resolve())


class Rival(Way):
    mtus = (1420, 1420)

    def folder(self, host):
        """A temporary folder that goes when the host does."""
        folder = new_folder()
        host.daemons.append(types.SimpleNamespace(close=lambda: shutil.rmtree(folder, ignore_errors=True)))
        return folder

    def start(self, host, folder, argv):
        log = open(folder / "log", "w", encoding="utf-8")  # pylint: disable=consider-using-with
        process = host.popen(argv, stdout=log, stderr=subprocess.STDOUT)
        log.close()
        self.daemons.append(types.SimpleNamespace(process=process, host=host))


class WireguardUserspace(Rival):
    cipher = "ChaCha20-Poly1305"
    about = "routes over wg0"

    def binary(self):
        raise NotImplementedError

    def check(self):
        self.program = self.binary()

    def join(self):
        keys = [keypair() for _ in self.lab]
        for host, other in self.pairs():
            text = (f"[Interface]\nPrivateKey = {keys[host.index][0]}\nListenPort = {PORT}\n"
                    f"[Peer]\nPublicKey = {keys[other.index][1]}\nEndpoint = {other.underlay}:{PORT}\n"
                    f"AllowedIPs = 172.20.{101 + other.index}.0/24\n")
            self.daemons.append(WireguardGo(host, text, [], mtu=1420, binary=self.program))
        self.forward(lambda other: "dev wg0")


def newest_wireguard(options):
    if options.wireguard_go:
        return found(options.wireguard_go, "--wireguard-go gave it")
    return found(newest.program("wireguard-go"), "bench/run --fetch gets the newest")


class WireguardNewest(WireguardUserspace):
    key = "wireguard-go"
    name = "wireguard-go"

    def binary(self):
        return newest_wireguard(self.options)


class WireguardStable(WireguardUserspace):
    key = "wireguard-go-stable"
    name = "wireguard-go of stable"

    def binary(self):
        return found("wireguard-go", "apt-get install wireguard-go")


class Interop(Routed):
    """A stock peer on the second host."""

    key = "interop"
    name = "ovltund to wireguard-go"
    about = "routed, a stock peer on the receiving host"
    prefixes = (16, 24)
    mtus = (1500, 1420)

    def check(self):
        self.program = newest_wireguard(self.options)

    def join(self):
        keys = [keypair() for _ in self.lab]
        host, other = self.lab
        ours = Daemon(host, self.config(keys, host), io=self.io)
        text = (f"[Interface]\nPrivateKey = {keys[1][0]}\nListenPort = {PORT}\n"
                f"[Peer]\nPublicKey = {keys[0][1]}\nEndpoint = {host.underlay}:{PORT}\n"
                "AllowedIPs = 172.20.101.0/24\n")
        self.daemons = [ours, WireguardGo(other, text, [], mtu=1420, binary=self.program)]
        other.sysctl("net.ipv4.ip_forward", 1)
        other.run("ip route add 172.20.101.0/24 dev wg0")
        ours.attached()


class Nebula(Rival):
    key = "nebula"
    name = "Nebula"
    cipher = "ChaCha20-Poly1305"
    option = "chachapoly"
    about = "unsafe_routes over its device"

    def check(self):
        given = self.options.nebula or newest.program("nebula") or "nebula"
        self.program = found(given, "bench/run --fetch gets the newest")
        self.certifier = found(str(pathlib.Path(self.program).with_name("nebula-cert")), "it belongs beside nebula")

    def sign(self, folder, host):
        own, subnet = f"{TUNNEL}.{1 + host.index}/24", f"172.20.{101 + host.index}.0/24"
        files = ["-ca-crt", folder / "ca.crt", "-ca-key", folder / "ca.key", "-out-crt", folder / f"{host.name}.crt",
                 "-out-key", folder / f"{host.name}.key"]
        try:
            sh([self.certifier, "sign", "-name", host.name, "-networks", own, "-unsafe-networks", subnet, *files])
        except LabError:  # before 1.10
            sh([self.certifier, "sign", "-name", host.name, "-ip", own, "-subnets", subnet, *files])

    def join(self):
        certificates = self.folder(self.lab[0])
        sh([self.certifier, "ca", "-name", "bench", "-out-crt", certificates / "ca.crt", "-out-key", certificates / "ca.key"])
        for host, other in self.pairs():
            folder = self.folder(host)
            self.sign(certificates, host)
            config = f"""
pki: {{ca: {certificates}/ca.crt, cert: {certificates}/{host.name}.crt, key: {certificates}/{host.name}.key}}
static_host_map: {{"{TUNNEL}.{1 + other.index}": ["{other.underlay}:4242"]}}
lighthouse: {{am_lighthouse: false}}
listen: {{host: 0.0.0.0, port: 4242}}
cipher: {self.option}
tun:
  dev: neb0
  mtu: 1420
  unsafe_routes: [{{route: 172.20.{101 + other.index}.0/24, via: {TUNNEL}.{1 + other.index}, mtu: 1420}}]
firewall:
  outbound: [{{port: any, proto: any, host: any, local_cidr: 0.0.0.0/0}}]
  inbound: [{{port: any, proto: any, host: any, local_cidr: 0.0.0.0/0}}]
logging: {{level: warning}}
"""
            (folder / "config.yml").write_text(config, encoding="utf-8")
            host.sysctl("net.ipv4.ip_forward", 1)
            self.start(host, folder, [self.program, "-config", folder / "config.yml"])


class NebulaAes(Nebula):
    key = "nebula-aes"
    name = "Nebula, AES"
    cipher = "AES-256-GCM"
    option = "aes"


class Fastd(Rival):
    key = "fastd"
    name = "fastd"
    cipher = "Salsa20/12 + UMAC"
    layer = 2
    prefixes = (16, 16)
    about = "TAP mode, bridge to bridge, method salsa2012+umac"

    def check(self):
        self.program = found("fastd", "apt-get install fastd")

    def join(self):
        secrets = [sh([self.program, "--generate-key", "--machine-readable"]).strip() for _ in self.lab]
        publics = []
        for host in self.lab:
            folder = self.folder(host)
            (folder / "key").write_text(f'secret "{secrets[host.index]}";\n', encoding="utf-8")
            publics.append(sh([self.program, "--show-key", "--machine-readable", "-c", folder / "key"]).strip())
        for host, other in self.pairs():
            folder = self.folder(host)
            # One side begins: two handshakes that cross leave the ends with different sessions.
            remote = f"remote {other.underlay}:10000;" if host.index else ""
            (folder / "conf").write_text(
                f'mode tap; interface "fast0"; method "salsa2012+umac"; mtu 1420; bind {host.underlay}:10000;\n'
                f'secret "{secrets[host.index]}"; on up "ip link set fast0 master ovl0 up";\n'
                f'peer "other" {{ key "{publics[other.index]}"; {remote} }}\n', encoding="utf-8")
            self.start(host, folder, [self.program, "-c", folder / "conf"])
        for host, _ in self.pairs():
            wait_for_device(host, "fast0")


class OpenVpn(Rival):
    key = "openvpn"
    name = "OpenVPN"
    cipher = "ChaCha20-Poly1305"
    about = "TUN, point to point over UDP, without its kernel module"

    def check(self):
        self.program = found("openvpn", "apt-get install openvpn")
        found("openssl", "apt-get install openssl")

    def join(self):
        folders = [self.folder(host) for host in self.lab]
        prints = []
        for folder in folders:
            sh(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", "/CN=bench", "-days", "2", "-keyout", folder / "key", "-out", folder / "cert"])
            told = sh(["openssl", "x509", "-fingerprint", "-sha256", "-noout", "-in", folder / "cert"])
            prints.append(told.strip().partition("=")[2])
        for host, other in self.pairs():
            folder, role = folders[host.index], ("--tls-server", "--tls-client")[host.index]
            role = [role, "--dh", "none"] if host.index == 0 else [role]
            self.start(host, folder, [
                self.program, "--dev", "tun0", "--dev-type", "tun", "--proto", "udp", "--local", host.underlay,
                "--remote", other.underlay, "--port", "1194", *role, "--cert", folder / "cert", "--key", folder / "key",
                "--peer-fingerprint", prints[other.index], "--data-ciphers", "CHACHA20-POLY1305", "--disable-dco",
                "--ifconfig", f"{TUNNEL}.{1 + host.index}", f"{TUNNEL}.{1 + other.index}", "--tun-mtu", "1420",
                "--txqueuelen", "1000", "--fast-io", "--mssfix", "0", "--verb", "1"])
        for host, _ in self.pairs():
            wait_for_device(host, "tun0")
        self.forward(lambda other: "dev tun0")


class Tinc(Rival):
    key = "tinc"
    name = "tinc"
    cipher = "AES-256-CBC, SHA-256"
    about = "router mode, its defaults otherwise"

    def check(self):
        self.program = found("tincd", "apt-get install tinc")

    def join(self):
        folders = [self.folder(host) for host in self.lab]
        for host, other in self.pairs():
            folder = folders[host.index]
            (folder / "hosts").mkdir()
            (folder / "tinc.conf").write_text(f"Name = {host.name}\nInterface = tinc0\nConnectTo = {other.name}\n"
                                              f"BindToAddress = {host.underlay}\n", encoding="utf-8")
            (folder / "hosts" / host.name).write_text(
                f"Address = {host.underlay}\nSubnet = 172.20.{101 + host.index}.0/24\n"
                "Cipher = aes-256-cbc\nDigest = sha256\n", encoding="utf-8")
            (folder / "tinc-up").write_text("#!/bin/sh\nip link set tinc0 mtu 1420 up\n", encoding="utf-8")
            (folder / "tinc-up").chmod(0o755)
            sh([self.program, "-c", folder, "-K2048"], stdin=subprocess.DEVNULL)
        for host, other in self.pairs():
            shutil.copy(folders[other.index] / "hosts" / other.name, folders[host.index] / "hosts")
        for host, _ in self.pairs():
            folder = folders[host.index]
            self.start(host, folder, [self.program, "-c", folder, "-D", f"--pidfile={folder}/pid"])
        for host, _ in self.pairs():
            wait_for_device(host, "tinc0")
        self.forward(lambda other: "dev tinc0")


def wait_for_device(host, name):
    wait_for(lambda: "UP" in host.run(f"ip -br link show {name}", check=False), 10, f"{name} to be up")


RIVALS = (WireguardNewest, WireguardStable, Interop, Nebula, NebulaAes, Fastd, OpenVpn, Tinc)
