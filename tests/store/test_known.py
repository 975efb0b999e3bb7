"""What a batch asks of the store: a fixed number of statements, however much there is."""

import json
import re
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from hl7auth.flow.intake import plan
from hl7auth.observe import ids, now
from hl7auth.store.database import open_database
from hl7auth.store.journal import Journal
from hl7auth.store.known import _records_sql, _same_message_sql
from hl7auth.store.schema import metadata
from tests.messages import VISIT, answer, aut, granted, request, shipped_channel
from tests.store.stored import steps

new_id = ids()
HEAD = {"version": "2.8", "referral": "R1"}


def acting(code: str, number: str) -> str:
    return aut({6: number, 9: "1", 13: "SPEC", 29: code})


_MORE = (
    "WITH RECURSIVE more (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM more WHERE number + 1 < {size})"
    " INSERT INTO authorization_version SELECT 'PA' || number || '@ACME', version, current, status, referral,"
    " requester, control_id, message_id, at, rule, document FROM authorization_version, more"
    " WHERE key = 'PA0@ACME' AND {size} > 1"
)


def statements(folder: Path, size: int, raws: list[bytes]) -> int:
    """How many statements a batch takes where so many authorizations stand in the referral, granted to one request."""
    engine = open_database(f"sqlite:///{folder}/{size}.db")
    metadata.create_all(engine)  # what migrations make, sooner
    journal = Journal(engine)
    first = [
        request(VISIT, aut({8: "3", 13: "SPEC"}), control_id="C0", **HEAD),
        answer(VISIT, granted("PA0", {13: "SPEC"}), to="C0", control_id="D0", **HEAD),
    ]
    journal.commit([plan(raw, shipped_channel(), now(), new_id) for raw in first])
    keys = [f"PA{number}@ACME" for number in range(size)]
    with engine.begin() as connection:  # as if one message had named them all, sooner
        connection.exec_driver_sql(_MORE.format(size=size))
        granted_to = "UPDATE authorization_version SET document = json_set(document, '$.authorizations', json(?)) WHERE"
        connection.exec_driver_sql(f"{granted_to} key LIKE '?%'", (json.dumps(keys),))
    journal.close()
    said = _heard(engine)
    outcomes = journal.commit([plan(raw, shipped_channel(), now(), new_id) for raw in raws])
    assert {outcome.disposition for outcome in outcomes} == {"accepted"}
    journal.close()
    engine.dispose()
    return len([statement for statement, _ in groupby(said) if not statement.startswith("PRAGMA")])


def _heard(engine: Engine) -> list[str]:
    """What SQLite is told from its next connection on, up to the first value: many rows of one statement are alike."""
    said: list[str] = []

    def listen(driver: Any, _record: object) -> None:
        driver.set_trace_callback(lambda sql: said.append(re.split(r"['\d?]", sql)[0]))

    engine.dispose()
    event.listen(engine, "connect", listen)
    return said


@pytest.mark.parametrize(
    "raws",
    [
        [answer(VISIT, granted("PA0", {9: "5", 13: "SPEC"}), to="X", control_id="D2", **HEAD)],
        [answer(VISIT, acting("U", "PA0"), to="X", control_id="D2", **HEAD)],
        [answer(VISIT, acting("X", "PA0"), to="X", control_id=f"D{each}", **HEAD) for each in range(2, 9)],
        [request(event="I11", **HEAD)],
        [answer(VISIT, granted("PA0", {9: "5", 13: "SPEC"}), to="C0", control_id="D2", version="2.8")],
    ],
    ids=["snapshot", "action", "batch", "cancellation", "snapshot of a request"],
)
def test_the_statements_of_a_batch_do_not_grow_with_what_is_stored(tmp_path: Path, raws: list[bytes]) -> None:
    few, more, many = (statements(tmp_path, size, raws) for size in (1, 100, 10_000))
    assert few <= more == many <= 12  # of one alone, nothing is asked about the others


def test_the_statements_of_a_batch_do_not_grow_with_its_messages(tmp_path: Path) -> None:
    def batch(count: int) -> list[bytes]:
        return [
            answer(VISIT, acting("A", f"PB{each}"), to="X", control_id=f"D1{each}", **HEAD) for each in range(count)
        ]

    few, many = (statements(tmp_path, size, batch(count)) for size, count in ((2, 2), (3, 700)))
    assert few == many


@pytest.mark.parametrize("many", [501, 20_000])
def test_many_are_asked_for_by_the_index_too(tmp_path: Path, many: int) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/known.db")
    metadata.create_all(engine)  # what migrations make, sooner
    with engine.connect() as connection:
        for column, index in (("key", "PRIMARY"), ("referral", "_referral"), ("control_id", "_asked")):
            plans = steps(connection, _records_sql(column, 0, "?"), (json.dumps(["R1"] * many),))
            assert any("SEARCH authorization_version USING" in each for each in plans), (index, plans)
        plans = steps(connection, _same_message_sql(0, "?"), (json.dumps([["C1", 1]] * many),))
        assert any("SEARCH message USING INDEX message_control_id" in each for each in plans), plans
    engine.dispose()


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
def test_a_request_made_again_is_known_by_its_new_control_id_alone(tmp_path: Path, together: bool) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/known.db")
    metadata.create_all(engine)  # what migrations make, sooner
    journal = Journal(engine)
    head = {"version": "2.5", "referral": "R1"}
    raws = [
        request(VISIT, aut({8: "3"}), control_id="C1", **head),
        request(VISIT, aut({8: "9"}), control_id="C2", event="I09", **head),
        answer(VISIT, granted("PA1"), to="C1"),
    ]
    plans = [plan(raw, shipped_channel(), now(), new_id) for raw in raws]
    batches = [plans] if together else [[each] for each in plans]
    outcomes = [outcome for batch in batches for outcome in journal.commit(batch)]
    assert [change.record.key for change in outcomes[-1].changes] == ["PA1@ACME"]
    journal.close()
    engine.dispose()


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
def test_an_answer_that_names_its_receiver_by_half_ends_what_stood_in_the_referral(
    tmp_path: Path, together: bool
) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/known.db")
    metadata.create_all(engine)  # what migrations make, sooner
    journal = Journal(engine)
    head = {"version": "2.5", "referral": "R1"}
    raws = [
        answer(VISIT, granted("PA1"), control_id="D0", to="X9", **head),
        request(VISIT, aut({8: "3"}), **head),
        answer(VISIT, granted("PA2"), receiver="FRONT|", **head),
    ]
    plans = [plan(raw, shipped_channel(), now(), new_id) for raw in raws]
    batches = [plans[:1], plans[1:]] if together else [[each] for each in plans]
    outcomes = [outcome for batch in batches for outcome in journal.commit(batch)]
    ended = [(change.record.key, change.record.status) for change in outcomes[-1].changes]
    assert sorted(ended) == [("?R1@FRONT:NORTH", "approved"), ("PA1@ACME", "cancelled"), ("PA2@ACME", "approved")]
    journal.close()
    engine.dispose()


@pytest.mark.parametrize("together", [1, 2, 9])
def test_a_referral_that_is_sent_to_two_payors_is_known_as_two_requests(tmp_path: Path, together: int) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/known.db")
    metadata.create_all(engine)  # what migrations make, sooner
    journal = Journal(engine)
    head = {"version": "2.5", "referral": "R1"}
    beta, east = {2: "BETA", 8: "3"}, "BETAPAY|EAST"
    raws = [
        request(VISIT, aut({8: "3"}), **head),
        request(VISIT, aut(beta), receiver=east, control_id="C2", **head),
        request(VISIT, aut(beta | {8: "4"}), receiver=east, control_id="C3", event="I09", **head),
        answer(VISIT, granted("PB1", {2: "BETA"}), to="X9", sender=east, **head),
        answer(VISIT, granted("PA1"), to="X9", control_id="D2", **head),
        request(receiver=east, event="I11", control_id="C4", **head),
    ]
    plans = [plan(raw, shipped_channel(), now(), new_id) for raw in raws]
    batches = [plans[start : start + together] for start in range(0, len(plans), together)]
    outcomes = [outcome for batch in batches for outcome in journal.commit(batch)]
    other = "?R1@FRONT:NORTH~BETAPAY@EAST"
    assert [[(each.record.key, each.record.version) for each in outcome.changes] for outcome in outcomes] == [
        [("?R1@FRONT:NORTH", 1)],
        [(other, 1)],
        [(other, 2)],
        [("PB1@BETA", 1), (other, 3)],
        [("PA1@ACME", 1), ("?R1@FRONT:NORTH", 2)],
        [(other, 4), ("PB1@BETA", 2)],
    ]
    journal.close()
    engine.dispose()
