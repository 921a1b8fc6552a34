#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs tests/chip/test_mpu.c as firmware on the board that has guards.

set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
build=${build%/san} # not that of the sanitizers: all firmware is built beside it, with the same libraries
out=$build/chip/mpu
board() {
    env -u CC -u WARNINGS -u INCLUDES make -s -f examples/firmware.mk BUILD="$build" BOARD=mps2-an385 \
        APP=tests/chip/test_mpu.c OUT="$out" "$@"
}
board && qemu=$(board print-qemu) || {
    echo "0 passed, 1 failed"
    exit 1
}
# shellcheck disable=SC2086
timeout 60 $qemu -monitor none -serial stdio -netdev user,id=n0 -kernel "$out/firmware.elf" </dev/null
