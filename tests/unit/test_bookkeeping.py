#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tests' own books: what tests/run.py counts, and that every pitfall has its test.

    test_bookkeeping.py TOP LIBRARY…
"""
import importlib.util
import pathlib
import re
import subprocess
import sys

PITFALLS = 35  # of the list in docs/protocol.md

GOOD = """\
[==========] Running 3 test(s).
[ RUN      ] one
[       OK ] one
[ RUN      ] two
skipped: no such thing here
[  SKIPPED ] two
[ RUN      ] three
[       OK ] three
[==========] 3 test(s) run.
[  PASSED  ] 2 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] two

 1 SKIPPED TEST(S)
"""
BAD = """\
[==========] rows: 4 test(s) run.
[  PASSED  ] 2 test(s).
[  FAILED  ] rows: 2 test(s), listed below:
[  FAILED  ] one
"""


def load_run(top):
    spec = importlib.util.spec_from_file_location("run", top / "tests" / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(module)
    return module


def counts_cases(run):
    rows = (
        (GOOD, True, (2, 0, 1)),
        (GOOD + GOOD, True, (4, 0, 2)),  # two groups
        (GOOD, False, (2, 1, 1)),  # a sanitizer's word at the end
        (BAD, False, (2, 2, 0)),
        ("no word of cmocka's", True, (1, 0, 0)),
        ("[==========] Running 3 test(s).\n[ RUN      ] one\n", False, (0, 1, 0)),  # a crash
        ("[  SKIPPED ] 1 test(s), listed below:\n", True, (0, 0, 1)),
    )
    for text, good, wanted in rows:
        outcome = run.count_cases(text, good)
        if (outcome.passed, outcome.failed, outcome.skipped) != wanted:
            yield f"counted {outcome}, not {wanted}: {text!r}"
    last = str(run.Outcome(1, 2, 3))
    if last != "1 passed, 2 failed, 3 skipped":
        yield f"the last line is {last!r}"


def read_tests(top):
    files = [f for f in (top / "tests").rglob("*") if f.suffix in (".c", ".py") and f.name != pathlib.Path(__file__).name]
    return {file: file.read_text() for file in sorted(files)}


def names_every_pitfall(top, tests):
    """By the name of a function or of a row of tests; a comment does not count."""
    name = re.compile(r"^(?:static void |def |\t\{ \")(?:test_)?pitfall_(\d+)_\w+|^def pitfall_(\d+)_", re.MULTILINE)
    text = "".join(tests.values()) + pathlib.Path(__file__).read_text()
    named = {int(a or b) for a, b in name.findall(text)}
    for number in sorted(set(range(1, PITFALLS + 1)) ^ named):
        yield f"pitfall {number}: " + ("no test names it" if number <= PITFALLS else "there is none of this number")


def pitfall_28_nothing_aborts(libraries):
    """Nothing that hears the net can end the daemon: main alone exits, for the helper helper.c, and nobody asserts."""
    for library in libraries:
        out = subprocess.run(["nm", "-u", library], stdout=subprocess.PIPE, text=True, check=True).stdout
        out = re.sub(r"^(?:.*/)?helper\.c\.o:\n(?:.+\n)*", lambda part: part[0].replace(" _exit\n", "\n"), out,
                     flags=re.MULTILINE)
        for symbol in re.findall(r" (__assert_fail|abort|_?exit|quick_exit|sodium_misuse)$", out, re.MULTILINE):
            yield f"{library} uses {symbol}()"


def pitfall_29_every_check_has_a_negative_test(top, tests):
    """Each reason for which the data path drops is one that a test provokes."""
    stats = (top / "dataplane" / "stats.c").read_text()
    code = "".join(f.read_text() for f in (top / "dataplane").glob("*.c") if f.name != "stats.c")
    # test_stats.c lists them all, and provokes none.
    text = "".join(t for f, t in tests.items() if f.name != "test_stats.c")
    reasons = re.findall(r'\[(DROP_\w+)\] = \{ "([\w-]+)"', stats)
    if len(reasons) < 40:
        yield "the reasons are not where they are looked for"
    for reason, name in reasons:
        if re.search(rf"\b{reason}\b", code) and not re.search(rf'\b{reason}\b|"{name}"', text):
            yield f"{name}: no test provokes it"


def main(top, libraries):
    tests = read_tests(top)
    faults = [*counts_cases(load_run(top)), *names_every_pitfall(top, tests), *pitfall_28_nothing_aborts(libraries),
              *pitfall_29_every_check_has_a_negative_test(top, tests)]
    print("\n".join(faults) or "the books are in order")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2:]))
