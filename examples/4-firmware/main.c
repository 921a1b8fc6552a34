/* SPDX-License-Identifier: MIT
 *
 * A thermometer on a microcontroller, without an operating system: gets an address, connects, publishes
 * its reading as presence, answers the message "read", and goes on where it was when the link or the server
 * comes back.
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

/* Some answers that are under way outlive a lost connection: they are kept until the server has them. */
#define QUEUE 512

/* All memory that the client needs, the stack aside. */
static char rx[XMPP_TINY_RX_MIN], tx[XMPP_TINY_TX_MIN + QUEUE];
static unsigned char tls_in[XMPP_TINY_BEARSSL_IN_MIN], tls_out[XMPP_TINY_BEARSSL_OUT_MIN];
static struct xmpp_tiny_lwip tcp;
static struct xmpp_tiny_bearssl tls;
static struct xmpp_tiny_saved saved; /* until power-off: quick logins, sessions that go on, no downgrade */
static struct xmpp_tiny x;

static uint32_t connect_at, reading_at; /* when each is due */

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
    if (event->kind == XMPP_TINY_EVENT_ONLINE && !event->resumed)
        reading_at = board_now_ms(); /* nobody has seen presence from this session */
    else if (event->kind == XMPP_TINY_EVENT_CLOSED)
        connect_at = board_now_ms() + SENSOR_RETRY_MAX_MS; /* what trying again does not mend, people may */
    return 0;
}

/* Does what is due. Returns the milliseconds until something is; 0 after something was done. */
static uint32_t work(void)
{
    static bool was_ready;
    bool ready = network_ready(), up = ready && !was_ready;
    enum xmpp_tiny_state state = xmpp_tiny_state(&x);
    was_ready = ready;
    if (state == XMPP_TINY_STATE_OFF && left(connect_at) != 0)
        return left(connect_at);
    if (state == XMPP_TINY_STATE_OFF)
        connect_at = board_now_ms(); /* after 24 days it would lie in the future again */
    if ((state == XMPP_TINY_STATE_OFF && ready) || (state == XMPP_TINY_STATE_WAIT && up)) {
        (void)xmpp_tiny_connect(&x);
        return 0;
    }
    if (state != XMPP_TINY_STATE_ONLINE)
        return XMPP_TINY_FOREVER; /* a frame or a timer brings the news */
    if (left(reading_at) == 0) {
        publish();
        return 0;
    }
    return left(reading_at);
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
        .keep = true, .retry_ms = SENSOR_RETRY_MS, .retry_max_ms = SENSOR_RETRY_MAX_MS, .ping_ms = SENSOR_PING_MS,
        .stream = &tls.stream, .platform = &platform, .crypto = &xmpp_tiny_bearssl_crypto,
        .rx = rx, .rx_size = sizeof rx, .tx = tx, .tx_size = sizeof tx, .queue_size = QUEUE, .event = on_event};
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
