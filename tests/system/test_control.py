# SPDX-License-Identifier: MIT
"""The control side under people's mistakes, hostile clients, and changes under traffic."""
import base64
import concurrent.futures
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest

from conftest import Overlay, sharedkey
from lab import Daemon, LabError, keypair, wait_for
from lab.daemon import build_folder


@pytest.fixture
def io():
    """The control side is the same over both backends."""
    return "poll"


class Pings:
    """Pings from one container to another until stopped; how many were lost."""

    def __init__(self, a, b):
        self.process = a.popen(["ping", "-n", "-q", "-i", "0.02", "-W", "1", b.address])

    def stop(self):
        time.sleep(0.3)
        self.process.send_signal(signal.SIGINT)
        out = self.process.communicate(timeout=10)[0]
        sent, got = re.search(r"(\d+) packets transmitted, (\d+) received", out).groups()
        # The last may be under way when ping is stopped.
        return int(sent) - int(got) - (1 if int(sent) > int(got) else 0)


def run_ovltund(host, *argv, seconds=20, env=None):
    done = subprocess.run(host.argv([build_folder() / "ctl" / "ovltund", *argv]), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False, env=env)
    return done.returncode, done.stdout


def start_fails(daemon):
    with pytest.raises(LabError):
        daemon.start()
    return daemon.process.returncode, daemon.log


def test_hangup_with_a_broken_file_changes_nothing(overlay):
    a, b = overlay.containers
    daemon, host = overlay.daemons[0], overlay.lab[0]
    assert a.ping(b.address)
    before = daemon.wg("showconf", "peers")
    pings = Pings(a, b)
    good = overlay.config(host)
    for broken in ("", "[Interface", good + "Nonsense = 1\n", good.replace("Bridge = ovl0", "Bridge = ovl0\nBridge = ovl1"),
                   good.replace("PrivateKey = ", "PrivateKey = x"), good + overlay.peer(overlay.lab[1])):
        seen = daemon.log.count("not reloaded")
        daemon.write(broken)
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: daemon.log.count("not reloaded") == seen + 1, 5)
        assert re.search(rf"not reloaded.*{re.escape(str(daemon.config))}", daemon.log)
        assert daemon.wg("showconf", "peers") == before
    os.unlink(daemon.config)
    seen = daemon.log.count("not reloaded")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: daemon.log.count("not reloaded") == seen + 1, 5)
    # What would block, or cannot be read.
    for make, what in ((os.mkfifo, "a pipe"), (os.mkdir, "a directory")):
        make(daemon.config)
        seen = daemon.log.count("not reloaded")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: daemon.log.count("not reloaded") == seen + 1, 5)
        assert f"{daemon.config}: expected a regular file, not {what}" in daemon.log
        (os.rmdir if make is os.mkdir else os.unlink)(daemon.config)
    assert pings.stop() == 0


@pytest.mark.workers
def test_hangup_with_other_peers_loses_nothing_of_the_rest(overlay):
    a, b = overlay.containers
    daemon, host = overlay.daemons[0], overlay.lab[0]
    assert a.ping(b.address)
    pings = Pings(a, b)
    extra = [keypair()[1] for _ in range(200)]

    def peers(count, offset=0):
        return "".join(f"[Peer]\nPublicKey = {extra[i]}\nAllowedIPs = 172.20.{200 + (i + offset) % 50}.{i // 50}/32\n" for i in range(count))

    for step in (peers(200), peers(100), peers(100, 1), peers(0), peers(10)):
        daemon.write(overlay.config(host) + step)
        seen = daemon.log.count("reloaded /")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: daemon.log.count("reloaded /") == seen + 1, 5)
    assert len(daemon.show()["peers"]) == 11
    assert pings.stop() == 0


def test_a_network_is_renamed_by_reload(overlay):
    a, b = overlay.containers
    daemon, host = overlay.daemons[0], overlay.lab[0]
    daemon.write(overlay.config(host, extra="Name = front\n"))
    print(daemon.ctl("reload"))
    assert daemon.show()["networks"][0]["name"] == "front"
    daemon.attached()
    wait_for(lambda: a.ping(b.address, timeout=1), 15)


def test_two_networks_swap_bridges(overlay):
    a, b = overlay.containers
    daemon, host = overlay.daemons[0], overlay.lab[0]
    host.bridge("ovl1", address="172.21.101.1/16")
    base = overlay.config(host).replace("Bridge = ovl0\n", "Bridge = ovl0\nName = one\n")
    two = base + "[Network]\nName = two\nBridge = ovl1\n"
    daemon.write(two)
    daemon.ctl("reload")
    daemon.write(re.sub("ovl[01]", lambda m: {"ovl0": "ovl1", "ovl1": "ovl0"}[m[0]], two))
    print(daemon.ctl("reload"))


def test_bridges_whose_names_end_alike(overlay):
    daemon, host = overlay.daemons[0], overlay.lab[0]
    for name in ("a1-frontend-net", "b1-frontend-net"):
        host.bridge(name)
    text = overlay.config(host) + "[Network]\nBridge = a1-frontend-net\n[Network]\nBridge = b1-frontend-net\n"
    daemon.write(text)
    daemon.ctl("reload")
    for restarted in (False, True):
        wait_for(lambda: all(n["attached"] for n in daemon.show()["networks"]), 5)
        assert len({n["tap"] for n in daemon.show()["networks"]}) == 3
        if not restarted:
            daemon.stop()
            daemon.start()


def test_reload_lists_what_it_drops(overlay):
    daemon = overlay.daemons[0]
    key = keypair()[1]
    daemon.wg("set", "peers", "peer", key, "allowed-ips", "172.20.200.0/24")
    daemon.wg("set", "peers", "peer", overlay.keys[1][1], "persistent-keepalive", "25", "endpoint", "10.10.10.99:1")
    daemon.wg("set", "peers", "fwmark", "0x12")
    out = daemon.ctl("reload")
    print(out)
    assert f"{key[:8]}" in out and "PersistentKeepalive was set to 25" in out and "10.10.10.99:1" in out and "0x12" in out
    assert daemon.peer("barge2")["endpoint"] == overlay.endpoint(overlay.lab[1])


def test_reload_does_not_claim_to_drop_what_it_keeps(overlay):
    """Where the file has no Endpoint, a peer stays where it was set or heard from."""
    daemon, host = overlay.daemons[0], overlay.lab[0]
    daemon.write(overlay.config(host).replace(f"Endpoint = {overlay.endpoint(overlay.lab[1])}\n", ""))
    daemon.ctl("reload")
    daemon.ctl("peer", "set", "barge2", "endpoint", "10.10.10.55:1")
    out = daemon.ctl("reload")
    assert daemon.peer("barge2")["endpoint"] == "10.10.10.55:1"
    assert "dropped" not in out, out


def test_second_daemon(overlay):
    host, first = overlay.lab[0], overlay.daemons[0]
    code, out = run_ovltund(host, "-c", first.config, "--run-dir", first.folder, "--uapi-dir", first.folder)
    assert code == 1 and "another ovltund called peers" in out and out.count("\n") == 1, out
    # Another name, the same port; another name and port, the same bridge.
    for change, what in ((("ovl0", "ovl1"), "UDP port 12345"), (("12345", "12346"), "ovl0")):
        other = Daemon(host, overlay.config(host).replace(*change), name="other", start=False)
        code, out = start_fails(other)
        assert code == 1 and what in out and out.count("\n") == 1, out
        assert not other.socket.exists() and not other.uapi.exists()
        other.close()
    assert overlay.containers[0].ping(overlay.containers[1].address)
    assert not re.search("ovt-ovl1", host.run("ip -br link"))


def test_endpoint_behind_the_tunnel(overlay):
    """Refused where the file shows it; said, and bounded, where only the bridge does."""
    host, daemon = overlay.lab[0], overlay.daemons[0]
    a, b = overlay.containers
    assert a.ping(b.address)
    inside = {"172.20.102.77:12345": b.address, "[fd20:102::77]:12345": b.address6}
    for endpoint, address in inside.items():
        before = daemon.drops("out-loop")
        daemon.wg("set", "peers", "peer", overlay.keys[1][1], "endpoint", endpoint)
        wait_for(lambda: f"endpoint {endpoint} lies in the Subnet of network ovl0" in daemon.log, 5)
        assert not a.ping(address, timeout=1)
        # Each packet met the tunnel once more, and no more.
        wait_for(lambda: daemon.drops("out-loop") > before, 5)
        def tap_packets():
            return json.loads(host.run("ip -s -j link show ovt-ovl0"))[0]["stats64"]["tx"]["packets"]
        first = tap_packets()
        time.sleep(1)
        assert tap_packets() - first < 100
        assert daemon.drops("out-loop") - before < 100
    daemon.wg("set", "peers", "peer", overlay.keys[1][1], "endpoint", overlay.endpoint(overlay.lab[1]))
    wait_for(lambda: a.ping(b.address, timeout=1), 15)
    # With the Subnet in the file nobody can set it, the file included.
    text = overlay.config(host, extra="Subnet = 172.20.0.0/16, fd20::/16\n")
    daemon.write(text)
    daemon.ctl("reload")
    out = daemon.ctl("peer", "set", "barge2", "endpoint", "172.20.102.77:12345", check=False)
    assert "lies in Subnet 172.20.0.0/16" in out and out.count("\n") == 1
    daemon.write(text.replace(overlay.endpoint(overlay.lab[1]), "172.20.102.77:12345"))
    line = text[:text.index("Endpoint")].count("\n") + 1
    assert f"{daemon.config}:{line}: Endpoint" in daemon.ctl("reload", check=False)
    assert a.ping(b.address)


def test_tunnel_in_a_tunnel(overlay):
    """Of another daemon: its datagrams are anybody's to the outer one."""
    for host in overlay.lab:
        host.bridge("ovl1", address=f"172.21.{101 + host.index}.1/16")
    inner = [host.container(f"in{host.index}", bridge="ovl1", address=f"172.21.{101 + host.index}.2/16") for host in overlay.lab]
    daemons = []
    for host in overlay.lab:
        text = overlay.config(host).replace("12345", "12346").replace("ovl0", "ovl1").replace("172.20.", "172.21.")
        text = text.replace("10.10.10.", "172.20.").replace(f"172.20.{102 - host.index}:", f"172.20.{102 - host.index}.1:")
        daemons.append(Daemon(host, text, name="inner", io="poll"))
    for daemon in daemons:
        daemon.attached()
    assert inner[0].ping(inner[1].address, timeout=5)
    assert inner[1].ping(inner[0].address, size=3000)
    assert daemons[0].peer("barge2")["endpoint"] == "172.20.102.1:12346"
    assert not overlay.daemons[0].drops("out-loop")


def test_preshared_key_files(overlay):
    daemon = overlay.daemons[0]
    key, folder = sharedkey(), daemon.folder
    good, short, empty = folder / "good", folder / "short", folder / "empty"
    good.write_text(key + "\n")
    short.write_text(key[:-2] + "\n")
    empty.touch()
    wanted = "expected 44 characters of base64 (32 bytes)"
    for path, problem in ((folder / "none", "No such file or directory"), (folder, "Is a directory"),
                          (short, wanted), (empty, "is empty; " + wanted)):
        out = daemon.ctl("peer", "set", "barge2", "preshared-key", path, check=False)
        assert out == f"ovlctl: preshared-key: {path}: {problem}\n"
    out = daemon.ctl("peer", "set", "barge2", "preshared-key", key, check=False)
    assert out.count("\n") == 1 and "not the key" in out and key[:10] not in out
    assert "PresharedKey" not in daemon.wg("showconf", "peers")
    daemon.ctl("peer", "set", "barge2", "preshared-key", good)
    assert f"PresharedKey = {key}" in daemon.wg("showconf", "peers")
    daemon.ctl("peer", "set", "barge2", "preshared-key", "")
    assert "PresharedKey" not in daemon.wg("showconf", "peers")


def test_no_line_ends_in_blanks(overlay):
    daemon = overlay.daemons[0]
    for argv in (["show"], ["show", "drops"], ["show", "drops", "--all"], ["show", "neigh"], ["route", "list"], ["help"]):
        assert not re.search(r"[ \t]$", daemon.ctl(*argv), re.MULTILINE), argv


def on_terminal(daemon, columns, *argv):
    """What ovlctl writes to a terminal of that many columns; colours taken out, lines."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(daemon.host.argv([build_folder() / "ctl" / "ovlctl", "--socket", daemon.socket, *argv]),
                               stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    data = b""
    try:
        while piece := os.read(ours, 65536):
            data += piece
    except OSError:  # how Linux tells the end
        pass
    os.close(ours)
    assert process.wait(10) == 0
    text = data.decode()
    assert "\033[" in text or argv[0] == "help"
    return re.sub(r"\033\[\d*m", "", text).replace("\r", "").split("\n")


def bridged(overlay, host, vni=7, extra=""):
    """The host's routed network, and a bridged one beside it with the same peers."""
    text = overlay.config(host).replace("AllowedIPs", f"VNIs = {vni}\nAllowedIPs")
    return text.replace("[Peer]", f"[Network]\nName = seven\nBridge = ovl7\nMode = bridged\nVNI = {vni}\n{extra}[Peer]", 1)


def stations(daemon):
    (network,) = json.loads(daemon.ctl("fdb", "list", "seven", "--json"))
    return {station["station"]: station for station in network["stations"]}


def test_a_bridged_network_beside_a_routed_one(overlay, record_property):
    """What comes and goes at one host's bridge is known at the other; sessions and FDB outlive reloads."""
    a, b = overlay.containers
    first, second = overlay.daemons
    assert a.ping(b.address)
    pings = Pings(a, b)
    for host in overlay.lab:
        host.bridge("ovl7", address=f"172.27.0.{1 + host.index}/16")
        overlay.daemons[host.index].write(bridged(overlay, host))
        overlay.daemons[host.index].ctl("reload")
    for daemon in overlay.daemons:
        wait_for(lambda: daemon.show()["networks"][1]["members_ready"] == 1, 10)
        network = daemon.show()["networks"][1]
        assert (network["mode"], network["vni"], network["members"]) == ("bridged", 7, 1)
    assert first.peer(overlay.lab[1].name)["hello"]["vnis"] == [7]
    print(first.ctl("show"), first.ctl("fdb"), sep="\n")

    # The host's own address, then a container that comes and goes.
    wait_for(lambda: "172.27.0.2" in stations(first), 5)
    moved = overlay.lab[1].container("moved", bridge="ovl7", address="172.27.0.9/16", mac="02:27:00:00:00:09")
    wait_for(lambda: moved.ping("172.27.0.2", timeout=1), 5)
    wait_for(lambda: stations(first).get("02:27:00:00:00:09", {}).get("at") == overlay.lab[1].name, 5)
    assert stations(second)["02:27:00:00:00:09"]["at"] == "here"
    near = overlay.lab[0].container("near", bridge="ovl7", address="172.27.0.8/16")
    wait_for(lambda: near.ping(moved.address, timeout=1), 5)
    assert overlay.lab[0].ping(moved.address) and moved.ping("172.27.0.1")
    # Its question was answered here, and is the one copy that was saved.
    wait_for(lambda: first.show()["networks"][1]["suppressed"] > 0, 5)
    assert first.show()["networks"][1]["rx_packets"] > 0
    overlay.lab[1].run(f"ip link del {moved.port}")
    start = time.monotonic()
    wait_for(lambda: "02:27:00:00:00:09" not in stations(first), 5)
    record_property("measured", f"withdrawn at the other host {1000 * (time.monotonic() - start):.0f} ms after its port was gone")

    # Guards and static entries change in place.
    first.write(bridged(overlay, overlay.lab[0], extra=f"UnknownUnicast = drop\nMACs = 512\nFDB = 02:27:00:00:00:05 {overlay.lab[1].name}\n"))
    first.ctl("reload")
    assert stations(first)["02:27:00:00:00:05"]["how"] == "static"
    assert "172.27.0.2" in stations(first)
    first.ctl("fdb", "add", "seven", "172.27.0.5", "02:27:00:00:00:05", overlay.lab[1].name)
    first.ctl("fdb", "del", "seven", "02:27:00:00:00:05")
    assert "172.27.0.5" in stations(first)
    assert "172.27.0.5 was added" in first.ctl("reload")
    assert stations(first)["02:27:00:00:00:05"]["how"] == "static" and "172.27.0.5" not in stations(first)

    # A VNI that is taken away and granted again; another is another network.
    first.ctl("peer", "set", overlay.lab[1].name, "vnis", "")
    assert "172.27.0.2" not in stations(first)
    wait_for(lambda: second.show()["networks"][1]["members_ready"] == 0, 5)
    first.ctl("peer", "set", overlay.lab[1].name, "vnis", "7")
    wait_for(lambda: "172.27.0.2" in stations(first) and "172.27.0.1" in stations(second), 10)
    first.write(bridged(overlay, overlay.lab[0], vni=8))
    assert "1 added, 1 removed" in first.ctl("reload") + first.log
    first.attached(1)
    assert "172.27.0.2" not in stations(first)
    assert pings.stop() == 0


def test_narrow_terminals(overlay):
    daemon = overlay.daemons[0]
    host = overlay.lab[0]
    assert overlay.containers[0].ping(overlay.containers[1].address)
    long = "barge-with-a-name-that-is-as-long-as-names-of-peers-can-be-63xx"
    host.bridge("a1-frontend-net", address="172.21.101.1/16")
    text = overlay.config(host) + f"[Network]\nName = {long}\nBridge = a1-frontend-net\n[Network]\nBridge = nowhere\n"
    text += f"[Peer]\nName = {long}\nPublicKey = {keypair()[1]}\nEndpoint = [2001:db8:1234:5678:9abc:def0:1234:5678]:65535\n"
    text += "AllowedIPs = " + ", ".join(f"fd00:1234:5678:9abc:def0:{n}::/112" for n in range(9)) + "\n"
    text += f"[Peer]\nPublicKey = {keypair()[1]}\nEndpoint = {'very-long.' * 7}name.example.org:1\n"
    daemon.write(text)
    daemon.ctl("reload")
    wait_for(lambda: daemon.show()["networks"][1]["attached"], 5)
    for columns in (80, 60, 40):
        for argv in (["show"], ["show", "drops"], ["show", "drops", "--all"], ["show", "neigh"], ["route", "list"], ["help"]):
            lines = on_terminal(daemon, columns, *argv)
            print("\n".join(lines))
            assert not any(line.endswith(" ") for line in lines)
            for line in lines:
                # A word longer than that is the terminal's to break, so that it can be copied.
                assert len(line) <= columns or " " not in line.strip() or \
                    re.fullmatch(r"(PEER|NETWORK|PREFIX|drops of network) \S+|\S+  public key \S+", line), line
    whole = daemon.ctl("show").split("\n")
    assert any(line.startswith("NETWORK") and line.endswith("FROM CONTAINERS") for line in whole)
    assert [line.split() for line in on_terminal(daemon, 1000, "show") if line.startswith(("NETWORK", "PEER"))] == \
        [line.split() for line in whole if line.startswith(("NETWORK", "PEER"))]


def test_no_tun_device_and_no_privilege(lab):
    overlay = Overlay(lab, "poll", start=False)
    host = lab[0]
    daemon = Daemon(host, overlay.config(host), start=False)
    tail = [build_folder() / "ctl" / "ovltund", "-c", daemon.config, "--run-dir", daemon.folder, "--uapi-dir", daemon.folder]
    done = subprocess.run(host.argv(["unshare", "-m", "sh", "-c", 'mount -t tmpfs tmpfs /dev/net && exec "$@"', "sh", *tail]),
                          stdout=-1, stderr=subprocess.STDOUT, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "no /dev/net/tun" in done.stdout and done.stdout.count("\n") == 1, done.stdout
    done = subprocess.run(host.argv(["setpriv", "--bounding-set=-all", "--inh-caps=-all", *tail]),
                          stdout=-1, stderr=subprocess.STDOUT, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "CAP_NET_ADMIN" in done.stdout and done.stdout.count("\n") == 1, done.stdout
    assert sorted(os.listdir(daemon.folder)) == ["peers.conf"]


def test_full_run_dir(lab):
    overlay = Overlay(lab, "poll", start=False)
    host = lab[0]
    daemon = Daemon(host, overlay.config(host), start=False)
    tail = [build_folder() / "ctl" / "ovltund", "-c", daemon.config]
    for inodes in (2, 3, 4, 5):
        run = daemon.folder / f"r{inodes}"
        run.mkdir()
        script = f'mount -t tmpfs -o nr_inodes={inodes} tmpfs {run} && shift 0 && timeout 3 "$@" --run-dir {run} --uapi-dir {run}/u; echo "=$?"; find {run} -type f -o -type s'
        done = subprocess.run(host.argv(["unshare", "-m", "sh", "-c", script, "sh", *tail]),
                              stdout=-1, stderr=subprocess.STDOUT, text=True, timeout=20, check=False)
        print(inodes, done.stdout)
        assert "=1" in done.stdout and "No space left" in done.stdout or "=0" in done.stdout or "=124" in done.stdout
        assert done.stdout.strip().split("\n")[-1].startswith("=")


def test_nobody_reads_the_log(lab):
    """A pipe that is full to the brim: neither the start nor the end waits for its reader."""
    lab[0].bridge("ovl0")
    daemon = Daemon(lab[0], f"[Interface]\nPrivateKey = {keypair()[0]}\n[Network]\nBridge = ovl0\n", start=False)
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writer, b"x" * 4096)
        daemon.process = lab[0].popen([build_folder() / "ctl" / "ovltund", "-c", daemon.config, "--run-dir", daemon.folder,
                                       "--uapi-dir", daemon.folder], stdout=subprocess.DEVNULL, stderr=writer)
        wait_for(daemon.answers, 10, "ovltund to answer")
        daemon.attached()
        os.read(reader, 4096)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(10) == 0
        said = os.read(reader, 4096).decode()
        assert re.match(r"ovltund: \d lines lost: nobody read them\novltund: ending: ", said), said
    finally:
        os.close(reader)
        os.close(writer)


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))  # waits in the kernel's queue, which a socket with a timeout would not
    client.settimeout(10)
    return client


def test_hostile_clients(overlay):
    daemon = overlay.daemons[0]
    a, b = overlay.containers
    assert a.ping(b.address)
    pings = Pings(a, b)
    clients = []
    for path in (daemon.socket, daemon.uapi):
        for text in (b"", b"x", b"{", b'{"do":"show"}\n' * 1000, b"get=1\n\n" * 1000, os.urandom(10000) + b"\n\n", b"\0" * 1000 + b"\n\n",
                     b'{"do":"nonsense"}\n', b"[" * 100000 + b"\n", b'{"do":' * 1000 + b"\n", b"set=1\n\n", b"set=1\nlisten_port=99999\n\n",
                     b"set=1\npublic_key=00\n\n", b"set=1\npublic_key=" + b"0" * 64 + b"\nallowed_ip=1.2.3.4/99\n\n", b"set=1\nprivate_key\n\n"):
            client = connect(path)
            client.setblocking(False)
            try:
                client.send(text)
            except OSError:
                pass
            clients.append(client)
    assert daemon.show()["peers"]
    assert "public key" in daemon.wg("show", "peers")
    for path in (daemon.socket, daemon.uapi):
        client = connect(path)
        piece = b"x" * (1 << 20)
        try:
            for _ in range(100):
                client.sendall(piece)
        except OSError:
            pass
        client.close()
    assert daemon.show()["peers"]
    for client in clients:
        client.close()
    assert pings.stop() == 0
    assert daemon.process.poll() is None


def test_two_hundred_clients(overlay):
    daemon = overlay.daemons[0]
    idle = [connect(daemon.socket) for _ in range(64)]
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        def one(_):
            client = connect(daemon.socket)
            client.sendall(b'{"do":"show"}\n')
            data = b""
            while not data.endswith(b"\n"):
                piece = client.recv(65536)
                if not piece:
                    return False
                data += piece
            client.close()
            return json.loads(data)["ok"]
        assert sum(pool.map(one, range(200))) == 200
    for client in idle:
        client.close()


def test_two_thousand_peers_by_syncconf(overlay):
    daemon = overlay.daemons[0]
    a, b = overlay.containers
    assert a.ping(b.address)
    conf = daemon.wg("showconf", "peers")
    keys = [os.urandom(32) for _ in range(2000)]
    big = conf + "".join(
        f"[Peer]\nPublicKey = {base64.b64encode(k).decode()}\nAllowedIPs = " + ", ".join(f"10.{i // 250}.{i % 250}.{j}/32" for j in range(10)) + "\n"
        for i, k in enumerate(keys))
    path = daemon.folder / "big"
    path.write_text(big)
    pings = Pings(a, b)
    start = time.monotonic()
    daemon.wg("syncconf", "peers", path)
    print("syncconf", time.monotonic() - start)
    assert len(daemon.show()["peers"]) == 2001
    start = time.monotonic()
    daemon.wg("syncconf", "peers", path)
    print("again", time.monotonic() - start)
    path.write_text(conf)
    daemon.wg("syncconf", "peers", path)
    assert len(daemon.show()["peers"]) == 1
    assert pings.stop() == 0


def test_wg_sets_every_key(overlay):
    daemon, host = overlay.daemons[0], overlay.lab[0]
    a, b = overlay.containers
    other = overlay.keys[1][1]
    assert a.ping(b.address)
    psk = sharedkey()
    (daemon.folder / "psk").write_text(psk)
    overlay.daemons[1].folder.joinpath("psk").write_text(psk)
    pings = Pings(a, b)
    daemon.wg("set", "peers", "listen-port", "12399")
    daemon.wg("set", "peers", "fwmark", "0x77")
    assert daemon.wg("show", "peers", "listen-port").strip() == "12399"
    assert daemon.wg("show", "peers", "fwmark").strip() == "0x77"
    daemon.wg("set", "peers", "listen-port", "12345", "fwmark", "0")
    lost = pings.stop()
    print("lost", lost)
    assert lost < 10
    daemon.wg("set", "peers", "peer", other, "preshared-key", daemon.folder / "psk", "persistent-keepalive", "1", "endpoint", overlay.endpoint(overlay.lab[1]),
              "allowed-ips", "172.20.102.0/24,fd20:102::/64")
    overlay.daemons[1].wg("set", "peers", "peer", overlay.keys[0][1], "preshared-key", overlay.daemons[1].folder / "psk")
    assert psk in daemon.wg("showconf", "peers")
    wait_for(lambda: a.ping(b.address, timeout=1), 30)
    # Moved to another peer, and back.
    key = keypair()[1]
    daemon.wg("set", "peers", "peer", key, "allowed-ips", "172.20.102.0/24")
    assert daemon.ctl("route", "get", "172.20.102.2").find(key[:8]) >= 0
    assert not a.ping(b.address, timeout=1)
    daemon.wg("set", "peers", "peer", other, "allowed-ips", "172.20.102.0/24,fd20:102::/64")
    assert a.ping(b.address)
    daemon.wg("set", "peers", "peer", key, "remove")
    daemon.wg("set", "peers", "peer", other, "remove")
    assert not a.ping(b.address, timeout=1)
    assert not daemon.show()["peers"]
    part = daemon.folder / "part"
    part.write_text(f"[Peer]\nPublicKey = {key}\nAllowedIPs = 172.20.200.0/24\n")
    daemon.wg("addconf", "peers", part)
    assert [peer["public_key"] for peer in daemon.show()["peers"]] == [key]
    daemon.ctl("reload")
    wait_for(lambda: overlay.daemons[1].ctl("reload") and a.ping(b.address, timeout=1), 30)


def test_private_key_taken_away_and_given_back(overlay):
    daemon = overlay.daemons[0]
    a, b = overlay.containers
    assert a.ping(b.address)
    daemon.wg("set", "peers", "private-key", "/dev/null")
    assert daemon.wg("show", "peers", "private-key").strip() == "(none)"
    assert not a.ping(b.address, timeout=1)
    print(daemon.ctl("show"))
    path = daemon.folder / "key"
    path.write_text(overlay.keys[0][0])
    daemon.wg("set", "peers", "private-key", path)
    wait_for(lambda: a.ping(b.address, timeout=1), 30)
    new = keypair()
    path.write_text(new[0])
    daemon.wg("set", "peers", "private-key", path)
    assert not a.ping(b.address, timeout=1)
    # One's own key is nobody's peer.
    path.write_text(overlay.keys[1][0])
    daemon.wg("set", "peers", "private-key", path)
    assert not daemon.show()["peers"]
    out = daemon.ctl("reload")
    assert "PrivateKey was changed" in out
    wait_for(lambda: a.ping(b.address, timeout=1), 30)


def test_bridge_renamed_and_back(overlay):
    host, daemon = overlay.lab[0], overlay.daemons[0]
    a, b = overlay.containers
    daemon.write(overlay.config(host, extra="Subnet = 172.20.0.0/16, fd20::/16, 10.77.0.0/16\n"))
    daemon.ctl("reload")
    wait_for(lambda: "10.77.0.0/16" in host.run("ip route"), 5)
    for _ in range(5):
        host.run("ip link set ovl0 name elsewhere")
        host.run("ip link set elsewhere name ovl0")
    wait_for(lambda: daemon.show()["networks"][0]["attached"] and a.ping(b.address, timeout=1), 10)
    host.run("ip link set ovl0 name elsewhere")
    wait_for(lambda: not daemon.show()["networks"][0]["attached"], 5)
    wait_for(lambda: "10.77.0.0/16" not in host.run("ip route"), 5, "the route to go")


def test_subnet_beyond_the_bridge(overlay):
    host, daemon = overlay.lab[0], overlay.daemons[0]
    daemon.write(overlay.config(host, extra="Subnet = 172.20.0.0/16, fd20::/16, 10.77.0.0/16, fd77::/48\n"))
    daemon.ctl("reload")
    wait_for(lambda: "10.77.0.0/16" in host.run("ip route") and "fd77::/48" in host.run("ip -6 route"), 5)
    assert re.search("10.77.0.0/16 dev ovl0 .*scope link", host.run("ip route"))
    host.run("ip route del 10.77.0.0/16")
    wait_for(lambda: "10.77.0.0/16" in host.run("ip route"), 5)
    daemon.stop(9)
    assert "10.77.0.0/16" in host.run("ip route")
    daemon.start()
    daemon.attached()
    daemon.stop()
    assert "10.77" not in host.run("ip route") and "fd77" not in host.run("ip -6 route")


def test_bridge_comes_and_goes_quickly(overlay):
    host, daemon = overlay.lab[0], overlay.daemons[0]
    a, b = overlay.containers
    for _ in range(20):
        host.run("ip link del ovl0")
        host.bridge("ovl0", address="172.20.101.1/16", address6="fd20:101::1/16")
        host.run(f"ip link set {a.port} master ovl0")
    wait_for(lambda: daemon.show()["networks"][0]["attached"] and a.ping(b.address, timeout=1), 15)
    for n in range(10):
        host.run(f"ip addr add 172.30.{n}.1/24 dev ovl0")
    assert a.ping(b.address)
    tap = daemon.show()["networks"][0]["tap"]
    host.run(f"ip link del {tap}")
    host.run(f"ip link add {tap} type dummy", check=False)
    wait_for(lambda: "cannot be made again" in daemon.log or "is made again" in daemon.log, 5)
    host.run(f"ip link del {tap}", check=False)
    wait_for(lambda: daemon.show()["networks"][0]["attached"] and a.ping(b.address, timeout=1), 15)


def test_names_without_dns(lab):
    overlay = Overlay(lab, "poll", start=False)
    host = lab[0]
    text = overlay.config(host).replace(overlay.endpoint(lab[1]), "barge2.example:12345")
    a, b = overlay.containers
    other = overlay.daemon(lab[1])
    daemon = Daemon(host, text, io="poll")
    wait_for(lambda: "no address yet" in daemon.log, 30)
    daemon.attached()
    assert daemon.log.count("no address yet") == 1
    daemon.wg("set", "peers", "peer", overlay.keys[1][1], "endpoint", overlay.endpoint(lab[1]))
    assert a.ping(b.address)
    assert "Endpoint was set to" in daemon.ctl("reload")
    assert daemon.stop() == 0


def test_scoped_endpoint(lab):
    overlay = Overlay(lab, "poll", start=False)
    ll = re.search(r"inet6 (fe80\S+)/", lab[1].run("ip -6 addr show eth0")).group(1)
    wait_for(lambda: "tentative" not in lab[1].run("ip -6 addr show eth0") + lab[0].run("ip -6 addr show eth0"), 5)
    overlay.endpoint = lambda host: f"[{ll}%eth0]:12345" if host is lab[1] else ""
    text = overlay.config(lab[0])
    other = Daemon(lab[1], overlay.config(lab[1]).replace("Endpoint = \n", ""), io="poll")
    daemon = Daemon(lab[0], text, io="poll")
    daemon.attached()
    other.attached()
    assert overlay.containers[0].ping(overlay.containers[1].address, timeout=5)
    print(daemon.peer("barge2")["endpoint"], daemon.wg("show", "peers", "endpoints"))
    conf = daemon.folder / "c"
    conf.write_text(daemon.wg("showconf", "peers"))
    daemon.wg("syncconf", "peers", conf)
    assert overlay.containers[0].ping(overlay.containers[1].address)
    daemon.wg("setconf", "peers", conf)
    wait_for(lambda: overlay.containers[0].ping(overlay.containers[1].address, timeout=1), 15)


@pytest.mark.parametrize("change, line, word", [
    (("ListenPort = 12345", "ListenPort = 70000"), 3, "65535"),
    (("ListenPort", "ListenPrt"), 3, "ListenPort"),
    (("Bridge = ovl0", "Bridge = br%d"), 5, "Bridge"),
    (("Bridge = ovl0", "Bridge = a/b"), 5, "Bridge"),
    (("PrivateKey = ", "PrivateKey = A"), 2, "base64"),
    (("[Network]", "[Netwrk]"), 4, "Network"),
    (("[Interface]", "\0[Interface]"), 1, "zero byte"),
    (("[Interface]", "\r\n\ufeff[Interface]"), 2, "expected"),
    (("172.20.102.0/24", "172.20.102.0/33"), None, "172.20.102.0/33"),
])
def test_wrong_files(lab, change, line, word):
    overlay = Overlay(lab, "poll", start=False)
    daemon = Daemon(lab[0], overlay.config(lab[0]).replace(*change), start=False)
    for more in ([], ["--check"]):
        code, out = run_ovltund(lab[0], "-c", daemon.config, "--run-dir", daemon.folder, "--uapi-dir", daemon.folder, *more)
        assert code == 2 and out.count("\n") == 1 and word in out, out
        assert (f"{daemon.config}:{line}: " if line else f"{daemon.config}:") in out, out
    assert sorted(os.listdir(daemon.folder)) == ["peers.conf"]


def test_too_many_networks(lab):
    overlay = Overlay(lab, "poll", start=False)
    text = overlay.config(lab[0])
    many = text + "".join(f"[Network]\nBridge = x{n}\n" for n in range(64))
    daemon = Daemon(lab[0], many, start=False)
    code, out = run_ovltund(lab[0], "-c", daemon.config, "--check")
    line = text.count("\n") + 2 * 63 + 1
    assert code == 2 and out == f"ovltund: {daemon.config}:{line}: more than 64 networks\n", out


@pytest.mark.parametrize("path", ["/dev/null", "/dev", "/nonexistent/x.conf", "/proc/self/mem", "/dev/zero", "/bin/ls"])
def test_files_that_are_none(lab, path):
    code, out = run_ovltund(lab[0], "-c", path)
    assert code == 2 and out.count("\n") == 1 and path in out, out


def test_ovlctl_without_a_daemon(lab):
    host = lab[0]
    ctl = build_folder() / "ctl" / "ovlctl"
    script = f"mount -t tmpfs tmpfs /run && exec {ctl} show"
    done = subprocess.run(host.argv(["unshare", "-m", "sh", "-c", script]), stdout=-1, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 1 and done.stdout.count("\n") == 1 and "no ovltund" in done.stdout
    assert "\033" not in host.run([ctl, "help"])


def test_sigterm_without_a_bridge(lab):
    overlay = Overlay(lab, "poll", start=False)
    daemon = Daemon(lab[0], overlay.config(lab[0]).replace("ovl0", "nowhere"), io="poll")
    assert daemon.stop() == 0
    assert "ovt-nowhere" not in lab[0].run("ip -br link")
    assert sorted(os.listdir(daemon.folder)) == ["log", "peers.conf"]


def test_closed_standard_streams(lab):
    """No socket gets the number that lines are logged to."""
    overlay = Overlay(lab, "poll", start=False)
    daemon = Daemon(lab[0], overlay.config(lab[0]), io="poll", start=False)
    argv = [build_folder() / "ctl" / "ovltund", "-c", daemon.config, "--run-dir", daemon.folder, "--uapi-dir", daemon.folder]
    process = lab[0].popen(["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *argv])
    wait_for(daemon.answers, 10)
    for number in range(3):
        assert os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null"
    lab[0].stop(process)
    assert process.returncode == 0


def test_few_files(lab):
    """A small limit is raised; where it cannot be, the end is not called a success."""
    overlay = Overlay(lab, "poll", start=False)
    daemon = Daemon(lab[0], overlay.config(lab[0]), io="poll", start=False)
    argv = [build_folder() / "ctl" / "ovltund", "-c", daemon.config, "--run-dir", daemon.folder, "--uapi-dir", daemon.folder]
    process = lab[0].popen(["sh", "-c", 'ulimit -S -n 40; exec "$@"', "sh", *argv])
    wait_for(daemon.answers, 10)
    lab[0].stop(process)
    assert process.returncode == 0
    process = lab[0].popen(["sh", "-c", 'ulimit -n 40; exec "$@"', "sh", *argv])
    out = process.communicate(timeout=10)[0]
    assert process.returncode == 1
    assert re.fullmatch(r"ovltund: no more than 40 files may be open here: expected a hard limit of \d+ or more .*\n", out), out
    # What it asks for is enough.
    least = re.search(r"limit of (\d+)", out)[1]
    process = lab[0].popen(["sh", "-c", f'ulimit -n {least}; exec "$@"', "sh", *argv])
    wait_for(daemon.answers, 10)
    clients = [connect(path) for path in (daemon.socket, daemon.uapi) for _ in range(64)]
    for client in clients:
        client.sendall(b"x")
    clients.pop(0).close()
    wait_for(lambda: "public key" in daemon.ctl("show", check=False), 10)
    lab[0].stop(process)
    assert process.returncode == 0


@pytest.mark.parametrize("make", ["file", "folder", "link"])
def test_no_socket_at_the_sockets_path(lab, make):
    """What lies there is somebody's, and no other daemon."""
    overlay = Overlay(lab, "poll", start=False)
    daemon = Daemon(lab[0], overlay.config(lab[0]), io="poll", start=False)
    {"file": daemon.uapi.touch, "folder": daemon.uapi.mkdir, "link": lambda: daemon.uapi.symlink_to("/dev/null")}[make]()
    code, out = start_fails(daemon)
    assert code == 1 and out == f"ovltund: cannot listen on {daemon.uapi}: something that is no socket lies there\n", out
    assert os.path.lexists(daemon.uapi)


NAMESERVER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
print("up", flush=True)
while True:
    query, sender = s.recvfrom(512)
    end = query.index(b"\\0", 12) + 5
    found = query[end - 4:end - 2] == b"\\0\\1"  # A
    reply = query[:2] + b"\\x81\\x80\\0\\1" + bytes([0, found]) + bytes(4) + query[12:end]
    if found:
        reply += b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\0\\0\\4" + socket.inet_aton(sys.argv[1])
    s.sendto(reply, sender)
"""


@pytest.mark.early
def test_names_resolved_later(lab):
    """No name server at the start: the daemon comes up, and asks until there is one."""
    overlay = Overlay(lab, "poll", start=False)
    host = lab[0]
    other = overlay.daemon(lab[1])
    text = overlay.config(host).replace(overlay.endpoint(lab[1]), "barge2.example:12345")
    daemon = Daemon(host, text, io="poll", start=False)
    (daemon.folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    argv = [build_folder() / "ctl" / "ovltund", "-c", daemon.config, "--run-dir", daemon.folder, "--uapi-dir", daemon.folder]
    script = f'mount --bind {daemon.folder}/resolv.conf /etc/resolv.conf && exec "$@"'
    with open(daemon.log_path, "w", encoding="utf-8") as log:
        host.popen(["unshare", "-m", "sh", "-c", script, "sh", *argv], stdout=log)
    wait_for(daemon.answers, 10)
    wait_for(lambda: "no address yet" in daemon.log, 15)
    assert not daemon.wg("show", "peers", "endpoints").count("10.10.10")
    server = host.popen(["/usr/bin/python3", "-c", NAMESERVER, lab[1].underlay])
    assert server.stdout.readline() == "up\n"
    wait_for(lambda: daemon.peer("barge2")["endpoint"] == overlay.endpoint(lab[1]), 20, "the name to have an address")
    assert daemon.log.count("no address yet") == 1 and "has an address now" in daemon.log
    a, b = overlay.containers
    assert a.ping(b.address, timeout=5)
    # Asked again by a reload, and followed to where the name points now. The other end
    # says nothing meanwhile: what it sent from its old address would call the endpoint back.
    other.stop()
    host.stop(server)
    lab[1].run("ip addr add 10.10.10.202/24 dev eth0")
    server = host.popen(["/usr/bin/python3", "-c", NAMESERVER, "10.10.10.202"])
    assert server.stdout.readline() == "up\n"
    daemon.ctl("reload")
    wait_for(lambda: daemon.peer("barge2")["endpoint"] == "10.10.10.202:12345", 20)
    other.start()
    assert wait_for(lambda: a.ping(b.address, timeout=2), 20, "the tunnel to the new address")
