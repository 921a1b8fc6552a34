# SPDX-License-Identifier: MIT
#
# lwIP for port/lwip: include this after BUILD, CC, AR and what follows are set.
#
#   LWIP           its source tree; the default name is fetched when it is missing
#   LWIP_CPPFLAGS  where lwipopts.h and arch/cc.h are (-I), and what they want to have defined
#   LWIP_CFLAGS    how to compile
#   LWIP_OUT       where the archive and its objects go (BUILD)
#
# Gives $(LWIP_OUT)/liblwip.a: TCP/IP and Ethernet, without sockets and applications; the linker takes
# what is used. LWIP_INCLUDES is for those who include lwIP's headers. The archive follows changes
# of lwipopts.h and of the flags.

BUILD ?= build
LWIP ?= $(BUILD)/lwip
LWIP_OUT ?= $(BUILD)
LWIP_CFLAGS ?= -Os -ffunction-sections -fdata-sections
LWIP_INCLUDES := -isystem $(LWIP)/src/include $(LWIP_CPPFLAGS)

ifndef LWIP_INNER

export LWIP LWIP_OUT LWIP_CPPFLAGS LWIP_CFLAGS

# The list of sources is only known once they are there: hence a second make.
$(LWIP_OUT)/liblwip.a: $(LWIP)/src/include/lwip/init.h port/lwip.mk lwip-look
	@+$(MAKE) -s --no-print-directory -f port/lwip.mk LWIP_INNER=1 CC='$(CC)' AR='$(AR)' archive

.PHONY: lwip-look
lwip-look:

$(LWIP)/src/include/lwip/init.h:
ifneq ($(filter build/lwip $(BUILD)/lwip,$(LWIP)),)
	@echo "  fetch    $(LWIP)"
	@tools/fetch lwip $(LWIP)
else
	@echo "LWIP=$(LWIP) holds no lwIP source tree: src/include/lwip/init.h is missing" >&2; exit 1
endif

else

LWIP_SOURCES := $(wildcard $(LWIP)/src/core/*.c $(LWIP)/src/core/ipv4/*.c $(LWIP)/src/core/ipv6/*.c) \
    $(LWIP)/src/netif/ethernet.c
LWIP_OBJECTS := $(LWIP_SOURCES:$(LWIP)/src/%.c=$(LWIP_OUT)/lwip.o/%.o)
# Not -MMD: what system headers include, such as lwipopts.h, counts.
LWIP_COMPILE = $(CC) $(LWIP_CFLAGS) $(LWIP_INCLUDES) -w

.PHONY: archive lwip-look
archive: $(LWIP_OUT)/liblwip.a
lwip-look:

$(LWIP_OUT)/liblwip.a: $(LWIP_OBJECTS)
	@echo "  lwIP     $@"
	rm -f $@
	$(AR) rcs $@ $(LWIP_OBJECTS)

$(LWIP_OUT)/lwip.o/%.o: $(LWIP)/src/%.c $(LWIP_OUT)/lwip.o/flags port/lwip.mk
	@mkdir -p $(@D)
	$(LWIP_COMPILE) -MD -MP -c -o $@ $<

# Holds the command that the objects were made with, and is as old as its last change.
$(LWIP_OUT)/lwip.o/flags: lwip-look
	@mkdir -p $(@D)
	printf '%s\n' '$(subst ','\'',$(LWIP_COMPILE))' | cmp -s - $@ || \
	    printf '%s\n' '$(subst ','\'',$(LWIP_COMPILE))' >$@

-include $(LWIP_OBJECTS:.o=.d)

endif
