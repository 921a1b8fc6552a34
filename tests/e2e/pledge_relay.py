# SPDX-License-Identifier: MIT
"""Somebody in between: ends TLS with a certificate that is valid for the name, goes on to the real server over
TLS of their own, and hands everything on. Only the channel binding tells."""

import contextlib
import itertools
import os
import re
import select
import socket
import ssl

from fake import Fake
from harness import PATIENCE, Cli, same
from pledge_pki import spki
from servers import Cases, online

PLUS = re.compile(rb"<mechanism>[^<]*-PLUS</mechanism>")
LIST = re.compile(rb"<sasl-channel-binding .*?</sasl-channel-binding>")


class Relay(Fake):
    """As a server to a client, with one of the certificates in pki. What matches one of `without` is kept from
    the client; `kept` counts."""

    def __init__(self, server, pki, certificate, *without):
        self.server, self.without, self.kept = server, without, 0
        super().__init__(self.hand_on, pki, certificate)

    def hand_on(self, c):
        c.tls()
        context = ssl.create_default_context(cafile=self.server.ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # with 1.3 Prosody offers no -PLUS
        with socket.create_connection((self.server.address, self.server.direct), PATIENCE) as plain, \
                context.wrap_socket(plain, server_hostname=c.server_name) as upstream:
            handed, back = 0, b""
            while True:
                ready = [end for end in (c.socket, upstream) if end.pending()] or \
                    select.select((c.socket, upstream), (), (), PATIENCE)[0]
                if c.socket in ready:
                    c.expect(".")
                    upstream.sendall(c.clear[handed:])
                    handed = c.at = len(c.clear)
                else:
                    more = upstream.recv(65536) if ready else b""
                    back = self.hand_back(c, back + more, not more)
                    if not more:
                        c.notify()
                        return

    def hand_back(self, c, data, last):
        """Returns what has to wait: an offer may come in pieces."""
        if not last and data.count(b"<stream:features>") > data.count(b"</stream:features>"):
            return data
        for pattern in self.without:
            data, count = pattern.subn(b"", data)
            self.kept += count
        c.send(data)
        return b""


class RelayCases(Cases):
    """The honest login, and with somebody in between: who notices, and how."""

    jid = "relayed@a.test"

    def __init__(self, report, server, base):
        super().__init__(report, server, None)
        self.base, self.numbers = base, itertools.count()

    def run(self):
        self.case("tls-unique, nobody in between", lambda: self.login(
            self.strongest, "tls-unique", tls="direct", jid=self.jid, user="relayed"))
        self.case("relay, tls-unique", lambda: self.noticed("relay", (), *self.mismatch))
        self.case("relay with the server's own key, tls-unique", lambda: self.noticed(self.own, (), *self.mismatch))
        self.case("relay, no binding wanted: it gets through", lambda: self.unnoticed(
            "relay", (), self.unbound, "none", "--mechanism", self.unbound))
        self.case("relay that strips -PLUS", self.stripped)
        self.case("relay that strips -PLUS, saved state", lambda: self.remembered(self.own, (PLUS,), self.weaker))
        self.case("relay that strips -PLUS, saved state, a weaker login by choice in between", lambda: self.remembered(
            self.own, (PLUS,), self.weaker, "--mechanism", self.unbound))
        self.case("relay with a key of its own, saved state", lambda: self.remembered("relay", (), self.changed))
        self.case("relay, EXTERNAL", self.external)

    @contextlib.contextmanager
    def relayed(self, certificate, without, *options, jid=None, **how):
        """A login through a relay; yields the client and, once it has ended, says what it had sent."""
        with Relay(self.server, self.server.pki, certificate, *without) as relay, \
                Cli(relay.where, *options, jid=jid or self.jid, tls="direct", ca=self.server.ca, **how) as cli:

            def sent():
                relay.finish()
                same("something to strip", relay.kept > 0, bool(without))
                return relay.only().clear

            yield cli, sent

    def noticed(self, certificate, without, *error, jid=None, auth=True):
        """Refused by the server (auth) or by the client, before <auth/>; error: name, condition, text."""
        with self.relayed(certificate, without, jid=jid) as (cli, sent):
            got = cli.wait("error")
            same("error", tuple(got.get(key) for key in ("name", "condition", "text"))[:len(error)], error)
            cli.end(4)
            same("events", cli.kinds(), ["connected", "secured", "error", "closed"])
            same("<auth/> sent", b"<auth " in sent(), auth)

    def unnoticed(self, certificate, without, mechanism, binding, *options, jid=None):
        with self.relayed(certificate, without, *options, jid=jid) as (cli, sent):
            online(cli, mechanism, binding)
            cli.end(0)
            same("all of the session", b"</stream:stream>" in sent(), True)

    def remembered(self, certificate, without, check, *choice):
        """After an honest login whose saved state is there, and perhaps another with a choice of its own."""
        saved = os.path.join(self.base, f"{self.server.name}-relay-{next(self.numbers)}")
        logins = [(), choice] if choice else [()]
        for options in logins:
            with Cli(self.server, "--saved", saved, *options, jid=self.jid, tls="direct") as cli:
                same("saved", cli.wait("authenticated")["saved"], True)
                cli.end(0)
        with self.relayed(certificate, without, "--saved", saved) as (cli, sent):
            check(cli, sent)

    def weaker(self, cli, sent):
        same("error", cli.wait("error")["name"], "DOWNGRADE")
        cli.end(4)
        same("events", cli.kinds(), ["connected", "secured", "error", "closed"])
        same("<auth/> sent", b"<auth" in sent(), False)

    def changed(self, cli, sent):
        event = cli.wait("changed")
        same("keys", (event["old_spki"], event["spki"]),
             (spki(self.server.pki, self.own), spki(self.server.pki, "relay")))
        same("error", cli.wait("error")["name"], "CERT_CHANGED")
        cli.end(3)
        same("events", cli.kinds(), ["connected", "changed", "error", "closed"])
        same("sent", sent(), b"")

    def external(self):
        """A client's certificate cannot be handed on."""
        with self.relayed("relay", (), *self.certificate(self.client), jid=self.client_jid,
                          password=None) as (cli, sent):
            got = cli.wait("error")
            same("error", (got["name"], got["condition"]), ("AUTH", self.nobody))
            cli.end(4)
            same("<auth/> sent", b"<auth " in sent(), True)


class ProsodyRelay(RelayCases):
    strongest, unbound, own = "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "pledge"
    mismatch = ("AUTH", "malformed-request", "Invalid channel binding value.")
    client, client_jid, nobody = "client-ext", "alice@ext.a.test", "account-disabled"
    endpoint = "relayed@endp.a.test"

    def stripped(self):
        """By its flag "y" the client says that it could have; Prosody knows that it had offered."""
        self.noticed("relay", (PLUS,), "AUTH", "malformed-request")

    def run(self):
        super().run()
        self.case("tls-server-end-point, nobody in between", lambda: self.login(
            self.strongest, "tls-server-end-point", tls="direct", jid=self.endpoint, user="relayed"))
        self.case("relay, tls-server-end-point", lambda: self.noticed(
            "relay", (), *self.mismatch, jid=self.endpoint))
        self.case("relay with the server's own key, tls-server-end-point: it gets through", lambda: self.unnoticed(
            self.own, (), self.strongest, "tls-server-end-point", jid=self.endpoint))
        self.case("relay that strips -PLUS but not the list of bindings", lambda: self.noticed(
            "relay", (PLUS,), "DOWNGRADE", jid=self.endpoint, auth=False))
        self.case("relay that strips -PLUS and the list of bindings", lambda: self.noticed(
            "relay", (PLUS, LIST), "AUTH", "malformed-request", jid=self.endpoint))


class EjabberdRelay(RelayCases):
    strongest, unbound, own = "SCRAM-SHA-512-PLUS", "SCRAM-SHA-512", "erl"
    mismatch = ("AUTH", "not-authorized", "Invalid channel binding")
    client, client_jid, nobody = "client-alice", "alice@a.test", "not-authorized"

    def stripped(self):
        """ejabberd does not mind the flag "y", though it had offered -PLUS [RFC5802 6]: saved state alone tells."""
        self.unnoticed("relay", (PLUS,), self.unbound, "none")
