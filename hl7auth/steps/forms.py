"""The mappings behind the verbs of steps: what is written from where to where, and what happens to odd values.

Imports rules, wire, steps and pydantic only. docs/reference/steps.md is drawn from it.
"""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from hl7auth.steps.literal import check_part, has_structure
from hl7auth.steps.place import ALL, read_place
from hl7auth.steps.shape import (
    AnyConditionText,
    CharsetText,
    DateFormat,
    DateSource,
    FieldText,
    NameFormatText,
    PlaceText,
    RemovableText,
    SegmentLiteral,
    SegmentText,
    Shape,
    Text,
    VersionText,
    asks_this,
    meant,
)

Otherwise = Literal["keep", "empty", "refuse"]
_WORDS = get_args(Otherwise)


class Said(Shape):
    """A value that says how it is meant: `text` is data, whatever signs it has; `hl7` has components in `^ ~ & \\`."""

    text: Text | None = None
    hl7: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.text is None) == (self.hl7 is None):
            raise ValueError("one of the keys text and hl7 is expected")
        return self


def _value(value: Any) -> Any:
    if not isinstance(value, str | dict):
        raise ValueError("a text is expected: write the value in quotes")
    if isinstance(value, str) and has_structure(value):
        raise ValueError(f"say what the signs mean: {{hl7: '{value}'}} for components, {{text: '{value}'}} for data")
    return Said.model_validate(value) if isinstance(value, dict) else value


Value = Annotated[str | Said, BeforeValidator(_value)]


class Copy(Shape):
    """From where to where; the text goes as the sender wrote it. What is too much for the target is its first part."""

    source: PlaceText = Field(alias="from", description="the place that is read")
    to: PlaceText = Field(description="the place that is written")

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        _check_pairs((self.source,), (self.to,))
        return self


class Split(Shape):
    """A value in parts. Where the separator is not found, nothing changes; the last place gets all that is left."""

    source: PlaceText = Field(alias="from", description="the place that is read")
    at: Text = Field(min_length=1, description="the separator")
    to: tuple[PlaceText, ...] = Field(min_length=2, description="the places for the parts, in order")

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        _check_pairs((self.source,), self.to)
        return self


class Join(Shape):
    """Values put together. Empty ones are left out; where all are empty, nothing changes."""

    sources: tuple[PlaceText, ...] = Field(alias="from", min_length=2, description="the places that are read, in order")
    between: Text = Field("", alias="with", description="what stands between two values")
    to: PlaceText = Field(description="the place that is written")

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        _check_pairs(self.sources, (self.to,))
        return self


class Translate(Shape):
    """Codes by a table. A place without a component means its first; empty and deleted values are left alone."""

    field: PlaceText = Field(description="the place that is read")
    table: Text | dict[Text, Text] = Field(
        description="a CSV file, its path seen from the channel's folder, with the columns `from,to`; or a mapping"
    )
    to: PlaceText | None = Field(None, description="the place that is written, where it is another one")
    column: Text = Field("to", description="the column of the file that holds the new values")
    unmapped: Text = Field(
        "keep",
        description="a value that the table does not have: keep it, empty the place, refuse the message, "
        "or the value to write; it is reported in every case",
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _check_pairs((self.field,), (self.to or self.field,))
        word = self.unmapped
        if word not in _WORDS and (hint := meant(word.lower(), list(_WORDS))).startswith("(did"):
            raise ValueError(f"unmapped: '{word}' {hint}")
        return self


class Date(Shape):
    """A date in another format. A place without a component means its first; empty and deleted values stay."""

    field: PlaceText = Field(description="the place")
    to: DateFormat = Field(description="the format, as YYYYMMDD or DD.MM.YYYY HH:MM")
    source: DateSource = Field(
        "hl7", alias="from", description="the format that is read; hl7 takes all that HL7 allows"
    )
    fill: bool = Field(
        False, description="missing months and days become 01, missing times 00; else nothing is made up"
    )
    invalid: Otherwise = Field("keep", description="a value that is no date, or lacks parts: keep, empty or refuse")


class Name(Shape):
    """A person's name: read from one text into components, written from components into one text, or its case."""

    field: FieldText = Field(description="the field; each repetition is a name")
    type: Literal["XPN", "XCN"] = Field("XPN", description="where the components stand: XCN has an identifier first")
    source: NameFormatText | None = Field(
        None, alias="from", description="read the family name as text, as `family, given`"
    )
    to: NameFormatText | None = Field(
        None, description="write the name as text, as `given family`, into the family name"
    )
    case: Literal["upper", "lower", "title"] | None = Field(None, description="letters of the name")
    invalid: Otherwise = Field("keep", description="a text that lacks the signs of the format: keep, empty or refuse")

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.source or self.to or self.case):
            raise ValueError("one of the keys from, to and case is expected")
        return self


class Add(Shape):
    """One segment, behind the last `after` or before the first `before`; `AUT[*]` adds one at each. Or a repetition."""

    segment: SegmentLiteral | None = Field(
        None, description="the segment, as 'NTE|1||Checked', in the delimiters `|^~\\&`"
    )
    after: SegmentText | None = Field(None, description="behind which segment (default: at the end)")
    before: RemovableText | None = Field(None, description="before which segment")
    repetition: Text | None = Field(None, description="the repetition, as '123^^^ACME^MR'")
    to: FieldText | None = Field(None, description="the field that gets the repetition")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.segment is None) == (self.repetition is None):
            raise ValueError("one of the keys segment and repetition is expected")
        if (self.repetition is None) != (self.to is None):
            raise ValueError("the keys repetition and to go together")
        if (self.after and self.before) or (self.repetition is not None and (self.after or self.before)):
            raise ValueError("a segment goes behind or before another, a repetition goes to a field")
        if self.to and read_place(self.to).repetition:
            raise ValueError(f"to: {self.to} names a repetition, and the new one is always the last")
        if self.repetition is not None:
            check_part(self.repetition, f"{self.to}[1]")
        return self


class Remove(Shape):
    """Segments with all they hold, or repetitions of a field; the others move up."""

    segment: RemovableText | None = Field(
        None, description="which segments: `ZIN` and `ZIN[*]` all of them, `ZIN[2]` one"
    )
    repetition: FieldText | None = Field(None, description="which repetitions: `PID-3[2]`, or `PID-3` with `where`")
    where: AnyConditionText | None = Field(
        None, description="only those of which this holds; `this.4` is component 4 of the repetition"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.segment is None) == (self.repetition is None):
            raise ValueError("one of the keys segment and repetition is expected")
        if self.segment and self.where and asks_this(self.where):
            raise ValueError(f"'this' has a meaning only where repetitions are removed, in condition: {self.where}")
        if self.repetition and not read_place(self.repetition).repetition and not self.where:
            raise ValueError(f"repetition: say which, as {self.repetition}[2] or with where (set empties a field)")
        return self


class Version(Shape):
    """MSH-12, and what the version demands of action codes, of the fields of AUT and RF1, and of ERR."""

    to: VersionText = Field(description="the version for MSH-12.1")
    action_codes: Literal["refuse", "drop"] = Field(
        "refuse", description="a valued AUT-29 or RF1-25 below 2.8: refuse the message, or empty the field"
    )
    beyond: Literal["keep", "cut"] = Field(
        "keep", description="fields of AUT and RF1 that the version does not have, and units of AUT-8 and 9 below 2.7"
    )
    err: Literal["convert", "keep"] = Field(
        "convert", description="ERR in the form of the version: ERR-1 up to 2.4, ERR-2 to 4 from 2.5"
    )


class Charset(Shape):
    """The character set of the whole message, and MSH-18."""

    to: CharsetText = Field(description="the name in table 0211")
    lacking: Literal["escape", "refuse"] = Field(
        "escape", description="characters that the set lacks: hexadecimal escapes of UTF-8, or refuse the message"
    )


def _check_pairs(sources: tuple[str, ...], targets: tuple[str, ...]) -> None:
    places = [read_place(text) for text in (*sources, *targets)]
    read = places[: len(sources)]
    if any(place.occurrence == ALL for place in read) and not all(place.occurrence == ALL for place in places):
        raise ValueError("[*] where a value is read needs [*] at every segment of the step: it pairs them in order")
    if any(place.repetition == ALL for place in read):
        raise ValueError("[*] behind a field that is read: leave it out (each repetition by itself, or the first)")
