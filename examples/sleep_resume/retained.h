/* SPDX-License-Identifier: MIT
 *
 * What outlives sleep and power cuts.
 */
#ifndef RETAINED_H
#define RETAINED_H

#include "xmpp_tiny.h"

/* Bytes of stanzas that are kept until the server has them, asleep or awake. */
#define RETAINED_QUEUE 512

/* How far the readings got: the last that was handed over; the last whose end is known. */
struct progress {
    uint32_t last, told;
};

/* Two copies, one of which is whole while the other is written. */
struct retained {
    struct copy {
        volatile uint32_t age; /* the higher, the later */
        volatile uint32_t last, told;
        volatile uint32_t len;
        volatile uint32_t whole; /* what makes the sum of these five 0xffffffff */
        uint8_t blob[XMPP_TINY_SAVE_MAX + RETAINED_QUEUE];
    } copies[2];
};

void retain(struct retained *r, const struct progress *progress, struct xmpp_tiny *x);

/* Before anything else is done with the client, which checks its blob itself. False when there is none, or a
 * damaged one: what had been under way may have arrived or not. */
bool recall(const struct retained *r, struct progress *progress, struct xmpp_tiny *x);

#endif
