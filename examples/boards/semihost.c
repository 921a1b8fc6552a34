/* SPDX-License-Identifier: MIT
 *
 * Stand-ins for the two things the emulated boards lack: a clock that knows the time of day, and a
 * generator of random numbers. The host lends its own.
 */
#include "board.h"
#include "semihost.h"

int64_t board_unix_time(void)
{
    return (int64_t)(uint32_t)semihost(SEMIHOST_TIME, NULL);
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
