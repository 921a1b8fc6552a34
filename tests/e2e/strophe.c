/* SPDX-License-Identifier: MIT
 *
 * strophe JID PASSWORD ADDRESS PORT CA starttls|direct: another client's login, for comparison. Sends its
 * presence as soon as libstrophe says that it is connected, with stream management on, and stays to the end
 * of input.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>
#include <unistd.h>

static void on_connection(xmpp_conn_t *conn, xmpp_conn_event_t event, int error,
                          xmpp_stream_error_t *stream_error, void *user)
{
    (void)error;
    (void)stream_error;
    if (event == XMPP_CONN_CONNECT) {
        xmpp_stanza_t *presence = xmpp_presence_new(user);
        xmpp_send(conn, presence);
        xmpp_stanza_release(presence);
    } else {
        (void)fprintf(stderr, "strophe: disconnected\n");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    xmpp_initialize();
    xmpp_ctx_t *ctx = xmpp_ctx_new(NULL, xmpp_get_default_logger(XMPP_LEVEL_WARN));
    xmpp_conn_t *conn = xmpp_conn_new(ctx);
    xmpp_conn_set_jid(conn, argv[1]);
    xmpp_conn_set_pass(conn, argv[2]);
    xmpp_conn_set_cafile(conn, argv[5]);
    long flags =
        strcmp(argv[6], "direct") == 0 ? (long)XMPP_CONN_FLAG_LEGACY_SSL : (long)XMPP_CONN_FLAG_MANDATORY_TLS;
    if (xmpp_conn_set_flags(conn, flags) != XMPP_EOK ||
        xmpp_connect_client(conn, argv[3], (unsigned short)atoi(argv[4]), on_connection, ctx) != XMPP_EOK)
        return 1;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (poll(&input, 1, 0) == 0)
        xmpp_run_once(ctx, 1);
    return 0;
}
