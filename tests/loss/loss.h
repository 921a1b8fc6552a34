/* SPDX-License-Identifier: MIT
 *
 * A world for link-loss tests: one client over a transport that fails where it is told to, a server that
 * keeps accounts of stanzas, and an application that keeps its own. No network, no clock, no randomness.
 */
#ifndef LOSS_H
#define LOSS_H

#include "xmpp_tiny.h"

#include <setjmp.h>

#define LOSS_STANZAS  96 /* numbered ones, in each direction */
#define LOSS_SESSIONS 48
#define LOSS_BLOBS    160
#define LOSS_PIPE     16384
#define LOSS_LOG      64

/* What the server can do, how the client is configured and what the application is like. */
enum {
    W_SM = 1 << 0,           /* the server has stream management */
    W_SASL2 = 1 << 1,        /* and SASL2 with Bind 2 and inline resumption */
    W_FAST = 1 << 2,         /* and tokens */
    W_ROTATE = 1 << 3,       /* which change with each login */
    W_START = 1 << 4,        /* STARTTLS */
    W_PATIENT = 1 << 5,      /* no_pipelining */
    W_KEEP = 1 << 6,         /* keep */
    W_RESEND = 1 << 7,       /* resend */
    W_NO_SAVED = 1 << 8,     /* nothing is remembered */
    W_TELLS = 1 << 9,        /* <failed/> tells how many were handled */
    W_SHORT_LIVED = 1 << 10, /* sessions end with their connection */
    W_ECHO = 1 << 11,        /* each message is answered with another, in the callback */
    W_SMALL = 1 << 12,       /* the queue holds one stanza */
    W_SAVE_EVENT = 1 << 13,  /* saved in each event, when the application has written down what it tells */
    W_SAVE_POLL = 1 << 14,   /* saved after each poll and before the next, if something changed */
    W_NO_TEXT = 1 << 15,     /* no room for stanzas in what is saved */
    W_TLS_SAVED = 1 << 16,   /* TLS sessions go on */
    W_PINGS = 1 << 17,       /* the server is asked soon whether it is there */
    W_QUIET = 1 << 18,       /* the server does not ask */
    W_INACTIVE = 1 << 19,
    W_LATE = 1 << 20,    /* features come before what follows success, not at once */
    W_HAND = 1 << 21,    /* saved by hand only */
    W_AWAY = 1 << 22,    /* stanzas are accepted before the first connection */
    W_HEARD = 1 << 23,   /* it began elsewhere: stanzas are told apart by their text */
    W_NO_QUEUE = 1 << 24 /* what becomes of stanzas is not told */
};

/* One letter a step; loss_script() says what each does. */
struct loss_scenario {
    const char *name;
    uint32_t flags;
    const char *script;
};

/* Where a fault strikes: at which byte, call, event or unit of all that a run sees. */
enum loss_kind {
    LOSS_NONE,
    LOSS_UP_RESET,   /* the server gets so many bytes and no more, and what it answered last is lost */
    LOSS_UP_END,     /* likewise, but it ends in order: what it answered arrives */
    LOSS_UP_SILENT,  /* likewise, but nobody is told */
    LOSS_DOWN_RESET, /* the same for what the client gets */
    LOSS_DOWN_END,
    LOSS_DOWN_SILENT,
    LOSS_CALL_FAILS,  /* a call of the port fails */
    LOSS_CALL_AGAIN,  /* it asks for patience, and so do the next 30 */
    LOSS_CALL_SHORT,  /* it moves one byte, and so do the next 60 */
    LOSS_POWER_CALL,  /* power off in a call of the port; the last blob */
    LOSS_POWER_EVENT, /* in an event that was not looked at yet */
    LOSS_POWER_AFTER, /* in an event that was written down */
    LOSS_OLDER,       /* likewise; the blob before the last */
    LOSS_OLDEST,      /* likewise; the first blob with a session */
    LOSS_NO_BLOB,     /* likewise; nothing was saved */
    LOSS_RESTART,     /* the server starts anew when it has handled so many units: sessions are forgotten */
    LOSS_SHUTDOWN,    /* the same, and it says so first */
    LOSS_FORGET,      /* and tokens are forgotten, too */
    LOSS_KINDS
};
struct loss_fault {
    enum loss_kind kind;
    unsigned at;
};

enum loss_item_kind { ITEM_MESSAGE, ITEM_PRESENCE, ITEM_QUERY, ITEM_PING, ITEM_RESULT };
struct loss_item {
    enum loss_item_kind kind;
    unsigned number;
    char id[24], to[64];
    const char *text; /* overheard; else it is made of the above */
};
struct loss_session {
    bool alive;     /* may be resumed, or is in use */
    bool counts;    /* stream management */
    bool lasts;     /* it was asked to, and granted */
    bool droppable; /* it did without, and lost a connection */
    uint32_t in, out;
    unsigned last;         /* the client's last number */
    char id[64];           /* what it is resumed by */
    bool asked, enabled;   /* overheard: for one that lasts; given */
    uint8_t log[LOSS_LOG]; /* overheard: the last numbers that came in, as many as were counted */
    unsigned logged, repeated;
    struct loss_item queue[LOSS_STANZAS];
    unsigned queued;
};

/* The application's state, which goes with the blob. */
enum { END_NONE, END_OPEN, END_DELIVERED, END_UNDELIVERED };
struct loss_journal {
    uint8_t end[LOSS_STANZAS], asked[LOSS_STANZAS]; /* asked: END_OPEN until there was an answer */
    uint16_t request[LOSS_STANZAS];
    uint32_t asked_at[LOSS_STANZAS];
    uint8_t got[LOSS_STANZAS], got_in[LOSS_STANZAS]; /* how often, and in which session */
    unsigned step;
    bool wanted; /* the application wants to be on line */
};
struct loss_blob {
    uint8_t data[sizeof(struct xmpp_tiny_saved) + 2048];
    size_t len;
    struct loss_journal journal;
    unsigned known, maybe; /* the session in it; maybe: if it was handled by then */
    uint32_t clock;
};

struct loss_pipe {
    char at[LOSS_PIPE];
    size_t from, to;
};

struct loss_world {
    /* the test */
    const struct loss_scenario *scenario;
    struct loss_fault faults[2];
    char why[240];
    bool failed, verbose;
    uint32_t now, begun;
    unsigned activity, polls;
    unsigned clock; /* of what happened, for before and after */
    jmp_buf power;
    enum loss_kind power_kind;
    /* what faults are counted by */
    unsigned up, down, calls, events, units;
    unsigned patience, shorts;
    uint64_t errors; /* codes that may be told, by the faults so far */
    /* the transport */
    bool open, secured, reset, ended, silent, shut;
    unsigned connections, swallowed;
    /* the server */
    bool link, tls, authenticated, inline_bound, asked_resume, closing;
    bool ends;
    const char *domain;
    bool hears, lost_track;          /* a transcript is the server; what it does is beyond us */
    bool keeps;                      /* the client has a session when it is cut off .. */
    bool unsent[LOSS_STANZAS];       /* .. and what had not left by then */
    bool took_back;                  /* it told that something had not come in after all */
    bool sasl2;                      /* as it was heard to offer */
    uint32_t resumes_at;             /* overheard: the client wants to resume, and has handled so many */
    char resumes[64];                /* .. what; empty: it does not */
    bool binds, asks_to_last;        /* in the same breath */
    unsigned session, session_count; /* of this connection; 0: none */
    unsigned enabled_at;             /* byte of the connection at which the client knows of the session, .. */
    unsigned enabled, granted, read; /* .. and which; granted: it counts from ONLINE on */
    unsigned sent_down;              /* bytes of all connections that were sent to the client */
    struct loss_item offline[LOSS_STANZAS];
    unsigned offline_count;
    unsigned numbers; /* sent to the client so far, and .. */
    enum loss_item_kind kinds[LOSS_STANZAS];
    bool droppable[LOSS_STANZAS];
    uint8_t replied[LOSS_STANZAS], emitted[LOSS_STANZAS];
    unsigned token, token_before, pings;
    uint32_t asked_at;
    bool inactive;
    /* the truth of what the client sent */
    uint8_t handled[LOSS_STANZAS], handled_in[LOSS_STANZAS];
    bool forgotten[LOSS_STANZAS], loaded[LOSS_STANZAS]; /* accepted before the power failed */
    unsigned handled_at[LOSS_STANZAS];
    unsigned last_first, stack_at[LOSS_SESSIONS];
    const char *sent_text[LOSS_STANZAS], *said_text[LOSS_STANZAS]; /* what was overheard */
    unsigned rollbacks;                                            /* told to the server */
    /* the truth of what the client knows */
    unsigned known;                               /* the session that it has to resume; 0: none */
    unsigned maybe;                               /* or this one, if what granted it was handled in time */
    bool ghost[LOSS_STANZAS], told[LOSS_STANZAS]; /* got, and forgotten with the power; and that was told */
    bool power_failed, goes_back, session_lost, given_up;
    unsigned loaded_clock;
    bool adrift; /* what was loaded has not met its server yet */
    /* the application */
    struct xmpp_tiny *x;
    struct xmpp_tiny_config config;
    struct xmpp_tiny_saved saved;
    size_t kept; /* bytes of texts */
    struct loss_journal journal;
    unsigned serial;
    bool dirty; /* something happened that was not saved */
    bool full;  /* an answer found no room: what has left may be stripped to its tag */
    bool room, ending, suspended, told_error, was_online, final, finished, closed, done[64];
    int error_code;
    uint32_t until;
    uint32_t seed;
    struct loss_session sessions[LOSS_SESSIONS]; /* from here on nothing is kept that is not counted above */
    struct loss_pipe to_server, to_client;
    struct loss_blob blobs[LOSS_BLOBS];
    unsigned blob_count, session_blob;
};

/* The one world there is: reset by loss_run(). */
extern struct loss_world loss;

/* world.c: plays a scenario with up to two faults. True if all accounts balance; else loss.why says. */
bool loss_run(const struct loss_scenario *s, const struct loss_fault *a, const struct loss_fault *b);
void loss_fail(const char *format, ...);
void loss_see(const char *format, ...);
void loss_told(void);
/* What loss_run() does in parts, for those who begin otherwise. */
void loss_begin(const struct loss_scenario *s);
bool loss_play(void);

/* For a client that began elsewhere. loss_hear(): nothing was said yet; loss_accepted(): the client took
 * number loss.serial + 1 and answered so; loss_heard_event(): it told this;
 * loss_save(): what was saved goes to loss.blobs; loss_lose_power(): the accounts are what they were then, or
 * nothing (NULL). loss_adopt(): it is ours, over our transport, from where the accounts are; what it was
 * connected to is cut, or power fails. */
void loss_hear(void);
void loss_accepted(int result, bool request);
void loss_heard_event(const struct xmpp_tiny_event *e);
void loss_save(void);
void loss_lose_power(const struct loss_blob *b);
void loss_adopt(const struct loss_scenario *s, const struct xmpp_tiny_config *like, enum loss_kind fault);
const char *loss_keep(const char *text);
extern const struct xmpp_tiny_stream_ops loss_ops;

/* server.c */
void server_open(void);
void server_feed(const char *p, size_t len);
void server_lost(void);                     /* its end of the connection is gone */
void server_forget(bool tokens, bool rst);  /* it starts anew */
void server_send(enum loss_item_kind kind); /* a numbered stanza to the client */
void server_tick(void);                     /* what is due by the clock */
bool server_settled(void);                  /* the client has all there is */
bool server_took(const struct loss_journal *j, const struct loss_item *item);
void server_say(const char *text);

/* What a connection sees that a transcript serves: a new one, what the client sends, what is sent to it. */
void server_hear(void);
void server_heard_up(const char *p, size_t len);
void server_heard_down(const char *p, size_t len);
#endif
