/* SPDX-License-Identifier: MIT
 *
 * port/lwip and bytes: short writes, lack of memory, the window, what comes out of order, and what wakes.
 */
#include "client.h"

/* ---- Writing ----------------------------------------------------------------------------------- */

static void check_short_write(void)
{
    begin("write takes what fits in lwIP's send buffer");
    connect_to(FAR_4);
    wire_faults.cut[WIRE_DOWN] = true;
    CHECK_INT(write_some(sample(0, 9000), 9000), TCP_SND_BUF);
    CHECK_INT(write_some(sample(TCP_SND_BUF, 1), 1), XMPP_TINY_IO_AGAIN);
    world_run(200);
    CHECK_INT(write_some(sample(TCP_SND_BUF, 1), 1), XMPP_TINY_IO_AGAIN);
    wire_faults.cut[WIRE_DOWN] = false;
    world_run(10000);
    CHECK_INT(write_some(sample(TCP_SND_BUF, 9000), 9000), TCP_SND_BUF);
    world_run(1000);
    CHECK_FAR(0, 2 * TCP_SND_BUF);
    end();

    begin("write leaves at once");
    connect_to(FAR_4);
    CHECK_INT(write_some(sample(0, 3), 3), 3);
    CHECK_INT(write_some(sample(3, 4), 4), 4);
    world_run(0);
    CHECK_FAR(0, 7);
    end();

    begin("as many small writes as lwIP queues");
    connect_to(FAR_4);
    wire_faults.cut[WIRE_DOWN] = true;
    for (size_t i = 0; i < TCP_SND_QUEUELEN; i++) {
        CHECK_INT(write_some(sample(i, 1), 1), 1);
    }
    CHECK_INT(write_some(sample(TCP_SND_QUEUELEN, 1), 1), XMPP_TINY_IO_AGAIN);
    wire_faults.cut[WIRE_DOWN] = false;
    world_run(20000);
    CHECK_INT(write_some(sample(TCP_SND_QUEUELEN, 1), 1), 1);
    world_run(1000);
    CHECK_FAR(0, TCP_SND_QUEUELEN + 1);
    end();
}

/* Without memory a write says "later", the connection is whole, and goes on when there is some. */
static void check_lack(enum near_lack lack)
{
    begin(lack == NEAR_HEAP ? "no heap" : "no segments");
    connect_to(FAR_4);
    near_starve(lack, 0);
    CHECK_INT(write_some(sample(0, 1), 1), XMPP_TINY_IO_AGAIN);
    CHECK_INT(write_some(sample(0, 500), 500), XMPP_TINY_IO_AGAIN);
    world_run(5000);
    CHECK_INT(write_some(sample(0, 500), 500), XMPP_TINY_IO_AGAIN);
    near_feed();
    CHECK_INT(write_some(sample(0, 500), 500), 500);
    world_run(5000);
    CHECK_FAR(0, 500);
    CHECK_INT(wire_log[WIRE_UP].resets, 0);
    end();
}

#ifndef NEAR_MALLOC
/* With little memory some of it is sent, not nothing. */
static void check_little_heap(void)
{
    int first, second;

    begin("a little heap");
    connect_to(FAR_4);
    near_starve(NEAR_HEAP, 6);
    first = write_some(sample(0, 500), 500);
    CHECK(first > 0 && first < 500);
    world_run(2000);
    second = write_some(sample((size_t)first, 500), 500);
    CHECK_INT(second, first); /* what was acknowledged is free again */
    world_run(2000);
    CHECK_FAR(0, (size_t)(first + second));
    near_feed();
    end();

    begin("one segment");
    connect_to(FAR_4);
    near_starve(NEAR_SEGMENTS, 1);
    CHECK_INT(write_some(sample(0, 1000), 1000), 500); /* two segments are one too many; half of it fits */
    CHECK_INT(write_some(sample(500, 1), 1), XMPP_TINY_IO_AGAIN);
    world_run(2000);
    CHECK_INT(write_some(sample(500, 500), 500), 500);
    world_run(2000);
    CHECK_FAR(0, 1000);
    near_feed();
    end();
}
#endif

/* ---- Reading ----------------------------------------------------------------------------------- */

#ifndef NEAR_SCALE
/* The window is what has been read, and no more: that bounds what a peer can make us keep. */
static void check_window(void)
{
    unsigned segments;

    begin("the window");
    connect_to(FAR_4);
    CHECK_INT(far_write(sample(0, 5000), 5000), 5000);
    world_run(20000);
    CHECK_INT(tcp.unread->tot_len, TCP_WND);
    CHECK_INT(tcp.pcb->rcv_wnd, 0);
    CHECK_INT(wire_log[WIRE_UP].last.window, 0);
    segments = wire_log[WIRE_UP].segments;
    CHECK_READ(0, TCP_MSS - 1); /* less than a segment is not worth telling */
    CHECK_INT(wire_log[WIRE_UP].segments, segments);
    CHECK_INT(tcp.pcb->rcv_wnd, TCP_MSS - 1);
    CHECK_READ(TCP_MSS - 1, 1);
    CHECK_INT(wire_log[WIRE_UP].segments, segments + 1);
    CHECK_INT(wire_log[WIRE_UP].last.window, TCP_MSS);
    world_run(20000);
    CHECK_INT(tcp.unread->tot_len, TCP_WND);
    CHECK_INT(tcp.pcb->rcv_wnd, 0);
    for (size_t at = TCP_MSS; at < 5000; at += 496) {
        size_t piece = 5000 - at < 496 ? 5000 - at : 496;
        CHECK_READ(at, piece);
        world_run(20000);
    }
    CHECK_INT(tcp.pcb->rcv_wnd, TCP_WND);
    CHECK(tcp.unread == NULL);
    end();
}
#endif

static void check_pieces(void)
{
    uint8_t byte;

    begin("reads of all sizes, across lwIP's buffers");
    connect_to(FAR_4);
    CHECK_INT(read_some(&byte, 1), XMPP_TINY_IO_AGAIN);
    CHECK_INT(far_write(sample(0, 1000), 1000), 1000);
    world_run(1000);
    CHECK_READ(0, 1);
    CHECK_READ(1, 300);
    CHECK_READ(301, 2);
    CHECK_READ(303, 697);
    CHECK_INT(read_some(&byte, 1), XMPP_TINY_IO_AGAIN);
    CHECK(tcp.unread == NULL);
    end();

    begin("a chain of buffers with an empty end");
    near_chains = 1;
    connect_to(FAR_4);
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(far_write(sample(i * 100, 100), 100), 100);
        world_run(1000);
        CHECK_READ(i * 100, 100);
        CHECK_INT(read_some(&byte, 1), XMPP_TINY_IO_AGAIN);
    }
    end();
}

static void check_order(void)
{
    uint8_t buf[100];
    uint32_t seq, ack;

    begin("segments out of order, doubled and overlapping");
    connect_to(FAR_4);
    CHECK_INT(write_some("x", 1), 1);
    world_run(10);
    seq = wire_log[WIRE_UP].last.ack;
    ack = wire_log[WIRE_UP].last.seq + 1;
    wire_forge(WIRE_DOWN, seq + 20, ack, WIRE_ACK, 'c', 10);
    world_run(10);
    CHECK_INT(read_some(buf, sizeof buf), XMPP_TINY_IO_AGAIN);
    wire_forge(WIRE_DOWN, seq + 10, ack, WIRE_ACK, 'b', 10);
    wire_forge(WIRE_DOWN, seq + 20, ack, WIRE_ACK, 'c', 10);
    world_run(10);
    CHECK_INT(read_some(buf, sizeof buf), XMPP_TINY_IO_AGAIN);
    wire_forge(WIRE_DOWN, seq, ack, WIRE_ACK, 'a', 15);
#if !TCP_QUEUE_OOSEQ
    wire_forge(WIRE_DOWN, seq + 10, ack, WIRE_ACK, 'b', 10);
    wire_forge(WIRE_DOWN, seq + 20, ack, WIRE_ACK, 'c', 10);
#endif
    world_run(10);
    CHECK_INT(read_some(buf, sizeof buf), 30);
    CHECK(memcmp(buf, "aaaaaaaaaaaaaaabbbbbcccccccccc", 30) == 0 ||
          memcmp(buf, "aaaaaaaaaabbbbbbbbbbcccccccccc", 30) == 0);
    wire_forge(WIRE_DOWN, seq + 25, ack, WIRE_ACK, 'd', 10); /* five bytes are known already */
    wire_forge(WIRE_DOWN, seq, ack, WIRE_ACK, 'e', 30);      /* all are */
    world_run(10);
    CHECK_INT(read_some(buf, sizeof buf), 5);
    CHECK(memcmp(buf, "ddddd", 5) == 0);
    CHECK_INT(read_some(buf, sizeof buf), XMPP_TINY_IO_AGAIN);
    end();
}

/* Each byte in a segment of its own, and so in a buffer of its own: lwIP's buffers must not run out, or no
 * acknowledgement could come in and nothing go out. */
static void check_single_bytes(void)
{
    enum { BYTES = 100 };
    size_t i;

    begin("a peer that sends single bytes to a client that does not read");
    connect_to(FAR_4);
    wire_faults.delay = 5;
    for (i = 0; i < BYTES; i++) {
        CHECK_INT(far_write(sample(i, 1), 1), 1);
        world_run(10);
    }
    CHECK_INT(write_some(sample(0, 500), 500), 500);
    world_run(1000);
    CHECK(tcp.pcb != NULL && tcp.pcb->unacked == NULL);
    CHECK_FAR(0, 500);
#if !defined NEAR_MALLOC && !defined NEAR_SCALE
    CHECK(lwip_stats.memp[MEMP_PBUF_POOL]->used < PBUF_POOL_SIZE);
    CHECK_INT(lwip_stats.memp[MEMP_PBUF_POOL]->err, 0);
#endif
    for (i = 0; i < BYTES;) {
        uint8_t byte = 0;
        int n = read_some(&byte, 1);
        if (n != 1) {
            CHECK_INT(n, XMPP_TINY_IO_AGAIN);
            world_run(1000);
            CHECK(wire_now < UINT32_MAX);
        } else {
            CHECK_INT(byte, pattern(i));
            i++;
        }
    }
    end();
}

/* After our end nothing is refused: lwIP would lose it. */
static void check_single_bytes_after_shut(void)
{
    uint8_t byte;

    begin("single bytes, then the end, after ours");
    connect_to(FAR_4);
    CHECK_INT(tcp.stream.ops->shut(&tcp.stream), 1);
    world_run(10);
    for (size_t i = 0; i < PBUF_POOL_SIZE - 1 && i < 100; i++) {
        CHECK_INT(far_write(sample(i, 1), 1), 1);
        world_run(10);
    }
    far_finish();
    world_run(10);
    CHECK(tcp.pcb == NULL);
    CHECK_READ(0, PBUF_POOL_SIZE - 1 < 100 ? PBUF_POOL_SIZE - 1 : 100);
    CHECK_INT(read_some(&byte, 1), 0);
    end();
}

#ifdef NEAR_SCALE
/* lwIP's chains of buffers hold at most 65,535 bytes. */
static void check_64k(void)
{
    static uint8_t buf[2000];
    enum { TOTAL = 150000 };
    size_t sent = 0, got = 0, i, idle = 0;
    bool good = true;

    begin("more than 64 KiB unread");
    connect_to(FAR_4);
    for (i = 0; i < 2000; i++) {
        size_t piece = TOTAL - sent < 1400 ? TOTAL - sent : 1400;
        int n = piece > 0 ? far_write(sample(sent, piece), piece) : 0;
        sent += n > 0 ? (size_t)n : 0;
        world_run(10);
    }
    CHECK(tcp.unread->tot_len > 60000);
    CHECK_INT(write_some("x", 1), 1);
    while (got < TOTAL && idle < 5000) {
        int n = read_some(buf, sizeof buf);
        idle++;
        if (n > 0) {
            for (i = 0; i < (size_t)n; i++) {
                good = good && buf[i] == pattern(got + i);
            }
            got += (size_t)n;
            idle = 0;
        }
        if (sent < TOTAL) {
            size_t piece = TOTAL - sent < 1400 ? TOTAL - sent : 1400;
            n = far_write(sample(sent, piece), piece);
            sent += n > 0 ? (size_t)n : 0;
        }
        world_run(10);
    }
    CHECK_INT(got, TOTAL);
    CHECK(good);
    end();

    begin("more than 64 KiB unread, ours has ended, and then their end comes");
    connect_to(FAR_4);
    for (i = 0, sent = 0; i < 2000; i++) {
        size_t piece = TOTAL - sent < 1400 ? TOTAL - sent : 1400;
        int n = piece > 0 ? far_write(sample(sent, piece), piece) : 0;
        sent += n > 0 ? (size_t)n : 0;
        if (i == 20) {
            CHECK_INT(tcp.stream.ops->shut(&tcp.stream), 1);
        }
        world_run(10);
    }
    far_finish();
    world_settle();
    for (got = 0, i = 0; i < 100000; i++) {
        int n = read_some(buf, sizeof buf);
        if (n <= 0) {
            CHECK_INT(n, XMPP_TINY_IO_FAILED);
            break;
        }
        got += (size_t)n;
    }
    CHECK_ERROR(XMPP_TINY_ERR_LOST, "lwIP is out of memory");
    end();
}
#endif

/* ---- Waking ------------------------------------------------------------------------------------ */

static void check_woken(void)
{
    struct xmpp_tiny_stream *s = &tcp.stream;
    uint8_t buf[100];

    begin("what wakes");
    CHECK_INT(s->ops->open(s, xmpp_tiny_str(FAR_4), FAR_PORT), XMPP_TINY_IO_AGAIN);
    CHECK_INT(woken, 0);
    world_run(10);
    CHECK_INT(woken, 1); /* connected */
    CHECK_INT(s->ops->open(s, xmpp_tiny_str(FAR_4), FAR_PORT), 1);
    world_run(1000);
    CHECK_INT(woken, 1);
    CHECK_INT(far_write("abc", 3), 3);
    world_run(300);
    CHECK_INT(woken, 2); /* data */
    CHECK_INT(read_some(buf, sizeof buf), 3);
    CHECK_INT(write_some(buf, 3), 3);
    world_run(300);
    CHECK_INT(woken, 3); /* room */
    far_finish();
    world_run(300);
    CHECK_INT(woken, 4); /* the end */
    CHECK_INT(read_some(buf, sizeof buf), 0);
    far_abort();
    world_run(300);
    CHECK_INT(woken, 5); /* the break */
    end();

    begin("an address that does not answer wakes when its time is over");
    (void)s->ops->open(s, xmpp_tiny_str(OTHER_4), FAR_PORT);
    world_run(XMPP_TINY_LWIP_CONNECT_MS - 10);
    CHECK_INT(woken, 0);
    world_run(600); /* lwIP's timer comes every 500 ms */
    CHECK(woken == 1 || woken == 2);
    CHECK_INT(s->ops->open(s, xmpp_tiny_str(OTHER_4), FAR_PORT), XMPP_TINY_IO_FAILED);
    end();

    begin("memory that may be there again wakes");
    connect_to(FAR_4);
    near_starve(NEAR_HEAP, 0);
    CHECK_INT(write_some("abc", 3), XMPP_TINY_IO_AGAIN);
    near_feed();
    woken = 0;
    world_run(600);
    CHECK(woken == 1 || woken == 2);
    CHECK_INT(write_some("abc", 3), 3);
    world_run(300);
    woken = 0;
    world_run(60000);
    CHECK_INT(woken, 0);
    end();

    begin("without wake");
    xmpp_tiny_lwip_init(&tcp, NULL, NULL);
    connect_to(FAR_4);
    CHECK_INT(far_write(sample(0, 3), 3), 3);
    world_run(10);
    CHECK_READ(0, 3);
    end();
}

int main(void)
{
    world_init();
#ifdef NEAR_SCALE
    check_64k();
#else
    check_window();
#endif
    check_short_write();
    check_lack(NEAR_HEAP);
    check_lack(NEAR_SEGMENTS);
#ifndef NEAR_MALLOC
    check_little_heap();
#endif
    check_pieces();
    check_order();
    check_single_bytes();
    check_single_bytes_after_shut();
    check_woken();
    return check_done();
}
