#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""chip.py [PATTERN]: the firmware of examples/4-firmware on emulated boards, against Prosody and ejabberd: logins,
readings, questions, certificates that must not be believed, names, IPv6. PATTERN is a regular expression for
the names of the cases to run. Needs qemu-system-arm, qemu-system-misc, and what run.py needs."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # no cache beside the sources

from chip_board import HOST, HOST6, Firmware  # noqa: E402
from chip_console import DISCONNECTED  # noqa: E402
from chip_lab import MECHANISM, Lab, NearEjabberd, NearProsody, bare, reading  # noqa: E402
from chip_memory import MARGIN, Snapshot  # noqa: E402
from chip_net import Forward, NameServer  # noqa: E402
from fake import Fake  # noqa: E402
from harness import Failure, Report, clean_up_always, directory, make_pki, same, scratch, until  # noqa: E402

BOARD = "lm3s6965evb"
OTHERS = ("mps2-an385", "mps2-an385-m0", "mps2-an505", "virt-rv32")
BURST = 1000

# The certificate a server shows, and what the firmware has to say about it.
BAD = {
    "wrong-name": ("CERT_NAME", "BearSSL error 056"),
    "other-ca": ("CERT_UNTRUSTED", "BearSSL error 062"),
    "expired": ("CERT_TIME", "BearSSL error 054"),
    "not-yet": ("CERT_TIME", "BearSSL error 054"),
}


def login(lab, board=BOARD, rsa=False, **how):
    """One life from power-on to an answered question; everything the console says is known."""
    mark = len(lab.server.log())
    with lab.firmware(board, rsa=rsa, **how) as firmware:
        jid = firmware.online()
        account = "rita@rsa.a.test" if rsa else "alice@a.test"
        same("bare JID", jid.split("/")[0], account)
        first = reading(firmware.wait("published (.*)").group(1))
        same("reading seen by the watcher", lab.published(jid), first)
        lab.ask(jid)
        firmware.says(*lab.secured(rsa), f"authenticated by {MECHANISM}", "  channel binding tls-unique",
                      f"online as {jid}", f"published {first}")
        same("mechanisms in the server's log", lab.mechanism(mark, account), [MECHANISM])
    same("presence", lab.watcher.wait("presence", **{"from": jid})["type"], "unavailable")


def talk(lab):
    """Readings, questions, stanzas that are too large, and a burst: one firmware, online all the time."""
    with lab.firmware(interval_ms=1000) as firmware:
        jid = firmware.online()
        told = [reading(firmware.wait("published (.*)").group(1)) for _ in range(3)]
        same("readings seen by the watcher", [lab.published(jid) for _ in told], told)
        if len(set(told)) < 2:
            raise Failure(f"the readings do not change: {told}")
        normal = lab.send(jid, type="normal")
        same("kind", bool(lab.answered(jid, normal, "normal")), True)
        # Only the question is answered.
        lab.send(jid, body="reads")
        lab.send(jid, body="Read")
        lab.ask(jid)
        too_large(lab, firmware, jid)
        lab.watcher.do("ping", to=jid)
        same("pong", lab.watcher.wait("pong"), {"event": "pong", "from": jid, "error": None, "type": None})
        lab.watcher.do("disco", to=jid)
        same("disco", lab.watcher.wait("disco")["error"], "service-unavailable")


def too_large(lab, firmware, jid):
    """10 KB for a receive buffer of 1 KB: skipped, told, and the stream lives."""
    lab.send(jid, body="y" * 10240)
    firmware.wait(f"skipped a stanza from {lab.watcher.full}")
    size = int(firmware.wait(r"  bytes (\d+)").group(1))
    if not 10240 < size < 10240 + 512:
        raise Failure(f"skipped {size} bytes")
    lab.ask(jid)
    lab.watcher.do("request", to=jid, size=10240)
    same("answer", lab.watcher.wait("request"), {"event": "request", "from": jid, "error": "resource-constraint",
                                                 "type": "wait"})
    firmware.wait(f"skipped a stanza from {lab.watcher.full}")
    lab.ask(jid)


def burst(lab):
    with lab.firmware() as firmware:
        jid = firmware.online()
        before = firmware.quiet()
        lab.ask(jid, BURST)
        lab.ask(jid)
        firmware.quiet(before)
        print(f"      {lab.name}, burst: {firmware.snapshot().peaks()}", flush=True)


def checks_can_fail(lab):
    """Of a live firmware's memory, altered copies: what must not be is seen."""
    with lab.firmware() as firmware:
        firmware.online()
        held = firmware.quiet()
        good, image = firmware.snapshot(), firmware.image

        def altered(address, value):
            ram, at = bytearray(good.ram), address - good.start
            ram[at:at + 4] = value.to_bytes(4, "little")
            return Snapshot(image, good.start, bytes(ram))

        same("held", good.held(), held)
        bottom = image["board_stack_bottom"]
        same("paint", altered(bottom + MARGIN - 4, 0).stack()[0], good.stack()[1] - MARGIN + 4)
        for pool in ("PBUF_POOL", "TCP_PCB", "TCP_SEG"):
            # As if the first free element had not come back.
            head = image[f"memp_tab_{pool}"]
            lost = altered(head, good.pointer(good.pointer(head, pool), pool)).held()
            same(pool, lost, {**held, pool: held[pool] + 1})
        twice = altered(image["tcp_tw_pcbs"], good.pointer(image["tcp_active_pcbs"], "pcbs"))
        same("TIME_WAIT", (twice.waiting, twice.held()["TCP_PCB"]), (1, held["TCP_PCB"] - 1))


def refused(firmware, *complaint):
    """The firmware says why and nothing else, stays alive, and tries again now and then."""
    said = until("four attempts", lambda: firmware.said().count("closed") >= 4 and firmware.said())
    same("console", said[:4 * (len(complaint) + 1)], [*complaint, "closed"] * 4)
    closed = [when for when, line in firmware.lines if line == "closed"][:4]
    # 400 ms at least lie between two of them.
    if closed[3] - closed[0] < 1:
        raise Failure(f"four attempts in {closed[3] - closed[0]} seconds")


class Impostor:
    """The pki of a server whose certificate for a.test can be changed."""

    def __init__(self, base, pki):
        self.path, self.pki = directory(base, "impostor"), pki
        for name in os.listdir(pki):
            os.symlink(os.path.join(pki, name), os.path.join(self.path, name))

    def show(self, lab, which):
        """From now on the server has that certificate and no other. Returns where its log goes on."""
        for name in ("a.test", "rsa.a.test"):
            for kind in ("crt", "key"):
                link = os.path.join(self.path, f"{name}.{kind}")
                os.unlink(link)
                os.symlink(os.path.join(self.pki, f"{which}.{kind}"), link)
        if isinstance(lab.server, NearProsody):
            lab.server.stop()
            lab.server.restart()
            return 0
        lab.server.collect_certificates()
        lab.server.call("reload_config")
        return len(lab.server.log())


def bad_certificate(lab, impostor, which, tls):
    """The server then gets a good certificate: the same firmware, still trying, logs in."""
    mark = impostor.show(lab, which)
    with lab.firmware(tls=tls, retry_ms=20, retry_max_ms=400) as firmware:
        error, detail = BAD[which]
        refused(firmware, f"error {error}", f"  {detail}")
        same("logins", lab.logins(mark), 0)
        mark = impostor.show(lab, "a.test")
        firmware.online()
        same("mechanisms in the server's log", lab.mechanism(mark, "alice@a.test"), [MECHANISM])


def wrong_password(lab):
    with lab.firmware(password="Secret", retry_ms=20, retry_max_ms=400) as firmware:
        firmware.wait("closed")
        complaint = firmware.said()[:-1]
        firmware.says(*lab.secured(), "error AUTH", "  condition not-authorized", *complaint[8:], "closed")
        refused(firmware, *complaint)


def large_record(base, pki):
    """A server that does not care for the fragment length asked for shows it by the header of a record."""

    def script(c):
        c.online()
        c.expect("<presence>")
        bare(c)
        c.send(b"\x17\x03\x03\x08\x00")

    with Fake(script, pki) as fake:
        with Firmware(base, BOARD, f"{pki}/ca.crt", "scripted server", jid="alice@a.test", port=fake.port) as firmware:
            for _ in range(2):
                firmware.wait("online as alice@a.test/fake")
                firmware.wait("error TLS_RECORD")
                firmware.wait("closed")
        fake.finish()


def by_name(lab):
    """Through lwIP's resolver: a name that does not exist yet, then one that does."""
    names = NameServer({}, 45353)
    # lwIP would ask the name server that QEMU announces, on port 53.
    more = (f"CPPFLAGS=-DDNS_SERVER_PORT={names.port} -DLWIP_DHCP_MAX_DNS_SERVERS=0 "
            "'-DDNS_SERVER_ADDRESS(a)=IP_ADDR4(a,10,0,2,2)'",)
    with lab.firmware(host="xmpp.a.test", more=more) as firmware:
        firmware.wait("error LOOKUP")
        firmware.wait(DISCONNECTED)
        names.names["xmpp.a.test"] = HOST
        jid = firmware.online()
        lab.ask(jid)
        same("questions", set(names.asked), {("xmpp.a.test", 1)})
    names.stop()


def ipv6(lab):
    way_in = Forward("::1", (lab.server.address, lab.server.port))
    with lab.firmware(host=HOST6, port=way_in.port, more=("CPPFLAGS=-DLWIP_IPV6=1",)) as firmware:
        lab.ask(firmware.online())
        same("came by IPv6", way_in.accepted > 0, True)
    way_in.stop()


# ---- What runs beside what ---------------------------------------------------------------------------


def with_prosody(report, base, pki):
    lab = started(report, base, pki, NearProsody)
    if not lab:
        return
    report.run("the checks of memory can fail", checks_can_fail, lab)
    logins(report, lab)
    for board in OTHERS:
        report.run(f"{board}: login, reading, question", login, lab, board)
    report.run("prosody: wrong password", wrong_password, lab)
    report.run("prosody: host by name", by_name, lab)
    report.run("prosody: IPv6", ipv6, lab)
    lab.stop()


def with_ejabberd(report, base, pki):
    lab = started(report, base, pki, NearEjabberd)
    if not lab:
        return
    logins(report, lab)
    lab.stop()


def logins(report, lab):
    for tls in ("start", "direct"):
        for rsa in (False, True):
            what = f"{lab.name}, {tls}, {'RSA' if rsa else 'EC'}"
            report.run(f"{what}: login, reading, question",
                       lambda rsa=rsa, tls=tls: login(lab, rsa=rsa, tls=tls))
    report.run(f"{lab.name}: readings, questions, stanzas too large", talk, lab)
    report.run(f"{lab.name}: {BURST} questions at once", burst, lab)


def with_impostors(report, base, pki):
    """Servers of their own, which nobody watches. For the firmware one mode would do; each server has its own way
    to come to a certificate in each."""
    report.run("record too large: TLS_RECORD", large_record, base, pki)
    for kind in (NearProsody, NearEjabberd):
        own = directory(base, f"impostor-{kind.name}")
        impostor = Impostor(own, pki)
        lab = started(report, own, impostor.path, kind, watched=False)
        if not lab:
            continue
        for number, (which, (error, _)) in enumerate(BAD.items()):
            # ejabberd hangs up rather than show a certificate for another name.
            if (kind, which) != (NearEjabberd, "wrong-name"):
                report.run(f"{kind.name}: certificate {which}: {error}", bad_certificate, lab, impostor, which,
                           ("start", "direct")[number % 2])
        lab.stop()


def started(report, base, pki, kind, watched=True):
    made = []
    report.run(f"{kind.name}: starts{', slixmpp logs in' if watched else ''}",
               lambda: made.append(Lab(base, pki, kind, watched=watched)), always=True)
    return made[0] if made else None


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    base = scratch()
    made = []
    report.run("throw-away certificates", lambda: made.append(make_pki(base)), always=True)
    if made:
        with ThreadPoolExecutor(max_workers=3) as pool:
            work = [pool.submit(lane, report, base, made[0]) for lane in (with_ejabberd, with_prosody, with_impostors)]
            for job in work:
                job.result()
    Firmware.summary()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
