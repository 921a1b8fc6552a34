# SPDX-License-Identifier: MIT
"""What breaks connections at random, and restarts the server now and then."""

import collections
import random
import signal
import time

from chaos_peer import Peer
from chaos_relay import DOWN, UP, Relay
from harness import PATIENCE, Failure, until

# See Link.strike(); "deaf" and "dumb" stall one way alone.
KINDS = ("reset", "reset", "end", "stall", "deaf", "dumb", "client gone", "server gone")


class Breaks:
    """kills: how many, of which some are restarts of the server. Who inherits has: hear(), which takes what has come;
    say(share), which sends what is due after that share of this round; online and managed, which say how the
    client's session is; forget(), for when the server has ended; state() and story(), to be shown with a failure."""

    settle = 0.08  # seconds at most that a connection of use is left in peace

    def __init__(self, server, host, kills, restarts, seed, tls):
        self.server, self.host, self.kills, self.chance = server, host, kills, random.Random(seed)
        self.restarts = [int((n + 0.5) * kills / restarts) for n in range(restarts)]
        self.inflicted = collections.Counter()
        self.online = self.managed = False
        self.peer = Peer(server, host)
        self.relay = Relay((server.address, server.direct if tls == "direct" else server.port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.relay.stop()
        self.peer.stop()

    def done(self):
        return sum(self.inflicted.values())

    def wait(self, what, probe):
        def heard():
            self.hear()
            return probe()

        try:
            until(what, heard, 2 * PATIENCE)
        except Failure as failure:
            raise Failure(f"{failure}\n      {self.state()}\n    {self.story()}") from failure

    def rounds(self):
        self.wait("the peer", lambda: self.peer.there)
        while self.done() < self.kills:
            self.say(0.5)
            if self.restarts and self.restarts[0] <= self.done():
                self.restart(self.restarts.pop(0))
                continue
            # Mostly where a connection is of use, but also while it is made.
            if self.chance.random() < 0.75:
                self.wait("the client to be back", self.back)
            self.say(1)
            self.go_on(self.chance.uniform(0, self.settle))
            self.break_link()

    def back(self):
        self.say(0.5)
        return self.online and self.relay.link()

    def go_on(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.hear()
            time.sleep(0.005)

    def break_link(self):
        kind, way = self.chance.choice(KINDS), self.chance.choice((UP, DOWN))
        after = self.chance.choice((1, 1 + int(self.chance.expovariate(1 / 600))))
        if self.relay.strike(kind, after, way, self.chance.uniform(0, 0.25)):
            self.wait("the relay to break the connection", lambda: not self.relay.busy())
            self.inflicted[kind] += 1

    def restart(self, number):
        """Nothing that the server took over may be on its way to the peer when it ends, for it is lost then."""
        how = (signal.SIGTERM, signal.SIGKILL)[number % 2]
        self.relay.freeze()
        self.peer.barrier()
        logins = self.peer.logins
        self.server.stop(how)
        self.server.restart()
        until("the peer to be back", lambda: self.peer.there and self.peer.logins > logins)
        self.hear()
        self.forget()
        self.online = self.managed = False
        self.relay.thaw(self.chance.choice(("reset", "stall")))
        self.inflicted[how.name] += 1


def counts(counter):
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))
