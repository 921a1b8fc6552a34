# SPDX-License-Identifier: MIT
"""Before TLS: whoever owns the network writes this part himself."""

import itertools

from fake import BINDING, SASL, STARTTLS, STREAMS, TLS, encode, listed, mechanisms
from hostile_case import ASKED, AUTHENTICATED, BOUND, LEAVES, SECURED, Case
from hostile_tls import CCS, alert, message, record

GROUP = "before TLS"
HEADER = "header"
ASKED_TLS = "header, starttls"
OPENING = ("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
           " version='1.0' id='x' from='a.test'")
EVERYTHING = STARTTLS + mechanisms("SCRAM-SHA-256", "PLAIN") + BINDING
TOLD = {"XML": "not-well-formed", "XML_RESTRICTED": "restricted-xml", "XML_ENCODING": "unsupported-encoding",
        "XML_PREFIX": "bad-namespace-prefix", "XML_LIMIT": "policy-violation", "HEADER": "invalid-namespace",
        "VERSION": "unsupported-version", "FROM": "invalid-from", "UNEXPECTED": "unsupported-stanza-type",
        "TIMEOUT": "connection-timeout"}


def told(before, error):
    """What has left when the server is told of an error."""
    return f"{before}, error {TOLD[error]}, end"


def asked(c, what=TLS):
    """Up to <starttls/> and the answer to it."""
    c.header()
    c.features(STARTTLS)
    c.expect(r"<starttls\s[^>]*/>")
    c.send(f"<proceed xmlns='{what}'/>")


def trickle(c, piece, pause):
    """Keeps the connection busy, a little now and then."""
    c.socket.settimeout(pause)
    while True:
        c.send(piece)
        try:
            c._receive()
        except TimeoutError:
            pass


def headers():
    """Beginnings of a stream that are none: error, what it is, text."""
    return (
        ("HEADER", "another root", OPENING.replace("stream:stream xmlns=", "stream:strom xmlns=") + ">"),
        ("HEADER", "another namespace of streams", OPENING.replace("etherx.jabber.org", "evil.test") + ">"),
        ("HEADER", "the namespace of servers", OPENING.replace("jabber:client", "jabber:server") + ">"),
        ("HEADER", "HTML", "<html xmlns='http://www.w3.org/1999/xhtml' version='1.0'>"),
        ("VERSION", "version 0.9", OPENING.replace("='1.0' id", "='0.9' id") + ">"),
        ("VERSION", "no version", OPENING.replace(" version='1.0' id", " id") + ">"),
        ("FROM", "another domain", OPENING.replace("a.test", "evil.test") + ">"),
        ("FROM", "a domain that begins with ours", OPENING.replace("a.test", "a.test.evil.test") + ">"),
        ("FROM", "a domain that ends in ours", OPENING.replace("a.test", "aa.test") + ">"),
        ("XML_PREFIX", "an undeclared prefix", OPENING.replace("xmlns:stream", "xmlns:strom") + ">"),
        ("XML", "UTF-16", ("\ufeff" + OPENING + ">").encode("utf-16-le")),
        ("XML_ENCODING", "Latin-1 by its word", OPENING.replace("'1.0'?", "'1.0' encoding='ISO-8859-1'?") + ">"),
        ("XML_RESTRICTED", "a document type", "<?xml version='1.0'?><!DOCTYPE x SYSTEM 'http://evil.test/x'>"),
    )


def cases():
    def case(title, script, error, left, **more):
        return Case(GROUP, title, script, error, left, tls="starttls", **more)

    def header(title, script, error, **more):
        """What goes wrong in answer to the first header."""
        return case(title, script, error, told(HEADER, error) if error in TOLD else HEADER + LEAVES, **more)

    def features(title, text, error, **more):
        """The same after an honest header."""
        return header(title, lambda c: (c.header(), c.send(text)), error, **more)

    yield features("offers SASL but no TLS", f"<stream:features>{mechanisms('SCRAM-SHA-256', 'PLAIN')}{BINDING}"
                   "</stream:features>", "NO_TLS")
    yield features("offers nothing", "<stream:features/>", "NO_TLS")
    yield features("offers TLS in a namespace of its own",
                   "<stream:features><starttls xmlns='urn:example:tls'/></stream:features>", "NO_TLS")

    # -- what was learnt before TLS is forgotten --

    def stripped(later):
        def script(c):
            c.header()
            c.features(EVERYTHING + listed("tls-exporter"))
            c.expect(r"<starttls\s[^>]*/>")
            c.send(f"<proceed xmlns='{TLS}'/>")
            c.tls()
            later(c)
        return script

    def no_bind(c):
        c.scram()
        c.header()
        c.features("")

    def bindings(c):
        c.offer("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
        c.fail("not-authorized")

    inside = ASKED_TLS + ", "
    yield case("offers mechanisms before TLS, none inside", stripped(lambda c: (c.header(), c.features(BINDING))),
               "MECHANISM", inside + ASKED + LEAVES, reached=SECURED)
    yield case("offers to bind before TLS, not after the login", stripped(no_bind), "FEATURES",
               inside + BOUND + ", error unsupported-feature, end", reached=AUTHENTICATED)
    yield case("lists foreign channel bindings before TLS, none inside", stripped(bindings), "AUTH",
               inside + ASKED + ", auth SCRAM-SHA-256-PLUS tls-unique" + LEAVES, reached=SECURED,
               condition="not-authorized")

    # -- the answer to <starttls/> --

    def refuses(c):
        c.header()
        c.features(STARTTLS)
        c.expect(r"<starttls\s[^>]*/>")
        c.send(f"<failure xmlns='{TLS}'/></stream:stream>")

    yield case("refuses STARTTLS, which it offered", refuses, "NO_TLS", ASKED_TLS + LEAVES)

    def behind(text):
        def script(c):
            c.header()
            c.features(STARTTLS)
            c.expect(r"<starttls\s[^>]*/>")
            proceed = f"<proceed xmlns='{TLS}'/>".encode()
            c.send(proceed + (text if isinstance(text, bytes) else text.encode()))
        return script

    stream = OPENING + f"><stream:features>{mechanisms('PLAIN', 'SCRAM-SHA-256')}</stream:features>"
    for what, text in (("one space", " "), ("features", f"<stream:features>{mechanisms('PLAIN')}</stream:features>"),
                       ("a whole stream with mechanisms", stream), ("a second <proceed/>", f"<proceed xmlns='{TLS}'/>"),
                       ("the end of the stream", "</stream:stream>"),
                       ("a ServerHello", record(22, message("ServerHello", bytes(70))))):
        yield case("sends behind <proceed/>, in the same segment:", behind(text), "UNEXPECTED",
                   told(ASKED_TLS, "UNEXPECTED"), variant=what)

    def later(text):
        def script(c):
            asked(c)
            c.expect(r"\x16\x03")
            c.send(text)
        return script

    wrong_record = {"text": "the server does not speak TLS 1.2"}
    for what, text in (("features", f"<stream:features>{mechanisms('PLAIN')}</stream:features>"),
                       ("a whole stream with mechanisms", stream)):
        yield case("sends behind <proceed/>, in a later segment:", later(text), "TLS", ASKED_TLS + ", ClientHello",
                   variant=what, **wrong_record)
    yield case("proceeds, and answers ClientHello in HTTP", later("HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS",
               ASKED_TLS + ", ClientHello", **wrong_record)
    yield case("proceeds in a namespace of its own", lambda c: asked(c, "urn:example:tls"), "UNEXPECTED",
               told(ASKED_TLS, "UNEXPECTED"))
    yield features("proceeds unasked", f"<proceed xmlns='{TLS}'/>", "UNEXPECTED")
    yield features("lets in unasked", f"<success xmlns='{SASL}'/>", "UNEXPECTED")
    yield features("challenges before TLS", f"<challenge xmlns='{SASL}'>{encode('r=x,s=eA==,i=4096')}</challenge>",
                   "UNEXPECTED")
    for what, text in (("message", "<message from='a.test'><body>hi</body></message>"),
                       ("ping", "<iq type='get' id='1' from='a.test'><ping xmlns='urn:xmpp:ping'/></iq>")):
        yield features("sends before TLS a", text, "UNEXPECTED", variant=what)

    # -- ends and redirections --

    yield features("stream error before TLS", f"<stream:error><host-unknown xmlns='{STREAMS}'/></stream:error>",
                   "STREAM", condition="host-unknown")
    yield case("redirects before TLS, which is not followed",
               lambda c: (c.header(), c.send(f"<stream:error><see-other-host xmlns='{STREAMS}'>{c.fake.where}"
                                             "</see-other-host></stream:error>")),
               "REDIRECT", HEADER + LEAVES, condition="see-other-host")
    yield features("closes the stream before TLS", "</stream:stream>", "CLOSED")
    ends = (("before its header", lambda c: c.expect("<stream:stream"), HEADER),
            ("behind its header", lambda c: c.header(), HEADER),
            ("behind its features", lambda c: (c.header(), c.features(STARTTLS), c.expect(r"<starttls\s[^>]*/>")),
             ASKED_TLS))
    for what, script, left in ends:
        yield case("ends the connection", lambda c, script=script: (script(c), c.cut()), "ENDED", left,
                   variant=what)
        yield case("resets the connection", lambda c, script=script: (script(c), c.reset()), "LOST", left,
                   variant=what)
    yield case("ends the connection behind <proceed/>", lambda c: (asked(c), c.expect(r"\x16\x03"), c.cut()),
               "TRUNCATED", ASKED_TLS + ", ClientHello", text="the server ended the connection during the handshake")

    # -- silence --

    waits = {"options": ["--timeout", "2"]}
    yield header("is silent", lambda c: None, "TIMEOUT", **waits)
    yield features("is silent behind its header", "", "TIMEOUT", **waits)
    yield case("is silent behind its features", lambda c: (c.header(), c.features(STARTTLS)), "TIMEOUT",
               told(ASKED_TLS, "TIMEOUT"), **waits)
    yield case("is silent behind <proceed/>", asked, "TIMEOUT", ASKED_TLS + ", ClientHello", **waits)
    yield header("sends features for ever, a small one now and then",
                 lambda c: (c.header(), c.send("<stream:features>"), trickle(c, "<x xmlns='y'/>", 0.1)), "TIMEOUT",
                 **waits)
    yield header("sends spaces for ever, one now and then", lambda c: (c.header(), trickle(c, " ", 0.1)), "TIMEOUT",
                 **waits)

    # -- what is not XMPP --

    for what, text in (("HTTP", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
                       ("SSH", "SSH-2.0-OpenSSH_9.2p1\r\n"), ("a TLS alert", alert(2, 70)),
                       ("noise", bytes(range(128, 256)) * 4), ("NUL bytes", bytes(64))):
        yield header("answers not in XML:", lambda c, text=text: (c.expect("<stream:stream"), c.send(text)), "XML",
                     variant=what)
    for error, what, text in headers():
        yield header("begins its stream with", lambda c, text=text: (c.expect("<stream:stream"), c.send(text)), error,
                     variant=what)
    laughs = "<!DOCTYPE l [<!ENTITY a 'ha'>" + \
        "".join(f"<!ENTITY {b} '&{a};&{a};&{a};&{a};'>" for a, b in itertools.pairwise("abcdefgh")) + "]>"
    texts = (
        ("XML_RESTRICTED", "entities that multiply", laughs + "<x>&h;</x>"),
        ("XML_RESTRICTED", "an entity of its own", "<x>&evil;</x>"),
        ("XML_RESTRICTED", "a comment", "<!-- x -->"),
        ("XML_RESTRICTED", "an instruction", "<?php x?>"),
        ("XML", "a character that XML forbids", "<x>&#0;</x>"),
        ("XML", "half of a surrogate pair", "<x>&#xD800;</x>"),
        ("XML", "an attribute twice", "<x a='1' a='2'/>"),
        ("XML", "tags that cross", "<x><y></x></y>"),
        ("XML_ENCODING", "bad UTF-8", b"<x>\xc0\xaf</x>"),
    )
    for error, what, text in texts:
        yield features("sends in place of features", text, error, variant=what)

    # -- bombs --

    names = "".join(f"<m{number}>" for number in range(10000))
    tails = "".join(f"</m{number}>" for number in reversed(range(10000)))
    inside = f"<stream:features><mechanisms xmlns='{SASL}'>"
    bombs = (
        ("a header of 100 KB", OPENING + " z='" + "z" * 100000 + "'>"),
        ("a header with 10,000 attributes", OPENING + "".join(f" a{n}='{n}'" for n in range(10000)) + ">"),
        ("a name of 100 KB", f"{OPENING}><{'z' * 100000}/>"),
        ("an attribute of 100 KB", f"{OPENING}><z z='{'z' * 100000}'/>"),
        ("an element with 10,000 attributes",
         f"{OPENING}><z{''.join(f' a{n}={chr(39)}{chr(39)}' for n in range(10000))}/>"),
        ("an element of 100 KB", f"{OPENING}><z>{'z' * 100000}</z>"),
        ("an element of depth 10,000", f"{OPENING}>{names}{tails}"),
        ("10,000 mechanisms", f"{OPENING}>{inside}{'<mechanism>X</mechanism>' * 10000}</mechanisms></stream:features>"),
    )
    for what, text in bombs:
        yield header("sends", lambda c, text=text: c.send(text), "XML_LIMIT", variant=what)
    yield header("sends an element without end",
                 lambda c: (c.send(OPENING + "><z>" + "z" * 100000), trickle(c, "z" * 1000, 0.1)), "TIMEOUT", **waits)
    yield case("is silent inside an endless handshake message",
               lambda c: (asked(c), c.expect(r"\x16\x03"), c.send(record(22, b"\x02\xff\xff\xff"))), "TIMEOUT",
               ASKED_TLS + ", ClientHello", **waits)
    yield case("answers ClientHello with ChangeCipherSpec", later(record(CCS, b"\1")), "TLS",
               ASKED_TLS + ", ClientHello", text="an unexpected message")
