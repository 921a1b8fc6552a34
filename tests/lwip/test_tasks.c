/* SPDX-License-Identifier: MIT
 *
 * port/lwip where there is an operating system: lwIP in a thread of its own, the client in another, each
 * use of lwIP under the core's lock (which lwIP checks), and the client asleep until it is woken. Here
 * time is real; the far machine and its wire have a third thread. The thread sanitizer watches.
 */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif

#include "bridge.h"
#include "far.h"
#include "wire.h"

#include "check.h"
#include "port/lwip.h"

#include <lwip/dns.h>
#include <lwip/stats.h>
#include <lwip/tcpip.h>

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Nothing here takes this long, unless something is stuck. */
#define LIMIT_SECONDS 120
#define WAKE_SECONDS  5

/* ---- Locks ------------------------------------------------------------------------------------- */

static pthread_mutex_t core = PTHREAD_MUTEX_INITIALIZER;
static pthread_t core_holder;
static bool core_held, core_checked;

/* The wire and the far machine; taken after the core's lock, if both are. */
static pthread_mutex_t world = PTHREAD_MUTEX_INITIALIZER;

void tasks_lock(void)
{
    (void)pthread_mutex_lock(&core);
    core_holder = pthread_self();
    core_held = true;
}

void tasks_unlock(void)
{
    core_held = false;
    (void)pthread_mutex_unlock(&core);
}

/* Without the lock this reads what another thread may be writing: the sanitizer sees that, too. */
void tasks_check_lock(void)
{
    if (core_checked && !(core_held && pthread_equal(core_holder, pthread_self()))) {
        printf("lwIP was called without its core's lock\n0 passed, 1 failed\n");
        exit(1);
    }
}

/* lwIP's short locks; one task may take them again. Debian's own peeps at who holds it. */
static pthread_mutex_t protection;

sys_prot_t sys_arch_protect(void)
{
    (void)pthread_mutex_lock(&protection);
    return 0;
}

void sys_arch_unprotect(sys_prot_t before)
{
    (void)before;
    (void)pthread_mutex_unlock(&protection);
}

static void protection_init(void)
{
    pthread_mutexattr_t again;

    (void)pthread_mutexattr_init(&again);
    (void)pthread_mutexattr_settype(&again, PTHREAD_MUTEX_RECURSIVE);
    (void)pthread_mutex_init(&protection, &again);
}

unsigned lwip_test_random(void)
{
    static unsigned state = 1;
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    unsigned value;

    (void)pthread_mutex_lock(&mutex);
    state = state * 1664525U + 1013904223U;
    value = state >> 8;
    (void)pthread_mutex_unlock(&mutex);
    return value;
}

static void nap(void)
{
    (void)usleep(500);
}

/* ---- Machines ---------------------------------------------------------------------------------- */

static struct netif netif;

static err_t transmit(struct pbuf *p)
{
    uint8_t packet[WIRE_MTU];

    (void)pthread_mutex_lock(&world);
    wire_put(WIRE_UP, packet, pbuf_copy_partial(p, packet, sizeof packet, 0));
    (void)pthread_mutex_unlock(&world);
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
    n->name[0] = 'n';
    n->name[1] = 'e';
    n->mtu = WIRE_MTU;
    n->output = output4;
    n->output_ip6 = output6;
    return ERR_OK;
}

/* In lwIP's thread, when it starts. */
static void machine_begin(void *arg)
{
    ip4_addr_t address, mask, gateway;
    ip6_addr_t address6;
    ip_addr_t server;

    core_checked = true;
    (void)ip4addr_aton(NEAR_4, &address);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    ip4_addr_set_zero(&gateway);
    (void)netif_add(&netif, &address, &mask, &gateway, NULL, netif_begin, tcpip_input);
    (void)ip6addr_aton(NEAR_6, &address6);
    netif_ip6_addr_set(&netif, 0, &address6);
    netif_ip6_addr_set_state(&netif, 0, IP6_ADDR_PREFERRED);
    netif_set_default(&netif);
    netif_set_up(&netif);
    netif_set_link_up(&netif);
    (void)ipaddr_aton(FAR_4, &server);
    dns_setserver(0, &server);
    sys_sem_signal(arg);
}

/* The third thread: the far machine, and what our interface receives. */
static void *far_task(void *arg)
{
    (void)arg;
    for (;;) {
        uint8_t packet[WIRE_MTU];
        size_t len;
        (void)pthread_mutex_lock(&world);
        wire_now = sys_now();
        far_poll();
        len = wire_take(WIRE_DOWN, packet);
        (void)pthread_mutex_unlock(&world);
        if (len > 0) {
            struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_POOL);
            if (p != NULL) {
                (void)pbuf_take(p, packet, (u16_t)len);
                if (netif.input(p, &netif) != ERR_OK) {
                    (void)pbuf_free(p);
                }
            }
        } else {
            nap();
        }
    }
    return NULL;
}

/* A fourth: somebody else who uses lwIP. */
static void *other_task(void *arg)
{
    (void)arg;
    for (;;) {
        struct tcp_pcb *pcb;
        LOCK_TCPIP_CORE();
        pcb = tcp_new();
        if (pcb != NULL) {
            tcp_abort(pcb);
        }
        UNLOCK_TCPIP_CORE();
        (void)usleep(3000);
    }
    return NULL;
}

/* ---- The client -------------------------------------------------------------------------------- */

static struct xmpp_tiny_lwip tcp;
static sys_sem_t wakes;

/* Called inside lwIP, with its lock held. */
static void wake(void *ctx)
{
    tasks_check_lock();
    sys_sem_signal(ctx);
}

/* Sleeps until woken. True if that came about. */
static bool woken(void)
{
    return sys_arch_sem_wait(&wakes, WAKE_SECONDS * 1000) != SYS_ARCH_TIMEOUT;
}

static void expect(struct conformance_peer *peer, enum conformance_role role)
{
    (void)peer;
    (void)usleep(20000);
    (void)pthread_mutex_lock(&world);
    bridge_expect(role);
    (void)pthread_mutex_unlock(&world);
}

static void step(struct conformance_peer *peer)
{
    (void)peer;
    (void)pthread_mutex_lock(&world);
    bridge_carry();
    (void)pthread_mutex_unlock(&world);
    nap();
}

static void cut(void)
{
    (void)pthread_mutex_unlock(&world);
    (void)usleep(50000);
    (void)pthread_mutex_lock(&world);
    far_abort();
}

static void report(struct conformance *c, const char *text)
{
    printf("%s: %s\n", (const char *)c->user, text);
}

static void check_conformance(const char *host)
{
    struct conformance c;
    char label[60];

    (void)snprintf(label, sizeof label, "with tasks, %s", host);
    memset(&c, 0, sizeof c);
    bridge_begin(host, NULL, expect, step, cut);
    c.stream = &tcp.stream;
    c.peer = &bridge_peer;
    c.report = report;
    c.user = label;
    (void)conformance_run(&c);
    check_passed += (unsigned)c.passed;
    check_failed += (unsigned)c.failed;
}

static int far_says(const char *text)
{
    int n;

    (void)pthread_mutex_lock(&world);
    n = text != NULL ? far_write(text, strlen(text)) : (far_finish(), 0);
    (void)pthread_mutex_unlock(&world);
    return n;
}

/* The far machine reads all there is. */
static void far_reads(void)
{
    char buf[500];

    (void)pthread_mutex_lock(&world);
    while (far_read(buf, sizeof buf) > 0) {
    }
    (void)pthread_mutex_unlock(&world);
}

/* A client that does nothing but when it is woken gets everything. */
static void check_sleeper(const char *host, unsigned rounds)
{
    struct xmpp_tiny_stream *s = &tcp.stream;
    char buf[100];
    unsigned i;
    int n;

    (void)usleep(20000);
    (void)pthread_mutex_lock(&world);
    far_forget();
    (void)pthread_mutex_unlock(&world);
    while (sys_arch_sem_wait(&wakes, 1) != SYS_ARCH_TIMEOUT) {
    }
    while ((n = s->ops->open(s, xmpp_tiny_str(host), FAR_PORT)) == XMPP_TINY_IO_AGAIN && woken()) {
    }
    CHECK_INT(n, 1);
    for (i = 0; i < rounds; i++) {
        /* The far machine may know of the connection a little later than we. */
        while (far_says("ping") == XMPP_TINY_IO_AGAIN) {
            nap();
        }
        while ((n = s->ops->read(s, buf, sizeof buf)) == XMPP_TINY_IO_AGAIN && woken()) {
        }
        CHECK_INT(n, 4);
        CHECK_INT(s->ops->write(s, "pong", 4), 4);
    }
    for (n = 0, i = 0; n != XMPP_TINY_IO_AGAIN && i < 100; i++) {
        n = s->ops->write(s, buf, sizeof buf);
    }
    CHECK_INT(n, XMPP_TINY_IO_AGAIN); /* lwIP is full; an acknowledgement makes room */
    while ((n = s->ops->write(s, "x", 1)) == XMPP_TINY_IO_AGAIN && (far_reads(), woken())) {
    }
    CHECK_INT(n, 1);
    CHECK_INT(s->ops->shut(s), 1);
    (void)far_says(NULL);
    while ((n = s->ops->read(s, buf, sizeof buf)) == XMPP_TINY_IO_AGAIN && woken()) {
    }
    CHECK_INT(n, 0);
    s->ops->close(s);
}

int main(void)
{
    pthread_t far_thread, other_thread;
    sys_sem_t ready;

    (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    (void)alarm(LIMIT_SECONDS);
    protection_init();
    wire_reset(1);
    far_init();
    far_name("six.test", NULL, FAR_6);
    (void)sys_sem_new(&ready, 0);
    (void)sys_sem_new(&wakes, 0);
    tcpip_init(machine_begin, &ready);
    (void)sys_arch_sem_wait(&ready, 0);
    (void)pthread_create(&far_thread, NULL, far_task, NULL);
    (void)pthread_create(&other_thread, NULL, other_task, NULL);
    xmpp_tiny_lwip_init(&tcp, wake, &wakes);
    check_sleeper(FAR_4, 50);
    check_sleeper("six.test", 50);
    check_conformance(FAR_4);
    check_conformance("six.test");
    (void)check_done();
    _Exit(check_failed > 0); /* lwIP's thread cannot be ended */
}
