# SPDX-License-Identifier: MIT
"""What a run is at, and how long it will still take."""
import sys
import time


class Progress:
    """A line that is written over on a terminal; elsewhere only note() is seen."""

    def __init__(self, expected_s):
        self.expected = expected_s  # seconds of all steps, as planned
        self.done = 0.0  # of those, behind us
        self.began = time.monotonic()
        self.live = sys.stderr.isatty()

    def left(self):
        spent = time.monotonic() - self.began
        # The plan knows nothing of starting and stopping; what was seen so far does.
        pace = spent / self.done if self.done else 1.0
        return max(self.expected - self.done, 0) * pace

    def step(self, text, planned_s):
        if self.live:
            print(f"\r\033[K{text}   {length(self.left())} left", end="", file=sys.stderr, flush=True)
        self.done += planned_s

    def note(self, text):
        if self.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        print(f"{text}   {length(self.left())} left", flush=True)


def length(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
