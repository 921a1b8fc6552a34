/* SPDX-License-Identifier: MIT
 *
 * The check of the server's certificate: BearSSL's "minimal" validator with a second reader beside it
 * that walks the leaf's DER as it streams by. It can only add refusals, never lift one:
 *
 * - the name must stand among the dNSNames of subjectAltName; BearSSL would fall back to the common
 *   name and take "*.test" for "a.test" [RFC6125 6.4, RFC6120 13.7.1.2];
 * - extendedKeyUsage, if present, must allow server authentication [RFC5280 4.2.1.12];
 * - the leaf is hashed for the channel binding tls-server-end-point [RFC5929 4.1].
 *
 * Bounds: leaves of 65,535 bytes; 10 bytes of an object identifier are looked at.
 */
#include "port/bearssl.h"

#include <string.h>

enum { PHASE_TAG, PHASE_LENGTH, PHASE_LENGTH_MORE, PHASE_SKIP, PHASE_OID, PHASE_NAME };

/* The elements that are entered; all others are skipped. */
enum {
    PLACE_TOP,
    PLACE_CERTIFICATE,
    PLACE_TBS,
    PLACE_ALGORITHM,
    PLACE_EXPLICIT,
    PLACE_EXTENSIONS,
    PLACE_EXTENSION,
    PLACE_ALT_VALUE,
    PLACE_ALT_NAMES,
    PLACE_USE_VALUE,
    PLACE_USES,
    PLACE_COUNT
};

static const uint8_t parents[PLACE_COUNT] = {
    [PLACE_TOP] = PLACE_TOP,
    [PLACE_CERTIFICATE] = PLACE_TOP,
    [PLACE_TBS] = PLACE_CERTIFICATE,
    [PLACE_ALGORITHM] = PLACE_TBS,
    [PLACE_EXPLICIT] = PLACE_TBS,
    [PLACE_EXTENSIONS] = PLACE_EXPLICIT,
    [PLACE_EXTENSION] = PLACE_EXTENSIONS,
    [PLACE_ALT_VALUE] = PLACE_EXTENSION,
    [PLACE_ALT_NAMES] = PLACE_ALT_VALUE,
    [PLACE_USE_VALUE] = PLACE_EXTENSION,
    [PLACE_USES] = PLACE_USE_VALUE,
};

typedef char
    places_fit_[PLACE_COUNT <= sizeof((struct xmpp_tiny_bearssl_leaf_ *)0)->end / sizeof(uint16_t) ? 1 : -1];

enum {
    FLAG_BROKEN = 1,       /* not the DER it should be */
    FLAG_TBS = 2,          /* the signed part has begun */
    FLAG_ALGORITHM = 4,    /* the signature algorithm has been read */
    FLAG_MATCHED = 8,      /* the name was found */
    FLAG_EXACT = 16,       /* the dNSName being read may still be the name */
    FLAG_WILD = 32,        /* the same for a wildcard */
    FLAG_LIMITED = 64,     /* extendedKeyUsage is there */
    FLAG_SERVER_AUTH = 128 /* and allows server authentication */
};

enum {
    TAG_BOOLEAN = 0x01,
    TAG_OCTETS = 0x04,
    TAG_OID = 0x06,
    TAG_SEQUENCE = 0x30,
    TAG_DNS = 0x82,
    TAG_3 = 0xA3
};

/* ---- Object identifiers ------------------------------------------------------------------------ */

static const uint8_t oid_alt_name[] = {0x55, 0x1D, 0x11};
static const uint8_t oid_key_use[] = {0x55, 0x1D, 0x25};
static const uint8_t oid_any_use[] = {0x55, 0x1D, 0x25, 0x00};
static const uint8_t oid_server_auth[] = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01};
static const uint8_t oid_rsa[] = {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01};
static const uint8_t oid_ecdsa_sha1[] = {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01};
static const uint8_t oid_ecdsa[] = {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03};

static bool oid_is(const struct xmpp_tiny_bearssl_leaf_ *leaf, const uint8_t *oid, size_t len)
{
    return leaf->oid_len == len && memcmp(leaf->oid, oid, len) == 0;
}

/* The arc after a prefix, or -1. */
static int oid_last(const struct xmpp_tiny_bearssl_leaf_ *leaf, const uint8_t *prefix, size_t len)
{
    return leaf->oid_len == len + 1 && memcmp(leaf->oid, prefix, len) == 0 ? leaf->oid[len] : -1;
}

/* The hash for the channel binding: the signature's own, but SHA-256 for MD5 and SHA-1. An algorithm
 * with another hash, or none, has no such binding. [RFC5929 4.1] */
static uint8_t algorithm_hash(const struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    switch (oid_last(leaf, oid_rsa, sizeof oid_rsa)) {
    case 4:  /* MD5 */
    case 5:  /* SHA-1 */
    case 11: /* SHA-256 */
        return br_sha256_ID;
    case 12:
        return br_sha384_ID;
    case 13:
        return br_sha512_ID;
    default:
        break;
    }
    if (oid_is(leaf, oid_ecdsa_sha1, sizeof oid_ecdsa_sha1)) {
        return br_sha256_ID;
    }
    switch (oid_last(leaf, oid_ecdsa, sizeof oid_ecdsa)) {
    case 2:
        return br_sha256_ID;
    case 3:
        return br_sha384_ID;
    case 4:
        return br_sha512_ID;
    default:
        return 0;
    }
}

/* ---- Names ------------------------------------------------------------------------------------- */

static uint8_t fold(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* A name from its first dot on; empty if there is none. */
static const char *above(const char *name)
{
    while (*name != '\0' && *name != '.') {
        name++;
    }
    return name;
}

/* A dNSName of this length begins: what can it still be? A wildcard "*.im.example" is compared with the
 * name from its first dot on, and needs a second dot there. */
static void name_begin(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    const char *rest = above(leaf->name);

    leaf->flags &= (uint8_t) ~(FLAG_EXACT | FLAG_WILD);
    if (leaf->length == strlen(leaf->name)) {
        leaf->flags |= FLAG_EXACT;
    }
    if (*rest != '\0' && rest != leaf->name && *above(rest + 1) != '\0' && leaf->length == 1 + strlen(rest)) {
        leaf->flags |= FLAG_WILD;
    }
}

static void name_byte(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t c)
{
    size_t index = (size_t)leaf->length - leaf->left;
    uint8_t wanted = '*';

    if ((leaf->flags & FLAG_EXACT) != 0 && fold(c) != fold((uint8_t)leaf->name[index])) {
        leaf->flags &= (uint8_t)~FLAG_EXACT;
    }
    if ((leaf->flags & FLAG_WILD) != 0) {
        if (index > 0) {
            wanted = (uint8_t)above(leaf->name)[index - 1];
        }
        if (fold(c) != fold(wanted)) {
            leaf->flags &= (uint8_t)~FLAG_WILD;
        }
    }
}

/* ---- The walk ---------------------------------------------------------------------------------- */

/* An element has been read: its parents may end with it. */
static void element_end(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    leaf->phase = PHASE_TAG;
    while (leaf->place != PLACE_TOP && leaf->at == leaf->end[leaf->place]) {
        leaf->place = parents[leaf->place];
    }
}

static void oid_end(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    if (leaf->place == PLACE_ALGORITHM) {
        leaf->algorithm = algorithm_hash(leaf);
    } else if (leaf->place == PLACE_USES && (oid_is(leaf, oid_server_auth, sizeof oid_server_auth) ||
                                             oid_is(leaf, oid_any_use, sizeof oid_any_use))) {
        leaf->flags |= FLAG_SERVER_AUTH;
    }
}

static void enter(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t place)
{
    leaf->place = place;
    leaf->end[place] = (uint16_t)(leaf->at + leaf->length);
    if (leaf->length == 0) {
        element_end(leaf);
    } else {
        leaf->phase = PHASE_TAG;
    }
}

static void content(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t phase)
{
    leaf->phase = phase;
    leaf->left = leaf->length;
    if (leaf->left == 0) {
        element_end(leaf);
    }
}

static void oid_begin(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    leaf->oid_len = 0;
    content(leaf, PHASE_OID);
}

static void extension_value(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    if (oid_is(leaf, oid_alt_name, sizeof oid_alt_name)) {
        enter(leaf, PLACE_ALT_VALUE);
    } else if (oid_is(leaf, oid_key_use, sizeof oid_key_use)) {
        leaf->flags |= FLAG_LIMITED;
        enter(leaf, PLACE_USE_VALUE);
    } else {
        content(leaf, PHASE_SKIP);
    }
}

/* The place that an element with this tag opens, or PLACE_TOP. */
static uint8_t opens(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    if (leaf->place == PLACE_TBS && leaf->tag == TAG_3) {
        return PLACE_EXPLICIT;
    }
    if (leaf->tag != TAG_SEQUENCE) {
        return PLACE_TOP;
    }
    switch (leaf->place) {
    case PLACE_TOP:
        return PLACE_CERTIFICATE;
    case PLACE_CERTIFICATE: /* the first; the second is the signature algorithm again */
        if ((leaf->flags & FLAG_TBS) == 0) {
            leaf->flags |= FLAG_TBS;
            return PLACE_TBS;
        }
        return PLACE_TOP;
    case PLACE_TBS: /* the first is the signature algorithm */
        if ((leaf->flags & FLAG_ALGORITHM) == 0) {
            leaf->flags |= FLAG_ALGORITHM;
            return PLACE_ALGORITHM;
        }
        return PLACE_TOP;
    case PLACE_EXPLICIT:
        return PLACE_EXTENSIONS;
    case PLACE_EXTENSIONS:
        return PLACE_EXTENSION;
    case PLACE_ALT_VALUE:
        return PLACE_ALT_NAMES;
    case PLACE_USE_VALUE:
        return PLACE_USES;
    default:
        return PLACE_TOP;
    }
}

/* Tag and length have been read. */
static void element_begin(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    uint8_t place;

    if (leaf->length > leaf->end[leaf->place] - leaf->at) {
        leaf->flags |= FLAG_BROKEN;
        return;
    }
    place = opens(leaf);
    if (place != PLACE_TOP) {
        enter(leaf, place);
    } else if (leaf->tag == TAG_OID && (leaf->place == PLACE_ALGORITHM || leaf->place == PLACE_EXTENSION ||
                                        leaf->place == PLACE_USES)) {
        oid_begin(leaf);
    } else if (leaf->tag == TAG_OCTETS && leaf->place == PLACE_EXTENSION) {
        extension_value(leaf);
    } else if (leaf->tag == TAG_DNS && leaf->place == PLACE_ALT_NAMES) {
        name_begin(leaf);
        content(leaf, PHASE_NAME);
    } else {
        content(leaf, PHASE_SKIP);
    }
}

static void length_byte(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t c)
{
    if (leaf->phase == PHASE_LENGTH_MORE) {
        leaf->length = (uint16_t)(leaf->length << 8 | c);
        if (--leaf->need == 0) {
            element_begin(leaf);
        }
    } else if (c < 0x80) {
        leaf->length = c;
        element_begin(leaf);
    } else if (c == 0x81 || c == 0x82) {
        leaf->length = 0;
        leaf->need = c & 3;
        leaf->phase = PHASE_LENGTH_MORE;
    } else {
        leaf->flags |= FLAG_BROKEN;
    }
}

static void content_byte(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t c)
{
    if (leaf->phase == PHASE_OID) {
        if (leaf->oid_len < sizeof leaf->oid) {
            leaf->oid[leaf->oid_len] = c;
            leaf->oid_len++;
        }
    } else if (leaf->phase == PHASE_NAME) {
        name_byte(leaf, c);
    }
    if (--leaf->left > 0) {
        return;
    }
    if (leaf->phase == PHASE_OID) {
        oid_end(leaf);
    } else if (leaf->phase == PHASE_NAME && (leaf->flags & (FLAG_EXACT | FLAG_WILD)) != 0) {
        leaf->flags |= FLAG_MATCHED;
    }
    element_end(leaf);
}

static void walk(struct xmpp_tiny_bearssl_leaf_ *leaf, const unsigned char *data, size_t len)
{
    while (len > 0 && (leaf->flags & FLAG_BROKEN) == 0) {
        uint8_t c = *data++;
        len--;
        if (leaf->at == leaf->end[PLACE_TOP]) {
            leaf->flags |= FLAG_BROKEN;
            return;
        }
        leaf->at++;
        switch (leaf->phase) {
        case PHASE_TAG:
            leaf->tag = c;
            leaf->phase = PHASE_LENGTH;
            break;
        case PHASE_LENGTH:
        case PHASE_LENGTH_MORE:
            length_byte(leaf, c);
            break;
        default:
            content_byte(leaf, c);
            break;
        }
    }
}

/* ---- BearSSL's interface ----------------------------------------------------------------------- */

static struct xmpp_tiny_bearssl_leaf_ *self(const br_x509_class **ctx)
{
    return (struct xmpp_tiny_bearssl_leaf_ *)(void *)ctx;
}

static void start_chain(const br_x509_class **ctx, const char *name)
{
    struct xmpp_tiny_bearssl_leaf_ *leaf = self(ctx);

    leaf->name = name;
    leaf->certificates = 0;
    leaf->hash_len = 0;
    leaf->minimal.vtable->start_chain(&leaf->minimal.vtable, name);
}

static void start_cert(const br_x509_class **ctx, uint32_t length)
{
    struct xmpp_tiny_bearssl_leaf_ *leaf = self(ctx);

    if (leaf->certificates == 0) {
        leaf->at = 0;
        leaf->place = PLACE_TOP;
        leaf->phase = PHASE_TAG;
        leaf->end[PLACE_TOP] = (uint16_t)length;
        leaf->flags = length > 0xFFFF ? FLAG_BROKEN : 0;
        leaf->algorithm = 0;
        leaf->oid_len = 0;
        leaf->hash.running.vtable = NULL;
    }
    if (leaf->certificates < 0xFF) {
        leaf->certificates++;
    }
    leaf->minimal.vtable->start_cert(&leaf->minimal.vtable, length);
}

/* BearSSL hands over 256 bytes at a time, and the signature algorithm stands within the first of them,
 * behind a serial number of 20 bytes at most: the hash to use is known before the first is hashed. */
static void append(const br_x509_class **ctx, const unsigned char *data, size_t len)
{
    struct xmpp_tiny_bearssl_leaf_ *leaf = self(ctx);

    if (leaf->certificates == 1) {
        bool first = leaf->at == 0;
        walk(leaf, data, len);
        if (first && leaf->algorithm != 0) {
            const br_hash_class *hash = br_multihash_getimpl(&leaf->minimal.mhash, leaf->algorithm);
            if (hash != NULL && hash->context_size <= sizeof leaf->hash.running) {
                hash->init(&leaf->hash.running.vtable);
            }
        }
        if (leaf->hash.running.vtable != NULL) {
            leaf->hash.running.vtable->update(&leaf->hash.running.vtable, data, len);
        }
    }
    leaf->minimal.vtable->append(&leaf->minimal.vtable, data, len);
}

static void end_cert(const br_x509_class **ctx)
{
    struct xmpp_tiny_bearssl_leaf_ *leaf = self(ctx);
    uint8_t digest[sizeof leaf->hash.digest];

    if (leaf->certificates == 1) {
        const br_hash_class *hash = leaf->hash.running.vtable;
        if (leaf->place != PLACE_TOP || leaf->at != leaf->end[PLACE_TOP]) {
            leaf->flags |= FLAG_BROKEN;
        }
        if (hash != NULL) {
            hash->out(&leaf->hash.running.vtable, digest);
            memcpy(leaf->hash.digest, digest, sizeof digest);
            leaf->hash_len = (uint8_t)(hash->desc >> BR_HASHDESC_OUT_OFF & BR_HASHDESC_OUT_MASK);
        }
    }
    leaf->minimal.vtable->end_cert(&leaf->minimal.vtable);
}

static unsigned end_chain(const br_x509_class **ctx)
{
    struct xmpp_tiny_bearssl_leaf_ *leaf = self(ctx);
    unsigned result = leaf->minimal.vtable->end_chain(&leaf->minimal.vtable);

    if (result != 0) {
        return result;
    }
    if ((leaf->flags & FLAG_BROKEN) != 0) {
        return BR_ERR_X509_UNEXPECTED;
    }
    if ((leaf->flags & FLAG_MATCHED) == 0) {
        return BR_ERR_X509_BAD_SERVER_NAME;
    }
    if ((leaf->flags & FLAG_LIMITED) != 0 && (leaf->flags & FLAG_SERVER_AUTH) == 0) {
        return BR_ERR_X509_FORBIDDEN_KEY_USAGE;
    }
    return 0;
}

static const br_x509_pkey *get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
    const struct xmpp_tiny_bearssl_leaf_ *leaf = (const struct xmpp_tiny_bearssl_leaf_ *)(const void *)ctx;

    return leaf->minimal.vtable->get_pkey(&leaf->minimal.vtable, usages);
}

static const br_x509_class vtable = {
    sizeof(struct xmpp_tiny_bearssl_leaf_), start_chain, start_cert, append, end_cert, end_chain, get_pkey,
};

void xmpp_tiny_bearssl_leaf_init_(struct xmpp_tiny_bearssl_leaf_ *leaf, const br_x509_trust_anchor *anchors,
                                  size_t count)
{
    memset(leaf, 0, sizeof *leaf);
    leaf->vtable = &vtable;
    br_x509_minimal_init(&leaf->minimal, &br_sha256_vtable, anchors, count);
}
