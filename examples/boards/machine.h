/* SPDX-License-Identifier: MIT
 *
 * The processor as the board files use it: registers by address, interrupts, sleep, and the end.
 */
#ifndef BOARDS_MACHINE_H
#define BOARDS_MACHINE_H

#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Sleep without a race: interrupts off, look whether there is something to do, wait if not, interrupts
 * on. One that comes in between stays pending, and what is pending ends the wait. */
static inline void machine_interrupts_off(void)
{
#ifdef __riscv
    __asm__ volatile("csrci mstatus, 8" ::: "memory");
#else
    __asm__ volatile("cpsid i" ::: "memory");
#endif
}

static inline void machine_interrupts_on(void)
{
#ifdef __riscv
    __asm__ volatile("csrsi mstatus, 8" ::: "memory");
#else
    __asm__ volatile("cpsie i" ::: "memory");
#endif
}

static inline void machine_wait(void)
{
#ifndef __riscv
    __asm__ volatile("dsb" ::: "memory");
#endif
    __asm__ volatile("wfi" ::: "memory");
}

/* Called by the reset code: memory as C expects it, main(). */
void board_start(void);

/* A Cortex-M board's only interrupt handler, called for every device. An interrupt is there to end a sleep:
 * the handler silences whoever may have caused it, board_sleep() lets them speak again. */
void board_interrupt(void);

/* Prints one word and a number: "name 0000002a". */
void board_print_hex(const char *name, uint32_t value);

/* Prints why and ends the program. An emulator exits with status 1. */
void board_stop(const char *why);

#endif
