/* SPDX-License-Identifier: MIT
 *
 * The near machine: the lwIP that the port under test runs on, and the world's course of time.
 */
#ifndef LWIP_NEAR_H
#define LWIP_NEAR_H

#include "far.h"
#include "wire.h"

#include <lwip/netif.h>

extern struct netif near_netif;

/* Both machines, once. */
void world_init(void);

/* Lets time pass, in steps of at most 10 ms in which both machines work. */
void world_run(uint32_t ms);

/* Lets so much time pass that all connections which were given up are forgotten: 2 * TCP_MSL and more. */
void world_settle(void);

/* Takes what the wire has for the near machine, and runs its timers. */
void near_poll(void);

/* How many bytes and blocks lwIP has handed out, all in all, but for its timers: equal before and after
 * means no leak. */
uint32_t near_memory(void);

/* What the near machine can be short of. With NEAR_MALLOC heap and segments are the same, and everything. */
enum near_lack { NEAR_HEAP, NEAR_SEGMENTS, NEAR_PCBS };

/* Takes all of it away, leaving `left` pieces (of 64 bytes, of the heap), and gives it back. */
void near_starve(enum near_lack lack, unsigned left);
void near_feed(void);

/* How near's packets arrive: 0 as lwIP's pool has it, 1 with an empty buffer at the chain's end, as some
 * drivers leave it, 2 in single bytes. */
extern int near_chains;

#endif
