# SPDX-License-Identifier: MIT
"""What a program says on its console, line by line."""

import re
import threading
import time

from harness import PATIENCE, Failure

# What the firmware says when a connection has ended that is soon followed by another.
DISCONNECTED = r"disconnected, next attempt in ms \d+"


class Console:
    """title: whose. errors(): what else it said, for those who look for a reason."""

    def __init__(self, title):
        self.title = title
        self.lines = []  # what was said: when, what
        self.next = 0    # the first line that wait() has not gone past
        self.change = threading.Condition()
        self.ended = False

    def errors(self):
        return ""

    def listen(self, child):
        """To its standard output, until that ends."""
        self.ended = False
        self.reader = threading.Thread(target=self._read, args=(child.process.stdout,), daemon=True)
        self.reader.start()

    def _read(self, output):
        for line in output:
            with self.change:
                self.lines.append((time.monotonic(), line.decode("utf-8", "replace").rstrip("\r\n")))
                self.change.notify_all()
        with self.change:
            self.ended = True
            self.change.notify_all()

    def story(self):
        start = self.lines[0][0] if self.lines else 0
        lines = [f"{when - start:8.2f}  {line}" for when, line in self.lines[-15:]]
        return "\n    ".join([f"console of {self.title}:", *lines, *self.errors().splitlines()[-5:]])

    def wait(self, pattern, patience=PATIENCE):
        """Goes on to the next line of the console that is the pattern, and returns the match."""
        end, compiled = time.monotonic() + patience, re.compile(pattern)
        with self.change:
            while True:
                while self.next < len(self.lines):
                    match = compiled.fullmatch(self.lines[self.next][1])
                    self.next += 1
                    if match:
                        return match
                left = end - time.monotonic()
                if self.ended or left <= 0:
                    how = "ended without" if self.ended else "waited in vain for"
                    raise Failure(f"{how} {pattern!r}\n    {self.story()}")
                self.change.wait(left)

    def said(self, start=0):
        with self.change:
            return [line for _, line in self.lines[start:]]

    def says(self, *patterns, start=0):
        """The console said just this, a pattern a line."""
        said = self.said(start)
        if len(said) != len(patterns) or not all(map(re.fullmatch, patterns, said)):
            raise Failure(f"console: {patterns} were to be said\n    {self.story()}")

    def ends(self, start=0):
        """How many connections have ended."""
        return sum(bool(re.fullmatch(f"closed|{DISCONNECTED}", line)) for line in self.said(start))

    def mark(self):
        with self.change:
            return len(self.lines)
