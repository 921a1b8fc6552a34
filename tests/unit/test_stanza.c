/* SPDX-License-Identifier: MIT
 *
 * The cursor over a received stanza: names, namespaces, attributes, children, texts, and the rules for
 * NULL and "*" that xmpp_tiny.h gives. */
#define _DEFAULT_SOURCE
#include "../../xmpp_tiny.c"

#include "tok.h"

#define ROOT   "<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>"
#define XML_NS "http://www.w3.org/XML/1998/namespace"
#define SIZE   2048

static struct reader reader;

static struct xmpp_tiny_el stanza(const char *xml)
{
    reader_init(&reader, SIZE, 'x');
    reader_feed(&reader, ROOT, sizeof ROOT - 1);
    reader_feed(&reader, xml, strlen(xml));
    CHECK(!reader.over);
    return tok_unit(&reader.tok);
}

static void check_empty(struct xmpp_tiny_el e)
{
    struct xmpp_tiny_str name = {NULL, 0}, ns = {NULL, 0}, value = {NULL, 0};
    uint16_t at = 0;
    CHECK(!xmpp_tiny_found(e));
    CHECK_STR(xmpp_tiny_name(e), NULL);
    CHECK_STR(xmpp_tiny_ns(e), NULL);
    CHECK_STR(xmpp_tiny_text(e), NULL);
    CHECK_STR(xmpp_tiny_text_after(e), NULL);
    CHECK_STR(xmpp_tiny_attr(e, "id"), NULL);
    CHECK_STR(xmpp_tiny_attr(e, "xml:lang"), NULL);
    CHECK(!xmpp_tiny_attr_next(e, &at, &name, &ns, &value));
    CHECK(!xmpp_tiny_is(e, NULL, NULL));
    CHECK(!xmpp_tiny_is(e, NULL, "*"));
    CHECK(!xmpp_tiny_is(e, "message", NULL));
    CHECK(!xmpp_tiny_found(xmpp_tiny_child(e, NULL, NULL)));
    CHECK(!xmpp_tiny_found(xmpp_tiny_child(e, NULL, "*")));
    CHECK(!xmpp_tiny_found(xmpp_tiny_child(e, "a", "b")));
    CHECK(!xmpp_tiny_found(xmpp_tiny_next(e, NULL, NULL)));
    CHECK(!xmpp_tiny_found(xmpp_tiny_next(e, NULL, "*")));
    CHECK(!xmpp_tiny_found(xmpp_tiny_next(e, "a", "b")));
}

static void test_empty(void)
{
    struct xmpp_tiny_el none = {NULL, 0, 0}, e;
    check_empty(none);
    e = stanza("<message/>");
    check_empty(xmpp_tiny_child(e, NULL, "*"));
    check_empty(xmpp_tiny_next(e, NULL, "*"));
    check_empty(xmpp_tiny_child(xmpp_tiny_child(xmpp_tiny_child(e, "a", NULL), "b", NULL), "c", "*"));
    check_empty(xmpp_tiny_next(xmpp_tiny_next(xmpp_tiny_child(e, "a", NULL), "b", NULL), "c", "*"));
    CHECK_STR(xmpp_tiny_text(xmpp_tiny_child(e, "body", NULL)), NULL);
    CHECK_STR(xmpp_tiny_text(e), "");
    CHECK_STR(xmpp_tiny_text_after(e), "");
}

static void test_basics(void)
{
    struct xmpp_tiny_el e = stanza(
                            "<message from='a@b/c' to='' id='1' type='chat'>"
                            "<subject>s &amp; t</subject><body>hello</body><body xml:lang='de'>hallo</body>"
                            "<x xmlns='jabber:x:data' type='form'><field var='v'><value>1</value></field></x>"
                            "<thread/></message>"),
                        c;
    CHECK(xmpp_tiny_found(e));
    CHECK_STR(xmpp_tiny_name(e), "message");
    CHECK_STR(xmpp_tiny_ns(e), "jabber:client");
    CHECK_STR(xmpp_tiny_attr(e, "from"), "a@b/c");
    CHECK_STR(xmpp_tiny_attr(e, "to"), "");
    CHECK_STR(xmpp_tiny_attr(e, "id"), "1");
    CHECK_STR(xmpp_tiny_attr(e, "type"), "chat");
    CHECK_STR(xmpp_tiny_attr(e, "typ"), NULL);
    CHECK_STR(xmpp_tiny_attr(e, "types"), NULL);
    CHECK_STR(xmpp_tiny_attr(e, "ID"), NULL);
    CHECK_STR(xmpp_tiny_attr(e, ""), NULL);
    CHECK_STR(xmpp_tiny_text(xmpp_tiny_child(e, "subject", NULL)), "s & t");
    c = xmpp_tiny_child(e, "body", NULL);
    CHECK_STR(xmpp_tiny_text(c), "hello");
    CHECK_STR(xmpp_tiny_attr(c, "xml:lang"), NULL);
    c = xmpp_tiny_next(c, "body", NULL);
    CHECK_STR(xmpp_tiny_text(c), "hallo");
    CHECK_STR(xmpp_tiny_attr(c, "xml:lang"), "de");
    CHECK_STR(xmpp_tiny_attr(c, "lang"), NULL);
    check_empty(xmpp_tiny_next(c, "body", NULL));
    /* present and empty */
    c = xmpp_tiny_child(e, "thread", NULL);
    CHECK(xmpp_tiny_found(c));
    CHECK_STR(xmpp_tiny_text(c), "");
    /* in another namespace */
    check_empty(xmpp_tiny_child(e, "x", NULL));
    c = xmpp_tiny_child(e, "x", "jabber:x:data");
    CHECK_STR(xmpp_tiny_attr(c, "type"), "form");
    c = xmpp_tiny_child(c, "field", NULL);
    CHECK_STR(xmpp_tiny_ns(c), "jabber:x:data");
    CHECK_STR(xmpp_tiny_text(xmpp_tiny_child(c, "value", NULL)), "1");
    check_empty(xmpp_tiny_child(e, "field", "jabber:x:data"));
    check_empty(xmpp_tiny_child(e, "value", "*"));
}

/* name NULL: any name. ns NULL: "jabber:client" for is, the parent's for child, el's own for next. */
static void test_matching(void)
{
    struct xmpp_tiny_el
        e = stanza("<iq><a xmlns='u'><b/><b xmlns='v'/><c/></a><b xmlns='u'/><a/><b xmlns='u'/></iq>"),
        a, b;
    CHECK(xmpp_tiny_is(e, "iq", NULL));
    CHECK(xmpp_tiny_is(e, "iq", "jabber:client"));
    CHECK(xmpp_tiny_is(e, "iq", "*"));
    CHECK(xmpp_tiny_is(e, NULL, NULL));
    CHECK(xmpp_tiny_is(e, NULL, "*"));
    CHECK(!xmpp_tiny_is(e, "iq", ""));
    CHECK(!xmpp_tiny_is(e, "iq", "jabber:server"));
    CHECK(!xmpp_tiny_is(e, "i", NULL));
    CHECK(!xmpp_tiny_is(e, "iqs", NULL));
    CHECK(!xmpp_tiny_is(e, NULL, "u"));

    a = xmpp_tiny_child(e, NULL, "*");
    CHECK(xmpp_tiny_is(a, "a", "u"));
    CHECK(!xmpp_tiny_is(a, "a", NULL));
    CHECK(xmpp_tiny_is(a, "a", "*"));
    CHECK(!xmpp_tiny_is(a, "*", "*")); /* only a namespace has a joker */

    b = xmpp_tiny_child(a, "b", NULL);
    CHECK_STR(xmpp_tiny_ns(b), "u");
    check_empty(xmpp_tiny_next(b, "b", NULL));
    b = xmpp_tiny_next(b, "b", "*");
    CHECK_STR(xmpp_tiny_ns(b), "v");
    check_empty(xmpp_tiny_next(b, NULL, NULL));
    b = xmpp_tiny_next(b, NULL, "u");
    CHECK_STR(xmpp_tiny_name(b), "c");
    check_empty(xmpp_tiny_next(b, NULL, "*"));
    CHECK(xmpp_tiny_is(xmpp_tiny_child(a, "b", "v"), "b", "v"));
    check_empty(xmpp_tiny_child(a, "b", "jabber:client"));

    b = xmpp_tiny_child(e, NULL, NULL);
    CHECK(xmpp_tiny_is(b, "a", NULL));
    check_empty(xmpp_tiny_next(b, NULL, NULL));
    CHECK(xmpp_tiny_is(xmpp_tiny_next(b, NULL, "*"), "b", "u"));
    b = xmpp_tiny_next(a, NULL, NULL);
    CHECK(xmpp_tiny_is(b, "b", "u"));
    CHECK(xmpp_tiny_is(xmpp_tiny_next(b, "b", NULL), "b", "u"));
    check_empty(xmpp_tiny_next(b, "a", NULL));
    CHECK(xmpp_tiny_is(xmpp_tiny_next(b, "a", "jabber:client"), "a", NULL));
}

static void test_namespaces(void)
{
    struct xmpp_tiny_el e =
        stanza("<p:m xmlns:p='u' xmlns='v'><a><p:b><c xmlns=''><d/><p:e/></c><f/></p:b></a><g/></p:m>");
    struct xmpp_tiny_el a, b, c;
    CHECK(xmpp_tiny_is(e, "m", "u"));
    a = xmpp_tiny_child(e, "a", "v");
    CHECK_STR(xmpp_tiny_ns(a), "v");
    check_empty(xmpp_tiny_child(e, "a", NULL)); /* the parent's namespace is u */
    b = xmpp_tiny_child(a, "b", "u");
    CHECK_STR(xmpp_tiny_ns(b), "u");
    c = xmpp_tiny_child(b, "c", "");
    CHECK(xmpp_tiny_found(c));
    CHECK_STR(xmpp_tiny_ns(c), "");
    CHECK_STR(xmpp_tiny_ns(xmpp_tiny_child(c, "d", NULL)), "");
    CHECK_STR(xmpp_tiny_ns(xmpp_tiny_child(c, "e", "u")), "u");
    CHECK_STR(xmpp_tiny_ns(xmpp_tiny_next(c, "f", "v")), "v");
    CHECK_STR(xmpp_tiny_ns(xmpp_tiny_next(a, "g", NULL)), "v");
    CHECK(xmpp_tiny_is(stanza("<message xmlns='jabber:client'/>"), "message", NULL));
    CHECK(xmpp_tiny_is(stanza("<s:error/>"), "error", "http://etherx.jabber.org/streams"));
    CHECK(!xmpp_tiny_is(stanza("<error/>"), "error", "http://etherx.jabber.org/streams"));
    CHECK(xmpp_tiny_is(stanza("<c:message xmlns:c='jabber:client' xmlns='x'/>"), "message", NULL));
    CHECK(xmpp_tiny_is(stanza("<message xmlns=''/>"), "message", ""));
    CHECK(!xmpp_tiny_is(stanza("<message xmlns=''/>"), "message", NULL));
}

/* xmpp_tiny_attr() sees what has no namespace, and the xml prefix; attr_next() sees all but declarations. */
static void test_attributes(void)
{
    struct xmpp_tiny_el e =
        stanza("<m xmlns:p='u' p:id='1' xml:lang='en' id='2' p:lang='3' xmlns:q='v' q:id='' lang=''"
               " xml:id='4' langu='5' xmlns='w'/>");
    static const char *const want[][3] = {
        {"id", "u", "1"}, {"lang", XML_NS, "en"}, {"id", "", "2"},     {"lang", "u", "3"},
        {"id", "v", ""},  {"lang", "", ""},       {"id", XML_NS, "4"}, {"langu", "", "5"},
    };
    struct xmpp_tiny_str name, ns, value;
    uint16_t at = 0;
    size_t n = 0;
    CHECK_STR(xmpp_tiny_attr(e, "id"), "2");
    CHECK_STR(xmpp_tiny_attr(e, "lang"), "");
    CHECK_STR(xmpp_tiny_attr(e, "xml:lang"), "en");
    CHECK_STR(xmpp_tiny_attr(e, "xml:id"), "4");
    CHECK_STR(xmpp_tiny_attr(e, "xml:langu"), NULL);
    CHECK_STR(xmpp_tiny_attr(e, "xml:"), NULL);
    CHECK_STR(xmpp_tiny_attr(e, "xml"), NULL);
    CHECK_STR(xmpp_tiny_attr(e, "p:id"), NULL);
    CHECK_STR(xmpp_tiny_attr(e, "xmlns"), NULL);
    CHECK_STR(xmpp_tiny_attr(e, "xmlns:p"), NULL);
    CHECK_STR(xmpp_tiny_attr(e, "p"), NULL);
    while (n < sizeof want / sizeof *want && xmpp_tiny_attr_next(e, &at, &name, &ns, &value)) {
        CHECK_STR(name, want[n][0]);
        CHECK_STR(ns, want[n][1]);
        CHECK_STR(value, want[n][2]);
        n++;
    }
    CHECK_INT(n, sizeof want / sizeof *want);
    CHECK(!xmpp_tiny_attr_next(e, &at, &name, &ns, &value));
    CHECK(!xmpp_tiny_attr_next(e, &at, &name, &ns, &value));
    at = 0;
    CHECK(!xmpp_tiny_attr_next(stanza("<m xmlns='u' xmlns:p='v'><a b='1'/></m>"), &at, &name, &ns, &value));
    at = 0;
    e = stanza("<m>text<a/></m>");
    CHECK(!xmpp_tiny_attr_next(e, &at, &name, &ns, &value));
    CHECK_STR(xmpp_tiny_attr(e, "text"), NULL);
    e = stanza("<m><a b='1'/></m>");
    CHECK_STR(xmpp_tiny_attr(e, "b"), NULL);
}

static void test_mixed(void)
{
    struct xmpp_tiny_el e = stanza("<m>one<a>two</a>three<b/>four<![CDATA[ & ]]>five<c><d/>six</c></m>"), c;
    CHECK_STR(xmpp_tiny_text(e), "one");
    c = xmpp_tiny_child(e, NULL, NULL);
    CHECK_STR(xmpp_tiny_text(c), "two");
    CHECK_STR(xmpp_tiny_text_after(c), "three");
    c = xmpp_tiny_next(c, NULL, NULL);
    CHECK_STR(xmpp_tiny_text(c), "");
    CHECK_STR(xmpp_tiny_text_after(c), "four & five");
    c = xmpp_tiny_next(c, NULL, NULL);
    CHECK_STR(xmpp_tiny_text(c), "");
    CHECK_STR(xmpp_tiny_text_after(c), "");
    CHECK_STR(xmpp_tiny_text_after(xmpp_tiny_child(c, "d", NULL)), "six");
    CHECK_STR(xmpp_tiny_text_after(e), "");
}

/* Walking costs nothing but the walk: a cursor is a value, any number may be in use. */
static void test_many(void)
{
    static char xml[1500];
    size_t len = 0, n = 0;
    struct xmpp_tiny_el e, c, first;
    len += (size_t)snprintf(xml, sizeof xml, "<m>");
    for (unsigned i = 0; i < 60; i++)
        len += (size_t)snprintf(xml + len, sizeof xml - len, "<i n='%u'><%s/></i>", i, i % 3 ? "x" : "y");
    snprintf(xml + len, sizeof xml - len, "</m>");
    e = stanza(xml);
    first = xmpp_tiny_child(e, "i", NULL);
    for (c = first; xmpp_tiny_found(c); c = xmpp_tiny_next(c, "i", NULL), n++) {
        char number_text[8];
        snprintf(number_text, sizeof number_text, "%lu", (unsigned long)n);
        CHECK_STR(xmpp_tiny_attr(c, "n"), number_text);
        CHECK(xmpp_tiny_found(xmpp_tiny_child(c, n % 3 ? "x" : "y", NULL)));
        CHECK(!xmpp_tiny_found(xmpp_tiny_child(c, n % 3 ? "y" : "x", NULL)));
    }
    CHECK_INT(n, 60);
    CHECK_STR(xmpp_tiny_attr(first, "n"), "0");
}

/* The children of an element that is entered inherit from it. */
static void test_entered(void)
{
    struct xmpp_tiny_el e;
    reader_init(&reader, SIZE, 'x');
    reader.enter = "features";
    reader_feed(&reader, ROOT, sizeof ROOT - 1);
    reader_feed(&reader, "<s:features xmlns:q='w'><bind xmlns='u'/><q:x><y/></q:x>", 56);
    e = tok_unit(&reader.tok);
    CHECK(xmpp_tiny_is(e, "x", "w"));
    CHECK(xmpp_tiny_is(xmpp_tiny_child(e, NULL, "*"), "y", NULL));
    reader_feed(&reader, "<z/></s:features>", 17);
    CHECK_TEXT(reader.log.text,
               "H{http://etherx.jabber.org/streams}stream U{u}bind[] U{w}x[{jabber:client}y[]] "
               "U{jabber:client}z[] L");
}

static void test_strings(void)
{
    struct xmpp_tiny_str none = {NULL, 0};
    CHECK_STR(xmpp_tiny_str(NULL), NULL);
    CHECK_STR(xmpp_tiny_str(""), "");
    CHECK_STR(xmpp_tiny_str("abc"), "abc");
    CHECK(xmpp_tiny_same(xmpp_tiny_str("abc"), xmpp_tiny_str("abc")));
    CHECK(!xmpp_tiny_same(xmpp_tiny_str("abc"), xmpp_tiny_str("abd")));
    CHECK(!xmpp_tiny_same(xmpp_tiny_str("abc"), xmpp_tiny_str("ab")));
    CHECK(!xmpp_tiny_same(xmpp_tiny_str("abc"), none));
    CHECK(xmpp_tiny_same(xmpp_tiny_str(""), none)); /* the same bytes: none */
    CHECK(xmpp_tiny_same(none, none));
}

int main(void)
{
    test_strings();
    test_empty();
    test_basics();
    test_matching();
    test_namespaces();
    test_attributes();
    test_mixed();
    test_many();
    test_entered();
    return check_done();
}
