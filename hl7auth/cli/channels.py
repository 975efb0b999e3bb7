"""channel list, show, versions, check, reload, test, unmapped, diff, schema and status.

Imports typer, cli.common, and inside the commands the rest of the command line and flow.
"""

from typing import Annotated, Any

import typer

from hl7auth.cli.common import DEFAULT_DATABASE, ChannelFolder, Control, Database, Format, Output, show, table
from hl7auth.errors import UserError

app = typer.Typer(no_args_is_help=True)

Optional = Annotated[
    str | None, typer.Argument(metavar="[FILE|NAME]", help="A file, or the name of a channel; all without it.")
]
Chosen = Annotated[str, typer.Argument(metavar="FILE|NAME", help="A file, or the name of a channel.")]


@app.command("list")
def list_(channels: ChannelFolder = None, output: Output = Format.TEXT) -> None:
    """The channels that `serve` would open."""
    from hl7auth.cli.channel_files import load_folder

    rows = [
        {
            "channel": channel.name,
            "version": channel.version,
            "listen": channel.file.listen,
            "profile": ", ".join(channel.file.profiles),
            "messages": list(channel.file.accepts.messages),
            "file": str(channel.path),
        }
        for channel in load_folder(channels)
    ]
    show(
        rows,
        output,
        lambda found: table([{**row, "messages": " ".join(row["messages"])} for row in found], list(rows[0]), ""),
    )


@app.command("show")
def show_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a channel, or without --version a file.")],
    version: Annotated[
        str | None,
        typer.Option(
            "--version", envvar="HL7AUTH_VERSION", help="As it was served before: a version, or its beginning."
        ),
    ] = None,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """A channel as its file is now, or with --version as messages ran under it; secrets are left out."""
    from hl7auth.cli.channel_versions import shown, shown_text

    show(shown(name, version, channels, database), output, shown_text)


@app.command()
def versions(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a channel.")],
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """The versions of a channel that were served over this database, newest last."""
    from hl7auth.cli import channel_versions

    show(channel_versions.versions(name, database), output, channel_versions.versions_text)


@app.command()
def check(name: Optional = None, channels: ChannelFolder = None, output: Output = Format.TEXT) -> None:
    """Is a channel right, and what would fail at run time or is questionable? Exit 1 for mistakes and what fails."""
    from hl7auth.cli.channel_check import as_text, checked

    entries = checked(name, channels)
    show(entries, output, as_text)
    raise typer.Exit(int(not all(entry["good"] for entry in entries)))


@app.command("test")
def run(
    name: Optional = None,
    update: Annotated[
        bool, typer.Option("--update", envvar="HL7AUTH_UPDATE", help="Write what is found as what is expected.")
    ] = False,
    record: Annotated[
        list[int] | None,
        typer.Option(
            envvar="HL7AUTH_RECORD", metavar="ID",
            help="Make a test of an archived message with other identities; again for more messages of one test.",
        ),
    ] = None,
    called: Annotated[
        str | None, typer.Option("--as", envvar="HL7AUTH_AS", metavar="TEST", help="With --record: name of the test.")
    ] = None,
    database: Database = DEFAULT_DATABASE,
    channels: ChannelFolder = None,
    output: Output = Format.TEXT,
) -> None:  # fmt: skip
    """Send the messages in NAME/tests beside the channel, with no network and no database, and compare.

    Files whose names are the same up to the first dot are one test: its messages come one after another, in the order
    of the names, to one empty store. What is expected stands in TEST.expected.yaml. Exit 1 where it is not so.
    """
    from hl7auth.cli.channel_tests import record_text, recorded, tested, tests_text

    if record:
        show(recorded(name, channels, record, called, database), output, record_text)
        return
    entries = tested(name, channels, update)
    show(entries, output, tests_text)
    raise typer.Exit(int(not all(entry["passed"] for entry in entries)))


@app.command()
def unmapped(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A channel; all without it.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", envvar="HL7AUTH_ALL", help="Also what is done, or in its table by now.")
    ] = False,
    finished: Annotated[
        list[int] | None,
        typer.Option("--done", envvar="HL7AUTH_DONE", metavar="ID", help="Mark as done; again for more."),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", envvar="HL7AUTH_BY", help="Who decides; default: the user.")] = None,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Values that code tables of steps lack, with how often, since when, and a message that has each.

    What its table has by now is not shown any more, and forgotten when the engine starts.
    """
    from hl7auth.cli.unmapped import as_text, done
    from hl7auth.cli.unmapped import unmapped as found

    if finished:
        show(done(finished, by, database), output, lambda it: f"{len(it['done'])} done")
        return
    show(found(name, channels, database, all_=all_), output, as_text)


@app.command()
def diff(before: Chosen, after: Chosen, channels: ChannelFolder = None, output: Output = Format.TEXT) -> None:
    """What a partner would notice if the second channel took the place of the first, in words."""
    from hl7auth.cli.channel_files import chosen
    from hl7auth.flow.channel_diff import channel_diff

    one, other = chosen(before, channels), chosen(after, channels)
    found = [each.entry() for each in channel_diff(one.file, other.file)]
    whole = {"before": one.name, "after": other.name, "differences": found}
    show(whole, output, lambda it: _differences(it, one.file.profiles, other.file.profiles))


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A channel; all without it.")] = None,
    watch: Annotated[bool, typer.Option("--watch", envvar="HL7AUTH_WATCH", help="Show it anew until Ctrl-C.")] = False,
    hours: Annotated[
        float, typer.Option("--hours", envvar="HL7AUTH_HOURS", min=0.01, help="How far the database is looked into.")
    ] = 1.0,
    metrics: Annotated[
        str,
        typer.Option("--metrics", envvar="HL7AUTH_METRICS", metavar="ENDPOINT", help="Where the engine shows them."),
    ] = "tcp:9575",
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Figures of the running engine since its start; when none answers, what the database knows, and exit 1."""
    from hl7auth.cli.channel_status import found_status, watched

    if watch and output is Format.JSON:
        raise UserError("--watch is for people; with --format json ask again and again")
    shown = watched(lambda: found_status(name, channels, database, metrics, hours), output, again=watch)
    raise typer.Exit(int(shown["source"] != "engine"))


@app.command()
def reload(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A channel; all of the folder without it.")
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", envvar="HL7AUTH_REMOVE", help="Serve the channel no more, file or not.")
    ] = False,
    control: Control = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Have the running engine read its channels again, and say what came of it; exit 1 where something is refused.

    A channel that is wrong, or whose port is taken, goes on as it was. Without a name, channels whose file is gone are
    served no more.
    """
    from hl7auth.cli.channel_reload import is_good, reloaded, report_text

    report = reloaded(name, remove, control, database)
    show(report, output, report_text)
    raise typer.Exit(int(not is_good(report)))


@app.command()
def schema(
    alerts: Annotated[bool, typer.Option("--alerts", envvar="HL7AUTH_ALERTS", help="Of alerts.yaml instead.")] = False,
) -> None:
    """The JSON Schema (2020-12) of channel files, for editors."""
    from hl7auth.flow.alert import AlertsFile
    from hl7auth.flow.channel_schema import channel_schema

    found = channel_schema(AlertsFile, "The alerts of hl7auth") if alerts else channel_schema()
    show(found, Format.JSON, str)


def _differences(whole: dict[str, Any], before: tuple[str, ...], after: tuple[str, ...]) -> str:
    found = whole["differences"]
    lines = [f"{whole['after']} compared with {whole['before']}: " + (f"{len(found)} difference(s)" if found else "")]
    if not found:
        lines[0] += "no difference"
    lines += [f"  {each['text']}" for each in found]
    gone, new = [name for name in before if name not in after], [name for name in after if name not in before]
    if len(gone) == len(new) == 1:
        lines.append(f"What the profiles differ in: hl7auth profile diff {gone[0]} {new[0]}")
    return "\n".join(lines)
