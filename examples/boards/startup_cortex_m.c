/* SPDX-License-Identifier: MIT
 *
 * Vectors, reset and faults of every Cortex-M.
 */
#include "board.h"
#include "machine.h"

void board_reset(void);
void board_fault(void);
void board_fault_report(const uint32_t *frame);

extern uint32_t board_stack_top[]; /* the linker script's */

#define FAULT     (uintptr_t) board_fault
#define INTERRUPT (uintptr_t) board_interrupt
#define EIGHT     INTERRUPT, INTERRUPT, INTERRUPT, INTERRUPT, INTERRUPT, INTERRUPT, INTERRUPT, INTERRUPT

/* The stack at reset, the 15 exceptions of the core (the last is SysTick), 56 interrupts. */
/* clang-format off */
__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {
    (uintptr_t)board_stack_top, (uintptr_t)board_reset,
    FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT,
    INTERRUPT,
    EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT,
};
/* clang-format on */

/* Paints the stack; no C does that, which would stand on it. Where handlers have a stack, main() gets
 * one of its own (PSP), so that a handler can speak when main() has none left. */
__attribute__((naked, noreturn)) void board_reset(void)
{
    __asm__ volatile(".syntax unified\n\t"
                     "ldr r0, =board_stack_bottom\n\t"
                     "ldr r1, =board_stack_top\n\t"
                     "ldr r2, =0xa5a5a5a5\n"
                     "1:\n\t"
                     "stmia r0!, {r2}\n\t"
                     "cmp r0, r1\n\t"
                     "bcc 1b\n\t"
                     "ldr r0, =board_handler_stack_top\n\t"
                     "ldr r2, =board_handler_stack_bottom\n\t"
                     "cmp r0, r2\n\t"
                     "beq 2f\n\t"
                     "msr msp, r0\n\t"
                     "msr psp, r1\n\t"
                     "movs r0, #2\n\t"
                     "msr control, r0\n\t"
                     "isb\n\t"
#if __ARM_ARCH >= 8
                     "ldr r0, =board_stack_bottom\n\t"
                     "msr psplim, r0\n"
#endif
                     "2:\n\t"
#if __ARM_ARCH == 6
                     /* Code for the smallest cores, perhaps on a larger one: CCR.UNALIGN_TRP refuses
                      * what they would refuse. */
                     "ldr r0, =0xe000ed14\n\t"
                     "ldr r1, [r0]\n\t"
                     "movs r2, #8\n\t"
                     "orrs r1, r2\n\t"
                     "str r1, [r0]\n\t"
#endif
                     "bl board_start\n\t"
                     ".ltorg");
}

void board_restart(void)
{
    REG(0xe000ed0c) = 0x05fa0004; /* AIRCR: SYSRESETREQ */
    for (;;)
        machine_wait();
}

/* Any fault: hands the registers that the core has pushed on the stack in use to the report. */
__attribute__((naked)) void board_fault(void)
{
    __asm__ volatile(".syntax unified\n\t"
                     "movs r0, #4\n\t"
                     "mov r1, lr\n\t"
                     "tst r0, r1\n\t"
                     "beq 1f\n\t"
                     "mrs r0, psp\n\t"
                     "b 2f\n"
                     "1:\n\t"
                     "mrs r0, msp\n"
                     "2:\n\t"
                     "ldr r1, =board_fault_report\n\t"
                     "bx r1\n\t"
                     ".ltorg");
}

void board_fault_report(const uint32_t *frame)
{
    const uint32_t not_pushed = 1u << 4 | 1u << 12 | 1u << 20; /* MSTKERR, STKERR, STKOF */
    uint32_t cfsr = REG(0xe000ed28);

    board_print_hex("\nfault: CFSR", cfsr);
    board_print_hex(" HFSR", REG(0xe000ed2c));
    board_print_hex(" MMFAR", REG(0xe000ed34));
    board_print_hex(" BFAR", REG(0xe000ed38));
    board_print_hex(" sp", (uint32_t)(uintptr_t)frame);
    if ((cfsr & not_pushed) == 0)
        board_print_hex(" pc", frame[6]);
    board_stop("");
}
