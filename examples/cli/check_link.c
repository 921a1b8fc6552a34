/* SPDX-License-Identifier: MIT
 *
 * Connections for measuring, and what servers say on them.
 */
#define _POSIX_C_SOURCE 200809L

#include "check_link.h"

#include "../common.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX 16384 /* bytes of a stream header with features */
#define SLEEP_MS 1000U /* at most, so that a signal just before a sleep is not missed for long */

static uint32_t now_ms(void)
{
    return xmpp_tiny_posix_platform.now_ms(xmpp_tiny_posix_platform.ctx);
}

/* ---- Bytes ------------------------------------------------------------------------------------- */

void check_link_init(struct check_link *l, struct xmpp_tiny_stream *tls, uint32_t timeout_ms)
{
    xmpp_tiny_posix_init(&l->tcp);
    l->stream = tls ? tls : &l->tcp.stream;
    l->timeout_ms = timeout_ms;
    l->began = now_ms();
}

/* Sleeps until what returned AGAIN is worth another try. False for other results, and when time is up. */
static bool again(struct check_link *l, int result, bool writes)
{
    uint32_t gone = now_ms() - l->began;
    if (result != XMPP_TINY_IO_AGAIN || gone >= l->timeout_ms || example_signal != 0)
        return false;
    uint32_t left = l->timeout_ms - gone;
    return xmpp_tiny_posix_wait(&l->tcp, writes, left < SLEEP_MS ? left : SLEEP_MS, -1) >= 0;
}

bool check_link_open(struct check_link *l, const char *host, uint16_t port)
{
    int result;
    l->began = now_ms();
    do
        result = l->stream->ops->open(l->stream, xmpp_tiny_str(host), port);
    while (again(l, result, false));
    return result > 0;
}

bool check_link_secure(struct check_link *l, const char *name)
{
    int result;
    l->began = now_ms();
    do
        result = l->stream->ops->secure(l->stream, xmpp_tiny_str(name));
    while (again(l, result, false));
    return result > 0;
}

bool check_link_write(struct check_link *l, const void *data, size_t len)
{
    const char *at = data;
    l->began = now_ms();
    while (len > 0) {
        int put = l->stream->ops->write(l->stream, at, len);
        if (put > 0) {
            at += put;
            len -= (size_t)put;
        } else if (!again(l, put, true)) {
            return false;
        }
    }
    return true;
}

int check_link_read(struct check_link *l, void *buf, size_t size)
{
    int got;
    if (now_ms() - l->began >= l->timeout_ms)
        return XMPP_TINY_IO_AGAIN; /* bytes that trickle do not buy time */
    do
        got = l->stream->ops->read(l->stream, buf, size);
    while (again(l, got, false));
    return got;
}

void check_link_close(struct check_link *l)
{
    l->stream->ops->close(l->stream);
}

/* ---- Tags --------------------------------------------------------------------------------------
 * Enough of XML to find tags and their attributes. What is not well-formed may be misread, never overrun. */

struct tag {
    const char *name, *end; /* the local name begins there; the tag's '>' */
    size_t len;             /* of the name */
    bool closing, empty;
};

/* The next tag, and *at behind it; false when none is complete. */
static bool next_tag(const char **at, struct tag *t)
{
    const char *begin = strchr(*at, '<');
    char quote = '\0';
    if (begin == NULL)
        return false;
    t->closing = begin[1] == '/';
    t->name = begin + (t->closing ? 2 : 1);
    for (t->end = t->name; *t->end != '\0' && (*t->end != '>' || quote != '\0'); t->end++) {
        if (quote == '\0' && (*t->end == '"' || *t->end == '\''))
            quote = *t->end;
        else if (*t->end == quote)
            quote = '\0';
    }
    if (*t->end == '\0')
        return false;
    t->len = strcspn(t->name, " \t\r\n/>");
    const char *colon = memchr(t->name, ':', t->len);
    if (colon != NULL) {
        t->len -= (size_t)(colon + 1 - t->name);
        t->name = colon + 1;
    }
    t->empty = t->end > t->name && t->end[-1] == '/';
    *at = t->end + 1;
    return true;
}

static bool named(const struct tag *t, const char *name)
{
    return t->len == strlen(name) && memcmp(t->name, name, t->len) == 0;
}

/* The value of an attribute; empty if there is none. */
static struct xmpp_tiny_str attribute(const struct tag *t, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = t->name; at + len + 1 < t->end; at++) {
        if (strchr(" \t\r\n", *at) == NULL || memcmp(at + 1, name, len) != 0 || at[1 + len] != '=')
            continue;
        const char *value = at + len + 3;
        const char *stop = value < t->end ? memchr(value, value[-1], (size_t)(t->end - value)) : NULL;
        return stop ? (struct xmpp_tiny_str){value, (size_t)(stop - value)} : xmpp_tiny_str("");
    }
    return xmpp_tiny_str("");
}

/* ---- Features ---------------------------------------------------------------------------------- */

/* Adds a word; what no name of a mechanism or a binding has becomes '?'. */
static void add_word(char *list, size_t size, struct xmpp_tiny_str word)
{
    size_t used = strlen(list);
    if (word.len == 0 || used + word.len + 2 > size)
        return;
    if (used > 0)
        list[used++] = ' ';
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];
        bool fine = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
                    c == '_';
        list[used++] = fine ? c : '?';
    }
    list[used] = '\0';
}

/* One feature; text: what follows the tag. */
static void add_feature(struct check_features *f, const struct tag *t, const char *text, bool in_starttls)
{
    if (named(t, "starttls"))
        f->starttls = true;
    else if (named(t, "required") && in_starttls)
        f->required = true;
    else if (named(t, "register"))
        f->registration = true;
    else if (named(t, "auth"))
        f->legacy = true;
    else if (named(t, "mechanism"))
        add_word(f->mechanisms, sizeof f->mechanisms, (struct xmpp_tiny_str){text, strcspn(text, "<")});
    else if (named(t, "channel-binding"))
        add_word(f->bindings, sizeof f->bindings, attribute(t, "type"));
}

/* Reads the features out of what has come. True once they are complete. */
static bool read_features(const char *text, struct check_features *f)
{
    struct tag t;
    bool inside = false, in_starttls = false;
    *f = (struct check_features){.seen = false};
    while (next_tag(&text, &t)) {
        if (named(&t, "features")) {
            f->seen = t.closing || t.empty;
            inside = true;
        } else if (inside && !t.closing) {
            add_feature(f, &t, text, in_starttls);
        }
        if (named(&t, "starttls"))
            in_starttls = !t.closing && !t.empty;
        if (f->seen)
            return true;
    }
    return false;
}

/* Reads on; len bytes of text are there. False when nothing more comes. */
static bool more(struct check_link *l, char *text, size_t *len)
{
    int got = *len + 1 < TEXT_MAX ? check_link_read(l, text + *len, TEXT_MAX - 1 - *len) : 0;
    if (got <= 0)
        return false;
    for (size_t end = *len + (size_t)got; *len < end; ++*len)
        if (text[*len] == '\0')
            text[*len] = '?';
    text[*len] = '\0';
    return true;
}

bool check_link_features(struct check_link *l, const char *domain, struct check_features *f)
{
    static char text[TEXT_MAX];
    char header[512];
    size_t used = 0;
    int len = snprintf(header, sizeof header,
                       "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' "
                       "xmlns:stream='http://etherx.jabber.org/streams'>",
                       domain);
    *f = (struct check_features){.seen = false};
    if (len < 0 || (size_t)len >= sizeof header || !check_link_write(l, header, (size_t)len))
        return false;
    while (more(l, text, &used))
        if (read_features(text, f))
            return true;
    return false;
}

bool check_link_starttls(struct check_link *l)
{
    static const char ask[] = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    static char text[TEXT_MAX];
    size_t used = 0;
    if (!check_link_write(l, ask, sizeof ask - 1))
        return false;
    while (more(l, text, &used)) {
        const char *at = text;
        struct tag t;
        if (next_tag(&at, &t))
            return named(&t, "proceed") && *at == '\0';
    }
    return false;
}

bool check_listed(const char *list, const char *word)
{
    size_t len = strlen(word);
    bool head = len > 0 && word[len - 1] == '*', tail = word[0] == '*';
    size_t fixed = len - (head ? 1 : 0) - (tail ? 1 : 0);
    const char *text = tail ? word + 1 : word;
    while (*list != '\0') {
        size_t size = strcspn(list, " ");
        if (size >= fixed && (head || tail || size == fixed) &&
            memcmp(tail ? list + size - fixed : list, text, fixed) == 0)
            return true;
        list += size + (list[size] == ' ' ? 1 : 0);
    }
    return false;
}
