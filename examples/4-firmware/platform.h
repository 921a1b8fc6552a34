/* SPDX-License-Identifier: MIT
 *
 * The board's clock and random numbers, for the client, TLS and lwIP.
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include "examples/boards/board.h"
#include "xmpp_tiny.h"

extern const struct xmpp_tiny_platform platform;

/* lwIP's ports, query ids and sequence numbers: see lwipopts.h. */
unsigned platform_rand(void);

/* The milliseconds that are left until a moment, 0 if it has come. */
static inline uint32_t left(uint32_t at)
{
    uint32_t ms = at - board_now_ms();
    return ms <= INT32_MAX ? ms : 0;
}

static inline uint32_t sooner(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

#endif
