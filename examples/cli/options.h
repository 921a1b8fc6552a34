/* SPDX-License-Identifier: MIT
 *
 * What the command line asks for. Strings point into argv; secrets are copied and wiped at the end.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "tasks.h"
#include "xmpp_tiny.h"

#define CLI_TASKS_MAX  64      /* --send, --presence, --ping, --change-password on one command line */
#define CLI_CAS_MAX    16      /* --ca */
#define CLI_PINS_MAX   16      /* --pin */
#define CLI_WAIT_MAX   2000000 /* seconds of --wait, --ping-after */
#define CLI_RETRY_MAX  3600000 /* milliseconds of --retry, --retry-max */
#define CLI_QUEUE      16384   /* bytes of it with --session or --keep */
#define CLI_QUEUE_MAX  64767   /* bytes of --queue: XMPP_TINY_TX_MAX - XMPP_TINY_TX_MIN */
#define CLI_SECRET_MAX 1024

#define CLI_QUOTED(number)  #number
#define CLI_TEXT_OF(number) CLI_QUOTED(number)

enum cli_exit { CLI_DONE, CLI_USAGE, CLI_NO_CONNECTION, CLI_NO_TRUST, CLI_NO_LOGIN, CLI_PROTOCOL, CLI_LATE };

struct cli_secret {
    char text[CLI_SECRET_MAX];
    bool given;
};

struct cli_options {
    char jid[XMPP_TINY_JID_MAX + 1]; /* with the resource asked for */
    struct cli_secret password, new_password;
    bool needs_password; /* or the keys in the file */
    char host[256];      /* empty: the JID's domain */
    uint16_t port;
    enum xmpp_tiny_tls tls;
    const char *cas[CLI_CAS_MAX];
    size_t ca_count;
    uint8_t pins[CLI_PINS_MAX][32];
    size_t pin_count;
    bool first_use, forgets, accepts_change, creates_account, classic, waits_for_answers, carbons, inactive;
    const char *saved; /* a file, or NULL */
    bool session;      /* it holds a session that goes on in the next run */
    bool keep, resend, queue_given;
    uint32_t queue, ping_ms, retry_ms, retry_max_ms;
    bool checks;
    uint16_t direct_port; /* of --check */
    const char *cert, *key;
    uint32_t mechanisms;
    struct cli_task tasks[CLI_TASKS_MAX];
    size_t task_count;
    bool waits;
    uint32_t wait_ms;
    bool reads_stdin, json, trace;
    uint32_t timeout_ms;
    uint32_t rx, tx, tls_buffer;
};

/* What --help says behind the list of options. */
#define CLI_HELP_PARTS 3
extern const char *const cli_help[CLI_HELP_PARTS];

/* Reads the command line and the passwords. Returns true to go on; else *status is the exit status:
 * the help was printed, or what is wrong is on stderr. */
bool cli_options_read(struct cli_options *o, int argc, char **argv, int *status);

#endif
