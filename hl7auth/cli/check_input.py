"""What `check` reads: files, folders and standard input, as messages in parts of bounded size.

Imports typer, errors, and inside functions wire.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import typer

from hl7auth.errors import UserError

BLOCK = 4 * 1024 * 1024
"""Bytes that are read at once: a larger file is checked in parts, so that memory does not grow with it."""

_SUFFIXES = frozenset({".hl7", ".txt", ".er7"})
_HEADS = (b"MSH", b"FHS", b"BHS", b"\x0b")
_SNIFFED = 4096
STDIN = "-"
NO_MESSAGE = "holds no HL7 message"


class Source(NamedTuple):
    """A file to be checked. One that is only `tried` was found in a folder, and may well be something else."""

    path: str
    size: int = 0
    tried: bool = False

    @property
    def large(self) -> bool:
        """True for what is read in several parts: big files, and whatever has no size."""
        return self.path == STDIN or self.size > BLOCK


class Part(NamedTuple):
    """Some messages of a file, `first` the number of the first of them, and what is odd about the file.

    `unusable` stands for a file that can not be read or holds no message at all.
    """

    file: str
    first: int
    messages: Sequence[bytes]
    notes: tuple[str, ...] = ()
    unusable: str = ""


def sources(paths: Sequence[Path], left_out: Path | None = None) -> list[Source]:
    """The files behind what was named on the command line; folders with all that is below them, hidden files left out.

    Raises UserError for what does not exist, and when nothing is there.
    """
    mine = left_out.resolve() if left_out is not None else None
    found: list[Source] = []
    for path in paths:
        if str(path) == STDIN:
            found.append(Source(STDIN))
        elif path.is_dir():
            found += [source for source in _below(path) if mine is None or Path(source.path).resolve() != mine]
        else:
            found.append(Source(str(path), _size(path)))
    if len(paths) == 1 and found == [Source(str(paths[0]))] != [Source(STDIN)]:
        raise UserError(f"{paths[0]}: {NO_MESSAGE}")
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: no file is there")
    return found


def parts(source: Source) -> Iterator[Part]:
    """The messages of a file; none of a file that was only tried and holds none."""
    name = shown(source.path)
    try:
        if source.large:
            yield from _streamed(source, name)
        else:
            yield from _whole(source, name)
    except OSError as error:
        yield Part(name, 1, (), unusable=(error.strerror or str(error)).lower())


def shown(path: str) -> str:
    """A file's name for a report: what is no text in it is replaced."""
    return path.encode("utf-8", "replace").decode()


def _below(folder: Path) -> Iterator[Source]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if not name.startswith(".") and path.is_file():
                yield Source(str(path), _size(path), path.suffix.lower() not in _SUFFIXES)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def _whole(source: Source, name: str) -> Iterator[Part]:
    from hl7auth.wire.batch import split

    with open(source.path, "rb") as stream:
        data = stream.read()
    if source.tried and not _looks_like_hl7(data[:_SNIFFED]):
        return
    batch = split(data)
    if batch.messages:
        yield Part(name, 1, batch.messages, batch.notes)
    elif not source.tried:
        # what stands there goes to the check: it says why that is no message
        yield Part(name, 1, (data,)) if data.strip() else Part(name, 1, (), unusable=NO_MESSAGE)


def _looks_like_hl7(start: bytes) -> bool:
    return start.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n\x00 \t").startswith(_HEADS) or b"\x0bMSH" in start


def _streamed(source: Source, name: str) -> Iterator[Part]:
    """One part is held back, so that what is said of the file at its end goes with the last message."""
    from hl7auth.wire.batch import split_blocks

    held, first = Part(name, 1, ()), 1
    with _opened(source.path) as stream:
        start = stream.read(BLOCK)
        if source.tried and not _looks_like_hl7(start[:_SNIFFED]):
            return
        for batch in split_blocks(chain([start], _blocks(stream))):
            if batch.messages and held.messages:
                yield held
                held = Part(name, first, ())
            held = held._replace(messages=held.messages or batch.messages, notes=held.notes + batch.notes)
            first += len(batch.messages)
    if held.messages:
        yield held
    else:
        yield Part(name, 1, (start,)) if start.strip() else Part(name, 1, (), unusable=NO_MESSAGE)


def _opened(path: str) -> BinaryIO:
    return typer.get_binary_stream("stdin") if path == STDIN else Path(path).open("rb")


def _blocks(stream: BinaryIO) -> Iterable[bytes]:
    return iter(lambda: stream.read(BLOCK), b"")
