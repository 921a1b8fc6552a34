/* SPDX-License-Identifier: MIT
 *
 * xmpp_tiny: an XMPP client for microcontrollers.                            RFC 6120, 6121, 7622
 *
 * Memory: the context, a receive and a transmit buffer, all the application's. No malloc, no mutable
 * data at file scope, no recursion; the deepest stack is printed by `make size`.
 * Time: no function waits. Threads: a client belongs to one task.
 * Input: every byte a peer sends is hostile until a room below says otherwise.
 *
 *    1 checks      what must hold at compile time
 *    2 bytes       slices, UTF-8, base64, constant time, wipe
 *    3 tokenizer   incremental XML, rewritten in place into a compact tree
 *    4 writer      bounded XML output: a stanza goes out whole or not at all
 *    5 JID         split, check, compare
 *    6 stanza      cursor over the compact tree
 *    7 SASL        mechanisms, SCRAM, key derivation in slices
 *    8 stream      the negotiation, from the header to the bound resource
 *   10 extensions  stanzas: messages, presence, iq requests and answers, ping
 *   11 engine      windows, wants, deadlines, dispatch
 *   12 pump        one poll() that drives the engine over a port
 *   13 hall        the public functions
 *
 * House rules: calls go down these stairs, never up (`make rooms`). A lower room returns a value and
 * the room above decides. State changes in set_state(), output is committed in commit(), the
 * application is called in tell(), a connection fails in fail(): nowhere else.
 */
#include "xmpp_tiny.h"

#include <string.h>

/* ==== Room 1: checks ==============================================================================
 * What must hold at compile time. */
#define STATIC_ASSERT(name, condition) typedef char static_assert_##name[(condition) ? 1 : -1]

STATIC_ASSERT(depth, XMPP_TINY_MAX_DEPTH >= 4 && XMPP_TINY_MAX_DEPTH <= 64);
STATIC_ASSERT(name, XMPP_TINY_MAX_NAME >= 32 && XMPP_TINY_MAX_NAME <= 255);
STATIC_ASSERT(attrs, XMPP_TINY_MAX_ATTRS >= 8 && XMPP_TINY_MAX_ATTRS <= 64);
STATIC_ASSERT(requests, XMPP_TINY_MAX_REQUESTS >= 1 && XMPP_TINY_MAX_REQUESTS <= 32);
STATIC_ASSERT(errors_fit_int8, XMPP_TINY_ERR_FIRST_ >= -128);

#define NS_CLIENT "jabber:client"
#define NS_STREAMS "http://etherx.jabber.org/streams"
#define NS_STREAM_ERRORS "urn:ietf:params:xml:ns:xmpp-streams"
#define NS_STANZA_ERRORS "urn:ietf:params:xml:ns:xmpp-stanzas"
#define NS_TLS "urn:ietf:params:xml:ns:xmpp-tls"
#define NS_SASL "urn:ietf:params:xml:ns:xmpp-sasl"
#define NS_BIND "urn:ietf:params:xml:ns:xmpp-bind"
#define NS_BINDINGS "urn:xmpp:sasl-cb:0"
#define NS_PING "urn:xmpp:ping"
#define NS_XML "http://www.w3.org/XML/1998/namespace"
#define NS_XMLNS "http://www.w3.org/2000/xmlns/"

typedef struct xmpp_tiny_str str;
typedef struct xmpp_tiny_el el;
#define STR(literal) ((str){literal, sizeof(literal) - 1})
#define ABSENT ((str){NULL, 0})
#define ERR(name) XMPP_TINY_ERR_##name

/* ==== Room 2: bytes ===============================================================================
 * Slices, characters, base64, digits; compare in constant time, wipe. Owns nothing, calls nothing. */

static uint16_t u16(size_t n)
{
    return (uint16_t)n;
}

static str slice(const char *ptr, size_t len)
{
    return (str){ptr, len};
}

static str text_of(const char *text)
{
    return text ? slice(text, strlen(text)) : ABSENT;
}

static bool same(str a, str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static bool is(str a, const char *text)
{
    return same(a, text_of(text));
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Equal but for the case of ASCII letters. */
static bool same_folded(str a, str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

/* What stands before the first `mark` is returned and cut off *rest together with the mark; without a
 * mark all of it. */
static str cut(str *rest, char mark)
{
    const char *at = rest->len ? (const char *)memchr(rest->ptr, mark, rest->len) : NULL;
    str head = at ? slice(rest->ptr, (size_t)(at - rest->ptr)) : *rest;
    *rest = at ? slice(at + 1, rest->len - head.len - 1) : ABSENT;
    return head;
}

/* Decimal digits and nothing else, at most max; UINT32_MAX for anything else. */
static uint32_t number(str digits, uint32_t max)
{
    uint32_t n = 0;
    if (digits.len == 0 || digits.len > 10)
        return UINT32_MAX;
    for (size_t i = 0; i < digits.len; i++) {
        uint32_t d = (uint32_t)(digits.ptr[i] - '0');
        if (d > 9 || n > (max - d) / 10)
            return UINT32_MAX;
        n = n * 10 + d;
    }
    return n;
}

static bool same_secret(const uint8_t *a, const uint8_t *b, size_t len)
{
    uint8_t difference = 0;
    for (size_t i = 0; i < len; i++)
        difference |= (uint8_t)(a[i] ^ b[i]);
    return difference == 0;
}

/* Clears memory in a way the compiler must not leave out. */
static void wipe(void *data, size_t len)
{
    volatile uint8_t *p = (volatile uint8_t *)data;
    while (len--)
        *p++ = 0;
}

/* Characters XML allows. [XML 2.2] */
static bool xml_char(uint32_t c)
{
    return c >= 0x20 ? c < 0xD800 || (c > 0xDFFF && c < 0xFFFE) || (c > 0xFFFF && c < 0x110000)
                     : c == '\t' || c == '\n' || c == '\r';
}

/* Takes one byte >= 0x80 of UTF-8, or any byte while u->need is not 0. Returns false for what is not
 * UTF-8 or not a character of XML; when u->need is 0 afterwards, u->point is complete. [RFC3629 4] */
static bool utf8_take(struct xmpp_tiny_utf8_ *u, uint8_t c)
{
    if (u->need == 0) {
        u->size = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
        u->need = u->size;
        u->point = c & (0x3FU >> u->size);
        return c >= 0xC2 && c < 0xF5;
    }
    if ((c & 0xC0) != 0x80)
        return false;
    u->point = u->point << 6 | (c & 0x3FU);
    if (--u->need)
        return true;
    return u->point >= (u->size == 1 ? 0x80U : u->size == 2 ? 0x800U : 0x10000U) && xml_char(u->point);
}

static char *utf8_put(char *o, uint32_t c)
{
    if (c < 0x80) {
        *o++ = (char)c;
        return o;
    }
    if (c < 0x800) {
        *o++ = (char)(0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *o++ = (char)(0xE0 | c >> 12);
        } else {
            *o++ = (char)(0xF0 | c >> 18);
            *o++ = (char)(0x80 | (c >> 12 & 0x3F));
        }
        *o++ = (char)(0x80 | (c >> 6 & 0x3F));
    }
    *o++ = (char)(0x80 | (c & 0x3F));
    return o;
}

/* UTF-8 whose characters XML allows? */
static bool xml_text(str s)
{
    struct xmpp_tiny_utf8_ u = {0, 0, 0};
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.ptr[i];
        if (c >= 0x80 || u.need ? !utf8_take(&u, c) : !xml_char(c))
            return false;
    }
    return u.need == 0;
}

static int base64_value(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

static char base64_digit(uint32_t v)
{
    v &= 63;
    return (char)(v < 26   ? 'A' + v
                  : v < 52 ? 'a' + (v - 26)
                  : v < 62 ? '0' + (v - 52)
                  : v == 62 ? '+'
                            : '/');
}

/* Three bytes, or the last one or two, become four characters. */
static char *base64_group(char *o, const uint8_t *in, size_t n)
{
    uint32_t v = (uint32_t)in[0] << 16 | (n > 1 ? (uint32_t)in[1] << 8 : 0) | (n > 2 ? in[2] : 0);
    o[0] = base64_digit(v >> 18);
    o[1] = base64_digit(v >> 12);
    o[2] = n > 1 ? base64_digit(v >> 6) : '=';
    o[3] = n > 2 ? base64_digit(v) : '=';
    return o + 4;
}

static char *base64_put(char *o, const void *data, size_t len)
{
    const uint8_t *in = (const uint8_t *)data;
    for (; len > 3; len -= 3, in += 3)
        o = base64_group(o, in, 3);
    return len ? base64_group(o, in, len) : o;
}

/* Strict base64 with padding [RFC4648 4]; out may be in. Returns the length, or -1. */
static int base64_get(str in, char *out)
{
    char *o = out;
    size_t pad = 0;
    if (in.len % 4)
        return -1;
    while (pad < 2 && pad < in.len && in.ptr[in.len - 1 - pad] == '=')
        pad++;
    for (size_t i = 0; i < in.len; i += 4) {
        size_t n = i + 4 == in.len ? 4 - pad : 4; /* digits of this group */
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            int digit = k < n ? base64_value(in.ptr[i + k]) : 0;
            if (digit < 0)
                return -1;
            v = v << 6 | (uint32_t)digit;
        }
        if (v & (n == 2 ? 0xFFFFU : n == 3 ? 0xFFU : 0U))
            return -1; /* bits under the padding: a second spelling of the same bytes */
        *o++ = (char)(v >> 16);
        if (n > 2)
            *o++ = (char)(v >> 8);
        if (n > 3)
            *o++ = (char)v;
    }
    return (int)(o - out);
}

/* ==== Room 3: tokenizer ===========================================================================
 * Incremental XML for XMPP's subset [RFC6120 11], [XML 1.0], [Namespaces in XML 1.0].
 *
 * Input is rewritten in place: raw bytes stand in buf[in..end), and what they mean is written to
 * buf[out..], always behind the bytes already read, in a compact form that is never longer:
 *
 *     <a b='1'>text<p:c/></a>   becomes   ELEM a ATTR b VALUE 1 BODY text ELEM_NS ref c BODY END END
 *
 * with one byte below 9 (no character of XML) for each capital word. A name, value or text ends at
 * the next such byte. A prefix turns into a reference: the offset in buf of the namespace name where
 * it was declared. So a received stanza needs no memory but its own bytes, a slice is always whole,
 * and the result cannot depend on how the input was cut.
 *
 * The stream's children are units; between units buf[0..base) is kept: byte 0 is always 0 (the empty
 * string, and with it "no namespace"), then the stream's first tag, then what the stream room keeps.
 *
 * A unit that exceeds a bound is skipped: its characters and syntax are still checked, but only its
 * first tag is kept, and tags are matched by a rolling hash of the open names, so that depth and
 * size need no memory.
 *
 * Owns x->tok. Bounds: MAX_DEPTH, MAX_NAME, MAX_ATTRS, the buffer. Cost: linear in the input. */

enum { /* the compact form */
       C_VALUE,
       C_ELEM,
       C_ATTR,
       C_BODY,
       C_END,
       C_ELEM_NS, /* two bytes of reference follow, most significant first */
       C_ATTR_NS,
       C_XMLNS, /* prefix VALUE namespace name */
       C_PAD,   /* left by a prefix */
       C_TEXT   /* first value that is none of the above */
};
#define REF_XML 0xFFFF /* the reference of the reserved prefix xml */

/* A cut may fall between the raw bytes that pay for a token and the one that writes it; this much room
 * in front of the window makes up for it (the worst: a character of 4 bytes written at ';'). */
#define SLACK 4
#define SKIP_WINDOW 64 /* least room to read a skipped unit into */

enum { /* what tok_next() returns; negative: enum xmpp_tiny_err */
       TOK_MORE,    /* all input is used up */
       TOK_HEADER,  /* the root's first tag is complete */
       TOK_OPEN,    /* a unit's first tag is complete; go on */
       TOK_UNIT,    /* a unit is complete: tok_unit() */
       TOK_LEFT,    /* the element entered by tok_enter() is complete */
       TOK_SKIPPED, /* a unit was skipped: t->skip says why */
       TOK_END      /* the root is complete */
};

enum { S_START, S_BETWEEN, S_TEXT, S_CDATA, S_LT, S_NAME, S_TAG, S_SPACED, S_ATTR, S_EQ, S_QUOTE, S_VALUE,
       S_REF, S_VALUE_REF, S_EMPTY, S_POP, S_CLOSE, S_CLOSED, S_BANG, S_DECL };
enum { T_DECL = 1, T_NS = 2, T_FIRST = 4, T_HASH = 8, T_HEX = 16, T_DIGIT = 32 };
enum { TAIL_NONE, TAIL_BRACKET, TAIL_BRACKETS, TAIL_CR }; /* what the last character was */

#define IN_TEXT 1  /* stands for itself in text */
#define IN_VALUE 2 /* in an attribute's value */
#define IN_NAME 4  /* in a name; ':' is dealt with apart */
#define IN_FIRST 8 /* begins a name */
#define IN_SPACE 16

/* clang-format off */
#define T_ IN_TEXT
#define A_ (IN_TEXT | IN_VALUE)
#define N_ (A_ | IN_NAME)
#define F_ (N_ | IN_FIRST)
static const uint8_t char_class[128] = {
    0,0,0,0,0,0,0,0,0,IN_SPACE|T_,IN_SPACE|T_,0,0,IN_SPACE,0,0, 0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,
    IN_SPACE|A_,A_,T_,A_,A_,A_,0,T_,A_,A_,A_,A_,A_,N_,N_,A_, N_,N_,N_,N_,N_,N_,N_,N_,N_,N_,A_,A_,0,A_,IN_VALUE,A_,
    A_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_, F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,A_,A_,IN_VALUE,A_,F_,
    A_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_, F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,F_,A_,A_,A_,A_,A_
};
#undef T_
#undef A_
#undef N_
#undef F_
/* clang-format on */

static bool in_class(uint8_t c, uint8_t set)
{
    return c < 128 && (char_class[c] & set);
}

/* May a character beyond ASCII stand in a name? [XML 2.3] */
static bool name_char(uint32_t c, bool first)
{
    static const uint16_t range[] = {0xC0,   0xD6,   0xD8,   0xF6,   0xF8,   0x2FF,  0x370,  0x37D,
                                     0x37F,  0x1FFF, 0x200C, 0x200D, 0x2070, 0x218F, 0x2C00, 0x2FEF,
                                     0x3001, 0xD7FF, 0xF900, 0xFDCF, 0xFDF0, 0xFFFD,
                                     /* not as the first: */ 0xB7, 0xB7, 0x300, 0x36F, 0x203F, 0x2040};
    size_t n = sizeof range / sizeof *range - (first ? 6 : 0);
    for (size_t i = 0; i < n; i += 2)
        if (c >= range[i] && c <= range[i + 1])
            return true;
    return c >= 0x10000 && c <= 0xEFFFF;
}

/* ---- Walking the compact form ---- */

static uint16_t run_end(const char *buf, uint16_t at)
{
    while ((uint8_t)buf[at] >= C_TEXT)
        at++;
    return at;
}

static uint16_t ref_at(const char *buf, uint16_t at)
{
    return (uint16_t)((uint8_t)buf[at] << 8 | (uint8_t)buf[at + 1]);
}

static void ref_put(char *buf, uint16_t at, uint16_t ref)
{
    buf[at] = (char)(ref >> 8);
    buf[at + 1] = (char)ref;
}

static str run_at(const char *buf, uint16_t at)
{
    return slice(buf + at, (size_t)(run_end(buf, at) - at));
}

/* The string a reference stands for. */
static str ref_text(const char *buf, uint16_t ref)
{
    return ref == REF_XML ? STR(NS_XML) : run_at(buf, ref);
}

/* One name with its value, as it stands in a tag. */
struct attr {
    uint8_t kind;  /* C_ATTR, C_ATTR_NS, C_XMLNS; C_BODY or less at the end of the tag */
    uint16_t at;   /* of the kind byte */
    uint16_t ref;  /* C_ATTR_NS */
    str name;      /* C_XMLNS: the prefix */
    str value;
    uint16_t uri;  /* offset of the value */
};

/* Reads the attribute at *at and moves on to the next. */
static uint8_t attr_step(const char *buf, uint16_t *at, struct attr *a)
{
    uint16_t p = *at;
    while (buf[p] == C_PAD)
        p++;
    a->at = p;
    a->kind = (uint8_t)buf[p];
    if (a->kind != C_ATTR && a->kind != C_ATTR_NS && a->kind != C_XMLNS)
        return C_BODY;
    p++;
    a->ref = 0;
    if (a->kind == C_ATTR_NS) {
        a->ref = ref_at(buf, p);
        p = u16(p + 2U);
    }
    a->name = run_at(buf, p);
    a->uri = u16(p + a->name.len + 1);
    a->value = run_at(buf, a->uri);
    *at = u16(a->uri + a->value.len);
    return a->kind;
}

static uint16_t skip_pad(const char *buf, uint16_t at)
{
    while (buf[at] == C_PAD)
        at++;
    return at;
}

/* Local name of the element whose kind byte (or padding) is at `at`. */
static str elem_name(const char *buf, uint16_t at)
{
    at = skip_pad(buf, at);
    return run_at(buf, u16(at + (buf[at] == C_ELEM_NS ? 3U : 1U)));
}

/* Where the attributes of the element at `at` begin. */
static uint16_t elem_attrs(const char *buf, uint16_t at)
{
    str name = elem_name(buf, at);
    return u16((size_t)(name.ptr - buf) + name.len);
}

/* Offset of the namespace name that this tag declares for a prefix ("": the default); 0 if it does not. */
static uint16_t declared(const char *buf, uint16_t at, str prefix)
{
    struct attr a;
    at = elem_attrs(buf, at);
    while (attr_step(buf, &at, &a) != C_BODY)
        if (a.kind == C_XMLNS && same(a.name, prefix))
            return a.uri;
    return 0;
}

/* ---- Namespaces, at the end of a tag that has any ---- */

/* The reference for a prefix at the tag in progress; 0 if it is not declared. */
static uint16_t resolve(const struct xmpp_tiny_tok_ *t, str prefix)
{
    uint16_t ref;
    if (is(prefix, "xml"))
        return REF_XML;
    ref = declared(t->buf, t->tag, prefix);
    for (uint16_t i = t->depth; ref == 0 && i > 0; i--)
        ref = declared(t->buf, t->open[i - 1], prefix);
    return ref;
}

/* Turns the attribute xmlns or xmlns:prefix into a declaration. [Namespaces 3] */
static int declare(const struct xmpp_tiny_tok_ *t, const struct attr *a)
{
    char *kind = t->buf + a->at;
    str prefix = slice(a->name.ptr + 5, a->name.len - 5);
    size_t pad = 5;
    if (prefix.len) {
        prefix = slice(prefix.ptr + 1, prefix.len - 1);
        pad = 6;
        if (a->value.len == 0 || is(prefix, "xmlns"))
            return ERR(XML_PREFIX);
    }
    if (is(prefix, "xml") != is(a->value, NS_XML) || is(a->value, NS_XMLNS))
        return ERR(XML_PREFIX);
    memset(kind, C_PAD, pad);
    kind[pad] = C_XMLNS;
    return 0;
}

/* Replaces the prefix of the name behind the kind byte at `at` by its reference. */
static int replace_prefix(const struct xmpp_tiny_tok_ *t, uint16_t at, str name, char kind)
{
    str prefix = cut(&name, ':');
    uint16_t ref, local;
    if (name.ptr == NULL)
        return 0;
    ref = resolve(t, prefix);
    if (ref == 0)
        return ERR(XML_PREFIX);
    local = u16((size_t)(name.ptr - t->buf));
    memset(t->buf + at, C_PAD, prefix.len - 1);
    t->buf[local - 3] = kind;
    ref_put(t->buf, u16(local - 2U), ref);
    return 0;
}

/* No two attributes may have the same namespace and local name. [Namespaces 6.3] */
static bool doubled(const char *buf, uint16_t from, const struct attr *a)
{
    struct attr b;
    while (attr_step(buf, &from, &b) != C_BODY && b.at < a->at)
        if (b.kind == C_ATTR_NS && same(b.name, a->name) && same(ref_text(buf, b.ref), ref_text(buf, a->ref)))
            return true;
    return false;
}

static int namespaces(const struct xmpp_tiny_tok_ *t)
{
    uint16_t first = elem_attrs(t->buf, t->tag), at = first;
    struct attr a;
    int err = 0;
    while (!err && attr_step(t->buf, &at, &a) != C_BODY)
        if (a.name.len >= 5 && memcmp(a.name.ptr, "xmlns", 5) == 0 && (a.name.len == 5 || a.name.ptr[5] == ':'))
            err = declare(t, &a);
    for (at = first; !err && attr_step(t->buf, &at, &a) != C_BODY;)
        if (a.kind == C_ATTR)
            err = replace_prefix(t, a.at, a.name, C_ATTR_NS);
    for (at = first; !err && attr_step(t->buf, &at, &a) != C_BODY;)
        if (a.kind == C_ATTR_NS && doubled(t->buf, first, &a))
            err = ERR(XML);
    return err ? err : replace_prefix(t, t->tag, elem_name(t->buf, t->tag), C_ELEM_NS);
}

/* ---- Skipping ----
 * hash = (hash + name) * K at an opening tag and the inverse at a closing one: it is 0 again at the
 * unit's end if the tags match. t->seen is the hash of the name in progress. */
#define SKIP_K 0x9E3779B1U
#define SKIP_K_INVERSE 0x0E8B2F51U

static uint32_t name_hash(uint32_t h, const char *p, const char *end)
{
    while (p < end)
        h = h * 33 + (uint8_t)*p++;
    return h;
}

/* Without a prefix. */
static uint32_t elem_hash(const char *buf, uint16_t at)
{
    str name = elem_name(buf, at), local = name;
    cut(&local, ':');
    name = local.ptr ? local : name;
    return name_hash(0, name.ptr, name.ptr + name.len);
}

/* From here on the unit is only measured. Its first tag stays as far as it is known and fits. */
static int skip_begin(struct xmpp_tiny_tok_ *t)
{
    if (t->depth < t->level || t->depth == 0 || t->state == S_BETWEEN)
        return ERR(XML_LIMIT);
    t->buf[t->out] = C_BODY; /* ends what stands before it */
    t->hash = 0;
    for (uint16_t i = t->level; i < t->depth; i++)
        t->hash = (t->hash + elem_hash(t->buf, t->open[i])) * SKIP_K;
    if (t->state == S_NAME || t->state == S_CLOSE || t->state == S_CLOSED)
        t->seen = name_hash(0, t->buf + (t->colon ? t->colon : t->mark), t->buf + t->out);
    else
        t->seen = elem_hash(t->buf, t->tag); /* needed inside a tag, harmless elsewhere */
    if (t->keep > t->base && t->keep + 2 + SLACK + SKIP_WINDOW > t->size)
        t->keep = elem_attrs(t->buf, t->base);
    if (t->keep + 2 + SLACK + SKIP_WINDOW > t->size)
        return ERR(XML_LIMIT);
    t->skip = 1;
    if (t->keep > t->base) {
        t->buf[t->keep++] = C_BODY;
        t->buf[t->keep++] = C_END;
    }
    t->out = t->keep;
    return 0;
}

/* ---- Tags ---- */

/* [XML 2.8]: version 1.x, and UTF-8 if it names an encoding [RFC6120 11.6]. */
static int declaration(struct xmpp_tiny_tok_ *t)
{
    uint16_t at = elem_attrs(t->buf, t->tag);
    struct attr a;
    bool version = false;
    t->buf[t->out] = C_BODY;
    if (!is(elem_name(t->buf, t->tag), "xml"))
        return ERR(XML_RESTRICTED);
    while (attr_step(t->buf, &at, &a) != C_BODY) {
        if (is(a.name, "version"))
            version = a.value.len > 2 && memcmp(a.value.ptr, "1.", 2) == 0;
        else if (is(a.name, "encoding") && !same_folded(a.value, STR("utf-8")))
            return ERR(XML_ENCODING);
    }
    t->state = S_BETWEEN;
    return version ? 0 : ERR(XML);
}

/* The name of an attribute is complete: has this tag had it before? t->seen is a filter: most names
 * are cleared without a look at the others. */
static bool attr_again(struct xmpp_tiny_tok_ *t, const char *end)
{
    str name = slice(t->buf + t->mark, (size_t)(end - (t->buf + t->mark)));
    uint32_t bit = 1U << (((uint32_t)name.ptr[0] ^ (uint32_t)name.len << 1 ^ (uint32_t)end[-1] << 2) & 31);
    uint16_t at = elem_attrs(t->buf, t->tag);
    struct attr a;
    if (name.len >= 5 && memcmp(name.ptr, "xmlns", 5) == 0)
        t->flags |= T_NS;
    if ((t->seen & bit) == 0) {
        t->seen |= bit;
        return false;
    }
    while (at + 1 < t->mark && attr_step(t->buf, &at, &a) != C_BODY && a.at + 1 < t->mark)
        if (same(a.name, name))
            return true;
    return false;
}

/* A first tag is complete; its compact form ends before `out`. */
static int tag_done(struct xmpp_tiny_tok_ *t, bool empty)
{
    int err = 0;
    t->state = empty ? S_POP : S_TEXT;
    t->tail = TAIL_NONE;
    if (!t->skip) {
        t->buf[t->out++] = C_BODY;
        if (t->flags & T_NS)
            err = namespaces(t);
        if (!err && t->depth >= XMPP_TINY_MAX_DEPTH)
            err = skip_begin(t);
    }
    if (err)
        return err;
    if (t->skip)
        t->hash = (t->hash + t->seen) * SKIP_K;
    else
        t->open[t->depth] = t->tag;
    if (++t->depth == 0)
        return ERR(XML_LIMIT);
    if (t->depth == 1) {
        t->base = t->out;
        t->level = 1;
        t->state = empty ? S_POP : S_BETWEEN;
        return TOK_HEADER;
    }
    return t->depth == t->level + 1 ? TOK_OPEN : TOK_MORE;
}

/* The closing tag's name stands in buf[mark..out): is it that of the innermost open element? */
static bool tag_matches(const struct xmpp_tiny_tok_ *t)
{
    uint16_t at = skip_pad(t->buf, t->open[t->depth - 1]);
    str name = slice(t->buf + t->mark, (size_t)(t->out - t->mark));
    if (t->buf[at] == C_ELEM_NS) {
        str prefix = cut(&name, ':');
        if (name.ptr == NULL || resolve(t, prefix) != ref_at(t->buf, u16(at + 1U)))
            return false;
    }
    return same(name, elem_name(t->buf, at));
}

/* The innermost element ends. */
static int pop(struct xmpp_tiny_tok_ *t)
{
    t->state = S_TEXT;
    t->tail = TAIL_NONE;
    t->depth--;
    if (t->skip)
        t->hash = t->hash * SKIP_K_INVERSE - t->seen;
    if (t->depth > t->level) {
        if (!t->skip)
            t->buf[t->out++] = C_END;
        return TOK_MORE;
    }
    t->state = S_BETWEEN;
    if (t->depth == t->level) {
        if (t->skip)
            return t->hash ? ERR(XML) : TOK_SKIPPED;
        t->buf[t->out++] = C_END;
        return TOK_UNIT;
    }
    t->level--;
    if (t->depth == 0)
        return TOK_END;
    t->base = t->open[t->depth];
    return TOK_LEFT;
}

static int close_tag(struct xmpp_tiny_tok_ *t)
{
    if (!t->skip && !tag_matches(t))
        return ERR(XML);
    if (!t->skip)
        t->out = t->mark;
    return pop(t);
}

/* ---- Characters that need thought ---- */

/* One character of a reference, after '&' [XML 4.1, 4.6]. The letters of a name are packed into
 * utf8.point; t->tail counts. Returns 1 when the reference is complete. */
static int reference(struct xmpp_tiny_tok_ *t, uint8_t c)
{
    uint32_t v = t->utf8.point;
    if (c == ';') {
        if (t->flags & T_HASH)
            return (t->flags & T_DIGIT) && xml_char(v) ? 1 : ERR(XML);
        t->utf8.point = v == 0x6C74       ? '<'
                        : v == 0x6774     ? '>'
                        : v == 0x616D70   ? '&'
                        : v == 0x61706F73 ? '\''
                        : v == 0x71756F74 ? '"'
                                          : 0;
        return t->utf8.point ? 1 : v ? ERR(XML_RESTRICTED) : ERR(XML);
    }
    if (t->tail++ > 16)
        return ERR(XML);
    if (t->tail == 1 && c == '#') {
        t->flags |= T_HASH;
    } else if (t->tail == 2 && c == 'x' && (t->flags & T_HASH)) {
        t->flags |= T_HEX;
    } else if (t->flags & T_HASH) {
        uint32_t base = t->flags & T_HEX ? 16 : 10, letter = (c | 0x20U) - 'a', digit = c - (uint32_t)'0';
        digit = digit < 10 ? digit : letter < 6 ? letter + 10 : 99;
        if (digit >= base)
            return ERR(XML);
        t->flags |= T_DIGIT;
        t->utf8.point = v > 0x10FFFF ? v : v * base + digit;
    } else if (c < 0x80 && !in_class(c, IN_NAME)) {
        return ERR(XML);
    } else {
        t->utf8.point = v >> 24 ? UINT32_MAX : v << 8 | c;
    }
    return 0;
}

/* One character of text or of a value that does not stand for itself. Returns 1 if *c is to be
 * written, 0 if not. [XML 2.11, 3.3.3] */
static int special(struct xmpp_tiny_tok_ *t, uint8_t *c)
{
    uint8_t tail = t->tail;
    t->tail = TAIL_NONE;
    switch (*c) {
    case '&':
        if (t->state == S_CDATA)
            return 1;
        t->state = t->state == S_VALUE ? S_VALUE_REF : S_REF;
        t->flags &= (uint8_t)~(T_HASH | T_HEX | T_DIGIT);
        t->utf8.point = 0;
        return 0;
    case '<':
        return t->state == S_CDATA ? 1 : ERR(XML);
    case ']':
        t->tail = tail == TAIL_BRACKET || tail == TAIL_BRACKETS ? TAIL_BRACKETS : TAIL_BRACKET;
        return 1;
    case '>':
        if (tail != TAIL_BRACKETS)
            return 1;
        if (t->state == S_TEXT)
            return ERR(XML); /* "]]>" [XML 2.4] */
        t->state = S_TEXT;
        t->out = t->skip ? t->out : u16(t->out - 2U);
        return 0;
    case '\r':
        t->tail = TAIL_CR;
        *c = t->state == S_VALUE ? ' ' : '\n';
        return 1;
    case '\n':
        *c = t->state == S_VALUE ? ' ' : '\n';
        return tail != TAIL_CR;
    case '\t':
        *c = t->state == S_VALUE ? ' ' : '\t';
        return 1;
    case '\'':
    case '"':
        return 1;
    default:
        return ERR(XML);
    }
}

/* One byte of a character beyond ASCII; written as it is. */
static int beyond_ascii(struct xmpp_tiny_tok_ *t, uint8_t c)
{
    bool name = t->state == S_NAME || t->state == S_ATTR || t->state == S_CLOSE;
    t->tail = TAIL_NONE;
    if (!utf8_take(&t->utf8, c))
        return ERR(XML_ENCODING);
    if (name && t->utf8.need == 0) {
        if (!name_char(t->utf8.point, t->flags & T_FIRST))
            return ERR(XML);
        t->flags &= (uint8_t)~T_FIRST;
    }
    if (t->skip && name && t->state != S_ATTR)
        t->seen = t->seen * 33 + c;
    return 0;
}

/* What follows '<'. Returns 1 if c was used up. */
static int markup(struct xmpp_tiny_tok_ *t, uint8_t c)
{
    bool start = t->flags & T_DECL; /* nothing came before */
    t->flags = T_FIRST;
    t->colon = 0;
    if (c == '/') {
        if (t->depth == 0)
            return ERR(XML);
        t->mark = t->out;
        t->state = S_CLOSE;
        t->seen = 0;
        return 1;
    }
    if (c == '!') {
        t->state = S_BANG;
        t->tail = 0;
        return t->depth > t->level && t->depth > 1 ? 1 : ERR(XML_RESTRICTED);
    }
    if (c == '?' && !start)
        return ERR(XML_RESTRICTED);
    if (c == '?')
        t->flags |= T_DECL;
    t->tag = t->out;
    t->buf[t->out++] = C_ELEM;
    t->mark = t->out;
    t->seen = 0;
    t->count = 0;
    t->state = S_NAME;
    return c == '?';
}

/* A name ends; what follows it has not been read. */
static int name_done(struct xmpp_tiny_tok_ *t)
{
    int err = 0;
    if (t->flags & T_FIRST)
        return ERR(XML);
    if (!t->skip && t->out - t->mark > XMPP_TINY_MAX_NAME)
        err = skip_begin(t);
    if (t->state == S_CLOSE) {
        t->state = S_CLOSED;
    } else if (t->state == S_NAME) {
        t->state = S_TAG;
        if (!t->skip) {
            t->seen = 0;
            if (t->depth == t->level)
                t->keep = t->out;
        }
    } else {
        t->state = S_EQ;
        if (!t->skip && attr_again(t, t->buf + t->out))
            return ERR(XML);
        t->buf[t->out++] = C_VALUE;
    }
    return err;
}

/* Inside a tag, between its parts. Returns 1 if c was used up. */
static int in_tag(struct xmpp_tiny_tok_ *t, uint8_t c)
{
    if (in_class(c, IN_SPACE)) {
        t->state = S_SPACED;
        return 1;
    }
    if (t->flags & T_DECL) {
        if (c == '?')
            t->state = S_DECL;
        if (c == '?' || c == '>' || c == '/')
            return c == '?' ? 1 : ERR(XML);
    }
    if (c == '/') {
        t->state = S_EMPTY;
        return 1;
    }
    if (t->state != S_SPACED)
        return ERR(XML);
    if (!t->skip && ++t->count > XMPP_TINY_MAX_ATTRS) {
        int err = skip_begin(t);
        if (err)
            return err;
    }
    t->buf[t->out++] = C_ATTR;
    t->mark = t->out;
    t->colon = 0;
    t->flags |= T_FIRST;
    t->state = S_ATTR;
    return 0;
}

/* The states where single characters count. Returns a TOK_ or an error; *used tells whether c was
 * used up. */
static int single(struct xmpp_tiny_tok_ *t, uint8_t c, bool *used)
{
    int r = 0;
    bool space = in_class(c, IN_SPACE);
    *used = true;
    switch (t->state) {
    case S_START:
    case S_BETWEEN:
        if (c != '<') {
            t->state = S_BETWEEN;
            return space ? 0 : ERR(XML);
        }
        t->out = t->keep = t->base;
        t->skip = 0;
        t->flags = t->state == S_START ? T_DECL : 0;
        t->state = S_LT;
        return 0;
    case S_LT:
        r = markup(t, c);
        break;
    case S_TAG:
    case S_SPACED:
        if (c == '>' && !(t->flags & T_DECL))
            return tag_done(t, false);
        r = in_tag(t, c);
        break;
    case S_EQ:
        if (c == '=')
            t->state = S_QUOTE;
        return space || c == '=' ? 0 : ERR(XML);
    case S_QUOTE:
        if (space)
            return 0;
        t->quote = c;
        t->state = S_VALUE;
        t->tail = TAIL_NONE;
        return c == '\'' || c == '"' ? 0 : ERR(XML);
    case S_REF:
    case S_VALUE_REF:
        r = reference(t, c);
        if (r > 0) {
            if (!t->skip)
                t->out = u16((size_t)(utf8_put(t->buf + t->out, t->utf8.point) - t->buf));
            t->state = t->state == S_REF ? S_TEXT : S_VALUE;
            t->tail = TAIL_NONE;
        }
        return r > 0 ? 0 : r;
    case S_EMPTY:
        return c == '>' ? tag_done(t, true) : ERR(XML);
    case S_CLOSED:
        return c == '>' ? close_tag(t) : space ? 0 : ERR(XML);
    case S_BANG:
        if (c != (uint8_t)"[CDATA["[t->tail])
            return ERR(XML_RESTRICTED);
        if (++t->tail == 7) {
            t->state = S_CDATA;
            t->tail = TAIL_NONE;
        }
        return 0;
    default: /* S_DECL */
        return c == '>' ? declaration(t) : ERR(XML);
    }
    *used = r != 0;
    return r > 0 ? 0 : r;
}

static void tok_start(struct xmpp_tiny_tok_ *t, uint16_t base)
{
    char *buf = t->buf;
    uint16_t size = t->size;
    memset(t, 0, sizeof *t);
    t->buf = buf;
    t->size = size;
    t->buf[0] = 0;
    t->base = t->out = t->keep = base;
    t->in = t->end = u16(base + SLACK);
}

static void tok_init(struct xmpp_tiny_tok_ *t, void *buf, size_t size)
{
    t->buf = (char *)buf;
    t->size = u16(size - 1); /* one byte to end what fills the rest */
    tok_start(t, 1);
}

/* Where raw input goes. Empty while there is input left. */
static char *tok_window(struct xmpp_tiny_tok_ *t, size_t *room)
{
    if (t->in == t->end)
        t->in = t->end = u16((t->state == S_BETWEEN ? t->base : t->out) + SLACK);
    *room = t->in == t->end ? (size_t)(t->size - t->end) : 0;
    return t->buf + t->end;
}

static void tok_fed(struct xmpp_tiny_tok_ *t, size_t len)
{
    t->end = u16(t->end + len);
}

/* Text, or a value, up to its end or the end of the input. */
static int take_text(struct xmpp_tiny_tok_ *t, const char **in, const char *end, uint8_t set)
{
    const char *p = *in;
    char *o = t->buf + t->out;
    uint8_t c;
    int r = 0;
    if (t->utf8.need == 0) {
        while (p < end && in_class((uint8_t)*p, set))
            *o++ = *p++;
        if (p != *in)
            t->tail = TAIL_NONE;
        t->out = u16((size_t)(o - t->buf));
    }
    *in = p;
    if (p == end)
        return 0;
    *in = p + 1;
    c = (uint8_t)*p;
    if (c >= 0x80 || t->utf8.need) {
        r = beyond_ascii(t, c);
    } else if (c == '<' && t->state == S_TEXT) {
        t->state = S_LT;
        return 0;
    } else if (c == t->quote && t->state == S_VALUE) {
        t->state = S_TAG;
        if (!t->skip && t->depth == t->level)
            t->keep = t->out;
        return 0;
    } else {
        r = special(t, &c);
        if (r <= 0)
            return r;
    }
    t->buf[t->out++] = (char)c;
    return r < 0 ? r : 0;
}

/* A name, up to its end or the end of the input. */
static int take_name(struct xmpp_tiny_tok_ *t, const char **in, const char *end)
{
    const char *p = *in;
    char *o = t->buf + t->out;
    uint8_t c = (uint8_t)*p;
    int r = 0;
    if (c < 0x80 && t->utf8.need == 0) {
        if ((t->flags & T_FIRST) && !in_class(c, IN_FIRST))
            return ERR(XML);
        t->flags &= (uint8_t)~T_FIRST;
        while (p < end && in_class((uint8_t)*p, IN_NAME))
            *o++ = *p++;
        if (t->skip && t->state != S_ATTR)
            t->seen = name_hash(t->seen, *in, p);
        t->out = u16((size_t)(o - t->buf));
        *in = p;
        if (p == end)
            return 0;
        c = (uint8_t)*p;
        if (c == ':') {
            *in = p + 1;
            t->buf[t->out++] = ':';
            if (t->colon)
                return ERR(XML);
            t->colon = t->out;
            t->flags |= T_NS | T_FIRST;
            t->seen = t->state == S_ATTR ? t->seen : 0;
            return 0;
        }
        if (c < 0x80)
            return name_done(t);
    }
    *in = p + 1;
    r = beyond_ascii(t, c);
    t->buf[t->out++] = (char)c;
    return r;
}

/* Reads on until something is complete. */
static int tok_next(struct xmpp_tiny_tok_ *t)
{
    const char *p = t->buf + t->in, *const end = t->buf + t->end, *from = p;
    int r = TOK_MORE;
    while (r == TOK_MORE && (p < end || t->state == S_POP)) {
        bool used = true, between = t->state <= S_BETWEEN;
        switch (t->state) {
        case S_TEXT:
        case S_CDATA:
            r = take_text(t, &p, end, IN_TEXT);
            break;
        case S_VALUE:
            r = take_text(t, &p, end, IN_VALUE);
            break;
        case S_NAME:
        case S_ATTR:
        case S_CLOSE:
            r = take_name(t, &p, end);
            break;
        case S_POP:
            r = pop(t);
            break;
        default:
            r = single(t, (uint8_t)*p, &used);
            if (between && t->state == S_LT) {
                t->bytes = 0;
                from = p;
            }
            p += used;
        }
    }
    t->bytes += (uint32_t)(p - from);
    t->in = u16((size_t)(p - t->buf));
    if (r == TOK_MORE && t->skip)
        t->out = t->keep;
    else if (r == TOK_MORE && t->state != S_BETWEEN && t->out + SLACK >= t->size)
        r = skip_begin(t);
    return r;
}

/* The complete unit, or the first tag of a skipped one; nothing if not even its name is known. */
static el tok_unit(const struct xmpp_tiny_tok_ *t)
{
    el e = {t->buf, 0, 0};
    if (t->keep == t->base)
        return e;
    e.at = skip_pad(t->buf, t->base);
    for (uint16_t i = t->level; e.ns == 0 && i > 0; i--)
        e.ns = declared(t->buf, t->open[i - 1], STR(""));
    return e;
}

/* The stream's first tag. */
static el tok_root(const struct xmpp_tiny_tok_ *t)
{
    el e = {t->buf, skip_pad(t->buf, t->open[0]), 0};
    return e;
}

/* After TOK_OPEN: the children of this element are the units from now on. */
static void tok_enter(struct xmpp_tiny_tok_ *t)
{
    t->base = t->out;
    t->level++;
    if (t->state == S_TEXT)
        t->state = S_BETWEEN;
}

/* After TOK_UNIT: the unit stays until the stream ends. */
static void tok_hold(struct xmpp_tiny_tok_ *t)
{
    t->base = t->keep = t->out;
}

/* Room that stays until the stream ends; NULL if input waits or there is too little. */
static char *tok_room(struct xmpp_tiny_tok_ *t, size_t len)
{
    char *room = t->buf + t->base;
    if (t->in != t->end || t->state != S_BETWEEN || len > (size_t)(t->size - t->base))
        return NULL;
    t->base = t->keep = t->out = u16(t->base + len);
    t->in = t->end;
    return room;
}

/* ==== Room 4: writer ==============================================================================
 * Bounded XML output into the transmit buffer: buf[begin..commit) waits to be sent, buf[commit..end)
 * is being written and counts only when out_commit() takes it, so a stanza goes out whole or not at
 * all. The first error sticks until then. Owns x->out. Cost: linear in the bytes written. */

#define OUT_RESERVE 192 /* kept from stanzas, so that a stream error and the closing tag always fit */

enum { OUT_BUILDING = 1, OUT_IN_TAG = 2, OUT_OWN = 4 };

static void out_fail(struct xmpp_tiny_out_ *w, int err)
{
    if (w->error == 0)
        w->error = (int8_t)err;
}

static void out_bytes(struct xmpp_tiny_out_ *w, const char *p, size_t n)
{
    size_t limit = w->size - (w->flags & OUT_OWN ? 0U : OUT_RESERVE);
    if (w->error)
        return;
    if (n > limit || w->end > limit - n) {
        out_fail(w, ERR(AGAIN));
        return;
    }
    memcpy(w->buf + w->end, p, n);
    w->end = u16(w->end + n);
}

static void out_str(struct xmpp_tiny_out_ *w, const char *text)
{
    out_bytes(w, text, strlen(text));
}

/* Writes text with what XML would misread replaced. */
static void out_escaped(struct xmpp_tiny_out_ *w, str s, bool value)
{
    size_t from = 0;
    if (!xml_text(s))
        out_fail(w, ERR(TEXT));
    for (size_t i = 0; i < s.len; i++) {
        const char *as = NULL;
        switch (s.ptr[i]) {
        case '<':
            as = "&lt;";
            break;
        case '>':
            as = "&gt;";
            break;
        case '&':
            as = "&amp;";
            break;
        case '\r':
            as = "&#13;";
            break;
        case '\'':
            as = value ? "&apos;" : NULL;
            break;
        case '\n':
            as = value ? "&#10;" : NULL;
            break;
        case '\t':
            as = value ? "&#9;" : NULL;
            break;
        default:
            break;
        }
        if (as) {
            out_bytes(w, s.ptr + from, i - from);
            out_str(w, as);
            from = i + 1;
        }
    }
    out_bytes(w, s.ptr + from, s.len - from);
}

/* Prepares for a stanza, or for something of the stream's own that may use the reserve. */
static void out_begin(struct xmpp_tiny_out_ *w, bool own)
{
    if (w->begin) {
        memmove(w->buf, w->buf + w->begin, (size_t)(w->commit - w->begin));
        w->commit = u16(w->commit - w->begin);
        w->begin = 0;
    }
    w->end = w->commit;
    w->error = 0;
    w->depth = 0;
    w->request = 0;
    w->carry_len = 0;
    w->flags = own ? OUT_BUILDING | OUT_OWN : OUT_BUILDING;
}

static void out_close_tag(struct xmpp_tiny_out_ *w)
{
    if (w->flags & OUT_IN_TAG)
        out_str(w, ">");
    w->flags &= (uint8_t)~OUT_IN_TAG;
}

static void out_attr(struct xmpp_tiny_out_ *w, const char *name, str value)
{
    if (value.ptr == NULL)
        return;
    if (!(w->flags & OUT_IN_TAG))
        out_fail(w, ERR(ARGUMENT));
    out_str(w, " ");
    out_str(w, name);
    out_str(w, "='");
    out_escaped(w, value, true);
    out_str(w, "'");
}

static void out_start(struct xmpp_tiny_out_ *w, const char *name, const char *ns)
{
    if (name == NULL || w->depth == sizeof w->names / sizeof *w->names) {
        out_fail(w, ERR(ARGUMENT));
        return;
    }
    out_close_tag(w);
    out_str(w, "<");
    out_str(w, name);
    w->names[w->depth++] = name;
    w->flags |= OUT_IN_TAG;
    out_attr(w, "xmlns", text_of(ns));
}

static void out_text(struct xmpp_tiny_out_ *w, str text)
{
    out_close_tag(w);
    out_escaped(w, text, false);
}

static void out_end(struct xmpp_tiny_out_ *w)
{
    if (w->depth == 0) {
        out_fail(w, ERR(ARGUMENT));
        return;
    }
    w->depth--;
    if (w->flags & OUT_IN_TAG) {
        out_str(w, "/>");
        w->flags &= (uint8_t)~OUT_IN_TAG;
        return;
    }
    out_str(w, "</");
    out_str(w, w->names[w->depth]);
    out_str(w, ">");
}

static void out_element(struct xmpp_tiny_out_ *w, const char *name, const char *ns, str text)
{
    if (text.ptr == NULL)
        return;
    out_start(w, name, ns);
    if (text.len)
        out_text(w, text);
    out_end(w);
}

/* Base64 in pieces: what does not fill a group waits in carry. */
static void out_base64(struct xmpp_tiny_out_ *w, const void *data, size_t len)
{
    const uint8_t *in = (const uint8_t *)data;
    out_close_tag(w);
    for (; len; len--, in++) {
        if (w->carry_len == 2) {
            uint8_t group[3] = {w->carry[0], w->carry[1], *in};
            char digits[4];
            base64_group(digits, group, 3);
            out_bytes(w, digits, 4);
            w->carry_len = 0;
        } else {
            w->carry[w->carry_len++] = *in;
        }
    }
}

static void out_base64_end(struct xmpp_tiny_out_ *w)
{
    char digits[4];
    if (w->carry_len)
        out_bytes(w, digits, (size_t)(base64_group(digits, w->carry, w->carry_len) - digits));
    w->carry_len = 0;
}

/* The stanza is complete: closes what is open and lets it go, or drops it. Returns 0 or the error. */
static int out_commit(struct xmpp_tiny_out_ *w)
{
    int err = w->flags & OUT_BUILDING ? 0 : ERR(STATE);
    while (!err && w->depth)
        out_end(w);
    if (!err)
        err = w->error;
    if (err == ERR(AGAIN) && w->begin == w->commit)
        err = ERR(TOO_BIG);
    w->flags = 0;
    if (err) {
        w->end = w->commit;
        return err;
    }
    w->commit = w->end;
    w->stanzas++;
    return 0;
}

static void out_sent(struct xmpp_tiny_out_ *w, size_t n)
{
    w->begin = u16(w->begin + n);
    if (w->begin == w->commit) {
        w->stanzas = 0;
        if (!(w->flags & OUT_BUILDING))
            w->begin = w->commit = w->end = 0;
    }
}

/* ==== Room 5: JID =================================================================================
 * [RFC7622]: ASCII in full; beyond it UTF-8 only, compared byte by byte. */

/* Characters a local part must not have. [RFC7622 3.3.1] */
static bool local_char(char c)
{
    return (uint8_t)c > 0x20 && c != 0x7F && memchr("\"&'/:<>@", c, 8) == NULL;
}

/* Labels of letters, digits and inner hyphens, at most 63 bytes; bytes beyond ASCII pass. */
static bool host_name(str domain)
{
    while (domain.ptr) {
        str label = cut(&domain, '.');
        if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++) {
            char c = lower(label.ptr[i]);
            if ((uint8_t)c < 0x80 && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
                return false;
        }
    }
    return true;
}

/* "[" IPv6 address "]" [RFC7622 3.2]; what is inside is the resolver's to judge. */
static bool ip_literal(str domain)
{
    if (domain.len < 4 || domain.ptr[0] != '[' || domain.ptr[domain.len - 1] != ']')
        return false;
    for (size_t i = 1; i + 1 < domain.len; i++)
        if (memchr("0123456789abcdefABCDEF:.", domain.ptr[i], 24) == NULL)
            return false;
    return true;
}

static bool part_fits(str part)
{
    return part.ptr == NULL || (part.len > 0 && part.len < 1024);
}

/* Splits at the first '/', then at the first '@' before it. [RFC7622 3.2] */
static bool jid_parse(str text, struct xmpp_tiny_jid *jid)
{
    str bare;
    jid->resource = text;
    bare = cut(&jid->resource, '/');
    jid->domain = bare;
    jid->local = cut(&jid->domain, '@');
    if (jid->domain.ptr == NULL) {
        jid->domain = bare;
        jid->local = ABSENT;
    }
    if (jid->domain.len > 1 && jid->domain.ptr[jid->domain.len - 1] == '.')
        jid->domain.len--;
    if (text.ptr == NULL || !xml_text(text) || !part_fits(jid->local) || !part_fits(jid->domain) ||
        !part_fits(jid->resource))
        return false;
    for (size_t i = 0; i < jid->local.len; i++)
        if (!local_char(jid->local.ptr[i]))
            return false;
    for (size_t i = 0; i < jid->resource.len; i++)
        if ((uint8_t)jid->resource.ptr[i] < 0x20 || jid->resource.ptr[i] == 0x7F)
            return false;
    return host_name(jid->domain) || ip_literal(jid->domain);
}

static bool jid_same(str a, str b, bool bare)
{
    struct xmpp_tiny_jid x, y;
    return jid_parse(a, &x) && jid_parse(b, &y) && same_folded(x.local, y.local) &&
           (x.local.ptr == NULL) == (y.local.ptr == NULL) && same_folded(x.domain, y.domain) &&
           (bare || (same(x.resource, y.resource) && (x.resource.ptr == NULL) == (y.resource.ptr == NULL)));
}

/* The same for all spellings of an address; 0 for none. */
static uint32_t jid_digest(str text)
{
    struct xmpp_tiny_jid jid;
    uint32_t h = 2166136261U;
    if (!jid_parse(text, &jid))
        return 0;
    for (size_t i = 0; i < jid.local.len; i++)
        h = (h ^ (uint8_t)lower(jid.local.ptr[i])) * 16777619U;
    h = (h ^ '@') * 16777619U;
    for (size_t i = 0; i < jid.domain.len; i++)
        h = (h ^ (uint8_t)lower(jid.domain.ptr[i])) * 16777619U;
    h = (h ^ '/') * 16777619U;
    for (size_t i = 0; i < jid.resource.len; i++)
        h = (h ^ (uint8_t)jid.resource.ptr[i]) * 16777619U;
    return h | 1;
}

/* ==== Room 6: stanza ==============================================================================
 * The cursor over a compact tree: {buf, at, ns}, at the offset of the element's kind byte, ns that of
 * the default namespace its parent hands down. Calls the walkers of room 3. Cost: linear in the bytes
 * passed over. */

/* The default namespace inside the element. */
static uint16_t el_default(el e)
{
    uint16_t own = declared(e.buf, e.at, STR(""));
    return own ? own : e.ns;
}

static str el_name(el e)
{
    return e.at ? elem_name(e.buf, e.at) : ABSENT;
}

static str el_ns(el e)
{
    if (e.at == 0)
        return ABSENT;
    return ref_text(e.buf, e.buf[e.at] == C_ELEM_NS ? ref_at(e.buf, u16(e.at + 1U)) : el_default(e));
}

static bool el_matches(el e, const char *name, str ns)
{
    return e.at && (name == NULL || is(el_name(e), name)) && (is(ns, "*") || same(el_ns(e), ns));
}

/* Where the content of an element begins. */
static uint16_t el_content(el e)
{
    struct attr a;
    uint16_t at = elem_attrs(e.buf, e.at);
    while (attr_step(e.buf, &at, &a) != C_BODY)
        ;
    return u16(skip_pad(e.buf, at) + 1U);
}

/* Behind the end of an element. */
static uint16_t el_end(el e)
{
    uint16_t at = e.at, depth = 0;
    do {
        switch (e.buf[at++]) {
        case C_ELEM_NS:
            at = u16(at + 2U);
            /* fall through */
        case C_ELEM:
            depth++;
            break;
        case C_ATTR_NS:
            at = u16(at + 2U);
            break;
        case C_END:
            depth--;
            break;
        default:
            break;
        }
    } while (depth);
    return at;
}

/* The first element at or behind `at`, within the same parent, that matches. */
static el el_find(el e, uint16_t at, const char *name, str ns)
{
    for (;;) {
        at = skip_pad(e.buf, run_end(e.buf, at));
        if (e.buf[at] == C_END)
            return (el){e.buf, 0, 0};
        e.at = at;
        if (el_matches(e, name, ns))
            return e;
        at = el_end(e);
    }
}

static el el_child(el parent, const char *name, const char *ns)
{
    el e = parent;
    if (parent.at == 0)
        return parent;
    e.ns = el_default(parent);
    return el_find(e, el_content(parent), name, ns ? text_of(ns) : el_ns(parent));
}

static el el_next(el e, const char *name, const char *ns)
{
    return e.at ? el_find(e, el_end(e), name, ns ? text_of(ns) : el_ns(e)) : e;
}

/* Attributes without prefix; kind C_ATTR, or C_ATTR_NS with the reference of xml. */
static str el_attr(el e, const char *name)
{
    bool xml = strlen(name) > 4 && memcmp(name, "xml:", 4) == 0;
    str wanted = text_of(xml ? name + 4 : name);
    uint16_t at;
    struct attr a;
    if (e.at == 0)
        return ABSENT;
    at = elem_attrs(e.buf, e.at);
    while (attr_step(e.buf, &at, &a) != C_BODY)
        if (same(a.name, wanted) && (xml ? a.ref == REF_XML : a.kind == C_ATTR))
            return a.value;
    return ABSENT;
}

static str el_text(el e)
{
    return e.at ? run_at(e.buf, el_content(e)) : ABSENT;
}

static str child_text(el e, const char *name)
{
    return el_text(el_child(e, name, NULL));
}

/* ==== Room 7: SASL ================================================================================
 * [RFC6120 6], SCRAM [RFC5802, RFC7677], channel binding [RFC5929, XEP-0440]. Owns x->sasl; the texts
 * of the exchange stand in the receive buffer. Returns what to do; the stream room does it.
 * Bounds: iterations within [4096, iterations_max], iterations_slice of them a call. */

#define ITERATIONS_MIN 4096 /* [RFC7677 4] */
#define NONCE_BYTES 18      /* 24 characters */
#define GS2_MAX 25

#define MECHANISM(name) XMPP_TINY_MECHANISM_##name
#define SCRAM_PLUS                                                                                             \
    (XMPP_TINY_ALLOW(SCRAM_SHA_1_PLUS) | XMPP_TINY_ALLOW(SCRAM_SHA_256_PLUS) | XMPP_TINY_ALLOW(SCRAM_SHA_512_PLUS))
#define SCRAM_ALL                                                                                              \
    (SCRAM_PLUS | XMPP_TINY_ALLOW(SCRAM_SHA_1) | XMPP_TINY_ALLOW(SCRAM_SHA_256) | XMPP_TINY_ALLOW(SCRAM_SHA_512))

enum { SASL_VERIFIED = 1, SASL_BINDINGS_LISTED = 2, SASL_KEYS_GIVEN = 4, SASL_Y = 8 };

static const char *const mechanism_names[] = {
#define XMPP_TINY_X(name, text) text,
    XMPP_TINY_MECHANISMS(XMPP_TINY_X)
#undef XMPP_TINY_X
};
#define MECHANISM_COUNT (sizeof mechanism_names / sizeof *mechanism_names)

static int mechanism_number(str name)
{
    for (size_t i = 0; i < MECHANISM_COUNT; i++)
        if (is(name, mechanism_names[i]))
            return (int)i;
    return -1;
}

static bool mechanism_is_scram(unsigned m)
{
    return m >= MECHANISM(SCRAM_SHA_1) && m <= MECHANISM(SCRAM_SHA_512_PLUS);
}

static enum xmpp_tiny_hash mechanism_hash(unsigned m)
{
    return m >= MECHANISM(SCRAM_SHA_512)   ? XMPP_TINY_SHA512
           : m >= MECHANISM(SCRAM_SHA_256) ? XMPP_TINY_SHA256
                                           : XMPP_TINY_SHA1;
}

static size_t hash_size(enum xmpp_tiny_hash h)
{
    return h == XMPP_TINY_SHA512 ? 64 : h == XMPP_TINY_SHA256 ? 32 : 20;
}

static const char *binding_name(unsigned binding)
{
    return binding == XMPP_TINY_BINDING_TLS_UNIQUE ? "tls-unique" : "tls-server-end-point";
}

/* The best channel binding that both sides have. A server that lists none [XEP-0440] is taken to have
 * tls-unique, the default of SCRAM, and tls-server-end-point if this connection has no tls-unique. */
static unsigned choose_binding(const struct xmpp_tiny_sasl_ *s, struct xmpp_tiny_stream *stream)
{
    uint8_t data[64];
    for (unsigned b = XMPP_TINY_BINDING_TLS_UNIQUE; b <= XMPP_TINY_BINDING_TLS_SERVER_END_POINT; b++) {
        bool offered = !(s->flags & SASL_BINDINGS_LISTED) || (s->bindings & 1U << b);
        if (offered && stream->ops->binding && stream->ops->binding(stream, (enum xmpp_tiny_binding)b, data) > 0)
            return b;
    }
    return XMPP_TINY_BINDING_NONE;
}

/* Picks the strongest mechanism that is offered, allowed and possible. Returns false if there is none. */
static bool choose_mechanism(struct xmpp_tiny_sasl_ *s, const struct xmpp_tiny_config *c)
{
    uint32_t allowed = c->mechanisms ? c->mechanisms : SCRAM_ALL, usable;
    unsigned binding = choose_binding(s, c->stream), m = MECHANISM_COUNT;
    if (!XMPP_TINY_ENABLE_SHA512)
        allowed &= ~(XMPP_TINY_ALLOW(SCRAM_SHA_512) | XMPP_TINY_ALLOW(SCRAM_SHA_512_PLUS));
    if (binding == XMPP_TINY_BINDING_NONE)
        allowed &= ~SCRAM_PLUS;
    if (c->password == NULL) {
        allowed &= ~XMPP_TINY_ALLOW(PLAIN);
        for (unsigned i = MECHANISM(SCRAM_SHA_1); i <= MECHANISM(SCRAM_SHA_512_PLUS); i++)
            if (c->keys == NULL || c->keys->hash != mechanism_hash(i))
                allowed &= ~(1U << i);
    }
    usable = s->offered & allowed;
    if (usable == 0)
        return false;
    do
        m--;
    while (!(usable & 1U << m));
    s->mechanism = (uint8_t)m;
    s->binding = (uint8_t)(SCRAM_PLUS & 1U << m ? binding : XMPP_TINY_BINDING_NONE);
    /* "y": we could bind but the server offers no -PLUS at all. A man in the middle who took the offer
     * away is found out by it. [RFC5802 6] */
    if ((allowed & SCRAM_PLUS) && !(s->offered & SCRAM_PLUS))
        s->flags |= SASL_Y;
    return true;
}

/* The GS2 header: which channel binding, no authorization identity. At most GS2_MAX bytes. */
static size_t gs2_header(const struct xmpp_tiny_sasl_ *s, char *o)
{
    const char *name = binding_name(s->binding);
    if (s->binding == XMPP_TINY_BINDING_NONE) {
        memcpy(o, s->flags & SASL_Y ? "y,," : "n,,", 3);
        return 3;
    }
    memcpy(o, "p=", 2);
    memcpy(o + 2, name, strlen(name));
    memcpy(o + 2 + strlen(name), ",,", 2);
    return strlen(name) + 4;
}

/* Length of the client's first message without its GS2 header; o has room for 3 bytes a character of
 * the user name and 40 more. [RFC5802 5.1: ',' and '=' of the name] */
static size_t scram_first(char *o, str user, const uint8_t *nonce)
{
    char *start = o;
    *o++ = 'n';
    *o++ = '=';
    for (size_t i = 0; i < user.len; i++) {
        bool escape = user.ptr[i] == ',' || user.ptr[i] == '=';
        *o++ = escape ? '=' : user.ptr[i];
        if (escape) {
            *o++ = user.ptr[i] == ',' ? '2' : '3';
            *o++ = user.ptr[i] == ',' ? 'C' : 'D';
        }
    }
    memcpy(o, ",r=", 3);
    return (size_t)(base64_put(o + 3, nonce, NONCE_BYTES) - start);
}

/* "x=value" at the head of *rest, which moves on; absent if the next attribute is another. */
static str scram_attr(str *rest, char name)
{
    str a = cut(rest, ',');
    return a.len >= 2 && a.ptr[0] == name && a.ptr[1] == '=' ? slice(a.ptr + 2, a.len - 2) : ABSENT;
}

/* Reads the server's first message: r=, s=, i=, then extensions that may be ignored. [RFC5802 7] */
static int scram_challenge(struct xmpp_tiny_sasl_ *s, uint32_t iterations_max)
{
    str rest = s->challenge, ours = slice(s->first.ptr + s->first.len - NONCE_BYTES / 3 * 4, NONCE_BYTES / 3 * 4);
    str iterations;
    s->nonce = scram_attr(&rest, 'r');
    s->salt = scram_attr(&rest, 's');
    iterations = scram_attr(&rest, 'i');
    if (s->nonce.ptr == NULL || s->salt.len == 0 || iterations.ptr == NULL)
        return ERR(SASL);
    if (s->nonce.len <= ours.len || memcmp(s->nonce.ptr, ours.ptr, ours.len) != 0)
        return ERR(NONCE);
    for (size_t i = 0; i < s->nonce.len; i++)
        if (s->nonce.ptr[i] < 0x21 || s->nonce.ptr[i] > 0x7E)
            return ERR(SASL);
    s->iterations = number(iterations, INT32_MAX);
    if (s->iterations == UINT32_MAX && number(iterations, UINT32_MAX - 1) == UINT32_MAX && iterations.len < 10)
        return ERR(SASL);
    return s->iterations >= ITERATIONS_MIN && s->iterations <= iterations_max ? 0 : ERR(ITERATIONS);
}

/* Starts the key derivation, or takes the keys the application kept. Returns 1 if there is nothing to
 * derive. The salt has been decoded. */
static int scram_keys_begin(struct xmpp_tiny_sasl_ *s, const struct xmpp_tiny_config *c)
{
    enum xmpp_tiny_hash h = mechanism_hash(s->mechanism);
    const struct xmpp_tiny_keys *k = c->keys;
    if (k && k->hash == h && k->iterations == s->iterations && same(slice((const char *)k->salt, k->salt_len), s->salt)) {
        s->flags |= SASL_KEYS_GIVEN;
        return 1;
    }
    if (c->password == NULL)
        return ERR(AUTH);
    {
        str parts[2] = {s->salt, slice("\0\0\0\1", 4)};
        c->crypto->hmac(h, c->password, strlen(c->password), parts, 2, s->u);
        memcpy(s->t, s->u, hash_size(h));
        s->left = s->iterations - 1;
    }
    return 0;
}

/* One slice of PBKDF2. Returns true when it is complete: t is the salted password. [RFC5802 3] */
static bool scram_keys_step(struct xmpp_tiny_sasl_ *s, const struct xmpp_tiny_config *c)
{
    uint32_t rounds = c->iterations_slice ? c->iterations_slice : 256;
    rounds = rounds < s->left ? rounds : s->left;
    c->crypto->pbkdf2(mechanism_hash(s->mechanism), c->password, strlen(c->password), s->u, s->t, rounds);
    s->left -= rounds;
    return s->left == 0;
}

/* Client key and server key, from the salted password or as given. */
static void scram_key(const struct xmpp_tiny_sasl_ *s, const struct xmpp_tiny_config *c, bool server, uint8_t *key)
{
    enum xmpp_tiny_hash h = mechanism_hash(s->mechanism);
    str label = server ? STR("Server Key") : STR("Client Key");
    if (s->flags & SASL_KEYS_GIVEN)
        memcpy(key, server ? c->keys->server_key : c->keys->client_key, hash_size(h));
    else
        c->crypto->hmac(h, s->t, hash_size(h), &label, 1, key);
}

/* Writes the client's final message to w and remembers the signature the server must show. */
static int scram_final(struct xmpp_tiny_sasl_ *s, const struct xmpp_tiny_config *c, struct xmpp_tiny_out_ *w)
{
    enum xmpp_tiny_hash h = mechanism_hash(s->mechanism);
    size_t size = hash_size(h), len;
    uint8_t key[XMPP_TINY_KEY_MAX], data[GS2_MAX + 64];
    char bound[(GS2_MAX + 64 + 2) / 3 * 4];
    str parts[7] = {s->first, STR(","), s->challenge, STR(",c="), ABSENT, STR(",r="), s->nonce};
    len = gs2_header(s, (char *)data);
    if (s->binding) {
        int n = c->stream->ops->binding(c->stream, (enum xmpp_tiny_binding)s->binding, data + len);
        if (n <= 0 || n > 64)
            return ERR(BINDING);
        len += (size_t)n;
    }
    parts[4] = slice(bound, (size_t)(base64_put(bound, data, len) - bound));
    scram_key(s, c, false, s->u);
    c->crypto->hash(h, s->u, size, key);
    c->crypto->hmac(h, key, size, parts, 7, key);
    for (size_t i = 0; i < size; i++)
        s->u[i] ^= key[i];
    scram_key(s, c, true, key);
    c->crypto->hmac(h, key, size, parts, 7, s->proof);
    wipe(key, sizeof key);
    out_base64(w, "c=", 2);
    out_base64(w, parts[4].ptr, parts[4].len);
    out_base64(w, ",r=", 3);
    out_base64(w, s->nonce.ptr, s->nonce.len);
    out_base64(w, ",p=", 3);
    out_base64(w, bound, (size_t)(base64_put(bound, s->u, size) - bound));
    out_base64_end(w);
    wipe(s->u, sizeof s->u);
    return 0;
}

/* Checks the server's final message, decoded in place: v=, or e=. [RFC5802 7] */
static int scram_verify(struct xmpp_tiny_sasl_ *s, str message, struct xmpp_tiny_error *error)
{
    size_t size = hash_size(mechanism_hash(s->mechanism));
    str rest = message, refused = scram_attr(&rest, 'e'), v;
    if (refused.ptr) {
        error->condition = refused;
        return ERR(AUTH);
    }
    rest = message;
    v = scram_attr(&rest, 'v');
    if (v.ptr == NULL || v.len != (size + 2) / 3 * 4 || base64_get(v, (char *)s->u) != (int)size ||
        !same_secret(s->u, s->proof, size))
        return ERR(SERVER_PROOF);
    s->flags |= SASL_VERIFIED;
    return 0;
}

/* ==== Room 8: stream ==============================================================================
 * The negotiation [RFC6120 4 to 7]: header, features, STARTTLS, SASL, restart, bind; stream errors
 * and the close. Functions return 0 or the error the connection fails with.
 * Owns x->state, x->error, x->features, x->sasl (with room 7). Bounds: every state but ONLINE and
 * KEYS has a deadline; redirects_max redirections. */

enum { /* x->flags */
       F_BUSY = 1,        /* inside the application's callback */
       F_TLS = 2,         /* encrypted, and the server is who it should be */
       F_AUTHENTICATED = 4,
       F_OPEN = 8,        /* our stream header was sent on this connection */
       F_BROKEN = 16,     /* the transport is of no use any more */
       F_SHUT = 32,       /* our direction has been ended in order */
       F_REDIRECT = 64,   /* connect again, elsewhere */
       F_ROOM = 128       /* the application waits for room */
};
enum { FEATURE_TLS = 1, FEATURE_BIND = 2 };

#define BIND_ID "bind"
#define SHUT_MS 3000U /* to get the last bytes out */

static uint32_t now(const struct xmpp_tiny *x)
{
    return x->config->platform->now_ms(x->config->platform->ctx);
}

static uint32_t timeout_ms(const struct xmpp_tiny *x)
{
    return x->config->timeout_ms ? x->config->timeout_ms : 30000;
}

static void set_state(struct xmpp_tiny *x, enum xmpp_tiny_state state)
{
    x->state = (uint8_t)state;
    x->deadline = now(x) + (state == XMPP_TINY_STATE_SHUT ? SHUT_MS : timeout_ms(x));
}

/* The one place where the application is called for an event. */
static int tell(struct xmpp_tiny *x, struct xmpp_tiny_event *event)
{
    int r;
    x->flags |= F_BUSY;
    r = x->config->event(x, event, x->config->user);
    x->flags &= (uint16_t)~F_BUSY;
    return r;
}

/* Tells something plain; false if the application left the state we were in. */
static bool tell_kind(struct xmpp_tiny *x, enum xmpp_tiny_event_kind kind)
{
    struct xmpp_tiny_event event;
    uint8_t state = x->state;
    memset(&event, 0, sizeof event);
    event.kind = kind;
    event.error = x->error;
    event.unsent = x->out.stanzas;
    event.to = x->bound;
    tell(x, &event);
    return x->state == state;
}

/* Hands text to the trace hook; of what is secret only the first tag. */
static void trace(const struct xmpp_tiny *x, char direction, const char *text, size_t len, bool secret)
{
    const struct xmpp_tiny_platform *p = x->config->platform;
    if (!XMPP_TINY_ENABLE_TRACE || p->trace == NULL || len == 0)
        return;
    if (secret) {
        const char *tag = text[0] == '<' ? (const char *)memchr(text, '>', len) : NULL;
        len = tag ? (size_t)(tag - text) + 1 : 0;
        p->trace(p->ctx, direction, text, len);
        p->trace(p->ctx, direction, "***", 3);
        return;
    }
    p->trace(p->ctx, direction, text, len);
}

/* The one place where output becomes due. */
static int commit(struct xmpp_tiny *x, bool secret)
{
    uint16_t from = x->out.commit;
    int err = out_commit(&x->out);
    if (err)
        return err;
    if (x->out.begin == from)
        x->write_deadline = now(x) + timeout_ms(x);
    trace(x, '>', x->out.buf + from, (size_t)(x->out.commit - from), secret);
    return 0;
}

/* Output of the stream's own: there is always room for it. */
static int commit_own(struct xmpp_tiny *x, bool secret)
{
    int err = commit(x, secret);
    x->out.stanzas = (uint16_t)(x->out.stanzas - (err == 0));
    return err ? ERR(BUG) : 0;
}

/* The stream error that tells the server what it did wrong; NULL: none. [RFC6120 4.9.3] */
static const char *stream_condition(int err)
{
    switch (err) {
    case ERR(XML):
        return "not-well-formed";
    case ERR(XML_RESTRICTED):
        return "restricted-xml";
    case ERR(XML_ENCODING):
        return "unsupported-encoding";
    case ERR(XML_PREFIX):
        return "bad-namespace-prefix";
    case ERR(XML_LIMIT):
        return "policy-violation";
    case ERR(HEADER):
        return "invalid-namespace";
    case ERR(FROM):
        return "invalid-from";
    case ERR(UNEXPECTED):
        return "unsupported-stanza-type";
    case ERR(TIMEOUT):
        return "connection-timeout";
    case ERR(SASL):
    case ERR(NONCE):
    case ERR(ITERATIONS):
    case ERR(SERVER_PROOF):
        return "not-authorized";
    default:
        return NULL;
    }
}

/* Closes our stream, with an error if there is one to name. */
static void stream_close(struct xmpp_tiny *x, int err)
{
    const char *condition = stream_condition(err);
    if ((x->flags & (F_OPEN | F_BROKEN)) != F_OPEN)
        return;
    x->flags &= (uint16_t)~F_OPEN;
    out_begin(&x->out, true);
    if (condition) {
        out_start(&x->out, "stream:error", NULL);
        out_start(&x->out, condition, NS_STREAM_ERRORS);
        out_end(&x->out);
        out_end(&x->out);
    }
    out_str(&x->out, "</stream:stream>");
    commit_own(x, false);
}

/* The one place where a connection fails. The first error wins. */
static void fail(struct xmpp_tiny *x, int err)
{
    if (x->state == XMPP_TINY_STATE_OFF || x->state == XMPP_TINY_STATE_SHUT)
        return;
    stream_close(x, err);
    set_state(x, XMPP_TINY_STATE_SHUT);
    x->error.code = err;
    tell_kind(x, XMPP_TINY_EVENT_ERROR);
}

/* Opens a stream, the first or a new one after TLS or SASL. What was learnt before is forgotten.
 * [RFC6120 4.3.3, 4.7] */
static int stream_begin(struct xmpp_tiny *x)
{
    struct xmpp_tiny_out_ *w = &x->out;
    wipe(&x->sasl, sizeof x->sasl);
    x->features = 0;
    tok_start(&x->tok, u16(x->redirects ? x->host.len + 2 : 1));
    out_begin(w, true);
    out_str(w, "<?xml version='1.0'?><stream:stream xmlns='" NS_CLIENT "' xmlns:stream='" NS_STREAMS
               "' version='1.0' xml:lang='en'");
    w->flags |= OUT_IN_TAG;
    out_attr(w, "to", x->jid.domain);
    if ((x->flags & F_TLS) && x->jid.local.ptr)
        out_attr(w, "from", slice(x->jid.local.ptr, (size_t)(x->jid.domain.ptr - x->jid.local.ptr) + x->jid.domain.len));
    out_close_tag(w);
    x->flags |= F_OPEN;
    set_state(x, XMPP_TINY_STATE_HEADER);
    return commit_own(x, false);
}

static int stream_opened(struct xmpp_tiny *x)
{
    if (!tell_kind(x, XMPP_TINY_EVENT_CONNECTED))
        return 0;
    if (x->config->tls == XMPP_TINY_TLS_DIRECT) {
        set_state(x, XMPP_TINY_STATE_SECURE);
        return 0;
    }
    return stream_begin(x);
}

static int stream_secured(struct xmpp_tiny *x)
{
    x->flags |= F_TLS;
    return tell_kind(x, XMPP_TINY_EVENT_SECURED) ? stream_begin(x) : 0;
}

/* [RFC6120 4.7, 4.8] */
static int stream_header(struct xmpp_tiny *x)
{
    el root = tok_root(&x->tok);
    str from = el_attr(root, "from"), version = el_attr(root, "version"), major = cut(&version, '.');
    uint32_t v = number(major, 255);
    if (!el_matches(root, "stream", STR(NS_STREAMS)) || !is(run_at(root.buf, el_default(root)), NS_CLIENT))
        return ERR(HEADER);
    if (v < 1 || v == UINT32_MAX || number(version, UINT32_MAX - 1) == UINT32_MAX)
        return ERR(HEADER);
    if (from.ptr && !jid_same(from, x->jid.domain, false))
        return ERR(FROM);
    set_state(x, XMPP_TINY_STATE_FEATURES);
    return 0;
}

/* One of the server's features. */
static void stream_feature(struct xmpp_tiny *x, el feature)
{
    el e;
    if (el_matches(feature, "starttls", STR(NS_TLS))) {
        x->features |= FEATURE_TLS;
    } else if (el_matches(feature, "bind", STR(NS_BIND))) {
        x->features |= FEATURE_BIND;
    } else if (el_matches(feature, "mechanisms", STR(NS_SASL))) {
        for (e = el_child(feature, "mechanism", NULL); e.at; e = el_next(e, "mechanism", NULL)) {
            int m = mechanism_number(el_text(e));
            if (m >= 0)
                x->sasl.offered |= (uint16_t)(1U << m);
        }
    } else if (el_matches(feature, "sasl-channel-binding", STR(NS_BINDINGS))) {
        x->sasl.flags |= SASL_BINDINGS_LISTED;
        for (e = el_child(feature, "channel-binding", NULL); e.at; e = el_next(e, "channel-binding", NULL))
            for (unsigned b = 1; b <= XMPP_TINY_BINDING_TLS_SERVER_END_POINT; b++)
                if (is(el_attr(e, "type"), binding_name(b)))
                    x->sasl.bindings |= (uint8_t)(1U << b);
    }
}

/* A feature too large for the buffer matters only if we cannot do without it. */
static int stream_feature_skipped(const struct xmpp_tiny *x, el feature)
{
    (void)x;
    return is(el_name(feature), "mechanisms") || is(el_name(feature), "starttls") || is(el_name(feature), "bind")
               ? ERR(XML_LIMIT)
               : 0;
}

/* Sends <auth/> with the initial response. [RFC6120 6.4.2] */
static int sasl_begin(struct xmpp_tiny *x)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    const struct xmpp_tiny_config *c = x->config;
    struct xmpp_tiny_out_ *w = &x->out;
    char gs2[GS2_MAX];
    bool scram;
    if (x->tok.in != x->tok.end)
        return ERR(UNEXPECTED);
    if (!choose_mechanism(s, c))
        return ERR(MECHANISM);
    scram = mechanism_is_scram(s->mechanism);
    out_begin(w, true);
    out_start(w, "auth", NS_SASL);
    out_attr(w, "mechanism", text_of(mechanism_names[s->mechanism]));
    if (scram) {
        uint8_t nonce[NONCE_BYTES];
        char *first = tok_room(&x->tok, x->jid.local.len * 3 + 40);
        if (first == NULL)
            return ERR(XML_LIMIT);
        if (!c->platform->random(c->platform->ctx, nonce, sizeof nonce))
            return ERR(RANDOM);
        s->first = slice(first, scram_first(first, x->jid.local, nonce));
        out_base64(w, gs2, gs2_header(s, gs2));
        out_base64(w, s->first.ptr, s->first.len);
    } else if (s->mechanism == MECHANISM(PLAIN)) { /* [RFC4616] */
        out_base64(w, "", 1);
        out_base64(w, x->jid.local.ptr, x->jid.local.len);
        out_base64(w, "", 1);
        out_base64(w, c->password, strlen(c->password));
    } else if (s->mechanism == MECHANISM(EXTERNAL)) { /* [XEP-0178]: the identity we mean */
        out_base64(w, x->jid.local.ptr, x->jid.local.len);
        out_base64(w, "@", 1);
        out_base64(w, x->jid.domain.ptr, x->jid.domain.len);
    } else {
        out_text(w, STR("=")); /* empty, not absent */
    }
    out_base64_end(w);
    set_state(x, scram ? XMPP_TINY_STATE_CHALLENGE : XMPP_TINY_STATE_SUCCESS);
    return commit_own(x, true);
}

/* [RFC6120 7.6] */
static int bind_begin(struct xmpp_tiny *x)
{
    struct xmpp_tiny_out_ *w = &x->out;
    out_begin(w, true);
    out_start(w, "iq", NULL);
    out_attr(w, "type", STR("set"));
    out_attr(w, "id", STR(BIND_ID));
    out_start(w, "bind", NS_BIND);
    out_element(w, "resource", NULL, x->jid.resource);
    set_state(x, XMPP_TINY_STATE_BIND);
    return commit_own(x, false);
}

/* All features are known: what next? */
static int stream_features(struct xmpp_tiny *x)
{
    if (!(x->flags & F_TLS)) {
        if (!(x->features & FEATURE_TLS))
            return ERR(NO_TLS);
        out_begin(&x->out, true);
        out_start(&x->out, "starttls", NS_TLS);
        set_state(x, XMPP_TINY_STATE_PROCEED);
        return commit_own(x, false);
    }
    if (!(x->flags & F_AUTHENTICATED))
        return sasl_begin(x);
    return x->features & FEATURE_BIND ? bind_begin(x) : ERR(FEATURES);
}

/* see-other-host: [host][:port] of another place for the same domain, believed only over verified TLS
 * [RFC6120 4.9.3.19]. The name that has to be proved stays the domain. */
static int stream_redirect(struct xmpp_tiny *x, str where)
{
    uint8_t max = x->config->redirects_max ? x->config->redirects_max : 2;
    str host = where, port;
    uint32_t p = 0;
    if (max == 255 || x->redirects >= max || !(x->flags & F_TLS))
        return ERR(REDIRECT);
    if (where.len && where.ptr[0] == '[') {
        port = where;
        host = cut(&port, ']');
        host = slice(host.ptr + 1, host.len - 1);
        if (port.len && port.ptr[0] != ':')
            return ERR(REDIRECT);
        port = port.len ? slice(port.ptr + 1, port.len - 1) : ABSENT;
    } else {
        port = where;
        host = cut(&port, ':');
    }
    p = port.ptr ? number(port, 65535) : 0;
    if (host.len == 0 || host.len > 255 || p > 65535 || (port.ptr && p == 0) || memchr(host.ptr, ' ', host.len))
        return ERR(REDIRECT);
    memmove(x->tok.buf + 1, host.ptr, host.len);
    x->host = slice(x->tok.buf + 1, host.len);
    x->port = (uint16_t)p;
    x->redirects++;
    x->flags |= F_REDIRECT;
    return 0;
}

/* The first child of e in that namespace that is not <text/>. */
static el condition_of(el e, const char *ns)
{
    el c = el_child(e, NULL, ns);
    return is(el_name(c), "text") ? el_next(c, NULL, ns) : c;
}

/* Remembers what the peer said went wrong; the unit stays for it. */
static void keep_condition(struct xmpp_tiny *x, el e, const char *ns)
{
    x->error.condition = el_name(condition_of(e, ns));
    x->error.text = el_text(el_child(e, "text", ns));
    tok_hold(&x->tok);
}

static int stream_error(struct xmpp_tiny *x, el e)
{
    el other = el_child(e, "see-other-host", NS_STREAM_ERRORS);
    keep_condition(x, e, NS_STREAM_ERRORS);
    if (other.at == 0)
        return ERR(STREAM);
    if (stream_redirect(x, el_text(other)) != 0)
        return ERR(REDIRECT);
    memset(&x->error, 0, sizeof x->error);
    stream_close(x, 0);
    set_state(x, XMPP_TINY_STATE_SHUT);
    return 0;
}

/* Decodes the base64 text of a SASL element in place and keeps the element. */
static int sasl_text(struct xmpp_tiny *x, el e, str *text)
{
    char *at;
    int len;
    *text = el_text(e);
    at = x->tok.buf + (text->ptr - x->tok.buf);
    tok_hold(&x->tok);
    if (is(*text, "="))
        text->len = 0;
    len = base64_get(*text, at);
    text->len = len < 0 ? 0 : (size_t)len;
    return len < 0 ? ERR(SASL) : 0;
}

static int sasl_response(struct xmpp_tiny *x)
{
    int err;
    out_begin(&x->out, true);
    out_start(&x->out, "response", NS_SASL);
    err = x->sasl.flags & SASL_VERIFIED ? 0 : scram_final(&x->sasl, x->config, &x->out);
    if (err)
        return err;
    set_state(x, XMPP_TINY_STATE_SUCCESS);
    return commit_own(x, true);
}

static int sasl_challenge(struct xmpp_tiny *x, el e)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    str salt;
    char *room;
    int n, err = sasl_text(x, e, &s->challenge);
    if (!err)
        err = scram_challenge(s, x->config->iterations_max ? x->config->iterations_max : 100000);
    if (err)
        return err;
    salt = s->salt;
    room = tok_room(&x->tok, salt.len);
    if (room == NULL)
        return x->tok.in != x->tok.end ? ERR(UNEXPECTED) : ERR(XML_LIMIT);
    n = base64_get(salt, room);
    if (n <= 0)
        return ERR(SASL);
    s->salt = slice(room, (size_t)n);
    err = scram_keys_begin(s, x->config);
    if (err < 0)
        return err;
    if (err > 0)
        return sasl_response(x);
    set_state(x, XMPP_TINY_STATE_KEYS);
    return 0;
}

/* The final challenge of servers that keep the signature out of <success/>, and <success/> itself. */
static int sasl_outcome(struct xmpp_tiny *x, el e, bool success)
{
    bool scram = mechanism_is_scram(x->sasl.mechanism);
    str text;
    int err = sasl_text(x, e, &text);
    if (!err && scram && (text.len || !success))
        err = x->sasl.flags & SASL_VERIFIED ? ERR(SASL) : scram_verify(&x->sasl, text, &x->error);
    if (err)
        return err;
    if (!success)
        return scram ? sasl_response(x) : ERR(UNEXPECTED);
    if (scram && !(x->sasl.flags & SASL_VERIFIED))
        return ERR(SERVER_PROOF);
    x->flags |= F_AUTHENTICATED;
    return tell_kind(x, XMPP_TINY_EVENT_AUTHENTICATED) ? stream_begin(x) : 0;
}

static int bind_result(struct xmpp_tiny *x, el iq)
{
    str type = el_attr(iq, "type"), jid = child_text(el_child(iq, "bind", NS_BIND), "jid");
    struct xmpp_tiny_jid parts;
    if (!el_matches(iq, "iq", STR(NS_CLIENT)) || !is(el_attr(iq, "id"), BIND_ID))
        return ERR(UNEXPECTED);
    if (is(type, "error")) {
        keep_condition(x, el_child(iq, "error", NULL), NS_STANZA_ERRORS);
        return ERR(BIND);
    }
    if (!is(type, "result") || !jid_parse(jid, &parts) || parts.resource.ptr == NULL ||
        !same_folded(parts.domain, x->jid.domain))
        return ERR(BIND);
    tok_hold(&x->tok);
    x->bound = jid;
    set_state(x, XMPP_TINY_STATE_ONLINE);
    tell_kind(x, XMPP_TINY_EVENT_ONLINE);
    return 0;
}

/* A child of the stream during the negotiation. */
static int stream_unit(struct xmpp_tiny *x, el e)
{
    bool sasl = same(el_ns(e), STR(NS_SASL));
    if (x->tok.level > 1) {
        stream_feature(x, e);
        return 0;
    }
    if (el_matches(e, "error", STR(NS_STREAMS)))
        return stream_error(x, e);
    switch (x->state) {
    case XMPP_TINY_STATE_PROCEED:
        if (el_matches(e, "failure", STR(NS_TLS)))
            return ERR(NO_TLS);
        if (!el_matches(e, "proceed", STR(NS_TLS)) || x->tok.in != x->tok.end)
            return ERR(UNEXPECTED); /* bytes behind <proceed/> were not sent under TLS [RFC6120 5.4.2.3] */
        x->flags &= (uint16_t)~F_OPEN;
        set_state(x, XMPP_TINY_STATE_SECURE);
        return 0;
    case XMPP_TINY_STATE_CHALLENGE:
    case XMPP_TINY_STATE_SUCCESS:
        if (sasl && is(el_name(e), "failure")) {
            keep_condition(x, e, NS_SASL);
            return ERR(AUTH);
        }
        if (sasl && is(el_name(e), "success"))
            return sasl_outcome(x, e, true);
        if (sasl && is(el_name(e), "challenge"))
            return x->state == XMPP_TINY_STATE_CHALLENGE ? sasl_challenge(x, e) : sasl_outcome(x, e, false);
        return ERR(UNEXPECTED);
    case XMPP_TINY_STATE_BIND:
        return bind_result(x, e);
    default:
        return ERR(UNEXPECTED);
    }
}

/* ==== Room 10: extensions =========================================================================
 * Stanzas [RFC6120 8, RFC6121]: what comes in goes to the application, to an iq handler or to the
 * request it answers; ping [XEP-0199]. Owns x->requests. An answer that finds no room returns AGAIN,
 * and the stanza comes again when there is some. */

/* ---- Out ---- */

static void stanza_begin(struct xmpp_tiny *x, const char *name, str to, str type, str id)
{
    out_begin(&x->out, false);
    if (x->state != XMPP_TINY_STATE_ONLINE)
        out_fail(&x->out, ERR(STATE));
    out_start(&x->out, name, NULL);
    out_attr(&x->out, "to", to);
    out_attr(&x->out, "type", type);
    out_attr(&x->out, "id", id);
}

/* Hands a stanza over. Returns 0, the number of a request, or an error. */
static int stanza_send(struct xmpp_tiny *x)
{
    struct xmpp_tiny_request_ *q = x->out.request ? &x->requests[x->out.request - 1] : NULL;
    int err = commit(x, false);
    if (err == ERR(AGAIN))
        x->flags |= F_ROOM;
    if (err || q == NULL)
        return err;
    if (++x->next_request == 0)
        x->next_request = 1;
    q->number = x->next_request;
    return q->number;
}

static void hex_put(char *o, uint32_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 4)
        o[i] = "0123456789abcdef"[v & 15];
}

/* Begins an iq request in a free place of the table. The id is random, so that nobody who was not
 * asked can answer. */
static void request_begin(struct xmpp_tiny *x, const char *type, str to, uint32_t timeout)
{
    const struct xmpp_tiny_platform *p = x->config->platform;
    struct xmpp_tiny_request_ *q = x->requests;
    char id[16];
    uint8_t slot = 1;
    bool random;
    while (q->number && slot < XMPP_TINY_MAX_REQUESTS)
        q++, slot++;
    if (q->number) {
        stanza_begin(x, "iq", to, text_of(type), ABSENT);
        out_fail(&x->out, ERR(AGAIN));
        return;
    }
    random = p->random(p->ctx, q->id, sizeof q->id);
    q->address = jid_digest(to);
    q->deadline = now(x) + (timeout ? timeout : timeout_ms(x));
    hex_put(id, q->id[0]);
    hex_put(id + 8, q->id[1]);
    stanza_begin(x, "iq", to, text_of(type), slice(id, sizeof id));
    x->out.request = slot;
    if (!random)
        out_fail(&x->out, ERR(RANDOM));
    if (to.ptr && q->address == 0)
        out_fail(&x->out, ERR(ARGUMENT));
}

static int send_error(struct xmpp_tiny *x, el stanza, enum xmpp_tiny_condition condition, str text)
{
    static const struct {
        const char *element, *type;
    } row[] = {{"", ""},
#define MODIFY "modify"
#define CANCEL "cancel"
#define AUTH "auth"
#define WAIT "wait"
#define XMPP_TINY_X(name, element, type) {element, type},
               XMPP_TINY_CONDITIONS(XMPP_TINY_X)
#undef XMPP_TINY_X
#undef MODIFY
#undef CANCEL
#undef AUTH
#undef WAIT
    };
    str type = el_attr(stanza, "type"), name = el_name(stanza);
    const char *kind = is(name, "iq") ? "iq" : is(name, "message") ? "message" : is(name, "presence") ? "presence" : NULL;
    if (kind == NULL || is(type, "error") || is(type, "result") || (unsigned)condition >= sizeof row / sizeof *row ||
        condition == XMPP_TINY_CONDITION_NONE_)
        return ERR(ARGUMENT);
    stanza_begin(x, kind, el_attr(stanza, "from"), STR("error"), el_attr(stanza, "id"));
    out_start(&x->out, "error", NULL);
    out_attr(&x->out, "type", text_of(row[condition].type));
    out_element(&x->out, row[condition].element, NS_STANZA_ERRORS, STR(""));
    out_element(&x->out, "text", NS_STANZA_ERRORS, text);
    return stanza_send(x);
}

static void result_begin(struct xmpp_tiny *x, el iq)
{
    stanza_begin(x, "iq", el_attr(iq, "from"), STR("result"), el_attr(iq, "id"));
}

/* ---- In ---- */

/* [RFC6120 8.3] */
static void read_error(struct xmpp_tiny_event *event)
{
    el e = el_child(event->el, "error", NULL);
    event->error.code = ERR(STANZA);
    event->error.type = el_attr(e, "type");
    event->error.condition = el_name(condition_of(e, NS_STANZA_ERRORS));
    event->error.text = el_text(el_child(e, "text", NS_STANZA_ERRORS));
}

static void read_common(struct xmpp_tiny_event *event, el stanza)
{
    memset(event, 0, sizeof *event);
    event->el = stanza;
    event->name = el_name(stanza);
    event->from = el_attr(stanza, "from");
    event->to = el_attr(stanza, "to");
    event->id = el_attr(stanza, "id");
    event->type = el_attr(stanza, "type");
}

static int8_t priority_of(el presence)
{
    str text = child_text(presence, "priority");
    bool minus = text.len && text.ptr[0] == '-';
    uint32_t n = number(minus ? slice(text.ptr + 1, text.len - 1) : text, 128);
    if (n > (minus ? 128U : 127U))
        return 0;
    return (int8_t)(minus ? -(int)n : (int)n);
}

/* May an answer to this request come from there? [RFC6120 8.1.2.1, 10.3.3] A request without address
 * went to our own account. */
static bool answers(const struct xmpp_tiny *x, const struct xmpp_tiny_request_ *q, str from)
{
    uint32_t us = jid_digest(x->bound);
    struct xmpp_tiny_jid jid;
    if (q->address && from.ptr)
        return jid_digest(from) == q->address;
    if (q->address == 0)
        return from.ptr == NULL || jid_same(from, x->bound, true);
    /* absent: our server speaks for our account */
    if (!jid_parse(x->bound, &jid))
        return false;
    return q->address == us ||
           q->address == jid_digest(slice(x->bound.ptr, x->bound.len - jid.resource.len - 1)) ||
           q->address == jid_digest(jid.domain);
}

static int answer_tell(struct xmpp_tiny *x, struct xmpp_tiny_request_ *q, struct xmpp_tiny_event *event)
{
    uint16_t number = q->number;
    int r;
    event->kind = XMPP_TINY_EVENT_ANSWER;
    event->request = number;
    q->number = 0;
    r = tell(x, event);
    if (r == ERR(AGAIN) && event->el.at && q->number == 0)
        q->number = number;
    return r;
}

static int iq_answer(struct xmpp_tiny *x, struct xmpp_tiny_event *event)
{
    for (size_t i = 0; i < XMPP_TINY_MAX_REQUESTS; i++) {
        struct xmpp_tiny_request_ *q = &x->requests[i];
        char id[16];
        hex_put(id, q->id[0]);
        hex_put(id + 8, q->id[1]);
        if (q->number && same(event->id, slice(id, sizeof id)) && answers(x, q, event->from)) {
            if (is(event->type, "error"))
                read_error(event);
            return answer_tell(x, q, event);
        }
    }
    trace(x, '-', "answer to nothing asked", 23, false);
    return 0;
}

static int ping_answer(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    (void)user;
    if (!is(event->type, "get"))
        return XMPP_TINY_CONDITION_BAD_REQUEST;
    result_begin(x, event->el);
    return stanza_send(x);
}

/* [RFC6120 8.2.3, 8.4] */
static int iq_request(struct xmpp_tiny *x, struct xmpp_tiny_event *event)
{
    static const struct xmpp_tiny_handler own[] = {{"ping", NS_PING, ping_answer}};
    const struct xmpp_tiny_config *c = x->config;
    el payload = el_child(event->el, NULL, "*");
    int r = XMPP_TINY_CONDITION_SERVICE_UNAVAILABLE;
    if (event->id.ptr == NULL || payload.at == 0 || el_next(payload, NULL, "*").at ||
        (!is(event->type, "get") && !is(event->type, "set")))
        return XMPP_TINY_CONDITION_BAD_REQUEST;
    for (size_t i = 0; i < c->handler_count + sizeof own / sizeof *own; i++) {
        const struct xmpp_tiny_handler *h = i < c->handler_count ? &c->handlers[i] : &own[i - c->handler_count];
        if (el_matches(payload, h->name, text_of(h->ns))) {
            x->flags |= F_BUSY;
            r = h->fn(x, event, c->user);
            x->flags &= (uint16_t)~F_BUSY;
            break;
        }
    }
    return r;
}

/* What answers a request: the error a handler asks for, or the news that an answer is too big. */
static int iq_refuse(struct xmpp_tiny *x, el iq, int r)
{
    if (r > 0)
        r = send_error(x, iq, (enum xmpp_tiny_condition)r, ABSENT);
    if (r == ERR(AGAIN))
        x->flags |= F_ROOM;
    return r;
}

/* A child of the stream while online, or while the stream closes. Returns 0; AGAIN: not handled yet; or
 * an error the connection fails with. */
static int stanza_unit(struct xmpp_tiny *x, el e)
{
    struct xmpp_tiny_event event;
    bool client = same(el_ns(e), STR(NS_CLIENT)), error;
    int r;
    if (el_matches(e, "error", STR(NS_STREAMS)))
        return stream_error(x, e);
    read_common(&event, e);
    error = is(event.type, "error");
    if (client && is(event.name, "iq")) {
        if (error || is(event.type, "result"))
            r = iq_answer(x, &event);
        else
            r = iq_refuse(x, e, x->state == XMPP_TINY_STATE_ONLINE ? iq_request(x, &event) : 0);
    } else {
        event.kind = XMPP_TINY_EVENT_ELEMENT;
        if (client && is(event.name, "message")) {
            event.kind = XMPP_TINY_EVENT_MESSAGE;
            event.subject = child_text(e, "subject");
            event.body = child_text(e, "body");
            event.thread = child_text(e, "thread");
        } else if (client && is(event.name, "presence")) {
            event.kind = XMPP_TINY_EVENT_PRESENCE;
            event.show = child_text(e, "show");
            event.status = child_text(e, "status");
            event.priority = priority_of(e);
        }
        if (client && error)
            read_error(&event);
        r = tell(x, &event);
    }
    return r == ERR(AGAIN) ? r : 0;
}

/* A stanza that was too big to keep. */
static int stanza_skipped(struct xmpp_tiny *x, el e)
{
    struct xmpp_tiny_event event;
    read_common(&event, e);
    if (x->state == XMPP_TINY_STATE_ONLINE && is(event.name, "iq") && (is(event.type, "get") || is(event.type, "set")) &&
        send_error(x, e, XMPP_TINY_CONDITION_RESOURCE_CONSTRAINT, ABSENT) == ERR(AGAIN))
        return ERR(AGAIN);
    event.kind = XMPP_TINY_EVENT_SKIPPED;
    event.size = x->tok.bytes;
    event.error.code = ERR(XML_LIMIT);
    tell(x, &event);
    return 0;
}

/* Requests nobody answered: in time, or before the connection ended. */
static void requests_expire(struct xmpp_tiny *x, uint32_t at, int why)
{
    for (size_t i = 0; i < XMPP_TINY_MAX_REQUESTS; i++) {
        struct xmpp_tiny_request_ *q = &x->requests[i];
        struct xmpp_tiny_event event;
        if (q->number == 0 || (why == ERR(TIMEOUT) && (int32_t)(q->deadline - at) > 0))
            continue;
        memset(&event, 0, sizeof event);
        event.error.code = why;
        answer_tell(x, q, &event);
    }
}

/* ==== Room 11: engine =============================================================================
 * The client without I/O: windows, wants, reports; one received element and one slice of key
 * derivation a step; deadlines. */

static bool out_pending(const struct xmpp_tiny *x)
{
    return x->out.begin < x->out.commit;
}

static enum xmpp_tiny_want want(const struct xmpp_tiny *x)
{
    switch (x->state) {
    case XMPP_TINY_STATE_OFF:
        return XMPP_TINY_WANT_NOTHING;
    case XMPP_TINY_STATE_OPEN:
        return XMPP_TINY_WANT_OPEN;
    case XMPP_TINY_STATE_SECURE:
        return XMPP_TINY_WANT_SECURE;
    case XMPP_TINY_STATE_SHUT:
        if (x->flags & (F_BROKEN | F_SHUT))
            return XMPP_TINY_WANT_CLOSE;
        return out_pending(x) ? XMPP_TINY_WANT_IO : XMPP_TINY_WANT_SHUT;
    default:
        return XMPP_TINY_WANT_IO;
    }
}

/* The transport is gone; the requests with it. The last event is CLOSED, or a redirection goes on. */
static void closed(struct xmpp_tiny *x)
{
    bool again = x->flags & F_REDIRECT;
    x->flags = 0;
    wipe(&x->sasl, sizeof x->sasl);
    if (again) {
        x->out.begin = x->out.commit = x->out.end = x->out.stanzas = 0;
        set_state(x, XMPP_TINY_STATE_OPEN);
        return;
    }
    requests_expire(x, 0, ERR(LOST));
    x->bound = ABSENT;
    set_state(x, XMPP_TINY_STATE_OFF);
    tell_kind(x, XMPP_TINY_EVENT_CLOSED);
}

/* The transport failed, or ended. */
static void broken(struct xmpp_tiny *x, int err, const char *detail)
{
    x->flags |= F_BROKEN;
    if (x->state == XMPP_TINY_STATE_CLOSE)
        set_state(x, XMPP_TINY_STATE_SHUT); /* the session had ended */
    if (x->state == XMPP_TINY_STATE_SHUT)
        return;
    x->error.text = text_of(detail);
    fail(x, err);
}

static void report(struct xmpp_tiny *x, enum xmpp_tiny_want what, int result, int err, const char *detail)
{
    if (what != want(x))
        return;
    if (what == XMPP_TINY_WANT_CLOSE) {
        closed(x);
    } else if (result <= 0) {
        broken(x, result == 0 && what == XMPP_TINY_WANT_IO ? ERR(ENDED) : err < 0 ? err : ERR(BUG), detail);
    } else if (what == XMPP_TINY_WANT_SHUT) {
        x->flags |= F_SHUT;
    } else if (what != XMPP_TINY_WANT_IO) {
        err = what == XMPP_TINY_WANT_OPEN ? stream_opened(x) : stream_secured(x);
        if (err)
            fail(x, err);
    }
}

/* What a server sends before it is asked again is secret while SASL goes on. */
static void received(struct xmpp_tiny *x, size_t len)
{
    bool secret = x->state == XMPP_TINY_STATE_CHALLENGE || x->state == XMPP_TINY_STATE_SUCCESS;
    trace(x, '<', x->tok.buf + x->tok.end, len, secret);
    tok_fed(&x->tok, len);
}

/* Nothing is read into a step's hands before the last is out of them, nor once the stream is over. */
static char *rx_window(struct xmpp_tiny *x, size_t *room)
{
    *room = 0;
    if (want(x) != XMPP_TINY_WANT_IO || x->state == XMPP_TINY_STATE_SHUT || x->held || x->tok.state == S_POP)
        return NULL;
    return tok_window(&x->tok, room);
}

static void sent(struct xmpp_tiny *x, size_t len)
{
    out_sent(&x->out, len);
    x->write_deadline = now(x) + timeout_ms(x);
}

/* Takes what the tokenizer found to the room it belongs to. */
static int dispatch(struct xmpp_tiny *x, int found)
{
    bool stanzas = x->state == XMPP_TINY_STATE_ONLINE || x->state == XMPP_TINY_STATE_CLOSE;
    el e = found == TOK_UNIT || found == TOK_OPEN || found == TOK_SKIPPED ? tok_unit(&x->tok) : (el){NULL, 0, 0};
    switch (found) {
    case TOK_HEADER:
        return stream_header(x);
    case TOK_OPEN:
        if (x->state == XMPP_TINY_STATE_FEATURES && x->tok.level == 1 && el_matches(e, "features", STR(NS_STREAMS)))
            tok_enter(&x->tok);
        return 0;
    case TOK_LEFT:
        return stream_features(x);
    case TOK_UNIT:
        return stanzas ? stanza_unit(x, e) : stream_unit(x, e);
    case TOK_SKIPPED:
        if (x->tok.level > 1)
            return stream_feature_skipped(x, e);
        return stanzas ? stanza_skipped(x, e) : ERR(XML_LIMIT);
    case TOK_END:
        if (x->state != XMPP_TINY_STATE_CLOSE)
            return ERR(CLOSED);
        set_state(x, XMPP_TINY_STATE_SHUT);
        return 0;
    default:
        return found;
    }
}

static bool parses(const struct xmpp_tiny *x)
{
    return x->state == XMPP_TINY_STATE_HEADER || x->state == XMPP_TINY_STATE_FEATURES ||
           x->state == XMPP_TINY_STATE_PROCEED || x->state == XMPP_TINY_STATE_CHALLENGE ||
           x->state == XMPP_TINY_STATE_SUCCESS || x->state == XMPP_TINY_STATE_BIND ||
           x->state == XMPP_TINY_STATE_ONLINE || x->state == XMPP_TINY_STATE_CLOSE;
}

/* One element, or one slice of key derivation. Returns true if there may be more to do at once. */
static bool work(struct xmpp_tiny *x)
{
    int found, err;
    if (x->state == XMPP_TINY_STATE_KEYS) {
        if (scram_keys_step(&x->sasl, x->config)) {
            err = sasl_response(x);
            if (err)
                fail(x, err);
        }
        return true;
    }
    if (!parses(x) || (x->held && out_pending(x)))
        return false;
    found = x->held ? x->held : tok_next(&x->tok);
    x->held = 0;
    if (found == TOK_MORE)
        return false;
    err = dispatch(x, found);
    if (err == ERR(AGAIN))
        x->held = (uint8_t)found;
    else if (err)
        fail(x, err);
    return true;
}

/* Minds one deadline: true if it has passed, else *wait is shortened to it. */
static bool due(uint32_t deadline, uint32_t at, uint32_t *wait)
{
    int32_t left = (int32_t)(deadline - at);
    if (left <= 0)
        return true;
    if ((uint32_t)left < *wait)
        *wait = (uint32_t)left;
    return false;
}

static uint32_t deadlines(struct xmpp_tiny *x)
{
    uint32_t at = now(x), wait = XMPP_TINY_FOREVER;
    bool waits = x->state != XMPP_TINY_STATE_OFF && x->state != XMPP_TINY_STATE_KEYS && x->state != XMPP_TINY_STATE_ONLINE;
    if (waits && due(x->deadline, at, &wait)) {
        if (x->state == XMPP_TINY_STATE_CLOSE)
            set_state(x, XMPP_TINY_STATE_SHUT);
        else if (x->state == XMPP_TINY_STATE_SHUT)
            x->flags |= F_BROKEN;
        else
            fail(x, ERR(TIMEOUT));
        return 0;
    }
    if (out_pending(x) && want(x) == XMPP_TINY_WANT_IO && due(x->write_deadline, at, &wait)) {
        broken(x, ERR(TIMEOUT), "the server takes no more bytes");
        return 0;
    }
    for (size_t i = 0; i < XMPP_TINY_MAX_REQUESTS; i++)
        if (x->requests[i].number && due(x->requests[i].deadline, at, &wait)) {
            requests_expire(x, at, ERR(TIMEOUT));
            return 0;
        }
    return wait;
}

static uint32_t step(struct xmpp_tiny *x)
{
    bool more = work(x);
    uint32_t wait;
    if ((x->flags & F_ROOM) && !out_pending(x) && !x->held && x->state == XMPP_TINY_STATE_ONLINE) {
        x->flags &= (uint16_t)~F_ROOM;
        tell_kind(x, XMPP_TINY_EVENT_ROOM);
    }
    wait = deadlines(x);
    return more ? 0 : wait;
}

/* ==== Room 12: pump ===============================================================================
 * Drives the engine over config->stream. The only code that touches the port. */

#define PUMP_ROUNDS 8 /* moves in one poll */

/* Reports the result of a port's operation unless it asks for patience. True if something happened. */
static bool pump_report(struct xmpp_tiny *x, enum xmpp_tiny_want what, int result)
{
    struct xmpp_tiny_stream *s = x->config->stream;
    const char *detail = NULL;
    int err = 0;
    if (result == XMPP_TINY_IO_AGAIN)
        return false;
    if (result < 0)
        err = s->ops->error(s, &detail);
    report(x, what, result, err, detail);
    return true;
}

static bool pump_io(struct xmpp_tiny *x)
{
    struct xmpp_tiny_stream *s = x->config->stream;
    bool moved = false;
    size_t room;
    char *window;
    int n;
    if (out_pending(x)) {
        n = s->ops->write(s, x->out.buf + x->out.begin, (size_t)(x->out.commit - x->out.begin));
        if (n > 0 && n <= x->out.commit - x->out.begin) {
            sent(x, (size_t)n);
            moved = true;
        } else {
            moved = pump_report(x, XMPP_TINY_WANT_IO, n == 0 || n > 0 ? XMPP_TINY_IO_FAILED : n);
        }
    }
    window = rx_window(x, &room);
    if (window && room) {
        n = s->ops->read(s, window, room);
        if (n > 0 && (size_t)n <= room) {
            received(x, (size_t)n);
            moved = true;
        } else {
            moved |= pump_report(x, XMPP_TINY_WANT_IO, n > 0 ? XMPP_TINY_IO_FAILED : n);
        }
    }
    return moved;
}

static bool pump(struct xmpp_tiny *x)
{
    struct xmpp_tiny_stream *s = x->config->stream;
    enum xmpp_tiny_want what = want(x);
    switch (what) {
    case XMPP_TINY_WANT_OPEN:
        return pump_report(x, what, s->ops->open(s, x->host, x->port ? x->port : x->config->tls ? 5223 : 5222));
    case XMPP_TINY_WANT_SECURE:
        return pump_report(x, what, s->ops->secure(s, x->jid.domain));
    case XMPP_TINY_WANT_IO:
        return pump_io(x);
    case XMPP_TINY_WANT_SHUT:
        return pump_report(x, what, s->ops->shut(s));
    case XMPP_TINY_WANT_CLOSE:
        s->ops->close(s);
        return pump_report(x, what, 1);
    case XMPP_TINY_WANT_NOTHING:
    default:
        return false;
    }
}

static uint32_t poll(struct xmpp_tiny *x)
{
    uint32_t wait = 0;
    for (int i = 0; i < PUMP_ROUNDS; i++) {
        bool moved = pump(x);
        bool derived = x->state == XMPP_TINY_STATE_KEYS;
        wait = step(x);
        if (x->state == XMPP_TINY_STATE_OFF)
            return XMPP_TINY_FOREVER;
        if (derived || (!moved && wait))
            break;
    }
    return wait;
}

/* ==== Room 13: hall ===============================================================================
 * The public functions: check, call the inner twin, return. */

str xmpp_tiny_str(const char *text)
{
    return text_of(text);
}

bool xmpp_tiny_same(str a, str b)
{
    return same(a, b);
}

#if XMPP_TINY_ENABLE_NAMES
#define NAME_OR_EMPTY(text) text
#else
#define NAME_OR_EMPTY(text) ""
#endif

static const struct {
    const char *name, *text;
    uint8_t origin;
} error_rows[] = {
#define XMPP_TINY_X(name, origin, text) {NAME_OR_EMPTY(#name), NAME_OR_EMPTY(text), XMPP_TINY_ORIGIN_##origin},
    XMPP_TINY_ERRORS(XMPP_TINY_X)
#undef XMPP_TINY_X
};

static unsigned error_row(int err)
{
    int row = err - XMPP_TINY_ERR_FIRST_ - 1, last = (int)(sizeof error_rows / sizeof *error_rows) - 1;
    return (unsigned)(row < 0 || row > last ? last : row);
}

const char *xmpp_tiny_err_name(int err)
{
    return err ? error_rows[error_row(err)].name : NAME_OR_EMPTY("OK");
}

const char *xmpp_tiny_err_text(int err)
{
    return err ? error_rows[error_row(err)].text : NAME_OR_EMPTY("no error");
}

enum xmpp_tiny_origin xmpp_tiny_err_origin(int err)
{
    return (enum xmpp_tiny_origin)error_rows[error_row(err)].origin;
}

bool xmpp_tiny_found(el e)
{
    return e.at != 0;
}

str xmpp_tiny_name(el e)
{
    return el_name(e);
}

str xmpp_tiny_ns(el e)
{
    return el_ns(e);
}

bool xmpp_tiny_is(el e, const char *name, const char *ns)
{
    return el_matches(e, name, ns ? text_of(ns) : STR(NS_CLIENT));
}

el xmpp_tiny_child(el parent, const char *name, const char *ns)
{
    return el_child(parent, name, ns);
}

el xmpp_tiny_next(el e, const char *name, const char *ns)
{
    return el_next(e, name, ns);
}

str xmpp_tiny_attr(el e, const char *name)
{
    return el_attr(e, name);
}

bool xmpp_tiny_attr_next(el e, uint16_t *iter, str *name, str *ns, str *value)
{
    struct attr a;
    if (e.at == 0)
        return false;
    if (*iter == 0)
        *iter = elem_attrs(e.buf, e.at);
    do
        if (attr_step(e.buf, iter, &a) == C_BODY)
            return false;
    while (a.kind == C_XMLNS);
    *name = a.name;
    *ns = a.kind == C_ATTR_NS ? ref_text(e.buf, a.ref) : STR("");
    *value = a.value;
    return true;
}

str xmpp_tiny_text(el e)
{
    return el_text(e);
}

str xmpp_tiny_text_after(el e)
{
    return e.at ? run_at(e.buf, el_end(e)) : ABSENT;
}

int xmpp_tiny_jid_parse(str text, struct xmpp_tiny_jid *jid)
{
    return jid_parse(text, jid) ? 0 : ERR(ARGUMENT);
}

bool xmpp_tiny_jid_same(str a, str b)
{
    return jid_same(a, b, false);
}

bool xmpp_tiny_jid_same_bare(str a, str b)
{
    return jid_same(a, b, true);
}

static bool in_range(size_t value, size_t min, size_t max)
{
    return value >= min && value <= max;
}

/* A stream without TLS cannot carry a client. */
static bool config_ok(const struct xmpp_tiny_config *c, struct xmpp_tiny_jid *jid)
{
    const uint32_t local = SCRAM_ALL | XMPP_TINY_ALLOW(PLAIN) | XMPP_TINY_ALLOW(EXTERNAL);
    return c && c->jid && jid_parse(text_of(c->jid), jid) && c->event && c->stream && c->stream->ops &&
           c->stream->ops->secure && c->platform && c->platform->now_ms && c->platform->random && c->crypto &&
           c->rx && c->tx && in_range(c->rx_size, XMPP_TINY_RX_MIN, XMPP_TINY_RX_MAX) &&
           in_range(c->tx_size, XMPP_TINY_TX_MIN, XMPP_TINY_TX_MAX) &&
           (c->timeout_ms == 0 || in_range(c->timeout_ms, 1000, 600000)) &&
           (c->iterations_max == 0 || in_range(c->iterations_max, ITERATIONS_MIN, INT32_MAX)) &&
           (c->handlers || c->handler_count == 0) && (c->mechanisms >> MECHANISM_COUNT) == 0 &&
           (jid->local.ptr || (c->mechanisms && !(c->mechanisms & local))) &&
           (c->keys == NULL || (c->keys->salt_len <= XMPP_TINY_SALT_MAX && c->keys->hash <= XMPP_TINY_SHA512));
}

int xmpp_tiny_init(struct xmpp_tiny *x, const struct xmpp_tiny_config *config)
{
    struct xmpp_tiny_jid jid;
    if (x == NULL || !config_ok(config, &jid))
        return ERR(CONFIG);
    memset(x, 0, sizeof *x);
    x->config = config;
    x->jid = jid;
    x->out.buf = (char *)config->tx;
    x->out.size = u16(config->tx_size);
    tok_init(&x->tok, config->rx, config->rx_size);
    return 0;
}

int xmpp_tiny_connect(struct xmpp_tiny *x)
{
    if (x->config == NULL || x->state != XMPP_TINY_STATE_OFF || (x->flags & F_BUSY))
        return ERR(STATE);
    memset(&x->error, 0, sizeof x->error);
    x->flags = 0;
    x->held = x->redirects = 0;
    x->host = x->config->host ? text_of(x->config->host) : x->jid.domain;
    x->port = x->config->port;
    x->out.begin = x->out.commit = x->out.end = x->out.stanzas = 0;
    x->out.flags = 0;
    tok_start(&x->tok, 1);
    set_state(x, XMPP_TINY_STATE_OPEN);
    return 0;
}

uint32_t xmpp_tiny_poll(struct xmpp_tiny *x)
{
    return x->flags & F_BUSY ? 0 : poll(x);
}

int xmpp_tiny_disconnect(struct xmpp_tiny *x)
{
    bool online = x->state == XMPP_TINY_STATE_ONLINE;
    if (x->state == XMPP_TINY_STATE_OFF)
        return ERR(STATE);
    if (x->state == XMPP_TINY_STATE_CLOSE || x->state == XMPP_TINY_STATE_SHUT)
        return 0;
    if (x->state == XMPP_TINY_STATE_OPEN || x->state == XMPP_TINY_STATE_SECURE)
        x->flags |= F_BROKEN; /* there is nothing to end in order */
    stream_close(x, 0);
    set_state(x, online ? XMPP_TINY_STATE_CLOSE : XMPP_TINY_STATE_SHUT);
    return 0;
}

enum xmpp_tiny_state xmpp_tiny_state(const struct xmpp_tiny *x)
{
    return (enum xmpp_tiny_state)x->state;
}

const char *xmpp_tiny_state_name(enum xmpp_tiny_state state)
{
    static const char *const names[] = {
#define XMPP_TINY_X(name) NAME_OR_EMPTY(#name),
        XMPP_TINY_STATES(XMPP_TINY_X)
#undef XMPP_TINY_X
    };
    return (size_t)state < sizeof names / sizeof *names ? names[state] : "";
}

const char *xmpp_tiny_event_name(enum xmpp_tiny_event_kind kind)
{
    static const char *const names[] = {
#define XMPP_TINY_X(name) NAME_OR_EMPTY(#name),
        XMPP_TINY_EVENTS(XMPP_TINY_X)
#undef XMPP_TINY_X
    };
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "";
}

const struct xmpp_tiny_error *xmpp_tiny_error(const struct xmpp_tiny *x)
{
    return &x->error;
}

str xmpp_tiny_jid(const struct xmpp_tiny *x)
{
    return x->bound;
}

enum xmpp_tiny_mechanism xmpp_tiny_mechanism(const struct xmpp_tiny *x)
{
    return (enum xmpp_tiny_mechanism)x->sasl.mechanism;
}

enum xmpp_tiny_binding xmpp_tiny_binding(const struct xmpp_tiny *x)
{
    return (enum xmpp_tiny_binding)x->sasl.binding;
}

const char *xmpp_tiny_mechanism_name(enum xmpp_tiny_mechanism m)
{
    return (size_t)m < MECHANISM_COUNT ? mechanism_names[m] : "";
}

int xmpp_tiny_mechanism_number(const char *name)
{
    return mechanism_number(text_of(name));
}

int xmpp_tiny_keys_export(struct xmpp_tiny *x, struct xmpp_tiny_keys *keys)
{
    const struct xmpp_tiny_sasl_ *s = &x->sasl;
    if (!(s->flags & SASL_VERIFIED) || x->state != XMPP_TINY_STATE_SUCCESS || s->salt.len > XMPP_TINY_SALT_MAX)
        return ERR(STATE);
    memset(keys, 0, sizeof *keys);
    keys->hash = mechanism_hash(s->mechanism);
    keys->iterations = s->iterations;
    keys->salt_len = (uint8_t)s->salt.len;
    memcpy(keys->salt, s->salt.ptr, s->salt.len);
    scram_key(s, x->config, false, keys->client_key);
    scram_key(s, x->config, true, keys->server_key);
    return 0;
}

int xmpp_tiny_message(struct xmpp_tiny *x, const struct xmpp_tiny_message *m)
{
    stanza_begin(x, "message", m->to, m->type, m->id);
    out_element(&x->out, "subject", NULL, m->subject);
    out_element(&x->out, "body", NULL, m->body);
    out_element(&x->out, "thread", NULL, m->thread);
    return stanza_send(x);
}

int xmpp_tiny_presence(struct xmpp_tiny *x, const struct xmpp_tiny_presence *p)
{
    unsigned n = (unsigned)(p->priority < 0 ? -p->priority : p->priority);
    char digits[4] = {'-', (char)('0' + n / 100), (char)('0' + n / 10 % 10), (char)('0' + n % 10)};
    size_t from = n > 99 ? 1 : n > 9 ? 2 : 3;
    digits[from - 1] = '-';
    from -= p->priority < 0;
    stanza_begin(x, "presence", p->to, p->type, p->id);
    out_element(&x->out, "show", NULL, p->show);
    out_element(&x->out, "status", NULL, p->status);
    if (p->priority)
        out_element(&x->out, "priority", NULL, slice(digits + from, sizeof digits - from));
    return stanza_send(x);
}

int xmpp_tiny_ping(struct xmpp_tiny *x, str to, uint32_t timeout)
{
    request_begin(x, "get", to.ptr ? to : x->jid.domain, timeout);
    out_start(&x->out, "ping", NS_PING);
    return stanza_send(x);
}

int xmpp_tiny_reject(struct xmpp_tiny *x, el stanza, enum xmpp_tiny_condition condition, str text)
{
    return send_error(x, stanza, condition, text);
}

void xmpp_tiny_begin(struct xmpp_tiny *x, const char *name, str to, str type, str id)
{
    stanza_begin(x, name, to, type, id);
}

void xmpp_tiny_begin_request(struct xmpp_tiny *x, const char *type, str to, uint32_t timeout)
{
    request_begin(x, type, to, timeout);
}

void xmpp_tiny_begin_result(struct xmpp_tiny *x, el iq)
{
    result_begin(x, iq);
}

void xmpp_tiny_put_start(struct xmpp_tiny *x, const char *name, const char *ns)
{
    out_start(&x->out, name, ns);
}

void xmpp_tiny_put_attr(struct xmpp_tiny *x, const char *name, str value)
{
    out_attr(&x->out, name, value);
}

void xmpp_tiny_put_text(struct xmpp_tiny *x, str text)
{
    out_text(&x->out, text);
}

void xmpp_tiny_put_base64(struct xmpp_tiny *x, const void *data, size_t len)
{
    out_base64(&x->out, data, len);
    out_base64_end(&x->out);
}

void xmpp_tiny_put_end(struct xmpp_tiny *x)
{
    out_end(&x->out);
}

void xmpp_tiny_put_raw(struct xmpp_tiny *x, str xml)
{
    out_close_tag(&x->out);
    if (!xml_text(xml))
        out_fail(&x->out, ERR(TEXT));
    out_bytes(&x->out, xml.ptr, xml.len);
}

void xmpp_tiny_put_element(struct xmpp_tiny *x, const char *name, const char *ns, str text)
{
    out_element(&x->out, name, ns, text);
}

int xmpp_tiny_send(struct xmpp_tiny *x)
{
    return stanza_send(x);
}

int xmpp_tiny_send_raw(struct xmpp_tiny *x, str stanza)
{
    out_begin(&x->out, false);
    if (x->state != XMPP_TINY_STATE_ONLINE)
        out_fail(&x->out, ERR(STATE));
    xmpp_tiny_put_raw(x, stanza);
    return stanza_send(x);
}

enum xmpp_tiny_want xmpp_tiny_want(const struct xmpp_tiny *x)
{
    return want(x);
}

void xmpp_tiny_report(struct xmpp_tiny *x, enum xmpp_tiny_want what, int result, int err, const char *detail)
{
    report(x, what, result, err, detail);
}

str xmpp_tiny_host(const struct xmpp_tiny *x, uint16_t *port)
{
    *port = x->port ? x->port : x->config->tls == XMPP_TINY_TLS_DIRECT ? 5223 : 5222;
    return x->host;
}

str xmpp_tiny_domain(const struct xmpp_tiny *x)
{
    return x->jid.domain;
}

void *xmpp_tiny_rx(struct xmpp_tiny *x, size_t *room)
{
    return rx_window(x, room);
}

void xmpp_tiny_received(struct xmpp_tiny *x, size_t len)
{
    received(x, len);
}

const void *xmpp_tiny_tx(const struct xmpp_tiny *x, size_t *len)
{
    *len = want(x) == XMPP_TINY_WANT_IO ? (size_t)(x->out.commit - x->out.begin) : 0;
    return x->out.buf + x->out.begin;
}

void xmpp_tiny_sent(struct xmpp_tiny *x, size_t len)
{
    sent(x, len);
}

uint32_t xmpp_tiny_step(struct xmpp_tiny *x)
{
    return x->flags & F_BUSY ? 0 : step(x);
}
