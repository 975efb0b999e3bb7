"""Sequence numbers and continued messages in a real store, SQLite and PostgreSQL: durable, shared, all or nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_protocol import Agreed, Continued
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.linked_plan import plan_linked, plan_overdue
from hl7auth.observe import ids, now
from hl7auth.store import links
from hl7auth.store.archive import read_message
from hl7auth.store.database import connect, open_database
from hl7auth.store.journal import Journal
from hl7auth.store.links import overdue
from hl7auth.store.rebuild import rebuild
from hl7auth.store.schema import metadata
from tests.engine import answer, request
from tests.flow.test_continuation import WHOLE, codes, parts
from tests.flow.test_sequence import sent, told
from tests.messages import channel
from tests.store import postgres

BOTH = channel(protocol=Agreed(sequence="check", continuation="join", continued=Continued(seconds=60)))
MINUTE = 60_000_000


class Shelf:
    """A database with as many journals as there are processes; message times are as they are, or as a test says."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = open_database(url)
        metadata.create_all(self.engine)  # what migrations make, sooner
        self._new_id = ids()
        self.journals: list[Journal] = []

    def journal(self) -> Journal:
        self.journals.append(Journal(self.engine))
        return self.journals[-1]

    def take(self, journal: Journal, *raws: bytes, at: int | None = None, on: Channel = BOTH) -> list[Outcome]:
        return journal.commit([plan_linked(raw, on, at or now(), self._new_id, (), "peer:1") for raw in raws])

    def give_up(self, journal: Journal, series_id: int, at: int) -> Outcome:
        return journal.commit([plan_overdue(series_id, BOTH, at, self._new_id)])[0]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with connect(self.engine.execution_options(reads_only=True)) as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]

    def close(self) -> None:
        for journal in self.journals:
            journal.close()
        self.engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    found = Shelf(f"sqlite:///{tmp_path}/s.db" if request.param == "sqlite" else postgres.shared().database())
    yield found
    found.close()


def test_p68_the_number_is_that_of_the_store_whoever_asks(shelf: Shelf) -> None:
    one, other = shelf.journal(), shelf.journal()
    assert told(shelf.take(one, sent("1"))[0]) == ["MSA|AA|C1|pended|1"]
    assert told(shelf.take(other, sent("2"))[0]) == ["MSA|AA|C2|pended|2"]
    gap, right = shelf.take(one, sent("4"), sent("3"))
    assert (gap.disposition, right.disposition) == (Disposition.REFUSED, Disposition.ACCEPTED)
    again = shelf.take(other, sent("3"))[0]
    assert (again.disposition, again.replies) == (Disposition.DUPLICATE, right.replies)
    after_restart = Journal(shelf.engine)
    assert told(shelf.take(after_restart, sent("0"))[0])[0].endswith("|4")
    after_restart.close()
    assert shelf.rows("SELECT sender, facility, last FROM sequence") == [("EHR", "NORTH", 3)]


def test_a_commit_that_fails_moves_no_number(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = shelf.journal()
    shelf.take(journal, sent("1"))

    def broken(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(links.Links, "write", broken)
        failed = shelf.take(journal, sent("2"), sent("3"))
    assert [each.disposition for each in failed] == [Disposition.FAILED, Disposition.FAILED]
    assert shelf.rows("SELECT last FROM sequence") == [(1,)]
    assert [each.disposition for each in shelf.take(journal, sent("2"), sent("3"))] == [Disposition.ACCEPTED] * 2


def test_p69_parts_are_durable_and_joined_by_whoever_gets_the_last(shelf: Shelf) -> None:
    one, other = shelf.journal(), shelf.journal()
    first, second, third = parts(modes=("AL", "AL"))
    kept = shelf.take(one, first)[0]
    assert (kept.disposition, codes(kept)) == (Disposition.PART, ["CA|C1"])
    assert shelf.rows("SELECT raw FROM message") == [(first,)]
    assert codes(shelf.take(other, second)[0]) == ["CA|C2"]
    last = shelf.take(one, third)[0]
    assert codes(last) == ["CA|C3", "AA|C1"]
    stored = shelf.rows("SELECT disposition, control_id FROM message ORDER BY id")
    assert stored == [("part", "C1"), ("part", "C2"), ("part", "C3"), ("accepted", "C1")]
    assert shelf.rows("SELECT state FROM continuation") == [("joined",)]
    again = shelf.take(other, third)[0]
    assert (again.disposition, again.replies) == (Disposition.DUPLICATE, last.replies)


def test_the_archive_knows_the_parts_of_a_whole_and_the_whole_of_a_part(shelf: Shelf) -> None:
    shelf.take(shelf.journal(), *parts())
    found = [row[0] for row in shelf.rows("SELECT id FROM message ORDER BY id")]
    with connect(shelf.engine.execution_options(reads_only=True)) as connection:
        part, whole = read_message(connection, found[1]), read_message(connection, found[3])
    assert part["part"] == {"number": 2, "of": str(found[3]), "state": "joined"}
    assert whole["parts"] == [str(each) for each in found[:3]]
    assert whole["raw"] == WHOLE
    assert "parts" not in part


def test_parts_and_others_in_one_commit_are_decided_in_their_order(shelf: Shelf) -> None:
    first, second, third = parts()
    outcomes = shelf.take(
        shelf.journal(), first, request("A", "PA1"), second, answer("B", "A", "PA1"), third, request("D", "PA1")
    )
    assert [str(each.disposition) for each in outcomes] == ["part", "accepted"] * 3
    whole = outcomes[4].joined
    assert whole is not None
    versions = shelf.rows("SELECT message_id FROM authorization_version")
    assert {row[0] for row in versions} >= {outcomes[1].plan.message_id, whole.plan.message_id}
    ordered = [outcomes[1].plan.message_id, outcomes[4].plan.message_id, whole.plan.message_id]
    assert ordered == sorted(ordered)
    assert whole.plan.message_id < outcomes[5].plan.message_id


def test_a_part_that_never_comes_refuses_the_whole_for_all_to_see(shelf: Shelf) -> None:
    journal, start = shelf.journal(), now()
    first, second, third = parts(modes=("AL", "AL"))
    shelf.take(journal, first, second, at=start)
    (series,) = shelf.rows("SELECT id FROM continuation")[0]
    assert overdue(shelf.engine, BOTH.name, start - 1) == []
    assert overdue(shelf.engine, BOTH.name, start) == [series]
    assert shelf.give_up(journal, series, start + MINUTE - 1).disposition is Disposition.IGNORED
    refused = shelf.give_up(journal, series, start + MINUTE)
    assert (refused.disposition, codes(refused), refused.plan.peer) == (Disposition.REFUSED, ["AE|C1"], "peer:1")
    assert (
        shelf.give_up(journal, series, start + MINUTE).disposition is Disposition.IGNORED
    )  # another process looked too
    assert shelf.rows("SELECT disposition, code FROM message ORDER BY id") == [("part", "AA")] * 2 + [("refused", "AE")]
    assert shelf.rows("SELECT count(*) FROM authorization_version") == [(0,)]
    late = shelf.take(journal, third)[0]
    assert [each.rule for each in late.findings] == ["continuation.unknown"]
    anew = shelf.take(journal, first, second, third)
    assert [str(each.disposition) for each in anew] == ["part"] * 3
    assert anew[2].joined is not None
    assert anew[2].joined.disposition is Disposition.ACCEPTED


def test_a_refused_whole_can_be_sent_again_from_its_first_part(shelf: Shelf) -> None:
    journal = shelf.journal()
    bad = parts(WHOLE.replace(b"|ACME|", b"||"))
    last = shelf.take(journal, *bad)[2]
    assert codes(last) == ["AE|C1"]
    again = shelf.take(journal, bad[2])[0]
    assert (again.disposition, again.replies) == (Disposition.DUPLICATE, last.replies)
    mended = shelf.take(journal, *parts())
    assert [str(each.disposition) for each in mended] == ["part"] * 3
    assert codes(mended[2]) == ["AA|C1"]


def test_parts_have_sequence_numbers_of_their_own(shelf: Shelf) -> None:
    journal = shelf.journal()
    numbers = [
        part.replace(b"|P|2.5|", f"|P|2.5|{at}|".encode()).replace(b"||K", b"|K") for at, part in enumerate(parts(), 1)
    ]
    numbers[0] = numbers[0].replace(b"|P|2.5\r", b"|P|2.5|1\r")
    outcomes = shelf.take(journal, *numbers)
    assert [line.split("|")[4] for each in outcomes for line in told(each)] == ["1", "2", "3"]
    again = shelf.take(journal, numbers[2])[0]
    assert again.disposition is Disposition.DUPLICATE


def test_a_rebuild_of_linked_messages_comes_out_as_the_live_store(shelf: Shelf) -> None:
    journal, start = shelf.journal(), now()
    shelf.take(journal, sent("1"), sent("3"), sent("0"), sent("2"), sent("2"), *parts(), parts()[1])
    shelf.take(journal, parts(name="L")[0].replace(b"|C1|", b"|C7|"), at=start)
    (series,) = shelf.rows("SELECT id FROM continuation WHERE state = 'open'")[0]
    shelf.give_up(journal, series, start + MINUTE)
    report = rebuild(shelf.engine, {BOTH.name: BOTH})
    assert report.differences == []
    assert (report.messages, report.links, report.failed) == (12, 8, 0)
