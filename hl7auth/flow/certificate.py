"""When a certificate begins and ends to be valid, read from a PEM file.

Imports the standard library only.

No more of DER (X.690) is read than leads to the validity of an X.509 certificate (RFC 5280, 4.1): nothing is verified.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

_BLOCK = re.compile(rb"-----BEGIN (?:TRUSTED )?CERTIFICATE-----(.*?)-----END", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME, _GENERAL_TIME = 0x30, 0xA0, 0x17, 0x18
_BEFORE_VALIDITY = 3
"""Serial number, signature algorithm and issuer."""


class Validity(NamedTuple):
    """The first and the last second of a certificate, in microseconds since 1970."""

    begins: int
    ends: int


def validities(pem: bytes) -> list[Validity]:
    """The validity of every certificate in a PEM file, in order; none where there is none. Raises ValueError."""
    found = []
    for block in _BLOCK.finditer(pem):
        try:
            found.append(_validity(base64.b64decode(block[1], validate=False)))
        except (binascii.Error, IndexError, ValueError, OverflowError, StopIteration):
            raise ValueError("it holds a certificate that can not be read") from None
    return found


def _validity(der: bytes) -> Validity:
    certificate = _only(der, _SEQUENCE)
    parts = list(_elements(_only(certificate, _SEQUENCE)))
    if parts[0][0] == _VERSION:
        del parts[0]
    tag, validity = parts[_BEFORE_VALIDITY]
    if tag != _SEQUENCE:
        raise ValueError
    begins, ends = (_moment(*each) for each in _elements(validity))
    return Validity(begins, ends)


def _only(data: bytes, tag: int) -> bytes:
    """The content of the first element, which must have that tag."""
    found, content = next(_elements(data))
    if found != tag:
        raise ValueError
    return content


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise ValueError
        yield tag, data[at : at + size]
        at += size


def _moment(tag: int, content: bytes) -> int:
    """A time as RFC 5280 writes it, in UTC: two digits of the year mean 1950 to 2049."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "5" else "20") + text
    elif tag != _GENERAL_TIME:
        raise ValueError
    return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()) * 1_000_000
