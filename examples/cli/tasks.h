/* SPDX-License-Identifier: MIT
 *
 * What the tool sends: tasks from the command line, then commands from stdin, strictly in order. A
 * task that finds no room is kept and tried again; no line is lost. Answers to requests are awaited.
 */
#ifndef CLI_TASKS_H
#define CLI_TASKS_H

#include "xmpp_tiny.h"

#define CLI_LINE_MAX 66000 /* bytes of a command; no longer stanza fits a transmit buffer */

enum cli_task_kind { CLI_MESSAGE, CLI_PRESENCE, CLI_PING, CLI_PASSWORD, CLI_IQ, CLI_RAW, CLI_QUIT };

/* Strings are slices of argv or of the line buffer. */
struct cli_task {
    enum cli_task_kind kind;
    struct xmpp_tiny_str to;   /* absent: our own server */
    struct xmpp_tiny_str type; /* presence and iq */
    struct xmpp_tiny_str show;
    struct xmpp_tiny_str text; /* body, status, password, payload or stanza */
};

struct cli_request {
    uint16_t number; /* 0: free */
    enum cli_task_kind kind;
    uint32_t since;
    char to[XMPP_TINY_JID_MAX + 1];
};

struct cli_tasks {
    const struct cli_task *list;
    size_t count, next;
    bool reading;      /* more may come from stdin */
    bool quit;         /* was said; everything before it is sent */
    uint32_t messages; /* sent: gives ids */
    int failure;       /* exit status that the first failed task earned; 0: none failed */
    struct cli_request requests[XMPP_TINY_MAX_REQUESTS];
    bool overlong;     /* the rest of a line that is too long is being dropped */
    size_t start, end; /* what was read and not yet sent is line[start..end) */
    char line[CLI_LINE_MAX];
};

/* Make a task of words. Return NULL, or what is wrong in a few words. */
const char *cli_task_message(struct cli_task *t, struct xmpp_tiny_str to, struct xmpp_tiny_str body);
const char *cli_task_presence(struct cli_task *t, struct xmpp_tiny_str show, struct xmpp_tiny_str status);
const char *cli_task_ping(struct cli_task *t, struct xmpp_tiny_str to);
const char *cli_task_password(struct cli_task *t, struct xmpp_tiny_str password);

/* The list is kept, not copied. */
void cli_tasks_init(struct cli_tasks *s, const struct cli_task *list, size_t count, bool reads_stdin);

/* True when stdin should be read as soon as it has something. */
bool cli_tasks_want_input(const struct cli_tasks *s);

/* Reads what stdin has. When: it is readable. */
void cli_tasks_input(struct cli_tasks *s);

/* Sends what can be sent now. Returns true when it got anywhere. When: online. */
bool cli_tasks_run(struct cli_tasks *s, struct xmpp_tiny *x);

/* True when nothing waits to be sent or answered now. */
bool cli_tasks_idle(const struct cli_tasks *s);

/* Reports the answer to a request: a pong, a new password, an iq, or that none came. */
void cli_tasks_answer(struct cli_tasks *s, const struct xmpp_tiny_event *event);

#endif
