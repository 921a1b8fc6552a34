# SPDX-License-Identifier: MIT
"""The stream inside TLS, before and after the login: what a server may not do, and what another user may try who
is only somebody's contact."""

import re

from fake import BIND, BINDING, SASL, STREAMS, TLS, encode, mechanisms
from harness import Failure
from hostile_case import ASKED, AUTHENTICATED, BOUND, LEAVES, ONLINE, SECURED, Case
from hostile_clear import OPENING, headers, told

STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
STREAM_ERRORS = ("bad-format", "bad-namespace-prefix", "conflict", "connection-timeout", "host-gone", "host-unknown",
                 "improper-addressing", "internal-server-error", "invalid-from", "invalid-id", "invalid-namespace",
                 "invalid-xml", "not-authorized", "not-well-formed", "policy-violation", "remote-connection-failed",
                 "reset",
                 "resource-constraint", "restricted-xml", "system-shutdown", "undefined-condition",
                 "unsupported-encoding",
                 "unsupported-feature", "unsupported-stanza-type", "unsupported-version", "xml-not-well-formed",
                 "a-condition-of-its-own")


def inside(text):
    """Script: the header is honest, and then this comes."""
    return lambda c: (c.encrypt(), c.header(), c.send(text), c.rest())


def logged_in(c):
    c.encrypt()
    c.scram()


def bound(c):
    logged_in(c)
    c.bind()


def after(begin, make):
    """Script: make gives what is sent, or does what is done, after begin."""
    def script(c):
        begin(c)
        c.send(make) if isinstance(make, str) else make(c)
        c.rest()
    return script


def error(condition, more=""):
    return f"<stream:error><{condition} xmlns='{STREAMS}'/>{more}</stream:error></stream:stream>"


def elsewhere(where):
    return f"<stream:error><see-other-host xmlns='{STREAMS}'>{where}</see-other-host></stream:error></stream:stream>"


def leave(c):
    """The client's orderly end."""
    c.expect("</stream:stream>")
    c.send("</stream:stream>")


def cases():
    yield from before_login()
    yield from before_bind()
    yield from online()
    yield from strangers()


# ---- Before the login ----------------------------------------------------------------------------------


def before_login():
    def case(title, script, name, left=ASKED + LEAVES, *, reached=SECURED, **more):
        return Case("stream in TLS", title, script, name, left, reached=reached, **more)

    for name, what, text in headers():
        yield case("begins its stream with", lambda c, text=text: (c.encrypt(), c.expect("<stream:stream"),
                                                                   c.send(text),
                                                                   c.rest()), name, told(ASKED, name), variant=what)
    for what, text in (("lets in", f"<success xmlns='{SASL}'/>"),
                       ("challenges", f"<challenge xmlns='{SASL}'>{encode('r=x,s=eA==,i=4096')}</challenge>"),
                       ("proceeds", f"<proceed xmlns='{TLS}'/>"), ("sends a message",
                                                                   "<message><body>x</body></message>"),
                       ("binds",
                        f"<iq type='result' id='bind'><bind xmlns='{BIND}'><jid>alice@a.test/x</jid></bind></iq>"),
                       ("sends an unknown element", "<x xmlns='urn:example:x'/>")):
        yield case("before its features:", inside(text), "UNEXPECTED", told(ASKED, "UNEXPECTED"), variant=what)
    yield case("sends features twice at once",
               inside(f"<stream:features>{mechanisms('SCRAM-SHA-256')}</stream:features>" * 2),
               "UNEXPECTED", told(ASKED, "UNEXPECTED"))
    yield case("begins its stream twice", inside(OPENING + ">"), "XML_RESTRICTED", told(ASKED, "XML_RESTRICTED"))
    yield case("closes the stream", inside("</stream:stream>"), "CLOSED")
    yield case("is silent behind its header", inside(""), "TIMEOUT", told(ASKED, "TIMEOUT"), options=["--timeout", "2"])
    for condition in ("host-unknown", "not-authorized", "policy-violation"):
        yield case("ends the stream with an error:", inside(error(condition)), "STREAM", variant=condition,
                   condition=condition)
    yield case("redirects to itself for ever", lambda c: inside(elsewhere(c.fake.where))(c), "REDIRECT", connections=3,
               condition="see-other-host", reached=SECURED * 3)
    for where in ("", " ", ":5222", "a.test:0", "a.test:65536", "a.test:x", "[::1", "[::1]5222", "http://a.test/",
                  "a b",
                  "a.test:5222:5223", "/tmp/socket", "-o", "x" * 300):
        yield case("redirects to what is no host:", inside(elsewhere(where)), "REDIRECT", condition="see-other-host",
                   variant=f"`{where}`" if 0 < len(where) < 99 else f"{len(where)} letters")
    yield case("sends a document type in place of features", inside("<!DOCTYPE x [<!ENTITY a 'ha'>]>"),
               "XML_RESTRICTED",
               told(ASKED, "XML_RESTRICTED"))
    deep = "<x xmlns='urn:example:x'>" * 5000 + "</x>" * 5000
    yield case("offers mechanisms behind a feature of depth 5,000 that nobody knows", lambda c: (
        c.encrypt(), c.header(), c.features(deep + mechanisms("SCRAM-SHA-256")), c.auth(), c.fail("not-authorized"),
                                                                                                 c.rest()),
               "AUTH", ASKED + ", auth SCRAM-SHA-256 y" + LEAVES, condition="not-authorized")


# ---- Before a resource is bound ------------------------------------------------------------------------


def before_bind():
    def case(title, script, name, left, *, reached=AUTHENTICATED, **more):
        return Case("after the login", title, script, name, left, reached=reached, **more)

    # The wish to bind goes with the header.
    for what, text in (("lets in again", f"<success xmlns='{SASL}'/>"), ("challenges",
                                                                         f"<challenge xmlns='{SASL}'>eA==</challenge>"),
                       ("refuses", f"<failure xmlns='{SASL}'><not-authorized/></failure>"),
                       ("sends a message", "<message><body>x</body></message>")):
        yield case("before its features:", after(logged_in, lambda c, text=text: (c.header(), c.send(text))),
                   "UNEXPECTED",
                   told(BOUND, "UNEXPECTED"), variant=what)
    yield case("offers nothing", after(logged_in, lambda c: (c.header(), c.features(""))), "FEATURES",
               BOUND + ", error unsupported-feature, end")
    yield case("offers mechanisms again", after(logged_in, lambda c: (c.header(), c.features(mechanisms("PLAIN")))),
               "FEATURES",
               BOUND + ", error unsupported-feature, end")
    yield case("is of another domain", after(logged_in, lambda c: c.header("evil.test")), "FROM", told(BOUND, "FROM"))
    yield case("closes the stream", after(logged_in, lambda c: (c.header(), c.send("</stream:stream>"))), "CLOSED",
               BOUND + LEAVES)

    def binding(text):
        def script(c):
            logged_in(c)
            c.header()
            c.features(BINDING)
            number = re.search(rb"id=['\"]([^'\"]*)", c.expect(r"<iq\s([^>]*)>.*?</iq>").group(1)).group(1).decode()
            c.send(text.replace("ID", number))
            c.rest()
        return script

    def result(inner, attributes="type='result' id='ID'"):
        return f"<iq {attributes}><bind xmlns='{BIND}'>{inner}</bind></iq>"

    for condition in ("bad-request", "conflict", "not-allowed", "resource-constraint", "not-authorized"):
        yield case("refuses to bind:",
                   binding(f"<iq type='error' id='ID'><error type='cancel'><{condition} xmlns='{STANZAS}'/>"
                                               "</error></iq>"), "BIND", BOUND + LEAVES, variant=condition,
                   condition=condition)
    for what, jid in (("of another domain", "<jid>alice@evil.test/x</jid>"),
                      ("of a domain that begins with ours", "<jid>alice@a.test.evil.test/x</jid>"),
                      ("without a resource", "<jid>alice@a.test</jid>"), ("with an empty resource",
                                                                          "<jid>alice@a.test/</jid>"),
                      ("that is empty", "<jid/>"), ("that is missing", ""), ("that is malformed", "<jid>a@@b/x</jid>"),
                      ("in a namespace of its own", "<jid xmlns='y'>alice@a.test/x</jid>")):
        yield case("binds an address", binding(result(jid)), "BIND", BOUND + LEAVES, variant=what)
    jid = "<jid>alice@a.test/x</jid>"
    for what, text, name in (("another id", result(jid, "type='result' id='other'"), "UNEXPECTED"),
                             ("no id", result(jid, "type='result'"), "UNEXPECTED"),
                             ("type get", result(jid, "type='get' id='ID'"), "BIND"),
                             ("no type", result(jid, "id='ID'"), "BIND"),
                             ("a message", "<message id='ID'><body>x</body></message>", "UNEXPECTED")):
        yield case("answers the wish to bind with", binding(text), name,
                   told(BOUND, name) if name == "UNEXPECTED" else BOUND + LEAVES, variant=what)
    yield case("is silent when asked to bind", binding(""), "TIMEOUT", told(BOUND, "TIMEOUT"), options=["--timeout",
                                                                                                        "2"])


# ---- Online ----------------------------------------------------------------------------------------------


def ending(*texts):
    """Script: these are sent online, then the server ends the stream."""
    return after(bound, lambda c: (*(c.send(text) for text in texts), c.send("</stream:stream>")))


def online():
    def case(title, script, name, left=BOUND + LEAVES, *, reached=ONLINE, **more):
        return Case("online", title, script, name, left, reached=reached, options=["--stdin"], **more)

    for condition in STREAM_ERRORS:
        yield case("ends the stream with an error:", after(bound, error(condition)), "STREAM", variant=condition,
                   condition=condition)
    yield case("redirects, which is not followed", after(bound, lambda c: c.send(elsewhere(c.fake.where))), "STREAM",
               condition="see-other-host")
    for what, text in (("<success/>", f"<success xmlns='{SASL}'/>"), ("a challenge",
                                                                      f"<challenge xmlns='{SASL}'>eA==</challenge>"),
                       ("<proceed/>", f"<proceed xmlns='{TLS}'/>")):
        yield case("sends again:", ending(text), "CLOSED", variant=what, reached=[*ONLINE, "element"])
    yield case("sends features again", ending(f"<stream:features>{mechanisms('PLAIN')}</stream:features>"), "CLOSED")
    quotes = "''"
    bombs = (("depth 10,000", "<message>" + "<x>" * 10000 + "</x>" * 10000 + "</message>"),
             ("10,000 attributes", f"<message {' '.join(f'a{n}={quotes}' for n in range(10000))}/>"),
             ("an attribute of 100 KB", f"<message z='{'z' * 100000}'/>"),
             ("a body of 1 MB", f"<message><body>{'z' * 1000000}</body></message>"),
             ("10,000 elements", "<message>" + "<x/>" * 10000 + "</message>"),
             ("10,000 namespaces", "<message>" + "".join(f"<x xmlns='urn:{n}'/>" for n in range(10000)) + "</message>"),
             ("100,000 references", "<message><body>" + "&amp;" * 100000 + "</body></message>"))
    for what, text in bombs:
        yield case("sends a message with", ending(text), "CLOSED", variant=what, reached=[*ONLINE, "skipped"])
    for what, text, name in (("an entity of its own", "<message><body>&evil;</body></message>", "XML_RESTRICTED"),
                             ("a document type", "<!DOCTYPE x [<!ENTITY a 'ha'>]>", "XML_RESTRICTED"),
                             ("a comment", "<message><!-- x --></message>", "XML_RESTRICTED"),
                             ("NUL", "<message><body>\0</body></message>", "XML"),
                             ("half of a surrogate pair", "<message><body>&#xD800;</body></message>", "XML"),
                             ("an undeclared prefix", "<message><x:y/></message>", "XML_PREFIX"),
                             ("tags that cross", "<message><body></message>", "XML")):
        yield case("sends", after(bound, text), name, told(BOUND, name), variant=what)
    yield case("sends", ending(f"<{'z' * 100000}/>"), "CLOSED", variant="a name of 100 KB", reached=[*ONLINE,
                                                                                                     "skipped"])
    yield case("goes on behind the end of the stream",
               after(bound, "</stream:stream><message><body>x</body></message>"),
               "CLOSED")


# ---- Other users -----------------------------------------------------------------------------------------


def strangers():
    def case(title, script, left, **more):
        return Case("from a stranger", title, script, None, left, **more)

    def forged(sender):
        """An answer with the right id, which only the server and a guesser know, before the right answer."""
        def script(c):
            bound(c)
            ask = c.expect(r"<iq\s([^>]*)>").group(1)
            number = re.search(rb"id=['\"]([^'\"]*)", ask).group(1).decode()
            c.send(f"<iq type='result' id='{number}'{sender}/>")
            c.send(f"<iq type='result' id='{number}' from='bob@a.test/x'/>")
            leave(c)
        return script

    for what, sender in (("a stranger", "mallory@a.test/x"), ("the same name in another domain", "bob@evil.test/x"),
                         ("a domain that begins with ours", "bob@a.test.evil.test/x"), ("another resource",
                                                                                        "bob@a.test/X"),
                         ("no resource", "bob@a.test"), ("our own account", "alice@a.test"), ("our server", "a.test"),
                         ("nobody", None), ("an empty address", ""), ("a malformed address", "bob@@a.test/x")):
        yield case("forges the answer to a ping of bob@a.test/x, as from",
                   forged("" if sender is None else f" from='{sender}'"),
                   BOUND + ", iq get ping, end", variant=what, options=["--stdin"],
                   events=[*ONLINE, "iq", "pong", "closed"], drive=ping)

    def told_of(text, answer, *kinds, drive=None):
        """Script and the rest of a case: the text comes, an answer goes."""
        def script(c):
            bound(c)
            c.send(text)
            c.send("<message from='a.test'><body>that was all</body></message>")
            leave(c)

        def all_seen(cli):
            cli.wait("message", body="that was all")
            if drive:
                drive(cli)
            cli.say("quit")

        return {"script": script, "left": BOUND + answer + LEAVES, "options": ["--stdin"], "drive": all_seen,
                "events": [*ONLINE, *kinds, "message", "closed"]}

    roster = "<query xmlns='jabber:iq:roster'><item jid='mallory@evil.test' subscription='both'/></query>"
    for what, sender in (("a stranger", " from='mallory@evil.test'"), ("our server's name", " from='a.test'"),
                         ("nobody", "")):
        yield case("pushes a roster, as from", variant=what, **told_of(
            f"<iq type='set' id='push'{sender}>{roster}</iq>", ", iq error service-unavailable"))
    copy = ("<{kind} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' "
            "from='alice@a.test/other' to='bob@a.test'><body>forged</body></message></forwarded></{kind}>")
    for kind in ("received", "sent"):
        yield case("sends a forged carbon copy:", variant=kind, **told_of(
            f"<message from='mallory@evil.test'>{copy.format(kind=kind)}</message>", "", "message",
            drive=lambda cli: no_body(cli)))
    for what, text in (("a result", "<iq type='result' id='x' from='mallory@evil.test'/>"),
                       ("an error", "<iq type='error' id='x' from='mallory@evil.test'><error type='cancel'>"
                                    f"<not-allowed xmlns='{STANZAS}'/></error></iq>")):
        yield case("answers what nobody asked, with", variant=what, **told_of(text, "", "iq"))
    yield case("asks for what the client has not", **told_of(
        "<iq type='get' id='x' from='mallory@evil.test'><query xmlns='urn:example:x'/></iq>",
                                                             ", iq error service-unavailable"))
    yield case("asks to register with the client", **told_of(
        "<iq type='set' id='x' from='mallory@evil.test'><query xmlns='jabber:iq:register'><password>x</password></query>"
        "</iq>",
        ", iq error service-unavailable"))


def ping(cli):
    cli.say("ping bob@a.test/x")
    cli.wait("pong", **{"from": "bob@a.test/x"})
    cli.say("quit")


def no_body(cli):
    event = cli.wait("message", **{"from": "mallory@evil.test"})
    if "body" in event:
        raise Failure(f"a forged copy counted: {event}")
