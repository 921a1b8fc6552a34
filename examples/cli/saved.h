/* SPDX-License-Identifier: MIT
 *
 * struct xmpp_tiny_saved as a file, which is as secret as a password.
 */
#ifndef CLI_SAVED_H
#define CLI_SAVED_H

#include "xmpp_tiny.h"

/* A file that is not there counts as empty. False after saying why on stderr. */
bool cli_saved_load(const char *path, struct xmpp_tiny_saved *saved);

/* Replaces the file in one step: whatever happens, it is the old one or the new one. False after saying why
 * on stderr. */
bool cli_saved_store(const char *path, const struct xmpp_tiny_saved *saved);

#endif
