"""replay plan: what is chosen, where it is to go, and what it would do.

Imports typer, cli.common, cli.message_search, cli.queue, cli.replay_targets, and inside the command replay and the
store.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hl7auth.cli import message_search as asked
from hl7auth.cli.common import DEFAULT_DATABASE, ChannelFolder, Database, Format, Output, progress, show, who
from hl7auth.cli.queue import By
from hl7auth.cli.replay_targets import connected, looker_for, replays, target_of
from hl7auth.errors import UserError

if TYPE_CHECKING:
    from hl7auth.replay.planning import Choose
    from hl7auth.store.search import Query

From = Annotated[
    list[Path] | None,
    typer.Option(
        "--from", envvar="HL7AUTH_FROM", metavar="PATH",
        help="A file, batch file, MLLP capture or pack, or a folder of these, in place of the archive; repeatable.",
    ),
]  # fmt: skip
ToChannel = Annotated[
    str, typer.Option("--to-channel", envvar="HL7AUTH_TO_CHANNEL", metavar="NAME", help="Another channel than its own.")
]
ToDestination = Annotated[
    str,
    typer.Option(
        "--to-destination", envvar="HL7AUTH_TO_DESTINATION", metavar="NAME",
        help="Only to this destination, as CHANNEL/NAME.",
    ),
]  # fmt: skip
ToEndpoint = Annotated[
    str, typer.Option("--to-endpoint", envvar="HL7AUTH_TO_ENDPOINT", metavar="HOST:PORT", help="There, over MLLP.")
]
Tls = Annotated[bool, typer.Option("--tls", envvar="HL7AUTH_TLS", help="To the endpoint by TLS, never in the clear.")]
Again = Annotated[
    str,
    typer.Option(
        "--again", envvar="HL7AUTH_AGAIN", metavar="REASON", help="Also what was done before, a second time; say why."
    ),
]
_MOST_SAID = 500
_WORDS = {
    "new": "would make something new",
    "changed": "would change what is there",
    "nothing": "would change nothing",
    "refused": "would be refused",
    "send": "would be sent",
    "done": "done before, to be skipped",
    "left_out": "not to be replayed",
}


def plan(  # noqa: PLR0913, PLR0917 - one argument for each option
    fields: asked.Fields = None,
    sources: From = None,
    to_channel: ToChannel = "",
    to_destination: ToDestination = "",
    to_endpoint: ToEndpoint = "",
    tls: Tls = False,
    again: Again = "",
    control_id: asked.ControlId = "",
    authorization: asked.Authorization = "",
    patient: asked.Patient = "",
    name: asked.Name = "",
    referral: asked.Referral = "",
    sender: asked.Sender = "",
    event: asked.Event = "",
    status: asked.Status = "",
    rule: asked.Rule = "",
    since: asked.Since = "",
    until: asked.Until = "",
    channel: asked.Channel = "",
    disposition: asked.Disposition = "",
    words: asked.Words = "",
    ids_file: asked.IdsFile = None,
    by: By = None,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Choose messages as `message search` does, or from files, and tell what a replay of them would do.

    Nothing is done yet; the plan is kept under the id that is printed. What was applied or delivered before is skipped.
    """
    from hl7auth.domain.clock import beginning, moment
    from hl7auth.store.search import Query

    query = Query(
        control_id, authorization, patient, name, referral, sender, event, status, rule,
        beginning(since) if since else None, moment(until) + 1 if until else None, channel, disposition,
        tuple(asked.field_of(each) for each in fields or ()), words,
        asked.identifiers_of(ids_file) if ids_file is not None else (),
    )  # fmt: skip
    if sources and query != Query():
        raise UserError("--from takes all of the files: what chooses messages of the archive does not go with it")
    if len(again) > _MOST_SAID or again != again.strip():
        raise UserError(f"--again wants a reason of at most {_MOST_SAID} characters")
    target = target_of(to_channel, to_destination, to_endpoint, channels, tls=tls)
    show(_planned(database, query, sources or (), (target, again, who(by)), channels), output, _text)


def _planned(
    database: str, query: "Query", sources: Sequence[Path], said: tuple[str, str, str], channels: Path | None
) -> dict[str, Any]:
    from hl7auth.replay.choosing import chosen_by, dispositions_of, told
    from hl7auth.replay.planning import make
    from hl7auth.replay.wish import Wish
    from hl7auth.store.replays import counts, plan_entry, read_plan

    notes: list[str] = []
    selection = {"from": [str(path) for path in sources]} if sources else told(query)
    wish = Wish(said[0], said[1], said[2], json.dumps(selection, ensure_ascii=False), dispositions_of(query))
    with replays(database) as engine, ExitStack() as stack:
        looker = looker_for(wish, channels, stack)
        choose = _in_files(sources, notes) if sources else chosen_by(query)
        with progress("planning") as moved:
            number = make(engine, wish, choose, looker, notes, moved)
        with connected(engine) as connection:
            entry = plan_entry(connection, read_plan(connection, number))
            return entry | {
                "messages": sum(entry["states"].values()),
                "expected": counts(connection, number, "expected"),
            }


def _in_files(sources: Sequence[Path], notes: list[str]) -> "Choose":
    from hl7auth.replay.material import in_files
    from hl7auth.replay.planning import AT_ONCE

    return lambda _connection: (in_files([path.absolute() for path in sources], notes, AT_ONCE), lambda: 0)


def _text(entry: dict[str, Any]) -> str:
    where = entry["target"] or "the channel of each"
    lines = [f"replay {entry['replay']}: {entry['messages']} message(s) to {where}"]
    lines += [f"  {entry['expected'][name]:7}  {text}" for name, text in _WORDS.items() if name in entry["expected"]]
    lines += [f"  again, because: {entry['again']}"] if entry["again"] else []
    lines += [f"note: {each}" for each in entry["notes"]]
    return "\n".join([*lines, f"each message: hl7auth replay report {entry['replay']}", _next(entry)])


def _next(entry: dict[str, Any]) -> str:
    if not entry["states"].get("waiting"):
        return "there is nothing to run"
    return f"nothing is done yet: hl7auth replay run {entry['replay']}"
