# SPDX-License-Identifier: MIT
"""The servers of the tests of sessions: hosts that differ in how one logs in and in how long a session outlives its
connection."""

import os
import re

from harness import Ejabberd, write
from modules_prosody import BOTH, Modern, host
from pledge_pki import certificate
from sessions_case import Way

CLASSIC = ("smacks", "csi_simple", "carbons")
SASL2 = ("e2e_trunk", "sasl2", "sasl2_bind2", "sasl2_sm", "csi_simple", "carbons", "e2e_endpoint")
FAST = (*SASL2, "sasl2_fast")
BRIEF = 1  # seconds that a session outlives its connection


def modern(*modules, **options):
    return host(*modules, e2e_bindings=BOTH, **options)


def in_front(**options):
    """What goes on behind somebody else's TLS."""
    return dict(modules_disabled=["tls"], c2s_require_encryption=False, allow_unencrypted_plain_auth=True, **options)


HOSTS = {
    "classic.a.test": host(*CLASSIC),
    "classic-brief.a.test": host(*CLASSIC, smacks_hibernation_time=BRIEF),
    "sasl2.a.test": modern(*SASL2),
    "sasl2-brief.a.test": modern(*SASL2, smacks_hibernation_time=BRIEF),
    "fast.a.test": modern(*FAST),
    "fast-brief.a.test": modern(*FAST, smacks_hibernation_time=BRIEF),
    "rotate.a.test": modern(*FAST, sasl2_fast_token_min_ttl=0),
    "expire.a.test": modern(*FAST, sasl2_fast_token_ttl=0),
    "whole.a.test": modern(*FAST, "e2e_whole"),
    "whole-classic.a.test": host(*CLASSIC, "e2e_whole"),
    "front.a.test": host(*FAST[:-2], "sasl2_fast", **in_front()),
    "front-classic.a.test": host(*CLASSIC, **in_front()),
}
PROSODY_WAYS = [
    Way("classic", "alice", "classic.a.test", "classic", "classic", "classic-brief.a.test"),
    Way("SASL2", "alice", "sasl2.a.test", "sasl2", "sasl2", "sasl2-brief.a.test"),
    Way("FAST", "alice", "fast.a.test", "sasl2", "fast", "fast-brief.a.test", tls="direct"),
    Way("--sasl2 off", "bob", "fast.a.test", "classic", "classic", "fast-brief.a.test", "--sasl2", "off"),
    Way("--pipeline off", "carol", "fast.a.test", "sasl2", "fast", "fast-brief.a.test", "--pipeline", "off"),
    Way("classic, --pipeline off", "bob", "classic.a.test", "classic", "classic", "classic-brief.a.test",
        "--pipeline", "off", tls="direct")]
EJABBERD_WAYS = [Way("classic", "alice", "a.test", "classic", "classic", "brief.a.test"),
                 Way("direct TLS", "bob", "a.test", "classic", "classic", "brief.a.test", tls="direct")]


class Keeping(Modern):
    """Each host has a watcher, too. What it knows of sessions that it gave up can be taken away."""

    name, forgets = "prosody", True

    def __init__(self, base, pki):
        watchers = [f"watcher@{name}" for name in HOSTS]
        others = {f"{way.user}@{name}" for way in PROSODY_WAYS for name in (way.host, way.brief)}
        super().__init__(base, pki, HOSTS, [*watchers, *(others - {f"alice@{name}" for name in HOSTS})])

    def data(self, name, store, user="alice"):
        """Where that host keeps what of a user."""
        host = "".join(c if c.isalnum() else f"%{ord(c):02x}" for c in name)
        return os.path.join(self.base, "data", host, store, f"{user}.dat")

    def mark(self):
        return None

    def gave_up(self, way, _):
        return os.path.exists(self.data(way.brief, "smacks_h", way.user))

    def forget(self, way):
        os.unlink(self.data(way.brief, "smacks_h", way.user))

    def restart(self, how):
        self.stop(how)
        os.unlink(os.path.join(self.base, "server.log"))  # the start is seen there
        self.start()

    def certificate(self):
        """And its key, of all hosts."""
        return os.path.join(self.base, "hosts.crt"), os.path.join(self.base, "hosts.key")


class KeepingEjabberd(Ejabberd):
    name, forgets = "ejabberd", False
    hosts = ("a.test", "brief.a.test", "anon.a.test")
    certificates = ("sessions",)
    modules = "  mod_stream_mgmt: {{}}\n  mod_client_state: {{}}\n  mod_carboncopy: {{}}\n"
    host_config = f"""\
  brief.a.test: {{{{ modules: {{{{ mod_disco: {{{{}}}}, mod_roster: {{{{}}}}, mod_ping: {{{{}}}},
    mod_stream_mgmt: {{{{ resume_timeout: {BRIEF} }}}} }}}} }}}}
"""

    def __init__(self, base, pki):
        certificate(pki, "sessions", self.hosts)
        users = [f"{user}@{name}" for user in ("alice", "bob", "watcher") for name in self.hosts[:2]]
        super().__init__(base, pki, users, [])

    def mark(self):
        return len(self.log())

    def gave_up(self, way, mark):
        return re.search(rf"{way.user}@{way.brief}/.*Timed out waiting for stream resumption", self.log()[mark:])

    def restart(self, how):
        self.stop(how)
        write(os.path.join(self.base, "server.log"), "")  # the start is seen there
        self.users = []  # they are there
        self.start()
