/* SPDX-License-Identifier: MIT
 *
 * A plugin for QEMU that counts the instructions of Thumb firmware by chain of calls: each function below
 * the one that called it, and so on up to the reset handler. The firmware is not changed and does not notice.
 *
 *   -plugin libcalls.so,functions=FILE,out=FILE
 *
 * functions: lines "ADDRESS KIND" in ascending order, hexadecimal; KIND is f, a function; m, one whose every
 * call begins a new phase; h, the handler of an exception, whose calls do so, too.
 * out: "node ID PARENT FUNCTION" before a chain is first mentioned, FUNCTION being a line of the input from
 * 0; "ID COUNT" for what the phase that ends spent in that chain's last function itself; and at the end of
 * each phase "phase FUNCTION", whose call ended it, or -1 at the end of the run.
 *
 * What is counted is instructions executed: a processor asleep counts nothing.
 *
 * Debian ships QEMU able to load plugins but not their header, so what is used of version 1 of the
 * interface is declared here.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- QEMU's interface ---------------------------------------------------------------------------- */

typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

__attribute__((visibility("default"))) extern int qemu_plugin_version;
int qemu_plugin_version = 1;

__attribute__((visibility("default"))) int qemu_plugin_install(uint64_t id, const qemu_info_t *info, int argc,
                                                               char **argv);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*f)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*f)(unsigned cpu, void *user),
                                          int flags, void *user);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *at,
                                                uint64_t add);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*f)(uint64_t id, void *user), void *user);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

enum { CB_NO_REGS = 0, INLINE_ADD_U64 = 0 };

/* ---- What is known of the firmware ---------------------------------------------------------------- */

#define MAX_FUNCTIONS 8192U
#define MAX_NODES     (1U << 18)
#define MAX_DEPTH     256U
#define NONE          UINT32_MAX

static struct {
    uint32_t start;
    char kind;
} functions[MAX_FUNCTIONS];
static uint32_t function_count;

/* A run of instructions that is entered at its start only. */
struct block {
    uint32_t start, function;
    uint32_t back; /* where the call at its end returns to; NONE: it does not end in a call */
};

/* ---- Chains of calls ------------------------------------------------------------------------------- */

/* Nodes are numbered from 1; 0 is what called the reset handler. */
static struct {
    uint32_t parent, function;
    uint32_t children, next; /* children: the first of them */
    uint64_t count;
    bool told;
} nodes[MAX_NODES];
static uint32_t node_count = 1;

static uint32_t child_of(uint32_t parent, uint32_t function)
{
    uint32_t at;

    for (at = nodes[parent].children; at != 0; at = nodes[at].next) {
        if (nodes[at].function == function) {
            return at;
        }
    }
    if (node_count == MAX_NODES) {
        fputs("calls_plugin: too many chains of calls\n", stderr);
        exit(1);
    }
    at = node_count++;
    nodes[at].parent = parent;
    nodes[at].function = function;
    nodes[at].next = nodes[parent].children;
    nodes[parent].children = at;
    return at;
}

/* ---- Following the processor ----------------------------------------------------------------------- */

/* Calls that have not returned: where to, and the chain they were made from. */
static struct {
    uint32_t back, node;
} stack[MAX_DEPTH];

/* Where the processor is. An exception puts it aside and brings it back. */
struct place {
    uint32_t node, depth;
    uint32_t back; /* of the call that ended the last block; NONE: none did */
};
static struct place now = {0, 0, NONE}, interrupted;
static bool in_handler;

static uint64_t executed, accounted;
static FILE *out;

static void end_phase(int64_t function)
{
    uint32_t at;

    for (at = 0; at < node_count; at++) {
        if (nodes[at].count == 0) {
            continue;
        }
        if (!nodes[at].told) {
            fprintf(out, "node %" PRIu32 " %" PRIu32 " %" PRIu32 "\n", at, nodes[at].parent,
                    nodes[at].function);
            nodes[at].told = true;
        }
        fprintf(out, "%" PRIu32 " %" PRIu64 "\n", at, nodes[at].count);
        nodes[at].count = 0;
    }
    fprintf(out, "phase %" PRId64 "\n", function);
    fflush(out);
}

/* A jump to another function that is no call: its caller's frame is used up, but the chain remembers it.
 * A jump back to where the frame has been before goes back along the chain. */
static void jump(uint32_t function)
{
    uint32_t bottom = now.depth > 0 ? stack[now.depth - 1].node : 0;
    uint32_t at;

    for (at = now.node; at != bottom && at != 0; at = nodes[at].parent) {
        if (nodes[at].function == function) {
            now.node = at;
            return;
        }
    }
    now.node = child_of(now.node, function);
}

static void on_block(unsigned cpu, void *user)
{
    const struct block *block = user;
    bool entry = functions[block->function].start == block->start;

    (void)cpu;
    nodes[now.node].count += executed - accounted;
    accounted = executed;

    if (in_handler && now.depth == interrupted.depth && now.back == NONE &&
        nodes[now.node].function != block->function) {
        now = interrupted;
        in_handler = false;
    }
    if (entry && functions[block->function].kind == 'h' && !in_handler) {
        interrupted = now;
        in_handler = true;
        now.node = child_of(0, block->function);
        now.back = NONE;
    }

    if (now.back != NONE && now.back != block->start && now.depth < MAX_DEPTH) {
        stack[now.depth].back = now.back;
        stack[now.depth].node = now.node;
        now.depth++;
        now.node = child_of(now.node, block->function);
    } else if (now.depth > (in_handler ? interrupted.depth : 0) &&
               stack[now.depth - 1].back == block->start) {
        now.depth--;
        now.node = stack[now.depth].node;
    }
    if (nodes[now.node].function != block->function || now.node == 0) {
        jump(block->function);
    }
    now.back = block->back;
    if (entry && functions[block->function].kind != 'f') {
        end_phase(block->function);
    }
}

/* ---- Translation ------------------------------------------------------------------------------------ */

static uint32_t function_at(uint32_t address)
{
    uint32_t low = 0, high = function_count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (functions[middle].start <= address) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* BL, or BLX with a register. */
static bool is_call(const struct qemu_plugin_insn *insn)
{
    const uint8_t *code = qemu_plugin_insn_data(insn);
    unsigned first = code[0] | (unsigned)code[1] << 8;

    if (qemu_plugin_insn_size(insn) == 2) {
        return (first & 0xff80U) == 0x4780U;
    }
    return (first & 0xf800U) == 0xf000U && (code[3] & 0xd0U) == 0xd0U;
}

static void on_translation(uint64_t id, struct qemu_plugin_tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb), i;
    const struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, count - 1);
    struct block *block = malloc(sizeof *block); /* QEMU keeps it for as long as it runs */

    (void)id;
    if (block == NULL) {
        abort();
    }
    block->start = (uint32_t)qemu_plugin_tb_vaddr(tb);
    block->function = function_at(block->start);
    block->back =
        is_call(last) ? (uint32_t)(qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last)) : NONE;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, CB_NO_REGS, block);
    for (i = 0; i < count; i++) {
        /* Not the block's length at its start: an access to a device may end it early. */
        qemu_plugin_register_vcpu_insn_exec_inline(qemu_plugin_tb_get_insn(tb, i), INLINE_ADD_U64, &executed,
                                                   1);
    }
}

static void on_exit(uint64_t id, void *user)
{
    (void)id;
    (void)user;
    nodes[now.node].count += executed - accounted;
    end_phase(-1);
    fclose(out);
}

/* ---- Start ------------------------------------------------------------------------------------------- */

static bool read_functions(const char *path)
{
    FILE *file = fopen(path, "r");

    if (file == NULL) {
        return false;
    }
    while (function_count < MAX_FUNCTIONS && fscanf(file, "%" SCNx32 " %c", &functions[function_count].start,
                                                    &functions[function_count].kind) == 2) {
        function_count++;
    }
    fclose(file);
    return function_count > 0 && function_count < MAX_FUNCTIONS;
}

int qemu_plugin_install(uint64_t id, const qemu_info_t *info, int argc, char **argv)
{
    int i;

    (void)info;
    for (i = 0; i < argc; i++) {
        if (strncmp(argv[i], "functions=", 10) == 0 && !read_functions(argv[i] + 10)) {
            fprintf(stderr, "calls_plugin: cannot use %s\n", argv[i] + 10);
            return 1;
        }
        if (strncmp(argv[i], "out=", 4) == 0) {
            out = fopen(argv[i] + 4, "w");
        }
    }
    if (function_count == 0 || out == NULL) {
        fputs("calls_plugin: functions=FILE and out=FILE are needed\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit, NULL);
    return 0;
}
