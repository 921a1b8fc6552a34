# SPDX-License-Identifier: MIT
"""Sessions that go on: servers that lie about what they have, that go on with what there never was, that take a token
without having given it. What the client left behind at an honest server is what they are after."""

import base64
import hmac
import re

from fake import BIND, BINDING, Scram, encode, listed, mechanisms, vouch
from hostile_case import ASKED, AUTHENTICATED, BINDINGS, LEAVES, OFFER, ONLINE, SECURED, Case
from hostile_left import BIND2, FAST, SASL2, SM
from hostile_saved import TRUSTED

SESSION = ["--session", "{scratch}/session"]
TOKEN = b"what only both of us know"
HT = "HT-SHA-256-ENDP"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
PROVED = TRUSTED + ", proof, header"
UNASKED = ", error unsupported-stanza-type, end"
REFUSED = ", error not-authorized, end"
LIES = ", error undefined-condition handled-count-too-high, end"
GONE = f"<failed xmlns='{SM}'><item-not-found xmlns='{STANZAS}'/></failed>"
LEFT = ["--stdin", "--queue", "4096"]


def cases():
    yield from counts()
    yield from resumptions()
    yield from tokens()


# ---- RFC 6120, XEP-0198 --------------------------------------------------------------------------------------


def login(c):
    c.encrypt()
    c.scram(*OFFER, more=listed(*BINDINGS), first=lambda mechanism: ",h=" + vouch(OFFER, BINDINGS, mechanism))
    c.header()
    c.features(f"{BINDING}<sm xmlns='{SM}'/>")


def managed(c):
    """A new session, which can be resumed."""
    login(c)
    begin(c)


def begin(c):
    number = re.search(rb"id=['\"]([^'\"]*)", c.expect(r"<iq\s([^>]*)>.*?</iq>").group(1)).group(1).decode()
    c.send(f"<iq type='result' id='{number}'><bind xmlns='{BIND}'><jid>alice@a.test/fake</jid></bind></iq>")
    at = c.at
    c.expect("<enable ")
    c.at = at  # something may have been sent before it
    c.send(f"<enabled xmlns='{SM}' id='here' resume='true'/>")


def honest(c):
    """Whoever comes gets a session, and answers."""
    login(c)
    if c.expect("<(resume|iq) ").group(1) == b"resume":
        c.send(GONE)
    else:
        c.at -= len("<iq ")
    begin(c)
    count = 0
    while (word := c.expect(r"<(enable|iq|message|r|/stream:stream)\b([^>]*)>")).group(1) != b"/stream:stream":
        count = 0 if word.group(1) == b"enable" else count + (word.group(1) != b"r")
        if word.group(1) == b"r":
            c.send(f"<a xmlns='{SM}' h='{count}'/>")
        elif b"type='get'" in word.group(2):
            number = re.search(rb"id=['\"]([^'\"]*)", word.group(2)).group(1).decode()
            c.send(f"<iq type='result' id='{number}' from='a.test'/>")
    c.send("</stream:stream>")


def sends(cli):
    cli.wait("online")
    cli.say("id=one message bob@a.test one")


def counts():
    def case(title, text, error, end, **more):
        def script(c):
            managed(c)
            c.expect("<r ")
            c.send(text)
            c.rest()

        return Case("counts", title, script, error, PROVED + ", bind, enable, message, ask" + end,
                    options=LEFT, drive=sends, after=("a.test", honest),
                    **more)

    undelivered = dict(tail=["undelivered"], reached=ONLINE)
    for h in ("2", "5", "2147483648", "4294967295"):
        yield case("has more than there was:", f"<a xmlns='{SM}' h='{h}'/>", "ACK", LIES, variant=h, **undelivered)
    for what, h in (("none", ""), ("nothing", " h=''"), ("a word", " h='x'"), ("-1", " h='-1'"),
                    ("4294967296", " h='4294967296'"), ("1 and a space", " h='1 '")):
        yield case("has a number that is none:", f"<a xmlns='{SM}'{h}/>", "UNEXPECTED", UNASKED, variant=what,
                   **undelivered)


# ---- Resumption ----------------------------------------------------------------------------------------------


def resumptions():
    def case(title, text, error, end, tail=("undelivered",), **more):
        def script(c):
            login(c)
            c.expect("<resume ")
            c.send(text)
            c.rest()

        return Case("resumption", title, script, error, PROVED + ", resume 0" + end,
                    options=[*SESSION, "--send", "bob@a.test", "x"],
                    before=[("a.test", honest)], after=("a.test", honest), reached=AUTHENTICATED,
                    tail=tail, **more)

    def resumed(previd="here", h="0"):
        return f"<resumed xmlns='{SM}' previd='{previd}' h='{h}'/>"

    for what, previd in (("another", "there"), ("none", ""), ("a part of ours", "her"), ("more than ours", "here2")):
        yield case("goes on with a session of a name that is", resumed(previd), "UNEXPECTED", UNASKED, variant=what)
    for h in ("1", "2147483647"):
        yield case("goes on, with more than there was:", resumed(h=h), "ROLLBACK", LIES, variant=h)
        yield case("does not go on, but had more than there was:", f"<failed xmlns='{SM}' h='{h}'>"
                   f"<item-not-found xmlns='{STANZAS}'/></failed>", "ROLLBACK", LIES, variant=h)
    yield case("goes on, with fewer than it had acknowledged", resumed(h="4294967295"), "ACK", LIES)
    for h in ("", "x", "-1", "4294967296"):
        yield case("goes on, with a number that is none:", resumed(h=h), "UNEXPECTED", UNASKED, variant=f"`{h}`")
    for what, text in (("sends a message", "<message><body>x</body></message>"),
                       ("acknowledges", f"<a xmlns='{SM}' h='0'/>"), ("enables", f"<enabled xmlns='{SM}' id='x'/>"),
                       ("binds", f"<iq type='result' id='bind'><bind xmlns='{BIND}'><jid>alice@a.test/x</jid></bind>"
                                 "</iq>")):
        yield case("asked to go on, it", text, "UNEXPECTED", UNASKED, tail=(), variant=what)  # may go on later


# ---- SASL2, tokens -------------------------------------------------------------------------------------------


def offer(*names, tokens=(HT,)):
    fast = f"<fast xmlns='{FAST}'>" + "".join(f"<mechanism>{name}</mechanism>" for name in tokens) + "</fast>"
    return (f"<authentication xmlns='{SASL2}'>" + "".join(f"<mechanism>{name}</mechanism>" for name in names or OFFER) +
            f"<inline>{fast}<sm xmlns='{SM}'/><bind xmlns='{BIND2}'><inline><feature var='{SM}'/></inline></bind>"
            f"</inline></authentication>{listed(*BINDINGS)}")


def first(c):
    """The mechanism and the message of the client's first step."""
    match = c.expect(r"<authenticate\s[^>]*mechanism=['\"]([^'\"]*)['\"][^>]*>"
                     r"<initial-response>([^<]*)<.*?</authenticate>")
    return match.group(1).decode(), base64.b64decode(match.group(2))


def greet(c, *names):
    c.encrypt()
    c.header()
    c.features(offer(*names))
    if hasattr(c, "tokens"):
        c.tokens.append(TOKEN)
    return first(c)


def success(proof, inner):
    data = "" if proof is None else f"<additional-data>{encode(proof)}</additional-data>"
    return (f"<success xmlns='{SASL2}'>{data}<authorization-identifier>alice@a.test/fake</authorization-identifier>"
            f"{inner}</success>")


BOUND = f"<bound xmlns='{BIND2}'><enabled xmlns='{SM}' id='here' resume='true'/></bound>"
GIVEN = f"<token xmlns='{FAST}' token='{TOKEN.decode()}' expiry='2036-01-01T00:00:00Z'/>"


def by_password(c, name, initial):
    c.mechanism = name
    scram = Scram(name, initial.decode())
    if hasattr(c, "challenges"):
        c.challenges.append((name, scram.salt, scram.iterations))
    c.send(f"<challenge xmlns='{SASL2}'>{encode(scram.first(more=',h=' + vouch(OFFER, BINDINGS, name)))}</challenge>")
    scram.check(c.response(), c.binding(scram.gs2))
    return "v=" + encode(scram.signature())


def proof(c, role="Responder", binding=True):
    return hmac.digest(TOKEN, role.encode() + (c.binding("p=tls-server-end-point,") if binding else b""), "sha256")


def giver(c):
    """Whoever comes gets a session, and a token if he has none."""
    name, initial = greet(c)
    if name == HT:
        if not hmac.compare_digest(initial, b"alice\0" + proof(c, "Initiator")):
            raise ValueError("the token is wrong")
        c.send(success(proof(c), GONE + BOUND))
    else:
        c.send(success(by_password(c, name, initial), GONE + BOUND + GIVEN))
    c.send("<stream:features/>")
    c.rest()


def tokens():
    along = " and resume and bind"
    sent = ASKED + f", auth {HT} token{along}"

    def case(title, script, error, end, *, reached=SECURED, options=(), **more):
        return Case("token", title, script, error, sent + end, options=[*SESSION, *options], before=[("a.test", giver)],
                    after=("a.test", giver), reached=reached, **more)

    def says(make):
        def script(c):
            greet(c)
            c.send(make(c))
            c.rest()
        return script

    lies = (("nothing", lambda c: None), ("an empty text", lambda c: ""), ("zeros", lambda c: bytes(32)),
            ("the client's own proof", lambda c: proof(c, "Initiator")),
            ("a proof without the binding", lambda c: proof(c, binding=False)),
            ("half of the right proof", lambda c: proof(c)[:16]), ("more than the right proof", lambda c: proof(c) +
                                                                   b"\0"))
    for what, lie in lies:
        yield case("lets in, goes on with the session, and proves itself with", says(lambda c, lie=lie: success(
            lie(c), f"<resumed xmlns='{SM}' previd='here' h='0'/>")), "SERVER_PROOF", REFUSED, variant=what)
    yield case("asks for more", says(lambda c: f"<challenge xmlns='{SASL2}'>{encode(proof(c))}</challenge>"),
               "SERVER_PROOF", REFUSED)
    yield case("wants a task done", says(lambda c: f"<continue xmlns='{SASL2}'><additional-data>{encode(proof(c))}"
                                         "</additional-data><tasks><task>X</task></tasks></continue>"), "AUTH", LEAVES,
               condition="X")
    yield case("goes on with another session", says(lambda c: success(
        proof(c), f"<resumed xmlns='{SM}' previd='there' h='0'/>")), "UNEXPECTED", UNASKED, reached=AUTHENTICATED)
    yield case("has more than there was", says(lambda c: success(
        proof(c), f"<resumed xmlns='{SM}' previd='here' h='9'/>")), "ROLLBACK", LIES, reached=AUTHENTICATED)

    def binds(jid):
        return says(lambda c: success(proof(c), GONE + BOUND).replace("alice@a.test/fake", jid))

    for jid in ("alice@evil.test/x", "alice@a.test", "", "a@@b/x"):
        yield case("binds an address that is", binds(jid), "BIND", LEAVES, reached=AUTHENTICATED, variant=f"`{jid}`")

    def weaker(*names):
        """Of the token it knows nothing, so the password shall do it, in some way that tells more."""
        def script(c):
            greet(c, *names)
            c.send(f"<failure xmlns='{SASL2}'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>")
            c.rest()
        return script

    told = ", error policy-violation, end"
    yield case("refuses the token, and has no -PLUS", weaker("SCRAM-SHA-1", "SCRAM-SHA-256"), "DOWNGRADE", told)
    yield case("refuses the token, and has SCRAM-SHA-1 alone", weaker("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"), "DOWNGRADE",
               told)
    yield case("refuses the token, and has PLAIN alone", weaker("PLAIN"), "DOWNGRADE", told)

    def neither(c):
        refusal = f"<failure xmlns='{SASL2}'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>"
        greet(c)
        c.send(refusal)
        by_password(c, *first(c))
        c.send(refusal)
        c.rest()

    yield case("refuses token and password", neither, "AUTH",
               ", " + TRUSTED.removeprefix(ASKED + ", ") + " and token wanted" + along + ", proof, end",
               condition="not-authorized")
    yield Case("token", "has another key, with a certificate of the same CA", giver, "CERT_CHANGED", "TLS",
               options=SESSION, before=[("a.test", giver)], after=("a.test", giver), certificate="rekeyed",
               reached=["connected", "changed"])
    yield Case("token", "has another certificate for the same key", giver, None, sent + ", ack 0", options=SESSION,
               before=[("a.test", giver)], after=("renewed", giver), certificate="renewed",
               events=["connected", "changed", *ONLINE[1:], "closed"])
    yield case("offers no tokens any more, and mechanisms in the old list alone", lambda c: (
        c.encrypt(), c.header(), c.features(mechanisms(*OFFER)), c.rest()), "TIMEOUT",
               ", error connection-timeout, end", options=["--timeout", "2"])
