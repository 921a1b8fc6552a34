# SPDX-License-Identifier: MIT
"""xmpp_tiny with SASL2 [XEP-0388]: every mechanism, h= and lists within it, and the keys that a server with
those for SCRAM-SHA-1 alone asks for [XEP-0480]."""

import os
import re

from harness import Cli, same
from modules_client import SCRAM
from modules_login import ONLINE, PLUS, Login
from modules_prosody import BOTH, SASL2_MODULES, host

LISTS = ("e2e_downgrade", "e2e_endpoint")
WRONG = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="  # as long as one of SHA-256


def offer(*modules, bindings=BOTH, **options):
    return host(*SASL2_MODULES, *LISTS, *modules, e2e_bindings=bindings, **options)


def grow(*hashes, **options):
    """Has the keys for SCRAM-SHA-1, and no more; nor tokens, since who has one needs no keys."""
    return host(*(name for name in SASL2_MODULES if name != "sasl2_fast"), "e2e_upgrade", "e2e_endpoint", authentication="internal_hashed",
                e2e_bindings=BOTH, e2e_upgrade_hashes=hashes, **options)


HOSTS = {
    "sasl2.a.test": offer(),
    "end-2.a.test": offer(bindings=["tls-server-end-point"]),
    "exporter-2.a.test": offer(bindings=["tls-exporter"]),
    "alone.a.test": offer("e2e_alone"),
    "plain-2.a.test": host(*SASL2_MODULES, disable_sasl_mechanisms=SCRAM),
    "open.a.test": offer("register", allow_registration=True),
    "upgrade.a.test": grow("SHA-256", "SHA-512"),
    "grow.a.test": grow("SHA-256"),
    "grow-twice.a.test": grow("SHA-256", "SHA-512"),
    "grow-slow.a.test": grow("SHA-256", e2e_upgrade_iterations=100001),
    # Not what they were when they left the server.
    "forged-2.a.test": offer(e2e_downgrade_hash=WRONG),
    "no-sha256-2.a.test": offer(e2e_downgrade_strip=["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]),
    "no-unique-2.a.test": offer(e2e_downgrade_strip=["tls-unique"]),
    "no-plus-2.a.test": offer(e2e_downgrade_strip=PLUS),
    "no-list-2.a.test": host(*SASL2_MODULES, "e2e_downgrade"),
}
USERS = [f"{user}@grow.a.test" for user in ("bob", "carol", "dave", "erin", "frank", "grace")]


class Sasl2(Login):
    begin = "authenticate"

    def run(self):
        for tls in ("starttls", "direct"):
            self.login("sasl2.a.test", "SCRAM-SHA-256-PLUS", "tls-unique", tls=tls)
            self.login("end-2.a.test", "SCRAM-SHA-256-PLUS", "tls-server-end-point", tls=tls)
            self.login("alone.a.test", "SCRAM-SHA-256-PLUS", "tls-unique", tls=tls)
        for mechanism in ["PLAIN", *SCRAM]:
            self.login("sasl2.a.test", mechanism, "tls-unique" if mechanism in PLUS else "none",
                       "--mechanism", mechanism)
        self.login("sasl2.a.test", "SCRAM-SHA-256-PLUS", "tls-unique", "--rx", "1024")
        self.login("plain-2.a.test", "PLAIN", "none", "--mechanism", "PLAIN")
        self.refused("plain-2.a.test", "MECHANISM", None, [])
        self.refused("sasl2.a.test", "AUTH", "not-authorized", ["authenticate", "response"], password="wrong")
        self.refused("sasl2.a.test", "AUTH", "not-authorized", ["authenticate"], "--mechanism", "PLAIN",
                     password="wrong")
        self.report.run("SASL2: a message to oneself", self.message)
        self.report.run("SASL2: an account is made first", self.account)
        # h= and the rules for lists [XEP-0474 7, XEP-0440 3].
        self.login("exporter-2.a.test", "SCRAM-SHA-256", "none")
        for mechanism in SCRAM:
            self.refused("forged-2.a.test", "DOWNGRADE", None, ["authenticate"], "--mechanism", mechanism)
        self.refused("forged-2.a.test", "DOWNGRADE", None, ["authenticate"], tls="direct")
        self.refused("no-sha256-2.a.test", "DOWNGRADE", None, ["authenticate"])
        self.refused("no-unique-2.a.test", "DOWNGRADE", None, ["authenticate"])
        self.refused("no-plus-2.a.test", "DOWNGRADE", None, [])
        self.refused("no-list-2.a.test", "DOWNGRADE", None, [])

    def message(self):
        mark = len(self.server.log())
        with Cli(self.server, "--stdin", "--resource", "desk", jid="alice@alone.a.test") as cli:
            own = cli.wait("online")["jid"]
            same("bound", own.split("~")[0], "alice@alone.a.test/desk")  # the server adds to it
            cli.say(f"message {own} from me to me")
            cli.wait("message", **{"from": own, "body": "from me to me"})
            cli.say("quit")
            cli.end(0)
        self.log(mark, ["authenticate", "response"])

    def account(self):
        mark = len(self.server.log())
        with Cli(self.server, "--create-account", jid="new@open.a.test") as cli:
            cli.end(0)
            same("events", cli.kinds(), [*ONLINE[:2], "registered", *ONLINE[2:]])
        self.log(mark, ["iq", "iq", "authenticate", "response"])


class Upgrade(Login):
    """Who logs in is whose account grows, so each case has its own."""

    begin = "authenticate"

    def run(self):
        for name in ("bound", "unbound", "kept", "without_password", "wrong_password", "first_use", "plain", "twice",
                     "slow"):
            self.report.run(f"upgrade: {name.replace('_', ' ')}", getattr(self, name))

    def grown(self, jid, mechanism, binding, wanted, *options, **how):
        """A login, in which the key of that name is asked for and given; None: none is."""
        log = self.accepted(jid, mechanism, binding, *options, more=["next", "task-data"] if wanted else [], **how)
        self.told(log, [wanted] if wanted else [], [(wanted, "right")] if wanted else [])

    def told(self, log, asked, given):
        same("asked for", re.findall(r"Asked for by \S+ (.+)", log), asked)
        same("given", re.findall(r"Upgrade of \S+ to (\S+): SaltedPassword is (\w+)", log), given)

    def saved(self, name):
        return "--saved", os.path.join(self.server.base, name)

    def bound(self):
        jid = "alice@grow.a.test"
        self.told(self.refuses(jid, "AUTH", "not-authorized", ["authenticate", "response"], password="wrong"),
                  ["SCRAM-SHA-256"], [])
        self.grown(jid, "SCRAM-SHA-1-PLUS", "tls-unique", "SCRAM-SHA-256", "--rx", "1024")
        self.grown(jid, "SCRAM-SHA-256-PLUS", "tls-unique", None)

    def unbound(self):
        """Without a binding somebody may sit in between, to whom no key is given."""
        jid = "bob@grow.a.test"
        self.grown(jid, "SCRAM-SHA-1", "none", None, "--mechanism", "SCRAM-SHA-1")
        self.grown(jid, "SCRAM-SHA-1-PLUS", "tls-unique", "SCRAM-SHA-256")

    def kept(self):
        """What is derived for the server is what the next login needs."""
        jid, saved = "carol@grow.a.test", self.saved("carol")
        self.grown(jid, "SCRAM-SHA-1-PLUS", "tls-unique", "SCRAM-SHA-256", *saved, saved=True)
        self.grown(jid, "SCRAM-SHA-256-PLUS", "tls-unique", None, *saved, saved=True, password=None)
        # Nothing is derived when there is a password either: this one would not do.
        self.grown(jid, "SCRAM-SHA-256-PLUS", "tls-unique", None, *saved, password="wrong")

    def without_password(self):
        """Nor does a stranger get a key."""
        jid, saved = "dave@grow.a.test", ("--first-use", *self.saved("dave"))
        self.grown(jid, "SCRAM-SHA-1", "none", None, *saved, "--mechanism", "SCRAM-SHA-1", ca="", saved=True)
        self.grown(jid, "SCRAM-SHA-1-PLUS", "tls-unique", None, *saved, ca="", saved=True, password=None)
        # By now the server is no stranger.
        self.grown(jid, "SCRAM-SHA-1-PLUS", "tls-unique", "SCRAM-SHA-256", *saved, ca="", saved=True)
        self.grown(jid, "SCRAM-SHA-256-PLUS", "tls-unique", None, *saved, ca="", saved=True, password=None)

    def wrong_password(self):
        """The keys of the last login would do; what is derived from this password must not reach the server."""
        jid, saved = "grace@grow.a.test", ("--first-use", *self.saved("grace"))
        self.grown(jid, "SCRAM-SHA-1", "none", None, *saved, "--mechanism", "SCRAM-SHA-1", ca="", saved=True)
        log = self.refuses(jid, "AUTH", "not-authorized", ["authenticate", "response"], *saved, ca="",
                           password="wrong")
        self.told(log, ["SCRAM-SHA-256"], [])
        self.grown(jid, "SCRAM-SHA-1-PLUS", "tls-unique", "SCRAM-SHA-256", *saved, ca="", saved=True)

    def first_use(self):
        """The binding vouches for a stranger."""
        saved = ("--first-use", *self.saved("erin"))
        self.grown("erin@grow.a.test", "SCRAM-SHA-1-PLUS", "tls-unique", "SCRAM-SHA-256", *saved, ca="", saved=True)

    def plain(self):
        self.grown("frank@grow.a.test", "PLAIN", "none", None, "--mechanism", "PLAIN")

    def twice(self):
        """The strongest first. This server can not use it, so the other one is asked for as well."""
        jid = "alice@grow-twice.a.test"
        self.grown(jid, "SCRAM-SHA-1-PLUS", "tls-unique", "SCRAM-SHA-512", tls="direct")
        self.grown(jid, "SCRAM-SHA-1-PLUS", "tls-unique", "SCRAM-SHA-256", tls="direct")
        self.grown(jid, "SCRAM-SHA-256-PLUS", "tls-unique", None, tls="direct")

    def slow(self):
        log = self.refuses("alice@grow-slow.a.test", "ITERATIONS", None, ["authenticate", "response", "next"])
        self.told(log, ["SCRAM-SHA-256"], [])
