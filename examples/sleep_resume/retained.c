/* SPDX-License-Identifier: MIT */
#include "retained.h"

static uint32_t rest(const struct copy *c)
{
    return ~(c->age + c->last + c->told + c->len);
}

static bool whole(const struct copy *c)
{
    return c->whole == rest(c) && c->len <= sizeof c->blob;
}

/* NULL if none is whole. */
static const struct copy *latest(const struct retained *r)
{
    const struct copy *c = &r->copies[0], *other = c + 1;
    if (whole(other) && (!whole(c) || other->age > c->age))
        c = other;
    return whole(c) ? c : NULL;
}

/* Over the older copy, so that whenever the power fails one is whole. */
void retain(struct retained *r, const struct progress *progress, struct xmpp_tiny *x)
{
    const struct copy *before = latest(r);
    uint32_t age = before != NULL ? before->age + 1 : 1;
    struct copy *c = &r->copies[before == &r->copies[0]];
    c->whole = rest(c) + 1;
    int len = xmpp_tiny_save(x, c->blob, sizeof c->blob);
    c->len = len > 0 ? (uint32_t)len : 0;
    c->age = age;
    c->last = progress->last;
    c->told = progress->told;
    c->whole = rest(c);
}

bool recall(const struct retained *r, struct progress *progress, struct xmpp_tiny *x)
{
    const struct copy *c = latest(r);
    if (c == NULL)
        return false;
    progress->last = c->last;
    progress->told = c->told;
    return c->len != 0 && xmpp_tiny_load(x, c->blob, c->len) == 0;
}
