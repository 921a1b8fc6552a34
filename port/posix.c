/* SPDX-License-Identifier: MIT
 *
 * Sockets, clock and random numbers of a POSIX system: see posix.h.
 */
#define _DEFAULT_SOURCE /* getrandom(2), SOCK_CLOEXEC and POSIX.1-2008 beside -std=c99 */

#include "port/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { STATE_CLOSED, STATE_CONNECTING, STATE_OPEN, STATE_FAILED };

#define IO_MAX 65536U /* bytes in one system call: the count has to fit an int */

/* ---- Platform ---------------------------------------------------------------------------------- */

static uint32_t platform_now_ms(void *ctx)
{
    struct timespec t;

    (void)ctx;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint32_t)((uint64_t)t.tv_sec * 1000U + (uint64_t)t.tv_nsec / 1000000U);
}

static bool platform_random(void *ctx, void *buf, size_t len)
{
    uint8_t *at = buf;

    (void)ctx;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static int64_t platform_unix_time(void *ctx)
{
    (void)ctx;
    return (int64_t)time(NULL);
}

const struct xmpp_tiny_platform xmpp_tiny_posix_platform = {
    .now_ms = platform_now_ms,
    .random = platform_random,
    .unix_time = platform_unix_time,
};

/* ---- Errors ------------------------------------------------------------------------------------ */

static const char *errno_text(int number)
{
    switch (number) {
    case ECONNREFUSED:
        return "connection refused";
    case ECONNRESET:
        return "connection reset by the peer";
    case EPIPE:
        return "the connection is closed for sending";
    case ETIMEDOUT:
        return "timed out";
    case ENETUNREACH:
        return "network unreachable";
    case EHOSTUNREACH:
        return "host unreachable";
    case EACCES:
    case EPERM:
        return "not permitted";
    case EADDRNOTAVAIL:
        return "no local address available";
    case EAFNOSUPPORT:
        return "address family not supported";
    case EMFILE:
    case ENFILE:
        return "too many open files";
    case ENOBUFS:
    case ENOMEM:
        return "out of memory";
    default:
        return "network error";
    }
}

static void drop_socket(struct xmpp_tiny_posix *p)
{
    if (p->fd >= 0) {
        (void)close(p->fd);
    }
    p->fd = -1;
    p->full = false;
    p->broken = 0;
}

static int fail(struct xmpp_tiny_posix *p, int error, const char *detail)
{
    if (p->state != STATE_FAILED) {
        p->error = error;
        p->detail = detail;
    }
    p->state = STATE_FAILED;
    drop_socket(p);
    return XMPP_TINY_IO_FAILED;
}

/* Out of order; or after a failure, whose cause is kept. A closed connection can still be opened. */
static int not_open(struct xmpp_tiny_posix *p)
{
    bool closed = p->state == STATE_CLOSED;

    (void)fail(p, XMPP_TINY_ERR_BUG, "the connection is not open");
    p->state = closed ? STATE_CLOSED : STATE_FAILED;
    return XMPP_TINY_IO_FAILED;
}

/* ---- Connecting -------------------------------------------------------------------------------- */

/* Copies the addresses out of getaddrinfo's list so that the list can be freed at once. */
static int look_up(struct xmpp_tiny_posix *p, struct xmpp_tiny_str host, uint16_t port)
{
    char name[256];
    struct addrinfo hints, *list = NULL, *entry;
    int result;

    /* An IPv6 literal may stand in brackets, as in a JID. */
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host.ptr++;
        host.len -= 2;
    }
    if (host.len == 0 || host.len >= sizeof name || memchr(host.ptr, 0, host.len) != NULL) {
        return fail(p, XMPP_TINY_ERR_LOOKUP, "not a host name");
    }
    memcpy(name, host.ptr, host.len);
    name[host.len] = '\0';

    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    result = getaddrinfo(name, NULL, &hints, &list);
    if (result != 0) {
        return fail(p, XMPP_TINY_ERR_LOOKUP, gai_strerror(result));
    }
    p->count = 0;
    p->next = 0;
    for (entry = list; entry != NULL && p->count < XMPP_TINY_POSIX_ADDRESSES; entry = entry->ai_next) {
        union xmpp_tiny_posix_address_ *address = &p->addresses[p->count];
        if (entry->ai_family == AF_INET && entry->ai_addrlen == sizeof address->v4) {
            memcpy(&address->v4, entry->ai_addr, sizeof address->v4);
            address->v4.sin_port = htons(port);
            p->count++;
        } else if (entry->ai_family == AF_INET6 && entry->ai_addrlen == sizeof address->v6) {
            memcpy(&address->v6, entry->ai_addr, sizeof address->v6);
            address->v6.sin6_port = htons(port);
            p->count++;
        }
    }
    freeaddrinfo(list);
    if (p->count == 0) {
        return fail(p, XMPP_TINY_ERR_LOOKUP, "the name has no address");
    }
    return 1;
}

/* Begins to connect to one address. Returns 0 or the errno. */
static int attempt(struct xmpp_tiny_posix *p, const union xmpp_tiny_posix_address_ *address)
{
    int on = 1;
    socklen_t len = address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;

    p->fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0) {
        return errno;
    }
    (void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    p->since = platform_now_ms(NULL);
    if (connect(p->fd, &address->any, len) != 0 && errno != EINPROGRESS && errno != EINTR) {
        return errno;
    }
    return 0;
}

/* How the attempt under way stands: 0 connected, EINPROGRESS, or why it failed. */
static int progress(const struct xmpp_tiny_posix *p)
{
    struct pollfd fd;
    int error = 0;
    socklen_t len = sizeof error;

    fd.fd = p->fd;
    fd.events = POLLOUT;
    fd.revents = 0;
    if (poll(&fd, 1, 0) <= 0) {
        return platform_now_ms(NULL) - p->since < XMPP_TINY_POSIX_CONNECT_MS ? EINPROGRESS : ETIMEDOUT;
    }
    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        return errno;
    }
    return error;
}

static int op_open(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port)
{
    struct xmpp_tiny_posix *p = (struct xmpp_tiny_posix *)s;
    int error = 0;

    if (p->state == STATE_CLOSED) {
        if (look_up(p, host, port) < 0) {
            return XMPP_TINY_IO_FAILED;
        }
        p->state = STATE_CONNECTING;
    }
    if (p->state != STATE_CONNECTING) {
        return fail(p, XMPP_TINY_ERR_BUG, "open() on a connection that is open");
    }
    for (;;) {
        if (p->fd >= 0) {
            error = progress(p);
            if (error == 0) {
                p->state = STATE_OPEN;
                return 1;
            }
            if (error == EINPROGRESS) {
                return XMPP_TINY_IO_AGAIN;
            }
            drop_socket(p);
        }
        if (p->next == p->count) {
            return fail(p, XMPP_TINY_ERR_CONNECT, errno_text(error));
        }
        error = attempt(p, &p->addresses[p->next++]);
        if (error != 0) {
            drop_socket(p);
        }
    }
}

/* ---- Bytes ------------------------------------------------------------------------------------- */

static int op_read(struct xmpp_tiny_stream *s, void *buf, size_t len)
{
    struct xmpp_tiny_posix *p = (struct xmpp_tiny_posix *)s;
    ssize_t n;

    if (p->state != STATE_OPEN) {
        return not_open(p);
    }
    do {
        n = recv(p->fd, buf, len < IO_MAX ? len : IO_MAX, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        return (int)n;
    }
    if (n == 0) {
        return p->broken == 0 ? 0 : fail(p, XMPP_TINY_ERR_LOST, errno_text(p->broken));
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return XMPP_TINY_IO_AGAIN;
    }
    return fail(p, XMPP_TINY_ERR_LOST, errno_text(errno));
}

/* What the peer sent before it cut us off is worth reading: it may say why. Until that is done, a
 * failed write counts as "later"; then read reports the failure. */
static int write_failed(struct xmpp_tiny_posix *p, int error)
{
    char byte;

    p->broken = error;
    p->full = false;
    if (recv(p->fd, &byte, 1, MSG_PEEK) > 0) {
        return XMPP_TINY_IO_AGAIN;
    }
    return fail(p, XMPP_TINY_ERR_LOST, errno_text(error));
}

static int op_write(struct xmpp_tiny_stream *s, const void *buf, size_t len)
{
    struct xmpp_tiny_posix *p = (struct xmpp_tiny_posix *)s;
    ssize_t n;

    if (p->state != STATE_OPEN) {
        return not_open(p);
    }
    do {
        n = send(p->fd, buf, len < IO_MAX ? len : IO_MAX, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        p->full = (size_t)n < len;
        return (int)n;
    }
    if (n == 0 || errno == EAGAIN || errno == EWOULDBLOCK) {
        p->full = true;
        return XMPP_TINY_IO_AGAIN;
    }
    return write_failed(p, errno);
}

static int op_shut(struct xmpp_tiny_stream *s)
{
    struct xmpp_tiny_posix *p = (struct xmpp_tiny_posix *)s;

    if (p->state != STATE_OPEN) {
        return not_open(p);
    }
    if (shutdown(p->fd, SHUT_WR) != 0) {
        return fail(p, XMPP_TINY_ERR_LOST, errno_text(errno));
    }
    p->full = false;
    return 1;
}

/* The error survives until the next open(), so that it can still be asked for. */
static void op_close(struct xmpp_tiny_stream *s)
{
    struct xmpp_tiny_posix *p = (struct xmpp_tiny_posix *)s;

    drop_socket(p);
    p->state = STATE_CLOSED;
}

static int op_error(struct xmpp_tiny_stream *s, const char **detail)
{
    const struct xmpp_tiny_posix *p = (const struct xmpp_tiny_posix *)s;

    *detail = p->detail;
    return p->error;
}

static const struct xmpp_tiny_stream_ops ops = {
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .shut = op_shut,
    .close = op_close,
    .error = op_error,
};

void xmpp_tiny_posix_init(struct xmpp_tiny_posix *p)
{
    memset(p, 0, sizeof *p);
    p->stream.ops = &ops;
    p->fd = -1;
    p->state = STATE_CLOSED;
}

int xmpp_tiny_posix_fd(const struct xmpp_tiny_posix *p, bool *want_write)
{
    *want_write = p->fd >= 0 && (p->state == STATE_CONNECTING || p->full);
    return p->fd;
}

int xmpp_tiny_posix_wait(struct xmpp_tiny_posix *p, bool want_write, uint32_t ms, int extra_fd)
{
    struct pollfd fds[2];
    bool room;
    int result;

    memset(fds, 0, sizeof fds);
    fds[0].fd = xmpp_tiny_posix_fd(p, &room); /* poll(2) passes over negative ones */
    fds[0].events = POLLIN;
    if (want_write || room) {
        fds[0].events = POLLIN | POLLOUT;
    }
    if (p->state == STATE_CONNECTING) {
        uint32_t spent = platform_now_ms(NULL) - p->since;
        uint32_t left = spent < XMPP_TINY_POSIX_CONNECT_MS ? XMPP_TINY_POSIX_CONNECT_MS - spent : 0;
        ms = left < ms ? left : ms;
    }
    fds[1].fd = extra_fd;
    fds[1].events = POLLIN;
    if (ms == XMPP_TINY_FOREVER) {
        result = poll(fds, 2, -1);
    } else {
        result = poll(fds, 2, ms < 0x7FFFFFFFU ? (int)ms : 0x7FFFFFFF);
    }
    if (result < 0) {
        return errno == EINTR ? 0 : -1;
    }
    return (fds[0].revents != 0 ? 1 : 0) + (fds[1].revents != 0 ? 2 : 0);
}
