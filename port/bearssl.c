/* SPDX-License-Identifier: MIT
 *
 * TLS as a stream over another stream: see bearssl.h.
 *
 * BearSSL's engine does no I/O of its own; push() and pull() carry its records to and from the inner
 * stream, and every operation is a short loop over them. What the application writes gathers in the
 * engine's record buffer and is closed off as one record by the next read() or shut(), or when full.
 *
 * Until secure() is called, bytes pass straight through; none is kept here, so none that arrived in the
 * clear can show up inside TLS.
 *
 * Seven fields of BearSSL's visible engine struct are used that have no function, or where its function would
 * copy: session, saved_finished, shutdown_recv, record_type_out, log_max_frag_len, ibuf_len and obuf_len
 * (BearSSL 0.6).
 */
#include "port/bearssl.h"

#include <string.h>

enum { STATE_CLOSED, STATE_OPENING, STATE_PLAIN, STATE_HANDSHAKE, STATE_SECURE, STATE_SHUT, STATE_FAILED };

/* Inner reads in one call, so that a peer that floods us cannot keep a call from returning. A
 * handshake takes some 30. */
#define READS_MAX 256

#define TIME_MAX 0x7FFFFFFFFF /* seconds since 1970; no certificate lives that long */

#define OVERHEAD (XMPP_TINY_BEARSSL_IN_MIN - 512) /* of a record: 5 header, 8 nonce, 16 tag */

#define RECORD_ALERT 21 /* record type [RFC5246 6.2.1] */

/* ---- Errors ------------------------------------------------------------------------------------
 * What a failure's detail is, by XMPP_TINY_ENABLE_NAMES: 0 nothing; 1 what one cannot know without it,
 * which is BearSSL's number and the remedy for large records; 2 sentences. */

#define TOO_LARGE \
    "a record exceeds the buffer: the server ignores the length asked for; make `in` of struct " \
    "xmpp_tiny_bearssl_config " TEXT_OF(XMPP_TINY_BEARSSL_IN_MAX) " bytes, which holds any record"
#define TEXT_OF(x)  TEXT_OF_(x)
#define TEXT_OF_(x) #x

#if XMPP_TINY_ENABLE_NAMES > 1
#define SENTENCE(text) text

static const char *const error_texts[] = {
    [BR_ERR_BAD_PARAM] = "the server's certificate chain is empty, or a parameter is wrong",
    [BR_ERR_BAD_STATE] = "wrong state",
    [BR_ERR_UNSUPPORTED_VERSION] = "the server does not speak TLS 1.2",
    [BR_ERR_BAD_VERSION] = "a record has another TLS version",
    [BR_ERR_BAD_LENGTH] = "a record has a wrong length",
    [BR_ERR_TOO_LARGE] = TOO_LARGE,
    [BR_ERR_BAD_MAC] = "a record does not decrypt",
    [BR_ERR_NO_RANDOM] = "no random numbers",
    [BR_ERR_UNKNOWN_TYPE] = "a record has an unknown type",
    [BR_ERR_UNEXPECTED] = "an unexpected message",
    [BR_ERR_BAD_CCS] = "bad ChangeCipherSpec",
    [BR_ERR_BAD_ALERT] = "bad alert",
    [BR_ERR_BAD_HANDSHAKE] = "bad handshake message",
    [BR_ERR_OVERSIZED_ID] = "bad session id",
    [BR_ERR_BAD_CIPHER_SUITE] = "the server chose a cipher suite that was not offered",
    [BR_ERR_BAD_COMPRESSION] = "the server chose compression",
    [BR_ERR_BAD_FRAGLEN] = "the server chose another fragment length",
    [BR_ERR_BAD_SECRENEG] = "bad renegotiation info",
    [BR_ERR_EXTRA_EXTENSION] = "an extension that was not offered",
    [BR_ERR_BAD_SNI] = "bad server name extension",
    [BR_ERR_BAD_HELLO_DONE] = "bad ServerHelloDone",
    [BR_ERR_LIMIT_EXCEEDED] = "a key or signature is too large",
    [BR_ERR_BAD_FINISHED] = "the server's Finished is wrong",
    [BR_ERR_RESUME_MISMATCH] = "bad session resumption",
    [BR_ERR_INVALID_ALGORITHM] = "an algorithm or curve that was not offered",
    [BR_ERR_BAD_SIGNATURE] = "the server's key exchange signature is wrong",
    [BR_ERR_WRONG_KEY_USAGE] = "the certificate's key does not fit the cipher suite",
    [BR_ERR_NO_CLIENT_AUTH] = "no client certificate",
    [BR_ERR_X509_INVALID_VALUE] = "certificate: invalid value",
    [BR_ERR_X509_TRUNCATED] = "certificate: truncated",
    [BR_ERR_X509_EMPTY_CHAIN] = "certificate: empty chain",
    [BR_ERR_X509_INNER_TRUNC] = "certificate: an element is truncated",
    [BR_ERR_X509_BAD_TAG_CLASS] = "certificate: bad tag class",
    [BR_ERR_X509_BAD_TAG_VALUE] = "certificate: bad tag value",
    [BR_ERR_X509_INDEFINITE_LENGTH] = "certificate: indefinite length",
    [BR_ERR_X509_EXTRA_ELEMENT] = "certificate: extra element",
    [BR_ERR_X509_UNEXPECTED] = "certificate: unexpected element",
    [BR_ERR_X509_NOT_CONSTRUCTED] = "certificate: not constructed",
    [BR_ERR_X509_NOT_PRIMITIVE] = "certificate: not primitive",
    [BR_ERR_X509_PARTIAL_BYTE] = "certificate: partial byte",
    [BR_ERR_X509_BAD_BOOLEAN] = "certificate: bad boolean",
    [BR_ERR_X509_OVERFLOW] = "certificate: a number is too large",
    [BR_ERR_X509_BAD_DN] = "certificate: bad name",
    [BR_ERR_X509_BAD_TIME] = "certificate: bad time",
    [BR_ERR_X509_UNSUPPORTED] = "certificate: unsupported key or signature algorithm",
    [BR_ERR_X509_LIMIT_EXCEEDED] = "certificate: key or signature is too large",
    [BR_ERR_X509_WRONG_KEY_TYPE] = "certificate: wrong key type",
    [BR_ERR_X509_BAD_SIGNATURE] = "certificate: bad signature",
    [BR_ERR_X509_TIME_UNKNOWN] = "certificate: the time is unknown",
    [BR_ERR_X509_EXPIRED] = "certificate: expired or not yet valid",
    [BR_ERR_X509_DN_MISMATCH] = "certificate: the chain is not in order",
    [BR_ERR_X509_BAD_SERVER_NAME] = "certificate: not for this name",
    [BR_ERR_X509_CRITICAL_EXTENSION] = "certificate: unknown critical extension",
    [BR_ERR_X509_NOT_CA] = "certificate: the issuer is no certificate authority",
    [BR_ERR_X509_FORBIDDEN_KEY_USAGE] = "certificate: its key must not be used for this",
    [BR_ERR_X509_WEAK_PUBLIC_KEY] = "certificate: the key is too short",
    [BR_ERR_X509_NOT_TRUSTED] = "certificate: no trust anchor vouches for it",
    [XMPP_TINY_BEARSSL_ERR_CONSTRAINED_] = "certificate: name constraints are not supported",
    [XMPP_TINY_BEARSSL_ERR_PIN_] = "certificate: its key is none of those that are pinned",
};

static const char *alert_text(int alert)
{
    switch (alert) {
    case 10:
        return "alert from the server: unexpected_message";
    case 20:
        return "alert from the server: bad_record_mac";
    case 22:
        return "alert from the server: record_overflow";
    case 40:
        return "alert from the server: handshake_failure";
    case 42:
        return "alert from the server: bad_certificate";
    case 43:
        return "alert from the server: unsupported_certificate";
    case 44:
        return "alert from the server: certificate_revoked";
    case 45:
        return "alert from the server: certificate_expired";
    case 46:
        return "alert from the server: certificate_unknown";
    case 47:
        return "alert from the server: illegal_parameter";
    case 48:
        return "alert from the server: unknown_ca";
    case 49:
        return "alert from the server: access_denied";
    case 50:
        return "alert from the server: decode_error";
    case 51:
        return "alert from the server: decrypt_error";
    case 70:
        return "alert from the server: protocol_version";
    case 71:
        return "alert from the server: insufficient_security";
    case 80:
        return "alert from the server: internal_error";
    case 86:
        return "alert from the server: inappropriate_fallback";
    case 90:
        return "alert from the server: user_canceled";
    case 100:
        return "alert from the server: no_renegotiation";
    case 109:
        return "alert from the server: missing_extension";
    case 110:
        return "alert from the server: unsupported_extension";
    case 112:
        return "alert from the server: unrecognized_name";
    case 116:
        return "alert from the server: certificate_required";
    case 120:
        return "alert from the server: no_application_protocol";
    default:
        return "alert from the server";
    }
}

static const char *error_text(struct xmpp_tiny_bearssl *t, int error)
{
    (void)t;
    if (error >= BR_ERR_SEND_FATAL_ALERT) {
        return "fatal alert sent";
    }
    if (error >= BR_ERR_RECV_FATAL_ALERT) {
        return alert_text(error - BR_ERR_RECV_FATAL_ALERT);
    }
    return (size_t)error < sizeof error_texts / sizeof error_texts[0] ? error_texts[error] : NULL;
}
#elif XMPP_TINY_ENABLE_NAMES > 0
#define SENTENCE(text) NULL

static const char *error_text(struct xmpp_tiny_bearssl *t, int error)
{
    static const char words[] = "BearSSL error ";
    char *at = t->number + sizeof words - 1;

    if (error == BR_ERR_TOO_LARGE) {
        return TOO_LARGE;
    }
    memcpy(t->number, words, sizeof words - 1);
    at[0] = (char)('0' + error / 100 % 10);
    at[1] = (char)('0' + error / 10 % 10);
    at[2] = (char)('0' + error % 10);
    at[3] = '\0';
    return t->number;
}
#else
#define SENTENCE(text) NULL

static const char *error_text(struct xmpp_tiny_bearssl *t, int error)
{
    (void)t;
    (void)error;
    return NULL;
}
#endif

static bool of_certificate(int error)
{
    return error > BR_ERR_X509_OK && error <= XMPP_TINY_BEARSSL_ERR_PIN_;
}

static int error_code(int error)
{
    switch (error) {
    case BR_ERR_TOO_LARGE:
        return XMPP_TINY_ERR_TLS_RECORD;
    case BR_ERR_NO_RANDOM:
        return XMPP_TINY_ERR_RANDOM;
    case BR_ERR_X509_NOT_TRUSTED:
        return XMPP_TINY_ERR_CERT_UNTRUSTED;
    case BR_ERR_X509_BAD_SERVER_NAME:
        return XMPP_TINY_ERR_CERT_NAME;
    case BR_ERR_X509_EXPIRED:
        return XMPP_TINY_ERR_CERT_TIME;
    case BR_ERR_X509_TIME_UNKNOWN:
        return XMPP_TINY_ERR_CLOCK;
    case XMPP_TINY_BEARSSL_ERR_PIN_:
        return XMPP_TINY_ERR_PIN;
    default:
        return of_certificate(error) ? XMPP_TINY_ERR_CERT : XMPP_TINY_ERR_TLS;
    }
}

static int fail(struct xmpp_tiny_bearssl *t, int error, const char *detail)
{
    if (t->state != STATE_FAILED) {
        t->error = error;
        t->detail = detail;
    }
    t->state = STATE_FAILED;
    return XMPP_TINY_IO_FAILED;
}

/* Out of order; or after a failure, whose cause is kept. A closed stream can still be opened. */
static int not_open(struct xmpp_tiny_bearssl *t)
{
    bool closed = t->state == STATE_CLOSED;

    (void)fail(t, XMPP_TINY_ERR_BUG, SENTENCE("the connection is not open"));
    t->state = closed ? STATE_CLOSED : STATE_FAILED;
    return XMPP_TINY_IO_FAILED;
}

static int fail_inner(struct xmpp_tiny_bearssl *t)
{
    const char *detail = NULL;
    int error = t->config->inner->ops->error(t->config->inner, &detail);

    return fail(t, error, detail);
}

/* Hands on a result of the inner stream. */
static int from_inner(struct xmpp_tiny_bearssl *t, int result)
{
    return result >= 0 || result == XMPP_TINY_IO_AGAIN ? result : fail_inner(t);
}

/* Tells the server why its certificate was refused; at that point of the handshake nothing is
 * encrypted yet. One try has to do, since the connection is about to be closed in any case; shut() is
 * there to push out what write() may hold back. */
static void alert_certificate(struct xmpp_tiny_bearssl *t, int error)
{
    uint8_t alert[] = {RECORD_ALERT, 3, 3, 0, 2, 2, 42};

    switch (error) {
    case BR_ERR_X509_NOT_TRUSTED:
        alert[6] = 48;
        break;
    case BR_ERR_X509_EXPIRED:
        alert[6] = 45;
        break;
    case BR_ERR_X509_BAD_SERVER_NAME:
        alert[6] = 46;
        break;
    default:
        break;
    }
    (void)t->config->inner->ops->write(t->config->inner, alert, sizeof alert);
    (void)t->config->inner->ops->shut(t->config->inner);
}

/* The engine has closed: 0 after close_notify in both directions, else FAILED. */
static int engine_end(struct xmpp_tiny_bearssl *t)
{
    int error = br_ssl_engine_last_error(&t->client.eng);

    if (error == BR_ERR_OK) {
        return 0;
    }
    if (of_certificate(error)) {
        alert_certificate(t, error);
    }
    return fail(t, error_code(error), error_text(t, error));
}

static bool engine_closed(const struct xmpp_tiny_bearssl *t)
{
    return br_ssl_engine_current_state(&t->client.eng) == BR_SSL_CLOSED;
}

/* ---- Records ----------------------------------------------------------------------------------- */

/* Hands finished records to the inner stream. Returns > 0 when there is none left, AGAIN, FAILED. All
 * that may be left after the server's close_notify is our own: if it cannot be sent, nobody misses it. */
static int push(struct xmpp_tiny_bearssl *t)
{
    struct xmpp_tiny_stream *inner = t->config->inner;

    for (;;) {
        size_t len;
        const unsigned char *record = br_ssl_engine_sendrec_buf(&t->client.eng, &len);
        int n;
        if (record == NULL) {
            return 1;
        }
        n = inner->ops->write(inner, record, len);
        if (n == XMPP_TINY_IO_AGAIN) {
            return n;
        }
        if (n == 0 || (n > 0 && (size_t)n > len)) {
            return fail(t, XMPP_TINY_ERR_BUG,
                        SENTENCE("the inner stream's write() returned an impossible count"));
        }
        if (n < 0) {
            return t->client.eng.shutdown_recv ? 1 : fail_inner(t);
        }
        br_ssl_engine_sendrec_ack(&t->client.eng, (size_t)n);
    }
}

/* Takes some bytes from the inner stream. Returns > 0 when there were some, AGAIN, FAILED. */
static int pull(struct xmpp_tiny_bearssl *t)
{
    struct xmpp_tiny_stream *inner = t->config->inner;
    size_t len;
    unsigned char *room = br_ssl_engine_recvrec_buf(&t->client.eng, &len);
    int n;

    if (room == NULL) {
        return XMPP_TINY_IO_AGAIN;
    }
    n = inner->ops->read(inner, room, len);
    if (n == XMPP_TINY_IO_AGAIN) {
        return n;
    }
    if (n == 0) {
        return fail(t, XMPP_TINY_ERR_TRUNCATED,
                    t->state == STATE_HANDSHAKE
                        ? SENTENCE("the server ended the connection during the handshake")
                        : SENTENCE("the connection ended without close_notify"));
    }
    if (n > 0 && (size_t)n > len) {
        return fail(t, XMPP_TINY_ERR_BUG, SENTENCE("the inner stream's read() returned an impossible count"));
    }
    if (n < 0) {
        return fail_inner(t);
    }
    br_ssl_engine_recvrec_ack(&t->client.eng, (size_t)n);
    return n;
}

/* ---- Sessions ----------------------------------------------------------------------------------
 * What is saved is, in this order, a seal, the dates of the server's certificate, and BearSSL's session
 * parameters. The seal is a digest of them, of what the application remembers, and of all that the server was
 * checked by; where it does not fit, there is nothing to go on with. It is not there to stop whoever can
 * write to the saved data: they have the secret as well.
 *
 * What is loaded waits where a handshake would put it, in contexts that are all zero between connections. */

#define SEAL_SIZE    4
#define DATES_SIZE   ((size_t)16)
#define SESSION_SIZE (SEAL_SIZE + DATES_SIZE + sizeof(br_ssl_session_parameters))

static void add(br_sha256_context *sha, const void *data, size_t len)
{
    br_sha256_update(sha, &len, sizeof len);
    br_sha256_update(sha, data, len);
}

static void seal(const struct xmpp_tiny_bearssl *t, const char *name, uint8_t *digest)
{
    const struct xmpp_tiny_bearssl_config *config = t->config;
    const br_ssl_engine_context *engine = &t->client.eng;
    br_sha256_context sha;
    size_t i;

    br_sha256_init(&sha);
    add(&sha, name, strlen(name));
    add(&sha, &engine->session, sizeof engine->session);
    add(&sha, engine->suites_buf, engine->suites_num * sizeof engine->suites_buf[0]);
    add(&sha, &engine->log_max_frag_len, 1);
    add(&sha, &t->leaf.not_before, sizeof t->leaf.not_before);
    add(&sha, &t->leaf.not_after, sizeof t->leaf.not_after);
    add(&sha, t->leaf.spki, sizeof t->leaf.spki);
    add(&sha, t->leaf.hash[0].digest, 32);
    add(&sha, config->pins, config->pin_count * 32);
    if (config->identity != NULL && config->identity->chain_count > 0) {
        add(&sha, config->identity->chain[0].data, config->identity->chain[0].data_len);
    }
    for (i = 0; i < config->anchor_count; i++) {
        const br_x509_trust_anchor *anchor = &config->anchors[i];
        add(&sha, anchor->dn.data, anchor->dn.len);
        add(&sha, &anchor->flags, sizeof anchor->flags);
        if (anchor->pkey.key_type == BR_KEYTYPE_EC) {
            add(&sha, anchor->pkey.key.ec.q, anchor->pkey.key.ec.qlen);
        } else {
            add(&sha, anchor->pkey.key.rsa.n, anchor->pkey.key.rsa.nlen);
            add(&sha, anchor->pkey.key.rsa.e, anchor->pkey.key.rsa.elen);
        }
    }
    br_sha256_out(&sha, digest);
    xmpp_tiny_bearssl_wipe_(&sha, sizeof sha);
}

/* What was loaded does not count any more: a full handshake. */
static void forget(struct xmpp_tiny_bearssl *t)
{
    xmpp_tiny_bearssl_wipe_(&t->client.eng.session, sizeof t->client.eng.session);
}

static bool sealed(const struct xmpp_tiny_bearssl *t, const char *name)
{
    uint8_t digest[32];

    if (t->client.eng.session.session_id_len == 0 ||
        t->client.eng.session.session_id_len > sizeof t->client.eng.session.session_id) {
        return false;
    }
    seal(t, name, digest);
    return memcmp(digest, t->leaf.text, SEAL_SIZE) == 0;
}

/* No certificate came in this handshake. */
static bool resumed(const struct xmpp_tiny_bearssl *t)
{
    return t->leaf.certificates == 0;
}

/* ---- Handshake --------------------------------------------------------------------------------- */

/* BearSSL leaves on the stack what it computed with, the keys of records among it. This overwrites it, though
 * not to the bottom of what a handshake takes: it must not take more. */
XMPP_TINY_BEARSSL_APART_ static void scrub(void)
{
    unsigned char waste[384 * (4 + sizeof(void *))];

    xmpp_tiny_bearssl_wipe_(waste, sizeof waste);
}

/* NULL for what must not be used. */
static const char *suite_name(uint16_t suite)
{
    switch (suite) {
    case BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
        return "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    case BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
        return "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";
    case BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
        return "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    case BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:
        return "ECDHE_RSA_WITH_AES_128_GCM_SHA256";
#if XMPP_TINY_BEARSSL_ENABLE_SHA384
    case BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
        return "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    case BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
        return "ECDHE_RSA_WITH_AES_256_GCM_SHA384";
#endif
    default:
        return NULL;
    }
}

static bool weak_hash(const br_multihash_context *hashes)
{
    return br_multihash_getimpl(hashes, br_md5_ID) != NULL ||
           br_multihash_getimpl(hashes, br_sha1_ID) != NULL;
}

/* Whether the profile, which can be replaced, keeps to what is never given up. */
static bool within_policy(const struct xmpp_tiny_bearssl *t)
{
    const br_ssl_engine_context *engine = &t->client.eng;
    const br_x509_minimal_context *x509 = &t->leaf.minimal;
    size_t i;

    for (i = 0; i < engine->suites_num; i++) {
        if (suite_name(engine->suites_buf[i]) == NULL) {
            return false;
        }
    }
    return engine->version_min == BR_TLS12 && engine->version_max == BR_TLS12 && !weak_hash(&engine->mhash) &&
           !weak_hash(&x509->mhash) && (x509->irsa == NULL || x509->min_rsa_size >= 2048 / 8 - 128);
}

/* Sets the time that certificates are checked against, also that of a session that was loaded; false if there
 * is none, though they are. */
static bool set_time(struct xmpp_tiny_bearssl *t)
{
    const struct xmpp_tiny_platform *platform = t->config->platform;
    int64_t now = platform->unix_time == NULL ? 0 : platform->unix_time(platform->ctx);
    uint32_t days;

    if (t->config->anchor_count == 0 && !t->config->first_use) {
        return true;
    }
    if (now < t->config->time_floor) {
        now = t->config->time_floor;
    }
    if (now <= 0 || now > TIME_MAX) {
        return false;
    }
    if (now < t->leaf.not_before || now > t->leaf.not_after) {
        forget(t);
    }
    /* BearSSL counts days from 1 January of the year 0; 719,528 of them lie before 1970. A day is 675
     * times 128 seconds: no 64-bit division gets linked. */
    days = (uint32_t)(now >> 7) / 675;
    br_x509_minimal_set_time(&t->leaf.minimal, days + 719528U, (uint32_t)now - days * 86400U);
    return true;
}

/* BearSSL demands room for the overhead of its CBC suites and asks servers for fragments that fit the
 * smaller of both buffers. There is no CBC here, and only the input matters for what a server may send;
 * so BearSSL is told of buffers larger by the difference in overhead, and then what is the case. What
 * we send stays within max_frag_len, for which there is room in both. */
static void set_buffers(struct xmpp_tiny_bearssl *t)
{
    const struct xmpp_tiny_bearssl_config *config = t->config;
    br_ssl_engine_context *engine = &t->client.eng;
    size_t in = config->in_size, out = config->out == NULL ? in : config->out_size;
    unsigned char log = 14;

    br_ssl_engine_set_buffers_bidi(engine, config->in, in + 325 - OVERHEAD, config->out, out + 85 - OVERHEAD);
    engine->ibuf_len = in;
    engine->obuf_len = out;
    if (in < XMPP_TINY_BEARSSL_IN_MAX) {
        log = 12;
        while (log > 9 && in < ((size_t)1 << log) + OVERHEAD) {
            log--;
        }
    }
    engine->log_max_frag_len = log;
}

/* No host has a name with an empty label, the last included. */
static bool copy_name(char *text, size_t size, struct xmpp_tiny_str name)
{
    char before = '.';
    size_t i;

    if (name.len >= size) {
        return false;
    }
    for (i = 0; i < name.len; i++) {
        if (name.ptr[i] == '\0' || (name.ptr[i] == '.' && before == '.')) {
            return false;
        }
        before = name.ptr[i];
        text[i] = before;
    }
    text[i] = '\0';
    return before != '.';
}

static int handshake_begin(struct xmpp_tiny_bearssl *t, struct xmpp_tiny_str name)
{
    const struct xmpp_tiny_bearssl_config *config = t->config;
    br_ssl_engine_context *engine = &t->client.eng;
    char text[256];
    unsigned char seed[32];

    if (!copy_name(text, sizeof text, name)) {
        return fail(t, XMPP_TINY_ERR_CERT_NAME,
                    SENTENCE("the name to verify is empty, too long or malformed"));
    }

    xmpp_tiny_bearssl_leaf_init_(&t->leaf, config);
    xmpp_tiny_bearssl_profile(&t->client, &t->leaf.minimal);
    if (!within_policy(t)) {
        return fail(
            t, XMPP_TINY_ERR_BUG,
            SENTENCE("xmpp_tiny_bearssl_profile() allows more than TLS 1.2, ECDHE with AEAD, SHA-2 and "
                     "RSA keys from 2,048 bits on"));
    }
    if (!set_time(t)) {
        return fail(t, XMPP_TINY_ERR_CLOCK,
                    SENTENCE("the platform knows no time and no floor is configured"));
    }
    if (!config->platform->random(config->platform->ctx, seed, sizeof seed)) {
        return fail(t, XMPP_TINY_ERR_RANDOM, NULL);
    }
    br_ssl_engine_set_x509(engine, &t->leaf.vtable);
    br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION | BR_OPT_FAIL_ON_ALPN_MISMATCH);
    if (!t->spoke) {
        /* Direct TLS: this tells a server behind a shared port what follows. [XEP-0368] */
        t->alpn[0] = "xmpp-client";
        br_ssl_engine_set_protocol_names(engine, t->alpn, 1);
    }
    if (config->identity != NULL) {
        config->identity->use(&t->client, config->identity);
    }
    set_buffers(t);
    br_ssl_engine_inject_entropy(engine, seed, sizeof seed);
    xmpp_tiny_bearssl_wipe_(seed, sizeof seed);
    if (!sealed(t, text)) {
        forget(t);
    }
    t->state = STATE_HANDSHAKE;
    if (!br_ssl_client_reset(&t->client, text, 1)) {
        return engine_end(t);
    }
    return 1;
}

/* The cast is safe: the stream is the first member, so it is aligned as the whole is. */
static struct xmpp_tiny_bearssl *self(struct xmpp_tiny_stream *s)
{
    return (struct xmpp_tiny_bearssl *)(void *)s;
}

static int op_secure(struct xmpp_tiny_stream *s, struct xmpp_tiny_str name)
{
    struct xmpp_tiny_bearssl *t = self(s);
    int reads, n;

    if (t->state == STATE_PLAIN && handshake_begin(t, name) < 0) {
        return XMPP_TINY_IO_FAILED;
    }
    if (t->state != STATE_HANDSHAKE) {
        return not_open(t);
    }
    for (reads = 0; reads < READS_MAX; reads++) {
        if (push(t) == XMPP_TINY_IO_FAILED) {
            return XMPP_TINY_IO_FAILED;
        }
        if (engine_closed(t)) {
            if (engine_end(t) == 0) {
                (void)fail(t, XMPP_TINY_ERR_TLS, SENTENCE("the server closed TLS during the handshake"));
            }
            return XMPP_TINY_IO_FAILED;
        }
        if ((br_ssl_engine_current_state(&t->client.eng) & (BR_SSL_SENDAPP | BR_SSL_RECVAPP)) != 0) {
            t->state = STATE_SECURE;
            scrub();
            return 1;
        }
        n = pull(t);
        if (n < 0) {
            return n;
        }
    }
    return XMPP_TINY_IO_AGAIN;
}

/* ---- Stream ------------------------------------------------------------------------------------ */

static int op_open(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port)
{
    struct xmpp_tiny_bearssl *t = self(s);
    int n;

    if (t->state != STATE_CLOSED && t->state != STATE_OPENING) {
        return fail(t, XMPP_TINY_ERR_BUG, SENTENCE("open() on a connection that is open"));
    }
    t->state = STATE_OPENING;
    t->spoke = false;
    n = from_inner(t, t->config->inner->ops->open(t->config->inner, host, port));
    if (n > 0) {
        t->state = STATE_PLAIN;
    }
    return n;
}

static int secure_read(struct xmpp_tiny_bearssl *t, void *buf, size_t len)
{
    br_ssl_engine_context *engine = &t->client.eng;
    int reads, n;

    br_ssl_engine_flush(engine, 0);
    for (reads = 0; reads < READS_MAX; reads++) {
        size_t ready;
        const unsigned char *data;
        if (push(t) == XMPP_TINY_IO_FAILED) {
            return XMPP_TINY_IO_FAILED;
        }
        data = br_ssl_engine_recvapp_buf(engine, &ready);
        if (data != NULL) {
            ready = ready < len ? ready : len;
            memcpy(buf, data, ready);
            br_ssl_engine_recvapp_ack(engine, ready);
            return (int)ready;
        }
        if (engine_closed(t)) {
            return engine_end(t);
        }
        if (engine->shutdown_recv) { /* close_notify has come; shut() sees to ours */
            return 0;
        }
        n = pull(t);
        if (n < 0) {
            return n;
        }
    }
    return XMPP_TINY_IO_AGAIN;
}

static int op_read(struct xmpp_tiny_stream *s, void *buf, size_t len)
{
    struct xmpp_tiny_bearssl *t = self(s);

    switch (t->state) {
    case STATE_PLAIN:
        return from_inner(t, t->config->inner->ops->read(t->config->inner, buf, len));
    case STATE_SECURE:
    case STATE_SHUT:
        return secure_read(t, buf, len);
    default:
        return not_open(t);
    }
}

static int secure_write(struct xmpp_tiny_bearssl *t, const void *buf, size_t len)
{
    br_ssl_engine_context *engine = &t->client.eng;
    const unsigned char *data = buf;
    size_t taken = 0;

    for (;;) {
        size_t room;
        unsigned char *record;
        if (push(t) == XMPP_TINY_IO_FAILED) {
            return XMPP_TINY_IO_FAILED;
        }
        if (engine_closed(t) || engine->shutdown_recv) {
            return fail(t, XMPP_TINY_ERR_ENDED, SENTENCE("the server has closed TLS"));
        }
        record = br_ssl_engine_sendapp_buf(engine, &room);
        if (record == NULL) {
            return taken > 0 ? (int)taken : XMPP_TINY_IO_AGAIN;
        }
        room = room < len - taken ? room : len - taken;
        memcpy(record, data + taken, room);
        br_ssl_engine_sendapp_ack(engine, room);
        taken += room;
        if (taken == len) {
            return (int)taken;
        }
    }
}

static int op_write(struct xmpp_tiny_stream *s, const void *buf, size_t len)
{
    struct xmpp_tiny_bearssl *t = self(s);

    switch (t->state) {
    case STATE_PLAIN:
        t->spoke = true;
        return from_inner(t, t->config->inner->ops->write(t->config->inner, buf, len));
    case STATE_SECURE:
        return secure_write(t, buf, len < 0x7FFF ? len : 0x7FFF);
    default:
        return not_open(t);
    }
}

/* Brings close_notify out. Received data is dropped; with one buffer for both directions, the record
 * that is arriving has to come in first. Returns > 0 done, AGAIN, FAILED. */
static int close_notify(struct xmpp_tiny_bearssl *t)
{
    br_ssl_engine_context *engine = &t->client.eng;
    int reads, n;

    for (reads = 0; reads < READS_MAX; reads++) {
        size_t len;
        if (br_ssl_engine_recvapp_buf(engine, &len) != NULL) {
            br_ssl_engine_recvapp_ack(engine, len);
        }
        if (!engine_closed(t) && engine->record_type_out != RECORD_ALERT) {
            br_ssl_engine_close(engine);
        }
        n = push(t);
        if (n < 0) {
            return n;
        }
        if (engine_closed(t)) {
            return engine_end(t) < 0 ? XMPP_TINY_IO_FAILED : 1;
        }
        if (engine->record_type_out == RECORD_ALERT || engine->shutdown_recv) {
            return 1;
        }
        n = pull(t);
        if (n < 0) {
            return n;
        }
    }
    return XMPP_TINY_IO_AGAIN;
}

static int op_shut(struct xmpp_tiny_stream *s)
{
    struct xmpp_tiny_bearssl *t = self(s);
    int n;

    switch (t->state) {
    case STATE_PLAIN:
        break;
    case STATE_HANDSHAKE:
    case STATE_SECURE:
    case STATE_SHUT:
        t->state = STATE_SHUT;
        n = close_notify(t);
        if (n < 0) {
            return n;
        }
        break;
    default:
        return not_open(t);
    }
    n = t->config->inner->ops->shut(t->config->inner);
    if (n < 0 && n != XMPP_TINY_IO_AGAIN && t->client.eng.shutdown_recv) {
        return 1; /* the server left first, and in order */
    }
    return from_inner(t, n);
}

/* The error survives until the next open(), so that it can still be asked for. */
static void op_close(struct xmpp_tiny_stream *s)
{
    struct xmpp_tiny_bearssl *t = self(s);

    xmpp_tiny_bearssl_wipe_(&t->client, sizeof t->client);
    xmpp_tiny_bearssl_wipe_(&t->leaf, sizeof t->leaf);
    xmpp_tiny_bearssl_wipe_(t->config->in, t->config->in_size);
    xmpp_tiny_bearssl_wipe_(t->config->out, t->config->out_size);
    t->state = STATE_CLOSED;
    t->config->inner->ops->close(t->config->inner);
    scrub();
}

static int op_binding(struct xmpp_tiny_stream *s, enum xmpp_tiny_binding type, uint8_t *out)
{
    const struct xmpp_tiny_bearssl *t = self(s);

    if (t->state != STATE_SECURE) {
        return XMPP_TINY_IO_FAILED;
    }
    /* The client's Finished comes first in a full handshake. In another it would not be unique. [RFC7627 1]
     */
    if (type == XMPP_TINY_BINDING_TLS_UNIQUE && !resumed(t)) {
        memcpy(out, t->client.eng.saved_finished, 12);
        return 12;
    }
    if (type == XMPP_TINY_BINDING_TLS_SERVER_END_POINT) {
        return xmpp_tiny_bearssl_leaf_binding_(&t->leaf, out);
    }
    return XMPP_TINY_IO_FAILED;
}

static const char *curve_name(int curve)
{
    switch (curve) {
    case BR_EC_secp256r1:
        return "secp256r1";
    case BR_EC_secp384r1:
        return "secp384r1";
    case BR_EC_curve25519:
        return "x25519";
    default:
        return "";
    }
}

static void op_security(struct xmpp_tiny_stream *s, struct xmpp_tiny_security *security)
{
    struct xmpp_tiny_bearssl *t = self(s);

    if (t->state != STATE_SECURE) {
        return;
    }
    security->version = "TLS 1.2";
    security->suite = suite_name(t->client.eng.session.cipher_suite);
    security->key_exchange = curve_name(br_ssl_engine_get_ecdhe_curve(&t->client.eng));
    security->resumed = resumed(t);
    xmpp_tiny_bearssl_leaf_security_(&t->leaf, security);
}

static size_t op_save(struct xmpp_tiny_stream *s, uint8_t *data, size_t size)
{
    struct xmpp_tiny_bearssl *t = self(s);
    uint8_t digest[32];

    if (t->state != STATE_SECURE || t->client.eng.session.session_id_len == 0 ||
        t->leaf.algorithm != br_sha256_ID || size < SESSION_SIZE) {
        return 0;
    }
    seal(t, br_ssl_engine_get_server_name(&t->client.eng), digest);
    memcpy(data, digest, SEAL_SIZE);
    data += SEAL_SIZE;
    memcpy(data, &t->leaf.not_before, DATES_SIZE / 2);
    memcpy(data + DATES_SIZE / 2, &t->leaf.not_after, DATES_SIZE / 2);
    memcpy(data + DATES_SIZE, &t->client.eng.session, sizeof t->client.eng.session);
    scrub();
    return SESSION_SIZE;
}

static void op_load(struct xmpp_tiny_stream *s, const uint8_t *data, size_t len, const uint8_t *spki,
                    const uint8_t *certificate)
{
    struct xmpp_tiny_bearssl *t = self(s);

    if (t->state != STATE_CLOSED) {
        return;
    }
    forget(t);
    if (len != SESSION_SIZE) {
        return;
    }
    memcpy(t->leaf.text, data, SEAL_SIZE);
    data += SEAL_SIZE;
    memcpy(&t->leaf.not_before, data, DATES_SIZE / 2);
    memcpy(&t->leaf.not_after, data + DATES_SIZE / 2, DATES_SIZE / 2);
    memcpy(&t->client.eng.session, data + DATES_SIZE, sizeof t->client.eng.session);
    memcpy(t->leaf.spki, spki, sizeof t->leaf.spki);
    memcpy(t->leaf.hash[0].digest, certificate, 32);
    t->leaf.algorithm = br_sha256_ID;
    t->leaf.hash_len = 32;
}

static int op_error(struct xmpp_tiny_stream *s, const char **detail)
{
    const struct xmpp_tiny_bearssl *t = self(s);

    *detail = t->detail;
    return t->error;
}

static const struct xmpp_tiny_stream_ops ops = {
    .open = op_open,
    .secure = op_secure,
    .read = op_read,
    .write = op_write,
    .shut = op_shut,
    .close = op_close,
    .binding = op_binding,
    .security = op_security,
    .save = op_save,
    .load = op_load,
    .error = op_error,
};

int xmpp_tiny_bearssl_init(struct xmpp_tiny_bearssl *t, const struct xmpp_tiny_bearssl_config *config)
{
    if (config->inner == NULL || config->platform == NULL || config->platform->random == NULL ||
        (config->anchors == NULL && config->anchor_count > 0) ||
        (config->pins == NULL && config->pin_count > 0) ||
        config->first_use != (config->anchor_count == 0 && config->pin_count == 0) || config->in == NULL ||
        config->in_size < XMPP_TINY_BEARSSL_IN_MIN ||
        (config->out == NULL ? config->out_size != 0 : config->out_size < XMPP_TINY_BEARSSL_OUT_MIN)) {
        return XMPP_TINY_ERR_CONFIG;
    }
    memset(t, 0, sizeof *t);
    t->stream.ops = &ops;
    t->config = config;
    t->state = STATE_CLOSED;
    return 0;
}
