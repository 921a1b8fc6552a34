/* SPDX-License-Identifier: MIT
 *
 * A thermometer on a microcontroller, without an operating system: gets an address, connects, publishes
 * its reading as presence, answers the message "read", and comes back when the link or the server does.
 * Its own settings are in settings.h; what is the board's lies behind board.h.
 */
#include <string.h>

#include "network.h"
#include "platform.h"
#include "port/bearssl.h"
#include "port/lwip.h"
#include "report.h"

#ifndef FIRMWARE_SETTINGS
#define FIRMWARE_SETTINGS "settings.h"
#endif
/* BearSSL wants its anchors without const, though it does not write to them. */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include FIRMWARE_SETTINGS
#pragma GCC diagnostic error "-Wcast-qual"

/* All memory that the client needs, the stack aside. */
static char rx[XMPP_TINY_RX_MIN], tx[XMPP_TINY_TX_MIN];
static unsigned char tls_in[XMPP_TINY_BEARSSL_IN_MIN], tls_out[XMPP_TINY_BEARSSL_OUT_MIN];
static struct xmpp_tiny_lwip tcp;
static struct xmpp_tiny_bearssl tls;
static struct xmpp_tiny_saved saved; /* until power-off: logins without key derivation, no downgrade unseen */
static struct xmpp_tiny x;

static uint32_t connect_at, reading_at, ping_at; /* when each is due */
static uint32_t retry_ms = SENSOR_RETRY_MS;

/* Stands for a real sensor: from 20.0 to 25.0 degrees and back, another step each second. */
static struct xmpp_tiny_str reading(char text[6])
{
    uint32_t step = board_now_ms() / 1000 % 100;
    uint32_t tenths = step < 50 ? step : 100 - step;
    memcpy(text, "20.0 C", 6);
    text[1] = (char)('0' + tenths / 10);
    text[3] = (char)('0' + tenths % 10);
    return (struct xmpp_tiny_str){text, 6};
}

/* One that finds no room is left out: the next will be fresher. */
static void publish(void)
{
    char text[6];
    const struct xmpp_tiny_presence presence = {.status = reading(text)};
    if (xmpp_tiny_presence(&x, &presence) == 0)
        report_line("published ", presence.status);
    reading_at = board_now_ms() + SENSOR_INTERVAL_MS;
}

static int answer(const struct xmpp_tiny_event *event)
{
    char text[6];
    if (event->error.code != 0 || !xmpp_tiny_same(event->body, xmpp_tiny_str("read")))
        return 0;
    const struct xmpp_tiny_message message = {
        .to = event->from, .type = event->type, .thread = event->thread, .body = reading(text)};
    return xmpp_tiny_message(&x, &message); /* AGAIN: the message comes again when there is room */
}

static int on_event(struct xmpp_tiny *client, const struct xmpp_tiny_event *event, void *user)
{
    (void)user;
    report_event(client, event);
    if (event->kind == XMPP_TINY_EVENT_MESSAGE)
        return answer(event);
    if (event->kind == XMPP_TINY_EVENT_CHANGED)
        return TAs_NUM > 0 ? XMPP_TINY_ACCEPT : 0; /* renewed: without a CA, nobody would vouch for it */
    if (event->kind == XMPP_TINY_EVENT_ONLINE) {
        reading_at = board_now_ms();
        ping_at = reading_at + SENSOR_PING_MS;
    } else if (event->kind == XMPP_TINY_EVENT_ANSWER && event->error.code == XMPP_TINY_ERR_TIMEOUT) {
        (void)xmpp_tiny_disconnect(client); /* the server is gone without a word */
    } else if (event->kind == XMPP_TINY_EVENT_ANSWER) {
        retry_ms = SENSOR_RETRY_MS; /* a server that lets us in but does not keep us is no success */
    } else if (event->kind == XMPP_TINY_EVENT_CLOSED) {
        /* A fleet must not come back in one instant: between half and the whole of a growing time. */
        connect_at = board_now_ms() + retry_ms / 2 + LWIP_RAND() % (retry_ms / 2 + 1);
        retry_ms = retry_ms < SENSOR_RETRY_MAX_MS / 2 ? 2 * retry_ms : SENSOR_RETRY_MAX_MS;
    }
    return 0;
}

/* Does what is due. Returns the milliseconds until something is; 0 after something was done. */
static uint32_t work(void)
{
    if (xmpp_tiny_state(&x) == XMPP_TINY_STATE_OFF) {
        if (left(connect_at) != 0)
            return left(connect_at);
        connect_at = board_now_ms(); /* after 24 days it would lie in the future again */
        if (!network_ready())
            return XMPP_TINY_FOREVER; /* a frame or lwIP's timer brings the news */
        (void)xmpp_tiny_connect(&x);
        return 0;
    }
    if (xmpp_tiny_state(&x) != XMPP_TINY_STATE_ONLINE)
        return XMPP_TINY_FOREVER;
    if (left(reading_at) == 0) {
        publish();
        return 0;
    }
    if (left(ping_at) == 0) {
        (void)xmpp_tiny_ping(&x, xmpp_tiny_str(NULL), SENSOR_TIMEOUT_MS);
        ping_at = board_now_ms() + SENSOR_PING_MS;
        return 0;
    }
    return sooner(left(reading_at), left(ping_at));
}

/* Never spins: sleeps until a frame arrives, or the next deadline of the client, the application or lwIP. */
static void run(void)
{
    for (;;) {
        uint32_t ms;
        network_poll();
        ms = xmpp_tiny_poll(&x);
        ms = sooner(ms, work());
        board_sleep(sooner(ms, network_deadline()));
    }
}

int main(void)
{
    /* clang-format off */
    static const struct xmpp_tiny_bearssl_config tls_config = {
        .inner = &tcp.stream, .platform = &platform,
        .anchors = TAs, .anchor_count = TAs_NUM, .time_floor = SENSOR_TIME_FLOOR,
        .in = tls_in, .in_size = sizeof tls_in, .out = tls_out, .out_size = sizeof tls_out};
    static const struct xmpp_tiny_config config = {
        .jid = SENSOR_JID, .password = SENSOR_PASSWORD, .saved = &saved,
        .host = SENSOR_HOST, .port = SENSOR_PORT, .tls = SENSOR_TLS, .timeout_ms = SENSOR_TIMEOUT_MS,
        .stream = &tls.stream, .platform = &platform, .crypto = &xmpp_tiny_bearssl_crypto,
        .rx = rx, .rx_size = sizeof rx, .tx = tx, .tx_size = sizeof tx, .event = on_event};
    /* clang-format on */

    board_init();
    network_start();
    xmpp_tiny_lwip_init(&tcp, NULL, NULL);
    if (xmpp_tiny_bearssl_init(&tls, &tls_config) < 0)
        report_line("TLS refuses its settings: buffers or anchors", xmpp_tiny_str(""));
    else if (xmpp_tiny_init(&x, &config) < 0)
        report_line("the client refuses its settings: JID, password or buffers", xmpp_tiny_str(""));
    else
        run();
    return 1;
}
