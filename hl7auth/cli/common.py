"""What all commands share: the common options, and output as text or as one JSON document.

Imports typer, rich (inside, for the progress bar) and errors only.
"""

import getpass
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hl7auth.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Format(StrEnum):
    """How a command prints."""

    TEXT = "text"
    JSON = "json"


DEFAULT_DATABASE = "sqlite:///var/hl7auth.db"

Database = Annotated[
    str, typer.Option("--database", envvar="HL7AUTH_DATABASE", help="URL of the database.", metavar="URL")
]
Output = Annotated[Format, typer.Option("--format", envvar="HL7AUTH_FORMAT", help="How to print.")]
Limit = Annotated[int, typer.Option("--limit", envvar="HL7AUTH_LIMIT", min=0, help="The newest so many; 0 for all.")]
ChannelFolder = Annotated[
    Path | None, typer.Option("--channels", envvar="HL7AUTH_CHANNELS", help="Folder of channel files.", metavar="DIR")
]
Archive = Annotated[
    str,
    typer.Option(
        "--archive", envvar="HL7AUTH_ARCHIVE", metavar="PLACE",
        help="Packs of another installation instead of the database: a folder, or s3://BUCKET/PREFIX.",
    ),
]  # fmt: skip
Control = Annotated[
    Path | None,
    typer.Option(
        "--control", envvar="HL7AUTH_CONTROL", metavar="PATH",
        help="Socket at which the running engine is asked; default: DATABASE.control beside its file.",
    ),
]  # fmt: skip


def show(value: Any, output: Format, as_text: Callable[[Any], str]) -> None:
    """Prints a value: JSON is one document on standard output and nothing else there."""
    typer.echo(
        json.dumps(value, indent=2, ensure_ascii=False) if output is Format.JSON else as_text(value).rstrip("\n")
    )


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str], nothing: str) -> str:
    """Rows as aligned text under their column names."""
    if not rows:
        return nothing
    cells = [
        [column.replace("_", " ") for column in columns],
        *[[_cell(row.get(column)) for column in columns] for row in rows],
    ]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def tree(value: Any, indent: str = "") -> str:
    """Nested plain data as indented text."""
    if isinstance(value, dict):
        return "".join(_branch(str(key), each, indent) for key, each in value.items())
    if isinstance(value, list):
        return "".join(
            f"{indent}-\n{tree(each, indent + '  ')}" if isinstance(each, dict) else f"{indent}- {each}\n"
            for each in value
        )
    return f"{indent}{value}\n"


def read_file(path: Path) -> bytes:
    """The bytes of a file; `-` is standard input. Raises UserError."""
    try:
        return typer.get_binary_stream("stdin").read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def messages_of(paths: Sequence[Path]) -> list[tuple[str, bytes]]:
    """The messages of files with the name of their file; a file without any MSH is one message that is none.

    Raises UserError for a file that can not be read or is empty.
    """
    from hl7auth.wire.batch import split

    found: list[tuple[str, bytes]] = []
    for path in paths:
        data = read_file(path)
        if not data.strip():
            raise UserError(f"{path}: holds no HL7 message")
        found += [(str(path), message) for message in split(data).messages or (data,)]
    return found


@contextmanager
def reading(url: str, archive: str = "", *, indexed: bool = False) -> Iterator["Connection"]:
    """A connection for reading a database that must exist and be of this version, or packs of another installation.

    Of packs that can not be read is told on standard error. `indexed` reads packs so that fields are found. UserError.
    """
    if archive:
        from hl7auth.store.foreign import foreign

        with foreign(archive, lambda text: typer.echo(f"hl7auth: {text}", err=True), indexed=indexed) as connection:
            yield connection
        return
    from hl7auth.store.database import connect, open_database, require_current

    engine = open_database(url, create=False)
    require_current(engine)
    with connect(engine.execution_options(reads_only=True)) as connection:
        yield connection
    engine.dispose()


@contextmanager
def writing(url: str) -> Iterator["Connection"]:
    """One transaction: all of it or nothing. Raises UserError where the database is missing, foreign or locked."""
    from sqlalchemy.exc import OperationalError

    from hl7auth.store.database import open_database, require_current

    engine = open_database(url, create=False)
    require_current(engine)
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as error:
        raise UserError(f"the database could not be written: {error.orig}") from None
    finally:
        engine.dispose()


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, told of what is done and how much there is; silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def readable(raw: bytes) -> str:
    """A message for the eye: one segment a line."""
    return raw.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("code") or value.get("quantity") or value.get("name") or value.get("id") or "")
    return "" if value is None else str(value)


def _branch(key: str, value: Any, indent: str) -> str:
    if isinstance(value, dict | list) and value:
        return f"{indent}{key}\n{tree(value, indent + '  ')}"
    return f"{indent}{key}: {value}\n"


def who(by: str | None) -> str:
    """Who decides: the one that is named, else the user."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
