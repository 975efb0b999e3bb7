"""The story of an authorization: what each version changed, in plain sentences, and which one set a value.

Imports domain only.

A line of one version is the line of the next that says the same, else the one with the same identifier (PR1-19), else
the next with the same procedure.
"""

import operator
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from hl7auth.domain.clock import iso_time
from hl7auth.domain.document import Document
from hl7auth.domain.path import Path, spelled, value_at

#: What the sender of an event does (chapter 11, 11.3 and 11.5)
DEEDS = {
    "RQA^I08": "asked for an authorization",
    "RQA^I09": "asked to modify an authorization",
    "RQA^I10": "sent a request for authorization again",
    "RQA^I11": "cancelled",
    "RPA^I08": "answered the request",
    "RPA^I09": "answered the request for a modification",
    "RPA^I10": "answered the request that was sent again",
    "RPA^I11": "answered with a cancellation",
    "REF^I12": "referred the patient",
    "REF^I13": "modified the referral",
    "REF^I14": "cancelled the referral",
    "REF^I15": "asked how the referral stands",
    "RRI^I12": "answered the referral",
    "RRI^I13": "answered the modified referral",
    "RRI^I14": "confirmed the cancellation of the referral",
    "RRI^I15": "said how the referral stands",
}

#: The same for the messages that a partner calls by names of its own
_DEEDS_BY_RULE = {"request": "asked", "answer": "answered", "cancellation": "cancelled"}
_SILENT = frozenset({"version", "provenance", "key"})


class Source(NamedTuple):
    """The message behind a version, as far as the archive still has it."""

    message_id: int
    channel: str
    sender: str
    facility: str
    event: str
    control_id: str

    @property
    def who(self) -> str:
        """MSH-3 and MSH-4 for people."""
        return " of ".join(each for each in (self.sender, self.facility) if each) or "a sender without a name"


class Version(NamedTuple):
    """One version of an authorization as stored; `at` is when its message came."""

    number: int
    at: int
    status: str
    rule: str
    document: Document
    message_id: int
    source: Source | None


class Difference(NamedTuple):
    """One thing that a version changed: `what` is set, changed, removed, or of a line began or ended.

    `field` is a path in the newer document, of what is no longer there in the older.
    """

    what: str
    field: Path
    before: Any
    after: Any

    def entry(self) -> dict[str, Any]:
        """The difference as the history shows it."""
        return {"what": self.what, "field": spelled(self.field), "before": self.before, "after": self.after}


class Cause(NamedTuple):
    """The version that gave a field its present value, the field's path in it, and the value before it."""

    version: Version
    path: Path
    value: Any
    before: Any


def differences(before: Document | None, after: Document) -> list[Difference]:
    """What the newer document says otherwise, in its order; everything, where there is none before it."""
    old = before or {}
    names = [*after, *(name for name in old if name not in after)]
    found: list[Difference] = []
    for name in names:
        if name == "lines":
            found += _line_differences(old.get(name, []), after.get(name, []))
        elif name not in _SILENT:
            found += _difference((name,), old, after, (name,))
    return found


def sentences(version: Version, before: Version | None) -> list[str]:
    """Who did what when and by which message, and then a sentence for each thing that changed."""
    changed = differences(before.document if before else None, version.document)
    return [opening(version), *([_told(each, version.document) for each in changed] or ["Nothing that shows changed."])]


def opening(version: Version) -> str:
    """Who did what when, by which message and rule, and what became of it."""
    moment = iso_time(version.at)
    after = f"version {version.number}, {version.status.replace('_', ' ')}, by the rule '{version.rule}'"
    source = version.source
    if source is None:
        return f"{moment}: message {version.message_id}, which the archive no longer holds: {after}."
    deed = DEEDS.get(source.event) or _DEEDS_BY_RULE.get(version.rule, "sent")
    message = f"{source.event}, control id {source.control_id}, message {source.message_id}"
    return f"{moment}: {source.who} {deed} ({message}): {after}."


def cause(versions: Sequence[Version], path: Path) -> Cause | None:
    """The version in which the field last changed, walking back from the newest; None if it never had a value."""
    after = versions[-1]
    for before in reversed(versions[:-1]):
        earlier = _earlier(before.document, after.document, path)
        value, old = value_at(after.document, path), None if earlier is None else value_at(before.document, earlier)
        if earlier is None or value != old:
            return Cause(after, path, value, old)
        after, path = before, earlier
    value = value_at(after.document, path)
    return None if value is None else Cause(after, path, value, None)


def said(value: Any) -> str:
    """A value for people: a code with its text, a quantity with its unit."""
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(said(each) for each in value)
    if not isinstance(value, dict):
        return str(value).replace("_", " ")
    for number, unit in (("quantity", "unit"), ("amount", "currency")):
        if number in value:
            return f"{value[number]} {value.get(unit, '')}".strip()
    name = value.get("text") or value.get("name") or ", ".join(value[x] for x in ("family", "given") if x in value)
    code = value.get("code") or value.get("id")
    if name or code:
        return f"{name} ({code})" if name and code else str(name or code)
    return ", ".join(f"{key.replace('_', ' ')} {said(each)}" for key, each in value.items())


def _difference(path: Path, old: Any, new: Any, key: Path) -> Iterator[Difference]:
    before, after = value_at(old, key), value_at(new, key)
    if before != after:
        what = "set" if before is None else "removed" if after is None else "changed"
        yield Difference(what, path, before, after)


def _line_differences(old: list[Any], new: list[Any]) -> Iterator[Difference]:
    partners = _partners(old, new)
    for at, line in enumerate(new):
        earlier = partners.get(at)
        if earlier is None:
            yield Difference("began", ("lines", at), None, line)
            continue
        for name in dict.fromkeys([*line, *old[earlier]]):
            yield from _difference(("lines", at, name), old[earlier], line, (name,))
    for at, line in enumerate(old):
        if at not in partners.values():
            yield Difference("ended", ("lines", at), line, None)


def _partners(old: list[Any], new: list[Any]) -> dict[int, int]:
    """For the lines of the newer list by index the index of the same line in the older one."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    for name_of, fits in _WAYS:
        free: dict[str, list[int]] = defaultdict(list)
        for at, line in enumerate(old):
            if at not in taken:
                free[name_of(line)].append(at)
        for at, line in enumerate(new):
            alike = free[name_of(line)] if at not in found else []
            twin = next((each for each in alike if fits(old[each], line)), None)
            if twin is not None:
                found[at] = twin
                taken.add(twin)
                alike.remove(twin)
    return found


def _procedure(line: Any) -> str:
    procedure = line.get("procedure") or {}
    return str(procedure.get("code") or procedure.get("text") or "")


def _identifier(line: Any) -> str:
    return str(line.get("identifier", ""))


def _named(old: Any, _new: Any) -> bool:
    return "identifier" in old


def _not_both_named(old: Any, new: Any) -> bool:
    """A sender may begin or cease to number its lines, but two numbers are two lines."""
    return "identifier" not in old or "identifier" not in new


#: How a line is known again, the surest way first: by what it is looked up, and whether it then is the same one
_WAYS: tuple[tuple[Callable[[Any], str], Callable[[Any, Any], bool]], ...] = (
    (_procedure, operator.eq),
    (_identifier, _named),
    (_procedure, _not_both_named),
)


def _earlier(before: Document, after: Document, path: Path) -> Path | None:
    """The path of the same thing in the document before; None for a line that was not there yet."""
    if path[0] != "lines" or len(path) == 1 or not isinstance(path[1], int):
        return path
    at = _partners(before.get("lines", []), after.get("lines", [])).get(path[1])
    return None if at is None else ("lines", at, *path[2:])


#: fields whose names make no sentence
_PLAINLY: dict[Path, str] = {
    ("sent_to",): "It was sent to",
    ("authorizations",): "It was answered with",
    ("concerns",): "It is about",
    ("actions",): "What it asks for (AUT-29) is",
}


def _told(each: Difference, after: Document) -> str:
    if each.what in ("began", "ended"):
        return _told_line(each)
    name, start = str(each.field[-1]).replace("_", " "), "The"
    if each.field[0] == "lines":
        start = f"{_title(int(each.field[1]), after['lines'][each.field[1]])}: the"
    if each.field in _PLAINLY and each.after is not None:
        before = f"; before: {said(each.before)}" if each.before is not None else ""
        return f"{_PLAINLY[each.field]} {said(each.after)}{before}."
    were = "were" if name.endswith("s") and not name.endswith("status") else "was"
    if each.what == "removed":
        return f"{start} {name} {were} removed; before: {said(each.before)}."
    if each.what == "set":
        return f"{start} {name} {were} set to {said(each.after)}."
    return f"{start} {name} changed from {said(each.before)} to {said(each.after)}."


def _told_line(each: Difference) -> str:
    title = _title(int(each.field[1]), each.after or each.before)
    if each.what == "ended":
        return f"{title}, ended."
    values = {key.replace("_", " "): value for key, value in each.after.items() if key != "procedure" and value}
    holds = "; ".join(f"{name} {said(value)}" for name, value in values.items())
    return f"{title}, began: {holds}." if holds else f"{title}, began."


def _title(number: int, line: Any) -> str:
    """`Line 2, Hearing test (HEAR-TEST)`."""
    procedure = value_at(line, ("procedure",))
    return f"Line {number + 1}, {said(procedure)}" if procedure else f"Line {number + 1}"
