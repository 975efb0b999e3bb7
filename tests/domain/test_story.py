"""The story of an authorization: differences in sentences, lines followed through versions, causes found."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.domain.document import Document, shown
from hl7auth.domain.path import value_at
from hl7auth.domain.story import DEEDS, Source, Version, cause, differences, opening, said, sentences
from hl7auth.flow.channel_model import SUPPORTED
from tests.messages import Trial
from tests.store.stored import START, samples

codes = st.sampled_from(["A", "B", "C", ""])
lines = st.lists(
    st.builds(lambda code, units: {"procedure": {"code": code}, "units": units}, codes, st.integers(1, 3)), max_size=5
)


def version(number: int, rule: str = "answer", source: Source | None = None, **document: Any) -> Version:
    return Version(number, START, "approved", rule, {"status": "approved", **document}, number, source)


def told(before: Document | None, after: Document) -> list[str]:
    return sentences(version(2, **after), version(1, **before) if before else None)[1:]


def line(code: str, **values: Any) -> dict[str, Any]:
    return {"procedure": {"code": code, "text": code.title()}, **values}


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ({}, {"effective_date": "2026-04-01"}, "The effective date was set to 2026-04-01."),
        ({}, {"approval_status": {"code": "AP"}}, "The approval status was set to AP."),
        ({}, {"disciplines": [{"code": "PT"}]}, "The disciplines were set to PT."),
        ({}, {"sent_to": {"application": "UM", "payor": "ACME"}}, "It was sent to application UM, payor ACME."),
        (
            {"sent_to": {"payor": "ACME"}},
            {"sent_to": {"payor": "BETA"}},
            "It was sent to payor BETA; before: payor ACME.",
        ),
        ({}, {"authorizations": ["PA1@ACME", "PA2@ACME"]}, "It was answered with PA1@ACME, PA2@ACME."),
        ({}, {"concerns": ["PA1@ACME"]}, "It is about PA1@ACME."),
        ({}, {"actions": {"PA1@ACME": "D"}}, "What it asks for (AUT-29) is PA1@ACME D."),
        ({"authorizations": ["PA1@ACME"]}, {}, "The authorizations were removed; before: PA1@ACME."),
        ({"reason": "old"}, {"reason": "new"}, "The reason changed from old to new."),
        ({"reason": "old"}, {}, "The reason was removed; before: old."),
        (
            {"authorized_units": {"quantity": "3"}},
            {"authorized_units": {"quantity": "5", "unit": "VISITS"}},
            "The authorized units changed from 3 to 5 VISITS.",
        ),
        ({}, {"lines": [line("KNEE")]}, "Line 1, Knee (KNEE), began."),
        ({"lines": [line("KNEE", reason="x")]}, {"lines": []}, "Line 1, Knee (KNEE), ended."),
        ({}, {"lines": [{"reason": "x", "status": "denied"}]}, "Line 1, began: reason x; status denied."),
        (
            {"lines": [line("HIP"), line("KNEE", status="pended")]},
            {"lines": [line("KNEE", status="partially_approved"), line("HIP")]},
            "Line 1, Knee (KNEE): the status changed from pended to partially approved.",
        ),
    ],
)
def test_a_change_is_a_sentence(before: Document, after: Document, sentence: str) -> None:
    base = {"status": "approved", "version": 1}
    assert told(base | before, base | {"version": 2} | after) == [sentence]


def test_who_did_what_when() -> None:
    source = Source(77, "referral-intake", "PAYER", "SOUTH", "RPA^I08", "P1")
    assert opening(version(2, source=source)) == (
        "2026-03-01T10:00:00.000+00:00: PAYER of SOUTH answered the request (RPA^I08, control id P1, message 77): "
        "version 2, approved, by the rule 'answer'."
    )
    assert "message 2, which the archive no longer holds" in opening(version(2))
    unnamed = Source(7, "c", "", "", "ZPA^Z02", "P1")
    assert "a sender without a name answered (ZPA^Z02" in opening(version(2, source=unnamed))
    assert "a sender without a name sent (ZPA^Z02" in opening(version(2, "updated", source=unnamed))


def test_every_event_has_its_deed() -> None:
    assert set(DEEDS) == {f"{kind}^{event}" for kind, events in SUPPORTED.items() for event in events}


def test_nothing_that_shows_is_said_too() -> None:
    assert told({"reason": "x"}, {"reason": "x"}) == ["Nothing that shows changed."]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        ({"code": "A"}, "A"),
        ({"code": "A", "text": "Alpha"}, "Alpha (A)"),
        ({"amount": "5", "currency": "USD"}, "5 USD"),
        ({"family": "Moss", "given": "Ada", "id": "7"}, "Moss, Ada (7)"),
        ([{"code": "A"}, {"text": "B"}], "A, B"),
        ({"originating_id": "R1", "external_id": "X2"}, "originating id R1, external id X2"),
        ({"system": "L"}, "system L"),
    ],
)
def test_values_in_words(value: Any, words: str) -> None:
    assert said(value) == words


@given(lines, lines)
def test_lines_begin_and_end_as_often_as_there_are_more_or_fewer(old: list[Any], new: list[Any]) -> None:
    found = differences({"lines": old}, {"lines": new})
    kinds = [each.what for each in found]
    assert len(old) - kinds.count("ended") == len(new) - kinds.count("began")
    for each in found:
        document = {"lines": old if each.what == "ended" else new}
        if each.what != "removed":
            assert value_at(document, each.field) == (each.before if each.what == "ended" else each.after)
    ends = [each.field[1] for each in found if each.what == "ended"]
    begins = [each.field[1] for each in found if each.what == "began"]
    left, came = ([x for at, x in enumerate(all_) if at not in some] for all_, some in ((old, ends), (new, begins)))
    assert sorted(x["procedure"]["code"] for x in left) == sorted(x["procedure"]["code"] for x in came)


@given(lines, st.randoms(use_true_random=False))
def test_an_order_is_no_change(old: list[Any], random: Any) -> None:
    new = random.sample(old, len(old))
    assert differences({"lines": old}, {"lines": new}) == []


def test_a_line_is_followed_to_where_it_stood_before() -> None:
    versions = [
        version(1, lines=[line("HIP", reason="a"), line("KNEE", reason="b")]),
        version(2, lines=[line("KNEE", reason="c"), line("HIP", reason="a")]),
        version(3, lines=[line("ARM", reason="d"), line("HIP", reason="a"), line("KNEE", reason="c")]),
    ]
    found = [cause(versions, ("lines", at, "reason")) for at in range(3)]
    assert [(each.version.number, each.path[1], each.before) for each in found if each] == [
        (3, 0, None), (1, 0, None), (2, 0, "b"),
    ]  # fmt: skip


def test_a_numbered_line_is_known_by_its_number() -> None:
    old = {"lines": [line("HIP"), line("KNEE", identifier="2"), line("ARM", identifier="3")]}
    new = {"lines": [line("ELBOW", identifier="3"), line("HIP", identifier="1"), line("KNEE", identifier="9")]}
    found = [(each.what, each.field) for each in differences(old, new)]
    assert found == [
        ("changed", ("lines", 0, "procedure")), ("set", ("lines", 1, "identifier")), ("began", ("lines", 2)),
        ("ended", ("lines", 1)),
    ]  # fmt: skip


def test_a_value_that_is_gone_was_taken_by_somebody_and_one_that_never_was_by_nobody() -> None:
    versions = [version(1, reason="a"), version(2), version(3)]
    found = cause(versions, ("reason",))
    assert found is not None
    assert (found.version.number, found.value, found.before) == (2, None, "a")
    assert cause(versions, ("comment",)) is None


def test_the_cause_is_what_the_provenance_says() -> None:
    trial = Trial()
    stories: dict[str, list[Version]] = {}
    for raw in samples():
        for change in trial.send(raw).changes:
            record = change.record
            document = json.loads(json.dumps(record.document))
            stories.setdefault(record.key, []).append(
                Version(record.version, START, record.status, change.rule, document, record.message_id, None)
            )
    checked = 0
    for versions in stories.values():
        for name, source in shown(versions[-1].document)["provenance"].items():
            found = cause(versions, (name,))
            assert found is not None
            assert (str(found.version.message_id), found.version.number) == (source["message"], source["version"])
            checked += 1
    assert checked > 100
