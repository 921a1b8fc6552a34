# SPDX-License-Identifier: MIT
"""Cases against real servers, Prosody and ejabberd, and with slixmpp as the other side."""

import base64
import re
import signal
import time

from fake import STREAMS, Fake
from harness import Cli, Ejabberd, Failure, Peer, Prosody, same, until

USERS = ["alice@a.test", "bob@a.test", "carol@a.test", "watcher@a.test", "rita@rsa.a.test"]
FRIENDS = ["alice@a.test", "watcher@a.test"]

# Quotes, markup, a line end, two bytes, four bytes, a right-to-left word.
AWKWARD = "\"it's\" <b>&amp; & more</b>\n\t caf\u00e9 \U0001f600 \u05e9\u05dc\u05d5\u05dd ]]>"
LONG = "".join(f"{n:04d} <&> ; " for n in range(160))

ONLINE = ["connected", "secured", "authenticated", "online"]
CLOSED = [*ONLINE, "closed"]


def online(cli, mechanism, binding="none"):
    """Up to online, with the server's own word for the mechanism; returns our full JID."""
    cli.wait("secured")
    event = cli.wait("authenticated")
    same("mechanism", event["mechanism"], mechanism)
    same("channel binding", event["binding"], binding)
    return cli.wait("online")["jid"]


class Cases:
    """One server, started once; the cases run one after the other."""

    def __init__(self, report, server, watcher):
        self.report, self.server, self.watcher = report, server, watcher

    def case(self, name, function, *arguments):
        self.report.run(f"{self.server.name}: {name}", function, *arguments)

    # -- login --

    def login(self, mechanism, binding, *options, jid="alice@a.test", user="alice", **how):
        mark = len(self.server.log())
        with Cli(self.server, *options, jid=jid, **how) as cli:
            bound = online(cli, mechanism, binding)
            cli.end(0)
            same("events", cli.kinds(), CLOSED)
        if not re.fullmatch(rf"{user}@{re.escape(jid.split('@')[-1])}/.+", bound):
            raise Failure(f"bound as {bound}")
        same("mechanism in the server's log", self.mechanism(mark), mechanism)

    def mechanism(self, mark):
        pattern = r"<auth [^>]*mechanism='([^']*)'" if isinstance(self.server, Prosody) else r"Accepted c2s (\S+) auth"
        return until("the server's log", lambda: re.findall(pattern, self.server.log()[mark:]))[-1]

    def refused(self, name, condition, *options, **how):
        with Cli(self.server, *options, **how) as cli:
            error = cli.wait("error")
            same("error", (error["name"], error.get("condition")), (name, condition))
            cli.end(4)
            same("events", cli.kinds(), ["connected", "secured", "error", "closed"])

    def logins(self, strongest, offered):
        for tls in ("starttls", "direct"):
            self.case(f"{tls}, EC certificate, strongest mechanism", lambda tls=tls: self.login(
                strongest, "tls-unique", tls=tls))
            self.case(f"{tls}, RSA certificate", lambda tls=tls: self.login(
                strongest, "tls-unique", tls=tls, jid="rita@rsa.a.test", user="rita", ca=self.server.pem("rsaca")))
        for name in offered:
            binding = "tls-unique" if name.endswith("-PLUS") else "none"
            self.case(name, self.login, name, binding, "--mechanism", name)
        self.case("ANONYMOUS", lambda: self.login(
            "ANONYMOUS", "none", "--mechanism", "ANONYMOUS", jid="anon.a.test", user="[^@]+", password=None))
        self.case("--trace", self.trace)
        self.case("wrong password", lambda: self.refused("AUTH", "not-authorized", password="Secret"))
        self.case("no such account", lambda: self.refused("AUTH", "not-authorized", jid="nobody@a.test"))
        self.case("mechanism not offered", lambda: self.refused("MECHANISM", None, "--mechanism", "ANONYMOUS"))

    def trace(self):
        """The trace shows the session, but neither the password nor the message that carries it."""
        with Cli(self.server, "--trace", "--mechanism", "PLAIN") as cli:
            cli.wait("online")
            cli.end(0)
            text = cli.stderr()
        same("trace", [word in text for word in ("<proceed ", "mechanism='PLAIN'", "</stream:stream>", "secret",
                                                 base64.b64encode(b"\0alice\0secret").decode())],
             [True, True, True, False, False])

    def certificate(self, name):
        return ["--mechanism", "EXTERNAL", "--cert", self.server.pem(name), "--key", self.server.pem(name, "key")]

    # -- resources and the end --

    def resources(self):
        def wanted():
            for options, jid in ((["--resource", "lab 3"], "carol@a.test"), ([], "carol@a.test/lab 3")):
                with Cli(self.server, *options, jid=jid) as cli:
                    same("jid", cli.wait("online")["jid"], "carol@a.test/lab 3")
                    cli.end(0)

        def conflict():
            with Cli(self.server, "--stdin", "--resource", "one", jid="carol@a.test") as first:
                first.wait("online")
                with Cli(self.server, "--stdin", "--resource", "one", jid="carol@a.test") as second:
                    same("jid", second.wait("online")["jid"], "carol@a.test/one")
                    error = first.wait("error")
                    same("error", (error["name"], error.get("condition")), ("STREAM", "conflict"))
                    first.end(5)
                    same("events", first.kinds(), [*ONLINE, "error", "closed"])
                    second.say("quit")
                    second.end(0)
                    same("events", second.kinds(), CLOSED)

        def wait():
            start = time.monotonic()
            with Cli(self.server, "--wait", "2", jid="carol@a.test") as cli:
                cli.wait("online")
                cli.end(0)
                same("events", cli.kinds(), CLOSED)
            if time.monotonic() - start < 2:
                raise Failure("ended before its time")

        self.case("requested resource", wanted)
        self.case("resource conflict", conflict)
        self.case("--wait", wait)

    # -- stanzas, with slixmpp as the other side --

    def stanzas(self):
        self.case("presence", self.presence)
        self.case("messages", self.messages)
        self.case("several --send", self.sends)
        self.case("raw and bad commands", self.commands)
        self.case("iq requests answered", self.requests)
        self.case("ping", self.pings)
        self.case("stanzas too large", self.skips)
        self.case("subscription", self.subscription)

    def presence(self):
        watcher = self.watcher
        with Cli(self.server, "--stdin", "--presence", "away", "21.5 \u00b0C & <rising>") as cli:
            jid = cli.wait("online")["jid"]
            seen = watcher.wait("presence", **{"from": jid})
            same("presence", seen, {"event": "presence", "from": jid, "type": None, "show": "away",
                                    "status": "21.5 \u00b0C & <rising>", "priority": 0})
            cli.say("presence dnd 22 degrees")
            same("presence", watcher.wait("presence", **{"from": jid}), {**seen, "show": "dnd", "status": "22 degrees"})
            cli.say("raw <presence><show>xa</show><priority>-7</priority></presence>")
            same("presence", watcher.wait("presence", **{"from": jid}), {
                **seen, "show": "xa", "status": "", "priority": -7})
            other = cli.wait("presence", **{"from": watcher.full})
            same("presence of the watcher", (other.get("type"), other.get("show"), other.get("status")),
                 (None, None, None))
            cli.say("quit")
            cli.end(0)
            same("presence", watcher.wait("presence", **{"from": jid})["type"], "unavailable")

    def messages(self):
        watcher = self.watcher
        with Cli(self.server, "--stdin") as cli:
            jid = cli.wait("online")["jid"]
            for number, body in enumerate((AWKWARD, LONG, "x")):
                watcher.do("message", to=jid, body=body, id=f"m{number}", subject="<s>", thread="t&t")
                got = cli.wait("message", **{"from": watcher.full})
                same("message", (got["body"], got["id"]), (body, f"m{number}"))
            # A line is a command, so a line end in a body goes as raw XML.
            for body in (AWKWARD.replace("\n", " "), LONG.strip()):
                cli.say(f"message {watcher.full} {body}")
                got = watcher.wait("message", **{"from": jid})
                same("message", (got["body"], got["type"]), (body, "chat"))
            cli.say("quit")
            cli.end(0)
        with Cli(self.server, "--send", watcher.full, AWKWARD) as cli:
            jid = cli.wait("online")["jid"]
            same("message", watcher.wait("message", **{"from": jid})["body"], AWKWARD)
            cli.end(0)
            same("events", cli.kinds(), CLOSED)

    def sends(self):
        options = []
        for number in range(6):
            options += ["--send", self.watcher.full, f"line {number}"]
        with Cli(self.server, *options) as cli:
            jid = cli.wait("online")["jid"]
            for number in range(6):
                same("message", self.watcher.wait("message", **{"from": jid})["body"], f"line {number}")
            cli.end(0)
            same("events", cli.kinds(), CLOSED)

    def commands(self):
        with Cli(self.server, "--stdin") as cli:
            jid = cli.wait("online")["jid"]
            cli.say(f"raw <message to='{self.watcher.full}' type='headline' id='r1'><subject>s</subject>"
                    "<body>a\tb&#10;c</body><thread>t</thread></message>")
            same("message", self.watcher.wait("message", **{"from": jid}), {
                "event": "message", "from": jid, "type": "headline", "id": "r1", "body": "a\tb\nc",
                "subject": "s", "thread": "t"})
            cli.say("iq get a.test <query xmlns='http://jabber.org/protocol/disco#info'/>")
            answer = cli.wait("iq")
            same("answer", [answer[key] for key in ("from", "type", "name", "ns")],
                 ["a.test", "result", "query", "http://jabber.org/protocol/disco#info"])
            cli.say("raw <iq type='get' id='r2' to='a.test'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
            answer = cli.wait("iq", id="r2")
            same("answer to a raw iq", [answer[key] for key in ("from", "type", "name")], ["a.test", "result", "query"])
            cli.say("nonsense")
            same("error", cli.wait("error")["name"], "ARGUMENT")
            cli.say(f"message {self.watcher.full} after all")
            same("message", self.watcher.wait("message", **{"from": jid})["body"], "after all")
            cli.say("quit")
            cli.end(1)

    def requests(self):
        watcher = self.watcher
        with Cli(self.server, "--stdin") as cli:
            jid = cli.wait("online")["jid"]
            watcher.do("ping", to=jid)
            same("pong", watcher.wait("pong"), {"event": "pong", "from": jid, "error": None, "type": None})
            watcher.do("disco", to=jid)
            same("disco", watcher.wait("disco"), {"event": "disco", "from": jid, "error": "service-unavailable",
                                                  "type": "cancel"})
            cli.say("quit")
            cli.end(0)

    def pings(self):
        with Cli(self.server, "--ping", "a.test") as cli:
            same("from", cli.wait("pong")["from"], "a.test")
            cli.end(0)
            same("events", cli.kinds(), [*ONLINE, "pong", "closed"])
        with Cli(self.server, "--stdin", "--ping", self.watcher.full) as cli:
            same("from", cli.wait("pong")["from"], self.watcher.full)
            cli.say("ping a.test")
            same("from", cli.wait("pong")["from"], "a.test")
            cli.say("quit")
            cli.end(0)

    def skips(self):
        watcher = self.watcher
        with Cli(self.server, "--stdin", "--rx", "4096") as cli:
            jid = cli.wait("online")["jid"]
            watcher.do("message", to=jid, body="y" * 102400, id="big")
            skipped = cli.wait("skipped")
            same("from", (skipped["from"], skipped["id"]), (watcher.full, "big"))
            if not 102400 < skipped["size"] < 102400 + 1024:
                raise Failure(f"skipped has size {skipped['size']}")
            watcher.do("message", to=jid, body="still there", id="small")
            same("body", cli.wait("message")["body"], "still there")
            watcher.do("request", to=jid, size=20000)
            same("answer", watcher.wait("request"), {"event": "request", "from": jid, "error": "resource-constraint",
                                                     "type": "wait"})
            skipped = cli.wait("skipped")
            same("skipped", [skipped[key] for key in ("name", "type", "from")], ["iq", "get", watcher.full])
            watcher.do("ping", to=jid)
            same("pong", watcher.wait("pong")["error"], None)
            cli.say("quit")
            cli.end(0)

    def subscription(self):
        watcher = self.watcher
        with Cli(self.server, "--stdin", "--presence", "chat", "hi", jid="bob@a.test") as cli:
            jid = cli.wait("online")["jid"]
            watcher.do("presence", to="bob@a.test", type="subscribe")
            same("from", cli.wait("presence", type="subscribe")["from"], "watcher@a.test")
            cli.say("raw <presence to='watcher@a.test' type='subscribed'/>")
            watcher.wait("presence", type="subscribed", **{"from": "bob@a.test"})
            same("status", watcher.wait("presence", **{"from": jid})["status"], "hi")
            cli.say("quit")
            cli.end(0)


class ProsodyCases(Cases):
    def run(self):
        self.logins("SCRAM-SHA-256-PLUS", ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS",
                                           "PLAIN"])
        for name in ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"):
            self.case(f"{name} with tls-server-end-point", lambda name=name: self.login(
                name, "tls-server-end-point", "--mechanism", name, jid="eve@endp.a.test", user="eve"))
        self.case("tls-server-end-point is found by itself", lambda: self.login(
            "SCRAM-SHA-256-PLUS", "tls-server-end-point", tls="direct", jid="eve@endp.a.test", user="eve"))
        # STARTTLS alone: on the direct port Prosody asks for a certificate before it knows the host.
        self.case("EXTERNAL", lambda: self.login(
            "EXTERNAL", "none", *self.certificate("client-ext"), jid="alice@ext.a.test", password=None))
        self.case("EXTERNAL with a certificate for another account", lambda: self.refused(
            "AUTH", "not-authorized", *self.certificate("client-ext"), jid="bob@ext.a.test", password=None))
        self.case("SCRAM-SHA-512 not offered", lambda: self.refused(
            "MECHANISM", None, "--mechanism", "SCRAM-SHA-512"))
        self.resources()
        self.stanzas()
        self.case("orderly close", self.orderly)
        self.case("see-other-host to a real server", self.redirect)
        self.case("200 messages each way", self.crowd)
        self.case("server killed", self.killed)

    def orderly(self):
        mark = len(self.server.log())
        with Cli(self.server) as cli:
            cli.wait("online")
            cli.end(0)

        def closed():
            log = self.server.log()[mark:]
            return log if "Client disconnected" in log else None

        log = until("the server's log", closed)
        # OpenSSL calls an end of the connection without close_notify unexpected.
        same("log", ("Received </stream:stream>" in log, "unexpected eof" in log), (True, False))

    def redirect(self):
        target = f"{self.server.address}:{self.server.port}"

        def script(c):
            c.starttls()
            c.header()
            c.send(f"<stream:error><see-other-host xmlns='{STREAMS}'>{target}</see-other-host></stream:error>"
                   "</stream:stream>")

        with Fake(script, self.server.pki) as fake, Cli(fake.where, ca=self.server.ca) as cli:
            jid = cli.wait("online")["jid"]
            cli.end(0)
            fake.finish()
            same("bare JID", jid.split("/")[0], "alice@a.test")
            same("connections to the first server", len(fake.connections), 1)
            same("inside TLS", re.sub(rb"<\?xml.*?\?>|<stream:stream [^>]*>|</stream:stream>", b"",
                                      fake.only().clear), b"")

    def crowd(self):
        count = 200
        with Cli(self.server, "--stdin") as alice, Cli(self.server, "--stdin", jid="bob@a.test") as bob:
            a, b = alice.wait("online")["jid"], bob.wait("online")["jid"]
            for number in range(count):
                alice.say(f"message {b} from alice {number}")
                bob.say(f"message {a} from bob {number}")
            for cli, sender, name in ((alice, b, "bob"), (bob, a, "alice")):
                for number in range(count):
                    got = cli.wait("message")
                    same("message", (got["from"], got["body"]), (sender, f"from {name} {number}"))
            for cli in (alice, bob):
                cli.say("quit")
                cli.end(0)
                same("messages", cli.kinds().count("message"), count)

    def killed(self):
        with Cli(self.server, "--stdin", jid="carol@a.test") as cli:
            cli.wait("online")
            self.server.stop(signal.SIGKILL)
            same("error", cli.wait("error")["name"], "TRUNCATED")
            cli.end(3)
            same("events", cli.kinds(), [*ONLINE, "error", "closed"])


class EjabberdCases(Cases):
    def run(self):
        self.logins("SCRAM-SHA-512-PLUS", [
            f"SCRAM-SHA-{bits}{plus}" for bits in (1, 256, 512) for plus in ("", "-PLUS")] + ["PLAIN"])
        for tls in ("starttls", "direct"):
            self.case(f"EXTERNAL, {tls}", lambda tls=tls: self.login(
                "EXTERNAL", "none", *self.certificate("client-alice"), password=None, tls=tls))
        self.case("EXTERNAL with a certificate for another account", lambda: self.refused(
            "AUTH", "not-authorized", *self.certificate("client-alice"), jid="bob@a.test", password=None))
        self.resources()
        self.stanzas()
        self.case("server shut down", self.shut_down)

    def shut_down(self):
        with Cli(self.server, "--stdin", jid="carol@a.test") as cli:
            cli.wait("online")
            self.server.stop()
            error = cli.wait("error")
            same("error", (error["name"], error.get("condition")), ("STREAM", "system-shutdown"))
            cli.end(5)
            same("events", cli.kinds(), [*ONLINE, "error", "closed"])


def run(report, base, pki, kind):
    """All cases of one server; a server that does not start is one failure that says why."""
    made = {}

    def start():
        if kind is Prosody:
            server = Prosody(base, pki, [*USERS, "eve@endp.a.test"], FRIENDS)
        else:
            server = Ejabberd(base, pki, USERS, FRIENDS)
        server.start()
        watcher = Peer(server, "watcher@a.test")
        watcher.full = watcher.wait("online")["jid"]
        made["cases"] = (ProsodyCases if kind is Prosody else EjabberdCases)(report, server, watcher)

    report.run(f"{kind.name}: starts, slixmpp logs in", start, always=True)
    if "cases" in made:
        made["cases"].run()
