/* SPDX-License-Identifier: MIT
 *
 * What has to happen before bytes leave.
 */
#include "gate.h"

static struct xmpp_tiny_stream *inner(struct xmpp_tiny_stream *s)
{
    return ((struct cli_gate *)s)->inner;
}

static int gate_open(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port)
{
    return inner(s)->ops->open(inner(s), host, port);
}

static int gate_read(struct xmpp_tiny_stream *s, void *buf, size_t len)
{
    return inner(s)->ops->read(inner(s), buf, len);
}

static int gate_write(struct xmpp_tiny_stream *s, const void *buf, size_t len)
{
    const struct cli_gate *g = (const struct cli_gate *)s;
    g->on_write(g->user);
    return inner(s)->ops->write(inner(s), buf, len);
}

static int gate_shut(struct xmpp_tiny_stream *s)
{
    return inner(s)->ops->shut(inner(s));
}

static void gate_close(struct xmpp_tiny_stream *s)
{
    inner(s)->ops->close(inner(s));
}

static int gate_error(struct xmpp_tiny_stream *s, const char **detail)
{
    return inner(s)->ops->error(inner(s), detail);
}

static const struct xmpp_tiny_stream_ops ops = {
    .open = gate_open,
    .read = gate_read,
    .write = gate_write,
    .shut = gate_shut,
    .close = gate_close,
    .error = gate_error,
};

void cli_gate_init(struct cli_gate *g, struct xmpp_tiny_stream *below, void (*on_write)(void *user),
                   void *user)
{
    *g = (struct cli_gate){.stream = {&ops}, .inner = below, .on_write = on_write, .user = user};
}
