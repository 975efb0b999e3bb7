"""replay compare: what another configuration would have made of the archive.

Imports typer, cli.common, and inside the command the rest.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hl7auth.cli.common import DEFAULT_DATABASE, ChannelFolder, Database, Format, Output, progress, show
from hl7auth.errors import UserError

if TYPE_CHECKING:
    from hl7auth.whatif.tally import Tally

_CUT = 60


def _option(name: str, help_: str, **more: Any) -> Any:
    return typer.Option(f"--{name}", envvar=f"HL7AUTH_{name.upper().replace('-', '_')}", help=help_, **more)


ChannelFiles = Annotated[list[Path] | None, _option("channel-file", "Instead of the channel of its name; repeatable.")]
ProfileFiles = Annotated[list[Path] | None, _option("profile-file", "Instead of the profile of its name; repeatable.")]
InsteadOf = Annotated[str | None, _option("channel", "Which channel the channel file is for.")]
Since = Annotated[str, _option("since", "Messages from this time on, as 2026-03-01T10:00.")]
Until = Annotated[str, _option("until", "Until this time, a day or a minute as a whole.")]
Examples = Annotated[int, _option("examples", "Of each kind.", min=1, max=100)]
Values = Annotated[bool, _option("values", "Show what differs, patient data too.")]
Workers = Annotated[int, _option("workers", "Processes; 0: one a core.", min=0, max=256)]


def compare(  # noqa: PLR0913, PLR0917 - one argument for each option
    channel_files: ChannelFiles = None,
    profile_files: ProfileFiles = None,
    channel: InsteadOf = None,
    channels: ChannelFolder = None,
    since: Since = "",
    until: Until = "",
    examples: Examples = 3,
    values: Values = False,
    workers: Workers = 0,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Run the archive through another configuration, in memory: what would have come out otherwise?

    Nothing is stored, sent or locked. Exit 0: no difference, 1: differences, 2: it could not be run, or messages of
    the archive could not be read.
    """
    from hl7auth.cli.channel_files import load_folder
    from hl7auth.domain.clock import beginning, moment
    from hl7auth.whatif.candidate import candidates
    from hl7auth.whatif.run import Wanted
    from hl7auth.whatif.run import compare as run

    if not channel_files and not profile_files:
        raise UserError("nothing to try: --channel-file or --profile-file")
    now = {each.name: each for each in load_folder(channels)}
    new = candidates(now, channel_files or (), profile_files or (), os.environ, channel)
    span = (beginning(since) if since else None, moment(until) + 1 if until else None)
    with progress("comparing") as moved:
        found = run(Wanted(database, now, new, *span, examples), workers or os.cpu_count() or 1, moved)
    tried = sorted(name for name, each in new.items() if each.version != now[name].version)
    show({"channels": tried} | _entry(found, values), output, _as_text)
    if found.skipped.get("lost"):
        raise UserError(f"{found.skipped['lost']} message(s) could not be read: `hl7auth archive verify` says why")
    if found.differ:
        raise typer.Exit(1)


def _entry(found: "Tally", values: bool) -> dict[str, Any]:
    return {
        "compared": found.compared,
        "differ": found.differ,
        "authorizations": found.authorizations,
        "drifted": found.drifted,
        "not_compared": found.skipped,
        "kinds": found.entries(values=values),
        "further": found.further,
    }


def _as_text(result: dict[str, Any]) -> str:
    tried = ", ".join(result["channels"]) or "nothing: the files say what the channels say already"
    lines = [f"tried: {tried}"]
    for each in result["kinds"]:
        lines.append(f"{each['messages']:>8,}  {each['kind']:13}  {each['what']}")
        lines += [f"{'':8}  {'':13}    {_example(example)}" for example in each["examples"]]
    if result["further"]:
        lines.append(f"{result['further']:>8,}  of further kinds")
    lines.append(
        f"{result['differ']:,} of {result['compared']:,} message(s) differ,"
        f" and {result['authorizations']:,} authorization(s) or request(s) would stand otherwise in the end"
    )
    lines += [f"not compared: {count:,} ({why})" for why, count in sorted(result["not_compared"].items())]
    if result["drifted"]:
        lines.append(
            f"{result['drifted']:,} message(s) came out otherwise than they do today; they are compared as today"
        )
    return "\n".join(lines)


def _example(example: dict[str, Any]) -> str:
    if "before" not in example:
        return f"message {example['message']}"
    return f"message {example['message']}: {_shown(example['before'])} -> {_shown(example['after'])}"


def _shown(value: str | None) -> str:
    text = " ".join(value.split()) if value is not None else "(none)"
    return text if len(text) <= _CUT else f"{text[:_CUT]}..."
