/* SPDX-License-Identifier: MIT
 *
 * What lies around the sleeper: a board (board.c), or a process that stands for one (host.c).
 */
#ifndef DEVICE_H
#define DEVICE_H

#include "retained.h"
#include "port/bearssl.h"

struct device {
    const char *jid, *password, *host;
    const char *to; /* who gets the readings */
    uint16_t port;
    enum xmpp_tiny_tls tls;
    const br_x509_trust_anchor *anchors;
    size_t anchor_count;
    int64_t time_floor;
    uint32_t sleep_ms, awake_ms; /* between two wakes; longest time awake */
    struct xmpp_tiny_stream *tcp;
    const struct xmpp_tiny_platform *platform;
    struct retained *retained;
};

/* First thing after waking up. NULL after saying why. */
const struct device *device_wake(int argc, char **argv);

/* Is there a network? */
bool device_ready(void);

/* Waits until there may be something to do, at most so long. */
void device_wait(uint32_t ms);

/* All memory is lost but what is retained; then main() begins anew, or on a host, after the last time, ends.
 */
int device_sleep(uint32_t ms);

void device_print(const char *text, size_t len);

#endif
