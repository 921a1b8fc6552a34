# SPDX-License-Identifier: MIT
#
# Link-loss tests, for the Makefile to include. What they are: tests/loss/README.md.
# 'make check' plays all single faults of the scenarios, and cuts the golden sessions at each place in one way; a share
# of both under the sanitizers. 'make loss' cuts in all ways, 'make loss-pairs' plays a share of all pairs: every
# LOSS_STEP-th. LOSS_PROGRAMS and LOSS_SUITES are for those who run more.

LOSS_STEP ?= 4001
LOSS_PARTS := tests/loss/test_loss tests/loss/world tests/loss/server
LOSS_PROGRAMS := $(foreach t,test_loss test_golden,$(BUILD)/tests/loss/$t $(BUILD)/san/tests/loss/$t)

# Primes, since what a scenario does repeats itself.
LOSS_SUITES = '$(BUILD)/tests/loss/test_loss 0/2' '$(BUILD)/tests/loss/test_loss 1/2' \
    '$(BUILD)/san/tests/loss/test_loss -t 61' '$(BUILD)/tests/loss/test_golden $(GOLDEN)' \
    '$(BUILD)/san/tests/loss/test_golden -t 61 $(GOLDEN)'
LOSS_ALL = '$(BUILD)/tests/loss/test_loss 0/2' '$(BUILD)/tests/loss/test_loss 1/2' \
    '$(BUILD)/san/tests/loss/test_loss -t 17' '$(BUILD)/tests/loss/test_golden -a 0/2 $(GOLDEN)' \
    '$(BUILD)/tests/loss/test_golden -a 1/2 $(GOLDEN)' '$(BUILD)/san/tests/loss/test_golden -t 7 $(GOLDEN)'

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

# The player of golden sessions includes the core.
LOSS_GOLDEN := tests/loss/test_golden tests/loss/world tests/loss/server
$(BUILD)/tests/loss/test_golden: $(LOSS_GOLDEN:%=$(BUILD)/%.o) $(filter-out %/xmpp_tiny.o,$(OBJECTS)) $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/san/tests/loss/test_golden: $(LOSS_GOLDEN:%=$(BUILD)/san/%.o) $(SAN_PORTS) $(BEARSSL_LIB)
	$(if $(V),,@echo '  link     $@')
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^
