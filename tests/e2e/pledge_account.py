# SPDX-License-Identifier: MIT
"""Accounts made and passwords changed in-band; logins by certificate, without an account, and by derived keys
in place of the password."""

import os
import re

from harness import Cli, Failure, same
from pledge_stranger import Stranger
from servers import CLOSED, Cases

REGISTERED = ["connected", "secured", "registered", "authenticated", "online", "closed"]
REFUSED = ["connected", "secured", "error", "closed"]
# To be escaped in XML, and to be found in a trace in whatever form.
FIRST, SECOND = "f1rst & <word>", "s3cond 'word'"
TELLING = re.compile("f1rst|s3cond")


class AccountCases(Cases):
    """On a server whose a.test takes new accounts and whose closed.a.test does not."""

    def __init__(self, report, server, base):
        super().__init__(report, server, None)
        self.base = base

    def run(self):
        self.case("an account is made", self.create)
        self.case("an account that is there", self.again)
        self.case("an account of somebody else", self.taken)
        self.case("no new accounts", self.closed)
        self.case("password changed", self.change)
        self.certificates()
        for tls in ("starttls", "direct"):
            self.case(f"ANONYMOUS, {tls}", lambda tls=tls: self.login(
                "ANONYMOUS", "none", "--mechanism", "ANONYMOUS", jid="anon.a.test", user="[^@]+", password=None,
                tls=tls))
        for host, mechanism in self.hashed:
            self.case(f"derived keys, {mechanism}", self.keys, f"keys@{host}", mechanism)
        self.case("derived keys where passwords are kept plain", self.plain)

    # -- accounts --

    def account(self, password, events, jid="new@a.test", tls="starttls"):
        with Cli(self.server, "--create-account", "--trace", jid=jid, password=password, tls=tls) as cli:
            cli.end(0)
            same("events", cli.kinds(), events)
            silent(cli, password)

    def create(self):
        self.account(FIRST, REGISTERED)
        for tls in ("starttls", "direct"):
            with Cli(self.server, jid="new@a.test", password=FIRST, tls=tls) as cli:
                cli.end(0)
                same("events", cli.kinds(), CLOSED)
        self.account(FIRST, REGISTERED, jid="direct@a.test", tls="direct")

    def again(self):
        self.account(FIRST, CLOSED)

    def taken(self):
        self.refused("AUTH", "not-authorized", "--create-account", jid="new@a.test", password=SECOND)

    def closed(self):
        with Cli(self.server, "--create-account", jid="new@closed.a.test") as cli:
            error = cli.wait("error")
            same("error", (error["name"], error.get("condition")), ("REGISTER", self.closed_condition))
            cli.end(5)
            same("events", cli.kinds(), REFUSED)

    def change(self):
        with Cli(self.server, "--trace", "--change-password", jid="new@a.test", password=FIRST,
                 new_password=SECOND) as cli:
            same("password", cli.wait("password"), {"event": "password"})
            cli.end(0)
            same("events", cli.kinds(), [*CLOSED[:-1], "password", "closed"])
            silent(cli, FIRST, SECOND)
        self.refused("AUTH", "not-authorized", jid="new@a.test", password=FIRST)
        with Cli(self.server, jid="new@a.test", password=SECOND) as cli:
            cli.end(0)
            same("events", cli.kinds(), CLOSED)

    # -- keys --

    def saved_login(self, saved, jid, password, mechanism, changed):
        """A login with saved state; changed: whether that is told to have changed, and has."""
        before = content(saved)
        with Cli(self.server, "--saved", saved, jid=jid, password=password) as cli:
            event = cli.wait("authenticated")
            same("authenticated", (event["mechanism"], event.get("saved", False)), (mechanism, changed))
            cli.end(0)
            same("events", cli.kinds(), CLOSED)
        same("saved state changed", content(saved) != before, changed)

    def without_keys(self, saved, jid):
        before = content(saved)
        with Cli(self.server, "--saved", saved, jid=jid, password=None) as cli:
            error = cli.wait("error")
            same("error", (error["name"], error.get("condition")), ("KEYS", None))
            cli.end(4)
            same("events", cli.kinds(), REFUSED)
        same("saved state", content(saved), before)

    def keys(self, jid, mechanism):
        saved = os.path.join(self.base, f"{self.server.name}-{jid}")
        self.saved_login(saved, jid, "secret", mechanism, True)
        for _ in range(2):
            self.saved_login(saved, jid, None, mechanism, False)
        self.saved_login(saved, jid, "secret", mechanism, False)
        with Stranger(self.server, jid) as other:
            other.change_password(SECOND.replace("'", ""))
            other.leave()
        self.without_keys(saved, jid)
        self.saved_login(saved, jid, SECOND.replace("'", ""), mechanism, True)
        self.saved_login(saved, jid, None, mechanism, False)

    def plain(self):
        """Each login has a salt of its own, so there is no login without the password."""
        saved = os.path.join(self.base, f"{self.server.name}-plain")
        self.saved_login(saved, "alice@a.test", "secret", self.strongest, True)
        self.without_keys(saved, "alice@a.test")
        self.saved_login(saved, "alice@a.test", "secret", self.strongest, True)


class ProsodyAccounts(AccountCases):
    def form(self):
        """The server insists on more than the client can tell; what it says of that is handed on."""
        with Cli(self.server, "--create-account", jid="new@form.a.test") as cli:
            error = cli.wait("error")
            same("error", (error["name"], error["condition"], error["text"]), (
                "REGISTER", "not-acceptable", "Email: Required value missing"))
            cli.end(5)
            same("events", cli.kinds(), REFUSED)

    strongest = "SCRAM-SHA-256-PLUS"
    hashed = (("sha1.a.test", "SCRAM-SHA-1-PLUS"), ("sha256.a.test", "SCRAM-SHA-256-PLUS"))
    closed_condition = "service-unavailable"

    def certificates(self):
        self.case("new accounts want more", self.form)
        for tls in ("starttls", "direct"):
            self.case(f"EXTERNAL, {tls}", lambda tls=tls: self.login(
                "EXTERNAL", "none", *self.certificate("client-ext"), jid="alice@ext.a.test", password=None, tls=tls))
            self.case(f"EXTERNAL, {tls}, a certificate for another account", lambda tls=tls: self.refused(
                "AUTH", "not-authorized", *self.certificate("client-ext"), jid="bob@ext.a.test", password=None,
                tls=tls))
        self.case("EXTERNAL with a certificate of nobody's", lambda: self.refused(
            "AUTH", "account-disabled", *self.certificate("dialback"), jid="alice@ext.a.test", password=None))


class EjabberdAccounts(AccountCases):
    strongest = "SCRAM-SHA-512-PLUS"
    hashed = (("hash.a.test", "SCRAM-SHA-256-PLUS"),)
    closed_condition = "forbidden"

    def certificates(self):
        for tls in ("starttls", "direct"):
            self.case(f"EXTERNAL, {tls}", lambda tls=tls: self.login(
                "EXTERNAL", "none", *self.certificate("client-alice"), password=None, tls=tls))
            self.case(f"EXTERNAL, {tls}, a certificate for another account", lambda tls=tls: self.refused(
                "AUTH", "not-authorized", *self.certificate("client-alice"), jid="bob@a.test", password=None, tls=tls))
        self.case("EXTERNAL with a certificate of nobody's", lambda: self.refused(
            "AUTH", "not-authorized", *self.certificate("dialback"), password=None))


def content(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def silent(cli, *passwords):
    """The trace shows the session and none of the passwords."""
    text = cli.stderr()
    for password in passwords:
        if TELLING.search(text) or password in text:
            raise Failure("the trace shows the password")
    same("trace", [word in text for word in ("<response ", "</stream:stream>")], [True] * 2)
