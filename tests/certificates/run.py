#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""run.py [--write FILE] [PATTERN]: what the standards, OpenSSL and xmpp_tiny make of servers' certificates. Each case
is a handshake of build/xmpp-tiny, and one of openssl, with a server that presents them. The table in SECURITY.md has
to be the one that comes out; --write puts it into FILE. Needs openssl and python3-cryptography. PATTERN is a regular
expression for the names of the cases to run."""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # no cache beside the sources

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path += [os.path.join(ROOT, "tests", "e2e"), os.path.join(ROOT, "tools")]

import readme  # noqa: E402
import x509  # noqa: E402
from cases import cases  # noqa: E402
from harness import PATIENCE, Cli, Failure, Report, clean_up_always, need, same, scratch, write  # noqa: E402
from server import Server  # noqa: E402

DOCUMENT = os.path.join(ROOT, "SECURITY.md")
OPENSSL = "OpenSSL 3.0"  # whose words the table has
ADDRESS = re.compile(r"[0-9.]+|\[.*\]")

# The last that the server hears [RFC5246 7.2]. BearSSL leaves without a word when it is not the certificate alone that
# is wrong.
LAST = {"CERT": ("alert", "bad_certificate"), "CERT_TIME": ("alert", "certificate_expired"),
        "CERT_NAME": ("alert", "certificate_unknown"), "CERT_UNTRUSTED": ("alert", "unknown_ca"),
        "TLS": ("message", "ClientHello")}


# ---- Verdicts --------------------------------------------------------------------------------------


def xmpp_tiny(domain, ca, port, heard):
    """ "ok", or the name of the error; then nothing was said inside TLS. heard: the future of Server.accept()."""
    with Cli(f"127.0.0.1:{port}", jid=f"alice@{domain}", tls="direct", ca=ca) as cli:
        cli.end(3)  # after the handshake, too, since the server cuts the connection then
        if cli.look("secured"):
            same("what the server heard last", heard.result()[0], "data")
            return "ok"
        error = cli.wait("error")["name"]
        same("events", cli.kinds(), ["connected", "error", "closed"])
        same(f"what the server heard last, with {error}", heard.result(), LAST.get(error))
        return error


def openssl(domain, ca, port, heard):
    """ "ok", or what OpenSSL says is wrong."""
    name = "-verify_ip" if ADDRESS.fullmatch(domain) else "-verify_hostname"
    argv = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-CAfile", ca, "-no-CApath",
            "-no-CAstore", name, domain.strip("[]"), "-verify_return_error"]
    said = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                          timeout=PATIENCE, check=False)
    heard.result()
    if said.returncode == 0:
        return "ok"
    reason = re.search(r"^verify error:num=\d+:(.*)$", said.stderr, re.M) or \
        re.search(r":error:[0-9A-F]+:[^:]*:[^:]*:([^:]*):", said.stderr)
    if not reason:
        raise Failure(f"openssl: {said.stderr}")
    return reason[1]


class Judge:
    def __init__(self, base, matrix):
        self.base = base
        self.servers = ThreadPoolExecutor(max_workers=4)
        self.openssl = {}  # its verdict by the name of the case
        usual = matrix[0].chain
        self.stand_in = (self.file("server.crt", x509.pem(usual.certificates[0])),
                         self.file("server.key", x509.key_pem(usual.key)))

    def file(self, name, text):
        return write(os.path.join(self.base, name), text)

    def case(self, case):
        if case.deviates() and not case.why:
            raise Failure("differs from the standards without a reason")
        ca = self.file(f"{id(case)}.pem", "".join(map(x509.pem, case.chain.anchors)))
        server = Server(case.chain, self.stand_in)
        try:
            for client in (openssl, xmpp_tiny):
                verdict = client(case.domain, ca, server.port, self.servers.submit(server.accept))
                if client is openssl:
                    self.openssl[case.name] = verdict
            same("verdict", verdict, case.ours)
        finally:
            server.close()


# ---- The table -------------------------------------------------------------------------------------


def table(matrix, verdicts):
    def row(case):
        ours = f"{case.ours}: {case.why}" if case.why else case.ours
        rfc = f"{case.verdict()} ({case.section()})"
        return f"| {case.name} | {case.what} | {rfc} | {verdicts.get(case.name)} | {ours} |"

    head = f"| case | the certificate | RFC | {OPENSSL} | xmpp_tiny |\n|---|---|---|---|---|\n"
    return head + "\n".join(map(row, matrix))


def compare(text):
    """Another OpenSSL may say it otherwise."""
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    old = readme.parts(DOCUMENT, "certificates")[1].strip()
    if not version.startswith(OPENSSL):
        old, text = (re.sub(r"[^|]*(\|[^|]*\|)$", r"\1", one, flags=re.M) for one in (old, text))
    if old != text:
        changed = [line for line in text.splitlines() if line not in old.splitlines()]
        raise Failure("SECURITY.md has another: tests/certificates/run.py --write SECURITY.md\n" + "\n".join(changed))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", metavar="FILE")
    parser.add_argument("pattern", nargs="?", default="")
    options = parser.parse_args()
    clean_up_always()
    report, matrix = Report(options.pattern), list(cases())
    judge = Judge(scratch(), matrix)
    with ThreadPoolExecutor(max_workers=4) as pool:
        for job in [pool.submit(report.run, case.name, judge.case, case) for case in matrix]:
            job.result()
    if options.write:
        readme.put(options.write, "certificates", table(matrix, judge.openssl))
    elif not options.pattern:
        report.run("the table", compare, table(matrix, judge.openssl))
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
