# SPDX-License-Identifier: MIT
"""What is done to a way, and the figures it gives, by the names in metrics."""
import contextlib
import json
import math
import re
import statistics
import subprocess
import typing

from lab import LabError, wait_for
from lab.daemon import build_folder

from comparison import machine
from comparison.metrics import TCP_FLOWS, UDP_FLOWS, UDP_SIZES

PING_S = 0.01
SETTLE_S = 0.3  # at either end of the flows no loaded round trip is taken
PATIENCE_S = 20  # beyond its length, for a measurement on an overloaded machine
UDP_PORT = 7000
LOADED = 4  # flows beside which round trips are taken


@contextlib.contextmanager
def background(namespace, argv):
    process = namespace.popen(argv)
    try:
        yield process
    finally:
        namespace.stop(process)
        namespace.processes.remove(process)
        process.stdout.close()


def iperf(way, seconds, *options):
    """Runs a client on the first container against a server on the second; returns its "end"."""
    with background(way.b, ["sh", "-c", "exec iperf3 -s -1 > /dev/null"]):
        wait_for(lambda: way.b.run("ss -Hltn sport = :5201"), 10, "iperf3 to listen")
        try:
            reply = json.loads(way.a.run(["iperf3", "-J", "-c", way.b.address, "-t", seconds, *options],
                                         check=False, timeout=seconds + PATIENCE_S))
        except (json.JSONDecodeError, subprocess.TimeoutExpired) as error:
            raise LabError(f"iperf3 {' '.join(options)}: {type(error).__name__}") from error
    if "error" in reply or "sum_received" not in reply.get("end", {}):
        raise LabError(f"iperf3 {' '.join(options)}: {reply.get('error', 'no result')}")
    return reply["end"]


def ping_argv(way, seconds):
    return ["ping", "-n", "-i", str(PING_S), "-c", str(max(int(seconds / PING_S), 20)), "-w", str(math.ceil(seconds + 2)),
            way.b.address]


def round_trips(text, name):
    """What ping's output says, as figures whose names begin with @name; every one of them, too."""
    times = [float(ms) for ms in re.findall(r"time=([\d.]+) ms", text)]
    sent = re.search(r"(\d+) packets transmitted", text)
    if not times or not sent:
        raise LabError("ping got no answer")
    ordered = sorted(times)
    return {f"{name}_mean": statistics.fmean(times), f"{name}_p50": statistics.median(times),
            f"{name}_p99": ordered[math.ceil(0.99 * len(times)) - 1], f"{name}_lost": int(sent.group(1)) - len(times),
            f"{name}_all": times}


def measure_idle(way, seconds):
    before = machine.ticks()
    figures = round_trips(way.a.run(ping_argv(way, seconds), check=False), "idle")
    busy, everything = (new - old for old, new in zip(before, machine.ticks()))
    return {**figures, "idle_busy": busy / everything if everything else 0.0}


def used(before, after):
    """What each daemon used between two looks at them."""
    return [{**new, "user": new["user"] - old["user"], "system": new["system"] - old["system"]}
            for old, new in zip(before, after)]


def total(processes):
    return sum(one["user"] + one["system"] for one in processes)


def measure_tcp(way, seconds, flows, back):
    """Beside four flows in the forward direction, pings."""
    name = f"tcp{flows}" + ("_back" if back else "")
    options = [*(["-P", str(flows)] if flows > 1 else []), *(["-R"] if back else [])]
    before, trips = way.processes(), {}
    if flows == LOADED and not back:
        # The shell waits until the client has begun, which it cannot say itself.
        argv = ["sh", "-c", f"sleep {2 * SETTLE_S}; exec \"$@\"", "ping", *ping_argv(way, seconds - 3 * SETTLE_S)]
        with background(way.a, argv) as ping:
            end = iperf(way, seconds, *options)
            trips = round_trips(ping.communicate(timeout=PATIENCE_S)[0], "loaded")
    else:
        end = iperf(way, seconds, *options)
    processes, received = used(before, way.processes()), end["sum_received"]
    figures = {name: received["bits_per_second"] / 1e9, f"{name}_retransmits": end["sum_sent"]["retransmits"], **trips}
    if way.per_byte and received["bytes"]:
        figures[f"{name}_ns"] = received["seconds"] / received["bytes"] * 1e9
    if processes and received["bytes"]:
        figures[f"{name}_cpu"] = total(processes) / received["bytes"] * 1e9
        figures[f"{name}_processes"] = {"bytes": received["bytes"], "daemons": processes}
    return figures


def datagrams_reached(container):
    """UDP datagrams that came into a container: read by its sockets, or lost before them."""
    names, values = (line.split() for line in container.run("cat /proc/net/snmp").splitlines() if line.startswith("Udp:"))
    counted = dict(zip(names, values))
    return int(counted["InDatagrams"]) + int(counted["InErrors"])


def measure_udp(way, seconds, flows, size):
    """Datagrams that arrive, when as many are sent as the sender can."""
    name, program = f"udp{flows}_{size}", build_folder() / "bench" / "udp_load"
    before, reached = way.processes(), datagrams_reached(way.b)
    with background(way.b, [program, "receive", UDP_PORT, seconds + 3]) as receiver:
        if receiver.stdout.readline() != "ready\n":
            raise LabError("the receiver of UDP does not start")
        sent = json.loads(way.a.run([program, "send", way.b.address, UDP_PORT, seconds, flows, size],
                                    timeout=seconds + PATIENCE_S))
        got = json.loads(receiver.communicate(timeout=PATIENCE_S + seconds)[0])
    if got["datagrams"] < 100 or not got["seconds"]:
        raise LabError(f"of {sent['datagrams']} datagrams {got['datagrams']} arrived")
    processes, lasted = used(before, way.processes()), got["seconds"]
    figures = {name: got["datagrams"] / lasted / 1e3, f"{name}_sent": sent["datagrams"] / sent["seconds"] / 1e3,
               f"{name}_reached": (datagrams_reached(way.b) - reached) / lasted / 1e3,
               f"{name}_reordered": got["reordered"]}
    if processes:
        figures[f"{name}_cpu"] = total(processes) / got["datagrams"] * 1e6
    return figures


def measure_memory(way, _seconds):
    sizes = way.resident()
    return {"rss": sizes[0], "rss_all": sizes} if sizes else {}


class Measure(typing.NamedTuple):
    label: str
    seconds: str  # which option says how long; "" takes no time
    run: typing.Callable


def _all():
    yield "idle", Measure("round trip", "seconds", measure_idle)
    for flows in TCP_FLOWS:
        for suffix, back in (("", False), ("-back", True)):
            label = f"TCP, {flows} flow{'s' if flows > 1 else ''}{', back' if back else ''}"
            yield f"tcp{flows}{suffix}", Measure(label, "seconds", lambda way, s, f=flows, b=back: measure_tcp(way, s, f, b))
    for flows in UDP_FLOWS:
        for size in UDP_SIZES:
            label = f"UDP, {'IMIX' if size == 'imix' else size + ' bytes'}, {flows} flow{'s' if flows > 1 else ''}"
            yield f"udp{flows}-{size}", Measure(label, "udp_seconds",
                                                lambda way, s, f=flows, z=size: measure_udp(way, s, f, z))
    yield "memory", Measure("memory", "", measure_memory)


MEASURES = dict(_all())
