# SPDX-License-Identifier: MIT
"""One run: numbered messages both ways between the tool and a peer. In the end the accounts balance."""

import collections
import time

from chaos_accounts import Accounts
from chaos_breaks import Breaks, counts
from harness import Cli, Failure

OPEN_MOST = 120  # messages on their way each way; servers keep some hundreds for a session that is not there
OPTIONS = ("--keep", "--stdin", "--retry", "50", "--retry-max", "400", "--ping-after", "1", "--timeout", "2",
           "--queue", "40000", "--presence", "available", "x")


class Chaos(Breaks):
    """messages: each way."""

    def __init__(self, server, host, messages, kills, restarts, seed, *options, tls="starttls"):
        super().__init__(server, host, kills, restarts, seed, tls)
        self.messages, self.resends = messages, "--resend" in options
        self.ours, self.theirs = Accounts("u", messages, told=True), Accounts("t", messages, told=False)
        self.logins, self.reasons = collections.Counter(), collections.Counter()
        self.read, self.jid, self.marker, self.bounced = 0, None, 0, 0
        self.cli = Cli(self.relay.where, *OPTIONS, *options, jid=f"alice@{host}", ca=server.ca, tls=tls)

    def __exit__(self, *how):
        self.cli.stop()
        super().__exit__(*how)

    def run(self):
        self.rounds()
        self.wait("all messages to arrive", self.settled)
        self.cli.say("quit")
        self.wait("the end", lambda: self.cli.ended)
        self.cli.end(0)
        self.hear()
        print(f"      {self.state()}", flush=True)
        new = sum(count for how, count in self.logins.items() if how.endswith("new"))
        self.ours.balance("sent", new if self.resends else 1)
        self.theirs.balance("received", 1, self.server.in_order)

    def settled(self):
        self.say(1)
        return self.ours.settled() and self.theirs.settled()

    def forget(self):
        self.theirs.forget()

    # -- what is heard --

    def hear(self):
        with self.cli.change:
            events = self.cli.events[self.read:]
        self.read += len(events)
        for event in events:
            self.take(event, event["event"])
        while not self.peer.heard.empty():
            identity, body = self.peer.heard.get()
            if body is None:
                self.theirs.come_back(identity)
                self.bounced = time.monotonic()
            else:
                self.ours.arrive(identity, body)

    def take(self, event, kind):
        if kind == "online":
            self.begin(event)
        elif kind == "disconnected":
            self.online = False
            self.reasons[event["reason"]] += 1
        elif kind in ("delivered", "undelivered"):
            if event["id"].startswith("u"):
                self.ours.tell(event["id"], kind == "delivered")
            elif event["id"] == f"s{self.marker}":
                self.managed = kind == "delivered"
        elif kind == "message" and event.get("type") == "error":
            self.ours.come_back(event.get("id"))
        elif kind == "message":
            self.theirs.arrive(event.get("id"), event["body"])
        elif kind not in ("connected", "secured", "authenticated", "error", "presence", "closed"):
            raise Failure(f"event {event}\n    {self.cli.story()}")

    def begin(self, event):
        self.logins[f"{event['via']} {'resumed' if event['resumed'] else 'new'}"] += 1
        self.jid, self.online = event["jid"], True
        if not event["resumed"]:
            # What a server has for a session that is not managed yet is lost without a word: this is acknowledged
            # by one that is.
            self.managed, self.marker = False, self.marker + 1
            self.cli.say(f"id=s{self.marker} presence available {self.marker}")

    # -- what is said --

    def body(self, number):
        return f"{number} {'.' * int(self.chance.choice((1, 30, 300, 900)) * self.chance.random())}"

    def say(self, share):
        most = self.messages * min(1, (self.done() + share) / self.kills)
        while self.ours.ready(most, OPEN_MOST):
            identity, number = self.ours.send()
            self.cli.say(f"id={identity} message {self.peer.jid} {self.body(number)}")
        # To a session that is over, unnoticed by the tool, nothing more is sent for a while.
        there = self.managed and self.peer.there and time.monotonic() - self.bounced > 0.5
        while there and self.theirs.ready(most, OPEN_MOST):
            identity, number = self.theirs.send()
            self.peer.say(self.jid, identity, self.body(number))

    # -- what is shown --

    def story(self):
        return self.cli.story()

    def state(self):
        return (f"sent: {self.ours.summary()}\n      received: {self.theirs.summary()}\n      "
                f"{self.done()} kills: {counts(self.inflicted)}\n      logins: {counts(self.logins)}; "
                f"connections ended by {counts(self.reasons)}")
