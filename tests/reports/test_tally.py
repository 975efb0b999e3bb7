"""What many reports come to."""

from hl7auth.reports.tally import Tally
from tests.reports.reported import BAD, GOOD, UNUSABLE, report


def test_messages_are_counted_by_verdict_and_findings_by_rule() -> None:
    tally = Tally()
    tally.add([report(GOOD), report(BAD, number=2)])
    tally.add([report(BAD, file="d.hl7")])
    tally.add([UNUSABLE])
    assert (tally.files, tally.messages, tally.clean, tally.failed, tally.unusable) == (3, 4, 1, 2, 1)
    assert tally.exit == 2
    assert tally.profiles == {"aut-standard": 3}
    worst = tally.by_rule()[0]
    assert (worst.severity, worst.messages) == ("error", 2)
    assert worst.example.startswith("a/b.hl7[2], AUT")


def test_a_later_part_of_a_file_is_no_new_file() -> None:
    tally = Tally()
    tally.add([report(GOOD)])
    tally.add([report(GOOD, number=2)], begins=False)
    assert (tally.files, tally.messages) == (1, 2)


def test_two_tallies_together_are_one_of_all() -> None:
    whole, one, other = Tally(), Tally(), Tally()
    first, second = [report(GOOD), report(BAD)], [report(BAD), UNUSABLE]
    for tally, reports in ((whole, first), (whole, second), (one, first), (other, second)):
        tally.add(reports)
    one.merge(other)
    assert one == whole


def test_the_worst_and_most_frequent_rule_comes_first() -> None:
    tally = Tally()
    tally.add([report(BAD)])
    severities = [rule.severity for rule in tally.by_rule()]
    assert severities == sorted(severities, key=["error", "warning", "information"].index)
