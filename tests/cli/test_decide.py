"""decide: the commands of the how-to as they stand there, and a person's mistakes."""

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.inline import Ran, run
from tests.store.stored import Store, samples

KEY = "CH-24011@CEDARHILL"
_PAGE = Path(__file__).parents[2] / "docs" / "howto" / "decide.md"


@pytest.fixture
def url(tmp_path: Path) -> str:
    store = Store(tmp_path, migrate=True)
    store.send(samples()[0])
    store.close()
    return store.url


def test_the_commands_of_the_how_to_do_what_it_says(url: str) -> None:
    block = _PAGE.read_text(encoding="utf-8").split("```")[1]
    found: list[Ran] = []
    for line in block.strip().splitlines()[2:]:  # the engine is there, and the request has come
        found.append(run(*shlex.split(line)[1:], database=url))
        assert found[-1].code == 0, found[-1].err
    said = [each.out.strip() for each in found]
    assert said[1:5] == [f"{KEY}: {state}" for state in ("In Process", "Pended", "In Process", "Approved")]
    assert KEY in said[0]
    assert "in_force: True" in said[5]
    assert "status: partially_approved" in said[6]
    shown = run("decide", "show", KEY, "--format", "json", database=url).document
    assert [each["event"] for each in shown["versions"][0]["history"]] == [
        "create", "submit", "pend", "resume", "approve",
    ]  # fmt: skip
    assert run("decide", "list", "--format", "json", database=url).document == []


def test_a_procedure_is_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path, migrate=True)
    store.send(samples()[0].replace(b"OBR|1", b"PR1|2||BRACE^Brace of the knee^L||20260105\rOBR|1"))
    store.close()
    run("decide", "submit", KEY, database=store.url)
    refused = run("decide", "approve", KEY, "--number", "FG-1", "--leave-out", "KNEE=no", database=store.url)
    assert (refused.code, "no procedure 'KNEE'" in refused.err) == (2, True)
    words = ("approve", KEY, "--number", "FG-1", "--leave-out", "BRACE=not covered = never")
    assert run("decide", *words, database=store.url).code == 0
    lines = run("authorization", "show", "FG-1@FERNGATE", "--format", "json", database=store.url).document["lines"]
    assert {each["procedure"]["code"]: each["status"] for each in lines} == {"PHY-KNEE": "approved", "BRACE": "denied"}


def test_procedures_have_quantities_of_their_own(tmp_path: Path) -> None:
    store = Store(tmp_path, migrate=True)
    store.send(samples()[0].replace(b"OBR|1", b"PR1|2||BRACE^Brace of the knee^L||20260105\rOBR|1"))
    store.close()
    run("decide", "submit", KEY, database=store.url)
    words = ("approve", KEY, "--number", "FG-1", "--quantity", "PHY-KNEE=8", "--quantity", "BRACE=1")
    assert run("decide", *words, database=store.url).code == 0
    lines = run("authorization", "show", "FG-1@FERNGATE", "--format", "json", database=store.url).document["lines"]
    assert [each["authorized_treatments"]["quantity"] for each in lines] == ["8", "1"]
    assert (
        run("decide", "show", KEY, "--format", "json", database=store.url).document["decision"] == "certified_partial"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("approve", KEY, "--number", "X"), "allowed now: submit, cancel"),
        (("deny", KEY), "a denial needs a fatal message"),
        (("pend", KEY), "--reason"),
        (("approve", KEY, "--from", "tomorrow"), "'tomorrow' is no day"),
        (("approve", KEY, "--from", "2026-03-02", "--until", "2026-03-01"), "--until is before --from"),
        (("approve", KEY, "--quantity", "NaN"), "no number above 0"),
        (("approve", KEY, "--quantity", "97110=some"), "no number above 0"),
        (("approve", KEY, "--quantity", "3", "--quantity", "97110=3"), "one for all, or one for each"),
        (("approve", KEY, "--partial", "--modified"), "two decisions"),
        (("approve", KEY, "--leave-out", "BRACE"), "say which procedure and why"),
        (("approve", KEY, "--modified", "--leave-out", "BRACE=no"), "two decisions"),
        (("pend", KEY, "--reason", "a nurse decides", "--contact", "Case desk"), "--contact and --phone"),
        (("unfinalize", KEY), "AUT-IP-AUTI-015"),
        (("extend", KEY, "--days", "20", "--reason", "time"), "more than 14 days"),
        (("submit", "NOBODY"), "there is no authorization or request 'NOBODY'"),
    ],
)
def test_a_persons_mistake_is_one_sentence(url: str, words: tuple[str, ...], said: str) -> None:
    ran = run("decide", *words, database=url)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


def test_the_figures_tell_their_policy(url: str) -> None:
    run("decide", "submit", KEY, database=url)
    run("decide", "deny", KEY, "--reason", "not covered", database=url)
    shown = run("decide", "show", KEY, "--format", "json", database=url).document
    year = shown["decided"][:4]
    told = run("figures", year, database=url).out
    assert "denied: 1 of 1 (100.0 %)" in told
    assert "How it is counted" in told
    assert re.search(r"^FERNGATE +PHY-KNEE +L +1$", told, re.MULTILINE)
    assert run("figures", year, "--format", "json", database=url).document["all"]["standard"]["decided"] == 1
    assert run("figures", "10000", database=url).code == 2


def test_the_rest_of_the_moves_by_command(url: str) -> None:
    assert run("decide", "submit", KEY, database=url).out == f"{KEY}: In Process\n"
    assert run("decide", "pend", KEY, "--reason", "papers", database=url).code == 0
    assert run("decide", "tochange", KEY, "--by", "clerk", database=url).out == f"{KEY}: Changed\n"
    assert "due " in run("decide", "extend", KEY, "--days", "2", "--reason", "post", database=url).out
    assert run("decide", "cancel", KEY, database=url).out == f"{KEY}: Cancelled\n"
