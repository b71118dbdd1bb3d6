# SPDX-License-Identifier: MIT
"""The figures a measure gives: what they are called and counted in, and which way is better."""
import typing

TCP_FLOWS = (1, 4, 16)
UDP_FLOWS = (1, 64)
# Bytes of UDP payload; the last makes a packet of 1400 bytes, which every tunnel here carries whole.
UDP_SIZES = ("64", "128", "256", "512", "1024", "1372", "imix")


class Metric(typing.NamedTuple):
    group: str
    head: str
    unit: str
    form: str
    higher: typing.Optional[bool]  # is better; None: neither


def tcp_metrics():
    for flows in TCP_FLOWS:
        for suffix, arrow in (("", ""), ("_back", " back")):
            head = f"TCP {flows}{arrow}"
            yield f"tcp{flows}{suffix}", Metric("TCP", head, "Gbit/s", "{:.2f}", True)
            yield f"tcp{flows}{suffix}_cpu", Metric("TCP, processor time of both daemons", head, "s/GB", "{:.2f}", False)
            yield f"tcp{flows}{suffix}_ns", Metric("TCP, time a byte, all programs sharing the processors", head, "ns", "{:.3f}", False)
            yield f"tcp{flows}{suffix}_retransmits", Metric("TCP, segments sent again", head, "", "{:.0f}", None)


def udp_metrics():
    for flows in UDP_FLOWS:
        some = "1 flow" if flows == 1 else f"{flows} flows"
        for size in UDP_SIZES:
            head = "IMIX" if size == "imix" else f"{size} B"
            yield f"udp{flows}_{size}", Metric(f"UDP, {some}, received", head, "kpps", "{:.1f}", True)
            yield f"udp{flows}_{size}_reached", Metric(f"UDP, {some}, reached the container", head, "kpps", "{:.1f}", None)
            yield f"udp{flows}_{size}_cpu", Metric(f"UDP, {some}, processor time of both daemons", head, "µs/packet",
                                                   "{:.1f}", False)
            yield f"udp{flows}_{size}_reordered", Metric(f"UDP, {some}, out of order", head, "", "{:.0f}", None)


def trip_metrics():
    for name, head, form in (("idle", "idle", "{:.3f}"), ("loaded", "under 4 TCP flows", "{:.2f}")):
        for what in ("mean", "p50", "p99"):
            yield f"{name}_{what}", Metric("Round trip", f"{head}, {what}", "ms", form, False)
        yield f"{name}_lost", Metric("Pings lost", head, "", "{:.0f}", None)


METRICS = dict([*tcp_metrics(), *udp_metrics(), *trip_metrics(),
                ("rss", Metric("Memory", "sending host's daemon", "MB", "{:.1f}", False))])
