"""The version of a channel: a fingerprint of everything that decides what it does, and the text behind it.

Imports rules, flow.channel_leaves and flow.channel_values only.

It is over the file with the names of variables in place of their values, over the editions of its profiles, and over
the code tables, Python modules and rules beside it. Comments, blanks and the order of keys do not count, and
secrets neither: where one stands in the file, nothing of it is kept.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel

from hl7auth.flow.channel_leaves import Keys, is_secret, leaves, plain
from hl7auth.flow.channel_values import variables
from hl7auth.rules.edition import fingerprint, fingerprint_of_lines
from hl7auth.rules.strict_yaml import Written, written

MASK = "***"
"""What is kept of a secret."""

_MODULE = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*", re.ASCII)
_IN_ADDRESS = re.compile(r"(://)[^/@\s:]+:[^/@\s]+@")


def version_of(found: Written, text: str, editions: Mapping[str, str], beside: Mapping[str, str]) -> str:
    """The version of a channel file of which the text, without its secrets, is that: 16 hexadecimal digits.

    `editions` are those of its profiles by their names, `beside` fingerprints of files beside it.
    """
    data = found.data if text == found.text else written(found.path, text).data
    return fingerprint({"channel": data, "profiles": editions, "files": beside})


def masked(found: Written) -> str:
    """The text of a channel file without the secrets that stand in it."""
    text = found.text
    for start, end in sorted(_secrets(found.node, ()), reverse=True):
        line_end = "\n" if text[start:end].endswith("\n") else ""
        text = f"{text[:start]}'{MASK}'{line_end}{text[end:]}"
    return _IN_ADDRESS.sub(rf"\1{MASK}@", text)


def files_beside(file: BaseModel, folder: Path) -> dict[str, str]:
    """Code tables and Python modules and rules that a channel names and that are there, with their fingerprints."""
    found = {}
    for name in sorted(set(_named(file))):
        text = text_beside(folder, name)
        if text is not None:
            found[name] = fingerprint_of_lines(text)
    return found


def text_beside(folder: Path, name: str) -> str | None:
    """The text of a file beside a channel; None where there is none that can be read."""
    try:
        return (folder / name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def _named(file: BaseModel) -> Iterator[str]:
    for keys, value in leaves(plain(file)):
        if not isinstance(value, str):
            continue
        if value.lower().endswith(".csv") or keys == ("decisions", "rules"):
            yield value
        elif "python" in keys and (match := _MODULE.fullmatch(value)):
            yield match[1].replace(".", "/") + ".py"


def _secrets(node: yaml.Node, keys: Keys) -> Iterator[tuple[int, int]]:
    """Where in the text secrets stand."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _secrets(value, (*keys, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _secrets(value, (*keys, number))
    elif is_secret(keys) and node.value and not variables(node.value):
        yield node.start_mark.index, node.end_mark.index
