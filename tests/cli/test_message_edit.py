"""Edit and resend: a new message, the original untouched, and who did it and why is kept."""

import os
import stat
from pathlib import Path

import pytest

from tests.cli.inline import run
from tests.engine import request
from tests.store.stored import Store

WHO = ("--by", "ada", "--reason", "wrong plan")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with a request that was accepted, and something that is no message."""
    store = Store(tmp_path, migrate=True)
    store.send(request("C1", number="PA1"), b"nothing of HL7")
    store.close()
    return store.url


def test_a_corrected_message_is_a_new_one_that_names_its_origin(url: str) -> None:
    before = run("message", "show", "1", "--raw", database=url).out
    done = run("message", "edit", "1", "AUT-1.1=SILVER", *WHO, "--format", "json", database=url)
    assert done.code == 0, done.err
    made = done.document
    assert made["disposition"] == "accepted"
    assert made["changes"] == [{"path": "AUT-1.1", "before": "GOLD", "after": "SILVER"}]
    assert run("message", "show", "1", "--raw", database=url).out == before
    new = run("message", "show", made["message"], "--format", "json", database=url).document
    assert "AUT|SILVER|ACME" in new["raw"]
    assert new["control_id"] == made["control_id"] != "C1"
    assert new["peer"] == "edit by ada"
    assert [(each["origin"], each["by"], each["reason"]) for each in new["edit_of"]] == [("1", "ada", "wrong plan")]
    old = run("message", "show", "1", "--format", "json", database=url).document
    assert [each["message"] for each in old["edits"]] == [made["message"]]
    assert "corrected as message" in run("message", "show", "1", database=url).out
    assert run("db", "check", "--rebuild", database=url).code == 0


def test_who_corrected_a_message_and_why_is_in_the_audit_log(url: str) -> None:
    done = run("message", "edit", "1", "SET", "AUT-1.1=SILVER", "PID-5.1=Moss", *WHO, "--format", "json", database=url)
    (row,) = run("audit", "list", "--subject", "1", "--format", "json", database=url).document
    assert (row["who"], row["action"]) == ("ada", "message.edit")
    told = {"became": done.document["control_id"], "reason": "wrong plan", "fields": ["AUT-1.1", "PID-5.1"]}
    assert row["detail"] == told
    assert run("audit", "verify", database=url).code == 0
    assert run("message", "edit", "1", "SET", *WHO, database=url).code == 2


def test_a_correction_that_the_channel_refuses_is_told_and_kept(url: str) -> None:
    done = run("message", "edit", "1", "MSH-12.1=9.9", *WHO, database=url)
    assert done.code == 1
    assert "refused" in done.out


def test_an_editor_changes_lines(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "editor.sh"
    script.write_text('#!/bin/sh\nsed -i "s/GOLD/BRONZE/" "$1"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setitem(os.environ, "VISUAL", str(script))
    # who saves within the second of the original must be heard too: the file is written anew
    done = run("message", "edit", "1", "--editor", *WHO, "--format", "json", database=url)
    assert done.code == 0, done.err
    assert [each["path"] for each in done.document["changes"]] == ["line 5"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("1", "AUT-1.1=X"), "say who you are"),
        (("1", *WHO), "say what to change"),
        (("1", "AUT-1.1=X", "--editor", *WHO), "say what to change"),
        (("1", "AUT-1.1=GOLD", *WHO), "nothing was changed"),
        (("2", "AUT-1.1=X", *WHO), "is no HL7 message"),
        (("9", "AUT-1.1=X", *WHO), "there is no message 9"),
    ],
)
def test_mistakes_are_told_and_nothing_is_submitted(words: tuple[str, ...], said: str, url: str) -> None:
    done = run("message", "edit", *words, database=url)
    assert (done.code, said in done.err) == (2, True), done.err
    assert len(run("message", "list", "--format", "json", database=url).document) == 2
