/* SPDX-License-Identifier: MIT
 *
 * What can be read out of the certificates a server shows, whether or not they hold.
 */
#ifndef CLI_CHECK_CERTIFICATE_H
#define CLI_CHECK_CERTIFICATE_H

#include "xmpp_tiny.h"

#include <bearssl.h>

struct check_certificate {
    uint8_t spki[32], certificate[32]; /* SHA-256 of the public key and of the whole */
    char key[24];                      /* "RSA 2048", "P-256" */
    char signature[24];                /* "SHA-256 with RSA" */
};

/* Reads the first certificate of a TLS message. False if there is none, or it is not understood. */
bool check_certificate_read(const uint8_t *message, size_t len, struct check_certificate *certificate);

/* Whether the chain of a TLS message leads to an anchor; name and dates of the first certificate do not
 * matter. when: a time at which it is valid, seconds since 1970. */
bool check_certificate_vouched(const uint8_t *message, size_t len, const br_x509_trust_anchor *anchors,
                               size_t count, int64_t when);

#endif
