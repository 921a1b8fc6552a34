/* SPDX-License-Identifier: MIT
 *
 * What is remembered, in a file.
 */
#define _POSIX_C_SOURCE 200809L

#include "saved.h"

#include "../common.h"
#include "port/bearssl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* magic, lengths; the blob; tag, length and bytes of each id; SHA-256 of all that. Numbers are big-endian. */
#define MAGIC_SIZE  8
#define HEADER_SIZE (MAGIC_SIZE + 4 * 4)
#define DIGEST_SIZE 32
#define BLOB_MAX    (XMPP_TINY_SAVE_MAX + XMPP_TINY_TX_MAX)
#define FILE_MAX    (HEADER_SIZE + BLOB_MAX + CLI_IDS_MAX * (5 + CLI_ID_MAX) + DIGEST_SIZE)

static const uint8_t magic[MAGIC_SIZE] = {'x', 'm', 'p', 'p', '-', 'c', 'l', 1}; /* the last is a version */

static bool complain(const char *path, const char *why)
{
    (void)fprintf(stderr, "xmpp-tiny: %s: %s\n", path, why);
    return false;
}

/* ---- Bytes ------------------------------------------------------------------------------------- */

static uint8_t *put_number(uint8_t *to, uint32_t n)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *to++ = (uint8_t)(n >> shift);
    return to;
}

static uint32_t get_number(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void digest(const uint8_t *file, size_t len, uint8_t *out)
{
    xmpp_tiny_bearssl_crypto.hash(XMPP_TINY_SHA256, file, len, out);
}

/* Returns the length of the file, or 0 if the client cannot be saved. */
static size_t pack(uint8_t *file, struct xmpp_tiny *x, const struct cli_ids *ids)
{
    int blob = xmpp_tiny_save(x, file + HEADER_SIZE, BLOB_MAX);
    if (blob < 0)
        return 0;
    uint8_t *at = file + MAGIC_SIZE;
    memcpy(file, magic, sizeof magic);
    at = put_number(at, (uint32_t)blob);
    at = put_number(at, ids->last);
    at = put_number(at, ids->names);
    at = put_number(at, (uint32_t)ids->count) + blob;
    for (size_t i = 0; i < ids->count; i++) {
        size_t len = strlen(ids->list[i].text);
        at = put_number(at, ids->list[i].tag);
        *at++ = (uint8_t)len;
        memcpy(at, ids->list[i].text, len);
        at += len;
    }
    digest(file, (size_t)(at - file), at);
    return (size_t)(at - file) + DIGEST_SIZE;
}

static bool unpack_ids(const uint8_t *at, const uint8_t *end, size_t count, struct cli_ids *ids)
{
    for (size_t i = 0; i < count; i++) {
        if (end - at < 5 || end - at - 5 < at[4] ||
            !cli_ids_add(ids, get_number(at), (struct xmpp_tiny_str){(const char *)at + 5, at[4]}))
            return false;
        at += 5 + at[4];
    }
    return at == end;
}

static enum cli_load unpack(const char *path, const uint8_t *file, size_t len, struct xmpp_tiny *x,
                            struct cli_ids *ids)
{
    static struct cli_ids found; /* too large for a stack */
    uint8_t sum[DIGEST_SIZE];
    if (len < HEADER_SIZE + DIGEST_SIZE || memcmp(file, magic, sizeof magic) != 0)
        return CLI_LOAD_DAMAGED;
    const uint8_t *end = file + len - DIGEST_SIZE;
    uint32_t blob = get_number(file + MAGIC_SIZE);
    digest(file, (size_t)(end - file), sum);
    if (memcmp(sum, end, sizeof sum) != 0 || blob > (size_t)(end - file) - HEADER_SIZE)
        return CLI_LOAD_DAMAGED;
    found.last = get_number(file + MAGIC_SIZE + 4);
    found.names = get_number(file + MAGIC_SIZE + 8);
    found.count = 0;
    if (!unpack_ids(file + HEADER_SIZE + blob, end, get_number(file + MAGIC_SIZE + 12), &found))
        return CLI_LOAD_DAMAGED;
    int err = xmpp_tiny_load(x, file + HEADER_SIZE, blob);
    if (err == XMPP_TINY_ERR_SAVED)
        return CLI_LOAD_DAMAGED;
    if (err < 0) {
        (void)complain(path, "holds stanzas that need a larger --queue");
        return CLI_LOAD_FAILED;
    }
    *ids = found;
    return CLI_LOAD_DONE;
}

/* ---- Files ------------------------------------------------------------------------------------- */

static uint8_t file[FILE_MAX + 1]; /* wiped after use */

enum cli_load cli_saved_load(const char *path, struct xmpp_tiny *x, struct cli_ids *ids)
{
    size_t len = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return CLI_LOAD_NONE;
    if (fd < 0) {
        (void)complain(path, strerror(errno));
        return CLI_LOAD_FAILED;
    }
    do {
        got = read(fd, file + len, sizeof file - len);
        len += got > 0 ? (size_t)got : 0;
    } while (got > 0 || (got < 0 && errno == EINTR));
    enum cli_load how = CLI_LOAD_FAILED;
    if (got < 0)
        (void)complain(path, strerror(errno));
    else
        how = unpack(path, file, len, x, ids);
    (void)close(fd);
    example_wipe(file, len);
    return how;
}

static bool write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, data, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        data += put;
        len -= (size_t)put;
    }
    return fsync(fd) == 0;
}

void cli_saved_promise(struct xmpp_tiny *x)
{
    int len = xmpp_tiny_save(x, file, sizeof file);
    example_wipe(file, len > 0 ? (size_t)len : 0);
}

bool cli_saved_store(const char *path, struct xmpp_tiny *x, const struct cli_ids *ids)
{
    char made[4096];
    int name = snprintf(made, sizeof made, "%s.XXXXXX", path);
    if (name < 0 || (size_t)name >= sizeof made)
        return complain(path, "the name is too long");
    int fd = mkstemp(made); /* readable by its owner alone */
    if (fd < 0)
        return complain(path, strerror(errno));
    size_t len = pack(file, x, ids);
    bool fine = len > 0 && write_all(fd, file, len);
    fine = close(fd) == 0 && fine;
    fine = fine && rename(made, path) == 0;
    if (!fine) {
        (void)complain(path, strerror(errno));
        (void)unlink(made);
    }
    example_wipe(file, len);
    return fine;
}
