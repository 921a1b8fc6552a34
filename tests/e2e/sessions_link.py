# SPDX-License-Identifier: MIT
"""The way between a client and a server, over TCP, which can break: connections are reset, ended or go silent, and
new ones may be refused until the way is open again."""

import socket
import threading

from harness import PATIENCE
from tlsfront import disconnect

HEADER = 5  # bytes of a TLS record before its content


class Pair:
    """A connection of a client, and the one to the server that belongs to it."""

    def __init__(self, link, client):
        self.link, self.client = link, client
        self.server = socket.create_connection(link.target, PATIENCE)
        self.stalled = self.dead = False
        self.sent = 0        # bytes that the client sent
        self.watched = None  # what the client sent and was not handed on yet; None: it is as it comes
        self.threads = [threading.Thread(target=self.pump, args=way, daemon=True)
                        for way in ((client, self.server, True), (self.server, client, False))]
        for sock in (client, self.server):
            sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for thread in self.threads:
            thread.start()

    def pump(self, source, sink, up):
        try:
            while data := source.recv(65536):
                self.sent += len(data) if up else 0
                if self.stalled or self.dead:
                    continue
                if up and self.watched is not None:
                    self.split(data)
                else:
                    sink.sendall(data)
            if not self.stalled:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def split(self, data):
        """Record by record, until a large one has passed: the stanza in it is cut."""
        self.watched += data
        while len(self.watched) >= HEADER:
            size = HEADER + int.from_bytes(self.watched[3:5], "big")
            if len(self.watched) < size:
                return
            self.server.sendall(self.watched[:size])
            self.watched = self.watched[size:]
            if size >= self.link.large:
                self.server.shutdown(socket.SHUT_WR)
                self.reset(self.client)
                return

    def reset(self, *sockets):
        self.dead = True
        for sock in sockets or (self.client, self.server):
            disconnect(sock)

    def end(self):
        """FIN; without close_notify, since that would take a key."""
        self.dead = True
        for sock in (self.client, self.server):
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass


class Link:
    """Listens on 127.0.0.1; `count` connections came, `refused` more were not let in."""

    def __init__(self, server, tls="starttls"):
        self.target = (server.address, server.direct if tls == "direct" else server.port)
        self.pairs, self.count, self.refused, self.large = [], 0, 0, 0
        self.shut = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.where = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self.shut:
                self.refused += 1
                disconnect(sock)
                sock.close()
                continue
            try:
                self.pairs.append(Pair(self, sock))
                self.count += 1
            except OSError:  # the server is away
                self.refused += 1
                disconnect(sock)
                sock.close()

    def close(self):
        self.shut = True

    def open(self):
        self.shut = False

    def cut(self, how):
        """"reset", "end" or "stall": nothing comes through any more, and nobody says so."""
        for pair in self.pairs:
            if how == "reset":
                pair.reset()
            elif how == "end":
                pair.end()
            else:
                pair.stalled = True

    def drop(self):
        """What stalled is forgotten."""
        for pair in self.pairs:
            pair.reset()

    def split(self, large):
        """The next record of that size or more is the last that gets through."""
        self.large = large
        self.pairs[-1].watched = b""

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close() alone would not
        except OSError:
            pass
        self.listener.close()
        self.acceptor.join(PATIENCE)
        self.drop()
        for pair in self.pairs:
            for thread in pair.threads:
                thread.join(PATIENCE)
            pair.client.close()
            pair.server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
