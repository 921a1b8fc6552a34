# SPDX-License-Identifier: MIT
#
# The sleeper for one board, built from the top of the repository; examples/firmware.mk tells what can be chosen.
#
#   make -f examples/sleep_resume/board.mk SETTINGS=mine/settings.h run

BUILD ?= build
BOARD ?= lm3s6965evb
OUT ?= $(BUILD)/firmware/$(BOARD)-sleep_resume

# lwIP's options and the choice of algorithms are the firmware's, and so is what joins lwIP to a board.
APP_DIR := examples/4-firmware
APP := $(addprefix examples/sleep_resume/,main.c report.c retained.c counter.c board.c) \
    $(addprefix $(APP_DIR)/,network.c platform.c)

include examples/firmware.mk
