"""check: what messages break, where, by which rule, and how to mend it.

Imports typer, errors, cli.common, cli.check_input, and inside the command all that checks.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from hl7auth.cli.check_input import NO_MESSAGE, Source, sources
from hl7auth.errors import UserError

if TYPE_CHECKING:
    from hl7auth.cli.check_run import Settings
    from hl7auth.reports.tally import Tally

_MANY = 200
"""Files from which on all cores are worth their start."""

_OBJECTS_BEFORE_GARBAGE = 100_000
"""Profiles and dictionary are many objects and no garbage: looking for it takes a tenth of the start."""


class ReportFormat(StrEnum):
    """How a check reports: to a person, a program, a build, a partner."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    HTML = "html"


Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE|FOLDER...", help="Messages, MLLP captures, batch files; - is standard input."),
]
Chosen = Annotated[
    str | None,
    typer.Option(
        "--profile",
        envvar="HL7AUTH_PROFILE",
        help="Name of a profile, or its file. Without it each message chooses by MSH-21, MSH-12 and MSH-9.",
        metavar="NAME",
    ),
]
Profiles = Annotated[
    Path | None,
    typer.Option("--profiles", envvar="HL7AUTH_PROFILES", help="Folder of profiles beside the shipped.", metavar="DIR"),
]
Reporting = Annotated[ReportFormat, typer.Option("--format", envvar="HL7AUTH_FORMAT", help="How to report.")]
To = Annotated[
    Path | None,
    typer.Option("--output", "-o", envvar="HL7AUTH_OUTPUT", help="Write the report there.", metavar="FILE"),
]
Summary = Annotated[
    bool, typer.Option("--summary", envvar="HL7AUTH_SUMMARY", help="Only what all messages come to, rule by rule.")
]
Values = Annotated[
    bool,
    typer.Option("--values", envvar="HL7AUTH_VALUES", help="Show values, which may be of patients; else shapes only."),
]
Affirmative = Annotated[
    bool, typer.Option("--affirmative", envvar="HL7AUTH_AFFIRMATIVE", help="Also what was checked and is right.")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", envvar="HL7AUTH_JOBS", min=1, help=f"Processes; from {_MANY} files on one a core.", metavar="N"
    ),
]


def add(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command()(check)


def check(  # noqa: PLR0913, PLR0917
    files: Files,
    profile: Chosen = None,
    profiles: Profiles = None,
    output: Reporting = ReportFormat.TEXT,
    to: To = None,
    summary: Summary = False,
    values: Values = False,
    affirmative: Affirmative = False,
    jobs: Jobs = None,
) -> None:
    """Conformance findings; exit 0 clean or warnings, 1 errors, 2 unusable input."""
    gc.set_threshold(_OBJECTS_BEFORE_GARBAGE, 10, 10)
    from hl7auth.cli.check_run import Settings

    found = sources(files, to)
    if summary and output is ReportFormat.JUNIT:
        raise UserError("--summary: JUnit has a case for each message; take text, json or html")
    settings = Settings(profile, profiles, str(output), summary, values, affirmative)
    _prepare(settings)
    count = jobs or (1 if len(found) < _MANY else _cores())
    with _written(to) as stream:
        tally = _run(found, settings, count, stream)
    if to is not None:
        typer.echo(f"{to}: {tally.totals()}", err=True)
    if tally.messages == 0:
        raise UserError(f"{', '.join(map(str, files))}: {NO_MESSAGE}")
    raise typer.Exit(tally.exit)


def _prepare(settings: "Settings") -> None:
    """Finds a mistake in what was asked for before anything is read or written. Raises UserError."""
    from hl7auth.cli.check_choice import check_folder
    from hl7auth.cli.check_run import is_file
    from hl7auth.rules.profile import load_profile, resolved

    check_folder(settings.folder)
    if settings.profile is not None:
        if is_file(settings.profile):
            load_profile(Path(settings.profile))
        else:
            resolved(settings.profile, settings.folder)


def _run(found: list[Source], settings: "Settings", jobs: int, stream: TextIO) -> "Tally":
    """Writes the report while it grows, or at the end where its head holds the totals."""
    from hl7auth.cli.check_run import pieces
    from hl7auth.reports.forms import form
    from hl7auth.reports.tally import Tally

    drawn, tally = form(settings.form, settings.summary), Tally()
    with _body(drawn.tally_first, stream) as body, _progress(len(found), stream) as moved:
        if not drawn.tally_first:
            stream.write(drawn.head(tally))
        begun = False
        for piece in pieces(found, settings, jobs, moved):
            for fragment in piece.fragments:
                body.write(drawn.separator + fragment if begun else fragment)
                begun = True
            tally.merge(piece.tally)
        if drawn.tally_first:
            stream.write(drawn.head(tally))
            body.seek(0)
            while block := body.read(1 << 20):
                stream.write(block)
        stream.write(drawn.foot(tally))
    return tally


@contextmanager
def _body(apart: bool, stream: TextIO) -> Iterator[TextIO]:
    """Where what is drawn of each file goes at first: to the report itself, or apart until the totals are known."""
    if not apart:
        yield stream
        return
    from tempfile import TemporaryFile

    with TemporaryFile("w+", encoding="utf-8", newline="") as body:
        yield body


@contextmanager
def _written(to: Path | None) -> Iterator[TextIO]:
    """Where the report goes. Raises UserError for a file that can not be written."""
    if to is None:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal without the letters of a report still shows the rest
        yield sys.stdout
        return
    try:
        with to.open("w", encoding="utf-8", newline="") as stream:
            yield stream
    except OSError as error:
        raise UserError(f"{to}: {(error.strerror or str(error)).lower()}") from None


@contextmanager
def _progress(files: int, stream: TextIO) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal, unless the report itself goes there; gives what is to be told how many files are done."""
    if files < 2 or not sys.stderr.isatty() or stream.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("checking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    # no thread draws it: a process that has threads can not be forked safely
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True) as bar:
        task = bar.add_task("", total=files)

        def moved(done: int) -> None:
            bar.update(task, advance=done, refresh=True)

        yield moved


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
