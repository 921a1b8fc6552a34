/* SPDX-License-Identifier: MIT
 *
 * Stand-ins for the two things the emulated boards lack: a clock that knows the time of day, and a
 * generator of random numbers. The host lends its own.
 */
#include "board.h"
#include "semihost.h"

int64_t board_unix_time(void)
{
    static int64_t seconds;
    static uint32_t then_ms;

    if (seconds == 0) {
        seconds = (int64_t)(uint32_t)semihost(SEMIHOST_TIME, NULL);
        then_ms = board_now_ms();
    }
    uint32_t passed = (board_now_ms() - then_ms) / 1000;
    seconds += passed;
    then_ms += passed * 1000;
    return seconds;
}

bool board_random(void *buf, size_t len)
{
    static const char path[] = "/dev/urandom";
    static intptr_t handle = -1;

    if (handle == -1) {
        const uintptr_t open[] = {(uintptr_t)path, 1 /* rb */, sizeof path - 1};
        handle = semihost(SEMIHOST_OPEN, open);
        if (handle == -1)
            return false;
    }
    const uintptr_t read[] = {(uintptr_t)handle, (uintptr_t)buf, len};
    return semihost(SEMIHOST_READ, read) == 0; /* the number of bytes that are missing */
}
