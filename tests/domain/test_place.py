"""Where in a message a value stands: told where the message says it, and nowhere else."""

import json
from typing import Any

import pytest

from hl7auth.domain.document import Document
from hl7auth.domain.path import read_path, value_at
from hl7auth.domain.place import Place, Said, place_of, read_said
from hl7auth.domain.values import AUT_FIELDS, hl7_date
from hl7auth.flow.decision import Outcome
from hl7auth.wire.message import NULL, Message, parse
from tests.messages import ASKED, IMAGING, THERAPY, VISIT, Trial, answer, aut, granted, message, request
from tests.store.stored import samples

DG1 = ("DG1|1|I10|", "DG1|2|I10|M54.5^Back pain^I10")


def said(raw: bytes) -> Said:
    found = read_said(parse(raw))
    assert found is not None
    return found


def of(outcome: Outcome, key: str, field: str) -> Place | None:
    document: Document = next(each.record.document for each in outcome.changes if each.record.key == key)
    return place_of(said(outcome.plan.raw), key, json.loads(json.dumps(document)), read_path(field))


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("expiration_date", "AUT[1]-5: 20260930"),
        ("lines[0].expiration_date", "AUT[2]-5 under PR1[1]: 20261031"),
        ("lines[1].authorized_treatments.quantity", "AUT[4]-9.1 under PR1[3]: 2"),
        ("lines[1].payor.code", "AUT[4]-2.1 under PR1[3]: ACME"),
        ("lines[1].procedure.text", "PR1[3]-3.2: 73721^Knee^C4"),
        ("lines[1]", "PR1[3]"),
        ("lines[0].status", "AUT[2]-9 under PR1[1]: 2"),
        ("identifier", "AUT[1]-6.1: PA1"),
        ("assigner", "AUT[1]-2.1: ACME"),
        ("patient.birth_date", "PID-7: 19800102"),
        ("patient.name", "PID-5: Quill^Ivo"),
        ("patient", "PID"),
        ("referral.originating_id", "RF1-6.1: R1"),
        ("diagnoses[0].code", "DG1[2]-3.1: M54.5^Back pain^I10"),
    ],
)
def test_places_of_an_answer(field: str, text: str) -> None:
    lines = (VISIT, granted("PA1", {5: "20261031"}), THERAPY, granted("PA2"), IMAGING, granted("PA1", {4: "20260402"}))
    raw = answer(*DG1, *lines, top=granted("PA1"), referral="R1")
    place = of(Trial().send(raw), "PA1@ACME", field)
    assert place is not None
    assert place.text == text


@pytest.mark.parametrize("field", ["status", "lines", "diagnoses", "concerns"])
def test_what_stands_nowhere_or_in_many_places_is_not_told(field: str) -> None:
    raw = answer(*DG1, VISIT, granted("PA1"), THERAPY, granted("PA1", {9: "0"}))
    place = of(Trial().send(raw), "PA1@ACME", field)
    assert place is None


def test_the_status_stands_where_it_was_said() -> None:
    trial = Trial()
    asked = trial.send(request(VISIT, ASKED, referral="R1"))
    told = of(asked, "?R1@FRONT:NORTH", "status")
    assert told is not None
    assert told.text == "MSH-9: RQA^I08"
    cases = [
        (answer(VISIT, granted("PA1"), referral="R1"), "PA1@ACME", "AUT-9 under PR1: 2"),
        (answer(VISIT, granted("PA1", {9: "", 8: "1"}), referral="R1"), "PA1@ACME", "AUT-4 under PR1: 20260401"),
        (answer(VISIT, granted("PA1", {13: "O", 14: "DE"}), referral="R1", version="2.8"), "PA1@ACME",
         "AUT-14 under PR1: DE"),
        (answer(VISIT, granted("PA1"), event="I11", referral="R1"), "PA1@ACME", "MSH-9: RPA^I11"),
    ]  # fmt: skip
    for raw, key, text in cases:
        place = of(trial.send(raw), key, "status")
        assert place is not None
        assert place.text == text


def test_what_an_answer_left_out_has_no_place_for_it() -> None:
    trial = Trial()
    trial.send(request(VISIT, ASKED, referral="R1"), answer(VISIT, granted("PA1"), referral="R1"))
    outcome = trial.send(answer(VISIT, granted("PA2"), referral="R1", control_id="D2"))
    assert outcome.changes[1].rule == "left out of a later snapshot"
    assert of(outcome, "PA1@ACME", "status") is None
    assert of(outcome, "PA1@ACME", "expiration_date") is None


def test_a_referral_without_an_aut_is_decided_by_rf1_1() -> None:
    trial = Trial()
    trial.send(request(VISIT, kind="REF", event="I12", referral="R1"))
    raw = answer(VISIT, kind="RRI", event="I12", referral="R1").replace(b"RF1|", b"RF1|R")
    place = of(trial.send(raw), "?R1@FRONT:NORTH", "status")
    assert place is not None
    assert place.text == "RF1-1: R"


def test_a_deleted_value_and_one_left_empty_stand_where_they_would() -> None:
    trial = Trial()
    trial.send(answer(VISIT, granted("PA1", {3: "Acme Health"})))
    emptied = trial.send(answer(VISIT, granted("PA1", {5: NULL}), control_id="D2"))
    found = [of(emptied, "PA1@ACME", field) for field in ("expiration_date", "lines[0].expiration_date", "payor_name")]
    assert [each and each.text for each in found] == [
        'AUT-5 under PR1: ""', 'AUT-5 under PR1: ""', "AUT-3 under PR1: (empty)",
    ]  # fmt: skip


def test_an_authorization_that_the_message_does_not_name_has_no_place() -> None:
    raw = answer(VISIT, granted("PA1"))
    document = json.loads(json.dumps(Trial().send(raw).changes[0].record.document))
    for field in ("expiration_date", "identifier", "status", "lines[0].status", "lines[0].procedure"):
        assert place_of(said(raw), "PA9@ACME", document, read_path(field)) is None
    assert place_of(said(message(aut())), "PA1@ACME", document, read_path("patient.id")) is None


def test_the_status_of_a_line_stands_where_it_was_said() -> None:
    trial = Trial()
    numbered = VISIT + "|" * 9 + "S|||||L1"
    asked = trial.send(request(numbered, aut({4: "20260401", 8: "3"}), THERAPY, referral="R1"))
    for field, text in (
        ("lines[0].priority", "PR1[1]-14.1: S"),
        ("lines[0].status", "MSH-9: RQA^I08"), ("lines[1].status", "MSH-9: RQA^I08"),
        ("lines[0].identifier", "PR1[1]-19.1: L1"), ("lines[0].effective_date", "AUT-4 under PR1[1]: 20260401"),
    ):  # fmt: skip
        place = of(asked, "?R1@FRONT:NORTH", field)
        assert place is not None
        assert place.text == text
    assert of(asked, "?R1@FRONT:NORTH", "lines[1].effective_date") is None


def test_what_an_action_code_deleted_stands_there() -> None:
    trial = Trial()
    head = {"version": "2.8", "referral": "R1"}
    trial.send(answer(VISIT, granted("PA1", {13: "O"}), THERAPY, granted("PA1", {13: "O"}), **head))
    gone = answer(THERAPY, granted("PA1", {13: "O", 29: "D"}), control_id="D2", **head)
    place = of(trial.send(gone), "PA1@ACME", "lines[1].status")
    assert place is not None
    assert place.text == "AUT-29 under PR1: D"
    document = {"key": "PA1@ACME", "lines": [{"procedure": {"code": "0"}}]}
    assert place_of(said(gone), "PA1@ACME", document, read_path("lines[0].status")) is None
    assert place_of(said(gone), "PA1@ACME", document, read_path("lines[7].status")) is None


@pytest.mark.parametrize("change", [(b"RPA^I08", b"ZPA^Z02"), (b"|2.5\r", b"|7.0\r")])
def test_what_the_standard_does_not_know_is_not_read(change: tuple[bytes, bytes]) -> None:
    assert read_said(parse(answer(VISIT, granted("PA1")).replace(*change))) is None


def test_every_aut_value_of_the_samples_stands_where_it_is_said_to() -> None:
    trial, checked = Trial(), 0
    for raw in samples():
        outcome = trial.send(raw)
        named = {change.record.key: change for change in outcome.changes if change.rule in ("request", "answer")}
        for key, change in named.items():
            document = json.loads(json.dumps(change.record.document))
            read = parse(raw)
            for path in _aut_paths(document):
                place = place_of(said(raw), key, document, path)
                if _new(change.before.document if change.before else {}, document, path):
                    assert place is not None, (key, path)
                    assert place.raw == _field(read, place), place
                    _says(str(place.raw), value_at(document, path))
                    checked += 1
    assert checked > 100


def _aut_paths(document: Document) -> list[tuple[str | int, ...]]:
    keys = [field.key for field in AUT_FIELDS]
    paths: list[tuple[str | int, ...]] = [(key,) for key in keys if key in document]
    for at, line in enumerate(document.get("lines", [])):
        paths += [("lines", at, key) for key in keys if key in line]
    return paths


def _new(before: Document, document: Document, path: tuple[str | int, ...]) -> bool:
    return bool(value_at(before, path) != value_at(document, path))


def _field(read: Message, place: Place) -> str:
    name, _, rest = place.path.partition("-")
    at = int(name[4:-1]) if "[" in name else 1
    return read.all(name[:3])[at - 1].field(int(rest.split(".")[0]))


def _says(raw: str, value: Any) -> None:
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value[:4].isdigit():
        assert hl7_date(said) == raw
    elif isinstance(value, dict):
        assert str(value.get("code") or value.get("quantity") or value.get("amount") or value.get("id") or "") in raw
