# SPDX-License-Identifier: MIT
"""The firmware of examples/4-firmware, or another program, built for a board with settings of a test, and run in
QEMU: what its console says, and what its memory holds."""

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

from chip_console import Console
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


def header(ca, settings, prefix="SENSOR", defaults=None):
    lines = ["/* Made by a test. */"]
    for name, value in {**(defaults or SETTINGS), **settings}.items():
        if name == "tls":
            value = f"XMPP_TINY_TLS_{value.upper()}"
        elif isinstance(value, str):
            value = f'"{value}"'
        lines.append(f"#define {prefix}_{name.upper()} {value}")
    return "\n".join(lines) + "\n\n" + anchors(ca)


def make(board, *arguments, makefile="examples/firmware.mk"):
    command = ["make", "-s", "-j2", "-f", makefile, f"BUILD={BUILD}", f"BOARD={board}", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    for name in ("CC", "WARNINGS", "INCLUDES", "BUILD", "CPPFLAGS", "CFLAGS"):
        environment.pop(name, None)
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if made.returncode:
        raise Failure(f"{' '.join(command)}:\n{(made.stdout + made.stderr)[-3000:]}")
    return made.stdout


def build(target, board, settings, more=(), makefile="examples/firmware.mk"):
    """Builds the firmware and puts it to target. Builds that differ in their settings alone share all but one
    object, those that differ in a number the folder."""
    key = hashlib.sha256(re.sub(r"=\d+", "", repr(sorted(more))).encode()).hexdigest()[:8] if more else "plain"
    key += "-" + os.path.basename(os.path.dirname(makefile)) if makefile != "examples/firmware.mk" else ""
    out = os.path.join(BUILD, "e2e", f"{board}-{key}")
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        chosen = write(os.path.join(out, "settings.h"), settings)
        make(board, f"OUT={out}", f"SETTINGS={chosen}", *more, makefile=makefile)
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


class Firmware(Console):
    """One board, from power-on to stop(). more: further words for make, such as CPPFLAGS=-D... or STACK=..."""

    makefile = "examples/firmware.mk"
    count = 0
    lock = threading.Lock()
    deepest = {}  # the stack's high water of all that ran so far: board and kind of use, to bytes

    def __init__(self, base, board, ca, use="", relay=None, more=(), **settings):
        with Firmware.lock:
            Firmware.count += 1
            self.base = directory(base, f"board{Firmware.count}")
        super().__init__(board)
        self.board, self.use, self.relay = board, use, relay
        elf = build(os.path.join(self.base, "firmware.elf"), board, self.settings(ca, settings), more, self.makefile)
        self.image = Image(elf)
        path = os.path.join(self.base, "qmp")
        argv = ["timeout", "--foreground", "--kill-after=5", str(LONGEST), *make(board, "print-qemu").split(),
                "-monitor", "none", "-serial", "stdio", "-netdev", "user,id=n0",
                "-qmp", f"unix:{path},server=on,wait=off", "-kernel", elf, *(relay.options() if relay else [])]
        with open(os.path.join(self.base, "errors"), "wb") as errors:
            self.child = Child(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                               pass_fds=relay.numbers() if relay else ())
        if relay:
            relay.started()
        self.listen(self.child)
        self.monitor = until("QEMU's monitor", lambda: self._monitor(path))

    def settings(self, ca, settings):
        return header(ca, settings)

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

    def online(self, patience=PATIENCE):
        """Waits until it is; returns its full JID."""
        return self.wait(r"(?:online|resumed) as (\S+)", patience).group(1)

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
