/* SPDX-License-Identifier: MIT
 *
 * What lwIP wants to know about compiler and system; lwip/arch.h has defaults for the rest,
 * and lwipopts.h has the random numbers.
 */
#ifndef BOARDS_ARCH_CC_H
#define BOARDS_ARCH_CC_H

void board_stop(const char *why);

/* No text but what board_stop() prints: lwIP's own messages need a printf. */
#define LWIP_PLATFORM_DIAG(message) \
    do { \
    } while (0)
#define LWIP_PLATFORM_ASSERT(message) board_stop("lwIP: " message)

#endif
