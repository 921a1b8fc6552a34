# SPDX-License-Identifier: MIT
"""A server where an emulated board can reach it, somebody who watches, and the questions that tests ask."""

import hashlib
import itertools
import os
import re
import socket
import time

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chip_board import Firmware
from harness import PATIENCE, Ejabberd, Failure, Peer, Prosody, directory, same, until

USERS = ["alice@a.test", "bob@a.test", "watcher@a.test", "rita@rsa.a.test"]
READING = re.compile(r"2\d\.\d C")
MECHANISM = "SCRAM-SHA-256-PLUS"


class NearProsody(Prosody):
    """On the one address that a guest can reach; so may others be: ports are what keeps them apart."""

    address = "127.0.0.1"

    def restart(self):
        """After it was stopped or killed. Its log begins anew, because the start is seen there."""
        os.unlink(os.path.join(self.base, "server.log"))
        return self.start()


class NearEjabberd(Ejabberd):
    address = "127.0.0.1"


class Lab:
    def __init__(self, base, pki, kind, name=None, watched=True):
        self.base = directory(base, name or kind.name)
        self.server = kind(self.base, pki, USERS, USERS).start()
        self.name = self.server.name
        self.questions = itertools.count()
        self.watcher = None
        if watched:
            self.watch()

    def watch(self):
        """Whoever watches logs in; again, where the server was gone."""
        if self.watcher:
            self.watcher.stop()
        self.watcher = Peer(self.server, "watcher@a.test")
        self.watcher.full = self.watcher.wait("online")["jid"]

    def firmware(self, board="lm3s6965evb", tls="start", rsa=False, **settings):
        settings.setdefault("jid", "rita@rsa.a.test" if rsa else "alice@a.test")
        settings.setdefault("port", self.server.direct if tls == "direct" else self.server.port)
        use = f"{self.server.name}, {tls}, {'RSA' if rsa else 'EC'}"
        return Firmware(self.base, board, self.server.pem("rsaca" if rsa else "ca"), use, tls=tls, **settings)

    def secured(self, rsa=False):
        return secured(self.server.pem("rsa.a.test" if rsa else "a.test"), "ECDHE_RSA" if rsa else "ECDHE_ECDSA")

    def send(self, jid, body="read", **fields):
        """Sends a message that can be told apart from all others; returns how."""
        thread = f"question-{next(self.questions)}"
        self.watcher.do("message", to=jid, body=body, thread=thread, **fields)
        return thread

    def answered(self, jid, thread, kind="chat"):
        """The next message of the firmware is the answer to that one; returns the reading."""
        got = self.watcher.wait("message", **{"from": jid})
        same("answer", (got["thread"], got["type"], got["subject"]), (thread, kind, ""))
        return reading(got["body"])

    def ask(self, jid, count=1):
        """Asks for readings, all at once; the answers come in order, each once, and nothing else comes."""
        for thread in [self.send(jid) for _ in range(count)]:
            self.answered(jid, thread)

    def insist(self, firmware, jid, count):
        """Asks until that many questions are answered, whatever becomes of the connection; returns the last JID."""
        end = time.monotonic() + 10 * PATIENCE
        while count > 0:
            thread, mark = self.send(jid), firmware.mark()
            answer = until(f"an answer to {thread}", lambda: self.watcher.look("message", thread=thread) or
                           firmware.ends(mark) > 0, end - time.monotonic())
            if answer is True:
                jid = firmware.online(end - time.monotonic())
            else:
                same("sender", answer["from"], jid)
                reading(answer["body"])
                count -= 1
        return jid

    def published(self, jid):
        """What the watcher is told next of the firmware's presence."""
        seen = self.watcher.wait("presence", **{"from": jid})
        same("presence", (seen["type"], seen["show"], seen["priority"]), (None, None, 0))
        return reading(seen["status"])

    def mechanism(self, mark, account):
        """By what the account logged in since that place in the server's log, in the server's words."""

        def found():
            log = self.server.log()[mark:]
            if isinstance(self.server, Ejabberd):
                return re.findall(rf"Accepted c2s (\S+) authentication for {re.escape(account)} ", log)
            logins = re.findall(rf"(c2s[0-9a-f]+)\s+info\s+Authenticated as {re.escape(account)}\b", log)
            return [re.search(login + r"\s.*<auth [^>]*mechanism='([^']*)'", log).group(1) for login in logins]

        return until(f"{account} in the server's log", found)

    def logins(self, mark=0):
        """How often anybody tried to log in."""
        pattern = r"c2s \S+ authentication" if isinstance(self.server, Ejabberd) else r"<auth |Authenticated as"
        return len(re.findall(pattern, self.server.log()[mark:]))

    def stop(self):
        if self.watcher:
            self.watcher.stop()
        self.server.stop()


def secured(certificate, kind="ECDHE_ECDSA"):
    """What the firmware has to say of a connection to the server with that certificate, as a pattern a line."""
    with open(certificate, "rb") as file:
        shown = x509.load_pem_x509_certificate(file.read())
    key = shown.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return ["server verified by CA", "  TLS 1[.]2", rf"  {kind}_WITH_\w+", "  key exchange secp256r1",
            f"  key {hashlib.sha256(key).hexdigest()}", f"  valid until {shown.not_valid_after:%Y%m%d}"]


def bare(c):
    """Takes TLS away from a scripted server's connection: what it sends now goes out as it is."""
    c.socket, c.torn = socket.socket(fileno=c.socket.detach()), True
    c.socket.settimeout(PATIENCE)


def reading(text):
    if not READING.fullmatch(text):
        raise Failure(f"{text!r} is no reading")
    return text
