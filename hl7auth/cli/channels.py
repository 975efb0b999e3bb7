"""channel list and check.

Imports typer, cli.common, and inside the commands flow.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from hl7auth.cli.common import ChannelFolder, Format, Output, show, table
from hl7auth.errors import ConfigError

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(channels: ChannelFolder = None, output: Output = Format.TEXT) -> None:
    """The channels that `serve` would open."""
    from hl7auth.flow.channel import load_channels

    rows = [
        {
            "channel": channel.name,
            "listen": channel.file.listen,
            "profile": channel.file.profile,
            "messages": list(channel.file.accepts.messages),
            "file": str(channel.path),
        }
        for channel in load_channels(channels)
    ]
    show(
        rows,
        output,
        lambda found: table([{**row, "messages": " ".join(row["messages"])} for row in found], list(rows[0]), ""),
    )


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="One file; all channels without it.")] = None,
    channels: ChannelFolder = None,
    output: Output = Format.TEXT,
) -> None:
    """Is a channel file right? Exit 0 if so, 1 with the mistakes if not."""
    from hl7auth.flow.channel import load_channel, load_channels

    try:
        good = [load_channel(file)] if file else load_channels(channels)
    except ConfigError as error:
        show([{"good": False, "mistake": str(error)}], output, _text)
        raise typer.Exit(1) from None
    show([{"good": True, "channel": channel.name, "file": str(channel.path)} for channel in good], output, _text)


def _text(rows: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"{row['file']}: channel {row['channel']} is good" if row["good"] else row["mistake"] for row in rows
    )
