# SPDX-License-Identifier: MIT
"""What tools/image and tools/bench-chip run: the firmware of examples/4-firmware on the emulated lm3s6965evb, a
Prosody on loopback with an ECDSA and an RSA certificate, and a watcher to whom the sensor's readings go. And
examples/sleep_resume, a Prosody for that, and a way to meddle with what runs."""

import filecmp
import glob
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))

# The path to the harness has to be known first.
from chip_board import HOST, Firmware, build, header  # noqa: E402
from chip_lab import NearProsody  # noqa: E402
from chip_memory import PAINT  # noqa: E402
from harness import BUILD, Failure, Peer, make_pki, scratch  # noqa: E402
from modules_prosody import BOTH, SASL2_MODULES, Modern, host  # noqa: E402
from tlsfront import TlsFront  # noqa: E402

BOARD = "lm3s6965evb"
KINDS = {"ECDSA": ("a.test", "ca"), "RSA": ("rsa.a.test", "rsaca")}  # of certificates: whose, and by which CA
WATCHER = "watcher@a.test"
READING = re.compile(r"\d+\.\d C")


def start_server():
    base = scratch()
    users = [WATCHER] + [f"sensor@{domain}" for domain, _ in KINDS.values()]
    server = NearProsody(base, make_pki(base), users, users).start()
    server.scratch = base
    return server


class Options:
    """Further options for QEMU, in the place of a relay of frames."""

    def __init__(self, *words):
        self.words = words

    def options(self):
        return list(self.words)

    def numbers(self):
        return ()

    def started(self):
        pass

    def stop(self):
        pass


def where_built(target):
    """The folder's own firmware.elf that is the same, without its ending: beside it there is firmware.map."""
    for elf in glob.glob(os.path.join(BUILD, "e2e", f"{BOARD}-*", "firmware.elf")):
        if filecmp.cmp(elf, target, shallow=False):
            return elf[:-4]
    raise Failure("the firmware is not where it was built")


class Plan:
    """A firmware that connects to the server. kind: of the server's certificate; variant: i15 or i31; None: as it
    comes."""

    def __init__(self, server, kind, variant, interval_ms):
        domain, ca = KINDS[kind]
        self.server, self.ca = server, server.pem(ca)
        self.sensor = f"sensor@{domain}"
        self.more = (f"CPPFLAGS=-DXMPP_TINY_BEARSSL_I15={int(variant == 'i15')}",) if variant else ()
        self.settings = {"port": server.port, "jid": self.sensor, "interval_ms": interval_ms}

    def build(self):
        """Returns where firmware.elf and firmware.map are, without their endings."""
        target = os.path.join(self.server.scratch, "built.elf")
        build(target, BOARD, header(self.ca, self.settings), self.more)
        return where_built(target)

    def power_on(self, *options):
        return Firmware(self.server.scratch, BOARD, self.ca, relay=Options(*options), more=self.more,
                        **self.settings)


def next_reading(watcher, sensor):
    while True:
        seen = watcher.wait("presence", **{"from": sensor})
        if READING.fullmatch(seen["status"]):
            return seen["status"]


class Debugger:
    """QEMU's server for debuggers, at the path where option() had it: the firmware stands still meanwhile."""

    def __init__(self, path):
        self.path = path

    @staticmethod
    def option(path):
        return f"unix:{path},server=on,wait=off"

    def __enter__(self):
        self.socket, self.answer = socket.socket(socket.AF_UNIX), b""
        self.socket.connect(self.path)
        return self

    def __exit__(self, *_):
        try:
            self.ask("D")
        finally:
            self.socket.close()

    def ask(self, text):
        self.socket.sendall(b"$%s#%02x" % (text.encode(), sum(text.encode()) & 255))
        while True:
            match = re.search(rb"\$([^#]*)#..", self.answer)
            if match:
                self.answer = self.answer[match.end():]
                self.socket.sendall(b"+")
                if not match.group(1).startswith(b"T"):  # the news that the processor has stopped
                    return match.group(1).decode()
                continue
            some = self.socket.recv(4096)
            if not some:
                raise Failure("QEMU's server for debuggers has gone")
            self.answer += some

    def read(self, address, size):
        return bytes.fromhex(self.ask(f"m{address:x},{size:x}"))

    def write(self, address, data):
        if self.ask(f"M{address:x},{len(data):x}:{data.hex()}") != "OK":
            raise Failure("QEMU did not write to memory")

    def stack_pointer(self):
        return int.from_bytes(bytes.fromhex(self.ask("g")[13 * 8:14 * 8]), "little")


def paint(path, image):
    """The stack anew, below what is in use, so that what is used from then on can be told from what was used
    before."""
    with Debugger(path) as debugger:
        end = debugger.stack_pointer() & ~3
        for at in range(image["board_stack_bottom"], end, 256):
            debugger.write(at, PAINT * (min(256, end - at) // 4))


STAGES = ("TLS handshake", "login", "online")


def stack_use(plan):
    """The deepest use of the stack in each of the stages: from power-on until TLS is up, until the firmware is
    online, and while it publishes and answers."""
    path = os.path.join(plan.server.scratch, "debugger")
    used = []
    with Peer(plan.server, WATCHER) as watcher:
        watcher.wait("online")
        with plan.power_on("-gdb", Debugger.option(path)) as board:
            board.wait(r"server verified by .*")
            used.append(board.snapshot().stack()[0])
            paint(path, board.image)
            sensor = board.online()
            used.append(board.snapshot().stack()[0])
            paint(path, board.image)
            next_reading(watcher, sensor)
            next_reading(watcher, sensor)
            watcher.do("message", to=sensor, body="read")
            watcher.wait("message", **{"from": sensor})
            snapshot = board.snapshot()
            used.append(snapshot.stack()[0])
    return used


# ---- examples/sleep_resume --------------------------------------------------------------------------

MODULES = (*SASL2_MODULES, "smacks", "carbons")
SLEEPER_HOSTS = {
    "s.a.test": host(*MODULES, "e2e_endpoint", e2e_bindings=BOTH),
    # Behind somebody else's TLS.
    "front.a.test": host(*MODULES, modules_disabled=["tls"], c2s_require_encryption=False,
                         allow_unencrypted_plain_auth=True),
}


class SleeperServer(Modern):
    """Where a guest can reach it. People numbered from 1: each has a sleeper at each host, and gets its readings."""

    address = "127.0.0.1"

    def __init__(self, base, people):
        numbers = range(1, people + 1)
        users = [f"sleeper{n}@{name}" for n in numbers for name in SLEEPER_HOSTS]
        super().__init__(base, make_pki(base), SLEEPER_HOSTS, users + [f"watcher{n}@a.test" for n in numbers])

    def front(self, tls):
        """What lets TLS sessions be resumed."""
        return TlsFront().start(0, (self.address, self.port), f"{self.base}/hosts.crt", f"{self.base}/hosts.key",
                                starttls=tls == "start")


class Sleeper(Firmware):
    makefile = "examples/sleep_resume/board.mk"
    defaults = {"password": "secret", "host": HOST, "awake_ms": 60000, "time_floor": 0}

    def __init__(self, base, ca, *options, **settings):
        super().__init__(base, BOARD, ca, "sleeper", relay=Options(*options), **settings)

    def settings(self, ca, settings):
        return header(ca, settings, "SLEEPER", self.defaults)
