# SPDX-License-Identifier: MIT
"""What a firmware's memory tells, seen from outside: how deep its stack has been, and what lwIP holds. Nothing
in the firmware helps; its symbols say where things are, and lwIP's own lists say what is in use."""

import struct

from harness import Failure

PAINT = b"\xa5" * 4
MARGIN = 64  # bytes of the stack that must never have been touched

POINTER = struct.Struct("<I")
POOL = struct.Struct("<HHII")   # the end of a struct memp_desc: size, num, base, tab
BLOCK = struct.Struct("<HHB")   # struct mem: next, prev, used


class Image:
    """An ELF file for a little-endian 32-bit machine: its symbols, and what is loaded."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        if self.data[:6] != b"\x7fELF\x01\x01":
            raise Failure(f"{path} is no little-endian 32-bit ELF file")
        phoff, shoff = struct.unpack_from("<II", self.data, 28)
        phsize, phnum, shsize, shnum = struct.unpack_from("<HHHH", self.data, 42)
        # Of a segment: offset, virtual address, physical address, size in the file.
        segments = [struct.unpack_from("<8I", self.data, phoff + n * phsize) for n in range(phnum)]
        self.segments = [segment[1:5] for segment in segments if segment[0] == 1]
        sections = [struct.unpack_from("<10I", self.data, shoff + n * shsize) for n in range(shnum)]
        self.symbols, self.sizes = {}, {}
        for section in sections:
            if section[1] == 2:
                self._read_symbols(section, sections[section[6]])

    def _read_symbols(self, table, strings):
        for at in range(table[4], table[4] + table[5], 16):
            name, value, size, info, _, section = struct.unpack_from("<IIIBBH", self.data, at)
            if section != 0 and info & 15 < 3:  # untyped, data, function
                start = strings[4] + name
                name = self.data[start:self.data.index(0, start)].decode()
                self.symbols[name], self.sizes[name] = value, size

    def __getitem__(self, name):
        try:
            return self.symbols[name]
        except KeyError:
            raise Failure(f"the firmware has no symbol {name}") from None

    def constant(self, name):
        """The bytes of a constant."""
        address, size = self[name], self.sizes[name]
        for offset, start, _, length in self.segments:
            if start <= address and address + size <= start + length:
                return self.data[offset + address - start:][:size]
        raise Failure(f"{name} is no constant")


class Snapshot:
    """The firmware's RAM at one moment."""

    def __init__(self, image, start, ram):
        self.image, self.start, self.ram = image, start, ram
        self.pools = {name[9:]: self._pool(name[9:]) for name in sorted(image.symbols)
                      if name.startswith("memp_tab_")}
        self.heap, self.heap_peak, self.heap_size = self._heap()
        self.active, self.waiting = self._pcbs("tcp_active_pcbs"), self._pcbs("tcp_tw_pcbs")

    def at(self, address, length, what):
        offset = address - self.start
        if offset < 0 or offset + length > len(self.ram):
            raise Failure(f"{what} is at {address:#x}, outside RAM")
        return self.ram[offset:offset + length]

    def pointer(self, address, what):
        return POINTER.unpack(self.at(address, 4, what))[0]

    # -- stack --

    def stack(self):
        """Deepest use so far, and the size; the stack grows down onto the paint."""
        bottom, top = self.image["board_stack_bottom"], self.image["board_stack_top"]
        stack = self.at(bottom, top - bottom, "the stack")
        untouched = 0
        while stack[untouched:untouched + 4] == PAINT:
            untouched += 4
        return len(stack) - untouched, len(stack)

    # -- lwIP's pools: elements in use, elements that have ever been, all --

    def _pool(self, name):
        size, count, base, tab = POOL.unpack(self.image.constant(f"memp_{name}")[-POOL.size:])
        size, base = size + 3 & ~3, base + 3 & ~3
        free, at = set(), self.pointer(tab, f"the list of {name}")
        while at != 0:
            if at in free or (at - base) % size or not 0 <= (at - base) // size < count:
                raise Failure(f"the free list of {name} is broken at {at:#x}")
            free.add(at)
            at = self.pointer(at, f"an element of {name}")
        # A free element that was never used is zero but for its link.
        fresh = sum(not any(self.at(each + 4, size - 4, name)) for each in free)
        return count - len(free), count - fresh, count

    # -- lwIP's heap: bytes in use, highest byte that has ever been, all --

    def _heap(self):
        base, size = self.image["ram_heap"] + 3 & ~3, self.image.sizes["ram_heap"]
        used = at = 0
        while True:
            following, before, taken = BLOCK.unpack(self.at(base + at, BLOCK.size, "lwIP's heap"))
            if following == at:
                break
            if not at < following < size or taken > 1 or not (before < at or at == 0):
                raise Failure(f"lwIP's heap is broken at offset {at}")
            used += (following - at) * taken
            at = following
        whole = self.at(base, at, "lwIP's heap")
        return used, len(whole.rstrip(b"\0")) + 3 & ~3, at

    # -- connections --

    def _pcbs(self, head):
        """How many TCP pcbs are in the list. Their link follows two addresses and four bytes."""
        link = 44 if "ip6_input" in self.image.symbols else 12
        count, at = 0, self.pointer(self.image[head], head)
        while at != 0:
            count += 1
            if count > self.pools["TCP_PCB"][2]:
                raise Failure(f"{head} does not end")
            at = self.pointer(at + link, f"a pcb of {head}")
        return count

    def held(self):
        """What must be the same again when all is quiet: connections, elements in use of each pool (without pcbs
        that wait for their time to end, which lwIP reuses), bytes in use of the heap."""
        used = {name: pool[0] for name, pool in self.pools.items()}
        used["TCP_PCB"] -= self.waiting
        return {"connections": self.active, **used, "heap": self.heap}

    def peaks(self):
        parts = [f"{name} {peak}/{count}" for name, (_, peak, count) in self.pools.items() if peak]
        return f"heap {self.heap_peak}/{self.heap_size} B, " + ", ".join(parts)

