"""The sample messages: each does what the file beside it says, and its replies are what the standard asks for."""

from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any

import hl7
import pytest

from hl7auth.domain.document import shown
from hl7auth.domain.intent import Record
from hl7auth.domain.key import shown_key
from hl7auth.errors import Fault
from hl7auth.flow.channel import Channel, find_channel
from hl7auth.flow.channel_model import SUPPORTED, Accepts
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.trial import try_out
from hl7auth.resources import shipped
from hl7auth.rules.check import check
from hl7auth.rules.compiled import compiled
from hl7auth.rules.profile import resolved
from hl7auth.rules.strict_yaml import Strict, load
from hl7auth.wire.message import Message, parse
from hl7auth.wire.versions import VERSIONS, at_least

FOLDER = shipped("sample_messages")
NAMES = sorted(path.stem for path in FOLDER.glob("*.hl7"))
samples = pytest.mark.parametrize("name", NAMES)


class Err(Strict):
    """One ERR of the reply: the code (ERR-3, ERR-1.4) and the place (ERR-2, ERR-1), with ERR-5 where it says more."""

    code: str
    at: str
    err_5: str = ""


class Expected(Strict):
    """The file beside a sample. `profile`: of the channel, else the shipped one; `after`: the samples sent before it.

    The rest is how things stand after it. `errors` and `warnings` are all there are, `authorizations` and
    `open_requests` too; of an authorization only the fields that are written down are compared.
    """

    about: str
    profile: str = "referral"
    after: tuple[str, ...] = ()
    outcome: Disposition
    replies: tuple[str, ...]
    errors: tuple[Err, ...]
    warnings: tuple[str, ...]
    authorizations: tuple[dict[str, Any], ...]
    open_requests: tuple[str, ...]


def raw(name: str) -> bytes:
    return (FOLDER / f"{name}.hl7").read_bytes()


@cache
def expected(name: str) -> Expected:
    return load(FOLDER / f"{name}.expected.yaml", Expected)


@cache
def sent(name: str) -> list[Outcome]:
    """The outcomes of what comes before a sample and of the sample itself, which is the last."""
    return try_out([raw(each) for each in (*expected(name).after, name)], on(expected(name).profile))


@cache
def on(profile: str) -> Channel:
    """The shipped channel with that profile."""
    shipped_channel = find_channel("referral-intake")
    file = shipped_channel.file.model_copy(update={"profile": profile})
    if profile != "referral":
        file = file.model_copy(update={"accepts": Accepts()})
    return shipped_channel.model_copy(update={"file": file})


def header(name: str) -> list[str]:
    """MSH as plain text, by HL7 number, of whatever the file holds."""
    text = raw(name).decode("latin_1")
    line = text[text.index("MSH") :].splitlines()[0]
    return ["MSH", line[3], *line.split(line[3])[1:], *[""] * 20]


def replies(name: str) -> list[Message]:
    return [parse(reply) for reply in sent(name)[-1].replies]


def records(name: str) -> list[Record]:
    """The authorizations and requests as a sample leaves them."""
    changes = chain.from_iterable(outcome.changes for outcome in sent(name))
    return list({change.record.key: change.record for change in changes}.values())


def errors_in(reply: Message) -> tuple[Err, ...]:
    """The ERR segments of a reply, in the form that its version asks for."""
    version = reply.header.version
    found = []
    for segment in reply.all("ERR"):
        if at_least(version, "2.5"):
            assert segment.field(1) == ""
            assert segment.value(3, 3) == "HL70357"
            assert segment.value(4) == "E"
            found.append(Err(code=segment.value(3), at=segment.field(2), err_5=segment.value(5)))
        else:
            for number, place in enumerate(segment.repetitions(1), start=1):
                at = reply.delimiters.component.join(place.split(reply.delimiters.component)[:3])
                code, text, system = (segment.value(1, 4, number, part) for part in (1, 2, 3))
                assert text
                assert system == ("HL70357" if at_least(version, "2.3.1") else "L")  # 2.3 had no table of codes yet
                found.append(Err(code=code, at=at.rstrip(reply.delimiters.component)))
    return tuple(found)


def differences(actual: Any, wanted: Any, path: str = "") -> Iterator[str]:
    """Where `actual` does not hold what is wanted: of mappings the wanted keys, of lists every entry."""
    if isinstance(wanted, dict) and isinstance(actual, dict):
        for key, value in wanted.items():
            yield from differences(actual.get(key), value, f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(actual, list) and len(wanted) == len(actual):
        for number, value in enumerate(wanted):
            yield from differences(actual[number], value, f"{path}[{number}]")
    elif actual != wanted:
        yield f"{path}: {actual!r} is not {wanted!r}"


@samples
def test_outcome_and_replies(name: str) -> None:
    assert sent(name)[-1].disposition == expected(name).outcome
    heads = [(reply.header.message_type, reply.header.trigger_event) for reply in replies(name)]
    events = [kind if kind == "ACK" else f"{kind}^{event}" for kind, event in heads]
    codes = [reply.all("MSA")[0].value(1) for reply in replies(name)]
    assert [f"{event} {code}" for event, code in zip(events, codes, strict=True)] == list(expected(name).replies)


@samples
def test_what_comes_before_a_sample_is_accepted(name: str) -> None:
    assert [outcome.disposition for outcome in sent(name)[:-1]] == ["accepted"] * len(expected(name).after)


@samples
def test_errors(name: str) -> None:
    wanted = expected(name).errors
    found = [finding for finding in sent(name)[-1].findings if finding.severity == "error"]
    places = ["^".join(str(part) for part in finding.location[:3] if part) for finding in found]
    assert [place if finding.location.segment else "" for place, finding in zip(places, found, strict=True)] == [
        "^".join(each.at.split("^")[:3]) for each in wanted
    ]
    answers = replies(name)
    if answers:
        assert errors_in(answers[-1]) == wanted
    else:
        assert [finding.code for finding in found] == [each.code for each in wanted]


@samples
def test_warnings(name: str) -> None:
    found = sorted(finding.path for finding in sent(name)[-1].findings if finding.severity == "warning")
    assert found == list(expected(name).warnings)


@samples
def test_authorizations(name: str) -> None:
    documents = {each.key: shown(each.document) for each in records(name) if not each.is_request}
    wanted = {each["key"]: each for each in expected(name).authorizations}
    assert sorted(documents) == sorted(wanted)
    assert list(differences(documents, wanted)) == []


@samples
def test_open_requests(name: str) -> None:
    assert sorted(shown_key(each.key) for each in records(name) if each.is_open) == sorted(expected(name).open_requests)


@samples
def test_replies_name_the_message_and_go_back_to_its_sender(name: str) -> None:
    msh = header(name)
    for reply in replies(name):
        back, msa = reply.segments[0], reply.segments[1]
        assert (back.field(5), back.field(6)) == (msh[3], msh[4])
        assert back.field(10) not in ("", msh[10])
        assert back.field(11) == msh[11]
        assert back.value(9, 2) == msh[9].split("^")[1]
        assert (msa.name, msa.field(2)) == ("MSA", msh[10])
        if msh[12].split("^")[0] in VERSIONS:
            assert (back.field(2), back.value(12)) == (msh[2], msh[12].split("^")[0])
        if at_least(back.value(12), "2.7"):
            assert msa.field(3) == ""
        if back.value(9) == "ACK":  # an accept acknowledgement asks for nothing, and an answer for no answer
            assert back.field(15) == back.field(16) == ""
        assert back.field(16) in ("", "NE")


@samples
def test_answers_pass_their_own_check_and_name_the_same_patient(name: str) -> None:
    for reply in replies(name):
        head = reply.header
        if head.message_type == "ACK":
            continue
        profile = compiled(expected(name).profile, head.version)
        structure = profile.structure_of(head.message_type, head.trigger_event)
        assert structure is not None
        where = profile.layout(structure, tuple(segment.name for segment in reply.segments))
        assert [each for each in check(reply, profile, where) if each.severity == "error"] == []
        assert reply.all("PID")[0].text.rstrip("|") == parse(raw(name)).all("PID")[0].text.rstrip("|")


@samples
def test_answers_say_how_things_stand(name: str) -> None:
    """Pended and approved (AUT-14, RF1-1 of table 0283, or MSA-3 while it exists) are said of what is so."""
    stands = {each.status for each in records(name)}
    for reply in replies(name):
        said = {aut.value(14) for aut in reply.all("AUT")} | {rf1.value(1) for rf1 in reply.all("RF1")}
        said.add(reply.all("MSA")[0].value(3))
        if said & {"pended", "PE", "P"}:
            assert stands & {"requested", "pended"}
        if "AP" in said:
            assert "approved" in stands


def test_a_duplicate_gets_the_very_reply_of_the_first() -> None:
    found = 0
    for name in NAMES:
        *before, last = sent(name)
        if last.disposition is Disposition.DUPLICATE:
            found += 1
            (first,) = (each for each in before if each.plan.message_id == last.duplicate_of)
            assert first.plan.digest == last.plan.digest
            assert first.plan.raw != last.plan.raw
            assert first.replies == last.replies
    assert found


def test_every_sample_has_its_outcome_beside_it() -> None:
    assert len(NAMES) >= 25
    assert sorted(path.name.removesuffix(".expected.yaml") for path in FOLDER.glob("*.yaml")) == NAMES


@samples
def test_the_name_says_what_the_sample_is_and_the_story_is_whole(name: str) -> None:
    msh, (_, kind, event, version, *_) = header(name), name.split("-")
    assert msh[9].lower().split("^")[:2] == [kind, event]
    assert msh[12].split("^")[0].split(" ")[0] == version.removeprefix("v")
    before = expected(name).after
    assert all(set(expected(each).after) <= set(before[:at]) for at, each in enumerate(before))


def test_every_version_and_every_event_is_accepted_somewhere() -> None:
    good = [header(name) for name in NAMES if expected(name).outcome is Disposition.ACCEPTED]
    assert {msh[12].split("^")[0] for msh in good} == set(VERSIONS)
    events = {f"{kind}^{event}" for kind, each in SUPPORTED.items() for event in each}
    dialect = resolved("network-zqa").dialect
    assert dialect is not None
    assert {"^".join(msh[9].split("^")[:2]) for msh in good} == events | (set(dialect.events) - {"ZPA^Z04"})


def is_well_formed(name: str) -> bool:
    """Several segments that end with CR, in a character set we know."""
    try:
        return len(parse(raw(name)).segments) > 1 and b"\n" not in raw(name)
    except Fault:
        return False


WELL_FORMED = [name for name in NAMES if is_well_formed(name)]


@pytest.mark.parametrize("name", WELL_FORMED)
def test_python_hl7_reads_the_same_segments_and_the_same_auts(name: str) -> None:
    ours = parse(raw(name))
    theirs = hl7.parse(raw(name).decode(ours.codec))
    assert [segment.name for segment in ours.segments] == [str(segment[0]) for segment in theirs]
    for mine, other in zip(ours.segments, theirs, strict=True):
        if mine.name == "AUT":
            assert mine.fields == [str(field) for field in other]


def test_the_oracle_leaves_out_only_what_is_ill_formed_on_purpose() -> None:
    left_out = "line-feeds garbage-before-msh joined-by-blanks unsupported-character-set"
    assert {name.split("-", 4)[4] for name in NAMES} - {name.split("-", 4)[4] for name in WELL_FORMED} == set(
        left_out.split()
    )
