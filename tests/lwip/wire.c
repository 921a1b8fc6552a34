/* SPDX-License-Identifier: MIT
 *
 * The wire: see wire.h. It holds few packets, and drops what does not fit, as wires do.
 */
#include "wire.h"

#include <string.h>

struct packet {
    bool used;
    enum wire_way way;
    uint32_t due, order;
    size_t len;
    uint8_t data[WIRE_MTU];
};

uint32_t wire_now;
struct wire_faults wire_faults;
struct wire_log wire_log[2];

static struct packet packets[WIRE_FRAMES];
static uint8_t headers[2][60]; /* IP and TCP header of the last segment */
static uint32_t order, chance;

static unsigned percent(void)
{
    chance = chance * 1664525U + 1013904223U;
    return (chance >> 16) % 100;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 24);
    p[1] = (uint8_t)(value >> 16);
    p[2] = (uint8_t)(value >> 8);
    p[3] = (uint8_t)value;
}

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, unsigned value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

/* Length of the IP header if the packet is TCP, else 0. Neither machine sends options or extensions. */
static size_t ip_header(const uint8_t *p)
{
    if (p[0] >> 4 == 4) {
        return p[9] == 6 ? 20 : 0;
    }
    return p[6] == 6 ? 40 : 0;
}

static void note(enum wire_way way, const uint8_t *p, size_t len)
{
    size_t ip = ip_header(p);
    const uint8_t *tcp = p + ip;
    struct wire_log *log = &wire_log[way];

    if (ip == 0) {
        return;
    }
    log->last.from = get16(tcp);
    log->last.to = get16(tcp + 2);
    log->last.seq = get32(tcp + 4);
    log->last.ack = get32(tcp + 8);
    log->last.flags = tcp[13];
    log->last.window = get16(tcp + 14);
    log->last.len = (uint16_t)(len - ip - (size_t)(tcp[12] >> 4) * 4);
    log->segments++;
    log->resets += (tcp[13] & WIRE_RST) != 0;
    log->fins += (tcp[13] & WIRE_FIN) != 0;
    memcpy(headers[way], p, ip + 20);
}

void wire_reset(uint32_t seed)
{
    memset(packets, 0, sizeof packets);
    memset(&wire_faults, 0, sizeof wire_faults);
    memset(wire_log, 0, sizeof wire_log);
    order = 0;
    chance = seed;
}

static void place(enum wire_way way, const void *data, size_t len)
{
    size_t i;

    for (i = 0; i < WIRE_FRAMES; i++) {
        struct packet *p = &packets[i];
        if (!p->used) {
            p->used = true;
            p->way = way;
            p->due = wire_now + wire_faults.delay;
            p->due += wire_faults.jitter > 0 ? percent() * wire_faults.jitter / 100 : 0;
            p->order = order++;
            p->len = len;
            memcpy(p->data, data, len);
            return;
        }
    }
}

void wire_put(enum wire_way way, const void *packet, size_t len)
{
    unsigned resets;

    if (len > WIRE_MTU) {
        return;
    }
    resets = wire_log[way].resets;
    note(way, packet, len);
    if (wire_faults.no_resets && wire_log[way].resets > resets) {
        return;
    }
    if (wire_faults.cut[way] || percent() < wire_faults.lost) {
        return;
    }
    place(way, packet, len);
    if (percent() < wire_faults.doubled) {
        place(way, packet, len);
    }
}

size_t wire_take(enum wire_way way, void *packet)
{
    struct packet *next = NULL;
    size_t i;

    for (i = 0; i < WIRE_FRAMES; i++) {
        struct packet *p = &packets[i];
        if (p->used && p->way == way && (int32_t)(p->due - wire_now) <= 0 &&
            (next == NULL || (int32_t)(p->due - next->due) < 0 ||
             (p->due == next->due && p->order < next->order))) {
            next = p;
        }
    }
    if (next == NULL) {
        return 0;
    }
    next->used = false;
    memcpy(packet, next->data, next->len);
    return next->len;
}

bool wire_busy(void)
{
    size_t i;

    for (i = 0; i < WIRE_FRAMES; i++) {
        if (packets[i].used) {
            return true;
        }
    }
    return false;
}

static uint32_t sum(const uint8_t *p, size_t len)
{
    uint32_t total = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        total += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
    }
    return total;
}

static unsigned fold(uint32_t total)
{
    total = (total >> 16) + (total & 0xFFFF);
    total = (total >> 16) + (total & 0xFFFF);
    return ~total & 0xFFFF;
}

void wire_forge(enum wire_way way, uint32_t seq, uint32_t ack, uint8_t flags, uint8_t byte, size_t len)
{
    uint8_t p[WIRE_MTU];
    size_t ip = ip_header(headers[way]);
    uint8_t *tcp = p + ip;

    memcpy(p, headers[way], ip + 20);
    memset(tcp + 20, byte, len);
    put32(tcp + 4, seq);
    put32(tcp + 8, ack);
    tcp[12] = 5 << 4;
    tcp[13] = flags;
    put16(tcp + 16, 0);
    if (ip == 20) {
        put16(p + 2, (unsigned)(ip + 20 + len));
        put16(p + 10, 0);
        put16(p + 10, fold(sum(p, ip)));
        put16(tcp + 16, fold(sum(p + 12, 8) + 6 + (uint32_t)(20 + len) + sum(tcp, 20 + len)));
    } else {
        put16(p + 4, (unsigned)(20 + len));
        put16(tcp + 16, fold(sum(p + 8, 32) + 6 + (uint32_t)(20 + len) + sum(tcp, 20 + len)));
    }
    wire_put(way, p, ip + 20 + len);
}
