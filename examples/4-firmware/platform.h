/* SPDX-License-Identifier: MIT
 *
 * The board's clock and random numbers, for the client, TLS and lwIP.
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include "xmpp_tiny.h"

extern const struct xmpp_tiny_platform platform;

/* lwIP's ports, query ids and sequence numbers: see lwipopts.h. */
unsigned platform_rand(void);

#endif
