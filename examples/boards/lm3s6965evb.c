/* SPDX-License-Identifier: MIT
 *
 * Stellaris LM3S6965 evaluation board: Cortex-M3 at 50 MHz, 256 KiB flash, 64 KiB RAM, Ethernet on chip.
 */
#include "board.h"
#include "ethernet.h"
#include "machine.h"

#define CPU_HZ 50000000u

/* ---- System ---- */

#define SYSCTL_RIS   REG(0x400fe050) /* bit 6: PLL locked */
#define SYSCTL_RCC   REG(0x400fe060)
#define SYSCTL_RCGC1 REG(0x400fe104)
#define SYSCTL_RCGC2 REG(0x400fe108)
#define NVIC_ENABLE0 REG(0xe000e100)
#define NVIC_ENABLE1 REG(0xe000e104)

#define RCC_BYPASS   (1u << 11)
#define TIMER0_IRQ   19
#define ETHERNET_IRQ 42

static void start_clock(void)
{
    /* 8 MHz crystal, PLL on, 200 MHz by 4. */
    SYSCTL_RCC = 3u << 23 | 1u << 22 | RCC_BYPASS | 14u << 6;
    while ((SYSCTL_RIS & 1u << 6) == 0) {
    }
    SYSCTL_RCC &= ~RCC_BYPASS;
}

/* ---- Console: UART0 ---- */

#define GPIOA_AFSEL REG(0x40004420)
#define GPIOA_DEN   REG(0x4000451c)
#define UART_DR     REG(0x4000c000)
#define UART_FR     REG(0x4000c018)
#define UART_IBRD   REG(0x4000c024)
#define UART_FBRD   REG(0x4000c028)
#define UART_LCRH   REG(0x4000c02c)
#define UART_CTL    REG(0x4000c030)

static void start_console(void)
{
    SYSCTL_RCGC1 |= 1u << 0;
    SYSCTL_RCGC2 |= 1u << 0;
    GPIOA_AFSEL |= 3;
    GPIOA_DEN |= 3;
    UART_IBRD = 27; /* 50 MHz / 16 / 115,200 Bd = 27 + 8/64 */
    UART_FBRD = 8;
    UART_LCRH = 0x70; /* 8 bits, FIFO on */
    UART_CTL = 0x301; /* transmitter, receiver, on */
}

void board_print(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        while (UART_FR & 1u << 5) {
        }
        UART_DR = (uint8_t)text[i];
    }
}

/* ---- Time: SysTick as a clock, timer 0 as an alarm ---- */

#define SYSTICK_CTRL      REG(0xe000e010)
#define SYSTICK_LOAD      REG(0xe000e014)
#define SYSTICK_VALUE     REG(0xe000e018)
#define SYSTICK_MAX       0xffffffu
#define SYSTICK_COUNTFLAG (1u << 16)

#define TIMER0_CFG  REG(0x40030000)
#define TIMER0_MODE REG(0x40030004)
#define TIMER0_CTL  REG(0x4003000c)
#define TIMER0_IMR  REG(0x40030018)
#define TIMER0_ICR  REG(0x40030024)
#define TIMER0_LOAD REG(0x40030028)

/* SysTick starts at 0, as clock_value does, and wraps at once. */
static uint32_t clock_ms, clock_ticks, clock_value;

/* SysTick counts down and wraps after 335 ms. Its interrupt calls this, too, so that no wrap goes unseen.
 * Interrupts are not what counts: those that come late come once. */
static uint32_t advance_clock(void)
{
    bool wrapped = (SYSTICK_CTRL & SYSTICK_COUNTFLAG) != 0; /* reading it clears it */
    uint32_t value = SYSTICK_VALUE;
    if (value > clock_value && !wrapped) { /* just now */
        wrapped = true;
        (void)SYSTICK_CTRL;
    }
    clock_ticks += clock_value - value + (wrapped ? SYSTICK_MAX + 1 : 0);
    clock_value = value;
    clock_ms += clock_ticks / (CPU_HZ / 1000);
    clock_ticks %= CPU_HZ / 1000;
    return clock_ms;
}

uint32_t board_now_ms(void)
{
    machine_interrupts_off();
    uint32_t ms = advance_clock();
    machine_interrupts_on();
    return ms;
}

static void start_time(void)
{
    SYSTICK_LOAD = SYSTICK_MAX;
    SYSTICK_VALUE = 0;
    SYSTICK_CTRL = 7;
    SYSCTL_RCGC1 |= 1u << 16;
    TIMER0_CTL = 0;
    TIMER0_CFG = 0;  /* 32 bits */
    TIMER0_MODE = 1; /* once */
    TIMER0_IMR = 1;
    NVIC_ENABLE0 = 1u << TIMER0_IRQ;
}

static void set_alarm(uint32_t ms)
{
    TIMER0_CTL = 0;
    TIMER0_ICR = 1;
    TIMER0_LOAD = ms * (CPU_HZ / 1000);
    TIMER0_CTL = 1;
}

/* ---- Ethernet ---- */

#define MAC_STATUS  REG(0x40048000) /* written: acknowledges */
#define MAC_MASK    REG(0x40048004)
#define MAC_RECEIVE REG(0x40048008)
#define MAC_SEND    REG(0x4004800c)
#define MAC_DATA    REG(0x40048010)
#define MAC_ADDR0   REG(0x40048014)
#define MAC_ADDR1   REG(0x40048018)
#define MAC_FRAMES  REG(0x40048034)
#define MAC_REQUEST REG(0x40048038)

#define MAC_INT_RECEIVED 1u

#define LENGTH_MAX 2048u /* of the FIFO */

static void start_receiving(void)
{
    MAC_RECEIVE = 0x10; /* empties the FIFO */
    MAC_RECEIVE = 0x03; /* on, multicast */
}

void ethernet_start(uint8_t mac[6])
{
    MAC_MASK = 0;
    MAC_STATUS = 0x7f;
    start_receiving();
    MAC_SEND = 0x17; /* on, padding, checksum, full duplex */
    MAC_STATUS = 0x7f;
    for (unsigned i = 0; i < 4; i++)
        mac[i] = (uint8_t)(MAC_ADDR0 >> (8 * i));
    mac[4] = (uint8_t)MAC_ADDR1;
    mac[5] = (uint8_t)(MAC_ADDR1 >> 8);
    NVIC_ENABLE1 = 1u << (ETHERNET_IRQ - 32);
}

bool ethernet_link(void)
{
    return true;
}

unsigned ethernet_waiting(void)
{
    return MAC_FRAMES & 0x3f;
}

struct pbuf *ethernet_receive(void)
{
    /* Before the frame a half-word: its length with this half-word and the checksum. */
    uint32_t first = MAC_DATA;
    uint16_t total = (uint16_t)first;
    struct pbuf *frame;
    if (total <= 6 || total > LENGTH_MAX) {
        /* That is no length: what is in the buffer cannot be told apart any more. */
        start_receiving();
        return NULL;
    }
    frame = pbuf_alloc(PBUF_RAW, (u16_t)(total - 6), PBUF_POOL);
    fifo_read(&MAC_DATA, first >> 16, 2, (total - 1u) / 4, frame);
    return frame;
}

bool ethernet_send(const struct pbuf *frame)
{
    while (MAC_REQUEST & 1) {
    }
    fifo_write(&MAC_DATA, frame->tot_len - 14u, 2, frame);
    MAC_REQUEST = 1;
    return true;
}

/* ---- Board ---- */

void board_init(void)
{
    start_clock();
    start_console();
    start_time();
    SYSCTL_RCGC2 |= 1u << 28 | 1u << 30; /* Ethernet, which board_sleep() asks */
}

void board_interrupt(void)
{
    (void)advance_clock();
    TIMER0_ICR = 1;
    MAC_MASK = 0;
}

void board_sleep(uint32_t ms)
{
    if (ms == 0)
        return;
    if (ms < 1000) /* the clock's interrupt ends a longer sleep anyway */
        machine_interrupts_off();
    set_alarm(ms);
    MAC_STATUS = MAC_INT_RECEIVED;
    MAC_MASK = MAC_INT_RECEIVED;
    if (ethernet_waiting() == 0)
        machine_wait();
    machine_interrupts_on();
}
