"""What a check reads: files, folders, and large files in parts."""

from pathlib import Path

import pytest

from hl7auth.cli.check_input import BLOCK, Source, parts, shown, sources
from hl7auth.errors import UserError
from hl7auth.wire.framing import frame
from tests.engine import request


def test_one_empty_file_is_a_mistake_and_one_of_many_is_not(tmp_path: Path) -> None:
    (tmp_path / "empty.hl7").write_bytes(b"")
    (tmp_path / "a.hl7").write_bytes(request())
    with pytest.raises(UserError, match="holds no HL7 message"):
        sources([tmp_path / "empty.hl7"])
    assert len(sources([tmp_path / "empty.hl7", tmp_path / "a.hl7"])) == 2


def test_an_empty_folder_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file is there"):
        sources([tmp_path])


def test_the_report_itself_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(request())
    (tmp_path / "r.txt").write_bytes(request())
    assert [Path(each.path).name for each in sources([tmp_path], tmp_path / "." / "r.txt")] == ["a.hl7"]


@pytest.mark.parametrize(
    ("name", "tried"), [("a.hl7", False), ("a.HL7", False), ("a.txt", False), ("a.er7", False), ("a.dat", True)]
)
def test_what_is_only_tried(name: str, tried: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert [each.tried for each in sources([tmp_path])] == [tried]


@pytest.mark.parametrize("data", [b"", b"text\nMSH|^~\\&|", b"\x89PNG\r\n", b"%PDF-1.4"])
def test_a_tried_file_without_messages_has_no_part(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    assert list(parts(Source(str(tmp_path / "x"), len(data), tried=True))) == []


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\r\n ", b"\x0b", b"log line\r\n\x0b"])
def test_a_tried_file_with_messages(before: bytes, tmp_path: Path) -> None:
    data = before + request() + (b"\x1c\r" if b"\x0b" in before else b"")
    (tmp_path / "x").write_bytes(data)
    (part,) = parts(Source(str(tmp_path / "x"), len(data), tried=True))
    assert len(part.messages) == 1


def test_a_large_file_comes_in_parts_that_are_counted_on(tmp_path: Path) -> None:
    count = 2 * BLOCK // len(request()) + 5
    path = tmp_path / "large.hl7"
    path.write_bytes(b"BHS|^~\\&\r" + request() * count + b"BTS|1\r")
    found = list(parts(sources([path])[0]))
    assert len(found) >= 2
    assert sum(len(part.messages) for part in found) == count
    assert [part.first for part in found[:2]] == [1, len(found[0].messages) + 1]
    assert [part.notes for part in found[:-1]] == [()] * (len(found) - 1)
    assert found[-1].notes == (f"BTS-1 says 1 messages, {count} found",)


def test_a_large_file_that_is_something_else(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * (BLOCK + 1))
    source = Source(str(path), BLOCK + 1, tried=True)
    assert list(parts(source)) == []
    (part,) = parts(source._replace(tried=False))
    assert len(part.messages) == 1  # it goes to the check, which says why it is no message


def test_a_large_capture(tmp_path: Path) -> None:
    path = tmp_path / "large.cap"
    count = BLOCK // len(request()) + 5
    path.write_bytes(frame(request()) * count)
    assert sum(len(part.messages) for part in parts(sources([path])[0])) == count


def test_a_file_that_went_away_is_not_usable(tmp_path: Path) -> None:
    (part,) = parts(Source(str(tmp_path / "gone.hl7"), 10))
    assert part.unusable == "no such file or directory"


def test_any_name_can_be_shown() -> None:
    assert shown("a\udcff.hl7") == "a?.hl7"
