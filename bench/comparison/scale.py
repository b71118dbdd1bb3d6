# SPDX-License-Identifier: MIT
"""Many peers and routes: configurations of any size, what a daemon of one takes, and whether traffic feels it."""
import base64
import os
import pathlib
import re
import statistics
import time
import typing

from lab import Daemon, Lab, LabError, keypair, wait_for

from comparison import measures
from comparison.ways import PORT, Routed

KB = 1024
ROUTES_MAX = 1 << 20


def idle_peers(count, routes):
    """As text, with @routes prefixes dealt out among them: one in fifty lies beside the containers' own, the others elsewhere."""
    texts = []
    for peer in range(count):
        mine = range(peer * routes // count, (peer + 1) * routes // count)
        allowed = ", ".join(f"172.20.{128 + (i // 50 >> 8 & 127)}.{i // 50 & 255}/32" if i % 50 == 0 and i // 50 < 1 << 15
                            else f"10.{i >> 12 & 255}.{i >> 4 & 255}.{(i & 15) << 4}/28" for i in mine)
        # Any 32 bytes are a public key. Nothing is ever sent there: nobody asks for it.
        texts.append(f"\n[Peer]\nName = idle{peer}\nPublicKey = {base64.b64encode(os.urandom(32)).decode()}\n"
                     f"Endpoint = 10.10.10.{1 + peer % 99}:{1024 + peer % 60000}\n" + (f"AllowedIPs = {allowed}\n" if allowed else ""))
    return "".join(texts)


class Taken(typing.NamedTuple):
    """What a daemon takes; memory in bytes, times in seconds."""
    start: float
    rss: int
    pss: int
    locked: int
    show: float
    show_json: float
    reload: float
    peak: int  # resident, of all that
    rss_after: int


def memory(daemon):
    text = pathlib.Path(f"/proc/{daemon.process.pid}/smaps_rollup").read_text(encoding="utf-8")
    return [int(re.search(rf"^{name}:\s*(\d+) kB", text, re.M).group(1)) * KB for name in ("Rss", "Pss", "Locked")]


def timed(action):
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def peak(daemon):
    text = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"^VmHWM:\s*(\d+) kB", text, re.M).group(1)) * KB


class Quiet(Daemon):
    """Is not asked whether it is there: an answer takes memory. When it is ready it says what it is, at which time is @ready."""

    ready = None

    def answers(self):
        if not self.ready and ", UDP " in self.log:
            self.ready = self.log_path.stat().st_mtime
        return self.ready


def take(host, peers, routes):
    """Starts a daemon of @peers idle peers on @host, asks it, changes one of them, stops it."""
    text = (f"[Interface]\nPrivateKey = {keypair()[0]}\nListenPort = {PORT}\n"
            "[Network]\nBridge = ovl0\nRange = 172.20.101.0/24\n" + idle_peers(peers, routes))
    daemon = Quiet(host, text, start=False)
    try:
        begin = time.time()
        daemon.start(60)
        start = daemon.ready - begin
        wait_for(lambda: host.run("ip -br link show master ovl0"), 10, "the TAP to join its bridge")
        rss, pss, locked = memory(daemon)
        show = timed(lambda: daemon.ctl("show"))
        show_json = timed(lambda: daemon.ctl("show", "--json"))
        daemon.write(text.replace("Endpoint = 10.10.10.1:1024\n", "Endpoint = 10.10.10.1:1023\n", 1))
        reload = timed(lambda: daemon.ctl("reload"))
        return Taken(start, rss, pss, locked, show, show_json, reload, peak(daemon), memory(daemon)[0])
    finally:
        daemon.close()


def take_all(sizes, rounds):
    """The medians of each size, by (peers, routes)."""
    found = {size: [] for size in sizes}
    with Lab(1) as lab:
        lab[0].bridge("ovl0", address="172.20.101.1/16")
        for _ in range(rounds):
            for size, taken in found.items():
                taken.append(take(lab[0], *size))
    return {size: Taken(*(statistics.median(values) for values in zip(*taken))) for size, taken in found.items()}


class Sized(Routed):
    """Two daemons, each with so many idle peers beside the other one, and so many routes in all."""

    crowd = (0, 0)

    def config(self, keys, host):
        return super().config(keys, host) + idle_peers(*self.crowd)


def handled(daemon):
    """IP packets and their bytes from and to its containers."""
    network = daemon.show()["networks"][0]
    return {name: network[name] for name in ("tx_packets", "tx_bytes", "rx_packets", "rx_bytes")}


def cost(way, unit, measure, seconds):
    """
    Nanoseconds of processor time a @unit ("packets", "bytes"): the sending daemon's for each that its container gave,
    the receiving one's for each that it delivered. What was lost between them counts on neither side.
    """
    counted = [handled(daemon) for daemon in way.daemons]
    before = way.processes()
    measure(way, seconds)
    spent = measures.used(before, way.processes())
    total = 0.0
    for daemon, old, one, side in zip(way.daemons, counted, spent, ("tx", "rx")):
        number = handled(daemon)[f"{side}_{unit}"] - old[f"{side}_{unit}"]
        if number < 1000:
            raise LabError(f"{number} {unit} passed")
        total += measures.total([one]) / number * 1e9
    return total


def sized(key, crowd):
    """A way of its own, both of whose hosts have so many peers and routes beside each other's."""
    return type("Sized", (Sized,), {"key": key, "name": f"{crowd[0] + 1:,} peer{'s'[:crowd[0]]}, {crowd[1] + 1:,} route{'s'[:crowd[1]]}",
                                    "crowd": crowd})
