"""The figures of a running engine, in one process and in several: over HTTP, and by `channel status`."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.inline import run
from tests.engine import answer, request
from tests.outbox import Listener, ack
from tests.serving import SECONDS, Line, Serving

SHOWN = ("--metrics", "tcp:0")
LOOK_SECONDS = 0.05


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def until(port: int, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The figures as soon as they are so: they are looked for once a second."""
    for _ in range(int(SECONDS / LOOK_SECONDS)):
        status: dict[str, Any] = json.loads(get(port, "/status")[1])
        if holds(status):
            return status
        time.sleep(LOOK_SECONDS)
    raise AssertionError(status)


def metrics(port: int) -> dict[tuple[str, ...], float]:
    """Every value by its name and its labels."""
    _, text = get(port, "/metrics")
    families = text_string_to_metric_families(text.decode())
    return {(each.name, *map(str, each.labels.values())): each.value for one in families for each in one.samples}


def forwarding(listener: Listener) -> dict[str, str]:
    mllp = f"{{connect: 'tcp:127.0.0.1:{listener.port}'}}"
    dead = "{connect: 'unix:/nonexistent/socket'}"
    routes = "- {to: [payer], events: [RQA]}\n- {to: [dead], events: [RPA]}"
    return {"title": f"Seen\ndestinations:\n  payer: {{mllp: {mllp}}}\n  dead: {{mllp: {dead}}}\nroutes:\n{routes}"}


@pytest.mark.parametrize("workers", [1, 2])
def test_all_that_happened_is_counted_wherever_it_did(tmp_path: Path, workers: int) -> None:
    with Listener() as listener, Serving(tmp_path, workers, options=SHOWN, **forwarding(listener)) as engine:
        port = engine.shows()
        lines = [Line(engine.port) for _ in range(4)]
        for number, line in enumerate(lines):
            assert line.ask(request(f"C{number}", referral=f"R{number}")).startswith("AA")
            assert line.ask(request(f"C{number}", referral=f"R{number}")).startswith("AA")
            assert line.ask(request(f"X{number}").replace(b"|P|2.5", b"|T|2.5")).startswith("AR")
        lines[0].send(answer("A1", "C1"))
        found = until(port, lambda it: it["channels"][0]["received"] == 13 and it["destinations"][0]["sent"] == 4)
        (channel,) = found["channels"]
        assert [channel[name] for name in ("accepted", "rejected", "duplicate", "failed", "other", "connections")] == [
            5, 4, 4, 0, 0, 4,
        ]  # fmt: skip
        assert channel["last_message"] is not None
        payer, dead = found["destinations"]
        assert (payer["state"], payer["queued"], payer["connections"]) == ("up", 0, 1)
        assert (dead["state"], dead["queued"], dead["sent"], dead["connections"]) == ("down", 1, 0, 0)
        values = metrics(port)
        name = "referral-intake"
        assert values["hl7auth_messages_total", name, "duplicate"] == 4
        assert values["hl7auth_connections_open", name] == 4
        assert values["hl7auth_batch_messages_sum",] == 13
        assert values["hl7auth_workers", "serving"] == workers
        assert values["hl7auth_destination_state", f"{name}/dead", "down"] == 1
        assert values["hl7auth_destination_state", f"{name}/payer", "down"] == 0
        assert values["hl7auth_queue_messages", f"{name}/dead", "queued"] == 1
        assert values["hl7auth_queue_oldest_seconds", f"{name}/dead"] > 0
        assert values["hl7auth_deliveries_total", "sent", f"{name}/payer"] == 4
        assert values["hl7auth_last_message_timestamp_seconds", name] >= values["hl7auth_start_time_seconds",]
        for line in lines:
            line.close()
        until(port, lambda it: it["channels"][0]["connections"] == 0)


def test_a_worker_that_is_killed_takes_no_figure_with_it(tmp_path: Path) -> None:
    with Serving(tmp_path, 2, options=SHOWN) as engine:
        port = engine.shows()
        for number in range(4):
            with Line(engine.port) as line:
                line.ask(request(f"C{number}"))
        for pid in engine.workers():
            os.kill(pid, signal.SIGKILL)
            engine.until_logged("worker.ended")
        engine.until_logged("worker.ready")
        engine.until_logged("worker.ready")
        with Line(engine.port) as line:
            line.ask(request("C9"))
        assert until(port, lambda it: it["channels"][0]["received"] >= 5)["channels"][0]["received"] == 5


def test_nothing_that_a_sender_sends_becomes_a_label_or_is_shown(tmp_path: Path) -> None:
    secret = b"QUILLSECRET"
    refusing = Listener(lambda _, control_id: ack(control_id, "AE", "101"))
    with refusing as listener, Serving(tmp_path, 1, options=SHOWN, **forwarding(listener)) as engine:
        port = engine.shows()
        before = set(metrics(port))
        with Line(engine.port) as line:
            for place in (b"C1", b"EHR", b"NORTH", b"RQA", b"I08", b"|P|", b"2.5", b"77001", b"Quill", b"ACME"):
                marked = b"|" + secret + b"|" if place == b"|P|" else secret
                line.ask(request("C1").replace(place, marked, 1))
            line.ask(secret)
        until(port, lambda it: it["channels"][0]["received"] == 11 and bool(it["destinations"][0]["failed"]))
        assert set(metrics(port)) == before
        for page in ("/metrics", "/status", "/readyz"):
            assert secret not in get(port, page)[1]


def test_it_is_ready_while_the_database_is_there(tmp_path: Path) -> None:
    with Serving(tmp_path, 1, options=SHOWN) as engine:
        port = engine.shows()
        assert get(port, "/healthz") == (200, b'{"alive":true}')
        assert get(port, "/readyz") == (200, b'{"database":true,"channels":true,"workers":true}')
        away = tmp_path / "away.db"
        engine.database.rename(away)
        until(port, lambda it: not it["ready"]["database"])
        assert get(port, "/metrics")[0] == 200
        assert get(port, "/readyz") == (503, b'{"database":false,"channels":true,"workers":true}')
        values = metrics(port)
        assert values["hl7auth_database_up",] == 0
        assert not [name for name, *_ in values if name.startswith("hl7auth_queue")]
        away.rename(engine.database)
        until(port, lambda it: it["ready"]["database"])
        assert get(port, "/readyz")[0] == 200


def test_status_asks_the_engine_or_else_the_database(tmp_path: Path) -> None:
    words = ("channel", "status", "--channels", str(tmp_path / "channels"))
    with Listener() as listener:
        with Serving(tmp_path, 1, options=SHOWN, **forwarding(listener)) as engine:
            port, url = engine.shows(), f"sqlite:///{engine.database}"
            with Line(engine.port) as line:
                line.ask(request("C1"))
                line.ask(request("C2").replace(b"|P|2.5", b"|T|2.5"))
                line.send(answer("A1", "C1"))
                until(port, lambda it: it["channels"][0]["received"] == 3 and it["destinations"][0]["sent"] == 1)
            told = run(*words, "--metrics", str(port), "--format", "json")
            text = run(*words, "referral-intake", "--metrics", f"tcp:{port}:interface=127.0.0.1")
            unknown = run(*words, "south", "--metrics", str(port))
            wrong = run(*words, "--metrics", "unix:/tmp/x")
        stored = run(*words, "--metrics", str(port), "--format", "json", database=url)
        said = run(*words, "--metrics", str(port), database=url)
        nothing = run(*words, "--metrics", str(port), database=f"sqlite:///{tmp_path}/no.db")
    assert (told.code, text.code, stored.code, said.code) == (0, 0, 1, 1)
    for found, source in ((told.document, "engine"), (stored.document, "database")):
        assert found["source"] == source
        (channel,) = found["channels"]
        assert [channel[name] for name in ("received", "accepted", "rejected", "duplicate")] == [3, 2, 1, 0]
        payer, dead = found["destinations"]
        assert (payer["sent"], dead["queued"], dead["parked"]) == (1, 1, 0)
        assert dead["oldest_seconds"] >= 0
    assert text.out.startswith("engine ")
    assert "referral-intake/payer  up" in text.out
    assert f"no engine answers at 127.0.0.1:{port}" in said.out
    assert unknown.err == "hl7auth: unknown channel 'south' (known: referral-intake)\n"
    assert "'unix:/tmp/x' is no endpoint like tcp:9575" in wrong.err
    assert f"no engine answers at 127.0.0.1:{port}" in nothing.err
    assert "there is no database at" in nothing.err


class Stranger(BaseHTTPRequestHandler):
    """Something else that speaks HTTP."""

    def do_GET(self) -> None:
        """Answers as many do."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "UP"}')

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def test_what_is_no_engine_is_not_taken_for_one() -> None:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        found = run("channel", "status", "--metrics", str(server.server_port))
        thread.join()
    assert found.code == 2
    assert f"what answers at 127.0.0.1:{server.server_port} does not show the figures of an engine (200)" in found.err


def test_what_is_watched_is_for_people() -> None:
    again = run("channel", "status", "--watch", "--format", "json")
    assert (again.code, "--watch is for people" in again.err) == (2, True)
