/* SPDX-License-Identifier: MIT
 *
 * What the examples share: the command line, trust anchors from a file, messages, a clean end.
 */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include "xmpp_tiny.h"

#include <bearssl.h>
#include <signal.h>

/* Reads a whole file into buf and puts a NUL behind it. Returns its length, or -1 after saying why on
 * stderr. */
long example_read_file(const char *path, char *buf, size_t size);

/* Reads the certificates of a PEM file as trust anchors, in addition to those of earlier calls; *anchors
 * and *count are all of them. False after saying why on stderr. */
bool example_anchors(const char *path, const br_x509_trust_anchor **anchors, size_t *count);

/* Splits "HOST:PORT", "[ADDRESS]:PORT" or "HOST" (*port stays as it is). */
bool example_endpoint(const char *text, char *host, size_t size, uint16_t *port);

/* A decimal number from min to max and nothing else. */
bool example_number(const char *text, uint32_t min, uint32_t max, uint32_t *value);

/* The signal that asked for an end, SIGINT or SIGTERM; 0: none. Writing to a closed pipe becomes an
 * ordinary failure. */
extern volatile sig_atomic_t example_signal;
bool example_catch_signals(void);

/* Received text on stderr: all of it that could steer a terminal, but line feeds, and what is not UTF-8
 * appears as \xNN. */
void example_print_text(const char *text, size_t len);

/* One line on stderr for an error: its name, its meaning, and what the peer or the port said. */
void example_print_error(const struct xmpp_tiny_error *error);

/* "ca", "pin", "ca-pin", "first-use" or "none"; "tls-unique", "tls-server-end-point" or "none"; "classic",
 * "sasl2" or "fast". */
const char *example_trust_name(enum xmpp_tiny_trust trust);
const char *example_binding_name(enum xmpp_tiny_binding binding);
const char *example_via_name(enum xmpp_tiny_via via);

/* One line on stdout: how the connection is protected; once logged in, how both sides proved it. */
void example_print_security(struct xmpp_tiny *x);

/* Overwrites secrets in a way the compiler must not leave out. */
void example_wipe(void *secret, size_t len);

#endif
