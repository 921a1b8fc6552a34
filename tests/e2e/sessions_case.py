# SPDX-License-Identifier: MIT
"""What holds for sessions on every server: nothing is lost, nothing comes twice, and the client says what became of
each stanza. One way to log in is a host, and by what the first login and the later ones go."""

import itertools
import os
import signal

from harness import PATIENCE, Cli, Peer, same, until
from sessions_link import Link

FAST_RETRY = ("--retry", "50", "--retry-max", "400")
REASONS = {"reset": "LOST", "end": "TRUNCATED", "stall": "TIMEOUT"}


class Way:
    """name: for people. user: nobody else's. brief: a host whose sessions end soon after their connection."""

    def __init__(self, name, user, host, first, again, brief, *options, tls="starttls"):
        self.name, self.user, self.host, self.first, self.again, self.brief = name, user, host, first, again, brief
        self.options, self.tls = options, tls


def bodies(speaker, sender):
    return [event["body"] for event in speaker.events
            if event["event"] == "message" and event["from"] == sender and event.get("type") != "error"]


def ids(cli, kind):
    return [event["id"] for event in cli.events if event["event"] == kind]


def kill(cli):
    cli.child.stop(signal.SIGKILL)
    cli.reader.join(PATIENCE)


class Sessions:
    numbers = itertools.count()

    def __init__(self, report, server, base, way):
        self.report, self.server, self.base, self.way = report, server, base, way

    def case(self, name, function, *arguments):
        self.report.run(f"{self.server.name}, {self.way.name}: {name}", function, *arguments)

    def run(self):
        self.case("peers", self.peers)
        self.case("delivered, with a queue alone", self.delivered)
        for how in REASONS:
            self.case(f"{how}, resumed", self.broken, how)
        self.case("broken three times in a row", self.again)
        self.case("too late, but the server knows what it had", self.late, True)
        if self.server.forgets:
            self.case("too late, undelivered", self.late, False)
            self.case("too late, sent again", self.late, False, "--resend")
        self.case("suspend, kill -9, suspend", self.processes)
        self.case("kill -9 with a message that never left", self.unsent)
        self.case("too late for the next run, but the server knows what it had", self.late_run, True)
        if self.server.forgets:
            self.case("too late for the next run, undelivered", self.late_run, False)
        self.case("damaged file", self.damaged)
        self.case("wrong password is not tried twice", self.wrong_password)

    def peers(self):
        """Before the others; they need them."""
        self.peer, self.brief_peer = self.find(self.way.host), self.find(self.way.brief)

    def find(self, host):
        peer = Peer(self.server, f"watcher@{host}")
        peer.full = peer.wait("online")["jid"]
        return peer

    # -- tools --

    def file(self):
        return os.path.join(self.base, f"{self.server.name}-session-{next(self.numbers)}")

    def cli(self, *options, link=None, host=None, **how):
        jid = f"{self.way.user}@{host or self.way.host}"
        return Cli(link.where if link else self.server, "--stdin", *self.way.options, *options, jid=jid,
                   tls=self.way.tls, ca=self.server.ca, **how)

    def link(self):
        return Link(self.server, self.way.tls)

    def online(self, cli, resumed=False, via=None):
        event = cli.wait("online")
        wanted = via or (self.way.again if resumed else self.way.first)
        same("online", (event["resumed"], event["via"]), (resumed, wanted))
        return event["jid"]

    @staticmethod
    def exchange(cli, jid, peer, word):
        """A message each way."""
        cli.say(f"id={word} message {peer.full} {word} up")
        peer.do("message", to=jid, body=f"{word} down")
        for speaker, sender, body in ((peer, jid, f"{word} up"), (cli, peer.full, f"{word} down")):
            speaker.wait("message", **{"from": sender, "body": body})
        cli.wait("delivered", id=word)

    def leave(self, cli):
        cli.say("quit")
        cli.end(0)

    # -- one process --

    def delivered(self):
        with self.cli("--queue", "2048") as cli:
            jid, count = self.online(cli), 60
            for number in range(count):
                cli.say(f"id=n{number} message {self.peer.full} number {number}")
            for number in range(count):
                same("message", self.peer.wait("message", **{"from": jid})["body"], f"number {number}")
                cli.wait("delivered", id=f"n{number}")
            self.leave(cli)
            same("delivered", ids(cli, "delivered"), [f"n{number}" for number in range(count)])
            same("last event", cli.events[-1], {"event": "closed", "unsent": 0})

    def broken(self, how):
        options = ("--ping-after", "2", "--timeout", "4") if how == "stall" else ()
        with self.link() as link, self.cli("--keep", *FAST_RETRY, *options, link=link) as cli:
            jid = self.online(cli)
            self.exchange(cli, jid, self.peer, "before")
            self.break_once(cli, link, jid, how, "")
            self.exchange(cli, jid, self.peer, "after")
            self.leave(cli)
            self.check(cli, jid, ["before", "flying", "waiting", "after"], ["before", "meanwhile", "after"])

    def again(self):
        with self.link() as link, self.cli("--keep", *FAST_RETRY, link=link) as cli:
            jid = self.online(cli)
            self.exchange(cli, jid, self.peer, "before")
            for number in "123":
                self.break_once(cli, link, jid, "reset", number)
            self.leave(cli)
            self.check(cli, jid, ["before", *(word + n for n in "123" for word in ("flying", "waiting"))],
                       ["before", *("meanwhile" + n for n in "123")])
            same("resumed", [e["resumed"] for e in cli.events if e["event"] == "online"], [False, True, True, True])

    def break_once(self, cli, link, jid, how, number):
        flying, waiting, meanwhile = (word + number for word in ("flying", "waiting", "meanwhile"))
        link.close()
        cli.say(f"id={flying} message {self.peer.full} {flying} up")
        link.cut(how)
        self.gone(cli, how)
        cli.say(f"id={waiting} message {self.peer.full} {waiting} up")
        self.peer.do("message", to=jid, body=f"{meanwhile} down")
        until("another attempt", lambda: link.refused)
        link.open()
        same("jid", self.online(cli, True), jid)
        cli.wait("message", **{"from": self.peer.full, "body": f"{meanwhile} down"})
        for word in (flying, waiting):
            self.peer.wait("message", **{"from": jid, "body": f"{word} up"})
            cli.wait("delivered", id=word)

    @staticmethod
    def gone(cli, how):
        """The first attempt since the client was online has ended by that."""
        def reason():
            since = max(at for at, event in enumerate(cli.events) if event["event"] == "online")
            return next((e["reason"] for e in cli.events[since:] if e["event"] == "disconnected"), None)

        same("reason", until("the connection to be given up", reason), REASONS[how])

    def check(self, cli, jid, up, down):
        same("at the peer", bodies(self.peer, jid), [f"{word} up" for word in up])
        same("at the client", bodies(cli, self.peer.full), [f"{word} down" for word in down])
        same("delivered", ids(cli, "delivered"), up)
        same("undelivered", ids(cli, "undelivered"), [])

    @staticmethod
    def vanish(cli, link, peer, word):
        """A message is sent that does not arrive: too long to be taken for some late acknowledgement."""
        link.cut("stall")
        before, much = link.pairs[-1].sent, 400
        cli.say(f"id={word} raw <message to='{peer.full}' type='chat'><body>{word} up</body>"
                f"<x xmlns='urn:x'>{'x' * much}</x></message>")
        until("it to be sent", lambda: link.pairs[-1].sent > before + much)

    def lost(self, cli, link, peer):
        """So, and the connection is gone."""
        self.vanish(cli, link, peer, "lost")
        link.close()
        link.drop()

    def late(self, known, *options):
        """What becomes of a message that did not arrive. known: the server still knows how much of it did."""
        peer, host, mark = self.brief_peer, self.way.brief, self.server.mark()
        with self.link() as link, self.cli("--keep", *FAST_RETRY, *options, link=link, host=host) as cli:
            jid = self.online(cli)
            self.exchange(cli, jid, peer, "before")
            self.lost(cli, link, peer)
            self.gone(cli, "reset")
            cli.say(f"id=waiting message {peer.full} waiting up")
            self.forgotten(mark, known)
            link.open()
            new = self.online(cli, False, self.way.again)
            self.exchange(cli, new, peer, "after")
            again = ["lost"] if known or options else []
            self.leave(cli)
            same("at the peer", [body for sender in dict.fromkeys([jid, new]) for body in bodies(peer, sender)],
                 [f"{word} up" for word in ["before", *again, "waiting", "after"]])
            same("delivered", ids(cli, "delivered"), ["before", *again, "waiting", "after"])
            same("undelivered", ids(cli, "undelivered"), [] if again else ["lost"])

    def forgotten(self, mark, known):
        until("the server to give the session up", lambda: self.server.gave_up(self.way, mark))
        if not known:
            self.server.forget(self.way)

    def wrong_password(self):
        with self.link() as link, self.cli("--keep", *FAST_RETRY, link=link, password="wrong") as cli:
            error = cli.wait("error")
            same("error", (error["name"], error.get("condition")), ("AUTH", "not-authorized"))
            cli.end(4)
            same("events", cli.kinds()[-2:], ["error", "closed"])
            same("connections", link.count, 1)

    # -- from process to process --

    def processes(self):
        session, jid = self.file(), None
        runs = ("one", False), ("two", True), ("three", True), ("four", False)
        for number, (word, killed) in enumerate(runs):
            with self.cli("--session", session) as cli:
                own = self.online(cli, number > 0)
                same("jid", own, jid or own)
                jid = own
                if number:
                    cli.wait("message", **{"from": self.peer.full, "body": f"{runs[number - 1][0]} asleep"})
                self.exchange(cli, jid, self.peer, word)
                if killed:
                    kill(cli)
                else:
                    self.leave(cli)
                # Who is killed may have told what it had not stored.
                told = [runs[number - 1][0]] if number and runs[number - 1][1] else []
                came = [f"{runs[number - 1][0]} asleep"] * (number > 0) + [f"{word} down"]
                same("at the client", [body for body in bodies(cli, self.peer.full)
                                       if body not in [f"{one} down" for one in told]], came)
                same("delivered", [one for one in ids(cli, "delivered") if one not in told], [word])
            self.peer.do("message", to=jid, body=f"{word} asleep")
        same("at the peer", bodies(self.peer, jid), [f"{word} up" for word, _ in runs])

    def unsent(self):
        session = self.file()
        with self.link() as link:
            with self.cli("--session", session, link=link) as cli:
                jid = self.online(cli)
                self.exchange(cli, jid, self.peer, "before")
                self.vanish(cli, link, self.peer, "held")
                kill(cli)
            link.drop()
            with self.cli("--session", session, link=link) as cli:
                same("jid", self.online(cli, True), jid)
                self.peer.wait("message", **{"from": jid, "body": "held up"})
                cli.wait("delivered", id="held")
                self.leave(cli)
                same("undelivered", ids(cli, "undelivered"), [])
        same("at the peer", bodies(self.peer, jid), ["before up", "held up"])

    def late_run(self, known):
        """What was loaded is not sent again unless the server says that it did not arrive."""
        session, peer, host, mark = self.file(), self.brief_peer, self.way.brief, self.server.mark()
        again = ["lost"] * known
        with self.link() as link:
            with self.cli("--session", session, link=link, host=host) as cli:
                jid = self.online(cli)
                self.exchange(cli, jid, peer, "before")
                self.lost(cli, link, peer)
                cli.child.wait()
            self.forgotten(mark, known)
            mark = self.server.mark()
            link.open()
            with self.cli("--session", session, "--resend", link=link, host=host) as cli:
                new = self.online(cli, False, self.way.again)
                cli.wait("delivered" if known else "undelivered", id="lost")
                self.exchange(cli, new, peer, "after")
                self.leave(cli)
                same("delivered", ids(cli, "delivered"), [*again, "after"])
        same("at the peer", [body for sender in dict.fromkeys([jid, new]) for body in bodies(peer, sender)],
             [f"{word} up" for word in ["before", *again, "after"]])
        self.forgotten(mark, not self.server.forgets)

    def damaged(self):
        """All begins anew; the other session stays where it is."""
        session = self.file()
        with self.cli("--session", session) as cli:
            first = self.online(cli)
            self.leave(cli)
        with open(session, "r+b") as file:
            file.seek(100)
            byte = file.read(1)
            file.seek(100)
            file.write(bytes([byte[0] ^ 1]))
        with self.cli("--session", session) as cli:
            same("error", cli.wait("error")["name"], "SAVED")
            second = self.online(cli)
            same("another session", second != first, True)
            self.exchange(cli, second, self.peer, "anew")
            self.leave(cli)
        with self.cli("--session", session) as cli:
            same("jid", self.online(cli, True), second)
            self.leave(cli)
