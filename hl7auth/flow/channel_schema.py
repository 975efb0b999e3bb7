"""The JSON Schema (2020-12) of channel files, drawn from their model, for editors and for checks elsewhere.

Imports flow.channel, flow.channel_values and pydantic only.

What the docstring of a model says of a key stands at the key. Where the model wants a number, true or false or one of
several words, the schema also takes a value of the environment, as loading does.
"""

import re
from typing import Any

from pydantic import BaseModel

from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.channel_values import REFERENCE

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FROM_ENVIRONMENT = "FromEnvironment"
_ANNOTATIONS = ("title", "description", "default")
_SAID = {
    "channel": "The name of the channel: in lists, in the store and in metrics.",
    "title": "What the channel is for, in a few words.",
    "listen": "Where it listens, as Twisted writes endpoints: tcp:2575:interface=127.0.0.1.",
    "profile": "The conformance profile that messages are checked against (`hl7auth profile list`), or a list of them "
    "with `when`: the first that fits is taken, and the last, without `when`, is for all others.",
    "duplicates": "What becomes of a new message under a control id that was used before: lenient takes it, strict "
    "refuses it with 205. The very same message again always gets its stored reply.",
    "order_by": "What keeps its order on the way to a destination: messages with the same key go one after the other.",
    "fallback_charset": "The character set (table 0211) of senders that send bytes beyond ASCII without MSH-18.",
}
"""What the keys of the file itself mean, where the text of their model does not say it."""
_END_OF_SENTENCE = re.compile(r"(?<=[.;])\s+(?=`)|(?<=\.)\s+(?=[A-Z])|\n\n")


def channel_schema(model: type[BaseModel] = ChannelFile, title: str = "A channel of hl7auth") -> Schema:
    """The schema of a channel file."""
    drawn = model.model_json_schema()
    definitions: dict[str, Schema] = drawn.pop("$defs", {})
    _describe(drawn, definitions, _SAID)
    for each in definitions.values():
        _describe(each, definitions, {})
    whole = _open(drawn)
    whole["title"] = title
    whole["$defs"] = {name: _open(each) for name, each in definitions.items()} | {_FROM_ENVIRONMENT: _environment()}
    return {"$schema": DIALECT, **whole}


def meanings(schema: Schema) -> dict[str, str]:
    """What the keys of a channel mean, by their path (`limits.idle_seconds`). A list has the path of its
    entries, and `*` stands for a name that people choose."""
    found: dict[str, str] = {}
    _collect(schema, schema.get("$defs", {}), "", found, ())
    return found


def _environment() -> Schema:
    return {
        "title": "From the environment",
        "description": "A value of the environment: ${NAME}, or ${NAME:-default} where the variable may be missing.",
        "type": "string",
        "pattern": REFERENCE,
    }


def _describe(model: Schema, definitions: dict[str, Schema], known: dict[str, str]) -> None:
    """Gives each key without a description what the text of its model says of it, else what its own model says, else
    what its model is about."""
    text = model.get("description", "")
    said = [" ".join(each.split()) for each in _END_OF_SENTENCE.split(text)]
    for name, inner in model.get("properties", {}).items():
        if inner.get("description"):
            continue
        below = _target(inner, definitions).get("description", "")
        about = [each for each in said if f"`{name}`" in each]
        found = " ".join(about) or known.get(name) or below.split("\n\n")[0] or ("" if known else text.split("\n\n")[0])
        if found := " ".join(found.split()).rstrip(";"):
            inner["description"] = re.sub(f"^`{name}`: ([a-z]?)", lambda match: match[1].upper(), found)


def _target(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """The model that a key holds, also where it may be left out, and of which it holds a list or many by name."""
    inner = [schema.get("items"), schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
    shapes = [schema, *schema.get("anyOf", ()), *(each for each in inner if isinstance(each, dict))]
    names = (each.get("$ref", "").rpartition("/")[2] for each in shapes)
    return next((definitions[name] for name in names if name in definitions), {})


def _open(schema: Schema) -> Schema:
    """The schema, and below it a value of the environment wherever it wants more than any text."""
    opened = dict(schema)
    for key in ("properties", "patternProperties"):
        if key in schema:
            opened[key] = {name: _value(each) for name, each in schema[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            opened[key] = _value(schema[key])
    for key in ("prefixItems", "anyOf", "oneOf"):
        if key in schema:
            opened[key] = [_open(each) for each in schema[key]]
    return opened


def _value(schema: Schema) -> Schema:
    shapes = schema.get("anyOf") or [schema]
    if not any(map(_is_narrow, shapes)):
        return _open(schema)
    outside = {key: schema[key] for key in _ANNOTATIONS if key in schema}
    inside = [{key: value for key, value in each.items() if key not in _ANNOTATIONS} for each in shapes]
    return {**outside, "anyOf": [*map(_open, inside), {"$ref": f"#/$defs/{_FROM_ENVIRONMENT}"}]}


def _is_narrow(schema: Schema) -> bool:
    """True for a value that a text with a variable would not pass for."""
    if schema.get("type") in ("integer", "number", "boolean"):
        return True
    return any(key in schema for key in ("enum", "const", "pattern", "maxLength", "format"))


def _collect(
    schema: Schema, definitions: dict[str, Schema], path: str, found: dict[str, str], above: tuple[str, ...]
) -> None:
    name = schema.get("$ref", "").rpartition("/")[2]
    if name in above:
        return  # steps hold steps
    if name:
        above, schema = (*above, name), definitions.get(name, {})
    for key, inner in schema.get("properties", {}).items():
        below = f"{path}.{key}" if path else key
        if text := inner.get("description"):
            found.setdefault(below, text)
        _collect(inner, definitions, below, found, above)
    for inner in (schema.get("items"), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if isinstance(inner, dict):
            _collect(inner, definitions, path, found, above)
    for inner in (schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()):
        if isinstance(inner, dict):
            _collect(inner, definitions, f"{path}.*", found, above)
