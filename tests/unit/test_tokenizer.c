/* SPDX-License-Identifier: MIT
 *
 * Tokenizer: what XML becomes, and what is refused, and where. Every input is read whole, byte by byte
 * and cut in two at every place, in buffers of many sizes that end at a guard page, over memory full
 * of different garbage; what comes out must be the same each time.
 * [XML 1.0 5th edition], [Namespaces in XML 1.0], [RFC6120 11]; tests/unit/tok.h has the notation.
 *
 *     test_tokenizer [-c STEP]
 *
 * -c tries only every STEP-th length of what has to fit in tight buffers, for machines that are slow. */
#define _DEFAULT_SOURCE
#include "../../xmpp_tiny.c"

#include "tok.h"

#define XML   "http://www.w3.org/XML/1998/namespace"
#define XMLNS "http://www.w3.org/2000/xmlns/"

#define SMALL XMPP_TINY_RX_MIN

/* The input of a case that ends in an error ends with the byte at which the error has to be noticed (a
 * misused prefix may be noticed at once or at the end of the tag); "!XML*" is any error of XML. */
struct sample {
    int line;
    const char *in;
    size_t len;
    const char *want;
    char kind;
};
#define DOC(in, want) \
    { \
        __LINE__, in, sizeof(in) - 1, want, 'd' \
    } /* a stream from its first byte */
#define IN(in, want) \
    { \
        __LINE__, in, sizeof(in) - 1, want, 'i' \
    } /* behind ROOT, "H{d}r " left out */
#define ENTER(in, want) \
    { \
        __LINE__, in, sizeof(in) - 1, want, 'e' \
    } /* likewise; the unit f is entered */
#define ROOT "<r xmlns='d' xmlns:p='u'>"

static const struct sample samples[] = {
    /* ---- XML declaration [XML 2.8], [RFC6120 11.5, 11.6] ---- */
    DOC("<r/>", "H{}r E"),
    DOC(" \t\r\n<r/>", "H{}r E"),
    DOC("<?xml version='1.0'?><r/>", "H{}r E"),
    DOC("<?xml version=\"1.0\"?><r/>", "H{}r E"),
    DOC("<?xml\tversion\n=\r\"1.0\" ?>\n<r/>", "H{}r E"),
    DOC("<?xml version='1.0' encoding='utf-8'?><r/>", "H{}r E"),
    DOC("<?xml version='1.0' encoding='UTF-8'?><r/>", "H{}r E"),
    DOC("<?xml version='1.0' encoding=\"Utf-8\" standalone='yes'?><r/>", "H{}r E"),
    DOC("<?xml version='1.0' standalone='no'?><r/>", "H{}r E"),
    DOC("<?xml version='1.1'?><r/>", "H{}r E"),
    DOC("<?xml version='1.0' encoding='UTF-16'?>", "!XML_ENCODING"),
    DOC("<?xml version='1.0' encoding='utf8'?>", "!XML_ENCODING"),
    DOC("<?xml version='1.0' encoding='US-ASCII'?>", "!XML_ENCODING"),
    DOC("<?xml version='1.0' encoding=''?>", "!XML_ENCODING"),
    DOC("<?xml version='2.0'?>", "!XML"),
    DOC("<?xml version='1'?>", "!XML"),
    DOC("<?xml version='1.'?>", "!XML"),
    DOC("<?xml version=''?>", "!XML"),
    DOC("<?xml?>", "!XML"),
    DOC("<?xml encoding='UTF-8'?>", "!XML"),
    DOC("<?xml version='1.0'>", "!XML"),
    DOC("<?xml version='1.0'/", "!XML"),
    DOC("<?xml version='1.0'?x", "!XML"),
    DOC("<?xml version='1.0' version=", "!XML"),
    DOC("<?xml version='1.0'?><?", "!XML_RESTRICTED"),
    DOC("<?xml version='1.0'?> <?", "!XML_RESTRICTED"),
    DOC(" <?", "!XML_RESTRICTED"),
    DOC("<r><?", "H{}r !XML_RESTRICTED"),
    DOC("<?xmlx version='1.0'?>", "!XML_RESTRICTED"),
    DOC("<?XML version='1.0'?>", "!XML_RESTRICTED"),
    DOC("<?pi?>", "!XML_RESTRICTED"),
    DOC("\xEF", "!XML"), /* a byte order mark is a character, and none may stand there [RFC6120 11.6] */
    DOC("x", "!XML"),
    DOC("\0", "!XML"),
    DOC("&", "!XML"),
    DOC("<!", "!XML_RESTRICTED"),
    DOC("<?xml version='1.0'?><!", "!XML_RESTRICTED"),
    DOC("</", "!XML"),

    /* ---- The root ---- */
    DOC("<r></r>", "H{}r E"),
    DOC("<r />", "H{}r E"),
    DOC("<r x='1' xmlns='d' y=\"2\">", "H{d}r x='1' y='2'"),
    DOC("<p:r xmlns:p='u'></p:r>", "H{u}r E"),
    DOC("<p:r xmlns:p='u' xml:lang='en'/>", "H{u}r {" XML "}lang='en' E"),
    DOC("<r xmlns='d'><a/></r>", "H{d}r U{d}a[] E"),
    DOC("<p:r xmlns:p='u' xmlns='d'><a/></p:r>", "H{u}r U{d}a[] E"),
    DOC("<r></x>", "H{}r !XML"),
    DOC("<r></rr>", "H{}r !XML"),
    DOC("<rr></r>", "H{}rr !XML"),
    DOC("<p:r xmlns:p='u'></r>", "H{u}r !XML"),
    DOC("<p:r xmlns:p='u' xmlns:q='u'></q:r>", "H{u}r !XML"),
    DOC("<r></p:r>", "H{}r !XML"),
    DOC("<r><a></r>", "H{}r !XML"),
    DOC("<r><a/></a>", "H{}r U{}a[] !XML"),
    DOC("<p:r>", "!XML_PREFIX"),
    DOC("<r p:x='1'>", "!XML_PREFIX"),
    DOC("<r xmlns:p=''>", "!XML_PREFIX"),
    /* closing the root after a unit that used its prefix otherwise */
    DOC("<p:r xmlns:p='u'><p:a xmlns:p='v'/></p:r>", "H{u}r U{v}a[] E"),
    DOC("<p:r xmlns:p='u'><a xmlns:p='v'>x</a></p:r>", "H{u}r U{}a[x] E"),
    DOC("<p:r xmlns:p='u'><a><b xmlns:p='v'/></a></p:r>", "H{u}r U{}a[{}b[]] E"),
    DOC("<p:r xmlns:p='u'><p:a>text that is longer than the root</p:a></p:r>",
        "H{u}r U{u}a[text that is longer than the root] E"),

    /* ---- Units ---- */
    IN("<a/>", "U{d}a[]"),
    IN("<a></a>", "U{d}a[]"),
    IN("<a />", "U{d}a[]"),
    IN("<a\t></a\r\n>", "U{d}a[]"),
    IN("<a/><b/><c></c>", "U{d}a[] U{d}b[] U{d}c[]"),
    IN(" <a/>\n\t\r\n <b/> ", "U{d}a[] U{d}b[]"),
    IN("<a>x</a>", "U{d}a[x]"),
    IN("<a> \n </a>", "U{d}a[ \n ]"),
    IN("<a>x<b>y</b>z<c/>w</a>", "U{d}a[x{d}b[y]z{d}c[]w]"),
    IN("<a><b><c><d>x</d></c></b></a>", "U{d}a[{d}b[{d}c[{d}d[x]]]]"),
    IN("<a><b/><b/>x<b/></a>", "U{d}a[{d}b[]{d}b[]x{d}b[]]"),
    IN("<a b='1'/>", "U{d}a b='1'[]"),
    IN("<a b=''/>", "U{d}a b=''[]"),
    IN("<a b='1' c=\"2\">x</a>", "U{d}a b='1' c='2'[x]"),
    IN("<a  b = '1'\t\r\nc\n=\n'2' />", "U{d}a b='1' c='2'[]"),
    IN("<a b='>' c='\"' d=\"'\" e='/>'/>", "U{d}a b='>' c='\"' d=''' e='/>'[]"),
    IN("<a><b><c></c></b>", ""),
    IN("<a", ""),
    IN("x", "!XML"),
    IN("]", "!XML"),
    IN("&", "!XML"),
    IN("\xC3", "!XML"),
    IN("\0", "!XML"),
    IN("<a/>x", "U{d}a[] !XML"),
    IN("<a/> ;", "U{d}a[] !XML"),
    IN("</x>", "!XML"),
    IN("<a></b>", "!XML"),
    IN("<a></aa>", "!XML"),
    IN("<aa></a>", "!XML"),
    IN("<a></A>", "!XML"),
    IN("<a><b></a>", "!XML"),
    IN("<a><b/></b>", "!XML"),
    IN("<a><b></b></b>", "!XML"),
    IN("<a>x<b>y</b>z</c>", "!XML"),
    IN("<a></>", "!XML"),
    IN("<a></ ", "!XML"),
    IN("<a></1", "!XML"),
    IN("<a></a b", "!XML"),
    IN("<a></a/", "!XML"),
    IN("<a></a<", "!XML"),
    IN("<>", "!XML"),
    IN("< ", "!XML"),
    IN("<<", "!XML"),
    IN("<=", "!XML"),
    IN("<a<", "!XML"),
    IN("<a/ ", "!XML"),
    IN("<a/a", "!XML"),
    IN("<a//", "!XML"),
    IN("<a b>", "!XML"),
    IN("<a b/", "!XML"),
    IN("<a b c", "!XML"),
    IN("<a b=1", "!XML"),
    IN("<a b=>", "!XML"),
    IN("<a b=`", "!XML"),
    IN("<a b==", "!XML"),
    IN("<a =", "!XML"),
    IN("<a '", "!XML"),
    IN("<a b='1'c", "!XML"),
    IN("<a b='1''", "!XML"),
    IN("<a b='1'x", "!XML"),
    IN("<a b='<", "!XML"),
    IN("<a b='x\0", "!XML"),
    IN("<a b='x\x01", "!XML"),
    IN("<a b='\x1F", "!XML"),

    /* ---- Namespaces ---- */
    IN("<p:a/>", "U{u}a[]"),
    IN("<p:a><b/></p:a>", "U{u}a[{d}b[]]"),
    IN("<p:a><p:b>x</p:b></p:a>", "U{u}a[{u}b[x]]"),
    IN("<p:p p:p='p'/>", "U{u}p {u}p='p'[]"),
    IN("<a xmlns=''/>", "U{}a[]"),
    IN("<a xmlns=''><b xmlns='e'/><c/></a>", "U{}a[{e}b[]{}c[]]"),
    IN("<a xmlns='e'><b xmlns=''><c/></b><d/></a>", "U{e}a[{}b[{}c[]]{e}d[]]"),
    IN("<a xmlns='e'/><b/>", "U{e}a[] U{d}b[]"),
    IN("<p:a xmlns='e'><b/></p:a>", "U{u}a[{e}b[]]"),
    IN("<p:a xmlns='e'><p:b xmlns='f'><c/></p:b><c/></p:a>", "U{u}a[{u}b[{f}c[]]{e}c[]]"),
    IN("<p:a xmlns:p='v'/><p:b/>", "U{v}a[] U{u}b[]"),
    IN("<a><p:b xmlns:p='v'><p:c/></p:b><p:d/></a>", "U{d}a[{v}b[{v}c[]]{u}d[]]"),
    IN("<p:a><p:b xmlns:p='v'></p:b></p:a>", "U{u}a[{v}b[]]"),
    IN("<p:a><p:b xmlns:p='v'/>x</p:a>", "U{u}a[{v}b[]x]"),
    IN("<p:a><b xmlns:p='v'/></p:a>", "U{u}a[{d}b[]]"),
    IN("<p:a><b xmlns:p='v'>x</b>y</p:a><p:c></p:c>", "U{u}a[{d}b[x]y] U{u}c[]"),
    IN("<a xmlns:q='v'><q:b><q:c xmlns:q='w'/><q:d/></q:b></a>", "U{d}a[{v}b[{w}c[]{v}d[]]]"),
    IN("<a p:x='1'/>", "U{d}a {u}x='1'[]"),
    IN("<a q:x='1' xmlns:q='w'/>", "U{d}a {w}x='1'[]"),
    IN("<q:a q:x='1' xmlns:q='w'/>", "U{w}a {w}x='1'[]"),
    IN("<q:a xmlns:q='w'>x</q:a>", "U{w}a[x]"),
    IN("<q:a xmlns:q=\"w\" b='1'>x<q:b/></q:a>", "U{w}a b='1'[x{w}b[]]"),
    IN("<a xmlns:p='v' p:x='1'/>", "U{d}a {v}x='1'[]"),
    IN("<longprefix:a xmlns:longprefix='w'><longprefix:b longprefix:c='d'>x</longprefix:b></longprefix:a>",
       "U{w}a[{w}b {w}c='d'[x]]"),
    IN("<a xml:lang='en'/>", "U{d}a {" XML "}lang='en'[]"),
    IN("<a><b xml:lang='en'>x</b></a>", "U{d}a[{d}b {" XML "}lang='en'[x]]"),
    IN("<xml:a></xml:a>", "U{" XML "}a[]"),
    IN("<a xmlns:xml='" XML "' xml:space='x'/>", "U{d}a {" XML "}space='x'[]"),
    IN("<a xmlnsx='1' xmln='2'/>", "U{d}a xmlnsx='1' xmln='2'[]"),
    IN("<a lang='1' xml:lang='2' p:lang='3'/>", "U{d}a lang='1' {" XML "}lang='2' {u}lang='3'[]"),
    IN("<q:a xmlns:q='&#x77;'/>", "U{w}a[]"),
    IN("<q:a xmlns:q='w&amp;w'/>", "U{w&w}a[]"),
    IN("<a xmlns:q='D' xmlns:Q='d'><q:b Q:q='1'/></a>", "U{d}a[{D}b {d}q='1'[]]"),
    IN("<a xmlns:xml='x'>", "!XML_PREFIX"),
    IN("<a xmlns:xml=''>", "!XML_PREFIX"),
    IN("<a xmlns:q='" XML "'>", "!XML_PREFIX"),
    IN("<a xmlns='" XML "'>", "!XML_PREFIX"),
    IN("<a xmlns:xmlns='x'>", "!XML_PREFIX"),
    IN("<a xmlns:xmlns='" XMLNS "'>", "!XML_PREFIX"),
    IN("<a xmlns:q='" XMLNS "'>", "!XML_PREFIX"),
    IN("<a xmlns='" XMLNS "'>", "!XML_PREFIX"),
    IN("<a xmlns:q=''>", "!XML_PREFIX"),
    IN("<a xmlns:p=''/>", "!XML_PREFIX"),
    IN("<q:a>", "!XML_PREFIX"),
    IN("<q:a/>", "!XML_PREFIX"),
    IN("<a q:x='1'>", "!XML_PREFIX"),
    IN("<P:a>", "!XML_PREFIX"),
    IN("<pp:a>", "!XML_PREFIX"),
    IN("<a><b xmlns:q='v'/><q:c/>", "!XML_PREFIX"),
    IN("<a xmlns:q='v'/><q:a>", "U{d}a[] !XML_PREFIX"),
    IN("<xmlns:a>", "!XML_PREFIX"),
    IN("<XML:a>", "!XML_PREFIX"),
    IN("<a xmlns2:x='1'>", "!XML_PREFIX"),
    /* closing tags are compared as they are spelt [XML 3, WFC: Element Type Match] */
    IN("<a xmlns:q='u'><q:b></p:b>", "!XML"),
    IN("<p:a></a>", "!XML"),
    IN("<a></p:a>", "!XML"),
    IN("<p:a></p:b>", "!XML"),
    IN("<p:a></pp:a>", "!XML"),
    IN("<p:a></q:a>", "!XML"),
    IN("<p:a xmlns:q='u'></q:a>", "!XML"),

    /* ---- Attributes that occur twice ---- */
    IN("<a x='1' x=", "!XML"),
    IN("<a x='1' y='2' x=", "!XML"),
    IN("<a x='1' y='2' x ", "!XML"),
    IN("<a p:x='1' p:x=", "!XML"),
    IN("<a xmlns='1' xmlns=", "!XML"),
    IN("<a xmlns:q='1' xmlns:q=", "!XML"),
    IN("<a xml:lang='1' xml:lang=", "!XML"),
    IN("<a p:x='1' q:x='2' xmlns:q='u'>", "!XML"),
    IN("<a q:x='1' xmlns:q='u' b='2' p:x='3'/>", "!XML"),
    IN("<a p:x='1' q:x='2' xmlns:q='v'/>", "U{d}a {u}x='1' {v}x='2'[]"),
    IN("<a x='1' p:x='2'/>", "U{d}a x='1' {u}x='2'[]"),
    IN("<p:a x='1' p:x='2'/>", "U{u}a x='1' {u}x='2'[]"),
    IN("<a p:x='1' p:y='2' p:xy='3'/>", "U{d}a {u}x='1' {u}y='2' {u}xy='3'[]"),
    IN("<a x='1' X='2' xx='3' xX='4'/>", "U{d}a x='1' X='2' xx='3' xX='4'[]"),
    IN("<a x='1'><b x='2'/></a><c x='3'/>", "U{d}a x='1'[{d}b x='2'[]] U{d}c x='3'[]"),
    IN("<a xmlns='e' xmlns:q='e' q:x='1' x='2'/>", "U{e}a {e}x='1' x='2'[]"),
    IN("<a abc='1' abd='2' abcd='3' bbc='4' ab-c='5' a='6' c='7'/>",
       "U{d}a abc='1' abd='2' abcd='3' bbc='4' ab-c='5' a='6' c='7'[]"),

    /* ---- References [XML 4.1, 4.6] ---- */
    IN("<a>&lt;&gt;&amp;&apos;&quot;</a>", "U{d}a[<>&'\"]"),
    IN("<a b='&lt;&gt;&amp;&apos;&quot;'/>", "U{d}a b='<>&'\"'[]"),
    IN("<a>&#65;&#x41;&#x6a;&#x6A;&#x0041;&#0065;</a>", "U{d}a[AAjjAA]"),
    IN("<a b='&#65;&#x41;&#x6a;&#x6A;&#x0041;&#0065;'/>", "U{d}a b='AAjjAA'[]"),
    IN("<a>x&amp;amp;y</a>", "U{d}a[x&amp;y]"),
    IN("<a>&#60;b/&#62;</a>", "U{d}a[<b/>]"),
    IN("<a>&#9;&#10;&#13;</a>", "U{d}a[\t\n\r]"),
    IN("<a b='&#9;&#10;&#13;'/>", "U{d}a b='\t\n\r'[]"),
    IN("<a>&#x7F;&#x80;&#x7FF;&#x800;</a>", "U{d}a[\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80]"),
    IN("<a>&#xD7FF;&#xE000;&#xFFFD;</a>", "U{d}a[\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBD]"),
    IN("<a>&#x10000;&#x10FFFF;&#x1f600;</a>", "U{d}a[\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\xF0\x9F\x98\x80]"),
    IN("<a>&#65536;&#1114111;</a>", "U{d}a[\xF0\x90\x80\x80\xF4\x8F\xBF\xBF]"),
    IN("<a b='&#xD7FF;&#xE000;&#x10000;'/>", "U{d}a b='\xED\x9F\xBF\xEE\x80\x80\xF0\x90\x80\x80'[]"),
    IN("<a>&#0000000065;&#x0000000041;</a>", "U{d}a[AA]"),
    IN("<a>&#000000000000000000000000000000065;</a>", "U{d}a[A]"),
    IN("<a b='&#x00000000000000000000000000000041;'/>", "U{d}a b='A'[]"),
    IN("<a>&#0;", "!XML"),
    IN("<a>&#x0;", "!XML"),
    IN("<a>&#x0B;", "!XML"),
    IN("<a>&#8;", "!XML"),
    IN("<a>&#31;", "!XML"),
    IN("<a>&#xD800;", "!XML"),
    IN("<a>&#xDFFF;", "!XML"),
    IN("<a>&#55296;", "!XML"),
    IN("<a>&#xFFFE;", "!XML"),
    IN("<a>\xEF\xBF\xBE", "!XML"), /* valid UTF-8, but not a character of XML */
    IN("<a>\xEF\xBF\xBF", "!XML"),
    IN("<a>&#xFFFF;", "!XML"),
    IN("<a>&#x110000;", "!XML"),
    IN("<a>&#1114112;", "!XML"),
    IN("<a>&#x100000041;", "!XML"),
    IN("<a>&#4294967361;", "!XML"),
    IN("<a>&#99999999999;", "!XML"),
    IN("<a b='&#xFFFF;", "!XML"),
    IN("<a b='&#xD800;", "!XML"),
    IN("<a>&;", "!XML"),
    IN("<a>& ", "!XML"),
    IN("<a>&&", "!XML"),
    IN("<a>&<", "!XML"),
    IN("<a>&lt<", "!XML"),
    IN("<a>&lt ", "!XML"),
    IN("<a>&#;", "!XML"),
    IN("<a>&#x;", "!XML"),
    IN("<a>&#xG", "!XML"),
    IN("<a>&#A", "!XML"),
    IN("<a>&#X", "!XML"),
    IN("<a>&#-", "!XML"),
    IN("<a>&#1 ", "!XML"),
    IN("<a>&#x1x", "!XML"),
    IN("<a>&#x#", "!XML"),
    IN("<a>&x#", "!XML"),
    IN("<a b='&'", "!XML"),
    IN("<a b='&lt'", "!XML"),
    IN("<a b='&;", "!XML"),
    IN("<a b='&#65'", "!XML"),
    IN("<a>&foo;", "!XML_RESTRICTED"),
    IN("<a>&nbsp;", "!XML_RESTRICTED"),
    IN("<a>&LT;", "!XML_RESTRICTED"),
    IN("<a>&l;", "!XML_RESTRICTED"),
    IN("<a>&ltt;", "!XML_RESTRICTED"),
    IN("<a>&xlt;", "!XML_RESTRICTED"),
    IN("<a>&xquot;", "!XML_RESTRICTED"),
    IN("<a>&quotquot;", "!XML_RESTRICTED"),
    IN("<a>&aapos;", "!XML_RESTRICTED"),
    IN("<a>&xamp;", "!XML_RESTRICTED"),
    IN("<a>&pos;", "!XML_RESTRICTED"),
    IN("<a>&bpos;", "!XML_RESTRICTED"),
    IN("<a>&uot;", "!XML_RESTRICTED"),
    IN("<a>&xuot;", "!XML_RESTRICTED"),
    IN("<a>&zlt;", "!XML_RESTRICTED"),
    IN("<a b='&foo;", "!XML_RESTRICTED"),

    /* ---- "]]>" and CDATA [XML 2.4, 2.7] ---- */
    IN("<a>]]>", "!XML"),
    IN("<a>]]]>", "!XML"),
    IN("<a>x]]>", "!XML"),
    IN("<a><b/>]]>", "!XML"),
    IN("<a>] ]> ]>]] ></a>", "U{d}a[] ]> ]>]] >]"),
    IN("<a>]]<b/>></a>", "U{d}a[]]{d}b[]>]"),
    IN("<a>]]&gt;]&#93;>&#93;]>&#93;&#93;></a>", "U{d}a[]]>]]>]]>]]>]"),
    IN("<a b=']]>'/>", "U{d}a b=']]>'[]"),
    IN("<a><![CDATA[]]></a>", "U{d}a[]"),
    IN("<a><![CDATA[x]]></a>", "U{d}a[x]"),
    IN("<a>x<![CDATA[y]]>z</a>", "U{d}a[xyz]"),
    IN("<a>x<b/><![CDATA[y]]><b/></a>", "U{d}a[x{d}b[]y{d}b[]]"),
    IN("<a><![CDATA[<b>&amp;</b>&]]></a>", "U{d}a[<b>&amp;</b>&]"),
    IN("<a><![CDATA[]]]></a>", "U{d}a[]]"),
    IN("<a><![CDATA[]]]]></a>", "U{d}a[]]]"),
    IN("<a><![CDATA[]]]]]></a>", "U{d}a[]]]]"),
    IN("<a><![CDATA[]>]]></a>", "U{d}a[]>]"),
    IN("<a><![CDATA[ ]] ] ]> ]]></a>", "U{d}a[ ]] ] ]> ]"),
    IN("<a><![CDATA[]]]]><![CDATA[>]]></a>", "U{d}a[]]>]"),
    IN("<a>]]<![CDATA[>]]></a>", "U{d}a[]]>]"),
    IN("<a>]]<![CDATA[]]>></a>", "U{d}a[]]>]"),
    IN("<a><![CDATA[]]>></a>", "U{d}a[>]"),
    IN("<a><![CDATA[]]]]>></a>", "U{d}a[]]>]"),
    IN("<a><![CDATA[>]]></a>", "U{d}a[>]"),
    IN("<a><![CDATA[<![CDATA[]]></a>", "U{d}a[<![CDATA[]"),
    IN("<a><![CDATA[\xC3\xA9]]\xC3\xA9]]></a>", "U{d}a[\xC3\xA9]]\xC3\xA9]"),
    IN("<a><![CDATA[x]]", ""),
    IN("<a><![CDATA[x]]>]]>", "!XML"),
    IN("<a><![CDATA[\x01", "!XML"),
    IN("<a><![CDATA[\0", "!XML"),
    IN("<a><![CDATA[\xFF", "!XML_ENCODING"),
    IN("<a><![CDATA[\xC3]", "!XML_ENCODING"),
    IN("<a><![CDATA ", "!XML*"),
    IN("<a><![c", "!XML*"),
    IN("<a><![CDATA[x</a>", ""),
    IN("<!", "!XML_RESTRICTED"), /* no text between units, however it is spelt */

    /* ---- What XMPP forbids [RFC6120 11.1] ---- */
    IN("<a><!-", "!XML_RESTRICTED"),
    IN("<a><!D", "!XML_RESTRICTED"),
    IN("<a><!E", "!XML_RESTRICTED"),
    IN("<a><!A", "!XML_RESTRICTED"),
    IN("<a><?", "!XML_RESTRICTED"),
    IN("<?", "!XML_RESTRICTED"),
    IN("<a/><?", "U{d}a[] !XML_RESTRICTED"),
    IN("<a/><!", "U{d}a[] !XML_RESTRICTED"),

    /* ---- Ends of lines [XML 2.11], values [XML 3.3.3] ---- */
    IN("<a>a\r\nb\rc\nd\r\r\ne\n\nf\r</a>", "U{d}a[a\nb\nc\nd\n\ne\n\nf\n]"),
    IN("<a>\r&#10;\r&#13;\n</a>", "U{d}a[\n\n\n\r\n]"),
    IN("<a>\r<b/>\n</a>", "U{d}a[\n{d}b[]\n]"),
    IN("<a>\r<![CDATA[\n\r\n\r]]>\n</a>", "U{d}a[\n\n\n\n\n]"),
    IN("<a>\t\xC3\xA9\r\n</a>", "U{d}a[\t\xC3\xA9\n]"),
    IN("<a b='x\ny\tz\r\nw\rv\r\r\n\n'/>", "U{d}a b='x y z w v   '[]"),
    IN("<a b='\r&#10;\r\n&#13;\n'/>", "U{d}a b=' \n \r '[]"),
    IN("<a b=' x  y '/>", "U{d}a b=' x  y '[]"),

    /* ---- UTF-8 [RFC3629 4] and characters [XML 2.2] ---- */
    IN("<a>\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBD\xF0\x90\x80\x80\xF4\x8F\xBF\xBF</"
       "a>",
       "U{d}a["
       "\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBD\xF0\x90\x80\x80\xF4\x8F\xBF\xBF]"),
    IN("<a b='\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEF\xBF\xBD\xF0\x90\x80\x80\xF4\x8F\xBF\xBF'/>",
       "U{d}a b='\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEF\xBF\xBD\xF0\x90\x80\x80\xF4\x8F\xBF\xBF'[]"),
    IN("<a>\xEF\xBB\xBFx</a>", "U{d}a[\xEF\xBB\xBFx]"),
    IN("<a>\x7F</a>", "U{d}a[\x7F]"),
    IN("<a>\xF0\xAF\xBF\xBE</a>", "U{d}a[\xF0\xAF\xBF\xBE]"), /* U+2FFFE */
    IN("<a>\xC0", "!XML_ENCODING"),
    IN("<a>\xC1", "!XML_ENCODING"),
    IN("<a>\x80", "!XML_ENCODING"),
    IN("<a>\xBF", "!XML_ENCODING"),
    IN("<a>\xF5", "!XML_ENCODING"),
    IN("<a>\xFE", "!XML_ENCODING"),
    IN("<a>\xFF", "!XML_ENCODING"),
    IN("<a>\xE0\x9F\xBF", "!XML_ENCODING"),
    IN("<a>\xF0\x8F\xBF\xBF", "!XML_ENCODING"),
    IN("<a>\xED\xA0\x80", "!XML_ENCODING"),
    IN("<a>\xED\xBF\xBF", "!XML_ENCODING"),
    IN("<a>\xF4\x90\x80\x80", "!XML_ENCODING"),
    IN("<a>\xEF\xBF\xBE", "!XML*"),
    IN("<a>\xEF\xBF\xBF", "!XML*"),
    IN("<a>\xC3<", "!XML_ENCODING"),
    IN("<a>\xE2\x82<", "!XML_ENCODING"),
    IN("<a>\xF0\x9F\x98<", "!XML_ENCODING"),
    IN("<a>\xC3&", "!XML_ENCODING"),
    IN("<a>\xC3\xC3", "!XML_ENCODING"),
    IN("<a>\xC3\xA9\xA9", "!XML_ENCODING"),
    IN("<a b='\xC3'", "!XML_ENCODING"),
    IN("<a b='\xE2\x82'", "!XML_ENCODING"),
    IN("<a b='\xFF", "!XML_ENCODING"),
    IN("<a\xC3>", "!XML_ENCODING"),
    IN("<a \xC3=", "!XML_ENCODING"),
    IN("<a></a\xC3>", "!XML_ENCODING"),
    IN("<\xFF", "!XML_ENCODING"),

    /* ---- Names [XML 2.3], colons [Namespaces 3, 4] ---- */
    IN("<_/>", "U{d}_[]"),
    IN("<_a-b.c_1 _='1' a-b.c='2'/>", "U{d}_a-b.c_1 _='1' a-b.c='2'[]"),
    IN("<\xC3\xA9t\xC3\xA9 \xC3\xA9='1'></\xC3\xA9t\xC3\xA9>", "U{d}\xC3\xA9t\xC3\xA9 \xC3\xA9='1'[]"),
    IN("<p:\xE2\x82\x80\xC2\xB7 p:\xF0\x90\x80\x80='1'/>",
       "U{u}\xE2\x82\x80\xC2\xB7 {u}\xF0\x90\x80\x80='1'[]"),
    IN("<\xC3\xA9:a xmlns:\xC3\xA9='w'></\xC3\xA9:a>", "U{w}a[]"),
    IN("<1", "!XML"),
    IN("<-", "!XML"),
    IN("<.", "!XML"),
    IN("<a 1", "!XML"),
    IN("<a -", "!XML"),
    IN("<:", "!XML"),

    IN("<a:>", "!XML"),
    IN("<a:/", "!XML"),
    IN("<a: ", "!XML"),
    IN("<p:1", "!XML"),
    IN("<p:-", "!XML"),
    IN("<p::", "!XML"),
    IN("<p:a:", "!XML"),
    IN("<a :", "!XML"),
    IN("<a b:=", "!XML"),
    IN("<a xmlns:=", "!XML"),
    IN("<a p:b:", "!XML"),
    IN("<a p:1", "!XML"),
    IN("<p:a></p:>", "!XML"),
    IN("<p:a></:", "!XML"),
    IN("<p:a></p:a:", "!XML"),
    IN("<\xC3\x97", "!XML"), /* U+D7 */
    IN("<\xC2\xB7", "!XML"), /* U+B7: not as the first */
    IN("<p:\xC2\xB7", "!XML"),
    IN("<a \xCC\x80", "!XML"), /* U+300 */
    IN("<a\xC3\xB7", "!XML"),  /* U+F7 */
    IN("<a></a\xC3\x97", "!XML"),

    /* ---- A unit that is entered: its children are the units ---- */
    ENTER("<f><a/><b>t</b></f><c/>", "U{d}a[] U{d}b[t] L U{d}c[]"),
    ENTER("<f/><c/>", "L U{d}c[]"),
    ENTER("<f></f><c/>", "L U{d}c[]"),
    ENTER("<f x='1' xmlns='e'> <a/>\n<b xmlns=''/></f><c/>", "U{e}a[] U{}b[] L U{d}c[]"),
    ENTER("<p:f><a><b/></a></p:f><p:c/>", "U{d}a[{d}b[]] L U{u}c[]"),
    ENTER("<p:f xmlns:p='v' xmlns:q='w'><p:a q:x='1'/></p:f><p:b/>", "U{v}a {w}x='1'[] L U{u}b[]"),
    ENTER("<f><f/></f><f/>", "U{d}f[] L U{d}f[]"),
    ENTER("<a/><f><b/></f>", "U{d}a[] U{d}b[] L"),
    ENTER("<f><a>x</a></f></r>", "U{d}a[x] L E"),
    ENTER("<f>x", "!XML"),
    ENTER("<f><a/>x", "U{d}a[] !XML"),
    ENTER("<f><a/></g>", "U{d}a[] !XML"),
    ENTER("<f></r>", "!XML"),
    ENTER("<f><a></f>", "!XML"),
    ENTER("<f><a/></a>", "U{d}a[] !XML"),
    ENTER("<f><!", "!XML_RESTRICTED"),
    ENTER("<f><?", "!XML_RESTRICTED"),
    ENTER("<p:f><p:a xmlns:p='v'/></p:f>", "U{v}a[] L"),
    ENTER("<f><a/></f></f>", "U{d}a[] L !XML"),
};

/* ---- One input, read in every way ---- */

static struct reader whole, other;

static bool wants_error(const char *want)
{
    return strchr(want, '!') != NULL;
}

/* Does the record say what is wanted? "!XML*" at the end: any error of XML. */
static bool log_is(const char *log, const char *prefix, const char *want)
{
    size_t head = strlen(prefix), len = strlen(want), stem = len ? len - 1 : 0;
    const char *rest = log + head;
    if (strncmp(log, prefix, head) != 0)
        return false;
    if (head && len)
        rest += *rest == ' ';
    return len && want[stem] == '*' ? strncmp(rest, want, stem) == 0 : strcmp(rest, want) == 0;
}

static void sample_begin(struct reader *r, const struct sample *s, size_t size, int fill, size_t padding)
{
    reader_init(r, size, fill);
    if (s->kind == 'd')
        return;
    if (s->kind == 'e')
        r->enter = "f";
    if (padding) {
        char x[SMALL];
        memset(x, 'x', sizeof x);
        reader_feed(r, "<r xmlns='d' xmlns:p='u' q='", 28);
        reader_feed(r, x, padding);
        reader_feed(r, "'>", 2);
        if (r->log.len > padding) { /* "H{d}r q='xxx'", and perhaps an error */
            memcpy(x, r->log.text + 10 + padding, r->log.len - 10 - padding + 1);
            r->log.len = 5;
            tape_text(&r->log, x);
        }
    } else {
        reader_feed(r, ROOT, sizeof ROOT - 1);
    }
    r->taken = 0;
}

/* Where the last character begins: an error in UTF-8 may be noticed at any of its bytes. */
static size_t last_char(const struct sample *s)
{
    size_t at = s->len - 1;
    while (at > 0 && ((unsigned char)s->in[at] & 0xC0) == 0x80 && s->len - at < 4)
        at--;
    return (unsigned char)s->in[at] >= 0xC0 ? at : s->len - 1;
}

static void sample_report(const struct sample *s, const char *how, const char *log, const char *want)
{
    printf("%s:%d: %s\n", __FILE__, s->line, how);
    check_show("input", s->in, s->len);
    check_show("is  ", log, strlen(log));
    check_show("want", want, strlen(want));
}

/* Read as it came, then in bytes, then cut in two everywhere, in one size of buffer. */
static bool sample_cuts(const struct sample *s, size_t size, int fill)
{
    const char *prefix = s->kind == 'd' ? "" : "H{d}r";
    sample_begin(&whole, s, size, fill, 0);
    reader_feed(&whole, s->in, s->len);
    if (!log_is(whole.log.text, prefix, s->want)) {
        sample_report(s, "read whole", whole.log.text, s->want);
        return false;
    }
    sample_begin(&other, s, size, ~fill, 0);
    reader_pieces(&other, s->in, s->len, 1);
    if (strcmp(other.log.text, whole.log.text) != 0) {
        sample_report(s, "read byte by byte", other.log.text, whole.log.text);
        return false;
    }
    if (wants_error(s->want) && !strstr(s->want, "PREFIX") &&
        (other.taken <= last_char(s) || other.taken > s->len)) {
        printf("    noticed at byte %lu\n", (unsigned long)other.taken - 1);
        sample_report(s, "noticed too early", other.log.text, s->want);
        return false;
    }
    for (size_t cut_at = 1; cut_at < s->len; cut_at++) {
        sample_begin(&other, s, size, cut_at & 1 ? fill : ~fill, 0);
        reader_feed(&other, s->in, cut_at);
        reader_feed(&other, s->in + cut_at, s->len - cut_at);
        if (strcmp(other.log.text, whole.log.text) != 0) {
            printf("    cut at %lu\n", (unsigned long)cut_at);
            sample_report(s, "read in two pieces", other.log.text, whole.log.text);
            return false;
        }
    }
    return true;
}

static size_t each = 1; /* STEP */

/* A long root leaves so little room that the unit only just fits, or does not. */
static bool sample_tight(const struct sample *s)
{
    size_t begin = SMALL - 208 + (size_t)s->line % each;
    for (size_t padding = begin; padding < SMALL - 28; padding += each) {
        sample_begin(&whole, s, SMALL, 'x', padding);
        reader_feed(&whole, s->in, s->len);
        for (size_t piece = 1; piece < 10; piece = piece * 2 + 1) {
            sample_begin(&other, s, SMALL, 0, padding);
            reader_pieces(&other, s->in, s->len, piece);
            if (strcmp(other.log.text, whole.log.text) != 0) {
                printf("    padding %lu, pieces of %lu\n", (unsigned long)padding, (unsigned long)piece);
                sample_report(s, "in a tight buffer", other.log.text, whole.log.text);
                return false;
            }
        }
        if (log_is(whole.log.text, "H{d}r", s->want))
            continue;
        if (!strchr(whole.log.text, 'S') && !strstr(whole.log.text, "!XML_LIMIT")) {
            sample_report(s, "neither right nor skipped", whole.log.text, s->want);
            return false;
        }
    }
    return true;
}

static void test_samples(void)
{
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const struct sample *s = &samples[i];
        bool ok = sample_cuts(s, SMALL, 0) && sample_cuts(s, 777, 'x') && sample_cuts(s, 4096, 1);
        if (s->kind != 'd')
            ok = sample_tight(s) && ok;
        check_count(ok, __FILE__, s->line, "sample");
    }
}

/* ---- Built inputs ---- */

static char built[1 << 18];
static size_t built_len;

static void say(const char *more)
{
    size_t len = strlen(more);
    memcpy(built + built_len, more, len + 1);
    built_len += len;
}

static void say_times(const char *more, size_t times)
{
    while (times--)
        say(more);
}

static void say_root(void)
{
    built_len = 0;
    say(ROOT);
}

/* The text so far, whole, byte by byte and in pieces, must give exactly this. */
static bool gives_in(size_t size, const char *enter, const char *want)
{
    static const size_t pieces[] = {1 << 18, 1, 2, 3, 7, 64, 100};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        reader_init(&whole, size, (int)(i & 1) * 'x');
        whole.enter = enter;
        reader_pieces(&whole, built, built_len, pieces[i]);
        if (!log_is(whole.log.text, "", want)) {
            printf("    buffer of %lu, pieces of %lu\n", (unsigned long)size, (unsigned long)pieces[i]);
            check_show("input", built, built_len < 300 ? built_len : 300);
            check_show("is  ", whole.log.text, whole.log.len);
            check_show("want", want, strlen(want));
            return false;
        }
    }
    return true;
}

static bool gives(const char *want)
{
    return gives_in(4096, NULL, want);
}

/* ---- Every byte, every character ---- */

/* [XML 2.2] Char */
static bool spec_char(uint32_t c)
{
    return c == 0x9 || c == 0xA || c == 0xD || (c >= 0x20 && c <= 0xD7FF) || (c >= 0xE000 && c <= 0xFFFD) ||
           (c >= 0x10000 && c <= 0x10FFFF);
}

/* [XML 2.3] NameStartChar, without ':' [Namespaces 3] */
static bool spec_name_start(uint32_t c)
{
    return (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z') || (c >= 0xC0 && c <= 0xD6) ||
           (c >= 0xD8 && c <= 0xF6) || (c >= 0xF8 && c <= 0x2FF) || (c >= 0x370 && c <= 0x37D) ||
           (c >= 0x37F && c <= 0x1FFF) || (c >= 0x200C && c <= 0x200D) || (c >= 0x2070 && c <= 0x218F) ||
           (c >= 0x2C00 && c <= 0x2FEF) || (c >= 0x3001 && c <= 0xD7FF) || (c >= 0xF900 && c <= 0xFDCF) ||
           (c >= 0xFDF0 && c <= 0xFFFD) || (c >= 0x10000 && c <= 0xEFFFF);
}

/* [XML 2.3] NameChar */
static bool spec_name(uint32_t c)
{
    return spec_name_start(c) || c == '-' || c == '.' || (c >= '0' && c <= '9') || c == 0xB7 ||
           (c >= 0x300 && c <= 0x36F) || (c >= 0x203F && c <= 0x2040);
}

/* UTF-8 by the book, surrogates and beyond included. */
static size_t spec_encode(char *o, uint32_t c)
{
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        o[i] = (char)(0x80 | (c & 0x3F));
    o[0] = (char)(len == 1 ? c : lead[len] | c);
    return len;
}

/* What head, the bytes and tail give, behind the root's record; read whole. */
static const char *reads(const char *head, const char *bytes, size_t len, const char *tail)
{
    reader_init(&whole, SMALL, 0);
    reader_feed(&whole, ROOT, sizeof ROOT - 1);
    reader_feed(&whole, head, strlen(head));
    reader_feed(&whole, bytes, len);
    reader_feed(&whole, tail, strlen(tail));
    return whole.log.text + (whole.log.len > 5 ? 6 : 5);
}

/* head byte tail: is what comes out `before` byte `after`, or an error, as wanted? */
static bool byte_reads(unsigned c, bool wanted, const char *head, const char *tail, const char *before,
                       const char *after)
{
    char byte = (char)c, want[80];
    size_t at = strlen(before);
    const char *log = reads(head, &byte, 1, tail);
    bool ok = c < 0x80 ? strncmp(log, "!XML", 4) == 0 : strcmp(log, "!XML_ENCODING") == 0;
    if (wanted) {
        memcpy(want, before, at);
        want[at] = byte;
        memcpy(want + at + 1, after, strlen(after) + 1);
        ok = strcmp(log, want) == 0;
    }
    if (!ok)
        printf("    byte 0x%02X behind %s gives %s\n", c, head, log);
    return ok;
}

static void test_bytes(void)
{
    for (unsigned c = 0; c < 256; c++) {
        bool ascii = c < 0x80;
        if (c != '<' && c != '&' && c != '\r')
            CHECK(byte_reads(c, ascii && spec_char(c), "<a>", ".</a>", "U{d}a[", ".]"));
        if (c != '<' && c != '&' && c != '\'' && c != '\r' && c != '\n' && c != '\t')
            CHECK(byte_reads(c, ascii && spec_char(c), "<a b='", ".'/>", "U{d}a b='", ".'[]"));
        if (c != '!' && c != '?' && c != '/')
            CHECK(byte_reads(c, spec_name_start(c) && ascii, "<", "x/>", "U{d}", "x[]"));
        if (c > ' ' && c != '/' && c != '>')
            CHECK(byte_reads(c, spec_name_start(c) && ascii, "<a ", "x='1'/>", "U{d}a ", "x='1'[]"));
        if (c != '\t' && c != '\n' && c != '\r' && c != ' ' && c != ':' && c != '>' && c != '/') {
            CHECK(byte_reads(c, spec_name(c) && ascii, "<a", "x/>", "U{d}a", "x[]"));
            CHECK(byte_reads(c, spec_name(c) && ascii, "<a b", "x='1'/>", "U{d}a b", "x='1'[]"));
        }
    }
}

/* Is the character refused (or taken) everywhere as the specification says? */
static bool char_reads(uint32_t c)
{
    char in[4], want[64];
    size_t len = spec_encode(in, c);
    const char *log = reads("<a b='", in, len, "'/>");
    int n = snprintf(want, sizeof want, "U{d}a b='%.*s'[]", (int)len, in);
    bool ok = n > 0 && (spec_char(c) ? strcmp(log, want) == 0 : strncmp(log, "!XML", 4) == 0);
    log = reads("<a>", in, len, "</a>");
    snprintf(want, sizeof want, "U{d}a[%.*s]", (int)len, in);
    ok = ok && (spec_char(c) ? strcmp(log, want) == 0 : strncmp(log, "!XML", 4) == 0);
    log = reads("<", in, len, "/>");
    snprintf(want, sizeof want, "U{d}%.*s[]", (int)len, in);
    ok = ok && (spec_name_start(c) ? strcmp(log, want) == 0 : strncmp(log, "!XML", 4) == 0);
    log = reads("<a b", in, len, "='1'/>");
    snprintf(want, sizeof want, "U{d}a b%.*s='1'[]", (int)len, in);
    ok = ok && (spec_name(c) ? strcmp(log, want) == 0 : strncmp(log, "!XML", 4) == 0);
    if (!ok)
        printf("    U+%04lX: %s\n", (unsigned long)c, log);
    return ok;
}

static void test_characters(void)
{
    uint32_t bad = 0;
    for (uint32_t c = 0x80; c < 0x3100; c++)
        bad += !char_reads(c);
    for (uint32_t c = 0x3100; c < 0x10000; c += c >= 0xD7F0 && c < 0xD810 ? 1 : c > 0xF8F0 ? 1 : 17)
        bad += !char_reads(c);
    for (uint32_t plane = 0x10000; plane <= 0x110000; plane += 0x10000)
        for (uint32_t c = plane - 4; c < plane + 4; c++)
            bad += !char_reads(c);
    for (uint32_t c = 0x10000; c < 0x110000; c += 4999)
        bad += !char_reads(c);
    CHECK_INT(bad, 0);
}

/* All pairs of bytes, and longer sequences around every edge, against a decoder by the book. */
static bool spec_utf8(const uint8_t *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t c = s[i], size = c < 0x80   ? 1
                                  : c < 0xC0 ? 0
                                  : c < 0xE0 ? 2
                                  : c < 0xF0 ? 3
                                  : c < 0xF8 ? 4
                                             : 0;
        char again[4];
        if (size == 0 || i + size > len)
            return false;
        c = size == 1 ? c : c & (0x7FU >> size);
        for (size_t k = 1; k < size; k++) {
            if ((s[i + k] & 0xC0) != 0x80)
                return false;
            c = c << 6 | (s[i + k] & 0x3FU);
        }
        if (spec_encode(again, c) != size || !spec_char(c))
            return false;
        i += size;
    }
    return true;
}

static bool sequence_reads(const uint8_t *s, size_t len)
{
    char in[5], want[32];
    bool ok;
    const char *log;
    memcpy(in, s, len);
    in[len] = 0;
    log = reads("<a>", in, len, "</a>");
    snprintf(want, sizeof want, "U{d}a[%s]", in);
    ok = spec_utf8(s, len) ? strcmp(log, want) == 0 : strncmp(log, "!XML", 4) == 0;
    if (!ok)
        check_show("bytes", in, len);
    return ok;
}

static void test_utf8(void)
{
    static const uint8_t edges[] = {0x41, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x9F,
                                    0xA0, 0xBE, 0xBF, 0xC0, 0xC2, 0xFF};
    static const size_t n = sizeof edges;
    unsigned bad = 0;
    for (unsigned a = 0x80; a < 256; a++)
        for (unsigned b = 0x41; b < 256; b++) {
            uint8_t s[4] = {(uint8_t)a, (uint8_t)b, 0, 0};
            bad += !sequence_reads(s, 2);
        }
    for (unsigned a = 0xE0; a < 256; a++)
        for (size_t i = 0; i < n * n; i++) {
            uint8_t s[4] = {(uint8_t)a, edges[i / n], edges[i % n], 0x80};
            bad += !sequence_reads(s, 3);
            if (a >= 0xF0)
                bad += !sequence_reads(s, 4);
            s[3] = 0xBF;
            if (a >= 0xF0)
                bad += !sequence_reads(s, 4);
        }
    CHECK_INT(bad, 0);
}

/* ---- Bounds ---- */

static void say_name(size_t len)
{
    say_times("n", len);
}

/* Exactly MAX_NAME bytes pass, one more is too many, in each place a name can stand. */
static void test_name_bound(void)
{
    char name[XMPP_TINY_MAX_NAME + 1], want[512];
    memset(name, 'n', XMPP_TINY_MAX_NAME);
    name[XMPP_TINY_MAX_NAME] = 0;

    say_root(), say("<"), say_name(XMPP_TINY_MAX_NAME), say("/><b/>");
    snprintf(want, sizeof want, "H{d}r U{d}%s[] U{d}b[]", name);
    CHECK(gives(want));
    say_root(), say("<"), say_name(XMPP_TINY_MAX_NAME + 1), say("/><b/>");
    snprintf(want, sizeof want, "H{d}r S%d- U{d}b[]", XMPP_TINY_MAX_NAME + 4);
    CHECK(gives(want));

    say_root(), say("<a x='1' "), say_name(XMPP_TINY_MAX_NAME), say("='2'></a>");
    snprintf(want, sizeof want, "H{d}r U{d}a x='1' %s='2'[]", name);
    CHECK(gives(want));
    say_root(), say("<a x='1' "), say_name(XMPP_TINY_MAX_NAME + 1), say("='2'></a><b/>");
    snprintf(want, sizeof want, "H{d}r S%d{d}a x='1' U{d}b[]", XMPP_TINY_MAX_NAME + 19);
    CHECK(gives(want));

    say_root(), say("<a x='1'>t<"), say_name(XMPP_TINY_MAX_NAME), say("></"), say_name(XMPP_TINY_MAX_NAME),
        say("></a>");
    snprintf(want, sizeof want, "H{d}r U{d}a x='1'[t{d}%s[]]", name);
    CHECK(gives(want));
    say_root(), say("<a x='1'>t<"), say_name(XMPP_TINY_MAX_NAME + 1), say("></"),
        say_name(XMPP_TINY_MAX_NAME + 1);
    say("></a><b/>");
    snprintf(want, sizeof want, "H{d}r S%d{d}a x='1' U{d}b[]", 2 * (XMPP_TINY_MAX_NAME + 1) + 19);
    CHECK(gives(want));

    /* a prefix counts */
    say_root(), say("<p:"), say_name(XMPP_TINY_MAX_NAME - 2), say("/>");
    snprintf(want, sizeof want, "H{d}r U{u}%s[]", name + 2);
    CHECK(gives(want));
    say_root(), say("<p:"), say_name(XMPP_TINY_MAX_NAME - 1), say("/><b/>");
    snprintf(want, sizeof want, "H{d}r S%d- U{d}b[]", XMPP_TINY_MAX_NAME + 4);
    CHECK(gives(want));

    /* a closing tag that is too long matches nothing, however deep */
    say_root(), say("<a></"), say_name(XMPP_TINY_MAX_NAME + 1), say(">");
    CHECK(gives("H{d}r !XML"));
    say_root(), say("</"), say_name(XMPP_TINY_MAX_NAME + 1), say(">");
    CHECK(gives("H{d}r !XML*"));
    say_root(), say("</"), say_times("n", 2000), say(">");
    CHECK(gives_in(SMALL, NULL, "H{d}r !XML*"));
    say_root(), say("<f></"), say_name(XMPP_TINY_MAX_NAME + 1), say(">");
    CHECK(gives_in(4096, "f", "H{d}r !XML*"));

    /* the root's own are not to be skipped */
    built_len = 0;
    say("<"), say_name(XMPP_TINY_MAX_NAME), say("/>");
    snprintf(want, sizeof want, "H{}%s E", name);
    CHECK(gives(want));
    built_len = 0;
    say("<"), say_name(XMPP_TINY_MAX_NAME + 1), say("/>");
    CHECK(gives("!XML_LIMIT"));
    built_len = 0;
    say("<r "), say_name(XMPP_TINY_MAX_NAME + 1), say("='1'/>");
    CHECK(gives("!XML_LIMIT"));
}

static void say_attrs(size_t count, struct tape *want)
{
    for (size_t i = 0; i < count; i++) {
        char attr[48];
        snprintf(attr, sizeof attr, " a%lu='%lu'", (unsigned long)i, (unsigned long)i);
        say(attr);
        tape_text(want, attr);
    }
}

static void test_attribute_bound(void)
{
    static struct tape want;
    char size[16];

    say_root(), say("<a");
    want.len = 0;
    tape_text(&want, "H{d}r U{d}a");
    say_attrs(XMPP_TINY_MAX_ATTRS, &want);
    tape_text(&want, "[] U{d}b[]");
    say("/><b/>");
    CHECK(gives(want.text));

    /* declarations count, and only the attributes up to the bound are kept */
    say_root(), say("<a xmlns:q='w'");
    want.len = 0;
    tape_text(&want, "{d}a");
    say_attrs(XMPP_TINY_MAX_ATTRS - 1, &want);
    say(" z='1'></a>");
    snprintf(size, sizeof size, "S%lu", (unsigned long)(built_len - (sizeof ROOT - 1)));
    say("<b/>");
    reader_init(&whole, 4096, 0);
    reader_feed(&whole, built, built_len);
    CHECK(strncmp(whole.log.text + 6, size, strlen(size)) == 0);
    CHECK(strstr(whole.log.text, "z='1'") == NULL);
    CHECK(strstr(whole.log.text, " U{d}b[]") != NULL);
    CHECK(gives(whole.log.text));

    built_len = 0;
    say("<r");
    want.len = 0;
    tape_text(&want, "H{}r");
    say_attrs(XMPP_TINY_MAX_ATTRS, &want);
    tape_text(&want, " E");
    say("/>");
    CHECK(gives(want.text));
    built_len = 0;
    say("<r");
    say_attrs(XMPP_TINY_MAX_ATTRS + 1, &want);
    say("/>");
    CHECK(gives("!XML_LIMIT"));
}

static void test_depth_bound(void)
{
    static struct tape want;
    char size[64];
    /* the root is one */
    say_root(), say_times("<a>", XMPP_TINY_MAX_DEPTH - 1), say("x"),
        say_times("</a>", XMPP_TINY_MAX_DEPTH - 1);
    want.len = 0;
    tape_text(&want, "H{d}r U");
    for (int i = 0; i < XMPP_TINY_MAX_DEPTH - 1; i++)
        tape_text(&want, "{d}a[");
    tape_text(&want, "x");
    for (int i = 0; i < XMPP_TINY_MAX_DEPTH - 1; i++)
        tape_text(&want, "]");
    CHECK(gives(want.text));

    say_root(), say("<a id='1'>"), say_times("<a>", XMPP_TINY_MAX_DEPTH - 1), say("x");
    say_times("</a>", XMPP_TINY_MAX_DEPTH), say("<b/>");
    snprintf(size, sizeof size, "H{d}r S%d{d}a id='1' U{d}b[]", 11 + 7 * (XMPP_TINY_MAX_DEPTH - 1) + 4);
    CHECK(gives(size));

    say_root(), say_times("<a>", XMPP_TINY_MAX_DEPTH - 2), say("<b/><b/>"),
        say_times("</a>", XMPP_TINY_MAX_DEPTH - 2);
    reader_init(&whole, 4096, 0);
    reader_feed(&whole, built, built_len);
    CHECK(strstr(whole.log.text, "{d}b[]{d}b[]]") != NULL);
    say_root(), say("<a id='1'>"), say_times("<a>", XMPP_TINY_MAX_DEPTH - 2), say("<b/><b/>");
    say_times("</a>", XMPP_TINY_MAX_DEPTH - 1), say("<c/>");
    snprintf(size, sizeof size, "H{d}r S%d{d}a id='1' U{d}c[]", 10 + 8 + 7 * (XMPP_TINY_MAX_DEPTH - 2) + 4);
    CHECK(gives(size));
}

/* ---- Duplicates among many, whatever short cut the tokenizer takes ---- */

static uint32_t seed = 1;

static uint32_t dice(uint32_t sides)
{
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 8) % sides;
}

static void test_duplicates(void)
{
    static const char *const prefixes[] = {"", "", "p:", "q:", "s:"}; /* p and q are the same */
    char names[XMPP_TINY_MAX_ATTRS][16];
    unsigned bad = 0;
    for (int round = 0; round < 4000; round++) {
        size_t count = 2 + dice(XMPP_TINY_MAX_ATTRS - 3);
        bool twice = false;
        say_root(), say("<a xmlns:q='u' xmlns:s='v'");
        for (size_t i = 0; i < count - 2; i++) {
            char name[16];
            const char *prefix = prefixes[dice(round & 1 ? 5 : 1)];
            snprintf(name, sizeof name, "%s%c%c%c", prefix, 'a' + (int)dice(8), 'a' + (int)dice(4),
                     dice(2) ? 'x' : '-');
            if (name[0] == 'q')
                name[0] = 'p';
            for (size_t k = 0; k < i; k++)
                twice |= strcmp(names[k], name) == 0;
            memcpy(names[i], name, sizeof name);
            if (prefix[0] == 'q')
                name[0] = 'q';
            say(" "), say(name), say("='1'");
        }
        say("/>");
        reader_init(&whole, SMALL, 0);
        reader_feed(&whole, built, built_len);
        if (strcmp(whole.log.text, "H{d}r !XML") == 0 ? !twice : twice) {
            bad++;
            check_show("input", built, built_len);
            check_show("is  ", whole.log.text, whole.log.len);
        }
    }
    CHECK_INT(bad, 0);
}

/* ---- Skipping ---- */

/* The unit's middle, `length` units long, in all the ways a unit can be too big. */
static void say_middle(int way, size_t length)
{
    static const char *const filling[] = {
        "x",   "&amp;", "&#x10FFFF;",   "\xF0\x90\x80\x80", "\xC3\xA9", "<b/>", "<b c='1'></b>",
        "]]x", "\r\n",  "<p:b>t</p:b>",
    };
    static const size_t ways = sizeof filling / sizeof *filling;
    if (way < (int)ways) {
        say_times(filling[way], length);
    } else if (way == 10) {
        say("<b c='"), say_times("y", length), say("'/>");
    } else if (way == 11) {
        say("<b c='"), say_times("&#x10FFFF;", length), say("' d=''/>");
    } else if (way == 12) {
        say("<![CDATA["), say_times("]]<&>", length), say("]]>");
    } else if (way == 13) {
        say_times("<b>", length), say_times("</b>", length);
    } else if (way == 14) {
        say_times("<longer.than.usual>", length), say_times("</longer.than.usual>", length);
    } else {
        say("<b z"), say_times("z", length), say("='1' d='2' e='3'/>");
    }
}

/* Of any length: a unit is whole or skipped, for every way to cut the same; bytes, first tag and what
 * follows are right. */
static void test_skipped(void)
{
    static struct tape unit;
    for (int way = 0; way <= 15; way++) {
        bool ok = true, skipped = false;
        size_t turns = 0;
        for (size_t length = 0; ok && length < SMALL; length += (length < 40 || way < 9 ? 1 : 3) * each) {
            size_t from = sizeof ROOT - 1, size;
            char want[128];
            say_root(), say("<p:m from='x' id='7' xmlns:q='w'>");
            say_middle(way, length);
            say("</p:m>");
            size = built_len - from;
            say("<n/>");
            snprintf(want, sizeof want, "H{d}r S%lu{u}m from='x' id='7' U{d}n[]", (unsigned long)size);
            if (!skipped) {
                reader_init(&whole, SMALL, 0);
                reader_feed(&whole, built, built_len);
                unit.len = 0;
                tape_text(&unit, whole.log.text);
                skipped = strcmp(unit.text, want) == 0;
                turns += skipped;
                if (!skipped)
                    ok = strncmp(unit.text, "H{d}r U{u}m from='x' id='7'[", 28) == 0 &&
                         strstr(unit.text, "] U{d}n[]");
            }
            if (!ok) {
                check_show("is  ", unit.text, unit.len);
                check_show("want", want, strlen(want));
            }
            ok = ok && gives_in(SMALL, NULL, skipped ? want : unit.text);
            if (skipped && (turns += each) > 61)
                break;
        }
        if (!ok || !skipped)
            printf("    way %d\n", way);
        CHECK(ok);
        CHECK(skipped);
    }
}

/* Cut in two at every place while a unit is skipped. */
static void test_skipped_cuts(void)
{
    char want[128];
    bool ok = true;
    say_root();
    say("<a/><m to='\xC3\xA9&lt;' x='1'><b c='2'>t</b>");
    say_times("<c>\xF0\x90\x80\x80&#x10FFFF;<![CDATA[ ]] ]]></c>\r\n<p:d/>", 60);
    say("</m>");
    snprintf(want, sizeof want, "H{d}r U{d}a[] S%lu{d}m to='\xC3\xA9<' x='1' U{d}n[t]",
             (unsigned long)(built_len - (sizeof ROOT - 1) - 4));
    say("<n>t</n>");
    for (size_t at = 1; ok && at < built_len; at++) {
        reader_init(&whole, SMALL, (int)(at & 1) * 255);
        reader_feed(&whole, built, at);
        reader_feed(&whole, built + at, built_len - at);
        ok = strcmp(whole.log.text, want) == 0;
    }
    if (!ok)
        check_show("is  ", whole.log.text, whole.log.len);
    CHECK(ok);
}

/* A unit of exactly the room there is fits; with one byte more it does not. */
static void test_exact_fit(void)
{
    size_t fits = 0, size = SMALL;
    for (size_t length = SMALL - 268; length < SMALL + 32; length++) {
        say_root(), say("<m>"), say_times("x", length), say("</m><n/>");
        reader_init(&whole, size, 0);
        reader_feed(&whole, built, built_len);
        if (strncmp(whole.log.text, "H{d}r U{d}m[", 12) == 0) {
            CHECK(fits == 0 || fits == length - 1);
            fits = length;
            continue;
        }
        CHECK(strncmp(whole.log.text, "H{d}r S", 7) == 0);
    }
    /* the root takes less than it is long, and the compact form of <m></m> is no longer than itself */
    CHECK(fits >= size - (sizeof ROOT - 1) - 16);
    /* a larger buffer moves the bound by exactly as much */
    for (size_t more = 1; more < 4; more++) {
        say_root(), say("<m>"), say_times("x", fits + more), say("</m><n/>");
        reader_init(&whole, size + more, 0);
        reader_feed(&whole, built, built_len);
        CHECK(strncmp(whole.log.text, "H{d}r U{d}m[", 12) == 0);
        reader_init(&whole, size + more - 1, 0);
        reader_feed(&whole, built, built_len);
        CHECK(strncmp(whole.log.text, "H{d}r S", 7) == 0);
    }
}

/* What is skipped is still checked. */
static void test_skipped_errors(void)
{
    static const struct {
        const char *middle, *want;
    } rows[] = {
        {"<b></c>", "!XML"},
        {"<b><c></b></c>", "!XML"},
        {"</m></m>", "!XML"},
        {"<b></m>", "!XML"}, /* found when the unit ends */
        {"</b>", "!XML"},
        {"<b/></b>", "!XML"},
        {"<b></b></b>", "!XML"},
        {"]]>", "!XML"},
        {"&foo;", "!XML_RESTRICTED"},
        {"&#xD800;", "!XML"},
        {"&;", "!XML"},
        {"& ", "!XML"},
        {"<!-- -->", "!XML_RESTRICTED"},
        {"<?x?>", "!XML_RESTRICTED"},
        {"\x01", "!XML"},
        {"\xFF", "!XML_ENCODING"},
        {"\xC3<", "!XML_ENCODING"},
        {"\xED\xA0\x80", "!XML_ENCODING"},
        {"<b c='<'/>", "!XML"},
        {"<b c='1'd='2'/>", "!XML"},
        {"<b c/>", "!XML"},
        {"<b c=1/>", "!XML"},
        {"<b c='&x;'/>", "!XML_RESTRICTED"},
        {"<b c='\xC3'/>", "!XML_ENCODING"},
        {"<1/>", "!XML"},
        {"<b\xC3\x97/>", "!XML"},
        {"<b:/>", "!XML"},
        {"<b / >", "!XML"},
        {"<b></b c>", "!XML"},
        {"<![CDATA[\x02", "!XML"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char want[64];
        say_root(), say("<m id='1'>"), say_times("text that is too long ", 50);
        say(rows[i].middle), say("</m><n/>");
        if (strcmp(rows[i].middle, "</m></m>") == 0)
            snprintf(want, sizeof want, "H{d}r S%d{d}m id='1' !XML", 10 + 22 * 50 + 4);
        else
            snprintf(want, sizeof want, "H{d}r %s", rows[i].want);
        CHECK(gives_in(SMALL, NULL, want));
        if (check_failed)
            check_show("middle", rows[i].middle, strlen(rows[i].middle));
    }
}

/* The bytes said since `from`, and what else is wanted: "S<bytes>rest". */
static bool gives_skipped(size_t size, const char *before, const char *rest)
{
    char want[256];
    snprintf(want, sizeof want, "%sS%lu%s U{d}n[]", before, (unsigned long)(built_len - (sizeof ROOT - 1)),
             rest);
    say("<n/>");
    return gives_in(size, NULL, want);
}

/* How much of the first tag is kept when it is itself too big. */
static void test_skipped_first_tag(void)
{
    /* in a value: what came before it */
    say_root(), say("<m from='x' id='7' type='"), say_times("y", SMALL), say("' to='z'><b/></m>");
    CHECK(gives_skipped(SMALL, "H{d}r ", "{d}m from='x' id='7'"));
    say_root(), say("<m from='x' id='"), say_times("&#x10FFFF;", 300), say("'/>");
    CHECK(gives_skipped(SMALL, "H{d}r ", "{d}m from='x'"));
    /* in the name */
    say_root(), say("<"), say_times("m", SMALL), say(" id='1'/>");
    CHECK(gives_skipped(SMALL, "H{d}r ", "-"));
    /* in an attribute's name */
    say_root(), say("<m id='1' "), say_times("a", SMALL), say("='1'></m>");
    CHECK(gives_skipped(SMALL, "H{d}r ", "{d}m id='1'"));
    /* the tag complete, with a namespace of its own */
    say_root(), say("<q:m id='1' xmlns:q='w' q:x='2' xmlns='e'>"), say_times("<b>", 500),
        say_times("</b>", 500);
    say("</q:m>");
    CHECK(gives_skipped(SMALL, "H{d}r ", "{w}m id='1' {w}x='2'"));
    say_root(), say("<m xmlns='e' id='1'>"), say_times("t", 2000), say("</m>");
    CHECK(gives_skipped(SMALL, "H{d}r ", "{e}m id='1'"));
    /* one after the other, and in between */
    say_root(), say("<m id='1'>"), say_times("t", 2000), say("</m>\n<n/><m id='2'>"), say_times("<b/>", 500);
    say("</m> <n/>");
    CHECK(gives_in(SMALL, NULL, "H{d}r S2014{d}m id='1' U{d}n[] S2014{d}m id='2' U{d}n[]"));
}

/* Where exactly skipping begins in a first tag, and so what of it is kept, must not depend on the cut. */
#define LONG "0123456789abcdef0123456789abcdef0123"
#define HIGH "&#x10FFFF;&#x10FFFF;&#x10FFFF;&#x10FFFF;"

static void test_first_tag_cuts(void)
{

    static const struct sample rows[] = {
        IN("<m from='x' id='" HIGH HIGH HIGH HIGH "&#x10FFFF;' to='&#x10FFFF;'/>", ""),
        IN("<m from='" LONG LONG "\xF0\x90\x80\x80' to='\xF0\x90\x80\x80'>t</m>", ""),
        IN("<p:m xmlns:q='" LONG LONG "' q:x='' p:y='' z=''><q:n/></p:m>", ""),
        IN("<m a='" LONG LONG "' b='' c='' d='' e='' f=''><n a='' b=''/></m>", ""),
        IN("<m><longer.than.usual a='" LONG "'>&#x10FFFF;</longer.than.usual>&#x10FFFF;</m>", ""),
        IN("<m>" LONG LONG "&#x10FFFF;</m>", ""),
        IN("<m>" LONG LONG "<a b='&#x10FFFF;'/></m>", ""),
        IN("<m><![CDATA[" LONG LONG "]]></m><n/><o>x</o>", ""),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sample *s = &rows[i];
        unsigned bad = 0;
        for (size_t padding = SMALL - 168 + i % each; padding < SMALL - 78; padding += each) {
            sample_begin(&whole, s, SMALL, 0, padding);
            reader_feed(&whole, s->in, s->len);
            for (size_t at = 1; at < s->len; at++)
                for (size_t next = at; next < s->len && next < at + 10; next += 3) {
                    sample_begin(&other, s, SMALL, 'x', padding);
                    reader_feed(&other, s->in, at);
                    reader_feed(&other, s->in + at, next - at);
                    reader_feed(&other, s->in + next, s->len - next);
                    if (strcmp(whole.log.text, other.log.text) == 0)
                        continue;
                    if (bad++ == 0) {
                        printf("    padding %lu, cut at %lu and %lu\n", (unsigned long)padding,
                               (unsigned long)at, (unsigned long)next);
                        sample_report(s, "cut twice", other.log.text, whole.log.text);
                    }
                }
        }
        CHECK_INT(bad, 0);
    }
}

static void test_skipped_deep(void)
{
    char want[64];
    const size_t levels = 100000;
    static char deep[100000 * 7 + 64];
    char *at = deep;
    bool ok = true;
    memcpy(at, ROOT "<m id='1'>", sizeof ROOT - 1 + 10);
    at += sizeof ROOT - 1 + 10;
    for (size_t i = 0; i < levels; i++, at += 3)
        memcpy(at, "<b>", 3);
    for (size_t i = 0; i < levels; i++, at += 4)
        memcpy(at, "</b>", 4);
    memcpy(at, "</m><n/>", 8);
    at += 8;
    snprintf(want, sizeof want, "H{d}r S%lu{d}m id='1' U{d}n[]", (unsigned long)(levels * 7 + 14));
    for (size_t piece = 1; ok && piece < 5000; piece = piece * 7 + 2) {
        reader_init(&whole, SMALL, 0);
        reader_pieces(&whole, deep, (size_t)(at - deep), piece);
        ok = strcmp(whole.log.text, want) == 0;
    }
    if (!ok) {
        check_show("is  ", whole.log.text, whole.log.len);
        check_show("want", want, strlen(want));
    }
    CHECK(ok);
}

/* A child of the entered element that is too big is skipped; the next is not. */
static void test_skipped_entered(void)
{
    char want[128];
    say_root(), say("<f xmlns:q='w' xmlns='e'><a/><q:b id='1'>"), say_times("x", 2000),
        say("</q:b><c>t</c></f><d/>");
    snprintf(want, sizeof want, "H{d}r U{e}a[] S%d{w}b id='1' U{e}c[t] L U{d}d[]", 12 + 2000 + 6);
    CHECK(gives_in(SMALL, "f", want));
    say_root(), say("<f><a id='1'>"), say_times("<b>", 100), say_times("</b>", 99), say("</a></b></f>");
    CHECK(gives_in(SMALL, "f", "H{d}r !XML"));
    say_root(), say("<f>"), say_times("<a>t</a>", 1000), say("</f><c/>");
    reader_init(&whole, SMALL, 0);
    whole.enter = "f";
    reader_feed(&whole, built, built_len);
    CHECK_INT(whole.log.len, 5 + 1000 * 9 + 2 + 8);
    CHECK(strcmp(whole.log.text + whole.log.len - 10, " L U{d}c[]") == 0);
}

/* The stream's own tag is never skipped. */
static void test_header_too_big(void)
{
    built_len = 0;
    say("<r a='"), say_times("x", SMALL), say("'>");
    CHECK(gives_in(SMALL, NULL, "!XML_LIMIT"));
    built_len = 0;
    say("<?xml version='"), say_times("1", SMALL), say("'?>");
    CHECK(gives_in(SMALL, NULL, "!XML_LIMIT"));
    built_len = 0;
    say_times(" ", 5000), say("<r/>");
    CHECK(gives_in(SMALL, NULL, "H{}r E"));
    say_root(), say_times(" \n", 5000), say("<a/>"), say_times("\r\t", 5000), say("</r"),
        say_times(" ", 5000), say(">");
    CHECK(gives_in(SMALL, NULL, "H{d}r U{d}a[] E"));
    say_root(), say("<a"), say_times(" ", 5000), say("b"), say_times("\t", 5000), say("="),
        say_times("\n", 5000), say("'1'");
    say_times(" ", 5000), say("></a"), say_times(" ", 5000), say(">");
    CHECK(gives_in(SMALL, NULL, "H{d}r U{d}a b='1'[]"));
    /* long in raw bytes, short in compact form */
    say_root(), say("<a b='"), say_times("&lt;", 400), say("'>"), say_times("<![CDATA[]]>", 900), say("</a>");
    reader_init(&whole, SMALL, 0);
    reader_feed(&whole, built, built_len);
    CHECK_INT(whole.log.len, 6 + 5 + 4 + 400 + 3);
    CHECK(gives_in(SMALL, NULL, whole.log.text));
}

/* ---- Units that stay ---- */

static void test_hold(void)
{
    struct xmpp_tiny_el first, second;
    static struct tape was, is_now;
    reader_init(&whole, SMALL, 0);
    reader_feed(&whole, ROOT, sizeof ROOT - 1);
    whole.hold = true;
    reader_feed(&whole, "<a xmlns='e' b='1'>one<p:c/></a>", 32);
    first = tok_unit(&whole.tok);
    CHECK(!xmpp_tiny_found(first)); /* what is held is no unit any more */
    whole.hold = false;

    reader_init(&whole, SMALL, 0);
    reader_feed(&whole, ROOT, sizeof ROOT - 1);
    reader_feed(&whole, "<a xmlns='e' b='1'>one<p:c/></a>", 32);
    first = tok_unit(&whole.tok);
    tape_element(&was, first);
    tok_hold(&whole.tok);
    reader_feed(&whole, "<p:b xmlns:p='v'>two</p:b>", 26);
    second = tok_unit(&whole.tok);
    CHECK_STR(xmpp_tiny_ns(second), "v");
    CHECK_STR(xmpp_tiny_text(second), "two");
    for (int i = 0; i < 100; i++)
        reader_feed(&whole, "<x>yyyyyyyyyyyyyyyyyyyy</x>", 27);
    tape_element(&is_now, first);
    CHECK_TEXT(was.text, "{e}a b='1'[one{u}c[]]");
    CHECK_TEXT(is_now.text, was.text);

    /* held one after the other until there is no room: units are skipped, then refused */
    reader_init(&whole, SMALL, 0);
    reader_feed(&whole, ROOT, sizeof ROOT - 1);
    whole.hold = true;
    for (int i = 0; i < 200 && !whole.over; i++)
        reader_feed(&whole, "<a>xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx</a>", 43);
    CHECK(whole.over);
    CHECK(strcmp(whole.log.text + whole.log.len - 10, "!XML_LIMIT") == 0);
    CHECK(!strstr(whole.log.text, "no room"));
}

/* ---- Inputs nobody thought of ---- */

/* Samples, cut up, doubled, with bytes changed: however they are read, the result is the same. */
static void test_mutations(void)
{
    static const char alphabet[] = "<>/='\"&;#x![]?: \r\nabp\xC3\xA9\xF0\x90\x80";
    static char in[2048];
    unsigned bad = 0;
    for (int round = 0; round < 12000 && bad < 5; round++) {
        size_t len = 0, padding = dice(3) ? SMALL - 268 + dice(240) : 0;
        struct sample s = {0, in, 0, "", dice(8) ? 'i' : 'e'};
        for (uint32_t parts = 1 + dice(4); parts > 0; parts--) {
            const struct sample *from = &samples[dice(sizeof samples / sizeof *samples)];
            if (from->kind == 'd')
                continue;
            memcpy(in + len, from->in, from->len);
            len += from->len;
        }
        for (uint32_t changes = dice(4); len && changes > 0; changes--) {
            size_t at = dice((uint32_t)len);
            if (dice(3) == 0) {
                memmove(in + at, in + at + 1, len - at - 1);
                len--;
            } else {
                in[at] = alphabet[dice(sizeof alphabet - 1)];
            }
        }
        sample_begin(&whole, &s, SMALL, 0, padding);
        reader_feed(&whole, in, len);
        for (int way = 0; way < 3; way++) {
            sample_begin(&other, &s, SMALL, 'x', padding);
            for (size_t at = 0, piece; at < len && !other.over; at += piece) {
                piece = way == 0 ? 1 : 1 + dice(way == 1 ? 9 : 90);
                piece = piece < len - at ? piece : len - at;
                reader_feed(&other, in + at, piece);
            }
            if (strcmp(whole.log.text, other.log.text) != 0) {
                bad++;
                check_show("input", in, len);
                check_show("whole", whole.log.text, whole.log.len);
                check_show("other", other.log.text, other.log.len);
                printf("    padding %lu, kind %c\n", (unsigned long)padding, s.kind);
                break;
            }
        }
    }
    CHECK_INT(bad, 0);
}

static void test_constants(void)
{
    CHECK_INT((uint32_t)(SKIP_K * SKIP_K_INVERSE), 1);
}

/* A stanza whose first tag ends anywhere near the end of the buffer, cut there, is taken or skipped, and
 * the next one comes. */
static void test_first_tag_anywhere(void)
{
    enum { SIZE = 256 };
    static const char *const parts[] = {"'", ">", "<b>x</b></m>", "<n/>"};
    for (size_t fill = 1; fill < SIZE + 16; fill++) {
        char buf[SIZE], text[SIZE + 64];
        struct xmpp_tiny_tok_ t;
        unsigned units = 0, skipped = 0, part = 0, turns = 0;
        size_t at = 0, len = (size_t)snprintf(text, sizeof text, "<r><m from='%0*d", (int)fill, 0);
        int r = TOK_MORE;
        tok_init(&t, buf, sizeof buf);
        while (r >= 0 && units + skipped < 2 && turns++ < 2000) {
            r = tok_next(&t);
            units += r == TOK_UNIT;
            skipped += r == TOK_SKIPPED;
            if (r != TOK_MORE)
                continue;
            if (at == len && part < 4) {
                len = strlen(parts[part]);
                memcpy(text, parts[part++], len);
                at = 0;
            }
            {
                size_t room, n = len - at;
                char *window = tok_window(&t, &room);
                n = n < room ? n : room;
                memcpy(window, text + at, n);
                tok_fed(&t, n);
                at += n;
            }
        }
        if (!check_count(units + skipped == 2, __FILE__, __LINE__, "both stanzas come"))
            printf("    from of %u bytes: %u whole, %u skipped, last result %d\n", (unsigned)fill, units,
                   skipped, r);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && strcmp(argv[1], "-c") == 0 && strtoul(argv[2], NULL, 10) > 0)
        each = strtoul(argv[2], NULL, 10);
    if (each > 1)
        printf("only every %luth length was tried in tight buffers\n", (unsigned long)each);
    test_constants();
    test_samples();
    test_bytes();
    test_characters();
    test_utf8();
    test_name_bound();
    test_attribute_bound();
    test_depth_bound();
    test_duplicates();
    test_skipped();
    test_skipped_cuts();
    test_exact_fit();
    test_skipped_errors();
    test_skipped_first_tag();
    test_first_tag_cuts();
    test_first_tag_anywhere();
    test_skipped_deep();
    test_skipped_entered();
    test_header_too_big();
    test_hold();
    test_mutations();
    return check_done();
}
