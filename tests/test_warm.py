"""What the tests' own way to start processes promises: a process like any other."""

import os
import signal
import subprocess
from pathlib import Path

from tests.serving import ENVIRONMENT, Line, Serving
from tests.warm import Process, run


def test_a_command_has_its_own_folder_environment_input_and_end(tmp_path: Path) -> None:
    made = run("db", "upgrade", folder=tmp_path, stdin=b"", env=ENVIRONMENT | {"HL7AUTH_DATABASE": "sqlite:///own.db"})
    assert (made.returncode, made.stderr) == (0, b"")
    assert (tmp_path / "own.db").exists()
    read = run("check", "-", folder=tmp_path, stdin=b"hello", env=ENVIRONMENT)
    assert read.returncode == 2
    assert b"MSH" in read.stdout + read.stderr
    wrong = run("message", "list", folder=tmp_path, stdin=b"", env=ENVIRONMENT)
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert wrong.stderr.startswith(b"hl7auth: ")


def test_an_engine_is_ended_by_signals_and_keeps_nothing_of_another(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with Serving(tmp_path / "one", 1) as one:
        with Serving(tmp_path / "two", 1) as two:
            assert one.process.pid != two.process.pid
            assert os.readlink(f"/proc/{two.process.pid}/cwd") == str(tmp_path / "two")
            ours = {os.readlink(each) for each in Path(f"/proc/{one.process.pid}/fd").iterdir()}
            theirs = {os.readlink(each) for each in Path(f"/proc/{two.process.pid}/fd").iterdir()}
            assert not [each for each in ours & theirs if each.startswith(("socket:", "pipe:", "/tmp"))]
            two.process.kill()
            assert two.process.wait(20) == -signal.SIGKILL
            two.until_gone()
        with Line(one.port):
            pass
        one.process.terminate()
        assert one.process.wait(20) == 0
        one.until_gone()


def test_its_outputs_are_pipes_or_files_or_nothing(tmp_path: Path) -> None:
    process = Process(["--version"], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is None
    with process.stdout:
        assert process.stdout.read().startswith(b"hl7auth ")
    assert process.wait(20) == 0
    assert process.poll() == 0
    process.kill()  # it is gone: nobody is hit
