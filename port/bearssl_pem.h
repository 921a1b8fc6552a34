/* SPDX-License-Identifier: MIT
 *
 * Reads certificates and keys in PEM form for port/bearssl: for hosts, where they come from files. A
 * device has them compiled in.
 *
 * Nothing is allocated: what is read goes into an arena that the caller gives and that has to live as
 * long as what was read; with a key in it, it is as secret as the key. Its size: that of the PEM texts
 * is enough. Stack: some 4 KB.
 */
#ifndef XMPP_TINY_PORT_BEARSSL_PEM_H
#define XMPP_TINY_PORT_BEARSSL_PEM_H

#include "xmpp_tiny.h"

#include <bearssl.h>

#ifdef __cplusplus
extern "C" {
#endif

struct xmpp_tiny_bearssl_arena {
    uint8_t *data;
    size_t size, used;
};

struct xmpp_tiny_bearssl_key {
    int type; /* BR_KEYTYPE_EC or BR_KEYTYPE_RSA */
    br_ec_private_key ec;
    br_rsa_private_key rsa;
};

/* All three return ARGUMENT for text that does not hold what is asked for or is damaged, and TOO_BIG
 * when the array or the arena is too small. Objects of another kind in the text are passed over. */

/* Every certificate in the text becomes a trust anchor: a CA, or a server's own certificate.
 * Returns how many. */
int xmpp_tiny_bearssl_pem_anchors(struct xmpp_tiny_bearssl_arena *arena, struct xmpp_tiny_str text,
                                  br_x509_trust_anchor *anchors, size_t max);

/* Certificates as they stand, our own first. Returns how many. */
int xmpp_tiny_bearssl_pem_chain(struct xmpp_tiny_bearssl_arena *arena, struct xmpp_tiny_str text,
                                br_x509_certificate *chain, size_t max);

/* The first private key: "PRIVATE KEY", "RSA PRIVATE KEY" or "EC PRIVATE KEY", not encrypted.
 * Returns 0. */
int xmpp_tiny_bearssl_pem_key(struct xmpp_tiny_bearssl_arena *arena, struct xmpp_tiny_str text,
                              struct xmpp_tiny_bearssl_key *key);

#ifdef __cplusplus
}
#endif
#endif
