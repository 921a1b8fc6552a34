/* SPDX-License-Identifier: MIT
 *
 * mps2-an385's guards catch what they are there for: a NULL pointer, a write to code, a stack that grows
 * too far. A program for the board, see examples/firmware.mk; exits with status 0 if all three were caught.
 *
 *   make -f examples/firmware.mk BOARD=mps2-an385 APP=tests/chip/test_mpu.c OUT=build/chip/mpu
 */
#include "board.h"
#include "machine.h"
#include "semihost.h"

#include <string.h>

#define CFSR_READ_OR_WRITE 0x82u /* DACCVIOL, MMARVALID */
#define NULL_FIELD         16    /* of a struct that is not there */
#define CFSR_STACKING      0x10u /* MSTKERR: while an exception's frame was pushed */

extern uint32_t board_stack_top[], board_guard_bottom[], board_stack_bottom[];

static volatile uint32_t cfsr, mmfar, where;
static unsigned step, passed, failed;

/* Every exception is caught. */
static uintptr_t vectors[72] __attribute__((aligned(512)));

static void check(bool ok, const char *what)
{
    if (ok) {
        passed++;
        return;
    }
    failed++;
    board_print("not caught: ", 12);
    board_print(what, strlen(what));
    board_print_hex("; CFSR", cfsr);
    board_print_hex(" MMFAR", mmfar);
    board_print_hex(" sp", where);
    board_print("\n", 1);
}

/* Every call needs more stack; volatile so that none is optimized away. */
static uint32_t grow(uint32_t n)
{
    volatile uint32_t room[8];
    room[n % 8] = n;
    return n == 0 ? 0 : grow(n - 1) + room[n % 8];
}

static void next_step(void)
{
    static const volatile uintptr_t field = NULL_FIELD;
    cfsr = mmfar = where = 0;
    switch (step++) {
    case 0:
        (void)REG(field);
        board_stop("a NULL pointer was read");
        break;
    case 1:
        *(volatile uint32_t *)((uintptr_t)&next_step & ~(uintptr_t)3) = 0;
        board_stop("code was written");
        break;
    default:
        (void)grow(1000000);
        board_stop("the stack has no end");
    }
}

static void look(void)
{
    switch (step) {
    case 1:
        check(cfsr == CFSR_READ_OR_WRITE && mmfar == NULL_FIELD, "NULL pointer");
        break;
    case 2:
        check(cfsr == CFSR_READ_OR_WRITE && mmfar == ((uintptr_t)&next_step & ~(uintptr_t)3),
              "write to code");
        break;
    default:
        check((cfsr & (CFSR_READ_OR_WRITE | CFSR_STACKING)) != 0 &&
                  where >= (uintptr_t)board_guard_bottom - 256 && where < (uintptr_t)board_stack_bottom + 32,
              "end of the stack");
    }
}

/* The main program goes on here after each fault, on a fresh stack. */
static void resume(void)
{
    look();
    if (step < 3)
        next_step();
    char text[] = "? passed, ? failed\n";
    text[0] = (char)('0' + passed);
    text[10] = (char)('0' + failed);
    board_print(text, sizeof text - 1);
    semihost_exit(failed == 0 && passed == 3 ? 0 : 1);
}

__attribute__((used)) static void note(uint32_t sp, uint32_t *fresh)
{
    cfsr = REG(0xe000ed28);
    mmfar = REG(0xe000ed34);
    where = sp;
    REG(0xe000ed28) = ~0u;
    REG(0xe000ed2c) = ~0u;
    fresh[6] = (uint32_t)(uintptr_t)&resume & ~1u;
    fresh[7] = 1u << 24; /* Thumb */
}

__attribute__((naked)) static void caught(void)
{
    __asm__ volatile("mrs r0, psp\n\t"
                     "ldr r1, =board_stack_top\n\t"
                     "subs r1, #32\n\t"
                     "msr psp, r1\n\t"
                     "push {r4, lr}\n\t"
                     "bl note\n\t"
                     "pop {r4, pc}\n\t"
                     ".ltorg");
}

int main(void)
{
    board_init();
    for (unsigned i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        vectors[i] = (uintptr_t)&caught;
    REG(0xe000ed08) = (uint32_t)(uintptr_t)vectors; /* VTOR */
    next_step();
    return 0;
}
