"""figures: what has to be told to the public each year about decisions.

Imports typer, cli.common, cli.channel_files, and inside the command the store.
"""

from typing import Annotated, Any

import typer

from hl7auth.cli.channel_files import clocks_by_channel
from hl7auth.cli.common import DEFAULT_DATABASE, ChannelFolder, Database, Format, Output, reading, show, table

_RATES = ("approved", "denied", "approved_after_appeal", "extended_and_approved", "approved_in_part",
          "approved_modified")  # fmt: skip
_ITEMS = ("payor", "code", "system", "decided")
_PLAIN = ("decided", "cancelled", "late", "hours_average", "hours_median")


def add(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("figures")(figures)


def figures(
    year: Annotated[int, typer.Argument(metavar="YEAR", help="The year in which it was decided, in UTC.")],
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """How many requests were approved, denied, late, and how long it took, with the policy by which it is counted."""
    from hl7auth.store.desk_figures import yearly_figures

    with reading(database) as connection:
        found = yearly_figures(connection, year, clocks_by_channel(channels))
    show(found, output, _text)


def _text(found: dict[str, Any]) -> str:
    groups = {"all payors": found["all"], **found["payors"]}
    lines = [f"Decisions of {found['year']}"]
    for name, kinds in groups.items():
        for kind, group in kinds.items():
            lines += ["", f"{name}, {kind}", *_group(group)]
    if found["items"]:
        lines += ["", "Items and services that needed an authorization", table(found["items"], _ITEMS, "")]
    return "\n".join([*lines, "", "How it is counted", *(f"* {each}" for each in found["policy"])])


def _group(group: dict[str, Any]) -> list[str]:
    rates = [f"  {_words(name)}: {_rate(group[name], group['decided'])}" for name in _RATES]
    return [*(f"  {_words(name)}: {'-' if group[name] is None else group[name]}" for name in _PLAIN), *rates]


def _rate(rate: dict[str, Any], whole: int) -> str:
    return f"{rate['count']} of {whole}" + (f" ({rate['percent']} %)" if rate["percent"] is not None else "")


def _words(name: str) -> str:
    return name.replace("_", " ")
