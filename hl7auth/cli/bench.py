"""`hl7auth bench`: the rates of the engine beside those of the limit program, measured in one run on this machine.

Imports bench_run and errors; typer and rich inside the command.
"""

import dataclasses
import json
import select
import signal
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from hl7auth.cli.bench_run import ON_SERVER, Machine, Measurement, Program, core_cpu_us, machine, measure, programs
from hl7auth.errors import UserError


class Budget(NamedTuple):
    """What a figure must reach and what it aims at."""

    must: float
    aim: float


#: engine against limit program, by number of connections
SHARE = {1: Budget(0.50, 0.70), 64: Budget(0.20, 0.40)}
#: on PostgreSQL, with 64 connections: of the rate on SQLite in the same round, and of two processes of that of one
SERVER_SHARE, SECOND_PROCESS = Budget(0.6, 0.8), Budget(1.0, 1.3)
CORE_US = Budget(250, 120)
P99_AT_HALF_MS, RESIDENT_MB, READY_S = Budget(50, 20), Budget(250, 150), Budget(3.0, 1.5)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure of the engine beside its budget; `met` is aim, must or missed."""

    figure: str
    measured: Spread
    must: float
    aim: float
    met: str


@dataclass(frozen=True, slots=True)
class Row:
    """What the rounds of one program at one number of connections came to; `wrong` counts replies that were not AA."""

    program: str
    connections: int
    offered: float | None
    rate: Spread
    p50_ms: Spread
    p95_ms: Spread
    p99_ms: Spread
    cpu_us: Spread | None
    resident_mb: Spread | None
    peak_mb: Spread | None
    ready_s: Spread
    wrong: int


@dataclass(frozen=True, slots=True)
class Report:
    """The whole run. `full_load` and `half_load` are medians; `measurements` are all single loads in their order."""

    machine: Machine
    seconds: float
    rounds: int
    message_bytes: int
    full_load: list[Row]
    half_load: list[Row]
    budgets: list[Verdict]
    measurements: list[Measurement]


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest."""
    return Spread(round(statistics.median(values), 4), min(values), max(values))


def row(rounds: Sequence[Measurement]) -> Row:
    """The rounds of one program at one number of connections as one row."""

    def over(name: str) -> Spread | None:
        values = [getattr(each, name) for each in rounds]
        return None if None in values else spread(values)

    def sure(name: str) -> Spread:
        return spread([getattr(each, name) for each in rounds])

    return Row(
        program=rounds[0].program,
        connections=rounds[0].connections,
        offered=rounds[0].offered,
        rate=sure("rate"),
        p50_ms=sure("p50_ms"),
        p95_ms=sure("p95_ms"),
        p99_ms=sure("p99_ms"),
        cpu_us=over("cpu_us"),
        resident_mb=over("resident_mb"),
        peak_mb=over("peak_mb"),
        ready_s=sure("ready_s"),
        wrong=sum(each.sent - each.positive for each in rounds),
    )


def compare(
    measured: Sequence[Program],
    connections: Sequence[int],
    seconds: float,
    rounds: int,
    step: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure the programs in turn, round by round, then each but the canned one at half of its peak.

    They take turns because a machine's speed drifts within minutes. `step` hears what was just measured.
    """
    done: list[Measurement] = []

    def one(program: Program, count: int, offered: float | None = None) -> None:
        done.append(measure(program, count, seconds, offered))
        step(f"{program.name}, {count} connections")

    where = machine()
    for count in connections:
        for _ in range(rounds):
            for program in measured:
                one(program, count)
    full_load = _rows(done)
    for _ in range(rounds):
        for program in measured:
            peak = max(each.rate.median for each in full_load if each.program == program.name)
            if program.name != "canned" and peak:
                one(program, max(connections), round(peak / 2, 1))
    half_load = _rows([each for each in done if each.offered is not None])
    bytes_each = done[0].message_bytes
    verdicts = budgets(done, half_load)
    if any(program.name == "engine" for program in measured):
        core = core_cpu_us()
        step("plan and decide alone")
        verdicts.append(verdict("plan and decide, CPU us per message", spread(core), CORE_US))
    return Report(where, seconds, rounds, bytes_each, full_load, half_load, verdicts, done)


def _rows(measurements: Sequence[Measurement]) -> list[Row]:
    groups: dict[tuple[str, int], list[Measurement]] = {}
    for each in measurements:
        groups.setdefault((each.program, each.connections), []).append(each)
    return [row(rounds) for rounds in groups.values()]


def shares(
    measurements: Sequence[Measurement], connections: int, program: str = "engine", of: str = "limit"
) -> list[float]:
    """A program's rate as a share of another's in the same round, for each round at full load."""
    at = [each for each in measurements if each.connections == connections and each.offered is None]
    engine = [each.rate for each in at if each.program == program]
    limit = [each.rate for each in at if each.program == of]
    return [round(ours / bound, 3) for ours, bound in zip(engine, limit, strict=False) if bound]


def budgets(measurements: Sequence[Measurement], half_load: Sequence[Row]) -> list[Verdict]:
    """Every figure of the engine that was measured; those without a budget are in the rows."""
    names = dict.fromkeys(each.program for each in measurements if each.program.startswith("engine"))
    verdicts = [each for name in names for each in _budgets_of(name, measurements, half_load)]
    two = f"{ON_SERVER} x 2"
    for figure, program, of, budget in (
        ("PostgreSQL: share of the rate on SQLite", ON_SERVER, "engine", SERVER_SHARE),
        ("PostgreSQL: two processes, share of one", two, ON_SERVER, SECOND_PROCESS),
    ):
        if share := shares(measurements, 64, program, of):
            verdicts.append(verdict(f"{figure}, 64 connections", spread(share), budget, more=True))
    return verdicts


def _budgets_of(program: str, measurements: Sequence[Measurement], half_load: Sequence[Row]) -> list[Verdict]:
    ours = [each for each in measurements if each.program == program]
    verdicts = [
        verdict(f"{program}: share of the limit program, {count} connections", spread(share), budget, more=True)
        for count, budget in SHARE.items()
        if (share := shares(measurements, count, program))
    ]
    verdicts += [
        verdict(f"{program}: p99 in ms at half load, {each.connections} connections", each.p99_ms, P99_AT_HALF_MS)
        for each in half_load
        if each.program == program
    ]
    if peaks := [each.peak_mb for each in ours if each.peak_mb is not None]:
        verdicts.append(verdict(f"{program}: peak of resident memory in MB", spread(peaks), RESIDENT_MB))
    ready = spread([each.ready_s for each in ours])
    return [*verdicts, verdict(f"{program}: start to ready in seconds", ready, READY_S)]


def verdict(figure: str, measured: Spread, budget: Budget, *, more: bool = False) -> Verdict:
    """The median beside the budget; `more` when greater is better."""
    sign = -1 if more else 1
    aim, must = measured.median * sign <= budget.aim * sign, measured.median * sign <= budget.must * sign
    return Verdict(figure, measured, budget.must, budget.aim, "aim" if aim else "must" if must else "missed")


def bench(
    connections: list[int],
    seconds: float,
    as_json: bool,
    database: str | None,
    rounds: int = 3,
    workers: int = 1,
    server: str | None = None,
) -> int:
    """Measure canned server, limit program and engine, print the report; 0, or 1 when a reply was wrong or missing.

    With `workers` above 1 the engine is measured in one process and in so many; with `server` (the URL of a database of
    PostgreSQL) also there, in one process and in two.

    `database` is a SQLAlchemy URL for the engine (default: a fresh SQLite file); its messages stay there. A budget that
    is missed is no error. Raises UserError when a program does not start or hangs up.
    """
    import typer

    if not hasattr(select, "epoll"):
        raise UserError("the load generator needs epoll, which only Linux has")
    if min(connections, default=0) < 1 or seconds <= 0 or rounds < 1:
        raise UserError("connections, seconds and rounds must be greater than zero")
    measured = programs(database, workers, server)
    steps = len(measured) * len(connections) * rounds + (len(measured) - 1) * rounds + 1
    with _ends_tidily(), _progress(steps) as step:
        report = compare(measured, sorted(set(connections)), seconds, rounds, step)
    typer.echo(document(report) if as_json else "\n".join(text(report)))
    return 1 if any(each.wrong for each in [*report.full_load, *report.half_load]) else 0


@contextmanager
def _ends_tidily() -> Iterator[None]:
    """A SIGTERM unwinds the stack, so that the servers are stopped and the folders removed."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _progress(steps: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error when that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("bench", total=steps)
        yield lambda what: bar.update(task, advance=1, description=what)


def document(report: Report) -> str:
    """The report as one JSON document; a figure that this system does not tell is null."""
    return json.dumps(dataclasses.asdict(report), indent=2)


def text(report: Report) -> Iterator[str]:
    """The report as lines of a plain table."""
    here = report.machine
    yield f"{here.cpu}, {here.cores} cores, {here.system}, Python {here.python}, SQLite {here.sqlite}"
    yield f"{here.folder} ({here.file_system}): {here.syncs:,.0f} synced appends a second"
    yield "modules compiled (hl7auth compile)" if here.native else "modules not compiled (hl7auth compile)"
    yield f"RQA^I08 of {report.message_bytes} bytes; median (least..greatest) of {report.rounds} x {report.seconds:g} s"
    for title, rows in (("As fast as replies come", report.full_load), ("At half of its peak", report.half_load)):
        yield f"\n{title}:"
        yield from _table([_HEADINGS, *(_cells(each) for each in rows)])
    yield "\nEngine beside its budget:"
    lines = [("figure", "measured", "must", "aim", "met")]
    for each in report.budgets:
        lines.append((each.figure, _show(each.measured, 2), f"{each.must:g}", f"{each.aim:g}", each.met))
    yield from _table(lines)
    if wrong := sum(each.wrong for each in [*report.full_load, *report.half_load]):
        yield f"\n{wrong} replies were negative, of another message or missing: the rates above mean nothing."


_HEADINGS = ("program", "conns", "msg/s", "p50 ms", "p95 ms", "p99 ms", "CPU us/msg", "RSS MB", "peak MB", "ready s")


def _cells(each: Row) -> tuple[str, ...]:
    return (
        each.program,
        str(each.connections),
        _show(each.rate, 0),
        *(f"{latency.median:.2f}" for latency in (each.p50_ms, each.p95_ms, each.p99_ms)),
        *(
            "n/a" if figure is None else f"{figure.median:.0f}"
            for figure in (each.cpu_us, each.resident_mb, each.peak_mb)
        ),
        f"{each.ready_s.median:.2f}",
    )


def _show(figure: Spread, digits: int) -> str:
    return f"{figure.median:,.{digits}f} ({figure.low:,.{digits}f}..{figure.high:,.{digits}f})"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The first column to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for cells in rows:
        first, *others = zip(cells, widths, strict=True)
        yield "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])
