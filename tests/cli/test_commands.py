"""The command line as a person or a script uses it: real processes, exit codes, JSON that is one document."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hl7auth.store.database import HEAD
from hl7auth.wire.framing import frame
from tests.engine import answer, request
from tests.warm import Process, run

Finished = subprocess.CompletedProcess[bytes]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("HL7AUTH_")}


def hl7auth(*words: str, folder: Path, stdin: bytes = b"", **environment: str) -> Finished:
    return run(*words, folder=folder, stdin=stdin, env=ENVIRONMENT | environment)


def from_nothing(*words: str, folder: Path, stdin: bytes = b"", **environment: str) -> Finished:
    """With a Python of its own: what a person waits for, and what a start imports."""
    return subprocess.run(
        [sys.executable, "-m", "hl7auth", *words],
        cwd=folder,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env=ENVIRONMENT | environment,
    )


def document(*words: str, folder: Path) -> Any:
    result = hl7auth(*words, "--format", "json", folder=folder)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


class Serving:
    """An engine in a process of its own, on a free port, with its database below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        channels = folder / "channels"
        channels.mkdir(exist_ok=True)
        shipped = (Path(__file__).parents[2] / "channels" / "referral-intake.yaml").read_text(encoding="utf-8")
        (channels / "referral-intake.yaml").write_text(shipped.replace("tcp:2575:", "tcp:0:"), encoding="utf-8")
        with (folder / "serve.log").open("ab") as log:
            words = ["serve", "--channels", str(channels)]
            self.process = Process(words, cwd=folder, stdout=subprocess.PIPE, stderr=log, env=ENVIRONMENT)
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line.startswith("listening on tcp:"), (folder / "serve.log").read_text()
        self.port = int(line.split(":")[1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def stop(self) -> int:
        self.process.terminate()
        return self.close()

    def close(self) -> int:
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(timeout=20)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    server = Serving(tmp_path)
    yield server
    if server.process.poll() is None:
        server.kill()


def write(folder: Path, name: str, raw: bytes) -> str:
    (folder / name).write_bytes(raw)
    return name


def test_the_whole_story(serving: Serving, tmp_path: Path) -> None:
    asked, granted = (
        write(tmp_path, "rqa.hl7", request("C1", referral="R1")),
        write(tmp_path, "rpa.hl7", answer("P1", "C1", referral="R1")),
    )
    sent = hl7auth("send", serving.address, asked, folder=tmp_path)
    assert sent.returncode == 0
    assert b"MSA|AA|C1" in sent.stdout
    assert [entry["key"] for entry in document("authorization", "list", "--open", folder=tmp_path)] == ["R1@EHR:NORTH"]
    assert hl7auth("send", serving.address, granted, folder=tmp_path).returncode == 0
    (listed,) = document("authorization", "list", folder=tmp_path)
    assert (listed["key"], listed["status"], listed["effective_date"]) == ("PA1@ACME", "approved", "2026-04-01")
    assert listed["lines"][0]["procedure"] == {"code": "99213", "text": "Visit", "system": "C4"}
    assert listed["authorized_treatments"] == {"quantity": "2"}
    shown = document("authorization", "show", "PA1@ACME", folder=tmp_path)
    assert shown == listed
    (version,) = document("authorization", "history", "PA1@ACME", folder=tmp_path)
    assert version["by"] == "answer"
    messages = document("message", "list", folder=tmp_path)
    assert [(entry["control_id"], entry["disposition"]) for entry in messages] == [
        ("C1", "accepted"),
        ("P1", "accepted"),
    ]
    whole = document("message", "show", messages[0]["id"], folder=tmp_path)
    assert whole["raw"] == request("C1", referral="R1").decode()
    exported = document("message", "export", "--to", "out", folder=tmp_path)
    assert (exported["messages"], exported["written"]) == (2, 2)
    assert (tmp_path / "out" / f"{messages[0]['id']}.hl7").read_bytes() == request("C1", referral="R1")
    commands = ["authorization list", "authorization show PA1@ACME", "authorization history PA1@ACME", "message list"]
    for words in [command.split() for command in [*commands, f"message show {messages[0]['id']}"]]:
        result = hl7auth(*words, folder=tmp_path)
        assert result.returncode == 0
        assert result.stdout.strip()
    assert from_nothing("db", "check", folder=tmp_path).returncode == 0
    resent = from_nothing("send", serving.address, asked, folder=tmp_path)
    assert (resent.returncode, resent.stdout) == (0, sent.stdout)
    assert serving.stop() == 0


def test_no_answered_message_is_lost_when_the_process_is_killed(serving: Serving, tmp_path: Path) -> None:
    answered = []
    with socket.create_connection(("127.0.0.1", serving.port), timeout=10) as connection:
        stream = connection.makefile("rb")
        for number in range(300):
            connection.sendall(frame(request(f"K{number}", number=f"N{number}")))
            if number >= 5:  # several are always under way
                answered.append(_control_id(stream))
        serving.process.kill()
    assert serving.close() != 0
    again = Serving(tmp_path)
    listed = document("message", "list", "--limit", "0", folder=tmp_path)
    stored = {entry["control_id"] for entry in listed}
    keys = {entry["key"] for entry in document("authorization", "list", "--limit", "0", folder=tmp_path)}
    assert len(answered) == 295
    assert set(answered) <= stored
    assert {f"N{control_id[1:]}@ACME" for control_id in answered} <= keys
    assert len(keys) == len(listed)
    write(tmp_path, "again.hl7", request(answered[-1], number=f"N{answered[-1][1:]}"))
    resent = hl7auth("send", again.address, "again.hl7", folder=tmp_path)
    assert resent.returncode == 0
    assert f"MSA|AA|{answered[-1]}".encode() in resent.stdout
    assert document("message", "list", "--limit", "1", folder=tmp_path)[0]["disposition"] == "duplicate"
    assert again.stop() == 0


def _control_id(stream: Any) -> str:
    reply = bytearray()
    while not reply.endswith(b"\x1c\r"):
        reply += stream.read(1)
    return reply.split(b"\rMSA|AA|")[1].split(b"|")[0].split(b"\r")[0].decode()


def test_no_value_of_a_message_is_ever_logged(serving: Serving, tmp_path: Path) -> None:
    samples = [*(Path(__file__).parents[2] / "sample_messages").glob("*.hl7")]
    hl7auth("send", "--timeout", "0.5", serving.address, *map(str, samples), folder=tmp_path)
    write(
        tmp_path,
        "secret.hl7",
        request("SECRETID", number="SECRETPA").replace(b"Quill", b"SECRETNAME").replace(b"|ACME|", b"||"),
    )
    hl7auth("send", serving.address, "secret.hl7", folder=tmp_path)
    serving.stop()
    log = (tmp_path / "serve.log").read_text()
    assert "SECRET" not in log
    for raw in (path.read_bytes().decode("latin_1") for path in samples):
        for segment in raw.replace("\n", "\r").split("\r"):
            values = {
                value for value in segment[4:].replace("^", "|").split("|") if len(value) > 7 and not value.isdigit()
            }
            assert not [value for value in values if value in log and value not in ("referral", "UNICODE UTF-8")]


def test_send_says_what_went_wrong(serving: Serving, tmp_path: Path) -> None:
    bad = write(tmp_path, "bad.hl7", request("B1").replace(b"|ACME|", b"||"))
    result = hl7auth("send", "--format", "json", serving.address, bad, folder=tmp_path)
    assert result.returncode == 1
    (entry,) = json.loads(result.stdout)
    assert (entry["good"], entry["verdict"]) == (False, "AE")
    assert "ERR||AUT^1^2|101^" in entry["replies"][0]
    silent = socket.create_server(("127.0.0.1", 0))
    result = hl7auth("send", f"127.0.0.1:{silent.getsockname()[1]}", bad, "--timeout", "0.3", folder=tmp_path)
    silent.close()
    assert (result.returncode, b"no reply" in result.stdout) == (1, True)


def test_check_tells_by_its_exit_status(tmp_path: Path) -> None:
    good, bad = write(tmp_path, "good.hl7", request()), write(tmp_path, "bad.hl7", request().replace(b"|ACME|", b"||"))
    assert hl7auth("check", good, folder=tmp_path).returncode == 0
    result = hl7auth("check", good, bad, "--format", "json", folder=tmp_path)
    assert result.returncode == 1
    reports = json.loads(result.stdout)
    (finding,) = reports[1]["findings"]
    assert (finding["rule"], finding["severity"], finding["path"]) == ("AUT-2.usage", "error", "AUT-2")
    assert hl7auth("check", "-", stdin=b"hello", folder=tmp_path).returncode == 2
    assert hl7auth("check", "-", stdin=request(), folder=tmp_path).returncode == 0
    assert hl7auth("check", good, "--profile", "aut-framework", folder=tmp_path).returncode == 0


def test_plan_stores_nothing(tmp_path: Path) -> None:
    write(tmp_path, "rqa.hl7", request("C1", number="PA1"))
    (entry,) = document("plan", "rqa.hl7", "--channel", "referral-intake", folder=tmp_path)
    assert entry["disposition"] == "accepted"
    assert entry["changes"][0]["document"]["key"] == "PA1@ACME"
    assert entry["replies"][0].startswith("MSH|")
    assert hl7auth("plan", "rqa.hl7", "--channel", "referral-intake", folder=tmp_path).returncode == 0
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["check", "nowhere.hl7"], "nowhere.hl7: no such file"),
        (["check", "empty.hl7"], "holds no HL7 message"),
        (["check", "good.hl7", "--profile", "nosuch"], "unknown profile 'nosuch' (known: "),
        (["plan", "good.hl7", "--channel", "nosuch"], "unknown channel 'nosuch' (known: referral-intake)"),
        (["plan", "good.hl7", "--channel", "x", "--channels", "nowhere"], "no such folder"),
        (["send", "nowhere", "good.hl7"], "is no HOST:PORT"),
        (["send", "127.0.0.1:1", "good.hl7"], "can not connect to 127.0.0.1:1: connection refused"),
        (["message", "list"], "there is no database"),
        (["message", "list", "--database", "sqlite:///good.hl7"], "not a database"),
        (["authorization", "show", "X", "--database", "sqlite:///new.db"], "newer hl7auth"),
        (["serve", "--database", "sqlite:///new.db"], "newer hl7auth"),
        (["serve", "--channels", "broken"], "broken/a.yaml:3: unknown key 'lissten'"),
        (["profile", "show", "aut-standard", "--hl7-version", "7"], "(7)"),
    ],
)
def test_a_persons_mistake_is_one_sentence(words: list[str], sentence: str, tmp_path: Path) -> None:
    write(tmp_path, "good.hl7", request())
    write(tmp_path, "empty.hl7", b"")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.yaml").write_text("channel: a\nlisten: tcp:0\nlissten: tcp:1\n")
    hl7auth("db", "upgrade", "--database", "sqlite:///new.db", folder=tmp_path)
    subprocess.run([sys.executable, "-c", _AGE], cwd=tmp_path, check=True)
    result = hl7auth(*words, folder=tmp_path)
    assert result.returncode == 2
    text = result.stderr.decode().lower()
    assert sentence.lower() in text
    assert "traceback" not in text
    assert len([line for line in text.splitlines() if line.startswith("hl7auth: ")]) == 1


_AGE = """
import sqlite3
connection = sqlite3.connect("new.db")
connection.execute("UPDATE alembic_version SET version_num = '9999'")
connection.commit()
"""


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    channel = f"channel: a\nlisten: tcp:{taken.getsockname()[1]}:interface=127.0.0.1\n"
    (tmp_path / "a.yaml").write_text(channel)
    result = hl7auth("serve", "--channels", ".", folder=tmp_path)
    taken.close()
    assert result.returncode == 2
    assert b"channel a can not listen on" in result.stderr
    assert b"already in use" in result.stderr
    assert b"Traceback" not in result.stderr


def test_channel_check_names_the_mistake_and_fails(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("channel: a\nlisten: tcp:0\nerors: accept\n")
    result = hl7auth("channel", "check", "a.yaml", "--format", "json", folder=tmp_path)
    assert result.returncode == 1
    assert json.loads(result.stdout) == [
        {"good": False, "mistake": "a.yaml:3: unknown key 'erors' (did you mean 'errors'?)"}
    ]
    assert document("channel", "check", folder=tmp_path)[0]["good"] is True
    assert document("channel", "list", folder=tmp_path)[0]["channel"] == "referral-intake"


def test_profiles_are_listed_and_shown(tmp_path: Path) -> None:
    listed = [row["profile"] for row in document("profile", "list", folder=tmp_path)]
    assert {"aut-framework", "aut-standard", "referral"} <= set(listed)
    fields = document("profile", "show", "aut-standard", "--hl7-version", "2.5", folder=tmp_path)["segments"]["AUT"]
    assert len(fields) == 10
    assert fields[1]["verb"] == "SHALL"
    assert document("profile", "show", "aut-framework", folder=tmp_path)["segments"]["AUT"][12]["verb"] == "SHOULD"


def test_the_database_is_made_and_checked(tmp_path: Path) -> None:
    assert hl7auth("db", "check", folder=tmp_path).returncode == 1
    assert document("db", "upgrade", folder=tmp_path) == {
        "database": "sqlite:///var/hl7auth.db",
        "before": None,
        "after": HEAD,
    }
    assert document("db", "check", folder=tmp_path)["good"] is True


def test_options_come_from_the_environment(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    assert hl7auth("db", "upgrade", folder=tmp_path, HL7AUTH_DATABASE=url, HL7AUTH_FORMAT="json").stdout.startswith(
        b"{"
    )
    assert (tmp_path / "elsewhere.db").exists()


def test_every_option_has_a_variable(tmp_path: Path) -> None:
    from typer.main import get_command

    from hl7auth.cli.app import made

    def options(command: Any) -> Iterator[tuple[str, Any]]:
        for name, inner in getattr(command, "commands", {}).items():
            yield from ((f"{name} {path}", option) for path, option in options(inner))
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name not in ("help", "version"):
                yield parameter.name, parameter

    for path, option in options(get_command(made())):
        assert str(option.envvar).startswith("HL7AUTH_"), path


def test_a_command_is_the_same_without_the_others() -> None:
    from typer.main import get_command

    from hl7auth.cli.app import GROUPS, SINGLE, made

    whole: Any = get_command(made())
    words = [*GROUPS, *(word for each in SINGLE.values() for word in each)]
    assert sorted(whole.commands) == sorted(words)
    for word in words:
        alone: Any = get_command(made(word))
        assert word in alone.commands, word
        assert len(alone.commands) <= 3, word
    other: Any = get_command(made("unknown"))
    assert sorted(other.commands) == sorted(words)
