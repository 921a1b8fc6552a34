# SPDX-License-Identifier: MIT
#
# Fuzzing, for the Makefile to include. What it is: tests/fuzz/README.md. Wants clang with its sanitizers, and to show
# what was covered, llvm. No part of 'make check': what it finds depends on how long it looks.

FUZZ_SECONDS ?= 60
FUZZ_CC ?= clang
FUZZ_CORPUS ?= $(BUILD)/fuzz/corpus
FUZZ_LLVM := $(if $(shell command -v llvm-cov),,-14)
FUZZ_COMPILE = $(FUZZ_CC) -std=c99 -DXMPP_TINY_ENABLE_NAMES=2 -I. -g -O1 -fno-sanitize-recover=all

.PHONY: fuzz
fuzz: $(BUILD)/fuzz/sessions $(BUILD)/fuzz/covered ## fuzzing for FUZZ_SECONDS; prints runs and coverage
	@mkdir -p $(FUZZ_CORPUS)
	@$(BUILD)/fuzz/sessions -max_total_time=$(FUZZ_SECONDS) -max_len=400 -timeout=10 -print_final_stats=1 \
	    -artifact_prefix=$(BUILD)/fuzz/ $(FUZZ_CORPUS) >$(BUILD)/fuzz/log 2>&1; status=$$?; \
	    grep -a -e 'sessions.c:[0-9]*: ' -e 'SUMMARY' -e 'Test unit' -e number_of_executed -e peak_rss $(BUILD)/fuzz/log; \
	    exit $$status
	@LLVM_PROFILE_FILE=$(BUILD)/fuzz/raw $(BUILD)/fuzz/covered -runs=0 $(FUZZ_CORPUS) >/dev/null 2>&1
	@llvm-profdata$(FUZZ_LLVM) merge -o $(BUILD)/fuzz/profile $(BUILD)/fuzz/raw
	@llvm-cov$(FUZZ_LLVM) report -instr-profile=$(BUILD)/fuzz/profile $(BUILD)/fuzz/covered xmpp_tiny.c | \
	    awk '/^TOTAL/ { print "covered: " $$10 " of the lines, " $$13 " of the branches" }'

$(BUILD)/fuzz/sessions: tests/fuzz/sessions.c xmpp_tiny.c xmpp_tiny.h
	@mkdir -p $(@D)
	$(if $(V),,@echo '  fuzz     $@')
	$(Q)$(FUZZ_COMPILE) -fsanitize=fuzzer,address,undefined -o $@ tests/fuzz/sessions.c xmpp_tiny.c
$(BUILD)/fuzz/covered: tests/fuzz/sessions.c xmpp_tiny.c xmpp_tiny.h
	@mkdir -p $(@D)
	$(if $(V),,@echo '  fuzz     $@')
	$(Q)$(FUZZ_COMPILE) -fsanitize=fuzzer -fprofile-instr-generate -fcoverage-mapping -o $@ tests/fuzz/sessions.c \
	    xmpp_tiny.c
