"""What goes wrong with packs: every fault is told in a sentence, no body is lost, and none is served unproved."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hl7auth.errors import UserError
from hl7auth.flow.decision import Disposition
from hl7auth.packs.format import FORMAT, MAGIC, TRAILER
from hl7auth.packs.places import Folder, open_pack
from hl7auth.store import archive, bodies
from hl7auth.store.bodies import BodyFault, read_bodies, try_bodies
from hl7auth.store.pack_list import verify_packs
from hl7auth.store.rebuild import rebuild
from tests.engine import answer, request
from tests.messages import shipped_channel
from tests.store.sealed import FIRST, asked, busy, packs, sealed
from tests.store.stored import Store

PACK = "archive/referral-intake/2026-03-01.hl7pack"
SEAL = """
import os, resource, signal, sys
from hl7auth.store import emptying, pack_building, sealing
from hl7auth.packs import places, writer
from hl7auth.store.database import open_database
from tests.store.sealed import FIRST, LATER

def dies(*words, **named):
    os.kill(os.getpid(), signal.SIGKILL)

def dies_after(what, times=1):
    def called(*words, **named):
        nonlocal times
        found = what(*words, **named)
        times -= 1
        return found if times else dies()
    return called

exec(sys.argv[2])
sealing.seal(open_database(sys.argv[1]), sealing.Sealing(FIRST + 30, None, "", "ada", LATER))
"""


@pytest.fixture(autouse=True)
def nothing_is_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at a pack is the first one, as in a process of its own."""
    monkeypatch.setattr(bodies, "_PACKS_OPEN", 0)


def in_a_process(store: Store, before: str) -> subprocess.CompletedProcess[str]:
    """A seal in a process of its own, to which something happens."""
    words = [sys.executable, "-c", SEAL, store.url, before]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=os.environ)


def contents(store: Store) -> dict[int, tuple[object, ...]]:
    with store.reading() as connection:
        ids = [row[0] for row in connection.exec_driver_sql("SELECT id FROM message")]
        return {message_id: tuple(each) for message_id, each in read_bodies(connection, ids).items()}


def faults(store: Store) -> list[str]:
    with store.reading() as connection:
        return [fault for each in verify_packs(connection, None) for fault in each["faults"]]


def lost(store: Store, message_id: int) -> str:
    with store.reading() as connection:
        found = try_bodies(connection, [message_id])[message_id]
    assert isinstance(found, BodyFault)
    return str(found)


def spoil(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


BREAKS = {
    "while the pack is written": "writer.Writer.add = dies_after(writer.Writer.add, 5)",
    "before it has its name": "places.Folder.put = dies",
    "before the database knows it": "places.Folder.put = dies_after(places.Folder.put)",
    "before a body is emptied": "sealing.empty = dies",
    "with some bodies emptied": "emptying.AT_ONCE = 3; emptying.run_many = dies_after(emptying.run_many, 4)",
    "with a day emptied": "sealing._seal_day = dies_after(sealing._seal_day)",
}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
def test_a_seal_that_is_killed_loses_nothing_and_the_next_one_ends_it(tmp_path: Path, broken: str) -> None:
    store = busy(tmp_path, 8)
    before = contents(store)
    assert in_a_process(store, broken).returncode == -signal.SIGKILL
    assert contents(store) == before
    sealed(store)
    assert contents(store) == before
    assert faults(store) == []
    assert packs(tmp_path) == [f"referral-intake/2026-03-0{day}.hl7pack" for day in (1, 2)]
    assert store.rows("SELECT count(*) FROM message WHERE pack IS NULL OR length(raw) > 0") == [(0,)]
    store.close()


def test_a_new_generation_that_is_killed_leaves_one_pack_in_the_end(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.send(*asked("C1", "PA1"), request("C2", number="PA2"))
    sealed(store)
    store.send(answer("A2", "C2", number="PA2"))
    before = contents(store)
    assert in_a_process(store, "places.Folder.remove = dies").returncode == -signal.SIGKILL
    assert len(packs(tmp_path)) == 2
    assert contents(store) == before
    assert sealed(store) == []
    assert packs(tmp_path) == ["referral-intake/2026-03-01.2.hl7pack"]
    assert contents(store) == before
    store.close()


def test_a_full_disk_leaves_every_body_where_it_was(tmp_path: Path) -> None:
    store = busy(tmp_path, 20)
    before = contents(store)
    ended = in_a_process(store, "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))")
    assert "PackFault" in ended.stderr
    assert "file too large" in ended.stderr
    assert packs(tmp_path) == []
    assert store.rows("SELECT count(*) FROM message WHERE pack IS NOT NULL") == [(0,)]
    assert contents(store) == before
    assert sum(each.sealed for each in sealed(store)) == 40
    store.close()


def test_a_second_seal_in_another_process_ends_with_a_sentence_and_the_first_goes_on(tmp_path: Path) -> None:
    store = busy(tmp_path)
    before = contents(store)
    waits = (
        "build = sealing.build\n"
        "def waits(*words):\n"
        "    print('inside', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    sealing.build = build\n"
        "    return build(*words)\n"
        "sealing.build = waits"
    )
    words = [sys.executable, "-c", SEAL, store.url, waits]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"inside\n"
        second = in_a_process(store, "")
        assert second.returncode == 1
        assert "another seal, prune or import of this database is under way: nothing was changed" in second.stderr
        first.communicate(b"\n", timeout=60)
    assert first.returncode == 0
    assert (len(packs(tmp_path)), contents(store), faults(store)) == (3, before, [])
    store.close()


def test_a_truncated_pack_is_told_and_gives_nothing(tmp_path: Path) -> None:
    store = busy(tmp_path, 4)
    sealed(store)
    path = tmp_path / PACK
    path.write_bytes(path.read_bytes()[:-100])
    assert "is no whole pack: its end is missing" in lost(store, 1)
    assert "is no whole pack" in faults(store)[0]
    path.unlink()
    assert "there is no such pack" in lost(store, 1)
    assert "there is no such pack" in faults(store)[0]
    store.close()


def test_a_damaged_body_is_told_by_everybody_and_served_by_nobody(tmp_path: Path) -> None:
    store = busy(tmp_path, 2)
    sealed(store)
    with open_pack(Folder(tmp_path / "archive"), "referral-intake/2026-03-01.hl7pack") as made:
        place = made.find(1)
    assert place is not None
    spoil(tmp_path / PACK, place.at + place.size // 2)
    assert "message 1 is damaged" in lost(store, 1)
    assert ["message 1 is damaged" in fault for fault in faults(store)] == [True]
    with store.reading() as connection:
        shown = archive.read_message(connection, 1)
        assert shown["raw"] is None
        assert "message 1 is damaged" in shown["lost"]
        assert archive.read_message(connection, 2)["raw"] == contents_of(store, 2)
        with pytest.raises(BodyFault, match="message 1 is damaged"):
            archive.read_raw(connection, {}, 0)
    (again, other) = store.send(request("C0", number="PA0"), request("C1", number="PA1"))
    assert (again.disposition, again.code) == (Disposition.FAILED, "AE")
    assert other.disposition is Disposition.DUPLICATE
    found = rebuild(store.engine, {"referral-intake": shipped_channel()})
    assert next((each.what, each.message) for each in found.differences) == ("body", 1)
    store.close()


def contents_of(store: Store, message_id: int) -> bytes:
    with store.reading() as connection:
        return read_bodies(connection, [message_id])[message_id].raw


SECTIONS: dict[str, Callable[[Path], int]] = {
    "index": lambda path: section(path, "index"),
    "fences": lambda path: section(path, "fences"),
    "dictionary": lambda path: section(path, "dictionary"),
    "catalog": lambda path: section(path, "catalog"),
    "manifest": lambda path: path.stat().st_size - TRAILER.size - 40,
}


def section(path: Path, name: str) -> int:
    with open_pack(Folder(path.parent), path.name) as made:
        return int(getattr(made.manifest, name).at) + 4


@pytest.mark.parametrize("part", SECTIONS)
def test_damage_anywhere_in_a_pack_is_found(tmp_path: Path, part: str) -> None:
    store = busy(tmp_path, 20)
    sealed(store, before=FIRST + 2)
    spoil(
        tmp_path / "archive/referral-intake/2026-03-02.hl7pack",
        SECTIONS[part](tmp_path / "archive/referral-intake/2026-03-02.hl7pack"),
    )
    found = faults(store)
    assert found
    assert all("damaged" in each for each in found)
    store.close()


def test_a_pack_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    store = busy(tmp_path, 4)
    sealed(store)
    data = (tmp_path / PACK).read_bytes()
    at, size, digest, _, _ = TRAILER.unpack(data[-TRAILER.size :])
    (tmp_path / PACK).write_bytes(data[: -TRAILER.size] + TRAILER.pack(at, size, digest, FORMAT + 1, MAGIC))
    assert "was written by a newer hl7auth" in lost(store, 1)
    assert "was written by a newer hl7auth" in faults(store)[0]
    store.close()


def test_another_pack_in_the_place_of_the_right_one_is_not_believed(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    store, other = busy(tmp_path / "mine", 4), Store(tmp_path / "other")
    other.send(*asked("X1", "PX1"))
    sealed(store)
    sealed(other)
    (tmp_path / "mine" / PACK).write_bytes((tmp_path / "other" / PACK).read_bytes())
    assert "is another file than the one that was sealed" in lost(store, 1)
    assert any("is another file" in each for each in faults(store))
    store.close()
    other.close()


def test_packs_of_another_database_are_never_written_over(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    store, other = busy(tmp_path / "mine", 4), Store(tmp_path / "other")
    other.send(*asked("X1", "PX1"))
    sealed(other)
    there = (tmp_path / "other" / PACK).read_bytes()
    before = contents(store)
    with pytest.raises(UserError, match="it is another's; move it away"):
        sealed(store, place=str(tmp_path / "other" / "archive"))
    assert (tmp_path / "other" / PACK).read_bytes() == there
    assert packs(tmp_path / "other") == ["referral-intake/2026-03-01.hl7pack"]
    assert contents(store) == before
    assert faults(other) == []
    store.close()
    other.close()
