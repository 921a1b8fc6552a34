# SPDX-License-Identifier: MIT
"""SASL inside TLS: servers that do not know the password, lie about what they offer, or send a SCRAM message that
is none [RFC5802]. Whoever has a certificate for the domain can be one of them."""

import base64

from fake import BINDINGS, SASL, Scram, encode, listed, vouch
from hostile_case import ASKED, AUTH, BOUND, LEAVES, OFFER, PROOF, REFUSED, SECURED, Case

GROUP = "SCRAM"
SALT = encode("throw-away salt")
TOLD = ", error policy-violation, end"
UNASKED = ", error unsupported-stanza-type, end"
PLUS = ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]


def conclude(c, scram):
    """An honest end of a login."""
    c.success("v=" + encode(scram.signature()))
    c.bind()
    c.expect("</stream:stream>")
    c.send("</stream:stream>")


def cases():
    yield from proofs()
    yield from first_messages()
    yield from encodings()
    yield from offers()
    yield from vouched()


def case(title, script, error, left, *, reached=SECURED, **more):
    return Case(GROUP, title, script, error, left, reached=reached, **more)


def fine(title, script, left=BOUND + LEAVES, **more):
    """What an honest server may do."""
    return Case(GROUP, title, script, None, left, **more)


# ---- The server's proof ------------------------------------------------------------------------------


def proofs():
    def after(make):
        """Script: make(c, scram) after the client's proof."""
        def script(c):
            make(c, c.proved())
            c.rest()
        return script

    def verdict(what, text, error="SERVER_PROOF"):
        return case("lets in, and proves itself with", after(lambda c, s: c.success(text(s))), error, PROOF + REFUSED,
                    variant=what)

    def v(data):
        return "v=" + encode(data)

    for what, text in (
            ("nothing", lambda s: None), ("an empty text", lambda s: ""), ("v= and nothing", lambda s: "v="),
            ("zeros", lambda s: v(bytes(32))), ("a bit flipped", lambda s: v(flip(s.signature()))),
            ("one byte less", lambda s: v(s.signature()[:-1])), ("one byte more", lambda s: v(s.signature() + b"x")),
            ("20 bytes of it", lambda s: v(s.signature()[:20])), ("twice its bytes", lambda s: v(s.signature() * 2)),
            ("the client's proof", lambda s: "v=" + s.proof), ("an unused bit set",
                                                               lambda s: v(s.signature())[:-2] + "B="
                                                               if v(s.signature())[-2] != "B" else "v="),
            ("spaces in it", lambda s: "v= " + encode(s.signature())),
            ("the right value under another name", lambda s: "x=" + encode(s.signature())),
            ("the right value in second place", lambda s: "x=y,v=" + encode(s.signature())),
            ("a signature of another password", lambda s: v(other(s)))):
        yield verdict(what, text)
    yield case("lets in, with a text that is not base64",
               after(lambda c, s: c.send(f"<success xmlns='{SASL}'>v=!</success>")), "SASL", PROOF + REFUSED)
    yield case("lets in at once", lambda c: (c.exchange(), c.success(None), c.rest()), "SERVER_PROOF", AUTH + REFUSED)
    yield case("lets in at once, with a signature of zeros",
               lambda c: (c.exchange(), c.success("v=" + encode(bytes(32))), c.rest()), "SERVER_PROOF", AUTH + REFUSED)
    yield case("challenges again in place of a proof", after(lambda c, s: c.challenge(s.challenge)), "SERVER_PROOF",
               PROOF + REFUSED)
    yield case("challenges with a wrong proof", after(lambda c, s: c.challenge(v(bytes(32)))), "SERVER_PROOF",
               PROOF + REFUSED)
    yield case("proves itself in a challenge, and again in <success/>",
               after(lambda c, s: (c.challenge(v(s.signature())), c.response(), c.success(v(s.signature())))), "SASL",
               PROOF + ", empty response" + REFUSED)
    yield case("proves itself in a challenge, and challenges again",
               after(lambda c, s: (c.challenge(v(s.signature())), c.response(), c.challenge(v(s.signature())))), "SASL",
               PROOF + ", empty response" + REFUSED)
    yield case("proves itself in a challenge, and refuses",
               after(lambda c, s: (c.challenge(v(s.signature())), c.response(), c.fail("not-authorized"))), "AUTH",
               PROOF + ", empty response, end", condition="not-authorized")
    yield fine("proves itself in a challenge", lambda c: challenged(c), PROOF + ", empty response, header, bind, end")
    yield fine("proves itself, with an extension behind it", lambda c: (
        s := c.proved(), c.success(v(s.signature()) + ",x=y"), c.bind(), c.expect("</stream:stream>"),
        c.send("</stream:stream>")))
    yield case("offers features in place of a proof", after(lambda c, s: c.features("")), "UNEXPECTED",
               PROOF + UNASKED)
    yield case("offers to bind behind <success/>, before it is asked", after(lambda c, s: c.send(
        f"<success xmlns='{SASL}'>{encode(v(s.signature()))}</success><stream:features/>")), "UNEXPECTED",
        PROOF + UNASKED)

    for value in ("invalid-encoding", "extensions-not-supported", "invalid-proof", "channel-bindings-dont-match",
                  "server-does-support-channel-binding", "channel-binding-not-supported",
                  "unsupported-channel-binding-type", "unknown-user", "invalid-username-encoding", "no-resources",
                  "other-error", "an-error-of-its-own"):
        yield case("answers with e=", after(lambda c, s, value=value: c.success(f"e={value}")), "AUTH",
                   PROOF + LEAVES, variant=value, condition=value)
    for condition in ("aborted", "account-disabled", "credentials-expired", "encryption-required", "incorrect-encoding",
                      "invalid-authzid", "invalid-mechanism", "malformed-request", "mechanism-too-weak",
                      "not-authorized", "temporary-auth-failure", "a-condition-of-its-own"):
        yield case("refuses before the proof:", lambda c, what=condition: (c.exchange(), c.fail(what), c.rest()),
                   "AUTH",
                   AUTH + LEAVES, variant=condition, condition=condition)
    yield case("refuses, and offers weaker mechanisms again", lambda c: (
        c.exchange("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"), c.fail("invalid-mechanism"),
        c.send("<stream:features><mechanisms xmlns='" + SASL + "'><mechanism>PLAIN</mechanism></mechanisms>"
               "</stream:features>"), c.rest()), "AUTH", AUTH + LEAVES, condition="invalid-mechanism")


def flip(data):
    return bytes([data[0] ^ 1]) + data[1:]


def other(scram):
    """What a server would say that has another password for the account."""
    wrong = Scram("SCRAM-SHA-256", scram.gs2 + scram.bare, password="Secret")
    wrong.message = scram.message
    return wrong.signature()


def challenged(c):
    scram = c.proved()
    c.challenge("v=" + encode(scram.signature()))
    c.response()
    c.success(None)
    c.bind()
    c.expect("</stream:stream>")
    c.send("</stream:stream>")


# ---- The server's first message ----------------------------------------------------------------------


def first_messages():
    def first(title, text, error="SASL", **more):
        """text is the message, given what an honest one would say; nothing is proved to it."""
        def script(c):
            scram = c.exchange()
            full = scram.ours + "SeRvEr"
            c.challenge(text(full) if callable(text) else text.format(r=full, ours=scram.ours, s=SALT))
            c.rest()
        end = TOLD if error == "DOWNGRADE" else REFUSED
        return case(title, script, error, AUTH + end, **more)

    for count in ("0", "1", "4095", "100001", 2**31 - 1, 2**31, 2**32, 2**32 + 4096, 10**20, 2**64 + 4096):
        yield first("asks for a count of", f"r={{r}},s={{s}},i={count}", "ITERATIONS", variant=count)
    for count in ("-1", "-4096", "+4096", "04096", "4096.0", "0x1000", "4096 ", " 4096", "4,096", "&#x664;096", "4e3",
                  ""):
        yield first("asks for a count that is none:", f"r={{r}},s={{s}},i={count}",
                    variant=f"`{count}`" if count else "an empty one")
    messages = (
        ("no nonce", "s={s},i=4096"), ("no salt", "r={r},i=4096"), ("no count", "r={r},s={s}"),
        ("an empty nonce", "r=,s={s},i=4096"), ("an empty salt", "r={r},s=,i=4096"),
        ("two nonces", "r={r},r={r},s={s},i=4096"), ("two salts", "r={r},s={s},s={s},i=4096"),
        ("two counts", "r={r},s={s},i=4096,i=4096"), ("a nonce behind it", "r={r},s={s},i=4096,r={r}"),
        ("a salt behind it", "r={r},s={s},i=4096,s={s}"), ("a lower count behind it", "r={r},s={s},i=4096,i=1"),
        ("the order s, r, i", "s={s},r={r},i=4096"), ("the order r, i, s", "r={r},i=4096,s={s}"),
        ("the order i, r, s", "i=4096,r={r},s={s}"),
        ("m= in front", "m=x,r={r},s={s},i=4096"), ("m= behind it", "r={r},s={s},i=4096,m=x"),
        ("m= behind an extension", "r={r},s={s},i=4096,x=y,m=x"), ("m= in the middle", "r={r},m=x,s={s},i=4096"),
        ("an extension in front", "x=y,r={r},s={s},i=4096"),
        ("nothing", ""), ("a comma", ","), ("capital letters", "R={r},S={s},I=4096"),
                ("a proof", "v=" + encode(bytes(32))),
        ("GS2", "n,,n=alice,r={ours}"), ("its own first message", "n=alice,r={ours}"),
    )
    for what, text in messages:
        yield first("sends a first message with", text, variant=what)
    for what in (",", ",,x=y", ",x", ",x=", ",=y", ",1=y", ",xx=y", ",x y", ",\u00e4=y", ",x=y,"):
        yield first("sends a malformed extension:", "r={r},s={s},i=4096" + what, variant=f"`{what}`")
    yield first("answers with an error before the proof", "e=unknown-user", "SASL")
    for what in ("x=y", "x=y,z=1", "x==", "X=\u00e4\u00f6", "x=m=1"):
        yield fine("adds a well-formed extension:", lambda c, what=what: conclude(c, c.proved(first="," + what)),
                   variant=f"`{what}`")
    for what, text, error in (
            ("ours alone", "r={ours},s={s},i=4096", "NONCE"), ("another", "r=fyko+d2lbbFgONRv9qkxdawL,s={s},i=4096",
                                                               "NONCE"),
            ("ours behind another", "r=x{ours}SeRvEr,s={s},i=4096", "NONCE"),
            ("a part of ours", lambda r: f"r={r[:20]}SeRvEr,s={SALT},i=4096", "NONCE"),
            ("ours in other case", lambda r: f"r={r.swapcase()},s={SALT},i=4096", "NONCE"),
            ("ours and a space", "r={ours} x,s={s},i=4096", "SASL"), ("ours and a tab", "r={ours}\tx,s={s},i=4096",
                                                                      "SASL"),
            ("ours and NUL", "r={ours}\0x,s={s},i=4096", "SASL"), ("ours and DEL", "r={ours}\x7fx,s={s},i=4096",
                                                                   "SASL"),
            ("ours and ä", "r={ours}\u00e4,s={s},i=4096", "SASL"), ("ours and a comma", "r={ours},x,s={s},i=4096",
                                                                    "SASL")):
        yield first("sends a nonce that is", text, error, variant=what)


# ---- base64 and size -----------------------------------------------------------------------------------


def encodings():
    def salted(what, salt, error="SASL"):
        def script(c):
            scram = c.exchange()
            c.challenge(f"r={scram.ours}SeRvEr,s={salt},i=4096")
            c.rest()
        return case("sends as salt, which is not base64:", script, error, AUTH + REFUSED, variant=what)

    for what, salt in (("no padding", "eA"), ("too much padding", "eA==="), ("padding alone", "=="), ("one character",
                                                                                                      "e"),
                       ("padding in the middle", "eA==eA=="), ("a space", "eA= ="), ("the alphabet for URLs", "_-__"),
                       ("an unused bit set", "eB=="), ("a NUL", "eA=\0")):
        yield salted(what, salt)

    def raw(title, make, error="SASL", end=REFUSED, **more):
        def script(c):
            scram = c.exchange()
            c.send(make(scram))
            c.rest()
        return case(title, script, error, AUTH + end, **more)

    def text(scram):
        return encode(f"r={scram.ours}SeRvEr,s={SALT},i=4096")

    def element(inner, name="challenge", ns=SASL):
        return f"<{name} xmlns='{ns}'>{inner}</{name}>"

    for what, change in (("without padding", lambda t: (t.rstrip("=") if t[-1] == "=" else t + "=")),
                         ("with a space", lambda t: t[:8] + " " + t[8:]), ("with a line break",
                                                                           lambda t: t[:8] + "\n" + t[8:]),
                         ("with a character of no base64", lambda t: "*" + t[1:]), ("cut short", lambda t: t[:-3]),
                         ("twice", lambda t: t + t)):
        yield raw("sends its first message", lambda s, change=change: element(change(text(s))), variant=what)
    for what, inner in (("nothing", ""), ("=", "=")):
        yield raw("sends as its first message", lambda s, inner=inner: element(inner), variant=what)
    yield raw("challenges in a namespace of its own", lambda s: element(text(s), ns="urn:example:sasl"), "UNEXPECTED",
              UNASKED)
    yield raw("challenges by another name", lambda s: element(text(s), "chalenge"), "UNEXPECTED", UNASKED)
    yield raw("challenges twice in a row", lambda s: element(text(s)) * 2, "UNEXPECTED", UNASKED)
    yield raw("lets in behind its challenge, unasked",
              lambda s: element(text(s)) + element(encode("v=" + encode(bytes(32))), "success"), "UNEXPECTED", UNASKED)
    yield raw("sends a challenge of 20 KB", lambda s: element(base64.b64encode(bytes(15000)).decode()), "XML_LIMIT",
              TOLD)
    yield raw("asks for the roster during the login",
              lambda s: "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/>"
              "</iq>", "UNEXPECTED", UNASKED)
    yield fine("has a salt of 1,000 bytes", lambda c: conclude(c, c.proved(salt=bytes(range(250)) * 4)))
    yield fine("has a salt of one byte", lambda c: conclude(c, c.proved(salt=b"x")))
    yield fine("asks for 100,000 iterations", lambda c: conclude(c, c.proved(iterations=100000)))


# ---- What is offered -----------------------------------------------------------------------------------


def chose(mechanism, flag):
    return f"{ASKED}, auth {mechanism} {flag}"


def offers():
    def offered(title, names, left, answer="not-authorized", more="", **rest):
        """The server takes the client's choice and refuses: only the choice matters."""
        def script(c):
            c.encrypt()
            c.offer(*names, more=more)
            c.fail(answer)
            c.rest()
        return case(title, script, "AUTH", left + LEAVES, condition=answer, **rest)

    def refused(title, error, features, end, **more):
        def script(c):
            c.encrypt()
            c.header()
            c.features(features)
            c.rest()
        return case(title, script, error, ASKED + end, **more)

    def names(*given):
        return f"<mechanisms xmlns='{SASL}'>" + "".join(f"<mechanism>{n}</mechanism>" for n in given) + "</mechanisms>"

    for given in ((), ("PLAIN",), ("LOGIN", "CRAM-MD5", "DIGEST-MD5"), ("X-OAUTH2", "OAUTHBEARER"),
                  ("ANONYMOUS", "EXTERNAL"),
                  ("GS2-KRB5-PLUS", "GSSAPI"), ("scram-sha-256",), (" SCRAM-SHA-256",), ("SCRAM-SHA-256 SCRAM-SHA-1",),
                  ("SCRAM-SHA3-512", "SCRAM-SHA-224")):
        yield refused("offers only", "MECHANISM", names(*given), LEAVES,
                      variant=f"`{' '.join(given)}`" if given else "nothing")
    yield refused("offers mechanisms in a namespace of its own", "MECHANISM",
                  names("SCRAM-SHA-256").replace(SASL, "urn:example:sasl"), LEAVES)
    yield refused("offers TLS again and nothing else", "MECHANISM",
                  "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>", LEAVES)
    yield refused("offers two lists of mechanisms", "UNEXPECTED", names("SCRAM-SHA-256") + names("SCRAM-SHA-1"),
                  UNASKED)
    yield refused("offers two lists of channel bindings", "UNEXPECTED",
                  names(*PLUS) + listed("tls-unique") + listed("tls-exporter"), UNASKED)

    yield offered("offers PLAIN beside SCRAM-SHA-1", ["PLAIN", "SCRAM-SHA-1"], chose("SCRAM-SHA-1", "y"))
    yield offered("offers the same mechanism twice", ["SCRAM-SHA-256", "SCRAM-SHA-256"], AUTH)
    yield offered("took every -PLUS away", ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"], chose("SCRAM-SHA-512",
                                                                                                    "y"))
    yield offered("left only the weakest -PLUS", ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"],
                  chose("SCRAM-SHA-1-PLUS", "tls-unique"))
    yield offered("left only a -PLUS that nobody has", ["SCRAM-SHA-256", "SCRAM-SHA3-512-PLUS"], AUTH)
    yield offered("lists tls-server-end-point alone", PLUS, chose("SCRAM-SHA-256-PLUS", "tls-server-end-point"),
                  more=listed("tls-server-end-point"))
    yield offered("lists no bindings", PLUS, chose("SCRAM-SHA-256-PLUS", "tls-unique"))
    yield offered("has no -PLUS, and the client may use no other mechanism", ["SCRAM-SHA-1"],
                  chose("SCRAM-SHA-1", "n"), options=["--mechanism", "SCRAM-SHA-1"])

    # [XEP-0440 3] rules 5 and 6
    for what, bindings in (("tls-unique", ["tls-unique"]), ("tls-exporter", ["tls-exporter"]),
                           ("one that nobody has", ["x"])):
        yield refused("took every -PLUS away, and lists still", "DOWNGRADE", names("SCRAM-SHA-256") + listed(*bindings),
                      TOLD,
                      variant=what)
    foreign = (("tls-exporter", listed("tls-exporter")), ("one that nobody has", listed("x")),
               ("nothing", listed()), ("an element of its own", f"<sasl-channel-binding xmlns='{BINDINGS}'>"
                                       "<x xmlns='urn:example:x'/></sasl-channel-binding>"))

    def unproved(more):
        def script(c):
            scram = c.exchange(*PLUS, more=more)
            c.challenge(scram.first())
            c.rest()
        return script

    for what, more in foreign:
        yield case("has -PLUS, and lists as channel bindings only", unproved(more), "DOWNGRADE",
                   chose("SCRAM-SHA-256", "n") + TOLD, variant=what)

    # A man in the middle who has a certificate for the domain: his TLS is not the server's.
    def relayed(c):
        scram = c.exchange(*PLUS)
        c.challenge(scram.first())
        final = c.response()
        scram.check(final, c.binding(scram.gs2))
        # The server that he talks to has another channel, and says what follows from that.
        c.success("e=channel-bindings-dont-match")
        c.rest()

    yield case("is a relay with a valid certificate, found out by the binding", relayed, "AUTH",
               chose("SCRAM-SHA-256-PLUS", "tls-unique") + ", proof, end", condition="channel-bindings-dont-match")


# ---- What is vouched for [XEP-0474] --------------------------------------------------------------------


def vouched():
    def lists(title, names, bindings, h, error, choice, **more):
        """h: what follows in the challenge."""
        def script(c):
            scram = c.exchange(*names, more=listed(*bindings) if bindings else "")
            c.challenge(scram.first(more=h))
            if error is None:
                scram.check(c.response(), c.binding(scram.gs2))
                conclude(c, scram)
            c.rest()
        if error:
            return case(title, script, error, choice + (TOLD if error == "DOWNGRADE" else REFUSED), **more)
        return fine(title, script, choice + ", proof, header, bind, end", **more)

    both = ["tls-unique", "tls-server-end-point"]
    plus = chose("SCRAM-SHA-256-PLUS", "tls-unique")
    one = ["SCRAM-SHA-256"]
    yield lists("vouches for its offer", OFFER, both, ",h=" + vouch(OFFER, both), None, plus)
    yield lists("vouches for its offer, and lists no bindings", OFFER, None, ",h=" + vouch(OFFER, None), None, plus)
    yield lists("vouches for an offer with a mechanism twice", one * 2, None, ",h=" + vouch(one * 2, None), None, AUTH)
    yield lists("vouches for bindings of which the client has none", PLUS, ["tls-exporter"],
                ",h=" + vouch(PLUS, ["tls-exporter"]), None, chose("SCRAM-SHA-256", "n"))
    tampered = (
        ("-PLUS", one, None, vouch(PLUS, None), AUTH), ("a stronger hash", one, None, vouch([*one, "SCRAM-SHA-512"],
                                                                                            None), AUTH),
        ("PLAIN", one, None, vouch([*one, "PLAIN"], None), AUTH),
        ("a binding", PLUS, ["tls-server-end-point"], vouch(PLUS, both), chose("SCRAM-SHA-256-PLUS",
                                                                               "tls-server-end-point")),
        ("the list of bindings", PLUS, None, vouch(PLUS, both), plus),
        ("every binding the client has", PLUS, ["tls-exporter"], vouch(PLUS, ["tls-exporter", "tls-unique"]),
         chose("SCRAM-SHA-256", "n")))
    for what, names, bindings, h, choice in tampered:
        yield lists("vouches for an offer from which somebody took", names, bindings, ",h=" + h, "DOWNGRADE", choice,
                    variant=what)
    right = vouch(one, None)
    for what, h in (("another digest", encode(bytes(32))), ("a short one", encode(base64.b64decode(right)[:20])),
                    ("SHA-1", vouch(one, None, "SCRAM-SHA-1")), ("no base64", "*"), ("no padding", right.rstrip("=")),
                    ("another case", right.swapcase()), ("one that goes on", right + "x")):
        yield lists("vouches for its offer with", one, None, ",h=" + h, "DOWNGRADE", AUTH, variant=what)
    yield lists("vouches for its offer with", one, None, ",h=", "SASL", AUTH, variant="nothing")
    yield lists("vouches for its offer twice", one, None, f",h={right},h={right}", "SASL", AUTH)
