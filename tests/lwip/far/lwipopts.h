/* SPDX-License-Identifier: MIT
 *
 * lwIP of the far machine: a server with room for everything.
 */
#ifndef FAR_LWIPOPTS_H
#define FAR_LWIPOPTS_H

#define NO_SYS               1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN         0
#define LWIP_SOCKET          0

#define LWIP_IPV4                     1
#define LWIP_IPV6                     1
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_MLD                 0
#define LWIP_ARP                      0
#define LWIP_ETHERNET                 0
#define LWIP_DNS                      0
#define LWIP_NETIF_LOOPBACK           0
#define LWIP_HAVE_LOOPIF              0
#define IP_REASSEMBLY                 0
#define IP_FRAG                       0
#define LWIP_IPV6_REASS               0
#define LWIP_IPV6_FRAG                0

#define MEM_ALIGNMENT           8
#define MEM_SIZE                400000
#define MEMP_NUM_TCP_PCB        400
#define MEMP_NUM_TCP_PCB_LISTEN 4
#define TCP_MSS                 1440
#define TCP_WND                 8192
#define TCP_SND_BUF             46080
#define LWIP_WND_SCALE          1
#define TCP_RCV_SCALE           2
#define TCP_SND_QUEUELEN        400
#define MEMP_NUM_TCP_SEG        2000
#define PBUF_POOL_SIZE          64
#define PBUF_POOL_BUFSIZE       1600
#define LWIP_NOASSERT           1 /* its own slips are not what is tested */
#define LWIP_STATS              0

#endif
