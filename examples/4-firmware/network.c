/* SPDX-License-Identifier: MIT */
#include "network.h"

#include <lwip/dhcp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>

#include "examples/boards/board.h"

static struct netif netif;

void network_start(void)
{
    lwip_init();
    (void)netif_add_noaddr(&netif, NULL, board_netif_init, ethernet_input);
    netif_set_default(&netif);
    netif_set_up(&netif);
    (void)dhcp_start(&netif);
#if LWIP_IPV6
    netif_create_ip6_linklocal_address(&netif, 1);
    netif_set_ip6_autoconfig_enabled(&netif, 1);
#endif
}

void network_poll(void)
{
    board_netif_poll(&netif);
    sys_check_timeouts();
}

uint32_t network_deadline(void)
{
    return sys_timeouts_sleeptime();
}

bool network_ready(void)
{
    return netif_is_link_up(&netif) && dhcp_supplied_address(&netif);
}
