/* SPDX-License-Identifier: MIT
 *
 * The clock and the wire of a small world: two machines, near (ours, with the port under test) and far,
 * exchange IP packets over a wire in memory that loses, doubles, delays and reorders them as told. Time
 * passes only when a test says so, and chance has a seed: every run is the same.
 */
#ifndef LWIP_WIRE_H
#define LWIP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef WIRE_FRAMES
#define WIRE_FRAMES 64
#endif
#define WIRE_MTU 1500

enum wire_way { WIRE_UP, WIRE_DOWN }; /* near to far, far to near */

#define WIRE_FIN 0x01
#define WIRE_SYN 0x02
#define WIRE_RST 0x04
#define WIRE_ACK 0x10

/* A TCP segment that was put on the wire, before the wire's faults. */
struct wire_segment {
    uint32_t seq, ack;
    uint16_t from, to, window, len;
    uint8_t flags;
};

/* The world's time in milliseconds. Tests move it; nothing else does. */
extern uint32_t wire_now;

/* What the wire does to packets, in percent; delay in milliseconds, and up to that much more. */
extern struct wire_faults {
    unsigned lost, doubled;
    uint32_t delay, jitter;
    bool cut[2];    /* nothing comes through, this way */
    bool no_resets; /* no reset comes through */
} wire_faults;

/* What went over it since wire_reset(). */
extern struct wire_log {
    struct wire_segment last;
    unsigned segments, resets, fins;
} wire_log[2];

/* Empties the wire, removes its faults, forgets its log. */
void wire_reset(uint32_t seed);

void wire_put(enum wire_way way, const void *packet, size_t len);

/* Takes the packet that is due; 0 if none is. packet has room for WIRE_MTU bytes. */
size_t wire_take(enum wire_way way, void *packet);

/* True while packets are under way. */
bool wire_busy(void);

/* Puts a segment with the addresses and ports of the last one this way, and these fields of its own. The
 * data are `byte`, `len` times. */
void wire_forge(enum wire_way way, uint32_t seq, uint32_t ack, uint8_t flags, uint8_t byte, size_t len);

#endif
