# SPDX-License-Identifier: MIT
"""What ends a session for good, and what does not: another client in its place, a server that begins anew or sends
the client elsewhere, limits."""

import re
import signal

from fake import BIND, BINDING, STREAMS, Fake
from harness import Cli, same, until
from sessions_case import FAST_RETRY, Sessions, ids

SM = "urn:xmpp:sm:3"
LIMITS = "urn:xmpp:stream-limits:0"


class Conflict(Sessions):
    def run(self):
        self.case("another client in its place: not tried again", self.conflict)

    def conflict(self):
        with self.link() as link, self.cli("--keep", *FAST_RETRY, "--resource", "one", link=link) as first:
            jid = self.online(first)
            with self.cli("--resource", "one") as second:
                same("jid", self.online(second), jid)
                error = first.wait("error")
                same("error", (error["name"], error.get("condition")), ("STREAM", "conflict"))
                first.end(5)
                same("events", first.kinds()[-2:], ["error", "closed"])
                same("connections", (link.count, link.refused), (1, 0))
                self.leave(second)


class Restart(Sessions):
    """The last cases of a server: others that use it would not like them."""

    def run(self):
        for how, known in ((signal.SIGTERM, self.server.forgets), (signal.SIGKILL, False)):
            for options in ((), ("--resend",)):
                self.case(" ".join(["the server restarts,", how.name, *options]), self.restart, how, known, *options)

    def restart(self, how, known, *options):
        """known: it writes down what it had."""
        again = bool(known or options)
        with self.link() as link, self.cli("--keep", *FAST_RETRY, *options, link=link) as cli:
            self.online(cli)
            cli.say(f"id=before message {self.way.host} before")
            cli.wait("delivered", id="before")
            link.cut("stall")
            before = link.pairs[-1].sent
            cli.say(f"id=lost message {self.way.host} lost")
            until("it to be sent", lambda: link.pairs[-1].sent > before)
            link.close()
            link.drop()
            self.gone(cli, "reset")
            cli.say(f"id=waiting message {self.way.host} waiting")
            self.server.restart(how)
            link.open()
            self.online(cli, False, self.way.again)
            cli.wait("delivered", id="waiting")
            self.leave(cli)
            same("delivered", ids(cli, "delivered"), ["before", *["lost"] * again, "waiting"])
            same("undelivered", ids(cli, "undelivered"), [] if again else ["lost"])


def bind(c, more="", enabled=""):
    """A new session, which can be resumed. enabled: further attributes of the answer."""
    c.starttls()
    c.scram()
    c.header()
    c.features(f"{BINDING}<sm xmlns='{SM}'/>{more}")
    number = re.search(rb"id=['\"]([^'\"]*)", c.expect(r"<iq\s([^>]*)>.*?</iq>").group(1)).group(1).decode()
    c.send(f"<iq type='result' id='{number}'><bind xmlns='{BIND}'><jid>alice@a.test/fake</jid></bind></iq>")
    c.expect(rf"<enable xmlns='{SM}'[^>]*/>")
    c.send(f"<enabled xmlns='{SM}' id='here' resume='true'{enabled}/>")


def resume(c, had):
    c.starttls()
    c.scram()
    c.header()
    c.features(f"{BINDING}<sm xmlns='{SM}'/>")
    c.expect(rf"<resume xmlns='{SM}' previd='here' h='0'/>")
    c.send(f"<resumed xmlns='{SM}' previd='here' h='{had}'/>")


def serve(c, count):
    """Takes stanzas over until the client leaves; count: how many there were before."""
    while True:
        word = c.expect(r"<(message|iq|presence|r|/stream:stream)[ >]").group(1)
        if word == b"r":
            c.send(f"<a xmlns='{SM}' h='{count}'/>")
        elif word == b"/stream:stream":
            c.send("</stream:stream>")
            return
        else:
            count += 1


def message(c, reset=True):
    c.expect("</message>")
    if reset:
        c.reset()


class Scripted:
    """Servers that there are not."""

    def __init__(self, report, pki):
        self.report, self.pki = report, pki

    def run(self):
        for name in ("place", "place_refuses", "place_is_another", "elsewhere", "elsewhere_without_keep", "limit"):
            self.report.run(f"scripted: {name.replace('_', ' ')}", getattr(self, name))

    def cli(self, fake, *options):
        return Cli(fake.where, "--stdin", *options, ca=f"{self.pki}/ca.crt")

    def two(self, first, second, certificate="a.test"):
        """first: given the connection, its number from 0, and where the other one is."""
        other = Fake(second, self.pki, certificate)
        numbers = iter(range(9))
        return Fake(lambda c: first(c, next(numbers), other.where), self.pki), other

    def resumed(self, fake, other, counts):
        """A message on its way when the connection breaks, and that it arrives."""
        with fake, other, self.cli(fake, "--keep", *FAST_RETRY) as cli:
            cli.wait("online", resumed=False)
            cli.say("id=one message bob@a.test one")
            cli.wait("online", resumed=True)
            cli.say("id=two message bob@a.test two")
            for word in ("one", "two"):
                cli.wait("delivered", id=word)
            cli.say("quit")
            cli.end(0)
            for server in (fake, other):
                server.finish()
            same("connections", (len(fake.connections), len(other.connections)), counts)

    def place(self):
        """The server keeps the session there [XEP-0198 5]."""
        self.resumed(*self.two(
            lambda c, _, where: (bind(c, enabled=f" location='{where}'"), message(c)),
            lambda c: (resume(c, 1), serve(c, 1))), (1, 1))

    def place_refuses(self):
        """Then back to where it came from."""
        fake, other = self.two(
            lambda c, number, where: (resume(c, 0), serve(c, 0)) if number else (
                bind(c, enabled=f" location='{where}'"), message(c)),
            lambda c: c.reset())
        self.resumed(fake, other, (2, 1))

    def place_is_another(self):
        """It has no certificate for the domain, so nothing is said to it."""
        fake, other = self.two(
            lambda c, _, where: (bind(c, enabled=f" location='{where}'"), message(c)),
            lambda c: c.starttls(), "wrong-name")
        with fake, other, self.cli(fake, "--keep", *FAST_RETRY) as cli:
            cli.wait("online", resumed=False)
            cli.say("id=one message bob@a.test one")
            until("the other server to be asked", lambda: other.connections)
            until("an error", lambda: [e for e in cli.events if e.get("name") == "CERT_NAME"])
            same("inside TLS", other.connections[0].clear, b"")

    def elsewhere(self):
        error = f"<stream:error><see-other-host xmlns='{STREAMS}'>%s</see-other-host></stream:error></stream:stream>"
        fake, other = self.two(
            lambda c, _, where: (bind(c), message(c, False), c.send(error % where), c.rest()),
            lambda c: (resume(c, 1), serve(c, 1)))
        self.resumed(fake, other, (1, 1))

    def elsewhere_without_keep(self):
        fake, other = self.two(lambda c, _, where: (bind(c), c.send(
            f"<stream:error><see-other-host xmlns='{STREAMS}'>{where}</see-other-host></stream:error>"
            "</stream:stream>"), c.rest()), lambda c: None)
        with fake, other, self.cli(fake, "--queue", "2048") as cli:
            error = cli.wait("error")
            same("error", (error["name"], error.get("condition")), ("STREAM", "see-other-host"))
            cli.end(5)
            same("connections", len(other.connections), 0)

    def limit(self):
        """[XEP-0478]"""
        limits = f"<limits xmlns='{LIMITS}'><max-bytes>1000</max-bytes></limits>"
        with Fake(lambda c: (bind(c, limits), serve(c, 0)), self.pki) as fake, \
                self.cli(fake, "--queue", "4096") as cli:
            cli.wait("online")
            cli.say("id=large message bob@a.test " + "x" * 1000)
            cli.say("id=small message bob@a.test " + "x" * 500)
            same("error", cli.wait("error")["name"], "TOO_BIG")
            cli.wait("delivered", id="small")
            cli.say("quit")
            cli.end(1)
            fake.finish()
            same("large", b"x" * 600 in fake.only().clear, False)
