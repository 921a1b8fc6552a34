/* SPDX-License-Identifier: MIT
 *
 * ClientHello and what comes back.
 */
#include "check_hello.h"

#include <string.h>

#define ANSWER_MAX 32768 /* bytes of a server's first flight */

/* number, class, name; strongest first [IANA TLS Cipher Suites] */
/* clang-format off */
#define SUITES(X) \
    X(0x1301, AEAD,   "AES_128_GCM_SHA256") \
    X(0x1302, AEAD,   "AES_256_GCM_SHA384") \
    X(0x1303, AEAD,   "CHACHA20_POLY1305_SHA256") \
    X(0xCCA9, AEAD,   "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256") \
    X(0xCCA8, AEAD,   "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256") \
    X(0xC02B, AEAD,   "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256") \
    X(0xC02F, AEAD,   "ECDHE_RSA_WITH_AES_128_GCM_SHA256") \
    X(0xC02C, AEAD,   "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384") \
    X(0xC030, AEAD,   "ECDHE_RSA_WITH_AES_256_GCM_SHA384") \
    X(0xC0AC, AEAD,   "ECDHE_ECDSA_WITH_AES_128_CCM") \
    X(0xC0AE, AEAD,   "ECDHE_ECDSA_WITH_AES_128_CCM_8") \
    X(0xCCAA, AEAD,   "DHE_RSA_WITH_CHACHA20_POLY1305_SHA256") \
    X(0x009E, AEAD,   "DHE_RSA_WITH_AES_128_GCM_SHA256") \
    X(0x009F, AEAD,   "DHE_RSA_WITH_AES_256_GCM_SHA384") \
    X(0xC023, CBC,    "ECDHE_ECDSA_WITH_AES_128_CBC_SHA256") \
    X(0xC027, CBC,    "ECDHE_RSA_WITH_AES_128_CBC_SHA256") \
    X(0xC024, CBC,    "ECDHE_ECDSA_WITH_AES_256_CBC_SHA384") \
    X(0xC028, CBC,    "ECDHE_RSA_WITH_AES_256_CBC_SHA384") \
    X(0xC009, CBC,    "ECDHE_ECDSA_WITH_AES_128_CBC_SHA") \
    X(0xC013, CBC,    "ECDHE_RSA_WITH_AES_128_CBC_SHA") \
    X(0xC00A, CBC,    "ECDHE_ECDSA_WITH_AES_256_CBC_SHA") \
    X(0xC014, CBC,    "ECDHE_RSA_WITH_AES_256_CBC_SHA") \
    X(0x0067, CBC,    "DHE_RSA_WITH_AES_128_CBC_SHA256") \
    X(0x006B, CBC,    "DHE_RSA_WITH_AES_256_CBC_SHA256") \
    X(0x0033, CBC,    "DHE_RSA_WITH_AES_128_CBC_SHA") \
    X(0x0039, CBC,    "DHE_RSA_WITH_AES_256_CBC_SHA") \
    X(0x009C, RSA,    "RSA_WITH_AES_128_GCM_SHA256") \
    X(0x009D, RSA,    "RSA_WITH_AES_256_GCM_SHA384") \
    X(0xC09C, RSA,    "RSA_WITH_AES_128_CCM") \
    X(0x003C, RSA,    "RSA_WITH_AES_128_CBC_SHA256") \
    X(0x003D, RSA,    "RSA_WITH_AES_256_CBC_SHA256") \
    X(0x002F, RSA,    "RSA_WITH_AES_128_CBC_SHA") \
    X(0x0035, RSA,    "RSA_WITH_AES_256_CBC_SHA") \
    X(0x0041, RSA,    "RSA_WITH_CAMELLIA_128_CBC_SHA") \
    X(0xC008, TDES,   "ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA") \
    X(0xC012, TDES,   "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA") \
    X(0x0016, TDES,   "DHE_RSA_WITH_3DES_EDE_CBC_SHA") \
    X(0x000A, TDES,   "RSA_WITH_3DES_EDE_CBC_SHA") \
    X(0xC007, RC4,    "ECDHE_ECDSA_WITH_RC4_128_SHA") \
    X(0xC011, RC4,    "ECDHE_RSA_WITH_RC4_128_SHA") \
    X(0x0005, RC4,    "RSA_WITH_RC4_128_SHA") \
    X(0x0004, RC4,    "RSA_WITH_RC4_128_MD5") \
    X(0x0015, EXPORT, "DHE_RSA_WITH_DES_CBC_SHA") \
    X(0x0009, EXPORT, "RSA_WITH_DES_CBC_SHA") \
    X(0x0014, EXPORT, "DHE_RSA_EXPORT_WITH_DES40_CBC_SHA") \
    X(0x0008, EXPORT, "RSA_EXPORT_WITH_DES40_CBC_SHA") \
    X(0x0006, EXPORT, "RSA_EXPORT_WITH_RC2_CBC_40_MD5") \
    X(0x0003, EXPORT, "RSA_EXPORT_WITH_RC4_40_MD5") \
    X(0xC006, NULLS,  "ECDHE_ECDSA_WITH_NULL_SHA") \
    X(0xC010, NULLS,  "ECDHE_RSA_WITH_NULL_SHA") \
    X(0x003B, NULLS,  "RSA_WITH_NULL_SHA256") \
    X(0x0002, NULLS,  "RSA_WITH_NULL_SHA") \
    X(0x0001, NULLS,  "RSA_WITH_NULL_MD5") \
    X(0xC018, ANON,   "ECDH_anon_WITH_AES_128_CBC_SHA") \
    X(0xC019, ANON,   "ECDH_anon_WITH_AES_256_CBC_SHA") \
    X(0x00A6, ANON,   "DH_anon_WITH_AES_128_GCM_SHA256") \
    X(0x00A7, ANON,   "DH_anon_WITH_AES_256_GCM_SHA384") \
    X(0x0034, ANON,   "DH_anon_WITH_AES_128_CBC_SHA") \
    X(0x003A, ANON,   "DH_anon_WITH_AES_256_CBC_SHA") \
    X(0x0018, ANON,   "DH_anon_WITH_RC4_128_MD5") \
    X(0x0017, ANON,   "DH_anon_EXPORT_WITH_RC4_40_MD5")
/* clang-format on */

static const struct {
    uint16_t number;
    enum check_class class;
    const char *name;
} suites[] = {
#define X(number, class, name) {number, CHECK_##class, name},
    SUITES(X)
#undef X
};

#define SUITE_COUNT (sizeof suites / sizeof suites[0])

static const struct {
    uint16_t number;
    const char *name;
} versions[] = {
#define X(name, text, number) {number, text},
    CHECK_VERSIONS(X)
#undef X
};

const char *check_version_name(uint16_t version)
{
    for (size_t i = 0; i < CHECK_VERSION_COUNT; i++)
        if (versions[i].number == version)
            return versions[i].name;
    return "";
}

uint16_t check_version_number(enum check_version version)
{
    return versions[version].number;
}

const char *check_suite_name(uint16_t suite)
{
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (suites[i].number == suite)
            return suites[i].name;
    return "";
}

enum check_class check_suite_class(uint16_t suite)
{
    for (size_t i = 0; i < SUITE_COUNT; i++)
        if (suites[i].number == suite)
            return suites[i].class;
    return CHECK_CLASS_COUNT;
}

/* ---- The offer --------------------------------------------------------------------------------- */

/* Large enough for the longest hello: all suites and a name of 255 bytes. */
struct hello {
    uint8_t bytes[1024];
    size_t len;
};

static void put(struct hello *h, const void *data, size_t len)
{
    memcpy(h->bytes + h->len, data, len);
    h->len += len;
}

static void put8(struct hello *h, unsigned value)
{
    h->bytes[h->len++] = (uint8_t)value;
}

static void put16(struct hello *h, unsigned value)
{
    put8(h, value >> 8);
    put8(h, value & 0xFF);
}

/* A length of two bytes that is filled in by close16(). */
static size_t open16(struct hello *h)
{
    put16(h, 0);
    return h->len;
}

static void close16(struct hello *h, size_t at)
{
    h->bytes[at - 2] = (uint8_t)((h->len - at) >> 8);
    h->bytes[at - 1] = (uint8_t)(h->len - at);
}

static void put_random(struct hello *h, size_t len)
{
    uint8_t bytes[32];
    if (!xmpp_tiny_posix_platform.random(xmpp_tiny_posix_platform.ctx, bytes, len))
        memset(bytes, 1, len); /* nothing depends on it */
    put(h, bytes, len);
}

static void put_suites(struct hello *h, const struct check_offer *offer)
{
    size_t list = open16(h);
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        size_t n = offer->weakest_first ? SUITE_COUNT - 1 - i : i;
        bool tls13 = suites[n].number >> 8 == 0x13;
        if ((offer->classes >> suites[n].class & 1) != 0 &&
            (tls13 ? offer->newest == CHECK_TLS13 : offer->oldest != CHECK_TLS13))
            put16(h, suites[n].number);
    }
    put16(h, 0x00FF); /* renegotiation is understood [RFC5746 3.3] */
    close16(h, list);
}

static void put_name(struct hello *h, const char *name)
{
    size_t len = strlen(name) < 256 ? strlen(name) : 255;
    put16(h, 0); /* server_name [RFC6066 3] */
    size_t extension = open16(h), list = open16(h);
    put8(h, 0);
    size_t text = open16(h);
    put(h, name, len);
    close16(h, text);
    close16(h, list);
    close16(h, extension);
}

/* A share of a key nobody has: the server's answer is all we wait for. [RFC8446 4.2.8] */
static void put_tls13(struct hello *h, const struct check_offer *offer)
{
    put16(h, 43); /* supported_versions */
    size_t extension = open16(h);
    size_t count = h->len++;
    for (int v = (int)offer->newest; v >= (int)offer->oldest && v >= CHECK_TLS10; v--)
        put16(h, versions[v].number);
    h->bytes[count] = (uint8_t)(h->len - count - 1);
    close16(h, extension);
    put16(h, 51); /* key_share */
    extension = open16(h);
    size_t list = open16(h);
    put16(h, 29); /* x25519 */
    put16(h, 32);
    put_random(h, 32);
    close16(h, list);
    close16(h, extension);
}

static void put_extensions(struct hello *h, const struct check_offer *offer)
{
    static const uint8_t groups[] = {0, 10, 0, 10, 0, 8, 0, 29, 0, 23, 0, 24, 0, 25};
    static const uint8_t formats[] = {0, 11, 0, 2, 1, 0};
    static const uint8_t signatures[] = {0, 13, 0, 26, 0, 24, 4, 3, 5, 3, 6, 3, 8, 7, 8,
                                         4, 8,  5, 8,  6, 4,  1, 5, 1, 6, 1, 2, 3, 2, 1};
    static const uint8_t alpn[] = {0,   16,  0,   14,  0,   12,  11,  'x', 'm',
                                   'p', 'p', '-', 'c', 'l', 'i', 'e', 'n', 't'};
    size_t all = open16(h);
    put_name(h, offer->name);
    put(h, groups, sizeof groups);
    put(h, formats, sizeof formats);
    if (offer->newest >= CHECK_TLS12)
        put(h, signatures, sizeof signatures);
    if (offer->alpn)
        put(h, alpn, sizeof alpn);
    if (offer->newest == CHECK_TLS13)
        put_tls13(h, offer);
    close16(h, all);
}

static void put_hello(struct hello *h, const struct check_offer *offer)
{
    enum check_version legacy = offer->newest == CHECK_TLS13 ? CHECK_TLS12 : offer->newest;
    put8(h, 22); /* handshake */
    put16(h, legacy > CHECK_TLS10 ? 0x0301 : versions[legacy].number);
    size_t record = open16(h);
    put16(h, 1 << 8); /* client_hello; a hello is shorter than 64 KB */
    size_t message = open16(h);
    put16(h, versions[legacy].number);
    put_random(h, 32);
    put8(h, 0); /* no session */
    put_suites(h, offer);
    if (offer->newest == CHECK_TLS13) {
        put16(h, 1 << 8); /* TLS 1.3 wants no compression alone */
    } else {
        put8(h, 2);
        put16(h, 1 << 8); /* DEFLATE [RFC3749], none */
    }
    if (offer->newest > CHECK_SSL3)
        put_extensions(h, offer);
    close16(h, message);
    close16(h, record);
}

/* SSLv2's own form. */
static void put_hello2(struct hello *h)
{
    static const uint8_t kinds[] = {1, 0, 0x80, 7, 0, 0xC0, 3, 0, 0x80, 6, 0, 0x40, 2, 0, 0x80, 4, 0, 0x80};
    put16(h, 0x8000U + 9 + sizeof kinds + 16);
    put8(h, 1);
    put16(h, versions[CHECK_SSL2].number);
    put16(h, sizeof kinds);
    put16(h, 0);
    put16(h, 16);
    put(h, kinds, sizeof kinds);
    put_random(h, 16);
}

/* ---- The answer -------------------------------------------------------------------------------- */

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void read_extensions(const uint8_t *at, size_t len, struct check_choice *choice)
{
    while (len >= 4) {
        unsigned kind = get16(at), size = get16(at + 2);
        at += 4;
        len -= 4;
        if (size > len)
            return;
        if (kind == 43 && size == 2)
            choice->version = (uint16_t)get16(at);
        else if (kind == 16)
            choice->alpn = true;
        at += size;
        len -= size;
    }
}

static void read_server_hello(const uint8_t *at, size_t len, struct check_choice *choice)
{
    size_t session = len > 34 ? at[34] : 0;
    if (len < 38 + session)
        return;
    choice->outcome = CHECK_ACCEPTED;
    choice->version = (uint16_t)get16(at);
    choice->suite = (uint16_t)get16(at + 35 + session);
    choice->compressed = at[37 + session] != 0;
    if (len >= 40 + session)
        read_extensions(at + 40 + session, len - 40 - session, choice);
}

/* Reads the messages that are complete. True when no more are wanted. */
static bool read_messages(const uint8_t *at, size_t len, struct check_choice *choice)
{
    while (len >= 4) {
        size_t size = (size_t)at[1] << 16 | get16(at + 2);
        if (size > len - 4)
            return false;
        if (at[0] == 2) {
            read_server_hello(at + 4, size, choice);
            if (choice->version >= 0x0304)
                return true; /* the rest is encrypted */
        } else if (at[0] == 11 && size <= sizeof choice->certificates) {
            memcpy(choice->certificates, at + 4, size);
            choice->certificate_len = size;
        } else if (at[0] == 14) {
            return true;
        }
        at += 4 + size;
        len -= 4 + size;
    }
    return false;
}

/* Reads the records that are complete. True when no more are wanted. */
static bool read_records(const uint8_t *at, size_t len, struct check_choice *choice)
{
    static uint8_t messages[ANSWER_MAX];
    size_t used = 0;
    while (len >= 5) {
        size_t size = get16(at + 3);
        if (at[0] < 20 || at[0] > 23) {
            choice->outcome = CHECK_REFUSED; /* not TLS */
            return true;
        }
        if (size > len - 5)
            break;
        if (at[0] == 22) {
            memcpy(messages + used, at + 5, size);
            used += size;
        } else if (at[0] == 21 && size == 2 && at[5] == 2) { /* fatal */
            choice->outcome = CHECK_REFUSED;
            choice->alert = at[6];
            return true;
        }
        at += 5 + size;
        len -= 5 + size;
    }
    return read_messages(messages, used, choice);
}

void check_hello(struct check_link *l, const struct check_offer *offer, struct check_choice *choice)
{
    static uint8_t answer[ANSWER_MAX];
    struct hello hello = {.len = 0};
    size_t len = 0;
    int got = 0;
    choice->outcome = CHECK_UNKNOWN;
    choice->alert = -1;
    choice->version = choice->suite = 0;
    choice->compressed = choice->alpn = false;
    choice->certificate_len = 0;
    if (offer->newest == CHECK_SSL2)
        put_hello2(&hello);
    else
        put_hello(&hello, offer);
    if (!check_link_write(l, hello.bytes, hello.len))
        return;
    while (len < sizeof answer && (got = check_link_read(l, answer + len, sizeof answer - len)) > 0) {
        len += (size_t)got;
        if (offer->newest == CHECK_SSL2 && len >= 3 && (answer[0] & 0x80) != 0) {
            choice->outcome = answer[2] == 4 ? CHECK_ACCEPTED : CHECK_REFUSED;
            choice->version = versions[CHECK_SSL2].number;
            return;
        }
        if (read_records(answer, len, choice))
            return;
    }
    /* Many servers refuse by closing. */
    if (choice->outcome == CHECK_UNKNOWN && got != XMPP_TINY_IO_AGAIN)
        choice->outcome = CHECK_REFUSED;
}
