# SPDX-License-Identifier: MIT
"""One run: numbered messages both ways between the tool and a peer, through a relay that breaks connections, at a
server that is restarted now and then. In the end the accounts balance."""

import collections
import random
import signal
import time

from chaos_accounts import Accounts
from chaos_peer import Peer
from chaos_relay import DOWN, UP, Relay
from harness import PATIENCE, Cli, Failure, until

# See Link.strike(); "deaf" and "dumb" stall one way alone.
KINDS = ("reset", "reset", "end", "stall", "deaf", "dumb", "client gone", "server gone")
OPEN_MOST = 120  # messages on their way each way; servers keep some hundreds for a session that is not there
OPTIONS = ("--keep", "--stdin", "--retry", "50", "--retry-max", "400", "--ping-after", "1", "--timeout", "2",
           "--queue", "40000", "--presence", "available", "x")


class Chaos:
    """messages: each way. kills: how many, of which some are restarts of the server."""

    def __init__(self, server, host, messages, kills, restarts, seed, *options, tls="starttls"):
        self.server, self.host, self.options, self.tls = server, host, options, tls
        self.messages, self.kills, self.chance = messages, kills, random.Random(seed)
        self.restarts = [int((n + 0.5) * kills / restarts) for n in range(restarts)]
        self.ours, self.theirs = Accounts("u", messages, told=True), Accounts("t", messages, told=False)
        self.inflicted, self.logins, self.reasons = (collections.Counter() for _ in range(3))
        self.read, self.jid, self.marker = 0, None, 0
        self.online = self.managed = False
        self.bounced = 0

    def run(self):
        self.peer = Peer(self.server, self.host)
        self.relay = Relay((self.server.address, self.server.direct if self.tls == "direct" else self.server.port))
        try:
            until("the peer", lambda: self.peer.there)
            with Cli(self.relay.where, *OPTIONS, *self.options, jid=f"alice@{self.host}", ca=self.server.ca,
                     tls=self.tls) as self.cli:
                self.rounds()
                self.wait("all messages to arrive", lambda: self.say(1) or self.settled())
                self.cli.say("quit")
                self.wait("the end", lambda: self.cli.ended)
                self.cli.end(0)
                self.hear()
        finally:
            self.relay.stop()
            self.peer.stop()
        print(f"      {self.state()}", flush=True)
        for what, accounts in (("ours", self.ours), ("theirs", self.theirs)):
            try:
                accounts.balance()
            except Failure as failure:
                raise Failure(f"{what}: {failure}") from failure

    def settled(self):
        return self.ours.settled() and self.theirs.settled()

    def done(self):
        return sum(self.inflicted.values())

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
        """What is due after that share of this round, as far as it may be on its way at once."""
        most = self.messages * min(1, (self.done() + share) / self.kills)
        while self.ours.due and self.ours.due[0] < most and len(self.ours.open) < OPEN_MOST:
            identity, number = self.ours.send()
            self.cli.say(f"id={identity} message {self.peer.jid} {self.body(number)}")
        # To a session that is over, unnoticed by the tool, nothing more is sent for a while.
        there = self.managed and self.peer.there and time.monotonic() - self.bounced > 0.5
        while there and self.theirs.due and self.theirs.due[0] < most and len(self.theirs.open) < OPEN_MOST:
            identity, number = self.theirs.send()
            self.peer.say(self.jid, identity, self.body(number))

    def go_on(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.hear()
            time.sleep(0.005)

    def wait(self, what, probe):
        def heard():
            self.hear()
            return probe()

        try:
            until(what, heard, 2 * PATIENCE)
        except Failure as failure:
            raise Failure(f"{failure}\n    {self.state()}\n    {self.cli.story()}") from failure

    # -- what goes wrong --

    def rounds(self):
        while self.done() < self.kills:
            self.say(0.5)
            if self.restarts and self.restarts[0] <= self.done():
                self.restart(self.restarts.pop(0))
                continue
            # Mostly where a connection is of use, but also while it is made.
            if self.chance.random() < 0.75:
                self.wait("the client to be back", self.back)
            self.say(1)
            self.go_on(self.chance.uniform(0, 0.08))
            self.break_link()

    def back(self):
        self.say(0.5)
        return self.online and self.relay.link()

    def break_link(self):
        kind, way = self.chance.choice(KINDS), self.chance.choice((UP, DOWN))
        after = self.chance.choice((1, 1 + int(self.chance.expovariate(1 / 600))))
        if self.relay.strike(kind, after, way, self.chance.uniform(0, 0.25)):
            self.wait("the relay to break the connection", lambda: not self.relay.busy())
            self.inflicted[kind] += 1

    def restart(self, number):
        """Nothing that the server took over from us may be on its way when it ends, for it is lost then."""
        how = (signal.SIGTERM, signal.SIGKILL)[number % 2]
        self.relay.freeze()
        self.peer.barrier()
        logins = self.peer.logins
        self.server.stop(how)
        self.server.restart()
        until("the peer to be back", lambda: self.peer.there and self.peer.logins > logins)
        self.hear()
        self.theirs.forget()
        self.online = self.managed = False
        self.relay.thaw(self.chance.choice(("reset", "stall")))
        self.inflicted[how.name] += 1

    def state(self):
        def counts(counter):
            return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))

        return (f"sent: {self.ours.summary()}\n      received: {self.theirs.summary()}\n      "
                f"{self.done()} kills: {counts(self.inflicted)}\n      logins: {counts(self.logins)}; "
                f"connections ended by {counts(self.reasons)}")
