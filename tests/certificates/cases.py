# SPDX-License-Identifier: MIT
"""The matrix. A case says what the certificate is, what the standards want of a client ("accept", "refuse", or
"either" where they leave it open, with RFC and section), and what xmpp_tiny does: "ok" or the name of its error.
Where that differs from the standards, or they leave it open, why says the reason."""

import dataclasses
import datetime

import der
from pki import Chain, Pki
from x509 import (ANY_USE, CLIENT_AUTH, CODE_SIGNING, DAY, NOW, SERVER_AUTH, XMPP_ADDR, Authority, address, algorithm,
                  constraints, directory, dn, dns, explicit_spki, extended, extension, mail, name_constraints, names,
                  other, pss_spki, srv, uri, usage, xmpp)

YEAR = 365 * DAY
PRIVATE = "1.3.6.1.4.1.55555.1"  # an extension nobody knows
IDN, U_LABEL = "xn--bcher-kva.test", "bücher.test"


@dataclasses.dataclass
class Case:
    name: str
    what: str
    rfc: str
    ours: str
    chain: Chain
    domain: str = "a.test"
    why: str = ""

    def verdict(self):
        return self.rfc.split(" ")[0]

    def section(self):
        return self.rfc.partition(" ")[2]

    def deviates(self):
        return self.verdict() == ("refuse" if self.ours == "ok" else "accept")


def dns_names(p):
    def case(name, rfc, ours, *held, what=None, domain="a.test", why=""):
        what = what or "dNSName " + ", ".join(f"`{one}`" for one in held)
        return Case(name, what, rfc, ours, p.named(*(dns(one) for one in held)), domain, why)

    match, not_it = "accept 9525 6.3", "refuse 9525 6.3"
    yield case("exact", match, "ok", "a.test")
    yield case("upper case", match, "ok", "A.TEST")
    yield case("upper case in the JID", match, "ok", "a.test", what="dNSName `a.test` for the JID's domain `A.TEST`",
               domain="A.TEST")
    yield case("trailing dot in the JID", "accept 7622 3.2", "ok", "a.test",
               what="dNSName `a.test` for the JID's domain `a.test.`", domain="a.test.")
    yield case("one of three", match, "ok", "b.test", "c.test", "a.test")
    yield case("200 names", match, "ok", *(f"host-{i}.test" for i in range(199)), "a.test",
               what="200 dNSNames, `a.test` the last")
    yield case("another name", not_it, "CERT_NAME", "b.test")
    yield case("a name below", not_it, "CERT_NAME", "x.a.test")
    yield case("the name above", not_it, "CERT_NAME", "test")
    yield case("longer at the front", not_it, "CERT_NAME", "aa.test")
    yield case("longer at the end", not_it, "CERT_NAME", "a.test.example")
    yield case("trailing dot", "refuse 5280 4.2.1.6", "CERT_NAME", "a.test.")
    yield case("leading dot", "refuse 5280 4.2.1.6", "CERT_NAME", ".a.test")
    yield case("leading dot, one label", "refuse 5280 4.2.1.6", "CERT_NAME", ".test")
    yield case("empty", "refuse 5280 4.2.1.6", "CERT_NAME", "", what="an empty dNSName")
    yield case("blank before", "refuse 5280 4.2.1.6", "CERT_NAME", " a.test",
               what="dNSName with a blank before `a.test`")
    yield case("NUL inside", not_it, "CERT_NAME", b"a.test\0.b.test", what="dNSName `a.test`, a NUL, `.b.test`")
    yield case("NUL at the end", not_it, "CERT_NAME", b"a.test\0", what="dNSName `a.test` and a NUL")
    yield case("A-label", match, "ok", IDN, domain=IDN, what=f"dNSName `{IDN}` for that domain")
    yield case("A-label, upper case", match, "ok", IDN.upper(), domain=IDN, what=f"dNSName `{IDN.upper()}` for `{IDN}`")
    yield case("U-label", "refuse 9525 2", "CERT_NAME", U_LABEL.encode(), domain=IDN,
               what=f"dNSName `{U_LABEL}` in UTF-8 for `{IDN}`")
    yield case("U-label in the JID", match, "ok", IDN, domain=U_LABEL, what=f"dNSName `{IDN}` for `{U_LABEL}`")
    yield case("U-label in both", "refuse 9525 2", "CERT_NAME", U_LABEL.encode(), domain=U_LABEL,
               what=f"dNSName `{U_LABEL}` in UTF-8 for that domain")


def wildcards(p):
    def case(held, domain, rfc, ours, why="", what=""):
        return Case(f"`{held}` for `{domain}`", what or f"dNSName `{held}`", rfc, ours, p.named(dns(held)), domain, why)

    match, not_it = "accept 9525 6.3", "refuse 9525 6.3"
    yield case("*.a.test", "x.a.test", match, "ok")
    yield case("*.A.TEST", "x.a.test", match, "ok")
    yield case("*.a.test", "xn--bcher-kva.a.test", match, "ok", what="a wildcard over an A-label")
    yield case("*.xn--bcher-kva.test", "x.xn--bcher-kva.test", match, "ok", what="a wildcard beside an A-label")
    yield case("*.co.test", "a.co.test", match, "ok", what="perhaps a public suffix; no list of them is kept")
    yield case("*.test", "a.test", match, "CERT_NAME", "it would vouch for all of a top-level domain [9525 7.1]")
    yield case("*.a.test", "a.test", not_it, "CERT_NAME")
    yield case("*.a.test", "x.y.a.test", not_it, "CERT_NAME")
    yield case("a*.test", "a.test", not_it, "CERT_NAME")
    yield case("*a.test", "a.test", not_it, "CERT_NAME")
    yield case("x*.a.test", "xy.a.test", not_it, "CERT_NAME")
    yield case("*y.a.test", "xy.a.test", not_it, "CERT_NAME")
    yield case("xn--*.a.test", "xn--bcher-kva.a.test", not_it, "CERT_NAME")
    yield case("*.*.test", "x.a.test", not_it, "CERT_NAME")
    yield case("**.a.test", "x.a.test", not_it, "CERT_NAME")
    yield case("x.*.test", "x.a.test", not_it, "CERT_NAME")
    yield case("*", "a.test", not_it, "CERT_NAME")
    yield case("*.", "a.test", not_it, "CERT_NAME")
    yield case("*", "localhost", match, "CERT_NAME", "it would vouch for every name without a dot")


def other_names(p):
    def case(name, what, rfc, ours, *held, domain="a.test", why="", **how):
        return Case(name, what, rfc, ours, p.named(*held, **how), domain, why)

    service, no_name = "accept 9525 6.5", "refuse 9525 6.6"
    client, direct = "_xmpp-client.a.test", "_xmpps-client.a.test"
    yield case("SRV-ID", f"SRVName `{client}`", service, "ok", srv(client))
    yield case("SRV-ID, direct TLS", f"SRVName `{direct}`", "either 9525 6.1.1", "ok", srv(direct),
               why="the service's name in DNS [XEP-0368]")
    yield case("SRV-ID, upper case", "SRVName `_XMPP-CLIENT.A.TEST`", service, "ok", srv(client.upper()))
    yield case("SRV-ID beside another name", f"dNSName `b.test`, SRVName `{client}`", service, "ok", dns("b.test"),
               srv(client))
    yield case("SRV-ID for servers", "SRVName `_xmpp-server.a.test`", "refuse 9525 6.5", "CERT_NAME",
               srv("_xmpp-server.a.test"))
    yield case("SRV-ID for another service", "SRVName `_imaps.a.test`", "refuse 9525 6.5", "CERT_NAME",
               srv("_imaps.a.test"))
    yield case("SRV-ID, another domain", "SRVName `_xmpp-client.b.test`", "refuse 9525 6.3", "CERT_NAME",
               srv("_xmpp-client.b.test"))
    yield case("SRV-ID with a wildcard", "SRVName `_xmpp-client.*.a.test` for `x.a.test`", "accept 9525 6.3",
               "CERT_NAME", srv("_xmpp-client.*.a.test"), domain="x.a.test", why="wildcards count in dNSNames only")
    yield case("SRV-ID without a service", "SRVName `a.test`", "refuse 9525 6.5", "CERT_NAME", srv("a.test"))
    yield case("SRV-ID, NUL inside", f"SRVName `{client}`, a NUL, `.b.test`", "refuse 9525 6.3", "CERT_NAME",
               srv(client.encode() + b"\0.b.test"))
    yield case("SRV-ID of another string type", f"SRVName `{client}` as UTF8String", "refuse 4985 2", "CERT_NAME",
               srv(client, der.utf8))
    yield case("SRV-ID as a dNSName", f"dNSName `{client}`", "refuse 9525 6.3", "CERT_NAME", dns(client))
    yield case("XmppAddr", "XmppAddr `a.test`", "accept 6120 13.7.2.1", "ok", xmpp("a.test"))
    yield case("XmppAddr, upper case", "XmppAddr `A.TEST`", "accept 6120 13.7.2.1", "ok", xmpp("A.TEST"))
    yield case("XmppAddr of a user", "XmppAddr `alice@a.test`", "refuse 6120 13.7.2.1", "CERT_NAME",
               xmpp("alice@a.test"))
    yield case("XmppAddr with a resource", "XmppAddr `a.test/x`", "refuse 6120 13.7.2.1", "CERT_NAME", xmpp("a.test/x"))
    yield case("XmppAddr, another domain", "XmppAddr `b.test`", "refuse 6120 13.7.2.1", "CERT_NAME", xmpp("b.test"))
    yield case("XmppAddr with a wildcard", "XmppAddr `*.a.test` for `x.a.test`", "refuse 6120 13.7.1.4", "CERT_NAME",
               xmpp("*.a.test"), domain="x.a.test")
    yield case("XmppAddr, NUL inside", "XmppAddr `a.test`, a NUL, `.b.test`", "refuse 6120 13.7.2.1", "CERT_NAME",
               xmpp(b"a.test\0.b.test"))
    yield case("XmppAddr of another string type", "XmppAddr `a.test` as IA5String", "refuse 6120 13.7.1.4", "CERT_NAME",
               xmpp("a.test", der.ia5))
    yield case("unknown otherName", "otherName of an unknown type, a UTF8String `a.test`", no_name, "CERT_NAME",
               other(PRIVATE, der.utf8("a.test")))
    yield case("name inside an unknown otherName", "otherName of an unknown type that holds a dNSName `a.test`",
               no_name, "CERT_NAME", other(PRIVATE, dns("a.test")))
    yield case("address connected to", "iPAddress 127.0.0.1", no_name, "CERT_NAME", address(127, 0, 0, 1))
    yield case("address as the domain", "iPAddress 127.0.0.1 for the JID's domain `127.0.0.1`", "accept 9525 6.4",
               "CERT_NAME", address(127, 0, 0, 1), domain="127.0.0.1", why="a server's identity is a domain's name")
    yield case("address as a dNSName", "dNSName `127.0.0.1` for the JID's domain `127.0.0.1`", "refuse 9525 6.4",
               "CERT_NAME", dns("127.0.0.1"), domain="127.0.0.1")
    yield case("IPv6 address as a dNSName", "dNSName `[::1]` for the JID's domain `[::1]`", "refuse 9525 6.4",
               "CERT_NAME", dns("[::1]"), domain="[::1]")
    yield case("URI", "URI `xmpp:a.test`", no_name, "CERT_NAME", uri("xmpp:a.test"))
    yield case("URI with a host", "URI `xmpp://a.test`", no_name, "CERT_NAME", uri("xmpp://a.test"))
    yield case("e-mail", "rfc822Name `alice@a.test`", no_name, "CERT_NAME", mail("alice@a.test"))
    yield case("directory name", "directoryName with the common name `a.test`", no_name, "CERT_NAME",
               directory("a.test"))
    yield case("common name only", "common name `a.test`, no subjectAltName", "refuse 9525 2", "CERT_NAME",
               subject="a.test")
    yield case("common name beside another name", "common name `a.test`, dNSName `b.test`", "refuse 9525 2",
               "CERT_NAME", dns("b.test"), subject="a.test")
    yield case("common name beside e-mail", "common name `a.test`, rfc822Name `alice@b.test`", "refuse 9525 2",
               "CERT_NAME", mail("alice@b.test"), subject="a.test")
    yield case("name for the issuer", "issuerAltName with a dNSName `a.test`", no_name, "CERT_NAME",
               more=[extension("2.5.29.18", der.sequence(dns("a.test")))])
    yield case("an extension like it", "dNSName `a.test` in 2.5.29.17.1", no_name, "CERT_NAME",
               more=[extension("2.5.29.17.1", der.sequence(dns("a.test")))])
    above = p.authority("Named", p.root, more=[names(dns("a.test"))])
    yield Case("name of the authority", "dNSName `a.test` in the authority's certificate", no_name, "CERT_NAME",
               p.chain(p.server(dns("b.test"), issuer=above), above))
    yield case("no name at all", "no subject, no subjectAltName", no_name, "CERT_NAME", subject=None)
    yield case("no subject", "dNSName `a.test`, empty subject", "refuse 6120 13.7.1.1", "ok", subject=None,
               more=[names(dns("a.test"), critical=True)],
               why="public authorities issue such certificates, and 9525 reads no subject")


def key_usages(p):
    right, uses = "accept 5280 4.2.1.12", "refuse 5280 4.2.1.12"

    def below(**how):
        return p.below(p.authority("Limited", p.root, **how))

    yield Case("no extendedKeyUsage", "for any use", right, "ok", p.usual(uses=b""))
    yield Case("serverAuth", "for servers", right, "ok", p.usual(uses=extended(SERVER_AUTH)))
    yield Case("serverAuth, critical", "for servers, critical", right, "CERT",
               p.usual(uses=extended(SERVER_AUTH, critical=True)), why="BearSSL does not know the extension")
    yield Case("serverAuth among others", "for clients and servers", right, "ok",
               p.usual(uses=extended(CLIENT_AUTH, SERVER_AUTH)))
    yield Case("anyExtendedKeyUsage", "for any use, said so", "either 5280 4.2.1.12", "ok",
               p.usual(uses=extended(ANY_USE)))
    yield Case("clientAuth", "for clients only", uses, "CERT", p.usual(uses=extended(CLIENT_AUTH)))
    yield Case("codeSigning", "for signing programs", uses, "CERT", p.usual(uses=extended(CODE_SIGNING)))
    yield Case("for nothing", "an extendedKeyUsage without a use", uses, "CERT", p.usual(uses=extended()))
    yield Case("id-on-xmppAddr as a use", "for XMPP only", "accept 6120 13.7.1.4", "CERT",
               p.usual(uses=extended(XMPP_ADDR)), why="no authority is known to issue it")
    yield Case("authority for servers", "the authority has serverAuth", right, "ok",
               below(more=[extended(SERVER_AUTH)]))
    yield Case("authority for any use", "the authority has anyExtendedKeyUsage", "either 5280 4.2.1.12", "ok",
               below(more=[extended(ANY_USE)]))
    yield Case("authority for clients", "the authority has clientAuth only", "either 5280 4.2.1.12", "CERT",
               below(more=[extended(CLIENT_AUTH)]), why="taken as a limit, as the web's authorities do")
    yield Case("authority above for clients", "the authority above the server's has clientAuth only",
               "either 5280 4.2.1.12", "CERT", two_below(p, more=[extended(CLIENT_AUTH)]), why="likewise")
    signing = "refuse 5246 7.4.2"
    yield Case("no keyUsage", "the server's key is not limited", "accept 5246 7.4.2", "ok", p.usual(usage=b""))
    yield Case("keyEncipherment", "RSA, without digitalSignature", signing, "TLS",
               p.usual(kind="rsa2048", usage=usage("keyEncipherment")))
    yield Case("keyAgreement", "EC, without digitalSignature", signing, "TLS", p.usual(usage=usage("keyAgreement")))
    yield Case("nonRepudiation", "nonRepudiation without digitalSignature", signing, "ok",
               p.usual(usage=usage("nonRepudiation")),
               why="BearSSL takes it for the same")
    yield Case("authority without keyUsage", "the authority's key is not limited", "refuse 6120 13.7.1.1", "ok",
               below(usage=b""), why="5280 6.1.4 looks at it only where it is")
    yield Case("authority without digitalSignature", "the authority has keyCertSign and cRLSign",
               "refuse 6120 13.7.1.1", "ok", below(usage=usage("keyCertSign", "cRLSign")),
               why="5280 asks for keyCertSign only")
    yield Case("authority without keyCertSign", "the authority has digitalSignature only", "refuse 5280 6.1.4", "CERT",
               below(usage=usage("digitalSignature")))
    yield Case("authority that signs lists", "the authority has cRLSign only", "refuse 5280 6.1.4", "CERT",
               below(usage=usage("cRLSign")))


def two_below(p, **how):
    """root, an authority with something about it, one below that, the server."""
    upper = p.authority("Upper", p.root, **how)
    return p.below(p.authority("Lower", upper), upper)


def authorities(p):
    def tower(*paths, anchors=None):
        """Authorities with these path lengths, from the root's side."""
        line = []
        for i, path in enumerate(paths):
            line.insert(0, p.authority(f"Floor {i}", line[0] if line else p.root, path=path))
        return p.below(*line, anchors=anchors)

    no_ca = "refuse 5280 6.1.4"
    yield Case("server that is an authority", "the server's certificate has CA true", "refuse 6120 13.7.1.1", "ok",
               p.usual(basic=constraints(True)), why="what tools make when asked for a self-signed certificate")
    yield Case("server without basicConstraints", "a server's certificate needs none", "accept 5280 4.2.1.9", "ok",
               p.usual(basic=b""))
    yield Case("authority without basicConstraints", "version 3 and no basicConstraints", no_ca, "CERT",
               p.below(p.authority("Plain", p.root, basic=b"")))
    yield Case("authority with CA false", "certified by what is no authority", no_ca, "CERT",
               p.below(p.authority("Plain", p.root, basic=constraints(False))))
    yield Case("authority of version 1", "no extensions at all", no_ca, "CERT",
               p.below(p.authority("Plain", p.root, basic=b"", usage=b"", version=1)))
    yield Case("server certified by a server", "certified with the key of another server", no_ca, "CERT",
               p.below(p.server(dns("b.test"), subject="other"), p.middle))
    yield Case("path length met", "path length 0, the server next", "accept 5280 4.2.1.9", "ok", tower(0))
    yield Case("path length met, two", "path lengths 1 and 0", "accept 5280 4.2.1.9", "ok", tower(1, 0))
    yield Case("path length exceeded", "path length 0, one more authority", "refuse 5280 4.2.1.9", "CERT",
               tower(0, None))
    yield Case("path length exceeded, two", "path length 1, two more authorities", "refuse 5280 4.2.1.9", "CERT",
               tower(1, None, None))
    lower = p.authority("Renewed", p.root, path=0)
    renewed = p.authority("Renewed", lower, path=0, key=p.keys("p256", "new"))
    yield Case("path length, renewed key", "path length 0; the authority certifies its own new key",
               "accept 5280 6.1.4", "CERT", p.below(renewed, lower), why="BearSSL counts such certificates, too")
    short = p.authority("Short", None, path=0)
    under = p.authority("Under", short)
    yield Case("path length of the anchor", "the root has path length 0, one more authority", "either 5280 6.1.1", "ok",
               p.below(under, anchors=[short]), why="an anchor is a name and a key")
    bound = p.authority("Bound", None, more=[name_constraints([dns("b.test")])])
    yield Case("name constraints of the anchor", "the root permits `b.test` only", "either 5280 6.2", "ok",
               p.below(p.authority("Bound below", bound), anchors=[bound]), why="likewise")


def extensions(p):
    def below(*more):
        return p.below(p.authority("Special", p.root, more=more))

    unknown, ignored = extension(PRIVATE, der.null(), True), extension(PRIVATE, der.null())
    yield Case("unknown", "the server's has an unknown extension", "accept 5280 4.2", "ok", p.usual(more=[ignored]))
    yield Case("unknown, critical", "the server's has an unknown critical extension", "refuse 5280 4.2", "CERT",
               p.usual(more=[unknown]))
    yield Case("authority, unknown", "the authority's has an unknown extension", "accept 5280 4.2", "ok",
               below(ignored))
    yield Case("authority, unknown, critical", "the authority's has an unknown critical extension", "refuse 5280 4.2",
               "CERT", below(unknown))
    policy = der.sequence(der.oid("2.23.140.1.2.1"))
    qualifier = der.sequence(der.oid("1.3.6.1.5.5.7.2.1"), der.ia5("https://ca.test/"))
    qualified = der.sequence(der.oid("2.23.140.1.2.1"), der.sequence(qualifier))
    yield Case("policies, critical", "critical certificatePolicies, one with a CPS pointer", "accept 5280 4.2.1.4",
               "ok", p.usual(more=[extension("2.5.29.32", der.sequence(policy, qualified), True)]))
    followed = extension("2.5.29.32", der.sequence(policy))
    strict = p.authority("Strict", p.root, more=[
        followed, extension("2.5.29.36", der.sequence(der.tlv(0x80, b"\0")), True)])
    yield Case("policy constraints", "the authority's has critical policyConstraints, which are met",
               "accept 5280 6.1.4", "CERT", p.below(strict, more=[followed]), why="BearSSL does not know the extension")
    yield Case("twice the same", "subjectAltName twice, `b.test` and `a.test`", "refuse 5280 4.2", "ok",
               p.named(dns("b.test"), more=[names(dns("a.test"))]), why="an authority has signed both")
    satisfied, violated = "accept 5280 4.2.1.10", "refuse 5280 4.2.1.10"
    unchecked = "BearSSL cannot check name constraints: any are refused"
    inside, outside = [dns("a.test")], [dns("b.test")]
    yield Case("name constraints, satisfied", "permitted: `a.test`; critical", satisfied, "CERT",
               below(name_constraints(inside)), why=unchecked)
    yield Case("name constraints, satisfied, not critical", "permitted: `a.test`; not critical", satisfied, "CERT",
               below(name_constraints(inside, critical=False)), why="likewise")
    yield Case("name constraints, excluded others", "excluded: `b.test`; critical", satisfied, "CERT",
               below(name_constraints(excluded=outside)), why="likewise")
    yield Case("name constraints, violated", "permitted: `b.test`; critical", violated, "CERT",
               below(name_constraints(outside)))
    yield Case("name constraints, violated, not critical", "permitted: `b.test`; not critical", violated, "CERT",
               below(name_constraints(outside, critical=False)))
    yield Case("name constraints, excluded", "excluded: `a.test`; critical", violated, "CERT",
               below(name_constraints(excluded=inside)))
    yield Case("name constraints, excluded, not critical", "excluded: `a.test`; not critical", violated, "CERT",
               below(name_constraints(excluded=inside, critical=False)))
    yield Case("name constraints, two up", "permitted: `b.test`, two authorities up", violated, "CERT",
               two_below(p, more=[name_constraints(outside)]))


def dates(p):
    def below(**how):
        return p.below(p.authority("Dated", p.root, **how))

    def text(moment, shape):
        return der.tlv(0x17, moment.strftime(shape).encode())

    outside, form = "refuse 5280 6.1.3", "refuse 5280 4.1.2.5"
    hour = DAY / 24
    yield Case("expired", "the server's ended an hour ago", outside, "CERT_TIME", p.usual(end=-hour))
    yield Case("not yet valid", "the server's begins in an hour", outside, "CERT_TIME", p.usual(begin=hour))
    yield Case("ends in an hour", "valid for one more hour", "accept 5280 6.1.3", "ok", p.usual(end=hour))
    yield Case("begin after end", "begins in an hour and ended an hour ago", outside, "CERT_TIME",
               p.usual(begin=hour, end=-hour))
    yield Case("authority expired", "the authority's ended an hour ago", outside, "CERT_TIME", below(end=-hour))
    yield Case("authority not yet valid", "the authority's begins in an hour", outside, "CERT_TIME", below(begin=hour))
    old = p.authority("Old root", None, begin=-2 * YEAR, end=-YEAR)
    yield Case("anchor expired", "the root that is trusted ended a year ago", "accept 5280 6.1.1", "ok",
               p.below(p.authority("Young", old), anchors=[old]))
    yield Case("after 2050", "ends in 2060, GeneralizedTime", "accept 5280 4.1.2.5", "ok",
               p.usual(end=datetime.datetime(2060, 1, 1) - NOW))
    yield Case("for ever", "ends in 9999, GeneralizedTime", "accept 5280 4.1.2.5", "ok",
               p.usual(end=datetime.datetime(9999, 12, 31, 23, 59, 59) - NOW))
    yield Case("GeneralizedTime before 2050", "where UTCTime belongs", "accept 5280 4.1.2.5", "ok",
               p.usual(times=der.generalized_time(NOW - DAY) + der.generalized_time(NOW + DAY)))
    yield Case("time zone", "UTCTime with `+0000`", form, "CERT",
               p.usual(times=der.time(NOW - DAY) + text(NOW + DAY, "%y%m%d%H%M%S+0000")))
    yield Case("no seconds", "UTCTime without seconds", form, "CERT",
               p.usual(times=der.time(NOW - DAY) + text(NOW + DAY, "%y%m%d%H%MZ")))
    yield Case("no such day", "ends on 31 February", form, "CERT",
               p.usual(times=der.time(NOW - DAY) + text(NOW + YEAR, "%y0231000000Z")))


def algorithms(p):
    def signed(kind, digest="sha256", **how):
        return p.below(p.authority(f"Signs with {kind}", p.root, kind=kind), digest=digest, **how)

    def upper(kind, digest):
        above = p.authority(f"Signs with {kind}", p.root, kind=kind)
        return p.below(p.authority("Below", above, digest=digest), above)

    size, digest = "9325 4.5", "9325 4.5"
    yield Case("RSA 2048", "the server's key", f"accept {size}", "ok", p.usual(kind="rsa2048"))
    yield Case("RSA 4096", "the server's key", f"accept {size}", "ok", p.usual(kind="rsa4096"))
    yield Case("RSA 4104", "the server's key", f"either {size}", "TLS", p.usual(kind="rsa4104"),
               why="BearSSL holds keys of up to 4,096 bits")
    yield Case("RSA 2047", "the server's key", f"refuse {size}", "CERT", p.usual(kind="rsa2047"))
    yield Case("RSA 1024", "the server's key", f"refuse {size}", "CERT", p.usual(kind="rsa1024"))
    yield Case("RSA 2048, exponent 3", "the server's key", "accept 8017 3.1", "ok", p.usual(kind="rsa2048e3"))
    yield Case("P-384", "the server's key", "accept 8422 5.1.1", "ok", p.usual(kind="p384"))
    yield Case("P-521", "the server's key", "either 8422 5.1.1", "TLS", p.usual(kind="p521"),
               why="the curve is not offered")
    yield Case("secp256k1", "the server's key", "either 8422 5.1.1", "CERT", p.usual(kind="k256"),
               why="the curve is not offered")
    yield Case("explicit curve", "P-256 by its numbers instead of its name", "refuse 5480 2.1.1", "CERT",
               p.usual(public=explicit_spki(p.keys())))
    yield Case("Ed25519", "the server's key", "either 8422 5.1.1", "CERT", p.usual(kind="ed25519"),
               why="not supported by BearSSL")
    pss_server = p.server(dns("a.test"), kind="rsa2048", public=pss_spki(p.keys("rsa2048")))
    yield Case("RSA-PSS key", "the server's key is for PSS alone", "either 5246 7.4.2", "CERT",
               p.chain(pss_server, p.middle, pss=True), why="not supported by BearSSL")
    yield Case("authority RSA 2048", "signs with SHA-256", f"accept {size}", "ok", signed("rsa2048"))
    yield Case("authority RSA 4096", "signs with SHA-512", f"accept {size}", "ok", signed("rsa4096", "sha512"))
    yield Case("authority RSA 1024", "signs the server's", f"refuse {size}", "CERT", signed("rsa1024"))
    yield Case("authority above RSA 1024", "signs the authority's", f"refuse {size}", "CERT",
               upper("rsa1024", "sha256"))
    yield Case("authority P-384", "signs with SHA-384", "accept 8422 5.1.1", "ok", signed("p384", "sha384"))
    yield Case("authority P-521", "signs with SHA-512", "either 8422 5.1.1", "CERT", signed("p521", "sha512"),
               why="the curve is not offered")
    yield Case("authority Ed25519", "signs the server's", "either 8422 5.1.1", "CERT", signed("ed25519"),
               why="not supported by BearSSL")
    yield Case("RSA-PSS signature", "the server's is signed so, with SHA-256", "either 5246 7.4.2", "CERT",
               signed("rsa2048", "pss"), why="not supported by BearSSL")
    yield Case("SHA-224", "the server's is signed with it", "either 5246 7.4.2", "CERT", signed("rsa2048", "sha224"),
               why="the hash is not offered")
    yield Case("SHA-1", "the server's is signed with it, RSA", f"refuse {digest}", "CERT", signed("rsa2048", "sha1"))
    yield Case("SHA-1, ECDSA", "the server's is signed with it", f"refuse {digest}", "CERT", signed("p256", "sha1"))
    yield Case("MD5", "the server's is signed with it", f"refuse {digest}", "CERT", signed("rsa2048", "md5"))
    yield Case("authority, SHA-1", "the authority's is signed with it", f"refuse {digest}", "CERT",
               upper("rsa2048", "sha1"))
    yield Case("authority, MD5", "the authority's is signed with it", f"refuse {digest}", "CERT",
               upper("rsa2048", "md5"))
    old = p.authority("Old SHA-1 root", None, kind="rsa2048", digest="sha1")
    new = p.authority("New", old)
    yield Case("root, SHA-1", "the trusted root, sent along, signs itself with it", "accept 5280 6.1", "ok",
               p.below(new, old, anchors=[old]))
    weak = p.authority("Weak root", None, kind="rsa1024")
    yield Case("anchor RSA 1024", "the trusted root's key", f"refuse {size}", "CERT_UNTRUSTED",
               p.below(p.authority("Above weak", weak), anchors=[weak]))


def broken(data):
    """A certificate whose signature is wrong by one bit."""
    return data[:-1] + bytes([data[-1] ^ 1])


def chains(p):
    server, middle, root = p.server(dns("a.test")), p.middle, p.root

    def shown(*certificates, anchors=None):
        return p.chain(server, *certificates, anchors=anchors)

    in_order, path = "either 5246 7.4.2", "accept 5280 6.1"
    order = "the chain has to be in order"
    yield Case("in order", "server, authority", path, "ok", shown(middle))
    yield Case("root sent along", "server, authority, root", path, "ok", shown(middle, root))
    yield Case("no authority between", "the root certifies the server", path, "ok", p.below(root))
    yield Case("root not sent, none between", "the root certifies the server, alone in the chain", path, "ok",
               p.chain(p.server(dns("a.test"), issuer=root)))
    line = [middle]
    for i in range(2, 11):
        line.insert(0, p.authority(f"Step {i}", line[0]))
    yield Case("three authorities", "server and three authorities", path, "ok", p.below(*line[-3:]))
    yield Case("ten authorities", "server and ten authorities", path, "ok", p.below(*line))
    yield Case("eleven authorities", "server and eleven authorities", path, "CERT",
               p.below(p.authority("Step 11", line[0]), *line),
               why="each costs a signature before anybody vouches for the chain; ten is the bound")
    yield Case("authority missing", "server alone", "refuse 5280 6.1", "CERT_UNTRUSTED", shown())
    yield Case("middle one missing", "server and the upper of two authorities", "refuse 5280 6.1", "CERT",
               p.chain(p.server(dns("a.test"), issuer=line[-2]), middle))
    yield Case("wrong order", "server, root, authority", in_order, "CERT", shown(root, middle), why=order)
    yield Case("server last", "authority, server", "refuse 5246 7.4.2", "CERT_NAME",
               Chain([middle.certificate, server.certificate], server.key, [root.certificate]))
    yield Case("server twice", "server, server, authority", in_order, "CERT", shown(server, middle), why=order)
    yield Case("stranger between", "server, an unrelated authority, authority", in_order, "CERT",
               shown(p.stranger, middle), why=order)
    yield Case("stranger at the end", "server, authority, an unrelated authority", in_order, "ok",
               shown(middle, p.stranger), why="what follows a trusted authority is not read")
    limited = p.authority("Limited stranger", None, more=[name_constraints([dns("b.test")]), extended(CLIENT_AUTH)])
    yield Case("limited stranger at the end", "the same, with name constraints and clientAuth only", in_order, "ok",
               shown(middle, limited), why="what follows a trusted authority is not read")
    yield Case("authority trusted", "the authority is the anchor, its root is not known", path, "ok",
               shown(middle, anchors=[middle]))
    yield Case("authority trusted, not sent", "server alone, its authority is the anchor", path, "ok",
               shown(anchors=[middle]))
    cross = p.authority("Root", p.stranger, key=root.key)
    yield Case("cross-signed, old root", "server, authority, root signed by a stranger; the stranger is trusted", path,
               "ok", shown(middle, cross, anchors=[p.stranger]))
    yield Case("cross-signed, new root", "the same; the root is trusted, the stranger is not", path, "ok",
               shown(middle, cross))
    other = p.authority("Middle", p.stranger, key=middle.key)
    yield Case("two certificates of one authority", "server, authority by a stranger, authority by the root",
               in_order, "CERT", shown(other, middle), why=order)
    yield Case("root of a stranger", "the whole chain is the stranger's", "refuse 5280 6.1", "CERT_UNTRUSTED",
               p.below(p.stranger))
    yield Case("self-signed", "the server certifies itself", "refuse 5280 6.1", "CERT_UNTRUSTED",
               p.chain(p.server(dns("a.test"), own=True)))
    own = p.server(dns("a.test"), own=True)
    yield Case("self-signed, trusted", "the server certifies itself and is the anchor", "accept 5280 6.1", "ok",
               p.chain(own, anchors=[own]))
    forged = p.authority("Root", None, key=p.keys("p256", "forged"))
    yield Case("forged root", "a root of the same name with another key, sent along", "refuse 5280 6.1.3",
               "CERT_UNTRUSTED", p.below(forged))
    false = p.authority("Middle", forged, key=p.keys("p256", "false"))
    yield Case("forged authority", "an authority of the same name, certified by the forged root", "refuse 5280 6.1.3",
               "CERT_UNTRUSTED", p.below(false, forged))
    mixed = p.server(dns("a.test"), issuer=Authority(middle.name, false.key, None))
    yield Case("forged server", "certified in the authority's name with another key", "refuse 5280 6.1.3", "CERT",
               p.chain(mixed, middle))
    yield Case("broken signature", "of the server's certificate", "refuse 5280 6.1.3", "CERT",
               Chain([broken(server.certificate), middle.certificate], server.key, [root.certificate]))
    yield Case("broken signature, authority", "of the authority's certificate", "refuse 5280 6.1.3", "CERT_UNTRUSTED",
               shown(broken(middle.certificate)))
    printable = p.authority("Printable", p.root, subject=dn("Printable", der.printable))
    written = Authority(dn("printable"), printable.key, None)
    yield Case("issuer written otherwise", "UTF8String and lower case for PrintableString and upper", "accept 5280 7.1",
               "CERT", p.chain(p.server(dns("a.test"), issuer=written), printable),
               why="names are compared byte by byte")


def forms(p):
    def present(data, key=None):
        return Chain([data, p.middle.certificate], key or p.keys(), [p.root.certificate])

    server = p.server(dns("a.test"))
    data = server.certificate
    body = data[4:]
    shape = "refuse 5280 4.1"
    yield Case("trailing garbage", "three bytes behind the server's certificate", shape, "CERT",
               present(data + b"\0\0\0"))
    yield Case("truncated", "the last byte of the server's certificate is missing", shape, "CERT", present(data[:-1]))
    yield Case("empty certificate", "the server's has no bytes", "refuse 5246 7.4.2", "CERT", present(b""))
    yield Case("empty chain", "no certificate", "refuse 5246 7.4.2", "TLS", Chain([], p.keys(), [p.root.certificate]))
    yield Case("not a certificate", "text", shape, "CERT", present(b"-----BEGIN CERTIFICATE-----\n" * 20))
    yield Case("indefinite length", "BER", shape, "CERT", present(b"\x30\x80" + body + b"\0\0"))
    yield Case("padded length", "a length in four bytes where two do", shape, "CERT",
               present(b"\x30\x84\0\0" + data[2:4] + body))
    yield Case("padded length, three bytes", "a length in three bytes where two do", shape, "CERT",
               present(b"\x30\x83\0" + data[2:4] + body))
    yield Case("two algorithms", "signed with SHA-256, the signed part says SHA-384", "refuse 5280 4.1.1.2", "ok",
               p.usual(inner=algorithm(p.middle.key, "sha384")),
               why="BearSSL reads the outer one only and checks with that")
    yield Case("version 1 with extensions", "extensions where none may be", "refuse 5280 4.1.2.9", "ok",
               p.usual(version=1), why="BearSSL does not look at the version for that")
    yield Case("version 4", "a version that does not exist", "refuse 5280 4.1.2.1", "CERT", p.usual(version=4))
    half = extension("2.5.29.17", der.sequence(dns("a.test"), b"\x82"))
    yield Case("half a name", "subjectAltName that ends inside an element, `a.test` before it", "refuse 5280 4.2.1.6",
               "CERT", p.named(more=[half]))
    yield Case("serial of 20 bytes", "the longest there may be", "accept 5280 4.1.2.2", "ok", p.usual(serial=1 << 158))
    yield Case("serial of 21 bytes", "one more", "either 5280 4.1.2.2", "ok", p.usual(serial=1 << 166))
    yield Case("serial of 300 bytes", "many more", "either 5280 4.1.2.2", "ok", p.usual(serial=1 << 2398))
    yield Case("serial 0", "not a positive number", "either 5280 4.1.2.2", "ok", p.usual(serial=0))
    yield Case("serial -1", "not a positive number", "either 5280 4.1.2.2", "ok", p.usual(serial=-1))
    yield Case("20,000 bytes", "more than a record of TLS", "accept 5246 6.2.1", "ok",
               p.usual(more=[extension(PRIVATE, der.octets(bytes(20000)))]))
    yield Case("70,000 bytes", "as long as this", "either 5246 7.4.2", "CERT",
               p.usual(more=[extension(PRIVATE, der.octets(bytes(70000)))]),
               why="a server's certificate may have 65,535 bytes")

    yield Case("authority of 70,000 bytes", "likewise", "either 5246 7.4.2", "CERT",
               p.below(p.authority("Large", p.root, more=[extension(PRIVATE, der.octets(bytes(70000)))])),
               why="likewise")


GROUPS = (("dNSName", dns_names), ("wildcard", wildcards), ("other names", other_names), ("usage", key_usages),
          ("authority", authorities), ("extension", extensions), ("date", dates), ("algorithm", algorithms),
          ("chain", chains), ("form", forms))


def cases():
    pki = Pki()
    for group, make in GROUPS:
        for case in make(pki):
            case.name = f"{group}: {case.name}"
            yield case
