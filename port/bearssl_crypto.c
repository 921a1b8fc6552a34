/* SPDX-License-Identifier: MIT
 *
 * Hash functions, HMAC and PBKDF2's inner loop for the core, from BearSSL.
 * SHA-512 is left out, and never asked for, without XMPP_TINY_ENABLE_SHA512.
 */
#include "port/bearssl.h"

#include <string.h>

#if XMPP_TINY_ENABLE_SHA512
#define SHA512 &br_sha512_vtable
#else
#define SHA512 NULL
#endif

static const br_hash_class *const classes[] = {
    [XMPP_TINY_SHA1] = &br_sha1_vtable,
    [XMPP_TINY_SHA256] = &br_sha256_vtable,
    [XMPP_TINY_SHA512] = SHA512,
};

void xmpp_tiny_bearssl_wipe_(void *data, size_t len)
{
    volatile unsigned char *at = data;

    while (len-- > 0) {
        *at++ = 0;
    }
}

/* BearSSL's functions leave on the stack what they computed with. This overwrites it: less than they take,
 * so that it adds nothing to what has to be there, but all that they are known to leave. */
XMPP_TINY_BEARSSL_APART_ static void scrub(void)
{
    unsigned char waste[(XMPP_TINY_ENABLE_SHA512 ? 160 : 96) * (4 + sizeof(void *))];

    xmpp_tiny_bearssl_wipe_(waste, sizeof waste);
}

static void hash(enum xmpp_tiny_hash h, const void *data, size_t len, uint8_t *digest)
{
    br_hash_compat_context context;

    classes[h]->init(&context.vtable);
    context.vtable->update(&context.vtable, data, len);
    context.vtable->out(&context.vtable, digest);
    xmpp_tiny_bearssl_wipe_(&context, sizeof context);
    scrub();
}

static void hmac(enum xmpp_tiny_hash h, const void *key, size_t key_len, const struct xmpp_tiny_str *parts,
                 size_t count, uint8_t *digest)
{
    br_hmac_key_context keys;
    br_hmac_context context;
    size_t i;

    br_hmac_key_init(&keys, classes[h], key, key_len);
    br_hmac_init(&context, &keys, 0);
    for (i = 0; i < count; i++) {
        if (parts[i].len > 0) {
            br_hmac_update(&context, parts[i].ptr, parts[i].len);
        }
    }
    (void)br_hmac_out(&context, digest);
    xmpp_tiny_bearssl_wipe_(&keys, sizeof keys);
    xmpp_tiny_bearssl_wipe_(&context, sizeof context);
    scrub();
}

/* The two blocks that depend on the key alone are hashed once a call, not once a round. */
static void pbkdf2(enum xmpp_tiny_hash h, const void *key, size_t key_len, uint8_t *u, uint8_t *t,
                   uint32_t rounds)
{
    br_hmac_key_context keys;
    br_hmac_context context;
    size_t len, i;

    br_hmac_key_init(&keys, classes[h], key, key_len);
    while (rounds-- > 0) {
        br_hmac_init(&context, &keys, 0);
        len = br_hmac_size(&context);
        br_hmac_update(&context, u, len);
        (void)br_hmac_out(&context, u);
        for (i = 0; i < len; i++) {
            t[i] ^= u[i];
        }
    }
    xmpp_tiny_bearssl_wipe_(&keys, sizeof keys);
    xmpp_tiny_bearssl_wipe_(&context, sizeof context);
    scrub();
}

const struct xmpp_tiny_crypto xmpp_tiny_bearssl_crypto = {
    .hash = hash,
    .hmac = hmac,
    .pbkdf2 = pbkdf2,
};
