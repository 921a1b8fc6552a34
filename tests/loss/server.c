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
#define ASK_AGAIN 3000 /* ms after which an unanswered <r/> is repeated */

/* Cuts a stream into units: tags and elements right below its root. */
struct reader {
    size_t len, scan, depth;
    char quote;
    bool in_tag;
    char at[LOSS_PIPE];
};
static struct reader reader, up, down; /* ours; of what is overheard */
static char *const unit = reader.at;

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

static void reader_reset(struct reader *r)
{
    memset(r, 0, offsetof(struct reader, at));
}

/* One more byte. True when it ends a unit, which is a string then. */
static bool unit_ends(struct reader *r, char c)
{
    bool ends = false;
    const char *tag = r->at + r->scan;
    if (r->len == 0 && (c == ' ' || c == '\n'))
        return false;
    if (r->len + 2 > sizeof r->at) {
        if (r == &reader)
            loss_fail("a unit that does not end");
        loss.lost_track = true;
        return false;
    }
    r->at[r->len++] = c;
    if (r->quote) {
        if (c == r->quote)
            r->quote = 0;
    } else if (r->in_tag && (c == '\'' || c == '"')) {
        r->quote = c;
    } else if (c == '<') {
        r->in_tag = true;
        r->scan = r->len - 1;
    } else if (c == '>' && r->in_tag) {
        r->in_tag = false;
        r->at[r->len] = 0;
        if (tag[1] == '?' || tag[1] == '!')
            return false;
        if (tag[1] == '/')
            ends = r->depth == 0 || --r->depth == 0;
        else if (r->at[r->len - 2] == '/')
            ends = r->depth == 0;
        else if (strncmp(tag, "<stream:stream", 14) == 0)
            ends = true;
        else
            r->depth++;
    }
    return ends;
}

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
    if (item->text) {
        snprintf(text, size, "%s", item->text);
        return;
    }
    switch (item->kind) {
    case ITEM_MESSAGE:
        snprintf(text, size, "<message from='romeo@example.net'><body>%u</body></message>", item->number);
        break;
    case ITEM_PRESENCE:
        snprintf(text, size, "<presence from='romeo@example.net/x'><status>%u</status></presence>",
                 item->number);
        break;
    case ITEM_QUERY:
        snprintf(text, size, "<iq type='get' id='q%u' from='%s'><q xmlns='urn:loss' n='%u'/></iq>",
                 item->number, loss.domain, item->number);
        break;
    case ITEM_PING:
        snprintf(text, size, "<iq type='get' id='p%u' from='%s'><ping xmlns='urn:xmpp:ping'/></iq>",
                 item->number, loss.domain);
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
        if (s->queue[i].kind < ITEM_PING && loss.hears)
            loss.droppable[s->queue[i].number] = true;
        else if (s->queue[i].kind < ITEM_PING)
            put_offline(&s->queue[i], at++);
    s->queued = 0;
    if (loss.session == n)
        loss.session = 0;
}

static void deliver(const struct loss_item *item)
{
    struct loss_session *s = current();
    char text[LOSS_PIPE / 2];
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
    s->repeated -= s->repeated < n ? s->repeated : n;
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
    snprintf(s->id, sizeof s->id, "%s-%u", is(W_HEARD) ? "model" : "sm", loss.session);
    if (s->lasts)
        snprintf(text, size, "<enabled xmlns='" NS_SM "' id='%s' resume='true' max='300'/>", s->id);
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

/* The last session that is resumed by this; 0: none. */
static unsigned session_called(const char *id)
{
    unsigned n = loss.session_count;
    while (n && strcmp(loss.sessions[n].id, id) != 0)
        n--;
    return n;
}

/* Takes up a session, or says why not. */
static bool resume(const char *tag, char *text, size_t size)
{
    char id[sizeof loss.sessions[0].id] = "";
    uint32_t h = 0;
    unsigned n;
    loss.asked_resume = true;
    if (!attr(tag, "previd", id, sizeof id) || !number_attr(tag, "h", &h)) {
        loss_fail("a resumption of nothing");
        return false;
    }
    n = session_called(id);
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
    char text[LOSS_PIPE / 2];
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
    reader_reset(&reader);
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
    say("<?xml version='1.0'?><stream:stream from='%s' id='s' version='1.0' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>",
        loss.domain);
    if (!loss.tls) {
        say("<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>");
    } else if (loss.authenticated) {
        say("<stream:features><bind xmlns='" NS_BIND "'/>%s<csi xmlns='urn:xmpp:csi:0'/></stream:features>",
            is(W_SM) ? "<sm xmlns='" NS_SM "'/>" : "");
    } else {
        say("<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
            "<mechanism>EXTERNAL</mechanism>%s</mechanisms>",
            is(W_HEARD) ? "<mechanism>ANONYMOUS</mechanism>" : "");
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
            "<authorization-identifier>" USER "@%s/balcony</authorization-identifier></success>",
            text, children, counted, more, loss.domain);
        if (loss.session)
            enabled();
    } else {
        say("<success xmlns='" NS_SASL2 "'>%s<authorization-identifier>" USER
            "@%s/balcony</authorization-identifier>%s%s</success>",
            more, loss.domain, text, children);
    }
    if (is(W_LATE) || !loss.session)
        say("<stream:features><bind xmlns='" NS_BIND "'/>%s<csi xmlns='urn:xmpp:csi:0'/></stream:features>",
            is(W_SM) ? "<sm xmlns='" NS_SM "'/>" : "");
    if (resumed)
        again();
    flush();
    if (!is(W_LATE) && loss.session)
        say("<stream:features>%s<csi xmlns='urn:xmpp:csi:0'/></stream:features>",
            is(W_SM) ? "<sm xmlns='" NS_SM "'/>" : "");
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

/* The number of a stanza by its text: of those that are alike the first that it can be; 0: none. */
static unsigned number_of(const char *text)
{
    const struct loss_session *s = current();
    unsigned seen = 0;
    for (unsigned n = s->last + 1; n <= loss.serial; n++)
        if (loss.sent_text[n] && strcmp(loss.sent_text[n], text) == 0) {
            if (!loss.handled[n])
                return n;
            seen = seen ? seen : n;
        }
    for (unsigned n = 1; n <= loss.serial && !seen; n++)
        if (loss.sent_text[n] && strcmp(loss.sent_text[n], text) == 0)
            seen = n;
    return seen;
}

static void stanza(void)
{
    struct loss_session *s = current();
    char id[32] = "", to[64] = "";
    const char *p;
    struct loss_item result;
    unsigned heard;
    if (s == NULL) {
        loss_fail("a stanza without a session: %.60s", unit);
        return;
    }
    s->in++;
    snprintf(to, sizeof to, "%s", loss.domain);
    attr(unit, "id", id, sizeof id);
    attr(unit, "to", to, sizeof to);
    heard = is(W_HEARD) ? number_of(unit) : 0;
    if (is(W_HEARD) && strncmp(unit, "<iq", 3) != 0) {
        if (heard)
            handled(heard);
        else if (strstr(unit, "type='error'") == NULL)
            loss_fail("never accepted: %.100s", unit);
        return;
    }
    if (strncmp(unit, "<iq", 3) != 0) {
        p = strstr(unit, "<body>");
        p = p ? p + 6 : strstr(unit, "<status>") ? strstr(unit, "<status>") + 8 : "0";
        handled((unsigned)strtoul(p, NULL, 10));
        return;
    }
    if (heard)
        handled(heard);
    if (strstr(unit, "type='result'") || strstr(unit, "type='error'")) {
        unsigned n = (unsigned)strtoul(id + 1, NULL, 10);
        if (id[0] == 'q' && n < LOSS_STANZAS) {
            if (++loss.replied[n] > loss.emitted[n])
                loss_fail("query %u is answered twice", n);
        } else if (id[0] == 'p') {
            loss.pings++;
        }
        if (strstr(unit, "type='error'") && !is(W_HEARD))
            loss_fail("an error is sent: %.100s", unit);
        loss.stack_at[loss.session] = ++loss.clock;
        return;
    }
    memset(&result, 0, sizeof result);
    result.kind = ITEM_RESULT;
    snprintf(result.id, sizeof result.id, "%.23s", id);
    snprintf(result.to, sizeof result.to, "%s", to);
    p = strstr(unit, "xmlns='urn:loss'");
    if (p) {
        uint32_t n = 0;
        number_attr(strstr(unit, "<q "), "n", &n);
        if (!heard)
            handled(n);
        result.number = n;
    } else if (heard) {
        result.number = heard;
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
        say("<iq type='result' id='bind'><bind xmlns='" NS_BIND "'><jid>" USER
            "@%s/balcony</jid></bind></iq>",
            loss.domain);
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
        if (is(W_HEARD) && !is(W_SM)) { /* as it was there before */
            say("<failed xmlns='" NS_SM "'/>");
            flush();
            return;
        }
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
        if (unit_ends(&reader, p[i])) {
            one_unit();
            reader_reset(&reader);
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

/* ---- Overheard ---- */

/* One of the application's numbers, or 0 for what counts only, has come in. */
static void heard_in(unsigned n)
{
    struct loss_session *s = current();
    if (n)
        handled(n);
    else
        loss.stack_at[loss.session] = ++loss.clock;
    if (!s->counts)
        return;
    s->in++;
    if (s->logged == LOSS_LOG)
        memmove(s->log, s->log + 1, --s->logged);
    s->log[s->logged++] = (uint8_t)n;
}

/* The transcript says that so many have come in: what is behind them was lost on the way. */
static void heard_count(struct loss_session *s, uint32_t h)
{
    uint32_t less = s->in - h;
    if (less > s->logged)
        return; /* a lie */
    loss.took_back |= less > 0;
    for (; less; less--, s->in--) {
        unsigned n = s->log[--s->logged];
        if (n)
            loss.handled[n]--;
    }
    s->last = loss.last_first = 0;
    for (unsigned i = 0; i < s->logged; i++)
        s->last = s->log[i] ? s->log[i] : s->last;
    for (unsigned n = 1; n <= loss.serial; n++)
        loss.last_first = loss.handled[n] ? n : loss.last_first;
}

/* The client gives its session up, or may. */
static void heard_end(void)
{
    if (loss.session)
        session_end(loss.session);
}

static void heard_new(void)
{
    bind_new();
    loss.resumes[0] = 0;
}

static void heard_enabled(const char *tag)
{
    struct loss_session *s = current();
    char value[16] = "";
    if (s == NULL || !s->counts)
        return;
    s->enabled = true;
    s->lasts = s->asked && attr(tag, "resume", value, sizeof value) &&
               (strcmp(value, "true") == 0 || strcmp(value, "1") == 0) &&
               attr(tag, "id", s->id, sizeof s->id) && s->id[0] && strlen(s->id) + 1 < sizeof s->id;
    for (unsigned n = 1; n < loss.session; n++)
        if (s->lasts && strcmp(loss.sessions[n].id, s->id) == 0)
            loss.blob_count = 0; /* what was saved would take one for the other */
    if (s->lasts)
        loss.maybe = loss.session;
    else
        s->id[0] = 0;
}

static void heard_enable(bool lasts)
{
    struct loss_session *s = current();
    if (s && !s->counts) {
        s->counts = true;
        s->in = s->out = 0;
        s->asked = lasts;
    }
}

static void heard_resumed(const char *tag)
{
    char id[sizeof loss.resumes] = "";
    uint32_t h = 0;
    unsigned n;
    if (!attr(tag, "previd", id, sizeof id) || !number_attr(tag, "h", &h) || strcmp(id, loss.resumes) != 0)
        return;
    n = session_called(id);
    loss.resumes[0] = 0;
    if (n == 0)
        return;
    if (!loss.sessions[n].alive) { /* though its stream was closed */
        loss.sessions[n].alive = true;
        loss.sessions[n].out = loss.resumes_at;
    }
    loss.session = n;
    acknowledged(loss.resumes_at);
    loss.sessions[n].repeated = 0;
    loss.sessions[n].enabled = true;
    heard_count(&loss.sessions[n], h);
}

static void heard_failed(const char *tag)
{
    uint32_t h = 0;
    unsigned n = loss.resumes[0] ? session_called(loss.resumes) : 0;
    if (n) {
        if (number_attr(tag, "h", &h))
            heard_count(&loss.sessions[n], h);
        session_end(n);
    } else if (current() && !current()->enabled) {
        current()->counts = false;
    }
    loss.resumes[0] = 0;
}

static void heard_resume(const char *tag)
{
    loss.resumes[0] = 0;
    loss.resumes_at = 0;
    if (tag && attr(tag, "previd", loss.resumes, sizeof loss.resumes))
        number_attr(tag, "h", &loss.resumes_at);
}

static void heard_from_client(const char *text)
{
    uint32_t h;
    if (strncmp(text, "<stream:error", 13) == 0 || strncmp(text, "</stream:stream>", 16) == 0) {
        heard_end();
    } else if (strncmp(text, "<authenticate ", 14) == 0) {
        heard_resume(strstr(text, "<resume "));
        loss.binds = strstr(text, "<bind ") != NULL;
        loss.asks_to_last = strstr(text, "resume='true'") != NULL;
    } else if (strstr(text, "<bind xmlns='" NS_BIND "'")) {
        heard_new();
    } else if (strncmp(text, "<resume ", 8) == 0) {
        heard_resume(text);
    } else if (strncmp(text, "<enable ", 8) == 0) {
        heard_enable(strstr(text, "resume='true'") != NULL);
    } else if (strncmp(text, "<a ", 3) == 0 && current() && current()->enabled) {
        if (number_attr(text, "h", &h))
            acknowledged(h);
    } else if (loss.session && (strncmp(text, "<message", 8) == 0 || strncmp(text, "<presence", 9) == 0 ||
                                strncmp(text, "<iq", 3) == 0)) {
        heard_in(number_of(text));
    }
}

/* With any prefix. */
static bool is_named(const char *text, const char *name)
{
    size_t len = strcspn(text, ": />");
    text += text[len] == ':' ? len + 1 : 1;
    return strncmp(text, name, strlen(name)) == 0;
}

/* A stanza for the client. After a resumption those come first that it did not acknowledge, or they are lost.
 */
static void heard_stanza(const char *text)
{
    struct loss_session *s = current();
    struct loss_item item;
    if (s && s->repeated < s->queued && strcmp(s->queue[s->repeated].text, text) == 0) {
        s->repeated++;
        return;
    }
    while (s && s->repeated < s->queued) {
        loss.lost_track |= loss.blob_count > 0; /* for a client that saves the transcript would repeat more */
        s->out--;
        loss.droppable[s->queue[--s->queued].number] = true;
    }
    memset(&item, 0, sizeof item);
    item.kind = is_named(text, "iq") ? ITEM_RESULT : ITEM_MESSAGE;
    item.text = loss_keep(text);
    if (item.kind == ITEM_MESSAGE) {
        if (loss.numbers + 16 >= LOSS_STANZAS) {
            loss.lost_track = true;
            return;
        }
        item.number = ++loss.numbers;
        loss.kinds[item.number] = ITEM_MESSAGE;
        loss.said_text[item.number] = item.text;
    }
    if (s && s->enabled && s->queued < LOSS_STANZAS / 2) {
        s->queue[s->queued++] = item;
        s->repeated = s->queued;
        s->out++;
    } else {
        loss.droppable[item.number] = true;
        loss.lost_track |= s && s->enabled;
    }
}

static void heard_from_server(const char *text)
{
    char id[16] = "", type[16] = "";
    attr(text, "id", id, sizeof id);
    attr(text, "type", type, sizeof type);
    if (strncmp(text, "<stream:features", 16) == 0) {
        loss.sasl2 |= strstr(text, "<authentication ") != NULL;
    } else if (strncmp(text, "<success", 8) == 0 && strstr(text, NS_SASL2)) {
        if (strstr(text, "<resumed "))
            heard_resumed(strstr(text, "<resumed "));
        else if (strstr(text, "<failed ") && loss.resumes[0])
            heard_failed(strstr(text, "<failed "));
        if (strstr(text, "<bound ") && loss.binds && loss.session == 0) {
            heard_new();
            if (strstr(text, "<enabled ")) {
                heard_enable(loss.asks_to_last);
                heard_enabled(strstr(text, "<enabled "));
            }
        }
    } else if (strncmp(text, "<enabled", 8) == 0) {
        if (current() && !current()->enabled)
            heard_enabled(text);
    } else if (strncmp(text, "<resumed", 8) == 0) {
        heard_resumed(text);
    } else if (strncmp(text, "<failed", 7) == 0) {
        heard_failed(text);
    } else if (is_named(text, "iq") && strcmp(id, "bind") == 0) {
        if (strcmp(type, "error") == 0)
            heard_end();
    } else if (is_named(text, "message") || is_named(text, "presence") || is_named(text, "iq")) {
        heard_stanza(text);
    }
}

void server_hear(void)
{
    reader_reset(&up);
    reader_reset(&down);
    server_lost();
    loss.resumes[0] = 0;
    loss.link = true;
}

void server_heard_up(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (unit_ends(&up, p[i])) {
            heard_from_client(up.at);
            reader_reset(&up);
        }
}

void server_heard_down(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (unit_ends(&down, p[i])) {
            heard_from_server(down.at);
            reader_reset(&down);
        }
}
