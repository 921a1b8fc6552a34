/* SPDX-License-Identifier: MIT
 *
 * A stream between TLS and TCP that counts what the radio would have to do.
 */
#ifndef COUNTER_H
#define COUNTER_H

#include "xmpp_tiny.h"

struct counter {
    struct xmpp_tiny_stream stream;
    struct xmpp_tiny_stream *inner;
    uint32_t up, down;    /* bytes, TLS's own included */
    uint32_t round_trips; /* how often an answer was awaited; the handshake of TCP comes on top */
    bool asked;
};

void counter_init(struct counter *c, struct xmpp_tiny_stream *inner);

#endif
