# SPDX-License-Identifier: MIT
"""Servers that are less, or other, than they were: what the client remembers of one, what it was told of its key, and
whom it gives a new account's password."""

import datetime
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fake import SASL, encode, listed, mechanisms, vouch
from hostile_case import ASKED, CONNECTED, LEAVES, OFFER, ONLINE, SECURED, Case, honest, session
from hostile_scram import PLUS, TOLD, chose

SAVED = ["--saved", "{scratch}/saved"]
REGISTER = "jabber:iq:register"
TRUSTED = chose("SCRAM-SHA-256-PLUS", "tls-unique")
WHOLE = TRUSTED + ", proof, header, bind, end"


# ---- Certificates ------------------------------------------------------------------------------------------


def issue(pki, name, domain="a.test", key=None, issuer=None, days=(-1, 30)):
    """Makes NAME.crt and NAME.key; key and issuer are names of others, issuer None: signed by itself."""
    def load(which):
        with open(f"{pki}/{which}.key", "rb") as file:
            return serialization.load_pem_private_key(file.read(), None)

    own = load(key) if key else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"throw-away {name}")])
    by, signer = subject, own
    if issuer:
        with open(f"{pki}/{issuer}.crt", "rb") as file:
            by = x509.load_pem_x509_certificate(file.read()).subject
        signer = load(issuer)
    now = datetime.datetime.utcnow()
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(by).public_key(own.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now + datetime.timedelta(days[0]))
    made = made.not_valid_after(now + datetime.timedelta(days[1]))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), False)
    made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
    with open(f"{pki}/{name}.crt", "wb") as file:
        file.write(made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    with open(f"{pki}/{name}.key", "wb") as file:
        file.write(own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption()))


def certificates(pki):
    issue(pki, "renewed", key="a.test", issuer="ca")  # the same key
    issue(pki, "rekeyed", issuer="ca")                # another
    issue(pki, "own")
    issue(pki, "own-renewed", key="own")
    issue(pki, "own-other")
    issue(pki, "own-name", domain="other.test")
    issue(pki, "own-expired", days=(-30, -1))


def pin(name):
    """Given a directory of certificates, the hash of that one's key."""
    def value(pki):
        with open(f"{pki}/{name}.crt", "rb") as file:
            key = x509.load_pem_x509_certificate(file.read()).public_key()
        return hashlib.sha256(key.public_bytes(serialization.Encoding.DER,
                                               serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    return value


# ---- Cases ---------------------------------------------------------------------------------------------------


def features(*names, more=""):
    """Script: offers this and waits."""
    def script(c):
        c.encrypt()
        c.header()
        c.features(mechanisms(*names) + more)
        c.rest()
    return script


def cases():
    yield from weaker()
    yield from changed()
    yield from pinned()
    yield from first_use()
    yield from accounts()


def weaker():
    def case(title, script, before, left=ASKED + TOLD, *, error="DOWNGRADE", options=(), **more):
        return Case("weaker than it was", title, script, error, left, before=[before], after=before,
                    options=[*SAVED, *options], reached=SECURED, **more)

    sha1, sha256, sha512 = ([name, name + "-PLUS"] for name in ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"))
    yield case("took every -PLUS away", features("SCRAM-SHA-512", "SCRAM-SHA-256"), honest())
    yield case("has -PLUS with a weaker hash", features(*sha512[:1], *sha256[:1], *sha1), honest(names=sha512 + sha256))
    yield case("has a weaker hash", features("SCRAM-SHA-1"), honest(names=["SCRAM-SHA-512"], bindings=None))
    yield case("took SCRAM away and left PLAIN, which is allowed", features("PLAIN"), honest(names=["SCRAM-SHA-256"],
                                                                                             bindings=None),
               options=["--mechanism", "PLAIN", "--mechanism", "SCRAM-SHA-256"])
    yield case("lists only the weaker binding", features(*sha256, more=listed("tls-server-end-point")), honest())
    yield case("lists only bindings that the client has not", features(*sha256, more=listed("tls-exporter")), honest())
    yield case("lists no binding at all", features(*sha256, more=listed()), honest())

    def vouched(c):
        scram = c.exchange(*sha256, more=listed("tls-exporter"))
        c.challenge(scram.first(more=",h=" + vouch(sha256, ["tls-exporter"])))
        c.rest()

    yield case("lists only bindings that the client has not, and vouches for that", vouched, honest())
    yield case("offers nothing that is allowed", features("X-OTHER"), honest(), ASKED + LEAVES, error="MECHANISM")

    def impostor(c):
        """Knows salt and count from an earlier session, and not the password."""
        scram = c.exchange(*sha256)
        c.challenge(scram.first())
        c.response()
        c.success("v=" + encode(bytes(32)))
        c.rest()

    yield case("uses the same salt and count, and cannot prove itself", impostor, honest(),
               TRUSTED + ", proof, error not-authorized, end", error="SERVER_PROOF")


    def salted(c):
        scram = c.exchange(*sha256, salt=b"another salt")
        c.challenge(scram.first())
        c.rest()

    yield case("has another salt, and the client has no password any more", salted, honest(), TRUSTED + LEAVES,
               error="KEYS",
               password=None)


def changed():
    def case(title, script, error, left, *, before=("a.test",), after="a.test", options=(), **more):
        return Case("key or certificate changed", title, script, error, left, before=[honest(name) for name in before],
                    after=honest(after), options=[*SAVED, *options], **more)

    told = [*CONNECTED, "changed"]
    yield case("has another key, with a certificate of the same CA", session, "CERT_CHANGED", "TLS",
               certificate="rekeyed",
               reached=told)
    yield case("has another key, and was let in with it once", session, None, WHOLE, certificate="rekeyed",
               options=["--accept-change"], events=[*told, *ONLINE[1:], "closed"])
    yield case("has the old key again", session, "CERT_CHANGED", "TLS", certificate="a.test", before=["rekeyed"],
               after="rekeyed",
               reached=told)
    yield case("has a new certificate for the same key", session, None, WHOLE, certificate="renewed",
               events=[*told, *ONLINE[1:], "closed"])
    yield case("has a certificate of a CA that nobody trusts", session, "CERT_UNTRUSTED", "ClientHello, alert unknown_ca",
               certificate="other-ca", options=["--accept-change"])


def pinned():
    def case(title, error, left, pins, *, certificate="a.test", ca="ca", **more):
        options = [word for name in pins for word in ("--pin", pin(name))]
        return Case("key pinned", title, session, error, left, options=options, certificate=certificate, ca=ca, **more)

    yield case("has another key, with a certificate of the right CA", "PIN", "ClientHello, alert bad_certificate",
               ["a.test"], certificate="rekeyed")
    yield case("has another key, and no CA is asked", "PIN", "ClientHello, alert bad_certificate", ["a.test"],
               certificate="rekeyed", ca=None)
    yield case("has none of two keys", "PIN", "ClientHello, alert bad_certificate", ["a.test", "own"],
               certificate="own-other", ca=None)
    yield case("has the right key, but no CA that is trusted", "CERT_UNTRUSTED", "ClientHello, alert unknown_ca",
               ["own", "a.test"], certificate="own")
    yield case("has the second of two keys", None, WHOLE, ["own", "a.test"])
    yield case("has the right key, in a certificate that expired, of another name, of no CA", None, WHOLE, ["own"],
               ca=None,
               certificate="own-renewed", after=honest("own"))


def first_use():
    def case(title, script, error, left, *, before=(), after="own", certificate="own", options=(), **more):
        return Case("trust on first use", title, script, error, left, before=[honest(name) for name in before],
                    after=honest(after), certificate=certificate, ca=None, options=[*SAVED, "--first-use", *options],
                    **more)

    yield case("has another key the second time", session, "CERT_CHANGED", "TLS", before=["own"], certificate="own-other",
               reached=[*CONNECTED, "changed"])
    yield case("has another key the second time, with a certificate of a CA", session, "CERT_CHANGED", "TLS",
               before=["own"],
               certificate="rekeyed", reached=[*CONNECTED, "changed"])
    yield case("has a new certificate for the same key", session, None, WHOLE, before=["own"], certificate="own-renewed",
               events=[*CONNECTED, "changed", *ONLINE[1:], "closed"])
    yield case("has a certificate for another name", session, "CERT_NAME", "ClientHello, alert certificate_unknown",
               certificate="own-name")
    yield case("has a certificate that expired", session, "CERT_TIME", "ClientHello, alert certificate_expired",
               certificate="own-expired")
    yield case("offers PLAIN alone, which is allowed", features("PLAIN"), "MECHANISM", ASKED + LEAVES, reached=SECURED,
               options=["--mechanism", "PLAIN", "--mechanism", "SCRAM-SHA-256", "--mechanism", "SCRAM-SHA-256-PLUS"])
    yield case("takes new accounts", takes_accounts, "CERT_UNTRUSTED", ASKED + LEAVES, reached=SECURED, before=[],
               options=["--create-account"], after_options=SAVED + ["--first-use"])
    yield case("cannot prove itself the first time", lambda c: (
        c.exchange(*PLUS), c.success(None), c.rest()), "SERVER_PROOF", TRUSTED + ", error not-authorized, end",
               reached=SECURED)


# ---- Accounts [XEP-0077] ---------------------------------------------------------------------------------------


def query(fields):
    return f"<iq type='result' id='ID'><query xmlns='{REGISTER}'>{fields}</query></iq>"


def asked(c, answer):
    """Answers the question for what a new account needs."""
    c.encrypt()
    c.header()
    c.features(mechanisms(*OFFER) + "<register xmlns='http://jabber.org/features/iq-register'/>")
    number = c.expect(r"<iq\s[^>]*id=['\"]([^'\"]*)['\"][^>]*>.*?</iq>").group(1).decode()
    c.send(answer.replace("ID", number))


def takes_accounts(c):
    asked(c, query("<username/><password/>"))
    c.rest()


def accounts():
    question = ASKED + ", iq get query"

    def case(title, answer, error, end=LEAVES, **more):
        return Case("new account", title, lambda c: (asked(c, answer), c.rest()), error, question + end,
                    reached=SECURED,
                    options=["--create-account"], after_options=[], **more)

    stanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"
    yield case("refuses",
               f"<iq type='error' id='ID'><error type='cancel'><not-allowed xmlns='{stanzas}'/></error></iq>",
               "REGISTER",
               condition="not-allowed")
    for what, fields in (("an e-mail address", "<email/>"), ("no password",
                                                                                                 "<username/>"),
                         ("nothing", "")):
        yield case("wants", query(fields), "REGISTER", variant=what)
    for what, answer in (("another id", query("<username/><password/>").replace("ID", "other")),
                         ("no id", query("<username/><password/>").replace(" id='ID'", "")),
                         ("a message", "<message><body>x</body></message>"),
                         ("<success/>", f"<success xmlns='{SASL}'/>"), ("type get", query("").replace("result",
                                                                                                      "get"))):
        yield case("answers with", answer, "UNEXPECTED", ", error unsupported-stanza-type, end", variant=what)
    yield Case("new account", "takes accounts, but the client has its own and remembers that", session, None, WHOLE,
               options=[*SAVED, "--create-account"], before=[honest()], before_options=SAVED, after_options=SAVED)
