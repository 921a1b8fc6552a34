/* SPDX-License-Identifier: MIT
 *
 * The check of the server's certificate. BearSSL's "minimal" validator checks signatures, dates, keys and
 * CA flags; a reader beside it walks the DER of each certificate of the path as it streams by and sees to
 * the rest:
 *
 * - the name must stand in subjectAltName as dNSName, SRVName or XmppAddr [RFC9525 6, RFC6120 13.7.1.2].
 *   BearSSL is asked for no name: it would fall back to the common name and take "*.test" for "a.test";
 * - extendedKeyUsage, if present, must allow server authentication, also for CAs [RFC5280 4.2.1.12];
 * - nameConstraints are refused, critical or not: they are not evaluated [RFC5280 4.2.1.10];
 * - the server's key is hashed for the comparison with pins, its certificate for the channel binding
 *   tls-server-end-point [RFC5929 4.1]; names and dates are kept for those who want to see them.
 *
 * It can only add refusals, with two exceptions: without anchors nobody has to vouch for the certificate,
 * and with pins alone nothing counts but the key that BearSSL read out of it.
 *
 * Bounds: certificates of 65,535 bytes, 10 authorities above the server's; 16 bytes of an object identifier
 * or a date are looked at.
 */
#include "port/bearssl.h"

#include <string.h>

enum { PHASE_TAG, PHASE_LENGTH, PHASE_LENGTH_MORE, PHASE_SKIP, PHASE_OID, PHASE_DATE, PHASE_ID, PHASE_TEXT };

enum {
    TAG_OCTETS = 0x04,
    TAG_OID = 0x06,
    TAG_UTF8 = 0x0C,
    TAG_IA5 = 0x16,
    TAG_GENERALIZED_TIME = 0x18,
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31,
    TAG_DNS = 0x82,
    TAG_0 = 0xA0,
    TAG_3 = 0xA3,
    TAG_OWN = 0xE0 /* and above: made up, for elements that are known by more than their tag */
};

/* The sequences of the signed part, in their order. */
enum {
    NUMBER_NONE,
    NUMBER_ALGORITHM,
    NUMBER_ISSUER,
    NUMBER_VALIDITY,
    NUMBER_SUBJECT,
    NUMBER_KEY,
    NUMBER_REST
};

enum { OWN_TBS = TAG_OWN, OWN_ALGORITHM, OWN_NAME, OWN_VALIDITY, OWN_ALT_NAMES, OWN_KEY_USE };

/* The elements that are entered; all others are skipped. */
enum {
    PLACE_TOP,
    PLACE_CERTIFICATE,
    PLACE_TBS,
    PLACE_ALGORITHM,
    PLACE_VALIDITY,
    PLACE_NAME,
    PLACE_RDN,
    PLACE_ATTRIBUTE,
    PLACE_EXPLICIT,
    PLACE_EXTENSIONS,
    PLACE_EXTENSION,
    PLACE_ALT_VALUE,
    PLACE_ALT_NAMES,
    PLACE_OTHER,
    PLACE_OTHER_VALUE,
    PLACE_USE_VALUE,
    PLACE_USES,
    PLACE_COUNT
};

static const struct {
    uint8_t parent, tag;
} places[PLACE_COUNT] = {
    [PLACE_CERTIFICATE] = {PLACE_TOP, TAG_SEQUENCE},
    [PLACE_TBS] = {PLACE_CERTIFICATE, OWN_TBS},
    [PLACE_ALGORITHM] = {PLACE_TBS, OWN_ALGORITHM},
    [PLACE_VALIDITY] = {PLACE_TBS, OWN_VALIDITY},
    [PLACE_NAME] = {PLACE_TBS, OWN_NAME},
    [PLACE_RDN] = {PLACE_NAME, TAG_SET},
    [PLACE_ATTRIBUTE] = {PLACE_RDN, TAG_SEQUENCE},
    [PLACE_EXPLICIT] = {PLACE_TBS, TAG_3},
    [PLACE_EXTENSIONS] = {PLACE_EXPLICIT, TAG_SEQUENCE},
    [PLACE_EXTENSION] = {PLACE_EXTENSIONS, TAG_SEQUENCE},
    [PLACE_ALT_VALUE] = {PLACE_EXTENSION, OWN_ALT_NAMES},
    [PLACE_ALT_NAMES] = {PLACE_ALT_VALUE, TAG_SEQUENCE},
    [PLACE_OTHER] = {PLACE_ALT_NAMES, TAG_0},
    [PLACE_OTHER_VALUE] = {PLACE_OTHER, TAG_0},
    [PLACE_USE_VALUE] = {PLACE_EXTENSION, OWN_KEY_USE},
    [PLACE_USES] = {PLACE_USE_VALUE, TAG_SEQUENCE},
};

typedef char trusts_are_bits_[XMPP_TINY_TRUST_CA == 1 && XMPP_TINY_TRUST_PIN == 2 &&
                                      XMPP_TINY_TRUST_CA_PIN == 3 && XMPP_TINY_TRUST_FIRST_USE == 4
                                  ? 1
                                  : -1];

enum {
    FLAG_READING = 1,      /* this certificate counts */
    FLAG_BROKEN = 2,       /* not the DER it should be */
    FLAG_TBS = 4,          /* the signed part has begun */
    FLAG_LIMITED = 8,      /* extendedKeyUsage is there and has not allowed server authentication yet */
    FLAG_FORBIDDEN = 16,   /* nor did it until the end, in a certificate of the path */
    FLAG_CONSTRAINED = 32, /* nameConstraints is there, in a certificate of the path */
    FLAG_FITS = 64,        /* what is being read may still be the name */
    FLAG_MATCHED = 128     /* the name was found */
};

/* ---- Object identifiers ------------------------------------------------------------------------ */

static const uint8_t oid_extension[] = {0x55, 0x1D};
static const uint8_t oid_any_use[] = {0x55, 0x1D, 0x25, 0x00};
static const uint8_t oid_pkix[] = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07};
static const uint8_t oid_rsa[] = {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01};
static const uint8_t oid_ecdsa_sha1[] = {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01};
static const uint8_t oid_ecdsa[] = {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03};

enum { EXTENSION_ALT_NAMES = 17, EXTENSION_CONSTRAINTS = 30, EXTENSION_KEY_USE = 37 };
enum { PKIX_SERVER_AUTH = 0x0301, PKIX_XMPP_ADDR = 0x0805, PKIX_SRV_NAME = 0x0807 };

static bool oid_is(const struct xmpp_tiny_bearssl_leaf_ *leaf, const uint8_t *oid, size_t len)
{
    return leaf->text_len == len && memcmp(leaf->text, oid, len) == 0;
}

/* The arcs after a prefix, `more` of them and below 128, as one number; or -1. */
static int oid_below(const struct xmpp_tiny_bearssl_leaf_ *leaf, const uint8_t *prefix, size_t len,
                     size_t more)
{
    if (leaf->text_len != len + more || memcmp(leaf->text, prefix, len) != 0) {
        return -1;
    }
    return more == 2 ? leaf->text[len] << 8 | leaf->text[len + 1] : leaf->text[len];
}

static int oid_of_pkix(const struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    return oid_below(leaf, oid_pkix, sizeof oid_pkix, 2);
}

/* The hash for the channel binding: the signature's own, but SHA-256 for MD5 and SHA-1. An algorithm
 * with another hash, or none, has no such binding. [RFC5929 4.1] */
static uint8_t algorithm_hash(const struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    int rsa = oid_below(leaf, oid_rsa, sizeof oid_rsa, 1),
        ecdsa = oid_below(leaf, oid_ecdsa, sizeof oid_ecdsa, 1);

    /* BearSSL's numbers of SHA-256, -384 and -512 follow each other, as do the arcs with them. */
    if (rsa >= 11 && rsa <= 13) {
        return (uint8_t)(rsa - 11 + br_sha256_ID);
    }
    if (ecdsa >= 2 && ecdsa <= 4) {
        return (uint8_t)(ecdsa - 2 + br_sha256_ID);
    }
    return rsa == 4 || rsa == 5 || oid_is(leaf, oid_ecdsa_sha1, sizeof oid_ecdsa_sha1) ? br_sha256_ID : 0;
}

/* ---- Identity ----------------------------------------------------------------------------------
 * What stands in a certificate is compared with what would have to stand there: a prefix and the name, or
 * for a wildcard "*" and the name from its first dot on. An XmppAddr is compared with the A-labels that we
 * are asked for; the U-labels that it holds for an internationalised domain do not match, and such a
 * certificate needs a dNSName as well, as public CAs issue it. */

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

/* An address is no DNS name: IPv6 has brackets, and the last label of IPv4 is a number. [RFC9525 6.3] */
static bool is_address(const char *name)
{
    const char *label = name, *at;

    for (at = above(name); *at != '\0'; at = above(label)) {
        label = at + 1;
    }
    for (at = label; *at >= '0' && *at <= '9'; at++) {
    }
    return *at == '\0' || *name == '[';
}

/* An identity begins, with this byte: what would it have to be? */
static void id_begin(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t c)
{
    static const char srv[] = "_xmpp-client.", direct_srv[] = "_xmpps-client.";

    leaf->flags |= FLAG_FITS;
    leaf->prefix = "";
    leaf->rest = leaf->name;
    if (leaf->place == PLACE_ALT_NAMES) {
        if (c == '*') {
            leaf->prefix = "*";
            leaf->rest = above(leaf->name);
        }
        /* A single label below a wildcard would be public. */
        if (is_address(leaf->name) || *leaf->rest == '\0' || (c == '*' && *above(leaf->rest + 1) == '\0')) {
            leaf->flags &= (uint8_t)~FLAG_FITS;
        }
    } else if (oid_of_pkix(leaf) == PKIX_SRV_NAME) {
        leaf->prefix = leaf->length < sizeof direct_srv - 1 + strlen(leaf->name) ? srv : direct_srv;
    }
}

static void id_byte(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t c)
{
    if (leaf->left == leaf->length) {
        id_begin(leaf, c);
    }
    if (*leaf->prefix == '\0' && leaf->rest != NULL) {
        leaf->prefix = leaf->rest;
        leaf->rest = NULL;
    }
    if ((leaf->flags & FLAG_FITS) == 0 || *leaf->prefix == '\0' || fold(c) != fold((uint8_t)*leaf->prefix)) {
        leaf->flags &= (uint8_t)~FLAG_FITS;
        return;
    }
    leaf->prefix++;
    if (leaf->left == 1 && *leaf->prefix == '\0' && leaf->rest == NULL) {
        leaf->flags |= FLAG_MATCHED;
    }
}

/* ---- What is kept to be seen ------------------------------------------------------------------- */

/* notBefore has been read, or notAfter. What is no date is refused by BearSSL, which gets to read its last
 * byte after this: if dates do not count, it is that time just now. */
static void date_end(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    enum { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, COUNT };
    const uint8_t *at = leaf->text;
    uint32_t of[COUNT], year = 0, month, days, seconds, i;

    if (leaf->tag == TAG_GENERALIZED_TIME) {
        year = 1000U * at[0] + 100U * at[1] - 1100U * '0';
        at += 2;
    }
    for (i = 0; i < COUNT; i++) {
        of[i] = 10U * at[0] + at[1] - 11U * '0';
        at += 2;
    }
    if (leaf->tag != TAG_GENERALIZED_TIME) {
        year = of[YEAR] < 50 ? 2000 : 1900;
    }
    /* Years that begin in March have the leap day at their end. BearSSL counts days from 1 January of the
     * year 0, so 1 March is day 60, and 1 January 1970 is day 719,528. */
    year += of[YEAR];
    month = of[MONTH];
    if (month < 3) {
        year--;
        month += 12;
    }
    days = 59 + 365 * year + year / 4 - year / 100 + year / 400 + (153 * (month - 3) + 2) / 5 + of[DAY];
    seconds = (of[HOUR] * 60 + of[MINUTE]) * 60 + of[SECOND];
    leaf->not_before = leaf->not_after;
    leaf->not_after = (int64_t)(int32_t)(days - 719528U) * 86400 + seconds;
    if (leaf->trust == XMPP_TINY_TRUST_PIN) {
        br_x509_minimal_set_time(&leaf->minimal, days, seconds);
    }
}

#if XMPP_TINY_BEARSSL_NAME_MAX > 0

static void text_put(struct xmpp_tiny_bearssl_leaf_ *leaf, char c)
{
    struct xmpp_tiny_bearssl_name_ *name = &leaf->names[leaf->number == NUMBER_SUBJECT];

    if (name->len < sizeof name->text) {
        name->text[name->len] = c;
        name->len++;
    }
}

static const char *attribute_label(const struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    static const uint8_t oid_attribute[] = {0x55, 0x04};

    switch (oid_below(leaf, oid_attribute, sizeof oid_attribute, 1)) {
    case 3:
        return "CN=";
    case 6:
        return "C=";
    case 7:
        return "L=";
    case 8:
        return "ST=";
    case 10:
        return "O=";
    case 11:
        return "OU=";
    default:
        return "?=";
    }
}

static void attribute_begin(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    const char *label = attribute_label(leaf);

    if (leaf->names[leaf->number == NUMBER_SUBJECT].len > 0) {
        text_put(leaf, ',');
        text_put(leaf, ' ');
    }
    while (*label != '\0') {
        text_put(leaf, *label++);
    }
}

/* A comma in a value must not look like the one between two. [RFC4514 2.4] */
static void attribute_byte(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t c)
{
    if (c == ',' || c == '\\') {
        text_put(leaf, '\\');
    }
    text_put(leaf, c >= 0x20 && c < 0x7F ? (char)c : '?');
}

static void text_show(const struct xmpp_tiny_bearssl_leaf_ *leaf, struct xmpp_tiny_security *security)
{
    security->issuer.ptr = leaf->names[0].text;
    security->issuer.len = leaf->names[0].len;
    security->subject.ptr = leaf->names[1].text;
    security->subject.len = leaf->names[1].len;
}

#else

static void attribute_begin(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    (void)leaf;
}

static void attribute_byte(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t c)
{
    (void)leaf;
    (void)c;
}

static void text_show(const struct xmpp_tiny_bearssl_leaf_ *leaf, struct xmpp_tiny_security *security)
{
    (void)leaf;
    (void)security;
}

#endif

/* ---- The walk ---------------------------------------------------------------------------------- */

/* An element has been read: its parents may end with it. */
static void element_end(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    leaf->phase = PHASE_TAG;
    if (leaf->number == NUMBER_KEY) {
        br_sha256_out(&leaf->minimal.dn_hash.sha256, leaf->spki);
        leaf->number = NUMBER_REST;
    }
    while (leaf->depth > 0 && leaf->at == leaf->end[leaf->depth]) {
        leaf->place = places[leaf->place].parent;
        leaf->depth--;
    }
}

static void oid_end(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    if (leaf->place == PLACE_ALGORITHM) {
        leaf->algorithm = algorithm_hash(leaf);
    } else if (leaf->place == PLACE_USES &&
               (oid_of_pkix(leaf) == PKIX_SERVER_AUTH || oid_is(leaf, oid_any_use, sizeof oid_any_use))) {
        leaf->flags &= (uint8_t)~FLAG_LIMITED;
    }
}

static void enter(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t place)
{
    leaf->place = place;
    leaf->depth++;
    leaf->end[leaf->depth] = (uint16_t)(leaf->at + leaf->length);
    leaf->phase = PHASE_TAG;
    if (leaf->length == 0) {
        element_end(leaf);
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

static uint8_t extension_value(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    switch (oid_below(leaf, oid_extension, sizeof oid_extension, 1)) {
    case EXTENSION_ALT_NAMES:
        return leaf->certificates == 1 ? OWN_ALT_NAMES : TAG_OCTETS;
    case EXTENSION_KEY_USE:
        leaf->flags |= FLAG_LIMITED;
        return OWN_KEY_USE;
    case EXTENSION_CONSTRAINTS:
        leaf->flags |= FLAG_CONSTRAINED;
        return TAG_OCTETS;
    default:
        return TAG_OCTETS;
    }
}

static uint8_t signed_sequence(const struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    switch (leaf->number) {
    case NUMBER_ALGORITHM:
        return OWN_ALGORITHM;
    case NUMBER_VALIDITY:
        return OWN_VALIDITY;
    case NUMBER_ISSUER:
    case NUMBER_SUBJECT:
        return XMPP_TINY_BEARSSL_NAME_MAX > 0 ? OWN_NAME : TAG_SEQUENCE;
    default:
        return TAG_SEQUENCE;
    }
}

/* The tag under which the element may stand in the table of places. */
static uint8_t known_as(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    if (leaf->place == PLACE_CERTIFICATE && (leaf->flags & FLAG_TBS) == 0) {
        leaf->flags |= FLAG_TBS;
        return leaf->tag == TAG_SEQUENCE ? OWN_TBS : leaf->tag;
    }
    if (leaf->place == PLACE_TBS && leaf->tag == TAG_SEQUENCE) {
        return signed_sequence(leaf);
    }
    if (leaf->place == PLACE_EXTENSION && leaf->tag == TAG_OCTETS) {
        return extension_value(leaf);
    }
    return leaf->tag;
}

/* What is done with the bytes of an element that is not entered. */
static uint8_t phase_of(const struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    bool oid = leaf->tag == TAG_OID;

    switch (leaf->place) {
    case PLACE_ALGORITHM:
    case PLACE_EXTENSION:
    case PLACE_OTHER:
    case PLACE_USES:
        return oid ? PHASE_OID : PHASE_SKIP;
    case PLACE_VALIDITY:
        return PHASE_DATE;
    case PLACE_ATTRIBUTE:
        return oid ? PHASE_OID : PHASE_TEXT;
    case PLACE_ALT_NAMES:
        return leaf->tag == TAG_DNS ? PHASE_ID : PHASE_SKIP;
    case PLACE_OTHER_VALUE:
        return (leaf->tag == TAG_IA5 && oid_of_pkix(leaf) == PKIX_SRV_NAME) ||
                       (leaf->tag == TAG_UTF8 && oid_of_pkix(leaf) == PKIX_XMPP_ADDR)
                   ? PHASE_ID
                   : PHASE_SKIP;
    default:
        return PHASE_SKIP;
    }
}

/* Tag and length have been read. */
static void element_begin(struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    uint8_t tag, place, phase;

    if (leaf->length > leaf->end[leaf->depth] - leaf->at) {
        leaf->flags |= FLAG_BROKEN;
        return;
    }
    tag = known_as(leaf);
    for (place = 1; place < PLACE_COUNT; place++) {
        if (places[place].parent == leaf->place && places[place].tag == tag) {
            enter(leaf, place);
            return;
        }
    }
    phase = phase_of(leaf);
    if (phase == PHASE_OID || phase == PHASE_DATE) {
        leaf->text_len = 0;
    } else if (phase == PHASE_TEXT) {
        attribute_begin(leaf);
    }
    content(leaf, phase);
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
    if (leaf->phase == PHASE_ID) {
        id_byte(leaf, c);
    } else if (leaf->phase == PHASE_TEXT) {
        attribute_byte(leaf, c);
    } else if (leaf->phase != PHASE_SKIP && leaf->text_len < sizeof leaf->text) {
        leaf->text[leaf->text_len] = c;
        leaf->text_len++;
    }
    if (--leaf->left > 0) {
        return;
    }
    if (leaf->phase == PHASE_OID) {
        oid_end(leaf);
    } else if (leaf->phase == PHASE_DATE) {
        date_end(leaf);
    }
    element_end(leaf);
}

/* Of the server's certificate the sequences of the signed part are counted. The key is hashed in the
 * context that BearSSL keeps for names, which is idle from the subject's last byte to the extensions. */
static void tag_byte(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t c)
{
    leaf->tag = c;
    leaf->phase = PHASE_LENGTH;
    if (c >= TAG_OWN || (leaf->depth == 0 && leaf->at > 1)) {
        leaf->flags |= FLAG_BROKEN;
    }
    if (leaf->place == PLACE_TBS && c == TAG_SEQUENCE && leaf->number < NUMBER_KEY) {
        leaf->number++;
        if (leaf->number == NUMBER_KEY) {
            br_sha256_init(&leaf->minimal.dn_hash.sha256);
        }
    }
}

static void walk(struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t c)
{
    uint8_t phase = leaf->phase;

    if (leaf->at == leaf->end[0]) {
        leaf->flags |= FLAG_BROKEN;
        return;
    }
    leaf->at++;
    if (phase == PHASE_TAG) {
        tag_byte(leaf, c);
    }
    if (leaf->number == NUMBER_KEY) {
        br_sha256_update(&leaf->minimal.dn_hash.sha256, &c, 1);
    }
    if (phase == PHASE_LENGTH || phase == PHASE_LENGTH_MORE) {
        length_byte(leaf, c);
    } else if (phase != PHASE_TAG) {
        content_byte(leaf, c);
    }
}

/* ---- BearSSL's interface ----------------------------------------------------------------------- */

/* Which hash of the server's certificate is that of its signature, if that is not SHA-256. */
#define OTHER XMPP_TINY_BEARSSL_ENABLE_SHA384

static struct xmpp_tiny_bearssl_leaf_ *self(const br_x509_class **ctx)
{
    return (struct xmpp_tiny_bearssl_leaf_ *)(void *)ctx;
}

/* Of what was loaded with a session nothing is left. */
static void start_chain(const br_x509_class **ctx, const char *name)
{
    struct xmpp_tiny_bearssl_leaf_ *leaf = self(ctx);

    memset(leaf->spki, 0, sizeof leaf->spki);
    leaf->algorithm = 0;
    leaf->name = name;
    leaf->minimal.vtable->start_chain(&leaf->minimal.vtable, NULL);
}

#define AUTHORITIES_MAX 10 /* each costs a signature before anybody vouches for it */

/* The path ends where an anchor vouches, or at once if there is none; what is sent beyond does not count. */
static void start_cert(const br_x509_class **ctx, uint32_t length)
{
    struct xmpp_tiny_bearssl_leaf_ *leaf = self(ctx);
    bool first = leaf->certificates == 0;

    leaf->flags &= (uint8_t) ~(FLAG_READING | FLAG_TBS | FLAG_LIMITED);
    if (!first && ((leaf->trust & XMPP_TINY_TRUST_CA) == 0 || leaf->minimal.err != 0)) {
        return;
    }
    if (leaf->minimal.num_certs > AUTHORITIES_MAX) {
        leaf->flags |= FLAG_BROKEN;
        return;
    }
    leaf->flags |= length > 0xFFFF ? FLAG_READING | FLAG_BROKEN : FLAG_READING;
    leaf->certificates = first ? 1 : 2;
    leaf->number = first ? NUMBER_NONE : NUMBER_REST;
    leaf->at = 0;
    leaf->end[0] = (uint16_t)length;
    leaf->depth = 0;
    leaf->place = PLACE_TOP;
    leaf->phase = PHASE_TAG;
    if (first) {
        br_sha256_vtable.init(&leaf->hash[0].running.vtable);
    }
    leaf->minimal.vtable->start_cert(&leaf->minimal.vtable, length);
}

/* BearSSL hands over 256 bytes at a time, and the signature algorithm stands within the first of them,
 * behind a serial number of 20 bytes at most: the hash to use is known before the first is hashed. */
static void hash_update(struct xmpp_tiny_bearssl_leaf_ *leaf, const unsigned char *data, size_t len)
{
    const br_hash_class **other = &leaf->hash[OTHER].running.vtable;

    br_sha256_vtable.update(&leaf->hash[0].running.vtable, data, len);
    if (OTHER > 0 && leaf->at == len && leaf->algorithm > br_sha256_ID) {
        const br_hash_class *hash = br_multihash_getimpl(&leaf->minimal.mhash, leaf->algorithm);
        if (hash != NULL) {
            hash->init(other);
        }
    }
    if (OTHER > 0 && *other != NULL) {
        (*other)->update(other, data, len);
    }
}

/* The digest replaces the context, at which BearSSL does not look any more when it writes. */
static uint8_t hash_end(union xmpp_tiny_bearssl_hash_ *hash)
{
    const br_hash_class *impl = hash->running.vtable;

    if (impl == NULL) {
        return 0;
    }
    impl->out(&hash->running.vtable, hash->digest);
    return (uint8_t)(impl->desc >> BR_HASHDESC_OUT_OFF & BR_HASHDESC_OUT_MASK);
}

/* Byte by byte, so that BearSSL is never behind the walk by more than that. */
static void append(const br_x509_class **ctx, const unsigned char *data, size_t len)
{
    struct xmpp_tiny_bearssl_leaf_ *leaf = self(ctx);
    size_t i;

    if ((leaf->flags & FLAG_READING) == 0) {
        return;
    }
    for (i = 0; i < len; i++) {
        if ((leaf->flags & FLAG_BROKEN) == 0) {
            walk(leaf, data[i]);
        }
        leaf->minimal.vtable->append(&leaf->minimal.vtable, data + i, 1);
    }
    if (leaf->certificates == 1) {
        hash_update(leaf, data, len);
    }
}

static void end_cert(const br_x509_class **ctx)
{
    struct xmpp_tiny_bearssl_leaf_ *leaf = self(ctx);

    if ((leaf->flags & FLAG_READING) == 0) {
        return;
    }
    if (leaf->depth > 0 || leaf->at != leaf->end[0]) {
        leaf->flags |= FLAG_BROKEN;
    }
    if ((leaf->flags & FLAG_LIMITED) != 0) {
        leaf->flags |= FLAG_FORBIDDEN;
    }
    if (leaf->certificates == 1) {
        leaf->hash_len = hash_end(&leaf->hash[0]);
        if (leaf->algorithm != br_sha256_ID) {
            leaf->hash_len = OTHER > 0 ? hash_end(&leaf->hash[OTHER]) : 0;
        }
    }
    leaf->minimal.vtable->end_cert(&leaf->minimal.vtable);
}

static bool pinned(const struct xmpp_tiny_bearssl_leaf_ *leaf)
{
    const uint8_t *pin = leaf->config->pins;
    size_t left;

    for (left = leaf->config->pin_count; left > 0; left--) {
        if (memcmp(pin, leaf->spki, sizeof leaf->spki) == 0) {
            return true;
        }
        pin += sizeof leaf->spki;
    }
    return false;
}

/* With pins alone: BearSSL has a key only if it read all up to it as what it is, and the walk did the same;
 * so what was hashed is what will be used, whatever is wrong with the rest. */
static unsigned end_chain(const br_x509_class **ctx)
{
    struct xmpp_tiny_bearssl_leaf_ *leaf = self(ctx);
    unsigned result = leaf->minimal.vtable->end_chain(&leaf->minimal.vtable);

    if ((leaf->flags & FLAG_BROKEN) != 0) {
        return BR_ERR_X509_UNEXPECTED;
    }
    if (leaf->minimal.pkey.key_type == BR_KEYTYPE_RSA &&
        !xmpp_tiny_bearssl_long_(&leaf->minimal.pkey.key.rsa)) {
        return BR_ERR_X509_WEAK_PUBLIC_KEY;
    }
    if (leaf->trust == XMPP_TINY_TRUST_PIN) {
        if (leaf->minimal.pkey.key_type == 0) {
            return result;
        }
    } else {
        if (leaf->trust == XMPP_TINY_TRUST_FIRST_USE && result == BR_ERR_X509_NOT_TRUSTED) {
            result = 0;
        }
        if ((leaf->flags & FLAG_CONSTRAINED) != 0 &&
            (result == 0 || result == BR_ERR_X509_CRITICAL_EXTENSION)) {
            return XMPP_TINY_BEARSSL_ERR_CONSTRAINED_;
        }
        if (result != 0) {
            return result;
        }
        if ((leaf->flags & FLAG_MATCHED) == 0) {
            return BR_ERR_X509_BAD_SERVER_NAME;
        }
        if ((leaf->flags & FLAG_FORBIDDEN) != 0) {
            return BR_ERR_X509_FORBIDDEN_KEY_USAGE;
        }
    }
    return (leaf->trust & XMPP_TINY_TRUST_PIN) != 0 && !pinned(leaf) ? XMPP_TINY_BEARSSL_ERR_PIN_ : 0;
}

/* Asked for only after end_chain() found nothing wrong. */
static const br_x509_pkey *get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
    const struct xmpp_tiny_bearssl_leaf_ *leaf = (const struct xmpp_tiny_bearssl_leaf_ *)(const void *)ctx;

    if (usages != NULL) {
        *usages = leaf->minimal.key_usages;
    }
    return &leaf->minimal.pkey;
}

static const br_x509_class vtable = {
    sizeof(struct xmpp_tiny_bearssl_leaf_), start_chain, start_cert, append, end_cert, end_chain, get_pkey,
};

/* ---- For port/bearssl.c ------------------------------------------------------------------------ */

void xmpp_tiny_bearssl_leaf_init_(struct xmpp_tiny_bearssl_leaf_ *leaf,
                                  const struct xmpp_tiny_bearssl_config *config)
{
    leaf->vtable = &vtable;
    leaf->config = config;
    leaf->trust = config->anchor_count > 0 ? XMPP_TINY_TRUST_CA : XMPP_TINY_TRUST_NONE;
    leaf->trust |= config->pin_count > 0 ? XMPP_TINY_TRUST_PIN : XMPP_TINY_TRUST_NONE;
    if (config->first_use) {
        leaf->trust = XMPP_TINY_TRUST_FIRST_USE;
    }
    br_x509_minimal_init(&leaf->minimal, &br_sha256_vtable, config->anchors, config->anchor_count);
}

int xmpp_tiny_bearssl_leaf_binding_(const struct xmpp_tiny_bearssl_leaf_ *leaf, uint8_t *out)
{
    const union xmpp_tiny_bearssl_hash_ *hash = &leaf->hash[leaf->algorithm == br_sha256_ID ? 0 : OTHER];

    memcpy(out, hash->digest, leaf->hash_len);
    return leaf->hash_len > 0 ? leaf->hash_len : XMPP_TINY_IO_FAILED;
}

void xmpp_tiny_bearssl_leaf_security_(const struct xmpp_tiny_bearssl_leaf_ *leaf,
                                      struct xmpp_tiny_security *security)
{
    security->trust = (enum xmpp_tiny_trust)leaf->trust;
    security->not_before = leaf->not_before;
    security->not_after = leaf->not_after;
    memcpy(security->spki, leaf->spki, sizeof leaf->spki);
    memcpy(security->certificate, leaf->hash[0].digest, sizeof security->certificate);
    text_show(leaf, security);
}
