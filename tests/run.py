#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the test suites of a tier and sums them up.

    tests/run.py [--tier ci|long] [--only SUITE[,SUITE…]] [--list]

A suite is a command with a budget, the most it takes on two processors that do nothing
else; one that takes thrice as long is ended. "ci" is what every change has to pass, in
under 15 minutes altogether; "long" is the same with every seed, hours of fuzzing,
sessions that live through their real two minutes, and mutants. What a machine lacks is
reported as skipped, with its reason. What is counted are cases: functions of a
C program, of Python's, or a program that has none. The last line is the sum.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = TOP / "build"

# A sanitizer's build takes longer to compile than to run; what it says wants lines, not variables. Less inlined, gcc
# takes texts that are cut off on purpose for mistakes.
QUICKLY = ["-Doptimization=1", "-Dc_args=['-g1', '-Wno-format-truncation']"]
ASAN = ["-Db_sanitize=address,undefined", *QUICKLY]
# Unit tests that have a kernel's or a timer's answer to wait for use half a processor.
WAITING = 2 * (os.cpu_count() or 1)


class Outcome:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def __add__(self, other):
        return Outcome(self.passed + other.passed, self.failed + other.failed,
                       self.skipped + other.skipped)

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count_cases(text, good):
    """Of a program that has ended, well or not: its cases, or itself where it tells of none (not cmocka)."""
    def told(word):
        return sum(map(int, re.findall(rf"^\[ *{word} *\] (?:\S+: )?(\d+) test\(s\)", text, re.MULTILINE)))

    outcome = Outcome(told("PASSED"), told("FAILED"), told("SKIPPED"))
    if good and not (outcome.passed or outcome.skipped):
        outcome.passed = 1
    if not good and not outcome.failed:
        # It ended in the middle, or a sanitizer found something behind the last case.
        outcome.failed = 1
    return outcome


def list_skipped(name, text):
    """What was skipped in a program that ended well, and why."""
    cases = re.findall(r"^\[ *SKIPPED *\] (?!(?:\S+: )?\d+ test\(s\))(.+)$", text, re.MULTILINE)
    reasons = dict.fromkeys(re.findall(r"^skipped: (.+)$", text, re.MULTILINE))
    for case in dict.fromkeys(cases):
        print(f"    skipped: {name}: {case}" + (f" ({'; '.join(reasons)})" if reasons else ""))


def run(command, seconds, **kwargs):
    """True if the command ended well within that time."""
    try:
        return subprocess.run(command, timeout=seconds, cwd=TOP, check=False, **kwargs).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"    ended after {seconds} s: {' '.join(map(str, command))}", flush=True)
        return False


def introspect(folder, what):
    return json.loads(subprocess.run(["meson", "introspect", what, str(folder)], cwd=TOP, check=True,
                                     stdout=subprocess.PIPE, text=True).stdout)


def programs_of(folder, suites, names):
    """The targets that those tests run, for a folder that is there for nothing else."""
    targets = {os.path.relpath(file, folder) for target in introspect(folder, "--targets")
               for file in target["filename"]}
    words = {word for test in introspect(folder, "--tests")
             if test["name"] in names or {s.split(":")[-1] for s in test["suite"]} & set(suites)
             for word in test["cmd"]}
    return sorted(targets & {os.path.relpath(folder / word, folder) for word in words})


def build(folder, options=(), compiler=None, suites=(), names=(), targets=()):
    """Sets the folder up when it is new, and builds all, or what those tests need, or @targets. None, or what went wrong."""
    environment = dict(os.environ, **({"CC": compiler} if compiler else {}))
    if not (folder / "build.ninja").exists():
        if not run(["meson", "setup", str(folder), "-Dwerror=true", *options], 300,
                   env=environment, stdout=subprocess.DEVNULL):
            return f"meson setup {folder.name} failed"
    command = ["ninja", "-C", str(folder), *(targets or programs_of(folder, suites, names))]
    if not run(command, 900, env=environment, stdout=subprocess.DEVNULL):
        run(command, 900, env=environment)
        return f"ninja -C {folder.name} failed"
    return None


def meson_tests(folder, suites, seconds, options=(), names=(), compiler=None, wrap=None, alone=False, at_once=None):
    """@alone: nothing else is run from that folder, so nothing else is built in it. @at_once: how many, not as many as processors."""
    problem = build(folder, options, compiler, *((suites, names) if alone else ()))
    if problem:
        print("    " + problem)
        return Outcome(failed=1)
    command = ["meson", "test", "-C", str(folder), "--no-rebuild", "--print-errorlogs", "--quiet"]
    for suite in suites:
        command += ["--suite", suite]
    if at_once:
        command += ["--num-processes", str(at_once)]
    if wrap:
        command += ["--wrap", wrap, "--timeout-multiplier", "5"]
    log = folder / "meson-logs" / ("testlog-valgrind.json" if wrap else "testlog.json")
    log.unlink(missing_ok=True)
    run(command + list(names), seconds)
    outcome = Outcome()
    if not log.exists():
        print(f"    {folder.name}: no test ran")
        return Outcome(failed=1)
    for line in log.read_text().splitlines():
        test = json.loads(line)
        said = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
        if test["result"] in ("OK", "EXPECTEDFAIL"):
            outcome += count_cases(said, True)
            list_skipped(test["name"], said)
        elif test["result"] == "SKIP":
            outcome.skipped += 1
            print(f"    skipped: {test['name']}: {said.strip()[-200:]}")
        else:
            outcome += count_cases(said, False)
            print(f"    {test['result']}: {test['name']}")
    return outcome


def program(command, seconds):
    """One test program, with what it says kept for its count."""
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        good = run(command, seconds, stdout=said, stderr=subprocess.STDOUT)
        said.seek(0)
        text = said.read()
    if not good:
        print(text[-4000:])
    return count_cases(text, good)


def pytest(paths, seconds, *options, environment=None):
    report = BUILD / "pytest.xml"
    report.unlink(missing_ok=True)
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", f"--junitxml={report}",
               *options, *paths]
    run(command, seconds, env={**os.environ, "OVLTUN_BUILD": str(BUILD), "PYTHONDONTWRITEBYTECODE": "1",
                               **(environment or {})})
    if not report.exists():
        return Outcome(failed=1)
    root = xml.etree.ElementTree.parse(report).getroot()
    outcome = Outcome()
    for suite in root.iter("testsuite"):
        total, skipped = int(suite.get("tests")), int(suite.get("skipped"))
        failed = int(suite.get("failures")) + int(suite.get("errors"))
        outcome += Outcome(total - failed - skipped, failed, skipped)
    return outcome


def unit(tier, seconds):
    outcome = meson_tests(BUILD, ["unit", "vectors"], seconds, at_once=WAITING)
    if tier == "long" and not outcome.failed:
        # pitfall_21: 10,000 starts and stops. Where it is skipped (77), it was above too.
        worker = BUILD / "tests" / "unit" / "test_worker"
        outcome += program(["sh", "-c", f"{worker} 10000 10000 || test $? = 77"], seconds)
    return outcome


def whole_daemons(folder, seconds):
    """Daemons of a build that is made for tests with threads, and all that can happen to them."""
    problem = build(folder, targets=["ctl/ovltund", "ctl/ovlctl"])
    if problem:
        print("    " + problem)
        return Outcome(failed=1)
    return pytest(["tests/system/test_workers.py", "tests/system/test_sync.py"], seconds,
                  "-k", "everything_at_once or unchanged_peers_lose_nothing", "-n2",
                  environment={"OVLTUN_BUILD": str(folder)})


def sanitizers(tier, seconds):
    tsan = TOP / "build-tsan"
    return (meson_tests(TOP / "build-asan", ["unit", "vectors"], seconds, ASAN, at_once=WAITING)
            + meson_tests(tsan, [], seconds, ["-Db_sanitize=thread", *QUICKLY], THREADED, alone=True, at_once=WAITING)
            + whole_daemons(tsan, seconds))


def valgrind(tier, seconds):
    """Over all that handles keys; the rest of the unit tests in the long tier."""
    suites = ["crypto", "ctl"] + (["dataplane", "vectors"] if tier == "long" else [])
    return meson_tests(BUILD, suites, seconds, wrap="valgrind -q --error-exitcode=9 --leak-check=full "
                       "--errors-for-leak-kinds=definite", at_once=WAITING)


def sim(tier, seconds):
    if tier == "ci":
        return meson_tests(TOP / "build-asan", ["sim"], seconds, ASAN)
    problem = build(BUILD)
    if problem:
        print("    " + problem)
        return Outcome(failed=1)
    return (program([BUILD / "tests" / "sim" / "test_sim", "10000"], seconds)
            + program([BUILD / "tests" / "sim" / "test_sim_bridged", "10000"], seconds)
            + program([BUILD / "tests" / "sim" / "sim_scale", "200", "20000"], seconds))


def system(tier, seconds):
    problem = build(BUILD)
    if problem:
        print("    " + problem)
        return Outcome(failed=1)
    # Many at a time: a lab mostly waits, and its names are its own. Those of the long tier load the processors more.
    return pytest(["tests/system"], seconds, f"--tier={tier}", "-n6" if tier == "ci" else "-n4", "--dist=loadgroup")


def fuzz(tier, seconds):
    each = 20 if tier == "ci" else 3600
    return meson_tests(TOP / f"build-fuzz-{tier}", ["fuzz"], seconds,
                       ["-Dfuzz=true", f"-Dfuzz_seconds={each}", "-Db_sanitize=address,undefined",
                        "-Doptimization=2", "-Dc_args=-g1"], compiler="clang", alone=True)


def mutants(_tier, seconds):
    if os.uname().machine != "x86_64":
        print("    skipped: there are no kernels of our own but for x86_64")
        return Outcome(skipped=1)
    return meson_tests(BUILD, ["mutants"], seconds)


# How many times its budget a suite may take where the processors have other things to do.
PATIENCE = 3

# Tests with threads of their own, for TSan.
THREADED = ["session", "quiesce", "index", "recorder", "ring", "worker", "apply"]

# name, what it is, function, budget in seconds for ci (None: it is not of this tier) and long
SUITES = [
    ("unit", "unit tests and known answers", unit, 40, 120),
    ("sanitizers", "the same under ASan and UBSan, threads and whole daemons under TSan", sanitizers, 150, 660),
    ("valgrind", "what handles keys (ci) or all unit tests (long), under valgrind", valgrind, 40, 900),
    ("sim", "engines in memory under a virtual clock", sim, 30, 1800),
    ("fuzz", "each target from its corpus, with a floor of coverage", fuzz, 210, 40000),
    ("mutants", "the AEAD's kernels, broken in one place after the other: a test notices each", mutants, None, 300),
    ("system", "hosts, containers, Docker engines and stock peers", system, 260, 2400),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tier", choices=("ci", "long"), default="ci")
    parser.add_argument("--only", help="names of suites, separated by commas")
    parser.add_argument("--list", action="store_true", help="show the suites and their budgets")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else [s[0] for s in SUITES]
    unknown = set(chosen) - {s[0] for s in SUITES}
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(s[0] for s in SUITES)}")

    budgets = {name: ci if options.tier == "ci" else long for name, _, _, ci, long in SUITES}
    absent = [name for name in chosen if budgets[name] is None]
    if options.only and absent:
        parser.error(f"not of the tier {options.tier}: {', '.join(absent)}")

    total = Outcome()
    for name, what, function, _, _ in SUITES:
        budget = budgets[name]
        if name not in chosen or budget is None:
            continue
        if options.list:
            print(f"{name:12} {budget:6} s  {what}")
            continue
        print(f"== {name}: {what} (budget {budget} s)", flush=True)
        start = time.monotonic()
        outcome = function(options.tier, PATIENCE * budget)
        print(f"   {name}: {outcome}, {time.monotonic() - start:.0f} s of {budget} s", flush=True)
        total += outcome
    if not options.list:
        print(total)
    return 1 if total.failed or not (total.passed or options.list) else 0


if __name__ == "__main__":
    sys.exit(main())
