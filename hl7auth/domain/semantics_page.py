"""docs/reference/semantics.md, drawn from the tables and models that the engine itself goes by.

Imports domain, rules.profile and rules.strict_yaml only. `python -m hl7auth.domain.semantics_page FILE` writes it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from hl7auth.domain.action_table import STEPS, Effect
from hl7auth.domain.snapshot import PATTERNS
from hl7auth.domain.status import COUNTED
from hl7auth.domain.story import DEEDS
from hl7auth.domain.terms import Action, Order, Snapshot
from hl7auth.rules.profile import resolved
from hl7auth.rules.strict_yaml import Strict
from hl7auth.wire.ack import condition

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

Of a line, and of the message-level AUT where no line decides. A partner's own code counts first, by the dialect of the
profile (`status`); then AUT-14 by `status.approval_status` of the profile, here that of `referral`, where a code that
is not in the table pends; then AUT-18, else AUT-9; then a number (AUT-6) with an effective date (AUT-4) is a grant.
Everything else pends. MSA-1 decides nothing.

| what is said | status |
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
    names = resolved("referral").status
    tables = (
        [("AUT-14", names.approval_status), ("RF1-1 of an answer without AUT", names.referral_status)] if names else []
    )
    for place, table in tables:
        for status in dict.fromkeys(table.values()):
            codes = ", ".join(f"`{code}`" for code, means in table.items() if means == status)
            yield f"| {place}: {codes} | {status} |\n"
    for row in COUNTED:
        yield f"| AUT-18, else AUT-9: {row.says} | {row.status} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
