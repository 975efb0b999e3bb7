"""message list, search, show, edit and export.

Imports typer, cli.common, cli.message_search, cli.message_edit, and inside the commands the store.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hl7auth.cli.common import (
    DEFAULT_DATABASE,
    Archive,
    ChannelFolder,
    Database,
    Format,
    Limit,
    Output,
    readable,
    reading,
    show,
    table,
)
from hl7auth.cli.message_edit import edit
from hl7auth.cli.message_search import search
from hl7auth.errors import UserError

app = typer.Typer(no_args_is_help=True)
app.command()(search)
app.command()(edit)

_MOST_PARTS = 10
_COLUMNS = ("id", "received_at", "channel", "event", "control_id", "sender", "disposition", "code")
ControlId = Annotated[str | None, typer.Option("--control-id", envvar="HL7AUTH_CONTROL_ID", help="MSH-10.")]
Channel = Annotated[str | None, typer.Option("--channel", envvar="HL7AUTH_CHANNEL", help="Name of the channel.")]
Type = Annotated[str | None, typer.Option("--type", envvar="HL7AUTH_TYPE", help="MSH-9.1, for example RQA.")]
Disposition = Annotated[
    str | None,
    typer.Option(
        "--disposition",
        envvar="HL7AUTH_DISPOSITION",
        help="accepted, refused, duplicate, failed, parked, ignored, filtered, part, link or batch.",
    ),
]


@app.command("list")
def list_(  # noqa: PLR0913, PLR0917
    channel: Channel = None,
    control_id: ControlId = None,
    message_type: Type = None,
    disposition: Disposition = None,
    limit: Limit = 100,
    archive: Archive = "",
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Messages as they came in, newest last."""
    from hl7auth.store.archive import list_messages

    with reading(database, archive) as connection:
        found = list_messages(connection, _filters(channel, control_id, message_type, disposition), limit)
    show(found, output, lambda rows: table(rows, _COLUMNS, "no message"))


@app.command("show")
def show_(
    message_id: Annotated[int, typer.Argument(metavar="ID")],
    raw: Annotated[bool, typer.Option("--raw", envvar="HL7AUTH_RAW", help="Its segments as they came.")] = False,
    archive: Archive = "",
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """One message: its fields in words, its findings, what it changed, its replies, its deliveries, and what belongs
    to it: request, answers, repetitions, and the messages about the same authorizations. Exit 1 where it is lost."""
    from hl7auth.reports.message_tree import message_tree
    from hl7auth.store.archive import read_message
    from hl7auth.store.edits import edits_of
    from hl7auth.store.related import deliveries_of, related
    from hl7auth.store.replays import replays_of

    with reading(database, archive) as connection:
        entry = read_message(connection, message_id)
        entry["tree"] = message_tree(entry["raw"] or b"")
        entry |= edits_of(connection, message_id, entry["control_id"]) | replays_of(connection, message_id)
        entry["deliveries"] = deliveries_of(connection, message_id)
        entry["related"] = related(connection, message_id, entry["control_id"], _answers(entry["tree"]))
    for body in ("raw", "shaped", "accept_ack", "reply"):
        entry[body] = entry[body].decode("utf-8", "replace") if entry[body] is not None else None
    show(entry, output, _as_received if raw else _text)
    if "lost" in entry:
        raise typer.Exit(1)


@app.command()
def export(  # noqa: PLR0913, PLR0917 - one argument for each option
    folder: Annotated[Path, typer.Option("--to", envvar="HL7AUTH_TO", help="Folder for one file per message.")],
    ids: Annotated[
        list[int] | None, typer.Option("--id", envvar="HL7AUTH_ID", metavar="ID", help="This message; repeatable.")
    ] = None,
    channel: Channel = None,
    control_id: ControlId = None,
    disposition: Disposition = None,
    limit: Limit = 0,
    pseudonymize: Annotated[
        bool,
        typer.Option("--pseudonymize", envvar="HL7AUTH_PSEUDONYMIZE", help="With other people in them, or not at all."),
    ] = False,
    channels: ChannelFolder = None,
    archive: Archive = "",
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Write the received bytes of messages to files ID.hl7; files that are there are left alone.

    With --pseudonymize identities are replaced, in all of the messages alike, dates move together, free text goes; if
    any value of a person were left, nothing is written. Exit 1 where the check finds something else than before.
    """
    filters = _filters(channel, control_id, None, disposition)
    found = _chosen((database, archive), ids or (), filters, limit)
    result: dict[str, Any] = {"folder": str(folder), "messages": len(found)}
    texts = {number: raw for number, _, raw in found}
    if pseudonymize:
        from hl7auth.cli.pseudonyms import bundle_of

        bundle = bundle_of(found, channels)
        texts = bundle.messages
        result["skipped"] = [str(each) for each in bundle.skipped]
        result["judged_otherwise"] = [str(each) for each in bundle.judged_otherwise]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        result["written"] = sum(_write(folder / f"{number}.hl7", raw) for number, raw in texts.items())
    except OSError as error:
        raise UserError(f"{folder}: {(error.strerror or str(error)).lower()}") from None
    show(result, output, _exported)
    if result.get("judged_otherwise"):
        raise typer.Exit(1)


def _chosen(
    where: tuple[str, str], ids: Sequence[int], filters: dict[str, str], limit: int
) -> list[tuple[int, str, bytes]]:
    """Ids, channels and bytes of the messages."""
    from hl7auth.store.archive import read_raw, read_whole

    with reading(*where) as connection:
        numbers = dict.fromkeys(ids) or [number for number, _ in read_raw(connection, filters, limit)]
        entries = (read_whole(connection, each) for each in numbers)
        return [(int(each["id"]), each["channel"], each["raw"]) for each in entries]


def _replayed(each: dict[str, Any]) -> str:
    """Of a message that a replay made, and of one that was replayed."""
    origin = f"message {each['origin']}" if each["origin"] else f"{each['file']}#{each['place']}"
    became = f"message {each['message']}" if each["message"] else f"delivery {each['delivery']}"
    made = f", became {became}" if each["message"] or each["delivery"] else ""
    why = f", again because: {each['why']}" if each["why"] else f", {each['reason']}" if each["reason"] else ""
    return f"replay {each['replay']} of {origin} by {each['by']}: {each['state']}{made}{why}"


def _exported(result: dict[str, Any]) -> str:
    lines = ["{written} of {messages} message(s) written to {folder}".format(**result)]
    lines += [f"no HL7 message, left out: {', '.join(result['skipped'])}"] if result.get("skipped") else []
    otherwise = result.get("judged_otherwise")
    lines += [f"the check finds something else than before in: {', '.join(otherwise)}"] if otherwise else []
    return "\n".join(lines)


def _write(path: Path, raw: bytes) -> bool:
    if path.exists():
        return False
    path.write_bytes(raw)
    return True


def _filters(
    channel: str | None, control_id: str | None, message_type: str | None, disposition: str | None
) -> dict[str, str]:
    asked = {"channel": channel, "control_id": control_id, "message_type": message_type, "disposition": disposition}
    return {name: value for name, value in asked.items() if value is not None}


def _answers(tree: list[dict[str, Any]]) -> str:
    """The control id in MSA-2."""
    fields = [field for segment in tree if segment["segment"] == "MSA" for field in segment["fields"]]
    return next((str(field.get("value", "")) for field in fields if field["path"] == "MSA-2"), "")


def _as_received(entry: dict[str, Any]) -> str:
    return _no_bodies(entry) or readable(entry["raw"].encode())


def _no_bodies(entry: dict[str, Any]) -> str:
    """Why there are no bytes to show; empty where there are."""
    return str(entry.get("lost") or entry.get("dropped") or "")


def _text(entry: dict[str, Any]) -> str:
    from hl7auth.reports.message_tree import tree_lines

    lines = [
        f"message {entry['id']}  {entry['event']}  {entry['control_id']}",
        f"{entry['disposition']} ({entry['code'] or 'no reply'})",
    ]
    under = f" (version {entry['channel_version']})" if entry["channel_version"] else ""
    lines += [f"received {entry['received_at']} on {entry['channel']}{under} from {entry['peer']}"]
    if "part" in entry:
        lines += ["number {number} of {of} ({state})".format(**entry["part"])]
    if "parts" in entry:
        lines += [f"made of {', '.join(entry['parts'][:_MOST_PARTS])}" + ", ..." * (len(entry["parts"]) > _MOST_PARTS)]
    lines += ["", *(tree_lines(entry["tree"]) or _as_received(entry).split("\n"))]
    lines += (
        ["", *(f"{f['severity']:7}  {f['path']:12}  {f['text']}" for f in entry["findings"])]
        if entry["findings"]
        else []
    )
    lines += (
        ["", *(f"{c['by']}: {c['key']} version {c['version']}: {c['status']}" for c in entry["changed"])]
        if entry["changed"]
        else []
    )
    if told := entry.get("forwarded"):
        by = f" by message {told['answered_by']}" if told["answered_by"] else ""
        late = ", its sender was told that it is late" if told["told_late"] else ""
        lines += ["", f"forwarded to {told['to']}: {told['state']}{by}{late}"]
    for name in ("shaped", "accept_ack", "reply"):
        if entry[name]:
            title = "as the steps of the channel made it" if name == "shaped" else name.replace("_", " ")
            lines += ["", f"{title}:", *readable(entry[name].encode()).split("\n")]
    form = "{destination}: {state}, {attempts} attempt(s), queued {queued_at}"
    deliveries = [
        form.format(**each) + (f": {each['reason']}" if each["reason"] else "") for each in entry["deliveries"]
    ]
    lines += ["", "deliveries:", *deliveries] if deliveries else []
    lines += ["", *("made of message {origin} by {by}, {at}: {reason}".format(**each) for each in entry["edit_of"])]
    lines += ["corrected as message {message} by {by}, {at}: {reason}".format(**each) for each in entry["edits"]]
    lines += [_replayed(each) for each in (*entry["replay_of"], *entry["replays"])]
    related = ["{as}: message {id}  {event}  {control_id}  {received_at}".format(**each) for each in entry["related"]]
    lines += ["", "belongs to it:", *related] if related else []
    return "\n".join(lines)
