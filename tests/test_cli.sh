#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The command line tool and the examples without a server: wrong usage, wrong files, nobody there.

set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
tool=$build/xmpp-tiny
passed=0 failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
unset XMPP_TINY_PASSWORD XMPP_TINY_NEW_PASSWORD
export ASAN_OPTIONS=detect_leaks=0 # nothing of ours allocates, and to look for leaks takes longer than all else

# expect STATUS TEXT COMMAND...: exits so, and says that on either stream
expect() {
    want=$1 text=$2
    shift 2
    timeout 20 "$@" >"$dir/out" 2>&1 </dev/null
    got=$?
    if [ "$got" -eq "$want" ] && grep -qF -e "$text" "$dir/out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "---- $*: exit status $got, not $want, or not '$text'"
        cat "$dir/out"
    fi
}

# expect_not TEXT COMMAND...: does not say that, whatever else
expect_not() {
    text=$1
    shift
    timeout 20 "$@" >"$dir/out" 2>&1 </dev/null
    if grep -qF -e "$text" "$dir/out"; then
        failed=$((failed + 1))
        echo "---- $*: says '$text'"
    else
        passed=$((passed + 1))
    fi
}

# expect_err TEXT COMMAND...: a usage error; stderr says exactly that, stdout nothing
expect_err() {
    text=$1
    shift
    timeout 20 "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    if [ "$got" -eq 1 ] && [ ! -s "$dir/out" ] && [ "$(cat "$dir/err")" = "xmpp-tiny: $text (--help explains)" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "---- $*: exit status $got, not 1, or not '$text' alone"
        cat "$dir/out" "$dir/err"
    fi
}

# Wrong usage; the environment has a password from here on.
expect 1 'none: use --password-file' "$tool" alice@a.test
XMPP_TINY_PASSWORD=secret
export XMPP_TINY_PASSWORD
expect 0 'usage: xmpp-tiny' "$tool" --help
expect 0 'usage: xmpp-tiny' "$tool" -h
expect 0 'usage: xmpp-tiny' "$tool" --json -h alice@a.test
expect 0 "$(sed -n 's/^#define XMPP_TINY_VERSION "\(.*\)"/\1/p' xmpp_tiny.h)" "$tool" --version
expect 1 'JID: missing' "$tool"
expect 1 'comes last' "$tool" alice@a.test bob@a.test
expect 1 'comes last' "$tool" alice@a.test --json
expect 1 '--nonsense: unknown option' "$tool" --nonsense alice@a.test
expect 1 '--wait: something is missing' "$tool" --wait
expect 1 '@a.test: not a JID' "$tool" @a.test
expect 1 'has a resource already' "$tool" --resource r alice@a.test/q
expect 1 'not a JID' "$tool" --send 'not a jid@' text alice@a.test
expect 1 'SHOW is one of' "$tool" --presence busy text alice@a.test
expect 1 'not a JID' "$tool" --ping @ alice@a.test
expect 1 'unknown mechanism' "$tool" --mechanism CRAM-MD5 alice@a.test
expect 1 'direct or starttls' "$tool" --tls none alice@a.test
expect 1 'on or off' "$tool" --sasl2 yes alice@a.test
expect 1 'HOST:PORT' "$tool" --connect a.test:0 alice@a.test
expect 1 'HOST:PORT' "$tool" --connect a.test:65536 alice@a.test
expect 1 'HOST:PORT' "$tool" --connect '[::1' alice@a.test
expect 1 'from 1 to 600' "$tool" --timeout 0 alice@a.test
expect 1 'from 1 to 600' "$tool" --timeout 601 alice@a.test
expect 1 'from 1 to 600' "$tool" --timeout 99999999999 alice@a.test
expect 1 'from 1 to 600' "$tool" --timeout -1 alice@a.test
expect 1 'to 65535 is needed' "$tool" --rx 767 alice@a.test
expect 1 'to 65535 is needed' "$tool" --tx 65536 alice@a.test
expect 1 'go together' "$tool" --cert x alice@a.test
expect_err 'alice: USER@DOMAIN is needed, except with --mechanism ANONYMOUS' "$tool" alice
expect_err 'a.test/r: USER@DOMAIN is needed, except with --mechanism ANONYMOUS' "$tool" --mechanism PLAIN \
    --mechanism ANONYMOUS a.test/r
expect_err '--mechanism EXTERNAL: --cert and --key are needed' "$tool" --mechanism EXTERNAL alice@a.test

# Whom to trust, what to remember.
pin=0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef
digits='--pin: 64 hexadecimal digits are needed, the SHA-256 of a public key'
expect_err "$digits" "$tool" --pin "" alice@a.test
expect_err "$digits" "$tool" --pin "${pin%?}" alice@a.test
expect_err "$digits" "$tool" --pin "${pin}0" alice@a.test
expect_err "$digits" "$tool" --pin "$pin:" alice@a.test
expect_err "$digits" "$tool" --pin ":$pin" alice@a.test
expect_err "$digits" "$tool" --pin "0:${pin#?}" alice@a.test
expect_err "$digits" "$tool" --pin "${pin%?}g" alice@a.test
set --
while [ $# -lt 34 ]; do
    set -- "$@" --pin "$pin"
done
expect_err '--pin: too many' "$tool" "$@" alice@a.test
expect_err '--first-use: --saved or --session is needed' "$tool" --first-use alice@a.test
expect_err '--first-use: not with --ca or --pin' "$tool" --first-use --saved x --pin "$pin" alice@a.test
expect_err '--first-use: not with --ca or --pin' "$tool" --first-use --saved x --ca x alice@a.test
expect_err '--first-use: not with --ca or --pin' "$tool" --first-use --session x --ca x alice@a.test
expect_err '--forget: --saved or --session is needed' "$tool" --forget alice@a.test
expect_err '--forget: not with --sasl2 off' "$tool" --forget --saved x --sasl2 off alice@a.test
expect_err '--accept-change: --saved or --session is needed' "$tool" --accept-change alice@a.test

# Sessions.
for pair in '--saved x --session y' '--session y --saved x'; do
    # shellcheck disable=SC2086
    expect_err '--saved: not with --session, which does the same and more' "$tool" $pair alice@a.test
done
expect_err '--session: something is missing behind it' "$tool" --session
expect_err '--session: not with --queue 0' "$tool" --queue 0 --session x alice@a.test
expect_err '--pipeline: on or off is needed' "$tool" --pipeline no alice@a.test
range='--queue: a number from 256 to 64767 is needed'
for bytes in '' 1 255 64768 -1 00 1k; do
    expect_err "$range" "$tool" --queue "$bytes" alice@a.test
done
expect_err '--queue: together with --tx more than 65535' "$tool" --queue 57344 alice@a.test
expect_err '--queue: together with --tx more than 65535' "$tool" --tx 49152 --keep alice@a.test
expect_err '--resend: goes with --queue, --session or --keep' "$tool" --resend alice@a.test
expect_err '--resend: goes with --queue, --session or --keep' "$tool" --resend --keep --queue 0 alice@a.test
expect_err '--retry: goes with --keep' "$tool" --retry 100 --session x alice@a.test
expect_err '--retry-max: goes with --keep' "$tool" --retry-max 100 alice@a.test
expect_err '--retry: a number from 1 to 3600000 is needed' "$tool" --keep --retry 0 alice@a.test
expect_err '--retry-max: a number from 1 to 3600000 is needed' "$tool" --keep --retry-max 3600001 alice@a.test
expect_err '--ping-after: a number from 0 to 2000000 is needed' "$tool" --ping-after 2000001 alice@a.test
expect_err '--keep=1: takes no value' "$tool" --keep=1 alice@a.test
expect_err '--carbons=1: takes no value' "$tool" --carbons=1 alice@a.test
expect_err '--inactive=1: takes no value' "$tool" --inactive=1 alice@a.test

# Accounts and passwords.
new='--change-password: use --new-password-file or the environment variable XMPP_TINY_NEW_PASSWORD'
expect_err "$new" "$tool" --change-password alice@a.test
expect_err '--change-password=x: takes no value' "$tool" --change-password=x alice@a.test
expect_err '--create-account: a password is needed' env -u XMPP_TINY_PASSWORD "$tool" --create-account \
    --mechanism ANONYMOUS a.test

# --check does nothing else.
alone='--check: goes with --connect, --direct-port, --ca, --timeout, --json and a password'
for more in "--pin $pin" '--first-use --saved x' '--saved x' '--session x' --keep '--queue 256' --create-account '--ping -' '--wait 1' --stdin '--cert x --key x'; do
    # shellcheck disable=SC2086
    expect_err "$alone" "$tool" --check $more a.test
done
expect_err '--check: a domain in A-labels is needed (xn--...)' "$tool" --check bücher.test
expect_err '--direct-port: goes with --check' "$tool" --direct-port 5223 alice@a.test
expect_err '--direct-port: a number from 1 to 65535 is needed' "$tool" --check --direct-port 65536 a.test
expect_err '@: not a JID' "$tool" --check @

# A value that is joined to its option.
expect_err '--timeout: a number from 1 to 600 is needed' "$tool" --timeout=0 alice@a.test
expect_err '--timeout: a number from 1 to 600 is needed' "$tool" --timeout= alice@a.test
expect_err '--send: not a JID' "$tool" --timeout=1 --send=@ text alice@a.test
expect_err '--send: something is missing behind it' "$tool" --send=bob@a.test
expect_err '--json=1: takes no value' "$tool" --json=1 alice@a.test
expect_err '--time=1: unknown option' "$tool" --time=1 alice@a.test
expect_err '-h=1: takes no value' "$tool" -h=1 alice@a.test

# --help has the numbers that count.
for words in '768 to 65535; default 8192' '256 to 64767; default 0, with --session or --keep 16384' 'or 1024 stanzas' '1024 to 65535; default 16384' '541 to 16413' '0 to 2000000' '1 to 600' \
    'at most 64 of' 'up to 16 files' 'SCRAM-SHA-512-PLUS EXTERNAL' 'default 30, with --check 10' 'a public key the server may have, up to 16'; do
    expect 0 "$words" "$tool" --help
done

# Wrong files.
: >"$dir/empty"
expect 1 'No such file' "$tool" --ca "$dir/none" alice@a.test
expect 1 'no certificates' "$tool" --ca "$dir/empty" alice@a.test
expect 1 'No such file' "$tool" --password-file "$dir/none" alice@a.test
head -c 4096 /dev/zero >"$dir/zero"
expect 1 'too large' "$tool" --password-file "$dir/zero" alice@a.test
printf 'a\0b\n' >"$dir/nul"
expect 1 'holds a NUL' "$tool" --password-file "$dir/nul" alice@a.test
expect 1 'holds a NUL' "$tool" --change-password --new-password-file "$dir/nul" alice@a.test

# Nobody there: a port that was free a moment ago.
port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
tools/pki "$dir/pki" >/dev/null 2>&1
ca=$dir/pki/ca.crt
expect 2 '"event":"error","name":"CONNECT","origin":"NET"' \
    "$tool" --json --ca "$ca" --connect "127.0.0.1:$port" alice@a.test
expect 2 '{"event":"closed","unsent":0}' "$tool" --json --ca "$ca" --connect "127.0.0.1:$port" alice@a.test
expect 2 'error  name: "CONNECT"' "$tool" --ca "$ca" --connect "127.0.0.1:$port" alice@a.test
anonymous="--mechanism ANONYMOUS --ca $ca --connect 127.0.0.1:$port"
# shellcheck disable=SC2086
expect 2 'alice: not used with --mechanism ANONYMOUS' "$tool" $anonymous alice@a.test
# shellcheck disable=SC2086
expect 2 'error  name: "CONNECT"' env -u XMPP_TINY_PASSWORD "$tool" $anonymous a.test
# What was saved: nothing is tried with a file that is none.
expect 2 'error  name: "CONNECT"' "$tool" --ca "$ca" --saved "$dir/saved" --connect "127.0.0.1:$port" alice@a.test
expect 1 'no keys are saved' env -u XMPP_TINY_PASSWORD "$tool" --ca "$ca" --saved "$dir/saved" alice@a.test
there="--connect 127.0.0.1:$port --ca $ca"
bad='what was saved is damaged, of another version or of another account'
# shellcheck disable=SC2086
{
    expect 1 "$bad" "$tool" $there --saved "$dir/empty" alice@a.test
    expect 1 "$bad" "$tool" $there --saved "$dir/zero" alice@a.test
    expect 1 "$dir: Is a directory" "$tool" $there --saved "$dir" alice@a.test
    expect 1 "$dir: Is a directory" "$tool" $there --session "$dir" alice@a.test
    expect 1 "$bad" "$tool" --connect "127.0.0.1:$port" --first-use --session "$dir/zero" alice@a.test
    # A session begins anew where nothing can be made of the file; what it could not deliver it tells.
    session="$there --json --session $dir/session"
    saved='"event":"error","name":"SAVED","origin":"CALL"'
    cp "$dir/zero" "$dir/session"
    expect 2 "$saved" "$tool" $session alice@a.test
    expect 2 '{"event":"undelivered","id":"m1"}' "$tool" $session --send bob@a.test x alice@a.test
    expect_not "$saved" "$tool" $session alice@a.test
    expect 2 "$saved" "$tool" $session bob@a.test
    printf x >>"$dir/session"
    expect 2 "$saved" "$tool" $session bob@a.test
    # With --keep and nobody there: until the time is over.
    expect 2 '"event":"disconnected","reason":"CONNECT"' "$tool" $there --json --keep --retry 100 --wait 1 alice@a.test
}
expect 2 'reached: false' "$tool" --check --ca "$ca" --connect "127.0.0.1:$port" --direct-port "$port" a.test
expect 1 'No such file' "$tool" --check --ca "$dir/none" a.test
expect 1 'no certificate chain' "$tool" --ca "$ca" --cert "$dir/empty" --key "$dir/empty" alice@a.test
expect 1 'no private key' "$tool" --ca "$ca" --cert "$ca" --key "$ca" alice@a.test

for example in 1-hello 2-echo 3-sensor; do
    extra=
    [ "$example" != 3-sensor ] || extra='1 1' # a second of attempts
    expect 1 'usage: ' "$build/$example"
    expect 1 'usage: ' "$build/$example" alice@a.test "$ca" a.test:http $extra
    expect 1 'No such file' "$build/$example" alice@a.test "$dir/none" "127.0.0.1:$port" $extra
    expect 1 'CONNECT: ' "$build/$example" alice@a.test "$ca" "127.0.0.1:$port" $extra
    expect 1 'usage: ' env -u XMPP_TINY_PASSWORD "$build/$example" alice@a.test "$ca" "127.0.0.1:$port" $extra
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
