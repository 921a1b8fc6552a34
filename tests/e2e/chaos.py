#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""chaos.py [--full] [--seed N] [PATTERN]: sessions that survive. Numbered messages go both ways between the tool and a
peer while connections break at random and servers are restarted; each arrives once, or is told as undelivered.
Without --full a short form. PATTERN: a regular expression for case names. Needs what run.py needs."""

import argparse
import random
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # no cache beside the sources

from chaos_run import Chaos  # noqa: E402
from chaos_servers import ejabberd, prosody  # noqa: E402
from harness import Report, clean_up_always, directory, make_pki, scratch  # noqa: E402

# Messages each way, kills, of which restarts.
SHORT, FULL = (200, 14, 1), (5000, 300, 8)
CASES = (
    ("prosody", prosody, "classic.a.test", "starttls", ()),
    ("prosody, SASL2 and tokens", prosody, "modern.a.test", "direct", ()),
    # Where a connection broke within a stanza, this server takes the next one for its rest.
    ("prosody as it is", prosody, "old.a.test", "direct", ()),
)
MORE = (
    ("prosody, what a session left is sent again", prosody, "modern.a.test", "starttls", ("--resend",)),
    ("ejabberd", ejabberd, "a.test", "direct", ()),
    ("ejabberd, one step after the other", ejabberd, "a.test", "starttls", ("--pipeline", "off")),
)


def run(server, title, name, tls, more, how, seed):
    with Chaos(server, name, *how, f"{seed} {title}", *more, tls=tls) as chaos:
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
    # Each at a server of its own, all at once: what they do is wait.
    with ThreadPoolExecutor(max_workers=len(CASES + MORE)) as pool:
        for title, make, *case in (CASES + MORE if options.full else CASES) if made else ():
            if report.only.search(title):
                server = make(directory(base, title), made[0])
                pool.submit(report.run, title, run, server, title, *case, FULL if options.full else SHORT, options.seed)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
