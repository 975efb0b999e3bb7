"""What would fail or surprise at run time, each with the line that it is about."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hl7auth.flow.channel import Channel, find_channel, load_channel
from hl7auth.flow.channel_doubts import Doubt, channel_doubts
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.channel_values import load_filled
from hl7auth.steps.calls import PythonCall
from hl7auth.steps.model import Step

LOCAL = "tcp:4001:interface=127.0.0.1"
SECOND = 1_000_000
NOW = 1_795_462_956 * SECOND
Doubts = Callable[..., list[Doubt]]


def write(folder: Path, more: str = "", name: str = "north", listen: str = LOCAL) -> Channel:
    path = folder / f"{name}.yaml"
    path.write_text(f"channel: {name}\nlisten: {listen}\n{more}", encoding="utf-8")
    return load_channel(path)


def read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


@pytest.fixture
def doubts(tmp_path: Path) -> Doubts:
    def look(more: str = "", listen: str = LOCAL, others: tuple[Channel, ...] = (), now: int = NOW) -> list[Doubt]:
        return channel_doubts(write(tmp_path, more, listen=listen), others, read, now)

    return look


def short(found: list[Doubt], folder: Path) -> list[tuple[str, str, str, bool]]:
    return [(each.place.replace(f"{folder}/", ""), each.key, each.text, each.fails) for each in found]


def test_the_shipped_channel_is_beyond_doubt() -> None:
    assert channel_doubts(find_channel("referral-intake"), (), read, NOW) == []


def test_a_doubt_as_plain_data(doubts: Doubts, tmp_path: Path) -> None:
    (found,) = doubts("clocks:\n  expedited_hours: 200\n")
    assert found.entry() == {
        "key": "clocks.expedited_hours",
        "text": "an expedited decision may take longer than any other",
        "place": f"{tmp_path}/north.yaml:4",
        "fails": False,
    }


def test_a_port_that_another_channel_has_in_other_words(doubts: Doubts, tmp_path: Path) -> None:
    other = write(tmp_path, name="south", listen="tcp:4001")
    (found,) = doubts(others=(other,))
    assert found.fails
    assert found.text == "port 4001 of 127.0.0.1 is already listened on by channel south (south.yaml:2)"
    assert doubts(others=(write(tmp_path, name="south", listen="tcp:4002"),)) == []


def test_what_listens_to_the_network(doubts: Doubts) -> None:
    (found,) = doubts(listen="tcp:4001")
    assert (found.fails, found.key) == (False, "listen")
    assert "port 4001 can be reached from the network" in found.text
    assert doubts("tls: {certificate: a.pem}\n", listen="tcp:4001")[0].key == "tls.certificate"
    (found,) = doubts(listen="tcp:99999:interface=127.0.0.1")
    assert (found.fails, found.text) == (True, "'99999' is no port (0 to 65535)")


def test_places_that_messages_go_to(doubts: Doubts, tmp_path: Path) -> None:
    text = (
        "destinations:\n"
        "  self: {mllp: {connect: 'tcp:127.0.0.1:4001'}}\n"
        "  far: {mllp: {connect: 'tcp:payer.example:2575'}}\n"
        "  safe: {mllp: {connect: 'tls:payer.example:2575'}}\n"
        "  also: {mllp: {connect: 'tcp:payer.example:4001', tls: {}}}\n"
        "  odd: {mllp: {connect: 'tcp:payer.example:port'}}\n"
        "  web: {http: {url: 'http://payer.example/', headers: {Authorization: 'Basic abc'}}}\n"
        "  near: {http: {url: 'http://localhost:8080/'}}\n"
        "  next: {mllp: {connect: 'tcp:127.0.0.1:4002'}}\n"
        "  idle: {file: {folder: out}}\n"
        "routes:\n"
        "- {to: [self, far, safe, also, odd, web, near, next]}\n"
    )
    clear = "what is sent there goes through the network and is not encrypted"
    secret = "a secret does not belong into the file: name a variable, as ${AUTHORIZATION}"
    assert short(doubts(text), tmp_path) == [
        ("north.yaml:4", "destinations.self.mllp.connect",
         "port 4001 is where this channel listens: it would send to itself", False),
        ("north.yaml:5", "destinations.far.mllp.connect", clear, False),
        ("north.yaml:8", "destinations.odd.mllp.connect", "'port' is no port to connect to (1 to 65535)", True),
        ("north.yaml:9", "destinations.web.http.url", clear, False),
        ("north.yaml:9", "destinations.web.http.headers.Authorization", secret, False),
        ("north.yaml:12", "destinations.idle", "no route goes to idle", False),
    ]  # fmt: skip


def test_routes_are_looked_at(doubts: Doubts, tmp_path: Path) -> None:
    text = "destinations: {a: {file: {folder: out}}}\nroutes:\n- {to: [a]}\n- {to: [a], events: [RQA]}\n"
    (found,) = doubts(text)
    assert (found.place, found.key, found.fails) == (f"{tmp_path}/north.yaml:6", "routes.2", False)
    assert found.text == "routes.1 takes every message that this takes to a; each is sent there once"


def test_a_profile_that_can_not_be_used_for_a_version(tmp_path: Path) -> None:
    channel = write(tmp_path)
    accepts = channel.file.accepts.model_copy(update={"versions": ("2.5", "7.7")})
    later = channel.model_copy(update={"file": channel.file.model_copy(update={"accepts": accepts})})
    (found,) = channel_doubts(later, (), read, NOW)
    assert (found.key, found.fails) == ("profile", True)
    assert found.text == "profile referral can not be used for 7.7: HL7 version 7.7 is not supported"


def test_steps_of_the_channel_and_of_destinations_are_looked_at(doubts: Doubts, tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text("def tidy(message): ...\n", encoding="utf-8")
    text = (
        "steps:\n"
        "- match: MSH-9.1 in {'REF', 'ADT'}\n"
        "- drop: ABC-2 = 'O'\n"
        "- set: {PDI-8: U, ZZZ-2: U}\n"
        "- python: 'site:tidy'\n"
        "- python: 'gone.far:tidy'\n"
        "- date: {field: PID-7, to: YYYYMMDD}\n"
        "- each: AUT\n"
        "  when: AUT-9 = '0'\n"
        "  steps:\n"
        "  - add: {segment: 'QQQ|1', after: AUT}\n"
        "  - add: {repetition: 'ABC^X', to: PID-3}\n"
        "  - name: {field: PID-5, to: 'given family'}\n"
        "destinations:\n"
        "  payer:\n"
        "    file: {folder: out}\n"
        "    steps:\n"
        "    - translate: {field: AUD-2, table: codes.csv}\n"
        "    - copy: {from: PID-3, to: PDI-3}\n"
    )
    found, missing = short(doubts(text), tmp_path), f"there is no file {tmp_path}/codes.csv, or it can not be read"
    assert [(line.rpartition(":")[2], key, said, fails) for line, key, said, fails in found] == [
        ("5", "steps.2.drop", "HL7 has no segment ABC", False),
        ("6", "steps.3.set.PDI-8", "HL7 has no segment PDI (did you mean 'PID'?)", False),
        ("8", "steps.5.python", "there is no file gone/far.py beside the channel for gone.far:tidy", True),
        ("13", "steps.7.steps.1.add.segment", "HL7 has no segment QQQ", False),
        ("20", "destinations.payer.steps.1.translate.table", missing, True),
        ("20", "destinations.payer.steps.1.translate.field", "HL7 has no segment AUD", False),
        ("21", "destinations.payer.steps.2.copy.to", "HL7 has no segment PDI (did you mean 'PID'?)", False),
    ]  # fmt: skip


def test_why_a_function_can_not_be_called(tmp_path: Path) -> None:
    asked: list[PythonCall] = []

    def fault_of(call: PythonCall) -> str:
        asked.append(call)
        return "site:tidy raised SyntaxError" if call.function == "site:tidy" else ""

    channel = write(tmp_path, "steps:\n- python: 'site:tidy'\n- python: 'json:dumps'\n  seconds: 3\n")
    (found,) = channel_doubts(channel, (), read, NOW, fault_of)
    assert (found.key, found.text, found.fails) == ("steps.1.python", "site:tidy raised SyntaxError", True)
    assert [each.function for each in asked] == ["site:tidy", "json:dumps"]
    assert {each.folder for each in asked} == {str(tmp_path)}


class Shaped(ChannelFile):
    """A channel with steps and a secret."""

    shape: tuple[Step, ...] = ()
    password: str = ""


def shaped(folder: Path, more: str) -> Channel:
    path = folder / "north.yaml"
    path.write_text(f"channel: north\nlisten: {LOCAL}\n{more}", encoding="utf-8")
    return Channel(file=load_filled(path, Shaped, {"PASSWORD": "hush"}), path=path)


def test_tables_and_modules_beside_the_channel(tmp_path: Path) -> None:
    text = (
        "shape:\n"
        "- translate: {field: AUT-14, table: tables/status.csv}\n"
        "- translate: {field: AUT-1, table: tables/plans.csv, column: theirs}\n"
        "- translate: {field: AUT-2, table: tables/payors.csv}\n"
        "- python: 'site.steps:tidy'\n"
        "- python: 'other:tidy'\n"
        "- set: {AUT-28: {text: see list.csv}}\n"
        "- translate: {field: PID-8, table: {W: F}}\n"
    )
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "plans.csv").write_text("from,to\nA,B\n", encoding="utf-8")
    (tmp_path / "tables" / "payors.csv").write_text("from,to\nA,B\n", encoding="utf-8")
    (tmp_path / "other.py").write_text("def tidy(message): ...\n", encoding="utf-8")
    found = channel_doubts(shaped(tmp_path, text), (), read, NOW)
    assert [(each.fails, each.place.rpartition(":")[2], each.text.replace(f"{tmp_path}/", "")) for each in found] == [
        (True, "4", "there is no file tables/status.csv, or it can not be read"),
        (True, "5", "tables/plans.csv:1: no column 'theirs' (there are: to)"),
        (True, "7", "there is no file site/steps.py beside the channel for site.steps:tidy"),
    ]


def test_steps_are_looked_at(tmp_path: Path) -> None:
    (found,) = channel_doubts(shaped(tmp_path, "shape:\n- match: MSH-9.1 = 'ADT'\n"), (), read, NOW)
    assert (found.key, found.fails, found.place) == ("shape.1.match", False, f"{tmp_path}/north.yaml:4")


def test_a_secret_stands_in_the_environment_and_not_in_the_file(tmp_path: Path) -> None:
    assert channel_doubts(shaped(tmp_path, "password: ${PASSWORD}\n"), (), read, NOW) == []
    (found,) = channel_doubts(shaped(tmp_path, "password: hush\n"), (), read, NOW)
    assert (found.key, found.fails) == ("password", False)
    assert "hush" not in found.text


def test_values_that_do_not_go_together(doubts: Doubts, tmp_path: Path) -> None:
    text = "clocks:\n  expedited: [S, X]\n  expedited_procedures: [U, '1']\n"
    text += "limits: {idle_seconds: 10}\nfallback_charset: UNICODE UTF-16\n"
    ranks = "'1' ranks a procedure (table 0418) and says nothing of haste: with it, most requests hurry"
    utf_16 = "UNICODE UTF-16 never reads a message: its MSH must begin in ASCII"
    assert short(doubts(text), tmp_path) == [
        ("north.yaml:4", "clocks.expedited.2", "table 0280 has no code 'X' (A, R, S)", False),
        ("north.yaml:5", "clocks.expedited_procedures.2", ranks, False),
        ("north.yaml:6", "limits.message_seconds", "a message may take longer than a connection may be silent", False),
        ("north.yaml:7", "fallback_charset", utf_16, False),
    ]
