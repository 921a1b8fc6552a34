# SPDX-License-Identifier: MIT
"""SASL2 [XEP-0388] and tasks that hand a server the key it has not got [XEP-0480]: that key is as good as the
password, so it goes only to a server that has proved to know the password, over a channel bound to it."""

import base64
import re

from fake import BIND, BINDING, Scram, encode, listed, mechanisms, vouch
from hostile_case import ASKED, AUTHENTICATED, LEAVES, REFUSED, SECURED, Case
from hostile_left import SASL2, SCRAM_UPGRADE, UPGRADE

BINDINGS = listed("tls-server-end-point", "tls-unique")
PLUS = ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"]
BOUND = "auth SCRAM-SHA-1-PLUS tls-unique"
TASK = "UPGR-SCRAM-SHA-256"
UNASKED = ", error unsupported-stanza-type, end"
TOLD = ", error policy-violation, end"


def authentication(names, upgrades=()):
    return f"<authentication xmlns='{SASL2}'>" + "".join(f"<mechanism>{n}</mechanism>" for n in names) + \
        "".join(f"<upgrade xmlns='{UPGRADE}'>{u}</upgrade>" for u in upgrades) + "</authentication>"


def begin(c, names=PLUS, upgrades=(), more=BINDINGS, **keys):
    """Up to the client's first message; the exchange that it begins."""
    c.encrypt()
    c.header()
    c.features(authentication(names, upgrades) + more)
    match = c.expect(r"<authenticate\s[^>]*mechanism=['\"]([^'\"]*)['\"][^>]*>"
                     r"<initial-response>([^<]*)<.*?</authenticate>")
    c.mechanism = match.group(1).decode()
    scram = Scram(c.mechanism, base64.b64decode(match.group(2)).decode(), **keys)
    c.challenges.append((c.mechanism, scram.salt, scram.iterations))
    return scram


def element(name, inner):
    return f"<{name} xmlns='{SASL2}'>{inner}</{name}>"


def proved(c, *arguments, first="", **more):
    """The same up to the client's proof, which is right."""
    scram = begin(c, *arguments, **more)
    c.send(element("challenge", encode(scram.first(more=first))))
    scram.check(c.response(), c.binding(scram.gs2))
    return scram


def verdict(name, text, more=""):
    """<success/> or <continue/>."""
    data = "" if text is None else f"<additional-data>{encode(text)}</additional-data>"
    return element(name, data + more + "<authorization-identifier>alice@a.test</authorization-identifier>" *
                   (name == "success"))


def right(scram):
    return "v=" + encode(scram.signature())


def tasks(*names):
    return "<tasks>" + "".join(f"<task>{n}</task>" for n in names) + "</tasks>"


def bind(c):
    """What follows a login: features at once, and no new stream."""
    request = c.expect(r"<iq\s([^>]*)>.*?</iq>").group(1)
    number = re.search(rb"id=['\"]([^'\"]*)", request).group(1).decode()
    c.send(f"<iq type='result' id='{number}'><bind xmlns='{BIND}'><jid>alice@a.test/fake</jid></bind></iq>")
    c.expect("</stream:stream>")
    c.send("</stream:stream>")


FEATURES = f"<stream:features>{BINDING}</stream:features>"


def cases():
    yield from logins()
    yield from upgrades()


def case(title, script, error, left, *, reached=SECURED, **more):
    return Case("SASL2", title, script, error, ASKED + ", " + left, reached=reached, **more)


# ---- Logins ------------------------------------------------------------------------------------------------


def logins():
    def after(make):
        def script(c):
            scram = proved(c)
            c.send(make(scram))
            c.rest()
        return script

    whole = BOUND + ", proof, bind, end"
    yield case("lets in, features at once", lambda c: (
        s := proved(c), c.send(verdict("success", right(s)) + FEATURES), bind(c)), None, whole)
    yield case("lets in, features later", lambda c: (
        s := proved(c), c.send(verdict("success", right(s))), c.send(FEATURES), bind(c)), None, whole)
    for what, text in (("nothing", None), ("zeros", "v=" + encode(bytes(20))), ("v= and nothing", "v="),
                       ("a nonce", "r=x")):
        for name in ("success", "continue"):
            yield case(f"sends <{name}/>, and proves itself with", after(lambda s, name=name, text=text: verdict(
                name, text, tasks(TASK) * (name == "continue"))), "SERVER_PROOF", BOUND + ", proof" + REFUSED,
                       variant=what)
    yield case("lets in at once", lambda c: (begin(c), c.send(verdict("success", None)), c.rest()), "SERVER_PROOF",
               BOUND + REFUSED)
    yield case("goes on at once", lambda c: (begin(c), c.send(verdict("continue", None, tasks(TASK))), c.rest()),
               "SERVER_PROOF",
               BOUND + REFUSED)
    yield case("lets in as RFC 6120 has it", after(lambda s: f"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
                                                   f"{encode(right(s))}</success>"), "UNEXPECTED",
               BOUND + ", proof" + UNASKED)
    yield case("wants a task that nobody asked for", after(lambda s: verdict("continue", right(s),
                                                                             tasks("HOTP-EXAMPLE"))), "AUTH",
               BOUND + ", proof, end", condition="HOTP-EXAMPLE")
    yield case("lets in, and offers nothing", after(lambda s: verdict("success", right(s)) + "<stream:features/>"),
               "FEATURES",
               BOUND + ", proof, error unsupported-feature, end", reached=AUTHENTICATED)
    yield case("lets in twice", after(lambda s: verdict("success", right(s)) * 2), "UNEXPECTED",
               BOUND + ", proof" + UNASKED,
               reached=AUTHENTICATED)

    def refused(title, features, error, end):
        return case(title, lambda c: (c.encrypt(), c.header(), c.features(features), c.rest()), error,
                    end.removeprefix(", "))

    # [XEP-0440 3] rules 4 to 6
    yield refused("has -PLUS, and lists no bindings", authentication(PLUS), "DOWNGRADE", TOLD)
    yield refused("has -PLUS, and an empty list of bindings", authentication(PLUS) + listed(), "DOWNGRADE", TOLD)
    yield refused("took every -PLUS away, and lists bindings still", authentication(["SCRAM-SHA-1"]) + BINDINGS,
                  "DOWNGRADE", TOLD)
    yield refused("offers mechanisms in the old list alone count for nothing", authentication(["X-OTHER"]) +
                  mechanisms("SCRAM-SHA-1"), "MECHANISM", LEAVES)
    yield refused("offers two lists of mechanisms", authentication(PLUS) * 2 + BINDINGS, "UNEXPECTED", UNASKED)

    def vouched(names, what):
        """The list that counts is that of the protocol in use."""
        def script(c):
            scram = begin(c, names, more=BINDINGS + mechanisms("PLAIN", "SCRAM-SHA-1"))
            c.send(element("challenge", encode(scram.first(more=",h=" + vouch(what, ["tls-server-end-point",
                                                                                     "tls-unique"], "SCRAM-SHA-1")))))
            c.rest()
        return script

    yield case("vouches for another offer than it made", vouched(PLUS, ["SCRAM-SHA-256-PLUS", *PLUS]), "DOWNGRADE",
               BOUND + TOLD)
    yield case("vouches for the old list", vouched(PLUS, ["PLAIN", "SCRAM-SHA-1"]), "DOWNGRADE", BOUND + TOLD)


# ---- Upgrades ----------------------------------------------------------------------------------------------


def salt(text="bmV3IHNhbHQ=", iterations="4096"):
    return element("task-data", f"<salt xmlns='{SCRAM_UPGRADE}' iterations='{iterations}'>{text}</salt>")


def upgrades():
    asked = f"{BOUND} and {TASK}, proof"
    going = f"{asked}, next {TASK}"

    def upgrade(make, leave=False, **more):
        """Script: up to the client's <next/>, and then what make sends."""
        def script(c):
            scram = proved(c, upgrades=[TASK], **more)
            # Of this key nothing may be seen unless it was asked for in order.
            (c.keys if leave else c.challenges).append(("SCRAM-SHA-256", b"new salt", 4096))
            c.send(verdict("continue", right(scram), tasks(TASK)))
            c.expect(r"<next\s[^>]*/>")
            make(c)
            c.rest()
        return script

    def honest(c):
        c.send(salt())
        hashed = c.expect(r"<task-data [^>]*><hash [^>]*>([^<]*)</hash></task-data>").group(1)
        if base64.b64decode(hashed) != Scram("SCRAM-SHA-256", "n,,n=alice,r=x", salt=b"new salt").salted:
            raise ValueError("the key is wrong")
        c.send(verdict("success", None) + FEATURES)
        bind(c)

    yield case("is given a key that it has not, over a bound channel", upgrade(honest, True), None,
               going + ", salted password, bind, end")

    # Without a binding, a relay with a certificate for the domain would get a key that lasts.
    def relay(c):
        scram = begin(c, ["SCRAM-SHA-1"], [TASK], more="")
        c.challenges.append(("SCRAM-SHA-256", b"new salt", 4096))
        c.send(element("challenge", encode(scram.first())))
        scram.check(c.response(), c.binding(scram.gs2))
        c.send(verdict("success", right(scram)) + FEATURES)
        bind(c)

    yield case("is a relay that asks for a key over a channel that is not bound", relay, None,
               "auth SCRAM-SHA-1 y, proof, bind, end")

    def unproved(text):
        def script(c):
            scram = proved(c, upgrades=[TASK])
            c.challenges.append(("SCRAM-SHA-256", b"new salt", 4096))
            c.send(verdict("continue", text(scram), tasks(TASK)) + salt())
            c.rest()
        return script

    for what, text in (("nothing", lambda s: None), ("zeros", lambda s: "v=" + encode(bytes(20)))):
        yield case("wants a key, and proves itself with", unproved(text), "SERVER_PROOF", asked + REFUSED, variant=what)
    for what, names in (("another key", ["UPGR-SCRAM-SHA-512"]), ("a weaker key", ["UPGR-SCRAM-SHA-1"]),
                        ("nothing", [])):
        yield case("was asked for a task, and wants", lambda c, names=names: (
            s := proved(c, upgrades=[TASK]), c.send(verdict("continue", right(s), tasks(*names))), c.rest()), "AUTH",
                   asked + LEAVES, variant=what, condition=names[0] if names else None)
    for count in ("", "0", "1", "4095", "100001", 2**31, 2**32 + 4096, "-1", "x"):
        yield case("wants a key with a count of", upgrade(lambda c, count=count: c.send(salt(iterations=count))),
                   "ITERATIONS",
                   going + REFUSED, variant=f"`{count}`" if count == "" else count)
    for what, text in (("nothing", ""), ("no base64", "*"), ("base64 without its padding", "eA")):
        yield case("wants a key with a salt that is", upgrade(lambda c, text=text: c.send(salt(text))), "SASL",
                   going + REFUSED,
                   variant=what)
    yield case("wants a key, and gives no salt", upgrade(lambda c: c.send(element("task-data", ""))), "UNEXPECTED",
               going + UNASKED)
    yield case("wants a key with a salt of a namespace of its own",
               upgrade(lambda c: c.send(salt().replace(SCRAM_UPGRADE, "urn:x"))),
               "UNEXPECTED", going + UNASKED)
    yield case("gives a salt before it is asked", lambda c: (
        s := proved(c, upgrades=[TASK]), c.send(salt()), c.rest()), "UNEXPECTED", asked + UNASKED)
    yield case("gives a salt, and nothing was offered", lambda c: (s := proved(c), c.send(salt()), c.rest()),
               "UNEXPECTED",
               BOUND + ", proof" + UNASKED)

    def more_keys(c):
        c.send(salt())
        c.expect("</task-data>")
        c.challenges.append(("SCRAM-SHA-256", b"other salt", 4096))
        c.send(salt(encode("other salt")))

    yield case("wants a second key for the first", upgrade(more_keys, True), "UNEXPECTED",
               going + ", salted password" + UNASKED)
    yield case("wants the task again", upgrade(lambda c: (
        c.send(salt()), c.expect("</task-data>"), c.send(verdict("continue", None, tasks(TASK)))), True), "AUTH",
               going + ", salted password, end", condition=TASK)
    yield case("offers keys that are no stronger, or unknown", lambda c: (
        s := proved(c, ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"], ["UPGR-SCRAM-SHA-1", TASK, "UPGR-SCRAM-SHA3-512"]),
        c.send(verdict("success", right(s)) + FEATURES), bind(c)), None,
               "auth SCRAM-SHA-256-PLUS tls-unique, proof, bind, end")
