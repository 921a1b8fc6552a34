/* SPDX-License-Identifier: MIT
 *
 * The compiler and the clock, as lwIP's tests want them; for both machines.
 */
#ifndef LWIP_TEST_CC_H
#define LWIP_TEST_CC_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The C library has types and byte order functions of these names; lwIP's own are not wanted. */
#define LWIP_TIMEVAL_PRIVATE 0
#define LWIP_NO_UNISTD_H     1
#define SSIZE_MAX            INT_MAX
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#undef BYTE_ORDER
#define BYTE_ORDER BIG_ENDIAN
#else
#define lwip_htons(x) ((unsigned short)__builtin_bswap16(x))
#define lwip_htonl(x) ((uint32_t)__builtin_bswap32(x))
#endif

#define LWIP_PLATFORM_DIAG(x) ((void)0)
/* An assertion of lwIP's is a failed test: the caller broke a rule of the interface. */
#define LWIP_PLATFORM_ASSERT(text) (printf("lwIP: %s\n0 passed, 1 failed\n", text), exit(1))

/* For Debian's sys_arch.c, which makes tasks of threads. */
typedef unsigned int sys_prot_t;
#define LWIP_UNIX_LINUX

/* Always the same numbers. */
unsigned lwip_test_random(void);
#define LWIP_RAND() lwip_test_random()

#endif
