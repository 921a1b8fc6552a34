/* SPDX-License-Identifier: MIT
 *
 * Client certificates: what struct xmpp_tiny_bearssl_identity can name. Each function links the code
 * that signs with its kind of key.
 */
#include "port/bearssl.h"

void xmpp_tiny_bearssl_ec(br_ssl_client_context *client, const struct xmpp_tiny_bearssl_identity *identity)
{
    br_ssl_client_set_single_ec(client, identity->chain, identity->chain_count, identity->ec, BR_KEYTYPE_SIGN,
                                BR_KEYTYPE_EC, br_ec_get_default(), br_ecdsa_sign_asn1_get_default());
}

void xmpp_tiny_bearssl_rsa(br_ssl_client_context *client, const struct xmpp_tiny_bearssl_identity *identity)
{
    br_ssl_client_set_single_rsa(client, identity->chain, identity->chain_count, identity->rsa,
                                 br_rsa_pkcs1_sign_get_default());
}
