/* SPDX-License-Identifier: MIT
 *
 * QEMU's "virt" machine with a 32-bit RISC-V core and a virtio network device. There is no such part; it is
 * here to show that nothing depends on ARM.
 */
#include "board.h"
#include "ethernet.h"
#include "machine.h"

/* ---- Console: 16550 ---- */

#define UART_DATA   (*(volatile uint8_t *)0x10000000)
#define UART_STATUS (*(volatile uint8_t *)0x10000005)

void board_print(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        while ((UART_STATUS & 0x20) == 0) {
        }
        UART_DATA = (uint8_t)text[i];
    }
}

/* ---- Time ---- */

#define MTIMECMP_LOW  REG(0x02004000)
#define MTIMECMP_HIGH REG(0x02004004)
#define MTIME_LOW     REG(0x0200bff8)
#define MTIME_HIGH    REG(0x0200bffc)
#define TICKS_PER_MS  10000u

static uint64_t ticks(void)
{
    uint32_t high, low;
    do {
        high = MTIME_HIGH;
        low = MTIME_LOW;
    } while (high != MTIME_HIGH);
    return (uint64_t)high << 32 | low;
}

uint32_t board_now_ms(void)
{
    return (uint32_t)(ticks() / TICKS_PER_MS);
}

static void set_alarm(uint32_t ms)
{
    uint64_t when = ticks() + (uint64_t)ms * TICKS_PER_MS;
    MTIMECMP_HIGH = ~0u;
    MTIMECMP_LOW = (uint32_t)when;
    MTIMECMP_HIGH = (uint32_t)(when >> 32);
}

/* ---- Ethernet: virtio over MMIO, version 1 ---- */

#define VIRTIO_SLOTS   8
#define VIRTIO_SLOT(n) (0x10001000u + 0x1000u * (n))
#define VIRTIO(offset) REG(device + (offset))

enum {
    MAGIC = 0x00,
    VERSION = 0x04,
    DEVICE = 0x08,
    FEATURES = 0x20,
    FEATURES_SELECT = 0x24,
    QUEUE_SELECT = 0x30
};
enum { QUEUE_SIZE = 0x38, QUEUE_READY = 0x44, NOTIFY = 0x50, INTERRUPTS = 0x60, ACKNOWLEDGE = 0x64 };
enum { STATUS = 0x70, QUEUE_DESC = 0x80, QUEUE_OFFERED = 0x90, QUEUE_USED = 0xa0, CONFIG = 0x100 };

enum { RECEIVE, TRANSMIT };

#define QUEUE_LENGTH 8u
#define HEADER       12u /* before each frame; all zero as nothing optional is in use */
#define FRAME_MAX    1514u
#define DESC_NEXT    1u
#define DESC_WRITE   2u

struct queue {
    struct {
        uint64_t address;
        uint32_t len;
        uint16_t flags, next;
    } desc[QUEUE_LENGTH];
    struct {
        uint16_t flags;
        volatile uint16_t count;
        uint16_t ring[QUEUE_LENGTH];
        uint16_t event;
    } offered;
    struct {
        uint16_t flags;
        volatile uint16_t count;
        struct {
            uint32_t desc, len;
        } ring[QUEUE_LENGTH];
    } used;
    uint16_t seen; /* of used.count; not the device's */
};

static uint32_t device;
static unsigned device_irq;
static struct queue queues[2] __attribute__((aligned(16)));
/* The device wants to know where to put a frame before one comes. */
static uint8_t received[QUEUE_LENGTH][HEADER + FRAME_MAX + 2] __attribute__((aligned(4)));

static void barrier(void)
{
    __asm__ volatile("fence" ::: "memory");
}

static void offer(unsigned index, uint16_t desc)
{
    struct queue *q = &queues[index];
    q->offered.ring[q->offered.count % QUEUE_LENGTH] = desc;
    barrier();
    q->offered.count++;
    barrier();
    VIRTIO(NOTIFY) = index;
}

static void start_queue(unsigned index)
{
    struct queue *q = &queues[index];
    VIRTIO(QUEUE_SELECT) = index;
    VIRTIO(QUEUE_SIZE) = QUEUE_LENGTH;
    VIRTIO(QUEUE_DESC) = (uintptr_t)q->desc;
    VIRTIO(QUEUE_OFFERED) = (uintptr_t)&q->offered;
    VIRTIO(QUEUE_USED) = (uintptr_t)&q->used;
    VIRTIO(QUEUE_READY) = 1;
}

#define PLIC_PRIORITY(irq) REG(0x0c000000 + 4 * (irq))
#define PLIC_ENABLE        REG(0x0c002000)
#define PLIC_CLAIM         REG(0x0c200004)

void ethernet_start(uint8_t mac[6])
{
    for (unsigned n = 0; n < VIRTIO_SLOTS && device == 0; n++) {
        if (REG(VIRTIO_SLOT(n) + DEVICE) == 1) {
            device = VIRTIO_SLOT(n);
            device_irq = 1 + n;
        }
    }
    if (device == 0 || VIRTIO(VERSION) != 2)
        board_stop("no virtio network device of version 1");

    VIRTIO(STATUS) = 0;
    VIRTIO(STATUS) = 1 | 2; /* seen, driver known */
    VIRTIO(FEATURES_SELECT) = 0;
    VIRTIO(FEATURES) = 1u << 5 | 1u << 16; /* address, link status */
    VIRTIO(FEATURES_SELECT) = 1;
    VIRTIO(FEATURES) = 1;       /* version 1 */
    VIRTIO(STATUS) = 1 | 2 | 8; /* features chosen */
    start_queue(RECEIVE);
    start_queue(TRANSMIT);
    VIRTIO(STATUS) = 1 | 2 | 8 | 4; /* go */
    for (uint16_t i = 0; i < QUEUE_LENGTH; i++) {
        queues[RECEIVE].desc[i].address = (uintptr_t)received[i];
        queues[RECEIVE].desc[i].len = sizeof received[i];
        queues[RECEIVE].desc[i].flags = DESC_WRITE;
        offer(RECEIVE, i);
    }
    for (unsigned i = 0; i < 6; i++)
        mac[i] = *(volatile uint8_t *)(uintptr_t)(device + CONFIG + i);
    PLIC_PRIORITY(device_irq) = 1;
    PLIC_ENABLE = 1u << device_irq;
}

bool ethernet_link(void)
{
    return *(volatile uint16_t *)(uintptr_t)(device + CONFIG + 6) & 1;
}

unsigned ethernet_waiting(void)
{
    return (uint16_t)(queues[RECEIVE].used.count - queues[RECEIVE].seen);
}

struct pbuf *ethernet_receive(void)
{
    struct queue *q = &queues[RECEIVE];
    barrier();
    uint16_t desc = (uint16_t)q->used.ring[q->seen % QUEUE_LENGTH].desc;
    u16_t len = (u16_t)(q->used.ring[q->seen % QUEUE_LENGTH].len - HEADER);
    struct pbuf *frame = pbuf_alloc(PBUF_RAW, len, PBUF_POOL);
    if (frame != NULL)
        (void)pbuf_take(frame, received[desc] + HEADER, len);
    q->seen++;
    offer(RECEIVE, desc);
    return frame;
}

/* The parts of the frame are what the device reads, so it has to be waited for. */
bool ethernet_send(const struct pbuf *frame)
{
    static const uint8_t header[HEADER];
    struct queue *q = &queues[TRANSMIT];
    uint16_t n = 0;

    q->desc[0].address = (uintptr_t)header;
    q->desc[0].len = HEADER;
    for (; frame != NULL; frame = frame->next) {
        if (n == QUEUE_LENGTH - 1)
            return false;
        q->desc[n].flags = DESC_NEXT;
        q->desc[n].next = (uint16_t)(n + 1);
        n++;
        q->desc[n].address = (uintptr_t)frame->payload;
        q->desc[n].len = frame->len;
    }
    q->desc[n].flags = 0;
    q->seen = (uint16_t)(q->used.count + 1);
    offer(TRANSMIT, 0);
    while (q->used.count != q->seen) {
    }
    return true;
}

/* ---- Board ---- */

extern uint32_t board_guard_bottom[]; /* the linker script's */

void board_init(void)
{
    /* Nobody, this mode included, reaches the 256 bytes below the stack: PMP, locked, a power of two. */
    __asm__ volatile("csrw pmpaddr0, %0\n\tcsrw pmpcfg0, %1"
                     :
                     : "r"((uintptr_t)board_guard_bottom >> 2 | (256 / 8 - 1)), "r"(0x98));
    /* Timer and external interrupts end a wait; mstatus never lets them through. */
    __asm__ volatile("csrw mie, %0" : : "r"(1u << 7 | 1u << 11));
}

void board_sleep(uint32_t ms)
{
    if (ms == 0)
        return;
    set_alarm(ms);
    if (device != 0) {
        VIRTIO(ACKNOWLEDGE) = VIRTIO(INTERRUPTS);
        PLIC_CLAIM = PLIC_CLAIM; /* claimed and done */
    }
    if (ethernet_waiting() == 0)
        machine_wait();
}
