#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What README.md and its kin say is so: the example compiles without a warning and is short, names,
# targets, files and options exist, examples are as short as promised.

set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
cc=${CC:-gcc}
bearssl=${BEARSSL:-build/bearssl}
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

at_most() {
    [ "$1" -le "$2" ] || { echo "$1 lines, at most $2 are promised"; false; }
}

# A fixed string in one of the files.
found() {
    text=$1
    shift
    grep -qF -e "$text" "$@"
}

# The example, with an anchors.h as brssl makes it: no #include, arrays and a macro.
sed -n '/<!-- example -->/,/<!-- \/example -->/p' README.md | sed '/^<!--/d; /^```/d' >"$dir/example.c"
mkdir "$dir/anchors" # whose warnings are not the example's
cat >"$dir/anchors/anchors.h" <<'END'
static const unsigned char TA0_DN[] = {
	0x30, 0x00
};

static const unsigned char TA0_EC_Q[] = {
	0x04, 0x00
};

static const br_x509_trust_anchor TAs[1] = {
	{
		{ (unsigned char *)TA0_DN, sizeof TA0_DN },
		BR_X509_TA_CA,
		{
			BR_KEYTYPE_EC,
			{ .ec = {
				BR_EC_secp256r1,
				(unsigned char *)TA0_EC_Q, sizeof TA0_EC_Q,
			} }
		}
	}
};

#define TAs_NUM   1
END
try "the example of README.md is there" test -s "$dir/example.c"
try "the example of README.md is short" at_most "$(wc -l <"$dir/example.c")" 60
# shellcheck disable=SC2086
try "the example of README.md compiles" "$cc" -std=c99 ${WARNINGS:--Wall -Wextra} -Werror -I. -isystem "$bearssl/inc" \
    -isystem "$dir/anchors" -c -o "$dir/example.o" "$dir/example.c"

for main in examples/[0-9]-*/main.c; do
    try "$main is short" at_most "$(wc -l <"$main")" 150
    try "${main%/*} is explained" test -s "${main%/*}/README.md"
done

docs=$(ls README.md DESIGN.md CHANGELOG.md examples/*/README.md 2>/dev/null)
# shellcheck disable=SC2086
{
    for name in $(grep -ohE '\b(xmpp_tiny|XMPP_TINY)_[A-Za-z0-9_]*[A-Za-z0-9]\b' $docs | sort -u); do
        try "documents name $name, which is nowhere" grep -qwr -e "$name" --include='*.[ch]' xmpp_tiny.c xmpp_tiny.h port examples
    done
    for target in $(grep -ohE '(^ +|`)make [a-z0-9][a-z0-9-]*' $docs | sed 's/.*make //' | sort -u); do
        try "documents name the target $target" grep -qE "^$target:" Makefile
    done
    for file in $(grep -ohE '\]\([A-Za-z0-9_./-]+\)' $docs | tr -d ']()' | sort -u); do
        try "documents link to $file" test -e "$file"
    done
    for option in $(grep -ohE '(^| )--[a-z-]+' README.md examples/cli/README.md | sort -u); do
        try "documents name the option $option" found "$option" examples/cli/options.c
    done
}

# buffer, macro, header: the smallest size in README.md is that of the header.
smallest() {
    number=$(sed -n "s/^#define $2  *\([0-9]*\).*/\1/p" "$3" | sed 's/\([0-9]\)\([0-9][0-9][0-9]\)$/\1,\2/')
    try "README.md gives $number bytes as the smallest $1" found "| $1 | $number B |" README.md
}
smallest '`rx`' XMPP_TINY_RX_MIN xmpp_tiny.h
smallest '`tx`' XMPP_TINY_TX_MIN xmpp_tiny.h
smallest 'TLS `in`' XMPP_TINY_BEARSSL_IN_MIN port/bearssl.h
smallest 'TLS `out`' XMPP_TINY_BEARSSL_OUT_MIN port/bearssl.h

words=$(awk '/^- / && NF - 1 > 5' CHANGELOG.md)
try "CHANGELOG.md has at most five words a line: $words" test -z "$words"
version=$(sed -n 's/^#define XMPP_TINY_VERSION "\(.*\)"/\1/p' xmpp_tiny.h)
try "CHANGELOG.md begins with version $version" found "## $version" CHANGELOG.md
"$build/xmpp-tiny" --help >"$dir/help" 2>&1
for status in 0 1 2 3 4 5 6; do
    try "--help explains exit status $status" grep -qE "^  $status  [A-Za-z]" "$dir/help"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
