"""The file drop: each message a file, or many in one batch file, whole or not there at all.

Imports wire, flow, net.parcel and the standard library only.

A file is written under a name that begins with a dot, synced, and then renamed; the folder is synced too. A delivery
that is sent again after a crash replaces its own file, since the name holds its id.
"""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from hl7auth.flow.destination import Drop
from hl7auth.flow.verdict import Answer
from hl7auth.net.parcel import Parcel

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class FileDrop:
    """Writes to one folder, which it makes. `now` gives microseconds since 1970, for the headers of batches."""

    def __init__(self, settings: Drop, now: Callable[[], int]) -> None:
        self._settings = settings
        self._now = now

    def send(self, parcels: Sequence[Parcel]) -> list[Answer]:
        """A file for each message, or one for all."""
        try:
            self._settings.folder.mkdir(parents=True, exist_ok=True)
            if self._settings.batch:
                self._write(self._name(parcels[0], parcels[0].claimed.id), self._batch(parcels))
            else:
                for parcel in parcels:
                    self._write(self._name(parcel, parcel.claimed.id), parcel.raw)
            _sync(self._settings.folder)
        except OSError as error:
            return [Answer("failed", text=(error.strerror or type(error).__name__).lower())] * len(parcels)
        return [Answer("written")] * len(parcels)

    def close(self) -> None:
        """Holds nothing."""

    def _name(self, parcel: Parcel, number: int) -> str:
        fields = _header(parcel.raw)
        plain = [_UNSAFE.sub("_", field)[:60] for field in fields]
        return self._settings.name.format(id=number, event=plain[0], control_id=plain[1])

    def _write(self, name: str, content: bytes) -> None:
        target = self._settings.folder / name
        draft = self._settings.folder / f".{name}.part"
        try:
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise

    def _batch(self, parcels: Sequence[Parcel]) -> bytes:
        """FHS, BHS, the messages, BTS with their count, FTS with one batch (chapter 2, 2.10.3)."""
        number = str(parcels[0].claimed.id)
        at = datetime.fromtimestamp(self._now() // 1_000_000, UTC).strftime("%Y%m%d%H%M%S+0000")
        head = f"|^~\\&|||||{at}||||{number}\r"
        messages = b"".join(parcel.raw.rstrip(b"\r\n") + b"\r" for parcel in parcels)
        return f"FHS{head}BHS{head}".encode() + messages + f"BTS|{len(parcels)}\rFTS|1\r".encode()


def _header(raw: bytes) -> tuple[str, str]:
    """Event and control id for a name, of whatever there is of an MSH."""
    line = re.split(rb"[\r\n]", raw, maxsplit=1)[0].decode("latin_1")
    fields = line.split(line[3:4] or "|")
    fields += [""] * (10 - len(fields))
    return "_".join(fields[8].split(line[4:5] or "^")[:2]), fields[9]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
