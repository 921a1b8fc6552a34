/* SPDX-License-Identifier: MIT
 *
 * Sending: what the public functions write, read back by the tokenizer; what they refuse, and that
 * nothing of it leaves; full buffers; what may be called when, and from inside the callback.
 * The client logs in by ANONYMOUS to a server of three answers, over the engine or over a port. */
#define _DEFAULT_SOURCE
#include "../../xmpp_tiny.c"

#include "tok.h"

#define SASL    "urn:ietf:params:xml:ns:xmpp-sasl"
#define STANZAS "urn:ietf:params:xml:ns:xmpp-stanzas"
#define HEADER \
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' " \
    "from='example.com' id='1'>"
#define NONE       ((struct xmpp_tiny_str){NULL, 0})
#define S(literal) ((struct xmpp_tiny_str){literal, sizeof(literal) - 1})

#define TX_SIZE 1000
#define RESERVE 200 /* of the transmit buffer; xmpp_tiny.h says so at tx_size */

/* ---- The world around one client ---- */

struct world {
    struct xmpp_tiny_stream stream; /* first: the port's own struct */
    struct xmpp_tiny x;
    struct xmpp_tiny_config config;
    char rx[2048], tx[TX_SIZE];
    struct tape sent;     /* all that left */
    size_t served, shown; /* of sent: answered by the server; handed out by written() */
    char waiting[4096];   /* what the server said and the client has not read */
    size_t waiting_len;
    struct tape events;
    uint32_t clock;
    bool wall;  /* the transport takes no bytes */
    int answer; /* what the callback returns */
    void (*inside)(struct world *w, const struct xmpp_tiny_event *event);
};

static struct world w;
static uint32_t random_state;

static uint32_t world_now(void *ctx)
{
    return ((struct world *)ctx)->clock;
}

static bool world_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    for (size_t i = 0; i < len; i++) {
        random_state = random_state * 1664525U + 1013904223U;
        ((uint8_t *)buf)[i] = (uint8_t)(random_state >> 24);
    }
    return true;
}

static int world_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    struct world *world = (struct world *)user;
    CHECK(x == &world->x);
    tape_record(&world->events, xmpp_tiny_event_name(event->kind));
    if (event->kind == XMPP_TINY_EVENT_ERROR) {
        tape_text(&world->events, ":");
        tape_text(&world->events, xmpp_tiny_err_name(event->error.code));
    }
    if (world->inside)
        world->inside(world, event);
    return world->answer;
}

static int port_open(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port)
{
    (void)s;
    CHECK_STR(host, "example.com");
    CHECK_INT(port, 5223);
    return 1;
}

static int port_secure(struct xmpp_tiny_stream *s, struct xmpp_tiny_str name)
{
    (void)s;
    CHECK_STR(name, "example.com");
    return 1;
}

static int port_read(struct xmpp_tiny_stream *s, void *buf, size_t len)
{
    (void)s;
    len = len < w.waiting_len ? len : w.waiting_len;
    memcpy(buf, w.waiting, len);
    w.waiting_len -= len;
    memmove(w.waiting, w.waiting + len, w.waiting_len);
    return len ? (int)len : XMPP_TINY_IO_AGAIN;
}

static int port_write(struct xmpp_tiny_stream *s, const void *buf, size_t len)
{
    (void)s;
    if (w.wall)
        return XMPP_TINY_IO_AGAIN;
    tape_add(&w.sent, (const char *)buf, len);
    return (int)len;
}

static int port_shut(struct xmpp_tiny_stream *s)
{
    (void)s;
    return 1;
}

static void port_close(struct xmpp_tiny_stream *s)
{
    (void)s;
}

static int port_binding(struct xmpp_tiny_stream *s, enum xmpp_tiny_binding type, uint8_t *out)
{
    (void)s, (void)type, (void)out;
    return XMPP_TINY_IO_FAILED;
}

static int port_error(struct xmpp_tiny_stream *s, const char **detail)
{
    (void)s;
    *detail = NULL;
    return XMPP_TINY_ERR_LOST;
}

static const struct xmpp_tiny_stream_ops port_ops = {
    port_open,    port_secure, port_read, port_write, port_shut,  port_close,
    port_binding, NULL,        NULL,      NULL,       port_error,
};

/* ANONYMOUS needs none. */
static unsigned crypto_calls;

static void no_hash(enum xmpp_tiny_hash h, const void *data, size_t len, uint8_t *digest)
{
    (void)h, (void)data, (void)len, (void)digest;
    crypto_calls++;
}

static void no_hmac(enum xmpp_tiny_hash h, const void *key, size_t key_len, const struct xmpp_tiny_str *parts,
                    size_t count, uint8_t *digest)
{
    (void)h, (void)key, (void)key_len, (void)parts, (void)count, (void)digest;
    crypto_calls++;
}

static void no_pbkdf2(enum xmpp_tiny_hash h, const void *key, size_t key_len, uint8_t *u, uint8_t *t,
                      uint32_t rounds)
{
    (void)h, (void)key, (void)key_len, (void)u, (void)t, (void)rounds;
    crypto_calls++;
}

static const struct xmpp_tiny_crypto crypto = {no_hash, no_hmac, no_pbkdf2};
static struct xmpp_tiny_platform platform;

static void world_init(void)
{
    memset(&w, 0, sizeof w);
    platform.now_ms = world_now;
    platform.random = world_random;
    platform.ctx = &w;
    w.stream.ops = &port_ops;
    w.config.jid = "example.com";
    w.config.mechanisms = XMPP_TINY_ALLOW(ANONYMOUS);
    w.config.tls = XMPP_TINY_TLS_DIRECT;
    w.config.stream = &w.stream;
    w.config.platform = &platform;
    w.config.crypto = &crypto;
    w.config.rx = w.rx;
    w.config.rx_size = sizeof w.rx;
    w.config.tx = w.tx;
    w.config.tx_size = sizeof w.tx;
    w.config.ping_ms = XMPP_TINY_FOREVER;
    w.config.no_pipelining = true; /* the server takes one thing at a time */
    w.config.event = world_event;
    w.config.user = &w;
    CHECK_INT(xmpp_tiny_init(&w.x, &w.config), 0);
}

static void say(const char *text)
{
    size_t len = strlen(text);
    memcpy(w.waiting + w.waiting_len, text, len);
    w.waiting_len += len;
}

/* The server: answers what was sent since it last looked. */
static void serve(void)
{
    const char *news = w.sent.text + w.served, *id;
    char result[256];
    if (strstr(news, "<stream:stream")) {
        say(HEADER);
        say(strstr(w.sent.text, "<auth")
                ? "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
                : "<stream:features><mechanisms xmlns='" SASL "'><mechanism>ANONYMOUS</mechanism>"
                  "</mechanisms></stream:features>");
    } else if (strstr(news, "<auth")) {
        say("<success xmlns='" SASL "'/>");
    } else if (strstr(news, "xmpp-bind'") && (id = strstr(news, "id='")) != NULL) {
        snprintf(result, sizeof result,
                 "<iq type='result' id='%.*s'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                 "<jid>anon@example.com/r</jid></bind></iq>",
                 (int)strcspn(id + 4, "'"), id + 4);
        say(result);
    }
    if (strstr(news, "</stream:stream>"))
        say("</stream:stream>");
    w.served = w.sent.len;
}

/* Lets bytes leave: at most `most`. */
static void drain(size_t most)
{
    size_t len;
    const char *p;
    while (most && (p = (const char *)xmpp_tiny_tx(&w.x, &len)) != NULL && len) {
        len = len < most ? len : most;
        tape_add(&w.sent, p, len);
        xmpp_tiny_sent(&w.x, len);
        most -= len;
    }
}

/* Bytes that have not left, without the heads of their entries. */
static size_t pending(void)
{
    size_t len = 0;
    for (size_t at = 0; at < w.x.out.commit; at = entry_end(&w.x, at))
        len += entry_len(entry(&w.x, at));
    return len - w.x.out.gone;
}

static void steps(void)
{
    for (int i = 0; i < 20; i++)
        xmpp_tiny_step(&w.x);
}

/* One turn of an event loop that uses the engine. */
static void turn(void)
{
    size_t room;
    void *window;
    int n;
    switch (xmpp_tiny_want(&w.x)) {
    case XMPP_TINY_WANT_OPEN:
        xmpp_tiny_report(&w.x, XMPP_TINY_WANT_OPEN, 1, 0, NULL);
        break;
    case XMPP_TINY_WANT_SECURE:
        xmpp_tiny_report(&w.x, XMPP_TINY_WANT_SECURE, 1, 0, NULL);
        break;
    case XMPP_TINY_WANT_IO:
        if (!w.wall)
            drain(SIZE_MAX);
        window = xmpp_tiny_rx(&w.x, &room);
        if (window && room) {
            n = port_read(NULL, window, room);
            if (n > 0)
                xmpp_tiny_received(&w.x, (size_t)n);
        }
        break;
    case XMPP_TINY_WANT_SHUT:
        xmpp_tiny_report(&w.x, XMPP_TINY_WANT_SHUT, 1, 0, NULL);
        break;
    case XMPP_TINY_WANT_CLOSE:
        xmpp_tiny_report(&w.x, XMPP_TINY_WANT_CLOSE, 1, 0, NULL);
        break;
    case XMPP_TINY_WANT_NOTHING:
        break;
    }
    steps();
}

static void turns(int n, bool over_port)
{
    while (n--) {
        if (over_port)
            xmpp_tiny_poll(&w.x);
        else
            turn();
        serve();
    }
}

/* Online, with nothing written or told that a test has to step over. */
static void online(void)
{
    world_init();
    CHECK_INT(xmpp_tiny_connect(&w.x), 0);
    turns(20, false);
    CHECK_INT(xmpp_tiny_state(&w.x), XMPP_TINY_STATE_ONLINE);
    CHECK_TEXT(w.events.text, "CONNECTED SECURED AUTHENTICATED ONLINE");
    w.events.len = 0;
    w.events.text[0] = 0;
    w.shown = w.sent.len;
}

static void events_are(const char *want)
{
    CHECK_TEXT(w.events.text, want);
    w.events.len = 0;
    w.events.text[0] = 0;
}

/* The server says something, and the client handles it; what it writes waits. */
static void hear(const char *text)
{
    bool was = w.wall;
    w.wall = true;
    say(text);
    turn();
    w.wall = was;
}

/* What left since last time, drained first, as the tokenizer reads it: records without the root's. */
static const char *written(void)
{
    static struct reader r;
    drain(SIZE_MAX);
    reader_init(&r, 8192, 0);
    reader_feed(&r, HEADER, sizeof HEADER - 1);
    r.log.len = 0;
    r.log.text[0] = 0;
    reader_feed(&r, w.sent.text + w.shown, w.sent.len - w.shown);
    w.shown = w.sent.len;
    for (char *at = strstr(r.log.text, "{jabber:client}"); at; at = strstr(at, "{jabber:client}"))
        memmove(at, at + 15, strlen(at + 15) + 1);
    return r.log.text;
}

static int send_body(struct xmpp_tiny_str body)
{
    struct xmpp_tiny_message m = {S("a@b"), NONE, NONE, NONE, body, NONE};
    return xmpp_tiny_message(&w.x, &m);
}

/* ---- What is written ---- */

static void test_message(void)
{
    struct xmpp_tiny_message m = {S("a@b/c"), S("chat"), S("i1"), S("subject"), S("body"), S("t1")};
    online();
    CHECK_INT(xmpp_tiny_message(&w.x, &m), 0);
    CHECK_TEXT(written(), "Umessage to='a@b/c' type='chat' id='i1'[subject[subject]body[body]thread[t1]]");
    memset(&m, 0, sizeof m);
    CHECK_INT(xmpp_tiny_message(&w.x, &m), 0);
    CHECK_TEXT(written(), "Umessage[]");
    m.to = m.type = m.id = m.subject = m.body = m.thread = S("");
    CHECK_INT(xmpp_tiny_message(&w.x, &m), 0);
    CHECK_TEXT(written(), "Umessage to='' type='' id=''[subject[]body[]thread[]]");
}

/* Whatever XML would misread comes back as it was meant. */
static void test_escapes(void)
{
#define HARD "<a b='c' d=\"e\">&amp;\r\n\t\r ]]> \x7F \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 "
    struct xmpp_tiny_message m = {S(HARD), S(HARD), S(HARD), S(HARD), S(HARD), S(HARD)};
    struct xmpp_tiny_presence p = {S(HARD), S(HARD), S(HARD), S(HARD), S(HARD), 0};
    online();
    CHECK_INT(xmpp_tiny_message(&w.x, &m), 0);
    CHECK_TEXT(written(), "Umessage to='" HARD "' type='" HARD "' id='" HARD "'[subject[" HARD "]body[" HARD
                          "]thread[" HARD "]]");
    CHECK_INT(xmpp_tiny_presence(&w.x, &p), 0);
    CHECK_TEXT(written(),
               "Upresence to='" HARD "' type='" HARD "' id='" HARD "'[show[" HARD "]status[" HARD "]]");
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_start(&w.x, "x", "n<&>'");
    xmpp_tiny_put_attr(&w.x, "y", S(HARD));
    xmpp_tiny_put_text(&w.x, S(HARD));
    xmpp_tiny_put_element(&w.x, "z", NULL, S(HARD));
    CHECK_INT(xmpp_tiny_send(&w.x), 0);
    CHECK_TEXT(written(), "Umessage[{n<&>'}x y='" HARD "'[" HARD "{n<&>'}z[" HARD "]]]");
#undef HARD
}

/* Every ASCII character in text and in a value: back as it was, or refused. */
static void test_every_byte(void)
{
    online();
    for (unsigned c = 0; c < 256; c++) {
        char byte = (char)c, want[64];
        bool good = c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0x80);
        struct xmpp_tiny_str s = {&byte, 1};
        xmpp_tiny_begin(&w.x, "m", NONE, NONE, s);
        xmpp_tiny_put_text(&w.x, s);
        CHECK_INT(xmpp_tiny_send(&w.x), good ? 0 : XMPP_TINY_ERR_TEXT);
        snprintf(want, sizeof want, "Um id='%c'[%c]", (int)c, (int)c);
        CHECK_TEXT(written(), good ? want : "");
    }
}

#define BAD(literal) \
    { \
        literal, sizeof(literal) - 1 \
    }
static const struct xmpp_tiny_str bad_texts[] = {
    BAD("\0"),
    BAD("a\0"),
    BAD("\x01"),
    BAD("\x1F"),
    BAD("\x80"),
    BAD("\xC3"),
    BAD("a\xC3z"),
    BAD("\xE2\x82"),
    BAD("\xC0\x80"),
    BAD("\xE0\x80\x80"),
    BAD("\xED\xA0\x80"),
    BAD("\xED\xBF\xBF"),
    BAD("\xEF\xBF\xBE"),
    BAD("\xEF\xBF\xBF"),
    BAD("\xF0\x8F\xBF\xBF"),
    BAD("\xF4\x90\x80\x80"),
    BAD("\xF8\x88\x80\x80\x80"),
    BAD("\xFF"),
    BAD("good\xF0\x9F\x98"),
};

/* In every place a string can stand: TEXT, and nothing leaves. */
static void test_bad_text(void)
{
    online();
    CHECK_INT(send_body(S("before")), 0);
    for (size_t i = 0; i < sizeof bad_texts / sizeof *bad_texts; i++) {
        struct xmpp_tiny_str bad = bad_texts[i];
        size_t before = pending();
        for (int place = 0; place < 16; place++) {
            struct xmpp_tiny_message m = {S("a@b"), NONE, NONE, NONE, NONE, NONE};
            struct xmpp_tiny_presence p = {NONE, NONE, NONE, NONE, NONE, 1};
            struct xmpp_tiny_str *const slots[] = {&m.to, &m.type, &m.id, &m.subject, &m.body,  &m.thread,
                                                   &p.to, &p.type, &p.id, &p.show,    &p.status};
            int err;
            if (place < 11) {
                *slots[place] = bad;
                err = place < 6 ? xmpp_tiny_message(&w.x, &m) : xmpp_tiny_presence(&w.x, &p);
            } else if (place == 11) {
                err = xmpp_tiny_send_raw(&w.x, bad);
            } else {
                xmpp_tiny_begin(&w.x, "message", S("a@b"), NONE, NONE);
                xmpp_tiny_put_start(&w.x, "x", "u");
                if (place == 12)
                    xmpp_tiny_put_attr(&w.x, "y", bad);
                else if (place == 13)
                    xmpp_tiny_put_text(&w.x, bad);
                else if (place == 14)
                    xmpp_tiny_put_raw(&w.x, bad);
                else
                    xmpp_tiny_put_element(&w.x, "z", NULL, bad);
                xmpp_tiny_put_text(&w.x, S("more"));
                err = xmpp_tiny_send(&w.x);
            }
            CHECK_INT(err, XMPP_TINY_ERR_TEXT);
            CHECK_INT(pending(), before);
        }
    }
    CHECK_INT(send_body(S("after")), 0);
    CHECK_TEXT(written(), "Umessage to='a@b'[body[before]] Umessage to='a@b'[body[after]]");
    events_are("");
}

static void test_presence(void)
{
    struct xmpp_tiny_presence p = {NONE, NONE, NONE, NONE, NONE, 0};
    online();
    CHECK_INT(xmpp_tiny_presence(&w.x, &p), 0);
    CHECK_TEXT(written(), "Upresence[]");
    p = (struct xmpp_tiny_presence){S("a@b"), S("subscribe"), S("i"), S("away"), S("s"), 5};
    CHECK_INT(xmpp_tiny_presence(&w.x, &p), 0);
    CHECK_TEXT(written(), "Upresence to='a@b' type='subscribe' id='i'[show[away]status[s]priority[5]]");
    memset(&p, 0, sizeof p);
    for (int n = -128; n <= 127; n++) {
        char want[64];
        p.priority = (int8_t)n;
        snprintf(want, sizeof want, "Upresence[priority[%d]]", n);
        CHECK_INT(xmpp_tiny_presence(&w.x, &p), 0);
        CHECK_TEXT(written(), n ? want : "Upresence[]");
    }
}

static void test_pieces(void)
{
    online();
    /* what is open is closed */
    xmpp_tiny_begin(&w.x, "message", S("a@b"), S("chat"), S("i"));
    xmpp_tiny_put_start(&w.x, "a", "u");
    xmpp_tiny_put_start(&w.x, "b", NULL);
    xmpp_tiny_put_attr(&w.x, "c", S("1"));
    xmpp_tiny_put_attr(&w.x, "d", NONE);
    xmpp_tiny_put_attr(&w.x, "e", S(""));
    xmpp_tiny_put_end(&w.x);
    xmpp_tiny_put_element(&w.x, "f", "v", S("g"));
    xmpp_tiny_put_element(&w.x, "h", NULL, S(""));
    xmpp_tiny_put_element(&w.x, "i", NULL, NONE);
    xmpp_tiny_put_text(&w.x, S("j"));
    xmpp_tiny_put_start(&w.x, "k", NULL);
    CHECK_INT(xmpp_tiny_send(&w.x), 0);
    CHECK_TEXT(written(),
               "Umessage to='a@b' type='chat' id='i'[{u}a[{u}b c='1' e=''[]{v}f[g]{u}h[]j{u}k[]]]");

    /* absent text is no text */
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_text(&w.x, NONE);
    xmpp_tiny_put_raw(&w.x, NONE);
    xmpp_tiny_put_text(&w.x, S(""));
    CHECK_INT(xmpp_tiny_send(&w.x), 0);
    CHECK_TEXT(written(), "Umessage[]");

    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_raw(&w.x, S("<a xmlns='u'>1</a>"));
    xmpp_tiny_put_text(&w.x, S("2"));
    xmpp_tiny_put_raw(&w.x, S("<b/>"));
    CHECK_INT(xmpp_tiny_send(&w.x), 0);
    CHECK_TEXT(written(), "Umessage[{u}a[1]2b[]]");

    /* another stanza begun: the first is gone */
    xmpp_tiny_begin(&w.x, "message", S("a@b"), NONE, NONE);
    xmpp_tiny_put_start(&w.x, "a", NULL);
    xmpp_tiny_put_text(&w.x, S("\xFF"));
    xmpp_tiny_begin(&w.x, "presence", NONE, NONE, NONE);
    CHECK_INT(xmpp_tiny_send(&w.x), 0);
    CHECK_TEXT(written(), "Upresence[]");
    xmpp_tiny_begin(&w.x, "message", S("a@b"), NONE, NONE);
    CHECK_INT(send_body(S("x")), 0);
    CHECK_INT(xmpp_tiny_send(&w.x), XMPP_TINY_ERR_STATE);
    CHECK_TEXT(written(), "Umessage to='a@b'[body[x]]");
}

static void test_base64(void)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"}, /* [RFC4648 10] */
        {"\xFB\xFF\xBE", "+/++"},
    };
    online();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char want[64];
        xmpp_tiny_begin(&w.x, "m", NONE, NONE, NONE);
        xmpp_tiny_put_start(&w.x, "a", NULL);
        xmpp_tiny_put_base64(&w.x, rows[i][0], strlen(rows[i][0]));
        xmpp_tiny_put_end(&w.x);
        xmpp_tiny_put_element(&w.x, "b", NULL, S("t"));
        CHECK_INT(xmpp_tiny_send(&w.x), 0);
        snprintf(want, sizeof want, "Um[a[%s]b[t]]", rows[i][1]);
        CHECK_TEXT(written(), want);
    }
}

/* ---- What is refused ---- */

/* The first error sticks, nothing leaves, and the next stanza is none the worse. */
static void refused(int want)
{
    CHECK_INT(xmpp_tiny_send(&w.x), want);
    CHECK_INT(pending(), 0);
    CHECK_INT(xmpp_tiny_send(&w.x), XMPP_TINY_ERR_STATE);
    CHECK_INT(send_body(S("ok")), 0);
    CHECK_TEXT(written(), "Umessage to='a@b'[body[ok]]");
}

static void test_misuse(void)
{
    online();
    /* an attribute after text, after a child, after its end */
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_text(&w.x, S("t"));
    xmpp_tiny_put_attr(&w.x, "a", S("1"));
    xmpp_tiny_put_element(&w.x, "b", NULL, S("good"));
    refused(XMPP_TINY_ERR_ARGUMENT);
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_element(&w.x, "b", NULL, S(""));
    xmpp_tiny_put_attr(&w.x, "a", S("1"));
    refused(XMPP_TINY_ERR_ARGUMENT);
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_raw(&w.x, S("<b/>"));
    xmpp_tiny_put_attr(&w.x, "a", S("1"));
    refused(XMPP_TINY_ERR_ARGUMENT);
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_base64(&w.x, "b", 1);
    xmpp_tiny_put_attr(&w.x, "a", S("1"));
    refused(XMPP_TINY_ERR_ARGUMENT);
    /* more ends than starts */
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_end(&w.x);
    xmpp_tiny_put_end(&w.x);
    refused(XMPP_TINY_ERR_ARGUMENT);
    /* behind the stanza's own end there is nothing to write to */
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_end(&w.x);
    xmpp_tiny_put_text(&w.x, S("t"));
    refused(XMPP_TINY_ERR_ARGUMENT);
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_end(&w.x);
    xmpp_tiny_put_start(&w.x, "message", NULL);
    refused(XMPP_TINY_ERR_ARGUMENT);
    /* no name */
    xmpp_tiny_begin(&w.x, NULL, NONE, NONE, NONE);
    refused(XMPP_TINY_ERR_ARGUMENT);
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_start(&w.x, NULL, "u");
    xmpp_tiny_put_end(&w.x);
    refused(XMPP_TINY_ERR_ARGUMENT);
    /* the first error is the one that is told */
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_text(&w.x, S("\xFF"));
    xmpp_tiny_put_attr(&w.x, "a", S("1"));
    refused(XMPP_TINY_ERR_TEXT);
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_text(&w.x, S("t"));
    xmpp_tiny_put_attr(&w.x, "a", S("1"));
    xmpp_tiny_put_text(&w.x, S("\xFF"));
    refused(XMPP_TINY_ERR_ARGUMENT);
    /* nothing begun */
    xmpp_tiny_put_start(&w.x, "a", NULL);
    xmpp_tiny_put_attr(&w.x, "b", S("1"));
    xmpp_tiny_put_text(&w.x, S("t"));
    xmpp_tiny_put_end(&w.x);
    refused(XMPP_TINY_ERR_STATE);
}

/* The stanza and five elements inside it may be open. */
static void test_depth(void)
{
    for (int levels = 5; levels <= 7; levels++) {
        online();
        xmpp_tiny_begin(&w.x, "m", NONE, NONE, NONE);
        for (int i = 1; i < levels; i++)
            xmpp_tiny_put_start(&w.x, "a", NULL);
        xmpp_tiny_put_text(&w.x, S("t"));
        if (levels == 7) {
            for (int i = 1; i < levels; i++)
                xmpp_tiny_put_end(&w.x);
            refused(XMPP_TINY_ERR_ARGUMENT);
            continue;
        }
        CHECK_INT(xmpp_tiny_send(&w.x), 0);
        CHECK_TEXT(written(), levels == 5 ? "Um[a[a[a[a[t]]]]]" : "Um[a[a[a[a[a[t]]]]]]");
    }
    /* closed ones do not count */
    online();
    xmpp_tiny_begin(&w.x, "m", NONE, NONE, NONE);
    for (int i = 0; i < 9; i++)
        xmpp_tiny_put_element(&w.x, "a", NULL, S(""));
    CHECK_INT(xmpp_tiny_send(&w.x), 0);
    CHECK_TEXT(written(), "Um[a[]a[]a[]a[]a[]a[]a[]a[]a[]]");
}

/* ---- Room ---- */

static char filler[4096];

static struct xmpp_tiny_str fill(size_t len)
{
    memset(filler, 'x', sizeof filler);
    return (struct xmpp_tiny_str){filler, len};
}

static void test_too_big(void)
{
    size_t around = strlen("<message to='a@b'><body></body></message>"), most = TX_SIZE - RESERVE - around;
    online();
    CHECK_INT(send_body(fill(most)), 0);
    CHECK_INT(pending(), TX_SIZE - RESERVE);
    CHECK_INT(strlen(written()), strlen("Umessage to='a@b'[body[]]") + most);
    CHECK_INT(send_body(fill(most + 1)), XMPP_TINY_ERR_TOO_BIG);
    CHECK_INT(send_body(fill(4000)), XMPP_TINY_ERR_TOO_BIG);
    CHECK_INT(xmpp_tiny_send_raw(&w.x, fill(TX_SIZE - RESERVE + 1)), XMPP_TINY_ERR_TOO_BIG);
    CHECK_INT(pending(), 0);
    turn();
    events_are(""); /* there is nothing to wait for */
    /* behind another stanza it may not be known yet that it never fits */
    CHECK_INT(send_body(S("a")), 0);
    CHECK_INT(send_body(fill(4000)), XMPP_TINY_ERR_TOO_BIG);
    CHECK_INT(send_body(fill(most + 1)), XMPP_TINY_ERR_AGAIN);
    CHECK_TEXT(written(), "Umessage to='a@b'[body[a]]");
    turn();
    events_are("ROOM");
    CHECK_INT(send_body(fill(most + 1)), XMPP_TINY_ERR_TOO_BIG);
    /* with escapes it is what is written that counts */
    memset(filler, '&', 200);
    CHECK_INT(send_body((struct xmpp_tiny_str){filler, 200}), XMPP_TINY_ERR_TOO_BIG);
    CHECK_INT(send_body((struct xmpp_tiny_str){filler, 150}), 0);
}

/* A full buffer holds whole stanzas only; ROOM comes when it has drained, once, and only if asked for. */
static void test_again(void)
{
    size_t count = 0;
    const char *log;
    online();
    w.wall = true;
    while (send_body(fill(90)) == 0)
        count++;
    CHECK_INT(count, (TX_SIZE - RESERVE + HEAD) / (90 + 41 + HEAD));
    CHECK_INT(send_body(fill(90)), XMPP_TINY_ERR_AGAIN);
    CHECK_INT(pending(), count * (90 + 41));
    turn();
    events_are("");
    drain(1);
    turn();
    events_are(""); /* not yet */
    CHECK_INT(send_body(fill(90)), XMPP_TINY_ERR_AGAIN);
    drain(200);
    CHECK_INT(send_body(fill(90)), 0); /* there is room before it is said */
    count++;
    w.wall = false;
    drain(SIZE_MAX);
    CHECK_INT(xmpp_tiny_step(&w.x), 0); /* it may have sent something: at once, not at a deadline */
    events_are("ROOM");
    turn();
    events_are("");
    log = written();
    for (size_t i = 0; i < count; i++) {
        CHECK(strncmp(log, i ? " Umessage to='a@b'[body[xxx" : "Umessage to='a@b'[body[xxx", 26) == 0);
        log += i ? 90 + 26 : 90 + 25;
    }
    CHECK_TEXT(log, "");
    /* nothing was refused: nobody waits */
    CHECK_INT(send_body(fill(500)), 0);
    turn();
    turn();
    events_are("");
}

/* A stanza that does not fit leaves no half of it, wherever the buffer ends. */
static void test_every_limit(void)
{
    for (size_t used = 0; used < TX_SIZE - RESERVE; used += 7) {
        int err;
        online();
        w.wall = true;
        if (used)
            CHECK_INT(xmpp_tiny_send_raw(&w.x, fill(used)), 0);
        xmpp_tiny_begin(&w.x, "message", S("a&b"), NONE, NONE);
        xmpp_tiny_put_start(&w.x, "x", "urn:x");
        xmpp_tiny_put_attr(&w.x, "y", S("<<<<<<<<<<<<<<<<"));
        xmpp_tiny_put_base64(&w.x, "0123456789", 10);
        xmpp_tiny_put_text(&w.x, S("text & text"));
        err = xmpp_tiny_send(&w.x);
        if (err) {
            CHECK_INT(err, XMPP_TINY_ERR_AGAIN);
            CHECK_INT(pending(), used);
            drain(SIZE_MAX);
            w.shown = w.sent.len;
            CHECK_INT(send_body(S("next")), 0);
            CHECK_TEXT(written(), "Umessage to='a@b'[body[next]]");
        } else {
            drain(used);
            w.shown = w.sent.len;
            CHECK_TEXT(written(),
                       "Umessage to='a&b'[{urn:x}x y='<<<<<<<<<<<<<<<<'[MDEyMzQ1Njc4OQ==text & text]]");
        }
    }
}

/* Whatever leaves between and during the writing, it is all there, in its order. */
static void test_order(void)
{
    for (size_t bite = 1; bite < 60; bite += 3) {
        static struct tape want;
        want.len = 0;
        online();
        for (unsigned i = 0; i < 60; i++) {
            char body[16], record[64];
            int err;
            snprintf(body, sizeof body, "%u", i);
            do {
                xmpp_tiny_begin(&w.x, "m", NONE, NONE, NONE);
                drain(bite / 2); /* an event loop may send while a stanza is being built */
                xmpp_tiny_put_start(&w.x, "b", NULL);
                drain(bite);
                xmpp_tiny_put_text(&w.x, xmpp_tiny_str(body));
                err = xmpp_tiny_send(&w.x);
                drain(bite);
            } while (err == XMPP_TINY_ERR_AGAIN);
            CHECK_INT(err, 0);
            snprintf(record, sizeof record, "%sUm[b[%u]]", i ? " " : "", i);
            tape_text(&want, record);
        }
        CHECK_TEXT(written(), want.text);
    }
}

static void test_raw(void)
{
    online();
    CHECK_INT(xmpp_tiny_send_raw(&w.x, S("<message><body>a &amp; b</body></message>")), 0);
    CHECK_INT(pending(), 41);
    drain(SIZE_MAX);
    CHECK_TEXT(w.sent.text + w.shown, "<message><body>a &amp; b</body></message>");
}

/* ---- Requests ---- */

static int request(struct xmpp_tiny_str to)
{
    xmpp_tiny_begin_request(&w.x, "get", to, 5000);
    xmpp_tiny_put_start(&w.x, "q", "u");
    return xmpp_tiny_send(&w.x);
}

/* The ids of the requests that left since last time. */
static void request_ids(char ids[][40], size_t count)
{
    const char *at;
    drain(SIZE_MAX);
    at = w.sent.text + w.shown;
    for (size_t i = 0; i < count; i++) {
        at = at ? strstr(at, " id='") : NULL;
        ids[i][0] = 0;
        CHECK(at != NULL);
        if (at == NULL)
            continue;
        at += 5;
        snprintf(ids[i], 40, "%.*s", (int)strcspn(at, "'"), at);
    }
    w.shown = w.sent.len;
}

static void test_requests(void)
{
    char ids[XMPP_TINY_MAX_REQUESTS][40], answer[160], want[256];
    online();
    for (int i = 0; i < XMPP_TINY_MAX_REQUESTS; i++)
        CHECK_INT(request(S("a@b")), i + 1);
    request_ids(ids, XMPP_TINY_MAX_REQUESTS);
    for (int i = 0; i < XMPP_TINY_MAX_REQUESTS; i++)
        for (int k = 0; k < i; k++)
            CHECK(strcmp(ids[i], ids[k]) != 0);
    /* the table is full, with an empty buffer and with one that is not */
    CHECK_INT(request(S("a@b")), XMPP_TINY_ERR_BUSY);
    CHECK_INT(xmpp_tiny_ping(&w.x, NONE, 0), XMPP_TINY_ERR_BUSY);
    CHECK_INT(pending(), 0);
    CHECK_INT(send_body(S("x")), 0);
    CHECK_INT(request(S("a@b")), XMPP_TINY_ERR_BUSY);
    CHECK_TEXT(written(), "Umessage to='a@b'[body[x]]");
    /* that is no matter of room: an answer tells when a place is free */
    turn();
    turn();
    events_are("");
    snprintf(answer, sizeof answer, "<iq type='result' id='%s' from='a@b'/>", ids[1]);
    hear(answer);
    turn();
    turn();
    events_are("ANSWER");
    CHECK_INT(request(S("a@b")), XMPP_TINY_MAX_REQUESTS + 1);
    request_ids(ids, 1);
    CHECK_INT(request(S("a@b")), XMPP_TINY_ERR_BUSY);
    w.clock += 5001;
    turn();
    turn();
    snprintf(want, sizeof want, "%s", "");
    for (int i = 0; i < XMPP_TINY_MAX_REQUESTS; i++)
        snprintf(want + strlen(want), sizeof want - strlen(want), "%sANSWER", i ? " " : "");
    turn();
    events_are(want);
}

static void test_request_refused(void)
{
    online();
    /* what was not sent takes no place */
    for (int i = 0; i < 3 * XMPP_TINY_MAX_REQUESTS; i++) {
        xmpp_tiny_begin_request(&w.x, "set", S("a@b"), 0);
        xmpp_tiny_put_text(&w.x, S("\xFF"));
        CHECK_INT(xmpp_tiny_send(&w.x), XMPP_TINY_ERR_TEXT);
        xmpp_tiny_begin_request(&w.x, "set", S("a@b"), 0);
        CHECK_INT(request(S("a b@c")), XMPP_TINY_ERR_ARGUMENT);
        CHECK_INT(request(S("")), XMPP_TINY_ERR_ARGUMENT);
        CHECK_INT(xmpp_tiny_ping(&w.x, S("@"), 0), XMPP_TINY_ERR_ARGUMENT);
    }
    CHECK_INT(pending(), 0);
    CHECK_INT(xmpp_tiny_ping(&w.x, NONE, 0), 1);
    drain(SIZE_MAX);
    CHECK(strstr(w.sent.text + w.shown, "to='example.com'") != NULL);
    CHECK(strstr(w.sent.text + w.shown, "<ping xmlns='urn:xmpp:ping'/></iq>") != NULL);
    /* a full buffer takes none either */
    online();
    w.wall = true;
    CHECK_INT(xmpp_tiny_send_raw(&w.x, fill(TX_SIZE - RESERVE - 20)), 0);
    for (int i = 0; i < 3 * XMPP_TINY_MAX_REQUESTS; i++)
        CHECK_INT(request(S("a@b")), XMPP_TINY_ERR_AGAIN);
    drain(SIZE_MAX);
    CHECK_INT(request(NONE), 1);
}

/* ---- Answers ---- */

static void reject_inside(struct world *world, const struct xmpp_tiny_event *event)
{
    (void)world;
    if (event->kind != XMPP_TINY_EVENT_MESSAGE && event->kind != XMPP_TINY_EVENT_PRESENCE)
        return;
    CHECK_INT(xmpp_tiny_reject(&w.x, event->el, XMPP_TINY_CONDITION_NONE_, NONE), XMPP_TINY_ERR_ARGUMENT);
    CHECK_INT(xmpp_tiny_reject(&w.x, event->el, (enum xmpp_tiny_condition)99, NONE), XMPP_TINY_ERR_ARGUMENT);
    CHECK_INT(
        xmpp_tiny_reject(&w.x, xmpp_tiny_child(event->el, "none", NULL), XMPP_TINY_CONDITION_GONE, NONE),
        XMPP_TINY_ERR_ARGUMENT);
    if (xmpp_tiny_same(event->type, S("error"))) {
        CHECK_INT(xmpp_tiny_reject(&w.x, event->el, XMPP_TINY_CONDITION_GONE, NONE), XMPP_TINY_ERR_ARGUMENT);
        return;
    }
    CHECK_INT(xmpp_tiny_reject(&w.x, event->el, XMPP_TINY_CONDITION_NOT_ACCEPTABLE, S("\x01")),
              XMPP_TINY_ERR_TEXT);
    CHECK_INT(xmpp_tiny_reject(&w.x, event->el, XMPP_TINY_CONDITION_NOT_ACCEPTABLE,
                               event->id.ptr ? S("why & what") : NONE),
              0);
}

static void test_reject(void)
{
    online();
    w.inside = reject_inside;
    hear("<message from='a@b/c' id='1&amp;2'><body>x</body></message>");
    CHECK_TEXT(written(), "Umessage to='a@b/c' type='error' id='1&2'[error type='modify'[{" STANZAS
                          "}not-acceptable[]{" STANZAS "}text[why & what]]]");
    hear("<presence from='a@b/c' type='subscribe'/>");
    CHECK_TEXT(written(),
               "Upresence to='a@b/c' type='error'[error type='modify'[{" STANZAS "}not-acceptable[]]]");
    hear("<message from='a@b/c' type='error' id='1'/>");
    CHECK_TEXT(written(), "");
}

/* Every condition with its type [RFC6120 8.3.3]. */
static int next_condition;

static void reject_next(struct world *world, const struct xmpp_tiny_event *event)
{
    (void)world;
    CHECK_INT(xmpp_tiny_reject(&w.x, event->el, (enum xmpp_tiny_condition)next_condition, NONE), 0);
}

static void test_conditions(void)
{
    static const struct {
        const char *name, *type;
    } rows[] = {
        {"", ""},
        {"bad-request", "modify"},
        {"conflict", "cancel"},
        {"feature-not-implemented", "cancel"},
        {"forbidden", "auth"},
        {"gone", "cancel"},
        {"internal-server-error", "cancel"},
        {"item-not-found", "cancel"},
        {"jid-malformed", "modify"},
        {"not-acceptable", "modify"},
        {"not-allowed", "cancel"},
        {"not-authorized", "auth"},
        {"policy-violation", "modify"},
        {"recipient-unavailable", "wait"},
        {"redirect", "modify"},
        {"registration-required", "auth"},
        {"remote-server-not-found", "cancel"},
        {"remote-server-timeout", "wait"},
        {"resource-constraint", "wait"},
        {"service-unavailable", "cancel"},
        {"subscription-required", "auth"},
        {"undefined-condition", "cancel"},
        {"unexpected-request", "wait"},
    };
    online();
    w.inside = reject_next;
    for (size_t i = 1; i < sizeof rows / sizeof *rows; i++) {
        char want[160];
        next_condition = (int)i;
        hear("<message/>");
        snprintf(want, sizeof want, "Umessage type='error'[error type='%s'[{" STANZAS "}%s[]]]", rows[i].type,
                 rows[i].name);
        CHECK_TEXT(written(), want);
    }
    CHECK_INT(sizeof rows / sizeof *rows - 1, XMPP_TINY_CONDITION_UNEXPECTED_REQUEST);
}

static int handle_query(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    (void)user;
    xmpp_tiny_begin_result(x, event->el);
    xmpp_tiny_put_start(x, "q", "u");
    xmpp_tiny_put_text(x, event->type);
    return xmpp_tiny_send(x);
}

static void test_result(void)
{
    static const struct xmpp_tiny_handler handlers[] = {{"q", "u", handle_query}};
    online();
    w.config.handlers = handlers;
    w.config.handler_count = 1;
    hear("<iq type='get' from='a@b/c' id='7'><q xmlns='u'/></iq>");
    CHECK_TEXT(written(), "Uiq to='a@b/c' type='result' id='7'[{u}q[get]]");
    hear("<iq type='set' id='8'><q xmlns='u'/></iq>");
    CHECK_TEXT(written(), "Uiq type='result' id='8'[{u}q[set]]");
    events_are("");
}

/* ---- When ---- */

/* None of them is legal now, and none of them leaves a trace. */
static void all_refused(void)
{
    struct xmpp_tiny_message m = {S("a@b"), NONE, NONE, NONE, S("x"), NONE};
    struct xmpp_tiny_presence p = {NONE, NONE, NONE, NONE, NONE, 0};
    enum xmpp_tiny_state state = xmpp_tiny_state(&w.x);
    size_t before = pending();
    CHECK_INT(xmpp_tiny_message(&w.x, &m), XMPP_TINY_ERR_STATE);
    CHECK_INT(xmpp_tiny_presence(&w.x, &p), XMPP_TINY_ERR_STATE);
    CHECK_INT(xmpp_tiny_ping(&w.x, NONE, 0), XMPP_TINY_ERR_STATE);
    CHECK_INT(xmpp_tiny_send_raw(&w.x, S("<presence/>")), XMPP_TINY_ERR_STATE);
    CHECK_INT(xmpp_tiny_send_raw(&w.x, fill(4000)), XMPP_TINY_ERR_STATE);
    CHECK_INT(request(NONE), XMPP_TINY_ERR_STATE);
    xmpp_tiny_begin(&w.x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_text(&w.x, S("\xFF"));
    CHECK_INT(xmpp_tiny_send(&w.x), XMPP_TINY_ERR_STATE);
    CHECK_INT(xmpp_tiny_send(&w.x), XMPP_TINY_ERR_STATE);
    CHECK_INT(pending(), before);
    CHECK_INT(xmpp_tiny_state(&w.x), state);
}

static void test_states(void)
{
    unsigned seen = 0;
    world_init();
    CHECK_STR(xmpp_tiny_jid(&w.x), NULL);
    all_refused();
    CHECK_INT(xmpp_tiny_disconnect(&w.x), XMPP_TINY_ERR_STATE);
    CHECK_INT(xmpp_tiny_connect(&w.x), 0);
    for (int i = 0; i < 20 && xmpp_tiny_state(&w.x) != XMPP_TINY_STATE_ONLINE; i++) {
        seen |= 1U << xmpp_tiny_state(&w.x);
        CHECK_INT(xmpp_tiny_connect(&w.x), XMPP_TINY_ERR_STATE);
        CHECK_STR(xmpp_tiny_jid(&w.x), NULL);
        w.wall = true;
        all_refused();
        turn();
        seen |= 1U << xmpp_tiny_state(&w.x);
        if (xmpp_tiny_state(&w.x) != XMPP_TINY_STATE_ONLINE)
            all_refused();
        w.wall = false;
        turns(1, false);
    }
    CHECK_INT(xmpp_tiny_state(&w.x), XMPP_TINY_STATE_ONLINE);
    CHECK_STR(xmpp_tiny_jid(&w.x), "anon@example.com/r");
    CHECK(seen >> XMPP_TINY_STATE_OPEN & seen >> XMPP_TINY_STATE_SECURE & seen >> XMPP_TINY_STATE_HEADER &
          seen >> XMPP_TINY_STATE_SUCCESS & seen >> XMPP_TINY_STATE_BIND & 1U);
    events_are("CONNECTED SECURED AUTHENTICATED ONLINE");
    CHECK_INT(send_body(S("last")), 0);
    CHECK_INT(xmpp_tiny_disconnect(&w.x), 0);
    CHECK_INT(xmpp_tiny_state(&w.x), XMPP_TINY_STATE_CLOSE);
    all_refused();
    CHECK_INT(xmpp_tiny_disconnect(&w.x), 0);
    drain(SIZE_MAX);
    CHECK(strcmp(w.sent.text + w.sent.len - 16, "</stream:stream>") == 0);
    CHECK(strstr(w.sent.text, "<body>last</body></message></stream:stream>") != NULL);
    serve();
    turns(20, false);
    CHECK_INT(xmpp_tiny_state(&w.x), XMPP_TINY_STATE_OFF);
    events_are("CLOSED");
    all_refused();
    CHECK_INT(xmpp_tiny_error(&w.x)->code, 0);
}

/* A stanza begun but not sent does not outlive the next poll, nor the next step. */
static void test_begun(void)
{
    for (int way = 0; way < 2; way++) {
        online();
        xmpp_tiny_begin(&w.x, "message", S("a@b"), NONE, NONE);
        xmpp_tiny_put_text(&w.x, S("x"));
        if (way)
            xmpp_tiny_poll(&w.x);
        else
            xmpp_tiny_step(&w.x);
        xmpp_tiny_put_text(&w.x, S("y"));
        CHECK_INT(xmpp_tiny_send(&w.x), XMPP_TINY_ERR_STATE);
        CHECK_INT(pending(), 0);
        CHECK_INT(send_body(S("z")), 0);
        CHECK_TEXT(written(), "Umessage to='a@b'[body[z]]");
    }
}

/* The same over the port's operations. */
static void test_poll(void)
{
    world_init();
    CHECK_INT(xmpp_tiny_connect(&w.x), 0);
    turns(20, true);
    CHECK_INT(xmpp_tiny_state(&w.x), XMPP_TINY_STATE_ONLINE);
    events_are("CONNECTED SECURED AUTHENTICATED ONLINE");
    w.shown = w.sent.len;
    CHECK_INT(send_body(S("x")), 0);
    CHECK_INT(xmpp_tiny_poll(&w.x), XMPP_TINY_FOREVER);
    CHECK_INT(pending(), 0);
    CHECK_TEXT(written(), "Umessage to='a@b'[body[x]]");
    CHECK_INT(xmpp_tiny_disconnect(&w.x), 0);
    turns(20, true);
    CHECK_INT(xmpp_tiny_state(&w.x), XMPP_TINY_STATE_OFF);
    events_are("CLOSED");
    CHECK_INT(xmpp_tiny_poll(&w.x), XMPP_TINY_FOREVER);
    CHECK_INT(xmpp_tiny_connect(&w.x), 0); /* from the main loop, after CLOSED */
}

/* ---- Inside the callback ---- */

static unsigned kinds_seen;

static void misbehave(struct world *world, const struct xmpp_tiny_event *event)
{
    enum xmpp_tiny_state state = xmpp_tiny_state(&world->x);
    struct xmpp_tiny_message m = {S("a@b"), NONE, NONE, NONE, S("inside"), NONE};
    kinds_seen |= 1U << event->kind;
    CHECK_INT(xmpp_tiny_connect(&world->x), XMPP_TINY_ERR_STATE);
    CHECK_INT(xmpp_tiny_poll(&world->x), 0);
    CHECK_INT(xmpp_tiny_step(&world->x), 0);
    CHECK_INT(xmpp_tiny_message(&world->x, &m), state == XMPP_TINY_STATE_ONLINE ? 0 : XMPP_TINY_ERR_STATE);
    xmpp_tiny_begin(&world->x, "message", NONE, NONE, NONE);
    xmpp_tiny_put_text(&world->x, S("left open"));
    CHECK_INT(xmpp_tiny_state(&world->x), state);
}

static void test_inside(void)
{
    for (int over_port = 0; over_port < 2; over_port++) {
        kinds_seen = 0;
        world_init();
        w.inside = misbehave;
        CHECK_INT(xmpp_tiny_connect(&w.x), 0);
        turns(20, over_port);
        events_are("CONNECTED SECURED AUTHENTICATED ONLINE");
        CHECK(strstr(w.sent.text, "left open") == NULL);
        CHECK(strstr(w.sent.text, "<body>inside</body></message>") != NULL);
        w.shown = w.sent.len;
        say("<message/><presence/><x xmlns='u'/>");
        CHECK_INT(xmpp_tiny_ping(&w.x, NONE, 1000), 1);
        turns(5, over_port);
        w.clock += 1001;
        turns(5, over_port);
        events_are("MESSAGE PRESENCE ELEMENT ANSWER");
        drain(SIZE_MAX);
        w.shown = w.sent.len - 4 * strlen("<message to='a@b'><body>inside</body></message>");
        CHECK_TEXT(written(), "Umessage to='a@b'[body[inside]] Umessage to='a@b'[body[inside]] "
                              "Umessage to='a@b'[body[inside]] Umessage to='a@b'[body[inside]]");
        say("<!");
        turns(20, over_port);
        events_are("ERROR:XML_RESTRICTED CLOSED");
        CHECK(strstr(w.sent.text,
                     "<restricted-xml "
                     "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>") != NULL);
        CHECK(strstr(w.sent.text, "left open") == NULL);
        CHECK_INT(kinds_seen, 1U << XMPP_TINY_EVENT_CONNECTED | 1U << XMPP_TINY_EVENT_SECURED |
                                  1U << XMPP_TINY_EVENT_AUTHENTICATED | 1U << XMPP_TINY_EVENT_ONLINE |
                                  1U << XMPP_TINY_EVENT_MESSAGE | 1U << XMPP_TINY_EVENT_PRESENCE |
                                  1U << XMPP_TINY_EVENT_ELEMENT | 1U << XMPP_TINY_EVENT_ANSWER |
                                  1U << XMPP_TINY_EVENT_ERROR | 1U << XMPP_TINY_EVENT_CLOSED);
    }
}

/* Disconnecting inside any event ends in CLOSED. What the server sent before it closed is still told. */
static enum xmpp_tiny_event_kind leave_at;
static int left;

static void leave(struct world *world, const struct xmpp_tiny_event *event)
{
    if (left) {
        CHECK(event->kind != XMPP_TINY_EVENT_ERROR && event->kind != XMPP_TINY_EVENT_ROOM &&
              event->kind > XMPP_TINY_EVENT_ONLINE);
        return;
    }
    if (event->kind != leave_at)
        return;
    left = 1;
    CHECK_INT(xmpp_tiny_disconnect(&world->x),
              event->kind == XMPP_TINY_EVENT_CLOSED ? XMPP_TINY_ERR_STATE : 0);
}

static void test_leave(void)
{
    static const enum xmpp_tiny_event_kind kinds[] = {
        XMPP_TINY_EVENT_CONNECTED, XMPP_TINY_EVENT_SECURED, XMPP_TINY_EVENT_AUTHENTICATED,
        XMPP_TINY_EVENT_ONLINE,    XMPP_TINY_EVENT_MESSAGE, XMPP_TINY_EVENT_PRESENCE,
        XMPP_TINY_EVENT_ANSWER,    XMPP_TINY_EVENT_ELEMENT, XMPP_TINY_EVENT_SKIPPED,
        XMPP_TINY_EVENT_ROOM,      XMPP_TINY_EVENT_ERROR,   XMPP_TINY_EVENT_CLOSED,
    };
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof *kinds; i++) {
        bool over_port = i & 1;
        char name[16];
        const char *closed_at;
        leave_at = kinds[i / 2];
        left = 0;
        world_init();
        w.inside = leave;
        CHECK_INT(xmpp_tiny_connect(&w.x), 0);
        turns(20, over_port);
        if (!left) {
            w.wall = true;
            CHECK_INT(xmpp_tiny_ping(&w.x, NONE, 1000), 1);
            CHECK_INT(xmpp_tiny_send_raw(&w.x, fill(TX_SIZE - RESERVE - 150)), 0);
            CHECK_INT(send_body(fill(200)), XMPP_TINY_ERR_AGAIN);
            say("<message/><presence/><x xmlns='u'/><message id='1'>");
            for (int k = 0; k < XMPP_TINY_MAX_DEPTH; k++)
                say("<a>");
            for (int k = 0; k < XMPP_TINY_MAX_DEPTH; k++)
                say("</a>");
            say("</message>");
            turns(5, over_port);
            w.clock += 1001;
            turns(5, over_port);
            w.wall = false;
            turns(5, over_port);
        }
        if (!left) {
            say("<!");
            turns(5, over_port);
        }
        turns(20, over_port);
        w.clock += 60000; /* a server that does not close */
        turns(20, over_port);
        CHECK_INT(left, 1);
        CHECK_INT(xmpp_tiny_state(&w.x), XMPP_TINY_STATE_OFF);
        snprintf(name, sizeof name, "%s", xmpp_tiny_event_name(leave_at));
        CHECK(strstr(w.events.text, name) != NULL);
        closed_at = strstr(w.events.text, "CLOSED");
        CHECK(closed_at && strcmp(closed_at, "CLOSED") == 0);
    }
}

/* AGAIN from the callback: the same event comes again when there is room, before any other. */
static int tries;

static void try_again(struct world *world, const struct xmpp_tiny_event *event)
{
    if (event->kind != XMPP_TINY_EVENT_MESSAGE)
        return;
    CHECK_STR(event->id, tries < 2 ? "1" : "2");
    CHECK_STR(event->body, tries < 2 ? "one" : "two");
    world->answer = tries == 1 ? 0 : send_body(fill(300));
    if (tries == 0)
        CHECK_INT(world->answer, XMPP_TINY_ERR_AGAIN);
    tries++;
}

static void test_held(void)
{
    online();
    tries = 0;
    w.inside = try_again;
    w.wall = true;
    CHECK_INT(send_body(fill(600)), 0);
    say("<message id='1'><body>one</body></message><message id='2'><body>two</body></message>");
    turn();
    turn();
    CHECK_INT(tries, 1);
    events_are("MESSAGE");
    w.wall = false;
    turn();
    turn();
    CHECK_INT(tries, 3);
    events_are("MESSAGE ROOM MESSAGE"); /* the first again, then the second */
    CHECK_INT(w.answer, 0);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_message();
    test_escapes();
    test_every_byte();
    test_bad_text();
    test_presence();
    test_pieces();
    test_base64();
    test_misuse();
    test_depth();
    test_too_big();
    test_again();
    test_every_limit();
    test_order();
    test_raw();
    test_requests();
    test_request_refused();
    test_reject();
    test_conditions();
    test_result();
    test_states();
    test_begun();
    test_poll();
    test_inside();
    test_leave();
    test_held();
    CHECK_INT(crypto_calls, 0);
    return check_done();
}
