"""plan: what the engine would do with a message, without storing anything.

Imports typer, cli.common, and inside the command flow, domain and rules.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hl7auth.cli.common import ChannelFolder, Format, Output, messages_of, readable, show

if TYPE_CHECKING:
    from hl7auth.flow.decision import Outcome

Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILE...]",
        help="Messages, MLLP captures or batch files; - is standard input. Without any, the tests of the channel.",
    ),
]


def add(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(plan)


def plan(
    channel: Annotated[str, typer.Option(envvar="HL7AUTH_CHANNEL", help="Name of the channel.", metavar="NAME")],
    files: Files = None,
    channels: ChannelFolder = None,
    output: Output = Format.TEXT,
) -> None:
    """What would happen and be answered if an empty store received the messages; stores nothing."""
    from hl7auth.cli.channel_tests import stories
    from hl7auth.flow.channel import find_channel
    from hl7auth.flow.examples import answered_entry, shaped_entry
    from hl7auth.flow.trial import try_out
    from hl7auth.replay.runners import running

    chosen = find_channel(channel, channels, os.environ)
    entries = []
    for messages in [messages_of(files)] if files else stories(chosen):
        with running(chosen) as runner:
            outcomes = try_out([message for _, message in messages], chosen, runner)
            entries += [
                _outcome_entry(name, outcome) | shaped_entry(outcome, runner) | answered_entry(outcome, runner)
                for (name, _), outcome in zip(messages, outcomes, strict=True)
            ]
    show(entries, output, lambda found: "\n\n".join(_outcome_text(entry) for entry in found))


def _outcome_entry(name: str, outcome: "Outcome") -> dict[str, Any]:
    from hl7auth.domain.document import shown
    from hl7auth.rules.check import finding_entry

    codec = outcome.plan.message.codec if outcome.plan.message else "ascii"
    return {
        "file": name,
        "control_id": outcome.plan.header.control_id,
        "event": outcome.plan.header.event,
        "disposition": str(outcome.disposition),
        "code": outcome.code,
        "findings": [finding_entry(finding) for finding in outcome.findings],
        "changes": [{"by": change.rule, "document": shown(change.record.document)} for change in outcome.changes],
        "replies": [reply.decode(codec, "replace") for reply in outcome.replies],
    }


def _outcome_text(entry: dict[str, Any]) -> str:
    what = f"{entry['event'] or 'no message'} {entry['control_id']}"
    lines = [f"{entry['file']}: {what}: {entry['disposition']} ({entry['code'] or 'no reply'})"]
    lines += [f"  {f['severity']:7}  {f['path']:12}  {f['text']}" for f in entry["findings"]]
    for change in entry["changes"]:
        document = change["document"]
        lines.append(f"  {change['by']}: {document['key']} version {document['version']} {document['status']}")
    lines += [f"  {line}" for reply in entry["replies"] for line in ["reply:", *readable(reply.encode()).split("\n")]]
    lines += [] if entry["replies"] else ["  no reply"]
    copies = {"shaped": entry["shaped"]} if "shaped" in entry else {}
    copies |= {f"to {name}": text for name, text in entry.get("sent", {}).items()}
    lines += [f"  {line}" for title, text in copies.items() for line in [f"{title}:", *text.rstrip("\n").split("\n")]]
    lines += [f"  answered by {entry['answered']}"] if "answered" in entry else []
    for name, text in entry.get("goes", {}).items():
        lines += [f"  {line}" for line in [f"to {name}:", *text.rstrip("\n").split("\n")]]
    return "\n".join(lines)
