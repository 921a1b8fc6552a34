/* SPDX-License-Identifier: MIT
 *
 * The pump over a scripted stream: a whole session again and again, with each port operation failing in
 * turn, each byte of the server's the last one, "later" storms, bytes one by one, disconnect at any
 * moment. Every time one CLOSED comes last and at most one ERROR before it, the port is closed, and
 * nothing hangs: the clock is the test's, and polls are counted.
 */
#include "check.h"
#include "port/bearssl.h"

#define POLLS_MAX      60000 /* of a session; more is a hang */
#define POLL_CALLS_MAX 72    /* port operations in one poll */

/* ---- The server's part ---- */

struct turn {
    const char *hears; /* when the client has sent this, the server says: */
    const char *says;  /* "%i" stands for the id of the iq it heard last */
};

#define HEADER(from) \
    "<?xml version='1.0'?><stream:stream from='example.org' id='" from \
    "' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
#define SASL "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"

static const struct turn session[] = {
    {"to='example.org'>", HEADER("1") "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                                      "</stream:features>"},
    {"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
     "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"},
    {"from='juliet@example.org'>",
     HEADER("2") "<stream:features><mechanisms " SASL
                 "><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>"},
    {"</auth>", "<success " SASL "/>"},
    {"from='juliet@example.org'>",
     HEADER("3") "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"},
    {"</bind></iq>", "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                     "<jid>juliet@example.org/balcony</jid></bind></iq>"},
    {"</presence>", "<message from='romeo@example.net/orchard'><body>hello</body></message>"},
    {"</iq>", "<iq type='result' id='%i' from='example.org'/>"},
    {"</stream:stream>", "</stream:stream>"},
    {NULL, NULL},
};

/* What the application sees of it. */
static const char session_events[] = "CONNECTED SECURED AUTHENTICATED ONLINE MESSAGE ANSWER CLOSED ";

/* ---- The stream ---- */

enum op { OPEN, SECURE, READ, WRITE, SHUT, OPS };
enum cut { CUT_END, CUT_SILENT, CUT_FAIL };

struct port {
    struct xmpp_tiny_stream base;
    const struct turn *turn;
    char heard[2048], reply[2048];
    size_t heard_len, reply_len, reply_at;
    /* troubles */
    unsigned fail_at; /* the operation that fails, counted from 1; 0: none */
    int fail_result, fail_error;
    unsigned patience; /* how often each operation says "later" first */
    size_t limit;      /* bytes an operation moves; 0: any */
    size_t cut_at;     /* bytes of the server's that still come; SIZE_MAX: all */
    enum cut cut;
    /* what was seen */
    unsigned calls, poll_calls, later[OPS], closes, misuses, delivered;
    bool open, failed, arrived;
    enum op failed_op;
};

static struct port *port_of(struct xmpp_tiny_stream *s)
{
    return (struct port *)(void *)s;
}

/* Counts an operation. Returns 1 if it is to go on, else its result. */
static int port_begin(struct port *p, enum op op)
{
    p->poll_calls++;
    if ((op == OPEN) == p->open || p->failed)
        p->misuses++;
    if (++p->later[op] <= p->patience)
        return XMPP_TINY_IO_AGAIN;
    p->later[op] = 0;
    if (++p->calls == p->fail_at) {
        p->failed = p->fail_result < 0 || op != READ;
        p->failed_op = op;
        return p->fail_result;
    }
    return 1;
}

static int port_open(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port)
{
    struct port *p = port_of(s);
    int r = port_begin(p, OPEN);
    if (!xmpp_tiny_same(host, xmpp_tiny_str("example.org")) || port != 5222)
        p->misuses++;
    p->open = r == 1;
    return r;
}

static int port_secure(struct xmpp_tiny_stream *s, struct xmpp_tiny_str name)
{
    if (!xmpp_tiny_same(name, xmpp_tiny_str("example.org")))
        port_of(s)->misuses++;
    return port_begin(port_of(s), SECURE);
}

/* The server hears what was written, and answers when it has heard enough. */
static void port_hear(struct port *p, const char *data, size_t len)
{
    const char *id;
    if (p->heard_len + len >= sizeof p->heard) {
        p->misuses++;
        return;
    }
    memcpy(p->heard + p->heard_len, data, len);
    p->heard_len += len;
    p->heard[p->heard_len] = 0;
    if (p->turn->hears == NULL || strstr(p->heard, p->turn->hears) == NULL)
        return;
    id = strstr(p->heard, "id='");
    for (const char *c = p->turn->says; *c; c++)
        if (c[0] == '%' && c[1] == 'i') {
            for (const char *d = id ? id + 4 : ""; *d && *d != '\''; d++)
                p->reply[p->reply_len++] = *d;
            c++;
        } else {
            p->reply[p->reply_len++] = *c;
        }
    p->arrived = true;
    p->heard_len = 0;
    p->turn++;
}

static int port_write(struct xmpp_tiny_stream *s, const void *buf, size_t len)
{
    struct port *p = port_of(s);
    int r = port_begin(p, WRITE);
    size_t n = p->limit && p->limit < len ? p->limit : len;
    if (len == 0)
        p->misuses++;
    if (r > 1) /* claims more than it was given */
        return (int)len + 1;
    if (r != 1)
        return r;
    port_hear(p, buf, n);
    return (int)n;
}

static int port_read(struct xmpp_tiny_stream *s, void *buf, size_t len)
{
    struct port *p = port_of(s);
    int r = port_begin(p, READ);
    size_t n = p->reply_len - p->reply_at;
    if (len == 0)
        p->misuses++;
    if (r > 1)
        return (int)len + 1;
    if (r != 1)
        return r;
    if (p->cut_at <= p->delivered) {
        p->failed = p->cut == CUT_FAIL;
        p->failed_op = READ;
        return p->cut == CUT_END ? 0 : p->cut == CUT_FAIL ? XMPP_TINY_IO_FAILED : XMPP_TINY_IO_AGAIN;
    }
    n = n < len ? n : len;
    n = p->limit && p->limit < n ? p->limit : n;
    n = p->cut_at - p->delivered < n ? p->cut_at - p->delivered : n;
    if (n == 0)
        return XMPP_TINY_IO_AGAIN;
    memcpy(buf, p->reply + p->reply_at, n);
    p->reply_at += n;
    if (p->reply_at == p->reply_len)
        p->reply_at = p->reply_len = 0;
    p->delivered += (unsigned)n;
    return (int)n;
}

static int port_shut(struct xmpp_tiny_stream *s)
{
    return port_begin(port_of(s), SHUT);
}

static void port_close(struct xmpp_tiny_stream *s)
{
    struct port *p = port_of(s);
    p->poll_calls++;
    p->closes++;
    p->open = false;
}

static int port_binding(struct xmpp_tiny_stream *s, enum xmpp_tiny_binding type, uint8_t *out)
{
    (void)s;
    (void)type;
    (void)out;
    return XMPP_TINY_IO_FAILED;
}

static int port_error(struct xmpp_tiny_stream *s, const char **detail)
{
    *detail = "the detail";
    return port_of(s)->fail_error;
}

static const struct xmpp_tiny_stream_ops port_ops = {port_open, port_secure, port_read,    port_write,
                                                     port_shut, port_close,  port_binding, NULL,
                                                     NULL,      NULL,        port_error};

/* ---- The client ---- */

struct client {
    struct xmpp_tiny x;
    struct xmpp_tiny_config config;
    struct xmpp_tiny_platform platform;
    struct port port;
    char rx[2048], tx[1024];
    char events[512];
    uint32_t clock, wait, busiest;
    unsigned polls, errors, closes;
    int error;
    bool quiet; /* does nothing by itself */
};

static uint32_t now_ms(void *ctx)
{
    return ((struct client *)ctx)->clock;
}

static bool random_bytes(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    memset(buf, 'A', len);
    return true;
}

/* Fields the header does not name for a kind are zero; stanzas have their common attributes. */
static void check_fields(const struct xmpp_tiny_event *event)
{
    struct xmpp_tiny_event e = *event;
    bool stanza = e.kind == XMPP_TINY_EVENT_MESSAGE || e.kind == XMPP_TINY_EVENT_ANSWER;
    if (stanza) {
        CHECK(xmpp_tiny_is(e.el, NULL, NULL) == (e.error.code != XMPP_TINY_ERR_LOST));
        e.from.ptr = e.to.ptr = e.id.ptr = e.type.ptr = e.name.ptr = NULL;
        e.el.at = 0;
    }
    if (e.kind == XMPP_TINY_EVENT_ONLINE)
        e.to.ptr = NULL;
    if (e.kind == XMPP_TINY_EVENT_MESSAGE)
        e.body.ptr = e.subject.ptr = e.thread.ptr = NULL;
    if (e.kind == XMPP_TINY_EVENT_ANSWER)
        e.request = 0;
    if (e.kind == XMPP_TINY_EVENT_CLOSED)
        e.unsent = 0;
    if (e.kind == XMPP_TINY_EVENT_ANSWER || e.kind == XMPP_TINY_EVENT_ERROR)
        memset(&e.error, 0, sizeof e.error);
    CHECK(!xmpp_tiny_found(e.el));
    CHECK(!e.name.ptr && !e.from.ptr && !e.to.ptr && !e.id.ptr && !e.type.ptr);
    CHECK(!e.subject.ptr && !e.body.ptr && !e.thread.ptr && !e.show.ptr && !e.status.ptr);
    CHECK(e.priority == 0 && e.request == 0 && e.unsent == 0 && e.size == 0);
    CHECK(e.tag == 0 && e.wait == 0 && !e.resumed && !e.saved);
    CHECK(e.error.code == 0 && !e.error.type.ptr && !e.error.condition.ptr && !e.error.text.ptr);
}

static int mechanism_of(struct xmpp_tiny *x)
{
    struct xmpp_tiny_security security;
    return xmpp_tiny_security(x, &security) == 0 && security.authenticated ? (int)security.mechanism : -1;
}

static int on_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    struct client *c = user;
    const char *name = xmpp_tiny_event_name(event->kind);
    bool lost = event->kind == XMPP_TINY_EVENT_ANSWER && event->error.code == XMPP_TINY_ERR_LOST;
    if (c->closes)
        strcat(c->events, "AFTER-CLOSED ");
    if (event->kind == XMPP_TINY_EVENT_ERROR) {
        c->errors++;
        c->error = event->error.code;
    } else if (!lost && strlen(c->events) + strlen(name) + 2 < sizeof c->events - 16) {
        strcat(strcat(c->events, name), " ");
    }
    c->closes += event->kind == XMPP_TINY_EVENT_CLOSED;
    CHECK_INT(xmpp_tiny_poll(x), 0);
    if (c->quiet)
        return 0;
    if (event->kind == XMPP_TINY_EVENT_ONLINE) {
        struct xmpp_tiny_presence p;
        memset(&p, 0, sizeof p);
        p.status = xmpp_tiny_str("here");
        CHECK_INT(xmpp_tiny_presence(x, &p), 0);
        if (c->config.mechanisms == XMPP_TINY_ALLOW(EXTERNAL))
            CHECK_INT(mechanism_of(x), XMPP_TINY_MECHANISM_EXTERNAL);
    } else if (event->kind == XMPP_TINY_EVENT_MESSAGE) {
        int number = xmpp_tiny_ping(x, xmpp_tiny_str(NULL), 0);
        CHECK_STR(event->body, "hello");
        CHECK(xmpp_tiny_state(x) == XMPP_TINY_STATE_ONLINE ? number > 0 : number == XMPP_TINY_ERR_STATE);
    } else if (event->kind == XMPP_TINY_EVENT_ANSWER && !lost) {
        CHECK(event->error.code == 0 || event->error.code == XMPP_TINY_ERR_TIMEOUT);
        CHECK_INT(xmpp_tiny_disconnect(x), 0);
    }
    return 0;
}

static int on_event_checked(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    check_fields(event);
    return on_event(x, event, user);
}

static void port_reset(struct client *c, const struct turn *script)
{
    memset(&c->port, 0, sizeof c->port);
    c->port.base.ops = &port_ops;
    c->port.turn = script;
    c->port.cut_at = SIZE_MAX;
    c->port.fail_result = XMPP_TINY_IO_FAILED;
    c->port.fail_error = XMPP_TINY_ERR_LOST;
    c->events[0] = 0;
    c->polls = c->errors = c->closes = 0;
    c->error = 0;
    c->busiest = 0;
}

static void client_begin(struct client *c)
{
    memset(c, 0, sizeof *c);
    c->clock = 0xFFFFFF00U;
    c->platform.now_ms = now_ms;
    c->platform.random = random_bytes;
    c->platform.ctx = c;
    c->config.jid = "juliet@example.org/balcony";
    c->config.mechanisms = XMPP_TINY_ALLOW(EXTERNAL);
    c->config.stream = &c->port.base;
    c->config.platform = &c->platform;
    c->config.crypto = &xmpp_tiny_bearssl_crypto;
    c->config.rx = c->rx;
    c->config.rx_size = sizeof c->rx;
    c->config.tx = c->tx;
    c->config.tx_size = sizeof c->tx;
    c->config.event = on_event;
    c->config.ping_ms = XMPP_TINY_FOREVER;
    c->config.user = c;
    port_reset(c, session);
    CHECK_INT(xmpp_tiny_init(&c->x, &c->config), 0);
}

/* Would an operation that said "later" soon say something else? */
static bool port_ready(const struct port *p)
{
    for (int op = 0; op < OPS; op++)
        if (p->later[op])
            return true;
    return p->arrived;
}

/* One poll. Returns false when the client is off. */
static bool client_poll(struct client *c)
{
    c->port.poll_calls = 0;
    c->port.arrived = false;
    c->wait = xmpp_tiny_poll(&c->x);
    c->polls++;
    if (c->port.poll_calls > c->busiest)
        c->busiest = c->port.poll_calls;
    return xmpp_tiny_state(&c->x) != XMPP_TINY_STATE_OFF;
}

/* Polls when the client wants it, when an operation that said "later" is worth another try, and when
 * bytes have just arrived: once then, as with a socket under a TLS layer that has read all of it. */
static void client_run(struct client *c)
{
    CHECK_INT(xmpp_tiny_connect(&c->x), 0);
    while (client_poll(c) && c->polls < POLLS_MAX) {
        if (c->wait == 0 || port_ready(&c->port))
            continue;
        if (c->wait == XMPP_TINY_FOREVER)
            break;
        c->clock += c->wait;
    }
}

/* What must hold after every session, however it went. */
static void client_ended(struct client *c, const char *what, size_t k)
{
    size_t len = strlen(c->events);
    bool prefix;
    if (len >= 7 && strcmp(c->events + len - 7, "CLOSED ") == 0)
        c->events[len - 7] = 0;
    prefix = strncmp(c->events, session_events, strlen(c->events)) == 0;
    if (!check_count(xmpp_tiny_state(&c->x) == XMPP_TINY_STATE_OFF && c->closes == 1 && c->errors <= 1 &&
                         prefix && c->port.closes > 0 && !c->port.open && c->port.misuses == 0 &&
                         c->busiest <= POLL_CALLS_MAX,
                     __FILE__, __LINE__, what))
        printf("    %zu: state %s, %u CLOSED, %u ERROR (%s), events %s, %u closes, %u misuses, %u calls in a "
               "poll\n",
               k, xmpp_tiny_state_name(xmpp_tiny_state(&c->x)), c->closes, c->errors,
               xmpp_tiny_err_name(c->error), c->events, c->port.closes, c->port.misuses,
               (unsigned)c->busiest);
    c->port.poll_calls = 0;
    CHECK_INT(xmpp_tiny_poll(&c->x), XMPP_TINY_FOREVER);
    CHECK_INT(c->port.poll_calls, 0);
}

static void client_ended_with(struct client *c, int error, const char *what, size_t k)
{
    client_ended(c, what, k);
    if (!check_count(c->error == error, __FILE__, __LINE__, what))
        printf("    %zu: is %s, want %s\n", k, xmpp_tiny_err_name(c->error), xmpp_tiny_err_name(error));
}

/* The whole session, and nothing amiss. */
static void client_ended_well(struct client *c, const char *what, size_t k)
{
    if (!check_count(strcmp(c->events, session_events) == 0, __FILE__, __LINE__, what))
        printf("    %zu: %s\n", k, c->events);
    client_ended_with(c, 0, what, k);
}

/* ---- Tests ---- */

static struct client a, b;

static unsigned test_session(void)
{
    client_begin(&a);
    a.config.event = on_event_checked;
    client_run(&a);
    client_ended_well(&a, "an ordinary session", 0);
    return a.port.calls;
}

static void test_later_and_short(void)
{
    for (unsigned patience = 0; patience <= 20; patience += patience < 4 ? 1 : 16)
        for (size_t limit = 0; limit <= 3; limit++) {
            client_begin(&a);
            a.port.patience = patience;
            a.port.limit = limit;
            client_run(&a);
            client_ended_well(&a, "later storms, short counts", patience * 10 + limit);
        }
}

/* Does the k-th operation come when the session is over, so that its failure is none? */
static bool session_over(const struct client *c)
{
    return strstr(c->events, "ANSWER") != NULL;
}

static void test_each_call_fails(unsigned calls)
{
    static const struct {
        const char *what;
        int result, error;
        int told[OPS]; /* open, secure, read, write; shut is never told */
    } ways[] = {
        {"fails",
         XMPP_TINY_IO_FAILED,
         XMPP_TINY_ERR_LOST,
         {XMPP_TINY_ERR_LOST, XMPP_TINY_ERR_LOST, XMPP_TINY_ERR_LOST, XMPP_TINY_ERR_LOST, 0}},
        {"fails in another way",
         -77,
         XMPP_TINY_ERR_CERT_NAME,
         {XMPP_TINY_ERR_CERT_NAME, XMPP_TINY_ERR_CERT_NAME, XMPP_TINY_ERR_CERT_NAME, XMPP_TINY_ERR_CERT_NAME,
          0}},
        {"fails and does not say why",
         XMPP_TINY_IO_FAILED,
         0,
         {XMPP_TINY_ERR_BUG, XMPP_TINY_ERR_BUG, XMPP_TINY_ERR_BUG, XMPP_TINY_ERR_BUG, 0}},
        {"returns 0",
         0,
         0,
         {XMPP_TINY_ERR_BUG, XMPP_TINY_ERR_BUG, XMPP_TINY_ERR_ENDED, XMPP_TINY_ERR_BUG, 0}},
    };
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++)
        for (unsigned patience = 0; patience < 2; patience++)
            for (unsigned k = 1; k <= calls; k++) {
                int told;
                client_begin(&a);
                a.port.patience = patience;
                a.port.fail_at = k;
                a.port.fail_result = ways[way].result;
                a.port.fail_error = ways[way].error;
                client_run(&a);
                told = session_over(&a) ? 0 : ways[way].told[a.port.failed_op];
                client_ended_with(&a, told, ways[way].what, k);
                /* and the same client can be used again */
                port_reset(&a, session);
                client_run(&a);
                client_ended_well(&a, "connected again", k);
            }
}

/* A count beyond what was given is a failure of the port. */
static void test_lying_counts(unsigned calls)
{
    for (unsigned k = 1; k <= calls; k++) {
        client_begin(&a);
        a.port.fail_at = k;
        a.port.fail_result = 2;
        client_run(&a);
        if (a.port.failed_op == READ || a.port.failed_op == WRITE)
            client_ended_with(&a, session_over(&a) ? 0 : XMPP_TINY_ERR_LOST, "a count too large", k);
    }
}

static void test_each_byte_is_the_last(void)
{
    static const int told[] = {XMPP_TINY_ERR_ENDED, XMPP_TINY_ERR_TIMEOUT, XMPP_TINY_ERR_TRUNCATED};
    size_t all;
    client_begin(&a);
    client_run(&a);
    all = a.port.delivered;
    CHECK(all > 1000);
    for (int cut = CUT_END; cut <= CUT_FAIL; cut++)
        for (size_t k = 0; k < all; k++) {
            client_begin(&a);
            a.port.cut_at = k;
            a.port.cut = (enum cut)cut;
            a.port.fail_error = XMPP_TINY_ERR_TRUNCATED;
            a.config.timeout_ms = 5000;
            client_run(&a);
            if (cut == CUT_SILENT && strstr(a.events, "ONLINE") && !session_over(&a)) {
                /* online nothing is awaited, but an answer */
                CHECK(strstr(a.events, "MESSAGE") ? a.closes == 1 : a.wait == XMPP_TINY_FOREVER);
                xmpp_tiny_disconnect(&a.x);
                for (int i = 0; i < 100 && client_poll(&a); i++)
                    a.clock += a.wait == XMPP_TINY_FOREVER ? 0 : a.wait;
                CHECK_INT(a.closes, 1);
                continue;
            }
            client_ended_with(&a, session_over(&a) ? 0 : told[cut], "a byte is the last", k);
            port_reset(&a, session);
            client_run(&a);
            client_ended_well(&a, "connected again", k);
        }
}

static void test_disconnect_any_time(void)
{
    unsigned polls;
    client_begin(&a);
    a.port.patience = 1;
    a.port.limit = 40;
    client_run(&a);
    polls = a.polls;
    for (unsigned k = 0; k < polls; k++) {
        client_begin(&a);
        a.port.patience = 1;
        a.port.limit = 40;
        CHECK_INT(xmpp_tiny_connect(&a.x), 0);
        while (a.polls < k && client_poll(&a))
            ;
        CHECK_INT(xmpp_tiny_disconnect(&a.x), 0);
        while (client_poll(&a) && a.polls < POLLS_MAX)
            if (a.wait && !port_ready(&a.port))
                a.clock += a.wait;
        client_ended_with(&a, 0, "disconnected", k);
    }
}

/* A silent port: the clock moves only as far as poll() says, and that is enough. */
static void test_waits(void)
{
    static const struct {
        enum op op;
        uint32_t wait;
        unsigned polls;
    } silent[] = {{OPEN, 30000, 6}, {SECURE, 30000, 12}, {READ, 30000, 10}};
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        uint32_t start;
        client_begin(&a);
        start = a.clock;
        CHECK_INT(xmpp_tiny_connect(&a.x), 0);
        if (silent[i].op == SECURE)
            while (xmpp_tiny_state(&a.x) != XMPP_TINY_STATE_SECURE && client_poll(&a))
                ;
        a.polls = 0;
        a.port.patience = silent[i].op == READ ? 0 : 1000000;
        a.port.cut_at = silent[i].op == READ ? 0 : SIZE_MAX;
        a.port.cut = CUT_SILENT;
        while (client_poll(&a) && a.polls < 1000)
            if (a.wait && a.wait != XMPP_TINY_FOREVER) {
                a.clock += a.wait;
                if (a.errors == 0)
                    CHECK(a.clock - start <= 30000);
            }
        CHECK_INT(a.error, XMPP_TINY_ERR_TIMEOUT);
        CHECK_INT(a.closes, 1);
        CHECK(a.clock - start >= silent[i].wait && a.clock - start <= silent[i].wait + 3000);
        CHECK(a.polls <= silent[i].polls);
    }
}

/* An application that does nothing is not woken. */
static void test_online_sleeps(void)
{
    client_begin(&a);
    a.quiet = true;
    CHECK_INT(xmpp_tiny_connect(&a.x), 0);
    while (client_poll(&a) && (a.wait == 0 || a.port.arrived) && a.polls < 100)
        ;
    CHECK_INT(xmpp_tiny_state(&a.x), XMPP_TINY_STATE_ONLINE);
    CHECK_INT(a.wait, XMPP_TINY_FOREVER);
    CHECK(xmpp_tiny_ping(&a.x, xmpp_tiny_str(NULL), 7000) > 0);
    a.port.turn = &session[9];
    do
        client_poll(&a);
    while (a.wait == 0 && a.polls < 200);
    CHECK_INT(a.wait, 7000);
    CHECK_INT(xmpp_tiny_disconnect(&a.x), 0);
    while (client_poll(&a) && a.polls < 300)
        a.clock += a.wait;
    CHECK_INT(a.closes, 1);
}

/* An answer that lies in the transport when a device wakes late is read before it is missed. */
static void test_woken_late(void)
{
    client_begin(&a);
    a.config.ping_ms = 0;
    a.quiet = true;
    CHECK_INT(xmpp_tiny_connect(&a.x), 0);
    while (client_poll(&a) && (a.wait == 0 || a.port.arrived) && a.polls < 100)
        ;
    CHECK_INT(a.wait, 300000);
    a.clock += 300000;
    a.port.turn = &session[7];
    a.port.cut_at = a.port.delivered;
    a.port.cut = CUT_SILENT;
    do
        client_poll(&a);
    while (a.wait == 0 && a.polls < 200);
    CHECK_INT(a.wait, 30000);
    CHECK(a.port.reply_len > 0); /* the pong comes */
    a.port.cut_at = SIZE_MAX;
    a.clock += 100000000;
    do
        client_poll(&a);
    while (a.wait == 0 && a.polls < 300);
    CHECK_INT(xmpp_tiny_state(&a.x), XMPP_TINY_STATE_ONLINE);
    CHECK_INT(a.wait, 300000);
    CHECK_INT(xmpp_tiny_disconnect(&a.x), 0);
    while (client_poll(&a) && a.polls < 400)
        a.clock += a.wait;
    CHECK_INT(a.errors, 0);
    CHECK_INT(a.closes, 1);
}

/* ---- Kept connected ---- */

/* A client that connects by itself, with a queue: every port call fails in turn, and the next attempt, or the
 * one after that, gets online; the message is delivered once by its tag and nothing else ends it. */
struct kept {
    unsigned online, delivered, undelivered, disconnected;
    uint32_t wait;
};
static struct kept kept;
static char kept_tx[2048];
static struct xmpp_tiny_saved kept_saved;

static int on_event_kept(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    struct client *c = user;
    (void)x;
    kept.online += event->kind == XMPP_TINY_EVENT_ONLINE;
    kept.delivered += event->kind == XMPP_TINY_EVENT_DELIVERED;
    kept.undelivered += event->kind == XMPP_TINY_EVENT_UNDELIVERED;
    c->closes += event->kind == XMPP_TINY_EVENT_CLOSED;
    if (event->kind == XMPP_TINY_EVENT_DELIVERED || event->kind == XMPP_TINY_EVENT_UNDELIVERED)
        CHECK_INT(event->tag, 7);
    if (event->kind == XMPP_TINY_EVENT_DISCONNECTED) {
        kept.disconnected++;
        kept.wait = event->wait;
    }
    return 0;
}

static const struct turn session_kept[] = {
    {"to='example.org'>", HEADER("1") "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                                      "</stream:features>"},
    {"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
     "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"},
    {"from='juliet@example.org'>",
     HEADER("2") "<stream:features><mechanisms " SASL
                 "><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>"},
    {"</auth>", "<success " SASL "/>"},
    {"from='juliet@example.org'>",
     HEADER("3") "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
                 "<sm xmlns='urn:xmpp:sm:3'/></stream:features>"},
    {"</bind></iq>", "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                     "<jid>juliet@example.org/balcony</jid></bind></iq>"},
    {"<enable", "<enabled xmlns='urn:xmpp:sm:3'/>"},
    {"<r ", "<a xmlns='urn:xmpp:sm:3' h='1'/>"},
    {"</stream:stream>", "</stream:stream>"},
    {NULL, NULL},
};

static void kept_begin(void)
{
    client_begin(&a);
    memset(&kept, 0, sizeof kept);
    memset(&kept_saved, 0, sizeof kept_saved);
    a.config.event = on_event_kept;
    a.config.keep = a.config.resend = a.config.no_pipelining = true;
    a.config.saved = &kept_saved;
    a.config.tx = kept_tx;
    a.config.tx_size = sizeof kept_tx;
    a.config.queue_size = 1024;
    CHECK_INT(xmpp_tiny_init(&a.x, &a.config), 0);
    port_reset(&a, session_kept);
    xmpp_tiny_tag(&a.x, 7);
    CHECK_INT(xmpp_tiny_send_raw(&a.x, xmpp_tiny_str("<message to='a@b'/>")), 0);
}

/* Runs until the message's end was told, on a server that begins anew with each connection. */
static void kept_run(const char *what, size_t k)
{
    unsigned before = 0;
    CHECK_INT(xmpp_tiny_connect(&a.x), 0);
    while (kept.delivered + kept.undelivered == 0 && a.polls < POLLS_MAX) {
        if (!client_poll(&a))
            break;
        if (a.wait == 0 || port_ready(&a.port))
            continue;
        if (kept.disconnected > before) {
            before = kept.disconnected;
            CHECK_INT(a.wait, kept.wait);
            port_reset(&a, session_kept);
        }
        if (a.wait == XMPP_TINY_FOREVER)
            break;
        a.clock += a.wait;
    }
    if (!check_count(kept.delivered == 1 && kept.undelivered == 0 && a.port.misuses == 0, __FILE__, __LINE__,
                     what))
        printf("    %zu: %u online, %u DELIVERED, %u UNDELIVERED, %u DISCONNECTED, state %s, %u misuses\n", k,
               kept.online, kept.delivered, kept.undelivered, kept.disconnected,
               xmpp_tiny_state_name(xmpp_tiny_state(&a.x)), a.port.misuses);
    (void)xmpp_tiny_disconnect(&a.x);
    for (int i = 0; i < 200 && client_poll(&a); i++)
        if (a.wait && a.wait != XMPP_TINY_FOREVER)
            a.clock += a.wait;
    CHECK_INT(a.closes, 1);
    CHECK_INT(kept.delivered, 1);
}

static void test_kept(void)
{
    unsigned calls;
    size_t all;
    kept_begin();
    kept_run("an ordinary session", 0);
    calls = a.port.calls;
    all = a.port.delivered;
    CHECK_INT(kept.disconnected, 0);
    for (unsigned k = 1; k <= calls; k++) {
        kept_begin();
        a.port.fail_at = k;
        kept_run("a call fails", k);
    }
    for (int cut = CUT_END; cut <= CUT_FAIL; cut++)
        for (size_t k = 0; k < all; k++) {
            kept_begin();
            a.port.cut_at = k;
            a.port.cut = (enum cut)cut;
            a.port.fail_error = XMPP_TINY_ERR_TRUNCATED;
            kept_run("a byte is the last", k);
        }
}

static void test_two_clients(void)
{
    client_begin(&a);
    client_begin(&b);
    a.port.limit = 7;
    b.port.limit = 1;
    b.port.patience = 1;
    CHECK_INT(xmpp_tiny_connect(&a.x), 0);
    CHECK_INT(xmpp_tiny_connect(&b.x), 0);
    for (int i = 0; i < POLLS_MAX; i++) {
        bool first = xmpp_tiny_state(&a.x) == XMPP_TINY_STATE_OFF || client_poll(&a);
        bool second = xmpp_tiny_state(&b.x) == XMPP_TINY_STATE_OFF || client_poll(&b);
        if (!first && !second)
            break;
    }
    client_ended_well(&a, "one of two", 1);
    client_ended_well(&b, "the other of two", 2);
}

/* ---- Key derivation in slices ---- */

static uint32_t rounds_in_poll, rounds_in_all;

static void counted_pbkdf2(enum xmpp_tiny_hash h, const void *key, size_t key_len, uint8_t *u, uint8_t *t,
                           uint32_t rounds)
{
    rounds_in_poll += rounds;
    rounds_in_all += rounds;
    xmpp_tiny_bearssl_crypto.pbkdf2(h, key, key_len, u, t, rounds);
}

static void base64(char *o, const void *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = data;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned v = (unsigned)in[i] << 16 | (n > 1 ? (unsigned)in[i + 1] << 8 : 0) | (n > 2 ? in[i + 2] : 0);
        *o++ = digits[v >> 18];
        *o++ = digits[v >> 12 & 63];
        *o++ = n > 1 ? digits[v >> 6 & 63] : '=';
        *o++ = n > 2 ? digits[v & 63] : '=';
    }
    *o = 0;
}

#define NONCE     "QUFBQUFBQUFBQUFBQUFBQUFB"
#define FIRST     "n=juliet,r=" NONCE
#define CHALLENGE "r=" NONCE "server,s=c2FsdA==,i=4096"
#define FINAL     "c=biws,r=" NONCE "server"

/* What a server says that knows the password "secret". [RFC5802 3] */
static void scram_turns(struct turn *turns, char *challenge, char *success)
{
    struct xmpp_tiny_str salt[2] = {{"salt", 4}, {"\0\0\0\1", 4}}, label = {"Server Key", 10},
                         auth = xmpp_tiny_str(FIRST "," CHALLENGE "," FINAL);
    uint8_t u[32], t[32];
    char text[64] = "v=", encoded[128];
    const struct xmpp_tiny_crypto *crypto = &xmpp_tiny_bearssl_crypto;
    crypto->hmac(XMPP_TINY_SHA256, "secret", 6, salt, 2, u);
    memcpy(t, u, sizeof t);
    crypto->pbkdf2(XMPP_TINY_SHA256, "secret", 6, u, t, 4095);
    crypto->hmac(XMPP_TINY_SHA256, t, sizeof t, &label, 1, u);
    crypto->hmac(XMPP_TINY_SHA256, u, sizeof u, &auth, 1, t);
    base64(text + 2, t, sizeof t);
    base64(encoded, text, strlen(text));
    sprintf(success, "<success " SASL ">%s</success>", encoded);
    base64(encoded, CHALLENGE, strlen(CHALLENGE));
    sprintf(challenge, "<challenge " SASL ">%s</challenge>", encoded);
    memcpy(turns, session, sizeof session);
    turns[2].says = HEADER("2") "<stream:features><mechanisms " SASL
                                "><mechanism>SCRAM-SHA-256</mechanism></mechanisms></stream:features>";
    turns[3].says = challenge;
    memmove(&turns[5], &turns[4], sizeof session - 4 * sizeof *session);
    turns[4].hears = "</response>";
    turns[4].says = success;
}

static void test_slices(void)
{
    static const uint32_t slices[] = {0, 1, 7, 256, 4094, 4095, 100000};
    static const struct xmpp_tiny_crypto *real = &xmpp_tiny_bearssl_crypto;
    struct xmpp_tiny_crypto counted = {real->hash, real->hmac, counted_pbkdf2};
    struct turn turns[sizeof session / sizeof *session + 1];
    char challenge[256], success[256];
    scram_turns(turns, challenge, success);
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
        uint32_t slice = slices[i] ? slices[i] : 256, most = 0, derived = 0;
        client_begin(&a);
        a.config.mechanisms = 0;
        a.config.password = "secret";
        a.config.crypto = &counted;
        a.config.iterations_slice = slices[i];
        port_reset(&a, turns);
        rounds_in_all = 0;
        CHECK_INT(xmpp_tiny_connect(&a.x), 0);
        do {
            rounds_in_poll = 0;
            client_poll(&a);
            most = rounds_in_poll > most ? rounds_in_poll : most;
            derived += rounds_in_poll > 0;
            if (xmpp_tiny_state(&a.x) ==
                XMPP_TINY_STATE_KEYS) { /* what comes meanwhile stays in the transport */
                size_t room = 1;
                (void)xmpp_tiny_rx(&a.x, &room);
                CHECK_INT(room, 0);
            }
        } while (xmpp_tiny_state(&a.x) != XMPP_TINY_STATE_OFF && a.polls < POLLS_MAX);
        CHECK_INT(most, slice < 4095 ? slice : 4095);
        CHECK_INT(derived, (4095 + slice - 1) / slice);
        CHECK_INT(rounds_in_all, 4095);
        client_ended_well(&a, "SCRAM in slices", slice);
    }
}

/* ---- Configuration ---- */

static int answer_nothing(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    (void)x, (void)event, (void)user;
    return 0;
}

static void test_config(void)
{
    static const struct xmpp_tiny_handler no_ns[] = {{"led", NULL, answer_nothing}};
    static const struct xmpp_tiny_handler no_fn[] = {{"led", "urn:example:led", NULL}};
    struct xmpp_tiny x;
    CHECK_INT(xmpp_tiny_init(NULL, &a.config), XMPP_TINY_ERR_CONFIG);
    CHECK_INT(xmpp_tiny_init(&x, NULL), XMPP_TINY_ERR_CONFIG);
#define REFUSED(change) \
    client_begin(&a); \
    a.config.change; \
    CHECK_INT(xmpp_tiny_init(&x, &a.config), XMPP_TINY_ERR_CONFIG)
#define TAKEN(change) \
    client_begin(&a); \
    a.config.change; \
    CHECK_INT(xmpp_tiny_init(&x, &a.config), 0)
    REFUSED(jid = NULL);
    REFUSED(jid = "");
    REFUSED(jid = "@example.org");
    REFUSED(jid = "example.org"); /* whose? EXTERNAL needs a user */
    REFUSED(event = NULL);
    REFUSED(stream = NULL);
    REFUSED(platform = NULL);
    REFUSED(crypto = NULL);
    REFUSED(rx = NULL);
    REFUSED(tx = NULL);
    REFUSED(rx_size = XMPP_TINY_RX_MIN - 1);
    REFUSED(rx_size = XMPP_TINY_RX_MAX + 1);
    REFUSED(tx_size = XMPP_TINY_TX_MIN - 1);
    REFUSED(tx_size = XMPP_TINY_TX_MAX + 1);
    REFUSED(timeout_ms = 999);
    REFUSED(timeout_ms = 600001);
    REFUSED(iterations_max = 4095);
    REFUSED(handler_count = 1);
    REFUSED(mechanisms = 1U << 9);
    REFUSED(queue_size = XMPP_TINY_QUEUE_MIN - 1);
    REFUSED(queue_size = sizeof a.tx - XMPP_TINY_TX_MIN + 1); /* what is left is too small */
    TAKEN(queue_size = sizeof a.tx - XMPP_TINY_TX_MIN);
    TAKEN(rx_size = XMPP_TINY_RX_MIN);
    TAKEN(tx_size = XMPP_TINY_TX_MIN);
    TAKEN(timeout_ms = 1000);
    TAKEN(timeout_ms = 600000);
    TAKEN(iterations_max = 4096);
#undef REFUSED
#undef TAKEN
    client_begin(&a);
    a.config.mechanisms = 0;
    a.config.password = NULL;
    CHECK_INT(xmpp_tiny_init(&x, &a.config), XMPP_TINY_ERR_CONFIG);
    client_begin(&a);
    a.config.handler_count = 1;
    a.config.handlers = no_ns;
    CHECK_INT(xmpp_tiny_init(&x, &a.config), XMPP_TINY_ERR_CONFIG);
    a.config.handlers = no_fn;
    CHECK_INT(xmpp_tiny_init(&x, &a.config), XMPP_TINY_ERR_CONFIG);
    memset(&x, 0, sizeof x);
    CHECK_INT(xmpp_tiny_connect(&x), XMPP_TINY_ERR_STATE); /* not prepared */
    CHECK_INT(xmpp_tiny_poll(&x), XMPP_TINY_FOREVER);
}

int main(void)
{
    unsigned calls = test_session();
    test_later_and_short();
    test_each_call_fails(calls);
    test_lying_counts(calls);
    test_each_byte_is_the_last();
    test_disconnect_any_time();
    test_waits();
    test_online_sleeps();
    test_woken_late();
    test_kept();
    test_two_clients();
    test_slices();
    test_config();
    return check_done();
}
