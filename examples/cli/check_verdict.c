/* SPDX-License-Identifier: MIT
 *
 * What was measured, line by line of the manifesto and beyond.
 */
#include "check.h"

#include "options.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

/* Why a verdict is what it is: words, with commas between. */
struct why {
    char text[256];
};

static void add(struct why *w, const char *text)
{
    size_t used = strlen(w->text);
    if (text[0] != '\0' && strstr(w->text, text) == NULL)
        (void)snprintf(w->text + used, sizeof w->text - used, "%s%s", used > 0 ? ", " : "", text);
}

/* ---- One transport with TLS ----------------------------------------------------------------------
 * Each function is one line. */

/* FAILS with the names of those that are accepted. */
static enum check_verdict none_of(const struct check_finding *findings, int from, int to, struct why *w)
{
    enum check_verdict verdict = CHECK_HOLDS;
    for (int i = from; i <= to; i++) {
        if (findings[i].outcome == CHECK_ACCEPTED) {
            add(w, findings[i].name);
            verdict = CHECK_FAILS;
        } else if (findings[i].outcome == CHECK_UNKNOWN && verdict == CHECK_HOLDS) {
            verdict = CHECK_UNSEEN;
        }
    }
    return verdict;
}

static enum check_verdict latest(const struct check_measured *m, struct why *w)
{
    uint16_t highest = 0;
    for (int i = 0; i < CHECK_VERSION_COUNT; i++)
        if (m->versions[i].outcome == CHECK_ACCEPTED)
            highest = m->versions[i].version;
    if (m->best.outcome != CHECK_ACCEPTED)
        return CHECK_UNSEEN;
    add(w, check_version_name(m->best.version));
    bool fine = m->best.version >= check_version_number(CHECK_TLS12) && m->best.version >= highest;
    return fine ? CHECK_HOLDS : CHECK_FAILS;
}

static enum check_verdict no_ssl2(const struct check_measured *m, struct why *w)
{
    return none_of(m->versions, CHECK_SSL2, CHECK_SSL2, w);
}

static enum check_verdict no_old_tls(const struct check_measured *m, struct why *w)
{
    return none_of(m->versions, CHECK_SSL3, CHECK_TLS11, w);
}

static enum check_verdict no_weak_suites(const struct check_measured *m, struct why *w)
{
    return none_of(m->classes, CHECK_RC4, CHECK_ANON, w);
}

static enum check_verdict no_compression(const struct check_measured *m, struct why *w)
{
    (void)w;
    return m->compressed ? CHECK_FAILS : CHECK_HOLDS;
}

static bool secret(const struct check_finding *f)
{
    return f->outcome == CHECK_ACCEPTED &&
           (check_suite_class(f->suite) == CHECK_AEAD || check_suite_class(f->suite) == CHECK_CBC);
}

/* Of clients that prefer to go without it, too. */
static enum check_verdict secrecy_preferred(const struct check_measured *m, struct why *w)
{
    if (m->best.outcome == CHECK_UNKNOWN || m->worst.outcome == CHECK_UNKNOWN)
        return CHECK_UNSEEN;
    if (secret(&m->best) && (m->worst.outcome == CHECK_REFUSED || secret(&m->worst)))
        return CHECK_HOLDS;
    add(w, secret(&m->best) ? "the client's order counts" : "none is available");
    add(w, check_suite_name(m->worst.suite));
    return CHECK_FAILS;
}

static enum check_verdict secrecy_required(const struct check_measured *m, struct why *w)
{
    enum check_verdict verdict = CHECK_HOLDS;
    for (int i = CHECK_RSA; i < CHECK_CLASS_COUNT; i++) {
        const char *name = check_suite_name(m->classes[i].suite);
        if (m->classes[i].outcome == CHECK_ACCEPTED && strncmp(name, "RSA_", 4) == 0) {
            add(w, name);
            verdict = CHECK_FAILS;
        } else if (m->classes[i].outcome == CHECK_UNKNOWN && verdict == CHECK_HOLDS) {
            verdict = CHECK_UNSEEN;
        }
    }
    return verdict;
}

static enum check_verdict vouched(const struct check_measured *m, struct why *w)
{
    (void)w;
    return m->authority;
}

static enum check_verdict right_name(const struct check_measured *m, struct why *w)
{
    (void)w;
    return m->name;
}

static enum check_verdict right_dates(const struct check_measured *m, struct why *w)
{
    (void)w;
    return m->dates;
}

/* All that a client demands: key and signature, use, constraints. */
static enum check_verdict verified(const struct check_measured *m, struct why *w)
{
    if (m->error == 0)
        return CHECK_HOLDS;
    add(w, xmpp_tiny_err_name(m->error));
    return m->key_count > 0 ? CHECK_FAILS : CHECK_UNSEEN;
}

/* ---- Lines of the whole server ------------------------------------------------------------------- */

typedef enum check_verdict measured_fn(const struct check_measured *m, struct why *w);

/* A line holds if it does wherever there is TLS. */
static enum check_verdict everywhere(const struct cli_check *c, measured_fn *line, struct why *w)
{
    enum check_verdict all = CHECK_UNSEEN;
    bool seen = false;
    for (int i = 0; i < CHECK_TRANSPORT_COUNT; i++) {
        if (!c->measured[i].tls)
            continue;
        enum check_verdict one = line(&c->measured[i], w);
        if (!seen || one == CHECK_FAILS || (one == CHECK_UNSEEN && all == CHECK_HOLDS))
            all = one;
        seen = true;
    }
    return all;
}

static enum check_verdict starttls(const struct cli_check *c, struct why *w)
{
    const struct check_measured *m = &c->measured[CHECK_STARTTLS];
    if (!m->reached) {
        add(w, "no connection");
        return CHECK_UNSEEN;
    }
    if (!m->tls)
        add(w, m->before.starttls ? "offered in vain" : m->before.seen ? "not offered" : "no features");
    return m->tls ? CHECK_HOLDS : CHECK_FAILS;
}

/* No way to log in before TLS, or to show a password for an account to be made. */
static enum check_verdict required(const struct cli_check *c, struct why *w)
{
    const struct check_measured *m = &c->measured[CHECK_STARTTLS];
    if (!m->before.seen)
        return !m->reached && c->measured[CHECK_DIRECT].tls ? CHECK_HOLDS : CHECK_UNSEEN;
    bool exposed = m->before.legacy || m->before.registration;
    if (m->before.mechanisms[0] == '\0' && !exposed && m->before.starttls) {
        add(w, m->before.required ? "" : "nothing else is offered before");
        return CHECK_HOLDS;
    }
    add(w, m->before.mechanisms);
    add(w, m->before.legacy ? "login without SASL" : "");
    add(w, m->before.registration ? "registration" : "");
    return CHECK_FAILS;
}

/* The mechanisms inside TLS, wherever they could be read; the same on both transports as a rule. */
static enum check_verdict offered(const struct cli_check *c, const char *pattern, struct why *w)
{
    enum check_verdict all = CHECK_UNSEEN;
    for (int i = 0; i < CHECK_TRANSPORT_COUNT; i++) {
        const struct check_features *f = &c->measured[i].after;
        if (!f->seen)
            continue;
        bool found = check_listed(f->mechanisms, pattern);
        add(w, found ? "" : f->mechanisms);
        if (all != CHECK_FAILS)
            all = found ? CHECK_HOLDS : CHECK_FAILS;
    }
    return all;
}

static enum check_verdict direct(const struct cli_check *c, struct why *w)
{
    const struct check_measured *m = &c->measured[CHECK_DIRECT];
    if (!m->tls)
        add(w, m->reached ? "no TLS" : "no connection");
    else if (!m->alpn)
        add(w, "ALPN is not answered");
    return m->tls ? CHECK_HOLDS : CHECK_FAILS;
}

/* ---- All of them ------------------------------------------------------------------------------- */

struct judgement {
    const struct cli_check *c;
    int status;
};

/* status: what the exit status becomes if the line does not hold; 0: it is a wish. unseen: likewise if it
 * cannot be seen. */
static void line(struct judgement *j, const char *name, const char *text, enum check_verdict verdict,
                 const struct why *w, int status, bool unseen)
{
    static const char *const words[] = {"cannot be seen", "holds", "does not hold"};
    cli_report_verdict(name, words[verdict], text, w->text);
    if (status != 0 && (verdict == CHECK_FAILS || (unseen && verdict == CHECK_UNSEEN)) &&
        (j->status == CLI_DONE || status < j->status))
        j->status = status;
}

static void tls_line(struct judgement *j, const char *name, const char *text, measured_fn *measured,
                     int status)
{
    struct why w = {""};
    enum check_verdict verdict = everywhere(j->c, measured, &w);
    line(j, name, text, verdict, &w, status, true);
}

static void judge_tls(struct judgement *j)
{
    struct why w = {""};
    enum check_verdict verdict = starttls(j->c, &w);
    line(j, "starttls", "STARTTLS is supported", verdict, &w, CLI_NO_TRUST, false);
    w.text[0] = '\0';
    verdict = required(j->c, &w);
    line(j, "tls-required", "TLS is required of clients", verdict, &w, CLI_NO_TRUST, true);
    tls_line(j, "latest-tls", "the latest version of TLS is preferred, 1.2 or newer", latest, CLI_NO_TRUST);
    tls_line(j, "no-sslv2", "SSLv2 is disabled", no_ssl2, CLI_NO_TRUST);
    tls_line(j, "no-old-tls", "SSLv3, TLS 1.0 and TLS 1.1 are disabled", no_old_tls, CLI_NO_TRUST);
    tls_line(j, "no-weak-suites", "RC4, 3DES, DES, export, NULL and anonymous suites are disabled",
             no_weak_suites, CLI_NO_TRUST);
    tls_line(j, "no-compression", "TLS compression is disabled", no_compression, CLI_NO_TRUST);
    tls_line(j, "forward-secrecy", "forward secrecy is available and preferred", secrecy_preferred,
             CLI_NO_TRUST);
    tls_line(j, "only-forward-secrecy", "forward secrecy is required", secrecy_required, CLI_DONE);
    tls_line(j, "authority", "a known authority vouches for the certificate", vouched, CLI_NO_TRUST);
    tls_line(j, "name", "the certificate is for the domain", right_name, CLI_NO_TRUST);
    tls_line(j, "dates", "the certificate is valid today", right_dates, CLI_NO_TRUST);
    tls_line(j, "verified", "the certificate satisfies this client in all", verified, CLI_NO_TRUST);
    w.text[0] = '\0';
    line(j, "servers", "TLS is required between servers", CHECK_UNSEEN, &w, CLI_DONE, false);
}

/* A server that fails to prove itself is worse than one that refuses a password. */
static enum check_verdict strong(const struct cli_check *c, const struct xmpp_tiny_security *login, int error,
                                 struct why *w)
{
    if (error != 0 && xmpp_tiny_err_origin(error) == XMPP_TINY_ORIGIN_SASL && error != XMPP_TINY_ERR_AUTH) {
        add(w, xmpp_tiny_err_name(error));
        return CHECK_FAILS;
    }
    if (error != 0 && error != XMPP_TINY_ERR_AUTH && login == NULL) { /* a login that never ended */
        add(w, xmpp_tiny_err_name(error));
        return CHECK_UNSEEN;
    }
    enum check_verdict verdict = offered(c, "SCRAM-*", w);
    if (verdict == CHECK_HOLDS && login != NULL)
        add(w, xmpp_tiny_mechanism_name(login->mechanism));
    else if (verdict == CHECK_HOLDS && error == XMPP_TINY_ERR_AUTH)
        add(w, "the password was refused");
    return verdict;
}

int cli_check_judge(const struct cli_check *c, const struct xmpp_tiny_security *login, int error)
{
    struct judgement j = {c, CLI_DONE};
    struct why w = {""};
    if (!c->measured[CHECK_STARTTLS].reached && !c->measured[CHECK_DIRECT].reached)
        return CLI_NO_CONNECTION;
    judge_tls(&j);
    enum check_verdict verdict = strong(c, login, error, &w);
    line(&j, "strong-authentication", "passwords are never shown to the server: SCRAM", verdict, &w,
         CLI_NO_LOGIN, true);
    w.text[0] = '\0';
    verdict = offered(c, "*-PLUS", &w);
    line(&j, "channel-binding", "a man in the middle is found out: channel binding", verdict, &w, CLI_DONE,
         false);
    w.text[0] = '\0';
    verdict = direct(c, &w);
    line(&j, "direct-tls", "TLS from the first byte", verdict, &w, CLI_DONE, false);
    return j.status;
}
