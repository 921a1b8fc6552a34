/* SPDX-License-Identifier: MIT */
#include "counter.h"

#include <string.h>

/* The stream is the first member. */
static struct counter *counter(struct xmpp_tiny_stream *s)
{
    return (struct counter *)(void *)s;
}

static int op_open(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port)
{
    struct xmpp_tiny_stream *inner = counter(s)->inner;
    return inner->ops->open(inner, host, port);
}

/* What comes after something was sent is the answer. */
static int op_read(struct xmpp_tiny_stream *s, void *buf, size_t len)
{
    struct counter *c = counter(s);
    int n = c->inner->ops->read(c->inner, buf, len);
    if (n > 0) {
        c->down += (uint32_t)n;
        c->round_trips += c->asked;
        c->asked = false;
    }
    return n;
}

static int op_write(struct xmpp_tiny_stream *s, const void *buf, size_t len)
{
    struct counter *c = counter(s);
    int n = c->inner->ops->write(c->inner, buf, len);
    if (n > 0) {
        c->up += (uint32_t)n;
        c->asked = true;
    }
    return n;
}

static int op_shut(struct xmpp_tiny_stream *s)
{
    struct xmpp_tiny_stream *inner = counter(s)->inner;
    return inner->ops->shut(inner);
}

static void op_close(struct xmpp_tiny_stream *s)
{
    struct xmpp_tiny_stream *inner = counter(s)->inner;
    inner->ops->close(inner);
}

static int op_error(struct xmpp_tiny_stream *s, const char **detail)
{
    struct xmpp_tiny_stream *inner = counter(s)->inner;
    return inner->ops->error(inner, detail);
}

void counter_init(struct counter *c, struct xmpp_tiny_stream *inner)
{
    static const struct xmpp_tiny_stream_ops ops = {.open = op_open,
                                                    .read = op_read,
                                                    .write = op_write,
                                                    .shut = op_shut,
                                                    .close = op_close,
                                                    .error = op_error};
    memset(c, 0, sizeof *c);
    c->stream.ops = &ops;
    c->inner = inner;
}
