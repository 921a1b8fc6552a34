/* SPDX-License-Identifier: MIT
 *
 * A stream without TLS laid over another: calls a function before bytes leave.
 */
#ifndef CLI_GATE_H
#define CLI_GATE_H

#include "xmpp_tiny.h"

struct cli_gate {
    struct xmpp_tiny_stream stream;
    struct xmpp_tiny_stream *inner;
    void (*on_write)(void *user);
    void *user;
};

void cli_gate_init(struct cli_gate *g, struct xmpp_tiny_stream *below, void (*on_write)(void *user),
                   void *user);

#endif
