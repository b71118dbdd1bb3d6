# SPDX-License-Identifier: MIT
"""What changing and showing a daemon of many peers costs: times, processor time, memory of daemon and tool."""
import base64
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time
import typing

from lab import Lab, LabError, keypair, wait_for
from lab.daemon import build_folder

from comparison.scale import KB, Quiet, memory, peak
from comparison.ways import PORT

STATIC_MAX = 4096  # entries of one network
TIME = shutil.which("time")  # GNU's: knows what its child took at the most


class Cost(typing.NamedTuple):
    wall: float
    cpu: float  # of the daemon's control thread and of what asked it
    tool: float  # bytes; not a number: nobody knows


class Sizes(typing.NamedTuple):
    start: int  # resident, when it was ready
    then: int  # behind all that is measured
    peak: int


def routed(count, step):
    """[Network]s and [Peer]s; @step changes all peers, a step of (number, step) that one."""
    lines = ["[Network]\nBridge = ovl0\nRange = 172.20.101.0/24\n"]
    for i in range(count):
        lines.append(head(i, step) + f"AllowedIPs = 10.{i >> 8}.{i & 255}.0/24, fd00:{i:x}::/64\n")
    return "".join(lines)


def bridged(count, step):
    """As many networks as it takes for each peer to be a member with a static entry."""
    lines = []
    for network in range(-(-count // STATIC_MAX)):
        lines.append(f"[Network]\nBridge = ovl{network + 1}\nMode = bridged\nVNI = {network + 1}\n")
        lines += [f"FDB = 10.{i >> 8}.{i & 255}.1 02:00:00:00:{i >> 8:02x}:{i & 255:02x} p{i}\n"
                  for i in range(network * STATIC_MAX, min(count, (network + 1) * STATIC_MAX))]
    for i in range(count):
        lines.append(head(i, step) + f"VNIs = {i // STATIC_MAX + 1}\n")
    return "".join(lines)


def head(i, step):
    # Any 32 bytes are a public key. Nobody asks for that peer, so nothing is sent there.
    key = base64.b64encode(i.to_bytes(4, "big") + bytes([7] * 28)).decode()
    number = step[1] if isinstance(step, tuple) and step[0] == i else 0 if isinstance(step, tuple) else step
    return f"[Peer]\nName = p{i}\nPublicKey = {key}\nEndpoint = 10.10.10.{1 + i % 99}:{1024 + number + i % 60000}\n"


KINDS = {"routed": routed, "bridged": bridged}


def spent(daemon):
    """Seconds of processor time of its control thread; workers have their own business."""
    pid = daemon.process.pid
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def ask(daemon, *argv, good=(0,)):
    """What it costs to run ovlctl with these arguments."""
    with tempfile.NamedTemporaryFile("r") as told:
        command = daemon.host.argv([build_folder() / "ctl" / "ovlctl", "--socket", daemon.socket, *argv])
        if TIME:
            # A process begins with what its parent has: time(1) is small.
            command = [TIME, "-q", "-f", "%M", "-o", told.name, *command]
        before, begin = spent(daemon), time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - begin
        if process.returncode not in good:
            raise LabError(f"ovlctl {argv[0]} ended with {process.returncode}")
        cpu = spent(daemon) - before + used.ru_utime + used.ru_stime
        return Cost(wall, cpu, int(told.read()) * KB if TIME else float("nan"))


def take(host, kind, count):
    """The costs of a daemon of so many peers, by what was done, and its sizes."""
    def text(step):
        return f"[Interface]\nPrivateKey = {private}\nListenPort = {PORT}\n{KINDS[kind](count, step)}"

    def sync(step, *options, good=(0,)):
        wanted.write_text(text(step), encoding="ascii")
        return ask(daemon, "sync", *options, wanted, good=good)

    private = keypair()[0]
    daemon = Quiet(host, text(0), start=False)
    wanted = daemon.folder / "wanted.conf"
    wanted.touch(0o600)
    try:
        begin = time.time()
        daemon.start(60)
        costs = {"start": Cost(daemon.ready - begin, spent(daemon), float("nan"))}
        wait_for(lambda: len(host.run("ip -br link show type tun").splitlines()) == text(0).count("[Network]"), 10, "its TAPs")
        start = memory(daemon)[0]
        costs["show"] = ask(daemon, "show")
        costs["show --json"] = ask(daemon, "show", "--json")
        costs["dry run, one"] = sync((count // 2, 1), "--dry-run", good=(3,))
        costs["sync, one"] = sync((count // 2, 1))
        costs["sync, none"] = sync((count // 2, 1))
        costs["sync, all"] = sync(2)
        return costs, Sizes(start, memory(daemon)[0], peak(daemon))
    finally:
        daemon.close()


def medians(taken):
    return type(taken[0])(*(statistics.median(values) for values in zip(*taken)))


def take_all(kind, counts, rounds):
    """By number of peers: the medians of costs, by what was done, and of sizes."""
    found = {count: [] for count in counts}
    with Lab(1) as lab:
        # A bridge that asks for routers has every member called, and a handshake begun with each.
        lab[0].sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        for number in range(1 - -max(counts) // STATIC_MAX):
            lab[0].bridge(f"ovl{number}", address="172.20.101.1/16" if number == 0 else None)
        for _ in range(rounds):
            for count, taken in found.items():
                taken.append(take(lab[0], kind, count))
    return {count: ({what: medians([costs[what] for costs, _ in taken]) for what in taken[0][0]}, medians([sizes for _, sizes in taken]))
            for count, taken in found.items()}
