# SPDX-License-Identifier: MIT
"""A scripted XMPP server for what real servers never do. A script is a function of one Connection; what
the client sent is kept apart by phase: plain before TLS, clear inside TLS."""

import base64
import functools
import hashlib
import hmac
import re
import socket
import ssl
import struct
import threading

from harness import PATIENCE, Failure, read

TLS = "urn:ietf:params:xml:ns:xmpp-tls"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
BINDINGS = "urn:xmpp:sasl-cb:0"
STREAMS = "urn:ietf:params:xml:ns:xmpp-streams"

STARTTLS = f"<starttls xmlns='{TLS}'><required/></starttls>"
BINDING = f"<bind xmlns='{BIND}'/>"
HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


def mechanisms(*names):
    return f"<mechanisms xmlns='{SASL}'>" + "".join(f"<mechanism>{n}</mechanism>" for n in names) + "</mechanisms>"


def encode(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class Scram:
    """The server's half of one exchange [RFC5802]."""

    def __init__(self, mechanism, first, password="secret", salt=b"throw-away salt", iterations=4096):
        self.hash = HASHES[mechanism.removesuffix("-PLUS")]
        self.gs2, self.bare = re.fullmatch(r"((?:n|y|p=[^,]+),,)(n=.*)", first).groups()
        self.ours = self.bare.rsplit("r=", 1)[1]
        self.password, self.salt, self.iterations = password.encode(), salt, iterations

    def first(self, nonce=None, more=""):
        """The challenge. nonce makes another one of the client's."""
        full = self.ours + "SeRvEr" if nonce is None else nonce(self.ours)
        self.challenge = f"r={full},s={encode(self.salt)},i={self.iterations}{more}"
        return self.challenge

    def check(self, final, binding=b""):
        """Of the client's answer: its proof, and that it is bound to this channel."""
        without, self.proof = final.rsplit(",p=", 1)
        self.message = ",".join((self.bare, self.challenge, without)).encode()
        client_key = self.hmac(self.salted, b"Client Key")
        mask = self.hmac(hashlib.new(self.hash, client_key).digest(), self.message)
        if bytes(a ^ b for a, b in zip(client_key, mask)) != base64.b64decode(self.proof):
            raise Failure("the client's proof is wrong")
        if base64.b64decode(without[2:].split(",")[0]) != self.gs2.encode() + binding:
            raise Failure("the client's channel binding is wrong")

    @functools.cached_property
    def salted(self):
        return hashlib.pbkdf2_hmac(self.hash, self.password, self.salt, self.iterations)

    def hmac(self, key, data):
        return hmac.digest(key, data, self.hash)

    def signature(self):
        return self.hmac(self.hmac(self.salted, b"Server Key"), self.message)


def vouch(names, bindings, mechanism="SCRAM-SHA-256"):
    """What a server says about its offer [XEP-0474 6.1]; bindings None: it lists none."""
    name = HASHES[mechanism.removesuffix("-PLUS")]
    text = "\x1e".join(sorted(names)) + ("" if bindings is None else "\x1f" + "\x1e".join(sorted(bindings)))
    return encode(hashlib.new(name, text.encode()).digest())


def listed(*bindings):
    """[XEP-0440]"""
    return f"<sasl-channel-binding xmlns='{BINDINGS}'>" + \
        "".join(f"<channel-binding type='{b}'/>" for b in bindings) + "</sasl-channel-binding>"


class Gone(Exception):
    """The client closed or broke the connection; how is "notify", "cut" or "reset"."""


class Connection:
    def __init__(self, sock, fake):
        self.socket, self.fake = sock, fake
        self.plain, self.clear = b"", b""
        self.secure = False
        self.torn = False  # TLS is there, but the script has cut it
        self.server_name = None
        self.end = None  # how the client ended: see Gone
        self.at = 0      # how much of the phase's bytes the script has used
        self.mechanism = None  # the client's choice
        sock.settimeout(PATIENCE)

    # -- bytes --

    def got(self):
        return self.clear if self.secure else self.plain

    def _receive(self):
        try:
            data = self.socket.recv(65536)
            how = "notify" if self.secure and not self.torn else "cut"
        except ssl.SSLError as error:
            data, how = b"", "cut" if "EOF" in str(error) else "reset"
        except ConnectionError:
            data, how = b"", "reset"
        if not data:
            self.end = how
            raise Gone(how)
        if not self.secure:
            self.plain += data
        elif not self.torn:
            self.clear += data

    def expect(self, pattern):
        """Reads on until the pattern matches what the client sent since the last match."""
        compiled = re.compile(pattern.encode(), re.S)
        while True:
            match = compiled.search(self.got(), self.at)
            if match:
                self.at = match.end()
                return match
            self._receive()

    def rest(self):
        """Reads until the client ends the connection, unless it has or we did."""
        try:
            while self.end is None:
                self._receive()
        except (Gone, OSError):
            pass

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    # -- ends of a connection --

    def cut(self):
        """FIN; without close_notify where there is TLS."""
        if self.secure:
            self.socket = socket.socket(fileno=self.socket.detach())
            self.socket.settimeout(PATIENCE)
            self.torn = True
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket(fileno=self.socket.detach()).close()

    def notify(self):
        """close_notify and FIN, reading on until the client does the same."""
        try:
            self.socket.unwrap()
        except (OSError, ValueError):
            pass

    # -- steps --

    def header(self, host="a.test", answer=True):
        self.expect(r"<stream:stream\s[^>]*>")
        if answer:
            self.send("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream="
                      f"'http://etherx.jabber.org/streams' version='1.0' id='fake-{self.at}' from='{host}'>")

    def features(self, inner):
        self.send(f"<stream:features>{inner}</stream:features>")

    def tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Python's default takes a cut for a close_notify.
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        context.load_cert_chain(self.fake.certificate, self.fake.key)

        def named(_socket, name, _context):
            self.server_name = name

        context.sni_callback = named
        try:
            self.socket = context.wrap_socket(self.socket, server_side=True, suppress_ragged_eofs=False)
        except (OSError, ValueError) as error:
            self.end = f"handshake: {error}"
            raise Gone(self.end) from error
        self.secure, self.at = True, 0

    def starttls(self, extra=""):
        """From the connection to inside TLS; extra follows <proceed/> in the same segment."""
        self.header()
        self.features(STARTTLS)
        self.expect(r"<starttls\s[^>]*/>")
        self.send(f"<proceed xmlns='{TLS}'/>{extra}")
        self.tls()

    def encrypt(self):
        """From the connection to inside TLS, in the way that the server has."""
        if self.fake.direct:
            self.tls()
        else:
            self.starttls()

    def binding(self, gs2):
        """The data of the channel binding that the client names."""
        if gs2.startswith("p=tls-unique,"):
            return self.socket.get_channel_binding("tls-unique")
        if gs2.startswith("p=tls-server-end-point,"):
            return hashlib.sha256(ssl.PEM_cert_to_DER_cert(read(self.fake.certificate))).digest()
        return b""

    def offer(self, *names, more=""):
        """The stream inside TLS, up to the client's <auth/>."""
        self.header()
        self.features(mechanisms(*names) + more)
        return self.auth()

    def auth(self):
        match = self.expect(r"<auth\s([^>]*?)(?:/>|>([^<]*)</auth>)")
        self.mechanism = re.search(rb"mechanism=['\"]([^'\"]*)", match.group(1)).group(1).decode()
        return base64.b64decode(match.group(2) or b"")

    def challenge(self, text):
        self.send(f"<challenge xmlns='{SASL}'>{encode(text)}</challenge>")

    def response(self):
        return base64.b64decode(self.expect(r"<response[^>]*?(?:/>|>([^<]*)</response>)").group(1) or b"").decode()

    def success(self, text=None):
        """text None: without any."""
        self.send(f"<success xmlns='{SASL}'" + ("/>" if text is None else f">{encode(text)}</success>"))

    def scram(self, *names, nonce=None, signature="right", more="", first="", **keys):
        """names: what is offered; more: further features; first: what follows in the challenge, or gives that for
        a mechanism; nonce: what becomes of the client's. signature: right, wrong, missing (<success/> without it),
        error (server-error in its place), or challenge (right, but in a challenge of its own)."""
        initial = self.offer(*(names or ["SCRAM-SHA-256"]), more=more).decode()
        exchange = Scram(self.mechanism, initial, **keys)
        self.challenge(exchange.first(nonce, first(self.mechanism) if callable(first) else first))
        exchange.check(self.response(), self.binding(exchange.gs2))
        right = exchange.signature()
        lies = {"wrong": "v=" + encode(bytes(len(right))), "error": "e=other-error"}
        text = lies.get(signature, "v=" + encode(right))
        if signature == "challenge":
            self.challenge(text)
            self.response()
        self.success(None if signature in ("missing", "challenge") else text)

    def bind(self, jid="alice@a.test/fake"):
        self.header()
        self.features(BINDING)
        request = self.expect(rf"<iq\s([^>]*)><bind xmlns='{BIND}'(?:/>|>.*?</bind>)</iq>")
        number = re.search(rb"id=['\"]([^'\"]*)", request.group(1)).group(1).decode()
        self.send(f"<iq type='result' id='{number}'><bind xmlns='{BIND}'><jid>{jid}</jid></bind></iq>")

    def online(self):
        self.starttls()
        self.scram()
        self.bind()


class Fake:
    """Listens on 127.0.0.1; every connection is put into connections and runs the script."""

    def __init__(self, script, pki=None, certificate="a.test", direct=False, connection=Connection):
        self.script, self.direct, self.connection = script, direct, connection
        if pki:
            self.certificate, self.key = f"{pki}/{certificate}.crt", f"{pki}/{certificate}.key"
        self.connections = []
        self.problem = None
        self.threads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.where = f"127.0.0.1:{self.port}"
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            connection = self.connection(sock, self)
            self.connections.append(connection)
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _run(self, connection):
        try:
            self.script(connection)
        except (Gone, ConnectionError):
            pass
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"
        connection.rest()
        connection.socket.close()

    def finish(self):
        """After the client has ended: waits for the scripts; complains if one went wrong."""
        for thread in self.threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                raise Failure("the client left its connection open")
        if self.problem:
            raise Failure(f"fake server: {self.problem}")

    def only(self):
        """The one connection there was."""
        if len(self.connections) != 1:
            raise Failure(f"{len(self.connections)} connections, not 1")
        return self.connections[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # shutdown() wakes accept(); close() alone would not.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connection in self.connections:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
