"""The work of a check: any input ends in a report."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.cli.check_input import Part, Source
from hl7auth.cli.check_run import Checker, Settings, is_file, pieces
from hl7auth.reports.forms import NAMES
from tests.engine import request

PIECES = [
    b"MSH|^~\\&|",
    b"\r",
    b"\n",
    b"|",
    b"^",
    b"~",
    b"&",
    b"\\",
    b"AUT|",
    b"PID|",
    b"RQA^I08",
    b"2.8",
    b'""',
    b"\xe9",
    b"1",
]
CHECKERS = [Checker(Settings(form=name, values=True, affirmative=True)) for name in NAMES]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)), max_size=40).map(b"".join))
def test_no_input_raises(tail: bytes) -> None:
    head = request().partition(b"\r")[0] + b"\r"
    for checker in CHECKERS:
        piece = checker.work([Part("a", 1, [tail, head + tail, request()[:90] + tail])])
        assert piece.tally.messages == 3
        assert all(fragment.encode() for fragment in piece.fragments)


@pytest.mark.parametrize(("name", "file"), [("referral", False), ("a/b.yaml", True), ("b.yml", True)])
def test_a_file_or_a_name(name: str, file: bool) -> None:
    assert is_file(name) is file


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_counts_every_file_once(jobs: int, tmp_path: Path) -> None:
    found = []
    for number in range(70):
        path = tmp_path / f"{number}.hl7"
        path.write_bytes(request() if number % 10 else b"")
        found.append(Source(str(path), path.stat().st_size, tried=number % 10 == 0))
    moved: list[int] = []
    done = list(pieces(found, Settings(), jobs, moved.append))
    assert sum(moved) == 70
    assert sum(piece.tally.skipped for piece in done) == 7
    assert len(moved) >= 3
