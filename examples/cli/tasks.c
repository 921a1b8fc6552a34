/* SPDX-License-Identifier: MIT
 *
 * What the tool sends, in order, and the answers it waits for.
 */
#define _POSIX_C_SOURCE 200809L

#include "tasks.h"

#include "options.h"
#include "port/posix.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct xmpp_tiny_str absent = {NULL, 0};

static uint32_t now_ms(void)
{
    return xmpp_tiny_posix_platform.now_ms(xmpp_tiny_posix_platform.ctx);
}

static bool is(struct xmpp_tiny_str s, const char *word)
{
    return xmpp_tiny_same(s, xmpp_tiny_str(word));
}

/* ---- Words to tasks ---------------------------------------------------------------------------- */

/* "-" stands for our own server. */
static const char *task_to(struct cli_task *t, struct xmpp_tiny_str to, bool server_allowed)
{
    struct xmpp_tiny_jid jid;
    t->to = absent;
    if (server_allowed && (to.len == 0 || is(to, "-")))
        return NULL;
    if (xmpp_tiny_jid_parse(to, &jid) < 0)
        return "not a JID";
    t->to = to;
    return NULL;
}

const char *cli_task_message(struct cli_task *t, struct xmpp_tiny_str to, struct xmpp_tiny_str body)
{
    *t = (struct cli_task){.kind = CLI_MESSAGE, .text = body};
    return task_to(t, to, false);
}

const char *cli_task_presence(struct cli_task *t, struct xmpp_tiny_str show, struct xmpp_tiny_str status)
{
    *t = (struct cli_task){.kind = CLI_PRESENCE, .text = status.len > 0 ? status : absent};
    if (is(show, "unavailable"))
        t->type = show;
    else if (is(show, "away") || is(show, "chat") || is(show, "dnd") || is(show, "xa"))
        t->show = show;
    else if (show.len > 0 && !is(show, "available"))
        return "SHOW is one of available, chat, away, xa, dnd, unavailable";
    return NULL;
}

const char *cli_task_ping(struct cli_task *t, struct xmpp_tiny_str to)
{
    *t = (struct cli_task){.kind = CLI_PING};
    return task_to(t, to, true);
}

const char *cli_task_password(struct cli_task *t, struct xmpp_tiny_str password)
{
    *t = (struct cli_task){.kind = CLI_PASSWORD, .text = password};
    return NULL;
}

static const char *task_iq(struct cli_task *t, struct xmpp_tiny_str type, struct xmpp_tiny_str to,
                           struct xmpp_tiny_str payload)
{
    *t = (struct cli_task){.kind = CLI_IQ, .type = type, .text = payload};
    if (!is(type, "get") && !is(type, "set"))
        return "an iq request is get or set";
    return task_to(t, to, true);
}

/* Takes the first word off the rest. */
static struct xmpp_tiny_str word(struct xmpp_tiny_str *rest)
{
    const char *space = rest->len > 0 ? memchr(rest->ptr, ' ', rest->len) : NULL;
    struct xmpp_tiny_str first = {rest->ptr, space ? (size_t)(space - rest->ptr) : rest->len};
    size_t used = space ? first.len + 1 : first.len;
    rest->ptr += used;
    rest->len -= used;
    return first;
}

static const char *parse_command(struct cli_task *t, struct xmpp_tiny_str line)
{
    struct xmpp_tiny_str rest = line;
    struct xmpp_tiny_str command = word(&rest);
    if (is(command, "message")) {
        struct xmpp_tiny_str to = word(&rest);
        return cli_task_message(t, to, rest);
    }
    if (is(command, "presence")) {
        struct xmpp_tiny_str show = word(&rest);
        return cli_task_presence(t, show, rest);
    }
    if (is(command, "ping"))
        return cli_task_ping(t, rest);
    if (is(command, "password"))
        return rest.len > 0 ? cli_task_password(t, rest) : "which password?";
    if (is(command, "iq")) {
        struct xmpp_tiny_str type = word(&rest);
        struct xmpp_tiny_str to = word(&rest);
        return task_iq(t, type, to, rest);
    }
    *t = (struct cli_task){.kind = is(command, "raw") ? CLI_RAW : CLI_QUIT, .text = rest};
    if (t->kind == CLI_RAW && rest.len == 0)
        return "raw what?";
    if (t->kind == CLI_QUIT && !is(line, "quit"))
        return "unknown command; there are message, presence, ping, password, iq, raw, quit";
    return NULL;
}

static const char *task_parse(struct cli_task *t, struct xmpp_tiny_str line)
{
    static const char prefix[] = "id=";
    const size_t len = sizeof prefix - 1;
    struct xmpp_tiny_str id = absent;
    if (line.len > len && memcmp(line.ptr, prefix, len) == 0) {
        id = word(&line);
        id.ptr += len;
        id.len -= len;
        if (id.len == 0 || id.len > CLI_ID_MAX)
            return "an id has 1 to " CLI_TEXT_OF(CLI_ID_MAX) " bytes";
    }
    const char *wrong = parse_command(t, line);
    t->id = id;
    if (wrong == NULL && id.ptr != NULL && (t->kind == CLI_PASSWORD || t->kind == CLI_QUIT))
        return "this command takes no id";
    return wrong;
}

/* ---- Lines from stdin -------------------------------------------------------------------------- */

void cli_tasks_init(struct cli_tasks *s, const struct cli_task *list, size_t count, bool reads_stdin)
{
    memset(s, 0, sizeof *s);
    s->list = list;
    s->count = count;
    s->reading = reads_stdin;
}

bool cli_tasks_want_input(const struct cli_tasks *s)
{
    return s->reading && s->end - s->start < sizeof s->line && s->ids.count < CLI_IDS_MAX;
}

static void fail(struct cli_tasks *s, int status)
{
    if (s->failure == 0)
        s->failure = status;
}

static void refuse(struct cli_tasks *s, int err, const char *text, struct xmpp_tiny_str to)
{
    struct xmpp_tiny_error error = {.code = err, .text = xmpp_tiny_str(text)};
    cli_report_error(&error, to);
    fail(s, CLI_USAGE);
}

/* The line at the front without its end, and how many bytes it takes up. The last line may lack its
 * line feed. */
static bool front(const struct cli_tasks *s, struct xmpp_tiny_str *line, size_t *size)
{
    size_t len = s->end - s->start;
    const char *at = s->line + s->start;
    const char *feed = len > 0 ? memchr(at, '\n', len) : NULL;
    if (feed == NULL && (s->reading || len == 0))
        return false;
    line->ptr = at;
    line->len = feed ? (size_t)(feed - at) : len;
    *size = feed ? line->len + 1 : len;
    if (line->len > 0 && at[line->len - 1] == '\r')
        line->len--;
    return true;
}

/* A line that fills the buffer can be no command: its first part is dropped here, the rest as it comes. */
static void drop_overlong(struct cli_tasks *s)
{
    struct xmpp_tiny_str line;
    size_t size;
    if (s->overlong) {
        const char *feed = memchr(s->line + s->start, '\n', s->end - s->start);
        s->start = feed ? (size_t)(feed - s->line) + 1 : s->end;
        s->overlong = feed == NULL;
    } else if (s->end - s->start == sizeof s->line && !front(s, &line, &size)) {
        refuse(s, XMPP_TINY_ERR_TOO_BIG, "the line is too long", absent);
        s->start = s->end;
        s->overlong = true;
    }
}

void cli_tasks_input(struct cli_tasks *s)
{
    if (s->start > 0) {
        memmove(s->line, s->line + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
    }
    ssize_t got = read(STDIN_FILENO, s->line + s->end, sizeof s->line - s->end);
    if (got > 0) {
        s->end += (size_t)got;
        drop_overlong(s);
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        s->reading = false;
    }
}

/* ---- Requests ---------------------------------------------------------------------------------- */

static struct cli_request *free_request(struct cli_tasks *s)
{
    for (size_t i = 0; i < XMPP_TINY_MAX_REQUESTS; i++)
        if (s->requests[i].number == 0)
            return &s->requests[i];
    return NULL;
}

static void copy(char *to, size_t size, struct xmpp_tiny_str text)
{
    size_t len = text.len < size ? text.len : size - 1;
    if (len > 0)
        memcpy(to, text.ptr, len);
    to[len] = '\0';
}

static void expect(struct cli_request *r, int number, const struct cli_task *t, struct xmpp_tiny_str id)
{
    r->number = (uint16_t)number;
    r->kind = t->kind;
    r->since = now_ms();
    copy(r->to, sizeof r->to, t->to);
    copy(r->id, sizeof r->id, id);
}

static struct xmpp_tiny_str asked(const struct cli_request *r)
{
    return r->to[0] ? xmpp_tiny_str(r->to) : absent;
}

/* The id that was given counts: the one on the wire is random. */
static struct xmpp_tiny_str shown(const struct cli_request *r, const struct xmpp_tiny_event *event)
{
    return r->id[0] ? xmpp_tiny_str(r->id) : event->id;
}

static void report_pong(const struct cli_request *r, const struct xmpp_tiny_event *event)
{
    cli_report_begin("pong");
    cli_report_str("from", event->from.ptr ? event->from : asked(r));
    cli_report_str("id", shown(r, event));
    cli_report_number("ms", (int64_t)(uint32_t)(now_ms() - r->since));
    cli_report_str("condition", event->error.condition);
    cli_report_str("text", event->error.text);
    cli_report_end();
}

static void report_password(struct cli_tasks *s, const struct xmpp_tiny_event *event)
{
    cli_report_begin("password");
    cli_report_str("condition", event->error.condition);
    cli_report_str("text", event->error.text);
    cli_report_end();
    if (event->error.code != 0)
        fail(s, CLI_NO_LOGIN);
}

static void unanswered(struct cli_tasks *s, const struct xmpp_tiny_event *event, const struct cli_request *r)
{
    bool late = event->error.code == XMPP_TINY_ERR_TIMEOUT;
    cli_report_error(&event->error, asked(r));
    if (late || !s->keep)
        fail(s, late ? CLI_LATE : CLI_NO_CONNECTION);
}

void cli_tasks_answer(struct cli_tasks *s, const struct xmpp_tiny_event *event)
{
    s->full = false;
    for (size_t i = 0; i < XMPP_TINY_MAX_REQUESTS; i++) {
        struct cli_request *r = &s->requests[i];
        if (r->number != event->request)
            continue;
        if (!xmpp_tiny_found(event->el)) {
            if (!s->quit)
                unanswered(s, event, r);
        } else if (r->kind == CLI_PING) {
            report_pong(r, event);
        } else if (r->kind == CLI_PASSWORD) {
            report_password(s, event);
        } else {
            cli_report_iq(event, shown(r, event));
        }
        r->number = 0;
        return;
    }
}

/* ---- Delivery ---------------------------------------------------------------------------------- */

void cli_tasks_delivered(struct cli_tasks *s, const struct xmpp_tiny_event *event)
{
    struct cli_id id;
    s->full = false;
    if (!cli_ids_take(&s->ids, event->tag, &id)) /* it bears no tag */
        return;
    cli_report_begin(event->kind == XMPP_TINY_EVENT_DELIVERED ? "delivered" : "undelivered");
    cli_report_str("id", xmpp_tiny_str(id.text[0] ? id.text : NULL));
    cli_report_end();
}

void cli_tasks_give_up(struct cli_tasks *s)
{
    while (s->ids.count > 0) {
        const struct xmpp_tiny_event event = {.kind = XMPP_TINY_EVENT_UNDELIVERED, .tag = s->ids.list[0].tag};
        cli_tasks_delivered(s, &event);
    }
}

void cli_tasks_room(struct cli_tasks *s)
{
    s->full = false;
}

void cli_tasks_online(struct cli_tasks *s, bool resumed)
{
    s->full = false;
    s->presence.due = s->online && !resumed && s->presence.said;
    s->online = true;
}

/* ---- Ids --------------------------------------------------------------------------------------- */

/* One event will tell its end. */
static bool tracked(const struct cli_tasks *s, const struct cli_task *t)
{
    bool always = t->kind == CLI_MESSAGE || t->kind == CLI_IQ || t->kind == CLI_RAW;
    return s->queue && (always || t->id.ptr != NULL);
}

static const char *spaces(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* Bytes up to one of the stop characters, or to the end. */
static struct xmpp_tiny_str span(const char *at, const char *end, const char *stop)
{
    const char *from = at;
    while (at < end && strchr(stop, *at) == NULL)
        at++;
    return (struct xmpp_tiny_str){from, (size_t)(at - from)};
}

/* The id in the first tag of a stanza, absent if there is none; *name: bytes to the end of its name. */
static struct xmpp_tiny_str raw_id(struct xmpp_tiny_str xml, size_t *name)
{
    const char *end = xml.ptr + xml.len, *at = xml.ptr + span(xml.ptr, end, " \t/>").len;
    *name = (size_t)(at - xml.ptr);
    for (;;) {
        struct xmpp_tiny_str attribute = span(spaces(at, end), end, " \t=/>");
        at = spaces(attribute.ptr + attribute.len, end);
        if (attribute.len == 0 || at == end || *at != '=')
            return absent;
        at = spaces(at + 1, end);
        if (at == end || (*at != '\'' && *at != '"'))
            return absent;
        struct xmpp_tiny_str value = span(at + 1, end, *at == '"' ? "\"" : "'");
        if (is(attribute, "id"))
            return value;
        at = value.ptr + value.len < end ? value.ptr + value.len + 1 : end;
    }
}

/* Writes the stanza with the id that it has not. */
static struct xmpp_tiny_str raw_with_id(struct cli_tasks *s, struct xmpp_tiny_str xml, size_t name,
                                        struct xmpp_tiny_str id)
{
    char *at = s->raw;
    memcpy(at, xml.ptr, name);
    at += name;
    at += sprintf(at, " id='");
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (c == '&' || c == '<' || c == '\'')
            at += sprintf(at, "&#%d;", c);
        else
            *at++ = c;
    }
    *at++ = '\'';
    memcpy(at, xml.ptr + name, xml.len - name);
    at += xml.len - name;
    return (struct xmpp_tiny_str){s->raw, (size_t)(at - s->raw)};
}

/* Settles the id of a task: that of its line, or of the stanza, or one that is made. Returns NULL, or what is
 * wrong. */
static const char *settle_id(struct cli_tasks *s, struct cli_task *t, char *made, size_t size)
{
    size_t name;
    if (t->kind == CLI_RAW) {
        struct xmpp_tiny_str own = raw_id(t->text, &name);
        if (own.ptr != NULL && t->id.ptr != NULL)
            return "the stanza has an id already";
        if (own.len > CLI_ID_MAX && s->queue)
            return "an id has 1 to " CLI_TEXT_OF(CLI_ID_MAX) " bytes";
        if (t->id.ptr != NULL)
            t->text = raw_with_id(s, t->text, name, t->id);
        else
            t->id = own;
    } else if (t->id.ptr == NULL && (t->kind == CLI_MESSAGE || t->kind == CLI_IQ)) {
        (void)snprintf(made, size, "%c%lu", t->kind == CLI_IQ ? 'q' : 'm', (unsigned long)s->ids.names + 1);
        t->id = xmpp_tiny_str(made);
    }
    return NULL;
}

/* ---- Sending ----------------------------------------------------------------------------------- */

static int send_message(struct xmpp_tiny *x, const struct cli_task *t)
{
    struct xmpp_tiny_message m = {.to = t->to, .type = xmpp_tiny_str("chat"), .id = t->id, .body = t->text};
    return xmpp_tiny_message(x, &m);
}

static int send_presence(struct cli_tasks *s, struct xmpp_tiny *x, const struct cli_task *t)
{
    struct xmpp_tiny_presence p = {.type = t->type, .id = t->id, .show = t->show, .status = t->text};
    int err = xmpp_tiny_presence(x, &p);
    if (err == 0) {
        s->presence.said = t->type.ptr == NULL;
        s->presence.due = false;
        copy(s->presence.show, sizeof s->presence.show, t->show);
        copy(s->presence.status, sizeof s->presence.status, t->text);
    }
    return err;
}

/* To a new session. Returns false when there is no room. */
static bool repeat_presence(struct cli_tasks *s, struct xmpp_tiny *x)
{
    const struct cli_presence *last = &s->presence;
    struct xmpp_tiny_presence p = {.show = xmpp_tiny_str(last->show[0] ? last->show : NULL),
                                   .status = xmpp_tiny_str(last->status[0] ? last->status : NULL)};
    s->full = xmpp_tiny_presence(x, &p) == XMPP_TINY_ERR_AGAIN;
    s->presence.due = s->full;
    return !s->full;
}

static int send_iq(struct xmpp_tiny *x, const struct cli_task *t)
{
    xmpp_tiny_begin_request(x, is(t->type, "get") ? "get" : "set", t->to, 0);
    xmpp_tiny_put_raw(x, t->text);
    return xmpp_tiny_send(x);
}

static int task_send(struct cli_tasks *s, struct xmpp_tiny *x, const struct cli_task *t)
{
    switch (t->kind) {
    case CLI_MESSAGE:
        return send_message(x, t);
    case CLI_PRESENCE:
        return send_presence(s, x, t);
    case CLI_PING:
        return xmpp_tiny_ping(x, t->to, 0);
    case CLI_PASSWORD:
        return xmpp_tiny_change_password(x, t->text, 0);
    case CLI_IQ:
        return send_iq(x, t);
    case CLI_RAW:
        return xmpp_tiny_send_raw(x, t->text);
    case CLI_QUIT:
        s->quit = true;
        s->reading = false;
        return 0;
    }
    return 0;
}

/* The task whose turn it is. Returns false when there is none; size: bytes of its line, 0 for a task of
 * the command line. */
static bool task_next(struct cli_tasks *s, struct cli_task *t, size_t *size)
{
    struct xmpp_tiny_str line;
    *size = 0;
    if (s->next < s->count) {
        *t = s->list[s->next];
        return true;
    }
    while (!s->quit && front(s, &line, size)) {
        if (line.len > 0) {
            const char *wrong = task_parse(t, line);
            if (wrong == NULL)
                return true;
            refuse(s, XMPP_TINY_ERR_ARGUMENT, wrong, absent);
        }
        s->start += *size;
    }
    return false;
}

/* It is its turn, but it has to wait. */
static bool must_wait(struct cli_tasks *s, const struct xmpp_tiny *x, const struct cli_task *t)
{
    bool request = t->kind == CLI_PING || t->kind == CLI_PASSWORD || t->kind == CLI_IQ;
    if (request && free_request(s) == NULL)
        return true;
    if (t->kind == CLI_PASSWORD &&
        xmpp_tiny_state(x) != XMPP_TINY_STATE_ONLINE) /* the server has to be known */
        return true;
    return tracked(s, t) && s->ids.count == CLI_IDS_MAX;
}

/* Hands it over. Returns false when it was not accepted now. */
static bool hand_over(struct cli_tasks *s, struct xmpp_tiny *x, struct cli_task *t)
{
    char made[16];
    struct cli_request *request = free_request(s);
    struct cli_task task = *t;
    uint32_t tag = 0;
    const char *wrong = settle_id(s, &task, made, sizeof made);
    if (wrong != NULL) {
        refuse(s, XMPP_TINY_ERR_ARGUMENT, wrong, t->to);
        return true;
    }
    if (tracked(s, t)) {
        tag = cli_ids_tag(&s->ids);
        xmpp_tiny_tag(x, tag);
    }
    int result = task_send(s, x, &task);
    if (result == XMPP_TINY_ERR_AGAIN)
        s->full = true;
    if (result == XMPP_TINY_ERR_AGAIN || result == XMPP_TINY_ERR_BUSY || result == XMPP_TINY_ERR_STATE)
        return false;
    if (result < 0) {
        refuse(s, result, NULL, t->to);
        return true;
    }
    if (task.id.ptr == made)
        s->ids.names++;
    if (tag != 0)
        (void)cli_ids_add(&s->ids, tag, task.id);
    if (result > 0 && request != NULL)
        expect(request, result, t, task.id);
    return true;
}

bool cli_tasks_run(struct cli_tasks *s, struct xmpp_tiny *x)
{
    struct cli_task t;
    size_t size;
    bool moved = false;
    if (s->full || (s->presence.due && !repeat_presence(s, x)))
        return false;
    while (task_next(s, &t, &size)) {
        if (must_wait(s, x, &t) || !hand_over(s, x, &t))
            return moved;
        if (size == 0)
            s->next++;
        else
            s->start += size;
        moved = true;
    }
    return moved;
}

bool cli_tasks_idle(const struct cli_tasks *s)
{
    struct xmpp_tiny_str line;
    size_t size;
    for (size_t i = 0; i < XMPP_TINY_MAX_REQUESTS; i++)
        if (s->requests[i].number != 0)
            return false;
    return s->ids.count == 0 && !s->presence.due && s->next == s->count && !front(s, &line, &size);
}
