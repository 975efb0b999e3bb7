"""Every field of AUT read as document values and written back, dates, numbers, and what is shared."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.domain.values import AUT_FIELDS, exact, hl7_date, iso_date, read_aut, read_code, write_aut
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import Segment

USUAL = Delimiters()
FOREIGN = Delimiters("$", "%", "*", "!", "?")
NO_SUBCOMPONENTS = Delimiters("|", "^", "~", "\\", "")

#: AUT field by field as a payer may send it, and what the document then says
SENT: dict[int, tuple[str, str, Any]] = {
    1: ("plan", "GOLD^Gold plan^L^G1^Gilt^X12", {
        "code": "GOLD", "text": "Gold plan", "system": "L",
        "alternate": {"code": "G1", "text": "Gilt", "system": "X12"},
    }),
    2: ("payor", "ACME^Acme Health^NAIC", {"code": "ACME", "text": "Acme Health", "system": "NAIC"}),
    3: ("payor_name", "Acme Health of the North", "Acme Health of the North"),
    4: ("effective_date", "20260401", "2026-04-01"),
    5: ("expiration_date", "202609302359", "2026-09-30T23:59"),
    7: ("reimbursement_limit", "175.50&USD", {"amount": "175.50", "currency": "USD"}),
    8: ("requested_treatments", "12^VISIT", {"quantity": "12", "unit": "VISIT"}),
    9: ("authorized_treatments", "10", {"quantity": "10"}),
    10: ("process_date", "20260302093015.25-0500", "2026-03-02T09:30:15.25-0500"),
    11: ("requested_disciplines", "PT^Physical~OT", [{"code": "PT", "text": "Physical"}, {"code": "OT"}]),
    12: ("authorized_disciplines", "PT", [{"code": "PT"}]),
    13: ("referral_type", "SPEC^Specialist", {"code": "SPEC", "text": "Specialist"}),
    14: ("approval_status", "PA^Partially approved^HL70563",
         {"code": "PA", "text": "Partially approved", "system": "HL70563"}),
    15: ("planned_treatment_stop_date", "20260815", "2026-08-15"),
    16: ("clinical_service", "^Rehabilitation", {"text": "Rehabilitation"}),
    17: ("reason", "see the plan of care", "see the plan of care"),
    18: ("authorized_units", "10^VISIT", {"quantity": "10", "unit": "VISIT"}),
    19: ("used_units", "0", {"quantity": "0"}),
    20: ("scheduled_units", "2.5^H", {"quantity": "2.5", "unit": "H"}),
    21: ("encounter_type", "O^Outpatient", {"code": "O", "text": "Outpatient"}),
    22: ("remaining_benefit", "1250.00^USD", {"amount": "1250.00", "currency": "USD"}),
    23: ("authorized_provider", "Hill Clinic^^^^^NPI^^^^1093",
         {"name": "Hill Clinic", "id": "1093", "assigner": "NPI"}),
    24: ("authorized_professional", "7702^Marsh^Eve^^^^^^NPI",
         {"id": "7702", "family": "Marsh", "given": "Eve", "assigner": "NPI"}),
    25: ("source_text", "by telephone", "by telephone"),
    26: ("source_date", "2026", "2026"),
    27: ("source_phone", "+15550100", "+15550100"),
    28: ("comment", "call first", "call first"),
}  # fmt: skip
ALL = {key: value for key, _, value in SENT.values()}


def segment(fields: dict[int, str], marks: Delimiters = USUAL) -> Segment:
    parts = [fields.get(number, "") for number in range(1, max(fields) + 1)]
    return Segment(marks.field.join(["AUT", *parts]), marks)


def value_of(number: int, raw: str, marks: Delimiters = USUAL) -> Any:
    """What the document says for one field; KeyError where it says nothing."""
    key = next(field.key for field in AUT_FIELDS if field.number == number)
    return read_aut(segment({number: raw}, marks))[key]


def test_the_document_has_every_field_but_the_identifier_and_the_action_code() -> None:
    assert [field.number for field in AUT_FIELDS] == [number for number in range(1, 29) if number != 6] == [*SENT]


@pytest.mark.parametrize("number", SENT)
def test_each_field_is_read(number: int) -> None:
    key, raw, value = SENT[number]
    assert read_aut(segment({number: raw})) == {key: value}


@pytest.mark.parametrize("marks", [USUAL, FOREIGN, NO_SUBCOMPONENTS])
@pytest.mark.parametrize("last", [10, 12, 28])
def test_what_is_written_reads_the_same(last: int, marks: Delimiters) -> None:
    values = {key: value for number, (key, _, value) in SENT.items() if number <= last}
    if last == 10:  # up to 2.6 a number of treatments is NM and has no unit
        values |= {
            key: {"quantity": values[key]["quantity"]} for key in ("requested_treatments", "authorized_treatments")
        }
    if not marks.subcomponent:  # the currency of a CP is a subcomponent
        values["reimbursement_limit"] = {"amount": "175.50"}
    text = write_aut(ALL | values, "PA1001", marks, last)
    written = Segment(text, marks)
    assert read_aut(written) == values
    assert len(written.fields) == last + 1
    assert written.field(6) == "PA1001"


def test_the_usual_segment_in_full() -> None:
    values = {"payor": {"code": "ACME"}, "authorized_treatments": {"quantity": "2"}}
    assert write_aut(values, "PA1^ACME", USUAL, 28) == "AUT||ACME||||PA1^ACME|||2"
    assert write_aut({}, "", USUAL, 10) == "AUT"


def test_what_a_segment_does_not_have_or_deletes_is_left_out_when_written() -> None:
    assert write_aut({"plan": None, "reason": "", "comment": "x"}, "A1", USUAL, 10) == "AUT||||||A1"


@pytest.mark.parametrize("number", SENT)
def test_a_delete_indicator_is_none_and_an_empty_field_says_nothing(number: int) -> None:
    key = SENT[number][0]
    assert read_aut(segment({number: '""'})) == {key: None}
    assert read_aut(segment({number: "", 29: "A"})) == {}


def test_fields_of_separators_only_say_nothing() -> None:
    assert read_aut(segment({1: "^^", 7: "&", 8: "^", 11: "~^~", 23: "^^^^", 27: "^^"})) == {}


def test_a_deleted_component_is_not_text() -> None:
    assert value_of(1, 'GOLD^""^L') == {"code": "GOLD", "system": "L"}
    assert value_of(11, '""~PT') == [{"code": "PT"}]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("0.00^$", {"amount": "0.00"}),
        ("175.0&USD", {"amount": "175.0", "currency": "USD"}),
        ("175", {"amount": "175"}),
        ("&USD", {"currency": "USD"}),
    ],
)
def test_p17_the_money_of_a_composite_price(raw: str, value: dict[str, str]) -> None:
    assert value_of(7, raw) == value


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("1", {"quantity": "1"}),
        ("1^VISITS", {"quantity": "1", "unit": "VISITS"}),
        ("1^V&Visits&L", {"quantity": "1", "unit": "V"}),
        ("two", {"quantity": "two"}),
    ],
)
def test_p18_a_quantity_with_and_without_a_unit(raw: str, value: dict[str, str]) -> None:
    assert value_of(8, raw) == value


@pytest.mark.parametrize(
    ("raw", "number"),
    [("Hill^^77", "77"), ("Hill^^77^^^^^^^88", "88")],
)
def test_an_organization_has_its_id_in_the_tenth_or_before_2_5_in_the_third_component(raw: str, number: str) -> None:
    assert value_of(23, raw) == {"name": "Hill", "id": number}


@pytest.mark.parametrize(
    ("raw", "phone"),
    [
        ("555-0100^WPN", "555-0100"),
        ("^WPN^PH^^1^555^0100^^^^^+15550100", "+15550100"),
        ("^WPN^Internet^desk@payer.example", "desk@payer.example"),
        ("^WPN^PH^^1^555^0100", "1-555-0100"),
        ("^WPN^PH^^^555^0100", "555-0100"),
    ],
)
def test_a_telephone_number_stands_in_one_of_several_components(raw: str, phone: str) -> None:
    assert value_of(27, raw) == phone


def test_text_keeps_what_looks_like_components_and_undoes_escapes() -> None:
    assert value_of(17, "a^b and c\\F\\d") == "a^b and c|d"
    assert value_of(28, "first\\.br\\second") == "first\\.br\\second"


def test_foreign_delimiters_make_other_components() -> None:
    assert value_of(1, "GOLD%Gold^plan", FOREIGN) == {"code": "GOLD", "text": "Gold^plan"}
    assert value_of(7, "12?USD", FOREIGN) == {"amount": "12", "currency": "USD"}
    assert value_of(7, "12&USD", NO_SUBCOMPONENTS) == {"amount": "12&USD"}


def test_a_code_outside_of_aut() -> None:
    assert read_code("99213^Visit^C4", USUAL) == {"code": "99213", "text": "Visit", "system": "C4"}
    assert read_code("^^^A^B^C", USUAL) == {"alternate": {"code": "A", "text": "B", "system": "C"}}
    assert [read_code(raw, USUAL) for raw in ("", '""', "^^")] == [None, None, None]


@pytest.mark.parametrize(
    ("stamp", "iso"),
    [
        ("2026", "2026"),
        ("202601", "2026-01"),
        ("20260110", "2026-01-10"),
        ("202601101530", "2026-01-10T15:30"),
        ("20260110153012", "2026-01-10T15:30:12"),
        ("20260110153012.1234", "2026-01-10T15:30:12.1234"),
        ("202601101530+0100", "2026-01-10T15:30+0100"),
        ("20260110153012.5-0530", "2026-01-10T15:30:12.5-0530"),
    ],
)
def test_dates_are_iso_and_as_precise_as_they_came(stamp: str, iso: str) -> None:
    assert iso_date(stamp) == iso
    assert hl7_date(iso) == stamp


def test_an_hour_without_minutes_stays_an_hour() -> None:
    assert hl7_date(iso_date("2026011015")) == "2026011015"


@pytest.mark.parametrize(
    "text",
    [
        "1994011015315", "20260110153012123", "99", "soon", "2026-01-10", "20260110+0100", "2026+0100", "20260110 ",
        "202601.5", "20260110.25", "2026011015.5", "202601101530.5", "２０２６", "",
    ],
)  # fmt: skip
def test_p19_what_is_no_time_stamp_stays_as_it_is(text: str) -> None:
    assert iso_date(text) == text
    assert hl7_date(text) == text or iso_date(hl7_date(text)) == text


clock = st.tuples(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 9999))
days = st.dates()


@st.composite
def stamps(draw: st.DrawFn) -> str:
    day, (hour, minute, second, fraction) = draw(days).strftime("%Y%m%d").rjust(8, "0"), draw(clock)
    full = f"{day}{hour:02}{minute:02}{second:02}"
    text = draw(st.sampled_from([full[:size] for size in (4, 6, 8, 10, 12, 14)] + [f"{full}.{fraction}"]))
    zone = draw(st.sampled_from(["", "+0000", "-0500", "+0930", "+1400"]))
    return text + (zone if len(text) > 8 else "")


@given(stamps())
def test_every_time_stamp_comes_back_as_it_was(stamp: str) -> None:
    assert hl7_date(iso_date(stamp)) == stamp


@given(st.text(alphabet="0123456789.+-T: ", max_size=20))
def test_no_text_in_the_place_of_a_date_loses_anything(text: str) -> None:
    iso = iso_date(text)
    assert iso == text or hl7_date(iso) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", "1"), ("01.50", "1.50"), ("+3", "3"), ("-2", "-2"), (".5", "0.5"), ("5.", "5"), ("0.00", "0.00")],
)
def test_numbers_are_exact(text: str, number: str) -> None:
    assert exact(text) == number


@pytest.mark.parametrize("text", ["", "two", "1,5", "NaN", "sNaN", "Infinity", "-inf", "1 2", "0x10"])
def test_what_is_no_number_stays_as_it_is(text: str) -> None:
    assert exact(text) == text


@pytest.mark.parametrize("text", ["1e3", "2E-1", "1_000"])
def test_numbers_as_only_programs_write_them_are_no_hl7_numbers(text: str) -> None:
    assert exact(text) == text


def test_an_exponent_does_not_make_a_giant_of_a_short_field() -> None:
    assert len(exact("1E99999")) < 100


words = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda text: text != '""'
)
amounts = st.decimals(min_value=-10_000, max_value=10_000, places=2).map(lambda number: format(number, "f"))


def filled(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with at least one of these parts."""
    return st.fixed_dictionaries({}, optional=parts).filter(bool)


def codes() -> st.SearchStrategy[dict[str, Any]]:
    plain = filled(code=words, text=words, system=words)
    return filled(code=words, text=words, system=words, alternate=plain)


documents = st.fixed_dictionaries(
    {},
    optional={
        "plan": codes(),
        "payor": codes(),
        "payor_name": words,
        "reimbursement_limit": filled(amount=amounts, currency=words),
        "authorized_treatments": filled(quantity=amounts, unit=words),
        "requested_disciplines": st.lists(codes(), min_size=1, max_size=3),
        "remaining_benefit": filled(amount=amounts, currency=words),
        "authorized_provider": filled(name=words, id=words, assigner=words),
        "authorized_professional": filled(id=words, family=words, given=words, assigner=words),
        "source_phone": words,
        "comment": words,
        "source_date": stamps().filter(lambda stamp: len(stamp) != 10).map(iso_date),
    },
)


@given(documents, st.sampled_from([USUAL, FOREIGN, Delimiters("|", "^", "~", "\\", "&", "#")]))
def test_values_with_any_text_are_written_and_read_the_same(values: dict[str, Any], marks: Delimiters) -> None:
    assert read_aut(Segment(write_aut(values, "A1", marks, 28), marks)) == values


def test_more_values_and_delimiters_than_are_remembered_are_still_read_right() -> None:
    for number in range(2_100):
        assert value_of(28, f"note {number}") == f"note {number}"
    assert value_of(28, "note 0") == "note 0"
    for mark in "!#$%*+,-./:;<=>?@[]_{}":
        assert value_of(1, f"GOLD{mark}Gold", Delimiters("|", mark)) == {"code": "GOLD", "text": "Gold"}


def test_long_values_are_read_right_each_time() -> None:
    for text in ("a" * 5_000, "b" * 5_000, "a" * 5_000):
        assert value_of(28, text) == text
        assert read_code(f"{text}^{text}", USUAL) == {"code": text, "text": text}


def test_blanks_are_part_of_a_value_with_and_without_subcomponents() -> None:
    for marks in (USUAL, NO_SUBCOMPONENTS):
        assert value_of(1, "GOLD ^Gold plan ", marks) == {"code": "GOLD ", "text": "Gold plan "}


def test_one_reading_is_not_changed_through_another() -> None:
    same = segment({1: "GOLD^Gold", 11: "PT~OT"})
    first = read_aut(same)
    first["plan"] = None
    first["comment"] = "mine"
    assert read_aut(same) == {
        "plan": {"code": "GOLD", "text": "Gold"},
        "requested_disciplines": [{"code": "PT"}, {"code": "OT"}],
    }
