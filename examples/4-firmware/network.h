/* SPDX-License-Identifier: MIT
 *
 * lwIP without an operating system: one interface that gets its address by itself.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <stdint.h>

void network_start(void);

/* Handles the frames that arrived, and lwIP's timers. */
void network_poll(void);

/* In how many milliseconds lwIP wants to be polled again at the latest. Ask right before you sleep. */
uint32_t network_deadline(void);

/* True while the link is up and there is an address to connect from. */
bool network_ready(void);

#endif
