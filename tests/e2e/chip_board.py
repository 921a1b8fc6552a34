# SPDX-License-Identifier: MIT
"""The firmware of examples/4-firmware, built for a board with settings of a test, and run in QEMU: what its
console says, and what its memory holds."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time

from chip_memory import MARGIN, Image, Snapshot
from harness import BUILD, PATIENCE, ROOT, Child, Failure, directory, until, write

LONGEST = 900   # seconds until an emulator is ended, whatever happens
HOST = "10.0.2.2"  # how a guest calls this machine's 127.0.0.1
HOST6 = "fec0::2"  # and ::1

# Impatient, because a test waits for what a device would wait for.
SETTINGS = {
    "password": "secret", "host": HOST, "tls": "start", "interval_ms": 60000, "ping_ms": 60000, "timeout_ms": 20000,
    "retry_ms": 200, "retry_max_ms": 1000, "time_floor": 0,
}


def anchors(ca):
    """Trust anchors in C."""
    brssl = os.path.join(BUILD, "brssl")
    if not os.path.exists(brssl):
        raise Failure(f"{brssl} is missing: run make first")
    made = subprocess.run([brssl, "ta", ca], capture_output=True, text=True, check=False)
    if made.returncode:
        raise Failure(f"brssl ta: {made.stderr}")
    return made.stdout


def header(ca, settings):
    lines = ["/* Made by a test. */"]
    for name, value in {**SETTINGS, **settings}.items():
        if name == "tls":
            value = f"XMPP_TINY_TLS_{value.upper()}"
        elif isinstance(value, str):
            value = f'"{value}"'
        lines.append(f"#define SENSOR_{name.upper()} {value}")
    return "\n".join(lines) + "\n\n" + anchors(ca)


def make(board, *arguments):
    command = ["make", "-s", "-j2", "-f", "examples/firmware.mk", f"BUILD={BUILD}", f"BOARD={board}", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    for name in ("CC", "WARNINGS", "INCLUDES", "BUILD", "CPPFLAGS", "CFLAGS"):
        environment.pop(name, None)
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if made.returncode:
        raise Failure(f"{' '.join(command)}:\n{(made.stdout + made.stderr)[-3000:]}")
    return made.stdout


def build(target, board, settings, more=()):
    """Builds the firmware and puts it to target. Builds that differ in their settings alone share all but main.o,
    those that differ in a number the folder."""
    key = hashlib.sha256(re.sub(r"=\d+", "", repr(sorted(more))).encode()).hexdigest()[:8] if more else "plain"
    out = os.path.join(BUILD, "e2e", f"{board}-{key}")
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        chosen = write(os.path.join(out, "settings.h"), settings)
        make(board, f"OUT={out}", f"SETTINGS={chosen}", *more)
        shutil.copy(os.path.join(out, "firmware.elf"), target)
    return target


class Monitor:
    """QEMU's machine protocol."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw", encoding="utf-8")
        self.lock = threading.Lock()
        self.file.readline()
        self.do("qmp_capabilities")

    def do(self, command, **arguments):
        with self.lock:
            self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            self.file.flush()
            while True:
                line = self.file.readline()
                if not line:
                    raise Failure(f"QEMU ended during {command}")
                answer = json.loads(line)
                if "error" in answer:
                    raise Failure(f"QEMU's {command}: {answer['error']['desc']}")
                if "return" in answer:
                    return answer["return"]

    def close(self):
        self.file.close()
        self.socket.close()


class Firmware:
    """One board, from power-on to stop(). more: further words for make, such as CPPFLAGS=-D... or STACK=..."""

    count = 0
    lock = threading.Lock()
    deepest = {}  # the stack's high water of all that ran so far: board and kind of use, to bytes

    def __init__(self, base, board, ca, use="", relay=None, more=(), **settings):
        with Firmware.lock:
            Firmware.count += 1
            self.base = directory(base, f"board{Firmware.count}")
        self.board, self.use, self.relay = board, use, relay
        elf = build(os.path.join(self.base, "firmware.elf"), board, header(ca, settings), more)
        self.image = Image(elf)
        self.lines = []  # what the console said: when, what
        self.next = 0    # the first line that wait() has not gone past
        self.change = threading.Condition()
        self.ended = False
        path = os.path.join(self.base, "qmp")
        argv = ["timeout", "--foreground", "--kill-after=5", str(LONGEST), *make(board, "print-qemu").split(),
                "-monitor", "none", "-serial", "stdio", "-netdev", "user,id=n0",
                "-qmp", f"unix:{path},server=on,wait=off", "-kernel", elf, *(relay.options() if relay else [])]
        with open(os.path.join(self.base, "errors"), "wb") as errors:
            self.child = Child(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                               pass_fds=relay.numbers() if relay else ())
        if relay:
            relay.started()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.monitor = until("QEMU's monitor", lambda: self._monitor(path))

    def _monitor(self, path):
        if not self.child.alive():
            raise Failure(f"QEMU ended at once: {self.errors()}")
        try:
            return Monitor(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def errors(self):
        with open(os.path.join(self.base, "errors"), encoding="utf-8", errors="replace") as file:
            return file.read()[-1000:]

    # -- console --

    def _read(self):
        for line in self.child.process.stdout:
            with self.change:
                self.lines.append((time.monotonic(), line.decode("utf-8", "replace").rstrip("\r\n")))
                self.change.notify_all()
        with self.change:
            self.ended = True
            self.change.notify_all()

    def story(self):
        start = self.lines[0][0] if self.lines else 0
        lines = [f"{when - start:8.2f}  {line}" for when, line in self.lines[-15:]]
        return "\n    ".join([f"console of {self.board}:", *lines, *self.errors().splitlines()[-5:]])

    def wait(self, pattern, patience=PATIENCE):
        """Goes on to the next line of the console that is the pattern, and returns the match."""
        end, compiled = time.monotonic() + patience, re.compile(pattern)
        with self.change:
            while True:
                while self.next < len(self.lines):
                    match = compiled.fullmatch(self.lines[self.next][1])
                    self.next += 1
                    if match:
                        return match
                left = end - time.monotonic()
                if self.ended or left <= 0:
                    how = "ended without" if self.ended else "waited in vain for"
                    raise Failure(f"{how} {pattern!r}\n    {self.story()}")
                self.change.wait(left)

    def said(self, start=0):
        with self.change:
            return [line for _, line in self.lines[start:]]

    def says(self, *patterns, start=0):
        """The console said just this, a pattern a line."""
        said = self.said(start)
        if len(said) != len(patterns) or not all(map(re.fullmatch, patterns, said)):
            raise Failure(f"console: {patterns} were to be said\n    {self.story()}")

    def mark(self):
        with self.change:
            return len(self.lines)

    def online(self, patience=PATIENCE):
        """Waits until it is; returns its full JID."""
        return self.wait(r"online as (\S+)", patience).group(1)

    # -- memory --

    def snapshot(self):
        start = self.image["board_stack_bottom"]
        size = self.image["board_bss_end"] - start
        path = os.path.join(self.base, "memory")
        self.monitor.do("stop")
        try:
            # What the processor sees: on some boards that is not what the bus sees.
            self.monitor.do("memsave" if "an505" in self.board else "pmemsave", val=start, size=size, filename=path)
        finally:
            self.monitor.do("cont")
        with open(path, "rb") as file:
            return Snapshot(self.image, start, file.read())

    def quiet(self, wanted=None, patience=PATIENCE):
        """What lwIP holds when nothing moves: as soon as it is what is wanted; else as soon as it has one
        connection, nothing to be acknowledged, and has been the same for a while."""
        last, since = None, 0

        def calm():
            nonlocal last, since
            held = self.snapshot().held()
            if wanted is not None:
                last = held
                return held == wanted
            if held != last:
                last, since = held, time.monotonic()
            idle = held["connections"] == 1 and held["TCP_SEG"] == 0
            return idle and time.monotonic() - since >= 0.4

        try:
            until("a quiet firmware", calm, patience)
        except Failure:
            raise Failure(f"lwIP holds {last}, not {wanted or 'the same for a while'}\n    {self.story()}") from None
        return last

    def check_stack(self):
        """Fails when the stack was too deep; notes how deep it was."""
        used, size = self.snapshot().stack()
        with Firmware.lock:
            key = f"{self.board}, {self.use}"
            Firmware.deepest[key] = max(used, Firmware.deepest.get(key, 0))
        if used > size - MARGIN:
            raise Failure(f"{self.board}: {used} of {size} bytes of stack used, {MARGIN} have to be left")

    @classmethod
    def summary(cls):
        """The stack's high water: of each kind of use, and the highest of all."""
        for key, used in sorted(cls.deepest.items()):
            print(f"      stack {used:6} bytes  {key}")
        if cls.deepest:
            print(f"      stack {max(cls.deepest.values()):6} bytes  at most", flush=True)

    # -- the end --

    def stop(self):
        """Once is enough, twice does no harm."""
        if self.monitor is None:
            return
        self.monitor.close()
        self.monitor = None
        self.child.stop()
        self.reader.join(PATIENCE)
        self.child.process.stdout.close()
        if self.relay:
            self.relay.stop()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        """However it was used, its stack must have been deep enough."""
        try:
            if kind is None and self.monitor:
                self.check_stack()
        finally:
            self.stop()
