# SPDX-License-Identifier: MIT
"""DER, written by hand: a test of certificates needs those that a library would not make."""


def tlv(tag, *contents):
    """One element; contents are bytes, put one behind the other."""
    body = b"".join(contents)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def sequence(*contents):
    return tlv(0x30, *contents)


def explicit(number, *contents):
    return tlv(0xA0 | number, *contents)


def integer(value):
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def boolean(value):
    return tlv(0x01, b"\xff" if value else b"\x00")


def octets(*contents):
    return tlv(0x04, *contents)


def bits(data, unused=0):
    return tlv(0x03, bytes([unused]), data)


def null():
    return tlv(0x05)


def utf8(text):
    return tlv(0x0C, text if isinstance(text, bytes) else text.encode())


def printable(text):
    return tlv(0x13, text.encode())


def ia5(text):
    return tlv(0x16, text if isinstance(text, bytes) else text.encode())


def oid(dotted):
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    body = b""
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        body += bytes(reversed(groups))
    return tlv(0x06, body)


def utc_time(moment):
    return tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


def generalized_time(moment):
    return tlv(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def time(moment):
    """As certificates have it [RFC5280 4.1.2.5]."""
    return utc_time(moment) if moment.year < 2050 else generalized_time(moment)
