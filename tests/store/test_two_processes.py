"""Two real processes and one authorization, on SQLite and on PostgreSQL: the same versions as of one process."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from hl7auth.flow.channel import load_channels
from hl7auth.observe import MAX_WORKERS
from hl7auth.store.database import open_database
from hl7auth.store.rebuild import rebuild
from tests.messages import VISIT, answer, granted, request
from tests.serving import Line, Serving
from tests.store import postgres

CONNECTIONS, ROUNDS = 6, 6
TYPED = {13: "SPEC"}


def hammering(connection: int) -> Iterator[bytes]:
    """What one connection sends about PA1: snapshots, actions and requests, each with a number of its own."""
    head: dict[str, Any] = {"version": "2.8", "referral": "R1"}
    tell = head | {"modes": ("AL", "NE")}  # or an answer would not be answered
    for each in range(ROUNDS):
        count, name = {9: str(connection * ROUNDS + each + 1)} | TYPED, f"{connection}-{each}"
        yield answer(VISIT, granted("PA1", count), control_id=f"S{name}", **tell)
        yield answer(VISIT, granted("PA1", count | {29: "U"}), control_id=f"U{name}", **tell)
        yield request(VISIT, granted("PA1", {8: name[0]} | TYPED), event="I09", control_id=f"R{name}", **head)
        yield answer(VISIT, granted("PA1", count | {29: "D"}), control_id=f"D{name}", **tell)
        yield answer(VISIT, granted("PA1", count | {29: "A"}), control_id=f"A{name}", **tell)


@contextmanager
def processes(backend: str, folder: Path, url: str) -> Iterator[list[int]]:
    """The ports of two processes over one database: of one engine on SQLite, of two on a server."""
    if backend == "sqlite":
        with Serving(folder, 2, url) as both:
            yield [both.port]
        return
    (folder / "other").mkdir()
    with Serving(folder, 1, url) as one, Serving(folder / "other", 1, url) as other:
        yield [one.port, other.port]


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_two_processes_end_with_the_same_versions_as_one(tmp_path: Path, backend: str) -> None:
    url = f"sqlite:///{tmp_path}/engine.db" if backend == "sqlite" else postgres.shared().database()
    with processes(backend, tmp_path, url) as ports:

        def hammer(connection: int) -> list[str]:
            with Line(ports[connection % len(ports)]) as line:
                return [line.ask(raw)[:2] for raw in hammering(connection)]

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            replies = [reply for told in pool.map(hammer, range(CONNECTIONS)) for reply in told]
    assert set(replies) == {"AA", "CA", "CE"}  # some U, D and A came when another one had been there before
    engine = open_database(url)
    with engine.connect() as store:
        ids = [row[0] for row in store.execute(text("SELECT id FROM message"))]
        sql = "SELECT version, current FROM authorization_version WHERE key = 'PA1@ACME' ORDER BY version"
        versions = [tuple(row) for row in store.execute(text(sql))]
    if backend == "sqlite":
        assert {number % MAX_WORKERS for number in ids} == {0, 1}  # both took some
    assert versions == [(number, int(number == len(versions))) for number in range(1, len(versions) + 1)]
    assert len(versions) > CONNECTIONS * ROUNDS
    channels = {channel.name: channel for channel in load_channels(tmp_path / "channels")}
    report = rebuild(engine, channels)  # one process, one message after the other in the order of their ids
    assert (report.differences, report.messages) == ([], len(ids))
    engine.dispose()
