/* SPDX-License-Identifier: MIT
 *
 * The server of the link-loss tests. It trusts that what the client sends is well-formed (the golden sessions
 * see to that) and checks that it may be sent, that it is counted right, and that it is not sent twice.
 */
#include "loss.h"

#include "port/bearssl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_SASL2  "urn:xmpp:sasl:2"
#define NS_FAST   "urn:xmpp:fast:0"
#define NS_SM     "urn:xmpp:sm:3"
#define NS_BIND   "urn:ietf:params:xml:ns:xmpp-bind"
#define BINDING   "end-point"
#define USER      "juliet"
#define DOMAIN    "example.org"
#define FULL      "juliet@example.org/balcony"
#define ASK_AGAIN 3000 /* ms after which an unanswered <r/> is repeated */

static char unit[LOSS_PIPE];
static size_t unit_len;

static bool is(uint32_t flag)
{
    return (loss.scenario->flags & flag) != 0;
}

static struct loss_session *current(void)
{
    return loss.session ? &loss.sessions[loss.session] : NULL;
}

void server_say(const char *text)
{
    size_t len = strlen(text);
    if (!loss.link || loss.silent)
        return;
    loss_see("S: %s", text);
    if (loss.to_client.to + len > sizeof loss.to_client.at) {
        loss_fail("the server says too much");
        return;
    }
    memcpy(loss.to_client.at + loss.to_client.to, text, len);
    loss.to_client.to += len;
    loss.sent_down += (unsigned)len;
    loss.activity++;
}

static void say(const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    server_say(text);
}

/* ---- Text ---- */

/* The value of an attribute of the tag that begins at `tag`; false if it has none. */
static bool attr(const char *tag, const char *name, char *value, size_t size)
{
    const char *end = tag ? strchr(tag, '>') : NULL, *p = tag;
    char key[32];
    snprintf(key, sizeof key, " %s='", name);
    p = p ? strstr(p, key) : NULL;
    if (p == NULL || end == NULL || p > end)
        return false;
    p += strlen(key);
    snprintf(value, size, "%.*s", (int)strcspn(p, "'"), p);
    return true;
}

static bool number_attr(const char *tag, const char *name, uint32_t *value)
{
    char text[24];
    if (!attr(tag, name, text, sizeof text))
        return false;
    *value = (uint32_t)strtoul(text, NULL, 10);
    return true;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64(char *out, const uint8_t *in, size_t len)
{
    for (size_t i = 0; i < len; i += 3) {
        unsigned n = len - i < 3 ? (unsigned)(len - i) : 3;
        unsigned v = (unsigned)in[i] << 16 | (n > 1 ? (unsigned)in[i + 1] << 8 : 0) | (n > 2 ? in[i + 2] : 0);
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = n > 1 ? digits[v >> 6 & 63] : '=';
        *out++ = n > 2 ? digits[v & 63] : '=';
    }
    *out = 0;
}

/* What proves that one knows the token [XEP-0484 4], in base64. */
static void proof(const char *who, unsigned token, char *out)
{
    char name[32];
    uint8_t bytes[64];
    size_t at = 0;
    struct xmpp_tiny_str parts[2] = {xmpp_tiny_str(who), xmpp_tiny_str(BINDING)};
    snprintf(name, sizeof name, "secret-token:%u", token);
    if (who[0] == 'I') {
        memcpy(bytes, USER, sizeof USER);
        at = sizeof USER;
    }
    xmpp_tiny_bearssl_crypto.hmac(XMPP_TINY_SHA256, name, strlen(name), parts, 2, bytes + at);
    base64(out, bytes, at + 32);
}

/* ---- Sessions ---- */

static void item_text(const struct loss_item *item, char *text, size_t size)
{
    switch (item->kind) {
    case ITEM_MESSAGE:
        snprintf(text, size, "<message from='romeo@example.net'><body>%u</body></message>", item->number);
        break;
    case ITEM_PRESENCE:
        snprintf(text, size, "<presence from='romeo@example.net/x'><status>%u</status></presence>",
                 item->number);
        break;
    case ITEM_QUERY:
        snprintf(text, size, "<iq type='get' id='q%u' from='example.org'><q xmlns='urn:loss' n='%u'/></iq>",
                 item->number, item->number);
        break;
    case ITEM_PING:
        snprintf(text, size, "<iq type='get' id='p%u' from='example.org'><ping xmlns='urn:xmpp:ping'/></iq>",
                 item->number);
        break;
    case ITEM_RESULT:
    default:
        snprintf(text, size, "<iq type='result' id='%s' from='%s'><n xmlns='urn:loss'>%u</n></iq>", item->id,
                 item->to, item->number);
        break;
    }
}

static void ask(void)
{
    if (!is(W_QUIET))
        say("<r xmlns='" NS_SM "'/>");
    loss.asked_at = loss.now;
}

static void put_offline(const struct loss_item *item, unsigned at)
{
    if (loss.offline_count == LOSS_STANZAS) {
        loss_fail("too much is offline");
        return;
    }
    memmove(&loss.offline[at + 1], &loss.offline[at], (loss.offline_count - at) * sizeof *item);
    loss.offline[at] = *item;
    loss.offline_count++;
}

/* A session is over; what the client has not acknowledged waits for its next. */
static void session_end(unsigned n)
{
    struct loss_session *s = &loss.sessions[n];
    unsigned at = 0;
    if (!s->alive)
        return;
    s->alive = false;
    loss.session_lost = true;
    for (unsigned i = 0; i < s->queued; i++)
        if (s->queue[i].kind < ITEM_PING)
            put_offline(&s->queue[i], at++);
    s->queued = 0;
    if (loss.session == n)
        loss.session = 0;
}

static void deliver(const struct loss_item *item)
{
    struct loss_session *s = current();
    char text[256];
    item_text(item, text, sizeof text);
    if (item->kind == ITEM_QUERY)
        loss.emitted[item->number]++;
    if (s->counts) {
        if (s->queued == LOSS_STANZAS) {
            loss_fail("the client acknowledges nothing");
            return;
        }
        s->queue[s->queued++] = *item;
        s->out++;
    } else if (item->kind < ITEM_RESULT) {
        loss.droppable[item->number] = true;
    }
    server_say(text);
}

/* Hands on what waits, if there is a session to take it. */
static void flush(void)
{
    struct loss_session *s = current();
    bool any = loss.offline_count > 0;
    if (!loss.link || s == NULL || (!s->counts && is(W_SM)) || !any || loss.closing)
        return;
    for (unsigned i = 0; i < loss.offline_count; i++)
        deliver(&loss.offline[i]);
    loss.offline_count = 0;
    if (s->counts)
        ask();
}

void server_send(enum loss_item_kind kind)
{
    struct loss_item item;
    memset(&item, 0, sizeof item);
    if (loss.numbers + 1 >= LOSS_STANZAS) {
        loss_fail("too many stanzas");
        return;
    }
    item.kind = kind;
    item.number = ++loss.numbers;
    loss.kinds[item.number] = kind;
    if (loss.link && loss.session && current()->counts) {
        deliver(&item);
        ask();
        return;
    }
    for (unsigned i = 1; i <= loss.session_count; i++) /* one that waits to be resumed */
        if (loss.sessions[i].alive && loss.sessions[i].counts) {
            loss.sessions[i].queue[loss.sessions[i].queued++] = item;
            loss.sessions[i].out++;
            return;
        }
    put_offline(&item, loss.offline_count);
    flush();
}

bool server_took(const struct loss_journal *j, const struct loss_item *item)
{
    return item->kind >= ITEM_PING || j->got[item->number];
}

/* The client tells how many stanzas it has. */
static void acknowledged(uint32_t h)
{
    struct loss_session *s = current();
    uint32_t before = s->out - s->queued, n = h - before;
    if ((int32_t)n < 0 && loss.power_failed) {
        loss.goes_back = true; /* that has to be found out */
        return;
    }
    if (n > s->queued) {
        loss_fail("the client acknowledges %u, it was sent %u and had acknowledged %u", h, s->out, before);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        if (!server_took(&loss.journal, &s->queue[i]) && !loss.power_failed)
            loss_fail("the client acknowledges number %u, which the application never got",
                      s->queue[i].number);
    memmove(s->queue, s->queue + n, (s->queued - n) * sizeof *s->queue);
    s->queued -= n;
}

static void bind_new(void)
{
    if (loss.known && is(W_SM) && !loss.asked_resume)
        loss_fail("session %u is not resumed", loss.known);
    for (unsigned i = 1; i <= loss.session_count; i++)
        session_end(i);
    if (loss.session_count + 1 == LOSS_SESSIONS) {
        loss_fail("too many sessions");
        return;
    }
    loss.session = ++loss.session_count;
    memset(&loss.sessions[loss.session], 0, sizeof loss.sessions[0]);
    loss.sessions[loss.session].alive = true;
    loss.known = 0;
    loss_told();
}

/* Begins to count; the answer is the caller's to send. */
static void enable(const char *tag, char *text, size_t size)
{
    struct loss_session *s = current();
    char value[16];
    s->counts = true;
    s->in = s->out = 0;
    s->lasts = attr(tag, "resume", value, sizeof value) && strcmp(value, "true") == 0;
    if (s->lasts)
        snprintf(text, size, "<enabled xmlns='" NS_SM "' id='sm-%u' resume='true' max='300'/>", loss.session);
    else
        snprintf(text, size, "<enabled xmlns='" NS_SM "'/>");
}

/* From what is sent now on, the client can come back to its session. */
static void enabled(void)
{
    if (current()->lasts && !loss.silent) {
        loss.enabled = loss.session;
        loss.enabled_at = loss.sent_down;
        loss.granted = is(W_SASL2) ? loss.session : 0;
    }
}

/* Takes up a session, or says why not. */
static bool resume(const char *tag, char *text, size_t size)
{
    char id[16] = "";
    uint32_t h = 0;
    unsigned n;
    loss.asked_resume = true;
    if (!attr(tag, "previd", id, sizeof id) || !number_attr(tag, "h", &h)) {
        loss_fail("a resumption of nothing");
        return false;
    }
    n = (unsigned)strtoul(id + 3, NULL, 10);
    if (n == loss.maybe)
        loss.known = n;
    if (n != loss.known && (loss.known || (n <= loss.session_count && loss.sessions[n].alive)))
        loss_fail("session %u is resumed, not %u", n, loss.known);
    if (n == 0 || n > loss.session_count || !loss.sessions[n].lasts) {
        loss_fail("there was no session %s", id);
        return false;
    }
    if (!loss.sessions[n].alive) {
        loss.known = 0;
        if (is(W_TELLS))
            snprintf(text, size,
                     "<failed xmlns='" NS_SM "' h='%u'><item-not-found "
                     "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
                     loss.sessions[n].in);
        else
            snprintf(text, size,
                     "<failed xmlns='" NS_SM "'><item-not-found "
                     "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
        return false;
    }
    loss.session = n;
    acknowledged(h);
    snprintf(text, size, "<resumed xmlns='" NS_SM "' previd='%s' h='%u'/>", id, loss.sessions[n].in);
    return true;
}

/* What was not acknowledged comes again. */
static void again(void)
{
    struct loss_session *s = current();
    char text[256];
    for (unsigned i = 0; i < s->queued; i++) {
        item_text(&s->queue[i], text, sizeof text);
        if (s->queue[i].kind == ITEM_QUERY)
            loss.emitted[s->queue[i].number]++;
        server_say(text);
    }
    if (s->queued)
        ask();
}

void server_open(void)
{
    server_lost();
    loss.link = true;
    loss.tls = !is(W_START);
    loss.authenticated = loss.inline_bound = loss.asked_resume = loss.closing = loss.ends = false;
    loss.session = loss.enabled = loss.granted = 0;
    loss.inactive = false;
    unit_len = loss.scan = loss.depth = 0;
    loss.in_tag = false;
    loss.quote = 0;
}

void server_lost(void)
{
    loss.link = false;
    if (loss.session && (is(W_SHORT_LIVED) || !current()->lasts))
        session_end(loss.session);
    loss.session = 0;
}

void server_forget(bool tokens, bool rst)
{
    for (unsigned i = 1; i <= loss.session_count; i++)
        session_end(i);
    if (tokens)
        loss.token += 10;
    loss.token_before = tokens ? loss.token : loss.token_before;
    loss.session = 0;
    if (rst)
        loss.link = false;
}

bool server_settled(void)
{
    struct loss_session *s = current();
    bool acked = true;
    for (unsigned i = 0; s && i < s->queued; i++)
        acked &= s->queue[i].kind == ITEM_RESULT && s->queue[i].number == 0; /* a pong may stay */
    return loss.link && s && loss.offline_count == 0 && (acked || is(W_QUIET));
}

void server_tick(void)
{
    struct loss_session *s = current();
    if (loss.link && !loss.silent && s && s->counts && s->queued && !loss.closing && !is(W_QUIET) &&
        loss.now - loss.asked_at >= ASK_AGAIN)
        ask();
}

/* ---- What the client says ---- */

static void header(void)
{
    say("<?xml version='1.0'?><stream:stream from='" DOMAIN "' id='s' version='1.0' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>");
    if (!loss.tls) {
        say("<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>");
    } else if (loss.authenticated) {
        say("<stream:features><bind xmlns='" NS_BIND "'/>%s<csi xmlns='urn:xmpp:csi:0'/></stream:features>",
            is(W_SM) ? "<sm xmlns='" NS_SM "'/>" : "");
    } else {
        say("<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
            "<mechanism>EXTERNAL</mechanism></mechanisms>");
        if (is(W_SASL2))
            say("<authentication xmlns='" NS_SASL2 "'><mechanism>EXTERNAL</mechanism><inline>"
                "<bind xmlns='urn:xmpp:bind:0'><inline>%s<feature var='urn:xmpp:csi:0'/></inline></bind>%s%s"
                "</inline></authentication>",
                is(W_SM) ? "<feature var='" NS_SM "'/>" : "",
                is(W_FAST) ? "<fast xmlns='" NS_FAST "'><mechanism>HT-SHA-256-ENDP</mechanism></fast>" : "",
                is(W_SM) ? "<sm xmlns='" NS_SM "'/>" : "");
        say("</stream:features>");
    }
}

/* [XEP-0388], with all it carries. */
static void authenticate(void)
{
    char mechanism[32] = "", wanted[128], given[160] = "", children[1024], text[256] = "", more[256] = "";
    const char *p, *bind = strstr(unit, "<bind "), *res = strstr(unit, "<resume ");
    bool token, fits, ask_token = strstr(unit, "<request-token ") != NULL, resumed;
    attr(unit, "mechanism", mechanism, sizeof mechanism);
    token = strncmp(mechanism, "HT-", 3) == 0;
    p = strstr(unit, "<initial-response>");
    if (p)
        snprintf(given, sizeof given, "%.*s", (int)strcspn(p + 18, "<"), p + 18);
    children[0] = 0;
    if (token) {
        proof("Initiator", loss.token, wanted);
        fits = strcmp(wanted, given) == 0;
        if (!fits && loss.token_before) {
            proof("Initiator", loss.token_before, wanted);
            fits = strcmp(wanted, given) == 0;
            if (fits)
                loss.token = loss.token_before; /* the last one never arrived */
        }
        if (!fits) {
            say("<failure xmlns='" NS_SASL2 "'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
                "</failure>");
            return;
        }
        proof("Responder", loss.token, wanted);
        snprintf(children, sizeof children, "<additional-data>%s</additional-data>", wanted);
    }
    loss.authenticated = true;
    if (ask_token || (token && is(W_ROTATE))) {
        snprintf(more, sizeof more, "<token xmlns='" NS_FAST "' token='secret-token:%u'/>", loss.token + 1);
        loss.token_before = loss.token;
        loss.token++;
    }
    resumed = res && resume(res, text, sizeof text);
    if (!resumed && bind) {
        const char *e = strstr(bind, "<enable xmlns='" NS_SM "'");
        char counted[256] = "";
        bind_new();
        if (e && loss.session)
            enable(e, counted, sizeof counted);
        loss.inactive = strstr(bind, "<inactive ") != NULL;
        say("<success xmlns='" NS_SASL2 "'>%s%s<bound xmlns='urn:xmpp:bind:0'>%s</bound>%s"
            "<authorization-identifier>" FULL "</authorization-identifier></success>",
            text, children, counted, more);
        if (loss.session)
            enabled();
    } else {
        say("<success xmlns='" NS_SASL2 "'>%s<authorization-identifier>" FULL
            "</authorization-identifier>%s%s</success>",
            more, text, children);
    }
    if (is(W_LATE) || !loss.session)
        say("<stream:features><bind xmlns='" NS_BIND "'/>%s<csi xmlns='urn:xmpp:csi:0'/></stream:features>",
            is(W_SM) ? "<sm xmlns='" NS_SM "'/>" : "");
    if (resumed)
        again();
    flush();
    if (!is(W_LATE) && loss.session)
        say("<stream:features><sm xmlns='" NS_SM "'/><csi xmlns='urn:xmpp:csi:0'/></stream:features>");
}

/* One of the application's stanzas has arrived. */
static void handled(unsigned n)
{
    struct loss_session *s = current();
    if (n == 0 || n >= LOSS_STANZAS || n > loss.serial) {
        loss_fail("number %u was never sent", n);
        return;
    }
    if (loss.handled[n] &&
        (!is(W_RESEND) || loss.handled_in[n] == loss.session || loss.sessions[loss.handled_in[n]].alive))
        loss_fail("number %u arrives twice, in session %u and %u", n, loss.handled_in[n], loss.session);
    if (loss.handled[n] && loss.loaded[n])
        loss_fail("number %u was loaded, and is sent again", n);
    if (n <= s->last)
        loss_fail("number %u arrives after %u", n, s->last);
    if (!loss.handled[n]) {
        if (n < loss.last_first)
            loss_fail("number %u arrives for the first time after %u", n, loss.last_first);
        loss.last_first = n;
        loss.handled_in[n] = (uint8_t)loss.session;
        loss.handled_at[n] = ++loss.clock;
    }
    s->last = n;
    loss.handled[n]++;
}

static void stanza(void)
{
    struct loss_session *s = current();
    char id[32] = "", to[32] = DOMAIN;
    const char *p;
    struct loss_item result;
    if (s == NULL) {
        loss_fail("a stanza without a session: %.60s", unit);
        return;
    }
    s->in++;
    attr(unit, "id", id, sizeof id);
    attr(unit, "to", to, sizeof to);
    if (strncmp(unit, "<iq", 3) != 0) {
        p = strstr(unit, "<body>");
        p = p ? p + 6 : strstr(unit, "<status>") ? strstr(unit, "<status>") + 8 : "0";
        handled((unsigned)strtoul(p, NULL, 10));
        return;
    }
    if (strstr(unit, "type='result'") || strstr(unit, "type='error'")) {
        unsigned n = (unsigned)strtoul(id + 1, NULL, 10);
        if (id[0] == 'q' && n < LOSS_STANZAS) {
            if (++loss.replied[n] > loss.emitted[n])
                loss_fail("query %u is answered twice", n);
        } else if (id[0] == 'p') {
            loss.pings++;
        }
        if (strstr(unit, "type='error'"))
            loss_fail("an error is sent: %.100s", unit);
        loss.stack_at[loss.session] = ++loss.clock;
        return;
    }
    memset(&result, 0, sizeof result);
    result.kind = ITEM_RESULT;
    snprintf(result.id, sizeof result.id, "%.23s", id);
    snprintf(result.to, sizeof result.to, "%.23s", to);
    p = strstr(unit, "xmlns='urn:loss'");
    if (p) {
        uint32_t n = 0;
        number_attr(strstr(unit, "<q "), "n", &n);
        handled(n);
        result.number = n;
    } else {
        loss.stack_at[loss.session] = ++loss.clock;
    }
    deliver(&result);
    if (s->counts)
        ask();
}

static void closed(void)
{
    if (loss.session)
        session_end(loss.session);
    if (!loss.closing)
        server_say("</stream:stream>");
    loss.closing = loss.ends = true;
}

static void one_unit(void)
{
    char text[512] = "";
    uint32_t h;
    loss_see("C: %s", unit);
    if (strncmp(unit, "<?xml", 5) == 0) {
        header();
        return;
    }
    if (strcmp(unit, "</stream:stream>") == 0) {
        closed();
        return;
    }
    if (loss.closing)
        return;
    if (strncmp(unit, "<stream:error", 13) == 0) {
        if (strstr(unit, "handled-count-too-high"))
            loss.rollbacks++;
        else if (!strstr(unit, "connection-timeout"))
            loss_fail("the client says %s", unit);
        return;
    }
    if (!loss.tls) {
        if (strncmp(unit, "<starttls ", 10) != 0)
            loss_fail("sent before TLS: %.60s", unit);
        say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        loss.tls = true;
        return;
    }
    if (strncmp(unit, "<auth ", 6) == 0) {
        loss.authenticated = true;
        say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        return;
    }
    if (strncmp(unit, "<authenticate ", 14) == 0) {
        authenticate();
        return;
    }
    if (!loss.authenticated) {
        loss_fail("sent before the login: %.60s", unit);
        return;
    }
    if (strstr(unit, "<bind xmlns='" NS_BIND "'")) {
        bind_new();
        say("<iq type='result' id='bind'><bind xmlns='" NS_BIND "'><jid>" FULL "</jid></bind></iq>");
        flush();
    } else if (strncmp(unit, "<resume ", 8) == 0) {
        if (loss.session)
            loss_fail("resumed and bound");
        if (resume(unit, text, sizeof text)) {
            server_say(text);
            again();
        } else {
            server_say(text);
        }
    } else if (strncmp(unit, "<enable ", 8) == 0) {
        if (current() == NULL || current()->counts || !is(W_SM)) {
            loss_fail("enabled out of turn");
            return;
        }
        enable(unit, text, sizeof text);
        server_say(text);
        enabled();
        flush();
    } else if (strncmp(unit, "<r ", 3) == 0) {
        if (current() == NULL || !current()->counts)
            loss_fail("asked before it counts");
        else
            say("<a xmlns='" NS_SM "' h='%u'/>", current()->in);
    } else if (strncmp(unit, "<a ", 3) == 0) {
        if (current() == NULL || !current()->counts || !number_attr(unit, "h", &h))
            loss_fail("acknowledged before it counts");
        else
            acknowledged(h);
    } else if (strncmp(unit, "<inactive ", 10) == 0 || strncmp(unit, "<active ", 8) == 0) {
        if (loss.inactive == (unit[1] == 'i'))
            loss_fail("told twice whether anybody looks");
        loss.inactive = unit[1] == 'i';
    } else if (strncmp(unit, "<message", 8) == 0 || strncmp(unit, "<presence", 9) == 0 ||
               strncmp(unit, "<iq", 3) == 0) {
        stanza();
    } else {
        loss_fail("not understood: %.60s", unit);
    }
}

/* Takes what the client sent, unit by unit. */
void server_feed(const char *p, size_t len)
{
    for (size_t i = 0; i < len && loss.link; i++) {
        char c = p[i];
        bool ends = false;
        if (unit_len == 0 && c == ' ')
            continue;
        if (unit_len + 2 > sizeof unit) {
            loss_fail("a unit that does not end");
            return;
        }
        unit[unit_len++] = c;
        if (loss.quote) {
            if (c == loss.quote)
                loss.quote = 0;
        } else if (loss.in_tag && c == '\'') {
            loss.quote = c;
        } else if (c == '<') {
            loss.in_tag = true;
            loss.scan = unit_len - 1;
        } else if (c == '>') {
            const char *tag = unit + loss.scan;
            loss.in_tag = false;
            unit[unit_len] = 0;
            if (tag[1] == '?')
                continue;
            if (tag[1] == '/') {
                ends = loss.depth == 0 || --loss.depth == 0;
            } else if (unit[unit_len - 2] == '/') {
                ends = loss.depth == 0;
            } else if (strncmp(tag, "<stream:stream", 14) == 0) {
                ends = true;
            } else {
                loss.depth++;
            }
        }
        if (ends) {
            one_unit();
            unit_len = 0;
            loss.activity++;
            loss.units++;
            for (int f = 0; f < 2; f++) {
                struct loss_fault *fault = &loss.faults[f];
                if (fault->kind < LOSS_RESTART || fault->kind > LOSS_FORGET || loss.units != fault->at)
                    continue;
                loss_see("the server starts anew");
                if (fault->kind == LOSS_SHUTDOWN) {
                    loss.errors |= UINT64_C(1) << (XMPP_TINY_ERR_STREAM + 64);
                    if (!loss.session) /* it says more than it was asked for */
                        loss.errors |= UINT64_C(1) << (XMPP_TINY_ERR_UNEXPECTED + 64);
                    server_say("<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                               "</stream:error></stream:stream>");
                    loss.closing = loss.ends = true;
                    server_forget(false, false);
                    if (loss.connections > 1)
                        loss.given_up = true;
                } else {
                    loss.errors |= UINT64_C(1) << (XMPP_TINY_ERR_LOST + 64);
                    loss.reset = true;
                    server_forget(fault->kind == LOSS_FORGET, true);
                }
                fault->kind = LOSS_NONE;
            }
        }
    }
}
