# SPDX-License-Identifier: MIT
#
# Link-loss tests, for the Makefile to include. What they are: tests/loss/README.md.
# 'make check' plays a share of all single faults, 'make loss' all, 'make loss-pairs' a share of all pairs: every
# LOSS_STEP-th. LOSS_PROGRAMS and LOSS_SUITES are for those who run more.

LOSS_STEP ?= 4001
LOSS_PARTS := tests/loss/test_loss tests/loss/world tests/loss/server
LOSS_PROGRAMS := $(BUILD)/tests/loss/test_loss $(BUILD)/san/tests/loss/test_loss

# Primes, since what a scenario does repeats itself.
LOSS_SUITES = '$(BUILD)/tests/loss/test_loss -t 5' '$(BUILD)/san/tests/loss/test_loss -t 61'
LOSS_ALL = '$(BUILD)/tests/loss/test_loss 0/2' '$(BUILD)/tests/loss/test_loss 1/2' \
    '$(BUILD)/san/tests/loss/test_loss -t 17'

.PHONY: loss loss-pairs
loss: $(LOSS_PROGRAMS) ## link-loss tests alone: the connection is cut at every byte, power fails at every event
	@tools/run-tests -j $(JOBS) $(LOSS_ALL)
loss-pairs: $(LOSS_PROGRAMS) ## two such faults in a run; takes some minutes
	@tools/run-tests -j $(JOBS) -t 7200 '$(BUILD)/tests/loss/test_loss -p $(LOSS_STEP) 0/2' \
	    '$(BUILD)/tests/loss/test_loss -p $(LOSS_STEP) 1/2'

$(BUILD)/tests/loss/test_loss: $(LOSS_PARTS:%=$(BUILD)/%.o) $(OBJECTS) $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/san/tests/loss/test_loss: $(LOSS_PARTS:%=$(BUILD)/san/%.o) $(SAN_OBJECTS) $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^
