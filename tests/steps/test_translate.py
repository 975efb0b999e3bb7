"""Code tables: what they map, what they do not, and what is said of a wrong file."""

from pathlib import Path
from typing import Any

import pytest

from hl7auth.errors import ConfigError
from hl7auth.steps.faults import UnmappedRefused
from hl7auth.steps.run import Shaped, load_steps, run
from tests.steps.shaping import message, one, shaped

TABLE = {"AP": "A1", "DE": "Ä&B"}


def translated(raw: bytes, **more: Any) -> Shaped:
    """The message with AUT-14 translated by TABLE."""
    return shaped(raw, {"translate": {"field": "AUT-14", "table": TABLE} | more})


def aut(value: str) -> str:
    """An AUT with that AUT-14."""
    return "AUT" + "|" * 14 + value


def test_a_place_without_a_component_means_the_first() -> None:
    assert one(aut("AP^Approved^L"), {"translate": {"field": "AUT-14", "table": TABLE}}) == aut("A1^Approved^L")
    assert one(aut("X^AP"), {"translate": {"field": "AUT-14.2", "table": TABLE}}) == aut("X^A1")


def test_each_segment_and_repetition_by_itself() -> None:
    raw = message(aut("AP~X^1~DE"), aut("AP"))
    found = translated(raw)
    assert found.raw == message(aut("A1~X^1~\\XC384\\\\T\\B"), aut("A1"))
    assert found.unmapped == (("(in step 1)", "AUT[1]-14[2].1", "X"),)


@pytest.mark.parametrize("value", ["", '""', "^AP", "~"])
def test_empty_and_deleted_values_are_left_alone(value: str) -> None:
    found = translated(message(aut(value)), unmapped="empty")
    assert found == Shaped(message(aut(value)))


@pytest.mark.parametrize(
    ("unmapped", "after"), [("keep", "PE^P"), ("empty", "^P"), ("??", "??^P"), ("a&b", "a\\T\\b^P")]
)
def test_what_happens_to_unmapped_values(unmapped: str, after: str) -> None:
    found = translated(message(aut("PE^P")), unmapped=unmapped)
    assert found.raw == message(aut(after))
    assert found.unmapped == (("(in step 1)", "AUT-14.1", "PE"),)


def test_an_unmapped_value_can_refuse_the_message() -> None:
    with pytest.raises(UnmappedRefused, match="does not have the value") as caught:
        translated(message(aut("AP"), aut("PE")), unmapped="refuse")
    assert (caught.value.code, caught.value.location) == ("103", "AUT[2]-14.1")
    assert "PE" not in str(caught.value)


def test_the_new_value_can_go_elsewhere() -> None:
    step = {"translate": {"field": "AUT-14", "to": "AUT-15.2", "table": TABLE}}
    assert one(aut("AP"), step) == aut("AP|^A1")
    assert one(aut("PE&X"), step) == aut("PE&X|^PE&X")


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    """A channel with a step that reads a table beside it."""
    path = tmp_path / "own.yaml"
    path.write_text(
        "steps:\n- set: {AUT-1: A}\n- each: AUT\n  steps:\n  - translate:\n      field: AUT-14\n      table: t/s.csv\n"
    )
    (tmp_path / "t").mkdir()
    return path


def test_a_table_is_a_file_beside_the_channel(channel: Path) -> None:
    (channel.parent / "t" / "s.csv").write_text('\ufefffrom,to,text\nAP,A1,"Good, really"\n\n"a ""b""",B,x\n', "utf-8")
    channel.write_text(f"{channel.read_text()}- translate: {{field: AUT-30, table: t/s.csv}}\n")
    steps = load_steps(channel)
    assert steps.tables == (channel.parent / "t" / "s.csv",)
    found = run(steps, message(aut("AP"), aut('a "b"'), aut("Z")))
    assert found.raw == message(*(aut(value).replace("AUT|", "AUT|A") for value in ("A1", "B", "Z")))
    assert found.unmapped == (("t/s.csv", "AUT[3]-14.1", "Z"),)


def test_a_table_may_have_more_columns(channel: Path) -> None:
    (channel.parent / "t" / "s.csv").write_text("from,to,text\nAP,A1,Good\n")
    channel.write_text(channel.read_text() + "      column: text\n      to: AUT-14.2\n")
    assert run(load_steps(channel), message(aut("AP"))).raw == message(aut("AP^Good").replace("AUT|", "AUT|A"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("code,to\nA,B\n", ":1: the first line names the columns and begins with: from,to"),
        ("", ":1: the first line names"),
        ("from,to\nA,B,C\n", ":2: 2 values are expected, and there are 3"),
        ("from,to\nA,B\nC,D\nA,E\n", ":4: from: 'A' is there twice"),
        ("from,to\n,B\n", ":2: from: a value is expected"),
        ('from,to\nA,"B\n', ":2: not CSV:"),
    ],
)
def test_a_mistake_in_a_table_names_both_files(channel: Path, text: str, said: str) -> None:
    table = channel.parent / "t" / "s.csv"
    table.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_steps(channel)
    assert str(caught.value).startswith(f"{channel}:7: steps.1.steps.0.translate.table: {table}{said}")


def test_a_table_that_is_not_there_or_not_text(channel: Path) -> None:
    with pytest.raises(ConfigError, match=r"s\.csv: No such file"):
        load_steps(channel)
    (channel.parent / "t" / "s.csv").write_bytes(b"from,to\n\xff,A\n")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_steps(channel)
    (channel.parent / "t" / "s.csv").write_bytes(b"from,to\n" + b"A,B\n" * 2_500_000)
    with pytest.raises(ConfigError, match="larger than"):
        load_steps(channel)


def test_a_column_that_is_not_there(channel: Path) -> None:
    (channel.parent / "t" / "s.csv").write_text("from,to,text\nA,B,C\n")
    channel.write_text(channel.read_text() + "      column: txt\n")
    with pytest.raises(ConfigError, match=r"no column 'txt' \(there are: to, text\)"):
        load_steps(channel)
