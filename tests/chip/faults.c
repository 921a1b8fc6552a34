/* SPDX-License-Identifier: MIT
 *
 * What ends a test program must be noticed. `faults HOW` ends in that way; tests/chip/run wants all of
 * them to fail but 'well'.
 */
#define _DEFAULT_SOURCE
#include "check.h"
#include "guard.h"

#include <stdlib.h>

/* Unknown to the compiler, which would know better. */
static volatile unsigned always = 1;

/* More stack than there is, all of it used. */
static unsigned deep(unsigned level)
{
    volatile char frame[4096];
    memset((char *)(uintptr_t)frame, 0, sizeof frame);
    return always ? deep(level + 1) + (unsigned)frame[level % sizeof frame] : level;
}

static bool fault(const char *how)
{
    if (strcmp(how, "check") == 0)
        CHECK_INT(always, 2);
    else if (strcmp(how, "exit") == 0)
        exit(always ? 3 : 0);
    else if (strcmp(how, "abort") == 0)
        abort();
    else if (strcmp(how, "null") == 0)
        CHECK_INT(*(volatile char *)(uintptr_t)(always - 1), 0);
    else if (strcmp(how, "beyond") == 0) /* reads the byte behind a guarded buffer */
        CHECK_INT(*(volatile char *)(guard_end() - 1 + always), 0);
    else if (strcmp(how, "unaligned") == 0)
        CHECK_INT(*(volatile uint32_t *)(uintptr_t)(guard_end() - 8 + always), 0);
    else if (strcmp(how, "stack") == 0)
        CHECK_INT(deep(0), 0);
    else
        return strcmp(how, "well") == 0;
    return true;
}

int main(int argc, char **argv)
{
    bool known = argc == 2;
    memset(guard_end() - GUARDED_MAX, 0, GUARDED_MAX);
    known = known && fault(argv[1]);
    CHECK(known);
    return check_done();
}
