"""Endpoints as Twisted writes them: what they mean, and which of them can not stand beside each other."""

import pytest

from hl7auth.flow.endpoint import endpoint, is_local


@pytest.mark.parametrize(
    ("text", "kind", "port", "interface"),
    [
        ("tcp:2575", "tcp", 2575, ""),
        ("tcp:2575:interface=127.0.0.1", "tcp", 2575, "127.0.0.1"),
        ("tcp6:2575:interface=\\:\\:1", "tcp6", 2575, "::1"),
        ("ssl:port=2576:privateKey=a.pem", "ssl", 2576, ""),
        ("unix:/run/hl7.sock", "unix", -1, ""),
    ],
)
def test_what_an_endpoint_says(text: str, kind: str, port: int, interface: str) -> None:
    found = endpoint(text)
    assert (found.kind, found.port, found.interface, found.fault) == (kind, port, interface, "")


def test_a_colon_in_a_value_has_a_backslash_before_it() -> None:
    assert endpoint("ssl:1:certKey=C\\:/a.pem").options == {"certKey": "C:/a.pem"}
    assert endpoint("unix:/run/a\\:b").address == "/run/a:b"


@pytest.mark.parametrize("text", ["tcp:x", "tcp:65536", "tcp:", "tcp"])
def test_what_is_no_port(text: str) -> None:
    assert "is no port (0 to 65535)" in endpoint(text).fault


def test_a_client_has_a_host() -> None:
    assert (endpoint("tcp:payer.example:2575").host, endpoint("tcp:payer.example:2575").second) == (
        "payer.example",
        "2575",
    )
    assert endpoint("tcp:host=payer.example:port=2575").host == "payer.example"


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ("tcp:1", "tcp:1:interface=127.0.0.1", True),
        ("tcp:1:interface=127.0.0.1", "ssl:1:interface=0.0.0.0", True),
        ("tcp:1:interface=127.0.0.1", "tcp:1:interface=127.0.0.1", True),
        ("tcp:1:interface=127.0.0.1", "tcp:1:interface=127.0.0.2", False),
        ("tcp:1", "tcp:2", False),
        ("tcp:0", "tcp:0", False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
        ("unix:/a", "tcp:1", False),
        ("systemd:", "systemd:", False),
    ],
)
def test_two_that_can_not_be_listened_on_at_once(one: str, other: str, meets: bool) -> None:
    assert endpoint(one).meets(endpoint(other)) is meets
    assert endpoint(other).meets(endpoint(one)) is meets


def test_names_for_people() -> None:
    assert endpoint("tcp:1").named == "port 1"
    assert endpoint("tcp:1:interface=127.0.0.1").named == "port 1 of 127.0.0.1"
    assert endpoint("unix:/a").named == "unix /a"


def test_who_is_local() -> None:
    assert all(map(is_local, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_local, ("", "0.0.0.0", "payer.example")))
    assert endpoint("tcp:1:interface=127.0.0.1").is_local
    assert not endpoint("tcp:1").is_local
