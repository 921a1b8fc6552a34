/* SPDX-License-Identifier: MIT
 *
 * Which algorithms TLS and certificates may use. To choose others, link a file of your own that defines
 * xmpp_tiny_bearssl_profile() instead of this one.
 *
 * br_ssl_client_init_full() is not used: it links all of BearSSL and allows CBC and RSA key exchange.
 */
#include "port/bearssl.h"

#if XMPP_TINY_BEARSSL_I15
#define ECDSA_VERIFY br_ecdsa_i15_vrfy_asn1
#define RSA_VERIFY   br_rsa_i15_pkcs1_vrfy
#define PRIME        br_ec_prime_i15
#define FAST_P256    br_ec_p256_m15
#define FAST_X25519  br_ec_c25519_m15
#define SMALL_X25519 br_ec_c25519_i15
#else
#define ECDSA_VERIFY br_ecdsa_i31_vrfy_asn1
#define RSA_VERIFY   br_rsa_i31_pkcs1_vrfy
#define PRIME        br_ec_prime_i31
#define FAST_P256    br_ec_p256_m31
#define FAST_X25519  br_ec_c25519_m31
#define SMALL_X25519 br_ec_c25519_i31
#endif

/* ---- Curves ------------------------------------------------------------------------------------
 * br_ec_all_* with the curves that were chosen. Each has one implementation, so what BearSSL calls for
 * a curve is handed on to that. */

#if XMPP_TINY_BEARSSL_ENABLE_FAST_EC
#define P256   FAST_P256
#define X25519 FAST_X25519
#else
#define P256   PRIME
#define X25519 SMALL_X25519
#endif

#define CURVES \
    (1U << BR_EC_secp256r1 | (unsigned)XMPP_TINY_BEARSSL_ENABLE_P384 << BR_EC_secp384r1 | \
     (unsigned)XMPP_TINY_BEARSSL_ENABLE_X25519 << BR_EC_curve25519)

static const br_ec_impl *curve_impl(int curve)
{
    if (XMPP_TINY_BEARSSL_ENABLE_X25519 && curve == BR_EC_curve25519) {
        return &X25519;
    }
    if (XMPP_TINY_BEARSSL_ENABLE_P384 && curve == BR_EC_secp384r1) {
        return &PRIME;
    }
    return &P256;
}

static const unsigned char *ec_generator(int curve, size_t *len)
{
    return curve_impl(curve)->generator(curve, len);
}

static const unsigned char *ec_order(int curve, size_t *len)
{
    return curve_impl(curve)->order(curve, len);
}

static size_t ec_xoff(int curve, size_t *len)
{
    return curve_impl(curve)->xoff(curve, len);
}

/* With X25519 a server's point of small order makes a secret that everybody knows: zero. [RFC8422 5.11] */
static uint32_t ec_mul(unsigned char *point, size_t point_len, const unsigned char *x, size_t x_len,
                       int curve)
{
    uint32_t done = curve_impl(curve)->mul(point, point_len, x, x_len, curve);
    unsigned char bits = 0;

    while (XMPP_TINY_BEARSSL_ENABLE_X25519 && curve == BR_EC_curve25519 && point_len > 0) {
        point_len--;
        bits |= point[point_len];
    }
    return done & (curve != BR_EC_curve25519 || bits != 0);
}

static size_t ec_mulgen(unsigned char *point, const unsigned char *x, size_t x_len, int curve)
{
    return curve_impl(curve)->mulgen(point, x, x_len, curve);
}

static uint32_t ec_muladd(unsigned char *a, const unsigned char *b, size_t len, const unsigned char *x,
                          size_t x_len, const unsigned char *y, size_t y_len, int curve)
{
    return curve_impl(curve)->muladd(a, b, len, x, x_len, y, y_len, curve);
}

static const br_ec_impl ec = {
    CURVES, ec_generator, ec_order, ec_xoff, ec_mul, ec_mulgen, ec_muladd,
};

/* ---- Ciphers -----------------------------------------------------------------------------------
 * ChaCha20 comes first because it is the fastest where AES has no hardware. A machine that is to do
 * without 32x32->64 does without it here as well; another gets the best that BearSSL has for it. */

static const uint16_t suites[] = {
#if XMPP_TINY_BEARSSL_ENABLE_CHACHA20 && XMPP_TINY_BEARSSL_ENABLE_ECDSA
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
#endif
#if XMPP_TINY_BEARSSL_ENABLE_CHACHA20 && XMPP_TINY_BEARSSL_ENABLE_RSA
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
#endif
#if XMPP_TINY_BEARSSL_ENABLE_AES && XMPP_TINY_BEARSSL_ENABLE_ECDSA
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
#endif
#if XMPP_TINY_BEARSSL_ENABLE_AES && XMPP_TINY_BEARSSL_ENABLE_RSA
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
#endif
#if XMPP_TINY_BEARSSL_ENABLE_AES && XMPP_TINY_BEARSSL_ENABLE_SHA384 && XMPP_TINY_BEARSSL_ENABLE_ECDSA
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
#endif
#if XMPP_TINY_BEARSSL_ENABLE_AES && XMPP_TINY_BEARSSL_ENABLE_SHA384 && XMPP_TINY_BEARSSL_ENABLE_RSA
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
#endif
};

static void set_ciphers(br_ssl_engine_context *engine)
{
    if (XMPP_TINY_BEARSSL_ENABLE_CHACHA20 && XMPP_TINY_BEARSSL_I15) {
        br_ssl_engine_set_chapol(engine, &br_sslrec_in_chapol_vtable, &br_sslrec_out_chapol_vtable);
        br_ssl_engine_set_chacha20(engine, br_chacha20_ct_run);
        br_ssl_engine_set_poly1305(engine, br_poly1305_ctmul32_run);
    } else if (XMPP_TINY_BEARSSL_ENABLE_CHACHA20) {
        br_ssl_engine_set_default_chapol(engine);
    }
    if (XMPP_TINY_BEARSSL_ENABLE_AES && XMPP_TINY_BEARSSL_I15) {
        br_ssl_engine_set_gcm(engine, &br_sslrec_in_gcm_vtable, &br_sslrec_out_gcm_vtable);
        br_ssl_engine_set_aes_ctr(engine, &br_aes_ct_ctr_vtable);
        br_ssl_engine_set_ghash(engine, br_ghash_ctmul32);
    } else if (XMPP_TINY_BEARSSL_ENABLE_AES) {
        br_ssl_engine_set_default_aes_gcm(engine);
    }
}

/* ---- Signatures --------------------------------------------------------------------------------
 * BearSSL looks at the keys that are sent, but not how long that of an anchor is, nor at exponents: one as
 * long as the modulus takes seconds, and a stranger's chain may hold many. */

#define EXPONENT_MAX 4 /* bytes */

static uint32_t rsa_verify(const unsigned char *signature, size_t len, const unsigned char *oid,
                           size_t hash_len, const br_rsa_public_key *key, unsigned char *hash)
{
    return xmpp_tiny_bearssl_long_(key) && key->elen <= EXPONENT_MAX
               ? RSA_VERIFY(signature, len, oid, hash_len, key, hash)
               : 0;
}

/* ---- Profile -----------------------------------------------------------------------------------
 * SHA-1 is absent: TLS 1.2 with these suites has no use for it, and certificates must not. */

void xmpp_tiny_bearssl_profile(br_ssl_client_context *client, br_x509_minimal_context *x509)
{
    br_ssl_engine_context *engine = &client->eng;

    br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
    br_ssl_engine_set_suites(engine, suites, sizeof suites / sizeof suites[0]);
    set_ciphers(engine);
    br_ssl_engine_set_ec(engine, &ec);
    br_ssl_engine_set_hash(engine, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_prf_sha256(engine, br_tls12_sha256_prf);
    br_x509_minimal_set_hash(x509, br_sha256_ID, &br_sha256_vtable);
    if (XMPP_TINY_BEARSSL_ENABLE_SHA384) {
        br_ssl_engine_set_hash(engine, br_sha384_ID, &br_sha384_vtable);
        br_ssl_engine_set_hash(engine, br_sha512_ID, &br_sha512_vtable);
        br_ssl_engine_set_prf_sha384(engine, br_tls12_sha384_prf);
        br_x509_minimal_set_hash(x509, br_sha384_ID, &br_sha384_vtable);
        br_x509_minimal_set_hash(x509, br_sha512_ID, &br_sha512_vtable);
    }
    if (XMPP_TINY_BEARSSL_ENABLE_ECDSA) {
        br_ssl_engine_set_ecdsa(engine, ECDSA_VERIFY);
        br_x509_minimal_set_ecdsa(x509, &ec, ECDSA_VERIFY);
    }
    if (XMPP_TINY_BEARSSL_ENABLE_RSA) {
        br_ssl_engine_set_rsavrfy(engine, rsa_verify);
        br_x509_minimal_set_rsa(x509, rsa_verify);
        br_x509_minimal_set_minrsa(x509, 2048 / 8);
    }
}
