# SPDX-License-Identifier: MIT
"""The device on one server reaches a user on another: TLS between the servers, and each knows the other by
its certificate, or by dialback inside TLS. What a server does not believe is told to the device."""

import re

from harness import Cli, Failure, Peer, same, until

BY_CERTIFICATE = [("Outgoing", "EXTERNAL", "valid"), ("Incoming", "EXTERNAL", "valid")]
# Prosody's own certificate is good: of its links only the one from the other side needs dialback.
BY_DIALBACK = [("Outgoing", "EXTERNAL", "invalid"), ("Incoming", "dialback", "invalid")]


def links(near, domain):
    """What Prosody's log tells of its links with a domain: direction, authentication, certificate chain. All of
    them have to be encrypted."""

    def link(direction, origin, target):
        log = near.log()
        done = re.search(rf"(s2s\w+)\t\w+\t{direction} s2s connection {origin}->{target} complete", log)
        if not done:
            return None
        story = "\n".join(re.findall(rf"^.*\b{done.group(1)}\t.*$", log, re.M))
        if "Stream encrypted (TLSv1." not in story[:story.index(" complete")]:
            raise Failure(f"{origin}->{target} is not encrypted")
        how = "EXTERNAL" if "mechanism='EXTERNAL'" in story else "dialback"
        if how == "dialback" and not re.search("<db:result [^>]*type='valid'", story):
            return None  # that is told after the link is complete
        return direction, how, re.search(r"certificate chain validation result: (\w+)", story).group(1)

    return [until(f"{direction} {origin}->{target} in the log", lambda a=(direction, origin, target): link(*a))
            for direction, origin, target in (("Outgoing", "near.test", domain), ("Incoming", domain, "near.test"))]


def exchange(cli, own, other, full):
    """Ping and messages, both ways, between the device and slixmpp."""
    cli.say(f"ping {full}")
    pong = cli.wait("pong")
    same("pong", (pong["from"], pong.get("condition")), (full, None))
    cli.say(f"message {full} over there & back")
    got = other.wait("message", **{"from": own})
    same("message", (got["type"], got["body"]), ("chat", "over there & back"))
    other.do("message", to=own, body="gr\u00fc\u00dfe <>", id="f1")
    got = cli.wait("message", **{"from": full})
    same("message", (got["type"], got["id"], got["body"]), ("chat", "f1", "gr\u00fc\u00dfe <>"))
    other.do("ping", to=own)
    same("pong", other.wait("pong", **{"from": own})["error"], None)


class Federation:
    def __init__(self, report, near, far, erl):
        self.report, self.near, self.far, self.erl = report, near, far, erl

    def reach(self, device, own, server, jid, wanted):
        """The device, with account own on one server, and slixmpp as jid on the other; one of them is near."""
        domain = (own if server is self.near else jid).split("@")[1]

        def anchor(of, account):
            name = account.split("@")[1].removesuffix(".test")
            return of.pem(name) if "dialback" in name else of.ca

        with Cli(device, "--stdin", jid=own, ca=anchor(device, own)) as cli, \
                Peer(server, jid, ca=anchor(server, jid)) as other:
            exchange(cli, cli.wait("online")["jid"], other, other.wait("online")["jid"])
            cli.say("quit")
            cli.end(0)
        same("links", links(self.near, domain), wanted)

    def ours(self):
        """A device of ours at either end."""
        with Cli(self.near, "--stdin", jid="alice@near.test") as alice, \
                Cli(self.erl, "--stdin", jid="bob@erl.test") as bob:
            ends = [(alice, alice.wait("online")["jid"]), (bob, bob.wait("online")["jid"])]
            for (cli, _), (other, full) in (ends, reversed(ends)):
                cli.say(f"ping {full}")
                same("pong", cli.wait("pong", **{"from": full}).get("condition"), None)
                cli.say(f"message {full} \u2713")
                same("message", other.wait("message")["body"], "\u2713")
            for cli, _ in ends:
                cli.say("quit")
                cli.end(0)

    def ejabberd_agrees(self):
        for domain, inbound, outbound in (("erl.test", "EXTERNAL", "EXTERNAL"),
                                          ("erl-dialback.test", "EXTERNAL", "dialback")):
            for pattern in (rf"\(tls\|.*Accepted inbound s2s {inbound} authentication near.test -> {domain} ",
                            rf"\(tls\|.*Accepted outbound s2s {outbound} authentication {domain} -> near.test "):
                until(f"{pattern} in ejabberd's log", lambda pattern=pattern: re.search(pattern, self.erl.log()))

    def untrusted(self):
        """The far server's certificate is its own word alone."""
        with Cli(self.near, "--stdin", jid="alice@near.test") as cli:
            cli.wait("online")
            cli.say("ping bob@untrusted.test/x")
            cli.say("message bob@untrusted.test anybody there?")
            for kind in ("pong", "message"):
                got = cli.wait(kind)
                same(kind, (got["from"].split("/")[0], got["condition"], got["text"]), (
                    "bob@untrusted.test", "remote-server-timeout",
                    "Server-to-server connection failed: Remote server's certificate is not trusted"))
            cli.say("quit")
            cli.end(0)

    def distrusted(self):
        """The device's own server is the one that the other does not believe."""
        with Cli(self.far, "--stdin", jid="bob@untrusted.test", ca=self.far.pem("untrusted")) as cli:
            cli.wait("online")
            cli.say("ping alice@near.test/x")
            got = cli.wait("pong")
            same("pong", (got["from"], got["condition"]), ("alice@near.test/x", "remote-server-timeout"))
            cli.say("quit")
            cli.end(0)

    def run(self):
        def case(name, function, *arguments):
            self.report.run(f"federation: {name}", function, *arguments)

        near, far, erl = self.near, self.far, self.erl
        case("Prosody to Prosody, by certificate", self.reach, near, "alice@near.test", far, "bob@far.test",
             BY_CERTIFICATE)
        case("Prosody to Prosody, by dialback", self.reach, near, "alice@near.test", far, "bob@dialback.test",
             BY_DIALBACK)
        case("Prosody to ejabberd, by certificate", self.reach, near, "alice@near.test", erl, "bob@erl.test",
             BY_CERTIFICATE)
        case("ejabberd to Prosody, by certificate", self.reach, erl, "bob@erl.test", near, "alice@near.test",
             BY_CERTIFICATE)
        case("ejabberd to Prosody, by dialback", self.reach, erl, "bob@erl-dialback.test", near, "alice@near.test",
             BY_DIALBACK)
        case("ejabberd's log agrees", self.ejabberd_agrees)
        case("the device at both ends", self.ours)
        case("a server that is not trusted", self.untrusted)
        case("a server that does not trust ours", self.distrusted)
