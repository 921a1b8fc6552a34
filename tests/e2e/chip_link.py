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
from chip_console import DISCONNECTED  # noqa: E402
from chip_lab import Lab, NearEjabberd, NearProsody, bare  # noqa: E402
from chip_net import Relay  # noqa: E402
from fake import STREAMS, Fake, Gone  # noqa: E402
from harness import PATIENCE, Failure, Report, clean_up_always, make_pki, same, scratch, until  # noqa: E402

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
            firmware.wait(DISCONNECTED)
            plug(firmware, True)
            recovered(lab, firmware, before)


def plug(firmware, into):
    firmware.monitor.do("set_link", name="n0", up=into)


def kick(lab, jid):
    user, host = jid.split("/")[0].split("@")
    lab.server.call("kick_user", user=user, host=host)


def some_lost(lab):
    """A tenth of the frames, from power-on; no question remains without its answer."""
    relay = Relay()
    relay.loss = 0.1
    # What TCP gets through in the end is not to be given up before.
    with lab.firmware(relay=relay, rsa=True, timeout_ms=120000, ping_ms=120000) as firmware:
        for _ in range(2):
            jid = firmware.online(4 * PATIENCE)
            lab.ask(jid, 20)
            kick(lab, jid)
        relay.loss = 0
        firmware.online()
        before = firmware.quiet()
        kick(lab, jid)
        recovered(lab, firmware, before)
        same("frames were lost", relay.dropped > 0, True)


def many_lost(lab):
    """Three frames in ten, each way: half of all exchanges fail at first, TCP may need a minute for one, and an attempt
    may take longer than the firmware waits. It gets there nevertheless, and questions are answered."""
    relay = Relay()
    with lab.firmware(relay=relay, tls="direct") as firmware:
        firmware.online()
        before = firmware.quiet()
        relay.loss = 0.3
        lab.server.stop(signal.SIGKILL)
        lab.server.restart()
        lab.watch()
        lab.insist(firmware, firmware.online(10 * PATIENCE), 3)
        same("frames were lost", relay.dropped > 0, True)
        relay.loss = 0
        firmware.quiet(before, 2 * PATIENCE)


def slow(lab):
    relay = Relay()
    with lab.firmware(relay=relay, rsa=True) as firmware:
        jid = firmware.online()
        before = firmware.quiet()
        relay.delay = 0.2
        kick(lab, jid)
        lab.ask(firmware.online(), 20)
        relay.delay = 0
        firmware.quiet(before)


def nothing_passes(lab):
    relay = Relay()
    with lab.firmware(relay=relay, rsa=True, **WATCHFUL) as firmware:
        firmware.online()
        before = firmware.quiet()
        for _ in range(2):
            relay.blocked = True
            for _ in range(2):
                firmware.wait("error TIMEOUT")
                firmware.wait(DISCONNECTED)
            relay.blocked = False
            recovered(lab, firmware, before)


# ---- The server --------------------------------------------------------------------------------------


def server_gone(lab):
    """Killed, shut down, silent: one firmware lives through all of it."""
    with lab.firmware(**WATCHFUL) as firmware:
        firmware.online()
        before = firmware.quiet()
        for how, error in ((signal.SIGKILL, "TRUNCATED"), (signal.SIGTERM, "STREAM")):
            lab.server.stop(how)
            firmware.wait(f"error {error}")
            firmware.wait(DISCONNECTED)
            for _ in range(2):
                firmware.wait("error CONNECT")
                firmware.wait("  connection refused")
                firmware.wait(DISCONNECTED)
            lab.server.restart()
            lab.watch()
            recovered(lab, firmware, before)
        process = lab.server.child.process
        process.send_signal(signal.SIGSTOP)
        # The ping is not answered; then there is nobody to answer the next attempt either.
        for _ in range(2):
            firmware.wait("error TIMEOUT")
            firmware.wait(DISCONNECTED)
        process.send_signal(signal.SIGCONT)
        recovered(lab, firmware, before)


def ended_anywhere(base, pki):
    """The connection ends at every stage, in every way."""
    go = threading.Event()

    def held(c):
        c.online()
        go.wait(PATIENCE)
        reset(c)

    def reset(c):
        c.reset()
        raise Gone("reset")

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

    def garbage(c):
        """Not of TLS's making, and more of it than the firmware reads before it gives up."""
        bare(c)
        c.send(b"\x17\x03\x03\xff\xff" + bytes(900))

    ways = [stage(reach, end) for reach in (nothing, header, starttls, offered, authenticated, online)
            for end in (lambda c: c.cut(), reset)]
    ways += [stage(online, lambda c: c.notify()),
             stage(online, garbage),
             stage(online, lambda c: c.send("</stream:stream>")),
             stage(online, lambda c: c.send(f"<stream:error><not-well-formed xmlns='{STREAMS}'/></stream:error>"
                                            "</stream:stream>"), reset),
             stage(online, lambda c: c.send("<message>" + "x" * 3000), reset)]
    scripts = iter([held, *ways, *ways, online])

    with Fake(lambda c: next(scripts)(c), pki) as fake, \
            Firmware(base, BOARD, f"{pki}/ca.crt", "scripted server", jid="alice@a.test", port=fake.port,
                     **HASTY) as firmware:
        firmware.online()
        before = firmware.quiet()
        go.set()
        until("the last connection", lambda: len(fake.connections) == 2 * len(ways) + 2, 2 * PATIENCE)
        firmware.quiet(before)
        same("connections ended", firmware.ends(), 2 * len(ways) + 1)
        if fake.problem:
            raise Failure(f"fake server: {fake.problem}")


def soak(lab):
    """Some hundred logins, each ended by the server."""
    with lab.firmware(**HASTY) as firmware:
        jid = firmware.online()
        before = firmware.quiet()
        for _ in range(CYCLES):
            kick(lab, jid)
            firmware.wait("error STREAM")
            firmware.wait("closed")  # a violation of a policy: at first, the firmware gives up
            jid = firmware.online()
        lab.ask(jid, 3)
        firmware.quiet(before)
        same("logins", sum(line.startswith("online as ") for line in firmware.said()), CYCLES + 1)
        same("errors", {line for line in firmware.said() if line.startswith("error ")}, {"error STREAM"})
        print(f"      soak: {firmware.snapshot().peaks()}", flush=True)


# ---- What runs beside what ---------------------------------------------------------------------------


def jobs(report, base, pki, pool):
    """Most of the time everybody waits, so everything runs at once. Whoever ends a server has one of his own."""
    near, own, gone, lossy = pool.map(
        lambda each: started(report, base, pki, *each),
        ((NearEjabberd, "ejabberd"), (NearProsody, "prosody"), (NearProsody, "prosody 2"), (NearProsody, "prosody 3")))

    def on_ejabberd():
        report.run("10 % of frames lost", some_lost, near)
        report.run("200 ms each way", slow, near)

    def on_another():
        report.run("server killed, shut down, silent", server_gone, gone)
        report.run("no frame passes", nothing_passes, gone)

    def on_prosody():
        report.run("connections that end anywhere", ended_anywhere, own.base, pki)
        for board in ("mps2-an385", BOARD):
            report.run(f"{board}: cable out and in", cable, own, board)

    if lossy:
        yield lambda: report.run("30 % of frames lost", many_lost, lossy)
    if near:
        yield lambda: report.run(f"{CYCLES} logins", soak, near)
        yield on_ejabberd
    if own:
        yield on_prosody
    if gone:
        yield on_another


def started(report, base, pki, kind, name):
    made = []
    report.run(f"{name}: starts, slixmpp logs in", lambda: made.append(Lab(base, pki, kind, name)), always=True)
    return made[0] if made else None


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    base = scratch()
    made = []
    report.run("throw-away certificates", lambda: made.append(make_pki(base)), always=True)
    if made:
        with ThreadPoolExecutor(max_workers=5) as pool:
            for job in [pool.submit(job) for job in jobs(report, base, made[0], pool)]:
                job.result()
    Firmware.summary()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
