# SPDX-License-Identifier: MIT
"""A name server on loopback, so that servers find each other on free ports: SRV records for domains, and
addresses for names that are addresses. It knows nothing else and asks nobody."""

import re
import socket
import struct
import threading

A, SRV = 1, 33


def encode(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class Names:
    """services: domain -> (address, port) of its server; may grow while others ask."""

    def __init__(self):
        self.services = {}
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, client = self.socket.recvfrom(512)
            try:
                self.socket.sendto(self._answer(query), client)
            except (IndexError, struct.error, UnicodeDecodeError):
                pass  # no question that a server of these tests would ask

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind, = struct.unpack_from("!H", query, at + 1)
        name = ".".join(labels).lower()
        data = None
        if kind == A and re.fullmatch(r"[0-9.]+", name):
            data = socket.inet_aton(name)
        elif kind == SRV and name.startswith("_xmpp-server._tcp."):
            service = self.services.get(name.split(".", 2)[2])
            if service:
                data = struct.pack("!HHH", 0, 0, service[1]) + encode(service[0])
        record = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data if data else b""
        # An authority's answer, without error even where there is nothing [RFC1035 4.1]: QR AA RD RA.
        header = query[:2] + struct.pack("!HHHHH", 0x8580, 1, 1 if data else 0, 0, 0)
        return header + query[12:at + 5] + record
