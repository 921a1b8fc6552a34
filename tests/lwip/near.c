/* SPDX-License-Identifier: MIT
 *
 * The near machine: see near.h.
 */
#include "near.h"

#include <lwip/dns.h>
#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/mem.h>
#include <lwip/memp.h>
#include <lwip/stats.h>
#include <lwip/prot/tcp.h>
#include <lwip/sys.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>

#include <string.h>

struct netif near_netif;
int near_chains;

u32_t sys_now(void)
{
    return wire_now;
}

unsigned lwip_test_random(void)
{
    static unsigned state = 1;

    state = state * 1664525U + 1013904223U;
    return state >> 8;
}

/* ---- Wire -------------------------------------------------------------------------------------- */

static err_t transmit(struct pbuf *p)
{
    uint8_t packet[WIRE_MTU];

    wire_put(WIRE_UP, packet, pbuf_copy_partial(p, packet, sizeof packet, 0));
    return ERR_OK;
}

#if LWIP_IPV4
static err_t output4(struct netif *n, struct pbuf *p, const ip4_addr_t *to)
{
    (void)n;
    (void)to;
    return transmit(p);
}
#endif

#if LWIP_IPV6
static err_t output6(struct netif *n, struct pbuf *p, const ip6_addr_t *to)
{
    (void)n;
    (void)to;
    return transmit(p);
}
#endif

static err_t netif_begin(struct netif *n)
{
    n->name[0] = 'n';
    n->name[1] = 'e';
    n->mtu = WIRE_MTU;
#if LWIP_IPV4
    n->output = output4;
#endif
#if LWIP_IPV6
    n->output_ip6 = output6;
#endif
    return ERR_OK;
}

static struct pbuf *arrive(const uint8_t *packet, size_t len)
{
    struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_POOL);

    if (p != NULL) {
        (void)pbuf_take(p, packet, (u16_t)len);
    }
    if (p != NULL && near_chains == 1) {
        struct pbuf *empty = pbuf_alloc(PBUF_RAW, 0, PBUF_RAM);
        if (empty != NULL) {
            pbuf_cat(p, empty);
        }
    }
    return p;
}

#if TCP_QUEUE_OOSEQ
err_t near_in_window(const struct tcp_pcb *pcb, const struct tcp_hdr *header, const struct pbuf *p)
{
    uint32_t behind = header->seqno - pcb->rcv_nxt + p->tot_len + 1; /* of a segment with an end */

    return pcb->state < ESTABLISHED || header->seqno == pcb->rcv_nxt || (int32_t)behind <= 1 ||
                   behind <= pcb->rcv_wnd
               ? ERR_OK
               : ERR_VAL;
}
#endif

void near_poll(void)
{
    uint8_t packet[WIRE_MTU];
    size_t len;

    while ((len = wire_take(WIRE_DOWN, packet)) > 0) {
        struct pbuf *p = arrive(packet, len);
        if (p != NULL && near_netif.input(p, &near_netif) != ERR_OK) {
            (void)pbuf_free(p);
        }
    }
    sys_check_timeouts();
}

static void run(uint32_t ms, uint32_t step)
{
    do {
        step = ms < step ? ms : step;
        wire_now += step;
        ms -= step;
        far_poll();
        near_poll();
    } while (ms > 0);
}

void world_run(uint32_t ms)
{
    run(ms, 10);
}

void world_settle(void)
{
    run(300000, 250);
}

void world_init(void)
{
#if LWIP_IPV6
    ip6_addr_t address6;
#endif
#if LWIP_IPV4
    ip4_addr_t address, mask, gateway;
#endif
#if LWIP_DNS
    ip_addr_t server;
#endif

    wire_reset(1);
    far_init();
    lwip_init();
#if LWIP_IPV4
    (void)ip4addr_aton(NEAR_4, &address);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    ip4_addr_set_zero(&gateway);
    (void)netif_add(&near_netif, &address, &mask, &gateway, NULL, netif_begin, ip_input);
#else
    (void)netif_add(&near_netif, NULL, netif_begin, ip_input);
#endif
#if LWIP_IPV6
    (void)ip6addr_aton(NEAR_6, &address6);
    netif_ip6_addr_set(&near_netif, 0, &address6);
    netif_ip6_addr_set_state(&near_netif, 0, IP6_ADDR_PREFERRED);
#endif
    netif_set_default(&near_netif);
    netif_set_up(&near_netif);
    netif_set_link_up(&near_netif);
#if LWIP_DNS
    (void)ipaddr_aton(LWIP_IPV4 ? FAR_4 : FAR_6, &server);
    dns_setserver(0, &server);
#endif
}

/* ---- Memory ------------------------------------------------------------------------------------ */

uint32_t near_memory(void)
{
    uint32_t used = (uint32_t)lwip_stats.mem.used;
    uint32_t timers = (uint32_t)lwip_stats.memp[MEMP_SYS_TIMEOUT]->used;
    int i;

#ifdef NEAR_MALLOC
    used -= timers * (uint32_t)LWIP_MEM_ALIGN_SIZE(sizeof(struct sys_timeo));
#endif
    for (i = 0; i < MEMP_MAX; i++) {
        used += (uint32_t)lwip_stats.memp[i]->used * 100000U;
    }
    return used - timers * 100000U;
}

#ifdef NEAR_MALLOC
/* lwIP cannot do without its timers, which are smaller than anything else. */
#define TIMER_SIZE (MEM_STATS_SIZE + LWIP_MEM_ALIGN_SIZE(sizeof(struct sys_timeo)))
#define PCB_SIZE   (MEM_STATS_SIZE + LWIP_MEM_ALIGN_SIZE(sizeof(struct tcp_pcb)))
/* What lwIP adds to each block for its statistics. */
#define MEM_STATS_SIZE LWIP_MEM_ALIGN_SIZE(sizeof(mem_size_t))

union block {
    size_t size;
    long double align;
};

static bool starved;
static unsigned pcbs, pcbs_most = MEMP_NUM_TCP_PCB;

void *near_malloc(size_t size)
{
    union block *block;

    if ((starved && size > TIMER_SIZE) || (size == PCB_SIZE && pcbs >= pcbs_most)) {
        return NULL;
    }
    block = malloc(sizeof *block + size);
    if (block == NULL) {
        return NULL;
    }
    block->size = size;
    pcbs += size == PCB_SIZE;
    return block + 1;
}

void *near_calloc(size_t count, size_t size)
{
    void *block = near_malloc(count * size);

    return block != NULL ? memset(block, 0, count * size) : NULL;
}

void near_free(void *block)
{
    if (block != NULL) {
        union block *whole = (union block *)block - 1;
        pcbs -= whole->size == PCB_SIZE;
        free(whole);
    }
}

void near_starve(enum near_lack lack, unsigned left)
{
    if (lack == NEAR_PCBS) {
        pcbs_most = pcbs + left;
    } else {
        starved = true;
    }
}

void near_feed(void)
{
    starved = false;
    pcbs_most = MEMP_NUM_TCP_PCB;
}
#else
/* What was taken away, as a list of blocks. */
struct taken {
    struct taken *next;
};

static struct taken *heap, *blocks;
static memp_t kind;

static void starve_heap(unsigned left)
{
    mem_size_t size = MEM_SIZE;
    struct taken *spare = NULL, *block;

    for (; left > 0; left--) {
        block = mem_malloc(64);
        block->next = spare;
        spare = block;
    }
    while (size >= 16) {
        block = mem_malloc(size);
        if (block != NULL) {
            block->next = heap;
            heap = block;
        } else {
            size /= 2;
        }
    }
    while (spare != NULL) {
        block = spare;
        spare = spare->next;
        mem_free(block);
    }
}

void near_starve(enum near_lack lack, unsigned left)
{
    struct taken *block;

    if (lack == NEAR_HEAP) {
        starve_heap(left);
        return;
    }
    kind = lack == NEAR_SEGMENTS ? MEMP_TCP_SEG : MEMP_TCP_PCB;
    while ((unsigned)(lwip_stats.memp[kind]->avail - lwip_stats.memp[kind]->used) > left &&
           (block = memp_malloc(kind)) != NULL) {
        block->next = blocks;
        blocks = block;
    }
}

void near_feed(void)
{
    struct taken *block;

    while ((block = heap) != NULL) {
        heap = block->next;
        mem_free(block);
    }
    while ((block = blocks) != NULL) {
        blocks = block->next;
        memp_free(kind, block);
    }
}
#endif
