# SPDX-License-Identifier: MIT
"""Prosody with our modules and those of prosody-modules, by which Debian 12's version speaks what came after
it. A host is a name and what its configuration says, made by host() or one of the names below."""

import glob
import os
import shutil
import subprocess

from harness import HERE, Failure, Prosody, need, need_file, write


def lua(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "{ " + "; ".join(map(lua, value)) + " }"
    return str(value) if isinstance(value, int) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def host(*modules, **options):
    """The configuration of a host with these modules more and these options."""
    options["modules_enabled"] = modules
    return "".join(f"  {name} = {lua(value)}\n" for name, value in options.items())


SASL2_MODULES = ("e2e_trunk", "sasl2", "sasl2_bind2", "sasl2_sm", "sasl2_fast")
BOTH = ("tls-unique", "tls-server-end-point")


class Modern(Prosody):
    """hosts: {name: configuration}, without "a.test", which is there and has none of the modules. users as
    for Prosody; alice is at each of hosts anyway."""

    name = "modern"

    def __init__(self, base, pki, hosts, users=(), friends=()):
        super().__init__(base, pki, [], friends, hosts=False)
        need_file("/usr/lib/prosody/modules/mod_sasl2", "prosody-modules")
        for path in glob.glob(os.path.join(HERE, "mod_e2e_*.lua")):
            shutil.copy(path, os.path.join(self.base, "plugins"))
        self.certify(hosts)
        ssl = f'{{ certificate = "{self.base}/hosts.crt"; key = "{self.base}/hosts.key" }}'
        with open(self.config, "a", encoding="utf-8") as config:
            for name, text in hosts.items():
                config.write(f'VirtualHost "{name}"\n  ssl = {ssl}\n  c2s_direct_tls_ssl = {ssl}\n{text}')
        for jid in [*users, *(f"alice@{name}" for name in hosts)]:
            self.register(jid)

    def certify(self, hosts):
        """One certificate for all hosts, by the authority that a.test has its own from."""
        request = write(os.path.join(self.base, "hosts.cnf"), "\n".join((
            "[req]", "distinguished_name = dn", "req_extensions = v3", "prompt = no", "[dn]", "CN = throw-away hosts",
            "[v3]", "basicConstraints = CA:FALSE", "keyUsage = digitalSignature", "extendedKeyUsage = serverAuth",
            "subjectAltName = " + ", ".join(f"DNS:{name}" for name in hosts), "")))
        path = os.path.join(self.base, "hosts")
        for argv in (
                ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", request,
                 "-keyout", f"{path}.key", "-out", f"{path}.csr"],
                ["x509", "-req", "-in", f"{path}.csr", "-CA", self.ca, "-CAkey", self.pem("ca", "key"), "-sha256",
                 "-days", "30", "-copy_extensions", "copyall", "-out", f"{path}.crt"]):
            made = subprocess.run([need("openssl"), *argv], capture_output=True, text=True, check=False)
            if made.returncode:
                raise Failure(f"openssl {argv[0]}: {made.stderr}")
        os.chmod(f"{path}.key", 0o644)  # for the server's user

    def register(self, jid):
        user, name = jid.split("@")
        maker = self.launch_with([need("prosodyctl"), "--config", self.config, "register", user, name, "secret"])
        if maker.wait() != 0:
            raise Failure(f"prosodyctl did not make {jid}:\n{self.output()}")
