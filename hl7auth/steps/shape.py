"""What every mapping in a list of steps keeps: unknown keys are named with what is allowed, texts stand in quotes.

Imports rules, wire, steps and pydantic only.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from hl7auth.rules.predicate import compile_condition
from hl7auth.rules.strict_yaml import Strict
from hl7auth.steps import dates, names
from hl7auth.steps.literal import check_segment
from hl7auth.steps.place import read_place, read_segment
from hl7auth.wire.charset import CODECS
from hl7auth.wire.versions import VERSIONS

CHARSETS = tuple(name for name, codec in CODECS.items() if codec not in ("utf_16", "utf_32"))
"""What a message can be written in: its MSH must be readable as ASCII."""

_FUNCTION = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


class Shape(Strict):
    """A mapping of a step. Keys that are words of Python have another name inside, and their own in the file."""

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        allowed = keys_of(cls)
        unknown = [key for key in data if key not in allowed]
        if unknown:
            raise ValidationError.from_exception_data(
                cls.__name__, [_unknown(key, data[key], allowed) for key in unknown]
            )
        return data


def keys_of(model: type[Strict]) -> list[str]:
    """The keys of a mapping as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def meant(word: str, allowed: list[str]) -> str:
    """`did you mean ...` or `allowed: ...`, in brackets."""
    close = get_close_matches(word, allowed, n=1)
    return f"(did you mean '{close[0]}'?)" if close else f"(allowed: {', '.join(allowed)})"


def asks_this(condition: str) -> bool:
    """True where a condition speaks of `this`."""
    return any(path.scope == "this" for path in compile_condition(condition).paths)


def _unknown(key: Any, value: Any, allowed: list[str]) -> InitErrorDetails:
    text = f"unknown key {meant(str(key), allowed)}"
    error = PydanticCustomError("unknown_key", "{text}", {"text": text})
    return InitErrorDetails(type=error, loc=(key if isinstance(key, str | int) else str(key),), input=value)


def _quoted(value: Any) -> Any:
    if not isinstance(value, str | dict | list):
        raise ValueError("a text is expected: write the value in quotes")
    return value


def _place(text: str) -> str:
    read_place(text)
    return text


def _repetition(text: str) -> str:
    if read_place(text).component:
        raise ValueError(f"{text} names a component, and a field is expected, as PID-3 or PID-3[2]")
    return text


def _segment(text: str) -> str:
    read_segment(text)
    return text


def _removable(text: str) -> str:
    if read_segment(text).segment == "MSH":
        raise ValueError("there is no message without MSH")
    return text


def _name(text: str) -> str:
    if read_segment(text).occurrence:
        raise ValueError(f"{text}: the name of a segment is expected, as AUT")
    return text


def _condition(text: str) -> str:
    condition = compile_condition(text)
    if condition.asks_group:
        raise ValueError(f"a step knows no groups: 'group.' has no place in condition: {text}")
    if asks_this(text):
        raise ValueError(f"'this' has a meaning only where repetitions are removed, in condition: {text}")
    return text


def _any_condition(text: str) -> str:
    if compile_condition(text).asks_group:
        raise ValueError(f"a step knows no groups: 'group.' has no place in condition: {text}")
    return text


def _version(text: str) -> str:
    return _one_of(text, VERSIONS, "version")


def _charset(text: str) -> str:
    return _one_of(text, CHARSETS, "character set")


def _one_of(text: str, allowed: Sequence[str], what: str) -> str:
    if text not in allowed:
        raise ValueError(f"unknown {what} '{text}' (allowed: {', '.join(allowed)})")
    return text


def _function(text: str) -> str:
    if not _FUNCTION.fullmatch(text):
        raise ValueError(f"'{text}' is no function: write module:function")
    return text


def _date_source(text: str) -> str:
    return text if text == "hl7" else dates.check_format(text)


Text = Annotated[str, BeforeValidator(_quoted)]
PlaceText = Annotated[Text, AfterValidator(_place)]
FieldText = Annotated[Text, AfterValidator(_repetition)]
SegmentText = Annotated[Text, AfterValidator(_segment)]
RemovableText = Annotated[Text, AfterValidator(_removable)]
NameText = Annotated[Text, AfterValidator(_name)]
SegmentLiteral = Annotated[Text, AfterValidator(check_segment)]
ConditionText = Annotated[Text, AfterValidator(_condition)]
AnyConditionText = Annotated[Text, AfterValidator(_any_condition)]
DateFormat = Annotated[Text, AfterValidator(dates.check_format)]
DateSource = Annotated[Text, AfterValidator(_date_source)]
VersionText = Annotated[Text, AfterValidator(_version)]
CharsetText = Annotated[Text, AfterValidator(_charset)]
FunctionText = Annotated[Text, AfterValidator(_function)]
NameFormatText = Annotated[Text, AfterValidator(names.check_format)]
