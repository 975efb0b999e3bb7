"""Editions: what was read stays what it is, whatever becomes of the files."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.errors import ConfigError, UserError
from hl7auth.resources import shipped
from hl7auth.rules import edition
from hl7auth.rules.compiled import compiled, keep_editions
from hl7auth.rules.edition import edition_now, kept_edition, known_editions, take_over
from hl7auth.rules.profile import resolved

OWN = """profile: own
title: Own
extends: referral
tables: {"0281": {file: kinds.csv}}
segments: {PID: {fields: {3: {binding: {table: "0281"}}}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Copies of the shipped profiles, and one of our own with a table."""
    shutil.copytree(shipped("profiles"), tmp_path / "profiles")
    monkeypatch.setattr(edition, "shipped", lambda _: tmp_path / "profiles")
    (tmp_path / "profiles" / "own.yaml").write_text(OWN)
    (tmp_path / "profiles" / "kinds.csv").write_text("code,text\nA,one\n")
    others = [kept_edition(each) for each in known_editions()]
    yield tmp_path / "profiles"
    take_over(others)
    keep_editions([each.digest for each in others])


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_all_that_a_profile_extends_and_its_tables_are_of_the_edition(folder: Path) -> None:
    names = [Path(each).name for each in edition_now("own").texts]
    assert names[:3] == ["own.yaml", "kinds.csv", "referral.yaml"]
    assert edition_now("own").digest != edition_now("referral").digest


@pytest.mark.parametrize("name", ["own.yaml", "referral.yaml"])
def test_what_says_the_same_is_the_same_edition(folder: Path, name: str) -> None:
    before = edition_now("own")
    (folder / name).write_text("# by us\n" + (folder / name).read_text() + "\n\n# the end\n")
    change(folder / "kinds.csv", "\n", "\r\n")
    assert edition_now("own") is before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("own.yaml", "title: Own", "title: Ours"),
        ("kinds.csv", "A,one", "B,one"),
        ("referral.yaml", "extends:", "departs: [AUT-2]\nextends:"),
    ],
)
def test_what_says_something_else_is_another(folder: Path, name: str, old: str, new: str) -> None:
    before = edition_now("own").digest
    change(folder / name, old, new)
    assert edition_now("own").digest != before


def test_an_edition_stays_what_it_was(folder: Path) -> None:
    one = edition_now("own").digest
    first = resolved("own", None, one)
    change(folder / "own.yaml", "title: Own", "title: Ours")
    (folder / "kinds.csv").unlink()
    two = edition_now("own").digest
    assert resolved("own", None, one) is first
    with pytest.raises(ConfigError, match="there is no file"):
        resolved("own", None, two)
    keep_editions((one,))
    assert resolved("own", None, one) is first
    with pytest.raises(KeyError):
        kept_edition(two)


def test_another_process_makes_the_same_of_the_texts(folder: Path) -> None:
    made = edition_now("own")
    assert resolved("own", None, made.digest).tables["0281"].values == {"A": "one"}
    keep_editions(())  # as in a process that has read nothing
    shutil.rmtree(folder)
    folder.mkdir()
    take_over([made])
    assert resolved("own", None, made.digest).tables["0281"].values == {"A": "one"}
    assert compiled("own", "2.5", None, made.digest).profile.title == "Own"


def test_mistakes_are_told_where_the_profile_is_made(folder: Path) -> None:
    with pytest.raises(UserError, match="unknown profile 'nosuch' \\(known: "):
        edition_now("nosuch")
    (folder / "own.yaml").write_text("profile: [")
    digest = edition_now("own").digest
    with pytest.raises(ConfigError, match=r"own.yaml:2: not YAML"):
        resolved("own", None, digest)


@pytest.mark.parametrize("name", ["/etc/hostname", "../outside.csv"])
def test_no_file_outside_of_the_folder_is_taken_along(folder: Path, name: str) -> None:
    (folder.parent / "outside.csv").write_text("code,text\nA,one\n")
    change(folder / "own.yaml", "kinds.csv", name)
    assert len([each for each in edition_now("own").texts if not each.endswith(".yaml")]) == 0
