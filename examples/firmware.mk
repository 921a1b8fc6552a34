# SPDX-License-Identifier: MIT
#
# The firmware for one board, built from the top of the repository:
#
#   make -f examples/firmware.mk BOARD=lm3s6965evb            builds OUT/firmware.elf and firmware.map
#   make -f examples/firmware.mk BOARD=lm3s6965evb run        and runs it in QEMU
#   make -f examples/firmware.mk BOARD=lm3s6965evb print-qemu tells the emulator's command for this board
#
#   BOARD=NAME     one of examples/boards/*.mk
#   SETTINGS=FILE  whom to connect to and as whom (examples/4-firmware/settings.h)
#   OUT=DIR        where everything goes (build/firmware/BOARD)
#   CPPFLAGS       -D of your own; CFLAGS: optimisation (-Os -g)
#   STACK=BYTES    size of the stack (5632)
#   APP, APP_DIR   another program's sources, and where its lwipopts.h and xmpp_tiny_config.h are
#   V=1            show commands whole
#   BEARSSL, LWIP  source trees of your own; without them Debian's are fetched into BUILD

BUILD ?= build
BOARD ?= lm3s6965evb
OUT ?= $(BUILD)/firmware/$(BOARD)
CFLAGS ?= -Os -g
APP_DIR ?= examples/4-firmware
APP ?= $(wildcard $(APP_DIR)/*.c)

# Parallel unless the caller says how.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(or $(JOBS),2)
endif
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

ifdef V
Q :=
else
Q := @
endif

WARNINGS ?= -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-align -Wcast-qual \
    -Wswitch-enum -Wundef -Wmissing-prototypes -Wstrict-prototypes -Wvla

QEMU_COMMON := -display none -semihosting-config enable=on,target=native

# The board: CPU, BOARD_SOURCES, BOARD_SCRIPT, BOARD_CPPFLAGS, QEMU_RUN. It is a Cortex-M unless it says otherwise.
ifeq ($(wildcard examples/boards/$(BOARD).mk),)
$(error no board $(BOARD); there are: $(patsubst examples/boards/%.mk,%,$(wildcard examples/boards/*.mk)))
endif
include examples/boards/$(BOARD).mk
CROSS ?= arm-none-eabi-
CPU_FLAGS ?= -mcpu=$(CPU) -mthumb --specs=nano.specs
BOARD_START ?= startup_cortex_m.c
# Whatever the host is compiled with.
override CC := $(CROSS)gcc
override AR := $(CROSS)ar

SECTIONS := -ffunction-sections -fdata-sections

# BearSSL: once for each CPU, shared by all who build for it, also at the same time.
include port/bearssl.mk
CPU_DIR := $(BUILD)/cpu/$(CPU)
$(CPU_DIR)/libbearssl.a: $(BEARSSL)/inc/bearssl.h port/bearssl.mk
	@mkdir -p $(@D)
	@+flock $(CPU_DIR)/.lock $(MAKE) -s --no-print-directory -f port/bearssl.mk BUILD='$(CPU_DIR)' CC='$(CC)' \
	    AR='$(AR)' BEARSSL='$(BEARSSL)' BEARSSL_CFLAGS='$(CPU_FLAGS) -Os $(SECTIONS)' $@

# lwIP: its options are the program's.
LWIP_OUT := $(OUT)
LWIP_CPPFLAGS := -I$(APP_DIR) -Iexamples/boards $(CPPFLAGS)
LWIP_CFLAGS := $(CPU_FLAGS) $(CFLAGS) $(SECTIONS)
include port/lwip.mk

SOURCES := $(APP) xmpp_tiny.c port/lwip.c port/bearssl.c port/bearssl_crypto.c port/bearssl_leaf.c \
    port/bearssl_profile.c \
    $(addprefix examples/boards/,$(BOARD_SOURCES) $(BOARD_START) netif.c fifo.c runtime.c semihost.c)
OBJECTS := $(SOURCES:%.c=$(OUT)/obj/%.o)
LIBRARIES := $(OUT)/liblwip.a $(CPU_DIR)/libbearssl.a

# Not -MMD: what system headers include, such as lwipopts.h, counts.
COMPILE = $(CC) -std=c99 $(CPU_FLAGS) $(CFLAGS) $(SECTIONS) $(WARNINGS) -I. $(LWIP_INCLUDES) $(BEARSSL_CPPFLAGS) \
    -DXMPP_TINY_CONFIG_FILE='"xmpp_tiny_config.h"' $(if $(SETTINGS),-DFIRMWARE_SETTINGS='"$(abspath $(SETTINGS))"') \
    $(BOARD_CPPFLAGS) -MD -MP
LINK = $(CC) $(CPU_FLAGS) $(CFLAGS) -nostartfiles -Wl,--gc-sections -Wl,-Map=$(OUT)/firmware.map \
    -Lexamples/boards -T $(BOARD_SCRIPT) $(STACK:%=-Wl,--defsym=board_stack_size=%)

.PHONY: all objects
all: $(OUT)/firmware.elf
objects: $(OBJECTS)

$(OUT)/firmware.elf: $(OBJECTS) $(LIBRARIES) $(wildcard examples/boards/*.ld) $(OUT)/obj/link.flags
	$(if $(V),,@echo '  link     $@')
	$(Q)$(LINK) -o $@ $(OBJECTS) $(LIBRARIES)

$(OUT)/obj/%.o: %.c $(OUT)/obj/compile.flags examples/firmware.mk | $(LWIP)/src/include/lwip/init.h $(BEARSSL)/inc/bearssl.h
	@mkdir -p $(@D)
	$(if $(V),,@echo '  compile  $@')
	$(Q)$(COMPILE) -c -o $@ $<

# Each holds the command that things were made with, and is as old as its last change.
$(OUT)/obj/compile.flags: COMMAND = $(COMPILE)
$(OUT)/obj/link.flags: COMMAND = $(LINK)
$(OUT)/obj/compile.flags $(OUT)/obj/link.flags: look
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(COMMAND))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(COMMAND))' >$@
.PHONY: look
look:

# What is shared between firmwares of one CPU, for those who will build several at once.
.PHONY: libraries
libraries: $(CPU_DIR)/libbearssl.a $(LWIP)/src/include/lwip/init.h

# To complete it: -netdev user,id=n0 (or another one called n0), -serial, -kernel.
.PHONY: print-qemu run
print-qemu:
	@echo '$(QEMU_RUN)'
run: $(OUT)/firmware.elf
	$(QEMU_RUN) -monitor none -serial stdio -netdev user,id=n0 -kernel $<

-include $(OBJECTS:.o=.d)
