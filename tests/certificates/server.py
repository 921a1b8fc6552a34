# SPDX-License-Identifier: MIT
"""A TLS 1.2 server that presents any chain without looking at it: real ones refuse to load most of those that matter
here. The handshake is that of hostile_tls.py, done honestly, with any kind of key."""

import socket

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from harness import PATIENCE
from hostile_tls import DATA, Closed, Tls, message
from x509 import pss

RECORD_MAX = 16384


class Signer:
    """A server's key: the cipher suite and the signature algorithm that it takes part in, and its signature
    [RFC5246 7.4.1.4.1, RFC8422 5.1.3, RFC8446 4.2.3]."""

    def __init__(self, key, with_pss):
        self.key = key
        self.suite = 0xC02F if isinstance(key, rsa.RSAPrivateKey) else 0xC02B
        if isinstance(key, ed25519.Ed25519PrivateKey):
            self.algorithm, self.how = 0x0807, ()
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            self.algorithm, self.how = 0x0403, (ec.ECDSA(hashes.SHA256()),)
        else:
            self.algorithm = 0x0809 if with_pss else 0x0401
            self.how = (pss() if with_pss else padding.PKCS1v15(), hashes.SHA256())

    def sign(self, data, _algorithm):
        return self.key.sign(data, *self.how)


class Presenting(Tls):
    def put(self, kind, data):
        """In as many records as it takes."""
        for at in range(0, len(data), RECORD_MAX):
            super().put(kind, data[at:at + RECORD_MAX])

    def present(self, chain):
        """The handshake, and the first that the client says inside TLS."""
        signer = Signer(chain.key, chain.pss)
        self.await_message("ClientHello")
        self.handshake(self.server_hello(suite=signer.suite), self.certificate(chain.certificates),
                       self.key_exchange(key=signer, algorithm=signer.algorithm), message("ServerHelloDone"))
        self.client_flight()
        self.finish()
        while self.take()[0] != DATA:
            pass


class Server:
    """Listens for the clients of one case. stand_in: PEM files of a certificate and a key, since Tls wants some."""

    def __init__(self, chain, stand_in):
        self.chain, self.stand_in = chain, stand_in
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port = self.listener.getsockname()[1]

    def accept(self):
        """Serves the next client. Returns what it said last: ("message", name), ("alert", name), ("data", bytes)."""
        connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            tls = Presenting(connection, *self.stand_in)
            try:
                tls.present(self.chain)
            except (Closed, ConnectionError):
                pass
            return tls.log[-1]

    def close(self):
        self.listener.close()
