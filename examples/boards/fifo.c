/* SPDX-License-Identifier: MIT
 *
 * Frames between a FIFO of words and a chain of pbufs, whose parts end at any byte.
 */
#include "ethernet.h"

void fifo_write(volatile uint32_t *fifo, uint32_t held, unsigned count, const struct pbuf *frame)
{
    for (; frame != NULL; frame = frame->next) {
        const uint8_t *bytes = frame->payload;
        for (size_t i = 0; i < frame->len; i++) {
            held |= (uint32_t)bytes[i] << (8 * count);
            if (++count == 4) {
                *fifo = held;
                held = 0;
                count = 0;
            }
        }
    }
    if (count > 0)
        *fifo = held;
}

void fifo_read(volatile uint32_t *fifo, uint32_t held, unsigned count, size_t words, struct pbuf *frame)
{
    size_t at = 0;
    for (;;) {
        for (; count > 0; count--, held >>= 8) {
            while (frame != NULL && at == frame->len) {
                frame = frame->next;
                at = 0;
            }
            if (frame != NULL)
                ((uint8_t *)frame->payload)[at++] = (uint8_t)held;
        }
        if (words-- == 0)
            return;
        held = *fifo;
        count = 4;
    }
}
