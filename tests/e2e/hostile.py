#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hostile.py [PATTERN | --write]: what attackers do who own the network, the names in it and a server of their own,
and what it gets them. Each case says exactly what may have left the client; after each, the same client logs in to
an honest server. SECURITY.md has a table of the cases: --write puts it there, a run without PATTERN compares.
Drives build/xmpp-tiny; needs openssl and python3-cryptography."""

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # no cache beside the sources

from harness import ROOT, Failure, Report, clean_up_always, make_pki, scratch  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "tools"))

import hostile_clear  # noqa: E402
import hostile_handshake  # noqa: E402
import hostile_record  # noqa: E402
import hostile_resume  # noqa: E402
import hostile_sasl2  # noqa: E402
import hostile_saved  # noqa: E402
import hostile_scram  # noqa: E402
import hostile_session  # noqa: E402
import readme  # noqa: E402
from hostile_case import ONLINE  # noqa: E402

SECURITY = os.path.join(ROOT, "SECURITY.md")
GROUPS = (hostile_clear, hostile_handshake, hostile_record, hostile_scram, hostile_sasl2, hostile_saved,
          hostile_session, hostile_resume)


def all_cases():
    return [case for group in GROUPS for case in group.cases()]


# ---- The table ---------------------------------------------------------------------------------------


def said(case):
    """What the client reports, with events that not every session has. A condition that is the variant's own word
    goes without saying."""
    if case.error is None:
        verdict = "logs in"
    else:
        verdict = f"`{case.error}`" + (f" {case.condition}" if case.condition not in (None, case.variant) else "")
    return ", ".join([event for event in case.events or case.reached if event not in [*ONLINE, "closed"]] + [verdict])


def row(case, variants):
    title = case.title + ("" if variants == [None] else " " + ", ".join(str(variant) for variant in variants))
    times = "" if case.connections == 1 else f", {case.connections} times"
    return f"| {case.group} | {title} | {said(case)} | {case.left}{times} |".replace("<", "\\<")


def table(cases):
    """A line for each case; neighbours that differ only in the variant share one."""
    lines = ["| when | the server | the client reports | what it had got |", "|---|---|---|---|"]
    for _, some in itertools.groupby(cases, lambda c: (c.group, c.title, said(c), c.left, c.connections)):
        some = list(some)
        lines.append(row(some[0], [case.variant for case in some]))
    return "\n".join([*lines, "", f"{len(cases)} cases."])


def make_certificates():
    pki = make_pki(scratch())
    hostile_saved.certificates(pki)
    return pki


def main():
    cases = all_cases()
    if sys.argv[1:] == ["--write"]:
        readme.put(SECURITY, "hostile", table(cases))
        return 0
    clean_up_always()
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    report = Report(pattern)
    made = []
    report.run("throw-away certificates", lambda: made.append(make_certificates()), always=True)
    if made:
        with ThreadPoolExecutor(max_workers=6) as pool:
            for job in [pool.submit(report.run, case.name, case.run, made[0]) for case in cases]:
                job.result()
    if not pattern:
        report.run("table in SECURITY.md", lambda: compare(cases))
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


def compare(cases):
    if not readme.holds(SECURITY, "hostile", table(cases)):
        raise Failure("not what was run: tests/e2e/hostile.py --write makes a new one")


if __name__ == "__main__":
    sys.exit(main())
