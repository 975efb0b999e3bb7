"""The reference page is what the tables say today."""

from hl7auth.domain.action_table import STEPS, Effect
from hl7auth.domain.semantics_page import page
from hl7auth.resources import shipped

PAGE = shipped("docs") / "reference" / "semantics.md"


def test_the_page_is_fresh() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "python -m hl7auth.domain.semantics_page docs/reference/semantics.md writes it anew"


def test_the_table_has_a_row_for_every_code_of_table_0206_and_none() -> None:
    assert {code for code, _, _ in STEPS} == {"A", "D", "U", "X", "S", ""}
    assert len(STEPS) == 6 * 4
    assert {step.effect for step in STEPS.values()} == set(Effect)


def test_every_refusal_says_why_and_nothing_else_does() -> None:
    for step in STEPS.values():
        assert bool(step.code and step.text) == (step.effect is Effect.REFUSE)
