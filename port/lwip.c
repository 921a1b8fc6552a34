/* SPDX-License-Identifier: MIT
 *
 * TCP over lwIP's raw API: see lwip.h.
 *
 * lwIP calls back from inside its own functions, and frees a pcb without asking: after an error, after the
 * last acknowledgement, and in TIME_WAIT without a word. So callbacks only note what happened, the
 * operations act on it, and a pcb that could vanish silently is let go of in time (see part()).
 */
#include "port/lwip.h"

#include <lwip/dns.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/sys.h>
#include <lwip/tcpip.h>

#include <string.h>

#if NO_SYS
#define LOCK()   ((void)0)
#define UNLOCK() ((void)0)
#elif LWIP_TCPIP_CORE_LOCKING
#define LOCK()   LOCK_TCPIP_CORE()
#define UNLOCK() UNLOCK_TCPIP_CORE()
#else
#error "port/lwip needs LWIP_TCPIP_CORE_LOCKING 1 when NO_SYS is 0"
#endif

#if XMPP_TINY_ENABLE_NAMES
#define TEXT(text) (text)
#else
#define TEXT(text) NULL
#endif

enum {
    STATE_CLOSED,
    STATE_NEXT,       /* to look the name up, in the next family */
    STATE_LOOKUP,     /* a name server is being asked */
    STATE_FOUND,      /* an address to try */
    STATE_CONNECTING, /* trying it */
    STATE_CONNECTED,  /* done, but open() has not said so yet */
    STATE_OPEN,
    STATE_FAILED
};

#define WRITE_LEAST 32U /* when lwIP is short of memory, fewer bytes than this are not worth a segment */

/* ---- Errors ------------------------------------------------------------------------------------ */

static const char *err_text(err_t err)
{
    switch (err) {
    case ERR_MEM:
        return TEXT("lwIP is out of memory");
    case ERR_RTE:
        return TEXT("no route: no interface is up, or it has no address");
    case ERR_RST:
        return TEXT("connection reset by the peer");
    case ERR_ABRT:
        return TEXT("timed out, or the address of the interface changed");
    default:
        return TEXT("lwIP ended the connection");
    }
}

/* lwIP tells this connection nothing any more. Its arg stays: see reclaim(). */
static struct tcp_pcb *detach(struct xmpp_tiny_lwip *p)
{
    struct tcp_pcb *pcb = p->pcb;

    p->pcb = NULL;
    if (pcb != NULL) {
        tcp_recv(pcb, NULL);
        tcp_sent(pcb, NULL);
        tcp_err(pcb, NULL);
        tcp_poll(pcb, NULL, 1);
    }
    return pcb;
}

/* The connection's memory goes back to lwIP: in order, if our direction is ended already, else by a
 * reset. What a peer does not acknowledge must not keep a slot from the next connection: lwIP takes
 * pcbs of least priority back when it runs out. */
static void drop(struct xmpp_tiny_lwip *p)
{
    struct tcp_pcb *pcb = detach(p);

    if (p->unread != NULL) {
        (void)pbuf_free(p->unread);
        p->unread = NULL;
    }
    if (pcb == NULL) {
        return;
    }
    tcp_setprio(pcb, TCP_PRIO_MIN);
    if (!p->shut || tcp_close(pcb) != ERR_OK) {
        tcp_abort(pcb);
    }
}

/* What an earlier connection left with lwIP and its peer has not acknowledged until now is given up: it
 * holds segments and heap that the next connection needs, for a quarter of an hour if the peer is gone and
 * for ever if its window stays shut, and lwIP makes room for want of pcbs only. When: not from inside lwIP.
 */
static void reclaim(const struct xmpp_tiny_lwip *p)
{
    struct tcp_pcb *pcb, *next;

    for (pcb = tcp_active_pcbs; pcb != NULL; pcb = next) {
        next = pcb->next;
        if (pcb->callback_arg == p && pcb->prio == TCP_PRIO_MIN &&
            (pcb->unsent != NULL || pcb->unacked != NULL)) {
            tcp_abort(pcb);
        }
    }
}

static int fail(struct xmpp_tiny_lwip *p, int error, const char *detail)
{
    if (p->state != STATE_FAILED) {
        p->error = error;
        p->detail = detail;
    }
    p->state = STATE_FAILED;
    drop(p);
    return XMPP_TINY_IO_FAILED;
}

/* Out of order; or after a failure, whose cause is kept. A closed connection can still be opened. */
static int not_open(struct xmpp_tiny_lwip *p)
{
    bool closed = p->state == STATE_CLOSED;

    (void)fail(p, XMPP_TINY_ERR_BUG, TEXT("the connection is not open"));
    p->state = closed ? STATE_CLOSED : STATE_FAILED;
    return XMPP_TINY_IO_FAILED;
}

/* ---- What lwIP tells --------------------------------------------------------------------------- */

static void tell(const struct xmpp_tiny_lwip *p)
{
    if (p->wake != NULL) {
        p->wake(p->ctx);
    }
}

/* With both directions ended the pcb goes to TIME_WAIT, from where lwIP takes it back without a
 * word. All is said and heard by then, so it is left to lwIP. */
static void part(struct xmpp_tiny_lwip *p)
{
    struct pbuf *unread = p->unread;

    if (p->ended && p->shut) {
        /* With a window that is not whole tcp_close() would reset, if our end has found no memory yet. */
        if (p->pcb != NULL && unread != NULL) {
            tcp_recved(p->pcb, unread->tot_len);
        }
        p->unread = NULL;
        drop(p);
        p->unread = unread;
    }
}

/* lwIP keeps what is refused and offers it again; but once both directions have ended it would lose both
 * the data and the pcb. So after our end all is taken that a chain can hold. */
static bool finds_room(const struct xmpp_tiny_lwip *p, const struct pbuf *data)
{
    if (p->unread == NULL) {
        return true;
    }
    return (uint32_t)p->unread->tot_len + data->tot_len <= UINT16_MAX &&
           (p->shut || pbuf_clen(p->unread) + pbuf_clen(data) <= XMPP_TINY_LWIP_UNREAD_MAX);
}

static err_t received(void *arg, struct tcp_pcb *pcb, struct pbuf *data, err_t err)
{
    struct xmpp_tiny_lwip *p = arg;

    (void)err;
    if (data == NULL) {
        p->ended = true;
        part(p);
    } else if (finds_room(p, data)) {
        if (p->unread == NULL) {
            p->unread = data;
        } else {
            pbuf_cat(p->unread, data);
        }
    } else if (!p->shut) {
        return ERR_MEM;
    } else {
        (void)pbuf_free(data);
        (void)detach(p);
        p->broken = ERR_MEM;
        tcp_abort(pcb);
        tell(p);
        return ERR_ABRT;
    }
    tell(p);
    return ERR_OK;
}

static err_t acknowledged(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    (void)pcb;
    (void)len;
    tell(arg);
    return ERR_OK;
}

/* lwIP's clock, every 500 ms: for what is waited for and nothing else would tell. */
static err_t ticked(void *arg, struct tcp_pcb *pcb)
{
    const struct xmpp_tiny_lwip *p = arg;

    (void)pcb;
    if (p->starved || (p->state == STATE_CONNECTING && sys_now() - p->since >= XMPP_TINY_LWIP_CONNECT_MS)) {
        tell(p);
    }
    return ERR_OK;
}

static err_t connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct xmpp_tiny_lwip *p = arg;

    (void)pcb;
    (void)err;
    p->state = STATE_CONNECTED;
    tell(p);
    return ERR_OK;
}

/* An address did not do; if none does, this is the reason. One that was found but did not answer is the
 * better reason than a family the name has no address in. */
static void reject(struct xmpp_tiny_lwip *p, int error, const char *detail)
{
    if (p->error != XMPP_TINY_ERR_CONNECT || error == XMPP_TINY_ERR_CONNECT) {
        p->error = error;
        p->detail = detail;
    }
    p->state = STATE_NEXT;
}

/* The pcb is gone already. */
static void broke(void *arg, err_t err)
{
    struct xmpp_tiny_lwip *p = arg;

    p->pcb = NULL;
    if (p->state == STATE_CONNECTING) {
        reject(p, XMPP_TINY_ERR_CONNECT, err == ERR_RST ? TEXT("connection refused") : err_text(err));
    } else {
        p->broken = err;
    }
    tell(p);
}

/* ---- Names ------------------------------------------------------------------------------------- */

#if LWIP_DNS
#define HOST_MAX DNS_MAX_NAME_LENGTH

/* FNV-1a over what was asked for. lwIP may tell a name in the letters of somebody else who asks for it. */
static uint32_t digest(const char *name, u8_t family)
{
    uint32_t hash = 2166136261U ^ family;

    while (*name != '\0') {
        hash = (hash ^ ((uint8_t)*name++ | 0x20U)) * 16777619U;
    }
    return hash;
}

/* An answer, perhaps to what was asked for before the last close(). */
static void found(struct xmpp_tiny_lwip *p, uint32_t name, const ip_addr_t *address)
{
    if (p->state != STATE_LOOKUP || p->name != name) {
        return;
    }
    if (address == NULL) {
        reject(p, XMPP_TINY_ERR_LOOKUP, TEXT("the name has no address, or no name server answered"));
    } else {
        p->address = *address;
        p->state = STATE_FOUND;
    }
    tell(p);
}

#if LWIP_IPV4
static void found4(const char *name, const ip_addr_t *address, void *arg)
{
    found(arg, digest(name, LWIP_DNS_ADDRTYPE_IPV4), address);
}
#endif

#if LWIP_IPV6
static void found6(const char *name, const ip_addr_t *address, void *arg)
{
    found(arg, digest(name, LWIP_DNS_ADDRTYPE_IPV6), address);
}
#endif

/* In the order in which they are tried. */
static const struct {
    u8_t type;
    dns_found_callback found;
} families[] = {
#if LWIP_IPV4
    {LWIP_DNS_ADDRTYPE_IPV4, found4},
#endif
#if LWIP_IPV6
    {LWIP_DNS_ADDRTYPE_IPV6, found6},
#endif
};

static void ask(struct xmpp_tiny_lwip *p, const char *name)
{
    u8_t type = families[p->family].type;
    dns_found_callback callback = families[p->family].found;
    err_t err;

    p->name = digest(name, type);
    p->state = STATE_LOOKUP;
    p->family++;
    p->last = p->family == sizeof families / sizeof families[0];
    err = dns_gethostbyname_addrtype(name, &p->address, callback, p, type);
    if (err == ERR_OK) {
        p->state = STATE_FOUND;
    } else if (err != ERR_INPROGRESS) {
        reject(p, XMPP_TINY_ERR_LOOKUP,
               err == ERR_MEM ? TEXT("too many look-ups are under way") : TEXT("no name server is known"));
    }
}
#else
#define HOST_MAX IPADDR_STRLEN_MAX

static void ask(struct xmpp_tiny_lwip *p, const char *name)
{
    (void)name;
    p->last = true;
    reject(p, XMPP_TINY_ERR_LOOKUP, TEXT("not an address, and lwIP is built without LWIP_DNS"));
}
#endif

/* Turns host into an address, or asks for it in the next family. */
static int look_up(struct xmpp_tiny_lwip *p, struct xmpp_tiny_str host)
{
    char name[HOST_MAX];

    /* An IPv6 literal may stand in brackets, as in a JID. */
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host.ptr++;
        host.len -= 2;
    }
    if (host.len == 0 || host.len >= sizeof name || memchr(host.ptr, 0, host.len) != NULL) {
        return fail(p, XMPP_TINY_ERR_LOOKUP, TEXT("not a host name"));
    }
    memcpy(name, host.ptr, host.len);
    name[host.len] = '\0';
    if (ipaddr_aton(name, &p->address)) {
        p->last = true;
        p->state = STATE_FOUND;
    } else {
        ask(p, name);
    }
    return 1;
}

/* ---- Connecting -------------------------------------------------------------------------------- */

static void attempt(struct xmpp_tiny_lwip *p, uint16_t port)
{
    err_t err = ERR_MEM;

    p->pcb = tcp_new_ip_type(IP_GET_TYPE(&p->address));
    p->state = STATE_CONNECTING;
    p->since = sys_now();
    if (p->pcb != NULL) {
        tcp_arg(p->pcb, p);
        tcp_recv(p->pcb, received);
        tcp_sent(p->pcb, acknowledged);
        tcp_err(p->pcb, broke);
        tcp_poll(p->pcb, ticked, 1);
        tcp_nagle_disable(p->pcb);
        err = tcp_connect(p->pcb, &p->address, port, connected);
    }
    if (err != ERR_OK) {
        drop(p);
        reject(p, XMPP_TINY_ERR_CONNECT, err_text(err));
    }
}

static int open_locked(struct xmpp_tiny_lwip *p, struct xmpp_tiny_str host, uint16_t port)
{
    if (p->state == STATE_CLOSED) {
        reclaim(p);
        p->family = 0;
        p->last = p->ended = p->shut = p->starved = false;
        p->broken = ERR_OK;
        p->error = 0;
        p->state = STATE_NEXT;
    }
    for (;;) {
        switch (p->state) {
        case STATE_NEXT:
            if (p->last) {
                return fail(p, p->error, p->detail);
            }
            if (look_up(p, host) < 0) {
                return XMPP_TINY_IO_FAILED;
            }
            break;
        case STATE_LOOKUP:
            return XMPP_TINY_IO_AGAIN;
        case STATE_FOUND:
            attempt(p, port);
            break;
        case STATE_CONNECTING:
            if (sys_now() - p->since < XMPP_TINY_LWIP_CONNECT_MS) {
                return XMPP_TINY_IO_AGAIN;
            }
            drop(p);
            reject(p, XMPP_TINY_ERR_CONNECT, TEXT("timed out"));
            break;
        case STATE_CONNECTED:
            p->state = STATE_OPEN;
            return 1;
        default:
            return fail(p, XMPP_TINY_ERR_BUG, TEXT("open() on a connection that is open"));
        }
    }
}

/* ---- Bytes ------------------------------------------------------------------------------------- */

/* The one copy: from lwIP's buffers to where the bytes are wanted. */
static int read_locked(struct xmpp_tiny_lwip *p, void *buf, size_t len)
{
    if (p->state != STATE_OPEN) {
        return not_open(p);
    }
    if (p->unread != NULL) {
        u16_t n = len < p->unread->tot_len ? (u16_t)len : p->unread->tot_len;
        (void)pbuf_copy_partial(p->unread, buf, n, 0);
        p->unread = pbuf_free_header(p->unread, n);
        /* Some drivers leave an empty buffer behind the data. */
        if (p->unread != NULL && p->unread->tot_len == 0) {
            (void)pbuf_free(p->unread);
            p->unread = NULL;
        }
        if (p->pcb != NULL) {
            tcp_recved(p->pcb, n);
        }
        return n;
    }
    if (p->ended) {
        return 0;
    }
    if (p->broken != ERR_OK) {
        return fail(p, XMPP_TINY_ERR_LOST, err_text(p->broken));
    }
    return XMPP_TINY_IO_AGAIN;
}

/* What the peer sent before it cut us off is worth reading: it may say why. Until that is done, a
 * connection that broke takes no more bytes; then read reports the failure. */
static int write_locked(struct xmpp_tiny_lwip *p, const void *buf, size_t len)
{
    u16_t n;
    err_t err;

    if (p->state != STATE_OPEN) {
        return not_open(p);
    }
    if (p->pcb == NULL) {
        return p->unread != NULL ? XMPP_TINY_IO_AGAIN : fail(p, XMPP_TINY_ERR_LOST, err_text(p->broken));
    }
    n = len < tcp_sndbuf(p->pcb) ? (u16_t)len : (u16_t)tcp_sndbuf(p->pcb);
    if (n == 0) {
        return XMPP_TINY_IO_AGAIN;
    }
    while ((err = tcp_write(p->pcb, buf, n, TCP_WRITE_FLAG_COPY)) == ERR_MEM && n > WRITE_LEAST) {
        n /= 2;
    }
    p->starved = err == ERR_MEM;
    if (err != ERR_OK && err != ERR_MEM) {
        return fail(p, XMPP_TINY_ERR_LOST, TEXT("the connection is closed for sending"));
    }
    /* If there is no memory to send now, lwIP's timer sends. */
    (void)tcp_output(p->pcb);
    return err == ERR_OK ? n : XMPP_TINY_IO_AGAIN;
}

/* lwIP sends what it took, and then the end, however long that takes. */
static int shut_locked(struct xmpp_tiny_lwip *p)
{
    if (p->state != STATE_OPEN) {
        return not_open(p);
    }
    if (p->shut) {
        return 1;
    }
    if (p->pcb == NULL || tcp_shutdown(p->pcb, 0, 1) != ERR_OK) {
        return fail(p, XMPP_TINY_ERR_LOST, err_text(p->broken));
    }
    p->shut = true;
    part(p);
    return 1;
}

/* ---- The stream -------------------------------------------------------------------------------- */

static int op_open(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port)
{
    int result;

    LOCK();
    result = open_locked((struct xmpp_tiny_lwip *)s, host, port);
    UNLOCK();
    return result;
}

static int op_read(struct xmpp_tiny_stream *s, void *buf, size_t len)
{
    int result;

    LOCK();
    result = read_locked((struct xmpp_tiny_lwip *)s, buf, len);
    UNLOCK();
    return result;
}

static int op_write(struct xmpp_tiny_stream *s, const void *buf, size_t len)
{
    int result;

    LOCK();
    result = write_locked((struct xmpp_tiny_lwip *)s, buf, len);
    UNLOCK();
    return result;
}

static int op_shut(struct xmpp_tiny_stream *s)
{
    int result;

    LOCK();
    result = shut_locked((struct xmpp_tiny_lwip *)s);
    UNLOCK();
    return result;
}

/* The error survives until the next open(), so that it can still be asked for. */
static void op_close(struct xmpp_tiny_stream *s)
{
    struct xmpp_tiny_lwip *p = (struct xmpp_tiny_lwip *)s;

    LOCK();
    drop(p);
    p->state = STATE_CLOSED;
    UNLOCK();
}

static int op_error(struct xmpp_tiny_stream *s, const char **detail)
{
    const struct xmpp_tiny_lwip *p = (const struct xmpp_tiny_lwip *)s;

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

void xmpp_tiny_lwip_init(struct xmpp_tiny_lwip *p, void (*wake)(void *ctx), void *ctx)
{
    memset(p, 0, sizeof *p);
    p->stream.ops = &ops;
    p->wake = wake;
    p->ctx = ctx;
    p->state = STATE_CLOSED;
}
