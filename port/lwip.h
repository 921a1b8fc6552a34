/* SPDX-License-Identifier: MIT
 *
 * TCP over lwIP's raw API, as a byte stream; IPv4 and IPv6, addresses and names. Nothing here knows a
 * board. lwIP 2.1, with LWIP_TCP; names need LWIP_DNS.
 *
 * Without an operating system (NO_SYS 1) the main loop feeds lwIP and the client in turn: frames in,
 * sys_check_timeouts(), xmpp_tiny_poll(), sleep. examples/4-firmware is such a loop.
 *
 * With one (NO_SYS 0) lwIP has to be built with LWIP_TCPIP_CORE_LOCKING; every operation here takes
 * the core's lock for as long as it lasts, so a client may live in any task. Give wake, to be told when it
 * is worth calling xmpp_tiny_poll(): let it release a semaphore that the task waits for, with the time that
 * the last xmpp_tiny_poll() returned as limit (XMPP_TINY_FOREVER is not to be converted to ticks, but
 * means no limit). Do not hold the lock when you call the client.
 *
 * Memory: a connection is one TCP pcb of lwIP's. Received data stay in lwIP's pbufs until they are read, and
 * the window opens by what was read; so TCP_WND bounds how many bytes a peer can make us keep, and
 * XMPP_TINY_LWIP_UNREAD_MAX in how many pbufs. What is written is copied to lwIP's heap (MEM_SIZE) until the
 * peer has acknowledged it, at most TCP_SND_BUF bytes. Where heap is scarce, TCP_OVERSIZE 0 keeps lwIP from
 * taking more than is needed.
 *
 * TCP_QUEUE_OOSEQ should be 0: segments that lwIP 2.1.3 keeps out of order are not cut to the window, and
 * with one that exceeds it a peer makes lwIP assert, or count TCP_WND wrong (see tests/lwip/lwipopts.h).
 */
#ifndef XMPP_TINY_PORT_LWIP_H
#define XMPP_TINY_PORT_LWIP_H

#include "xmpp_tiny.h"

#include <lwip/ip_addr.h>
#include <lwip/pbuf.h>
#include <lwip/tcp.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How long one address may take to answer, before the next is tried. */
#ifndef XMPP_TINY_LWIP_CONNECT_MS
#define XMPP_TINY_LWIP_CONNECT_MS 10000U
#endif

/* How many pbufs of data that are not read yet may lie here; lwIP keeps one segment more, and the peer the
 * rest. A segment of one byte takes a whole pbuf, and with none left no acknowledgement could come in.
 * A full TCP_WND in segments of TCP_MSS should fit. */
#ifndef XMPP_TINY_LWIP_UNREAD_MAX
#define XMPP_TINY_LWIP_UNREAD_MAX (PBUF_POOL_SIZE > 3 ? PBUF_POOL_SIZE - 2 : 1)
#endif

/* A connection. Visible so that it can be static; private all the same. */
struct xmpp_tiny_lwip {
    struct xmpp_tiny_stream stream;
    void (*wake)(void *ctx);
    void *ctx;
    struct tcp_pcb *pcb;  /* lwIP's; NULL: none */
    struct pbuf *unread;  /* received and ours */
    uint32_t name, since; /* digest of what was asked for; when the attempt began */
    ip_addr_t address;
    const char *detail;
    int error;
    uint8_t state, family; /* family: the next to be asked for */
    bool last;             /* there is nothing to try after this */
    bool ended, shut;      /* the peer's direction, and ours */
    bool starved;          /* lwIP had no memory for what was to be written */
    err_t broken;          /* what lwIP said when it took the pcb back */
};

/* Prepares a connection; then &p->stream is a stream without TLS. A name is looked up in IPv4 first,
 * then in IPv6, and of each the first address is tried: lwIP's resolver tells no other. lwIP cannot forget
 * a look-up: the struct must stay where it is as long as one is under way, also after close().
 * wake may be NULL; else it is called with ctx when something happened that xmpp_tiny_poll() should
 * see, from inside lwIP with its lock held: it must return at once and must not call the client.
 * When: before anything else, once. */
void xmpp_tiny_lwip_init(struct xmpp_tiny_lwip *p, void (*wake)(void *ctx), void *ctx);

#ifdef __cplusplus
}
#endif
#endif
