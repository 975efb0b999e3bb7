"""Are the characters of a value right for its data type? (chapter 2A; dates, numbers, codes, text)

Imports wire, rules.dictionary and rules.finding only.

Verdicts depend on the type and the raw text alone.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from hl7auth.rules.dictionary import Dictionary
from hl7auth.rules.finding import Category
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.message import NULL


class TypeFault(NamedTuple):
    """`component` and `subcomponent` are 0 where the fault is the whole element's; `severity` as in table 0516;
    `datatype` is the one that the value is not right for."""

    component: int
    subcomponent: int
    severity: str
    text: str
    category: Category = "format"
    datatype: str = ""


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)\Z", re.ASCII)
_CLOCK = r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,4})?)?)?"
_OFFSET = r"(?:[+-](?:[01]\d|2[0-3])[0-5]\d)?\Z"
_TIME_STAMP = re.compile(rf"(\d{{4}})(?:(\d\d)(?:(\d\d)(?:{_CLOCK})?)?)?{_OFFSET}", re.ASCII)
_TIME = re.compile(_CLOCK + _OFFSET, re.ASCII)
_SEQUENCE = re.compile(r"\d+\Z", re.ASCII)
_STRUCTURED_NUMBER = re.compile(r"[0-9+\-.\s()x/*#]+\Z", re.ASCII)


def is_number(text: str) -> bool:
    """NM: digits with at most one point and a leading sign."""
    return _NUMBER.match(text) is not None


def is_timestamp(text: str) -> bool:
    """TS and DTM: YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ], and a day that the calendar has."""
    match = _TIME_STAMP.match(text)
    if match is None:
        return False
    try:
        date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
    except ValueError:
        return False
    return True


def _is_date(text: str) -> bool:
    return text.isdigit() and len(text) in (4, 6, 8) and is_timestamp(text)


_CHECKS: dict[str, tuple[Callable[[str], bool], str]] = {
    "NM": (is_number, "is not a number (NM)"),
    "SI": (lambda text: _SEQUENCE.match(text) is not None, "is not a sequence number (SI)"),
    "DT": (_is_date, "is not a date (DT: YYYY[MM[DD]])"),
    "TM": (lambda text: _TIME.match(text) is not None, "is not a time (TM)"),
    "DTM": (is_timestamp, "is not a date and time (YYYY[MM[DD[HH[MM[SS]]]]])"),
    "TSDTM": (is_timestamp, "is not a date and time (YYYY[MM[DD[HH[MM[SS]]]]])"),
    "SNM": (lambda text: _STRUCTURED_NUMBER.match(text) is not None, "is not a string of telephone number characters"),
}
#: text may hold anything; in ST the formatting commands of FT have no meaning
_PLAIN_TEXT = frozenset({"ST", "ID", "IS"})
_TS_PARTS = 2  # the time and, up to 2.5, its degree of precision
_OPEN = frozenset({"varies", "VARIES", "*", "ANY", "", "FT", "TX", "ED"})


class TypeChecker:
    """Checks raw values against the data types of one version."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._types = dictionary.datatypes
        #: types that are text in all their components, and how many those are: most codes and identifiers
        self._texts = dict.fromkeys(_PLAIN_TEXT, 1) | {
            name: len(parts)
            for name, parts in dictionary.datatypes.items()
            if parts and name != "TS" and all(part.datatype in _PLAIN_TEXT for part in parts)
        }

        #: per composite type and component, the form that a value without subcomponents must have
        self._forms = {
            name: tuple(self._form(part.datatype) for part in parts)
            for name, parts in dictionary.datatypes.items()
            if parts and name not in _OPEN and name != "TS"
        }

    def _form(self, datatype: str) -> Callable[[str], bool] | None:
        inner = self._types.get(datatype, ())
        first = inner[0].datatype if inner and datatype not in _OPEN and datatype != "TS" else datatype
        rule = _CHECKS.get("DTM" if first == "TS" else first)
        return rule[0] if rule else None

    def check(self, datatype: str, raw: str, delimiters: Delimiters) -> tuple[TypeFault, ...]:
        """The faults of one repetition of a field, in order of its components."""
        most = self._texts.get(datatype)
        if most is not None and raw.count(delimiters.component) < most and not _has_more(raw, delimiters):
            return ()
        forms = self._forms.get(datatype)
        if forms is not None and not _has_more(raw, delimiters) and _fits(raw.split(delimiters.component), forms):
            return ()
        return tuple(self._element(datatype, raw, delimiters))

    def component(
        self, datatype: str, raw: str, delimiters: Delimiters, number: int, subcomponent: int = 0
    ) -> list[TypeFault]:
        """The faults of one component of that data type, or of one subcomponent."""
        if subcomponent:
            return _primitive("DTM" if datatype == "TS" else datatype, raw, delimiters, number, subcomponent)
        return self._component(datatype, raw, delimiters, number)

    def _element(self, datatype: str, raw: str, marks: Delimiters) -> list[TypeFault]:
        if datatype in _OPEN or raw == NULL:
            return []
        parts = raw.split(marks.component) if marks.component in raw else [raw]
        if datatype == "TS":
            return [*_primitive("DTM", parts[0], marks, 1, 0), *_extra(parts, _TS_PARTS, datatype, 0)]
        components = self._types.get(datatype, ())
        if not components:
            faults = [*_primitive(datatype, parts[0], marks, 0, 0), *_extra(parts, 1, datatype, 0)]
            if datatype in _PLAIN_TEXT and marks.subcomponent and any(parts[0].split(marks.subcomponent)[1:]):
                faults.append(_unescaped(datatype))
            return faults
        faults = _extra(parts, len(components), datatype, 0)
        for number, (text, component) in enumerate(zip(parts, components, strict=False), start=1):
            if text and text != NULL:
                faults += self._component(component.datatype, text, marks, number)
        return faults

    def _component(self, datatype: str, raw: str, marks: Delimiters, number: int) -> list[TypeFault]:
        if datatype in _OPEN:
            return []
        has_parts = bool(marks.subcomponent) and marks.subcomponent in raw
        parts = raw.split(marks.subcomponent) if has_parts else [raw]
        inner = self._types.get(datatype, ())
        if datatype == "TS":
            return [*_primitive("DTM", parts[0], marks, number, 0), *_extra(parts, _TS_PARTS, datatype, number)]
        if not inner:
            return [*_primitive(datatype, parts[0], marks, number, 0), *_extra(parts, 1, datatype, number)]
        faults = _extra(parts, len(inner), datatype, number)
        for place, (text, sub) in enumerate(zip(parts, inner, strict=False), start=1):
            if text and text != NULL:
                faults += _primitive("DTM" if sub.datatype == "TS" else sub.datatype, text, marks, number, place)
        return faults


def _fits(parts: list[str], forms: tuple[Callable[[str], bool] | None, ...]) -> bool:
    """True when no part is of a wrong form, and there are no more of them than forms."""
    return len(parts) <= len(forms) and all(
        [form(text) for text, form in zip(parts, forms, strict=False) if form is not None and text and text != NULL]
    )


def _has_more(raw: str, marks: Delimiters) -> bool:
    """True when there is something inside a component that has to be looked at."""
    return (marks.escape in raw and bool(marks.escape)) or (marks.subcomponent in raw and bool(marks.subcomponent))


def _primitive(datatype: str, text: str, marks: Delimiters, component: int, subcomponent: int) -> list[TypeFault]:
    rule = _CHECKS.get(datatype)
    if rule and text not in ("", NULL) and not rule[0](text):
        return [TypeFault(component, subcomponent, "E", rule[1], "format", datatype)]
    if datatype in _PLAIN_TEXT and marks.escape and _has_formatting(text, marks.escape):
        text = f"holds a formatting command, which {datatype} text has not"
        return [TypeFault(component, subcomponent, "W", text, "invalid content", datatype)]
    return []


def _has_formatting(text: str, escape: str) -> bool:
    """True when an escape sequence of the text is one of FT (like `.br`); every second piece is a sequence."""
    return any(sequence.startswith(".") for sequence in text.split(escape)[1::2])


def _extra(parts: list[str], allowed: int, datatype: str, component: int) -> list[TypeFault]:
    """Surplus parts that say something; trailing separators say nothing (chapter 2, 2.6)."""
    if len(parts) <= allowed or not any(parts[allowed:]):
        return []
    kind = "subcomponents" if component else "components"
    place = component or allowed + 1
    # text that has no parts and seems to have some holds a separator that should have been escaped
    category: Category = "unescaped separator" if datatype in _PLAIN_TEXT else "extra"
    text = f"{datatype} has {allowed} {kind}, more are sent"
    return [TypeFault(place, allowed + 1 if component else 0, "W", text, category, datatype)]


def _unescaped(datatype: str) -> TypeFault:
    text = f"holds a subcomponent separator that is not escaped: {datatype} has no parts"
    return TypeFault(0, 0, "W", text, "unescaped separator", datatype)
