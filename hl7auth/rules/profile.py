"""Conformance profiles as people write them: YAML files with `extends`, read strictly.

Imports wire, rules.strict_yaml, rules.tables, resources and errors only.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, field_validator

from hl7auth.errors import ConfigError, UserError
from hl7auth.resources import shipped
from hl7auth.rules.predicate import compile_condition
from hl7auth.rules.strict_yaml import Strict, load
from hl7auth.rules.tables import Table, Version
from hl7auth.wire.versions import VERSIONS, at_least

Severity = Literal["error", "warning", "information"]
Decision = Literal["pended", "approved", "partially_approved", "modified", "denied", "cancelled"]
Value = TypeVar("Value")
Number = Annotated[int, Field(ge=1, le=999)]
Length = Annotated[int, Field(gt=0)]
ConformanceLength = Annotated[str, Field(pattern=r"^\d+[#=]$")]


class Verb(StrEnum):
    """The conformance verbs of HL7 v2+ and what a breach is: SHALL an error, SHOULD a warning."""

    SHALL = "SHALL"
    SHOULD = "SHOULD"
    MAY = "MAY"
    SHALL_NOT = "SHALL NOT"


class Component(Strict):
    """Rules for one component of a field."""

    verb: Verb = Verb.MAY
    length: Length | None = None
    table: str | None = None


class FieldProfile(Strict):
    """Rules for one field. A key may hold one value, or a mapping `first version: value`.

    `cardinality` is `min..max` with `*` for many; `length` is the greatest length, in characters; `conformance_length`
    is C.LEN with `#` (may be truncated) or `=` (never); `condition` makes the field required where it is true;
    `pre_adopted` allows a field of a later version in an earlier one.
    """

    name: str = ""
    verb: Verb | dict[Version, Verb] | None = None
    cardinality: str | None = Field(None, pattern=r"^\d+\.\.(\d+|\*)$")
    since: Version | None = None
    type: str | dict[Version, str] | None = None
    length: Length | dict[Version, Length | None] | None = None
    conformance_length: ConformanceLength | dict[Version, ConformanceLength] | None = None
    table: str | None = None
    condition: str | None = None
    severity: Severity | None = None
    pre_adopted: bool = False
    components: dict[Number, Component] = {}

    @field_validator("condition")
    @classmethod
    def _readable(cls, text: str | None) -> str | None:
        if text is not None:
            compile_condition(text)
        return text

    @field_validator("cardinality")
    @classmethod
    def _possible(cls, text: str | None) -> str | None:
        low, _, high = (text or "0..*").partition("..")
        if high != "*" and int(high) < int(low):
            raise ValueError(f"'{text}' allows nothing: the least is more than the most")
        return text


class SegmentProfile(Strict):
    """Rules for one segment. `severity` is what a breach is where the field does not say; `fields` by number."""

    severity: Severity = "error"
    fields: dict[Number, FieldProfile] = {}


class Statement(Strict):
    """A conformance statement: a condition that every such segment must meet."""

    id: str
    segment: str
    holds: str
    text: str
    severity: Severity = "warning"

    @field_validator("holds")
    @classmethod
    def _readable(cls, text: str) -> str:
        compile_condition(text)
        return text


class Structure(Strict):
    """`essential`: segments whose place and presence the engine relies on; a fault there is an error."""

    essential: tuple[str, ...] = ()


class StatusMap(Strict):
    """How a message says what was decided: codes of AUT-14, and of RF1-1 where an answer has no AUT, by status."""

    approval_status: dict[str, Decision] = {}
    referral_status: dict[str, Decision] = {}

    @field_validator("approval_status", "referral_status")
    @classmethod
    def _folded(cls, names: dict[str, Decision]) -> dict[str, Decision]:
        return {name.strip().upper(): meaning for name, meaning in names.items()}


class Profile(Strict):
    """A profile file, with everything it inherits once `resolved`."""

    profile: str
    title: str
    source: str = ""
    extends: str | None = None
    segments: dict[str, SegmentProfile] = {}
    statements: tuple[Statement, ...] = ()
    structure: Structure | None = None
    tables: dict[str, Table] = {}
    status: StatusMap | None = None


def by_version(value: Value | Mapping[str, Value | None] | None, version: str) -> Value | None:
    """The value that holds in a version: of a mapping `first version: value`, the last one reached."""
    if not isinstance(value, Mapping):
        return value
    reached = [floor for floor in value if at_least(version, floor)]
    return value[max(reached, key=VERSIONS.index)] if reached else None


def profile_files(folder: Path | None = None) -> dict[str, Path]:
    """Every profile file by its name: the shipped ones, and over them those of a folder."""
    found = {path.stem: path for path in sorted(shipped("profiles").glob("*.yaml"))}
    if folder is not None:
        found |= {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return found


@cache
def resolved(name: str, folder: Path | None = None) -> Profile:
    """The profile of that name with all that it extends. Raises UserError for an unknown name, else ConfigError."""
    return _resolve(name, profile_files(folder), ())


def load_profile(path: Path) -> Profile:
    """A profile from any file, resolved against its neighbours and the shipped ones."""
    return _resolve(path.stem, profile_files(path.parent) | {path.stem: path}, ())


def _resolve(name: str, files: Mapping[str, Path], above: tuple[str, ...]) -> Profile:
    if name in above:
        raise ConfigError(f"{files[name]}: extends itself through {' -> '.join((*above, name))}")
    if name not in files:
        problem = f"unknown profile '{name}' (known: {', '.join(files)})"
        raise ConfigError(f"{files[above[-1]]}: extends: {problem}") if above else UserError(problem)
    own = load(files[name], Profile)
    if own.profile != name:
        raise ConfigError(f"{files[name]}:1: profile: must be '{name}', the name of the file")
    return own if own.extends is None else _merge(_resolve(own.extends, files, (*above, name)), own)


def _merge(base: Profile, own: Profile) -> Profile:
    segments = dict(base.segments)
    for name, segment in own.segments.items():
        inherited = segments.get(name, SegmentProfile())
        fields = dict(inherited.fields)
        for number, rules in segment.fields.items():
            fields[number] = _over(fields[number], rules) if number in fields else rules
        segments[name] = inherited.model_copy(update={**_said(segment), "fields": fields})
    replaced = {statement.id for statement in own.statements}
    statements = (*(kept for kept in base.statements if kept.id not in replaced), *own.statements)
    return own.model_copy(
        update={
            "segments": segments,
            "statements": statements,
            "structure": own.structure or base.structure,
            "tables": {**base.tables, **own.tables},
            "status": own.status or base.status,
        }
    )


def _over(base: FieldProfile, own: FieldProfile) -> FieldProfile:
    components = dict(base.components)
    for number, rules in own.components.items():
        components[number] = components.get(number, Component()).model_copy(update=_said(rules))
    return base.model_copy(update={**_said(own), "components": components})


def _said(model: Strict) -> dict[str, object]:
    """What the file really says, so that silence inherits."""
    return {key: getattr(model, key) for key in model.model_fields_set}
