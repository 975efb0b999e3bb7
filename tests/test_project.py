"""Rules that the whole project keeps, and the wheel that must work where no checkout is."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hl7auth

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "hl7auth").rglob("*.py"))
NAMED = [path for path in MODULES if path.name != "__init__.py" and "migrations" not in path.parts]


def test_the_changelog_knows_this_version() -> None:
    assert f"## {hl7auth.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", NAMED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_holds_and_what_it_may_import(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) >= 2
    assert any(line.startswith(("Imports ", "Run by ")) for line in lines), text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "migrations" not in path.parts:
            assert (node.end_lineno or 0) - node.lineno < 50, f"{path}: {node.name}"


def test_nothing_is_left_open_in_the_code() -> None:
    for path in MODULES:
        assert not re.search(r"NotImplementedError|TODO|FIXME|XXX", path.read_text()), path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout and unpacked where the checkout is not."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".*", "build", "var", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "source", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", "./source"], cwd=folder, check=True
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", "site", str(wheel)], cwd=folder, check=True)
    shutil.rmtree(folder / "source")
    return folder


def run(installed: Path, *words: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "hl7auth", *words], cwd=installed, env={"PYTHONPATH": str(installed / "site")},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return result.stdout


def test_the_wheel_carries_profiles_channels_samples_and_benchmarks(installed: Path) -> None:
    site = installed / "site" / "hl7auth"
    assert str(site / "channels" / "referral-intake.yaml") in run(installed, "channel", "list", "--format", "json")
    assert "aut-standard" in run(installed, "profile", "list")
    assert "AUT" in run(installed, "profile", "show", "aut-standard", "--hl7-version", "2.9.1")
    for name in ("limit.py", "canned.py", "load.py", "template.py"):
        assert (site / "benchmarks" / name).is_file()
    assert len(list((site / "sample_messages").glob("*.hl7"))) >= 25


def test_the_wheel_serves(installed: Path) -> None:
    channels = installed / "own"
    channels.mkdir()
    (channels / "own.yaml").write_text("channel: own\nlisten: tcp:0:interface=127.0.0.1\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "hl7auth", "serve", "--channels", "own"], cwd=installed,
        env={"PYTHONPATH": str(installed / "site")}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline().startswith("listening on tcp:")
    process.terminate()
    assert process.wait(timeout=20) == 0
