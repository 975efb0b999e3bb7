"""What waits and what came lately, asked of the store without reading all of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.flow.figures import Waiting
from hl7auth.flow.outbox import Settled, State
from hl7auth.flow.verdict import Act, Answer, Verdict
from hl7auth.observe import first_id, ids
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.delivery_table import IS_OPEN
from hl7auth.store.standing import CAME, Counted, came, last_messages, stopped, waiting, went
from tests.outbox import TO, Outbox, raw
from tests.store import postgres

AT = 1_800_000_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outbox]:
    found = Outbox(tmp_path, "" if request.param == "sqlite" else postgres.shared().database())
    yield found
    found.close()


def test_what_waits_goes_by_destination_and_state(outbox: Outbox) -> None:
    for number in range(4):
        outbox.put((f"lane{number}", raw(f"C{number}")), at=AT + number)
    outbox.put((("a", "b", "c"), raw("C9")), to="feed/other", at=AT)
    queue = outbox.queue()
    first, second, _ = queue.exchange([], 3, AT + 10).claimed
    sent, parked = (
        Settled(first, Verdict(Act.SENT, "AA"), Answer("AA")),
        Settled(second, Verdict(Act.STOP, "AE"), Answer("AE")),
    )
    queue.exchange([sent, parked], 0, AT + 20)
    queue.close()
    with outbox.engine.connect() as connection:
        assert waiting(connection) == {
            TO: Waiting(queued=1, in_flight=1, parked=1, oldest_at=AT + 1),
            "feed/other": Waiting(queued=1, oldest_at=AT),
        }
        assert stopped(connection) == {TO}
        assert went(connection, 0)[TO] == {
            State.SENT: Counted(1, AT + 20), State.PARKED: Counted(1, AT + 20), State.IN_FLIGHT: Counted(1, 0),
            State.QUEUED: Counted(1, 0),
        }  # fmt: skip


def test_nothing_waits_in_an_empty_store(outbox: Outbox) -> None:
    with outbox.engine.connect() as connection:
        assert (waiting(connection), stopped(connection), came(connection, 0), went(connection, 0)) == (
            {},
            set(),
            {},
            {},
        )


def test_messages_are_counted_since_a_time(outbox: Outbox) -> None:
    outbox._ids = iter([first_id(AT) - 1, first_id(AT), first_id(AT + 5_000_000)])  # type: ignore[assignment]
    for number, at in enumerate((AT - 1, AT, AT + 5_000_000)):
        outbox.put(("lane", raw(f"C{number}")), at=at)
    with outbox.engine.connect() as connection:
        assert came(connection, AT) == {"feed": {"accepted": Counted(2, AT + 5_000_000)}}
        assert came(connection, 0) == {"feed": {"accepted": Counted(3, AT + 5_000_000)}}
        assert went(connection, AT + 1_000_000) == {TO: {State.QUEUED: Counted(1, 0)}}
        assert last_messages(connection) == {"feed": AT + 5_000_000}


def test_ids_tell_the_time() -> None:
    new_id = ids(lambda: AT, worker=3)
    assert first_id(AT) <= new_id() < first_id(AT + 1_000)
    assert first_id(0) == 0


def test_what_waits_is_found_by_its_index_and_what_came_by_its_key(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/s.db")
    upgrade(engine)
    with engine.connect() as connection:
        for sql, expected in (
            (
                f"SELECT destination FROM delivery WHERE {IS_OPEN} AND part = 0 GROUP BY destination, state",
                "delivery_open",
            ),
            (CAME.format(p=1), "PRIMARY KEY"),
            ("SELECT destination FROM delivery WHERE message_id >= 1 AND part = 0", "delivery_message"),
        ):
            plan = " ".join(str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}"))
            assert expected in plan
    engine.dispose()
