/* SPDX-License-Identifier: MIT
 *
 * TCP, clock and random numbers of a POSIX system (Linux) for xmpp_tiny.
 *
 * Nothing here blocks, with one exception: open() calls getaddrinfo(3) once, which may wait for name
 * servers and allocates and frees memory inside libc. An address instead of a name avoids the wait.
 */
#ifndef XMPP_TINY_PORT_POSIX_H
#define XMPP_TINY_PORT_POSIX_H

#include "xmpp_tiny.h"

#include <netinet/in.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define XMPP_TINY_POSIX_ADDRESSES  8      /* of one host that are tried; the rest is ignored */
#define XMPP_TINY_POSIX_CONNECT_MS 10000U /* longest wait for one address */

union xmpp_tiny_posix_address_ {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* A connection. Visible so that it can be static; private all the same. */
struct xmpp_tiny_posix {
    struct xmpp_tiny_stream stream;
    int fd; /* -1: none */
    int error;
    const char *detail;
    int broken;     /* the errno of a write that failed while there was something to read, or 0 */
    uint32_t since; /* when the attempt under way began */
    union xmpp_tiny_posix_address_ addresses[XMPP_TINY_POSIX_ADDRESSES];
    uint8_t count, next; /* addresses known; the one to try next */
    uint8_t state;
    bool full; /* the last write could not take all */
};

/* Prepares a connection; then &p->stream is a stream without TLS. When: before anything else. */
void xmpp_tiny_posix_init(struct xmpp_tiny_posix *p);

/* Sleeps until the socket has bytes or, if want_write is set or the last write could not take all, has
 * room; until extra_fd (-1: none) has bytes; or for ms milliseconds (XMPP_TINY_FOREVER: no limit).
 * Returns 0 when time is up, else the sum of 1 for the socket and 2 for extra_fd; -1 on failure.
 * A signal ends the wait early, as if time were up.
 * When: after xmpp_tiny_poll(), with the time that it returned. */
int xmpp_tiny_posix_wait(struct xmpp_tiny_posix *p, bool want_write, uint32_t ms, int extra_fd);

/* For programs that wait for several connections at once, with poll(2) of their own: the socket, or -1
 * while there is none. It always matters whether it has bytes; *want_write is set when it matters as well
 * whether it has room: while connecting, and after a write that could not take all. Each connection may
 * have another socket, and while connecting each address has, so ask before every wait.
 * While connecting, wait no longer than XMPP_TINY_POSIX_CONNECT_MS: an address that does not answer is
 * given up by the next xmpp_tiny_poll(). */
int xmpp_tiny_posix_fd(const struct xmpp_tiny_posix *p, bool *want_write);

/* CLOCK_MONOTONIC, getrandom(2), time(2), no trace. Copy it to add a trace hook. */
extern const struct xmpp_tiny_platform xmpp_tiny_posix_platform;

#ifdef __cplusplus
}
#endif
#endif
