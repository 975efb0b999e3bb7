"""soak: an engine for a long time under an even load of all kinds of messages, as a table and a plot.

Imports typer, cli.common, and inside the command proof.
"""

import json
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated

import typer

from hl7auth.cli.common import Format, Output, show, table

if TYPE_CHECKING:
    from hl7auth.proof.soak import Reading, Soaked

_COLUMNS = ("minutes", "rate", "p50_ms", "p99_ms", "resident_mb", "files", "database_mb", "cpu_percent", "missing")


def add(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(soak)


def soak(
    minutes: Annotated[float, typer.Option(envvar="HL7AUTH_MINUTES", min=0.01, help="How long.")] = 30.0,
    rate: Annotated[float, typer.Option(envvar="HL7AUTH_RATE", min=1, help="Messages a second in all.")] = 500.0,
    connections: Annotated[int, typer.Option(envvar="HL7AUTH_CONNECTIONS", min=1, max=512)] = 64,
    plot: Annotated[
        Path | None, typer.Option(envvar="HL7AUTH_PLOT", help="Write the curves there as SVG.", metavar="FILE")
    ] = None,
    output: Output = Format.TEXT,
) -> None:
    """Load an engine evenly with good and bad messages, and show memory, files, latency and database over time.

    Exit status 1 when a reply that was due did not come. Needs some 10 KB of disk for each message.
    """
    from hl7auth.proof.soak import soak as run

    folder = Path(mkdtemp(prefix="hl7auth-soak-")).resolve()
    soaked = run(folder, minutes, rate, connections, _as_it_goes if output is Format.TEXT else lambda _: None)
    rmtree(folder)
    if plot is not None:
        plot.write_text(_curves(soaked), encoding="utf-8")
    show(soaked.entry(), output, lambda _: text(soaked))
    if soaked.missing:
        raise typer.Exit(1)


def text(soaked: "Soaked") -> str:
    """The readings as a table, at most some thirty of them, and the sum."""
    each = max(1, len(soaked.readings) // 30)
    rows = [json.loads(json.dumps(entry)) for entry in soaked.entry()["readings"][::each]]
    head = (
        f"{soaked.sent:,} sent, {soaked.answered:,} answered ({soaked.negative:,} negative), {soaked.missing:,} missing"
    )
    return f"{table(rows, _COLUMNS, 'nothing was read')}\n{head}"


def _curves(soaked: "Soaked") -> str:
    from hl7auth.proof.plot import Curve, drawn

    readings = soaked.readings
    curves = [
        Curve("messages a second", [each.rate for each in readings]),
        Curve("latency in ms, middle", [each.p50_ms for each in readings]),
        Curve("latency in ms, 99th percentile", [each.p99_ms for each in readings]),
        Curve("resident memory in MB", [each.resident_mb for each in readings]),
        Curve("open files", [each.files for each in readings]),
        Curve("database in MB", [each.database_mb for each in readings]),
        Curve("processor in %", [each.cpu_percent for each in readings]),
    ]
    title = f"hl7auth under {soaked.rate:,.0f} messages a second, {soaked.connections} connections, good and bad"
    return drawn(title, [each.minutes for each in readings], curves)


def _as_it_goes(reading: "Reading") -> None:
    typer.echo(f"{reading.minutes:8.2f} min  {reading.rate:8.1f}/s  {reading.resident_mb or 0:7.1f} MB", err=True)
