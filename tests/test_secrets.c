/* SPDX-License-Identifier: MIT
 *
 * Secrets in memory: what a client has held of passwords, keys derived from them and TLS keys is gone when it
 * has no more use for it. Whole sessions over TLS with BearSSL's server in memory; the client runs in a
 * thread of its own, and while that waits, all it can write to is searched: the context, the buffers, the TLS
 * stream and the whole stack. What is looked for comes from the server's side and from spies between the
 * client and its ports; each must have been seen where it has to be, or the search would prove nothing.
 */
#define _GNU_SOURCE /* memmem() */

#include "port_peer.c"

#include "check.h"
#include "port_pki.h"

#include <pthread.h>
#include <sched.h>

#define DOMAIN     "a.test"
#define PASSWORD   "correct horse battery staple"
#define RENEWED    "another donkey capacitor paperclip"
#define SALT       "sixteen of salt."
#define ITERATIONS 4096
#define TURNS_MAX  20000 /* of a session; more is a hang */

/* ---- Secrets ----------------------------------------------------------------------------------- */

enum secret_flags {
    OF_TLS = 1, /* needed as long as the connection lives; others are not when it is online */
    UNSEEN = 2, /* made inside a hash function, or not at all: nobody has to have seen it */
};

static struct secret {
    const char *name, *form;
    unsigned flags;
    bool seen;
    uint8_t bytes[96];
    size_t len;
} secrets[160];
static size_t secret_count;

static void add(const char *name, const char *form, unsigned flags, const void *bytes, size_t len)
{
    struct secret *s = &secrets[secret_count];
    for (size_t i = 0; i < secret_count; i++)
        if (secrets[i].len == len && memcmp(secrets[i].bytes, bytes, len) == 0)
            return;
    must(secret_count < sizeof secrets / sizeof secrets[0] && len <= sizeof s->bytes, "too many secrets");
    *s = (struct secret){.name = name, .form = form, .flags = flags, .len = len};
    memcpy(s->bytes, bytes, len);
    secret_count++;
}

static size_t base64(char *out, const void *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = data;
    char *o = out;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t n =
            (uint32_t)in[i] << 16 | (i + 1 < len ? in[i + 1] : 0U) << 8 | (i + 2 < len ? in[i + 2] : 0U);
        for (unsigned k = 0; k < 4; k++)
            *o++ = i + k > len ? '=' : digits[n >> (18 - 6 * k) & 63];
    }
    *o = 0;
    return (size_t)(o - out);
}

static size_t unbase64(uint8_t *out, const char *text, size_t len)
{
    uint32_t bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < len && text[i] != '='; i++) {
        char c = text[i];
        unsigned digit = c == '+'   ? 62U
                         : c == '/' ? 63U
                         : c < 'A'  ? (unsigned)(c - '0') + 52U
                         : c < 'a'  ? (unsigned)(c - 'A')
                                    : (unsigned)(c - 'a') + 26U;
        bits = bits << 6 | digit;
        if (i % 4 != 0)
            out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    return n;
}

static const br_hash_class *const classes[] = {&br_sha1_vtable, &br_sha256_vtable, &br_sha512_vtable};
static const size_t sizes[] = {20, 32, 64};

static void mac(enum xmpp_tiny_hash h, const void *key, size_t key_len, const void *data, size_t len,
                uint8_t *out)
{
    br_hmac_key_context keys;
    br_hmac_context context;
    br_hmac_key_init(&keys, classes[h], key, key_len);
    br_hmac_init(&context, &keys, 0);
    br_hmac_update(&context, data, len);
    (void)br_hmac_out(&context, out);
}

/* A key as HMAC has it: padded, and as the state of the hash after the padded block, which is as good as the
 * key; big-endian as BearSSL's HMAC keeps it, and in words as the hash does. */
static void add_key(const char *name, unsigned flags, enum xmpp_tiny_hash h, const void *key, size_t len)
{
    size_t word = h == XMPP_TINY_SHA512 ? 8 : 4;
    uint8_t bytes[96];
    br_hmac_key_context keys;
    add(name, "as it is", flags, key, len);
    for (unsigned pad = 0x36; pad <= 0x5C; pad += 0x5C - 0x36) {
        for (size_t i = 0; i < len; i++)
            bytes[i] = ((const uint8_t *)key)[i] ^ (uint8_t)pad;
        add(name, "padded for HMAC", flags | UNSEEN, bytes, len);
    }
    br_hmac_key_init(&keys, classes[h], key, len);
    for (unsigned outer = 0; outer < 2; outer++) {
        const unsigned char *state = outer ? keys.kso : keys.ksi;
        add(name, "in HMAC's state", flags | UNSEEN, state, sizes[h]);
        for (size_t i = 0; i < sizes[h]; i++)
            bytes[i] = state[i ^ (word - 1)];
        add(name, "in HMAC's state, words", flags | UNSEEN, bytes, sizes[h]);
    }
}

static void add_text(const char *name, const void *bytes, size_t len)
{
    char text[128];
    add(name, "as it is", 0, bytes, len);
    /* Within a longer text the last digits are others, and the first may be; all that begin at a byte we
     * know. */
    add(name, "base64", 0, text, base64(text, bytes, len / 3 * 3));
}

/* ---- Turns ------------------------------------------------------------------------------------
 * Either the client's thread runs or the server's, which is also the one that searches. Waiting is done so
 * that it leaves next to nothing on the client's stack. */

enum { SERVER, CLIENT };
static int turn;

static void hand_over(int to)
{
    __atomic_store_n(&turn, to, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) == to)
        (void)sched_yield();
}

/* ---- The client -------------------------------------------------------------------------------- */

static uint8_t stack[128 * 1024] __attribute__((aligned(4096)));
static struct xmpp_tiny x;
static struct xmpp_tiny_bearssl tls;
static uint8_t rx[XMPP_TINY_RX_MIN], tx[XMPP_TINY_TX_MIN];
static uint8_t tls_in[XMPP_TINY_BEARSSL_IN_MIN], tls_out[XMPP_TINY_BEARSSL_OUT_MIN];
static struct port_fake fake;
static char traced[65536], events[256];
static size_t traced_len;
static struct xmpp_tiny_config config;
static struct xmpp_tiny_bearssl_config tls_config;
static volatile bool connected;
static const char *renewed; /* the password to change to */
static bool saves, loads;   /* the client is written down when it is online; it starts from that */
static uint8_t blob[2048];
static int blob_len;

static const struct xmpp_tiny_stream_ops *real_ops;

/* What a spy has to tell. */
static volatile struct spy {
    enum { NOTHING, HMAC, HASH, POINT, WRITE } kind;
    enum xmpp_tiny_hash hash;
    const struct xmpp_tiny_str *parts;
    size_t count;
    const uint8_t *key, *point;
    size_t key_len, point_len;
} spy;

static void told(enum xmpp_tiny_hash h, const struct xmpp_tiny_str *parts, size_t count)
{
    spy = (struct spy){.kind = parts ? HMAC : HASH, .hash = h, .parts = parts, .count = count};
    hand_over(SERVER);
    spy.kind = NOTHING;
}

static void spy_hash(enum xmpp_tiny_hash h, const void *data, size_t len, uint8_t *digest)
{
    xmpp_tiny_bearssl_crypto.hash(h, data, len, digest);
    told(h, NULL, 0);
}

static void spy_hmac(enum xmpp_tiny_hash h, const void *key, size_t key_len,
                     const struct xmpp_tiny_str *parts, size_t count, uint8_t *digest)
{
    told(h, parts, count);
    xmpp_tiny_bearssl_crypto.hmac(h, key, key_len, parts, count, digest);
    told(h, parts, count);
}

static void spy_pbkdf2(enum xmpp_tiny_hash h, const void *key, size_t key_len, uint8_t *u, uint8_t *t,
                       uint32_t rounds)
{
    xmpp_tiny_bearssl_crypto.pbkdf2(h, key, key_len, u, t, rounds);
    told(h, NULL, 0);
}

static const struct xmpp_tiny_crypto spy_crypto = {spy_hash, spy_hmac, spy_pbkdf2};

/* Before TLS takes what the client sends. */
static int spy_write(struct xmpp_tiny_stream *s, const void *data, size_t len)
{
    spy.kind = WRITE;
    hand_over(SERVER);
    spy.kind = NOTHING;
    return real_ops->write(s, data, len);
}

static br_ec_impl spy_ec;
static const br_ec_impl *real_ec;

static void told_point(const unsigned char *key, size_t key_len, const unsigned char *point, size_t len)
{
    spy = (struct spy){.kind = POINT, .key = key, .key_len = key_len, .point = point, .point_len = len};
    hand_over(SERVER);
    spy.kind = NOTHING;
}

static size_t spy_mulgen(unsigned char *r, const unsigned char *key, size_t key_len, int curve)
{
    size_t len = real_ec->mulgen(r, key, key_len, curve);
    told_point(key, key_len, NULL, 0);
    return len;
}

static uint32_t spy_mul(unsigned char *g, size_t len, const unsigned char *key, size_t key_len, int curve)
{
    uint32_t good = real_ec->mul(g, len, key, key_len, curve);
    told_point(key, key_len, g, len);
    return good;
}

static int on_event(struct xmpp_tiny *client, const struct xmpp_tiny_event *event, void *user)
{
    (void)user;
    strcat(strcat(events, event->kind == XMPP_TINY_EVENT_ERROR ? xmpp_tiny_err_name(event->error.code)
                                                               : xmpp_tiny_event_name(event->kind)),
           " ");
    if (event->kind == XMPP_TINY_EVENT_ONLINE && saves)
        blob_len = xmpp_tiny_save(client, blob, sizeof blob);
    if (event->kind == XMPP_TINY_EVENT_ONLINE && renewed)
        (void)xmpp_tiny_change_password(client, xmpp_tiny_str(renewed), 0);
    else if (event->kind == XMPP_TINY_EVENT_ONLINE)
        (void)xmpp_tiny_ping(client, xmpp_tiny_str(NULL), 0);
    else if (event->kind == XMPP_TINY_EVENT_ANSWER && event->error.code == 0)
        (void)xmpp_tiny_disconnect(client);
    else if (event->kind == XMPP_TINY_EVENT_CLOSED)
        connected = false;
    return 0;
}

static void trace(void *ctx, char direction, const char *text, size_t len)
{
    (void)ctx;
    (void)direction;
    if (len < sizeof traced - traced_len) {
        memcpy(traced + traced_len, text, len);
        traced_len += len;
    }
}

/* From the call that connects to CLOSED. */
static void *client(void *unused)
{
    (void)unused;
    while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) == SERVER)
        (void)sched_yield();
    if (loads)
        CHECK_INT(xmpp_tiny_load(&x, blob, (size_t)blob_len), 0);
    CHECK_INT(xmpp_tiny_connect(&x), 0);
    while (connected) {
        (void)xmpp_tiny_poll(&x);
        hand_over(SERVER);
    }
    return NULL;
}

/* ---- The search -------------------------------------------------------------------------------- */

static const struct zone {
    const char *name;
    const void *at;
    size_t len;
} zones[] = {
    {"the context", &x, sizeof x},
    {"rx", rx, sizeof rx},
    {"tx", tx, sizeof tx},
    {"the TLS stream", &tls, sizeof tls},
    {"TLS in", tls_in, sizeof tls_in},
    {"TLS out", tls_out, sizeof tls_out},
    {"the stack", stack, sizeof stack},
    {"the trace", traced, sizeof traced},
};
#define ZONES (sizeof zones / sizeof zones[0])

/* Where the secret is in the zone, from its start; SIZE_MAX: nowhere. All of the stack may be read. */
__attribute__((no_sanitize("address"))) static size_t search(const struct zone *zone, const struct secret *s)
{
    const volatile uint8_t *at = zone->at;
    for (size_t i = 0; i + s->len <= zone->len; i++) {
        size_t n = 0;
        while (n < s->len && at[i + n] == s->bytes[n])
            n++;
        if (n == s->len)
            return i;
    }
    return SIZE_MAX;
}

static void look(void)
{
    for (size_t i = 0; i < secret_count; i++)
        for (size_t z = 0; z < ZONES && !secrets[i].seen && !(secrets[i].flags & UNSEEN); z++)
            secrets[i].seen = search(&zones[z], &secrets[i]) != SIZE_MAX;
}

static const char *scene;

/* None of the secrets is anywhere; of TLS's, if those are over as well. */
static void nothing_left(const char *when, bool tls_too)
{
    for (size_t i = 0; i < secret_count; i++)
        for (size_t z = 0; z < ZONES; z++) {
            size_t at = secrets[i].flags & OF_TLS && !tls_too ? SIZE_MAX : search(&zones[z], &secrets[i]);
            if (!check_count(at == SIZE_MAX, __FILE__, __LINE__, "a secret is left"))
                printf("    %s, %s: %s, %s, in %s at %zu, %zu from its end\n", scene, when, secrets[i].name,
                       secrets[i].form, zones[z].name, at, zones[z].len - at);
        }
}

/* Puts every secret in every place, and on the client's stack in a frame that is gone. */
static void search_finds(void)
{
    for (size_t i = 0; i < secret_count; i++)
        for (size_t z = 0; z < ZONES; z++) {
            uint8_t *end = (uint8_t *)(uintptr_t)zones[z].at + zones[z].len - secrets[i].len, kept[96];
            if (zones[z].at == (const void *)stack)
                end = stack; /* its other end is in use */
            memcpy(kept, end, secrets[i].len);
            memcpy(end, secrets[i].bytes, secrets[i].len);
            CHECK(search(&zones[z], &secrets[i]) == (size_t)(end - (const uint8_t *)zones[z].at));
            memcpy(end, kept, secrets[i].len);
        }
}

/* ---- The server -------------------------------------------------------------------------------- */

enum flow {
    HONEST,
    REFUSES, /* the proof is wrong, it says */
    LIES,    /* cannot prove anything itself */
    WAITS,   /* and the client leaves during the key derivation */
};

static struct port_peer peer;
static struct port_tls server;
static enum flow flow;
static const char *mechanism, *password; /* the only one that is offered; the client's */
static enum xmpp_tiny_hash hash;
static uint8_t client_key[64], server_key[64], stored_key[64], signature[64];
static char heard[4096], out[4096];
static size_t heard_len, out_at, out_len;
static unsigned streams;
static bool sasl2;

#define SASL   "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
#define SASL_2 "xmlns='urn:xmpp:sasl:2'"
#define TOKEN  "secret-token:a horse that is a battery"

static void say(const char *text)
{
    size_t len = strlen(text);
    must(out_len + len < sizeof out, "the server says too much");
    memcpy(out + out_len, text, len);
    out_len += len;
}

/* <name>base64 of text</name>; success of SASL2 has more in it. */
static void say_sasl(const char *name, const void *text, size_t len)
{
    bool more = sasl2 && strcmp(name, "success") == 0;
    char encoded[512];
    (void)base64(encoded, text, len);
    say("<");
    say(name);
    say(sasl2 ? " " SASL_2 ">" : " " SASL ">");
    say(more ? "<token xmlns='urn:xmpp:fast:0' token='" TOKEN
               "' expiry='2031-01-01T00:00:00Z'/><additional-data>"
             : "");
    say(encoded);
    say(more ? "</additional-data><authorization-identifier>alice@" DOMAIN "/r</authorization-identifier>"
               "<bound xmlns='urn:xmpp:bind:0'/>"
             : "");
    say("</");
    say(name);
    say(">");
}

/* What SCRAM makes of the password. [RFC5802 3] */
static void derive(unsigned flags)
{
    size_t size = sizes[hash];
    uint8_t u[64], t[64];
    mac(hash, password, strlen(password), SALT "\0\0\0\1", strlen(SALT) + 4, u);
    memcpy(t, u, size);
    for (unsigned i = 1; i < ITERATIONS; i++) {
        mac(hash, password, strlen(password), u, size, u);
        for (size_t k = 0; k < size; k++)
            t[k] ^= u[k];
    }
    mac(hash, t, size, "Client Key", 10, client_key);
    mac(hash, t, size, "Server Key", 10, server_key);
    xmpp_tiny_bearssl_crypto.hash(hash, client_key, size, stored_key);
    add_key("the password", UNSEEN, hash, password, strlen(password));
    add_key("SaltedPassword", flags, hash, t, size);
    add_key("StoredKey", flags, hash, stored_key, size);
    add_key("ServerKey", flags, hash, server_key, size);
    add("ClientKey", "as it is", flags, client_key, size);
}

/* The signatures and the proof, from the text that is signed. */
static void sign(const struct xmpp_tiny_str *parts, size_t count)
{
    size_t size = sizes[hash], len = 0;
    uint8_t text[1024], proof[64];
    for (size_t i = 0; i < count; i++) {
        must(len + parts[i].len <= sizeof text, "too much to sign");
        memcpy(text + len, parts[i].ptr, parts[i].len);
        len += parts[i].len;
    }
    mac(hash, stored_key, size, text, len, proof);
    add("ClientSignature", "as it is", 0, proof, size);
    for (size_t i = 0; i < size; i++)
        proof[i] ^= client_key[i];
    add_text("ClientProof", proof, size);
    mac(hash, server_key, size, text, len, signature);
    add("ServerSignature", "as it is", 0, signature, size);
}

/* A SASL message that came. */
static void hear_sasl(const char *text, size_t len)
{
    uint8_t message[512];
    char reply[512], salt[32];
    size_t n = unbase64(message, text, len);
    const char *nonce;
    message[n] = 0;
    if (strncmp(mechanism, "SCRAM-", 6) != 0) {
        say("<success " SASL "/>");
    } else if (strstr((char *)message, ",p=") == NULL) {
        nonce = strstr((char *)message, "r=");
        must(nonce != NULL, "no nonce");
        (void)base64(salt, SALT, strlen(SALT));
        n = (size_t)snprintf(reply, sizeof reply, "%s-and-ours,s=%s,i=%d", nonce, salt, ITERATIONS);
        say_sasl("challenge", reply, n);
    } else if (flow == REFUSES) {
        say("<failure " SASL "><not-authorized/></failure>");
    } else {
        if (flow == LIES)
            signature[0] ^= 1;
        (void)strcpy(reply, "v=");
        n = 2 + base64(reply + 2, signature, sizes[hash]);
        say_sasl("success", reply, n);
    }
}

static void hear_iq(void)
{
    char id[64];
    const char *at = strstr(heard, " id='");
    must(at != NULL && sscanf(at, " id='%63[^']", id) == 1, "an iq without id");
    say("<iq type='result' id='");
    say(id);
    if (strstr(heard, "urn:ietf:params:xml:ns:xmpp-bind"))
        say("'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@" DOMAIN "/r</jid></bind></iq>");
    else if (strstr(heard, "jabber:iq:register") && strstr(heard, "type='get'"))
        say("'><query xmlns='jabber:iq:register'><username/><password/></query></iq>");
    else
        say("'/>");
}

static void consume(const char *end)
{
    heard_len -= (size_t)(end - heard);
    memmove(heard, end, heard_len + 1);
}

/* The client proves that it knows the token, and the server does. [draft-schmaus-kitten-sasl-ht 3] */
static void hear_token(void)
{
    uint8_t initiator[6 + 32] = "alice", responder[32];
    char text[64];
    mac(XMPP_TINY_SHA256, TOKEN, strlen(TOKEN), "Initiator", 9, initiator + 6);
    mac(XMPP_TINY_SHA256, TOKEN, strlen(TOKEN), "Responder", 9, responder);
    (void)base64(text, initiator, sizeof initiator);
    CHECK(strstr(heard, text) != NULL);
    say_sasl("success", responder, sizeof responder);
}

/* Answers the first thing that has come in whole. False if there is none. */
static bool hear(void)
{
    char *at, *end;
    if (strstr(heard, "</stream:stream>")) {
        say("</stream:stream>");
        heard_len = 0;
        heard[0] = 0;
    } else if ((at = strstr(heard, "<stream:stream ")) != NULL && (end = strchr(at, '>')) != NULL) {
        say("<?xml version='1.0'?><stream:stream from='" DOMAIN
            "' id='1' version='1.0' xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams'><stream:features>");
        if (streams++ == 0) {
            say(sasl2 ? "<authentication " SASL_2 "><mechanism>" : "<mechanisms " SASL "><mechanism>");
            say(mechanism);
            say(sasl2 ? "</mechanism><inline><bind xmlns='urn:xmpp:bind:0'/><fast xmlns='urn:xmpp:fast:0'>"
                        "<mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication>"
                      : "</mechanism></mechanisms>");
        } else {
            say("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>");
        }
        say("</stream:features>");
        consume(end + 1);
    } else if ((end = strstr(heard, "</authenticate>")) != NULL) {
        at = strstr(heard, "<initial-response>");
        must(at != NULL, "no initial response");
        if (strstr(heard, "mechanism='HT-SHA-256-NONE'><initial-response>"))
            hear_token();
        else
            hear_sasl(at + 18, strcspn(at + 18, "<"));
        consume(end + 15);
    } else if ((end = strstr(heard, "</auth>")) != NULL || (end = strstr(heard, "</response>")) != NULL) {
        const char *from = strchr(heard, '>') + 1;
        hear_sasl(from, (size_t)(end - from));
        consume(strchr(end, '>') + 1);
    } else if ((end = strstr(heard, "</iq>")) != NULL) {
        hear_iq();
        consume(end + 5);
    } else {
        return false;
    }
    return true;
}

/* The server's traffic keys, which are the client's as well. [RFC5246 6.3] */
static void learn_tls(void)
{
    const br_ssl_engine_context *engine = &peer.server.eng;
    const uint8_t *master = engine->session.master_secret;
    bool chacha = server.suite == BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    size_t len = chacha ? 32 : 16, iv = chacha ? 12 : 4;
    br_tls_prf_seed_chunk seeds[2] = {{engine->server_random, 32}, {engine->client_random, 32}};
    uint8_t block[96];
    br_tls12_sha256_prf(block, 2 * (len + iv), master, 48, "key expansion", 2, seeds);
    add_key("TLS's master secret", OF_TLS, XMPP_TINY_SHA256, master, 48);
    /* AES has no use for keys as they are: of those, what they become. */
    for (unsigned i = 0; i < 2; i++) {
        const char *name = i ? "the server's traffic key" : "the client's traffic key";
        const uint8_t *key = block + i * len;
        union {
            br_aes_gen_ctr_keys keys;
            uint8_t bytes[1];
        } aes;
        add(name, "as it is", OF_TLS | (chacha ? 0U : UNSEEN), key, len);
        if (chacha)
            continue;
        memset(&aes, 0, sizeof aes);
        tls.client.eng.iaes_ctr->init(&aes.keys.vtable, key, len);
        add(name, "expanded", OF_TLS, aes.bytes + sizeof aes.keys.vtable, 48);
    }
}

static void serve(void)
{
    int n;
    if (!peer.connected && transport_accept(&peer)) {
        peer.connected = true;
        tls_begin(&peer);
    }
    if (!peer.connected || peer.finished)
        return;
    do {
        tls_pump(&peer);
        n = tls_recv(&peer, (uint8_t *)heard + heard_len, sizeof heard - 1 - heard_len);
        heard_len += n > 0 ? (size_t)n : 0;
        heard[heard_len] = 0;
        while (n > 0 && hear())
            continue;
    } while (n > 0);
    while (out_at < out_len && (n = tls_send(&peer, (const uint8_t *)out + out_at, out_len - out_at)) > 0) {
        out_at += (size_t)n;
        tls_pump(&peer);
    }
    if (out_at == out_len)
        out_at = out_len = 0;
    if (peer.server.eng.shutdown_recv)
        finish(&peer);
}

/* ---- Sessions ---------------------------------------------------------------------------------- */

/* Between two polls, the first time that it is so. */
static void nothing_left_once(bool *done, bool now, const char *when)
{
    if (spy.kind != NOTHING || *done || !now)
        return;
    *done = true;
    nothing_left(when, false);
}

/* The client runs until a spy has something to tell or one poll is done. */
static void client_turn(void)
{
    hand_over(CLIENT);
    if (spy.kind == HMAC && spy.count > 2)
        sign(spy.parts, spy.count);
    if (spy.kind == POINT) {
        add("TLS's ephemeral key", "as it is", OF_TLS, spy.key, spy.key_len);
        if (spy.point)
            add_key("TLS's premaster secret", OF_TLS, XMPP_TINY_SHA256, spy.point + 1, 32);
    }
    if (tls.client.eng.iec && tls.client.eng.iec != &spy_ec) {
        real_ec = tls.client.eng.iec;
        spy_ec = *real_ec;
        spy_ec.mulgen = spy_mulgen;
        spy_ec.mul = spy_mul;
        br_ssl_engine_set_ec(&tls.client.eng, &spy_ec);
    }
}

static void session(const char *wanted)
{
    bool in = false, answered = false, agreed = false;
    unsigned turns = 0;
    pthread_attr_t attributes;
    pthread_t thread;
    connected = true;
    must(pthread_attr_init(&attributes) == 0 &&
             pthread_attr_setstack(&attributes, stack, sizeof stack) == 0 &&
             pthread_create(&thread, &attributes, client, NULL) == 0,
         "no thread");
    while (connected && turns++ < TURNS_MAX) {
        client_turn();
        if (!agreed && xmpp_tiny_state(&x) == XMPP_TINY_STATE_HEADER) {
            agreed = true;
            learn_tls();
        }
        if (flow == WAITS && xmpp_tiny_state(&x) == XMPP_TINY_STATE_KEYS && x.sasl.left < ITERATIONS / 2) {
            add("a key half derived", "as it is", 0, x.sasl.u, sizes[hash]);
            add("a key half derived", "as it is", 0, x.sasl.t, sizes[hash]);
            (void)xmpp_tiny_disconnect(&x);
        }
        look();
        nothing_left_once(&in, xmpp_tiny_state(&x) == XMPP_TINY_STATE_BIND, "just let in");
        nothing_left_once(&answered, strstr(events, "ANSWER ") != NULL, "online");
        if (spy.kind == NOTHING && connected)
            serve();
    }
    must(!connected, "a session that does not end");
    CHECK_TEXT(events, wanted);
    nothing_left("closed", true);
    for (size_t i = 0; i < secret_count; i++)
        if (!(secrets[i].flags & UNSEEN) && !check_count(secrets[i].seen, __FILE__, __LINE__, "never seen"))
            printf("    %s: %s, %s\n", scene, secrets[i].name, secrets[i].form);
    search_finds();
    __atomic_store_n(&turn, CLIENT, __ATOMIC_SEQ_CST);
    (void)pthread_join(thread, NULL);
    turn = SERVER;
}

static void session_begin(const char *name, const char *the_mechanism, enum xmpp_tiny_hash the_hash,
                          uint16_t suite)
{
    scene = name;
    mechanism = the_mechanism;
    hash = the_hash;
    server.suite = suite;
    secret_count = heard_len = out_at = out_len = traced_len = 0;
    streams = 0;
    heard[0] = events[0] = 0;
    memset(traced, 0, sizeof traced);
    memset(stack, 0, sizeof stack);
    peer_expect(&peer.peer, CONFORMANCE_MUTE);
}

static void test_scram(void)
{
    static const struct {
        const char *mechanism;
        enum xmpp_tiny_hash hash;
        uint16_t suite;
    } cases[] = {
        {"SCRAM-SHA-1-PLUS", XMPP_TINY_SHA1, BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
        {"SCRAM-SHA-256-PLUS", XMPP_TINY_SHA256, BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
        {"SCRAM-SHA-512-PLUS", XMPP_TINY_SHA512, BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        session_begin(cases[i].mechanism, cases[i].mechanism, cases[i].hash, cases[i].suite);
        derive(0);
        session("CONNECTED SECURED AUTHENTICATED ONLINE ANSWER CLOSED ");
    }
}

static void test_failures(void)
{
    static const struct {
        const char *name;
        enum flow flow;
        const char *events;
    } cases[] = {
        {"the proof is refused", REFUSES, "CONNECTED SECURED AUTH CLOSED "},
        {"the server's proof is wrong", LIES, "CONNECTED SECURED SERVER_PROOF CLOSED "},
        {"the client leaves while keys are derived", WAITS, "CONNECTED SECURED CLOSED "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        session_begin(cases[i].name, "SCRAM-SHA-256", XMPP_TINY_SHA256,
                      BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
        flow = cases[i].flow;
        derive(flow == WAITS ? UNSEEN : 0);
        session(cases[i].events);
        flow = HONEST;
    }
}

static void test_plain(void)
{
    static const char message[] = "\0alice\0" PASSWORD;
    char text[96];
    session_begin("PLAIN", "PLAIN", XMPP_TINY_SHA256, BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    add("the password", "as it is", UNSEEN, password, strlen(password));
    add("PLAIN's message", "base64", 0, text, base64(text, message, sizeof message - 1));
    config.mechanisms = XMPP_TINY_ALLOW(PLAIN);
    session("CONNECTED SECURED AUTHENTICATED ONLINE ANSWER CLOSED ");
    config.mechanisms = 0;
}

/* What is remembered is the application's; what is done with it is not. */
static void test_saved(void)
{
    static struct xmpp_tiny_saved saved;
    config.saved = &saved;
    for (unsigned again = 0; again < 2; again++) {
        session_begin(again ? "login with keys" : "login that is remembered", "SCRAM-SHA-256",
                      XMPP_TINY_SHA256, BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
        derive(0);
        for (size_t i = 0; again && i < secret_count; i++)
            if (strcmp(secrets[i].name, "SaltedPassword") == 0)
                secrets[i].flags |= UNSEEN;
        config.password = again ? NULL : password;
        session("CONNECTED SECURED AUTHENTICATED ONLINE ANSWER CLOSED ");
        CHECK(memcmp(saved.keys.client_key, client_key, 32) == 0);
    }
    config.saved = NULL;
    config.password = password;
}

/* What can be come back with: token, TLS session, keys. They are the application's, in what it saves. */
static void test_come_back(void)
{
    static struct xmpp_tiny_saved saved;
    static br_ssl_session_cache_lru cache;
    static unsigned char sessions[1024];
    uint8_t initiator[6 + 32] = "alice", responder[32], master[48];
    char text[64];
    br_ssl_session_cache_lru_init(&cache, sessions, sizeof sessions);
    server.cache = &cache.vtable;
    config.saved = &saved;
    sasl2 = saves = true;
    for (unsigned again = 0; again < 3; again++) {
        static const char *const scenes[] = {"a login that gets a token", "a login by token",
                                             "a login by token after power-off"};
        session_begin(scenes[again], "SCRAM-SHA-256", XMPP_TINY_SHA256,
                      BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
        loads = again == 2;
        if (loads) {
            memset(&saved, 0, sizeof saved);
            CHECK_INT(xmpp_tiny_init(&x, &config), 0);
        }
        derive(again ? UNSEEN : 0);
        /* SASL2 goes on without a new stream: what has come stays in the buffers until more comes. */
        add("the token", "as it is", OF_TLS, TOKEN, strlen(TOKEN));
        add_key("the token", 0, XMPP_TINY_SHA256, TOKEN, strlen(TOKEN));
        if (again) {
            mac(XMPP_TINY_SHA256, TOKEN, strlen(TOKEN), "Initiator", 9, initiator + 6);
            mac(XMPP_TINY_SHA256, TOKEN, strlen(TOKEN), "Responder", 9, responder);
            add("the initiator's proof", "as it is", 0, initiator + 6, 32);
            add("the initiator's proof", "base64", 0, text, base64(text, initiator, 36));
            add("the responder's proof", "as it is", OF_TLS, responder, 32);
            config.password = NULL;
        }
        session("CONNECTED SECURED AUTHENTICATED ONLINE ANSWER CLOSED ");
        CHECK(again == 0 || memcmp(master, peer.server.eng.session.master_secret, 48) == 0);
        memcpy(master, peer.server.eng.session.master_secret, 48);
        /* what is written down has them all: it is as secret */
        CHECK(blob_len > 0);
        CHECK(memmem(blob, (size_t)blob_len, TOKEN, strlen(TOKEN)) != NULL);
        CHECK(memmem(blob, (size_t)blob_len, client_key, 32) != NULL);
        CHECK(memmem(blob, (size_t)blob_len, master, 48) != NULL);
    }
    config.saved = NULL;
    config.password = password;
    server.cache = NULL;
    sasl2 = saves = loads = false;
    CHECK_INT(xmpp_tiny_init(&x, &config), 0);
}

static void test_account(void)
{
    session_begin("an account is made", "SCRAM-SHA-256", XMPP_TINY_SHA256,
                  BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    derive(0);
    secrets[0].flags = 0; /* the password itself */
    config.create_account = true;
    session("CONNECTED SECURED REGISTERED AUTHENTICATED ONLINE ANSWER CLOSED ");
    config.create_account = false;

    session_begin("the password is changed", "SCRAM-SHA-256", XMPP_TINY_SHA256,
                  BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    derive(0);
    add("the new password", "as it is", 0, RENEWED, strlen(RENEWED));
    renewed = RENEWED;
    session("CONNECTED SECURED AUTHENTICATED ONLINE ANSWER CLOSED ");
    renewed = NULL;
}

int main(void)
{
    static struct xmpp_tiny_platform platform;
    static struct xmpp_tiny_stream_ops ops;
    static br_x509_trust_anchor anchor;
    static uint8_t arena_bytes[2048];
    struct xmpp_tiny_bearssl_arena arena = {arena_bytes, sizeof arena_bytes, 0};

    must(xmpp_tiny_bearssl_pem_anchors(&arena, xmpp_tiny_str(pki_root), &anchor, 1) == 1, "no anchor");
    port_fake_init(&fake, PORT_FAULT_NONE, 65536, false);
    port_tls_init(&server, pki_good, pki_eckey);
    port_peer_init(&peer, &fake, &server, DOMAIN);
    platform = port_platform;
    platform.trace = trace;
    password = PASSWORD;
    tls_config = (struct xmpp_tiny_bearssl_config){.inner = &fake.stream,
                                                   .platform = &platform,
                                                   .anchors = &anchor,
                                                   .anchor_count = 1,
                                                   .in = tls_in,
                                                   .in_size = sizeof tls_in,
                                                   .out = tls_out,
                                                   .out_size = sizeof tls_out};
    config = (struct xmpp_tiny_config){.jid = "alice@" DOMAIN,
                                       .password = password,
                                       .tls = XMPP_TINY_TLS_DIRECT,
                                       .port = FAKE_PORT,
                                       .stream = &tls.stream,
                                       .platform = &platform,
                                       .crypto = &spy_crypto,
                                       .rx = rx,
                                       .rx_size = sizeof rx,
                                       .tx = tx,
                                       .tx_size = sizeof tx,
                                       .event = on_event};
    must(xmpp_tiny_bearssl_init(&tls, &tls_config) == 0, "no TLS");
    real_ops = tls.stream.ops;
    ops = *real_ops;
    ops.write = spy_write;
    tls.stream.ops = &ops;
    must(xmpp_tiny_init(&x, &config) == 0, "no client");

    test_scram();
    test_failures();
    test_plain();
    test_saved();
    test_come_back();
    test_account();
    return check_done();
}
