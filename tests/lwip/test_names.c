/* SPDX-License-Identifier: MIT
 *
 * port/lwip and names: lwIP's resolver, both families, answers that come late, never, or for somebody
 * who has gone.
 */
#include "client.h"

#include <lwip/dns.h>

static void nobody(const char *name, const ip_addr_t *address, void *arg)
{
    (void)name;
    (void)address;
    (void)arg;
}

/* What a bystander asks for. */
static err_t ask(const char *name, u8_t family)
{
    ip_addr_t address;

    return dns_gethostbyname_addrtype(name, &address, nobody, NULL, family);
}

/* The names of a test are its own: lwIP remembers addresses longer than a test takes. */
static void check_literals(void)
{
    static const char *const hosts[] = {FAR_4, FAR_6, "[" FAR_6 "]"};
    size_t i;

    for (i = 0; i < 3; i++) {
        begin(hosts[i]);
        connect_to(hosts[i]);
        CHECK_INT(far_dns_queries(), 0);
        end();
    }
}

static void check_families(void)
{
    begin("a name with an IPv4 address");
    far_name("four.a.test", FAR_4, NULL);
    connect_to("four.a.test");
    CHECK_INT(far_dns_queries(), 1);
    CHECK_INT(far_dns_queries6(), 0);
    CHECK(IP_IS_V4(&tcp.pcb->remote_ip));
    end();

    begin("a name with an IPv6 address");
    far_name("six.a.test", NULL, FAR_6);
    connect_to("six.a.test");
    CHECK_INT(far_dns_queries(), 2);
    CHECK_INT(far_dns_queries6(), 1);
    CHECK(IP_IS_V6(&tcp.pcb->remote_ip));
    end();

    begin("a name with both: IPv4 is first");
    far_name("both.a.test", FAR_4, FAR_6);
    connect_to("both.a.test");
    CHECK_INT(far_dns_queries(), 1);
    CHECK(IP_IS_V4(&tcp.pcb->remote_ip));
    end();

    begin("a name with both: IPv4 is refused");
    far_name("both.b.test", FAR_4, FAR_6);
    far_listen(false, true);
    connect_to("both.b.test");
    CHECK_INT(far_dns_queries(), 2);
    CHECK(IP_IS_V6(&tcp.pcb->remote_ip));
    end();

    begin("a name with both: both are refused");
    far_name("both.c.test", FAR_4, FAR_6);
    CHECK_INT(open_to(&tcp, "both.c.test", FAR_REFUSED), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_CONNECT, "connection refused");
    CHECK_INT(far_dns_queries(), 2);
    end();

    begin("a name with IPv4 only, refused: that counts, not that there is no IPv6");
    far_name("four.b.test", FAR_4, NULL);
    CHECK_INT(open_to(&tcp, "four.b.test", FAR_REFUSED), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_CONNECT, "connection refused");
    CHECK_INT(far_dns_queries(), 2);
    end();
}

/* An attempt that could not even begin leaves nothing behind when the next one is made. */
static void check_no_way(void)
{
    ip_addr_t server = *dns_getserver(0), other;
    ip4_addr_t own = *netif_ip4_addr(&near_netif);

    begin("a name with both: the interface has no IPv4 address");
    (void)ipaddr_aton(FAR_6, &other);
    dns_setserver(0, &other);
    far_name("both.f.test", FAR_4, FAR_6);
    netif_set_ipaddr(&near_netif, IP4_ADDR_ANY4);
    connect_to("both.f.test");
    CHECK(IP_IS_V6(&tcp.pcb->remote_ip));
    netif_set_ipaddr(&near_netif, &own);
    dns_setserver(0, &server);
    end();
}

static void check_silent_address(void)
{
    uint32_t since;

    begin("a name with both: nobody at the IPv4 address");
    far_name("both.d.test", OTHER_4, FAR_6);
    since = wire_now;
    connect_to("both.d.test");
    CHECK(wire_now - since >= XMPP_TINY_LWIP_CONNECT_MS);
    CHECK(wire_now - since < XMPP_TINY_LWIP_CONNECT_MS + 100);
    CHECK(IP_IS_V6(&tcp.pcb->remote_ip));
    end();

    begin("a name with both: nobody at either");
    far_name("both.e.test", OTHER_4, OTHER_6);
    since = wire_now;
    CHECK_INT(open_to(&tcp, "both.e.test", FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK(wire_now - since >= 2 * XMPP_TINY_LWIP_CONNECT_MS);
    CHECK(wire_now - since < 2 * XMPP_TINY_LWIP_CONNECT_MS + 100);
    CHECK_ERROR(XMPP_TINY_ERR_CONNECT, "timed out");
    end();
}

static void check_no_address(void)
{
    ip_addr_t server = *dns_getserver(0);

    begin("a name without addresses");
    CHECK_INT(open_to(&tcp, "none.a.test", FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_LOOKUP, "the name has no address, or no name server answered");
    CHECK_INT(far_dns_queries(), 2);
    end();

    begin("NXDOMAIN");
    far_dns(FAR_DNS_NO_SUCH);
    CHECK_INT(open_to(&tcp, "none.b.test", FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_LOOKUP, "the name has no address, or no name server answered");
    CHECK_INT(far_dns_queries(), 2);
    end();

    begin("SERVFAIL");
    far_dns(FAR_DNS_FAILS);
    CHECK_INT(open_to(&tcp, "none.c.test", FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_LOOKUP, "the name has no address, or no name server answered");
    end();

    begin("no answer");
    wire_faults.cut[WIRE_UP] = true;
    CHECK_INT(open_to(&tcp, "none.d.test", FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_LOOKUP, "the name has no address, or no name server answered");
    end();

    begin("no name server");
    dns_setserver(0, NULL);
    CHECK_INT(open_to(&tcp, "none.e.test", FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_LOOKUP, "no name server is known");
    CHECK_INT(far_dns_queries(), 0);
    dns_setserver(0, &server);
    end();

    begin("a name server that goes away during the look-up");
    far_dns(FAR_DNS_HOLDS);
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("none.f.test"), FAR_PORT), XMPP_TINY_IO_AGAIN);
    dns_setserver(0, NULL);
    CHECK_INT(open_to(&tcp, "none.f.test", FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_LOOKUP, "no name server is known");
    dns_setserver(0, &server);
    end();
}

static void check_cache(void)
{
    begin("an address that lwIP remembers is not asked for");
    far_name("cached.test", FAR_4, NULL);
    connect_to("cached.test");
    tcp.stream.ops->close(&tcp.stream);
    far_forget();
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("cached.test"), FAR_PORT), XMPP_TINY_IO_AGAIN);
    CHECK(tcp.pcb != NULL);
    connect_to("cached.test");
    CHECK_INT(far_dns_queries(), 1);
    tcp.stream.ops->close(&tcp.stream);
    world_run(61000);
    connect_to("cached.test");
    CHECK_INT(far_dns_queries(), 2);
    end();
}

/* close() cannot call a look-up back: its answer must not be taken for another's. */
static void check_stale(bool backwards)
{
    begin("the answer for the name before");
    far_name(backwards ? "old.b.test" : "old.a.test", OTHER_4, NULL);
    far_name(backwards ? "new.b.test" : "new.a.test", FAR_4, NULL);
    far_dns(FAR_DNS_HOLDS);
    (void)tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(backwards ? "old.b.test" : "old.a.test"), FAR_PORT);
    world_run(10);
    tcp.stream.ops->close(&tcp.stream);
    (void)tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(backwards ? "new.b.test" : "new.a.test"), FAR_PORT);
    world_run(10);
    CHECK_INT(far_dns_queries(), 2);
    far_dns_release(backwards);
    connect_to(backwards ? "new.b.test" : "new.a.test");
    CHECK_INT(wire_log[WIRE_UP].resets, 0);
    CHECK(ip_addr_cmp(&tcp.pcb->remote_ip, dns_getserver(0)));
    end();
}

static void check_stale_family(void)
{
    begin("the answer for the other family, of the attempt before: no address");
    far_listen(false, true);
    far_name("late.a.test", FAR_4, NULL);
    while (far_dns_queries6() == 0) { /* IPv4 is refused; then IPv6 is asked for */
        (void)tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("late.a.test"), FAR_PORT);
        world_run(10);
        if (far_dns_queries() == 1) {
            far_dns(FAR_DNS_HOLDS);
        }
    }
    tcp.stream.ops->close(&tcp.stream);
    far_listen(true, true);
    world_run(1);
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("late.a.test"), FAR_PORT), XMPP_TINY_IO_AGAIN);
    far_dns_release(false);
    connect_to("late.a.test");
    CHECK(IP_IS_V4(&tcp.pcb->remote_ip));
    end();
}

/* Our own query for IPv6 under way, abandoned; then one for IPv4. */
static void check_stale_own(void)
{
    begin("our own abandoned question for IPv6 is answered while IPv4 is asked for");
    far_dns(FAR_DNS_NO_SUCH);
    while (far_dns_queries6() == 0) {
        (void)tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("late.c.test"), FAR_PORT);
        if (far_dns_queries() == 1) {
            far_dns(FAR_DNS_HOLDS);
        }
        world_run(10);
    }
    tcp.stream.ops->close(&tcp.stream);
    far_name("late.c.test", FAR_4, NULL);
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("late.c.test"), FAR_PORT), XMPP_TINY_IO_AGAIN);
    world_run(10);
    CHECK_INT(far_dns_queries(), 3);
    CHECK_INT(far_dns_queries6(), 1);
    far_dns_release(false);
    world_run(10);
    CHECK_INT(open_to(&tcp, "late.c.test", FAR_PORT), 1);
    CHECK_INT(far_dns_queries6(), 1);
    end();
}

static void check_close_in_lookup(void)
{
    uint8_t byte;

    begin("close() during a look-up");
    far_name("gone.test", FAR_4, NULL);
    far_dns(FAR_DNS_HOLDS);
    (void)tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("gone.test"), FAR_PORT);
    world_run(10);
    tcp.stream.ops->close(&tcp.stream);
    far_dns_release(false);
    woken = 0;
    world_run(1000);
    CHECK_INT(woken, 0);
    CHECK_INT(read_some(&byte, 1), XMPP_TINY_IO_FAILED);
    CHECK_INT(wire_log[WIRE_UP].segments, 0);
    end();

    begin("the same name again, asked for once");
    far_name("twice.test", FAR_4, NULL);
    far_dns(FAR_DNS_HOLDS);
    (void)tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("twice.test"), FAR_PORT);
    world_run(10);
    tcp.stream.ops->close(&tcp.stream);
    (void)tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("twice.test"), FAR_PORT);
    world_run(10);
    CHECK_INT(far_dns_queries(), 1);
    far_dns_release(false);
    connect_to("twice.test");
    end();
}

/* lwIP joins look-ups of one name, whatever its letters' case, and tells us the other's spelling. */
static void check_case(void)
{
    begin("somebody else asks for the name in capitals");
    far_name("CASE.Test", FAR_4, NULL);
    far_dns(FAR_DNS_HOLDS);
    CHECK_INT(ask("CASE.Test", LWIP_DNS_ADDRTYPE_IPV4), ERR_INPROGRESS);
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("case.test"), FAR_PORT), XMPP_TINY_IO_AGAIN);
    world_run(10);
    CHECK_INT(far_dns_queries(), 1);
    far_dns_release(false);
    connect_to("case.test");
    end();
}

static void check_table_full(void)
{
    begin("lwIP's table of names is full");
    far_dns(FAR_DNS_HOLDS);
    CHECK_INT(ask("full.a.test", LWIP_DNS_ADDRTYPE_IPV4), ERR_INPROGRESS);
    CHECK_INT(ask("full.b.test", LWIP_DNS_ADDRTYPE_IPV4), ERR_INPROGRESS);
    CHECK_INT(open_to(&tcp, "full.c.test", FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_LOOKUP, "too many look-ups are under way");
    tcp.stream.ops->close(&tcp.stream);
    far_name("full.c.test", FAR_4, NULL);
    far_dns(FAR_DNS_ANSWERS);
    world_run(30000);
    connect_to("full.c.test");
    end();
}

static void check_host(struct xmpp_tiny_str host, const char *what)
{
    begin(what);
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, host, FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_LOOKUP, "not a host name");
    CHECK_INT(far_dns_queries(), 0);
    end();
}

static void check_odd_hosts(void)
{
    static char name[300];
    struct xmpp_tiny_str host = {name, 0};
    size_t i;

    for (i = 0; i < sizeof name; i++) {
        name[i] = i % 50 == 49 ? '.' : 'n';
    }
    host.len = DNS_MAX_NAME_LENGTH;
    check_host(host, "a name too long for lwIP");
    host.len = sizeof name;
    check_host(host, "a name much too long");
    check_host(xmpp_tiny_str(""), "no name");
    check_host(xmpp_tiny_str("[]"), "brackets around nothing");
    host.ptr = "a\0b.test";
    host.len = 8;
    check_host(host, "a name with NUL in it");

    begin("the longest name");
    name[DNS_MAX_NAME_LENGTH - 1] = '\0';
    far_name(name, FAR_4, NULL);
    connect_to(name);
    CHECK_INT(far_dns_queries(), 1);
    end();

    begin("a name that does not end where the slice ends");
    far_name("slice.test", FAR_4, NULL);
    host.ptr = "slice.testxx";
    host.len = 10;
    while (tcp.stream.ops->open(&tcp.stream, host, FAR_PORT) == XMPP_TINY_IO_AGAIN) {
        world_run(10);
    }
    world_run(10);
    CHECK(far_connected());
    end();
}

static void check_woken(void)
{
    begin("an answer wakes");
    far_name("woken.test", FAR_4, NULL);
    far_dns(FAR_DNS_HOLDS);
    (void)tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("woken.test"), FAR_PORT);
    world_run(100);
    CHECK_INT(woken, 0);
    far_dns_release(false);
    world_run(10);
    CHECK_INT(woken, 1);
    end();

    begin("that there is no answer wakes");
    wire_faults.cut[WIRE_UP] = true;
    (void)tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str("none.g.test"), FAR_PORT);
    world_run(60000);
    CHECK_INT(woken, 1);
    end();
}

int main(void)
{
    world_init();
    check_literals();
    check_families();
    check_no_way();
    check_silent_address();
    check_no_address();
    check_cache();
    check_stale(false);
    check_stale(true);
    check_stale_family();
    check_stale_own();
    check_close_in_lookup();
    check_case();
    check_table_full();
    check_odd_hosts();
    check_woken();
    return check_done();
}
