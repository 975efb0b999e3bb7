"""The table of moves: each that there is, and each that there is not; and a decision in all its vocabularies."""

import itertools

import pytest

from hl7auth.domain.crosswalk import CROSSWALK, GRANTING, Decision, approval_status
from hl7auth.domain.process import MOVES, Event, Forbidden, Process, allowed, moved

_KNOWN = {(move.source, move.event): move.target for move in MOVES}
#: as the operations guide tells it, and not as the table of the engine does
_TOLD = {
    "Entry": {"submit": "In Process", "cancel": "Cancelled"},
    "In Process": {"technical_error": "In Process", "pend": "Pended", "approve": "Approved", "refuse": "Denied"},
    "Pended": {"tochange": "Changed", "resume": "In Process", "deny": "Denied", "cancel": "Cancelled"},
    "Changed": {"submit": "In Process", "cancel": "Cancelled"},
    "Approved": {"cancel": "Cancelled", "unfinalize": "Changed"},
    "Denied": {"unfinalize": "Changed"},
    "Cancelled": {},
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(Process, Event)))
def test_each_move_of_each_state(state: Process, event: Event) -> None:
    target = _TOLD[state].get(event)
    if target is not None:
        assert moved(state, event) == target
        return
    with pytest.raises(Forbidden) as told:
        moved(state, event)
    assert told.value.allowed == allowed(state) == tuple(_TOLD[state])
    assert (told.value.state, told.value.event) == (state, event)
    assert all(each in str(told.value) for each in _TOLD[state])


def test_no_move_stands_twice() -> None:
    assert len(_KNOWN) == len(MOVES)


@pytest.mark.parametrize(
    ("decision", "x12", "code", "process"),
    [
        ("certified_total", "A1", "AP", "Approved"),
        ("certified_partial", "A2", "PA", "Approved"),
        ("modified", "A6", "MO", "Approved"),
        ("not_certified", "A3", "DE", "Denied"),
        ("pended", "A4", "PE", "Pended"),
        ("cancelled", "C", "CA", "Cancelled"),
        ("contact_payer", "CT", "CT", "Pended"),
        ("not_required", "NA", "NA", "Approved"),
    ],
)
def test_a_decision_in_every_vocabulary(decision: str, x12: str, code: str, process: str) -> None:
    row = CROSSWALK[Decision(decision)]
    assert (row.x12, row.code, row.process) == (x12, code, process)
    said = approval_status(Decision(decision))
    assert (said["code"], said["system"]) == (code, "HL70563")
    assert (said["alternate"]["code"], said["alternate"]["system"]) == (x12, "X12306")


def test_what_grants_is_what_ends_as_approved() -> None:
    assert {each for each, row in CROSSWALK.items() if row.process is Process.APPROVED} == GRANTING
