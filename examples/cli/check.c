/* SPDX-License-Identifier: MIT
 *
 * What a server does, found out from outside.
 */
#include "check.h"

#include "../common.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

/* What an ordinary client offers, from the best to what it should not. */
#define USUAL (1U << CHECK_AEAD | 1U << CHECK_CBC | 1U << CHECK_RSA)

static const char *const version_names[] = {
#define X(name, text, number) text,
    CHECK_VERSIONS(X)
#undef X
};
static const char *const class_names[] = {
#define X(name, text) text,
    CHECK_CLASSES(X)
#undef X
};

const char *check_transport_name(enum check_transport transport)
{
    return transport == CHECK_DIRECT ? "direct" : "starttls";
}

static void report_begin(const char *event, enum check_transport transport)
{
    cli_report_begin(event);
    cli_report_str("transport", xmpp_tiny_str(check_transport_name(transport)));
}

/* ---- Connections ------------------------------------------------------------------------------- */

/* Opens a connection up to where TLS begins; f: what is said before. */
static bool open_link(const struct cli_check *c, enum check_transport transport, struct check_link *l,
                      struct xmpp_tiny_stream *tls, struct check_features *f)
{
    check_link_init(l, tls, c->timeout_ms);
    return check_link_open(l, c->host, c->ports[transport]) &&
           (transport == CHECK_DIRECT ||
            (check_link_features(l, c->domain, f) && f->starttls && check_link_starttls(l)));
}

/* ---- Offers ------------------------------------------------------------------------------------ */

static void remember_chain(struct check_measured *m, const struct check_choice *choice)
{
    struct check_certificate certificate;
    if (choice->certificate_len == 0 ||
        !check_certificate_read(choice->certificates, choice->certificate_len, &certificate))
        return;
    if (m->chain_len == 0) {
        m->certificate = certificate;
        memcpy(m->chain, choice->certificates, choice->certificate_len);
        m->chain_len = choice->certificate_len;
    }
    for (size_t i = 0; i < m->key_count; i++)
        if (memcmp(m->keys[i], certificate.spki, sizeof m->keys[i]) == 0)
            return;
    if (m->key_count < CHECK_KEYS_MAX)
        memcpy(m->keys[m->key_count++], certificate.spki, sizeof certificate.spki);
}

static struct check_finding make_offer(const struct cli_check *c, enum check_transport transport,
                                       struct check_measured *m, struct check_offer offer)
{
    static struct check_choice choice; /* too large for a stack */
    struct check_link link;
    struct check_features features;
    struct check_finding finding = {.outcome = CHECK_UNKNOWN, .name = ""};
    offer.name = c->domain;
    offer.alpn = transport == CHECK_DIRECT;
    if (open_link(c, transport, &link, NULL, &features)) {
        check_hello(&link, &offer, &choice);
        finding.outcome = choice.outcome;
        finding.version = choice.version;
        finding.suite = choice.suite;
        m->alpn |= choice.alpn;
        m->compressed |= choice.compressed;
        remember_chain(m, &choice);
    }
    check_link_close(&link);
    return finding;
}

/* A server that is offered one version may choose another, which does not count here. */
static void try_version(const struct cli_check *c, enum check_transport transport, struct check_measured *m,
                        enum check_version version)
{
    struct check_finding *f = &m->versions[version];
    *f = make_offer(c, transport, m,
                    (struct check_offer){.oldest = version, .newest = version, .classes = CHECK_ALL_CLASSES});
    f->name = version_names[version];
    if (f->outcome == CHECK_ACCEPTED && f->version != check_version_number(version))
        f->outcome = CHECK_REFUSED;
    m->tls |= f->outcome == CHECK_ACCEPTED;
}

static void try_class(const struct cli_check *c, enum check_transport transport, struct check_measured *m,
                      enum check_class class)
{
    m->classes[class] =
        make_offer(c, transport, m,
                   (struct check_offer){.oldest = CHECK_SSL3, .newest = CHECK_TLS12, .classes = 1U << class});
    m->classes[class].name = class_names[class];
}

static void report_finding(const char *event, enum check_transport transport, const struct check_finding *f)
{
    report_begin(event, transport);
    cli_report_str("name", xmpp_tiny_str(f->name));
    if (f->outcome != CHECK_UNKNOWN)
        cli_report_bool("accepted", f->outcome == CHECK_ACCEPTED);
    if (f->outcome == CHECK_ACCEPTED && f->suite != 0)
        cli_report_str("suite", xmpp_tiny_str(check_suite_name(f->suite)));
    cli_report_end();
}

static void report_preferred(enum check_transport transport, const struct check_measured *m)
{
    if (m->best.outcome != CHECK_ACCEPTED)
        return;
    report_begin("preferred", transport);
    cli_report_str("tls", xmpp_tiny_str(check_version_name(m->best.version)));
    cli_report_str("suite", xmpp_tiny_str(check_suite_name(m->best.suite)));
    if (transport == CHECK_DIRECT)
        cli_report_bool("alpn", m->alpn);
    cli_report_end();
}

/* The class that our client offers comes first: its certificate is the one that our client will see. If
 * neither that nor the next is even refused, the server is silent, and there is no use in going on. */
static void measure_tls(const struct cli_check *c, enum check_transport transport, struct check_measured *m)
{
    for (int i = 0; i < CHECK_CLASS_COUNT && example_signal == 0; i++) {
        try_class(c, transport, m, (enum check_class)i);
        if (i == CHECK_CBC && m->classes[CHECK_AEAD].outcome == CHECK_UNKNOWN &&
            m->classes[CHECK_CBC].outcome == CHECK_UNKNOWN)
            return;
    }
    for (int i = 0; i < CHECK_VERSION_COUNT && example_signal == 0; i++)
        try_version(c, transport, m, (enum check_version)i);
    m->best =
        make_offer(c, transport, m,
                   (struct check_offer){.oldest = CHECK_TLS10, .newest = CHECK_TLS13, .classes = USUAL});
    m->worst = make_offer(
        c, transport, m,
        (struct check_offer){
            .oldest = CHECK_TLS10, .newest = CHECK_TLS12, .classes = USUAL, .weakest_first = true});
    if (example_signal != 0)
        return;
    for (int i = 0; i < CHECK_VERSION_COUNT; i++)
        report_finding("version", transport, &m->versions[i]);
    for (int i = 0; i < CHECK_CLASS_COUNT; i++)
        report_finding("suites", transport, &m->classes[i]);
    report_preferred(transport, m);
}

/* ---- Our own client ---------------------------------------------------------------------------- */

struct visit {
    struct check_link link;
    struct xmpp_tiny_bearssl tls;
    struct xmpp_tiny_bearssl_config config;
    struct xmpp_tiny_platform platform;
    int error; /* enum xmpp_tiny_err, or 0 */
    const char *detail;
};

/* A time in the middle of a certificate's life, to see what else is wrong with one that is out of date. */
static int64_t fixed_time;

static int64_t at_fixed_time(void *ctx)
{
    (void)ctx;
    return fixed_time;
}

/* One handshake by what v->config trusts. The connection stays open if it succeeds. */
static bool visit(const struct cli_check *c, enum check_transport transport, struct visit *v)
{
    struct check_features features;
    v->config.inner = &v->link.tcp.stream;
    v->config.platform = &v->platform;
    v->error = xmpp_tiny_bearssl_init(&v->tls, &v->config);
    v->detail = NULL;
    if (v->error == 0 && open_link(c, transport, &v->link, &v->tls.stream, &features) &&
        check_link_secure(&v->link, c->domain))
        return true;
    if (v->error == 0)
        v->error = v->tls.stream.ops->error(&v->tls.stream, &v->detail);
    if (v->error == 0)
        v->error = XMPP_TINY_ERR_TIMEOUT;
    check_link_close(&v->link);
    return false;
}

static void report_client(enum check_transport transport, const struct visit *v,
                          const struct xmpp_tiny_security *security)
{
    report_begin("client", transport);
    if (security != NULL) {
        cli_report_str("tls", xmpp_tiny_str(security->version));
        cli_report_str("suite", xmpp_tiny_str(security->suite));
        cli_report_str("key_exchange", xmpp_tiny_str(security->key_exchange));
    }
    if (v->error != 0) {
        cli_report_str("error", xmpp_tiny_str(xmpp_tiny_err_name(v->error)));
        cli_report_str("text", xmpp_tiny_str(v->detail ? v->detail : xmpp_tiny_err_text(v->error)));
    }
    cli_report_end();
}

static void report_verdict_member(const char *name, enum check_verdict verdict)
{
    if (verdict != CHECK_UNSEEN)
        cli_report_bool(name, verdict == CHECK_HOLDS);
}

static void report_certificate(enum check_transport transport, const struct check_measured *m,
                               const struct xmpp_tiny_security *security)
{
    const struct check_certificate *certificate = &m->certificate;
    if (m->chain_len == 0)
        return;
    report_begin("certificate", transport);
    if (security != NULL) {
        cli_report_str("subject", security->subject);
        cli_report_str("issuer", security->issuer);
        cli_report_time("not_before", security->not_before);
        cli_report_time("not_after", security->not_after);
    }
    cli_report_hex("spki", certificate->spki, sizeof certificate->spki);
    cli_report_hex("certificate", certificate->certificate, sizeof certificate->certificate);
    if (certificate->key[0] != '\0')
        cli_report_str("key", xmpp_tiny_str(certificate->key));
    if (certificate->signature[0] != '\0')
        cli_report_str("signature", xmpp_tiny_str(certificate->signature));
    report_verdict_member("authority", m->authority);
    report_verdict_member("name", m->name);
    report_verdict_member("dates", m->dates);
    cli_report_end();
}

static enum check_verdict verdict(bool holds)
{
    return holds ? CHECK_HOLDS : CHECK_FAILS;
}

/* What of a certificate that was refused does hold: each part for itself. */
static void measure_parts(const struct cli_check *c, enum check_transport transport, struct check_measured *m,
                          struct visit *v, const struct xmpp_tiny_security *security)
{
    int64_t now = c->tls->platform->unix_time(c->tls->platform->ctx);
    fixed_time = security->not_before / 2 + security->not_after / 2;
    m->dates = verdict(now >= security->not_before && now <= security->not_after);
    m->authority = verdict(
        check_certificate_vouched(m->chain, m->chain_len, c->tls->anchors, c->tls->anchor_count, fixed_time));
    v->config = *c->tls;
    v->config.anchors = NULL;
    v->config.anchor_count = 0;
    v->config.first_use = true;
    v->platform.unix_time = at_fixed_time;
    bool fine = visit(c, transport, v);
    if (fine || v->error == XMPP_TINY_ERR_CERT_NAME)
        m->name = verdict(fine);
    check_link_close(&v->link);
}

static void read_inside(const struct cli_check *c, enum check_transport transport, struct check_measured *m,
                        struct check_link *l)
{
    if (!check_link_features(l, c->domain, &m->after))
        return;
    report_begin("features", transport);
    cli_report_str("mechanisms", xmpp_tiny_str(m->after.mechanisms));
    if (m->after.bindings[0] != '\0')
        cli_report_str("bindings", xmpp_tiny_str(m->after.bindings));
    cli_report_bool("registration", m->after.registration);
    cli_report_end();
}

/* Our client as it is; and if it leaves, what it would have seen, by trust in the keys that were shown. */
static void measure_client(const struct cli_check *c, enum check_transport transport,
                           struct check_measured *m)
{
    static struct visit v, second, third; /* too large for a stack */
    const struct check_measured *known = m;
    struct xmpp_tiny_security security = {.trust = XMPP_TINY_TRUST_NONE};
    v.config = second.config = *c->tls;
    v.platform = second.platform = third.platform = *c->tls->platform;
    if (visit(c, transport, &v)) {
        v.tls.stream.ops->security(&v.tls.stream, &security);
        m->authority = m->name = m->dates = CHECK_HOLDS;
        report_client(transport, &v, &security);
        report_certificate(transport, m, &security);
        read_inside(c, transport, m, &v.link);
        check_link_close(&v.link);
        return;
    }
    m->error = v.error;
    second.config.anchors = NULL;
    second.config.anchor_count = 0;
    second.config.pins = known->keys[0];
    second.config.pin_count = m->key_count;
    if (m->key_count == 0 || !visit(c, transport, &second)) {
        report_client(transport, &v, NULL);
        report_certificate(transport, m, NULL);
        return;
    }
    second.tls.stream.ops->security(&second.tls.stream, &security);
    report_client(transport, &v, &security);
    read_inside(c, transport, m, &second.link);
    measure_parts(c, transport, m, &third, &security);
    report_certificate(transport, m, &security);
    check_link_close(&second.link);
}

/* ---- A transport ------------------------------------------------------------------------------- */

/* The first connection: who answers, and what is said before TLS. */
static bool measure_begin(const struct cli_check *c, enum check_transport transport, struct check_measured *m)
{
    struct check_link link;
    const char *detail = NULL;
    check_link_init(&link, NULL, c->timeout_ms);
    m->reached = check_link_open(&link, c->host, c->ports[transport]);
    if (!m->reached)
        (void)link.stream->ops->error(link.stream, &detail);
    else if (transport == CHECK_STARTTLS)
        (void)check_link_features(&link, c->domain, &m->before);
    check_link_close(&link);
    report_begin("connection", transport);
    cli_report_str("host", xmpp_tiny_str(c->host));
    cli_report_number("port", c->ports[transport]);
    cli_report_bool("reached", m->reached);
    cli_report_str("text", xmpp_tiny_str(detail));
    if (m->before.seen) {
        cli_report_bool("starttls", m->before.starttls);
        cli_report_bool("required", m->before.required);
        cli_report_str("mechanisms", xmpp_tiny_str(m->before.mechanisms));
    }
    cli_report_end();
    return m->reached && (transport == CHECK_DIRECT || m->before.starttls);
}

void cli_check_measure(struct cli_check *c)
{
    for (int i = 0; i < CHECK_TRANSPORT_COUNT && example_signal == 0; i++) {
        enum check_transport transport = (enum check_transport)i;
        struct check_measured *m = &c->measured[i];
        if (!measure_begin(c, transport, m))
            continue;
        measure_tls(c, transport, m);
        if (m->tls)
            measure_client(c, transport, m);
    }
}
