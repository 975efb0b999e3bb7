"""TLS as people write it: what is a mistake, and what would fail or surprise with the files that it names."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hl7auth.errors import ConfigError
from hl7auth.flow.channel import load_channel
from hl7auth.flow.channel_doubts import Doubt, channel_doubts
from tests.certificates import BEGINS, Authority

NOW = datetime(2030, 6, 1, tzinfo=UTC)
MINIMAL = "channel: north\nlisten: tcp:0:interface=127.0.0.1\n"
OWN = "tls: {certificate: own.pem, key: own.key}\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def looked(folder: Path, more: str, now: datetime = NOW, public: str = "") -> list[Doubt]:
    path = folder / "north.yaml"
    path.write_text(MINIMAL + more, encoding="utf-8")
    moment = int(now.timestamp() * 1_000_000)
    return channel_doubts(load_channel(path), (), read, moment, is_public=lambda file: file.name == public)


def said(folder: Path, more: str, now: datetime = NOW, public: str = "") -> list[tuple[str, str, bool]]:
    found = looked(folder, more, now, public)
    return [(each.key, each.text.replace(f"{folder}/", ""), each.fails) for each in found]


def test_files_that_are_right_raise_no_doubt(tmp_path: Path, authority: Authority) -> None:
    authority.sign("own", passphrase="hush")
    (tmp_path / "word").write_text("hush\n")
    files = "certificate: own.pem, key: own.key, passphrase: 'file:word', trust: ca.pem"
    assert said(tmp_path, f"tls: {{{files}, client_certificates: required}}\n") == []


@pytest.mark.parametrize(
    ("days", "text", "fails"),
    [
        (30.5, "", False),
        (29.5, "ends in 29 days, on 2030-06-01", False),
        (1.5, "ends in 1 day, on 2030-06-01", False),
        (-0.5, "ended on 2030-06-01", True),
    ],
)
def test_a_certificate_near_its_end(tmp_path: Path, authority: Authority, days: float, text: str, fails: bool) -> None:
    authority.sign("own", ends=NOW)
    found = said(tmp_path, OWN, NOW - timedelta(days=days))
    assert found == ([("tls.certificate", f"the certificate in own.pem {text}", fails)] if text else [])


def test_a_certificate_that_has_not_begun(tmp_path: Path, authority: Authority) -> None:
    authority.sign("own")
    found = said(tmp_path, OWN, BEGINS - timedelta(days=1))
    assert found == [("tls.certificate", "the certificate in own.pem begins only on 2020-01-01", True)]


def test_of_authorities_that_are_trusted_one_that_is_good_is_enough(tmp_path: Path, authority: Authority) -> None:
    authority.sign("own")
    authority.sign("late", ends=NOW - timedelta(days=1))
    late = (tmp_path / "late.pem").read_bytes()
    tls = "tls: {certificate: own.pem, key: own.key, trust: late.pem, client_certificates: required}\n"
    assert said(tmp_path, tls) == [("tls.trust", "the certificate in late.pem ended on 2030-05-31", True)]
    (tmp_path / "late.pem").write_bytes(late + authority.pem)
    assert said(tmp_path, tls) == [("tls.trust", "the certificate in late.pem ended on 2030-05-31", False)]


def test_files_that_are_missing_or_broken(tmp_path: Path, authority: Authority) -> None:
    missing = "there is no file %s, or it can not be read"
    assert said(tmp_path, OWN) == [
        ("tls.certificate", missing % "own.pem", True),
        ("tls.key", missing % "own.key", True),
    ]
    authority.sign("own")
    (tmp_path / "own.key").write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert said(tmp_path, OWN) == [("tls.key", "own.key: the private key can not be read", True)]
    broken = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(b"no") + b"\n-----END CERTIFICATE-----\n"
    (tmp_path / "own.pem").write_bytes(broken)
    authority.sign("other")
    text = "own.pem: it holds a certificate that can not be read"
    assert said(tmp_path, OWN.replace("own.key", "other.key")) == [("tls.certificate", text, True)]
    (tmp_path / "own.pem").write_bytes(b"nothing")
    text = "own.pem: it holds no certificate (PEM: -----BEGIN CERTIFICATE-----)"
    assert ("tls.certificate", text, True) in said(tmp_path, OWN)


def test_a_key_that_does_not_belong_to_the_certificate(tmp_path: Path, authority: Authority) -> None:
    authority.sign("own")
    authority.sign("other")
    (found,) = said(tmp_path, OWN.replace("own.key", "other.key"))
    assert found == ("tls.key", "other.key: it is not the key of the certificate in own.pem", True)


def test_passphrases(tmp_path: Path, authority: Authority) -> None:
    authority.sign("own", passphrase="hush")
    assert said(tmp_path, OWN) == [("tls.key", "own.key: the private key needs a passphrase", True)]
    clear = "tls: {certificate: own.pem, key: own.key, passphrase: %s}\n"
    (found,) = said(tmp_path, clear % "hush")
    assert found[0] == "tls.passphrase"
    assert "name a variable, as ${PASSPHRASE}, or a file, as file:PATH" in found[1]
    assert not found[2]
    assert said(tmp_path, clear % "'file:word'") == [
        ("tls.passphrase", "there is no file word, or it can not be read", True)
    ]
    (tmp_path / "word").write_text("other")
    assert [each[:1] for each in said(tmp_path, clear % "'file:word'", public="word")] == [
        ("tls.key",),
        ("tls.passphrase",),
    ]


def test_a_key_that_everybody_can_read(tmp_path: Path, authority: Authority) -> None:
    authority.sign("own")
    assert said(tmp_path, OWN, public="own.key") == [("tls.key", "everybody on this machine can read own.key", False)]


def test_destinations_are_looked_at_too(tmp_path: Path, authority: Authority) -> None:
    authority.sign("own")
    authority.sign("other")
    text = (
        "destinations:\n"
        "  payer:\n    mllp:\n      connect: tcp:payer.example:2575\n      tls:\n"
        "        trust: none.pem\n        check_name: false\n"
        "  web: {http: {url: 'https://payer.example/', tls: {certificate: own.pem, key: other.key}}}\n"
    )
    assert [(each.place.rpartition(":")[2], each.key, each.fails) for each in looked(tmp_path, text)] == [
        ("8", "destinations.payer.mllp.tls.trust", True),
        ("9", "destinations.payer.mllp.tls.check_name", False),
        ("10", "destinations.web.http.tls.key", True),
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("tls: {certificate: a, minimum: 1.1}", "north.yaml:3: tls.minimum: TLS 1.1 is broken: the least is 1.2"),
        ("tls: {certificate: a, minimum: '1.0'}", "TLS 1.0 is broken"),
        ("tls: {certificate: a, minimum: 2}", "tls.minimum: Input should be '1.2' or '1.3'"),
        ("tls: {}", "tls: a channel with TLS has a certificate"),
        ("tls: {key: a}", "tls: a key without a certificate is no use"),
        ("tls: {certificate: a, trust: b}", "trust and allowed are for client certificates"),
        ("tls: {certificate: a, allowed: ['CN=a']}", "trust and allowed are for client certificates"),
        ("tls: {certificate: a, client_certificates: required}", "client certificates need trust"),
        (
            "tls: {certificate: a, client_certificates: required, trust: b, allowed: [a.example]}",
            "tls.allowed: 'a.example' does not say which name of a certificate is meant",
        ),
        ("accepts: {senders: [{facility: A, certificate: 'CN=a'}]}", "no tls.client_certificates are asked for"),
        (
            "tls: {certificate: a}\naccepts: {senders: [{facility: A, certificate: 'CN=a'}]}",
            "no tls.client_certificates are asked for",
        ),
        ("destinations: {a: {http: {url: 'http://a/', tls: {}}}}", "tls is for https:// addresses"),
        ("destinations: {a: {mllp: {connect: 'tcp:a:1', tls: {key: b}}}}", "a key without a certificate is no use"),
        ("destinations: {a: {mllp: {connect: 'tls:a:1:trustRoots=b'}}}", "write them under the key tls beside it"),
        ("destinations: {a: {mllp: {connect: 'tls:a:1:sslmethod=TLSv1_METHOD'}}}", "under the key tls beside it"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, mistake: str) -> None:
    path = tmp_path / "north.yaml"
    path.write_text(f"{MINIMAL}{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_channel(path)
    assert mistake in str(caught.value)
