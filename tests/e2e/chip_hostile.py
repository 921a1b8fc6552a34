#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""chip_hostile.py [PATTERN]: what attackers do, against the firmware of examples/4-firmware on an emulated board: a
choice of the cases of hostile.py. The board is switched on once. In each case it meets the attacker, says what is
wrong, and then logs in at the same place, where an honest server is now; what it remembers of that server makes the
next attacker's work harder. And what its memory holds after a connection. Needs qemu-system-arm and what hostile.py
needs."""

import re
import sys
import threading

sys.dont_write_bytecode = True  # no cache beside the sources

from chip_board import Firmware  # noqa: E402
from chip_lab import MECHANISM, secured  # noqa: E402
from chip_secrets import secrets_gone  # noqa: E402
from fake import Connection, Fake, listed, vouch  # noqa: E402
from harness import Report, clean_up_always, make_pki, same, scratch  # noqa: E402
from hostile import all_cases  # noqa: E402
from hostile_case import BINDINGS, OFFER, Attacker  # noqa: E402
from hostile_left import left  # noqa: E402

BOARD = "lm3s6965evb"
LOGIN = [f"authenticated by {MECHANISM}", "  channel binding tls-unique"]
ONLINE = ["online as alice@a.test/fake", r"published 2\d[.]\d C"]

# Cases by their names in hostile.py; the error, where what is remembered makes it another than the host's.
CHOSEN = {
    "before TLS: offers SASL but no TLS": None,
    "before TLS: offers mechanisms before TLS, none inside": None,
    "before TLS: sends behind <proceed/>, in the same segment: a whole stream with mechanisms": None,
    "before TLS: refuses STARTTLS, which it offered": None,
    "before TLS: redirects before TLS, which is not followed": None,
    "before TLS: sends in place of features entities that multiply": None,
    "before TLS: sends an element of depth 10,000": None,
}


class Place(Fake):
    """Where the firmware connects to. Whoever answers is honest and stays until it is asked to leave; but somebody
    else may come between."""

    def __init__(self, pki):
        self.next, self.leave, self.met = None, threading.Event(), None
        super().__init__(None, pki)
        self.connection, self.script = self.answer, lambda c: c.play(c)

    def answer(self, sock, fake):
        if self.next is None:
            connection = Connection(sock, fake)
            connection.play = self.honest
        else:
            connection = self.met = Attacker(sock, fake)
            connection.play, self.next = self.next, None
        return connection

    def honest(self, c):
        c.starttls()
        c.scram(*OFFER, more=listed(*BINDINGS), first=",h=" + vouch(OFFER, BINDINGS))
        self.stay(c)

    def stay(self, c):
        c.bind()
        c.expect("</presence>")
        self.leave.wait()
        self.leave.clear()
        c.send("</stream:stream>")

    def change_to(self, script):
        """The connection that there is ends; the script, of an Attacker, answers the next."""
        self.next, self.met = script, None
        self.leave.set()


def attacked(place, firmware, case, error):
    """What the console says from the end of one honest connection until the next has lasted a while."""
    start = firmware.mark()
    place.change_to(case.script)
    firmware.wait(f"error {error}")
    firmware.wait("closed")
    firmware.wait("published .*")
    came = secured(place.certificate)
    far = {"secured": came, "authenticated": LOGIN, "online": ONLINE}
    before = [line for event in case.reached for line in far.get(event, [])]
    said = firmware.said(start)
    details = said[said.index(f"error {error}") + 1:said.index("closed", 2)]
    firmware.says("error CLOSED", "closed", *before, f"error {error}", *map(re.escape, details), "closed", *came,
                  *LOGIN, *ONLINE, start=start)
    same("what has left", left(place.met), case.left)


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    cases = {case.name: case for case in all_cases()}
    pki = make_pki(scratch())
    with Place(pki) as place:
        with Firmware(scratch(), BOARD, f"{pki}/ca.crt", "attackers", jid="alice@a.test", port=place.port,
                      ping_ms=600000, interval_ms=600000, timeout_ms=5000, retry_ms=200, retry_max_ms=400) as firmware:
            firmware.wait("published .*")
            for name, error in CHOSEN.items():
                report.run(name, attacked, place, firmware, cases[name], error or cases[name].error)
            report.run("no secret stays in memory", secrets_gone, place, firmware)
    Firmware.summary()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
