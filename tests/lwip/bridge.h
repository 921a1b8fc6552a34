/* SPDX-License-Identifier: MIT
 *
 * The port checker's peer at the far machine: the roles of tests/port_peer.c, whose transport are two
 * pipes in memory, and from there on the far machine's connection.
 */
#ifndef LWIP_BRIDGE_H
#define LWIP_BRIDGE_H

#include "port_peer.h"

/* For conformance_run(). */
extern struct conformance_peer bridge_peer;

/* server NULL: no TLS. expect and step are the checker's, and call the two below between what the world
 * needs; cut lets what was sent arrive, and then has far_abort() called. */
void bridge_begin(const char *host, const struct port_tls *server,
                  void (*expect)(struct conformance_peer *peer, enum conformance_role role),
                  void (*step)(struct conformance_peer *peer), void (*cut)(void));

/* Forgets the connection before, and plays this role in the next. */
void bridge_expect(enum conformance_role role);

/* Carries bytes both ways between the roles and the connection. */
void bridge_carry(void);

#endif
