/* SPDX-License-Identifier: MIT
 *
 * Reset and traps of a RISC-V core in machine mode. Interrupts are never taken, only waited for: every trap
 * is a fault.
 */
#include "board.h"
#include "machine.h"

void board_reset(void);
void board_fault(void);
void board_fault_report(uint32_t cause, uint32_t pc, uint32_t value, uint32_t sp);

/* Paints the stack; no C does that, which would stand on it. */
__attribute__((naked, noreturn, section(".vectors"))) void board_reset(void)
{
    __asm__ volatile(".option push\n\t"
                     ".option norelax\n\t"
                     "la gp, __global_pointer$\n\t"
                     ".option pop\n\t"
                     "la t0, board_fault\n\t"
                     "csrw mtvec, t0\n\t"
                     "la t0, board_stack_bottom\n\t"
                     "la sp, board_stack_top\n\t"
                     "li t2, 0xa5a5a5a5\n"
                     "1:\n\t"
                     "sw t2, 0(t0)\n\t"
                     "addi t0, t0, 4\n\t"
                     "bltu t0, sp, 1b\n\t"
                     "call board_start");
}

void board_restart(void)
{
    REG(0x100000) = 0x7777; /* the emulator's own switch */
    for (;;)
        machine_wait();
}

__attribute__((naked, aligned(4))) void board_fault(void)
{
    __asm__ volatile("csrr a0, mcause\n\t"
                     "csrr a1, mepc\n\t"
                     "csrr a2, mtval\n\t"
                     "mv a3, sp\n\t"
                     "la sp, board_handler_stack_top\n\t"
                     "call board_fault_report");
}

void board_fault_report(uint32_t cause, uint32_t pc, uint32_t value, uint32_t sp)
{
    board_print_hex("\nfault: cause", cause);
    board_print_hex(" value", value);
    board_print_hex(" sp", sp);
    board_print_hex(" pc", pc);
    board_print("\nstopped\n", 9);
    /* The emulator's own switch: it works, too, when the fault was that nobody does semihosting. */
    REG(0x100000) = 1u << 16 | 0x3333;
    for (;;)
        machine_wait();
}
