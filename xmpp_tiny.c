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
 *    9 sessions    what keeps a session alive and brings it back: acknowledgements, saving, waiting
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

/* Kept out of line for the sake of size: a caller that takes all its callees in runs out of registers. */
#ifdef __GNUC__
#define APART __attribute__((noinline))
#else
#define APART
#endif

#define NS_CLIENT        "jabber:client"
#define NS_STREAMS       "http://etherx.jabber.org/streams"
#define NS_STREAM_ERRORS "urn:ietf:params:xml:ns:xmpp-streams"
#define NS_STANZA_ERRORS "urn:ietf:params:xml:ns:xmpp-stanzas"
#define NS_TLS           "urn:ietf:params:xml:ns:xmpp-tls"
#define NS_SASL          "urn:ietf:params:xml:ns:xmpp-sasl"
#define NS_SASL2         "urn:xmpp:sasl:2"
#define NS_UPGRADE       "urn:xmpp:sasl:upgrade:0"
#define NS_SCRAM_UPGRADE "urn:xmpp:scram-upgrade:0"
#define NS_BIND          "urn:ietf:params:xml:ns:xmpp-bind"
#define NS_BIND2         "urn:xmpp:bind:0"
#define NS_SM            "urn:xmpp:sm:3"
#define NS_CSI           "urn:xmpp:csi:0"
#define NS_FAST          "urn:xmpp:fast:0"
#define NS_CARBONS       "urn:xmpp:carbons:2"
#define NS_LIMITS        "urn:xmpp:stream-limits:0"
#define NS_PIPELINING    "urn:xmpp:iap:0"
#define NS_BINDINGS      "urn:xmpp:sasl-cb:0"
#define NS_PING          "urn:xmpp:ping"
#define NS_REGISTER      "jabber:iq:register"
#define NS_XML           "http://www.w3.org/XML/1998/namespace"
#define NS_XMLNS         "http://www.w3.org/2000/xmlns/"

typedef struct xmpp_tiny_str str;
typedef struct xmpp_tiny_el el;
#define STR(literal) ((str){literal, sizeof(literal) - 1})
#define ERR(name)    XMPP_TINY_ERR_##name

/* ==== Room 2: bytes ===============================================================================
 * Slices and runs, characters, base64, digits; compare in constant time, wipe. Owns nothing.
 *
 * A run is text that ends before the first byte below 9: no character of XML is lower, so a C string
 * is a run, and so is every name, value and text the tokenizer leaves in the receive buffer. A run
 * costs one register where a slice costs two; slices are for the application. NULL: absent. */
typedef const char *run;

enum { RUN_END = 9 }; /* first value that belongs to a run */

static uint16_t u16(size_t n)
{
    return (uint16_t)n;
}

static run run_end(run a)
{
    while ((uint8_t)*a >= RUN_END)
        a++;
    return a;
}

static bool run_is(run a, run b)
{
    if (a == NULL || b == NULL)
        return false;
    while (*a == *b && (uint8_t)*a >= RUN_END)
        a++, b++;
    return (uint8_t)*a < RUN_END && (uint8_t)*b < RUN_END;
}

/* Are these bytes the whole run? */
static bool run_holds(run a, const char *p, size_t len)
{
    for (; len; len--)
        if (*a++ != *p++)
            return false;
    return (uint8_t)*a < RUN_END;
}

static str slice(const char *ptr, size_t len)
{
    return (str){ptr, len};
}

static void get(str *field, run value)
{
    field->ptr = value;
    field->len = value ? (size_t)(run_end(value) - value) : 0;
}

static str run_str(run a)
{
    str s;
    get(&s, a);
    return s;
}

static bool same(const str *a, const str *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->ptr, b->ptr, a->len) == 0);
}

static APART char lower(char c)
{
    return (uint8_t)(c - 'A') < 26 ? (char)(c + ('a' - 'A')) : c;
}

/* Equal but for the case of ASCII letters. */
static bool same_folded(const str *a, const str *b)
{
    size_t i = a->len;
    if (i != b->len)
        return false;
    while (i--)
        if (lower(a->ptr[i]) != lower(b->ptr[i]))
            return false;
    return true;
}

/* Are all bytes in this range? */
static bool within(const str *s, uint8_t least, uint8_t most)
{
    for (size_t i = 0; i < s->len; i++)
        if ((uint8_t)s->ptr[i] < least || (uint8_t)s->ptr[i] > most)
            return false;
    return true;
}

/* Where `mark` first stands in these bytes; NULL if it does not. */
static const char *find(const char *p, size_t len, char mark)
{
    for (; len; len--, p++)
        if (*p == mark)
            return p;
    return NULL;
}

/* Decimal digits and nothing else, at most max; UINT32_MAX for anything else. */
static uint32_t number(str digits, uint32_t max)
{
    uint32_t n = 0;
    if (digits.len == 0)
        return UINT32_MAX;
    for (size_t i = 0; i < digits.len; i++) {
        uint32_t d = (uint32_t)(digits.ptr[i] - '0');
        if (d > 9 || n > (max - d) / 10)
            return UINT32_MAX;
        n = n * 10 + d;
    }
    return n;
}

/* A number in digits, written to the end of text, which has room for 10. */
static str digits(uint32_t n, char *text)
{
    char *p = text + 10;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    return slice(p, (size_t)(text + 10 - p));
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
    if (c < 0x20)
        return 0x2600U >> c & 1; /* tab, line feed, carriage return */
    return c < 0x110000 && (c & 0xFFFFF800) != 0xD800 && c - 0xFFFE > 1;
}

/* Takes one byte >= 0x80 of UTF-8, or any byte while u->need is not 0. Returns false for what is not
 * UTF-8 or not a character of XML; when u->need is 0 afterwards, u->point is complete. [RFC3629 4] */
static bool utf8_take(struct xmpp_tiny_utf8_ *u, uint8_t c)
{
    if (u->need == 0) {
        u->size = u->need = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
        u->point = c & (0x3FU >> u->size);
        return c >= 0xC2 && c < 0xF5;
    }
    u->point = u->point << 6 | (c & 0x3FU);
    if ((c & 0xC0) != 0x80)
        return false;
    if (--u->need)
        return true;
    return u->point >> (u->size * 5 + 1) && xml_char(u->point); /* not longer than it need be */
}

static char *utf8_put(char *o, uint32_t c)
{
    int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    *o++ = (char)(more ? (0xF0U << (3 - more) | c >> 6 * more) : c);
    while (more--)
        *o++ = (char)(0x80 | (c >> 6 * more & 0x3F));
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

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* With padding [RFC4648 4]. Returns the end of what was written. */
static char *base64_put(char *o, const void *data, size_t len)
{
    const uint8_t *in = (const uint8_t *)data;
    const char *start = o;
    uint32_t v = 0;
    unsigned bits = 0;
    while (len--) {
        v = v << 8 | *in++;
        for (bits += 8; bits >= 6;) {
            bits -= 6;
            *o++ = base64_digits[v >> bits & 63];
        }
    }
    if (bits)
        *o++ = base64_digits[v << (6 - bits) & 63];
    while ((o - start) % 4)
        *o++ = '=';
    return o;
}

/* Strict base64 with padding; out may be in. Returns the length, or -1. */
static int base64_get(str in, char *out)
{
    const char *p = in.ptr, *end = p + in.len;
    char *o = out;
    uint32_t v = 0;
    unsigned bits = 0;
    if (in.len % 4)
        return -1;
    while (p < end && end[-1] == '=' && p + in.len - end < 2)
        end--;
    for (; p < end; p++) {
        const char *digit = find(base64_digits, 64, *p);
        if (digit == NULL)
            return -1;
        v = v << 6 | (uint32_t)(digit - base64_digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *o++ = (char)(v >> bits);
        }
    }
    /* bits under the padding would be a second spelling of the same bytes */
    return v & ((1U << bits) - 1) ? -1 : (int)(o - out);
}

/* The n-th of the texts that stand one behind the other, each with its NUL. */
static const char *nth(const char *texts, unsigned n)
{
    while (n--)
        texts += strlen(texts) + 1;
    return texts;
}

/* Which of `count` such texts a run is; -1: none. */
static int row_of(const char *texts, unsigned count, run name)
{
    for (unsigned i = 0; i < count; i++)
        if (run_is(name, nth(texts, i)))
            return (int)i;
    return -1;
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
       C_XMLNS, /* a declaration: xmlns or xmlns:prefix, VALUE, namespace name */
       C_PAD    /* left by a prefix */
};
#define REF_XML 0xFFFFU /* the reference of the reserved prefix xml */

/* A cut may fall between the raw bytes that pay for a token and the one that writes it; this much room
 * in front of the window makes up for it (the worst: a character of 4 bytes written at ';'). */
#define SLACK       4
#define SKIP_WINDOW 64 /* least room to read a skipped unit into */

enum {              /* what tok_next() returns; negative: enum xmpp_tiny_err */
       TOK_MORE,    /* all input is used up */
       TOK_HEADER,  /* the root's first tag is complete */
       TOK_OPEN,    /* a unit's first tag is complete; go on */
       TOK_UNIT,    /* a unit is complete: tok_unit() */
       TOK_LEFT,    /* the element entered by tok_enter() is complete */
       TOK_SKIPPED, /* a unit was skipped: t->skip says why */
       TOK_END      /* the root is complete */
};

enum { /* what tok_step() awaits */
       S_TEXT,
       S_CDATA,
       S_VALUE,
       S_NAME,
       S_ATTR,
       S_CLOSE,
       S_LT,
       S_START, /* white space is let pass from here.. */
       S_BETWEEN,
       S_TAG,
       S_SPACED,
       S_EQ,
       S_QUOTE,
       S_CLOSED, /* ..to here */
       S_REF,
       S_VALUE_REF,
       S_BANG,
       S_EMPTY,
       S_DECL,
       S_POP /* nothing: an empty element ends */
};
enum { T_DECL = 1, T_PREFIX = 2, T_COLON = 4, T_FIRST = 8 };
enum { TAIL_NONE, TAIL_BRACKET, TAIL_BRACKETS, TAIL_CR };           /* what the last character was */
enum { REF_NAME, REF_HASH, REF_X, REF_DECIMAL = 10, REF_HEX = 16 }; /* t->tail in a reference */

#define IN_TEXT  1 /* stands for itself in text */
#define IN_VALUE 2 /* in an attribute's value */
#define IN_NAME  4 /* in a name; ':' is dealt with apart */
#define IN_FIRST 8 /* begins a name */
#define IN_SPACE 16

/* clang-format off */
#define T_ IN_TEXT
#define A_ (IN_TEXT | IN_VALUE)
#define N_ (A_ | IN_NAME)
#define F_ (N_ | IN_FIRST)
static const uint8_t char_class[256] = {
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

#define IN_CLASS(c, set) (char_class[(uint8_t)(c)] & (set))

/* May a character beyond ASCII stand in a name? [XML 2.3] */
static bool name_char(uint32_t c, bool first)
{
    static const uint16_t range[] = {0xC0,
                                     0xD6,
                                     0xD8,
                                     0xF6,
                                     0xF8,
                                     0x2FF,
                                     0x370,
                                     0x37D,
                                     0x37F,
                                     0x1FFF,
                                     0x200C,
                                     0x200D,
                                     0x2070,
                                     0x218F,
                                     0x2C00,
                                     0x2FEF,
                                     0x3001,
                                     0xD7FF,
                                     0xF900,
                                     0xFDCF,
                                     0xFDF0,
                                     0xFFFD,
                                     /* not as the first: */ 0xB7,
                                     0xB7,
                                     0x300,
                                     0x36F,
                                     0x203F,
                                     0x2040};
    size_t n = sizeof range / sizeof *range - (first ? 6 : 0);
    for (size_t i = 0; i < n; i += 2)
        if (c >= range[i] && c <= range[i + 1])
            return true;
    return c >= 0x10000 && c <= 0xEFFFF;
}

/* ---- Walking the compact form ---- */

static const char *skip_pad(const char *p)
{
    while (*p == C_PAD)
        p++;
    return p;
}

static uint16_t ref_at(const char *p)
{
    return (uint16_t)((uint8_t)p[0] << 8 | (uint8_t)p[1]);
}

/* The string that the reference at p stands for. */
static APART run ref_run(const char *buf, const char *p)
{
    uint16_t ref = ref_at(p);
    return ref == REF_XML ? NS_XML : buf + ref;
}

/* The local name of an element or attribute at its kind byte or the padding before it. */
static run name_of(const char *p)
{
    p = skip_pad(p);
    return p + (*p == C_ELEM_NS || *p == C_ATTR_NS ? 3 : 1);
}

/* The first attribute of an element, the value of one, the next one; C_BODY stands behind the last. */
static const char *attr_first(const char *e)
{
    return skip_pad(run_end(name_of(e)));
}

static run attr_value(const char *a)
{
    return run_end(name_of(a)) + 1;
}

static const char *attr_next(const char *a)
{
    return skip_pad(run_end(attr_value(a)));
}

/* The namespace name that a tag declares for a prefix (of length 0: the default); NULL if it does not. */
static run declared(const char *e, const char *prefix, size_t len)
{
    for (const char *a = attr_first(e); *a != C_BODY; a = attr_next(a))
        if (*a == C_XMLNS && (a[6] == ':') == (len != 0) && run_holds(a + 6 + (len != 0), prefix, len))
            return attr_value(a);
    return NULL;
}

/* The value of an attribute without prefix; NULL if it is missing. */
static run attr_named(const char *e, run name)
{
    for (const char *a = attr_first(e); *a != C_BODY; a = attr_next(a))
        if (*a == C_ATTR && run_is(a + 1, name))
            return attr_value(a);
    return NULL;
}

/* What follows `start` in a run; NULL if it begins otherwise. */
static const char *behind(run a, const char *start)
{
    while (*start)
        if (*a++ != *start++)
            return NULL;
    return a;
}

/* Where the prefix of a name ends; NULL if it has none. */
static const char *colon_of(run name)
{
    for (; (uint8_t)*name >= RUN_END; name++)
        if (*name == ':')
            return name;
    return NULL;
}

/* ---- Namespaces, at the end of a tag ---- */

/* The namespace name for a prefix (of length 0: the default) in the innermost `depth` elements. */
static APART run inherited(const struct xmpp_tiny_tok_ *t, uint32_t depth, const char *prefix, size_t len)
{
    run uri = NULL;
    while (uri == NULL && depth)
        uri = declared(t->buf + t->open[--depth], prefix, len);
    return uri;
}

/* The reference for the prefix before a colon at the tag in progress; 0 if it is not declared. */
static unsigned resolve(const struct xmpp_tiny_tok_ *t, const char *prefix, const char *colon)
{
    size_t len = (size_t)(colon - prefix);
    run uri;
    if (behind(prefix, "xml:"))
        return REF_XML;
    uri = declared(t->tag, prefix, len);
    if (uri == NULL)
        uri = inherited(t, t->depth, prefix, len);
    return uri ? (unsigned)(uri - t->buf) : 0;
}

/* Is this a proper declaration? [Namespaces 3] */
static bool declares(const char *a)
{
    run uri = attr_value(a), prefix = a[6] == ':' ? a + 7 : "";
    if (*prefix && (run_is(prefix, "xmlns") || (uint8_t)*uri < RUN_END))
        return false;
    return run_is(prefix, "xml") == run_is(uri, NS_XML) && !run_is(uri, NS_XMLNS);
}

/* Replaces the prefix of the name behind the kind byte p, if it has one, by its reference. */
static bool replace_prefix(const struct xmpp_tiny_tok_ *t, char *p, char kind)
{
    const char *colon = colon_of(p + 1);
    unsigned ref;
    if (colon == NULL)
        return true;
    ref = resolve(t, p + 1, colon);
    for (; p < colon - 2; p++)
        *p = C_PAD;
    p[0] = kind;
    p[1] = (char)(ref >> 8);
    p[2] = (char)ref;
    return ref != 0;
}

/* Does an attribute before a have the same namespace and local name? [Namespaces 6.3] */
static bool doubled(const struct xmpp_tiny_tok_ *t, const char *a)
{
    for (const char *b = attr_first(t->tag); b < a; b = attr_next(b))
        if (*b == C_ATTR_NS && run_is(b + 3, a + 3) && run_is(ref_run(t->buf, b + 1), ref_run(t->buf, a + 1)))
            return true;
    return false;
}

/* Now that all declarations of the tag are known, its prefixes are resolved. */
static int namespaces(struct xmpp_tiny_tok_ *t)
{
    for (const char *a = attr_first(t->tag); *a != C_BODY; a = attr_next(a)) {
        if (*a != C_ATTR)
            continue;
        if (!replace_prefix(t, t->buf + (a - t->buf), C_ATTR_NS))
            return ERR(XML_PREFIX);
        a = skip_pad(a);
        if (*a == C_ATTR_NS && doubled(t, a))
            return ERR(XML);
    }
    return replace_prefix(t, t->tag, C_ELEM_NS) ? 0 : ERR(XML_PREFIX);
}

/* ---- Skipping ----
 * hash = (hash + name) * K at an opening tag and the inverse at a closing one: it is 0 again at the
 * unit's end if the tags match. t->seen is the hash of the name in progress. */
#define SKIP_K         0x9E3779B1U
#define SKIP_K_INVERSE 0x0E8B2F51U

static APART uint32_t name_hash(uint32_t h, const char *p, const char *end)
{
    for (; p < end; p++)
        h = *p == ':' ? 0 : h * 33 + (uint8_t)*p;
    return h;
}

static uint32_t elem_hash(const char *e)
{
    run name = name_of(e);
    return name_hash(0, name, run_end(name));
}

/* From here on the unit is only measured. Its first tag stays as far as it is known and fits. */
static int skip_begin(struct xmpp_tiny_tok_ *t)
{
    char *last = t->limit - (2 + SLACK + SKIP_WINDOW);
    if (t->depth == 0 || (t->depth == t->level && (t->state == S_CLOSE || t->state == S_CLOSED)))
        return ERR(XML_LIMIT); /* not inside a unit */
    *t->out = C_BODY;          /* ends what stands before it */
    t->hash = 0;
    for (uint32_t i = t->level; i < t->depth; i++)
        t->hash = (t->hash + elem_hash(t->buf + t->open[i])) * SKIP_K;
    t->seen = elem_hash(t->tag); /* needed inside a tag, harmless elsewhere */
    if (t->keep > last)
        t->keep = t->buf + (run_end(name_of(t->base)) - t->buf);
    if (t->keep > last)
        return ERR(XML_LIMIT);
    t->skip = true;
    t->whole = t->depth > t->level;
    t->stop = t->limit + 1; /* never */
    if (t->keep > t->base) {
        *t->keep++ = C_BODY;
        *t->keep++ = C_END;
    }
    t->out = t->keep;
    return 0;
}

/* ---- Tags ---- */

/* "1." and a digit */
static bool version_1(run v)
{
    return v[0] == '1' && v[1] == '.' && (uint8_t)(v[2] - '0') < 10 && (uint8_t)v[3] < RUN_END;
}

/* [XML 2.8]: version 1.x, and UTF-8 if it names an encoding [RFC6120 11.6]. */
static APART int declaration(struct xmpp_tiny_tok_ *t)
{
    static const str utf8 = {"utf-8", 5};
    run version;
    str encoding;
    t->state = S_BETWEEN;
    *t->out = C_BODY;
    version = attr_named(t->tag, "version");
    get(&encoding, attr_named(t->tag, "encoding"));
    if (!run_is(t->tag + 1, "xml"))
        return ERR(XML_RESTRICTED);
    if (version == NULL || version != attr_value(attr_first(t->tag)) || !version_1(version))
        return ERR(XML);
    return encoding.ptr && !same_folded(&encoding, &utf8) ? ERR(XML_ENCODING) : 0;
}

/* The name of an attribute is complete: has this tag had it before? t->seen is a filter: most names
 * are cleared without a look at the others. */
static APART bool attr_again(struct xmpp_tiny_tok_ *t)
{
    const char *name = t->mark, *end = t->out, *rest = *name == 'x' ? behind(name, "xmlns") : NULL;
    uint32_t bit = 1U << (((unsigned)*name ^ (unsigned)(end - name) << 1 ^ (unsigned)end[-1] << 2) & 31);
    if (rest && (rest == end || *rest == ':'))
        t->mark[-1] = C_XMLNS;
    if (t->seen & bit)
        for (const char *a = attr_first(t->tag); name_of(a) < name; a = attr_next(a))
            if (run_is(name_of(a), name))
                return true;
    t->seen |= bit;
    return false;
}

/* After TOK_OPEN: the children of this element are the units from now on. */
static void tok_enter(struct xmpp_tiny_tok_ *t)
{
    t->base = t->out;
    t->level++;
    if (t->state == S_TEXT)
        t->state = S_BETWEEN;
}

/* The innermost element ends. */
static int pop(struct xmpp_tiny_tok_ *t)
{
    t->state = S_TEXT;
    t->tail = TAIL_NONE;
    t->depth--;
    if (t->skip)
        t->hash = t->hash * SKIP_K_INVERSE - t->seen;
    else
        *t->out++ = C_END;
    if (t->depth > t->level)
        return TOK_MORE;
    t->state = S_BETWEEN;
    t->stop = t->limit + 1;                /* until the next one begins */
    *(t->skip ? t->keep : t->out) = C_END; /* the unit has no sibling */
    if (t->depth == t->level)
        return !t->skip ? TOK_UNIT : t->hash ? ERR(XML) : TOK_SKIPPED;
    t->level--;
    t->base = t->buf + t->open[t->depth];
    return t->depth ? TOK_LEFT : TOK_END;
}

/* A first tag is complete. */
static int tag_done(struct xmpp_tiny_tok_ *t, uint8_t state)
{
    int err = 0;
    t->state = state;
    t->tail = TAIL_NONE;
    if (!t->skip) {
        *t->out++ = C_BODY;
        if (t->flags & T_PREFIX)
            err = namespaces(t);
        if (!err && t->depth >= XMPP_TINY_MAX_DEPTH)
            err = skip_begin(t);
        if (err)
            return err;
    }
    if (t->skip)
        t->hash = (t->hash + t->seen) * SKIP_K;
    else
        t->open[t->depth] = u16((size_t)(t->tag - t->buf));
    if (++t->depth == 0)
        return ERR(XML_LIMIT);
    if (t->depth == 1) {
        tok_enter(t);
        return TOK_HEADER;
    }
    if (t->depth == t->level + 1 && !t->skip)
        return TOK_OPEN;
    return state == S_POP ? pop(t) : TOK_MORE;
}

/* The closing tag's name stands at mark: is it that of the innermost open element? */
static int close_tag(struct xmpp_tiny_tok_ *t)
{
    const char *name = t->mark, *e, *colon;
    if (!t->skip) {
        *t->out = C_END;
        t->out = t->mark - 1;
        t->tag = t->buf + t->open[t->depth - 1];
        e = skip_pad(t->tag);
        if (*e == C_ELEM_NS) {
            colon = colon_of(name);
            if (colon == NULL || resolve(t, name, colon) != ref_at(e + 1))
                return ERR(XML);
            name = colon + 1;
        }
        if (!run_is(name_of(e), name))
            return ERR(XML);
    }
    return pop(t);
}

/* ---- Characters that need thought ---- */

/* A reference is complete: writes what it stands for. */
static int reference_done(struct xmpp_tiny_tok_ *t, uint32_t c)
{
    if (!t->skip)
        t->out = utf8_put(t->out, c);
    t->state = t->state == S_REF ? S_TEXT : S_VALUE;
    t->tail = TAIL_NONE;
    return 0;
}

/* One character of a reference, after '&' [XML 4.1, 4.6]. utf8.point holds the letters of a name, packed,
 * or the number; t->tail says which. */
static int reference(struct xmpp_tiny_tok_ *t, uint8_t c)
{
    uint32_t v = t->utf8.point, digit = c - (uint32_t)'0', packed = 0;
    uint8_t kind = t->tail, base = kind == REF_X || kind == REF_HEX ? REF_HEX : REF_DECIMAL;
    if (c == ';') {
        if (kind >= REF_DECIMAL)
            return xml_char(v) ? reference_done(t, v) : ERR(XML);
        for (const char *e = "lt<gt>amp&apos'quot\""; *e; e++) {
            if (*e < 'a' && packed == v)
                return reference_done(t, (uint8_t)*e);
            packed = *e < 'a' ? 0 : packed << 8 | (uint8_t)*e;
        }
        return v ? ERR(XML_RESTRICTED) : ERR(XML);
    }
    if (kind == REF_NAME) {
        if (c == '#' && v == 0)
            t->tail = REF_HASH;
        else if (c < 0x80 && !IN_CLASS(c, IN_NAME))
            return ERR(XML);
        else
            t->utf8.point = v >> 24 ? UINT32_MAX : v << 8 | c;
    } else if (c == 'x' && kind == REF_HASH) {
        t->tail = REF_X;
    } else {
        if (digit > 9)
            digit = (c | 0x20U) - 'a' + 10;
        if (digit >= base)
            return ERR(XML);
        t->tail = base;
        t->utf8.point = v > 0x10FFFF ? v : v * base + digit;
    }
    return 0;
}

/* One character of text or of a value that does not stand for itself. Returns what is to be written; 0:
 * nothing. [XML 2.11, 3.3.3] */
static APART int special(struct xmpp_tiny_tok_ *t, uint8_t c)
{
    uint8_t tail = t->tail, state = t->state;
    t->tail = TAIL_NONE;
    switch (c) {
    case '&':
    case '<':
        if (state == S_CDATA)
            return c;
        if (c == '<')
            return ERR(XML);
        t->state = state == S_VALUE ? S_VALUE_REF : S_REF;
        t->utf8.point = 0;
        return 0;
    case ']':
        t->tail = tail == TAIL_BRACKET || tail == TAIL_BRACKETS ? TAIL_BRACKETS : TAIL_BRACKET;
        return c;
    case '>':
        if (tail != TAIL_BRACKETS)
            return c;
        if (state == S_TEXT)
            return ERR(XML); /* "]]>" [XML 2.4] */
        t->state = S_TEXT;
        t->out -= t->skip ? 0 : 2;
        return 0;
    case '\r':
        t->tail = TAIL_CR;
        return state == S_VALUE ? ' ' : '\n';
    default:
        if (!xml_char(c))
            return ERR(XML);
        return state == S_VALUE && c < ' ' ? ' ' : c;
    }
}

/* A character beyond ASCII, as far as it is there; written as it is. */
static int beyond_ascii(struct xmpp_tiny_tok_ *t)
{
    const char *from = t->out;
    bool name = t->state >= S_NAME;
    t->tail = TAIL_NONE;
    do {
        char c = *t->in++;
        *t->out++ = c;
        if (!utf8_take(&t->utf8, (uint8_t)c)) /* U+FFFE and U+FFFF are UTF-8, but no characters */
            return t->utf8.need == 0 && t->utf8.size == 2 && (t->utf8.point | 1) == 0xFFFF
                       ? ERR(XML)
                       : ERR(XML_ENCODING);
    } while (t->in < t->end && (t->utf8.need || (!name && (uint8_t)*t->in >= 0x80)));
    if (t->skip && name && t->state != S_ATTR)
        t->seen = name_hash(t->seen, from, t->out);
    if (name && t->utf8.need == 0) {
        if (!name_char(t->utf8.point, t->flags & T_FIRST))
            return ERR(XML);
        t->flags &= (uint8_t)~T_FIRST;
    }
    return 0;
}

/* Begins an attribute, or (C_ELEM) an element. */
static void name_begin(struct xmpp_tiny_tok_ *t, uint8_t state, char kind)
{
    *t->out++ = kind;
    t->mark = t->out;
    t->flags = (uint8_t)((t->flags | T_FIRST) & ~T_COLON);
    t->state = state;
}

/* What follows '<'. */
static int markup(struct xmpp_tiny_tok_ *t, char c)
{
    uint8_t decl = c == '?' ? T_DECL : 0, state = c == '/' ? S_CLOSE : S_NAME;
    t->in += c == '!' || c == '?' || c == '/';
    if (c == '!') {
        t->state = S_BANG;
        t->tail = 0;
        return t->depth > t->level ? 0 : ERR(XML_RESTRICTED);
    }
    if (decl & ~t->flags)
        return ERR(XML_RESTRICTED); /* something came before */
    if (!t->skip || t->depth == t->level)
        t->tag = t->out;
    t->seen = 0;
    t->count = 0;
    t->flags = decl;
    name_begin(t, state, C_ELEM);
    return state == S_CLOSE && t->depth == 0 ? ERR(XML) : 0;
}

/* A name ends; what follows it has not been read. */
static int name_done(struct xmpp_tiny_tok_ *t)
{
    int err = 0;
    if (t->flags & T_FIRST)
        return ERR(XML);
    if (!t->skip && t->out - t->mark > XMPP_TINY_MAX_NAME)
        err = skip_begin(t);
    if (t->state == S_ATTR) {
        *t->out = C_VALUE;
        if (!t->skip && attr_again(t))
            return ERR(XML);
        t->out++;
        t->state = S_EQ;
    } else {
        t->state = t->state == S_NAME ? S_TAG : S_CLOSED;
    }
    return err;
}

/* Inside a tag, between its parts, at what is not white space. */
static int in_tag(struct xmpp_tiny_tok_ *t, char c)
{
    bool decl = t->flags & T_DECL;
    if (!t->skip && t->depth == t->level && t->out < t->stop)
        t->keep = t->out;
    if (c == '>' && !decl)
        return tag_done(t, S_TEXT);
    if (c == (decl ? '?' : '/')) {
        t->state = decl ? S_DECL : S_EMPTY;
        return 0;
    }
    if (t->state != S_SPACED)
        return ERR(XML);
    t->in--;
    name_begin(t, S_ATTR, C_ATTR);
    return !t->skip && ++t->count > XMPP_TINY_MAX_ATTRS ? skip_begin(t) : 0;
}

/* Between units: the next one begins. */
static int between(struct xmpp_tiny_tok_ *t, char c)
{
    t->flags = t->state == S_START ? T_DECL : 0; /* a declaration may come */
    if (c != '<')
        return ERR(XML);
    t->out = t->keep = t->base;
    t->skip = false;
    t->stop = t->limit - SLACK - 1;
    t->state = S_LT;
    t->bytes = (uint32_t)(t->from - t->in + 1);
    return 0;
}

/* Copies what stands for itself, a word at a time: a byte is of interest if it is below 0x20, beyond
 * ASCII, or one of the four (text: < > & ]; value: < & ' "), two of which differ in one bit only. */
static char *copy_plain(char *p, const char *end, char **out, bool value)
{
#define ALL(byte) ((size_t)-1 / 255 * (byte))
    static const size_t of_text[] = {ALL(2), ALL('>'), ALL('&'), ALL(']')};
    static const size_t of_value[] = {ALL(1), ALL('\''), ALL('<'), ALL('"')};
    const size_t *k = value ? of_value : of_text, ones = ALL(1);
    const unsigned set = value ? IN_VALUE : IN_TEXT;
    const ptrdiff_t to = *out - p;
    for (; (size_t)(end - p) >= sizeof(size_t); p += sizeof(size_t)) {
        size_t w;
        memcpy(&w, p, sizeof w);
        if (((((w | k[0]) ^ k[1]) - ones) | ((w ^ k[2]) - ones) | ((w ^ k[3]) - ones) | (w - ALL(' ')) | w) &
            ALL(0x80))
            break;
        memcpy(p + to, &w, sizeof w);
    }
    for (; IN_CLASS(*p, set); p++)
        p[to] = *p;
    *out = p + to;
    return p;
#undef ALL
}

/* Text, or a value, up to its end or the end of the input. */
static int take_text(struct xmpp_tiny_tok_ *t)
{
    char *p = t->in, c;
    int r;
    if (t->tail == TAIL_CR && *p == '\n') { /* of one line end */
        t->tail = TAIL_NONE;
        t->in++;
        return 0;
    }
    if (t->utf8.need == 0) {
        p = copy_plain(p, t->end, &t->out, t->state == S_VALUE);
        if (p != t->in)
            t->tail = TAIL_NONE;
        t->in = p;
        if (p == t->end)
            return 0;
    }
    c = *p;
    if ((uint8_t)c >= 0x80 || t->utf8.need)
        return beyond_ascii(t);
    t->in = p + 1;
    if (c == '<' && t->state == S_TEXT) {
        t->state = S_LT;
        return t->in < t->end ? markup(t, *t->in) : 0;
    }
    if (c == t->quote && t->state == S_VALUE) {
        t->state = S_TAG;
        if (*t->in == ' ') {
            t->state = S_SPACED;
            t->in++;
        }
        *t->out = C_BODY; /* until something else ends the value */
        return !t->skip && t->mark[-1] == C_XMLNS && !declares(t->mark - 1) ? ERR(XML_PREFIX) : 0;
    }
    r = special(t, (uint8_t)c);
    if (r > 0)
        *t->out++ = (char)r;
    return r < 0 ? r : 0;
}

/* A name, up to its end or the end of the input. */
static int take_name(struct xmpp_tiny_tok_ *t)
{
    char *p = t->in, c = *p;
    const ptrdiff_t to = t->out - p;
    int err;
    if ((uint8_t)c >= 0x80 || t->utf8.need)
        return beyond_ascii(t);
    if ((t->flags & T_FIRST) && !IN_CLASS(c, IN_FIRST))
        return ERR(XML);
    t->flags &= (uint8_t)~T_FIRST;
    for (; IN_CLASS(*p, IN_NAME); p++)
        p[to] = *p;
    if (t->skip && t->state != S_ATTR)
        t->seen = name_hash(t->seen, t->out, p + to);
    t->in = p;
    t->out = p + to;
    c = *p;
    if (p == t->end || (uint8_t)c >= 0x80)
        return 0;
    if (c == ':') {
        if (t->flags & T_COLON)
            return ERR(XML);
        *t->out++ = c;
        t->in++;
        t->flags |= T_FIRST | T_COLON | T_PREFIX;
        if (t->state != S_ATTR)
            t->seen = 0;
        return 0;
    }
    err = name_done(t);
    if (err)
        return err;
    if (t->state == S_CLOSED && c == '>' && t->out < t->stop) { /* the common cases, ahead of their states */
        t->in++;
        return close_tag(t);
    }
    if (t->state == S_EQ && c == '=' && (p[1] == '\'' || p[1] == '"')) {
        t->quote = p[1];
        t->in = p + 2;
        t->state = S_VALUE;
        t->tail = TAIL_NONE;
    } else if (t->state == S_TAG && c == ' ') {
        t->state = S_SPACED;
        t->in++;
    }
    return 0;
}

/* Begins a stream; what stands before base is kept. */
static void tok_start(struct xmpp_tiny_tok_ *t, size_t base)
{
    char *buf = t->buf, *limit = t->limit;
    memset(t, 0, sizeof *t);
    t->buf = buf;
    t->limit = limit;
    t->state = S_START;
    *buf = 0;
    t->base = t->out = t->keep = buf + base;
    t->stop = limit - SLACK - 1;
    t->in = t->end = t->out + SLACK;
}

static void tok_init(struct xmpp_tiny_tok_ *t, void *buf, size_t size)
{
    t->buf = (char *)buf;
    t->limit = t->buf + size - 1; /* one byte to end what fills the rest */
    tok_start(t, 1);
}

/* Where raw input goes. Empty while there is input left. */
static char *tok_window(struct xmpp_tiny_tok_ *t, size_t *room)
{
    if (t->in == t->end)
        t->in = t->end = (t->state == S_BETWEEN ? t->base : t->out) + SLACK;
    *room = t->in == t->end ? (size_t)(t->limit - t->end) : 0;
    return t->end;
}

static void tok_fed(struct xmpp_tiny_tok_ *t, size_t len)
{
    t->end += len;
    *t->end = 0; /* in no class: runs stop here without looking for the end */
}

/* Between parts of the markup, one character. */
static int take_markup(struct xmpp_tiny_tok_ *t)
{
    uint8_t state = t->state;
    char c = *t->in;
    if (state == S_LT)
        return markup(t, c);
    t->in++;
    if (state <= S_CLOSED && IN_CLASS(c, IN_SPACE)) {
        t->state = (uint8_t)(state + (state == S_START || state == S_TAG));
        return 0;
    }
    switch (state) {
    case S_START:
    case S_BETWEEN:
        return between(t, c);
    case S_TAG:
    case S_SPACED:
        return in_tag(t, c);
    case S_EQ:
        t->state = S_QUOTE;
        return c == '=' ? 0 : ERR(XML);
    case S_QUOTE:
        t->quote = c;
        t->state = S_VALUE;
        t->tail = TAIL_NONE;
        return c == '\'' || c == '"' ? 0 : ERR(XML);
    case S_REF:
    case S_VALUE_REF:
        return reference(t, (uint8_t)c);
    case S_BANG:
        if (c != "[CDATA["[t->tail])
            return ERR(XML_RESTRICTED);
        if (++t->tail == 7) {
            t->state = S_CDATA;
            t->tail = TAIL_NONE;
        }
        return 0;
    default: /* S_CLOSED, S_EMPTY, S_DECL */
        if (c != '>')
            return ERR(XML);
        return state == S_CLOSED ? close_tag(t) : state == S_DECL ? declaration(t) : tag_done(t, S_POP);
    }
}

/* Takes what is there until something is complete. */
static APART int take(struct xmpp_tiny_tok_ *t)
{
    int r;
    do {
        if (t->out >= t->stop)
            r = skip_begin(t);
        else if (t->in == t->end)
            return TOK_MORE;
        else
            r = t->state <= S_VALUE ? take_text(t) : t->state <= S_CLOSE ? take_name(t) : take_markup(t);
    } while (r == TOK_MORE);
    return r;
}

/* Reads on until something is complete. */
static APART int tok_next(struct xmpp_tiny_tok_ *t)
{
    int r;
    if (t->base > t->limit - (2 + SLACK + SKIP_WINDOW))
        return ERR(XML_LIMIT);
    t->from = t->in;
    r = t->state == S_POP ? pop(t) : take(t);
    t->bytes += (uint32_t)(t->in - t->from);
    if (r == TOK_MORE && t->skip)
        t->out = t->keep;
    return r;
}

/* The complete unit, or the first tag of a skipped one; nothing if not even its name is known. */
static el tok_unit(const struct xmpp_tiny_tok_ *t)
{
    run ns = inherited(t, t->level, "", 0);
    return (el){t->buf, u16(t->keep == t->base ? 0 : (size_t)(skip_pad(t->base) - t->buf)),
                u16(ns ? (size_t)(ns - t->buf) : 0)};
}

/* The stream's first tag. */
static el tok_root(const struct xmpp_tiny_tok_ *t)
{
    return (el){t->buf, u16((size_t)(skip_pad(t->buf + t->open[0]) - t->buf)), 0};
}

/* After TOK_UNIT: the unit stays until the stream ends. */
static void tok_hold(struct xmpp_tiny_tok_ *t)
{
    t->base = t->keep = t->out;
}

/* Gives back what was kept from `to` on. When: between units. */
static void tok_free(struct xmpp_tiny_tok_ *t, char *to)
{
    t->base = t->keep = t->out = to;
}

/* Is all input used up, but for white space between units? */
static bool tok_idle(struct xmpp_tiny_tok_ *t)
{
    while (t->in < t->end && IN_CLASS(*t->in, IN_SPACE))
        t->in++;
    return t->in == t->end;
}

/* Room that stays until the stream ends; NULL if there is too little. When: idle. */
static char *tok_room(struct xmpp_tiny_tok_ *t, size_t len)
{
    char *room = t->base;
    if (len + SLACK > (size_t)(t->limit - room))
        return NULL;
    tok_free(t, room + len);
    t->in = t->end = t->out + SLACK;
    return room;
}

/* ==== Room 4: writer ==============================================================================
 * Bounded XML output into the transmit buffer, a row of entries: a head and the bytes of a stanza or of
 * something of the stream's own. buf[0..next) was sent and is kept until the server has it,
 * buf[next..commit) is due, buf[commit..end) is being written and counts only when out_commit() takes it,
 * so a stanza goes out whole or not at all. The first error sticks until then.
 * Owns x->out. Cost: linear in the bytes written, and in the entries. */

#define HEAD 7 /* length, 2 bytes; flags; tag, 4 bytes */
#define OUT_RESERVE \
    (200 - HEAD) /* kept from stanzas, so that a stream error and the closing tag always fit */

enum { /* flags of an entry */
       ENTRY_STANZA = 1,
       ENTRY_SENT = 2, /* whole: it may have arrived */
       ENTRY_OURS = 4, /* a stanza of the library's: nobody asks how it ends */
       ENTRY_IQ = 8,   /* belongs to its session */
       ENTRY_LOADED = 16,
       ENTRY_FIRST = 32, /* of the negotiation: ahead of all stanzas */
       ENTRY_LOST = 64,  /* to be given up */
       ENTRY_MANY =
           128 /* sent, without bytes; tag is how many, and from 65,536 on, how many the application's */
};
enum { /* x->out.flags */
       OUT_BUILDING = 1,
       OUT_IN_TAG = 2,
       OUT_SECRET = 4, /* not to be traced */
       OUT_IQ = 8,
       OUT_OURS = 16,
       OUT_OWN = 32,
       OUT_FIRST = 64
};

static char *entry(const struct xmpp_tiny *x, size_t at)
{
    return x->out.buf + at;
}

static uint16_t entry_len(const char *e)
{
    return (uint16_t)((uint8_t)e[0] | (uint8_t)e[1] << 8);
}

static uint32_t entry_tag(const char *e)
{
    uint32_t tag;
    memcpy(&tag, e + 3, sizeof tag);
    return tag;
}

static size_t entry_end(const struct xmpp_tiny *x, size_t at)
{
    return at + HEAD + entry_len(entry(x, at));
}

/* The entry that is to be sent: the one that has begun, else what negotiates, else the next in order, if
 * stanzas may leave or it is none; x->out.commit for none. */
static size_t out_due(const struct xmpp_tiny *x)
{
    const struct xmpp_tiny_out_ *o = &x->out;
    size_t first = o->commit;
    if (o->gone)
        return o->at;
    for (size_t at = o->next; at < o->commit; at = entry_end(x, at)) {
        char flags = entry(x, at)[2];
        if (flags & ENTRY_FIRST)
            return at;
        if (first == o->commit && (o->flows || !(flags & ENTRY_STANZA)))
            first = at;
    }
    return first;
}

/* Do committed bytes wait to be sent? */
static bool out_pending(const struct xmpp_tiny *x)
{
    return out_due(x) < x->out.commit;
}

/* The bytes that are to be sent next. */
static char *out_window(const struct xmpp_tiny *x, size_t *len)
{
    size_t at = out_due(x);
    *len = at < x->out.commit ? entry_len(entry(x, at)) - (size_t)x->out.gone : 0;
    return entry(x, at) + HEAD + x->out.gone;
}

/* How much of the buffer is a queue, in which stanzas stay until the server has them. */
static size_t queue_size(const struct xmpp_tiny *x)
{
    return XMPP_TINY_ENABLE_SESSIONS ? x->config->queue_size : 0;
}

/* How much of the buffer stanzas may fill. */
static size_t out_room(const struct xmpp_tiny *x)
{
    size_t queue = queue_size(x);
    return queue ? queue : (size_t)x->out.size - OUT_RESERVE;
}

static void out_fail(struct xmpp_tiny *x, int err)
{
    if (x->out.error == 0)
        x->out.error = (int8_t)err;
}

static void out_bytes(struct xmpp_tiny *x, const char *p, size_t n)
{
    size_t limit = x->out.flags & OUT_OWN ? x->out.size : out_room(x),
           own = (size_t)(x->out.end - x->out.commit);
    if (x->out.error || n == 0)
        return;
    if (n > limit || x->out.end > limit - n) {
        out_fail(x, n > limit || own > limit - n ? ERR(TOO_BIG) : ERR(AGAIN));
        return;
    }
    memcpy(x->out.buf + x->out.end, p, n);
    x->out.end = u16(x->out.end + n);
}

static void out_str(struct xmpp_tiny *x, const char *text)
{
    out_bytes(x, text, strlen(text));
}

/* Writes text with what XML would misread replaced; in text, the first four. */
static void out_escaped(struct xmpp_tiny *x, const str *s, bool value)
{
    static const char misread[] = "<>&\r'\n\t", as[] = "&lt;\0&gt;\0&amp;\0&#13;\0&apos;\0&#10;\0&#9;";
    const char *from = s->ptr;
    if (!xml_text(*s))
        out_fail(x, ERR(TEXT));
    for (size_t i = 0; i < s->len; i++) {
        const char *p = s->ptr + i, *m = find(misread, value ? 7 : 4, *p);
        if (m) {
            out_bytes(x, from, (size_t)(p - from));
            out_str(x, nth(as, (unsigned)(m - misread)));
            from = p + 1;
        }
    }
    if (s->len)
        out_bytes(x, from, (size_t)(s->ptr + s->len - from));
}

/* Prepares for a stanza, or for something of the stream's own that may use the reserve. */
static void out_begin(struct xmpp_tiny *x, bool own)
{
    struct xmpp_tiny_out_ *o = &x->out;
    o->end = o->commit;
    o->error = 0;
    o->depth = 0;
    o->request = 0;
    o->carry_len = 0;
    o->flags = !own ? OUT_BUILDING : o->flows ? OUT_BUILDING | OUT_OWN : OUT_BUILDING | OUT_OWN | OUT_FIRST;
    out_bytes(x, "\0\0\0\0\0\0", HEAD);
}

/* Ends a first tag before content; nothing may follow the end of the stanza itself. */
static void out_close_tag(struct xmpp_tiny *x)
{
    if (x->out.depth == 0 && x->out.end > x->out.commit + HEAD && !(x->out.flags & OUT_OWN))
        out_fail(x, ERR(ARGUMENT));
    if (x->out.flags & OUT_IN_TAG)
        out_str(x, ">");
    x->out.flags &= (uint8_t)~OUT_IN_TAG;
}

/* Absent values are left out. */
static void out_attr(struct xmpp_tiny *x, const char *name, const str *value)
{
    if (value->ptr == NULL)
        return;
    if (!(x->out.flags & OUT_IN_TAG))
        out_fail(x, ERR(ARGUMENT));
    out_str(x, " ");
    out_str(x, name);
    out_str(x, "='");
    out_escaped(x, value, true);
    out_str(x, "'");
}

static void out_attr_run(struct xmpp_tiny *x, const char *name, run value)
{
    str s;
    get(&s, value);
    out_attr(x, name, &s);
}

static void out_start(struct xmpp_tiny *x, const char *name, const char *ns)
{
    if (name == NULL || x->out.depth == sizeof x->out.names / sizeof *x->out.names) {
        out_fail(x, ERR(ARGUMENT));
        return;
    }
    out_close_tag(x);
    out_str(x, "<");
    out_str(x, name);
    x->out.names[x->out.depth++] = name;
    x->out.flags |= OUT_IN_TAG;
    out_attr_run(x, "xmlns", ns);
}

static void out_text(struct xmpp_tiny *x, const str *text)
{
    out_close_tag(x);
    out_escaped(x, text, false);
}

static void out_end(struct xmpp_tiny *x)
{
    if (x->out.depth == 0) {
        out_fail(x, ERR(ARGUMENT));
        return;
    }
    x->out.depth--;
    if (x->out.flags & OUT_IN_TAG) {
        out_str(x, "/>");
        x->out.flags &= (uint8_t)~OUT_IN_TAG;
        return;
    }
    out_str(x, "</");
    out_str(x, x->out.names[x->out.depth]);
    out_str(x, ">");
}

static void out_empty(struct xmpp_tiny *x, const char *name, const char *ns)
{
    out_start(x, name, ns);
    out_end(x);
}

static void out_element(struct xmpp_tiny *x, const char *name, const char *ns, const str *text)
{
    if (text->ptr == NULL)
        return;
    out_start(x, name, ns);
    if (text->len)
        out_text(x, text);
    out_end(x);
}

/* What base64 waits for a full group of three bytes, or is the last. */
static void out_base64_end(struct xmpp_tiny *x)
{
    char digits[4];
    out_bytes(x, digits, (size_t)(base64_put(digits, x->out.carry, x->out.carry_len) - digits));
    x->out.carry_len = 0;
}

/* Base64 in pieces: what does not fill a group waits in carry. */
static void out_base64(struct xmpp_tiny *x, const void *data, size_t len)
{
    const uint8_t *in = (const uint8_t *)data;
    out_close_tag(x);
    for (; len; len--) {
        x->out.carry[x->out.carry_len++] = *in++;
        if (x->out.carry_len == sizeof x->out.carry)
            out_base64_end(x);
    }
}

/* The entry is complete: closes what is open and lets it go, or drops it. Returns 0 or the error. */
static int out_commit(struct xmpp_tiny *x)
{
    struct xmpp_tiny_out_ *o = &x->out;
    int err = o->flags & OUT_BUILDING ? 0 : ERR(STATE);
    size_t len;
    char *e = entry(x, o->commit);
    while (!err && o->depth)
        out_end(x);
    len = (size_t)(o->end - o->commit) - HEAD;
    if (!err)
        err = o->error ? o->error : o->end <= o->commit + HEAD ? ERR(ARGUMENT) : 0;
    if (!err && o->max && len > o->max && !(o->flags & OUT_OWN))
        err = ERR(TOO_BIG);
    if (!(o->flags & (OUT_OWN | OUT_OURS))) {
        if (!err)
            memcpy(e + 3, &o->tag, sizeof o->tag);
        o->tag = 0;
    }
    if (err) {
        memset(e, 0, (size_t)(o->end - o->commit)); /* it may be secret */
        o->end = o->commit;
    } else {
        e[0] = (char)len;
        e[1] = (char)(len >> 8);
        e[2] = o->flags & OUT_FIRST ? ENTRY_FIRST : 0;
        if (!(o->flags & OUT_OWN))
            e[2] = (char)(ENTRY_STANZA | (o->flags & OUT_IQ ? ENTRY_IQ : 0) |
                          (o->flags & OUT_OURS ? ENTRY_OURS : 0));
        o->commit = o->end;
    }
    o->flags = 0;
    return err;
}

/* Takes out n bytes at `at` that are committed. What was sent may be secret: it does not stay. */
static void out_cut(struct xmpp_tiny *x, size_t at, size_t n)
{
    struct xmpp_tiny_out_ *o = &x->out;
    o->end = u16(o->end - n);
    o->commit = u16(o->commit - n);
    if (o->next > at)
        o->next = u16(o->next - n);
    if (o->at > at)
        o->at = u16(o->at - n);
    memmove(o->buf + at, o->buf + at + n, o->end - at);
    memset(o->buf + o->end, 0, n);
}

static void out_remove(struct xmpp_tiny *x, size_t at)
{
    out_cut(x, at, entry_end(x, at) - at);
}

static void out_sent(struct xmpp_tiny *x, size_t n)
{
    struct xmpp_tiny_out_ *o = &x->out;
    size_t at = out_due(x);
    char *e = entry(x, at);
    o->at = u16(at);
    o->gone = u16(o->gone + n);
    if (o->gone < entry_len(e))
        return;
    o->gone = 0;
    if (!(e[2] & ENTRY_STANZA) || queue_size(x) == 0) {
        out_remove(x, at);
    } else {
        e[2] |= ENTRY_SENT;
        o->next = u16(entry_end(x, at));
    }
}

/* Stanzas in the buffer that have all of these flags. */
static uint32_t out_count(const struct xmpp_tiny *x, uint8_t flags)
{
    uint32_t n = 0;
    for (size_t at = 0; at < x->out.commit; at = entry_end(x, at)) {
        const char *e = entry(x, at);
        if ((e[2] & flags) == flags)
            n += e[2] & ENTRY_MANY ? entry_tag(e) & UINT16_MAX : 1;
    }
    return n;
}

/* Makes room of what has left, when nothing can be read before there is some, not even that it has arrived:
 * of a stanza only its tag stays, of those without a tag their number; if there is none of them, of the
 * others. Should the connection break now, they are UNDELIVERED. Returns false if there is nothing to strip.
 */
static bool out_strip(struct xmpp_tiny *x)
{
    struct xmpp_tiny_out_ *o = &x->out;
    size_t before = o->commit, at, last;
    for (int tagged = 0; tagged < 2 && o->commit == before; tagged++)
        for (at = last = 0; at < o->next; at = entry_end(x, at)) {
            char *e = entry(x, at), *l = entry(x, last);
            uint16_t len = entry_len(e);
            uint32_t tag = entry_tag(e);
            if (!(e[2] & ENTRY_MANY) && (tag != 0) == tagged && len) {
                out_cut(x, at + HEAD, len);
                e[0] = e[1] = 0;
                if (!tagged) {
                    tag = e[2] & ENTRY_OURS ? 1 : 0x10001;
                    e[2] = (char)(ENTRY_STANZA | ENTRY_SENT | ENTRY_MANY);
                    memcpy(e + 3, &tag, sizeof tag);
                }
            }
            if (at > last && (e[2] & l[2] & ENTRY_MANY) &&
                (tag & UINT16_MAX) + (entry_tag(l) & UINT16_MAX) <= UINT16_MAX) {
                tag += entry_tag(l);
                memcpy(l + 3, &tag, sizeof tag);
                out_remove(x, at);
                at = last;
            }
            last = at;
        }
    return o->commit < before;
}

/* What waits, and is more than the server takes, is given up. */
static void out_judge(struct xmpp_tiny *x)
{
    for (size_t at = x->out.next; x->out.max && at < x->out.commit; at = entry_end(x, at)) {
        char *e = entry(x, at);
        if ((e[2] & ENTRY_STANZA) && entry_len(e) > x->out.max)
            e[2] = (char)(e[2] | ENTRY_LOST);
    }
}

/* What has left is not to be sent again: it may be why connections end. */
static void out_doubt(struct xmpp_tiny *x)
{
    for (size_t at = 0; at < x->out.next; at = entry_end(x, at))
        entry(x, at)[2] |= ENTRY_LOADED;
}

/* The connection is gone: what was the stream's own goes with it, the stanzas begin from the first. */
static void out_rewind(struct xmpp_tiny *x)
{
    struct xmpp_tiny_out_ *o = &x->out;
    o->flags = 0;
    o->flows = false;
    o->gone = 0;
    o->max = 0;
    o->end = o->commit;
    for (size_t at = 0; at < o->commit;)
        if (entry(x, at)[2] & ENTRY_STANZA)
            at = entry_end(x, at);
        else
            out_remove(x, at);
    o->next = 0;
    wipe(o->buf + o->commit, (size_t)(o->size - o->commit));
}

/* ==== Room 5: JID =================================================================================
 * [RFC7622]: ASCII in full; beyond it UTF-8 only, compared byte by byte. */

/* Labels of letters, digits and inner hyphens, at most 63 bytes [RFC7622 3.2]; bytes beyond ASCII pass.
 * Or "[" IPv6 address "]": what is inside is the resolver's to judge. */
static bool domain_ok(const str *domain)
{
    const char *p = domain->ptr, *end = p + domain->len;
    bool literal = domain->len > 3 && *p == '[' && end[-1] == ']';
    size_t label = 0;
    char last = '.';
    for (p += literal, end -= literal; p < end; p++) {
        char c = lower(*p);
        bool digit = (uint8_t)(c - '0') < 10;
        if (literal) {
            if (!digit && (uint8_t)(c - 'a') > 5 && c != ':' && c != '.')
                return false;
            c = 0;
        } else if (c == '.') {
            if (last == '.' || last == '-')
                return false;
            label = 0;
        } else if (++label > 63 ||
                   ((uint8_t)c < 0x80 && !digit && (uint8_t)(c - 'a') > 25 && (c != '-' || last == '.'))) {
            return false;
        }
        last = c;
    }
    return last != '.' && last != '-';
}

/* ---- Domains beyond ASCII in the form that DNS and certificates have [RFC3492, RFC5890 2.3.2.1] ---- */

#define ASCII_MAX 253 /* bytes of a domain in DNS */

#if XMPP_TINY_ENABLE_IDN
/* The character at *p, which is valid UTF-8, in lower case if it is ASCII; moves *p behind it. */
static uint32_t character(const char **p)
{
    struct xmpp_tiny_utf8_ u = {0, 0, 0};
    uint8_t c = (uint8_t)lower(*(*p)++);
    if (c < 0x80)
        return c;
    for (utf8_take(&u, c); u.need; (*p)++)
        utf8_take(&u, (uint8_t) * *p);
    return u.point;
}

/* The digit of Punycode for v < 36. [RFC3492 5] */
static char punycode_digit(uint32_t v)
{
    return (char)(v < 26 ? 'a' + v : '0' + v - 26);
}

/* Writes one label of at most 63 bytes, as it is or with "xn--". Returns the end, or NULL if it would exceed
 * 63 bytes. [RFC3492 6.3] */
static char *punycode(char *o, const char *label, const char *end)
{
    char *start = o, *stop = o + 63;
    uint32_t n = 0x80, delta = 0, bias = 72, done = 0, length = 0, basic;
    const char *p;
    memcpy(o, "xn--", 4);
    o += 4;
    for (p = label; p < end; length++) {
        uint32_t c = character(&p);
        if (c < 0x80)
            *o++ = (char)c, done++;
    }
    if (done == length) {
        memmove(start, start + 4, done);
        return start + done;
    }
    basic = done;
    if (basic)
        *o++ = '-';
    for (; done < length; delta++, n++) {
        uint32_t next = UINT32_MAX;
        for (p = label; p < end;) {
            uint32_t c = character(&p);
            if (c >= n && c < next)
                next = c;
        }
        delta += (next - n) * (done + 1);
        n = next;
        for (p = label; p < end;) {
            uint32_t c = character(&p), q = delta, k = 36, t;
            delta += c < n;
            if (c != n)
                continue;
            for (;; k += 36) {
                t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
                if (o >= stop)
                    return NULL;
                if (q < t)
                    break;
                *o++ = punycode_digit(t + (q - t) % (36 - t));
                q = (q - t) / (36 - t);
            }
            *o++ = punycode_digit(q);
            delta = done == basic ? delta / 700 : delta / 2;
            done++;
            delta += delta / done;
            for (bias = 0; delta > 455; bias += 36)
                delta /= 35;
            bias += 36 * delta / (delta + 38);
            delta = 0;
        }
    }
    return o;
}

/* Writes the domain in A-labels; room holds ASCII_MAX + 68 bytes. Returns its length, 0 if it needs no
 * change, or -1 if it has no such form. */
static int domain_ascii(char *room, const str *domain)
{
    const char *p = domain->ptr, *end = p + domain->len;
    char *o = room;
    if (within(domain, 0, 0x7F))
        return 0;
    for (;; p++) {
        const char *dot = find(p, (size_t)(end - p), '.');
        const char *stop = dot ? dot : end;
        o = punycode(o, p, stop);
        if (o == NULL || o - room > ASCII_MAX)
            return -1;
        if (dot == NULL)
            return (int)(o - room);
        *o++ = '.';
        p = stop;
    }
}
#else
static int domain_ascii(char *room, const str *domain)
{
    (void)room;
    return within(domain, 0, 0x7F) ? 0 : -1;
}
#endif

/* A part has 1 to 1023 bytes. [RFC7622 3.1] */
static bool jid_part(str *part, const char *from, const char *to)
{
    *part = slice(from, (size_t)(to - from));
    return part->len - 1 < 1023;
}

/* Splits at the first '/', then at the first '@' before it. [RFC7622 3.2] */
static bool jid_parse(const str *text, struct xmpp_tiny_jid *jid)
{
    const char *start = text->ptr, *end, *at, *slash;
    memset(jid, 0, sizeof *jid);
    if (start == NULL || !xml_text(*text))
        return false;
    end = start + text->len;
    for (const char *p = start; p < end; p++)
        if ((uint8_t)*p < 0x20 || *p == 0x7F)
            return false;
    slash = find(start, text->len, '/');
    if (slash) {
        if (!jid_part(&jid->resource, slash + 1, end) || slash[1] == ' ')
            return false;
        end = slash;
    }
    at = find(start, (size_t)(end - start), '@');
    if (at) {
        if (!jid_part(&jid->local, start, at))
            return false;
        for (; start < at; start++)
            if (find(" \"&':<>", 7, *start))
                return false;
        start++;
    }
    if (end - start > 1 && end[-1] == '.')
        end--;
    return jid_part(&jid->domain, start, end) && domain_ok(&jid->domain);
}

/* local@domain of the address that was split. */
static APART str jid_bare(const str *text, const struct xmpp_tiny_jid *jid)
{
    return slice(text->ptr, (size_t)(jid->domain.ptr - text->ptr) + jid->domain.len);
}

static bool jid_same(const str *a, const str *b, bool bare)
{
    struct xmpp_tiny_jid x, y;
    str p, q;
    if (!jid_parse(a, &x) || !jid_parse(b, &y))
        return false;
    p = jid_bare(a, &x);
    q = jid_bare(b, &y);
    return same_folded(&p, &q) && (bare || same(&x.resource, &y.resource));
}

/* The same for all spellings of an address; 0 for none. */
static uint32_t jid_digest(const str *text)
{
    struct xmpp_tiny_jid jid;
    uint32_t h = 2166136261U;
    const char *p = text->ptr;
    if (!jid_parse(text, &jid))
        return 0;
    for (; p < text->ptr + text->len; p++)
        if (p != jid.domain.ptr + jid.domain.len || *p != '.')
            h = (h ^ (uint8_t)(jid.resource.ptr && p >= jid.resource.ptr ? *p : lower(*p))) * 16777619U;
    return h | 1;
}

/* ==== Room 6: stanza ==============================================================================
 * The cursor over a compact tree: {buf, at, ns}, at the offset of the element's kind byte, ns that of
 * the default namespace its parent hands down. Cost: linear in the bytes passed over. */

/* The default namespace inside the element. */
static uint16_t el_default(const el *e)
{
    run own = declared(e->buf + e->at, "", 0);
    return own ? u16((size_t)(own - e->buf)) : e->ns;
}

static run el_name(const el *e)
{
    return e->at ? name_of(e->buf + e->at) : NULL;
}

static run el_ns(const el *e)
{
    const char *p = e->buf + e->at;
    if (e->at == 0)
        return NULL;
    return *p == C_ELEM_NS ? ref_run(e->buf, p + 1) : e->buf + el_default(e);
}

/* name NULL and ns "*": any. */
static bool el_is(const el *e, run name, run ns)
{
    return e->at && (name == NULL || run_is(el_name(e), name)) && (*ns == '*' || run_is(el_ns(e), ns));
}

/* Where the content of an element begins. */
static run el_text(const el *e)
{
    const char *a;
    if (e->at == 0)
        return NULL;
    a = attr_first(e->buf + e->at);
    while (*a != C_BODY)
        a = attr_next(a);
    return a + 1;
}

/* Behind the end of an element. */
static const char *el_end(const el *e)
{
    const char *p = e->buf + e->at;
    unsigned depth = 0;
    do {
        char c = *(p = run_end(p));
        p++;
        if (c == C_ELEM || c == C_ELEM_NS)
            depth++;
        if (c == C_ELEM_NS || c == C_ATTR_NS)
            p += 2;
        if (c == C_END)
            depth--;
    } while (depth);
    return p;
}

/* Moves e to the first element at or behind p, within the same parent, that matches. */
static bool el_find(el *e, const char *p, run name, run ns)
{
    for (;;) {
        p = skip_pad(run_end(p));
        e->at = *p == C_END ? 0 : u16((size_t)(p - e->buf));
        if (e->at == 0 || el_is(e, name, ns))
            return e->at != 0;
        p = el_end(e);
    }
}

static bool el_child(const el *parent, run name, run ns, el *e)
{
    *e = *parent;
    if (e->at == 0)
        return false;
    e->ns = el_default(parent);
    return el_find(e, el_text(parent), name, ns ? ns : el_ns(parent));
}

static bool el_next(el *e, run name, run ns)
{
    return e->at && el_find(e, el_end(e), name, ns ? ns : el_ns(e));
}

/* Attributes without prefix, or of the prefix xml, which is still there in the tag of what was skipped. */
static run el_attr(const el *e, const char *name)
{
    const char *local = behind(name, "xml:");
    run value = e->at ? attr_named(e->buf + e->at, name) : NULL;
    if (e->at == 0 || local == NULL)
        return value;
    for (const char *a = attr_first(e->buf + e->at); *a != C_BODY && value == NULL; a = attr_next(a))
        if (*a == C_ATTR_NS && ref_at(a + 1) == REF_XML && run_is(a + 3, local))
            value = attr_value(a);
    return value;
}

/* Text of the first child of that name; ns NULL: in the parent's namespace. */
static run child_text(const el *e, const char *name, run ns)
{
    el child;
    return el_child(e, name, ns, &child) ? el_text(&child) : NULL;
}

static void get_attr(str *field, const el *e, const char *name)
{
    get(field, el_attr(e, name));
}

static void get_child(str *field, const el *e, const char *name)
{
    get(field, child_text(e, name, NULL));
}

/* ==== Room 7: SASL ================================================================================
 * [RFC6120 6], SCRAM [RFC5802, RFC7677], channel binding [RFC5929, XEP-0440]. Owns x->sasl; the texts
 * of the exchange stand in the receive buffer. Returns what to do; the stream room does it.
 * Bounds: iterations within [4096, iterations_max], iterations_slice of them a call. */

#define ITERATIONS_MIN 4096 /* [RFC7677 4] */
#define NONCE_BYTES    18   /* 24 characters */
#define GS2_MAX        25

#define MECHANISM(name) XMPP_TINY_MECHANISM_##name
#define SCRAM_PLUS \
    (XMPP_TINY_ALLOW(SCRAM_SHA_1_PLUS) | XMPP_TINY_ALLOW(SCRAM_SHA_256_PLUS) | \
     XMPP_TINY_ALLOW(SCRAM_SHA_512_PLUS))
#define SCRAM_ALL \
    (SCRAM_PLUS | XMPP_TINY_ALLOW(SCRAM_SHA_1) | XMPP_TINY_ALLOW(SCRAM_SHA_256) | \
     XMPP_TINY_ALLOW(SCRAM_SHA_512))

enum {
    SASL_VERIFIED = 1,
    SASL_BINDINGS_LISTED = 2,
    SASL_KEYS_GIVEN = 4,
    SASL_Y = 8,
    SASL_UPGRADING = 32,    /* a task goes on after the login has succeeded [XEP-0480] */
    SASL_2 = 64,            /* [XEP-0388] */
    SASL_LISTS_PROVED = 16, /* only a server that vouches for its lists will do [XEP-0474 7] */
    SASL_TOKEN = 128        /* instead of a mechanism for passwords [XEP-0484] */
};

static const char mechanism_names[] =
#define XMPP_TINY_X(name, text) text "\0"
    XMPP_TINY_MECHANISMS(XMPP_TINY_X)
#undef XMPP_TINY_X
    ;
#define MECHANISM_COUNT (MECHANISM(EXTERNAL) + 1)

static bool is_sasl2(const struct xmpp_tiny_sasl_ *s)
{
    return XMPP_TINY_ENABLE_SASL2 && (s->flags & SASL_2);
}

static bool is_upgrading(const struct xmpp_tiny_sasl_ *s)
{
    return XMPP_TINY_ENABLE_UPGRADE && (s->flags & SASL_UPGRADING);
}

static bool is_token(const struct xmpp_tiny_sasl_ *s)
{
    return XMPP_TINY_ENABLE_FAST && (s->flags & SASL_TOKEN);
}

static int mechanism_number(run name)
{
    return row_of(mechanism_names, MECHANISM_COUNT, name);
}

static bool mechanism_is_scram(unsigned m)
{
    return m - MECHANISM(SCRAM_SHA_1) < 6;
}

/* Three hashes in their order, then the same three bound to the channel. */
static unsigned mechanism_hash(unsigned m)
{
    return (m - MECHANISM(SCRAM_SHA_1)) % 3;
}

static size_t hash_size(enum xmpp_tiny_hash h)
{
    static const uint8_t sizes[] = {20, 32, 64};
    return sizes[h];
}

/* GS2 headers by channel binding [RFC5802 7]. "y": we could bind but the server offers no -PLUS at all; a man
 * in the middle who took the offer away is found out by it [RFC5802 6]. */
static const char gs2_headers[] = "n,,\0p=tls-unique,,\0p=tls-server-end-point,,\0y,,";
#define GS2_Y 3

static const char *gs2_header(const struct xmpp_tiny_sasl_ *s)
{
    return nth(gs2_headers, s->flags & SASL_Y ? GS2_Y : s->binding);
}

/* The number of the channel binding of that name; 0: unknown. */
static unsigned binding_number(run name)
{
    for (unsigned b = XMPP_TINY_BINDING_TLS_UNIQUE; name && b < GS2_Y; b++) {
        const char *header = nth(gs2_headers, b);
        if (run_holds(name, header + 2, strlen(header) - 4))
            return b;
    }
    return XMPP_TINY_BINDING_NONE;
}

static bool has_binding(struct xmpp_tiny_stream *stream, unsigned binding)
{
    uint8_t data[64];
    return stream->ops->binding && stream->ops->binding(stream, (enum xmpp_tiny_binding)binding, data) > 0;
}

/* The best channel binding that both sides have. A server that lists none [XEP-0440] is taken to have
 * tls-unique, the default of SCRAM, and tls-server-end-point if this connection has no tls-unique. */
static unsigned choose_binding(const struct xmpp_tiny_sasl_ *s, struct xmpp_tiny_stream *stream)
{
    for (unsigned b = XMPP_TINY_BINDING_TLS_UNIQUE; b <= XMPP_TINY_BINDING_TLS_SERVER_END_POINT; b++) {
        bool offered = !(s->flags & SASL_BINDINGS_LISTED) || (s->bindings & 1U << b);
        if (offered && has_binding(stream, b))
            return b;
    }
    return XMPP_TINY_BINDING_NONE;
}

/* Picks the strongest mechanism that is offered, allowed and possible. [XEP-0440 3: rules 3 to 6]
 *
 * Who takes -PLUS away from the offer is found out by the flag "y"; who leaves one that we do not know or may
 * not use, as well. Who takes bindings from the list leaves one that no honest server shows: it has
 * mechanisms or tls-server-end-point too. */
static int choose_mechanism(struct xmpp_tiny_sasl_ *s, const struct xmpp_tiny_config *c,
                            const struct xmpp_tiny_saved *known, bool first_use)
{
    uint32_t allowed = c->mechanisms ? c->mechanisms : SCRAM_ALL, usable;
    unsigned binding = choose_binding(s, c->stream), m = MECHANISM_COUNT;
    const uint32_t end_point = 1U << XMPP_TINY_BINDING_TLS_SERVER_END_POINT;
    bool bound; /* is a mechanism offered that we may use and that is bound? */
    if (!XMPP_TINY_ENABLE_SHA512)
        allowed &= ~(XMPP_TINY_ALLOW(SCRAM_SHA_512) | XMPP_TINY_ALLOW(SCRAM_SHA_512_PLUS));
    if (first_use)
        allowed &= ~XMPP_TINY_ALLOW(PLAIN); /* to whom would the password go? */
    if (c->password == NULL)                /* the keys are for one hash */
        allowed &= ~(XMPP_TINY_ALLOW(PLAIN) | SCRAM_ALL) |
                   (known && known->keys.iterations ? 9U << MECHANISM(SCRAM_SHA_1) << known->keys.hash : 0);
    bound = s->offered & allowed & SCRAM_PLUS;
    if ((allowed & SCRAM_PLUS) && ((s->bindings && !(s->offered & SCRAM_PLUS)) ||
                                   (is_sasl2(s) && !s->bindings && (s->offered & SCRAM_PLUS))))
        return ERR(DOWNGRADE);
    if (binding == XMPP_TINY_BINDING_NONE && bound && (s->flags & SASL_BINDINGS_LISTED) &&
        !(s->bindings & end_point))
        s->flags |= SASL_LISTS_PROVED;
    usable = s->offered & allowed & ~(binding == XMPP_TINY_BINDING_NONE ? SCRAM_PLUS : 0);
    if (usable == 0)
        return c->password == NULL && !(known && known->keys.iterations) && (s->offered & SCRAM_ALL)
                   ? ERR(KEYS)
                   : ERR(MECHANISM);
    do
        m--;
    while (!(usable & 1U << m));
    s->mechanism = (uint8_t)m;
    s->hash = (uint8_t)mechanism_hash(m);
    s->binding = (uint8_t)(SCRAM_PLUS & 1U << m ? binding : XMPP_TINY_BINDING_NONE);
    if (binding != XMPP_TINY_BINDING_NONE && (allowed & SCRAM_PLUS) && !bound)
        s->flags |= SASL_Y;
    if ((s->flags & SASL_LISTS_PROVED) && m == MECHANISM(PLAIN))
        return ERR(DOWNGRADE);
    if (known && known->mechanism) { /* what is allowed may have changed since, or the hash of the keys */
        bool was_bound = SCRAM_PLUS & 1U << known->mechanism;
        uint32_t held_to = allowed >> known->mechanism << known->mechanism;
        if (m == MECHANISM(PLAIN))
            held_to |= allowed & SCRAM_ALL; /* [XEP-0474 7] */
        if (was_bound && m < MECHANISM(SCRAM_SHA_1_PLUS))
            held_to |= allowed & SCRAM_PLUS;
        if ((held_to && m < known->mechanism) ||
            (s->binding > known->binding && has_binding(c->stream, known->binding)))
            return ERR(DOWNGRADE);
    }
    return 0;
}

/* The order of i;octet: below, at or above zero. [RFC4790 9.3] */
static int run_compare(run a, run b)
{
    while (*a == *b && (uint8_t)*a >= RUN_END)
        a++, b++;
    return ((uint8_t)*a < RUN_END ? 0 : (uint8_t)*a) - ((uint8_t)*b < RUN_END ? 0 : (uint8_t)*b);
}

/* Writes what these children of an element say, in their attribute of that name or NULL: their text, in
 * order, with 0x1E between: what counted when they were read, and nothing else. Returns the end, or NULL if
 * it would not come before limit. [XEP-0474 6.1] */
static char *sorted(char *o, const char *limit, const el *list, const char *name, const char *attr)
{
    run last = NULL;
    for (;;) {
        run least = NULL;
        size_t copies = 0, len;
        el e;
        for (bool more = el_child(list, name, NULL, &e); more; more = el_next(&e, name, NULL)) {
            run text = attr ? el_attr(&e, attr) : el_text(&e);
            int order = text && least ? run_compare(text, least) : -1;
            if (text == NULL || order > 0 || (last && run_compare(text, last) <= 0))
                continue;
            copies = order ? 1 : copies + 1;
            least = text;
        }
        if (least == NULL)
            return o;
        for (len = (size_t)(run_end(least) - least); copies; copies--) {
            if (len + 1 >= (size_t)(limit - o))
                return NULL;
            if (last)
                *o++ = 0x1E;
            memcpy(o, least, len);
            o += len;
            last = least;
        }
    }
}

/* Length of the client's first message without its GS2 header; o has room for 3 bytes a character of
 * the user name and 40 more. [RFC5802 5.1: ',' and '=' of the name] */
static size_t scram_first(char *o, const str *user, const uint8_t *nonce)
{
    char *start = o;
    memcpy(o, "n=", 2);
    o += 2;
    for (size_t i = 0; i < user->len; i++) {
        char c = user->ptr[i];
        if (c == ',' || c == '=') {
            memcpy(o, c == ',' ? "=2C" : "=3D", 3);
            o += 3;
        } else {
            *o++ = c;
        }
    }
    memcpy(o, ",r=", 3);
    return (size_t)(base64_put(o + 3, nonce, NONCE_BYTES) - start);
}

/* Reads "x=value" at *p, up to ',' or end, and moves *p behind it. Returns x, or 0 for anything else.
 * [RFC5802 7] */
static char scram_attr(const char **p, const char *end, str *value)
{
    const char *from = *p, *to = from;
    while (to < end && *to != ',')
        to++;
    *p = to < end ? to + 1 : to;
    if (to - from < 3 || (uint8_t)(lower(*from) - 'a') > 25 || from[1] != '=')
        return 0;
    *value = slice(from + 2, (size_t)(to - from) - 2);
    return *from;
}

/* Does the server vouch for what it offered? [XEP-0474 6.2] */
static int scram_lists(const struct xmpp_tiny_sasl_ *s, const struct xmpp_tiny_crypto *crypto,
                       const str *proof)
{
    enum xmpp_tiny_hash h = (enum xmpp_tiny_hash)s->hash;
    uint8_t digest[64];
    char text[88];
    str ours;
    if (proof->ptr == NULL)
        return s->flags & SASL_LISTS_PROVED ? ERR(DOWNGRADE) : 0;
    crypto->hash(h, s->lists.ptr, s->lists.len, digest);
    ours = slice(text, (size_t)(base64_put(text, digest, hash_size(h)) - text));
    return same(&ours, proof) ? 0 : ERR(DOWNGRADE);
}

/* Reads the server's first message: r=, s=, i=, then extensions that may be ignored. */
static APART int scram_challenge(struct xmpp_tiny_sasl_ *s, const struct xmpp_tiny_config *c)
{
    const char *p = s->challenge.ptr, *end = p + s->challenge.len;
    const size_t ours = NONCE_BYTES / 3 * 4;
    str iterations, proof = {NULL, 0}, value;
    if (scram_attr(&p, end, &s->nonce) != 'r' || scram_attr(&p, end, &s->salt) != 's' ||
        scram_attr(&p, end, &iterations) != 'i' || !within(&s->nonce, 0x21, 0x7E) ||
        !within(&iterations, '0', '9'))
        return ERR(SASL);
    while (p < end || end[-1] == ',') {
        char name = scram_attr(&p, end, &value);
        if (name == 'h' && proof.ptr == NULL)
            proof = value;
        else if (name == 0 || find("rsimh", 5, name)) /* malformed, twice, or that must be understood */
            return ERR(SASL);
    }
    if (*iterations.ptr == '0' && iterations.len > 1)
        return ERR(SASL);
    if (s->nonce.len <= ours || memcmp(s->nonce.ptr, s->first.ptr + s->first.len - ours, ours) != 0)
        return ERR(NONCE);
    s->iterations = number(iterations, INT32_MAX);
    if (s->iterations < ITERATIONS_MIN || s->iterations > (c->iterations_max ? c->iterations_max : 100000))
        return ERR(ITERATIONS);
    return scram_lists(s, c->crypto, &proof);
}

/* Starts the key derivation, or takes the keys the application kept. Returns 1 if there is nothing to
 * derive. The salt has been decoded. */
static int scram_keys_begin(struct xmpp_tiny_sasl_ *s, const struct xmpp_tiny_config *c,
                            const struct xmpp_tiny_keys *k)
{
    enum xmpp_tiny_hash h = (enum xmpp_tiny_hash)s->hash;
    str parts[2] = {s->salt, {"\0\0\0\1", 4}};
    if (k && k->hash == h && k->iterations == s->iterations && k->salt_len == s->salt.len &&
        memcmp(k->salt, s->salt.ptr, k->salt_len) == 0) {
        s->flags |= SASL_KEYS_GIVEN;
        return 1;
    }
    if (c->password == NULL)
        return ERR(KEYS);
    c->crypto->hmac(h, c->password, strlen(c->password), parts, 2, s->u);
    memcpy(s->t, s->u, sizeof s->t);
    s->left = s->iterations - 1;
    return 0;
}

/* One slice of PBKDF2. Returns true when it is complete: t is the salted password. [RFC5802 3] */
static bool scram_keys_step(struct xmpp_tiny_sasl_ *s, const struct xmpp_tiny_config *c)
{
    uint32_t rounds = c->iterations_slice ? c->iterations_slice : 256;
    rounds = rounds < s->left ? rounds : s->left;
    c->crypto->pbkdf2((enum xmpp_tiny_hash)s->hash, c->password, strlen(c->password), s->u, s->t, rounds);
    s->left -= rounds;
    return s->left == 0;
}

/* Client key and server key, from the salted password or as given. */
static void scram_key(const struct xmpp_tiny_sasl_ *s, const struct xmpp_tiny_config *c, bool server,
                      uint8_t *key)
{
    enum xmpp_tiny_hash h = (enum xmpp_tiny_hash)s->hash;
    str label = server ? STR("Server Key") : STR("Client Key");
    if (s->flags & SASL_KEYS_GIVEN)
        memcpy(key, server ? c->saved->keys.server_key : c->saved->keys.client_key, hash_size(h));
    else
        c->crypto->hmac(h, s->t, hash_size(h), &label, 1, key);
}

/* Writes the client's final message and remembers the signature the server must show. room holds FINAL_ROOM
 * bytes and the nonce: the channel binding, then the message as far as it is signed. */
#define BOUND_MAX  (GS2_MAX + 64)
#define FINAL_ROOM (BOUND_MAX + 2 + (BOUND_MAX + 2) / 3 * 4 + 3)
static int scram_final(struct xmpp_tiny *x, char *room)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    const struct xmpp_tiny_config *c = x->config;
    enum xmpp_tiny_hash h = (enum xmpp_tiny_hash)s->hash;
    size_t size = hash_size(h), len = strlen(gs2_header(s));
    uint8_t key[XMPP_TINY_KEY_MAX];
    char *final = room + BOUND_MAX, *o;
    str parts[5] = {s->first, STR(","), s->challenge, STR(","), {final, 0}};
    memcpy(room, gs2_header(s), len);
    if (s->binding) {
        int n = c->stream->ops->binding(c->stream, (enum xmpp_tiny_binding)s->binding, (uint8_t *)room + len);
        if (n <= 0 || n > 64)
            return ERR(BINDING);
        len += (size_t)n;
    }
    memcpy(final, "c=", 2);
    o = base64_put(final + 2, room, len);
    memcpy(o, ",r=", 3);
    memcpy(o + 3, s->nonce.ptr, s->nonce.len);
    parts[4].len = (size_t)(o + 3 - final) + s->nonce.len;
    scram_key(s, c, false, s->u);
    c->crypto->hash(h, s->u, size, key);
    c->crypto->hmac(h, key, size, parts, 5, key);
    for (size_t i = 0; i < size; i++)
        s->u[i] ^= key[i];
    scram_key(s, c, true, key);
    c->crypto->hmac(h, key, size, parts, 5, s->proof);
    wipe(key, sizeof key);
    out_base64(x, final, parts[4].len);
    out_base64(x, ",p=", 3);
    out_base64(x, room, (size_t)(base64_put(room, s->u, size) - room));
    out_base64_end(x);
    wipe(s->u, sizeof s->u);
    return 0;
}

/* The mechanisms for tokens by their channel binding. [draft-schmaus-kitten-sasl-ht-09 2] */
static const char token_names[] = "HT-SHA-256-NONE\0HT-SHA-256-UNIQ\0HT-SHA-256-ENDP";

/* Writes what proves that we have the token, and remembers what the server must show. */
static int token_proofs(struct xmpp_tiny *x, str token, uint8_t *proof)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    const struct xmpp_tiny_config *c = x->config;
    uint8_t data[64];
    int n = 0;
    str parts[2] = {STR("Initiator"), {(const char *)data, 0}};
    if (s->binding)
        n = c->stream->ops->binding(c->stream, (enum xmpp_tiny_binding)s->binding, data);
    if (n < (s->binding != XMPP_TINY_BINDING_NONE) || n > 64)
        return ERR(BINDING);
    parts[1].len = (size_t)n;
    c->crypto->hmac(XMPP_TINY_SHA256, token.ptr, token.len, parts, 2, proof);
    parts[0] = STR("Responder");
    c->crypto->hmac(XMPP_TINY_SHA256, token.ptr, token.len, parts, 2, s->proof);
    return 0;
}

/* Checks the server's final message: v=, or e= with the reason. [RFC5802 7] */
static int scram_verify(struct xmpp_tiny_sasl_ *s, str message, str *reason)
{
    size_t size = hash_size((enum xmpp_tiny_hash)s->hash);
    const char *p = message.ptr, *end = p + message.len;
    str v;
    char name = scram_attr(&p, end, &v);
    if (name == 'e') {
        if (xml_text(v))
            *reason = v;
        return ERR(AUTH);
    }
    if (name != 'v' || v.len != (size + 2) / 3 * 4 || base64_get(v, (char *)s->u) != (int)size ||
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

enum {             /* x->flags */
       F_BUSY = 1, /* inside the application's callback */
       F_TLS = 2,  /* encrypted, and the server is who it should be */
       F_AUTHENTICATED = 4,
       F_OPEN = 8,      /* our stream header was sent on this connection */
       F_BROKEN = 16,   /* the transport is of no use any more */
       F_SHUT = 32,     /* our direction has been ended in order */
       F_REDIRECT = 64, /* connect again, elsewhere */
       F_ROOM = 128     /* the application waits for room */
};
enum { FEATURE_TLS = 1, FEATURE_BIND = 2, FEATURE_ACCOUNT = 4 /* not a feature: asked for one */ };

/* x->link.flags */
#define L_COUNTS    1U     /* both sides count stanzas [XEP-0198] */
#define L_SESSION   2U     /* there is a session, alive or to be resumed */
#define L_ASKED     4U     /* the server was asked what it has .. */
#define L_COVERS    8U     /* .. in a way that tells no number */
#define L_ENDING    16U    /* the application ends the connection .. */
#define L_SUSPEND   32U    /* .. but not the session */
#define L_OWES      64U    /* we have more than we may tell */
#define L_LOADED    128U   /* the session was, and has not been resumed yet */
#define L_CHANGED   256U   /* since it was saved */
#define L_PIPELINED 512U   /* more was sent than the server has answered */
#define L_PATIENT   1024U  /* that did not go well */
#define L_INACTIVE  2048U  /* wanted */
#define L_TOLD      4096U  /* and the server knows */
#define L_FORGET    8192U  /* give the token back */
#define L_ASK       16384U /* as soon as possible */
enum {                     /* x->link.offers; the low byte is kept in config.saved */
       OFFER_COUNTS = 1,
       OFFER_CSI = 2,
       OFFER_BIND = 4, /* from here on inline, with SASL2 */
       OFFER_BIND_COUNTS = 8,
       OFFER_BIND_CSI = 16,
       OFFER_BIND_CARBONS = 32,
       OFFER_RESUME = 64,
       OFFER_TOKEN = 256 /* without binding; times 2 and 4: with the bindings */
};
#define OFFERS_LATE (OFFER_COUNTS | OFFER_CSI)

enum { TEXT_TOKEN, TEXT_SESSION, TEXT_JID, TEXT_PLACE, TEXT_VERSION, TEXT_TLS, TEXTS };
STATIC_ASSERT(texts, XMPP_TINY_MAX_TEXTS >= 64 && XMPP_TINY_MAX_TEXTS <= 4096);

#define BIND_ID     "bind"
#define REGISTER_ID "register" /* of the question what is wanted; of what we give: */
#define ACCOUNT_ID  "account"
#define CARBONS_ID  "carbons"
#define BARREN_MAX  5U /* connections that may fall silent before what they resume is given up */
#define RETRY_MS    2000U
#define RETRY_MAX   300000U
#define PING_MS     300000U
#define TLS_MAX     128   /* bytes of a TLS session */
#define ASK_MS      1000U /* to wait for company, before we ask alone */
#define SHUT_MS     3000U /* to get the last bytes out */

static APART uint32_t run_number(run digits, uint32_t max)
{
    return number(run_str(digits), max);
}

static uint32_t now(const struct xmpp_tiny *x)
{
    return x->config->platform->now_ms(x->config->platform->ctx);
}

/* When it will be ms later; 0: the timeout. */
static uint32_t after(const struct xmpp_tiny *x, uint32_t ms)
{
    if (ms == 0)
        ms = x->config->timeout_ms;
    ms = ms ? ms : 30000;
    return now(x) + (ms < INT32_MAX ? ms : INT32_MAX);
}

static void set_state(struct xmpp_tiny *x, enum xmpp_tiny_state state)
{
    x->state = (uint8_t)state;
    x->deadline = after(x, state == XMPP_TINY_STATE_SHUT ? SHUT_MS : 0);
}

/* The event in the making; the one place where the application is called with it. */
static struct xmpp_tiny_event *event_begin(struct xmpp_tiny *x, enum xmpp_tiny_event_kind kind)
{
    memset(&x->event, 0, sizeof x->event);
    x->event.kind = kind;
    return &x->event;
}

static int tell(struct xmpp_tiny *x)
{
    int r;
    x->flags |= F_BUSY;
    r = x->config->event(x, &x->event, x->config->user);
    x->flags &= (uint8_t)~F_BUSY;
    if (x->event.kind == XMPP_TINY_EVENT_CHANGED)
        return r == XMPP_TINY_ACCEPT;
    return r == ERR(AGAIN) && x->out.commit ? r : 0; /* else there is nothing to wait for */
}

/* Our account. */
static str own_bare(const struct xmpp_tiny *x)
{
    return jid_bare(x->jid.local.ptr ? &x->jid.local : &x->jid.domain, &x->jid);
}

/* What an earlier login to this account has taught; NULL: nothing, or damaged. */
static struct xmpp_tiny_saved *known(const struct xmpp_tiny *x)
{
    struct xmpp_tiny_saved *saved = x->config->saved;
    return saved && saved->account == x->account && saved->mechanism < MECHANISM_COUNT &&
                   saved->binding < GS2_Y && saved->keys.hash <= XMPP_TINY_SHA512 &&
                   saved->keys.salt_len <= XMPP_TINY_SALT_MAX
               ? saved
               : NULL;
}

/* Where the n-th text of what is remembered stands, its length first; beyond the end if they are damaged. */
static size_t text_at(const struct xmpp_tiny_saved *saved, unsigned n)
{
    size_t at = 0;
    while (n-- && at <= XMPP_TINY_MAX_TEXTS)
        at = at < XMPP_TINY_MAX_TEXTS ? at + 1 + saved->texts[at] : XMPP_TINY_MAX_TEXTS + 1;
    return at;
}

/* One of them; empty if there is none, absent if nothing is remembered. */
static str learnt(const struct xmpp_tiny *x, unsigned n)
{
    const struct xmpp_tiny_saved *saved = known(x);
    size_t at = saved ? text_at(saved, n) : 0;
    if (saved == NULL || at >= XMPP_TINY_MAX_TEXTS || at + 1 + saved->texts[at] > XMPP_TINY_MAX_TEXTS)
        return slice(NULL, 0);
    return slice((const char *)saved->texts + at + 1, saved->texts[at]);
}

/* Replaces one; what does not fit is not remembered. True if that is news. */
static bool learn(struct xmpp_tiny *x, unsigned n, str value)
{
    struct xmpp_tiny_saved *saved = x->config->saved;
    size_t at, old, used;
    uint8_t *t;
    if (saved == NULL)
        return false;
    if (text_at(saved, TEXTS) > XMPP_TINY_MAX_TEXTS)
        wipe(saved->texts, sizeof saved->texts); /* damaged */
    at = text_at(saved, n);
    used = text_at(saved, TEXTS);
    t = saved->texts + at;
    old = *t;
    if (value.len > UINT8_MAX || used - old + value.len > XMPP_TINY_MAX_TEXTS)
        value.len = 0;
    if (value.len == old && memcmp(t + 1, value.ptr ? value.ptr : "", old) == 0)
        return false;
    memmove(t + 1 + value.len, t + 1 + old, used - at - 1 - old);
    *t = (uint8_t)value.len;
    if (value.len)
        memcpy(t + 1, value.ptr, value.len);
    if (value.len < old)
        wipe(saved->texts + used - old + value.len, old - value.len);
    x->link.flags |= L_CHANGED;
    return true;
}

static void unlearn(struct xmpp_tiny *x, unsigned n)
{
    learn(x, n, slice("", 0));
}

static APART void learn_attr(struct xmpp_tiny *x, unsigned n, const el *e, const char *name)
{
    learn(x, n, run_str(el_attr(e, name)));
}

/* What TLS says of itself; a port that says nothing has promised all the same. */
static void tls_security(const struct xmpp_tiny *x, struct xmpp_tiny_security *security)
{
    struct xmpp_tiny_stream *stream = x->config->stream;
    memset(security, 0, sizeof *security);
    security->trust = XMPP_TINY_TRUST_CA;
    security->version = security->suite = security->key_exchange = "";
    if (stream->ops->security)
        stream->ops->security(stream, security);
}

/* Puts a value in its place; true if that was another. */
static APART bool put(void *place, const void *value, size_t len)
{
    if (memcmp(place, value, len) == 0)
        return false;
    memcpy(place, value, len);
    return true;
}

/* What the server offers: these bits of it. */
static void learn_offers(struct xmpp_tiny *x, unsigned bits)
{
    struct xmpp_tiny_saved *saved = x->config->saved;
    uint8_t offers = (uint8_t)((saved->features & ~bits) | (x->link.offers & bits));
    if (put(&saved->features, &offers, 1))
        x->link.flags |= L_CHANGED;
}

/* Writes down what this login teaches. Returns true if that is news. */
static APART bool remember(struct xmpp_tiny *x)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    struct xmpp_tiny_saved *saved = x->config->saved;
    struct xmpp_tiny_stream *stream = x->config->stream;
    struct xmpp_tiny_keys *k;
    struct xmpp_tiny_security now;
    char *tls = x->out.buf + x->out.commit; /* there is always room for our own */
    size_t len = 0;
    bool news;
    if (saved == NULL)
        return false;
    news = known(x) == NULL;
    saved->account = x->account;
    /* The next login could not be bound as this one was: tls-unique is there once. */
    if (stream->ops->save && (s->binding != XMPP_TINY_BINDING_TLS_UNIQUE ||
                              (s->bindings & 1U << XMPP_TINY_BINDING_TLS_SERVER_END_POINT)))
        len = stream->ops->save(stream, (uint8_t *)tls, TLS_MAX);
    news |= learn(x, TEXT_TLS, slice(tls, len <= TLS_MAX ? len : 0));
    wipe(tls, TLS_MAX);
    tls_security(x, &now);
    if (is_sasl2(s) && x->link.offers >> 8)
        learn_offers(x, ~(unsigned)OFFERS_LATE);
    news |= put(saved->spki, now.spki, sizeof now.spki);
    news |= put(saved->certificate, now.certificate, sizeof now.certificate);
    if (s->mechanism > saved->mechanism) {
        if (saved->mechanism == 0)
            saved->binding = XMPP_TINY_BINDING_NONE; /* the application let it off */
        saved->mechanism = s->mechanism;
        news = true;
    }
    if (s->binding && (saved->binding == XMPP_TINY_BINDING_NONE || s->binding < saved->binding)) {
        saved->binding = s->binding;
        news = true;
    }
    k = &saved->keys;
    if (mechanism_is_scram(s->mechanism) && !is_token(s) && !(s->flags & SASL_KEYS_GIVEN) &&
        s->salt.len <= sizeof k->salt) {
        memset(k, 0, sizeof *k);
        k->hash = (enum xmpp_tiny_hash)s->hash;
        k->iterations = s->iterations;
        k->salt_len = (uint8_t)s->salt.len;
        memcpy(k->salt, s->salt.ptr, s->salt.len);
        scram_key(s, x->config, false, k->client_key);
        scram_key(s, x->config, true, k->server_key);
        news = true;
    }
    if (news)
        x->link.flags |= L_CHANGED;
    return news;
}

/* Tells something plain; false if the application left the state we were in. */
static bool tell_kind(struct xmpp_tiny *x, enum xmpp_tiny_event_kind kind)
{
    struct xmpp_tiny_event *event = event_begin(x, kind);
    uint8_t state = x->state;
    if (kind == XMPP_TINY_EVENT_ERROR)
        event->error = x->error;
    tell(x);
    return x->state == state;
}

/* Hands text to the trace hook; of secrets, as in SASL, only the first tag. */
static void trace(const struct xmpp_tiny *x, char direction, const char *text, size_t len, bool secret)
{
    const struct xmpp_tiny_platform *p = x->config->platform;
    secret |= x->state == XMPP_TINY_STATE_CHALLENGE || x->state == XMPP_TINY_STATE_SUCCESS ||
              x->state == XMPP_TINY_STATE_REGISTER ||
              ((x->link.flags & L_PIPELINED) && !(x->flags & F_AUTHENTICATED));
    if (!XMPP_TINY_ENABLE_TRACE || p->trace == NULL)
        return;
    if (secret) {
        bool begins =
            text[0] == '<' && (direction == '>' || x->tok.state == S_START || x->tok.state == S_BETWEEN);
        const char *tag = begins ? find(text, len, '>') : NULL;
        len = tag ? (size_t)(tag - text) + 1 : 0;
    }
    if (len)
        p->trace(p->ctx, direction, text, len);
    if (secret)
        p->trace(p->ctx, direction, "***", 3);
}

/* The one place where output becomes due. */
static int commit(struct xmpp_tiny *x)
{
    uint16_t from = x->out.commit;
    bool secret = x->out.flags & OUT_SECRET;
    int err = out_commit(x);
    if (err)
        return err;
    if (out_due(x) == from)
        x->write_deadline = after(x, 0);
    trace(x, '>', entry(x, from) + HEAD, entry_len(entry(x, from)), secret);
    return 0;
}

/* Output of the stream's own: there is always room for it. It begins with an element or with text, .. */
static void own_start(struct xmpp_tiny *x, const char *name, const char *ns)
{
    out_begin(x, true);
    out_start(x, name, ns);
}

static void own_text(struct xmpp_tiny *x, const char *text)
{
    out_begin(x, true);
    out_str(x, text);
}

/* .. ends with text and the end of what is open, and then the answer is awaited. If it finds no room, the
 * server answered what it cannot have read, or it has got too long names. */
static int own_send(struct xmpp_tiny *x, const char *text, enum xmpp_tiny_state state)
{
    int err;
    out_str(x, text);
    set_state(x, state);
    err = commit(x);
    return err != ERR(AGAIN) ? err : out_pending(x) ? ERR(UNEXPECTED) : ERR(TOO_BIG);
}

static const uint8_t error_origins[] = {XMPP_TINY_ORIGIN_CALL,
#define XMPP_TINY_X(name, origin, text, condition) XMPP_TINY_ORIGIN_##origin,
                                        XMPP_TINY_ERRORS(XMPP_TINY_X)
#undef XMPP_TINY_X
};

/* Row 0 is "OK"; what is not one of ours is a BUG. */
static unsigned error_row(int err)
{
    unsigned row = err ? (unsigned)(err - XMPP_TINY_ERR_FIRST_) : 0;
    return row < sizeof error_origins ? row : ERR(BUG) - XMPP_TINY_ERR_FIRST_;
}

static enum xmpp_tiny_origin error_origin(int err)
{
    return (enum xmpp_tiny_origin)error_origins[error_row(err)];
}

/* The stream error by which the server is told what went wrong; empty: none. [RFC6120 4.9.3] */
static const char *stream_condition(int err)
{
    static const char texts[] =
#define XMPP_TINY_X(name, origin, text, condition) condition "\0"
        XMPP_TINY_ERRORS(XMPP_TINY_X)
#undef XMPP_TINY_X
        ;
    return err ? nth(texts, (unsigned)(err - XMPP_TINY_ERR_FIRST_ - 1)) : "";
}

static APART void put_number(struct xmpp_tiny *x, const char *name, uint32_t n)
{
    char text[10];
    str value = digits(n, text);
    out_attr(x, name, &value);
}

/* Closes our stream, with an error if there is one to name. */
static void stream_close(struct xmpp_tiny *x, int err, enum xmpp_tiny_state state)
{
    const char *condition = stream_condition(err);
    if (x->state == XMPP_TINY_STATE_OPEN || x->state == XMPP_TINY_STATE_SECURE)
        x->flags |= F_BROKEN; /* there is nothing to end in order */
    set_state(x, state);
    if ((x->flags & (F_OPEN | F_BROKEN)) != F_OPEN)
        return;
    x->flags &= (uint8_t)~F_OPEN;
    out_begin(x, true);
    if (*condition) {
        out_start(x, "stream:error", NULL);
        out_empty(x, condition, NS_STREAM_ERRORS);
        if (XMPP_TINY_ENABLE_SESSIONS && (err == ERR(ACK) || err == ERR(ROLLBACK))) {
            out_start(x, "handled-count-too-high", NS_SM);
            put_number(x, "h", x->link.claimed);
            put_number(x, "send-count", x->link.acked + out_count(x, ENTRY_STANZA | ENTRY_SENT));
            out_end(x);
        }
        out_end(x);
    }
    own_send(x, "</stream:stream>", state);
}

/* The one place where a connection fails. The first error wins. */
static void fail(struct xmpp_tiny *x, int err)
{
    if (x->state == XMPP_TINY_STATE_OFF || x->state == XMPP_TINY_STATE_SHUT)
        return;
    stream_close(x, err, XMPP_TINY_STATE_SHUT);
    if (error_origin(err) == XMPP_TINY_ORIGIN_TLS || error_origin(err) == XMPP_TINY_ORIGIN_SASL)
        unlearn(x, TEXT_TLS); /* it may be what was wrong */
    x->error.code = err;
    tell_kind(x, XMPP_TINY_EVENT_ERROR);
}

/* What was offered and derived; the choice stays known. */
static void sasl_forget(struct xmpp_tiny *x)
{
    wipe(&x->sasl.bindings, sizeof x->sasl - offsetof(struct xmpp_tiny_sasl_, bindings));
    x->features = 0;
}

/* Opens a stream, the first or a new one after TLS or SASL. What was learnt before is forgotten.
 * [RFC6120 4.3.3, 4.7] */
static int stream_begin(struct xmpp_tiny *x)
{
    if (out_pending(x))
        return ERR(UNEXPECTED); /* the server answered what it cannot have read */
    sasl_forget(x);
    wipe(x->out.buf + x->out.commit, (size_t)(x->out.size - x->out.commit));
    tok_start(&x->tok, 1U + x->name_len + (x->moved ? x->host.len + 1U : 0));
    wipe(x->tok.base, (size_t)(x->tok.limit - x->tok.base));
    own_text(x, "<?xml version='1.0'?><stream:stream xmlns='" NS_CLIENT "' xmlns:stream='" NS_STREAMS
                "' version='1.0' xml:lang='en'");
    x->out.flags |= OUT_IN_TAG;
    out_attr(x, "to", &x->jid.domain);
    if ((x->flags & F_TLS) && x->jid.local.ptr) {
        str bare = own_bare(x);
        out_attr(x, "from", &bare);
    }
    x->flags |= F_OPEN;
    return own_send(x, ">", XMPP_TINY_STATE_HEADER);
}

/* ---- The session [XEP-0198] ---- */

/* Does this login go ahead of the server's answers where it knows them? */
static bool pipelines(const struct xmpp_tiny *x)
{
    return !x->config->no_pipelining && !(x->link.flags & L_PATIENT);
}

/* Do both sides count stanzas? */
static bool counts(const struct xmpp_tiny *x)
{
    return XMPP_TINY_ENABLE_SESSIONS && (x->link.flags & L_COUNTS);
}

/* Can the session be taken up on another connection? */
static bool resumable(const struct xmpp_tiny *x)
{
    return XMPP_TINY_ENABLE_SESSIONS && (x->link.flags & L_SESSION) && learnt(x, TEXT_SESSION).len &&
           learnt(x, TEXT_JID).len;
}

/* Our full JID. */
static str own_full(const struct xmpp_tiny *x)
{
    str jid = learnt(x, TEXT_JID);
    return jid.len ? jid : x->bound;
}

static APART int answer_tell(struct xmpp_tiny *x, struct xmpp_tiny_request_ *q)
{
    uint16_t number = q->number;
    int r;
    x->event.kind = XMPP_TINY_EVENT_ANSWER;
    x->event.request = number;
    q->number = 0;
    r = tell(x);
    if (r != ERR(AGAIN) || x->event.el.at == 0 || q->number)
        return 0;
    q->number = number;
    return r;
}

/* Requests nobody answered: in time, or before the connection ended. */
static void requests_expire(struct xmpp_tiny *x, uint32_t at, int why)
{
    uint16_t last = x->next_request; /* later ones were made by the application as it was told */
    for (size_t i = 0; i < XMPP_TINY_MAX_REQUESTS; i++) {
        struct xmpp_tiny_request_ *q = &x->requests[i];
        if (q->number && (int16_t)(q->number - last) <= 0 &&
            (why != ERR(TIMEOUT) || (int32_t)(q->deadline - at) <= 0)) {
            event_begin(x, XMPP_TINY_EVENT_ANSWER)->error.code = why;
            answer_tell(x, q);
        }
    }
}

/* Something has arrived at the other side: connecting was worth it. */
static void success(struct xmpp_tiny *x)
{
    x->link.attempts = x->link.barren = 0;
    x->redirects = 0;
}

/* Ends one stanza: the first that has all of these flags. False if there is none. */
static bool stanza_ends(struct xmpp_tiny *x, uint8_t flags, enum xmpp_tiny_event_kind kind)
{
    size_t at = 0;
    uint32_t tag;
    char *e;
    while (at < x->out.commit && (entry(x, at)[2] & flags) != flags)
        at = entry_end(x, at);
    if (at >= x->out.commit)
        return false;
    e = entry(x, at);
    tag = entry_tag(e);
    flags = (uint8_t)e[2];
    x->link.flags |= L_CHANGED;
    if (kind == XMPP_TINY_EVENT_DELIVERED) {
        x->link.acked++;
        for (struct xmpp_tiny_save_ *s = x->link.saves; s < x->link.saves + 2; s++)
            if (s->left)
                s->left--;
    }
    if (flags & ENTRY_MANY) {
        uint32_t n = (tag & UINT16_MAX) - 1, told = tag >> 16;
        if (told == 0)
            flags |= ENTRY_OURS;
        if (told > n || (told && kind == XMPP_TINY_EVENT_UNDELIVERED))
            told--;
        tag = told << 16 | n;
        memcpy(e + 3, &tag, sizeof tag);
        if (n == 0 || (told == 0 && kind == XMPP_TINY_EVENT_UNDELIVERED))
            out_remove(x, at);
        tag = 0;
    } else {
        out_remove(x, at);
    }
    if (!(flags & ENTRY_OURS) && (tag || kind == XMPP_TINY_EVENT_UNDELIVERED) && queue_size(x)) {
        event_begin(x, kind)->tag = tag;
        tell(x);
    }
    return true;
}

/* The server has taken over so many stanzas more. */
static void session_acked(struct xmpp_tiny *x, uint32_t n)
{
    while (n-- && stanza_ends(x, ENTRY_STANZA | ENTRY_SENT, XMPP_TINY_EVENT_DELIVERED))
        continue;
}

/* The server tells how many stanzas it has handled. */
static int session_handled(struct xmpp_tiny *x, run h)
{
    uint32_t total = run_number(h, UINT32_MAX), n = total - x->link.acked;
    bool loaded = x->link.flags & L_LOADED;
    uint32_t sent = out_count(x, ENTRY_STANZA | ENTRY_SENT);
    if (total == UINT32_MAX && !run_is(h, "4294967295"))
        return ERR(UNEXPECTED);
    if (n <= sent) {
        session_acked(x, n);
        return 0;
    }
    x->link.claimed = total;
    if (!loaded || n > INT32_MAX)
        return ERR(ACK);
    session_acked(x, sent);
    return ERR(ROLLBACK);
}

/* The stanzas that are left were not handled: they go out as if they were new, but for those of which the tag
 * alone was saved. */
static void session_again(struct xmpp_tiny *x)
{
    for (size_t at = 0; at < x->out.commit; at = entry_end(x, at)) {
        char *e = entry(x, at);
        e[2] &= (char)~(ENTRY_SENT | ENTRY_LOADED);
        if (entry_len(e) == 0)
            e[2] = (char)(e[2] | ENTRY_LOST);
    }
    x->out.next = 0;
    x->link.flags &= ~L_LOADED;
    while (stanza_ends(x, ENTRY_LOST, XMPP_TINY_EVENT_UNDELIVERED))
        continue;
}

/* The session is over. Its requests end, and what it left behind; what never left waits for the next, if
 * there is one. */
static void session_over(struct xmpp_tiny *x, bool last)
{
    struct xmpp_tiny_link_ *l = &x->link;
    bool was = l->flags & (L_SESSION | L_LOADED);
    l->flags &= ~(L_COUNTS | L_SESSION | L_ASKED | L_COVERS | L_LOADED);
    l->in = l->acked = l->again = 0;
    unlearn(x, TEXT_SESSION);
    unlearn(x, TEXT_JID);
    unlearn(x, TEXT_PLACE);
    x->bound = slice(NULL, 0);
    for (size_t at = 0; at < x->out.commit; at = entry_end(x, at)) {
        char *e = entry(x, at), flags = e[2];
        bool again = x->config->resend && !(flags & ENTRY_LOADED);
        if (!(flags & ENTRY_STANZA))
            continue;
        if (last || (flags & ENTRY_OURS) || entry_len(e) == 0 || (was && (flags & ENTRY_IQ)) ||
            ((flags & ENTRY_SENT) && !again))
            e[2] = (char)(flags | ENTRY_LOST);
        else
            e[2] = (char)(flags & ~ENTRY_SENT);
    }
    x->out.next = 0;
    if (was || last)
        requests_expire(x, 0, ERR(LOST));
    while (stanza_ends(x, ENTRY_LOST, XMPP_TINY_EVENT_UNDELIVERED))
        continue;
}

/* Where to connect next: name[:port] or [address][:port]. False if it is none. */
static bool move(struct xmpp_tiny *x, str where)
{
    const char *end = where.ptr + where.len,
               *from = where.len && *where.ptr == '[' ? find(where.ptr, where.len, ']') : NULL;
    const char *colon = from ? from + 1 : find(where.ptr, where.len, ':');
    str host = slice(where.ptr, (size_t)((colon ? colon : end) - where.ptr));
    uint32_t port = 0;
    if (colon && colon < end) {
        port = number(slice(colon + 1, (size_t)(end - colon) - 1), 65535);
        if (*colon != ':' || port - 1 >= 65535)
            return false;
    }
    if (host.len - 1 >= 255 || !domain_ok(&host))
        return false;
    x->host = slice(x->tok.buf + 1 + x->name_len, host.len);
    memmove(x->tok.buf + 1 + x->name_len, host.ptr, host.len);
    x->port = (uint16_t)port;
    x->moved = true;
    return true;
}

/* The longest silence of the server. */
static APART uint32_t ping_max(const struct xmpp_tiny *x)
{
    return x->config->ping_ms ? x->config->ping_ms : PING_MS;
}

/* Begins to connect. A session is resumed where the server keeps it, unless that has failed. */
static void open_begin(struct xmpp_tiny *x)
{
    const struct xmpp_tiny_config *c = x->config;
    struct xmpp_tiny_saved *saved = known(x);
    str tls = learnt(x, TEXT_TLS);
    if (c->saved && saved == NULL && c->saved->account)
        wipe(c->saved, sizeof *c->saved);
    x->link.offers = 0;
    x->link.space_ms = c->space_ms;
    if (c->stream->ops->load && saved && tls.len)
        c->stream->ops->load(c->stream, (const uint8_t *)tls.ptr, tls.len, saved->spki, saved->certificate);
    if (x->link.ping_ms == 0)
        x->link.ping_ms = ping_max(x);
    x->flags &= F_ROOM;
    memset(&x->error, 0, sizeof x->error);
    set_state(x, XMPP_TINY_STATE_OPEN);
}

/* Stanzas may leave from now on. */
static void flow(struct xmpp_tiny *x)
{
    if (!x->out.flows)
        x->write_deadline = after(x, 0);
    x->out.flows = true;
}

/* The session is on line: it was resumed, or it is a new one. */
static int session_online(struct xmpp_tiny *x, bool resumed)
{
    out_judge(x);
    while (stanza_ends(x, ENTRY_LOST, XMPP_TINY_EVENT_UNDELIVERED))
        continue;
    if (x->state == XMPP_TINY_STATE_SHUT)
        return 0; /* the application has heard enough */
    x->link.flags = (x->link.flags | L_SESSION) & ~L_PIPELINED;
    x->link.heard = x->link.spoke = x->link.ask_at = now(x);
    set_state(x, XMPP_TINY_STATE_ONLINE);
    flow(x);
    event_begin(x, XMPP_TINY_EVENT_ONLINE)->to = own_full(x);
    x->event.resumed = resumed;
    tell(x);
    return 0;
}

/* The answer to the wish to have stanzas counted; what was sent before that wish was handled. */
static void session_counts(struct xmpp_tiny *x, const el *e)
{
    struct xmpp_tiny_link_ *l = &x->link;
    bool yes = run_is(el_name(e), "enabled");
    run resume = el_attr(e, "resume");
    if (l->flags & L_COVERS)
        session_acked(x, l->covered);
    l->flags &= ~(L_ASKED | L_COVERS);
    if (!yes)
        return;
    l->flags |= L_COUNTS | L_CHANGED;
    memset(l->saves, 0, sizeof l->saves);
    l->in = l->acked = l->again = 0;
    if (!run_is(resume, "true") && !run_is(resume, "1"))
        return;
    learn_attr(x, TEXT_SESSION, e, "id");
    learn_attr(x, TEXT_PLACE, e, "location");
}

/* Asks for a session that counts, and can be resumed if we are able to remember it. */
static void put_enable(struct xmpp_tiny *x)
{
    out_start(x, "enable", NS_SM);
    if (x->config->saved)
        out_attr_run(x, "resume", "true");
    out_end(x);
}

/* On a session that was just bound; the answer covers the stanzas that went ahead. */
static int enable_begin(struct xmpp_tiny *x)
{
    x->link.covered = x->out.flows ? u16(out_count(x, ENTRY_STANZA)) : 0;
    x->link.flags |= L_ASKED | L_COVERS;
    out_begin(x, true);
    put_enable(x);
    return own_send(x, "", (enum xmpp_tiny_state)x->state);
}

/* The save that forbids to tell the server all that we have: whoever starts from it must be able to see that
 * the session went on, since the server counted more of ours than was saved. NULL if there is none. */
static const struct xmpp_tiny_save_ *save_open(const struct xmpp_tiny *x)
{
    const struct xmpp_tiny_save_ *s = x->link.saves;
    s += s->left == 0;
    return s->left ? s : NULL;
}

static uint32_t save_tellable(const struct xmpp_tiny *x)
{
    const struct xmpp_tiny_save_ *s = save_open(x);
    return s ? s->in : x->link.in + x->link.again;
}

static void put_resume(struct xmpp_tiny *x)
{
    struct xmpp_tiny_link_ *l = &x->link;
    str id = learnt(x, TEXT_SESSION);
    uint32_t all = l->in + l->again;
    l->in = save_tellable(x);
    l->again = all - l->in;
    out_start(x, "resume", NS_SM);
    out_attr(x, "previd", &id);
    put_number(x, "h", l->in);
    out_end(x);
}

static int resume_begin(struct xmpp_tiny *x)
{
    out_begin(x, true);
    put_resume(x);
    return own_send(x, "", XMPP_TINY_STATE_RESUME);
}

/* <resumed/>: both sides know what arrived, and go on behind it. */
static int session_resumed(struct xmpp_tiny *x, const el *e)
{
    str id = run_str(el_attr(e, "previd")), ours = learnt(x, TEXT_SESSION);
    int err = same(&id, &ours) ? session_handled(x, el_attr(e, "h")) : ERR(UNEXPECTED);
    if (err) {
        unlearn(x, TEXT_SESSION);
        return err;
    }
    x->link.flags |= L_COUNTS;
    session_again(x);
    x->link.flags &= ~(L_ASKED | L_COVERS);
    return session_online(x, true);
}

/* <failed/>: the session is over. The server may still know what arrived. */
static int session_failed(struct xmpp_tiny *x, const el *e)
{
    run h = el_attr(e, "h");
    int err = h ? session_handled(x, h) : 0;
    unlearn(x, TEXT_SESSION);
    if (h && !err && (x->config->resend || !(x->link.flags & L_LOADED)))
        session_again(x);
    return err;
}

/* The domain as DNS and certificates have it. */
static str domain_name(const struct xmpp_tiny *x)
{
    return x->name_len ? slice(x->tok.buf + 1, x->name_len) : x->jid.domain;
}

/* Can we log in by token? It is as strong as the login that got it. [XEP-0484 3.4] */
static bool token_usable(const struct xmpp_tiny *x)
{
    const struct xmpp_tiny_saved *saved = known(x);
    unsigned kind = saved ? saved->token - 1U : 3;
    if (!XMPP_TINY_ENABLE_FAST || x->config->classic || x->first_use || kind > 2 ||
        learnt(x, TEXT_TOKEN).len == 0)
        return false;
    return kind ? has_binding(x->config->stream, kind) : saved->binding == XMPP_TINY_BINDING_NONE;
}

/* The kind of token to ask for, plus 1: bound to the channel if that can be, and if this login is. */
static unsigned token_wanted(const struct xmpp_tiny *x)
{
    unsigned kind = XMPP_TINY_BINDING_TLS_SERVER_END_POINT;
    if (!XMPP_TINY_ENABLE_FAST || x->config->saved == NULL)
        return 0;
    for (; kind; kind--)
        if ((x->link.offers & OFFER_TOKEN << kind) && has_binding(x->config->stream, kind))
            return kind + 1;
    return (x->link.offers & OFFER_TOKEN) && x->sasl.binding == XMPP_TINY_BINDING_NONE;
}

static bool random_bytes(const struct xmpp_tiny *x, void *to, size_t len)
{
    const struct xmpp_tiny_platform *p = x->config->platform;
    return p->random(p->ctx, to, len);
}

/* Names this device, so that the server knows whose token it is [XEP-0388 2.3]: a random UUID. */
static void put_device(struct xmpp_tiny *x)
{
    uint8_t *d = x->config->saved->device;
    char text[36], *o = text;
    str id = slice(text, sizeof text), software = STR("xmpp_tiny");
    if (d[6] == 0) {
        if (!random_bytes(x, d, 16))
            out_fail(x, ERR(RANDOM));
        d[6] = (uint8_t)((d[6] & 15) | 0x40);
        d[8] = (uint8_t)((d[8] & 63) | 0x80);
    }
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *o++ = '-';
        *o++ = "0123456789abcdef"[d[i] >> 4];
        *o++ = "0123456789abcdef"[d[i] & 15];
    }
    out_start(x, "user-agent", NULL);
    out_attr(x, "id", &id);
    out_element(x, "software", NULL, &software);
    out_end(x);
}

/* What else the server shall do when the login succeeds, as far as it offers it, or did when this login goes
 * ahead of what it offers. */
static void put_inline(struct xmpp_tiny *x)
{
    const struct xmpp_tiny_config *c = x->config;
    const struct xmpp_tiny_sasl_ *s = &x->sasl;
    bool ahead = x->state == XMPP_TINY_STATE_HEADER;
    unsigned offers = ahead ? c->saved->features : x->link.offers;
    str tag = x->jid.resource.ptr ? x->jid.resource : STR("xmpp_tiny"), version = learnt(x, TEXT_VERSION);
    x->link.flags &= ~L_TOLD;
    if (c->saved)
        put_device(x);
    if (is_token(s)) {
        out_start(x, "fast", NS_FAST);
        if (x->link.flags & L_FORGET)
            out_attr_run(x, "invalidate", "true");
        out_end(x);
    } else if (s->token) {
        out_start(x, "request-token", NS_FAST);
        out_attr_run(x, "mechanism", nth(token_names, s->token - 1U));
        out_end(x);
    }
    if ((offers & OFFER_RESUME) && resumable(x))
        put_resume(x);
    if (offers & OFFER_BIND) {
        out_start(x, "bind", NS_BIND2);
        out_element(x, "tag", NULL, &tag);
        if (queue_size(x) && (offers & OFFER_BIND_COUNTS))
            put_enable(x);
        if (c->carbons && (offers & OFFER_BIND_CARBONS)) {
            out_empty(x, "enable", NS_CARBONS);
        }
        if ((x->link.flags & L_INACTIVE) && (offers & OFFER_BIND_CSI)) {
            out_empty(x, "inactive", NS_CSI);
            x->link.flags |= L_TOLD; /* if a session is bound */
        }
        out_end(x);
    }
    if (ahead && version.len) { /* [XEP-0509 2.2] */
        out_start(x, "config-version", NS_PIPELINING);
        out_attr_run(x, "scheme", "opaque");
        out_attr(x, "value", &version);
        out_end(x);
    }
}

/* Logs in by token; ahead of the server's features if nothing of it was answered yet. */
static int token_begin(struct xmpp_tiny *x)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    bool ahead = x->state == XMPP_TINY_STATE_HEADER;
    int err;
    s->flags |= SASL_2 | SASL_TOKEN;
    s->mechanism = x->config->saved->mechanism;
    s->token = x->config->saved->token;
    s->binding = (uint8_t)(s->token - 1);
    err = token_proofs(x, learnt(x, TEXT_TOKEN), s->u);
    if (err)
        return err;
    own_start(x, "authenticate", NS_SASL2);
    x->out.flags |= OUT_SECRET;
    out_attr_run(x, "mechanism", nth(token_names, s->binding));
    out_start(x, "initial-response", NULL);
    out_base64(x, x->jid.local.ptr, x->jid.local.len);
    out_base64(x, "", 1);
    out_base64(x, s->u, 32);
    out_base64_end(x);
    out_end(x);
    put_inline(x);
    if (ahead)
        x->link.flags |= L_PIPELINED;
    return own_send(x, "", ahead ? XMPP_TINY_STATE_HEADER : XMPP_TINY_STATE_SUCCESS);
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

/* TLS is up, but nothing has been sent through it: is the server whom we know? Returns 1 if it has the key
 * that it had, 0, or an error. */
static APART int server_known(struct xmpp_tiny *x)
{
    struct xmpp_tiny_security now;
    const struct xmpp_tiny_saved *saved = known(x);
    bool same_key, accepted;
    tls_security(x, &now);
    same_key = saved && memcmp(saved->spki, now.spki, sizeof now.spki) == 0;
    x->first_use = now.trust == XMPP_TINY_TRUST_FIRST_USE && !same_key;
    if (x->first_use && x->config->saved == NULL)
        return ERR(CERT_UNTRUSTED);
    x->flags |= F_TLS;
    if (saved && memcmp(saved->certificate, now.certificate, sizeof now.certificate) != 0) {
        event_begin(x, XMPP_TINY_EVENT_CHANGED);
        accepted = tell(x) || now.trust == XMPP_TINY_TRUST_PIN || now.trust == XMPP_TINY_TRUST_CA_PIN;
        if (x->state == XMPP_TINY_STATE_SECURE && !accepted && !same_key)
            return ERR(CERT_CHANGED);
    }
    return same_key;
}

/* A server whose key we know may be sent the token at once. */
static int stream_secured(struct xmpp_tiny *x)
{
    int known = server_known(x), err;
    if (known < 0 || x->state != XMPP_TINY_STATE_SECURE || !tell_kind(x, XMPP_TINY_EVENT_SECURED))
        return known < 0 ? known : 0;
    err = stream_begin(x);
    return !err && known && pipelines(x) && token_usable(x) ? token_begin(x) : err;
}

/* [RFC6120 4.7, 4.8] */
static int stream_header(struct xmpp_tiny *x)
{
    el root = tok_root(&x->tok);
    run version = el_attr(&root, "version");
    str from = run_str(el_attr(&root, "from"));
    if (!el_is(&root, "stream", NS_STREAMS) || !run_is(root.buf + el_default(&root), NS_CLIENT))
        return ERR(HEADER);
    while (version && *version == '0')
        version++;
    if (version == NULL || *version < '1' || *version > '9')
        return ERR(VERSION);
    if (from.ptr && !jid_same(&from, &x->jid.domain, false))
        return ERR(FROM);
    set_state(x, XMPP_TINY_STATE_FEATURES);
    return 0;
}

/* What the server can do inline [XEP-0386 3.1, XEP-0198 9, XEP-0484 3.1]. */
static void inline_offers(struct xmpp_tiny *x, const el *feature)
{
    uint16_t *offers = &x->link.offers;
    el all, e, in;
    el_child(feature, "inline", NULL, &all);
    if (el_child(&all, "sm", NS_SM, &e))
        *offers |= OFFER_RESUME;
    if (el_child(&all, "bind", NS_BIND2, &e)) {
        *offers |= OFFER_BIND;
        el_child(&e, "inline", NULL, &in);
        for (bool more = el_child(&in, "feature", NULL, &e); more; more = el_next(&e, NULL, NULL)) {
            run var = el_attr(&e, "var");
            *offers |= (uint16_t)(run_is(var, NS_SM)        ? OFFER_BIND_COUNTS
                                  : run_is(var, NS_CSI)     ? OFFER_BIND_CSI
                                  : run_is(var, NS_CARBONS) ? OFFER_BIND_CARBONS
                                                            : 0);
        }
    }
    if (!XMPP_TINY_ENABLE_FAST || !el_child(&all, "fast", NS_FAST, &in))
        return;
    for (bool more = el_child(&in, "mechanism", NULL, &e); more; more = el_next(&e, NULL, NULL)) {
        int kind = row_of(token_names, 3, el_text(&e));
        if (kind >= 0)
            *offers |= (uint16_t)(OFFER_TOKEN << kind);
    }
}

/* What the server can do, or wants, beside what a login needs. Bounds: those of the numbers. */
static void stream_offer(struct xmpp_tiny *x, const el *feature)
{
    struct xmpp_tiny_link_ *l = &x->link;
    if (el_is(feature, "sm", NS_SM)) {
        l->offers |= OFFER_COUNTS;
    } else if (el_is(feature, "csi", NS_CSI)) {
        l->offers |= OFFER_CSI;
    } else if (XMPP_TINY_ENABLE_FAST && el_is(feature, "config-version", NS_PIPELINING)) {
        run scheme = el_attr(feature, "scheme");
        if (scheme == NULL || run_is(scheme, "opaque"))
            learn_attr(x, TEXT_VERSION, feature, "value");
    } else if (el_is(feature, "limits", NS_LIMITS)) { /* [XEP-0478] */
        uint32_t max = run_number(child_text(feature, "max-bytes", NULL), INT32_MAX);
        uint32_t idle = run_number(child_text(feature, "idle-seconds", NULL), INT32_MAX / 1000);
        x->out.max = max == UINT32_MAX ? 0 : max;
        l->space_ms = x->config->space_ms;
        if (idle != UINT32_MAX && (l->space_ms == 0 || idle * 750 < l->space_ms))
            l->space_ms = idle * 750;
    }
}

/* One of the server's features; skipped: it was too large for the buffer, which matters only if we
 * cannot do without it. The lists of mechanisms and bindings stay until one is chosen. */
static int stream_feature(struct xmpp_tiny *x, const el *feature, bool skipped)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    bool in = x->flags & F_AUTHENTICATED;
    unsigned list = 0;
    el e;
    if (el_is(feature, "starttls", NS_TLS)) {
        x->features |= FEATURE_TLS;
    } else if (el_is(feature, "bind", NS_BIND)) {
        x->features |= FEATURE_BIND;
    } else if (!in && el_is(feature, "sasl-channel-binding", NS_BINDINGS)) {
        s->flags |= SASL_BINDINGS_LISTED;
        list = 2;
    } else if (!in && el_is(feature, "mechanisms", NS_SASL) && !is_sasl2(s)) {
        list = 1;
    } else if (!(x->flags & F_TLS)) {
        return 0;
    } else if (XMPP_TINY_ENABLE_SASL2 && el_is(feature, "authentication", NS_SASL2)) {
        inline_offers(x, feature);
        if (x->config->classic || skipped || in)
            return 0;
        list = 1;
        if (!is_sasl2(s)) { /* the older list does not count any more */
            s->flags |= SASL_2;
            s->offered = 0;
            s->list[0].at = 0;
        }
    } else {
        stream_offer(x, feature);
        return 0;
    }
    if (skipped)
        return ERR(XML_LIMIT);
    if (list == 0)
        return 0;
    for (bool more = el_child(feature, NULL, NULL, &e); more; more = el_next(&e, NULL, NULL)) {
        int mechanism = list == 1 && run_is(el_name(&e), "mechanism") ? mechanism_number(el_text(&e)) : -1;
        if (mechanism >= 0)
            s->offered |= (uint16_t)(1U << mechanism);
        if (list == 2 && run_is(el_name(&e), "channel-binding"))
            s->bindings |= (uint8_t)(1U << binding_number(el_attr(&e, "type")));
    }
    if (s->list[list - 1].at)
        return ERR(UNEXPECTED); /* a second list */
    s->list[list - 1] = *feature;
    tok_hold(&x->tok);
    return 0;
}

/* Puts what was offered into the form that a server may vouch for, in the place of the lists. [XEP-0474 6.1]
 */
static int sasl_lists(struct xmpp_tiny *x)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    char *from = x->out.buf + x->out.commit, *limit = x->out.buf + x->out.size, *o; /* room for a moment */
    if (s->lists.ptr)
        return 0;
    o = sorted(from, limit, &s->list[0], "mechanism", NULL);
    if (o && s->list[1].at) {
        *o++ = 0x1F;
        o = sorted(o, limit, &s->list[1], "channel-binding", "type");
    }
    if (o == NULL)
        return ERR(XML_LIMIT);
    s->lists = slice(s->kept, (size_t)(o - from));
    memcpy(s->kept, from, s->lists.len);
    tok_free(&x->tok, s->kept + s->lists.len);
    return 0;
}

static const char upgrade_names[] = "UPGR-SCRAM-SHA-256\0UPGR-SCRAM-SHA-512";

/* The strongest hash for which the server wants a key that it has not got [XEP-0480]; 0, which is SHA-1:
 * none. It takes a password to make one, and a bound channel to be sure that nobody in between gets it. */
static unsigned upgrade_wanted(const struct xmpp_tiny *x)
{
    unsigned best = 0;
    el e;
    if (!XMPP_TINY_ENABLE_UPGRADE || x->config->password == NULL ||
        x->sasl.binding == XMPP_TINY_BINDING_NONE || x->upgrade_failed)
        return 0;
    for (bool more = el_child(&x->sasl.list[0], "upgrade", NS_UPGRADE, &e); more;
         more = el_next(&e, NULL, NULL)) {
        unsigned hash = (unsigned)row_of(upgrade_names, 1 + XMPP_TINY_ENABLE_SHA512, el_text(&e)) + 1;
        if (hash > best && hash > x->sasl.hash)
            best = hash;
    }
    return best;
}

/* Sends <auth/> [RFC6120 6.4.2] or <authenticate/> [XEP-0388 2.3] with the initial response. */
static int sasl_begin(struct xmpp_tiny *x)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    const struct xmpp_tiny_config *c = x->config;
    const str *user = &x->jid.local;
    bool scram, sasl2 = is_sasl2(s);
    int err;
    if (!tok_idle(&x->tok))
        return ERR(UNEXPECTED);
    if (sasl2 && token_usable(x) && (x->link.offers & OFFER_TOKEN << (known(x)->token - 1)))
        return (err = sasl_lists(x)) ? err : token_begin(x);
    err = choose_mechanism(s, c, known(x), x->first_use);
    s->token = 0;
    if (!err) {
        if (sasl2) {
            s->upgrade = (uint8_t)(s->lists.ptr ? 0 : upgrade_wanted(x));
            s->token = (uint8_t)token_wanted(x);
        }
        err = sasl_lists(x);
    }
    if (err)
        return err;
    scram = mechanism_is_scram(s->mechanism);
    own_start(x, sasl2 ? "authenticate" : "auth", sasl2 ? NS_SASL2 : NS_SASL);
    out_attr_run(x, "mechanism", nth(mechanism_names, s->mechanism));
    if (sasl2)
        out_start(x, "initial-response", NULL);
    out_close_tag(x);
    if (scram) {
        uint8_t nonce[NONCE_BYTES];
        char *first = tok_room(&x->tok, user->len * 3 + 40);
        if (first == NULL)
            return ERR(XML_LIMIT);
        if (!random_bytes(x, nonce, sizeof nonce))
            return ERR(RANDOM);
        s->first = slice(first, scram_first(first, user, nonce));
        out_base64(x, gs2_header(s), strlen(gs2_header(s)));
        out_base64(x, s->first.ptr, s->first.len);
    } else if (s->mechanism == MECHANISM(PLAIN)) { /* [RFC4616] */
        out_base64(x, "", 1);
        out_base64(x, user->ptr, user->len);
        out_base64(x, "", 1);
        out_base64(x, c->password, strlen(c->password));
    } else if (s->mechanism == MECHANISM(EXTERNAL)) { /* [XEP-0178]: the identity we mean */
        str bare = own_bare(x);
        out_base64(x, bare.ptr, bare.len);
    } else if (!sasl2) {
        out_str(x, "="); /* empty, not absent */
    }
    out_base64_end(x);
    if (sasl2)
        out_end(x);
    if (XMPP_TINY_ENABLE_UPGRADE && s->upgrade) {
        out_start(x, "upgrade", NS_UPGRADE);
        out_close_tag(x);
        out_str(x, nth(upgrade_names, s->upgrade - 1U));
        out_end(x);
    }
    if (sasl2)
        put_inline(x);
    return own_send(x, "", scram ? XMPP_TINY_STATE_CHALLENGE : XMPP_TINY_STATE_SUCCESS);
}

/* What the peer says went wrong: its element in that namespace which is not <text/>, and that. */
static void read_condition(struct xmpp_tiny_error *error, const el *e, run ns)
{
    el c;
    if (el_child(e, NULL, ns, &c) && run_is(el_name(&c), "text"))
        el_next(&c, NULL, ns);
    get_attr(&error->type, e, "type");
    get(&error->condition, el_name(&c));
    get(&error->text, child_text(e, "text", ns));
    if (error->text.ptr == NULL)
        get(&error->text, child_text(e, "text", NULL)); /* SASL2 has its own [XEP-0388 2.6.2] */
}

/* The same, of what ends the connection: the unit stays for it. */
static APART int keep_condition(struct xmpp_tiny *x, const el *e, run ns, int err)
{
    read_condition(&x->error, e, ns);
    tok_hold(&x->tok);
    return err;
}

/* ---- The account [XEP-0077 3.1] ---- */

/* Asks what a new account needs. Only a server that somebody vouches for gets the password. */
static int register_begin(struct xmpp_tiny *x)
{
    if (x->first_use)
        return ERR(CERT_UNTRUSTED);
    own_text(x, "<iq type='get' id='" REGISTER_ID "'><query xmlns='" NS_REGISTER "'>");
    return own_send(x, "</query></iq>", XMPP_TINY_STATE_REGISTER);
}

/* Puts user name and password into the query that is being written. */
static void put_account(struct xmpp_tiny *x, const str *password)
{
    out_start(x, "query", NS_REGISTER);
    out_element(x, "username", NULL, &x->jid.local);
    out_element(x, "password", NULL, password);
    x->out.flags |= OUT_SECRET;
}

/* An answer: what is wanted, or whether the account is there now. */
static int register_answer(struct xmpp_tiny *x, const el *iq)
{
    run type = el_attr(iq, "type");
    bool asked = !(x->features & FEATURE_ACCOUNT);
    str password = slice(x->config->password, strlen(x->config->password));
    el e, conflict;
    if (!el_is(iq, "iq", NS_CLIENT) ||
        !run_is(el_attr(iq, "id"), x->features & FEATURE_ACCOUNT ? ACCOUNT_ID : REGISTER_ID))
        return ERR(UNEXPECTED);
    if (run_is(type, "error") && el_child(iq, "error", NULL, &e)) {
        if (!asked && el_child(&e, "conflict", NS_STANZA_ERRORS, &conflict))
            return sasl_begin(x); /* it is there already */
        return keep_condition(x, &e, NS_STANZA_ERRORS, ERR(REGISTER));
    }
    if (!run_is(type, "result"))
        return ERR(UNEXPECTED);
    if (!asked)
        return tell_kind(x, XMPP_TINY_EVENT_REGISTERED) ? sasl_begin(x) : 0;
    el_child(iq, "query", NS_REGISTER, &e);
    /* What else is listed, some servers do not insist on: they will say. */
    if (child_text(&e, "username", NULL) == NULL || child_text(&e, "password", NULL) == NULL) {
        get_child(&x->error.text, &e, "instructions");
        tok_hold(&x->tok);
        return ERR(REGISTER);
    }
    x->features |= FEATURE_ACCOUNT;
    own_text(x, "<iq type='set' id='" ACCOUNT_ID "'>");
    put_account(x, &password);
    out_end(x);
    return own_send(x, "</iq>", XMPP_TINY_STATE_REGISTER);
}

/* Asks for a new session [RFC6120 7.6]. What waits may follow at once. */
static int bind_begin(struct xmpp_tiny *x)
{
    int err;
    if (x->link.flags & (L_SESSION | L_LOADED))
        session_over(x, false);
    if (x->state == XMPP_TINY_STATE_SHUT)
        return 0; /* the application has heard enough */
    own_text(x, "<iq type='set' id='" BIND_ID "'><bind xmlns='" NS_BIND "'>");
    out_element(x, "resource", NULL, &x->jid.resource);
    err = own_send(x, "</bind></iq>", XMPP_TINY_STATE_BIND);
    if (err || !pipelines(x))
        return err;
    if (queue_size(x) && known(x) && (known(x)->features & OFFER_COUNTS))
        err = enable_begin(x);
    flow(x);
    return err;
}

/* The features of a stream on which both sides are known: what next? */
static int stream_ready(struct xmpp_tiny *x)
{
    struct xmpp_tiny_link_ *l = &x->link;
    bool ahead = l->flags & L_PIPELINED;
    if (x->config->saved && known(x))
        learn_offers(x, OFFERS_LATE);
    if (x->state == XMPP_TINY_STATE_ONLINE && queue_size(x) && (l->offers & OFFER_COUNTS) && !counts(x) &&
        !(l->flags & L_COVERS))
        return enable_begin(x);
    if (x->state != XMPP_TINY_STATE_FEATURES)
        return 0;
    if (resumable(x) && (ahead || (l->offers & OFFER_COUNTS))) {
        if (!ahead)
            return resume_begin(x);
        set_state(x, XMPP_TINY_STATE_RESUME);
        return 0;
    }
    if (!(x->features & FEATURE_BIND))
        return ERR(FEATURES);
    if (!ahead)
        return bind_begin(x);
    set_state(x, XMPP_TINY_STATE_BIND);
    return 0;
}

/* All features are known: what next? */
static APART int stream_features(struct xmpp_tiny *x)
{
    if (x->flags & F_AUTHENTICATED)
        return stream_ready(x);
    if (!(x->flags & F_TLS)) {
        if (!(x->features & FEATURE_TLS))
            return ERR(NO_TLS);
        own_start(x, "starttls", NS_TLS);
        return own_send(x, "", XMPP_TINY_STATE_PROCEED);
    }
    x->sasl.kept = x->tok.base;
    tok_hold(&x->tok);
    if (x->link.flags & L_PIPELINED) {
        set_state(x, XMPP_TINY_STATE_SUCCESS);
        return sasl_lists(x);
    }
    return XMPP_TINY_ENABLE_REGISTER && x->config->create_account && !known(x) ? register_begin(x)
                                                                               : sasl_begin(x);
}

/* see-other-host names another place for the same domain, believed only over verified TLS
 * [RFC6120 4.9.3.19]. The name that has to be proved stays the domain. */
static bool stream_redirect(struct xmpp_tiny *x, str where)
{
    uint8_t max = x->config->redirects_max ? x->config->redirects_max : 2;
    if (max == 255 || x->redirects >= max || !(x->flags & F_TLS) || !move(x, where))
        return false;
    x->redirects++;
    x->flags |= F_REDIRECT;
    return true;
}

/* A session that is online is moved only if we connect by ourselves: else the application is told. */
static int stream_error(struct xmpp_tiny *x, const el *e)
{
    run other = child_text(e, "see-other-host", NS_STREAM_ERRORS);
    keep_condition(x, e, NS_STREAM_ERRORS, 0);
    if (other == NULL || (x->state == XMPP_TINY_STATE_ONLINE && !x->config->keep) ||
        x->state == XMPP_TINY_STATE_CLOSE)
        return ERR(STREAM);
    if (!stream_redirect(x, run_str(other)))
        return ERR(REDIRECT);
    memset(&x->error, 0, sizeof x->error);
    stream_close(x, 0, XMPP_TINY_STATE_SHUT);
    return 0;
}

/* Decodes the base64 text of a SASL element in place and keeps the element; absent for none. */
static int sasl_text(struct xmpp_tiny *x, const el *e, str *text)
{
    run encoded = el_text(e);
    int len;
    get(text, encoded);
    tok_hold(&x->tok);
    if (encoded == NULL)
        return 0;
    if (run_is(encoded, "="))
        text->len = 0;
    len = base64_get(*text, x->tok.buf + (encoded - x->tok.buf));
    text->len = (size_t)len;
    return len < 0 ? ERR(SASL) : 0;
}

static void sasl_start(struct xmpp_tiny *x, const char *name)
{
    own_start(x, name, is_sasl2(&x->sasl) ? NS_SASL2 : NS_SASL);
}

static int sasl_response(struct xmpp_tiny *x)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    sasl_start(x, "response");
    out_close_tag(x);
    if (!(s->flags & SASL_VERIFIED)) {
        char *room = tok_room(&x->tok, FINAL_ROOM + s->nonce.len);
        int err = room ? scram_final(x, room) : ERR(XML_LIMIT);
        if (err)
            return err;
        /* Of all that was kept, only the salt has a use after this. */
        memmove(s->kept, s->salt.ptr, s->salt.len);
        s->salt.ptr = s->kept;
        tok_free(&x->tok, s->kept + s->salt.len);
    }
    return own_send(x, "", XMPP_TINY_STATE_SUCCESS);
}

/* Decodes the salt, and begins to derive keys or takes those that are known. Returns 1 in that case. */
static int sasl_keys(struct xmpp_tiny *x, const struct xmpp_tiny_keys *keys)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    char *room = tok_room(&x->tok, s->salt.len);
    int n, err;
    if (room == NULL)
        return ERR(XML_LIMIT);
    n = base64_get(s->salt, room);
    if (n <= 0)
        return ERR(SASL);
    s->salt = slice(room, (size_t)n);
    err = scram_keys_begin(s, x->config, keys);
    if (err == 0)
        set_state(x, XMPP_TINY_STATE_KEYS);
    return err;
}

static int sasl_challenge(struct xmpp_tiny *x, const el *e)
{
    /* A password from which another key is to be made has to be the right one: the server is shown that. */
    const struct xmpp_tiny_saved *saved = x->keys_refused || x->sasl.upgrade ? NULL : known(x);
    int err = sasl_text(x, e, &x->sasl.challenge);
    if (!err && !tok_idle(&x->tok))
        err = ERR(UNEXPECTED); /* the server went on before it was answered */
    if (!err)
        err = scram_challenge(&x->sasl, x->config);
    if (!err)
        err = sasl_keys(x, saved ? &saved->keys : NULL);
    return err > 0 ? sasl_response(x) : err;
}

/* The login has succeeded, but the server wants a task done. We do what we have asked for. [XEP-0388 2.6.3]
 */
static int sasl_continue(struct xmpp_tiny *x, const el *e)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    el tasks, task;
    run wanted;
    el_child(e, "tasks", NS_SASL2, &tasks);
    el_child(&tasks, "task", NS_SASL2, &task);
    wanted = el_text(&task);
    if (!XMPP_TINY_ENABLE_UPGRADE || s->upgrade == 0 || is_upgrading(s) || !(s->flags & SASL_VERIFIED) ||
        !run_is(wanted, nth(upgrade_names, s->upgrade - 1U))) {
        get(&x->error.condition, wanted);
        return ERR(AUTH);
    }
    if (!tok_idle(&x->tok))
        return ERR(UNEXPECTED);
    x->upgrade_failed = true; /* unless the login succeeds after all */
    s->flags |= SASL_UPGRADING;
    s->hash = s->upgrade;
    sasl_start(x, "next");
    out_attr_run(x, "task", wanted);
    return own_send(x, "", XMPP_TINY_STATE_SUCCESS);
}

/* Salt and count for the stronger key. [XEP-0480 3] */
static int upgrade_begin(struct xmpp_tiny *x, const el *e)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    uint32_t max = x->config->iterations_max ? x->config->iterations_max : 100000;
    el salt;
    if (!is_upgrading(s) || s->upgrade == 0 || !el_child(e, "salt", NS_SCRAM_UPGRADE, &salt))
        return ERR(UNEXPECTED);
    s->upgrade = 0; /* one key for one login */
    tok_hold(&x->tok);
    if (!tok_idle(&x->tok))
        return ERR(UNEXPECTED);
    get(&s->salt, el_text(&salt));
    s->iterations = run_number(el_attr(&salt, "iterations"), INT32_MAX);
    if (s->iterations < ITERATIONS_MIN || s->iterations > max)
        return ERR(ITERATIONS);
    return sasl_keys(x, NULL);
}

/* The key derivation is complete: the proof, or the key itself for a server that asked for it. */
static int sasl_derived(struct xmpp_tiny *x)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    if (!is_upgrading(s))
        return sasl_response(x);
    sasl_start(x, "task-data");
    out_start(x, "hash", NS_SCRAM_UPGRADE);
    out_base64(x, s->t, hash_size((enum xmpp_tiny_hash)s->hash));
    out_base64_end(x);
    return own_send(x, "", XMPP_TINY_STATE_SUCCESS);
}

/* Has the server told us a full JID of ours? */
static bool own_jid(const struct xmpp_tiny *x, const str *jid)
{
    struct xmpp_tiny_jid parts;
    return jid_parse(jid, &parts) && parts.resource.ptr && same_folded(&parts.domain, &x->jid.domain);
}

/* Notes the JID of a new session, where it will be found. It stands in the unit that is being handled. */
static void session_named(struct xmpp_tiny *x, str jid)
{
    learn(x, TEXT_JID, jid);
    x->bound = slice(NULL, 0);
    if (learnt(x, TEXT_JID).len)
        return;
    memmove(x->tok.base, jid.ptr, jid.len);
    x->bound = slice(x->tok.base, jid.len);
    tok_free(&x->tok, x->tok.base + jid.len);
}

/* Copies of what other devices send, where that was not asked for inline [XEP-0280 4]. */
static void carbons_begin(struct xmpp_tiny *x)
{
    out_begin(x, false);
    x->out.flags |= OUT_OURS | OUT_IQ;
    out_str(x, "<iq type='set' id='" CARBONS_ID "'><enable xmlns='" NS_CARBONS "'/></iq>");
    commit(x);
}

/* Logged in with SASL2: the session goes on, or there is a new one already, or it has to be bound yet. */
static int session_outcome(struct xmpp_tiny *x, const el *e)
{
    const struct xmpp_tiny_config *c = x->config;
    uint16_t offers = x->link.flags & L_PIPELINED ? c->saved->features : x->link.offers;
    el session, bound;
    str jid;
    int err = 0;
    tok_free(&x->tok, x->sasl.kept);
    sasl_forget(x);
    if (!el_child(e, "bound", NS_BIND2, &bound))
        x->link.flags &= ~L_TOLD;
    if (el_child(e, "resumed", NS_SM, &session))
        return resumable(x) ? session_resumed(x, &session) : ERR(UNEXPECTED);
    if (XMPP_TINY_ENABLE_SESSIONS && el_child(e, "failed", NS_SM, &session))
        err = session_failed(x, &session);
    x->link.flags &= ~L_PIPELINED;
    if (err || x->state == XMPP_TINY_STATE_SHUT)
        return err;
    if (bound.at == 0) {
        set_state(x, XMPP_TINY_STATE_FEATURES);
        return 0;
    }
    get_child(&jid, e, "authorization-identifier");
    if (!own_jid(x, &jid))
        return ERR(BIND);
    if (x->link.flags & (L_SESSION | L_LOADED))
        session_over(x, false);
    if (XMPP_TINY_ENABLE_SESSIONS && el_child(&bound, "enabled", NS_SM, &session))
        session_counts(x, &session);
    session_named(x, jid);
    if (c->carbons && !(offers & OFFER_BIND_CARBONS))
        carbons_begin(x);
    return session_online(x, false);
}

/* Authenticated: a new stream, or with SASL2 this one goes on. */
static int sasl_done(struct xmpp_tiny *x, const el *e)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    bool sasl2 = is_sasl2(s), saved;
    el given;
    str token;
    int err;
    if (!sasl2 && !tok_idle(&x->tok))
        return ERR(UNEXPECTED); /* what the server sent before the new stream belongs to none */
    x->flags |= F_AUTHENTICATED;
    if (is_upgrading(s))
        x->upgrade_failed = false;
    x->keys_refused = false;
    s->via = (uint8_t)(is_token(s) ? XMPP_TINY_VIA_FAST
                       : sasl2     ? XMPP_TINY_VIA_SASL2
                                   : XMPP_TINY_VIA_CLASSIC);
    saved = remember(x);
    if (is_token(s) && (x->link.flags & L_FORGET)) {
        unlearn(x, TEXT_TOKEN);
        x->link.flags &= ~L_FORGET;
    } else if (XMPP_TINY_ENABLE_FAST && s->token && el_child(e, "token", NS_FAST, &given) &&
               (token = run_str(el_attr(&given, "token"))).len) {
        saved |= learn(x, TEXT_TOKEN, token);
        wipe(x->tok.buf + (token.ptr - x->tok.buf), token.len);
        x->config->saved->token = s->token;
    }
    event_begin(x, XMPP_TINY_EVENT_AUTHENTICATED)->saved = saved;
    tell(x);
    if (x->state != XMPP_TINY_STATE_SUCCESS)
        return 0;
    if (sasl2)
        return session_outcome(x, e);
    err = stream_begin(x);
    if (err || !pipelines(x))
        return err;
    err = resumable(x) ? resume_begin(x) : bind_begin(x);
    x->link.flags |= L_PIPELINED;
    set_state(x, XMPP_TINY_STATE_HEADER);
    return err;
}

/* What the server says in SASL; from SAID_CONTINUE on only with SASL2. */
enum { SAID_CHALLENGE, SAID_SUCCESS, SAID_FAILURE, SAID_CONTINUE, SAID_TASK_DATA };
static const char sasl_said[] = "challenge\0success\0failure\0continue\0task-data";

/* The final challenge of servers that keep the signature out of <success/>, and <success/> itself; or with
 * SASL2 <continue/>. */
static int sasl_outcome(struct xmpp_tiny *x, const el *e, int said)
{
    struct xmpp_tiny_sasl_ *s = &x->sasl;
    bool token = is_token(s), scram = !token && mechanism_is_scram(s->mechanism);
    bool challenge = said == SAID_CHALLENGE;
    str text;
    el data = *e;
    int err;
    if (is_sasl2(s) && !challenge)
        el_child(e, "additional-data", NS_SASL2, &data);
    err = sasl_text(x, &data, &text);
    if (!err && scram && (text.len || challenge))
        err = s->flags & SASL_VERIFIED ? ERR(SASL) : scram_verify(s, text, &x->error.condition);
    if (token) {
        if (!err && (challenge || text.len != 32 || !same_secret((const uint8_t *)text.ptr, s->proof, 32)))
            err = ERR(SERVER_PROOF);
        if (err)
            unlearn(x, TEXT_TOKEN); /* the password makes it prove itself */
        s->flags |= SASL_VERIFIED;
    }
    if (err == ERR(SERVER_PROOF) && x->config->password)
        x->keys_refused = s->flags & SASL_KEYS_GIVEN; /* they may be damaged: the password tells */
    if (err)
        return err;
    if (challenge)
        return scram && tok_idle(&x->tok) ? sasl_response(x) : ERR(UNEXPECTED);
    if (scram && !(s->flags & SASL_VERIFIED))
        return ERR(SERVER_PROOF);
    if (text.len) /* what was decoded in place is no tree */
        memset(x->tok.buf + (text.ptr - x->tok.buf), ' ', text.len);
    return is_sasl2(s) && said == SAID_CONTINUE ? sasl_continue(x, e) : sasl_done(x, e);
}

/* The token is refused, or what we knew of the server is old: a password will do, and what it offers now.
 * [XEP-0484 4.1, XEP-0509 2.2] */
static int token_refused(struct xmpp_tiny *x, const el *e)
{
    el mismatch;
    if (!(x->link.flags & L_PIPELINED) || !el_child(e, "config-version-mismatch", NS_PIPELINING, &mismatch))
        unlearn(x, TEXT_TOKEN);
    x->link.flags &= ~L_PIPELINED;
    x->sasl.flags &= (uint8_t)~SASL_TOKEN;
    return sasl_begin(x);
}

static int bind_result(struct xmpp_tiny *x, const el *iq)
{
    run type = el_attr(iq, "type");
    el e;
    str jid;
    int err = 0;
    if (!el_is(iq, "iq", NS_CLIENT) || !run_is(el_attr(iq, "id"), BIND_ID))
        return ERR(UNEXPECTED);
    if (run_is(type, "error") && el_child(iq, "error", NULL, &e))
        return keep_condition(x, &e, NS_STANZA_ERRORS, ERR(BIND));
    el_child(iq, "bind", NS_BIND, &e);
    get_child(&jid, &e, "jid");
    if (!run_is(type, "result") || !own_jid(x, &jid))
        return ERR(BIND);
    session_named(x, jid);
    if (queue_size(x) && (x->link.offers & OFFER_COUNTS) && !(x->link.flags & L_COVERS))
        err = enable_begin(x);
    if (x->config->carbons)
        carbons_begin(x);
    return err ? err : session_online(x, false);
}

/* The answer to <resume/>; a session that is gone is followed by a new one. */
static int resume_answer(struct xmpp_tiny *x, const el *e)
{
    int err;
    if (el_is(e, "resumed", NS_SM))
        return session_resumed(x, e);
    if (!el_is(e, "failed", NS_SM))
        return ERR(UNEXPECTED);
    err = session_failed(x, e);
    return err ? err : x->features & FEATURE_BIND ? bind_begin(x) : ERR(FEATURES);
}

/* A child of the stream during the negotiation. */
static int stream_unit(struct xmpp_tiny *x, const el *e)
{
    bool sasl2 = is_sasl2(&x->sasl);
    int said =
        run_is(el_ns(e), sasl2 ? NS_SASL2 : NS_SASL) ? row_of(sasl_said, sasl2 ? 5 : 3, el_name(e)) : -1;
    switch (x->state) {
    case XMPP_TINY_STATE_BIND:
        return bind_result(x, e);
    case XMPP_TINY_STATE_RESUME:
        return XMPP_TINY_ENABLE_SESSIONS ? resume_answer(x, e) : ERR(UNEXPECTED);
    case XMPP_TINY_STATE_REGISTER:
        return XMPP_TINY_ENABLE_REGISTER ? register_answer(x, e) : ERR(UNEXPECTED);
    case XMPP_TINY_STATE_PROCEED:
        if (el_is(e, "failure", NS_TLS))
            return ERR(NO_TLS);
        if (!el_is(e, "proceed", NS_TLS) || x->tok.in != x->tok.end)
            return ERR(UNEXPECTED); /* bytes behind <proceed/> were not sent under TLS [RFC6120 5.4.2.3] */
        x->flags &= (uint8_t)~F_OPEN;
        set_state(x, XMPP_TINY_STATE_SECURE);
        return 0;
    case XMPP_TINY_STATE_CHALLENGE:
    case XMPP_TINY_STATE_SUCCESS:
        if (said == SAID_FAILURE) {
            if (is_token(&x->sasl))
                return token_refused(x, e);
            x->keys_refused = x->sasl.flags & SASL_KEYS_GIVEN && x->config->password;
            return keep_condition(x, e, NS_SASL, ERR(AUTH));
        }
        if (said < 0)
            return ERR(UNEXPECTED);
        if (x->state == XMPP_TINY_STATE_SUCCESS)
            return said == SAID_TASK_DATA ? upgrade_begin(x, e) : sasl_outcome(x, e, said);
        if (said == SAID_SUCCESS || said == SAID_CONTINUE)
            return ERR(SERVER_PROOF); /* it has proved nothing yet */
        return said == SAID_CHALLENGE ? sasl_challenge(x, e) : ERR(UNEXPECTED);
    default:
        return ERR(UNEXPECTED);
    }
}

/* ==== Room 9: sessions ============================================================================
 * What keeps a session alive, and what brings it back: acknowledgements both ways [XEP-0198 4], the question
 * whether the server is there, the wait before the next attempt, client state [XEP-0352], saving and loading.
 * Owns x->link (with room 8). Bounds: an answer is due within the timeout. */

/* Letters nobody can guess, of 5 bits each, for the id of an iq. */
static bool random_letters(const struct xmpp_tiny *x, uint8_t *id, size_t len)
{
    if (!random_bytes(x, id, len))
        return false;
    for (size_t i = 0; i < len; i++)
        id[i] = (uint8_t)base64_digits[id[i] & 31];
    return true;
}

/* A ping to our server [XEP-0199]; own: it does not count as a stanza, there is nothing to count. */
static void link_ping(struct xmpp_tiny *x, bool own)
{
    str id = slice((const char *)x->link.id, sizeof x->link.id);
    if (!random_letters(x, x->link.id, sizeof x->link.id))
        return;
    out_begin(x, own);
    if (!own)
        x->out.flags |= OUT_OURS | OUT_IQ;
    out_start(x, "iq", NULL);
    out_attr_run(x, "type", "get");
    out_attr(x, "to", &x->jid.domain);
    out_attr(x, "id", &id);
    out_start(x, "ping", NS_PING);
    if (commit(x) == 0)
        x->link.flags |= L_CHANGED;
}

/* Asks the server what it has. */
static void ask(struct xmpp_tiny *x)
{
    struct xmpp_tiny_link_ *l = &x->link;
    l->flags = (l->flags | L_ASKED) & ~L_ASK;
    l->covered = u16(out_count(x, ENTRY_STANZA));
    x->deadline = after(x, 0);
    if (counts(x)) {
        own_start(x, "r", NS_SM);
        commit(x);
        return;
    }
    l->flags |= L_COVERS;
    link_ping(x, true);
}

/* Tells the server what we have, or as much of it as it may know. It learns the rest when it has taken over
 * something of ours that was not saved: a ping, if there is nothing else. Behind that all may be told where
 * the session ends. */
static void acknowledge(struct xmpp_tiny *x)
{
    struct xmpp_tiny_link_ *l = &x->link;
    const struct xmpp_tiny_save_ *s = save_open(x);
    uint32_t told = l->in;
    l->flags &= ~L_OWES;
    if (s && (int32_t)(l->in - s->in) > 0) {
        if ((uint16_t)(l->in - s->in) != (uint16_t)(l->pongs - s->pongs)) {
            l->flags |= L_OWES;
            if (out_count(x, ENTRY_STANZA) < s->left)
                link_ping(x, false);
        }
        if ((l->flags & (L_ENDING | L_SUSPEND)) != L_ENDING || out_count(x, ENTRY_STANZA) < s->left)
            told = s->in;
    }
    own_start(x, "a", NS_SM);
    put_number(x, "h", told);
    commit(x);
}

/* The server has answered what we asked. */
static void answered(struct xmpp_tiny *x)
{
    struct xmpp_tiny_link_ *l = &x->link;
    uint32_t max = ping_max(x);
    l->flags &= ~(L_ASKED | L_COVERS);
    l->ask_at = after(x, ASK_MS);
    if (l->ping_ms < max)
        l->ping_ms = max - l->ping_ms < max / 8 ? max : l->ping_ms + max / 8;
}

/* May an answer to this request come from there? [RFC6120 8.1.2.1, 10.3.3] A request without address
 * went to our own account; an answer without address comes from our server, in its own name or our
 * account's. */
static bool answers(const struct xmpp_tiny *x, uint32_t asked, const str *from)
{
    struct xmpp_tiny_jid us;
    uint32_t known = from->ptr ? jid_digest(from) : asked; /* the one address there is */
    str bare, full = own_full(x);
    if (from->ptr ? asked != 0 : asked == 0)
        return known == asked;
    jid_parse(&full, &us);
    bare = jid_bare(&full, &us);
    return known == jid_digest(&bare) || known == jid_digest(&full) ||
           (asked && known == jid_digest(&us.domain));
}

/* An iq's answer: is it that to our question? */
static bool link_answer(struct xmpp_tiny *x, run id, const str *from)
{
    if (run_is(id, CARBONS_ID) && x->config->carbons)
        return true;
    if (id == NULL || !answers(x, jid_digest(&x->jid.domain), from) ||
        !run_holds(id, (const char *)x->link.id, sizeof x->link.id))
        return false;
    if (x->link.flags & L_COVERS) {
        uint16_t covered = x->link.covered;
        answered(x);
        success(x);
        session_acked(x, covered);
    }
    return true;
}

/* A child of the stream that belongs to its management. Returns 1 if it is none, 0, or an error. */
static int link_unit(struct xmpp_tiny *x, const el *e)
{
    run name = el_name(e);
    struct xmpp_tiny_link_ *l = &x->link;
    uint32_t acked, tellable = save_tellable(x);
    bool asked;
    int err;
    if (!XMPP_TINY_ENABLE_SESSIONS || !run_is(el_ns(e), NS_SM))
        return 1;
    if ((l->flags & L_COVERS) && !counts(x) && (run_is(name, "enabled") || run_is(name, "failed"))) {
        session_counts(x, e);
        answered(x);
        l->ask_at = now(x);
        return 0;
    }
    if (!counts(x))
        return 1;
    if (run_is(name, "r")) {
        if (!(l->flags & L_ENDING))
            acknowledge(x);
        return 0;
    }
    if (!run_is(name, "a"))
        return 1;
    acked = l->acked;
    asked = l->flags & L_ASKED;
    answered(x);
    err = session_handled(x, el_attr(e, "h"));
    if (err) {
        unlearn(x, TEXT_SESSION);
        return err;
    }
    if (asked || l->acked != acked)
        success(x);
    if ((l->flags & (L_OWES | L_ENDING)) == L_OWES && save_tellable(x) != tellable)
        acknowledge(x);
    return 0;
}

/* Whether anybody looks [XEP-0352]. */
static void link_client_state(struct xmpp_tiny *x)
{
    struct xmpp_tiny_link_ *l = &x->link;
    unsigned offers = l->offers | (known(x) ? known(x)->features : 0U);
    bool inactive = l->flags & L_INACTIVE;
    if (!(offers & OFFER_CSI) || inactive == ((l->flags & L_TOLD) != 0))
        return;
    own_start(x, inactive ? "inactive" : "active", NS_CSI);
    if (commit(x) == 0)
        l->flags ^= L_TOLD;
}

/* What is to be said beside stanzas: what we want to be sent, and the question what has arrived, if nobody
 * can wait for stanzas that it could go along with. */
static void link_company(struct xmpp_tiny *x)
{
    struct xmpp_tiny_link_ *l = &x->link;
    if (x->state != XMPP_TINY_STATE_ONLINE)
        return;
    link_client_state(x);
    if (!(l->flags & L_ASKED) &&
        ((l->flags & L_ASK) || (queue_size(x) && x->out.next &&
                                ((x->flags & F_ROOM) || x->held || (int32_t)(l->ask_at - now(x)) <= 0))))
        ask(x);
}

/* Has a link that said nothing for a time died? The next is asked sooner. */
static void link_died(struct xmpp_tiny *x)
{
    uint32_t least = ping_max(x) / 8;
    x->link.ping_ms /= 2;
    if (x->link.ping_ms < least)
        x->link.ping_ms = least;
}

/* Can another attempt mend what went wrong? */
static APART bool retries(const struct xmpp_tiny *x)
{
    static const char final[] = "conflict\0policy-violation\0not-authorized\0host-unknown\0host-gone";
    const struct xmpp_tiny_error *e = &x->error;
    int code = e->code;
    switch (error_origin(code)) {
    case XMPP_TINY_ORIGIN_NET:
    case XMPP_TINY_ORIGIN_TIME:
    case XMPP_TINY_ORIGIN_XML:
        return true;
    case XMPP_TINY_ORIGIN_TLS:
        return code == ERR(TLS) || code == ERR(TRUNCATED);
    case XMPP_TINY_ORIGIN_STREAM:
        if (code == ERR(STREAM))
            return row_of(final, 5, e->condition.ptr) < 0;
        if (code == ERR(BIND))
            return run_is(e->type.ptr, "wait");
        return code != ERR(HEADER) && code != ERR(VERSION) && code != ERR(FROM) && code != ERR(FEATURES) &&
               code != ERR(REGISTER);
    case XMPP_TINY_ORIGIN_SASL:
        return code == ERR(AUTH) && run_is(e->condition.ptr, "temporary-auth-failure");
    case XMPP_TINY_ORIGIN_CALL:
    case XMPP_TINY_ORIGIN_LOCAL:
    default:
        return false;
    }
}

/* How long to wait before the next attempt: between half and all of a time that doubles. A fleet must not
 * come back in one instant. */
static uint32_t retry_wait(struct xmpp_tiny *x)
{
    const struct xmpp_tiny_config *c = x->config;
    uint32_t wait = c->retry_ms ? c->retry_ms : RETRY_MS,
             most = c->retry_max_ms ? c->retry_max_ms : RETRY_MAX;
    uint32_t chance = 0;
    for (unsigned i = 0; i < x->link.attempts && wait < most; i++)
        wait = wait > most / 2 ? most : 2 * wait;
    if (wait > most)
        wait = most;
    random_bytes(x, &chance, sizeof chance);
    return wait - chance % (wait / 2 + 1);
}

/* ---- What outlives power-off ---- */

struct blob {
    uint8_t version, session;
    uint16_t build, len, texts;
    uint32_t account, in, told, acked;
};
#define BLOB_VERSION 1
#define BLOB_SEAL    8 /* bytes of the hash at its end */
STATIC_ASSERT(blob_fits, sizeof(struct blob) + BLOB_SEAL <= 40);

static void blob_seal(const struct xmpp_tiny *x, const uint8_t *blob, size_t len, uint8_t *seal)
{
    x->config->crypto->hash(XMPP_TINY_SHA256, blob, len, seal);
}

/* There is a save more to come back to. The server may be told less until it has taken over a stanza more
 * than there are. Of several at a time the first is known, and the others as one. */
static const struct xmpp_tiny_save_ *save_add(struct xmpp_tiny *x)
{
    struct xmpp_tiny_save_ *s = x->link.saves;
    uint16_t left = u16(out_count(x, ENTRY_STANZA) + 1);
    if (s[0].left == 0) {
        s[0] = s[1];
        s[1].left = 0;
    }
    if (s->left && s->left < left)
        s++;
    if (s->left == 0) {
        s->in = x->link.in + x->link.again;
        s->pongs = x->link.pongs;
    }
    if (s->left < left)
        s->left = left;
    return s;
}

static int session_save(struct xmpp_tiny *x, uint8_t *blob, size_t size)
{
    struct xmpp_tiny_saved *saved = x->config->saved;
    const size_t fixed = offsetof(struct xmpp_tiny_saved, texts), last = queue_size(x) ? x->out.commit : 0;
    struct blob b;
    uint8_t seal[32];
    size_t at = sizeof b, heads = 0;
    memset(&b, 0, sizeof b);
    b.version = BLOB_VERSION;
    b.session = (uint8_t)resumable(x);
    b.build = u16(sizeof *saved);
    b.texts = u16(known(x) ? text_at(saved, TEXTS) : 0);
    if (b.texts > XMPP_TINY_MAX_TEXTS)
        b.texts = 0;
    b.account = x->account;
    b.in = x->link.in + x->link.again;
    b.acked = x->link.acked;
    if (size > UINT16_MAX)
        size = UINT16_MAX;
    for (size_t from = 0; from < last; from = entry_end(x, from))
        heads += entry(x, from)[2] & ENTRY_STANZA ? HEAD : 0;
    if (sizeof b + fixed + b.texts + heads + BLOB_SEAL > size)
        return ERR(TOO_BIG);
    memcpy(blob + at, saved, fixed + b.texts);
    at += fixed + b.texts;
    size -= BLOB_SEAL + heads;
    for (size_t from = 0; from < last; from = entry_end(x, from)) {
        char *e = entry(x, from);
        size_t len = entry_len(e);
        if (!(e[2] & ENTRY_STANZA))
            continue;
        if (len > size - at)
            len = 0;
        memcpy(blob + at, e, HEAD + len);
        blob[at] = (uint8_t)len;
        blob[at + 1] = (uint8_t)(len >> 8);
        at += HEAD + len;
        size += HEAD;
    }
    b.len = u16(at + BLOB_SEAL);
    b.told = save_add(x)->in;
    memcpy(blob, &b, sizeof b);
    blob_seal(x, blob, at, seal);
    memcpy(blob + at, seal, BLOB_SEAL);
    x->link.flags &= ~L_CHANGED;
    return b.len;
}

/* Nothing is changed before all of it has been looked at. */
static int session_load(struct xmpp_tiny *x, const uint8_t *blob, size_t len)
{
    struct xmpp_tiny_saved *saved = x->config->saved;
    const size_t fixed = offsetof(struct xmpp_tiny_saved, texts);
    struct blob b;
    uint8_t seal[32];
    size_t stanzas, end;
    if (len < sizeof b + fixed + BLOB_SEAL)
        return ERR(SAVED);
    memcpy(&b, blob, sizeof b);
    stanzas = sizeof b + fixed + b.texts;
    end = len - BLOB_SEAL;
    blob_seal(x, blob, end, seal);
    if (b.len != len || !same_secret(blob + end, seal, BLOB_SEAL) || b.version != BLOB_VERSION ||
        b.build != sizeof *saved || b.account != x->account || b.texts > XMPP_TINY_MAX_TEXTS || stanzas > end)
        return ERR(SAVED);
    for (size_t at = stanzas; at < end; at += HEAD + entry_len((const char *)blob + at))
        if (end - at < HEAD || end - at - HEAD < entry_len((const char *)blob + at))
            return ERR(SAVED);
    if (end - stanzas > queue_size(x))
        return ERR(TOO_BIG);
    wipe(saved, sizeof *saved);
    memcpy(saved, blob + sizeof b, fixed + b.texts);
    memcpy(x->out.buf, blob + stanzas, end - stanzas);
    x->out.commit = x->out.end = u16(end - stanzas);
    for (size_t at = 0; at < x->out.commit; at = entry_end(x, at)) {
        char *e = entry(x, at);
        e[2] =
            (char)((e[2] & (ENTRY_OURS | ENTRY_IQ | ENTRY_MANY)) | ENTRY_STANZA | ENTRY_SENT | ENTRY_LOADED);
    }
    x->link.in = b.in;
    x->link.acked = b.acked;
    memset(x->link.saves, 0, sizeof x->link.saves);
    x->link.saves[0].in = b.told;
    x->link.saves[0].left = u16(out_count(x, ENTRY_STANZA) + 1);
    x->link.pongs = 0;
    x->link.flags = (x->link.flags & (L_INACTIVE | L_FORGET)) | L_LOADED | (b.session ? L_SESSION : 0);
    return 0;
}

/* ==== Room 10: extensions =========================================================================
 * Stanzas [RFC6120 8, RFC6121]: what comes in goes to the application, to an iq handler or to the
 * request it answers; ping [XEP-0199]. Owns x->requests. An answer that finds no room returns AGAIN,
 * and the stanza comes again when there is some. */

/* ---- Out ---- */

static const str absent = {NULL, 0};

/* With a queue, a stanza may come at any time, but for the end. */
static void stanza_open(struct xmpp_tiny *x, bool iq)
{
    out_begin(x, false);
    if (iq)
        x->out.flags |= OUT_IQ;
    if (queue_size(x) ? x->link.flags & L_ENDING : x->state != XMPP_TINY_STATE_ONLINE)
        out_fail(x, ERR(STATE));
}

static void stanza_begin(struct xmpp_tiny *x, const char *name, const str *to, const str *type, const str *id)
{
    stanza_open(x, run_is(name, "iq"));
    out_start(x, name, NULL);
    out_attr(x, "to", to);
    out_attr(x, "type", type);
    out_attr(x, "id", id);
}

/* Hands a stanza over. Returns 0, the number of a request, or an error. */
static int stanza_send(struct xmpp_tiny *x)
{
    struct xmpp_tiny_request_ *q = x->out.request ? &x->requests[x->out.request - 1] : NULL;
    bool secret = x->out.flags & OUT_SECRET;
    int err = commit(x);
    if (err == ERR(AGAIN))
        x->flags |= F_ROOM;
    if (!err)
        x->link.flags |= L_CHANGED;
    if (err || q == NULL)
        return err;
    if (++x->next_request == 0)
        x->next_request = 1;
    q->number = x->next_request;
    q->secret = secret;
    return q->number;
}

/* A free place in the table of requests; MAX_REQUESTS if there is none. */
static unsigned request_place(const struct xmpp_tiny *x)
{
    unsigned i = 0;
    while (i < XMPP_TINY_MAX_REQUESTS && x->requests[i].number)
        i++;
    return i;
}

/* Begins an iq request. The id is random, so that nobody who was not asked can answer. */
static void request_begin(struct xmpp_tiny *x, const char *type, const str *to, uint32_t timeout)
{
    unsigned place = request_place(x);
    struct xmpp_tiny_request_ *q = &x->requests[place];
    str id;
    stanza_begin(x, "iq", to, &absent, &absent);
    out_attr_run(x, "type", type);
    if (place == XMPP_TINY_MAX_REQUESTS) {
        out_fail(x, ERR(BUSY));
        return;
    }
    if (!random_letters(x, q->id, sizeof q->id))
        out_fail(x, ERR(RANDOM));
    id = slice((const char *)q->id, sizeof q->id);
    out_attr(x, "id", &id);
    q->address = jid_digest(to);
    if (to->ptr && q->address == 0)
        out_fail(x, ERR(ARGUMENT));
    q->deadline = after(x, timeout);
    x->out.request = (uint8_t)(place + 1);
}

/* Element and type of each condition, the type by its number. */
static const char conditions[] = "\0"
#define MODIFY                           "0"
#define CANCEL                           "1"
#define AUTH                             "2"
#define WAIT                             "3"
#define XMPP_TINY_X(name, element, type) type element "\0"
    XMPP_TINY_CONDITIONS(XMPP_TINY_X)
#undef XMPP_TINY_X
#undef MODIFY
#undef CANCEL
#undef AUTH
#undef WAIT
    ;

enum { STANZA_IQ, STANZA_MESSAGE, STANZA_PRESENCE };
static const char stanza_names[] = "iq\0message\0presence";

/* -1: none. */
static int stanza_kind(const el *e)
{
    return run_is(el_ns(e), NS_CLIENT) ? row_of(stanza_names, 3, el_name(e)) : -1;
}

/* Begins what goes back to where a stanza came from. */
static void reply_begin(struct xmpp_tiny *x, const el *stanza, const char *name, const char *type)
{
    str from;
    get_attr(&from, stanza, "from");
    stanza_begin(x, name, &from, &absent, &absent);
    out_attr_run(x, "type", type);
    out_attr_run(x, "id", el_attr(stanza, "id"));
}

static int send_error(struct xmpp_tiny *x, const el *stanza, unsigned condition, const str *text, bool ours)
{
    run type = el_attr(stanza, "type");
    const char *row = nth(conditions, condition);
    int kind = stanza_kind(stanza);
    if (kind < 0 || run_is(type, "error") || run_is(type, "result"))
        return ERR(ARGUMENT);
    reply_begin(x, stanza, nth(stanza_names, (unsigned)kind), "error");
    if (ours)
        x->out.flags |= OUT_OURS;
    out_start(x, "error", NULL);
    out_attr_run(x, "type", nth("modify\0cancel\0auth\0wait", (unsigned)(*row - '0')));
    out_empty(x, row + 1, NS_STANZA_ERRORS);
    out_element(x, "text", NS_STANZA_ERRORS, text);
    return stanza_send(x);
}

/* ---- In ---- */

/* What every stanza has; errors too. [RFC6120 8.1, 8.3] */
static struct xmpp_tiny_event *read_common(struct xmpp_tiny *x, const el *stanza,
                                           enum xmpp_tiny_event_kind kind)
{
    struct xmpp_tiny_event *event = event_begin(x, kind);
    el error;
    event->el = *stanza;
    get(&event->name, el_name(stanza));
    get_attr(&event->from, stanza, "from");
    get_attr(&event->to, stanza, "to");
    get_attr(&event->id, stanza, "id");
    get_attr(&event->type, stanza, "type");
    if (run_is(event->type.ptr, "error")) {
        event->error.code = ERR(STANZA);
        if (el_child(stanza, "error", NULL, &error))
            read_condition(&event->error, &error, NS_STANZA_ERRORS);
    }
    return event;
}

static int8_t priority_of(str text)
{
    uint32_t minus = text.len && text.ptr[0] == '-';
    uint32_t n = text.len ? number(slice(text.ptr + minus, text.len - minus), 127 + minus) : 0;
    return (int8_t)(n == UINT32_MAX ? 0 : minus ? -(int32_t)n : (int32_t)n);
}

static int iq_answer(struct xmpp_tiny *x)
{
    for (size_t i = 0; i < XMPP_TINY_MAX_REQUESTS; i++) {
        struct xmpp_tiny_request_ *q = &x->requests[i];
        if (q->number && x->event.id.ptr && run_holds(x->event.id.ptr, (const char *)q->id, sizeof q->id) &&
            answers(x, q->address, &x->event.from)) {
            success(x);
            return answer_tell(x, q);
        }
    }
    if (link_answer(x, x->event.id.ptr, &x->event.from)) {
        x->link.pongs++;
        return 0;
    }
    return tell(x); /* the answer to something sent raw, or to nothing */
}

/* [RFC6120 8.2.3, 8.4]: ping [XEP-0199] after the application's handlers. Returns what a handler does. */
static int iq_request(struct xmpp_tiny *x)
{
    const struct xmpp_tiny_config *c = x->config;
    const struct xmpp_tiny_event *event = &x->event;
    el payload, second;
    bool get = run_is(event->type.ptr, "get"), one = el_child(&event->el, NULL, "*", &payload);
    int r = XMPP_TINY_CONDITION_SERVICE_UNAVAILABLE;
    second = payload;
    if (event->id.ptr == NULL || !one || el_next(&second, NULL, "*") ||
        (!get && !run_is(event->type.ptr, "set")))
        return XMPP_TINY_CONDITION_BAD_REQUEST;
    for (size_t i = 0; i < c->handler_count; i++)
        if (el_is(&payload, c->handlers[i].name, c->handlers[i].ns)) {
            x->flags |= F_BUSY;
            r = c->handlers[i].fn(x, event, c->user);
            x->flags &= (uint8_t)~F_BUSY;
            return r;
        }
    if (get && el_is(&payload, "ping", NS_PING)) {
        reply_begin(x, &event->el, "iq", "result");
        x->out.flags |= OUT_OURS;
        r = stanza_send(x);
    }
    return r;
}

/* A child of the stream while online, or while the stream closes. Returns 0; AGAIN: not handled yet; or
 * an error the connection fails with. */
static int stanza_take(struct xmpp_tiny *x, const el *e)
{
    int kind = stanza_kind(e), r = link_unit(x, e);
    struct xmpp_tiny_event *event;
    if (r <= 0)
        return r;
    r = 0;
    event = read_common(x, e, XMPP_TINY_EVENT_ELEMENT);
    if (kind == STANZA_IQ) {
        if (event->error.code || run_is(event->type.ptr, "result"))
            return iq_answer(x);
        if (x->state == XMPP_TINY_STATE_ONLINE)
            r = iq_request(x);
        if (r > XMPP_TINY_CONDITION_UNEXPECTED_REQUEST || (r < 0 && (r != ERR(AGAIN) || !x->out.commit)))
            r = XMPP_TINY_CONDITION_INTERNAL_SERVER_ERROR;
        if (r > 0)
            r = send_error(x, e, (unsigned)r, &absent, true);
        return r == ERR(AGAIN) ? r : 0;
    }
    if (kind == STANZA_MESSAGE) {
        event->kind = XMPP_TINY_EVENT_MESSAGE;
        get_child(&event->subject, e, "subject");
        get_child(&event->body, e, "body");
        get_child(&event->thread, e, "thread");
    } else if (kind == STANZA_PRESENCE) {
        event->kind = XMPP_TINY_EVENT_PRESENCE;
        get_child(&event->show, e, "show");
        get_child(&event->status, e, "status");
        event->priority = priority_of(run_str(child_text(e, "priority", NULL)));
    }
    return tell(x);
}

/* A stanza that was too big to keep. A request gets an error, if all of its first tag is known. */
static int stanza_skipped(struct xmpp_tiny *x, const el *e)
{
    run type = el_attr(e, "type");
    if (el_is(e, "iq", NS_CLIENT) && (run_is(type, "get") || run_is(type, "set")) && el_attr(e, "id") &&
        x->tok.whole && x->state == XMPP_TINY_STATE_ONLINE &&
        send_error(x, e, XMPP_TINY_CONDITION_RESOURCE_CONSTRAINT, &absent, true) == ERR(AGAIN) &&
        x->out.commit)
        return ERR(AGAIN);
    read_common(x, e, XMPP_TINY_EVENT_SKIPPED);
    x->event.size = x->tok.bytes;
    x->event.error.code = ERR(XML_LIMIT);
    tell(x);
    return 0;
}

/* Counts a stanza before it is told, so that it is told once whenever the session is saved. */
static int stanza_unit(struct xmpp_tiny *x, const el *e, bool skipped)
{
    bool counted = counts(x) && (e->at ? stanza_kind(e) >= 0 : skipped);
    int r;
    if (counted) {
        x->link.in++;
        x->link.flags |= L_CHANGED;
    }
    if (counted && x->link.again) {
        x->link.again--;
        return 0;
    }
    r = skipped ? stanza_skipped(x, e) : stanza_take(x, e);
    if (r == ERR(AGAIN) && counted) {
        x->link.in--;
        for (struct xmpp_tiny_save_ *s = x->link.saves; s < x->link.saves + 2; s++)
            if ((int32_t)(s->in - x->link.in) > 0)
                s->in = x->link.in; /* it was saved as if it had been taken */
    }
    return r;
}

/* ==== Room 11: engine =============================================================================
 * The client without I/O: windows, wants, reports; one received element and one slice of key
 * derivation a step; deadlines. */

/* To where the configuration says, or the server that keeps the session, unless that has failed. */
static void connect_begin(struct xmpp_tiny *x)
{
    str place = learnt(x, TEXT_PLACE);
    x->moved = false;
    x->name_len = (uint8_t)domain_ascii(x->tok.buf + 1, &x->jid.domain);
    x->host = x->config->host ? run_str(x->config->host) : domain_name(x);
    x->port = x->config->port;
    if (place.len && resumable(x) && x->link.attempts < 2)
        move(x, place);
    open_begin(x);
}

static enum xmpp_tiny_want want(const struct xmpp_tiny *x)
{
    switch (x->state) {
    case XMPP_TINY_STATE_OFF:
    case XMPP_TINY_STATE_WAIT:
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

/* Forgets what was received, but for the words of an error. */
static void forget_received(struct xmpp_tiny *x)
{
    char *from = x->tok.buf, *end = x->tok.limit + 1;
    const str *words[] = {&x->error.type, &x->error.condition, &x->error.text};
    const char *first = end, *last = end;
    for (size_t i = 0; i < 3; i++) {
        const str *w = words[i];
        if (w->ptr < from || w->ptr >= end)
            continue;
        if (w->ptr < first)
            first = w->ptr;
        if (last == end || w->ptr + w->len > last)
            last = w->ptr + w->len;
    }
    wipe(from, (size_t)(first - from));
    wipe(end - (end - last), (size_t)(end - last));
}

/* The transport is gone. A redirection goes on at once, an error that another attempt may mend after a while;
 * else the last event is CLOSED. */
static void closed(struct xmpp_tiny *x)
{
    struct xmpp_tiny_link_ *l = &x->link;
    bool moved = x->flags & F_REDIRECT, alive;
    bool again = !moved && x->config->keep && !(l->flags & L_ENDING) && x->error.code && retries(x);
    int code = x->error.code;
    enum xmpp_tiny_origin origin = error_origin(code);
    uint16_t unsent;
    uint32_t wait = 0;
    if ((l->flags & L_PIPELINED) && code && origin != XMPP_TINY_ORIGIN_NET && code != ERR(TRUNCATED) &&
        (code != ERR(TIMEOUT) || l->attempts)) {
        l->flags |= L_PATIENT;
        if (!(x->flags & F_AUTHENTICATED) && code != ERR(TIMEOUT))
            unlearn(x, TEXT_TOKEN);
    }
    if (x->flags & F_AUTHENTICATED) {
        bool vain = l->attempts && (origin == XMPP_TINY_ORIGIN_STREAM || origin == XMPP_TINY_ORIGIN_XML);
        if (code == ERR(TIMEOUT))
            l->barren++;
        if (vain)
            out_doubt(x);
        if (vain || l->barren >= BARREN_MAX)
            unlearn(x, TEXT_SESSION); /* it does not get far with what was resumed */
    }
    alive = resumable(x) && (!(l->flags & L_ENDING) || (l->flags & L_SUSPEND));
    l->flags &= ~(L_PIPELINED | L_ASKED | L_COVERS | L_ASK | L_TOLD | L_COUNTS | L_OWES);
    x->flags &= F_ROOM;
    x->held = 0;
    x->moved = moved;
    wipe(&x->sasl, sizeof x->sasl);
    out_rewind(x);
    unsent = u16(alive || queue_size(x) == 0 ? out_count(x, ENTRY_STANZA) : 0);
    if (!moved)
        forget_received(x);
    if (!alive)
        session_over(x, queue_size(x) == 0 || (!moved && !again));
    if ((moved || again) && (l->flags & L_ENDING)) { /* the application has had enough */
        moved = again = x->moved = false;
        if (!alive)
            session_over(x, true);
        forget_received(x);
    }
    if (again)
        wait = retry_wait(x);
    if (l->attempts < UINT8_MAX)
        l->attempts++;
    if (moved) {
        open_begin(x);
        return;
    }
    if (again) {
        x->redirects = 0;
        set_state(x, XMPP_TINY_STATE_WAIT);
        x->deadline = after(x, wait ? wait : 1);
        event_begin(x, XMPP_TINY_EVENT_DISCONNECTED)->wait = wait;
        x->event.error = x->error;
        tell(x);
        return;
    }
    if (l->flags & L_SUSPEND)
        requests_expire(x, 0, ERR(LOST));
    set_state(x, XMPP_TINY_STATE_OFF);
    event_begin(x, XMPP_TINY_EVENT_CLOSED)->unsent = unsent;
    tell(x);
    l->flags &= ~(L_ENDING | L_SUSPEND);
}

/* The transport failed, or ended. */
static void broken(struct xmpp_tiny *x, int err, const char *detail)
{
    x->flags |= F_BROKEN;
    if (x->state == XMPP_TINY_STATE_SECURE)
        unlearn(x, TEXT_TLS);
    if (x->state == XMPP_TINY_STATE_CLOSE)
        set_state(x, XMPP_TINY_STATE_SHUT); /* the session had ended */
    if (x->state == XMPP_TINY_STATE_SHUT)
        return;
    get(&x->error.text, detail);
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

static APART void received(struct xmpp_tiny *x, size_t len)
{
    bool secret = false; /* an error may come with what it is about */
    for (size_t i = 0; i < XMPP_TINY_MAX_REQUESTS; i++)
        secret |= x->requests[i].number && x->requests[i].secret;
    x->link.heard = now(x);
    trace(x, '<', x->tok.end, len, secret);
    tok_fed(&x->tok, len);
}

static uint16_t port_of(const struct xmpp_tiny *x)
{
    return x->port ? x->port : x->config->tls == XMPP_TINY_TLS_DIRECT ? 5223 : 5222;
}

/* Nothing is read into a step's hands before the last is out of them, nor once the stream is over. */
static char *rx_window(struct xmpp_tiny *x, size_t *room)
{
    *room = 0;
    if (want(x) != XMPP_TINY_WANT_IO || x->state == XMPP_TINY_STATE_SHUT ||
        x->state == XMPP_TINY_STATE_KEYS || x->held || x->tok.state == S_POP)
        return NULL;
    return tok_window(&x->tok, room);
}

static void sent(struct xmpp_tiny *x, size_t len)
{
    uint16_t next = x->out.next;
    out_sent(x, len);
    x->link.spoke = now(x);
    x->write_deadline = after(x, 0);
    if (x->out.next != next && x->state == XMPP_TINY_STATE_ONLINE && !(x->link.flags & L_ASKED) &&
        queue_size(x) && !out_pending(x))
        ask(x); /* the question what has arrived goes along with the last stanza */
}

/* Takes what the tokenizer found to the room it belongs to. */
static APART int dispatch(struct xmpp_tiny *x, int found)
{
    bool stanzas = x->state == XMPP_TINY_STATE_ONLINE || x->state == XMPP_TINY_STATE_CLOSE;
    el e = tok_unit(&x->tok);
    switch (found) {
    case TOK_HEADER:
        return stream_header(x);
    case TOK_OPEN:
        if ((x->state == XMPP_TINY_STATE_FEATURES || (x->flags & F_AUTHENTICATED)) && x->tok.level == 1 &&
            el_is(&e, "features", NS_STREAMS))
            tok_enter(&x->tok);
        return 0;
    case TOK_LEFT:
        return stream_features(x);
    case TOK_UNIT:
        if (x->tok.level > 1)
            return stream_feature(x, &e, false);
        if (el_is(&e, "error", NS_STREAMS))
            return stream_error(x, &e);
        return stanzas ? stanza_unit(x, &e, false) : stream_unit(x, &e);
    case TOK_SKIPPED:
        if (x->tok.level > 1)
            return stream_feature(x, &e, true);
        return stanzas ? stanza_unit(x, &e, true) : ERR(XML_LIMIT);
    case TOK_END:
        if (x->state != XMPP_TINY_STATE_CLOSE)
            return ERR(CLOSED);
        if (!counts(x)) /* it has read what came before our own end */
            session_acked(x, out_count(x, ENTRY_STANZA | ENTRY_SENT));
        set_state(x, XMPP_TINY_STATE_SHUT);
        return 0;
    default:
        return found;
    }
}

/* One element, or one slice of key derivation. Returns true if there may be more to do at once. */
static bool work(struct xmpp_tiny *x)
{
    int found, err;
    if (x->state == XMPP_TINY_STATE_KEYS) {
        if (scram_keys_step(&x->sasl, x->config)) {
            err = sasl_derived(x);
            if (err)
                fail(x, err);
        }
        return true;
    }
    if (want(x) != XMPP_TINY_WANT_IO || x->state == XMPP_TINY_STATE_SHUT || (x->held && out_pending(x)))
        return false;
    if (x->held && x->out.commit && x->out.commit >= x->link.used && !(queue_size(x) && out_strip(x)))
        return false;
    found = x->held ? x->held : tok_next(&x->tok);
    x->held = 0;
    if (found == TOK_MORE)
        return false;
    err = dispatch(x, found);
    x->link.used = u16(x->out.commit);
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

/* The clock of a session that is on line: the answer to what we asked, the silence of either side, and what
 * has not been acknowledged. True if something was done. */
static bool link_due(struct xmpp_tiny *x, uint32_t at, uint32_t *wait)
{
    struct xmpp_tiny_link_ *l = &x->link;
    if (l->flags & L_ASKED) {
        if (due(x->deadline, at, wait)) {
            link_died(x);
            broken(x, ERR(TIMEOUT), "the server does not answer");
            return true;
        }
    } else if (x->config->ping_ms != XMPP_TINY_FOREVER && due(l->heard + l->ping_ms, at, wait)) {
        l->flags |= L_ASK;
        return true;
    }
    if (l->space_ms && x->config->space_ms != XMPP_TINY_FOREVER && !out_pending(x) &&
        due(l->spoke + l->space_ms, at, wait)) {
        own_text(x, " ");
        commit(x);
        l->spoke = at;
        return true;
    }
    return !(l->flags & L_ASKED) && queue_size(x) && x->out.next && due(l->ask_at, at, wait);
}

/* more: what has arrived comes first, before it is missed. */
static uint32_t deadlines(struct xmpp_tiny *x, bool more)
{
    uint32_t at = now(x), wait = XMPP_TINY_FOREVER;
    bool waits = x->state != XMPP_TINY_STATE_OFF && x->state != XMPP_TINY_STATE_KEYS &&
                 x->state != XMPP_TINY_STATE_ONLINE;
    if (x->flags & F_BROKEN)
        return 0; /* to be closed now */
    if (waits && due(x->deadline, at, &wait)) {
        if (x->state == XMPP_TINY_STATE_WAIT)
            connect_begin(x);
        else if (x->state == XMPP_TINY_STATE_CLOSE)
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
    if (x->state == XMPP_TINY_STATE_ONLINE && !more && link_due(x, at, &wait))
        return 0;
    if (x->state == XMPP_TINY_STATE_OFF || x->held) /* what is held may be the answer */
        return wait;
    for (size_t i = 0; i < XMPP_TINY_MAX_REQUESTS; i++)
        if (x->requests[i].number && due(x->requests[i].deadline, at, &wait)) {
            requests_expire(x, at, ERR(TIMEOUT));
            return 0;
        }
    return wait;
}

static uint32_t step(struct xmpp_tiny *x)
{
    bool more;
    uint16_t commit;
    uint32_t wait;
    x->out.flags = 0; /* what the application began and did not send */
    more = work(x);
    if ((x->flags & F_ROOM) && !out_pending(x) && !x->held && x->state == XMPP_TINY_STATE_ONLINE &&
        x->out.commit <= out_room(x) / 2) {
        x->flags &= (uint8_t)~F_ROOM;
        tell_kind(x, XMPP_TINY_EVENT_ROOM);
        more = true;
    }
    commit = x->out.commit;
    link_company(x);
    more |= x->out.commit != commit;
    wait = deadlines(x, more);
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
    size_t room, due_len;
    char *window, *from;
    int n;
    for (int i = 0; i < PUMP_ROUNDS; i++) { /* what belongs together leaves together */
        from = out_window(x, &due_len);
        if (due_len == 0)
            break;
        n = s->ops->write(s, from, due_len);
        if (n <= 0 || (size_t)n > due_len) {
            moved |= pump_report(x, XMPP_TINY_WANT_IO, n < 0 ? n : XMPP_TINY_IO_FAILED);
            break;
        }
        sent(x, (size_t)n);
        moved = true;
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
    } else if (!x->held && x->state != XMPP_TINY_STATE_SHUT) {
        moved = true; /* nothing was asked: a step uses up what is there first */
    }
    return moved;
}

static APART bool pump(struct xmpp_tiny *x)
{
    struct xmpp_tiny_stream *s = x->config->stream;
    enum xmpp_tiny_want what = want(x);
    switch (what) {
    case XMPP_TINY_WANT_OPEN:
        return pump_report(x, what, s->ops->open(s, x->host, port_of(x)));
    case XMPP_TINY_WANT_SECURE:
        return pump_report(x, what, s->ops->secure(s, domain_name(x)));
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
    uint32_t wait;
    x->out.flags = 0; /* what the application began and did not send */
    link_company(x);
    for (int i = 0; i < PUMP_ROUNDS; i++) {
        bool moved = pump(x);
        bool derived = x->state == XMPP_TINY_STATE_KEYS;
        wait = step(x);
        if (x->state == XMPP_TINY_STATE_OFF)
            return XMPP_TINY_FOREVER;
        if (!moved && wait)
            return wait;
        if (derived)
            break;
    }
    return 0;
}

/* ==== Room 13: hall ===============================================================================
 * The public functions: check, call the inner twin, return. */

str xmpp_tiny_str(const char *text)
{
    return slice(text, text ? strlen(text) : 0);
}

bool xmpp_tiny_same(str a, str b)
{
    return same(&a, &b);
}

#if XMPP_TINY_ENABLE_NAMES
#define NAME_OR_EMPTY(text) text
#else
#define NAME_OR_EMPTY(text) ""
#endif

static const char error_names[] = "OK\0"
#define XMPP_TINY_X(name, origin, text, condition) NAME_OR_EMPTY(#name) "\0"
    XMPP_TINY_ERRORS(XMPP_TINY_X)
#undef XMPP_TINY_X
    ;
const char *xmpp_tiny_err_name(int err)
{
    return nth(error_names, error_row(err));
}

const char *xmpp_tiny_err_text(int err)
{
#if XMPP_TINY_ENABLE_NAMES > 1
    static const char texts[] = "no error\0"
#define XMPP_TINY_X(name, origin, text, condition) text "\0"
        XMPP_TINY_ERRORS(XMPP_TINY_X)
#undef XMPP_TINY_X
        ;
    return nth(texts, error_row(err));
#else
    (void)err;
    return "";
#endif
}

enum xmpp_tiny_origin xmpp_tiny_err_origin(int err)
{
    return error_origin(err);
}

bool xmpp_tiny_found(el e)
{
    return e.at != 0;
}

str xmpp_tiny_name(el e)
{
    return run_str(el_name(&e));
}

str xmpp_tiny_ns(el e)
{
    return run_str(el_ns(&e));
}

bool xmpp_tiny_is(el e, const char *name, const char *ns)
{
    return el_is(&e, name, ns ? ns : NS_CLIENT);
}

el xmpp_tiny_child(el parent, const char *name, const char *ns)
{
    el e;
    el_child(&parent, name, ns, &e);
    return e;
}

el xmpp_tiny_next(el e, const char *name, const char *ns)
{
    el_next(&e, name, ns);
    return e;
}

str xmpp_tiny_attr(el e, const char *name)
{
    return run_str(el_attr(&e, name));
}

bool xmpp_tiny_attr_next(el e, uint16_t *iter, str *name, str *ns, str *value)
{
    const char *a;
    if (e.at == 0)
        return false;
    a = *iter ? attr_next(e.buf + *iter) : attr_first(e.buf + e.at);
    while (*a == C_XMLNS)
        a = attr_next(a);
    if (*a == C_BODY)
        return false;
    *iter = u16((size_t)(a - e.buf));
    get(name, name_of(a));
    get(ns, *a == C_ATTR_NS ? ref_run(e.buf, a + 1) : "");
    get(value, attr_value(a));
    return true;
}

str xmpp_tiny_text(el e)
{
    return run_str(el_text(&e));
}

str xmpp_tiny_text_after(el e)
{
    return run_str(e.at ? el_end(&e) : NULL);
}

int xmpp_tiny_jid_parse(str text, struct xmpp_tiny_jid *jid)
{
    return jid_parse(&text, jid) ? 0 : ERR(ARGUMENT);
}

bool xmpp_tiny_jid_same(str a, str b)
{
    return jid_same(&a, &b, false);
}

bool xmpp_tiny_jid_same_bare(str a, str b)
{
    return jid_same(&a, &b, true);
}

static bool in_range(size_t value, size_t min, size_t max)
{
    return value >= min && value <= max;
}

static bool handlers_ok(const struct xmpp_tiny_config *c)
{
    for (size_t i = 0; i < c->handler_count; i++)
        if (c->handlers == NULL || c->handlers[i].ns == NULL || c->handlers[i].fn == NULL)
            return false;
    return true;
}

/* A stream without TLS cannot carry a client. */
static bool config_ok(const struct xmpp_tiny_config *c, struct xmpp_tiny_jid *jid)
{
    const uint32_t local = SCRAM_ALL | XMPP_TINY_ALLOW(PLAIN) | XMPP_TINY_ALLOW(EXTERNAL);
    const uint32_t secretless = XMPP_TINY_ALLOW(EXTERNAL) | XMPP_TINY_ALLOW(ANONYMOUS);
    str text = xmpp_tiny_str(c ? c->jid : NULL);
    return jid_parse(&text, jid) && c->event && c->stream && c->stream->ops && c->stream->ops->secure &&
           c->platform && c->platform->now_ms && c->platform->random && c->crypto && c->rx && c->tx &&
           in_range(c->rx_size, XMPP_TINY_RX_MIN, XMPP_TINY_RX_MAX) &&
           in_range(c->tx_size, XMPP_TINY_TX_MIN, XMPP_TINY_TX_MAX) &&
           (c->queue_size == 0 || (XMPP_TINY_ENABLE_SESSIONS && in_range(c->queue_size, XMPP_TINY_QUEUE_MIN,
                                                                         c->tx_size - XMPP_TINY_TX_MIN))) &&
           (c->timeout_ms == 0 || in_range(c->timeout_ms, 1000, 600000)) &&
           (c->ping_ms == XMPP_TINY_FOREVER || c->ping_ms <= INT32_MAX) &&
           (c->space_ms == XMPP_TINY_FOREVER || c->space_ms <= INT32_MAX) &&
           (c->iterations_max == 0 || in_range(c->iterations_max, ITERATIONS_MIN, INT32_MAX)) &&
           handlers_ok(c) && (c->mechanisms >> MECHANISM_COUNT) == 0 &&
           (jid->local.ptr || (c->mechanisms && !(c->mechanisms & local))) &&
           (c->password || c->saved || (c->mechanisms & secretless)) &&
           (!c->create_account || (XMPP_TINY_ENABLE_REGISTER && c->password && jid->local.ptr));
}

int xmpp_tiny_init(struct xmpp_tiny *x, const struct xmpp_tiny_config *config)
{
    struct xmpp_tiny_jid jid;
    str bare;
    if (x == NULL || !config_ok(config, &jid))
        return ERR(CONFIG);
    memset(x, 0, sizeof *x);
    x->config = config;
    x->jid = jid;
    bare = own_bare(x);
    x->account = jid_digest(&bare);
    x->out.buf = (char *)config->tx;
    x->out.size = u16(config->tx_size);
    if (config->saved && known(x)) {
        unlearn(x, TEXT_SESSION); /* its stanzas are not here: xmpp_tiny_load() brings both */
        unlearn(x, TEXT_JID);
    }
    tok_init(&x->tok, config->rx, config->rx_size);
    return domain_ascii(x->tok.buf + 1, &jid.domain) < 0 ? ERR(CONFIG) : 0;
}

int xmpp_tiny_connect(struct xmpp_tiny *x)
{
    if (x->config == NULL || x->state > XMPP_TINY_STATE_WAIT || (x->flags & F_BUSY))
        return ERR(STATE);
    x->redirects = 0;
    connect_begin(x);
    return 0;
}

uint32_t xmpp_tiny_poll(struct xmpp_tiny *x)
{
    return x->config == NULL ? XMPP_TINY_FOREVER : x->flags & F_BUSY ? 0 : poll(x);
}

/* Ends the connection, and with it the session, or not. */
static int depart(struct xmpp_tiny *x, uint32_t how)
{
    bool online = x->state == XMPP_TINY_STATE_ONLINE;
    struct xmpp_tiny_link_ *l = &x->link;
    if (x->state == XMPP_TINY_STATE_OFF)
        return ERR(STATE);
    x->flags &= (uint8_t)~F_REDIRECT;
    if (x->state >= XMPP_TINY_STATE_CLOSE) {
        if (!(l->flags & L_ENDING))
            l->flags |= how; /* what was wanted first counts */
        return 0;
    }
    if (online && counts(x) && !(how & L_SUSPEND) &&
        out_count(x, ENTRY_STANZA) > (l->flags & L_ASKED ? l->covered : 0U))
        ask(x);
    l->flags |= how;
    if (online && counts(x))
        acknowledge(x);
    if ((how & L_SUSPEND) || x->state == XMPP_TINY_STATE_WAIT) {
        if (x->state < XMPP_TINY_STATE_HEADER)
            x->flags |= F_BROKEN; /* there is nothing to end in order */
        set_state(x, XMPP_TINY_STATE_SHUT);
        return 0;
    }
    stream_close(x, 0, online ? XMPP_TINY_STATE_CLOSE : XMPP_TINY_STATE_SHUT);
    return 0;
}

int xmpp_tiny_disconnect(struct xmpp_tiny *x)
{
    return depart(x, L_ENDING);
}

int xmpp_tiny_suspend(struct xmpp_tiny *x)
{
    return depart(x, resumable(x) ? L_ENDING | L_SUSPEND : L_ENDING);
}

int xmpp_tiny_save(struct xmpp_tiny *x, void *blob, size_t size)
{
    return x->config && x->config->saved ? session_save(x, (uint8_t *)blob, size) : ERR(STATE);
}

int xmpp_tiny_load(struct xmpp_tiny *x, const void *blob, size_t len)
{
    if (x->config == NULL || x->config->saved == NULL || x->state != XMPP_TINY_STATE_OFF || x->out.commit)
        return ERR(STATE);
    return session_load(x, (const uint8_t *)blob, len);
}

bool xmpp_tiny_changed(const struct xmpp_tiny *x)
{
    return x->link.flags & L_CHANGED;
}

void xmpp_tiny_forget(struct xmpp_tiny *x)
{
    x->link.flags |= L_FORGET;
}

void xmpp_tiny_active(struct xmpp_tiny *x, bool active)
{
    x->link.flags = active ? x->link.flags & ~L_INACTIVE : x->link.flags | L_INACTIVE;
}

void xmpp_tiny_tag(struct xmpp_tiny *x, uint32_t tag)
{
    x->out.tag = tag;
}

enum xmpp_tiny_state xmpp_tiny_state(const struct xmpp_tiny *x)
{
    return (enum xmpp_tiny_state)x->state;
}

const char *xmpp_tiny_state_name(enum xmpp_tiny_state state)
{
    static const char names[] =
#define XMPP_TINY_X(name) NAME_OR_EMPTY(#name) "\0"
        XMPP_TINY_STATES(XMPP_TINY_X)
#undef XMPP_TINY_X
        ;
    return (unsigned)state <= XMPP_TINY_STATE_SHUT ? nth(names, state) : "";
}

const char *xmpp_tiny_event_name(enum xmpp_tiny_event_kind kind)
{
    static const char names[] =
#define XMPP_TINY_X(name) NAME_OR_EMPTY(#name) "\0"
        XMPP_TINY_EVENTS(XMPP_TINY_X)
#undef XMPP_TINY_X
        ;
    return (unsigned)kind <= XMPP_TINY_EVENT_CLOSED ? nth(names, kind) : "";
}

const struct xmpp_tiny_error *xmpp_tiny_error(const struct xmpp_tiny *x)
{
    return &x->error;
}

str xmpp_tiny_jid(const struct xmpp_tiny *x)
{
    return (x->link.flags & L_SESSION) && x->state >= XMPP_TINY_STATE_ONLINE ? own_full(x) : absent;
}

int xmpp_tiny_security(struct xmpp_tiny *x, struct xmpp_tiny_security *security)
{
    if (!(x->flags & F_TLS))
        return ERR(STATE);
    tls_security(x, security);
    if (security->trust == XMPP_TINY_TRUST_FIRST_USE && !x->first_use)
        security->trust = XMPP_TINY_TRUST_PIN;
    security->authenticated = x->flags & F_AUTHENTICATED;
    if (security->authenticated) {
        security->via = (enum xmpp_tiny_via)x->sasl.via;
        security->mechanism = (enum xmpp_tiny_mechanism)x->sasl.mechanism;
        security->binding = (enum xmpp_tiny_binding)x->sasl.binding;
    }
    return 0;
}

const char *xmpp_tiny_mechanism_name(enum xmpp_tiny_mechanism m)
{
    return (unsigned)m < MECHANISM_COUNT ? nth(mechanism_names, m) : "";
}

int xmpp_tiny_mechanism_number(const char *name)
{
    return mechanism_number(name);
}

int xmpp_tiny_message(struct xmpp_tiny *x, const struct xmpp_tiny_message *m)
{
    stanza_begin(x, "message", &m->to, &m->type, &m->id);
    out_element(x, "subject", NULL, &m->subject);
    out_element(x, "body", NULL, &m->body);
    out_element(x, "thread", NULL, &m->thread);
    return stanza_send(x);
}

int xmpp_tiny_presence(struct xmpp_tiny *x, const struct xmpp_tiny_presence *p)
{
    char text[11];
    str n = digits((uint32_t)(p->priority < 0 ? -p->priority : p->priority), text + 1), priority = absent;
    if (p->priority > 0)
        priority = n;
    if (p->priority < 0) {
        text[10 - n.len] = '-';
        priority = slice(n.ptr - 1, n.len + 1);
    }
    stanza_begin(x, "presence", &p->to, &p->type, &p->id);
    out_element(x, "show", NULL, &p->show);
    out_element(x, "status", NULL, &p->status);
    out_element(x, "priority", NULL, &priority);
    return stanza_send(x);
}

int xmpp_tiny_ping(struct xmpp_tiny *x, str to, uint32_t timeout)
{
    request_begin(x, "get", to.ptr ? &to : &x->jid.domain, timeout);
    out_start(x, "ping", NS_PING);
    return stanza_send(x);
}

int xmpp_tiny_change_password(struct xmpp_tiny *x, str password, uint32_t timeout)
{
    if (!XMPP_TINY_ENABLE_REGISTER || password.len == 0 || x->jid.local.ptr == NULL)
        return ERR(ARGUMENT);
    if (x->state == XMPP_TINY_STATE_ONLINE && x->first_use && x->sasl.binding == XMPP_TINY_BINDING_NONE)
        return ERR(CERT_UNTRUSTED);
    request_begin(x, "set", &x->jid.domain, timeout);
    put_account(x, &password);
    return stanza_send(x);
}

int xmpp_tiny_reject(struct xmpp_tiny *x, el stanza, enum xmpp_tiny_condition condition, str text)
{
    if (condition <= XMPP_TINY_CONDITION_NONE_ || condition > XMPP_TINY_CONDITION_UNEXPECTED_REQUEST)
        return ERR(ARGUMENT);
    return send_error(x, &stanza, (unsigned)condition, &text, false);
}

void xmpp_tiny_begin(struct xmpp_tiny *x, const char *name, str to, str type, str id)
{
    stanza_begin(x, name, &to, &type, &id);
}

void xmpp_tiny_begin_request(struct xmpp_tiny *x, const char *type, str to, uint32_t timeout)
{
    request_begin(x, type, &to, timeout);
}

void xmpp_tiny_begin_result(struct xmpp_tiny *x, el iq)
{
    reply_begin(x, &iq, "iq", "result");
}

void xmpp_tiny_put_start(struct xmpp_tiny *x, const char *name, const char *ns)
{
    out_start(x, name, ns);
}

void xmpp_tiny_put_attr(struct xmpp_tiny *x, const char *name, str value)
{
    out_attr(x, name, &value);
}

void xmpp_tiny_put_text(struct xmpp_tiny *x, str text)
{
    out_text(x, &text);
}

void xmpp_tiny_put_base64(struct xmpp_tiny *x, const void *data, size_t len)
{
    out_base64(x, data, len);
    out_base64_end(x);
}

void xmpp_tiny_put_end(struct xmpp_tiny *x)
{
    out_end(x);
}

void xmpp_tiny_put_raw(struct xmpp_tiny *x, str xml)
{
    out_close_tag(x);
    if (!xml_text(xml))
        out_fail(x, ERR(TEXT));
    out_bytes(x, xml.ptr, xml.len);
}

void xmpp_tiny_put_element(struct xmpp_tiny *x, const char *name, const char *ns, str text)
{
    out_element(x, name, ns, &text);
}

int xmpp_tiny_send(struct xmpp_tiny *x)
{
    return stanza_send(x);
}

int xmpp_tiny_send_raw(struct xmpp_tiny *x, str stanza)
{
    stanza_open(x, stanza.len > 3 && memcmp(stanza.ptr, "<iq", 3) == 0);
    xmpp_tiny_put_raw(x, stanza);
    return stanza_send(x);
}

enum xmpp_tiny_want xmpp_tiny_want(const struct xmpp_tiny *x)
{
    return want(x);
}

void xmpp_tiny_report(struct xmpp_tiny *x, enum xmpp_tiny_want what, int result, int err, const char *detail)
{
    if (!(x->flags & F_BUSY))
        report(x, what, result, err, detail);
}

str xmpp_tiny_host(const struct xmpp_tiny *x, uint16_t *port)
{
    *port = port_of(x);
    return x->host;
}

str xmpp_tiny_domain(const struct xmpp_tiny *x)
{
    return domain_name(x);
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
    const char *window = out_window(x, len);
    if (want(x) != XMPP_TINY_WANT_IO)
        *len = 0;
    return window;
}

void xmpp_tiny_sent(struct xmpp_tiny *x, size_t len)
{
    sent(x, len);
}

uint32_t xmpp_tiny_step(struct xmpp_tiny *x)
{
    return x->flags & F_BUSY ? 0 : step(x);
}
