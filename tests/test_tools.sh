#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The measuring tools find what is planted for them: tools/rooms upward calls, tools/size recursion,
# stack, tables and RAM, tools/image whose each byte is, tools/bench a tokenizer that delivers less than expat.

set -u
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# Each of these makes the file a tool is given anew, from standard input.
plant() {
    cat >"$dir/planted.c"
}

# expect STATUS TEXT COMMAND...: the command must exit so and print that line (a basic regular
# expression, anchored at neither end).
expect() {
    status=$1 text=$2
    shift 2
    "$@" >"$dir/out" 2>&1
    got=$?
    if [ "$got" -eq "$status" ] && grep -q -e "$text" "$dir/out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "---- $*: status $got, wanted $status and '$text'"
        cat "$dir/out"
    fi
}

# ---- tools/rooms

plant <<'C'
/* ==== Room 1: checks ==== */
/* high(1) in a comment, and "high(1)" in a string, are no calls. */
static int low(int high)
{
    const char *text = "high(1)";
    return high + text[0];
}
/* ==== Room 2: bytes ==== */
struct low {
    int high;
};
static int middle(struct low *p)
{
    return low(p->high);
}
static int same(struct low *p)
{
    return middle(p);
}
C
expect 0 '^2 calls in all, 0 upward$' tools/rooms "$dir/planted.c"
expect 0 '^3 functions, 4 lines at the median; 5 longest (low)$' tools/rooms "$dir/planted.c"
expect 0 '^5 passed, 0 failed$' tools/rooms "$dir/planted.c"
expect 0 '^   2      4    12   middle$' tools/rooms --list "$dir/planted.c"

plant <<'C'
/* ==== Room 1: checks ==== */
static int low(int n)
{
    return n
        + high (n);
}
/* ==== Room 2: bytes ==== */
static int high(int n)
{
    return n;
}
C
expect 1 'line 5: low, room 1 (checks), names high of room 2 (bytes)$' tools/rooms "$dir/planted.c"
expect 1 '^4 passed, 1 failed$' tools/rooms "$dir/planted.c"

plant <<'C'
/* ==== Room 1: checks ==== */
#define LIFT(n) \
    (high(n) + 1)
/* ==== Room 2: bytes ==== */
static int high(int n)
{
    return n;
}
C
expect 1 'line 3: LIFT, room 1 (checks), names high of room 2' tools/rooms "$dir/planted.c"

plant <<'C'
/* ==== Room 2: bytes ==== */
static const struct {
    int (*fn)(int);
} table[] = {{high}};
/* ==== Room 3: tokenizer ==== */
static int high(int n)
{
    return n;
}
C
expect 1 'line 4: table, room 2 (bytes), names high of room 3' tools/rooms "$dir/planted.c"

plant <<'C'
/* ==== Room 1: checks ==== */
static int later(int n);
static int first(int n)
{
    return later(n);
}
static int later(int n)
{
    return n;
}
C
expect 1 'FAIL  forward declarations of static functions: 1$' tools/rooms "$dir/planted.c"

plant <<'C'
/* ==== Room 1: checks ==== */
int ping(int n)
{
    return n > 0 ? pong(n) : 0;
}
int pong(int n)
{
    return ping(n - 1);
}
C
expect 1 '^      ping, pong$' tools/rooms "$dir/planted.c"

plant <<'C'
static int homeless(void)
{
    return 1;
}
/* ==== Room 2: bytes ==== */
/* ==== Room 1: checks ==== */
C
expect 1 'line 1: homeless$' tools/rooms "$dir/planted.c"
expect 1 'room 1 comes after room 2$' tools/rooms "$dir/planted.c"

# ---- tools/size

if command -v arm-none-eabi-gcc >/dev/null && command -v riscv64-unknown-elf-gcc >/dev/null; then
    plant <<'C'
#include "xmpp_tiny.h"
int planted_ping(volatile int *p, int n);
int planted_pong(volatile int *p, int n);
int planted_ping(volatile int *p, int n)
{
    int r = n > 0 ? planted_pong(p, n) : 0;
    return r + *p;
}
int planted_pong(volatile int *p, int n)
{
    int r = planted_ping(p, n - *p);
    return r ^ *p;
}
C
    expect 1 'Cortex-M3: recursion: planted_ping > planted_pong > planted_ping$' \
        tools/size "$dir/planted.c"
    expect 1 'RV32IMAC: recursion: planted_ping > planted_pong > planted_ping$' \
        tools/size "$dir/planted.c"

    plant <<'C'
#include "xmpp_tiny.h"
static int xmpp_tiny_turn(volatile int *p, int n);
int xmpp_tiny_start(volatile int *p, int n);
static int (*const turns[2])(volatile int *, int) = {xmpp_tiny_turn, xmpp_tiny_start};
static int xmpp_tiny_turn(volatile int *p, int n)
{
    int r = turns[*p & 1](p, n);
    return r + *p;
}
int xmpp_tiny_start(volatile int *p, int n)
{
    int r = turns[n & 1](p, n);
    return r ^ *p;
}
C
    expect 1 'Cortex-M3: recursion: ' tools/size "$dir/planted.c"

    # A function in a table counts for those who call through that struct's member, not for others.
    plant <<'C'
#include "xmpp_tiny.h"
struct door {
    int (*knock)(volatile int *p);
};
struct hall {
    int (*enter)(volatile int *p);
};
static __attribute__((noinline)) int wait(const struct door *d, const struct hall *h, volatile int *p)
{
    return d->knock(p) + (h != NULL) + *p;
}
static int guest(volatile int *p)
{
    return wait(NULL, NULL, p) + *p;
}
static const struct hall halls[2] = {{guest}, {NULL}};
int planted_visit(const struct door *d, volatile int *p);
int planted_visit(const struct door *d, volatile int *p)
{
    return halls[*p].enter(p) + wait(d, halls, p) + *p;
}
C
    expect 0 'counted in: guest$' tools/size "$dir/planted.c"
    sed -i 's/d->knock(p)/h->enter(p)/' "$dir/planted.c"
    expect 1 'Cortex-M3: recursion: guest > wait[a-z.0-9]* > guest$' tools/size "$dir/planted.c"

    # 400 bytes of locals below 300: the sum, not the larger, and of 13 call-saved bytes at most 64.
    plant <<'C'
#include "xmpp_tiny.h"
static __attribute__((noinline)) int deep(volatile char *p)
{
    volatile char local[400];
    local[*p & 127] = 1;
    return local[*p & 63];
}
int xmpp_tiny_top(volatile char *p)
{
    volatile char local[300];
    local[*p & 127] = 2;
    return deep(p) + local[*p & 63];
}
C
    expect 1 '^FAIL  Cortex-M3 stack: 7[0-5][0-9], limit 600$' tools/size --check "$dir/planted.c"
    expect 0 'Deepest path, 7[0-5][0-9] bytes: xmpp_tiny_top 3[0-9]* > deep 4[0-9]*$' \
        tools/size "$dir/planted.c"

    plant <<'C'
#include "xmpp_tiny.h"
int xmpp_tiny_data[3] = {1, 2, 3};
int xmpp_tiny_bss[5];
const char xmpp_tiny_constants[40000] = {1};
C
    expect 1 '^FAIL  Cortex-M3 data: 12, limit 0$' tools/size --check "$dir/planted.c"
    expect 1 '^FAIL  Cortex-M3 bss: 20, limit 0$' tools/size --check "$dir/planted.c"
    expect 1 '^FAIL  Cortex-M3 text: 40,000, limit [0-9,]*$' tools/size --check "$dir/planted.c"

    plant <<'C'
#include <stddef.h>
#include "xmpp_tiny.h"
int xmpp_tiny_take(int n, void (*fn)(char *))
{
    char local[n];
    fn(local);
    return 0;
}
C
    expect 1 'its stack has no bound' tools/size "$dir/planted.c"

    printf 'before\n<!-- size -->\nold\n<!-- /size -->\nafter\n' >"$dir/README.md"
    plant <<'C'
int xmpp_tiny_one(void);
int xmpp_tiny_one(void)
{
    return 1;
}
C
    expect 1 '^0 passed, 1 failed$' tools/size --readme-check "$dir/README.md" "$dir/planted.c"
    tools/size --readme "$dir/README.md" "$dir/planted.c"
    expect 0 '^1 passed, 0 failed$' tools/size --readme-check "$dir/README.md" "$dir/planted.c"
    expect 0 '^| Cortex-M3 | 4 | 0 | 0 | [0-9]* | 0 |$' cat "$dir/README.md"
    expect 0 '^after$' tail -n 1 "$dir/README.md"
else
    failed=$((failed + 1))
    echo "---- tools/size: its compilers are missing: tools/install check"
fi

# ---- tools/image

# object FILE: compiles standard input to that object of the image.
object() {
    mkdir -p "$(dirname "$dir/$1")"
    arm-none-eabi-gcc -Os -fdata-sections -mcpu=cortex-m3 -mthumb -x c -c -o "$dir/$1" -
}

# image OBJECT...: links them to $dir/image.elf and .map.
image() {
    (cd "$dir" && arm-none-eabi-gcc -nostdlib -mcpu=cortex-m3 -mthumb -Wl,-Map=image.map -T image.ld -o image.elf \
        "$@" fw/libbearssl.a)
}

if command -v arm-none-eabi-gcc >/dev/null; then
    cat >"$dir/image.ld" <<'LD'
SECTIONS
{
    .text 0 : { *(.text .text.*) *(.rodata .rodata.*) }
    .stack 0x20000000 (NOLOAD) : { . += 4096; }
    .data : AT(0x80000) { *(.data .data.*) }
    .bss (NOLOAD) : { *(.bss .bss.* COMMON) }
}
LD
    object fw/obj/xmpp_tiny.o <<'C'
const char table[301] = {1};
C
    # In flash a byte too many for the word after it; in .data likewise.
    object fw/obj/examples/4-firmware/main.o <<'C'
char name[5] = "four";
int rest;
char rx[100], tx[20], tls_in[30], tls_out[40];
int x[10], tls[50];
C
    object fw/libbearssl.o <<'C'
extern int rest;
const int word = 1;
int data = 1;
int _start(void) { return rest + data; }
C
    object fw/lwip.o <<'C'
char ram_heap[64], memp_memory_PBUF_POOL_base[128];
C
    ar rcs "$dir/fw/liblwip.a" "$dir/fw/lwip.o"
    ar rcs "$dir/fw/libbearssl.a" "$dir/fw/libbearssl.o"
    objects="fw/obj/xmpp_tiny.o fw/obj/examples/4-firmware/main.o"
    # shellcheck disable=SC2086
    image $objects -u word -u _start -u ram_heap fw/liblwip.a
    expect 0 '^| XMPP: `xmpp_tiny.c` | 301 |  |  |  |$' tools/image "$dir/image"
    expect 0 '^| application: `main.c` | 5 | 5 | 434 |  |$' tools/image "$dir/image"
    expect 0 '^| - receive buffer |  |  | 100 |  |$' tools/image "$dir/image"
    expect 0 '^| TCP/IP: lwIP |  |  | 192 |  |$' tools/image "$dir/image"
    expect 0 '^| alignment | 6 | 3 | 2 |  |$' tools/image "$dir/image"
    expect 0 '^| stack |  |  |  | 4,096 |$' tools/image "$dir/image"
    expect 0 '^2 passed, 0 failed$' tools/image --check "$dir/image"

    printf 'before\n<!-- image -->\nold\n<!-- /image -->\nafter\n' >"$dir/README.md"
    expect 1 '^0 passed, 1 failed$' tools/image --readme-check "$dir/README.md" "$dir/image"
    tools/image --readme "$dir/README.md" "$dir/image"
    expect 0 '^1 passed, 0 failed$' tools/image --readme-check "$dir/README.md" "$dir/image"

    object fw/obj/examples/4-firmware/more.o <<'C'
char more[30000];
const char text[120000] = {1};
C
    # shellcheck disable=SC2086
    image $objects -u word -u _start -u ram_heap fw/liblwip.a fw/obj/examples/4-firmware/more.o
    expect 1 '^FAIL  flash of the image: 120,' tools/image --check "$dir/image"
    expect 1 '^FAIL  RAM of the image: 34,' tools/image --check "$dir/image"

    object fw/stray.o <<'C'
int stray = 1;
C
    # shellcheck disable=SC2086
    image $objects -u word -u _start -u ram_heap fw/liblwip.a fw/stray.o
    expect 1 'fw/stray.o belongs to no part of the image' tools/image "$dir/image"
else
    failed=$((failed + 1))
    echo "---- tools/image: its compiler is missing: tools/install check"
fi

# ---- tools/bench

if echo '#include <expat.h>' | cc -E - >/dev/null 2>&1; then
    # Takes all input and delivers nothing.
    plant <<'C'
#include "xmpp_tiny.h"
enum { TOK_MORE, TOK_UNIT, TOK_SKIPPED, TOK_END };
static char *window;
static void tok_init(struct xmpp_tiny_tok_ *t, void *buf, size_t size) { t->limit = (char *)buf + size; window = buf; }
static char *tok_window(struct xmpp_tiny_tok_ *t, size_t *room) { *room = (size_t)(t->limit - window); return window; }
static void tok_fed(struct xmpp_tiny_tok_ *t, size_t n) { (void)t; (void)n; }
static int tok_next(struct xmpp_tiny_tok_ *t) { (void)t; return TOK_MORE; }
static struct xmpp_tiny_el tok_unit(const struct xmpp_tiny_tok_ *t) { (void)t; return (struct xmpp_tiny_el){0}; }
static const struct xmpp_tiny_str none;
bool xmpp_tiny_found(struct xmpp_tiny_el el) { (void)el; return false; }
struct xmpp_tiny_str xmpp_tiny_name(struct xmpp_tiny_el el) { (void)el; return none; }
struct xmpp_tiny_str xmpp_tiny_ns(struct xmpp_tiny_el el) { (void)el; return none; }
struct xmpp_tiny_str xmpp_tiny_text(struct xmpp_tiny_el el) { (void)el; return none; }
struct xmpp_tiny_str xmpp_tiny_text_after(struct xmpp_tiny_el el) { (void)el; return none; }
struct xmpp_tiny_el xmpp_tiny_child(struct xmpp_tiny_el el, const char *n, const char *s) { (void)n; (void)s; return el; }
struct xmpp_tiny_el xmpp_tiny_next(struct xmpp_tiny_el el, const char *n, const char *s) { (void)n; (void)s; return el; }
bool xmpp_tiny_attr_next(struct xmpp_tiny_el el, uint16_t *i, struct xmpp_tiny_str *n, struct xmpp_tiny_str *s,
                         struct xmpp_tiny_str *v) { (void)el; (void)i; (void)n; (void)s; (void)v; return false; }
const char *xmpp_tiny_err_name(int err) { (void)err; return ""; }
C
    expect 1 '^FAIL  -Os, segments 64: .*elements: expat [1-9][0-9]*, xmpp_tiny 0;' \
        env BUILD="$dir" tools/bench --source "$dir/planted.c"
    expect 1 '^0 passed, 6 failed$' env BUILD="$dir" tools/bench --source "$dir/planted.c"
else
    failed=$((failed + 1))
    echo "---- tools/bench: expat is missing: tools/install check"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
