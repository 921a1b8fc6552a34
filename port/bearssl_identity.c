/* SPDX-License-Identifier: MIT
 *
 * Client certificates: what struct xmpp_tiny_bearssl_identity can name. Each function links the code
 * that signs with its kind of key.
 */
#include "port/bearssl.h"

/* The key is worth more than a connection: on machines that ask for it, its time must not show. */
#if XMPP_TINY_BEARSSL_I15
#define ECDSA_SIGN br_ecdsa_i15_sign_asn1
#define RSA_SIGN   br_rsa_i15_pkcs1_sign
#else
#define ECDSA_SIGN br_ecdsa_i31_sign_asn1
#define RSA_SIGN   br_rsa_pkcs1_sign_get_default()
#endif

void xmpp_tiny_bearssl_ec(br_ssl_client_context *client, const struct xmpp_tiny_bearssl_identity *identity)
{
    br_ssl_client_set_single_ec(client, identity->chain, identity->chain_count, identity->ec, BR_KEYTYPE_SIGN,
                                BR_KEYTYPE_EC, br_ssl_engine_get_ec(&client->eng), ECDSA_SIGN);
}

void xmpp_tiny_bearssl_rsa(br_ssl_client_context *client, const struct xmpp_tiny_bearssl_identity *identity)
{
    br_ssl_client_set_single_rsa(client, identity->chain, identity->chain_count, identity->rsa, RSA_SIGN);
}
