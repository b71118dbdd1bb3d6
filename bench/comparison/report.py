# SPDX-License-Identifier: MIT
"""Results as one page that needs nothing but a browser."""
import html
import statistics

from comparison import machine, plots
from comparison.metrics import METRICS, TCP_FLOWS, UDP_FLOWS, UDP_SIZES
from comparison.tables import bases, column, groups, ratio, spread

# Which colour a way has; the product stands out, kin share a hue.
COLOURS = {
    "veth": ("#8a8a8a", "#9a9a9a"), "vxlan": ("#5f6b7a", "#b6c2d0"),
    "routed-uring": ("#0b6e4f", "#2fd39b"), "routed-poll": ("#49a97f", "#8ae6bf"),
    "routed-avx2": ("#0b8f8f", "#3fd0d0"), "routed-normal": ("#7a8f86", "#a9bfb5"), "routed-polling": ("#4f7f00", "#9fd02f"),
    "routed-2w": ("#2f8f3f", "#5fd073"), "routed-4w": ("#7fae2e", "#b7e05f"),
    "bridged-uring": ("#1f5fbf", "#66a3ff"), "bridged-poll": ("#7aa6e6", "#a9cbff"),
    "interop": ("#b58900", "#e6c34d"),
    "wireguard-go": ("#b02a37", "#ff7a85"), "wireguard-go-stable": ("#dd8b93", "#ffb8be"),
    "nebula": ("#7b3fa0", "#c58bec"), "nebula-aes": ("#b48acb", "#dcc0ee"),
    "fastd": ("#a65d1e", "#eda15c"), "openvpn": ("#c98a4b", "#f3c899"), "tinc": ("#6d5a4a", "#bca893"),
}
STYLE = """
:root { --ink: #1b1f24; --soft: #59636e; --paper: #ffffff; --rule: #d8dee4; --shade: #f5f7f9; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaee; --soft: #9aa5b1; --paper: #14171b; --rule: #353c44; --shade: #1d2228; } }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1040px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { margin-top: 2.6rem; border-bottom: 2px solid var(--rule); }
h3 { margin: 1.6rem 0 .4rem; } p.lead { color: var(--soft); margin-top: 0; }
.warning { background: #fff3cd; color: #5c4400; padding: .5rem .8rem; border-radius: 4px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; margin: .4rem 0 1rem; }
th, td { text-align: right; padding: 3px 9px; border-bottom: 1px solid var(--rule); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; } td.wrap { white-space: normal; text-align: left; }
thead th { background: var(--shade); } td small { color: var(--soft); }
figure { margin: .6rem 0 1.2rem; } figcaption { font-weight: 600; margin-bottom: .2rem; }
.grid2 { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 0 1.2rem; }
svg { max-width: 100%; height: auto; } svg text { font: 11.5px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink); }
svg .tick, svg .value { fill: var(--soft); } svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .whisker, svg .middle { stroke: var(--ink); stroke-width: 1.6; } svg .mean { fill: var(--ink); }
svg .curve { fill: none; stroke-width: 2; } details summary { cursor: pointer; color: var(--soft); }
"""
QUANTILES = ("The box holds the middle half, the line 1 to 99 %, the tick is the median, the dot the mean; "
             "the figures are median · p99.")


def escape(text):
    return html.escape(str(text))


def colours():
    rules = []
    for at, opened, closed in ((0, "", ""), (1, "@media (prefers-color-scheme: dark) {", "}")):
        rules.append(opened)
        for key, pair in COLOURS.items():
            rules.append(f".bar.{key}, .dot.{key} {{ fill: {pair[at]} }} .curve.{key} {{ stroke: {pair[at]} }}")
        rules.append(closed)
    return "\n".join(rules)


def table(heads, rows):
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{text}</td>" for text in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure(caption, drawing, note=""):
    return f"<figure><figcaption>{escape(caption)}</figcaption>{f'<small>{note}</small>' if note else ''}{drawing}</figure>"


def cell(values, form):
    middle, _, rest = spread(values, form).partition(" ")
    return f"<b>{middle}</b> <small>{rest}</small>"


class Page:
    def __init__(self, run):
        self.run = run
        self.names = {key: way["name"] for key, way in run["ways"].items()}
        self.parts = []

    def add(self, *parts):
        self.parts += parts

    def rows(self, results, metric):
        return [(self.names[key], key, column(rounds, metric)) for key, rounds in results.items()]

    def head(self):
        run = self.run
        self.add("<h1>ovltund next to other tunnels</h1>",
                 f'<p class="lead">{escape(run["date"])} · {run["rounds"]} alternated rounds · '
                 f'{run["seconds"]:g} s a TCP measurement, {run["udp_seconds"]:g} s a UDP one · '
                 f'load {run["load_after"]:.1f} after</p>')
        if run["quick"]:
            self.add('<p class="warning">A quick run: one short round. It shows that things work, not who is ahead.</p>')
        quiet, may = machine.quietness(run["results"])
        self.add(f"<p class='{'' if may else 'warning'}'>{escape(quiet[0].upper() + quiet[1:])}.</p>")
        told = [(head, text) for head, text in machine.lines(run["machine"])]
        for head, text in told:
            if head == "WARNING":
                self.add(f'<p class="warning">{escape(text)}</p>')
        self.add(table(("", ""), [(escape(head), f'<span style="white-space:normal;float:left;text-align:left">{escape(text)}'
                                   "</span>") for head, text in [*told, ("command", run["command"])] if head != "WARNING"]))
        self.add("<h3>The ways between the two containers</h3>", table(
            ("way", "layer", "cipher", "containers' MTU", "version"),
            [(f"<b>{escape(way['name'])}</b><br><small>{escape(way['about'])}</small>", f"L{way['layer']}", escape(way["cipher"]),
              escape("/".join(str(mtu) for mtu in dict.fromkeys(way["mtus"]))), self.version(way))
             for way in run["ways"].values()]))

    @staticmethod
    def version(way):
        text = way["version"] or way["said"]
        return f'<span style="display:inline-block;white-space:normal;max-width:330px">{escape(text)}</span>'

    def throughput(self, results):
        drawn = []
        for flows in TCP_FLOWS:
            for suffix, towards in (("", "towards the second host"), ("_back", "towards the first")):
                metric = f"tcp{flows}{suffix}"
                if any(column(rounds, metric) for rounds in results.values()):
                    caption = f"TCP, {flows} flow{'s' if flows > 1 else ''}, {towards}"
                    drawn.append(figure(caption, plots.bars(caption, "Gbit/s", self.rows(results, metric))))
        if drawn:
            self.add("<h3>Throughput</h3>", '<div class="grid2">', *drawn, "</div>")

    def packets(self, results):
        heads = ["IMIX" if size == "imix" else f"{size} B" for size in UDP_SIZES]
        for flows in UDP_FLOWS:
            series = []
            for key, rounds in results.items():
                points = [column(rounds, f"udp{flows}_{size}") for size in UDP_SIZES]
                series.append((self.names[key], key, [statistics.median(one) if one else None for one in points]))
            measured = [i for i in range(len(heads)) if any(points[i] for _, _, points in series)]
            caption = f"UDP datagrams received, {flows} flow{'s' if flows > 1 else ''}"
            if len(measured) == 1:
                metric = f"udp{flows}_{UDP_SIZES[measured[0]]}"
                self.add(figure(f"{caption}, {heads[measured[0]]}", plots.bars(caption, "thousands a second",
                                                                              self.rows(results, metric), 980)))
            elif measured:
                cut = [(name, key, [points[i] for i in measured]) for name, key, points in series]
                self.add(figure(caption, plots.lines(caption, "kpps", [heads[i] for i in measured],
                                                     sum(UDP_SIZES[i] != "imix" for i in measured), cut),
                                "Thousands a second, medians; the scale is logarithmic."))

    def trips(self, results):
        for name, caption in (("idle", "Round trip, nothing else on the way"), ("loaded", "Round trip beside four TCP flows")):
            rows = [(self.names[key], key, [ms for one in rounds for ms in one.get(f"{name}_all", [])])
                    for key, rounds in results.items()]
            if any(samples for _, _, samples in rows):
                self.add(figure(caption, plots.distributions(caption, "ms", rows), QUANTILES))

    def processes(self, results):
        """Who used the processor: each daemon, in user space and in its system calls."""
        for flows in TCP_FLOWS:
            rows = []
            for key, rounds in results.items():
                taken = column(rounds, f"tcp{flows}_processes")
                for at in range(len(taken[0]["daemons"]) if taken else 0):
                    share = {kind: statistics.median([one["daemons"][at][kind] / one["bytes"] * 1e9 for one in taken])
                             for kind in ("user", "system")}
                    daemon = taken[0]["daemons"][at]
                    side = "sends" if at == 0 else "receives"
                    rows.append((escape(self.names[key]), escape(f"{daemon['program']} on {daemon['host']}, {side}"),
                                 f"{share['user']:.2f}", f"{share['system']:.2f}", f"{share['user'] + share['system']:.2f}"))
            if rows:
                self.add(f"<h3>Processor time per process, TCP, {flows} flow{'s' if flows > 1 else ''}, s/GB</h3>",
                         table(("way", "process", "user space", "kernel", "both"), rows))

    def tables(self, results):
        for heading, metrics in groups(results).items():
            unit = METRICS[metrics[0]].unit
            rows = [(escape(self.names[key]), *(cell(column(rounds, metric), METRICS[metric].form) for metric in metrics))
                    for key, rounds in results.items() if any(column(rounds, metric) for metric in metrics)]
            self.add(f"<h3>{escape(heading)}{', ' + escape(unit) if unit else ''}</h3>",
                     table(("", *(METRICS[metric].head for metric in metrics)), rows))
            self.ratios(results, [metric for metric in metrics if METRICS[metric].higher is not None])

    def ratios(self, results, metrics):
        for base in bases(results):
            compared = [metric for metric in metrics if column(results[base], metric)]
            if not compared:
                continue
            rows = []
            for key, rounds in results.items():
                ratios = [ratio(column(rounds, metric), column(results[base], metric)) for metric in compared]
                if any(ratios):
                    rows.append((escape(self.names[key]), *("–" if one is None else f"{one:.2f}" for one in ratios)))
            better = "more" if METRICS[compared[0]].higher else "less"
            self.add(f"<details><summary>over that of {escape(self.names[base])} ({better} is better)</summary>",
                     table(("", *(METRICS[metric].head for metric in compared)), rows), "</details>")

    def whole(self):
        self.head()
        for label, results in self.run["results"].items():
            if any(results.values()):
                self.add(f"<h2>Underlay: {escape(self.run['passes'][label])}</h2>")
                self.throughput(results)
                self.packets(results)
                self.trips(results)
                self.tables(results)
                self.processes(results)
        if self.run["faults"]:
            self.add("<h2>Not measured</h2><ul>", *(f"<li>{escape(fault)}</li>" for fault in self.run["faults"]), "</ul>")
        return "\n".join(self.parts)


def page(run):
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>ovltund next to other tunnels</title>\n'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}{colours()}</style></head><body>\n'
            f"{Page(run).whole()}\n</body></html>\n")
