#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The examples at work on a real server, and what the command line tool promises about its input, its
end and its exit status beyond what tests/e2e looks at."""

import hashlib
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "e2e"))
sys.dont_write_bytecode = True

# The path to the harness has to be known first.
from harness import (BUILD, CLI, PATIENCE, Child, Cli, Prosody, Report, clean_up_always, directory, make_pki, same,  # noqa: E402
                     scratch, until, write)

ALICE, BOB = "alice@a.test", "bob@a.test"


class Example:
    """One of the numbered examples; lines() is what it has printed so far."""

    def __init__(self, server, base, name, jid, *more):
        self.path = os.path.join(base, f"{name}.out")
        environment = {**os.environ, "XMPP_TINY_PASSWORD": "secret"}
        with open(self.path, "w", encoding="utf-8") as out:
            self.child = Child([os.path.join(BUILD, name), jid, server.ca, f"{server.address}:{server.port}", *more],
                               env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)

    def lines(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read().splitlines()

    def online(self, jid):
        until(f"{jid} to be online", lambda: f"online as {jid}" in self.lines())

    def end(self, how=None):
        if how:
            self.child.process.send_signal(how)
        same("exit status", self.child.wait(), 0)


def hello(server, base):
    example = Example(server, base, "1-hello", ALICE + "/hello")
    example.end()
    same("output", example.lines(), [f"online as {ALICE}/hello"])


def echo(server, base):
    """Three hundred kilobytes through buffers of four each way: none is lost, order is kept."""
    example = Example(server, base, "2-echo", ALICE + "/echo")
    example.online(ALICE + "/echo")
    bodies = [f"{i} <&\"'> \u00fc\U0001f600 " + "x" * 1000 for i in range(300)]
    with Cli(server, "--stdin", jid=BOB) as bob:
        for body in bodies:
            bob.say(f"message {ALICE}/echo {body}")
        for body in bodies:
            bob.wait("message", body="echo: " + body)
        same("order", [e["body"] for e in bob.events if e["event"] == "message"], ["echo: " + b for b in bodies])
        bob.say(f"message {ALICE}/echo echo: no answer to this")
        bob.say(f"message {ALICE}/echo last")
        bob.wait("message", body="echo: last")
        same("messages", bob.kinds().count("message"), len(bodies) + 1)
    example.end(signal.SIGTERM)


def sensor(server, base):
    example = Example(server, base, "3-sensor", ALICE + "/sensor", "1")
    example.online(ALICE + "/sensor")

    def published():
        return [line for line in example.lines() if line.startswith("published ")]

    with Cli(server, "--stdin", jid=BOB) as bob:
        jid = bob.wait("online")["jid"]
        bob.say(f"message {ALICE}/sensor write")
        bob.say(f"message {ALICE}/sensor read")
        same("sender of the answer", bob.wait("message")["from"], ALICE + "/sensor")
        until("three readings", lambda: len(published()) >= 3)
        example.end(signal.SIGINT)
        same("messages", bob.kinds().count("message"), 1)
    same("answers", [line for line in example.lines() if line.startswith("answered ")], [f"answered {jid}"])
    if len(set(published())) < 2:
        raise AssertionError(f"the reading never changes: {published()}")


def sensor_for_seconds(server, base):
    example = Example(server, base, "3-sensor", ALICE + "/sensor", "60", "2")
    example.end()
    same("readings", len([line for line in example.lines() if line.startswith("published ")]), 1)


def sensor_kept(server, base):
    """The server is away for a while; then a reading is published at once, and the sensor ends as if nothing had been."""
    example = Example(server, base, "3-sensor", ALICE + "/kept", "600")
    example.online(ALICE + "/kept")
    until("a reading", lambda: any(line.startswith("published ") for line in example.lines()))
    server.stop()
    until("an attempt", lambda: any(line.startswith("next attempt in ") for line in example.lines()))
    server.start()
    until("a second reading", lambda: len([line for line in example.lines() if line.startswith("published ")]) == 2)
    example.end(signal.SIGTERM)
    same("times online", example.lines().count(f"online as {ALICE}/kept"), 2)


def many_pings(server, _base):
    """More than there is room for at once; the end of input waits for all."""
    with Cli(server, "--stdin") as tool:
        for _ in range(20):
            tool.say("ping -")
        tool.child.process.stdin.close()
        tool.end(0)
        same("pongs", tool.kinds().count("pong"), 20)


def long_line(server, _base):
    """A line that can be no command is reported and dropped whole; the next one counts."""
    with Cli(server, "--stdin") as tool:
        tool.say(f"message {ALICE} " + "y" * 200000)
        tool.say("ping -")
        tool.child.process.stdin.close()
        tool.end(1)
        same("errors", [e["name"] for e in tool.events if e["event"] == "error"], ["TOO_BIG"])
        same("pongs", tool.kinds().count("pong"), 1)


def last_line(server, _base):
    """It may lack its line feed, and a carriage return is no part of it."""
    with Cli(server, "--stdin") as tool:
        tool.child.process.stdin.write(b"\r\nping -\r\n\nping a.test")
        tool.child.process.stdin.close()
        tool.end(0)
        same("events", tool.kinds()[4:], ["pong", "pong", "closed"])


def quit_at_once(server, _base):
    """Nothing after it is obeyed, and it ends a wait."""
    with Cli(server, "--stdin", "--wait", "1000") as tool:
        tool.say("quit")
        tool.say(f"message {ALICE} never")
        tool.end(0)
        same("events", tool.kinds(), ["connected", "secured", "authenticated", "online", "closed"])


def request(server, _base):
    with Cli(server, "--stdin") as tool:
        tool.say("iq get - <query xmlns='jabber:iq:roster'/>")
        same("roster", tool.wait("iq")["ns"], "jabber:iq:roster")
        tool.say("iq set a.test <nonsense xmlns='urn:nonsense'/>")
        same("answer", {k: v for k, v in tool.wait("iq").items() if k in ("from", "type", "condition")},
             {"from": "a.test", "type": "error", "condition": "service-unavailable"})
        tool.child.process.stdin.close()
        tool.end(0)


def interrupted(server, _base):
    with Cli(server, "--wait", "1000") as tool:
        tool.wait("online")
        tool.child.process.send_signal(signal.SIGINT)
        tool.end(130)
        same("last event", tool.kinds()[-1], "closed")


def escapes(server, _base):
    """Text that would end a string or steer a terminal arrives as it was, and never bare in the output."""
    text = "\"quoted\" back\\slash \u009b31m \u007f tab\tend"
    with Cli(server, "--stdin", "--resource", "r") as tool:
        tool.wait("online")
        tool.say(f"message {ALICE}/r {text}")
        same("body", tool.wait("message")["body"], text)
    environment = {**os.environ, "XMPP_TINY_PASSWORD": "secret"}
    plain = subprocess.run([*tool.argv[:1], *tool.argv[2:-4], "--resource", "r", "--send", ALICE + "/r", text, "--wait", "1",
                            ALICE], env=environment, capture_output=True, check=False)
    same("exit status", plain.returncode, 0)
    line = [line for line in plain.stdout.splitlines() if line.startswith(b"message")]
    same("lines", len(line), 1)
    if rb'"\"quoted\" back\\slash \u009b31m \u007f tab\tend"' not in line[0] or b"\xc2\x9b" in plain.stdout:
        raise AssertionError(f"not escaped: {line[0]}")


def password_file(server, base):
    for number, ending in enumerate(("", "\n", "\r\n")):
        path = write(os.path.join(base, f"password{number}"), "secret" + ending)
        with Cli(server, "--password-file", path, password=None) as tool:
            tool.end(0)
    path = write(os.path.join(base, "password"), "secret \n")
    with Cli(server, "--password-file", path, password=None) as tool:
        tool.end(4)


# ---- What the tool trusts and remembers ----------------------------------------------------------------


def spki(server):
    """The server's key as a pin."""
    key = subprocess.run(["openssl", "x509", "-pubkey", "-noout", "-in", server.pem("a.test")], capture_output=True, check=True)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.stdout, capture_output=True, check=True)
    return hashlib.sha256(der.stdout).hexdigest()


def without_ca(tool_options, jid=ALICE, password="secret", **variables):
    """The tool's events and exit status, trusting as the options say."""
    environment = {**os.environ, **variables}
    if password is not None:
        environment["XMPP_TINY_PASSWORD"] = password
    done = subprocess.run([CLI, "--json", *tool_options, jid], env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=PATIENCE, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()], done


def one(events, kind):
    found = [e for e in events if e["event"] == kind]
    same(f"events {kind}", len(found), 1)
    return found[0]


def pins(server, _base):
    """By itself, in capitals and with colons, among others; with authorities; and a wrong one."""
    right, wrong = spki(server), "00" * 32
    there = ["--connect", f"{server.address}:{server.port}"]
    colons = ":".join(right[i:i + 2] for i in range(0, 64, 2)).upper()
    for more, trust in ((["--pin", colons], "pin"), (["--pin", wrong, "--pin", right], "pin"),
                        (["--pin", right, "--ca", server.ca], "ca-pin")):
        events, done = without_ca([*there, *more])
        same("exit status", done.returncode, 0)
        same("trust", (one(events, "secured")["trust"], one(events, "secured")["spki"]), (trust, right))
    for more, name in ((["--pin", wrong], "PIN"), (["--pin", wrong, "--ca", server.ca], "PIN"),
                       (["--pin", right, "--ca", server.pem("other-ca")], "CERT_UNTRUSTED")):
        events, done = without_ca([*there, *more])
        same("exit status", (done.returncode, one(events, "error")["name"]), (3, name))


def another_server(base):
    """Of the same domain, with a key of its own."""
    place = directory(base, "other")
    return Prosody(place, make_pki(place), [ALICE], [], hosts=False).start()


def first_use(server, base):
    """The first server is believed; the keys stand in for the password; the file is for its owner alone."""
    path = os.path.join(base, "first-use")
    there = ["--connect", f"{server.address}:{server.port}", "--first-use", "--saved", path]
    events, done = without_ca(there)
    same("exit status", done.returncode, 0)
    same("trust", one(events, "secured")["trust"], "first-use")
    same("saved", one(events, "authenticated")["saved"], True)
    same("mode of the file", oct(os.stat(path).st_mode & 0o777), "0o600")
    same("files", [name for name in os.listdir(base) if name.startswith("first-use")], ["first-use"])
    with open(path, "rb") as file:
        state = file.read()
    same("the key is remembered", bytes.fromhex(spki(server)) in state, True)
    public = bytes.fromhex(one(events, "secured")["spki"] + one(events, "secured")["certificate"])
    secrets = [at for at in range(len(state) - 16) if len(set(state[at:at + 16])) > 8 and state[at:at + 16] not in public]
    same("there are secrets", len(secrets) > 64, True)
    same("of which nothing is printed", [at for at in secrets if state[at:at + 16].hex().encode() in done.stdout + done.stderr], [])

    # A server with another key: it is told, and the tool leaves unless it is allowed.
    other = another_server(base)
    secured = one(events, "secured")
    there[1] = f"{other.address}:{other.port}"
    events, done = without_ca(there)
    same("exit status", (done.returncode, one(events, "error")["name"]), (3, "CERT_CHANGED"))
    same("old and new", [one(events, "changed")[key] for key in ("old_spki", "spki")], [spki(server), spki(other)])
    same("old", one(events, "changed")["old_certificate"], secured["certificate"])
    same("nothing was said", [e["event"] for e in events], ["connected", "changed", "error", "closed"])
    with open(path, "rb") as file:
        same("the file is as it was", file.read() == state, True)
    events, done = without_ca([*there, "--accept-change"])
    same("exit status", (done.returncode, one(events, "authenticated")["saved"]), (0, True))
    events, done = without_ca(there)
    same("exit status", (done.returncode, [e for e in events if e["event"] == "changed"]), (0, []))
    same("trust", one(events, "secured")["trust"], "pin")

    # This server makes another salt for each login: the keys are no help, and that is told.
    events, done = without_ca(there, password=None)
    same("without the password", (done.returncode, one(events, "error")["name"]), (4, "KEYS"))
    other.stop()


def unwritable(server, base):
    """What cannot be stored is an error, but none that keeps anybody from the session."""
    there = ["--connect", f"{server.address}:{server.port}", "--ca", server.ca, "--saved", os.path.join(base, "none", "file")]
    events, done = without_ca([*there, "--ping", "-"])
    same("exit status", done.returncode, 1)
    same("saved", one(events, "authenticated")["saved"], False)
    same("pong", one(events, "pong")["from"], "a.test")
    same("message", b"No such file or directory" in done.stderr, True)


def new_password(server, _base):
    """Of the environment, of a command; a refusal; what is on the wire and in the trace is not the password."""
    there = ["--connect", f"{server.address}:{server.port}", "--ca", server.ca]
    events, done = without_ca([*there, "--trace", "--change-password", "--ping", "-"], BOB, XMPP_TINY_NEW_PASSWORD="in the env")
    same("exit status", done.returncode, 0)
    same("password", one(events, "password"), {"event": "password"})
    same("trace", b"in the env" in done.stderr, False)
    same("refused", without_ca(there, BOB)[1].returncode, 4)
    with Cli(server, "--stdin", jid=BOB, password="in the env") as tool:
        tool.say("password secret")
        tool.wait("password")
        tool.child.process.stdin.close()
        tool.end(0)
    same("exit status", without_ca(there, BOB)[1].returncode, 0)


def new_account(server, _base):
    there = ["--connect", f"{server.address}:{server.port}", "--ca", server.ca, "--create-account"]
    events, done = without_ca(there, "carol@a.test", "of carol")
    same("exit status", (done.returncode, done.stderr), (0, b""))
    same("events", [e["event"] for e in events][:4], ["connected", "secured", "registered", "authenticated"])
    events, done = without_ca(there, "carol@a.test", "of carol")
    same("events", [e["event"] for e in events][:3], ["connected", "secured", "authenticated"])
    events, done = without_ca(there, "carol@a.test", "of mallory")
    same("exit status", (done.returncode, one(events, "error")["name"]), (4, "AUTH"))


# ---- Sessions ------------------------------------------------------------------------------------------


def ends(*tools):
    """How the stanzas of one run or more ended, in order."""
    return [(e["event"], e.get("id")) for tool in tools for e in tool.events if e["event"] in ("delivered", "undelivered")]


def bodies(tool):
    return [e["body"] for e in tool.events if e["event"] == "message"]


def queue(server, _base):
    """More than it has room for: each is kept, delivered once, in order, and that is told once."""
    with Cli(server, "--stdin", "--resource", "q", jid=BOB) as bob:
        bob.wait("online")
        with Cli(server, "--stdin", "--queue", "1024") as tool:
            for number in range(300):
                tool.say(f"message {BOB}/q number {number}")
            tool.say("iq get - <query xmlns='jabber:iq:roster'/>")
            tool.child.process.stdin.close()
            tool.end(0)
            same("ends", ends(tool), [("delivered", f"m{n + 1}") for n in range(300)] + [("delivered", "q301")])
            same("answer", tool.look("iq")["id"], "q301")
        bob.wait("message", body="number 299")
        same("messages", bodies(bob), [f"number {n}" for n in range(300)])


def ids(server, _base):
    """Those of lines, of stanzas as they stand, and those that are made; which are refused."""
    with Cli(server, "--stdin", "--queue", "4096", "--resource", "i") as tool:
        me = f"{ALICE}/i"
        for line in (f"id=first message {me} a", f"message {me} b", "id=asked iq get - <query xmlns='jabber:iq:roster'/>",
                     "id=there presence away", "id=here ping -", f"raw <message to='{me}' id='own'><body>c</body></message>",
                     f"id=a'<&>\"b raw <message to='{me}'><body>d</body></message>",
                     f"raw <message to = '{me}'><body>e</body><x id='inner'/></message>"):
            tool.say(line)
        for kind, number in (("message", 5), ("iq", 1), ("pong", 1), ("delivered", 8)):
            for _ in range(number):
                tool.wait(kind)
        same("messages", [(e.get("id"), e["body"]) for e in tool.events if e["event"] == "message"],
             [("first", "a"), ("m1", "b"), ("own", "c"), ("a'<&>\"b", "d"), (None, "e")])
        same("ends", ends(tool), [("delivered", id) for id in ("first", "m1", "asked", "there", "here", "own", "a'<&>\"b", None)])
        same("answers", [e["id"] for e in tool.events if e["event"] in ("iq", "pong")], ["asked", "here"])
        for line in (f"id= message {me} f", "id=" + "x" * 128 + f" message {me} g", "id=x quit", "id=x password y", "id=x",
                     f"id=x raw <message to='{me}' id='y'/>"):
            tool.say(line)
            same("refused", tool.wait("error")["name"], "ARGUMENT")
        tool.child.process.stdin.close()
        tool.end(1)
        same("number of ends", len(ends(tool)), 8)


def session(server, base):
    """Goes on from run to run, unless its file is damaged, or another's."""
    place = directory(base, "session")
    path = os.path.join(place, "file")

    def run(jid=ALICE, *more):
        with Cli(server, "--session", path, "--resource", "s", "--send", f"{jid}/s", "to oneself", *more, jid=jid) as tool:
            tool.end(0)
            online = tool.wait("online")
            same("online", {key: online[key] for key in ("jid", "via", "tls_resumed")},
                 {"jid": f"{jid}/s", "via": "classic", "tls_resumed": False})
            same("file", (os.listdir(place), oct(os.stat(path).st_mode & 0o777)), (["file"], "0o600"))
            return online["resumed"], [e["name"] for e in tool.events if e["event"] == "error"], ends(tool)

    same("first run", run(), (False, [], [("delivered", "m1")]))
    same("second run", run(), (True, [], [("delivered", "m2")]))
    with open(path, "rb") as file:
        state = file.read()
    for at in (0, 7, 8, 30, len(state) - 33, len(state) - 1):
        with open(path, "wb") as file:
            file.write(state[:at] + bytes([state[at] ^ 1]) + state[at + 1:])
        same(f"byte {at} is another", run(), (False, ["SAVED"], [("delivered", "m1")]))
    with open(path, "wb") as file:
        file.write(state[:-1])
    same("it is cut", run(), (False, ["SAVED"], [("delivered", "m1")]))
    same("another account", run(BOB), (False, ["SAVED"], [("delivered", "m1")]))
    same("its second run", run(BOB), (True, [], [("delivered", "m2")]))


def killed(server, base):
    """With stanzas that the server has not acknowledged; they are not lost, nor doubled, and keep their ids."""
    options = ["--session", os.path.join(base, "killed"), "--resource", "k", "--stdin"]
    with Cli(server, "--stdin", "--resource", "peer", jid=BOB) as bob:
        bob.wait("online")
        with Cli(server, *options) as tool:
            tool.say(f"id=1 message {BOB}/peer one")
            tool.wait("delivered", id="1")
            server.child.process.send_signal(signal.SIGSTOP)
            try:
                tool.say(f"id=2 message {BOB}/peer two")
                tool.say(f"id=3 raw <message to='{BOB}/peer'><body>three</body></message>")
                tool.say("id=4 iq get - <query xmlns='jabber:iq:roster'/>")
                tool.say("nonsense")
                tool.wait("error", name="ARGUMENT")  # so the lines before it were taken
                until("the file to hold them", lambda: b"three" in read_bytes(options[1]))
                tool.child.stop(signal.SIGKILL)
            finally:
                server.child.process.send_signal(signal.SIGCONT)
        with Cli(server, *options) as again:
            same("resumed", again.wait("online")["resumed"], True)
            for number in "234":
                again.wait("delivered", id=number)
            again.say(f"id=5 message {BOB}/peer five")
            again.wait("delivered", id="5")
            again.say("quit")
            again.end(0)
            same("ends", ends(tool, again), [("delivered", number) for number in "12345"])
        bob.wait("message", body="five")
        same("messages", bodies(bob), ["one", "two", "three", "five"])


def killed_while_receiving(server, base):
    """Again and again, with what it acknowledged stored before: the session goes on, nothing is lost."""
    options = ["--session", os.path.join(base, "receiving"), "--resource", "r"]
    seen, sent = [], 0
    with Cli(server, "--stdin", "--queue", "16384", jid=BOB) as bob:
        for run in range(8):
            with Cli(server, *options, "--stdin") as tool:
                same("resumed", tool.wait("online")["resumed"], run > 0)
                tool.say("id=here presence available")
                tool.wait("delivered", id="here")
                for sent in range(sent + 1, sent + 21):
                    bob.say(f"message {ALICE}/r {sent}")
                tool.wait("message", body=str(sent - 2 * run))
                tool.child.stop(signal.SIGKILL)
                tool.reader.join(PATIENCE)
                seen += bodies(tool)
    with Cli(server, *options, "--stdin") as tool:
        if str(sent) not in seen:
            tool.wait("message", body=str(sent))
        tool.say("quit")
        tool.end(0)
        seen += bodies(tool)
    same("messages", list(dict.fromkeys(seen)), [str(n + 1) for n in range(sent)])


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def keep(server, _base):
    """A server that is away for a while, and one that stays away; the last presence is said again."""
    options = ["--keep", "--retry", "100", "--retry-max", "500", "--resource", "keep", "--stdin"]
    me = ALICE + "/keep"
    with Cli(server, *options, "--presence", "away", "out") as tool:
        tool.wait("presence", **{"from": me, "show": "away", "status": "out"})
        server.stop()
        tool.wait("disconnected")
        tool.say(f"message {me} sent while nobody was there")
        tool.wait("disconnected", reason="CONNECT")
        server.start()
        same("resumed", tool.wait("online", resumed=False)["jid"], me)
        tool.wait("presence", **{"from": me, "show": "away", "status": "out"})
        tool.wait("message", body="sent while nobody was there")
        tool.wait("delivered", id="m1")
        server.stop()
        tool.wait("disconnected")
        tool.say(f"message {me} lost")
        tool.say("quit")
        tool.end(0)
        same("ends", ends(tool), [("delivered", "m1"), ("undelivered", "m2")])
        same("last event", tool.kinds()[-1], "closed")
    with Cli(server, *options, "--wait", "1") as tool:
        tool.end(2)
        same("online", tool.look("online"), None)
    server.start()
    with Cli(server, *options) as tool:
        tool.wait("online")
    with Cli(server, *options, password="wrong") as tool:
        tool.end(4)
        same("events", tool.kinds()[-2:], ["error", "closed"])


HOST = """\
  modules_enabled = { "register"; "smacks" }
  allow_registration = true
"""


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    base = scratch()
    server = Prosody(base, make_pki(base), [ALICE, BOB], [ALICE, BOB], hosts=False)
    with open(server.config, "a", encoding="utf-8") as file:
        file.write(HOST)
    server.start()
    for case in (hello, echo, sensor, sensor_for_seconds, sensor_kept, many_pings, long_line, last_line, quit_at_once, request,
                 interrupted, escapes, password_file, pins, first_use, unwritable, new_password, new_account, queue, ids,
                 session, killed, killed_while_receiving, keep):
        report.run(case.__name__.replace("_", " "), case, server, base)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
