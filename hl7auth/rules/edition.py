"""Editions of a profile: the files that it was read from, as they were then, whatever becomes of them later.

Imports rules.strict_yaml, errors, resources and the standard library only.

A channel runs under the edition that it was loaded with, until it is loaded again: what an editor saves meanwhile
reaches no message. Texts that differ only in comments, blanks, quotes or the order of keys are the same edition.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from hl7auth.errors import ConfigError, UserError
from hl7auth.resources import shipped
from hl7auth.rules.strict_yaml import written

Texts = Mapping[str, str]
"""Texts of files by their paths."""

_YAML = (".yaml", ".yml")


class Edition(NamedTuple):
    """A profile with all that it extends, and the tables in files: their texts, and one fingerprint of all."""

    digest: str
    texts: Texts


class _Named(NamedTuple):
    """What a file says, as a fingerprint; the profile that it extends, and the files of its tables."""

    said: str
    extends: str
    tables: tuple[str, ...]


_kept: dict[str, Edition] = {}


def profile_files(folder: Path | None = None) -> dict[str, Path]:
    """Every profile file by its name: the shipped ones, and over them those of a folder."""
    found = {path.stem: path for path in sorted(shipped("profiles").glob("*.yaml"))}
    if folder is not None:
        found |= {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return found


def edition_now(name: str) -> Edition:
    """The edition of a shipped profile as its files are now. Raises UserError for an unknown name.

    What is wrong in the files is not told here, but where the profile is made of them.
    """
    return edition_of(name, profile_files())


def edition_of(name: str, files: Mapping[str, Path]) -> Edition:
    """The edition of a profile as its files are now, found by their names. Raises UserError for an unknown name."""
    if name not in files:
        raise UserError(f"unknown profile '{name}' (known: {', '.join(files)})")
    said: dict[str, str] = {}
    texts: dict[str, str] = {}
    for path, text, meaning in _followed(name, files):
        said[path.name] = meaning
        texts[str(path)] = text
    made = Edition(fingerprint(said), texts)
    return _kept.setdefault(made.digest, made)


def kept_edition(digest: str) -> Edition:
    """The edition with that digest, which was read or taken over before. Raises KeyError."""
    return _kept[digest]


def known_editions() -> frozenset[str]:
    """The fingerprints of all that are kept."""
    return frozenset(_kept)


def take_over(editions: Collection[Edition]) -> None:
    """Keeps what another process has read."""
    for each in editions:
        _kept.setdefault(each.digest, each)


def keep_only(digests: Collection[str]) -> None:
    """Lets go of all editions but these."""
    for digest in _kept.keys() - set(digests):
        del _kept[digest]


def fingerprint(data: Any) -> str:
    """A fingerprint of plain data, whatever the order of its keys: 16 hexadecimal digits."""
    text = json.dumps(data, sort_keys=True, default=str, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=8).hexdigest()


def fingerprint_of_lines(text: str) -> str:
    """A fingerprint of a text, however its lines end."""
    return fingerprint([line.rstrip() for line in text.splitlines()])


def _followed(name: str, files: Mapping[str, Path]) -> Iterator[tuple[Path, str, str]]:
    """The files behind a profile with text and fingerprint; what can not be followed ends there."""
    seen = set()
    while name in files and name not in seen:
        seen.add(name)
        path = files[name]
        text = _text(path, "utf-8")
        if text is None:
            return
        named = _named(path, text)
        yield path, text, named.said
        for each in named.tables:
            table = path.parent / each
            content = _text(table, "utf-8-sig")
            if content is not None:
                yield table, content, fingerprint_of_lines(content)
        name = named.extends


def _text(path: Path, encoding: str) -> str | None:
    try:
        return path.read_text(encoding=encoding)
    except (OSError, UnicodeDecodeError):
        return None


@lru_cache(maxsize=256)
def _named(path: Path, text: str) -> _Named:
    try:
        data = written(path, text).data
    except ConfigError:
        return _Named(fingerprint(text), "", ())
    return _Named(fingerprint(data), str(data.get("extends", "")), tuple(_files(data.get("tables"))))


def _files(tables: Any) -> Iterator[str]:
    """Files of tables that lie in or below the folder of the profile: others are refused when it is made."""
    for table in tables.values() if isinstance(tables, dict) else ():
        name = table.get("file") if isinstance(table, dict) else None
        if isinstance(name, str) and not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts:
            yield name
