#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""chip_hostile.py [PATTERN]: what attackers do, against the firmware of examples/4-firmware on an emulated board: a
choice of the cases of hostile.py. In each the board meets the attacker, some when it was just switched on and some
when it knows the honest server; it says what is wrong, and then logs in at the same place, where the honest server
is now. And what its memory holds of secrets. Needs qemu-system-arm and what hostile.py needs."""

import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # no cache beside the sources

from chip_board import Firmware  # noqa: E402
from chip_console import DISCONNECTED  # noqa: E402
from chip_lab import MECHANISM, secured  # noqa: E402
from chip_secrets import secrets_gone  # noqa: E402
from fake import Connection, Fake, listed, vouch  # noqa: E402
from harness import PATIENCE, Report, clean_up_always, same, scratch  # noqa: E402
from hostile import all_cases, make_certificates  # noqa: E402
from hostile_case import BINDINGS, OFFER, Attacker  # noqa: E402
from hostile_left import left  # noqa: E402

BOARD = "lm3s6965evb"
END = f"closed|{DISCONNECTED}"  # some errors are worth another attempt to the client, all to the firmware
# Nothing is published or asked but by a case; a lost connection is soon tried again.
IMPATIENT = {"ping_ms": 600000, "interval_ms": 600000, "timeout_ms": 5000, "retry_ms": 200, "retry_max_ms": 400}
LOGIN = [f"authenticated by {MECHANISM}", "  channel binding tls-unique"]
ONLINE = ["online as alice@a.test/fake", r"published 2\d[.]\d C"]

# Cases by their names in hostile.py: what the firmware meets right after it was switched on ..
FIRST = (
    "before TLS: offers SASL but no TLS",
    "before TLS: offers mechanisms before TLS, none inside",
    "before TLS: sends behind <proceed/>, in the same segment: a whole stream with mechanisms",
    "before TLS: refuses STARTTLS, which it offered",
    "before TLS: redirects before TLS, which is not followed",
    "before TLS: sends in place of features entities that multiply",
    "before TLS: sends an element of depth 10,000",
    "TLS handshake: chooses the version TLS 1.1",
    "TLS handshake: chooses a suite that was not offered: AES-CBC",
    "TLS handshake: exchanges keys with another key's signature",
    "TLS handshake: ends the handshake with a wrong Finished",
    "TLS records: sends a record with a bit of its tag flipped",
    "TLS records: sends a record larger than was asked for",
    "TLS of OpenSSL: has a certificate for another name",
    "TLS of OpenSSL: has a certificate of a CA that nobody trusts",
    "SCRAM: offers only `PLAIN`",
    "SCRAM: lets in, and proves itself with zeros",
    "SCRAM: lets in at once",
    "SCRAM: asks for a count of 2147483647",
    "SCRAM: sends a nonce that is another",
    "SCRAM: took every -PLUS away, and lists still tls-unique",
    "SCRAM: vouches for an offer from which somebody took -PLUS",
    "SCRAM: is a relay with a valid certificate, found out by the binding",
)
# .. and what it meets when it has logged in to the honest server before.
LATER = (
    "weaker than it was: took every -PLUS away",
    "weaker than it was: has -PLUS with a weaker hash",
    "weaker than it was: lists only the weaker binding",
    "weaker than it was: uses the same salt and count, and cannot prove itself",
    "key or certificate changed: has a certificate of a CA that nobody trusts",
)
RENEWED = "key or certificate changed: has another key, with a certificate of the same CA"


class Place(Fake):
    """Where a firmware connects to. Whoever answers is honest and stays until it is asked to leave; but somebody
    else may come between."""

    def __init__(self, pki, direct):
        self.next, self.leave, self.met = None, threading.Event(), None
        self.settled = threading.Event()  # everything that was sent to who is honest is known to have arrived
        super().__init__(None, direct=direct)
        self.pki = pki
        self.show("a.test")
        self.connection, self.script = self.answer, lambda c: c.play(c)

    def show(self, name):
        self.certificate, self.key = f"{self.pki}/{name}.crt", f"{self.pki}/{name}.key"

    def answer(self, sock, fake):
        if self.next is None:
            self.show("a.test")
            connection = Connection(sock, fake)
            connection.play = self.honest
        else:
            certificate, script = self.next
            self.show(certificate)
            connection = self.met = Attacker(sock, fake)
            connection.play, self.next = script, None
        return connection

    def honest(self, c):
        c.encrypt()
        c.scram(*OFFER, more=listed(*BINDINGS), first=",h=" + vouch(OFFER, BINDINGS))
        self.stay(c)

    def stay(self, c):
        leave = self.leave = threading.Event()  # its own: the one before may not have noticed yet
        c.bind()
        c.expect("</presence>")
        ping = c.expect(r"<iq\s[^>]*?id=['\"]([^'\"]*)[^>]*><ping\s").group(1).decode()
        c.send(f"<iq type='result' id='{ping}'/>")
        self.settled.set()
        leave.wait()
        c.send("</stream:stream>")

    def change_to(self, script, certificate="a.test", first=lambda: None):
        """The script, of an Attacker, answers the next connection. The one that there is ends, after what is done
        first."""
        self.next, self.met = (certificate, script), None
        self.settled.wait(PATIENCE)
        self.settled.clear()
        first()
        self.leave.set()


def attacked(place, firmware, case, first):
    """What the console says until a connection to the honest server has lasted a while."""
    start = firmware.mark()
    if first:
        place.change_to(case.script, case.certificate, lambda: firmware.monitor.do("system_reset"))
    else:
        place.change_to(case.script, case.certificate)
        firmware.wait("error CLOSED")
        firmware.wait(END)
        start += 2
    firmware.wait(f"error {case.error}")
    firmware.wait(END)
    firmware.wait("published .*")
    honest = [*secured(place.certificate), *LOGIN, *ONLINE]
    far = {"secured": secured(f"{place.pki}/{case.certificate}.crt"), "authenticated": LOGIN, "online": ONLINE}
    before = [line for event in case.reached for line in far.get(event, [])]
    said = firmware.said(start)
    end = next(at for at, line in enumerate(said) if re.fullmatch(END, line))
    details = said[said.index(f"error {case.error}") + 1:end]
    firmware.says(*before, f"error {case.error}", *map(re.escape, details), END, *honest, start=start)
    same("what has left", left(place.met), case.left)


def renewed(place, firmware, certificate):
    """Another key, but its own CA vouches for it: told, and let in. And so when the old one is back."""
    start = firmware.mark()
    place.change_to(place.honest, certificate)
    firmware.wait("published .*")
    place.settled.wait(PATIENCE)
    place.leave.set()
    firmware.wait("published .*")
    told = ["error CLOSED", END, "another certificate than before"]
    firmware.says(*told, *secured(f"{place.pki}/{certificate}.crt"), *LOGIN, *ONLINE,
                  *told, *secured(place.certificate), *LOGIN, *ONLINE, start=start)


def drive(report, pki, tls):
    """All cases of one kind of TLS, with one firmware."""
    cases = {case.name: case for case in all_cases() if case.tls == tls}
    with Place(pki, tls == "direct") as place:
        kind = "start" if tls == "starttls" else tls
        with Firmware(scratch(), BOARD, f"{pki}/ca.crt", f"attackers, {kind}", jid="alice@a.test", port=place.port,
                      tls=kind, **IMPATIENT) as firmware:
            firmware.wait("published .*")
            for name in FIRST + LATER:
                if name in cases:
                    report.run(name, attacked, place, firmware, cases[name], name in FIRST)
            if RENEWED in cases:
                report.run("a renewed certificate with another key", renewed, place, firmware,
                           cases[RENEWED].certificate)
            report.run(f"no secret stays in memory, {kind}", secrets_gone, place, firmware)


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    pki = make_certificates()
    with ThreadPoolExecutor(max_workers=2) as pool:
        for job in [pool.submit(drive, report, pki, tls) for tls in ("starttls", "direct")]:
            job.result()
    Firmware.summary()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
