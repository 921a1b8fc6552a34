#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test_check.py [PATTERN]: xmpp-tiny --check against Prosody with virtual hosts good and bad, against
ejabberd, and against servers of straw that say yes to all that is forbidden, or nothing, or nonsense."""

import datetime
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "e2e"))
sys.dont_write_bytecode = True

# The path to the harness has to be known first.
from harness import (CLI, PATIENCE, Ejabberd, Failure, Prosody, Report, clean_up_always, free_ports, make_pki,  # noqa: E402
                     same, scratch, write)

USERS = ["alice@a.test", "alice@plain.test", "alice@wrong.test"]

# What a server as it should be is told; a case names the lines that differ.
GOOD = {
    "starttls": "holds", "tls-required": "holds", "latest-tls": "holds", "no-sslv2": "holds", "no-old-tls": "holds",
    "no-weak-suites": "holds", "no-compression": "holds", "forward-secrecy": "holds", "only-forward-secrecy": "holds",
    "authority": "holds", "name": "holds", "dates": "holds", "verified": "holds", "servers": "cannot be seen",
    "strong-authentication": "holds", "channel-binding": "holds", "direct-tls": "holds",
}
NO, UNSEEN = "does not hold", "cannot be seen"

# Each host is wrong in one way. Of the careless one's suites all begin with static RSA.
HOSTS = """\
VirtualHost "careless.test"
  c2s_ssl = {{ protocol = "tlsv1+"; ciphers = "kRSA:ALL:eNULL:aNULL:@SECLEVEL=0";
    options = {{ no_sslv2 = true; no_sslv3 = true; cipher_server_preference = true }} }}
VirtualHost "static.test"
  ssl = {{ certificate = "{pki}/static.test.crt"; key = "{pki}/static.test.key" }}
  c2s_ssl = {{ protocol = "tlsv1_2"; ciphers = "AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256" }}
VirtualHost "only13.test"
  c2s_ssl = {{ protocol = "tlsv1_3" }}
VirtualHost "plain.test"
  disable_sasl_mechanisms = {{ "SCRAM-SHA-1"; "SCRAM-SHA-256"; "SCRAM-SHA-1-PLUS"; "SCRAM-SHA-256-PLUS" }}
VirtualHost "open.test"
  c2s_require_encryption = false
  allow_registration = true
  modules_enabled = {{ "register_ibr"; "e2e_endpoint" }}
VirtualHost "bare.test"
  c2s_require_encryption = false
  modules_disabled = {{ "tls" }}
VirtualHost "wrong.test"
VirtualHost "expired.test"
VirtualHost "strange.test"
"""


def make_leaf(pki, name, authority="ca", names=None, days=(-1, 30), key=None):
    """A certificate by an authority of tools/pki, for a host that tools/pki does not know."""
    with open(os.path.join(pki, f"{authority}.key"), "rb") as file:
        signer = serialization.load_pem_private_key(file.read(), None)
    with open(os.path.join(pki, f"{authority}.crt"), "rb") as file:
        issuer = x509.load_pem_x509_certificate(file.read()).subject
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    certificate = x509.CertificateBuilder() \
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"throw-away {name}")])) \
        .issuer_name(issuer).public_key(key.public_key()).serial_number(x509.random_serial_number()) \
        .not_valid_before(now + datetime.timedelta(days[0])).not_valid_after(now + datetime.timedelta(days[1])) \
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names or [name]]), False) \
        .sign(signer, hashes.SHA256())
    pem = serialization.Encoding.PEM
    write(os.path.join(pki, f"{name}.crt"), certificate.public_bytes(pem).decode())
    plain = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    write(os.path.join(pki, f"{name}.key"), plain.decode())
    os.chmod(os.path.join(pki, f"{name}.key"), 0o644)  # the server runs under another uid


class Hosts(Prosody):
    """Prosody with all the hosts above; TLS from the first byte is for a.test alone."""

    def __init__(self, base, pki):
        large = rsa.generate_private_key(65537, 2048)
        for name, how in {"careless.test": {"key": large}, "static.test": {"key": large}, "only13.test": {}, "plain.test": {},
                          "open.test": {}, "bare.test": {}, "wrong.test": {"names": ["other.test"]},
                          "expired.test": {"days": (-30, -1)}, "strange.test": {"authority": "strange"}}.items():
            if how.get("authority") == "strange":
                self.make_stranger(pki)
            make_leaf(pki, name, **how)
        super().__init__(base, pki, [], [], hosts=False)
        config = []
        for line in HOSTS.format(pki=pki).splitlines():
            config.append(line)
            if line.startswith("VirtualHost") and "static" not in line:
                name = line.split('"')[1]
                config.append(f'  ssl = {{ certificate = "{pki}/{name}.crt"; key = "{pki}/{name}.key" }}')
        with open(self.config, "a", encoding="utf-8") as file:
            file.write("\n".join(config) + "\n")
        for jid in USERS:
            self.register(jid)

    @staticmethod
    def make_stranger(pki):
        """An authority nobody trusts."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throw-away stranger")])
        now = datetime.datetime.utcnow()
        certificate = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()) \
            .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(30)) \
            .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
        write(os.path.join(pki, "strange.crt"), certificate.public_bytes(serialization.Encoding.PEM).decode())
        write(os.path.join(pki, "strange.key"), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption()).decode())

    def register(self, jid):
        user, host = jid.split("@")
        maker = self.launch_with(["prosodyctl", "--config", self.config, "register", user, host, "secret"])
        if maker.wait() != 0:
            raise Failure(f"prosodyctl did not make {jid}:\n{self.output()}")


class Checked:
    """One run of the tool: events, verdicts, exit status."""

    def __init__(self, jid, port, direct, ca, *options, password=None):
        environment = {name: value for name, value in os.environ.items() if name != "XMPP_TINY_PASSWORD"}
        if password is not None:
            environment["XMPP_TINY_PASSWORD"] = password
        done = subprocess.run([CLI, "--check", "--json", "--connect", port, "--direct-port", str(direct), "--ca", ca,
                               *options, jid], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=PATIENCE, check=False)
        self.status = done.returncode
        self.stderr = done.stderr.decode()
        self.events = [json.loads(line) for line in done.stdout.splitlines()]

    def all(self, kind, **fields):
        return [e for e in self.events if e["event"] == kind and all(e.get(k) == v for k, v in fields.items())]

    def one(self, kind, **fields):
        found = self.all(kind, **fields)
        same(f"events {kind} {fields}", len(found), 1)
        return found[0]

    def verdicts(self):
        return {e["line"]: e["verdict"] for e in self.all("verdict")}

    def why(self, line):
        return self.one("verdict", line=line).get("why")

    def expect(self, status, **differing):
        wanted = {**GOOD, **{line.replace("_", "-"): verdict for line, verdict in differing.items()}}
        got = self.verdicts()
        same("lines that are not as they should be",
             {line: got.get(line) for line in {*got, *wanted} if got.get(line) != wanted.get(line)}, {})
        same("exit status", self.status, status)
        same("stderr", self.stderr, "")


def check(server, jid, *options, direct=None, password=None):
    if direct is None:
        direct = server.direct
    return Checked(jid, f"{server.address}:{server.port}", direct, server.ca, *options, password=password)


# ---- Real servers ----------------------------------------------------------------------------------

NOWHERE = {"direct_tls": NO}  # hosts whose other port is not asked for


def good(server):
    c = check(server, "a.test")
    c.expect(0)
    same("connections", [(e["transport"], e["reached"], e.get("starttls"), e.get("required"), e.get("mechanisms"))
                         for e in c.all("connection")],
         [("starttls", True, True, True, ""), ("direct", True, None, None, None)])
    for transport in ("starttls", "direct"):
        same("versions", [e["accepted"] for e in c.all("version", transport=transport)], [False] * 4 + [True] * 2)
        same("suites", [e["name"] for e in c.all("suites", transport=transport, accepted=True)], ["forward-secret AEAD"])
        same("preferred", c.one("preferred", transport=transport)["tls"], "TLS 1.3")
        client = c.one("client", transport=transport)
        same("client", (client["tls"], client["key_exchange"], client.get("error")), ("TLS 1.2", "secp256r1", None))
        certificate = c.one("certificate", transport=transport)
        with open(server.pem("a.test"), "rb") as file:
            ours = x509.load_pem_x509_certificate(file.read())
        digest = hashes.Hash(hashes.SHA256())
        digest.update(ours.public_key().public_bytes(serialization.Encoding.DER,
                                                     serialization.PublicFormat.SubjectPublicKeyInfo))
        same("certificate", certificate, {
            "event": "certificate", "transport": transport, "subject": "CN=throw-away a.test",
            "issuer": "CN=throw-away ca", "not_before": ours.not_valid_before.isoformat() + "Z",
            "not_after": ours.not_valid_after.isoformat() + "Z", "spki": digest.finalize().hex(),
            "certificate": ours.fingerprint(hashes.SHA256()).hex(), "key": "P-256", "signature": "SHA-256 with ECDSA",
            "authority": True, "name": True, "dates": True})
        features = c.one("features", transport=transport)
        same("mechanisms", sorted(features["mechanisms"].split()),
             ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
        same("registration", features["registration"], False)
        same("bindings", features.get("bindings"), None)
    same("ALPN", (c.one("preferred", transport="direct")["alpn"], c.why("direct-tls")), (False, "ALPN is not answered"))
    same("nobody logs in", c.all("authenticated") + c.all("connected"), [])


def login(server):
    c = check(server, "alice@a.test", password="secret")
    c.expect(0)
    same("login", c.one("authenticated")["mechanism"], "SCRAM-SHA-256-PLUS")
    same("why", c.why("strong-authentication"), "SCRAM-SHA-256-PLUS")
    c = check(server, "alice@a.test", "--tls", "direct", password="wrong")
    c.expect(0)
    same("login", c.one("error")["name"], "AUTH")
    same("why", c.why("strong-authentication"), "the password was refused")


def careless(server):
    c = check(server, "careless.test", direct=1)
    c.expect(3, **NOWHERE, no_old_tls=NO, no_weak_suites=NO, forward_secrecy=NO, only_forward_secrecy=NO)
    same("old", c.why("no-old-tls"), "TLS 1.0, TLS 1.1")
    same("weak", c.why("no-weak-suites"), "NULL, anonymous")
    same("forward secrecy", c.why("forward-secrecy").split(", ")[0], "the client's order counts")
    same("versions", [e["name"] for e in c.all("version", accepted=True)], ["TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"])
    same("suites", [e["name"] for e in c.all("suites", accepted=True)],
         ["forward-secret AEAD", "forward-secret CBC", "static RSA", "NULL", "anonymous"])
    same("key", c.one("certificate")["key"], "RSA 2048")


def static(server):
    c = check(server, "static.test", direct=1)
    c.expect(3, **NOWHERE, forward_secrecy=NO, only_forward_secrecy=NO)
    same("why", c.why("only-forward-secrecy"), "RSA_WITH_AES_128_GCM_SHA256")


def only_13(server):
    """More than this client can: it cannot look inside."""
    c = check(server, "only13.test", direct=1)
    c.expect(3, **NOWHERE, authority=UNSEEN, name=UNSEEN, dates=UNSEEN, verified=UNSEEN,
             strong_authentication=UNSEEN, channel_binding=UNSEEN)
    same("error", c.one("client")["error"], "TLS")


def plain(server):
    c = check(server, "alice@plain.test", direct=1, password="secret")
    c.expect(4, **NOWHERE, strong_authentication=NO, channel_binding=NO)
    same("why", c.why("strong-authentication"), "MECHANISM")
    c = check(server, "plain.test", direct=1)
    c.expect(4, **NOWHERE, strong_authentication=NO, channel_binding=NO)
    same("why", c.why("strong-authentication"), "PLAIN")


def not_required(server):
    c = check(server, "open.test", direct=1)
    c.expect(3, **NOWHERE, tls_required=NO)
    same("why", sorted(c.why("tls-required").replace(",", "").split()), ["SCRAM-SHA-1", "SCRAM-SHA-256", "registration"])
    same("registration", c.one("features")["registration"], True)
    same("bindings", c.one("features")["bindings"], "tls-server-end-point")


def no_tls(server):
    c = check(server, "bare.test", direct=1)
    c.expect(3, **NOWHERE, starttls=NO, tls_required=NO, **{
        line: UNSEEN for line in ("latest_tls", "no_sslv2", "no_old_tls", "no_weak_suites", "no_compression",
                                  "forward_secrecy", "only_forward_secrecy", "authority", "name", "dates", "verified",
                                  "strong_authentication", "channel_binding")})
    same("why", c.why("starttls"), "not offered")


def wrong_name(server):
    """The certificate does not hold: whoever asks to log in is not let to."""
    c = check(server, "alice@wrong.test", direct=1, password="secret")
    c.expect(3, **NOWHERE, name=NO, verified=NO)
    same("why", c.why("verified"), "CERT_NAME")
    same("client", c.one("client")["error"], "CERT_NAME")
    same("login", c.all("connected"), [])
    same("seen all the same", "SCRAM-SHA-256" in c.one("features")["mechanisms"].split(), True)


def expired(server):
    c = check(server, "expired.test", direct=1)
    c.expect(3, **NOWHERE, dates=NO, verified=NO)
    same("why", c.why("verified"), "CERT_TIME")


def stranger(server):
    c = check(server, "strange.test", direct=1)
    c.expect(3, **NOWHERE, authority=NO, verified=NO)
    same("why", c.why("verified"), "CERT_UNTRUSTED")
    same("issuer", c.one("certificate")["issuer"], "CN=throw-away stranger")


def other_domain(server):
    """The second port shows the certificate of another host: a line that fails in one place fails."""
    c = check(server, "plain.test")
    same("name", c.verdicts()["name"], NO)
    same("names", [e["name"] for e in c.all("certificate")], [True, False])


def ejabberd(server):
    c = check(server, "alice@a.test", password="secret")
    c.expect(0)
    same("login", c.one("authenticated")["mechanism"], "SCRAM-SHA-512-PLUS")
    same("suites", [e["name"] for e in c.all("suites", transport="direct", accepted=True)],
         ["forward-secret AEAD", "forward-secret CBC"])
    rsa_host = check(server, "rsa.a.test", "--ca", server.pem("rsaca"))
    rsa_host.expect(0, only_forward_secrecy=NO)
    same("key", [e["key"] for e in rsa_host.all("certificate")], ["RSA 2048"] * 2)


# ---- Servers of straw ------------------------------------------------------------------------------


class Straw:
    """Answers each connection by a function of its socket; TLS from the first byte, if it can be called TLS."""

    def __init__(self, answer):
        self.answer = answer
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer = self.socket.accept()[0]
            except OSError:
                return
            with peer:
                peer.settimeout(PATIENCE)
                try:
                    self.answer(peer)
                except OSError:
                    pass

    def check(self, ca, *options):
        with self.socket:
            return Checked("a.test", f"127.0.0.1:{free_ports('127.0.0.1', 1)[0]}", self.port, ca, *options)


def record(kind, body, version=0x0303):
    return struct.pack(">BHH", kind, version, len(body)) + body


def server_hello(version, suite, compression=0, rest=b""):
    body = struct.pack(">H", version) + bytes(32) + b"\0" + struct.pack(">HB", suite, compression) + rest
    return b"\x02" + struct.pack(">I", len(body))[1:] + body


def read_hello(peer):
    """Returns version, suites, compressions; of SSLv2 the version alone."""
    head = peer.recv(5, socket.MSG_WAITALL)
    if len(head) < 5:
        raise OSError("nothing was said")
    if head[0] & 0x80:
        return struct.unpack(">H", head[3:5])[0], [], []
    body = peer.recv(struct.unpack(">H", head[3:5])[0], socket.MSG_WAITALL)
    version = struct.unpack(">H", body[4:6])[0]
    at = 38 + 1 + body[38]
    count = struct.unpack(">H", body[at:at + 2])[0]
    suites = struct.unpack(f">{count // 2}H", body[at + 2:at + 2 + count])
    at += 2 + count
    return version, suites, list(body[at + 1:at + 1 + body[at]])


def yes(peer):
    """Takes the weakest of everything, as servers of the nineties would."""
    version, suites, compressions = read_hello(peer)
    if not suites:
        peer.sendall(b"\x80\x0b\x04\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00")
    else:
        known = [suite for suite in suites if suite != 0xFF]
        alpn = b"\0\x10\0\x0e\0\x0c\x0bxmpp-client"
        hello = server_hello(version, known[-1], max(compressions), struct.pack(">H", len(alpn)) + alpn)
        # In two records, cut inside the message, and a warning before it.
        peer.sendall(record(21, b"\x01\x70") + record(22, hello[:7]) + record(22, hello[7:] + b"\x0e\0\0\0"))


def all_that_is_forbidden(ca):
    c = Straw(yes).check(ca, "--timeout", "5")
    weak = ["RC4", "3DES", "DES or export", "NULL", "anonymous"]
    same("exit status", c.status, 3)
    same("weak", c.why("no-weak-suites"), ", ".join(weak))
    same("old", c.why("no-old-tls"), "SSLv3, TLS 1.0, TLS 1.1")
    for line in ("no-sslv2", "no-old-tls", "no-weak-suites", "no-compression", "forward-secrecy", "only-forward-secrecy"):
        same(line, c.verdicts()[line], NO)
    same("suites", [e["name"] for e in c.all("suites", accepted=False)], [])
    same("ALPN", (c.one("preferred")["alpn"], c.why("direct-tls")), (True, None))
    same("starttls", (c.verdicts()["starttls"], c.why("starttls")), (UNSEEN, "no connection"))
    same("required", c.verdicts()["tls-required"], "holds")


def clients_order(ca):
    """Takes what is offered first, TLS 1.2 whatever is asked for, and 1.3 only if there is nothing else."""

    def answer(peer):
        suites = read_hello(peer)[1]
        only_new = suites and all(suite >> 8 == 0x13 or suite == 0xFF for suite in suites)
        rest = b"\0\x06\0\x2b\0\x02\x03\x04" if only_new else b""
        if suites:
            old = [suite for suite in suites if suite >> 8 != 0x13] if not only_new else suites
            peer.sendall(record(22, server_hello(0x0303, old[0], 0, rest) + b"\x0e\0\0\0"))

    c = Straw(answer).check(ca, "--timeout", "5")
    same("versions", [e["name"] for e in c.all("version", accepted=True)], ["TLS 1.2", "TLS 1.3"])
    same("latest", (c.verdicts()["latest-tls"], c.why("latest-tls")), (NO, "TLS 1.2"))
    same("forward secrecy", (c.verdicts()["forward-secrecy"], c.why("forward-secrecy")),
         (NO, "the client's order counts, RSA_WITH_CAMELLIA_128_CBC_SHA"))


def refusals(ca):
    """By an alert, by an answer that is no TLS or none that is whole, by the end of the connection: all are a no."""
    hello = server_hello(0x0303, 0xC02F)
    answers = [record(21, b"\x02\x28"), b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", record(22, hello[:20]),
               record(22, b"\x02\0\0\x10" + hello[4:20]), record(22, hello[:38] + b"\xff" + hello[39:])]

    def answer(peer):
        read_hello(peer)
        peer.sendall(answers[0])
        answers.append(answers.pop(0))

    c = Straw(answer).check(ca, "--timeout", "5")
    same("accepted", [e for e in c.events if e.get("accepted")], [])
    same("unknown", [e for e in c.all("version") + c.all("suites") if "accepted" not in e], [])
    same("direct TLS", (c.verdicts()["direct-tls"], c.why("direct-tls")), (NO, "no TLS"))
    same("exit status", c.status, 3)


def silence(ca):
    c = Straw(lambda peer: peer.recv(1) and peer.recv(65536) and peer.recv(1)).check(ca, "--timeout", "1")
    same("accepted", [e for e in c.events if "accepted" in e], [])
    same("direct TLS", c.verdicts()["direct-tls"], NO)
    same("exit status", c.status, 3)


def nonsense(ca):
    """Lengths that lie: nothing is read beyond what came."""
    hello = server_hello(0x0303, 0xC02F)
    huge = b"\xff\xff\xff"
    answers = [
        record(22, hello[:20]), record(22, b"\x02" + huge + hello[4:]), b"\x16\x03\x03\xff\xff" + hello,
        record(22, server_hello(0x0303, 0xC02F, 0, b"\xff\xff\x00\x2b\xff\xff\x03\x04")),
        record(22, hello[:38] + b"\xff" + hello[39:]), record(22, hello + b"\x0b" + b"\0\0\x06" + huge + huge),
        record(22, hello + b"\x0b\0\0\x0a\0\0\x07\0\0\x04\x30\x84" + huge[:2]),
        record(22, hello + b"\x0b\0\0\x08" + huge + b"\0\xff\xf0" + b"\x30\x00"), record(22, b"\x02\0\0\0") * 3,
        record(22, b"") * 40, b"\x16" * 40000, record(21, b"\x02"), b"\x80\x01\x04",
    ]

    def answer(peer):
        read_hello(peer)
        peer.sendall(answers[0])
        answers.append(answers.pop(0))

    c = Straw(answer).check(ca, "--timeout", "5")
    same("exit status", c.status, 3)
    same("stderr", c.stderr, "")
    same("certificates", c.all("certificate"), [])


def hostile_stream(ca):
    """Features that try to overrun, to forge lines and to steer the terminal; and plaintext behind <proceed/>."""
    words = "".join(f"<mechanism>SCRAM-\x1b[31m\n{i}</mechanism>" for i in range(200))
    features = f"<s:stream><s:features><starttls x='>' /><mechanisms>{words}</mechanisms><a b='\0" + "y" * 3000 + \
        "'/><channel-binding type='tls-\"exporter'/></s:features>"

    def answer(peer):
        peer.recv(65536)
        peer.sendall(features.encode())
        if peer.recv(65536):
            peer.sendall(b"<proceed/><message/>")
            yes(peer)

    straw = Straw(answer)
    with straw.socket:
        c = Checked("a.test", f"127.0.0.1:{straw.port}", free_ports("127.0.0.1", 1)[0], ca, "--timeout", "5")
    listed = c.all("connection")[0]["mechanisms"]
    same("first mechanisms", listed.split()[:2], ["SCRAM-??31m?0", "SCRAM-??31m?1"])
    same("list is bounded", 0 < len(listed) < 512, True)
    same("why", c.why("starttls"), "offered in vain")
    same("exit status", c.status, 3)


def endless_stream(ca):
    def answer(peer):
        peer.recv(65536)
        peer.sendall(b"<s:stream><s:features>" + b"<x/>" * 20000)
        peer.recv(1)

    straw = Straw(answer)
    with straw.socket:
        c = Checked("a.test", f"127.0.0.1:{straw.port}", free_ports("127.0.0.1", 1)[0], ca, "--timeout", "5")
    same("why", c.why("starttls"), "no features")
    same("exit status", c.status, 3)


def nobody(ca):
    ports = free_ports("127.0.0.1", 2)
    c = Checked("a.test", f"127.0.0.1:{ports[0]}", ports[1], ca)
    same("exit status", c.status, 2)
    same("events", [(e["event"], e["reached"], e["text"]) for e in c.events],
         [("connection", False, "connection refused")] * 2)


# ---- All of them -----------------------------------------------------------------------------------


def run_all(report, work, argument):
    for case in work:
        report.run(case.__name__.replace("_", " "), case, argument)


def run_server(report, work, make):
    made = []
    report.run("start for " + work[0].__name__.replace("_", " "), lambda: made.append(make().start()), always=True)
    if made:
        run_all(report, work, made[0])
        made[0].stop()


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    base = scratch()
    pki = make_pki(base)
    ca = os.path.join(pki, "ca.crt")
    with ThreadPoolExecutor(max_workers=3) as pool:
        jobs = [
            pool.submit(run_server, report, (good, login, careless, static, only_13, plain, not_required, no_tls, wrong_name,
                                             expired, stranger, other_domain), lambda: Hosts(base, pki)),
            pool.submit(run_server, report, (ejabberd,), lambda: Ejabberd(base, pki, ["alice@a.test"], [])),
            pool.submit(run_all, report, (nobody, all_that_is_forbidden, clients_order, refusals, nonsense, hostile_stream,
                                          endless_stream, silence), ca),
        ]
        for job in jobs:
            job.result()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
