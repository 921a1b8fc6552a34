/* SPDX-License-Identifier: MIT
 *
 * Last words. A product would reset itself here and tell about it later; an emulator ends, so that
 * nobody waits for a program that is dead.
 */
#include "board.h"
#include "machine.h"
#include "semihost.h"

#include <string.h>

void board_print_hex(const char *name, uint32_t value)
{
    char text[10];
    text[0] = ' ';
    for (unsigned i = 0; i < 8; i++)
        text[1 + i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
    board_print(name, strlen(name));
    board_print(text, 9);
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
