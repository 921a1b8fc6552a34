/* SPDX-License-Identifier: MIT
 *
 * The library's tokenizer over a file: tiny FILE SEGMENT tokens|touch|digest
 * "tokens" makes the tree of every stanza and looks no further; "touch" then walks each tree through
 * the public cursor: every name, namespace, attribute and text, which is what expat's callbacks
 * deliver. bench_parse() is what tools/bench counts; filling the window is left out, as a port reads
 * straight into it. */
#include "../xmpp_tiny.c"
#include "bench.h"

#define RX_SIZE 8192

enum mode { TOKENS, WALK };

static void bench_start(struct tally *t, struct xmpp_tiny_el here)
{
    struct xmpp_tiny_str name = xmpp_tiny_name(here), ns = xmpp_tiny_ns(here), value;
    uint16_t iter = 0;
    t->elements++;
    t->touched += name.len + ns.len;
    if (t->digesting) {
        digest_string(t, '<', NULL, 0);
        digest_string(t, 'n', ns.ptr, ns.len);
        digest_string(t, 'l', name.ptr, name.len);
    }
    while (xmpp_tiny_attr_next(here, &iter, &name, &ns, &value)) {
        t->attributes++;
        t->touched += name.len + ns.len + value.len;
        if (t->digesting) {
            digest_string(t, 'n', ns.ptr, ns.len);
            digest_string(t, 'l', name.ptr, name.len);
            digest_string(t, '=', value.ptr, value.len);
        }
    }
    if (t->digesting) {
        digest_string(t, '>', NULL, 0);
    }
}

static void bench_text(struct tally *t, struct xmpp_tiny_str text)
{
    t->text += text.len;
    if (t->digesting) {
        digest_bytes(t, text.ptr, text.len);
    }
}

static void bench_end(struct tally *t)
{
    if (t->digesting) {
        digest_string(t, '/', NULL, 0);
    }
}

/* A tree in document order. */
static void bench_walk(struct tally *t, struct xmpp_tiny_el here)
{
    struct xmpp_tiny_el open[XMPP_TINY_MAX_DEPTH];
    size_t depth = 0;
    for (;;) {
        bench_start(t, here);
        bench_text(t, xmpp_tiny_text(here));
        open[depth] = here;
        here = xmpp_tiny_child(here, NULL, "*");
        while (!xmpp_tiny_found(here)) {
            bench_end(t);
            if (depth == 0) {
                return;
            }
            bench_text(t, xmpp_tiny_text_after(open[depth]));
            here = xmpp_tiny_next(open[depth], NULL, "*");
            depth--;
        }
        depth++;
    }
}

/* Takes the units that are ready. Returns 0, or the error that ended the stream. */
__attribute__((noinline)) static int bench_parse(struct xmpp_tiny_tok_ *tok, struct tally *t, enum mode mode)
{
    for (;;) {
        int result = tok_next(tok);
        if (result == TOK_UNIT) {
            t->touched++;
            if (mode == WALK) {
                bench_walk(t, tok_unit(tok));
            }
        } else if (result == TOK_MORE || result == TOK_END) {
            return 0;
        } else if (result == TOK_SKIPPED) {
            return XMPP_TINY_ERR_XML_LIMIT;
        } else if (result < 0) {
            return result;
        }
    }
}

static int feed(struct xmpp_tiny_tok_ *tok, const struct input *in, struct tally *t, enum mode mode)
{
    size_t at = 0, arrived = 0;
    while (at < in->len) {
        size_t room;
        char *window = tok_window(tok, &room);
        if (at == arrived) {
            arrived = in->len - at < in->segment ? in->len : at + in->segment;
        }
        if (room > arrived - at) {
            room = arrived - at;
        }
        memcpy(window, in->bytes + at, room);
        tok_fed(tok, room);
        at += room;
        int err = bench_parse(tok, t, mode);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static char rx[RX_SIZE];
    struct xmpp_tiny_tok_ tok;
    struct tally tally = {0};
    if (argc != 4) {
        fprintf(stderr, "usage: tiny FILE SEGMENT tokens|touch|digest\n");
        return 1;
    }
    struct input in = input_read(argv[1], argv[2]);
    tally.digesting = strcmp(argv[3], "digest") == 0;
    tok_init(&tok, rx, sizeof rx);
    int err = feed(&tok, &in, &tally, strcmp(argv[3], "tokens") == 0 ? TOKENS : WALK);
    if (err != 0) {
        fprintf(stderr, "xmpp_tiny: %s\n", xmpp_tiny_err_name(err));
        return 1;
    }
    tally_print(&tally);
    free(in.bytes);
    return 0;
}
