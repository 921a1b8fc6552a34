/* SPDX-License-Identifier: MIT
 *
 * What is compiled into one board. Give a header of your own: make -f examples/sleep_resume/board.mk
 * SETTINGS=...
 */
#define SLEEPER_JID      "sensor@example.org"
#define SLEEPER_PASSWORD "secret"
#define SLEEPER_TO       "owner@example.org" /* who gets the readings */

/* Where to connect; NULL, 0: what the JID says, its domain and the usual port. */
#define SLEEPER_HOST NULL
#define SLEEPER_PORT 0
#define SLEEPER_TLS  XMPP_TINY_TLS_DIRECT /* two round trips less than XMPP_TINY_TLS_START */

#define SLEEPER_SLEEP_MS 60000 /* between two wakes; the server should keep sessions for longer */
#define SLEEPER_AWAKE_MS 30000 /* longest time awake */

/* Seconds since 1970 that have passed for certain, for boards that do not know the time. */
#define SLEEPER_TIME_FLOOR 0

/* The CA that issued the server's certificate: TAs, TAs_NUM. */
#include "examples/4-firmware/example_anchors.h"
