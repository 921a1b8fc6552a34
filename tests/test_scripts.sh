#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The scripts that other tests rely on: tools/run-tests fails for every suite that does not clearly
# pass, tools/symbols, tools/warnings and tools/format-check find what is planted, tools/install does
# nothing when all is there and says what is not to be had.

set -u
cd "$(dirname "$0")/.." || exit 1
cc=${CC:-gcc}
top=$(pwd)
passed=0 failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# expect STATUS TEXT COMMAND...: exits so, and prints a line with that extended regular expression
expect() {
    want=$1 text=$2
    shift 2
    "$@" >"$dir/out" 2>&1
    got=$?
    if [ "$got" -eq "$want" ] && grep -qE -e "$text" "$dir/out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "---- $*: exit status $got, not $want, or not '$text'"
        cat "$dir/out"
    fi
}

fine='echo 3 passed, 0 failed'
expect 0 '^3 passed, 0 failed$' tools/run-tests "$fine"
expect 0 '^ok .* 3 passed' tools/run-tests "$fine"
expect 0 '^7 passed, 0 failed$' tools/run-tests "$fine" 'echo 9 passed, 0 failed; echo 4 passed, 0 failed' # the last counts
expect 1 '^5 passed, 2 failed$' tools/run-tests "$fine" 'echo 2 passed, 2 failed; exit 1'
expect 1 '^3 passed, 1 failed$' tools/run-tests "$fine" 'echo 0 passed, 1 failed' # counts outweigh the status
expect 1 '^4 passed, 1 failed$' tools/run-tests "$fine" 'echo 1 passed, 0 failed; exit 7'
expect 1 '^4 passed, 1 failed$' tools/run-tests "$fine" 'echo 1 passed, 0 failed; kill -SEGV $$'
expect 1 '^3 passed, 1 failed$' tools/run-tests "$fine" true
expect 1 'no counts' tools/run-tests "$fine" /nonexistent
expect 1 'ran no test' tools/run-tests 'echo 0 passed, 0 failed'
expect 1 'not done after 1 seconds' tools/run-tests -t 1 'sleep 60; echo 1 passed, 0 failed'
expect 1 '^what went wrong$' tools/run-tests 'echo what went wrong; echo 1 passed, 1 failed'
expect 1 '^0 passed, 1 failed$' tools/run-tests

# Objects with one fault each, named as the library is.
object() {
    mkdir -p "$dir/$1"
    printf '%s\n' "$2" >"$dir/$1/xmpp_tiny.c"
    "$cc" -std=c99 -O1 -c -o "$dir/$1/xmpp_tiny.o" "$dir/$1/xmpp_tiny.c"
}
object fine 'int xmpp_tiny_x(void); int xmpp_tiny_x(void) { return 1; }'
expect 0 '^5 passed, 0 failed$' tools/symbols "$dir/fine/xmpp_tiny.o"
object export 'int other(void); int other(void) { return 1; }'
expect 1 'exports: other$' tools/symbols "$dir/export/xmpp_tiny.o"
object malloc 'void *malloc(unsigned long); void *xmpp_tiny_x(void); void *xmpp_tiny_x(void) { return malloc(1); }'
expect 1 'calls: malloc$' tools/symbols "$dir/malloc/xmpp_tiny.o"
object other 'int thing(void); int xmpp_tiny_x(void); int xmpp_tiny_x(void) { return thing(); }'
expect 1 'also calls: thing$' tools/symbols "$dir/other/xmpp_tiny.o"
object data 'int xmpp_tiny_x(void); static int n = 3; int xmpp_tiny_x(void) { return n++; }'
expect 1 'mutable data in: \.data=4' tools/symbols "$dir/data/xmpp_tiny.o"
object bss 'int xmpp_tiny_x(void); static int n; int xmpp_tiny_x(void) { return n++; }'
expect 1 'mutable data in: \.bss=4' tools/symbols "$dir/bss/xmpp_tiny.o"
expect 1 'no such object' tools/symbols "$dir/none.o"

cp .clang-format "$dir"
printf 'int a;\n' >"$dir/good.c"
printf 'int   a ;\n' >"$dir/bad.c"
expect 0 '^1 passed, 0 failed$' tools/format-check "$dir/good.c"
expect 1 '^1 passed, 1 failed$' tools/format-check "$dir/good.c" "$dir/bad.c"

# A tree of one file each for tools/warnings.
mkdir "$dir/tree"
printf 'struct xmpp_tiny;\n' >"$dir/tree/xmpp_tiny.h"
printf '#include "xmpp_tiny.h"\nint xmpp_tiny_x(void);\nint xmpp_tiny_x(void)\n{\n    return 1;\n}\n' >"$dir/tree/xmpp_tiny.c"
warnings() {
    (cd "$dir/tree" && WARNINGS='-Wall -Wconversion' INCLUDES=-I. "$top/tools/warnings")
}
expect 0 '^22 passed, 0 failed$' warnings
printf 'char xmpp_tiny_y(int y);\nchar xmpp_tiny_y(int y)\n{\n    return y;\n}\n' >>"$dir/tree/xmpp_tiny.c"
expect 1 '^2 passed, 20 failed$' warnings

expect 2 'unknown purpose: nonsense' tools/install nonsense
expect 2 'Installs the Debian packages' tools/install
expect 0 'check   demo' tools/install --help
tools/install check >"$dir/quiet" 2>&1 </dev/null
expect 0 '^0$' sh -c "wc -c <$dir/quiet"
# Nothing installed and no root: nothing can be done.
mkdir "$dir/bin"
for name in dpkg-query apt-get apt-cache; do
    printf '#!/bin/sh\nexit 1\n' >"$dir/bin/$name"
done
printf '#!/bin/sh\necho 1000\n' >"$dir/bin/id"
printf '#!/bin/sh\necho "sudo: $*" >&2\nexit 1\n' >"$dir/bin/sudo"
chmod +x "$dir/bin"/*
expect 1 '^sudo: -n -- tools/install build$' env PATH="$dir/bin:$PATH" tools/install build </dev/null

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
