/* SPDX-License-Identifier: MIT
 *
 * Unit tests of the ports: hash functions against official vectors, PEM, and TLS against BearSSL's own
 * server in memory: who is trusted and who is not, bindings, records, ends and errors. Then what the
 * conformance checker cannot see of port/posix.
 */
#define _DEFAULT_SOURCE

#include "port_peer.c"
#include "port_checker.c"

#include "port/posix.h"
#include "port_pki.h"
#include "port_vectors.h"

#include <netinet/tcp.h>

static int passed, failed;

/* One test; returns whether it passed. */
static bool test(bool ok, const char *group, const char *what, long got, long wanted)
{
    if (ok) {
        passed++;
    } else {
        failed++;
        printf("FAILED: %s: %s: got %ld, wanted %ld\n", group, what, got, wanted);
    }
    return ok;
}

static bool equal(const char *group, const char *what, long got, long wanted)
{
    return test(got == wanted, group, what, got, wanted);
}

static bool yes(bool ok, const char *group, const char *what)
{
    return test(ok, group, what, ok, 1);
}

/* ---- Hash functions ---------------------------------------------------------------------------- */

static size_t unhex(const char *hex, uint8_t *out, size_t max)
{
    size_t i, len = strlen(hex) / 2;

    must(len <= max, "vector too long");
    for (i = 0; i < len; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return len;
}

static const size_t digest_len[] = {[XMPP_TINY_SHA1] = 20, [XMPP_TINY_SHA256] = 32, [XMPP_TINY_SHA512] = 64};

static void test_hash(void)
{
    static uint8_t message[1000000];
    uint8_t wanted[64], got[64 + 8];
    size_t i, j;

    for (i = 0; i < sizeof vectors_hash / sizeof vectors_hash[0]; i++) {
        size_t len = unhex(vectors_hash[i].message, message, sizeof message);
        must(len * vectors_hash[i].repeat <= sizeof message, "vector too long");
        for (j = 1; j < vectors_hash[i].repeat; j++) {
            memcpy(message + j * len, message, len);
        }
        memset(got, 0xA5, sizeof got);
        xmpp_tiny_bearssl_crypto.hash(vectors_hash[i].hash, message, len * vectors_hash[i].repeat, got);
        equal("hash", "length", (long)unhex(vectors_hash[i].digest, wanted, sizeof wanted),
              (long)digest_len[vectors_hash[i].hash]);
        yes(memcmp(got, wanted, digest_len[vectors_hash[i].hash]) == 0 &&
                got[digest_len[vectors_hash[i].hash]] == 0xA5,
            "hash", vectors_hash[i].digest);
    }
}

static void test_hmac(void)
{
    uint8_t key[256], data[256], wanted[64], got[64];
    size_t i, cut;

    for (i = 0; i < sizeof vectors_hmac / sizeof vectors_hmac[0]; i++) {
        size_t key_len = unhex(vectors_hmac[i].key, key, sizeof key);
        size_t len = unhex(vectors_hmac[i].data, data, sizeof data);
        size_t wanted_len = unhex(vectors_hmac[i].digest, wanted, sizeof wanted);
        bool ok = true;
        /* In one part, and in three cut everywhere, the middle one empty and absent. */
        for (cut = 0; cut <= len; cut++) {
            struct xmpp_tiny_str parts[3];
            parts[0].ptr = (const char *)data;
            parts[0].len = cut;
            parts[1].ptr = NULL;
            parts[1].len = 0;
            parts[2].ptr = (const char *)data + cut;
            parts[2].len = len - cut;
            xmpp_tiny_bearssl_crypto.hmac(vectors_hmac[i].hash, key, key_len, parts, 3, got);
            ok = ok && memcmp(got, wanted, wanted_len) == 0;
        }
        yes(ok, "hmac", vectors_hmac[i].digest);
    }
}

/* The rounds in slices of 1, 2, 3 ... as the core asks for them. */
static void test_pbkdf2(void)
{
    uint8_t password[64], salt[64 + 4], wanted[128], u[64], t[64];
    size_t i, done, len;

    for (i = 0; i < sizeof vectors_pbkdf2 / sizeof vectors_pbkdf2[0]; i++) {
        enum xmpp_tiny_hash h = vectors_pbkdf2[i].hash;
        size_t password_len = unhex(vectors_pbkdf2[i].password, password, sizeof password);
        size_t salt_len = unhex(vectors_pbkdf2[i].salt, salt, sizeof salt - 4);
        size_t wanted_len = unhex(vectors_pbkdf2[i].key, wanted, sizeof wanted);
        uint8_t block = 1;
        bool ok = true;
        for (done = 0; done < wanted_len; done += len) {
            struct xmpp_tiny_str part;
            uint32_t left = vectors_pbkdf2[i].iterations - 1, slice = 1;
            memset(salt + salt_len, 0, 4);
            salt[salt_len + 3] = block++;
            part.ptr = (const char *)salt;
            part.len = salt_len + 4;
            xmpp_tiny_bearssl_crypto.hmac(h, password, password_len, &part, 1, u);
            memcpy(t, u, sizeof t);
            for (; left > 0; left -= slice) {
                slice = slice + 1 < left ? slice + 1 : left;
                xmpp_tiny_bearssl_crypto.pbkdf2(h, password, password_len, u, t, slice);
            }
            len = wanted_len - done < digest_len[h] ? wanted_len - done : digest_len[h];
            ok = ok && memcmp(t, wanted + done, len) == 0;
        }
        yes(ok, "pbkdf2", vectors_pbkdf2[i].key);
    }
}

/* ---- PEM --------------------------------------------------------------------------------------- */

static uint8_t arena_bytes[8192];

static struct xmpp_tiny_bearssl_arena arena_of(size_t size)
{
    struct xmpp_tiny_bearssl_arena arena = {arena_bytes, size, 0};

    return arena;
}

static void test_pem_anchors(void)
{
    br_x509_trust_anchor anchors[3];
    struct xmpp_tiny_bearssl_arena arena = arena_of(sizeof arena_bytes);
    char text[4096];
    size_t size;
    int n;

    (void)snprintf(text, sizeof text, "some words\n%s\n# more\n%s%s", pki_root, pki_eckey, pki_rsaroot);
    n = xmpp_tiny_bearssl_pem_anchors(&arena, xmpp_tiny_str(text), anchors, 3);
    if (equal("pem", "two anchors among other things", n, 2)) {
        equal("pem", "first anchor's key", anchors[0].pkey.key_type, BR_KEYTYPE_EC);
        equal("pem", "first anchor's point", (long)anchors[0].pkey.key.ec.qlen, 65);
        equal("pem", "first anchor is a CA", (long)anchors[0].flags, BR_X509_TA_CA);
        equal("pem", "first anchor's name is DER", anchors[0].dn.data[0], 0x30);
        equal("pem", "first anchor's name has its length", (long)anchors[0].dn.len,
              anchors[0].dn.data[1] + 2);
        equal("pem", "second anchor's key", anchors[1].pkey.key_type, BR_KEYTYPE_RSA);
        equal("pem", "second anchor's modulus", (long)anchors[1].pkey.key.rsa.nlen, 256);
        equal("pem", "second anchor's exponent", anchors[1].pkey.key.rsa.e[0], 1);
        equal("pem", "nothing else is kept", (long)arena.used,
              (long)(anchors[0].dn.len + 65 + anchors[1].dn.len + 256 + anchors[1].pkey.key.rsa.elen));
    }
    arena = arena_of(sizeof arena_bytes);
    n = xmpp_tiny_bearssl_pem_anchors(&arena, xmpp_tiny_str(pki_self), anchors, 3);
    if (equal("pem", "a server's own certificate", n, 1)) {
        equal("pem", "it is no CA", (long)anchors[0].flags, 0);
    }
    arena = arena_of(sizeof arena_bytes);
    equal("pem", "more anchors than room",
          xmpp_tiny_bearssl_pem_anchors(&arena, xmpp_tiny_str(text), anchors, 1), XMPP_TINY_ERR_TOO_BIG);
    for (size = 0; size < 1000; size += 50) {
        arena = arena_of(size);
        equal("pem", "arena too small",
              xmpp_tiny_bearssl_pem_anchors(&arena, xmpp_tiny_str(text), anchors, 3), XMPP_TINY_ERR_TOO_BIG);
    }
    arena = arena_of(sizeof arena_bytes);
    equal("pem", "a key is no anchor",
          xmpp_tiny_bearssl_pem_anchors(&arena, xmpp_tiny_str(pki_eckey), anchors, 3),
          XMPP_TINY_ERR_ARGUMENT);
    equal("pem", "nothing is no anchor", xmpp_tiny_bearssl_pem_anchors(&arena, xmpp_tiny_str(""), anchors, 3),
          XMPP_TINY_ERR_ARGUMENT);
    equal("pem", "nonsense is no anchor",
          xmpp_tiny_bearssl_pem_anchors(
              &arena, xmpp_tiny_str("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
              anchors, 3),
          XMPP_TINY_ERR_ARGUMENT);
}

static void test_pem_chain(void)
{
    br_x509_certificate chain[2], again[2];
    struct xmpp_tiny_bearssl_arena arena = arena_of(sizeof arena_bytes);
    struct xmpp_tiny_str text = xmpp_tiny_str(pki_below);
    char damaged[1500];
    int n = xmpp_tiny_bearssl_pem_chain(&arena, text, chain, 2);

    if (equal("pem", "chain of two", n, 2)) {
        equal("pem", "chain starts with DER", chain[0].data[0], 0x30);
        equal("pem", "second certificate's length", (long)chain[1].data_len,
              4 + chain[1].data[2] * 256 + chain[1].data[3]);
        text.len--; /* the last line without its line feed */
        n = xmpp_tiny_bearssl_pem_chain(&arena, text, again, 2);
        yes(n == 2 && again[1].data_len == chain[1].data_len &&
                memcmp(again[1].data, chain[1].data, chain[1].data_len) == 0,
            "pem", "no line feed at the end");
    }
    arena = arena_of(sizeof arena_bytes);
    equal("pem", "longer chain than room", xmpp_tiny_bearssl_pem_chain(&arena, text, chain, 1),
          XMPP_TINY_ERR_TOO_BIG);
    text.len = 300;
    equal("pem", "text cut in a certificate", xmpp_tiny_bearssl_pem_chain(&arena, text, chain, 2),
          XMPP_TINY_ERR_ARGUMENT);
    (void)snprintf(damaged, sizeof damaged, "%s", pki_below);
    damaged[100] = '!';
    equal("pem", "damaged base64", xmpp_tiny_bearssl_pem_chain(&arena, xmpp_tiny_str(damaged), chain, 2),
          XMPP_TINY_ERR_ARGUMENT);
}

static void test_pem_keys(void)
{
    struct xmpp_tiny_bearssl_key a, b;
    struct xmpp_tiny_bearssl_arena arena = arena_of(sizeof arena_bytes);

    equal("pem", "EC key, PKCS #8", xmpp_tiny_bearssl_pem_key(&arena, xmpp_tiny_str(pki_eckey), &a), 0);
    equal("pem", "EC key, SEC 1", xmpp_tiny_bearssl_pem_key(&arena, xmpp_tiny_str(pki_eckey_sec1), &b), 0);
    yes(a.type == BR_KEYTYPE_EC && b.type == BR_KEYTYPE_EC && a.ec.curve == BR_EC_secp256r1 &&
            b.ec.curve == a.ec.curve && a.ec.xlen == b.ec.xlen && memcmp(a.ec.x, b.ec.x, a.ec.xlen) == 0,
        "pem", "both forms of an EC key are the same");
    equal("pem", "RSA key, PKCS #8", xmpp_tiny_bearssl_pem_key(&arena, xmpp_tiny_str(pki_rsakey), &a), 0);
    equal("pem", "RSA key, PKCS #1", xmpp_tiny_bearssl_pem_key(&arena, xmpp_tiny_str(pki_rsakey_pkcs1), &b),
          0);
    yes(a.type == BR_KEYTYPE_RSA && a.rsa.n_bitlen == 2048 && b.rsa.n_bitlen == 2048 &&
            a.rsa.plen == b.rsa.plen && memcmp(a.rsa.p, b.rsa.p, a.rsa.plen) == 0 &&
            a.rsa.iqlen == b.rsa.iqlen && memcmp(a.rsa.iq, b.rsa.iq, a.rsa.iqlen) == 0,
        "pem", "both forms of an RSA key are the same");
    equal("pem", "a certificate is no key", xmpp_tiny_bearssl_pem_key(&arena, xmpp_tiny_str(pki_root), &a),
          XMPP_TINY_ERR_ARGUMENT);
    arena = arena_of(20);
    equal("pem", "arena too small for a key", xmpp_tiny_bearssl_pem_key(&arena, xmpp_tiny_str(pki_eckey), &a),
          XMPP_TINY_ERR_TOO_BIG);
}

/* ---- TLS in memory ----------------------------------------------------------------------------- */

/* What the tests below vary; tls_defaults() gives a connection that works. */
static struct {
    struct xmpp_tiny_bearssl client;
    struct xmpp_tiny_bearssl_config config;
    struct xmpp_tiny_platform platform;
    int64_t now;
    bool no_random;
    br_x509_trust_anchor anchors[2];
    uint8_t anchor_bytes[2048];
    uint8_t in[XMPP_TINY_BEARSSL_IN_MAX], out[XMPP_TINY_BEARSSL_OUT_MAX];
    struct port_fake fake;
    struct port_tls server;
    struct port_peer peer;
    const struct session *load; /* NULL: nothing is loaded */
    unsigned flights;           /* in the handshake, of the server */
} tls;

/* What a connection leaves for the next one. */
struct session {
    uint8_t data[128];
    size_t len;
    struct xmpp_tiny_security security;
};

static bool tls_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0x17, len);
    return !tls.no_random;
}

static int64_t tls_time(void *ctx)
{
    (void)ctx;
    return tls.now;
}

static void tls_anchor(const char *pem)
{
    struct xmpp_tiny_bearssl_arena arena = {tls.anchor_bytes, sizeof tls.anchor_bytes, 0};

    must(xmpp_tiny_bearssl_pem_anchors(&arena, xmpp_tiny_str(pem), tls.anchors, 2) == 1, "anchor");
}

static void tls_defaults(void)
{
    if (XMPP_TINY_BEARSSL_ENABLE_ECDSA) {
        tls_anchor(pki_root);
        port_tls_init(&tls.server, pki_good, pki_eckey);
    } else {
        tls_anchor(pki_rsaroot);
        port_tls_init(&tls.server, pki_rsa, pki_rsakey);
    }
    port_fake_init(&tls.fake, PORT_FAULT_NONE, 4096, false);
    tls.platform = port_platform;
    tls.platform.random = tls_random;
    tls.platform.unix_time = tls_time;
    tls.now = PORT_TIME;
    tls.no_random = false;
    tls.load = NULL;
    memset(&tls.config, 0, sizeof tls.config);
    tls.config.inner = &tls.fake.stream;
    tls.config.platform = &tls.platform;
    tls.config.anchors = tls.anchors;
    tls.config.anchor_count = 1;
    tls.config.in = tls.in;
    tls.config.in_size = sizeof tls.in;
    tls.config.out = tls.out;
    tls.config.out_size = sizeof tls.out;
}

static struct xmpp_tiny_stream *tls_open(enum conformance_role role)
{
    must(xmpp_tiny_bearssl_init(&tls.client, &tls.config) == 0, "xmpp_tiny_bearssl_init()");
    if (tls.load != NULL) {
        struct session session = *tls.load;
        tls.client.stream.ops->load(&tls.client.stream, session.data, session.len, session.security.spki,
                                    session.security.certificate);
        memset(&session, 0xA5, sizeof session);
    }
    port_peer_init(&tls.peer, &tls.fake, &tls.server, "a.test");
    tls.peer.peer.expect(&tls.peer.peer, role);
    must(tls.client.stream.ops->open(&tls.client.stream, xmpp_tiny_str("127.0.0.1"), tls.peer.peer.port) > 0,
         "open()");
    return &tls.client.stream;
}

/* 0 for success, else the error. */
static int tls_secure(const char *name, const char **detail)
{
    struct xmpp_tiny_stream *s = &tls.client.stream;
    int i, n = XMPP_TINY_IO_AGAIN;

    *detail = NULL;
    tls.flights = 0;
    for (i = 0; i < 1000 && n == XMPP_TINY_IO_AGAIN; i++) {
        size_t before;
        n = s->ops->secure(s, xmpp_tiny_str(name));
        before = tls.fake.down.len;
        tls.peer.peer.step(&tls.peer.peer);
        tls.flights += n == XMPP_TINY_IO_AGAIN && before == 0 && tls.fake.down.len > 0;
    }
    must(n != XMPP_TINY_IO_AGAIN && n != 0, "secure() came to an end");
    return n > 0 ? 0 : s->ops->error(s, detail);
}

static int tls_handshake(enum conformance_role role, const char *name, const char **detail)
{
    (void)tls_open(role);
    return tls_secure(name, detail);
}

static void tls_close(void)
{
    tls.client.stream.ops->close(&tls.client.stream);
}

static struct xmpp_tiny_security tls_security(void)
{
    struct xmpp_tiny_security security;

    memset(&security, 0, sizeof security);
    tls.client.stream.ops->security(&tls.client.stream, &security);
    return security;
}

/* ---- Whom to trust ----------------------------------------------------------------------------- */

static void test_trust(void)
{
    static const struct {
        const char *what, *chain, *key, *anchor, *name;
        int error, alert; /* the alert that the server gets */
    } cases[] = {
        {"name in other case", pki_good, pki_eckey, pki_root, "a.test", 0, 0},
        {"second name", pki_good, pki_eckey, pki_root, "b.test", 0, 0},
        {"wildcard", pki_good, pki_eckey, pki_root, "X.im.test", 0, 0},
        {"wildcard for no label", pki_good, pki_eckey, pki_root, "im.test", XMPP_TINY_ERR_CERT_NAME, 46},
        {"wildcard for two labels", pki_good, pki_eckey, pki_root, "y.x.im.test", XMPP_TINY_ERR_CERT_NAME,
         46},
        {"other name", pki_good, pki_eckey, pki_root, "c.test", XMPP_TINY_ERR_CERT_NAME, 46},
        {"part of a name", pki_good, pki_eckey, pki_root, "a.tes", XMPP_TINY_ERR_CERT_NAME, 46},
        {"single label", pki_good, pki_eckey, pki_root, "test", XMPP_TINY_ERR_CERT_NAME, 46},
        {"wildcard above a single label", pki_wide, pki_eckey, pki_root, "a.test", XMPP_TINY_ERR_CERT_NAME,
         46},
        {"SRVName", pki_srv, pki_eckey, pki_root, "a.test", 0, 0},
        {"SRVName for direct TLS", pki_srv, pki_eckey, pki_root, "b.test", 0, 0},
        {"dNSName beside SRVNames", pki_srv, pki_eckey, pki_root, "x.test", 0, 0},
        {"no SRVName", pki_srv, pki_eckey, pki_root, "c.test", XMPP_TINY_ERR_CERT_NAME, 46},
        {"XmppAddr", pki_address, pki_eckey, pki_root, "a.test", 0, 0},
        {"no XmppAddr", pki_address, pki_eckey, pki_root, "b.test", XMPP_TINY_ERR_CERT_NAME, 46},
        {"A-labels", pki_address, pki_eckey, pki_root, "xn--bcher-kva.test", 0, 0},
        {"U-labels", pki_idn, pki_eckey, pki_root, "xn--bcher-kva.test", XMPP_TINY_ERR_CERT_NAME, 46},
        {"odd names", pki_odd, pki_eckey, pki_root, "a.test", XMPP_TINY_ERR_CERT_NAME, 46},
        {"odd wildcards", pki_odd, pki_eckey, pki_root, "x.im.test", XMPP_TINY_ERR_CERT_NAME, 46},
        {"an address among names", pki_odd, pki_eckey, pki_root, "127.0.0.1", XMPP_TINY_ERR_CERT_NAME, 46},
        {"an IPv6 address among names", pki_odd, pki_eckey, pki_root, "[::1]", XMPP_TINY_ERR_CERT_NAME, 46},
        {"a wildcard over addresses", pki_odd, pki_eckey, pki_root, "10.0.0.1", XMPP_TINY_ERR_CERT_NAME, 46},
        {"NUL in a name", pki_zero, pki_eckey, pki_root, "a.test", XMPP_TINY_ERR_CERT_NAME, 46},
        {"common name only", pki_nameless, pki_eckey, pki_root, "a.test", XMPP_TINY_ERR_CERT_NAME, 46},
        {"for clients only", pki_client_only, pki_eckey, pki_root, "a.test", XMPP_TINY_ERR_CERT, 42},
        {"for clients and servers", pki_server_use, pki_eckey, pki_root, "a.test", 0, 0},
        {"for any use", pki_any_use, pki_eckey, pki_root, "a.test", 0, 0},
        {"stranger", pki_good, pki_eckey, pki_stranger, "a.test", XMPP_TINY_ERR_CERT_UNTRUSTED, 48},
        {"stranger with a wrong name", pki_good, pki_eckey, pki_stranger, "c.test",
         XMPP_TINY_ERR_CERT_UNTRUSTED, 48},
        {"SHA-1", pki_sha1, pki_eckey, pki_root, "a.test", XMPP_TINY_ERR_CERT, 42},
        {"SHA-384", pki_sha384, pki_eckey, pki_root, "a.test", 0, 0},
        {"SHA-512", pki_sha512, pki_eckey, pki_root, "a.test", 0, 0},
        {"by an intermediate CA on P-384", pki_below, pki_eckey, pki_root, "a.test", 0, 0},
        {"P-384", pki_p384, pki_ec384key, pki_root, "a.test", 0, 0},
        {"RSA", pki_rsa, pki_rsakey, pki_rsaroot, "a.test", 0, 0},
        {"an anchor with RSA of 1,024 bits", pki_below_weak, pki_rsakey, pki_weakroot, "a.test",
         XMPP_TINY_ERR_CERT_UNTRUSTED, 48},
        {"RSA of 2,047 bits", pki_nearly, pki_nearlykey, pki_rsaroot, "a.test", XMPP_TINY_ERR_CERT, 42},
        {"an anchor with RSA of 2,047 bits", pki_below_nearly, pki_rsakey, pki_nearlyroot, "a.test",
         XMPP_TINY_ERR_CERT_UNTRUSTED, 48},
        {"by a CA for servers", pki_below_server, pki_eckey, pki_root, "a.test", 0, 0},
        {"the name of a CA", pki_below_server, pki_eckey, pki_root, "c.test", XMPP_TINY_ERR_CERT_NAME, 46},
        {"by a CA for clients only", pki_below_client, pki_eckey, pki_root, "a.test", XMPP_TINY_ERR_CERT, 42},
        {"the same, but the CA is the anchor", pki_below_client, pki_eckey, pki_middle_client, "a.test", 0,
         0},
        {"by a CA with constraints", pki_below_bound, pki_eckey, pki_root, "a.test", XMPP_TINY_ERR_CERT, 42},
        {"by a CA with critical constraints", pki_below_bound_critical, pki_eckey, pki_root, "a.test",
         XMPP_TINY_ERR_CERT, 42},
        {"constraints of a stranger", pki_below_bound, pki_eckey, pki_stranger, "a.test",
         XMPP_TINY_ERR_CERT_UNTRUSTED, 48},
        {"RSA of 1,024 bits", pki_weak, pki_shortkey, pki_rsaroot, "a.test", XMPP_TINY_ERR_CERT, 42},
        {"a server's own certificate", pki_self, pki_eckey, pki_self, "a.test", 0, 0},
        {"a server's own certificate, wrong name", pki_self, pki_eckey, pki_self, "b.test",
         XMPP_TINY_ERR_CERT_NAME, 46},
        {"another one's own certificate", pki_p384, pki_ec384key, pki_self, "a.test",
         XMPP_TINY_ERR_CERT_UNTRUSTED, 48},
    };
    const char *detail;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int server_error;
        tls_defaults();
        tls_anchor(cases[i].anchor);
        port_tls_init(&tls.server, cases[i].chain, cases[i].key);
        equal("trust", cases[i].what, tls_handshake(CONFORMANCE_MUTE, cases[i].name, &detail),
              cases[i].error);
        yes((detail == NULL) == (cases[i].error == 0), "trust: detail", cases[i].what);
        server_error = br_ssl_engine_last_error(&tls.peer.server.eng);
        equal("trust: alert", cases[i].what, server_error,
              cases[i].alert == 0 ? 0 : BR_ERR_RECV_FATAL_ALERT + cases[i].alert);
        tls_close();
    }
    tls_defaults();
    port_tls_init(&tls.server, pki_below_bound, pki_eckey);
    (void)tls_handshake(CONFORMANCE_MUTE, "a.test", &detail);
    yes(strcmp(detail, "certificate: name constraints are not supported") == 0, "trust",
        "constraints: detail");
    tls_close();
}

/* What counts and what does not, by whom the application trusts. */
static void test_modes(void)
{
    enum { CA = XMPP_TINY_TRUST_CA, PIN, BOTH, FIRST };
    enum { EXPIRED = 1, EARLY, CLOCKLESS };
    static const int64_t times[] = {PORT_TIME, 7258118400, 1577836800, 0};
    static const struct {
        int mode;
        const char *what, *chain, *key, *anchor, *name;
        const uint8_t *pins[2];
        int when, error, alert;
    } cases[] = {
        {PIN, "pin", pki_good, pki_eckey, NULL, "a.test", {pki_eckey_pin, NULL}, 0, 0, 0},
        {PIN, "pin, RSA", pki_rsa, pki_rsakey, NULL, "a.test", {pki_rsakey_pin, NULL}, 0, 0, 0},
        {PIN, "pin, P-384", pki_p384, pki_ec384key, NULL, "a.test", {pki_ec384key_pin, NULL}, 0, 0, 0},
        {PIN, "second pin", pki_good, pki_eckey, NULL, "a.test", {pki_rsakey_pin, pki_eckey_pin}, 0, 0, 0},
        {PIN,
         "another key",
         pki_p384,
         pki_ec384key,
         NULL,
         "a.test",
         {pki_rsakey_pin, pki_eckey_pin},
         0,
         XMPP_TINY_ERR_PIN,
         42},
        {PIN, "name", pki_good, pki_eckey, NULL, "c.test", {pki_eckey_pin, NULL}, 0, 0, 0},
        {PIN, "no names", pki_nameless, pki_eckey, NULL, "c.test", {pki_eckey_pin, NULL}, 0, 0, 0},
        {PIN, "expired", pki_good, pki_eckey, NULL, "a.test", {pki_eckey_pin, NULL}, EXPIRED, 0, 0},
        {PIN, "not yet valid", pki_good, pki_eckey, NULL, "a.test", {pki_eckey_pin, NULL}, EARLY, 0, 0},
        {PIN, "no clock", pki_good, pki_eckey, NULL, "a.test", {pki_eckey_pin, NULL}, CLOCKLESS, 0, 0},
        {PIN,
         "no clock, another key",
         pki_p384,
         pki_ec384key,
         NULL,
         "a.test",
         {pki_eckey_pin, NULL},
         CLOCKLESS,
         XMPP_TINY_ERR_PIN,
         42},
        {PIN, "for clients only", pki_client_only, pki_eckey, NULL, "a.test", {pki_eckey_pin, NULL}, 0, 0, 0},
        {PIN, "SHA-1", pki_sha1, pki_eckey, NULL, "a.test", {pki_eckey_pin, NULL}, 0, 0, 0},
        {PIN, "SHA-512", pki_sha512, pki_eckey, NULL, "a.test", {pki_eckey_pin, NULL}, 0, 0, 0},
        {PIN, "chain", pki_below_bound, pki_eckey, NULL, "a.test", {pki_eckey_pin, NULL}, 0, 0, 0},
        {PIN,
         "a CA's key",
         pki_below,
         pki_eckey,
         NULL,
         "a.test",
         {pki_middle_pin, NULL},
         0,
         XMPP_TINY_ERR_PIN,
         42},
        {PIN,
         "RSA of 1,024 bits",
         pki_weak,
         pki_shortkey,
         NULL,
         "a.test",
         {pki_shortkey_pin, NULL},
         0,
         XMPP_TINY_ERR_CERT,
         42},

        {BOTH, "CA and pin", pki_good, pki_eckey, pki_root, "a.test", {pki_eckey_pin, NULL}, 0, 0, 0},
        {BOTH, "chain", pki_below, pki_eckey, pki_root, "a.test", {pki_rsakey_pin, pki_eckey_pin}, 0, 0, 0},
        {BOTH,
         "another key",
         pki_good,
         pki_eckey,
         pki_root,
         "a.test",
         {pki_rsakey_pin, NULL},
         0,
         XMPP_TINY_ERR_PIN,
         42},
        {BOTH,
         "the CA's key",
         pki_below,
         pki_eckey,
         pki_root,
         "a.test",
         {pki_middle_pin, NULL},
         0,
         XMPP_TINY_ERR_PIN,
         42},
        {BOTH,
         "stranger",
         pki_good,
         pki_eckey,
         pki_stranger,
         "a.test",
         {pki_eckey_pin, NULL},
         0,
         XMPP_TINY_ERR_CERT_UNTRUSTED,
         48},
        {BOTH,
         "stranger, another key",
         pki_good,
         pki_eckey,
         pki_stranger,
         "a.test",
         {pki_rsakey_pin, NULL},
         0,
         XMPP_TINY_ERR_CERT_UNTRUSTED,
         48},
        {BOTH,
         "name",
         pki_good,
         pki_eckey,
         pki_root,
         "c.test",
         {pki_eckey_pin, NULL},
         0,
         XMPP_TINY_ERR_CERT_NAME,
         46},
        {BOTH,
         "name, another key",
         pki_good,
         pki_eckey,
         pki_root,
         "c.test",
         {pki_rsakey_pin, NULL},
         0,
         XMPP_TINY_ERR_CERT_NAME,
         46},
        {BOTH,
         "expired",
         pki_good,
         pki_eckey,
         pki_root,
         "a.test",
         {pki_eckey_pin, NULL},
         EXPIRED,
         XMPP_TINY_ERR_CERT_TIME,
         45},
        {BOTH,
         "for clients only",
         pki_client_only,
         pki_eckey,
         pki_root,
         "a.test",
         {pki_eckey_pin, NULL},
         0,
         XMPP_TINY_ERR_CERT,
         42},
        {BOTH,
         "no clock",
         pki_good,
         pki_eckey,
         pki_root,
         "a.test",
         {pki_eckey_pin, NULL},
         CLOCKLESS,
         XMPP_TINY_ERR_CLOCK,
         0},

        {FIRST, "first use", pki_good, pki_eckey, NULL, "a.test", {NULL, NULL}, 0, 0, 0},
        {FIRST, "its own certificate", pki_self, pki_eckey, NULL, "a.test", {NULL, NULL}, 0, 0, 0},
        {FIRST, "RSA", pki_rsa, pki_rsakey, NULL, "a.test", {NULL, NULL}, 0, 0, 0},
        {FIRST, "chain", pki_below_client, pki_eckey, NULL, "a.test", {NULL, NULL}, 0, 0, 0},
        {FIRST, "name", pki_good, pki_eckey, NULL, "c.test", {NULL, NULL}, 0, XMPP_TINY_ERR_CERT_NAME, 46},
        {FIRST,
         "common name",
         pki_nameless,
         pki_eckey,
         NULL,
         "a.test",
         {NULL, NULL},
         0,
         XMPP_TINY_ERR_CERT_NAME,
         46},
        {FIRST,
         "expired",
         pki_good,
         pki_eckey,
         NULL,
         "a.test",
         {NULL, NULL},
         EXPIRED,
         XMPP_TINY_ERR_CERT_TIME,
         45},
        {FIRST,
         "not yet valid",
         pki_good,
         pki_eckey,
         NULL,
         "a.test",
         {NULL, NULL},
         EARLY,
         XMPP_TINY_ERR_CERT_TIME,
         45},
        {FIRST,
         "no clock",
         pki_good,
         pki_eckey,
         NULL,
         "a.test",
         {NULL, NULL},
         CLOCKLESS,
         XMPP_TINY_ERR_CLOCK,
         0},
        {FIRST,
         "for clients only",
         pki_client_only,
         pki_eckey,
         NULL,
         "a.test",
         {NULL, NULL},
         0,
         XMPP_TINY_ERR_CERT,
         42},
        {FIRST, "SHA-1", pki_sha1, pki_eckey, NULL, "a.test", {NULL, NULL}, 0, XMPP_TINY_ERR_CERT, 42},
        {FIRST,
         "RSA of 1,024 bits",
         pki_weak,
         pki_shortkey,
         NULL,
         "a.test",
         {NULL, NULL},
         0,
         XMPP_TINY_ERR_CERT,
         42},
    };
    static uint8_t pins[2][32];
    const char *detail;
    size_t i, j;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tls_defaults();
        port_tls_init(&tls.server, cases[i].chain, cases[i].key);
        if (cases[i].anchor != NULL) {
            tls_anchor(cases[i].anchor);
        } else {
            tls.config.anchors = NULL;
            tls.config.anchor_count = 0;
        }
        for (j = 0; j < 2 && cases[i].pins[j] != NULL; j++) {
            memcpy(pins[j], cases[i].pins[j], sizeof pins[j]);
        }
        tls.config.pins = j > 0 ? pins[0] : NULL;
        tls.config.pin_count = j;
        tls.config.first_use = cases[i].mode == FIRST;
        tls.now = times[cases[i].when];
        equal("modes", cases[i].what, tls_handshake(CONFORMANCE_MUTE, cases[i].name, &detail),
              cases[i].error);
        equal("modes: alert", cases[i].what, br_ssl_engine_last_error(&tls.peer.server.eng),
              cases[i].alert == 0 ? 0 : BR_ERR_RECV_FATAL_ALERT + cases[i].alert);
        equal("modes: trust", cases[i].what, (long)tls_security().trust,
              cases[i].error == 0 ? cases[i].mode : XMPP_TINY_TRUST_NONE);
        tls_close();
    }
    /* Pins count in full: the first and the last of their bits. */
    for (i = 0; i < 256; i += 255) {
        tls_defaults();
        memcpy(pins[0], XMPP_TINY_BEARSSL_ENABLE_ECDSA ? pki_eckey_pin : pki_rsakey_pin, 32);
        pins[0][i / 8] ^= (uint8_t)(1U << i % 8);
        tls.config.pins = pins[0];
        tls.config.pin_count = 1;
        equal("modes", "all but a bit of the pin", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail),
              XMPP_TINY_ERR_PIN);
        yes(strcmp(detail, "certificate: its key is none of those that are pinned") == 0, "modes",
            "pin: detail");
        tls_close();
    }
}

static void test_names(void)
{
    static const char *const malformed[] = {"", ".", "a.test.", ".a.test", "a..test"};
    char name[300];
    const char *detail;
    size_t i;

    memset(name, 'a', sizeof name);
    name[256] = '\0';
    tls_defaults();
    equal("names", "256 bytes", tls_handshake(CONFORMANCE_MUTE, name, &detail), XMPP_TINY_ERR_CERT_NAME);
    equal("names", "nothing was sent", (long)tls.fake.up.len, 0);
    tls_close();
    name[255] = '\0';
    tls_defaults();
    equal("names", "255 bytes", tls_handshake(CONFORMANCE_MUTE, name, &detail), XMPP_TINY_ERR_CERT_NAME);
    equal("names", "it was compared", br_ssl_engine_last_error(&tls.client.client.eng),
          BR_ERR_X509_BAD_SERVER_NAME);
    tls_close();
    for (i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        tls_defaults();
        equal("names", malformed[i], tls_handshake(CONFORMANCE_MUTE, malformed[i], &detail),
              XMPP_TINY_ERR_CERT_NAME);
        yes(strcmp(detail, "the name to verify is empty, too long or malformed") == 0, "names", malformed[i]);
        tls_close();
    }
    tls_defaults();
    equal("names", "server name indication", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    yes(strcmp(br_ssl_engine_get_server_name(&tls.peer.server.eng), "a.test") == 0, "names", "sent");
    tls_close();
}

static void test_time(void)
{
    static const struct {
        const char *what;
        int64_t now, floor;
        int error;
    } cases[] = {
        {"year 2020: not yet valid", 1577836800, 0, XMPP_TINY_ERR_CERT_TIME},
        {"year 2200: expired", 7258118400, 0, XMPP_TINY_ERR_CERT_TIME},
        {"unknown, floor in 2050", 0, PORT_TIME, 0},
        {"an hour after 1970, floor in 2050", 3600, PORT_TIME, 0},
        {"before 1970, floor in 2050", -1, PORT_TIME, 0},
        {"floor in 2020", 0, 1577836800, XMPP_TINY_ERR_CERT_TIME},
        {"clock later than the floor", PORT_TIME, 1577836800, 0},
        {"clock in 2020, floor in 2050", 1577836800, PORT_TIME, 0},
    };
    static const int64_t exact[] = {1, 86399, 86400, PORT_TIME - 1, 4294967295, 4294967296, 0x7FFFFFFFFF};
    const char *detail;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tls_defaults();
        tls.now = cases[i].now;
        tls.config.time_floor = cases[i].floor;
        equal("time", cases[i].what, tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), cases[i].error);
        equal("time: alert", cases[i].what, br_ssl_engine_last_error(&tls.peer.server.eng),
              cases[i].error == 0 ? 0 : BR_ERR_RECV_FATAL_ALERT + 45);
        tls_close();
    }
    for (i = 0; i < 2; i++) {
        tls_defaults();
        tls.now = 0;
        tls.platform.unix_time = i == 0 ? NULL : tls_time;
        equal("time", "unknown", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), XMPP_TINY_ERR_CLOCK);
        equal("time", "unknown: nothing was sent", (long)(tls.fake.up.len + tls.fake.held_len), 0);
        tls_close();
    }
    for (i = 0; i < sizeof exact / sizeof exact[0]; i++) {
        struct xmpp_tiny_stream *s = &tls.client.stream;
        tls_defaults();
        tls.now = exact[i];
        (void)tls_open(CONFORMANCE_MUTE);
        equal("time", "secure() begins", s->ops->secure(s, xmpp_tiny_str("a.test")), XMPP_TINY_IO_AGAIN);
        equal("time: days", "of the year 0", (long)tls.client.leaf.minimal.days,
              (long)(exact[i] / 86400 + 719528));
        equal("time: seconds", "of the day", (long)tls.client.leaf.minimal.seconds, (long)(exact[i] % 86400));
        tls_close();
    }
    /* Until the application knows the time there is no connection; nothing is assumed. */
    tls_defaults();
    tls.now = 0;
    equal("time", "not known yet", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), XMPP_TINY_ERR_CLOCK);
    tls_close();
    tls.now = PORT_TIME;
    equal("time", "known now", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    tls_close();
    tls_defaults();
    tls.now = INT64_MAX;
    equal("time", "absurd", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), XMPP_TINY_ERR_CLOCK);
    tls_close();
    tls_defaults();
    tls.no_random = true;
    equal("random", "none", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), XMPP_TINY_ERR_RANDOM);
    equal("random", "nothing was sent", (long)(tls.fake.up.len + tls.fake.held_len), 0);
    tls_close();
}

/* ---- Channel bindings -------------------------------------------------------------------------- */

static void test_binding(void)
{
    static const struct {
        const char *what, *chain, *key, *anchor;
        const br_hash_class *hash;
        int len;
    } cases[] = {
        {"ecdsa-with-SHA256", pki_good, pki_eckey, pki_root, &br_sha256_vtable, 32},
        {"ecdsa-with-SHA384", pki_sha384, pki_eckey, pki_root, &br_sha384_vtable, 48},
        {"ecdsa-with-SHA512", pki_sha512, pki_eckey, pki_root, &br_sha512_vtable, 64},
        {"sha256WithRSAEncryption", pki_rsa, pki_rsakey, pki_rsaroot, &br_sha256_vtable, 32},
        {"sha512WithRSAEncryption", pki_rsa512, pki_rsakey, pki_rsaroot, &br_sha512_vtable, 64},
        {"first of a chain", pki_below, pki_eckey, pki_root, &br_sha384_vtable, 48},
        {"a server's own certificate", pki_self, pki_eckey, pki_self, &br_sha256_vtable, 32},
        {"a server's own certificate, SHA-1", pki_sha1, pki_eckey, pki_sha1, &br_sha256_vtable, 32},
    };
    struct xmpp_tiny_stream *s = &tls.client.stream;
    const char *detail;
    uint8_t out[64], wanted[64];
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        br_hash_compat_context context;
        tls_defaults();
        tls_anchor(cases[i].anchor);
        port_tls_init(&tls.server, cases[i].chain, cases[i].key);
        (void)tls_open(CONFORMANCE_MUTE);
        equal("binding: before the handshake", cases[i].what,
              s->ops->binding(s, XMPP_TINY_BINDING_TLS_SERVER_END_POINT, out), XMPP_TINY_IO_FAILED);
        if (!equal("binding: handshake", cases[i].what, tls_secure("a.test", &detail), 0)) {
            continue;
        }
        equal("binding: tls-unique", cases[i].what, s->ops->binding(s, XMPP_TINY_BINDING_TLS_UNIQUE, out),
              12);
        yes(memcmp(out, tls.peer.server.eng.saved_finished, 12) == 0,
            "binding: tls-unique as the server has it", cases[i].what);
        yes(memcmp(out, tls.peer.server.eng.saved_finished + 12, 12) != 0,
            "binding: it is the client's Finished", cases[i].what);
        equal("binding: tls-server-end-point", cases[i].what,
              s->ops->binding(s, XMPP_TINY_BINDING_TLS_SERVER_END_POINT, out), cases[i].len);
        cases[i].hash->init(&context.vtable);
        cases[i].hash->update(&context.vtable, tls.server.chain[0].data, tls.server.chain[0].data_len);
        cases[i].hash->out(&context.vtable, wanted);
        yes(memcmp(out, wanted, (size_t)cases[i].len) == 0, "binding: it is the hash of the certificate",
            cases[i].what);
        tls_close();
        equal("binding: after close()", cases[i].what,
              s->ops->binding(s, XMPP_TINY_BINDING_TLS_SERVER_END_POINT, out), XMPP_TINY_IO_FAILED);
    }
}

/* ---- What is agreed ---------------------------------------------------------------------------- */

static void test_suites(void)
{
    static const struct {
        uint16_t suite;
        const char *name, *chain, *key, *anchor;
    } cases[] = {
        {BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
         pki_good, pki_eckey, pki_root},
        {BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", pki_good,
         pki_eckey, pki_root},
        {BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", pki_good,
         pki_eckey, pki_root},
        {BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", pki_rsa,
         pki_rsakey, pki_rsaroot},
        {BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE_RSA_WITH_AES_128_GCM_SHA256", pki_rsa, pki_rsakey,
         pki_rsaroot},
        {BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE_RSA_WITH_AES_256_GCM_SHA384", pki_rsa, pki_rsakey,
         pki_rsaroot},
    };
    static const struct {
        uint16_t suite;
        unsigned version;
        const char *what;
    } refused[] = {
        {BR_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, 0, "CBC"},
        {BR_TLS_RSA_WITH_AES_128_GCM_SHA256, 0, "RSA key exchange"},
        {BR_TLS_RSA_WITH_3DES_EDE_CBC_SHA, 0, "3DES"},
        {0, BR_TLS11, "TLS 1.1"},
        {0, BR_TLS10, "TLS 1.0"},
    };
    const char *detail;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tls_defaults();
        tls_anchor(cases[i].anchor);
        port_tls_init(&tls.server, cases[i].chain, cases[i].key);
        tls.server.suite = cases[i].suite;
        equal("suite", cases[i].name, tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
        yes(strcmp(tls_security().suite, cases[i].name) == 0, "suite name", cases[i].name);
        tls_close();
    }
    for (i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        tls_defaults();
        tls_anchor(pki_rsaroot);
        port_tls_init(&tls.server, pki_rsa, pki_rsakey);
        tls.server.suite = refused[i].suite;
        tls.server.version = refused[i].version;
        equal("refused", refused[i].what, tls_handshake(CONFORMANCE_MUTE, "a.test", &detail),
              XMPP_TINY_ERR_TLS);
        yes(detail != NULL, "refused: detail", refused[i].what);
        if (refused[i].suite != 0) {
            yes(strcmp(detail, "alert from the server: handshake_failure") == 0, "refused: alert",
                refused[i].what);
        }
        tls_close();
    }
}

/* What port/bearssl.h lets one leave out: works where it is in, and is refused where it is not. */
static void test_choice(void)
{
    enum {
        CHACHA20 = XMPP_TINY_BEARSSL_ENABLE_CHACHA20,
        AES = XMPP_TINY_BEARSSL_ENABLE_AES,
        ECDSA = XMPP_TINY_BEARSSL_ENABLE_ECDSA,
        RSA = XMPP_TINY_BEARSSL_ENABLE_RSA,
        SHA384 = XMPP_TINY_BEARSSL_ENABLE_SHA384,
        P384 = XMPP_TINY_BEARSSL_ENABLE_P384,
        X25519 = XMPP_TINY_BEARSSL_ENABLE_X25519
    };
    static const struct {
        const char *what, *chain, *key, *anchor;
        uint16_t suite;
        int curve;
        bool in;
        int error; /* if it is not */
    } cases[] = {
        {"ECDSA, ChaCha20", pki_good, pki_eckey, pki_root, BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
         0, ECDSA && CHACHA20, XMPP_TINY_ERR_TLS},
        {"ECDSA, AES-128", pki_good, pki_eckey, pki_root, BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 0,
         ECDSA && AES, XMPP_TINY_ERR_TLS},
        {"ECDSA, AES-256", pki_good, pki_eckey, pki_root, BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 0,
         ECDSA && AES && SHA384, XMPP_TINY_ERR_TLS},
        {"RSA, ChaCha20", pki_rsa, pki_rsakey, pki_rsaroot, BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, 0,
         RSA && CHACHA20, XMPP_TINY_ERR_TLS},
        {"RSA, AES-128", pki_rsa, pki_rsakey, pki_rsaroot, BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 0,
         RSA && AES, XMPP_TINY_ERR_TLS},
        {"RSA, AES-256", pki_rsa, pki_rsakey, pki_rsaroot, BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, 0,
         RSA && AES && SHA384, XMPP_TINY_ERR_TLS},
        {"ECDSA with SHA-384", pki_sha384, pki_eckey, pki_root, 0, 0, ECDSA && SHA384,
         ECDSA ? XMPP_TINY_ERR_CERT : XMPP_TINY_ERR_TLS},
        {"ECDSA with SHA-512", pki_sha512, pki_eckey, pki_root, 0, 0, ECDSA && SHA384,
         ECDSA ? XMPP_TINY_ERR_CERT : XMPP_TINY_ERR_TLS},
        {"RSA with SHA-512", pki_rsa512, pki_rsakey, pki_rsaroot, 0, 0, RSA && SHA384,
         RSA ? XMPP_TINY_ERR_CERT : XMPP_TINY_ERR_TLS},
        {"a server's key on P-384", pki_p384, pki_ec384key, pki_root, 0, 0, ECDSA && P384, XMPP_TINY_ERR_TLS},
        {"an authority's key on P-384", pki_below, pki_eckey, pki_root, 0, 0, ECDSA && P384 && SHA384,
         ECDSA ? XMPP_TINY_ERR_CERT : XMPP_TINY_ERR_TLS},
        {"ECDSA, P-256 exchange", pki_good, pki_eckey, pki_root, 0, BR_EC_secp256r1, ECDSA,
         XMPP_TINY_ERR_TLS},
        {"ECDSA, P-384 exchange", pki_good, pki_eckey, pki_root, 0, BR_EC_secp384r1, ECDSA && P384,
         XMPP_TINY_ERR_TLS},
        {"ECDSA, X25519 exchange", pki_good, pki_eckey, pki_root, 0, BR_EC_curve25519, ECDSA && X25519,
         XMPP_TINY_ERR_TLS},
        {"RSA, P-256 exchange", pki_rsa, pki_rsakey, pki_rsaroot, 0, BR_EC_secp256r1, RSA, XMPP_TINY_ERR_TLS},
        {"RSA, P-521 exchange", pki_rsa, pki_rsakey, pki_rsaroot, 0, BR_EC_secp521r1, false,
         XMPP_TINY_ERR_TLS},
    };
    const char *detail;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tls_defaults();
        tls_anchor(cases[i].anchor);
        port_tls_init(&tls.server, cases[i].chain, cases[i].key);
        tls.server.suite = cases[i].suite;
        tls.server.curve = cases[i].curve;
        equal("choice", cases[i].what, tls_handshake(CONFORMANCE_MUTE, "a.test", &detail),
              cases[i].in ? 0 : cases[i].error);
        tls_close();
    }
}

static bool all_zero(const void *data, size_t len)
{
    const uint8_t *at = data;

    while (len > 0 && *at == 0) {
        at++;
        len--;
    }
    return len == 0;
}

static bool is_text(struct xmpp_tiny_str text, const char *wanted)
{
    return text.len == strlen(wanted) && (text.len == 0 || memcmp(text.ptr, wanted, text.len) == 0);
}

/* A name as it is kept: cut where the room for it ends. */
static bool is_name(struct xmpp_tiny_str text, const char *wanted)
{
    char cut[256] = "";

    (void)snprintf(cut, XMPP_TINY_BEARSSL_NAME_MAX + 1, "%s", wanted);
    return is_text(text, cut);
}

static void test_security(void)
{
    static const struct {
        int curve;
        bool in;
        const char *name;
    } curves[] = {
        {BR_EC_secp256r1, true, "secp256r1"},
        {BR_EC_secp384r1, XMPP_TINY_BEARSSL_ENABLE_P384, "secp384r1"},
        {BR_EC_curve25519, XMPP_TINY_BEARSSL_ENABLE_X25519, "x25519"},
    };
    struct xmpp_tiny_security security, zero;
    const char *detail;
    uint8_t digest[32];
    size_t i;

    memset(&zero, 0, sizeof zero);
    for (i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (!curves[i].in) {
            continue;
        }
        tls_defaults();
        tls.server.curve = curves[i].curve;
        (void)tls_open(CONFORMANCE_MUTE);
        security = tls_security();
        yes(memcmp(&security, &zero, sizeof zero) == 0, "security", "nothing before the handshake");
        equal("security", curves[i].name, tls_secure("a.test", &detail), 0);
        security = tls_security();
        equal("security", "trust", (long)security.trust, XMPP_TINY_TRUST_CA);
        yes(strcmp(security.version, "TLS 1.2") == 0, "security", "version");
        yes(strncmp(security.suite, XMPP_TINY_BEARSSL_ENABLE_ECDSA ? "ECDHE_ECDSA_WITH_" : "ECDHE_RSA_WITH_",
                    15) == 0,
            "security", "suite");
        yes(strcmp(security.key_exchange, curves[i].name) == 0, "security", curves[i].name);
        yes(is_name(security.subject, "CN=a.test"), "security", "subject");
        yes(is_name(security.issuer, XMPP_TINY_BEARSSL_ENABLE_ECDSA ? "O=xmpp_tiny test, CN=root"
                                                                    : "O=xmpp_tiny test, CN=rsaroot"),
            "security", "issuer");
        yes(memcmp(security.spki, XMPP_TINY_BEARSSL_ENABLE_ECDSA ? pki_eckey_pin : pki_rsakey_pin, 32) == 0,
            "security", "key");
        xmpp_tiny_bearssl_crypto.hash(XMPP_TINY_SHA256, tls.server.chain[0].data,
                                      tls.server.chain[0].data_len, digest);
        yes(memcmp(security.certificate, digest, 32) == 0, "security", "certificate");
        yes(!security.resumed && !security.authenticated, "security", "not resumed");
        tls_close();
        security = tls_security();
        yes(memcmp(&security, &zero, sizeof zero) == 0, "security", "nothing after close()");
    }
}

/* With another hash than SHA-256 for the binding, and for names that ask for care. */
static void test_security_certificates(void)
{
    struct xmpp_tiny_security security;
    const char *detail;
    uint8_t digest[32];

    tls_defaults();
    equal("security", "dates", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    yes(tls_security().not_before == PKI_NOT_BEFORE, "security", "not before");
    yes(tls_security().not_after == PKI_NOT_AFTER, "security", "not after");
    tls_close();

    tls_defaults();
    port_tls_init(&tls.server, pki_below, pki_eckey);
    equal("security", "SHA-384", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    security = tls_security();
    xmpp_tiny_bearssl_crypto.hash(XMPP_TINY_SHA256, tls.server.chain[0].data, tls.server.chain[0].data_len,
                                  digest);
    yes(memcmp(security.certificate, digest, 32) == 0, "security", "SHA-384: certificate");
    yes(memcmp(security.spki, pki_eckey_pin, 32) == 0, "security", "SHA-384: key");
    yes(is_name(security.issuer, "O=xmpp_tiny test, CN=middle"), "security", "SHA-384: issuer");
    tls_close();

    tls_defaults();
    port_tls_init(&tls.server, pki_named, pki_eckey);
    equal("security", "names", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    security = tls_security();
    yes(is_name(security.subject, "C=DE, ST=Some, L=Where, O=M??ller\\, Inc\\\\ ?, OU=x, ?=1, CN=a.test"),
        "security", "names: subject");
    equal("security", "names: it is cut", (long)security.subject.len, XMPP_TINY_BEARSSL_NAME_MAX);
    tls_close();
}

/* What the server's hello chooses is changed on its way: a byte behind the session id, or one of the name of
 * the protocol. */
static void test_hello(void)
{
    static const struct {
        const char *what, *detail;
        size_t at;
        uint8_t value;
    } cases[] = {
        {"compression", "the server chose compression", 2, 1},
        {"a suite that was not offered", "the server chose a cipher suite that was not offered", 1, 0x13},
        {"another protocol", "an unexpected message", 0, 'X'},
    };
    static const char protocol[] = "xmpp-client";
    struct xmpp_tiny_stream *s = &tls.client.stream;
    struct port_pipe *down = &tls.fake.down;
    const char *detail;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t at;
        tls_defaults();
        (void)tls_open(CONFORMANCE_MUTE);
        equal("hello", "sent", s->ops->secure(s, xmpp_tiny_str("a.test")), XMPP_TINY_IO_AGAIN);
        (void)s->ops->secure(s, xmpp_tiny_str("a.test"));
        tls.peer.peer.step(&tls.peer.peer);
        at = 5 + 4 + 2 + 32; /* headers of record and message, version, random */
        must(down->begin == 0 && down->len > 300 && down->data[5] == 2, "ServerHello");
        at += 1U + down->data[at] + cases[i].at;
        if (cases[i].at == 0) {
            while (at < 300 && memcmp(down->data + at, protocol, sizeof protocol - 1) != 0) {
                at++;
            }
            must(at < 300, "the name of the protocol");
        }
        down->data[at] = cases[i].value;
        equal("hello", cases[i].what, tls_secure("a.test", &detail), XMPP_TINY_ERR_TLS);
        yes(strcmp(detail, cases[i].detail) == 0, "hello: detail", cases[i].what);
        tls_close();
    }
}

/* Points of small order turn every key into zero. [RFC7748 6.1] */
static void test_small_order(void)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    static br_ssl_client_context client;
    static br_x509_minimal_context x509;
    uint8_t point[32], key[32];
    size_t i;

    br_ssl_client_zero(&client);
    br_x509_minimal_init(&x509, &br_sha256_vtable, NULL, 0);
    xmpp_tiny_bearssl_profile(&client, &x509);
    memset(key, 0x42, sizeof key);
    for (i = 0; i < sizeof points / sizeof points[0]; i++) {
        must(unhex(points[i], point, sizeof point) == sizeof point, "a point");
        equal("small order", points[i],
              (long)client.eng.iec->mul(point, sizeof point, key, sizeof key, BR_EC_curve25519), 0);
    }
    memset(point, 0, sizeof point);
    point[0] = 9;
    equal("small order", "the base is none",
          (long)client.eng.iec->mul(point, sizeof point, key, sizeof key, BR_EC_curve25519), 1);
}

/* Direct TLS names its protocol, STARTTLS does not. [XEP-0368] */
static void test_start(void)
{
    struct xmpp_tiny_stream *s;
    char text[16];
    const char *detail;
    const char *protocol;

    tls_defaults();
    equal("direct", "handshake", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    protocol = br_ssl_engine_get_selected_protocol(&tls.peer.server.eng);
    yes(protocol != NULL && strcmp(protocol, "xmpp-client") == 0, "direct", "protocol");
    tls_close();

    tls_defaults();
    s = tls_open(CONFORMANCE_MUTE);
    equal("starttls", "write in the clear", s->ops->write(s, "<starttls/>", 11), 11);
    equal("starttls", "nothing to read", s->ops->read(s, text, sizeof text), XMPP_TINY_IO_AGAIN);
    memset(text, 0, sizeof text);
    yes(pipe_get(&tls.fake.up, text, sizeof text) == 11 && strcmp(text, "<starttls/>") == 0, "starttls",
        "arrived in the clear");
    (void)pipe_put(&tls.fake.down, "<proceed/>", 10);
    equal("starttls", "read in the clear", s->ops->read(s, text, sizeof text), 10);
    equal("starttls", "handshake", tls_secure("a.test", &detail), 0);
    yes(br_ssl_engine_get_selected_protocol(&tls.peer.server.eng) == NULL, "starttls", "no protocol");
    tls_close();

    /* What an attacker adds behind <proceed/> never comes out of TLS. */
    tls_defaults();
    s = tls_open(CONFORMANCE_MUTE);
    equal("injection", "write in the clear", s->ops->write(s, "<starttls/>", 11), 11);
    equal("injection", "nothing to read", s->ops->read(s, text, sizeof text), XMPP_TINY_IO_AGAIN);
    (void)pipe_get(&tls.fake.up, text, sizeof text);
    (void)pipe_put(&tls.fake.down, "<message/>", 10);
    equal("injection", "handshake", tls_secure("a.test", &detail), XMPP_TINY_ERR_TLS);
    equal("injection", "read", s->ops->read(s, text, sizeof text), XMPP_TINY_IO_FAILED);
    tls_close();
}

/* ---- Sessions that are resumed ----------------------------------------------------------------- */

/* A server's memory of sessions, and what it does to one before it uses it. */
static struct {
    const br_ssl_session_cache_class *vtable;
    br_ssl_session_cache_lru lru;
    unsigned char store[1024];
    void (*spoil)(br_ssl_session_parameters *session);
} cache;

static void cache_save(const br_ssl_session_cache_class **ctx, br_ssl_server_context *server,
                       const br_ssl_session_parameters *session)
{
    (void)ctx;
    cache.lru.vtable->save(&cache.lru.vtable, server, session);
}

static int cache_load(const br_ssl_session_cache_class **ctx, br_ssl_server_context *server,
                      br_ssl_session_parameters *session)
{
    int found = cache.lru.vtable->load(&cache.lru.vtable, server, session);

    (void)ctx;
    if (found && cache.spoil != NULL) {
        cache.spoil(session);
    }
    return found;
}

static void server_forgets(void)
{
    static const br_ssl_session_cache_class class = {sizeof cache, cache_save, cache_load};

    cache.vtable = &class;
    cache.spoil = NULL;
    br_ssl_session_cache_lru_init(&cache.lru, cache.store, sizeof cache.store);
}

/* As tls_defaults(), and the server remembers. */
static void session_defaults(const char *chain, const char *key, const char *anchor)
{
    tls_defaults();
    if (chain != NULL) {
        tls_anchor(anchor);
        port_tls_init(&tls.server, chain, key);
    }
    server_forgets();
    tls.server.cache = &cache.vtable;
}

/* STARTTLS, where wanted. */
static void session_open(bool starttls)
{
    struct xmpp_tiny_stream *s = tls_open(CONFORMANCE_ECHO);
    char text[16];

    if (starttls) {
        must(s->ops->write(s, "<starttls/>", 11) == 11, "write in the clear");
        must(s->ops->read(s, text, sizeof text) == XMPP_TINY_IO_AGAIN, "nothing to read");
        must(pipe_get(&tls.fake.up, text, sizeof text) == 11, "starttls");
    }
}

static bool echoes(void)
{
    struct xmpp_tiny_stream *s = &tls.client.stream;
    uint8_t out[100], in[100];
    size_t i, got = 0;
    int n, calls;

    for (i = 0; i < sizeof out; i++) {
        out[i] = conformance_pattern(i);
    }
    if (s->ops->write(s, out, sizeof out) != sizeof out) {
        return false;
    }
    for (calls = 0; calls < 20 && got < sizeof in; calls++) {
        n = s->ops->read(s, in + got, sizeof in - got);
        got += n > 0 ? (size_t)n : 0;
        tls.peer.peer.step(&tls.peer.peer);
    }
    return got == sizeof in && memcmp(in, out, sizeof in) == 0;
}

static void session_keep(struct session *session)
{
    memset(session, 0, sizeof *session);
    session->len = tls.client.stream.ops->save(&tls.client.stream, session->data, sizeof session->data);
    session->security = tls_security();
}

/* A full handshake, of which the session is kept. */
static void session_make(struct session *session)
{
    const char *detail;

    tls.load = NULL;
    must(tls_handshake(CONFORMANCE_ECHO, "a.test", &detail) == 0, "a full handshake");
    session_keep(session);
    must(session->len == 106 && !session->security.resumed, "a session");
    tls_close();
    tls.load = session;
}

/* The first bytes of a hello are sent; returns how long the session id in it is. */
static int id_offered(const char *name)
{
    struct xmpp_tiny_stream *s = &tls.client.stream;
    const struct port_pipe *up = &tls.fake.up;

    (void)tls_open(CONFORMANCE_MUTE);
    must(s->ops->secure(s, xmpp_tiny_str(name)) == XMPP_TINY_IO_AGAIN, "secure() begins");
    must(s->ops->secure(s, xmpp_tiny_str(name)) == XMPP_TINY_IO_AGAIN, "secure() waits");
    must(up->begin == 0 && up->len > 100 && up->data[5] == 1, "ClientHello");
    return up->data[5 + 4 + 2 + 32];
}

static void offers(const char *what, int wanted)
{
    equal("offered", what, id_offered("a.test"), wanted);
    tls_close();
}

static void test_resumed_one(const char *what, bool starttls)
{
    struct xmpp_tiny_stream *s = &tls.client.stream;
    struct session full, again;
    const char *detail;
    uint8_t out[64], wanted[32];
    unsigned flights;

    session_open(starttls);
    equal("resumed: full handshake", what, tls_secure("a.test", &detail), 0);
    flights = tls.flights;
    equal("resumed: tls-unique before", what, s->ops->binding(s, XMPP_TINY_BINDING_TLS_UNIQUE, out), 12);
    session_keep(&full);
    equal("resumed: saved", what, (long)full.len, 106);
    yes(!full.security.resumed, "resumed: not yet", what);
    yes(echoes(), "resumed: data before", what);
    tls_close();

    tls.load = &full;
    session_open(starttls);
    if (!equal("resumed: handshake", what, tls_secure("a.test", &detail), 0)) {
        return;
    }
    equal("resumed: a flight less", what, (long)tls.flights, (long)flights - 1);
    equal("resumed: no certificate", what, tls.client.leaf.certificates, 0);
    yes(memcmp(&tls.peer.server.eng.session, &tls.client.client.eng.session,
               sizeof(br_ssl_session_parameters)) == 0,
        "resumed: the server agrees", what);
    session_keep(&again);
    yes(again.len == full.len && memcmp(again.data, full.data, full.len) == 0, "resumed: saved again", what);
    yes(again.security.resumed && again.security.trust == full.security.trust &&
            strcmp(again.security.suite, full.security.suite) == 0 &&
            again.security.not_before == full.security.not_before &&
            again.security.not_after == full.security.not_after &&
            memcmp(again.security.spki, full.security.spki, 32) == 0 &&
            memcmp(again.security.certificate, full.security.certificate, 32) == 0,
        "resumed: security", what);
    yes(again.security.subject.len == 0 && again.security.issuer.len == 0 &&
            *again.security.key_exchange == '\0',
        "resumed: what was not seen is empty", what);
    equal("resumed: no tls-unique", what, s->ops->binding(s, XMPP_TINY_BINDING_TLS_UNIQUE, out),
          XMPP_TINY_IO_FAILED);
    equal("resumed: tls-server-end-point", what,
          s->ops->binding(s, XMPP_TINY_BINDING_TLS_SERVER_END_POINT, out), 32);
    xmpp_tiny_bearssl_crypto.hash(XMPP_TINY_SHA256, tls.server.chain[0].data, tls.server.chain[0].data_len,
                                  wanted);
    yes(memcmp(out, wanted, 32) == 0, "resumed: it is the hash of the certificate", what);
    yes(echoes(), "resumed: data", what);
    tls_close();

    server_forgets();
    session_open(starttls);
    equal("forgotten: handshake", what, tls_secure("a.test", &detail), 0);
    equal("forgotten: all flights", what, (long)tls.flights, (long)flights);
    yes(!tls_security().resumed, "forgotten: not resumed", what);
    yes(memcmp(tls_security().spki, full.security.spki, 32) == 0, "forgotten: key", what);
    equal("forgotten: tls-unique", what, s->ops->binding(s, XMPP_TINY_BINDING_TLS_UNIQUE, out), 12);
    yes(echoes(), "forgotten: data", what);
    tls_close();
}

static void test_resumed_choice(void)
{
    session_defaults(NULL, NULL, NULL);
    test_resumed_one("any suite, direct TLS", false);
    session_defaults(NULL, NULL, NULL);
    test_resumed_one("any suite, STARTTLS", true);
    session_defaults(NULL, NULL, NULL);
    tls.config.in_size = XMPP_TINY_BEARSSL_IN_MIN;
    tls.config.out = NULL;
    tls.config.out_size = 0;
    test_resumed_one("one small buffer", false);
}

static void test_resumed(void)
{
    static const struct {
        const char *what, *chain, *key, *anchor;
        uint16_t suite;
    } cases[] = {
        {"ECDSA, ChaCha20", pki_good, pki_eckey, pki_root, BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
        {"ECDSA, AES-128", pki_good, pki_eckey, pki_root, BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
        {"ECDSA, AES-256", pki_good, pki_eckey, pki_root, BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
        {"RSA, ChaCha20", pki_rsa, pki_rsakey, pki_rsaroot, BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256},
        {"RSA, AES-128", pki_rsa, pki_rsakey, pki_rsaroot, BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
        {"RSA, AES-256", pki_rsa, pki_rsakey, pki_rsaroot, BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
        {"its own certificate, SHA-1", pki_sha1, pki_eckey, pki_sha1, 0},
    };
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        session_defaults(cases[i].chain, cases[i].key, cases[i].anchor);
        tls.server.suite = cases[i].suite;
        test_resumed_one(cases[i].what, i % 2 == 1);
    }
}

/* The other kinds of trust, and what each of them asks of the time. */
static void test_resumed_trust(void)
{
    enum { PIN = XMPP_TINY_TRUST_PIN, FIRST = XMPP_TINY_TRUST_FIRST_USE };
    static const int64_t early = PKI_NOT_BEFORE - 1, begin = PKI_NOT_BEFORE, end = PKI_NOT_AFTER,
                         late = PKI_NOT_AFTER + 1;
    static const struct {
        const char *what;
        int trust;
        int64_t now, floor;
        int error;
    } cases[] = {
        {"CA, first second", XMPP_TINY_TRUST_CA, begin, 0, 0},
        {"CA, last second", XMPP_TINY_TRUST_CA, end, 0, 0},
        {"CA, last second by the floor", XMPP_TINY_TRUST_CA, begin, end, 0},
        {"CA, before", XMPP_TINY_TRUST_CA, early, 0, XMPP_TINY_ERR_CERT_TIME},
        {"CA, after", XMPP_TINY_TRUST_CA, late, 0, XMPP_TINY_ERR_CERT_TIME},
        {"CA, after by the floor", XMPP_TINY_TRUST_CA, end, late, XMPP_TINY_ERR_CERT_TIME},
        {"CA, no clock, floor", XMPP_TINY_TRUST_CA, 0, PORT_TIME, 0},
        {"CA, no clock", XMPP_TINY_TRUST_CA, 0, 0, XMPP_TINY_ERR_CLOCK},
        {"CA and pin", XMPP_TINY_TRUST_CA_PIN, PORT_TIME, 0, 0},
        {"CA and pin, after", XMPP_TINY_TRUST_CA_PIN, late, 0, XMPP_TINY_ERR_CERT_TIME},
        {"CA and pin, no clock", XMPP_TINY_TRUST_CA_PIN, 0, 0, XMPP_TINY_ERR_CLOCK},
        {"pin", PIN, PORT_TIME, 0, 0},
        {"pin, after", PIN, late, 0, 0},
        {"pin, no clock", PIN, 0, 0, 0},
        {"first use", FIRST, PORT_TIME, 0, 0},
        {"first use, after", FIRST, late, 0, XMPP_TINY_ERR_CERT_TIME},
        {"first use, no clock", FIRST, 0, 0, XMPP_TINY_ERR_CLOCK},
    };
    struct session full;
    const char *detail;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        session_defaults(NULL, NULL, NULL);
        if ((cases[i].trust & XMPP_TINY_TRUST_CA) == 0) {
            tls.config.anchors = NULL;
            tls.config.anchor_count = 0;
        }
        if ((cases[i].trust & XMPP_TINY_TRUST_PIN) != 0) {
            tls.config.pins = pki_eckey_pin;
            tls.config.pin_count = 1;
        }
        tls.config.first_use = cases[i].trust == FIRST;
        session_make(&full);
        equal("resumed: trust before", cases[i].what, (long)full.security.trust, cases[i].trust);
        tls.now = cases[i].now;
        tls.config.time_floor = cases[i].floor;
        equal("resumed: trust", cases[i].what, tls_handshake(CONFORMANCE_MUTE, "a.test", &detail),
              cases[i].error);
        equal("resumed: trust kept", cases[i].what, (long)tls_security().trust,
              cases[i].error == 0 ? cases[i].trust : 0);
        yes(tls_security().resumed == (cases[i].error == 0), "resumed: trust", cases[i].what);
        tls_close();
    }
}

enum {
    CHANGE_NAME,
    CHANGE_ANCHORS,
    CHANGE_FLAG,
    CHANGE_DN,
    CHANGE_KEY,
    CHANGE_MODULUS,
    CHANGE_EXPONENT,
    CHANGE_PINS,
    CHANGE_MORE_PINS,
    CHANGE_TO_PINS,
    CHANGE_TO_FIRST_USE,
    CHANGE_IDENTITY,
    CHANGE_RECORDS,
    CHANGE_COUNT
};

static void session_change(int change)
{
    static struct xmpp_tiny_bearssl_identity identity;
    static struct port_tls credentials;
    br_x509_trust_anchor *anchor = &tls.anchors[0];

    switch (change) {
    case CHANGE_ANCHORS:
        tls.anchors[1] = *anchor;
        tls.config.anchor_count = 2;
        break;
    case CHANGE_FLAG:
        anchor->flags ^= BR_X509_TA_CA;
        break;
    case CHANGE_DN:
        anchor->dn.data[anchor->dn.len - 1] ^= 1;
        break;
    case CHANGE_KEY:
        anchor->pkey.key.ec.q[anchor->pkey.key.ec.qlen - 1] ^= 1;
        break;
    case CHANGE_MODULUS:
        anchor->pkey.key.rsa.n[anchor->pkey.key.rsa.nlen - 1] ^= 2;
        break;
    case CHANGE_EXPONENT:
        anchor->pkey.key.rsa.e[0] ^= 2;
        break;
    case CHANGE_PINS:
    case CHANGE_TO_PINS:
    case CHANGE_MORE_PINS:
        tls.config.pin_count++;
        break;
    case CHANGE_IDENTITY:
        port_tls_init(&credentials, pki_client, pki_eckey);
        memset(&identity, 0, sizeof identity);
        identity.use = xmpp_tiny_bearssl_ec;
        identity.chain = credentials.chain;
        identity.chain_count = 1;
        identity.ec = &credentials.key.ec;
        tls.config.identity = &identity;
        break;
    case CHANGE_RECORDS:
        tls.config.in_size = 2077;
        break;
    default:
        break;
    }
    if (change == CHANGE_TO_PINS || change == CHANGE_TO_FIRST_USE) {
        tls.config.anchors = NULL;
        tls.config.anchor_count = 0;
        tls.config.first_use = change == CHANGE_TO_FIRST_USE;
    }
}

/* What a server was checked by changes: it is checked anew. */
static void test_not_offered(void)
{
    static const char *const what[CHANGE_COUNT] = {
        [CHANGE_NAME] = "another name",       [CHANGE_ANCHORS] = "one more anchor",
        [CHANGE_FLAG] = "an anchor is no CA", [CHANGE_DN] = "an anchor's name",
        [CHANGE_KEY] = "an anchor's key",     [CHANGE_MODULUS] = "an anchor's RSA key",
        [CHANGE_EXPONENT] = "its exponent",   [CHANGE_PINS] = "a pin",
        [CHANGE_MORE_PINS] = "one more pin",  [CHANGE_TO_PINS] = "a pin in place of CAs",
        [CHANGE_TO_FIRST_USE] = "first use",  [CHANGE_IDENTITY] = "an own certificate",
        [CHANGE_RECORDS] = "shorter records",
    };
    struct session full;
    const char *detail;
    uint8_t pins[64];
    int i;

    memcpy(pins, pki_eckey_pin, 32);
    memcpy(pins + 32, pki_rsakey_pin, 32);
    for (i = 0; i < CHANGE_COUNT; i++) {
        if (i == CHANGE_MODULUS || i == CHANGE_EXPONENT) {
            session_defaults(pki_rsa, pki_rsakey, pki_rsaroot);
        } else {
            session_defaults(pki_good, pki_eckey, pki_root);
        }
        tls.config.pins = pins;
        tls.config.pin_count = i == CHANGE_MORE_PINS ? 1 : 0;
        session_make(&full);
        offers(what[i], 32);
        session_change(i);
        equal("not offered", what[i], id_offered(i == CHANGE_NAME ? "b.test" : "a.test"), 0);
        yes(all_zero(&tls.client.client.eng.session, sizeof(br_ssl_session_parameters)), "not offered: wiped",
            what[i]);
        tls_close();
    }

    /* As a profile with fewer suites would have it. */
    session_defaults(pki_good, pki_eckey, pki_root);
    equal("not offered", "handshake", tls_handshake(CONFORMANCE_ECHO, "a.test", &detail), 0);
    tls.client.client.eng.suites_num--;
    session_keep(&full);
    tls_close();
    tls.load = &full;
    offers("one more suite", 0);
}

static void test_session_data(void)
{
    struct xmpp_tiny_stream *s = &tls.client.stream;
    struct session full, bad;
    const char *detail;
    uint8_t out[128 + 8];
    size_t i;

    session_defaults(NULL, NULL, NULL);
    session_make(&full);
    tls.load = &bad;
    for (i = 0; i < full.len; i++) {
        bad = full;
        bad.data[i] ^= (uint8_t)(1U << i % 8);
        offers("a damaged byte", 0);
    }
    bad = full;
    bad.security.spki[31] ^= 1;
    offers("another key", 0);
    bad = full;
    bad.security.certificate[0] ^= 0x80;
    offers("another certificate", 0);
    for (i = 0; i <= sizeof full.data; i++) {
        bad = full;
        bad.len = i;
        offers("another length", i == full.len ? 32 : 0);
    }
    memset(&bad, 0, sizeof bad);
    bad.len = full.len;
    offers("zeros", 0);

    /* The last load() counts, and one on a stream that is open does not. */
    tls.load = NULL;
    (void)tls_open(CONFORMANCE_MUTE);
    s->ops->load(s, full.data, full.len, full.security.spki, full.security.certificate);
    equal("session", "loaded too late", tls_secure("a.test", &detail), 0);
    yes(!tls_security().resumed, "session", "loaded too late");
    s->ops->load(s, full.data, full.len, full.security.spki, full.security.certificate);
    session_keep(&bad);
    yes(bad.len == full.len && memcmp(bad.data, full.data, full.len) != 0, "session", "a session of its own");
    tls_close();
    for (i = 0; i < 3; i++) {
        int n = XMPP_TINY_IO_AGAIN, calls;
        s->ops->load(s, full.data, full.len - (i == 1), full.security.spki, full.security.certificate);
        s->ops->load(s, full.data, full.len - (i == 0), full.security.spki, full.security.certificate);
        if (i == 2) {
            s->ops->close(s);
            yes(all_zero(&tls.client.client, sizeof tls.client.client) &&
                    all_zero(&tls.client.leaf, sizeof tls.client.leaf),
                "session", "close() forgets what was loaded");
        }
        port_peer_init(&tls.peer, &tls.fake, &tls.server, "a.test");
        tls.peer.peer.expect(&tls.peer.peer, CONFORMANCE_MUTE);
        must(s->ops->open(s, xmpp_tiny_str("127.0.0.1"), tls.peer.peer.port) > 0, "open()");
        for (calls = 0; calls < 100 && n == XMPP_TINY_IO_AGAIN; calls++) {
            n = s->ops->secure(s, xmpp_tiny_str("a.test"));
            tls.peer.peer.step(&tls.peer.peer);
        }
        equal("session", "loaded twice", n, 1);
        yes(tls_security().resumed == (i == 1), "session", i == 1 ? "the second counts" : "none counts");
        tls_close();
    }

    /* What there is to save. */
    tls.load = &full;
    (void)tls_open(CONFORMANCE_MUTE);
    equal("session", "before the handshake", (long)s->ops->save(s, out, sizeof out), 0);
    equal("session", "handshake", tls_secure("a.test", &detail), 0);
    memset(out, 0xA5, sizeof out);
    equal("session", "a byte too small", (long)s->ops->save(s, out, full.len - 1), 0);
    yes(out[0] == 0xA5, "session", "a byte too small: nothing written");
    equal("session", "just fits", (long)s->ops->save(s, out, full.len), (long)full.len);
    yes(out[full.len] == 0xA5 && memcmp(out, full.data, full.len) == 0, "session", "just fits: as it was");
    tls.client.client.eng.session.session_id_len = 0;
    equal("session", "the server gave no id", (long)s->ops->save(s, out, sizeof out), 0);
    tls_close();
    yes(all_zero(&tls.client.client, sizeof tls.client.client) &&
            all_zero(&tls.client.leaf, sizeof tls.client.leaf),
        "session", "close() wipes what was resumed");
    equal("session", "after close()", (long)s->ops->save(s, out, sizeof out), 0);
    session_defaults(pki_sha384, pki_eckey, pki_root);
    equal("session", "SHA-384", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    equal("session", "SHA-384: nothing to save", (long)s->ops->save(s, out, sizeof out), 0);
    tls_close();
}

static void spoil_secret(br_ssl_session_parameters *session)
{
    session->master_secret[47] ^= 1;
}

static void spoil_suite(br_ssl_session_parameters *session)
{
    session->cipher_suite = session->cipher_suite == BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                                ? BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                                : BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
}

/* Whoever answers with our id, but is not who gave it. */
static void test_resumed_by_others(void)
{
    static const struct {
        const char *what, *detail;
        void (*spoil)(br_ssl_session_parameters *session);
    } cases[] = {
        {"another secret", "a record does not decrypt", spoil_secret},
        {"another suite", "bad session resumption", spoil_suite},
    };
    struct xmpp_tiny_stream *s = &tls.client.stream;
    struct session full;
    const char *detail;
    uint8_t id[32];
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        session_defaults(pki_good, pki_eckey, pki_root);
        session_make(&full);
        cache.spoil = cases[i].spoil;
        equal("by others", cases[i].what, tls_handshake(CONFORMANCE_MUTE, "a.test", &detail),
              XMPP_TINY_ERR_TLS);
        yes(strcmp(detail, cases[i].detail) == 0, "by others: detail", cases[i].what);
        equal("by others: nothing to save", cases[i].what, (long)s->ops->save(s, full.data, full.len), 0);
        tls_close();
    }

    /* The id, and then a certificate: a server cannot have it both ways. */
    session_defaults(pki_good, pki_eckey, pki_root);
    session_make(&full);
    server_forgets();
    equal("by others", "the id is offered", id_offered("a.test"), 32);
    memcpy(id, tls.fake.up.data + 5 + 4 + 2 + 32 + 1, sizeof id);
    tls.peer.peer.step(&tls.peer.peer);
    must(tls.fake.down.begin == 0 && tls.fake.down.data[5] == 2, "ServerHello");
    memcpy(tls.fake.down.data + 5 + 4 + 2 + 32 + 1, id, sizeof id);
    equal("by others", "the id and a certificate", tls_secure("a.test", &detail), XMPP_TINY_ERR_TLS);
    equal("by others", "the certificate is not read", tls.client.leaf.certificates, 0);
    yes(tls_security().trust == XMPP_TINY_TRUST_NONE, "by others", "nobody is trusted");
    tls_close();

    /* The server has another key now, and does not know the session: it is the new key that counts. */
    session_defaults(pki_good, pki_eckey, pki_root);
    session_make(&full);
    port_tls_init(&tls.server, pki_p384, pki_ec384key);
    server_forgets();
    tls.server.cache = &cache.vtable;
    equal("by others", "another key", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    yes(!tls_security().resumed && memcmp(tls_security().spki, pki_ec384key_pin, 32) == 0, "by others",
        "another key: it is told");
    tls_close();
}

/* ---- Client certificates ----------------------------------------------------------------------- */

static void test_identity(void)
{
    static const struct {
        const char *what, *chain, *key;
        bool good;
    } cases[] = {
        {"EC", pki_client, pki_eckey, true},
        {"RSA", pki_rsaclient, pki_rsakey, true},
        {"by a stranger", pki_self, pki_eckey, false},
        {"none", NULL, NULL, false},
    };
    struct xmpp_tiny_bearssl_identity identity;
    struct port_tls credentials; /* as good a place as any to keep a chain and a key */
    const char *detail;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int error;
        tls_defaults();
        tls.server.client_anchors = tls.anchors;
        tls.server.client_anchor_count = 1;
        if (cases[i].chain != NULL) {
            port_tls_init(&credentials, cases[i].chain, cases[i].key);
            memset(&identity, 0, sizeof identity);
            identity.use =
                credentials.key.type == BR_KEYTYPE_EC ? xmpp_tiny_bearssl_ec : xmpp_tiny_bearssl_rsa;
            identity.chain = credentials.chain;
            identity.chain_count = credentials.chain_count;
            identity.ec = &credentials.key.ec;
            identity.rsa = &credentials.key.rsa;
            tls.config.identity = &identity;
        }
        error = tls_handshake(CONFORMANCE_MUTE, "a.test", &detail);
        test((error == 0) == cases[i].good, "client certificate", cases[i].what, error, 0);
        tls_close();
    }
}

/* ---- Records ----------------------------------------------------------------------------------- */

/* The server sends a record with as much data as it may, at most max. Returns how much, and in *record how
 * long the record was on its way. */
static size_t record_from_server(size_t max, size_t *record)
{
    br_ssl_engine_context *engine = &tls.peer.server.eng;
    const struct port_pipe *down = &tls.fake.down;
    size_t room;
    unsigned char *data = br_ssl_engine_sendapp_buf(engine, &room);

    must(data != NULL && down->len == 0, "the server may send");
    room = room < max ? room : max;
    memset(data, 'x', room);
    br_ssl_engine_sendapp_ack(engine, room);
    br_ssl_engine_flush(engine, 0);
    tls.peer.peer.step(&tls.peer.peer);
    *record = down->len;
    must(down->len > 5, "a record was sent");
    equal("record from the server", "one", (long)down->len,
          5 + (down->data[(down->begin + 3) % sizeof down->data] << 8) +
              down->data[(down->begin + 4) % sizeof down->data]);
    return room;
}

/* Reads all of a record. Returns how much came, or what read() returned for an error. */
static long read_record(void)
{
    struct xmpp_tiny_stream *s = &tls.client.stream;
    uint8_t buf[256];
    long total = 0;
    int i, n = 1;

    for (i = 0; i < 1000 && (n > 0 || tls.fake.down.len > 0); i++) {
        n = s->ops->read(s, buf, sizeof buf);
        if (n == XMPP_TINY_IO_FAILED) {
            return n;
        }
        total += n > 0 ? n : 0;
    }
    return total;
}

/* Longest record that a client brings out. */
static size_t longest_from_client(void)
{
    static const uint8_t text[4000];
    struct xmpp_tiny_stream *s = &tls.client.stream;
    const struct port_pipe *up = &tls.fake.up;
    uint8_t byte;
    size_t done = 0, longest = 0, at, len;
    int i, n;

    for (i = 0; i < 1000 && done < sizeof text; i++) {
        n = s->ops->write(s, text, sizeof text - done);
        done += n > 0 ? (size_t)n : 0;
        (void)s->ops->read(s, &byte, 1);
    }
    must(done == sizeof text, "the client has written");
    for (i = 0; i < 10; i++) {
        (void)s->ops->read(s, &byte, 1);
    }
    for (at = 0; at < up->len; at += len) {
        len = 5U + (size_t)(up->data[(up->begin + at + 3) % sizeof up->data] << 8) +
              up->data[(up->begin + at + 4) % sizeof up->data];
        longest = len > longest ? len : longest;
    }
    equal("records from the client", "whole", (long)at, (long)up->len);
    return longest;
}

/* Which record length is asked for, by size of the buffers, and what then goes over the wire. [RFC6066 4] */
static void test_fragments(void)
{
    static const struct {
        size_t in, out;
        int log; /* 0: nothing is asked */
    } cases[] = {
        {541, 541, 9},    {1052, 541, 9},   {1053, 541, 10},   {2076, 541, 10}, {2077, 541, 11},
        {2373, 597, 11},  {2077, 1109, 11}, {4124, 541, 11},   {4125, 541, 12}, {4125, 4125, 12},
        {16412, 541, 12}, {16413, 541, 0},  {16413, 16413, 0}, {541, 0, 9},     {1053, 0, 10},
        {2077, 0, 11},    {4125, 0, 12},    {16413, 0, 0},
    };
    const char *detail;
    char what[64];
    size_t i, data, record, longest;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        data = cases[i].log == 0 ? 16384 : (size_t)1 << cases[i].log;
        (void)snprintf(what, sizeof what, "in %lu, out %lu", (unsigned long)cases[i].in,
                       (unsigned long)cases[i].out);
        tls_defaults();
        tls.config.in_size = cases[i].in;
        tls.config.out_size = cases[i].out;
        tls.config.out = cases[i].out == 0 ? NULL : tls.out;
        equal("fragments", what, tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
        equal("fragments asked", what, tls.peer.server.eng.peer_log_max_frag_len, cases[i].log);
        equal("fragments sent", what, (long)record_from_server(SIZE_MAX, &record), (long)data);
        yes(record <= data + 29 && record <= cases[i].in, "record fits", what);
        equal("fragments read", what, read_record(), (long)data);
        longest = longest_from_client();
        yes(longest > 500 && longest <= (cases[i].out == 0 ? cases[i].in : cases[i].out), "records written",
            what);
        yes(longest <= data + 29, "records written keep to what was agreed", what);
        tls_close();
    }
}

/* AES-GCM has the larger overhead: its records fill the smallest buffers to the last byte. */
static void test_fragments_gcm(void)
{
    const char *detail;
    size_t record;

    if (!XMPP_TINY_BEARSSL_ENABLE_AES) {
        return;
    }
    tls_defaults();
    tls.server.suite = XMPP_TINY_BEARSSL_ENABLE_ECDSA ? BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                                                      : BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
    tls.config.in_size = XMPP_TINY_BEARSSL_IN_MIN;
    tls.config.out_size = XMPP_TINY_BEARSSL_OUT_MIN;
    equal("GCM", "handshake", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    equal("GCM", "data", (long)record_from_server(SIZE_MAX, &record), 512);
    equal("GCM", "a record that fills the buffer", (long)record, XMPP_TINY_BEARSSL_IN_MIN);
    equal("GCM", "read", read_record(), 512);
    yes(longest_from_client() <= XMPP_TINY_BEARSSL_OUT_MIN, "GCM", "written");
    tls_close();
}

/* A server that does not know the extension works until it sends a record that is too large. */
static void test_deaf_server(void)
{
    struct xmpp_tiny_stream *s = &tls.client.stream;
    const char *detail;
    size_t record, fits;

    tls_defaults();
    tls.server.deaf = true;
    tls.config.in_size = XMPP_TINY_BEARSSL_IN_MIN;
    equal("deaf server", "handshake", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    equal("deaf server", "nothing agreed", tls.peer.server.eng.peer_log_max_frag_len, 0);
    equal("deaf server", "small", (long)record_from_server(100, &record), 100);
    equal("deaf server", "small is read", read_record(), 100);
    fits = XMPP_TINY_BEARSSL_IN_MIN - (record - 100);
    equal("deaf server", "just fits", (long)record_from_server(fits, &record), (long)fits);
    equal("deaf server", "just fits and is read", read_record(), (long)fits);
    equal("deaf server", "one byte more", (long)record_from_server(fits + 1, &record), (long)fits + 1);
    equal("deaf server", "one byte more is too long", (long)record, XMPP_TINY_BEARSSL_IN_MIN + 1);
    equal("deaf server", "it fails", read_record(), XMPP_TINY_IO_FAILED);
    equal("deaf server", "error", s->ops->error(s, &detail), XMPP_TINY_ERR_TLS_RECORD);
    if (XMPP_TINY_ENABLE_NAMES > 0) {
        yes(detail != NULL &&
                strstr(detail, "make `in` of struct xmpp_tiny_bearssl_config 16413 bytes") != NULL,
            "deaf server", "the remedy is told");
    } else {
        yes(detail == NULL, "deaf server", "no words");
    }
    tls_close();

    tls_defaults();
    tls.server.deaf = true;
    equal("deaf server", "remedy: handshake", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    equal("deaf server", "remedy: large", (long)record_from_server(SIZE_MAX, &record), 16384);
    equal("deaf server", "remedy: large is read", read_record(), 16384);
    tls_close();
}

/* Without sentences BearSSL's own number tells more than the error. */
static void test_number(void)
{
    const char *detail;

    if (XMPP_TINY_ENABLE_NAMES != 1) {
        return;
    }
    tls_defaults();
    tls.now = 0;
    tls.config.time_floor = 1;
    equal("number", "1970", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), XMPP_TINY_ERR_CERT_TIME);
    yes(detail != NULL && strcmp(detail, "BearSSL error 054") == 0, "number", "54");
    tls_close();
    tls_defaults();
    tls.server.suite = BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256;
    equal("number", "alert", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), XMPP_TINY_ERR_TLS);
    yes(detail != NULL && strcmp(detail, "BearSSL error 296") == 0, "number", "256 + 40");
    tls_close();
}

static void test_coalescing(void)
{
    struct xmpp_tiny_stream *s = &tls.client.stream;
    const char *detail;
    uint8_t byte;
    size_t i, sent = 0;

    tls_defaults();
    tls.server.suite = BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    equal("coalescing", "handshake", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    (void)s->ops->read(s, &byte, 1);
    must(tls.fake.up.len == 0 && tls.fake.held_len == 0, "quiet after the handshake");
    for (i = 0; i < 20; i++) {
        uint8_t piece[10];
        size_t j;
        for (j = 0; j < sizeof piece; j++) {
            piece[j] = conformance_pattern(sent++);
        }
        equal("coalescing", "write", s->ops->write(s, piece, sizeof piece), 10);
    }
    equal("coalescing", "held back", (long)(tls.fake.up.len + tls.fake.held_len), 0);
    for (i = 0; i < 8; i++) {
        equal("coalescing", "read", s->ops->read(s, &byte, 1), XMPP_TINY_IO_AGAIN);
    }
    equal("coalescing", "one record", (long)tls.fake.up.len, 5 + 200 + 16);
    tls.peer.peer.step(&tls.peer.peer);
    equal("coalescing", "arrived", (long)tls.peer.peer.taken(&tls.peer.peer), 200);
    tls_close();
}

/* A byte of a record is turned over on its way. */
static void test_tampering(void)
{
    struct xmpp_tiny_stream *s = &tls.client.stream;
    const char *detail;
    uint8_t buf[2000];
    int n = XMPP_TINY_IO_AGAIN, i;

    tls_defaults();
    equal("tampering", "handshake", tls_handshake(CONFORMANCE_TALK, "a.test", &detail), 0);
    tls.peer.peer.step(&tls.peer.peer);
    tls.fake.down.data[(tls.fake.down.begin + 300) % sizeof tls.fake.down.data] ^= 1;
    for (i = 0; i < 10 && n == XMPP_TINY_IO_AGAIN; i++) {
        n = s->ops->read(s, buf, sizeof buf);
    }
    equal("tampering", "read", n, XMPP_TINY_IO_FAILED);
    equal("tampering", "error", s->ops->error(s, &detail), XMPP_TINY_ERR_TLS);
    yes(strcmp(detail, "a record does not decrypt") == 0, "tampering", "detail");
    tls_close();
}

/* The server speaks for itself inside TLS: a handshake message of this type, without content. */
static void handshake_from_server(uint8_t type)
{
    br_ssl_engine_context *engine = &tls.peer.server.eng;
    size_t room;
    unsigned char *data = br_ssl_engine_sendapp_buf(engine, &room);

    must(data != NULL && room >= 4, "the server may send");
    memset(data, 0, 4);
    data[0] = type;
    br_ssl_engine_sendapp_ack(engine, 4);
    engine->record_type_out = 22;
    br_ssl_engine_flush(engine, 0);
    engine->record_type_out = 23;
    tls.peer.peer.step(&tls.peer.peer);
}

/* A request for another handshake is declined and changes nothing; a handshake without asking is an error. */
static void test_renegotiation(void)
{
    enum { HELLO_REQUEST = 0, SERVER_HELLO = 2, FINISHED = 20 };
    static const uint8_t unasked[] = {SERVER_HELLO, FINISHED};
    struct xmpp_tiny_stream *s = &tls.client.stream;
    const char *detail;
    uint8_t unique[64], again[64];
    size_t i;

    tls_defaults();
    equal("renegotiation", "handshake", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    equal("renegotiation", "binding", s->ops->binding(s, XMPP_TINY_BINDING_TLS_UNIQUE, unique), 12);
    handshake_from_server(HELLO_REQUEST);
    equal("renegotiation", "declined", read_record(), 0);
    equal("renegotiation", "we go on", s->ops->write(s, "x", 1), 1);
    (void)s->ops->read(s, again, 1);
    (void)s->ops->read(s, again, 1);
    tls.peer.peer.step(&tls.peer.peer);
    equal("renegotiation", "no_renegotiation, at which BearSSL's server leaves",
          br_ssl_engine_last_error(&tls.peer.server.eng), BR_ERR_RECV_FATAL_ALERT + 100);
    equal("renegotiation", "binding after it", s->ops->binding(s, XMPP_TINY_BINDING_TLS_UNIQUE, again), 12);
    yes(memcmp(unique, again, 12) == 0, "renegotiation", "the same binding");
    tls_close();

    for (i = 0; i < sizeof unasked; i++) {
        tls_defaults();
        equal("unasked", "handshake", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
        handshake_from_server(unasked[i]);
        equal("unasked", "refused", read_record(), XMPP_TINY_IO_FAILED);
        equal("unasked", "error", s->ops->error(s, &detail), XMPP_TINY_ERR_TLS);
        tls_close();
    }
}

/* ---- Ends -------------------------------------------------------------------------------------- */

static int read_all(struct xmpp_tiny_stream *s, size_t *got)
{
    uint8_t buf[512];
    int i, n = 1;

    *got = 0;
    for (i = 0; i < 1000 && (n > 0 || n == XMPP_TINY_IO_AGAIN); i++) {
        n = s->ops->read(s, buf, sizeof buf);
        *got += n > 0 ? (size_t)n : 0;
        tls.peer.peer.step(&tls.peer.peer);
    }
    return n;
}

static void test_ends(void)
{
    struct xmpp_tiny_stream *s = &tls.client.stream;
    const char *detail;
    uint8_t byte = 0;
    size_t got;

    tls_defaults();
    equal("end", "handshake", tls_handshake(CONFORMANCE_TALK, "a.test", &detail), 0);
    equal("end", "close_notify", read_all(s, &got), 0);
    equal("end", "all data before it", (long)got, CONFORMANCE_TALK_SIZE);
    equal("end", "write after it", s->ops->write(s, &byte, 1), XMPP_TINY_IO_FAILED);
    equal("end", "error after it", s->ops->error(s, &detail), XMPP_TINY_ERR_ENDED);
    tls_close();

    tls_defaults();
    equal("end, then shut", "handshake", tls_handshake(CONFORMANCE_TALK, "a.test", &detail), 0);
    equal("end, then shut", "close_notify", read_all(s, &got), 0);
    equal("end, then shut", "shut", s->ops->shut(s), 1);
    tls_close();

    tls_defaults();
    equal("end, then gone", "handshake", tls_handshake(CONFORMANCE_TALK, "a.test", &detail), 0);
    equal("end, then gone", "close_notify", read_all(s, &got), 0);
    tls.fake.failed = true;
    equal("end, then gone", "shut", s->ops->shut(s), 1);
    tls_close();

    /* The server has said goodbye; that ours finds no way out changes nothing. */
    tls_defaults();
    equal("end, deaf", "handshake", tls_handshake(CONFORMANCE_TALK, "a.test", &detail), 0);
    tls.fake.deaf = true;
    equal("end, deaf", "close_notify", read_all(s, &got), 0);
    equal("end, deaf", "all data before it", (long)got, CONFORMANCE_TALK_SIZE);
    equal("end, deaf", "again", s->ops->read(s, &byte, 1), 0);
    equal("end, deaf", "shut", s->ops->shut(s), 1);
    tls_close();

    tls_defaults();
    equal("end, stalled", "handshake", tls_handshake(CONFORMANCE_TALK, "a.test", &detail), 0);
    tls.fake.stalled = true;
    equal("end, stalled", "close_notify", read_all(s, &got), 0);
    equal("end, stalled", "shut", s->ops->shut(s), XMPP_TINY_IO_AGAIN);
    tls.fake.stalled = false;
    equal("end, stalled", "shut later", s->ops->shut(s), 1);
    tls_close();

    tls_defaults();
    equal("cut", "handshake", tls_handshake(CONFORMANCE_CUT, "a.test", &detail), 0);
    equal("cut", "read", read_all(s, &got), XMPP_TINY_IO_FAILED);
    equal("cut", "all data before it", (long)got, CONFORMANCE_CUT_SIZE);
    equal("cut", "error", s->ops->error(s, &detail), XMPP_TINY_ERR_TRUNCATED);
    tls_close();
    equal("cut", "error after close()", s->ops->error(s, &detail), XMPP_TINY_ERR_TRUNCATED);

    tls_defaults();
    (void)tls_open(CONFORMANCE_MUTE);
    tls.fake.down.ended = true;
    equal("cut in the handshake", "error", tls_secure("a.test", &detail), XMPP_TINY_ERR_TRUNCATED);
    tls_close();

    tls_defaults();
    equal("lost", "handshake", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    tls.fake.down.broken = true;
    equal("lost", "read", read_all(s, &got), XMPP_TINY_IO_FAILED);
    equal("lost", "the inner stream's error", s->ops->error(s, &detail), XMPP_TINY_ERR_LOST);
    yes(strcmp(detail, "this stream is a fake") == 0, "lost", "the inner stream's detail");
    tls_close();

    /* shut() does not wait for the other side, which sees a proper end. */
    tls_defaults();
    equal("shut", "handshake", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    equal("shut", "at once", s->ops->shut(s), 1);
    tls.peer.peer.step(&tls.peer.peer);
    yes(tls.peer.peer.ended(&tls.peer.peer), "shut", "the server got close_notify");
    equal("shut", "the server's view", br_ssl_engine_last_error(&tls.peer.server.eng), BR_ERR_OK);
    equal("shut", "the server's end", read_all(s, &got), 0);
    tls_close();
}

/* With one buffer for both directions nothing can be sent while half a record is in it: shut() has to
 * take in the other half before it can send close_notify. */
static void test_shut_one_buffer(void)
{
    struct xmpp_tiny_stream *s = &tls.client.stream;
    const char *detail;
    uint8_t buf[512];
    size_t hidden;

    tls_defaults();
    tls.config.out = NULL;
    tls.config.out_size = 0;
    equal("one buffer", "handshake", tls_handshake(CONFORMANCE_MUTE, "a.test", &detail), 0);
    tls.peer.role = CONFORMANCE_TALK;
    tls.peer.peer.step(&tls.peer.peer);
    must(tls.fake.down.len > 300, "the server has sent a record");
    hidden = tls.fake.down.len - 300;
    tls.fake.down.len = 300;
    equal("one buffer", "half a record", s->ops->read(s, buf, sizeof buf), XMPP_TINY_IO_AGAIN);
    equal("one buffer", "no room to write", s->ops->write(s, "x", 1), XMPP_TINY_IO_AGAIN);
    equal("one buffer", "shut has to wait", s->ops->shut(s), XMPP_TINY_IO_AGAIN);
    tls.fake.down.len += hidden;
    equal("one buffer", "shut", s->ops->shut(s), 1);
    tls.peer.peer.step(&tls.peer.peer);
    tls.peer.peer.step(&tls.peer.peer);
    yes(tls.peer.peer.ended(&tls.peer.peer), "one buffer", "the server got close_notify");
    tls_close();
}

static void test_wiping(void)
{
    const char *detail;
    size_t got;

    tls_defaults();
    equal("wiping", "handshake", tls_handshake(CONFORMANCE_CUT, "a.test", &detail), 0);
    (void)read_all(&tls.client.stream, &got);
    yes(!all_zero(&tls.client.client, sizeof tls.client.client), "wiping", "there was something");
    tls_close();
    yes(all_zero(&tls.client.client, sizeof tls.client.client), "wiping", "TLS context");
    yes(all_zero(&tls.client.leaf, sizeof tls.client.leaf), "wiping", "certificate context");
    yes(all_zero(tls.in, sizeof tls.in) && all_zero(tls.out, sizeof tls.out), "wiping", "buffers");
}

static void test_config(void)
{
    struct xmpp_tiny_bearssl t;

    tls_defaults();
    equal("config", "as it should be", xmpp_tiny_bearssl_init(&t, &tls.config), 0);
    tls.config.inner = NULL;
    equal("config", "no inner stream", xmpp_tiny_bearssl_init(&t, &tls.config), XMPP_TINY_ERR_CONFIG);
    tls_defaults();
    tls.config.platform = NULL;
    equal("config", "no platform", xmpp_tiny_bearssl_init(&t, &tls.config), XMPP_TINY_ERR_CONFIG);
    tls_defaults();
    tls.config.anchors = NULL;
    equal("config", "anchors are missing", xmpp_tiny_bearssl_init(&t, &tls.config), XMPP_TINY_ERR_CONFIG);
    tls.config.anchor_count = 0;
    equal("config", "nobody to trust", xmpp_tiny_bearssl_init(&t, &tls.config), XMPP_TINY_ERR_CONFIG);
    tls.config.first_use = true;
    equal("config", "first use", xmpp_tiny_bearssl_init(&t, &tls.config), 0);
    tls.config.pin_count = 1;
    equal("config", "first use, pins are missing", xmpp_tiny_bearssl_init(&t, &tls.config),
          XMPP_TINY_ERR_CONFIG);
    tls.config.pins = pki_eckey_pin;
    equal("config", "first use and pins", xmpp_tiny_bearssl_init(&t, &tls.config), XMPP_TINY_ERR_CONFIG);
    tls.config.first_use = false;
    equal("config", "pins", xmpp_tiny_bearssl_init(&t, &tls.config), 0);
    tls.config.pins = NULL;
    equal("config", "pins are missing", xmpp_tiny_bearssl_init(&t, &tls.config), XMPP_TINY_ERR_CONFIG);
    tls_defaults();
    tls.config.pins = pki_eckey_pin;
    tls.config.pin_count = 1;
    equal("config", "anchors and pins", xmpp_tiny_bearssl_init(&t, &tls.config), 0);
    tls_defaults();
    tls.config.first_use = true;
    equal("config", "first use and anchors", xmpp_tiny_bearssl_init(&t, &tls.config), XMPP_TINY_ERR_CONFIG);
    tls_defaults();
    tls.config.in = NULL;
    equal("config", "no buffer", xmpp_tiny_bearssl_init(&t, &tls.config), XMPP_TINY_ERR_CONFIG);
    tls_defaults();
    tls.config.in_size = XMPP_TINY_BEARSSL_IN_MIN - 1;
    equal("config", "input buffer too small", xmpp_tiny_bearssl_init(&t, &tls.config), XMPP_TINY_ERR_CONFIG);
    tls_defaults();
    tls.config.out_size = XMPP_TINY_BEARSSL_OUT_MIN - 1;
    equal("config", "output buffer too small", xmpp_tiny_bearssl_init(&t, &tls.config), XMPP_TINY_ERR_CONFIG);
    tls_defaults();
    tls.config.out = NULL;
    equal("config", "size without a buffer", xmpp_tiny_bearssl_init(&t, &tls.config), XMPP_TINY_ERR_CONFIG);
}

/* ---- The reader of certificates, alone --------------------------------------------------------- */

static struct xmpp_tiny_bearssl_leaf_ leaf;

/* Feeds one certificate in pieces; returns what BearSSL would be told. */
static long read_certificate(const uint8_t *der, size_t len, size_t piece)
{
    static br_ssl_client_context client;
    size_t at;

    br_ssl_client_zero(&client);
    memset(&leaf, 0, sizeof leaf);
    xmpp_tiny_bearssl_leaf_init_(&leaf, &tls.config);
    xmpp_tiny_bearssl_profile(&client, &leaf.minimal);
    if (tls.config.pin_count == 0) {
        br_x509_minimal_set_time(&leaf.minimal, (uint32_t)(PORT_TIME / 86400 + 719528), 0);
    }
    leaf.vtable->start_chain(&leaf.vtable, "a.test");
    leaf.vtable->start_cert(&leaf.vtable, (uint32_t)len);
    for (at = 0; at < len; at += piece) {
        leaf.vtable->append(&leaf.vtable, der + at, piece < len - at ? piece : len - at);
    }
    leaf.vtable->end_cert(&leaf.vtable);
    return (long)leaf.vtable->end_chain(&leaf.vtable);
}

static void trust_by(enum xmpp_tiny_trust trust)
{
    tls_defaults();
    if (trust != XMPP_TINY_TRUST_CA) {
        tls.config.anchors = NULL;
        tls.config.anchor_count = 0;
    }
    if (trust == XMPP_TINY_TRUST_PIN) {
        tls.config.pins = pki_eckey_pin;
        tls.config.pin_count = 1;
    }
    tls.config.first_use = trust == XMPP_TINY_TRUST_FIRST_USE;
}

/* Damaged certificates in pieces of all sizes: the reader must stay within its bounds, which sanitizers
 * watch. With a CA a refusal of BearSSL's is never turned into consent; with a pin it may be, but the key
 * is the one that is pinned. */
static void test_damage(void)
{
    static const enum xmpp_tiny_trust modes[] = {XMPP_TINY_TRUST_CA, XMPP_TINY_TRUST_PIN,
                                                 XMPP_TINY_TRUST_FIRST_USE};
    uint32_t state = 1, round;
    long accepted[3] = {0, 0, 0};
    uint8_t der[1024], key[65];
    bool kept = true;

    trust_by(XMPP_TINY_TRUST_PIN);
    equal("damage", "none", read_certificate(tls.server.chain[0].data, tls.server.chain[0].data_len, 256), 0);
    memcpy(key, leaf.minimal.pkey.key.ec.q, sizeof key);
    for (round = 0; round < 6000; round++) {
        size_t mode = round % 3, len = tls.server.chain[0].data_len;
        long result;
        memcpy(der, tls.server.chain[0].data, len);
        state = state * 1664525U + 1013904223U;
        der[(state >> 8) % len] ^= (uint8_t)(1U << (state >> 29));
        state = state * 1664525U + 1013904223U;
        if (round % 4 == 0) {
            der[(state >> 8) % len] = (uint8_t)(state >> 24);
        }
        trust_by(modes[mode]);
        result = read_certificate(der, len, 1 + (state >> 4) % 256);
        accepted[mode] += result == 0;
        if (result == 0 && modes[mode] == XMPP_TINY_TRUST_PIN) {
            kept = kept && leaf.minimal.pkey.key_type == BR_KEYTYPE_EC &&
                   leaf.minimal.pkey.key.ec.curve == BR_EC_secp256r1 &&
                   leaf.minimal.pkey.key.ec.qlen == sizeof key &&
                   memcmp(leaf.minimal.pkey.key.ec.q, key, sizeof key) == 0;
        } else if (result == 0) {
            kept = kept && leaf.minimal.err == (mode == 0 ? BR_ERR_X509_OK : BR_ERR_X509_NOT_TRUSTED);
        }
    }
    yes(kept, "damage", "a refusal stays one, a pin holds");
    equal("damage", "no signature survives it", accepted[0], 0);
    yes(accepted[1] > 500 && accepted[2] > 100, "damage", "without signatures some is not seen");
}

/* With pins alone BearSSL's word on what stands behind the key does not count; but it has to be whole. */
static void test_wholeness(void)
{
    uint8_t der[1024];
    size_t at, len;

    trust_by(XMPP_TINY_TRUST_PIN);
    len = tls.server.chain[0].data_len;
    memcpy(der, tls.server.chain[0].data, len);
    at = len - 60;
    while (at > 0 && (der[at] != 3 || der[at + 1] != len - at - 2)) {
        at--;
    }
    must(at > 0, "a signature");
    der[at + 2] ^= 0xFF;
    equal("wholeness", "a signature that is none", read_certificate(der, len, 256), 0);
    der[at + 1]--;
    equal("wholeness", "half an element at the end", read_certificate(der, len, 256), BR_ERR_X509_UNEXPECTED);
    der[at + 1] += 2;
    equal("wholeness", "an element beyond the end", read_certificate(der, len, 256), BR_ERR_X509_UNEXPECTED);
    der[at + 1]--;
    equal("wholeness", "a byte is missing", read_certificate(der, len - 1, 256), BR_ERR_X509_UNEXPECTED);
    der[len] = 0;
    equal("wholeness", "a byte too many", read_certificate(der, len + 1, 256), BR_ERR_X509_UNEXPECTED);
    der[at] = 0xE3;
    equal("wholeness", "a tag that there is not", read_certificate(der, len, 256), BR_ERR_X509_UNEXPECTED);
    der[at] = 3;
    equal("wholeness", "as it was", read_certificate(der, len, 256), 0);
}

/* Dates as BearSSL counts them, and as others do. The first is put into UTCTime, as it was read between 1950
 * and 2049, the second into GeneralizedTime. */
static void test_dates(void)
{
    static const struct {
        const char *utc, *general;
        int64_t before, after;
    } cases[] = {
        {"700101000000", "19700101000001", 0, 1},
        {"500101000000", "20500101000000", -631152000, 2524608000},
        {"491231235959", "99991231235959", 2524607999, 253402300799},
        {"000228235959", "20000229000000", 951782399, 951782400},
        {"000229235959", "20000301000000", 951868799, 951868800},
        {"991231235959", "21000228235959", 946684799, 4107542399},
        {"240229120000", "21000301000000", 1709208000, 4107542400},
        {"230630010203", "24000229235960", 1688086923, 13574649600},
    };
    uint8_t der[1024];
    size_t i, j, len, before = 0, after = 0;

    trust_by(XMPP_TINY_TRUST_PIN);
    len = tls.server.chain[0].data_len;
    memcpy(der, tls.server.chain[0].data, len);
    for (j = 0; j + 32 < len && before == 0; j++) {
        if (der[j] == 0x17 && der[j + 1] == 13 && der[j + 15] == 0x18 && der[j + 16] == 15) {
            before = j + 2;
            after = j + 17;
        }
    }
    must(before > 0, "dates in the certificate");
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memcpy(der + before, cases[i].utc, 12);
        memcpy(der + after, cases[i].general, 14);
        equal("dates", cases[i].utc, read_certificate(der, len, 1 + i * 37), 0);
        test(leaf.not_before == cases[i].before, "dates", cases[i].utc, (long)leaf.not_before,
             (long)cases[i].before);
        test(leaf.not_after == cases[i].after, "dates", cases[i].general, (long)leaf.not_after,
             (long)cases[i].after);
    }
    memcpy(der + before, "700101000000", 12);
    memcpy(der + after, "19690101000000", 14);
    equal("dates", "ends before it begins", read_certificate(der, len, 256), 0);
    memcpy(der + before, "70010100000x", 12);
    yes(read_certificate(der, len, 256) == BR_ERR_X509_BAD_TIME, "dates", "no date");
}

/* Of a session that was loaded nothing is left where a certificate comes. */
static void test_loaded_leaf(void)
{
    uint8_t der[1024];

    trust_by(XMPP_TINY_TRUST_PIN);
    memset(&leaf, 0, sizeof leaf);
    memset(leaf.spki, 0x5A, sizeof leaf.spki);
    leaf.algorithm = br_sha256_ID;
    leaf.hash_len = 32;
    xmpp_tiny_bearssl_leaf_init_(&leaf, &tls.config);
    yes(leaf.spki[0] == 0x5A && leaf.algorithm == br_sha256_ID, "loaded", "kept so far");
    leaf.vtable->start_chain(&leaf.vtable, "a.test");
    yes(all_zero(leaf.spki, sizeof leaf.spki) && leaf.algorithm == 0, "loaded", "forgotten");
    memset(der, 0, sizeof der);
    leaf.vtable->start_cert(&leaf.vtable, sizeof der);
    leaf.vtable->append(&leaf.vtable, der, sizeof der);
    leaf.vtable->end_cert(&leaf.vtable);
    yes(leaf.vtable->end_chain(&leaf.vtable) != 0, "loaded", "no certificate");
    equal("loaded", "no binding", xmpp_tiny_bearssl_leaf_binding_(&leaf, der), XMPP_TINY_IO_FAILED);
}

/* ---- port/posix -------------------------------------------------------------------------------- */

static struct xmpp_tiny_posix posix;

static int posix_open(const char *host, size_t len, uint16_t port)
{
    struct xmpp_tiny_str name;
    int i, n = XMPP_TINY_IO_AGAIN;

    name.ptr = host;
    name.len = len;
    xmpp_tiny_posix_init(&posix);
    for (i = 0; i < 100 && n == XMPP_TINY_IO_AGAIN; i++) {
        n = posix.stream.ops->open(&posix.stream, name, port);
        if (n == XMPP_TINY_IO_AGAIN) {
            (void)xmpp_tiny_posix_wait(&posix, false, 1000, -1);
        }
    }
    return n;
}

/* The socket is that of the connection, or there is none; and whether room is waited for. */
static void posix_fd(const char *what, bool open, bool room)
{
    bool want_write = !room;
    int fd = xmpp_tiny_posix_fd(&posix, &want_write);

    equal("fd", what, fd, posix.fd);
    yes((fd >= 0) == open, "fd", what);
    equal("fd", what, want_write, room);
}

static void test_posix_open(void)
{
    static struct port_peer peer;
    char name[300];
    const char *detail = NULL;
    struct xmpp_tiny_stream *s = &posix.stream;
    int on = 0;
    socklen_t len = sizeof on;

    memset(name, 'a', sizeof name);
    equal("posix", "empty name", posix_open("", 0, 5222), XMPP_TINY_IO_FAILED);
    equal("posix", "empty name: error", s->ops->error(s, &detail), XMPP_TINY_ERR_LOOKUP);
    equal("posix", "name too long", posix_open(name, sizeof name, 5222), XMPP_TINY_IO_FAILED);
    equal("posix", "name too long: error", s->ops->error(s, &detail), XMPP_TINY_ERR_LOOKUP);
    equal("posix", "NUL in a name", posix_open("127.0.0.1\0.test", 15, 5222), XMPP_TINY_IO_FAILED);
    equal("posix", "NUL in a name: error", s->ops->error(s, &detail), XMPP_TINY_ERR_LOOKUP);

    port_peer_init(&peer, NULL, NULL, NULL);
    peer.peer.expect(&peer.peer, CONFORMANCE_MUTE);
    equal("posix", "refused", posix_open("127.0.0.1", 9, peer.peer.refused), XMPP_TINY_IO_FAILED);
    equal("posix", "refused: error", s->ops->error(s, &detail), XMPP_TINY_ERR_CONNECT);
    yes(strcmp(detail, "connection refused") == 0, "posix", "refused: detail");
    s->ops->close(s);

    /* The name may have ::1 first, where nobody listens. */
    if (equal("posix", "localhost", posix_open("localhost", 9, peer.peer.port), 1)) {
        equal("posix", "close on exec", fcntl(posix.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        equal("posix", "non-blocking", fcntl(posix.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        (void)getsockopt(posix.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len);
        yes(on != 0, "posix", "no delay");
    }
    s->ops->close(s);
    equal("posix", "closed", posix.fd, -1);
    port_peer_free(&peer);
}

/* Every address is tried in turn. The list is put in place by hand, as if a name had given it. */
static void test_posix_addresses(void)
{
    enum { CONNECTING = 1 }; /* as in port/posix.c */
    static struct port_peer peer;
    struct xmpp_tiny_stream *s = &posix.stream;
    int i, n = XMPP_TINY_IO_AGAIN;

    port_peer_init(&peer, NULL, NULL, NULL);
    peer.peer.expect(&peer.peer, CONFORMANCE_MUTE);
    xmpp_tiny_posix_init(&posix);
    posix.state = CONNECTING;
    posix.count = 3;
    for (i = 0; i < 3; i++) {
        posix.addresses[i].v4.sin_family = AF_INET;
        posix.addresses[i].v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        posix.addresses[i].v4.sin_port = htons(i == 2 ? peer.peer.port : peer.peer.refused);
    }
    for (i = 0; i < 100 && n == XMPP_TINY_IO_AGAIN; i++) {
        n = s->ops->open(s, xmpp_tiny_str("x.test"), 5222);
        (void)poll(NULL, 0, n == XMPP_TINY_IO_AGAIN ? 1 : 0);
    }
    equal("posix", "third address", n, 1);
    equal("posix", "all were tried", posix.next, 3);
    s->ops->close(s);
    port_peer_free(&peer);
}

/* A listener whose queue is full does not answer at all: the attempt has to end by the clock. */
static void test_posix_timeout(void)
{
    struct xmpp_tiny_stream *s = &posix.stream;
    const char *detail = NULL;
    uint16_t port;
    int fillers[8], listener = bound_socket(&port), i, n;
    struct sockaddr_in address;
    void *any = &address;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    must(listen(listener, 0) == 0, "listen()");
    for (i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], any, sizeof address);
    }
    xmpp_tiny_posix_init(&posix);
    n = s->ops->open(s, xmpp_tiny_str("127.0.0.1"), port);
    if (equal("posix", "no answer", n, XMPP_TINY_IO_AGAIN)) {
        posix_fd("connecting", true, true);
        equal("posix", "wait for no answer", xmpp_tiny_posix_wait(&posix, false, 1, -1), 0);
        equal("posix", "still no answer", s->ops->open(s, xmpp_tiny_str("127.0.0.1"), port),
              XMPP_TINY_IO_AGAIN);
        posix.since -= XMPP_TINY_POSIX_CONNECT_MS;
        equal("posix", "time is up", xmpp_tiny_posix_wait(&posix, false, XMPP_TINY_FOREVER, -1), 0);
        equal("posix", "timed out", s->ops->open(s, xmpp_tiny_str("127.0.0.1"), port), XMPP_TINY_IO_FAILED);
        equal("posix", "timed out: error", s->ops->error(s, &detail), XMPP_TINY_ERR_CONNECT);
        yes(strcmp(detail, "timed out") == 0, "posix", "timed out: detail");
        posix_fd("failed", false, false);
    }
    s->ops->close(s);
    for (i = 0; i < 8; i++) {
        (void)close(fillers[i]);
    }
    (void)close(listener);
}

/* An IPv6 literal, as it stands in a JID. Machines without IPv6 have nothing to show. */
static void test_posix_v6(void)
{
    struct sockaddr_in6 address;
    socklen_t len = sizeof address;
    void *any = &address;
    int listener = socket(AF_INET6, SOCK_STREAM, 0);

    memset(&address, 0, sizeof address);
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    if (listener >= 0 && bind(listener, any, sizeof address) == 0) {
        must(listen(listener, 1) == 0 && getsockname(listener, any, &len) == 0, "IPv6 listener");
        equal("posix", "[::1]", posix_open("[::1]", 5, ntohs(address.sin6_port)), 1);
        posix.stream.ops->close(&posix.stream);
        equal("posix", "::1", posix_open("::1", 3, ntohs(address.sin6_port)), 1);
        posix.stream.ops->close(&posix.stream);
    }
    if (listener >= 0) {
        (void)close(listener);
    }
}

static void test_posix_wait(void)
{
    static struct port_peer peer;
    struct xmpp_tiny_stream *s = &posix.stream;
    uint8_t buf[CONFORMANCE_CUT_SIZE];
    static uint8_t much[65536];
    const char *detail = NULL;
    int fds[2], n;

    must(pipe(fds) == 0, "pipe()");
    xmpp_tiny_posix_init(&posix);
    equal("wait", "not open", xmpp_tiny_posix_wait(&posix, false, 1, fds[0]), 0);
    posix_fd("not open", false, false);
    port_peer_init(&peer, NULL, NULL, NULL);
    peer.peer.expect(&peer.peer, CONFORMANCE_LAZY);
    must(posix_open("127.0.0.1", 9, peer.peer.port) == 1, "open()");
    peer.peer.step(&peer.peer);
    posix_fd("open", true, false);
    equal("wait", "nothing", xmpp_tiny_posix_wait(&posix, false, 1, fds[0]), 0);
    equal("wait", "room", xmpp_tiny_posix_wait(&posix, true, XMPP_TINY_FOREVER, fds[0]), 1);
    must(write(fds[1], "x", 1) == 1, "write()");
    equal("wait", "the other descriptor", xmpp_tiny_posix_wait(&posix, false, XMPP_TINY_FOREVER, fds[0]), 2);
    equal("wait", "both", xmpp_tiny_posix_wait(&posix, true, XMPP_TINY_FOREVER, fds[0]), 3);
    do {
        n = s->ops->write(s, much, sizeof much);
    } while (n == sizeof much);
    yes(n == XMPP_TINY_IO_AGAIN || n > 0, "wait", "full");
    posix_fd("full", true, true);
    equal("wait", "no room yet", xmpp_tiny_posix_wait(&posix, false, 1, -1), 0);
    peer.peer.release(&peer.peer);
    for (n = 0; n < 10000 && xmpp_tiny_posix_wait(&posix, false, 0, -1) == 0; n++) {
        peer.peer.step(&peer.peer);
    }
    equal("wait", "room is remembered to be wanted", xmpp_tiny_posix_wait(&posix, false, 0, -1), 1);
    s->ops->close(s);
    posix_fd("closed", false, false);
    port_peer_free(&peer);
    (void)close(fds[0]);
    (void)close(fds[1]);

    /* The peer sends and resets: what it sent is still read, whatever we write, and no signal comes. */
    port_peer_init(&peer, NULL, NULL, NULL);
    peer.peer.expect(&peer.peer, CONFORMANCE_CUT);
    must(posix_open("127.0.0.1", 9, peer.peer.port) == 1, "open()");
    peer.peer.step(&peer.peer);
    peer.peer.step(&peer.peer);
    equal("reset", "write", s->ops->write(s, buf, 1), XMPP_TINY_IO_AGAIN);
    equal("reset", "write again", s->ops->write(s, buf, 1), XMPP_TINY_IO_AGAIN);
    equal("reset", "what came before", s->ops->read(s, buf, sizeof buf), CONFORMANCE_CUT_SIZE);
    equal("reset", "then the failure", s->ops->read(s, buf, sizeof buf), XMPP_TINY_IO_FAILED);
    equal("reset", "error", s->ops->error(s, &detail), XMPP_TINY_ERR_LOST);
    s->ops->close(s);
    port_peer_free(&peer);
}

static void test_posix_platform(void)
{
    const struct xmpp_tiny_platform *p = &xmpp_tiny_posix_platform;
    uint8_t a[32], b[32];
    uint32_t before = p->now_ms(p->ctx);

    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    yes(p->random(p->ctx, a, sizeof a) && p->random(p->ctx, b, sizeof b), "platform", "random");
    yes(memcmp(a, b, sizeof a) != 0, "platform", "random differs");
    yes(p->unix_time(p->ctx) > 1700000000, "platform", "time");
    (void)poll(NULL, 0, 5);
    yes(p->now_ms(p->ctx) - before >= 5, "platform", "clock moves");
    yes(p->trace == NULL, "platform", "no trace");
}

/* What holds whatever was chosen in port/bearssl.h: "test_ports choice" tests that alone. */
static void test_of_choice(void)
{
    test_choice();
    test_security();
    test_fragments();
    test_fragments_gcm();
    test_deaf_server();
    test_number();
    test_resumed_choice();
}

static void test_all(void)
{
    test_hash();
    test_hmac();
    test_pbkdf2();
    test_pem_anchors();
    test_pem_chain();
    test_pem_keys();
    test_trust();
    test_modes();
    test_names();
    test_time();
    test_binding();
    test_suites();
    test_of_choice();
    test_security_certificates();
    test_hello();
    test_small_order();
    test_start();
    test_resumed();
    test_resumed_trust();
    test_not_offered();
    test_session_data();
    test_resumed_by_others();
    test_identity();
    test_coalescing();
    test_tampering();
    test_renegotiation();
    test_ends();
    test_shut_one_buffer();
    test_wiping();
    test_config();
    test_damage();
    test_wholeness();
    test_dates();
    test_loaded_leaf();
    test_posix_open();
    test_posix_addresses();
    test_posix_timeout();
    test_posix_v6();
    test_posix_wait();
    test_posix_platform();
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    (void)alarm(300); /* nothing takes this long, unless a call blocks */
    if (argc > 1 && strcmp(argv[1], "choice") == 0) {
        test_of_choice();
    } else {
        test_all();
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
