# SPDX-License-Identifier: MIT
"""A case: what a hostile server does, and what must be seen of it. The client of the case then logs in to an
honest server at the same place with the same command line."""

import socket
import struct

from fake import SASL, Connection, Fake, Gone, Scram, listed, vouch
from harness import Cli, Failure, same, scratch
from hostile_left import left, untold
from hostile_tls import Tls

# How far the client came: its events before the error.
CONNECTED = ["connected"]
SECURED = [*CONNECTED, "secured"]
AUTHENTICATED = [*SECURED, "authenticated"]
ONLINE = [*AUTHENTICATED, "online"]

# What has left by then, inside direct TLS.
ASKED = "TLS, header"
AUTH = ASKED + ", auth SCRAM-SHA-256 y"
PROOF = AUTH + ", proof"
BOUND = PROOF + ", header, bind"
REFUSED = ", error not-authorized, end"
LEAVES = ", end"

STATUS = {"NET": 2, "TLS": 3, "SASL": 4, "XML": 5, "STREAM": 5, "TIME": 6, "LOCAL": 1}


class Attacker(Connection):
    """A connection whose TLS is made by hand, so that all of it is seen."""

    def __init__(self, sock, fake):
        super().__init__(sock, fake)
        self.wire = None
        self.challenges = []  # mechanism, salt, count: of what comes of them nothing may leave
        self.keys = []        # the same: it may be sent
        self.tokens = []      # that the client has; they may not leave either

    def raw(self):
        """TLS that the script does itself."""
        self.wire = self.socket = Tls(self.socket, self.fake.certificate, self.fake.key)
        self.secure, self.at = True, 0
        return self.wire

    def hello(self):
        """The same, after the client's first message."""
        wire = self.raw()
        wire.await_message("ClientHello")
        return wire

    def tls(self):
        self.raw().accept()

    def _receive(self):
        if self.wire is None:
            super()._receive()
            return
        data = self.wire.recv(65536)
        if not data:
            self.end = self.wire.ended
            raise Gone(self.end)
        self.clear += data

    def binding(self, gs2):
        return self.wire.unique if gs2.startswith("p=tls-unique,") else super().binding(gs2)

    def cut(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        raw = self.wire.socket if self.wire else self.socket
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket(fileno=raw.detach()).close()

    def rest(self):
        super().rest()
        if self.wire:
            self.wire.drain()

    # -- steps of a login that goes wrong --

    def exchange(self, *names, more="", **keys):
        """Up to the client's first message, inside TLS; the exchange that it begins."""
        self.encrypt()
        initial = self.offer(*(names or ["SCRAM-SHA-256"]), more=more).decode()
        scram = Scram(self.mechanism, initial, **keys)
        self.challenges.append((self.mechanism, scram.salt, scram.iterations))
        return scram

    def proved(self, *names, more="", first="", **keys):
        """The same up to the client's proof, which is right."""
        scram = self.exchange(*names, more=more, **keys)
        self.challenge(scram.first(more=first))
        scram.check(self.response(), self.binding(scram.gs2))
        return scram

    def fail(self, condition, text=""):
        self.send(f"<failure xmlns='{SASL}'><{condition}/>{text}</failure>")


# ---- The honest server -----------------------------------------------------------------------------

OFFER = ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]
BINDINGS = ["tls-server-end-point", "tls-unique"]


def session(c, *names, bindings=BINDINGS, **keys):
    """A whole honest session, of a server that vouches for its offer."""
    names = names or OFFER
    c.encrypt()
    c.scram(*names, more=listed(*bindings) if bindings else "",
            first=lambda mechanism: ",h=" + vouch(names, bindings, mechanism), **keys)
    c.bind()
    c.expect("</stream:stream>")
    c.send("</stream:stream>")


def honest(certificate="a.test", names=OFFER, bindings=BINDINGS, **keys):
    """Certificate and script of an honest server; keys as of Scram."""
    return certificate, lambda c: session(c, *names, bindings=bindings, **keys)


# ---- Cases -------------------------------------------------------------------------------------------


class Case:
    """group and title: what the server does, for people; variants of it differ in variant. script: function of an
    Attacker. error: the name that the client reports; None: it logs in, and ends in order. condition, text: of
    that error. reached: its events before. left: in words, what the server got on each connection; see
    hostile_left. options: of the client; one may be a function of the directory of certificates. drive: function of
    the running client, which may take events, named in events. before: honest servers of earlier logins; after: the
    one that comes later; both with options of their own if need be. password: None if the client has none any more.
    tail: events between the error and the end."""

    def __init__(self, group, title, script, error, left_, *, variant=None, condition=None, text=None,
                 reached=CONNECTED, tls="direct", options=(), certificate="a.test", connections=1, drive=None,
                 events=None, before=(), after=None, ca="ca", before_options=None, after_options=None,
                 password="secret", tail=()):
        self.group, self.title, self.variant, self.script = group, title, variant, script
        self.error, self.condition, self.text, self.reached = error, condition, text, reached
        self.left, self.connections = left_, connections
        self.tls, self.options, self.certificate = tls, options, certificate
        self.drive, self.events = drive, events
        self.before, self.after = before, after or honest()
        self.ca, self.before_options, self.after_options = ca, before_options, after_options
        self.password, self.tail = password, list(tail)

    @property
    def name(self):
        return f"{self.group}: {self.title}" + (f" {self.variant}" if self.variant is not None else "")

    def run(self, pki):
        room = scratch() if any("{scratch}" in str(option) for option in self.options) else None

        def ready(options):
            return [option(pki) if callable(option) else option.format(scratch=room) for option in options]

        ca = f"{pki}/{self.ca}.crt" if self.ca else None
        options = ready([*self.options, "--trace"])
        with Fake(None, pki, self.certificate, direct=self.tls == "direct") as fake:
            for server in self.before:
                log_in(self, fake, server, pki, ca, ready(self.before_options or self.options))
            serve(fake, pki, (self.certificate, self.script), Attacker)
            with Cli(fake.where, *options, tls=self.tls, ca=ca, password=self.password) as cli:
                if self.drive:
                    self.drive(cli)
                self.judge_client(cli)
                told = cli.stderr() + str(cli.events)
            fake.finish()
            judge(self, fake.connections)
            for connection in fake.connections:
                untold(told.encode(), connection)
            log_in(self, fake, self.after, pki, ca,
                   options if self.after_options is None else ready(self.after_options), self.password)

    def judge_client(self, cli):
        if self.error is None:
            cli.end(0)
            same("events", cli.kinds(), self.events or [*ONLINE, "closed"])
        else:
            error = cli.wait("error")
            same("error", error["name"], self.error)
            same("condition", error.get("condition"), self.condition)
            if self.text is not None:
                same("text", error.get("text"), self.text)
            cli.end(STATUS[error["origin"]])
            same("events", cli.kinds(), [*(self.events or self.reached), "error", *self.tail, "closed"])


def log_in(case, fake, server, pki, ca, options, password="secret"):
    """To an honest server, at the same place."""
    serve(fake, pki, server, Connection)
    with Cli(fake.where, *options, tls=case.tls, ca=ca, password=password) as cli:
        cli.child.process.stdin.close()
        try:
            cli.end(0)
        except Failure as failure:
            raise Failure(f"at the honest server: {failure}; {fake.problem or ''}") from failure
        same("events at the honest server", [kind for kind in cli.kinds() if kind in ONLINE], ONLINE)
    fake.finish()


def serve(fake, pki, server, connection):
    """What the next connections meet."""
    certificate, fake.script = server
    fake.certificate, fake.key = f"{pki}/{certificate}.crt", f"{pki}/{certificate}.key"
    fake.connection = connection
    fake.connections.clear()


def judge(case, connections, password="secret"):
    """What the server got; connections are Attackers."""
    same("connections", len(connections), case.connections)
    for connection in connections:
        same("what has left", left(connection, password), case.left)
