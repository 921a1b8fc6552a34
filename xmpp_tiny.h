/* SPDX-License-Identifier: MIT
 *
 * xmpp_tiny: an XMPP client for microcontrollers. One C file, one header, no malloc.
 *
 * The header reads top to bottom as the life of a connection: limits, strings, errors, states,
 * events, ports, configuration, context; init, connect, poll, send, receive, disconnect; and at the
 * end the engine, for those who bring their own event loop.
 *
 * Threads: a client belongs to one task. Two clients share nothing. Nothing here may be called from
 * an interrupt. Unless a comment says otherwise, every function may be called from the task and from
 * inside the event callback, returns at once and allocates nothing.
 *
 * Results: 0 or a positive number is success, a negative number is one of enum xmpp_tiny_err.
 */
#ifndef XMPP_TINY_H
#define XMPP_TINY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define XMPP_TINY_VERSION "0.1.0"

/* ---- Limits ------------------------------------------------------------------------------------
 * Compile-time bounds. Define XMPP_TINY_CONFIG_FILE as the name of a header of your own, quote marks
 * included (-DXMPP_TINY_CONFIG_FILE='"my_config.h"'), to replace any of them. They must be the same in
 * every file of a program: sizes of structs depend on them. Prices are for Cortex-M3. */
#ifdef XMPP_TINY_CONFIG_FILE
#include XMPP_TINY_CONFIG_FILE
#endif

#ifndef XMPP_TINY_MAX_DEPTH /* open elements, the stream's root included; 4..64; 2 bytes of RAM each */
#define XMPP_TINY_MAX_DEPTH 16
#endif
#ifndef XMPP_TINY_MAX_NAME /* bytes of an element or attribute name with its prefix; 32..255; no RAM */
#define XMPP_TINY_MAX_NAME 96
#endif
#ifndef XMPP_TINY_MAX_ATTRS /* attributes and namespace declarations of one element; 8..64; no RAM */
#define XMPP_TINY_MAX_ATTRS 24
#endif
#ifndef XMPP_TINY_MAX_REQUESTS /* iq requests that wait for an answer; 1..32; 28 bytes of RAM each */
#define XMPP_TINY_MAX_REQUESTS 4
#endif
/* Bytes for what a server gives us to come back with: token, session, our JID, TLS session; 64..4,096. What
 * does not fit is not used. 320 are enough for the servers that are known */
#ifndef XMPP_TINY_MAX_TEXTS
#define XMPP_TINY_MAX_TEXTS 320
#endif
#ifndef XMPP_TINY_ENABLE_SHA512 /* 1: SCRAM-SHA-512(-PLUS); 96 bytes of RAM, and what the hash costs */
#define XMPP_TINY_ENABLE_SHA512 1
#endif
#ifndef XMPP_TINY_ENABLE_IDN /* 1: domains beyond ASCII, 0.5 KB */
#define XMPP_TINY_ENABLE_IDN 1
#endif
#ifndef XMPP_TINY_ENABLE_REGISTER /* 1: accounts made and passwords changed in-band, 0.7 KB */
#define XMPP_TINY_ENABLE_REGISTER 1
#endif
#ifndef XMPP_TINY_ENABLE_SESSIONS /* 1: stanzas are kept until the server has them, sessions resumed \
                                     [XEP-0198], 3 KB */
#define XMPP_TINY_ENABLE_SESSIONS 1
#endif
#ifndef XMPP_TINY_ENABLE_SASL2 /* 1: SASL2 and Bind 2 [XEP-0388, XEP-0386], 2 KB */
#define XMPP_TINY_ENABLE_SASL2 1
#endif
#ifndef XMPP_TINY_ENABLE_FAST /* 1: logins by token [XEP-0484], 1.4 KB; wants SASL2 */
#define XMPP_TINY_ENABLE_FAST XMPP_TINY_ENABLE_SASL2
#endif
/* 1: a server that lacks the keys for a stronger mechanism can be given them [XEP-0480]; wants SASL2,
 * 0.7 KB */
#ifndef XMPP_TINY_ENABLE_UPGRADE
#define XMPP_TINY_ENABLE_UPGRADE XMPP_TINY_ENABLE_SASL2
#endif
#ifndef XMPP_TINY_ENABLE_NAMES /* 1: names of errors, states, events, 0.5 KB; 2: and sentences, 2.5 KB */
#define XMPP_TINY_ENABLE_NAMES 1
#endif
#ifndef XMPP_TINY_ENABLE_TRACE /* 1: the platform's trace hook, 0.2 KB */
#define XMPP_TINY_ENABLE_TRACE 1
#endif

#if XMPP_TINY_ENABLE_SHA512 < 0 || XMPP_TINY_ENABLE_SHA512 > 1
#error "XMPP_TINY_ENABLE_SHA512 must be 0 or 1"
#endif
#if XMPP_TINY_ENABLE_IDN < 0 || XMPP_TINY_ENABLE_IDN > 1
#error "XMPP_TINY_ENABLE_IDN must be 0 or 1"
#endif
#if XMPP_TINY_ENABLE_REGISTER < 0 || XMPP_TINY_ENABLE_REGISTER > 1
#error "XMPP_TINY_ENABLE_REGISTER must be 0 or 1"
#endif
#if XMPP_TINY_ENABLE_SESSIONS < 0 || XMPP_TINY_ENABLE_SESSIONS > 1
#error "XMPP_TINY_ENABLE_SESSIONS must be 0 or 1"
#endif
#if XMPP_TINY_ENABLE_SASL2 < 0 || XMPP_TINY_ENABLE_SASL2 > 1
#error "XMPP_TINY_ENABLE_SASL2 must be 0 or 1"
#endif
#if XMPP_TINY_ENABLE_FAST < 0 || XMPP_TINY_ENABLE_FAST > XMPP_TINY_ENABLE_SASL2
#error "XMPP_TINY_ENABLE_FAST must be 0 or 1, and 0 without XMPP_TINY_ENABLE_SASL2"
#endif
#if XMPP_TINY_ENABLE_UPGRADE < 0 || XMPP_TINY_ENABLE_UPGRADE > XMPP_TINY_ENABLE_SASL2
#error "XMPP_TINY_ENABLE_UPGRADE must be 0 or 1, and 0 without XMPP_TINY_ENABLE_SASL2"
#endif
#if XMPP_TINY_ENABLE_NAMES < 0 || XMPP_TINY_ENABLE_NAMES > 2
#error "XMPP_TINY_ENABLE_NAMES must be 0, 1 or 2"
#endif
#if XMPP_TINY_ENABLE_TRACE < 0 || XMPP_TINY_ENABLE_TRACE > 1
#error "XMPP_TINY_ENABLE_TRACE must be 0 or 1"
#endif

#define XMPP_TINY_RX_MIN    1024  /* smallest receive buffer, bytes; 2,048 is comfortable */
#define XMPP_TINY_RX_MAX    65535 /* largest */
#define XMPP_TINY_TX_MIN    768   /* smallest transmit buffer, bytes; 1,024 is comfortable */
#define XMPP_TINY_TX_MAX    65535 /* largest */
#define XMPP_TINY_QUEUE_MIN 256   /* smallest part of it that is a queue */
#define XMPP_TINY_KEY_MAX   (XMPP_TINY_ENABLE_SHA512 ? 64 : 32) /* bytes of the longest hash in use */
#define XMPP_TINY_SALT_MAX  64         /* longest salt that can be kept in struct xmpp_tiny_keys */
#define XMPP_TINY_JID_MAX   3071       /* bytes of a full JID [RFC7622 3.1] */
#define XMPP_TINY_FOREVER   UINT32_MAX /* xmpp_tiny_poll(): nothing to do until bytes arrive */

/* ---- Strings -----------------------------------------------------------------------------------
 * A slice: UTF-8 bytes that need not end in NUL. {NULL, 0} is "absent", a non-NULL ptr with len 0 is
 * "present and empty". A slice handed to you points into the receive buffer and is valid until the
 * callback returns; a slice you hand in is read before the function returns and never kept. */
struct xmpp_tiny_str {
    const char *ptr;
    size_t len;
};

/* The slice of a C string; absent for NULL. */
struct xmpp_tiny_str xmpp_tiny_str(const char *text);

/* True when both slices hold the same bytes. */
bool xmpp_tiny_same(struct xmpp_tiny_str a, struct xmpp_tiny_str b);

/* ---- Errors ------------------------------------------------------------------------------------
 * name, origin, meaning, and the stream error by which the server is told, if it is. The first error of
 * a connection wins and stays until the next connect. */
/* clang-format off */
#define XMPP_TINY_ERRORS(X) \
    /* answers to a call; the connection goes on */ \
    X(AGAIN,          CALL,   "not now: try again after XMPP_TINY_EVENT_ROOM", "") \
    X(BUSY,           CALL,   "XMPP_TINY_MAX_REQUESTS wait for answers: try again after an ANSWER", "") \
    X(STATE,          CALL,   "not legal in this state", "") \
    X(CONFIG,         CALL,   "the configuration is incomplete or out of range", "") \
    X(ARGUMENT,       CALL,   "an argument is missing or malformed", "") \
    X(TEXT,           CALL,   "text is not UTF-8 or holds characters XML forbids", "") \
    X(TOO_BIG,        CALL,   "the stanza can never fit the transmit buffer", "") \
    X(STANZA,         CALL,   "a stanza came back as an error", "") \
    X(SAVED,          CALL,   "what was saved is damaged, of another version or of another account", "") \
    /* network */ \
    X(LOOKUP,         NET,    "the host name could not be resolved", "") \
    X(CONNECT,        NET,    "no address of the host accepted a connection", "") \
    X(LOST,           NET,    "the connection broke", "") \
    X(ENDED,          NET,    "the server ended the connection without closing the stream", "") \
    X(TIMEOUT,        TIME,   "the awaited answer did not come in time", "connection-timeout") \
    X(RANDOM,         LOCAL,  "the platform has no random numbers", "") \
    X(BUG,            LOCAL,  "the library or its port broke its own rules", "") \
    /* TLS and the server's identity */ \
    X(NO_TLS,         TLS,    "the server does not offer TLS", "") \
    X(TLS,            TLS,    "the TLS handshake or a record failed", "") \
    X(TLS_RECORD,     TLS,    "a TLS record exceeds the buffer: give the TLS port a larger one", "") \
    X(TRUNCATED,      TLS,    "the connection was cut without TLS close_notify", "") \
    X(CERT,           TLS,    "the server's certificate is malformed or not acceptable", "") \
    X(CERT_UNTRUSTED, TLS,    "no trust anchor vouches for the server's certificate", "") \
    X(CERT_NAME,      TLS,    "the certificate is not for the JID's domain", "") \
    X(CERT_TIME,      TLS,    "the certificate is expired or not yet valid", "") \
    X(CERT_CHANGED,   TLS,    "the server's key is not the one that is remembered", "") \
    X(PIN,            TLS,    "the server's key is none of those that are pinned", "") \
    X(CLOCK,          TLS,    "the time is unknown: certificates cannot be checked", "") \
    /* XML from the server */ \
    X(XML,            XML,    "not well-formed XML", "not-well-formed") \
    X(XML_RESTRICTED, XML,    "XML that XMPP forbids: comment, instruction, DTD or entity", "restricted-xml") \
    X(XML_ENCODING,   XML,    "not UTF-8", "unsupported-encoding") \
    X(XML_PREFIX,     XML,    "an undeclared or misused namespace prefix", "bad-namespace-prefix") \
    X(XML_LIMIT,      XML,    "an element exceeds a bound or the receive buffer", "policy-violation") \
    /* stream */ \
    X(HEADER,         STREAM, "the stream header has a wrong name or namespace", "invalid-namespace") \
    X(VERSION,        STREAM, "the stream is not of version 1.0 or later", "unsupported-version") \
    X(FROM,           STREAM, "the stream header is from another domain", "invalid-from") \
    X(FEATURES,       STREAM, "the server lacks a feature the client needs", "unsupported-feature") \
    X(UNEXPECTED,     STREAM, "an element that is not allowed here", "unsupported-stanza-type") \
    X(STREAM,         STREAM, "the server closed the stream with an error", "") \
    X(CLOSED,         STREAM, "the server closed the stream", "") \
    X(REDIRECT,       STREAM, "see-other-host names no usable host, or names one too often", "") \
    X(ACK,            STREAM, "the server acknowledges what was never sent", "undefined-condition") \
    X(ROLLBACK,       STREAM, "the session went on after it was saved: what came then is unknown", "undefined-condition") \
    X(REGISTER,       STREAM, "the server did not create the account", "") \
    X(BIND,           STREAM, "the server refused to bind a resource", "") \
    /* SASL */ \
    X(MECHANISM,      SASL,   "the server offers no mechanism that is allowed", "") \
    X(DOWNGRADE,      SASL,   "less is offered than there was, or the offer was tampered with", "policy-violation") \
    X(AUTH,           SASL,   "the server refused the credentials", "") \
    X(KEYS,           SASL,   "the keys are for another salt or count, and there is no password", "") \
    X(SASL,           SASL,   "a SASL message of the server is malformed", "not-authorized") \
    X(NONCE,          SASL,   "the server's nonce does not extend ours", "not-authorized") \
    X(ITERATIONS,     SASL,   "the iteration count is outside the allowed range", "not-authorized") \
    X(SERVER_PROOF,   SASL,   "the server could not prove that it knows the password", "not-authorized") \
    X(BINDING,        SASL,   "the TLS port could not give the channel binding", "")
/* clang-format on */

enum xmpp_tiny_err {
    XMPP_TINY_ERR_FIRST_ = -64, /* private: the table counts up from here */
#define XMPP_TINY_X(name, origin, text, condition) XMPP_TINY_ERR_##name,
    XMPP_TINY_ERRORS(XMPP_TINY_X)
#undef XMPP_TINY_X
};

enum xmpp_tiny_origin {
    XMPP_TINY_ORIGIN_CALL,
    XMPP_TINY_ORIGIN_LOCAL,
    XMPP_TINY_ORIGIN_NET,
    XMPP_TINY_ORIGIN_TIME,
    XMPP_TINY_ORIGIN_TLS,
    XMPP_TINY_ORIGIN_XML,
    XMPP_TINY_ORIGIN_STREAM,
    XMPP_TINY_ORIGIN_SASL
};

/* What went wrong. condition and text are the peer's own words (stream error, SASL failure, stanza
 * error) or, for NET and TLS, text is the port's; type is that of a stanza error ("cancel", "wait" ...);
 * absent when there are none. */
struct xmpp_tiny_error {
    int code; /* enum xmpp_tiny_err, 0 for none */
    struct xmpp_tiny_str type;
    struct xmpp_tiny_str condition;
    struct xmpp_tiny_str text;
};

/* "CERT_NAME" for XMPP_TINY_ERR_CERT_NAME, and its meaning; empty below the level of
 * XMPP_TINY_ENABLE_NAMES that has them. */
const char *xmpp_tiny_err_name(int err);
const char *xmpp_tiny_err_text(int err);
enum xmpp_tiny_origin xmpp_tiny_err_origin(int err);

/* Stanza error conditions with the error type that goes with each [RFC6120 8.3.3]. */
/* clang-format off */
#define XMPP_TINY_CONDITIONS(X) \
    X(BAD_REQUEST,             "bad-request",             MODIFY) \
    X(CONFLICT,                "conflict",                CANCEL) \
    X(FEATURE_NOT_IMPLEMENTED, "feature-not-implemented", CANCEL) \
    X(FORBIDDEN,               "forbidden",               AUTH) \
    X(GONE,                    "gone",                    CANCEL) \
    X(INTERNAL_SERVER_ERROR,   "internal-server-error",   CANCEL) \
    X(ITEM_NOT_FOUND,          "item-not-found",          CANCEL) \
    X(JID_MALFORMED,           "jid-malformed",           MODIFY) \
    X(NOT_ACCEPTABLE,          "not-acceptable",          MODIFY) \
    X(NOT_ALLOWED,             "not-allowed",             CANCEL) \
    X(NOT_AUTHORIZED,          "not-authorized",          AUTH) \
    X(POLICY_VIOLATION,        "policy-violation",        MODIFY) \
    X(RECIPIENT_UNAVAILABLE,   "recipient-unavailable",   WAIT) \
    X(REDIRECT,                "redirect",                MODIFY) \
    X(REGISTRATION_REQUIRED,   "registration-required",   AUTH) \
    X(REMOTE_SERVER_NOT_FOUND, "remote-server-not-found", CANCEL) \
    X(REMOTE_SERVER_TIMEOUT,   "remote-server-timeout",   WAIT) \
    X(RESOURCE_CONSTRAINT,     "resource-constraint",     WAIT) \
    X(SERVICE_UNAVAILABLE,     "service-unavailable",     CANCEL) \
    X(SUBSCRIPTION_REQUIRED,   "subscription-required",   AUTH) \
    X(UNDEFINED_CONDITION,     "undefined-condition",     CANCEL) \
    X(UNEXPECTED_REQUEST,      "unexpected-request",      WAIT)
/* clang-format on */

enum xmpp_tiny_condition {
    XMPP_TINY_CONDITION_NONE_, /* private: conditions are positive */
#define XMPP_TINY_X(name, element, type) XMPP_TINY_CONDITION_##name,
    XMPP_TINY_CONDITIONS(XMPP_TINY_X)
#undef XMPP_TINY_X
};

/* ---- States ------------------------------------------------------------------------------------
 * Named by what is awaited. */
/* clang-format off */
#define XMPP_TINY_STATES(X) \
    X(OFF)        /* not connected */ \
    X(WAIT)       /* the time of the next attempt to connect */ \
    X(OPEN)       /* the transport's connection */ \
    X(SECURE)     /* the TLS handshake */ \
    X(HEADER)     /* the server's stream header */ \
    X(FEATURES)   /* the server's features */ \
    X(PROCEED)    /* the answer to STARTTLS */ \
    X(REGISTER)   /* the answers to the registration */ \
    X(CHALLENGE)  /* the SASL challenge */ \
    X(KEYS)       /* our own key derivation */ \
    X(SUCCESS)    /* the SASL outcome */ \
    X(RESUME)     /* the answer to the wish to resume the session */ \
    X(BIND)       /* the bound resource */ \
    X(ONLINE)     /* nothing: stanzas flow */ \
    X(CLOSE)      /* the server's closing tag */ \
    X(SHUT)       /* the end of TLS and transport */
/* clang-format on */

enum xmpp_tiny_state {
#define XMPP_TINY_X(name) XMPP_TINY_STATE_##name,
    XMPP_TINY_STATES(XMPP_TINY_X)
#undef XMPP_TINY_X
};

/* ---- Received elements -------------------------------------------------------------------------
 * A received stanza is a compact tree inside the receive buffer; an xmpp_tiny_el is a cursor on one
 * of its elements, passed by value, valid until the callback returns. All functions take the empty
 * cursor, so look-ups can be chained without checks:
 *
 *     body = xmpp_tiny_text(xmpp_tiny_child(event->el, "body", NULL));
 */
struct xmpp_tiny_el {
    const char *buf;
    uint16_t at, ns; /* private; at == 0: no element */
};

/* True when the cursor stands on an element. */
bool xmpp_tiny_found(struct xmpp_tiny_el el);

/* Local name and namespace of the element. Cost: O(length of the name). */
struct xmpp_tiny_str xmpp_tiny_name(struct xmpp_tiny_el el);
struct xmpp_tiny_str xmpp_tiny_ns(struct xmpp_tiny_el el);

/* True when the element has this local name and namespace.
 * name NULL: any name. ns NULL: the namespace of stanzas, "jabber:client"; ns "*": any. */
bool xmpp_tiny_is(struct xmpp_tiny_el el, const char *name, const char *ns);

/* First child element of that name and namespace; empty when there is none.
 * name NULL: any name. ns NULL: the parent's namespace; ns "*": any. Cost: O(bytes of the parent). */
struct xmpp_tiny_el xmpp_tiny_child(struct xmpp_tiny_el parent, const char *name, const char *ns);

/* Next sibling of that name and namespace, counted from el. name NULL: any name. ns NULL: el's own
 * namespace; ns "*": any. */
struct xmpp_tiny_el xmpp_tiny_next(struct xmpp_tiny_el el, const char *name, const char *ns);

/* Value of an attribute without namespace ("id"), or of the xml prefix ("xml:lang"); absent if missing. */
struct xmpp_tiny_str xmpp_tiny_attr(struct xmpp_tiny_el el, const char *name);

/* Walks all attributes: start with *iter = 0, stop at false. Namespace declarations are left out.
 * ns is empty for attributes without a prefix. */
bool xmpp_tiny_attr_next(struct xmpp_tiny_el el, uint16_t *iter, struct xmpp_tiny_str *name,
                         struct xmpp_tiny_str *ns, struct xmpp_tiny_str *value);

/* The element's own text before its first child element; empty if it has none, absent for no element.
 * References are resolved, CDATA is merged, line ends are LF [XML 2.11]. */
struct xmpp_tiny_str xmpp_tiny_text(struct xmpp_tiny_el el);

/* The text that stands between el and its next sibling or the end of its parent (mixed content). */
struct xmpp_tiny_str xmpp_tiny_text_after(struct xmpp_tiny_el el);

/* ---- JIDs --------------------------------------------------------------------------------------
 * [RFC7622]. ASCII is handled in full: case folding of local part and domain, forbidden characters,
 * host name and IP literal syntax. Characters beyond ASCII must be valid UTF-8 and are compared byte
 * by byte: give them normalised, as servers send them. */
struct xmpp_tiny_jid {
    struct xmpp_tiny_str local;    /* absent: none */
    struct xmpp_tiny_str domain;   /* without a trailing dot */
    struct xmpp_tiny_str resource; /* absent: bare JID */
};

/* Splits and checks. Returns 0, or ARGUMENT for what is not a JID. The parts point into text. */
int xmpp_tiny_jid_parse(struct xmpp_tiny_str text, struct xmpp_tiny_jid *jid);

/* Compare whole JIDs, or without their resources. False if either is not a JID. */
bool xmpp_tiny_jid_same(struct xmpp_tiny_str a, struct xmpp_tiny_str b);
bool xmpp_tiny_jid_same_bare(struct xmpp_tiny_str a, struct xmpp_tiny_str b);

/* ---- Events ------------------------------------------------------------------------------------
 * Fields that apply are named; the others are zero. */
/* clang-format off */
#define XMPP_TINY_EVENTS(X) \
    X(CONNECTED)     /* the transport is open; nothing is encrypted yet */ \
    X(CHANGED)       /* the server's certificate is not the one in config.saved; the new one is in
                        xmpp_tiny_security(), and nothing was sent to it yet. If its key is another too, the
                        connection ends with CERT_CHANGED unless XMPP_TINY_ACCEPT is returned or
                        the key is pinned */ \
    X(SECURED)       /* TLS is up and the server is who the JID's domain says: xmpp_tiny_security() */ \
    X(REGISTERED)    /* the account was created just now [XEP-0077] */ \
    X(AUTHENTICATED) /* both sides have proved themselves; saved: what is worth storing changed */ \
    X(ONLINE)        /* to: our full JID; resumed: the session goes on. If not, it is a new one: nobody has
                        seen presence from it, and requests of the old one were told as LOST */ \
    X(MESSAGE)       /* el from to id type subject body thread; error if type is "error" */ \
    X(PRESENCE)      /* el from to id type show status priority; error if type is "error" */ \
    X(ANSWER)        /* request el from id; error: code 0, the peer's stanza error, or TIMEOUT/LOST;
                        exactly one per request that xmpp_tiny_send() accepted */ \
    X(ELEMENT)       /* el from to id type: what else came: a child of the stream that is no stanza, or an
                        answer that no request waits for (the iq was sent raw, or it comes too late, or
                        is forged: its sender proves nothing); error if type is "error" */ \
    X(SKIPPED)       /* a stanza exceeded a bound and was skipped: name from id type size, error */ \
    X(ROOM)          /* after a call that returned AGAIN: there is room again */ \
    X(DELIVERED)     /* tag: the server has taken over the stanza that bears it. Not told for tag 0 */ \
    X(UNDELIVERED)   /* tag: that stanza is given up. It did not arrive, or nobody knows: the session it
                        was sent in has ended without a word about it, or the connection broke when answers
                        to what arrived had taken its room in a full queue */ \
    X(ERROR)         /* error: why the connection is about to end */ \
    X(DISCONNECTED)  /* error: likewise, it has ended; wait: the next attempt begins in so many milliseconds */ \
    X(CLOSED)        /* it has ended, and nothing is attempted; always the last event after
                        xmpp_tiny_connect(); unsent: stanzas that wait for the session to be resumed, or
                        without a queue those that were accepted but may not have left */
/* clang-format on */

enum xmpp_tiny_event_kind {
#define XMPP_TINY_X(name) XMPP_TINY_EVENT_##name,
    XMPP_TINY_EVENTS(XMPP_TINY_X)
#undef XMPP_TINY_X
};

struct xmpp_tiny_event {
    enum xmpp_tiny_event_kind kind;
    struct xmpp_tiny_el el; /* the whole stanza */
    struct xmpp_tiny_str name, from, to, id, type;
    struct xmpp_tiny_str subject, body, thread; /* MESSAGE */
    struct xmpp_tiny_str show, status;          /* PRESENCE */
    int8_t priority;                            /* PRESENCE: -128..127 */
    uint16_t request;                           /* ANSWER: what xmpp_tiny_send() returned */
    uint16_t unsent;                            /* CLOSED */
    bool saved;                                 /* AUTHENTICATED */
    bool resumed;                               /* ONLINE */
    uint32_t tag;                               /* DELIVERED, UNDELIVERED */
    uint32_t wait;                              /* DISCONNECTED */
    uint32_t size;                              /* SKIPPED: bytes as received */
    struct xmpp_tiny_error error;
};

struct xmpp_tiny;

/* The application's callback. From inside it, and from inside a handler, everything may be called but
 * xmpp_tiny_init() and the engine; xmpp_tiny_connect() returns STATE, xmpp_tiny_poll() and
 * xmpp_tiny_step() return 0, all without doing anything. A client may be connected again after CLOSED,
 * from the main loop.
 * Returns 0; or, for MESSAGE, PRESENCE, ELEMENT and an ANSWER that came, XMPP_TINY_ERR_AGAIN when a send
 * function returned that: the same event comes again when the transmit buffer has drained, before any
 * other; nothing is read until then; or, for CHANGED, XMPP_TINY_ACCEPT. Other values, and those for other
 * events, count as 0. */
#define XMPP_TINY_ACCEPT 1
typedef int (*xmpp_tiny_event_fn)(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user);

/* Answers incoming iq requests whose payload is <name xmlns='ns'/>. event->el is the iq; its payload
 * is xmpp_tiny_child(event->el, name, ns); event->type is "get" or "set".
 * Returns 0 when the request was answered (xmpp_tiny_begin_result() .. xmpp_tiny_send()) or will be (copy
 * from and id, and later begin an "iq" of type "result" with them); a positive enum
 * xmpp_tiny_condition to have the library send that error; XMPP_TINY_ERR_AGAIN to be called again when
 * there is room. For anything else the library answers internal-server-error, and to requests no
 * handler claims service-unavailable. name NULL: any; ns "*": any, never NULL. */
typedef int (*xmpp_tiny_handler_fn)(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user);
struct xmpp_tiny_handler {
    const char *name, *ns;
    xmpp_tiny_handler_fn fn;
};

/* ---- Ports -------------------------------------------------------------------------------------
 * What a system has to provide. port/posix and port/bearssl are two that work; tests/conformance
 * checks any. */

/* Results of stream operations: > 0 done (bytes moved), 0 orderly end, and these. Any other negative
 * number counts as FAILED. */
#define XMPP_TINY_IO_FAILED (-1)
#define XMPP_TINY_IO_AGAIN  (-2)

enum xmpp_tiny_binding {
    XMPP_TINY_BINDING_NONE,
    XMPP_TINY_BINDING_TLS_UNIQUE,          /* [RFC5929 3] only after a full handshake */
    XMPP_TINY_BINDING_TLS_SERVER_END_POINT /* [RFC5929 4] */
};

/* Mechanisms, strongest last: one that is bound to the TLS channel (-PLUS) finds out a man in the middle. */
/* clang-format off */
#define XMPP_TINY_MECHANISMS(X) \
    X(ANONYMOUS,          "ANONYMOUS") \
    X(PLAIN,              "PLAIN") \
    X(SCRAM_SHA_1,        "SCRAM-SHA-1") \
    X(SCRAM_SHA_256,      "SCRAM-SHA-256") \
    X(SCRAM_SHA_512,      "SCRAM-SHA-512") \
    X(SCRAM_SHA_1_PLUS,   "SCRAM-SHA-1-PLUS") \
    X(SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS") \
    X(SCRAM_SHA_512_PLUS, "SCRAM-SHA-512-PLUS") \
    X(EXTERNAL,           "EXTERNAL")
/* clang-format on */

enum xmpp_tiny_mechanism {
#define XMPP_TINY_X(name, text) XMPP_TINY_MECHANISM_##name,
    XMPP_TINY_MECHANISMS(XMPP_TINY_X)
#undef XMPP_TINY_X
};

/* The bit of a mechanism in xmpp_tiny_config.mechanisms. */
#define XMPP_TINY_ALLOW(name) (1U << XMPP_TINY_MECHANISM_##name)

/* By what the server's identity is established. */
enum xmpp_tiny_trust {
    XMPP_TINY_TRUST_NONE,
    XMPP_TINY_TRUST_CA,  /* a trust anchor vouches for the certificate; name and dates hold */
    XMPP_TINY_TRUST_PIN, /* its key is one of those pinned; nothing else of the certificate counts. Or it is
                            the one remembered from the first use, and name and dates hold */
    XMPP_TINY_TRUST_CA_PIN,   /* both */
    XMPP_TINY_TRUST_FIRST_USE /* nobody vouches for it; name and dates hold */
};

/* How a login went. */
enum xmpp_tiny_via {
    XMPP_TINY_VIA_CLASSIC, /* [RFC6120 6] */
    XMPP_TINY_VIA_SASL2,   /* [XEP-0388] */
    XMPP_TINY_VIA_FAST     /* by token [XEP-0484]; then mechanism is that of the login which got it */
};

/* How a connection is protected. */
struct xmpp_tiny_security {
    /* From the TLS port. Texts are valid until the connection closes, and may be empty. */
    enum xmpp_tiny_trust trust;
    const char *version, *suite, *key_exchange; /* "TLS 1.2", "ECDHE_ECDSA_WITH_...", "x25519" */
    struct xmpp_tiny_str subject, issuer; /* of the certificate, "O=Example, CN=a.example"; may be cut */
    int64_t not_before, not_after;        /* its validity, seconds since 1970 */
    uint8_t spki[32], certificate[32];    /* SHA-256 of the server's public key and certificate */
    bool resumed;                         /* an earlier TLS session goes on */
    /* From the client: how both sides proved to know the password, once they have. */
    bool authenticated;
    enum xmpp_tiny_via via;
    enum xmpp_tiny_mechanism mechanism;
    enum xmpp_tiny_binding binding;
};

/* A byte stream. The struct is the first member of the port's own, so that a port needs neither
 * void pointers nor malloc. A TLS stream is a stream laid over another. No operation may block. */
struct xmpp_tiny_stream {
    const struct xmpp_tiny_stream_ops *ops;
};
struct xmpp_tiny_stream_ops {
    /* Connects to host (name or address) and port, trying every address the name has. Called again
     * with the same arguments until it returns something else than AGAIN; host stays valid that long
     * and does not end in NUL. Returns > 0 open, FAILED, AGAIN. After close() it starts afresh. */
    int (*open)(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port);
    /* Starts and drives the TLS handshake; returns > 0 only when the server proved to be `name` (the
     * JID's domain, A-labels for IDN) by what the application trusts: see enum xmpp_tiny_trust.
     * Called again until it is not AGAIN. NULL in a stream without TLS; the client refuses those. */
    int (*secure)(struct xmpp_tiny_stream *s, struct xmpp_tiny_str name);
    /* Moves at most len bytes (len > 0); short counts are fine. The buffer is the caller's and not
     * kept. read returns 0 only after an orderly end: FIN, with TLS close_notify. write never returns
     * 0; what it took may be held back until the next read or write. */
    int (*read)(struct xmpp_tiny_stream *s, void *buf, size_t len);
    int (*write)(struct xmpp_tiny_stream *s, const void *buf, size_t len);
    /* Pushes out what write held back, then close_notify where there is TLS, and ends our direction.
     * Called again until it is not AGAIN. Returns > 0 done, FAILED, AGAIN. */
    int (*shut)(struct xmpp_tiny_stream *s);
    /* Releases everything at once and forgets secrets. Any number of times, in any state. */
    void (*close)(struct xmpp_tiny_stream *s);
    /* Writes the channel binding to out (64 bytes). Returns its length, or FAILED if this
     * connection has none of that type. NULL where there is no TLS. */
    int (*binding)(struct xmpp_tiny_stream *s, enum xmpp_tiny_binding type, uint8_t *out);
    /* Fills in what TLS knows of struct xmpp_tiny_security, which is zero. NULL where there is no TLS. */
    void (*security)(struct xmpp_tiny_stream *s, struct xmpp_tiny_security *security);
    /* What lets a later connection go on with this TLS session [RFC5246 7.3]: writes it to data (size bytes;
     * at most 128 are asked for) and returns its length; 0 if there is none or it does not fit. It is secret.
     * Called while the stream is open. NULL where sessions are not resumed. */
    size_t (*save)(struct xmpp_tiny_stream *s, uint8_t *data, size_t size);
    /* Before open(): the next secure() may go on with the session that save() wrote down, if everything that
     * was checked then still holds; a server that does not know it any more gets a full handshake. spki and
     * certificate are what security() told of it, 32 bytes each. All is copied. Data it cannot use are
     * ignored. NULL together with save. */
    void (*load)(struct xmpp_tiny_stream *s, const uint8_t *data, size_t len, const uint8_t *spki,
                 const uint8_t *certificate);
    /* After FAILED: the fitting enum xmpp_tiny_err, and in *detail a static text or NULL. */
    int (*error)(struct xmpp_tiny_stream *s, const char **detail);
};

enum xmpp_tiny_hash { XMPP_TINY_SHA1, XMPP_TINY_SHA256, XMPP_TINY_SHA512 };

/* Hash functions, from the TLS library. Digests are 20, 32 or 64 bytes. */
struct xmpp_tiny_crypto {
    void (*hash)(enum xmpp_tiny_hash h, const void *data, size_t len, uint8_t *digest);
    /* HMAC over the concatenation of count parts; digest may be key. [RFC2104] */
    void (*hmac)(enum xmpp_tiny_hash h, const void *key, size_t key_len, const struct xmpp_tiny_str *parts,
                 size_t count, uint8_t *digest);
    /* `rounds` rounds of PBKDF2's inner loop: u = HMAC(key, u), t ^= u. [RFC8018 5.2] */
    void (*pbkdf2)(enum xmpp_tiny_hash h, const void *key, size_t key_len, uint8_t *u, uint8_t *t,
                   uint32_t rounds);
};

struct xmpp_tiny_platform {
    /* Milliseconds since any moment, monotonic; may wrap. Never NULL. */
    uint32_t (*now_ms)(void *ctx);
    /* Fills buf with cryptographically strong random bytes; false if it cannot. Never NULL. */
    bool (*random)(void *ctx, void *buf, size_t len);
    /* Seconds since 1970 UTC; 0 if unknown. Used by TLS ports. May be NULL: unknown. */
    int64_t (*unix_time)(void *ctx);
    /* The session as it goes: '>' sent, '<' received, cut anywhere; what is received is not checked yet.
     * SASL is masked. May be NULL. */
    void (*trace)(void *ctx, char direction, const char *text, size_t len);
    void *ctx;
};

/* ---- Configuration -----------------------------------------------------------------------------
 * A const struct that may live in flash; everything it points to must outlive the client. Zero means
 * the default. */

enum xmpp_tiny_tls {
    XMPP_TINY_TLS_START, /* STARTTLS, port 5222 [RFC6120 5] */
    XMPP_TINY_TLS_DIRECT /* TLS from the first byte, port 5223 [XEP-0368] */
};

/* Keys derived from a password for one salt and count. They let their holder log in as the user and pose as
 * the server: keep them as secret as a password. [RFC5802 3] */
struct xmpp_tiny_keys {
    enum xmpp_tiny_hash hash;
    uint32_t iterations; /* 0: none */
    uint8_t salt_len, salt[XMPP_TINY_SALT_MAX];
    uint8_t client_key[XMPP_TINY_KEY_MAX], server_key[XMPP_TINY_KEY_MAX];
};

/* What one connection teaches the next. The application owns it: all zero at first, kept as long as the
 * client lives, and what outlives power-off is written by xmpp_tiny_save(). Secret, because of keys and
 * token. What belongs to another account counts as empty.
 *
 * With it a login needs no password as long as the server keeps salt and count (those that store plain
 * passwords make a new salt each time) and no key derivation, or it is done by token; a session is resumed;
 * an offer weaker than it was is the error DOWNGRADE, another certificate the event CHANGED. To allow what is
 * weaker after all, clear mechanism. */
struct xmpp_tiny_saved {
    uint32_t account;                  /* whose; private */
    uint8_t spki[32], certificate[32]; /* the server's, as in struct xmpp_tiny_security */
    uint8_t mechanism, binding;        /* the strongest that was used */
    uint8_t features, token;           /* what the server is able to; of what kind the token is; private */
    uint8_t device[16];                /* names this device to the server [XEP-0388 2.3]; random */
    struct xmpp_tiny_keys keys;
    uint8_t texts[XMPP_TINY_MAX_TEXTS]; /* private */
};

struct xmpp_tiny_config {
    const char *jid;               /* user@domain, or user@domain/resource to ask for a resource;
                                      a domain alone for ANONYMOUS */
    const char *password;          /* UTF-8; beyond ASCII as SASLprep would leave it. May be NULL with keys in
                                      saved (where they do not fit, the error is KEYS), EXTERNAL or ANONYMOUS */
    struct xmpp_tiny_saved *saved; /* NULL: nothing is remembered. Needed for trust on first use, and to
                                      resume sessions and log in by token */
    bool classic;                  /* log in as in RFC 6120 even if the server has SASL2 [XEP-0388] */
    bool no_pipelining;            /* wait for each answer even where it is known before [XEP-0509] */
    bool carbons;                  /* have copies of what other devices of the account send [XEP-0280] */
    bool create_account;           /* make the account with this password before logging in [XEP-0077],
                                      unless saved knows that it is there; one that exists is no error,
                                      and on first use none is made: CERT_UNTRUSTED.
                                      Wants XMPP_TINY_ENABLE_REGISTER */
    uint32_t mechanisms;           /* XMPP_TINY_ALLOW() bits; 0: the SCRAM family. The strongest that is both
                                      allowed and offered is tried, once. PLAIN, ANONYMOUS and EXTERNAL (which
                                      wants a client certificate in the TLS port) must be named to be used */
    enum xmpp_tiny_tls tls;
    const char *host; /* where to connect; NULL: the JID's domain. Never what is verified: that is
                         the domain */
    uint16_t port;    /* 0: 5222, or 5223 for direct TLS */

    struct xmpp_tiny_stream *stream;
    const struct xmpp_tiny_platform *platform;
    const struct xmpp_tiny_crypto *crypto;

    void *rx;          /* receive buffer, the application's, not read or written by it while connected */
    size_t rx_size;    /* XMPP_TINY_RX_MIN..XMPP_TINY_RX_MAX bytes: the largest stanza that is not
                          skipped, in compact form, plus some 300 bytes */
    void *tx;          /* transmit buffer, likewise */
    size_t tx_size;    /* XMPP_TINY_TX_MIN..XMPP_TINY_TX_MAX bytes: the largest stanza that can be
                          sent, plus 200 bytes; with a queue, that and XMPP_TINY_TX_MIN at least */
    size_t queue_size; /* Wants XMPP_TINY_ENABLE_SESSIONS. 0, or so many bytes of tx hold stanzas until the
                          server has them [XEP-0198], each with 7 bytes more: sessions are resumed, nothing is
                          lost, and stanzas may be sent at any time: they leave when they can.
                          XMPP_TINY_QUEUE_MIN at least */
    bool resend;       /* what a session that could not be resumed left behind is sent again in the next,
                          though some of it may have arrived (what was loaded: only if the server says that
                          it has not); else it is UNDELIVERED. Answers and requests are never sent again */

    xmpp_tiny_event_fn event;                 /* never NULL */
    const struct xmpp_tiny_handler *handlers; /* handler_count entries; first match wins */
    size_t handler_count;
    void *user; /* handed to event and handlers */

    uint32_t timeout_ms;       /* longest wait in any state, and for a write to move; default 30,000;
                                  1,000..600,000 */
    uint32_t iterations_max;   /* most PBKDF2 iterations a server may ask for; default 100,000; at
                                  least 4,096 */
    uint32_t iterations_slice; /* most iterations in one poll; default 256; any number */
    uint8_t redirects_max;     /* see-other-host followed in a row; default 2; 255: none. Once online it is
                                  followed only with keep */

    bool keep;             /* connect again by itself, but not after errors that this cannot mend: a wrong
                              password, a certificate, a policy, another client with our resource */
    uint32_t retry_ms;     /* first wait before that, doubled with each failure, of which between half and
                              all is waited; back to the first after something was delivered or answered;
                              default 2,000 */
    uint32_t retry_max_ms; /* longest; default 300,000 */
    uint32_t ping_ms;      /* after so long without a byte from the server it is asked whether it is there
                              [XEP-0198, XEP-0199], and has timeout_ms to answer. Less after a link that
                              died silently, and slowly back. At most 2^31-1; default 300,000;
                              XMPP_TINY_FOREVER: never */
    uint32_t space_ms;     /* after so long without a byte to the server one is sent [RFC6120 4.6.1];
                              at most 2^31-1; default: only as the server wants it [XEP-0478];
                              XMPP_TINY_FOREVER: never */
};

/* ---- Context -----------------------------------------------------------------------------------
 * Visible so that it can be static; private all the same. */
struct xmpp_tiny_utf8_ {
    uint32_t point;
    uint8_t need, size;
};
struct xmpp_tiny_tok_ {
    uint8_t state, tail, count, flags;
    char quote;
    bool skip, whole;      /* whole: the unit's first tag was complete when skipping began */
    uint32_t depth, level; /* open elements; depth at which units begin */
    struct xmpp_tiny_utf8_ utf8;
    char *buf, *limit;       /* all of it */
    char *base;              /* where units begin; before it lies what is kept */
    char *in, *end, *from;   /* unread input: in..end; where this call began */
    char *out, *stop;        /* compact form: base..out; a unit that reaches stop is too big */
    char *tag, *mark, *keep; /* of the tag and the name in progress; of what is known of a unit */
    uint32_t hash, seen, bytes;
    uint16_t open[XMPP_TINY_MAX_DEPTH];
};
struct xmpp_tiny_out_ {
    int8_t error;
    uint8_t depth, flags, request, carry_len, carry[3];
    bool flows; /* stanzas may leave */
    char *buf;
    uint16_t size, next, commit, end; /* kept until acknowledged .. due .. being written */
    uint16_t at, gone;                /* the entry that has begun, and bytes of it that have left */
    uint32_t tag, max;                /* of the next stanza; the largest the server takes, 0: any */
    const char *names[6];
};
struct xmpp_tiny_save_ {
    uint16_t left; /* stanzas that the server has to take over before it is told of more than .. */
    uint16_t pongs;
    uint32_t in; /* .. these */
};
struct xmpp_tiny_link_ {
    uint32_t flags;
    uint16_t offers;
    uint16_t covered;   /* stanzas that the answer to what we asked acknowledges */
    uint16_t used;      /* bytes of the transmit buffer, when the last unit was handled */
    uint8_t attempts;   /* to connect, since something was delivered */
    uint8_t barren;     /* connections that fell silent before anything was */
    uint8_t id[8];      /* of the iq by which we ask */
    uint32_t in, acked; /* stanzas handled by us, by the server [XEP-0198 4] */
    uint32_t again;     /* so many that we have come again */
    uint32_t claimed;   /* by the server, wrongly */
    uint32_t heard, spoke, ask_at, ping_ms, space_ms;
    uint16_t pongs; /* answers to our own pings */
    struct xmpp_tiny_save_ saves[2];
};
struct xmpp_tiny_sasl_ {
    uint8_t mechanism, binding, via,
        token; /* token: kind asked for, or in use; as in struct xmpp_tiny_saved */
    uint8_t bindings, flags, hash, upgrade;
    uint16_t offered;
    uint32_t iterations, left;
    char *kept;                  /* where what is kept of the features begins, .. */
    struct xmpp_tiny_el list[2]; /* the lists of mechanisms and bindings in it, .. */
    struct xmpp_tiny_str lists;  /* and what is left of it */
    struct xmpp_tiny_str first, challenge, nonce, salt;
    uint8_t u[XMPP_TINY_KEY_MAX + 2], t[XMPP_TINY_KEY_MAX], proof[XMPP_TINY_KEY_MAX];
};
struct xmpp_tiny_request_ {
    uint8_t id[16];   /* random letters */
    uint32_t address; /* digest of whom was asked */
    uint32_t deadline;
    uint16_t number; /* 0: free */
    bool secret;     /* neither it nor its answer is traced */
};
struct xmpp_tiny {
    uint8_t state, flags, features, held; /* offsets below 32 are the cheapest on ARM */
    const struct xmpp_tiny_config *config;
    uint8_t redirects;
    uint8_t name_len;    /* of the domain in A-labels, in the receive buffer; 0: it needs none */
    bool moved;          /* host is where a server sent us, in the receive buffer */
    bool first_use;      /* nobody vouches for the server but its key, which is new to us */
    bool keys_refused;   /* those in config.saved */
    bool upgrade_failed; /* the server wanted a key that we could not make */
    uint16_t port, next_request;
    struct xmpp_tiny_out_ out;
    uint32_t deadline, write_deadline;
    uint32_t account; /* digest of our JID */
    struct xmpp_tiny_link_ link;
    struct xmpp_tiny_tok_ tok;
    struct xmpp_tiny_str host, bound;
    struct xmpp_tiny_jid jid; /* of the configuration */
    struct xmpp_tiny_error error;
    struct xmpp_tiny_event event; /* being told */
    struct xmpp_tiny_sasl_ sasl;
    struct xmpp_tiny_request_ requests[XMPP_TINY_MAX_REQUESTS];
};

/* ---- Life of a connection ---------------------------------------------------------------------- */

/* Prepares a client. The config is kept, not copied, and its stream must have been initialised before.
 * Returns 0, or CONFIG: a pointer that is marked so is NULL, a number is out of its range, the JID is
 * malformed, lacks its local part (which only ANONYMOUS does without) or has a domain that is none in DNS, or
 * there is no password, no saved and no mechanism that does without.
 * When: before anything else, and again at any time while not connected, though there is no need. */
int xmpp_tiny_init(struct xmpp_tiny *x, const struct xmpp_tiny_config *config);

/* Starts to connect, or ends the wait for the next attempt. Returns 0, or STATE. Events follow from
 * xmpp_tiny_poll(); the last is CLOSED. When: not connected; not from inside a callback. */
int xmpp_tiny_connect(struct xmpp_tiny *x);

/* Does what can be done now: moves bytes, handles a few received stanzas or one slice of key
 * derivation, calls the application, minds the clock. Returns in how many milliseconds it wants to be
 * called again at the latest, sooner if the transport has bytes or room; 0: at once;
 * XMPP_TINY_FOREVER: not before the transport or the application has something.
 * A stanza begun but not sent is dropped. When: from the main loop, never from inside a callback. */
uint32_t xmpp_tiny_poll(struct xmpp_tiny *x);

/* Ends the session in order: sends what was accepted, closes the stream, TLS and the transport. Takes
 * timeout_ms and 3 seconds at most. Stanzas may still come until CLOSED; sending returns STATE, iq requests
 * are not answered any more. Returns 0, or STATE when there is nothing to end. */
int xmpp_tiny_disconnect(struct xmpp_tiny *x);

/* Ends the connection but not the session, which the server keeps for a time, often some minutes: the
 * next connect resumes it. Requests end as LOST. Otherwise as xmpp_tiny_disconnect(); where the session
 * cannot be resumed, the same. */
int xmpp_tiny_suspend(struct xmpp_tiny *x);

/* Writes all that one needs to go on after power-off: what config.saved holds, the session, and what the
 * queue holds. Returns the length, or TOO_BIG. Without stanzas some 500 bytes with the defaults, at most
 * XMPP_TINY_SAVE_MAX; a stanza takes 7 bytes, and its own length if that fits too: else it is UNDELIVERED
 * after a load unless the server has it. Secret. May be called at any moment, also in a callback: what that
 * is told counts as taken, so save again if it returned AGAIN. Between two saves the client makes sure that
 * a session which went on after the first is recognised: ROLLBACK. (Not if an old blob was loaded and saved
 * anew with more stanzas before the server was asked, nor if what it holds was given up since for want of
 * room: save whenever xmpp_tiny_changed() says so, then what is loaded is never old.)
 * When: after xmpp_tiny_init(), with config.saved. */
#define XMPP_TINY_SAVE_MAX (sizeof(struct xmpp_tiny_saved) + 40)
int xmpp_tiny_save(struct xmpp_tiny *x, void *blob, size_t size);

/* Takes up what was saved, and wipes nothing: whoever loads the same blob twice is told by the error
 * ROLLBACK, then has a new session. Returns 0, or SAVED if the blob is damaged, of another version or build,
 * or of another account: then nothing changed, and a login from the beginning follows. TOO_BIG: the queue is
 * too small for its stanzas. When: after xmpp_tiny_init(), before anything was sent or connected. */
int xmpp_tiny_load(struct xmpp_tiny *x, const void *blob, size_t len);

/* True when xmpp_tiny_save() would write something that the last one did not. */
bool xmpp_tiny_changed(const struct xmpp_tiny *x);

/* The next login by token is the last: the server forgets the token, and so do we [XEP-0484 3.6]. */
void xmpp_tiny_forget(struct xmpp_tiny *x);

/* Whether anybody looks at what arrives [XEP-0352]. An inactive client is sent what matters, the rest when
 * it is active again. Holds until it is changed, over connections; active at first. */
void xmpp_tiny_active(struct xmpp_tiny *x, bool active);

enum xmpp_tiny_state xmpp_tiny_state(const struct xmpp_tiny *x);
const char *xmpp_tiny_state_name(enum xmpp_tiny_state state);
const char *xmpp_tiny_event_name(enum xmpp_tiny_event_kind kind);

/* The error of the connection that ended or is about to; code 0 if there is none. Valid until the next
 * connect. */
const struct xmpp_tiny_error *xmpp_tiny_error(const struct xmpp_tiny *x);

/* Our full JID, from ONLINE until CLOSED; absent otherwise. */
struct xmpp_tiny_str xmpp_tiny_jid(const struct xmpp_tiny *x);

/* How the connection is protected. Returns 0, or STATE while there is no TLS. */
int xmpp_tiny_security(struct xmpp_tiny *x, struct xmpp_tiny_security *security);

/* The name of a mechanism, and its number or -1 for a name that is unknown. */
const char *xmpp_tiny_mechanism_name(enum xmpp_tiny_mechanism m);
int xmpp_tiny_mechanism_number(const char *name);

/* ---- Sending -----------------------------------------------------------------------------------
 * A stanza is accepted whole or not at all. Returns 0 (or a request's number) when it was accepted;
 * AGAIN when the transmit buffer is too full now (EVENT_ROOM tells when to try again); TOO_BIG when it
 * does not fit an empty one or is larger than the server takes [XEP-0478]; TEXT when a string is not fit for
 * XML; ARGUMENT; STATE when not online, or with a queue, when it is closing. Order is kept. Absent strings
 * leave their element or attribute out. [RFC6120 8] Bytes leave in the next xmpp_tiny_poll(): after sending
 * from the main loop, poll before you sleep.
 *
 * With a queue, each accepted stanza ends in one event: DELIVERED if it bears a tag, or UNDELIVERED. A server
 * without stream management is asked by XEP-0199 pings instead: what it answers, it has read. */

/* The next call that sends or begins a stanza gives it this tag, whether it succeeds or not. Not 0. */
void xmpp_tiny_tag(struct xmpp_tiny *x, uint32_t tag);

struct xmpp_tiny_message {
    struct xmpp_tiny_str to, type, id, subject, body, thread; /* type absent: "normal" */
};
int xmpp_tiny_message(struct xmpp_tiny *x, const struct xmpp_tiny_message *message);

struct xmpp_tiny_presence {
    struct xmpp_tiny_str to, type, id, show, status; /* type absent: available */
    int8_t priority;                                 /* 0 is left out */
};
int xmpp_tiny_presence(struct xmpp_tiny *x, const struct xmpp_tiny_presence *presence);

/* XEP-0199 ping. to absent: our own server. timeout_ms as for xmpp_tiny_begin_request(). Returns the
 * request's number; its ANSWER is the pong. An error may come from the entity, which is there then, or in
 * its name from a server (service-unavailable, remote-server-not-found): only code 0 proves it. */
int xmpp_tiny_ping(struct xmpp_tiny *x, struct xmpp_tiny_str to, uint32_t timeout_ms);

/* Changes the password of the account [XEP-0077 3.3]. Returns the request's number; an ANSWER with code 0
 * says that the new one counts, and then it belongs into the configuration; after a TIMEOUT or LOST either
 * may count. CERT_UNTRUSTED if nobody vouches for the server and no channel binding does. timeout_ms as for
 * xmpp_tiny_begin_request(). Wants XMPP_TINY_ENABLE_REGISTER. */
int xmpp_tiny_change_password(struct xmpp_tiny *x, struct xmpp_tiny_str password, uint32_t timeout_ms);

/* Refuses a received stanza with an error [RFC6120 8.3]. text may be absent. Errors and iq results are
 * never answered: ARGUMENT. */
int xmpp_tiny_reject(struct xmpp_tiny *x, struct xmpp_tiny_el stanza, enum xmpp_tiny_condition condition,
                     struct xmpp_tiny_str text);

/* Piece by piece: begin, put elements, send. Errors stick: check only what xmpp_tiny_send() returns.
 * Anything else that is sent, or begun, in between drops what was begun.
 * At most 6 elements may be open at once, the stanza included. Names are the application's own
 * constants and are not escaped; they must live until send. Everything else is escaped.
 *
 *     xmpp_tiny_begin(x, "message", to, xmpp_tiny_str("chat"), id);
 *     xmpp_tiny_put_start(x, "received", "urn:xmpp:receipts");
 *     xmpp_tiny_put_attr(x, "id", event->id);
 *     xmpp_tiny_put_end(x);
 *     err = xmpp_tiny_send(x);
 */
void xmpp_tiny_begin(struct xmpp_tiny *x, const char *name, struct xmpp_tiny_str to,
                     struct xmpp_tiny_str type, struct xmpp_tiny_str id);
/* An iq request; type is "get" or "set"; the library makes the id and watches for the answer, which
 * counts only if it comes from the address asked [RFC6120 8.2.3]. to absent: our own account.
 * timeout_ms: at most 2^31-1; 0: that of the configuration. xmpp_tiny_send() returns its number,
 * 1..65535, or BUSY when XMPP_TINY_MAX_REQUESTS are waiting already. Numbers go on over connections. */
void xmpp_tiny_begin_request(struct xmpp_tiny *x, const char *type, struct xmpp_tiny_str to,
                             uint32_t timeout_ms);
/* The result for a received iq request. */
void xmpp_tiny_begin_result(struct xmpp_tiny *x, struct xmpp_tiny_el iq);

void xmpp_tiny_put_start(struct xmpp_tiny *x, const char *name, const char *ns); /* ns NULL: inherited */
void xmpp_tiny_put_attr(struct xmpp_tiny *x, const char *name, struct xmpp_tiny_str value);
void xmpp_tiny_put_text(struct xmpp_tiny *x, struct xmpp_tiny_str text);
void xmpp_tiny_put_base64(struct xmpp_tiny *x, const void *data, size_t len);
void xmpp_tiny_put_end(struct xmpp_tiny *x);
/* XML as it is, for what is already serialised. Its characters are checked, its structure is the
 * caller's word: a server closes the stream on XML that is not well-formed. */
void xmpp_tiny_put_raw(struct xmpp_tiny *x, struct xmpp_tiny_str xml);
/* <name xmlns='ns'>text</name>, or nothing when text is absent. */
void xmpp_tiny_put_element(struct xmpp_tiny *x, const char *name, const char *ns, struct xmpp_tiny_str text);

/* Closes what is open and hands the stanza over. */
int xmpp_tiny_send(struct xmpp_tiny *x);

/* A whole stanza that is serialised already, under the terms of xmpp_tiny_put_raw(). */
int xmpp_tiny_send_raw(struct xmpp_tiny *x, struct xmpp_tiny_str stanza);

/* ---- Engine ------------------------------------------------------------------------------------
 * The client without I/O: xmpp_tiny_poll() is a loop over these, and a system with an event loop of
 * its own, or a test, can be another. The engine lends windows, says what it wants, and is told what
 * happened. Of config->stream it then calls only ops->binding and ops->security. */

enum xmpp_tiny_want {
    XMPP_TINY_WANT_NOTHING,
    XMPP_TINY_WANT_OPEN,   /* open xmpp_tiny_host(), report */
    XMPP_TINY_WANT_SECURE, /* handshake, verify the domain, report */
    XMPP_TINY_WANT_IO,     /* move bytes both ways; report an end or a failure */
    XMPP_TINY_WANT_SHUT,   /* flush, close_notify, report */
    XMPP_TINY_WANT_CLOSE   /* release the transport, report */
};
enum xmpp_tiny_want xmpp_tiny_want(const struct xmpp_tiny *x);

/* What was wanted is done (result > 0), or failed with err and a static text or NULL; for IO, result 0
 * is the peer's orderly end. "Try later" is not reported. A report of what is not wanted is ignored. */
void xmpp_tiny_report(struct xmpp_tiny *x, enum xmpp_tiny_want what, int result, int err, const char *detail);

/* Where to connect, and the name that the server has to prove. */
struct xmpp_tiny_str xmpp_tiny_host(const struct xmpp_tiny *x, uint16_t *port);
struct xmpp_tiny_str xmpp_tiny_domain(const struct xmpp_tiny *x);

/* Received bytes go into the window; then tell how many, at most room. The window is empty, and may be
 * NULL, while stanzas wait to be handled by xmpp_tiny_step(). */
void *xmpp_tiny_rx(struct xmpp_tiny *x, size_t *room);
void xmpp_tiny_received(struct xmpp_tiny *x, size_t len);

/* Bytes to be sent, valid until the next call for this client; then tell how many were. */
const void *xmpp_tiny_tx(const struct xmpp_tiny *x, size_t *len);
void xmpp_tiny_sent(struct xmpp_tiny *x, size_t len);

/* Handles at most one received element, one slice of key derivation, and the clock. Returns as
 * xmpp_tiny_poll(). */
uint32_t xmpp_tiny_step(struct xmpp_tiny *x);

#ifdef __cplusplus
}
#endif
#endif
