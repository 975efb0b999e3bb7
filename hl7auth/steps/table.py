"""Code tables of channels: CSV files with a heading, read when the channel is loaded.

Imports errors and the standard library only.

The first line names the columns and begins with `from,to`; every other line maps one value. A step may use another
column than `to`. Values compare exactly, blanks and case included.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from hl7auth.errors import ConfigError

MAX_TABLE_BYTES = 10_000_000
"""Some 200,000 lines: more is a database and not a table of a channel."""

Table = Mapping[str, str]


def read_table(path: Path, column: str = "to") -> Table:
    """The values of column `from` with those of `column`. Raises ConfigError naming file and line."""
    rows = _rows(path)
    _, heading = next(rows, (1, []))
    if heading[:2] != ["from", "to"]:
        raise ConfigError(f"{path}:1: the first line names the columns and begins with: from,to")
    if column not in heading[1:]:
        raise ConfigError(f"{path}:1: no column '{column}' (there are: {', '.join(heading[1:])})")
    wanted, table = heading.index(column), dict[str, str]()
    for line, row in rows:
        if len(row) != len(heading):
            raise ConfigError(f"{path}:{line}: {len(heading)} values are expected, and there are {len(row)}")
        if not row[0]:
            raise ConfigError(f"{path}:{line}: from: a value is expected (empty fields are never translated)")
        if row[0] in table:
            raise ConfigError(f"{path}:{line}: from: '{row[0]}' is there twice")
        table[row[0]] = row[wanted]
    return table


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the number of its last line."""
    reader = csv.reader(_text(path).splitlines(keepends=True), strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ConfigError(f"{path}:{reader.line_num}: not CSV: {error}") from None
        if row:
            yield reader.line_num, row


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_TABLE_BYTES} bytes")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
