/* SPDX-License-Identifier: MIT
 *
 * Events on stdout, each a line of its own, flushed at once: a JSON object, or for people the same
 * members as "event  name: value". Nothing that was received can forge a line or steer a terminal.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "xmpp_tiny.h"

void cli_report_json(bool json);

/* One event: begin, members, end. Absent strings leave their member out. */
void cli_report_begin(const char *event);
void cli_report_str(const char *name, struct xmpp_tiny_str value);
void cli_report_number(const char *name, int64_t value);
void cli_report_bool(const char *name, bool value);
void cli_report_hex(const char *name, const uint8_t *bytes, size_t len);
void cli_report_time(const char *name, int64_t seconds); /* since 1970; 0 leaves the member out */
void cli_report_end(void);

/* An error event. `to`: whom it concerns, may be absent. */
void cli_report_error(const struct xmpp_tiny_error *error, struct xmpp_tiny_str to);

/* An iq result or error, by an id that may be another than its own. */
void cli_report_iq(const struct xmpp_tiny_event *event, struct xmpp_tiny_str id);

/* How the connection is protected; by what both sides proved themselves; that the certificate is not the
 * one that was remembered. */
void cli_report_secured(const struct xmpp_tiny_security *security);
void cli_report_authenticated(const struct xmpp_tiny_security *security, bool saved);
void cli_report_changed(const struct xmpp_tiny_security *security, const struct xmpp_tiny_saved *saved);

void cli_report_online(const struct xmpp_tiny_event *event, const struct xmpp_tiny_security *security);

/* A line of --check; for people the verdict comes first. */
void cli_report_verdict(const char *line, const char *verdict, const char *text, const char *why);

/* CONNECTED, REGISTERED, MESSAGE, PRESENCE, ELEMENT, SKIPPED, ERROR, DISCONNECTED, CLOSED. */
void cli_report_event(const struct xmpp_tiny_event *event);

/* False once stdout could not be written. */
bool cli_report_ok(void);

#endif
