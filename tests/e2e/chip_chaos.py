#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""chip_chaos.py [--full] [--seed N] [PATTERN]: the firmware of examples/4-firmware is asked for its readings while
connections break at random and the server is restarted: each question is answered once, or comes back, or the firmware
says that an answer may not have arrived. PATTERN: a regular expression for case names. Needs what chip.py needs."""

import argparse
import collections
import random
import re
import sys

sys.dont_write_bytecode = True  # no cache beside the sources

from chaos_breaks import Breaks, counts  # noqa: E402
from chaos_servers import prosody  # noqa: E402
from chip_board import Firmware  # noqa: E402
from chip_lab import reading  # noqa: E402
from harness import Failure, Report, clean_up_always, directory, make_pki, scratch  # noqa: E402

BOARD = "lm3s6965evb"
# Questions, kills, of which restarts.
SHORT, FULL = (60, 12, 1), (500, 100, 4)
CASES = (("RFC 6120", "classic.a.test", "start"), ("SASL2 and tokens", "modern.a.test", "direct"))
OPEN_MOST = 16
SETTINGS = {"ping_ms": 1500, "timeout_ms": 4000, "retry_ms": 50, "retry_max_ms": 400}
BEGUN = re.compile(r"(online|resumed) as (\S+)")


class Question:
    def __init__(self, counts):
        self.answers, self.back, self.counts = 0, False, counts


class Chaos(Breaks):
    settle = 0.5

    def __init__(self, base, server, host, tls, questions, kills, restarts, seed):
        super().__init__(server, host, kills, restarts, seed, tls)
        self.share = questions / kills
        self.asked, self.open, self.read, self.jid = [], set(), 0, None
        self.probe = None  # the question whose answer shows that the session is one that survives
        self.seen = collections.Counter()
        port = int(self.relay.where.split(":")[1])
        self.firmware = Firmware(base, BOARD, server.ca, f"chaos, {host}", jid=f"alice@{host}", port=port, tls=tls,
                                 **SETTINGS)

    def __exit__(self, *how):
        self.firmware.__exit__(*how)
        super().__exit__(*how)

    def run(self):
        self.rounds()
        self.wait("the last question", lambda: self.say(1) or not self.due(1))
        last = []

        def answered():
            """What comes back is asked again; what is answered, is so after all that was asked before."""
            if not last or self.asked[last[0]].back:
                last[:] = [self.ask()] if self.online and self.managed else []
            return last and self.asked[last[0]].answers

        self.wait("the last answer", answered)
        print(f"      {self.state()}", flush=True)
        faults = [f"q{at} was answered {q.answers} times" for at, q in enumerate(self.asked) if q.answers > 1]
        if len(self.open) > self.seen["given up"]:
            faults.append(f"no answer to {len(self.open)} questions: {sorted(self.open)[:8]}")
        if faults:
            raise Failure("; ".join(faults[:8]))

    def forget(self):
        """The server is gone with what it had for the firmware."""
        for at in self.open:
            self.asked[at].counts = False
        self.open.clear()
        self.probe = None

    # -- what is heard --

    def hear(self):
        said = self.firmware.said(self.read)
        self.read += len(said)
        for line in said:
            begun = BEGUN.fullmatch(line)
            if begun:
                self.begin(*begun.groups())
            elif line.startswith("disconnected"):
                self.online = False
            elif line == "a stanza may not have arrived":
                self.seen["given up"] += 1
            elif line.startswith("error "):
                self.seen[line] += 1
            elif line == "closed":
                raise Failure(f"closed\n    {self.story()}")
        while not self.peer.heard.empty():
            self.take(*self.peer.heard.get())

    def begin(self, how, jid):
        self.seen[how] += 1
        self.jid, self.online = jid, True
        if how == "online":
            self.managed, self.probe = False, None

    def take(self, identity, body):
        at = int(identity[1:])
        question = self.asked[at]
        self.open.discard(at)
        if body is None:
            question.back = True
            self.seen["bounced"] += 1
        else:
            reading(body)
            question.answers += 1
            self.managed = self.managed or at == self.probe

    # -- what is said --

    def ask(self, counts=True):
        at = len(self.asked)
        self.asked.append(Question(counts))
        if counts:
            self.open.add(at)
        self.peer.say(self.jid, f"q{at}", "read")
        return at

    def due(self, share):
        asked = sum(question.counts for question in self.asked)
        return asked < self.share * min(self.kills, self.done() + share)

    def say(self, share):
        if not self.online or not self.peer.there:
            return
        if not self.managed and (self.probe is None or self.asked[self.probe].back):
            self.probe = self.ask(counts=False)
        while self.managed and len(self.open) < OPEN_MOST and self.due(share):
            self.ask()

    # -- what is shown --

    def story(self):
        return self.firmware.story()

    def state(self):
        counted = [question for question in self.asked if question.counts]
        return (f"{len(counted)} questions, {sum(q.answers for q in counted)} answers, {len(self.open)} open; "
                f"{counts(self.seen)}\n      "
                f"{self.done()} kills: {counts(self.inflicted)}")


def run(base, title, host, tls, pki, how, seed):
    base = directory(base, title)
    with Chaos(base, prosody(base, pki), host, tls, *how, f"{seed} {title}") as chaos:
        chaos.run()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("pattern", nargs="?", default="")
    options = parser.parse_args()
    clean_up_always()
    report = Report(options.pattern)
    base = scratch()
    made = []
    print(f"      seed {options.seed}")
    report.run("throw-away certificates", lambda: made.append(make_pki(base)), always=True)
    for title, *case in CASES if made else ():
        report.run(title, run, base, title, *case, made[0], FULL if options.full else SHORT, options.seed)
    Firmware.summary()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
