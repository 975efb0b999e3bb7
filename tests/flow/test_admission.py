"""Who may connect, and who may send: networks, patterns of parties and of names of certificates."""

from pathlib import Path

import pytest

from hl7auth.errors import ConfigError
from hl7auth.flow.admission import Networks, Receiver, Sender, fits, has_name, strangers
from hl7auth.flow.channel import Channel, load_channel
from hl7auth.flow.decision import decide
from hl7auth.flow.intake import Plan, plan
from hl7auth.flow.trial import Memory
from hl7auth.wire.ack import Location
from hl7auth.wire.message import parse
from tests.engine import message, msh

MINIMAL = "channel: north\nlisten: tcp:0:interface=127.0.0.1\n"


def channel(folder: Path, accepts: str) -> Channel:
    path = folder / "north.yaml"
    path.write_text(MINIMAL + f"accepts: {accepts}\n", encoding="utf-8")
    return load_channel(path)


def planned(folder: Path, accepts: str, parties: str = "EHR|NORTH|PAYER|SOUTH") -> Plan:
    raw = message(msh().replace("EHR|NORTH|PAYER|SOUTH", parties), "PID|||1||Q^I")
    return plan(raw, channel(folder, accepts), 0, iter(range(9)).__next__)


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("10.1.2.3", True), ("10.2.0.0", False), ("192.0.2.9", True), ("192.0.2.8", False), ("::ffff:10.1.2.3", True),
        ("fd00::1", True), ("fd00::1%eth0", True), ("fe80::1", False), ("::ffff:10.2.0.1", False), ("", False),
        ("north.example", False),
    ],
)  # fmt: skip
def test_networks(host: str, inside: bool) -> None:
    assert (host in Networks(["10.1.0.0/16", "192.0.2.9", "fd00::/8"])) is inside


@pytest.mark.parametrize(
    ("pattern", "text", "good"),
    [
        ("EHR", "EHR", True), ("EHR", "EHR2", False), ("EHR*", "EHR2", True), ("*", "", True), ("E?R", "EHR", True),
        ("E?R", "ER", False), ("*HR", "EHHR", True), ("a*b*c", "aXbXbc", True), ("a*b*c", "acb", False),
        ("a.c", "abc", False),
        ("[ab]", "a", False), ("**", "x\ny", True), ("a*", "ba", False),
    ],
)  # fmt: skip
def test_patterns(pattern: str, text: str, good: bool) -> None:
    assert fits(pattern, text) is good


def test_a_pattern_costs_no_more_than_the_text_is_long() -> None:
    # one that tried every way would go on for days
    assert not fits("*a*a*a*a*a*a*b", "a" * 100_000)


ALL = "EHR|NORTH|PAYER|SOUTH"


@pytest.mark.parametrize(
    ("accepts", "parties", "fields"),
    [
        ("{senders: [{application: EHR}]}", ALL, []),
        ("{senders: [{application: EHR, facility: NORTH}, {facility: WEST}]}", ALL, []),
        ("{senders: [{application: LAB}]}", ALL, [3]),
        ("{senders: [{application: EHR, facility: WEST}]}", ALL, [4]),
        ("{senders: [{facility: 'NOR*'}]}", "|NORTH|PAYER|SOUTH", []),
        ("{senders: [{application: 'EHR'}]}", "EHR^2.16.840^ISO|NORTH|PAYER|SOUTH", []),
        ("{senders: [{application: 'EHR^2.16.840^ISO'}]}", "EHR^2.16.840^ISO|NORTH|PAYER|SOUTH", []),
        ("{senders: [{application: '^2.16.840^ISO'}]}", "^2.16.840^ISO|NORTH|PAYER|SOUTH", []),
        ("{senders: [{application: 'EHR^1.2'}]}", "EHR^2.16.840|NORTH|PAYER|SOUTH", [3]),
        ("{senders: [{application: 'A&B'}]}", "A\\T\\B|NORTH|PAYER|SOUTH", []),
        ("{receivers: [{application: PAYER}]}", ALL, []),
        ("{receivers: [{application: PAYER, facility: 'E*'}]}", ALL, [6]),
        ("{receivers: [{application: OTHER}], senders: [{application: LAB}]}", ALL, [3, 5]),
    ],
)
def test_who_may_send_to_whom(tmp_path: Path, accepts: str, parties: str, fields: list[int]) -> None:
    found = planned(tmp_path, accepts, parties)
    if not fields:
        assert found.refusal is None or found.refusal.ack == "AE"
        return
    assert found.refusal is not None
    assert found.refusal.ack == "AR"
    assert [(each.code, each.location) for each in found.refusal.problems] == [
        ("103", Location("MSH", 1, field)) for field in fields
    ]


def test_a_sender_is_held_to_its_certificate() -> None:
    whole = parse(message(msh()))
    senders = [Sender(application="EHR", certificate="DNS:*.north.example"), Sender(application="LAB")]

    def found(*names: str) -> list[str]:
        return [each.text for each in strangers(whole.header, whole.delimiters, senders, (), names)]

    assert found("CN=ehr", "DNS:ehr.North.example") == []
    (text,) = found("CN=ehr.north.example")
    assert "another certificate" in text
    assert len(found()) == 1
    assert list(strangers(whole.header, whole.delimiters, senders, ())) == []
    assert list(strangers(whole.header, whole.delimiters, (), [Receiver(facility="SOUTH")], ())) == []


def test_names_of_certificates_mean_no_case() -> None:
    assert has_name("dns:EHR.example", ["DNS:ehr.EXAMPLE"])
    assert not has_name("DNS:ehr.example", ["CN=ehr.example"])


@pytest.mark.parametrize(
    ("accepts", "text"),
    [
        ("{networks: [10.1.2.3/16]}", "north.yaml:3: accepts.networks: '10.1.2.3/16' is no network"),
        ("{networks: [north.example]}", "'north.example' is no network"),
        ("{load_balancers: [300.1.1.1]}", "accepts.load_balancers: '300.1.1.1' is no network"),
        ("{senders: [{}]}", "accepts.senders.0: application or facility is expected"),
        ("{senders: [{application: A, certificate: ehr}]}", "'ehr' does not say which name of a certificate is meant"),
        ("{receivers: [{application: A, certificate: 'CN=a'}]}", "unknown key 'accepts.receivers.0.certificate'"),
    ],
)
def test_mistakes(tmp_path: Path, accepts: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        channel(tmp_path, accepts)
    assert text in str(caught.value)


def test_steps_do_not_make_a_stranger_a_friend(tmp_path: Path) -> None:
    steps = "{senders: [{application: EHR}]}\nsteps:\n- set: {MSH-3: {text: EHR}}"
    assert planned(tmp_path, steps, "LAB|NORTH|PAYER|SOUTH").refusal is not None
    steps = "{senders: [{application: LAB}]}\nsteps:\n- set: {MSH-3: {text: EHR}}"
    found = planned(tmp_path, steps, "LAB|NORTH|PAYER|SOUTH")
    assert found.refusal is None or found.refusal.ack == "AE"


def test_an_acknowledgement_of_a_stranger_is_not_answered(tmp_path: Path) -> None:
    raw = message(msh(kind="ACK"), "MSA|AA|1")
    ack = plan(raw, channel(tmp_path, "{senders: [{application: LAB}]}"), 0, iter(range(9)).__next__)
    assert (ack.refusal, ack.intent) == (None, None)


def test_the_refusal_asks_nothing_more_than_the_header_does(tmp_path: Path) -> None:
    """In enhanced mode a stranger gets CR, as for any other header that is not accepted."""
    raw = message(msh(modes=("AL", "AL")), "PID|||1||Q^I")
    found = plan(raw, channel(tmp_path, "{receivers: [{facility: WEST}]}"), 0, iter(range(9)).__next__)
    (reply, *_) = decide(found, Memory()).replies
    assert b"\rMSA|CR|C1" in reply
