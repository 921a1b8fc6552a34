/* SPDX-License-Identifier: MIT
 *
 * What this firmware needs of the library; what is not named here is the default of xmpp_tiny.h and
 * port/bearssl.h. Authorities with P-384 keys, which sign for many public servers, want SHA384 and P384.
 */
#define XMPP_TINY_MAX_REQUESTS          2
#define XMPP_TINY_ENABLE_SHA512         0
#define XMPP_TINY_ENABLE_IDN            0
#define XMPP_TINY_ENABLE_REGISTER       0
#define XMPP_TINY_ENABLE_TRACE          0
#define XMPP_TINY_BEARSSL_ENABLE_SHA384 0
#define XMPP_TINY_BEARSSL_ENABLE_P384   0
#define XMPP_TINY_BEARSSL_ENABLE_X25519 0
#define XMPP_TINY_BEARSSL_NAME_MAX      0
