/* SPDX-License-Identifier: MIT
 *
 * Events on stdout.
 */
#define _POSIX_C_SOURCE 200809L

#include "report.h"

#include "../common.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* A program has one stdout: hence file scope. */
static bool as_json, broken;

static const char *const origins[] = {
    [XMPP_TINY_ORIGIN_CALL] = "CALL",     [XMPP_TINY_ORIGIN_LOCAL] = "LOCAL", [XMPP_TINY_ORIGIN_NET] = "NET",
    [XMPP_TINY_ORIGIN_TIME] = "TIME",     [XMPP_TINY_ORIGIN_TLS] = "TLS",     [XMPP_TINY_ORIGIN_XML] = "XML",
    [XMPP_TINY_ORIGIN_STREAM] = "STREAM", [XMPP_TINY_ORIGIN_SASL] = "SASL",
};

void cli_report_json(bool json)
{
    as_json = json;
}

bool cli_report_ok(void)
{
    return !broken;
}

/* A JSON string. C1 controls steer terminals, so they are escaped as well; in UTF-8 they are C2 80 to
 * C2 9F. All else that was received is UTF-8 already. */
static void put_string(struct xmpp_tiny_str s)
{
    (void)putchar('"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        unsigned char next = i + 1 < s.len ? (unsigned char)s.ptr[i + 1] : 0;
        if (c == '"' || c == '\\') {
            (void)printf("\\%c", c);
        } else if (c == '\n') {
            (void)fputs("\\n", stdout);
        } else if (c == '\r') {
            (void)fputs("\\r", stdout);
        } else if (c == '\t') {
            (void)fputs("\\t", stdout);
        } else if (c < 0x20 || c == 0x7F) {
            (void)printf("\\u%04x", c);
        } else if (c == 0xC2 && next >= 0x80 && next <= 0x9F) {
            (void)printf("\\u%04x", next);
            i++;
        } else {
            (void)putchar(c);
        }
    }
    (void)putchar('"');
}

static void put_name(const char *name)
{
    (void)printf(as_json ? ",\"%s\":" : "  %s: ", name);
}

void cli_report_begin(const char *event)
{
    (void)printf(as_json ? "{\"event\":\"%s\"" : "%s", event);
}

void cli_report_str(const char *name, struct xmpp_tiny_str value)
{
    if (value.ptr == NULL)
        return;
    put_name(name);
    put_string(value);
}

void cli_report_number(const char *name, int64_t value)
{
    put_name(name);
    (void)printf("%" PRId64, value);
}

void cli_report_bool(const char *name, bool value)
{
    put_name(name);
    (void)fputs(value ? "true" : "false", stdout);
}

void cli_report_hex(const char *name, const uint8_t *bytes, size_t len)
{
    put_name(name);
    (void)putchar('"');
    for (size_t i = 0; i < len; i++)
        (void)printf("%02x", bytes[i]);
    (void)putchar('"');
}

void cli_report_time(const char *name, int64_t seconds)
{
    char text[32];
    time_t when = (time_t)seconds;
    struct tm parts;
    if (seconds == 0 || gmtime_r(&when, &parts) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return;
    cli_report_str(name, xmpp_tiny_str(text));
}

void cli_report_end(void)
{
    (void)fputs(as_json ? "}\n" : "\n", stdout);
    if (fflush(stdout) != 0 || ferror(stdout))
        broken = true;
}

/* What the peer or the port said of an error, or else its meaning. */
static void put_reason(const struct xmpp_tiny_error *error)
{
    cli_report_str("condition", error->condition);
    cli_report_str("text", error->text.ptr ? error->text : xmpp_tiny_str(xmpp_tiny_err_text(error->code)));
}

void cli_report_error(const struct xmpp_tiny_error *error, struct xmpp_tiny_str to)
{
    cli_report_begin("error");
    cli_report_str("name", xmpp_tiny_str(xmpp_tiny_err_name(error->code)));
    cli_report_str("origin", xmpp_tiny_str(origins[xmpp_tiny_err_origin(error->code)]));
    put_reason(error);
    cli_report_str("to", to);
    cli_report_end();
}

/* ---- Security ---------------------------------------------------------------------------------- */

void cli_report_secured(const struct xmpp_tiny_security *security)
{
    cli_report_begin("secured");
    cli_report_str("trust", xmpp_tiny_str(example_trust_name(security->trust)));
    cli_report_str("tls", xmpp_tiny_str(security->version));
    cli_report_str("suite", xmpp_tiny_str(security->suite));
    cli_report_str("key_exchange", xmpp_tiny_str(security->key_exchange));
    cli_report_str("subject", security->subject);
    cli_report_str("issuer", security->issuer);
    cli_report_time("not_before", security->not_before);
    cli_report_time("not_after", security->not_after);
    cli_report_hex("spki", security->spki, sizeof security->spki);
    cli_report_hex("certificate", security->certificate, sizeof security->certificate);
    cli_report_bool("resumed", security->resumed);
    cli_report_end();
}

void cli_report_authenticated(const struct xmpp_tiny_security *security, bool saved)
{
    cli_report_begin("authenticated");
    cli_report_str("mechanism", xmpp_tiny_str(xmpp_tiny_mechanism_name(security->mechanism)));
    cli_report_str("binding", xmpp_tiny_str(example_binding_name(security->binding)));
    cli_report_bool("saved", saved);
    cli_report_end();
}

void cli_report_changed(const struct xmpp_tiny_security *security, const struct xmpp_tiny_saved *saved)
{
    cli_report_begin("changed");
    cli_report_hex("old_spki", saved->spki, sizeof saved->spki);
    cli_report_hex("spki", security->spki, sizeof security->spki);
    cli_report_hex("old_certificate", saved->certificate, sizeof saved->certificate);
    cli_report_hex("certificate", security->certificate, sizeof security->certificate);
    cli_report_end();
}

void cli_report_online(const struct xmpp_tiny_event *event, const struct xmpp_tiny_security *security)
{
    cli_report_begin("online");
    cli_report_str("jid", event->to);
    cli_report_bool("resumed", event->resumed);
    cli_report_str("via", xmpp_tiny_str(example_via_name(security->via)));
    cli_report_bool("tls_resumed", security->resumed);
    cli_report_end();
}

void cli_report_verdict(const char *line, const char *verdict, const char *text, const char *why)
{
    if (!as_json)
        (void)printf("%-14s  %s", verdict, text);
    if (!as_json && why[0] != '\0')
        (void)printf(" (%s)", why);
    if (as_json) {
        cli_report_begin("verdict");
        cli_report_str("line", xmpp_tiny_str(line));
        cli_report_str("verdict", xmpp_tiny_str(verdict));
        cli_report_str("text", xmpp_tiny_str(text));
        cli_report_str("why", xmpp_tiny_str(why[0] != '\0' ? why : NULL));
    }
    cli_report_end();
}

/* ---- Events ------------------------------------------------------------------------------------ */

static void report_message(const struct xmpp_tiny_event *e)
{
    cli_report_begin("message");
    cli_report_str("from", e->from);
    cli_report_str("id", e->id);
    cli_report_str("type", e->type);
    cli_report_str("subject", e->subject);
    cli_report_str("body", e->body);
    cli_report_str("thread", e->thread);
    cli_report_str("condition", e->error.condition);
    cli_report_str("text", e->error.text);
    cli_report_end();
}

static void report_presence(const struct xmpp_tiny_event *e)
{
    cli_report_begin("presence");
    cli_report_str("from", e->from);
    cli_report_str("id", e->id);
    cli_report_str("type", e->type);
    cli_report_str("show", e->show);
    cli_report_str("status", e->status);
    cli_report_number("priority", e->priority);
    cli_report_str("condition", e->error.condition);
    cli_report_str("text", e->error.text);
    cli_report_end();
}

static void report_skipped(const struct xmpp_tiny_event *e)
{
    cli_report_begin("skipped");
    cli_report_str("name", e->name);
    cli_report_str("from", e->from);
    cli_report_str("id", e->id);
    cli_report_str("type", e->type);
    cli_report_number("size", e->size);
    cli_report_str("reason", xmpp_tiny_str(xmpp_tiny_err_name(e->error.code)));
    cli_report_end();
}

static void report_disconnected(const struct xmpp_tiny_event *e)
{
    cli_report_begin("disconnected");
    cli_report_str("reason", xmpp_tiny_str(xmpp_tiny_err_name(e->error.code)));
    put_reason(&e->error);
    cli_report_number("wait_ms", e->wait);
    cli_report_end();
}

void cli_report_iq(const struct xmpp_tiny_event *event, struct xmpp_tiny_str id)
{
    struct xmpp_tiny_el payload = xmpp_tiny_child(event->el, NULL, "*");
    cli_report_begin("iq");
    cli_report_str("from", event->from);
    cli_report_str("id", id);
    cli_report_str("type", xmpp_tiny_attr(event->el, "type"));
    if (xmpp_tiny_found(payload)) {
        cli_report_str("name", xmpp_tiny_name(payload));
        cli_report_str("ns", xmpp_tiny_ns(payload));
    }
    cli_report_str("condition", event->error.condition);
    cli_report_str("text", event->error.text);
    cli_report_end();
}

void cli_report_event(const struct xmpp_tiny_event *event)
{
    switch (event->kind) {
    case XMPP_TINY_EVENT_CONNECTED:
        cli_report_begin("connected");
        cli_report_end();
        break;
    case XMPP_TINY_EVENT_REGISTERED:
        cli_report_begin("registered");
        cli_report_end();
        break;
    case XMPP_TINY_EVENT_MESSAGE:
        report_message(event);
        break;
    case XMPP_TINY_EVENT_PRESENCE:
        report_presence(event);
        break;
    case XMPP_TINY_EVENT_ELEMENT:
        if (xmpp_tiny_is(event->el, "iq", NULL)) { /* the answer to a raw one */
            cli_report_iq(event, event->id);
            break;
        }
        cli_report_begin("element");
        cli_report_str("name", xmpp_tiny_name(event->el));
        cli_report_str("ns", xmpp_tiny_ns(event->el));
        cli_report_end();
        break;
    case XMPP_TINY_EVENT_SKIPPED:
        report_skipped(event);
        break;
    case XMPP_TINY_EVENT_ERROR:
        cli_report_error(&event->error, xmpp_tiny_str(NULL));
        break;
    case XMPP_TINY_EVENT_DISCONNECTED:
        report_disconnected(event);
        break;
    case XMPP_TINY_EVENT_CLOSED:
        cli_report_begin("closed");
        cli_report_number("unsent", event->unsent);
        cli_report_end();
        break;
    case XMPP_TINY_EVENT_CHANGED:
    case XMPP_TINY_EVENT_SECURED:
    case XMPP_TINY_EVENT_AUTHENTICATED:
    case XMPP_TINY_EVENT_ONLINE:
    case XMPP_TINY_EVENT_ANSWER:
    case XMPP_TINY_EVENT_ROOM:
    case XMPP_TINY_EVENT_DELIVERED:
    case XMPP_TINY_EVENT_UNDELIVERED:
        break;
    }
}
