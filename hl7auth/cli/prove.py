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


Rounds = Annotated[int, typer.Option("--rounds", envvar="HL7AUTH_ROUNDS", min=1, help="How often it is killed.")]
Where = Annotated[
    str | None,
    typer.Option("--database", envvar="HL7AUTH_PROOF_DATABASE", metavar="URL", help="Empty; default: a new SQLite."),
]
Senders = Annotated[int, typer.Option("--connections", envvar="HL7AUTH_CONNECTIONS", min=1, max=512)]
Workers = Annotated[int, typer.Option("--workers", envvar="HL7AUTH_WORKERS", min=1, max=64, help="Processes.")]
Seed = Annotated[int, typer.Option("--seed", envvar="HL7AUTH_SEED", help="Of the moments and messages of chance.")]
Longest = Annotated[float, typer.Option("--longest", envvar="HL7AUTH_LONGEST", min=0.05, help="Seconds before a kill.")]
_DROP = "After each kill also drop every write that was not synced (SQLite; needs a C compiler)."
_RELOAD = "Reload the channel in the middle of each round."
Unsynced = Annotated[bool, typer.Option("--unsynced", envvar="HL7AUTH_UNSYNCED", help=_DROP)]
Deaf = Annotated[bool, typer.Option("--deaf", envvar="HL7AUTH_DEAF", help="With --unsynced: no sync counts.")]
Reload = Annotated[bool, typer.Option("--reload", envvar="HL7AUTH_RELOAD", help=_RELOAD)]


def prove_durability(  # noqa: PLR0913, PLR0917 - one argument for each option
    rounds: Rounds = 20,
    database: Where = None,
    connections: Senders = 16,
    workers: Workers = 1,
    seed: Seed = 1,
    longest: Longest = 1.0,
    unsynced: Unsynced = False,
    deaf: Deaf = False,
    reload: Reload = False,
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
    url = database or f"sqlite:///{folder / 'engine.db'}"
    trial = Trial(rounds, url, folder, connections, workers, longest=longest, seed=seed, unsynced=shim, reload=reload)
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
