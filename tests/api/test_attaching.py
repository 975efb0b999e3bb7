"""Charges put to authorizations by many at once, on both databases: nothing is spent twice, all of it is recorded."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert

from hl7auth.api import attaching
from hl7auth.api.attaching import Asked
from hl7auth.api.problems import Problem
from hl7auth.api.state import Settings, State
from hl7auth.api.writer import Done, Writer, by_itself
from hl7auth.flow.intake import plan
from hl7auth.store import audit, balance_table, desk_table, tokens  # noqa: F401 - so that their tables are made
from hl7auth.store.balances import read_holding
from hl7auth.store.charges import row
from hl7auth.store.database import open_database
from hl7auth.store.journal import Journal
from hl7auth.store.schema import metadata
from hl7auth.store.units import drift
from tests.messages import shipped_channel
from tests.store.postgres import shared

KEY, START = "PA1@ACME", 1_778_407_200_000_000
BOSS = tokens.Caller("boss", frozenset({tokens.ADMIN}), frozenset(), frozenset())


class Store:
    """A store with one authorization and charges that it covers, and the API of several processes over it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = open_database(url)
        metadata.create_all(self.engine)
        self.states: list[State] = []

    def grant(self, number: str, units: int) -> None:
        head = "MSH|^~\\&|ACME|HQ|CLINIC|HILL|20260501||RPA^I08^RPA_I08|C1|P|2.9\rMSA|AA|Q1\r"
        aut = f"AUT|P|ACME||20260501|20260531|{number}^ACME|||||||REHAB|AP||||{units}^VS\r"
        rest = "PRD|RP|Quill^Orla\rPID|1||M1^^^HILL^MR||Lantern^Ilse\rPR1|1||97110^^C4||20260501\r"
        journal, ids = Journal(self.engine), itertools.count(START + int(number[2:]))
        (outcome,) = journal.commit([plan((head + aut + rest).encode(), shipped_channel(), START, lambda: next(ids))])
        journal.close()
        assert outcome.changes

    def charges(self, count: int) -> list[str]:
        names = [f"CH{at}" for at in range(count)]
        with self.engine.begin() as connection:
            connection.execute(insert(balance_table.charge), [
                {"id": name, "member": "M1", "payor": "ACME", "dos": "2026-05-10", "code": "97110", "modifiers": "[]",
                 "units": 1000, "kind": "visits", "amount": "", "issues": json.dumps(["auth_required"]), "key": "",
                 "line": "", "number": "", "at": 1, "row_version": 1}
                for name in names
            ])  # fmt: skip
        return names

    def api(self) -> State:
        engine = open_database(self.url, pooled=True)
        channel = shipped_channel()
        self.states.append(State(Settings(engine, {channel.name: channel})))
        return self.states[-1]

    def close(self) -> None:
        for state in self.states:
            state.close()
            state.engine.dispose()
        self.engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else shared().database())
    yield made
    made.close()


def ask(state: State, name: str, key: str = KEY) -> "Future[Any]":
    return state.writer.ask(attaching.together, Asked(BOSS, name, key, START))


def came_of(asked: "Future[Any]") -> str:
    """`new`, `again`, or the word of the problem."""
    problem = asked.exception()
    if problem is None:
        return "new" if asked.result()["attached"] else "again"
    assert isinstance(problem, Problem), problem
    return problem.word


def test_a_thousand_at_once_never_overspend_and_the_same_again_counts_once(store: Store) -> None:
    """Two processes get a thousand charges each, the same ones: 700 fit."""
    store.grant("PA1", 700)
    names = store.charges(1_000)
    both = [store.api(), store.api()]
    asked = [(name, ask(state, name)) for name in names for state in both]
    answers: dict[str, list[str]] = {}
    for name, each in asked:
        answers.setdefault(name, []).append(came_of(each))
    attached = {name for name, said in answers.items() if "new" in said}
    assert len(attached) == 700
    for name, said in answers.items():
        once = [["again", "new"], ["insufficient-units", "new"], ["new", "not-covered"]]
        refused = ["insufficient-units", "not-covered"]
        assert sorted(said) in once if name in attached else all(each in refused for each in said), (name, said)
    with store.engine.begin() as connection:
        found = read_holding(connection, KEY)
        assert found is not None
        assert found.holding.whole.used == 700
        assert drift(connection) == []
        assert {name for name in names if row(connection, name).key} == attached
        verified = audit.verify(connection)
        assert (verified.rows, verified.fault) == (700, "")


def together(state: State, *asked: tuple[str, str], caller: tokens.Caller = BOSS) -> list[str]:
    """What comes of attaches that one transaction does."""
    with state.writing() as connection:
        done = attaching.together(connection, [Asked(caller, name, key, START) for name, key in asked])
    return [
        each.result.word if isinstance(each.result, Problem) else "new" if each.result["attached"] else "again"
        for each in done
    ]


def used(store: Store, *keys: str) -> list[str]:
    with store.engine.begin() as connection:
        found = [read_holding(connection, key) for key in keys]
        assert drift(connection) == []
    return [str(each.holding.whole.used) if each else "" for each in found]


def test_what_is_asked_for_together_sees_what_the_others_took(store: Store) -> None:
    store.grant("PA1", 2)
    store.grant("PA2", 5)
    store.charges(4)
    state = store.api()
    other = "PA2@ACME"
    asked = (("CH0", KEY), ("CH1", KEY), ("CH2", KEY), ("CH0", KEY), ("CH1", other), ("CH9", KEY), ("CH3", "PA9@ACME"))
    said = together(state, *asked)
    assert said == ["new", "new", "not-covered", "again", "new", "missing", "missing"]
    assert used(store, KEY, other) == ["1", "1"]  # CH1 was moved
    assert together(state, ("CH2", KEY), ("CH0", other)) == ["new", "new"]
    assert used(store, KEY, other) == ["1", "2"]


def test_a_token_that_is_bound_gets_no_further_than_alone(store: Store) -> None:
    store.grant("PA1", 2)
    store.charges(2)
    state = store.api()
    for caller in (
        BOSS._replace(payors=frozenset({"OTHER"})),
        BOSS._replace(payors=frozenset({"ACME"}), channels=frozenset({"elsewhere"})),
    ):
        assert together(state, ("CH0", KEY), ("NO", KEY), caller=caller) == ["missing", "missing"]
    assert together(state, ("CH0", KEY), caller=BOSS._replace(payors=frozenset({"ACME"}))) == ["new"]


def test_what_fails_harms_nobody_else(store: Store) -> None:
    """One job raises, another the database refuses: the rest is done, and each is told its own."""
    names = store.charges(3)
    state = store.api()

    def enter(name: str) -> Any:
        def work(connection: Connection) -> Done:
            connection.exec_driver_sql(f"UPDATE charge SET amount = '{name}' WHERE id = '{name}'")
            if name == "CH1":
                raise ValueError(name)
            if name == "CH2":
                connection.exec_driver_sql("INSERT INTO charge (id) VALUES ('x')")
            return Done(name, [audit.Deed(START, "boss", "test", name)])

        return work

    asked = [state.writer.ask(by_itself, enter(name)) for name in names]
    state.saw("boss", "charge.read", "CH0")
    state.flush()
    assert asked[0].result() == "CH0"
    assert isinstance(asked[1].exception(), ValueError)
    assert asked[2].exception() is not None
    with store.engine.begin() as connection:
        assert [row(connection, name).amount for name in names] == ["CH0", "", ""]
        assert {each["action"] for each in audit.listed(connection, "CH0", None, 10)} == {"test", "charge.read"}


def test_what_can_not_be_recorded_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database is away reads are noted, up to a bound, and recorded when it is back."""
    monkeypatch.setattr("hl7auth.api.writer.MOST_WAITING", 3)
    monkeypatch.setattr("hl7auth.api.writer.LATER", 0.01)
    engine: Engine = open_database(f"sqlite:///{tmp_path}/store.db")
    writer = Writer(engine.begin)
    deed = audit.Deed(START, "boss", "charge.read", "CH0")
    for _ in range(3):
        writer.note(deed)
    with pytest.raises(Problem, match="can not be recorded") as refused:
        writer.note(deed)
    assert refused.value.status == 503
    with pytest.raises(Exception, match="no such table"):
        writer.flush()
    metadata.create_all(engine)
    writer.flush()
    writer.note(deed)
    writer.close()
    with engine.begin() as connection:
        assert audit.verify(connection).rows == 4
    engine.dispose()


def test_balances_follow_without_the_disk_and_everything_else_with_it(store: Store) -> None:
    store.grant("PA1", 5)
    state = store.api()
    state.follow()
    assert used(store, KEY) == ["0"]
    with state.writing() as connection:
        is_file = connection.dialect.name == "sqlite"
        said = connection.exec_driver_sql("PRAGMA synchronous" if is_file else "SHOW synchronous_commit").scalar()
        assert said == (2 if is_file else "on")
