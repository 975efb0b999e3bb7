"""Tables of codes: what the shipped ones hold in each version."""

from pathlib import Path

import pytest

from hl7auth.errors import ConfigError
from hl7auth.rules.strict_yaml import load
from hl7auth.rules.tables import Code, Table, Tables, shipped_tables
from hl7auth.wire.versions import VERSIONS, at_least


@pytest.mark.parametrize("version", VERSIONS)
def test_p40_segment_action_codes_by_version(version: str) -> None:
    expected = {"A", "D", "U"}
    expected |= {"X"} if at_least(version, "2.6") else set()
    expected |= {"S"} if at_least(version, "2.9") else set()
    assert shipped_tables()["0206"].codes(version) == expected


@pytest.mark.parametrize(
    ("number", "kind", "first", "last"),
    [
        ("0008", "hl7", "AA AE AR CA CE CR", "AA AE AR CA CE CR"),
        ("0103", "hl7", "D P T", "D P T N V"),
        ("0155", "hl7", "AL NE ER SU", "AL NE ER SU"),
        ("0205", "user", "AP DC IC PF TF TP UP", "AP DC IC PF TF TP UP"),
        ("0206", "hl7", "A D U", "A D U X S"),
        ("0286", "user", "RP PP CP RT", "RP PP CP RT"),
    ],
)
def test_the_shipped_tables(number: str, kind: str, first: str, last: str) -> None:
    table = shipped_tables()[number]
    assert (table.kind, table.name != "") == (kind, True)
    assert table.codes("2.3") == set(first.split())
    assert table.codes("2.9.1") == set(last.split())


def test_only_these_tables_are_shipped() -> None:
    # 0072, 0285, 0522, 0546, 0551, 0563, 0573 and 0574 have no values in any version: a site brings its own
    assert sorted(shipped_tables()) == ["0008", "0103", "0155", "0205", "0206", "0286"]


def test_a_code_exists_from_its_version_on() -> None:
    table = Table(name="t", kind="user", values={"A": "always", "B": Code(text="since 2.6", since="2.6")})
    assert [sorted(table.codes(version)) for version in ("2.3", "2.5.1", "2.6", "2.9.1")] == [
        ["A"], ["A"], ["A", "B"], ["A", "B"],
    ]  # fmt: skip
    assert Table(name="t", kind="user", values={"A": Code(text="from the first")}).codes("2.3") == {"A"}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("{name: t, kind: local, values: {}}", "tables.0001.kind: Input should be 'hl7' or 'user'"),
        ("{name: t, kind: hl7}", "key 'tables.0001.values' is missing"),
        ("{name: t, kind: hl7, values: {1: one}}", "tables.0001.values.1: Input should be a valid string"),
        ("{name: t, kind: hl7, values: {A: {text: a, since: '2.10'}}}", "unknown version '2.10' (known: 2.3, 2.3.1,"),
        ("{name: t, kind: hl7, values: {A: {txt: a}}}", "did you mean 'text'?"),
    ],
)
def test_mistakes_in_a_table(tmp_path: Path, table: str, said: str) -> None:
    (tmp_path / "t.yaml").write_text(f'tables:\n  "0001": {table}\n')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "t.yaml", Tables)
    assert f"t.yaml:2: {said}" in str(caught.value) or said in str(caught.value)
    assert "t.yaml:2: " in str(caught.value)
