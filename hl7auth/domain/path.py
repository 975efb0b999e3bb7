"""Paths into the authorization document, as people write them: `lines[1].authorized_units.quantity`.

Imports domain and errors only.

Entries of a list are counted from 0, as programs do that read the document. An AUT field may also be named by its
number: `AUT-5` is `expiration_date`.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from hl7auth.domain.document import Document
from hl7auth.domain.values import AUT_FIELDS
from hl7auth.errors import UserError

Path = tuple[str | int, ...]
Parts = Mapping[str, str]

_SPELLING = re.compile(r"[a-z_]+(\[\d{1,6}\])*(\.[a-z_]+(\[\d{1,6}\])*)*\Z")
_STEP = re.compile(r"[a-z_]+|\d+")
_AUT = re.compile(r"AUT[-.](\d{1,2})\Z", re.IGNORECASE)

_CODE: Parts = {"code": ".1", "text": ".2", "system": ".3", "alternate": ""}
_QUANTITY: Parts = {"quantity": ".1", "unit": ".2"}
_LISTS = frozenset({"requested_disciplines", "authorized_disciplines", "diagnoses"})

PARTS: dict[str, Parts] = {
    **dict.fromkeys(("plan", "payor", "procedure", "referral_type", "approval_status"), _CODE),
    **dict.fromkeys(("clinical_service", "encounter_type", *sorted(_LISTS)), _CODE),
    **dict.fromkeys(("requested_treatments", "authorized_treatments"), _QUANTITY),
    **dict.fromkeys(("authorized_units", "used_units", "scheduled_units"), _QUANTITY),
    "reimbursement_limit": {"amount": ".1.1", "currency": ".1.2"},
    "remaining_benefit": {"amount": ".1", "currency": ".2"},
    "authorized_provider": {"name": ".1", "id": "", "assigner": ".6"},
    "authorized_professional": {"id": ".1", "family": ".2", "given": ".3", "assigner": ".9"},
    "patient": {"id": "3.1", "assigner": "3", "name": "5", "birth_date": "7"},
    "sent_to": dict.fromkeys(("application", "facility", "payor"), ""),
    "referral": {"originating_id": "6.1", "external_id": "11.1", "priority": "2.1"},
}
"""The parts of the values that have any, each with its place below its field (of PID and RF1: in the segment)."""

_AUT_NAMES = {6: "identifier", **{field.number: field.key for field in AUT_FIELDS}}
_HEAD = ("status", "identifier", "assigner", "patient", "referral", "sent_to", "diagnoses", "lines")
_OF_LINES = ("procedure", "identifier", "priority", "status")
_UNASKED = frozenset({"key", "version", "provenance"})


def read_path(text: str) -> Path:
    """The steps of a path. Raises UserError for what is none."""
    text = text.strip()
    number = _AUT.match(text)
    if number and int(number[1]) in _AUT_NAMES:
        return (_AUT_NAMES[int(number[1])],)
    if not _SPELLING.match(text):
        raise UserError(f"'{text}' is no field; write it like expiration_date or lines[0].authorized_units.quantity")
    return tuple(int(step) if step.isdigit() else step for step in _STEP.findall(text))


def spelled(path: Path) -> str:
    """The path as people write it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def value_at(value: Any, path: Path) -> Any:
    """What stands there; None where nothing does."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return None if value in ("", [], {}) else value


def require_known(path: Path, documents: Sequence[Document]) -> None:
    """Raises UserError, with what there is, for a path that these documents can not have; the last is the newest."""
    values: list[Any] = list(documents)
    for at, step in enumerate(path):
        above = path[:at]
        if isinstance(step, int):
            _require_entry(above, step, values[-1])
        else:
            _require_name(above, step, values)
        values = [value_at(value, (step,)) for value in values]


def _require_entry(above: Path, number: int, newest: Any) -> None:
    place, count = spelled(above), len(newest) if isinstance(newest, list) else 0
    if above[-1] not in _LISTS and not isinstance(newest, list) and above[-1] != "lines":
        raise UserError(f"{place} is no list")
    if number >= count:
        there = f"{place}[0] to {place}[{count - 1}]" if count > 1 else f"{place}[0]" if count else "none"
        raise UserError(f"there is no {place}[{number}] (there is: {there}); what has ended stands in the history")


def _require_name(above: Path, name: str, values: Sequence[Any]) -> None:
    place, names = spelled(above), _names(above, values)
    if above and isinstance(above[-1], str) and (above[-1] in _LISTS or above[-1] == "lines"):
        raise UserError(f"{place} is a list; write {place}[0].{name} for its first entry")
    if not names:
        raise UserError(f"{place} is a single value: it has no '{name}'")
    if name not in names:
        close = get_close_matches(name, names, 1) if len(names) > 6 else []  # a few are read at a glance
        hint = f"did you mean '{close[0]}'? " if close else ""
        what = f"{place} has no '{name}'" if place else f"an authorization has no '{name}'"
        raise UserError(f"{what} ({hint}there is: {', '.join(names)})")


def _names(above: Path, values: Sequence[Any]) -> list[str]:
    """The names that can stand there: those of the standard, and those that a document has."""
    last = next((step for step in reversed(above) if isinstance(step, str)), "")
    aut = [field.key for field in AUT_FIELDS]
    known = {"": [*_HEAD, *aut], "lines": [*_OF_LINES, *aut]}.get(last) or list(PARTS.get(last, ()))
    seen = [key for value in values if isinstance(value, dict) for key in value if key not in _UNASKED]
    return list(dict.fromkeys([*known, *seen]))
