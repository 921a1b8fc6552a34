/* SPDX-License-Identifier: MIT
 *
 * The saved state of a login in a file.
 */
#define _POSIX_C_SOURCE 200809L

#include "saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool complain(const char *path, const char *why)
{
    (void)fprintf(stderr, "xmpp-tiny: %s: %s\n", path, why);
    return false;
}

bool cli_saved_load(const char *path, struct xmpp_tiny_saved *saved)
{
    char beyond;
    memset(saved, 0, sizeof *saved);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || complain(path, strerror(errno));
    ssize_t got = read(fd, saved, sizeof *saved);
    ssize_t more = got < 0 ? -1 : read(fd, &beyond, 1);
    int error = errno;
    (void)close(fd);
    if (got < 0 || more < 0)
        return complain(path, strerror(error));
    if ((size_t)got != sizeof *saved || more != 0)
        return complain(path, "not a file of --saved, or one of another version: its size is wrong");
    return true;
}

static bool write_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t put = write(fd, at, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        len -= (size_t)put;
    }
    return fsync(fd) == 0;
}

bool cli_saved_store(const char *path, const struct xmpp_tiny_saved *saved)
{
    char made[4096];
    int len = snprintf(made, sizeof made, "%s.XXXXXX", path);
    if (len < 0 || (size_t)len >= sizeof made)
        return complain(path, "the name is too long");
    int fd = mkstemp(made); /* readable by its owner alone */
    if (fd < 0)
        return complain(path, strerror(errno));
    bool fine = write_all(fd, saved, sizeof *saved);
    fine = close(fd) == 0 && fine;
    fine = fine && rename(made, path) == 0;
    if (!fine) {
        (void)complain(path, strerror(errno));
        (void)unlink(made);
    }
    return fine;
}
