#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""chaos.py [--full] [--seed N] [PATTERN]: sessions that survive. Numbered messages go both ways between the tool and a
peer while connections break at random and servers are restarted; each arrives once, or is told as undelivered.
Without --full a short form. PATTERN: a regular expression for case names. Needs what run.py needs."""

import argparse
import os
import random
import sys

sys.dont_write_bytecode = True  # no cache beside the sources

import harness  # noqa: E402
from chaos_run import Chaos  # noqa: E402
from harness import Ejabberd, Report, clean_up_always, make_pki, scratch  # noqa: E402
from modules_prosody import Modern, host  # noqa: E402
from modules_sasl2 import offer  # noqa: E402

SHORT, FULL = (300, 20, 1), (5000, 300, 8)  # messages each way, kills, of which restarts
KEPT = 30  # seconds that a session waits for its client
HOSTS = {
    "classic.a.test": host("smacks", "e2e_replace", smacks_hibernation_time=KEPT),
    "old.a.test": host("smacks", smacks_hibernation_time=KEPT),
    "modern.a.test": offer("e2e_replace", smacks_hibernation_time=KEPT),
}


class Restarting:
    """After it was stopped or killed. Its log begins anew, because the start is seen there."""

    def restart(self):
        os.unlink(os.path.join(self.base, "server.log"))
        return harness.Server.start(self)


class ChaosProsody(Restarting, Modern):
    pass


class ChaosEjabberd(Restarting, Ejabberd):
    modules = f"  mod_stream_mgmt: {{{{ resume_timeout: {KEPT} }}}}\n"

    def start(self):
        super().start()
        self.stop()  # so that the accounts are on disk
        return self.restart()


def prosody(base, pki):
    return ChaosProsody(base, pki, HOSTS, [f"bob@{name}" for name in HOSTS]).start()


def ejabberd(base, pki):
    return ChaosEjabberd(base, pki, ["alice@a.test", "bob@a.test"], []).start()


CASES = (
    ("prosody", prosody, "classic.a.test", "starttls", ()),
    ("prosody, SASL2 and tokens", prosody, "modern.a.test", "direct", ()),
    # Where a connection broke within a stanza, this server takes the next one for its rest.
    ("prosody as it is", prosody, "old.a.test", "direct", ()),
    ("ejabberd", ejabberd, "a.test", "direct", ()),
)


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
    servers = {}

    def run(make, name, tls, more):
        if make not in servers:
            servers[make] = make(base, made[0])
        Chaos(servers[make], name, *(FULL if options.full else SHORT), f"{options.seed} {name}", *more, tls=tls).run()

    for title, make, name, tls, more in CASES if made else ():
        if options.full or options.pattern or make is prosody:
            report.run(title, run, make, name, tls, more)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
