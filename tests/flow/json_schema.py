"""A small check of plain data against a JSON Schema: the words that the channel schema uses, others are an error."""

import re
from collections.abc import Callable, Iterator
from typing import Any

Schema = dict[str, Any]
_ANNOTATIONS = {"title", "description", "default", "$defs", "$schema", "$id"}
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "null": lambda value: value is None,
}
_CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "type": lambda value, wanted: _TYPES[wanted](value),
    "enum": lambda value, wanted: value in wanted,
    "const": lambda value, wanted: value == wanted,
    "pattern": lambda value, wanted: not isinstance(value, str) or re.search(wanted, value) is not None,
    "minimum": lambda value, wanted: not _is_number(value) or value >= wanted,
    "maximum": lambda value, wanted: not _is_number(value) or value <= wanted,
    "exclusiveMinimum": lambda value, wanted: not _is_number(value) or value > wanted,
    "exclusiveMaximum": lambda value, wanted: not _is_number(value) or value < wanted,
    "minLength": lambda value, wanted: not isinstance(value, str) or len(value) >= wanted,
    "maxLength": lambda value, wanted: not isinstance(value, str) or len(value) <= wanted,
    "minItems": lambda value, wanted: not isinstance(value, list) or len(value) >= wanted,
    "maxItems": lambda value, wanted: not isinstance(value, list) or len(value) <= wanted,
    "minProperties": lambda value, wanted: not isinstance(value, dict) or len(value) >= wanted,
    "required": lambda value, wanted: not isinstance(value, dict) or set(wanted) <= value.keys(),
    "format": lambda value, _: isinstance(value, str),
}
_BELOW = {"properties", "additionalProperties", "patternProperties", "propertyNames", "items", "prefixItems"}
_CHOICES = {"anyOf", "oneOf", "allOf", "$ref", "discriminator"}


def faults(value: Any, schema: Schema, whole: Schema | None = None, path: str = "") -> Iterator[str]:
    """Where the data is not as the schema wants it."""
    whole = whole or schema
    unknown = schema.keys() - _ANNOTATIONS - _CHECKS.keys() - _BELOW - _CHOICES
    assert not unknown, f"this check does not know {unknown}"
    for word in schema.keys() & _CHECKS.keys():
        if not _CHECKS[word](value, schema[word]):
            yield f"{path or '(top)'}: {word} {schema[word]}"
    if "$ref" in schema:
        yield from faults(value, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole, path)
    for word, least in (("anyOf", 1), ("oneOf", 1)):
        fitting = [each for each in schema.get(word, ()) if not list(faults(value, each, whole, path))]
        if word in schema and (len(fitting) < least or (word == "oneOf" and len(fitting) > 1)):
            yield f"{path or '(top)'}: {word} of {len(schema[word])} fits {len(fitting)}"
    if isinstance(value, dict):
        yield from _members(value, schema, whole, path)
    if isinstance(value, list) and "items" in schema:
        for number, each in enumerate(value):
            yield from faults(each, schema["items"], whole, f"{path}.{number}")


def _members(value: dict[Any, Any], schema: Schema, whole: Schema, path: str) -> Iterator[str]:
    for key, each in value.items():
        below = f"{path}.{key}".removeprefix(".")
        if "propertyNames" in schema:
            yield from faults(key, schema["propertyNames"], whole, below)
        if key in schema.get("properties", {}):
            yield from faults(each, schema["properties"][key], whole, below)
            continue
        matching = [one for text, one in schema.get("patternProperties", {}).items() if re.search(text, str(key))]
        for one in matching:
            yield from faults(each, one, whole, below)
        other = schema.get("additionalProperties", True)
        if not matching and other is False:
            yield f"{below}: no such key"
        elif not matching and isinstance(other, dict):
            yield from faults(each, other, whole, below)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
