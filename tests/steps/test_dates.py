"""Date formats: what is read, what is written, and that nothing is made up."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.steps.dates import check_format, reader, writer
from hl7auth.steps.faults import UnreadableRefused
from tests.steps.shaping import message, one, shaped


@pytest.mark.parametrize(
    ("source", "to", "before", "after"),
    [
        ("hl7", "YYYYMMDD", "20260305101530.1234+0100", "20260305"),
        ("hl7", "YYYYMMDD", "20260305", "20260305"),
        ("hl7", "YYYYMMDD", "202603", "202603"),
        ("hl7", "YYYYMMDDHHMMSS", "202603051015", "202603051015"),
        ("hl7", "YYYYMMDDHHMMSSZZZZ", "20260305101530-0330", "20260305101530-0330"),
        ("hl7", "DD.MM.YYYY", "20260305", "05.03.2026"),
        ("hl7", "YYYY-MM-DDTHH:MM:SS", "20260305101530", "2026-03-05T10:15:30"),
        ("DD.MM.YYYY", "YYYYMMDD", "05.03.2026", "20260305"),
        ("MM/DD/YYYY HH:MM", "YYYYMMDDHHMM", "03/05/2026 10:15", "202603051015"),
        ("YYYY-MM-DD", "YYYYMMDDHHMM", "2026-03-05", "20260305"),
        ("DDMMYYYY", "YYYYMMDD", "05032026", "20260305"),
    ],
)
def test_a_date_in_another_format(source: str, to: str, before: str, after: str) -> None:
    assert one(f"AUT||||{before}", {"date": {"field": "AUT-4", "from": source, "to": to}}) == f"AUT||||{after}"


@pytest.mark.parametrize(
    ("source", "to", "value"),
    [
        ("hl7", "YYYYMMDD", "20260230"),
        ("hl7", "YYYYMMDD", "2026031510453"),
        ("hl7", "YYYYMMDD", "20261301"),
        ("hl7", "YYYYMMDDHHMM", "202603052460"),
        ("hl7", "YYYYMMDD", "00000000"),
        ("hl7", "YYYYMMDD", "soon"),
        ("hl7", "YYYYMMDD", "٢٠٢٦"),
        ("hl7", "DD.MM.YYYY", "202603"),
        ("hl7", "DD.MM.YYYY HH:MM", "20260305"),
        ("hl7", "DDMMYYYY", "202603"),
        ("DD.MM.YYYY", "YYYYMMDD", "5.3.2026"),
        ("DD.MM.YYYY", "YYYYMMDD", "20260305"),
    ],
)
def test_what_is_no_date_is_kept_emptied_or_refused(source: str, to: str, value: str) -> None:
    raw = message(f"AUT||||{value}", head="MSH|^~\\&|A|B|C|D|2026||RQA^I08|1|P|2.5||||||UNICODE UTF-8", codec="utf_8")
    step: dict[str, Any] = {"field": "AUT-4", "from": source, "to": to}
    found = shaped(raw, {"date": step})
    assert found.raw == raw
    assert [remark[1:] for remark in found.remarks] == [("date", "not of the form that the step reads", "AUT-4.1")]
    assert shaped(raw, {"date": step | {"invalid": "empty"}}).raw.endswith(b"AUT||||\r")
    with pytest.raises(UnreadableRefused) as caught:
        shaped(raw, {"date": step | {"invalid": "refuse"}})
    assert (caught.value.code, caught.value.location) == ("102", "AUT-4.1")


def test_missing_parts_can_be_filled() -> None:
    step = {"date": {"field": "AUT-4", "to": "YYYYMMDDHHMMSS", "fill": True}}
    assert one("AUT||||202603", step) == "AUT||||20260301000000"
    step = {"date": {"field": "AUT-4", "to": "DD.MM.YYYY HH:MM", "fill": True}}
    assert one("AUT||||20260305", step) == "AUT||||05.03.2026 00:00"


@pytest.mark.parametrize("value", ["", '""'])
def test_empty_and_deleted_dates_stay(value: str) -> None:
    assert one(f"AUT||||{value}", {"date": {"field": "AUT-4", "to": "YYYYMMDD"}}) == f"AUT||||{value}"


@pytest.mark.parametrize("text", ["MMDD", "YYMMDD", "YYYYMMDDMM", "yyyymmdd", "", "YYYY MON", "YYYYT"])
def test_what_is_no_format_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no date format"):
        check_format(text)


@given(st.datetimes().map(lambda moment: f"{moment.year:04}{moment:%m%d%H%M%S}"))
def test_formats_with_all_parts_lead_back(value: str) -> None:
    read, write = reader("hl7"), writer("DD.MM.YYYY HH:MM:SS")
    parts = read(value)
    assert parts is not None
    again = reader("DD.MM.YYYY HH:MM:SS")(write(parts) or "")
    assert again is not None
    assert writer("YYYYMMDDHHMMSS")(again) == value


@given(st.text(alphabet="0123456789+-. T:Aé"))
def test_no_value_is_too_odd_to_read(value: str) -> None:
    for text in ("hl7", "YYYY-MM-DDTHH:MM"):
        parts = reader(text)(value)
        assert parts is None or parts["Y"] == value[:4]
