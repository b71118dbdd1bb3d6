# SPDX-License-Identifier: MIT
"""What an operator watches with: the flight recorder, events, top."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import termios

import pytest

from lab import keypair, wait_for
from lab.daemon import build_folder
from test_hostile import MARK, ipv4, mac_bytes, router_mac, send_frames


@pytest.fixture
def io():
    """The control side is the same over both backends."""
    return "poll"


def ovlctl(daemon, *argv):
    return [build_folder() / "ctl" / "ovlctl", "--socket", daemon.socket, *argv]


def last(daemon, reason):
    reply = json.loads(daemon.ctl("show", "drops", "--last", "--json"))
    return next((item for item in reply["last"] if item["reason"] == reason), None)


def test_the_last_drop_is_told_with_its_headers_alone(overlay):
    a, b = overlay.containers
    daemon = overlay.daemons[0]
    assert last(daemon, "out-source") is None
    packet = ipv4("192.0.2.77", b.address)
    frame = mac_bytes(router_mac(daemon)) + mac_bytes("02:42:ac:14:01:63") + b"\x08\x00" + packet
    send_frames(a, [frame])
    item = wait_for(lambda: last(daemon, "out-source"), 5)
    assert item["count"] == 1 and item["direction"] == "out"
    assert item["network"] == daemon.show()["networks"][0]["name"]
    assert item["length"] == len(frame) and item["age_s"] < 60
    header = item["header"]
    assert (header["source"], header["destination"]) == ("192.0.2.77", b.address)
    assert header["source_port"] == header["destination_port"] == 7 and header["protocol"] == 17
    assert header["source_mac"] == "02:42:ac:14:01:63"
    # Ethernet, IPv4 and UDP, and not a byte of what they carry.
    assert bytes.fromhex(header["bytes"]) == frame[:42] and MARK not in bytes.fromhex(header["bytes"])
    text = daemon.ctl("show", "drops", "--last")
    assert f"192.0.2.77:7 > {b.address}:7 UDP" in text and "out-source" in text
    assert f"  out, network {item['network']}, {len(frame)} bytes\n" in text


def stranger_sends(stranger, host, daemon):
    """A datagram of no session; the port it comes from."""
    port = daemon.show()["device"]["listen_port"]
    sender = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              f"s.sendto(bytes.fromhex('0400000001020304') + bytes(8) + b'KEY' * 8, ('{host.underlay}', {port}))\n"
              "print(s.getsockname()[1])\n")
    return stranger.run(["/usr/bin/python3", "-c", sender]).strip()


def test_what_a_stranger_sends_is_told_with_where_it_came_from(overlay):
    daemon, stranger = overlay.daemons[0], overlay.lab[1]
    source = stranger_sends(stranger, overlay.lab[0], daemon)
    item = wait_for(lambda: last(daemon, "rx-unknown-index"), 5)
    assert item["direction"] == "in" and item["from"] == f"{stranger.underlay}:{source}"
    assert item["header"]["receiver"] == 0x04030201
    assert bytes.fromhex(item["header"]["bytes"]) == bytes.fromhex("0400000001020304") + bytes(8)


# --- events ---

def events(daemon, kind=None):
    reply = json.loads(daemon.ctl("events", "--json"))
    return [e for e in reply["events"] if kind in (None, e["kind"])]


def spoof(container, daemon, count):
    frame = mac_bytes(router_mac(daemon)) + mac_bytes("02:42:ac:14:01:63") + b"\x08\x00" + ipv4("192.0.2.77", "172.20.102.2")
    send_frames(container, [frame] * count)


def test_events_tell_what_happened_and_follow_what_happens(overlay):
    a, b = overlay.containers
    daemon, host = overlay.daemons[0], overlay.lab[0]
    network = daemon.show()["networks"][0]["name"]
    follower = host.popen(ovlctl(daemon, "events", "--follow", "--json"))
    try:
        assert a.ping(b.address)
        wait_for(lambda: events(daemon, "handshake"), 5)
        assert [e["network"] for e in events(daemon, "attached")] == [network]
        peer = events(daemon, "handshake")[0]
        assert peer["public_key"] == daemon.show()["peers"][0]["public_key"]
        # Those of the file are no news.
        assert not events(daemon, "peer-added")

        key = keypair()[1]
        daemon.ctl("peer", "add", key, "name", "guest")
        wait_for(lambda: events(daemon, "peer-added"), 5)
        daemon.ctl("peer", "remove", "guest")
        wait_for(lambda: events(daemon, "peer-removed"), 5)
        for kind in ("peer-added", "peer-removed"):
            assert [(e["peer"], e["public_key"]) for e in events(daemon, kind)] == [("guest", key)]

        # Many at once are one: what was before is still told.
        good = daemon.config.read_text()
        many = daemon.folder / "many.conf"
        many.touch(0o600)
        many.write_text(good + "".join(f"[Peer]\nPublicKey = {chr(65 + i)}{'A' * 41}E=\n" for i in range(20)))
        for file, kind, text in ((many, "peer-added", "20 peers added"), (daemon.config, "peer-removed", "20 peers removed")):
            daemon.ctl("sync", file)
            assert [(e["peer"], e["text"]) for e in events(daemon, kind)[1:]] == [(None, text)]
        assert [e["text"].split(";")[0] for e in events(daemon, "reloaded")] == [
            "sync: peers 20 added, 0 removed, 0 changed", "sync: peers 0 added, 20 removed, 0 changed"]

        daemon.write(good + "Nonsense = 1\n")
        daemon.ctl("reload", check=False)
        daemon.write(good)
        daemon.ctl("reload")
        assert "Nonsense" in events(daemon, "reload-failed")[0]["text"] and len(events(daemon, "reloaded")) == 3

        spoof(a, daemon, 20)
        host.run(["ip", "link", "del", "ovl0"])
        wait_for(lambda: events(daemon, "detached"), 5)
        assert not events(daemon, "drops")

        told = events(daemon)
        assert [e["number"] for e in told] == list(range(1, len(told) + 1))
        assert [json.loads(follower.stdout.readline()) for _ in told] == told
        text = daemon.ctl("events")
        assert len(text.splitlines()) == len(events(daemon)) and re.search(r"peer-removed +peer guest: removed", text)
    finally:
        host.stop(follower)


def test_drops_that_rise_are_an_event_told_once(overlay):
    a, daemon = overlay.containers[0], overlay.daemons[0]
    wait_for(lambda: events(daemon, "attached"), 5)
    for _ in range(2):
        spoof(a, daemon, 1000)
        told = wait_for(lambda: events(daemon, "drops"), 5)
    assert [e["text"].split(":")[0] for e in told] == ["out-source"]


def test_a_follower_that_never_reads_costs_nothing(overlay):
    daemon = overlay.daemons[0]

    def resident():
        status = open(f"/proc/{daemon.process.pid}/status", encoding="ascii").read()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    before = resident()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(daemon.socket))
        deaf.settimeout(0.3)
        with pytest.raises((TimeoutError, BrokenPipeError, ConnectionResetError)):
            for _ in range(100000):
                deaf.sendall(b'{"do":"events"}\n' * 100)
        assert events(daemon)
        assert resident() - before < 4096


# --- top ---

def rows(text):
    """Of one look of top --batch: a peer's name to the rest of its line."""
    lines = text.splitlines()
    title = next(i for i, line in enumerate(lines) if line.startswith("PEER"))
    return {line[:18].strip(): line[18:].split() for line in lines[title + 1:] if line}


def test_top_tells_who_sends_how_much_the_busiest_first(overlay):
    a, b = overlay.containers
    daemon, name = overlay.daemons[0], "busy"
    daemon.ctl("peer", "set", daemon.show()["peers"][0]["public_key"], "name", name)
    for quiet in ("alpha", "zeta"):
        daemon.ctl("peer", "add", keypair()[1], "name", quiet)
    assert a.ping(b.address)
    pings = a.popen(["ping", "-n", "-q", "-i", "0.01", "-s", "1000", b.address])
    try:
        wait_for(lambda: daemon.peer(name)["round_trip_s"], 5, "a round trip to be measured")
        text = daemon.ctl("top", "--batch", "-n", "1", "-d", "1")
    finally:
        a.stop(pings)
    seen = rows(text)
    assert list(seen) == [name, "alpha", "zeta"]
    # Up to 100 a second, as busy as the machine is, of some 1,060 bytes each.
    for size, packets in (seen[name][:2], seen[name][2:4]):
        assert 10 <= int(packets) <= 150 and size.endswith("k")
        assert 900 < float(size.removesuffix("k")) * 1000 / int(packets) < 1250
    assert seen["alpha"][:4] == ["0", "0", "0", "0"] and seen["alpha"][-1] == "never"
    assert 0 < float(seen[name][seen[name].index("ms") - 1]) < 1000 and "ms" not in seen["alpha"]
    assert "1 of 3 peers with a session" in text
    assert max(len(line) for line in text.splitlines()) <= 79


class Screen:
    """ovlctl top on a terminal of its own."""

    def __init__(self, daemon, lines=24, columns=80):
        self.fd, tty = pty.openpty()
        self.resize(lines, columns)
        self.text = ""
        self.process = daemon.host.popen(ovlctl(daemon, "top", "-d", "0.2"), stdin=tty, stdout=tty, stderr=tty,
                                         env={**os.environ, "TERM": "xterm"}, start_new_session=True)
        os.close(tty)

    def resize(self, lines, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def shows(self, pattern):
        while select.select([self.fd], [], [], 0)[0]:
            try:
                self.text += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:  # it ended
                break
        return re.search(pattern, self.text)


def test_top_has_a_screen_that_resizes_and_ends(overlay):
    daemon = overlay.daemons[0]
    # Two pages without a letter in common: curses writes what differs.
    pages = [[first + "".join(chr(base + (i + k) % 26) for k in range(7)) for i in range(20)]
             for first, base in (("a", ord("a")), ("b", ord("A")))]
    for name in sum(pages, []):
        daemon.ctl("peer", "add", keypair()[1], "name", name)
    screen = Screen(daemon)
    try:
        wait_for(lambda: screen.shows("HANDSHAKE") and all(screen.shows(name) for name in pages[0]), 10)
        assert not any(screen.shows(name) for name in pages[1])
        os.write(screen.fd, b"\x1b[6~")  # Page Down; xterm's
        wait_for(lambda: all(screen.shows(name) for name in pages[1]), 10)
        screen.text = ""
        screen.resize(10, 40)
        screen.process.send_signal(signal.SIGWINCH)
        wait_for(lambda: screen.shows("PEER"), 10)
        os.write(screen.fd, b"q")
        wait_for(lambda: screen.shows("$") and screen.process.poll() is not None, 10)
        assert screen.process.returncode == 0
    finally:
        daemon.host.stop(screen.process)
        os.close(screen.fd)


def test_top_ends_with_its_terminal(overlay):
    """This one is told so by no SIGHUP: the terminal does not control it."""
    daemon = overlay.daemons[0]
    screen = Screen(daemon)
    try:
        wait_for(lambda: screen.shows("HANDSHAKE"), 10)
        os.close(screen.fd)
        wait_for(lambda: screen.process.poll() is not None, 10)
        assert screen.process.returncode == 0
    finally:
        daemon.host.stop(screen.process)


def test_top_of_a_daemon_that_ends_says_so(overlay):
    daemon = overlay.daemons[0]
    screen = Screen(daemon)
    try:
        wait_for(lambda: screen.shows("HANDSHAKE"), 10)
        daemon.stop()
        wait_for(lambda: screen.shows("no ovltund listens") and screen.process.poll() is not None, 10)
        assert screen.process.returncode == 1
    finally:
        daemon.host.stop(screen.process)
        os.close(screen.fd)


def test_top_without_a_terminal_says_what_to_do(overlay):
    daemon = overlay.daemons[0]
    assert "--batch" in daemon.ctl("top", check=False)
    assert "expected seconds" in daemon.ctl("top", "-d", "nonsense", check=False)
