"""Documents come from files, folders and archives; an archive can not fill memory or disk."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from hl7auth.errors import UserError
from hl7auth.exchange import bundle
from hl7auth.exchange.bundle import read_bundle


def archive(path: Path, **files: bytes) -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED) as zipped:
        for name, data in files.items():
            zipped.writestr(name.replace("__", "/").replace("_xml", ".xml"), data)
    return path


def names(*paths: Path) -> list[str]:
    return [source.name for source in read_bundle(paths)]


def test_files_folders_and_archives_hold_documents(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "B.XML").write_text("<b/>")
    (tmp_path / "in" / "A.xml").write_text("<a/>")
    (tmp_path / "in" / "notes.txt").write_text("no XML")
    (tmp_path / "single").write_text("<c/>")
    packed = archive(tmp_path / "x.zip", D_xml=b"<d/>", deep__E_xml=b"<e/>", notes=b"no XML")
    assert names(tmp_path / "in", tmp_path / "single", packed) == ["A.xml", "B.XML", "single", "D.xml", "E.xml"]


def test_nothing_is_unpacked_to_disk(tmp_path: Path) -> None:
    packed = archive(tmp_path / "x.zip", **{"..__evil_xml": b"<e/>"})
    before = sorted(tmp_path.parent.rglob("*"))
    assert names(packed) == ["evil.xml"]
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_bomb_is_refused_after_as_much_as_may_be_read(tmp_path: Path) -> None:
    packed = archive(tmp_path / "bomb.zip", A_xml=b"<a>" + b" " * 30_000_000)
    assert packed.stat().st_size < 100_000
    with pytest.raises(UserError, match="larger than 20000000 bytes unpacked"):
        read_bundle([packed])


def test_the_sizes_that_an_archive_tells_are_not_believed(tmp_path: Path) -> None:
    packed = archive(tmp_path / "liar.zip", A_xml=b"<a>" + b" " * 3_000_000 + b"</a>")
    data = packed.read_bytes()
    truth, lie = (3_000_007).to_bytes(4, "little"), (9).to_bytes(4, "little")
    assert truth in data
    packed.write_bytes(data.replace(truth, lie))
    with pytest.raises(UserError, match=r"can not be unpacked|not XML"):
        read_bundle([packed])


def test_all_documents_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BYTES", 30)
    first, second = tmp_path / "a.xml", tmp_path / "b.xml"
    first.write_text("<a>" + " " * 10 + "</a>")
    second.write_text("<b>" + " " * 10 + "</b>")
    assert names(first) == ["a.xml"]
    with pytest.raises(UserError, match="larger than 30 bytes together"):
        read_bundle([first, second])
    first.write_text(" " * 31)
    with pytest.raises(UserError, match="larger than 30 bytes"):
        read_bundle([first])


def test_there_are_not_thousands_of_documents(tmp_path: Path) -> None:
    many = {f"d{number}_xml": b"<a/>" for number in range(51)}
    with pytest.raises(UserError, match="more than 50 XML documents"):
        read_bundle([archive(tmp_path / "many.zip", **many)])
    for number in range(51):
        (tmp_path / f"{number}.xml").write_text("<a/>")
    with pytest.raises(UserError, match="more than 50 XML documents"):
        read_bundle([tmp_path])


def test_what_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_bundle([tmp_path / "none.xml"])
    with pytest.raises(UserError, match="holds no XML document"):
        read_bundle([tmp_path])
    with pytest.raises(UserError, match="holds no XML document"):
        read_bundle([archive(tmp_path / "empty.zip", notes=b"none")])


def test_broken_and_locked_archives_are_named(tmp_path: Path) -> None:
    packed = archive(tmp_path / "x.zip", A_xml=b"<a>" + bytes(range(32, 60)) * 50 + b"</a>")
    data = bytearray(packed.read_bytes())
    data[60:90] = b"\0" * 30
    packed.write_bytes(data)
    with pytest.raises(UserError, match="can not be unpacked"):
        read_bundle([packed])
    locked = bytearray(archive(tmp_path / "y.zip", A_xml=b"<a/>").read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(header) + flags] |= 1
    (tmp_path / "y.zip").write_bytes(locked)
    with pytest.raises(UserError, match="can not be unpacked"):
        read_bundle([tmp_path / "y.zip"])
