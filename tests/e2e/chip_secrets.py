# SPDX-License-Identifier: MIT
"""Secrets in a firmware's memory: all of its RAM, seen from outside, while they are needed and after that."""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric import ec

from chip_console import DISCONNECTED
from fake import Scram, encode
from harness import Failure

NAME = "SCRAM-SHA-256-PLUS"
SALT = b"a new salt for a new key"  # so that what is remembered is of no use


class Watched:
    """One login, of a server that tells what only it and the client know, and waits where it is asked to."""

    def __init__(self, place, firmware):
        self.place, self.firmware = place, firmware
        self.seen = {}  # when -> a snapshot

    def script(self, c):
        self.connection = c
        c.encrypt()
        # TLS records as small as the firmware wants them: little is offered.
        initial = c.offer(NAME).decode()
        self.scram = scram = Scram(NAME, initial, salt=SALT)
        c.challenge(scram.first())
        scram.check(c.response(), c.binding(scram.gs2))
        self.seen["login"] = self.firmware.snapshot()
        c.success("v=" + encode(scram.signature()))
        c.bind()
        c.expect("</presence>")
        self.seen["online"] = self.firmware.snapshot()
        self.place.next = ("a.test", self.silent)
        c.send("</stream:stream>")

    def silent(self, c):
        """Nothing is begun that could cover up what was left."""
        self.place.leave.wait()
        self.place.leave.clear()
        c.cut()

    def secrets(self):
        """name -> bytes"""
        scram, wire = self.scram, self.connection.wire
        key = {name: scram.hmac(scram.salted, name.encode()) for name in ("Client Key", "Server Key")}
        stored = hashlib.sha256(key["Client Key"]).digest()
        mask = scram.hmac(stored, scram.message)
        proof = bytes(a ^ b for a, b in zip(key["Client Key"], mask))
        share = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), wire.share)
        premaster = wire.private.exchange(ec.ECDH(), share)
        return {
            "SaltedPassword": scram.salted, "StoredKey": stored, "ClientSignature": mask, **key,
            "ClientProof": proof, "ClientProof in base64": encode(proof)[:-1].encode(),
            "ServerSignature": scram.signature(), "premaster secret": premaster, "master secret": wire.master,
            "client's traffic key": wire.next_reading[0], "server's traffic key": wire.next_writing[0],
        }


def forms(secret):
    """As it is; as HMAC pads it."""
    yield "as it is", secret
    for pad in (0x36, 0x5C):
        yield f"with {pad:#x}", bytes(byte ^ pad for byte in secret)


def found(snapshot, secrets):
    """(secret, form, symbol) of all that is in RAM, but for what the application remembers."""
    image, ram = snapshot.image, bytearray(snapshot.ram)
    start = image["saved"] - snapshot.start
    ram[start:start + image.sizes["saved"]] = bytes(image.sizes["saved"])
    places = []
    for name, secret in secrets.items():
        for form, data in forms(secret):
            at = ram.find(data)
            if at >= 0:
                address = snapshot.start + at
                symbol = max((value, name) for name, value in image.symbols.items()
                             if snapshot.start <= value <= address)
                places.append((name, form, f"{symbol[1]}+{address - symbol[0]}"))
    return places


def secrets_gone(place, firmware):
    watched = Watched(place, firmware)
    place.change_to(watched.script)
    for _ in range(2):  # the connection before, and this one
        firmware.wait("error CLOSED")
        firmware.wait(DISCONNECTED)
    after = firmware.snapshot()
    place.leave.set()
    firmware.wait("published .*")
    secrets = watched.secrets()
    for when, wanted in (("login", {"ClientProof in base64", "ServerSignature", "master secret"}),
                         ("online", {"master secret"})):
        there = {name for name, _, _ in found(watched.seen[when], secrets)}
        if not wanted <= there:
            raise Failure(f"{when}: {wanted - there} should be in memory; the search is no good")
    login = {name for name in secrets if "secret" not in name and "traffic" not in name}
    left = [("online", *what) for what in found(watched.seen["online"], secrets) if what[0] in login]
    left += [("closed", *what) for what in found(after, secrets)]
    if left:
        raise Failure("; ".join(" ".join(what) for what in left))
