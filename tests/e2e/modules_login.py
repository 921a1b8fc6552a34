# SPDX-License-Identifier: MIT
"""Logins of xmpp_tiny at hosts of a Modern server, and what that server says of them in its log."""

import re

from harness import Cli, same, until

ONLINE = ["connected", "secured", "authenticated", "online", "closed"]
PLUS = ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"]


class Login:
    """`begin`: the element by which these logins begin; so it is legacy SASL or SASL2 that is used."""

    begin = None

    def __init__(self, report, server):
        self.report, self.server = report, server

    def title(self, host_name, tls, options):
        return " ".join([f"{host_name}, {self.begin}, {tls}", *options])

    def exchange(self, mechanism):
        """What a client sends for a login with that mechanism. A <response/> has its proof."""
        return [self.begin, "response"] if mechanism.startswith("SCRAM-") else [self.begin]

    def login(self, host_name, mechanism, binding, *options, tls="starttls"):
        self.report.run(f"{self.title(host_name, tls, options)}: {mechanism}, {binding}", lambda: self.accepted(
            f"alice@{host_name}", mechanism, binding, *options, tls=tls))

    def accepted(self, jid, mechanism, binding, *options, more=(), saved=False, **how):
        """more: what is sent after the login proper. saved: whether there is something to be stored. Returns what
        the server wrote down."""
        mark = len(self.server.log())
        with Cli(self.server, *options, jid=jid, **how) as cli:
            event = cli.wait("authenticated")
            same("mechanism", (event["mechanism"], event["binding"]), (mechanism, binding))
            same("saved", event["saved"], saved)
            cli.end(0)
            same("events", cli.kinds(), ONLINE)
        return self.log(mark, [*self.exchange(mechanism), *more])

    def refused(self, host_name, name, condition, sent, *options, tls="starttls", **how):
        self.report.run(f"{self.title(host_name, tls, options)}: {name}", lambda: self.refuses(
            f"alice@{host_name}", name, condition, sent, *options, tls=tls, **how))

    def refuses(self, jid, name, condition, sent, *options, **how):
        """Either side ends it. sent: all that the server gets before. Returns what it wrote down."""
        mark = len(self.server.log())
        with Cli(self.server, *options, jid=jid, **how) as cli:
            error = cli.wait("error")
            same("error", (error["name"], error.get("condition")), (name, condition))
            cli.end(4)
            same("events", cli.kinds(), ["connected", "secured", "error", "closed"])
        return self.log(mark, sent)

    def log(self, mark, sent):
        """From mark on; nothing but STARTTLS and these elements was received before the login succeeded."""
        until("the server to see the end", lambda: "Client disconnected" in self.server.log()[mark:])
        log = self.server.log()[mark:]
        same("sent", re.findall(r"Received\[c2s_unauthed\]: <(?!starttls)([\w-]+)", log), sent)
        return log
