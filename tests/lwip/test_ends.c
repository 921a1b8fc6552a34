/* SPDX-License-Identifier: MIT
 *
 * port/lwip and ends: how connections begin to fail, end, break and vanish, and what lwIP has of them
 * afterwards. A pcb that lwIP frees silently must not be touched again: with NEAR_MALLOC the sanitizer
 * would see it.
 */
#include "client.h"

#define LOST_BY_RESET   "connection reset by the peer"
#define LOST_BY_TIMEOUT "timed out, or the address of the interface changed"

static int shut_now(void)
{
    return tcp.stream.ops->shut(&tcp.stream);
}

static void close_now(void)
{
    tcp.stream.ops->close(&tcp.stream);
}

/* Reads and writes fail, with this reason, and go on failing. */
static void check_lost(const char *why, const char *file, int line)
{
    uint8_t byte = 0;
    int i;

    for (i = 0; i < 3; i++) {
        check_int(read_some(&byte, 1), XMPP_TINY_IO_FAILED, file, line, "read()");
        check_int(write_some(&byte, 1), XMPP_TINY_IO_FAILED, file, line, "write()");
        check_int(shut_now(), XMPP_TINY_IO_FAILED, file, line, "shut()");
        check_error(XMPP_TINY_ERR_LOST, why, file, line);
    }
    (void)check_count(tcp.pcb == NULL && tcp.unread == NULL, file, line, "nothing is kept");
}
#define CHECK_LOST(why) check_lost(why, __FILE__, __LINE__)

/* ---- Beginning --------------------------------------------------------------------------------- */

static void check_connecting(void)
{
    uint32_t since;

    begin("refused");
    CHECK_INT(open_to(&tcp, FAR_4, FAR_REFUSED), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_CONNECT, "connection refused");
    CHECK_INT(near_memory(), memory_before);
    CHECK_INT(open_to(&tcp, FAR_4, FAR_PORT), XMPP_TINY_IO_FAILED); /* until close() */
    CHECK_ERROR(XMPP_TINY_ERR_CONNECT, "connection refused");
    close_now();
    CHECK_ERROR(XMPP_TINY_ERR_CONNECT, "connection refused");
    connect_to(FAR_4);
    end();

    begin("nobody there");
    since = wire_now;
    CHECK_INT(open_to(&tcp, OTHER_4, FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK(wire_now - since >= XMPP_TINY_LWIP_CONNECT_MS);
    CHECK(wire_now - since <= XMPP_TINY_LWIP_CONNECT_MS + 10);
    CHECK_ERROR(XMPP_TINY_ERR_CONNECT, "timed out");
    CHECK(tcp_active_pcbs == NULL);
    end();

    begin("the first attempt is lost");
    wire_faults.cut[WIRE_UP] = true;
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(FAR_4), FAR_PORT), XMPP_TINY_IO_AGAIN);
    wire_faults.cut[WIRE_UP] = false;
    connect_to(FAR_4);
    end();

    begin("the interface is down");
    netif_set_down(&near_netif);
    CHECK_INT(open_to(&tcp, FAR_4, FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_CONNECT, "no route: no interface is up, or it has no address");
    CHECK_INT(near_memory(), memory_before);
    netif_set_up(&near_netif);
    close_now();
    connect_to(FAR_4);
    end();

    begin("closed while connecting");
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(FAR_4), FAR_PORT), XMPP_TINY_IO_AGAIN);
    close_now();
    CHECK(tcp_active_pcbs == NULL);
    woken = 0;
    world_run(1000);
    CHECK_INT(woken, 0);
    CHECK(!far_connected());
    end();

    begin("reset before open() saw that it is connected");
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(FAR_4), FAR_PORT), XMPP_TINY_IO_AGAIN);
    world_run(20);
    CHECK(far_connected());
    far_abort();
    world_run(20);
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(FAR_4), FAR_PORT), 1);
    CHECK_LOST(LOST_BY_RESET);
    end();

    begin("data before open() saw that it is connected");
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(FAR_4), FAR_PORT), XMPP_TINY_IO_AGAIN);
    world_run(20);
    CHECK_INT(far_write(sample(0, 10), 10), 10);
    far_finish();
    world_run(20);
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(FAR_4), FAR_PORT), 1);
    CHECK_READ(0, 10);
    end();

    begin("opened twice");
    connect_to(FAR_4);
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(FAR_4), FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_BUG, "open() on a connection that is open");
    CHECK(tcp.pcb == NULL);
    end();
}

static void check_no_memory(enum near_lack lack)
{
    begin("no memory for a connection");
    near_starve(lack, 0);
    CHECK_INT(open_to(&tcp, FAR_4, FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_CONNECT, "lwIP is out of memory");
    near_feed();
    CHECK_INT(near_memory(), memory_before);
    close_now();
    connect_to(FAR_4);
    end();
}

/* ---- Orderly ends ------------------------------------------------------------------------------ */

static void check_their_end(void)
{
    uint8_t byte = 0;

    begin("the peer ends; its data come first, and we may go on sending");
    connect_to(FAR_4);
    CHECK_INT(far_write(sample(0, 700), 700), 700);
    far_finish();
    world_run(100);
    CHECK_READ(0, 700);
    CHECK_INT(read_some(&byte, 1), 0);
    CHECK_INT(write_some(sample(0, 900), 900), 900);
    world_run(1000);
    CHECK_FAR(0, 900);
    CHECK_INT(read_some(&byte, 1), 0);
    CHECK_INT(shut_now(), 1);
    CHECK_INT(shut_now(), 1);
    woken = 0;
    world_run(1000);
    CHECK_INT(woken, 0); /* there is nothing more to come */
    CHECK_INT(far_read(&byte, 1), 0);
    CHECK_INT(near_memory(), memory_before); /* nobody who was the last to end has to wait */
    CHECK_INT(read_some(&byte, 1), 0);
    CHECK_INT(wire_log[WIRE_UP].resets, 0);
    end();
}

static void check_our_end(void)
{
    uint8_t byte = 0;

    begin("we end first; the peer goes on; lwIP forgets the pcb silently");
    connect_to(FAR_4);
    CHECK_INT(write_some(sample(0, 500), 500), 500);
    CHECK_INT(shut_now(), 1);
    world_run(1000);
    CHECK_FAR(0, 500);
    CHECK_INT(far_read(&byte, 1), 0);
    CHECK_INT(read_some(&byte, 1), XMPP_TINY_IO_AGAIN);
    world_run(100000); /* half closed connections live on */
    CHECK_INT(far_write(sample(0, 600), 600), 600);
    world_run(1000);
    CHECK_READ(0, 600);
    CHECK_INT(read_some(&byte, 1), XMPP_TINY_IO_AGAIN);
    CHECK_INT(far_write(sample(600, 400), 400), 400);
    far_finish();
    world_run(1000);
    CHECK(tcp_tw_pcbs != NULL);
    CHECK_READ(600, 100);
    world_settle();
    CHECK(tcp_tw_pcbs == NULL);
    CHECK_READ(700, 300);
    CHECK_INT(read_some(&byte, 1), 0);
    CHECK_INT(shut_now(), 1);
    close_now();
    CHECK_INT(wire_log[WIRE_UP].resets, 0);
    end();
}

static void check_both_ends(void)
{
    uint8_t byte = 0;

    begin("both end at once");
    connect_to(FAR_4);
    wire_faults.delay = 50;
    CHECK_INT(write_some(sample(0, 10), 10), 10);
    CHECK_INT(shut_now(), 1);
    CHECK_INT(far_write(sample(0, 20), 20), 20);
    far_finish();
    world_run(1000);
    CHECK_READ(0, 20);
    CHECK_INT(read_some(&byte, 1), 0);
    CHECK_FAR(0, 10);
    CHECK_INT(far_read(&byte, 1), 0);
    CHECK_INT(wire_log[WIRE_UP].fins, 1);
    CHECK_INT(wire_log[WIRE_UP].resets, 0);
    CHECK_INT(wire_log[WIRE_DOWN].resets, 0);
    world_settle();
    CHECK_INT(near_memory(), memory_before);
    CHECK_INT(read_some(&byte, 1), 0);
    end();
}

static void check_close_sends(void)
{
    begin("close() after shut(): what was written arrives all the same, and the end");
    connect_to(FAR_4);
    wire_faults.delay = 50;
    CHECK_INT(write_some(sample(0, TCP_SND_BUF), TCP_SND_BUF), TCP_SND_BUF);
    CHECK_INT(shut_now(), 1);
    close_now();
    world_run(3000);
    CHECK_FAR(0, TCP_SND_BUF);
    CHECK_INT(wire_log[WIRE_UP].resets, 0);
    CHECK_INT(wire_log[WIRE_UP].fins, 1);
    end();

    begin("close() without shut() resets at once");
    connect_to(FAR_4);
    CHECK_INT(write_some(sample(0, 10), 10), 10);
    close_now();
    CHECK_INT(wire_log[WIRE_UP].resets, 1);
    CHECK_INT(near_memory(), memory_before);
    world_run(100);
    CHECK(tcp_active_pcbs == NULL);
    end();

    begin("close() with unread data");
    connect_to(FAR_4);
    CHECK_INT(far_write(sample(0, 1000), 1000), 1000);
    world_run(1000);
    CHECK(tcp.unread != NULL);
    close_now();
    CHECK(tcp.unread == NULL);
    CHECK_INT(near_memory(), memory_before);
    end();
}

#ifndef NEAR_MALLOC
/* lwIP sends our end later if it has no segment for it now. */
static void check_late_end(void)
{
    uint8_t byte = 0;

    begin("no memory for our end, theirs comes, and not all is read");
    connect_to(FAR_4);
    CHECK_INT(write_some(sample(0, 100), 100), 100);
    world_run(1000);
    near_starve(NEAR_SEGMENTS, 0);
    CHECK_INT(shut_now(), 1);
    CHECK_INT(far_write(sample(0, 100), 100), 100);
    far_finish();
    world_run(1000);
    CHECK_INT(wire_log[WIRE_UP].fins, 0);
    near_feed();
    world_run(1000);
    CHECK_INT(wire_log[WIRE_UP].fins, 1);
    CHECK_INT(wire_log[WIRE_UP].resets, 0);
    CHECK_FAR(0, 100);
    CHECK_INT(far_read(&byte, 1), 0);
    CHECK_READ(0, 100);
    CHECK_INT(read_some(&byte, 1), 0);
    end();

    begin("no memory for our end, and close()");
    connect_to(FAR_4);
    near_starve(NEAR_SEGMENTS, 0);
    CHECK_INT(shut_now(), 1);
    close_now();
    world_run(1000);
    CHECK_INT(wire_log[WIRE_UP].fins, 0);
    near_feed();
    world_run(1000);
    CHECK_INT(wire_log[WIRE_UP].fins, 1);
    CHECK_INT(far_read(&byte, 1), 0);
    end();
}
#endif

/* ---- Breaks ------------------------------------------------------------------------------------ */

static void check_resets(void)
{
    uint8_t byte = 0;

    begin("reset");
    connect_to(FAR_4);
    far_abort();
    world_run(10);
    CHECK_LOST(LOST_BY_RESET);
    CHECK_INT(near_memory(), memory_before);
    end();

    begin("reset, seen by write() first");
    connect_to(FAR_4);
    far_abort();
    world_run(10);
    CHECK_INT(write_some("x", 1), XMPP_TINY_IO_FAILED);
    CHECK_LOST(LOST_BY_RESET);
    end();

    begin("reset, seen by shut() first");
    connect_to(FAR_4);
    far_abort();
    world_run(10);
    CHECK_INT(shut_now(), XMPP_TINY_IO_FAILED);
    CHECK_LOST(LOST_BY_RESET);
    end();

    begin("reset with unread data: they are read first");
    connect_to(FAR_4);
    CHECK_INT(far_write(sample(0, 700), 700), 700);
    world_run(10);
    far_abort();
    world_run(10);
    CHECK_INT(write_some("x", 1), XMPP_TINY_IO_AGAIN);
    CHECK_READ(0, 600);
    CHECK_INT(write_some("x", 1), XMPP_TINY_IO_AGAIN);
    CHECK_READ(600, 100);
    CHECK_LOST(LOST_BY_RESET);
    end();

    begin("end, then reset: the end counts");
    connect_to(FAR_4);
    CHECK_INT(far_write(sample(0, 10), 10), 10);
    far_finish();
    world_run(10);
    far_abort();
    world_run(10);
    CHECK(tcp.pcb == NULL);
    CHECK_READ(0, 10);
    CHECK_INT(read_some(&byte, 1), 0);
    CHECK_INT(read_some(&byte, 1), 0);
    CHECK_INT(write_some("x", 1), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_LOST, LOST_BY_RESET);
    end();

    begin("reset after our end");
    connect_to(FAR_4);
    CHECK_INT(shut_now(), 1);
    world_run(10);
    far_abort();
    world_run(10);
    CHECK_INT(shut_now(), 1);
    CHECK_INT(read_some(&byte, 1), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_LOST, LOST_BY_RESET);
    end();

    begin("a reset with a wrong number is none");
    connect_to(FAR_4);
    CHECK_INT(write_some("x", 1), 1);
    world_run(10);
    wire_forge(WIRE_DOWN, wire_log[WIRE_UP].last.ack + 100, 0, WIRE_RST, 0, 0);
    world_run(10);
    CHECK_INT(read_some(&byte, 1), XMPP_TINY_IO_AGAIN);
    CHECK_INT(write_some("x", 1), 1);
    end();
}

static void check_silence(void)
{
    uint8_t byte = 0;
    uint32_t since;

    begin("the peer vanishes while we send");
    connect_to(FAR_4);
    CHECK_INT(write_some(sample(0, 100), 100), 100);
    wire_faults.cut[WIRE_UP] = wire_faults.cut[WIRE_DOWN] = true;
    CHECK_INT(write_some(sample(100, 100), 100), 100);
    since = wire_now;
    while (read_some(&byte, 1) == XMPP_TINY_IO_AGAIN && wire_now - since < 3600000) {
        world_run(1000);
    }
    CHECK(wire_now - since > 60000);
    CHECK_LOST(LOST_BY_TIMEOUT);
    CHECK_INT(near_memory(), memory_before);
    end();

    begin("the peer takes nothing, and then vanishes");
    connect_to(FAR_4);
    for (size_t sent = 0; sent < 30000;) {
        int n = write_some(sample(sent, 1000), 1000);
        if (n < 0) {
            CHECK_INT(n, XMPP_TINY_IO_AGAIN);
        }
        sent += n > 0 ? (size_t)n : 0;
        world_run(500);
        if (wire_log[WIRE_DOWN].last.window == 0 && tcp_sndbuf(tcp.pcb) == 0) {
            break;
        }
    }
    CHECK_INT(write_some("x", 1), XMPP_TINY_IO_AGAIN);
    world_run(60000);
    CHECK_INT(read_some(&byte, 1), XMPP_TINY_IO_AGAIN); /* it answers probes */
    wire_faults.cut[WIRE_UP] = wire_faults.cut[WIRE_DOWN] = true;
    since = wire_now;
    while (read_some(&byte, 1) == XMPP_TINY_IO_AGAIN && wire_now - since < 3600000) {
        world_run(1000);
    }
    CHECK_LOST(LOST_BY_TIMEOUT);
    CHECK_INT(near_memory(), memory_before);
    end();

    begin("the peer vanishes after our end");
    connect_to(FAR_4);
    wire_faults.cut[WIRE_UP] = wire_faults.cut[WIRE_DOWN] = true;
    CHECK_INT(shut_now(), 1);
    since = wire_now;
    while (read_some(&byte, 1) == XMPP_TINY_IO_AGAIN && wire_now - since < 3600000) {
        world_run(1000);
    }
    CHECK_INT(read_some(&byte, 1), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_LOST, LOST_BY_TIMEOUT);
    CHECK_INT(near_memory(), memory_before);
    end();
}

static void check_interface(void)
{
    ip4_addr_t other, own = *netif_ip4_addr(&near_netif);

    begin("the interface goes down and comes back");
    connect_to(FAR_4);
    netif_set_down(&near_netif);
    CHECK_INT(write_some(sample(0, 100), 100), 100);
    world_run(5000);
    CHECK_INT(write_some(sample(100, 100), 100), 100);
    netif_set_up(&near_netif);
    world_run(30000);
    CHECK_FAR(0, 200);
    CHECK_INT(far_write(sample(0, 10), 10), 10);
    world_run(1000);
    CHECK_READ(0, 10);
    end();

    begin("the interface's address changes");
    IP4_ADDR(&other, 10, 0, 0, 77);
    connect_to(FAR_4);
    CHECK_INT(far_write(sample(0, 10), 10), 10);
    world_run(100);
    netif_set_ipaddr(&near_netif, &other);
    CHECK_READ(0, 10);
    CHECK_LOST(LOST_BY_TIMEOUT);
    netif_set_ipaddr(&near_netif, &own);
    end();

    begin("the interface's address changes while connecting");
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(FAR_4), FAR_PORT), XMPP_TINY_IO_AGAIN);
    netif_set_ipaddr(&near_netif, &other);
    CHECK_INT(open_to(&tcp, FAR_4, FAR_PORT), XMPP_TINY_IO_FAILED);
    CHECK_ERROR(XMPP_TINY_ERR_CONNECT, LOST_BY_TIMEOUT);
    netif_set_ipaddr(&near_netif, &own);
    end();
}

/* ---- Many -------------------------------------------------------------------------------------- */

/* Another stream needs a pcb, and lwIP takes one that is still being remembered. */
static void check_taken_away(void)
{
    static struct xmpp_tiny_lwip second;
    uint8_t byte = 0;

    begin("the pcb of a connection that ended is taken for another");
    connect_to(FAR_4);
    CHECK_INT(shut_now(), 1);
    world_run(10);
    CHECK_INT(far_write(sample(0, 10), 10), 10);
    far_finish();
    world_run(10);
    CHECK(tcp_tw_pcbs != NULL);
    near_starve(NEAR_PCBS, 0);
    xmpp_tiny_lwip_init(&second, NULL, NULL);
    CHECK_INT(open_to(&second, FAR_4, FAR_PORT), 1);
    CHECK(tcp_tw_pcbs == NULL);
    CHECK_READ(0, 10);
    CHECK_INT(read_some(&byte, 1), 0);
    second.stream.ops->close(&second.stream);
    end();
}

/* What is left of connections that we closed, and that nobody acknowledges, makes room for new ones. */
static void check_room(void)
{
    begin("connections that nobody acknowledges");
    for (int i = 0; i < 3 * MEMP_NUM_TCP_PCB; i++) {
        wire_faults.no_resets = false;
        connect_to(FAR_4);
        wire_faults.cut[WIRE_UP] = true;
        wire_faults.no_resets = true;
        CHECK_INT(write_some("x", 1), 1);
        CHECK_INT(shut_now(), 1);
        close_now();
        wire_faults.cut[WIRE_UP] = false;
        far_forget();
    }
    CHECK_INT(lwip_stats.memp[MEMP_TCP_PCB]->used, 1); /* each took the place of the one before */
    end();

    /* Its window stays shut, and it says so whenever it is asked: lwIP would ask for ever. */
    begin("a connection that was closed before its peer took what was written");
    connect_to(FAR_4);
    for (int i = 0; i < 1000; i++) {
        (void)write_some(sample(0, 500), 500);
        world_run(10);
    }
    CHECK_INT(shut_now(), 1);
    close_now();
    world_run(7200000);
    CHECK(near_memory() > memory_before);
    CHECK_INT(tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(OTHER_4), FAR_PORT), XMPP_TINY_IO_AGAIN);
    close_now();
    CHECK_INT(near_memory(), memory_before);
    end();
}

/* Brings the connection into one of the states in which it can be closed; the caller closes it. */
static bool bring_into(int state)
{
    uint8_t byte;

    if (state == 0) {
        return tcp.stream.ops->open(&tcp.stream, xmpp_tiny_str(OTHER_4), FAR_PORT) == XMPP_TINY_IO_AGAIN;
    }
    if (state == 1) {
        return open_to(&tcp, FAR_4, FAR_REFUSED) == XMPP_TINY_IO_FAILED;
    }
    if (open_to(&tcp, FAR_4, FAR_PORT) != 1) {
        return false;
    }
    world_run(1);
    switch (state) {
    case 2: /* idle */
        return far_connected();
    case 3: /* unread */
        (void)far_write("abc", 3);
        world_run(1);
        return tcp.unread != NULL;
    case 4: /* unsent and not acknowledged */
        return write_some(sample(0, 1000), 1000) == 1000;
    case 5: /* we ended */
        return shut_now() == 1;
    case 6: /* they did */
        far_finish();
        world_run(1);
        return read_some(&byte, 1) == 0;
    case 7: /* both, they first */
        far_finish();
        world_run(1);
        return shut_now() == 1;
    case 8: /* both, we first */
        (void)shut_now();
        world_run(1);
        far_finish();
        world_run(1);
        return read_some(&byte, 1) == 0;
    case 9: /* both, at once, with unread data */
        (void)far_write("abc", 3);
        far_finish();
        (void)shut_now();
        world_run(1);
        return read_some(&byte, 1) == 1;
    case 10: /* broken */
        far_abort();
        world_run(1);
        return read_some(&byte, 1) == XMPP_TINY_IO_FAILED;
    case 11: /* broken, with unread data */
        (void)far_write("abc", 3);
        world_run(1);
        far_abort();
        world_run(1);
        return read_some(&byte, 1) == 1;
    default:
        return false;
    }
}

static void check_cycles(void)
{
    int state, i;

    for (state = 0; state < 12; state++) {
        begin("300 times");
        for (i = 0; i < 300; i++) {
            if (!bring_into(state)) {
                CHECK_INT(state, -1);
                break;
            }
            close_now();
            CHECK(tcp.pcb == NULL && tcp.unread == NULL);
            far_forget();
            world_run(1);
        }
        CHECK_INT(i, 300);
        end();
    }
}

int main(void)
{
    world_init();
    check_connecting();
    check_no_memory(NEAR_HEAP);
    check_no_memory(NEAR_SEGMENTS);
    check_no_memory(NEAR_PCBS);
    check_their_end();
    check_our_end();
    check_both_ends();
    check_close_sends();
#ifndef NEAR_MALLOC
    check_late_end();
#endif
    check_resets();
    check_silence();
    check_interface();
    check_taken_away();
    check_room();
    check_cycles();
    return check_done();
}
