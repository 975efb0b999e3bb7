"""The fields of AUT as values of the authorization document, read from HL7 and written back (chapter 11, 11.8.2).

Imports wire and rules.datatypes only.

A value is plain data that JSON can hold: text, ISO dates, decimal numbers as text (exact), and small mappings. Read
values are shared between documents that say the same, so nobody may change one in place.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from hl7auth.rules.datatypes import is_number, is_timestamp
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.escapes import escape, unescape
from hl7auth.wire.message import NULL, Segment, part

Values = dict[str, Any]

_STAMP = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d(?:\.\d+)?)?([+-]\d{4})?\Z")


def iso_date(text: str) -> str:
    """An HL7 time stamp as ISO 8601, as precise as it is: 20260110 is 2026-01-10. Anything else stays as it is."""
    match = _STAMP.match(text)
    if match is None or not is_timestamp(text):
        return text
    year, month, day, hour, minute, second, zone = match.groups(default="")
    if zone and not hour:
        return text
    iso = "-".join(each for each in (year, month, day) if each)
    if hour:
        iso += "T" + ":".join(each for each in (hour, minute, second) if each)
    return iso + zone


def hl7_date(iso: str) -> str:
    """The HL7 time stamp of an ISO date made by `iso_date`; what that left alone stays as it is."""
    day, _, rest = iso.partition("T")
    zone = re.search(r"[+-]\d{4}\Z", rest)
    clock = rest[: zone.start()] if zone else rest
    stamp = day.replace("-", "") + clock.replace(":", "") + (zone[0] if zone else "")
    return stamp if iso_date(stamp) == iso else iso


def exact(text: str) -> str:
    """A number as exact decimal text; what is no number stays as it is."""
    return format(Decimal(text), "f") if is_number(text) else text


class _Reader:
    """Cuts one repetition into unescaped parts, each asked for by component and subcomponent."""

    def __init__(self, raw: str, marks: Delimiters) -> None:
        self.raw = raw
        self.marks = marks

    def __call__(self, component: int, subcomponent: int = 0) -> str:
        marks = self.marks
        text = part(self.raw, marks.component, component)
        if subcomponent:
            text = part(text, marks.subcomponent, subcomponent)
        elif marks.subcomponent:
            text = text.rstrip(marks.subcomponent)  # a trailing separator says nothing
        return "" if text == NULL else unescape(text, self.marks)


def _filled(**values: Any) -> Values | None:
    kept = {key: value for key, value in values.items() if value}
    return kept or None


def _read_text(get: _Reader) -> str:
    return unescape(get.raw, get.marks)


def _read_date(get: _Reader) -> str:
    return iso_date(get(1))


def _read_code(get: _Reader) -> Values | None:
    other = _filled(code=get(4), text=get(5), system=get(6))
    return _filled(code=get(1), text=get(2), system=get(3), alternate=other)


def _read_quantity(get: _Reader) -> Values | None:
    return _filled(quantity=exact(get(1)), unit=get(2, 1))


def _read_price(get: _Reader) -> Values | None:
    return _filled(amount=exact(get(1, 1)), currency=get(1, 2))


def _read_money(get: _Reader) -> Values | None:
    return _filled(amount=exact(get(1)), currency=get(2))


def _read_organization(get: _Reader) -> Values | None:
    return _filled(name=get(1), id=get(10) or get(3), assigner=get(6, 1))


def _read_person(get: _Reader) -> Values | None:
    return _filled(id=get(1), family=get(2, 1), given=get(3), assigner=get(9, 1))


def _read_phone(get: _Reader) -> str:
    return get(1) or get(12) or get(4) or "-".join(each for each in (get(5), get(6), get(7)) if each)


class _Writer:
    """Puts unescaped parts together as one repetition."""

    def __init__(self, marks: Delimiters) -> None:
        self.marks = marks

    def join(self, *parts: str) -> str:
        return self.marks.component.join(escape(each, self.marks) for each in parts).rstrip(self.marks.component)

    def inner(self, *parts: str) -> str:
        mark = self.marks.subcomponent
        return (
            mark.join(escape(each, self.marks) for each in parts).rstrip(mark) if mark else escape(parts[0], self.marks)
        )


def _write_text(value: Any, put: _Writer) -> str:
    return escape(value, put.marks)


def _write_date(value: Any, put: _Writer) -> str:
    return put.join(hl7_date(value))


def _write_code(value: Any, put: _Writer) -> str:
    other = value.get("alternate", {})
    parts = [source.get(key, "") for source in (value, other) for key in ("code", "text", "system")]
    return put.join(*parts)


def _write_quantity(value: Any, put: _Writer) -> str:
    return put.join(value.get("quantity", ""), value.get("unit", ""))


def _write_price(value: Any, put: _Writer) -> str:
    return put.inner(value.get("amount", ""), value.get("currency", ""))


def _write_money(value: Any, put: _Writer) -> str:
    return put.join(value.get("amount", ""), value.get("currency", ""))


def _write_organization(value: Any, put: _Writer) -> str:
    return put.join(value.get("name", ""), "", "", "", "", value.get("assigner", ""), "", "", "", value.get("id", ""))


def _write_person(value: Any, put: _Writer) -> str:
    name = (value.get("id", ""), value.get("family", ""), value.get("given", ""))
    return put.join(*name, "", "", "", "", "", value.get("assigner", ""))


class AutField(NamedTuple):
    """How one field of AUT stands in the document; `many` marks the repeating ones."""

    number: int
    key: str
    read: Callable[[_Reader], Any]
    write: Callable[[Any, _Writer], str]
    many: bool = False


AUT_FIELDS = (
    AutField(1, "plan", _read_code, _write_code),
    AutField(2, "payor", _read_code, _write_code),
    AutField(3, "payor_name", _read_text, _write_text),
    AutField(4, "effective_date", _read_date, _write_date),
    AutField(5, "expiration_date", _read_date, _write_date),
    AutField(7, "reimbursement_limit", _read_price, _write_price),
    AutField(8, "requested_treatments", _read_quantity, _write_quantity),
    AutField(9, "authorized_treatments", _read_quantity, _write_quantity),
    AutField(10, "process_date", _read_date, _write_date),
    AutField(11, "requested_disciplines", _read_code, _write_code, many=True),
    AutField(12, "authorized_disciplines", _read_code, _write_code, many=True),
    AutField(13, "referral_type", _read_code, _write_code),
    AutField(14, "approval_status", _read_code, _write_code),
    AutField(15, "planned_treatment_stop_date", _read_date, _write_date),
    AutField(16, "clinical_service", _read_code, _write_code),
    AutField(17, "reason", _read_text, _write_text),
    AutField(18, "authorized_units", _read_quantity, _write_quantity),
    AutField(19, "used_units", _read_quantity, _write_quantity),
    AutField(20, "scheduled_units", _read_quantity, _write_quantity),
    AutField(21, "encounter_type", _read_code, _write_code),
    AutField(22, "remaining_benefit", _read_money, _write_money),
    AutField(23, "authorized_provider", _read_organization, _write_organization),
    AutField(24, "authorized_professional", _read_person, _write_person),
    AutField(25, "source_text", _read_text, _write_text),
    AutField(26, "source_date", _read_date, _write_date),
    AutField(27, "source_phone", _read_phone, _write_text),
    AutField(28, "comment", _read_text, _write_text),
)
"""AUT-1 to AUT-28 without the identifier (AUT-6); AUT-29 says what to do and is no part of the document."""

_QUANTITIES_HAVE_UNITS = 12
"""AUT has so many fields since 2.7, when AUT-8 and AUT-9 changed from NM to CQ."""

_KEYS = tuple(field.key for field in AUT_FIELDS)
NUMBERS = {field.key: field.number for field in AUT_FIELDS}
"""The number of each field of an AUT by its key."""
_REMEMBERED = 2_000
_REMEMBERED_LENGTH = 256
"""Longer values do not repeat: to remember them would only cost memory."""
_REMEMBERED_TEXTS = 8_192
_memory: dict[Delimiters, list[dict[str, Any]]] = {}


def read_aut(segment: Segment) -> Values:
    """The values of an AUT by document key. Empty fields are left out; a deleted one (`""`) is None."""
    memory = _memory_for(segment.delimiters)
    fields = segment.fields
    texts = fields[1:6] + fields[7:29]  # AUT_FIELDS leave out AUT-6
    try:
        # nearly every value of a feed was read before: codes, units and dates come again and again
        return {key: seen[raw] for key, seen, raw in zip(_KEYS, memory, texts, strict=False) if raw}
    except KeyError:
        return _read_anew(segment, memory, texts)


def _read_anew(segment: Segment, memory: list[dict[str, Any]], texts: list[str]) -> Values:
    values: Values = {}
    for field, seen, raw in zip(AUT_FIELDS, memory, texts, strict=False):
        if not raw:
            continue
        value = seen[raw] if raw in seen else _read(field, raw, segment.delimiters)
        if not value and raw != NULL:
            continue
        values[field.key] = value
        if len(raw) <= _REMEMBERED_LENGTH:
            if len(seen) >= _REMEMBERED:
                seen.clear()
            seen[raw] = value
    return values


def write_aut(values: Values, identifier: str, marks: Delimiters, last: int) -> str:
    """An AUT segment up to field `last` from document values; `identifier` is the raw AUT-6."""
    texts, fields = _texts_for(marks), [""] * (last + 1)
    for field in AUT_FIELDS:
        value = values.get(field.key)
        if value and field.number <= last:
            if last < _QUANTITIES_HAVE_UNITS and field.write is _write_quantity:
                value = {"quantity": value.get("quantity", "")}
            if field.many:
                text = marks.repetition.join([_written(field, one, marks, texts) for one in value])
            else:
                text = _written(field, value, marks, texts)
            fields[field.number] = text
    fields[0], fields[6] = "AUT", identifier
    return marks.field.join(fields).rstrip(marks.field)


def write_code(value: Values, marks: Delimiters) -> str:
    """A coded value as CE or CWE."""
    return _write_code(value, _Writer(marks))


Texts = dict[tuple[int, Any], str]
"""Values as they were written, by the number of their field."""
_texts: dict[Delimiters, Texts] = {}


def _written(field: AutField, value: Any, marks: Delimiters, texts: Texts) -> str:
    """One repetition. Short values are remembered: the same codes, dates and quantities are written again and again."""
    if isinstance(value, str):
        known: tuple[int, Any] = (field.number, value)
    elif "alternate" in value:
        return field.write(value, _Writer(marks))
    else:
        known = (field.number, tuple(value.items()))
    text = texts.get(known)
    if text is None:
        text = field.write(value, _Writer(marks))
        if len(text) <= _REMEMBERED_LENGTH:
            if len(texts) >= _REMEMBERED_TEXTS:
                texts.clear()
            texts[known] = text
    return text


def _texts_for(marks: Delimiters) -> Texts:
    if marks not in _texts:
        if len(_texts) >= 16:
            _texts.clear()
        _texts[marks] = {}
    return _texts[marks]


def read_code(raw: str, marks: Delimiters) -> Values | None:
    """A coded value (CE, CWE) as {code, text, system, alternate}; shared, so not to be changed in place."""
    if raw in ("", NULL):
        return None
    return _known_code(raw, marks) if len(raw) <= _REMEMBERED_LENGTH else _code(raw, marks)


def _code(raw: str, marks: Delimiters) -> Values | None:
    return _read_code(_Reader(part(raw, marks.repetition, 1), marks))


_known_code = lru_cache(maxsize=8192)(_code)


def _read(field: AutField, raw: str, marks: Delimiters) -> Any:
    if raw == NULL:
        return None
    if not field.many:
        return field.read(_Reader(part(raw, marks.repetition, 1), marks))
    repetitions = raw.split(marks.repetition) if marks.repetition else [raw]
    return [value for value in (field.read(_Reader(each, marks)) for each in repetitions) if value]


def _memory_for(marks: Delimiters) -> list[dict[str, Any]]:
    if marks not in _memory:
        if len(_memory) >= 16:
            _memory.clear()
        _memory[marks] = [{} for _ in AUT_FIELDS]
    return _memory[marks]
