"""One profile for all messages of a channel, or the first of several that a message fits."""

from pathlib import Path

import pytest

from hl7auth.errors import ConfigError
from hl7auth.flow.channel import Channel, load_channel
from hl7auth.flow.channel_leaves import plain, spelled
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.channel_reach import choices, unreached
from hl7auth.flow.decision import Disposition
from tests.messages import VISIT, Trial, aut, request, rules, texts

CHOICE = """\
profile:
  - {when: "MSH-4.1 = 'STRICT'", profile: referral-strict}
  - {when: "MSH-9.1 in {'ZQA', 'ZPA'} and MSH-12.1 = '2.4'", profile: network-zqa}
  - profile: referral
"""


@pytest.fixture
def north(tmp_path: Path) -> Channel:
    return written(tmp_path, CHOICE)


def written(folder: Path, more: str) -> Channel:
    path = folder / "north.yaml"
    path.write_text(f"channel: north\nlisten: tcp:1:interface=127.0.0.1\n{more}", encoding="utf-8")
    return load_channel(path)


def test_the_first_that_fits_is_taken_and_the_last_is_for_all_others(north: Channel) -> None:
    assert north.file.profiles == ("referral-strict", "network-zqa", "referral")
    asked = aut({6: "PA1^NORTH^1.2.3^NOSUCH", 8: "3"})  # a kind of universal id that table 0301 does not have
    found = [Trial(north).send(request(VISIT, asked, sender=f"EHR|{name}")) for name in ("NORTH", "STRICT")]
    assert [each.disposition for each in found] == [Disposition.ACCEPTED, Disposition.REFUSED]
    assert [rules(each) & {"AUT-6.4.table"} for each in found] == [{"AUT-6.4.table"}] * 2


def test_a_partners_own_messages_are_taken_where_their_profile_is_chosen(north: Channel) -> None:
    raw = (
        request(VISIT, aut({8: "3"}), version="2.4")
        .replace(b"RQA^I08", b"ZQA^Z02")
        .replace(b"\rPRD|", b"\rZAU||0\rPRD|")
    )
    taken = Trial(north).send(raw)
    assert (taken.disposition, rules(taken) & {"protocol.200"}) == (Disposition.ACCEPTED, set())
    (reply,) = texts(taken)
    assert reply[0].split("|")[8] == "ZPA^Z02^ZPA_Z02"
    other = Trial(north).send(raw.replace(b"|2.4", b"|2.5"))
    assert (other.disposition, other.code) == (Disposition.REFUSED, "AR")
    assert "protocol.200" in rules(other)


def test_what_no_message_is_checked_against_is_found(tmp_path: Path) -> None:
    given = (
        'accepts: {versions: ["2.5", "2.3"]}\nprofile:\n'
        "  - {when: \"MSH-12.1 = '2.3'\", profile: referral}\n"
        "  - {when: \"MSH-12.1 = '2.4'\", profile: referral-strict}\n"
        "  - {when: \"MSH-3.1 = 'LAB'\", profile: referral-tolerant}\n"
        "  - {when: \"MSH-3.1 =  'LAB'\", profile: aut-standard}\n"
        "  - {when: \"MSH-12.1 = '2.5'\", profile: aut-framework}\n"
        "  - profile: rqa-i08\n"
    )
    file = written(tmp_path, given).file
    assert [spelled(each.keys) for each in unreached(file, plain(file))] == [
        "profile.2.when",
        "profile.4.when",
        "profile.6.profile",
    ]
    assert [each.versions for each in choices(file)] == [("2.3",), (), ("2.5",), (), ("2.5",), ()]


def test_one_profile_for_all_is_reached_by_all(tmp_path: Path) -> None:
    file = written(tmp_path, "").file
    assert [(each.profile, each.versions) for each in choices(file)] == [("referral", file.accepts.versions)]


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ("[]", "north.yaml:3: profile: at least one profile is expected"),
        ("[{profile: referral, when: 'MSH-3 valued'}]", "the last entry is for all other messages, and has no `when`"),
        ("[{profile: a}, {profile: referral}]", "profile: entry 1 has no `when`"),
        ("[{when: 'MSH-3 valued', profile: nosuch}, {profile: referral}]", "profile.0.profile: unknown profile"),
        ("[{when: 'MSH-3', profile: referral}, {profile: referral}]", "profile.0.when: the condition ends too early"),
        ("[{when: 'this valued', profile: referral}, {profile: referral}]", "mean nothing in the condition"),
        ("[{if: 'MSH-3 valued', profile: referral}]", "unknown key 'profile.0.if'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_line_and_key(tmp_path: Path, profile: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, f"profile: {profile}\n")
    assert said in str(caught.value)


def test_workers_are_told_of_it_as_it_was_read(north: Channel) -> None:
    assert Channel.model_validate_json(north.model_dump_json()) == north


def test_the_messages_of_all_profiles_may_be_accepted(tmp_path: Path) -> None:
    file = written(tmp_path, CHOICE + "accepts: {messages: [RQA, ZQA]}\n").file
    assert isinstance(file, ChannelFile)
    assert file.own_messages() == ("ZQA", "ZPA")
    assert file.events("ZQA")
    assert file.events("ZQA", "referral") == ()
