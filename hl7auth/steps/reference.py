"""The reference page of steps, drawn from their models.

Imports steps, wire and pydantic only. `python -m hl7auth.steps.reference` prints docs/reference/steps.md.
"""

import inspect
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hl7auth.steps import dates, names, place, shape
from hl7auth.steps.model import STEPS
from hl7auth.steps.shape import Shape
from hl7auth.steps.versions import LAST_FIELDS

_KINDS: tuple[tuple[Any, str], ...] = (
    (shape.PlaceText, "place"),
    (shape.FieldText, "place of a field"),
    (shape.SegmentText, "segment"),
    (shape.RemovableText, "segment"),
    (shape.NameText, "segment name"),
    (shape.SegmentLiteral, "segment as HL7"),
    (shape.ConditionText, "condition"),
    (shape.AnyConditionText, "condition"),
    (shape.DateFormat, "date format"),
    (shape.DateSource, "date format, or hl7"),
    (shape.NameFormatText, "name format"),
    (shape.VersionText, "version"),
    (shape.CharsetText, "character set"),
    (shape.FunctionText, "module:function"),
    (shape.Text, "text"),
)

EXAMPLES = {
    "match": "- match: MSH-9.1 in {'RQA', 'REF'}",
    "drop": "- drop: PV1-2 = 'O'",
    "when": "- when: AUT-14.1 = 'PE'\n  steps:\n  - set: {RF1-1: P}\n  otherwise:\n  - set: {RF1-1: A}",
    "each": "- each: AUT\n  when: AUT-9 = '0'\n  steps:\n  - set: {AUT-14.1: DE}",
    "set": "- set: {PID-8: U, 'PID-3[1].4': NORTH, AUT-1: {hl7: GOLD^Gold plan^L}, AUT-28: {text: Ask R&D}}",
    "copy": "- copy: {from: AUT-6.1, to: ZAU-2}",
    "move": "- move: {from: PR1-2, to: PR1-3.3}",
    "split": "- split: {from: PID-5.1, at: ' ', to: [PID-5.1, PID-5.2]}",
    "join": "- join: {from: [PRD-2.2, PRD-2.1], with: ' ', to: AUT-25}",
    "translate": "- translate: {field: AUT-14, table: tables/status.csv, unmapped: refuse}\n"
    "- translate: {field: PID-8, table: {W: F, M: M}, unmapped: U}",
    "date": "- date: {field: PID-7, to: YYYYMMDD}\n"
    "- date: {field: AUT-4, from: DD.MM.YYYY, to: YYYYMMDD, invalid: refuse}",
    "name": "- name: {field: PID-5, from: 'family, given middle', case: title}",
    "add": "- add: {segment: 'ZAU|0|1', after: 'AUT[*]'}\n- add: {repetition: 77001^^^NORTH^MR, to: PID-3}",
    "remove": "- remove: {segment: ZIN}\n- remove: {repetition: PID-3, where: this.5 = 'SS'}",
    "version": "- version: '2.4'\n- version: {to: '2.5.1', action_codes: drop, beyond: cut}",
    "charset": "- charset: 8859/1\n- charset: {to: ASCII, lacking: refuse}",
    "python": "- python: site_steps:tidy\n  seconds: 0.5",
}
"""One for each verb, as it stands in a list of steps."""

_HEAD = """# Steps

Drawn from the models in `hl7auth.steps`; a test compares this page with them. A list of steps is run from top to
bottom over each message; every step is a mapping with one verb. Bytes that no step names stay as they came.

"""


def page() -> str:
    """The whole page as Markdown."""
    return _HEAD + "\n".join([*_verbs(), *_forms(), *_versions()]).rstrip() + "\n"


def _verbs() -> Iterator[str]:
    yield "| verb | what it does |\n| --- | --- |"
    for verb, model in STEPS.items():
        yield f"| [`{verb}`](#{verb}) | {_text(model).splitlines()[0]} |"
    for verb, model in STEPS.items():
        yield f"\n## {verb}\n\n{_text(model)}\n\n```yaml\n{EXAMPLES[verb]}\n```\n"
        inner = [form for field in model.model_fields.values() for form in _forms_of(field)]
        yield from _table(model)
        for form in inner:
            yield f"\n{_text(form)}\n"
            yield from _table(form)


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | value | default | meaning |\n| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        kind = _kind(field.annotation, field.metadata).replace("|", "\\|")
        text = (field.description or "").replace("|", "\\|")
        yield f"| `{field.alias or name}` | {kind} | {_default(field)} | {text} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value in (None, ()):
        return ""
    return '`""`' if value == "" else f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def _kind(annotation: Any, metadata: list[Any] | None = None) -> str:
    """What stands there, in words. A constraint that pydantic took off the annotation is put back to be recognised."""
    whole = Annotated[annotation, *metadata] if metadata else annotation
    for known, word in _KINDS:
        if known == whole or (metadata and get_args(known)[1:] == tuple(metadata)):
            return word
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in inner)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(each) for each in inner if each is not type(None)))
    if origin is dict:
        return f"mapping of {_kind(inner[0])} to {_kind(inner[1])}"
    if origin is tuple:
        known = any(known == inner[0] for known, _ in _KINDS)
        return f"list of {_kind(inner[0])}s" if known else "list of steps"
    plain = {str: "text", bool: "true, false", float: "seconds"}
    return plain.get(annotation) or "mapping, see below"


def _forms_of(field: FieldInfo) -> list[type[Shape]]:
    """The mappings that a key can hold, other than steps."""
    found, left = [], [field.annotation]
    while left:
        each = left.pop(0)
        if inspect.isclass(each) and issubclass(each, Shape) and each not in STEPS.values():
            found.append(each)
        else:
            left += get_args(each)
    return found


def _text(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "")


def _forms() -> Iterator[str]:
    for title, module in (("Places", place), ("Dates", dates), ("Names", names)):
        yield f"\n## {title}\n\n{_body(module)}\n"


def _body(module: Any) -> str:
    """The docstring of a module without what it says to programmers."""
    paragraphs = inspect.cleandoc(module.__doc__).split("\n\n")
    return "\n\n".join(each for each in paragraphs if not each.startswith("Imports "))


def _versions() -> Iterator[str]:
    yield "\n## Fields by version\n\nWhat `beyond: cut` leaves of a segment.\n"
    yield "| segment | fields |\n| --- | --- |"
    for name, counts in LAST_FIELDS.items():
        yield f"| {name} | " + ", ".join(f"{count} from {since}" for since, count in reversed(counts)) + " |"


if __name__ == "__main__":  # pragma: no cover
    print(page(), end="")  # noqa: T201 - a page is printed
