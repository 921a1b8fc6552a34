/* SPDX-License-Identifier: MIT
 *
 * JIDs [RFC7622]: what is one, how it splits, which are the same. Tables 1 and 2 of RFC 7622 3.5 are
 * copied below with their numbers. ASCII is handled in full; what needs Unicode's tables is listed
 * apart, with what we do about it. */
#include "../../xmpp_tiny.c"

#include "check.h"

#include <stdlib.h>

struct sample {
    int line;
    const char *jid;
    const char *local, *domain, *resource; /* domain NULL: not a JID */
};

/* The copy has no NUL behind it, so that the sanitizer sees a read past the end. */
static int split(const char *text, size_t len, struct xmpp_tiny_jid *jid)
{
    static char *copy;
    free(copy);
    copy = (char *)malloc(len ? len : 1);
    if (copy == NULL)
        exit(1);
    memcpy(copy, text, len);
    return xmpp_tiny_jid_parse((struct xmpp_tiny_str){copy, len}, jid);
}

static void check_sample(const struct sample *s)
{
    struct xmpp_tiny_jid jid;
    int err = split(s->jid, strlen(s->jid), &jid);
    check_int(err, s->domain ? 0 : XMPP_TINY_ERR_ARGUMENT, __FILE__, s->line, s->jid);
    if (s->domain == NULL || err)
        return;
    check_slice(jid.local, s->local, __FILE__, s->line, "local");
    check_slice(jid.domain, s->domain, __FILE__, s->line, "domain");
    check_slice(jid.resource, s->resource, __FILE__, s->line, "resource");
}

#define JID(text, local, domain, resource) \
    { \
        __LINE__, text, local, domain, resource \
    }
#define BAD(text) \
    { \
        __LINE__, text, NULL, NULL, NULL \
    }

/* [RFC7622 3.5] tables 1 and 2, in their order */
static const struct sample vectors[] = {
    JID("juliet@example.com", "juliet", "example.com", NULL),
    JID("juliet@example.com/foo", "juliet", "example.com", "foo"),
    JID("juliet@example.com/foo bar", "juliet", "example.com", "foo bar"),
    JID("juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar"),
    JID("foo\\20bar@example.com", "foo\\20bar", "example.com", NULL),
    JID("fussball@example.com", "fussball", "example.com", NULL),
    JID("fu\xC3\x9F"
        "ball@example.com",
        "fu\xC3\x9F"
        "ball",
        "example.com", NULL),
    JID("\xCF\x80@example.com", "\xCF\x80", "example.com", NULL),
    JID("\xCE\xA3@example.com/foo", "\xCE\xA3", "example.com", "foo"),
    JID("\xCF\x83@example.com/foo", "\xCF\x83", "example.com", "foo"),
    JID("\xCF\x82@example.com/foo", "\xCF\x82", "example.com", "foo"),
    JID("king@example.com/\xE2\x99\x9A", "king", "example.com", "\xE2\x99\x9A"),
    JID("example.com", NULL, "example.com", NULL),
    JID("example.com/foobar", NULL, "example.com", "foobar"),
    JID("a.example.com/b@example.net", NULL, "a.example.com", "b@example.net"),
    BAD("\"juliet\"@example.com"),
    BAD("foo bar@example.com"),
    BAD("juliet@example.com/ foo"),
    BAD("@example.com/"),
    /* 20 and 21 are below */
    BAD("juliet@"),
    BAD("/foobar"),
};

/* Vectors 20 and 21 are not JIDs because of what Unicode says of their characters. We have no tables:
 * characters beyond ASCII pass as they are. */
static const struct sample passed_through[] = {
    JID("henry\xE2\x85\xA3@example.com", "henry\xE2\x85\xA3", "example.com", NULL),
    JID("\xE2\x99\x9A@example.com", "\xE2\x99\x9A", "example.com", NULL),
};

static const struct sample more[] = {
    /* separators [RFC7622 3.2]: the first '/', then the first '@' before it */
    JID("a@b/c/d", "a", "b", "c/d"),
    JID("a@b/@", "a", "b", "@"),
    JID("b/a@b/c", NULL, "b", "a@b/c"),
    JID("b//", NULL, "b", "/"),
    BAD(""),
    BAD("@"),
    BAD("/"),
    BAD("@/"),
    BAD("a@"),
    BAD("@b"),
    BAD("a@/c"),
    BAD("a@b/"),
    BAD("b/"),
    BAD("a@b@c"),
    BAD("a@@b"),
    /* local part [RFC7622 3.3.1] */
    JID("!#$%()*+,-.;=?[\\]^_`{|}~09AZaz@b", "!#$%()*+,-.;=?[\\]^_`{|}~09AZaz", "b", NULL),
    BAD("a\"@b"),
    BAD("a&@b"),
    BAD("a'@b"),
    BAD("a:@b"),
    BAD("a<@b"),
    BAD("a>@b"),
    BAD(" a@b"),
    BAD("a\t@b"),
    BAD("a\x7F@b"),
    BAD("a\x01@b"),
    /* domain */
    JID("EXAMPLE.com", NULL, "EXAMPLE.com", NULL),
    JID("a-b.c-d", NULL, "a-b.c-d", NULL),
    JID("xn--bcher-kva.example", NULL, "xn--bcher-kva.example", NULL),
    JID("b\xC3\xBC"
        "cher.example",
        NULL,
        "b\xC3\xBC"
        "cher.example",
        NULL),
    JID("3com.example", NULL, "3com.example", NULL),
    JID("localhost", NULL, "localhost", NULL),
    JID("192.0.2.1", NULL, "192.0.2.1", NULL),
    JID("example.com.", NULL, "example.com", NULL),
    JID("a@example.com./c", "a", "example.com", "c"),
    BAD("example.com.."),
    BAD("."),
    BAD(".."),
    BAD(".example.com"),
    BAD("example..com"),
    BAD("-a.example"),
    BAD("a-.example"),
    BAD("example.-"),
    BAD("exa_mple.com"),
    BAD("exa mple.com"),
    BAD("example.com "),
    BAD("example.com:5222"),
    BAD("exam\x7Fple"),
    BAD("exa%6Dple"),
    BAD("a@exam\"ple"),
    /* IP literals */
    JID("[::1]", NULL, "[::1]", NULL),
    JID("a@[2001:db8::1]/c", "a", "[2001:db8::1]", "c"),
    JID("[::ffff:192.0.2.1]", NULL, "[::ffff:192.0.2.1]", NULL),
    JID("[2001:DB8::A]", NULL, "[2001:DB8::A]", NULL),
    BAD("[]"),
    BAD("[::1"),
    BAD("::1]"),
    BAD("::1"),
    BAD("2001:db8::1"),
    BAD("[::1]x"),
    BAD("[::g]"),
    BAD("[::1]:5222"),
    BAD("[[::1]]"),
    BAD("[example.com]"),
    /* a zone identifier [RFC6874] names an interface of one machine: no address for others */
    BAD("[fe80::1%25eth0]"),
    /* resource */
    JID("b/x!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ x", NULL, "b", "x!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ x"),
    BAD("b/a\tc"),
    BAD("b/a\nc"),
    BAD("b/a\x7F"),
    BAD("b/\x1F"),
    /* UTF-8 */
    BAD("a\xC3@b"),
    BAD("a@b/\xC3"),
    BAD("a@b\xFF"),
    BAD("\xED\xA0\x80@b"),
    BAD("\xC0\xAF@b"),
    BAD("a@b/\xEF\xBF\xBF"),
};

static void test_samples(void)
{
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check_sample(&vectors[i]);
    for (size_t i = 0; i < sizeof passed_through / sizeof *passed_through; i++)
        check_sample(&passed_through[i]);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        check_sample(&more[i]);
}

static void test_absent(void)
{
    struct xmpp_tiny_jid jid;
    CHECK_INT(xmpp_tiny_jid_parse((struct xmpp_tiny_str){NULL, 0}, &jid), XMPP_TINY_ERR_ARGUMENT);
    CHECK_INT(split("a\0@b", 4, &jid), XMPP_TINY_ERR_ARGUMENT);
    CHECK_INT(split("a@b\0", 4, &jid), XMPP_TINY_ERR_ARGUMENT);
    CHECK_INT(split("b/\0", 3, &jid), XMPP_TINY_ERR_ARGUMENT);
}

/* Which ASCII characters may stand where: [RFC7622 3.3, 3.3.1], letters, digits and hyphens, [3.4]. */
static void test_every_byte(void)
{
    for (unsigned c = 1; c < 0x80; c++) {
        struct xmpp_tiny_jid jid;
        char local[] = "x?x@b", domain[] = "a@x?x", resource[] = "b/x?x";
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool seen = c > ' ' && c < 0x7F;
        local[1] = domain[3] = resource[3] = (char)c;
        /* '/' and '@' in the local part split elsewhere */
        if (c != '/' && c != '@')
            CHECK_INT(split(local, 5, &jid) == 0, seen && !strchr("\"&':<>", (int)c));
        if (c != '/')
            CHECK_INT(split(domain, 5, &jid) == 0, alnum || c == '-' || c == '.');
        CHECK_INT(split(resource, 5, &jid) == 0, seen || c == ' ');
    }
}

/* [RFC7622 3.1]: each part 1..1023 bytes, 3071 together; labels at most 63 [RFC1034 3.1]. */
static void test_limits(void)
{
    static char text[4096];
    struct xmpp_tiny_jid jid;
    static const struct {
        size_t local, domain, resource;
        bool good;
    } rows[] = {
        {1023, 1023, 1023, true}, {1024, 1, 1, false}, {1, 1024, 1, false}, {1, 1, 1024, false},
        {1023, 1, 1, true},       {1, 1023, 1, true},  {1, 1, 1023, true},  {1, 1, 1, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = 0;
        memset(text, 'a', sizeof text);
        len += rows[i].local;
        text[len++] = '@';
        for (size_t k = 60; k < rows[i].domain; k += 61)
            text[len + k] = '.';
        len += rows[i].domain;
        text[len++] = '/';
        len += rows[i].resource;
        CHECK_INT(split(text, len, &jid), rows[i].good ? 0 : XMPP_TINY_ERR_ARGUMENT);
        if (!rows[i].good)
            continue;
        CHECK_INT(jid.local.len, rows[i].local);
        CHECK_INT(jid.domain.len, rows[i].domain);
        CHECK_INT(jid.resource.len, rows[i].resource);
    }
    CHECK_INT(1023 + 1 + 1023 + 1 + 1023, XMPP_TINY_JID_MAX);
    memset(text, 'a', sizeof text);
    CHECK_INT(split(text, 63, &jid), 0);
    CHECK_INT(split(text, 64, &jid), XMPP_TINY_ERR_ARGUMENT);
    text[63] = '.'; /* the trailing dot is not part of it */
    CHECK_INT(split(text, 64, &jid), 0);
    CHECK_INT(jid.domain.len, 63);
}

static void test_same(void)
{
    static const struct {
        int line;
        const char *a, *b;
        bool same, bare;
    } rows[] = {
#define ROW(a, b, same, bare) {__LINE__, a, b, same, bare}
        ROW("a@b/c", "a@b/c", true, true),
        ROW("a@b", "a@b", true, true),
        ROW("b", "b", true, true),
        ROW("A@B/c", "a@b/c", true, true),
        ROW("Romeo@Example.COM", "rOMEO@eXAMPLE.com", true, true),
        ROW("a@b/c", "a@b/C", false, true),
        ROW("a@b/c", "a@b", false, true),
        ROW("a@b/c", "a@b/cc", false, true),
        ROW("a@b", "c@b", false, false),
        ROW("a@b", "aa@b", false, false),
        ROW("a@b", "a@c", false, false),
        ROW("a@b", "b", false, false),
        ROW("b", "b/c", false, true),
        ROW("b/a@b", "a@b", false, false),
        ROW("a@b./c", "a@b/c", true, true),
        ROW("b.", "B", true, true),
        ROW("b./c", "b/d", false, true),
        ROW("[::A]", "[::a]", true, true),
        ROW("a{@b", "a[@b", false, false), /* not letters: no folding */
        ROW("a~@b", "a^@b", false, false),
        ROW("a@b", "\x01@b", false, false),
        /* beyond ASCII byte by byte: case is not folded */
        ROW("\xC3\xA9@b", "\xC3\xA9@b", true, true),
        ROW("\xC3\x89@b", "\xC3\xA9@b", false, false),
        ROW("a@b/\xE2\x99\x9A", "A@b/\xE2\x99\x9A", true, true),
        /* what is no JID is the same as nothing, not even as itself */
        ROW("@b", "@b", false, false),
        ROW("a b@c", "a b@c", false, false),
        ROW("", "", false, false),
        ROW(NULL, NULL, false, false),
        ROW("a@b", NULL, false, false),
#undef ROW
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct xmpp_tiny_str a = xmpp_tiny_str(rows[i].a), b = xmpp_tiny_str(rows[i].b);
        const char *what = rows[i].a ? rows[i].a : "absent";
        check_int(xmpp_tiny_jid_same(a, b), rows[i].same, __FILE__, rows[i].line, what);
        check_int(xmpp_tiny_jid_same(b, a), rows[i].same, __FILE__, rows[i].line, what);
        check_int(xmpp_tiny_jid_same_bare(a, b), rows[i].bare, __FILE__, rows[i].line, what);
        check_int(xmpp_tiny_jid_same_bare(b, a), rows[i].bare, __FILE__, rows[i].line, what);
    }
}

int main(void)
{
    test_samples();
    test_absent();
    test_every_byte();
    test_limits();
    test_same();
    return check_done();
}
