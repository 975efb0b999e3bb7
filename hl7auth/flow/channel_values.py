"""Values of a channel that differ between test and production: `${NAME}` and `${NAME:-default}` in its texts.

Imports rules.strict_yaml, pydantic and errors only. The environment is a parameter: nothing here looks at the process.

`${NAME}` is the value of a variable, and a mistake where it is not set; `${NAME:-default}` is the default where it is
not set or empty. `$${` stands for `${` itself. Keys are never replaced, and what a variable holds is text, not YAML.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel

from hl7auth.errors import ConfigError
from hl7auth.rules.strict_yaml import Step, Written, place, validated, written

Model = TypeVar("Model", bound=BaseModel)
Environment = Mapping[str, str]

NO_ENVIRONMENT: Environment = MappingProxyType({})
REFERENCE = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"
"""How a value of the environment is written, as a pattern of JSON Schema and of Python."""

_MARK = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")
_SHOWN = 3


def load_filled(path: Path, model: type[Model], environment: Environment) -> Model:
    """The file as that model, with the values of the environment in place. Raises ConfigError as `filled_in` does."""
    return filled_in(written(path), model, environment)


def filled_in(found: Written, model: type[Model], environment: Environment) -> Model:
    """What stands in a file as that model, with the values of the environment in place.

    Raises ConfigError as `load` does, and for variables that are not set, by file, line, key and variable.
    """
    return validated(found, model, _filled(found.path, found.data, environment))


def filled(text: str, environment: Environment) -> str:
    """One text with its references replaced. Raises ValueError naming a variable that is not set."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match[1], match[2]
        if name is None:
            raise ValueError("'${' begins a variable, as ${NAME} or ${NAME:-default}; for the two signs write '$${'")
        found = environment.get(name)
        if found is not None and (found or default is None):
            return found
        if default is None:
            raise ValueError(f"the variable {name} is not set (set it, or give a default: ${{{name}:-...}})")
        return default

    return _MARK.sub(value, text)


def variables(text: str) -> list[str]:
    """The names of the variables that a text refers to, each once."""
    return list(dict.fromkeys(match[1] for match in _MARK.finditer(text) if match[1]))


def _filled(path: Path, data: Any, environment: Environment) -> Any:
    mistakes = []
    for keys, text in _texts(data, ()):
        try:
            filled(text, environment)
        except ValueError as error:
            mistakes.append(f"{place(path, *keys)}: {'.'.join(map(str, keys))}: {error}")
    if mistakes:
        raise ConfigError("; ".join(mistakes[:_SHOWN]))
    return _replaced(data, environment)


def _replaced(data: Any, environment: Environment) -> Any:
    if isinstance(data, str):
        return filled(data, environment)
    if isinstance(data, dict):
        return {key: _replaced(value, environment) for key, value in data.items()}
    if isinstance(data, list):
        return [_replaced(value, environment) for value in data]
    return data


def _texts(data: Any, keys: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], str]]:
    """Every text with a mark in it, and its keys."""
    if isinstance(data, str):
        if "${" in data:
            yield keys, data
        return
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield from _texts(value, (*keys, key if isinstance(key, int) else str(key)))
