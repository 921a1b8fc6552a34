/* SPDX-License-Identifier: MIT
 *
 * Arm MPS2 boards with a LAN9118 Ethernet controller. The numbers below are those of image AN385
 * (Cortex-M3); the makefile of another image has its own.
 */
#include "board.h"
#include "ethernet.h"
#include "machine.h"

#ifndef MPS2_HZ
#define MPS2_HZ           25000000u
#define MPS2_TIMER        0x40000000
#define MPS2_UART         0x40004000
#define MPS2_ETHERNET     0x40200000
#define MPS2_ETHERNET_IRQ 13
#endif

/* ---- Console ---- */

#define UART_DATA  REG(MPS2_UART + 0x00)
#define UART_STATE REG(MPS2_UART + 0x04)
#define UART_CTRL  REG(MPS2_UART + 0x08)
#define UART_DIV   REG(MPS2_UART + 0x10)

void board_print(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        while (UART_STATE & 1) {
        }
        UART_DATA = (uint8_t)text[i];
    }
}

/* ---- Time: timer 0 as a clock, SysTick as an alarm ---- */

#define TIMER_CTRL   REG(MPS2_TIMER + 0x00)
#define TIMER_VALUE  REG(MPS2_TIMER + 0x04)
#define TIMER_RELOAD REG(MPS2_TIMER + 0x08)

#define SYSTICK_CTRL  REG(0xe000e010)
#define SYSTICK_LOAD  REG(0xe000e014)
#define SYSTICK_VALUE REG(0xe000e018)
#define SYSTICK_MAX   0xffffffu

static uint32_t clock_ms, clock_ticks, clock_value;

/* The timer wraps after some 170 s; nobody sleeps that long. */
uint32_t board_now_ms(void)
{
    uint32_t value = TIMER_VALUE;
    uint32_t passed = clock_value - value;
    clock_value = value;
    clock_ms += passed / (MPS2_HZ / 1000);
    clock_ticks += passed % (MPS2_HZ / 1000);
    if (clock_ticks >= MPS2_HZ / 1000) {
        clock_ticks -= MPS2_HZ / 1000;
        clock_ms++;
    }
    return clock_ms;
}

static void set_alarm(uint32_t ms)
{
    uint32_t longest = SYSTICK_MAX / (MPS2_HZ / 1000);
    SYSTICK_CTRL = 0;
    SYSTICK_LOAD = (ms < longest ? ms : longest) * (MPS2_HZ / 1000);
    SYSTICK_VALUE = 0;
    SYSTICK_CTRL = 7;
}

/* ---- Ethernet: LAN9118 ---- */

#define LAN_RX_DATA   REG(MPS2_ETHERNET + 0x00)
#define LAN_TX_DATA   REG(MPS2_ETHERNET + 0x20)
#define LAN_RX_STATUS REG(MPS2_ETHERNET + 0x40)
#define LAN_TX_STATUS REG(MPS2_ETHERNET + 0x48)
#define LAN_IRQ_CFG   REG(MPS2_ETHERNET + 0x54)
#define LAN_INT_STS   REG(MPS2_ETHERNET + 0x58)
#define LAN_INT_EN    REG(MPS2_ETHERNET + 0x5c)
#define LAN_FIFO_INT  REG(MPS2_ETHERNET + 0x68)
#define LAN_RX_CFG    REG(MPS2_ETHERNET + 0x6c)
#define LAN_TX_CFG    REG(MPS2_ETHERNET + 0x70)
#define LAN_HW_CFG    REG(MPS2_ETHERNET + 0x74)
#define LAN_RX_INF    REG(MPS2_ETHERNET + 0x7c)
#define LAN_TX_INF    REG(MPS2_ETHERNET + 0x80)
#define LAN_CSR_CMD   REG(MPS2_ETHERNET + 0xa4)
#define LAN_CSR_DATA  REG(MPS2_ETHERNET + 0xa8)

#define LAN_INT_RECEIVED 8u

/* Registers of the MAC, which are reached through two of the controller's. */
enum { MAC_CR = 1, MAC_ADDRH = 2, MAC_ADDRL = 3, MAC_MII_ACC = 6, MAC_MII_DATA = 7 };

static uint32_t mac_read(uint32_t reg)
{
    LAN_CSR_CMD = 0xc0000000 | reg;
    while (LAN_CSR_CMD & 0x80000000) {
    }
    return LAN_CSR_DATA;
}

static void mac_write(uint32_t reg, uint32_t value)
{
    LAN_CSR_DATA = value;
    LAN_CSR_CMD = 0x80000000 | reg;
    while (LAN_CSR_CMD & 0x80000000) {
    }
}

void ethernet_start(uint8_t mac[6])
{
    LAN_HW_CFG = 1; /* reset */
    while (LAN_HW_CFG & 1) {
    }
    LAN_HW_CFG = 0x00050000; /* 5 KiB of FIFO for sending */
    LAN_INT_EN = 0;
    LAN_INT_STS = ~0u;
    LAN_IRQ_CFG = 0x111; /* on, active high, push-pull */
    LAN_FIFO_INT = 0;
    LAN_RX_CFG = 0;
    LAN_TX_CFG = 2; /* on */
    uint32_t low = mac_read(MAC_ADDRL), high = mac_read(MAC_ADDRH);
    for (unsigned i = 0; i < 4; i++)
        mac[i] = (uint8_t)(low >> (8 * i));
    mac[4] = (uint8_t)high;
    mac[5] = (uint8_t)(high >> 8);
    mac_write(MAC_CR, 0x0018000c); /* full duplex, all multicast, transmitter, receiver */
    /* Not before: until IRQ_CFG is written the line is active low, hence active. */
    REG(0xe000e100 + 4 * (MPS2_ETHERNET_IRQ / 32)) = 1u << MPS2_ETHERNET_IRQ % 32;
}

bool ethernet_link(void)
{
    mac_write(MAC_MII_ACC, 1u << 11 | 1u << 6 | 1); /* PHY 1, status, go */
    while (mac_read(MAC_MII_ACC) & 1) {
    }
    return mac_read(MAC_MII_DATA) & 4;
}

unsigned ethernet_waiting(void)
{
    return LAN_RX_INF >> 16 & 0xff;
}

struct pbuf *ethernet_receive(void)
{
    uint32_t status = LAN_RX_STATUS;
    uint16_t total = status >> 16 & 0x3fff; /* with 4 bytes of checksum */
    bool good = (status & 0x8000) == 0 && total > 4;
    struct pbuf *frame = good ? pbuf_alloc(PBUF_RAW, (u16_t)(total - 4), PBUF_POOL) : NULL;
    fifo_read(&LAN_RX_DATA, 0, 0, (total + 3u) / 4, frame);
    return frame;
}

bool ethernet_send(const struct pbuf *frame)
{
    if ((LAN_TX_INF & 0xffff) < frame->tot_len + 16u)
        return false;
    LAN_TX_DATA = 0x3000u | frame->tot_len; /* first and last part of a frame */
    LAN_TX_DATA = (uint32_t)frame->tot_len << 16 | frame->tot_len;
    fifo_write(&LAN_TX_DATA, 0, 0, frame);
    while (LAN_TX_INF >> 16 & 0xff)
        (void)LAN_TX_STATUS;
    return true;
}

/* ---- Protection ---- */

#if __ARM_ARCH < 8

#define MPU_CTRL REG(0xe000ed94)
#define MPU_RBAR REG(0xe000ed9c)
#define MPU_RASR REG(0xe000eda0)

#define MPU_SIZE_256  (7u << 1)
#define MPU_SIZE_4M   (21u << 1)
#define MPU_SIZE_16M  (23u << 1)
#define MPU_NOTHING   (1u << 28)
#define MPU_READ_ONLY (6u << 24 | 1u << 17)

extern uint32_t board_guard_bottom[]; /* the linker script's */

static void protect(unsigned region, uintptr_t address, uint32_t how)
{
    MPU_RBAR = (uint32_t)address | 1u << 4 | region;
    MPU_RASR = how | 1;
}

/* The sizes are those of the linker script. Of regions that overlap the last one counts. Handlers of
 * faults are exempt, and the core reads vectors past the MPU. */
static void start_protection(void)
{
    protect(0, 0, MPU_READ_ONLY | MPU_SIZE_4M);
    protect(1, 0, MPU_NOTHING | MPU_SIZE_256); /* where pointers that are NULL lead */
    protect(2, (uintptr_t)board_guard_bottom, MPU_NOTHING | MPU_SIZE_256);
    protect(3, 0x1f000000, MPU_NOTHING | MPU_SIZE_16M); /* for frames larger than that guard */
    MPU_CTRL = 1u << 2 | 1;                             /* elsewhere as without it */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

#else

/* Another kind of MPU; PSPLIM guards the stack. */
static void start_protection(void) {}

#endif

/* ---- Board ---- */

void board_init(void)
{
    start_protection();
    UART_DIV = MPS2_HZ / 115200;
    UART_CTRL = 1;
    TIMER_CTRL = 0;
    TIMER_RELOAD = 0xffffffff;
    TIMER_VALUE = 0xffffffff;
    TIMER_CTRL = 1;
    clock_value = TIMER_VALUE;
}

void board_interrupt(void)
{
    SYSTICK_CTRL = 0;
    LAN_INT_EN = 0;
}

void board_sleep(uint32_t ms)
{
    if (ms == 0)
        return;
    machine_interrupts_off();
    set_alarm(ms);
    LAN_INT_STS = ~0u;
    LAN_INT_EN = LAN_INT_RECEIVED;
    if (ethernet_waiting() == 0)
        machine_wait();
    machine_interrupts_on();
}
