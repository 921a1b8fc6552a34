/* SPDX-License-Identifier: MIT
 *
 * PEM for port/bearssl: see bearssl_pem.h. A text is read object by object; the decoded bytes of an
 * object land in the arena, and a decoder of BearSSL's then looks at them there.
 */
#include "port/bearssl_pem.h"

#include <string.h>

struct reader {
    br_pem_decoder_context pem;
    struct xmpp_tiny_bearssl_arena *arena;
    struct xmpp_tiny_str text; /* not read yet */
    bool full;
};

static void collect(struct xmpp_tiny_bearssl_arena *arena, bool *full, const void *data, size_t len)
{
    if (len > arena->size - arena->used) {
        *full = true;
        return;
    }
    memcpy(arena->data + arena->used, data, len);
    arena->used += len;
}

static void collect_object(void *ctx, const void *data, size_t len)
{
    struct reader *r = ctx;

    collect(r->arena, &r->full, data, len);
}

static void reader_init(struct reader *r, struct xmpp_tiny_bearssl_arena *arena, struct xmpp_tiny_str text)
{
    br_pem_decoder_init(&r->pem);
    r->arena = arena;
    r->text = text;
    r->full = false;
}

static bool is_certificate(const char *name)
{
    return strcmp(name, "CERTIFICATE") == 0 || strcmp(name, "X509 CERTIFICATE") == 0;
}

static bool is_key(const char *name)
{
    return strcmp(name, "PRIVATE KEY") == 0 || strcmp(name, "RSA PRIVATE KEY") == 0 ||
           strcmp(name, "EC PRIVATE KEY") == 0;
}

/* The last line of a text need not end in a line feed, but the decoder waits for one. */
static size_t feed(struct reader *r)
{
    size_t n;

    if (r->text.len == 0) {
        return 0;
    }
    n = br_pem_decoder_push(&r->pem, r->text.ptr, r->text.len);
    r->text.ptr += n;
    r->text.len -= n;
    if (r->text.len == 0) {
        (void)br_pem_decoder_push(&r->pem, "\n", 1);
    }
    return 1;
}

/* Reads the next object of a kind into the arena. Returns 1, 0 at the end of the text, or an error. */
static int reader_next(struct reader *r, bool (*wanted)(const char *name), uint8_t **data, size_t *len)
{
    bool inside = false, taken = false;
    size_t begin = r->arena->used;

    for (;;) {
        switch (br_pem_decoder_event(&r->pem)) {
        case BR_PEM_BEGIN_OBJ:
            inside = true;
            taken = wanted(br_pem_decoder_name(&r->pem));
            br_pem_decoder_setdest(&r->pem, taken ? collect_object : NULL, r);
            break;
        case BR_PEM_END_OBJ:
            if (taken) {
                *data = r->arena->data + begin;
                *len = r->arena->used - begin;
                return r->full ? XMPP_TINY_ERR_TOO_BIG : 1;
            }
            inside = false;
            break;
        case BR_PEM_ERROR:
            return XMPP_TINY_ERR_ARGUMENT;
        default:
            if (feed(r) == 0) {
                return inside ? XMPP_TINY_ERR_ARGUMENT : 0;
            }
            break;
        }
    }
}

/* ---- Certificates ------------------------------------------------------------------------------ */

struct name_sink {
    struct xmpp_tiny_bearssl_arena *arena;
    bool full;
};

static void collect_name(void *ctx, const void *data, size_t len)
{
    struct name_sink *sink = ctx;

    collect(sink->arena, &sink->full, data, len);
}

/* Moves a number out of a decoder that is about to go. */
static unsigned char *keep(struct name_sink *sink, const unsigned char *data, size_t len)
{
    unsigned char *at = sink->arena->data + sink->arena->used;

    collect(sink->arena, &sink->full, data, len);
    return at;
}

static br_x509_pkey kept_key(struct name_sink *sink, const br_x509_pkey *key)
{
    br_x509_pkey kept = *key;

    if (key->key_type == BR_KEYTYPE_EC) {
        kept.key.ec.q = keep(sink, key->key.ec.q, key->key.ec.qlen);
    } else {
        kept.key.rsa.n = keep(sink, key->key.rsa.n, key->key.rsa.nlen);
        kept.key.rsa.e = keep(sink, key->key.rsa.e, key->key.rsa.elen);
    }
    return kept;
}

/* Of a certificate only its subject and its key are kept: the subject is gathered behind it
 * and then takes its place, and the key, which the decoder holds, follows. */
static int anchor_from(struct xmpp_tiny_bearssl_arena *arena, uint8_t *der, size_t len,
                       br_x509_trust_anchor *anchor)
{
    br_x509_decoder_context decoder;
    struct name_sink sink;
    const br_x509_pkey *key;
    size_t name_len;

    sink.arena = arena;
    sink.full = false;
    br_x509_decoder_init(&decoder, collect_name, &sink);
    br_x509_decoder_push(&decoder, der, len);
    key = br_x509_decoder_get_pkey(&decoder);
    if (key == NULL) {
        return XMPP_TINY_ERR_ARGUMENT;
    }
    if (sink.full) {
        return XMPP_TINY_ERR_TOO_BIG;
    }
    name_len = (size_t)(arena->data + arena->used - (der + len));
    memmove(der, der + len, name_len);
    arena->used -= len;
    memset(anchor, 0, sizeof *anchor);
    anchor->dn.data = der;
    anchor->dn.len = name_len;
    anchor->flags = br_x509_decoder_isCA(&decoder) ? BR_X509_TA_CA : 0;
    anchor->pkey = kept_key(&sink, key);
    return sink.full ? XMPP_TINY_ERR_TOO_BIG : 0;
}

int xmpp_tiny_bearssl_pem_anchors(struct xmpp_tiny_bearssl_arena *arena, struct xmpp_tiny_str text,
                                  br_x509_trust_anchor *anchors, size_t max)
{
    struct reader r;
    size_t count = 0, len;
    uint8_t *der;
    int result;

    reader_init(&r, arena, text);
    for (;;) {
        result = reader_next(&r, is_certificate, &der, &len);
        if (result < 0) {
            return result;
        }
        if (result == 0) {
            return count > 0 ? (int)count : XMPP_TINY_ERR_ARGUMENT;
        }
        if (count == max) {
            return XMPP_TINY_ERR_TOO_BIG;
        }
        result = anchor_from(arena, der, len, &anchors[count]);
        if (result < 0) {
            return result;
        }
        count++;
    }
}

int xmpp_tiny_bearssl_pem_chain(struct xmpp_tiny_bearssl_arena *arena, struct xmpp_tiny_str text,
                                br_x509_certificate *chain, size_t max)
{
    struct reader r;
    size_t count = 0, len;
    uint8_t *der;
    int result;

    reader_init(&r, arena, text);
    for (;;) {
        result = reader_next(&r, is_certificate, &der, &len);
        if (result < 0) {
            return result;
        }
        if (result == 0) {
            return count > 0 ? (int)count : XMPP_TINY_ERR_ARGUMENT;
        }
        if (count == max) {
            return XMPP_TINY_ERR_TOO_BIG;
        }
        chain[count].data = der;
        chain[count].data_len = len;
        count++;
    }
}

/* ---- Keys -------------------------------------------------------------------------------------- */

int xmpp_tiny_bearssl_pem_key(struct xmpp_tiny_bearssl_arena *arena, struct xmpp_tiny_str text,
                              struct xmpp_tiny_bearssl_key *key)
{
    struct reader r;
    struct name_sink sink;
    br_skey_decoder_context decoder;
    const br_ec_private_key *ec;
    const br_rsa_private_key *rsa;
    uint8_t *der;
    size_t len;
    int result;

    reader_init(&r, arena, text);
    result = reader_next(&r, is_key, &der, &len);
    if (result <= 0) {
        return result < 0 ? result : XMPP_TINY_ERR_ARGUMENT;
    }
    br_skey_decoder_init(&decoder);
    br_skey_decoder_push(&decoder, der, len);
    memset(key, 0, sizeof *key);
    key->type = br_skey_decoder_key_type(&decoder);
    ec = br_skey_decoder_get_ec(&decoder);
    rsa = br_skey_decoder_get_rsa(&decoder);
    sink.arena = arena;
    sink.full = false;
    if (ec != NULL) {
        key->ec = *ec;
        key->ec.x = keep(&sink, ec->x, ec->xlen);
    } else if (rsa != NULL) {
        key->rsa = *rsa;
        key->rsa.p = keep(&sink, rsa->p, rsa->plen);
        key->rsa.q = keep(&sink, rsa->q, rsa->qlen);
        key->rsa.dp = keep(&sink, rsa->dp, rsa->dplen);
        key->rsa.dq = keep(&sink, rsa->dq, rsa->dqlen);
        key->rsa.iq = keep(&sink, rsa->iq, rsa->iqlen);
    } else {
        return XMPP_TINY_ERR_ARGUMENT;
    }
    return sink.full ? XMPP_TINY_ERR_TOO_BIG : 0;
}
