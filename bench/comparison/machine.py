# SPDX-License-Identifier: MIT
"""What a run ran on, and with which versions."""
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import time

from lab.daemon import build_folder

QUIET = 0.15  # share of all processors
FLAGS = ("avx2", "vaes", "avx512f", "avx512ifma", "avx512_vbmi2")


def first_line(*argv):
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10, check=False)
        return next((line.strip() for line in done.stdout.splitlines() if line.strip()), "unknown")
    except (OSError, subprocess.TimeoutExpired):
        return "not installed"


def build_kind():
    """Optimisation and sanitizers of the build, and whether they are those of a release."""
    try:
        entries = json.loads((build_folder() / "meson-info" / "intro-buildoptions.json").read_text())
        got = {entry["name"]: entry["value"] for entry in entries}
    except (OSError, ValueError):
        return "unknown build", False
    text = f"-O{got['optimization']}, sanitizers: {got['b_sanitize']}, coverage: {'on' if got['b_coverage'] else 'off'}"
    return text, got["optimization"] in "23" and got["b_sanitize"] == "none" and not got["b_coverage"]


def describe():
    info = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    cpu, flags = re.search(r"^model name\s*:\s*(.*)$", info, re.M), re.search(r"^flags\s*:\s*(.*)$", info, re.M)
    build, release = build_kind()
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "flags": [flag for flag in FLAGS if flags and flag in flags.group(1).split()],
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "ovltund": f"{first_line(build_folder() / 'ctl' / 'ovltund', '--version')} ({build})",
        "aead": os.environ.get("OVLTUN_AEAD", "chosen by ovltund"),
        "release": release,
        "iperf3": first_line("iperf3", "--version"),
    }


def ticks():
    """Of all processors since they were started: busy, and in all."""
    head = pathlib.Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0]
    counted = [int(word) for word in head.split()[1:9]]
    return sum(counted) - counted[3] - counted[4], sum(counted)


def busy(seconds):
    """The busy share of all processors for so long."""
    before = ticks()
    time.sleep(seconds)
    used, everything = (new - old for old, new in zip(before, ticks()))
    return used / everything if everything else 0.0


def await_quiet(seconds):
    """Waits until the machine is quiet, at most so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and busy(0.5) >= QUIET:
        pass


def foreign(results):
    """The machine's busy share while a ping was all that a run did, the median: others' work, nearly all of it."""
    shares = [one["idle_busy"] for ways in results.values() for rounds in ways.values() for one in rounds if "idle_busy" in one]
    return statistics.median(shares) if shares else None


def quietness(results):
    """A line about that, and whether the run may be published."""
    share = foreign(results)
    if share is None:
        return "whether other work ran beside it was not measured", True
    if share < QUIET:
        return f"the machine was quiet: {share * 100:.0f} % busy while a ping was all that ran", True
    return (f"other work ran beside this: the machine was {share * 100:.0f} % busy while a ping was all that ran; "
            "publish nothing of it"), False


def version(program):
    """What a rival calls itself, and the Debian package it came in where the system has it."""
    for option in ("--version", "-version"):
        line = first_line(program, option)
        if re.search(r"\d", line) and not re.search(r"unknown|illegal|invalid|not defined", line, re.I):
            return line
    return "unknown version"


def lines(about):
    yield "processor", f"{about['cpu']}, {about['cores']} cores ({' '.join(about['flags'])}), load {about['load']:.1f} before"
    yield "kernel", about["kernel"]
    yield "versions", f"{about['ovltund']}, AEAD {about['aead']}; {about['iperf3']}"
    yield "placement", ("nothing is pinned: senders, receivers, daemons and the kernel's share all run on these cores, "
                        "so a rate is what all of them together cost")
    if not about["release"]:
        yield "WARNING", "this is not a release build: its figures say little"
