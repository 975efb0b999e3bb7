"""message edit: an archived message, corrected, goes through its channel as a new one.

Imports typer, cli.common, and inside the functions flow, wire and the store.
"""

import os
import secrets
import shlex
import subprocess
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hl7auth.cli.common import DEFAULT_DATABASE, ChannelFolder, Database, Format, Output, show
from hl7auth.errors import Fault, UserError
from hl7auth.observe import ids, now

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from hl7auth.flow.channel import Channel
    from hl7auth.flow.decision import Outcome
    from hl7auth.store.edits import Edit
    from hl7auth.wire.message import Message

Changes = list[tuple[str, str, str]]

_MOST_SAID = 500
_ASIDE = 1 << 21
"""Half of the ids of a millisecond: an engine that runs beside begins with the other half."""


def edit(  # noqa: PLR0913, PLR0917 - one argument for each option
    message_id: Annotated[int, typer.Argument(metavar="ID")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="AUT-2.1=HH001, AUT[2]-6.1=PA7 ...")
    ] = None,
    by: Annotated[str, typer.Option("--by", envvar="HL7AUTH_BY", help="Who does it.")] = "",
    reason: Annotated[str, typer.Option("--reason", envvar="HL7AUTH_REASON", help="Why.")] = "",
    editor: Annotated[
        bool, typer.Option("--editor", envvar="HL7AUTH_EDITOR", help="Change it in the editor ($VISUAL or $EDITOR).")
    ] = False,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Correct a message and submit it as a new one, with a control id of its own; the original stays as it is.

    It goes through the channel that the original came in by. Who did it, and why, is kept with the message and
    in the audit log, there without values. Exit 1 where it is not accepted.
    """
    from hl7auth.store.database import open_database, require_current

    if not (by.strip() and reason.strip()) or len(by) > _MOST_SAID or len(reason) > _MOST_SAID:
        raise UserError(f"say who you are (--by) and why you do it (--reason), in at most {_MOST_SAID} characters each")
    settings = settings[1:] if settings and settings[0] == "SET" else settings
    if editor == bool(settings):
        raise UserError("say what to change, as FIELD=VALUE, or take --editor")
    engine = open_database(database, create=False)
    require_current(engine)
    try:
        outcome, made = _submitted(engine, message_id, settings or (), (by.strip(), reason.strip()), channels)
    finally:
        engine.dispose()
    result = {
        "message": str(outcome.plan.message_id),
        "control_id": made.control_id,
        "origin": str(message_id),
        "disposition": str(outcome.disposition),
        "code": outcome.code,
        "changes": [{"path": path, "before": old, "after": new} for path, old, new in made.changes],
        "findings": [{"severity": each.severity, "path": each.path, "text": each.text} for each in outcome.findings],
    }
    show(result, output, _text)
    if result["disposition"] != "accepted":
        raise typer.Exit(1)


def _submitted(
    engine: "Engine", message_id: int, settings: Sequence[str], said: tuple[str, str], channels: ChannelFolder
) -> tuple["Outcome", "Edit"]:
    from sqlalchemy import inspect

    from hl7auth.flow.channel import find_channel
    from hl7auth.flow.editing import as_new, encoded
    from hl7auth.flow.intake import timestamp
    from hl7auth.store import audit
    from hl7auth.store.archive import read_whole
    from hl7auth.store.database import connect
    from hl7auth.store.edits import Edit, write_edit
    from hl7auth.wire.message import parse

    with connect(engine.execution_options(reads_only=True)) as connection:
        origin = read_whole(connection, message_id)
    channel = find_channel(origin["channel"], channels, os.environ)
    try:
        message = parse(origin["raw"], channel.file.fallback_charset)
    except Fault as fault:
        raise UserError(f"message {message_id} is no HL7 message: {fault}; send a corrected file instead") from None
    text, changes = _changed(message, settings)
    at, numbers = now(), ids()
    number = numbers() + _ASIDE + secrets.randbelow(_ASIDE // 2)
    control_id = f"E{number}"[:20]
    sent_at = "" if any(path == "MSH-7" for path, _, _ in changes) else timestamp(at // 1_000_000)
    raw = encoded(as_new(text, control_id, sent_at, message.delimiters), message.codec)
    made = Edit(control_id, message_id, at, *said, tuple(changes))
    _parsed(raw, channel)
    with connect(engine) as connection, connection.begin():
        write_edit(connection, made)
        if inspect(connection).has_table("audit"):  # a database of before has none
            detail = {"became": control_id, "reason": said[1], "fields": [path for path, _, _ in changes]}
            audit.write(connection, said[0], "message.edit", str(message_id), detail, at)
    return _committed(engine, channel, raw, number, f"edit by {said[0]}"), made


def _changed(message: "Message", settings: Sequence[str]) -> tuple[str, Changes]:
    """The new text, and what is other in it. Raises UserError where nothing is."""
    from hl7auth.flow.editing import edited, read_setting

    old = "".join(f"{segment.text}\r" for segment in message.segments)
    if settings:
        asked = [read_setting(each) for each in settings]
        text = edited(message, asked)
        changes = []
        for each in asked:
            segment = message.all(each.segment)[each.occurrence - 1]
            before = segment.raw(each.field, each.component or 1, each.repetition, each.subcomponent)
            changes.append((each.path, before if each.component else segment.field(each.field), each.value))
    else:
        given = _in_editor(old.replace("\r", "\n"))
        text = "".join(f"{line}\r" for line in given.split("\n") if line.strip())
        changes = _lines(old.split("\r"), text.split("\r"))
    if not text or text == old:
        raise UserError("nothing was changed, and nothing was submitted")
    return text, changes


def _in_editor(text: str) -> str:
    """What a person makes of a text. Raises UserError where there is no editor, or it does not end well."""
    words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    if not words:
        raise UserError("--editor needs the name of your editor in $VISUAL or $EDITOR")
    with TemporaryDirectory(prefix="hl7auth-") as folder:  # nobody else may read it
        file = Path(folder) / "message.hl7"
        file.write_text(text, encoding="utf-8", newline="\n")
        try:
            subprocess.run([*words, str(file)], check=True)  # noqa: S603 - the editor of the person
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(f"the editor {words[0]} did not end well: {error}") from None
        return file.read_text(encoding="utf-8")


def _lines(old: list[str], new: list[str]) -> Changes:
    """What an editor changed, line by line."""
    found: Changes = []
    for kind, low, high, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            found.append((f"line {low + 1}", "\r".join(old[low:high]), "\r".join(new[start:end])))
    return found


def _parsed(raw: bytes, channel: "Channel") -> "Message":
    from hl7auth.wire.message import parse

    try:
        return parse(raw, channel.file.fallback_charset)
    except Fault as fault:
        raise UserError(f"what you wrote is no HL7 message: {fault}") from None


def _committed(engine: "Engine", channel: "Channel", raw: bytes, number: int, peer: str) -> "Outcome":
    """Through the same plan, decision and commit as a message that came in."""
    from hl7auth.flow.intake import plan
    from hl7auth.flow.shaping import shape
    from hl7auth.replay.runners import running
    from hl7auth.store.journal import Journal

    given = iter(range(number, number + 3))
    with running(channel) as runner:
        shaped = shape(_parsed(raw, channel), channel, runner) if channel.file.steps else None
    planned = plan(raw, channel, now(), lambda: next(given), (), peer, shaped)
    journal = Journal(engine)
    try:
        (outcome,) = journal.commit([planned])
    finally:
        journal.close()
    return outcome


def _text(result: dict[str, Any]) -> str:
    lines = ["message {message}  {control_id}  made of {origin}: {disposition} ({code})".format(**result)]
    lines += ["  {path}: '{before}' -> '{after}'".format(**each) for each in result["changes"]]
    lines += ["{severity:7}  {path:12}  {text}".format(**each) for each in result["findings"]]
    return "\n".join(lines)
