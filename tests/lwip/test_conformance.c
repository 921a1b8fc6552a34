/* SPDX-License-Identifier: MIT
 *
 * The port checker (tests/conformance.h) against port/lwip, in the clear and below BearSSL, over wires
 * good and bad, to addresses and names.
 */
#include "bridge.h"
#include "near.h"

#include "port/lwip.h"
#include "port_pki.h"

#include <stdio.h>
#include <string.h>

static struct xmpp_tiny_lwip tcp;
static unsigned passed, failed;
static bool last_try;

static void expect(struct conformance_peer *peer, enum conformance_role role)
{
    (void)peer;
    world_run(1000);
    bridge_expect(role);
}

static void step(struct conformance_peer *peer)
{
    (void)peer;
    bridge_carry();
    /* The checker counts steps; on a bad wire lwIP waits for minutes, in the end. And a client that only
     * listens would never learn that its peer has forgotten it, were it not for keep-alives. */
    if (tcp.pcb != NULL && wire_faults.lost > 0) {
        ip_set_option(tcp.pcb, SOF_KEEPALIVE);
        tcp.pcb->keep_idle = 5000;
    }
    world_run(10 + 5 * wire_faults.lost);
}

/* A reset takes back what has not arrived yet, and nobody repeats one that is lost. */
static void cut(void)
{
    unsigned lost = wire_faults.lost;

    wire_faults.lost = 0;
    world_run(60000);
    far_abort();
    world_run(1000);
    wire_faults.lost = lost;
}

static void print_report(struct conformance *c, const char *text)
{
    if (last_try) {
        printf("%s: %s\n", (const char *)c->user, text);
    }
}

/* One run of the checker. Returns how much is wrong. */
static unsigned run_once(struct conformance *c, const char *label, uint32_t seed,
                         const struct wire_faults *faults)
{
    uint32_t before;
    unsigned wrong;

    far_forget();
    world_settle(); /* nothing of the run before is left */
    wire_reset(seed);
    wire_faults = *faults;
    before = near_memory();
    wrong = (unsigned)conformance_run(c);
    memset(&wire_faults, 0, sizeof wire_faults);
    far_forget();
    world_settle();
    if (near_memory() != before) {
        printf("%s: lwIP's memory in use was %u and is %u\n", label, (unsigned)before,
               (unsigned)near_memory());
        wrong++;
    }
    return wrong;
}

/* lwIP itself does not come through every storm: it gives up, or its persist timer stalls. So there are
 * three on a bad wire, of which the port has to pass one; a good wire leaves no excuse. */
static void run(const char *what, const char *host, struct xmpp_tiny_stream *stream,
                const struct port_tls *server, const struct wire_faults *faults)
{
    char label[100];
    struct conformance c;
    unsigned wrong = 1;
    uint32_t seed, tries = faults->lost > 0 ? 3 : 1;

    (void)snprintf(label, sizeof label, "%s, %s, %u %% lost", host, what, faults->lost);
    bridge_begin(host, server, expect, step, cut);
    memset(&c, 0, sizeof c);
    c.stream = stream;
    c.peer = &bridge_peer;
    c.report = print_report;
    c.user = label;
    for (seed = 1; wrong > 0 && seed <= tries; seed++) {
        last_try = seed == tries;
        wrong = run_once(&c, label, seed, faults);
    }
    passed += (unsigned)c.passed + (wrong == 0);
    failed += wrong;
}

static const struct wire_faults good, slow = {.delay = 40}, bad = {.lost = 10, .delay = 20, .jitter = 20},
                                      worst = {.lost = 30, .delay = 20},
                                      odd = {.doubled = 30, .delay = 5, .jitter = 80};

static void plain(void)
{
    run("in the clear", FAR_4, &tcp.stream, NULL, &good);
    run("in the clear", "[" FAR_6 "]", &tcp.stream, NULL, &good);
    run("in the clear, slow", FAR_6, &tcp.stream, NULL, &slow);
    run("in the clear", "four.test", &tcp.stream, NULL, &good);
    run("in the clear", "six.test", &tcp.stream, NULL, &good);
    run("in the clear", "both.test", &tcp.stream, NULL, &bad);
    run("in the clear", FAR_4, &tcp.stream, NULL, &bad);
    run("in the clear", FAR_4, &tcp.stream, NULL, &worst);
    run("in the clear", FAR_6, &tcp.stream, NULL, &worst);
    run("in the clear, out of order", FAR_4, &tcp.stream, NULL, &odd);
    near_chains = 1;
    run("in the clear, buffers with an empty end", FAR_4, &tcp.stream, NULL, &good);
    near_chains = 0;
}

static void secure(void)
{
    static struct xmpp_tiny_bearssl client;
    static struct port_tls server;
    static br_x509_trust_anchor anchor[1];
    static uint8_t memory[2048], in[XMPP_TINY_BEARSSL_IN_MIN], out[XMPP_TINY_BEARSSL_OUT_MIN];
    struct xmpp_tiny_bearssl_arena arena = {memory, sizeof memory, 0};
    const struct xmpp_tiny_bearssl_config config = {.inner = &tcp.stream,
                                                    .platform = &port_platform,
                                                    .anchors = anchor,
                                                    .anchor_count = 1,
                                                    .in = in,
                                                    .in_size = sizeof in,
                                                    .out = out,
                                                    .out_size = sizeof out};

    if (xmpp_tiny_bearssl_pem_anchors(&arena, xmpp_tiny_str(pki_root), anchor, 1) != 1 ||
        xmpp_tiny_bearssl_init(&client, &config) < 0) {
        printf("TLS cannot be set up\n");
        failed++;
        return;
    }
    port_tls_init(&server, pki_good, pki_eckey);
    run("TLS", FAR_4, &client.stream, &server, &good);
    run("TLS, out of order", FAR_6, &client.stream, &server, &odd);
    run("TLS", "six.test", &client.stream, &server, &bad);
    run("TLS", FAR_4, &client.stream, &server, &worst);
}

int main(void)
{
    world_init();
    xmpp_tiny_lwip_init(&tcp, NULL, NULL);
    far_name("four.test", FAR_4, NULL);
    far_name("six.test", NULL, FAR_6);
    far_name("both.test", FAR_4, FAR_6);
    plain();
    secure();
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
