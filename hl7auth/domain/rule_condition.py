"""Conditions of decision rules: the language of profiles over the authorization document instead of a message.

Imports domain, errors and rules.predicate only.

A path names a field of the document (`payor.code`, `lines.procedure.code`, `lines[0].requested_treatments.quantity`),
or what is known beside it: `today`, `request.*`, `history.*`, `callouts.*`. Of a list a path means the first value;
`any`, `all` and `count(...)` look at all of them. A coded value alone means its code, a quantity its number.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple

from hl7auth.domain.path import PARTS, Path, read_path
from hl7auth.domain.values import AUT_FIELDS, hl7_date
from hl7auth.errors import UserError
from hl7auth.rules.predicate import Language, compile_test

Facts = Mapping[str, Any]
"""The document, and what is known beside it, as plain data."""

_WORDS = "and|or|not|valued|empty|in|matches|any|all|count"
_TOKEN = re.compile(
    rf"\s*(?:(?P<word>(?:{_WORDS})(?![\w.\[]))|(?P<path>AUT-\d{{1,2}}(?![\w.])|[a-z_]+(?:\[\d{{1,6}}\])*"
    r"(?:\.[a-z_]+(?:\[\d{1,6}\])*)*(?![\w.\[]))|(?P<number>-?\d+(?:\.\d+)?)\b|'(?P<text>[^']*)'"
    r"|(?P<mark><=|>=|!=|[<>=(){},]))",
    re.ASCII,
)
_ISO = re.compile(r"\d{4}-\d\d(-\d\d(T[\d:.+-]+)?)?", re.ASCII)
_AUT = tuple(field.key for field in AUT_FIELDS)
_BESIDE: Mapping[str, frozenset[str]] = {
    "request": frozenset({"version", "urgency", "channel", "member", "source", "event"}),
    "history": frozenset({"decisions", "pends", "open_pends"}),
}
"""What is known beside the document: how the request came, and what was decided and pended about it before."""
_HEAD = frozenset(
    {"status", "identifier", "assigner", "diagnoses", "today", "callouts", *PARTS, *_AUT, *_BESIDE, "lines"}
)
_OF_LINES = frozenset({"procedure", "identifier", "priority", "status", *_AUT})
_ALONE = ("code", "quantity", "amount", "id", "originating_id", "name")
"""What a value with parts means where a path ends at it; the first that it has."""


class Place(NamedTuple):
    """A path of a condition."""

    path: Path

    def values(self, facts: Facts) -> Iterator[str]:
        """Every value there, as text; dates as HL7 writes them, which is how they compare."""
        return (found for each in _found(facts, self.path) if (found := _as_text(each)))

    def reader(self) -> Callable[[Facts], str]:
        """The function that reads the first of them; empty where there is none."""
        return lambda facts: next(self.values(facts), "")


@lru_cache(maxsize=4096)
def compiled(text: str) -> Callable[[Facts], bool]:
    """The condition as a function of facts; one that is empty always holds. Raises ValueError with the mistake."""
    return compile_test(text, _LANGUAGE) if text.strip() else _always


def _always(_facts: Facts) -> bool:
    return True


def _place(text: str) -> Place:
    try:
        path = read_path(text)
    except UserError as fault:
        raise ValueError(str(fault)) from None
    if path[0] != "callouts":  # what functions give back is theirs to name
        _require(path)
    return Place(path)


def _require(path: Path) -> None:
    """A name that nothing can have would silently never hold."""
    names = [step for step in path if isinstance(step, str)]
    first, known = names[0], _HEAD
    for above, name in zip(["", *names], names, strict=False):
        if above == "lines":
            known = _OF_LINES
        elif above:
            parts = PARTS.get(above) or _BESIDE.get(above) or ()
            known = frozenset(parts) | ({"age"} if above == "patient" else set())
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f" (did you mean '{close[0]}'?)" if close else f" (there is: {', '.join(sorted(known))})"
            what = f"'{above}' has no '{name}'" if above else f"an authorization has no '{first}'"
            raise ValueError(what + hint)


def _found(value: Any, path: Path) -> Iterator[Any]:
    if isinstance(value, list) and not (path and isinstance(path[0], int)):
        for each in value:
            yield from _found(each, path)
    elif not path:
        yield value
    elif isinstance(path[0], int):
        if isinstance(value, list) and path[0] < len(value):
            yield from _found(value[path[0]], path[1:])
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _found(value[path[0]], path[1:])


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        alone = next((value[key] for key in _ALONE if value.get(key)), None)
        return _as_text(alone) if alone is not None else "there" if value else ""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else _day(str(value))


def _day(text: str) -> str:
    return hl7_date(text) if _ISO.fullmatch(text) else text


_LANGUAGE = Language(_TOKEN, _place, _day, "payor.code")
