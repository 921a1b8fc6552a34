/* SPDX-License-Identifier: MIT
 *
 * TLS 1.2 with BearSSL, as a stream laid over any other stream; hash functions and HMAC for the core.
 *
 * Memory: struct xmpp_tiny_bearssl is 7.2 KB on a 32-bit machine, 6.7 KB without SHA-384 and names of
 * certificates; the record buffers are yours, and the handshake takes 3.4 to 4.9 KB of stack. Nothing is
 * allocated. No call waits for the network, but secure() computes: one call may take as long as the server's
 * chain takes to verify, of which at most 10 authorities are looked at (tens of millions of instructions each
 * on a small core).
 *
 * What a server must satisfy: TLS 1.2, ECDHE with an AEAD cipher, keys of RSA from 2,048 bits on or of the
 * curves below, SHA-256, -384 or -512. With trust anchors also:
 * - its certificate chain leads to one of them, in order, each certificate a CA where it has to be and within
 *   its dates, none with a critical extension unknown to BearSSL, as a critical extendedKeyUsage is;
 * - the certificate is for the name: a dNSName (where a wildcard stands for one whole label and never above a
 *   single one, so not "*.com"), an SRVName of _xmpp-client or _xmpps-client, or an XmppAddr. The common name
 *   is not looked at, and addresses are no names;
 * - where a certificate of the chain limits its use, server authentication is allowed;
 * - none has name constraints, not even such as would hold: they cannot be evaluated here.
 * On first use the same holds of the certificate, whoever issued it; with pins alone nothing of it counts but
 * the key. Renegotiation is refused, compression does not exist.
 *
 * A session can be resumed by its id [RFC5246 7.3] if the server gives one and its certificate is signed with
 * SHA-256 or what is weaker, so that tls-server-end-point is the hash that is remembered; tls-unique does not
 * exist then. It is offered if name, anchors, pins, identity, suites and record length are what they were and
 * the server's certificate has not run out since; authorities are not looked at again. Without
 * extended_master_secret [RFC7627], which BearSSL lacks, somebody in between could elsewhere give two
 * connections one master secret and have the one resumed as the other. Not here: it comes of ECDHE alone, and
 * points are checked to be on their curve and, with X25519, of no small order. So whoever has brought two
 * connections to the same secret does not know it, and ends no handshake.
 *
 * Flash, on Cortex-M3 with -Os: 60 KB with all there is to choose below, 36 KB with the least. On top of
 * that come 4.1 KB of sentences for the details of errors with XMPP_TINY_ENABLE_NAMES 2.
 */
#ifndef XMPP_TINY_PORT_BEARSSL_H
#define XMPP_TINY_PORT_BEARSSL_H

#include "xmpp_tiny.h"

#include <bearssl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Choice of algorithms -----------------------------------------------------------------------
 * Only what is chosen gets linked. All of these may stand in XMPP_TINY_CONFIG_FILE; they must be the same
 * in every file of a program. P-256 and SHA-256 are always there. Prices are flash on Cortex-M3. */
#ifndef XMPP_TINY_BEARSSL_ENABLE_CHACHA20 /* 1: ChaCha20-Poly1305, 2.4 KB */
#define XMPP_TINY_BEARSSL_ENABLE_CHACHA20 1
#endif
#ifndef XMPP_TINY_BEARSSL_ENABLE_AES /* 1: AES-128-GCM and, with SHA-384, AES-256-GCM, 3.8 KB */
#define XMPP_TINY_BEARSSL_ENABLE_AES 1
#endif
#ifndef XMPP_TINY_BEARSSL_ENABLE_ECDSA /* 1: servers and authorities with EC keys, 0.9 KB */
#define XMPP_TINY_BEARSSL_ENABLE_ECDSA 1
#endif
#ifndef XMPP_TINY_BEARSSL_ENABLE_RSA /* 1: servers and authorities with RSA keys, 1.1 KB */
#define XMPP_TINY_BEARSSL_ENABLE_RSA 1
#endif
/* 1: SHA-384 and SHA-512 in certificates and TLS, 4.1 KB; most of it is the hash that
 * XMPP_TINY_ENABLE_SHA512 links as well, so both have to be 0 to save it. */
#ifndef XMPP_TINY_BEARSSL_ENABLE_SHA384
#define XMPP_TINY_BEARSSL_ENABLE_SHA384 1
#endif
#ifndef XMPP_TINY_BEARSSL_ENABLE_P384 /* 1: P-384, the curve of many public authorities, 2.1 KB */
#define XMPP_TINY_BEARSSL_ENABLE_P384 1
#endif
#ifndef XMPP_TINY_BEARSSL_ENABLE_X25519 /* 1: X25519, a faster key exchange than P-256, 6.8 KB */
#define XMPP_TINY_BEARSSL_ENABLE_X25519 1
#endif
/* 1: P-256 and X25519 have code of their own; 0: handshakes take 2.3 times as long, 14.7 KB less, and
 * then P-384 costs nothing and X25519 1.5 KB. */
#ifndef XMPP_TINY_BEARSSL_ENABLE_FAST_EC
#define XMPP_TINY_BEARSSL_ENABLE_FAST_EC 1
#endif
/* 1: big numbers in 15-bit words; 0: in 31-bit words, twice as fast and 7.7 KB less (the same size without
 * FAST_EC). That multiplies 32x32->64, which ARMv6-M lacks and ARMv7-M without DSP does in a time that
 * depends on the numbers: there 1 keeps secrets from whoever can measure it. */
#ifndef XMPP_TINY_BEARSSL_I15
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_7M__)
#define XMPP_TINY_BEARSSL_I15 1
#else
#define XMPP_TINY_BEARSSL_I15 0
#endif
#endif

/* Bytes kept of the certificate's subject, and of its issuer, for struct xmpp_tiny_security; 0: none; 255 at
 * most. RAM twice that, flash 0.3 KB. */
#ifndef XMPP_TINY_BEARSSL_NAME_MAX
#define XMPP_TINY_BEARSSL_NAME_MAX 64
#endif

#if XMPP_TINY_BEARSSL_NAME_MAX < 0 || XMPP_TINY_BEARSSL_NAME_MAX > 255
#error "XMPP_TINY_BEARSSL_NAME_MAX must be 0..255"
#endif
#if XMPP_TINY_BEARSSL_I15 < 0 || XMPP_TINY_BEARSSL_I15 > 1
#error "XMPP_TINY_BEARSSL_I15 must be 0 or 1"
#endif
#if XMPP_TINY_BEARSSL_ENABLE_CHACHA20 < 0 || XMPP_TINY_BEARSSL_ENABLE_CHACHA20 > 1
#error "XMPP_TINY_BEARSSL_ENABLE_CHACHA20 must be 0 or 1"
#endif
#if XMPP_TINY_BEARSSL_ENABLE_AES < 0 || XMPP_TINY_BEARSSL_ENABLE_AES > 1
#error "XMPP_TINY_BEARSSL_ENABLE_AES must be 0 or 1"
#endif
#if XMPP_TINY_BEARSSL_ENABLE_ECDSA < 0 || XMPP_TINY_BEARSSL_ENABLE_ECDSA > 1
#error "XMPP_TINY_BEARSSL_ENABLE_ECDSA must be 0 or 1"
#endif
#if XMPP_TINY_BEARSSL_ENABLE_RSA < 0 || XMPP_TINY_BEARSSL_ENABLE_RSA > 1
#error "XMPP_TINY_BEARSSL_ENABLE_RSA must be 0 or 1"
#endif
#if XMPP_TINY_BEARSSL_ENABLE_SHA384 < 0 || XMPP_TINY_BEARSSL_ENABLE_SHA384 > 1
#error "XMPP_TINY_BEARSSL_ENABLE_SHA384 must be 0 or 1"
#endif
#if XMPP_TINY_BEARSSL_ENABLE_P384 < 0 || XMPP_TINY_BEARSSL_ENABLE_P384 > 1
#error "XMPP_TINY_BEARSSL_ENABLE_P384 must be 0 or 1"
#endif
#if XMPP_TINY_BEARSSL_ENABLE_X25519 < 0 || XMPP_TINY_BEARSSL_ENABLE_X25519 > 1
#error "XMPP_TINY_BEARSSL_ENABLE_X25519 must be 0 or 1"
#endif
#if XMPP_TINY_BEARSSL_ENABLE_FAST_EC < 0 || XMPP_TINY_BEARSSL_ENABLE_FAST_EC > 1
#error "XMPP_TINY_BEARSSL_ENABLE_FAST_EC must be 0 or 1"
#endif
#if !XMPP_TINY_BEARSSL_ENABLE_CHACHA20 && !XMPP_TINY_BEARSSL_ENABLE_AES
#error "TLS needs a cipher: set XMPP_TINY_BEARSSL_ENABLE_CHACHA20 or XMPP_TINY_BEARSSL_ENABLE_AES to 1"
#endif
#if !XMPP_TINY_BEARSSL_ENABLE_ECDSA && !XMPP_TINY_BEARSSL_ENABLE_RSA
#error "servers need keys: set XMPP_TINY_BEARSSL_ENABLE_ECDSA or XMPP_TINY_BEARSSL_ENABLE_RSA to 1"
#endif

/* ---- Connection ---------------------------------------------------------------------------------
 * Sizes of record buffers: a record is up to 29 bytes longer than the data in it. */
#define XMPP_TINY_BEARSSL_IN_MIN  541   /* records of 512 bytes */
#define XMPP_TINY_BEARSSL_OUT_MIN 541   /* likewise */
#define XMPP_TINY_BEARSSL_IN_MAX  16413 /* any record there can be */
#define XMPP_TINY_BEARSSL_OUT_MAX 16413 /* likewise */

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
    /* Whom to trust: CAs, or servers' own certificates. As C source they come from BearSSL's
     * tool, `brssl ta FILE`; port/bearssl.mk builds it. */
    const br_x509_trust_anchor *anchors;
    size_t anchor_count;
    /* SHA-256 hashes of public keys (SubjectPublicKeyInfo in DER), 32 bytes each, one of which the server's
     * must have; several, so that keys can be replaced. With anchors both must hold. Without, the key is all
     * that counts, whatever name and dates the certificate bears: the choice of a device without CA or clock
     * [RFC7671 5.1]. `openssl x509 -pubkey -noout -in FILE | openssl pkey -pubin -outform DER | sha256sum`,
     * or with `openssl dgst -sha256 -binary | xxd -i` behind it for C; `xmpp-tiny --check` shows it as spki.
     */
    const uint8_t *pins; /* pin_count times 32 bytes */
    size_t pin_count;
    /* Instead of both: trust whoever comes first, if name and dates hold. xmpp_tiny_config.saved remembers
     * the key, and from then on no other will do; where that is lost, whoever comes next is trusted anew. A
     * man in the middle of the very first login is found out only by a server with channel binding. */
    bool first_use;
    /* Record buffers. Servers are asked to keep to the largest of 512, 1,024, 2,048 and 4,096 bytes
     * that fits `in` with 29 bytes more [RFC6066 4]; not all do, and a record too large ends the connection
     * with TLS_RECORD. From XMPP_TINY_BEARSSL_IN_MAX on every record fits and nothing is asked. out NULL:
     * `in` serves both directions. That saves RAM, but nothing can be sent while a record is partly received
     * or read: an application that answers XMPP_TINY_ERR_AGAIN to wait for room may then wait until the
     * timeout. */
    void *in;
    size_t in_size;
    void *out;
    size_t out_size;
    const struct xmpp_tiny_bearssl_identity *identity; /* NULL: none */
    /* For devices without a clock: seconds since 1970 that have passed for certain, such as the time
     * the firmware was built. Certificates are checked against the later of this and the platform's
     * unix_time(); so without a clock those issued after the build are refused, and those that ended
     * since then are accepted. 0: none; then an unknown time is the error CLOCK. With pins alone, dates do
     * not count and no time is needed. */
    int64_t time_floor;
};

/* Details name BearSSL's errors by its numbers, which end at 62, and two more: name constraints, and a key
 * that is not pinned. Private. */
enum { XMPP_TINY_BEARSSL_ERR_CONSTRAINED_ = 63, XMPP_TINY_BEARSSL_ERR_PIN_ };

/* A hash that is being computed, and then is there. */
union xmpp_tiny_bearssl_hash_ {
#if XMPP_TINY_BEARSSL_ENABLE_SHA384
    br_hash_compat_context running;
    uint8_t digest[64];
#else
    br_sha256_context running;
    uint8_t digest[32];
#endif
};

#if XMPP_TINY_BEARSSL_NAME_MAX > 0
struct xmpp_tiny_bearssl_name_ {
    uint8_t len;
    char text[XMPP_TINY_BEARSSL_NAME_MAX];
};
#endif

/* The server's certificate and those that vouch for it, on their way through the check. */
struct xmpp_tiny_bearssl_leaf_ {
    const br_x509_class *vtable;
    br_x509_minimal_context minimal;
    const struct xmpp_tiny_bearssl_config *config;
    const char *name;          /* to be found */
    const char *prefix, *rest; /* what is being compared with */
    /* Of the server's certificate: SHA-256, and another one if it is signed with that. */
    union xmpp_tiny_bearssl_hash_ hash[1 + XMPP_TINY_BEARSSL_ENABLE_SHA384];
    int64_t not_before, not_after;
    uint8_t spki[32];
#if XMPP_TINY_BEARSSL_NAME_MAX > 0
    struct xmpp_tiny_bearssl_name_ names[2]; /* issuer, subject */
#endif
    uint16_t at, left;    /* bytes seen; bytes left of the element being read */
    uint16_t length;      /* of the element whose header is being read */
    uint16_t end[10];     /* where each open element ends; none is deeper than PLACE_OTHER_VALUE */
    uint8_t trust;        /* enum xmpp_tiny_trust */
    uint8_t certificates; /* 0, 1, or 2 for more */
    uint8_t number;       /* of the sequence in the signed part */
    uint8_t depth, place, phase, tag, need;
    uint8_t text[16], text_len; /* of an object identifier or a date; before that, a session's seal */
    uint8_t algorithm;          /* BearSSL's number of the hash that signs the certificate, 0 if unknown */
    uint8_t hash_len;           /* of the channel binding */
    uint8_t flags;
};

/* A connection. Visible so that it can be static; private all the same. */
struct xmpp_tiny_bearssl {
    struct xmpp_tiny_stream stream;
    const struct xmpp_tiny_bearssl_config *config;
    const char *detail;
    int error;
#if XMPP_TINY_ENABLE_NAMES == 1
    char number[20]; /* "BearSSL error 62" */
#endif
    uint8_t state;
    bool spoke;          /* bytes were sent in the clear: STARTTLS */
    const char *alpn[1]; /* application protocols offered */
    br_ssl_client_context client;
    struct xmpp_tiny_bearssl_leaf_ leaf;
};

/* Prepares a connection; then &t->stream is a stream with TLS. The config is kept, not copied.
 * Returns 0, or XMPP_TINY_ERR_CONFIG: a pointer is missing, a buffer is too small, there is nobody to trust
 * (neither anchors nor pins nor first_use), or first_use stands beside one of the others. When: before
 * anything else, or after close(). */
int xmpp_tiny_bearssl_init(struct xmpp_tiny_bearssl *t, const struct xmpp_tiny_bearssl_config *config);

/* Hash functions, HMAC and PBKDF2 for xmpp_tiny_config.crypto. Stack on Cortex-M3, three quarters of it
 * BearSSL's: 1.2 KB with SHA-1 and SHA-256, 1.8 KB with SHA-512. */
extern const struct xmpp_tiny_crypto xmpp_tiny_bearssl_crypto;

/* Chooses suites, curves and implementations as configured above. It is alone in port/bearssl_profile.c:
 * link a function of the same name instead to choose others. It may allow less than what is said at the top
 * of this file; if it allows more versions, suites or hashes, or shorter keys, secure() fails with BUG. What
 * the implementations that it names accept is its own to answer for. */
void xmpp_tiny_bearssl_profile(br_ssl_client_context *client, br_x509_minimal_context *x509);

/* Private: memset() that the compiler cannot leave out; and a function that has a frame of its own. */
void xmpp_tiny_bearssl_wipe_(void *data, size_t len);
#if defined(__GNUC__)
#define XMPP_TINY_BEARSSL_APART_ __attribute__((noinline))
#else
#define XMPP_TINY_BEARSSL_APART_
#endif

/* Private: at least 2,048 bits. BearSSL counts in bytes, and there are 2,041 to 2,048 bits in 256 of them. */
static inline bool xmpp_tiny_bearssl_long_(const br_rsa_public_key *key)
{
    return key->nlen > 2048 / 8 || (key->nlen == 2048 / 8 && key->n[0] >= 0x80);
}

/* Private: port/bearssl_leaf.c, the check of the server's certificate. The leaf is all zero before init, but
 * for what belongs to a session that was loaded. */
void xmpp_tiny_bearssl_leaf_init_(struct xmpp_tiny_bearssl_leaf_ *leaf,
                                  const struct xmpp_tiny_bearssl_config *config);
int xmpp_tiny_bearssl_leaf_binding_(const struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t *out);
void xmpp_tiny_bearssl_leaf_security_(const struct xmpp_tiny_bearssl_leaf_ *leaf,
                                      struct xmpp_tiny_security *security);

#ifdef __cplusplus
}
#endif
#endif
