# SPDX-License-Identifier: MIT
"""Servers that keep sessions for clients that are not there, and that can be restarted."""

import os

import harness
from harness import Ejabberd
from modules_prosody import Modern, host
from modules_sasl2 import offer

KEPT = 30  # seconds that a session waits for its client
HOSTS = {
    "classic.a.test": host("smacks", "e2e_replace", smacks_hibernation_time=KEPT),
    "old.a.test": host("smacks", smacks_hibernation_time=KEPT),
    "modern.a.test": offer("e2e_replace", smacks_hibernation_time=KEPT),
}


class Restarting:
    def restart(self):
        """After it was stopped or killed. Its log begins anew, because the start is seen there."""
        os.unlink(os.path.join(self.base, "server.log"))
        return harness.Server.start(self)


class ChaosProsody(Restarting, Modern):
    in_order = True


class ChaosEjabberd(Restarting, Ejabberd):
    in_order = False  # what comes while a session is resumed may overtake what had waited for it
    modules = f"  mod_stream_mgmt: {{{{ resume_timeout: {KEPT} }}}}\n"

    def start(self):
        super().start()
        self.stop()  # so that the accounts are on disk
        return self.restart()


def prosody(base, pki):
    return ChaosProsody(base, pki, HOSTS, [f"bob@{name}" for name in HOSTS]).start()


def ejabberd(base, pki):
    return ChaosEjabberd(base, pki, ["alice@a.test", "bob@a.test"], []).start()
