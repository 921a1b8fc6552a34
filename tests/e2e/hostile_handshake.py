# SPDX-License-Identifier: MIT
"""The TLS handshake, record by record: what a server chooses that was not offered, what it leaves out, what it cannot
sign. Its certificate is the right one throughout: an attacker who holds that may still not weaken the rest."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fake import mechanisms
from hostile_case import Case
from hostile_tls import ALERT, CCS, DATA, HANDSHAKE, X25519, alert, extension, message, prf, record, u16, vector

GROUP = "TLS handshake"
HELLO = "ClientHello"
BOUND = "TLS, header, auth SCRAM-SHA-256-PLUS tls-unique, proof, header, bind, end"
DONE = message("ServerHelloDone")
RENEGOTIATION = extension(0xFF01, b"\0")
VERSION = "the server does not speak TLS 1.2"
MALFORMED = "the server's certificate chain is empty, or a parameter is wrong"  # BearSSL's "bad parameter"
LENGTH = "a record has a wrong length"
CUT = "the server ended the connection during the handshake"


def flight(make):
    """Script: answers ClientHello with the messages that make(wire) gives, each in a record of its own."""
    def script(c):
        wire = c.hello()
        for one in make(wire):
            wire.handshake(one)
        c.rest()
    return script


def records(*data):
    """Script: answers ClientHello with these bytes."""
    def script(c):
        c.hello().send(b"".join(data))
        c.rest()
    return script


def hello(**changes):
    return flight(lambda wire: [wire.server_hello(**changes)])


def exchange(**changes):
    """Only ServerKeyExchange is wrong."""
    return flight(lambda wire: [wire.server_hello(), wire.certificate(), wire.key_exchange(**changes), DONE])


def answered(c):
    """Up to the client's Finished."""
    wire = c.hello()
    wire.flight()
    wire.client_flight()
    return wire


def log_in(c):
    """The rest of an honest session, after the handshake."""
    names = ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
    c.scram(*names)
    c.bind()
    c.expect("</stream:stream>")
    c.send("</stream:stream>")


def cases():
    def case(title, script, text, left=HELLO, *, error="TLS", **more):
        return Case(GROUP, title, script, error, left, text=text, **more)

    def fine(title, script, **more):
        """What has to be tolerated."""
        return Case(GROUP, title, script, None, BOUND, **more)

    # -- version, suite, compression --

    for what, version, text in (("SSL 3.0", 0x0300, VERSION), ("TLS 1.0", 0x0301, VERSION),
                                ("TLS 1.1", 0x0302, VERSION), ("TLS 1.3", 0x0304, VERSION),
                                ("a draft of TLS 1.3", 0x7F1C, VERSION), ("DTLS 1.2", 0xFEFD, VERSION)):
        yield case("chooses the version", hello(version=version), text, variant=what)
    yield case("chooses TLS 1.3 by its extension", hello(extensions=[extension(43, u16(0x0304))]),
               "an extension that was not offered")
    for what, version in (("SSL 3.0", 0x0300), ("TLS 1.0", 0x0301), ("TLS 1.1", 0x0302), ("TLS 1.3", 0x0304)):
        yield case("answers in records of", lambda c, version=version: (
            wire := c.hello(), wire.send(record(HANDSHAKE, wire.server_hello(version=version), version)), c.rest()),
                   VERSION, variant=what)
    suites = (("NULL", 0xC006), ("anonymous ECDH", 0xC018), ("anonymous DH", 0x0034), ("export RC4", 0x0003),
              ("RC4", 0xC007), ("3DES", 0xC008), ("AES-CBC", 0xC009), ("AES-CBC with SHA-256", 0xC023),
              ("static RSA", 0x002F), ("static RSA with GCM", 0x009C), ("static ECDH", 0xC02D), ("DHE", 0x009E),
              ("CCM", 0xC0AC), ("CCM-8", 0xC0AE), ("one of TLS 1.3", 0x1301), ("the fallback signal", 0x5600),
              ("the renegotiation signal", 0x00FF), ("none at all", 0x0000))
    for what, suite in suites:
        yield case("chooses a suite that was not offered:", hello(suite=suite),
                   "the server chose a cipher suite that was not offered", variant=what)
    yield case("chooses a suite for RSA, and has a key for ECDSA",
               flight(lambda wire: [wire.server_hello(suite=0xC02F), wire.certificate(), wire.key_exchange(), DONE]),
               "the certificate's key does not fit the cipher suite")
    yield case("chooses compression", hello(compression=1), "the server chose compression")

    # -- extensions --

    extra = "an extension that was not offered"
    for what, number, data in (("unknown", 0x1234, b""), ("session ticket", 35, b""), ("heartbeat", 15, b"\1"),
                               ("extended master secret", 23, b""), ("encrypt-then-MAC", 22, b""),
                               ("status request", 5, b""), ("maximum fragment length", 1, b"\1")):
        yield case("answers an extension that was not sent:", hello(extensions=[extension(number, data)]), extra,
                   variant=what)
    yield case("answers an extension twice", hello(extensions=[RENEGOTIATION, RENEGOTIATION]), extra)
    for what, data in (("a value", b"\x0c" + bytes(12)), ("a wrong length", b"\1"), ("no value", b"")):
        yield case("answers renegotiation_info with", hello(extensions=[extension(0xFF01, data)]),
                   "bad renegotiation info", variant=what)
    yield case("answers the wish for fragments of 512 bytes with 4,096", hello(extensions=[extension(1, b"\4")]),
               "the server chose another fragment length", options=["--tls-buffer", "541"])
    yield case("answers the server's name with a value", hello(extensions=[extension(0, b"\0\1x")]),
               "bad server name extension")
    yield case("answers ALPN under STARTTLS",
               lambda c: (c.header(), c.features("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
                          c.expect("<starttls"), c.expect("/>"),
                          c.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
                          hello(extensions=[extension(16, vector(vector(b"xmpp-client", 1)))])(c)),
               extra, "header, starttls, ClientHello", tls="starttls")
    for what, names in (("two names", [b"xmpp-client", b"h2"]), ("an empty list", [])):
        yield case("answers ALPN with",
                   hello(extensions=[extension(16, vector(b"".join(vector(n, 1) for n in names)))]),
                   MALFORMED, variant=what)
    yield case("answers ALPN with", hello(extensions=[extension(16, vector(vector(b"http/1.1", 1)))]),
               "an unexpected message", variant="another protocol", options=["--timeout", "2"])
    yield case("has bytes behind its ServerHello", hello(trailer=b"x"), MALFORMED)
    yield case("has a session id of 33 bytes", hello(session=bytes(33)), "bad session id")

    # -- records --

    yield case("sends a record that is too large, declared", records(b"\x16\x03\x03\xff\xff"), LENGTH)
    yield case("sends a record of 2^14 + 1 bytes in the clear",
               records(record(HANDSHAKE, message("Certificate", bytes(16381)))), LENGTH)
    for what, kind in (("24", 24), ("0", 0), ("99", 99), ("255", 255)):
        yield case("sends a record of type", records(record(kind, b"x")), "an unexpected message", variant=what)
    yield case("sends a record of version 5.0", records(record(HANDSHAKE, b"x", 0x0500)), VERSION)
    yield case("sends data before the handshake", records(record(DATA, b"<stream:features/>")), "an unexpected message")
    yield case("sends empty records for ever", lambda c: flood(c, record(HANDSHAKE, b"")), None, error="TIMEOUT",
               options=["--timeout", "2"])
    yield case("sends warnings for ever", lambda c: flood(c, alert(1, 90)), None, error="TIMEOUT",
               options=["--timeout", "2"])
    yield case("sends HelloRequests for ever", lambda c: flood(c, record(HANDSHAKE, message("HelloRequest"))), None,
               error="TIMEOUT", options=["--timeout", "2"])

    def pieces(size):
        def script(c):
            wire = c.hello()
            data = wire.server_hello() + wire.certificate() + wire.key_exchange() + DONE
            wire.transcript += data
            for at in range(0, len(data), size):
                wire.send(record(HANDSHAKE, data[at:at + size]))
            wire.client_flight()
            wire.finish()
            log_in(c)
        return script

    for size in (1, 7):
        yield fine("splits its messages into records of so many bytes:", pieces(size), variant=size)
    yield fine("sends a warning first", lambda c: (
        wire := c.hello(), wire.send(alert(1, 112)), wire.flight(), wire.client_flight(), wire.finish(), log_in(c)))
    yield fine("answers no extension", lambda c: (
        wire := c.hello(), wire.handshake(wire.server_hello(extensions=()), wire.certificate(), wire.key_exchange(),
                                          DONE), wire.client_flight(), wire.finish(), log_in(c)))
    yield fine("answers ALPN", lambda c: (
        wire := c.hello(),
        wire.handshake(wire.server_hello(extensions=[RENEGOTIATION, extension(16, vector(vector(b"xmpp-client", 1)))]),
                       wire.certificate(), wire.key_exchange(), DONE), wire.client_flight(), wire.finish(), log_in(c)))
    yield fine("exchanges keys over X25519", lambda c: (
        wire := c.hello(), wire.handshake(wire.server_hello(), wire.certificate(), wire.key_exchange(X25519), DONE),
        wire.client_flight(), wire.finish(), log_in(c)))

    # -- alerts --

    for level, what in ((2, "fatal"), (3, "of level 3")):
        for number, name in ((40, "handshake_failure"), (70, "protocol_version"), (71, "insufficient_security"),
                             (80, "internal_error"), (86, "inappropriate_fallback"), (112, "unrecognized_name"),
                             (116, "certificate_required"), (120, "no_application_protocol"),
                             (10, "unexpected_message")):
            if level == 2 or number == 40:
                yield case(f"answers with an alert, {what}:", records(alert(level, number)),
                           f"alert from the server: {name}", variant=name)
    yield case("answers with an alert, fatal:", records(alert(2, 200)), "alert from the server", variant="an unknown one")
    yield case("answers with an alert, a warning:", records(alert(1, 100)), "alert from the server: no_renegotiation",
               variant="no_renegotiation")
    yield case("answers with an alert, a warning:", records(alert(1, 0)), "the server closed TLS during the handshake",
               variant="close_notify")
    yield case("answers with an alert in two records", records(record(ALERT, b"\2") + record(ALERT, b"\x28")),
               "alert from the server: handshake_failure")

    # -- the order of messages --

    wrong = (
        ("ServerHelloDone at once", lambda w: [DONE]),
        ("Certificate at once", lambda w: [w.certificate()]),
        ("Finished at once", lambda w: [message("Finished", bytes(12))]),
        ("a ClientHello", lambda w: [message("ClientHello", bytes(60))]),
        ("ServerHello twice", lambda w: [w.server_hello(), w.server_hello()]),
        ("no certificate", lambda w: [w.server_hello(), w.key_exchange(), DONE]),
        ("Certificate twice", lambda w: [w.server_hello(), w.certificate(), w.certificate()]),
        ("no ServerKeyExchange", lambda w: [w.server_hello(), w.certificate(), DONE]),
        ("a certificate status", lambda w: [w.server_hello(), w.certificate(), message("CertificateStatus",
                                                                                       b"\1\0\0\0")]),
        ("Finished in the clear", lambda w: [w.server_hello(), w.certificate(), w.key_exchange(),
                                             message("Finished", bytes(12))]),
        ("a session ticket", lambda w: [w.server_hello(), message("NewSessionTicket", bytes(6))]),
    )
    for what, make in wrong:
        yield case("sends out of order:", flight(make), "an unexpected message", variant=what)
    yield case("sends ServerHelloDone with a body", flight(lambda w: [
        w.server_hello(), w.certificate(), w.key_exchange(), message("ServerHelloDone", b"x")]), "bad ServerHelloDone")
    for what, chain, error, left, text in (
            ("no certificate", [], "TLS", HELLO, "an unexpected message"),
            ("an empty one", [b""], "CERT", HELLO + ", alert bad_certificate", "certificate: truncated"),
            ("noise", [b"\xff" * 300], "CERT", HELLO + ", alert bad_certificate", "certificate: unexpected element")):
        yield case("sends as its chain", flight(lambda w, chain=chain: [
            w.server_hello(), w.certificate(chain), w.key_exchange(), DONE]), text, left, error=error, variant=what)
    yield case("says that its chain takes 16 MB, and is silent", flight(lambda w: [
        w.server_hello(), b"\x0b\xff\xff\xff\xff\xff\xfc\xff\xff\xf9"]), None, error="TIMEOUT", options=["--timeout",
                                                                                                         "2"])

    def early_change(c):
        """CVE-2014-0224: keys that both sides derive from nothing."""
        wire = c.hello()
        wire.handshake(wire.server_hello())
        wire.put(CCS, b"\1")
        wire.master = prf(b"", b"master secret", wire.client_random + wire.server_random, 48)
        wire.keys(wire.master)
        wire.writing = wire.next_writing
        wire.handshake(message("Finished", wire.verify_data(b"server")))
        c.rest()

    yield case("changes to keys made from nothing", early_change, "an unexpected message")

    def never_had(c):
        """A session resumed that never was, with a master secret of zeros."""
        wire = c.hello()
        wire.handshake(wire.server_hello(session=bytes(32)))
        wire.put(CCS, b"\1")
        wire.master = bytes(48)
        wire.keys(wire.master)
        wire.writing = wire.next_writing
        wire.handshake(message("Finished", wire.verify_data(b"server")))
        c.rest()

    yield case("resumes a session that never was", never_had, "an unexpected message")

    # -- the key exchange --

    other = ec.generate_private_key(ec.SECP256R1())
    sign = {"bad signature": "the server's key exchange signature is wrong",
            "algorithm": "an algorithm or curve that was not offered"}
    exchanges = (
        ("a signature of zeros", {"signature": bytes(70)}, "bad signature"),
        ("no signature", {"signature": b""}, "bad signature"),
        ("another key's signature", {"key": other}, "bad signature"),
        ("a signature over other randoms", {"randoms": bytes(64)}, "bad signature"),
        ("a SHA-1 signature", {"algorithm": 0x0203, "digest": hashes.SHA1()}, "algorithm"),
        ("a SHA-1 signature called SHA-256", {"digest": hashes.SHA1()}, "bad signature"),
        ("an MD5 signature", {"algorithm": 0x0103, "digest": hashes.MD5()}, "algorithm"),
        ("no hash in its signature", {"algorithm": 0x0003}, "algorithm"),
        ("an RSA signature", {"algorithm": 0x0401}, "algorithm"),
        ("a DSA signature", {"algorithm": 0x0402}, "algorithm"),
        ("an Ed25519 signature", {"algorithm": 0x0807}, "algorithm"),
        ("a curve of its own", {"kind": 1}, "algorithm"),
        ("the curve secp521r1", {"curve": 25, "point": b"\4" + bytes(132)}, "algorithm"),
        ("the curve secp192r1", {"curve": 19, "point": b"\4" + bytes(48)}, "algorithm"),
        ("finite field parameters", {"curve": 256, "point": bytes(64)}, "algorithm"),
    )
    for what, changes, why in exchanges:
        yield case("exchanges keys with", exchange(**changes), sign[why], variant=what)
    points = (("a point that is not on the curve", b"\4" + bytes(range(1, 65))), ("the point at infinity", b"\0"),
              ("a compressed point", b"\2" + bytes(32)), ("an empty point", b""), ("a point cut short",
                                                                                   b"\4" + bytes(40)),
              ("a point of zeros", bytes(65)))
    for what, point in points:
        yield case("exchanges keys with", exchange(point=point), sign["algorithm"], variant=what)
    for what, point in (("X25519 and a point of order 1", bytes(32)), ("X25519 and a point of order 2",
                                                                       b"\1" + bytes(31))):
        yield case("exchanges keys with", exchange(curve=X25519, point=point), sign["algorithm"],
                   variant=what, options=["--timeout", "2"])
    yield case("has bytes behind its ServerKeyExchange", exchange(trailer=b"x"), MALFORMED)

    # -- the end of the handshake --

    def finished(make):
        def script(c):
            wire = answered(c)
            make(wire)
            c.rest()
        return script

    def early_data(wire):
        wire.change()
        wire.put(DATA, b"<?xml version='1.0'?>")

    def unsealed(wire):
        wire.put(CCS, b"\1")
        wire.put(HANDSHAKE, message("Finished", wire.verify_data(b"server")))

    def corrupt(wire):
        wire.change()
        sealed = wire.seal(HANDSHAKE, message("Finished", wire.verify_data(b"server")))
        wire.send(sealed[:-1] + bytes([sealed[-1] ^ 1]))

    ends = (
        ("a wrong Finished", lambda w: (w.change(), w.put(HANDSHAKE, message("Finished", bytes(12)))),
         "the server's Finished is wrong"),
        ("the client's Finished", lambda w: (w.change(), w.put(HANDSHAKE, message("Finished", w.client_finished))),
         "the server's Finished is wrong"),
        ("a short Finished", lambda w: (w.change(), w.put(HANDSHAKE, message("Finished", b"x"))), MALFORMED),
        ("Finished without ChangeCipherSpec", lambda w: w.put(HANDSHAKE, message("Finished", w.verify_data(b"server"))),
         "an unexpected message"),
        ("Finished in the clear behind ChangeCipherSpec", unsealed, LENGTH),
        ("a Finished with one bit flipped", corrupt, "a record does not decrypt"),
        ("ChangeCipherSpec twice", lambda w: (w.put(CCS, b"\1\1")), "bad ChangeCipherSpec"),
        ("a wrong ChangeCipherSpec", lambda w: w.put(CCS, b"\2"), "bad ChangeCipherSpec"),
        ("data before Finished", early_data, "an unexpected message"),
        ("data in the clear", lambda w: w.put(DATA, f"<stream:features>{mechanisms('PLAIN')}".encode()),
         "an unexpected message"),
        ("an unasked session ticket", lambda w: w.handshake(message("NewSessionTicket", bytes(6))),
         "an unexpected message"),
    )
    for what, make, text in ends:
        yield case("ends the handshake with", finished(make), text, "TLS", variant=what)
    yield case("cuts the connection behind ClientHello", lambda c: (c.hello(), c.cut()), CUT, error="TRUNCATED")
    yield case("cuts the connection inside its Certificate", lambda c: (
        w := c.hello(), w.handshake(w.server_hello(), w.certificate()[:100]), c.cut()), CUT, error="TRUNCATED")
    yield case("cuts the connection before its Finished", lambda c: (answered(c), c.cut()), CUT, "TLS",
               error="TRUNCATED")
    yield case("resets the connection behind ClientHello", lambda c: (c.hello(), c.reset()),
               "connection reset by the peer", error="LOST")


def flood(c, data):
    """For ever, 100 at a time."""
    wire = c.hello()
    wire.socket.settimeout(0.01)
    while True:
        wire.send(data * 100)
        try:
            wire.take()
        except TimeoutError:
            pass
