"""Tables of codes: HL7's own by version, its suggestions, and what a site brings in a file beside its profile.

Imports wire, errors, resources, rules.strict_yaml, pydantic and yaml only.
"""

import csv
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, Field, model_validator

from hl7auth.errors import ConfigError
from hl7auth.resources import shipped
from hl7auth.rules.strict_yaml import Strict, load_with_lines
from hl7auth.wire.versions import VERSIONS, at_least

TableKind = Literal["hl7", "user", "site"]
MAX_FILE_BYTES = 20_000_000
"""A list of all plans of a country's payors fits; more does not belong into a table of codes."""
_COLUMNS = ("code", "text", "since", "until")
NO_TEXTS: Mapping[str, str] = MappingProxyType({})


def _known(version: str) -> str:
    if version not in VERSIONS:
        raise ValueError(f"unknown version '{version}' (known: {', '.join(VERSIONS)})")
    return version


Version = Annotated[str, AfterValidator(_known)]
"""One of the versions that the engine speaks, as people write it in YAML: in quotes."""


class Code(Strict):
    """One code: its meaning, and the first and the last version that has it."""

    text: str = ""
    since: Version = VERSIONS[0]
    until: Version = VERSIONS[-1]


class Table(Strict):
    """A table of codes. A value outside an HL7-defined table is an error, outside any other a warning.

    `kind`: hl7 for codes that HL7 defines, user for its suggestions, site for codes of a site's own. `file` is a CSV or
    YAML file beside the profile that holds the codes instead of `values`. A site table without codes takes every value.
    """

    name: str = ""
    kind: TableKind = "site"
    values: dict[str, Code | str] = {}
    file: str | None = None

    @model_validator(mode="after")
    def _has_codes(self) -> Self:
        if self.file is not None and self.values:
            raise ValueError("values and file say the same thing: only one of them may stand here")
        if self.kind != "site" and not self.model_fields_set & {"values", "file"}:
            raise ValueError(f"a table of kind {self.kind} needs values, or a file that has them")
        return self

    @property
    def configured(self) -> bool:
        """False for a table that takes every value, since nobody has said what its codes are."""
        return bool(self.values)

    def codes(self, version: str) -> frozenset[str]:
        """The codes that exist in a version."""
        return frozenset(
            code for code, meaning in self.values.items() if isinstance(meaning, str) or _in(meaning, version)
        )

    def text(self, code: str) -> str:
        """What a code means; empty for an unknown one."""
        meaning = self.values.get(code, "")
        return meaning if isinstance(meaning, str) else meaning.text


class CodeFile(Strict):
    """The shape of a YAML file with the codes of one table."""

    values: dict[str, Code | str] = Field(min_length=1)


class ListedTable(Strict):
    """A shipped table without its codes."""

    name: str
    kind: TableKind


class Tables(Strict):
    """The shape of profiles/dictionary/tables.yaml."""

    tables: dict[str, ListedTable]


def filled(table: Table, number: str, folder: Path, place: str, texts: Mapping[str, str] = NO_TEXTS) -> Table:
    """The table with the codes of its file, which lies in or below the folder; what it does not say itself (its name)
    is that of the shipped one. Raises ConfigError at `place` (`file:line`), or naming file and line of a mistake in it.

    `texts` are of files by their paths, as they were before; others are read.
    """
    known = shipped_tables().get(number)
    update: dict[str, object] = {"name": table.name or (known.name if known else "")}
    if table.file is not None:
        known_text = texts.get(str(folder / table.file))
        path = _inside(table.file, folder, f"{place}: tables.{number}.file", is_there=known_text is not None)
        update["values"] = _from_file(path, known_text)
    return table.model_copy(update=update)


@cache
def shipped_tables() -> dict[str, Table]:
    """The tables that come with the engine, by number. What lies there is tested, not checked again at every start."""
    folder = shipped("profiles") / "dictionary"
    codes: dict[str, dict[str, Code | str]] = {}
    for number, code, text, since, until in _rows(folder / "codes.csv"):
        codes.setdefault(number, {})[code] = _code(text, since, until)
    listed = yaml.load((folder / "tables.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["tables"]
    return {
        number: Table.model_construct(name=each["name"], kind=each["kind"], values=codes.get(number, {}), file=None)
        for number, each in listed.items()
    }


def _in(code: Code, version: str) -> bool:
    return at_least(version, code.since) and at_least(code.until, version)


def _code(text: str, since: str, until: str) -> Code | str:
    if not since and not until:
        return text
    return Code.model_construct(text=text, since=since or VERSIONS[0], until=until or VERSIONS[-1])


def _rows(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        yield from rows


def _inside(name: str, folder: Path, key: str, *, is_there: bool) -> Path:
    """A profile may come from a partner: it does not get to read what lies outside its own folder."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name:
        raise ConfigError(f"{key}: '{name}' must lie in or below the folder of the profile")
    path = folder / pure
    if path.suffix.lower() not in (".csv", ".yaml", ".yml"):
        raise ConfigError(f"{key}: '{name}' is neither a .csv nor a .yaml file")
    if not is_there and (not path.is_file() or not path.resolve().is_relative_to(folder.resolve())):
        raise ConfigError(f"{key}: there is no file {path}")
    return path


def _from_file(path: Path, text: str | None) -> dict[str, Code | str]:
    if path.suffix.lower() == ".csv":
        return _from_csv(path, _text(path) if text is None else text)
    return load_with_lines(path, CodeFile, text)[0].values


def _from_csv(path: Path, text: str) -> dict[str, Code | str]:
    """The codes of a CSV file: a line of column names (code, text, since, until; the last two may be left out), then
    one line a code, divided by commas or semicolons, as spreadsheets write them. Raises ConfigError."""
    lines = text.splitlines()
    first = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=";" if ";" in first else ",")
    columns = [name.strip().lower() for name in next(reader, [])]
    if "code" not in columns or not set(columns) <= set(_COLUMNS) or len(set(columns)) < len(columns):
        raise ConfigError(f"{path}:1: the columns are code, text, and where needed since and until, not: {first[:80]}")
    values: dict[str, Code | str] = {}
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                code, meaning = _line(dict(zip(columns, map(str.strip, row), strict=False)))
                if code in values:
                    raise ValueError(f"the code '{code}' is there twice")
                values[code] = meaning
    except (ValueError, csv.Error) as error:
        raise ConfigError(f"{path}:{reader.line_num}: {error}") from None
    return values


def _line(cells: dict[str, str]) -> tuple[str, Code | str]:
    code, since, until = cells.get("code", ""), cells.get("since", ""), cells.get("until", "")
    if not code:
        raise ValueError("the code is missing")
    for version in filter(None, (since, until)):
        _known(version)
    return code, _code(cells.get("text", ""), since, until)


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets put a mark before the first byte
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
