# SPDX-License-Identifier: MIT
"""Whether two sets of samples differ, or are noise.

Mann and Whitney's test: only the order of the samples counts, so one wild round does no more than
a slightly odd one. Exact, by counting all ways to deal the ranks, while that is cheap; with its
normal approximation, corrected for ties, beyond.
"""
import itertools
import math

EXACT = 16  # samples of both sides together


def ranks(values):
    """From 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and values[order[end + 1]] == values[order[at]]:
            end += 1
        for i in order[at:end + 1]:
            found[i] = (at + end) / 2 + 1
        at = end + 1
    return found


def exact(ranked, size):
    expected = size * (len(ranked) + 1) / 2
    seen = abs(sum(ranked[:size]) - expected)
    dealt = [abs(sum(hand) - expected) for hand in itertools.combinations(ranked, size)]
    return sum(one >= seen - 1e-9 for one in dealt) / len(dealt)


def approximate(ranked, size):
    other, both = len(ranked) - size, len(ranked)
    ties = sum(count ** 3 - count for count in (ranked.count(rank) for rank in set(ranked)))
    variance = size * other / 12 * ((both + 1) - ties / (both * (both - 1)))
    if variance <= 0:
        return 1.0
    distance = max(abs(sum(ranked[:size]) - size * (both + 1) / 2) - 0.5, 0)
    return math.erfc(distance / math.sqrt(2 * variance))


def probability(a, b):
    """How probable a difference at least as clear as this is between samples of one and the same thing."""
    if not a or not b:
        return 1.0
    ranked = ranks([*a, *b])
    return (exact if len(ranked) <= EXACT else approximate)(ranked, len(a))


def least(a, b):
    """The least probability() that so few samples can give."""
    return 2 / math.comb(len(a) + len(b), len(a))
