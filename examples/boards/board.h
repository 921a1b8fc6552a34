/* SPDX-License-Identifier: MIT
 *
 * What a board gives to its firmware: time, sleep, random numbers, one Ethernet interface, a console. Each
 * board here is one file that implements it, a linker script, and a few lines of make; a product has its
 * vendor's code instead.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lwip/netif.h"

/* Clock, timer, console and interrupts. When: first thing in main(). */
void board_init(void);

/* Milliseconds since power-on; wraps. From: task. */
uint32_t board_now_ms(void);

/* Seconds since 1970 UTC, 0 if unknown. An emulator gives its host's time; a product has a clock of
 * its own, or learns the time and keeps it. */
int64_t board_unix_time(void);

/* Fills buf with cryptographically strong random bytes; false if it cannot. An emulator gives its host's;
 * a product needs a hardware generator. */
bool board_random(void *buf, size_t len);

/* The interface's init function, for netif_add(). */
err_t board_netif_init(struct netif *netif);

/* Hands the frames that have arrived to netif->input(), as many as were waiting when it was called, and
 * tells lwIP when the link has come up or gone, on boards that can know. */
void board_netif_poll(struct netif *netif);

/* Sleeps until a frame arrives, at most ms milliseconds. Returns at once if one is waiting already.
 * May return early. */
void board_sleep(uint32_t ms);

/* Begins anew, as after power-on: all is lost but variables that are declared so, which hold what they held,
 * and after power-on anything. */
#define BOARD_RETAINED __attribute__((section(".retained")))
void board_restart(void);

/* Writes text to the console. May wait for the console; meant for a few short lines. */
void board_print(const char *text, size_t len);

#endif
