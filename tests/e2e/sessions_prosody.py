# SPDX-License-Identifier: MIT
"""What Prosody alone has: tokens, inactive clients, a stream that ends inside a stanza. And TLS sessions, by a front
that keeps them."""

import contextlib
import os
import re
import shutil

from harness import Cli, Failure, read, same, until
from sessions_case import FAST_RETRY, Sessions, Way, bodies, ids
from tlsfront import TlsFront

BIG = "x" * 6000  # before Prosody has looked at a login by SASL2 again, it takes no more than 10,000 bytes

RECORDS = "2373"  # of 2,048 bytes at most, in both directions


def turns(trace):
    """Of what goes inside TLS, what the client sent before the server's first, second ... word."""
    inside = trace.split("<proceed ", 1)[-1].splitlines()
    blocks, last = [""], ">"
    for line in inside:
        if line[:2] not in ("> ", "< "):
            continue
        if line[0] == ">" and last == "<":
            blocks.append("")
        blocks[-1] += line[2:] if line[0] == ">" else ""
        last = line[0]
    return blocks


class Tokens(Sessions):
    """Logins by token [XEP-0484], of tool runs that remember no more than that."""

    def __init__(self, report, server, base):
        super().__init__(report, server, base, Way("tokens", "alice", "fast.a.test", "sasl2", "fast", None))

    def case(self, name, function, *arguments):
        self.report.run(f"tokens: {name}", function, *arguments)

    def run(self):
        for tls in ("starttls", "direct"):
            self.case(f"no password is needed, {tls}", self.alone, tls)
        self.case("one round trip", self.trips)
        self.case("--pipeline off", self.trips, "--pipeline", "off")
        self.case("--sasl2 off", self.classic)
        for how, spoil in (("is gone", os.unlink), ("is another", self.other)):
            self.case(f"the server's {how}: by password", self.refused, spoil)
        self.case("the server's is gone, and there is no password", self.nothing_left)
        self.case("too old: by password", self.expired)
        self.case("a new one each time", self.rotated)
        self.case("given back", self.given_back)
        self.case("given back, --pipeline off", self.given_back, "--pipeline", "off")
        self.case("given back by a session that goes on", self.given_back_resumed)

    def login(self, saved, via, *options, host=None, link=None, tls=None, stored=None, password="secret"):
        """Returns the trace."""
        tls = tls or self.way.tls
        with Cli(link.where if link else self.server, "--trace", "--saved", saved, "--ping", "-", *options,
                 jid=f"alice@{host or self.way.host}", tls=tls, ca=self.server.ca, password=password) as cli:
            authenticated = cli.wait("authenticated")
            event = cli.wait("online")
            same("online", (event["resumed"], event["via"]), (False, via))
            if stored is not None:
                same("saved", authenticated["saved"], stored)
            cli.wait("pong")
            cli.end(0)
            return cli.stderr()

    def alone(self, tls):
        saved = self.file()
        self.login(saved, "sasl2", tls=tls, stored=True)
        for _ in range(3):
            self.login(saved, "fast", tls=tls, stored=False, password=None)

    def trips(self, *options):
        saved = self.file()
        self.login(saved, "sasl2")
        sent = turns(self.login(saved, "fast", *options))
        same("<authenticate/> in", [at for at, part in enumerate(sent) if "<authenticate " in part],
             [1 if options else 0])
        same("the ping in", [at for at, part in enumerate(sent) if "urn:xmpp:ping" in part], [2 if options else 1])
        same("trace tells the token", "secret-token" in "".join(sent), False)

    def classic(self):
        """The token stays for later."""
        saved = self.file()
        self.login(saved, "sasl2")
        self.login(saved, "classic", "--sasl2", "off")
        self.login(saved, "fast", password=None)

    def tokens(self):
        return self.server.data(self.way.host, "fast_tokens")

    @staticmethod
    def other(path):
        with open(path, "r+", encoding="utf-8") as file:
            text = file.read()
            file.seek(0)
            file.write(text.replace("secret-token:fast-", "secret-token:fasd-"))

    def refused(self, spoil):
        saved = self.file()
        self.login(saved, "sasl2")
        spoil(self.tokens())
        with self.link() as link:
            self.login(saved, "sasl2", link=link, stored=True)
            same("connections", link.count, 1)
        self.login(saved, "fast", stored=False, password=None)

    def nothing_left(self):
        saved = self.file()
        self.login(saved, "sasl2")
        os.unlink(self.tokens())
        self.worthless(saved)
        self.login(saved, "sasl2", stored=True)

    def worthless(self, saved):
        """Prosody, which has the passwords, makes a new salt each time, so keys that were kept do not help. Returns
        the trace."""
        with Cli(self.server, "--trace", "--saved", saved, jid=f"alice@{self.way.host}", password=None) as cli:
            same("error", cli.wait("error")["name"], "KEYS")
            cli.end(4)
            return cli.stderr()

    def token(self, saved):
        """Of that file; and whether the server knows it."""
        with open(saved, "rb") as file:
            found = re.search(rb"secret-token:fast-[\w-]+", file.read())
        return found and found.group().decode(), bool(found) and found.group().decode() in read(self.tokens())

    def given_back(self, *options):
        """Nobody has it any more; a copy of the file does not help."""
        saved, copy = self.file(), self.file()
        self.login(saved, "sasl2", *options)
        token, known = self.token(saved)
        same("known", known, True)
        shutil.copy(saved, copy)
        self.login(saved, "fast", "--forget", *options, password=None)
        same("in the file", self.token(saved), (None, False))
        same("at the server", self.token(copy), (token, False))
        same("by token", "mechanism='HT-SHA-256" in self.worthless(saved), False)
        same("by the copy's token", "mechanism='HT-SHA-256" in self.worthless(copy), True)
        self.login(saved, "sasl2", *options, stored=True)
        self.login(saved, "fast", *options, password=None)

    def given_back_resumed(self):
        """Whoever goes on is given another one by this server, asked for or not."""
        session, copy = self.file(), self.file()
        for via, *options in (["sasl2"], ["fast", "--forget"]):
            with self.cli("--session", session, *options) as cli:
                event = cli.wait("online")
                same("online", (event["resumed"], event["via"]), (via == "fast", via))
                self.leave(cli)
            if not options:
                shutil.copy(session, copy)
        same("known", self.token(copy)[1], False)

    def expired(self):
        saved = self.file()
        for _ in range(3):
            self.login(saved, "sasl2", host="expire.a.test", stored=True)

    def rotated(self):
        saved = self.file()
        self.login(saved, "sasl2", host="rotate.a.test")
        for _ in range(3):
            self.login(saved, "fast", host="rotate.a.test", stored=True, password=None)


class Front(Sessions):
    """TLS sessions [RFC5246 7.3]. The server sees no TLS, so it has no -PLUS."""

    def __init__(self, report, server, base):
        super().__init__(report, server, base, Way("front", "alice", "front.a.test", "sasl2", "fast", None))

    def run(self):
        self.report.run("TLS sessions: peers", self.peers)
        for tls in ("starttls", "direct"):
            for host, via in (("front.a.test", "fast"), ("front-classic.a.test", "classic")):
                for name in ("remembered", "kept"):
                    self.report.run(f"TLS sessions: {tls}, {via}, {name}", getattr(self, name), host, via, tls)

    def peers(self):
        self.watchers = {host: self.find(host) for host in ("front.a.test", "front-classic.a.test")}

    @contextlib.contextmanager
    def front(self, tls):
        with TlsFront().start(0, (self.server.address, self.server.port), *self.server.certificate(),
                              starttls=tls == "starttls") as front:
            yield front
            same("problems", front.problems, [])

    def remembered(self, host, via, tls):
        saved = self.file()
        with self.front(tls) as front:
            for number, resumed in enumerate((False, True, True, False, True)):
                if number == 3:
                    front.forget()
                with Cli(front.where, "--saved", saved, "--ping", "-", jid=f"alice@{host}", tls=tls,
                         ca=self.server.ca) as cli:
                    event = cli.wait("authenticated")
                    same("binding", event["binding"], "none")
                    event = cli.wait("online")
                    same("online", (event["via"], event["tls_resumed"]), (via if number else {
                        "fast": "sasl2"}.get(via, via), resumed))
                    cli.wait("pong")
                    cli.end(0)
                same("at the front", front.handshakes[-1][1], resumed)
            same("handshakes", len(front.handshakes), 5)

    def kept(self, host, via, tls):
        """After a break session and TLS session go on."""
        peer = self.watchers[host]
        with self.front(tls) as front, Cli(front.where, "--stdin", "--keep", *FAST_RETRY, jid=f"alice@{host}", tls=tls,
                                           ca=self.server.ca) as cli:
            jid = cli.wait("online", resumed=False, tls_resumed=False)["jid"]
            for word in ("one", "two"):
                self.exchange(cli, jid, peer, word)
                front.cut()
                event = cli.wait("online", resumed=True)
                same("online", (event["jid"], event["via"], event["tls_resumed"]), (jid, via, True))
            self.exchange(cli, jid, peer, "three")
            self.leave(cli)
            same("at the peer", bodies(peer, jid), ["one up", "two up", "three up"])


class Inactive(Sessions):
    """[XEP-0352]"""

    def run(self):
        self.case("peers", self.peers)
        self.case("inactive, also when it comes back", self.inactive)
        self.case("active", self.active)

    def peers(self):
        self.peer = self.find(self.way.host)

    def ask(self, cli, jid, word):
        """Sends what can wait and then what can not."""
        self.peer.do("message", to=jid, body=f"{word} later", type="headline")
        self.peer.do("message", to=jid, body=f"{word} now")
        for when in ("later", "now"):
            cli.wait("message", **{"from": self.peer.full, "body": f"{word} {when}"})

    def inactive(self):
        """Prosody 0.12 takes no notice of what is said with <authenticate/>. Told in the middle of a burst it keeps
        the rest of it, so it has to be waited for."""
        with self.link() as link, self.cli("--keep", *FAST_RETRY, "--inactive", link=link) as cli:
            mark, jid = len(self.server.log()), self.online(cli)
            for word in ("one", "two"):
                if self.way.first == "classic" or word == "two":
                    until("<inactive/>", lambda mark=mark: "Received[c2s]: <inactive " in self.server.log()[mark:])
                    held = len(self.server.log())
                    self.ask(cli, jid, word)
                    same("held back", "Holding buffer (headline" in self.server.log()[held:], True)
                mark = len(self.server.log())
                link.cut("reset")
                self.gone(cli, "reset")
                same("jid", self.online(cli, True), jid)
            self.leave(cli)

    def active(self):
        with self.cli("--keep") as cli:
            jid = self.online(cli)
            mark = len(self.server.log())
            self.ask(cli, jid, "one")
            same("held back", "Holding buffer" in self.server.log()[mark:], False)
            self.leave(cli)


class Half(Sessions):
    """The connection ends inside a stanza; what the server does with the half of it is not the client's fault."""

    def __init__(self, report, server, base, way, cured):
        super().__init__(report, server, base, way)
        self.cured = cured

    def run(self):
        self.case("peers", self.peers)
        name = "half a stanza" if self.cured else "half a stanza, which the server goes on with"
        self.case(f"{name}, in a text", self.half, f"<message to='PEER'><body>big up</body><x xmlns='urn:x'>{BIG}</x>"
                  "</message>")
        self.case(f"{name}, in a value", self.half, "<message to='PEER'><body>big up</body>"
                  f"<x xmlns='urn:x' a='{BIG}'/></message>")

    def peers(self):
        self.peer = self.find(self.way.host)

    def half(self, stanza):
        with self.link() as link, self.cli("--keep", *FAST_RETRY, "--timeout", "5", "--tls-buffer", RECORDS,
                                           link=link) as cli:
            jid = self.online(cli)
            self.exchange(cli, jid, self.peer, "before")
            link.split(1500)
            cli.say("id=big raw " + stanza.replace("PEER", self.peer.full))
            cli.wait("disconnected")
            until("its end", lambda: "big" in ids(cli, "delivered") + ids(cli, "undelivered"))
            if not self.cured and any(event["condition"] == "policy-violation" for event in cli.events
                                      if event["event"] == "error" and "condition" in event):
                # All that was sent anew became part of the half stanza, until that was too big: nothing to try again.
                same("told once", ids(cli, "undelivered"), ["big"])
                return
            jids = [event["jid"] for event in cli.events if event["event"] == "online"]
            cli.say(f"id=ping ping {self.way.host}")
            cli.wait("pong", id="ping")
            now = [event["jid"] for event in cli.events if event["event"] == "online"][-1]
            self.exchange(cli, now, self.peer, "after")
            self.leave(cli)
            arrived = [body for sender in dict.fromkeys([*jids, now]) for body in bodies(self.peer, sender)]
            if self.cured:
                same("resumed", [e["resumed"] for e in cli.events if e["event"] == "online"], [False, True])
            if "big" in ids(cli, "delivered"):
                same("at the peer", arrived, ["before up", "big up", "after up"])
            elif self.cured or arrived != ["before up", "after up"]:
                raise Failure(f"undelivered, and at the peer: {arrived}")
            same("told once", sorted(ids(cli, "delivered") + ids(cli, "undelivered")).count("big"), 1)


def cases(report, server, base):
    yield Tokens(report, server, base)
    yield Front(report, server, base)
    yield Inactive(report, server, base, Way("classic", "alice", "classic.a.test", "classic", "classic", None))
    yield Inactive(report, server, base, Way("FAST", "alice", "fast.a.test", "sasl2", "fast", None))
    for host, cured in (("whole", True), ("fast", False)):
        yield Half(report, server, base, Way("FAST", "alice", f"{host}.a.test", "sasl2", "fast", None), cured)
    for host, cured in (("whole-classic", True), ("classic", False)):
        yield Half(report, server, base, Way("classic", "alice", f"{host}.a.test", "classic", "classic", None), cured)
