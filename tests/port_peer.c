/* SPDX-License-Identifier: MIT
 *
 * Peers and the fake stream: see port_peer.h. A peer has three layers: a transport (socket or pipes in
 * memory), perhaps TLS, and the role it plays.
 */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif

#include "port_peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_PORT    5222
#define FAKE_REFUSED 1

/* ---- Platform ---------------------------------------------------------------------------------- */

static uint32_t fixed_now_ms(void *ctx)
{
    (void)ctx;
    return 0;
}

static bool fixed_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0x42, len);
    return true;
}

static int64_t fixed_time(void *ctx)
{
    (void)ctx;
    return PORT_TIME;
}

const struct xmpp_tiny_platform port_platform = {
    .now_ms = fixed_now_ms,
    .random = fixed_random,
    .unix_time = fixed_time,
};

/* ---- Pipes ------------------------------------------------------------------------------------- */

static size_t pipe_put(struct port_pipe *pipe, const void *data, size_t len)
{
    size_t i, room = sizeof pipe->data - pipe->len;

    len = len < room ? len : room;
    for (i = 0; i < len; i++) {
        pipe->data[(pipe->begin + pipe->len + i) % sizeof pipe->data] = ((const uint8_t *)data)[i];
    }
    pipe->len += len;
    return len;
}

static size_t pipe_get(struct port_pipe *pipe, void *data, size_t len)
{
    size_t i;

    len = len < pipe->len ? len : pipe->len;
    for (i = 0; i < len; i++) {
        ((uint8_t *)data)[i] = pipe->data[(pipe->begin + i) % sizeof pipe->data];
    }
    pipe->begin = (pipe->begin + len) % sizeof pipe->data;
    pipe->len -= len;
    return len;
}

static void pipe_reset(struct port_pipe *pipe)
{
    pipe->begin = 0;
    pipe->len = 0;
    pipe->ended = false;
    pipe->broken = false;
}

/* ---- The fake stream --------------------------------------------------------------------------- */

static struct port_fake *fake_of(struct xmpp_tiny_stream *s)
{
    return (struct port_fake *)s;
}

static int fake_fail(struct port_fake *f, int error)
{
    if (!f->failed) {
        f->error = error;
    }
    f->failed = f->open && f->fault != PORT_FAULT_FAILURE_PASSES;
    return XMPP_TINY_IO_FAILED;
}

static bool fake_later(struct port_fake *f)
{
    f->calls = f->calls * 1664525U + 1013904223U;
    return f->stormy && f->calls >> 31 != 0;
}

/* Brings out what write held back; false if not all of it found room. */
static bool fake_flush(struct port_fake *f)
{
    size_t n = pipe_put(&f->up, f->held, f->held_len);

    memmove(f->held, f->held + n, f->held_len - n);
    f->held_len -= n;
    return f->held_len == 0;
}

static int fake_open(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port)
{
    struct port_fake *f = fake_of(s);

    if (f->fault == PORT_FAULT_OPEN_STUCK || fake_later(f)) {
        return XMPP_TINY_IO_AGAIN;
    }
    if (f->fault == PORT_FAULT_OPEN_WANTS_NUL && host.ptr[host.len] != '\0') {
        return fake_fail(f, XMPP_TINY_ERR_LOOKUP);
    }
    if (f->fault == PORT_FAULT_CLOSE_ONCE && f->closes > 1) {
        return fake_fail(f, XMPP_TINY_ERR_CONNECT);
    }
    if (f->fault != PORT_FAULT_OPEN_ANY && (port != FAKE_PORT || !f->listening)) {
        return fake_fail(f,
                         f->fault == PORT_FAULT_REFUSED_IS_LOST ? XMPP_TINY_ERR_LOST : XMPP_TINY_ERR_CONNECT);
    }
    f->open = true;
    f->failed = false;
    return f->fault == PORT_FAULT_OPEN_ZERO ? 0 : 1;
}

static int fake_read_end(struct port_fake *f)
{
    if (f->down.broken) {
        if (f->fault == PORT_FAULT_CUT_NEVER) {
            return XMPP_TINY_IO_AGAIN;
        }
        return f->fault == PORT_FAULT_CUT_IS_END ? 0 : fake_fail(f, XMPP_TINY_ERR_LOST);
    }
    if (f->down.ended) {
        if (f->fault == PORT_FAULT_END_NEVER) {
            return XMPP_TINY_IO_AGAIN;
        }
        if (f->fault == PORT_FAULT_END_ONCE) {
            f->down.ended = false;
        }
        return f->fault == PORT_FAULT_END_FAILS ? fake_fail(f, XMPP_TINY_ERR_LOST) : 0;
    }
    if (f->fault == PORT_FAULT_READ_FAILS) {
        return XMPP_TINY_IO_FAILED;
    }
    return f->fault == PORT_FAULT_READ_ZERO ? 0 : XMPP_TINY_IO_AGAIN;
}

static int fake_read(struct xmpp_tiny_stream *s, void *buf, size_t len)
{
    struct port_fake *f = fake_of(s);
    uint8_t *bytes = buf;
    size_t n;

    if (!f->open && f->fault == PORT_FAULT_CLOSED_LIVES) {
        return XMPP_TINY_IO_AGAIN;
    }
    if (!f->open || f->failed) {
        return fake_fail(f, XMPP_TINY_ERR_BUG);
    }
    if (f->fault != PORT_FAULT_HELD_FOR_EVER) {
        (void)fake_flush(f);
    }
    if (!f->down.ended && fake_later(f)) {
        return XMPP_TINY_IO_AGAIN;
    }
    if (f->fault == PORT_FAULT_READ_OVERRUN) {
        bytes[len] = 0;
    }
    if (f->down.ended && f->fault == PORT_FAULT_END_EARLY) {
        return 0;
    }
    n = pipe_get(&f->down, buf, len < f->chunk ? len : f->chunk);
    if (n == 0) {
        return fake_read_end(f);
    }
    if (f->fault == PORT_FAULT_READ_SWAPS && n > 1) {
        uint8_t byte = bytes[0];
        bytes[0] = bytes[n - 1];
        bytes[n - 1] = byte;
    }
    return f->fault == PORT_FAULT_READ_TOO_MUCH ? (int)len + 1 : (int)n;
}

static int fake_no_room(struct port_fake *f)
{
    if (f->fault == PORT_FAULT_WRITE_FAILS) {
        return XMPP_TINY_IO_FAILED;
    }
    return f->fault == PORT_FAULT_WRITE_ZERO ? 0 : XMPP_TINY_IO_AGAIN;
}

static int fake_write(struct xmpp_tiny_stream *s, const void *buf, size_t len)
{
    struct port_fake *f = fake_of(s);
    size_t n;

    if (!f->open || f->failed) {
        return fake_fail(f, XMPP_TINY_ERR_BUG);
    }
    if (f->deaf) {
        return XMPP_TINY_IO_FAILED;
    }
    if (f->stalled) {
        return XMPP_TINY_IO_AGAIN;
    }
    if (f->fault == PORT_FAULT_WRITE_TOO_MUCH) {
        return (int)len + 1;
    }
    if (f->fault == PORT_FAULT_WRITE_DROPS) {
        (void)pipe_put(&f->up, buf, len);
        return (int)len;
    }
    if (f->fault == PORT_FAULT_HELD_FOR_EVER) {
        f->held_len = f->held_len + len < sizeof f->held ? f->held_len + len : sizeof f->held - 1;
        return (int)len;
    }
    if (fake_later(f) || !fake_flush(f)) {
        return fake_no_room(f);
    }
    n = len < f->chunk ? len : f->chunk;
    n = n < sizeof f->held ? n : sizeof f->held;
    memcpy(f->held, buf, n);
    if (f->fault == PORT_FAULT_WRITE_KEEPS) {
        memset(f->held, 0x5A, n);
    }
    f->held_len = f->fault == PORT_FAULT_WRITE_LIES ? (n + 1) / 2 : n;
    if (f->fault == PORT_FAULT_WRITE_TWICE) {
        (void)pipe_put(&f->up, buf, n);
    }
    return (int)n;
}

static int fake_shut(struct xmpp_tiny_stream *s)
{
    struct port_fake *f = fake_of(s);

    if (!f->open || f->failed) {
        return fake_fail(f, XMPP_TINY_ERR_BUG);
    }
    if (f->fault == PORT_FAULT_SHUT_STUCK || fake_later(f)) {
        return XMPP_TINY_IO_AGAIN;
    }
    if (f->fault == PORT_FAULT_SHUT_DROPS) {
        f->held_len = 0;
    }
    if (!fake_flush(f)) {
        return XMPP_TINY_IO_AGAIN;
    }
    f->up.ended = f->fault != PORT_FAULT_SHUT_SILENT;
    return f->fault == PORT_FAULT_SHUT_ZERO ? 0 : 1;
}

static void fake_close(struct xmpp_tiny_stream *s)
{
    struct port_fake *f = fake_of(s);

    f->closes = f->open ? 1 : f->closes + 1;
    if (f->open && f->fault != PORT_FAULT_CLOSE_KEEPS) {
        pipe_reset(&f->down);
        f->held_len = 0;
    }
    f->open = false;
    f->failed = false;
}

static int fake_error(struct xmpp_tiny_stream *s, const char **detail)
{
    struct port_fake *f = fake_of(s);

    *detail = "this stream is a fake";
    if (f->fault == PORT_FAULT_ERROR_ZERO) {
        return 0;
    }
    if (f->fault == PORT_FAULT_ERROR_FOREIGN) {
        return XMPP_TINY_ERR_AUTH;
    }
    if (f->fault == PORT_FAULT_ERROR_CHANGES && f->failed) {
        f->error = f->error == XMPP_TINY_ERR_LOST ? XMPP_TINY_ERR_ENDED : XMPP_TINY_ERR_LOST;
    }
    return f->error;
}

static int fake_secure(struct xmpp_tiny_stream *s, struct xmpp_tiny_str name)
{
    (void)s;
    (void)name;
    return 1;
}

static size_t fake_save(struct xmpp_tiny_stream *s, uint8_t *data, size_t size)
{
    (void)s;
    (void)data;
    (void)size;
    return 0;
}

static const struct xmpp_tiny_stream_ops fake_ops = {
    .open = fake_open,
    .read = fake_read,
    .write = fake_write,
    .shut = fake_shut,
    .close = fake_close,
    .error = fake_error,
};

static const struct xmpp_tiny_stream_ops fake_half_ops = {
    .open = fake_open,
    .secure = fake_secure,
    .read = fake_read,
    .write = fake_write,
    .shut = fake_shut,
    .close = fake_close,
    .error = fake_error,
};

static const struct xmpp_tiny_stream_ops fake_half_session_ops = {
    .open = fake_open,
    .read = fake_read,
    .write = fake_write,
    .shut = fake_shut,
    .close = fake_close,
    .save = fake_save,
    .error = fake_error,
};

void port_fake_init(struct port_fake *fake, enum port_fault fault, size_t chunk, bool stormy)
{
    memset(fake, 0, sizeof *fake);
    fake->stream.ops = fault == PORT_FAULT_HALF_TLS       ? &fake_half_ops
                       : fault == PORT_FAULT_HALF_SESSION ? &fake_half_session_ops
                                                          : &fake_ops;
    fake->fault = fault;
    fake->chunk = chunk;
    fake->stormy = stormy;
}

/* ---- Transport ---------------------------------------------------------------------------------
 * Results as those of a stream: > 0, 0 for the other side's orderly end, FAILED, AGAIN. */

static bool transport_accept(struct port_peer *p)
{
    if (p->fake != NULL) {
        return p->fake->open;
    }
    p->fd = accept(p->listener, NULL, NULL);
    if (p->fd < 0) {
        return false;
    }
    (void)fcntl(p->fd, F_SETFL, O_NONBLOCK);
    return true;
}

static int transport_recv(struct port_peer *p, void *buf, size_t len)
{
    ssize_t n;

    if (p->fake != NULL) {
        n = (ssize_t)pipe_get(&p->fake->up, buf, len);
        if (n == 0 && !p->fake->up.ended) {
            return p->fake->open ? XMPP_TINY_IO_AGAIN : XMPP_TINY_IO_FAILED;
        }
    } else {
        n = recv(p->fd, buf, len, MSG_DONTWAIT);
        if (n < 0) {
            struct pollfd fd = {p->fd, POLLIN, 0};
            return poll(&fd, 1, 0) == 0 ? XMPP_TINY_IO_AGAIN : XMPP_TINY_IO_FAILED;
        }
    }
    p->busy = p->busy || n > 0;
    return (int)n;
}

static int transport_send(struct port_peer *p, const void *buf, size_t len)
{
    ssize_t n;

    if (p->fake != NULL) {
        n = (ssize_t)pipe_put(&p->fake->down, buf, len);
    } else {
        n = send(p->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    p->busy = p->busy || n > 0;
    return n > 0 ? (int)n : XMPP_TINY_IO_AGAIN;
}

static void transport_finish(struct port_peer *p)
{
    if (p->fake != NULL) {
        p->fake->down.ended = true;
    } else {
        (void)shutdown(p->fd, SHUT_WR);
    }
}

/* Without TLS: a reset. Below TLS: an end that TLS knows nothing of. */
static void transport_cut(struct port_peer *p)
{
    if (p->tls != NULL) {
        transport_finish(p);
    } else if (p->fake != NULL) {
        p->fake->down.broken = true;
    } else {
        struct linger reset = {1, 0};
        (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        (void)close(p->fd);
        p->fd = -1;
        p->connected = false;
    }
}

static void transport_reset(struct port_peer *p)
{
    if (p->fake != NULL) {
        pipe_reset(&p->fake->up);
        if (p->fake->fault != PORT_FAULT_CLOSE_KEEPS) {
            pipe_reset(&p->fake->down);
        }
        p->fake->listening = true;
        return;
    }
    /* Connections that were begun and given up may still wait. */
    do {
        if (p->fd >= 0) {
            (void)close(p->fd);
        }
        p->fd = accept(p->listener, NULL, NULL);
    } while (p->fd >= 0);
}

/* ---- TLS --------------------------------------------------------------------------------------- */

/* Between the ClientHello and the answer to it: what was asked about records is forgotten. [RFC6066 4] */
static int deaf_choose(const br_ssl_server_policy_class **ctx, const br_ssl_server_context *server,
                       br_ssl_server_choices *choices)
{
    struct port_policy *policy = (struct port_policy *)(void *)ctx;

    policy->engine->peer_log_max_frag_len = 0;
    policy->engine->max_frag_len = 16384;
    return (*policy->inner)->choose(policy->inner, server, choices);
}

static uint32_t deaf_keyx(const br_ssl_server_policy_class **ctx, unsigned char *data, size_t *len)
{
    struct port_policy *policy = (struct port_policy *)(void *)ctx;

    return (*policy->inner)->do_keyx(policy->inner, data, len);
}

static size_t deaf_sign(const br_ssl_server_policy_class **ctx, unsigned algorithm, unsigned char *data,
                        size_t hash_len, size_t len)
{
    struct port_policy *policy = (struct port_policy *)(void *)ctx;

    return (*policy->inner)->do_sign(policy->inner, algorithm, data, hash_len, len);
}

static const br_ssl_server_policy_class deaf_policy = {
    sizeof(struct port_policy),
    deaf_choose,
    deaf_keyx,
    deaf_sign,
};

static void tls_begin(struct port_peer *p)
{
    br_ssl_server_context *server = &p->server;
    const struct port_tls *tls = p->tls;

    if (tls->key.type == BR_KEYTYPE_EC) {
        br_ssl_server_init_full_ec(server, tls->chain, tls->chain_count, BR_KEYTYPE_EC, &tls->key.ec);
    } else {
        br_ssl_server_init_full_rsa(server, tls->chain, tls->chain_count, &tls->key.rsa);
    }
    if (tls->client_anchors != NULL) {
        br_x509_minimal_init_full(&p->x509, tls->client_anchors, tls->client_anchor_count);
        br_x509_minimal_set_time(&p->x509, (uint32_t)(PORT_TIME / 86400 + 719528), 0);
        br_ssl_engine_set_default_rsavrfy(&server->eng);
        br_ssl_engine_set_default_ecdsa(&server->eng);
        br_ssl_engine_set_x509(&server->eng, &p->x509.vtable);
        br_ssl_server_set_trust_anchor_names_alt(server, tls->client_anchors, tls->client_anchor_count);
    }
    if (tls->suite != 0) {
        br_ssl_engine_set_suites(&server->eng, &tls->suite, 1);
    }
    if (tls->version != 0) {
        br_ssl_engine_set_versions(&server->eng, tls->version, tls->version);
    }
    if (tls->curve != 0) {
        p->ec = *br_ssl_engine_get_ec(&server->eng);
        p->ec.supported_curves = 1U << tls->curve;
        br_ssl_engine_set_ec(&server->eng, &p->ec);
    }
    if (tls->deaf) {
        p->policy.vtable = &deaf_policy;
        p->policy.inner = server->policy_vtable;
        p->policy.engine = &server->eng;
        br_ssl_server_set_policy(server, &p->policy.vtable);
    }
    br_ssl_server_set_cache(server, tls->cache);
    p->protocols[0] = "xmpp-client";
    br_ssl_engine_set_protocol_names(&server->eng, p->protocols, 1);
    br_ssl_engine_set_buffer(&server->eng, p->records, sizeof p->records, 1);
    (void)br_ssl_server_reset(server);
}

static void tls_pump(struct port_peer *p)
{
    br_ssl_engine_context *engine = &p->server.eng;
    bool moved = true;

    while (moved) {
        size_t len;
        unsigned char *buf = br_ssl_engine_sendrec_buf(engine, &len);
        int n;
        moved = false;
        if (buf != NULL && (n = transport_send(p, buf, len)) > 0) {
            br_ssl_engine_sendrec_ack(engine, (size_t)n);
            moved = true;
        }
        buf = br_ssl_engine_recvrec_buf(engine, &len);
        if (buf != NULL && (n = transport_recv(p, buf, len)) > 0) {
            br_ssl_engine_recvrec_ack(engine, (size_t)n);
            moved = true;
        }
    }
}

static int tls_recv(struct port_peer *p, uint8_t *buf, size_t len)
{
    br_ssl_engine_context *engine = &p->server.eng;
    size_t ready;
    const unsigned char *data = br_ssl_engine_recvapp_buf(engine, &ready);

    if (data != NULL) {
        ready = ready < len ? ready : len;
        memcpy(buf, data, ready);
        br_ssl_engine_recvapp_ack(engine, ready);
        return (int)ready;
    }
    return engine->shutdown_recv ? 0 : XMPP_TINY_IO_AGAIN;
}

static int tls_send(struct port_peer *p, const uint8_t *buf, size_t len)
{
    br_ssl_engine_context *engine = &p->server.eng;
    size_t room;
    unsigned char *data = br_ssl_engine_sendapp_buf(engine, &room);

    if (data == NULL) {
        return XMPP_TINY_IO_AGAIN;
    }
    room = room < len ? room : len;
    memcpy(data, buf, room);
    br_ssl_engine_sendapp_ack(engine, room);
    br_ssl_engine_flush(engine, 0);
    return (int)room;
}

/* ---- Roles ------------------------------------------------------------------------------------- */

static void take(struct port_peer *p)
{
    uint8_t buf[1024];
    uint8_t *to = p->role == CONFORMANCE_ECHO ? p->echo + p->echo_len : buf;
    size_t room = p->role == CONFORMANCE_ECHO ? sizeof p->echo - p->echo_len : sizeof buf;
    int i, n;

    if (p->seen_end || room == 0 || (p->role == CONFORMANCE_LAZY && !p->released)) {
        return;
    }
    n = p->tls != NULL ? tls_recv(p, to, room) : transport_recv(p, to, room);
    for (i = 0; i < n; i++) {
        p->bad = p->bad || to[i] != conformance_pattern(p->taken + (size_t)i);
    }
    if (n > 0) {
        p->taken += (size_t)n;
        p->echo_len += p->role == CONFORMANCE_ECHO ? (size_t)n : 0;
        p->busy = true;
    }
    p->seen_end = n == 0;
}

static void give(struct port_peer *p, size_t total)
{
    uint8_t buf[1024];
    size_t i, len = total - p->sent < sizeof buf ? total - p->sent : sizeof buf;
    int n;

    for (i = 0; i < len; i++) {
        buf[i] = conformance_pattern(p->sent + i);
    }
    if (len > 0) {
        n = p->tls != NULL ? tls_send(p, buf, len) : transport_send(p, buf, len);
        p->sent += n > 0 ? (size_t)n : 0;
    }
}

static void give_echo(struct port_peer *p)
{
    int n = 0;

    if (p->echo_len > 0) {
        n = p->tls != NULL ? tls_send(p, p->echo, p->echo_len) : transport_send(p, p->echo, p->echo_len);
    }
    if (n > 0) {
        p->echo_len -= (size_t)n;
        memmove(p->echo, p->echo + n, p->echo_len);
    }
}

/* All that was to be said has been said, and has left. */
static bool said(struct port_peer *p)
{
    size_t len;

    if (p->tls != NULL && br_ssl_engine_sendrec_buf(&p->server.eng, &len) != NULL) {
        return false;
    }
    switch (p->role) {
    case CONFORMANCE_TALK:
        return p->sent == CONFORMANCE_TALK_SIZE;
    case CONFORMANCE_CUT:
        return p->sent == CONFORMANCE_CUT_SIZE;
    case CONFORMANCE_ECHO:
        return p->seen_end && p->echo_len == 0;
    case CONFORMANCE_MUTE:
    case CONFORMANCE_LAZY:
    default:
        return p->seen_end;
    }
}

static void finish(struct port_peer *p)
{
    if (p->role == CONFORMANCE_CUT) {
        transport_cut(p);
    } else if (p->tls != NULL) {
        br_ssl_engine_close(&p->server.eng);
        tls_pump(p);
        transport_finish(p);
    } else {
        transport_finish(p);
    }
    p->finished = true;
}

static void peer_step(struct conformance_peer *peer)
{
    struct port_peer *p = (struct port_peer *)peer;

    p->busy = false;
    if (!p->connected && !p->finished && transport_accept(p)) {
        p->connected = true;
        p->busy = true;
        if (p->tls != NULL) {
            tls_begin(p);
        }
    }
    if (p->connected) {
        if (p->tls != NULL) {
            tls_pump(p);
        }
        take(p);
        if (p->role == CONFORMANCE_TALK) {
            give(p, CONFORMANCE_TALK_SIZE);
        } else if (p->role == CONFORMANCE_CUT) {
            give(p, CONFORMANCE_CUT_SIZE);
        } else if (p->role == CONFORMANCE_ECHO) {
            give_echo(p);
        }
        if (p->tls != NULL) {
            tls_pump(p);
        }
        if (!p->finished && p->tls != NULL && br_ssl_engine_last_error(&p->server.eng) != BR_ERR_OK) {
            transport_finish(p);
            p->finished = true;
        }
        if (!p->finished && said(p)) {
            finish(p);
        }
    }
    if (!p->busy && p->fake == NULL) {
        (void)poll(NULL, 0, 1);
    }
}

static void peer_expect(struct conformance_peer *peer, enum conformance_role role)
{
    struct port_peer *p = (struct port_peer *)peer;

    transport_reset(p);
    p->role = role;
    p->connected = false;
    p->released = false;
    p->seen_end = false;
    p->finished = false;
    p->bad = false;
    p->sent = 0;
    p->taken = 0;
    p->echo_len = 0;
}

static void peer_release(struct conformance_peer *peer)
{
    ((struct port_peer *)peer)->released = true;
}

static size_t peer_taken(const struct conformance_peer *peer)
{
    const struct port_peer *p = (const struct port_peer *)peer;

    return p->bad ? SIZE_MAX : p->taken;
}

static bool peer_ended(const struct conformance_peer *peer)
{
    return ((const struct port_peer *)peer)->seen_end;
}

/* ---- Setting up -------------------------------------------------------------------------------- */

static void must(bool ok, const char *what)
{
    if (!ok) {
        printf("test set-up failed: %s\n0 passed, 1 failed\n", what);
        exit(1);
    }
}

/* A socket on a free port of 127.0.0.1. */
static int bound_socket(uint16_t *port)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    void *any = &address;
    int fd = socket(AF_INET, SOCK_STREAM, 0), size = 8192;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(fd >= 0, "socket()");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    must(bind(fd, any, sizeof address) == 0, "bind()");
    must(getsockname(fd, any, &len) == 0, "getsockname()");
    *port = ntohs(address.sin_port);
    return fd;
}

void port_tls_init(struct port_tls *tls, const char *chain, const char *key)
{
    struct xmpp_tiny_bearssl_arena arena = {tls->bytes, sizeof tls->bytes, 0};
    int n;

    tls->client_anchors = NULL;
    tls->client_anchor_count = 0;
    tls->suite = 0;
    tls->version = 0;
    tls->curve = 0;
    tls->deaf = false;
    tls->cache = NULL;
    n = xmpp_tiny_bearssl_pem_chain(&arena, xmpp_tiny_str(chain), tls->chain, 2);
    must(n > 0, "certificate chain");
    tls->chain_count = (size_t)n;
    must(xmpp_tiny_bearssl_pem_key(&arena, xmpp_tiny_str(key), &tls->key) == 0, "private key");
}

void port_peer_init(struct port_peer *p, struct port_fake *fake, const struct port_tls *tls, const char *name)
{
    memset(p, 0, sizeof *p);
    p->peer.expect = peer_expect;
    p->peer.step = peer_step;
    p->peer.release = peer_release;
    p->peer.taken = peer_taken;
    p->peer.ended = peer_ended;
    p->peer.host = "127.0.0.1";
    p->peer.name = tls != NULL ? name : NULL;
    p->fake = fake;
    p->tls = tls;
    p->fd = -1;
    if (fake != NULL) {
        p->peer.port = FAKE_PORT;
        p->peer.refused = FAKE_REFUSED;
        return;
    }
    p->listener = bound_socket(&p->peer.port);
    must(listen(p->listener, 8) == 0, "listen()");
    (void)fcntl(p->listener, F_SETFL, O_NONBLOCK);
    p->refuser = bound_socket(&p->peer.refused);
}

void port_peer_free(struct port_peer *p)
{
    if (p->fake == NULL) {
        if (p->fd >= 0) {
            (void)close(p->fd);
        }
        (void)close(p->listener);
        (void)close(p->refuser);
    }
}
