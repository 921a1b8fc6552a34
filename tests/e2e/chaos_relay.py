# SPDX-License-Identifier: MIT
"""A relay of TCP connections that end as they do in the field: at once or unnoticed, for both sides or for one,
and anywhere within what is being sent."""

import select
import socket
import struct
import threading
import time

from harness import PATIENCE

CHUNK = 65536
UP, DOWN = 0, 1  # from the client to the server, and back


def reset(sock):
    """Ends it by RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Way:
    """What one side sends on its way to the other. lost: it never gets there."""

    def __init__(self):
        self.data, self.ended, self.shut, self.lost = b"", False, False, False


class Link:
    """A client's connection and the one made for it. A side that is gone is None."""

    def __init__(self, client, server):
        self.ends = [client, server]
        self.ways = [Way(), Way()]
        self.fault = None   # what is to happen: kind, after how many bytes, which way, at the latest when
        self.broken = False  # it happened: neither side learns anything of the other any more
        for end in self.ends:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def alive(self):
        return not self.broken and None not in self.ends

    # -- what happens to it --

    def gone(self, side, how=reset):
        if self.ends[side]:
            how(self.ends[side])
            self.ends[side] = None

    def strike(self, kind):
        self.fault, self.broken = None, True
        if kind in ("reset", "end"):
            for side in (UP, DOWN):
                self.gone(side, reset if kind == "reset" else socket.socket.close)
        elif kind in ("client gone", "server gone"):
            self.gone(UP if kind == "client gone" else DOWN)
        for way in (UP, DOWN):
            if kind not in ("deaf", "dumb") or kind == ("dumb", "deaf")[way]:
                self.ways[way].lost, self.ways[way].data = True, b""

    # -- the bytes --

    def readable(self):
        return [end for end, way in zip(self.ends, self.ways) if end and not way.ended and len(way.data) < CHUNK]

    def writable(self):
        return [sink for sink, way in zip(reversed(self.ends), self.ways) if sink and way.data]

    def move(self):
        for side in (UP, DOWN):
            if self.ends[side]:
                self.read(side)
        if self.fault and time.monotonic() > self.fault[3]:
            self.strike(self.fault[0])
        for side in (UP, DOWN):
            self.write(side)
        if all(way.shut for way in self.ways):
            for side in (UP, DOWN):
                self.gone(side, socket.socket.close)

    def read(self, side):
        way = self.ways[side]
        if way.ended or len(way.data) >= CHUNK:
            return
        try:
            data = self.ends[side].recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.gone(side)
            if not self.broken:
                self.gone(1 - side)
            return
        if not data:
            way.ended = True
            if self.broken:
                self.gone(side, socket.socket.close)
            return
        if self.fault and self.fault[2] == side:
            kind, left, _, latest = self.fault
            if len(data) >= left:
                way.data += data[:left]
                self.write(side)
                self.strike(kind)
                data = data[left:]
            else:
                self.fault = kind, left - len(data), side, latest
        if not way.lost:
            way.data += data

    def write(self, side):
        way, sink = self.ways[side], self.ends[1 - side]
        if not sink:
            way.data = b""
            return
        try:
            if way.data:
                way.data = way.data[sink.send(way.data):]
            if way.ended and not way.data and not way.shut and not self.broken:
                way.shut = True
                sink.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self.gone(1 - side)
            if not self.broken:
                self.gone(side)


class Relay:
    """Listens on where, and connects to target. frozen: nothing moves, nobody is let in."""

    def __init__(self, target):
        self.target, self.frozen, self.accepted = target, False, 0
        self.links, self.lock = [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.where = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.over = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def link(self):
        """The connection that a client uses now, if there is one."""
        with self.lock:
            return next((link for link in reversed(self.links) if link.alive()), None)

    def strike(self, kind, after, way, seconds):
        """Has it happen to the connection there is, after so many bytes more that way, or so many seconds. Returns
        false if there is none, or something is to happen to it already."""
        with self.lock:
            link = next((link for link in reversed(self.links) if link.alive()), None)
            if link is None or link.fault:
                return False
            link.fault = kind, after, way, time.monotonic() + seconds
            return True

    def busy(self):
        """Something is still to happen."""
        with self.lock:
            return any(link.fault for link in self.links if link.alive())

    def freeze(self):
        with self.lock:
            self.frozen = True

    def thaw(self, *kinds):
        """What was there ends thus."""
        with self.lock:
            for link in self.links:
                if link.alive():
                    link.strike(kinds[0])
            self.frozen = False

    def _accept(self):
        client, _ = self.listener.accept()
        try:
            server = socket.create_connection(self.target, PATIENCE)
        except OSError:
            reset(client)
            return
        self.accepted += 1
        self.links.append(Link(client, server))

    def _run(self):
        while not self.over:
            if self.frozen:
                time.sleep(0.01)
                continue
            with self.lock:
                self.links = [link for link in self.links if any(link.ends)]
                sources = [end for link in self.links for end in link.readable()]
                sinks = [end for link in self.links for end in link.writable()]
            ready = select.select([self.listener, *sources], sinks, [], 0.02)
            with self.lock:
                if self.frozen:
                    continue
                if self.listener in ready[0]:
                    self._accept()
                for link in self.links:
                    link.move()

    def stop(self):
        self.over = True
        self.thread.join(PATIENCE)
        self.listener.close()
        for link in self.links:
            for side in (UP, DOWN):
                link.gone(side)
