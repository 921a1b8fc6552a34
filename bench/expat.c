/* SPDX-License-Identifier: MIT
 *
 * The system's expat, with namespaces, over a file: expat FILE SEGMENT touch|digest
 * bench_parse() is what tools/bench counts. */
#include "bench.h"
#include <expat.h>

/* Cannot occur in a namespace or a name. */
#define SEPARATOR '\n'

struct user {
    struct tally tally;
    unsigned depth; /* the stream's root is 1 */
};

static void on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
    struct user *u = data;
    if (u->depth++ == 0) {
        return;
    }
    u->tally.elements++;
    u->tally.touched += (uint8_t)name[0];
    for (; attributes[0] != NULL; attributes += 2) {
        u->tally.attributes++;
        u->tally.touched += (uint8_t)attributes[0][0];
        u->tally.touched += (uint8_t)attributes[1][0];
    }
}

static void on_end(void *data, const XML_Char *name)
{
    struct user *u = data;
    u->depth--;
    u->tally.touched += (uint8_t)name[0];
}

static void on_text(void *data, const XML_Char *text, int len)
{
    struct user *u = data;
    u->tally.text += (unsigned)len;
    u->tally.touched += (uint8_t)text[0];
}

static void digest_name(struct tally *t, const XML_Char *name)
{
    const char *local = strrchr(name, SEPARATOR);
    digest_string(t, 'n', name, local == NULL ? 0 : (size_t)(local - name));
    local = local == NULL ? name : local + 1;
    digest_string(t, 'l', local, strlen(local));
}

static void digest_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
    struct user *u = data;
    on_start(data, name, attributes);
    if (u->depth == 1) {
        return;
    }
    digest_string(&u->tally, '<', NULL, 0);
    digest_name(&u->tally, name);
    for (; attributes[0] != NULL; attributes += 2) {
        digest_name(&u->tally, attributes[0]);
        digest_string(&u->tally, '=', attributes[1], strlen(attributes[1]));
    }
    digest_string(&u->tally, '>', NULL, 0);
}

static void digest_end(void *data, const XML_Char *name)
{
    struct user *u = data;
    on_end(data, name);
    if (u->depth > 0) {
        digest_string(&u->tally, '/', NULL, 0);
    }
}

static void digest_text(void *data, const XML_Char *text, int len)
{
    struct user *u = data;
    on_text(data, text, len);
    digest_bytes(&u->tally, text, (size_t)len);
}

__attribute__((noinline)) static bool bench_parse(XML_Parser parser, const struct input *in)
{
    size_t at = 0;
    while (at < in->len) {
        size_t len = in->len - at < in->segment ? in->len - at : in->segment;
        if (XML_Parse(parser, in->bytes + at, (int)len, at + len == in->len) != XML_STATUS_OK) {
            return false;
        }
        at += len;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct user user = {{0}, 0};
    if (argc != 4) {
        fprintf(stderr, "usage: expat FILE SEGMENT touch|digest\n");
        return 1;
    }
    struct input in = input_read(argv[1], argv[2]);
    user.tally.digesting = strcmp(argv[3], "digest") == 0;
    XML_Parser parser = XML_ParserCreateNS(NULL, SEPARATOR);
    XML_SetUserData(parser, &user);
    if (user.tally.digesting) {
        XML_SetElementHandler(parser, digest_start, digest_end);
        XML_SetCharacterDataHandler(parser, digest_text);
    } else {
        XML_SetElementHandler(parser, on_start, on_end);
        XML_SetCharacterDataHandler(parser, on_text);
    }
    if (!bench_parse(parser, &in)) {
        fprintf(stderr, "expat: %s at byte %ld\n", XML_ErrorString(XML_GetErrorCode(parser)),
                (long)XML_GetCurrentByteIndex(parser));
        return 1;
    }
    printf("version %s\n", XML_ExpatVersion());
    tally_print(&user.tally);
    XML_ParserFree(parser);
    free(in.bytes);
    return 0;
}
