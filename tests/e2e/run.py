#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""run.py [PATTERN]: the end-to-end tests, with real servers and with servers that misbehave. Drives
build/xmpp-tiny; needs prosody, prosody-modules, ejabberd, python3-slixmpp, openssl. PATTERN is a regular
expression for the names of the cases to run."""

import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # no cache beside the sources

import faults  # noqa: E402
import servers  # noqa: E402
from harness import Ejabberd, Prosody, Report, clean_up_always, make_pki, scratch  # noqa: E402


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    base = scratch()
    made = []
    report.run("throw-away certificates", lambda: made.append(make_pki(base)), always=True)
    if made:
        with ThreadPoolExecutor(max_workers=5) as pool:
            work = [pool.submit(servers.run, report, base, made[0], kind) for kind in (Prosody, Ejabberd)]
            work += faults.run(report, made[0], pool)
            for job in work:
                job.result()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
