# SPDX-License-Identifier: MIT
"""A network that is not what it should be: a relay of Ethernet frames that loses, delays and stops, a name
server, and a relay of TCP connections."""

import heapq
import random
import select
import socket
import struct
import threading
import time

LENGTH = struct.Struct(">I")


class Relay:
    """Stands between QEMU's network interface and its network; every frame passes through here. loss: the share
    of frames that is lost, each way; delay: seconds, each way; blocked: nothing passes."""

    def __init__(self, seed=1):
        self.loss, self.delay, self.blocked = 0.0, 0.0, False
        self.passed = self.dropped = 0
        self.ours, self.qemus, self.ways = [], [], {}
        for way in range(2):
            taken, his_taken = socket.socketpair()
            given, his_given = socket.socketpair()
            self.ours += [taken, given]
            self.qemus += [his_taken, his_given]
            # Each way has chances of its own: the same seed, nearly the same story.
            self.ways[taken] = (given, random.Random(2 * seed + way))
        self.waiting = []  # frames on their way: when, a number that keeps their order, to whom, what
        self.count = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def options(self):
        """QEMU's, for its netdev n0. In the order that keeps a frame from coming back to where it was taken."""
        out, back = ([sock.fileno() for sock in self.qemus[at:at + 2]] for at in (0, 2))
        options = []
        for name, number in (("out0", out[0]), ("out1", out[1]), ("back0", back[0]), ("back1", back[1])):
            options += ["-chardev", f"socket,id={name},fd={number}"]
        for name, queue, way in (("f0", "tx", "outdev=out0"), ("f1", "tx", "indev=out1"),
                                 ("f2", "rx", "indev=back1"), ("f3", "rx", "outdev=back0")):
            options += ["-object", f"filter-redirector,id={name},netdev=n0,queue={queue},{way}"]
        return options

    def numbers(self):
        return [sock.fileno() for sock in self.qemus]

    def started(self):
        """QEMU has its ends now."""
        for sock in self.qemus:
            sock.close()

    def _run(self):
        partial = dict.fromkeys(self.ways, b"")
        try:
            while True:
                left = max(0, self.waiting[0][0] - time.monotonic()) if self.waiting else None
                for sock in select.select(list(partial), [], [], left)[0]:
                    data = sock.recv(65536)
                    if not data:
                        return
                    partial[sock] = self._frames(partial[sock] + data, *self.ways[sock])
                while self.waiting and self.waiting[0][0] <= time.monotonic():
                    _, _, sock, frame = heapq.heappop(self.waiting)
                    sock.sendall(frame)
        except (OSError, ValueError):
            pass  # QEMU has ended

    def _frames(self, data, to, chance):
        while len(data) >= LENGTH.size:
            size = LENGTH.size + LENGTH.unpack_from(data)[0]
            if len(data) < size:
                break
            if self.blocked or chance.random() < self.loss:
                self.dropped += 1
            else:
                self.passed += 1
                self.count += 1
                heapq.heappush(self.waiting, (time.monotonic() + self.delay, self.count, to, data[:size]))
            data = data[size:]
        return data

    def stop(self):
        for sock in self.ours:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join(10)
        for sock in self.ours:
            sock.close()


class NameServer:
    """Answers questions for A and AAAA from a dictionary: name to address or None; others do not exist."""

    def __init__(self, names, port):
        """port is where to be if that is free: lwIP is compiled for it."""
        self.names, self.asked = names, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind(("127.0.0.1", port))
        except OSError:
            self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                question, asker = self.socket.recvfrom(2048)
            except OSError:
                return
            if len(question) > 16:
                self.socket.sendto(self._answer(question), asker)

    def _answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = struct.unpack_from(">H", question, at + 1)[0]
        name = ".".join(labels)
        self.asked.append((name, kind))
        address = self.names.get(name)
        family = socket.AF_INET6 if address and ":" in address else socket.AF_INET
        records = b""
        if address and kind == (28 if family == socket.AF_INET6 else 1):
            packed = socket.inet_pton(family, address)
            records = struct.pack(">HHHIH", 0xc00c, kind, 1, 1, len(packed)) + packed
        code = 0 if name in self.names else 3
        counts = struct.pack(">HHHHH", 0x8180 | code, 1, bool(records), 0, 0)
        return question[:2] + counts + question[12:at + 5] + records

    def stop(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


class Forward:
    """Listens on one address and connects to another: a way in by IPv6 for a server that has only IPv4."""

    def __init__(self, listen, target):
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        self.target = target
        self.listener = socket.create_server((listen, 0), family=family)
        self.port = self.listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            server = socket.create_connection(self.target)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
