/* SPDX-License-Identifier: MIT
 *
 * The library's limits for this firmware; what is not named here is the default of xmpp_tiny.h and
 * port/bearssl.h.
 */
#define XMPP_TINY_MAX_REQUESTS  2
#define XMPP_TINY_ENABLE_SHA512 0
#define XMPP_TINY_ENABLE_TRACE  0
