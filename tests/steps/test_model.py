"""Mistakes of writers: each is named by file, line and key, with what is allowed."""

from pathlib import Path

import pytest

from hl7auth.errors import ConfigError
from hl7auth.steps.model import STEPS, StepsFile, verb_of
from hl7auth.steps.run import load_steps

VERBS = ", ".join(STEPS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- sett: {PID-8: U}", ":2: steps.0: unknown step 'sett' (did you mean 'set'?)"),
        ("- frobnicate: 1", f":2: steps.0: unknown step 'frobnicate' (allowed: {VERBS})"),
        ("- 5", f":2: steps.0: a step is a mapping with one verb (allowed: {VERBS})"),
        ("- {}", f":2: steps.0: a step is a mapping with one verb (allowed: {VERBS})"),
        ("- {set: {PID-8: U}, drop: PID-8 valued}", ":2: steps.0: a step is a mapping with one verb"),
        ("- set: {PID-8: 1}", ":2: steps.0.set.PID-8: a text is expected: write the value in quotes"),
        ("- set: {PID-8: no}", ":2: steps.0.set.PID-8: a text is expected: write the value in quotes"),
        ("- set:\n    PID-7: A\n    PIDX: U", ":4: steps.0.set.PIDX: 'PIDX' is no place"),
        ("- set: {MSH-2: U}", ":2: steps.0.set.MSH-2: MSH-2 holds the delimiters"),
        ("- set: {PID-5: A^B}", ":2: steps.0.set.PID-5: say what the signs mean: {hl7: 'A^B'} for components"),
        ("- set: {PID-5.1: {hl7: A^B}}", ":2: steps.0: PID-5.1: '^' has no place in a component"),
        ("- set: {PID-5: {hl7: 'A|B'}}", ":2: steps.0: PID-5: '|' has no place in a field"),
        ("- set: {PID-5.1.1: {hl7: 'A&B'}}", "PID-5.1.1: '&' has no place in a subcomponent"),
        ("- set: {PID-5: {hl: AB}}", ":2: steps.0.set.PID-5.hl: unknown key (did you mean 'hl7'?)"),
        ("- set: {PID-5: {}}", "one of the keys text and hl7 is expected"),
        ("- set: {}", ":2: steps.0.set: "),
        ("- set: {PID-5: U}\n  seconds: 2", ":3: steps.0.seconds: unknown key (allowed: set)"),
        ("- when: AUT-1 valued\n  steps:\n  - copy: {from: AUT-1, too: X}", "unknown key (did you mean 'to'?)"),
        ("- when: AUT-1 valued\n  steps:\n  - copy: {from: AUT-1}", ":4: key 'steps.0.steps.0.copy.to' is missing"),
        ("- when: AUT-1 valued", ":2: key 'steps.0.steps' is missing"),
        ("- when: AUT-1 == 'X'\n  steps: [drop: A]", ":2: steps.0.when: a path like AUT-6.1 or a literal is expected"),
        ("- drop: group.AUT-1 valued", ":2: steps.0.drop: a step knows no groups"),
        ("- drop: this.1 valued", ":2: steps.0.drop: 'this' has a meaning only where repetitions are removed"),
        (
            "- each: AUT[2]\n  steps: [drop: AUT-1 valued]",
            ":2: steps.0.each: AUT[2]: the name of a segment is expected",
        ),
        ("- copy: {from: 'AUT[*]-1', to: ZAU-2}", "[*] where a value is read needs [*] at every segment"),
        ("- copy: {from: 'AUT-1[*]', to: ZAU-2}", "[*] behind a field that is read: leave it out"),
        ("- split: {from: AUT-1, at: '', to: [AUT-1, AUT-2]}", ":2: steps.0.split.at:"),
        ("- split: {from: AUT-1, at: x, to: [AUT-1]}", ":2: steps.0.split.to:"),
        ("- join: {from: [AUT-1], to: AUT-2}", ":2: steps.0.join.from:"),
        ("- translate: {field: AUT-1, table: {A: B}, unmapped: refuze}", "unmapped: 'refuze' (did you mean 'refuse'?)"),
        ("- translate: {field: AUT-1, table: {A: 1}}", ":2: steps.0.translate.table.A: a text is expected"),
        ("- date: {field: AUT-4, to: YYMMDD}", ":2: steps.0.date.to: 'YYMMDD' is no date format"),
        (
            "- date: {field: AUT-4, to: YYYY, invalid: drop}",
            ":2: steps.0.date.invalid: Input should be 'keep', 'empty' or",
        ),
        ("- name: {field: PID-5.1, case: upper}", "PID-5.1 names a component, and a field is expected"),
        ("- name: {field: PID-5}", ":2: steps.0.name: one of the keys from, to and case is expected"),
        ("- name: {field: PID-5, to: first last}", ":2: steps.0.name.to: 'first last' is no name format"),
        ("- add: {segment: za|1}", ":2: steps.0.add.segment: a segment is expected"),
        ("- add: {segment: 'MSH|^~\\&'}", ":2: steps.0.add.segment: a segment is expected"),
        ("- add: {after: AUT}", ":2: steps.0.add: one of the keys segment and repetition is expected"),
        ("- add: {repetition: A}", ":2: steps.0.add: the keys repetition and to go together"),
        ("- add: {repetition: A~B, to: PID-3}", "PID-3[1]: '~' has no place in a repetition"),
        ("- add: {repetition: A, to: 'PID-3[2]'}", "names a repetition, and the new one is always the last"),
        ("- add: {segment: ZAU, after: AUT, before: PID}", "a segment goes behind or before another"),
        ("- remove: {segment: MSH}", ":2: steps.0.remove.segment: there is no message without MSH"),
        ("- remove: {repetition: PID-3}", ":2: steps.0.remove: repetition: say which, as PID-3[2]"),
        ("- remove: {where: PID-3 valued}", "one of the keys segment and repetition is expected"),
        ("- remove: {segment: PID, where: this.1 valued}", "'this' has a meaning only where repetitions are removed"),
        ("- remove: {segment: PID, where: group.PID-3 valued}", ":2: steps.0.remove.where: a step knows no groups"),
        ("- version: '2.2'", ":2: steps.0.version: unknown version '2.2' (allowed: 2.3, 2.3.1,"),
        ("- version: 2.4", ":2: steps.0.version: a text is expected: write the value in quotes"),
        ("- version: {to: '2.4', err: drop}", ":2: steps.0.version.err: Input should be 'convert' or 'keep'"),
        ("- charset: latin-1", ":2: steps.0.charset: unknown character set 'latin-1' (allowed: ASCII, 8859/1"),
        ("- charset: UNICODE UTF-16", ":2: steps.0.charset: unknown character set 'UNICODE UTF-16'"),
        ("- python: tidy", ":2: steps.0.python: 'tidy' is no function: write module:function"),
        ("- python: site:tidy\n  seconds: 61", ":3: steps.0.seconds: Input should be less than or equal to 60"),
        ("- python: site:tidy\n  second: 1", ":3: steps.0.second: unknown key (did you mean 'seconds'?)"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"steps:\n{text}\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_steps(path)
    assert str(caught.value).startswith(f"{path}:")
    assert said in str(caught.value)


def test_every_verb_has_a_model_and_a_tag() -> None:
    steps = [
        {"match": "PID present"},
        {"drop": "PID present"},
        {"when": "PID present", "steps": [{"drop": "PID present"}]},
        {"each": "AUT", "when": "AUT-1 valued", "steps": [{"drop": "PID present"}]},
        {"set": {"PID-8": "U"}},
        {"copy": {"from": "PID-8", "to": "PID-9"}},
        {"move": {"from": "PID-8", "to": "PID-9"}},
        {"split": {"from": "PID-8", "at": " ", "to": ["PID-8", "PID-9"]}},
        {"join": {"from": ["PID-8", "PID-9"], "to": "PID-8"}},
        {"translate": {"field": "PID-8", "table": {"A": "B"}}},
        {"date": {"field": "PID-7", "to": "YYYYMMDD"}},
        {"name": {"field": "PID-5", "case": "upper"}},
        {"add": {"segment": "ZAU|1"}},
        {"remove": {"segment": "ZAU"}},
        {"version": "2.8"},
        {"charset": "ASCII"},
        {"python": "site:tidy"},
    ]
    read = StepsFile.model_validate({"steps": steps}).steps
    assert [verb_of(step) for step in read] == [verb_of(step) for step in steps] == list(STEPS)
    assert StepsFile.model_validate({"steps": read}).steps == read
    assert "hl7" in str(StepsFile.model_json_schema())
