# SPDX-License-Identifier: MIT
"""A relay that delays what passes, and counts: how often the client has waited for the server, and how many bytes
the application has sent, before TLS and within."""

import heapq
import itertools
import select
import socket
import threading
import time

from harness import PATIENCE, Failure

UP, DOWN = 0, 1  # from the client to the server, and back
HANDSHAKE, DATA, SERVER_HELLO = 22, 23, 2
# What a record of TLS 1.2 has more than its content: explicit nonce and tag [RFC5288 3, RFC7905 2].
MORE = {0xC02B: 24, 0xC02C: 24, 0xC02F: 24, 0xC030: 24, 0xCCA8: 16, 0xCCA9: 16}


class Records:
    """Of one way. clear: bytes before TLS; sizes: of the records that hold what the application sends."""

    def __init__(self, direct):
        self.rest, self.tls, self.clear, self.sizes, self.suite = b"", direct, 0, [], None

    def feed(self, data):
        if not self.tls:
            at = data.find(b"\x16\x03")  # not in XML
            self.tls, clear = at >= 0, at if at >= 0 else len(data)
            self.clear += clear
            data = data[clear:]
        self.rest += data
        while len(self.rest) >= 5 and len(self.rest) >= (end := 5 + int.from_bytes(self.rest[3:5], "big")):
            kind, content, self.rest = self.rest[0], self.rest[5:end], self.rest[end:]
            if kind == DATA:
                self.sizes.append(len(content))
            elif kind == HANDSHAKE and content[0] == SERVER_HELLO and self.suite is None:
                at = 39 + content[38]
                self.suite = int.from_bytes(content[at:at + 2], "big")


class Connection:
    """Each side has a clock that tells how many answers of the other one it has seen at most; what it sends bears its
    time. So answers that come in pieces count once."""

    def __init__(self, client, server, direct):
        self.begun = time.monotonic()
        self.ends, self.clocks = (client, server), [0, 0]
        self.records = (Records(direct), Records(direct))
        self.sent = []     # bytes that were sent and delivered until then, for each piece from the client
        self.arrived = []  # (when, clock), of each piece that the server got

    def took(self, way, data):
        if way == UP:
            self.records[UP].feed(data)
            up, down = self.records
            self.sent.append((up.clear, down.clear, len(up.sizes), sum(up.sizes), len(down.sizes), sum(down.sizes)))
        return self.clocks[way]

    def gave(self, way, clock, data):
        if way == UP:
            self.arrived.append((time.monotonic(), clock))
            self.clocks[DOWN] = max(self.clocks[DOWN], clock)
        else:
            self.records[DOWN].feed(data)
            self.clocks[UP] = max(self.clocks[UP], clock + 1)

    def waits(self, when):
        """How often the client had waited for the server when it sent what had arrived by then."""
        return max(clock for at, clock in self.arrived if at <= when)

    def volume(self, when):
        """Bytes that had arrived by then, and what the client had been sent before: up and down before TLS, up and
        down within."""
        up_clear, down_clear, ups, up, downs, down = self.sent[sum(at <= when for at, _ in self.arrived) - 1]
        suite = self.records[DOWN].suite
        if suite not in MORE:
            raise Failure(f"cipher suite {suite:04x}: TLS 1.2 was wanted")
        return up_clear, down_clear, up - ups * MORE[suite], down - downs * MORE[suite]


class SlowRelay:
    """delay: seconds, each way; connections in the order in which they came."""

    def __init__(self, target, delay, direct):
        self.target, self.delay, self.direct = target, delay, direct
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target, PATIENCE)
            except OSError:
                return
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.append(Connection(client, server, self.direct))
            threading.Thread(target=self._run, args=(self.connections[-1],), daemon=True).start()

    def _run(self, connection):
        waiting, numbers, ends = [], itertools.count(), list(connection.ends)
        try:
            while ends or waiting:
                left = max(0, waiting[0][0] - time.monotonic()) if waiting else PATIENCE
                for end in select.select(ends, [], [], left)[0]:
                    way, data = connection.ends.index(end), end.recv(65536)
                    if not data:
                        ends.remove(end)
                    clock = connection.took(way, data) if data else 0
                    heapq.heappush(waiting, (time.monotonic() + self.delay, next(numbers), way, clock, data))
                while waiting and waiting[0][0] <= time.monotonic():
                    _, _, way, clock, data = heapq.heappop(waiting)
                    if data:
                        connection.gave(way, clock, data)
                        connection.ends[1 - way].sendall(data)
                    else:
                        connection.ends[1 - way].shutdown(socket.SHUT_WR)
        except OSError:
            pass
        for end in connection.ends:
            end.close()

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
