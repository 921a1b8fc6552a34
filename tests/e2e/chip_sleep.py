#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""chip_sleep.py [PATTERN]: examples/sleep_resume on an emulated board and as a process: of all wakes only the first
logs in with its password, each reading arrives once, and so when the power is cut or what is retained gets damaged.
PATTERN is a regular expression for the names of the cases to run. Needs what chip.py needs, and prosody-modules."""

import itertools
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # no cache beside the sources
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))

from chip_console import Console  # noqa: E402
from harness import (BUILD, PATIENCE, Child, Failure, Peer, Report, clean_up, clean_up_always, same,  # noqa: E402
                     scratch)
from onchip import Debugger, Sleeper, SleeperServer  # noqa: E402

WAKES = 5
COUNTED = r"wake {}: \d+ bytes up, \d+ down, \d+ round trips"
READING = re.compile(r"(\d+): 2\d\.\d C")
CASES = 20  # at most


class Board(Sleeper):
    kind = "board"

    def power_cut(self):
        self.monitor.do("system_reset")


class Sleeping(Board):
    """Sleeps until it is reset, and can be meddled with."""

    def __init__(self, base, ca, **settings):
        self.debugger = os.path.join(scratch(), "debugger")
        super().__init__(base, ca, "-gdb", Debugger.option(self.debugger), **{**settings, "sleep_ms": 3600000})

    def damage(self):
        """Asleep, one bit in each copy."""
        start, size = self.image["retained"], self.image.sizes["retained"] // 2
        with Debugger(self.debugger) as debugger:
            for at in (start + size // 4, start + size + size // 4):
                debugger.write(at, bytes([debugger.read(at, 1)[0] ^ 4]))
        self.power_cut()


class Process(Console):
    kind = "process"

    def __init__(self, _base, ca, jid, to, port, tls, sleep_ms, cycles=1000):
        super().__init__("sleep_resume")
        self.memory = os.path.join(scratch(), "memory")
        program = os.path.join(BUILD, "san", "sleep_resume")
        if not os.path.exists(program):
            raise Failure(f"{program} is missing: run make first")
        self.argv = [program, jid, to, ca, f"127.0.0.1:{port}", "starttls" if tls == "start" else tls, self.memory,
                     str(cycles), str(sleep_ms // 1000)]
        self.begin()

    def begin(self):
        self.child = Child(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           env={**os.environ, "XMPP_TINY_PASSWORD": "secret"})
        self.listen(self.child)

    def end(self, how=None):
        status = self.child.stop(how) if how else self.child.wait()
        self.reader.join(PATIENCE)
        self.child.process.stdout.close()
        return status

    def power_cut(self):
        self.end(signal.SIGKILL)
        self.begin()

    def damage(self):
        same("exit status", self.end(), 0)
        with open(self.memory, "r+b") as file:
            memory = bytearray(file.read())
            for at in (len(memory) // 8, len(memory) // 2 + len(memory) // 8):
                memory[at] ^= 4
            file.seek(0)
            file.write(memory)
        self.begin()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.alive():
            self.end(signal.SIGTERM)


class Once(Process):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, cycles=1, **settings)


class Night:
    """One device, whoever gets its readings, and what is between it and the server."""

    numbers = itertools.count(1)

    def __init__(self, server, device, tls, front=True, sleep_ms=0):
        number = next(Night.numbers)
        name = "front.a.test" if front else "s.a.test"
        self.front = None
        port = server.direct if tls == "direct" else server.port
        if front:
            self.front = server.front(tls)
            port = self.front.port
        self.watcher = Peer(server, f"watcher{number}@a.test")
        self.watcher.wait("online")
        self.device = device(server.base, server.ca, jid=f"sleeper{number}@{name}", to=f"watcher{number}@a.test",
                             port=port, tls=tls, sleep_ms=sleep_ms)

    def __enter__(self):
        return self

    def __exit__(self, *how):
        self.device.__exit__(*how)
        self.watcher.stop()
        if self.front:
            self.front.stop()

    def arrived(self, last):
        """All readings up to that one have, each once, in order, from one session; nothing else has yet."""
        got = [self.watcher.wait("message") for _ in range(last)]
        same("readings", [int(READING.fullmatch(message["body"]).group(1)) for message in got],
             list(range(1, last + 1)))
        return len({message["from"] for message in got})

    def halt(self):
        """What had been on its way has arrived."""
        self.device.__exit__(None)
        self.watcher.do("ping", to="a.test")
        self.watcher.wait("pong")


def wakes(server, device, tls, front):
    """Each goes on where the last one ended."""
    with Night(server, device, tls, front) as night:
        last = night.device.wait(COUNTED.format(WAKES))
        said = night.device.said()
        expected = []
        for number in range(1, WAKES + 1):
            first = number == 1
            expected += ["nothing good is retained"] if first else []
            expected += ["TLS handshake" if first or not front else "TLS session resumed",
                         ("login by SCRAM-SHA-256" + ("" if front else "-PLUS")) if first else "login by token",
                         "online, new session" if first else "online, session resumed",
                         f"delivered {number}", COUNTED.format(number)]
        said = said[:said.index(last.group()) + 1]
        if len(said) != len(expected) or not all(map(re.fullmatch, expected, said)):
            raise Failure(f"console\n    {night.device.story()}")
        same("sessions", night.arrived(WAKES), 1)
        if front:
            same("at the front", [resumed for _, resumed in night.front.handshakes[:WAKES]],
                 [False] + [True] * (WAKES - 1))
        figures = [line for line in said if line.startswith("wake ")]
        print(f"      {device.kind}, {tls}, {'front' if front else 'Prosody'}: {figures[0]}; {figures[-1]}", flush=True)


def cuts(server, device, tls):
    """In the middle of what is done when awake, over and over; what was retained last has it all."""
    with Night(server, device, tls) as night:
        night.device.wait(COUNTED.format(1))
        for place in ("TLS .*", "login .*", "online, .*", "delivered .*") * 3:
            night.device.wait(place)
            night.device.power_cut()
        last = int(night.device.wait(COUNTED.format(r"(\d+)")).group(1))
        night.halt()
        same("sessions", night.arrived(last), 1)
        told = [line for line in night.device.said() if line.startswith(("undelivered", "error", "nothing"))]
        same("console", told, ["nothing good is retained"])


def damaged(server, device):
    """What is retained is not believed any more: everything begins anew."""
    with Night(server, device, "direct") as night:
        night.device.wait(COUNTED.format(1))
        night.device.damage()
        for line in ("nothing good is retained", "TLS handshake", "login by SCRAM-SHA-256", "online, new session"):
            same("console", night.device.wait("(nothing|TLS|login|online).*").group(), line)
        number = int(night.device.wait(COUNTED.format(r"(\d+)")).group(1))
        got = [night.watcher.wait("message")["body"].split(":")[0] for _ in range(2)]
        same("readings", got, ["1", str(number)])


def cases(report, server, device, still):
    for tls in ("direct", "start"):
        for front in (True, False):
            way = "TLS that resumes" if front else "Prosody alone"
            report.run(f"{device.kind}, {tls}, {way}: {WAKES} wakes", wakes, server, device, tls, front)
        report.run(f"{device.kind}, {tls}: power cuts", cuts, server, device, tls)
    report.run(f"{device.kind}: what is retained is damaged", damaged, server, still)


def main():
    clean_up_always()
    report = Report(sys.argv[1] if len(sys.argv) > 1 else "")
    made = []
    report.run("prosody: starts", lambda: made.append(SleeperServer(scratch(), CASES).start()), always=True)
    if made:
        with ThreadPoolExecutor(max_workers=2) as pool:
            for job in [pool.submit(cases, report, made[0], *kinds) for kinds in ((Board, Sleeping), (Process, Once))]:
                job.result()
        made[0].stop()
    Sleeper.summary()
    print(f"{report.passed} passed, {report.failed} failed")
    clean_up()
    return 1 if report.failed or not report.passed else 0


sys.exit(main())
