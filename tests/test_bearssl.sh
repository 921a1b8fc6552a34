#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The switches of port/bearssl.h: what is left out is not linked and not agreed on, what is in works, and
# wrong values are told with the remedy.

set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
cc=${CC:-gcc}
bearssl=${BEARSSL:-build/bearssl}
library=$build/libbearssl.a
[ -e "$library" ] || library=$(dirname "$build")/libbearssl.a # BUILD may be that of the sanitizers
passed=0 failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# what command...: one test
try() {
    what=$1
    shift
    if "$@" >"$dir/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "---- $what"
        cat "$dir/out"
    fi
}

compile() {
    "$cc" -std=c99 -I. -I"$dir" -isystem "$bearssl/inc" "$@"
}

# ---- What is linked

cat >"$dir/main.c" <<'C'
#include "port/bearssl.h"

struct xmpp_tiny_bearssl stream;

int main(void)
{
    xmpp_tiny_bearssl_crypto.hash(XMPP_TINY_SHA256, 0, 0, 0);
    return xmpp_tiny_bearssl_init(&stream, 0);
}
C
link() {
    compile -Os -ffunction-sections -fdata-sections -Wl,--gc-sections "$@" -o "$dir/linked" "$dir/main.c" \
        port/bearssl.c port/bearssl_crypto.c port/bearssl_leaf.c port/bearssl_profile.c "$library" &&
        nm "$dir/linked" >"$dir/symbols"
}
has() {
    grep -q " br_[a-z0-9_]*\($1\)" "$dir/symbols"
}
lacks() {
    ! grep " br_[a-z0-9_]*\($1\)" "$dir/symbols"
}

try "links as it is" link
for part in 'chacha20_\|poly1305' 'aes_\|ghash' ecdsa rsa 'sha384\|sha512' ec_prime c25519 'p256_m\|c25519_m' '[im]31'; do
    try "by default there is $part" has "$part"
done

# SYMBOLS FLAGS...: without them in the program, the rest of the choice works
without() {
    symbols=$1
    shift
    try "links with $*" link "$@"
    try "$*: no $symbols" lacks "$symbols"
    try "$*: compiles" compile -O0 -Itests "$@" -o "$dir/test_ports" tests/test_ports.c port/posix.c \
        port/bearssl*.c xmpp_tiny.c "$library"
    try "$*: works" "$dir/test_ports" choice
}
on=-DXMPP_TINY_BEARSSL_ENABLE_
without 'chacha20_\|poly1305' "${on}CHACHA20=0"
without 'aes_\|ghash' "${on}AES=0"
without ecdsa "${on}ECDSA=0"
without 'rsa_' "${on}RSA=0" -DXMPP_TINY_ENABLE_NAMES=0
without 'sha384\|sha512\|sha2big' "${on}SHA384=0" -DXMPP_TINY_ENABLE_SHA512=0
without ec_prime "${on}P384=0" -DXMPP_TINY_ENABLE_NAMES=2
without c25519 "${on}X25519=0"
without 'p256_m\|c25519_m' "${on}FAST_EC=0"
without '[im]31' -DXMPP_TINY_BEARSSL_I15=1
without '[im]31\|p256_m\|c25519\|sha384\|sha512\|ghash\|aes_\|rsa_' -DXMPP_TINY_BEARSSL_I15=1 "${on}FAST_EC=0" \
    "${on}P384=0" "${on}X25519=0" "${on}SHA384=0" -DXMPP_TINY_ENABLE_SHA512=0 "${on}AES=0" "${on}RSA=0"

# A configuration file has its say before the defaults.
echo '#define XMPP_TINY_BEARSSL_ENABLE_AES 0' >"$dir/config.h"
try "links with a configuration file" link '-DXMPP_TINY_CONFIG_FILE="config.h"'
try "the configuration file counts" lacks 'aes_\|ghash'

# ---- What is refused

# TEXT FLAGS...: an #error with that text
refused() {
    text=$1
    shift
    compile -fsyntax-only "$@" port/bearssl_profile.c >"$dir/refused" 2>&1 && return 1
    grep -F "#error \"$text" "$dir/refused" || { cat "$dir/refused"; false; }
}
for switch in I15 $(sed -n 's/^#ifndef XMPP_TINY_BEARSSL_\(ENABLE_[A-Z0-9_]*\).*/\1/p' port/bearssl.h); do
    for value in 2 -1; do
        try "$switch=$value" refused "XMPP_TINY_BEARSSL_$switch must be 0 or 1" "-DXMPP_TINY_BEARSSL_$switch=$value"
    done
done
try "no cipher" refused "TLS needs a cipher: set XMPP_TINY_BEARSSL_ENABLE_CHACHA20 or" "${on}CHACHA20=0" "${on}AES=0"
try "no keys" refused "servers need keys: set XMPP_TINY_BEARSSL_ENABLE_ECDSA or" "${on}ECDSA=0" "${on}RSA=0"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
