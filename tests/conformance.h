/* SPDX-License-Identifier: MIT
 *
 * Checks a port against the contract of struct xmpp_tiny_stream_ops, and says in plain words what is
 * wrong. It needs the stream, and a peer at its other end that can be told how to behave.
 *
 * To check a port of your own: write a peer (tests/port_peer.c has one over loopback sockets), fill in
 * struct conformance, call conformance_run(). The checker is tests/port_checker.c; it prints nothing
 * itself and measures no time, but a port that blocks makes it hang: run it under a time limit.
 */
#ifndef XMPP_TINY_TESTS_CONFORMANCE_H
#define XMPP_TINY_TESTS_CONFORMANCE_H

#include "xmpp_tiny.h"

/* What the peer does with the next connection. */
enum conformance_role {
    CONFORMANCE_ECHO, /* sends back what comes; after our end, ends in order */
    CONFORMANCE_TALK, /* sends CONFORMANCE_TALK_SIZE pattern bytes, then ends in order */
    CONFORMANCE_CUT,  /* sends CONFORMANCE_CUT_SIZE pattern bytes, then breaks the connection */
    CONFORMANCE_MUTE, /* sends nothing; after our end, ends in order */
    CONFORMANCE_LAZY  /* takes nothing before release(), then everything; after our end, ends in order */
};
#define CONFORMANCE_TALK_SIZE 30000
#define CONFORMANCE_CUT_SIZE  900

/* The byte at an offset of either direction. */
uint8_t conformance_pattern(size_t offset);

struct conformance_peer {
    /* How to treat the next connection; forgets the one before. */
    void (*expect)(struct conformance_peer *peer, enum conformance_role role);
    /* Works a little. Called between the port's calls; may sleep a millisecond when there is nothing. */
    void (*step)(struct conformance_peer *peer);
    void (*release)(struct conformance_peer *peer);
    /* Bytes that came in, in order and as in the pattern; SIZE_MAX once one did not. */
    size_t (*taken)(const struct conformance_peer *peer);
    /* True when our end came in order (with close_notify where there is TLS). */
    bool (*ended)(const struct conformance_peer *peer);
    const char *host;
    uint16_t port;
    uint16_t refused; /* a port that nobody listens on */
    const char *name; /* what the peer's certificate says; NULL: no TLS */
};

struct conformance {
    struct xmpp_tiny_stream *stream;
    struct conformance_peer *peer;
    /* Told once for each thing that is wrong. */
    void (*report)(struct conformance *c, const char *text);
    void *user;

    /* The rest is the checker's. */
    const char *doing; /* the check under way */
    int passed, failed;
};

/* Runs all checks. Returns how many failed. */
int conformance_run(struct conformance *c);

#endif
