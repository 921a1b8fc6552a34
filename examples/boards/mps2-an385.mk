# SPDX-License-Identifier: MIT
CPU := cortex-m3
CPU_FLAGS := -mcpu=cortex-m3 -mthumb --specs=nano.specs
CROSS := arm-none-eabi-
BOARD_SCRIPT := mps2-an385.ld
BOARD_SOURCES := $(addprefix examples/boards/,startup_cortex_m.c mps2.c netif.c fifo.c stop.c semihost.c)
QEMU_RUN := qemu-system-arm -M mps2-an385 -display none -semihosting-config enable=on,target=native -net nic,netdev=n0
