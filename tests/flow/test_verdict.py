"""What answers mean: every line of the table, and the pauses."""

import pytest

from hl7auth.flow.verdict import (
    KEPT_OF_ANSWER,
    TABLE,
    Act,
    Answer,
    Policy,
    Verdict,
    control_id_of,
    judge,
    key_fault,
    looked_up,
    pause,
    read_answer,
)

NOW = 1_000_000_000
EXPECTED = {
    "AA": "sent", "CA": "sent", "AE": "park", "AE 206": "retry", "AE 207": "retry", "AR": "retry", "AR 103": "park",
    "AR 200": "park", "AR 201": "park", "AR 202": "park", "AR 203": "park", "CE": "park", "CE 206": "retry",
    "CE 207": "retry", "CR": "park", "CR 207": "retry", "written": "sent", "timeout": "retry", "closed": "retry",
    "unreadable": "retry", "failed": "retry", "unshaped": "park", "filtered": "skip",
    "HTTP 2": "sent", "HTTP 3": "park", "HTTP 4": "park", "HTTP 401": "stop",
    "HTTP 403": "stop", "HTTP 404": "stop", "HTTP 405": "stop", "HTTP 408": "retry", "HTTP 425": "retry",
    "HTTP 429": "retry", "HTTP 5": "retry",
}  # fmt: skip


def test_the_table_is_what_it_is_said_to_be() -> None:
    assert {key: act.value for key, act in TABLE.items()} == EXPECTED
    assert [key for key in TABLE if key_fault(key)] == ["written", "filtered"]  # which nobody says


@pytest.mark.parametrize("key", EXPECTED)
def test_each_line_is_found_by_its_answer(key: str) -> None:
    code, condition = (key, "") if key.startswith("HTTP") else (key.partition(" ")[0], key.partition(" ")[2])
    verdict = judge(Answer(code, condition), 1, Policy(), NOW, 0.5)
    assert verdict.act == EXPECTED[key]
    assert verdict.reason == key
    assert verdict.due_at == (NOW + 1_000_000 if verdict.act is Act.RETRY else 0)


@pytest.mark.parametrize(
    ("answer", "act"),
    [
        (Answer("AE", "101"), Act.PARK),
        (Answer("AR", "207"), Act.RETRY),
        (Answer("HTTP 204"), Act.SENT),
        (Answer("HTTP 302"), Act.PARK),
        (Answer("HTTP 422"), Act.PARK),
        (Answer("HTTP 503"), Act.RETRY),
        (Answer("HTTP 100"), Act.PARK),
        (Answer("what nobody foresaw"), Act.PARK),
    ],
)
def test_the_most_exact_line_counts_and_what_has_none_is_for_a_person(answer: Answer, act: Act) -> None:
    assert looked_up(answer, TABLE) is act


def test_a_destination_can_say_otherwise() -> None:
    table = {**TABLE, "AE 205": Act.SENT, "AE": Act.STOP}
    assert looked_up(Answer("AE", "205"), table) is Act.SENT
    assert looked_up(Answer("AE", "101"), table) is Act.STOP


@pytest.mark.parametrize(
    ("attempts", "dice", "seconds"),
    [(1, 0.5, 1), (2, 0.5, 2), (4, 0.5, 8), (5, 0.5, 10), (2000, 0.5, 10), (1, 0, 0.8), (1, 1, 1.2), (9, 1, 12)],
)
def test_pauses_grow_up_to_a_bound_and_are_moved_by_chance(attempts: int, dice: float, seconds: float) -> None:
    assert pause(Policy(most_seconds=10), attempts, dice) == pytest.approx(seconds)


@pytest.mark.parametrize(("then", "attempts", "act"), [(Act.PARK, 3, Act.PARK), (Act.DEAD, 4, Act.DEAD),
                                                      (Act.DEAD, 2, Act.RETRY)])  # fmt: skip
def test_after_so_many_attempts_it_is_given_up(then: Act, attempts: int, act: Act) -> None:
    verdict = judge(Answer("timeout"), attempts, Policy(attempts=3, then=then), NOW, 0.5)
    assert verdict.act is act
    assert verdict.reason == ("timeout" if act is Act.RETRY else f"timeout; given up after {attempts} attempts")


def test_the_text_of_a_failure_is_part_of_the_reason() -> None:
    assert judge(Answer("failed", text="no space left on device"), 1, Policy(), NOW, 0.5) == Verdict(
        Act.RETRY, "failed: no space left on device", NOW + 1_000_000
    )


@pytest.mark.parametrize("key", ["AA", "CR 207", "AE 205", "HTTP 4", "HTTP 503", "timeout", "closed", "unreadable"])
def test_keys_that_there_are(key: str) -> None:
    assert key_fault(key) == ""


@pytest.mark.parametrize("key", ["", "BA", "AAA", "HTTP 42", "HTTP 600", "503", "AE  207"])
def test_keys_that_there_are_not(key: str) -> None:
    assert f"'{key}' is no answer" in key_fault(key)


MSH = b"MSH|^~\\&|A|B|C|D|2026||ACK|9|P|2.5\r"


@pytest.mark.parametrize(
    ("rest", "code", "condition"),
    [
        (b"MSA|AA|C1\r", "AA", ""),
        (b"MSA|CE|C1", "CE", ""),
        (b"MSA|AE|C1\rERR||AUT^1^2|101^Required^HL70357|E\r", "AE", "101"),
        (b"MSA|AE|C1\nERR|PID^1^3^204&Unknown&HL70357\n", "AE", "204"),
        (b"MSA|AE|C1\rERR|PID^1\r", "AE", ""),
        (b"MSA|AE|C1\rERR\r", "AE", ""),
        (b"MSA|AA|C1\rERR|||0^ok|I\r", "AA", ""),
    ],
)
def test_an_answer_is_read_with_its_code_and_condition(rest: bytes, code: str, condition: str) -> None:
    read = read_answer(MSH + rest)
    assert read is not None
    answer, about = read
    assert (answer.code, answer.condition, about) == (code, condition, "C1")
    assert answer.raw == MSH + rest


def test_other_delimiters_and_long_answers() -> None:
    read = read_answer(b"MSH#*~\\&#A#B#C#D#2026##ACK#9#P#2.5\rMSA#AR#C 1 \rERR###203*x\r" + b"N" * KEPT_OF_ANSWER)
    assert read is not None
    assert (read[0].condition, read[1], len(read[0].raw)) == ("203", "C 1", KEPT_OF_ANSWER + 59)  # the store keeps less


@pytest.mark.parametrize("raw", [b"", b"hello", MSH, MSH + b"PID|1\r", MSH + b"MSA|OK|C1\r"])
def test_what_is_no_answer(raw: bytes) -> None:
    assert read_answer(raw) is None


@pytest.mark.parametrize(
    ("raw", "control_id"),
    [(MSH, "9"), (b"MSH|^~\\&|||||||ADT", ""), (b"", ""), (b"MSH#^~\\&#######ADT# X1 #P", "X1")],
)
def test_the_control_id_that_is_sent(raw: bytes, control_id: str) -> None:
    assert control_id_of(raw) == control_id
