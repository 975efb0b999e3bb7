"""The steps of a channel as people write them: a list of mappings, each with one verb.

Imports rules, wire, steps and pydantic only. docs/reference/steps.md is drawn from it.
"""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from hl7auth.rules.strict_yaml import Strict
from hl7auth.steps.forms import (
    Add,
    Charset,
    Copy,
    Date,
    Join,
    Name,
    Remove,
    Said,
    Split,
    Translate,
    Value,
    Version,
)
from hl7auth.steps.literal import check_part
from hl7auth.steps.shape import (
    CharsetText,
    ConditionText,
    FunctionText,
    NameText,
    PlaceText,
    Shape,
    VersionText,
    meant,
)

MAX_SECONDS = 60


class MatchStep(Shape):
    """Let a message pass only where the condition holds; drop all others."""

    match: ConditionText = Field(description="the condition, in the language of profiles")


class DropStep(Shape):
    """Drop a message where the condition holds: it is not sent, and no later step runs."""

    drop: ConditionText = Field(description="the condition, in the language of profiles")


class WhenStep(Shape):
    """Do steps only where a condition holds, and others where it does not."""

    when: ConditionText = Field(description="the condition; a place means the first such segment of the message")
    steps: "tuple[Step, ...]" = Field(min_length=1, description="what is done where it holds")
    otherwise: "tuple[Step, ...]" = Field((), description="what is done where it does not")


class EachStep(Shape):
    """Do steps once for each segment of a name. Within, a place in such a segment means the one of the turn."""

    each: NameText = Field(description="the name of the segment")
    when: ConditionText | None = Field(None, description="only for segments of which this holds")
    steps: "tuple[Step, ...]" = Field(min_length=1, description="what is done for each")


class SetStep(Shape):
    """Give places a fixed value. An empty text empties a place, '""' is HL7's delete indicator."""

    set: dict[PlaceText, Value] = Field(
        min_length=1,
        description="values by place; one with `^ ~ & | \\` says what it means: `{hl7: A^B}` or `{text: 'A^B'}`",
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for text, value in self.set.items():
            if isinstance(value, Said) and value.hl7 is not None:
                check_part(value.hl7, text)
        return self


class CopyStep(Shape):
    """Copy a value, also an empty one, to another place."""

    copy_: Copy = Field(alias="copy", description="from where to where")


class MoveStep(Shape):
    """Copy a value to another place and empty the place where it was."""

    move: Copy = Field(description="from where to where")


class SplitStep(Shape):
    """Split a value at a separator into several places."""

    split: Split = Field(description="what is split, and where the parts go")


class JoinStep(Shape):
    """Join several values into one place."""

    join: Join = Field(description="what is joined, and where it goes")


class TranslateStep(Shape):
    """Translate codes by a table."""

    translate: Translate = Field(description="what is translated, and by which table")


class DateStep(Shape):
    """Write a date in another format."""

    date: Date = Field(description="which date, from and to which format")


class NameStep(Shape):
    """Write a person's name in another form."""

    name: Name = Field(description="which name, and how")


class AddStep(Shape):
    """Add a segment, or a repetition of a field."""

    add: Add = Field(description="what is added, and where")


class RemoveStep(Shape):
    """Remove segments, or repetitions of a field."""

    remove: Remove = Field(description="what is removed")


class VersionStep(Shape):
    """Send the message as another version. The short form names the version alone."""

    version: VersionText | Version = Field(description="the version, or how to get there")


class CharsetStep(Shape):
    """Send the message in another character set. The short form names the set alone."""

    charset: CharsetText | Charset = Field(description="the name, or how to get there")


class PythonStep(Shape):
    """Call a function of a module beside the channel with the message as python-hl7 parses it."""

    python: FunctionText = Field(description="`module:function`")
    seconds: float = Field(2, gt=0, le=MAX_SECONDS, description="how long a call may take")


STEPS: dict[str, type[Shape]] = {
    "match": MatchStep,
    "drop": DropStep,
    "when": WhenStep,
    "each": EachStep,
    "set": SetStep,
    "copy": CopyStep,
    "move": MoveStep,
    "split": SplitStep,
    "join": JoinStep,
    "translate": TranslateStep,
    "date": DateStep,
    "name": NameStep,
    "add": AddStep,
    "remove": RemoveStep,
    "version": VersionStep,
    "charset": CharsetStep,
    "python": PythonStep,
}
"""The verbs, in the order of the reference page."""


def verb_of(step: Any) -> str:
    """The verb of a step, as a mapping or as a model; empty where it has none or several."""
    if isinstance(step, Shape):
        return next(verb for verb, model in STEPS.items() if isinstance(step, model))
    if "each" in step:
        return "each"  # it has a `when` of its own
    found = [verb for verb in STEPS if verb in step]
    return found[0] if len(found) == 1 else ""


def _one_verb(step: Any) -> Any:
    if isinstance(step, Shape) or (isinstance(step, dict) and verb_of(step)):
        return step
    if isinstance(step, dict) and step and not any(key in STEPS for key in step):
        first = str(next(iter(step)))
        raise ValueError(f"unknown step '{first}' {meant(first, list(STEPS))}")
    raise ValueError(f"a step is a mapping with one verb (allowed: {', '.join(STEPS)})")


def _tag(step: Any) -> str:
    return f"{verb_of(step)} step"  # never a key of the file, so that mistakes are found at their line


Step = Annotated[
    Annotated[MatchStep, Tag("match step")]
    | Annotated[DropStep, Tag("drop step")]
    | Annotated[WhenStep, Tag("when step")]
    | Annotated[EachStep, Tag("each step")]
    | Annotated[SetStep, Tag("set step")]
    | Annotated[CopyStep, Tag("copy step")]
    | Annotated[MoveStep, Tag("move step")]
    | Annotated[SplitStep, Tag("split step")]
    | Annotated[JoinStep, Tag("join step")]
    | Annotated[TranslateStep, Tag("translate step")]
    | Annotated[DateStep, Tag("date step")]
    | Annotated[NameStep, Tag("name step")]
    | Annotated[AddStep, Tag("add step")]
    | Annotated[RemoveStep, Tag("remove step")]
    | Annotated[VersionStep, Tag("version step")]
    | Annotated[CharsetStep, Tag("charset step")]
    | Annotated[PythonStep, Tag("python step")],
    Discriminator(_tag),
    BeforeValidator(_one_verb),
]


class StepsFile(Strict):
    """A file of steps alone, for trying them."""

    steps: tuple[Step, ...]


for _model in (WhenStep, EachStep, StepsFile):
    _model.model_rebuild()
