#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test_resume.py [PATTERN]: TLS sessions of port/bearssl with OpenSSL at the other end. A small program opens a
stream, has bytes echoed, and keeps what save() gives in a file, which the next run hands to load()."""

import os
import socket
import subprocess
import sys
import threading
import types

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "e2e"))
sys.dont_write_bytecode = True

from harness import BUILD, PATIENCE, ROOT, Failure, Report, clean_up_always, make_pki, same, scratch  # noqa: E402
from tlsfront import TlsFront  # noqa: E402

PROGRAM = r"""
#include "port/bearssl.h"
#include "port/bearssl_pem.h"
#include "port/posix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct xmpp_tiny_posix posix;
static struct xmpp_tiny_bearssl tls;
static uint8_t in[XMPP_TINY_BEARSSL_IN_MAX], out[XMPP_TINY_BEARSSL_OUT_MAX], arena_bytes[16384];
static br_x509_trust_anchor anchors[4];
static struct xmpp_tiny_bearssl_key key;
static br_x509_certificate chain[2];
static char text[65536];
static struct kept {
    size_t len;
    uint8_t data[128], spki[32], certificate[32];
} kept;

static struct xmpp_tiny_str read_file(const char *name)
{
    static char *at = text;
    struct xmpp_tiny_str s = {at, 0};
    FILE *file = fopen(name, "rb");
    if (file == NULL)
        exit(2);
    s.len = fread(at, 1, (size_t)(text + sizeof text - at), file);
    at += s.len;
    fclose(file);
    return s;
}

static int done(struct xmpp_tiny_stream *s, int n)
{
    const char *detail = NULL;
    if (n < 0 && n != XMPP_TINY_IO_AGAIN) {
        int error = s->ops->error(s, &detail);
        printf("%s %s\n", xmpp_tiny_err_name(error), detail ? detail : "");
        exit(1);
    }
    if (n == XMPP_TINY_IO_AGAIN)
        (void)xmpp_tiny_posix_wait(&posix, false, 1000, -1);
    return n;
}

static void say(struct xmpp_tiny_stream *s, const char *what, size_t len, const char *until)
{
    static char got[65536];
    size_t sent = 0, at = 0;
    memset(got, 0, sizeof got);
    while (sent < len || (until != NULL ? strstr(got, until) == NULL : at < len)) {
        int n = sent < len ? done(s, s->ops->write(s, what + sent, len - sent)) : 0;
        sent += n > 0 ? (size_t)n : 0;
        n = done(s, s->ops->read(s, got + at, sizeof got - 1 - at));
        at += n > 0 ? (size_t)n : 0;
    }
    if (until == NULL && (at != len || memcmp(got, what, len) != 0))
        exit(3);
}

/* PORT start|direct CA NAME FILE RECORD PIN|- CHAIN|- KEY|- */
int main(int argc, char **argv)
{
    struct xmpp_tiny_bearssl_arena arena = {arena_bytes, sizeof arena_bytes, 0};
    struct xmpp_tiny_bearssl_config config = {.inner = &posix.stream, .platform = &xmpp_tiny_posix_platform,
        .anchors = anchors, .in = in, .out = out, .out_size = sizeof out};
    struct xmpp_tiny_bearssl_identity identity = {.use = xmpp_tiny_bearssl_ec, .chain = chain, .chain_count = 1,
        .ec = &key.ec};
    struct xmpp_tiny_stream *s = &tls.stream;
    struct xmpp_tiny_security now = {0};
    static char data[30000];
    uint8_t binding[64], pin[32];
    FILE *file;
    size_t i;

    if (argc != 10)
        return 2;
    config.anchor_count = (size_t)xmpp_tiny_bearssl_pem_anchors(&arena, read_file(argv[3]), anchors, 4);
    config.in_size = (size_t)atoi(argv[6]);
    for (i = 0; argv[7][0] != '-' && i < 32; i++) {
        char byte[3] = {argv[7][2 * i], argv[7][2 * i + 1], 0};
        pin[i] = (uint8_t)strtoul(byte, NULL, 16);
        config.pins = pin;
        config.pin_count = 1;
    }
    if (argv[8][0] != '-') {
        if (xmpp_tiny_bearssl_pem_chain(&arena, read_file(argv[8]), chain, 2) < 1 ||
            xmpp_tiny_bearssl_pem_key(&arena, read_file(argv[9]), &key) != 0)
            return 2;
        config.identity = &identity;
    }
    xmpp_tiny_posix_init(&posix);
    if (xmpp_tiny_bearssl_init(&tls, &config) != 0)
        return 2;
    file = fopen(argv[5], "rb");
    if (file != NULL) {
        if (fread(&kept, sizeof kept, 1, file) != 1)
            return 2;
        fclose(file);
        s->ops->load(s, kept.data, kept.len, kept.spki, kept.certificate);
        memset(&kept, 0, sizeof kept);
    }
    while (done(s, s->ops->open(s, xmpp_tiny_str("127.0.0.1"), (uint16_t)atoi(argv[1]))) < 0) {
    }
    if (argv[2][0] == 's') {
        static const char header[] = "<stream:stream to='a.test' version='1.0'>", start[] = "<starttls xmlns=''/>";
        say(s, header, sizeof header - 1, "</stream:features>");
        say(s, start, sizeof start - 1, "/>");
    }
    while (done(s, s->ops->secure(s, xmpp_tiny_str(argv[4]))) < 0) {
    }
    for (i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7 + i / 251);
    say(s, data, sizeof data, NULL);
    s->ops->security(s, &now);
    kept.len = s->ops->save(s, kept.data, sizeof kept.data);
    memcpy(kept.spki, now.spki, 32);
    memcpy(kept.certificate, now.certificate, 32);
    file = fopen(argv[5], "wb");
    if (file == NULL || fwrite(&kept, sizeof kept, 1, file) != 1 || fclose(file) != 0)
        return 2;
    printf("%s %d %d ", now.resumed ? "resumed" : "full",
           s->ops->binding(s, XMPP_TINY_BINDING_TLS_UNIQUE, binding), (int)kept.len);
    if (s->ops->binding(s, XMPP_TINY_BINDING_TLS_SERVER_END_POINT, binding) == 32 &&
        memcmp(binding, now.certificate, 32) == 0)
        for (i = 0; i < 32; i++)
            printf("%02x", now.spki[i]);
    printf("\n");
    if (argv[2][1] != 'x') /* x: just gone */
        while (done(s, s->ops->shut(s)) < 0) {
        }
    s->ops->close(s);
    return 0;
}
"""


def build(base):
    program = os.path.join(base, "resume")
    library = next((path for path in (os.path.join(BUILD, "libbearssl.a"), os.path.join(BUILD, "..", "libbearssl.a"))
                    if os.path.exists(path)), None)
    if library is None:
        raise Failure("libbearssl.a is missing: run make first")
    bearssl = os.environ.get("BEARSSL") or os.path.join(os.path.dirname(library), "bearssl")
    bearssl = os.path.join(ROOT, bearssl)
    source = os.path.join(base, "resume.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(PROGRAM)
    ports = ["bearssl", "bearssl_crypto", "bearssl_identity", "bearssl_leaf", "bearssl_pem", "bearssl_profile", "posix"]
    subprocess.run([os.environ.get("CC", "gcc"), "-std=c99", "-O1", "-g", "-fsanitize=address,undefined",
                    "-fno-sanitize-recover=all", "-DXMPP_TINY_ENABLE_NAMES=2", f"-I{ROOT}", "-isystem",
                    os.path.join(bearssl, "inc"), "-o", program, source, os.path.join(ROOT, "xmpp_tiny.c"),
                    *(os.path.join(ROOT, "port", f"{name}.c") for name in ports), library], check=True, cwd=ROOT)
    return program


class Echo:
    """What is behind the front: sends back what comes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.at = self.listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    @staticmethod
    def _serve(sock):
        with sock:
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
            except OSError:
                pass


class Cases:
    def __init__(self, report, base, pki):
        self.report, self.base, self.pki = report, base, pki
        self.program, self.echo, self.files = build(base), Echo(), 0

    def pem(self, name, kind="crt"):
        return os.path.join(self.pki, f"{name}.{kind}")

    def spki(self, name):
        key = subprocess.run(["openssl", "x509", "-pubkey", "-noout", "-in", self.pem(name)], check=True,
                             capture_output=True).stdout
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True,
                             capture_output=True).stdout
        return subprocess.run(["openssl", "dgst", "-sha256"], input=der, check=True,
                              capture_output=True).stdout.decode().split()[-1]

    def file(self):
        self.files += 1
        return os.path.join(self.base, f"session-{self.files}")

    def front(self, certificate="a.test", starttls=False):
        return TlsFront().start(0, self.echo.at, self.pem(certificate), self.pem(certificate, "key"), starttls=starttls)

    def go(self, front, file, resumed, how=None, ca="ca", name="a.test", key="a.test", record=16413, pin="-",
           client=None):
        """One connection, as both ends tell of it."""
        count = len(front.handshakes)
        run = subprocess.run([self.program, str(front.port), how or ("start" if front.starttls else "direct"),
                              self.pem(ca), name, file, str(record), pin, self.pem(client) if client else "-",
                              self.pem(client, "key") if client else "-"],
                             capture_output=True, check=False, timeout=PATIENCE, text=True)
        wanted = f"resumed -1 106 {self.spki(key)}\n" if resumed else f"full 12 106 {self.spki(key)}\n"
        same("the client", (run.returncode, run.stdout, run.stderr), (0, wanted, ""))
        same("the front", [reused for _, reused in front.handshakes[count:]], [resumed])

    def twice(self, certificate, ca, starttls):
        file = self.file()
        with self.front(certificate, starttls) as front:
            for resumed in (False, True, True):
                self.go(front, file, resumed, ca=ca, key=certificate, name="rsa.a.test" if ca == "rsaca" else "a.test")
            same("problems", front.problems, [])

    def forgotten(self):
        file = self.file()
        with self.front() as front:
            self.go(front, file, False)
            front.forget()
            self.go(front, file, False)
            self.go(front, file, True)

    def left(self):
        """The client is gone without a word."""
        file = self.file()
        with self.front() as front:
            for resumed in (False, True, True):
                self.go(front, file, resumed, how="dx")

    def renewed(self):
        """Another certificate and key, and the sessions are forgotten."""
        new, file = self.pem("new"), self.file()
        request = subprocess.run(["openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt",
                                  "ec_paramgen_curve:P-256", "-keyout", self.pem("new", "key"), "-subj", "/CN=new",
                                  "-addext", "subjectAltName=DNS:a.test"], check=True, capture_output=True).stdout
        subprocess.run(["openssl", "x509", "-req", "-days", "1", "-copy_extensions", "copy", "-CA", self.pem("ca"),
                        "-CAkey", self.pem("ca", "key"), "-out", new], check=True, capture_output=True, input=request)
        with self.front() as front:
            self.go(front, file, False)
            front.forget(new, self.pem("new", "key"))
            self.go(front, file, False, key="new")
            self.go(front, file, True, key="new")

    def changed(self, **change):
        """Where something is not as it was, OpenSSL gets to see no id."""
        file = self.file()
        with self.front() as front:
            self.go(front, file, False)
            self.go(front, file, False, **change)
            self.go(front, file, True, **change)
            self.go(front, file, False)

    def records(self, record):
        """[RFC6066 4]: what was agreed holds for the session, and OpenSSL insists."""
        file = self.file()
        with self.front() as front:
            for resumed in (False, True, True):
                self.go(front, file, resumed, record=record)

    def run(self):
        case = self.report.run
        for certificate, ca in (("a.test", "ca"), ("rsa.a.test", "rsaca")):
            for starttls in (False, True):
                case(f"{certificate}, {'STARTTLS' if starttls else 'direct'}", self.twice, certificate, ca, starttls)
        case("the server has forgotten", self.forgotten)
        case("the client is just gone", self.left)
        case("the server has another certificate", self.renewed)
        case("a pin more", lambda: self.changed(pin=self.spki("a.test")))
        case("a client certificate", lambda: self.changed(client="client-alice"))
        case("other records", lambda: self.changed(record=1053))
        for record in (541, 4125):
            case(f"records that fit {record} bytes", self.records, record)


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    base, made = scratch(), types.SimpleNamespace(cases=None)

    def prepare():
        made.cases = Cases(report, base, make_pki(base))

    report.run("the program is built", prepare, always=True)
    if made.cases:
        made.cases.run()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
