# SPDX-License-Identifier: MIT
#
# xmpp_tiny on a host: library object, examples, tests. 'make help' lists the targets.
# To use the library in a project of your own you need no makefile: compile xmpp_tiny.c and a port.
#
#   BUILD=DIR    where everything goes (build)
#   CC, CFLAGS   compiler and optimisation
#   V=1          show commands whole
#   BEARSSL=DIR  your own copy of BearSSL's source; without it Debian's is fetched into BUILD

BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS ?= -O2 -g
JOBS ?= 2

# Parallel unless the caller says how.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(JOBS)
endif
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

# A step is one short line, or the whole command with V=1.
ifdef V
Q :=
else
Q := @
endif

WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-align -Wcast-qual \
    -Wswitch-enum -Wundef -Wmissing-prototypes -Wstrict-prototypes -Wvla
SANITIZE ?= -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

include port/bearssl.mk
BEARSSL_LIB := $(BUILD)/libbearssl.a

INCLUDES := -I. -Itests $(BEARSSL_CPPFLAGS)
export WARNINGS INCLUDES BUILD CC BEARSSL
# A host has room for errors in sentences.
COMPILE = $(CC) -std=c99 -DXMPP_TINY_ENABLE_NAMES=2 $(WARNINGS) $(INCLUDES) -MMD -MP

# The ports a host uses.
PORTS := $(patsubst %.c,%,$(filter-out port/lwip.c,$(wildcard port/*.c)))
OBJECTS := $(BUILD)/xmpp_tiny.o $(PORTS:%=$(BUILD)/%.o)
SAN_PORTS := $(PORTS:%=$(BUILD)/san/%.o)
SAN_OBJECTS := $(BUILD)/san/xmpp_tiny.o $(SAN_PORTS)

EXAMPLES := 1-hello 2-echo 3-sensor
CLI := $(wildcard examples/cli/*.c) examples/common.c
SLEEPER := $(filter-out %/board.c,$(wildcard examples/sleep_resume/*.c)) examples/common.c
PROGRAMS := $(EXAMPLES:%=$(BUILD)/%) $(BUILD)/sleep_resume $(BUILD)/xmpp-tiny
SAN_PROGRAMS := $(EXAMPLES:%=$(BUILD)/san/%) $(BUILD)/san/sleep_resume $(BUILD)/san/xmpp-tiny

# What tests share, besides their headers, is in the other files of tests/.
SHARED := $(patsubst %.c,$(BUILD)/san/%.o,$(filter-out tests/test_%.c tests/conformance.c,$(wildcard tests/*.c)))
SHARED_LIB := $(if $(SHARED),$(BUILD)/san/tests/shared.a)

# Tests of one room include xmpp_tiny.c; the others are linked with its object.
INNER := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c tests/golden/run.c))
OUTER := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/test_*.c tests/conformance.c))
TESTS := $(INNER) $(OUTER)
GOLDEN := $(sort $(wildcard tests/golden/*.txt))

include tests/chip/targets.mk
include tests/lwip/lwip.mk
include tests/loss/loss.mk
include tests/fuzz/fuzz.mk

# Every suite is one word for tools/run-tests.
UNIT_SUITES = $(foreach t,$(filter-out %/golden/run,$(TESTS)),'$(t)') \
    $(if $(wildcard tests/golden/run.c),'$(BUILD)/tests/golden/run $(GOLDEN)')
E2E_SUITES = $(foreach t,chip_link chip chip_hostile chip_chaos chip_sleep,'BUILD=$(BUILD) tests/e2e/$(t).py') \
    $(foreach t,e2e/run e2e/hostile e2e/pledge e2e/modules e2e/sessions e2e/chaos e2e/waits certificates/run, \
    'BUILD=$(BUILD)/san tests/$(t).py')
SCRIPT_SUITES = $(foreach t,$(sort $(wildcard tests/*.sh tests/*.py)),'BUILD=$(BUILD)/san $(t)')
CODE_SUITES = tools/warnings tools/rooms 'tools/size --check' 'tools/size --readme-check README.md' \
    'tools/image --stack --check --readme-check README.md' 'tools/price --check SECURITY.md' \
    'tools/bench --verify' 'tools/symbols $(OBJECTS)' 'tools/format-check $(SOURCES)'

SOURCES = $(wildcard *.[ch] port/*.[ch] examples/*.[ch] examples/*/*.[ch] tests/*.[ch] tests/*/*.[ch] bench/*.[ch])

# ---- Build -------------------------------------------------------------------------------------

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: all
all: $(OBJECTS) $(PROGRAMS) $(BUILD)/brssl ## library object, ports, examples, command line tool, brssl

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo '  compile  $@')
	$(Q)$(COMPILE) $(CFLAGS) -c -o $@ $<

$(BUILD)/san/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo '  compile  $@')
	$(Q)$(COMPILE) $(SANITIZE) -c -o $@ $<

# Nearly everything sees BearSSL's headers, which have to be fetched first.
SEES_BEARSSL := $(patsubst %.c,%.o,$(wildcard port/*.c examples/*.c examples/*/*.c tests/*.c tests/*/*.c))
$(SEES_BEARSSL:%=$(BUILD)/%) $(SEES_BEARSSL:%=$(BUILD)/san/%): | $(BEARSSL_LIB)

$(EXAMPLES:%=$(BUILD)/%): $(BUILD)/%: $(BUILD)/examples/%/main.o $(BUILD)/examples/common.o $(OBJECTS) $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/xmpp-tiny: $(CLI:%.c=$(BUILD)/%.o) $(OBJECTS) $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/sleep_resume: $(SLEEPER:%.c=$(BUILD)/%.o) $(OBJECTS) $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

# The same programs under the sanitizers: what the tests drive.
$(EXAMPLES:%=$(BUILD)/san/%): $(BUILD)/san/%: $(BUILD)/san/examples/%/main.o $(BUILD)/san/examples/common.o \
    $(SAN_OBJECTS) $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^

$(BUILD)/san/xmpp-tiny: $(CLI:%.c=$(BUILD)/san/%.o) $(SAN_OBJECTS) $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^

$(BUILD)/san/sleep_resume: $(SLEEPER:%.c=$(BUILD)/san/%.o) $(SAN_OBJECTS) $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^

$(BUILD)/san/tests/shared.a: $(SHARED)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(INNER): $(BUILD)/%: $(BUILD)/san/%.o $(SHARED_LIB) $(SAN_PORTS) $(BEARSSL_LIB)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^

$(OUTER): $(BUILD)/%: $(BUILD)/san/%.o $(SHARED_LIB) $(SAN_OBJECTS) $(BEARSSL_LIB)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^

# ---- Test --------------------------------------------------------------------------------------

.PHONY: check check-all check-build
check: ## install what is needed, build, run every test; ends in 'N passed, N failed'
	@tools/install check || { echo '0 passed, 1 failed'; exit 1; }
	@$(MAKE) --no-print-directory check-build || { echo '0 passed, 1 failed'; exit 1; }
	@$(MAKE) --no-print-directory check-all
check-build: all $(SAN_PROGRAMS) $(TESTS) $(CHIP_PROGRAMS) $(LWIP_PROGRAMS) $(LOSS_PROGRAMS)
check-all:
	@LWIP=$(LWIP) tools/run-tests -j $(JOBS) $(E2E_SUITES) $(CHIP_SUITES) $(LWIP_SUITES) $(LOSS_SUITES) $(CODE_SUITES) \
	    $(UNIT_SUITES) $(SCRIPT_SUITES)

.PHONY: chip
chip: $(CHIP_PROGRAMS) ## unit and golden tests on other processors alone
	@tools/run-tests -j $(JOBS) $(CHIP_SUITES)

.PHONY: unit
unit: $(TESTS) ## the fast tests alone: rooms, golden sessions, ports; no network beyond loopback
	@tools/run-tests -j $(JOBS) $(UNIT_SUITES)

.PHONY: e2e
e2e: $(SAN_PROGRAMS) $(BUILD)/brssl ## the tests against real servers alone, on the host and on the chip
	@tools/run-tests -j $(JOBS) $(E2E_SUITES)

.PHONY: chaos
chaos: $(PROGRAMS) $(BUILD)/brssl ## 5,000 messages each way while 300 connections break, for each server; takes ten minutes
	@tools/run-tests -j 1 -t 7200 'BUILD=$(BUILD) tests/e2e/chaos.py --full' 'BUILD=$(BUILD) tests/e2e/chip_chaos.py --full'

.PHONY: warnings
warnings: | $(BEARSSL_LIB) ## every file through gcc and clang with all warnings as errors; the header as C++11
	@tools/warnings

.PHONY: symbols
symbols: $(OBJECTS) ## only xmpp_tiny_ is exported, nothing unwelcome is called, no mutable data
	@tools/symbols $(OBJECTS)

# ---- Show and measure --------------------------------------------------------------------------

.PHONY: demo demo-host
demo: ## a sensor on an emulated 64 KiB board logs in to a real server, publishes, answers
	@tools/install demo
	@$(MAKE) --no-print-directory $(BUILD)/brssl
	@tools/demo chip
demo-host: ## the same with a sensor on this machine
	@tools/install host
	@$(MAKE) --no-print-directory $(BUILD)/3-sensor
	@tools/demo host

.PHONY: firmware
firmware: ## the sensor for a board: BOARD=lm3s6965evb SETTINGS=FILE; examples/firmware.mk says what else
	@tools/install chip
	@$(MAKE) --no-print-directory -f examples/firmware.mk

.PHONY: size
size: ## flash, RAM and worst stack of the core, and of the complete firmware by part
	@tools/install check
	@$(MAKE) --no-print-directory $(BUILD)/brssl
	@tools/size
	@tools/image --stack

.PHONY: rooms
rooms: ## calls that go up the floor plan; there must be none
	@tools/rooms

.PHONY: bench bench-chip
bench: ## tokenizer instructions per byte, next to expat
	@tools/install bench
	@tools/bench
bench-chip: ## the firmware's instructions from power-on to online, for each reading and each message
	@tools/install bench
	@$(MAKE) --no-print-directory $(BUILD)/brssl
	@tools/bench-chip

# ---- Keep tidy ---------------------------------------------------------------------------------

.PHONY: format format-check
format: ## lay out all C files
	clang-format -i $(SOURCES)
format-check: ## complain about C files that are not laid out
	@tools/format-check $(SOURCES)

.PHONY: clean
clean: ## remove all that was built or fetched
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
