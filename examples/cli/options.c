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

/* option, words it takes, meaning */
/* clang-format off */
#define OPTIONS(X) \
    X(PASSWORD_FILE, "--password-file", 1, "FILE",        "read the password from FILE, else from XMPP_TINY_PASSWORD") \
    X(CONNECT,       "--connect",       1, "HOST:PORT",   "connect there; the JID's domain is verified all the same") \
    X(TLS,           "--tls",           1, "KIND",        "starttls (default, port 5222) or direct (port 5223)") \
    X(CA,            "--ca",            1, "FILE",        "trust anchors, PEM; may be repeated; default: the system's") \
    X(CERT,          "--cert",          1, "FILE",        "client certificate chain, PEM; goes with --key") \
    X(KEY,           "--key",           1, "FILE",        "its private key, PEM, not encrypted") \
    X(MECHANISM,     "--mechanism",     1, "NAME",        "allow this SASL mechanism alone; default: the SCRAM family") \
    X(RESOURCE,      "--resource",      1, "NAME",        "ask for this resource") \
    X(SEND,          "--send",          2, "JID TEXT",    "send a chat message; may be repeated") \
    X(PRESENCE,      "--presence",      2, "SHOW STATUS", "available, chat, away, xa, dnd or unavailable, and a text") \
    X(PING,          "--ping",          1, "JID",         "ping JID and await the pong; -: our own server") \
    X(WAIT,          "--wait",          1, "SECONDS",     "stay that long and show what arrives") \
    X(STDIN,         "--stdin",         0, "",            "obey commands from stdin, see below") \
    X(JSON,          "--json",          0, "",            "print events as JSON objects, one a line") \
    X(TRACE,         "--trace",         0, "",            "print the session to stderr, secrets masked") \
    X(TIMEOUT,       "--timeout",       1, "SECONDS",     "longest wait for any answer, 1 to 600; default 30") \
    X(RX,            "--rx",            1, "BYTES",       "receive buffer; default 16384") \
    X(TX,            "--tx",            1, "BYTES",       "transmit buffer; default 8192") \
    X(TLS_BUFFER,    "--tls-buffer",    1, "BYTES",       "receive buffer of the TLS port; default 16709") \
    X(HELP,          "--help",          0, "",            "this text")
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
    "What the command line asks to send is sent once online, in that order. Without --wait and --stdin the\n"
    "tool then ends; it always ends in order, having awaited the answers to its pings.\n"
    "\n"
    "Commands of --stdin, one a line:\n"
    "  message JID TEXT        send a chat message\n"
    "  presence SHOW STATUS    as --presence; STATUS may be left out\n"
    "  ping JID                as --ping\n"
    "  iq get|set JID XML      send a request with that payload and show the answer; JID -: our own account\n"
    "  raw XML                 send a whole stanza as it stands\n"
    "  quit                    end without waiting for answers; the end of input waits for them\n"
    "\n"
    "Events: connected, secured, authenticated, online, message, presence, iq, pong, element, skipped,\n"
    "error, closed. SIGINT and SIGTERM end the session in order; a second one ends the tool at once.\n"
    "\n"
    "Exit status:\n"
    "  0  done\n"
    "  1  usage: the command line, a file, or something that cannot be sent\n"
    "  2  could not connect, or the connection broke\n"
    "  3  TLS failed, or the server is not who it should be\n"
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
        if (!set_number(name, words[0], 0, 2000000, &seconds))
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

/* What has to go together. */
static bool check(const struct cli_options *o)
{
    const uint32_t without = XMPP_TINY_ALLOW(EXTERNAL) | XMPP_TINY_ALLOW(ANONYMOUS);
    if ((o->cert == NULL) != (o->key == NULL))
        return wrong("--cert", "--cert and --key go together");
    if (!o->has_password && (o->mechanisms == 0 || (o->mechanisms & ~without) != 0))
        return wrong("password", "none: use --password-file or the environment variable XMPP_TINY_PASSWORD");
    return true;
}

bool cli_options_read(struct cli_options *o, int argc, char **argv, int *status)
{
    const char *resource = NULL;
    int at = 1;
    *o = (struct cli_options){
        .rx = 16384, .tx = 8192, .tls_buffer = XMPP_TINY_BEARSSL_IN_MAX, .timeout_ms = 30000};
    *status = CLI_USAGE;
    for (; at < argc && argv[at][0] == '-'; at++) {
        int i = 0;
        while (i < OPTION_COUNT && strcmp(argv[at], table[i].text) != 0)
            i++;
        if (i == OPTION_COUNT)
            return wrong(argv[at], "unknown option");
        if (i == OPTION_HELP) {
            print_help();
            *status = fflush(stdout) == 0 ? CLI_DONE : CLI_USAGE;
            return false;
        }
        if (argc - at - 1 < table[i].words)
            return wrong(argv[at], "something is missing behind it");
        if (!apply(o, (enum option)i, argv + at + 1, &resource))
            return false;
        at += table[i].words;
    }
    if (argc - at != 1)
        return wrong("JID", argc == at ? "missing" : "comes last, and there is one");
    return read_password_variable(o) && set_jid(o, argv[at], resource) && check(o);
}
