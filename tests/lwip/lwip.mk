# SPDX-License-Identifier: MIT
#
# The tests of port/lwip, for the Makefile to include after tests/chip/targets.mk. What they are:
# tests/lwip/README.md.
# 'make lwip' builds and runs them; LWIP_PROGRAMS and LWIP_SUITES are for those who run more.

LWIP ?= $(BUILD)/lwip
OBJCOPY ?= objcopy
LWIP_TESTS := $(BUILD)/tests/lwip
LWIP_SEE := -Itests/lwip -isystem $(LWIP)/src/include

# How the near machine's lwIP is built, and which programs run on it; see tests/lwip/lwipopts.h.
LWIP_VARIANTS := pools malloc scale
LWIP_VARIANT_pools :=
LWIP_VARIANT_malloc := -DNEAR_MALLOC
LWIP_VARIANT_scale := -DNEAR_SCALE
LWIP_ALONE := names bytes ends
LWIP_HOST := $(foreach v,$(LWIP_VARIANTS),$(patsubst %,$(LWIP_TESTS)/$(v)/test_%,$(LWIP_ALONE) conformance))
LWIP_CHIPS := cortex-m3 powerpc
LWIP_CHIP_PROGRAMS := $(foreach t,$(LWIP_CHIPS),$(LWIP_ALONE:%=$(LWIP_TESTS)/$(t)/test_%))

LWIP_PROGRAMS := $(LWIP_HOST) $(LWIP_CHIP_PROGRAMS) $(LWIP_TESTS)/tasks/test_tasks
LWIP_SUITES = $(LWIP_HOST:%='%') 'tests/lwip/steady $(LWIP_TESTS)/tasks/test_tasks' tests/lwip/warnings \
    $(foreach t,$(LWIP_CHIPS),$(LWIP_ALONE:%='tests/chip/run $(t) $(LWIP_TESTS)/$(t)/test_%'))

.PHONY: lwip
lwip: $(LWIP_PROGRAMS) ## the tests of port/lwip alone: two machines on a simulated wire, and tasks
	@LWIP=$(LWIP) tools/run-tests -j $(JOBS) $(LWIP_SUITES)

# The firmware's makefile fetches lwIP, for the first processor that tests/chip/targets.mk builds for.
$(LWIP)/src/include/lwip/init.h: | $(BUILD)/cpu/cortex-m3/libbearssl.a
	@test -e $@ || tools/fetch lwip $(LWIP)

# $1 folder, $2 where its lwipopts.h is and what it defines, $3 how to compile, $4 prefix of a cross compiler
LWIP_ARCHIVE = +$(Q)$(MAKE) -s --no-print-directory -f port/lwip.mk LWIP_INNER=1 LWIP=$(LWIP) LWIP_OUT=$1 \
    LWIP_CPPFLAGS='$2 -Itests/lwip' LWIP_CFLAGS='$3' CC='$(if $4,$4gcc,$(CC))' AR='$(if $4,$4ar,$(AR))' archive

# Like the Makefile's COMPILE, with lwIP's headers. $1: the variant's.
LWIP_COMPILE_TEST = $(CC) -std=c99 -DXMPP_TINY_ENABLE_NAMES=2 $(WARNINGS) $(LWIP_SEE) $(INCLUDES) $1 -MD -MP

# The far machine, in one object that shows nothing but far_*. $1 folder, $2 how to compile, $3 prefix
define LWIP_FAR
$1/far/liblwip.a: $(LWIP)/src/include/lwip/init.h tests/lwip/far/lwipopts.h tests/lwip/arch/cc.h
	$(call LWIP_ARCHIVE,$1/far,-Itests/lwip/far,$2,$3)
$1/far/far.o: tests/lwip/far.c $1/far/liblwip.a
	$(Q)$(if $3,$3gcc,$(CC)) -std=c99 $(WARNINGS) -Itests/lwip/far $(LWIP_SEE) $2 -MD -MP -c -o $$@ $$<
$1/far.o: $1/far/far.o $1/far/liblwip.a
	$(Q)$(if $3,$3gcc,$(CC)) $2 -nostdlib -r -o $1/far/whole.o $1/far/far.o -Wl,--whole-archive $1/far/liblwip.a
	$(Q)$(if $3,$3objcopy,$(OBJCOPY)) -w --keep-global-symbol='far_*' $1/far/whole.o $$@
endef
$(eval $(call LWIP_FAR,$(LWIP_TESTS),$(SANITIZE)))

# $1: variant
define LWIP_NEAR
$(LWIP_TESTS)/$1/liblwip.a: $(LWIP)/src/include/lwip/init.h tests/lwip/lwipopts.h tests/lwip/arch/cc.h
	$(call LWIP_ARCHIVE,$(LWIP_TESTS)/$1,$(LWIP_VARIANT_$1),$(SANITIZE))
$(LWIP_TESTS)/$1/%.o: tests/lwip/%.c | $(LWIP_TESTS)/$1/liblwip.a $(BEARSSL_LIB)
	$(if $(V),,@echo '  compile  $$@')
	$(Q)$(call LWIP_COMPILE_TEST,$(LWIP_VARIANT_$1)) $(SANITIZE) -c -o $$@ $$<
$(LWIP_TESTS)/$1/port.o: port/lwip.c | $(LWIP_TESTS)/$1/liblwip.a
	$(if $(V),,@echo '  compile  $$@')
	$(Q)$(call LWIP_COMPILE_TEST,$(LWIP_VARIANT_$1)) $(SANITIZE) -c -o $$@ $$<
LWIP_WORLD_$1 := $(addprefix $(LWIP_TESTS)/$1/,port.o near.o wire.o) $(LWIP_TESTS)/far.o
$(LWIP_ALONE:%=$(LWIP_TESTS)/$1/test_%): $(LWIP_TESTS)/$1/%: $(LWIP_TESTS)/$1/%.o \
    $$(LWIP_WORLD_$1) $(BUILD)/san/xmpp_tiny.o $(LWIP_TESTS)/$1/liblwip.a
	$(if $(V),,@echo '  link     $$@')
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $$@ $$^
$(LWIP_TESTS)/$1/test_conformance: $(LWIP_TESTS)/$1/test_conformance.o $(LWIP_TESTS)/$1/bridge.o \
    $$(LWIP_WORLD_$1) $(SHARED_LIB) $(SAN_OBJECTS) $(LWIP_TESTS)/$1/liblwip.a $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $$@')
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $$@ $$^
endef
$(foreach v,$(LWIP_VARIANTS),$(eval $(call LWIP_NEAR,$v)))

# ---- On other processors: the targets of tests/chip/targets.mk ---------------------------------------

# $1: target
define LWIP_CHIP
$(call LWIP_FAR,$(LWIP_TESTS)/$1,$(CHIP_FLAGS_$1) $(CHIP_CFLAGS),$(CHIP_CROSS_$1))
$(LWIP_TESTS)/$1/liblwip.a: $(LWIP)/src/include/lwip/init.h tests/lwip/lwipopts.h tests/lwip/arch/cc.h
	$(call LWIP_ARCHIVE,$(LWIP_TESTS)/$1,,$(CHIP_FLAGS_$1) $(CHIP_CFLAGS),$(CHIP_CROSS_$1))
$(LWIP_TESTS)/$1/%.o: tests/lwip/%.c | $(LWIP_TESTS)/$1/liblwip.a
	$(if $(V),,@echo '  compile  $$@')
	$(Q)$(LWIP_CHIP_COMPILE) -c -o $$@ $$<
$(LWIP_TESTS)/$1/port.o: port/lwip.c
$(LWIP_TESTS)/$1/xmpp_tiny.o: xmpp_tiny.c
$(LWIP_TESTS)/$1/port.o $(LWIP_TESTS)/$1/xmpp_tiny.o: | $(LWIP_TESTS)/$1/liblwip.a
	$(if $(V),,@echo '  compile  $$@')
	$(Q)$(LWIP_CHIP_COMPILE) -c -o $$@ $$<
$(LWIP_ALONE:%=$(LWIP_TESTS)/$1/test_%): $(LWIP_TESTS)/$1/%: $(LWIP_TESTS)/$1/%.o \
    $(addprefix $(LWIP_TESTS)/$1/,port.o near.o wire.o xmpp_tiny.o far.o liblwip.a) $(CHIP_OBJECTS_$1:%=$(BUILD)/chip/$1/%.o)
	$(if $(V),,@echo '  link     $$@')
	$(Q)$(CHIP_CROSS_$1)gcc $(CHIP_FLAGS_$1) $(CHIP_CFLAGS) -Wl,--gc-sections $(CHIP_LINK_$1) -o $$@ $$^
endef
LWIP_CHIP_COMPILE = $(CHIP_CROSS_$1)gcc $(CHIP_FLAGS_$1) $(CHIP_CFLAGS) -std=c99 -DXMPP_TINY_ENABLE_NAMES=2 $(WARNINGS) \
    -Werror $(LWIP_SEE) $(INCLUDES) -MD -MP
$(foreach t,$(LWIP_CHIPS),$(eval $(call LWIP_CHIP,$t)))

# ---- With tasks: everything under another sanitizer, and lwIP's thread from its own sources ----------

LWIP_TASKS := $(LWIP_TESTS)/tasks
LWIP_THREADS := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
LWIP_TASKS_COMPILE = $(call LWIP_COMPILE_TEST,-DNEAR_TASKS -isystem $(LWIP)/port/include) $(LWIP_THREADS)
LWIP_TASKS_OBJECTS := $(patsubst %,$(LWIP_TASKS)/%.o,port test_tasks bridge wire port_peer port_checker xmpp_tiny \
    $(notdir $(basename $(wildcard port/bearssl*.c))))
$(eval $(call LWIP_FAR,$(LWIP_TASKS),$(LWIP_THREADS)))

$(LWIP_TASKS)/liblwip.a: $(LWIP)/src/include/lwip/init.h tests/lwip/lwipopts.h tests/lwip/arch/cc.h
	$(call LWIP_ARCHIVE,$(LWIP_TASKS),-DNEAR_TASKS -isystem $(LWIP)/port/include,$(LWIP_THREADS))

define LWIP_TASKS_FROM
$(LWIP_TASKS)/%.o: $1%.c | $(LWIP_TASKS)/liblwip.a $(BEARSSL_LIB)
	$(if $(V),,@echo '  compile  $$@')
	$(Q)$(LWIP_TASKS_COMPILE) -c -o $$@ $$<
endef
$(foreach d,tests/lwip/ tests/ port/,$(eval $(call LWIP_TASKS_FROM,$d)))
$(LWIP_TASKS)/xmpp_tiny.o: xmpp_tiny.c
$(LWIP_TASKS)/port.o: port/lwip.c
$(LWIP_TASKS)/xmpp_tiny.o $(LWIP_TASKS)/port.o: | $(LWIP_TASKS)/liblwip.a
	$(if $(V),,@echo '  compile  $@')
	$(Q)$(LWIP_TASKS_COMPILE) -c -o $@ $<

# Debian's file on threads; test_tasks.c has short locks of its own.
LWIP_TASKS_INNER = $(CC) $(LWIP_THREADS) -w $(LWIP_SEE) -isystem $(LWIP)/port/include -DNEAR_TASKS
$(LWIP_TASKS)/sys_arch.o: $(LWIP_TASKS)/liblwip.a
	$(Q)$(LWIP_TASKS_INNER) -Dsys_arch_protect=not_this_protect -Dsys_arch_unprotect=not_this_unprotect \
	    -c -o $@ $(LWIP)/port/sys_arch.c
$(LWIP_TASKS)/tcpip.o: $(LWIP_TASKS)/liblwip.a
	$(Q)$(LWIP_TASKS_INNER) -c -o $@ $(LWIP)/src/api/tcpip.c

$(LWIP_TASKS)/test_tasks: $(LWIP_TASKS_OBJECTS) $(LWIP_TASKS)/far.o $(LWIP_TASKS)/sys_arch.o $(LWIP_TASKS)/tcpip.o \
    $(LWIP_TASKS)/liblwip.a $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(LWIP_THREADS) $(LDFLAGS) -o $@ $^ -lpthread
