/* SPDX-License-Identifier: MIT */
#include "platform.h"

static uint32_t now_ms(void *ctx)
{
    (void)ctx;
    return board_now_ms();
}

static bool fill_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    return board_random(buf, len);
}

static int64_t unix_time(void *ctx)
{
    (void)ctx;
    return board_unix_time();
}

const struct xmpp_tiny_platform platform = {.now_ms = now_ms, .random = fill_random, .unix_time = unix_time};

/* Without a source of random numbers TLS refuses to work, so nothing is lost by a poor one here. */
unsigned platform_rand(void)
{
    unsigned n = board_now_ms();
    (void)board_random(&n, sizeof n);
    return n;
}
