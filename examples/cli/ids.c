/* SPDX-License-Identifier: MIT
 *
 * Tags and ids of stanzas whose end is awaited.
 */
#include "ids.h"

#include <string.h>

static struct cli_id *find(struct cli_ids *ids, uint32_t tag)
{
    for (size_t i = 0; i < ids->count; i++)
        if (ids->list[i].tag == tag)
            return &ids->list[i];
    return NULL;
}

uint32_t cli_ids_tag(struct cli_ids *ids)
{
    do
        ids->last++;
    while (ids->last == 0 || find(ids, ids->last) != NULL);
    return ids->last;
}

bool cli_ids_add(struct cli_ids *ids, uint32_t tag, struct xmpp_tiny_str id)
{
    if (ids->count == CLI_IDS_MAX || id.len > CLI_ID_MAX)
        return false;
    struct cli_id *entry = &ids->list[ids->count++];
    entry->tag = tag;
    if (id.len > 0)
        memcpy(entry->text, id.ptr, id.len);
    entry->text[id.len] = '\0';
    return true;
}

bool cli_ids_take(struct cli_ids *ids, uint32_t tag, struct cli_id *id)
{
    struct cli_id *entry = find(ids, tag);
    if (entry == NULL)
        return false;
    *id = *entry;
    ids->count--;
    memmove(entry, entry + 1, (size_t)(ids->list + ids->count - entry) * sizeof *entry);
    return true;
}
