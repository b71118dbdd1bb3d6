#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Says whether the files of a static library need each other in a circle: one_way.py LIBRARY."""
import collections
import re
import subprocess
import sys


def read_symbols(library):
    """Which file defines a symbol, and which symbols a file wants."""
    owner, wanted = {}, collections.defaultdict(set)
    text = subprocess.run(["nm", "-A", "-g", library], stdout=subprocess.PIPE, text=True, check=True).stdout
    for name, kind, symbol in re.findall(r"^.*?([^/:]+)\.o:[0-9a-f]* +(\w) (\S+)$", text, re.MULTILINE):
        if kind in "Uwv":
            wanted[name].add(symbol)
        else:
            owner[symbol] = name
    return owner, wanted


def find_circle(needs):
    """The names of one circle in order, or None."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name):] + [name]
        if name in done:
            return None
        path.append(name)
        for other in sorted(needs.get(name, ())):
            circle = visit(other)
            if circle:
                return circle
        done.add(path.pop())
        return None

    for name in sorted(needs):
        circle = visit(name)
        if circle:
            return circle
    return None


def main():
    owner, wanted = read_symbols(sys.argv[1])
    needs = {name: {owner[s] for s in symbols if owner.get(s, name) != name} for name, symbols in wanted.items()}
    if len(needs) < 2:
        sys.exit(f"{sys.argv[1]}: too few files to need each other: {sorted(needs)}")
    circle = find_circle(needs)
    if circle:
        sys.exit("a circle: " + " → ".join(circle))


if __name__ == "__main__":
    main()
