#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""waits.py [PATTERN]: how often a client waits for the server before its presence leaves, TCP apart, at Prosody with TLS
1.2: the tool, and libstrophe beside it. Counted in two ways: by who answers whom in a relay that delays, and as the slope
of the time over the delay. PATTERN: a regular expression for case names. Needs libstrophe-dev, gcc and what run.py
needs."""

import os
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # no cache beside the sources

from chaos_peer import CLIENT, Peer  # noqa: E402
from harness import (HERE, PATIENCE, Child, Cli, Failure, Report, clean_up_always, make_pki, need,  # noqa: E402
                     need_file, same, scratch, until, write)
from modules_prosody import SASL2_MODULES, Modern, host  # noqa: E402
from modules_sasl2 import offer  # noqa: E402
from tlsfront import TlsFront  # noqa: E402
from waits_relay import SlowRelay  # noqa: E402

DELAYS = (0, 0.04, 0.1)  # seconds, each way
ROUNDS = 6  # until the slope is believed: on a machine with other work, single times are off
CLASSIC, MODERN, CLEAR = "classic.a.test", "modern.a.test", "clear.a.test"
HOSTS = {
    CLASSIC: host("smacks"),
    MODERN: offer("smacks"),
    # Behind somebody who ends TLS.
    CLEAR: host(*SASL2_MODULES, "smacks", modules_disabled=["tls"], c2s_require_encryption=False,
                allow_unencrypted_plain_auth=True),
}
TLS12 = """\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = default
[default]
MaxProtocol = TLSv1.2
"""


class Watcher(Peer):
    """Is told of alice's presence. seen: when it was there."""

    def __init__(self, *arguments):
        self.seen = {}
        super().__init__(*arguments)

    def _take(self, element):
        if element.tag == f"{CLIENT}presence" and element.get("type") is None:
            self.seen.setdefault(element.get("from").split("/")[0], time.monotonic())
        super()._take(element)


class Strophe:
    """Another client, for comparison."""

    made = None

    def __init__(self, lab, jid, relay, direct):
        if not Strophe.made:
            need_file("/usr/include/strophe.h", "libstrophe-dev")
            program = os.path.join(lab.base, "strophe")
            subprocess.run([need("gcc"), "-O1", "-o", program, os.path.join(HERE, "strophe.c"), "-lstrophe"], check=True)
            write(os.path.join(lab.base, "openssl.cnf"), TLS12)
            Strophe.made = program
        self.child = Child([Strophe.made, jid, "secret", "127.0.0.1", str(relay.port), lab.server.ca,
                            "direct" if direct else "starttls"], stdin=subprocess.PIPE,
                           env={**os.environ, "OPENSSL_CONF": os.path.join(lab.base, "openssl.cnf")})

    def leave(self):
        self.child.process.stdin.close()
        self.child.wait()


class Tool:
    """saved: what was learnt before, or None; expected: how the login goes, from the event online."""

    def __init__(self, lab, jid, relay, direct, saved, expected, *options):
        path = os.path.join(lab.base, "saved.now")
        if os.path.exists(path):
            os.unlink(path)
        if saved:
            shutil.copy(saved, path)
        self.expected = expected
        self.cli = Cli(f"127.0.0.1:{relay.port}", "--stdin", "--queue", "4096", "--saved", path, *options, jid=jid,
                       ca=lab.server.ca, tls="direct" if direct else "starttls")
        self.cli.say("raw <presence/>")

    def leave(self):
        with self.cli:
            online = self.cli.wait("online")
            same("login", {name: online[name] for name in self.expected}, self.expected)
            self.cli.say("quit")
            self.cli.end(0)


class Lab:
    def __init__(self, report, base, pki):
        self.report, self.base = report, base
        users = ["bob@classic.a.test", *(f"alice@{name}" for name in HOSTS)]
        self.server = Modern(base, pki, HOSTS, users[:1], users).start()
        self.watcher = Watcher(self.server, CLASSIC)
        until("the watcher", lambda: self.watcher.there)
        self.table = []
        front = os.path.join(self.server.base, "hosts")
        self.front = TlsFront().start(0, (self.server.address, self.server.port), f"{front}.crt", f"{front}.key")

    def target(self, name, direct):
        if name == CLEAR:
            return "127.0.0.1", self.front.port
        return self.server.address, self.server.direct if direct else self.server.port

    def once(self, name, direct, delay, client):
        """One login. Returns the time until presence was there, how often was waited, and the connection."""
        jid = f"alice@{name}"
        with SlowRelay(self.target(name, direct), delay, direct) as relay:
            self.watcher.seen.pop(jid, None)
            visitor = client(self, jid, relay, direct)
            when = until("presence", lambda: self.watcher.seen.get(jid))
            connection = relay.connections[0]
            waits = connection.waits(when)
            visitor.leave()
            same("connections", len(relay.connections), 1)
            return when - connection.begun, waits, connection.volume(when)

    def measure(self, title, wanted, name, direct, client):
        """wanted: how often is waited, exactly."""
        times, waits, volumes = {}, [], []
        for _ in range(ROUNDS):
            for delay in DELAYS:
                took, waited, volume = self.once(name, direct, delay, client)
                times[delay] = min(took, times.get(delay, took))
                if delay:
                    waits.append(waited)
                    volumes.append(volume)
            # What is sent goes one way more than it was waited for.
            slope = (fit(times) - 1) / 2
            if round(slope) == min(waits) == wanted:
                break
        self.table.append((title, min(waits), slope, *min(volumes)))
        same("waits, counted and by the slope", (min(waits), round(slope)), (wanted, wanted))
        return min(volumes)

    def learn(self, name, direct):
        """What one login leaves behind."""
        self.once(name, direct, 0, lambda *how: Tool(*how, None, {}))
        return shutil.copy(os.path.join(self.base, "saved.now"), os.path.join(self.base, f"saved.{name}"))

    def run(self):
        def case(title, wanted, name, direct, **how):
            self.report.run(title, lambda: self.tool(title, wanted, name, direct, **how))

        case("direct TLS, SASL2, first login", 5, MODERN, True, via="sasl2")
        case("direct TLS, token", 3, MODERN, True, returns=True, via="fast")
        case("direct TLS resumed, token", 2, CLEAR, True, returns=True, via="fast", tls_resumed=True)
        case("STARTTLS, SASL2, first login", 7, MODERN, False, via="sasl2")
        case("STARTTLS, RFC 6120", 7, CLASSIC, False, via="classic")
        case("direct TLS, RFC 6120", 5, CLASSIC, True, via="classic")
        # It sends presence without waiting for the answer to <enable/>.
        self.report.run("libstrophe: STARTTLS", self.strophe, "libstrophe: STARTTLS", 9, False)
        self.report.run("libstrophe: direct TLS", self.strophe, "libstrophe: direct TLS", 7, True)
        self.report.run("fewer bytes than libstrophe, each way", self.fewer)
        self.show()

    def tool(self, title, wanted, name, direct, returns=False, **expected):
        saved = self.learn(name, direct) if returns else None
        expected = {"resumed": False, "tls_resumed": False, **expected}
        self.measure(title, wanted, name, direct, lambda *how: Tool(*how, saved, expected))

    def strophe(self, title, wanted, direct):
        self.measure(title, wanted, CLASSIC, direct, Strophe)

    def fewer(self):
        volumes = {title: volume for title, _, _, *volume in self.table}
        for ours, theirs in (("STARTTLS, RFC 6120", "libstrophe: STARTTLS"),
                             ("direct TLS, RFC 6120", "libstrophe: direct TLS")):
            for mine, other in zip(volumes[ours], volumes[theirs]):
                if mine > other:
                    raise Failure(f"{ours}: {volumes[ours]}, {theirs}: {volumes[theirs]}")

    def show(self):
        print(f"      {'before presence leaves':32} waits  slope   in the clear up/down   within TLS up/down")
        for title, waits, slope, *volume in self.table:
            print("      {:32} {:5}  {:5.2f}   {:12} {:9} {:12} {:9}".format(title, waits, slope, *volume))


def fit(times):
    """The slope of the line that fits best."""
    x, y = sum(times) / len(times), sum(times.values()) / len(times)
    return sum((a - x) * (b - y) for a, b in times.items()) / sum((a - x) ** 2 for a in times)


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    base = scratch()
    made = []
    report.run("throw-away certificates, server, watcher", lambda: made.append(Lab(report, base, make_pki(base))),
               always=True)
    if made:
        made[0].run()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
