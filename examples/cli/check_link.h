/* SPDX-License-Identifier: MIT
 *
 * A connection for measuring: opened, read and written with a limit of time, and the plain half of an XMPP
 * stream over it. Nothing is sent that tells who we are.
 */
#ifndef CLI_CHECK_LINK_H
#define CLI_CHECK_LINK_H

#include "port/posix.h"
#include "xmpp_tiny.h"

struct check_link {
    struct xmpp_tiny_posix tcp;
    struct xmpp_tiny_stream *stream; /* &tcp.stream, or TLS laid over it */
    uint32_t timeout_ms;             /* for each step */
    uint32_t began;
};

/* tls: a stream with TLS over &l->tcp.stream, or NULL. */
void check_link_init(struct check_link *l, struct xmpp_tiny_stream *tls, uint32_t timeout_ms);

bool check_link_open(struct check_link *l, const char *host, uint16_t port);
bool check_link_secure(struct check_link *l, const char *name);
bool check_link_write(struct check_link *l, const void *data, size_t len);

/* Returns how many bytes came, 0 at the end, or as stream operations do; AGAIN when time is up. */
int check_link_read(struct check_link *l, void *buf, size_t size);

void check_link_close(struct check_link *l);

/* What a server says it can do. Lists are words between spaces. */
struct check_features {
    bool seen, starttls, required, registration;
    bool legacy; /* login without SASL [XEP-0078] */
    char mechanisms[512], bindings[256];
};

/* Opens a stream and reads the features. False if none came. */
bool check_link_features(struct check_link *l, const char *domain, struct check_features *f);

/* Asks for STARTTLS. False if the server does not let us proceed. */
bool check_link_starttls(struct check_link *l);

/* True if the word is in the list; a star at its end or its beginning stands for the rest. */
bool check_listed(const char *list, const char *word);

#endif
