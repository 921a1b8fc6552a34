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

static void number(const char *what, uint32_t n)
{
    char digits[10], *at = digits + sizeof digits;
    do
        *--at = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    report_line(what, (struct xmpp_tiny_str){at, (size_t)(digits + sizeof digits - at)});
}

static void error(const struct xmpp_tiny_error *e)
{
    report_line("error ", xmpp_tiny_str(xmpp_tiny_err_name(e->code)));
    if (e->condition.len != 0)
        report_line("  condition ", e->condition);
    if (e->text.len != 0)
        report_line("  ", e->text);
}

void report_event(const struct xmpp_tiny *x, const struct xmpp_tiny_bearssl *tls,
                  const struct xmpp_tiny_event *event)
{
    if (event->kind == XMPP_TINY_EVENT_SECURED) {
        report_line("server verified, ", xmpp_tiny_str(xmpp_tiny_bearssl_version(tls)));
        report_line("  ", xmpp_tiny_str(xmpp_tiny_bearssl_suite(tls)));
    } else if (event->kind == XMPP_TINY_EVENT_AUTHENTICATED) {
        report_line("authenticated by ", xmpp_tiny_str(xmpp_tiny_mechanism_name(xmpp_tiny_mechanism(x))));
    } else if (event->kind == XMPP_TINY_EVENT_ONLINE) {
        report_line("online as ", event->to);
    } else if (event->kind == XMPP_TINY_EVENT_SKIPPED) {
        report_line("skipped a stanza from ", event->from);
        number("  bytes ", event->size);
    } else if (event->kind == XMPP_TINY_EVENT_ERROR) {
        error(&event->error);
    } else if (event->kind == XMPP_TINY_EVENT_CLOSED) {
        report_line("closed", xmpp_tiny_str(""));
    }
}
