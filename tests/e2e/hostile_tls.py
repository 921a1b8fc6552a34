# SPDX-License-Identifier: MIT
"""The server's side of TLS 1.2 by hand, ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 alone, so that every message and
every record can be wrong. What the client sends is kept in the order it came: Tls.log."""

import hmac
import os
import struct

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fake import Gone

CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
TLS12 = 0x0303
SUITE = 0xC02B
P256, X25519 = 23, 29
ECDSA_SHA256 = 0x0403

MESSAGES = {0: "HelloRequest", 1: "ClientHello", 2: "ServerHello", 4: "NewSessionTicket", 11: "Certificate",
            12: "ServerKeyExchange", 13: "CertificateRequest", 14: "ServerHelloDone", 15: "CertificateVerify",
            16: "ClientKeyExchange", 20: "Finished", 22: "CertificateStatus"}
NUMBERS = {name: number for number, name in MESSAGES.items()}

ALERTS = {0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow",
          40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked",
          45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca",
          49: "access_denied", 50: "decode_error", 51: "decrypt_error", 70: "protocol_version",
          71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled",
          100: "no_renegotiation", 109: "missing_extension", 110: "unsupported_extension", 112: "unrecognized_name",
          116: "certificate_required", 120: "no_application_protocol"}


def u16(number):
    return struct.pack(">H", number)


def vector(data, size=2):
    """data behind its length in that many bytes."""
    return len(data).to_bytes(size, "big") + data


def message(name, body=b""):
    return bytes([NUMBERS[name]]) + vector(body, 3)


def record(kind, data, version=TLS12):
    return bytes([kind]) + u16(version) + vector(data)


def alert(level, number):
    return record(ALERT, bytes([level, number]))


def extension(number, data=b""):
    return u16(number) + vector(data)


def prf(secret, label, seed, length):
    """P_SHA256 [RFC5246 5]."""
    seed, out, a = label + seed, b"", label + seed
    while len(out) < length:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + seed, "sha256")
    return out[:length]


class Closed(Gone):
    """The client has closed TLS, or what it sent is none."""


class Tls:
    """Sends what it is told to. certificate and key are names of PEM files. Has enough of a socket's methods for
    Connection in fake.py."""

    def __init__(self, sock, certificate, key):
        self.socket = sock
        with open(certificate, "rb") as file:
            self.chain = [x509.load_pem_x509_certificate(file.read()).public_bytes(serialization.Encoding.DER)]
        with open(key, "rb") as file:
            self.key = serialization.load_pem_private_key(file.read(), None)
        self.log = []         # ("message", name), ("alert", name), ("sealed", kind) or ("data", bytes)
        self.transcript = b""
        self.buffer = b""     # of the client's handshake messages
        self.reading = self.writing = None  # keys; the number of the next record
        self.client_random = self.server_random = b""
        self.unique = None    # tls-unique [RFC5929 3]
        self.ended = None     # how the client ended: "notify", "cut" or "reset"

    # -- records --

    def send(self, data):
        self.socket.sendall(data)

    def seal(self, kind, data, version=TLS12):
        """A record, enciphered once there are keys."""
        if self.writing is None:
            return record(kind, data, version)
        key, iv, number = self.writing
        self.writing = (key, iv, number + 1)
        explicit = struct.pack(">Q", number)
        head = explicit + bytes([kind]) + u16(TLS12) + u16(len(data))
        return record(kind, explicit + AESGCM(key).encrypt(iv + explicit, data, head), version)

    def put(self, kind, data):
        self.send(self.seal(kind, data))

    def handshake(self, *messages):
        """Handshake messages in one record, counted into the transcript."""
        self.transcript += b"".join(messages)
        self.put(HANDSHAKE, b"".join(messages))

    def _bytes(self, count):
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
                self.ended = "cut"
            except ConnectionError:
                more, self.ended = b"", "reset"
            if not more:
                if data:
                    self.log.append(("sealed", f"part of a record {data!r}"))
                raise Closed(self.ended)
            data += more
        return data

    def take(self):
        """Type and data of the client's next record, deciphered; it is put into the log."""
        head = self._bytes(5)
        kind, version, length = struct.unpack(">BHH", head)
        data = self._bytes(length)
        sealed = self.reading is not None
        if version not in (0x0301, TLS12) or kind not in (CCS, ALERT, HANDSHAKE, DATA):
            self.log.append(("sealed", f"no record {(head + data)!r}"))
            raise Closed("no record")
        if sealed:
            key, iv, number = self.reading
            self.reading = (key, iv, number + 1)
            aad = struct.pack(">QBHH", number, kind, TLS12, length - 24)
            try:
                data = AESGCM(key).decrypt(iv + data[:8], data[8:], aad)
            except InvalidTag:
                self.log.append(("sealed", f"undecipherable record of type {kind}"))
                raise Closed("undecipherable") from None
        if kind == ALERT:
            self.log.append(("alert", ALERTS.get(data[1], f"alert {data[1]}")))
            if data[1] == 0:
                self.ended = "notify"
                raise Closed("notify")
        elif kind == CCS:
            self.log.append(("message", "ChangeCipherSpec"))
        elif kind == HANDSHAKE:
            self.buffer += data
            while len(self.buffer) >= 4 and len(self.buffer) >= 4 + int.from_bytes(self.buffer[1:4], "big"):
                end = 4 + int.from_bytes(self.buffer[1:4], "big")
                self.log.append(("message", MESSAGES.get(self.buffer[0], f"handshake message {self.buffer[0]}")))
                whole, self.buffer = self.buffer[:end], self.buffer[end:]
                self.handle(whole)
        else:
            self.log.append(("data", data) if sealed else ("sealed", f"data in the clear {data!r}"))
        return kind, data

    def drain(self):
        """Reads what comes after the end of TLS; there must be nothing."""
        try:
            while True:
                data = self.socket.recv(65536)
                if not data:
                    break
                self.log.append(("sealed", f"after the end {data!r}"))
        except OSError:
            pass

    # -- the client's messages --

    def handle(self, whole):
        """Takes note of what is needed from a handshake message of the client."""
        if whole[0] == NUMBERS["Finished"]:
            self.client_finished = self.unique = whole[4:]
        elif whole[0] == NUMBERS["ClientHello"]:
            self.client_random = whole[6:38]
        elif whole[0] == NUMBERS["ClientKeyExchange"]:
            self.share = whole[5:]
        self.transcript += whole

    def await_message(self, name):
        """Takes records until that message has come."""
        while ("message", name) not in self.log:
            self.take()

    # -- our messages --

    def server_hello(self, version=TLS12, session=b"", suite=SUITE, compression=0,
                     extensions=(extension(0xFF01, b"\0"),), trailer=b""):
        self.server_random = os.urandom(32)
        listed = b"".join(extensions)
        return message("ServerHello", u16(version) + self.server_random + vector(session, 1) + u16(suite) +
                       bytes([compression]) + (vector(listed) if listed else b"") + trailer)

    def certificate(self, chain=None):
        chain = self.chain if chain is None else chain
        return message("Certificate", vector(b"".join(vector(one, 3) for one in chain), 3))

    def public(self, curve=P256):
        """A fresh key for the exchange; its public half."""
        if curve == X25519:
            self.private = x25519.X25519PrivateKey.generate()
            return self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.private = ec.generate_private_key(ec.SECP256R1())
        return self.private.public_key().public_bytes(serialization.Encoding.X962,
                                                      serialization.PublicFormat.UncompressedPoint)

    def key_exchange(self, curve=P256, kind=3, point=None, algorithm=ECDSA_SHA256, digest=None, key=None,
                     randoms=None, signature=None, trailer=b""):
        point = point if point is not None else self.public(curve)
        params = bytes([kind]) + u16(curve) + vector(point, 1)
        signed = (randoms or self.client_random + self.server_random) + params
        if signature is None:
            signature = (key or self.key).sign(signed, ec.ECDSA(digest or hashes.SHA256()))
        return message("ServerKeyExchange", params + u16(algorithm) + vector(signature) + trailer)

    def flight(self):
        """What an honest server answers to ClientHello."""
        self.handshake(self.server_hello(), self.certificate(), self.key_exchange(), message("ServerHelloDone"))

    def derive(self, secret=None):
        """Keys from the client's share, or from a pre-master secret."""
        if secret is None:
            if isinstance(self.private, x25519.X25519PrivateKey):
                secret = self.private.exchange(x25519.X25519PublicKey.from_public_bytes(self.share))
            else:
                share = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.share)
                secret = self.private.exchange(ec.ECDH(), share)
        self.master = prf(secret, b"master secret", self.client_random + self.server_random, 48)
        self.keys(self.master)

    def keys(self, master):
        block = prf(master, b"key expansion", self.server_random + self.client_random, 40)
        self.next_reading = (block[:16], block[32:36], 0)
        self.next_writing = (block[16:32], block[36:40], 0)

    def verify_data(self, side):
        digest = hashes.Hash(hashes.SHA256())
        digest.update(self.transcript)
        return prf(self.master, side + b" finished", digest.finalize(), 12)

    def client_flight(self):
        """ClientKeyExchange, ChangeCipherSpec, Finished."""
        self.await_message("ClientKeyExchange")
        self.derive()
        self.await_message("ChangeCipherSpec")
        self.reading = self.next_reading
        wanted = self.verify_data(b"client")
        self.await_message("Finished")
        if self.client_finished != wanted:
            raise ValueError("the client's Finished is wrong")

    def change(self):
        """ChangeCipherSpec; from here on we encipher."""
        self.put(CCS, b"\1")
        self.writing = self.next_writing

    def finish(self):
        self.change()
        self.handshake(message("Finished", self.verify_data(b"server")))

    def accept(self):
        """An honest handshake."""
        self.await_message("ClientHello")
        self.flight()
        self.client_flight()
        self.finish()

    # -- as a socket --

    def recv(self, _size):
        while True:
            try:
                kind, data = self.take()
            except Closed:
                return b""
            if kind == DATA and data:
                return data

    def sendall(self, data):
        for at in range(0, len(data), 16384):
            self.put(DATA, data[at:at + 16384])

    def unwrap(self):
        """close_notify and FIN."""
        self.put(ALERT, b"\1\0")
        self.socket.shutdown(1)

    def shutdown(self, how):
        self.socket.shutdown(how)

    def setsockopt(self, *arguments):
        self.socket.setsockopt(*arguments)

    def close(self):
        self.socket.close()
