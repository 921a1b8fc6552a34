# SPDX-License-Identifier: MIT
"""The authorities and servers that the cases are made of: a root, an authority below it, and servers certified by
that one unless a case says otherwise."""

import x509


class Chain:
    """What a server presents, with the key of the first certificate, and whom the client trusts."""

    def __init__(self, certificates, key, anchors, pss=False):
        self.certificates, self.key, self.anchors, self.pss = certificates, key, anchors, pss


class Pki:
    def __init__(self):
        self.keys = x509.Keys()
        self.root = self.authority("Root", None)
        self.middle = self.authority("Middle", self.root)
        self.stranger = self.authority("Stranger", None)

    def authority(self, name, issuer, kind="p256", path=None, basic=None, usage=None, more=(), subject=None,
                  public=None, key=None, **how):
        """An authority; without issuer it certifies itself. basic, usage: extensions, b"" for none."""
        key = key or self.keys(kind, name)
        subject = subject or x509.dn(name)
        extensions = [x509.constraints(True, path) if basic is None else basic,
                      x509.usage("digitalSignature", "keyCertSign", "cRLSign") if usage is None else usage, *more]
        certificate = x509.certificate(subject, public or x509.spki(key), issuer.name if issuer else subject,
                                       issuer.key if issuer else key, list(filter(None, extensions)), **how)
        return x509.Authority(subject, key, certificate)

    def server(self, *names, issuer=None, kind="p256", basic=None, usage=None, uses=None, more=(), subject="server",
               public=None, own=False, **how):
        """A server's key and certificate. names: GeneralNames, none for no subjectAltName; subject: common name, or
        None; basic, usage, uses: extensions, b"" for none; own: it certifies itself."""
        key, issuer = self.keys(kind), issuer or self.middle
        subject = x509.dn(subject)
        extensions = [x509.constraints(False) if basic is None else basic,
                      x509.usage("digitalSignature") if usage is None else usage,
                      x509.extended(x509.SERVER_AUTH) if uses is None else uses,
                      x509.names(*names) if names else b"", *more]
        certificate = x509.certificate(subject, public or x509.spki(key), subject if own else issuer.name,
                                       key if own else issuer.key, list(filter(None, extensions)), **how)
        return x509.Authority(subject, key, certificate)

    def chain(self, server, *others, anchors=None, pss=False):
        """server, then others; both as authorities or as DER."""
        certificates = [getattr(one, "certificate", one) for one in (server, *others)]
        trusted = [one.certificate for one in (anchors if anchors is not None else [self.root])]
        return Chain(certificates, getattr(server, "key", self.keys()), trusted, pss)

    def named(self, *names, **how):
        """A server with these names, certified as usual."""
        return self.chain(self.server(*names, **how), self.middle)

    def usual(self, **how):
        """A server with the right name, and something else about it."""
        return self.named(x509.dns("a.test"), **how)

    def below(self, *authorities, anchors=None, **how):
        """A server with the right name, certified by the first of authorities, which the others follow."""
        server = self.server(x509.dns("a.test"), issuer=authorities[0], **how)
        return self.chain(server, *authorities, anchors=anchors)
