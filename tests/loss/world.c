/* SPDX-License-Identifier: MIT
 *
 * The transport, the application and the run of the link-loss tests.
 */
#include "loss.h"

#include "port/bearssl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BINDING       "end-point"
#define TIMEOUT_MS    10000U
#define RX_SIZE       1400
#define POLLS_MAX     6000
#define TIME_MAX      (2U * 3600 * 1000)
#define CONNECTS_MAX  40
#define FILL          0xA5 /* of memory that was never used */
#define KEPT          (1 << 17)
#define ERR_BIT(name) (UINT64_C(1) << (XMPP_TINY_ERR_##name + 64))

struct loss_world loss;

static bool is(uint32_t flag)
{
    return (loss.scenario->flags & flag) != 0;
}

/* The first failure counts; the run is over. */
void loss_fail(const char *format, ...)
{
    va_list args;
    if (loss.failed)
        return;
    loss.failed = true;
    va_start(args, format);
    vsnprintf(loss.why, sizeof loss.why, format, args);
    va_end(args);
    loss_see("FAILED: %s", loss.why);
}

void loss_see(const char *format, ...)
{
    va_list args;
    if (!loss.verbose)
        return;
    printf("    %7u ", loss.now - loss.begun);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

/* The application is told that what it has forgotten may be lost. */
void loss_told(void)
{
    for (unsigned n = 1; n <= loss.numbers; n++)
        loss.told[n] |= loss.ghost[n];
}

/* ---- Faults of the transport ---- */

static bool strikes(enum loss_kind first, enum loss_kind last, unsigned at, enum loss_kind *kind)
{
    for (int i = 0; i < 2; i++) {
        struct loss_fault *f = &loss.faults[i];
        if (f->kind >= first && f->kind <= last && f->at == at) {
            *kind = f->kind;
            f->kind = LOSS_NONE;
            return true;
        }
    }
    return false;
}

/* How many of n bytes pass before the next fault of these kinds. */
static size_t passes(enum loss_kind first, enum loss_kind last, unsigned at, size_t n)
{
    for (int i = 0; i < 2; i++) {
        const struct loss_fault *f = &loss.faults[i];
        if (f->kind >= first && f->kind <= last && f->at >= at && f->at - at < n)
            n = f->at - at;
    }
    return n;
}

/* The connection ends as the fault's kind says. */
static void cut(enum loss_kind kind)
{
    loss_see("cut: %s", kind == LOSS_UP_RESET || kind == LOSS_DOWN_RESET ? "reset"
                        : kind == LOSS_UP_END || kind == LOSS_DOWN_END   ? "end"
                                                                         : "silence");
    if (kind == LOSS_UP_RESET || kind == LOSS_DOWN_RESET) {
        loss.errors |= ERR_BIT(LOST);
        loss.reset = true;
        loss.to_client.from = loss.to_client.to;
    } else if (kind == LOSS_UP_END || kind == LOSS_DOWN_END) {
        loss.errors |= ERR_BIT(ENDED);
        loss.ended = true;
    } else {
        loss.errors |= ERR_BIT(TIMEOUT);
        loss.silent = true;
    }
    loss.to_server.from = loss.to_server.to;
    server_lost();
}

/* The server takes what is on its way to it. */
static void server_runs(void)
{
    struct loss_pipe *p = &loss.to_server;
    enum loss_kind kind;
    while (loss.link && !loss.silent && p->from < p->to) {
        size_t n = passes(LOSS_UP_RESET, LOSS_UP_SILENT, loss.up, p->to - p->from);
        const char *from = p->at + p->from;
        p->from += n;
        loss.up += (unsigned)n;
        loss.activity++;
        server_feed(from, n);
        if (strikes(LOSS_UP_RESET, LOSS_UP_SILENT, loss.up, &kind))
            cut(kind);
    }
    if (!loss.link)
        p->from = p->to;
    if (p->from == p->to)
        p->from = p->to = 0;
    server_tick();
}

/* ---- The port ---- */

static void power_off(enum loss_kind kind)
{
    loss_see("power off");
    loss.power_kind = kind;
    longjmp(loss.power, 1);
}

/* What each call begins with: may it go on? */
static bool call(int *result)
{
    enum loss_kind kind;
    loss.calls++;
    if (strikes(LOSS_POWER_CALL, LOSS_POWER_CALL, loss.calls, &kind))
        power_off(kind);
    if (strikes(LOSS_CALL_AGAIN, LOSS_CALL_AGAIN, loss.calls, &kind))
        loss.patience = 30;
    if (strikes(LOSS_CALL_SHORT, LOSS_CALL_SHORT, loss.calls, &kind))
        loss.shorts = 60;
    if (strikes(LOSS_CALL_FAILS, LOSS_CALL_FAILS, loss.calls, &kind)) {
        loss_see("a call fails");
        loss.errors |= ERR_BIT(LOST);
        loss.reset = true;
        loss.to_client.from = loss.to_client.to;
        server_runs();
        server_lost();
    }
    if (loss.patience) {
        loss.patience--;
        *result = XMPP_TINY_IO_AGAIN;
        return false;
    }
    *result = XMPP_TINY_IO_FAILED;
    return !loss.reset;
}

static int port_open(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port)
{
    int r;
    (void)s;
    (void)host;
    (void)port;
    if (!loss.open) {
        loss.reset = loss.ended = loss.silent = loss.shut = loss.secured = false;
        loss.swallowed = 0;
    }
    if (!call(&r))
        return r;
    if (!loss.open) {
        if (++loss.connections > CONNECTS_MAX)
            loss_fail("it connects again and again");
        server_runs();
        loss.to_client.from = loss.to_client.to = loss.to_server.from = loss.to_server.to = 0;
        loss.sent_down = 0;
        loss.open = true;
        server_open();
        loss.activity++;
        return XMPP_TINY_IO_AGAIN;
    }
    loss.activity++;
    return 1;
}

static int port_secure(struct xmpp_tiny_stream *s, struct xmpp_tiny_str name)
{
    int r;
    (void)s;
    (void)name;
    if (!call(&r))
        return r;
    if (loss.silent)
        return XMPP_TINY_IO_AGAIN;
    loss.secured = true;
    loss.activity++;
    return 1;
}

/* What was read before this is handled by now. */
static void know(void)
{
    if (loss.read && !is(W_NO_SAVED))
        loss.known = loss.read;
    loss.read = 0;
}

static int port_read(struct xmpp_tiny_stream *s, void *buf, size_t len)
{
    struct loss_pipe *p = &loss.to_client;
    enum loss_kind kind;
    size_t n;
    int r;
    (void)s;
    know();
    if (!call(&r))
        return r;
    n = p->to - p->from < len ? p->to - p->from : len;
    if (loss.shorts && n) {
        loss.shorts--;
        n = 1;
    }
    if (!loss.silent && !loss.ended)
        n = passes(LOSS_DOWN_RESET, LOSS_DOWN_SILENT, loss.down, n);
    if (loss.silent)
        n = 0;
    if (n) {
        memcpy(buf, p->at + p->from, n);
        p->from += n;
        loss.down += (unsigned)n;
        loss.activity++;
    }
    if (loss.enabled && p->from >= loss.enabled_at) {
        loss.read = loss.granted ? 0 : loss.enabled;
        loss.enabled = 0;
    }
    if (!loss.silent && !loss.ended && strikes(LOSS_DOWN_RESET, LOSS_DOWN_SILENT, loss.down, &kind)) {
        server_runs();
        if (kind == LOSS_DOWN_END)
            p->to = p->from; /* what else was on its way is lost */
        cut(kind);
        if (n == 0 && kind == LOSS_DOWN_RESET)
            return XMPP_TINY_IO_FAILED;
    }
    if (n)
        return (int)n;
    if (!loss.silent && p->from == p->to && (loss.ended || loss.ends))
        return 0;
    return XMPP_TINY_IO_AGAIN;
}

static int port_write(struct xmpp_tiny_stream *s, const void *buf, size_t len)
{
    struct loss_pipe *p = &loss.to_server;
    size_t n = len;
    int r;
    (void)s;
    if (!call(&r))
        return r;
    if (loss.shorts) {
        loss.shorts--;
        n = 1;
    }
    loss.activity++;
    if (loss.silent) { /* there is room on the way */
        if (loss.swallowed >= 1024)
            return XMPP_TINY_IO_AGAIN;
        loss.swallowed += (unsigned)n;
        return (int)n;
    }
    if (loss.ended || loss.ends)
        return (int)n;
    if (p->to + n > sizeof p->at) {
        loss_fail("the client says too much");
        return XMPP_TINY_IO_FAILED;
    }
    memcpy(p->at + p->to, buf, n);
    p->to += n;
    return (int)n;
}

static int port_shut(struct xmpp_tiny_stream *s)
{
    int r;
    (void)s;
    if (!call(&r))
        return r;
    loss.shut = true;
    loss.activity++;
    return 1;
}

static void port_close(struct xmpp_tiny_stream *s)
{
    (void)s;
    loss.calls++;
    server_runs();
    if (loss.open && !loss.silent)
        server_lost();
    loss.open = loss.secured = false;
    loss.activity++;
}

static int port_binding(struct xmpp_tiny_stream *s, enum xmpp_tiny_binding type, uint8_t *out)
{
    unsigned patience;
    int r;
    (void)s;
    enum loss_kind kind;
    if (strikes(LOSS_CALL_FAILS, LOSS_CALL_FAILS, loss.calls + 1, &kind)) {
        loss.errors |= ERR_BIT(BINDING);
        loss.final = true; /* that cannot be mended */
        loss.calls++;
        return XMPP_TINY_IO_FAILED;
    }
    patience = loss.patience;
    loss.patience = 0;
    strikes(LOSS_CALL_AGAIN, LOSS_CALL_AGAIN, loss.calls + 1, &kind); /* it never says that */
    if (!call(&r) || type != XMPP_TINY_BINDING_TLS_SERVER_END_POINT)
        return XMPP_TINY_IO_FAILED;
    loss.patience = patience;
    memcpy(out, BINDING, sizeof BINDING - 1);
    return sizeof BINDING - 1;
}

static void port_security(struct xmpp_tiny_stream *s, struct xmpp_tiny_security *security)
{
    (void)s;
    security->trust = XMPP_TINY_TRUST_CA;
    memset(security->spki, 'k', sizeof security->spki);
    memset(security->certificate, 'c', sizeof security->certificate);
}

static size_t port_save(struct xmpp_tiny_stream *s, uint8_t *data, size_t size)
{
    (void)s;
    if (!is(W_TLS_SAVED) || size < 48)
        return 0;
    memset(data, 't', 48);
    return 48;
}

static void port_load(struct xmpp_tiny_stream *s, const uint8_t *data, size_t len, const uint8_t *spki,
                      const uint8_t *certificate)
{
    (void)s;
    if (len != 48 || data[0] != 't' || data[47] != 't' || spki[0] != 'k' || certificate[0] != 'c')
        loss_fail("a TLS session that was never saved");
}

static int port_error(struct xmpp_tiny_stream *s, const char **detail)
{
    (void)s;
    *detail = "cut";
    return XMPP_TINY_ERR_LOST;
}

const struct xmpp_tiny_stream_ops loss_ops = {port_open, port_secure, port_read,    port_write,
                                              port_shut, port_close,  port_binding, port_security,
                                              port_save, port_load,   port_error};
static struct xmpp_tiny_stream stream = {&loss_ops};

static uint32_t now_ms(void *ctx)
{
    (void)ctx;
    return loss.now;
}

static bool random_bytes(void *ctx, void *buf, size_t len)
{
    uint8_t *p = buf;
    (void)ctx;
    for (size_t i = 0; i < len; i++) {
        loss.seed = loss.seed * 1664525 + 1013904223;
        p[i] = (uint8_t)(loss.seed >> 24);
    }
    return true;
}

static const struct xmpp_tiny_platform platform = {now_ms, random_bytes, NULL, NULL, NULL};

/* ---- What is saved ---- */

static size_t blob_room(void)
{
    return is(W_NO_TEXT) ? XMPP_TINY_SAVE_MAX + 120 : sizeof loss.blobs[0].data;
}

static void save(void)
{
    struct loss_blob *b;
    int len;
    if (is(W_NO_SAVED))
        return;
    if (loss.blob_count == LOSS_BLOBS) {
        memmove(&loss.blobs[8], &loss.blobs[9], (LOSS_BLOBS - 9) * sizeof loss.blobs[0]);
        loss.blob_count--;
    }
    b = &loss.blobs[loss.blob_count++];
    loss.dirty = false;
    len = xmpp_tiny_save(loss.x, b->data, blob_room());
    if (len <= 0 || xmpp_tiny_changed(loss.x)) {
        loss_fail("saved: %d", len);
        return;
    }
    b->len = (size_t)len;
    b->journal = loss.journal;
    b->known = loss.known;
    b->maybe = loss.hears ? loss.maybe : loss.read;
    b->clock = loss.adrift ? loss.loaded_clock : ++loss.clock;
    if (loss.known && loss.session_blob == 0)
        loss.session_blob = loss.blob_count;
}

static void save_changed(void)
{
    if (loss.dirty && !is(W_NO_SAVED) && !xmpp_tiny_changed(loss.x))
        loss_fail("something is new, and it is not said that it has to be saved");
    if (is(W_SAVE_POLL) && (loss.blob_count == 0 || xmpp_tiny_changed(loss.x)))
        save();
}

/* ---- The application ---- */

static bool ends_well(int end)
{
    return end != END_OPEN;
}

static bool all_ended(void)
{
    for (unsigned n = 1; n <= loss.serial; n++)
        if (!ends_well(loss.journal.end[n]) || loss.journal.asked[n] == END_OPEN)
            return false;
    return true;
}

static bool all_settled(void)
{
    if (xmpp_tiny_state(loss.x) != XMPP_TINY_STATE_ONLINE || !all_ended() || !server_settled())
        return false;
    for (unsigned n = 1; n <= loss.numbers; n++)
        if (is(W_QUIET) && loss.kinds[n] < ITEM_PING && !loss.journal.got[n] && !loss.droppable[n] &&
            !loss.ghost[n])
            return false;
    return loss.to_client.from == loss.to_client.to && loss.to_server.from == loss.to_server.to;
}

/* A number as it stands in the body, which is longer where the queue shall be full. */
static struct xmpp_tiny_str numbered(char *text, size_t size, unsigned n)
{
    int len = snprintf(text, size, "%u", n);
    if (is(W_SMALL))
        while (len < 120)
            text[len++] = ' ';
    text[len] = 0;
    return xmpp_tiny_str(text);
}

/* The bytes of the stanza that bears this tag, as they lie in the transmit buffer. */
static const char *accepted_text(uint32_t tag)
{
    const struct xmpp_tiny_out_ *o = &loss.x->out;
    for (size_t at = 0; at < o->commit;) {
        const uint8_t *e = (const uint8_t *)o->buf + at;
        size_t len = e[0] | (size_t)e[1] << 8;
        uint32_t its;
        char text[LOSS_PIPE];
        memcpy(&its, e + 3, sizeof its);
        if (its == tag && len < sizeof text) {
            memcpy(text, e + 7, len);
            text[len] = 0;
            return loss_keep(text);
        }
        at += 7 + len;
    }
    return NULL;
}

void loss_accepted(int result, bool request)
{
    struct loss_journal *j = &loss.journal;
    unsigned n = ++loss.serial;
    loss.dirty = true;
    j->end[n] = is(W_NO_QUEUE) ? END_NONE : END_OPEN;
    if (is(W_HEARD))
        loss.sent_text[n] = accepted_text(n);
    loss.unsent[n] = loss.keeps && loss.reset && !request;
    if (request) {
        j->asked[n] = END_OPEN;
        j->request[n] = (uint16_t)result;
        j->asked_at[n] = loss.now;
    }
}

/* Hands a stanza over. Returns what the library says; 0 or more: it was accepted. */
static int send(char kind)
{
    char text[160];
    unsigned n = loss.serial + 1;
    struct xmpp_tiny_message m = {.to = xmpp_tiny_str("romeo@example.net")};
    struct xmpp_tiny_presence p = {.priority = 0};
    int err;
    if (n >= LOSS_STANZAS) {
        loss_fail("too many stanzas are sent");
        return XMPP_TINY_ERR_BUG;
    }
    xmpp_tiny_tag(loss.x, n);
    if (kind == 'q') {
        xmpp_tiny_begin_request(loss.x, "get", xmpp_tiny_str(loss.domain), 0);
        xmpp_tiny_put_start(loss.x, "q", "urn:loss");
        xmpp_tiny_put_attr(loss.x, "n", numbered(text, sizeof text, n));
        err = xmpp_tiny_send(loss.x);
    } else if (kind == 'p') {
        p.status = numbered(text, sizeof text, n);
        err = xmpp_tiny_presence(loss.x, &p);
    } else {
        m.body = numbered(text, sizeof text, n);
        err = xmpp_tiny_message(loss.x, &m);
    }
    if (err >= 0) {
        loss_accepted(err, kind == 'q');
        loss.activity++;
    } else if (err == XMPP_TINY_ERR_AGAIN) {
        loss.room = false;
    } else if (err != XMPP_TINY_ERR_STATE && err != XMPP_TINY_ERR_BUSY &&
               (err != XMPP_TINY_ERR_TOO_BIG || !is(W_HEARD))) { /* for a server that is gone by now */
        loss_fail("sending: %s", xmpp_tiny_err_name(err));
    }
    if (err >= 0)
        loss_see("accepted %u", n);
    return err;
}

/* A numbered stanza is taken. */
static void take(unsigned n)
{
    struct loss_journal *j = &loss.journal;
    if (n == 0 || n > loss.numbers) {
        loss_fail("number %u was never sent to us", n);
        return;
    }
    if (j->got[n] && (j->got_in[n] == loss.session || loss.sessions[j->got_in[n]].alive) && loss.session &&
        loss.sessions[loss.session].counts)
        loss_fail("number %u is told twice", n);
    for (unsigned i = n + 1; i <= loss.numbers; i++)
        if (j->got[i] && loss.session && j->got_in[i] == loss.session && loss.sessions[loss.session].counts)
            loss_fail("number %u is told after %u", n, i);
    j->got[n]++;
    loss.dirty |= loss.session && loss.sessions[loss.session].counts;
    j->got_in[n] = (uint8_t)loss.session;
}

static unsigned slice_number(struct xmpp_tiny_str s)
{
    unsigned n = 0;
    for (size_t i = 0; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
        n = n * 10 + (unsigned)(s.ptr[i] - '0');
    return n;
}

static void answer_told(const struct xmpp_tiny_event *e)
{
    struct loss_journal *j = &loss.journal;
    for (unsigned n = loss.serial; n; n--) { /* numbers begin anew with the power */
        if (j->asked[n] == END_NONE || j->request[n] != e->request)
            continue;
        if (j->asked[n] != END_OPEN) {
            loss_fail("request %u is answered twice", n);
        } else if (e->error.code == 0) {
            unsigned its = slice_number(xmpp_tiny_attr(e->el, "n")) +
                           slice_number(xmpp_tiny_text(xmpp_tiny_child(e->el, "n", "urn:loss")));
            if (its != n && (its || !is(W_HEARD)))
                loss_fail("request %u has another's answer", n);
            if (!loss.handled[n])
                loss_fail("request %u is answered, but did not arrive", n);
        } else if (e->error.code == XMPP_TINY_ERR_TIMEOUT) {
            if (loss.now - j->asked_at[n] < TIMEOUT_MS && !is(W_HEARD))
                loss_fail("request %u ends as TIMEOUT too early", n);
        } else if (e->error.code == XMPP_TINY_ERR_LOST) {
            if (loss.known && loss.sessions[loss.known].alive && !loss.ending && !loss.suspended &&
                !loss.given_up)
                loss_fail("request %u is LOST, the session is not", n);
        } else if (!is(W_HEARD)) {
            loss_fail("request %u ends as %s", n, xmpp_tiny_err_name(e->error.code));
        }
        j->asked[n] = END_DELIVERED;
        return;
    }
    if (!loss.power_failed)
        loss_fail("an answer to no request");
}

static void tag_told(uint32_t n, bool delivered)
{
    struct loss_journal *j = &loss.journal;
    if (n == 0 && !delivered)
        return; /* the answer to a query */
    if (n == 0 || n > loss.serial || j->end[n] == END_NONE) {
        loss_fail("%s is told of %u, which was not accepted", delivered ? "DELIVERED" : "UNDELIVERED", n);
    } else if (j->end[n] != END_OPEN) {
        loss_fail("the end of %u is told again", n);
    } else if (delivered && !loss.handled[n]) {
        loss_fail("%u is told as DELIVERED, but is not", n);
    } else if (!delivered && loss.known && loss.sessions[loss.known].alive && !loss.ending &&
               !loss.given_up && !is(W_NO_TEXT) && (loss.handled[n] || !loss.full)) {
        loss_fail("%u is told as UNDELIVERED, but its session goes on", n);
    } else if (!delivered && is(W_RESEND) && j->asked[n] == END_NONE && !loss.loaded[n] && !loss.told_error &&
               !loss.ending && !loss.suspended && !loss.full) {
        loss_fail("%u is told as UNDELIVERED, but could be sent again", n);
    }
    if (!delivered && loss.unsent[n] && !loss.full)
        loss_fail("%u is told as UNDELIVERED, but it had not left", n);
    j->end[n] = delivered ? END_DELIVERED : END_UNDELIVERED;
    loss.dirty = true;
}

/* Has this number been told in a session that goes on? */
static bool told_before(unsigned n)
{
    const struct loss_journal *j = &loss.journal;
    return j->got[n] && (j->got_in[n] == loss.session || loss.sessions[j->got_in[n]].alive);
}

/* Can the event be this stanza of a transcript's server? */
static bool event_is(const struct xmpp_tiny_event *e, const char *text)
{
    char body[256];
    if (strpbrk(text, "&\r") || strstr(text, "CDATA") || e->body.len >= sizeof body)
        return true;
    snprintf(body, sizeof body, "%.*s", (int)e->body.len, e->body.ptr ? e->body.ptr : "");
    return strstr(text, body) != NULL;
}

/* The number of a stanza that is told; of those that are alike the first that waits for its acknowledgement
 * and was not told yet, else the first that was not lost with an earlier connection, else any. */
static unsigned event_number(const struct xmpp_tiny_event *e)
{
    struct xmpp_tiny_str text = e->kind == XMPP_TINY_EVENT_PRESENCE ? e->status : e->body;
    const struct loss_session *s = &loss.sessions[loss.session];
    unsigned ours = slice_number(text);
    if (xmpp_tiny_jid_same_bare(e->from, xmpp_tiny_str("romeo@example.net")) && ours &&
        ours <= loss.numbers && loss.said_text[ours] == NULL)
        return ours;
    for (unsigned i = 0; i < s->queued; i++) {
        unsigned n = s->queue[i].number;
        if (n && loss.said_text[n] && event_is(e, loss.said_text[n]) && !told_before(n))
            return n;
    }
    for (int again = 0; is(W_HEARD) && again < 3; again++)
        for (unsigned n = 1; n <= loss.numbers; n++)
            if (loss.said_text[n] && event_is(e, loss.said_text[n]) && (again == 2 || !told_before(n)) &&
                (again || (!loss.journal.got[n] && !loss.droppable[n])))
                return n;
    return is(W_HEARD) ? 0 : ours;
}

static const struct {
    char letter;
    enum loss_item_kind kind;
} items[] = {{'s', ITEM_MESSAGE}, {'S', ITEM_PRESENCE}, {'i', ITEM_QUERY}, {'g', ITEM_PING}};

static int event_told(const struct xmpp_tiny_event *e);

static int on_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *e, void *user)
{
    enum loss_kind kind;
    int r;
    (void)x;
    (void)user;
    loss.events++;
    loss.activity++;
    loss.clock++;
    loss_see("* %s tag %u %s %.*s %.*s", xmpp_tiny_event_name(e->kind), e->tag,
             e->error.code ? xmpp_tiny_err_name(e->error.code) : "", (int)e->body.len,
             e->body.ptr ? e->body.ptr : "", (int)e->error.text.len,
             e->error.text.ptr ? e->error.text.ptr : "");
    if (strikes(LOSS_POWER_EVENT, LOSS_POWER_EVENT, loss.events, &kind))
        power_off(kind);
    r = event_told(e);
    if (is(W_SAVE_EVENT) && r == 0)
        save();
    if (strikes(LOSS_POWER_AFTER, LOSS_NO_BLOB, loss.events, &kind))
        power_off(kind);
    return r;
}

static int event_told(const struct xmpp_tiny_event *e)
{
    bool last = e->kind == XMPP_TINY_EVENT_UNDELIVERED || e->kind == XMPP_TINY_EVENT_DELIVERED ||
                e->kind == XMPP_TINY_EVENT_ANSWER || e->kind == XMPP_TINY_EVENT_CLOSED ||
                e->kind == XMPP_TINY_EVENT_DISCONNECTED;
    if (loss.closed)
        loss_fail("%s after CLOSED", xmpp_tiny_event_name(e->kind));
    if (loss.told_error && !last)
        loss_fail("%s after ERROR", xmpp_tiny_event_name(e->kind));
    switch (e->kind) {
    case XMPP_TINY_EVENT_ONLINE:
        if (!loss.authenticated)
            loss_fail("ONLINE without a login");
        if (e->resumed && loss.link && !loss.closing && (loss.session == 0 || loss.goes_back))
            loss_fail("ONLINE resumed, but nothing is");
        loss.was_online = true;
        loss.adrift = false;
        loss.suspended = false;
        if (loss.granted && !is(W_NO_SAVED))
            loss.known = loss.granted;
        loss.granted = 0;
        for (unsigned n = 1; n <= loss.serial && loss.session; n++)
            if (loss.journal.asked[n] == END_OPEN && loss.handled[n] && loss.handled_in[n] != loss.session)
                loss_fail("request %u outlives its session", n);
        if (e->resumed)
            for (unsigned n = 1; n <= loss.serial; n++)
                if (loss.forgotten[n] && loss.handled[n] && loss.handled_in[n] == loss.session &&
                    loss.handled_at[n] > loss.loaded_clock)
                    loss_fail("resumed, though %u arrived, which is forgotten", n);
        break;
    case XMPP_TINY_EVENT_MESSAGE:
        if (is(W_ECHO) && !loss.ending) {
            int err = send('m');
            if (err == XMPP_TINY_ERR_AGAIN) {
                loss.full = true;
                return err;
            }
        }
        take(event_number(e));
        break;
    case XMPP_TINY_EVENT_PRESENCE:
        take(event_number(e));
        break;
    case XMPP_TINY_EVENT_ANSWER:
        answer_told(e);
        break;
    case XMPP_TINY_EVENT_ELEMENT:
        if (!xmpp_tiny_is(e->el, "iq", NULL) && !is(W_HEARD))
            loss_fail("an ELEMENT that is no answer");
        break;
    case XMPP_TINY_EVENT_DELIVERED:
        tag_told(e->tag, true);
        break;
    case XMPP_TINY_EVENT_UNDELIVERED:
        tag_told(e->tag, false);
        break;
    case XMPP_TINY_EVENT_ROOM:
        loss.room = true;
        break;
    case XMPP_TINY_EVENT_ERROR:
        loss.told_error = true;
        loss.error_code = e->error.code;
        if (e->error.code == XMPP_TINY_ERR_ROLLBACK) {
            bool why = false;
            for (unsigned n = 1; n <= loss.serial; n++)
                why |= loss.forgotten[n] && loss.handled[n] && loss.handled_at[n] > loss.loaded_clock;
            for (unsigned i = 1; i <= loss.session_count; i++)
                why |= loss.stack_at[i] > loss.loaded_clock;
            if (!loss.power_failed || !why)
                loss_fail("ROLLBACK without a reason");
            loss_told();
            loss.goes_back = false;
            loss.known = 0;
        } else if (!(loss.errors & UINT64_C(1) << (e->error.code + 64))) {
            loss_fail("ERROR %s", xmpp_tiny_err_name(e->error.code));
        } else if (loss.given_up &&
                   (e->error.code == XMPP_TINY_ERR_STREAM || e->error.code == XMPP_TINY_ERR_UNEXPECTED)) {
            loss.known = loss.read = loss.enabled = 0;
        }
        break;
    case XMPP_TINY_EVENT_DISCONNECTED:
    case XMPP_TINY_EVENT_CLOSED:
        if (e->kind == XMPP_TINY_EVENT_DISCONNECTED && (!is(W_KEEP) || e->error.code != loss.error_code))
            loss_fail("DISCONNECTED");
        if (e->kind == XMPP_TINY_EVENT_CLOSED && is(W_KEEP) && !loss.ending && !loss.suspended && !loss.final)
            loss_fail("CLOSED, though it should keep on");
        if (!loss.told_error && !loss.ending && !loss.suspended)
            loss_fail("closed without a word");
        if (loss.told_error && xmpp_tiny_error(loss.x)->code != loss.error_code)
            loss_fail("the error has changed");
        loss.told_error = false;
        loss.error_code = 0;
        loss.closed = e->kind == XMPP_TINY_EVENT_CLOSED;
        break;
    case XMPP_TINY_EVENT_CONNECTED:
    case XMPP_TINY_EVENT_SECURED:
    case XMPP_TINY_EVENT_AUTHENTICATED:
        break;
    case XMPP_TINY_EVENT_CHANGED:
        if (is(W_HEARD))
            return XMPP_TINY_ACCEPT;
        loss_fail("CHANGED");
        break;
    case XMPP_TINY_EVENT_SKIPPED:
        if (is(W_HEARD)) {
            if (!xmpp_tiny_same(e->name, xmpp_tiny_str("iq")))
                take(event_number(e));
            break;
        }
        loss_fail("SKIPPED");
        break;
    case XMPP_TINY_EVENT_REGISTERED:
    default:
        loss_fail("%s", xmpp_tiny_event_name(e->kind));
        break;
    }
    return 0;
}

/* Queries are answered with their number. */
static int on_query(struct xmpp_tiny *x, const struct xmpp_tiny_event *e, void *user)
{
    struct xmpp_tiny_el q = xmpp_tiny_child(e->el, "q", "urn:loss");
    int err;
    (void)user;
    loss.activity++;
    if (loss.closed)
        loss_fail("a query after CLOSED");
    xmpp_tiny_begin_result(x, e->el);
    err = xmpp_tiny_send(x);
    if (err == XMPP_TINY_ERR_AGAIN) {
        loss.full = true;
        return err;
    }
    if (err != 0 && err != XMPP_TINY_ERR_STATE)
        loss_fail("answering: %s", xmpp_tiny_err_name(err));
    loss_see("* query %u", slice_number(xmpp_tiny_attr(q, "n")));
    take(slice_number(xmpp_tiny_attr(q, "n")));
    if (is(W_SAVE_EVENT))
        save();
    return 0;
}

static const struct xmpp_tiny_handler handlers[] = {{"q", "urn:loss", on_query}};

static void connect(void)
{
    int err;
    loss.closed = loss.told_error = loss.ending = loss.suspended = false;
    loss.error_code = 0;
    loss.was_online = false;
    err = xmpp_tiny_connect(loss.x);
    if (err)
        loss_fail("connect: %s", xmpp_tiny_err_name(err));
    loss.activity++;
}

/* One step of the script, once what it waits for is there. True if it is done. */
static bool script_step(char op)
{
    struct loss_journal *j = &loss.journal;
    enum xmpp_tiny_state state = xmpp_tiny_state(loss.x);
    int err;
    switch (op) {
    case 'c': /* connect */
        j->wanted = true;
        if (state == XMPP_TINY_STATE_OFF)
            connect();
        return true;
    case 'o': /* wait until on line */
        return state == XMPP_TINY_STATE_ONLINE;
    case 'm': /* send a message, a presence, a request */
    case 'p':
    case 'q':
        if (!loss.room)
            return false;
        err = send(op);
        return err >= 0;
    case 's': /* the server sends a message, a presence, a query, a ping */
    case 'S':
    case 'i':
    case 'g':
        if (!loss.done[j->step])
            for (size_t i = 0; i < sizeof items / sizeof *items; i++)
                if (items[i].letter == op)
                    server_send(items[i].kind);
        loss.done[j->step] = true;
        return true;
    case 'w': /* until all accounts are closed */
        return all_settled();
    case 'k': /* save */
        save();
        return true;
    case 'n': /* nobody looks; somebody does */
    case 'a':
        xmpp_tiny_active(loss.x, op == 'a');
        return true;
    case 'z': /* suspend, disconnect */
    case 'd':
        j->wanted = false;
        err = op == 'z' ? xmpp_tiny_suspend(loss.x) : xmpp_tiny_disconnect(loss.x);
        if (err == 0) {
            loss.suspended = op == 'z';
            loss.ending = op == 'd' || loss.known == 0;
            if (op == 'd')
                loss.known = 0;
        }
        return true;
    case 'x': /* until off */
        return state == XMPP_TINY_STATE_OFF;
    case 't': /* some time passes; much time */
    case 'T':
        if (loss.until == 0) {
            loss.until = (loss.now + (op == 't' ? 2500 : 90000)) | 1;
            return false;
        }
        if ((int32_t)(loss.until - loss.now) > 0)
            return false;
        loss.until = 0;
        return true;
    case 'y': /* a poll */
        if (loss.until == 0) {
            loss.until = 1;
            loss.activity++;
            return false;
        }
        loss.until = 0;
        return true;
    case 'C': /* the connection breaks; a session ends, too */
    case 'L':
        if (!loss.done[j->step]) {
            loss.done[j->step] = true;
            server_runs();
            if (loss.open)
                cut(LOSS_DOWN_RESET);
            if (op == 'L')
                server_forget(false, true);
            loss.activity++;
        }
        return true;
    case 'P': /* power off */
        if (!loss.done[j->step]) {
            loss.done[j->step] = true;
            power_off(LOSS_POWER_CALL);
        }
        return true;
    default:
        loss_fail("no step: %c", op);
        return false;
    }
}

/* The application's turn. */
static void app_runs(void)
{
    struct loss_journal *j = &loss.journal;
    const char *script = loss.scenario->script;
    if (xmpp_tiny_state(loss.x) == XMPP_TINY_STATE_OFF && j->wanted)
        connect();
    while (!loss.failed && j->step < strlen(script) && script_step(script[j->step])) {
        j->step++;
        loss.activity++;
    }
    if (j->step < strlen(script))
        return;
    if (xmpp_tiny_state(loss.x) == XMPP_TINY_STATE_OFF && !loss.finished)
        connect();
    else if (!loss.finished && all_settled()) {
        loss.finished = true;
        j->wanted = false;
        loss.ending = true;
        loss.known = 0;
        xmpp_tiny_disconnect(loss.x);
        loss.activity++;
    }
}

/* ---- The run ---- */

static void init(void)
{
    int err;
    memset(loss.config.rx, FILL, loss.config.rx_size);
    memset(loss.config.tx, FILL, loss.config.tx_size);
    memset(loss.x, FILL, sizeof *loss.x);
    if (loss.config.saved)
        memset(loss.config.saved, 0, sizeof *loss.config.saved);
    err = xmpp_tiny_init(loss.x, &loss.config);
    if (err)
        loss_fail("init: %s", xmpp_tiny_err_name(err));
    if (is(W_INACTIVE))
        xmpp_tiny_active(loss.x, false);
    loss.room = true;
}

static void reset(const struct loss_scenario *s)
{
    bool verbose = loss.verbose;
    memset(&loss, 0, offsetof(struct loss_world, blobs));
    loss.blob_count = loss.session_blob = 0;
    loss.verbose = verbose;
    loss.scenario = s;
    loss.domain = "example.org";
    loss.seed = 1;
}

void loss_begin(const struct loss_scenario *s)
{
    struct xmpp_tiny_config *c = &loss.config;
    static struct xmpp_tiny *x;
    static uint8_t *rx, *tx;
    reset(s);
    loss.now = loss.begun = UINT32_MAX - 20000; /* it wraps in mid-run */
    c->jid = "juliet@example.org/balcony";
    c->mechanisms = XMPP_TINY_ALLOW(EXTERNAL);
    c->tls = is(W_START) ? XMPP_TINY_TLS_START : XMPP_TINY_TLS_DIRECT;
    c->saved = is(W_NO_SAVED) ? NULL : &loss.saved;
    c->no_pipelining = is(W_PATIENT);
    c->stream = &stream;
    c->platform = &platform;
    c->crypto = &xmpp_tiny_bearssl_crypto;
    c->queue_size = is(W_SMALL) ? XMPP_TINY_QUEUE_MIN : 2048;
    c->tx_size = c->queue_size + XMPP_TINY_TX_MIN;
    c->rx_size = RX_SIZE;
    c->resend = is(W_RESEND);
    c->event = on_event;
    c->handlers = handlers;
    c->handler_count = 1;
    c->timeout_ms = TIMEOUT_MS;
    c->keep = is(W_KEEP);
    c->retry_ms = 1000;
    c->ping_ms = is(W_PINGS) ? 30000 : 0;
    c->classic = !is(W_SASL2);
    c->rx = rx = realloc(rx, c->rx_size);
    c->tx = tx = realloc(tx, c->tx_size);
    loss.x = x = realloc(x, sizeof *x);
    if (rx == NULL || tx == NULL || x == NULL)
        abort();
    init();
}

void loss_lose_power(const struct loss_blob *b)
{
    struct loss_journal old = loss.journal;
    loss.open = false;
    loss.power_failed = true;
    loss.finished = loss.closed = loss.ending = loss.suspended = loss.told_error = false;
    loss.patience = loss.until = 0;
    loss.dirty = false;
    loss.error_code = 0;
    loss.session_lost |= b == NULL;
    if (b)
        loss.journal = b->journal;
    else
        memset(&loss.journal, 0, sizeof loss.journal);
    loss.known = b ? b->known : 0;
    loss.maybe = b ? b->maybe : 0;
    loss.enabled = loss.granted = loss.read = 0;
    loss.goes_back = false;
    loss.loaded_clock = b ? b->clock : 0;
    loss.adrift = b != NULL;
    for (unsigned n = 1; n <= loss.serial; n++) {
        loss.loaded[n] = true;
        loss.forgotten[n] = loss.journal.end[n] == END_NONE && (loss.forgotten[n] || old.end[n] != END_NONE);
        if (loss.journal.asked[n] == END_OPEN)
            loss.journal.asked[n] = END_DELIVERED; /* requests end with the power */
    }
    for (unsigned n = 1; n <= loss.numbers; n++)
        loss.ghost[n] = !loss.journal.got[n] && (loss.ghost[n] || old.got[n]);
}

/* Power is back: the client and the application are what the blob says. */
static void power_on(enum loss_kind kind)
{
    struct loss_blob *b = NULL;
    int err;
    server_runs();
    if (kind == LOSS_OLDER && loss.blob_count > 1)
        b = &loss.blobs[loss.blob_count - 2];
    else if (kind == LOSS_OLDEST && loss.session_blob)
        b = &loss.blobs[loss.session_blob - 1];
    else if (kind != LOSS_NO_BLOB && kind != LOSS_OLDEST && kind != LOSS_OLDER && loss.blob_count)
        b = &loss.blobs[loss.blob_count - 1];
    loss_lose_power(b);
    init();
    if (b) {
        err = xmpp_tiny_load(loss.x, b->data, b->len);
        if (err)
            loss_fail("load: %s", xmpp_tiny_err_name(err));
    }
}

/* What has to hold at the end of a run. */
static void balance(void)
{
    const struct loss_journal *j = &loss.journal;
    const uint8_t *tx = loss.config.tx;
    for (unsigned n = 1; n <= loss.serial; n++)
        if (j->end[n] == END_OPEN)
            loss_fail("%u has no end", n);
        else if (j->asked[n] == END_OPEN)
            loss_fail("request %u has no answer", n);
    for (unsigned n = 1; n <= loss.numbers; n++)
        if (loss.kinds[n] < ITEM_PING && !j->got[n] && !loss.droppable[n] && !loss.told[n])
            loss_fail("number %u is lost", n);
        else if (loss.kinds[n] == ITEM_QUERY && !loss.replied[n] && !loss.session_lost &&
                 !loss.power_failed && !is(W_SHORT_LIVED) && is(W_SM))
            loss_fail("query %u has no answer", n);
    for (size_t i = 0; i < loss.config.tx_size; i++)
        if (tx[i] != 0 && tx[i] != FILL) {
            loss_fail("something is left in the transmit buffer at %u", (unsigned)i);
            break;
        }
    for (size_t i = 0; i + 13 < loss.config.rx_size; i++)
        if (memcmp((const char *)loss.config.rx + i, "secret-token:", 13) == 0)
            loss_fail("a token is left in the receive buffer");
    if (xmpp_tiny_want(loss.x) != XMPP_TINY_WANT_NOTHING || loss.open)
        loss_fail("the transport is not released");
}

/* Does the script wait for the clock? */
static bool script_waits(void)
{
    char op = loss.scenario->script[loss.journal.step];
    return op == 't' || op == 'T';
}

/* Will the server ask again? */
static bool server_waits(void)
{
    return loss.link && !loss.silent && loss.session && loss.sessions[loss.session].queued && !is(W_QUIET);
}

bool loss_play(void)
{
    unsigned idle;
    if (setjmp(loss.power))
        power_on(loss.power_kind);
    idle = 0;
    while (!loss.failed) {
        unsigned before = loss.activity, patience = loss.patience;
        uint32_t wait, next;
        if (++loss.polls > POLLS_MAX || loss.now - loss.begun > TIME_MAX) {
            loss_fail("it does not end: state %s, step %u of %s",
                      xmpp_tiny_state_name(xmpp_tiny_state(loss.x)), loss.journal.step,
                      loss.scenario->script);
            break;
        }
        app_runs();
        save_changed();
        wait = xmpp_tiny_poll(loss.x);
        know();
        save_changed();
        server_runs();
        if (loss.finished && loss.closed) {
            balance();
            break;
        }
        if (loss.activity != before || loss.patience || patience) {
            loss.now++;
            idle = 0;
            continue;
        }
        next = wait;
        if (loss.until && script_waits()) {
            uint32_t left = loss.until - loss.now;
            if ((int32_t)left > 0 && left < next)
                next = left;
        }
        if (next > 3000 && server_waits())
            next = 3000;
        if (next == XMPP_TINY_FOREVER) {
            loss_fail("nothing will happen any more: state %s, step %u of %s",
                      xmpp_tiny_state_name(xmpp_tiny_state(loss.x)), loss.journal.step,
                      loss.scenario->script);
            break;
        }
        if (next == 0 && ++idle > 100) {
            loss_fail("it wants to be called at once, again and again: state %s",
                      xmpp_tiny_state_name(xmpp_tiny_state(loss.x)));
            break;
        }
        loss.now += next;
    }
    return !loss.failed;
}

bool loss_run(const struct loss_scenario *s, const struct loss_fault *a, const struct loss_fault *b)
{
    loss_begin(s);
    if (a)
        loss.faults[0] = *a;
    if (b)
        loss.faults[1] = *b;
    return loss_play();
}

/* ---- What began elsewhere ---- */

const char *loss_keep(const char *text)
{
    static char kept[KEPT];
    size_t len = strlen(text) + 1;
    char *copy = kept + loss.kept;
    if (loss.kept + len > sizeof kept) {
        loss.lost_track = true;
        return "";
    }
    memcpy(copy, text, len);
    loss.kept += len;
    return copy;
}

void loss_hear(void)
{
    static const struct loss_scenario heard = {"heard", W_HEARD | W_SM, ""};
    reset(&heard);
    loss.hears = true;
    loss.errors = UINT64_MAX;
}

void loss_save(void)
{
    save();
}

void loss_heard_event(const struct xmpp_tiny_event *e)
{
    loss.clock++;
    switch (e->kind) {
    case XMPP_TINY_EVENT_ERROR:
        loss.told_error = true;
        loss.error_code = e->error.code;
        if (e->error.code == XMPP_TINY_ERR_ROLLBACK)
            loss_told();
        break;
    case XMPP_TINY_EVENT_ONLINE:
        loss.adrift = false;
        break;
    case XMPP_TINY_EVENT_DISCONNECTED:
    case XMPP_TINY_EVENT_CLOSED:
        loss.told_error = false;
        loss.error_code = 0;
        loss.closed = e->kind == XMPP_TINY_EVENT_CLOSED;
        break;
    case XMPP_TINY_EVENT_MESSAGE:
    case XMPP_TINY_EVENT_PRESENCE:
    case XMPP_TINY_EVENT_SKIPPED:
        if (e->kind != XMPP_TINY_EVENT_SKIPPED || !xmpp_tiny_same(e->name, xmpp_tiny_str("iq")))
            take(event_number(e));
        break;
    case XMPP_TINY_EVENT_ANSWER:
        answer_told(e);
        break;
    case XMPP_TINY_EVENT_DELIVERED:
    case XMPP_TINY_EVENT_UNDELIVERED:
        tag_told(e->tag, e->kind == XMPP_TINY_EVENT_DELIVERED);
        break;
    case XMPP_TINY_EVENT_CONNECTED:
    case XMPP_TINY_EVENT_CHANGED:
    case XMPP_TINY_EVENT_SECURED:
    case XMPP_TINY_EVENT_REGISTERED:
    case XMPP_TINY_EVENT_AUTHENTICATED:
    case XMPP_TINY_EVENT_ELEMENT:
    case XMPP_TINY_EVENT_ROOM:
    default:
        break;
    }
}

void loss_adopt(const struct loss_scenario *s, const struct xmpp_tiny_config *like, enum loss_kind fault)
{
    enum xmpp_tiny_state state = xmpp_tiny_state(loss.x);
    loss.scenario = s;
    loss.hears = false;
    loss.config = *like;
    loss.config.event = on_event;
    loss.config.handlers = handlers;
    loss.config.handler_count = 1;
    loss.config.platform = &platform;
    if (strchr(like->jid, '@')) /* else it is anonymous */
        loss.config.mechanisms |= XMPP_TINY_ALLOW(EXTERNAL);
    loss.config.create_account = false;
    loss.begun = loss.now;
    loss.polls = loss.connections = 0;
    loss.errors = 0;
    loss.journal.step = 0;
    loss.journal.wanted = loss.room = true;
    loss.final = loss.told_error;
    loss.to_client.from = loss.to_client.to = loss.to_server.from = loss.to_server.to = 0;
    if (fault >= LOSS_POWER_CALL) {
        server_lost();
        power_on(fault);
        loss.journal.step = 0;
        loss.journal.wanted = true;
    } else if (state != XMPP_TINY_STATE_OFF && state != XMPP_TINY_STATE_WAIT) {
        loss.open = true;
        for (unsigned n = 1; n <= loss.serial; n++)
            loss.unsent[n] = loss.keeps && fault == LOSS_DOWN_RESET && !loss.handled[n] && !loss.loaded[n] &&
                             loss.journal.asked[n] == END_NONE;
        cut(fault);
    } else {
        server_lost();
    }
}
