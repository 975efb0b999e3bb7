"""The header of the PROXY protocol: whole, in pieces, and from those who mean no good."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.wire.proxy_header import MAX_BYTES, ProxyHeader, read_proxy_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(body).to_bytes(2) + body


TCP4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + (40_000).to_bytes(2) + (2575).to_bytes(2)
TCP6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16) + (40_001).to_bytes(2) + (2575).to_bytes(2)
GOOD = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 2575\r\n", "192.0.2.7", 40_000, False),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 40001 2575\r\n", "2001:db8::7", 40_001, False),
    (b"PROXY UNKNOWN\r\n", "", 0, False),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", 0, False),
    (v2(0x21, 0x11, TCP4), "192.0.2.7", 40_000, False),
    (v2(0x21, 0x11, TCP4 + b"\x04\x00\x03abc"), "192.0.2.7", 40_000, False),
    (v2(0x21, 0x21, TCP6), "2001:db8::7", 40_001, False),
    (v2(0x21, 0x00, b""), "", 0, False),
    (v2(0x21, 0x31, bytes(216)), "", 0, False),
    (v2(0x20, 0x00, b""), "", 0, True),
    (v2(0x20, 0x11, TCP4), "", 0, True),
]


@pytest.mark.parametrize(("data", "host", "port", "local"), GOOD)
def test_a_header_is_read_whole_and_waited_for_byte_by_byte(data: bytes, host: str, port: int, local: bool) -> None:
    for end in range(len(data)):
        assert read_proxy_header(data[:end]) is None
    expected = ProxyHeader(len(data), host, port, local)
    assert read_proxy_header(data) == expected
    assert read_proxy_header(data + b"\x0bMSH|") == expected


@pytest.mark.parametrize(
    "data",
    [
        b"\x0bMSH|^~\\&|",
        b"GET / HTTP/1.1\r\n",
        b"PROXIES",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 65536\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 040000 1\r\n",
        b"PROXY TCP4 192.0.2.300 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n",
        b"PROXY UNKNOWNx\r\n",
        b"PROXY UNKNOWN " + b"x" * 100,
        b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
        b"PROXY \xff\xff\r\n",
        v2(0x11, 0x11, TCP4),
        v2(0x22, 0x11, TCP4),
        v2(0x21, 0x12, TCP4),
        v2(0x21, 0x11, TCP4[:-1]),
        v2(0x21, 0x21, TCP4),
        v2(0x21, 0x11, TCP4 + bytes(MAX_BYTES)),
        SIGNATURE[:-1] + b"\r",
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="PROXY"):
        read_proxy_header(data)


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\x00"])
)
def test_no_bytes_do_harm(data: bytes, start: bytes) -> None:
    try:
        found = read_proxy_header(start + data)
    except ValueError:
        return
    assert found is None or 0 < found.size <= min(len(start + data), MAX_BYTES)


def test_what_is_waited_for_is_bounded() -> None:
    assert read_proxy_header(v2(0x21, 0x11, bytes(MAX_BYTES - 16))[:-1]) is None
    with pytest.raises(ValueError, match="no end"):
        read_proxy_header(b"PROXY TCP4 " + b"1" * 96)
