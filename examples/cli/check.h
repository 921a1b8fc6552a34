/* SPDX-License-Identifier: MIT
 *
 * --check: measures how a server protects the connections of its users, and judges it by the manifesto of
 * 2014 (ubiquitous encryption on the XMPP network), by RFC 7590 and RFC 9325, and by what lies beyond.
 */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "check_certificate.h"
#include "check_hello.h"
#include "check_link.h"
#include "port/bearssl.h"

#define CHECK_KEYS_MAX 4 /* public keys one server may show, for one suite or another */

enum check_transport { CHECK_STARTTLS, CHECK_DIRECT, CHECK_TRANSPORT_COUNT };

enum check_verdict { CHECK_UNSEEN, CHECK_HOLDS, CHECK_FAILS };

/* What one kind of offer met. */
struct check_finding {
    const char *name; /* of what was offered; NULL: it was not */
    enum check_outcome outcome;
    uint16_t version, suite;
};

struct check_measured {
    bool reached, tls; /* a connection; and TLS that can be had on it */
    bool alpn, compressed;
    struct check_features before, after; /* TLS */
    struct check_finding versions[CHECK_VERSION_COUNT], classes[CHECK_CLASS_COUNT];
    struct check_finding best, worst; /* chosen from all versions; from what a careless client offers first */
    uint8_t keys[CHECK_KEYS_MAX][32];
    size_t key_count;
    struct check_certificate certificate;
    size_t chain_len;
    uint8_t chain[16384];
    int error; /* of our own handshake, with all that has to hold; 0: none */
    enum check_verdict authority, name, dates;
};

struct cli_check {
    const char *host, *domain;
    uint16_t ports[CHECK_TRANSPORT_COUNT];
    uint32_t timeout_ms;
    const struct xmpp_tiny_bearssl_config *tls; /* anchors, buffers, platform */
    struct check_measured measured[CHECK_TRANSPORT_COUNT];
};

/* "starttls", "direct" */
const char *check_transport_name(enum check_transport transport);

/* Connects some dozens of times and reports what it finds. */
void cli_check_measure(struct cli_check *c);

/* Reports a verdict for each line. login: how a login went, if there was one that came so far, else NULL;
 * error: enum xmpp_tiny_err that ended it, or 0. Returns the exit status. */
int cli_check_judge(const struct cli_check *c, const struct xmpp_tiny_security *login, int error);

#endif
