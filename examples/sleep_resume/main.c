/* SPDX-License-Identifier: MIT
 *
 * A thermometer that sleeps: wakes up, takes up where it was, hands a reading over, waits until the server
 * has it, and sleeps again. Of its memory only struct retained outlives that. What it talks to lies behind
 * device.h.
 */
#include "counter.h"
#include "device.h"
#include "report.h"

/* All memory that the client needs while it is awake, the stack aside. */
static char rx[XMPP_TINY_RX_MIN], tx[XMPP_TINY_TX_MIN + RETAINED_QUEUE];
static unsigned char tls_in[XMPP_TINY_BEARSSL_IN_MIN], tls_out[XMPP_TINY_BEARSSL_OUT_MIN];
static struct xmpp_tiny_saved saved;
static struct xmpp_tiny_bearssl tls;
static struct counter counter;
static struct xmpp_tiny x;

static const struct device *device;
static struct progress readings;

static uint32_t now_ms(void)
{
    return device->platform->now_ms(device->platform->ctx);
}

/* What was under way when no good blob is left may have arrived or not. */
static void wake_up(void)
{
    if (recall(device->retained, &readings, &x))
        return;
    report("nothing good is retained", NULL);
    while (readings.told != readings.last) {
        readings.told++;
        report("undelivered %", &readings.told);
    }
}

/* Stands for a real sensor: "7: 20.7 C", another step with each reading. */
static struct xmpp_tiny_str reading(char text[20], uint32_t n)
{
    uint32_t tenths = n % 100 < 50 ? n % 100 : 100 - n % 100;
    char *at = text + 20;
    static const char unit[] = "C 0.02 :";
    for (const char *c = unit; *c != '\0'; c++)
        *--at = *c;
    at[3] = (char)('0' + tenths / 10);
    at[5] = (char)('0' + tenths % 10);
    do
        *--at = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    return (struct xmpp_tiny_str){at, (size_t)(text + 20 - at)};
}

/* Before there is a connection: it leaves with the first bytes that may. */
static void publish(void)
{
    char text[20];
    const struct xmpp_tiny_message message = {.to = xmpp_tiny_str(device->to),
                                              .type = xmpp_tiny_str("chat"),
                                              .body = reading(text, readings.last + 1)};
    xmpp_tiny_tag(&x, readings.last + 1);
    if (xmpp_tiny_message(&x, &message) == 0)
        readings.last++;
    else
        report("no room for reading %: too many are under way", (const uint32_t[]){readings.last + 1});
}

static int on_event(struct xmpp_tiny *client, const struct xmpp_tiny_event *event, void *user)
{
    (void)user;
    report_event(client, event);
    if (event->kind == XMPP_TINY_EVENT_DELIVERED || event->kind == XMPP_TINY_EVENT_UNDELIVERED)
        readings.told = event->tag;
    return event->kind == XMPP_TINY_EVENT_CHANGED ? XMPP_TINY_ACCEPT : 0; /* a CA vouches for the new one */
}

/* Until the end of all readings is known, or for as long as the battery may be used. Whatever changes is
 * retained before it can have consequences. */
static void stay_awake(void)
{
    uint32_t since = now_ms();
    bool leaving = false, tried = false;
    for (;;) {
        uint32_t ms = xmpp_tiny_poll(&x), awake = now_ms() - since;
        bool enough = readings.told == readings.last || awake >= device->awake_ms;
        if (xmpp_tiny_changed(&x))
            retain(device->retained, &readings, &x);
        if (xmpp_tiny_state(&x) == XMPP_TINY_STATE_OFF) {
            if (tried || enough)
                return;
            tried = device_ready() && xmpp_tiny_connect(&x) == 0;
            ms = tried ? 0 : ms;
        } else if (enough && !leaving) {
            leaving = xmpp_tiny_suspend(&x) == 0;
            ms = 0;
        }
        uint32_t left = leaving ? ms : device->awake_ms - awake;
        device_wait(ms < left ? ms : left);
    }
}

int main(int argc, char **argv)
{
    device = device_wake(argc, argv);
    if (device == NULL)
        return 1;
    /* clang-format off */
    const struct xmpp_tiny_bearssl_config tls_config = {
        .inner = &counter.stream, .platform = device->platform,
        .anchors = device->anchors, .anchor_count = device->anchor_count, .time_floor = device->time_floor,
        .in = tls_in, .in_size = sizeof tls_in, .out = tls_out, .out_size = sizeof tls_out};
    const struct xmpp_tiny_config config = {
        .jid = device->jid, .password = device->password, .saved = &saved,
        .host = device->host, .port = device->port, .tls = device->tls, .keep = true,
        .stream = &tls.stream, .platform = device->platform, .crypto = &xmpp_tiny_bearssl_crypto,
        .rx = rx, .rx_size = sizeof rx, .tx = tx, .tx_size = sizeof tx, .queue_size = RETAINED_QUEUE, .event = on_event};
    /* clang-format on */
    counter_init(&counter, device->tcp);
    if (xmpp_tiny_bearssl_init(&tls, &tls_config) < 0 || xmpp_tiny_init(&x, &config) < 0) {
        report("the settings are refused: JID, password, anchors or buffers", NULL);
        return 1;
    }
    wake_up();
    publish();
    retain(device->retained, &readings, &x);
    stay_awake();
    retain(device->retained, &readings, &x);
    report("wake %: % bytes up, % down, % round trips",
           (const uint32_t[]){readings.last, counter.up, counter.down, counter.round_trips});
    return device_sleep(device->sleep_ms);
}
