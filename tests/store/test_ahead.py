"""Deciding before the turn: what another writer does meanwhile is seen, and nothing is decided on what was."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hl7auth.flow.decision import Disposition
from hl7auth.flow.intake import Plan, plan
from hl7auth.observe import ids, now
from hl7auth.store import deciding
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal
from tests.engine import answer, channel, request

first_id, second_id = ids(worker=0), ids(worker=1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path}/store.db")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def both(engine: Engine) -> Iterator[tuple[Journal, Journal]]:
    """Two writers over one store, each of which wrote before."""
    pair = Journal(engine, first_id), Journal(engine, second_id)
    yield pair
    for each in pair:
        each.close()


def planned(folder: Path, *raws: bytes) -> list[Plan]:
    taking = channel(folder)
    return [plan(raw, taking, now(), first_id) for raw in raws]


def warm(both: tuple[Journal, Journal], folder: Path) -> None:
    for number, each in enumerate(both):
        assert each.commit(planned(folder, request(f"W{number}")))[0].disposition is Disposition.ACCEPTED


def stored(engine: Engine, sql: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def test_what_was_decided_ahead_is_what_is_stored(
    engine: Engine, both: tuple[Journal, Journal], tmp_path: Path
) -> None:
    warm(both, tmp_path)
    first, second = both
    some, other = planned(tmp_path, request("C1", "PA1"), answer("A1", "C1")), planned(tmp_path, request("C2", "PA2"))
    second.decide_ahead(other)
    first.commit(some)
    (outcome,) = second.commit(other)
    assert outcome.disposition is Disposition.ACCEPTED
    assert outcome.plan.message_id != other[0].message_id  # an id of the time when it was decided
    assert stored(engine, "SELECT control_id FROM message ORDER BY id") == [
        ("W0",), ("W1",), ("C1",), ("A1",), ("C2",),
    ]  # fmt: skip


def test_an_authorization_that_another_changed_meanwhile_is_decided_anew(
    engine: Engine, both: tuple[Journal, Journal], tmp_path: Path
) -> None:
    warm(both, tmp_path)
    first, second = both
    granted = planned(tmp_path, request("C1", "PA1", "R1"), answer("A1", "C1", "PA1", "R1"))
    again = planned(tmp_path, answer("A2", "C1", "PA1", "R1"))
    second.decide_ahead(again)  # nothing is known of PA1 yet
    first.commit(granted)
    second.commit(again)
    versions = stored(
        engine, "SELECT version, current, control_id FROM authorization_version WHERE key = 'PA1@ACME' ORDER BY version"
    )
    assert [each[0] for each in versions] == list(range(1, len(versions) + 1))
    assert [each[1] for each in versions] == [0] * (len(versions) - 1) + [1]
    assert len(versions) >= 2


def test_the_same_message_at_two_writers_has_one_effect(
    engine: Engine, both: tuple[Journal, Journal], tmp_path: Path
) -> None:
    warm(both, tmp_path)
    first, second = both
    one, same = planned(tmp_path, request("C1", "PA1")), planned(tmp_path, request("C1", "PA1"))
    second.decide_ahead(same)
    (before,) = first.commit(one)
    (outcome,) = second.commit(same)
    assert outcome.disposition is Disposition.DUPLICATE
    assert outcome.reply == before.reply
    assert outcome.duplicate_of == before.plan.message_id


def test_more_that_came_meanwhile_goes_with_it(engine: Engine, both: tuple[Journal, Journal], tmp_path: Path) -> None:
    warm(both, tmp_path)
    _, second = both
    plans = planned(tmp_path, request("C1", "PA1", "R1"), answer("A1", "C1", "PA1", "R1"), answer("A2", "C1", "PA1"))
    second.decide_ahead(plans[:1])
    second.decide_ahead(plans[:2])
    outcomes = second.commit(plans)
    assert [each.disposition for each in outcomes] == [Disposition.ACCEPTED] * 3
    key = "SELECT version, current FROM authorization_version WHERE key = 'PA1@ACME' ORDER BY version"
    versions = stored(engine, key)
    assert versions == [(number, int(number == len(versions))) for number in range(1, len(versions) + 1)]
    upgrade(opened := open_database(f"sqlite:///{tmp_path}/alone.db"))
    alone = Journal(opened)
    alone.commit(plans)
    assert stored(opened, key) == versions
    alone.close()
    opened.dispose()


def test_ids_that_another_overtook_are_given_anew(
    engine: Engine, both: tuple[Journal, Journal], tmp_path: Path
) -> None:
    warm(both, tmp_path)
    first, second = both
    early, late = planned(tmp_path, request("EARLY")), planned(tmp_path, request("LATE"))
    first.decide_ahead(early)
    second.decide_ahead(late)
    second.commit(late)
    first.commit(early)
    assert stored(engine, "SELECT control_id FROM message ORDER BY id")[-2:] == [("LATE",), ("EARLY",)]


def test_other_plans_than_those_are_not_taken_for_them(
    engine: Engine, both: tuple[Journal, Journal], tmp_path: Path
) -> None:
    warm(both, tmp_path)
    first, _ = both
    left, kept = planned(tmp_path, request("LEFT")), planned(tmp_path, request("KEPT"))
    first.decide_ahead(left)
    (outcome,) = first.commit(kept)
    assert outcome.plan.header.control_id == "KEPT"
    assert stored(engine, "SELECT 1 FROM message WHERE control_id = 'LEFT'") == []


def test_what_holds_is_not_decided_again(
    engine: Engine, both: tuple[Journal, Journal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm(both, tmp_path)
    first, second = both
    others, plans = planned(tmp_path, request("C2", "PA2")), planned(tmp_path, request("C1", "PA1"))
    second.decide_ahead(plans)
    first.commit(others)  # about another authorization, and under an id of before
    with monkeypatch.context() as broken:
        broken.setattr(deciding, "decide", _fail)
        (outcome,) = second.commit(plans)
    assert outcome.disposition is Disposition.ACCEPTED


def test_a_store_that_is_gone_stops_nothing(
    engine: Engine, both: tuple[Journal, Journal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm(both, tmp_path)
    _, second = both
    plans = planned(tmp_path, request("C1", "PA1"))
    with monkeypatch.context() as broken:
        broken.setattr("hl7auth.store.known.KnownToBatch.load", _fail)
        second.decide_ahead(plans)
    (outcome,) = second.commit(plans)
    assert outcome.disposition is Disposition.ACCEPTED


def _fail(*_: object) -> None:
    raise OSError("gone")
