"""A profile as YAML that people can read: one line a field, notes beside it, what is missing on top.

Imports nothing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap
from typing import Any

_WIDTH = 118
_INDENT = "  "
_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9 _./()-]*[A-Za-z0-9_./()])?")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"})
_MAX_COMMENT = 300
_SHORT = frozenset({"applies", "structure", "binding", "values", "components"})
"""Keys whose mapping stands in one line where it fits, as the rules of one field or component (a number) do."""


def yaml_text(keys: Mapping[str, Any], comments: Mapping[str, str], heading: Iterable[str]) -> str:
    """The YAML of a mapping, `heading` on top; `comments` stand behind the key of their path: segments.AUT.fields.2."""
    lines = [f"# {line}".rstrip() for text in heading for line in wrap(_printable(text), _WIDTH - 2) or [""]]
    return "\n".join([*lines, *_mapping(keys, comments, "", "")]) + "\n"


def _mapping(keys: Mapping[Any, Any], comments: Mapping[str, str], path: str, indent: str) -> Iterator[str]:
    for key, value in keys.items():
        inner = f"{path}.{key}" if path else str(key)
        head = f"{indent}{scalar(key)}:"
        note = f"  # {_printable(comments[inner])[:_MAX_COMMENT]}" if inner in comments else ""
        line = f"{head} {_flow(value)}"
        fits = len(line) <= _WIDTH
        if isinstance(value, Mapping) and value and not (fits and (isinstance(key, int) or key in _SHORT)):
            yield head + note
            yield from _mapping(value, comments, inner, indent + _INDENT)
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            yield head + note
            yield from _sequence(value, comments, inner, indent)
        elif isinstance(value, list) and not fits:
            yield from _list(head, value, indent)
        else:
            yield line + note


def _sequence(values: list[Any], comments: Mapping[str, str], path: str, indent: str) -> Iterator[str]:
    for value in values:
        first, *others = _mapping(value, comments, path, indent + _INDENT * 2)
        yield f"{indent}{_INDENT}- {first.strip()}"
        yield from others


def _list(head: str, values: list[Any], indent: str) -> Iterator[str]:
    """A list in brackets over as many lines as it needs."""
    line = f"{head} ["
    for number, value in enumerate(values, start=1):
        text = _flow(value) + ("]" if number == len(values) else ",")
        if len(line) + len(text) >= _WIDTH and line.strip():
            yield line.rstrip()
            line = indent + _INDENT
        line += text if line.endswith("[") else f"{'' if line.isspace() else ' '}{text}"
    yield line


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    """One value: a text that YAML could take for anything else stands in quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text.casefold() not in _WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() and ord(char) < 0x10000 else f"\\U{ord(char):08X}"


def _printable(text: str) -> str:
    """The text as one line without anything that could end a comment."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
