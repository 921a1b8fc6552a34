# SPDX-License-Identifier: MIT
"""What tools/image and tools/bench-chip run: the firmware of examples/4-firmware on the emulated lm3s6965evb, a
Prosody on loopback with an ECDSA and an RSA certificate, and a watcher to whom the sensor's readings go."""

import filecmp
import glob
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))

# The path to the harness has to be known first.
from chip_board import Firmware, build, header  # noqa: E402
from chip_lab import NearProsody  # noqa: E402
from chip_memory import PAINT  # noqa: E402
from harness import BUILD, Failure, Peer, make_pki, scratch  # noqa: E402

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
        build(target, BOARD, header([self.ca], self.settings), self.more)
        for elf in glob.glob(os.path.join(BUILD, "e2e", f"{BOARD}-*", "firmware.elf")):
            if filecmp.cmp(elf, target, shallow=False):
                return elf[:-4]
        raise Failure("the firmware is not where it was built")

    def power_on(self, *options):
        return Firmware(self.server.scratch, BOARD, self.ca, relay=Options(*options), more=self.more,
                        **self.settings)


def next_reading(watcher, sensor):
    while True:
        seen = watcher.wait("presence", **{"from": sensor})
        if READING.fullmatch(seen["status"]):
            return seen["status"]


class Painter:
    """Paints the stack anew while the firmware stands still, through QEMU's server for debuggers, so that what
    is used from then on can be told from what was used before."""

    def __init__(self, path):
        self.path = path

    def option(self):
        return f"unix:{self.path},server=on,wait=off"

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

    def paint(self, image):
        """Below what is in use."""
        with socket.socket(socket.AF_UNIX) as self.socket:
            self.socket.connect(self.path)
            self.answer = b""
            bottom = image["board_stack_bottom"]
            pointer = int.from_bytes(bytes.fromhex(self.ask("g")[13 * 8:14 * 8]), "little")
            for at in range(bottom, pointer & ~3, 256):
                count = min(256, (pointer & ~3) - at)
                if self.ask(f"M{at:x},{count:x}:{PAINT.hex() * (count // 4)}") != "OK":
                    raise Failure("QEMU did not paint the stack")
            self.ask("D")


STAGES = ("TLS handshake", "login", "online")


def stack_use(plan):
    """The deepest use of the stack in each of the stages: from power-on until TLS is up, until the firmware is
    online, and while it publishes and answers."""
    painter = Painter(os.path.join(plan.server.scratch, "debugger"))
    used = []
    with Peer(plan.server, WATCHER) as watcher:
        watcher.wait("online")
        with plan.power_on("-gdb", painter.option()) as board:
            board.wait(r"server verified by .*")
            used.append(board.snapshot().stack()[0])
            painter.paint(board.image)
            sensor = board.online()
            used.append(board.snapshot().stack()[0])
            painter.paint(board.image)
            next_reading(watcher, sensor)
            next_reading(watcher, sensor)
            watcher.do("message", to=sensor, body="read")
            watcher.wait("message", **{"from": sensor})
            snapshot = board.snapshot()
            used.append(snapshot.stack()[0])
    return used
