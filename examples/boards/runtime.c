/* SPDX-License-Identifier: MIT
 *
 * A program's first and last steps, on any processor. When it stops, a product would reset itself and tell
 * about it later; an emulator ends, so that nobody waits for a program that is dead.
 */
#include "board.h"
#include "machine.h"
#include "semihost.h"

#include <string.h>

/* The linker script's. */
extern uint32_t board_data_start[], board_data_end[], board_data_load[], board_bss_start[], board_bss_end[];

int main(void);

static size_t bytes(const uint32_t *from, const uint32_t *to)
{
    return (size_t)((uintptr_t)to - (uintptr_t)from);
}

void board_start(void)
{
    memcpy(board_data_start, board_data_load, bytes(board_data_start, board_data_end));
    memset(board_bss_start, 0, bytes(board_bss_start, board_bss_end));
    (void)main();
    board_stop("main returned");
}

void board_print_hex(const char *name, uint32_t value)
{
    char text[9] = " ";
    for (unsigned i = 0; i < 8; i++)
        text[1 + i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
    board_print(name, strlen(name));
    board_print(text, sizeof text);
}

void board_stop(const char *why)
{
    machine_interrupts_off();
    board_print(why, strlen(why));
    board_print("\nstopped\n", 9);
    semihost_exit(1);
    for (;;)
        machine_wait();
}
