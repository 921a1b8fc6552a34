# SPDX-License-Identifier: MIT
#
# BearSSL for port/bearssl: include this after BUILD, CC and BEARSSL are set.
# Gives BEARSSL_CPPFLAGS, $(BUILD)/libbearssl.a and, for hosts, $(BUILD)/brssl: BearSSL's command line
# tool, whose `brssl ta FILE` makes C of certificates. BEARSSL=DIR names a source tree of your own; one of
# the default names is fetched when it is missing.

BUILD ?= build
BEARSSL ?= $(BUILD)/bearssl
BEARSSL_CFLAGS ?= -Os -ffunction-sections -fdata-sections
BEARSSL_CPPFLAGS := -isystem $(BEARSSL)/inc

ifndef BEARSSL_INNER

# The list of sources is only known once they are there: hence a second make.
$(BUILD)/libbearssl.a: $(BEARSSL)/inc/bearssl.h port/bearssl.mk
	@echo "  BearSSL  $@"
	@+$(MAKE) -s --no-print-directory -f port/bearssl.mk BEARSSL_INNER=1 \
	    BUILD='$(BUILD)' CC='$(CC)' AR='$(AR)' BEARSSL='$(BEARSSL)' BEARSSL_CFLAGS='$(BEARSSL_CFLAGS)' archive

$(BUILD)/brssl: $(BUILD)/libbearssl.a
	@echo "  BearSSL  $@"
	@$(CC) -O1 -w -I$(BEARSSL)/inc -o $@ $(BEARSSL)/tools/*.c $(BUILD)/libbearssl.a

$(BEARSSL)/inc/bearssl.h:
ifneq ($(filter build/bearssl $(BUILD)/bearssl,$(BEARSSL)),)
	@echo "  fetch    $(BEARSSL)"
	@tools/fetch bearssl $(BEARSSL)
else
	@echo "BEARSSL=$(BEARSSL) holds no BearSSL source tree: inc/bearssl.h is missing" >&2; exit 1
endif

else

BEARSSL_SOURCES := $(wildcard $(BEARSSL)/src/*.c $(BEARSSL)/src/*/*.c)
# Without an operating system there is no clock and no /dev/urandom for BearSSL to look for; but some C
# libraries claim to be POSIX, and BearSSL's look at the clock links them with it.
BEARSSL_BARE := $(if $(filter __unix__ __APPLE__,$(shell $(CC) -dM -E - </dev/null)),,-DBR_USE_UNIX_TIME=0 -DBR_USE_URANDOM=0)
BEARSSL_OBJECTS := $(BEARSSL_SOURCES:$(BEARSSL)/src/%.c=$(BUILD)/bearssl.o/%.o)

.PHONY: archive
archive: $(BEARSSL_OBJECTS)
	rm -f $(BUILD)/libbearssl.a
	$(AR) rcs $(BUILD)/libbearssl.a $(BEARSSL_OBJECTS)

$(BUILD)/bearssl.o/%.o: $(BEARSSL)/src/%.c port/bearssl.mk
	@mkdir -p $(@D)
	$(CC) $(BEARSSL_CFLAGS) $(BEARSSL_BARE) -I$(BEARSSL)/src -I$(BEARSSL)/inc -w -c -o $@ $<

endif
