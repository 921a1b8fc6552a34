# SPDX-License-Identifier: MIT
CPU := cortex-m3
BOARD_SOURCES := mps2.c
BOARD_SCRIPT := mps2-an385.ld
QEMU_RUN := qemu-system-arm -M mps2-an385 $(QEMU_COMMON) -net nic,netdev=n0
