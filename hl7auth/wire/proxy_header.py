"""The header that a load balancer puts before the bytes of a client: the PROXY protocol, versions 1 and 2.

Imports the standard library only.

Source: "The PROXY protocol", versions 1 and 2, HAProxy. What follows the addresses in version 2 is passed over.
"""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

MAX_BYTES = 4096
"""A header is at most 107 bytes in version 1, and in version 2 some hundred; the 64 KB that it could be are no use."""

_MAX_LINE = 107
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = 16
_LOCAL, _PROXY = 0x20, 0x21
_UNKNOWN, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_SIZES = {_UNKNOWN: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}
_LINE = re.compile(rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\r\n")

_UNREADABLE = "the header of the PROXY protocol (version 1) can not be read"


class ProxyHeader(NamedTuple):
    """Its size in bytes, and who the client is: host and port, both empty where that is not said.

    `local`: the load balancer itself has connected, to see whether anybody answers.
    """

    size: int
    host: str = ""
    port: int = 0
    local: bool = False


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header that a connection begins with; None while it is not whole. Raises ValueError for anything else."""
    if data[:1] == b"P":
        return _version_1(data)
    if not data.startswith(_SIGNATURE[: len(data)]):
        raise ValueError("no header of the PROXY protocol")
    return _version_2(data)


def _version_1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, _MAX_LINE) + 1
    if not end:
        if len(data) >= _MAX_LINE or not data.startswith(b"PROXY "[: len(data)]):
            raise ValueError("the header of the PROXY protocol has no end")
        return None
    line = data[:end]
    if line.startswith(b"PROXY UNKNOWN") and line[13:14] in b" \r" and line.endswith(b"\r\n"):
        return ProxyHeader(end)
    match = _LINE.fullmatch(line)
    if match is None or max(int(match[4]), int(match[5])) > 65_535:
        raise ValueError(_UNREADABLE)
    kind = IPv4Address if match[1] == b"4" else IPv6Address
    try:
        host, _ = [str(kind(text.decode("ascii"))) for text in match.group(2, 3)]
    except ValueError:
        raise ValueError(_UNREADABLE) from None
    return ProxyHeader(end, host, int(match[4]))


def _version_2(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED:
        return None
    command, family, size = data[12], data[13], int.from_bytes(data[14:_FIXED])
    if command not in (_LOCAL, _PROXY):
        raise ValueError("the header of the PROXY protocol has an unknown version or command")
    if _FIXED + size > MAX_BYTES:
        raise ValueError("the header of the PROXY protocol is too large")
    if command == _PROXY and (family not in _SIZES or size < _SIZES[family]):
        raise ValueError("the header of the PROXY protocol (version 2) names no connection of TCP")
    if len(data) < _FIXED + size:
        return None
    return _client(data, command, family, _FIXED + size)


def _client(data: bytes, command: int, family: int, size: int) -> ProxyHeader:
    if command == _LOCAL:
        return ProxyHeader(size, local=True)
    if family == _TCP4:
        return ProxyHeader(size, str(IPv4Address(data[16:20])), int.from_bytes(data[24:26]))
    if family == _TCP6:
        return ProxyHeader(size, str(IPv6Address(data[16:32])), int.from_bytes(data[48:50]))
    return ProxyHeader(size)
