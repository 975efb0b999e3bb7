"""YAML files read into strict models; every mistake is named by file, line and key.

Imports pydantic, yaml and errors only.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hl7auth.errors import ConfigError


class Strict(BaseModel):
    """A model for files that people write: unknown keys are errors, and a number is never taken for a text."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Step = int | str
Model = TypeVar("Model", bound=BaseModel)

#: A configuration is a page or ten; YAML aliases could make a small file a huge tree, so neither is accepted
MAX_FILE_BYTES = 1_000_000
#: Far beyond any configuration; some ten thousand levels would end the process, for libyaml recurses without a bound
MAX_DEPTH = 50


class Misplaced(ValueError):
    """Raised by a model for what is wrong further inside of it: `keys` lead there."""

    def __init__(self, text: str, *keys: Step) -> None:
        super().__init__(text)
        self.keys = keys


class Written(NamedTuple):
    """A file as it stands there: its text, and what YAML makes of it, as nodes that know their lines and as data."""

    path: Path
    text: str
    node: yaml.MappingNode
    data: dict[str, Any]


def load(path: Path, model: type[Model]) -> Model:
    """The file as that model. Raises ConfigError naming the first three mistakes by file, line and key."""
    return load_with_lines(path, model)[0]


def load_with_lines(path: Path, model: type[Model], text: str | None = None) -> tuple[Model, dict[str, int]]:
    """The file as that model, and the 1-based line of each of its keys (`segments.AUT.fields.2`). Raises as `load`.

    With a `text` that is taken for what stands in the file.
    """
    found = written(path, text)
    return validated(found, model, found.data), dict(_lines(found.node, ""))


def written(path: Path, text: str | None = None) -> Written:
    """The file as YAML, before any model. Raises ConfigError for what is no mapping, or not safe to read."""
    text = read_text(path) if text is None else text
    try:
        _refuse_what_explodes(path, text)
        loader = yaml.CSafeLoader(text)
        try:
            node = loader.get_single_node()
            data = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a value like 2026-13-45, which looks like a date
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(node, yaml.MappingNode) or not isinstance(data, dict):
        raise ConfigError(f"{path}:1: a mapping of keys is expected")
    for key in _repeated_keys(node):
        raise ConfigError(f"{path}:{key.start_mark.line + 1}: key '{key.value}' is there twice")
    return Written(path, text, node, data)


def validated(found: Written, model: type[Model], data: Any) -> Model:
    """Data of a file as that model. Raises ConfigError naming the first three mistakes by file, line and key."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(found.path, found.node, error.errors(), model)[:3])) from None


def place(path: Path, *keys: Step) -> str:
    """`file:line` of a key in a file that was loaded before."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return f"{path}:{_follow(node, keys)[0] if node else 1}"


def read_text(path: Path) -> str:
    """The text of a file of a bounded size. Raises ConfigError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None


def _refuse_what_explodes(path: Path, text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{path}: YAML aliases (*name) are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{path}: more than {MAX_DEPTH} levels")


def _repeated_keys(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """Keys that stand twice in one mapping: YAML forbids it, and the loader would silently keep the last."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield key
            seen.add(key.value)
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated_keys(value)


def _lines(node: yaml.Node, above: str) -> Iterator[tuple[str, int]]:
    """The line of each key and of each entry of a list, by its keys from the top joined with dots."""
    if isinstance(node, yaml.MappingNode):
        inner = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inner = [(str(number), value, value) for number, value in enumerate(node.value)]
    else:
        return
    for name, key, value in inner:
        yield f"{above}{name}", key.start_mark.line + 1
        yield from _lines(value, f"{above}{name}.")


def _explain(path: Path, node: yaml.Node, errors: Sequence[Any], model: type[BaseModel]) -> list[str]:
    """One sentence a mistake. Where a key may hold several shapes, what the most fitting shape says."""
    found: dict[tuple[Step, ...], str] = {}
    for error in errors:
        inside: tuple[Step, ...] = getattr(error.get("ctx", {}).get("error"), "keys", ())
        line, steps = _follow(node, (*error["loc"], *inside))
        if error["type"] == "missing":
            steps += (error["loc"][-1],)
        found.setdefault(steps, f"{path}:{line}: {_sentence(steps, error, model)}")
    return [text for steps, text in found.items() if not any(steps == other[: len(steps)] != other for other in found)]


def _sentence(steps: tuple[Step, ...], error: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(step) for step in steps) or "(file)"
    if error["type"] == "extra_forbidden":
        return f"unknown key '{key}'{_allowed(steps, model)}"
    if error["type"] == "missing":
        return f"key '{key}' is missing"
    return f"{key}: {error['msg'].removeprefix('Value error, ')}"


def _follow(node: yaml.Node, location: Sequence[Step]) -> tuple[int, tuple[Step, ...]]:
    """The 1-based line of a place in the YAML, and its keys without the names of shapes that pydantic puts between."""
    line, steps = 1, []
    for step in location:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            key = node = node.value[step]
        elif isinstance(node, yaml.MappingNode) and (pair := _pair(node, step)):
            key, node = pair
        else:
            continue
        line = key.start_mark.line + 1
        steps.append(step)
    return line, tuple(steps)


def _pair(node: yaml.MappingNode, step: Step) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((key, value) for key, value in node.value if key.value == str(step)), None)


def _allowed(steps: Sequence[Step], model: type[BaseModel]) -> str:
    """What may stand there, or what the writer probably meant."""
    here: list[Any] = [model]
    for step in steps[:-1]:
        here = _inside(here, step)
    names = sorted(name for shape in here if _is_model(shape) for name in shape.model_fields)
    close = get_close_matches(str(steps[-1]), names, n=1)
    return f" (did you mean '{close[0]}'?)" if close else f" (allowed: {', '.join(names)})"


def _inside(shapes: Sequence[Any], step: Step) -> list[Any]:
    """The shapes that a value may have which stands at a step into a value of one of those shapes."""
    found: list[Any] = []
    for shape in shapes:
        if _is_model(shape) and str(step) in shape.model_fields:
            found += _shapes(shape.model_fields[str(step)].annotation)
        elif get_origin(shape) in (dict, tuple, list):
            found += _shapes(get_args(shape)[-1 if get_origin(shape) is dict else 0])
    return found


def _shapes(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _is_model(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, BaseModel)
