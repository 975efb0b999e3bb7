"""Compiled copies of modules: made, used, and not used where they are no true copies any more."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hl7auth import native
from hl7auth.cli import native_build
from hl7auth.errors import UserError

TWO = ("hl7auth.wire.delimiters", "hl7auth.wire.escapes")
ASK = r"""
import hl7auth.wire.escapes as escapes
from hl7auth.wire.delimiters import Delimiters
print(escapes.__file__)
print(escapes.unescape("a\\F\\b\\X4142\\", Delimiters()))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two modules, compiled."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    made = tmp_path_factory.mktemp("native")
    native_build.build(made, TWO)
    return made


def ask(folder: Path) -> tuple[Path, str]:
    """From where a new process takes the module, and what it says."""
    environment = {**os.environ, "HL7AUTH_NATIVE": str(folder), "PYTHONPATH": str(native.SOURCES.parent)}
    done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True)
    file, said = done.stdout.splitlines()
    return Path(file), said


def test_a_new_process_takes_the_compiled_modules_and_says_the_same(folder: Path, tmp_path: Path) -> None:
    assert ask(folder) == (folder / "hl7auth.wire.escapes.so", "a|bAB")
    assert ask(tmp_path / "none") == (native.SOURCES / "wire" / "escapes.py", "a|bAB")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda manifest: manifest["about"].update(python="2.7"),
        lambda manifest: manifest["about"].update(sources="/elsewhere"),
        lambda manifest: manifest["stamps"][1].__setitem__(1, [1, 2]),
        lambda manifest: manifest["stamps"][1].__setitem__(0, "hl7auth.wire.gone"),
        lambda manifest: manifest.pop("stamps"),
    ],
    ids=["other python", "other checkout", "changed source", "source gone", "no stamps"],
)  # fmt: skip
def test_what_is_no_true_copy_is_not_used(
    folder: Path, tmp_path: Path, spoil: Callable[[dict[str, Any]], object]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert native.copies(copy)
    manifest = json.loads((copy / native.MANIFEST).read_bytes())
    spoil(manifest)
    (copy / native.MANIFEST).write_text(json.dumps(manifest))
    assert native.copies(copy) == {}


def test_a_manifest_that_is_none_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / native.MANIFEST).write_bytes(b"[1, 2")
    assert native.copies(tmp_path) == {}
    (tmp_path / native.MANIFEST).write_bytes(b"[1, 2]")
    assert native.copies(tmp_path) == {}


def test_removed_copies_are_gone(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert native_build.remove(copy)
    assert not copy.exists()
    assert not native_build.remove(copy)


def test_a_machine_without_a_compiler_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no C compiler"):
        native_build.build(tmp_path / "native", TWO)
    assert not (tmp_path / "native").exists()


@pytest.mark.parametrize("module", native_build.MODULES)
def test_modules_that_are_compiled_declare_no_models(module: str) -> None:
    text = native.source_of(module).read_text()
    assert "pydantic" not in text
    assert "(Strict" not in text
