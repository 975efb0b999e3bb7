"""Rules of decisions: what holds of a document, what outcomes come to, and what a mistake in a file is told as."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.decided import LeftOut, LineQuantity
from hl7auth.domain.rule_condition import compiled
from hl7auth.domain.rule_model import Callout, Grant, Message, PendReason, RulesFile, load_rules
from hl7auth.domain.ruling import Before, Ruled, Verdict, facts_of, follow_up, granted, numbered, rule
from hl7auth.errors import ConfigError

TODAY = date(2026, 3, 2)
DOCUMENT: dict[str, Any] = {
    "key": "?R1", "status": "requested", "patient": {"id": "77001", "birth_date": "1980-03-03"},
    "payor": {"code": "ACME"}, "plan": {"code": "GOLD", "text": "Gold"}, "effective_date": "2026-04-01",
    "expiration_date": "2026-09-30", "requested_treatments": {"quantity": "12"},
    "lines": [
        {"procedure": {"code": "97110"}, "requested_treatments": {"quantity": "8", "unit": "VIS"}},
        {"procedure": {"code": "97140"}, "requested_treatments": {"quantity": "4"}},
    ],
    "diagnoses": [{"code": "M54.5", "system": "I10"}], "authorized_provider": {"name": "Moss", "id": "N1"},
    "provenance": {"*": [1, 1]},
}  # fmt: skip
NEW = Before()
BEFORE = Before(2, "expedited", "intake", "77001", "hl7", "RQA^I08", ("not_certified",), ("DOC",), frozenset({"DOC"}))


def holds(text: str) -> bool:
    return compiled(text)(facts_of(DOCUMENT, BEFORE, TODAY) | {"callouts": {"seen": {"by": "Ada", "ok": True}}})


@pytest.mark.parametrize(
    "text",
    [
        "payor.code = 'ACME'",
        "payor = 'ACME' and plan.text = 'Gold'",
        "any lines.procedure.code in {'97140', '1'}",
        "lines.procedure.code = '97110'",
        "not lines.procedure.code = '97140'",
        "lines[1].requested_treatments.quantity < 5",
        "AUT-8 >= 12",
        "all lines.procedure.code matches '\\d{5}'",
        "count(lines.procedure.code) = 2 and count(diagnoses) = 1 and count(lines) = 2",
        "effective_date > '2026-03-31' and effective_date <= '2026-04-01'",
        "effective_date > today and today = '2026-03-02'",
        "patient.age = 45",
        "any diagnoses.code matches 'M54[.]\\d'",
        "authorized_provider.name = 'Moss'",
        "referral.priority empty or referral.priority = 'S'",
        "request.urgency = 'expedited' and request.version > 1",
        "any history.decisions = 'not_certified' and any history.pends = 'DOC'",
        "callouts.seen.by valued and callouts.seen.ok = 'true' and callouts.other.thing empty",
        "(identifier empty)",
        "",
    ],
)
def test_what_holds_of_a_document(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize("text", ["lines[7].status valued", "plan.system valued", "today > '2026-03-02'"])
def test_what_does_not_hold(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("payer.code = 'X'", "did you mean 'payor'?"),
        ("payor.cod = 'X'", "did you mean 'code'?"),
        ("history.doctors valued", "'history' has no 'doctors'"),
        ("lines.product.code valued", "did you mean 'procedure'?"),
        ("any = 'X'", "a path like payor.code is expected behind 'any'"),
        ("payor.code", "ends too early"),
        ("payor.code = ", "ends too early"),
        ("payor = ACME", "can not read 'ACME'"),
        ("= 3", "a path like payor.code or a literal"),
    ],
)
def test_a_mistake_in_a_condition_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        compiled(text)


def nobody(callout: Callout, _facts: Mapping[str, Any]) -> Mapping[str, Any]:
    raise AssertionError(callout)


def ruled(*steps: dict[str, Any], before: Before = NEW, ask: Any = nobody, **more: Any) -> Ruled:
    named = [{"step": f"s{at}", **step} for at, step in enumerate(steps, 1)]
    rules = RulesFile.model_validate({"rules": "r", "number": "N{request}", "steps": named} | more)
    return rule(rules, DOCUMENT, before, TODAY, ask)


def say(severity: str, when: str = "") -> dict[str, Any]:
    return {"rule": f"say-{severity}", "when": when, "say": {"severity": severity, "text": f"a {severity}"}}


APPROVES = {"rule": "yes", "approve": {"days": 90}}
PENDS = {"rule": "papers", "pend": {"code": "DOC", "text": "papers"}}


def test_an_approval_is_the_first_that_fits_and_messages_do_not_stop_it() -> None:
    never = {"rule": "no", "when": "payor = 'X'", "deny": {"text": "no"}}
    second = {"rule": "later", "approve": {"decision": "modified", "quantity": 3}}
    found = ruled({"validation": [say("info"), say("warning"), never, APPROVES]}, {"validation": [second]})
    assert (found.verdict, found.grant, found.decider) == (Verdict.APPROVE, Grant(days=90), "s1/yes")
    assert [each.severity for each in found.messages] == ["info", "warning"]


def test_a_fatal_message_lets_its_step_end_and_no_other_begin() -> None:
    found = ruled({"validation": [say("fatal"), say("info"), APPROVES]}, {"validation": [say("warning")]})
    assert (found.verdict, found.grant) == (Verdict.DENY, None)
    assert [each.severity for each in found.messages] == ["fatal", "info"]
    assert [each.text for each in found.fatal] == ["a fatal"]
    assert found.decider == "s1/say-fatal"


def test_a_denial_is_a_fatal_message() -> None:
    found = ruled({"validation": [{"rule": "no", "deny": {"code": "0M", "text": "not covered"}}]})
    assert (found.verdict, found.fatal) == (
        Verdict.DENY, (Message(severity="fatal", code="0M", text="not covered"),)
    )  # fmt: skip


def test_pend_rules_come_last_in_their_step_and_hold_up_the_next() -> None:
    found = ruled({"pend": [PENDS], "validation": [APPROVES, say("fatal")]}, {"validation": [say("warning")]})
    assert (found.verdict, [each.code for each in found.pends]) == (Verdict.PEND, ["DOC"])
    assert (len(found.messages), found.grant, found.decider) == (1, None, "s1/papers")


def test_a_reason_that_was_resolved_once_does_not_pend_again_unless_it_reattaches() -> None:
    assert ruled({"pend": [PENDS]}, {"validation": [APPROVES]}, before=BEFORE).verdict is Verdict.APPROVE
    again = {"rule": "papers", "pend": PENDS["pend"] | {"reattach": True}}  # type: ignore[operator]
    assert ruled({"pend": [again]}, {"validation": [APPROVES]}, before=BEFORE).verdict is Verdict.PEND


def test_silence_approves_only_where_the_file_says_so() -> None:
    silent = {"validation": [say("info")]}
    assert [each.code for each in ruled(silent).pends] == ["REVIEW"]
    assert ruled(silent, silence="wait").verdict is Verdict.WAIT
    approved = ruled(silent, silence="approve")
    assert (approved.verdict, approved.grant, approved.decider) == (Verdict.APPROVE, None, "silence")


def test_what_was_said_before_the_rules_can_end_it() -> None:
    rules = RulesFile.model_validate({"rules": "r", "number": "N{request}", "steps": [{"step": "a", "pend": [PENDS]}]})
    fatal = Message(severity="fatal", code="AUT-FL-ENRO-001", text="none")
    found = rule(rules, DOCUMENT, Before(), TODAY, nobody, (fatal,))
    assert (found.verdict, found.fatal, found.decider) == (Verdict.DENY, (fatal,), "")


def test_callouts_come_first_and_events_are_noted() -> None:
    asked: list[Any] = []

    def ask(callout: Callout, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append((callout.python, facts["payor"]["code"]))
        return {"visits": 30}

    step = {
        "callouts": [
            {"callout": "used", "python": "benefit:used"},
            {"callout": "never", "python": "benefit:never", "when": "payor = 'X'"},
        ],
        "events": [{"event": "many", "when": "callouts.used.visits > 20"}, {"event": "few", "when": "payor = 'X'"}],
        "validation": [{"rule": "most", "when": "callouts.used.visits >= 30", "deny": {"text": "plan maximum"}}],
    }
    found = ruled(step, ask=ask)
    assert (asked, found.events, found.verdict) == ([("benefit:used", "ACME")], ("many",), Verdict.DENY)


def test_what_is_granted_and_under_which_number() -> None:
    said = granted(Grant(days=30, quantity=Decimal(5), unit="VIS", decision="modified", reason="as agreed"), "N1",
                   DOCUMENT, TODAY)  # fmt: skip
    assert (said.decision, said.number, said.quantity, said.unit) == (Decision.MODIFIED, "N1", Decimal(5), "VIS")
    assert (said.effective, said.expiration) == (date(2026, 4, 1), date(2026, 4, 30))
    asked = granted(None, "N1", DOCUMENT, TODAY)
    assert (asked.decision, asked.effective, asked.expiration) == (
        Decision.CERTIFIED_TOTAL, date(2026, 4, 1), date(2026, 9, 30),
    )  # fmt: skip
    bare = granted(Grant(), "", {"effective_date": "soon"}, TODAY)
    assert (bare.effective, bare.expiration) == (TODAY, None)
    assert numbered("FG-{year}-{request}", 42, TODAY) == "FG-2026-42"
    assert follow_up(PendReason(code="A", text="b", follow_up_days=3), TODAY) == "2026-03-05"
    assert follow_up(PendReason(code="A", text="b"), TODAY) == ""


def test_procedures_of_the_request_are_left_out_of_an_approval() -> None:
    grant = Grant(leave_out={"97140": "not covered", "97150": "not covered"})
    said = granted(grant, "N1", DOCUMENT, TODAY)
    assert (said.decision, said.left_out) == (Decision.CERTIFIED_PARTIAL, (LeftOut("97140", "not covered"),))
    other = granted(Grant(leave_out={"97150": "not covered"}), "N1", DOCUMENT, TODAY)
    assert (other.decision, other.left_out) == (Decision.CERTIFIED_TOTAL, ())


def test_procedures_of_the_request_are_granted_their_own_quantities() -> None:
    grant = Grant(quantities={"97140": Decimal(8), "97150": Decimal(2)})
    said = granted(grant, "N1", DOCUMENT, TODAY)
    assert said.by_line == (LineQuantity("97140", Decimal(8)),)


def test_an_approval_that_leaves_everything_out_is_a_denial() -> None:
    all_of_it = {"rule": "none", "approve": {"leave_out": {"97110": "not covered", "97140": "experimental"}}}
    found = ruled({"validation": [all_of_it]})
    assert (found.verdict, [each.text for each in found.fatal], found.decider) == (
        Verdict.DENY, ["not covered"], "s1/none",
    )  # fmt: skip
    first = ruled({"validation": [APPROVES, all_of_it]})
    assert (first.verdict, first.decider) == (Verdict.APPROVE, "s1/yes")


def test_the_age_is_that_of_today() -> None:
    def age(birth: str) -> Any:
        return facts_of({"patient": {"birth_date": birth}}, Before(), TODAY)["patient"].get("age")

    assert (age("1980-03-02"), age("1980-03-03"), age("1980"), age("")) == (46, 45, None, None)


HEAD = "rules: r\nnumber: N{request}\nsteps:\n  - step: a\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}    validation: [{{rule: x, when: \"payer = '1'\", deny: {{text: t}}}}]", ":5: steps.0.valid"),
        (f"{HEAD}    validation: [{{rule: x, deny: {{text: t}}, approve: {{}}}}]", "one outcome: say, approve or deny"),
        (f"{HEAD}    validation: [{{rule: x}}]", "one outcome: say, approve or deny"),
        (f"{HEAD}    pends: []", "did you mean 'pend'?"),
        (f"{HEAD}    validation: [{{rule: x, approve: {{quantity: 1, quantities: {{A: 1}}}}}}]",
            "one quantity for all"),
        (f"{HEAD}    validation: [{{rule: x, approve: {{leave_out: {{A: n}}, quantities: {{A: 1}}}}}}]",
            "'A' is left out"),
        (f"{HEAD}    validation: [{{rule: x, approve: {{decision: not_required, quantities: {{A: 1}}}}}}]",
            "in no quan"),
        (f"{HEAD}  - step: a", "two steps are named 'a'"),
        (f"{HEAD}    pend:\n      - &x {{rule: x, pend: {{code: A, text: t}}}}\n      - *x", "aliases"),
        (f"{HEAD}    pend:\n{'      - {rule: x, pend: {code: A, text: t}}' + chr(10)}"
         "      - {rule: x, pend: {code: A, text: t}}", "two rules are named 'x'"),
        (f"{HEAD}    validation: [{{rule: x, approve: {{decision: certified_partial}}}}]", "needs a quantity"),
        (f"{HEAD}    validation: [{{rule: x, approve: {{unit: VIS}}}}]", "a unit needs a quantity"),
        (f"{HEAD}    callouts: [{{callout: x, python: nothing}}]", "write module:function"),
        ("rules: r\nsilence: approve\nsteps: [{step: a}]", "needs a number"),
        ("rules: r\nnumber: N\nsteps: [{step: a}]", "without {request}"),
        ("rules: r\nnumber: 'N{id}'\nsteps: [{step: a}]", "'{id}' is no placeholder"),
        ("rules: r\nsteps: []", "steps"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        load_rules(path)
    assert said in str(told.value)
    assert str(path) in str(told.value)
