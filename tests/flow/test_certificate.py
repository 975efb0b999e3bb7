"""When certificates begin and end, against what openssl says of the same files."""

import base64

import pytest

from hl7auth.flow.certificate import Validity, validities
from tests.flow.certificates import LONG, LONG_BEGINS, LONG_ENDS, SHORT, SHORT_BEGINS, SHORT_ENDS

SECOND = 1_000_000


def pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(der) + b"\n-----END CERTIFICATE-----\n"


def test_every_certificate_of_a_file_with_years_of_two_and_of_four_digits() -> None:
    assert validities(b"a key may stand before\n" + SHORT + LONG) == [
        Validity(SHORT_BEGINS * SECOND, SHORT_ENDS * SECOND),
        Validity(LONG_BEGINS * SECOND, LONG_ENDS * SECOND),
    ]


def test_a_year_from_50_on_is_of_the_last_century() -> None:
    der = base64.b64decode(b"".join(SHORT.splitlines()[1:-1]))
    at = der.index(b"\x17\x0d") + 2  # the first UTC time: when it begins
    old = der[:at] + b"50" + der[at + 2 :]
    assert validities(pem(old))[0].begins < 0 < validities(pem(old))[0].ends


def test_what_is_no_certificate_holds_none() -> None:
    assert validities(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n") == []


def element(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return bytes((tag, len(content))) + content


def certificate(*validity: bytes, tag: int = 0x30, version: bytes = b"") -> bytes:
    """The least that has a validity: version, serial number, algorithm, issuer, and the validity."""
    number, nothing = element(0x02, b"\x01"), element(0x30)
    return element(0x30, element(0x30, version, number, nothing, nothing, element(tag, *validity)))


NOON = element(0x17, b"700101120000Z")


def test_a_certificate_of_the_first_version_says_no_version() -> None:
    expected = [Validity(43_200 * SECOND, 43_200 * SECOND)]
    assert validities(pem(certificate(NOON, NOON))) == expected
    assert validities(pem(certificate(NOON, NOON, version=element(0xA0, b"\x02\x01\x02")))) == expected


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        b"\x30\x05\x00",
        b"\x31\x00",
        b"\x30\x02\x30\x00",
        certificate(NOON, NOON, tag=0x31),
        certificate(NOON),
        certificate(NOON, element(0x04, b"700101120000Z")),
        certificate(NOON, element(0x17, b"701301120000Z")),
        certificate(NOON, element(0x17, b"\xff")),
    ],
)
def test_what_is_broken_is_said_so(der: bytes) -> None:
    with pytest.raises(ValueError, match="a certificate that can not be read"):
        validities(pem(der))
