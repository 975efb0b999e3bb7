"""prove-durability: kills an engine under load again and again, and compares what was told with what is stored.

Imports typer, errors, cli.common, and inside the command proof.
"""

import sys
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated

import typer

from hl7auth.cli.common import Format, Output, show
from hl7auth.errors import UserError

if TYPE_CHECKING:
    from hl7auth.proof.rounds import Findings

MAX_SHOWN = 20


def add(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(prove_durability)


def prove_durability(  # noqa: PLR0913, PLR0917 - one argument for each option
    rounds: Annotated[int, typer.Option(envvar="HL7AUTH_ROUNDS", min=1, help="How often the engine is killed.")] = 20,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="HL7AUTH_PROOF_DATABASE",
            metavar="URL",
            help="An empty database for the proof; default: SQLite in a new folder.",
        ),
    ] = None,
    connections: Annotated[
        int, typer.Option(envvar="HL7AUTH_CONNECTIONS", min=1, max=512, help="Senders at the same time.")
    ] = 16,
    workers: Annotated[int, typer.Option(envvar="HL7AUTH_WORKERS", min=1, max=64, help="Processes of the engine.")] = 1,
    seed: Annotated[int, typer.Option(envvar="HL7AUTH_SEED", help="Of the moments and messages of chance.")] = 1,
    longest: Annotated[
        float, typer.Option(envvar="HL7AUTH_LONGEST", min=0.05, help="Seconds under load before a kill, at most.")
    ] = 1.0,
    unsynced: Annotated[
        bool,
        typer.Option(
            envvar="HL7AUTH_UNSYNCED",
            help="After each kill also drop every write that was not synced (SQLite, one C compiler).",
        ),
    ] = False,
    deaf: Annotated[
        bool, typer.Option(envvar="HL7AUTH_DEAF", hidden=True, help="With --unsynced: as if nothing were ever synced.")
    ] = False,
    reload: Annotated[
        bool, typer.Option(envvar="HL7AUTH_RELOAD", help="Reload the channel in the middle of each round.")
    ] = False,
    output: Output = Format.TEXT,
) -> None:
    """Kill an engine under load, restart it, compare what senders were told with what is stored; exit 1 if it fails.

    Checked are: every message with a positive reply is stored and applied once, with that very reply; no effect is
    there twice; messages sent again get the stored reply; all that was accepted is sent on, in order.
    """
    from hl7auth.proof.rounds import Trial, prove
    from hl7auth.proof.unsynced import compiled

    if unsynced and database is not None:
        raise UserError("--unsynced is for the SQLite database that the proof makes itself, not for --database")
    folder = Path(mkdtemp(prefix="hl7auth-proof-")).resolve()
    shim = compiled(folder, deaf=deaf) if unsynced else None
    trial = Trial(
        rounds, database or f"sqlite:///{folder / 'engine.db'}", folder, connections, workers,
        longest=longest, seed=seed, unsynced=shim, reload=reload,
    )  # fmt: skip
    findings = prove(trial, _progress if sys.stderr.isatty() else lambda _: None)
    show(findings.entry(), output, lambda _: text(findings, folder))
    if findings.violations:
        raise typer.Exit(1)
    rmtree(folder)


def text(findings: "Findings", folder: Path) -> str:
    """The findings as a report."""
    lines = [
        f"{findings.rounds} rounds in {findings.seconds:,.0f} s: the engine was killed under load in each",
        f"{findings.sent:>9,} messages sent, {findings.resent:,} of them again",
        f"{findings.promised:>9,} promised (a positive reply came), {findings.accepted:,} in the store",
        f"{findings.unanswered_at_kill:>9,} without a reply at a kill, {findings.in_doubt:,} of them in the store",
        f"{findings.delivered:>9,} deliveries arrived, {findings.repeated:,} of them once more after a kill",
    ]
    if findings.bytes_dropped:
        lines.append(f"{findings.bytes_dropped:>9,} bytes that were not synced were dropped after the kills")
    if not findings.violations:
        return "\n".join([*lines, "nothing that was promised is missing, and nothing was done twice"])
    shown = findings.violations[:MAX_SHOWN]
    more = len(findings.violations) - len(shown)
    return "\n".join([*lines, f"BROKEN, see {folder}:", *shown, *([f"and {more:,} more"] if more else [])])


def _progress(findings: "Findings") -> None:
    sys.stderr.write(f"\rround {findings.rounds}: {findings.promised:,} promised, {len(findings.violations)} broken")
    sys.stderr.flush()
