#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pledge.py [PATTERN]: that the client keeps what it promises, on real servers: federation, somebody in between,
accounts and keys, trust, other users who attack. Drives build/xmpp-tiny; needs what run.py needs. PATTERN is a
regular expression for the names of the cases to run."""

import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # no cache beside the sources

import pledge_servers  # noqa: E402
import pledge_trust  # noqa: E402
from harness import Report, clean_up_always, make_pki, scratch  # noqa: E402
from pledge_account import EjabberdAccounts, ProsodyAccounts  # noqa: E402
from pledge_dns import Names  # noqa: E402
from pledge_federation import Federation  # noqa: E402
from pledge_others import Others, Scripted  # noqa: E402
from pledge_relay import EjabberdRelay, ProsodyRelay  # noqa: E402
from pledge_servers import Accounts, Changing, Erl, Far, Near  # noqa: E402


class Pledge:
    """Servers are started once. Cases that read a server's log for logins run one after the other."""

    def __init__(self, report, base):
        self.report, self.base = report, base

    def prepare(self):
        self.pki, names = make_pki(self.base), Names()
        pledge_servers.make_certificates(self.pki)
        pledge_trust.make_certificates(self.pki)
        place = (self.base, self.pki)
        self.near = Near(*place, names, *(f"{user}@near.test" for user in ("alice", "bob", "mallory"))).start()
        self.far = Far(*place, names, *(f"bob@{name}.test" for name in Far.virtual)).start()
        self.accounts = Accounts(*place, "alice@a.test", "relayed@a.test", "relayed@endp.a.test", "keys@sha1.a.test",
                                 "keys@sha256.a.test").start()
        self.changing = Changing(*place, "alice@a.test")
        self.erl = Erl(*place, names, *(f"{user}@a.test" for user in ("alice", "bob", "mallory", "relayed")),
                       "keys@hash.a.test", "bob@erl.test", "bob@erl-dialback.test").start()

    def run(self):
        report, base = self.report, self.base
        lanes = [
            [Federation(report, self.near, self.far, self.erl), EjabberdAccounts(report, self.erl, base),
             EjabberdRelay(report, self.erl, base), Others(report, self.erl, "a.test")],
            [ProsodyAccounts(report, self.accounts, base), ProsodyRelay(report, self.accounts, base)],
            [pledge_trust.Trust(report, self.changing, base)],
            [Others(report, self.near, "near.test"), Scripted(report, self.pki)]]

        def drive(lane):
            for cases in lane:
                cases.run()

        with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
            list(pool.map(drive, lanes))


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    pledge = Pledge(report, scratch())
    report.run("certificates, servers", pledge.prepare, always=True)
    if not report.failed:
        pledge.run()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
