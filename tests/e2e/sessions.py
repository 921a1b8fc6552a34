#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""sessions.py [PATTERN]: sessions that survive, on real servers: connections that break, processes that are killed,
servers that begin anew, tokens, TLS sessions, streams that end inside a stanza. Drives build/xmpp-tiny; needs what
run.py needs. PATTERN is a regular expression for the names of the cases to run."""

import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # no cache beside the sources

from harness import Report, clean_up_always, make_pki, scratch  # noqa: E402
from sessions_case import Sessions  # noqa: E402
from sessions_servers import EJABBERD_WAYS, PROSODY_WAYS, Keeping, KeepingEjabberd  # noqa: E402


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    base, made = scratch(), {}

    def prosody(pki):
        made["prosody"] = Keeping(base, pki).start()

    def ejabberd(pki):
        made["ejabberd"] = KeepingEjabberd(base, pki).start()

    pki = []
    report.run("throw-away certificates", lambda: pki.append(make_pki(base)), always=True)
    if pki:
        for start in (prosody, ejabberd):
            report.run(f"{start.__name__} starts", start, pki[0], always=True)
    lanes = [[Sessions(report, made["prosody"], base, way)] for way in PROSODY_WAYS if "prosody" in made]
    lanes += [[Sessions(report, made["ejabberd"], base, way)] for way in EJABBERD_WAYS if "ejabberd" in made]

    def drive(lane):
        for cases in lane:
            cases.run()

    with ThreadPoolExecutor(max_workers=3) as pool:
        list(pool.map(drive, lanes))
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
