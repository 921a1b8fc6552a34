/* SPDX-License-Identifier: MIT
 *
 * A thermometer: publishes its reading as presence status every INTERVAL seconds and answers the
 * message "read". Connects again when the connection breaks: a session goes on, and what was sent in it.
 * Runs until SIGINT, SIGTERM or, if given, for SECONDS; then leaves in order.
 */
#include "../common.h"
#include "port/bearssl.h"
#include "port/posix.h"

#include <stdio.h>
#include <stdlib.h>

static char rx[2048], tx[2048];
static unsigned char tls_in[XMPP_TINY_BEARSSL_IN_MAX], tls_out[2048];

static struct xmpp_tiny_posix tcp;
static struct xmpp_tiny_bearssl tls;
static struct xmpp_tiny_saved saved; /* what one connection teaches the next */
static bool online, due, closed;

static uint32_t now_ms(void)
{
    return xmpp_tiny_posix_platform.now_ms(xmpp_tiny_posix_platform.ctx);
}

/* Stands for a real sensor: goes from 20.0 to 25.0 degrees and back, another step each second. */
static struct xmpp_tiny_str reading(char *text, size_t size)
{
    uint32_t step = now_ms() / 1000 % 100;
    uint32_t tenths = 200 + (step < 50 ? step : 100 - step);
    int len = snprintf(text, size, "%u.%u C", (unsigned)(tenths / 10), (unsigned)(tenths % 10));
    return len > 0 && (size_t)len < size ? (struct xmpp_tiny_str){text, (size_t)len} : xmpp_tiny_str("?");
}

static int publish(struct xmpp_tiny *x)
{
    char text[16];
    const struct xmpp_tiny_presence presence = {.status = reading(text, sizeof text)};
    int err = xmpp_tiny_presence(x, &presence);
    if (err == 0) {
        printf("published %.*s\n", (int)presence.status.len, presence.status.ptr);
        (void)fflush(stdout);
    }
    return err;
}

static int on_message(struct xmpp_tiny *x, const struct xmpp_tiny_event *event)
{
    char text[16];
    if (!xmpp_tiny_same(event->body, xmpp_tiny_str("read")) || event->error.code != 0)
        return 0;
    const struct xmpp_tiny_message message = {
        .to = event->from, .type = event->type, .thread = event->thread, .body = reading(text, sizeof text)};
    int err = xmpp_tiny_message(x, &message);
    if (err == 0) {
        printf("answered %.*s\n", (int)event->from.len, event->from.ptr);
        (void)fflush(stdout);
    }
    return err; /* AGAIN: the message comes again when there is room */
}

static int on_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    (void)user;
    if (event->kind == XMPP_TINY_EVENT_MESSAGE)
        return on_message(x, event);
    if (event->kind == XMPP_TINY_EVENT_SECURED || event->kind == XMPP_TINY_EVENT_AUTHENTICATED) {
        example_print_security(x);
    } else if (event->kind == XMPP_TINY_EVENT_ONLINE) {
        online = true;
        due = due || !event->resumed; /* nobody has seen presence from a new session */
        printf("online as %.*s\n", (int)event->to.len, event->to.ptr);
        (void)fflush(stdout);
    } else if (event->kind == XMPP_TINY_EVENT_DISCONNECTED) {
        online = false;
        printf("next attempt in %lu ms\n", (unsigned long)event->wait);
        (void)fflush(stdout);
    } else if (event->kind == XMPP_TINY_EVENT_ERROR) {
        example_print_error(&event->error);
    } else if (event->kind == XMPP_TINY_EVENT_CLOSED) {
        closed = true;
    }
    return 0;
}

/* Publishes when it is time, sleeps in between, leaves when told to. */
static int run(struct xmpp_tiny *x, uint32_t interval_ms, uint32_t run_ms)
{
    uint32_t start = now_ms(), last = start;
    bool leaving = false;
    while (!closed) {
        uint32_t ms = xmpp_tiny_poll(x);
        due = due || now_ms() - last >= interval_ms;
        if (online && !leaving && due && publish(x) == 0) {
            last = now_ms();
            due = false;
        }
        if (!leaving && (example_signal != 0 || (run_ms != 0 && now_ms() - start >= run_ms)))
            leaving = xmpp_tiny_disconnect(x) == 0;
        /* A tenth of a second at most: this loop has its own clock to mind. */
        if (!closed && xmpp_tiny_posix_wait(&tcp, false, ms < 100 ? ms : 100, -1) < 0)
            return 1;
    }
    return xmpp_tiny_error(x)->code == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *password = getenv("XMPP_TINY_PASSWORD");
    char host[256];
    uint16_t port = 5222;
    uint32_t interval = 0, seconds = 0;
    if (argc < 5 || argc > 6 || password == NULL || !example_endpoint(argv[3], host, sizeof host, &port) ||
        !example_number(argv[4], 1, 86400, &interval) ||
        (argc == 6 && !example_number(argv[5], 1, 1000000, &seconds))) {
        (void)fprintf(stderr,
                      "usage: XMPP_TINY_PASSWORD=... 3-sensor JID CA_FILE HOST:PORT INTERVAL [SECONDS]\n");
        return 1;
    }

    /* clang-format off */
    struct xmpp_tiny_bearssl_config tls_config = {
        .inner = &tcp.stream, .platform = &xmpp_tiny_posix_platform,
        .in = tls_in, .in_size = sizeof tls_in, .out = tls_out, .out_size = sizeof tls_out,
    };
    const struct xmpp_tiny_config config = {
        .jid = argv[1], .password = password, .saved = &saved, .host = host, .port = port, .keep = true,
        .stream = &tls.stream, .platform = &xmpp_tiny_posix_platform, .crypto = &xmpp_tiny_bearssl_crypto,
        .rx = rx, .rx_size = sizeof rx, .tx = tx, .tx_size = sizeof tx, .queue_size = 1024,
        .event = on_event,
    };
    /* clang-format on */
    if (!example_anchors(argv[2], &tls_config.anchors, &tls_config.anchor_count) || !example_catch_signals())
        return 1;

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
    return run(&x, interval * 1000, seconds * 1000);
}
