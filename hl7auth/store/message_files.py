"""Files of messages: batch files, MLLP captures, plain files, and folders of them, read in blocks.

Imports packs.places, wire.batch and errors only.
"""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from hl7auth.errors import UserError
from hl7auth.packs.places import SUFFIX
from hl7auth.wire.batch import split_blocks

BLOCK = 4 * 1024 * 1024
_SNIFFED = 4096
_SUFFIXES = frozenset({".hl7", ".txt", ".er7", SUFFIX})
_HEADS = (b"MSH", b"FHS", b"BHS", b"\x0b")
_MOST_NOTES = 20

NO_MESSAGE = "holds no HL7 message"
BROKEN = "its frame did not come whole"


class Found(NamedTuple):
    """A file. One that is only `tried` was found in a folder, and may well be something else."""

    path: Path
    tried: bool = False

    def messages(self, notes: list[str]) -> Iterator[tuple[bytes, str]]:
        """Its messages in their order, each with why it can not be replayed, if so. What is odd goes to `notes`.

        A file without any is one that can not be replayed, unless it was only tried. Raises OSError.
        """
        count = 0
        with self.path.open("rb") as stream:
            start = stream.read(BLOCK)
            if self.tried and not _looks_like_hl7(start[:_SNIFFED]):
                return
            for batch in split_blocks(chain([start], iter(lambda: stream.read(BLOCK), b""))):
                for at, raw in enumerate(batch.messages):
                    count += 1
                    yield raw, BROKEN if at in batch.broken else ""
                for note in batch.notes:
                    _add(notes, f"{self.path}: {note}")
        if not count and not self.tried:
            yield start[:_SNIFFED], NO_MESSAGE


def found_in(path: Path) -> Iterator[Found]:
    """The file, or those of a folder and all below it, hidden ones left out. Raises UserError."""
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder")
    if path.is_file():
        yield _readable(Found(path))
        return
    if not path.is_dir():
        raise UserError(f"{path}: is no file that could be read again")
    some = False
    for here, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(here, name)
            if not name.startswith(".") and file.is_file():
                some = True
                yield _readable(Found(file, file.suffix.lower() not in _SUFFIXES))
    if not some:
        raise UserError(f"{path}: no file is there")


def _readable(found: Found) -> Found:
    if not os.access(found.path, os.R_OK):
        raise UserError(f"{found.path}: permission denied")
    return found


def _looks_like_hl7(start: bytes) -> bool:
    return start.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n\x00 \t").startswith(_HEADS) or b"\x0bMSH" in start


def _add(notes: list[str], note: str) -> None:
    if len(notes) < _MOST_NOTES:
        notes.append(note)
    elif len(notes) == _MOST_NOTES:
        notes.append("further oddities are not listed")
