"""The process of Python steps: real functions, beside a channel, some of them unkind."""

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.errors import Fault
from hl7auth.steps.calls import PythonCall
from hl7auth.steps.faults import StepFailed
from hl7auth.steps.run import load_steps, run
from hl7auth.steps_runner import StepProcess
from tests.steps.shaping import HEAD, message

SITE = """
import os, sys, time, subprocess
import hl7

print("printed when imported")

def tidy(message):
    print("printed when called", message)
    for segment in message.segments("AUT"):
        segment(1)[0] = "N"

def same(message):
    return message

def text(message):
    return str(message).replace("PID|1", "PID|2")

def shorter(message):
    del message[1]

def drops(message):
    return False

def number(message):
    return 3

def raising(message):
    raise KeyError(str(message))

def leaving(message):
    sys.exit(3)

def dying(message):
    os._exit(3)

def spinning(message):
    while True:
        pass

def stuck(message):
    child = subprocess.Popen(["sleep", "600"])
    open(os.path.join(os.path.dirname(__file__), "child"), "w").write(str(child.pid))
    child.wait()

def stubborn(message):
    import ctypes
    ctypes.pythonapi.sleep(600)  # in C, with the interpreter lock held

def environment(message):
    message.segment("PID")(1)[0] = os.environ.get("HL7AUTH_DATABASE", "none")

not_callable = 3
"""
RAW = message("PID|1", "AUT|A", "OBX|1|||\\.br\\ |")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module beside the channel."""
    folder = tmp_path_factory.mktemp("channels")
    (folder / "site_steps.py").write_text(SITE)
    (folder / "broken.py").write_text("import hl7\n1 / 0\n")
    (folder / "needy.py").write_text("import no_such_module_anywhere\n")
    (folder / "other").mkdir()
    (folder / "other" / "site_steps.py").write_text("def tidy(message):\n    message[1][1][0] = 'other'\n")
    return folder


@pytest.fixture(scope="module")
def process() -> Iterator[StepProcess]:
    """The runner, whose process every test may kill."""
    with StepProcess() as process:
        yield process


def through(process: StepProcess, folder: Path, function: str, seconds: float = 20, raw: bytes = RAW) -> bytes:
    """The message after a channel's one Python step."""
    path = folder / "own.yaml"
    path.write_text(f"steps:\n- python: {function}\n  seconds: {seconds}\n")
    found = run(load_steps(path), raw, runner=process)
    return b"" if found.dropped else found.raw


def test_a_function_changes_the_message_in_place(process: StepProcess, folder: Path) -> None:
    assert through(process, folder, "site_steps:tidy") == RAW.replace(b"AUT|A", b"AUT|N")


def test_what_is_returned_counts(process: StepProcess, folder: Path) -> None:
    assert through(process, folder, "site_steps:same") == RAW
    assert through(process, folder, "site_steps:text") == RAW.replace(b"PID|1", b"PID|2")
    assert through(process, folder, "site_steps:shorter") == RAW.replace(b"PID|1\r", b"")
    assert through(process, folder, "site_steps:drops") == b""


def test_bytes_beyond_the_change_stay(process: StepProcess, folder: Path) -> None:
    raw = f"{HEAD}||||||8859/1\n  PID|1|ä|\n,\nAUT|A|é||\nNTE|1|  ".encode("latin_1")
    assert through(process, folder, "site_steps:tidy", raw=raw) == raw.replace(b"AUT|A", b"AUT|N")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("site_steps:raising", r"^site_steps:raising raised KeyError at site_steps\.py:\d+$"),
        ("site_steps:leaving", r"^site_steps:leaving raised SystemExit at site_steps\.py:\d+$"),
        ("site_steps:number", "returned int: None, False, a message or a text is expected"),
        ("site_steps:dying", "^site_steps:dying ended its process$"),
        ("site_steps:missing", "raised AttributeError$"),
        ("site_steps:not_callable", "raised TypeError$"),
        ("broken:tidy", r"raised ZeroDivisionError at broken\.py:2$"),
        ("needy:tidy", r"needs the module no_such_module_anywhere, which is not there at needy\.py:1$"),
        ("nowhere:tidy", "needs the module nowhere, which is not there$"),
    ],
)
def test_what_goes_wrong_is_a_fault_without_values(
    process: StepProcess, folder: Path, function: str, said: str
) -> None:
    with pytest.raises(StepFailed, match=said):
        through(process, folder, function)
    assert through(process, folder, "site_steps:same") == RAW


@pytest.mark.parametrize("function", ["site_steps:spinning", "site_steps:stubborn"])
def test_a_function_ends_with_its_time(process: StepProcess, folder: Path, function: str) -> None:
    with pytest.raises(StepFailed, match=f"^{function} took longer than 0.5 s$"):
        through(process, folder, function, seconds=0.5)
    assert through(process, folder, "site_steps:tidy") == RAW.replace(b"AUT|A", b"AUT|N")


def test_what_a_function_started_ends_with_it(process: StepProcess, folder: Path) -> None:
    (folder / "child").unlink(missing_ok=True)
    with pytest.raises(StepFailed):
        through(process, folder, "site_steps:stuck", seconds=2)
    child = int((folder / "child").read_text())
    try:
        ended = os.pidfd_open(child)
    except ProcessLookupError:
        return
    assert select.select([ended], [], [], 20)[0], "it lives"
    os.close(ended)


def test_settings_of_the_engine_are_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HL7AUTH_DATABASE", "postgresql://user:word@host/db")
    with StepProcess() as process:
        assert b"PID|none\r" in through(process, folder, "site_steps:environment")


def test_channels_in_two_folders_may_have_modules_of_one_name(process: StepProcess, folder: Path) -> None:
    assert b"PID|other\r" in through(process, folder / "other", "site_steps:tidy")
    assert b"AUT|N\r" in through(process, folder, "site_steps:tidy")


def test_a_function_can_be_looked_for_before_any_message(process: StepProcess, folder: Path) -> None:
    process.check(PythonCall("site_steps:tidy", str(folder), 1))
    with pytest.raises(Fault, match="AttributeError"):
        process.check(PythonCall("site_steps:missing", str(folder), 1))


def test_a_long_message_goes_both_ways(process: StepProcess, folder: Path) -> None:
    raw = message(*[f"OBX|{at}|TX|{'x' * 400}" for at in range(2_000)], "AUT|A")
    assert through(process, folder, "site_steps:tidy", raw=raw) == raw.replace(b"AUT|A", b"AUT|N")


def test_a_closed_runner_starts_again(folder: Path) -> None:
    process = StepProcess()
    assert through(process, folder, "site_steps:same") == RAW
    process.close()
    process.close()
    assert through(process, folder, "site_steps:same") == RAW
    process.close()
