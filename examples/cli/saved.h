/* SPDX-License-Identifier: MIT
 *
 * What outlives the tool: a blob of xmpp_tiny_save() in a file, and with it the ids of the stanzas it holds.
 * As secret as a password.
 */
#ifndef CLI_SAVED_H
#define CLI_SAVED_H

#include "ids.h"
#include "xmpp_tiny.h"

enum cli_load {
    CLI_LOAD_NONE,    /* there is no file */
    CLI_LOAD_DONE,    /* the client and the ids are as they were */
    CLI_LOAD_DAMAGED, /* or of another version, or of another account: nothing changed */
    CLI_LOAD_FAILED   /* why is on stderr */
};

/* When: after xmpp_tiny_init(). */
enum cli_load cli_saved_load(const char *path, struct xmpp_tiny *x, struct cli_ids *ids);

/* Has the client count as stored what it is now. The caller has to store it before another byte leaves. */
void cli_saved_promise(struct xmpp_tiny *x);

/* Replaces the file in one step: whatever happens, it is the old one or the new one. False after saying why
 * on stderr. */
bool cli_saved_store(const char *path, struct xmpp_tiny *x, const struct cli_ids *ids);

#endif
