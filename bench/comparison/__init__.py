# SPDX-License-Identifier: MIT
"""The comparison that bench/run makes.

ways       hosts, containers and what joins them: veth, VXLAN, ovltund
rivals     the other tunnels
newest     Debian's newest packages of some of them, in a cache
measures   what is done to a way, and the figures it gives
metrics    the figures: names, units, which way is better
scale      daemons of many peers and routes
control    what it costs to change and to show them
machine    what it ran on, and with which versions
tables     results on a terminal
plots      SVG
report     results as a page
noise      whether two sets of samples differ
"""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The hosts are those of the system tests.
sys.path.insert(0, str(ROOT / "tests" / "system"))
