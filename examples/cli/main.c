/* SPDX-License-Identifier: MIT
 *
 * xmpp-tiny: XMPP from the command line, and from scripts.
 *
 * options.c reads what is wanted, tasks.c sends it in order, report.c prints what happens; here is the
 * connection and the one loop. A host program: it has large buffers and uses stdio.
 */
#define _POSIX_C_SOURCE 200809L

#include "check.h"
#include "gate.h"
#include "options.h"
#include "report.h"
#include "saved.h"
#include "tasks.h"

#include "../common.h"
#include "port/bearssl.h"
#include "port/bearssl_pem.h"
#include "port/posix.h"

#include <stdio.h>
#include <unistd.h>

#define CHAIN_MAX 8     /* certificates of our own chain */
#define SLEEP_MS  1000U /* at most, so that a signal just before a sleep is not missed for long */

static const char system_cas[] = "/etc/ssl/certs/ca-certificates.crt";

/* A client certificate; memory holds the key as well. */
struct identity {
    struct xmpp_tiny_bearssl_identity identity;
    struct xmpp_tiny_bearssl_key key;
    br_x509_certificate chain[CHAIN_MAX];
    uint8_t memory[32768];
    char text[65536];
};

struct app {
    struct cli_options options;
    struct cli_tasks tasks;
    struct xmpp_tiny x;
    struct xmpp_tiny_config config;
    struct xmpp_tiny_platform platform;
    struct xmpp_tiny_posix tcp;
    struct cli_gate gate;
    struct xmpp_tiny_bearssl tls;
    struct xmpp_tiny_bearssl_config tls_config;
    struct identity identity;
    struct xmpp_tiny_saved saved;
    bool online, was_online, leaving, closed;
    struct cli_check check;
    char domain[256];
    struct xmpp_tiny_security login; /* once authenticated; its texts are gone when the connection is */
    bool promised;                   /* to store what changed before another byte leaves */
    bool unsaved;                    /* what had to be stored could not be */
    uint32_t since;                  /* when --wait began */
    int error;                       /* enum xmpp_tiny_err that ended the connection, or 0 */
    int lost;                        /* the one that --keep made light of */
    char rx[XMPP_TINY_RX_MAX], tx[XMPP_TINY_TX_MAX];
    unsigned char tls_in[XMPP_TINY_BEARSSL_IN_MAX], tls_out[XMPP_TINY_BEARSSL_OUT_MAX];
};

/* ---- Events ------------------------------------------------------------------------------------ */

/* Replaces the file. Failure is told once. */
static bool store(struct app *a)
{
    if (a->unsaved)
        return false;
    a->promised = false;
    a->unsaved = !cli_saved_store(a->options.saved, &a->x, &a->tasks.ids);
    return !a->unsaved;
}

static void store_session(struct app *a)
{
    if (a->options.session && (a->promised || xmpp_tiny_changed(&a->x)))
        (void)store(a);
}

/* Whatever the server learns of is stored before: it forgets what is acknowledged. */
static void on_write(void *user)
{
    store_session(user);
}

static void on_online(struct app *a, const struct xmpp_tiny_event *event,
                      const struct xmpp_tiny_security *security)
{
    if (!a->was_online && !a->options.keep)
        a->since = a->platform.now_ms(a->platform.ctx);
    a->online = true;
    a->was_online = true;
    cli_report_online(event, security);
    cli_tasks_online(&a->tasks, event->resumed);
}

static void on_authenticated(struct app *a, const struct xmpp_tiny_security *security, bool changed)
{
    a->login = *security;
    cli_report_authenticated(security, changed && a->options.saved != NULL && store(a));
}

/* The connection has ended, and another follows. */
static void on_disconnected(struct app *a, const struct xmpp_tiny_event *event)
{
    a->online = false;
    a->error = 0;
    a->lost = event->error.code;
    cli_report_event(event);
}

static int handle(struct app *a, struct xmpp_tiny *x, const struct xmpp_tiny_event *event)
{
    struct xmpp_tiny_security security = {.trust = XMPP_TINY_TRUST_NONE};
    (void)xmpp_tiny_security(x, &security); /* STATE until there is TLS */
    switch (event->kind) {
    case XMPP_TINY_EVENT_CHANGED:
        cli_report_changed(&security, &a->saved);
        return a->options.accepts_change ? XMPP_TINY_ACCEPT : 0;
    case XMPP_TINY_EVENT_SECURED:
        cli_report_secured(&security);
        return 0;
    case XMPP_TINY_EVENT_AUTHENTICATED:
        on_authenticated(a, &security, event->saved);
        return 0;
    case XMPP_TINY_EVENT_ONLINE:
        on_online(a, event, &security);
        return 0;
    case XMPP_TINY_EVENT_ANSWER:
        cli_tasks_answer(&a->tasks, event);
        return 0;
    case XMPP_TINY_EVENT_DELIVERED:
    case XMPP_TINY_EVENT_UNDELIVERED:
        cli_tasks_delivered(&a->tasks, event);
        return 0;
    case XMPP_TINY_EVENT_ROOM:
        cli_tasks_room(&a->tasks);
        return 0;
    case XMPP_TINY_EVENT_DISCONNECTED:
        on_disconnected(a, event);
        return 0;
    case XMPP_TINY_EVENT_ERROR:
        a->error = event->error.code;
        break;
    case XMPP_TINY_EVENT_CLOSED:
        a->closed = true;
        if (!a->options.session)
            cli_tasks_give_up(&a->tasks);
        break;
    case XMPP_TINY_EVENT_CONNECTED:
    case XMPP_TINY_EVENT_REGISTERED:
    case XMPP_TINY_EVENT_MESSAGE:
    case XMPP_TINY_EVENT_PRESENCE:
    case XMPP_TINY_EVENT_ELEMENT:
    case XMPP_TINY_EVENT_SKIPPED:
        break;
    }
    cli_report_event(event);
    return 0;
}

static int on_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *event, void *user)
{
    struct app *a = user;
    int result = handle(a, x, event);
    /* A stanza that came may be acknowledged at once when it counts as stored. */
    if (a->options.session && xmpp_tiny_found(event->el)) {
        cli_saved_promise(x);
        a->promised = true;
    }
    return result;
}

static void on_trace(void *ctx, char direction, const char *text, size_t len)
{
    (void)ctx;
    (void)fprintf(stderr, "%c ", direction);
    example_print_text(text, len);
    (void)fputc('\n', stderr);
}

/* ---- Set-up ------------------------------------------------------------------------------------ */

static void set_up_config(struct app *a)
{
    const struct cli_options *o = &a->options;
    a->platform = xmpp_tiny_posix_platform;
    if (o->trace)
        a->platform.trace = on_trace;
    a->config = (struct xmpp_tiny_config){
        .jid = o->jid,
        .password = o->password.given ? o->password.text : NULL,
        .saved = o->saved || o->keep ? &a->saved : NULL,
        .create_account = o->creates_account,
        .classic = o->classic,
        .no_pipelining = o->waits_for_answers,
        .carbons = o->carbons,
        .mechanisms = o->mechanisms,
        .tls = o->tls,
        .host = o->host[0] ? o->host : NULL,
        .port = o->port,
        .stream = &a->tls.stream,
        .platform = &a->platform,
        .crypto = &xmpp_tiny_bearssl_crypto,
        .rx = a->rx,
        .rx_size = o->rx,
        .tx = a->tx,
        .tx_size = o->queue + o->tx,
        .queue_size = o->queue,
        .resend = o->resend,
        .event = on_event,
        .user = a,
        .timeout_ms = o->timeout_ms,
        .keep = o->keep,
        .retry_ms = o->retry_ms,
        .retry_max_ms = o->retry_max_ms,
        .ping_ms = o->ping_ms,
    };
}

static bool complain(const char *what, const char *why)
{
    (void)fprintf(stderr, "xmpp-tiny: %s: %s\n", what, why);
    return false;
}

/* The client certificate and its key, for EXTERNAL. */
static bool set_up_identity(struct app *a, struct identity *i)
{
    const struct cli_options *o = &a->options;
    struct xmpp_tiny_bearssl_arena arena = {i->memory, sizeof i->memory, 0};
    long len = example_read_file(o->cert, i->text, sizeof i->text);
    if (len < 0)
        return false;
    int count = xmpp_tiny_bearssl_pem_chain(&arena, (struct xmpp_tiny_str){i->text, (size_t)len}, i->chain,
                                            CHAIN_MAX);
    if (count < 0)
        return complain(o->cert, "no certificate chain in PEM form");
    len = example_read_file(o->key, i->text, sizeof i->text);
    if (len < 0)
        return false;
    int err = xmpp_tiny_bearssl_pem_key(&arena, (struct xmpp_tiny_str){i->text, (size_t)len}, &i->key);
    example_wipe(i->text, sizeof i->text);
    if (err < 0)
        return complain(o->key, "no private key in PEM form that is not encrypted");
    i->identity = (struct xmpp_tiny_bearssl_identity){
        .use = i->key.type == BR_KEYTYPE_EC ? xmpp_tiny_bearssl_ec : xmpp_tiny_bearssl_rsa,
        .chain = i->chain,
        .chain_count = (size_t)count,
        .ec = &i->key.ec,
        .rsa = &i->key.rsa,
    };
    a->tls_config.identity = &i->identity;
    return true;
}

static bool set_up_tls(struct app *a)
{
    const struct cli_options *o = &a->options;
    size_t out = sizeof a->tls_out < o->tls_buffer ? sizeof a->tls_out : o->tls_buffer;
    a->tls_config = (struct xmpp_tiny_bearssl_config){
        .inner = &a->gate.stream,
        .platform = &a->platform,
        .in = a->tls_in,
        .in_size = o->tls_buffer,
        .out = a->tls_out,
        .out_size = out,
        .pins = o->pins[0],
        .pin_count = o->pin_count,
        .first_use = o->first_use,
    };
    bool system = o->ca_count == 0 && o->pin_count == 0 && !o->first_use;
    for (size_t i = 0; i < o->ca_count; i++)
        if (!example_anchors(o->cas[i], &a->tls_config.anchors, &a->tls_config.anchor_count))
            return false;
    if (system && !example_anchors(system_cas, &a->tls_config.anchors, &a->tls_config.anchor_count))
        return complain("--ca", "not given, and the system has none");
    if (o->cert != NULL && !set_up_identity(a, &a->identity))
        return false;
    return xmpp_tiny_bearssl_init(&a->tls, &a->tls_config) == 0 || complain("TLS", "bad configuration");
}

/* What is remembered. With a file that is no good, a session begins anew, but nobody is trusted anew. */
static bool set_up_saved(struct app *a)
{
    const struct cli_options *o = &a->options;
    struct xmpp_tiny_error error = {.code = XMPP_TINY_ERR_SAVED};
    if (o->saved != NULL) {
        enum cli_load how = cli_saved_load(o->saved, &a->x, &a->tasks.ids);
        if (how == CLI_LOAD_FAILED)
            return false;
        if (how == CLI_LOAD_DAMAGED && (!o->session || o->first_use))
            return complain(o->saved, xmpp_tiny_err_text(error.code));
        if (how == CLI_LOAD_DAMAGED)
            cli_report_error(&error, xmpp_tiny_str(NULL));
    }
    return !o->needs_password || a->saved.keys.iterations != 0 || a->saved.token != 0 ||
           complain(o->saved, "no password was given, and no keys are saved");
}

/* ---- The loop ---------------------------------------------------------------------------------- */

/* Milliseconds of --wait that are left: from the beginning with --keep, else from when we were online. */
static uint32_t wait_left(const struct app *a)
{
    uint32_t gone = a->platform.now_ms(a->platform.ctx) - a->since;
    return gone < a->options.wait_ms ? a->options.wait_ms - gone : 0;
}

/* Everything that was asked for is done, or with --keep the time for it is over. */
static bool finished(const struct app *a)
{
    const struct cli_options *o = &a->options;
    if (a->tasks.quit) /* an attempt to connect is waited for */
        return a->online || xmpp_tiny_state(&a->x) == XMPP_TINY_STATE_WAIT;
    if (!a->online)
        return o->keep && o->waits && wait_left(a) == 0;
    if (!cli_tasks_idle(&a->tasks))
        return false;
    return o->waits ? wait_left(a) == 0 : !a->tasks.reading;
}

static uint32_t sleep_ms(const struct app *a, uint32_t ms)
{
    if (ms > SLEEP_MS)
        ms = SLEEP_MS;
    if ((a->online || a->options.keep) && a->options.waits && !a->leaving) {
        uint32_t left = wait_left(a);
        /* Time may be up while an answer is still awaited: that one has a time limit of its own. */
        if (left > 0 && left < ms)
            ms = left;
    }
    return ms;
}

static void leave(struct app *a)
{
    int err = a->options.session ? xmpp_tiny_suspend(&a->x) : xmpp_tiny_disconnect(&a->x);
    a->leaving = err == 0;
}

static int status_of(int err)
{
    switch (xmpp_tiny_err_origin(err)) {
    case XMPP_TINY_ORIGIN_CALL:
        return CLI_USAGE;
    case XMPP_TINY_ORIGIN_NET:
        return CLI_NO_CONNECTION;
    case XMPP_TINY_ORIGIN_TLS:
        return CLI_NO_TRUST;
    case XMPP_TINY_ORIGIN_SASL:
        return CLI_NO_LOGIN;
    case XMPP_TINY_ORIGIN_TIME:
        return CLI_LATE;
    case XMPP_TINY_ORIGIN_LOCAL:
    case XMPP_TINY_ORIGIN_XML:
    case XMPP_TINY_ORIGIN_STREAM:
        break;
    }
    return CLI_PROTOCOL;
}

/* What is to be done between two polls. What was accepted is stored, though no byte of it may leave for long.
 * Returns true when the next one is due at once. */
static bool work(struct app *a, bool *all_done)
{
    const struct cli_options *o = &a->options;
    bool due = false;
    if (!a->leaving && (a->online || o->queue > 0))
        due = cli_tasks_run(&a->tasks, &a->x);
    if (!a->leaving)
        *all_done = finished(a);
    if (!a->leaving && (*all_done || example_signal != 0 || !cli_report_ok())) {
        leave(a);
        due |= a->leaving;
    }
    store_session(a);
    return due;
}

/* Returns 0, or the exit status. */
static int begin(struct app *a)
{
    int err = xmpp_tiny_init(&a->x, &a->config);
    if (err == 0 && !set_up_saved(a))
        return CLI_USAGE;
    if (err == 0 && a->options.inactive)
        xmpp_tiny_active(&a->x, false);
    if (err == 0 && a->options.forgets)
        xmpp_tiny_forget(&a->x);
    if (err == 0)
        err = xmpp_tiny_connect(&a->x);
    if (err == 0)
        return 0;
    struct xmpp_tiny_error error = {.code = err};
    cli_report_error(&error, xmpp_tiny_str(NULL));
    return status_of(err);
}

/* From connect to closed. Returns the exit status. */
static int run(struct app *a)
{
    bool all_done = false;
    int status = begin(a);
    if (status != 0)
        return status;
    a->since = a->platform.now_ms(a->platform.ctx);
    (void)work(a, &all_done);
    for (;;) {
        uint32_t ms = xmpp_tiny_poll(&a->x);
        if (a->closed)
            break;
        if (work(a, &all_done))
            ms = 0;
        bool input = cli_tasks_want_input(&a->tasks) && !a->leaving;
        int ready = xmpp_tiny_posix_wait(&a->tcp, false, sleep_ms(a, ms), input ? STDIN_FILENO : -1);
        if (ready > 0 && (ready & 2) != 0)
            cli_tasks_input(&a->tasks);
    }
    store_session(a);
    if (a->options.saved != NULL && a->login.authenticated && xmpp_tiny_changed(&a->x))
        (void)store(a);
    if (a->error == 0 && !a->was_online)
        a->error = a->lost;
    if (a->error != 0)
        return status_of(a->error);
    if (example_signal != 0 && !all_done)
        return 128 + (int)example_signal;
    return cli_report_ok() && !a->unsaved ? a->tasks.failure : CLI_USAGE;
}

/* --check: measures, logs in if that is safe and there is a user with a password, and judges. */
static int check(struct app *a)
{
    const struct cli_options *o = &a->options;
    struct xmpp_tiny_jid jid;
    (void)xmpp_tiny_jid_parse(xmpp_tiny_str(o->jid), &jid);
    (void)snprintf(a->domain, sizeof a->domain, "%.*s", (int)jid.domain.len, jid.domain.ptr);
    a->check = (struct cli_check){
        .host = o->host[0] ? o->host : a->domain,
        .domain = a->domain,
        .ports = {o->port ? o->port : 5222, o->direct_port ? o->direct_port : 5223},
        .timeout_ms = o->timeout_ms,
        .tls = &a->tls_config,
    };
    cli_check_measure(&a->check);
    const struct check_measured *m =
        &a->check.measured[o->tls == XMPP_TINY_TLS_DIRECT ? CHECK_DIRECT : CHECK_STARTTLS];
    if (m->tls && m->error == 0 && jid.local.ptr != NULL && o->password.given && example_signal == 0) {
        a->config.port = a->check.ports[m - a->check.measured];
        (void)run(a);
    }
    if (example_signal != 0)
        return 128 + (int)example_signal;
    int status = cli_check_judge(&a->check, a->login.authenticated ? &a->login : NULL, a->error);
    return cli_report_ok() ? status : CLI_USAGE;
}

int main(int argc, char **argv)
{
    static struct app app; /* too large for a stack */
    int status;
    if (cli_options_read(&app.options, argc, argv, &status)) {
        cli_report_json(app.options.json);
        cli_tasks_init(&app.tasks, app.options.tasks, app.options.task_count, app.options.reads_stdin);
        app.tasks.queue = app.options.queue > 0;
        app.tasks.keep = app.options.keep;
        xmpp_tiny_posix_init(&app.tcp);
        cli_gate_init(&app.gate, &app.tcp.stream, on_write, &app);
        set_up_config(&app);
        status = CLI_USAGE;
        if (!example_catch_signals())
            perror("xmpp-tiny: signals");
        else if (set_up_tls(&app))
            status = app.options.checks ? check(&app) : run(&app);
    }
    example_wipe(&app.options.password, sizeof app.options.password);
    example_wipe(&app.options.new_password, sizeof app.options.new_password);
    example_wipe(&app.tasks, sizeof app.tasks);
    example_wipe(&app.saved, sizeof app.saved);
    example_wipe(&app.identity, sizeof app.identity);
    return status;
}
