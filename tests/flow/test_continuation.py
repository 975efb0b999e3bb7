"""Continued messages (chapter 2, 2.10.2): parts told from wholes, joined byte for byte, or refused as a whole."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.errors import ConfigError, Fault
from hl7auth.flow.channel import load_channel
from hl7auth.flow.channel_doubts import channel_doubts
from hl7auth.flow.channel_protocol import Agreed, Continued
from hl7auth.flow.continuation import joined
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.trial import try_out
from hl7auth.net.shaping import check_steps
from tests.engine import answer, request
from tests.messages import channel, texts

JOIN = channel(protocol=Agreed(continuation="join"))
WHOLE = request("C1", "PA1")


def head(control_id: str, continues: str = "", modes: tuple[str, str] = ("", ""), of: bytes = WHOLE) -> bytes:
    """The MSH of `of` under another control id, with MSH-14 to MSH-16."""
    fields = of.partition(b"\r")[0].split(b"|") + [b""] * 20
    fields[9], fields[13] = control_id.encode(), continues.encode()
    fields[14:16] = [mode.encode() for mode in modes]
    return b"|".join(fields).rstrip(b"|") + b"\r"


def parts(whole: bytes = WHOLE, modes: tuple[str, str] = ("", ""), name: str = "K") -> list[bytes]:
    """A message in three parts, the second of which begins in the middle of a segment."""
    lines = whole.rstrip(b"\r").split(b"\r")[1:]
    cut = len(lines[-1]) // 2
    first = head("C1", modes=modes, of=whole) + lines[0] + f"\rDSC|{name}1|F\r".encode()
    middle = b"\r".join([*lines[1:-1], lines[-1][:cut], b"ADD", f"DSC|{name}2\r".encode()])
    last = b"ADD|" + lines[-1][cut:] + b"\r"
    return [first, head("C2", f"{name}1", modes, whole) + middle, head("C3", f"{name}2", modes, whole) + last]


def codes(outcome: Outcome) -> list[str]:
    return [line[4:9].rstrip("|") for reply in texts(outcome) for line in reply if line.startswith("MSA")]


def dispositions(outcomes: list[Outcome]) -> list[str]:
    return [str(each.disposition) for each in outcomes]


def rules(outcome: Outcome) -> list[str]:
    return [each.rule for each in outcome.findings]


def test_p69_three_parts_are_one_message_with_one_answer_about_the_first() -> None:
    outcomes = try_out(parts(modes=("AL", "AL")), JOIN)
    assert dispositions(outcomes) == ["part", "part", "part"]
    assert [codes(each) for each in outcomes] == [["CA|C1"], ["CA|C2"], ["CA|C3", "AA|C1"]]
    whole = outcomes[2].joined
    assert whole is not None
    assert whole.plan.raw == head("C1", modes=("AL", "AL")) + WHOLE.partition(b"\r")[2]
    assert [change.record.key for change in whole.changes] == [
        change.record.key for change in try_out([WHOLE], JOIN)[0].changes
    ]


def test_original_mode_answers_every_part_and_the_whole_once() -> None:
    outcomes = try_out(parts(), JOIN)
    assert [codes(each) for each in outcomes] == [["AA|C1"], ["AA|C2"], ["AA|C1"]]
    assert texts(outcomes[0])[0][1] == "MSA|AA|C1|a part; kept until the rest has come"
    assert texts(outcomes[2])[0][0].split("|")[8] == "RPA^I08^RPA_I08"


def test_parts_of_an_answer_are_not_answered_in_original_mode() -> None:
    outcomes = try_out([request("C1", "PA1"), *parts(answer("D1", "C1", "PA1"))], JOIN)
    assert [codes(each) for each in outcomes[1:]] == [[], [], []]
    assert outcomes[3].joined is not None
    assert outcomes[3].joined.disposition is Disposition.ACCEPTED


def test_a_bad_whole_is_refused_once_about_the_first_part() -> None:
    bad = WHOLE.replace(b"|ACME|", b"||")
    last = try_out(parts(bad, modes=("AL", "AL")), JOIN)[2]
    assert codes(last) == ["CA|C3", "AE|C1"]
    assert last.joined is not None
    assert last.joined.disposition is Disposition.REFUSED
    only_accepts = try_out(parts(bad, modes=("AL", "NE")), JOIN)[2]
    assert codes(only_accepts) == ["CE|C3"]
    assert "101^Required field missing^HL70357" in "\r".join(texts(only_accepts)[0])


def test_a_part_that_comes_again_is_not_joined_twice() -> None:
    first, second, third = parts()
    outcomes = try_out([first, first, second, second, third], JOIN)
    assert dispositions(outcomes) == ["part", "duplicate", "part", "duplicate", "part"]
    assert outcomes[4].joined is not None
    assert outcomes[4].joined.plan.raw == WHOLE


def test_a_part_without_those_before_it_is_refused() -> None:
    first, second, third = parts()
    lost, kept, gap = try_out([second, first, third], JOIN)
    assert [rules(lost), dispositions([kept]), rules(gap)] == [
        ["continuation.unknown"],
        ["part"],
        ["continuation.unknown"],
    ]


def test_senders_with_the_same_pointers_are_kept_apart() -> None:
    other = [part.replace(b"|EHR|NORTH|", b"|EHR|EAST|").replace(b"|PA1|", b"|PA9|") for part in parts()]
    mixed = [part for pair in zip(parts(), other, strict=True) for part in pair]
    outcomes = try_out(mixed, JOIN)
    whole, others = outcomes[4].joined, outcomes[5].joined
    assert whole is not None
    assert others is not None
    assert whole.plan.raw == WHOLE
    assert others.plan.raw == WHOLE.replace(b"|NORTH|", b"|EAST|").replace(b"|PA1|", b"|PA9|")


def test_two_messages_of_one_sender_need_two_pointers() -> None:
    again = parts()[0].replace(b"|C1|", b"|C8|")
    first, clash, second, third = try_out([parts()[0], again, *parts()[1:]], JOIN)
    assert (dispositions([first, second, third]), rules(clash)) == (["part"] * 3, ["continuation.pointer"])
    other = parts(name="L")[0].replace(b"|C1|", b"|C8|")
    assert dispositions(try_out([parts()[0], other], JOIN)) == ["part", "part"]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [(b"|P|2.5", b"|P|2.5.1", "MSH-12"), (b"RQA^I08", b"RQA^I09", "MSH-9"), (b"|PAYER|", b"|OTHER|", "MSH-5")],
)
def test_a_part_of_something_else_is_refused_and_the_message_goes_on(old: bytes, new: bytes, field: str) -> None:
    first, second, third = parts()
    outcomes = try_out([first, second.replace(old, new), second, third], JOIN)
    assert rules(outcomes[1]) == ["continuation.differs"]
    assert outcomes[1].findings[0].text.startswith(field)
    assert outcomes[3].joined is not None


@pytest.mark.parametrize("bounds", [Continued(parts=2), Continued(bytes=1_024)])
def test_what_grows_too_large_is_refused_as_a_whole(bounds: Continued) -> None:
    on = channel(protocol=Agreed(continuation="join", continued=bounds))
    outcomes = try_out(parts(WHOLE + b"NTE|1||" + b"x" * 700 + b"\rNTE|2||" + b"y" * 700 + b"\r"), on)
    refused = next(each for each in outcomes if each.disposition is Disposition.REFUSED)
    assert rules(refused) == ["continuation.large"]
    assert refused.joined is not None
    assert (refused.joined.disposition, refused.joined.changes) == (Disposition.REFUSED, ())
    assert all(each.disposition is not Disposition.ACCEPTED for each in outcomes)


def test_only_so_many_may_be_open() -> None:
    on = channel(protocol=Agreed(continuation="join", continued=Continued(open=2)))
    firsts = [parts(name=name)[0].replace(b"|C1|", f"|C{name}|".encode()) for name in "KLM"]
    outcomes = try_out(firsts, on)
    assert [dispositions(outcomes[:2]), rules(outcomes[2])] == [["part", "part"], ["continuation.many"]]


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (WHOLE + b"DSC|\r", "continuation.pointer"),
        (WHOLE + b"DSC|K|I\r", "continuation.part"),
        (WHOLE + b"DSC|K\rNTE|1||x\r", "continuation.part"),
        (WHOLE + b"DSC|K\rDSC|L\r", "continuation.part"),
        (WHOLE.replace(b"\rPRD", b"\rADD|x\rPRD"), "continuation.part"),
    ],
)
def test_what_is_no_proper_part_is_refused(raw: bytes, rule: str) -> None:
    (outcome,) = try_out([raw], JOIN)
    assert (outcome.disposition, rules(outcome)) == (Disposition.REFUSED, [rule])


def test_add_inside_of_one_message_goes_on_with_the_segment_before_it() -> None:
    at = WHOLE.index(b"Health")
    split = WHOLE[:at] + b"\rADD|" + WHOLE[at : at + 3] + b"\rADD|" + WHOLE[at + 3 :]
    (outcome,), (plain,) = try_out([split], JOIN), try_out([WHOLE], JOIN)
    assert (outcome.disposition, outcome.plan.raw) == (Disposition.ACCEPTED, split)
    assert outcome.changes[0].record.document == plain.changes[0].record.document


def test_a_channel_that_does_not_join_refuses_parts() -> None:
    assert dispositions(try_out(parts(), channel())) == ["refused"] * 3


def test_an_add_with_nothing_before_it_is_said_when_the_whole_is_there() -> None:
    first = head("C1") + b"DSC|K1\r"
    last = head("C2", "K1") + b"ADD|x\r" + WHOLE.partition(b"\r")[2]
    outcome = try_out([first, last], JOIN)[1]
    assert outcome.joined is not None
    assert (outcome.joined.disposition, rules(outcome.joined)) == (Disposition.REFUSED, ["continuation.part"])


@given(st.data())
def test_a_message_cut_anywhere_is_joined_as_it_was(data: st.DataObject) -> None:
    text = "MSH|^~\\&|A|B|C|D|2026||RQA^I08|C1|P|2.5||||||UNICODE UTF-8\rPID|1||Żółć\rNTE|1||ä€𝄞 and more\r"
    lines = text.rstrip("\r").split("\r")
    line = data.draw(st.integers(1, 2))
    cut = data.draw(st.integers(3, len(lines[line])))
    one = "\r".join([*lines[:line], lines[line][:cut], "ADD", "DSC|K"]) + "\r"
    other = "\r".join([lines[0].replace("|||||", "||K|||", 1), f"ADD|{lines[line][cut:]}", *lines[line + 1 :]]) + "\r"
    if cut == 3:
        return  # a bare name is a segment, but MSH is not what an ADD goes on with
    assert joined([one.encode(), other.encode()], "8859/1") == text.encode()


def test_parts_that_can_not_be_read_raise_a_fault() -> None:
    with pytest.raises(Fault):
        joined([b"MSH|^~\\&|A\r", b"garbage"], "8859/1")


def test_steps_shape_the_whole_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "north.yaml"
    steps = "steps:\n- {set: {AUT-3: Acme of the north}}\n"
    path.write_text(f"channel: north\nlisten: tcp:0\nprotocol: {{continuation: join}}\n{steps}", encoding="utf-8")
    whole = try_out(parts(), load_channel(path))[2].joined
    assert whole is not None
    assert whole.plan.raw == WHOLE
    assert whole.plan.shaping is not None
    assert b"|Acme of the north|" in (whole.plan.shaping.raw or b"")
    (added,) = try_out([WHOLE.replace(b"Health", b"\rADD|Health")], load_channel(path))
    assert added.disposition is Disposition.ACCEPTED
    assert added.plan.shaping is not None
    assert b"|Acme of the north|" in (added.plan.shaping.raw or b"")


def test_parts_and_steps_in_python_do_not_go_together(tmp_path: Path) -> None:
    path = tmp_path / "north.yaml"
    path.write_text(
        "channel: north\nlisten: tcp:0\nsteps:\n- python: site:tidy\nprotocol: {continuation: join}\n", encoding="utf-8"
    )
    (doubt,) = [each for each in channel_doubts(load_channel(path), [], lambda _: b"", 0) if "Python" in each.text]
    assert (doubt.key, doubt.place.endswith("north.yaml:5"), doubt.fails) == ("protocol.continuation", True, True)
    with pytest.raises(ConfigError, match=r"north.yaml:5: protocol.continuation: parts can be joined only"):
        check_steps([load_channel(path)])
