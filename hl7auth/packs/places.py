"""Where packs are kept: a folder, or a bucket by its URL; and putting one there so that it is whole or not there.

Imports packs.format, packs.reader, packs.buckets (inside) and errors only.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from hl7auth.errors import UserError
from hl7auth.packs.format import Absent, PackFault
from hl7auth.packs.reader import Blob, Pack

SUFFIX = ".hl7pack"


class Taken(PackFault):
    """Something is there already under that name."""


class Store(Protocol):
    """A place for packs. Names are `CHANNEL/FILE`."""

    url: str

    def open(self, name: str) -> Blob:
        """Raises Absent, or PackFault."""

    def names(self) -> list[str]:
        """The packs that are there. Raises PackFault."""

    def put(self, draft: Path, name: str) -> None:
        """Makes a file there, whole and for good when this returns. Raises Taken, or PackFault."""

    def remove(self, name: str) -> None:
        """Takes one away, if it is there. Raises PackFault."""

    def drafts(self, name: str) -> Path:
        """Where a file is written before it is put there under that name. Raises PackFault."""


class File:
    """A file that is read in parts, by several threads if need be."""

    _descriptor = -1

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._path = path
        self.size = os.fstat(self._descriptor).st_size

    def read(self, at: int, size: int) -> bytes:
        """Some bytes of it. Raises PackFault."""
        try:
            return os.pread(self._descriptor, size, at)
        except OSError as error:
            raise PackFault(f"{self._path}: {_said(error)}") from None

    def close(self) -> None:
        """Lets go of it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class Folder:
    """Packs in folders of channels below one folder."""

    def __init__(self, root: Path) -> None:
        self.url, self._root = str(root), root

    def open(self, name: str) -> File:
        """Raises Absent, or PackFault."""
        path = self._path(name)
        try:
            return File(path)
        except FileNotFoundError:
            raise Absent(f"{path}: there is no such pack") from None
        except OSError as error:
            raise PackFault(f"{path}: {_said(error)}") from None

    def names(self) -> list[str]:
        """The packs that are there; none where the folder is not."""
        return sorted(str(path.relative_to(self._root)) for path in self._root.glob(f"*/[!.]*{SUFFIX}"))

    def put(self, draft: Path, name: str) -> None:
        """The draft, which is synced and in the same folder, gets its name. Raises Taken, or PackFault."""
        path = self._path(name)
        try:
            with _held(path.parent) as folder:
                if path.exists():
                    raise Taken(f"{path} is there already")
                draft.rename(path)
                os.fsync(folder)
        except OSError as error:
            raise PackFault(f"{path}: {_said(error)}") from None

    def remove(self, name: str) -> None:
        """Takes one away, if it is there. Raises PackFault."""
        path = self._path(name)
        try:
            with suppress(FileNotFoundError), _held(path.parent) as folder:
                path.unlink()
                os.fsync(folder)
        except OSError as error:
            raise PackFault(f"{path}: {_said(error)}") from None

    def drafts(self, name: str) -> Path:
        """A name beside the final one, that no reader looks at."""
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _held(path.parent.parent) as above:
                os.fsync(above)
        except OSError as error:
            raise PackFault(f"{path.parent}: {_said(error)}") from None
        return path.with_name(f".{path.name}.part")

    def _path(self, name: str) -> Path:
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise PackFault(f"'{name}' is no name of a pack")
        return self._root / name


def store_of(url: str) -> Store:
    """The place of that URL: a path, `file:///path` or `s3://bucket/prefix`. Raises UserError for another."""
    if url.startswith("s3://"):
        from hl7auth.packs.buckets import Bucket

        return Bucket(url)
    if "://" in url and not url.startswith("file://"):
        raise UserError(f"packs can not be kept at '{url}': only in a folder, or at s3://BUCKET/PREFIX")
    return Folder(Path(url.removeprefix("file://")))


def open_pack(store: Store, name: str) -> Pack:
    """An open pack. Raises Absent, or PackFault for what is no whole pack of a known format."""
    blob = store.open(name)
    try:
        return Pack(blob, f"{store.url}/{name}")
    except BaseException:
        blob.close()
        raise


@contextmanager
def drafted(store: Store, name: str) -> Iterator[tuple[Path, BinaryIO]]:
    """A file to write a pack to; it is synced at the end, and goes away unless it was put in its place.

    Raises PackFault where there is no room for it.
    """
    draft = store.drafts(name)
    try:
        with draft.open("wb") as file:
            yield draft, file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise PackFault(f"{draft}: {_said(error)}") from None
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def scratch_draft() -> Path:
    """A file name in the folder for temporary files, for places that are no folder."""
    descriptor, name = tempfile.mkstemp(prefix="hl7auth-", suffix=SUFFIX)
    os.close(descriptor)
    return Path(name)


@contextmanager
def _held(folder: Path) -> Iterator[int]:
    """The folder's descriptor, locked against others who put something there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
