/* SPDX-License-Identifier: MIT
 *
 * Link-loss tests: each scenario is played once without a fault, then once for each fault there can be, or
 * for each pair of them. README.md says what is checked.
 *
 *     test_loss [-v] [-s NAME] [-t STEP | -p STEP | -f KIND AT [-f KIND AT]] [PART/PARTS]
 *
 * -s: one scenario; -t: every STEP-th fault alone; -p: every STEP-th pair; -f: these faults, shown line by
 * line, "none 0" for none; -v: all failures are shown, not the first 40; PART/PARTS: this share of the
 * scenarios.
 */
#include "loss.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct loss_scenario scenarios[] = {
    {"classic", W_SM, "comppqswmsiqmgsw"},
    {"start", W_SM | W_START | W_PATIENT, "compqswdxcwsmw"},
    {"queued", W_SM | W_AWAY, "mpcqswmsw"},
    {"no-sm", 0, "compqswmsiqmgsw"},
    {"no-saved", W_SM | W_NO_SAVED, "compqswmsiqmw"},
    {"resend", W_SM | W_RESEND, "compqsmCmmwsLmmwmw"},
    {"resend-no-sm", W_RESEND, "comwmmyCmmwpw"},
    {"tells", W_SM | W_TELLS, "compmsyLmmwqsLmw"},
    {"tells-resend", W_SM | W_TELLS | W_RESEND, "compmsyLmmwqsLmw"},
    {"short-lived", W_SM | W_SHORT_LIVED, "compmsyCmmwqsiCmw"},
    {"resume", W_SM, "compqsmCsmmiwmCCsgwmmsyCmw"},
    {"suspend", W_SM, "compwmzxmscwsmzxscw"},
    {"suspend-quiet", W_SM | W_QUIET, "compwmzxmscwsmzxscw"},
    {"keep", W_SM | W_KEEP, "compqsmCsmmiwLmmwCsgw"},
    {"keep-no-sm", W_KEEP, "compqmCmmwCpw"},
    {"keep-resend", W_SM | W_KEEP | W_RESEND, "compqsmCsmmiwLmmwCsgw"},
    {"echo", W_SM | W_ECHO, "compsssCsswss"},
    {"full", W_SM | W_SMALL, "commmqmmmpswmmw"},
    {"full-echo", W_SM | W_SMALL | W_ECHO, "comsssqmmiwssmCsmmw"},
    {"full-keep", W_SM | W_SMALL | W_ECHO | W_KEEP, "mcssmmiCsswLmw"},
    {"pings", W_SM | W_PINGS, "comwTswTw"},
    {"pings-no-sm", W_PINGS | W_KEEP, "comwTswTw"},
    {"sasl2", W_SM | W_SASL2, "compqsmCsmmiwsLmw"},
    {"sasl2-late", W_SM | W_SASL2 | W_LATE | W_INACTIVE, "compqsmCsmmiwzxcaw"},
    {"sasl2-no-sm", W_SASL2, "compqsmwmsw"},
    {"sasl2-resend", W_SM | W_SASL2 | W_RESEND | W_TELLS, "compqsmCmLmmmw"},
    {"fast", W_SM | W_SASL2 | W_FAST | W_TLS_SAVED, "compqsmCsmmiwdxcmszxcw"},
    {"fast-rotate", W_SM | W_SASL2 | W_FAST | W_ROTATE, "compsmCsmiwdxcmszxcw"},
    {"fast-patient", W_SM | W_SASL2 | W_FAST | W_ROTATE | W_PATIENT, "compsCsmwzxcmw"},
    {"fast-keep", W_SM | W_SASL2 | W_FAST | W_ROTATE | W_KEEP | W_RESEND, "compsCsmmiwLmw"},
    {"sleep", W_SM | W_SAVE_POLL, "compqsmwzxmsPcwsmiwPmw"},
    {"sleep-event", W_SM | W_SAVE_EVENT, "compqsmwzxmskPcwsmiwPmw"},
    {"sleep-hand", W_SM | W_HAND, "compsmwzxkPmscwmkswzxkPcw"},
    {"sleep-fast", W_SM | W_SASL2 | W_FAST | W_ROTATE | W_SAVE_POLL, "compsmwzxPmscwsmwPmsw"},
    {"sleep-fast-event", W_SM | W_SASL2 | W_FAST | W_ROTATE | W_SAVE_EVENT | W_ECHO, "compsmwzxPmscwsmwPmsw"},
    {"sleep-no-text", W_SM | W_SAVE_POLL | W_NO_TEXT, "compsmmwmmzxPmscw"},
    {"sleep-resend", W_SM | W_SAVE_POLL | W_RESEND | W_TELLS, "compsmwmLPmsw"},
    {"sleep-no-sm", W_SAVE_POLL, "compmwmPmsw"},
    {"sleep-full", W_SM | W_SAVE_POLL | W_SMALL | W_ECHO | W_KEEP, "comsmwmCsPmsw"},
};
#define SCENARIOS (sizeof scenarios / sizeof *scenarios)

static const char *const kinds[LOSS_KINDS] = {
    "none",       "up-reset",   "up-end",     "up-silent",  "down-reset",  "down-end",    "down-silent",
    "call-fails", "call-again", "call-short", "power-call", "power-event", "power-after", "older",
    "oldest",     "no-blob",    "restart",    "shutdown",   "forget"};

static unsigned passed, failed, shown;
static bool verbose;

static void count(const struct loss_scenario *s, const struct loss_fault *a, const struct loss_fault *b)
{
    bool ok = loss_run(s, a, b);
    if (ok) {
        passed++;
        return;
    }
    failed++;
    if (verbose || shown++ < 40)
        printf("%s, %s at %u, %s at %u: %s\n", s->name, kinds[a ? a->kind : 0], a ? a->at : 0,
               kinds[b ? b->kind : 0], b ? b->at : 0, loss.why);
}

/* How often each kind of fault can strike in this scenario. */
static void limits(const struct loss_scenario *s, unsigned *most)
{
    bool saves = s->flags & (W_SAVE_POLL | W_SAVE_EVENT | W_HAND);
    memset(most, 0, LOSS_KINDS * sizeof *most);
    count(s, NULL, NULL);
    for (int k = LOSS_UP_RESET; k <= LOSS_UP_SILENT; k++)
        most[k] = loss.up;
    for (int k = LOSS_DOWN_RESET; k <= LOSS_DOWN_SILENT; k++)
        most[k] = loss.down;
    for (int k = LOSS_CALL_FAILS; k <= LOSS_CALL_SHORT; k++)
        most[k] = loss.calls;
    if (saves) {
        most[LOSS_POWER_CALL] = loss.calls;
        for (int k = LOSS_POWER_EVENT; k <= LOSS_NO_BLOB; k++)
            most[k] = loss.events;
    }
    for (int k = LOSS_RESTART; k <= LOSS_FORGET; k++)
        most[k] = loss.units;
}

/* The n-th of all faults there can be. */
static struct loss_fault nth_fault(const unsigned *most, uint64_t n)
{
    struct loss_fault f = {LOSS_NONE, 0};
    for (int k = 1; k < LOSS_KINDS; k++) {
        if (n <= most[k]) {
            f.kind = (enum loss_kind)k;
            f.at = (unsigned)n;
            break;
        }
        n -= most[k] + 1U;
    }
    return f;
}

/* Every step-th fault alone, or every step-th pair. */
static void faults(const struct loss_scenario *s, uint64_t step, bool pairs)
{
    unsigned most[LOSS_KINDS];
    uint64_t count_all = 0, n;
    limits(s, most);
    if (verbose)
        printf("%s: %u bytes up, %u down, %u calls, %u events, %u units\n", s->name, loss.up, loss.down,
               loss.calls, loss.events, loss.units);
    for (int k = 1; k < LOSS_KINDS; k++)
        count_all += most[k] + 1U;
    for (n = step / 2; n < (pairs ? count_all * count_all : count_all); n += step) {
        struct loss_fault a = nth_fault(most, n % count_all), b = nth_fault(most, n / count_all);
        count(s, &a, pairs ? &b : NULL);
    }
}

/* One run, shown line by line. */
static void show(const struct loss_scenario *s, const struct loss_fault *a, const struct loss_fault *b)
{
    loss.verbose = true;
    count(s, a->kind ? a : NULL, b->kind ? b : NULL);
    loss.verbose = false;
}

static enum loss_kind kind_named(const char *name)
{
    for (int k = 0; k < LOSS_KINDS; k++)
        if (strcmp(name, kinds[k]) == 0)
            return (enum loss_kind)k;
    return LOSS_NONE;
}

int main(int argc, char **argv)
{
    const char *name = NULL;
    struct loss_fault shown_faults[2] = {{LOSS_NONE, 0}, {LOSS_NONE, 0}};
    unsigned part = 0, parts = 1, given = 0;
    uint64_t step = 1;
    bool pairs = false, one = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc) {
            name = argv[++i];
        } else if ((strcmp(argv[i], "-p") == 0 || strcmp(argv[i], "-t") == 0) && i + 1 < argc) {
            pairs = argv[i][1] == 'p';
            step = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "-f") == 0 && i + 2 < argc && given < 2) {
            shown_faults[given].kind = kind_named(argv[++i]);
            shown_faults[given++].at = (unsigned)strtoul(argv[++i], NULL, 10);
            one = true;
        } else if (sscanf(argv[i], "%u/%u", &part, &parts) != 2 || parts == 0) {
            return 2;
        }
    }
    for (size_t i = 0; i < SCENARIOS; i++) {
        unsigned before = failed;
        if ((name && strcmp(name, scenarios[i].name) != 0) || i % parts != part % parts)
            continue;
        if (one)
            show(&scenarios[i], &shown_faults[0], &shown_faults[1]);
        else
            faults(&scenarios[i], step ? step : 1, pairs);
        if (failed > before)
            printf("%s: %u failed\n", scenarios[i].name, failed - before);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
