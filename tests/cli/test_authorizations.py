"""authorization list, show, history, at and why, as a person or a script uses them, on a real store."""

from pathlib import Path
from typing import Any

import pytest

from hl7auth.observe import now
from hl7auth.resources import shipped
from tests.cli.inline import run
from tests.messages import ASKED, VISIT, answer, granted, request
from tests.store.stored import HOUR, Store


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PA1 asked and granted on 2026-03-01; R2 open for 100 hours, R3 for 100 hours and expedited."""
    store = Store(tmp_path_factory.mktemp("told"), migrate=True)
    store.send(request(VISIT, ASKED, referral="R1"), answer(VISIT, granted("PA1"), referral="R1"))
    store.send(answer(VISIT, granted("PA1", {5: "20261231"}), referral="R1", control_id="D2"))
    waiting = [request(VISIT, ASKED, referral=f"R{number}", control_id=f"C{number}") for number in (2, 3)]
    store.send(waiting[0], at=now() - 100 * HOUR)
    store.send(waiting[1].replace(b"RF1||", b"RF1||S"), at=now() - 100 * HOUR)
    store.close()
    return store.url


def told(url: str, *words: str) -> tuple[int, Any]:
    found = run("authorization", *words, "--format", "json", database=url)
    return found.code, found.document


def text(url: str, *words: str) -> str:
    found = run("authorization", *words, database=url)
    assert found.code == 0, found.err
    return found.out


def test_open_requests_have_their_age_and_when_they_are_due(url: str) -> None:
    code, listed = told(url, "list", "--open")
    assert code == 0
    assert [(entry["key"], entry["clock"]["urgency"], entry["clock"]["overdue"]) for entry in listed] == [
        ("R2@FRONT:NORTH", "standard", False), ("R3@FRONT:NORTH", "expedited", True),
    ]  # fmt: skip
    assert [entry["key"] for entry in told(url, "list", "--open", "--overdue")[1]] == ["R3@FRONT:NORTH"]
    head, standard, expedited = text(url, "list", "--open").splitlines()
    assert head.split()[-3:] == ["urgency", "age", "due"]
    assert "standard   4 d 4 h" in standard
    assert "left)" in standard
    assert "expedited  4 d 4 h" in expedited
    assert "(late by 1 d 4 h)" in expedited


def test_overdue_without_open_is_a_mistake(url: str) -> None:
    found = run("authorization", "list", "--overdue", database=url)
    assert (found.code, "add --open" in found.err) == (2, True)


def test_history_is_told_in_sentences(url: str) -> None:
    lines = text(url, "history", "PA1@ACME").splitlines()
    assert lines[0].startswith("2026-03-01T11:00:00.000+00:00: PAYER of SOUTH answered the request (RPA^I08, ")
    assert lines[-1] == "  Line 1, Visit (99213): the expiration date changed from 2026-09-30 to 2026-12-31."
    code, entries = told(url, "history", "PA1@ACME")
    assert (code, [entry["version"] for entry in entries]) == (0, [1, 2])


def test_at_shows_what_was_known(url: str) -> None:
    code, document = told(url, "at", "PA1@ACME", "2026-03-01T11:30Z")
    assert (code, document["version"], document["expiration_date"]) == (0, 1, "2026-09-30")
    shown = text(url, "at", "PA1@ACME", "2026-03-01T11:30Z")
    assert "Until 2026-03-01T12:00:00.000+00:00." in shown
    assert "It still stands." in text(url, "at", "PA1@ACME", "2026-03-01")


def test_before_the_first_version_nothing_was_known(url: str) -> None:
    found = run("authorization", "at", "PA1@ACME", "2026-02-28", database=url)
    assert found.code == 1
    assert found.out.startswith("PA1@ACME at 2026-02-28: nothing was known yet: the first message about it")
    assert told(url, "at", "PA1@ACME", "2026-02-28") == (
        1, {"key": "PA1@ACME", "at": "2026-02-28", "known": False, "first_known": "2026-03-01T11:00:00.000+00:00"},
    )  # fmt: skip


def test_why_names_the_message_and_the_place(url: str) -> None:
    lines = text(url, "why", "PA1@ACME", "expiration_date").splitlines()
    assert lines[0] == "expiration_date is 2026-12-31; before, it was 2026-09-30."
    assert lines[2] == "In that message it stands in AUT-5 under PR1: 20261231."
    code, entry = told(url, "why", "PA1@ACME", "AUT-5")
    assert (code, entry["field"], entry["place"]) == (
        0, "expiration_date", {"path": "AUT-5", "under": "PR1", "raw": "20261231"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["why", "PA1@ACME", "expiry_date"], "did you mean 'expiration_date'?"),
        (["why", "PA1@ACME", "lines[3].status"], "there is no lines[3] (there is: lines[0])"),
        (["why", "PA9@ACME", "status"], "there is no authorization or request 'PA9@ACME'"),
        (["at", "PA1@ACME", "soon"], "'soon' is no date or time"),
        (["at", "PA9@ACME", "2026-03-01"], "there is no authorization or request 'PA9@ACME'"),
        (["history", "PA9@ACME"], "there is no authorization or request 'PA9@ACME'"),
    ],
)
def test_a_mistake_is_one_sentence(url: str, words: list[str], sentence: str) -> None:
    found = run("authorization", *words, database=url)
    assert (found.code, found.out) == (2, "")
    assert sentence in found.err
    assert len(found.err.splitlines()) == 1


def test_show_has_the_clock_of_what_is_open(url: str) -> None:
    assert told(url, "show", "R3@FRONT:NORTH")[1]["clock"]["urgency"] == "expedited"
    assert "clock" not in told(url, "show", "PA1@ACME")[1]


def test_the_clocks_are_those_of_the_channel(url: str, tmp_path: Path) -> None:
    text = (shipped("channels") / "referral-intake.yaml").read_text(encoding="utf-8")
    (tmp_path / "a.yaml").write_text(text.replace("standard_hours: 168", "standard_hours: 99"), encoding="utf-8")
    words = ("list", "--open", "--overdue")
    assert [entry["key"] for entry in told(url, *words, "--channels", str(tmp_path))[1]] == [
        "R2@FRONT:NORTH",
        "R3@FRONT:NORTH",
    ]
    (tmp_path / "a.yaml").write_text("channel: other\nlisten: tcp:0\n", encoding="utf-8")
    assert [entry["key"] for entry in told(url, *words, "--channels", str(tmp_path))[1]] == ["R3@FRONT:NORTH"]
