# SPDX-License-Identifier: MIT
# Code for the smallest core, on a larger one that is told to refuse what Cortex-M0 refuses.
CPU := cortex-m0
BOARD_SOURCES := mps2.c
BOARD_SCRIPT := mps2-an385.ld
QEMU_RUN := qemu-system-arm -M mps2-an385 $(QEMU_COMMON) -net nic,netdev=n0
