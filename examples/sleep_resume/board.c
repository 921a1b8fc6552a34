/* SPDX-License-Identifier: MIT
 *
 * The sleeper on a board: lwIP, and a reset that all memory but the retained is lost in.
 */
#include "examples/boards/board.h"

#include "device.h"
#include "examples/4-firmware/network.h"
#include "examples/4-firmware/platform.h"
#include "port/lwip.h"

#ifndef FIRMWARE_SETTINGS
#define FIRMWARE_SETTINGS "settings.h"
#endif
/* BearSSL wants its anchors without const, though it does not write to them. */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include FIRMWARE_SETTINGS
#pragma GCC diagnostic error "-Wcast-qual"

static struct xmpp_tiny_lwip tcp;
static struct retained retained BOARD_RETAINED;

const struct device *device_wake(int argc, char **argv)
{
    static const struct device device = {.jid = SLEEPER_JID,
                                         .password = SLEEPER_PASSWORD,
                                         .to = SLEEPER_TO,
                                         .host = SLEEPER_HOST,
                                         .port = SLEEPER_PORT,
                                         .tls = SLEEPER_TLS,
                                         .anchors = TAs,
                                         .anchor_count = TAs_NUM,
                                         .time_floor = SLEEPER_TIME_FLOOR,
                                         .sleep_ms = SLEEPER_SLEEP_MS,
                                         .awake_ms = SLEEPER_AWAKE_MS,
                                         .tcp = &tcp.stream,
                                         .platform = &platform,
                                         .retained = &retained};
    (void)argc;
    (void)argv;
    board_init();
    network_start();
    xmpp_tiny_lwip_init(&tcp, NULL, NULL);
    return &device;
}

bool device_ready(void)
{
    return network_ready();
}

void device_wait(uint32_t ms)
{
    board_sleep(sooner(ms, network_deadline()));
    network_poll();
}

void device_print(const char *text, size_t len)
{
    board_print(text, len);
}

/* An emulated board has no deeper sleep than this: nothing is on but the alarm. */
int device_sleep(uint32_t ms)
{
    uint32_t at = board_now_ms() + ms;
    while (left(at) != 0)
        board_sleep(left(at));
    board_restart();
    return 1;
}
