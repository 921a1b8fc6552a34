/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "device.h"

#include <string.h>

static void number(uint32_t n)
{
    char digits[10], *at = digits + sizeof digits;
    do
        *--at = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    device_print(at, (size_t)(digits + sizeof digits - at));
}

void report(const char *text, const uint32_t *numbers)
{
    for (const char *end; (end = strchr(text, '%')) != NULL; text = end + 1) {
        device_print(text, (size_t)(end - text));
        number(*numbers++);
    }
    device_print(text, strlen(text));
    device_print("\n", 1);
}

static void line(const char *what, const char *text)
{
    device_print(what, strlen(what));
    report(text, NULL);
}

static void security(struct xmpp_tiny *x)
{
    struct xmpp_tiny_security s;
    if (xmpp_tiny_security(x, &s) < 0)
        return;
    if (s.authenticated)
        line("login by ", s.via == XMPP_TINY_VIA_FAST ? "token" : xmpp_tiny_mechanism_name(s.mechanism));
    else
        line("TLS ", s.resumed ? "session resumed" : "handshake");
}

void report_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *event)
{
    switch ((int)event->kind) { /* the others are none of ours */
    case XMPP_TINY_EVENT_SECURED:
    case XMPP_TINY_EVENT_AUTHENTICATED:
        security(x);
        break;
    case XMPP_TINY_EVENT_ONLINE:
        line("online, ", event->resumed ? "session resumed" : "new session");
        break;
    case XMPP_TINY_EVENT_ERROR:
        line("error ", xmpp_tiny_err_name(event->error.code));
        break;
    case XMPP_TINY_EVENT_DELIVERED:
        report("delivered %", &event->tag);
        break;
    case XMPP_TINY_EVENT_UNDELIVERED:
        report("undelivered %", &event->tag);
        break;
    default:
        break;
    }
}
