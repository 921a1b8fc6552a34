/* SPDX-License-Identifier: MIT
 *
 * Which stanza bears which tag: the library knows stanzas of its queue by tags, people by ids.
 */
#ifndef CLI_IDS_H
#define CLI_IDS_H

#include "xmpp_tiny.h"

#define CLI_ID_MAX  127  /* bytes of an id */
#define CLI_IDS_MAX 1024 /* stanzas whose end is awaited; as many more wait on stdin as there are */

struct cli_id {
    uint32_t tag;
    char text[CLI_ID_MAX + 1]; /* empty: a stanza without id */
};

struct cli_ids {
    uint32_t last;  /* tag that was given */
    uint32_t names; /* ids that were made */
    size_t count;
    struct cli_id list[CLI_IDS_MAX];
};

/* A tag that is free; it is not taken before cli_ids_add(). */
uint32_t cli_ids_tag(struct cli_ids *ids);

/* False when there is no room, or the id is too long. */
bool cli_ids_add(struct cli_ids *ids, uint32_t tag, struct xmpp_tiny_str id);

/* Moves the entry of that tag to *id; false if there is none. */
bool cli_ids_take(struct cli_ids *ids, uint32_t tag, struct cli_id *id);

#endif
