# SPDX-License-Identifier: MIT
"""Cases against servers that fail, lie or say nothing: each has its own error name and exit status, and
no credential and no stanza leaves where none may."""

import re
import time

from fake import BINDING, SASL, STARTTLS, STREAMS, TLS, Fake, encode, mechanisms
from harness import Cli, Failure, free_ports, same

PLAIN_PHASE = re.compile(
    rb"(<\?xml [^>]*\?>)?\s*<stream:stream [^>]*>(<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>)?")
ENDING = re.compile(rb"(<stream:error>((?!</stream:error>).)*</stream:error>)?(</stream:stream>)?", re.S)
SECURED = ["connected", "secured"]
ONLINE = [*SECURED, "authenticated", "online"]


def nothing_but_header(data, what):
    """data is a stream header, perhaps <starttls/>, and perhaps the end of the stream."""
    match = PLAIN_PHASE.match(data)
    rest = data[match.end():] if match else data
    if not match or not ENDING.fullmatch(rest):
        raise Failure(f"{what}: client sent {data!r}")
    if b"secret" in data or b"alice" in data:
        raise Failure(f"{what}: client named the account: {data!r}")


def before_tls(connection):
    """Of what went out before TLS, cut off where the client's handshake begins (record type 22)."""
    return re.split(rb"\x16\x03[\x00-\x04]", connection.plain)[0]


def fails(name, status, events, script, pki, *options, certificate="a.test", condition=None, text=None, **how):
    """Runs the script; returns the error event and the connections."""
    with Fake(script, pki, certificate) as fake, Cli(fake.where, *options, ca=f"{pki}/ca.crt", **how) as cli:
        error = cli.wait("error")
        same("error", error["name"], name)
        same("condition", error.get("condition"), condition)
        if text is not None:
            same("text", error.get("text"), text)
        cli.end(status)
        same("events", cli.kinds(), [*events, "error", "closed"])
        fake.finish()
        for connection in fake.connections:
            if how.get("tls") != "direct":
                nothing_but_header(before_tls(connection), "before TLS")
        return error, fake.connections


# ---- Where no server is --------------------------------------------------------------------------


def lookup(pki):
    with Cli("no-such-host.invalid:5222", ca=f"{pki}/ca.crt") as cli:
        same("error", cli.wait("error")["name"], "LOOKUP")
        cli.end(2)
        same("events", cli.kinds(), ["error", "closed"])


def refused(pki):
    port = free_ports("127.0.0.1", 1)[0]
    with Cli(f"127.0.0.1:{port}", ca=f"{pki}/ca.crt") as cli:
        same("error", cli.wait("error")["name"], "CONNECT")
        cli.end(2)
        same("events", cli.kinds(), ["error", "closed"])


# ---- Certificates ----------------------------------------------------------------------------------


def certificate(pki, which, name, tls):
    def starttls(c):
        c.starttls()
        c.header()

    def direct(c):
        c.tls()
        c.header()

    _, (connection,) = fails(name, 3, ["connected"], direct if tls == "direct" else starttls, pki,
                             certificate=which, tls=tls)
    same("inside TLS", connection.clear, b"")
    same("server name asked for", connection.server_name, "a.test")


# ---- TLS --------------------------------------------------------------------------------------------


def no_tls(pki):
    def script(c):
        c.header()
        c.features(mechanisms("SCRAM-SHA-256", "PLAIN"))

    _, (connection,) = fails("NO_TLS", 3, ["connected"], script, pki)
    if b"starttls" in connection.plain:
        raise Failure("asked for what was not offered")


def no_tls_at_all(pki):
    """Features with nothing in them, as after a man in the middle took STARTTLS away."""

    def script(c):
        c.header()
        c.features("")

    fails("NO_TLS", 3, ["connected"], script, pki)


def tls_refused(pki):
    def script(c):
        c.header()
        c.features(STARTTLS)
        c.expect(r"<starttls\s[^>]*/>")
        c.send(f"<failure xmlns='{TLS}'/></stream:stream>")

    fails("NO_TLS", 3, ["connected"], script, pki)


def injection(pki):
    """What follows <proceed/> in the clear must never be taken for the secured stream."""

    def script(c):
        c.starttls(extra=f"<stream:features>{mechanisms('PLAIN')}</stream:features>")
        c.header()

    _, (connection,) = fails("UNEXPECTED", 5, ["connected"], script, pki)
    same("inside TLS", connection.clear, b"")


def not_tls(pki):
    def script(c):
        c.header()
        c.features(STARTTLS)
        c.expect(r"<starttls\s[^>]*/>")
        c.send(f"<proceed xmlns='{TLS}'/>")
        c.expect(r"\x16\x03")
        c.send("HTTP/1.0 400 Bad Request\r\n\r\n")

    fails("TLS", 3, ["connected"], script, pki)


# ---- Silence ---------------------------------------------------------------------------------------


def silent(pki, stage):
    def script(c):
        if stage == "before the header":
            return
        if stage == "before the features":
            c.header()
        elif stage == "after starttls":
            c.header()
            c.features(STARTTLS)
        elif stage == "in the TLS handshake":
            c.header()
            c.features(STARTTLS)
            c.expect(r"<starttls\s[^>]*/>")
            c.send(f"<proceed xmlns='{TLS}'/>")
        elif stage == "in a direct TLS handshake":
            pass
        elif stage == "inside TLS":
            c.starttls()
        elif stage == "after auth":
            c.starttls()
            c.offer("SCRAM-SHA-256")
        elif stage == "after the challenge":
            c.starttls()
            ours = c.offer("SCRAM-SHA-256").decode().rsplit("r=", 1)[1]
            challenge = encode(f"r={ours}x,s={encode('throw-away salt')},i=4096")
            c.send(f"<challenge xmlns='{SASL}'>{challenge}</challenge>")
            c.expect("<response")
        elif stage == "after success":
            c.starttls()
            c.scram()
        elif stage == "after bind":
            c.starttls()
            c.scram()
            c.header()
            c.features(BINDING)

    secured = {"inside TLS": SECURED, "after auth": SECURED, "after the challenge": SECURED,
               "after success": ONLINE[:3], "after bind": ONLINE[:3]}
    fails("TIMEOUT", 6, secured.get(stage, ["connected"]), script, pki, "--timeout", "2",
          tls="direct" if "direct" in stage else "starttls")


SILENT = ["before the header", "before the features", "after starttls", "in the TLS handshake",
          "in a direct TLS handshake", "inside TLS", "after auth", "after the challenge", "after success", "after bind"]


def never_closes(pki):
    """A server that does not answer </stream:stream>: the client goes all the same, in time."""

    def script(c):
        c.online()
        c.expect("</stream:stream>")

    with Fake(script, pki) as fake, Cli(fake.where, "--timeout", "2", ca=f"{pki}/ca.crt") as cli:
        cli.end(0)
        same("events", cli.kinds(), [*ONLINE, "closed"])
        fake.finish()
        same("end", fake.only().end, "notify")


# ---- SASL --------------------------------------------------------------------------------------------


def honest(pki, **scram):
    """What a server may well do."""

    def script(c):
        c.starttls()
        c.scram(**scram)
        c.bind()
        c.expect("</stream:stream>")
        c.send("</stream:stream>")

    with Fake(script, pki) as fake, Cli(fake.where, ca=f"{pki}/ca.crt") as cli:
        cli.end(0)
        same("events", cli.kinds(), [*ONLINE, "closed"])
        fake.finish()


def dishonest(pki, name, after, condition=None, **scram):
    """A server that may not know the password. after: what of the login may have been sent."""

    def script(c):
        c.starttls()
        c.scram(**scram)
        c.bind()

    _, (connection,) = fails(name, 4, SECURED, script, pki, condition=condition)
    sent = re.findall(rb"<(auth|response|iq|presence|message)\b", connection.clear)
    same("sent inside TLS", sent, after)
    same("stream headers inside TLS", connection.clear.count(b"<stream:stream"), 1)


def only_plain(pki):
    """PLAIN is not used unless named, whatever else is missing."""

    def script(c):
        c.starttls()
        c.header()
        c.features(mechanisms("PLAIN", "X-OTHER"))

    _, (connection,) = fails("MECHANISM", 4, SECURED, script, pki)
    if b"<auth" in connection.clear:
        raise Failure(f"sent {connection.clear!r}")


def no_second_try(pki):
    """After a failure no weaker mechanism is tried, though it is offered and the stream is open."""

    def script(c):
        c.starttls()
        c.offer("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")
        c.send(f"<failure xmlns='{SASL}'><temporary-auth-failure/><text xml:lang='en'>come back later</text></failure>")

    _, (connection,) = fails("AUTH", 4, SECURED, script, pki, condition="temporary-auth-failure",
                             text="come back later")
    same("attempts", re.findall(rb"mechanism=['\"]([^'\"]*)", connection.clear), [b"SCRAM-SHA-256"])


def success_too_soon(pki):
    """<success/> in answer to the first message: the server has proved nothing."""

    def script(c):
        c.starttls()
        c.offer("SCRAM-SHA-256")
        c.send(f"<success xmlns='{SASL}'/>")
        c.header()

    _, (connection,) = fails("SERVER_PROOF", 4, SECURED, script, pki)
    same("stream headers inside TLS", connection.clear.count(b"<stream:stream"), 1)


# ---- The stream --------------------------------------------------------------------------------------


def stream_error(pki, when):
    text = f"<stream:error><host-unknown xmlns='{STREAMS}'/><text xmlns='{STREAMS}' xml:lang='en'>" \
        "not &lt;here&gt;</text></stream:error></stream:stream>"

    def script(c):
        if when == "before TLS":
            c.header()
        elif when == "inside TLS":
            c.starttls()
            c.header()
        else:
            c.online()
        c.send(text)

    events = {"before TLS": ["connected"], "inside TLS": SECURED, "online": ONLINE}[when]
    fails("STREAM", 5, events, script, pki, "--stdin", condition="host-unknown", text="not <here>")


def elsewhere(c, where):
    c.send(f"<stream:error><see-other-host xmlns='{STREAMS}'>{where}</see-other-host></stream:error></stream:stream>")


def endless_redirect(pki):
    def script(c):
        c.starttls()
        c.header()
        elsewhere(c, c.fake.where)

    _, connections = fails("REDIRECT", 5, SECURED * 3, script, pki, condition="see-other-host")
    for connection in connections:
        nothing_but_header(connection.clear.replace(b" from='alice@a.test'", b""), "inside TLS")


def early_redirect(pki):
    """Before TLS anybody could have written it."""

    def script(c):
        c.header()
        elsewhere(c, c.fake.where)

    _, connections = fails("REDIRECT", 5, ["connected"], script, pki, condition="see-other-host")
    same("connections", len(connections), 1)


def redirect_to_impostor(pki):
    """The name to prove stays that of the JID, wherever the connection goes."""

    def script(c):
        c.starttls()
        c.header()
        elsewhere(c, impostor.where)

    with Fake(lambda c: (c.starttls(), c.header()), pki, "wrong-name") as impostor:
        fails("CERT_NAME", 3, [*SECURED, "connected"], script, pki)
        impostor.finish()
        same("server name asked for", impostor.only().server_name, "a.test")
        same("inside TLS", impostor.only().clear, b"")


def other_domain(pki):
    def script(c):
        c.header("evil.test")
        c.features(STARTTLS)

    fails("FROM", 5, ["connected"], script, pki)


def not_xml(pki):
    fails("XML", 5, ["connected"], lambda c: (c.header(), c.send("<stream:features></stream:other>")), pki)


def steering(pki):
    """A server's control characters do not reach the terminal, in the trace nor elsewhere."""

    def script(c):
        c.online()
        c.send("<message from='a.test'><body>\u00e4\n\t\x7f\u009b31m</body></message>")
        c.expect("<message")
        c.send(b"\x1b[2J\x9b")

    with Fake(script, pki) as fake, Cli(fake.where, "--trace", "--stdin", ca=f"{pki}/ca.crt") as cli:
        same("body", cli.wait("message")["body"], "\u00e4\n\t\x7f\u009b31m")
        cli.say("message bob@a.test seen")
        same("error", cli.wait("error")["name"], "XML")
        cli.end(5)
        fake.finish()
        text = cli.stderr()
    same("trace", ["<body>\u00e4\n\\x09\\x7f\\xc2\\x9b31m</body>" in text, "< \\x1b[2J\\x9b\n" in text], [True, True])
    same("controls", re.findall("[^\n -~\u00e4]", text), [])


def other_protocol(pki):
    def script(c):
        c.expect("<stream:stream")
        c.send("<html xmlns='http://www.w3.org/1999/xhtml' version='1.0'>")

    fails("HEADER", 5, ["connected"], script, pki)


def bind_refused(pki):
    def script(c):
        c.starttls()
        c.scram()
        c.header()
        c.features(BINDING)
        number = c.expect(r"<iq\s[^>]*id=['\"]([^'\"]*)['\"][^>]*>.*?</iq>").group(1).decode()
        c.send(f"<iq type='error' id='{number}'><error type='cancel'><not-allowed xmlns="
               "'urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")

    fails("BIND", 5, ONLINE[:3], script, pki, condition="not-allowed")


# ---- Ends of the connection, while online ------------------------------------------------------------


def ending(pki, how):
    def script(c):
        c.online()
        if how == "reset":
            time.sleep(0.5)  # a reset takes with it what the client has not read yet
            c.reset()
        elif how == "cut":
            c.cut()
        elif how == "notify":
            c.notify()
        else:
            c.send("</stream:stream>")

    name, status = {"reset": ("LOST", 2), "cut": ("TRUNCATED", 3), "notify": ("ENDED", 2), "closed": ("CLOSED", 5)}[how]
    fails(name, status, ONLINE, script, pki, "--stdin")


def orderly(pki):
    """</stream:stream> and close_notify, both ways."""

    def script(c):
        c.online()
        c.expect("</stream:stream>")
        c.send("</stream:stream>")

    with Fake(script, pki) as fake, Cli(fake.where, ca=f"{pki}/ca.crt") as cli:
        cli.end(0)
        same("events", cli.kinds(), [*ONLINE, "closed"])
        fake.finish()
        connection = fake.only()
        same("end", connection.end, "notify")
        same("last words", connection.clear[-16:], b"</stream:stream>")
        nothing_but_header(before_tls(connection), "before TLS")


def cases(pki):
    """Name and function of each; they are independent and may run side by side."""
    yield "no such host: LOOKUP", lambda: lookup(pki)
    yield "refused port: CONNECT", lambda: refused(pki)
    for tls in ("starttls", "direct"):
        for which, name in (("other-ca", "CERT_UNTRUSTED"), ("wrong-name", "CERT_NAME"), ("expired", "CERT_TIME"),
                            ("not-yet", "CERT_TIME"), ("rsa.a.test", "CERT_UNTRUSTED")):
            yield f"certificate {which}, {tls}: {name}", \
                lambda which=which, name=name, tls=tls: certificate(pki, which, name, tls)
    yield "no TLS offered, but SASL: NO_TLS", lambda: no_tls(pki)
    yield "nothing offered: NO_TLS", lambda: no_tls_at_all(pki)
    yield "STARTTLS offered, then refused: NO_TLS", lambda: tls_refused(pki)
    yield "plaintext after proceed: UNEXPECTED", lambda: injection(pki)
    yield "no TLS after proceed: TLS", lambda: not_tls(pki)
    for stage in SILENT:
        yield f"silent {stage}: TIMEOUT", lambda stage=stage: silent(pki, stage)
    yield "stream never closed by the server", lambda: never_closes(pki)
    full = [b"auth", b"response"]
    yield "server signature wrong: SERVER_PROOF", lambda: dishonest(pki, "SERVER_PROOF", full, signature="wrong")
    yield "server signature missing: SERVER_PROOF", lambda: dishonest(pki, "SERVER_PROOF", full, signature="missing")
    yield "server-error in place of a signature: AUTH", \
        lambda: dishonest(pki, "AUTH", full, signature="error", condition="other-error")
    yield "server signature in a challenge", lambda: honest(pki, signature="challenge")
    yield "100000 iterations", lambda: honest(pki, iterations=100000)
    yield "nonce replaced: NONCE", lambda: dishonest(pki, "NONCE", full[:1], nonce=lambda ours: "x" * len(ours) + "y")
    yield "nonce not extended: NONCE", lambda: dishonest(pki, "NONCE", full[:1], nonce=lambda ours: ours)
    for count in (1, 4095, 100001, 2**31, 2**32 + 4096):
        yield f"{count} iterations: ITERATIONS", \
            lambda count=count: dishonest(pki, "ITERATIONS", full[:1], iterations=count)
    yield "PLAIN alone: MECHANISM", lambda: only_plain(pki)
    yield "no second try: AUTH", lambda: no_second_try(pki)
    yield "success without a challenge: SERVER_PROOF", lambda: success_too_soon(pki)
    for when in ("before TLS", "inside TLS", "online"):
        yield f"stream error {when}: STREAM", lambda when=when: stream_error(pki, when)
    yield "see-other-host for ever: REDIRECT", lambda: endless_redirect(pki)
    yield "see-other-host before TLS: REDIRECT", lambda: early_redirect(pki)
    yield "see-other-host to an impostor: CERT_NAME", lambda: redirect_to_impostor(pki)
    yield "header from another domain: FROM", lambda: other_domain(pki)
    yield "not well-formed: XML", lambda: not_xml(pki)
    yield "control characters and --trace", lambda: steering(pki)
    yield "not a stream: HEADER", lambda: other_protocol(pki)
    yield "resource refused: BIND", lambda: bind_refused(pki)
    for how, name in (("reset", "LOST"), ("cut", "TRUNCATED"), ("notify", "ENDED"), ("closed", "CLOSED")):
        yield f"online, then {how}: {name}", lambda how=how: ending(pki, how)
    yield "orderly close", lambda: orderly(pki)


def run(report, pki, pool):
    return [pool.submit(report.run, f"faults: {name}", function) for name, function in cases(pki)]
