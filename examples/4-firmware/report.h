/* SPDX-License-Identifier: MIT
 *
 * Says on the console what happens to the sensor. A product may do without.
 */
#ifndef REPORT_H
#define REPORT_H

#include "xmpp_tiny.h"

void report_line(const char *what, struct xmpp_tiny_str text);
void report_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *event);

#endif
