/* SPDX-License-Identifier: MIT
 *
 * Fuzzing of whole sessions: README.md. The input is a row of choices: what the server says, which may be
 * what it should, what the application does, what the link does, and when. After the last choice server and
 * link are honest, and the client has to come back.
 */
#include "xmpp_tiny.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOMAIN  "example.org"
#define FULL    "juliet@example.org/balcony"
#define STREAMS "http://etherx.jabber.org/streams"
#define SASL    "urn:ietf:params:xml:ns:xmpp-sasl"
#define SASL2   "urn:xmpp:sasl:2"
#define SM      "urn:xmpp:sm:3"
#define BIND    "urn:ietf:params:xml:ns:xmpp-bind"

#define TAGS  256
#define PIPE  16384
#define FLASH 4096
#define STEPS 20000 /* without a moment passed: it hangs */

#define CHECK(condition, what) ((condition) ? (void)0 : broken(what, __LINE__))

static struct xmpp_tiny x;
static struct xmpp_tiny_saved saved;
static struct xmpp_tiny_config config;
static char *rx, *tx;
static uint32_t now, noise;
static bool verbose;

static const uint8_t *input;
static size_t input_len;

/* A choice of n. */
static unsigned pick(unsigned n)
{
    unsigned c = 0;
    if (input_len) {
        c = *input++;
        input_len--;
    }
    return c % n;
}

static void see(const char *format, ...)
{
    va_list args;
    if (!verbose)
        return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static void broken(const char *what, int line)
{
    fprintf(stderr, "sessions.c:%d: %s\n", line, what);
    abort();
}

static bool is(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* ---- The application ---- */

enum tag_state { TAG_NEW, TAG_WAITS, TAG_ENDED };

/* What it writes down; what it had written when it saved is what it knows after a power cut. */
static struct journal {
    unsigned tags;
    uint8_t state[TAGS];
    bool left[TAGS];            /* the server has read it, once at least */
    unsigned session, messages; /* of the server, and so many of that one */
} journal, journal_saved;

static struct {
    bool alive;                        /* between connect() and CLOSED */
    bool error, authenticated, online; /* of this connection */
    bool was_online;                   /* once */
    bool leaves;                       /* by its own will */
    bool cut;                          /* power was */
    bool blind;                        /* what was loaded may be old: as the header says, no time to save */
    bool authentic;                    /* nothing was loaded but what was saved */
    bool trusts;                       /* every certificate */
    bool touched;                      /* it did something when it was too late */
    unsigned late;                     /* stanzas accepted by then */
    unsigned unsent;                   /* as CLOSED told */
    bool asked[65536];                 /* requests that wait, .. */
    unsigned requests;                 /* .. and how many */
    uint8_t script[8];                 /* what the callback does, event by event */
    unsigned scripted, again;
    uint8_t flash[FLASH];
    size_t flash_len;
} app;

static void act(unsigned what);

static unsigned waiting(void)
{
    unsigned n = 0;
    for (unsigned i = 1; i <= journal.tags; i++)
        n += journal.state[i] == TAG_WAITS;
    return n;
}

static void tag_ends(uint32_t tag, bool delivered)
{
    CHECK(config.queue_size, "an end without a queue");
    if (!app.authentic || (tag == 0 && !delivered))
        return;
    CHECK(tag && tag <= journal.tags && journal.state[tag] == TAG_WAITS, "a stanza ends that did not wait");
    CHECK(!delivered || journal.left[tag], "delivered, but it never left");
    journal.state[tag] = TAG_ENDED;
}

/* Sends a message of so many bytes, which has a tag. */
static int message(size_t len)
{
    char body[1600];
    struct xmpp_tiny_message m;
    int r;
    memset(&m, 0, sizeof m);
    memset(body, 'x', sizeof body);
    m.to = xmpp_tiny_str("romeo@example.net");
    m.body.ptr = body;
    m.body.len = (size_t)sprintf(body, "%u", journal.tags + 1) + 1 + len;
    body[m.body.len - 1 - len] = ' ';
    if (journal.tags + 1 == TAGS)
        return 0;
    xmpp_tiny_tag(&x, journal.tags + 1);
    r = xmpp_tiny_message(&x, &m);
    see("message %u of %zu: %s", journal.tags + 1, len, xmpp_tiny_err_name(r));
    if (r == 0)
        journal.state[++journal.tags] = TAG_WAITS;
    app.late += r == 0 && xmpp_tiny_state(&x) == XMPP_TINY_STATE_SHUT;
    return r;
}

static bool server_exact(void);
static bool server_goes_back(void);

/* The server's messages come once, in their order, and none is left out. */
static void message_told(struct xmpp_tiny_str id)
{
    unsigned session, n;
    char text[24];
    snprintf(text, sizeof text, "%.*s", (int)id.len, id.len ? id.ptr : "");
    if (sscanf(text, "m%u-%u", &session, &n) != 2 || n == 0 || !app.authentic || !server_exact())
        return;
    if (journal.session != session)
        journal.messages = 0;
    CHECK(n == journal.messages + 1, "a message is lost, or comes twice");
    journal.session = session;
    journal.messages = n;
}

static void save(size_t size)
{
    int n = app.blind ? 0 : xmpp_tiny_save(&x, app.flash, size);
    see("save: %d", n);
    if (n <= 0)
        return;
    app.flash_len = (size_t)n;
    journal_saved = journal;
    CHECK(!xmpp_tiny_changed(&x), "saved, but changed");
}

static int on_event(struct xmpp_tiny *client, const struct xmpp_tiny_event *e, void *user)
{
    unsigned what = app.scripted ? app.script[--app.scripted] : 0;
    bool stanza = false;
    see("* %s tag=%u request=%u wait=%u resumed=%d %s %.*s", xmpp_tiny_event_name(e->kind), e->tag,
        e->request, e->wait, e->resumed, e->error.code ? xmpp_tiny_err_name(e->error.code) : "",
        (int)e->error.text.len, e->error.text.len ? e->error.text.ptr : "");
    CHECK(client == &x && user == &app && app.alive, "an event out of turn");
    CHECK(!app.error || e->kind == XMPP_TINY_EVENT_ANSWER || e->kind == XMPP_TINY_EVENT_DELIVERED ||
              e->kind == XMPP_TINY_EVENT_UNDELIVERED || e->kind == XMPP_TINY_EVENT_DISCONNECTED ||
              e->kind == XMPP_TINY_EVENT_CLOSED,
          "life goes on after ERROR");
    switch ((int)e->kind) {
    case XMPP_TINY_EVENT_CONNECTED:
        app.authenticated = app.online = false;
        break;
    case XMPP_TINY_EVENT_AUTHENTICATED:
        CHECK(!app.authenticated, "authenticated twice");
        app.authenticated = true;
        break;
    case XMPP_TINY_EVENT_ONLINE:
        CHECK(app.authenticated && !app.online && !app.leaves && e->to.len, "online out of turn");
        CHECK(!app.authentic || !e->resumed || !server_goes_back(),
              "what came after the save is unknown, and not told");
        app.online = app.was_online = true;
        app.blind = false;
        break;
    case XMPP_TINY_EVENT_MESSAGE:
    case XMPP_TINY_EVENT_PRESENCE:
    case XMPP_TINY_EVENT_ELEMENT:
        stanza = true; /* fall through */
    case XMPP_TINY_EVENT_SKIPPED:
        CHECK(app.online, "a stanza before the session");
        message_told(e->id);
        break;
    case XMPP_TINY_EVENT_ANSWER:
        CHECK(app.asked[e->request], "an answer to nothing");
        stanza = xmpp_tiny_found(e->el);
        break;
    case XMPP_TINY_EVENT_DELIVERED:
    case XMPP_TINY_EVENT_UNDELIVERED:
        tag_ends(e->tag, e->kind == XMPP_TINY_EVENT_DELIVERED);
        break;
    case XMPP_TINY_EVENT_ERROR:
        CHECK(e->error.code < 0, "an error without a name");
        app.error = true;
        break;
    case XMPP_TINY_EVENT_DISCONNECTED:
        CHECK(config.keep && app.error && xmpp_tiny_state(&x) == XMPP_TINY_STATE_WAIT,
              "disconnected out of turn");
        app.error = app.online = app.authenticated = false;
        break;
    case XMPP_TINY_EVENT_CLOSED:
        CHECK(xmpp_tiny_state(&x) == XMPP_TINY_STATE_OFF, "closed, but not off");
        CHECK(!app.authentic || config.queue_size == 0 || waiting() <= e->unsent + app.late,
              "closed, and a stanza is missing");
        app.alive = false;
        app.unsent = e->unsent;
        break;
    }
    if (stanza && what % 4 == 3 && app.again++ < 40 && message(200) == XMPP_TINY_ERR_AGAIN) {
        if (what & 4)
            save(FLASH);
        journal.messages -= e->kind == XMPP_TINY_EVENT_MESSAGE && is(e->id.len ? e->id.ptr : "", "m");
        return XMPP_TINY_ERR_AGAIN;
    }
    if (e->kind == XMPP_TINY_EVENT_ANSWER) {
        app.asked[e->request] = false;
        app.requests--;
    }
    app.touched |= what && xmpp_tiny_state(&x) == XMPP_TINY_STATE_SHUT;
    app.touched |= what && !app.alive;
    if (what)
        act(what);
    return e->kind == XMPP_TINY_EVENT_CHANGED && (what % 2 || app.trusts);
}

static int on_query(struct xmpp_tiny *client, const struct xmpp_tiny_event *e, void *user)
{
    unsigned what = app.scripted ? app.script[--app.scripted] : 0;
    int r;
    CHECK(client == &x && user == &app && app.online, "a request before the session");
    if (what % 4 == 1)
        act(what);
    if (what % 4 == 2)
        return (int)(what >> 2);
    if (what % 4 == 3)
        return xmpp_tiny_reject(&x, e->el, XMPP_TINY_CONDITION_CONFLICT, xmpp_tiny_str("no"));
    xmpp_tiny_begin_result(&x, e->el);
    r = xmpp_tiny_send(&x);
    return r == XMPP_TINY_ERR_AGAIN ? r : 0;
}

static void asked(int number)
{
    if (number <= 0)
        return;
    CHECK(!app.asked[number], "a request's number comes twice");
    app.asked[number] = true;
    app.requests++;
}

static void connect(void)
{
    if (xmpp_tiny_connect(&x) || app.alive)
        return;
    see("connect");
    app.alive = true;
    app.late = 0;
    app.touched = app.leaves = false;
    app.error = app.online = app.authenticated = false;
}

/* One thing that an application may do at any time. */
static void act(unsigned what)
{
    unsigned more = what / 16;
    switch (what % 16) {
    case 1:
    case 2:
        message(more * 40);
        break;
    case 3:
        asked(
            xmpp_tiny_ping(&x, xmpp_tiny_str(more & 1 ? "romeo@example.net/x" : NULL), more & 2 ? 5000 : 0));
        break;
    case 4:
        xmpp_tiny_begin_request(&x, more & 1 ? "get" : "set", xmpp_tiny_str(more & 2 ? NULL : DOMAIN), 4000);
        xmpp_tiny_put_start(&x, "query", "urn:fuzz");
        if (!(more & 4))
            asked(xmpp_tiny_send(&x));
        break;
    case 5:
        see("disconnect");
        app.leaves |= xmpp_tiny_disconnect(&x) == 0;
        break;
    case 6:
        see("suspend");
        app.leaves |= xmpp_tiny_suspend(&x) == 0;
        break;
    case 7:
        connect();
        break;
    case 8:
        xmpp_tiny_active(&x, more & 1);
        break;
    case 9:
        xmpp_tiny_forget(&x);
        break;
    case 10:
    case 11:
        save(more < 12 ? FLASH : 500 + more * 16);
        break;
    case 12:
        asked(xmpp_tiny_change_password(&x, xmpp_tiny_str("other"), 0));
        break;
    default:
        break;
    }
}

/* ---- Ports ---- */

static uint32_t now_ms(void *ctx)
{
    (void)ctx;
    return now;
}

static uint8_t nonce[18];

static bool random_bytes(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)((noise = noise * 1664525U + 1013904223U) >> 24);
    if (len == sizeof nonce)
        memcpy(nonce, buf, len);
    return true;
}

/* All hashes are the same: so the server knows every password, and every seal is right. */
static void hash(enum xmpp_tiny_hash h, const void *data, size_t len, uint8_t *digest)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum ^= ((const uint8_t *)data)[i];
    (void)(volatile uint8_t){sum};
    memset(digest, 'h', h == XMPP_TINY_SHA1 ? 20 : h == XMPP_TINY_SHA256 ? 32 : 64);
}

static void hmac(enum xmpp_tiny_hash h, const void *key, size_t key_len, const struct xmpp_tiny_str *parts,
                 size_t count, uint8_t *digest)
{
    for (size_t i = 0; i < count; i++)
        hash(h, parts[i].ptr, parts[i].len, digest);
    hash(h, key, key_len, digest);
}

static void pbkdf2(enum xmpp_tiny_hash h, const void *key, size_t key_len, uint8_t *u, uint8_t *t,
                   uint32_t rounds)
{
    (void)rounds;
    hash(h, key, key_len, u);
    memcpy(t, u, 20);
}

static struct {
    bool unique, saves;
    uint8_t key, certificate, trust;
} tls;

static int no_open(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port)
{
    (void)s, (void)host, (void)port;
    return XMPP_TINY_IO_FAILED;
}
static int no_secure(struct xmpp_tiny_stream *s, struct xmpp_tiny_str name)
{
    (void)s, (void)name;
    return XMPP_TINY_IO_FAILED;
}
static int binding(struct xmpp_tiny_stream *s, enum xmpp_tiny_binding type, uint8_t *out)
{
    (void)s;
    if (type == XMPP_TINY_BINDING_NONE || (type == XMPP_TINY_BINDING_TLS_UNIQUE && !tls.unique))
        return XMPP_TINY_IO_FAILED;
    memset(out, 'b', 64);
    return type == XMPP_TINY_BINDING_TLS_UNIQUE ? 12 : 32;
}
static void security(struct xmpp_tiny_stream *s, struct xmpp_tiny_security *security)
{
    (void)s;
    security->trust = (enum xmpp_tiny_trust)(XMPP_TINY_TRUST_CA + tls.trust);
    memset(security->spki, tls.key, sizeof security->spki);
    memset(security->certificate, tls.certificate, sizeof security->certificate);
}
static size_t tls_save(struct xmpp_tiny_stream *s, uint8_t *data, size_t size)
{
    (void)s;
    memset(data, 's', size);
    return tls.saves ? size / 2 : 0;
}
static void tls_load(struct xmpp_tiny_stream *s, const uint8_t *data, size_t len, const uint8_t *spki,
                     const uint8_t *certificate)
{
    uint8_t digest[64];
    (void)s;
    hash(XMPP_TINY_SHA256, data, len, digest);
    hash(XMPP_TINY_SHA256, spki, 32, digest);
    hash(XMPP_TINY_SHA256, certificate, 32, digest);
}

static const struct xmpp_tiny_stream_ops ops = {.open = no_open,
                                                .secure = no_secure,
                                                .binding = binding,
                                                .security = security,
                                                .save = tls_save,
                                                .load = tls_load};
static struct xmpp_tiny_stream stream = {&ops};
static const struct xmpp_tiny_platform platform = {.now_ms = now_ms, .random = random_bytes};
static const struct xmpp_tiny_crypto crypto = {hash, hmac, pbkdf2};
static const struct xmpp_tiny_handler handlers[] = {{"query", "urn:fuzz", on_query}};

/* ---- The server ---- */

enum { /* what it offers */
       O_SASL2 = 1,
       O_BIND = 2,
       O_BIND_SM = 4,
       O_RESUME = 8,
       O_FAST = 16,
       O_PLUS = 32,
       O_SM = 64,
       O_LATE = 128, /* features after <success/> */
       O_CSI = 256,
       O_CARBONS = 512,
       O_LIMITS = 1024,
       O_VERSION = 2048,
       O_BINDINGS = 4096,
       O_ROTATE = 8192,
       O_UPGRADE = 16384,
       O_ALL = 32767 & ~(O_LIMITS | O_UPGRADE)
};

/* What it has read of the client and not answered. */
struct said {
    char tag[24]; /* the first name */
    char id[40], to[40];
    bool two, token, wants_token, resumes, resumed, binds, enables;
    unsigned hash;
    uint32_t heard; /* stanzas before it */
};

/* How far it has come. */
struct standing {
    bool in, bound, resuming; /* on this connection: logged in; there is a session; no stanza may come now */
    bool alive, counts;       /* the session */
    bool exact;               /* nothing was said that makes it wrong */
    bool back;                /* the client acknowledged less than before */
    unsigned session;
    uint32_t base; /* stanzas before those that count */
    uint32_t acked;
    unsigned kept;     /* stanzas of ours that are not acknowledged */
    unsigned messages; /* of ours */
};

static struct {
    unsigned offers;
    bool up, tls;   /* the connection */
    uint32_t heard; /* stanzas in all */
    struct standing is;
    char last_id[40];
    struct said said[32];
    unsigned unanswered;
    char unit[4096];
    size_t len;
    unsigned depth;
    bool in_tag;
    char quote;
    size_t from;
    char pipe[PIPE];
    size_t at, end;
} server;

static void bytes(const char *p, size_t len)
{
    if (server.end + len > PIPE)
        server.is.exact = false;
    if (server.end + len > PIPE || !server.up)
        return;
    memcpy(server.pipe + server.end, p, len);
    server.end += len;
}

static void say(const char *format, ...)
{
    char text[3000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    see("S: %.700s", text);
    bytes(text, strlen(text));
}

static void base64(char *out, const uint8_t *in, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        unsigned v = (unsigned)in[i] << 16, n = len - i < 3 ? (unsigned)(len - i) : 3;
        v |= n > 1 ? (unsigned)in[i + 1] << 8 : 0;
        v |= n > 2 ? in[i + 2] : 0;
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = n > 1 ? digits[v >> 6 & 63] : '=';
        *out++ = n > 2 ? digits[v & 63] : '=';
    }
    *out = 0;
}

/* What proves that the server knows token or password; there is no proof for other mechanisms. */
static const char *proof(const struct said *s)
{
    static const uint8_t sizes[] = {20, 32, 64};
    static char text[160];
    char value[100], message[104];
    uint8_t digest[64];
    hash((enum xmpp_tiny_hash)(s->token ? XMPP_TINY_SHA256 : s->hash % 3), "", 0, digest);
    base64(value, digest, s->token ? 32 : sizes[s->hash % 3]);
    if (s->token)
        return strcpy(text, value);
    snprintf(message, sizeof message, "v=%s", value);
    base64(text, (const uint8_t *)message, strlen(message));
    return s->hash < 3 ? text : "";
}

#define KEPT 16
static char kept[KEPT][3000];

static bool server_exact(void)
{
    return server.is.exact && server.is.counts;
}

/* Has the client come back with less than it had acknowledged? */
static bool server_goes_back(void)
{
    return server_exact() && server.is.back;
}

/* Says a stanza, and keeps it until the client has it. */
static void say_stanza(const char *format, ...)
{
    char text[3000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say("%s", text);
    if (server.is.kept == KEPT) {
        server.is.kept = 0;
        server.is.exact = false;
    }
    if (server.is.counts)
        memcpy(kept[server.is.kept++], text, sizeof text);
}

/* A message has the number of the session, and its own, 0 where none are counted. */
static const char *message_id(void)
{
    static char id[24];
    snprintf(id, sizeof id, "m%u-%u", server.is.session, server.is.counts ? ++server.is.messages : 0);
    return id;
}

static void say_again(void)
{
    for (unsigned i = 0; i < server.is.kept; i++)
        say("%s", kept[i]);
}

static uint32_t handled(void)
{
    return server.heard - server.is.base;
}

/* How many stanzas were handled, or something else. */
static const char *count(unsigned how)
{
    static char text[16];
    static const char *const lies[] = {"", "-1", "4294967296", "1x", "00000000001", "99999999999999999999"};
    uint32_t h = handled();
    switch (how) {
    case 1:
        h--;
        break;
    case 2:
        h++;
        break;
    case 3:
        h = 0;
        break;
    case 4:
        h += UINT32_C(0x80000000);
        break;
    case 5:
        h = UINT32_MAX;
        break;
    case 6:
        return lies[pick(6)];
    default:
        break;
    }
    snprintf(text, sizeof text, "%u", h);
    return text;
}

static void header(void)
{
    say("<?xml version='1.0'?><stream:stream from='" DOMAIN "' id='s' version='1.0' xmlns='jabber:client' "
        "xmlns:stream='" STREAMS "'>");
}

static void features(void)
{
    unsigned o = server.offers;
    if (!server.tls) {
        say("<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>");
        return;
    }
    if (server.is.in) {
        say("<stream:features>%s%s%s%s</stream:features>", server.is.bound ? "" : "<bind xmlns='" BIND "'/>",
            o & O_SM ? "<sm xmlns='" SM "'/>" : "", o & O_CSI ? "<csi xmlns='urn:xmpp:csi:0'/>" : "",
            o & O_LIMITS
                ? "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>1000</max-bytes><idle-seconds>90"
                  "</idle-seconds></limits>"
                : "");
        return;
    }
    say("<stream:features><mechanisms xmlns='" SASL "'><mechanism>EXTERNAL</mechanism><mechanism>SCRAM-SHA-1"
        "</mechanism><mechanism>SCRAM-SHA-256</mechanism>%s<mechanism>PLAIN</mechanism></mechanisms>",
        o & O_PLUS ? "<mechanism>SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-512-PLUS</mechanism>"
                   : "");
    if (o & (O_BINDINGS | O_SASL2) && o & O_PLUS)
        say("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-server-end-point'/>"
            "<channel-binding type='tls-unique'/></sasl-channel-binding>");
    if (o & O_SASL2)
        say("<authentication xmlns='" SASL2
            "'><mechanism>EXTERNAL</mechanism><mechanism>SCRAM-SHA-256</mechanism>%s"
            "%s<mechanism>PLAIN</mechanism><inline>%s%s%s%s%s%s</inline></authentication>",
            o & O_PLUS ? "<mechanism>SCRAM-SHA-1-PLUS</mechanism><mechanism>SCRAM-SHA-512-PLUS</mechanism>"
                       : "",
            o & O_UPGRADE ? "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>" : "",
            o & O_BIND ? "<bind xmlns='urn:xmpp:bind:0'><inline>" : "",
            o & O_BIND && o & O_BIND_SM ? "<feature var='" SM "'/>" : "",
            o & O_BIND && o & O_CARBONS ? "<feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:csi:0'/>"
                                        : "",
            o & O_BIND ? "</inline></bind>" : "", o & O_RESUME ? "<sm xmlns='" SM "'/>" : "",
            o & O_FAST ? "<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism><mechanism>"
                         "HT-SHA-256-ENDP</mechanism></fast>"
                       : "");
    say("%s</stream:features>",
        o & O_VERSION ? "<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='v'/>" : "");
}

static void session_begins(const struct said *s)
{
    unsigned session = server.is.session + 1;
    memset(&server.is, 0, sizeof server.is);
    server.is.in = server.is.alive = server.is.bound = server.is.exact = true;
    server.is.session = session;
    server.is.base = s->heard;
}

static void enabled(const struct said *s, char *text, size_t size, unsigned how)
{
    server.is.base = s->heard;
    server.is.counts = true;
    server.is.acked = server.is.kept = 0;
    snprintf(text, size, "<enabled xmlns='" SM "' resume='%s' id='s%u'%s/>", how & 1 ? "0" : "true",
             server.is.session, how & 2 ? " location='other.example.org:99'" : "");
}

/* <success/> of SASL2, its children in any order; lies: which of them are not as they should be. */
static void success(const struct said *said, unsigned order, unsigned lies)
{
    char child[6][300] = {"", "", "", "", "", ""}, counted[200] = "";
    bool resumed = said->resumed && server.is.alive;
    if (said->token || said->hash < 3)
        snprintf(child[0], sizeof child[0], "<additional-data>%s</additional-data>",
                 lies & 1 ? "djE=" : proof(said));
    snprintf(child[1], sizeof child[1], "<authorization-identifier>%s</authorization-identifier>",
             lies & 2 ? "juliet@example.org" : FULL);
    if (said->wants_token || (said->token && server.offers & O_ROTATE) || lies & 4)
        snprintf(child[2], sizeof child[2],
                 "<token xmlns='urn:xmpp:fast:0' token='t%u' expiry='2026-12-01T00:00:00Z'/>",
                 server.is.session);
    if (resumed)
        snprintf(child[3], sizeof child[3], "<resumed xmlns='" SM "' previd='s%u' h='%s'/>",
                 server.is.session, count(lies >> 4 & 7));
    else if (said->resumes)
        snprintf(child[3], sizeof child[3], "<failed xmlns='" SM "' h='%s'/>", count(lies >> 4 & 7));
    if ((!resumed || lies & 8) && said->binds) {
        session_begins(said);
        if (said->enables)
            enabled(said, counted, sizeof counted, lies >> 5 & 3);
        server.is.exact = !resumed;
        snprintf(child[4], sizeof child[4], "<bound xmlns='urn:xmpp:bind:0'>%s</bound>", counted);
    }
    server.is.in = true;
    server.is.bound = server.is.bound || resumed;
    server.is.resuming = false;
    say("<success xmlns='" SASL2 "'>%s%s%s%s%s%s</success>", child[order % 6], child[(order + 1) % 6],
        child[(order + 2) % 6], child[(order + 3) % 6], child[(order + 4) % 6], child[(order + 5) % 6]);
    if (server.offers & O_LATE || !server.is.bound)
        features();
    if (resumed)
        say_again();
    server.is.exact &= !resumed || (lies >> 4 & 7) == 0;
}

/* What should be answered. */
static void answer(const struct said *s)
{
    char text[300], more[200], ours[40];
    if (is(s->tag, "stream:stream")) {
        header();
        features();
    } else if (is(s->tag, "starttls")) {
        say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    } else if (is(s->tag, "auth")) {
        if (!s->token && s->hash < 3) {
            base64(ours, nonce, sizeof nonce);
            snprintf(text, sizeof text, "r=%sserver,s=c2FsdA==,i=4096", ours);
            base64(more, (const uint8_t *)text, strlen(text));
            say("<challenge xmlns='%s'>%s</challenge>", s->two ? SASL2 : SASL, more);
        } else if (s->two) {
            success(s, 0, 0);
        } else {
            server.is.in = true;
            say("<success xmlns='" SASL "'/>");
        }
    } else if (is(s->tag, "response") && s->two) {
        success(s, 0, 0);
    } else if (is(s->tag, "response")) {
        server.is.in = true;
        say("<success xmlns='" SASL "'>%s</success>", proof(s));
    } else if (is(s->tag, "next")) {
        say("<task-data xmlns='" SASL2
            "'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>c2FsdA==</salt>"
            "</task-data>");
    } else if (is(s->tag, "task-data")) {
        success(s, 0, 0);
    } else if (s->binds) {
        session_begins(s);
        say("<iq type='result' id='bind'><bind xmlns='" BIND "'><jid>" FULL "</jid></bind></iq>");
    } else if (is(s->tag, "enable")) {
        enabled(s, text, sizeof text, 0);
        say("%s", text);
    } else if (is(s->tag, "resume")) {
        server.is.resuming = false;
        server.is.bound = s->resumed && server.is.alive;
        if (!server.is.bound) {
            say("<failed xmlns='" SM "'/>");
            return;
        }
        say("<resumed xmlns='" SM "' previd='s%u' h='%u'/>", server.is.session, handled());
        say_again();
    } else if (is(s->tag, "r") && s->tag[1] == 0) {
        say("<a xmlns='" SM "' h='%u'/>", handled());
    } else if (is(s->tag, "iq") && s->id[0]) {
        say_stanza("<iq type='result' id='%s' from='%s'>%s</iq>", s->id, s->to[0] ? s->to : "juliet@" DOMAIN,
                   is(s->id, "register") ? "<query xmlns='jabber:iq:register'><username/><password/></query>"
                                         : "");
    } else if (is(s->tag, "/stream:stream")) {
        say("</stream:stream>");
        server.is.alive = false;
    }
}

static void answer_all(void)
{
    for (unsigned i = 0; i < server.unanswered; i++)
        answer(&server.said[i]);
    server.unanswered = 0;
}

/* The value of an attribute of the first tag of what was read. */
static void attr(const char *tag, const char *name, char *value, size_t size)
{
    char key[40];
    const char *p, *end = strchr(tag, '>');
    *value = 0;
    snprintf(key, sizeof key, " %s='", name);
    p = strstr(tag, key);
    if (p && end && p < end)
        snprintf(value, size, "%.*s", (int)strcspn(p + strlen(key), "'"), p + strlen(key));
}

/* Is the session there that the client wants to resume? */
static bool resumable(const char *tag)
{
    char id[16], ours[16];
    if (tag == NULL)
        return false;
    attr(tag, "previd", id, sizeof id);
    snprintf(ours, sizeof ours, "s%u", server.is.session);
    return server.is.alive && server.is.counts && strcmp(id, ours) == 0;
}

/* The client tells how many stanzas it has. */
static void acknowledged(const char *tag)
{
    char h[16];
    uint32_t n;
    attr(tag, "h", h, sizeof h);
    n = (uint32_t)strtoul(h, NULL, 10) - server.is.acked;
    if (!app.authentic || !server.is.exact || !server.is.counts)
        return;
    server.is.back = (int32_t)n < 0;
    CHECK(server.is.back ? app.cut : n <= server.is.kept,
          "it acknowledges what was never sent, or less than before");
    if (server.is.back)
        return;
    server.is.acked += n;
    server.is.kept -= n;
    memmove(kept, kept + n, server.is.kept * sizeof kept[0]);
}

/* The client has said something whole. */
static void heard(void)
{
    static struct said last; /* of the login that goes on */
    struct said s;
    char mechanism[32];
    bool stanza;
    const char *body;
    memset(&s, 0, sizeof s);
    s.heard = server.heard;
    server.unit[server.len] = 0;
    see("C: %.500s", server.unit);
    sscanf(server.unit + 1, "%23[^ />]", s.tag);
    if (server.unit[1] == '/' || server.unit[1] == '?')
        snprintf(s.tag, sizeof s.tag, "%s", server.unit[1] == '/' ? "/stream:stream" : "stream:stream");
    attr(server.unit, "id", s.id, sizeof s.id);
    attr(server.unit, "to", s.to, sizeof s.to);
    s.binds = strstr(server.unit, "<bind ") != NULL;
    if (is(s.tag, "auth")) {
        attr(server.unit, "mechanism", mechanism, sizeof mechanism);
        s.two = is(s.tag, "authenticate");
        s.token = is(mechanism, "HT-");
        s.hash = !is(mechanism, "SCRAM") ? 3 : mechanism[10] == '1' ? 0 : mechanism[10] == '2' ? 1 : 2;
        s.wants_token = strstr(server.unit, "<request-token ") != NULL;
        s.resumes = strstr(server.unit, "<resume ") != NULL;
        s.enables = strstr(server.unit, "<enable xmlns='" SM "'") != NULL;
        last = s;
    } else if (is(s.tag, "response") || is(s.tag, "task-data")) {
        char tag[24];
        memcpy(tag, s.tag, sizeof tag);
        s = last;
        memcpy(s.tag, tag, sizeof tag);
    }
    server.is.resuming |= is(s.tag, "resume");
    s.resumed = resumable(strstr(server.unit, "<resume "));
    if (s.resumed)
        acknowledged(strstr(server.unit, "<resume "));
    stanza = is(s.tag, "message") || is(s.tag, "presence") || is(s.tag, "iq");
    if (stanza && !(is(s.tag, "iq") && (is(s.id, "bind") || is(s.id, "register") || is(s.id, "account")))) {
        CHECK(!app.authentic || (app.authenticated && !server.is.resuming), "a stanza before its session");
        server.heard++;
        body = strstr(server.unit, "<body>");
        if (body && app.authentic)
            journal.left[strtoul(body + 6, NULL, 10) % TAGS] = true;
        if (s.id[0] && strstr(server.unit, "type='get'"))
            snprintf(server.last_id, sizeof server.last_id, "%s", s.id);
        if (!strstr(server.unit, "type='get'") && !strstr(server.unit, "type='set'"))
            return;
    }
    if (is(s.tag, "a") && s.tag[1] == 0) {
        acknowledged(server.unit);
        return;
    }
    if (server.unanswered == 32)
        server.unanswered = 0;
    server.said[server.unanswered++] = s;
}

/* Takes a byte of the client, and finds where something ends. */
static void hear(char c)
{
    bool ends = false;
    if (server.len == 0 && c == ' ')
        return;
    if (server.len + 2 > sizeof server.unit)
        server.len = server.depth = 0;
    server.unit[server.len++] = c;
    if (server.quote) {
        server.quote = c == server.quote ? 0 : server.quote;
    } else if (server.in_tag && c == '\'') {
        server.quote = c;
    } else if (c == '<') {
        server.in_tag = true;
        server.from = server.len - 1;
    } else if (c == '>') {
        const char *tag = server.unit + server.from;
        server.in_tag = false;
        if (tag[1] == '/')
            ends = server.depth == 0 || --server.depth == 0;
        else if (server.unit[server.len - 2] == '/')
            ends = server.depth == 0;
        else if (tag[1] == 's' && is(tag, "<stream:stream"))
            ends = true;
        else if (tag[1] != '?')
            server.depth++;
    }
    if (ends) {
        heard();
        server.len = 0;
    }
}

/* Something that should not be said, or not now. */
static void lie(unsigned what)
{
    struct standing was = server.is;
    struct said any = {.tag = "", .hash = 1, .heard = server.heard};
    char text[300];
    unsigned n;
    static const char *const name[] = {
        "conflict",       "system-shutdown",     "policy-violation", "not-authorized",
        "see-other-host", "undefined-condition", "see-other-host",   "reset"};
    static const char *const rest[] = {
        "/>", "/>", "/>", "/>", ">other.example.org:5269</see-other-host>", "/>", ">[::1]:x</see-other-host>",
        "/>"};
    switch (what) {
    case 0:
        say("<a xmlns='" SM "' h='%s'/>", count(pick(7)));
        break;
    case 1:
        say("<r xmlns='" SM "'/>");
        break;
    case 2:
        n = pick(2);
        say("<resumed xmlns='" SM "' previd='s%u' h='%s'/>", server.is.session - n, count(pick(7)));
        server.is.exact = server.is.resuming = false; /* nothing is said again */
        break;
    case 3:
        say("<failed xmlns='" SM "' h='%s'/>", count(pick(7)));
        server.is.resuming = false;
        break;
    case 4:
        enabled(&any, text, sizeof text, pick(4));
        say("%s", text);
        server.is = was;
        server.is.exact = false;
        break;
    case 5:
        any.token = pick(2);
        any.hash = pick(4);
        any.resumes = any.resumed = pick(2);
        any.binds = pick(2);
        any.enables = pick(2);
        success(&any, pick(6), pick(256));
        server.is = was;
        server.is.exact = false;
        break;
    case 6:
        n = pick(8);
        say("<failure xmlns='%s'><%s xmlns='" SASL "'/>%s</failure>", n & 1 ? SASL2 : SASL,
            n & 2 ? "temporary-auth-failure" : "not-authorized",
            n & 4 ? "<config-version-mismatch xmlns='urn:xmpp:iap:0'/>" : "");
        break;
    case 7:
        n = pick(4);
        say("<challenge xmlns='%s'>%s</challenge>", n & 1 ? SASL2 : SASL, n & 2 ? "" : "cj1h");
        break;
    case 8:
        header();
        break;
    case 9:
        features();
        server.is.exact = false; /* whoever binds twice has two sessions */
        break;
    case 10:
        say("</stream:stream>");
        server.is.alive = pick(2);
        break;
    case 11:
        n = pick(8);
        say("<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'%s</stream:error>", name[n],
            rest[n]);
        break;
    case 12:
        n = pick(256);
        say_stanza("<message id='%s' from='romeo@example.net/x' type='%s'><body>%0*u</body></message>",
                   message_id(), n % 4 ? "chat" : "error", (int)n, 1);
        break;
    case 13:
        say_stanza("<presence from='romeo@example.net/x'><priority>%d</priority></presence>",
                   (int)pick(256) - 128);
        break;
    case 14:
        n = pick(6);
        say_stanza("<iq type='%s' id='q' from='romeo@example.net/x'><%s/></iq>", n & 1 ? "get" : "set",
                   n < 2   ? "ping xmlns='urn:xmpp:ping'"
                   : n < 4 ? "query xmlns='urn:fuzz'"
                           : "other xmlns='urn:x'");
        break;
    case 15:
        n = pick(16);
        say_stanza("<iq type='%s' id='%s' from='%s'/>", n & 1 ? "result" : "error",
                   n > 3 ? server.last_id : "carbons", n & 2 ? DOMAIN : "juliet@" DOMAIN);
        break;
    case 16:
        say_stanza("<message id='%s' from='romeo@example.net/x'><body>%0*u</body></message>", message_id(),
                   (int)(500 + pick(9) * 250), 1);
        break;
    case 17:
        say_stanza("<iq type='get' id='d' from='a@b'>%s%s</iq>",
                   "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
                   "</a></a></a></a></a></a></a></a></a></a></a></a></a></a></a></a></a>");
        break;
    case 18:
        say("<continue xmlns='" SASL2
            "'><additional-data/><tasks><task>UPGR-SCRAM-SHA-512</task></tasks></continue>");
        break;
    case 19:
        say_stanza("<iq type='result' id='bind'><bind xmlns='" BIND "'><jid>" FULL "</jid></bind></iq>");
        break;
    case 20:
        say_stanza("<iq type='error' id='bind'><error type='%s'><conflict "
                   "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
                   "</error></iq>",
                   pick(2) ? "wait" : "cancel");
        break;
    case 21:
        say(" \n");
        break;
    default:
        server.is.exact = false;
        for (unsigned i = pick(24); i; i--) {
            char c = (char)pick(256);
            bytes(&c, 1);
        }
        break;
    }
}

/* ---- The link ---- */

static struct {
    bool held;       /* takes no bytes */
    unsigned pieces; /* bytes at once; 0: all */
    unsigned fault;  /* of what is reported next */
} wire;

/* What was under way is gone. */
static void link_anew(bool up)
{
    server.up = up;
    server.at = server.end = server.len = server.depth = 0;
    server.in_tag = false;
    server.quote = 0;
    server.is.in = server.is.bound = server.is.resuming = false;
    server.tls = config.tls == XMPP_TINY_TLS_DIRECT;
    server.unanswered = 0;
    if (!server.is.counts)
        server.is.alive = false;
    wire.held = false;
}

/* What must hold whenever the client is not at work. */
static void check_buffers(void)
{
    size_t room, len;
    enum xmpp_tiny_want want = xmpp_tiny_want(&x);
    const char *window;
    CHECK((xmpp_tiny_state(&x) == XMPP_TINY_STATE_OFF || xmpp_tiny_state(&x) == XMPP_TINY_STATE_WAIT) ==
              (want == XMPP_TINY_WANT_NOTHING),
          "what does it want?");
    CHECK(app.alive == (xmpp_tiny_state(&x) != XMPP_TINY_STATE_OFF), "off, or not?");
    window = (const char *)xmpp_tiny_tx(&x, &len);
    CHECK(len == 0 || (window >= tx && window + len <= tx + config.tx_size), "bytes to be sent from nowhere");
    window = (const char *)xmpp_tiny_rx(&x, &room);
    CHECK(room == 0 || (window >= rx && window + room <= rx + config.rx_size), "a window to nowhere");
}

static bool zeros(const char *from, const char *to)
{
    return from >= to || (*from == 0 && memcmp(from, from + 1, (size_t)(to - from) - 1) == 0);
}

/* Nothing of a connection stays when it has ended, but for what waits and the words of an error. */
static void check_wiped(void)
{
    const struct xmpp_tiny_error *e = xmpp_tiny_error(&x);
    const struct xmpp_tiny_str *words[] = {&e->type, &e->condition, &e->text};
    const char *first = rx + config.rx_size, *last = rx;
    CHECK(app.unsent || zeros(tx, tx + config.tx_size), "the transmit buffer is not wiped");
    for (int i = 0; i < 3; i++)
        if (words[i]->len && words[i]->ptr >= rx && words[i]->ptr < rx + config.rx_size) {
            first = words[i]->ptr < first ? words[i]->ptr : first;
            last = words[i]->ptr + words[i]->len > last ? words[i]->ptr + words[i]->len : last;
        }
    CHECK(zeros(rx, first) && zeros(last, rx + config.rx_size), "the receive buffer is not wiped");
}

/* One look at what the client wants. Returns how long it wants to sleep, 0 if something was done. */
static uint32_t turn(void)
{
    enum xmpp_tiny_want want = xmpp_tiny_want(&x);
    bool moved = true, alive = app.alive;
    uint32_t wait;
    size_t n, room;
    const char *from;
    char *to;
    int result = 1, err = 0;
    if (wire.fault && want != XMPP_TINY_WANT_NOTHING) {
        result = wire.fault & 1 ? -1 : 0;
        err = result ? (wire.fault & 2   ? XMPP_TINY_ERR_LOST
                        : wire.fault & 4 ? XMPP_TINY_ERR_TLS
                                         : XMPP_TINY_ERR_TRUNCATED)
                     : 0;
        see("fault %u at want %d", wire.fault, (int)want);
        wire.fault = 0;
        if (want == XMPP_TINY_WANT_CLOSE)
            link_anew(false);
        xmpp_tiny_report(&x, want, result, err, "a fault");
    } else if (want == XMPP_TINY_WANT_IO) {
        moved = false;
        while (!wire.held && (from = (const char *)xmpp_tiny_tx(&x, &n)) && n) {
            n = wire.pieces && n > wire.pieces ? wire.pieces : n;
            for (size_t i = 0; i < n; i++)
                hear(from[i]);
            xmpp_tiny_sent(&x, n);
            moved = true;
        }
        to = (char *)xmpp_tiny_rx(&x, &room);
        if (to && room && server.at < server.end) {
            n = server.end - server.at;
            n = n > room ? room : n;
            n = wire.pieces && n > wire.pieces ? wire.pieces : n;
            memcpy(to, server.pipe + server.at, n);
            server.at += n;
            if (server.at == server.end)
                server.at = server.end = 0;
            xmpp_tiny_received(&x, n);
            moved = true;
        }
    } else if (want != XMPP_TINY_WANT_NOTHING) {
        if (want == XMPP_TINY_WANT_OPEN || want == XMPP_TINY_WANT_CLOSE)
            link_anew(want == XMPP_TINY_WANT_OPEN);
        if (want == XMPP_TINY_WANT_SECURE)
            server.tls = true;
        xmpp_tiny_report(&x, want, 1, 0, NULL);
    } else {
        moved = false;
    }
    check_buffers();
    wait = xmpp_tiny_step(&x);
    check_buffers();
    if (alive && !app.alive && !app.touched)
        check_wiped();
    CHECK(xmpp_tiny_state(&x) != XMPP_TINY_STATE_OFF || wait == XMPP_TINY_FOREVER, "off, and in a hurry");
    if (xmpp_tiny_rx(&x, &room) && room && server.at < server.end)
        moved = true; /* there is room now */
    return moved ? 0 : wait;
}

/* Until the client has nothing to do. Returns how long it sleeps. */
static uint32_t settle(void)
{
    uint32_t wait;
    for (unsigned i = 0; (wait = turn()) == 0; i++)
        CHECK(i < STEPS, "it is busy for ever");
    return wait;
}

/* ---- The run ---- */

static void set_up(void)
{
    unsigned c = pick(256), d = pick(256), e = pick(256), f = pick(256);
    static const uint32_t mechanisms[] = {0, XMPP_TINY_ALLOW(EXTERNAL), XMPP_TINY_ALLOW(PLAIN),
                                          XMPP_TINY_ALLOW(SCRAM_SHA_256)};
    memset(&config, 0, sizeof config);
    config.jid = c & 1 ? "juliet@" DOMAIN : FULL;
    config.password = "r0m30";
    config.saved = c & 2 && c & 4 ? NULL : &saved;
    config.classic = (c & 24) == 24;
    config.no_pipelining = (c & 96) == 96;
    config.carbons = c & 128;
    config.keep = d & 1;
    config.resend = d & 2;
    config.create_account = (d & 12) == 12;
    config.mechanisms = mechanisms[d >> 4 & 3];
    config.tls = d & 64 ? XMPP_TINY_TLS_START : XMPP_TINY_TLS_DIRECT;
    config.host = d & 128 ? "host.example.org" : NULL;
    config.stream = &stream;
    config.platform = &platform;
    config.crypto = &crypto;
    config.rx_size = XMPP_TINY_RX_MIN + (e & 1 ? 1024 : 300);
    config.queue_size = (size_t[]){512, 256, 1024, 0}[e >> 1 & 3];
    config.tx_size = XMPP_TINY_TX_MIN + config.queue_size + (e & 8 ? 300 : 0);
    config.event = on_event;
    config.handlers = handlers;
    config.handler_count = 1;
    config.user = &app;
    config.iterations_slice = e & 16 ? 2000 : 5000;
    config.redirects_max = e & 32 ? 1 : 0;
    config.ping_ms = e & 64 ? 20000 : 0;
    config.space_ms = e & 128 ? 15000 : 0;
    tls.unique = f & 1;
    tls.saves = f & 2;
    tls.key = tls.certificate = 'k';
    tls.trust = (f >> 2 & 3) == 3 ? XMPP_TINY_TRUST_PIN - XMPP_TINY_TRUST_CA : 0;
    server.offers = (f & 16 ? O_ALL : O_ALL & ~O_SASL2) ^ pick(256) ^ pick(256) << 8;
    now = f & 32 ? UINT32_MAX - 20000 : 0;
}

/* Power comes: what was saved is all there is, or not even that. */
static void power_on(bool loads)
{
    static const struct journal nothing;
    unsigned tags = journal.tags;
    int err = 0;
    free(rx);
    free(tx);
    rx = (char *)malloc(config.rx_size);
    tx = (char *)malloc(config.tx_size);
    if (rx == NULL || tx == NULL)
        exit(1);
    config.rx = memset(rx, 0, config.rx_size);
    config.tx = memset(tx, 0, config.tx_size);
    memset(&saved, 0, sizeof saved);
    memset(&x, 0xA5, sizeof x);
    if (app.requests)
        memset(app.asked, 0, sizeof app.asked);
    app.requests = 0;
    app.alive = app.error = false;
    app.cut = true;
    app.blind = loads;
    app.scripted = 0;
    CHECK(xmpp_tiny_init(&x, &config) == 0, "the configuration");
    if (loads && app.flash_len && config.saved) {
        uint8_t *blob = (uint8_t *)malloc(app.flash_len);
        if (blob == NULL)
            exit(1);
        memcpy(blob, app.flash, app.flash_len);
        err = xmpp_tiny_load(&x, blob, app.flash_len);
        see("load: %d", err);
        free(blob);
        CHECK(!app.authentic || err == 0, "what was saved is not loaded");
    }
    journal = loads && app.flash_len && err == 0 ? journal_saved : nothing;
    for (unsigned i = 1; i <= tags; i++) {
        journal.left[i] = true; /* or it was sent after the save */
        if (i > journal.tags)
            journal.state[i] = TAG_ENDED; /* forgotten */
    }
    journal.tags = tags;
    check_buffers();
}

/* One choice of what happens. */
static void choose(void)
{
    unsigned n;
    size_t at;
    switch (pick(24)) {
    case 0:
    case 1:
    case 2:
    case 3:
        answer_all();
        break;
    case 4:
        if (server.unanswered) {
            answer(&server.said[0]);
            memmove(server.said, server.said + 1, --server.unanswered * sizeof server.said[0]);
        }
        break;
    case 5:
        server.unanswered = 0; /* in silence */
        break;
    case 6:
    case 7:
    case 8:
        lie(pick(24));
        break;
    case 9:
        if (server.unanswered)
            success(&server.said[server.unanswered - 1], pick(6), pick(256));
        server.unanswered = 0;
        break;
    case 10:
    case 11:
    case 12:
        act(pick(256));
        break;
    case 13:
        for (n = app.scripted = pick(8); n; n--)
            app.script[n - 1] = (uint8_t)pick(256);
        break;
    case 14:
        now += pick(256) * 20;
        break;
    case 15:
        now += pick(256) * (pick(2) ? 3000U : 300000U);
        break;
    case 16:
        wire.fault = 8 | pick(8);
        break;
    case 17:
        wire.held = !wire.held;
        break;
    case 18:
        wire.pieces = pick(64);
        break;
    case 19:
        power_on(pick(4));
        break;
    case 20:
        if (app.flash_len && pick(8) == 0) {
            app.authentic = false;
            for (n = 1 + pick(8); n; n--) {
                at = (pick(256) | (size_t)pick(256) << 8) % app.flash_len;
                app.flash[at] = (uint8_t)pick(256);
            }
            power_on(true);
        }
        break;
    case 21:
        server.offers = pick(256) | pick(256) << 8;
        break;
    case 22:
        n = pick(8);
        tls.certificate = (uint8_t)(n & 1 ? 'k' : 'c');
        tls.key = (uint8_t)(n & 2 ? tls.key : n & 4 ? 'K' : 'k');
        tls.unique ^= n == 7;
        break;
    default: /* after billions of stanzas */
        xmpp_tiny_tx(&x, &at);
        if (x.link.flags & 1 && server.is.counts && !server.is.resuming && app.online && at == 0) {
            uint32_t by = UINT32_MAX - handled() - pick(6);
            x.link.in += by, x.link.saves[0].in += by, x.link.saves[1].in += by, x.link.acked += by;
            server.is.base -= by, server.is.acked += by;
            app.flash_len = 0;
        }
        break;
    }
}

/* From now on all are honest: there is a session at last, and every stanza has its end. */
static void recover(void)
{
    uint32_t wait, began = now;
    unsigned calls = 0, steps = 0;
    wire.held = false;
    wire.pieces = wire.fault = 0;
    app.scripted = 0;
    tls.key = tls.certificate = 'k';
    server.offers = O_ALL;
    app.trusts = true;
    app.was_online = app.online;
    memset(&app.script, 0, sizeof app.script);
    see("-- recover");
    for (;;) {
        if (!app.alive) {
            if (calls == 12 && !app.authentic)
                return;
            if (calls == 12) {
                fprintf(stderr, "error %s\n", xmpp_tiny_err_name(xmpp_tiny_error(&x)->code));
                CHECK(false, "it does not come back");
            }
            calls++;
            if (saved.mechanism && calls > 6)
                saved.mechanism = 0; /* what is weaker counts */
            connect();
        }
        wait = settle();
        if (app.alive && server.unanswered == 0) {
            if (app.online && (waiting() == 0 || config.queue_size == 0)) {
                CHECK(!app.authentic || !server_exact() || server.is.messages == 0 ||
                          (journal.session == server.is.session && journal.messages == server.is.messages),
                      "a message is lost");
                break;
            }
            CHECK(wait != XMPP_TINY_FOREVER, "it sleeps for ever");
            now += wait;
        }
        answer_all();
        if (app.was_online && !app.authentic)
            return; /* what it was given to send may be such that it is thrown out */
        CHECK(++steps < 4000, "no end");
        CHECK(now - began < 40000000, "it takes too long");
    }
    act(5);
    for (steps = 0; app.alive; steps++) {
        wait = settle();
        now += server.unanswered || !app.alive ? 0 : wait;
        answer_all();
        CHECK(steps < 100, "it does not close");
    }
    CHECK(!app.authentic || config.queue_size == 0 || waiting() == 0, "a stanza has no end");
    CHECK(app.requests == 0, "a request has no answer");
    CHECK(zeros(tx, tx + config.tx_size), "the transmit buffer is not empty");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    verbose = getenv("FUZZ_VERBOSE") != NULL;
    input = data;
    input_len = size;
    memset(&server, 0, sizeof server);
    memset(&app, 0, sizeof app);
    memset(&journal, 0, sizeof journal);
    memset(&journal_saved, 0, sizeof journal_saved);
    memset(&wire, 0, sizeof wire);
    noise = 1;
    app.authentic = true;
    set_up();
    power_on(false);
    app.cut = false;
    connect();
    settle();
    while (input_len) {
        choose();
        settle();
    }
    recover();
    return 0;
}
