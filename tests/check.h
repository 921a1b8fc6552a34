/* SPDX-License-Identifier: MIT
 *
 * Counts what a test program checks. A failed check prints file, line and values and the program goes
 * on; `return check_done();` at the end of main() prints 'N passed, N failed'. */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "xmpp_tiny.h"

static unsigned check_passed, check_failed;

/* True if ok; counts, and says where it failed. The caller prints the values. */
static inline bool check_count(bool ok, const char *file, int line, const char *what)
{
    if (ok) {
        check_passed++;
    } else {
        check_failed++;
        printf("%s:%d: %s\n", file, line, what);
    }
    return ok;
}

static inline void check_int(long long is, long long want, const char *file, int line, const char *what)
{
    if (!check_count(is == want, file, line, what))
        printf("    is %lld, want %lld\n", is, want);
}

/* Bytes so that they can be read and pasted into a C string. */
static inline void check_show(const char *label, const char *ptr, size_t len)
{
    printf("    %s ", label);
    if (ptr == NULL) {
        printf("absent\n");
        return;
    }
    putchar('"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)ptr[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c == '\n')
            printf("\\n");
        else if (c < 0x20 || c > 0x7E)
            printf("\\%03o", c);
        else
            putchar(c);
    }
    printf("\"\n");
}

/* want NULL: absent, that is ptr NULL. */
static inline void check_bytes(const char *ptr, size_t len, const char *want, const char *file, int line,
                               const char *what)
{
    bool ok = want == NULL  ? ptr == NULL
              : ptr == NULL ? false
                            : len == strlen(want) && memcmp(ptr, want, len) == 0;
    if (!check_count(ok, file, line, what)) {
        check_show("is  ", ptr, len);
        check_show("want", want, want ? strlen(want) : 0);
    }
}

static inline int check_done(void)
{
    printf("%u passed, %u failed\n", check_passed, check_failed);
    return check_failed ? 1 : 0;
}

#define CHECK(condition)    ((void)check_count((condition), __FILE__, __LINE__, #condition))
#define CHECK_INT(is, want) check_int((long long)(is), (long long)(want), __FILE__, __LINE__, #is)
/* A struct xmpp_tiny_str and a C string. */
#define CHECK_STR(is, want) check_slice((is), (want), __FILE__, __LINE__, #is)
/* Two C strings. */
#define CHECK_TEXT(is, want) check_text((is), (want), __FILE__, __LINE__, #is)

static inline void check_slice(struct xmpp_tiny_str is, const char *want, const char *file, int line,
                               const char *what)
{
    check_bytes(is.ptr, is.len, want, file, line, what);
}

static inline void check_text(const char *is, const char *want, const char *file, int line, const char *what)
{
    check_bytes(is, is ? strlen(is) : 0, want, file, line, what);
}

#endif
