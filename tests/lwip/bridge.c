/* SPDX-License-Identifier: MIT
 *
 * The port checker's peer: see bridge.h.
 */
#include "bridge.h"
#include "far.h"

#include <string.h>

struct conformance_peer bridge_peer;

static struct port_peer roles;
static struct port_fake pipes;
static bool finished;
static void (*cut_off)(void);

static void carry_up(struct port_pipe *up)
{
    while (up->len < sizeof up->data) {
        uint8_t buf[512];
        size_t i, room = sizeof up->data - up->len;
        int n = far_read(buf, room < sizeof buf ? room : sizeof buf);
        if (n <= 0) {
            up->ended = n == 0;
            return;
        }
        for (i = 0; i < (size_t)n; i++) {
            up->data[(up->begin + up->len++) % sizeof up->data] = buf[i];
        }
    }
}

static void carry_down(struct port_pipe *down)
{
    while (down->len > 0) {
        size_t whole = sizeof down->data - down->begin;
        int n = far_write(down->data + down->begin, down->len < whole ? down->len : whole);
        if (n <= 0) {
            return;
        }
        down->begin = (down->begin + (size_t)n) % sizeof down->data;
        down->len -= (size_t)n;
    }
    if (finished) {
        return;
    }
    finished = down->broken || down->ended;
    if (down->broken) {
        cut_off();
    } else if (down->ended) {
        far_finish();
    }
}

void bridge_expect(enum conformance_role role)
{
    far_forget();
    pipes.open = false;
    finished = false;
    roles.peer.expect(&roles.peer, role);
}

void bridge_carry(void)
{
    pipes.open = far_connected();
    if (pipes.open) {
        carry_up(&pipes.up);
        roles.peer.step(&roles.peer);
        carry_down(&pipes.down);
    }
}

static void release(struct conformance_peer *peer)
{
    (void)peer;
    roles.peer.release(&roles.peer);
}

static size_t taken(const struct conformance_peer *peer)
{
    (void)peer;
    return roles.peer.taken(&roles.peer);
}

static bool ended(const struct conformance_peer *peer)
{
    (void)peer;
    return roles.peer.ended(&roles.peer);
}

void bridge_begin(const char *host, const struct port_tls *server,
                  void (*expect)(struct conformance_peer *peer, enum conformance_role role),
                  void (*step)(struct conformance_peer *peer), void (*cut)(void))
{
    port_fake_init(&pipes, PORT_FAULT_NONE, 4096, false);
    port_peer_init(&roles, &pipes, server, "a.test");
    bridge_peer.expect = expect;
    bridge_peer.step = step;
    bridge_peer.release = release;
    bridge_peer.taken = taken;
    bridge_peer.ended = ended;
    bridge_peer.host = host;
    bridge_peer.port = FAR_PORT;
    bridge_peer.refused = FAR_REFUSED;
    bridge_peer.name = roles.peer.name;
    cut_off = cut;
}
