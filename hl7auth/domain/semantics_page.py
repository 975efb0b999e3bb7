"""docs/reference/semantics.md, drawn from the tables and models that the engine itself goes by.

Imports wire, domain and rules only. `python -m hl7auth.domain.semantics_page FILE` writes it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from hl7auth.domain.action_table import STEPS, Effect
from hl7auth.domain.snapshot import PATTERNS
from hl7auth.domain.status import TOGETHER
from hl7auth.domain.story import DEEDS
from hl7auth.domain.terms import Action, Order, Snapshot
from hl7auth.rules.compiled import compiled
from hl7auth.rules.status import EVENTS, Decision
from hl7auth.rules.strict_yaml import Strict
from hl7auth.wire.ack import condition
from hl7auth.wire.versions import VERSIONS

_DOES = {
    Effect.INSERT: "is stored",
    Effect.MERGE: 'empty fields keep, `""` clears, values are set; a repeating field is replaced whole',
    Effect.REPLACE: "replaces what is stored of it",
    Effect.END: "is cancelled; the trail stays",
    Effect.KEEP: "changes nothing; a warning where the content differs",
}

_HEAD = """\
# Snapshot and action mode

Drawn from the engine's own tables by `python -m hl7auth.domain.semantics_page docs/reference/semantics.md`;
docs/why/semantics.md says why.

## Action mode: AUT-29, and RF1-25 for the referral

By HL7 table 0206. What is named is the authorization of AUT-6; for an AUT under a PR1 it is the line of that
authorization: by PR1-19 if sent, else by the code of PR1-3, else by its place. What has been cancelled is not known any
more. An AUT under a PR1 with A adds a line to a known authorization only beside a message-level AUT with that number.

| code | identifier | known | then | ERR-3 up to 2.8.2 | ERR-3 and ERR-5 from 2.9 |
| --- | --- | --- | --- | --- | --- |
"""

_KEYS = """\

One problem refuses the whole message with AE, and every problem is listed. Rows of S and of the empty code are for
messages in two modes, on channels that act on them; a message whose every AUT has S or nothing is a snapshot.

## Keys of a channel

| key | values (the first is what holds without the key) |
| --- | --- |
"""

_EVENTS_HEAD = """\

## Events

A dialect of a profile says which of these a partner's own message is.

| message | its sender |
| --- | --- |
"""

_STATUS_HEAD = """\

## Status

Of a line, and of the message-level AUT where no line decides: the first of these tables that says something. They are
YAML: a partner's own code by the dialect of a profile (`dialect.status`), and `status` of the profile, here that of
`referral`, over `profiles/dictionary/status.yaml`, which holds where a profile says nothing. A profile replaces a table
as a whole, and `events` one by one. What nothing decides pends, and so does a code of AUT-14 that is in no table. MSA-1
decides nothing.

| table | what is said | status |
| --- | --- | --- |
"""

_EVENT_STATUS_HEAD = """\

Before all of these, some events decide by themselves (`status.events`):

| event | status | others that a profile may give it |
| --- | --- | --- |
"""

_TOGETHER_HEAD = """\

A request is pended once its sender has been told to wait. The status of the whole is that of its lines, and where they
differ:

| lines | status of the whole |
| --- | --- |
"""

_PATTERNS_HEAD = """\

## Delete patterns

| pattern | fields that hold `""`, all others being empty |
| --- | --- |
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD, *_rows(), _KEYS, *_keys(), _PATTERNS_HEAD, *_patterns(), _EVENTS_HEAD, *_events()]
    return "".join([*parts, _STATUS_HEAD, *_statuses()])


def _rows() -> Iterator[str]:
    for (code, has_number, known), step in STEPS.items():
        if known and not has_number:
            continue  # what names nothing is not known
        does = step.text if step.effect is Effect.REFUSE else _DOES[step.effect]
        now, then = ("", "")
        if step.code:
            now = step.code
            then = " ".join(filter(None, condition(step.code, "2.9")))
        number, is_known = ("yes" if each else "no" for each in (has_number, known))
        is_known = is_known if has_number else "-"
        yield f"| {code or 'empty'} | {number} | {is_known} | {does} | {now} | {then} |\n"


def _keys() -> Iterator[str]:
    models: dict[str, type[Strict]] = {"snapshot": Snapshot, "action": Action, "order": Order}
    for name, model in models.items():
        for key, field in model.model_fields.items():
            kind, many = field.annotation, ""
            if get_origin(kind) is tuple:
                kind, many = get_args(kind)[0], "a list of "
            if get_origin(kind) is not Literal:
                raise TypeError(f"{name}.{key} does not say what may stand there")
            default = field.default if isinstance(field.default, str) else field.default[0]
            values = [default, *(each for each in get_args(kind) if each != default)]
            yield f"| `{name}.{key}` | {many}{', '.join(f'`{value}`' for value in values)} |\n"


def _patterns() -> Iterator[str]:
    yield "| `all_fields` | AUT-1 and all that follow, as many as the sender has, more than one |\n"
    for name, fields in PATTERNS.items():
        yield f"| `{name}` | {', '.join(f'AUT-{number}' for number in sorted(fields))} |\n"


def _events() -> Iterator[str]:
    for name, deed in DEEDS.items():
        yield f"| {name} | {deed} |\n"


def _statuses() -> Iterator[str]:
    names = compiled("referral", VERSIONS[-1]).names
    yield from _codes("approval_status", "AUT-14", names.approval_status)
    for row in names.treatments:
        yield f"| `treatments` | AUT-18, else AUT-9: `{row.authorized}` | {row.status} |\n"
    yield f"| `dated` | AUT-6 with AUT-4, and neither AUT-18 nor AUT-9 | {names.dated} |\n"
    yield from _codes("referral_status", "RF1-1 of an answer without AUT", names.referral_status)
    yield _EVENT_STATUS_HEAD
    for event, allowed in EVENTS.items():
        others = ", ".join(each for each in allowed if each != names.events[event])
        yield f"| {event} | {names.events[event]} | {others} |\n"
    yield _TOGETHER_HEAD
    yield from (f"| {together.says} | {together.status} |\n" for together in TOGETHER)


def _codes(key: str, place: str, table: dict[str, Decision]) -> Iterator[str]:
    for status in dict.fromkeys(table.values()):
        codes = ", ".join(f"`{code}`" for code, means in table.items() if means == status)
        yield f"| `{key}` | {place}: {codes} | {status} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
