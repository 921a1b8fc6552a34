/* SPDX-License-Identifier: MIT
 *
 * The far machine: see far.h.
 */
#include "far.h"
#include "wire.h"

#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>
#include <lwip/udp.h>

#include <string.h>

#define NAMES   4
#define QUERIES 8

static struct netif netif;
static struct tcp_pcb *listener, *connection;
static struct pbuf *unread;
static bool accepted, ended, broken;

static struct {
    const char *name;
    ip_addr_t address4, address6;
    bool has4, has6;
} names[NAMES];

static struct {
    uint8_t data[300];
    uint16_t len, port;
    ip_addr_t from;
} queries[QUERIES];

static enum far_dns dns_mode;
static size_t name_count, query_count;
static unsigned asked, asked6;
static struct udp_pcb *dns;

/* ---- Wire -------------------------------------------------------------------------------------- */

static err_t transmit(struct pbuf *p)
{
    uint8_t packet[WIRE_MTU];

    wire_put(WIRE_DOWN, packet, pbuf_copy_partial(p, packet, sizeof packet, 0));
    return ERR_OK;
}

static err_t output4(struct netif *n, struct pbuf *p, const ip4_addr_t *to)
{
    (void)n;
    (void)to;
    return transmit(p);
}

static err_t output6(struct netif *n, struct pbuf *p, const ip6_addr_t *to)
{
    (void)n;
    (void)to;
    return transmit(p);
}

static err_t netif_begin(struct netif *n)
{
    n->name[0] = 'f';
    n->name[1] = 'a';
    n->mtu = WIRE_MTU;
    n->output = output4;
    n->output_ip6 = output6;
    return ERR_OK;
}

void far_poll(void)
{
    uint8_t packet[WIRE_MTU];
    size_t len;

    while ((len = wire_take(WIRE_UP, packet)) > 0) {
        struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_POOL);
        if (p != NULL) {
            (void)pbuf_take(p, packet, (u16_t)len);
            (void)netif.input(p, &netif);
        }
    }
    sys_check_timeouts();
}

/* ---- TCP --------------------------------------------------------------------------------------- */

static err_t received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    (void)arg;
    (void)err;
    if (pcb != connection) {
        if (p != NULL) {
            tcp_recved(pcb, p->tot_len);
            (void)pbuf_free(p);
        } else {
            (void)tcp_close(pcb);
        }
    } else if (p == NULL) {
        ended = true;
    } else if (unread == NULL) {
        unread = p;
    } else {
        pbuf_cat(unread, p);
    }
    return ERR_OK;
}

/* The argument is the connection's own pcb: those that were given up share these functions. */
static void failed(void *arg, err_t err)
{
    (void)err;
    if (arg == connection) {
        connection = NULL;
        broken = true;
    }
}

static void drop_unread(void)
{
    if (unread != NULL) {
        (void)pbuf_free(unread);
        unread = NULL;
    }
}

static err_t taken(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)arg;
    if (err != ERR_OK || pcb == NULL) {
        return ERR_VAL;
    }
    drop_unread();
    connection = pcb;
    accepted = true;
    ended = broken = false;
    tcp_arg(pcb, pcb);
    tcp_recv(pcb, received);
    tcp_err(pcb, failed);
    tcp_nagle_disable(pcb);
    return ERR_OK;
}

void far_listen(bool four, bool six)
{
    struct tcp_pcb *pcb;
    u8_t type = four && six ? IPADDR_TYPE_ANY : four ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6;

    if (listener != NULL) {
        (void)tcp_close(listener);
        listener = NULL;
    }
    if (four || six) {
        pcb = tcp_new_ip_type(type);
        (void)tcp_bind(pcb, four && six ? IP_ANY_TYPE : four ? IP4_ADDR_ANY : IP6_ADDR_ANY, FAR_PORT);
        listener = tcp_listen(pcb);
        tcp_accept(listener, taken);
    }
}

bool far_connected(void)
{
    return accepted;
}

void far_abort(void)
{
    struct tcp_pcb *pcb = connection;

    connection = NULL;
    if (pcb != NULL) {
        broken = true;
        tcp_abort(pcb);
    }
}

void far_forget(void)
{
    far_abort();
    drop_unread();
    accepted = ended = broken = false;
}

int far_read(void *buf, size_t len)
{
    if (unread != NULL) {
        u16_t n = len < unread->tot_len ? (u16_t)len : unread->tot_len;
        (void)pbuf_copy_partial(unread, buf, n, 0);
        unread = pbuf_free_header(unread, n);
        if (connection != NULL) {
            tcp_recved(connection, n);
        }
        return n;
    }
    if (ended) {
        return 0;
    }
    return broken ? -1 : -2;
}

int far_write(const void *buf, size_t len)
{
    u16_t n;

    if (connection == NULL) {
        return accepted ? -1 : -2;
    }
    n = (u16_t)LWIP_MIN(LWIP_MIN(len, 0xFFFF), tcp_sndbuf(connection));
    if (n == 0 || tcp_write(connection, buf, n, TCP_WRITE_FLAG_COPY) != ERR_OK) {
        return -2;
    }
    (void)tcp_output(connection);
    return n;
}

void far_finish(void)
{
    struct tcp_pcb *pcb = connection;

    if (pcb != NULL) {
        if (ended) {
            connection = NULL;
            (void)tcp_close(pcb);
        } else {
            (void)tcp_shutdown(pcb, 0, 1);
        }
    }
}

/* ---- Names ------------------------------------------------------------------------------------- */

/* The name in a query, with dots, to text (256 bytes). Returns where its type stands. */
static size_t query_name(const uint8_t *query, char *text)
{
    size_t at = 12, len = 0;

    while (query[at] != 0 && query[at] < 64 && len + query[at] < 255) {
        if (len > 0) {
            text[len++] = '.';
        }
        memcpy(text + len, query + at + 1, query[at]);
        len += query[at];
        at += query[at] + 1U;
    }
    text[len] = '\0';
    return at + 1;
}

static size_t append(uint8_t *to, const ip_addr_t *address)
{
    static const uint8_t record4[] = {0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4};
    static const uint8_t record6[] = {0xC0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16};

    if (IP_IS_V4(address)) {
        memcpy(to, record4, sizeof record4);
        memcpy(to + sizeof record4, ip_2_ip4(address), 4);
        return sizeof record4 + 4;
    }
    memcpy(to, record6, sizeof record6);
    memcpy(to + sizeof record6, ip_2_ip6(address)->addr, 16);
    return sizeof record6 + 16;
}

static void answer(size_t number)
{
    uint8_t out[400];
    char name[256];
    size_t i, len = queries[number].len;
    bool six;
    struct pbuf *p;

    memcpy(out, queries[number].data, len);
    six = out[query_name(out, name) + 1] == 28;
    out[2] = 0x81;
    out[3] = dns_mode == FAR_DNS_NO_SUCH ? 0x83 : dns_mode == FAR_DNS_FAILS ? 0x82 : 0x80;
    for (i = 0; i < name_count && dns_mode != FAR_DNS_NO_SUCH && dns_mode != FAR_DNS_FAILS; i++) {
        if (strcmp(names[i].name, name) == 0 && (six ? names[i].has6 : names[i].has4)) {
            out[7] = 1;
            len += append(out + len, six ? &names[i].address6 : &names[i].address4);
        }
    }
    p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)len, PBUF_RAM);
    if (p != NULL) {
        (void)pbuf_take(p, out, (u16_t)len);
        (void)udp_sendto(dns, p, &queries[number].from, queries[number].port);
        (void)pbuf_free(p);
    }
}

static void dns_received(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from, u16_t port)
{
    char name[256];

    (void)arg;
    (void)pcb;
    if (p->tot_len >= 17 && p->tot_len <= sizeof queries[0].data && query_count < QUERIES) {
        queries[query_count].len = pbuf_copy_partial(p, queries[query_count].data, p->tot_len, 0);
        queries[query_count].from = *from;
        queries[query_count].port = port;
        asked++;
        asked6 += queries[query_count].data[query_name(queries[query_count].data, name) + 1] == 28;
        if (dns_mode == FAR_DNS_HOLDS) {
            query_count++;
        } else {
            answer(query_count);
        }
    }
    (void)pbuf_free(p);
}

void far_dns(enum far_dns mode)
{
    dns_mode = mode;
    query_count = 0;
}

void far_dns_release(bool backwards)
{
    size_t i;

    for (i = 0; i < query_count; i++) {
        answer(backwards ? query_count - 1 - i : i);
    }
    query_count = 0;
    dns_mode = FAR_DNS_ANSWERS;
}

void far_name(const char *name, const char *address4, const char *address6)
{
    if (name == NULL) {
        name_count = 0;
        asked = asked6 = 0;
        return;
    }
    names[name_count].name = name;
    names[name_count].has4 = address4 != NULL && ipaddr_aton(address4, &names[name_count].address4);
    names[name_count].has6 = address6 != NULL && ipaddr_aton(address6, &names[name_count].address6);
    name_count++;
}

unsigned far_dns_queries(void)
{
    return asked;
}

unsigned far_dns_queries6(void)
{
    return asked6;
}

/* ---- Setting up -------------------------------------------------------------------------------- */

void far_init(void)
{
    ip4_addr_t address, mask, gateway;
    ip_addr_t address6;

    lwip_init();
    (void)ip4addr_aton(FAR_4, &address);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    ip4_addr_set_zero(&gateway);
    (void)netif_add(&netif, &address, &mask, &gateway, NULL, netif_begin, ip_input);
    (void)ipaddr_aton(FAR_6, &address6);
    netif_ip6_addr_set(&netif, 0, ip_2_ip6(&address6));
    netif_ip6_addr_set_state(&netif, 0, IP6_ADDR_PREFERRED);
    netif_set_default(&netif);
    netif_set_up(&netif);
    netif_set_link_up(&netif);
    dns = udp_new_ip_type(IPADDR_TYPE_ANY);
    (void)udp_bind(dns, IP_ANY_TYPE, 53);
    udp_recv(dns, dns_received, NULL);
    far_listen(true, true);
}
