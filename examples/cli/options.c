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

#define QUOTED(number)  #number
#define TEXT_OF(number) QUOTED(number)
#define RANGE(min, max) TEXT_OF(min) " to " TEXT_OF(max)

/* option, words it takes, meaning */
/* clang-format off */
#define OPTIONS(X) \
    X(PASSWORD_FILE, "--password-file", 1, "FILE",        "read the password from FILE, less one line end; else XMPP_TINY_PASSWORD") \
    X(CONNECT,       "--connect",       1, "HOST[:PORT]", "connect there; the JID's domain is verified all the same") \
    X(TLS,           "--tls",           1, "KIND",        "starttls (default, port 5222) or direct (port 5223)") \
    X(CA,            "--ca",            1, "FILE",        "trust anchors, PEM; up to " TEXT_OF(CLI_CAS_MAX) " files; default: the system's") \
    X(CERT,          "--cert",          1, "FILE",        "client certificate chain, PEM; goes with --key") \
    X(KEY,           "--key",           1, "FILE",        "its private key, PEM, not encrypted") \
    X(MECHANISM,     "--mechanism",     1, "NAME",        "allow this SASL mechanism, repeated: each of them; default: the SCRAM family") \
    X(RESOURCE,      "--resource",      1, "NAME",        "ask for this resource") \
    X(SEND,          "--send",          2, "JID TEXT",    "send a chat message") \
    X(PRESENCE,      "--presence",      2, "SHOW STATUS", "available, chat, away, xa, dnd or unavailable, and a text") \
    X(PING,          "--ping",          1, "JID",         "ping JID and await the pong; -: our own server") \
    X(WAIT,          "--wait",          1, "SECONDS",     "stay that long and show what arrives, " RANGE(0, CLI_WAIT_MAX)) \
    X(STDIN,         "--stdin",         0, "",            "obey commands from stdin, see below") \
    X(JSON,          "--json",          0, "",            "print events as JSON objects, one a line") \
    X(TRACE,         "--trace",         0, "",            "print the session to stderr, secrets masked, control characters as \\xNN") \
    X(TIMEOUT,       "--timeout",       1, "SECONDS",     "longest wait for any answer, 1 to 600; default 30") \
    X(RX,            "--rx",            1, "BYTES",       "receive buffer, " RANGE(XMPP_TINY_RX_MIN, XMPP_TINY_RX_MAX) "; default 16384") \
    X(TX,            "--tx",            1, "BYTES",       "transmit buffer, " RANGE(XMPP_TINY_TX_MIN, XMPP_TINY_TX_MAX) "; default 8192") \
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

static const char help_commands[] =
    "\n"
    "The JID is USER@DOMAIN, or with --mechanism ANONYMOUS alone DOMAIN; a resource may follow. An option's\n"
    "value may be joined to it: --option=VALUE.\n"
    "\n"
    "What the command line asks to send, at most " TEXT_OF(
        CLI_TASKS_MAX) " of --send, --presence and --ping together, is sent once\n"
                       "online, in that order. Without --wait and --stdin the tool then ends; it always ends "
                       "in order, having\n"
                       "awaited the answers to its pings.\n"
                       "\n"
                       "Commands of --stdin, one a line; obeyed to the end of input or, with --wait, for "
                       "that long:\n"
                       "  message JID TEXT        send a chat message\n"
                       "  presence SHOW STATUS    as --presence; STATUS may be left out\n"
                       "  ping JID                as --ping\n"
                       "  iq get|set JID XML      send a request with that payload and show what kind of "
                       "answer came;\n"
                       "                          JID -: our own account\n"
                       "  raw XML                 send a whole stanza as it stands\n"
                       "  quit                    end without waiting for answers; the end of input waits "
                       "for them\n"
                       "\n"
                       "Events, and the members that each may have; absent ones are left out, numbers are "
                       "marked with #. With\n"
                       "--json the name of the event is the member 'event'.\n"
                       "  connected      -\n"
                       "  secured        tls suite\n"
                       "  authenticated  mechanism binding (none, tls-unique or tls-server-end-point)\n"
                       "  online         jid\n"
                       "  message        from id type subject body thread condition text\n"
                       "  presence       from id type show status priority# condition text\n"
                       "  iq             from id type name ns condition text; name and ns are of the payload "
                       "of an answer\n"
                       "  pong           from id ms# condition text\n"
                       "  element        name ns; what else came\n"
                       "  skipped        name from id type size# reason; a stanza that was too large\n"
                       "  error          name origin condition text to\n"
                       "  closed         unsent#; stanzas accepted that may not have left\n"
                       "A condition tells that the stanza is an error. A pong with a condition was answered "
                       "by an error, which may\n"
                       "come from a server in the entity's name. An error with origin CALL is a command that "
                       "was refused; one\n"
                       "with origin TIME may be a request that had no answer in time, 'to' being whom it was "
                       "for; the session goes\n"
                       "on after these. The others end the connection. Requests (iq) of others are answered "
                       "by the library and\n"
                       "give no event.\n"
                       "\n"
                       "SIGINT and SIGTERM end the session in order; a second one ends the tool at once.\n"
                       "\n"
                       "Exit status:\n"
                       "  0  done; an error that a peer answers, to a message, an iq or a ping, does not "
                       "change that\n"
                       "  1  usage: the command line, a file; a command was refused, or stdout could not be "
                       "written\n"
                       "  2  could not connect, or the connection broke\n"
                       "  3  TLS failed, the server is not who it should be, or the connection was cut "
                       "inside TLS\n"
                       "  4  the server refused the login, or could not prove itself\n"
                       "  5  stream or protocol error\n"
                       "  6  an answer did not come in time\n"
                       "  128 and the signal's number, when a signal came before all was done\n";

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
    (void)fputs(help_commands, stdout);
}

static bool wrong(const char *option, const char *why)
{
    (void)fprintf(stderr, "xmpp-tiny: %s: %s (--help explains)\n", option, why);
    return false;
}

static bool set_password(struct cli_options *o, const char *text, size_t len, const char *source)
{
    if (len >= sizeof o->password)
        return wrong(source, "the password is too long");
    if (memchr(text, '\0', len) != NULL)
        return wrong(source, "the password holds a NUL");
    memcpy(o->password, text, len);
    o->password[len] = '\0';
    o->has_password = true;
    return true;
}

static bool read_password_file(struct cli_options *o, const char *path)
{
    char text[CLI_SECRET_MAX + 2];
    long len = example_read_file(path, text, sizeof text);
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    bool fine = len >= 0 && set_password(o, text, (size_t)len, path);
    example_wipe(text, sizeof text);
    return fine;
}

/* Takes the password out of the environment, so that it is in memory once. */
static bool read_password_variable(struct cli_options *o)
{
    size_t name = sizeof password_variable - 1;
    bool fine = true;
    for (char **entry = environ; *entry != NULL; entry++) {
        if (strncmp(*entry, password_variable, name) != 0 || (*entry)[name] != '=')
            continue;
        char *value = *entry + name + 1;
        if (!o->has_password)
            fine = set_password(o, value, strlen(value), password_variable);
        example_wipe(value, strlen(value));
    }
    return unsetenv(password_variable) == 0 && fine;
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

static bool set_mechanism(struct cli_options *o, const char *name)
{
    int number = xmpp_tiny_mechanism_number(name);
    if (number < 0)
        return wrong(name, "unknown mechanism");
    o->mechanisms |= 1U << (unsigned)number;
    return true;
}

static bool add_task(struct cli_options *o, enum option option, char **words)
{
    struct xmpp_tiny_str first = xmpp_tiny_str(words[0]);
    const char *why;
    if (o->task_count == CLI_TASKS_MAX)
        return wrong(table[option].text, "too many; --stdin takes any number");
    struct cli_task *t = &o->tasks[o->task_count++];
    if (option == OPTION_SEND)
        why = cli_task_message(t, first, xmpp_tiny_str(words[1]));
    else if (option == OPTION_PRESENCE)
        why = cli_task_presence(t, first, xmpp_tiny_str(words[1]));
    else
        why = cli_task_ping(t, first);
    return why == NULL || wrong(table[option].text, why);
}

/* resource: set by --resource, joined to the JID later. */
static bool apply(struct cli_options *o, enum option option, char **words, const char **resource)
{
    const char *name = table[option].text;
    uint32_t seconds;
    switch (option) {
    case OPTION_PASSWORD_FILE:
        return read_password_file(o, words[0]);
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
    case OPTION_SEND:
    case OPTION_PRESENCE:
    case OPTION_PING:
        return add_task(o, option, words);
    case OPTION_WAIT:
        if (!set_number(name, words[0], 0, CLI_WAIT_MAX, &seconds))
            return false;
        o->waits = true;
        o->wait_ms = seconds * 1000;
        return true;
    case OPTION_STDIN:
        o->reads_stdin = true;
        return true;
    case OPTION_JSON:
        o->json = true;
        return true;
    case OPTION_TRACE:
        o->trace = true;
        return true;
    case OPTION_TIMEOUT:
        if (!set_number(name, words[0], 1, 600, &seconds))
            return false;
        o->timeout_ms = seconds * 1000;
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

/* What has to go together. */
static bool check(const struct cli_options *o)
{
    const uint32_t without = XMPP_TINY_ALLOW(EXTERNAL) | XMPP_TINY_ALLOW(ANONYMOUS);
    if ((o->cert == NULL) != (o->key == NULL))
        return wrong("--cert", "--cert and --key go together");
    if ((o->mechanisms & XMPP_TINY_ALLOW(EXTERNAL)) != 0 && o->cert == NULL)
        return wrong("--mechanism EXTERNAL", "--cert and --key are needed");
    if (!o->has_password && (o->mechanisms == 0 || (o->mechanisms & ~without) != 0))
        return wrong("password", "none: use --password-file or the environment variable XMPP_TINY_PASSWORD");
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
    *o = (struct cli_options){
        .rx = 16384, .tx = 8192, .tls_buffer = XMPP_TINY_BEARSSL_IN_MAX, .timeout_ms = 30000};
    *status = CLI_USAGE;
    for (; at < argc && argv[at][0] == '-'; at++)
        if (!read_option(o, argc, argv, &at, &resource, status))
            return false;
    if (argc - at != 1)
        return wrong("JID", argc == at ? "missing" : "comes last, and there is one");
    return read_password_variable(o) && set_jid(o, argv[at], resource) && check_user(o, argv[at]) && check(o);
}
