# SPDX-License-Identifier: MIT
"""ovlctl sync: a file becomes the running state, and what it leaves as it is notices nothing."""
import base64
import json
import re
import signal
import subprocess
import tempfile
import time

import pytest

from conftest import Overlay
from lab import keypair, wait_for
from lab.daemon import build_folder

# Numbered datagrams, one a millisecond, until standard input ends; then how many.
SEND = """
import select, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
number, due = 0, time.monotonic()
while not select.select([sys.stdin], [], [], 0)[0]:
    s.sendto(number.to_bytes(4, "big") + bytes(200), (sys.argv[1], 7300))
    number += 1
    due += 0.001
    time.sleep(max(0, due - time.monotonic()))
print(number)
"""
# Those that arrive, each number once, until none has for a second.
RECEIVE = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
s.bind(("", 7300))
print("ready", flush=True)
seen = set()
try:
    while True:
        seen.add(int.from_bytes(s.recv(2048)[:4], "big"))
        s.settimeout(1)
except TimeoutError:
    print(len(seen))
"""


class Stream:
    """From one container to another, exactly counted."""

    def __init__(self, a, b):
        python = ["/usr/bin/python3", "-c"]
        self.receiver = b.popen([*python, RECEIVE])
        assert self.receiver.stdout.readline().strip() == "ready"
        self.sender = a.popen([*python, SEND, b.address], stdin=subprocess.PIPE)

    def stop(self):
        """How many were sent, and lost."""
        sent = int(self.sender.communicate("\n", timeout=10)[0])
        return sent, sent - int(self.receiver.communicate(timeout=10)[0])


class Files:
    """Files beside a daemon's own, and ovlctl sync with them."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.path = daemon.folder / "wanted.conf"

    def write(self, text):
        if self.daemon.workers > 1:
            text = text.replace("[Interface]\n", f"[Interface]\nWorkers = {self.daemon.workers}\n", 1)
        self.path.write_text(text)
        self.path.chmod(0o600)

    def run(self, text, *options):
        """The exit status, standard output, standard error."""
        if text is not None:
            self.write(text)
        done = subprocess.run(
            self.daemon.host.argv([build_folder() / "ctl" / "ovlctl", "--socket", self.daemon.socket, "sync", self.path, *options]),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    def good(self, text, *options):
        status, out, err = self.run(text, *options)
        assert status == 0, out + err
        return out


def peers(keys, step, prefix="172.20.{}.{}/32"):
    """Other settings for each at each step."""
    return "".join(f"[Peer]\nName = x{i}\nPublicKey = {key}\nEndpoint = 10.10.10.77:{1000 + (i + step) % 5000}\n"
                   f"AllowedIPs = {prefix.format(120 + (i + step) % 100, i // 100)}\n" for i, key in enumerate(keys))


def many_keys(count):
    """Public keys need be no one's: any 32 bytes."""
    return [base64.b64encode(i.to_bytes(4, "big") + bytes([9] * 28)).decode() for i in range(count)]


NETWORKS = ("[Network]\nBridge = ovl1\nSubnet = 172.21.0.0/16\nRange = 172.21.101.0/24\n",
            "[Network]\nBridge = ovl2\nMode = bridged\nVNI = 2\n")


class Flow:
    """iperf3's TCP at a steady rate, far below what the machine can do, until stopped."""

    def __init__(self, a, b):
        self.told = tempfile.TemporaryFile("w+")
        b.popen(["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
        wait_for(lambda: "5201" in b.run("ss -Hltn"), 5, "iperf3 to listen")
        self.client = a.popen(["iperf3", "-c", b.address, "-t", "86000", "-b", "20M", "-i", "1"], stdout=self.told)

    def stop(self):
        """Bytes, whole seconds without any, and segments sent again."""
        self.client.send_signal(signal.SIGINT)
        self.client.wait(10)
        self.told.seek(0)
        told = re.findall(r"sec +([\d.]+) (\w?)Bytes +[\d.]+ \w*bits/sec +(\d+) +[\d.]+ \w?Bytes", self.told.read())
        sizes = [float(size) * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[unit] for size, unit, _ in told]
        return sum(sizes), sizes[:-1].count(0), sum(int(again) for *_, again in told)


def changing_under_traffic(overlay, syncs, count):
    """What @syncs syncs do, each of which changes some of @count other peers, and networks come and go."""
    a, b = overlay.containers
    host, daemon = overlay.lab[0], overlay.daemons[0]
    files, keys = Files(daemon), many_keys(count)
    for bridge in ("ovl1", "ovl2"):
        host.bridge(bridge)
    assert a.ping(b.address)
    before = daemon.peer("barge2")
    streams, flow = [Stream(a, b), Stream(b, a)], Flow(a, b)
    changes, networks, began = 0, 0, time.monotonic()
    for step in range(syncs):
        # All there, all changed, a half gone, all of them gone; at another pace the networks.
        some = [keys, keys, keys[::2], []][step % 4]
        text = overlay.config(host) + peers(some, step) + "".join(NETWORKS[:step % 3])
        reply = json.loads(files.good(text, "--json"))
        assert not [d for d in reply["differences"] if d.get("public_key") == overlay.keys[1][1] or d.get("name") == "ovl0"]
        changes += reply["peers_added"] + reply["peers_removed"] + reply["peers_changed"]
        networks += reply["networks_added"] + reply["networks_removed"]
    seconds = time.monotonic() - began
    told = flow.stop()
    counts = [stream.stop() for stream in streams]
    # The daemons dropped nothing between these peers, and not one message was missing at either end, TCP's included.
    full = []
    for one, other in zip(overlay.daemons, ("barge2", "barge1")):
        drops = json.loads(one.ctl("show", "drops", "--json"))
        assert one.peer(other)["loss"] == 0 and not drops["peers"].get(other)
        full.append(drops["networks"]["ovl0"].get("tap-queue", 0))
    return before, daemon.peer("barge2"), counts, full, told, (changes, networks, seconds)


def check_undisturbed(overlay, syncs, record_property):
    """With a build of ThreadSanitizer's this is the test for data races, too."""
    before, after, counts, full, (size, stalls, again), (changes, networks, seconds) = changing_under_traffic(overlay, syncs, 200)
    (sent, lost), (sent_back, lost_back) = counts
    record_property("measured", f"{sent} + {sent_back} datagrams of an unchanged peer, {lost} + {lost_back} lost; the TAPs' queues were too full for "
                    f"{full[0]} + {full[1]}; {size / 1e6:.0f} MB of TCP, {again} segments sent again; in {seconds:.0f} s "
                    f"{syncs} syncs, which changed {changes} peers and {networks} networks")
    assert changes > 20 * syncs and networks > syncs / 4
    assert sent > 500 and sent_back > 500
    assert (lost, lost_back) == (0, 0), f"the TAPs' queues were too full for {full}"
    assert size > 0 and stalls == 0
    # The same session, or as many as such a time needs.
    assert after["latest_handshake"] > 0
    if seconds < 100:
        assert before["latest_handshake"] == after["latest_handshake"]
    for daemon in overlay.daemons:
        daemon.stop()
        assert daemon.process.returncode == 0 and "Sanitizer" not in daemon.log, daemon.log


def test_unchanged_peers_lose_nothing(overlay, record_property):
    check_undisturbed(overlay, 40, record_property)


@pytest.mark.long
@pytest.mark.workers
def test_unchanged_peers_lose_nothing_in_a_thousand_syncs(overlay, record_property):
    check_undisturbed(overlay, 1000, record_property)


def test_a_wrong_file_changes_nothing(overlay, io):
    a, b = overlay.containers
    host, daemon = overlay.lab[0], overlay.daemons[0]
    files = Files(daemon)
    good = overlay.config(host)
    assert a.ping(b.address)
    stream = Stream(a, b)
    before = daemon.wg("showconf", "peers")
    lines = good.count("\n") + (daemon.workers > 1)
    for broken, where in (("", ""), ("[Interface", ":1: "), (good + "Nonsense = 1\n", f":{lines + 1}: "),
                          (good.replace("Bridge = ovl0", "Bridge = ovl0\nBridge = ovl1"), "given twice (line "),
                          (good + overlay.peer(overlay.lab[1]), f":{lines + 3}: "),
                          (good.replace("PrivateKey = ", "PrivateKeyFile = /nowhere/"), ": No such file"),
                          (good + "[Peer]\nPublicKey = " + keypair()[1] + "\nAllowedIPs = 172.20.102.0/24\n", "172.20.102.0/24")):
        for options in ((), ("--dry-run",)):
            status, out, err = files.run(broken, *options)
            assert status == 2 and out == "" and err.count("\n") == 1, (broken, status, out, err)
            assert str(files.path) in err and where in err, err
    # What only the host can refuse: a port in use. All is as it was, nothing of the good half is in force.
    holder = host.popen(["/usr/bin/python3", "-c", "import socket, time; s = socket.socket(2, 2); s.bind(('', 12399)); print(1, flush=True); time.sleep(60)"])
    holder.stdout.readline()
    status, out, err = files.run(good.replace("12345", "12399", 1) + peers(many_keys(3), 0))
    assert status == 1 and "12399" in err and err.count("\n") == 1, (status, err)
    host.stop(holder)
    # Others can read it.
    files.write(good)
    files.path.chmod(0o644)
    status, out, err = files.run(None)
    assert status == 2 and "chmod 600" in err
    assert daemon.wg("showconf", "peers") == before
    sent, lost = stream.stop()
    assert sent > 20 and lost == 0


def test_dry_run_says_what_then_happens(overlay):
    host, daemon = overlay.lab[0], overlay.daemons[0]
    files = Files(daemon)
    same = overlay.config(host)
    assert files.run(same, "--dry-run")[0] == 0
    wanted = (same.replace(f"Endpoint = {overlay.endpoint(overlay.lab[1])}", "Endpoint = 10.10.10.9:9").replace(
        "Bridge = ovl0\n", "Bridge = ovl0\nMTU = 1300\n").replace("ListenPort = 12345", "ListenPort = 12346") + peers(many_keys(2), 0))
    before = daemon.wg("showconf", "peers")
    status, out, _ = files.run(wanted, "--dry-run")
    print(out)
    assert status == 3 and "interface changed: ListenPort 12345 -> 12346\n" in out
    assert "network ovl0 changed: MTU auto -> 1300\n" in out and "peer x1 added\n" in out
    assert f"peer barge2 changed: Endpoint {overlay.endpoint(overlay.lab[1])} -> 10.10.10.9:9\n" in out
    status, planned, _ = files.run(wanted, "--dry-run", "--json")
    assert status == 3 and daemon.wg("showconf", "peers") == before
    planned, done = json.loads(planned), json.loads(files.good(wanted, "--json"))
    assert planned.pop("dry_run") is True and done.pop("dry_run") is False
    assert planned == done
    assert files.run(None, "--dry-run")[0] == 0
    # Once more, by standard input: nothing changes, so there is nothing that would end.
    out = host.run(["sh", "-c", f"{build_folder()}/ctl/ovlctl --socket {daemon.socket} sync - < {files.path}"])
    assert out.splitlines() == ["synced: peers 0 added, 0 removed, 0 changed; networks 0 added, 0 removed, 0 changed"]
    out = host.run(["sh", "-c", f"cat {files.path} | {build_folder()}/ctl/ovlctl --socket {daemon.socket} sync --json -"])
    assert json.loads(out)["own_file"] == str(daemon.config)
    out = host.run(["sh", "-c", f"{build_folder()}/ctl/ovlctl --socket {daemon.socket} sync --dry-run --json - < {daemon.config}"], check=False)
    assert "own_file" not in json.loads(out)
    assert "10.10.10.9:9" in daemon.wg("showconf", "peers")
    # The daemon's own file counts at a reload, which says what of this ends.
    out = daemon.ctl("reload")
    print(out)
    for what in ("ListenPort was set to 12346", "peer x0 was added", "Endpoint was set to 10.10.10.9:9", "network ovl0 was changed"):
        assert what in out, out
    assert daemon.wg("showconf", "peers") == before


def test_key_files_are_read_by_who_types(overlay):
    """The daemon opens none: not those of the file, which are relative to it."""
    host, daemon = overlay.lab[0], overlay.daemons[0]
    files = Files(daemon)
    folder = daemon.folder / "elsewhere"
    folder.mkdir()
    (folder / "own.key").write_text(overlay.keys[0][0])
    (folder / "own.key").chmod(0o600)
    files.path = folder / "wanted.conf"
    text = overlay.config(host).replace(f"PrivateKey = {overlay.keys[0][0]}", "PrivateKeyFile = own.key")
    assert "private" not in files.good(text).lower()
    assert files.run(None, "--dry-run")[0] == 0
    (folder / "own.key").chmod(0o644)
    status, _, err = files.run(None)
    assert status == 2 and "chmod 600" in err and "own.key" in err


def test_networks_come_and_go(overlay):
    """Live: a network added carries at once, one removed leaves nothing, and the first loses no packet."""
    hosts, daemons = list(overlay.lab), overlay.daemons
    a, b = overlay.containers
    files = [Files(d) for d in daemons]
    assert a.ping(b.address)
    guests = []
    for host in hosts:
        third = 101 + host.index
        host.bridge("ovl1", address=f"172.21.{third}.1/16")
        guests.append(host.container(f"g{third}", bridge="ovl1", address=f"172.21.{third}.2/16", gateway=f"172.21.{third}.1"))
    stream = Stream(a, b)
    for _ in range(2):
        for host, file in zip(hosts, files):
            own, other = 101 + host.index, 102 - host.index
            text = overlay.config(host).replace(f"172.20.{other}.0/24,", f"172.20.{other}.0/24, 172.21.{other}.0/24,")
            assert "networks 1 added, 0 removed" in file.good(text + f"[Network]\nBridge = ovl1\nRange = 172.21.{own}.0/24\n")
        for daemon in daemons:
            daemon.attached(1)
        wait_for(lambda: guests[0].ping(guests[1].address, timeout=1), 15)
        for host, file in zip(hosts, files):
            assert "networks 0 added, 1 removed" in file.good(overlay.config(host))
            assert "ovt-ovl1" not in host.run("ip -br link")
        assert not guests[0].ping(guests[1].address, timeout=1)
    sent, lost = stream.stop()
    assert sent > 500 and lost == 0


def memory_kb(daemon, what="VmRSS"):
    # The daemon's own process: ip netns exec becomes it.
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what))


def timed(work):
    began = time.monotonic()
    work()
    return f"{1000 * (time.monotonic() - began):.0f} ms"


def test_ten_thousand_peers(lab, record_property):
    """Times and memory are printed, not judged, but for that they end."""
    overlay = Overlay(lab, "poll", start=False)
    text = overlay.config(lab[0]) + peers(many_keys(10000), 0, "10.{}.{}.0/24")
    daemon = overlay.daemon(lab[0])
    daemon.stop()
    daemon.write(text)
    told = [f"load {timed(lambda: daemon.start(seconds=60))}, {memory_kb(daemon) // 1024} MB"]
    files = Files(daemon)
    other = text.replace("Name = x5000\n", "Name = renamed\nPersistentKeepalive = 25\n")
    told.append(f"dry run {timed(lambda: files.run(other, '--dry-run'))}")
    told.append(f"sync of one change {timed(lambda: files.good(other))}")
    told.append(f"show {timed(lambda: daemon.ctl('show'))}")
    told.append(f"show --json {timed(daemon.show)}")
    told.append(f"then {memory_kb(daemon) // 1024} MB, at most {memory_kb(daemon, 'VmHWM') // 1024} MB")
    record_property("measured", "; ".join(told))
    shown = daemon.show()["peers"]
    assert len(shown) == 10001 and len([p for p in shown if p["name"] == "renamed"]) == 1
    assert "0 added, 0 removed, 1 changed" in files.good(text)
