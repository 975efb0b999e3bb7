"""Units on both databases: nothing is spent twice, whoever asks at once, and what others say is followed."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from hl7auth.flow.intake import plan
from hl7auth.store.balance_table import charge as charges
from hl7auth.store.balances import (
    catch_up,
    forget,
    holdings_of_member,
    is_behind,
    nearly_spent,
    read_holding,
    refresh,
    unread_about,
)
from hl7auth.store.database import open_database
from hl7auth.store.journal import Journal
from hl7auth.store.schema import metadata
from hl7auth.store.units import Attached, Missing, NotCovered, attach, drift, reverse, validate
from tests.messages import shipped_channel
from tests.store.postgres import shared

KEY = "PA1@ACME"
MAY = date(2026, 5, 10)


class Store:
    def __init__(self, url: str) -> None:
        self.engine = open_database(url)
        metadata.create_all(self.engine)  # the same as migrations make, sooner
        self.journal = Journal(self.engine)
        self.number = 0

    def grant(self, units: str = "10", number: str = "PA1", says: str = "AP", lines: str = "", more: str = "") -> None:
        """A message of the payor."""
        self.number += 10
        first = self.number
        aut = f"AUT|P|ACME||20260501|20260531|{number}^ACME|||||||REHAB|{says}||||{units}^VS{more}"
        head = f"MSH|^~\\&|ACME|HQ|CLINIC|HILL|20260501||RPA^I08^RPA_I08|C{first}|P|2.9\rMSA|AA|Q{first}\r"
        body = f"{aut}\rPRD|RP|Quill^Orla\rPID|1||M1^^^HILL^MR||Lantern^Ilse\rPR1|1||97110^^C4||20260501\r{lines}"
        at = 1_772_359_200_000_000 + first
        ids = iter(range(first, first + 3))
        (outcome,) = self.journal.commit([plan((head + body).encode(), shipped_channel(), at, lambda: next(ids))])
        assert outcome.changes, outcome.findings

    def charge(self, name: str, units: int = 1000, code: str = "97110", dos: str = "2026-05-10") -> None:
        row = {
            "id": name, "member": "M1", "payor": "ACME", "dos": dos, "code": code, "modifiers": "[]", "units": units,
            "kind": "visits", "amount": "", "issues": json.dumps(["auth_required"]), "key": "", "line": "",
            "number": "", "at": 1, "row_version": 1,
        }  # fmt: skip
        with self.engine.begin() as connection:
            connection.execute(charges.insert(), row)

    def attach(self, name: str, key: str = KEY) -> Attached:
        with self.engine.begin() as connection:
            return attach(connection, name, key, "tester", 5)

    def reverse(self, name: str) -> bool:
        with self.engine.begin() as connection:
            return reverse(connection, name, "tester", 6)

    def used(self, key: str = KEY) -> Any:
        with self.engine.begin() as connection:
            found = read_holding(connection, key)
            assert found is not None
            assert drift(connection) == []
            return found.holding.whole.used

    def whole(self, connection: Connection) -> Any:
        found = read_holding(connection, KEY)
        assert found is not None
        return found.holding.whole


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else shared().database())
    yield made
    made.journal.close()
    made.engine.dispose()


def test_attach_reverse_and_move(store: Store) -> None:
    store.grant()
    store.grant(number="PA2")
    store.charge("A", 2500)
    assert store.attach("A") == Attached(KEY, "", "PA1", new=True)
    assert store.used() == Decimal("2.5")
    assert store.attach("A").new is False
    assert store.used() == Decimal("2.5")
    moved = store.attach("A", "PA2@ACME")
    assert (moved.moved_from, store.used(), store.used("PA2@ACME")) == (KEY, 0, Decimal("2.5"))
    assert store.reverse("A") is True
    assert store.reverse("A") is False
    assert store.used("PA2@ACME") == 0
    assert store.attach("A").new is True
    with pytest.raises(Missing, match="no charge 'B'"):
        store.attach("B")
    with pytest.raises(Missing, match="no authorization 'NONE@X'"):
        store.attach("A", "NONE@X")
    assert store.used() == Decimal("2.5")  # what failed has moved nothing


def test_what_does_not_fit_is_not_attached(store: Store) -> None:
    store.grant("3")
    for name, units, dos in (("A", 2000, "2026-05-10"), ("B", 2000, "2026-05-10"), ("C", 1000, "2026-06-10")):
        store.charge(name, units, dos=dos)
    store.attach("A")
    for name, why in (("B", ["UNITS"]), ("C", ["NOT_ACTIVE", "DOS_OUT_OF_WINDOW"])):
        with pytest.raises(NotCovered) as refused:
            store.attach(name)
        assert refused.value.reasons == why
    assert store.used() == 2


def test_validation_clears_what_required_the_authorization(store: Store) -> None:
    store.grant()
    store.charge("A")

    def looked_at() -> list[str]:
        with store.engine.begin() as connection:
            return validate(connection, "A")

    assert looked_at() == ["auth_required"]
    store.attach("A")
    assert looked_at() == []
    store.grant("0.5")  # amended down
    assert looked_at() == ["authorization_overused"]
    store.grant("10")
    assert looked_at() == []
    store.reverse("A")
    assert looked_at() == ["auth_required"]


def test_many_at_once_never_overspend(store: Store) -> None:
    store.grant("25")
    names = [f"C{at}" for at in range(60)]
    for name in names:
        store.charge(name)

    def one(name: str) -> int:
        with suppress(NotCovered):
            return store.attach(name).new
        return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, names)) == 25
    assert store.used() == 25


def test_the_same_charge_many_times_at_once_counts_once(store: Store) -> None:
    store.grant("25")
    store.charge("A", 3000)
    with ThreadPoolExecutor(8) as pool:
        assert sum(each.new for each in pool.map(store.attach, ["A"] * 24)) == 1
    assert store.used() == 3
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(store.reverse, ["A"] * 24)) == 1
    assert store.used() == 0


def test_what_the_payor_says_was_used_and_is_planned_counts(store: Store) -> None:
    store.grant("10", more="|7|4")
    store.charge("A", 4000)
    with pytest.raises(NotCovered):
        store.attach("A")
    with store.engine.begin() as connection:
        while not catch_up(connection):
            pass
        assert [each.holding.key for each in nearly_spent(connection, MAY, "", 10)] == [KEY]  # 7 + 4 of 10
    store.grant("10", more="|12")
    with store.engine.begin() as connection:
        while not catch_up(connection):
            pass
        whole = store.whole(connection)
        assert (whole.overused, whole.remaining) == (True, -2)


def test_a_line_with_an_amount_of_its_own_is_used_with_the_whole(store: Store) -> None:
    store.grant("10", lines="AUT|P|ACME||||PA1^ACME|||||||REHAB|AP||||3^VS\r")
    for name, units in (("A", 2000), ("B", 2000)):
        store.charge(name, units)
    assert store.attach("A").line == "97110"
    with pytest.raises(NotCovered):
        store.attach("B")
    assert store.used() == 2
    store.reverse("A")
    assert store.attach("B").new


def test_the_balances_follow_the_messages(store: Store) -> None:
    with store.engine.begin() as connection:
        assert catch_up(connection)
    store.grant("10")
    with store.engine.begin() as connection:
        assert is_behind(connection)
        catch_up(connection)
        assert not is_behind(connection)
        (found,) = holdings_of_member(connection, "M1", 10)
        assert (found.holding.key, found.holding.whole.approved) == (KEY, Decimal(10))
        assert found.holding.codes == {"97110"}
    store.charge("A", 9000)
    store.attach("A")
    with store.engine.begin() as connection:
        assert [each.holding.key for each in nearly_spent(connection, MAY, "", 10)] == [KEY]
        assert nearly_spent(connection, date(2026, 6, 1), "", 10) == []
        assert nearly_spent(connection, MAY, "", 10, ["OTHER"]) == []
        forget(connection)
        catch_up(connection)
        assert store.whole(connection).used == 9
    store.grant("10", says="DE")
    with store.engine.begin() as connection:
        catch_up(connection)
        assert nearly_spent(connection, MAY, "", 10) == []


def test_under_an_open_amendment_the_last_decision_stays_in_force(store: Store) -> None:
    store.grant("10")
    store.grant("20", says="PE")
    store.charge("A")
    assert store.attach("A").new
    with store.engine.begin() as connection:
        assert store.whole(connection).approved == 10


def test_what_names_a_member_or_a_number_is_read_without_the_rest(store: Store) -> None:
    for number in ("PA1", 'PA"2', "PA11"):
        store.grant("10", number=number)

    def about(word: str) -> list[str]:
        with store.engine.connect() as connection:
            rows = unread_about(connection, word, 100)
            refresh(connection, rows)
            connection.commit()
        return [row.key for row in rows]

    assert about("PA1") == [KEY]
    assert about("PA1") == []  # it is known by now
    assert about('PA"2') == ['PA"2@ACME']
    assert about("M1") == ["PA11@ACME"]
    with store.engine.connect() as connection:
        assert len(holdings_of_member(connection, "M1", 10)) == 3
        assert is_behind(connection)
    store.grant("20")
    assert about("PA1") == [KEY]
