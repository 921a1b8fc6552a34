# SPDX-License-Identifier: MIT
"""Somebody at the same server whose connection is not disturbed: sends and receives numbered messages, and logs in
again when the server was gone."""

import collections
import itertools
import os
import queue
import select
import threading
import time
from xml.etree.ElementTree import ParseError

from harness import PATIENCE, Failure, until
from modules_client import SASL, Raw

CLIENT = "{jabber:client}"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"


class Peer:
    """heard: a queue of (id, what): the body of a message, or None for one of ours that came back. What has no id goes by
    its thread."""

    def __init__(self, server, host, user="bob"):
        self.server, self.host, self.user = server, host, user
        self.jid = f"{user}@{host}/peer"
        self.heard, self.due = queue.SimpleQueue(), collections.deque()
        self.pongs, self.numbers = set(), itertools.count()
        self.logins, self.there, self.over = 0, False, False
        self.wake_in, self.wake_out = os.pipe()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def say(self, to, identity, body):
        self._send(f"<message to='{to}' id='{identity}' type='chat'><body>{body}</body><thread>{identity}</thread>"
                   "</message>")

    def barrier(self):
        """Returns when everything that the server had for us before has been heard."""
        identity = f"barrier{next(self.numbers)}"
        self._send(f"<iq type='get' id='{identity}' to='{self.host}'><ping xmlns='urn:xmpp:ping'/></iq>")
        until("the pong of an undisturbed connection", lambda: identity in self.pongs)

    def _send(self, stanza):
        self.due.append(stanza)
        os.write(self.wake_out, b"x")

    def _run(self):
        while not self.over:
            try:
                with Raw(self.server, self.host, self.user, direct=True) as raw:
                    self._log_in(raw)
                    self._live(raw)
            except (OSError, Failure, ParseError, AttributeError):
                time.sleep(0.1)
            finally:
                self.there = False

    def _log_in(self, raw):
        raw.scram(SASL, "SCRAM-SHA-1")
        raw.open()
        raw.send(f"<iq type='set' id='bind'><bind xmlns='{BIND}'><resource>peer</resource></bind></iq>")
        bound = raw.read().findtext(f"{{{BIND}}}bind/{{{BIND}}}jid")
        if bound != self.jid:
            raise Failure(f"bound as {bound}")
        self.due.clear()
        raw.send("<presence/>")
        self.logins += 1
        self.there = True

    def _live(self, raw):
        raw.socket.settimeout(PATIENCE)
        while not self.over:
            ready = select.select([raw.socket, self.wake_in], [], [], 1)[0]
            if self.wake_in in ready:
                os.read(self.wake_in, 4096)
            while self.due:
                raw.send(self.due.popleft())
            if raw.socket in ready:
                self._hear(raw)

    def _hear(self, raw):
        self._take(raw.read())
        while raw.ready or raw.socket.pending():
            self._take(raw.read())

    def _take(self, element):
        identity, kind = element.get("id") or element.findtext(f"{CLIENT}thread"), element.get("type")
        if element.tag == f"{CLIENT}message":
            self.heard.put((identity, None if kind == "error" else element.findtext(f"{CLIENT}body")))
        elif element.tag == f"{CLIENT}iq" and kind == "result":
            self.pongs.add(identity)

    def stop(self):
        self.over = True
        os.write(self.wake_out, b"x")
        self.thread.join(PATIENCE)
