"""replay compare as a gate: what it prints, and how it ends."""

from pathlib import Path

import pytest

from hl7auth.resources import shipped
from hl7auth.store import bodies
from hl7auth.store.database import HEAD
from tests.cli.inline import run
from tests.store.sealed import busy, packs, sealed
from tests.store.stored import Store

WORDS = ("replay", "compare", "--workers", "1", "--channel-file")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = busy(tmp_path, 6)
    store.change("CREATE TABLE alembic_version (version_num TEXT)")
    store.change(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
    store.close()
    return store


def new(folder: Path, before: str, after: str) -> str:
    text = shipped("channels/referral-intake.yaml").read_text(encoding="utf-8")
    (folder / "new.yaml").write_text(text.replace(before, after), encoding="utf-8")
    return str(folder / "new.yaml")


def test_no_difference_ends_with_0_differences_with_1_and_no_run_with_2(store: Store, tmp_path: Path) -> None:
    same = run(*WORDS, new(tmp_path, "errors: reject", "errors: accept"), database=store.url)
    assert (same.code, same.err) == (0, "")
    assert "0 of 12 message(s) differ" in same.out
    path = new(tmp_path, "[RQA, RPA, REF, RRI]", "[RQA]")
    less = run(*WORDS, path, "--since", "2026-03-01T15:00", "--format", "json", database=store.url)
    assert less.code == 1
    assert [(each["kind"], each["messages"]) for each in less.document["kinds"]] == [
        ("authorization", 4),
        ("disposition", 4),
        ("finding", 4),
        ("reply", 4),
    ]
    assert less.document["kinds"][1]["what"] == "accepted (AA) -> refused (AR)"
    assert less.document["kinds"][1]["examples"] == [{"message": "6"}, {"message": "8"}, {"message": "10"}]
    assert (less.document["compared"], less.document["differ"], less.document["authorizations"]) == (7, 4, 4)
    told = run(*WORDS, path, "--values", database=store.url)
    assert (told.code, "message 2: accepted (AA) -> refused (AR)" in told.out) == (1, True)
    nothing = run("replay", "compare", database=store.url)
    assert (nothing.code, nothing.err) == (2, "hl7auth: nothing to try: --channel-file or --profile-file\n")
    wrong = run(*WORDS, new(tmp_path, "errors: reject", "errors: perhaps"), database=store.url)
    assert (wrong.code, "new.yaml:" in wrong.err and "errors" in wrong.err, "Traceback" in wrong.err) == (
        2,
        True,
        False,
    )


def test_a_lost_body_is_no_pass(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_PACKS_OPEN", 0)
    sealed(store)
    (tmp_path / "archive" / packs(tmp_path)[0]).unlink()
    ended = run(*WORDS, new(tmp_path, "errors: reject", "errors: accept"), database=store.url)
    assert (ended.code, ended.err) == (
        2,
        "hl7auth: 12 message(s) could not be read: `hl7auth archive verify` says why\n",
    )
