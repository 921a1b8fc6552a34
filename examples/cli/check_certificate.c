/* SPDX-License-Identifier: MIT
 *
 * Certificates, looked at from outside a handshake.
 */
#include "check_certificate.h"

#include "port/bearssl.h"

#include <stdio.h>
#include <string.h>

/* ---- DER --------------------------------------------------------------------------------------- */

struct der {
    const uint8_t *at; /* what is left */
    size_t len;
};

/* Takes an element off the front: its whole, and in *inner its content. False if it is malformed. */
static bool take(struct der *d, uint8_t *tag, struct der *whole, struct der *inner)
{
    if (d->len < 2)
        return false;
    size_t head = 2, size = d->at[1];
    if (size >= 0x80) {
        size_t count = size & 0x7F;
        if (count == 0 || count > 3 || d->len < 2 + count)
            return false;
        size = 0;
        for (size_t i = 0; i < count; i++)
            size = size << 8 | d->at[head++];
    }
    if (size > d->len - head)
        return false;
    *tag = d->at[0];
    *whole = (struct der){d->at, head + size};
    *inner = (struct der){d->at + head, size};
    d->at += head + size;
    d->len -= head + size;
    return true;
}

/* SubjectPublicKeyInfo of a certificate [RFC5280 4.1]. */
static bool find_spki(struct der certificate, struct der *spki)
{
    struct der whole, body, inner;
    uint8_t tag;
    if (!take(&certificate, &tag, &whole, &inner) || !take(&inner, &tag, &whole, &body))
        return false;
    /* version, which may be missing, serialNumber, signature, issuer, validity, subject */
    for (int i = body.len > 0 && body.at[0] == 0xA0 ? 0 : 1; i < 6; i++)
        if (!take(&body, &tag, &whole, &inner))
            return false;
    return take(&body, &tag, spki, &inner) && tag == 0x30;
}

/* ---- A TLS Certificate message [RFC5246 7.4.2] --------------------------------------------------- */

static size_t get24(const uint8_t *at)
{
    return (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
}

static struct der list_of(const uint8_t *message, size_t len)
{
    if (len < 3 || get24(message) > len - 3)
        return (struct der){NULL, 0};
    return (struct der){message + 3, get24(message)};
}

static bool next_certificate(struct der *list, struct der *certificate)
{
    if (list->len < 3 || get24(list->at) > list->len - 3)
        return false;
    *certificate = (struct der){list->at + 3, get24(list->at)};
    list->at += 3 + certificate->len;
    list->len -= 3 + certificate->len;
    return true;
}

/* ---- Reading ----------------------------------------------------------------------------------- */

static const char *curve_name(int curve)
{
    switch (curve) {
    case BR_EC_secp256r1:
        return "P-256";
    case BR_EC_secp384r1:
        return "P-384";
    case BR_EC_secp521r1:
        return "P-521";
    default:
        return "EC";
    }
}

static const char *hash_name(int hash)
{
    static const char *const names[] = {
        [br_md5_ID] = "MD5",        [br_sha1_ID] = "SHA-1",     [br_sha224_ID] = "SHA-224",
        [br_sha256_ID] = "SHA-256", [br_sha384_ID] = "SHA-384", [br_sha512_ID] = "SHA-512",
    };
    return hash > 0 && hash <= br_sha512_ID ? names[hash] : "unknown";
}

/* BearSSL has stripped the zero bytes in front. */
static unsigned rsa_bits(const br_rsa_public_key *key)
{
    unsigned bits = (unsigned)key->nlen * 8;
    for (unsigned first = key->nlen > 0 ? key->n[0] : 0x80; first > 0 && first < 0x80; first <<= 1)
        bits--;
    return bits;
}

/* Leaves the texts empty for keys and signatures that BearSSL does not know. */
static void describe(struct der leaf, struct check_certificate *c)
{
    br_x509_decoder_context decoder;
    br_x509_decoder_init(&decoder, NULL, NULL);
    br_x509_decoder_push(&decoder, leaf.at, leaf.len);
    const br_x509_pkey *key = br_x509_decoder_get_pkey(&decoder);
    if (key == NULL)
        return;
    if (key->key_type == BR_KEYTYPE_RSA)
        (void)snprintf(c->key, sizeof c->key, "RSA %u", rsa_bits(&key->key.rsa));
    else
        (void)snprintf(c->key, sizeof c->key, "%s", curve_name(key->key.ec.curve));
    int signer = br_x509_decoder_get_signer_key_type(&decoder);
    if (signer != 0)
        (void)snprintf(c->signature, sizeof c->signature, "%s with %s",
                       hash_name(br_x509_decoder_get_signer_hash_id(&decoder)),
                       signer == BR_KEYTYPE_RSA ? "RSA" : "ECDSA");
}

bool check_certificate_read(const uint8_t *message, size_t len, struct check_certificate *c)
{
    struct der list = list_of(message, len), leaf, spki;
    memset(c, 0, sizeof *c);
    if (!next_certificate(&list, &leaf) || !find_spki(leaf, &spki))
        return false;
    xmpp_tiny_bearssl_crypto.hash(XMPP_TINY_SHA256, leaf.at, leaf.len, c->certificate);
    xmpp_tiny_bearssl_crypto.hash(XMPP_TINY_SHA256, spki.at, spki.len, c->spki);
    describe(leaf, c);
    return true;
}

bool check_certificate_vouched(const uint8_t *message, size_t len, const br_x509_trust_anchor *anchors,
                               size_t count, int64_t when)
{
    static br_ssl_client_context client; /* only to be given the same algorithms */
    static br_x509_minimal_context minimal;
    struct der list = list_of(message, len), certificate;
    br_ssl_client_zero(&client);
    br_x509_minimal_init(&minimal, &br_sha256_vtable, anchors, count);
    xmpp_tiny_bearssl_profile(&client, &minimal);
    /* BearSSL counts days from 1 January of the year 0. */
    br_x509_minimal_set_time(&minimal, (uint32_t)(when / 86400) + 719528U, (uint32_t)(when % 86400));
    const br_x509_class **x509 = &minimal.vtable;
    (*x509)->start_chain(x509, NULL);
    while (next_certificate(&list, &certificate)) {
        (*x509)->start_cert(x509, (uint32_t)certificate.len);
        (*x509)->append(x509, certificate.at, certificate.len);
        (*x509)->end_cert(x509);
    }
    return (*x509)->end_chain(x509) == 0;
}
