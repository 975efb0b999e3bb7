"""What is wrong with the text of an element, field or component alike, and with the components that it holds.

Imports wire and rules only.
"""

from collections.abc import Iterator, Sequence

from hl7auth.rules.finding import Category, Severity
from hl7auth.rules.mend import mend_code, mend_length, mend_type, mend_usage
from hl7auth.rules.place import Scene
from hl7auth.rules.rule import ComponentRule, ElementRule, Verdict
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.escapes import unescape
from hl7auth.wire.message import NULL, part

Place = tuple[int, int, int]
"""Repetition, component and subcomponent."""

_USAGE: Category = "usage"
_PREDICATE: Category = "predicate"
_OPEN_TO_Z = frozenset({"0003", "0076", "0354"})
"""Tables of messages, events and structures: a code that begins with Z is nobody's mistake (chapter 2, 2.17)."""


def judge_text(element: ElementRule, raw: str, code: str, marks: Delimiters, place: Place) -> Iterator[Verdict]:
    """Table, lengths and constant; `code` is the part of the text that is looked up."""
    if not _is_code(element, code, marks) and not _may_be_outside(element, code):
        said = ("103", f"{_named(element)} is not in table {element.table}", mend_code(element))
        yield _verdict(element, "table", element.code_severity, said, place)
    yield from _lengths(element, raw, marks, place)
    if element.constant is not None:
        # a constant without components is that of the first one: what follows is not spoken of
        found = raw if marks.component and marks.component in element.constant else code
        if unescape(found, marks) != element.constant:
            text = f"{_named(element)} is not the value that the profile fixes"
            mend = f"Send '{element.constant}' in {element.path}."
            yield _verdict(element, "constant", "error", ("103", text, mend), place)


def _may_be_outside(element: ElementRule, code: str) -> bool:
    return code in ("", NULL) or (code[0] == "Z" and element.table in _OPEN_TO_Z)


def _is_code(element: ElementRule, code: str, marks: Delimiters) -> bool:
    """A code may hold a sign that has to be escaped on the wire."""
    codes = element.codes
    return codes is None or code in codes or (bool(marks.escape) and unescape(code, marks) in codes)


def _lengths(element: ElementRule, raw: str, marks: Delimiters, place: Place) -> Iterator[Verdict]:
    """A breach of length is a warning: the value is kept whole (chapter 2, 2.4.5)."""
    size = len(raw) - raw.count(marks.escape) if marks.escape else len(raw)  # the marks of an escape are not counted
    text = ""
    if element.length is not None and size > element.length:
        text = f"{_named(element)} is longer than {element.length} characters"
    elif size < element.shortest:
        text = f"{_named(element)} is shorter than {element.shortest} characters"
    elif element.lengths and size not in element.lengths:
        text = f"{_named(element)} is not {' or '.join(map(str, element.lengths))} characters long"
    if text:
        yield _verdict(element, "length", "warning", ("104", text, mend_length(element)), place)
    cut = marks.truncation
    if cut and element.truncated_at and size >= element.truncated_at and raw.endswith(cut):
        mend = f"Send the whole value, or agree on how much of {element.path} is kept."
        text = f"{_named(element)} was cut by the sender"
        yield _verdict(element, "truncated", "warning", ("104", text, mend), place)
    elif element.stored is not None and size > element.stored:
        mend = f"Ask whether the receiver keeps more than {element.stored} characters of {element.path}."
        text = f"{_named(element)} is longer than the {element.stored} characters that every receiver keeps (C.LEN)"
        yield _verdict(element, "conformance_length", "information", ("104", text, mend), place)


def judge_components(
    holder: ElementRule, raw: str, levels: Sequence[str], marks: Delimiters, place: Place, scene: Scene | None
) -> Iterator[Verdict]:
    """What is wrong with the parts of an element's text; `levels` are the marks that divide it, the first at once."""
    inside = scene._replace(this=raw, marks=levels) if scene is not None else None
    mark, *below = levels
    parts = raw.split(mark) if mark and mark in raw else [raw]
    for component in holder.components:
        number = component.number
        text = parts[number - 1] if number <= len(parts) else ""
        if text and below and below[0] and not text.strip(below[0]):
            text = ""  # separators alone: trailing ones, which may as well be left out
        if not text and component.usage == "O":
            continue  # nearly all of them
        where = (place[0], number, 0) if below else (place[0], place[1], number)
        yield from _usage(component, text, where, inside)
        if text and text != NULL and component.usage != "IX":
            if component.datatype:
                yield from _type(component, text, marks, where)
            yield from judge_text(component, text, part(text, below[0], 1) if below else text, marks, where)
            if component.components and below:
                yield from judge_components(component, text, below, marks, where, scene)


def _type(component: ComponentRule, text: str, marks: Delimiters, place: Place) -> Iterator[Verdict]:
    """The faults of a component whose data type is not the dictionary's."""
    for fault in component.types.component(component.datatype, text, marks, place[1], place[2]):
        severity: Severity = "error" if fault.severity == "E" else "warning"
        mend = mend_type(component.path, fault.datatype or component.datatype, fault.category)
        where = (place[0], fault.component, fault.subcomponent)
        yield _verdict(
            component, "type", severity, ("102", f"{_named(component)} {fault.text}", mend), where, fault.category
        )


def _usage(component: ComponentRule, text: str, place: Place, scene: Scene | None) -> Iterator[Verdict]:
    """SHALL and SHOULD of an empty component; SHALL NOT, withdrawn and kept for old receivers (B) of one that is there.

    By its condition, where it has one.
    """
    usage, category = component.usage, _USAGE
    if component.branches and component.condition:
        if scene is None:
            return
        usage, category = component.branches[0 if component.condition.test(scene) else 1], _PREDICATE
    missing = not text and usage in ("R", "RE")
    if not missing and not (text and usage in ("X", "W", "B")):
        return
    severity: Severity = "error" if usage in ("R", "X") else "information" if usage == "B" else "warning"
    if usage == "B":
        sentence = f"{_named(component)} is there for older receivers alone (B)"
    elif not missing:
        sentence = f"{component.path} is not used" + ("" if category is _USAGE else " here")
    elif category is _USAGE:
        sentence = f"{component.path} {component.verb} have a value"
    else:
        sentence = f"{component.path} is required here and is empty"
    code, mend = "101" if missing else "207", mend_usage(component, present=not missing)
    yield _verdict(component, "usage", severity, (code, sentence, mend), place, category)


_CATEGORIES: dict[str, Category] = {
    "table": "value set",
    "length": "length",
    "truncated": "length",
    "conformance_length": "length",
    "constant": "constraint",
}


def _verdict(
    element: ElementRule,
    kind: str,
    severity: Severity,
    said: tuple[str, str, str],
    place: Place,
    category: Category = "",
) -> Verdict:
    """`said` is the code of table 0357, the text and what mends it."""
    code, text, mend = said
    found = category or _CATEGORIES[kind]
    return Verdict(f"{element.path}.{kind}", severity, code, text, *place, kind, found, element, mend)


def _named(element: ElementRule) -> str:
    return f"{element.path} {element.name}" if element.name else element.path
