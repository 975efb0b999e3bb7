"""One alert when something begins, and one when it has ended, whatever flickers between."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hl7auth.flow.alert import Rule
from hl7auth.flow.incident import Incident, Watch
from hl7auth.flow.reading import MINUTE, Reading

RULE = Rule(name="deep", queue_depth=5, after_minutes=2, clear_minutes=3, notify=("desk",))
PLAIN = Rule(name="deep", queue_depth=5, clear_minutes=0)


def told(watch: Watch, rule: Rule, *held: bool | None, start: int = 0) -> list[str]:
    """What is told of one reading a minute, by a letter each: o(pened), r(esolved), or a dot."""
    said = []
    for minute, holds in enumerate(held, start=start):
        events = watch.look([Reading(rule, "north/payer", holds, "it")], minute * MINUTE)
        said += [event.what[0] for event in events] or ["."]
    return said


def test_it_opens_when_it_lasts_and_ends_when_that_lasts() -> None:
    watch = Watch([RULE])
    assert told(watch, RULE, True, True, True, True) == [".", ".", "o", "."]
    assert told(watch, RULE, False, False, False, False, False, start=4) == [".", ".", ".", "r", "."]
    assert watch.open == {}


def test_what_comes_and_goes_is_one_incident() -> None:
    watch = Watch([RULE])
    assert "o" not in told(watch, RULE, *[True, True, False] * 5)
    assert told(watch, RULE, True, True, True, start=20) == [".", ".", "o"]
    assert set(told(watch, RULE, *[False, False, True] * 5, start=23)) == {"."}


def test_what_can_not_be_told_changes_nothing() -> None:
    watch = Watch([PLAIN])
    assert told(watch, PLAIN, None, True, None, None, False, None) == [".", "o", ".", ".", "r", "."]


def test_after_a_restart_what_is_known_is_not_told_again() -> None:
    known = Incident("deep", "north/payer", "warning", 0, "it")
    watch = Watch([PLAIN], [known])
    assert told(watch, PLAIN, None, True, True, False) == [".", ".", ".", "r"]


def test_each_subject_is_an_incident_of_its_own_and_is_told_as_its_rule_says() -> None:
    watch = Watch([RULE, PLAIN])
    events = watch.look([Reading(PLAIN, name, True, f"{name} is deep") for name in ("a/x", "a/y")], 7)
    assert [(event.incident.key, event.notify) for event in events] == [
        (("deep", "a/x"), None),
        (("deep", "a/y"), None),
    ]
    entry = events[0].entry()
    assert (entry["event"], entry["rule"], entry["subject"], entry["text"]) == ("opened", "deep", "a/x", "a/x is deep")
    assert entry["opened_at"] == "1970-01-01T00:00:00.000+00:00"


def test_what_nobody_watches_any_more_has_ended() -> None:
    known = [Incident(rule, "north", "warning", 0, "it") for rule in ("gone", "deep")]
    watch = Watch([RULE], known)
    (event,) = watch.forget([("deep", "north")], 9)
    assert (event.what, event.incident.rule, event.text) == ("resolved", "gone", "north is no longer watched for this")
    assert list(watch.open) == [("deep", "north")]


@given(st.lists(st.sampled_from([True, False, None]), max_size=60), st.integers(0, 4), st.integers(0, 4))
def test_openings_and_ends_take_turns(held: list[bool | None], after: int, clear: int) -> None:
    rule = Rule(name="deep", queue_depth=5, after_minutes=after, clear_minutes=clear)
    watch = Watch([rule])
    said = [each for each in told(watch, rule, *held) if each != "."]
    assert said == list(itertools.islice(itertools.cycle("or"), len(said)))
    assert bool(watch.open) == (len(said) % 2 == 1)
