/* SPDX-License-Identifier: MIT
 *
 * The far machine: another lwIP with a memory of its own, so that nothing it does is counted in the near
 * one's. It takes one TCP connection at a time, answers DNS queries, and does what it is told. Its lwIP
 * is linked so that nothing but these functions is visible.
 */
#ifndef LWIP_FAR_H
#define LWIP_FAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Its addresses; it is the name server too. The near machine has NEAR_4 and NEAR_6. */
#define FAR_4   "10.0.0.2"
#define FAR_6   "fd00::2"
#define NEAR_4  "10.0.0.1"
#define NEAR_6  "fd00::1"
#define OTHER_4 "10.0.0.9" /* nobody's */
#define OTHER_6 "fd00::9"

#define FAR_PORT    5222
#define FAR_REFUSED 5223

/* Once. It listens from then on. */
void far_init(void);

/* Takes what the wire has for it, and runs its timers. */
void far_poll(void);

/* Resets its connection, if there is one, and waits for the next. */
void far_forget(void);

/* True when a connection was taken since far_forget(). A later one replaces it silently. */
bool far_connected(void);

/* As a stream's read and write: > 0 bytes, 0 the client ended, -1 broken, -2 later. What is not read
 * keeps the window shut. */
int far_read(void *buf, size_t len);
int far_write(const void *buf, size_t len);

/* Ends in order; what was written goes first. */
void far_finish(void);

/* Resets the connection. */
void far_abort(void);

/* Takes new connections to its IPv4 address, to its IPv6 address; refuses others. */
void far_listen(bool four, bool six);

/* ---- Names ------------------------------------------------------------------------------------- */

enum far_dns {
    FAR_DNS_ANSWERS, /* with the addresses of far_name(), or that there are none */
    FAR_DNS_HOLDS,   /* keeps queries until far_dns_release() */
    FAR_DNS_NO_SUCH, /* NXDOMAIN to everything */
    FAR_DNS_FAILS    /* SERVFAIL to everything */
};

void far_dns(enum far_dns mode);

/* What a name has; either may be NULL. Names are compared whole. At most 4; NULL forgets all. */
void far_name(const char *name, const char *address4, const char *address6);

/* Answers the queries kept, in the order in which they came, or the other way round. */
void far_dns_release(bool backwards);

/* Queries since far_name(NULL, NULL, NULL): all, and those for IPv6. */
unsigned far_dns_queries(void);
unsigned far_dns_queries6(void);

#endif
