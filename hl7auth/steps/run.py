"""Steps compiled once for a channel, and run over one message after another.

Imports rules, wire, steps and errors only. Tables are read when steps are compiled; running them does no IO.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hl7auth.errors import ConfigError, Fault
from hl7auth.rules.predicate import compile_condition
from hl7auth.rules.strict_yaml import load, place
from hl7auth.steps import model, values, versions
from hl7auth.steps.calls import PythonCall, Runner
from hl7auth.steps.carried import Carried
from hl7auth.steps.draft import Draft, Remark, Unmapped
from hl7auth.steps.place import read_segment
from hl7auth.steps.python import call
from hl7auth.steps.segments import compile_add, compile_remove
from hl7auth.steps.table import Table, read_table
from hl7auth.wire.message import Message, parse

Action = Callable[[Draft], None]


class Shaped(NamedTuple):
    """What steps made of a message. `raw` is what came where nothing changed, it was dropped, or there is a `fault`."""

    raw: bytes
    dropped: bool = False
    remarks: tuple[Remark, ...] = ()
    unmapped: tuple[Unmapped, ...] = ()
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    """Compiled steps. `calls` are the Python functions they need, `tables` the code tables they read.

    `mappings` are what the tables hold, by the name that Unmapped tells.
    """

    actions: tuple[Action, ...] = ()
    calls: tuple[PythonCall, ...] = ()
    tables: tuple[Path, ...] = ()
    mappings: Mapping[str, tuple[Table, ...]] = field(default_factory=dict)


def run(steps: Steps, message: bytes | Message, *, fallback: str = "8859/1", runner: Runner | None = None) -> Shaped:
    """The message as the steps shape it.

    `fallback` (0211) reads bytes without MSH-18, `runner` runs Python steps. Raises Fault where the bytes hold no
    message, a step refuses it, or a Python step fails: then nothing of it may be sent.
    """
    shaped = attempt(steps, parse(message, fallback) if isinstance(message, bytes) else message, runner)
    if shaped.fault is not None:
        raise shaped.fault
    return shaped


def attempt(steps: Steps, message: Message, runner: Runner | None = None) -> Shaped:
    """As `run`, but what fails comes back as a `fault`, beside what was found until then."""
    if not steps.actions:
        return Shaped(message.raw)
    raw, fault = message.raw, None
    draft: Draft | None = None
    try:
        draft = Draft(message, Carried(message), runner)
        _run_all(draft, steps.actions)
        raw = message.raw if draft.dropped else draft.bytes()
    except Fault as found:
        fault = found
    if draft is None:
        return Shaped(raw, fault=fault)
    return Shaped(raw, draft.dropped and fault is None, tuple(draft.remarks), tuple(draft.unmapped), fault)


def load_steps(path: Path) -> Steps:
    """The steps of a file that has the key `steps` alone. Raises ConfigError."""
    return compile_steps(load(path, model.StepsFile).steps, path)


def compile_steps(steps: Sequence[model.Step], path: Path, *keys: str | int) -> Steps:
    """The steps that stand in the file at `path` under `keys` (default: `steps`), with their tables read.

    Tables and Python modules are looked for in the folder of that file. Raises ConfigError naming file, line and key.
    """
    compiler = _Compiler(path)
    actions = compiler.all(steps, keys or ("steps",))
    return Steps(actions, tuple(dict.fromkeys(compiler.calls)), tuple(compiler.tables), compiler.mappings)


def _run_all(draft: Draft, actions: Sequence[Action]) -> None:
    for action in actions:
        action(draft)
        if draft.dropped:
            return


class _Compiler:
    """From models to functions, one method for each verb that needs more than its own module."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: list[PythonCall] = []
        self.tables: dict[Path, dict[str, Table]] = {}
        self.mappings: dict[str, tuple[Table, ...]] = {}

    def all(self, steps: Sequence[model.Step], keys: Sequence[str | int]) -> tuple[Action, ...]:
        """Each step as a function, with its number in the file (`3.1`) for its remarks."""
        return tuple(self.one(step, (*keys, number)) for number, step in enumerate(steps))

    def one(self, step: Any, keys: Sequence[str | int]) -> Action:
        verb = model.verb_of(step)
        label = ".".join(str(key + 1) for key in keys if isinstance(key, int))
        compiled: Action = _COMPILERS[verb](self, step, keys, label)
        return compiled

    def drop(self, step: model.DropStep, _: Sequence[str | int], label: str) -> Action:
        return _dropping(step.drop, label, "drop", when=True)

    def match(self, step: model.MatchStep, _: Sequence[str | int], label: str) -> Action:
        return _dropping(step.match, label, "match", when=False)

    def when(self, step: model.WhenStep, keys: Sequence[str | int], _: str) -> Action:
        condition = compile_condition(step.when)
        then, otherwise = self.all(step.steps, (*keys, "steps")), self.all(step.otherwise, (*keys, "otherwise"))
        return lambda draft: _run_all(draft, then if draft.holds(condition) else otherwise)

    def each(self, step: model.EachStep, keys: Sequence[str | int], _: str) -> Action:
        name, actions = read_segment(step.each), self.all(step.steps, (*keys, "steps"))
        condition = compile_condition(step.when) if step.when else None

        def turns(draft: Draft) -> None:
            outer = draft.here
            for line in [line for line in draft.lines if line.name == name.segment]:
                if not line.gone and (condition is None or draft.holds(condition, line)):
                    draft.here = line
                    _run_all(draft, actions)
            draft.here = outer

        return turns

    def translate(self, step: model.TranslateStep, keys: Sequence[str | int], label: str) -> Action:
        source = step.translate.table
        table: Table
        if isinstance(source, str):
            name, table = source, self.table(source, step.translate.column, (*keys, "translate", "table"))
        else:
            name, table = f"(in step {label})", source
        self.mappings[name] = (*self.mappings.get(name, ()), table)
        return values.compile_translate(step.translate, table, name)

    def table(self, name: str, column: str, keys: Sequence[str | int]) -> Mapping[str, str]:
        path = self.path.parent / name
        known = self.tables.setdefault(path, {})
        if column not in known:
            try:
                known[column] = read_table(path, column)
            except ConfigError as error:
                where = ".".join(map(str, keys))
                raise ConfigError(f"{place(self.path, *keys)}: {where}: {error}") from None
        return known[column]

    def python(self, step: model.PythonStep, _: Sequence[str | int], label: str) -> Action:
        request = PythonCall(step.python, str(self.path.parent.resolve()), step.seconds)
        self.calls.append(request)
        return lambda draft: call(draft, request, draft.runner, label)


def _dropping(text: str, label: str, verb: str, *, when: bool) -> Action:
    condition = compile_condition(text)

    def run(draft: Draft) -> None:
        if draft.holds(condition) is when:
            draft.dropped = True
            draft.remark(label, verb, f"dropped: {text}" if when else f"dropped, for not: {text}")

    return run


_COMPILERS: dict[str, Callable[[_Compiler, Any, Sequence[str | int], str], Action]] = {
    "match": _Compiler.match,
    "drop": _Compiler.drop,
    "when": _Compiler.when,
    "each": _Compiler.each,
    "set": lambda _, step, __, label: values.compile_set(step.set, label),
    "copy": lambda _, step, __, label: values.compile_copy(step.copy_, label, "copy"),
    "move": lambda _, step, __, label: values.compile_copy(step.move, label, "move"),
    "split": lambda _, step, __, ___: values.compile_split(step.split),
    "join": lambda _, step, __, ___: values.compile_join(step.join),
    "translate": _Compiler.translate,
    "date": lambda _, step, __, label: values.compile_date(step.date, label),
    "name": lambda _, step, __, label: values.compile_name(step.name, label),
    "add": lambda _, step, __, label: compile_add(step.add, label),
    "remove": lambda _, step, __, ___: compile_remove(step.remove),
    "version": lambda _, step, __, label: versions.compile_version(step.version, label),
    "charset": lambda _, step, __, ___: versions.compile_charset(step.charset),
    "python": _Compiler.python,
}
