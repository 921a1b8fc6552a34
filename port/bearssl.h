/* SPDX-License-Identifier: MIT
 *
 * TLS 1.2 with BearSSL, as a stream laid over any other stream; hash functions and HMAC for the core.
 *
 * Memory: struct xmpp_tiny_bearssl is some 7 KB on a 32-bit machine, the record buffers are yours, and
 * the handshake takes 4 to 5.5 KB of stack. Nothing is allocated. No call waits for the network, but
 * secure() computes: one call may take as long as one elliptic curve operation (tens of millions of
 * instructions on a small core).
 *
 * What a server must satisfy: TLS 1.2, ECDHE with an AEAD cipher, a certificate chain that leads to one
 * of the anchors with SHA-256, -384 or -512 and RSA keys of at least 2,048 bits; the name among the
 * certificate's dNSNames (its common name is not looked at; a wildcard stands for one whole label and
 * never above a single one, so not "*.com"); and server authentication allowed if the certificate
 * limits its use. Renegotiation is refused, sessions are not resumed.
 *
 * Flash, on Cortex-M3 with -Os: 62 KB with all of BearSSL that it links; 54 KB with BearSSL's 31-bit
 * code (port/bearssl_profile.c); 3.6 KB of it are texts, left out with XMPP_TINY_ENABLE_NAMES 0.
 */
#ifndef XMPP_TINY_PORT_BEARSSL_H
#define XMPP_TINY_PORT_BEARSSL_H

#include "xmpp_tiny.h"

#include <bearssl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* P-384, which many public certificate authorities sign with; 0 saves 2.1 KB of flash. */
#ifndef XMPP_TINY_BEARSSL_ENABLE_P384
#define XMPP_TINY_BEARSSL_ENABLE_P384 1
#endif

#define XMPP_TINY_BEARSSL_IN_MIN  837   /* records of 512 bytes */
#define XMPP_TINY_BEARSSL_OUT_MIN 597   /* likewise */
#define XMPP_TINY_BEARSSL_IN_MAX  16709 /* any record there can be */
#define XMPP_TINY_BEARSSL_OUT_MAX 16469 /* likewise */

/* Who we are, for SASL EXTERNAL: a certificate chain, our own certificate first, and its key. */
struct xmpp_tiny_bearssl_identity {
    /* xmpp_tiny_bearssl_ec or xmpp_tiny_bearssl_rsa; only the one that is named gets linked. */
    void (*use)(br_ssl_client_context *client, const struct xmpp_tiny_bearssl_identity *identity);
    const br_x509_certificate *chain;
    size_t chain_count;
    const br_ec_private_key *ec;
    const br_rsa_private_key *rsa;
};
void xmpp_tiny_bearssl_ec(br_ssl_client_context *client, const struct xmpp_tiny_bearssl_identity *identity);
void xmpp_tiny_bearssl_rsa(br_ssl_client_context *client, const struct xmpp_tiny_bearssl_identity *identity);

/* Everything it points to must outlive the stream. */
struct xmpp_tiny_bearssl_config {
    struct xmpp_tiny_stream *inner;
    const struct xmpp_tiny_platform *platform; /* random and unix_time are used */
    /* Whom to trust: CAs, or servers' own certificates. As C source they come from `brssl ta FILE`, a
     * tool that BearSSL's own Makefile builds. */
    const br_x509_trust_anchor *anchors;
    size_t anchor_count;
    /* Record buffers. Servers are asked to keep to the largest of 512, 1,024, 2,048 and 4,096 bytes
     * that fits `in` [RFC6066 4]; not all do, and a record too large ends the connection with
     * TLS_RECORD. From XMPP_TINY_BEARSSL_IN_MAX on every record fits and nothing is asked.
     * out NULL: `in` serves both directions. That saves RAM, but nothing can be sent while a record
     * is partly received or read: an application that answers XMPP_TINY_ERR_AGAIN to wait for room
     * may then wait until the timeout. */
    void *in;
    size_t in_size;
    void *out;
    size_t out_size;
    const struct xmpp_tiny_bearssl_identity *identity; /* NULL: none */
    /* For devices without a clock: seconds since 1970 that have passed for certain, such as the time
     * the firmware was built. Certificates are checked against the later of this and the platform's
     * unix_time(); so without a clock those issued after the build are refused, and those that ended
     * since then are accepted. 0: none; then an unknown time is the error CLOCK. */
    int64_t time_floor;
};

/* The server's own certificate on its way through BearSSL's check. */
struct xmpp_tiny_bearssl_leaf_ {
    const br_x509_class *vtable;
    br_x509_minimal_context minimal;
    union {
        br_hash_compat_context running; /* of the leaf's bytes */
        uint8_t digest[64];
    } hash;
    const char *name;     /* to be found */
    uint16_t at, left;    /* bytes seen; bytes left of the element being read */
    uint16_t length;      /* of the element whose header is being read */
    uint16_t end[12];     /* where each open element ends */
    uint8_t certificates; /* of the chain, begun */
    uint8_t place, phase, tag, need;
    uint8_t oid[10], oid_len;
    uint8_t algorithm; /* BearSSL's number of the hash that signs the leaf, 0 if unknown */
    uint8_t hash_len;  /* of the digest once it is there */
    uint8_t flags;
};

/* A connection. Visible so that it can be static; private all the same. */
struct xmpp_tiny_bearssl {
    struct xmpp_tiny_stream stream;
    const struct xmpp_tiny_bearssl_config *config;
    const char *detail;
    int error;
    uint8_t state;
    bool spoke;          /* bytes were sent in the clear: STARTTLS */
    const char *alpn[1]; /* application protocols offered */
    br_ssl_client_context client;
    struct xmpp_tiny_bearssl_leaf_ leaf;
};

/* Prepares a connection; then &t->stream is a stream with TLS. The config is kept, not copied.
 * Returns 0, or XMPP_TINY_ERR_CONFIG. When: before anything else, or after close(). */
int xmpp_tiny_bearssl_init(struct xmpp_tiny_bearssl *t, const struct xmpp_tiny_bearssl_config *config);

/* What was agreed: "TLS 1.2" and "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"; empty while there is no TLS. */
const char *xmpp_tiny_bearssl_version(const struct xmpp_tiny_bearssl *t);
const char *xmpp_tiny_bearssl_suite(const struct xmpp_tiny_bearssl *t);

/* Hash functions, HMAC and PBKDF2 for xmpp_tiny_config.crypto. Stack on Cortex-M3, three quarters of it
 * BearSSL's: 1.2 KB with SHA-1 and SHA-256, 1.8 KB with SHA-512. */
extern const struct xmpp_tiny_crypto xmpp_tiny_bearssl_crypto;

/* Chooses suites, curves and implementations. It is alone in port/bearssl_profile.c: link a function of
 * the same name instead to choose others. */
void xmpp_tiny_bearssl_profile(br_ssl_client_context *client, br_x509_minimal_context *x509);

/* Sets up the check of the server's certificate; port/bearssl_leaf.c. Private. */
void xmpp_tiny_bearssl_leaf_init_(struct xmpp_tiny_bearssl_leaf_ *leaf, const br_x509_trust_anchor *anchors,
                                  size_t count);

#ifdef __cplusplus
}
#endif
#endif
