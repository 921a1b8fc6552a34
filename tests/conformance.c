/* SPDX-License-Identifier: MIT
 *
 * Runs the port checker (conformance.h) against the ports: POSIX over loopback, BearSSL over POSIX, and
 * BearSSL over a stream in memory that dribbles. And against streams that are broken on purpose: each
 * of those has to be found, with the right words.
 */
#define _DEFAULT_SOURCE

#include "port_peer.c"
#include "port_checker.c"

#include "port/posix.h"
#include "port_pki.h"

/* Nothing here takes this long, unless a call of a port blocks. */
#define LIMIT_SECONDS 300

static int passed, failed;

static void count(bool ok, const char *what)
{
    if (ok) {
        passed++;
    } else {
        failed++;
        printf("FAILED: %s\n", what);
    }
}

/* ---- Good ports -------------------------------------------------------------------------------- */

static void print_report(struct conformance *c, const char *text)
{
    printf("%s: %s\n", (const char *)c->user, text);
}

static void run(const char *what, struct xmpp_tiny_stream *stream, struct port_peer *peer)
{
    char label[64];
    struct conformance c;

    (void)snprintf(label, sizeof label, "%s", what);
    memset(&c, 0, sizeof c);
    c.stream = stream;
    c.peer = &peer->peer;
    c.report = print_report;
    c.user = label;
    (void)alarm(LIMIT_SECONDS);
    (void)conformance_run(&c);
    passed += c.passed;
    failed += c.failed;
    port_peer_free(peer);
}

struct tls_setup {
    struct xmpp_tiny_bearssl client;
    struct xmpp_tiny_bearssl_config config;
    br_x509_trust_anchor anchors[2];
    uint8_t arena[2048];
    uint8_t in[XMPP_TINY_BEARSSL_IN_MAX], out[XMPP_TINY_BEARSSL_OUT_MAX];
    struct port_tls server;
    br_ssl_session_cache_lru cache;
    unsigned char sessions[512];
};

static struct tls_setup tls;
static struct port_peer peer;
static struct port_fake fake;

static void tls_setup(struct xmpp_tiny_stream *inner, const char *anchor, const char *chain, const char *key,
                      size_t in_size, size_t out_size)
{
    struct xmpp_tiny_bearssl_arena arena = {tls.arena, sizeof tls.arena, 0};

    must(xmpp_tiny_bearssl_pem_anchors(&arena, xmpp_tiny_str(anchor), tls.anchors, 2) == 1, "anchor");
    memset(&tls.config, 0, sizeof tls.config);
    tls.config.inner = inner;
    tls.config.platform = &port_platform;
    tls.config.anchors = tls.anchors;
    tls.config.anchor_count = 1;
    tls.config.in = tls.in;
    tls.config.in_size = in_size;
    tls.config.out = out_size > 0 ? tls.out : NULL;
    tls.config.out_size = out_size;
    must(xmpp_tiny_bearssl_init(&tls.client, &tls.config) == 0, "xmpp_tiny_bearssl_init()");
    port_tls_init(&tls.server, chain, key);
    br_ssl_session_cache_lru_init(&tls.cache, tls.sessions, sizeof tls.sessions);
    tls.server.cache = &tls.cache.vtable;
}

static void good_ports(void)
{
    static const struct {
        const char *what;
        size_t chunk;
        bool stormy;
    } fakes[] = {
        {"fake", 4096, false},
        {"fake, one byte at a time", 1, false},
        {"fake, 'later' storms", 700, true},
    };
    static const struct {
        const char *what, *anchor, *chain, *key;
        size_t in, out;
    } buffers[] = {
        {"largest buffers, ECDSA", pki_root, pki_good, pki_eckey, XMPP_TINY_BEARSSL_IN_MAX,
         XMPP_TINY_BEARSSL_OUT_MAX},
        {"smallest buffers, RSA", pki_rsaroot, pki_rsa, pki_rsakey, XMPP_TINY_BEARSSL_IN_MIN,
         XMPP_TINY_BEARSSL_OUT_MIN},
        {"large in, small out", pki_root, pki_good, pki_eckey, 4421, XMPP_TINY_BEARSSL_OUT_MIN},
        {"one buffer", pki_root, pki_good, pki_eckey, 1349, 0},
    };
    static struct xmpp_tiny_posix posix;
    char label[64];
    size_t i, j;

    for (i = 0; i < sizeof fakes / sizeof fakes[0]; i++) {
        port_fake_init(&fake, PORT_FAULT_NONE, fakes[i].chunk, fakes[i].stormy);
        port_peer_init(&peer, &fake, NULL, NULL);
        run(fakes[i].what, &fake.stream, &peer);
    }
    xmpp_tiny_posix_init(&posix);
    port_peer_init(&peer, NULL, NULL, NULL);
    run("port/posix", &posix.stream, &peer);
    for (j = 0; j < sizeof buffers / sizeof buffers[0]; j++) {
        xmpp_tiny_posix_init(&posix);
        tls_setup(&posix.stream, buffers[j].anchor, buffers[j].chain, buffers[j].key, buffers[j].in,
                  buffers[j].out);
        port_peer_init(&peer, NULL, &tls.server, "a.test");
        (void)snprintf(label, sizeof label, "port/bearssl over port/posix, %s", buffers[j].what);
        run(label, &tls.client.stream, &peer);
        for (i = 0; i < sizeof fakes / sizeof fakes[0]; i++) {
            port_fake_init(&fake, PORT_FAULT_NONE, fakes[i].chunk, fakes[i].stormy);
            tls_setup(&fake.stream, buffers[j].anchor, buffers[j].chain, buffers[j].key, buffers[j].in,
                      buffers[j].out);
            port_peer_init(&peer, &fake, &tls.server, "a.test");
            (void)snprintf(label, sizeof label, "port/bearssl over %s, %s", fakes[i].what, buffers[j].what);
            run(label, &tls.client.stream, &peer);
        }
    }
}

/* ---- Broken ports ------------------------------------------------------------------------------ */

struct hunt {
    const char *words;
    bool found;
    char first[400];
};

static void hunt_report(struct conformance *c, const char *text)
{
    struct hunt *hunt = c->user;

    if (hunt->first[0] == '\0') {
        (void)snprintf(hunt->first, sizeof hunt->first, "%s", text);
    }
    hunt->found = hunt->found || strstr(text, hunt->words) != NULL;
}

static void broken_ports(void)
{
    static const struct {
        const char *name, *words;
    } faults[] = {
#define X(name, words) {#name, words},
        PORT_FAULTS(X)
#undef X
    };
    size_t i;

    for (i = PORT_FAULT_NONE + 1; i < PORT_FAULT_COUNT; i++) {
        struct conformance c;
        struct hunt hunt;
        memset(&hunt, 0, sizeof hunt);
        hunt.words = faults[i].words;
        port_fake_init(&fake, (enum port_fault)i, 4096, false);
        port_peer_init(&peer, &fake, NULL, NULL);
        memset(&c, 0, sizeof c);
        c.stream = &fake.stream;
        c.peer = &peer.peer;
        c.report = hunt_report;
        c.user = &hunt;
        (void)alarm(LIMIT_SECONDS);
        count(conformance_run(&c) > 0 && hunt.found, faults[i].name);
        if (!hunt.found) {
            printf("    wanted: %s\n    got:    %s\n", hunt.words, hunt.first);
        }
        port_peer_free(&peer);
    }
}

int main(void)
{
    (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    good_ports();
    broken_ports();
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
