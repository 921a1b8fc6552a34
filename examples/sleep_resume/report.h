/* SPDX-License-Identifier: MIT
 *
 * Says on the console what happens to the sleeper. A product may do without.
 */
#ifndef REPORT_H
#define REPORT_H

#include "xmpp_tiny.h"

/* One line; each % in it is the next of the numbers. */
void report(const char *text, const uint32_t *numbers);
void report_event(struct xmpp_tiny *x, const struct xmpp_tiny_event *event);

#endif
