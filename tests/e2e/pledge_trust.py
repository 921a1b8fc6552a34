# SPDX-License-Identifier: MIT
"""Whom the device trusts, on a server whose certificate changes: pinned keys, alone and with an authority;
trust on first use; what is remembered when the certificate is renewed, with the same key and with another.

Whatever is refused gets nothing: the server's log shows that no stream was opened inside TLS."""

import os
import re

from harness import Cli, same, until
from pledge_pki import certificate, spki
from servers import CLOSED

LEFT = ["connected", "changed", "error", "closed"]
CHANGED = ["connected", "changed", *CLOSED[1:]]
JID = "alice@a.test"
OTHER = "00" * 32


def make_certificates(pki):
    certificate(pki, "renewed", ["a.test"], key="a.test")
    certificate(pki, "another", ["a.test"])
    certificate(pki, "unknown", ["a.test"], authority=None)
    certificate(pki, "elsewhere", ["elsewhere.test"], authority=None)


class Trust:
    def __init__(self, report, server, base):
        self.report, self.server, self.base = report, server, base
        self.presented = None

    def key(self, name):
        return spki(self.server.pki, name)

    def present(self, name):
        if name != self.presented:
            self.server.present(name)
            self.presented = name

    def saved(self, name):
        return ["--saved", os.path.join(self.base, f"trust-{name}")]

    def accepted(self, trust, *options, events=CLOSED, saved=False, **how):
        """A login; saved: whether it is said to have changed the saved state. Returns the event
        changed, if it is among those wanted."""
        with Cli(self.server, *options, **{"ca": "", **how}) as cli:
            cli.end(0)
            same("events", cli.kinds(), events)
            secured = cli.wait("secured")
            same("secured", (secured["trust"], secured["spki"]), (trust, self.key(self.presented)))
            same("saved", cli.wait("authenticated")["saved"], saved)
            return cli.look("changed")

    def refused(self, name, *options, status=3, inside=False, tls="starttls", events=("connected", "error", "closed"),
                **how):
        """No login; inside: whether a stream may be opened in TLS before. Returns the event changed, if any."""
        mark = len(self.server.log())
        with Cli(self.server, *options, tls=tls, **{"ca": "", **how}) as cli:
            same("error", cli.wait("error")["name"], name)
            cli.end(status)
            same("events", cli.kinds(), list(events))
            until("the server to see the end", lambda: "Client disconnected" in self.server.log()[mark:])
            log = self.server.log()[mark:]
            same("opened, asked for", (log.count("Client sent opening <stream:stream>"), re.findall(
                r"Received\[c2s_unauthed\]: <(?!starttls)(\w+)", log)), ((tls == "starttls") + inside, []))
            return cli.look("changed")

    # -- pins --

    def pin(self):
        self.accepted("pin", "--pin", self.key("a.test"))
        self.accepted("pin", "--pin", self.key("a.test"), tls="direct")

    def wrong_pin(self):
        self.refused("PIN", "--pin", OTHER)
        self.refused("PIN", "--pin", self.key("another"))

    def two_pins(self):
        for pair in (("another", "a.test"), ("a.test", "another")):
            self.accepted("pin", "--pin", self.key(pair[0]), "--pin", self.key(pair[1]))

    def pin_and_ca(self):
        right, wrong = self.key("a.test"), self.key("another")
        self.accepted("ca-pin", "--pin", right, ca=None)
        self.refused("PIN", "--pin", wrong, ca=None)
        self.refused("CERT_UNTRUSTED", "--pin", right, ca=self.server.pem("rsaca"))

    def pin_and_saved(self):
        """A pin is the application's word: from one pinned key to another goes without asking, but not unseen."""
        pins = ["--pin", self.key("a.test"), "--pin", self.key("another")]
        self.accepted("pin", *pins, *self.saved("pins"), saved=True)
        self.present("another")
        seen = self.accepted("pin", *pins, *self.saved("pins"), events=CHANGED, saved=True)
        same("keys", (seen["old_spki"], seen["spki"]), (self.key("a.test"), self.key("another")))
        self.accepted("pin", *pins, *self.saved("pins"))
        self.present("a.test")

    def pin_elsewhere(self):
        """With a pin alone neither the name nor who signed it counts; with an authority both do."""
        self.present("elsewhere")
        key = self.key("elsewhere")
        self.accepted("pin", "--pin", key)
        self.refused("CERT_NAME", "--pin", key, ca=self.server.pem("elsewhere"))
        self.present("expired")
        self.accepted("pin", "--pin", self.key("expired"))
        self.refused("CERT_TIME", "--pin", self.key("expired"), ca=None)

    # -- first use, and after --

    def first_use(self):
        self.present("unknown")
        options = ["--first-use", *self.saved("first")]
        self.accepted("first-use", *options, saved=True)
        self.accepted("pin", *options)
        self.accepted("pin", *options, tls="direct")
        self.present("another")
        seen = self.refused("CERT_CHANGED", *options, events=LEFT)
        same("keys", (seen["old_spki"], seen["spki"]), (self.key("unknown"), self.key("another")))
        self.accepted("first-use", *options, "--accept-change", events=CHANGED, saved=True)
        self.accepted("pin", *options)
        self.present("unknown")
        seen = self.refused("CERT_CHANGED", *options, events=LEFT)
        same("keys", (seen["old_spki"], seen["spki"]), (self.key("another"), self.key("unknown")))

    def first_use_limits(self):
        """Nobody is told the password on first use, and name and dates have to hold."""
        self.present("unknown")
        self.refused("MECHANISM", "--first-use", *self.saved("plain"), "--mechanism", "PLAIN", status=4, inside=True,
                     events=("connected", "secured", "error", "closed"))
        self.refused("CERT_UNTRUSTED", "--first-use", *self.saved("new"), "--create-account", jid="new@a.test",
                     inside=True, events=("connected", "secured", "error", "closed"))
        self.unchanged()
        self.present("elsewhere")
        self.refused("CERT_NAME", "--first-use", *self.saved("elsewhere"))
        self.present("expired")
        self.refused("CERT_TIME", "--first-use", *self.saved("expired"))
        for name in ("plain", "new", "elsewhere", "expired"):
            same("saved", os.path.exists(self.saved(name)[1]), False)

    def unchanged(self):
        """A new password is told only if the login was bound to the channel."""
        options = ["--first-use", *self.saved("unbound"), "--change-password"]
        mark = len(self.server.log())
        with Cli(self.server, *options, "--mechanism", "SCRAM-SHA-1", ca="", new_password="new") as cli:
            same("error", (cli.wait("error")["name"]), "CERT_UNTRUSTED")
            cli.end(1)
            same("events", cli.kinds(), [*CLOSED[:-1], "error", "closed"])
        until("the server to see the end", lambda: "Client disconnected" in self.server.log()[mark:])
        same("asked for", "jabber:iq:register" in self.server.log()[mark:], False)
        with Cli(self.server, *options, ca="", new_password="secret") as cli:
            same("password", cli.wait("password"), {"event": "password"})
            cli.end(0)

    def remembered(self):
        """With an authority, which vouches for the new key as well."""
        self.present("a.test")
        saved = self.saved("ca")
        self.accepted("ca", *saved, ca=None, saved=True)
        self.accepted("ca", *saved, ca=None)
        self.present("renewed")
        seen = self.accepted("ca", *saved, ca=None, saved=True, events=CHANGED)
        same("keys", (seen["old_spki"], seen["spki"]), (self.key("a.test"), self.key("a.test")))
        same("certificates differ", seen["old_certificate"] != seen["certificate"], True)
        self.accepted("ca", *saved, ca=None)
        self.present("another")
        for tls in ("starttls", "direct"):
            new = self.refused("CERT_CHANGED", *saved, ca=None, tls=tls, events=LEFT)
            same("keys", (new["old_spki"], new["spki"], new["old_certificate"]),
                 (self.key("a.test"), self.key("another"), seen["certificate"]))
        self.accepted("ca", *saved, "--accept-change", ca=None, saved=True, events=CHANGED)
        self.accepted("ca", *saved, ca=None)
        self.present("a.test")
        old = self.refused("CERT_CHANGED", *saved, ca=None, events=LEFT)
        same("keys", (old["old_spki"], old["spki"]), (self.key("another"), self.key("a.test")))

    def run(self):
        def case(name, function):
            self.report.run(f"trust: {name}", function)

        self.present("a.test")
        case("pin", self.pin)
        case("wrong pin", self.wrong_pin)
        case("two pins, one of them right", self.two_pins)
        case("pin and authority", self.pin_and_ca)
        case("pins and saved state", self.pin_and_saved)
        case("pin on another name, out of date", self.pin_elsewhere)
        case("first use, then no other key", self.first_use)
        case("first use, what it does not do", self.first_use_limits)
        case("renewed, new key, accepted", self.remembered)
