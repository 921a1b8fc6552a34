/* SPDX-License-Identifier: MIT
 *
 * What an Ethernet driver gives to netif.c. None has a frame buffer of its own: frames go between the
 * device and lwIP's pbufs.
 */
#ifndef BOARDS_ETHERNET_H
#define BOARDS_ETHERNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lwip/pbuf.h"

/* Starts the device and tells its address. */
void ethernet_start(uint8_t mac[6]);

/* Is there a cable? True on devices that cannot know. */
bool ethernet_link(void);

/* How many frames have arrived. */
unsigned ethernet_waiting(void);

/* Takes the oldest frame, without checksum, out of the device. NULL if it was broken or lwIP has no
 * pbuf to spare: then it is lost, as frames are, and the peer sends again. When: one is waiting. */
struct pbuf *ethernet_receive(void);

/* Sends a frame; false if the device has no room for it now. The pbufs stay the caller's. */
bool ethernet_send(const struct pbuf *frame);

/* For devices with a FIFO of 32-bit words, least significant byte first. A frame may begin inside a
 * word: `held` are the `count` bytes before it (writing), or its first ones (reading). */
void fifo_write(volatile uint32_t *fifo, uint32_t held, unsigned count, const struct pbuf *frame);
/* Reads so many words more; bytes beyond the frame are dropped, all of them if frame is NULL. */
void fifo_read(volatile uint32_t *fifo, uint32_t held, unsigned count, size_t words, struct pbuf *frame);

#endif
