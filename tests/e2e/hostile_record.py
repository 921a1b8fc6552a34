# SPDX-License-Identifier: MIT
"""TLS after the handshake: records that were changed, repeated, left out, cut off; renegotiation. And servers that
only a TLS library of their own can be: older, or with another certificate."""

import socket
import ssl

from fake import Gone, mechanisms
from hostile_case import ASKED, ONLINE, SECURED, Case
from hostile_handshake import LENGTH, VERSION
from hostile_tls import ALERT, CCS, DATA, HANDSHAKE, message, record

GROUP = "TLS records"
OFFER = f"<stream:features>{mechanisms('SCRAM-SHA-256')}</stream:features>"
MAC = "a record does not decrypt"
ONLINE_LEFT = "TLS, header, auth SCRAM-SHA-256 y, proof, header, bind"


def inside(make):
    """Script: make(wire) sends in place of features."""
    def script(c):
        c.tls()
        c.header()
        make(c.wire)
        c.rest()
    return script


def online(make):
    def script(c):
        c.tls()
        c.scram()
        c.bind()
        make(c.wire)
        c.rest()
    return script


def flipped(at):
    def make(wire):
        sealed = bytearray(wire.seal(DATA, OFFER.encode()))
        sealed[at] ^= 1
        wire.send(bytes(sealed))
    return make


def twice(wire):
    sealed = wire.seal(DATA, b" ")
    wire.send(sealed + sealed)


def swapped(wire):
    first, second = wire.seal(DATA, OFFER[:9].encode()), wire.seal(DATA, OFFER[9:].encode())
    wire.send(second + first)


def skipped(wire):
    wire.seal(DATA, b" ")
    wire.put(DATA, OFFER.encode())


def oversized(wire):
    wire.send(wire.seal(DATA, b" " * 16385))


def cases():
    def case(title, script, error, left=ASKED, *, reached=SECURED, **more):
        return Case(GROUP, title, script, error, left, reached=reached, **more)

    for what, make in (("a bit of its data flipped", flipped(20)), ("a bit of its tag flipped", flipped(-1)),
                       ("a bit of its nonce flipped", flipped(6))):
        yield case("sends a record with", inside(make), "TLS", variant=what, text=MAC)
    yield case("sends a record twice", inside(twice), "TLS", text=MAC)
    yield case("sends two records in the wrong order", inside(swapped), "TLS", text=MAC)
    yield case("leaves a record out", inside(skipped), "TLS", text=MAC)
    yield case("sends a record in the clear", inside(lambda w: w.send(record(DATA, OFFER.encode()))), "TLS", text=MAC)
    yield case("sends a record that it cannot have enciphered",
               inside(lambda w: w.send(record(DATA, bytes(8) + bytes(range(64))))), "TLS", text=MAC)
    yield case("sends a record without room for a tag", inside(lambda w: w.send(record(DATA, bytes(10)))), "TLS",
               text=LENGTH)
    for what, data in (("XML", OFFER.encode()), ("HTTP", b"HTTP/1.1 200 OK\r\n\r\n")):
        yield case("goes on in the clear, in", inside(lambda w, data=data: w.send(data)), "TLS", variant=what,
                   text=VERSION)
    yield case("sends a record of TLS 1.1", inside(lambda w: w.send(w.seal(DATA, OFFER.encode(), 0x0302))), "TLS",
               text="a record has another TLS version")
    yield case("sends a record of an unknown type", inside(lambda w: w.put(24, b"x")), "TLS",
               text="an unexpected message")
    yield case("sends a record of more than 2^14 bytes", inside(oversized), "TLS", text=LENGTH)
    yield case("sends a record larger than was asked for",
               inside(lambda w: w.put(DATA, b" " * 600)), "TLS_RECORD", options=["--tls-buffer", "541"],
               text="a record exceeds the buffer: the server ignores the length asked for; make `in` of struct "
                    "xmpp_tiny_bearssl_config 16413 bytes, which holds any record")
    yield case("changes keys again", inside(lambda w: w.put(CCS, b"\1")), "TLS", text="an unexpected message")
    yield case("sends Finished again", inside(lambda w: w.put(HANDSHAKE, message("Finished", bytes(12)))), "TLS",
               text="an unexpected message")
    yield case("sends a ServerHello again", inside(lambda w: w.put(HANDSHAKE, w.server_hello())), "TLS",
               text="an unexpected message")

    def again(wire):
        """Renegotiation, and what a server sends next."""
        wire.put(HANDSHAKE, message("HelloRequest"))
        wire.put(HANDSHAKE, wire.server_hello())

    yield case("asks to renegotiate, and does", online(again), "TLS", ONLINE_LEFT + ", alert no_renegotiation",
               reached=ONLINE, options=["--stdin"], text="an unexpected message")

    def asks(c):
        c.tls()
        c.header()
        c.wire.put(HANDSHAKE, message("HelloRequest"))
        while ("alert", "no_renegotiation") not in c.wire.log:
            c.wire.take()
        c.features(mechanisms("SCRAM-SHA-256"))
        c.auth()
        c.fail("not-authorized")

    yield case("asks to renegotiate, and goes on when that is refused", asks, "AUTH",
               ASKED + ", alert no_renegotiation, auth SCRAM-SHA-256 y, end", condition="not-authorized")

    for what, number in (("internal_error", 80), ("bad_record_mac", 20), ("decrypt_error", 51)):
        yield case("sends an alert:", inside(lambda w, n=number: w.put(ALERT, bytes([2, n]))), "TLS", variant=what,
                   text=f"alert from the server: {what}")
    yield case("sends empty records for ever", lambda c: empty(c), "TIMEOUT",
               ASKED + ", error connection-timeout, end", options=["--timeout", "2"])
    yield case("sends warnings for ever", lambda c: empty(c, ALERT, b"\1\x5a"), "TIMEOUT",
               ASKED + ", error connection-timeout, end", options=["--timeout", "2"])

    # -- ends --

    def silent_cut(c):
        c.tls()
        c.header()
        c.cut()

    yield case("cuts the connection without close_notify", silent_cut, "TRUNCATED",
               text="the connection ended without close_notify")
    yield case("cuts the connection inside a record", inside(lambda w: (
        w.send(w.seal(DATA, OFFER.encode())[:30]), w.shutdown(socket.SHUT_WR))), "TRUNCATED",
               text="the connection ended without close_notify")
    yield case("ends TLS", inside(lambda w: w.unwrap()), "ENDED")
    yield case("ends TLS and sends more data, enciphered", inside(lambda w: (
        w.put(ALERT, b"\1\0"), w.put(DATA, OFFER.encode()), w.shutdown(socket.SHUT_WR))), "ENDED")
    yield case("ends TLS and sends more data in the clear", inside(lambda w: (
        w.put(ALERT, b"\1\0"), w.send(OFFER.encode()), w.shutdown(socket.SHUT_WR))), "ENDED")
    yield case("sends a last message and cuts the connection: what came counts", online(lambda w: (
        w.put(DATA, b"<message from='bob@a.test'><body>last words</body></message>"), w.shutdown(socket.SHUT_WR))),
               "TRUNCATED", ONLINE_LEFT, reached=[*ONLINE, "message"], options=["--stdin"],
               text="the connection ended without close_notify")
    yield from library_cases()


def empty(c, kind=DATA, data=b""):
    c.tls()
    c.header()
    c.wire.socket.settimeout(0.01)
    while True:
        c.wire.send(b"".join(c.wire.seal(kind, data) for _ in range(50)))
        try:
            c.wire.take()
        except TimeoutError:
            pass


# ---- With OpenSSL ------------------------------------------------------------------------------------


def library_cases():
    def case(title, error, left="ClientHello", **more):
        return Case("TLS of OpenSSL", title, more.pop("script"), error, left, **more)

    def limited(minimum, maximum=None, ciphers="ALL:@SECLEVEL=0"):
        def script(c):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version, context.maximum_version = minimum, maximum or minimum
            if ciphers:
                context.set_ciphers(ciphers)
            context.load_cert_chain(c.fake.certificate, c.fake.key)
            watch(c, context)
        return script

    versions = ssl.TLSVersion
    for what, version, told in (("TLS 1.0", versions.TLSv1, "handshake_failure"),
                                ("TLS 1.1", versions.TLSv1_1, "handshake_failure"),
                                ("TLS 1.3", versions.TLSv1_3, "protocol_version")):
        yield case("speaks nothing but", "TLS", variant=what, script=limited(version),
                   text=f"alert from the server: {told}")
    for what, ciphers in (("AES-CBC", "ECDHE+AES128+SHA1"), ("static RSA", "kRSA"),
                          ("AES-CCM", "ECDHE-ECDSA-AES128-CCM"),
                          ("NULL", "NULL"), ("anonymous", "aNULL")):
        yield case("has no suites but", "TLS", variant=what,
                   script=limited(versions.TLSv1_2, ciphers=ciphers + ":@SECLEVEL=0"),
                   text="alert from the server: handshake_failure")
    certificates = (("wrong-name", "for another name", "CERT_NAME", "certificate_unknown"),
                    ("other-ca", "of a CA that nobody trusts", "CERT_UNTRUSTED", "unknown_ca"),
                    ("expired", "that has expired", "CERT_TIME", "certificate_expired"),
                    ("not-yet", "that is not valid yet", "CERT_TIME", "certificate_expired"),
                    ("client-alice", "of a client", "CERT_NAME", "certificate_unknown"))
    for certificate, what, error, told in certificates:
        yield case("has a certificate", error, f"ClientHello, alert {told}", variant=what, certificate=certificate,
                   script=limited(versions.TLSv1_2, ciphers=None))


def watch(c, context):
    """A handshake by the library, which reads the client's records after they were noted: all of it is in the clear."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    library = context.wrap_bio(incoming, outgoing, server_side=True)
    while True:
        try:
            library.do_handshake()
        except ssl.SSLWantReadError:
            c.send(outgoing.read())
        except ssl.SSLError:
            c.send(outgoing.read())
            raise Gone("refused") from None
        at = len(c.plain)
        c._receive()
        incoming.write(c.plain[at:])
