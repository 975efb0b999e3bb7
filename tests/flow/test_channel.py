"""Channel files: every key, every mistake named by file, line and key, and the channel that is shipped."""

import re
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from hl7auth.domain.terms import Action, Order, Snapshot
from hl7auth.errors import ConfigError, UserError
from hl7auth.flow.admission import Receiver, Sender
from hl7auth.flow.channel import find_channel, load_channel, load_channels
from hl7auth.flow.channel_bounds import Framing, Limits
from hl7auth.flow.channel_model import SUPPORTED, Accepts, ChannelFile, Clocks
from hl7auth.flow.channel_protocol import Agreed, Batched, Continued
from hl7auth.flow.decisions import Decisions
from hl7auth.flow.destination import Destination, Mllp
from hl7auth.flow.enrollment import Enrollment, Inquiry, Pauses
from hl7auth.flow.replies import Forward, Replies, ReplyRule
from hl7auth.flow.retention import Retention
from hl7auth.flow.route import Route
from hl7auth.flow.tls import ServerTls
from hl7auth.resources import shipped
from hl7auth.steps.model import DropStep
from hl7auth.wire.framing import DEFAULT_MAX_BYTES
from hl7auth.wire.versions import VERSIONS

MINIMAL = "channel: north\nlisten: tcp:4001\n"
EVERY_KEY = """\
channel: north-2
title: Referrals of the north
listen: tcp:4001:interface=127.0.0.1
tls:
  certificate: own.pem
  key: own.key
  passphrase: hush
  trust: ca.pem
  client_certificates: optional
  allowed: ["CN=ehr"]
  minimum: "1.3"
profile: aut-standard
accepts:
  messages: [RQA, RPA]
  versions: ["2.5", "2.8"]
  processing_ids: [P, T]
  networks: [10.1.0.0/16]
  load_balancers: [10.1.0.5]
  senders: [{application: EHR, facility: "N*"}]
  receivers: [{facility: SOUTH}]
errors: accept
tells: warnings
duplicates: strict
fallback_charset: 8859/15
snapshot:
  scope: message
  delete_pattern: [first_field, key]
  empty: keep
action:
  mixed: act
  same_again: accept
  contradiction: warn
order:
  older: park
clocks:
  expedited_hours: 24
  standard_hours: 120
  expedited: [S]
  expedited_procedures: [U]
retention:
  bodies_days: 400
framing:
  lenient: false
  max_bytes: 65536
limits:
  connections: 8
  idle_seconds: 30
  message_seconds: 2.5
  handshake_seconds: 5
protocol:
  sequence: require
  continuation: join
  continued:
    parts: 5
    bytes: 4096
    seconds: 2.5
    open: 3
  batches: take
  batch:
    replies: errors
    messages: 10
    bytes: 65536
    seconds: 1.5
  commit_blocks: true
order_by: patient
steps:
- drop: PV1-2 = 'O'
destinations:
  payer: {mllp: {connect: "tcp:payer.example:2575"}}
routes:
  - {to: [payer], events: [RQA]}
decisions:
  rules: rules/r.yaml
replies:
  acknowledgments: AL/NE
  answer: rpa
  to: payer
  decided_within_seconds: 2.5
  forward:
    to: payer
    within_seconds: 5
    mode: enhanced
    answers_on: back
    late: pended
    failed: silent
  rules:
    - sender: [FRONT]
      facility: [NORTH]
      events: [RQA]
      payor: [ACME]
      status: [pended]
      when: "MSH-9.2 = 'I08'"
      answer: forward
      to: connection
      forward: {to: payer}
enrollment:
  keep: true
  expires_hours: 2.5
  hl7:
    connect: tcp:payer.example:2576
    version: "2.7"
    receiving_application: ELIG
    receiving_facility: PAYER
    seconds: 3
# python:
#   function: of another test
# http:
#   url: of another test
#   headers: of another test
  retry:
    first_seconds: 5
    factor: 3
    most_seconds: 50
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, text: str, name: str = "north.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def mistake(folder: Path, text: str) -> str:
    """What is said about a file, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load_channel(write(folder, text))
    return str(caught.value).replace(f"{folder}/", "")


def test_every_key_is_read(folder: Path) -> None:
    (folder / "rules").mkdir()
    (folder / "rules" / "r.yaml").write_text("rules: r\nsteps: [{step: a}]\n", encoding="utf-8")
    channel = load_channel(write(folder, EVERY_KEY))
    assert channel.name == "north-2"
    assert channel.path == folder / "north.yaml"
    assert channel.file == ChannelFile(
        channel="north-2",
        title="Referrals of the north",
        listen="tcp:4001:interface=127.0.0.1",
        tls=ServerTls(
            certificate=Path("own.pem"),
            key=Path("own.key"),
            passphrase="hush",
            trust=Path("ca.pem"),
            client_certificates="optional",
            allowed=("CN=ehr",),
            minimum="1.3",
        ),
        profile="aut-standard",
        accepts=Accepts(
            messages=("RQA", "RPA"),
            versions=("2.5", "2.8"),
            processing_ids=("P", "T"),
            networks=("10.1.0.0/16",),
            load_balancers=("10.1.0.5",),
            senders=(Sender(application="EHR", facility="N*"),),
            receivers=(Receiver(facility="SOUTH"),),
        ),
        errors="accept",
        tells="warnings",
        duplicates="strict",
        fallback_charset="8859/15",
        framing=Framing(lenient=False, max_bytes=65_536),
        limits=Limits(connections=8, idle_seconds=30, message_seconds=2.5, handshake_seconds=5),
        snapshot=Snapshot(scope="message", delete_pattern=("first_field", "key"), empty="keep"),
        action=Action(mixed="act", same_again="accept", contradiction="warn"),
        order=Order(older="park"),
        clocks=Clocks(expedited_hours=24, standard_hours=120, expedited=("S",), expedited_procedures=("U",)),
        retention=Retention(bodies_days=400),
        protocol=Agreed(
            sequence="require",
            continuation="join",
            continued=Continued(parts=5, bytes=4096, seconds=2.5, open=3),
            batches="take",
            batch=Batched(replies="errors", messages=10, bytes=65_536, seconds=1.5),
            commit_blocks=True,
        ),
        order_by="patient",
        steps=(DropStep(drop="PV1-2 = 'O'"),),
        destinations={"payer": Destination(mllp=Mllp(connect="tcp:payer.example:2575"))},
        routes=(Route(to=("payer",), events=("RQA",)),),
        decisions=Decisions(rules="rules/r.yaml"),
        replies=Replies(
            acknowledgments="AL/NE",
            answer="rpa",
            to="payer",
            decided_within_seconds=2.5,
            forward=Forward(
                to="payer", within_seconds=5, mode="enhanced", answers_on="back", late="pended", failed="silent"
            ),
            rules=(
                ReplyRule(
                    sender=("FRONT",),
                    facility=("NORTH",),
                    events=("RQA",),
                    payor=("ACME",),
                    status=("pended",),
                    when="MSH-9.2 = 'I08'",
                    answer="forward",
                    to="connection",
                    forward=Forward(to="payer"),
                ),
            ),
        ),
        enrollment=Enrollment(
            keep=True,
            expires_hours=2.5,
            hl7=Inquiry(
                connect="tcp:payer.example:2576",
                version="2.7",
                receiving_application="ELIG",
                receiving_facility="PAYER",
                seconds=3,
            ),
            retry=Pauses(first_seconds=5, factor=3, most_seconds=50),
        ),
    )


def keys_of(model: type[BaseModel]) -> set[str]:
    """Every key of a model and of the models under it, also of those that may be left out. Destinations, routes and the
    like have names or come in lists: what they are made of stands in their own tests."""
    found = set(model.model_fields)
    for field in model.model_fields.values():
        optional = get_args(field.annotation) if isinstance(field.annotation, UnionType) else ()
        for each in (field.annotation, *optional):
            if isinstance(each, type) and issubclass(each, BaseModel):
                found |= keys_of(each)
    return found


def test_the_test_above_and_the_shipped_channel_name_every_key() -> None:
    text = (shipped("channels") / "referral-intake.yaml").read_text(encoding="utf-8")
    for source in (EVERY_KEY, text):
        assert set(re.findall(r"^[\s#]*(\w+):", source, re.MULTILINE)) >= keys_of(ChannelFile)


def test_two_keys_are_enough_and_the_rest_is_what_the_shipped_channel_has(folder: Path) -> None:
    file = load_channel(write(folder, MINIMAL)).file
    standard = find_channel("referral-intake").file
    told = {"channel", "title", "listen"}
    assert file.model_dump(exclude=told) == standard.model_dump(exclude=told)
    assert file.title == ""


def test_the_shipped_channel_listens_on_the_loopback_and_is_safe() -> None:
    (channel,) = load_channels()
    file = channel.file
    assert (file.channel, file.listen) == ("referral-intake", "tcp:2575:interface=127.0.0.1")
    assert file.accepts == Accepts(messages=("RQA", "RPA", "REF", "RRI"), versions=VERSIONS, processing_ids=("P",))
    assert (file.errors, file.duplicates, file.framing.lenient) == ("reject", "lenient", True)
    assert file.framing.max_bytes == DEFAULT_MAX_BYTES


def test_the_messages_that_the_engine_understands_with_their_events() -> None:
    assert SUPPORTED == {
        "RQA": ("I08", "I09", "I10", "I11"),
        "RPA": ("I08", "I09", "I10", "I11"),
        "REF": ("I12", "I13", "I14", "I15"),
        "RRI": ("I12", "I13", "I14", "I15"),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MINIMAL + "erors: accept\n", "north.yaml:3: unknown key 'erors' (did you mean 'errors'?)"),
        (
            MINIMAL + "xyz: 1\n",
            "north.yaml:3: unknown key 'xyz' (allowed: accepts, action, channel, clocks, decisions, destinations,"
            " duplicates, enrollment, errors, fallback_charset, framing, limits, listen, order, order_by, profile,"
            " protocol, replies, retention, routes, snapshot, steps, tells, title, tls)",
        ),
        (
            MINIMAL + "limits:\n  idle_seconds: 5\n  conections: 5\n",
            "north.yaml:5: unknown key 'limits.conections' (did you mean 'connections'?)",
        ),
        (MINIMAL + "framing: {speed: 5}\n", "north.yaml:3: unknown key 'framing.speed' (allowed: lenient, max_bytes)"),
        ("listen: tcp:1\n", "north.yaml:1: key 'channel' is missing"),
        ("channel: north\n", "north.yaml:1: key 'listen' is missing"),
        ("", "north.yaml:1: a mapping of keys is expected"),
    ],
)
def test_a_wrong_key_is_named_by_file_line_and_key(folder: Path, text: str, said: str) -> None:
    assert mistake(folder, text) == said


@pytest.mark.parametrize(
    ("lines", "line", "key"),
    [
        ("accepts:\n  messages: [RQA, ORU]", 4, "accepts.messages"),
        ('accepts:\n  messages: [RQA]\n  versions: ["2.5", "2.10"]', 5, "accepts.versions"),
        ("accepts:\n  versions: [2.5]", 4, "accepts.versions"),
        ("errors: ignore", 3, "errors"),
        ("duplicates: never", 3, "duplicates"),
        ("fallback_charset: EBCDIC", 3, "fallback_charset"),
        ("fallback_charset: CNS 11643-1992", 3, "fallback_charset"),
        ("title: [a]", 3, "title"),
        ("framing:\n  lenient: perhaps", 4, "framing.lenient"),
        ("framing:\n  max_bytes: 1023", 4, "framing.max_bytes"),
        ("framing:\n  max_bytes: 268435457", 4, "framing.max_bytes"),
        ("limits:\n  connections: 0", 4, "limits.connections"),
        ("limits:\n  connections: 65537", 4, "limits.connections"),
        ("limits:\n  idle_seconds: 0", 4, "limits.idle_seconds"),
        ("limits:\n  message_seconds: -1", 4, "limits.message_seconds"),
        ("profile: referal", 3, "profile"),
    ],
)
def test_a_wrong_value_is_named_by_file_line_and_key(folder: Path, lines: str, line: int, key: str) -> None:
    assert mistake(folder, MINIMAL + lines + "\n").startswith(f"north.yaml:{line}: {key}")


@pytest.mark.parametrize("name", ["North", "a b", "-a", "", "a/b", "ä"])
def test_a_channels_name_is_lower_case_letters_digits_and_hyphens(folder: Path, name: str) -> None:
    assert mistake(folder, f"channel: '{name}'\nlisten: tcp:1\n").startswith("north.yaml:1: channel: ")


@pytest.mark.parametrize(
    ("lines", "allowed"),
    [
        ("accepts: {messages: [ORU]}", "unknown message type 'ORU' (allowed: RQA, RPA, REF, RRI)"),
        ("accepts: {versions: ['2.2']}", f"unknown version '2.2' (allowed: {', '.join(VERSIONS)})"),
        ("fallback_charset: LATIN", "unknown character set 'LATIN' (table 0211 has: ASCII, 8859/1, "),
        ("profile: nosuch", "unknown profile 'nosuch' (known: "),
    ],
)
def test_an_unknown_name_comes_with_the_known_ones(folder: Path, lines: str, allowed: str) -> None:
    assert allowed in mistake(folder, MINIMAL + lines + "\n")


def test_a_profile_with_a_mistake_is_named_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "profile: broken\ntitle: Broken\nsegmnts: {}\n", "broken.yaml")
    monkeypatch.setattr("hl7auth.rules.edition.shipped", lambda _: folder)
    assert mistake(folder, MINIMAL + "profile: broken\n").startswith("broken.yaml:3: unknown key 'segmnts'")


def test_a_folder_of_channels(folder: Path) -> None:
    write(folder, MINIMAL)
    write(folder, "channel: south\nlisten: tcp:4002\n", "a-south.yaml")
    write(folder, "not: a channel\n", "notes.txt")
    assert [channel.name for channel in load_channels(folder)] == ["south", "north"]
    assert find_channel("south", folder).file.listen == "tcp:4002"


def test_channels_of_one_name_or_one_port_are_refused(folder: Path) -> None:
    write(folder, MINIMAL)
    second = write(folder, "# the second\nlisten: tcp:4002\nchannel: north\n", "other.yaml")
    with pytest.raises(ConfigError, match=f"^{second}:3: .*'north' is already used by .*north.yaml"):
        load_channels(folder)
    write(folder, "channel: south\nlisten: tcp:4001\n", "other.yaml")
    with pytest.raises(ConfigError, match=f"^{second}:2: .*'tcp:4001' is already used by .*north.yaml"):
        load_channels(folder)


def test_any_free_port_may_be_asked_for_by_several(folder: Path) -> None:
    for name in ("a", "b"):
        write(folder, f"channel: {name}\nlisten: tcp:0:interface=127.0.0.1\n", f"{name}.yaml")
    assert len(load_channels(folder)) == 2


def test_one_key_given_twice_is_a_mistake(folder: Path) -> None:
    assert "errors" in mistake(folder, MINIMAL + "errors: reject\nerrors: accept\n")


def test_a_folder_without_channels_is_said_so(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no channel file"):
        load_channels(folder)
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        load_channels(folder / "nowhere")


def test_an_unknown_channel_comes_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=re.escape("unknown channel 'nosuch' (known: referral-intake)")):
        find_channel("nosuch")


def test_a_channel_can_not_be_changed() -> None:
    file: Any = find_channel("referral-intake").file
    with pytest.raises(ValueError, match="frozen"):
        file.errors = "accept"
