# SPDX-License-Identifier: MIT
"""ovlctl capture: what is in the file Wireshark says, which this project did not write; and who does not wait for whom."""
import collections
import ctypes
import errno
import fcntl
import itertools
import json
import mmap
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

from conftest import Overlay
from lab import wait_for
from lab.daemon import build_folder
from lab.segments import Segments
from test_confined import GROUP, ask, grouped  # noqa: F401
from test_hostile import ipv4, mac_bytes, router_mac, send_frames

pytestmark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")


@pytest.fixture
def io():
    """What differs between the backends comes before and after what is captured."""
    return "poll"


class Capture:
    """ovlctl capture, from when it is on until it was stopped."""

    def __init__(self, daemon, *argv, path=None, **kwargs):
        self.path = path
        argv = [*argv, "-w", path] if path else argv
        self.process = daemon.host.popen([build_folder() / "ctl" / "ovlctl", "--socket", daemon.socket, "capture", *argv],
                                         stderr=subprocess.PIPE, **kwargs)
        self.said = self.process.stderr.readline()
        assert " packets of " in self.said, self.said + self.process.stderr.read()

    def end(self, seconds=10):
        """Waits for its end, which others bring about."""
        self.process.wait(seconds)
        self.said += self.process.stderr.read()
        return self.process.returncode

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def dropped(self):
        return int(re.search(r"(\d+) dropped for want of room", self.said).group(1))


FIELDS = ("frame.interface_name", "frame.packet_flags_direction", "frame.comment", "frame.protocols", "ip.src", "ip.dst",
          "ipv6.src", "udp.srcport", "udp.dstport", "frame.len", "wg.type", "udp.checksum.status", "ip.checksum.status",
          "icmp.type", "frame.cap_len", "tcp.len")
Row = collections.namedtuple("Row", [f.replace(".", "_") for f in FIELDS])
IN, OUT = "1", "2"


def read(path, *options):
    """Its packets by tshark; a file that is cut off, or has a bad block, is an error."""
    argv = ["tshark", "-n", "-r", path, "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-T", "fields", *options]
    for field in FIELDS:
        argv += ["-e", field]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stderr
    def value(text):
        return {"0x00000001": IN, "0x00000002": OUT}.get(text, text)
    return [Row(*map(value, line.split("\t"))) for line in done.stdout.splitlines()]


def statistics(path):
    """Interface and dropped packets of each statistics block; the blocks by hand, as no tool tells them all."""
    data, at, names, out = path.read_bytes(), 0, [], []
    while at < len(data):
        kind, size = struct.unpack("<II", data[at:at + 8])
        assert struct.unpack("<I", data[at + size - 4:at + size])[0] == size
        options, inner = {}, at + {1: 16, 5: 20}.get(kind, size)
        while inner + 4 < at + size:
            code, length = struct.unpack("<HH", data[inner:inner + 4])
            options[code] = data[inner + 4:inner + 4 + length]
            inner += 4 + (length + 3) // 4 * 4
        if kind == 1:
            names.append(options[2].decode())
        elif kind == 5:
            out.append((names[struct.unpack("<I", data[at + 8:at + 12])[0]], struct.unpack("<Q", options[5])[0]))
        at += size
    return out


def infos(path):
    """What capinfos says, interface statistics included."""
    return subprocess.run(["capinfos", path], capture_output=True, text=True, check=True).stdout


def test_inner_packets_of_a_routed_network(overlay, tmp_path):
    a, b = overlay.containers
    daemon, path = overlay.daemons[0], tmp_path / "inner.pcapng"
    assert a.ping(b.address)
    capture = Capture(daemon, path=path)
    here, there = daemon.host.index, overlay.daemons[1].host.index
    assert path.stat().st_mode & 0o777 == 0o600
    assert a.ping(b.address, count=3, size=700) and a.ping(b.address6)
    frame = mac_bytes(router_mac(daemon)) + mac_bytes("02:42:ac:14:01:63") + b"\x08\x00" + ipv4("192.0.2.77", b.address)
    send_frames(a, [frame])
    wait_for(lambda: daemon.drops("out-source"), 5)
    assert capture.stop() == 0, capture.said
    assert capture.dropped() == 0 and "capture 1 begins: inner packets of all, for process" in daemon.log
    wait_for(lambda: "capture 1 ends: " in daemon.log, 5)
    rows = read(path)
    echoes = [r for r in rows if r.frame_len == "728"]
    assert [(r.frame_packet_flags_direction, r.ip_src, r.icmp_type) for r in echoes] == \
        3 * [(OUT, a.address, "8"), (IN, b.address, "0")]
    assert all(r.frame_interface_name == "ovl0" and r.frame_protocols.startswith("raw:ip:icmp") for r in echoes)
    assert {r.frame_comment for r in echoes} == {f"peer {overlay.lab[there].name}"} and here != there
    assert {r.ip_checksum_status for r in echoes} <= {"1", "Good"}
    assert any(r.ipv6_src == b.address6 for r in rows)
    lie, = [r for r in rows if r.ip_src == "192.0.2.77"]
    assert "dropped: out-source: " in lie.frame_comment and lie.frame_packet_flags_direction == OUT
    said = infos(path)
    assert f"Number of packets:   {len(rows)}" in said and re.search(r"Number of stat entries = 1\b", said)


def test_bridged_frames_and_two_captures_at_once(lab, tmp_path, io):
    segments = Segments(lab, io, vnis=(7, 42))
    one, other = (segments.containers[vni] for vni in (7, 42))
    daemon = segments.daemons[0]
    assert one[0].ping(one[1].address) and other[0].ping(other[1].address)
    every = Capture(daemon, path=tmp_path / "every.pcapng")
    seven = Capture(daemon, "seg7", "-s", "60", path=tmp_path / "seven.pcapng")
    assert one[0].ping(one[1].address, size=500) and other[0].ping(other[1].address, size=500)
    assert every.stop() == 0 and seven.stop() == 0
    rows = read(every.path)
    assert {r.frame_interface_name for r in rows} == {"seg7", "seg42"}
    assert all(r.frame_protocols.startswith("eth:") for r in rows)
    mine = [r for r in read(seven.path) if r.frame_len == "542"]
    assert [(r.frame_interface_name, r.frame_packet_flags_direction, r.frame_cap_len) for r in mine] == \
        [("seg7", OUT, "60"), ("seg7", IN, "60")]
    done = subprocess.run(daemon.host.argv([build_folder() / "ctl" / "ovlctl", "--socket", daemon.socket, "capture", "seg7",
                                            "--outer", "-w", tmp_path / "no"]), capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "does not say of which network" in done.stderr and not (tmp_path / "no").exists()


@pytest.mark.parametrize("over, first", [(4, 0), (6, 1)], ids=["IPv4, we begin", "IPv6, they begin"])
def test_outer_packets_decrypt_by_their_keys_and_ours(lab, io, tmp_path, over, first):
    """Handshakes of both roles, with a preshared key; the file alone opens nothing."""
    overlay = Overlay(lab, io, over=over, psk=True)
    a, b = overlay.containers
    daemon, path, keys = overlay.daemons[0], tmp_path / "outer.pcapng", tmp_path / "own.keys"
    capture = Capture(daemon, "--outer", "--inner", "--keys", path=path)
    sides = (a, b) if first == 0 else (b, a)
    assert sides[0].ping(sides[1].address, count=3, size=300)
    assert capture.stop() == 0
    keys.write_text(f"LOCAL_STATIC_PRIVATE_KEY = {overlay.keys[0][0]}\n")
    raw = path.read_bytes()
    assert b"LOCAL_EPHEMERAL_PRIVATE_KEY = " in raw and overlay.psk.encode() in raw
    assert overlay.keys[0][0].encode() not in raw and b"LOCAL_STATIC" not in raw
    closed, opened = ([r for r in read(path, *more) if r.frame_interface_name == "outer"]
                      for more in ((), ("-o", f"wg.keylog_file:{keys}")))
    assert [r.wg_type for r in closed][:2] == ["1", "2"]
    assert not any("icmp" in r.frame_protocols for r in closed)
    inner = [r for r in opened if "wg:ip:icmp" in r.frame_protocols]
    assert len(inner) == 6 and {r.ip_src.split(",")[-1] for r in inner} == {a.address, b.address}
    assert {(r.udp_srcport.split(",")[0], r.udp_dstport.split(",")[0]) for r in opened} == {("12345", "12345")}
    good = {"2", "3", "Unverified", "Not present"} if over == 4 else {"1", "Good"}
    assert {r.udp_checksum_status.split(",")[0] for r in closed} <= good
    comments = {r.frame_comment for r in closed if r.wg_type == "4"}
    assert comments == {f"peer {lab[1].name}"}


@pytest.mark.long
def test_keys_of_a_peer_are_made_at_once(overlay, tmp_path):
    """Sessions last two minutes: a capture of one peer begins a new one."""
    a, b = overlay.containers
    daemon, path, keys = overlay.daemons[0], tmp_path / "peer.pcapng", tmp_path / "own.keys"
    peer = overlay.lab[1].name
    assert a.ping(b.address)
    wait_for(lambda: daemon.peer(peer)["latest_handshake_age_s"] >= 6, 10)
    capture = Capture(daemon, peer, "--outer", "--keys", path=path)
    wait_for(lambda: daemon.peer(peer)["latest_handshake_age_s"] < 5, 5)
    assert a.ping(b.address)
    assert capture.stop() == 0
    keys.write_text(f"LOCAL_STATIC_PRIVATE_KEY = {overlay.keys[0][0]}\n")
    assert sum("wg:ip:icmp" in r.frame_protocols for r in read(path, "-o", f"wg.keylog_file:{keys}")) == 2


def test_keys_go_to_no_file_that_others_may_read(overlay, tmp_path):
    daemon = overlay.daemons[0]
    for name, mode, owner in (("open", 0o644, 0), ("another's", 0o600, 65534)):
        path = tmp_path / name
        path.write_text("kept")
        path.chmod(mode)
        os.chown(path, owner, -1)
        said = daemon.ctl("capture", "--outer", "--keys", "-w", path, check=False)
        assert "others may read it" in said and said.count("\n") == 1 and path.read_text() == "kept"


def test_a_full_disk_leaves_a_whole_file(overlay, tmp_path):
    a, b = overlay.containers
    assert a.ping(b.address)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], check=True)
    try:
        capture = Capture(overlay.daemons[0], path=disk / "full.pcapng")
        assert a.ping(b.address, count=120, size=1400, options=("-i", "0.002"))
        assert capture.end() == 1
        assert "No space left on device; what is there up to then is whole" in capture.said
        rows = read(disk / "full.pcapng")
        assert 150 <= sum(bool(r.icmp_type) for r in rows) <= 185
    finally:
        subprocess.run(["umount", disk], check=True)
    assert a.ping(b.address)


def iperf(a, b, seconds):
    """Gbit/s in each tenth of a second."""
    server = b.popen("iperf3 -s -1")
    wait_for(lambda: "5201" in b.run("ss -Hltn"), 5, "iperf3")
    out = json.loads(a.run(f"iperf3 -J -i 0.1 -t {seconds} -c {b.address}"))
    server.wait(5)
    return [i["sum"]["bits_per_second"] / 1e9 for i in out["intervals"]]


def test_a_client_that_never_reads_stalls_nothing(overlay, tmp_path, record_property):
    a, b = overlay.containers
    daemon = overlay.daemons[0]
    assert a.ping(b.address)
    asleep = Capture(daemon, "--inner", "--outer", path=tmp_path / "asleep.pcapng")
    asleep.process.send_signal(signal.SIGSTOP)
    rates = iperf(a, b, 1)
    started = time.monotonic()
    assert daemon.show()["device"]["uptime_s"] >= 0 and time.monotonic() - started < 2
    asleep.process.send_signal(signal.SIGCONT)
    assert asleep.stop() == 0
    record_property("measured", f"{sum(rates) / len(rates):.2f} Gbit/s, the worst tenth of a second {min(rates):.2f}; "
                    f"{asleep.dropped()} dropped")
    # A busy machine has tenths of a second of its own, and TCP its timeouts; who waits for a reader waits to the end.
    rests = [len(list(group)) for rests, group in itertools.groupby(rates, key=lambda rate: rate < 0.01) if rests]
    assert max(rests, default=0) < 5, rates
    assert asleep.dropped() > 1000
    # What was put in before the ring was full is there, and of the rest the number, in blocks of statistics.
    assert infos(asleep.path)
    told = statistics(asleep.path)
    assert {name for name, _ in told} == {"ovl0", "outer"} and sum(number for _, number in told) == asleep.dropped()


def test_clients_that_go_and_come_back(overlay, tmp_path):
    a, b = overlay.containers
    daemon = overlay.daemons[0]
    assert a.ping(b.address)
    killed = Capture(daemon, path=tmp_path / "1.pcapng")
    killed.process.kill()
    wait_for(lambda: "capture 1 ends" in daemon.log, 5)
    four = [Capture(daemon, "-s", "64", path=tmp_path / f"{i}.pcapng") for i in range(2, 6)]
    said = daemon.ctl("capture", "-w", tmp_path / "one-more", check=False)
    assert "4 captures are on already" in said and said.count("\n") == 1
    assert a.ping(b.address)
    assert [c.stop() for c in four] == [0] * 4
    wait_for(lambda: daemon.log.count(" ends: ") == 5, 5)
    counted = Capture(daemon, "-c", "3", path=tmp_path / "counted.pcapng")
    assert a.ping(b.address, count=3)
    assert counted.end() == 0 and len(read(counted.path)) == 3
    # Another end: the daemon goes. The file is whole all the same.
    left = Capture(daemon, "--inner", "--outer", path=tmp_path / "left.pcapng")
    assert a.ping(b.address)
    assert daemon.stop() == 0
    assert left.end() == 1 and "the daemon closed the connection" in left.said
    assert len([r for r in read(left.path) if r.icmp_type]) == 2 and "Number of stat entries" in infos(left.path)
    assert "capture 7 ends" in daemon.log


def test_straight_into_a_program_that_looks(overlay):
    """As `ovlctl capture | wireshark -k -i -` does it, by the same dumpcap."""
    a, b = overlay.containers
    daemon = overlay.daemons[0]
    assert a.ping(b.address)
    capture = Capture(daemon)
    tshark = subprocess.Popen(["tshark", "-n", "-l", "-i", "-", "-Y", "icmp", "-T", "fields", "-e", "icmp.type", "-e",
                               "frame.interface_name"],
                              stdin=capture.process.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    capture.process.stdout.close()
    try:
        assert a.ping(b.address)
        wanted = ["8\tovl0\n", "0\tovl0\n"]
        assert [tshark.stdout.readline() for _ in wanted] == wanted
    finally:
        tshark.kill()
        tshark.wait()
        tshark.stdout.close()
    # Nobody reads any more: it ends when it has something to say.
    wait_for(lambda: (a.ping(b.address), capture.process.poll() is not None)[1], 10)
    assert capture.end() == 0


def test_what_the_texts_say(overlay, tmp_path):
    """Their commands, to the first packet; where they go on into Wireshark, tshark asks the same dumpcap above."""
    a, b = overlay.containers
    assert a.ping(b.address)
    top = pathlib.Path(__file__).resolve().parents[2]
    said = "\n".join((top / name).read_text(encoding="utf-8") for name in ("README.md", "docs/capture.md"))
    commands = {re.split(r" \\?\|", c)[0].strip() for c in re.findall(r"(?:^|[ `])ovlctl (capture(?: [^#`\n]*)?)", said, re.MULTILINE)}
    assert len(commands) >= 5 and not any("'" in c for c in commands)
    tool = f"{build_folder()}/ctl/ovlctl --socket {overlay.daemons[0].socket}"
    line = " && ".join(f"{tool} {command} -c 1 > out{i}" for i, command in enumerate(sorted(commands)))
    typed = overlay.lab[0].popen(["sh", "-c", f"cd {tmp_path} && {line}"])
    # On a starved host a ping may be lost; there is another one.
    wait_for(lambda: (a.ping(b.address), typed.poll() is not None)[1], 15, "the commands to end")
    assert typed.returncode == 0, typed.stdout.read()


def request_with(daemon, request, *descriptors, before_it_goes=lambda: None):
    """What a client gets that is not ovlctl."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        client.connect(str(daemon.socket))
        socket.send_fds(client, [json.dumps(request).encode() + b"\n"], list(descriptors))
        reply = json.loads(client.makefile().readline())
        before_it_goes()
        return reply


SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
PUNCH = 1 | 2  # FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE


def punch(fd, size):
    """The error of taking pages out of it, or 0."""
    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.fallocate(fd, PUNCH, ctypes.c_long(0), ctypes.c_long(size)) else 0


def sealed_memory(size, seals=SIZE_SEALS):
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.truncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def test_memory_that_could_harm_the_daemon_is_refused(overlay, tmp_path):
    a, b = overlay.containers
    daemon = overlay.daemons[0]
    good = {"do": "capture", "layout": 2, "inner": True, "snaplen": 128}
    with open(tmp_path / "file", "wb+") as file:
        file.truncate(8 << 20)
        rows = ((good, file.fileno(), "a memfd whose size is sealed"), (good, sealed_memory(8 << 20, fcntl.F_SEAL_GROW), "is sealed"),
                (good, sealed_memory(8 << 20, SIZE_SEALS | fcntl.F_SEAL_SEAL), "is sealed, and no more"),
                (good, sealed_memory(4096), "expected memory of "), (good, sealed_memory(1 << 30), "expected memory of "),
                ({**good, "layout": 1}, sealed_memory(8 << 20), "different versions"),
                ({**good, "snaplen": 0}, sealed_memory(8 << 20), "snaplen: expected"),
                ({**good, "of": 7}, sealed_memory(8 << 20), "of: expected a text"),
                ({"do": "show"}, sealed_memory(8 << 20), "only a capture comes with a descriptor"))
        before = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
        for request, fd, text in rows:
            reply = request_with(daemon, request, fd)
            assert reply["ok"] is False and reply["exit"] == 2 and text in reply["error"], reply
    assert "no memory came" in request_with(daemon, good)["error"]
    pid, shared = daemon.process.pid, []

    memory, punched = sealed_memory(8 << 20), []

    def note_shared():
        shared.append(int(re.search(r"RssShmem:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) << 10)

    note_shared()
    def look():
        note_shared()
        punched.append(punch(memory, 8 << 20))
        note_shared()

    assert request_with(daemon, good, memory, before_it_goes=look)["ok"] is True
    # All of it is there before the first packet is, though nobody had filled it; and it stays there.
    assert shared[1] - shared[0] == 8 << 20 and shared[2] == shared[1] and punched == [errno.EPERM]
    with pytest.raises(PermissionError):
        mmap.mmap(memory, 8 << 20)
    wait_for(lambda: "capture 1 ends" in daemon.log, 5)
    # Memory and descriptors that are not there.
    size = int(re.search(r"VmSize:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) << 10
    unlimited = resource.prlimit(pid, resource.RLIMIT_AS, (size + (8 << 20), resource.RLIM_INFINITY))
    said = daemon.ctl("capture", "-w", tmp_path / "no", check=False)
    resource.prlimit(pid, resource.RLIMIT_AS, unlimited)
    assert said == "ovlctl: cannot map the memory: Cannot allocate memory\n"
    assert a.ping(b.address)
    assert len(os.listdir(f"/proc/{pid}/fd")) == before and daemon.log.count("capture ") == 2


def test_only_root_may_capture(grouped, tmp_path):  # noqa: F811
    tmp_path.chmod(0o777)
    status, said = ask(grouped, "capture", "-c", "1", "-w", "/dev/null", groups=[GROUP])
    assert status == 1 and said == "ovlctl: permission denied: capture is for root; members of group ovltun may look only\n"
    assert ask(grouped, "show", groups=[GROUP])[0] == 0


def test_mistakes_are_told_in_a_line(overlay, tmp_path):
    daemon, path = overlay.daemons[0], tmp_path / "kept"
    path.write_text("kept")
    rows = ((("nobody",), 2, "no network \"nobody\", and "), (("-s", "0"), 2, "-s 0: expected 1 to 262144 bytes"),
            (("-c", "many"), 2, "-c many: expected a number of packets"), (("--keys",), 2, "keys are for the datagrams"),
            (("--nonsense",), 2, "unknown option \"--nonsense\""))
    for argv, status, text in rows:
        done = subprocess.run(daemon.host.argv([build_folder() / "ctl" / "ovlctl", "--socket", daemon.socket, "capture", *argv,
                                                "-w", path]), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (status, 1) and text in done.stderr, done.stderr
    assert path.read_text() == "kept" and "capture 1" not in daemon.log
    said = daemon.ctl("capture", "-w", tmp_path / "no" / "such", check=False)
    assert said.count("\n") == 1 and "No such file or directory" in said
