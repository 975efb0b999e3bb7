"""The XML documents that files, folders and zip archives hold: nothing is unpacked to disk.

Imports exchange.markup and errors only.
"""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo, is_zipfile

from hl7auth.errors import UserError
from hl7auth.exchange.markup import MAX_BYTES, Source, read_source

MAX_DOCUMENTS = 50
"""A bundle has five documents, and a zip of several message profiles some more."""

_CHUNK = 65_536


def read_bundle(paths: Sequence[Path]) -> tuple[Source, ...]:
    """Every XML document of files, folders (their `*.xml`) and zip archives. All together at most MAX_BYTES.

    Raises UserError for what can not be read, is no XML, or is beyond the bounds.
    """
    sources: list[Source] = []
    left = MAX_BYTES
    for name, data in _documents(paths):
        left -= len(data)
        if left < 0:
            raise UserError(f"{name}: the documents are larger than {MAX_BYTES} bytes together")
        if len(sources) == MAX_DOCUMENTS:
            raise UserError(f"{name}: more than {MAX_DOCUMENTS} XML documents")
        sources.append(read_source(name, data))
    if not sources:
        raise UserError(f"{', '.join(map(str, paths))}: holds no XML document")
    return tuple(sources)


def _documents(paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        try:
            if path.is_dir():
                for inner in sorted(path.iterdir()):
                    if inner.suffix.lower() == ".xml" and inner.is_file():
                        yield inner.name, _bytes(inner)
            elif is_zipfile(path):
                yield from _zipped(path)
            else:
                yield path.name, _bytes(path)
        except OSError as error:
            raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES} bytes")
    return data


def _zipped(path: Path) -> Iterator[tuple[str, bytes]]:
    """The XML files of an archive; what the archive says of their sizes is not believed."""
    left = MAX_BYTES
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES} bytes")
    try:
        with ZipFile(path) as archive:
            wanted = [info for info in archive.infolist() if info.filename.lower().endswith(".xml")]
            if len(wanted) > MAX_DOCUMENTS:
                raise UserError(f"{path}: more than {MAX_DOCUMENTS} XML documents")
            for info in wanted:
                data = _unpacked(archive, info, left, path)
                left -= len(data)
                yield info.filename.rpartition("/")[2], data
    except (BadZipFile, EOFError, RuntimeError, ValueError, zlib.error) as error:
        # RuntimeError: encrypted, or packed in a way that zlib does not know
        raise UserError(f"{path}: can not be unpacked: {error}") from None


def _unpacked(archive: ZipFile, info: ZipInfo, left: int, path: Path) -> bytes:
    parts: list[bytes] = []
    with archive.open(info) as file:
        while part := file.read(_CHUNK):
            left -= len(part)
            if left < 0:
                raise UserError(f"{path}: its XML documents are larger than {MAX_BYTES} bytes unpacked")
            parts.append(part)
    return b"".join(parts)
