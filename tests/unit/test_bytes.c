/* SPDX-License-Identifier: MIT
 *
 * Bytes: base64, numbers, UTF-8, comparing and wiping secrets. The base64 vectors are those of RFC 4648
 * section 10. */
#include "../../xmpp_tiny.c"

#include "check.h"

static void test_base64_vectors(void)
{
    static const char *const row[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char text[16], bytes[16];
        size_t len = (size_t)(base64_put(text, row[i][0], strlen(row[i][0])) - text);
        int n = base64_get(slice(row[i][1], strlen(row[i][1])), bytes);
        CHECK(len == strlen(row[i][1]) && memcmp(text, row[i][1], len) == 0);
        CHECK_INT(n, (long long)strlen(row[i][0]));
        CHECK(n >= 0 && memcmp(bytes, row[i][0], (size_t)n) == 0);
    }
}

/* All byte values, every length, decoded over itself. */
static void test_base64_round_trip(void)
{
    uint8_t in[256];
    char text[352];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * 7);
    for (size_t len = 0; len <= sizeof in; len++) {
        size_t n = (size_t)(base64_put(text, in, len) - text);
        CHECK_INT(n, (long long)((len + 2) / 3 * 4));
        CHECK_INT(base64_get(slice(text, n), text), (long long)len);
        CHECK(memcmp(text, in, len) == 0);
    }
}

static void test_base64_refuses(void)
{
    static const char *const bad[] = {
        "Z",    "Zg",    "Zg=",  "Zg===", "=",        "====", "Z===", "Zg=a",    "Zh==",
        "Zm9=", "Zm9v=", "Z g=", "Zg\n",  "Zg==Zg==", "Zm-v", "Zm_v", "Zm9\xC3", "Zm9vYg=A"};
    char out[16];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!check_count(base64_get(slice(bad[i], strlen(bad[i])), out) < 0, __FILE__, __LINE__, "refused"))
            printf("    \"%s\"\n", bad[i]);
}

static void test_numbers(void)
{
    static const struct {
        const char *text;
        uint32_t max, want;
    } row[] = {{"0", 9, 0},
               {"9", 9, 9},
               {"10", 9, UINT32_MAX},
               {"007", 9, 7},
               {"4294967294", UINT32_MAX - 1, 4294967294U},
               {"4294967295", UINT32_MAX - 1, UINT32_MAX},
               {"4294967296", UINT32_MAX - 1, UINT32_MAX},
               {"99999999999", UINT32_MAX - 1, UINT32_MAX},
               {"2147483648", INT32_MAX, UINT32_MAX},
               {"", 9, UINT32_MAX},
               {"-1", 9, UINT32_MAX},
               {"+1", 9, UINT32_MAX},
               {" 1", 9, UINT32_MAX},
               {"1a", 99, UINT32_MAX},
               {"/", 99, UINT32_MAX},
               {":", 99, UINT32_MAX}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        CHECK_INT(number(slice(row[i].text, strlen(row[i].text)), row[i].max), row[i].want);
}

/* Each code point there is, encoded by ourselves, is taken if and only if XML allows it; with one byte
 * missing or one changed it is not. [RFC3629 3, XML 2.2] */
static void test_utf8(void)
{
    unsigned wrong = 0;
    for (uint32_t c = 1; c < 0x120000; c++) {
        char text[5];
        size_t n = (size_t)(utf8_put(text, c) - text);
        bool want = c == 9 || c == 10 || c == 13 || (c >= 0x20 && c < 0xD800) ||
                    (c >= 0xE000 && c < 0xFFFE) || (c >= 0x10000 && c < 0x110000);
        wrong += xml_text(slice(text, n)) != want;
        wrong += n > 1 && xml_text(slice(text, n - 1));
        text[n - 1] = (char)(text[n - 1] ^ (n > 1 ? 0x40 : 0x80));
        wrong += xml_text(slice(text, n));
    }
    CHECK_INT(wrong, 0);
}

static void test_secrets(void)
{
    uint8_t a[64], b[64];
    memset(a, 0xA5, sizeof a);
    memcpy(b, a, sizeof b);
    CHECK(same_secret(a, b, sizeof a));
    for (size_t i = 0; i < sizeof a * 8; i++) {
        b[i / 8] = (uint8_t)(b[i / 8] ^ 1U << i % 8);
        CHECK(!same_secret(a, b, sizeof a));
        b[i / 8] = a[i / 8];
    }
    wipe(a, 63);
    for (size_t i = 0; i < 63; i++)
        CHECK_INT(a[i], 0);
    CHECK_INT(a[63], 0xA5);
}

/* What makes the rolling hash of skipped names go back to 0. */
static void test_hash_inverse(void)
{
    CHECK_INT((uint32_t)(SKIP_K * SKIP_K_INVERSE), 1);
}

int main(void)
{
    test_base64_vectors();
    test_base64_round_trip();
    test_base64_refuses();
    test_numbers();
    test_utf8();
    test_secrets();
    test_hash_inverse();
    return check_done();
}
