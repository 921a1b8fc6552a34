/* SPDX-License-Identifier: MIT
 *
 * Answers messages with their own text, until SIGINT or SIGTERM. Shows how to answer from inside the
 * callback, piece by piece, and what to do when the transmit buffer is full.
 */
#include "../common.h"
#include "port/bearssl.h"
#include "port/posix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An answer is as long as the message: the transmit buffer has to take what the receive buffer can. */
static char rx[4096], tx[4096];
static unsigned char tls_in[XMPP_TINY_BEARSSL_IN_MAX], tls_out[4096];

static struct xmpp_tiny_posix tcp;
static struct xmpp_tiny_bearssl tls;
static bool closed, failed;

/* Two programs of this kind would otherwise talk for ever. */
static const char prefix[] = "echo: ";

static bool to_be_answered(const struct xmpp_tiny_event *event)
{
    bool chat = event->type.ptr == NULL || xmpp_tiny_same(event->type, xmpp_tiny_str("chat")) ||
                xmpp_tiny_same(event->type, xmpp_tiny_str("normal"));
    bool echo =
        event->body.len >= sizeof prefix - 1 && memcmp(event->body.ptr, prefix, sizeof prefix - 1) == 0;
    return chat && event->body.ptr != NULL && event->from.ptr != NULL && !echo;
}

/* AGAIN goes back to the library, which then delivers the same message again when there is room. */
static int answer(struct xmpp_tiny *x, const struct xmpp_tiny_event *event)
{
    xmpp_tiny_begin(x, "message", event->from, event->type, event->id);
    xmpp_tiny_put_start(x, "body", NULL);
    xmpp_tiny_put_text(x, xmpp_tiny_str(prefix));
    xmpp_tiny_put_text(x, event->body);
    xmpp_tiny_put_end(x);
    xmpp_tiny_put_element(x, "thread", NULL, event->thread);
    int err = xmpp_tiny_send(x);
    if (err < 0 && err != XMPP_TINY_ERR_AGAIN) {
        (void)fprintf(stderr, "no answer: %s\n", xmpp_tiny_err_text(err));
        return 0;
    }
    return err;
}

static int on_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    static const struct xmpp_tiny_presence available; /* all defaults */
    (void)user;
    if (event->kind == XMPP_TINY_EVENT_ONLINE) {
        printf("online as %.*s\n", (int)event->to.len, event->to.ptr);
        (void)fflush(stdout);
        /* Without presence no message would come. */
        int err = xmpp_tiny_presence(x, &available);
        if (err < 0) {
            (void)fprintf(stderr, "no presence: %s\n", xmpp_tiny_err_text(err));
            failed = true;
            return xmpp_tiny_disconnect(x);
        }
        return 0;
    }
    if (event->kind == XMPP_TINY_EVENT_MESSAGE && to_be_answered(event))
        return answer(x, event);
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
        (void)fprintf(stderr, "usage: XMPP_TINY_PASSWORD=... 2-echo JID CA_FILE HOST:PORT\n");
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
    if (!example_anchors(argv[2], &tls_config.anchors, &tls_config.anchor_count) || !example_catch_signals())
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
    bool leaving = false;
    while (!closed) {
        uint32_t ms = xmpp_tiny_poll(&x);
        if (example_signal != 0 && !leaving) {
            leaving = true;
            ms = xmpp_tiny_disconnect(&x) == 0 ? 0 : ms;
        }
        /* A second at most: a signal may come just before the sleep. */
        if (!closed && xmpp_tiny_posix_wait(&tcp, false, ms < 1000 ? ms : 1000, -1) < 0)
            return 1;
    }
    return xmpp_tiny_error(&x)->code == 0 && !failed ? 0 : 1;
}
