"""What a batch asks of the store: a fixed number of statements, however much there is."""

from pathlib import Path

import pytest
from sqlalchemy import event

from hl7auth.flow.intake import plan
from hl7auth.observe import ids, now
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal
from tests.messages import VISIT, answer, aut, granted, request, shipped_channel

new_id = ids()
HEAD = {"version": "2.8", "referral": "R1"}


def acting(code: str, number: str) -> str:
    return aut({6: number, 9: "1", 13: "SPEC", 29: code})


def statements(folder: Path, size: int, raws: list[bytes]) -> int:
    """How many statements a batch takes where so many authorizations stand in the referral."""
    engine = open_database(f"sqlite:///{folder}/{size}.db")
    upgrade(engine)
    journal = Journal(engine)
    some = [text for number in range(size) for text in (VISIT, granted(f"PA{number}", {13: "SPEC"}))]
    first = [answer(*some, to="X", control_id="D0", **HEAD)]
    journal.commit([plan(raw, shipped_channel(), now(), new_id) for raw in first])
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *call: said.append(call[2]))
    outcomes = journal.commit([plan(raw, shipped_channel(), now(), new_id) for raw in raws])
    assert {outcome.disposition for outcome in outcomes} == {"accepted"}
    journal.close()
    engine.dispose()
    return len(said)


@pytest.mark.parametrize(
    "raws",
    [
        [answer(VISIT, granted("PA0", {13: "SPEC"}), to="X", control_id="D2", **HEAD)],
        [answer(VISIT, acting("U", "PA0"), to="X", control_id="D2", **HEAD)],
        [answer(VISIT, acting("X", "PA0"), to="X", control_id=f"D{each}", **HEAD) for each in range(2, 9)],
        [request(event="I11", **HEAD)],
    ],
    ids=["snapshot", "action", "batch", "cancellation"],
)
def test_the_statements_of_a_batch_do_not_grow_with_what_is_stored(tmp_path: Path, raws: list[bytes]) -> None:
    assert statements(tmp_path, 2, raws) == statements(tmp_path, 60, raws)


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
def test_a_request_made_again_is_known_by_its_new_control_id_alone(tmp_path: Path, together: bool) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/known.db")
    upgrade(engine)
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
