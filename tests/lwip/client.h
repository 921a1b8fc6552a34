/* SPDX-License-Identifier: MIT
 *
 * What the tests of port/lwip share: a client of the port, and what is checked of it everywhere.
 */
#ifndef LWIP_CLIENT_H
#define LWIP_CLIENT_H

#include "near.h"

#include "check.h"
#include "port/lwip.h"

#include <lwip/memp.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/stats.h>
#include <lwip/tcp.h>

/* Nothing in the world takes longer. */
#define PATIENCE_MS 120000U

static struct xmpp_tiny_lwip tcp;
static unsigned woken;
static uint32_t memory_before;
static const char *current;

static inline void wake(void *ctx)
{
    (*(unsigned *)ctx)++;
}

/* A stream that has been used by no test, on a wire without faults, with no connection left over. */
static inline void begin(const char *what)
{
    unsigned failed = check_failed;

    current = what;
    far_forget();
    far_listen(true, true);
    far_dns(FAR_DNS_ANSWERS);
    wire_reset(1);
    near_chains = 0;
    world_settle();
    wire_reset(1);
    far_name(NULL, NULL, NULL);
    xmpp_tiny_lwip_init(&tcp, wake, &woken);
    woken = 0;
    memory_before = near_memory();
    if (check_failed > failed) {
        printf("    in: %s\n", current);
    }
}

/* Nothing is left after close(), once lwIP has forgotten what it had to remember. */
static inline void end(void)
{
    tcp.stream.ops->close(&tcp.stream);
    far_forget();
    wire_reset(1);
    near_feed();
    world_settle();
    CHECK_INT(near_memory(), memory_before);
}

/* open() until it says something else than "later". */
static inline int open_to(struct xmpp_tiny_lwip *p, const char *host, uint16_t port)
{
    uint32_t since = wire_now;
    int n;

    while ((n = p->stream.ops->open(&p->stream, xmpp_tiny_str(host), port)) == XMPP_TINY_IO_AGAIN &&
           wire_now - since < PATIENCE_MS) {
        world_run(10);
    }
    return n;
}

static inline void connect_to(const char *host)
{
    CHECK_INT(open_to(&tcp, host, FAR_PORT), 1);
    world_run(10);
    CHECK(far_connected());
}

static inline int read_some(void *buf, size_t len)
{
    return tcp.stream.ops->read(&tcp.stream, buf, len);
}

static inline int write_some(const void *buf, size_t len)
{
    return tcp.stream.ops->write(&tcp.stream, buf, len);
}

/* What error() says now. */
static inline void check_error(int code, const char *text, const char *file, int line)
{
    const char *detail = NULL;

    check_int(tcp.stream.ops->error(&tcp.stream, &detail), code, file, line, "error()");
    check_text(detail, text, file, line, "its detail");
}
#define CHECK_ERROR(code, text) check_error(code, text, __FILE__, __LINE__)

static inline uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) * 13 + 1);
}

/* Bytes of the pattern from `at` on. */
static inline const uint8_t *sample(size_t at, size_t len)
{
    static uint8_t bytes[70000];
    size_t i;

    for (i = 0; i < len; i++) {
        bytes[i] = pattern(at + i);
    }
    return bytes;
}

/* Reads what there is, up to len; true if it is the pattern. Ends the test if it is not `want` bytes. */
static inline void check_read(size_t at, size_t want, const char *file, int line)
{
    static uint8_t buf[70000];
    size_t got = 0, i;
    bool good = true;
    int n = 1;

    while (got < want && (n = read_some(buf + got, want - got)) > 0) {
        got += (size_t)n;
    }
    check_int((long long)got, (long long)want, file, line, "bytes read");
    for (i = 0; i < got; i++) {
        good = good && buf[i] == pattern(at + i);
    }
    (void)check_count(good, file, line, "bytes read are those that were sent");
}
#define CHECK_READ(at, want) check_read(at, want, __FILE__, __LINE__)

/* What the far machine got so far, all of it. */
static inline void check_far(size_t at, size_t want, const char *file, int line)
{
    static uint8_t buf[70000];
    size_t got = 0, i;
    bool good = true;
    int n;

    while (got < sizeof buf && (n = far_read(buf + got, sizeof buf - got)) > 0) {
        got += (size_t)n;
        world_run(10);
    }
    check_int((long long)got, (long long)want, file, line, "bytes that the far machine got");
    for (i = 0; i < got; i++) {
        good = good && buf[i] == pattern(at + i);
    }
    (void)check_count(good, file, line, "they are those that were written");
}
#define CHECK_FAR(at, want) check_far(at, want, __FILE__, __LINE__)

#endif
