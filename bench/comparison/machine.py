# SPDX-License-Identifier: MIT
"""What a run ran on, and with which versions."""
import json
import os
import pathlib
import platform
import re
import subprocess

from lab.daemon import build_folder

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
    if about["load"] > 0.7:
        yield "WARNING", "the machine is busy with other things: compare with care, publish nothing"
