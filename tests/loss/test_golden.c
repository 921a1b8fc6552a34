/* SPDX-License-Identifier: MIT
 *
 * Golden sessions under link loss: each is played byte by byte, and at each place the client is taken out of
 * it, its connection is cut, and the server of the link-loss tests, which has heard all that was said, goes
 * on with it. Then all is put back as it was, and the transcript goes on to the next place. README.md says
 * more.
 *
 *     test_golden [-v] [-a] [-t STEP] [-s PART-OF-A-TITLE [-f PLACE]] [PART/PARTS] TRANSCRIPT...
 *
 * -v: all failures are shown, not the first 40; -a: each place in all ways, not in one; -t: every STEP-th
 * place; -f: this place alone, line by line; PART/PARTS: this share of the sessions.
 *
 * Names here begin with c_ because the core is included with the player.
 */
#define G_COMPANION
#include "tests/golden/run.c"

#include "loss.h"

#define C_SEEN       (1 << 17) /* lines that can be told apart; a power of two */
#define C_COPY       (2 * 65536)
#define C_HASH_BASIS UINT64_C(0xCBF29CE484222325) /* FNV-1a */
#define C_HASH_PRIME UINT64_C(0x100000001B3)

/* What the server makes of a session that is to be resumed. */
enum { C_KNOWS, C_FORGOT, C_TELLS, C_WITHOUT, C_SERVERS };
static const char *const c_servers[C_SERVERS] = {"resumes", "forgot", "tells", "has no sessions"};
static const char *const c_kinds[LOSS_KINDS] = {[LOSS_DOWN_RESET] = "reset",
                                                [LOSS_DOWN_END] = "end",
                                                [LOSS_DOWN_SILENT] = "silent",
                                                [LOSS_POWER_CALL] = "power off",
                                                [LOSS_OLDER] = "power off, the save before the last"};

static struct {
    /* what is asked for */
    unsigned step, part, parts, only; /* only: the place; 0: all */
    bool all_shown, all_ways;
    /* what came of it */
    unsigned sessions, passed, failed, left, lost_track;
    /* the session */
    bool saves;     /* the application saves what is new */
    unsigned place; /* the last */
    bool silent;    /* a connection was: after a second, the session may be given up */
    bool no_text;   /* stanzas did not fit what was saved */
    bool loaded;    /* and not on line since: what was sent before and what waits now look alike */
    struct {
        struct loss_journal journal;
        unsigned clock, maybe;
    } saved[G_BLOBS];           /* by the transcript */
    struct loss_journal before; /* the event that is told */
    size_t said, got;           /* bytes of this connection to the client */
    /* the lines so far, by their digest, and those that were played before, after the same lines */
    uint64_t hash, seen[C_SEEN];
    bool known;
} c;

/* ---- At a place ---- */

/* Puts all aside, or back. */
static void c_keep(struct g_run *r, bool back)
{
    static struct {
        struct xmpp_tiny x;
        struct xmpp_tiny_saved saved;
        struct xmpp_tiny_config config;
        struct xmpp_tiny_stream stream;
        char buffers[C_COPY];
    } client;
    static struct loss_world world;
    size_t sessions = (back ? world.session_count : loss.session_count) + 1;
    size_t accounts = offsetof(struct loss_world, sessions) + sessions * sizeof loss.sessions[0];
    if (back) {
        r->x = client.x;
        r->saved = client.saved;
        r->config = client.config;
        r->stream = client.stream;
        memcpy(r->rx, client.buffers, r->config.rx_size);
        memcpy(r->tx, client.buffers + r->config.rx_size, r->config.tx_size);
        memcpy(&loss, &world, accounts);
    } else {
        client.x = r->x;
        client.saved = r->saved;
        client.config = r->config;
        client.stream = r->stream;
        memcpy(client.buffers, r->rx, r->config.rx_size);
        memcpy(client.buffers + r->config.rx_size, r->tx, r->config.tx_size);
        memcpy(&world, &loss, accounts);
    }
}

/* A TLS session of the transcript, which is no use here. */
static void c_no_session(struct xmpp_tiny_stream *s, const uint8_t *data, size_t len, const uint8_t *spki,
                         const uint8_t *certificate)
{
    (void)s;
    (void)data;
    (void)len;
    (void)spki;
    (void)certificate;
}

static uint32_t c_flags(const struct g_run *r, unsigned server)
{
    const struct xmpp_tiny_config *f = &r->config;
    return W_HEARD | (f->queue_size ? 0U : W_NO_QUEUE) | (f->queue_size && server != C_WITHOUT ? W_SM : 0U) |
           (server == C_TELLS ? W_TELLS : 0U) | (f->tls == XMPP_TINY_TLS_START ? W_START : 0U) |
           (f->keep ? W_KEEP : 0U) | (f->resend ? W_RESEND : 0U) | (f->saved ? 0U : W_NO_SAVED) |
           (c.no_text ? W_NO_TEXT : 0U) | (loss.sasl2 ? W_SASL2 | W_FAST : 0U);
}

/* The session that the client knows beyond doubt; 0: none. */
static unsigned c_knows(const struct g_run *r)
{
    bool sure = xmpp_tiny_state(&r->x) == XMPP_TINY_STATE_ONLINE && r->config.queue_size && r->config.saved &&
                !loss.told_error && !loss.ending && !loss.suspended && c.said == c.got && !c.silent;
    return sure && loss.session && loss.sessions[loss.session].lasts ? loss.session : 0;
}

static void c_shown(const struct g_run *r, enum loss_kind kind, unsigned server)
{
    if (!c.all_shown && c.failed > 40)
        return;
    printf("---- %s:%d: %s", r->line->file, r->line->number, r->session->title);
    for (size_t i = 0; i < r->row.count; i++)
        printf("%s%s='%s'", i ? " " : " [", r->row.at[i].name, r->row.at[i].value);
    printf("%s, place %u (%s, the server %s%s): %s\n", r->row.count ? "]" : "", c.place, c_kinds[kind],
           c_servers[server], c.saves ? ", saved" : "", loss.why);
}

/* Goes on without the transcript: what was accepted and sent comes to its end, and then as much again. */
static void c_place(struct g_run *r, enum loss_kind kind, unsigned server)
{
    static struct xmpp_tiny_stream_ops ops;
    static struct loss_scenario scenario = {"golden", 0, "osmpqw"};
    enum xmpp_tiny_origin origin = xmpp_tiny_err_origin(loss.error_code);
    struct xmpp_tiny_config config = r->config;
    if (kind == LOSS_OLDER && server == C_TELLS) /* what was lost with the last session went with the next */
        server = C_FORGOT;
    c_keep(r, false);
    scenario.flags = c_flags(r, server);
    ops = loss_ops;
    if (config.saved) /* a stranger needs to be remembered */
        ops.security = g_security;
    ops.save = g_save;
    ops.load = c_no_session;
    r->stream.ops = &ops;
    loss.failed = false;
    loss.now = r->now;
    loss.known = server == C_KNOWS ? c_knows(r) : 0;
    loss.keeps = c_knows(r) != 0;
    if (server != C_KNOWS ||
        (loss.told_error && origin != XMPP_TINY_ORIGIN_NET && origin != XMPP_TINY_ORIGIN_TIME))
        server_forget(false, false);
    loss_adopt(&scenario, &config, kind);
    r->config = loss.config;
    loss_play();
    if (loss.failed) {
        c.failed++;
        c_shown(r, kind, server);
    } else {
        c.passed++;
    }
    c_keep(r, true);
}

/* In one way, another than at the place before, or in all. */
static void c_ways(struct g_run *r, const enum loss_kind *kinds, unsigned count)
{
    static const uint8_t servers[] = {C_KNOWS, C_FORGOT, C_KNOWS, C_TELLS, C_KNOWS, C_WITHOUT};
    unsigned n = ++c.place;
    if (!r->initialised || loss.lost_track || loss.failed ||
        (c.only ? c.only != n : c.known || n % c.step != 0))
        return;
    if (!c.all_ways)
        c_place(r, kinds[n / 6 % count], servers[n % 6]);
    for (unsigned i = 0; c.all_ways && i < count * C_SERVERS; i++)
        c_place(r, kinds[i / C_SERVERS], i % C_SERVERS);
}

static void c_cut(struct g_run *r)
{
    static const enum loss_kind kinds[] = {LOSS_DOWN_RESET, LOSS_DOWN_END, LOSS_DOWN_SILENT};
    if (!c.saves)
        c_ways(r, kinds, 3);
}

/* An older save is not safe where what marks it is lost behind it. */
static void c_power(struct g_run *r)
{
    static const enum loss_kind kinds[] = {LOSS_POWER_CALL, LOSS_POWER_CALL, LOSS_OLDER};
    if (c.saves && !c.loaded)
        c_ways(r, kinds, loss.took_back ? 2 : 3);
}

/* ---- The companion ---- */

/* After the same lines the same comes: so much need not be cut again. */
static void c_line(struct g_run *r, const char *text)
{
    uint64_t *at;
    loss_see("-- %s", text);
    for (const char *p = text; *p; p++)
        c.hash = (c.hash ^ (uint8_t)*p) * C_HASH_PRIME;
    c.hash = (c.hash ^ '\n') * C_HASH_PRIME;
    at = &c.seen[c.hash & (C_SEEN - 1)];
    while (*at && *at != c.hash)
        at = at + 1 < c.seen + C_SEEN ? at + 1 : c.seen;
    c.known = *at == c.hash;
    *at = c.hash;
    c.no_text |= strstr(text, " short=") != NULL;
    if (g_begins(text, "counters ") && loss.session) {
        char *acked;
        loss.sessions[loss.session].out = (uint32_t)strtoul(text + 9, &acked, 10);
        loss.sessions[loss.session].in = (uint32_t)strtoul(acked, NULL, 10);
        loss.lost_track |= c.saves; /* what was saved does not know */
    }
    (void)r;
}

static void c_says(struct g_run *r, const char *p, size_t len)
{
    (void)r;
    c.said += len;
    server_heard_down(p, len);
}

static void c_got(struct g_run *r)
{
    c.got++;
    c_cut(r);
}

static void c_sent(struct g_run *r, const char *p, size_t len)
{
    server_heard_up(p, len);
    c_cut(r);
}

static void c_tells(struct g_run *r, const struct xmpp_tiny_event *event)
{
    (void)r;
    loss_see("* %s %u", xmpp_tiny_event_name(event->kind), event->tag);
    c.before = loss.journal;
    c.loaded &= event->kind != XMPP_TINY_EVENT_ONLINE;
    c.silent |= event->kind == XMPP_TINY_EVENT_ERROR && event->error.code == XMPP_TINY_ERR_TIMEOUT;
    loss_heard_event(event);
}

/* What comes again was not told yet. */
static void c_told(struct g_run *r, int result)
{
    if (result == XMPP_TINY_ERR_AGAIN) {
        memcpy(loss.journal.got, c.before.got, sizeof c.before.got);
        memcpy(loss.journal.asked, c.before.asked, sizeof c.before.asked);
        loss.full = true;
    }
    c_power(r);
}

static size_t c_blob(const struct g_run *r, const char *name)
{
    size_t i = 0;
    while (i + 1 < G_BLOBS && strcmp(r->blobs[i].name, name) != 0)
        i++;
    return i;
}

/* A client that knows nothing. */
static void c_begun(struct g_run *r)
{
    static struct loss_scenario heard = {"heard", 0, ""};
    struct xmpp_tiny_jid jid;
    if (r->config.jid && xmpp_tiny_jid_parse(xmpp_tiny_str(r->config.jid), &jid) == 0) {
        char domain[256];
        snprintf(domain, sizeof domain, "%.*s", (int)jid.domain.len, jid.domain.ptr);
        loss.domain = loss_keep(domain);
    }
    heard.flags = c_flags(r, C_KNOWS);
    loss.scenario = &heard;
    loss.x = &r->x;
    loss_lose_power(NULL);
    loss.blob_count = 0;
}

static void c_loaded(size_t i)
{
    static struct loss_blob blob;
    blob.journal = c.saved[i].journal;
    blob.clock = c.saved[i].clock;
    blob.maybe = c.saved[i].maybe;
    loss_lose_power(&blob);
    c.loaded = true;
}

static void c_called(struct g_run *r, const char *call, int result)
{
    if (g_begins(call, "init") || g_begins(call, "power off")) {
        c_begun(r);
    } else if (g_begins(call, "save ") && result == 0) {
        size_t i = c_blob(r, call + 5);
        c.saved[i].journal = loss.journal;
        c.saved[i].clock = ++loss.clock;
        c.saved[i].maybe = loss.maybe;
        loss.dirty = false;
    } else if (g_begins(call, "load ") && result == 0) {
        c_loaded(c_blob(r, call + 5));
    } else if (g_begins(call, "connect") && result == 0) {
        server_hear();
        c.said = c.got = 0;
        loss.closed = false;
        loss.ending = loss.suspended = false;
    } else if (g_begins(call, "disconnect") && result == 0) {
        loss.ending = true;
    } else if (g_begins(call, "suspend") && result == 0) {
        loss.suspended = true;
    } else if (g_sends(call) && result >= 0) {
        loss_accepted(result, result > 0);
    } else if (g_sends(call) && result == XMPP_TINY_ERR_AGAIN) {
        loss.full = true;
    }
}

static uint32_t c_tag(struct g_run *r)
{
    (void)r;
    if (loss.serial + 16 >= LOSS_STANZAS)
        loss.lost_track = true;
    return loss.serial + 1;
}

static void c_settled(struct g_run *r)
{
    loss.now = r->now;
    loss.config = r->config;
    if (c.saves && r->initialised && r->config.saved && xmpp_tiny_changed(&r->x)) {
        loss.known = c_knows(r);
        loss_see("saved");
        loss_save();
        loss.known = 0;
    }
}

/* Once with cuts, once with an application that saves, and power that fails. */
static bool c_plays(const struct g_book *b, const struct g_session *s, const struct g_vars *row)
{
    const struct g_way way = {true, false, c.only != 0, 0, NULL};
    bool left = false;
    unsigned failed = c.failed;
    if (c.sessions++ % c.parts != c.part % c.parts)
        return true;
    c.place = 0;
    for (unsigned round = 0; round < 2; round++) {
        c.saves = round == 1;
        c.hash = C_HASH_BASIS + round;
        c.no_text = c.silent = c.loaded = false;
        loss_hear();
        loss.verbose = c.only != 0;
        left |= !g_play(b, s, row, way);
        if (loss.failed) {
            printf("---- %s: %s: while it was played%s: %s\n", s->file, s->title, c.saves ? ", saved" : "",
                   loss.why);
            c.failed++;
        }
        c.lost_track += loss.lost_track;
    }
    c.left += left;
    return c.failed == failed;
}

static const struct g_companion c_companion = {.line = c_line,
                                               .says = c_says,
                                               .got = c_got,
                                               .sent = c_sent,
                                               .tells = c_tells,
                                               .told = c_told,
                                               .called = c_called,
                                               .wanted = c_cut,
                                               .settled = c_settled,
                                               .tag = c_tag,
                                               .plays = c_plays};

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    struct g_options options = {NULL, false, 1};
    g_companion = &c_companion;
    c.step = c.parts = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0)
            c.all_shown = true;
        else if (strcmp(argv[i], "-a") == 0)
            c.all_ways = true;
        else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc)
            options.only = argv[++i];
        else if (strcmp(argv[i], "-f") == 0 && i + 1 < argc)
            c.only = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-t") == 0 && i + 1 < argc && strtoul(argv[i + 1], NULL, 10) > 0)
            c.step = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (sscanf(argv[i], "%u/%u", &c.part, &c.parts) == 2 && c.parts)
            continue;
        else
            g_play_file(argv[i], &options, &passed, &failed);
    }
    g_forget_memos();
    if (failed > 0 && c.failed == 0)
        c.failed = failed;
    printf("%u sessions, %u of them left early, %u too much to follow\n", c.sessions, c.left, c.lost_track);
    printf("%u passed, %u failed\n", c.passed, c.failed);
    return c.failed ? 1 : 0;
}
