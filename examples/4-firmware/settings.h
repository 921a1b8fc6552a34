/* SPDX-License-Identifier: MIT
 *
 * What is compiled into one device. Give a header of your own: make -f examples/firmware.mk SETTINGS=...
 */
#define SENSOR_JID      "sensor@example.org"
#define SENSOR_PASSWORD "secret"

/* Where to connect; NULL, 0: what the JID says, its domain and the usual port. */
#define SENSOR_HOST NULL
#define SENSOR_PORT 0
#define SENSOR_TLS  XMPP_TINY_TLS_START

#define SENSOR_INTERVAL_MS  60000  /* between readings */
#define SENSOR_PING_MS      120000 /* without a word of the server, until it is asked whether it is there */
#define SENSOR_TIMEOUT_MS   30000  /* longest wait for the server */
#define SENSOR_RETRY_MS     1000 /* at most, before a second attempt to connect; then twice that each time */
#define SENSOR_RETRY_MAX_MS 120000 /* longest; also after what another attempt does not mend */

/* Seconds since 1970 that have passed for certain, for boards that do not know the time. */
#define SENSOR_TIME_FLOOR 0

/* The CA that issued the server's certificate: TAs, TAs_NUM. */
#include "example_anchors.h"
