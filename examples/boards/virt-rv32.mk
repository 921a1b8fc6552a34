# SPDX-License-Identifier: MIT
CPU := rv32imac
CROSS := riscv64-unknown-elf-
CPU_FLAGS := -march=rv32imac -misa-spec=2.2 -mabi=ilp32 -mcmodel=medany --specs=picolibc.specs
BOARD_SOURCES := virt.c
BOARD_START := startup_riscv.c
BOARD_SCRIPT := virt-rv32.ld
QEMU_RUN := qemu-system-riscv32 -M virt -bios none $(QEMU_COMMON) \
    -global virtio-mmio.force-legacy=false -device virtio-net-device,netdev=n0
