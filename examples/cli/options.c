/* SPDX-License-Identifier: MIT
 *
 * The command line, and the help that explains it.
 */
#define _POSIX_C_SOURCE 200809L

#include "options.h"

#include "../common.h"
#include "port/bearssl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static const char password_variable[] = "XMPP_TINY_PASSWORD";
static const char new_password_variable[] = "XMPP_TINY_NEW_PASSWORD";

#define RANGE(min, max) CLI_TEXT_OF(min) " to " CLI_TEXT_OF(max)

/* option, words it takes, meaning */
/* clang-format off */
#define OPTIONS(X) \
    X(PASSWORD_FILE, "--password-file", 1, "FILE",        "read the password from FILE, less one line end; else XMPP_TINY_PASSWORD") \
    X(CONNECT,       "--connect",       1, "HOST[:PORT]", "connect there; the JID's domain is verified all the same") \
    X(TLS,           "--tls",           1, "KIND",        "starttls (default, port 5222) or direct (port 5223)") \
    X(CA,            "--ca",            1, "FILE",        "trust anchors, PEM; up to " CLI_TEXT_OF(CLI_CAS_MAX) " files; default: the system's") \
    X(PIN,           "--pin",           1, "HEX",         "SHA-256 of a public key the server may have, up to " CLI_TEXT_OF(CLI_PINS_MAX) "; without --ca it alone counts") \
    X(FIRST_USE,     "--first-use",     0, "",            "trust whoever comes first, then nobody else; goes with --saved or --session") \
    X(SAVED,         "--saved",         1, "FILE",        "remember the server, keys and tokens of the login there; secret") \
    X(SESSION,       "--session",       1, "FILE",        "likewise, and the session: the next run goes on with it, see below") \
    X(FORGET,        "--forget",        0, "",            "log in by the token in that file for the last time: the server forgets it too") \
    X(ACCEPT_CHANGE, "--accept-change", 0, "",            "go on if the server's key is not the remembered one") \
    X(CERT,          "--cert",          1, "FILE",        "client certificate chain, PEM; goes with --key") \
    X(KEY,           "--key",           1, "FILE",        "its private key, PEM, not encrypted") \
    X(MECHANISM,     "--mechanism",     1, "NAME",        "allow this SASL mechanism, repeated: each of them; default: the SCRAM family") \
    X(SASL2,         "--sasl2",         1, "on|off",      "log in by SASL2 where the server has it; default on") \
    X(PIPELINE,      "--pipeline",      1, "on|off",      "send ahead what will be asked for, where the server takes it; default on") \
    X(CARBONS,       "--carbons",       0, "",            "have copies of what other devices of the account send and get") \
    X(INACTIVE,      "--inactive",      0, "",            "tell the server that nobody looks: it may hold back what can wait") \
    X(RESOURCE,      "--resource",      1, "NAME",        "ask for this resource") \
    X(CREATE,        "--create-account", 0, "",           "make the account before logging in, if there is none") \
    X(SEND,          "--send",          2, "JID TEXT",    "send a chat message") \
    X(PRESENCE,      "--presence",      2, "SHOW STATUS", "available, chat, away, xa, dnd or unavailable, and a text") \
    X(PING,          "--ping",          1, "JID",         "ping JID and await the pong; -: our own server") \
    X(CHANGE_PASSWORD, "--change-password", 0, "",        "set a new password: XMPP_TINY_NEW_PASSWORD, or of the next option") \
    X(NEW_PASSWORD_FILE, "--new-password-file", 1, "FILE", "read it from FILE, less one line end") \
    X(WAIT,          "--wait",          1, "SECONDS",     "stay that long and show what arrives, " RANGE(0, CLI_WAIT_MAX)) \
    X(STDIN,         "--stdin",         0, "",            "obey commands from stdin, see below") \
    X(KEEP,          "--keep",          0, "",            "connect again when the connection is lost, until --wait ends or 'quit'") \
    X(RETRY,         "--retry",         1, "MS",          "of --keep: the first wait before that, doubled with each failure; default 2000") \
    X(RETRY_MAX,     "--retry-max",     1, "MS",          "the longest; default 300000") \
    X(PING_AFTER,    "--ping-after",    1, "SECONDS",     "after so long a silence ask the server whether it is there; 0: never; default 300") \
    X(QUEUE,         "--queue",         1, "BYTES",       "keep stanzas until the server has them, " \
                                                          RANGE(XMPP_TINY_QUEUE_MIN, CLI_QUEUE_MAX) "; default 0, with --session or --keep 16384") \
    X(RESEND,        "--resend",        0, "",            "send again what a lost session left, though some of it may have arrived") \
    X(CHECK,         "--check",         0, "",            "do not log in: judge the server, see below") \
    X(DIRECT_PORT,   "--direct-port",   1, "PORT",        "of --check: where TLS comes from the first byte; default 5223") \
    X(JSON,          "--json",          0, "",            "print events as JSON objects, one a line") \
    X(TRACE,         "--trace",         0, "",            "print the session to stderr, secrets masked, control characters as \\xNN") \
    X(TIMEOUT,       "--timeout",       1, "SECONDS",     "longest wait for any answer, 1 to 600; default 30, with --check 10") \
    X(RX,            "--rx",            1, "BYTES",       "receive buffer, " RANGE(XMPP_TINY_RX_MIN, XMPP_TINY_RX_MAX) "; default 16384") \
    X(TX,            "--tx",            1, "BYTES",       "transmit buffer, " RANGE(XMPP_TINY_TX_MIN, XMPP_TINY_TX_MAX) "; default 8192; --queue comes on top") \
    X(TLS_BUFFER,    "--tls-buffer",    1, "BYTES",       "receive buffer of the TLS port, " \
                                                          RANGE(XMPP_TINY_BEARSSL_IN_MIN, XMPP_TINY_BEARSSL_IN_MAX) "; default the largest") \
    X(VERSION,       "--version",       0, "",            "print the version") \
    X(HELP,          "--help",          0, "",            "this text; -h as well")
/* clang-format on */

enum option {
#define X(name, text, words, what, meaning) OPTION_##name,
    OPTIONS(X)
#undef X
        OPTION_COUNT
};

static const struct {
    const char *text, *what, *meaning;
    int words;
} table[OPTION_COUNT] = {
#define X(name, text, words, what, meaning) {text, what, meaning, words},
    OPTIONS(X)
#undef X
};

static void print_help(void)
{
    (void)fputs("usage: xmpp-tiny [options] JID\n\n"
                "Logs in to an XMPP server over verified TLS, sends, shows what arrives.\n\n",
                stdout);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        int used = printf("  %s %s", table[i].text, table[i].what);
        (void)printf("%*s%s\n", used < 26 ? 26 - used : 1, "", table[i].meaning);
    }
    (void)fputs("\nMechanisms, strongest last; EXTERNAL wants --cert and --key:", stdout);
    for (int i = 0; i <= XMPP_TINY_MECHANISM_EXTERNAL; i++)
        (void)printf("%s%s", i % 5 == 0 ? "\n  " : " ",
                     xmpp_tiny_mechanism_name((enum xmpp_tiny_mechanism)i));
    (void)putchar('\n');
    for (size_t i = 0; i < CLI_HELP_PARTS; i++)
        (void)fputs(cli_help[i], stdout);
}

static bool wrong(const char *option, const char *why)
{
    (void)fprintf(stderr, "xmpp-tiny: %s: %s (--help explains)\n", option, why);
    return false;
}

static bool set_secret(struct cli_secret *secret, const char *text, size_t len, const char *source)
{
    if (len >= sizeof secret->text)
        return wrong(source, "the password is too long");
    if (memchr(text, '\0', len) != NULL)
        return wrong(source, "the password holds a NUL");
    memcpy(secret->text, text, len);
    secret->text[len] = '\0';
    secret->given = true;
    return true;
}

static bool read_secret_file(struct cli_secret *secret, const char *path)
{
    char text[CLI_SECRET_MAX + 2];
    long len = example_read_file(path, text, sizeof text);
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    bool fine = len >= 0 && set_secret(secret, text, (size_t)len, path);
    example_wipe(text, sizeof text);
    return fine;
}

/* Takes a secret out of the environment, so that it is in memory once. */
static bool read_secret_variable(struct cli_secret *secret, const char *variable)
{
    size_t name = strlen(variable);
    bool fine = true;
    for (char **entry = environ; *entry != NULL; entry++) {
        if (strncmp(*entry, variable, name) != 0 || (*entry)[name] != '=')
            continue;
        char *value = *entry + name + 1;
        if (!secret->given)
            fine = set_secret(secret, value, strlen(value), variable);
        example_wipe(value, strlen(value));
    }
    return unsetenv(variable) == 0 && fine;
}

static bool set_number(const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *value)
{
    char why[64];
    if (example_number(text, min, max, value))
        return true;
    (void)snprintf(why, sizeof why, "a number from %lu to %lu is needed", (unsigned long)min,
                   (unsigned long)max);
    return wrong(name, why);
}

static bool set_tls(struct cli_options *o, const char *kind)
{
    if (strcmp(kind, "direct") == 0)
        o->tls = XMPP_TINY_TLS_DIRECT;
    else if (strcmp(kind, "starttls") == 0)
        o->tls = XMPP_TINY_TLS_START;
    else
        return wrong("--tls", "direct or starttls is needed");
    return true;
}

static bool set_off(const char *name, const char *text, bool *off)
{
    *off = strcmp(text, "off") == 0;
    return *off || strcmp(text, "on") == 0 || wrong(name, "on or off is needed");
}

static bool set_file(struct cli_options *o, const char *path, bool session)
{
    if (o->saved != NULL && o->session != session)
        return wrong("--saved", "not with --session, which does the same and more");
    o->saved = path;
    o->session = session;
    return true;
}

static bool set_mechanism(struct cli_options *o, const char *name)
{
    int number = xmpp_tiny_mechanism_number(name);
    if (number < 0)
        return wrong(name, "unknown mechanism");
    o->mechanisms |= 1U << (unsigned)number;
    return true;
}

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)((at - digits) % 16);
}

/* Colons may stand between bytes, as openssl prints hashes. */
static bool add_pin(struct cli_options *o, const char *text)
{
    static const char why[] = "64 hexadecimal digits are needed, the SHA-256 of a public key";
    if (o->pin_count == CLI_PINS_MAX)
        return wrong("--pin", "too many");
    uint8_t *pin = o->pins[o->pin_count];
    for (size_t i = 0; i < sizeof o->pins[0]; i++) {
        if (i > 0 && *text == ':')
            text++;
        int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);
        if (low < 0)
            return wrong("--pin", why);
        pin[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    o->pin_count++;
    return *text == '\0' || wrong("--pin", why);
}

static bool add_task(struct cli_options *o, enum option option, char **words)
{
    struct xmpp_tiny_str first = xmpp_tiny_str(table[option].words > 0 ? words[0] : NULL);
    const char *why;
    if (o->task_count == CLI_TASKS_MAX)
        return wrong(table[option].text, "too many; --stdin takes any number");
    struct cli_task *t = &o->tasks[o->task_count++];
    if (option == OPTION_SEND)
        why = cli_task_message(t, first, xmpp_tiny_str(words[1]));
    else if (option == OPTION_PRESENCE)
        why = cli_task_presence(t, first, xmpp_tiny_str(words[1]));
    else if (option == OPTION_PING)
        why = cli_task_ping(t, first);
    else
        why = cli_task_password(t, xmpp_tiny_str("")); /* the new one is read later */
    return why == NULL || wrong(table[option].text, why);
}

/* resource: set by --resource, joined to the JID later. */
static bool apply(struct cli_options *o, enum option option, char **words, const char **resource)
{
    const char *name = table[option].text;
    uint32_t number;
    switch (option) {
    case OPTION_PASSWORD_FILE:
        return read_secret_file(&o->password, words[0]);
    case OPTION_NEW_PASSWORD_FILE:
        return read_secret_file(&o->new_password, words[0]);
    case OPTION_CONNECT:
        return example_endpoint(words[0], o->host, sizeof o->host, &o->port) ||
               wrong(name, "HOST:PORT, [ADDRESS]:PORT or HOST is needed");
    case OPTION_TLS:
        return set_tls(o, words[0]);
    case OPTION_CA:
        if (o->ca_count == CLI_CAS_MAX)
            return wrong(name, "too many");
        o->cas[o->ca_count++] = words[0];
        return true;
    case OPTION_PIN:
        return add_pin(o, words[0]);
    case OPTION_FIRST_USE:
        o->first_use = true;
        return true;
    case OPTION_SAVED:
    case OPTION_SESSION:
        return set_file(o, words[0], option == OPTION_SESSION);
    case OPTION_FORGET:
        o->forgets = true;
        return true;
    case OPTION_ACCEPT_CHANGE:
        o->accepts_change = true;
        return true;
    case OPTION_CERT:
        o->cert = words[0];
        return true;
    case OPTION_KEY:
        o->key = words[0];
        return true;
    case OPTION_MECHANISM:
        return set_mechanism(o, words[0]);
    case OPTION_RESOURCE:
        *resource = words[0];
        return true;
    case OPTION_SASL2:
        return set_off(name, words[0], &o->classic);
    case OPTION_PIPELINE:
        return set_off(name, words[0], &o->waits_for_answers);
    case OPTION_CARBONS:
        o->carbons = true;
        return true;
    case OPTION_INACTIVE:
        o->inactive = true;
        return true;
    case OPTION_CREATE:
        o->creates_account = true;
        return true;
    case OPTION_SEND:
    case OPTION_PRESENCE:
    case OPTION_PING:
    case OPTION_CHANGE_PASSWORD:
        return add_task(o, option, words);
    case OPTION_WAIT:
        if (!set_number(name, words[0], 0, CLI_WAIT_MAX, &number))
            return false;
        o->waits = true;
        o->wait_ms = number * 1000;
        return true;
    case OPTION_STDIN:
        o->reads_stdin = true;
        return true;
    case OPTION_KEEP:
        o->keep = true;
        return true;
    case OPTION_RETRY:
        return set_number(name, words[0], 1, CLI_RETRY_MAX, &o->retry_ms);
    case OPTION_RETRY_MAX:
        return set_number(name, words[0], 1, CLI_RETRY_MAX, &o->retry_max_ms);
    case OPTION_PING_AFTER:
        if (!set_number(name, words[0], 0, CLI_WAIT_MAX, &number))
            return false;
        o->ping_ms = number > 0 ? number * 1000 : XMPP_TINY_FOREVER;
        return true;
    case OPTION_QUEUE:
        if (strcmp(words[0], "0") != 0 &&
            !set_number(name, words[0], XMPP_TINY_QUEUE_MIN, CLI_QUEUE_MAX, &o->queue))
            return false;
        o->queue_given = true;
        return true;
    case OPTION_RESEND:
        o->resend = true;
        return true;
    case OPTION_CHECK:
        o->checks = true;
        return true;
    case OPTION_DIRECT_PORT:
        if (!set_number(name, words[0], 1, 65535, &number))
            return false;
        o->direct_port = (uint16_t)number;
        return true;
    case OPTION_JSON:
        o->json = true;
        return true;
    case OPTION_TRACE:
        o->trace = true;
        return true;
    case OPTION_TIMEOUT:
        if (!set_number(name, words[0], 1, 600, &number))
            return false;
        o->timeout_ms = number * 1000;
        return true;
    case OPTION_RX:
        return set_number(name, words[0], XMPP_TINY_RX_MIN, XMPP_TINY_RX_MAX, &o->rx);
    case OPTION_TX:
        return set_number(name, words[0], XMPP_TINY_TX_MIN, XMPP_TINY_TX_MAX, &o->tx);
    case OPTION_TLS_BUFFER:
        return set_number(name, words[0], XMPP_TINY_BEARSSL_IN_MIN, XMPP_TINY_BEARSSL_IN_MAX, &o->tls_buffer);
    case OPTION_VERSION:
    case OPTION_HELP:
    case OPTION_COUNT:
        break;
    }
    return false;
}

static bool set_jid(struct cli_options *o, const char *jid, const char *resource)
{
    struct xmpp_tiny_jid parts;
    int len = resource ? snprintf(o->jid, sizeof o->jid, "%s/%s", jid, resource)
                       : snprintf(o->jid, sizeof o->jid, "%s", jid);
    if (len < 0 || (size_t)len >= sizeof o->jid || xmpp_tiny_jid_parse(xmpp_tiny_str(o->jid), &parts) < 0)
        return wrong(jid, "not a JID");
    if (resource != NULL && strchr(jid, '/') != NULL)
        return wrong("--resource", "the JID has a resource already");
    return true;
}

/* Only ANONYMOUS logs in without a user. */
static bool check_user(const struct cli_options *o, const char *jid)
{
    struct xmpp_tiny_jid parts;
    bool anonymous = o->mechanisms == XMPP_TINY_ALLOW(ANONYMOUS);
    bool user = xmpp_tiny_jid_parse(xmpp_tiny_str(o->jid), &parts) == 0 && parts.local.ptr != NULL;
    if (!user && !anonymous)
        return wrong(jid, "USER@DOMAIN is needed, except with --mechanism ANONYMOUS");
    if (user && anonymous)
        (void)fprintf(stderr, "xmpp-tiny: %.*s: not used with --mechanism ANONYMOUS; DOMAIN is enough\n",
                      (int)parts.local.len, parts.local.ptr);
    return true;
}

static bool check_login(struct cli_options *o)
{
    const uint32_t without = XMPP_TINY_ALLOW(EXTERNAL) | XMPP_TINY_ALLOW(ANONYMOUS);
    if ((o->cert == NULL) != (o->key == NULL))
        return wrong("--cert", "--cert and --key go together");
    if ((o->mechanisms & XMPP_TINY_ALLOW(EXTERNAL)) != 0 && o->cert == NULL)
        return wrong("--mechanism EXTERNAL", "--cert and --key are needed");
    o->needs_password = !o->password.given && (o->mechanisms == 0 || (o->mechanisms & ~without) != 0);
    if (o->needs_password && o->saved == NULL)
        return wrong("password", "none: use --password-file or the environment variable XMPP_TINY_PASSWORD");
    if (!o->password.given && o->creates_account)
        return wrong("--create-account", "a password is needed");
    return true;
}

static bool check_trust(const struct cli_options *o)
{
    if (o->first_use && (o->ca_count > 0 || o->pin_count > 0))
        return wrong("--first-use", "not with --ca or --pin");
    if (o->first_use && o->saved == NULL)
        return wrong("--first-use", "--saved or --session is needed");
    if (o->forgets && o->saved == NULL)
        return wrong("--forget", "--saved or --session is needed");
    if (o->forgets && o->classic)
        return wrong("--forget", "not with --sasl2 off");
    if (o->accepts_change && o->saved == NULL)
        return wrong("--accept-change", "--saved or --session is needed");
    return true;
}

static bool check_session(struct cli_options *o)
{
    if (!o->queue_given && (o->session || o->keep))
        o->queue = CLI_QUEUE;
    if (o->queue == 0 && o->session)
        return wrong("--session", "not with --queue 0");
    if (o->queue == 0 && o->resend)
        return wrong("--resend", "goes with --queue, --session or --keep");
    if (!o->keep && (o->retry_ms > 0 || o->retry_max_ms > 0))
        return wrong(o->retry_ms > 0 ? "--retry" : "--retry-max", "goes with --keep");
    if (o->tx > XMPP_TINY_TX_MAX - o->queue)
        return wrong("--queue", "together with --tx more than " CLI_TEXT_OF(XMPP_TINY_TX_MAX));
    return true;
}

/* --check judges by authorities and does nothing else. */
static bool check_check(const struct cli_options *o)
{
    struct xmpp_tiny_jid parts;
    bool ascii = true;
    if (!o->checks)
        return o->direct_port == 0 || wrong("--direct-port", "goes with --check");
    if (o->pin_count > 0 || o->first_use || o->saved != NULL || o->creates_account || o->task_count > 0 ||
        o->waits || o->reads_stdin || o->cert != NULL || o->keep || o->queue_given)
        return wrong("--check", "goes with --connect, --direct-port, --ca, --timeout, --json and a password");
    (void)xmpp_tiny_jid_parse(xmpp_tiny_str(o->jid), &parts);
    for (size_t i = 0; i < parts.domain.len; i++)
        ascii &= (unsigned char)parts.domain.ptr[i] < 0x80;
    return (ascii && parts.domain.len < 254) || wrong("--check", "a domain in A-labels is needed (xn--...)");
}

/* The new password is a secret like the other, so it does not stand on the command line. */
static bool set_new_password(struct cli_options *o)
{
    for (size_t i = 0; i < o->task_count; i++) {
        if (o->tasks[i].kind != CLI_PASSWORD)
            continue;
        if (!o->new_password.given)
            return wrong("--change-password", "use --new-password-file or the environment variable "
                                              "XMPP_TINY_NEW_PASSWORD");
        o->tasks[i].text = xmpp_tiny_str(o->new_password.text);
    }
    return true;
}

static int find_option(const char *text, size_t len)
{
    int i = 0;
    if (len == 2 && memcmp(text, "-h", 2) == 0)
        return OPTION_HELP;
    while (i < OPTION_COUNT && (strlen(table[i].text) != len || memcmp(text, table[i].text, len) != 0))
        i++;
    return i;
}

/* The option at argv[*at], which then is its last word. Returns false when there is nothing more to do:
 * it was wrong, or one of those that print and end. */
static bool read_option(struct cli_options *o, int argc, char **argv, int *at, const char **resource,
                        int *status)
{
    char *words[2];
    char *joined = strchr(argv[*at], '=');
    int i = find_option(argv[*at], joined ? (size_t)(joined - argv[*at]) : strlen(argv[*at]));
    if (i == OPTION_COUNT)
        return wrong(argv[*at], "unknown option");
    if (joined != NULL && table[i].words == 0)
        return wrong(argv[*at], "takes no value");
    if (i == OPTION_HELP || i == OPTION_VERSION) {
        if (i == OPTION_HELP)
            print_help();
        else
            (void)puts(XMPP_TINY_VERSION);
        *status = fflush(stdout) == 0 ? CLI_DONE : CLI_USAGE;
        return false;
    }
    for (int n = 0; n < table[i].words; n++) {
        if (n == 0 && joined != NULL)
            words[n] = joined + 1;
        else if (++*at < argc)
            words[n] = argv[*at];
        else
            return wrong(table[i].text, "something is missing behind it");
    }
    return apply(o, (enum option)i, words, resource);
}

bool cli_options_read(struct cli_options *o, int argc, char **argv, int *status)
{
    const char *resource = NULL;
    int at = 1;
    *o = (struct cli_options){.rx = 16384, .tx = 8192, .tls_buffer = XMPP_TINY_BEARSSL_IN_MAX};
    *status = CLI_USAGE;
    for (; at < argc && argv[at][0] == '-'; at++)
        if (!read_option(o, argc, argv, &at, &resource, status))
            return false;
    if (argc - at != 1)
        return wrong("JID", argc == at ? "missing" : "comes last, and there is one");
    if (o->timeout_ms == 0)
        o->timeout_ms = o->checks ? 10000 : 30000;
    return read_secret_variable(&o->password, password_variable) &&
           read_secret_variable(&o->new_password, new_password_variable) && set_jid(o, argv[at], resource) &&
           check_trust(o) && check_check(o) && check_session(o) && set_new_password(o) &&
           (o->checks || (check_user(o, argv[at]) && check_login(o)));
}
