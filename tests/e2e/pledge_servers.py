# SPDX-License-Identifier: MIT
"""The servers of the pledge's tests, and what their logs say of logins."""

import glob
import os
import shutil

from harness import Ejabberd, Failure, Prosody, until, write
from pledge_pki import certificate

# Certificates and their domains. Two Prosodys and an ejabberd federate: near, far and erl are believed for
# their certificates, those with dialback in their names for dialback, and untrusted not at all.
HOSTS = [f"{name}a.test" for name in ("", "anon.", "endp.", "ext.", "closed.", "form.", "sha1.", "sha256.", "hash.")]
CERTIFICATES = {"pledge": HOSTS, "relay": HOSTS, "near": ["near.test"], "far": ["far.test"],
                "erl": [*HOSTS, "erl.test"]}
SELF_SIGNED = ("dialback", "untrusted", "erl-dialback")

FEDERATED = """\
modules_disabled = {{ "offline" }}
s2s_ports = {{ {s2s} }}
s2s_require_encryption = true
s2s_secure_auth = true
s2s_insecure_domains = {{ "dialback.test"; "erl-dialback.test" }}
unbound = {{ resolvconf = false; hoststxt = false; trustfile = "/dev/null"; forward = "127.0.0.1@{dns}";
  options = {{ ["local-zone:"] = "test. transparent"; ["do-not-query-localhost:"] = "no" }} }}
ssl = {{ certificate = "{pki}/{first}.crt"; key = "{pki}/{first}.key"; cafile = "{pki}/ca.crt"; capath = false }}
"""
FEDERATED_HOST = """\
VirtualHost "{name}.test"
  modules_enabled = {{ "dialback" }}
  ssl = {{ certificate = "{pki}/{name}.crt"; key = "{pki}/{name}.key" }}
"""


def make_certificates(pki):
    for name, domains in CERTIFICATES.items():
        certificate(pki, name, domains)
    for name in SELF_SIGNED:
        certificate(pki, name, [f"{name}.test"], authority=None)


ACCOUNTS = """\
c2s_direct_tls_ssl = {{ certificate = "{pki}/pledge.crt"; key = "{pki}/pledge.key"; cafile = "{pki}/ca.crt";
  capath = false; verify = {{ "peer", "client_once" }}; verifyext = {{ lsec_ignore_purpose = false }} }}
ssl = {{ certificate = "{pki}/pledge.crt"; key = "{pki}/pledge.key"; cafile = "{pki}/ca.crt" }}
VirtualHost "a.test"
  modules_enabled = {{ "register" }}
  allow_registration = true
VirtualHost "closed.a.test"
  modules_enabled = {{ "register" }}
  allow_registration = false
VirtualHost "form.a.test"
  modules_enabled = {{ "register" }}
  allow_registration = true
  additional_registration_fields = {{ "email+" }}
VirtualHost "anon.a.test"
  authentication = "anonymous"
VirtualHost "endp.a.test"
  ssl = {{ certificate = "{pki}/pledge.crt"; key = "{pki}/pledge.key" }}
  modules_enabled = {{ "e2e_endpoint" }}
VirtualHost "ext.a.test"
  authentication = "ccert"
  c2s_ssl = {{ cafile = "{pki}/ca.crt"; capath = false; verify = {{ "peer", "client_once" }};
    verifyext = {{ lsec_ignore_purpose = false }} }}
VirtualHost "sha1.a.test"
  authentication = "internal_hashed"
  modules_enabled = {{ "register" }}
VirtualHost "sha256.a.test"
  authentication = "internal_hashed"
  password_hash = "SHA-256"
  modules_enabled = {{ "register" }}
"""


class Accounts(Prosody):
    """Accounts may be made, and are kept in several ways. Its direct port asks for a client's certificate, too."""

    def __init__(self, base, pki, *users):
        super().__init__(base, pki, users, [])

    def sections(self, _):
        return ACCOUNTS


TRUSTED = """\
ssl = {{ certificate = "{base}/server.crt"; key = "{base}/server.key" }}
VirtualHost "a.test"
  authentication = "internal_hashed"
  modules_enabled = {{ "register" }}
  allow_registration = true
"""


class Changing(Prosody):
    """Begins anew with other certificates. Keeps its salts: what is saved changes with the certificate alone."""

    name = "changing"

    def __init__(self, base, pki, *users):
        super().__init__(base, pki, users, [])

    def sections(self, _):
        return TRUSTED

    def present(self, name):
        """Goes on with that certificate of the tests'."""
        if self.child:
            self.stop()
            os.unlink(os.path.join(self.base, "server.log"))  # the start is seen there
        for kind in ("crt", "key"):
            shutil.copy(self.pem(name, kind), os.path.join(self.base, f"server.{kind}"))
        self.start()


class FederatedProsody(Prosody):
    """Tells the name server where it is before anybody can ask."""

    def __init__(self, base, pki, names, *accounts):
        self.names = names
        if not glob.glob("/usr/lib/*/lua/5.*/lunbound.so"):
            raise Failure("lua-unbound is missing: apt-get install lua-unbound")
        super().__init__(base, pki, accounts, [])

    def sections(self, _):
        return FEDERATED.replace("{dns}", str(self.names.port)).replace("{first}", self.virtual[0]) + "".join(
            FEDERATED_HOST.replace("{name}", name) for name in self.virtual)

    def start(self):
        super().start()
        until(f"{self.name} to listen for servers", lambda: self.opened(self.s2s) in self.log())
        for name in self.virtual:
            self.names.services[f"{name}.test"] = (self.address, self.s2s)
        return self


class Near(FederatedProsody):
    name = "near"
    virtual = ("near",)


class Far(FederatedProsody):
    name = "far"
    address = "127.0.0.4"
    virtual = ("far", "dialback", "untrusted")


class Erl(Ejabberd):
    """Also the ejabberd of all other cases, as a.test."""

    hosts = ("a.test", "anon.a.test", "hash.a.test", "closed.a.test", "erl.test", "erl-dialback.test")
    certificates = ("erl", "erl-dialback")
    listeners = """\
  - {{ port: {s2s}, ip: "{address}", module: ejabberd_s2s_in }}
"""
    modules = """\
  mod_register: {{}}
  mod_s2s_dialback: {{}}
registration_timeout: infinity
s2s_use_starttls: required
s2s_cafile: "{pki}/ca.crt"
"""
    host_config = """\
  hash.a.test: {{ auth_password_format: scram, auth_scram_hash: sha256 }}
  closed.a.test: {{ modules: {{ mod_register: {{ access: none }} }} }}
"""

    def __init__(self, base, pki, names, *accounts):
        self.names = names
        super().__init__(base, pki, accounts, [])

    def launch(self, **more):
        # Names come from the tests' own server, and from nowhere else.
        inetrc = write(os.path.join(self.base, "inetrc"),
                       '{resolv_conf,""}.\n{hosts_file,""}.\n{lookup,[dns]}.\n'
                       f"{{nameserver,{{127,0,0,1}},{self.names.port}}}.\n")
        for name in ("erl", "erl-dialback"):
            self.names.services[f"{name}.test"] = (self.address, self.s2s)
        return super().launch(ERL_INETRC=inetrc, **more)
