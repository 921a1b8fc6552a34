/* SPDX-License-Identifier: MIT
 *
 * What the tool sends: tasks from the command line, then commands from stdin, strictly in order. A
 * task that finds no room waits until there is; no line is lost. Answers to requests are awaited, and with a
 * queue the end of each stanza.
 */
#ifndef CLI_TASKS_H
#define CLI_TASKS_H

#include "ids.h"
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
    struct xmpp_tiny_str id;   /* absent: one is made where one is needed */
};

struct cli_request {
    uint16_t number; /* 0: free */
    enum cli_task_kind kind;
    uint32_t since;
    char to[XMPP_TINY_JID_MAX + 1];
    char id[CLI_ID_MAX + 1]; /* by which the answer is shown; empty: its own */
};

/* What those who see our presence saw last; a new session has to say it again. */
struct cli_presence {
    bool said, due;
    char show[8], status[CLI_LINE_MAX];
};

struct cli_tasks {
    const struct cli_task *list;
    size_t count, next;
    bool reading; /* more may come from stdin */
    bool quit;    /* was said; everything before it is sent */
    bool queue;   /* stanzas are tagged, and may be sent at any time */
    bool keep;    /* a lost connection is no failure */
    bool full;    /* there was no room; nothing is tried until there may be */
    bool online;  /* was, once */
    int failure;  /* exit status that the first failed task earned; 0: none failed */
    struct cli_ids ids;
    struct cli_presence presence;
    struct cli_request requests[XMPP_TINY_MAX_REQUESTS];
    bool overlong;     /* the rest of a line that is too long is being dropped */
    size_t start, end; /* what was read and not yet sent is line[start..end) */
    char line[CLI_LINE_MAX];
    char raw[CLI_LINE_MAX + 6 * CLI_ID_MAX + 8]; /* a stanza that is given an id */
};

/* Make a task of words. Return NULL, or what is wrong in a few words. */
const char *cli_task_message(struct cli_task *t, struct xmpp_tiny_str to, struct xmpp_tiny_str body);
const char *cli_task_presence(struct cli_task *t, struct xmpp_tiny_str show, struct xmpp_tiny_str status);
const char *cli_task_ping(struct cli_task *t, struct xmpp_tiny_str to);
const char *cli_task_password(struct cli_task *t, struct xmpp_tiny_str password);

/* The list is kept, not copied. queue and keep are false. */
void cli_tasks_init(struct cli_tasks *s, const struct cli_task *list, size_t count, bool reads_stdin);

/* True when stdin should be read as soon as it has something. */
bool cli_tasks_want_input(const struct cli_tasks *s);

/* Reads what stdin has. When: it is readable. */
void cli_tasks_input(struct cli_tasks *s);

/* Sends what can be sent now. Returns true when it got anywhere. When: online, or with a queue. */
bool cli_tasks_run(struct cli_tasks *s, struct xmpp_tiny *x);

/* True when nothing waits to be sent, delivered or answered now. */
bool cli_tasks_idle(const struct cli_tasks *s);

/* Reports the answer to a request: a pong, a new password, an iq, or that none came. */
void cli_tasks_answer(struct cli_tasks *s, const struct xmpp_tiny_event *event);

/* Reports the end of a stanza: DELIVERED, UNDELIVERED. */
void cli_tasks_delivered(struct cli_tasks *s, const struct xmpp_tiny_event *event);

/* The session will not be resumed: what it left behind is undelivered. */
void cli_tasks_give_up(struct cli_tasks *s);

/* There may be room again. */
void cli_tasks_room(struct cli_tasks *s);

/* A session has begun, or goes on. */
void cli_tasks_online(struct cli_tasks *s, bool resumed);

#endif
