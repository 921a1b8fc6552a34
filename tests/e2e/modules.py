#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""modules.py [PATTERN]: protection against downgrades, with a Prosody that our modules teach what its version
lacks: h= of XEP-0474, lists of channel bindings [XEP-0440], SASL2 [XEP-0388]. First a client that is not ours
shows that the modules do as they should. PATTERN: a regular expression for case names."""

import re
import sys

sys.dont_write_bytecode = True  # no cache beside the sources

import modules_sasl2  # noqa: E402
from harness import Failure, Report, clean_up_always, make_pki, same, scratch  # noqa: E402
from modules_client import FAST, SASL, SASL2, SCRAM, STREAM, UPGRADE, Raw  # noqa: E402
from modules_login import PLUS, Login  # noqa: E402
from modules_prosody import BOTH, Modern, host  # noqa: E402
from modules_sasl2 import LISTS, WRONG  # noqa: E402


def taken(*names, bindings=BOTH):
    """Somebody takes these away on their way."""
    return host(*LISTS, e2e_bindings=bindings, e2e_downgrade_strip=names)


HOSTS = {
    **modules_sasl2.HOSTS,
    # Honest.
    "h.a.test": host("e2e_downgrade"),
    "both.a.test": host(*LISTS, e2e_bindings=BOTH),
    "end.a.test": host(*LISTS),
    "exporter.a.test": host(*LISTS, e2e_bindings=["tls-exporter"]),
    # Not what they were when they left the server.
    "forged.a.test": host("e2e_downgrade", e2e_downgrade_hash=WRONG),
    "no-base64.a.test": host("e2e_downgrade", e2e_downgrade_hash="!"),
    "no-256.a.test": taken("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"),
    "no-plain.a.test": taken("PLAIN"),
    "no-unique.a.test": taken("tls-unique"),
    "no-ours.a.test": taken(*BOTH, bindings=[*BOTH, "tls-exporter"]),
    "no-plus.a.test": taken(*PLUS),
    "no-plus-no-list.a.test": host("e2e_downgrade", e2e_downgrade_strip=PLUS),
    "nothing-vouched.a.test": host("e2e_endpoint", e2e_bindings=["tls-exporter"]),
}
AGENT = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"
SM = "urn:xmpp:sm:3"
BIND2 = "urn:xmpp:bind:0"


class Modules:
    """What our client takes for granted below."""

    def __init__(self, report, server):
        self.report, self.server = report, server

    def run(self):
        for namespace, host_name in ((SASL, "h.a.test"), (SASL, "both.a.test"), (SASL, "sasl2.a.test"),
                                     (SASL2, "sasl2.a.test")):
            self.report.run(f"modules: h= at {host_name}, {namespace}", self.vouched, namespace, host_name)
        self.report.run("modules: lists and h= that lie", self.lies)
        self.report.run("modules: SASL2 alone", self.alone)
        self.report.run("modules: SASL2 with Bind 2, stream management, FAST", self.sasl2)
        self.report.run("modules: SASL2 after a failure on the same stream", self.again)
        self.report.run("modules: SASL2 with tasks for other hashes", self.upgrade)

    def vouched(self, namespace, host_name):
        bindings = [] if host_name == "h.a.test" else sorted(BOTH)
        for mechanism in SCRAM:
            for binding in (bindings or ["tls-unique"]) if mechanism in PLUS else [None]:
                with Raw(self.server, host_name) as raw:
                    same("bindings", raw.bindings(), bindings)
                    same("mechanisms", raw.mechanisms(namespace), ["PLAIN", *SCRAM])
                    fields, end = raw.scram(namespace, mechanism, binding)
                    same("h=", fields.get("h"), raw.offer_hash(namespace, mechanism))
                    same("end", end.tag, f"{{{namespace}}}success")

    def lies(self):
        for host_name, mechanisms, bindings in (
                ("no-256.a.test", ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"], sorted(BOTH)),
                ("no-unique.a.test", ["PLAIN", *SCRAM], ["tls-server-end-point"]),
                ("no-ours.a.test", ["PLAIN", *SCRAM], ["tls-exporter"])):
            with Raw(self.server, host_name) as raw:
                same("mechanisms", raw.mechanisms(SASL), mechanisms)
                same("bindings", raw.bindings(), bindings)
                fields, end = raw.scram(SASL, "SCRAM-SHA-1")
                same("end", end.tag, f"{{{SASL}}}success")
                if fields["h"] == raw.offer_hash(SASL, "SCRAM-SHA-1"):
                    raise Failure(f"h= does not tell what was taken away at {host_name}")
        with Raw(self.server, "forged.a.test") as raw:
            fields, end = raw.scram(SASL, "SCRAM-SHA-256-PLUS", "tls-unique")
            same("end", (end.tag, fields["h"]), (f"{{{SASL}}}success", WRONG))

    def alone(self):
        with Raw(self.server, "alone.a.test") as raw:
            same("mechanisms", (raw.mechanisms(SASL), raw.mechanisms(SASL2)), ([], ["PLAIN", *SCRAM]))
            raw.send(f"<auth xmlns='{SASL}' mechanism='ANONYMOUS'>=</auth>")
            raw.read(STREAM, "error")

    def sasl2(self):
        with Raw(self.server, "sasl2.a.test", direct=True) as raw:
            _, end = raw.scram(SASL2, "SCRAM-SHA-256-PLUS", "tls-server-end-point", inside=(
                f"{AGENT}<request-token xmlns='{FAST}' mechanism='HT-SHA-256-ENDP'/><bind xmlns='{BIND2}'>"
                f"<tag>raw</tag><enable xmlns='{SM}' resume='true'/></bind>"))
            jid = end.findtext(f"{{{SASL2}}}authorization-identifier")
            if not re.fullmatch(r"alice@sasl2\.a\.test/raw~.+", jid):
                raise Failure(f"bound as {jid}")
            token = end.find(f"{{{FAST}}}token").get("token")
            stream = end.find(f"{{{BIND2}}}bound/{{{SM}}}enabled").get("id")
            features = raw.read(STREAM, "features")
            same("legacy bind", features.find("{urn:ietf:params:xml:ns:xmpp-bind}bind"), None)
            raw.send("<presence/>")
            raw.read("jabber:client", "presence")
        resume = f"{AGENT}<resume xmlns='{SM}' h='0' previd='{stream}'/>"
        with Raw(self.server, "sasl2.a.test") as raw:
            end = raw.token("HT-SHA-256-ENDP", token, "tls-server-end-point", resume)
            same("resumed", end.find(f"{{{SM}}}resumed").attrib, {"h": "1", "previd": stream})
            same("same JID", end.findtext(f"{{{SASL2}}}authorization-identifier"), jid)
            raw.read("jabber:client", "presence")
            raw.read(SM, "r")
            raw.read(STREAM, "features")
            token = end.find(f"{{{FAST}}}token").get("token")
            raw.send("</stream:stream>")
            raw.read(SM, "a")
        with Raw(self.server, "sasl2.a.test") as raw:
            end = raw.token("HT-SHA-256-ENDP", token, "tls-server-end-point", f"{resume}<bind xmlns='{BIND2}'/>")
            same("ended stream", [child.tag.split("}")[1] for child in end.find(f"{{{SM}}}failed")], ["item-not-found"])
            same("bound anew", end.find(f"{{{BIND2}}}bound") is not None, True)

    def again(self):
        with Raw(self.server, "sasl2.a.test") as raw:
            _, end = raw.scram(SASL2, "SCRAM-SHA-256", password="wrong")
            same("end", [child.tag.split("}")[1] for child in end], ["not-authorized", "text"])
            fields, end = raw.scram(SASL2, "SCRAM-SHA-256-PLUS", "tls-unique")
            same("end", end.tag, f"{{{SASL2}}}success")
            same("h=", fields.get("h"), raw.offer_hash(SASL2, "SCRAM-SHA-256-PLUS"))

    def upgrade(self):
        tasks = ["UPGR-SCRAM-SHA-256", "UPGR-SCRAM-SHA-512"]
        mark = len(self.server.log())
        with Raw(self.server, "upgrade.a.test") as raw:
            same("mechanisms", raw.mechanisms(SASL2), ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"])
            same("tasks", sorted(raw.upgrades()), tasks)
            _, end = raw.scram(SASL2, "SCRAM-SHA-1-PLUS", "tls-unique", inside=f"<bind xmlns='{BIND2}'/>" + "".join(
                f"<upgrade xmlns='{UPGRADE}'>{task}</upgrade>" for task in tasks))
            for task in tasks:
                end = raw.upgrade(task, end)
            same("end", [child.tag for child in end], [f"{{{BIND2}}}bound", f"{{{SASL2}}}authorization-identifier"])
        told = re.findall(r"Upgrade of alice to (\S+): SaltedPassword is (\w+)", self.server.log()[mark:])
        same("SaltedPassword", told, [("SCRAM-SHA-256", "right"), ("SCRAM-SHA-512", "right")])
        for namespace in (SASL, SASL2):
            with Raw(self.server, "upgrade.a.test") as raw:
                same("tasks left", raw.upgrades(), [])
                _, end = raw.scram(namespace, "SCRAM-SHA-256-PLUS", "tls-server-end-point")
                same("end", end.tag, f"{{{namespace}}}success")


class Client(Login):
    """xmpp_tiny with those servers, by legacy SASL."""

    begin = "auth"

    def run(self):
        for mechanism in SCRAM:
            self.login("h.a.test", mechanism, "tls-unique" if mechanism in PLUS else "none", "--mechanism", mechanism)
        self.login("h.a.test", "SCRAM-SHA-256-PLUS", "tls-unique", tls="direct")
        self.login("both.a.test", "SCRAM-SHA-256-PLUS", "tls-unique")
        self.login("both.a.test", "SCRAM-SHA-1", "none", "--mechanism", "SCRAM-SHA-1")
        self.login("both.a.test", "SCRAM-SHA-1-PLUS", "tls-unique", "--mechanism", "SCRAM-SHA-1-PLUS", tls="direct")
        self.login("end.a.test", "SCRAM-SHA-256-PLUS", "tls-server-end-point")
        self.login("end.a.test", "SCRAM-SHA-256-PLUS", "tls-server-end-point", tls="direct")
        # A list with no binding of ours is believed when the server vouches for it [XEP-0474 7].
        self.login("exporter.a.test", "SCRAM-SHA-256", "none")
        for mechanism in SCRAM:
            self.refused("forged.a.test", "DOWNGRADE", None, ["auth"], "--mechanism", mechanism)
        self.refused("no-base64.a.test", "DOWNGRADE", None, ["auth"])
        for name in ("no-256", "no-plain", "no-unique", "no-ours"):
            self.refused(f"{name}.a.test", "DOWNGRADE", None, ["auth"])
        self.refused("no-plain.a.test", "DOWNGRADE", None, ["auth"], tls="direct")
        # Without h= such a list is not believed, and one without mechanisms never [XEP-0440 3].
        self.refused("nothing-vouched.a.test", "DOWNGRADE", None, ["auth"])
        self.refused("no-plus.a.test", "DOWNGRADE", None, [])
        # By the flag "y" the server finds out itself [RFC5802 6].
        self.refused("no-plus-no-list.a.test", "AUTH", "malformed-request", ["auth"])


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    base = scratch()
    made = []
    report.run("throw-away certificates, server", lambda: made.append(Modern(
        base, make_pki(base), HOSTS, modules_sasl2.USERS).start()), always=True)
    if made:
        Modules(report, made[0]).run()
        for cases in (Client, modules_sasl2.Sasl2, modules_sasl2.Upgrade):
            cases(report, made[0]).run()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
