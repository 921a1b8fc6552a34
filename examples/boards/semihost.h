/* SPDX-License-Identifier: MIT
 *
 * Semihosting: a program in an emulator asks the host. Without an emulator (or debugger) that answers, the
 * call is a fault.
 */
#ifndef BOARDS_SEMIHOST_H
#define BOARDS_SEMIHOST_H

#include <stdint.h>

enum {
    SEMIHOST_OPEN = 0x01,
    SEMIHOST_READ = 0x06,
    SEMIHOST_TIME = 0x11,
    SEMIHOST_EXIT_EXTENDED = 0x20,
};

/* `block` is the operation's parameter block, of words as wide as a pointer. */
static inline intptr_t semihost(int operation, const void *block)
{
#ifdef __riscv
    register intptr_t result __asm__("a0") = operation;
    register const void *parameter __asm__("a1") = block;
    /* The three have to be 32-bit instructions within one page. */
    __asm__ volatile(".balign 16\n\t.option push\n\t.option norvc\n\t"
                     "slli x0, x0, 0x1f\n\tebreak\n\tsrai x0, x0, 7\n\t.option pop"
                     : "+r"(result)
                     : "r"(parameter)
                     : "memory");
#else
    register intptr_t result __asm__("r0") = operation;
    register const void *parameter __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(result) : "r"(parameter) : "memory");
#endif
    return result;
}

static inline void semihost_exit(intptr_t status)
{
    const intptr_t block[] = {0x20026 /* the application ended by itself */, status};
    (void)semihost(SEMIHOST_EXIT_EXTENDED, block);
}

#endif
