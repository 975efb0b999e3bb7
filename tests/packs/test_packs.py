"""Packs by themselves: whatever records go in come out, one by one and all together, and odd files are told apart."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.errors import UserError
from hl7auth.packs import reader
from hl7auth.packs.format import LARGEST_DICTIONARY, MAGIC, PackFault, Record, decode, encode
from hl7auth.packs.places import Folder, Taken, drafted, open_pack, store_of
from hl7auth.packs.reader import Pack, check
from hl7auth.packs.writer import Title, Writer, trained
from tests.engine import request

TITLE = Title("north", "2026-03-01", 1, 7, "a test")
maybe = st.none() | st.binary(max_size=60)
records = st.builds(
    Record, st.binary(max_size=200), maybe, maybe, maybe,
    st.lists(st.tuples(st.integers(0, 2**62), st.binary(max_size=30)), max_size=3).map(tuple),
)  # fmt: skip


class Bytes:
    """A blob in memory."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read(self, at: int, size: int) -> bytes:
        return self.data[at : at + size]

    def close(self) -> None:
        pass


def packed(found: dict[int, Record], dictionary: bytes = b"") -> bytes:
    file = io.BytesIO()
    writer = Writer(file, TITLE, dictionary)
    for message_id in sorted(found):
        writer.add(message_id, {"received_at": message_id, "control_id": f"C{message_id}"}, found[message_id])
    writer.close(sum(each.size for each in found.values()))
    return file.getvalue()


@given(records)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert decode(encode(record)) == record


@given(st.dictionaries(st.integers(0, 2**62), records, min_size=1, max_size=8))
def test_a_pack_gives_back_what_went_in(found: dict[int, Record]) -> None:
    pack = Pack(Bytes(packed(found)), "a pack")
    assert {message_id: pack.read(message_id) for message_id in found} == found
    assert [entry["id"] for entry in pack.catalog()] == sorted(found)
    assert list(check(pack)) == []
    assert (pack.manifest.messages, pack.manifest.first_id, pack.manifest.last_at) == (
        len(found),
        min(found),
        max(found),
    )


@given(st.binary(max_size=80))
def test_what_is_no_record_is_told(data: bytes) -> None:
    try:
        again = encode(decode(data))
    except PackFault:
        return
    assert len(again) == len(data)


def many(count: int) -> dict[int, Record]:
    return {number * 3: Record(request(f"C{number}", number=f"PA{number}")) for number in range(1, count + 1)}


def test_a_dictionary_makes_many_alike_small_and_every_page_is_found() -> None:
    found = many(600)
    size = sum(each.size for each in found.values())
    data = packed(found, trained(list(found.values()), size))
    assert len(data) < 0.5 * len(packed(found))
    pack = Pack(Bytes(data), "a pack")
    for message_id in (3, 256 * 3, 257 * 3, 1800):
        assert pack.read(message_id) == found[message_id]
    for absent in (0, 4, 769, 1801):
        assert pack.find(absent) is None
        with pytest.raises(PackFault, match=f"does not hold message {absent}"):
            pack.read(absent)


def test_every_single_byte_that_changes_is_found() -> None:
    whole = packed(many(3))
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 0x10
        try:
            assert list(check(Pack(Bytes(bytes(data)), "a pack"))), at
        except PackFault:
            continue


def test_a_dictionary_or_catalog_that_unpacks_to_very_much_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {1: Record(b"one", None, None, None, ())}
    bomb = packed(found, b"\0" * (LARGEST_DICTIONARY + 1))
    assert len(bomb) < 2_000
    with pytest.raises(PackFault, match="its dictionary is damaged"):
        Pack(Bytes(bomb), "a bomb").read(1)
    pack = Pack(Bytes(packed(found)), "a pack")
    assert [entry["id"] for entry in pack.catalog()] == [1]
    monkeypatch.setattr(reader, "LARGEST_LINE", 20)  # shorter than the line that there is
    with pytest.raises(PackFault, match="its catalog is damaged"):
        list(pack.catalog())


def test_every_truncation_is_told() -> None:
    whole = packed(many(2))
    for size in range(len(whole)):
        with pytest.raises(PackFault, match=r"is no whole pack|manifest is damaged"):
            Pack(Bytes(whole[:size]), "a pack")
    with pytest.raises(PackFault, match="is no whole pack"):
        Pack(Bytes(b"MSH|^~\\&|" * 20 + MAGIC[::-1]), "a file")


def test_ids_must_grow_and_a_pack_is_never_empty() -> None:
    writer = Writer(io.BytesIO(), TITLE)
    with pytest.raises(PackFault, match="at least one message"):
        writer.close(0)
    writer.add(5, {"received_at": 1}, Record(b"x"))
    with pytest.raises(PackFault, match="does not come after"):
        writer.add(5, {"received_at": 1}, Record(b"x"))


def test_a_folder_takes_whole_files_only_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "packs")
    assert folder.names() == []
    for content in (b"one", b"two"):
        with drafted(folder, "north/a.hl7pack") as (draft, file):
            file.write(content)
        if content == b"one":
            folder.put(draft, "north/a.hl7pack")
        else:
            with pytest.raises(Taken, match="is there already"):
                folder.put(draft, "north/a.hl7pack")
    assert folder.names() == ["north/a.hl7pack"]
    with pytest.raises(PackFault, match="is no whole pack"):
        open_pack(folder, "north/a.hl7pack")
    folder.remove("north/a.hl7pack")
    folder.remove("north/a.hl7pack")
    assert folder.names() == []
    with pytest.raises(PackFault, match="is no name of a pack"):
        folder.open("../outside")
    with pytest.raises(UserError, match="only in a folder, or at s3"):
        store_of("ftp://there")
    (tmp_path / "file").write_text("")
    with pytest.raises(PackFault, match=r"not a directory|file exists"):
        Folder(tmp_path / "file").drafts("north/a.hl7pack")
