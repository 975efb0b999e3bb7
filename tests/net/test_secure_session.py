"""Destinations with TLS: listeners of Python's own ssl module, certificates made here, nothing sent before trust."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hl7auth.errors import ConfigError
from hl7auth.net import tls_files
from hl7auth.net.mllp_client import MllpClient
from tests.certificates import Authority
from tests.outbox import Listener, Outbox, ack, raw


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path)
    yield outbox
    outbox.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path)
    authority.sign("payer", "payer.example", "127.0.0.1")
    return authority


def serving(folder: Path, certificate: str = "payer", *, ask: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    if ask:
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def mllp(listener: Listener, **tls: Any) -> dict[str, Any]:
    retry = {"first_seconds": 0.05, "most_seconds": 0.05}
    return {"mllp": listener.mllp | {"tls": tls, "reconnect": retry, "connect_seconds": 5}}


def reasons(caplog: pytest.LogCaptureFixture) -> list[Any]:
    found = [each.__dict__ for each in caplog.records]
    return [each["fields"]["reason"] for each in found if each.get("action") == "destination.unreachable"]


def test_messages_are_sent_through_tls_in_order(outbox: Outbox, authority: Authority) -> None:
    outbox.put(*[("lane", raw(f"C{at}")) for at in range(20)])
    with Listener(context=serving(outbox.folder)) as listener:
        outbox.run(outbox.all_in("sent"), mllp(listener, trust="ca.pem"))
        assert listener.got == [f"C{at}" for at in range(20)]
        assert listener.connections == 1


@pytest.mark.parametrize(
    ("certificate", "tls", "reason"),
    [
        ("payer", {"trust": "other.pem"}, "certificate verify failed"),
        ("payer", {}, "certificate verify failed"),
        ("payer", {"trust": "ca.pem", "server_name": "elsewhere.example"},
         "the certificate of the server is not for elsewhere.example"),
        ("nameless", {"trust": "ca.pem"}, "the certificate of the server is not for 127.0.0.1"),
    ],
)  # fmt: skip
def test_nothing_is_sent_to_a_server_that_is_not_trusted(
    outbox: Outbox,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    certificate: str,
    tls: dict[str, Any],
    reason: str,
) -> None:
    Authority(outbox.folder, "other")
    authority.sign("nameless", subject="127.0.0.1")  # in the subject, where names of servers no longer count
    outbox.put(("lane", raw("C1")))
    with Listener(context=serving(outbox.folder, certificate)) as listener:
        outbox.run(lambda: bool(reasons(caplog)) and listener.connections > 2, mllp(listener, **tls))
        assert listener.got == []
    assert reasons(caplog) == [reason]
    assert outbox.states() == ["queued"]
    assert outbox.rows("SELECT attempts FROM delivery") == [(0,)]


@pytest.mark.parametrize("tls", [{"server_name": "payer.example"}, {"check_name": False}])
def test_a_server_under_another_name(outbox: Outbox, authority: Authority, tls: dict[str, Any]) -> None:
    authority.sign("payer", "payer.example")
    outbox.put(("lane", raw("C1")))
    with Listener(context=serving(outbox.folder)) as listener:
        outbox.run(outbox.all_in("sent"), mllp(listener, trust="ca.pem", **tls))
        assert listener.got == ["C1"]
        assert listener.names == ([tls["server_name"]] if "server_name" in tls else [None])


def test_a_server_that_asks_for_a_certificate_gets_ours(outbox: Outbox, authority: Authority) -> None:
    authority.sign("engine", passphrase="hush")
    outbox.put(("lane", raw("C1")))
    own = {"certificate": "engine.pem", "key": "engine.key", "passphrase": "hush"}
    with Listener(context=serving(outbox.folder, ask=True)) as listener:
        outbox.run(outbox.all_in("sent"), mllp(listener, trust="ca.pem", **own))
        assert listener.got == ["C1"]


def test_a_server_that_does_not_take_our_certificate(
    outbox: Outbox, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.put(("lane", raw("C1")))
    with Listener(context=serving(outbox.folder, ask=True)) as listener:
        outbox.run(lambda: bool(reasons(caplog)), mllp(listener, trust="ca.pem"))
        assert listener.got == []
    assert "certificate required" in reasons(caplog)[0]


def test_a_server_without_tls_and_one_that_never_shakes_hands(
    outbox: Outbox, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    Authority(tmp_path)
    outbox.put(("lane", raw("C1")))
    with Listener() as listener:
        to = mllp(listener, trust="ca.pem")
        to["mllp"]["connect_seconds"] = 0.2
        outbox.run(lambda: bool(reasons(caplog)), to)
    assert reasons(caplog) == ["the handshake took too long"]
    assert outbox.states() == ["queued"]


def test_a_certificate_that_is_renewed_is_shown_from_then_on(
    outbox: Outbox, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_files, "LOOK_SECONDS", 0)
    authority.sign("engine", subject="first.example")

    def react(number: int, control_id: str) -> bytes | None:
        authority.sign("engine", subject="second.example")
        return ack(control_id) if number > 1 else None  # hangs up: there will be a second connection

    outbox.put(("lane", raw("C1")))
    with Listener(react, context=serving(outbox.folder, ask=True)) as listener:
        to = mllp(listener, trust="ca.pem", certificate="engine.pem", key="engine.key") | {
            "retry": {"first_seconds": 0.05}
        }
        outbox.run(outbox.all_in("sent"), to)
        assert listener.clients == ["first.example", "second.example"]


def test_all_of_a_destination_are_told_to_read_their_files_anew(outbox: Outbox, authority: Authority) -> None:
    told: list[bool] = []

    def ask(dispatchers: list[Any]) -> None:
        sender: MllpClient = dispatchers[0]._sender
        told.append(sender.renew())
        (outbox.folder / "ca.pem").unlink()
        told.append(sender.renew())

    outbox.put(("lane", raw("C1")))
    with Listener(context=serving(outbox.folder)) as listener:
        outbox.run(outbox.all_in("sent"), mllp(listener, trust="ca.pem"), meanwhile=ask)
    assert told == [True, False]


@contextmanager
def https(context: ssl.SSLContext) -> Iterator[int]:
    """An HTTPS server that answers each message."""

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = self.rfile.read(int(self.headers["Content-Length"]))
            body = ack(message.split(b"|")[9].decode())[1:-2]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    class Quiet(http.server.HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A handshake that fails is what some tests want."""

    server = Quiet(("127.0.0.1", 0), Answering)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


def test_https_with_an_authority_of_ones_own_and_a_client_certificate(outbox: Outbox, authority: Authority) -> None:
    authority.sign("engine")
    outbox.put(("lane", raw("C1")))
    tls = {"trust": "ca.pem", "certificate": "engine.pem", "key": "engine.key"}
    with https(serving(outbox.folder, ask=True)) as port:
        outbox.run(outbox.all_in("sent"), {"http": {"url": f"https://127.0.0.1:{port}/hl7", "tls": tls}})


def test_https_under_another_name(outbox: Outbox, authority: Authority) -> None:
    authority.sign("payer", "payer.example")
    outbox.put(("lane", raw("C1")))
    tls = {"trust": "ca.pem", "server_name": "payer.example"}
    with https(serving(outbox.folder)) as port:
        outbox.run(outbox.all_in("sent"), {"http": {"url": f"https://localhost:{port}/hl7", "tls": tls}})


@pytest.mark.parametrize("tls", [None, {"trust": "ca.pem", "server_name": "elsewhere.example"}])
def test_https_to_a_server_that_is_not_trusted(outbox: Outbox, authority: Authority, tls: Any) -> None:
    outbox.put(("lane", raw("C1")))
    with https(serving(outbox.folder)) as port:
        to = {"http": {"url": f"https://127.0.0.1:{port}/hl7", "tls": tls}, "retry": {"attempts": 1}}
        outbox.run(outbox.all_in("parked"), to)
    ((reason,),) = outbox.rows("SELECT reason FROM delivery")
    assert reason.startswith("closed: SSLCertVerificationError: ")


@pytest.mark.parametrize("way", ["mllp", "http"])
def test_wrong_files_stop_the_start_with_their_place(outbox: Outbox, way: str) -> None:
    to = {"mllp": {"connect": "tcp:127.0.0.1:1"}, "http": {"url": "https://127.0.0.1:1/"}}[way]
    (outbox.folder / "feed.yaml").write_text(f"destinations:\n  payer:\n    {way}:\n      tls:\n        trust: none\n")
    with pytest.raises(ConfigError) as caught:
        outbox.run(lambda: True, {way: to | {"tls": {"trust": "none"}}})
    assert str(caught.value) == (
        f"{outbox.folder}/feed.yaml:5: destinations.payer.{way}.tls.trust: "
        f"{outbox.folder}/none: no such file or directory"
    )
