# SPDX-License-Identifier: MIT
CPU := cortex-m3
BOARD_SOURCES := lm3s6965evb.c
BOARD_SCRIPT := lm3s6965evb.ld
QEMU_RUN := qemu-system-arm -M lm3s6965evb $(QEMU_COMMON) -net nic,netdev=n0
