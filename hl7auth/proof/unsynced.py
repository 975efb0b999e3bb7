"""A disk that forgets what was never synced: a shim under the engine notes what each write replaced, until a sync.

Imports resources and errors only.

The shim is C (benchmarks/unsynced.c), because SQLite writes without Python. It is compiled where a compiler is at hand.
After the engine was killed, `drop` puts back what stood before every write that no fsync or fdatasync followed.
"""

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hl7auth.errors import UserError
from hl7auth.resources import shipped

_HEAD = struct.Struct("=qqqq")
"""An entry of the notes: offset, bytes that follow, size of the file before, and a mark."""

_MARK = 0x756E646F


@dataclass(frozen=True, slots=True)
class Unsynced:
    """The shim for the files of one folder. `deaf` makes it ignore every sync: then a proof has to fail."""

    library: Path
    folder: Path
    notes: Path
    deaf: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """What the engine's process needs in its environment."""
        found = {
            "LD_PRELOAD": str(self.library),
            "UNSYNCED_FOLDER": str(self.folder),
            "UNSYNCED_NOTES": str(self.notes),
        }
        return found | ({"UNSYNCED_DEAF": "1"} if self.deaf else {})

    def drop(self) -> int:
        """Undoes every write since the last sync of its file, newest first; returns how many bytes were put back."""
        dropped = 0
        for notes in sorted(self.notes.iterdir()):
            entries = _entries(notes.read_bytes())
            notes.unlink()
            path = self.folder / notes.name
            if not entries or not path.exists():
                continue
            with path.open("r+b") as file:
                for offset, before, size in reversed(entries):
                    file.seek(offset)
                    file.write(before)
                    file.truncate(size)
                    dropped += len(before)
        return dropped


def compiled(folder: Path, *, deaf: bool = False) -> Unsynced:
    """The shim, compiled into a folder. Raises UserError without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise UserError("to drop what is not synced needs a C compiler (cc)")
    library, notes = folder / "unsynced.so", folder / "notes"
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(library)]
    done = subprocess.run(  # noqa: S603 - our own source
        [*command, str(shipped("benchmarks") / "unsynced.c"), "-ldl", "-lpthread"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"the shim could not be compiled: {done.stderr.strip().rpartition(chr(10))[2]}")
    notes.mkdir(exist_ok=True)
    return Unsynced(library, folder, notes, deaf)


def _entries(data: bytes) -> list[tuple[int, bytes, int]]:
    found, at = [], 0
    while at + _HEAD.size <= len(data):
        offset, length, size, mark = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if mark != _MARK or at + length > len(data):
            break  # the process was killed while it noted this: the write itself had not begun
        found.append((offset, data[at : at + length], size))
        at += length
    return found
