# SPDX-License-Identifier: MIT
"""What has left a client, in words: every byte that the server got is one of them, or the case fails. Secrets
are looked for in whatever form they might have."""

import base64
import hashlib
import hmac
import re
from xml.etree import ElementTree

from fake import BIND, HASHES, SASL, STREAMS, TLS
from harness import Failure
from hostile_tls import ALERTS

ACCOUNT = "alice@a.test"
HANDSHAKE = ["ClientHello", "ClientKeyExchange", "ChangeCipherSpec", "Finished"]  # "TLS" for short
CLIENT = "jabber:client"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
SASL2 = "urn:xmpp:sasl:2"
UPGRADE = "urn:xmpp:sasl:upgrade:0"
FAST = "urn:xmpp:fast:0"
BIND2 = "urn:xmpp:bind:0"
SM = "urn:xmpp:sm:3"
UUID4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# What may go with the first message of a login.
ALONG = {f"{{{FAST}}}request-token": "token wanted", f"{{{SM}}}resume": "resume", f"{{{BIND2}}}bind": "bind"}
SCRAM_UPGRADE = "urn:xmpp:scram-upgrade:0"

HEADER = ("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
          " version='1.0' xml:lang='en' to='a.test'{}>")
PLAIN_HEADER, INNER_HEADER = HEADER.format(""), HEADER.format(f" from='{ACCOUNT}'")
END = "</stream:stream>"
ELEMENT = re.compile(r"<([a-z:-]+)(?=[\s/>])[^<>]*?(?:/>|>.*?</\1>)", re.S)


def base64_bytes(text, what):
    try:
        return base64.b64decode(text or "", validate=True)
    except ValueError as error:
        raise Failure(f"{what}: not base64: {text!r}") from error


class Reader:
    """Takes a session apart. decoded: what was found in base64."""

    def __init__(self):
        self.decoded = []

    def words(self, text, header):
        """Offset and word of each thing in the text; header is what a stream has to begin with here."""
        found, at = [], 0
        while at < len(text):
            if text.startswith(header, at):
                word, end = "header", at + len(header)
            elif text.startswith(END, at):
                word, end = "end", at + len(END)
            else:
                match = ELEMENT.match(text, at)
                if not match:
                    raise Failure(f"the client sent {text[at:at + 300]!r}")
                word, end = self.element(match.group()), match.end()
            found.append((at, word))
            at = end
        return found

    def element(self, text):
        """The word for a whole element."""
        try:
            root = ElementTree.fromstring(f"<x xmlns='{CLIENT}' xmlns:stream='http://etherx.jabber.org/streams'>"
                                          f"{text}</x>")[0]
        except ElementTree.ParseError as error:
            raise Failure(f"the client sent {text!r}: {error}") from error
        ns, name = root.tag[1:].split("}")
        if (ns, name) == (TLS, "starttls") and not root.attrib and not len(root):
            return "starttls"
        if (ns, name) == (SASL, "auth"):
            return self.auth(root, root)
        if name == "response" and ns in (SASL, SASL2):
            return self.response(root)
        if ns == SASL2:
            return self.sasl2(root, name)
        if ns == SM and name in ("enable", "resume", "r", "a") and not len(root):
            return {"r": "ask", "a": f"ack {root.get('h')}", "resume": f"resume {root.get('h')}"}.get(name, name)
        if (ns, name) == ("http://etherx.jabber.org/streams", "error") and len(root):
            return "error " + " ".join(e.tag.removeprefix(f"{{{STREAMS}}}").removeprefix(f"{{{SM}}}") for e in root)
        if ns == CLIENT and name == "iq":
            return self.iq(root)
        if ns == CLIENT and name in ("message", "presence"):
            return name
        raise Failure(f"the client sent {text!r}")

    def auth(self, root, initial):
        data = base64_bytes(initial.text, "auth")
        self.decoded.append(data)
        match = re.fullmatch(r"(n|y|p=([a-z-]+)),,n=alice,r=[!-+\--~]{24}", data.decode("latin-1"))
        if not match:
            raise Failure(f"auth: {data!r}")
        self.gs2 = match.group(1) + ",,"
        return f"auth {root.get('mechanism')} {match.group(2) or match.group(1)}"

    def sasl2(self, root, name):
        """[XEP-0388], [XEP-0480]"""
        agent = root.find(f"{{{SASL2}}}user-agent")
        if agent is not None:
            if not UUID4.fullmatch(agent.get("id")):
                raise Failure(f"user-agent: {agent.get('id')}")
            root.remove(agent)
        along = "".join(f" and {ALONG[child.tag]}" for child in root if child.tag in ALONG)
        if root.find(f"{{{FAST}}}fast") is not None:
            return self.token(root) + along
        for child in [child for child in root if child.tag in ALONG]:
            root.remove(child)
        children = [child.tag.removeprefix(f"{{{SASL2}}}") for child in root]
        upgrade = root.find(f"{{{UPGRADE}}}upgrade")
        if name == "authenticate" and children == ["initial-response"] + ([upgrade.tag] if upgrade is not None else []):
            return self.auth(root, root[0]) + (f" and {upgrade.text}" if upgrade is not None else "") + along
        if name == "next" and not children:
            return f"next {root.get('task')}"
        if name == "task-data" and children == [f"{{{SCRAM_UPGRADE}}}hash"]:
            self.decoded.append(base64_bytes(root[0].text, "task-data"))
            return "salted password"
        raise Failure(f"SASL2: {ElementTree.tostring(root)}")

    def token(self, root):
        """[XEP-0484]: the name and a hash of the token."""
        data = base64_bytes(root[0].text, "token")
        self.decoded.append(data)
        if not data.startswith(b"alice\0") or len(data) != len(b"alice\0") + 32:
            raise Failure(f"token: {data!r}")
        return f"auth {root.get('mechanism')} token"

    def response(self, root):
        data = base64_bytes(root.text, "response")
        self.decoded.append(data)
        if not data:
            return "empty response"
        match = re.fullmatch(r"c=([^,]*),r=[!-+\--~]+,p=([^,]*)", data.decode("latin-1"))
        if not match or not base64_bytes(match.group(1), "c=").startswith(self.gs2.encode()):
            raise Failure(f"response: {data!r}")
        self.decoded += [base64_bytes(part, "response") for part in match.groups()]
        return "proof"

    @staticmethod
    def iq(root):
        kind = root.get("type")
        if kind == "error":
            return "iq error " + root.find("{*}error")[0].tag.removeprefix(f"{{{STANZAS}}}")
        payload = root[0].tag[1:].split("}") if len(root) else None
        if kind == "set" and payload == [BIND, "bind"]:
            return "bind"
        return f"iq {kind}" + (f" {payload[1]}" if payload else "")


def tls_words(log, reader):
    """Of the log of hostile_tls.Tls. close_notify is left out: it tells nothing."""
    text, marks = "", []
    for kind, value in log:
        if kind == "sealed":
            raise Failure(f"the client sent {value}")
        if kind == "data":
            text += value.decode()
        elif value != "close_notify":
            marks.append((len(text) - 0.5, value if kind == "message" else f"alert {value}"))
    return [word for _, word in sorted(marks + reader.words(text, INNER_HEADER), key=lambda mark: mark[0])]


def raw_records(data):
    """TLS records in the clear, of a handshake that the script did not take part in."""
    words = []
    while data:
        length = int.from_bytes(data[3:5], "big")
        if data[:3] not in (b"\x16\x03\x01", b"\x16\x03\x03", b"\x15\x03\x03",
                            b"\x15\x03\x01") or len(data) < 5 + length:
            raise Failure(f"the client sent {data!r}")
        if data[0] == 22 and data[5] == 1:
            words.append("ClientHello")
        elif data[0] == 21:
            words.append(f"alert {ALERTS[data[6]]}")
        else:
            raise Failure(f"the client sent {data!r}")
        data = data[5 + length:]
    return words


def short(words):
    """A whole handshake is one word."""
    for at in range(len(words) - len(HANDSHAKE) + 1):
        if words[at:at + len(HANDSHAKE)] == HANDSHAKE:
            return short(words[:at] + ["TLS"] + words[at + len(HANDSHAKE):])
    return words


def left(connection, password="secret"):
    """The words, joined. Fails if something else came, or a secret."""
    reader = Reader()
    begin = re.search(rb"[\x15\x16]\x03[\x00-\x03]", connection.plain)
    cut = begin.start() if begin else len(connection.plain)
    words = [word for _, word in reader.words(connection.plain[:cut].decode(), PLAIN_HEADER)]
    words += raw_records(connection.plain[cut:])
    if connection.wire:
        words += tls_words(connection.wire.log, reader)
    elif connection.secure:
        words += ["TLS"] + [word for _, word in reader.words(connection.clear.decode(), INNER_HEADER)]
    if b"alice" in connection.plain:
        raise Failure("the client named the account in the clear")
    everything = [connection.plain, connection.clear, *reader.decoded]
    for name, secret in [*secrets(password, connection.challenges), *tokens(connection)]:
        if any(form in data for form in forms(secret) for data in everything):
            raise Failure(f"the {name} left the client")
    return ", ".join(short(words))


def untold(text, connection, password="secret"):
    """What a client says, traces included, tells nothing that could be of use."""
    for name, secret in [*secrets(password, connection.challenges + connection.keys), *tokens(connection)]:
        if any(form in text for form in forms(secret)):
            raise Failure(f"the client told the {name}")
    for payload in re.findall(rb"<(?:auth|response|initial-response|hash)\b[^>]*>([^<]+)<", connection.clear):
        if payload in text:
            raise Failure(f"the client told what it sent: {payload!r}")


def secrets(password, challenges):
    """What must never leave, by name. challenges: mechanism, salt and count of each that was sent."""
    yield "password", password.encode()
    for mechanism, salt, iterations in challenges:
        name = HASHES[mechanism.removesuffix("-PLUS")]
        salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, iterations)
        yield "salted password", salted
        for key in ("Client Key", "Server Key"):
            yield key, hmac.digest(salted, key.encode(), name)


def tokens(connection):
    return [("token", token) for token in connection.tokens]


def forms(secret):
    """As it is, in hexadecimal, and inside base64 wherever it may begin."""
    yield secret
    yield secret.hex().encode()
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + secret)
        yield encoded[(0, 2, 3)[shift]:len(encoded) - (4 if (len(secret) + shift) % 3 else 0)]
