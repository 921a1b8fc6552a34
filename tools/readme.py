# SPDX-License-Identifier: MIT
#
# Tables of the README that tools make: a tool puts its table between <!-- NAME --> and <!-- /NAME -->, and
# tells whether the one that stands there is the one it would put.


class Fault(Exception):
    pass


def parts(path, name):
    """What stands before the table, the table, and what stands after it; the marks belong to the outside."""
    begin, end = "<!-- %s -->" % name, "<!-- /%s -->" % name
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise Fault("%s: there must be one %s and after it one %s" % (path, begin, end))
    before, rest = text.split(begin)
    old, after = rest.split(end)
    return before + begin, old, end + after


def put(path, name, table):
    before, _, after = parts(path, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write("%s\n%s\n%s" % (before, table, after))


def holds(path, name, table):
    return parts(path, name)[1].strip() == table.strip()


def number(value):
    return "{:,}".format(value) if value is not None else "-"
