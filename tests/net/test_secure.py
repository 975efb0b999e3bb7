"""TLS of a channel, with real sockets, certificates made here, and clients of Python's own ssl module."""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hl7auth.errors import ConfigError
from hl7auth.flow.figures import Ending
from hl7auth.net import tls_files
from tests.certificates import Authority
from tests.cli.inline import Ran, run
from tests.engine import message, msh, request
from tests.running import SECONDS, Running
from tests.serving import Line, Serving

PLAIN = "tls: {certificate: north.pem, key: north.key}\n"
MUTUAL = "tls: {certificate: north.pem, key: north.key, trust: ca.pem, client_certificates: required%s}\n"


class Secured(Line):
    """A connection with TLS."""

    def __init__(self, port: int, context: ssl.SSLContext, name: str = "north.example") -> None:
        super().__init__(port)
        try:
            self.socket = context.wrap_socket(self.socket, server_hostname=name)
        except BaseException:
            self.close()
            raise


class Site:
    """A folder with an authority, a server's certificate, and servers and clients in it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.authority = Authority(folder)
        self.authority.sign("north", "north.example")

    def start(self, more: str) -> Running:
        return self._stack.enter_context(Running(self.folder, more))

    def context(self, certificate: str = "", trust: str = "ca.pem") -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(self.folder / trust))
        if certificate:
            made.load_cert_chain(self.folder / f"{certificate}.pem", self.folder / f"{certificate}.key")
        return made

    def line(self, server: Running, certificate: str = "", **named: Any) -> Secured:
        line = Secured(server.port, self.context(certificate, **named))
        self._stack.callback(line.close)
        return line

    def bare(self, server: Running) -> Line:
        return self._stack.enter_context(Line(server.port))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def ended(line: Line) -> bool:
    try:
        while line.socket.recv(4096):
            pass
    except (ConnectionError, ssl.SSLError):
        return True
    return True


def turned_away(site: Site, server: Running, certificate: str = "") -> bool:
    """In TLS 1.3 a client learns only with its first read that its certificate is not good."""
    try:
        line = site.line(server, certificate)
        line.send(request("C0"))
        line.reply()
    except (ConnectionError, ssl.SSLError):
        return True
    return False


def told(server: Running) -> list[str]:
    """The sentences of the refusals in the log."""
    server.refused()
    found = [record for record in server.logged if record.__dict__["action"] == "connection.refused"]
    return [record.getMessage() for record in found]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_messages_go_through_tls_and_the_connection_is_closed_in_order(site: Site, version: ssl.TLSVersion) -> None:
    server, context = site.start(PLAIN), site.context()
    context.minimum_version = context.maximum_version = version
    with Secured(server.port, context) as line:
        line.send(*(request(f"C{number}") for number in range(40)))
        assert [line.reply() for _ in range(40)] == [f"AA C{number}" for number in range(40)]
        large = request("L1").replace(b"Quill", b"Q" * 300_000)
        assert line.ask(large).endswith("L1")
        tls: Any = line.socket
        assert tls.version() == f"TLSv{version.name[-3:].replace('_', '.')}"
        line.socket = tls.unwrap()  # says goodbye, and reads the goodbye of the server
    assert server.rows("SELECT count(*) FROM message") == [(41,)]
    assert told(server) == []


def test_the_server_says_goodbye_before_it_closes(site: Site) -> None:
    server = site.start(PLAIN + "limits: {idle_seconds: 0.3}\n")
    line = site.line(server)
    assert line.ask(request("C1")) == "AA C1"
    assert line.socket.recv(1) == b""  # without its goodbye this raises: the end could be anybody's
    assert server.ended(Ending.IDLE) == 1


@pytest.mark.parametrize(
    ("name", "trust"),
    [("south.example", "ca.pem"), ("north.example", "other.pem")],
)
def test_a_client_finds_a_wrong_name_or_authority(site: Site, name: str, trust: str) -> None:
    Authority(site.folder, "other")
    server = site.start(PLAIN)
    with pytest.raises(ssl.SSLCertVerificationError):
        Secured(server.port, site.context(trust=trust), name)


def test_old_versions_are_refused_whatever_the_client_offers(site: Site) -> None:
    server, context = site.start(PLAIN), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(site.folder / "ca.pem")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)version|protocol"):
        Secured(server.port, context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Secured(server.port, context) as line:
        assert line.ask(request("C1")) == "AA C1"
    assert "unsupported protocol" in told(server)[0]


def test_the_floor_may_be_raised(site: Site) -> None:
    server, context = site.start("tls: {certificate: north.pem, key: north.key, minimum: 1.3}\n"), site.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        Secured(server.port, context)
    assert site.line(server).ask(request("C1")) == "AA C1"


def test_client_certificates_of_the_right_authority_are_taken(site: Site) -> None:
    server = site.start(MUTUAL % "")
    site.authority.sign("ehr")
    assert site.line(server, "ehr").ask(request("C1")) == "AA C1"


def test_a_client_without_a_certificate_or_with_a_bad_one_is_turned_away(site: Site) -> None:
    server = site.start(MUTUAL % "")
    foreign = Authority(site.folder, "other")
    foreign.sign("foreign")
    site.authority.sign("late", ends=datetime(2021, 1, 1, tzinfo=UTC))
    for certificate in ("", "foreign", "late"):
        assert turned_away(site, server, certificate)
    assert server.ended(Ending.HANDSHAKE) == 3
    assert told(server) == ["no TLS: peer did not return a certificate"]
    assert server.rows("SELECT count(*) FROM message") == [(0,)]


def test_a_client_certificate_that_is_asked_for_may_be_left_out(site: Site) -> None:
    server = site.start((MUTUAL % "").replace("required", "optional"))
    Authority(site.folder, "other").sign("foreign")
    assert site.line(server).ask(request("C1")) == "AA C1"
    assert turned_away(site, server, "foreign")


def test_only_certificates_with_an_allowed_name_are_taken(site: Site) -> None:
    server = site.start(MUTUAL % ", allowed: ['CN=ehr.example', 'DNS:*.west.example']")
    site.authority.sign("ehr")
    site.authority.sign("west", "lab.west.example")
    site.authority.sign("east", "lab.east.example", subject="ehr.example.evil")
    assert site.line(server, "ehr").ask(request("C1")) == "AA C1"
    assert site.line(server, "west").ask(request("C2")) == "AA C2"
    assert turned_away(site, server, "east")
    assert server.ended(Ending.CERTIFICATE) == 1
    assert server.refused()[0][0] == "certificate"


def test_a_sender_is_held_to_its_certificate_also_when_the_store_is_rebuilt(site: Site) -> None:
    accepts = "accepts: {senders: [{application: EHR, certificate: 'CN=ehr.example'}, {application: LAB}]}\n"
    server = site.start(MUTUAL % "" + accepts)
    site.authority.sign("ehr")
    site.authority.sign("lab")
    of_lab = message(msh(control_id="L1").replace("EHR|NORTH", "LAB|NORTH"), "PID|||1||Q^I")
    assert site.line(server, "ehr").ask(request("C1")) == "AA C1"
    line = site.line(server, "lab")
    assert line.ask(request("C2")) == "AR C2"
    assert line.ask(of_lab).endswith(" L1")
    found = server.rows("SELECT control_id, disposition, reply FROM message WHERE disposition = 'refused' ORDER BY id")
    assert found[0][:2] == ("C2", "refused")
    assert "another certificate" in str(found[0][2])
    assert [row[0] for row in found].count("C1") == 0
    words = ("db", "check", "--rebuild", "--format", "json", "--channels", str(site.folder))
    rebuilt = run(*words, database=f"sqlite:///{site.folder}/north.db").document
    assert (rebuilt["good"], rebuilt["rebuild"]["messages"]) == (True, 3)


def test_plain_hl7_on_a_port_with_tls_is_closed_and_told(site: Site) -> None:
    server = site.start(PLAIN)
    line = site.bare(server)
    line.send(request("C1"))
    assert ended(line)
    assert server.ended(Ending.HANDSHAKE) == 1
    (text,) = told(server)
    assert text.startswith("no TLS: ")
    assert server.rows("SELECT count(*) FROM message") == [(0,)]


def test_a_handshake_that_never_ends_is_cut_and_holds_little(site: Site) -> None:
    server = site.start(PLAIN + "limits: {handshake_seconds: 0.4, connections: 12}\n")
    lines = [site.bare(server) for _ in range(10)]
    for number, line in enumerate(lines):
        # a ClientHello that says it is 16 KB long, in records that bring a part of it
        head = b"\x01\x00\x3f\xff\x03\x03" + bytes(200)
        line.socket.sendall(b"\x16\x03\x01" + len(head).to_bytes(2) + head if number % 2 else b"\x16")
    assert all(ended(line) for line in lines)
    assert server.ended(Ending.HANDSHAKE) == 10
    assert told(server) == ["no TLS: the handshake took too long"]
    assert site.line(server).ask(request("C1")) == "AA C1"


def test_a_hello_without_end_is_not_kept(site: Site) -> None:
    server = site.start(PLAIN)
    line = site.bare(server)
    hello = b"\x01\xff\xff\xff\x03\x03" + bytes(16_000)
    with suppress(ConnectionError):
        for _ in range(200):
            line.socket.sendall(b"\x16\x03\x01" + len(hello).to_bytes(2) + hello)
    assert ended(line)
    assert server.ended(Ending.HANDSHAKE) == 1


def test_connections_in_their_handshake_count_as_connections(site: Site) -> None:
    server = site.start(PLAIN + "limits: {connections: 1}\n")
    first = site.bare(server)
    with suppress(ConnectionResetError):  # it may be refused before the connection is seen to stand
        assert ended(site.bare(server))
    assert server.refused()[0][0] == "too many"
    first.socket = site.context().wrap_socket(first.socket, server_hostname="north.example")
    assert first.ask(request("C1")) == "AA C1"


def test_a_message_that_trickles_in_through_tls_is_given_up(site: Site) -> None:
    server = site.start(PLAIN + "limits: {message_seconds: 0.3}\n")
    line = site.line(server)
    line.socket.sendall(b"\x0bMSH|")
    assert line.socket.recv(1) == b""
    assert server.ended(Ending.SLOW) == 1


def shown(line: Secured) -> Any:
    tls: Any = line.socket
    certificate = tls.getpeercert()
    return dict(pair[0] for pair in certificate["subject"])["commonName"]


def test_new_connections_get_the_new_certificate_and_old_ones_live_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_files, "LOOK_SECONDS", 0)
    server = site.start(PLAIN)
    old = site.line(server)
    assert old.ask(request("C1")) == "AA C1"
    site.authority.sign("north", "north.example", subject="renewed.example")
    new = site.line(server)
    assert (shown(old), shown(new)) == ("north.example", "renewed.example")
    assert old.ask(request("C2")) == "AA C2"
    assert new.ask(request("C3")) == "AA C3"
    assert [record.__dict__["action"] for record in server.logged].count("certificate.renewed") <= 1


def test_files_that_are_half_replaced_change_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_files, "LOOK_SECONDS", 0)
    server = site.start(PLAIN)
    before = (site.folder / "north.key").read_bytes()
    site.authority.sign("north", "north.example", subject="renewed.example")
    after = (site.folder / "north.key").read_bytes()
    (site.folder / "north.key").write_bytes(before)
    assert shown(site.line(server)) == "north.example"
    assert shown(site.line(server)) == "north.example"
    failed = [record for record in server.logged if record.__dict__["action"] == "certificate.failed"]
    assert len(failed) == 1
    assert "it is not the key of the certificate" in failed[0].getMessage()
    (site.folder / "north.key").write_bytes(after)
    assert shown(site.line(server)) == "renewed.example"
    os.remove(site.folder / "north.pem")
    assert shown(site.line(server)) == "renewed.example"


def test_files_are_looked_at_now_and_then_and_read_on_demand(site: Site) -> None:
    server = site.start(PLAIN)
    site.authority.sign("north", "north.example", subject="renewed.example")
    assert shown(site.line(server)) == "north.example"
    assert server.call(server.server.renew_certificates) is True
    assert shown(site.line(server)) == "renewed.example"
    os.remove(site.folder / "north.pem")
    assert server.call(server.server.renew_certificates) is False
    assert shown(site.line(server)) == "renewed.example"


def test_a_channel_that_changes_keeps_the_connections_that_it_would_take(site: Site) -> None:
    site.authority.sign("ehr")
    server = site.start("")
    plain = site.bare(server)
    assert plain.ask(request("C1")) == "AA C1"
    server.become(PLAIN)
    assert ended(plain)
    secure = site.line(server)
    assert secure.ask(request("C2")) == "AA C2"
    site.authority.sign("other", "north.example")
    server.become(PLAIN.replace("north.", "other.") + "duplicates: strict\n")
    assert secure.ask(request("C3")) == "AA C3"
    assert shown(site.line(server)) == "other.example"
    server.become(MUTUAL % "")
    assert ended(secure)
    known = site.line(server, "ehr")
    assert known.ask(request("C4")) == "AA C4"
    server.become("")
    assert ended(known)
    assert site.bare(server).ask(request("C5")) == "AA C5"


@pytest.mark.parametrize(
    ("tls", "text"),
    [
        ("{certificate: none.pem}", "tls.certificate: FOLDER/none.pem: no such file or directory"),
        ("{certificate: north.key}", "tls.certificate: FOLDER/north.key: it holds no certificate"),
        ("{certificate: north.pem}", "tls.key: FOLDER/north.pem: it holds no private key"),
        ("{certificate: north.pem, key: other.key}", "tls.key: FOLDER/other.key: it is not the key of the certificate"),
        (
            "{certificate: locked.pem, key: locked.key}",
            "tls.key: FOLDER/locked.key: the private key needs a passphrase",
        ),
        (
            "{certificate: locked.pem, key: locked.key, passphrase: wrong}",
            "the passphrase does not open the private key",
        ),
        ("{certificate: locked.pem, key: locked.key, passphrase: 'file:none'}", "tls.passphrase: FOLDER/none: no such"),
    ],
)
def test_wrong_files_stop_the_start_with_their_place(site: Site, tls: str, text: str) -> None:
    site.authority.sign("other")
    site.authority.sign("locked", passphrase="hush")
    with pytest.raises(ConfigError) as caught:
        site.start(f"tls: {tls}\n")
    assert text in str(caught.value).replace(str(site.folder), "FOLDER")
    assert str(caught.value).startswith(f"{site.folder}/north.yaml:3: tls.")


@pytest.mark.parametrize("passphrase", ["hush", "file:secret"])
def test_a_key_with_a_passphrase(site: Site, passphrase: str) -> None:
    (site.folder / "secret").write_text("hush\n")
    site.authority.sign("north", "north.example", passphrase="hush")
    server = site.start(PLAIN.replace("}", f", passphrase: '{passphrase}'}}"))
    assert site.line(server).ask(request("C1")) == "AA C1"


def test_key_and_certificate_in_one_file(site: Site) -> None:
    both = (site.folder / "north.key").read_bytes() + (site.folder / "north.pem").read_bytes()
    (site.folder / "both.pem").write_bytes(both)
    server = site.start("tls: {certificate: both.pem}\n")
    assert site.line(server).ask(request("C1")) == "AA C1"


def test_a_load_balancer_before_tls(site: Site) -> None:
    server = site.start(MUTUAL % "" + "accepts: {load_balancers: [127.0.0.1], networks: [192.0.2.7]}\n")
    site.authority.sign("ehr")
    line = site.bare(server)
    line.socket.sendall(b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 2575\r\n")
    line.socket = site.context("ehr").wrap_socket(line.socket, server_hostname="north.example")
    assert line.ask(request("C1")) == "AA C1"
    assert server.rows("SELECT peer FROM message") == [("192.0.2.7:40000",)]


def test_workers_serve_tls(tmp_path: Path) -> None:
    (tmp_path / "channels").mkdir()
    Authority(tmp_path / "channels").sign("north", "north.example")
    listen = "tcp:0:interface=127.0.0.1\ntls: {certificate: north.pem, key: north.key}"
    context = ssl.create_default_context(cafile=str(tmp_path / "channels" / "ca.pem"))
    with Serving(tmp_path, 2, listen=listen) as serving, ExitStack() as stack:
        lines = [stack.enter_context(Secured(serving.port, context)) for _ in range(4)]
        assert [line.ask(request(f"C{number}")) for number, line in enumerate(lines)] == [f"AA C{n}" for n in range(4)]
        stack.pop_all().close()
        serving.process.terminate()
        assert serving.process.wait(SECONDS) == 0


def test_workers_are_not_started_with_wrong_files(tmp_path: Path) -> None:
    listen = "tcp:0:interface=127.0.0.1\ntls: {certificate: north.pem, key: north.key}"
    with pytest.raises(AssertionError) as caught:
        Serving(tmp_path, 2, listen=listen)
    assert "tls.certificate: channels/north.pem: no such file or directory" in str(caught.value)
    assert "worker" not in str(caught.value).partition("hl7auth: ")[2]


def test_an_orderly_end_answers_what_came_through_tls(site: Site) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(Running(site.folder, PLAIN))
        line = site.line(server)
        assert line.ask(request("C1")) == "AA C1"
        handshaking = site.bare(server)
    assert line.socket.recv(1) == b""
    with suppress(ConnectionResetError):
        assert handshaking.socket.recv(1) == b""


def test_a_port_is_not_opened_by_an_endpoint_of_tls(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="write tcp:PORT here, and the key tls"):
        Running(tmp_path, head="channel: north\nlisten: 'ssl:0:privateKey=a:certKey=b'\n")


def test_the_socket_of_a_client_that_resets_is_forgotten(site: Site) -> None:
    server = site.start(PLAIN)
    line = site.line(server)
    assert line.ask(request("C1")) == "AA C1"
    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    line.close()
    assert site.line(server).ask(request("C2")) == "AA C2"


def sent(site: Site, port: int, *words: str) -> Ran:
    path = site.folder / "m.hl7"
    path.write_bytes(request("S1"))
    return run("send", f"127.0.0.1:{port}", str(path), "--timeout", "5", *words)


def test_send_with_tls(site: Site) -> None:
    server = site.start(MUTUAL % "")
    own = site.authority.sign("ehr")
    trust = ("--tls", "--trust", str(site.authority.path), "--server-name", "north.example")
    ran = sent(site, server.port, *trust, "--certificate", str(own), "--key", str(own.with_suffix(".key")))
    assert (ran.code, "S1: AA" in ran.out) == (0, True)
    refused = sent(site, server.port, *trust)
    assert refused.code in (1, 2)
    assert "S1: AA" not in refused.out
    wrong = sent(site, server.port, "--tls", "--trust", str(site.authority.path))
    assert (wrong.code, wrong.out) == (2, "")
    assert "can not connect to 127.0.0.1" in wrong.err
    assert "127.0.0.1" in wrong.err.rpartition(":")[2] or "IP address mismatch" in wrong.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--trust", "x.pem"), "go with --tls"),
        (("--tls", "--trust", "x.pem"), "--trust: x.pem: no such file or directory"),
        (("--tls", "--key", "x.pem"), "--key: a key without a certificate is no use"),
    ],
)
def test_mistakes_of_send(site: Site, words: tuple[str, ...], text: str) -> None:
    ran = sent(site, 1, *words)
    assert (ran.code, text in ran.err) == (2, True)
