"""The shape of a profile file: what a profile can say of messages, groups, segments, fields and components.

Imports wire, rules.strict_yaml, rules.profile_words, rules.tables, rules.finding, rules.status and rules.dialect only.

A key marked "by version" may hold one value, or a mapping `first version: value`.
"""

from typing import Literal, NamedTuple, Self

from pydantic import PrivateAttr, model_validator

from hl7auth.rules.dialect import Dialect
from hl7auth.rules.finding import Severity
from hl7auth.rules.profile_words import (
    Cardinality,
    ConformanceLength,
    DeletePattern,
    Kind,
    Length,
    Number,
    Text,
    Usage,
    Verb,
)  # fmt: skip
from hl7auth.rules.status import StatusMap
from hl7auth.rules.strict_yaml import Strict
from hl7auth.rules.tables import Table, Version


class Binding(Strict):
    """A table that the codes come from. Required and closed: any other code is an error; required and open, or
    suggested and closed: a warning; suggested and open: an alert. Silent: closed for an HL7-defined table, else open.
    """

    table: str
    strength: Literal["required", "suggested"] = "required"
    extensibility: Literal["open", "closed"] | None = None


class Element(Strict):
    """What can be said of a field and of a component alike.

    `verb` or `usage` (R, RE, O, C(a/b) ..., by version): one of the two. `condition` decides what C(a/b) means; with
    MAY it makes the element required where it is true. `length` is LEN and `conformance_length` C.LEN with `#` (may be
    truncated) or `=` (never), both by version. `type` is a data type or a flavour, by version. `constant` is the one
    value that there may be. `table` is a binding whose strength is the table's own. `severity` is the worst that a
    breach can be, `severities` what a breach of one kind is: `{usage: warning, length: error}`.
    """

    name: str = ""
    verb: Verb | dict[Version, Verb] | None = None
    usage: Usage | dict[Version, Usage] | None = None
    condition: Text | None = None
    length: Length | dict[Version, Length | None] | None = None
    conformance_length: ConformanceLength | dict[Version, ConformanceLength] | None = None
    type: str | dict[Version, str] | None = None
    constant: str | None = None
    table: str | None = None
    binding: Binding | None = None
    severity: Severity | None = None
    severities: dict[Kind, Severity] = {}
    components: "dict[Number, Component]" = {}

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.verb is not None and self.usage is not None:
            raise ValueError("verb and usage say the same thing: only one of them may stand here")
        if self.table is not None and self.binding is not None:
            raise ValueError("table and binding say the same thing: only one of them may stand here")
        return self


class Component(Element):
    """Rules for one component of a field, or for one subcomponent of a component."""


class FieldProfile(Element):
    """Rules for one field. `cardinality` is `min..max` with `*` for many; `since` the first version that has it;
    `pre_adopted` allows a field of a later version in an earlier one, or a withdrawn one in a later.
    """

    cardinality: Cardinality | None = None
    since: Version | None = None
    pre_adopted: bool = False


class SegmentProfile(Strict):
    """Rules for one segment. `severity` is what a breach is where the field does not say; `fields` by number.

    `delete_pattern`: which segments of `""` delete all and need no required fields (chapter 2, 2.10.4.1): every field
    has it, the first one alone, or the `key` field alone. `section` is where HL7 describes the segment, by version. A
    segment that the dictionary does not know (a Z segment) is what its fields say.
    """

    name: str = ""
    section: str | dict[Version, str] | None = None
    severity: Severity = "error"
    delete_pattern: tuple[DeletePattern, ...] = ("all_fields",)
    key: Number | None = None
    fields: dict[Number, FieldProfile] = {}

    @model_validator(mode="after")
    def _key_is_known(self) -> Self:
        if "key" in self.delete_pattern and self.key is None:
            raise ValueError("delete_pattern names the key: `key` must say which field that is")
        return self


class Statement(Strict):
    """A conformance statement: a condition that must hold.

    `scope` segment: for every such segment. Group: the same, and a path to another segment means the one in the same
    group (the AUT under this PR1). Message: once, and `segment` may be left out.
    """

    id: str
    segment: str = "MSH"
    holds: Text
    text: str
    severity: Severity = "warning"
    scope: Literal["segment", "group", "message"] = "segment"

    @model_validator(mode="after")
    def _segment_is_said(self) -> Self:
        if self.scope != "message" and "segment" not in self.model_fields_set:
            raise ValueError("key 'segment' is missing: only a statement with scope message needs none")
        return self


class Structure(Strict):
    """`essential`: segments whose place and presence the engine relies on; a fault there is an error."""

    essential: tuple[str, ...] = ()


class GroupProfile(Strict):
    """What a profile changes about one group or segment of a structure. Verb SHALL or usage R: it comes at least once;
    SHALL NOT or X: it does not come."""

    cardinality: Cardinality | None = None
    verb: Verb | None = None
    usage: Literal["R", "RE", "O", "X"] | None = None


class Applies(Strict):
    """The messages that a profile is for; an empty list means any. `identifiers` are those of MSH-21.1."""

    messages: tuple[str, ...] = ()
    versions: tuple[Version, ...] = ()
    identifiers: tuple[str, ...] = ()


class Flavour(Strict):
    """A data type that constrains another one, by what it says of its components."""

    base: str
    length: Length | None = None
    components: dict[Number, Component] = {}


class Departing(NamedTuple):
    """What one file departs from: the places that it names, those that it relaxes over what it extends, and those that
    what it extends departs from already."""

    named: tuple[str, ...] = ()
    relaxed: frozenset[str] = frozenset()
    inherited: frozenset[str] = frozenset()


class Profile(Strict):
    """A profile file, with everything it inherits once `resolved`.

    `departs` names the places where it relaxes what HL7, or what it extends, requires (`AUT-2`, `AUT-6.1`,
    `RPA_I08.PROCEDURE`, and `CWE_CODED.3` of a flavour that it redefines). `structures` are abstract syntaxes of its
    own, `events` the structure of a message (`ZQA^Z02: ZQA_Z02`), `groups` changes to a structure. `severities` are by
    rule id (`AUT-13.usage`).
    """

    profile: str
    title: str
    source: str = ""
    extends: str | None = None
    departs: tuple[str, ...] = ()
    applies: Applies | None = None
    structures: dict[str, str] = {}
    events: dict[str, str] = {}
    groups: dict[str, dict[str, GroupProfile]] = {}
    segments: dict[str, SegmentProfile] = {}
    flavours: dict[str, Flavour] = {}
    statements: tuple[Statement, ...] = ()
    structure: Structure | None = None
    tables: dict[str, Table] = {}
    status: StatusMap | None = None
    severities: dict[str, Severity] = {}
    dialect: Dialect | None = None
    _places: dict[str, str] = PrivateAttr(default_factory=dict)
    _departing: Departing = PrivateAttr(default=Departing())

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        ids = [each.id for each in self.statements]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f"statements: the id '{twice[0]}' is there twice")
        return self

    @property
    def places(self) -> dict[str, str]:
        """`file:line` of every key of the file and of those that it extends: `segments.AUT.fields.2.verb`."""
        return self._places

    @property
    def departing(self) -> Departing:
        """What the profile's own file departs from."""
        return self._departing

    def depart(self, departing: Departing) -> None:
        """Keeps what the profile's own file departs from: what it extends is known only where the two are merged."""
        self._departing = departing

    def place(self, *keys: str | int) -> str:
        """`file:line` of a key, or of the nearest one around it; empty where the profile says nothing of it."""
        for end in range(len(keys), 0, -1):
            found = self._places.get(".".join(map(str, keys[:end])))
            if found:
                return found
        return ""
