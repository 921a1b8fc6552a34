#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The examples at work on a real server, and what the command line tool promises about its input, its
end and its exit status beyond what tests/e2e looks at."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "e2e"))
sys.dont_write_bytecode = True

# The path to the harness has to be known first.
from harness import BUILD, Child, Cli, Prosody, Report, clean_up_always, make_pki, same, scratch, until, write  # noqa: E402

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


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    base = scratch()
    server = Prosody(base, make_pki(base), [ALICE, BOB], [ALICE, BOB], hosts=False).start()
    for case in (hello, echo, sensor, sensor_for_seconds, many_pings, long_line, last_line, quit_at_once, request,
                 interrupted, escapes, password_file):
        report.run(case.__name__.replace("_", " "), case, server, base)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
