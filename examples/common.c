/* SPDX-License-Identifier: MIT
 *
 * What the examples share.
 */
#define _POSIX_C_SOURCE 200809L

#include "common.h"

#include "port/bearssl_pem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

volatile sig_atomic_t example_signal;

long example_read_file(const char *path, char *buf, size_t size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    size_t len = fread(buf, 1, size, file);
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    if (failed || len == size) {
        (void)fprintf(stderr, "%s: %s\n", path, failed ? "cannot be read" : "too large");
        return -1;
    }
    buf[len] = '\0';
    return (long)len;
}

/* Enough for the bundle of a whole system. */
bool example_anchors(const char *path, const br_x509_trust_anchor **anchors, size_t *count)
{
    static br_x509_trust_anchor kept[512];
    static uint8_t memory[512 * 1024];
    static char text[1024 * 1024];
    static struct xmpp_tiny_bearssl_arena arena = {memory, sizeof memory, 0};
    static size_t used;
    long len = example_read_file(path, text, sizeof text);
    if (len < 0)
        return false;
    int more = xmpp_tiny_bearssl_pem_anchors(&arena, (struct xmpp_tiny_str){text, (size_t)len}, kept + used,
                                             sizeof kept / sizeof *kept - used);
    if (more < 0) {
        (void)fprintf(stderr, "%s: %s\n", path,
                      more == XMPP_TINY_ERR_TOO_BIG ? "too many certificates"
                                                    : "no certificates in PEM form");
        return false;
    }
    used += (size_t)more;
    *anchors = kept;
    *count = used;
    return true;
}

bool example_number(const char *text, uint32_t min, uint32_t max, uint32_t *value)
{
    uint32_t n = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || n > max / 10)
            return false;
        n = n * 10 + (uint32_t)(*text - '0');
    }
    if (n < min || n > max)
        return false;
    *value = n;
    return true;
}

bool example_endpoint(const char *text, char *host, size_t size, uint16_t *port)
{
    const char *end, *colon;
    uint32_t number;
    bool bracketed = *text == '[';
    if (bracketed) {
        text++;
        end = strchr(text, ']');
        if (end == NULL || (end[1] != ':' && end[1] != '\0'))
            return false;
        colon = end[1] == ':' ? end + 1 : NULL;
    } else {
        colon = strchr(text, ':');
        end = colon ? colon : text + strlen(text);
    }
    size_t len = (size_t)(end - text);
    if (len == 0 || len >= size)
        return false;
    if (colon != NULL) {
        if (!example_number(colon + 1, 1, 65535, &number))
            return false;
        *port = (uint16_t)number;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    return true;
}

static void on_signal(int number)
{
    example_signal = number;
}

bool example_catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    (void)sigemptyset(&action.sa_mask);
    action.sa_handler = on_signal;
    /* Once: a second signal ends the program at once. */
    action.sa_flags = (int)SA_RESETHAND;
    if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0)
        return false;
    action.sa_handler = SIG_IGN;
    action.sa_flags = 0;
    return sigaction(SIGPIPE, &action, NULL) == 0;
}

/* Bytes of the printable character at the front, 0 if there is none. C1 controls are C2 80 to C2 9F. */
static size_t printable(const unsigned char *at, size_t left)
{
    size_t size = *at < 0xC2 ? 0 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : *at < 0xF5 ? 4 : 0;
    if (*at < 0x80)
        return *at == '\n' || (*at >= 0x20 && *at != 0x7F);
    if (size > left || (*at == 0xC2 && at[1] < 0xA0))
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return size;
}

void example_print_text(const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + len;
    while (at < end) {
        const unsigned char *run = at;
        size_t size;
        while (at < end && (size = printable(at, (size_t)(end - at))) > 0)
            at += size;
        (void)fwrite(run, 1, (size_t)(at - run), stderr);
        if (at < end)
            (void)fprintf(stderr, "\\x%02x", *at++);
    }
}

void example_print_error(const struct xmpp_tiny_error *error)
{
    (void)fprintf(stderr, "%s: %s", xmpp_tiny_err_name(error->code), xmpp_tiny_err_text(error->code));
    if (error->condition.ptr != NULL) {
        (void)fputs(" (", stderr);
        example_print_text(error->condition.ptr, error->condition.len);
        (void)fputc(')', stderr);
    }
    if (error->text.ptr != NULL) {
        (void)fputs(": ", stderr);
        example_print_text(error->text.ptr, error->text.len);
    }
    (void)fputc('\n', stderr);
}

const char *example_trust_name(enum xmpp_tiny_trust trust)
{
    switch (trust) {
    case XMPP_TINY_TRUST_CA:
        return "ca";
    case XMPP_TINY_TRUST_PIN:
        return "pin";
    case XMPP_TINY_TRUST_CA_PIN:
        return "ca-pin";
    case XMPP_TINY_TRUST_FIRST_USE:
        return "first-use";
    case XMPP_TINY_TRUST_NONE:
        break;
    }
    return "none";
}

const char *example_binding_name(enum xmpp_tiny_binding binding)
{
    switch (binding) {
    case XMPP_TINY_BINDING_TLS_UNIQUE:
        return "tls-unique";
    case XMPP_TINY_BINDING_TLS_SERVER_END_POINT:
        return "tls-server-end-point";
    case XMPP_TINY_BINDING_NONE:
        break;
    }
    return "none";
}

const char *example_via_name(enum xmpp_tiny_via via)
{
    switch (via) {
    case XMPP_TINY_VIA_SASL2:
        return "sasl2";
    case XMPP_TINY_VIA_FAST:
        return "fast";
    case XMPP_TINY_VIA_CLASSIC:
        break;
    }
    return "classic";
}

void example_print_security(struct xmpp_tiny *x)
{
    struct xmpp_tiny_security s;
    if (xmpp_tiny_security(x, &s) < 0)
        return;
    if (s.authenticated)
        printf("authenticated by %s, channel binding %s\n", xmpp_tiny_mechanism_name(s.mechanism),
               example_binding_name(s.binding));
    else
        printf("secured by %s: %s, %s, %s\n", example_trust_name(s.trust), s.version, s.suite,
               s.key_exchange);
    (void)fflush(stdout);
}

void example_wipe(void *secret, size_t len)
{
    volatile unsigned char *p = secret;
    while (len-- > 0)
        *p++ = 0;
}
