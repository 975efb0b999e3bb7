"""Which answer a message asks for that is sent on: by its header, and by being an answer itself."""

import pytest

from hl7auth.flow import expected as expected_module
from hl7auth.flow.expected import UNREADABLE, Expected, expected
from tests.outbox import raw


def answering(modes: tuple[str, str] = ("", "")) -> bytes:
    """An answer with what was asked in it."""
    return raw("C1", modes, "RPA^I08").replace(b"\rPRD", b"\rMSA|AA|X\rPRD")


@pytest.mark.parametrize(
    ("content", "answer", "receipt"),
    [
        (raw("C1"), True, False),
        (raw("C1", ("NE", "AL")), True, True),
        (raw("C1", ("NE", "NE")), False, True),
        (raw("C1", ("ER", "NE")), False, True),
        (raw("C1", ("SU", "")), True, True),
        (raw("C1", ("odd", "")), True, False),
        (raw("C1", kind="ACK"), False, False),
        (raw("C1", ("AL", "NE"), "ACK"), False, True),
        (raw("C1", kind="MCF"), False, False),
        (answering(), False, False),
        (answering(("AL", "NE")), True, True),
        (answering().replace(b"\r", b"\n"), False, False),
        (raw("C1").replace(b"77001", b"MSA77001"), True, False),
        (raw("C1").replace(b"\r", b"\r\n"), True, False),
        (raw("C1", ("NE", "NE")).replace(b"|", b"#").replace(b"^", b"*"), False, True),
        (raw("C1", ("NE", "NE")).split(b"\r")[0], False, True),
        (b"MSH|^~\\&|EHR", True, False),
    ],
)
def test_what_is_asked_for(content: bytes, answer: bool, receipt: bool) -> None:
    assert expected(content) == Expected(answer, receipt)


@pytest.mark.parametrize("content", [b"", b"\r", b"MSH", b"no message", b"MSH|", raw("C1")[1:]])
def test_what_can_not_be_read_is_always_answered(content: bytes) -> None:
    assert expected(content) == UNREADABLE


def test_messages_that_ask_for_the_same_are_told_apart_from_others() -> None:
    assert [expected(raw(f"C{number}", modes)).answer for number in (1, 2) for modes in (("", ""), ("NE", "NE"))] == [
        True, False, True, False,
    ]  # fmt: skip


def test_headers_of_any_length_are_not_kept() -> None:
    kept = expected_module._expected.cache_info().currsize
    for number in range(10):
        assert expected(raw(f"C{number}", ("AL" + "X" * 100_000 + str(number), ""))) == Expected(
            answer=True, receipt=False
        )
    assert expected_module._expected.cache_info().currsize == kept
