#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""chip_link.py [PATTERN]: the firmware of examples/4-firmware when its network or its server fails: it comes back by
itself, and then lwIP holds what it held before. PATTERN is a regular expression for the names of the cases to
run. Needs what chip.py needs."""

import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # no cache beside the sources

from chip_board import Firmware  # noqa: E402
from chip_lab import Lab, NearEjabberd, NearProsody  # noqa: E402
from chip_net import Relay  # noqa: E402
from fake import Fake  # noqa: E402
from harness import PATIENCE, Report, clean_up_always, make_pki, same, scratch, until  # noqa: E402

BOARD = "lm3s6965evb"
CYCLES = 200

# A server that says nothing is noticed after at most four seconds.
WATCHFUL = {"ping_ms": 1000, "timeout_ms": 3000}
HASTY = {"retry_ms": 20, "retry_max_ms": 40}


def recovered(lab, firmware, before, patience=PATIENCE):
    """Online again, answering, and holding what it held."""
    jid = firmware.online(patience)
    lab.ask(jid, 3)
    firmware.quiet(before)
    return jid


# ---- The cable, and frames ---------------------------------------------------------------------------


def cable(lab, board):
    """Out for a moment: the connection stays. Out for longer: another one is made."""
    with lab.firmware(board, **WATCHFUL) as firmware:
        jid = firmware.online()
        before = firmware.quiet()
        plug(firmware, False)
        question = lab.send(jid)
        plug(firmware, True)
        lab.answered(jid, question)
        for _ in range(2):
            plug(firmware, False)
            firmware.wait("closed")
            plug(firmware, True)
            recovered(lab, firmware, before)
        firmware.check_stack("cable out and in")


def plug(firmware, into):
    firmware.monitor.do("set_link", name="n0", up=into)


def lost_frames(lab, share):
    """From power-on, through a connection lost on the way, to quiet."""
    relay = Relay()
    relay.loss = share
    with lab.firmware(relay=relay, rsa=True) as firmware:
        lab.ask(firmware.online(4 * PATIENCE), 20)
        lab.server.call("kick_user", user="rita", host="rsa.a.test")
        lab.ask(firmware.online(4 * PATIENCE), 20)
        same("frames were lost", relay.dropped > 10, True)
        relay.loss = 0
        before = firmware.quiet()
        lab.server.call("kick_user", user="rita", host="rsa.a.test")
        recovered(lab, firmware, before)
        firmware.check_stack(f"{share:.0%} of frames lost")


def slow(lab):
    relay = Relay()
    with lab.firmware(relay=relay, rsa=True) as firmware:
        firmware.online()
        before = firmware.quiet()
        relay.delay = 0.2
        lab.server.call("kick_user", user="rita", host="rsa.a.test")
        lab.ask(firmware.online(), 20)
        relay.delay = 0
        firmware.quiet(before)
        firmware.check_stack("200 ms each way")


def nothing_passes(lab):
    relay = Relay()
    with lab.firmware(relay=relay, rsa=True, **WATCHFUL) as firmware:
        firmware.online()
        before = firmware.quiet()
        for _ in range(2):
            relay.blocked = True
            firmware.wait("error TIMEOUT")
            firmware.wait("closed")
            firmware.wait("error CONNECT", 2 * PATIENCE)
            relay.blocked = False
            recovered(lab, firmware, before)
        firmware.check_stack("no frame passes")


# ---- The server --------------------------------------------------------------------------------------


def server_gone(lab):
    """Killed, shut down, silent: one firmware lives through all of it."""
    with lab.firmware(**WATCHFUL) as firmware:
        firmware.online()
        before = firmware.quiet()
        for how, error in ((signal.SIGKILL, "TRUNCATED"), (signal.SIGTERM, "STREAM")):
            lab.server.stop(how)
            firmware.wait(f"error {error}")
            firmware.wait("closed")
            for _ in range(2):
                firmware.wait("error CONNECT")
                firmware.wait("  connection refused")
                firmware.wait("closed")
            lab.server.restart()
            lab.watch()
            recovered(lab, firmware, before)
        process = lab.server.child.process
        process.send_signal(signal.SIGSTOP)
        # The ping is not answered; then there is nobody to answer the next attempt either.
        for _ in range(2):
            firmware.wait("error TIMEOUT")
            firmware.wait("closed")
        process.send_signal(signal.SIGCONT)
        recovered(lab, firmware, before)
        firmware.check_stack("server killed, shut down, silent")


def ended_anywhere(base, pki):
    """The connection ends at every stage, in every way."""
    go = threading.Event()

    def held(c):
        c.online()
        go.wait(PATIENCE)
        c.reset()

    def stage(*steps):
        return lambda c: [step(c) for step in steps]

    def header(c):
        c.header()

    def starttls(c):
        c.starttls()

    def offered(c):
        c.starttls()
        c.offer("SCRAM-SHA-256")

    def authenticated(c):
        c.starttls()
        c.scram()

    def online(c):
        c.online()
        c.expect("<presence>")

    def nothing(_):
        pass

    ways = [stage(reach, end) for reach in (nothing, header, starttls, offered, authenticated, online)
            for end in (lambda c: c.cut(), lambda c: c.reset())]
    ways += [stage(online, lambda c: c.notify()),
             stage(online, lambda c: c.send("</stream:stream>")),
             stage(online, lambda c: c.send("<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                                            "</stream:error></stream:stream>"), lambda c: c.reset()),
             stage(online, lambda c: c.send("<message>" + "x" * 3000), lambda c: c.reset())]
    scripts = iter([held, *ways, *ways, online])

    with Fake(lambda c: next(scripts)(c), pki) as fake, \
            Firmware(base, BOARD, f"{pki}/ca.crt", jid="alice@a.test", port=fake.port, **HASTY) as firmware:
        firmware.online()
        before = firmware.quiet()
        go.set()
        until("the last connection", lambda: len(fake.connections) == 2 * len(ways) + 2, 2 * PATIENCE)
        firmware.quiet(before)
        same("connections ended", firmware.said().count("closed"), 2 * len(ways) + 1)
        if fake.problem:
            raise AssertionError(fake.problem)
        firmware.check_stack("connections that end anywhere")


def soak(lab):
    """Some hundred logins, each ended by the server."""
    with lab.firmware(**HASTY) as firmware:
        firmware.online()
        before = firmware.quiet()
        for _ in range(CYCLES):
            lab.server.call("kick_user", user="alice", host="a.test")
            firmware.wait("error STREAM")
            firmware.wait("closed")
            jid = firmware.online()
        recovered_now = firmware.quiet(before)
        same("memory", recovered_now, before)
        lab.ask(jid, 3)
        same("logins", sum(line.startswith("online as ") for line in firmware.said()), CYCLES + 1)
        same("errors", {line for line in firmware.said() if line.startswith("error ")}, {"error STREAM"})
        firmware.check_stack(f"{CYCLES} logins")
        print(f"      soak: {firmware.snapshot().peaks()}", flush=True)


# ---- What runs beside what ---------------------------------------------------------------------------


def with_prosody(report, base, pki):
    lab = started(report, base, pki, NearProsody)
    if lab:
        for board in ("mps2-an385", BOARD):
            report.run(f"{board}: cable out and in", cable, lab, board)
        report.run("server killed, shut down, silent", server_gone, lab)
        report.run("connections that end anywhere", ended_anywhere, lab.base, pki)
        lab.stop()


def with_ejabberd(report, base, pki, pool):
    lab = started(report, base, pki, NearEjabberd)
    if lab:
        soaking = pool.submit(report.run, f"{CYCLES} logins", soak, lab)
        for share in (0.1, 0.3):
            report.run(f"{share:.0%} of frames lost", lost_frames, lab, share)
        report.run("200 ms each way", slow, lab)
        report.run("no frame passes", nothing_passes, lab)
        soaking.result()
        lab.stop()


def started(report, base, pki, kind):
    made = []
    report.run(f"{kind.name}: starts, slixmpp logs in", lambda: made.append(Lab(base, pki, kind)), always=True)
    return made[0] if made else None


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    base = scratch()
    made = []
    report.run("throw-away certificates", lambda: made.append(make_pki(base)), always=True)
    if made:
        with ThreadPoolExecutor(max_workers=3) as pool:
            for job in (pool.submit(with_ejabberd, report, base, made[0], pool),
                        pool.submit(with_prosody, report, base, made[0])):
                job.result()
    Firmware.summary()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
