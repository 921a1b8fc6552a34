# SPDX-License-Identifier: MIT
CPU := cortex-m3
CPU_FLAGS := -mcpu=cortex-m3 -mthumb --specs=nano.specs
CROSS := arm-none-eabi-
BOARD_SCRIPT := lm3s6965evb.ld
BOARD_SOURCES := $(addprefix examples/boards/,startup_cortex_m.c lm3s6965evb.c netif.c fifo.c stop.c semihost.c)
QEMU_RUN := qemu-system-arm -M lm3s6965evb -display none -semihosting-config enable=on,target=native -net nic,netdev=n0
