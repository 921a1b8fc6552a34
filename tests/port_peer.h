/* SPDX-License-Identifier: MIT
 *
 * The other end of a port under test, in the same process: over a loopback socket or in memory, in the
 * clear or behind BearSSL's TLS server. And a stream in memory that can be made to break the contract.
 */
#ifndef XMPP_TINY_TESTS_PORT_PEER_H
#define XMPP_TINY_TESTS_PORT_PEER_H

#include "conformance.h"
#include "port/bearssl.h"
#include "port/bearssl_pem.h"

/* ---- A stream in memory ------------------------------------------------------------------------ */

/* What a fake does wrong, and words that the checker has to find for it. */
/* clang-format off */
#define PORT_FAULTS(X) \
    X(NONE,             "") \
    X(READ_ZERO,        "return -2 (XMPP_TINY_IO_AGAIN) for 'try later'") \
    X(READ_TOO_MUCH,    "for a buffer of") \
    X(READ_OVERRUN,     "wrote beyond the buffer") \
    X(READ_FAILS,       "if there was just nothing to read, return -2") \
    X(READ_SWAPS,       "bytes must keep their order") \
    X(WRITE_ZERO,       "write() returned 0: return -2") \
    X(WRITE_TOO_MUCH,   "but was given") \
    X(WRITE_FAILS,      "if there was just no room, return -2") \
    X(WRITE_LIES,       "none may be lost") \
    X(WRITE_KEEPS,      "must not keep the caller's buffer") \
    X(WRITE_DROPS,      "return -2 when there is no room") \
    X(WRITE_TWICE,      "none may be lost or doubled") \
    X(HELD_FOR_EVER,    "push out what was held back with the next read() or write()") \
    X(END_EARLY,        "deliver all data before the end") \
    X(END_FAILS,        "although the connection is whole") \
    X(END_NEVER,        "never returned 0 although the peer ended") \
    X(END_ONCE,         "keep returning 0") \
    X(CUT_IS_END,       "was broken, not ended in order: return -1") \
    X(CUT_NEVER,        "never failed although the connection was broken") \
    X(FAILURE_PASSES,   "after a failure: keep returning -1 until close()") \
    X(ERROR_ZERO,       "error() returned 0 after a failure") \
    X(ERROR_FOREIGN,    "which is no error of a transport") \
    X(ERROR_CHANGES,    "the first error counts") \
    X(OPEN_ZERO,        "open() returned 0: return 1") \
    X(OPEN_ANY,         "open() succeeded on a port that nobody listens on") \
    X(OPEN_STUCK,       "open() never came to an end, although the peer accepts") \
    X(OPEN_WANTS_NUL,   "mind that the host does not end in NUL") \
    X(REFUSED_IS_LOST,  "return XMPP_TINY_ERR_CONNECT") \
    X(SHUT_ZERO,        "shut() returned 0: return 1") \
    X(SHUT_STUCK,       "shut() never came to an end") \
    X(SHUT_DROPS,       "shut() pushes out what is held back") \
    X(SHUT_SILENT,      "the peer never saw our end after shut()") \
    X(CLOSE_KEEPS,      "of the connection before came out after close() and open()") \
    X(CLOSE_ONCE,       "although the peer accepts") \
    X(CLOSED_LIVES,     "on a stream that is not open: return -1") \
    X(HALF_TLS,         "must be both there or both NULL") \
    X(HALF_SESSION,     "save and load must be both there, beside secure, or both NULL")
/* clang-format on */

enum port_fault {
#define X(name, words) PORT_FAULT_##name,
    PORT_FAULTS(X)
#undef X
        PORT_FAULT_COUNT
};

struct port_pipe {
    uint8_t data[65536];
    size_t begin, len;
    bool ended, broken; /* after the data */
};

struct port_fake {
    struct xmpp_tiny_stream stream;
    struct port_pipe up, down;
    enum port_fault fault;
    size_t chunk; /* most bytes in one read or write */
    bool stormy;  /* half of all calls are answered "later" */
    uint32_t calls;
    unsigned closes;
    bool listening, open, failed;
    bool deaf;    /* every write fails */
    bool stalled; /* no write finds room */
    int error;
    uint8_t held[64];
    size_t held_len;
};

/* ---- Peers ------------------------------------------------------------------------------------- */

struct port_tls {
    br_x509_certificate chain[2];
    size_t chain_count;
    struct xmpp_tiny_bearssl_key key;
    const br_x509_trust_anchor *client_anchors; /* NULL: no client certificate is asked for */
    size_t client_anchor_count;
    uint16_t suite;   /* the only cipher suite; 0: any that BearSSL has */
    unsigned version; /* the only version; 0: any that BearSSL has */
    int curve;        /* the only curve for the key exchange; 0: any that BearSSL has */
    bool deaf;        /* does not know the extension for short records */
    const br_ssl_session_cache_class **cache; /* NULL: sessions have ids, but are not resumed */
    uint8_t bytes[8192];
};

/* BearSSL's choice of suite and hash, with a word of ours before it. */
struct port_policy {
    const br_ssl_server_policy_class *vtable, **inner;
    br_ssl_engine_context *engine;
};

struct port_peer {
    struct conformance_peer peer;
    struct port_fake *fake; /* NULL: loopback socket */
    int listener, refuser, fd;
    const struct port_tls *tls;

    enum conformance_role role;
    bool connected, released, seen_end, finished, bad, busy;
    size_t sent, taken, echo_len;
    uint8_t echo[4096];
    const char *protocols[1];
    br_ssl_server_context server;
    br_x509_minimal_context x509;
    br_ec_impl ec;
    struct port_policy policy;
    unsigned char records[BR_SSL_BUFSIZE_BIDI];
};

/* The time that all certificates are checked against: 1 January 2050. */
#define PORT_TIME 2524608000

/* A platform with a counter for a clock, fixed random numbers and the time above. */
extern const struct xmpp_tiny_platform port_platform;

void port_fake_init(struct port_fake *fake, enum port_fault fault, size_t chunk, bool stormy);

/* chain and key in PEM. */
void port_tls_init(struct port_tls *tls, const char *chain, const char *key);

/* fake NULL: a loopback socket; tls NULL: none; name: what the certificate says. */
void port_peer_init(struct port_peer *p, struct port_fake *fake, const struct port_tls *tls,
                    const char *name);
void port_peer_free(struct port_peer *p);

#endif
