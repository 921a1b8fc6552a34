# SPDX-License-Identifier: MIT
"""Somebody else with an account, who sends whatever the server lets through."""

import base64
import re
import socket
import ssl

from fake import Connection
from harness import PATIENCE, Failure

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"


class Stranger(Connection):
    """Logs in with TLS from the first byte and by PLAIN; full is then its JID."""

    def __init__(self, server, jid, password="secret"):
        user, domain = jid.split("@")
        context = ssl.create_default_context(cafile=server.ca)
        plain = socket.create_connection((server.address, server.direct), PATIENCE)
        super().__init__(context.wrap_socket(plain, server_hostname=domain), None)
        self.secure, self.user, self.domain = True, user, domain
        self.open()
        proof = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        self.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{proof}</auth>")
        self.expect("<success ")
        self.open()
        bound = self.ask("set", "", f"<bind xmlns='{BIND}'/>")
        self.full = re.search("<jid>(.*?)</jid>", bound).group(1)
        self.send("<presence/>")
        self.expect("<presence ")

    def open(self):
        self.send("<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' "
                  f"xmlns:stream='http://etherx.jabber.org/streams' to='{self.domain}'>")
        self.expect("</stream:features>")

    def ask(self, kind, to, payload, number="q"):
        """Sends a request and returns its answer's text."""
        self.send(f"<iq type='{kind}' id='{number}' {to and f'''to='{to}' '''}>{payload}</iq>")
        return self.stanza("iq", number)

    def stanza(self, name, number):
        """The next stanza of that name and id."""
        while True:
            found = self.expect(rf"<{name}\b[^>]*?(?:/>|>.*?</{name}>)").group(0).decode()
            if re.search(rf"^<[^>]*\bid=['\"]{re.escape(number)}['\"]", found):
                return found

    def change_password(self, new):
        answer = self.ask("set", "", "<query xmlns='jabber:iq:register'>"
                          f"<username>{self.user}</username><password>{new}</password></query>")
        if not re.search(r"^<iq[^>]*\btype=['\"]result", answer):
            raise Failure(f"the password stays: {answer}")

    def leave(self):
        self.send("</stream:stream>")
        self.rest()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
