"""Everything that `archive export` writes comes back: as it was, as a whole, or not at all."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from hl7auth.errors import UserError
from hl7auth.store.archive import list_messages, read_message
from hl7auth.store.bringing_in import Import, Imported, bring_in
from hl7auth.store.export_list import manifest
from hl7auth.store.export_reading import row_digest
from hl7auth.store.exporting import Form, export
from hl7auth.store.pack_list import verify_packs
from hl7auth.store.repacking import packs_of
from hl7auth.store.search import Query, find
from tests.engine import request
from tests.store.sealed import FIRST, LATER, asked, busy, packs, sealed
from tests.store.stored import Store

MOST = 1 << 62
NAMES = {Form.FOLDER: "out", Form.BATCH: "out.hl7", Form.ZIP: "out.zip", Form.PARQUET: "out.parquet"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of three days, the first of them sealed, in each form of an export."""
    folder = tmp_path_factory.mktemp("there")
    store = busy(folder)
    sealed(store, before=FIRST + 1)
    (folder / "to").mkdir()
    with store.reading() as connection:
        for form, name in NAMES.items():
            assert export(connection, {}, 0, form, folder / "to" / name, LATER).written == 40
    store.close()
    return folder / "to"


@pytest.fixture
def written(exported: Path, tmp_path: Path) -> dict[Form, Path]:
    """The same, to be damaged."""
    shutil.copytree(exported, tmp_path / "to")
    return {form: tmp_path / "to" / name for form, name in NAMES.items()}


@pytest.fixture
def here(tmp_path: Path) -> Store:
    (tmp_path / "here").mkdir()
    return Store(tmp_path / "here")


def bring(here: Store, place: Path, channel: str | None = None) -> list[Imported]:
    with packs_of(str(place), channel) as made:
        return bring_in(here.engine, Import(made, "north", "", "ada", LATER, MOST))


def untouched(here: Store) -> bool:
    rows = here.rows("SELECT (SELECT count(*) FROM pack), (SELECT count(*) FROM message)")
    return rows == [(0, 0)] and packs(Path(here.url.removeprefix("sqlite:///")).parent) == []


def raws(here: Store) -> list[bytes]:
    with here.reading() as connection:
        return [read_message(connection, int(each["id"]))["raw"] for each in list_messages(connection, {}, 0)]


ALL = [raw for number in range(20) for raw in asked(f"C{number}", f"PA{number}")]


@pytest.mark.parametrize("form", [Form.FOLDER, Form.ZIP, Form.PARQUET])
def test_an_export_comes_back_with_what_was_known(form: Form, written: dict[Form, Path], here: Store) -> None:
    assert [(each.day, each.added) for each in bring(here, written[form])] == [
        ("2026-03-01", 14), ("2026-03-02", 24), ("2026-03-03", 2),
    ]  # fmt: skip
    assert [each.added for each in bring(here, written[form])] == [0, 0, 0]
    assert raws(here) == ALL
    with here.reading() as connection:
        listed = list_messages(connection, {}, 0)
        assert [each["id"] for each in listed] == [str(number) for number in range(1, 41)]
        assert {(each["channel"], each["disposition"], each["peer"]) for each in listed} == {
            ("north.referral-intake", "accepted", listed[0]["peer"])
        }
        assert listed[0]["received_at"] == "2026-03-01T10:00:00.000+00:00"
        assert [each["id"] for each in find(connection, Query(authorization="PA7")).messages] == ["16", "15"]
        assert (read_message(connection, 1)["reply"] is None) == (form is Form.FOLDER)
        assert [each["faults"] for each in verify_packs(connection, None)] == [[], [], []]
    here.close()


@pytest.mark.parametrize("form", [Form.BATCH, Form.FOLDER])
def test_files_that_say_nothing_but_their_messages_come_back_by_what_these_say(
    form: Form, written: dict[Form, Path], here: Store
) -> None:
    place = written[form]
    if form is Form.FOLDER:
        (place / "manifest.json").unlink()
    with pytest.raises(UserError, match="do not say of which channel they are"):
        bring(here, place)
    done = bring(here, place, "intake")
    assert sum(each.added for each in done) == 40
    assert {each.channel for each in done} == {"north.intake"}
    assert [each.added for each in bring(here, place, "intake")] == [0] * len(done)
    assert sorted(raws(here)) == sorted(ALL)
    if form is Form.BATCH:  # by MSH-7, and where that is the same in the order of the file
        assert raws(here) == ALL[::2] + ALL[1::2]
    with here.reading() as connection:
        found = find(connection, Query(authorization="PA7")).messages
        assert {each["control_id"] for each in found} == {"C7", "AC7"}
        assert {each["disposition"] for each in found} == {""}
    here.close()


def spoil(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def rewrite(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    """A zip archive with other entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def newer(told: bytes) -> bytes:
    return json.dumps(json.loads(told) | {"format": 2}).encode()


def change_table(path: Path, change: Callable[[list[dict[str, Any]], dict[bytes, bytes]], None]) -> None:
    found = parquet.read_table(path)
    rows, told = found.to_pylist(), dict(found.schema.metadata)
    change(rows, told)
    parquet.write_table(pa.Table.from_pylist(rows, schema=found.schema.with_metadata(told)), path)


def as_newer_table(path: Path) -> None:
    change_table(path, lambda _, told: told.update({b"hl7auth export": b"2"}))


def as_other_row(path: Path) -> None:
    change_table(path, lambda rows, _: rows[3].update(raw=rows[3]["raw"].replace(b"PA1", b"PA2")))


def batch_says(path: Path, before: bytes, after: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(before, after, 1))


DAMAGES: list[tuple[Form, Callable[[Path], object], str]] = [
    (Form.ZIP, cut, "is no whole export as zip"),
    (Form.ZIP, lambda path: rewrite(path, lambda name, data: data[:-1] if name == "7.hl7" else data), "7.hl7 is dam"),
    (Form.ZIP, lambda path: rewrite(path, lambda name, data: data[:-1] if name == "7.reply.hl7" else data), "7.reply"),
    (Form.ZIP, lambda path: rewrite(path, lambda name, data: newer(data) if "mani" in name else data), "a newer hl7"),
    (Form.ZIP, lambda path: rewrite(path, lambda name, data: b"{}" if "mani" in name else data), "is no whole export"),
    (Form.FOLDER, lambda path: spoil(path / "7.hl7", 40), r"7\.hl7 is damaged or was changed"),
    (Form.FOLDER, lambda path: (path / "9.hl7").unlink(), r"9\.hl7: no such file"),
    (Form.FOLDER, lambda path: cut(path / "messages.jsonl"), r"messages\.jsonl is damaged or was changed"),
    (Form.FOLDER, lambda path: spoil(path / "manifest.json", 0), "is no whole export as folder"),
    (Form.PARQUET, cut, "is no whole export as Parquet"),
    (Form.PARQUET, as_newer_table, r"written by a newer hl7auth \(format 2\); use that version"),
    (Form.PARQUET, as_other_row, "message 4 is damaged or was changed"),
    (Form.BATCH, lambda path: spoil(path, 500), "is damaged or was changed: it does not have the hash of its FTS"),
    (Form.BATCH, lambda path: path.write_bytes(path.read_bytes()[:-200]), "did not come whole: it has no FTS"),
    (Form.BATCH, lambda path: batch_says(path, b"hl7auth export 1", b"hl7auth export 2"), "written by a newer hl7auth"),
    (Form.BATCH, lambda path: batch_says(path, b"hl7auth export 1", b"theirs"), "__none__"),
]


@pytest.mark.parametrize(("form", "damage", "said"), DAMAGES)
def test_what_is_not_as_it_was_written_leaves_everything_as_it_was(
    form: Form, damage: Callable[[Path], object], said: str, written: dict[Form, Path], here: Store
) -> None:
    damage(written[form])
    channel = "intake" if form is Form.BATCH else None
    if said == "__none__":  # a batch of somebody else has no hash, and is believed
        assert sum(each.added for each in bring(here, written[form], channel)) == 40
    else:
        with pytest.raises(UserError, match=said):
            bring(here, written[form], channel)
        assert untouched(here)
    here.close()


def test_files_of_others_are_whole_messages_or_refused(tmp_path: Path, here: Store) -> None:
    one = request("B1", number="PA1")
    for data, said in (
        (b"FHS|^~\\&|X\rBHS|^~\\&|X\r" + one + b"BTS|2\rFTS|1\r", "BTS-1 says 2 messages, 1 found: it is not whole"),
        (b"hello\nworld\n", "holds no HL7 message"),
        (b"\x0b" + one + b"\x1c\r\x0b" + one[:50], "its frame did not come whole"),
        (b"PK\x03\x04 and no more", "is no whole export as zip"),
        (b"PAR1 and no more", "is no whole export as Parquet"),
        (b"", "holds no HL7 message"),
    ):
        (tmp_path / "file").write_bytes(data)
        channel = None if data.startswith((b"PK", b"PAR1")) else "intake"
        with pytest.raises(UserError, match=said):
            bring(here, tmp_path / "file", channel)
    parquet.write_table(pa.table({"id": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="was not written by `hl7auth archive export`"):
        bring(here, tmp_path / "other.parquet")
    with pytest.raises(UserError, match="--channel is for other files"):
        bring(here, tmp_path / "other.parquet", "intake")
    assert untouched(here)
    # no control id, mixed line ends, the same message twice, a header that can not be read
    odd = one.replace(b"|B1|", b"||").replace(b"\r", b"\r\n", 1)
    (tmp_path / "file").write_bytes(odd + b"\n" + one + one + b"MSH|^~~&|\r")
    assert sum(each.added for each in bring(here, tmp_path / "file", "intake")) == 4
    assert [each for each in raws(here) if each == one] == [one, one]
    here.close()


def test_a_folder_that_is_exported_to_again_lists_all_of_it(tmp_path: Path, here: Store) -> None:
    store = busy(tmp_path, 2)
    with store.reading() as connection:
        assert export(connection, {"control_id": "C0"}, 0, Form.FOLDER, tmp_path / "out", LATER).written == 1
        assert export(connection, {}, 0, Form.FOLDER, tmp_path / "out", LATER).written == 3
        lines = (tmp_path / "out" / "messages.jsonl").read_bytes()
        assert (tmp_path / "out" / "manifest.json").read_bytes() == manifest(lines, 4)
        (tmp_path / "out" / "messages.jsonl").write_bytes(lines + lines)
        with pytest.raises(UserError, match="does not have the hash"):
            export(connection, {}, 0, Form.FOLDER, tmp_path / "out", LATER)
    store.close()
    (tmp_path / "out" / "messages.jsonl").write_bytes(lines + lines)
    (tmp_path / "out" / "manifest.json").write_bytes(manifest(lines + lines, 8))
    with pytest.raises(UserError, match="the same id is in it twice"):
        bring(here, tmp_path / "out")
    (tmp_path / "out" / "messages.jsonl").write_bytes(lines)
    (tmp_path / "out" / "manifest.json").write_bytes(manifest(lines, 4))
    here.send(*asked("C0", "PA0"))
    with pytest.raises(UserError, match=rf"\A{tmp_path}/out/.*: 2 of its 4 messages have ids that other messages"):
        bring(here, tmp_path / "out")
    here.close()


def test_the_hash_of_a_row_tells_its_bodies_apart() -> None:
    assert len({row_digest(b"a", b"b", None), row_digest(b"a", None, b"b"), row_digest(b"ab", None, None)}) == 3
