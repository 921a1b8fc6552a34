/* SPDX-License-Identifier: MIT
 *
 * Feeds the tokenizer and writes down what comes out, one record per result, with a space between:
 *
 *     H{ns}name a='1' {ns}b='2'     the root's first tag
 *     U{ns}name a='1'[text{ns}child[]text after]     a unit
 *     S123{ns}name a='1'            a skipped unit of 123 bytes; S123- if nothing of it is known
 *     L  E                          the element entered was left; the root is complete
 *     !XML                          an error, by its name
 *
 * The buffer ends at a page that must not be touched. Include it behind xmpp_tiny.c, with
 * _DEFAULT_SOURCE defined before all headers. */
#ifndef TOK_H
#define TOK_H

#include "check.h"
#include "guard.h"

#include <stdlib.h>

/* size bytes, full of `fill`, that end where memory ends. The same place every time. */
static inline char *guarded(size_t size, int fill)
{
    char *from = guard_end() - size;
    if (size > GUARDED_MAX) {
        printf("no room before the guard\n0 passed, 1 failed\n");
        exit(1);
    }
    memset(from, fill, size);
    return from;
}

/* ---- The record ---- */

struct tape {
    char text[1 << 16];
    size_t len;
};

static inline void tape_add(struct tape *tape, const char *ptr, size_t len)
{
    size_t room = sizeof tape->text - 1 - tape->len;
    len = len < room ? len : room;
    if (len)
        memcpy(tape->text + tape->len, ptr, len);
    tape->len += len;
    tape->text[tape->len] = 0;
}

static inline void tape_text(struct tape *tape, const char *text)
{
    tape_add(tape, text, strlen(text));
}

static inline void tape_str(struct tape *tape, struct xmpp_tiny_str s)
{
    tape_add(tape, s.ptr, s.len);
}

static inline void tape_record(struct tape *tape, const char *kind)
{
    if (tape->len)
        tape_text(tape, " ");
    tape_text(tape, kind);
}

/* {ns}name a='1' */
static inline void tape_tag(struct tape *tape, struct xmpp_tiny_el e)
{
    struct xmpp_tiny_str name, ns, value;
    uint16_t at = 0;
    if (!xmpp_tiny_found(e)) {
        tape_text(tape, "-");
        return;
    }
    tape_text(tape, "{");
    tape_str(tape, xmpp_tiny_ns(e));
    tape_text(tape, "}");
    tape_str(tape, xmpp_tiny_name(e));
    while (xmpp_tiny_attr_next(e, &at, &name, &ns, &value)) {
        tape_text(tape, " ");
        if (ns.len) {
            tape_text(tape, "{");
            tape_str(tape, ns);
            tape_text(tape, "}");
        }
        tape_str(tape, name);
        tape_text(tape, "='");
        tape_str(tape, value);
        tape_text(tape, "'");
    }
}

static inline void tape_element(struct tape *tape, struct xmpp_tiny_el e)
{
    tape_tag(tape, e);
    tape_text(tape, "[");
    tape_str(tape, xmpp_tiny_text(e));
    for (struct xmpp_tiny_el c = xmpp_tiny_child(e, NULL, "*"); xmpp_tiny_found(c);
         c = xmpp_tiny_next(c, NULL, "*")) {
        tape_element(tape, c);
        tape_str(tape, xmpp_tiny_text_after(c));
    }
    tape_text(tape, "]");
}

/* ---- The reader ---- */

struct reader {
    struct xmpp_tiny_tok_ tok;
    struct tape log;
    struct tape open; /* the first tag as TOK_OPEN showed it */
    size_t taken;     /* bytes fed until it was over */
    bool over;
    const char *enter; /* name of the unit to enter, once */
    bool hold;         /* units stay */
};

static inline void reader_init(struct reader *r, size_t size, int fill)
{
    r->log.len = r->open.len = r->taken = 0;
    r->log.text[0] = 0;
    r->over = r->hold = false;
    r->enter = NULL;
    memset(&r->tok, 0, sizeof r->tok);
    tok_init(&r->tok, guarded(size, fill), size);
}

static inline void reader_opened(struct reader *r)
{
    struct xmpp_tiny_el e = tok_unit(&r->tok);
    r->open.len = 0;
    if (r->tok.skip)
        return;
    tape_tag(&r->open, e);
    if (r->enter && xmpp_tiny_same(xmpp_tiny_name(e), xmpp_tiny_str(r->enter))) {
        tok_enter(&r->tok);
        r->enter = NULL;
    }
}

/* The unit's cursor must stop at the unit's end. */
static inline void reader_alone(struct reader *r)
{
    struct xmpp_tiny_el e = tok_unit(&r->tok);
    if (xmpp_tiny_found(xmpp_tiny_next(e, NULL, "*")) || xmpp_tiny_text_after(e).len)
        tape_text(&r->log, " (runs on)");
}

static inline void reader_result(struct reader *r, int result)
{
    char bytes[24];
    size_t from;
    switch (result) {
    case TOK_HEADER:
        tape_record(&r->log, "H");
        tape_tag(&r->log, tok_root(&r->tok));
        return;
    case TOK_OPEN:
        reader_opened(r);
        return;
    case TOK_UNIT:
        tape_record(&r->log, "U");
        from = r->log.len;
        tape_element(&r->log, tok_unit(&r->tok));
        if (r->log.len < from + r->open.len || memcmp(r->log.text + from, r->open.text, r->open.len) != 0)
            tape_text(&r->log, " (opened otherwise)");
        reader_alone(r);
        if (r->hold)
            tok_hold(&r->tok);
        return;
    case TOK_SKIPPED:
        snprintf(bytes, sizeof bytes, "S%lu", (unsigned long)r->tok.bytes);
        tape_record(&r->log, bytes);
        tape_tag(&r->log, tok_unit(&r->tok));
        if (!r->tok.skip)
            tape_text(&r->log, " (why?)");
        reader_alone(r);
        return;
    case TOK_LEFT:
        tape_record(&r->log, "L");
        return;
    case TOK_END:
        tape_record(&r->log, "E");
        r->over = true;
        return;
    default:
        tape_record(&r->log, "!");
        tape_text(&r->log, xmpp_tiny_err_name(result));
        r->over = true;
    }
}

/* Feeds a piece, in as few windows as it takes. */
static inline void reader_feed(struct reader *r, const char *data, size_t len)
{
    while (len && !r->over) {
        size_t room;
        char *window = tok_window(&r->tok, &room);
        if (room == 0) {
            tape_record(&r->log, "(no room)");
            r->over = true;
            return;
        }
        room = room < len ? room : len;
        memcpy(window, data, room);
        tok_fed(&r->tok, room);
        data += room;
        len -= room;
        r->taken += room;
        for (int result = tok_next(&r->tok); result != TOK_MORE && !r->over;
             result = r->over ? TOK_MORE : tok_next(&r->tok))
            reader_result(r, result);
    }
}

/* Feeds all in pieces of `piece` bytes. */
static inline void reader_pieces(struct reader *r, const char *data, size_t len, size_t piece)
{
    for (size_t at = 0; at < len && !r->over; at += piece)
        reader_feed(r, data + at, len - at < piece ? len - at : piece);
}

#endif
