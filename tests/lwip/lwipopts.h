/* SPDX-License-Identifier: MIT
 *
 * lwIP of the near machine, the one with the port: as small as a microcontroller's, so that running out
 * of things is easy. What a build of the tests varies:
 *   NEAR_MALLOC  every buffer and block comes from malloc(): the sanitizer sees use after free
 *   NEAR_SCALE   a window of more than 64 KiB
 *   NEAR_TASKS   an operating system: tcpip thread, core lock
 *   NEAR_IPV4, NEAR_IPV6, NEAR_DNS  0: without
 */
#ifndef NEAR_LWIPOPTS_H
#define NEAR_LWIPOPTS_H

#ifndef NEAR_IPV4
#define NEAR_IPV4 1
#endif
#ifndef NEAR_IPV6
#define NEAR_IPV6 1
#endif
#ifndef NEAR_DNS
#define NEAR_DNS 1
#endif

#ifdef NEAR_TASKS
#define NO_SYS                    0
#define LWIP_TCPIP_CORE_LOCKING   1
#define SYS_LIGHTWEIGHT_PROT      1
#define TCPIP_MBOX_SIZE           64
#define LWIP_ASSERT_CORE_LOCKED() tasks_check_lock()
#define LOCK_TCPIP_CORE()         tasks_lock()
#define UNLOCK_TCPIP_CORE()       tasks_unlock()
void tasks_check_lock(void);
void tasks_lock(void);
void tasks_unlock(void);
#else
#define NO_SYS               1
#define SYS_LIGHTWEIGHT_PROT 0
#endif
#define LWIP_NETCONN 0
#define LWIP_SOCKET  0

#define LWIP_IPV4                     NEAR_IPV4
#define LWIP_IPV6                     NEAR_IPV6
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_MLD                 0
#define LWIP_ARP                      0
#define LWIP_ETHERNET                 0
#define LWIP_DNS                      NEAR_DNS
#define DNS_TABLE_SIZE                2
#define LWIP_NETIF_LOOPBACK           0
#define LWIP_HAVE_LOOPIF              0
#define IP_REASSEMBLY                 0
#define IP_FRAG                       0
#define LWIP_IPV6_REASS               0
#define LWIP_IPV6_FRAG                0

#define MEM_ALIGNMENT 8
#ifdef NEAR_MALLOC
#include <stddef.h>
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define mem_clib_malloc near_malloc
#define mem_clib_calloc near_calloc
#define mem_clib_free   near_free
void *near_malloc(size_t size);
void *near_calloc(size_t count, size_t size);
void near_free(void *block);
#else
#define MEM_SIZE 4000
#endif
#define MEMP_NUM_TCP_PCB        4
#define MEMP_NUM_TCP_PCB_LISTEN 1
#define MEMP_NUM_UDP_PCB        3
#define TCP_MSS                 536
#define TCP_SND_BUF             (2 * TCP_MSS)
#define TCP_SND_QUEUELEN        8
#define MEMP_NUM_TCP_SEG        12
#define TCP_OVERSIZE            0
#ifdef NEAR_SCALE
#define LWIP_WND_SCALE    1
#define TCP_RCV_SCALE     2
#define TCP_WND           160000
#define PBUF_POOL_SIZE    700
#define PBUF_POOL_BUFSIZE 1600
#else
#define TCP_WND           (2 * TCP_MSS)
#define PBUF_POOL_SIZE    16
#define PBUF_POOL_BUFSIZE 256
#endif

/* Patience for a wire that loses every third packet. */
#define TCP_SYNMAXRTX             12
#define XMPP_TINY_LWIP_CONNECT_MS 30000U

/* Segments that come out of order: dropped as on the smallest devices, or kept. lwIP 2.1.3 keeps some that
 * lie beyond the window, and then miscounts (or asserts): so they have to be dropped before. */
#if defined NEAR_MALLOC || defined NEAR_SCALE
#define TCP_QUEUE_OOSEQ                                                   1
#define LWIP_HOOK_TCP_INPACKET_PCB(pcb, header, optlen, opt1len, opt2, p) near_in_window(pcb, header, p)
struct tcp_pcb;
struct tcp_hdr;
struct pbuf;
signed char near_in_window(const struct tcp_pcb *pcb, const struct tcp_hdr *header, const struct pbuf *p);
#else
#define TCP_QUEUE_OOSEQ 0
#endif

#define LWIP_STATS         1
#define MEM_STATS          1
#define MEMP_STATS         1
#define LWIP_STATS_DISPLAY 1 /* pools have names */

#endif
