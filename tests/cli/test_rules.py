"""rules check and rules test: what they say of good and bad files, and of requests in the archive and in files."""

from pathlib import Path

import pytest

from hl7auth.resources import shipped
from tests.cli.inline import run
from tests.store.stored import Store, samples

EXAMPLE = shipped("channels") / "referral-intake" / "rules" / "therapy.yaml"
SAMPLE = shipped("sample_messages") / "01-rqa-i08-v2.5.1-request.hl7"
DENIES = "rules: r\nsteps: [{step: a, validation: [{rule: none, deny: {code: 0M, text: not covered}}]}]\n"


@pytest.fixture
def url(tmp_path: Path) -> str:
    store = Store(tmp_path, migrate=True)
    store.send(samples()[0])
    store.close()
    return store.url


def _written(folder: Path, text: str, name: str = "r.yaml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_the_rules_that_are_shipped_are_good() -> None:
    ran = run("rules", "check", str(EXAMPLE))
    assert (ran.code, "rules therapy are good" in ran.out) == (0, True)
    assert "complete: 0 callouts, 1 events, 2 validation, 1 pend" in ran.out


def test_a_mistake_and_a_function_that_is_not_there_are_told(tmp_path: Path) -> None:
    ran = run("rules", "check", _written(tmp_path, DENIES.replace("deny", "denny")))
    assert (ran.code, "r.yaml:2" in ran.err) == (2, True)
    callout = "rules: r\nsteps: [{step: a, callouts: [{callout: used, python: 'benefit:used'}]}]\n"
    ran = run("rules", "check", _written(tmp_path, callout))
    assert (ran.code, "callout used: benefit:used needs the module benefit" in ran.err) == (2, True)


def test_what_nobody_has_answered_changes_nothing(url: str) -> None:
    ran = run("rules", "test", str(EXAMPLE), "--format", "json", database=url)
    assert (ran.code, ran.document["requests"], ran.document["changed"]) == (0, 1, 0)
    (decision,) = ran.document["decisions"]
    assert (decision["was"], decision["would_be"]) == ("open", "approve")
    assert ran.document["fired"] == {"decide/short": 1}
    assert run("rules", "test", str(EXAMPLE), "--since", "2026-03-02", database=url).out.startswith("0 request(s)")
    assert run("rules", "test", str(EXAMPLE), "--until", "2026-03-01", database=url).out.startswith("1 request(s)")


def test_what_was_decided_otherwise_is_shown_with_the_rule_and_is_a_gate(url: str, tmp_path: Path) -> None:
    key = "CH-24011@CEDARHILL"
    run("decide", "submit", key, database=url)
    run("decide", "approve", key, "--number", "FG-1", database=url)
    ran = run("rules", "test", _written(tmp_path, DENIES), database=url)
    assert ran.code == 1
    assert "1 x approve -> deny" in ran.out
    assert f"{key}: by a/none" in ran.out
    assert run("rules", "test", str(EXAMPLE), database=url).code == 0


def test_other_rules_and_files_without_a_database(tmp_path: Path) -> None:
    ran = run("rules", "test", _written(tmp_path, DENIES), str(SAMPLE), "--against", str(EXAMPLE))
    assert ran.code == 1
    assert "1 x approve -> deny" in ran.out
    assert "by a/none, was by decide/short" in ran.out
    failing = "rules: r\nsteps: [{step: a, callouts: [{callout: used, python: 'benefit:used'}]}]\n"
    ran = run("rules", "test", _written(tmp_path, failing), str(SAMPLE))
    assert (ran.code, "open -> failed" in ran.out) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--channel", "nowhere"), "unknown channel 'nowhere'"),
        ((str(SAMPLE), "--since", "2026-03-01"), "--since and --until choose from the archive"),
    ],
)
def test_a_persons_mistake_is_one_sentence(url: str, words: tuple[str, ...], said: str) -> None:
    ran = run("rules", "test", str(EXAMPLE), *words, database=url)
    assert (ran.code, said in ran.err, len(ran.err.splitlines())) == (2, True, 1)
