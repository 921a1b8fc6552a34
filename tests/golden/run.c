/* SPDX-License-Identifier: MIT
 *
 * Golden sessions: plays readable transcripts against the engine, which does no I/O. README.md beside
 * this file tells the format. Each session is played with the server's bytes whole, one by one, and with
 * every '<' line cut in two at every place, and unless it asks for other buffers with the smallest ones
 * too: what the client sends and tells must be the same, byte by byte.
 *
 *     run [-v] [-s PART-OF-A-TITLE] [-c STEP] TRANSCRIPT...
 *
 * -c cuts lines only at every STEP-th place, for machines that are slow: the first session begins at the
 * first, the next at the second and so on.
 *
 * In every run: nothing but stream header, STARTTLS and stream error leaves before SECURED, no stanza
 * before ONLINE, or with a queue before AUTHENTICATED; CLOSED comes once and last; the trace holds neither
 * password nor token, and after CLOSED neither do the context and the buffers, nor a key made from them.
 *
 * Names here begin with g_ because the library's own file is included at the end.
 */
#include "xmpp_tiny.h"
#include "port/bearssl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Text ---- */

struct g_text {
    char *ptr;
    size_t len, cap;
};

static void *g_alloc(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    if (p == NULL)
        abort();
    return p;
}

static void g_add(struct g_text *t, const char *p, size_t n)
{
    if (t->len + n + 1 > t->cap) {
        t->cap = (t->len + n + 1) * 2;
        t->ptr = g_alloc(t->ptr, t->cap);
    }
    if (n)
        memcpy(t->ptr + t->len, p, n);
    t->len += n;
    t->ptr[t->len] = 0;
}

static void g_adds(struct g_text *t, const char *s)
{
    g_add(t, s, strlen(s));
}

static void g_cut(struct g_text *t, size_t n)
{
    memmove(t->ptr, t->ptr + n, t->len - n + 1);
    t->len -= n;
}

static void g_free(struct g_text *t)
{
    free(t->ptr);
    memset(t, 0, sizeof *t);
}

static bool g_has(const char *text, size_t len, const void *part, size_t n)
{
    const char *p = text, *end = text ? text + len : text;
    while (n && n <= (size_t)(end - p)) {
        p = memchr(p, *(const unsigned char *)part, (size_t)(end - p) - n + 1);
        if (p == NULL)
            return false;
        if (memcmp(p, part, n) == 0)
            return true;
        p++;
    }
    return false;
}

static bool g_begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static const char g_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void g_base64(struct g_text *t, const void *data, size_t len)
{
    const unsigned char *in = data;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned v = (unsigned)in[i] << 16 | (n > 1 ? (unsigned)in[i + 1] << 8 : 0) | (n > 2 ? in[i + 2] : 0);
        char group[4] = {g_digits[v >> 18], g_digits[v >> 12 & 63], n > 1 ? g_digits[v >> 6 & 63] : '=',
                         n > 2 ? g_digits[v & 63] : '='};
        g_add(t, group, 4);
    }
}

static void g_unbase64(struct g_text *t, const char *in, size_t len)
{
    unsigned v = 0, bits = 0;
    for (size_t i = 0; i < len && in[i] != '='; i++) {
        const char *digit = strchr(g_digits, in[i]);
        v = v << 6 | (unsigned)(digit ? digit - g_digits : 0);
        bits += 6;
        if (bits >= 8) {
            char byte = (char)(v >> (bits -= 8));
            g_add(t, &byte, 1);
        }
    }
}

/* ---- Transcripts ---- */

struct g_line {
    char *text;
    const char *file;
    int number;
    bool fixed; /* included: not cut */
};

struct g_var {
    char *name, *value;
};

struct g_vars {
    struct g_var *at;
    size_t count;
};

struct g_session {
    char *title, *each;
    const char *file;
    struct g_line *lines;
    char **rows;
    size_t line_count, row_count;
};

struct g_book {
    struct g_vars defines;
    struct g_session *sessions;
    char **files;
    size_t session_count, file_count;
    bool broken;
};

static char *g_copy(const char *p, size_t n)
{
    char *s = g_alloc(NULL, n + 1);
    memcpy(s, p, n);
    s[n] = 0;
    return s;
}

static void g_set(struct g_vars *v, const char *name, size_t name_len, const char *value)
{
    for (size_t i = 0; i < v->count; i++)
        if (strlen(v->at[i].name) == name_len && memcmp(v->at[i].name, name, name_len) == 0) {
            free(v->at[i].value);
            v->at[i].value = g_copy(value, strlen(value));
            return;
        }
    v->at = g_alloc(v->at, (v->count + 1) * sizeof *v->at);
    v->at[v->count].name = g_copy(name, name_len);
    v->at[v->count++].value = g_copy(value, strlen(value));
}

static void g_unset(struct g_vars *v, const char *name)
{
    for (size_t i = 0; i < v->count; i++)
        if (strcmp(v->at[i].name, name) == 0) {
            free(v->at[i].name);
            free(v->at[i].value);
            v->at[i] = v->at[--v->count];
        }
}

static const char *g_get(const struct g_vars *v, const char *name, size_t len)
{
    for (size_t i = 0; i < v->count; i++)
        if (strlen(v->at[i].name) == len && memcmp(v->at[i].name, name, len) == 0)
            return v->at[i].value;
    return NULL;
}

static void g_vars_free(struct g_vars *v)
{
    for (size_t i = 0; i < v->count; i++) {
        free(v->at[i].name);
        free(v->at[i].value);
    }
    free(v->at);
    memset(v, 0, sizeof *v);
}

static void g_read(struct g_book *b, const char *path, bool included);

/* One line of a transcript finds its place. */
static void g_read_line(struct g_book *b, const char *file, int number, bool included, char *text)
{
    struct g_session *s = b->session_count ? &b->sessions[b->session_count - 1] : NULL;
    if (text[0] == 0 || text[0] == '#')
        return;
    if (g_begins(text, "session ")) {
        b->sessions = g_alloc(b->sessions, (b->session_count + 1) * sizeof *b->sessions);
        s = &b->sessions[b->session_count++];
        memset(s, 0, sizeof *s);
        s->title = g_copy(text + 8, strlen(text + 8));
        s->file = file;
    } else if (g_begins(text, "define ")) {
        char *name = text + 7, *space = strchr(name, ' ');
        if (space)
            g_set(&b->defines, name, (size_t)(space - name), space + 1);
    } else if (g_begins(text, "include ")) {
        struct g_text path = {NULL, 0, 0};
        const char *slash = strrchr(file, '/');
        g_add(&path, file, slash ? (size_t)(slash - file) + 1 : 0);
        g_adds(&path, text + 8);
        g_read(b, path.ptr, true);
        g_free(&path);
    } else if (s == NULL) {
        printf("%s:%d: before the first session\n", file, number);
        b->broken = true;
    } else if (g_begins(text, "each ")) {
        s->each = g_copy(text + 5, strlen(text + 5));
    } else if (g_begins(text, "with ")) {
        s->rows = g_alloc(s->rows, (s->row_count + 1) * sizeof *s->rows);
        s->rows[s->row_count++] = g_copy(text + 5, strlen(text + 5));
    } else {
        s->lines = g_alloc(s->lines, (s->line_count + 1) * sizeof *s->lines);
        s->lines[s->line_count++] = (struct g_line){g_copy(text, strlen(text)), file, number, included};
    }
}

static void g_read(struct g_book *b, const char *path, bool included)
{
    FILE *f = fopen(path, "r");
    struct g_text line = {NULL, 0, 0};
    char piece[512], *file;
    int number = 0, first = 0;
    bool fresh = true; /* at the beginning of a line of the file */
    if (f == NULL) {
        printf("%s: cannot be read\n", path);
        b->broken = true;
        return;
    }
    file = g_copy(path, strlen(path));
    b->files = g_alloc(b->files, (b->file_count + 1) * sizeof *b->files);
    b->files[b->file_count++] = file;
    while (fgets(piece, sizeof piece, f)) {
        number += fresh;
        first = line.len ? first : number;
        g_adds(&line, piece + (fresh && line.len ? strspn(piece, " ") : 0));
        fresh = line.ptr[line.len - 1] == '\n';
        if (!fresh)
            continue;
        line.ptr[--line.len] = 0;
        if (line.len && line.ptr[line.len - 1] == '\\') { /* goes on in the next line, less its indent */
            line.ptr[--line.len] = 0;
            continue;
        }
        g_read_line(b, file, first, included, line.ptr);
        line.len = 0;
    }
    g_free(&line);
    fclose(f);
}

static void g_book_free(struct g_book *b)
{
    for (size_t i = 0; i < b->session_count; i++) {
        struct g_session *s = &b->sessions[i];
        for (size_t k = 0; k < s->line_count; k++)
            free(s->lines[k].text);
        for (size_t k = 0; k < s->row_count; k++)
            free(s->rows[k]);
        free(s->lines);
        free(s->rows);
        free(s->each);
        free(s->title);
    }
    for (size_t i = 0; i < b->file_count; i++)
        free(b->files[i]);
    free(b->files);
    free(b->sessions);
    g_vars_free(&b->defines);
}

/* ---- A run ---- */

#define G_SECRETS 16
#define G_ACTIONS 8
#define G_BLOBS   4

struct g_run {
    const struct g_book *book;
    const struct g_session *session;
    const struct g_line *line; /* being played */
    struct g_vars row, vars, settings;
    /* how the server's bytes are cut */
    bool bytes, small;
    size_t cut_at;   /* of each '<' line that is longer; 0: nowhere */
    size_t *longest; /* '<' line, for the caller */
    /* the client */
    struct xmpp_tiny x;
    struct xmpp_tiny_config config;
    struct xmpp_tiny_stream stream;
    struct xmpp_tiny_platform platform;
    struct xmpp_tiny_saved saved;
    char *rx, *tx;
    bool initialised, dirty, hold, secured, authenticated, online, connected, no_random;
    uint32_t now, wait, pause, rounds;
    unsigned numbers, connects, closes;
    int unfit; /* what xmpp_tiny_init() returned */
    /* what came of it */
    struct g_text events, out, pending, clear, early, trace, error;
    struct g_text actions[G_ACTIONS];
    struct g_text loaded; /* by the TLS port: a session to go on with */
    struct {
        char name[16];
        struct g_text data;
    } blobs[G_BLOBS];
    struct {
        char data[64];
        size_t len;
    } secrets[G_SECRETS];
    size_t secret_count;
    bool failed, verbose;
};

/* Crypto has no context: the run that is being played. */
static struct g_run *g_playing;

/* Who goes along with a session: tests/loss/test_golden.c, which includes this file. Then it is played
 * without a look at what the transcript expects, and left where it does not fit any more. */
struct g_companion {
    void (*line)(struct g_run *r, const char *text);          /* will be played */
    void (*says)(struct g_run *r, const char *p, size_t len); /* the server, all of a line .. */
    void (*got)(struct g_run *r);                             /* .. and the client has handled some of it */
    void (*sent)(struct g_run *r, const char *p, size_t len); /* this has left the client */
    void (*tells)(struct g_run *r, const struct xmpp_tiny_event *event); /* the client, before .. */
    void (*told)(struct g_run *r, int result); /* .. and after the application acts */
    void (*called)(struct g_run *r, const char *call, int result);
    void (*wanted)(struct g_run *r); /* what comes next is the report */
    void (*settled)(struct g_run *r);
    uint32_t (*tag)(struct g_run *r); /* for the next stanza */
    bool (*plays)(const struct g_book *b, const struct g_session *s, const struct g_vars *row);
};
static const struct g_companion *g_companion;

static void g_fail(struct g_run *r, const char *why, const char *expected, const char *got)
{
    if (r->failed)
        return;
    r->failed = true;
    if (g_companion)
        return;
    printf("---- %s:%d: %s", r->line ? r->line->file : r->session->file, r->line ? r->line->number : 0,
           r->session->title);
    for (size_t i = 0; i < r->row.count; i++)
        printf("%s%s='%s'", i ? " " : " [", r->row.at[i].name, r->row.at[i].value);
    printf("%s (%s%s", r->row.count ? "]" : "",
           r->bytes    ? "byte by byte"
           : r->cut_at ? "cut"
                       : "whole",
           r->small ? ", smallest buffers" : "");
    if (r->cut_at)
        printf(" at %zu", r->cut_at);
    printf("): %s\n", why);
    if (expected)
        printf("  expected: %s\n", expected);
    if (got)
        printf("  got:      %s\n", got);
}

/* ---- Placeholders ---- */

static void g_expand(struct g_run *r, struct g_text *to, const char *from, size_t len);

/* Each word between before and after; nothing at all for no words. */
static void g_list(struct g_text *to, const char *words, const char *head, const char *before,
                   const char *after, const char *tail)
{
    words += strspn(words, " ");
    g_adds(to, *words ? head : "");
    for (const char *p = words; *p; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        g_adds(to, before);
        g_add(to, p, len);
        g_adds(to, after);
        p += len;
    }
    g_adds(to, *words ? tail : "");
}

static void g_digest(struct g_text *to, const char *hash, const char *text, size_t len);
static void g_salted(struct g_run *r, struct g_text *to, char *args);
static void g_ht(struct g_run *r, struct g_text *to, char *args);

/* "b64 TEXT", "hex 00ff", "digest HASH TEXT", "salted HASH SALT COUNT", "ht WHO TOKEN BINDING",
 * "repeat N TEXT", "mechanisms A B", "bindings A B", "kinds A B", or the name of a variable. */
static void g_placeholder(struct g_run *r, struct g_text *to, const char *p, size_t len)
{
    const char *value = NULL;
    struct g_text inner = {NULL, 0, 0};
    g_expand(r, &inner, p, len);
    if (g_begins(inner.ptr, "b64 ")) {
        g_base64(to, inner.ptr + 4, inner.len - 4);
    } else if (g_begins(inner.ptr, "hex ")) {
        for (const char *h = inner.ptr + 4; h[0] && h[1]; h += 2) {
            char pair[3] = {h[0], h[1], 0}, byte = (char)strtol(pair, NULL, 16);
            g_add(to, &byte, 1);
        }
    } else if (g_begins(inner.ptr, "digest ")) {
        const char *text = strchr(inner.ptr + 7, ' ');
        text = text ? text + 1 : inner.ptr + inner.len;
        g_digest(to, inner.ptr + 7, text, (size_t)(inner.ptr + inner.len - text));
    } else if (g_begins(inner.ptr, "salted ")) {
        g_salted(r, to, inner.ptr + 7);
    } else if (g_begins(inner.ptr, "ht ")) {
        g_ht(r, to, inner.ptr + 3);
    } else if (g_begins(inner.ptr, "mechanisms")) {
        g_list(to, inner.ptr + 10, "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>", "<mechanism>",
               "</mechanism>", "</mechanisms>");
    } else if (g_begins(inner.ptr, "bindings")) {
        g_list(to, inner.ptr + 8, "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>",
               "<channel-binding type='", "'/>", "</sasl-channel-binding>");
    } else if (g_begins(inner.ptr, "kinds ")) {
        g_list(to, inner.ptr + 6, "", "<mechanism>HT-SHA-256-", "</mechanism>", "");
    } else if (g_begins(inner.ptr, "repeat ")) {
        char *text;
        long n = strtol(inner.ptr + 7, &text, 10);
        for (; n > 0; n--)
            g_adds(to, text + 1);
    } else {
        value = g_get(&r->row, inner.ptr, inner.len);
        value = value ? value : g_get(&r->vars, inner.ptr, inner.len);
        value = value ? value : g_get(&r->book->defines, inner.ptr, inner.len);
        if (value)
            g_expand(r, to, value, strlen(value));
        else
            g_fail(r, "no such placeholder", NULL, inner.ptr);
    }
    g_free(&inner);
}

static void g_expand(struct g_run *r, struct g_text *to, const char *from, size_t len)
{
    g_add(to, "", 0);
    for (size_t i = 0; i < len; i++) {
        const char *brace = memchr(from + i, '{', len - i);
        size_t depth = 1, start = brace ? (size_t)(brace - from) + 1 : 0;
        g_add(to, from + i, brace ? start - 1 - i : len - i);
        if (brace == NULL)
            return;
        i = start - 1;
        while (depth && ++i < len)
            depth = from[i] == '{' ? depth + 1 : from[i] == '}' ? depth - 1 : depth;
        g_placeholder(r, to, from + start, i - start);
    }
}

/* Words of the form name=word or name='words'; others get an empty value. */
static void g_words(struct g_vars *v, const char *p)
{
    while (*p) {
        const char *name = p, *value;
        size_t len = strcspn(p, " =");
        char *copy;
        p += len;
        if (*p == '=') {
            char end = p[1] == '\'' ? '\'' : ' ';
            value = p + (end == '\'' ? 2 : 1);
            p = strchr(value, end);
            p = p ? p : value + strlen(value);
            copy = g_copy(value, (size_t)(p - value));
            p += *p == '\'';
        } else {
            copy = g_copy("", 0);
        }
        g_set(v, name, len, copy);
        free(copy);
        p += strspn(p, " ");
    }
}

/* ---- Crypto: the real one, remembered, watched ---- */

struct g_memo {
    struct g_memo *next;
    enum xmpp_tiny_hash hash;
    uint32_t rounds;
    size_t key_len;
    uint8_t key[128], u[64], t[64], u_after[64], t_after[64];
};
static struct g_memo *g_memos[256];

static void g_forget_memos(void)
{
    for (size_t i = 0; i < 256; i++)
        while (g_memos[i]) {
            struct g_memo *m = g_memos[i];
            g_memos[i] = m->next;
            free(m);
        }
}

static size_t g_hash_size(enum xmpp_tiny_hash h)
{
    return h == XMPP_TINY_SHA512 ? 64 : h == XMPP_TINY_SHA256 ? 32 : 20;
}

static void g_rounds(enum xmpp_tiny_hash h, const void *key, size_t key_len, uint8_t *u, uint8_t *t,
                     uint32_t rounds)
{
    size_t size = g_hash_size(h);
    struct g_memo *m = g_memos[u[0]];
    while (m && (m->hash != h || m->rounds != rounds || m->key_len != key_len ||
                 memcmp(m->key, key, key_len) || memcmp(m->u, u, size) || memcmp(m->t, t, size)))
        m = m->next;
    if (m == NULL) {
        m = g_alloc(NULL, sizeof *m);
        *m = (struct g_memo){g_memos[u[0]], h, rounds, key_len, {0}, {0}, {0}, {0}, {0}};
        g_memos[u[0]] = m;
        memcpy(m->key, key, key_len);
        memcpy(m->u, u, size);
        memcpy(m->t, t, size);
        memcpy(m->u_after, u, size);
        memcpy(m->t_after, t, size);
        xmpp_tiny_bearssl_crypto.pbkdf2(h, key, key_len, m->u_after, m->t_after, rounds);
    }
    memcpy(u, m->u_after, size);
    memcpy(t, m->t_after, size);
}

static void g_secret(struct g_run *r, const void *data, size_t len)
{
    for (size_t i = 0; i < r->secret_count; i++)
        if (r->secrets[i].len == len && memcmp(r->secrets[i].data, data, len) == 0)
            return;
    if (r->secret_count == G_SECRETS || len > sizeof r->secrets[0].data)
        return;
    memcpy(r->secrets[r->secret_count].data, data, len);
    r->secrets[r->secret_count++].len = len;
}

static void g_hash(enum xmpp_tiny_hash h, const void *data, size_t len, uint8_t *digest)
{
    xmpp_tiny_bearssl_crypto.hash(h, data, len, digest);
}

static void g_hmac(enum xmpp_tiny_hash h, const void *key, size_t key_len, const struct xmpp_tiny_str *parts,
                   size_t count, uint8_t *digest)
{
    bool derives = count == 1 && parts->len == 10 && memcmp(parts->ptr + 6, " Key", 4) == 0;
    if (derives)
        g_secret(g_playing, key, key_len);
    xmpp_tiny_bearssl_crypto.hmac(h, key, key_len, parts, count, digest);
    if (derives)
        g_secret(g_playing, digest, g_hash_size(h));
}

static void g_pbkdf2(enum xmpp_tiny_hash h, const void *key, size_t key_len, uint8_t *u, uint8_t *t,
                     uint32_t rounds)
{
    uint32_t slice = g_playing->config.iterations_slice ? g_playing->config.iterations_slice : 256;
    g_playing->rounds += rounds;
    if (rounds > slice)
        g_fail(g_playing, "more rounds in a step than a slice has", NULL, NULL);
    g_rounds(h, key, key_len, u, t, rounds);
}

static const struct xmpp_tiny_crypto g_crypto = {g_hash, g_hmac, g_pbkdf2};

static enum xmpp_tiny_hash g_hash_of(const char *name)
{
    return g_begins(name, "SHA-1 ")     ? XMPP_TINY_SHA1
           : g_begins(name, "SHA-256 ") ? XMPP_TINY_SHA256
                                        : XMPP_TINY_SHA512;
}

/* In base64. */
static void g_digest(struct g_text *to, const char *hash, const char *text, size_t len)
{
    uint8_t digest[64];
    xmpp_tiny_bearssl_crypto.hash(g_hash_of(hash), text, len, digest);
    g_base64(to, digest, g_hash_size(g_hash_of(hash)));
}

/* The key that a password and this salt make: t. */
static void g_salted_password(enum xmpp_tiny_hash h, const char *password, const char *salt, size_t len,
                              uint32_t count, uint8_t *t)
{
    size_t size = g_hash_size(h);
    struct g_text text = {NULL, 0, 0};
    struct xmpp_tiny_str parts[2] = {{NULL, 0}, {"\0\0\0\1", 4}};
    uint8_t u[64];
    g_unbase64(&text, salt, len);
    parts[0] = (struct xmpp_tiny_str){text.ptr, text.len};
    xmpp_tiny_bearssl_crypto.hmac(h, password, strlen(password), parts, 2, u);
    memcpy(t, u, size);
    g_rounds(h, password, strlen(password), u, t, count - 1);
    g_free(&text);
}

/* HASH SALT COUNT: the salted password, in base64. */
static void g_salted(struct g_run *r, struct g_text *to, char *args)
{
    enum xmpp_tiny_hash h = g_hash_of(args);
    char *salt = strchr(args, ' '), *count = salt ? strchr(salt + 1, ' ') : NULL;
    const char *password = g_get(&r->settings, "password", 8);
    uint8_t t[64];
    if (count == NULL || password == NULL) {
        g_fail(r, "salted needs a hash, a salt, a count and a password", NULL, args);
        return;
    }
    g_salted_password(h, password, salt + 1, (size_t)(count - salt - 1), (uint32_t)strtoul(count, NULL, 10),
                      t);
    g_base64(to, t, g_hash_size(h));
}

/* Initiator or Responder, a token, the channel binding, which may be empty: the bytes by which both prove
 * that they know the token. [draft-schmaus-kitten-sasl-ht 3] */
static void g_ht(struct g_run *r, struct g_text *to, char *args)
{
    char *token = strchr(args, ' '), *binding = token ? strchr(token + 1, ' ') : NULL;
    struct xmpp_tiny_str parts[2];
    uint8_t mac[32];
    if (token == NULL) {
        g_fail(r, "ht needs Initiator or Responder, and a token", NULL, args);
        return;
    }
    *token++ = 0;
    if (binding)
        *binding++ = 0;
    parts[0] = xmpp_tiny_str(args);
    parts[1] = xmpp_tiny_str(binding ? binding : "");
    g_secret(r, token, strlen(token));
    xmpp_tiny_bearssl_crypto.hmac(XMPP_TINY_SHA256, token, strlen(token), parts, 2, mac);
    g_add(to, (const char *)mac, sizeof mac);
}

/* scram HASH CLIENT-FIRST-BARE SERVER-FIRST CLIENT-FINAL-WITHOUT-PROOF: makes {first}, {challenge},
 * {final}, {proof} and {signature}. [RFC5802 3] */
static void g_scram(struct g_run *r, char *args)
{
    static const char *const names[] = {"first", "challenge", "final"};
    enum xmpp_tiny_hash h = g_hash_of(args);
    size_t size = g_hash_size(h);
    const char *password = g_get(&r->settings, "password", 8), *s, *i;
    struct xmpp_tiny_str message[3], auth[5], label[2] = {{"Client Key", 10}, {"Server Key", 10}};
    uint8_t t[64], key[64], stored[64], signature[64];
    struct g_text text = {NULL, 0, 0};
    char *p = strtok(args, " ");
    for (int k = 0; k < 3 && p; k++) {
        p = strtok(NULL, " ");
        if (p) {
            message[k] = xmpp_tiny_str(p);
            g_set(&r->vars, names[k], strlen(names[k]), p);
        }
    }
    s = p ? strstr(message[1].ptr, "s=") : NULL;
    i = s ? strstr(s, ",i=") : NULL;
    if (i == NULL || password == NULL) {
        g_fail(r, "scram needs a hash, three messages and a password", NULL, NULL);
        return;
    }
    g_salted_password(h, password, s + 2, (size_t)(i - s - 2), (uint32_t)strtoul(i + 3, NULL, 10), t);
    auth[0] = message[0];
    auth[1] = auth[3] = (struct xmpp_tiny_str){",", 1};
    auth[2] = message[1];
    auth[4] = message[2];
    xmpp_tiny_bearssl_crypto.hmac(h, t, size, &label[0], 1, key);
    xmpp_tiny_bearssl_crypto.hash(h, key, size, stored);
    xmpp_tiny_bearssl_crypto.hmac(h, stored, size, auth, 5, signature);
    for (size_t k = 0; k < size; k++)
        key[k] ^= signature[k];
    text.len = 0;
    g_base64(&text, key, size);
    g_set(&r->vars, "proof", 5, text.ptr);
    xmpp_tiny_bearssl_crypto.hmac(h, t, size, &label[1], 1, key);
    xmpp_tiny_bearssl_crypto.hmac(h, key, size, auth, 5, signature);
    text.len = 0;
    g_base64(&text, signature, size);
    g_set(&r->vars, "signature", 9, text.ptr);
    g_free(&text);
}

/* ---- Platform and stream ---- */

static uint32_t g_now_ms(void *ctx)
{
    return ((struct g_run *)ctx)->now;
}

/* A nonce of 18 bytes counts up from 0; any other number is one byte over and over: 1, 2, 3 ..., or that of
 * the setting random. */
static bool g_random(void *ctx, void *buf, size_t len)
{
    struct g_run *r = ctx;
    const char *byte = g_get(&r->settings, "random", 6);
    unsigned value = byte ? (unsigned)strtoul(byte, NULL, 10) : r->numbers + 1;
    if (r->no_random)
        return false;
    r->numbers += len != 18 && byte == NULL;
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)(len == 18 ? i : value);
    return true;
}

static void g_trace(void *ctx, char direction, const char *text, size_t len)
{
    struct g_run *r = ctx;
    g_add(&r->trace, text, len);
    if (r->verbose)
        printf("%c %.*s\n", direction, (int)len, text);
}

static int g_no_secure(struct xmpp_tiny_stream *s, struct xmpp_tiny_str name)
{
    (void)s;
    (void)name;
    g_fail(g_playing, "the engine called the stream's secure()", NULL, NULL);
    return XMPP_TINY_IO_FAILED;
}

/* The setting session is what TLS goes on with if the last connection saved the same. */
static bool g_goes_on(const struct g_run *r)
{
    const char *session = g_get(&r->settings, "session", 7);
    return session && r->loaded.len && strcmp(r->loaded.ptr, session) == 0;
}

static int g_binding(struct xmpp_tiny_stream *s, enum xmpp_tiny_binding type, uint8_t *out)
{
    const char *name = type == XMPP_TINY_BINDING_TLS_UNIQUE ? "unique" : "endpoint";
    const char *data = g_get(&g_playing->settings, name, strlen(name));
    (void)s;
    if (data == NULL || (type == XMPP_TINY_BINDING_TLS_UNIQUE && g_goes_on(g_playing)))
        return XMPP_TINY_IO_FAILED;
    memcpy(out, data, strlen(data));
    return (int)strlen(data);
}

/* The settings trust, spki and cert; the latter two are bytes that fill the hash. */
static void g_security(struct xmpp_tiny_stream *s, struct xmpp_tiny_security *security)
{
    static const char *const names[] = {"none", "ca", "pin", "both", "first"};
    const char *trust = g_get(&g_playing->settings, "trust", 5),
               *key = g_get(&g_playing->settings, "spki", 4),
               *certificate = g_get(&g_playing->settings, "cert", 4);
    (void)s;
    security->trust = XMPP_TINY_TRUST_CA;
    for (unsigned i = 0; trust && i < sizeof names / sizeof *names; i++)
        if (strcmp(trust, names[i]) == 0)
            security->trust = (enum xmpp_tiny_trust)i;
    memset(security->spki, key ? *key : 0, sizeof security->spki);
    memset(security->certificate, certificate ? *certificate : 0, sizeof security->certificate);
    security->resumed = g_goes_on(g_playing);
}

static size_t g_save(struct xmpp_tiny_stream *s, uint8_t *data, size_t size)
{
    const char *session = g_get(&g_playing->settings, "session", 7);
    size_t len = session ? strlen(session) : 0;
    (void)s;
    if (size > 128)
        g_fail(g_playing, "asks for a TLS session of more than 128 bytes", NULL, NULL);
    if (len > size)
        return 0;
    memcpy(data, session ? session : "", len);
    return len;
}

static void g_load(struct xmpp_tiny_stream *s, const uint8_t *data, size_t len, const uint8_t *spki,
                   const uint8_t *certificate)
{
    (void)s;
    if (memcmp(spki, g_playing->saved.spki, 32) != 0 ||
        memcmp(certificate, g_playing->saved.certificate, 32) != 0)
        g_fail(g_playing, "loads a TLS session of another server", NULL, NULL);
    g_playing->loaded.len = 0;
    g_add(&g_playing->loaded, (const char *)data, len);
}

/* What the engine must not call is missing. */
static const struct xmpp_tiny_stream_ops g_ops = {
    .secure = g_no_secure, .binding = g_binding, .security = g_security, .save = g_save, .load = g_load};

/* ---- Events ---- */

static void g_field(struct g_text *t, const char *name, struct xmpp_tiny_str value)
{
    if (value.ptr == NULL)
        return;
    g_adds(t, " ");
    g_adds(t, name);
    g_adds(t, "='");
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] == '\n')
            g_adds(t, "\\n");
        else
            g_add(t, value.ptr + i, 1);
    g_adds(t, "'");
}

static void g_number(struct g_text *t, const char *name, long value)
{
    char text[48];
    snprintf(text, sizeof text, " %s=%ld", name, value);
    g_adds(t, text);
}

static void g_error(struct g_text *t, const struct xmpp_tiny_error *e)
{
    if (e->code == 0)
        return;
    g_adds(t, " ");
    g_adds(t, xmpp_tiny_err_name(e->code));
    g_field(t, "error", e->type);
    g_field(t, "condition", e->condition);
    g_field(t, "text", e->text);
}

/* The fields the header names for this kind. */
static void g_event_text(struct g_text *t, struct xmpp_tiny *x, const struct xmpp_tiny_event *e)
{
    static const char *const bindings[] = {"", " tls-unique", " tls-server-end-point"};
    static const char *const trusts[] = {" none", "", " pin", " both",
                                         " first"}; /* a CA goes without saying */
    struct xmpp_tiny_security security;
    bool stanza = e->kind == XMPP_TINY_EVENT_MESSAGE || e->kind == XMPP_TINY_EVENT_PRESENCE;
    g_adds(t, xmpp_tiny_event_name(e->kind));
    switch (e->kind) {
    case XMPP_TINY_EVENT_AUTHENTICATED:
        if (xmpp_tiny_security(x, &security) == 0 && security.authenticated) {
            g_adds(t, " ");
            g_adds(t, xmpp_tiny_mechanism_name(security.mechanism));
            g_adds(t, bindings[security.binding]);
            g_adds(t, security.via == XMPP_TINY_VIA_FAST ? " fast" : "");
        }
        g_adds(t, e->saved ? " saved" : "");
        break;
    case XMPP_TINY_EVENT_SECURED:
    case XMPP_TINY_EVENT_CHANGED:
        if (xmpp_tiny_security(x, &security) == 0 && !security.authenticated)
            g_adds(t, trusts[security.trust]);
        break;
    case XMPP_TINY_EVENT_ONLINE:
        g_field(t, "to", e->to);
        g_adds(t, e->resumed ? " resumed" : "");
        break;
    case XMPP_TINY_EVENT_MESSAGE:
    case XMPP_TINY_EVENT_PRESENCE:
    case XMPP_TINY_EVENT_ANSWER:
        if (!stanza)
            g_number(t, "request", e->request);
        g_field(t, "from", e->from);
        if (stanza)
            g_field(t, "to", e->to);
        g_field(t, "id", e->id);
        if (stanza)
            g_field(t, "type", e->type);
        g_field(t, "subject", e->subject);
        g_field(t, "body", e->body);
        g_field(t, "thread", e->thread);
        g_field(t, "show", e->show);
        g_field(t, "status", e->status);
        if (e->priority)
            g_number(t, "priority", e->priority);
        if (!stanza)
            g_field(t, "payload", xmpp_tiny_name(xmpp_tiny_child(e->el, NULL, "*")));
        g_error(t, &e->error);
        break;
    case XMPP_TINY_EVENT_ELEMENT:
        g_field(t, "name", xmpp_tiny_name(e->el));
        g_field(t, "ns", xmpp_tiny_ns(e->el));
        break;
    case XMPP_TINY_EVENT_SKIPPED:
        g_field(t, "name", e->name);
        g_field(t, "from", e->from);
        g_field(t, "id", e->id);
        g_field(t, "type", e->type);
        g_number(t, "size", (long)e->size);
        g_error(t, &e->error);
        break;
    case XMPP_TINY_EVENT_ERROR:
    case XMPP_TINY_EVENT_DISCONNECTED: /* 'pause' tells of its wait */
        g_error(t, &e->error);
        break;
    case XMPP_TINY_EVENT_DELIVERED:
    case XMPP_TINY_EVENT_UNDELIVERED:
        if (e->tag) {
            char tag[24];
            snprintf(tag, sizeof tag, " tag=%lu", (unsigned long)e->tag);
            g_adds(t, tag);
        }
        break;
    case XMPP_TINY_EVENT_CLOSED:
        if (e->unsent)
            g_number(t, "unsent", e->unsent);
        break;
    case XMPP_TINY_EVENT_CONNECTED:
    case XMPP_TINY_EVENT_REGISTERED:
    case XMPP_TINY_EVENT_ROOM:
        break;
    }
}

static int g_call(struct g_run *r, const char *text, const struct xmpp_tiny_event *event);

/* 'on' lines are played once each, the first that fits. */
static int g_act(struct g_run *r, const char *kind, const struct xmpp_tiny_event *event)
{
    size_t len = strlen(kind);
    for (size_t i = 0; i < G_ACTIONS; i++) {
        struct g_text *a = &r->actions[i];
        if (a->len > len && memcmp(a->ptr, kind, len) == 0 && a->ptr[len] == ' ') {
            int result;
            char *action = g_copy(a->ptr + len + 1, a->len - len - 1);
            a->len = 0;
            result = g_call(r, action, event);
            free(action);
            return result;
        }
    }
    return 0;
}

static void g_same_error(struct g_run *r, const struct xmpp_tiny_error *error, const char *why)
{
    struct g_text kept = {NULL, 0, 0};
    g_adds(&kept, "");
    g_error(&kept, error);
    if (strcmp(kept.ptr, r->error.len ? r->error.ptr : "") != 0)
        g_fail(r, why, r->error.len ? r->error.ptr : "none", kept.ptr);
    g_free(&kept);
}

static int g_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    struct g_run *r = user;
    size_t from = r->events.len;
    int result;
    const char *name = xmpp_tiny_event_name(event->kind);
    if (!r->connected)
        g_fail(r, "an event after CLOSED", NULL, name);
    g_event_text(&r->events, x, event);
    if (r->verbose)
        printf("* %s\n", r->events.ptr + from);
    g_adds(&r->events, "\n");
    if (event->kind == XMPP_TINY_EVENT_SECURED) {
        r->secured = true;
    } else if (event->kind == XMPP_TINY_EVENT_AUTHENTICATED) {
        r->authenticated = true;
    } else if (event->kind == XMPP_TINY_EVENT_ONLINE) {
        r->online = true;
    } else if (event->kind == XMPP_TINY_EVENT_ERROR) {
        r->error.len = 0;
        g_error(&r->error, &event->error);
    } else if (event->kind == XMPP_TINY_EVENT_DISCONNECTED) {
        g_same_error(r, xmpp_tiny_error(x), "xmpp_tiny_error() is not what ERROR told");
        g_same_error(r, &event->error, "DISCONNECTED does not tell what ERROR told");
        r->pause = event->wait;
    } else if (event->kind == XMPP_TINY_EVENT_CLOSED) {
        g_same_error(r, xmpp_tiny_error(x), "xmpp_tiny_error() is not what ERROR told");
        r->connected = false;
        r->closes++;
    }
    if (g_companion)
        g_companion->tells(r, event);
    result = g_act(r, name, event);
    if (g_companion)
        g_companion->told(r, result);
    return result;
}

/* Handlers tell the transcript of the request, then do what an 'on IQ' line says or their own. */
static int g_handle(struct g_run *r, const struct xmpp_tiny_event *event, const char *name)
{
    g_adds(&r->events, "IQ handler=");
    g_adds(&r->events, name);
    g_field(&r->events, "from", event->from);
    g_field(&r->events, "id", event->id);
    g_field(&r->events, "type", event->type);
    g_adds(&r->events, "\n");
    return g_act(r, "IQ", event);
}

static int g_handle_echo(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    int result = g_handle(user, event, "echo");
    if (result)
        return result;
    xmpp_tiny_begin_result(x, event->el);
    xmpp_tiny_put_element(x, "echo", "urn:example:echo",
                          xmpp_tiny_text(xmpp_tiny_child(event->el, "echo", "urn:example:echo")));
    return xmpp_tiny_send(x);
}

static int g_handle_refuse(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    int result = g_handle(user, event, "refuse");
    (void)x;
    return result ? result : XMPP_TINY_CONDITION_FORBIDDEN;
}

static int g_handle_later(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    (void)x;
    return g_handle(user, event, "later");
}

static const struct xmpp_tiny_handler g_handlers[] = {
    {"echo", "urn:example:echo", g_handle_echo},
    {"refuse", "urn:example:refuse", g_handle_refuse},
    {"later", "urn:example:later", g_handle_later},
};

/* ---- Calls ---- */

static struct xmpp_tiny_str g_arg(const struct g_vars *args, const char *name)
{
    return xmpp_tiny_str(g_get(args, name, strlen(name)));
}

static uint32_t g_arg_number(const struct g_vars *args, const char *name)
{
    const char *value = g_get(args, name, strlen(name));
    return value ? (uint32_t)strtoul(value, NULL, 10) : 0;
}

static int g_request(struct g_run *r, const struct g_vars *args)
{
    const char *type = g_get(args, "type", 4), *name = g_get(args, "name", 4), *ns = g_get(args, "ns", 2);
    xmpp_tiny_begin_request(&r->x, type ? type : "get", g_arg(args, "to"), g_arg_number(args, "timeout"));
    xmpp_tiny_put_element(&r->x, name ? name : "query", ns, xmpp_tiny_str(g_get(args, "text", 4)));
    if (g_get(args, "text", 4) == NULL)
        xmpp_tiny_put_start(&r->x, name ? name : "query", ns);
    return xmpp_tiny_send(&r->x);
}

static int g_presence(struct g_run *r, const struct g_vars *args)
{
    struct xmpp_tiny_presence p;
    const char *priority = g_get(args, "priority", 8);
    p.to = g_arg(args, "to");
    p.type = g_arg(args, "type");
    p.id = g_arg(args, "id");
    p.show = g_arg(args, "show");
    p.status = g_arg(args, "status");
    p.priority = (int8_t)(priority ? strtol(priority, NULL, 10) : 0);
    return xmpp_tiny_presence(&r->x, &p);
}

static int g_message(struct g_run *r, const struct g_vars *args)
{
    struct xmpp_tiny_message m;
    m.to = g_arg(args, "to");
    m.type = g_arg(args, "type");
    m.id = g_arg(args, "id");
    m.subject = g_arg(args, "subject");
    m.body = g_arg(args, "body");
    m.thread = g_arg(args, "thread");
    return xmpp_tiny_message(&r->x, &m);
}

static int g_reject(struct g_run *r, const struct g_vars *args, const struct xmpp_tiny_event *event)
{
    static const char *const names[] = {"",
#define XMPP_TINY_X(name, element, ...) element,
                                        XMPP_TINY_CONDITIONS(XMPP_TINY_X)
#undef XMPP_TINY_X
    };
    const char *condition = g_get(args, "condition", 9);
    for (size_t i = 1; condition && event && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], condition) == 0)
            return xmpp_tiny_reject(&r->x, event->el, (enum xmpp_tiny_condition)i, g_arg(args, "text"));
    g_fail(r, "reject needs an event and a condition", NULL, NULL);
    return 0;
}

static int g_code(const char *name)
{
    for (int err = XMPP_TINY_ERR_FIRST_ + 1; err < 0; err++)
        if (strcmp(name, xmpp_tiny_err_name(err)) == 0)
            return err;
    return (int)strtol(name, NULL, 10);
}

/* What was saved under this name, or with `fresh` a place for it. */
static struct g_text *g_blob(struct g_run *r, const char *name, bool fresh)
{
    for (size_t i = 0; i < G_BLOBS; i++)
        if (strcmp(r->blobs[i].name, name) == 0)
            return &r->blobs[i].data;
    for (size_t i = 0; fresh && i < G_BLOBS; i++)
        if (r->blobs[i].name[0] == 0 && strlen(name) < sizeof r->blobs[i].name) {
            strcpy(r->blobs[i].name, name);
            return &r->blobs[i].data;
        }
    g_fail(r, "nothing is saved under this name, or too much", NULL, name);
    return NULL;
}

/* The first word alone. */
static const char *g_first(char *text)
{
    text[strcspn(text, " ")] = 0;
    return text;
}

/* NAME [size=N] [short=N]: what was saved counts, if it was. */
static int g_call_save(struct g_run *r, const char *name, const struct g_vars *args)
{
    struct g_text *blob = g_blob(r, name, true);
    size_t size = XMPP_TINY_SAVE_MAX + r->config.tx_size;
    char *bytes = g_alloc(NULL, size);
    int got;
    size = g_get(args, "size", 4) ? g_arg_number(args, "size") : size;
    got = xmpp_tiny_save(&r->x, bytes, size);
    if (got > 0 && g_get(args, "short", 5)) {
        size = (size_t)got - g_arg_number(args, "short");
        got = xmpp_tiny_save(&r->x, bytes, size);
    }
    if (got > 0 && (size_t)got > size)
        g_fail(r, "saves more than there is room for", NULL, NULL);
    if (got > 0 && blob) {
        blob->len = 0;
        g_add(blob, bytes, (size_t)got);
    }
    free(bytes);
    return got > 0 ? 0 : got;
}

static int g_call_load(struct g_run *r, const char *name)
{
    struct g_text *blob = g_blob(r, name, false);
    return blob ? xmpp_tiny_load(&r->x, blob->ptr, blob->len) : 0;
}

/* Each byte changed, each length but its own: all are refused, and nothing comes of it. */
static void g_call_damaged(struct g_run *r, const char *name)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xFF};
    struct g_text *blob = g_blob(r, name, false);
    size_t len = blob ? blob->len : 0;
    char at[32], *bytes = g_alloc(NULL, len + 1);
    for (size_t i = 0; i < len * 3 && !r->failed; i++) {
        memcpy(bytes, blob->ptr, len);
        bytes[i / 3] = (char)(bytes[i / 3] ^ (char)masks[i % 3]);
        snprintf(at, sizeof at, "byte %zu ^ %02x", i / 3, masks[i % 3]);
        if (xmpp_tiny_load(&r->x, bytes, len) != XMPP_TINY_ERR_SAVED)
            g_fail(r, "what is damaged is loaded", "SAVED", at);
    }
    for (size_t i = 0; blob && i <= len + 1 && !r->failed; i++) {
        memcpy(bytes, blob->ptr, len);
        bytes[len] = 0;
        snprintf(at, sizeof at, "%zu bytes of %zu", i, len);
        if (i != len && xmpp_tiny_load(&r->x, bytes, i) != XMPP_TINY_ERR_SAVED)
            g_fail(r, "what is cut off is loaded", "SAVED", at);
    }
    free(bytes);
}

static void g_init(struct g_run *r);

/* True for calls that hand over a stanza. */
static bool g_sends(const char *call)
{
    static const char *const names[] = {"message", "presence", "ping", "request", "raw", "password"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (g_begins(call, names[i]))
            return true;
    return false;
}

/* Calls the client; "-> RESULT" at the end tells what it must return if that is not 0. Returns what an
 * event callback has to: "again" makes that AGAIN, "condition=..." a handler's answer. */
static int g_call(struct g_run *r, const char *text, const struct xmpp_tiny_event *event)
{
    struct g_text whole = {NULL, 0, 0};
    struct g_vars args = {NULL, 0};
    char *arrow, *rest;
    int wanted = 0, got = 0, result = 0;
    g_expand(r, &whole, text, strlen(text));
    arrow = strstr(whole.ptr, " -> ");
    if (arrow) {
        *arrow = 0;
        wanted = g_code(arrow + 4);
    }
    rest = strchr(whole.ptr, ' ');
    rest = rest ? rest + 1 : whole.ptr + strlen(whole.ptr);
    if (r->dirty && !r->connected)
        g_init(r);
    if (g_begins(whole.ptr, "raw tag=")) {
        xmpp_tiny_tag(&r->x, (uint32_t)strtoul(rest + 4, &rest, 10));
        rest += *rest == ' ';
    } else {
        g_words(&args, rest);
    }
    if (g_get(&args, "tag", 3))
        xmpp_tiny_tag(&r->x, g_arg_number(&args, "tag"));
    if (g_companion && g_sends(whole.ptr))
        xmpp_tiny_tag(&r->x, g_companion->tag(r));
    if (g_begins(whole.ptr, "again"))
        result = XMPP_TINY_ERR_AGAIN;
    else if (g_begins(whole.ptr, "return"))
        result = (int)strtol(rest, NULL, 10);
    else if (g_begins(whole.ptr, "message"))
        got = g_message(r, &args);
    else if (g_begins(whole.ptr, "presence"))
        got = g_presence(r, &args);
    else if (g_begins(whole.ptr, "ping"))
        got = xmpp_tiny_ping(&r->x, g_arg(&args, "to"), g_arg_number(&args, "timeout"));
    else if (g_begins(whole.ptr, "request"))
        got = g_request(r, &args);
    else if (g_begins(whole.ptr, "raw"))
        got = xmpp_tiny_send_raw(&r->x, xmpp_tiny_str(rest));
    else if (g_begins(whole.ptr, "reject"))
        got = g_reject(r, &args, event);
    else if (g_begins(whole.ptr, "disconnect"))
        got = xmpp_tiny_disconnect(&r->x);
    else if (g_begins(whole.ptr, "suspend"))
        got = xmpp_tiny_suspend(&r->x);
    else if (g_begins(whole.ptr, "save "))
        got = g_call_save(r, g_first(rest), &args);
    else if (g_begins(whole.ptr, "load "))
        got = g_call_load(r, rest);
    else if (g_begins(whole.ptr, "damaged "))
        g_call_damaged(r, rest);
    else if (g_begins(whole.ptr, "active"))
        xmpp_tiny_active(&r->x, true);
    else if (g_begins(whole.ptr, "inactive"))
        xmpp_tiny_active(&r->x, false);
    else if (g_begins(whole.ptr, "forget"))
        xmpp_tiny_forget(&r->x);
    else if (g_begins(whole.ptr, "connect"))
        got = xmpp_tiny_connect(&r->x);
    else if (g_begins(whole.ptr, "password"))
        got = xmpp_tiny_change_password(&r->x, g_arg(&args, "new"), g_arg_number(&args, "timeout"));
    else if (g_begins(whole.ptr, "step"))
        got = (int)xmpp_tiny_step(&r->x);
    else
        g_fail(r, "no such call", NULL, whole.ptr);
    if (g_companion)
        g_companion->called(r, whole.ptr, got);
    else if (got != wanted) {
        char numbers[2][16];
        snprintf(numbers[0], sizeof numbers[0], "%d", wanted);
        snprintf(numbers[1], sizeof numbers[1], "%d", got);
        g_fail(r, whole.ptr, wanted < 0 ? xmpp_tiny_err_name(wanted) : numbers[0],
               got < 0 ? xmpp_tiny_err_name(got) : numbers[1]);
    }
    if (event && got == XMPP_TINY_ERR_AGAIN && (wanted == got || g_companion))
        result = got;
    g_vars_free(&args);
    g_free(&whole);
    return result;
}

/* ---- Playing ---- */

static bool g_clear_ok(const char *p)
{
    static const char *const whole[] = {
        "<?xml version='1.0'?>", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "</stream:stream>"};
    while (*p) {
        const char *end = NULL;
        for (size_t i = 0; i < 3; i++)
            if (g_begins(p, whole[i]))
                end = p + strlen(whole[i]);
        if (g_begins(p, "<stream:stream ") && strchr(p, '>')) {
            end = strchr(p, '>') + 1;
            if (g_has(p, (size_t)(end - p), " from=", 6))
                return false;
        }
        if (g_begins(p, "<stream:error><") && strstr(p, "</stream:error>"))
            end = strstr(p, "</stream:error>") + 15;
        if (end == NULL)
            return false;
        p = end;
    }
    return true;
}

static bool g_early_ok(const char *p)
{
    const char *iq = p;
    if (strstr(p, "<message") || strstr(p, "<presence"))
        return false;
    while ((iq = strstr(iq, "<iq")) != NULL) {
        iq = strchr(iq, '>');
        if (iq == NULL || (!g_begins(iq, "><bind ") && !g_begins(iq, "><query xmlns='jabber:iq:register'")))
            return false;
    }
    return true;
}

/* The connection's bytes that went out too early for anything worth knowing. */
static void g_check_sent(struct g_run *r)
{
    if (r->clear.len && !g_clear_ok(r->clear.ptr))
        g_fail(r, "sent before SECURED", NULL, r->clear.ptr);
    if (r->early.len && !g_early_ok(r->early.ptr))
        g_fail(r, "sent before ONLINE", NULL, r->early.ptr);
    r->clear.len = r->early.len = 0;
    r->secured = r->authenticated = r->online = false;
}

/* Takes at most max of what the client has to send. */
static bool g_drain(struct g_run *r, size_t max)
{
    size_t len, total = 0;
    const char *p;
    while (total < max && (p = xmpp_tiny_tx(&r->x, &len)) != NULL && len) {
        size_t n = r->bytes ? 1 : len;
        n = n < max - total ? n : max - total;
        g_add(&r->out, p, n);
        if (!r->secured)
            g_add(&r->clear, p, n);
        if (!r->online && !(r->authenticated && r->config.queue_size))
            g_add(&r->early, p, n);
        xmpp_tiny_sent(&r->x, n);
        total += n;
        if (g_companion)
            g_companion->sent(r, r->out.ptr + r->out.len - n, n);
    }
    return total > 0;
}

static void g_settle(struct g_run *r)
{
    for (long i = 0; i < 50000; i++) {
        bool moved, waits = xmpp_tiny_state(&r->x) == XMPP_TINY_STATE_WAIT;
        r->wait = xmpp_tiny_step(&r->x);
        if (waits && xmpp_tiny_state(&r->x) == XMPP_TINY_STATE_OPEN) { /* by itself */
            r->error.len = 0;
            r->rounds = 0;
        }
        moved = !r->hold && g_drain(r, SIZE_MAX);
        if ((r->wait || xmpp_tiny_want(&r->x) == XMPP_TINY_WANT_CLOSE) && !moved) {
            if (g_companion)
                g_companion->settled(r);
            return;
        }
        if (r->wait == 0 && xmpp_tiny_state(&r->x) == XMPP_TINY_STATE_OFF)
            g_fail(r, "a client that is off wants to be called", NULL, NULL);
        if (r->failed)
            return;
    }
    g_fail(r, "the client never comes to rest", NULL, NULL);
}

/* Hands over as many of the server's bytes as the client takes. */
static void g_feed(struct g_run *r, const char *p, size_t len)
{
    while (len && !r->failed) {
        size_t room;
        void *window = xmpp_tiny_rx(&r->x, &room);
        if (window == NULL || room == 0)
            break;
        room = room < len ? room : len;
        memcpy(window, p, room);
        xmpp_tiny_received(&r->x, room);
        p += room;
        len -= room;
        g_settle(r);
        if (g_companion)
            g_companion->got(r);
    }
    if (xmpp_tiny_state(&r->x) != XMPP_TINY_STATE_SHUT && xmpp_tiny_state(&r->x) != XMPP_TINY_STATE_OFF)
        g_add(&r->pending, p, len);
}

static void g_feed_pending(struct g_run *r)
{
    struct g_text waiting = r->pending;
    memset(&r->pending, 0, sizeof r->pending);
    g_feed(r, waiting.ptr, waiting.len);
    g_free(&waiting);
}

static void g_server(struct g_run *r, const char *p, size_t len, bool whole)
{
    if (r->longest && !whole && !r->line->fixed && len > *r->longest)
        *r->longest = len;
    if (g_companion)
        g_companion->says(r, p, len);
    if (r->pending.len) {
        g_add(&r->pending, p, len);
    } else if (r->bytes && !whole) {
        for (size_t i = 0; i < len && !r->failed; i++) {
            if (r->pending.len)
                g_add(&r->pending, p + i, 1);
            else
                g_feed(r, p + i, 1);
        }
    } else if (!whole && !r->line->fixed && r->cut_at && r->cut_at < len) {
        g_feed(r, p, r->cut_at);
        if (r->pending.len)
            g_add(&r->pending, p + r->cut_at, len - r->cut_at);
        else
            g_feed(r, p + r->cut_at, len - r->cut_at);
    } else {
        g_feed(r, p, len);
    }
    if (r->pending.len && !r->hold)
        g_fail(r, "the client does not take the server's bytes", NULL, r->pending.ptr);
}

static const char *const g_wants[] = {"NOTHING", "OPEN", "SECURE", "IO", "SHUT", "CLOSE"};

static void g_want(struct g_run *r, const char *text)
{
    struct g_text now = {NULL, 0, 0};
    enum xmpp_tiny_want want = xmpp_tiny_want(&r->x);
    g_adds(&now, g_wants[want]);
    if (want == XMPP_TINY_WANT_OPEN) {
        uint16_t port;
        struct xmpp_tiny_str host = xmpp_tiny_host(&r->x, &port);
        char number[16];
        g_check_sent(r);
        g_adds(&now, " ");
        g_add(&now, host.ptr, host.len);
        snprintf(number, sizeof number, " %u", port);
        g_adds(&now, number);
    } else if (want == XMPP_TINY_WANT_SECURE) {
        struct xmpp_tiny_str domain = xmpp_tiny_domain(&r->x);
        g_adds(&now, " ");
        g_add(&now, domain.ptr, domain.len);
    }
    if (strcmp(now.ptr, text) != 0)
        g_fail(r, "wants something else", text, now.ptr);
    g_free(&now);
}

static void g_report(struct g_run *r, const char *text)
{
    enum xmpp_tiny_want want = xmpp_tiny_want(&r->x);
    if (g_companion)
        g_companion->wanted(r);
    if (strcmp(text, "ok") == 0) {
        xmpp_tiny_report(&r->x, want, 1, 0, NULL);
    } else if (strcmp(text, "end") == 0) {
        xmpp_tiny_report(&r->x, want, 0, 0, NULL);
    } else {
        size_t len = strcspn(text, " ");
        char *name = g_copy(text, len);
        static char detail[80];
        snprintf(detail, sizeof detail, "%s", text[len] ? text + len + 1 : "");
        xmpp_tiny_report(&r->x, want, XMPP_TINY_IO_FAILED, g_code(name), detail[0] ? detail : NULL);
        free(name);
    }
    g_settle(r);
}

/* "SHUT": TLS and transport are ended in order and closed; "CLOSE": only closed, they are broken. */
static void g_end(struct g_run *r, const char *how)
{
    if (strcmp(how, "SHUT") == 0) {
        g_want(r, "SHUT");
        if (g_companion)
            g_companion->wanted(r);
        xmpp_tiny_report(&r->x, XMPP_TINY_WANT_SHUT, 1, 0, NULL);
        g_settle(r);
    }
    g_want(r, "CLOSE");
    if (g_companion)
        g_companion->wanted(r);
    xmpp_tiny_report(&r->x, XMPP_TINY_WANT_CLOSE, 1, 0, NULL);
    g_settle(r);
}

static uint32_t g_mechanisms(struct g_run *r, const char *list)
{
    uint32_t bits = 0;
    while (list && *list) {
        size_t len = strcspn(list, ",");
        char *name = g_copy(list, len);
        int m = xmpp_tiny_mechanism_number(name);
        if (m < 0)
            g_fail(r, "no such mechanism", NULL, name);
        else
            bits |= 1U << m;
        free(name);
        list += len + (list[len] == ',');
    }
    return bits;
}

/* A buffer's size: "min", a number, or by default the comfortable one. */
static size_t g_size(const struct g_run *r, const char *name, size_t min, size_t comfortable)
{
    const char *value = g_get(&r->settings, name, 2);
    if (value ? strcmp(value, "min") == 0 : r->small)
        return min;
    return value ? g_arg_number(&r->settings, name) : comfortable;
}

static void g_expect_number(struct g_run *r, const char *what, uint32_t got, const char *wanted)
{
    char text[24];
    snprintf(text, sizeof text, "%lu", (unsigned long)got);
    if (strcmp(got == XMPP_TINY_FOREVER ? "FOREVER" : text, wanted) != 0)
        g_fail(r, what, wanted, text);
}

/* xmpp_tiny_init() with the configuration as it is now. */
static void g_init(struct g_run *r)
{
    const struct g_vars *s = &r->settings;
    struct xmpp_tiny_config *c = &r->config;
    const char *ping = g_get(s, "ping", 4), *pipelining = g_get(s, "pipelining", 10);
    memset(c, 0, sizeof *c);
    c->jid = g_get(s, "jid", 3);
    c->password = g_get(s, "nopassword", 10) ? NULL : g_get(s, "password", 8);
    c->saved = g_get(s, "saved", 5) ? &r->saved : NULL;
    c->classic = g_get(s, "classic", 7) != NULL;
    c->no_pipelining = pipelining == NULL || strcmp(pipelining, "on") != 0;
    c->carbons = g_get(s, "carbons", 7) != NULL;
    c->create_account = g_get(s, "create", 6) != NULL;
    c->mechanisms = g_mechanisms(r, g_get(s, "mechanisms", 10));
    c->tls = g_get(s, "direct", 6) ? XMPP_TINY_TLS_DIRECT : XMPP_TINY_TLS_START;
    c->host = g_get(s, "host", 4);
    c->port = (uint16_t)g_arg_number(s, "port");
    c->stream = &r->stream;
    c->platform = &r->platform;
    c->crypto = &g_crypto;
    c->queue_size = g_arg_number(s, "queue");
    c->resend = g_get(s, "resend", 6) != NULL;
    c->rx_size = g_size(r, "rx", XMPP_TINY_RX_MIN, 2048);
    c->tx_size = g_size(r, "tx", XMPP_TINY_TX_MIN, 1024) + c->queue_size;
    c->rx = r->rx = g_alloc(r->rx, c->rx_size);
    c->tx = r->tx = g_alloc(r->tx, c->tx_size);
    memset(r->rx, 0xA5, c->rx_size);
    memset(r->tx, 0xA5, c->tx_size);
    c->event = g_event;
    c->handlers = g_handlers;
    c->handler_count = sizeof g_handlers / sizeof *g_handlers;
    c->user = r;
    c->timeout_ms = g_arg_number(s, "timeout");
    c->iterations_max = g_arg_number(s, "iterations_max");
    c->iterations_slice = g_arg_number(s, "slice");
    c->redirects_max = (uint8_t)g_arg_number(s, "redirects");
    c->keep = g_get(s, "keep", 4) != NULL;
    c->retry_ms = g_arg_number(s, "retry");
    c->retry_max_ms = g_arg_number(s, "retry_max");
    c->ping_ms = ping ? g_arg_number(s, "ping") : g_companion ? 0 : XMPP_TINY_FOREVER;
    c->space_ms = g_arg_number(s, "space");
    r->no_random = g_get(s, "norandom", 8) != NULL;
    if (g_companion)
        g_companion->called(r, "init", 0);
    r->unfit = xmpp_tiny_init(&r->x, c);
    r->initialised |= r->unfit == 0;
    r->dirty = false;
}

static void g_connect(struct g_run *r, const char *text)
{
    int got;
    if (r->dirty)
        g_init(r);
    r->error.len = 0;
    r->rounds = 0;
    r->hold = false;
    r->connected = true;
    r->connects++;
    got = r->unfit ? r->unfit : xmpp_tiny_connect(&r->x);
    if (g_companion)
        g_companion->called(r, "connect", got);
    if (got != g_code(text)) {
        g_fail(r, "connect", text[0] ? text : "0", xmpp_tiny_err_name(got));
        return;
    }
    if (got == 0)
        g_settle(r);
    else
        r->connected = false, r->connects--;
}

/* All is lost but what was saved. */
static void g_power_off(struct g_run *r)
{
    g_check_sent(r);
    memset(&r->x, 0xA5, sizeof r->x);
    memset(&r->saved, 0, sizeof r->saved);
    for (size_t i = 0; i < G_ACTIONS; i++)
        if (r->actions[i].len)
            g_fail(r, "never came", r->actions[i].ptr, NULL);
    if (g_companion)
        g_companion->called(r, "power off", 0);
    r->pending.len = r->error.len = r->loaded.len = 0;
    r->connected = r->hold = r->initialised = false;
    r->closes = r->connects;
    r->dirty = true;
}

/* Goes on to just before the next attempt, which begins when it was told to. */
static void g_pause(struct g_run *r)
{
    if (r->pause) {
        r->now += r->pause - 1;
        g_settle(r);
        if (r->wait != 1 || xmpp_tiny_state(&r->x) != XMPP_TINY_STATE_WAIT)
            g_fail(r, "does not wait as long as it was told", NULL,
                   xmpp_tiny_state_name(xmpp_tiny_state(&r->x)));
        r->now++;
    }
    g_settle(r);
}

/* The wait that DISCONNECTED told lies between LOW and HIGH, and is that of the last step. */
static void g_expect_pause(struct g_run *r, char *text)
{
    char *high, told[24];
    uint32_t low = (uint32_t)strtoul(text, &high, 10);
    snprintf(told, sizeof told, "%lu", (unsigned long)r->pause);
    if (r->pause < low || r->pause > (uint32_t)strtoul(high, NULL, 10))
        g_fail(r, "the wait that was told", text, told);
    g_expect_number(r, "wants to be called in", r->wait, told);
}

static void g_expect_security(struct g_run *r, const char *wanted)
{
    static const char *const names[] = {"classic", "sasl2", "fast"};
    struct xmpp_tiny_security security;
    char text[32] = "none";
    if (xmpp_tiny_security(&r->x, &security) == 0)
        snprintf(text, sizeof text, "%s%s", names[security.via], security.resumed ? " resumed" : "");
    if (strcmp(text, wanted) != 0)
        g_fail(r, "logged in by something else", wanted, text);
}

static void g_expect_sent(struct g_run *r, const char *p, size_t len)
{
    if (r->out.len < len || memcmp(r->out.ptr, p, len) != 0)
        g_fail(r, "sent something else", p, r->out.len ? r->out.ptr : "nothing");
    else
        g_cut(&r->out, len);
}

static void g_expect_event(struct g_run *r, const char *text)
{
    size_t len = strlen(text);
    if (r->events.len <= len || memcmp(r->events.ptr, text, len) != 0 || r->events.ptr[len] != '\n')
        g_fail(r, "told something else", text, r->events.len ? r->events.ptr : "nothing");
    else
        g_cut(&r->events, len + 1);
}

/* True when `text` is the command `word`; *rest is what follows it. */
static bool g_word(const char *text, const char *word, const char **rest)
{
    size_t len = strlen(word);
    if (strncmp(text, word, len) != 0 || (text[len] && text[len] != ' '))
        return false;
    *rest = text + len + (text[len] == ' ');
    return true;
}

/* One event of this kind, whatever its fields. */
static void g_told_once(struct g_run *r, const char *kind)
{
    const char *end = r->events.len ? strchr(r->events.ptr, '\n') : NULL;
    size_t len = strlen(kind);
    if (end && strcspn(r->events.ptr, " \n") == len && memcmp(r->events.ptr, kind, len) == 0)
        g_cut(&r->events, (size_t)(end - r->events.ptr) + 1);
    else
        g_fail(r, "told something else", kind, r->events.len ? r->events.ptr : "nothing");
}

static void g_nothing_left(struct g_run *r)
{
    if (r->out.len)
        g_fail(r, "sent what the transcript does not have", NULL, r->out.ptr);
    if (r->events.len)
        g_fail(r, "told what the transcript does not have", NULL, r->events.ptr);
}

static void g_on(struct g_run *r, const char *text)
{
    size_t i = 0;
    while (i < G_ACTIONS && r->actions[i].len)
        i++;
    if (i == G_ACTIONS)
        g_fail(r, "too many actions wait", NULL, NULL);
    else
        g_adds(&r->actions[i], text);
}

/* True for lines that do nothing but expect. */
static bool g_expects(const char *text)
{
    static const char *const words[] = {">",      "*",     "sent", "told",        "wait",
                                        "rounds", "pause", "via",  "loaded",      "changed",
                                        "state",  "jid",   "want", "call damaged"};
    const char *rest;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (g_word(text, words[i], &rest))
            return true;
    return false;
}

static void g_play_line(struct g_run *r)
{
    struct g_text t = {NULL, 0, 0};
    const char *rest = "";
    g_expand(r, &t, r->line->text, strlen(r->line->text));
    if (t.len && g_companion)
        g_companion->line(r, t.ptr);
    if (t.len == 0) {
    } else if (g_companion && g_expects(t.ptr)) {
        r->out.len = r->events.len = 0;
    } else if (g_word(t.ptr, ">", &rest)) {
        g_expect_sent(r, rest, t.len - (size_t)(rest - t.ptr));
    } else if (g_word(t.ptr, "*", &rest)) {
        g_expect_event(r, rest);
    } else if (g_word(t.ptr, "sent", &rest)) {
        r->out.len = 0;
    } else if (g_word(t.ptr, "told", &rest)) {
        g_told_once(r, rest);
    } else if (g_word(t.ptr, "wait", &rest)) {
        g_expect_number(r, "wants to be called in", r->wait, rest);
    } else if (g_word(t.ptr, "rounds", &rest)) {
        g_expect_number(r, "rounds of key derivation", r->rounds, rest);
    } else if (g_word(t.ptr, "pause", &rest)) {
        g_expect_pause(r, t.ptr + (rest - t.ptr));
    } else if (g_word(t.ptr, "via", &rest)) {
        g_expect_security(r, rest);
    } else if (g_word(t.ptr, "loaded", &rest)) {
        if (strcmp(r->loaded.len ? r->loaded.ptr : "", rest) != 0)
            g_fail(r, "TLS session", rest, r->loaded.len ? r->loaded.ptr : "none");
        r->loaded.len = 0;
    } else if (g_word(t.ptr, "changed", &rest)) {
        if (xmpp_tiny_changed(&r->x) != (strcmp(rest, "yes") == 0))
            g_fail(r, "xmpp_tiny_changed() is not that", rest, NULL);
    } else if (g_word(t.ptr, "counters", &rest)) {
        char *acked;
        r->x.link.in = (uint32_t)strtoul(rest, &acked, 10);
        r->x.link.acked = (uint32_t)strtoul(acked, NULL, 10);
    } else if (g_word(t.ptr, "state", &rest)) {
        if (strcmp(xmpp_tiny_state_name(xmpp_tiny_state(&r->x)), rest) != 0)
            g_fail(r, "state", rest, xmpp_tiny_state_name(xmpp_tiny_state(&r->x)));
    } else if (g_word(t.ptr, "jid", &rest)) {
        if (!xmpp_tiny_same(xmpp_tiny_jid(&r->x), rest[0] ? xmpp_tiny_str(rest) : xmpp_tiny_str(NULL)))
            g_fail(r, "our JID is not that", rest, NULL);
    } else if (g_word(t.ptr, "config", &rest)) {
        g_words(&r->settings, rest);
        r->dirty = true;
    } else if (g_word(t.ptr, "lost", &rest)) {
        g_unset(&r->settings, rest);
        r->no_random |= strcmp(rest, "random") == 0;
    } else if (g_word(t.ptr, "scram", &rest)) {
        g_scram(r, t.ptr + (rest - t.ptr));
    } else if (g_word(t.ptr, "on", &rest)) {
        g_on(r, rest);
    } else {
        if (g_companion)
            r->out.len = r->events.len = 0;
        g_nothing_left(r);
        if (r->failed) {
        } else if (g_word(t.ptr, "connect", &rest)) {
            g_connect(r, rest);
        } else if (g_word(t.ptr, "<", &rest) || g_word(t.ptr, "<<", &rest)) {
            g_server(r, rest, t.len - (size_t)(rest - t.ptr), t.ptr[1] == '<');
        } else if (g_word(t.ptr, "want", &rest)) {
            g_want(r, rest);
        } else if (g_word(t.ptr, "report", &rest)) {
            g_report(r, rest);
        } else if (g_word(t.ptr, "end", &rest)) {
            g_end(r, rest);
        } else if (g_word(t.ptr, "call", &rest)) {
            g_call(r, rest, NULL);
            g_settle(r);
        } else if (g_word(t.ptr, "first", &rest)) {
            g_call(r, rest, NULL);
        } else if (strcmp(t.ptr, "power off") == 0) {
            g_power_off(r);
        } else if (strcmp(t.ptr, "time pause") == 0) {
            g_pause(r);
        } else if (g_word(t.ptr, "late", &rest)) {
            r->now += (uint32_t)strtoul(rest, NULL, 10);
        } else if (g_word(t.ptr, "time", &rest)) {
            r->now += (uint32_t)strtoul(rest, NULL, 10);
            g_settle(r);
        } else if (g_word(t.ptr, "hold", &rest)) {
            r->hold = true;
        } else if (g_word(t.ptr, "drain", &rest)) {
            g_drain(r, rest[0] ? (size_t)strtoul(rest, NULL, 10) : SIZE_MAX);
            r->hold = rest[0] != 0;
            g_settle(r);
            g_feed_pending(r);
        } else {
            g_fail(r, "no such line", NULL, t.ptr);
        }
    }
    g_free(&t);
}

/* Neither the trace nor, when all is over, memory may hold these. */
static void g_check_secrets(struct g_run *r)
{
    const char *password = g_get(&r->settings, "password", 8);
    const struct {
        const char *name, *ptr;
        size_t len;
    } places[] = {{"the context", (const char *)&r->x, sizeof r->x},
                  {"the receive buffer", r->rx, r->config.rx_size},
                  {"the transmit buffer", r->tx, r->config.tx_size},
                  {"the trace", r->trace.ptr, r->trace.len}};
    struct g_text forms[4];
    memset(forms, 0, sizeof forms);
    if (password) {
        g_adds(&forms[0], password);
        for (size_t shift = 0; shift < 3;
             shift++) { /* what base64 makes of it, less what neighbours change */
            struct g_text raw = {NULL, 0, 0};
            g_add(&raw, "\0\0", shift);
            g_adds(&raw, password);
            g_base64(&forms[shift + 1], raw.ptr, raw.len / 3 * 3);
            g_cut(&forms[shift + 1], shift ? 4 : 0);
            g_free(&raw);
        }
    }
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        for (size_t k = 0; k < 4; k++)
            if (g_has(places[i].ptr, places[i].len, forms[k].ptr, forms[k].len))
                g_fail(r, "holds the password", k ? "in base64" : "in the clear", places[i].name);
        for (size_t k = 0; k < r->secret_count; k++)
            if (g_has(places[i].ptr, places[i].len, r->secrets[k].data, r->secrets[k].len))
                g_fail(r, "holds a token, or a key made from the password", NULL, places[i].name);
    }
    for (size_t i = 0; i < 4; i++)
        g_free(&forms[i]);
}

static void g_run_free(struct g_run *r)
{
    g_vars_free(&r->vars);
    g_vars_free(&r->settings);
    free(r->rx);
    free(r->tx);
    g_free(&r->events);
    g_free(&r->out);
    g_free(&r->pending);
    g_free(&r->clear);
    g_free(&r->early);
    g_free(&r->trace);
    g_free(&r->error);
    g_free(&r->loaded);
    for (size_t i = 0; i < G_ACTIONS; i++)
        g_free(&r->actions[i]);
    for (size_t i = 0; i < G_BLOBS; i++)
        g_free(&r->blobs[i].data);
}

/* What to play, and how much of it. */
struct g_options {
    const char *only;
    bool verbose;
    size_t step;
};

struct g_way {
    bool bytes, small, verbose;
    size_t cut_at, *longest;
};

static const char *g_own_buffers(const struct g_session *s)
{
    for (size_t i = 0; i < s->line_count; i++)
        if (g_begins(s->lines[i].text, "config") &&
            (strstr(s->lines[i].text, " rx=") || strstr(s->lines[i].text, " tx=")))
            return s->lines[i].text;
    return NULL;
}

/* Plays a session once. Returns true if all was as written. */
static bool g_play(const struct g_book *b, const struct g_session *s, const struct g_vars *row,
                   struct g_way way)
{
    struct g_run r;
    bool good;
    memset(&r, 0, sizeof r);
    g_playing = &r;
    r.book = b;
    r.session = s;
    r.row = *row;
    r.bytes = way.bytes;
    r.small = way.small;
    r.verbose = way.verbose;
    r.cut_at = way.cut_at;
    r.longest = way.longest;
    r.stream.ops = &g_ops;
    r.platform = (struct xmpp_tiny_platform){g_now_ms, g_random, NULL, g_trace, &r};
    r.now = 0xFFFFFF00U; /* wraps soon */
    for (size_t i = 0; i < s->line_count && !r.failed; i++) {
        r.line = &s->lines[i];
        g_play_line(&r);
    }
    for (size_t i = 0; i < G_ACTIONS; i++)
        if (r.actions[i].len)
            g_fail(&r, "never came", r.actions[i].ptr, NULL);
    if (g_companion == NULL)
        g_nothing_left(&r);
    if (r.initialised && !r.failed) {
        if (r.connects != r.closes)
            g_fail(&r, "not as many CLOSED as connects", NULL, NULL);
        if (xmpp_tiny_state(&r.x) != XMPP_TINY_STATE_OFF || xmpp_tiny_want(&r.x) != XMPP_TINY_WANT_NOTHING)
            g_fail(&r, "not off at its end", NULL, NULL);
        g_check_sent(&r);
        g_check_secrets(&r);
    }
    good = !r.failed;
    g_run_free(&r);
    return good;
}

/* Plays a session in all ways, or in those that are its share. */
static bool g_play_ways(const struct g_book *b, const struct g_session *s, const struct g_vars *row,
                        const struct g_options *options)
{
    static size_t share;
    size_t longest = 0;
    struct g_way way = {false, false, options->verbose, 0, &longest};
    bool small = g_own_buffers(s) == NULL, good = g_play(b, s, row, way);
    way.verbose = false;
    way.longest = NULL;
    way.bytes = true;
    good = good && g_play(b, s, row, way);
    way.small = true;
    good = good && (!small || g_play(b, s, row, way));
    way.bytes = false;
    good = good && (!small || g_play(b, s, row, way));
    way.small = false;
    for (way.cut_at = 1 + share++ % options->step; good && way.cut_at < longest; way.cut_at += options->step)
        good = g_play(b, s, row, way);
    return good;
}

/* Names and values of an 'each' table's row; '-' stands for nothing. */
static void g_row(struct g_vars *v, const char *names, const char *values)
{
    while (*names) {
        size_t len = strcspn(names, " ");
        size_t all, used;
        char *value;
        values += strspn(values, " ");
        all = strcspn(values, "|");
        for (used = all; used && values[used - 1] == ' '; used--)
            ;
        value = g_copy(values, used == 1 && *values == '-' ? 0 : used);
        g_set(v, names, len, value);
        free(value);
        values += all + (values[all] == '|');
        names += len + (names[len] == ' ');
    }
}

static void g_play_file(const char *path, const struct g_options *options, unsigned *passed, unsigned *failed)
{
    struct g_book book;
    memset(&book, 0, sizeof book);
    g_read(&book, path, false);
    *failed += book.broken;
    for (size_t i = 0; i < book.session_count; i++) {
        const struct g_session *s = &book.sessions[i];
        if (options->only && strstr(s->title, options->only) == NULL)
            continue;
        for (size_t k = 0; k < (s->each ? s->row_count : 1); k++) {
            struct g_vars row = {NULL, 0};
            if (s->each)
                g_row(&row, s->each, s->rows[k]);
            if (options->verbose)
                printf("==== %s\n", s->title);
            if (g_companion ? g_companion->plays(&book, s, &row) : g_play_ways(&book, s, &row, options))
                ++*passed;
            else
                ++*failed;
            g_vars_free(&row);
        }
    }
    g_book_free(&book);
}

#ifndef G_COMPANION /* which has its own */
int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    struct g_options options = {NULL, false, 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0)
            options.verbose = setvbuf(stdout, NULL, _IOLBF, 0) == 0;
        else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc)
            options.only = argv[++i];
        else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc && strtoul(argv[i + 1], NULL, 10) > 0)
            options.step = strtoul(argv[++i], NULL, 10);
        else
            g_play_file(argv[i], &options, &passed, &failed);
    }
    if (options.step > 1)
        printf("lines were cut at every %luth place only\n", (unsigned long)options.step);
    g_forget_memos();
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
#endif

#include "xmpp_tiny.c"
