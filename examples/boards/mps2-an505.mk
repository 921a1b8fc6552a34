# SPDX-License-Identifier: MIT
CPU := cortex-m33
BOARD_SOURCES := mps2.c
BOARD_SCRIPT := mps2-an505.ld
# The addresses that secure code uses.
BOARD_CPPFLAGS := -DMPS2_HZ=20000000u -DMPS2_TIMER=0x50000000 -DMPS2_UART=0x50200000 \
    -DMPS2_ETHERNET=0x52000000 -DMPS2_ETHERNET_IRQ=48
QEMU_RUN := qemu-system-arm -M mps2-an505 $(QEMU_COMMON) -net nic,netdev=n0
