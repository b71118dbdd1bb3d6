# SPDX-License-Identifier: MIT
"""Results as tables of text."""
import statistics

from comparison import machine
from comparison.metrics import METRICS

BASES = ("wireguard-go", "wireguard-go-stable", "vxlan")


def say(text=""):
    print(text, flush=True)


def column(rounds, metric):
    return [one[metric] for one in rounds if metric in one]


def table(heads, rows):
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    for row in (heads, None, *rows):
        if row is None:
            say("|" + "|".join("-" * (width + 2) for width in widths) + "|")
        else:
            say("| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |")


def spread(values, form):
    """Median, least and most."""
    if not values:
        return "–"
    middle, low, high = (form.format(f(values)) for f in (statistics.median, min, max))
    return middle if low == high else f"{middle} ({low}–{high})"


def ratio(own, other):
    if not own or not other or not statistics.median(other):
        return None
    return statistics.median(own) / statistics.median(other)


def telling(name, one):
    """Not: none of what is only counted, and as many datagrams at the container as at its program."""
    if name.endswith("_reached"):
        return one[name] > 1.01 * one[name.removesuffix("_reached")]
    return one[name] or METRICS[name].higher is not None


def groups(results):
    """Headings of tables, each with the metrics that any way has; what says nothing is left out."""
    present = {name for rounds in results.values() for one in rounds for name in one if name in METRICS and telling(name, one)}
    found = {}
    for name, metric in METRICS.items():
        if name in present:
            found.setdefault(metric.group, []).append(name)
    return found


def bases(results):
    """Whom to compare with: the newest wireguard-go there is, and VXLAN."""
    there = [key for key in BASES if key in results]
    return [key for key in there if not (key == "wireguard-go-stable" and "wireguard-go" in there)]


def tell_group(heading, metrics, names, results):
    unit = METRICS[metrics[0]].unit
    say(f"\n{heading}{', ' + unit if unit else ''}: median (least–most)\n")
    table(["", *(METRICS[metric].head for metric in metrics)],
          [[names[key], *(spread(column(rounds, metric), METRICS[metric].form) for metric in metrics)]
           for key, rounds in results.items() if any(column(rounds, metric) for metric in metrics)])


def tell_ratios(heading, metrics, names, results):
    for base in bases(results):
        compared = [metric for metric in metrics if METRICS[metric].higher is not None and column(results[base], metric)]
        if not compared:
            continue
        better = "more" if METRICS[compared[0]].higher else "less"
        say(f"\n{heading}, over that of {names[base]} ({better} is better)\n")
        rows = []
        for key, rounds in results.items():
            ratios = [ratio(column(rounds, metric), column(results[base], metric)) for metric in compared]
            if any(ratios):
                rows.append([names[key], *("–" if one is None else f"{one:.2f}" for one in ratios)])
        table(["", *(METRICS[metric].head for metric in compared)], rows)


def tell_results(run):
    names = {key: way["name"] for key, way in run["ways"].items()}
    for label, results in run["results"].items():
        if not any(results.values()):
            continue
        say(f"\n=== underlay: {label} ===")
        for heading, metrics in groups(results).items():
            tell_group(heading, metrics, names, results)
            tell_ratios(heading, metrics, names, results)
    for key, counted in run["counted"].items():
        text = ", ".join(f"{name} {value}" for name, value in sorted(counted.items()) if value)
        if text:
            say(f"\n{names[key]} counted {text}")
    quiet, may = machine.quietness(run["results"])
    say(f"\n{'' if may else 'WARNING: '}{quiet}")
    for fault in run["faults"]:
        say(f"NOT MEASURED: {fault}")
