# SPDX-License-Identifier: MIT
"""An attacker who is only another user: stanzas through real servers, and from a scripted one what a real
server would not let through. The client has 2 KB for a stanza, as on a device, and stays online."""

import contextlib
import queue
import re

from fake import Fake
from harness import PATIENCE, Cli, Failure, same
from pledge_stranger import Stranger
from servers import ONLINE

ID = re.compile(b" id=['\"](.*?)['\"]")
SMALL = ("--stdin", "--rx", "2048", "--tls-buffer", "1053")
CARBONS, FORWARD, ERRORS = "urn:xmpp:carbons:2", "urn:xmpp:forward:0", "urn:ietf:params:xml:ns:xmpp-stanzas"


def forwarded(sender, body):
    return (f"<forwarded xmlns='{FORWARD}'><message xmlns='jabber:client' from='{sender}' to='alice@a.test' "
            f"type='chat'><body>{body}</body></message></forwarded>")


class Others:
    """Through a real server: alice is the device, bob whom she asks, mallory the attacker."""

    def __init__(self, report, server, domain):
        self.report, self.server, self.domain = report, server, domain

    def run(self):
        def case(name, function):
            self.report.run(f"{self.server.name}: from another user: {name}", function)

        case("forged answers", self.answers)
        case("roster pushes, settings", self.pushes)
        case("carbons and other forwarded messages", self.carbons)
        case("deep, wide, long", self.bombs)
        case("entities", self.entities)

    @contextlib.contextmanager
    def meeting(self, *events):
        """The device and the attacker; at the end a message is still read, and the device has seen that much."""
        with Cli(self.server, *SMALL, jid=f"alice@{self.domain}") as cli, \
                Stranger(self.server, f"mallory@{self.domain}") as mallory:
            alice = cli.wait("online")["jid"]
            yield cli, alice, mallory
            mallory.send(f"<message to='{alice}' type='chat' id='last'><body>good bye</body></message>")
            same("message", cli.wait("message", id="last")["body"], "good bye")
            cli.say("quit")
            cli.end(0)
            same("events", cli.kinds(), [*ONLINE, *events, "message", "closed"])

    def answers(self):
        """Only who was asked can answer, and only once."""
        wrong = ("1", "ping1", "m1", "bind", "register", "q")
        with self.meeting(*["iq"] * (len(wrong) + 8), "pong", "iq") as (cli, alice, mallory), \
                Stranger(self.server, f"bob@{self.domain}") as bob, \
                Stranger(self.server, f"bob@{self.domain}") as elsewhere:
            cli.say(f"ping {bob.full}")
            number = ID.search(bob.expect("<iq [^>]*><ping [^>]*/></iq>").group(0)).group(1).decode()

            def forge(who, number, kind="result", inner=""):
                who.send(f"<iq type='{kind}' to='{alice}' id='{number}'>{inner}</iq>")
                got = cli.wait("iq")
                same("iq", (got["from"], got["id"], got["type"]), (who.full, number, kind))

            for guess in (*wrong, number[:-1], number + "x", number.swapcase()):
                forge(mallory, guess)
            for who in (mallory, elsewhere):
                forge(who, number)
                forge(who, number, "error", f"<error type='cancel'><gone xmlns='{ERRORS}'/></error>")
            forge(mallory, number, "result", "<query xmlns='jabber:iq:roster'/>")
            same("answered", cli.look("pong"), None)
            bob.send(f"<iq type='result' to='{alice}' id='{number}'/>")
            same("pong", cli.wait("pong")["from"], bob.full)
            forge(bob, number)

    def pushes(self):
        """What only the own server may set is refused whoever asks."""
        refusal = re.compile(r"^<iq[^>]*type=['\"]error.*<error[^>]*type=['\"]cancel.*<service-unavailable ")
        with self.meeting() as (_, alice, mallory):
            for payload in (f"<query xmlns='jabber:iq:roster'><item jid='{mallory.full}' subscription='both'/></query>",
                            "<query xmlns='jabber:iq:register'><username>alice</username><password/></query>",
                            "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>", "<block xmlns='urn:xmpp:blocking'/>"):
                answer = mallory.ask("set", alice, payload)
                if not refusal.search(answer):
                    raise Failure(f"answered: {answer}")

    def carbons(self):
        """They are the attacker's own messages, and what they carry is no body."""
        order = forwarded(f"boss@{self.domain}", "unlock the door")
        lies = [f"<received xmlns='{CARBONS}'>{order}</received>", f"<sent xmlns='{CARBONS}'>{order}</sent>",
                f"<result xmlns='urn:xmpp:mam:2' queryid='q' id='1'>{order}</result>", order]
        with self.meeting(*["message"] * (2 * len(lies))) as (cli, alice, mallory):
            for lie in lies:
                for own in ("", "<body>hello</body>"):
                    mallory.send(f"<message to='{alice}' type='chat' id='c'>{lie}{own}</message>")
                    wanted = {"event": "message", "from": mallory.full, "type": "chat", "id": "c"}
                    same("message", cli.wait("message"), {**wanted, "body": "hello"} if own else wanted)

    def bombs(self):
        deep = {depth: "<x xmlns='urn:x'>" * depth + "</x>" * depth for depth in (14, 15, 200, 1000)}
        wide = {count: "<x xmlns='urn:x' " + " ".join(f"a{n}='{n}'" for n in range(count)) + "/>"
                for count in (20, 25, 200)}
        harmless = (deep[14], wide[20])
        bombs = (deep[15], deep[200], deep[1000], wide[25], wide[200], "<x xmlns='urn:x'/>" * 2000,
                 f"<{'n' * 97} xmlns='urn:x'/>", f"<x xmlns='urn:x'>{'y' * 100000}</x>", f"<body>{'z' * 4000}</body>",
                 f"<x xmlns='urn:x' a='{'v' * 3000}'/>")
        events = ["message"] * len(harmless) + ["skipped"] * len(bombs)
        with self.meeting(*events) as (cli, alice, mallory):
            for number, payload in enumerate((*harmless, *bombs)):
                mallory.send(f"<message to='{alice}' type='chat' id='b{number}'>{payload}</message>")
                got = cli.wait("message" if number < len(harmless) else "skipped", id=f"b{number}")
                same("from", got["from"], mallory.full)
                if number >= len(harmless):
                    same("skipped", (got["name"], got["type"], got["reason"]), ("message", "chat", "XML_LIMIT"))

    def entities(self):
        """The predefined ones are text; others do not get beyond the attacker's own server."""
        text = "&lt;&gt;&amp;&apos;&quot;&#65;&#x1F600;"
        with self.meeting("message", "skipped") as (cli, alice, mallory):
            for number, times in enumerate((40, 4000)):
                mallory.send(f"<message to='{alice}' type='chat' id='e{number}'><body>{text * times}</body></message>")
            same("body", cli.wait("message", id="e0")["body"], "<>&'\"A\U0001f600" * 40)
            same("skipped", cli.wait("skipped")["id"], "e1")
            with Stranger(self.server, f"bob@{self.domain}") as bomber:
                bomber.send("<!DOCTYPE x [<!ENTITY a 'boom'>]>"
                            f"<message to='{alice}' type='chat'><body>&a;</body></message>")
                bomber.rest()
            with Stranger(self.server, f"bob@{self.domain}") as bomber:
                bomber.send(f"<message to='{alice}' type='chat'><body>&a;</body></message>")
                bomber.rest()


# From whom an answer may be said to come. The one asked is bob@a.test/phone, the device alice@a.test/fake.
ASKED, OWN = "bob@a.test/phone", "alice@a.test/fake"
# Questions to the own server and account, and from whom the answer may come.
OWN_ANSWERS = {"-": (None, "a.test"), "alice@a.test": (None, "alice@a.test"), OWN: (None, OWN)}
EQUAL = ("bob@a.test/phone", "BOB@a.test/phone", "bob@A.TEST/phone", "bob@a.test./phone")
NEARLY = (None, "bob@a.test", "a.test", "alice@a.test", "bob@a.test/Phone", "bob@a.test/phone2", "bob@a.test/phone ",
          "bob@a.test/phone/", "bob@a.test../phone", "bob@a.test.evil/phone", "bob@b.test/phone",
          "b\u043eb@a.test/phone", "bob@\u0430.test/phone", "\uff42ob@a.test/phone", "bob@a\u3002test/phone",
          "bob@a.test/ph\u043ene", "bob@a.test/phone\u200b", "@a.test/phone", "bob@a.test/",
          "bob@@a.test/phone", "bob%40a.test/phone", "")


class Scripted:
    """The own server of the device lies about who sent what, or does not look."""

    def __init__(self, report, pki):
        self.report, self.pki = report, pki

    def run(self):
        self.report.run("scripted: answers nearly from who was asked", self.nearly)
        self.report.run("scripted: answers from who was asked, written otherwise", self.equal)
        self.report.run("scripted: answers of the own account", self.own)
        self.report.run("scripted: messages and presence from nobody", self.nobody)
        self.report.run("scripted: roster pushes", self.pushes)

    def session(self, play, *events):
        """play(c, cli) once the client is online; all of it happens where the connection is."""
        clients = queue.Queue()

        def script(c):
            c.online()
            cli = clients.get()
            cli.wait("online")
            play(c, cli)
            # Not "quit": the client leaves when all its requests were answered.
            cli.child.process.stdin.close()
            c.expect("</stream:stream>")
            c.send("</stream:stream>")
            c.notify()

        with Fake(script, self.pki) as fake, Cli(fake.where, *SMALL, ca=f"{self.pki}/ca.crt") as cli:
            clients.put(cli)
            cli.reader.join(2 * PATIENCE)
            fake.finish()  # what went wrong there tells more than how the client ended
            cli.end(0)
            same("events", cli.kinds(), [*ONLINE, *events, "closed"])

    @staticmethod
    def asked(c, cli, question):
        """Has the client ask somebody; returns the request's id."""
        cli.say(question)
        return ID.search(c.expect("<iq [^>]*><.*?</iq>").group(0)).group(1).decode()

    @staticmethod
    def answer(c, number, sender):
        said = "" if sender is None else f" from='{sender}'"
        c.send(f"<iq type='result' id='{number}' to='{OWN}'{said}/>")

    def nearly(self):
        def play(c, cli):
            number = self.asked(c, cli, f"ping {ASKED}")
            for sender in NEARLY:
                self.answer(c, number, sender)
                same("forged", cli.wait("iq"), {"event": "iq", "id": number, "type": "result",
                                                **({} if sender is None else {"from": sender})})
            self.answer(c, number, ASKED)
            same("pong", cli.wait("pong")["from"], ASKED)

        self.session(play, *["iq"] * len(NEARLY), "pong")

    def equal(self):
        def play(c, cli):
            for sender in EQUAL:
                self.answer(c, self.asked(c, cli, f"ping {ASKED}"), sender)
                same("pong", cli.wait("pong")["from"], sender)

        self.session(play, *["pong"] * len(EQUAL))

    def own(self):
        """Without "from" it is the own account that speaks [RFC6120 8.1.2.1], and it may speak for the server."""
        def play(c, cli):
            for to, senders in OWN_ANSWERS.items():
                for sender in senders:
                    number = self.asked(c, cli, f"ping {to}")
                    for other in (ASKED, "alice@a.test/other", "malice@a.test"):
                        self.answer(c, number, other)
                        same("forged", cli.wait("iq")["from"], other)
                    self.answer(c, number, sender)
                    same("condition", cli.wait("pong").get("condition"), None)
            for sender in (None, "alice@a.test", OWN):  # to nobody: to the own account
                self.answer(c, self.asked(c, cli, "iq get - <query xmlns='urn:x'/>"), sender)
                cli.wait("iq")

        pings = sum(map(len, OWN_ANSWERS.values()))
        self.session(play, *["iq", "iq", "iq", "pong"] * pings, "iq", "iq", "iq")

    def nobody(self):
        """Without "from" nobody is named, and what is named is told as it came."""
        def play(c, cli):
            c.send("<message type='chat' id='n'><body>who?</body></message>")
            same("message", cli.wait("message"), {"event": "message", "type": "chat", "id": "n", "body": "who?"})
            c.send("<presence><status>who?</status></presence>")
            same("presence", cli.wait("presence"), {"event": "presence", "status": "who?", "priority": 0})
            for sender in filter(None, NEARLY):
                c.send(f"<message from='{sender}'><body>x</body></message>")
                same("from", cli.wait("message")["from"], sender)

        self.session(play, "message", "presence", *["message"] * len(list(filter(None, NEARLY))))

    def pushes(self):
        """There is no roster to be pushed into: refused, whoever it is said to come from."""
        def play(c, cli):
            for sender in (None, "alice@a.test", OWN, "a.test", "mallory@a.test/x"):
                said = "" if sender is None else f" from='{sender}'"
                c.send(f"<iq type='set' id='p'{said}><query xmlns='jabber:iq:roster'><item jid='m@a.test' "
                       "subscription='both'/></query></iq>")
                got = c.expect("<iq [^>]*>.*?</iq>").group(0).decode()
                same("refused", ("type='error'" in got, "<service-unavailable " in got,
                                 re.findall(" to='(.*?)'", got)), (True, True, [sender] if sender else []))

        self.session(play)
