# SPDX-License-Identifier: MIT
#
# The tests that need no sockets as programs for other processors, run in emulators: tests/chip/README.md.
# Include this after BUILD, BEARSSL, WARNINGS and INCLUDES are set. It gives
#
#   CHIP_PROGRAMS  what is to be built
#   CHIP_SUITES    words for tools/run-tests

CHIP_CFLAGS ?= -Os -g
CHIP_TARGETS := cortex-m3 cortex-m0 rv32imac powerpc aarch64

CHIP_TESTS := tests/golden/run $(patsubst %.c,%,$(wildcard tests/unit/test_*.c)) tests/test_engine tests/test_sasl
# Of those that need sockets, TLS on the other byte order is worth its time.
CHIP_TESTS_powerpc := tests/test_ports tests/conformance

# The longest two leave out what would take minutes; -c is explained in their sources.
CHIP_ARGS_test_tokenizer := -c 5
CHIP_ARGS_run := -c 17 $(sort $(wildcard tests/golden/*.txt))

# target's programs, target's words for tests/chip/suite
chip_programs = $(CHIP_TESTS:%=$(BUILD)/chip/$1/%) $(CHIP_TESTS_$1:%=$(BUILD)/chip/$1/%) $(BUILD)/chip/$1/tests/chip/faults
chip_calls = $(foreach p,$(CHIP_TESTS) $(CHIP_TESTS_$1),"$(strip $p $(CHIP_ARGS_$(notdir $p)))")

CHIP_PROGRAMS := $(foreach t,$(CHIP_TARGETS),$(call chip_programs,$t))
CHIP_SUITES := $(foreach t,$(CHIP_TARGETS),'tests/chip/suite $t $(BUILD)/chip/$t $(call chip_calls,$t)')

# ---- Boards: Cortex-M on mps2-an385, with newlib; RISC-V on virt, with picolibc ---------------------

# The firmware's makefile builds BearSSL for their processors, and gets lwIP, whose header the startup
# code sees.
CHIP_BOARD_cortex-m3 := mps2-an385
CHIP_BOARD_cortex-m0 := mps2-an385-m0
CHIP_BOARD_rv32imac := virt-rv32

CHIP_M_LINK := -nostartfiles -Wl,--wrap=main -Wl,--defsym=board_stack_size=64K -Lexamples/boards -T mps2-an385.ld
CHIP_M_OBJECTS := tests/chip/runtime examples/boards/startup_cortex_m examples/boards/runtime

CHIP_CROSS_cortex-m3 := arm-none-eabi-
CHIP_FLAGS_cortex-m3 := -mcpu=cortex-m3 -mthumb -DGUARD_END=0x20400000
CHIP_LINK_cortex-m3 := $(CHIP_M_LINK)
CHIP_OBJECTS_cortex-m3 := $(CHIP_M_OBJECTS)

CHIP_CROSS_cortex-m0 := arm-none-eabi-
CHIP_FLAGS_cortex-m0 := -mcpu=cortex-m0 -mthumb -DGUARD_END=0x20400000
CHIP_LINK_cortex-m0 := $(CHIP_M_LINK)
CHIP_OBJECTS_cortex-m0 := $(CHIP_M_OBJECTS)

# 2 MiB for code, 4 MiB of RAM less what is guarded; picolibc brings startup, faults and semihosting.
CHIP_CROSS_rv32imac := riscv64-unknown-elf-
CHIP_FLAGS_rv32imac := -march=rv32imac -mabi=ilp32 -mcmodel=medany --specs=picolibc.specs \
    -DPICOLIBC_INTEGER_PRINTF_SCANF -DGUARD_END=0x80600000
CHIP_LINK_rv32imac := --oslib=semihost --crt0=semihost -Wl,--defsym=__flash=0x80000000,--defsym=__flash_size=2M \
    -Wl,--defsym=__ram=0x80200000,--defsym=__ram_size=0x3f0000,--defsym=__stack_size=64K

# ---- Linux programs: the byte order and the word size that the boards do not have ------------------

CHIP_CROSS_powerpc := powerpc-linux-gnu-
CHIP_CROSS_aarch64 := aarch64-linux-gnu-

# ---- Rules -----------------------------------------------------------------------------------------

# One processor fetches lwIP for all.
$(BUILD)/cpu/cortex-m0/libbearssl.a $(BUILD)/cpu/rv32imac/libbearssl.a: | $(BUILD)/cpu/cortex-m3/libbearssl.a

LWIP ?= $(BUILD)/lwip
CHIP_INCLUDES := $(INCLUDES) -Iexamples/boards -Iexamples/4-firmware -isystem $(LWIP)/src/include

# Programs that include xmpp_tiny.c take only ports from the library.
CHIP_LIBRARY := xmpp_tiny port/bearssl_crypto
CHIP_LIBRARY_powerpc := $(patsubst %.c,%,$(wildcard port/bearssl*.c)) port/posix

define CHIP_RULES
$(BUILD)/chip/$1/%.o: %.c tests/chip/targets.mk | $(BUILD)/cpu/$1/libbearssl.a
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo '  compile  $$@')
	$$(Q)$(CHIP_CROSS_$1)gcc $(CHIP_FLAGS_$1) -std=c99 -DXMPP_TINY_ENABLE_NAMES=2 $$(CHIP_CFLAGS) -ffunction-sections \
	    -fdata-sections $$(WARNINGS) -Werror $$(CHIP_INCLUDES) -MMD -MP -c -o $$@ $$<

$(BUILD)/chip/$1/library.a: $(patsubst %,$(BUILD)/chip/$1/%.o,$(sort $(CHIP_LIBRARY) $(CHIP_LIBRARY_$1)))
	@rm -f $$@
	$$(Q)$(CHIP_CROSS_$1)ar rcs $$@ $$^

$(call chip_programs,$1): $(BUILD)/chip/$1/%: $(BUILD)/chip/$1/%.o $(CHIP_OBJECTS_$1:%=$(BUILD)/chip/$1/%.o) \
    $(BUILD)/chip/$1/library.a $(BUILD)/cpu/$1/libbearssl.a
	$$(if $$(V),,@echo '  link     $$@')
	$$(Q)$(CHIP_CROSS_$1)gcc $(CHIP_FLAGS_$1) $$(CHIP_CFLAGS) -Wl,--gc-sections $$(CHIP_LINK_$1) -o $$@ $$^

$(BUILD)/cpu/$1/libbearssl.a: $(BEARSSL)/inc/bearssl.h port/bearssl.mk
	@mkdir -p $$(@D)
	@+$(if $(CHIP_BOARD_$1),$$(MAKE) -s --no-print-directory -f examples/firmware.mk BOARD=$(CHIP_BOARD_$1) \
	    BUILD='$(BUILD)' BEARSSL='$(BEARSSL)' LWIP='$(LWIP)' libraries,\
	    flock $$(@D)/.lock $$(MAKE) -s --no-print-directory -f port/bearssl.mk BUILD='$$(@D)' CC='$(CHIP_CROSS_$1)gcc' \
	    AR='$(CHIP_CROSS_$1)ar' BEARSSL='$(BEARSSL)' $$@)
endef
$(foreach t,$(CHIP_TARGETS),$(eval $(call CHIP_RULES,$t)))
