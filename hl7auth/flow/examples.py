"""The tests of a channel: messages kept beside it, and what is expected to become of them.

Imports wire, domain, flow, steps, rules.strict_yaml, errors and yaml only.

A test is all the files of a folder whose names begin with the same word up to the first dot, in the order of their
names: `approved.1-request.hl7` and `approved.2-answer.hl7` are the test `approved`. Its messages are sent one after
another to one empty store in memory; no test sees another. What is expected stands in `approved.expected.yaml`. Of a
message only the keys that are written there are compared.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from difflib import unified_diff
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import Field

from hl7auth.domain.document import shown
from hl7auth.errors import Fault
from hl7auth.flow.answered import answered, sent
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Outcome
from hl7auth.flow.outbox import deliveries
from hl7auth.flow.shaping import shape_copy, why_dropped, why_failed
from hl7auth.flow.trial import try_out
from hl7auth.rules.strict_yaml import Strict, load
from hl7auth.steps.calls import Runner
from hl7auth.steps.run import Shaped
from hl7auth.wire.message import parse

EXPECTED = ".expected.yaml"
MESSAGE = ".hl7"
_NUMBERS = re.compile(r"(\d+)")
_HEAD = "# What becomes of the messages, written by `hl7auth channel test --update`: read it before you keep it.\n"
Entry = dict[str, Any]


class ExpectedMessage(Strict):
    """What is expected of one message. `file` says which file it is in; what is left out is not compared.

    `findings` are `severity place (rule): text`, `changes` the documents without provenance, `routes` the destinations,
    `replies` the text with a segment a line, and {time} and {id} for MSH-7 and MSH-10. `shaped` is what the steps of
    the channel made of the message where they changed it, `sent` what the steps of each destination made of its copy.
    Where the channel has `replies`, `answered` says who answers and where to, and `goes` what goes there by name.
    """

    file: str
    event: str | None = None
    control_id: str | None = None
    disposition: str | None = None
    code: str | None = None
    findings: tuple[str, ...] | None = None
    changes: tuple[dict[str, Any], ...] | None = None
    routes: tuple[str, ...] | None = None
    replies: tuple[str, ...] | None = None
    shaped: str | None = None
    sent: dict[str, str] | None = None
    answered: str | None = None
    goes: dict[str, str] | None = None


class ExpectedFile(Strict):
    """The file beside the messages of a test; `about` says what the test is for."""

    about: str = ""
    messages: tuple[ExpectedMessage, ...] = Field(min_length=1)


class Example(NamedTuple):
    """One test: its name, its messages with the name of their file, and what is expected if anything is."""

    name: str
    messages: tuple[tuple[str, bytes], ...]
    expected: ExpectedFile | None = None


class Verdict(NamedTuple):
    """How a test ended: the lines of a unified diff, none where all is as expected; `missing` where nothing is said."""

    name: str
    lines: tuple[str, ...] = ()
    missing: bool = False

    @property
    def passed(self) -> bool:
        """True when everything that is expected is so."""
        return not self.lines and not self.missing


def example_of(file: str) -> str:
    """The test that a file belongs to: its name up to the first dot."""
    return file.partition(".")[0]


def in_order(files: Iterable[str]) -> list[str]:
    """Names as people count: `2` before `10`."""
    return sorted(files, key=lambda name: [int(part) if part.isdigit() else part for part in _NUMBERS.split(name)])


def read_expected(path: Path) -> ExpectedFile:
    """What a file expects. Raises ConfigError by file, line and key."""
    return load(path, ExpectedFile)


def outcomes(example: Example, channel: Channel, runner: Runner | None = None) -> list[Entry]:
    """What becomes of the messages of a test, as plain data that is the same every time; `runner` is for Python."""
    found = try_out([raw for _, raw in example.messages], channel, runner)
    return [entry(file, outcome, runner) for (file, _), outcome in zip(example.messages, found, strict=True)]


def entry(file: str, outcome: Outcome, runner: Runner | None = None) -> Entry:
    """What became of one message, in the shape of ExpectedMessage."""
    read = {key: each(outcome) for key, each in _READ.items()}
    said = answered_entry(outcome, runner)
    if "goes" in said:
        said["goes"] = {name: steady(text) for name, text in said["goes"].items()}
    return {"file": file, **read, **shaped_entry(outcome, runner), **said}


def shaped_entry(outcome: Outcome, runner: Runner | None = None) -> Entry:
    """`shaped` and `sent` as ExpectedMessage has them; nothing where no step had anything to do."""
    plan = outcome.plan
    raw = plan.shaping.raw if plan.shaping else None
    found: Entry = {} if raw is None else {"shaped": _segments(raw, plan.channel)}
    steps = plan.channel.steps_out
    sent = {
        name: _copy(shape_copy(raw or plan.raw, steps[name], plan.channel, runner), plan.channel)
        for name in routed(outcome, answers=False)
        if name in steps
    }
    return found | ({"sent": sent} if sent else {})


def answered_entry(outcome: Outcome, runner: Runner | None = None) -> Entry:
    """`answered` and `goes` as ExpectedMessage has them; nothing where the channel says nothing of replies."""
    said = answered(outcome)
    if said is None:
        return {}
    channel = outcome.plan.channel
    steps = channel.steps_out
    found = {
        name: _copy(shape_copy(raw, steps[name], channel, runner) if name in steps else Shaped(raw), channel)
        for name, raw in sent(outcome)
    }
    return {"answered": said} | ({"goes": found} if found else {})


def compare(example: Example, found: Sequence[Entry]) -> Verdict:
    """The verdict on a test."""
    if example.expected is None:
        return Verdict(example.name, missing=True)
    wanted = [_plain(each.model_dump(exclude_unset=True, mode="json")) for each in example.expected.messages]
    compared = [
        {key: value for key, value in each.items() if at >= len(wanted) or key in wanted[at]}
        for at, each in enumerate(map(_plain, found))
    ]
    # in the order of the found keys, whatever order they are written in
    ordered = [{key: each[key] for key in ExpectedMessage.model_fields if key in each} for each in wanted]
    before, after = (as_yaml({"messages": each}).splitlines(keepends=True) for each in (ordered, compared))
    names = f"{example.name}{EXPECTED} (expected)", f"{example.name} (found)"
    return Verdict(example.name, tuple(line.rstrip("\n") for line in unified_diff(before, after, *names)))


def expected_text(example: Example, found: Sequence[Entry]) -> str:
    """The whole text of the file of expectations, with what the old one says the test is about."""
    about = example.expected.about if example.expected else ""
    whole = ({"about": about} if about else {}) | {"messages": list(found)}
    return _HEAD + as_yaml(whole)


def as_yaml(value: Any) -> str:
    """Plain data as YAML that people read: texts of several lines as they stand."""
    text: str = yaml.dump(_plain(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is yaml's
        """The same document twice is written twice."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - yaml's
        """Entries of a list stand under the key."""
        super().increase_indent(flow, False)


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text_node)


def _findings(outcome: Outcome) -> list[str]:
    return [f"{each.severity} {each.path or 'message'} ({each.rule}): {each.text}" for each in outcome.findings]


def _changes(outcome: Outcome) -> list[Entry]:
    """The new versions. Provenance is left out: it names messages by numbers that mean nothing outside the store."""
    found = []
    for change in outcome.changes:
        document = shown(change.record.document)
        document.pop("provenance", None)
        found.append({"by": change.rule, "document": document})
    return found


def _copy(shaped: Shaped, channel: Channel) -> str:
    if shaped.fault is not None:
        return f"parked: {why_failed(shaped.fault)}"
    return f"skipped: {why_dropped(shaped)}" if shaped.dropped else _segments(shaped.raw, channel)


def _segments(raw: bytes, channel: Channel) -> str:
    try:
        text = parse(raw, channel.file.fallback_charset).text
    except Fault:  # sent all the same
        text = raw.decode("latin_1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def routed(outcome: Outcome, *, answers: bool = True) -> list[str]:
    """The names of the destinations that a message goes to, with those of answers and of what is forwarded."""
    file, own = outcome.plan.channel.file, f"{outcome.plan.channel.name}/"
    found = deliveries(outcome, file.destinations, file.routes, file.order_by)
    return [each.destination.removeprefix(own) for each in found if answers or each.kind is None]


def _replies(outcome: Outcome) -> list[str]:
    codec = outcome.plan.message.codec if outcome.plan.message else "ascii"
    return [steady(reply.decode(codec, "replace")) for reply in outcome.replies]


def steady(reply: str) -> str:
    """A reply without what is another one each time: MSH-7 and MSH-10."""
    head, _, rest = reply.replace("\r", "\n").partition("\n")
    fields = head.split(head[3])
    fields[6], fields[9] = "{time}", "{id}"
    return head[3].join(fields) + "\n" + rest


_READ: Mapping[str, Callable[[Outcome], Any]] = {
    "event": lambda outcome: outcome.plan.header.event,
    "control_id": lambda outcome: outcome.plan.header.control_id,
    "disposition": lambda outcome: str(outcome.disposition),
    "code": lambda outcome: outcome.code,
    "findings": _findings,
    "changes": _changes,
    "routes": routed,
    "replies": _replies,
}
"""How each key of an expectation is read from an outcome."""


def _plain(value: Any) -> Any:
    """Lists for tuples, texts for the dates that YAML makes of unquoted ones."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, str) else value
