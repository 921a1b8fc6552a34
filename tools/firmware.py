# SPDX-License-Identifier: MIT
#
# What tools/image and tools/bench-chip know of a firmware: how it is built, and from the linker's map and the
# ELF file where each byte of it comes from.
import bisect
import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PREFIX = "arm-none-eabi-"

# Part of the image, and whose object files belong to it.
PARTS = [
    ("core", r"/obj/xmpp_tiny\.o$"),
    ("TLS port", r"/obj/port/bearssl\w*\.o$"),
    ("BearSSL", r"/libbearssl\.a\("),
    ("TCP port", r"/obj/port/lwip\.o$"),
    ("lwIP", r"/liblwip\.a\("),
    ("application", r"/obj/examples/(4-firmware|sleep_resume)/\w+\.o$"),
    ("board", r"/obj/examples/boards/\w+\.o$"),
    ("C library", r"/(libc|libg|libc_nano|libg_nano|libgcc|libnosys)\.a\(|/crt\w+\.o$"),
]
REST = "padding"  # what the linker adds to keep to alignments


class Fault(Exception):
    pass


def run(*command, **how):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, **how)
    if done.returncode != 0:
        raise Fault("%s failed:\n%s" % (" ".join(command), (done.stderr or done.stdout)[-4000:]))
    return done.stdout


def build(out, board="lm3s6965evb", **variables):
    """Builds the firmware into the directory `out`, whatever the caller's environment says of flags."""
    ours = {"BUILD", "BEARSSL", "LWIP"}
    environment = {name: value for name, value in os.environ.items()
                   if name in ours or not re.match(r"[A-Z]*FLAGS$|MAKE|WARNINGS$|CC$|OUT$|SETTINGS$|STACK$", name)}
    for name in ours:
        if not environment.get(name):
            environment.pop(name, None)
    run("make", "-j2", "-f", "examples/firmware.mk", "BOARD=" + board, "OUT=" + out,
        *("%s=%s" % item for item in variables.items()), cwd=ROOT, env=environment)
    return Firmware(os.path.join(out, "firmware"))


def compiler():
    return "%sgcc %s" % (PREFIX, run(PREFIX + "gcc", "-dumpfullversion").strip())


class Piece:
    """What one object file gave to one section of the image."""

    def __init__(self, section, name, address, size, file):
        self.section, self.name, self.address, self.size, self.file = section, name, address, size, file
        self.part = part_of(file)


def part_of(file):
    if file is None:
        return REST
    for part, pattern in PARTS:
        if re.search(pattern, file):
            return part
    raise Fault("%s belongs to no part of the image" % file)


class Firmware:
    """sections: name -> (address, bytes, True if it lies in flash, True if it takes RAM); pieces: all that they
    hold, in ascending order."""

    def __init__(self, stem):
        self.elf, self.map = stem + ".elf", stem + ".map"
        self.sections = self.read_sections()
        self.pieces = self.read_pieces()
        self.starts = [piece.address for piece in self.pieces]

    def read_sections(self):
        sections = {}
        for line in run(PREFIX + "readelf", "-SW", self.elf).splitlines():
            match = re.match(r"\s*\[ *\d+\] (\S+) +(\S+) +([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+) +\S+ +(\w*) ", line)
            if match and "A" in match.group(5) and int(match.group(4), 16) > 0:
                writable = "W" in match.group(5)
                sections[match.group(1)] = (int(match.group(3), 16), int(match.group(4), 16),
                                            match.group(2) != "NOBITS", writable)
        return sections

    def read_pieces(self):
        """Every byte of the sections, once."""
        with open(self.map, encoding="utf-8") as file:
            text = file.read().split("\nLinker script and memory map\n", 1)[1]
        # A long name has a line of its own.
        text = re.sub(r"^( ?\S+)\n +(?=0x)", r"\1 ", text, flags=re.M)
        found, section = {name: [] for name in self.sections}, None
        for line in text.splitlines():
            head = re.match(r"(\S+)(?: +0x[0-9a-f]+ +0x[0-9a-f]+.*)?$", line)
            if head:
                section = head.group(1) if head.group(1) in self.sections else None
                continue
            match = re.match(r" (\S+) +0x([0-9a-f]+) +0x([0-9a-f]+)(?: (\S.*))?$", line)
            if match and section and not line.startswith("  "):
                name, address, size, file = match.groups()
                if int(size, 16) > 0:
                    found[section].append((int(address, 16), int(size, 16), name, file))
        return [piece for name in sorted(self.sections, key=lambda n: self.sections[n][0])
                for piece in self.cover(name, found[name])]

    def cover(self, section, found):
        """The pieces of a section without holes. Of strings that several objects have, the map tells too much:
        each ends where the next begins."""
        start, size = self.sections[section][:2]
        found = sorted(found, key=lambda f: f[0])
        at = start
        for index, (address, length, name, file) in enumerate(found):
            following = found[index + 1][0] if index + 1 < len(found) else start + size
            length = min(length, following - address)
            if address > at:
                yield Piece(section, "*fill*", at, address - at, None)
            if length > 0:
                yield Piece(section, name, address, length, None if name == "*fill*" else file.strip())
            at = address + length
        if at < start + size:
            yield Piece(section, "*fill*", at, start + size - at, None)

    def piece_at(self, address):
        piece = self.pieces[bisect.bisect_right(self.starts, address) - 1]
        return piece if address < piece.address + piece.size else None

    def symbols(self, kind):
        """(address, bytes, name) of all symbols of a kind, FUNC or OBJECT, in ascending order; names of local
        symbols need not be unique."""
        symbols = []
        for line in run(PREFIX + "readelf", "-sW", self.elf).splitlines():
            match = re.match(r" *\d+: ([0-9a-f]+) +(\d+) (\w+) +\w+ +\w+ +\w+ (\S+)", line)
            if match and match.group(3) == kind:
                symbols.append((int(match.group(1), 16), int(match.group(2)), match.group(4)))
        return sorted(symbols)
