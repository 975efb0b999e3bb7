"""Paths into the document: spelled, read, looked up, and refused with what there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.domain.path import Path, read_path, require_known, spelled, value_at
from hl7auth.errors import UserError

LINE = {"procedure": {"code": "97110"}, "authorized_units": {"quantity": "12"}}
DOCUMENT = {
    "key": "PA1@ACME", "status": "approved", "patient": {"id": "77001"}, "lines": [LINE, {"procedure": {}}],
    "expiration_date": "2026-09-30", "diagnoses": [{"code": "M54.5"}], "concerns": ["PA0@ACME"], "version": 1,
}  # fmt: skip
names = st.sampled_from(["lines", "status", "authorized_units", "quantity", "a_b"])
steps = st.lists(st.one_of(names, st.integers(0, 99_999)), max_size=5)


@given(names, steps)
def test_what_is_spelled_is_read_again(first: str, rest: list[str | int]) -> None:
    path: Path = (first, *rest)
    assert read_path(spelled(path)) == path


@pytest.mark.parametrize(("text", "key"), [("AUT-5", "expiration_date"), ("aut-6", "identifier"), ("AUT.1", "plan")])
def test_an_aut_field_may_be_named_by_its_number(text: str, key: str) -> None:
    assert read_path(text) == (key,)


@pytest.mark.parametrize(
    "text", ["", "Lines", "lines[x]", "lines[1", "lines..a", ".a", "AUT-29", "AUT-77", "a b", "[0]"]
)
def test_what_is_no_path_is_said_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match="write it like expiration_date"):
        read_path(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("expiration_date", "2026-09-30"),
        ("lines[0].authorized_units.quantity", "12"),
        ("lines[1].procedure", None),
        ("lines[1].authorized_units.unit", None),
        ("reason", None),
        ("concerns[0]", "PA0@ACME"),
        ("diagnoses[0].code", "M54.5"),
    ],
)
def test_known_paths_are_looked_up(text: str, value: object) -> None:
    path = read_path(text)
    require_known(path, [DOCUMENT])
    assert value_at(DOCUMENT, path) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("expiry_date", r"no 'expiry_date' \(did you mean 'expiration_date'\? there is: status, "),
        ("zzz", r"an authorization has no 'zzz' \(there is: status, "),
        ("version", "has no 'version'"),
        ("provenance", "has no 'provenance'"),
        ("lines[2].status", r"there is no lines\[2\] \(there is: lines\[0\] to lines\[1\]\); what has ended"),
        ("diagnoses[1]", r"there is no diagnoses\[1\] \(there is: diagnoses\[0\]\)"),
        ("authorized_disciplines[0]", r"there is no authorized_disciplines\[0\] \(there is: none\)"),
        ("lines.status", r"lines is a list; write lines\[0\].status"),
        ("lines[0].expiry", r"lines\[0\] has no 'expiry' \(.*procedure, identifier, priority, status, plan"),
        ("lines[0].authorized_units.amount", r"authorized_units has no 'amount' \(there is: quantity, unit\)"),
        ("expiration_date.year", "expiration_date is a single value: it has no 'year'"),
        ("payor[0]", "payor is no list"),
        ("expiration_date[0]", "expiration_date is no list"),
    ],
)
def test_unknown_paths_are_refused_with_what_there_is(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        require_known(read_path(text), [DOCUMENT])


def test_a_field_that_an_earlier_version_had_is_known() -> None:
    require_known(("odd",), [{"odd": "1"}, DOCUMENT])
    with pytest.raises(UserError, match="no 'odd'"):
        require_known(("odd",), [DOCUMENT])
