/* SPDX-License-Identifier: MIT
 *
 * The sleeper on a host: a file is the memory that is retained, and to sleep is to become another process.
 */
#define _POSIX_C_SOURCE 200809L

#include "device.h"

#include "../common.h"
#include "port/posix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct xmpp_tiny_posix tcp;
static char **arguments;
static uint32_t cycles;

static struct retained *retain_in(const char *path)
{
    void *memory = MAP_FAILED;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && ftruncate(fd, sizeof(struct retained)) == 0)
        memory = mmap(NULL, sizeof(struct retained), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    if (memory != MAP_FAILED)
        return memory;
    perror(path);
    return NULL;
}

const struct device *device_wake(int argc, char **argv)
{
    static char host[256];
    static struct device device = {
        .port = 5223, .awake_ms = 30000, .tcp = &tcp.stream, .platform = &xmpp_tiny_posix_platform};
    uint32_t seconds = 0;
    device.password = getenv("XMPP_TINY_PASSWORD");
    if (argc != 9 || device.password == NULL || !example_endpoint(argv[4], host, sizeof host, &device.port) ||
        (strcmp(argv[5], "starttls") != 0 && strcmp(argv[5], "direct") != 0) ||
        !example_number(argv[7], 1, 1000000, &cycles) || !example_number(argv[8], 0, 86400, &seconds)) {
        (void)fprintf(stderr, "usage: XMPP_TINY_PASSWORD=... sleep_resume JID TO CA_FILE HOST:PORT "
                              "starttls|direct MEMORY_FILE CYCLES SECONDS\n");
        return NULL;
    }
    arguments = argv;
    device.jid = argv[1];
    device.to = argv[2];
    device.host = host;
    device.tls = strcmp(argv[5], "direct") == 0 ? XMPP_TINY_TLS_DIRECT : XMPP_TINY_TLS_START;
    device.sleep_ms = seconds * 1000;
    device.retained = retain_in(argv[6]);
    if (device.retained == NULL || !example_anchors(argv[3], &device.anchors, &device.anchor_count))
        return NULL;
    xmpp_tiny_posix_init(&tcp);
    return &device;
}

bool device_ready(void)
{
    return true;
}

void device_wait(uint32_t ms)
{
    (void)xmpp_tiny_posix_wait(&tcp, false, ms, -1);
}

void device_print(const char *text, size_t len)
{
    (void)fwrite(text, 1, len, stdout);
    (void)fflush(stdout);
}

int device_sleep(uint32_t ms)
{
    char left[11];
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    if (--cycles == 0)
        return 0;
    (void)nanosleep(&time, NULL);
    (void)snprintf(left, sizeof left, "%u", (unsigned)cycles);
    arguments[7] = left;
    (void)execv("/proc/self/exe", arguments);
    perror("exec");
    return 1;
}
