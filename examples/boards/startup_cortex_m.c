/* SPDX-License-Identifier: MIT
 *
 * From reset to main(), and what happens when something goes wrong, on every Cortex-M.
 */
#include "board.h"
#include "machine.h"
#include "semihost.h"

#include <string.h>

/* The linker script's. */
extern uint32_t board_stack_top[], board_handler_stack_top[];
extern uint32_t board_data_start[], board_data_end[], board_data_load[], board_bss_start[], board_bss_end[];

int main(void);
void board_reset(void);
void board_start(void);
void board_fault(void);
void board_fault_report(const uint32_t *frame);

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

/* Paints the stacks, whose ends the linker script knows: hence no C, which would stand on one. Where
 * handlers have a stack, they keep the one in use now, and main() runs on its own. */
__attribute__((naked, noreturn)) void board_reset(void)
{
    __asm__ volatile("ldr r0, =board_stack_bottom\n\t"
                     "ldr r1, =board_stack_top\n\t"
                     "ldr r2, =0xa5a5a5a5\n"
                     "1:\n\t"
                     "stmia r0!, {r2}\n\t"
                     "cmp r0, r1\n\t"
                     "bcc 1b\n\t"
                     "ldr r0, =board_handler_stack_top\n\t"
                     "ldr r3, =board_handler_stack_bottom\n\t"
                     "cmp r0, r3\n\t"
                     "beq 2f\n\t"
                     "msr msp, r0\n\t"
                     "msr psp, r1\n\t"
                     "movs r2, #2\n\t"
                     "msr control, r2\n\t"
                     "isb\n"
                     "2:\n\t"
                     "bl board_start\n\t"
                     ".ltorg");
}

static size_t bytes(const uint32_t *from, const uint32_t *to)
{
    return (size_t)((uintptr_t)to - (uintptr_t)from);
}

void board_start(void)
{
#if __ARM_ARCH == 6
    /* Code for the smallest cores, perhaps on a larger one: refuse what they would refuse. */
    REG(0xe000ed14) |= 1u << 3; /* CCR: UNALIGN_TRP */
#endif
    memcpy(board_data_start, board_data_load, bytes(board_data_start, board_data_end));
    memset(board_bss_start, 0, bytes(board_bss_start, board_bss_end));
    (void)main();
    board_stop("main returned");
}

/* Any fault: hands the registers that the core has pushed on the stack in use to the report. */
__attribute__((naked)) void board_fault(void)
{
    __asm__ volatile("movs r0, #4\n\t"
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
