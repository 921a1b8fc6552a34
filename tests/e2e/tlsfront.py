# SPDX-License-Identifier: MIT
"""TLS 1.2 before a server that speaks XMPP in the clear: what Prosody and ejabberd lack, sessions that are resumed
by their ids [RFC5246 7.3].

    front = TlsFront().start(0, ("127.0.0.2", port), pem("a.test"), pem("a.test", "key"), starttls=True)
    ... clients connect to 127.0.0.1, front.port: STARTTLS, or TLS from the first byte ...
    front.handshakes    # [(cipher, resumed), ...], in the order they ended
    front.forget()      # sessions are unknown from now on, as after a restart; another certificate if one is given
    front.cut()         # every connection is reset, the sessions stay
    front.stop()

Behind it a Prosody host needs modules_disabled = { "tls" }, c2s_require_encryption = false and
allow_unencrypted_plain_auth = true; it sees no TLS, so it offers no -PLUS."""

import ctypes
import re
import select
import socket
import ssl
import threading

PATIENCE = 60  # seconds for what comes before the relay; never reached when all is well
LATER = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)
HEADER = re.compile(rb"<stream:stream\s[^>]*>")
TO = re.compile(rb"\sto\s*=\s*['\"]([^'\"]*)")
START = re.compile(rb"<starttls\s[^>]*?(?:/>|></starttls>)")
OFFER = (b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
         b"version='1.0' id='front' from='%s'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>"
         b"<required/></starttls></stream:features>")
PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


def wait_for(sock, pattern):
    """Up to a match; what follows it in the clear is dropped, as it has to be."""
    got = b""
    while not (match := pattern.search(got)):
        more = sock.recv(4096)
        if not more:
            raise ConnectionError("ended in the clear")
        got += more
    return match


def disconnect(sock):
    """RST, at once and whoever uses the socket; connect() to AF_UNSPEC, which Python has no words for."""
    if sock.fileno() >= 0:
        ctypes.CDLL(None).connect(sock.fileno(), bytes(16), 16)


class Way:
    """One direction: at most a little is read ahead of what could be written."""

    def __init__(self, source, sink):
        self.source, self.sink, self.data, self.ended = source, sink, b"", False

    def move(self):
        """True if anything moved."""
        moved = False
        if not self.ended and len(self.data) < 65536:
            try:
                more = self.source.recv(65536)
                self.ended, moved = not more, True
                self.data += more
            except LATER:
                pass
        if self.data:
            try:
                self.data = self.data[self.sink.send(self.data):]
                moved = True
            except LATER:
                pass
        return moved

    def over(self):
        return self.ended and not self.data


class TlsFront:
    def start(self, listen_port, backend, cert, key, starttls=False, address="127.0.0.1"):
        """listen_port 0: any that is free; backend: (address, port)."""
        self.backend, self.starttls, self.address = backend, starttls, address
        self.handshakes, self.problems = [], []
        self._sockets, self._threads, self._lock = set(), [], threading.Lock()
        self.certificate = (cert, key)
        self.forget()
        self._listener = socket.create_server((address, listen_port))
        self.port = self._listener.getsockname()[1]
        self.where = f"{address}:{self.port}"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def forget(self, cert=None, key=None):
        if cert:
            self.certificate = (cert, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_TICKET
        context.load_cert_chain(*self.certificate)
        context.set_alpn_protocols(["xmpp-client"])
        self.context = context

    def cut(self):
        with self._lock:
            for sock in self._sockets:
                disconnect(sock)

    def stop(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close() alone would not
        except OSError:
            pass
        self._listener.close()
        self._acceptor.join(PATIENCE)
        self.cut()
        for thread in self._threads:
            thread.join(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
            thread.start()

    def _serve(self, sock):
        plain, inner = sock, None
        with self._lock:
            self._sockets.add(plain)
        try:
            sock.settimeout(PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.starttls:
                to = TO.search(wait_for(sock, HEADER).group())
                sock.sendall(OFFER % (to.group(1) if to else b""))
                wait_for(sock, START)
                sock.sendall(PROCEED)
            sock = self.context.wrap_socket(sock, server_side=True)
            with self._lock:
                self._sockets.discard(plain)
                self._sockets.add(sock)
            self.handshakes.append((sock.cipher()[0], sock.session_reused))
            inner = socket.create_connection(self.backend, PATIENCE)
            inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._relay(sock, inner)
        except (OSError, ValueError) as error:
            self.problems.append(f"{type(error).__name__}: {error}")
        finally:
            self._end(plain, sock, inner)

    @staticmethod
    def _relay(outer, inner):
        outer.setblocking(False)
        inner.setblocking(False)
        up, down = Way(outer, inner), Way(inner, outer)
        while not up.over() and not down.over():
            moved = up.move()
            if down.move() or moved:
                continue
            select.select([s for s, way in ((outer, up), (inner, down)) if not way.ended and len(way.data) < 65536],
                          [way.sink for way in (up, down) if way.data], [], 1)

    def _end(self, plain, sock, inner):
        # OpenSSL drops the session of a connection that ends without close_notify; trying is enough.
        if isinstance(sock, ssl.SSLSocket):
            try:
                sock.settimeout(1)
                sock.unwrap()
            except (OSError, ValueError):
                pass
        with self._lock:
            self._sockets -= {plain, sock}
        for each in (sock, inner):
            if each:
                each.close()
