# SPDX-License-Identifier: MIT
"""Numbered datagrams from one container to another, and what an underlay sees of them."""
import collections
import struct

from lab.net import wait_for

# One datagram a millisecond, its number in it.
SAY = """
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end, next, n = time.monotonic() + float(sys.argv[2]), time.monotonic(), 0
while time.monotonic() < end:
    try:
        s.sendto(struct.pack(">I", n), (sys.argv[1], 7))
    except OSError:
        pass
    n, next = n + 1, next + 0.001
    time.sleep(max(0, next - time.monotonic()))
print(n, flush=True)
"""
# When each came.
HEAR = """
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.bind(("", 7))
s.settimeout(1.5)
print("up", flush=True)
came, last, stall, seen = 0, None, 0, set()
while True:
    try:
        data = s.recv(64)
    except TimeoutError:
        if last is None:
            continue
        break
    now = time.monotonic()
    stall = max(stall, now - last) if last else 0
    last, came = now, came + 1
    seen.add(struct.unpack(">I", data)[0])
print(came, len(seen), stall, flush=True)
"""


class Stream:
    """A datagram a millisecond from @a to @b for some seconds."""

    def __init__(self, a, b, seconds):
        self.ear = b.popen(["/usr/bin/python3", "-c", HEAR])
        assert self.ear.stdout.readline() == "up\n"
        self.mouth = a.popen(["/usr/bin/python3", "-c", SAY, b.address, str(seconds)])

    def result(self):
        """How many were said, came, came as different ones; and the longest silence in seconds."""
        said = int(self.mouth.stdout.read())
        came, unique, stall = self.ear.stdout.read().split()
        return said, int(came), int(unique), float(stall)


class Capture:
    """Outer datagrams at a host's underlay: types, receivers, counters."""

    def __init__(self, host, path):
        self.path = path
        self.host = host
        self.process = host.popen(["tcpdump", "-i", "eth0", "-n", "-s", "64", "-B", "16384", "-U", "--immediate-mode",
                                   "-w", str(path), "udp port 12345"])
        wait_for(lambda: path.exists() and path.stat().st_size > 0, 10, "tcpdump")

    def read(self):
        """Of each datagram: its source address, type, receiver and counter (of type 4)."""
        self.host.stop(self.process, 2)
        data, at = self.path.read_bytes(), 24
        while at + 16 <= len(data):
            size = struct.unpack("<I", data[at + 8:at + 12])[0]
            frame = data[at + 16:at + 16 + size]
            at += 16 + size
            body = frame[14 + 20 + 8:]
            if len(body) < 16 or frame[12:14] != b"\x08\x00":
                continue
            kind, receiver, counter = struct.unpack("<IIQ", body[:16])
            yield frame[26:30], kind, receiver, counter if kind == 4 else None

    def check(self):
        """How many there were of each type; and no counter of a receiver twice."""
        kinds, seen = collections.Counter(), set()
        for source, kind, receiver, counter in self.read():
            kinds[kind] += 1
            if kind == 4:
                assert (source, receiver, counter) not in seen, f"counter {counter} of {receiver:08x} again"
                seen.add((source, receiver, counter))
        return kinds
