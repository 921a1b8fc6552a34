/* SPDX-License-Identifier: MIT
 *
 * The checker of tests/conformance.h. Each check opens a connection, treats it in some way and closes
 * it; it stops at the first thing that is wrong, and the next one starts afresh.
 */
#include "conformance.h"

#include <stdio.h>
#include <string.h>

/* Calls in a row without progress after which something is taken to be stuck. */
#define PATIENCE 20000

/* The largest buffers that are handed to the port, and guard bytes behind them. */
#define PIECE_MAX 9000
#define GUARD     16

/* Bytes that the core asks for to keep a TLS session. */
#define SESSION_MAX 128

uint8_t conformance_pattern(size_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8) * 13 + 1);
}

/* ---- Reports ----------------------------------------------------------------------------------- */

/* Always false, so that a check can return it. */
static bool wrong(struct conformance *c, const char *format, long number, long other)
{
    char text[400];
    int len = snprintf(text, sizeof text, "%s: ", c->doing);

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#endif
    (void)snprintf(text + len, sizeof text - (size_t)len, format, number, other);
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
    c->report(c, text);
    return false;
}

/* After FAILED: error() has to give one of the table's codes, of the port's kind. */
static bool error_fits(struct conformance *c)
{
    const char *detail = NULL;
    int code = c->stream->ops->error(c->stream, &detail);
    enum xmpp_tiny_origin origin;

    if (code >= 0 || code <= XMPP_TINY_ERR_FIRST_ || *xmpp_tiny_err_name(code) == '\0') {
        return wrong(c, "error() returned %ld after a failure: return one of enum xmpp_tiny_err", code, 0);
    }
    origin = xmpp_tiny_err_origin(code);
    if (origin != XMPP_TINY_ORIGIN_NET && origin != XMPP_TINY_ORIGIN_TLS &&
        origin != XMPP_TINY_ORIGIN_LOCAL && origin != XMPP_TINY_ORIGIN_TIME) {
        return wrong(
            c, "error() returned %ld, which is no error of a transport: LOST, CONNECT, TLS and such fit",
            code, 0);
    }
    if (detail != NULL && strlen(detail) > 200) {
        return wrong(c, "error() gave a detail of %ld bytes: give a short static text or NULL",
                     (long)strlen(detail), 0);
    }
    return true;
}

static bool failed_for_good(struct conformance *c)
{
    uint8_t byte = 0;
    const char *detail;
    int code = c->stream->ops->error(c->stream, &detail), n;

    n = c->stream->ops->read(c->stream, &byte, 1);
    if (n >= 0 || n == XMPP_TINY_IO_AGAIN) {
        return wrong(c, "read() returned %ld after a failure: keep returning -1 until close()", n, 0);
    }
    n = c->stream->ops->write(c->stream, &byte, 1);
    if (n >= 0 || n == XMPP_TINY_IO_AGAIN) {
        return wrong(c, "write() returned %ld after a failure: keep returning -1 until close()", n, 0);
    }
    if (c->stream->ops->error(c->stream, &detail) != code) {
        return wrong(c, "error() changed from %ld to %ld: the first error counts", code,
                     c->stream->ops->error(c->stream, &detail));
    }
    return error_fits(c);
}

/* ---- One call ---------------------------------------------------------------------------------- */

/* Runs an operation that is called again until it is done. Returns its last result. */
static int call_open(struct conformance *c, uint16_t port)
{
    /* Neither the host nor its end may be relied on to be followed by NUL. */
    char host[64];
    size_t len = strlen(c->peer->host);
    struct xmpp_tiny_str slice = {host, len};
    int i, n = XMPP_TINY_IO_AGAIN;

    memset(host, 'x', sizeof host);
    memcpy(host, c->peer->host, len);
    for (i = 0; i < PATIENCE && n == XMPP_TINY_IO_AGAIN; i++) {
        n = c->stream->ops->open(c->stream, slice, port);
        c->peer->step(c->peer);
    }
    return n;
}

static int call_secure(struct conformance *c)
{
    char name[64];
    size_t len = strlen(c->peer->name);
    struct xmpp_tiny_str slice = {name, len};
    int i, n = XMPP_TINY_IO_AGAIN;

    memset(name, 'x', sizeof name);
    memcpy(name, c->peer->name, len);
    for (i = 0; i < PATIENCE && n == XMPP_TINY_IO_AGAIN; i++) {
        n = c->stream->ops->secure(c->stream, slice);
        c->peer->step(c->peer);
    }
    return n;
}

static bool connected(struct conformance *c, enum conformance_role role)
{
    const char *detail = NULL;
    int n;

    c->peer->expect(c->peer, role);
    n = call_open(c, c->peer->port);
    if (n == 0) {
        return wrong(c, "open() returned 0: return 1 when the connection is open", 0, 0);
    }
    if (n == XMPP_TINY_IO_AGAIN) {
        return wrong(c, "open() never came to an end, although the peer accepts", 0, 0);
    }
    if (n < 0) {
        return wrong(
            c, "open() failed with %ld, although the peer accepts; mind that the host does not end in NUL",
            c->stream->ops->error(c->stream, &detail), 0);
    }
    if (c->peer->name == NULL) {
        return true;
    }
    n = call_secure(c);
    if (n == 0) {
        return wrong(c, "secure() returned 0: return 1 when the handshake is done", 0, 0);
    }
    if (n == XMPP_TINY_IO_AGAIN) {
        return wrong(c, "secure() never came to an end", 0, 0);
    }
    if (n < 0) {
        return wrong(c, "secure() failed with %ld, although the peer's certificate is good",
                     c->stream->ops->error(c->stream, &detail), 0);
    }
    return true;
}

/* Reads once. True for bytes, AGAIN and, if allowed, the end; the result is in *n. */
static bool read_once(struct conformance *c, uint8_t *buf, size_t len, bool may_end, int *n)
{
    size_t i;

    memset(buf, 0xA5, len + GUARD);
    *n = c->stream->ops->read(c->stream, buf, len);
    for (i = len; i < len + GUARD; i++) {
        if (buf[i] != 0xA5) {
            return wrong(c, "read() wrote beyond the buffer of %ld bytes", (long)len, 0);
        }
    }
    if (*n > 0 && (size_t)*n > len) {
        return wrong(c, "read() returned %ld for a buffer of %ld bytes", *n, (long)len);
    }
    if (*n == 0 && !may_end) {
        return wrong(c,
                     "read() returned 0 although the peer did not end the connection: return -2 "
                     "(XMPP_TINY_IO_AGAIN) for 'try later'",
                     0, 0);
    }
    if (*n < 0 && *n != XMPP_TINY_IO_AGAIN) {
        const char *detail = NULL;
        return wrong(
            c,
            "read() failed with %ld although the connection is whole; if there was just nothing to read, "
            "return -2 (XMPP_TINY_IO_AGAIN)",
            c->stream->ops->error(c->stream, &detail), 0);
    }
    return true;
}

/* Writes once and then destroys the buffer, which the port must not need any more. */
static bool write_once(struct conformance *c, size_t offset, size_t len, int *n)
{
    uint8_t buf[PIECE_MAX];
    size_t i;

    for (i = 0; i < len; i++) {
        buf[i] = conformance_pattern(offset + i);
    }
    *n = c->stream->ops->write(c->stream, buf, len);
    memset(buf, 0x5A, len);
    if (*n == 0) {
        return wrong(c, "write() returned 0: return -2 (XMPP_TINY_IO_AGAIN) when it can take nothing now", 0,
                     0);
    }
    if (*n > 0 && (size_t)*n > len) {
        return wrong(c, "write() returned %ld but was given %ld bytes", *n, (long)len);
    }
    if (*n < 0 && *n != XMPP_TINY_IO_AGAIN) {
        const char *detail = NULL;
        return wrong(
            c,
            "write() failed with %ld although the connection is whole; if there was just no room, return "
            "-2 (XMPP_TINY_IO_AGAIN)",
            c->stream->ops->error(c->stream, &detail), 0);
    }
    return true;
}

static bool matches(struct conformance *c, const uint8_t *data, size_t len, size_t offset)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (data[i] != conformance_pattern(offset + i)) {
            return wrong(
                c,
                "byte %ld came back changed: bytes must keep their order, none may be lost or doubled, "
                "and write() must not keep the caller's buffer",
                (long)(offset + i), 0);
        }
    }
    return true;
}

static bool shut_down(struct conformance *c)
{
    const char *detail = NULL;
    int i, n = XMPP_TINY_IO_AGAIN;

    for (i = 0; i < PATIENCE && n == XMPP_TINY_IO_AGAIN; i++) {
        n = c->stream->ops->shut(c->stream);
        c->peer->step(c->peer);
    }
    if (n == 0) {
        return wrong(c, "shut() returned 0: return 1 when it is done", 0, 0);
    }
    if (n == XMPP_TINY_IO_AGAIN) {
        return wrong(c, "shut() never came to an end: it must not wait for the peer", 0, 0);
    }
    if (n < 0) {
        return wrong(c, "shut() failed with %ld on a whole connection",
                     c->stream->ops->error(c->stream, &detail), 0);
    }
    return true;
}

/* The peer has been told to end: nothing more may come but the end, and it has to stay. */
static bool reads_end(struct conformance *c)
{
    uint8_t buf[64 + GUARD];
    int i, n = XMPP_TINY_IO_AGAIN;

    for (i = 0; i < PATIENCE && n == XMPP_TINY_IO_AGAIN; i++) {
        if (!read_once(c, buf, 64, true, &n)) {
            return false;
        }
        c->peer->step(c->peer);
    }
    if (n > 0) {
        return wrong(c, "%ld bytes came that the peer did not send", n, 0);
    }
    if (n != 0) {
        return wrong(c, "read() never returned 0 although the peer ended the connection in order", 0, 0);
    }
    for (i = 0; i < 3; i++) {
        n = c->stream->ops->read(c->stream, buf, 64);
        if (n != 0) {
            return wrong(c, "read() returned %ld after the end: keep returning 0", n, 0);
        }
    }
    return true;
}

static bool peer_sees_end(struct conformance *c)
{
    int i;

    for (i = 0; i < PATIENCE; i++) {
        if (c->peer->ended(c->peer)) {
            return true;
        }
        c->peer->step(c->peer);
    }
    return wrong(c, "the peer never saw our end after shut(), or it was not in order", 0, 0);
}

/* ---- Checks ------------------------------------------------------------------------------------ */

static bool check_table(struct conformance *c)
{
    const struct xmpp_tiny_stream_ops *ops = c->stream->ops;

    if (ops->open == NULL || ops->read == NULL || ops->write == NULL || ops->shut == NULL ||
        ops->close == NULL || ops->error == NULL) {
        return wrong(c, "open, read, write, shut, close and error must all be there", 0, 0);
    }
    if ((ops->secure == NULL) != (ops->binding == NULL)) {
        return wrong(c, "secure and binding must be both there or both NULL", 0, 0);
    }
    if ((ops->save == NULL) != (ops->load == NULL) || (ops->save != NULL && ops->secure == NULL)) {
        return wrong(c, "save and load must be both there, beside secure, or both NULL", 0, 0);
    }
    if ((ops->secure == NULL) != (c->peer->name == NULL)) {
        return wrong(c, "secure must be there if, and only if, the peer has TLS", 0, 0);
    }
    return true;
}

static bool check_closed(struct conformance *c)
{
    const struct xmpp_tiny_stream_ops *ops = c->stream->ops;
    uint8_t byte = 0;
    int n;

    n = ops->read(c->stream, &byte, 1);
    if (n >= 0 || n == XMPP_TINY_IO_AGAIN) {
        return wrong(c, "read() returned %ld on a stream that is not open: return -1", n, 0);
    }
    n = ops->write(c->stream, &byte, 1);
    if (n >= 0 || n == XMPP_TINY_IO_AGAIN) {
        return wrong(c, "write() returned %ld on a stream that is not open: return -1", n, 0);
    }
    n = ops->shut(c->stream);
    if (n >= 0 || n == XMPP_TINY_IO_AGAIN) {
        return wrong(c, "shut() returned %ld on a stream that is not open: return -1", n, 0);
    }
    if (!error_fits(c)) {
        return false;
    }
    ops->close(c->stream);
    ops->close(c->stream);
    return true;
}

static bool check_refused(struct conformance *c)
{
    const char *detail;
    int n = call_open(c, c->peer->refused), code;

    if (n > 0) {
        return wrong(c, "open() succeeded on a port that nobody listens on", 0, 0);
    }
    if (n == 0) {
        return wrong(c, "open() returned 0: return -1 when nobody accepts", 0, 0);
    }
    if (n == XMPP_TINY_IO_AGAIN) {
        return wrong(c, "open() never came to an end on a port that nobody listens on", 0, 0);
    }
    if (!error_fits(c)) {
        return false;
    }
    code = c->stream->ops->error(c->stream, &detail);
    if (code != XMPP_TINY_ERR_CONNECT) {
        return wrong(c, "error() returned %ld for a refused connection: return XMPP_TINY_ERR_CONNECT (%ld)",
                     code, XMPP_TINY_ERR_CONNECT);
    }
    return true;
}

/* Pieces of every size both ways, then an orderly end that we begin. */
static bool check_echo(struct conformance *c)
{
    static const size_t writes[] = {1, 2, 3, 700, 1500, 16, 9000, 1};
    static const size_t reads[] = {1, 5, 256, 2048, 3};
    enum { TOTAL = 40000 };
    uint8_t buf[2048 + GUARD];
    size_t sent = 0, got = 0, round = 0;
    int idle = 0, n;

    if (!connected(c, CONFORMANCE_ECHO)) {
        return false;
    }
    while (got < TOTAL) {
        size_t piece = writes[round % 8];
        idle++;
        if (sent < TOTAL) {
            piece = piece < TOTAL - sent ? piece : TOTAL - sent;
            if (!write_once(c, sent, piece, &n)) {
                return false;
            }
            if (n > 0) {
                sent += (size_t)n;
                idle = 0;
            }
        }
        if (!read_once(c, buf, reads[round % 5], false, &n)) {
            return false;
        }
        if (n > 0) {
            if (got + (size_t)n > sent) {
                return wrong(c, "%ld bytes came back, more than the %ld that were written", (long)got + n,
                             (long)sent);
            }
            if (!matches(c, buf, (size_t)n, got)) {
                return false;
            }
            got += (size_t)n;
            idle = 0;
        }
        c->peer->step(c->peer);
        round++;
        if (idle > PATIENCE) {
            return wrong(
                c,
                "write() took %ld bytes but only %ld came back: report only what was taken, and push out "
                "what was held back with the next read() or write()",
                (long)sent, (long)got);
        }
    }
    if (c->peer->taken(c->peer) != sent) {
        return wrong(c, "the peer got %ld bytes of %ld", (long)c->peer->taken(c->peer), (long)sent);
    }
    return shut_down(c) && peer_sees_end(c) && reads_end(c);
}

/* What was written right before shut() has to arrive. */
static bool check_flush(struct conformance *c)
{
    size_t sent = 0;
    int i, n;

    if (!connected(c, CONFORMANCE_MUTE)) {
        return false;
    }
    for (i = 0; i < PATIENCE && sent < 300; i++) {
        if (!write_once(c, sent, 300 - sent, &n)) {
            return false;
        }
        sent += n > 0 ? (size_t)n : 0;
        c->peer->step(c->peer);
    }
    if (!shut_down(c) || !peer_sees_end(c)) {
        return false;
    }
    if (c->peer->taken(c->peer) != sent) {
        return wrong(
            c, "%ld bytes were written before shut() but %ld arrived: shut() pushes out what is held back",
            (long)sent, (long)c->peer->taken(c->peer));
    }
    return true;
}

static bool check_talk(struct conformance *c)
{
    uint8_t buf[1000 + GUARD];
    size_t got = 0;
    int idle = 0, n;

    if (!connected(c, CONFORMANCE_TALK)) {
        return false;
    }
    while (got < CONFORMANCE_TALK_SIZE) {
        if (!read_once(c, buf, 1000, true, &n)) {
            return false;
        }
        if (n == 0) {
            return wrong(c, "read() returned 0 after %ld of %ld bytes: deliver all data before the end",
                         (long)got, CONFORMANCE_TALK_SIZE);
        }
        if (n > 0) {
            if (!matches(c, buf, (size_t)n, got)) {
                return false;
            }
            got += (size_t)n;
            idle = 0;
        } else if (++idle > PATIENCE) {
            return wrong(c, "read() gave only %ld of %ld bytes", (long)got, CONFORMANCE_TALK_SIZE);
        }
        c->peer->step(c->peer);
    }
    return reads_end(c);
}

static bool check_cut(struct conformance *c)
{
    uint8_t buf[100 + GUARD];
    size_t got = 0;
    int i, n = XMPP_TINY_IO_AGAIN;

    if (!connected(c, CONFORMANCE_CUT)) {
        return false;
    }
    for (i = 0; i < PATIENCE && (n > 0 || n == XMPP_TINY_IO_AGAIN); i++) {
        n = c->stream->ops->read(c->stream, buf, 100);
        if (n > 0) {
            if (n > 100) {
                return wrong(c, "read() returned %ld for a buffer of %ld bytes", n, 100);
            }
            if (!matches(c, buf, (size_t)n, got)) {
                return false;
            }
            got += (size_t)n;
        }
        c->peer->step(c->peer);
    }
    if (n == 0) {
        return wrong(c,
                     "read() returned 0 although the connection was broken, not ended in order: return -1 "
                     "(XMPP_TINY_IO_FAILED)",
                     0, 0);
    }
    if (n > 0 || n == XMPP_TINY_IO_AGAIN) {
        return wrong(c, "read() never failed although the connection was broken", 0, 0);
    }
    return failed_for_good(c);
}

static bool check_mute(struct conformance *c)
{
    uint8_t buf[64 + GUARD];
    int i, n;

    if (!connected(c, CONFORMANCE_MUTE)) {
        return false;
    }
    for (i = 0; i < 200; i++) {
        if (!read_once(c, buf, 64, false, &n)) {
            return false;
        }
        if (n > 0) {
            return wrong(c, "read() gave %ld bytes although the peer sent none", n, 0);
        }
        c->peer->step(c->peer);
    }
    return shut_down(c) && peer_sees_end(c) && reads_end(c);
}

/* More than the way holds: write has to say "later", and in the end all has to arrive. */
static bool check_lazy(struct conformance *c)
{
    enum { MOST = 32 * 1024 * 1024 };
    uint8_t buf[64 + GUARD];
    size_t sent = 0, taken, before = 0;
    int refusals = 0, idle = 0, n;

    if (!connected(c, CONFORMANCE_LAZY)) {
        return false;
    }
    while (sent < MOST && refusals < 50) {
        if (!write_once(c, sent, PIECE_MAX, &n)) {
            return false;
        }
        if (n > 0) {
            sent += (size_t)n;
            refusals = 0;
        } else {
            refusals++;
        }
        if (!read_once(c, buf, 64, false, &n)) {
            return false;
        }
        c->peer->step(c->peer);
    }
    if (sent >= MOST) {
        return wrong(c, "write() took %ld bytes that the peer does not read: return -2 when there is no room",
                     (long)sent, 0);
    }
    c->peer->release(c->peer);
    for (taken = 0; taken < sent && idle < PATIENCE; idle++) {
        c->peer->step(c->peer);
        if (!read_once(c, buf, 64, false, &n)) {
            return false;
        }
        taken = c->peer->taken(c->peer);
        if (taken == SIZE_MAX) {
            return wrong(c, "bytes were changed, lost or doubled after write() had no room", 0, 0);
        }
        if (taken != before) {
            idle = 0;
        }
        before = taken;
    }
    if (taken != sent) {
        return wrong(c, "write() took %ld bytes but the peer got %ld", (long)sent, (long)taken);
    }
    return shut_down(c) && peer_sees_end(c);
}

/* close() in the middle leaves nothing behind for the next connection. */
static bool check_reopen(struct conformance *c)
{
    uint8_t buf[64 + GUARD];
    int i, n;

    if (!connected(c, CONFORMANCE_TALK)) {
        return false;
    }
    for (i = 0; i < 50; i++) {
        if (!read_once(c, buf, 64, true, &n)) {
            return false;
        }
        c->peer->step(c->peer);
    }
    c->stream->ops->close(c->stream);
    c->stream->ops->close(c->stream);
    if (!check_closed(c)) {
        return false;
    }
    if (!connected(c, CONFORMANCE_MUTE)) {
        return false;
    }
    for (i = 0; i < 50; i++) {
        n = c->stream->ops->read(c->stream, buf, 64);
        if (n > 0) {
            return wrong(c, "%ld bytes of the connection before came out after close() and open()", n, 0);
        }
        if (n != XMPP_TINY_IO_AGAIN) {
            return wrong(c, "read() returned %ld on a fresh connection after close() and open()", n, 0);
        }
        c->peer->step(c->peer);
    }
    return true;
}

/* close() while open() or secure() is under way. */
static bool check_early_close(struct conformance *c)
{
    struct xmpp_tiny_str host = xmpp_tiny_str(c->peer->host), name = xmpp_tiny_str(c->peer->name);

    c->peer->expect(c->peer, CONFORMANCE_MUTE);
    (void)c->stream->ops->open(c->stream, host, c->peer->port);
    c->stream->ops->close(c->stream);
    if (c->peer->name != NULL) {
        c->peer->expect(c->peer, CONFORMANCE_MUTE);
        if (call_open(c, c->peer->port) <= 0) {
            return wrong(c, "open() does not succeed after close() during open()", 0, 0);
        }
        (void)c->stream->ops->secure(c->stream, name);
        c->peer->step(c->peer);
        (void)c->stream->ops->secure(c->stream, name);
        c->stream->ops->close(c->stream);
    }
    return connected(c, CONFORMANCE_MUTE);
}

static bool check_binding(struct conformance *c)
{
    uint8_t out[64 + GUARD];
    int n;

    if (c->stream->ops->binding == NULL) {
        return true;
    }
    c->peer->expect(c->peer, CONFORMANCE_MUTE);
    if (call_open(c, c->peer->port) <= 0) {
        return wrong(c, "open() did not succeed", 0, 0);
    }
    n = c->stream->ops->binding(c->stream, XMPP_TINY_BINDING_TLS_UNIQUE, out);
    if (n >= 0) {
        return wrong(c, "binding() gave %ld bytes before the handshake: return -1", n, 0);
    }
    if (call_secure(c) <= 0) {
        return wrong(c, "secure() did not succeed", 0, 0);
    }
    n = c->stream->ops->binding(c->stream, XMPP_TINY_BINDING_NONE, out);
    if (n >= 0) {
        return wrong(c, "binding() gave %ld bytes for no type: return -1", n, 0);
    }
    n = c->stream->ops->binding(c->stream, XMPP_TINY_BINDING_TLS_UNIQUE, out);
    if (n >= 0 && n != 12 && n != 36) {
        return wrong(c,
                     "binding() gave %ld bytes for tls-unique: it is the first Finished, 12 bytes in TLS 1.2",
                     n, 0);
    }
    n = c->stream->ops->binding(c->stream, XMPP_TINY_BINDING_TLS_SERVER_END_POINT, out);
    if (n >= 0 && n != 32 && n != 48 && n != 64) {
        return wrong(c, "binding() gave %ld bytes for tls-server-end-point: it is a SHA-2 hash", n, 0);
    }
    c->stream->ops->close(c->stream);
    n = c->stream->ops->binding(c->stream, XMPP_TINY_BINDING_TLS_UNIQUE, out);
    if (n >= 0) {
        return wrong(c, "binding() gave %ld bytes after close(): return -1", n, 0);
    }
    return true;
}

/* Saves the session of a connection into SESSION_MAX bytes; returns its length, or -1 if something is wrong.
 */
static int session_saved(struct conformance *c, uint8_t *data)
{
    uint8_t buf[SESSION_MAX + GUARD];
    size_t i, room, n = c->stream->ops->save(c->stream, data, SESSION_MAX);

    if (n > SESSION_MAX) {
        (void)wrong(c, "save() returned %ld for a buffer of %ld bytes", (long)n, SESSION_MAX);
        return -1;
    }
    for (room = 0; room < n; room++) {
        memset(buf, 0xA5, sizeof buf);
        i = c->stream->ops->save(c->stream, buf, room);
        if (i != 0) {
            (void)wrong(c, "save() returned %ld for a buffer of %ld bytes: return 0 if it does not fit",
                        (long)i, (long)room);
            return -1;
        }
        for (i = room; i < sizeof buf; i++) {
            if (buf[i] != 0xA5) {
                (void)wrong(c, "save() wrote beyond the buffer of %ld bytes", (long)room, 0);
                return -1;
            }
        }
    }
    return (int)n;
}

/* Data of no use is ignored, what was saved is copied, and either way the connection works; what was loaded
 * for one is not used for the next. */
static bool check_session(struct conformance *c)
{
    const struct xmpp_tiny_stream_ops *ops = c->stream->ops;
    struct xmpp_tiny_security security;
    uint8_t data[SESSION_MAX], out[64];
    size_t i;
    int n, round;

    if (ops->save == NULL) {
        return true;
    }
    if (!connected(c, CONFORMANCE_MUTE)) {
        return false;
    }
    n = session_saved(c, data);
    if (n < 0) {
        return false;
    }
    memset(&security, 0, sizeof security);
    ops->security(c->stream, &security);
    for (round = 0; round < 4; round++) {
        ops->close(c->stream);
        if (round == 0) {
            ops->load(c->stream, data, (size_t)n, security.spki, security.certificate);
            memset(data, 0x5A, sizeof data);
            memset(security.spki, 0x5A, sizeof security.spki);
            memset(security.certificate, 0x5A, sizeof security.certificate);
        } else if (round > 1) {
            ops->load(c->stream, data, round == 2 ? (size_t)n : sizeof data, security.spki,
                      security.certificate);
        }
        if (!connected(c, CONFORMANCE_MUTE)) {
            return false;
        }
        memset(&security, 0, sizeof security);
        ops->security(c->stream, &security);
        if (security.resumed && round > 0) {
            return wrong(c, "a session was resumed that load() was not given", 0, 0);
        }
        for (i = 0; i < sizeof security.spki && security.spki[i] == 0x5A; i++) {
        }
        if (i == sizeof security.spki) {
            return wrong(c, "load() must copy, and what it cannot use does not count", 0, 0);
        }
        if (security.resumed && ops->binding(c->stream, XMPP_TINY_BINDING_TLS_UNIQUE, out) >= 0) {
            return wrong(c, "binding() gave tls-unique for a session that was resumed: return -1", 0, 0);
        }
    }
    return shut_down(c) && peer_sees_end(c);
}

int conformance_run(struct conformance *c)
{
    static const struct {
        const char *what;
        bool (*check)(struct conformance *c);
    } checks[] = {
        {"not open", check_closed},
        {"refused port", check_refused},
        {"echo", check_echo},
        {"write, then shut", check_flush},
        {"peer sends, then ends", check_talk},
        {"broken connection", check_cut},
        {"silent peer", check_mute},
        {"peer that does not read", check_lazy},
        {"close and open again", check_reopen},
        {"close during open", check_early_close},
        {"channel binding", check_binding},
        {"sessions", check_session},
    };
    size_t i;

    c->passed = 0;
    c->failed = 0;
    c->doing = "table of operations";
    if (!check_table(c)) {
        c->failed = 1;
        return 1;
    }
    c->passed++;
    for (i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        c->doing = checks[i].what;
        if (checks[i].check(c)) {
            c->passed++;
        } else {
            c->failed++;
        }
        c->stream->ops->close(c->stream);
        c->stream->ops->close(c->stream);
    }
    return c->failed;
}
