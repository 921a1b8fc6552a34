/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "examples/boards/board.h"

#include <string.h>

void report_line(const char *what, struct xmpp_tiny_str text)
{
    board_print(what, strlen(what));
    board_print(text.ptr, text.len);
    board_print("\n", 1);
}

static void report_text(const char *what, const char *text)
{
    report_line(what, xmpp_tiny_str(text));
}

static void number(const char *what, uint32_t n)
{
    char digits[10], *at = digits + sizeof digits;
    do
        *--at = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    report_line(what, (struct xmpp_tiny_str){at, (size_t)(digits + sizeof digits - at)});
}

static void hex(const char *what, const uint8_t digest[32])
{
    char text[64];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "0123456789abcdef"[digest[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    report_line(what, (struct xmpp_tiny_str){text, sizeof text});
}

/* The day of a time, as 20501231. A year of March to February ends with the leap day. */
static void day(const char *what, int64_t seconds)
{
    uint32_t days = (uint32_t)(seconds >> 7) / (86400 >> 7) + 719468; /* since 1 March of the year 0 */
    uint32_t century = (4 * days + 3) / 146097;
    days -= 146097 * century / 4;
    uint32_t year = (4 * days + 3) / 1461;
    days -= 1461 * year / 4;
    uint32_t month = (5 * days + 2) / 153;
    days -= (153 * month + 2) / 5;
    year += 100 * century + month / 10;
    number(what, 10000 * year + 100 * (month < 10 ? month + 3 : month - 9) + days + 1);
}

/* How the connection is protected: at first that it is encrypted, to whom; then how both sides proved to know
 * the password or the token. */
static void security(struct xmpp_tiny *x)
{
    static const char trust[][10] = {"nothing", "CA", "pin", "CA, pin", "first use"};
    static const char bindings[][21] = {"none", "tls-unique", "tls-server-end-point"};
    struct xmpp_tiny_security s;
    if (xmpp_tiny_security(x, &s) < 0)
        return;
    if (s.authenticated) {
        report_text("authenticated by ",
                    s.via == XMPP_TINY_VIA_FAST ? "token" : xmpp_tiny_mechanism_name(s.mechanism));
        report_text("  channel binding ", bindings[s.binding]);
    } else {
        report_text(s.resumed ? "server known by session, verified by " : "server verified by ",
                    trust[s.trust]);
        report_text("  ", s.version);
        report_text("  ", s.suite);
        report_text("  key exchange ", s.key_exchange);
        hex("  key ", s.spki);
        day("  valid until ", s.not_after);
    }
}

static void error(const struct xmpp_tiny_error *e)
{
    report_text("error ", xmpp_tiny_err_name(e->code));
    if (e->condition.len != 0)
        report_line("  condition ", e->condition);
    if (e->text.len != 0)
        report_line("  ", e->text);
}

void report_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *event)
{
    if (event->kind == XMPP_TINY_EVENT_CHANGED) {
        report_text("another certificate than before", "");
    } else if (event->kind == XMPP_TINY_EVENT_SECURED || event->kind == XMPP_TINY_EVENT_AUTHENTICATED) {
        security(x);
    } else if (event->kind == XMPP_TINY_EVENT_ONLINE) {
        report_line(event->resumed ? "resumed as " : "online as ", event->to);
    } else if (event->kind == XMPP_TINY_EVENT_SKIPPED) {
        report_line("skipped a stanza from ", event->from);
        number("  bytes ", event->size);
    } else if (event->kind == XMPP_TINY_EVENT_UNDELIVERED) {
        report_text("a stanza may not have arrived", "");
    } else if (event->kind == XMPP_TINY_EVENT_ERROR) {
        error(&event->error);
    } else if (event->kind == XMPP_TINY_EVENT_DISCONNECTED) {
        number("disconnected, next attempt in ms ", event->wait);
    } else if (event->kind == XMPP_TINY_EVENT_CLOSED) {
        report_text("closed", "");
    }
}
