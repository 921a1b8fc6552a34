/* SPDX-License-Identifier: MIT
 *
 * The board's Ethernet device as an interface of lwIP, and lwIP's clock.
 */
#include "board.h"
#include "ethernet.h"

#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/sys.h"

#if ETH_PAD_SIZE
#error "the drivers know no padding before frames: leave ETH_PAD_SIZE at 0"
#endif

/* Asking a device for its link is slow. */
#define LINK_INTERVAL_MS 100

static uint32_t link_asked_ms;

static err_t link_output(struct netif *netif, struct pbuf *frame)
{
    (void)netif;
    return ethernet_send(frame) ? ERR_OK : ERR_MEM;
}

err_t board_netif_init(struct netif *netif)
{
    netif->name[0] = 'e';
    netif->name[1] = 'n';
#if LWIP_IPV4
    netif->output = etharp_output;
#endif
#if LWIP_IPV6
    netif->output_ip6 = ethip6_output;
#endif
    netif->linkoutput = link_output;
    netif->mtu = 1500;
    netif->hwaddr_len = sizeof netif->hwaddr;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
#if LWIP_IPV6
    netif->flags |= NETIF_FLAG_MLD6; /* or neighbours that ask for us are not heard */
#endif
    ethernet_start(netif->hwaddr);
    if (ethernet_link())
        netif->flags |= NETIF_FLAG_LINK_UP;
    link_asked_ms = board_now_ms();
    return ERR_OK;
}

static void follow_link(struct netif *netif)
{
    if (board_now_ms() - link_asked_ms < LINK_INTERVAL_MS)
        return;
    link_asked_ms = board_now_ms();
    if (ethernet_link())
        netif_set_link_up(netif);
    else
        netif_set_link_down(netif);
}

void board_netif_poll(struct netif *netif)
{
    follow_link(netif);
    for (unsigned n = ethernet_waiting(); n > 0; n--) {
        struct pbuf *frame = ethernet_receive();
        if (frame != NULL && netif->input(frame, netif) != ERR_OK)
            pbuf_free(frame);
    }
}

u32_t sys_now(void)
{
    return board_now_ms();
}
