/* SPDX-License-Identifier: MIT
 *
 * The first words of a TLS handshake: offers a server some versions and cipher suites and sees what it
 * chooses. No handshake is finished, and no key is ever made.
 */
#ifndef CLI_CHECK_HELLO_H
#define CLI_CHECK_HELLO_H

#include "check_link.h"

/* name, number on the wire */
/* clang-format off */
#define CHECK_VERSIONS(X) \
    X(SSL2,  "SSLv2",   0x0002) \
    X(SSL3,  "SSLv3",   0x0300) \
    X(TLS10, "TLS 1.0", 0x0301) \
    X(TLS11, "TLS 1.1", 0x0302) \
    X(TLS12, "TLS 1.2", 0x0303) \
    X(TLS13, "TLS 1.3", 0x0304)

#define CHECK_CLASSES(X) \
    X(AEAD,   "forward-secret AEAD") \
    X(CBC,    "forward-secret CBC") \
    X(RSA,    "static RSA") \
    X(RC4,    "RC4") \
    X(TDES,   "3DES") \
    X(EXPORT, "DES or export") \
    X(NULLS,  "NULL") \
    X(ANON,   "anonymous")
/* clang-format on */

enum check_version {
#define X(name, text, number) CHECK_##name,
    CHECK_VERSIONS(X)
#undef X
        CHECK_VERSION_COUNT
};

enum check_class {
#define X(name, text) CHECK_##name,
    CHECK_CLASSES(X)
#undef X
        CHECK_CLASS_COUNT
};

#define CHECK_ALL_CLASSES ((1U << CHECK_CLASS_COUNT) - 1)

enum check_outcome {
    CHECK_UNKNOWN, /* no connection, or no answer */
    CHECK_REFUSED,
    CHECK_ACCEPTED
};

struct check_offer {
    enum check_version oldest, newest;
    uint32_t classes;   /* bits 1 << enum check_class */
    bool weakest_first; /* else the strongest */
    bool alpn;
    const char *name; /* of the server */
};

struct check_choice {
    enum check_outcome outcome;
    int alert;              /* with which it was refused; -1: none */
    uint16_t version;       /* chosen, as on the wire */
    uint16_t suite;         /* likewise */
    bool compressed, alpn;  /* agreed upon */
    size_t certificate_len; /* what the server showed, as in the message; at most sizeof certificates */
    uint8_t certificates[16384];
};

/* Makes the offer over a connection that is open, behind STARTTLS if there is that. */
void check_hello(struct check_link *l, const struct check_offer *offer, struct check_choice *choice);

uint16_t check_version_number(enum check_version version); /* on the wire */
const char *check_version_name(uint16_t version);          /* "TLS 1.2"; "" if unknown */
const char *check_suite_name(uint16_t suite);              /* "ECDHE_RSA_WITH_..."; "" if unknown */
enum check_class check_suite_class(uint16_t suite);        /* CHECK_CLASS_COUNT if unknown */

#endif
