# SPDX-License-Identifier: MIT
"""Plots as SVG, written by hand. Colours and type come from the page's style sheet, by class."""
import html
import math
import statistics

ROW = 22
LEFT = 165


class Svg:
    def __init__(self, width, height, label):
        self.parts = [f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
                      f'aria-label="{html.escape(label)}">']

    def text(self, x, y, words, kind="", anchor="start"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{html.escape(words)}</text>')

    def line(self, x1, y1, x2, y2, kind):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

    def rect(self, x, y, width, height, kind, told=""):
        title = f"<title>{html.escape(told)}</title>" if told else ""
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" '
                          f'class="{kind}">{title}</rect>')

    def circle(self, x, y, radius, kind, told=""):
        title = f"<title>{html.escape(told)}</title>" if told else ""
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{kind}">{title}</circle>')

    def path(self, points, kind):
        words = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
        self.parts.append(f'<path d="{words}" class="{kind}"/>')

    def __str__(self):
        return "\n".join([*self.parts, "</svg>"])


def round_steps(most, wanted=5):
    """Round values from 0 to a little above @most, for an axis."""
    raw = most / wanted
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [step * i for i in range(math.ceil(most / step - 1e-9) + 1)]


def decades(least, most):
    """Ticks of a logarithmic axis that holds both: 1, 2, 5, 10 and so on, the outermost its ends."""
    ticks, power = [], math.floor(math.log10(least))
    while not ticks or ticks[-1] < most:
        for factor in (1, 2, 5):
            value = factor * 10.0 ** power
            if value <= least:
                ticks = [value]
            elif not ticks or ticks[-1] < most:
                ticks.append(value)
        power += 1
    return ticks


def plain(value):
    return f"{value:.10g}"


def bars(label, unit, rows, width=500):
    """@rows: (name, kind, samples). A bar to the median, a whisker from the least to the most."""
    rows = [row for row in rows if row[2]]
    ticks = round_steps(max(max(samples) for _, _, samples in rows))
    right, bottom = width - 60, len(rows) * ROW + 8
    svg = Svg(width, bottom + 34, label)
    place = lambda value: LEFT + (right - LEFT) * value / ticks[-1]  # noqa: E731
    for tick in ticks:
        svg.line(place(tick), 4, place(tick), bottom, "grid")
        svg.text(place(tick), bottom + 14, plain(tick), "tick", "middle")
    svg.text((LEFT + right) / 2, bottom + 30, unit, "tick", "middle")
    for i, (name, kind, samples) in enumerate(rows):
        middle, y = statistics.median(samples), 8 + i * ROW
        told = f"{name}: median {middle:.3g}, {min(samples):.3g} to {max(samples):.3g} {unit}, {len(samples)} rounds"
        svg.text(LEFT - 8, y + 12, name, "name", "end")
        svg.rect(LEFT, y + 1, place(middle) - LEFT, ROW - 7, f"bar {kind}", told)
        if len(samples) > 1:
            svg.line(place(min(samples)), y + ROW / 2 - 2.5, place(max(samples)), y + ROW / 2 - 2.5, "whisker")
        svg.text(place(max(samples)) + 6, y + 12, f"{middle:.3g}", "value")
    return str(svg)


def spread_labels(wanted, gap):
    """Moves label positions apart, keeping their order."""
    placed = {}
    last = -math.inf
    for y, name in sorted(wanted):
        last = max(y, last + gap)
        placed[name] = last
    return placed


def lines(label, unit, heads, joined, series, width=980, height=430):
    """@series: (name, kind, [median or None for each of @heads]); the axis is logarithmic.

    A curve goes through the first @joined points; the others stand alone.
    """
    values = [value for _, _, points in series for value in points if value]
    ticks = decades(min(values), max(values))
    left, right, top, bottom = 60, width - 200, 26, height - 46
    svg = Svg(width, height, label)
    across = lambda i: left + 20 + (right - left - 40) * (i / max(len(heads) - 1, 1))  # noqa: E731
    low, high = math.log(ticks[0]), math.log(ticks[-1])
    up = lambda value: bottom - (bottom - top) * (math.log(value) - low) / ((high - low) or 1)  # noqa: E731
    for tick in ticks:
        svg.line(left, up(tick), right, up(tick), "grid")
        svg.text(left - 6, up(tick) + 4, plain(tick), "tick", "end")
    for i, head in enumerate(heads):
        svg.text(across(i), bottom + 18, head, "tick", "middle")
    svg.text((left + right) / 2, bottom + 38, "UDP payload of a datagram", "tick", "middle")
    svg.text(left - 40, 11, unit, "tick")
    ends = []
    for name, kind, points in series:
        there = [(across(i), up(value), value) for i, value in enumerate(points) if value]
        if not there:
            continue
        svg.path([(x, y) for x, y, _ in there if x <= across(joined - 1)], f"curve {kind}")
        for x, y, value in there:
            svg.circle(x, y, 3, f"dot {kind}", f"{name}: {value:.3g} {unit}")
        ends.append((there[-1][1] + 4, name))
    for name, y in spread_labels(ends, 15).items():
        kind = next(kind for one, kind, _ in series if one == name)
        svg.circle(right + 8, y - 4, 4, f"dot {kind}")
        svg.text(right + 18, y, name, "name")
    return str(svg)


def quantile(ordered, share):
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def distributions(label, unit, rows, width=980):
    """@rows: (name, kind, samples): 1 to 99 % a thin line, the middle half a box, the median a tick, the mean a dot."""
    rows = [(name, kind, sorted(samples)) for name, kind, samples in rows if samples]
    ticks = decades(max(min(quantile(row[2], 0.01) for row in rows), 1e-3), max(quantile(row[2], 0.99) for row in rows))
    right, bottom = width - 70, len(rows) * ROW + 8
    svg = Svg(width, bottom + 34, label)
    low, high = math.log(ticks[0]), math.log(ticks[-1])

    def place(value):
        share = (math.log(max(value, ticks[0])) - low) / ((high - low) or 1)
        return LEFT + (right - LEFT) * min(share, 1)

    for tick in ticks:
        svg.line(place(tick), 4, place(tick), bottom, "grid")
        svg.text(place(tick), bottom + 14, plain(tick), "tick", "middle")
    svg.text((LEFT + right) / 2, bottom + 30, unit, "tick", "middle")
    for i, (name, kind, ordered) in enumerate(rows):
        y, mean = 8 + i * ROW, sum(ordered) / len(ordered)
        p1, p25, p50, p75, p99 = (quantile(ordered, share) for share in (0.01, 0.25, 0.5, 0.75, 0.99))
        told = (f"{name}: median {p50:.3g}, mean {mean:.3g}, half of them {p25:.3g} to {p75:.3g}, "
                f"99 % below {p99:.3g} {unit}; {len(ordered)} pings")
        svg.text(LEFT - 8, y + 12, name, "name", "end")
        svg.line(place(p1), y + 8, place(p99), y + 8, f"curve {kind}")
        svg.rect(place(p25), y + 2, place(p75) - place(p25), ROW - 10, f"bar {kind}", told)
        svg.line(place(p50), y, place(p50), y + ROW - 6, "middle")
        svg.circle(place(mean), y + 8, 3, "mean")
        svg.text(place(p99) + 6, y + 12, f"{p50:.3g} · {p99:.3g}", "value")
    return str(svg)
