/* SPDX-License-Identifier: MIT
 *
 * lwIP for one TCP connection in some 4 KB of RAM. What is not named here is lwIP's default; what each
 * option means is in lwip/opt.h.
 */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

/* A main loop, no operating system; one interface. */
#define NO_SYS               1
#define LWIP_SINGLE_NETIF    1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN         0
#define LWIP_SOCKET          0

/* IPv4 with DHCP and DNS; ping is answered. LWIP_IPV6 1 adds IPv6 by router advertisement. */
#ifndef LWIP_IPV6
#define LWIP_IPV6 0
#endif
#define LWIP_DHCP           1
#define DHCP_DOES_ARP_CHECK 0 /* saves a second at power-on */
#define LWIP_DNS            1
#define DNS_TABLE_SIZE      1
#define DNS_MAX_NAME_LENGTH 64
#define DNS_MAX_SERVERS     1
#define DNS_MAX_TTL         300 /* seconds that a forged or outdated answer lasts; lwIP's default is a week */
#define LWIP_RAW            LWIP_IPV6
#define IP_REASSEMBLY       0
#define IP_FRAG             0
#define ARP_TABLE_SIZE      3
#define ARP_QUEUEING        0
#define ETHARP_TRUST_IP_MAC 0

/* TCP: two segments each way. A dropped connection may linger while the next is made. */
#define TCP_MSS                    536
#define TCP_WND                    (2 * TCP_MSS)
#define TCP_SND_BUF                (2 * TCP_MSS)
#define TCP_SND_QUEUELEN           6
#define TCP_SNDLOWAT               TCP_MSS
#define TCP_SNDQUEUELOWAT          2
#define TCP_OVERSIZE               0
#define TCP_QUEUE_OOSEQ            0
#define TCP_LISTEN_BACKLOG         0
#define TCP_CALCULATE_EFF_SEND_MSS 0
#define MEMP_NUM_TCP_PCB           2
#define MEMP_NUM_TCP_PCB_LISTEN    1
#define MEMP_NUM_TCP_SEG           6
#define MEMP_NUM_UDP_PCB           2 /* DHCP, DNS */
#define MEMP_NUM_PBUF              2

/* Received frames lie in the pool, what is sent in the heap. */
#define MEM_ALIGNMENT     4
#define MEM_SIZE          1200
#define PBUF_POOL_SIZE    3
#define PBUF_POOL_BUFSIZE 592 /* a full segment with its headers */

#define LWIP_STATS                0
#define LWIP_NO_CTYPE_H           1
#define LWIP_NOASSERT             1
#define LWIP_CHECKSUM_ON_COPY     0
#define LWIP_CHKSUM_ALGORITHM     1
#define LWIP_NETIF_TX_SINGLE_PBUF 0

/* Ports, query ids and initial sequence numbers that cannot be guessed [RFC5452, RFC6528]. */
unsigned platform_rand(void);
#define LWIP_RAND()                                  platform_rand()
#define LWIP_HOOK_TCP_ISN(ip, port, from, from_port) LWIP_RAND()

#endif
