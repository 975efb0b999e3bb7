"""YAML files read into strict models; every mistake is named by file, line and key.

Imports pydantic, yaml and errors only.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hl7auth.errors import ConfigError


class Strict(BaseModel):
    """A model for files that people write: unknown keys are errors, values are not coerced from other types."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)

#: A configuration is a page or ten; YAML aliases could make a small file a huge tree, so neither is accepted
MAX_FILE_BYTES = 1_000_000


def load(path: Path, model: type[Model]) -> Model:
    """The file as that model. Raises ConfigError naming the first three mistakes by file, line and key."""
    text = _read(path)
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
        data = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: a mapping of keys is expected")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(path, node, each, model) for each in error.errors()[:3])) from None


def line_of(node: yaml.Node | None, location: Sequence[int | str]) -> int:
    """The 1-based line of a key path in composed YAML, as deep as the path can be followed."""
    line = 1
    for step in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                continue  # pydantic names union branches that are not in the file
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    if any(isinstance(event, yaml.AliasEvent) for event in _events(text)):
        raise ConfigError(f"{path}: YAML aliases (*name) are not allowed")
    return text


def _events(text: str) -> list[Any]:
    try:
        return list(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError:
        return []  # the loader will say what is wrong and where


def _explain(path: Path, node: yaml.Node | None, error: Any, model: type[BaseModel]) -> str:
    location = tuple(step for step in error["loc"] if not str(step).startswith(("function-", "is-instance")))
    key = ".".join(str(step) for step in location) or "(file)"
    if error["type"] == "extra_forbidden":
        return f"{path}:{line_of(node, location)}: unknown key '{key}'{_allowed(location, model)}"
    if error["type"] == "missing":
        return f"{path}:{line_of(node, location[:-1])}: key '{key}' is missing"
    return f"{path}:{line_of(node, location)}: {key}: {error['msg'].removeprefix('Value error, ')}"


def _allowed(location: Sequence[int | str], model: type[BaseModel]) -> str:
    """What may stand there, and what the writer probably meant."""
    here: type[BaseModel] | None = model
    for step in location[:-1]:
        info = here.model_fields.get(str(step)) if here else None
        annotation = info.annotation if info else None
        here = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    if here is None:
        return ""
    names = sorted(here.model_fields)
    close = get_close_matches(str(location[-1]), names, n=1)
    return f" (did you mean '{close[0]}'?)" if close else f" (allowed: {', '.join(names)})"
