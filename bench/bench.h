/* SPDX-License-Identifier: MIT
 *
 * What both sides of the benchmark share: the input in memory, and a tally of what a parser delivered.
 * The tally either only counts and touches, as a user would, or digests every byte, to show that both
 * parsers delivered the same. Each program is one file, so this header holds code. */
#ifndef XMPP_TINY_BENCH_H
#define XMPP_TINY_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    uint64_t elements, attributes, text; /* text in bytes */
    uint64_t touched;                    /* keeps a compiler from leaving the work out */
    uint64_t digest;
    bool digesting;
};

struct input {
    char *bytes;
    size_t len;
    size_t segment; /* bytes per read; at least 1 */
};

/* FNV-1a over bytes; a mark keeps neighbouring strings apart. */
static void digest_bytes(struct tally *t, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        t->digest = (t->digest ^ (uint8_t)bytes[i]) * 1099511628211U;
    }
}

static void digest_string(struct tally *t, char mark, const char *bytes, size_t len)
{
    digest_bytes(t, &mark, 1);
    digest_bytes(t, bytes, len);
}

/* segment "0": the input in one piece. Ends the program if the file cannot be read. */
static struct input input_read(const char *path, const char *segment)
{
    struct input in = {NULL, 0, (size_t)strtoul(segment, NULL, 10)};
    FILE *file = fopen(path, "rb");
    long size = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0) {
        size = ftell(file);
        rewind(file);
    }
    if (size > 0) {
        in.bytes = malloc((size_t)size);
        in.len = in.bytes == NULL ? 0 : fread(in.bytes, 1, (size_t)size, file);
    }
    if (size <= 0 || in.len != (size_t)size) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    if (in.segment == 0) {
        in.segment = in.len;
    }
    return in;
}

static void tally_print(const struct tally *t)
{
    printf("elements %llu\nattributes %llu\ntext %llu\n", (unsigned long long)t->elements,
           (unsigned long long)t->attributes, (unsigned long long)t->text);
    if (t->digesting) {
        printf("digest %016llx\n", (unsigned long long)t->digest);
    } else {
        printf("touched %llu\n", (unsigned long long)t->touched);
    }
}

#endif
