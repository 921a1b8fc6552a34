/* SPDX-License-Identifier: MIT
 *
 * Memory that ends where nothing may be touched: one byte too far is a fault, and the fault ends the
 * program. Define _DEFAULT_SOURCE before all headers.
 *
 * On a system with pages it is a page without rights. On a board it is the end of RAM: GUARD_END, an
 * address, and the last GUARDED_MAX bytes before it belong to nobody else.
 */
#ifndef GUARD_H
#define GUARD_H

#include <stddef.h>
#include <stdint.h>

#define GUARDED_MAX 65536U

#ifdef GUARD_END

static inline char *guard_end(void)
{
    volatile uintptr_t end = GUARD_END; /* an address the compiler believes to be memory */
    return (char *)end;
}

#else

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static inline char *guard_end(void)
{
    static char *end;
    if (end == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *map = (char *)mmap(NULL, GUARDED_MAX + page, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED || mprotect(map + GUARDED_MAX, page, PROT_NONE) != 0) {
            printf("no guard page\n0 passed, 1 failed\n");
            exit(1);
        }
        end = map + GUARDED_MAX;
    }
    return end;
}

#endif
#endif
