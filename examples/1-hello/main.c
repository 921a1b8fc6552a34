/* SPDX-License-Identifier: MIT
 *
 * Logs in, says so, leaves. The shortest whole client: buffers, ports, configuration, callback, loop.
 */
#include "../common.h"
#include "port/bearssl.h"
#include "port/posix.h"

#include <stdio.h>
#include <stdlib.h>

/* What a device would reserve. */
static char rx[2048], tx[1024];
static unsigned char tls_in[XMPP_TINY_BEARSSL_IN_MAX], tls_out[2048];

static struct xmpp_tiny_posix tcp;
static struct xmpp_tiny_bearssl tls;
static bool closed;

static int on_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    (void)user;
    if (event->kind == XMPP_TINY_EVENT_ONLINE) {
        printf("online as %.*s\n", (int)event->to.len, event->to.ptr);
        return xmpp_tiny_disconnect(x);
    }
    if (event->kind == XMPP_TINY_EVENT_ERROR)
        example_print_error(&event->error);
    else if (event->kind == XMPP_TINY_EVENT_CLOSED)
        closed = true;
    return 0;
}

int main(int argc, char **argv)
{
    const char *password = getenv("XMPP_TINY_PASSWORD");
    char host[256];
    uint16_t port = 5222;
    if (argc != 4 || password == NULL || !example_endpoint(argv[3], host, sizeof host, &port)) {
        (void)fprintf(stderr, "usage: XMPP_TINY_PASSWORD=... 1-hello JID CA_FILE HOST:PORT\n");
        return 1;
    }

    struct xmpp_tiny_bearssl_config tls_config = {
        .inner = &tcp.stream,
        .platform = &xmpp_tiny_posix_platform,
        .in = tls_in,
        .in_size = sizeof tls_in,
        .out = tls_out,
        .out_size = sizeof tls_out,
    };
    if (!example_anchors(argv[2], &tls_config.anchors, &tls_config.anchor_count))
        return 1;

    const struct xmpp_tiny_config config = {
        .jid = argv[1],
        .password = password,
        .host = host,
        .port = port,
        .stream = &tls.stream,
        .platform = &xmpp_tiny_posix_platform,
        .crypto = &xmpp_tiny_bearssl_crypto,
        .rx = rx,
        .rx_size = sizeof rx,
        .tx = tx,
        .tx_size = sizeof tx,
        .event = on_event,
    };

    static struct xmpp_tiny x;
    xmpp_tiny_posix_init(&tcp);
    int err = xmpp_tiny_bearssl_init(&tls, &tls_config);
    if (err == 0)
        err = xmpp_tiny_init(&x, &config);
    if (err == 0)
        err = xmpp_tiny_connect(&x);
    if (err < 0) {
        (void)fprintf(stderr, "%s: %s\n", xmpp_tiny_err_name(err), xmpp_tiny_err_text(err));
        return 1;
    }
    while (!closed) {
        uint32_t ms = xmpp_tiny_poll(&x);
        if (!closed && xmpp_tiny_posix_wait(&tcp, false, ms, -1) < 0)
            return 1;
    }
    return xmpp_tiny_error(&x)->code == 0 ? 0 : 1;
}
