"""Deliveries are settled and claimed in the transactions that store messages; what fails there hurts no message."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from twisted.internet.task import Clock

from hl7auth.flow.channel import Channel
from hl7auth.flow.intake import plan
from hl7auth.flow.verdict import Answer, Policy
from hl7auth.net.dispatch import POLL_SECONDS, Dispatcher
from hl7auth.net.parcel import Done, Parcel, World
from hl7auth.net.riding import Riding
from hl7auth.observe import ids, now
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal
from hl7auth.store.queue import Queue
from tests.engine import channel, request

TITLE = "Sent on\ndestinations: {payer: {file: {folder: out}}}\norder_by: channel"


class Way:
    """A way to a destination that a test opens and answers on."""

    ended, connections = True, 1

    def __init__(self, room: int = 99) -> None:
        self.room, self.alive = room, True
        self.sent: list[tuple[Parcel, Done]] = []

    @property
    def control_ids(self) -> list[str]:
        """What was sent, in its order."""
        return [parcel.raw.split(b"|")[9].decode() for parcel, _ in self.sent]

    def start(self, ready: Callable[[], None], /) -> None:
        """There is room from the beginning."""

    def send(self, parcels: list[Parcel], done: Done, /) -> None:
        """Keeps them."""
        self.sent += [(parcel, done) for parcel in parcels]

    def answer(self, code: str = "AA", at: int = -1) -> None:
        """One of them is answered."""
        parcel, done = self.sent[at]
        done(parcel, Answer(code))

    def stop(self) -> None:
        """Nothing is open."""


class Process:
    """A journal and a dispatcher of one destination, over one file; time stands still unless a test moves it."""

    def __init__(self, folder: Path) -> None:
        self.engine: Engine = open_database(f"sqlite:///{folder}/store.db")
        upgrade(self.engine)
        self.channel: Channel = channel(folder, title=TITLE)
        self.clock: Any = Clock()
        self.way = Way()
        queue = Queue(self.engine, f"{self.channel.name}/payer", "me")
        self.dispatcher = Dispatcher(World(self.clock, now, lambda: 0.5), queue, self.way, Policy(first_seconds=0.01))
        riding = Riding(lambda: (self.dispatcher,))
        self.new_id = ids()
        self.journal = Journal(self.engine, None, riding.beside, riding.kept)

    def take(self, *control_ids: str) -> list[str]:
        """Takes messages in, in one batch; returns what became of each."""
        raws = [request(each, number=f"PA{each}") for each in control_ids]
        plans = [plan(raw, self.channel, now(), self.new_id) for raw in raws]
        found = [outcome.disposition for outcome in self.journal.commit(plans)]
        self.dispatcher.wake()
        return [str(each) for each in found]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds, or a statement does."""
        with self.engine.begin() as connection:
            result = connection.exec_driver_sql(sql)
            return [tuple(row) for row in result] if result.returns_rows else []

    @property
    def states(self) -> list[str]:
        """The states of all deliveries, in their order."""
        return [row[0] for row in self.rows("SELECT state FROM delivery ORDER BY id")]

    def close(self) -> None:
        """Lets go of the file."""
        self.journal.close()
        self.engine.dispose()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    process.dispatcher.start()
    process.clock.advance(0)
    yield process
    process.close()


def test_a_message_is_claimed_with_it_and_settled_with_the_next(process: Process) -> None:
    """The clock stands still, so the dispatcher has no turn of its own."""
    assert process.take("C1") == ["accepted"]
    assert (process.way.control_ids, process.states) == (["C1"], ["in_flight"])
    process.way.answer()
    assert process.states == ["in_flight"]
    process.take("C2")
    assert (process.way.control_ids, process.states) == (["C1", "C2"], ["sent", "in_flight"])


def test_what_waits_behind_in_its_lane_is_sent_without_another_transaction(process: Process) -> None:
    process.take("C1", "C2", "C3")
    assert (process.way.control_ids, process.states) == (["C1"], ["in_flight", "queued", "queued"])
    process.way.answer()
    process.way.answer()
    assert process.way.control_ids == ["C1", "C2", "C3"]
    process.take("C4")
    assert process.states == ["sent", "sent", "in_flight", "queued"]


def test_who_finds_nobody_to_go_with_goes_alone(process: Process) -> None:
    process.take("C1")
    process.way.answer()
    process.clock.advance(POLL_SECONDS)
    assert process.states == ["sent"]


def test_a_destination_without_a_connection_claims_nothing(process: Process) -> None:
    process.way.alive = False
    process.take("C1")
    assert (process.way.sent, process.states) == ([], ["queued"])


def test_a_message_of_a_batch_that_fails_takes_no_delivery_of_the_others(process: Process) -> None:
    """The batch is tried again message by message, and what the first try claimed was never claimed."""
    process.rows(
        "CREATE TRIGGER bad BEFORE INSERT ON message WHEN new.control_id = 'C2' BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    assert process.take("C1", "C2", "C3") == ["accepted", "failed", "accepted"]
    assert (process.way.control_ids, process.states) == (["C1"], ["in_flight", "queued"])
    process.way.answer()
    process.take("C4")
    process.way.answer()
    assert process.way.control_ids == ["C1", "C3", "C4"]


def test_deliveries_that_can_not_be_written_cost_no_message(process: Process) -> None:
    process.rows("CREATE TRIGGER bad BEFORE UPDATE ON delivery BEGIN SELECT RAISE(ABORT, 'no'); END")
    assert process.take("C1") == ["accepted"]
    assert (process.way.sent, process.states) == ([], ["queued"])
    assert process.take("C2") == ["accepted"]
    process.rows("DROP TRIGGER bad")
    for _ in range(20):
        process.clock.advance(POLL_SECONDS)
    assert (process.way.control_ids, process.states) == (["C1"], ["in_flight", "queued"])
    process.way.answer()
    process.take("C3")
    assert process.states == ["sent", "in_flight", "queued"]


def test_a_transaction_that_is_lost_with_deliveries_keeps_no_message_and_sends_nothing(process: Process) -> None:
    """As SQLite does on a full disk: everything is taken back, and the sender is told so."""
    process.rows("CREATE TRIGGER bad BEFORE UPDATE ON delivery BEGIN SELECT RAISE(ROLLBACK, 'no'); END")
    assert process.take("C1") == ["failed"]
    assert (process.way.sent, process.states) == ([], [])
    assert process.rows("SELECT count(*) FROM message") == [(0,)]
    process.rows("DROP TRIGGER bad")
    assert process.take("C1") == ["accepted"]
    assert process.way.control_ids == ["C1"]


def test_a_claim_that_somebody_else_has_taken_over_is_lost(process: Process) -> None:
    process.take("C1")
    process.rows("UPDATE delivery SET owner = 'another'")
    process.way.answer()
    process.take("C2")
    assert process.states == ["in_flight", "queued"]
    assert process.way.control_ids == ["C1"]


def test_after_a_refusal_nothing_of_its_lane_is_sent(process: Process) -> None:
    process.take("C1", "C2")
    process.way.answer("CR")
    process.take("C3")
    assert process.states == ["parked", "queued", "queued"]
    assert process.way.control_ids == ["C1"]
