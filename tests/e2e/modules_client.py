# SPDX-License-Identifier: MIT
"""A client of few lines that has nothing of xmpp_tiny: it shows that a server does what the tests of
xmpp_tiny take for granted. SCRAM by legacy SASL and SASL2, tasks, tokens; TLS 1.2."""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import xml.etree.ElementTree as ElementTree

from harness import PATIENCE, Failure, same

STREAM = "http://etherx.jabber.org/streams"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
SASL2 = "urn:xmpp:sasl:2"
CB = "urn:xmpp:sasl-cb:0"
UPGRADE = "urn:xmpp:sasl:upgrade:0"
SCRAM_UPGRADE = "urn:xmpp:scram-upgrade:0"
FAST = "urn:xmpp:fast:0"
SCRAM = ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]  # of this server
LISTS = {SASL: "mechanisms", SASL2: "authentication"}


def encode(data):
    return base64.b64encode(data).decode()


def hash_of(mechanism):
    return "sha" + mechanism.split("-")[2]


class Raw:
    """Connected and secure, with the features told, when it is made."""

    def __init__(self, server, host, user="alice", direct=False):
        self.host, self.user = host, user
        port = server.direct if direct else server.port
        self.socket = socket.create_connection((server.address, port), PATIENCE)
        if not direct:
            self.open()
            self.send(f"<starttls xmlns='{TLS}'/>")
            self.read(TLS, "proceed")
        context = ssl.create_default_context(cafile=server.ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self.features = self.open()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    # -- stream --

    def send(self, text):
        self.socket.sendall(text.encode())

    def open(self):
        self.parser, self.depth, self.ready = ElementTree.XMLPullParser(("start", "end")), 0, []
        self.send(f"<stream:stream xmlns='jabber:client' xmlns:stream='{STREAM}' version='1.0' to='{self.host}' "
                  f"from='{self.user}@{self.host}'>")
        return self.read(STREAM, "features")

    def read(self, namespace=None, name=None):
        """The next element below the stream; one of that name, if one is given."""
        while not self.ready:
            data = self.socket.recv(65536)
            if not data:
                raise Failure(f"the server closed the connection instead of sending {name}")
            self.parser.feed(data)
            for kind, element in self.parser.read_events():
                self.depth += 1 if kind == "start" else -1
                if kind == "end" and self.depth == 1:
                    self.ready.append(element)
        element = self.ready.pop(0)
        if name and element.tag != f"{{{namespace}}}{name}":
            raise Failure(f"got {ElementTree.tostring(element).decode()}, not {name}")
        return element

    # -- features --

    def mechanisms(self, namespace):
        path = f"{{{namespace}}}{LISTS[namespace]}/{{{namespace}}}mechanism"
        return sorted(e.text for e in self.features.findall(path))

    def bindings(self):
        return sorted(e.get("type") for e in self.features.findall(f"{{{CB}}}sasl-channel-binding/*"))

    def upgrades(self):
        return [e.text for e in self.features.findall(f"{{{SASL2}}}authentication/{{{UPGRADE}}}upgrade")]

    def offer_hash(self, namespace, mechanism):
        """What h= has to be [XEP-0474 6.1]."""
        offer = "\x1e".join(self.mechanisms(namespace))
        if self.bindings():
            offer += "\x1f" + "\x1e".join(self.bindings())
        return encode(hashlib.new(hash_of(mechanism), offer.encode()).digest())

    def binding_data(self, binding):
        if binding == "tls-unique":
            return self.socket.get_channel_binding("tls-unique")
        if binding == "tls-server-end-point":
            return hashlib.sha256(self.socket.getpeercert(True)).digest()
        return b""

    # -- authentication --

    def scram(self, namespace, mechanism, binding=None, password="secret", inside=""):
        """Returns the attributes of the challenge, and the element that ends the exchange."""
        name = hash_of(mechanism)
        gs2 = f"p={binding},," if binding else "n,,"
        bare = f"n={self.user},r={encode(os.urandom(18))}"
        first = encode((gs2 + bare).encode())
        if namespace == SASL:
            self.send(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>")
        else:
            self.send(f"<authenticate xmlns='{SASL2}' mechanism='{mechanism}'><initial-response>{first}"
                      f"</initial-response>{inside}</authenticate>")
        challenge = base64.b64decode(self.read(namespace, "challenge").text).decode()
        fields = dict(field.split("=", 1) for field in challenge.split(","))
        salted = hashlib.pbkdf2_hmac(name, password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        final = f"c={encode(gs2.encode() + self.binding_data(binding))},r={fields['r']}"
        message = ",".join((bare, challenge, final)).encode()
        key = hmac.digest(salted, b"Client Key", name)
        signature = hmac.digest(hashlib.new(name, key).digest(), message, name)
        proof = bytes(a ^ b for a, b in zip(key, signature))
        self.send(f"<response xmlns='{namespace}'>{encode(f'{final},p={encode(proof)}'.encode())}</response>")
        end = self.read()
        if end.tag in (f"{{{SASL2}}}success", f"{{{SASL2}}}continue", f"{{{SASL}}}success"):
            data = end.text if namespace == SASL else end.find(f"{{{SASL2}}}additional-data").text
            signature = hmac.digest(hmac.digest(salted, b"Server Key", name), message, name)
            same("server's signature", base64.b64decode(data).decode(), f"v={encode(signature)}")
        return fields, end

    def token(self, mechanism, token, binding=None, inside=""):
        """FAST [XEP-0484]; returns the element that ends the exchange, if it is not a failure."""
        bound = self.binding_data(binding)
        proof = hmac.digest(token.encode(), b"Initiator" + bound, "sha256")
        first = encode(self.user.encode() + b"\0" + proof)
        self.send(f"<authenticate xmlns='{SASL2}' mechanism='{mechanism}'><initial-response>{first}</initial-response>"
                  f"<fast xmlns='{FAST}'/>{inside}</authenticate>")
        end = self.read(SASL2, "success")
        same("server's proof", base64.b64decode(end.find(f"{{{SASL2}}}additional-data").text),
             hmac.digest(token.encode(), b"Responder" + bound, "sha256"))
        return end

    def upgrade(self, task, end, password="secret"):
        """Goes on after <continue/> [XEP-0480]; returns what comes then."""
        same("tasks", [e.text for e in end.findall(f"{{{SASL2}}}tasks/{{{SASL2}}}task")], [task])
        self.send(f"<next xmlns='{SASL2}' task='{task}'/>")
        salt = self.read(SASL2, "task-data").find(f"{{{SCRAM_UPGRADE}}}salt")
        salted = hashlib.pbkdf2_hmac(hash_of(task.removeprefix("UPGR-")), password.encode(),
                                     base64.b64decode(salt.text), int(salt.get("iterations")))
        self.send(f"<task-data xmlns='{SASL2}'><hash xmlns='{SCRAM_UPGRADE}'>{encode(salted)}</hash></task-data>")
        return self.read()
