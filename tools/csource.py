# SPDX-License-Identifier: MIT
#
# What tools/rooms and tools/size know of C: where the rooms of xmpp_tiny.c begin, which functions and
# tables live in them, and who names whom. A reader of well-kept C, not a parser of all C: it relies on
# functions being defined at file scope and on no `#if` splitting a brace in two.
import bisect
import re

BANNER = re.compile(r"^/\* ==+ *Room (\d+): ([A-Za-z0-9 ]+?) *=+", re.M)

# A comment, a string or a character constant, whichever begins first.
NOISE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.M)
DEFINE = re.compile(r"#[ \t]*define[ \t]+([A-Za-z_]\w*)(\([^)]*\))?")
NAME = re.compile(r"[A-Za-z_]\w*")
KEYWORDS = {"if", "else", "while", "for", "do", "switch", "case", "return", "sizeof", "goto", "default"}


def blank(match):
    """Spaces of the same shape, so that offsets and line numbers stay true."""
    return re.sub(r"[^\n]", " ", match.group(0))


class Item:
    """A function, a macro, a file-scope table or a forward declaration."""

    def __init__(self, kind, name, room, first, last, body, body_at, static):
        self.kind, self.name, self.room = kind, name, room
        self.first, self.last = first, last
        self.body, self.body_at, self.static = body, body_at, static

    @property
    def lines(self):
        return self.last - self.first + 1


class Edge:
    """One place where `source` names `target`; call is false where only the address is taken."""

    def __init__(self, source, target, line, call):
        self.source, self.target, self.line, self.call = source, target, line, call


class Source:
    def __init__(self, text):
        self.text = text
        self.starts = [0] + [m.end() for m in re.finditer(r"\n", text)]
        self.banners = [(m.start(), int(m.group(1)), m.group(2)) for m in BANNER.finditer(text)]
        self.rooms = {number: name for _, number, name in self.banners}
        clean = NOISE.sub(blank, text)
        self.items = []
        for match in DIRECTIVE.finditer(clean):
            self.add_macro(match)
        self.code = DIRECTIVE.sub(blank, clean)
        self.read_file_scope()
        self.edges = self.find_edges()

    def line(self, offset):
        return bisect.bisect_right(self.starts, offset)

    def room(self, offset):
        """The room an offset lies in; 0 before the first banner."""
        number = 0
        for start, candidate, _ in self.banners:
            if start <= offset:
                number = candidate
        return number

    def add(self, kind, name, start, end, body_at, static):
        self.items.append(Item(kind, name, self.room(start), self.line(start), self.line(end),
                               self.code[body_at:end] if kind != "macro" else "", body_at, static))

    def add_macro(self, match):
        define = DEFINE.match(match.group(0).lstrip())
        if define is None:
            return
        lead = len(match.group(0)) - len(match.group(0).lstrip())
        body_at = match.start() + lead + define.end()
        self.items.append(Item("macro", define.group(1), self.room(match.start()), self.line(match.start()),
                               self.line(match.end()), match.string[body_at:match.end()], body_at, True))

    def read_file_scope(self):
        depth, start, head = 0, 0, ""
        for match in re.finditer(r"[{};]", self.code):
            mark, at = match.group(0), match.start()
            if mark == "{":
                if depth == 0:
                    head = self.code[start:at]
                depth += 1
            elif mark == "}":
                depth -= 1
                if depth == 0 and self.is_function(head):
                    first = start + len(head) - len(head.lstrip())
                    self.add("function", self.called_name(head), first, at, start + self.parameters(head),
                             self.is_static(head))
                    start = at + 1
            elif depth == 0:
                self.add_declaration(start, at)
                start = at + 1

    @staticmethod
    def is_static(head):
        return re.search(r"\bstatic\b", head) is not None

    @staticmethod
    def parameters(head):
        """Where the last pair of parentheses opens, attributes aside; -1 if head does not end in one."""
        head = re.sub(r"__attribute__\s*\(\(.*?\)\)", blank, head, flags=re.S).rstrip()
        depth = 0
        for at in range(len(head) - 1, -1, -1):
            depth += (head[at] == ")") - (head[at] == "(")
            if depth == 0:
                return at if head[at] == "(" else -1
        return -1

    def called_name(self, head):
        match = re.search(r"([A-Za-z_]\w*)\s*$", head[:max(self.parameters(head), 0)])
        return match.group(1) if match else None

    def is_function(self, head):
        return ("=" not in head and not head.lstrip().startswith("typedef")
                and self.called_name(head) not in KEYWORDS | {None})

    def add_declaration(self, start, end):
        text = self.code[start:end]
        first = start + len(text) - len(text.lstrip())
        text = text.strip()
        if not text or text.startswith("typedef"):
            return
        if self.is_function(text):
            self.add("declaration", self.called_name(text), first, end, end, self.is_static(text))
            return
        match = re.search(r"([A-Za-z_]\w*)\s*(?:\[[^\]]*\]\s*)*=", self.outside_braces(text))
        if match:
            self.add("table", match.group(1), first, end, first + match.end(), self.is_static(text))

    @staticmethod
    def outside_braces(text):
        depth, out = 0, []
        for char in text:
            depth -= char == "}"
            out.append(char if depth == 0 else " ")
            depth += char == "{"
        return "".join(out)

    def functions(self):
        return [item for item in self.items if item.kind == "function"]

    def find_edges(self):
        known, repeated = {}, set()
        for item in self.items:
            if item.kind == "macro" and item.name in known:
                repeated.add(item.name)
            if item.kind != "declaration":
                known.setdefault(item.name, item)
        # A macro that is defined anew for each use of a list belongs to no single room.
        for name in repeated:
            del known[name]
        edges = []
        for item in self.items:
            if item.kind != "declaration":
                edges += self.edges_of(item, known)
        return edges

    def edges_of(self, item, known):
        edges, local = [], set()
        for match in NAME.finditer(item.body):
            target = known.get(match.group(0))
            if target is None or target is item and item.kind != "function":
                continue
            before = item.body[:match.start()].rstrip()
            after = item.body[match.end():].lstrip()
            word = re.search(r"([A-Za-z_]\w*)$", before)
            if before.endswith((".", "->")) or word and word.group(1) in ("struct", "enum", "union"):
                continue
            call = after.startswith("(")
            if not call and target.kind == "function":
                typed = word and word.group(1) not in KEYWORDS
                if typed or before.endswith("*") and re.match(r"[=;,)\[]", after):
                    local.add(match.group(0))
                if match.group(0) in local:
                    continue
            edges.append(Edge(item, target, self.line(item.body_at + match.start()), call))
        return edges

    # ---- Calls through pointers

    def members_for(self, name, header):
        """The struct members that functions named in initialisers of their struct are called through:
        for `static const struct door d = {name}` the members of struct door. None if that cannot be
        told of every place that takes the function's address. header: where more structs are."""
        uses = [e for e in self.edges if e.target.name == name and not e.call]
        found = re.findall(r"\bstruct\s+(\w+)\s+\w+\s*(?:\[[^\]]*\]\s*)*=\s*\{[^;]*\b%s\b[^;]*;"
                           % re.escape(name), self.code)
        if not uses or len(found) < len(uses):
            return None
        members = set()
        for struct in found:
            body = re.search(r"\bstruct\s+%s\s*\{(.*?)\n\s*\}" % re.escape(struct), header + self.code, re.S)
            if body is None:
                return None
            members |= set(NAME.findall(body.group(1)))
        return members

    def called_members(self, name):
        """Names of the struct members that a function, with all it reaches, calls through."""
        calls = {}
        for edge in self.edges:
            calls.setdefault(edge.source.name, set()).add(edge.target.name)
        bodies = {item.name: item.body for item in self.items if item.kind in ("function", "macro")}
        members, seen, todo = set(), {name}, [name]
        while todo:
            one = todo.pop()
            members |= set(re.findall(r"(?:->|\.)\s*(\w+)\s*\(", bodies.get(one, "")))
            new = calls.get(one, set()) - seen
            seen |= new
            todo += new
        return members


def load(path):
    with open(path, encoding="utf-8") as file:
        return Source(file.read())
