"""Stores whose days are gone by: filled by the real journal, and sealed to a folder beside them."""

from pathlib import Path

from hl7auth.flow.channel import Channel
from hl7auth.store.sealable import DAY
from hl7auth.store.sealing import Moved, Sealed, Sealing, seal, silent
from tests.engine import answer, request
from tests.store.stored import START, Store

FIRST = START // DAY
"""The day on which a store begins, 2026-03-01."""
LATER = START + 40 * DAY


def asked(control_id: str, number: str) -> tuple[bytes, bytes]:
    """A request and the answer that closes it."""
    return request(control_id, number=number), answer(f"A{control_id}", control_id, number=number)


def busy(folder: Path, pairs: int = 20, on: Channel | None = None) -> Store:
    """A store of requests and their answers, an hour apart, over some days."""
    store = Store(folder, on)
    for number in range(pairs):
        store.send(*asked(f"C{number}", f"PA{number}"))
    return store


def sealed(store: Store, before: int = FIRST + 30, place: str = "", moved: Moved = silent) -> list[Sealed]:
    """Seals all days before that one."""
    return seal(store.engine, Sealing(before, None, place, "ada", LATER), moved)


def packs(folder: Path) -> list[str]:
    """The files of the archive beside a store, drafts too."""
    root = folder / "archive"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
