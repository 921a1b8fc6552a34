#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The switches of port/bearssl.h: what is left out is not linked and not agreed on, what is in works, and
# wrong values are told with the remedy. And a profile that is put in the place of port/bearssl_profile.c: it
# may allow less, but not more.

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
    works "$@"
}
works() {
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

works -DXMPP_TINY_BEARSSL_NAME_MAX=0
works -DXMPP_TINY_BEARSSL_NAME_MAX=255

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
for value in -1 256; do
    try "NAME_MAX=$value" refused "XMPP_TINY_BEARSSL_NAME_MAX must be 0..255" "-DXMPP_TINY_BEARSSL_NAME_MAX=$value"
done
for switch in I15 $(sed -n 's/^#ifndef XMPP_TINY_BEARSSL_\(ENABLE_[A-Z0-9_]*\).*/\1/p' port/bearssl.h); do
    for value in 2 -1; do
        try "$switch=$value" refused "XMPP_TINY_BEARSSL_$switch must be 0 or 1" "-DXMPP_TINY_BEARSSL_$switch=$value"
    done
done
try "no cipher" refused "TLS needs a cipher: set XMPP_TINY_BEARSSL_ENABLE_CHACHA20 or" "${on}CHACHA20=0" "${on}AES=0"
try "no keys" refused "servers need keys: set XMPP_TINY_BEARSSL_ENABLE_ECDSA or" "${on}ECDSA=0" "${on}RSA=0"

# ---- A profile of one's own

cat >"$dir/profile.c" <<'C'
#include "port/bearssl.h"

#include <string.h>

void as_it_is(br_ssl_client_context *client, br_x509_minimal_context *x509);

static unsigned sent;
static int open_(struct xmpp_tiny_stream *s, struct xmpp_tiny_str host, uint16_t port)
{
    (void)s, (void)host, (void)port;
    return 1;
}
static int read_(struct xmpp_tiny_stream *s, void *buf, size_t len)
{
    (void)s, (void)buf, (void)len;
    return XMPP_TINY_IO_AGAIN;
}
static int write_(struct xmpp_tiny_stream *s, const void *buf, size_t len)
{
    (void)s, (void)buf;
    sent += (unsigned)len;
    return (int)len;
}
static const struct xmpp_tiny_stream_ops inner_ops = {.open = open_, .read = read_, .write = write_};
static struct xmpp_tiny_stream inner = {&inner_ops};
static bool random_(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    memset(buf, 1, len);
    return true;
}

void xmpp_tiny_bearssl_profile(br_ssl_client_context *client, br_x509_minimal_context *x509)
{
    static const uint16_t suites[] = {BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, SUITE};
    as_it_is(client, x509);
    br_ssl_engine_set_suites(&client->eng, suites, 2);
    CHANGE;
}

/* 0: begun; 1: refused before anything was sent. */
int main(void)
{
    static struct xmpp_tiny_bearssl tls;
    static unsigned char in[XMPP_TINY_BEARSSL_IN_MIN];
    static const struct xmpp_tiny_platform platform = {.random = random_};
    static const struct xmpp_tiny_bearssl_config config = {
        .inner = &inner, .platform = &platform, .first_use = true, .time_floor = 1, .in = in, .in_size = sizeof in};
    const char *detail;
    int result;
    if (xmpp_tiny_bearssl_init(&tls, &config) < 0 ||
        tls.stream.ops->open(&tls.stream, xmpp_tiny_str("a.test"), 1) < 0)
        return 2;
    result = tls.stream.ops->secure(&tls.stream, xmpp_tiny_str("a.test"));
    if (result == XMPP_TINY_IO_AGAIN)
        return sent > 0 ? 0 : 3;
    return tls.stream.ops->error(&tls.stream, &detail) == XMPP_TINY_ERR_BUG && sent == 0 &&
                   strncmp(detail, "xmpp_tiny_bearssl_profile() allows more than TLS 1.2", 52) == 0
               ? 1 : 4;
}
C
# What does not change is compiled once.
parts() {
    compile -c -Dxmpp_tiny_bearssl_profile=as_it_is -o "$dir/as_it_is.o" port/bearssl_profile.c || return 1
    for file in port/bearssl port/bearssl_crypto port/bearssl_leaf xmpp_tiny; do
        compile -c -DXMPP_TINY_ENABLE_NAMES=2 -o "$dir/part_${file##*/}.o" $file.c || return 1
    done
}
try "the rest of a program with a profile of its own" parts
# WANTED SUITE CHANGE: the exit status with such a profile
profile() {
    compile -DXMPP_TINY_ENABLE_NAMES=2 -DSUITE="$2" -DCHANGE="$3" -o "$dir/profile" "$dir/profile.c" \
        "$dir/as_it_is.o" "$dir"/part_*.o "$library" || return 1
    "$dir/profile"
    [ $? -eq "$1" ]
}
good=BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
try "a profile with fewer suites" profile 0 $good "(void)0"
try "a profile with longer RSA keys" profile 0 $good "br_x509_minimal_set_minrsa(x509, 384)"
try "a profile without RSA" profile 0 $good "x509->irsa = NULL, br_x509_minimal_set_minrsa(x509, 128)"
try "a profile without SHA-256 in certificates" profile 0 $good "br_x509_minimal_set_hash(x509, br_sha256_ID, NULL)"
for suite in BR_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 BR_TLS_RSA_WITH_AES_128_GCM_SHA256 \
    BR_TLS_ECDH_RSA_WITH_AES_128_GCM_SHA256 BR_TLS_RSA_WITH_3DES_EDE_CBC_SHA BR_TLS_NULL_WITH_NULL_NULL \
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_CCM; do
    try "a profile with $suite" profile 1 $suite "(void)0"
done
for change in "br_ssl_engine_set_versions(&client->eng, BR_TLS11, BR_TLS12)" \
    "br_ssl_engine_set_versions(&client->eng, BR_TLS10, BR_TLS10)" \
    "br_ssl_engine_set_versions(&client->eng, BR_TLS12, 0x0304)" \
    "br_ssl_engine_set_hash(&client->eng, br_sha1_ID, &br_sha1_vtable)" \
    "br_ssl_engine_set_hash(&client->eng, br_md5_ID, &br_md5_vtable)" \
    "br_x509_minimal_set_hash(x509, br_sha1_ID, &br_sha1_vtable)" \
    "br_x509_minimal_set_hash(x509, br_md5_ID, &br_md5_vtable)" \
    "br_x509_minimal_set_minrsa(x509, 255)"; do
    try "a profile that says $change" profile 1 $good "$change"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
