#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""sessions.py [PATTERN]: sessions that survive, on real servers: connections that break, processes that are killed,
servers that begin anew, tokens, TLS sessions, streams that end inside a stanza. Drives build/xmpp-tiny; needs what
run.py needs. PATTERN is a regular expression for the names of the cases to run."""

import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # no cache beside the sources

from harness import Report, clean_up_always, make_pki, scratch  # noqa: E402
import sessions_prosody  # noqa: E402
from sessions_case import Sessions  # noqa: E402
from sessions_end import Conflict, Restart, Scripted  # noqa: E402
from sessions_servers import EJABBERD_WAYS, PROSODY_WAYS, Keeping, KeepingEjabberd  # noqa: E402


class Tests:
    """Servers are started once. Cases of one server share it, but for the last."""

    def __init__(self, report, base):
        self.report, self.base, self.servers = report, base, []

    def start(self, kind):
        self.servers.append(kind(self.base, self.pki).start())

    def prepare(self):
        self.pki = make_pki(self.base)

    def cases(self, server):
        ways = PROSODY_WAYS if isinstance(server, Keeping) else EJABBERD_WAYS
        yield from (Sessions(self.report, server, self.base, way) for way in ways)
        yield Conflict(self.report, server, self.base, ways[0])
        if isinstance(server, Keeping):
            yield from sessions_prosody.cases(self.report, server, self.base)

    def run(self):
        for kind in (Keeping, KeepingEjabberd):
            self.report.run(f"{kind.name} starts", self.start, kind, always=True)
        several = [Scripted(self.report, self.pki), *(case for server in self.servers for case in self.cases(server))]
        last = [[Restart(self.report, server, self.base, way) for way in restarted(server)] for server in self.servers]
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(lambda cases: cases.run(), several))
            list(pool.map(lambda lane: [cases.run() for cases in lane], last))


def restarted(server):
    return PROSODY_WAYS[:3:2] if isinstance(server, Keeping) else EJABBERD_WAYS[:1]


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    tests = Tests(report, scratch())
    report.run("throw-away certificates", tests.prepare, always=True)
    if not report.failed:
        tests.run()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
