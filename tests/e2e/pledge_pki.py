# SPDX-License-Identifier: MIT
"""Certificates beyond those of tools/pki, beside them: for servers that federate, for those whose certificate
changes, for whoever stands in between."""

import os
import shutil
import subprocess

CONFIG = """\
[req]
distinguished_name = dn
prompt = no
x509_extensions = v3
[dn]
CN = throw-away {name}
[v3]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = {names}
"""


def certificate(pki, name, domains, authority="ca", key=None):
    """NAME.crt and NAME.key for these domains, by that authority or, without one, by itself; with the key of
    another certificate, or a new one."""

    def pem(of, kind):
        return os.path.join(pki, f"{of}.{kind}")

    config = pem(name, "cnf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(name=name, names=", ".join(f"DNS:{domain}" for domain in domains)))
    if key:
        shutil.copy(pem(key, "key"), pem(name, "key"))
    else:
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pem(name, "key")],
                       check=True)
    os.chmod(pem(name, "key"), 0o644)  # servers run as somebody else
    signer = ["-CA", pem(authority, "crt"), "-CAkey", pem(authority, "key")] if authority else []
    subprocess.run(["openssl", "req", "-x509", "-new", "-days", "30", "-sha256", "-config", config,
                    "-key", pem(name, "key"), "-out", pem(name, "crt"), *signer], check=True)
    os.unlink(config)


def spki(pki, name):
    """SHA-256 of a certificate's public key, in hexadecimal: what one pins."""
    key = subprocess.run(["openssl", "x509", "-pubkey", "-noout", "-in", os.path.join(pki, f"{name}.crt")],
                         check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], check=True, input=key,
                         capture_output=True).stdout
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-r"], check=True, input=der, capture_output=True).stdout
    return digest.split()[0].decode()
