# SPDX-License-Identifier: MIT
"""Keys and certificates, made at the time of the test. A certificate's parts are given as DER, so that each can
be what it must not be."""

import base64
import datetime
import os

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

import der

NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)
HASHES = {"md5": hashes.MD5, "sha1": hashes.SHA1, "sha224": hashes.SHA224, "sha256": hashes.SHA256,
          "sha384": hashes.SHA384, "sha512": hashes.SHA512}
SHA256_OID = "2.16.840.1.101.3.4.2.1"
RSA_OIDS = {"md5": "1.2.840.113549.1.1.4", "sha1": "1.2.840.113549.1.1.5", "sha224": "1.2.840.113549.1.1.14",
            "sha256": "1.2.840.113549.1.1.11", "sha384": "1.2.840.113549.1.1.12", "sha512": "1.2.840.113549.1.1.13"}
ECDSA_OIDS = {"sha1": "1.2.840.10045.4.1", "sha224": "1.2.840.10045.4.3.1", "sha256": "1.2.840.10045.4.3.2",
              "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}

# ---- Keys ------------------------------------------------------------------------------------------


class Keys:
    """Makes each kind of key once: certificates that are to differ in something else share it."""

    def __init__(self):
        self.made = {}

    def __call__(self, kind="p256", use="leaf"):
        if (kind, use) not in self.made:
            self.made[kind, use] = self.make(kind)
        return self.made[kind, use]

    @staticmethod
    def make(kind):
        if kind == "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        if kind.startswith("rsa"):
            size, _, exponent = kind[3:].partition("e")
            return rsa.generate_private_key(int(exponent or 65537), int(size))
        return ec.generate_private_key({"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1,
                                        "k256": ec.SECP256K1}[kind]())


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER,
                                         serialization.PublicFormat.SubjectPublicKeyInfo)


def pss_spki(key):
    """An RSA key that says itself that it is for PSS."""
    point = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    return der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.10")), der.bits(point))


def explicit_spki(key):
    """A P-256 key that gives the curve's numbers instead of its name [RFC5480 2.1.1: never]."""
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    generator = ("046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
                 "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    curve = der.sequence(
        der.integer(1), der.sequence(der.oid("1.2.840.10045.1.1"), der.integer(p)),
        der.sequence(der.octets((p - 3).to_bytes(32, "big")), der.octets(b.to_bytes(32, "big"))),
        der.octets(bytes.fromhex(generator)), der.integer(order), der.integer(1))
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return der.sequence(der.sequence(der.oid("1.2.840.10045.2.1"), curve), der.bits(point))


# ---- Signatures ------------------------------------------------------------------------------------


def pss():
    return padding.PSS(padding.MGF1(hashes.SHA256()), 32)


def algorithm(key, digest):
    """AlgorithmIdentifier; the digest "pss" is RSA-PSS with SHA-256."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return der.sequence(der.oid("1.3.101.112"))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return der.sequence(der.oid(ECDSA_OIDS[digest]))
    if digest != "pss":
        return der.sequence(der.oid(RSA_OIDS[digest]), der.null())
    sha256 = der.sequence(der.oid(SHA256_OID), der.null())
    mgf1 = der.sequence(der.oid("1.2.840.113549.1.1.8"), sha256)
    return der.sequence(der.oid("1.2.840.113549.1.1.10"),
                        der.sequence(der.explicit(0, sha256), der.explicit(1, mgf1), der.explicit(2, der.integer(32))))


def signature(key, digest, data):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(HASHES[digest]()))
    if digest == "pss":
        return key.sign(data, pss(), hashes.SHA256())
    return key.sign(data, padding.PKCS1v15(), HASHES[digest]())


# ---- Names -----------------------------------------------------------------------------------------

SRV_NAME, XMPP_ADDR = "1.3.6.1.5.5.7.8.7", "1.3.6.1.5.5.7.8.5"  # [RFC4985 2], [RFC6120 13.7.1.4]


def dn(common_name=None, kind=der.utf8):
    """A distinguished name; without a common name the empty one."""
    if common_name is None:
        return der.sequence()
    return der.sequence(der.tlv(0x31, der.sequence(der.oid("2.5.4.3"), kind(common_name))))


def _raw(text):
    return text if isinstance(text, bytes) else text.encode()


def dns(name):
    return der.tlv(0x82, _raw(name))


def mail(address):
    return der.tlv(0x81, _raw(address))


def uri(text):
    return der.tlv(0x86, _raw(text))


def address(*numbers):
    return der.tlv(0x87, bytes(numbers))


def directory(common_name):
    return der.explicit(4, dn(common_name))


def other(type_id, value):
    return der.explicit(0, der.oid(type_id), der.explicit(0, value))


def srv(name, kind=der.ia5):
    return other(SRV_NAME, kind(name))


def xmpp(jid, kind=der.utf8):
    return other(XMPP_ADDR, kind(jid))


# ---- Extensions ------------------------------------------------------------------------------------

SERVER_AUTH, CLIENT_AUTH, CODE_SIGNING, ANY_USE = (
    "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.3", "2.5.29.37.0")
USAGES = ("digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
          "keyCertSign", "cRLSign")


def extension(dotted, value, critical=False):
    return der.sequence(der.oid(dotted), der.boolean(True) if critical else b"", der.octets(value))


def names(*general_names, critical=False):
    return extension("2.5.29.17", der.sequence(*general_names), critical)


def constraints(ca, path=None):
    return extension("2.5.29.19", der.sequence(der.boolean(True) if ca else b"",
                                               b"" if path is None else der.integer(path)), True)


def usage(*usages):
    value = sum(0x80 >> USAGES.index(name) for name in usages)
    unused = (value & -value).bit_length() - 1
    return extension("2.5.29.15", der.bits(bytes([value]), unused), True)


def extended(*uses, critical=False):
    return extension("2.5.29.37", der.sequence(*(der.oid(use) for use in uses)), critical)


def name_constraints(permitted=(), excluded=(), critical=True):
    def subtrees(number, bases):
        return der.explicit(number, *(der.sequence(base) for base in bases)) if bases else b""

    return extension("2.5.29.30", der.sequence(subtrees(0, permitted), subtrees(1, excluded)), critical)


# ---- Certificates ----------------------------------------------------------------------------------


class Authority:
    """A name and a key that sign, and the certificate that says so."""

    def __init__(self, name, key, certificate):
        self.name, self.key, self.certificate = name, key, certificate


def certificate(subject, public, issuer, key, extensions=(), begin=-DAY, end=90 * DAY, digest="sha256", serial=None,
                version=3, inner=None, times=None):
    """The DER of a certificate. subject, issuer: names in DER; public: its key in DER; key: the issuer's. begin,
    end: from now; times: both in DER instead. inner: the algorithm that the signed part names."""
    outer = algorithm(key, digest)
    signed = der.sequence(
        der.explicit(0, der.integer(version - 1)) if version > 1 else b"",
        der.integer(int.from_bytes(os.urandom(15), "big") | 1 << 112 if serial is None else serial),
        inner or outer, issuer,
        der.sequence(times if times is not None else der.time(NOW + begin) + der.time(NOW + end)),
        subject, public, der.explicit(3, der.sequence(*extensions)) if extensions else b"")
    return der.sequence(signed, outer, der.bits(signature(key, digest, signed)))


def pem(data):
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(data).decode()}-----END CERTIFICATE-----\n"


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()
