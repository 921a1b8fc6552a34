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
    netif.ip6_autoconfig_enabled = 1;
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
    bool address = dhcp_supplied_address(&netif);

#if LWIP_IPV6
    for (s8_t i = 1; i < LWIP_IPV6_NUM_ADDRESSES; i++) /* 0 reaches the link only */
        address = address || ip6_addr_ispreferred(netif_ip6_addr_state(&netif, i));
#endif
    return address && netif_is_link_up(&netif);
}
