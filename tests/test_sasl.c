/* SPDX-License-Identifier: MIT
 *
 * SCRAM with official vectors, and logins by token, by the crypto port. The client's nonce is its own, so a
 * vector's exchange cannot be played; instead each quantity of RFC 5802 section 3 is made from the vector's
 * messages with the port's functions, as the core makes it, and compared. Then PBKDF2 in slices of several
 * sizes. The core's own exchanges are in tests/golden.
 */
#include "check.h"
#include "port/bearssl.h"

#include <stdlib.h>

/* The source, hash and password; the four messages; salted password, client key, stored key, server
 * key, client signature, client proof, server signature. */
/* clang-format off */
static const struct {
    const char *source;
    enum xmpp_tiny_hash hash;
    const char *password, *client_first, *server_first, *client_final, *server_final;
    const char *salted, *client_key, *stored_key, *server_key, *client_signature, *proof, *server_signature;
} vectors[] = {
    {"RFC 5802 section 5",
     XMPP_TINY_SHA1,
     "pencil",
     "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
     "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
     "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
     "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
     "1d96ee3a529b5a5f9e47c01f229a2cb8a6e15f7d",
     "e234c47bf6c36696dd6d852b99aaa2ba26555728",
     "e9d94660c39d65c38fbad91c358f14da0eef2bd6",
     "0fe09258b3ac852ba502cc62ba903eaacdbf7d31",
     "5d7138c486b0bfabdf49e3e2da8bd6e5c79db613",
     "bf45fcbf7073d93d022466c94321745fe1c8e13b",
     "ae617da6a57c4bbb2e0286568dae1d251905b0a4",
    },
    {"RFC 7677 section 3",
     XMPP_TINY_SHA256,
     "pencil",
     "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
     "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
     "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
     "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
     "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d",
     "a60fc923d67e8644a92d16b96eda5ef4656b0c725c484374be25535576996e8b",
     "586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6",
     "c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5",
     "d27312467c28a40a8a7f05c73c0de33eb3cbfb4a83783b58144cf19ac6be1bdf",
     "747cdb65aa56224e2352137e52d7bdcad6a0f738df30782caa69a2cfb0277554",
     "eabae24d1062db75a9451ff0b6ea7e98c8546549ff741e672d3251b2397de46e",
    },
    {"RFC 6120 section 9.1.2",
     XMPP_TINY_SHA1,
     "r0m30myr0m30",
     "n,,n=juliet,r=oMsTAAwAAAAMAAAANP0TAAAAAABPU0AA",
     "r=oMsTAAwAAAAMAAAANP0TAAAAAABPU0AAe124695b-69a9-4de6-9c30-b51b3808c59e,s=NjhkYTM0MDgtNGY0Zi00NjdmLTkxMmUtNDlmNTNmNDNkMDMz,i=4096",
     "c=biws,r=oMsTAAwAAAAMAAAANP0TAAAAAABPU0AAe124695b-69a9-4de6-9c30-b51b3808c59e,p=UA57tM/SvpATBkH2FXs0WDXvJYw=",
     "v=pNNDFVEQxuXxCoSEiW8GEZ+1RSo=",
     "4738f0745064187ac7b1fde0b8e28bad52127223",
     "19b0f52dc539919c809832b4e78ebe6564582a7b",
     "93ab5af136471fe8eb9b2d4900c044d7c1e4470e",
     "7f4576d79cb9cea3482a7bc4e921c47fc1c3489a",
     "49be8e990aeb2f0c939e7342f2f58a3d51b70ff7",
     "500e7bb4cfd2be90130641f6157b345835ef258c",
     "a4d343155110c6e5f10a8484896f06119fb5452a",
    },
    {"test data of kroxylicious, a public proxy; no RFC has one",
     XMPP_TINY_SHA512,
     "pencil",
     "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
     "r=rOprNGfwEbeRWgbNEkqO02431b08-2f89-4bad-a4e6-80c0564ec865,s=Yin2FuHTt/M0kJWb0t9OI32n2VmOGi3m+JfjOvuDF88=,i=4096",
     "c=biws,r=rOprNGfwEbeRWgbNEkqO02431b08-2f89-4bad-a4e6-80c0564ec865,p=Hc5yec3NmCD7t+kFRw4/3yD6/F3SQHc7AVYschRja+Bc3sbdjlA0eH1OjJc0DD4ghn1tnXN5/Wr6qm9xmaHt4A==",
     "v=BQuhnKHqYDwQWS5jAw4sZed+C9KFUALsbrq81bB0mh+bcUUbbMPNNmBIupnS2AmyyDnG5CTBQtkjJ9kyY4kzmw==",
     "e8fef380e4be24c1c80d06229f47131b5a89646d99e3a58e019f25894a1693ff09153d83ae26a92c8cddde70bd5c4066e388ab123ca6aa108304618d25979661",
     "071df25306884853cd451627c1ec2acdf455b00a344e4e54aa1f20b666816bfa95db74f9f13fa1df58ef2b796a9e330bab8f944148ad81d043d0798698d08e30",
     "111c46bb04270070366a6734d556f541bf563ea31bebcbbcb3095d86e3a7e0c47bb9dbb1fa843f0cdae0700cb9734fd2119c9b2de1986798c59161f910b34e5c",
     "80508674ef2a78056fa8a09f169a8f5c8da7db9f7a095b5ac7493a207de0cedf78c40f7e0e0003e8dc2b10b27402382e64d73475627176e39ed37ec711c0f550",
     "1ad3802acb45d07336f2ff2286e21512d4af4c57e60e396fab490cc472e2001ac905b2247f6f95a725a1a7ee5e920d2b2df2f9dc3bd47cbab97a16f7017163d0",
     "1dce7279cdcd9820fbb7e905470e3fdf20fafc5dd240773b01562c7214636be05cdec6dd8e5034787d4e8c97340c3e20867d6d9d7379fd6afaaa6f7199a1ede0",
     "050ba19ca1ea603c10592e63030e2c65e77e0bd2855002ec6ebabcd5b0749a1f9b71451b6cc3cd366048ba99d2d809b2c839c6e424c142d92327d9326389339b",
    },
    {"XEP-0474",
     XMPP_TINY_SHA1,
     "pencil",
     "p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6",
     "r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,s=QSXCR+Q6sek8bf92,i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08=",
     "c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4=",
     "v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c=",
     "1d96ee3a529b5a5f9e47c01f229a2cb8a6e15f7d",
     "e234c47bf6c36696dd6d852b99aaa2ba26555728",
     "e9d94660c39d65c38fbad91c358f14da0eef2bd6",
     "0fe09258b3ac852ba502cc62ba903eaacdbf7d31",
     "d1c04c75c23d1361ec3f9a16143b901f3d909336",
     "33f4880e34fe75f731521f3d8d9132a51bc5c41e",
     "310acc3efbfbcafe31e02ab85b8221db912a4b67",
    },
    {"XEP-0515",
     XMPP_TINY_SHA1,
     "pencil",
     "p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6",
     "r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,s=QSXCR+Q6sek8bf92,i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08=,t=0304",
     "c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,p=KHUfN8dSy1K95crT4D5y1ItLJfs=",
     "v=3w34ZIMVRkx2f2Ozb3/ecRPVdv4=",
     "1d96ee3a529b5a5f9e47c01f229a2cb8a6e15f7d",
     "e234c47bf6c36696dd6d852b99aaa2ba26555728",
     "e9d94660c39d65c38fbad91c358f14da0eef2bd6",
     "0fe09258b3ac852ba502cc62ba903eaacdbf7d31",
     "ca41db4c3191adc460884ff87994d06ead1e72d3",
     "28751f37c752cb52bde5cad3e03e72d48b4b25fb",
     "df0df8648315464c767f63b36f7fde7113d576fe",
    },
};
/* clang-format on */
#define VECTORS (sizeof vectors / sizeof *vectors)

static const struct xmpp_tiny_crypto *const crypto = &xmpp_tiny_bearssl_crypto;

static size_t digest_size(enum xmpp_tiny_hash h)
{
    return h == XMPP_TINY_SHA512 ? 64 : h == XMPP_TINY_SHA256 ? 32 : 20;
}

static const char *hex(const uint8_t *data, size_t len)
{
    static char text[129];
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", data[i]);
    return text;
}

static size_t base64_decode(const char *in, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned v = 0, bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < len && in[i] != '='; i++) {
        v = v << 6 | (unsigned)(strchr(digits, in[i]) - digits);
        bits += 6;
        if (bits >= 8)
            out[n++] = (char)(v >> (bits -= 8));
    }
    return n;
}

/* PBKDF2 of one block, as the core does it. [RFC8018 5.2] */
static void salted_password(enum xmpp_tiny_hash h, const char *password, struct xmpp_tiny_str salt,
                            uint32_t iterations, uint32_t slice, uint8_t *t)
{
    struct xmpp_tiny_str parts[2] = {salt, {"\0\0\0\1", 4}};
    uint8_t u[64];
    crypto->hmac(h, password, strlen(password), parts, 2, u);
    memcpy(t, u, digest_size(h));
    for (uint32_t left = iterations - 1; left;) {
        uint32_t rounds = left < slice ? left : slice;
        crypto->pbkdf2(h, password, strlen(password), u, t, rounds);
        left -= rounds;
    }
}

static void derive(enum xmpp_tiny_hash h, const uint8_t *key, const char *text, uint8_t *digest)
{
    struct xmpp_tiny_str part = xmpp_tiny_str(text);
    crypto->hmac(h, key, digest_size(h), &part, 1, digest);
}

static void check_vector(size_t i)
{
    const char *salt_text = strstr(vectors[i].server_first, ",s=") + 3,
               *count_text = strstr(salt_text, ",i=");
    const char *bare = strstr(vectors[i].client_first, ",,") + 2,
               *proof_text = strstr(vectors[i].client_final, ",p=");
    enum xmpp_tiny_hash h = vectors[i].hash;
    size_t size = digest_size(h);
    uint8_t salted[64], key[64], stored[64], signature[64], server[64];
    char salt[64], decoded[64];
    struct xmpp_tiny_str auth[5] = {
        xmpp_tiny_str(bare),
        {",", 1},
        xmpp_tiny_str(vectors[i].server_first),
        {",", 1},
        {vectors[i].client_final, (size_t)(proof_text - vectors[i].client_final)}};
    struct xmpp_tiny_str salt_slice = {salt,
                                       base64_decode(salt_text, (size_t)(count_text - salt_text), salt)};
    printf("%s\n", vectors[i].source);
    salted_password(h, vectors[i].password, salt_slice, (uint32_t)strtoul(count_text + 3, NULL, 10), 256,
                    salted);
    CHECK_TEXT(hex(salted, size), vectors[i].salted);
    derive(h, salted, "Client Key", key);
    CHECK_TEXT(hex(key, size), vectors[i].client_key);
    crypto->hash(h, key, size, stored);
    CHECK_TEXT(hex(stored, size), vectors[i].stored_key);
    crypto->hmac(h, stored, size, auth, 5, signature);
    CHECK_TEXT(hex(signature, size), vectors[i].client_signature);
    for (size_t k = 0; k < size; k++)
        key[k] ^= signature[k];
    CHECK_TEXT(hex(key, size), vectors[i].proof);
    CHECK_INT(base64_decode(proof_text + 3, strlen(proof_text + 3), decoded), size);
    CHECK(memcmp(decoded, key, size) == 0);
    derive(h, salted, "Server Key", server);
    CHECK_TEXT(hex(server, size), vectors[i].server_key);
    crypto->hmac(h, server, size, auth, 5, server); /* the digest may be the key */
    CHECK_TEXT(hex(server, size), vectors[i].server_signature);
    CHECK_INT(base64_decode(vectors[i].server_final + 2, strlen(vectors[i].server_final + 2), decoded), size);
    CHECK(memcmp(decoded, server, size) == 0);
}

/* ---- Tokens ---- */

/* No official vectors exist; these were computed by another implementation.
 * [draft-schmaus-kitten-sasl-ht 3.1, 3.3] */
static void check_token(void)
{
    static const struct {
        const char *label;
        size_t binding; /* bytes 0, 1, 2 .. */
        const char *result;
    } macs[] = {
        {"Initiator", 0, "9097787461a184e0fa84ec00c1381190b6c4d16a8ec4453c7b2ac5e7fcf935ed"},
        {"Responder", 0, "4e513409631474863b986c9f3e8c1e27ca29d1d7ab9ed4097e7afd6007bf9c62"},
        {"Initiator", 32, "0c5745576afeea711960549186a31a65c9f328205ee38b66825b3d4c872b395c"},
        {"Responder", 32, "1260579b34d55aeba4e43062a412db609a0a7153abd218b0f148445c4e83529f"},
    };
    const char *token = "WXZzciBwYmFmdmZnZiBqdmd1IGp2eXFhcmZm";
    for (size_t i = 0; i < sizeof macs / sizeof *macs; i++) {
        char binding[32];
        uint8_t digest[32];
        struct xmpp_tiny_str parts[2] = {xmpp_tiny_str(macs[i].label), {binding, macs[i].binding}};
        for (size_t k = 0; k < sizeof binding; k++)
            binding[k] = (char)k;
        crypto->hmac(XMPP_TINY_SHA256, token, strlen(token), parts, 2, digest);
        CHECK_TEXT(hex(digest, 32), macs[i].result);
    }
}

/* ---- PBKDF2 ---- */

/* RFC 6070 section 2; RFC 7914 section 11, the first 32 bytes. */
static const struct {
    enum xmpp_tiny_hash hash;
    const char *password;
    struct xmpp_tiny_str salt;
    uint32_t iterations;
    const char *result;
} pbkdf2[] = {
    {XMPP_TINY_SHA1, "password", {"salt", 4}, 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"},
    {XMPP_TINY_SHA1, "password", {"salt", 4}, 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"},
    {XMPP_TINY_SHA1, "password", {"salt", 4}, 4096, "4b007901b765489abead49d926f721d065a429c1"},
    {XMPP_TINY_SHA256,
     "passwd",
     {"salt", 4},
     1,
     "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"},
    {XMPP_TINY_SHA256,
     "Password",
     {"NaCl", 4},
     80000,
     "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"},
};

static void check_slices(void)
{
    static const uint32_t slices[] = {1, 7, 256, 4095, 4096, 1000000};
    for (size_t i = 0; i < sizeof pbkdf2 / sizeof *pbkdf2; i++)
        for (size_t k = 0; k < sizeof slices / sizeof *slices; k++) {
            uint8_t t[64];
            salted_password(pbkdf2[i].hash, pbkdf2[i].password, pbkdf2[i].salt, pbkdf2[i].iterations,
                            slices[k], t);
            CHECK_TEXT(hex(t, digest_size(pbkdf2[i].hash)), pbkdf2[i].result);
        }
}

/* ---- Names ---- */

static void check_names(void)
{
    static const char *const names[] = {"ANONYMOUS",
                                        "PLAIN",
                                        "SCRAM-SHA-1",
                                        "SCRAM-SHA-256",
                                        "SCRAM-SHA-512",
                                        "SCRAM-SHA-1-PLUS",
                                        "SCRAM-SHA-256-PLUS",
                                        "SCRAM-SHA-512-PLUS",
                                        "EXTERNAL"};
    for (int i = 0; i < 9; i++) {
        CHECK_TEXT(xmpp_tiny_mechanism_name((enum xmpp_tiny_mechanism)i), names[i]);
        CHECK_INT(xmpp_tiny_mechanism_number(names[i]), i);
    }
    CHECK_TEXT(xmpp_tiny_mechanism_name((enum xmpp_tiny_mechanism)9), "");
    CHECK_INT(xmpp_tiny_mechanism_number("plain"), -1);
    CHECK_INT(xmpp_tiny_mechanism_number("SCRAM-SHA-1-"), -1);
    CHECK_INT(xmpp_tiny_mechanism_number(""), -1);
}

int main(void)
{
    for (size_t i = 0; i < VECTORS; i++)
        check_vector(i);
    check_token();
    check_slices();
    check_names();
    return check_done();
}
