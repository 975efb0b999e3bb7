"""Making compiled copies of the modules of the hot path, by mypyc and the C compiler of the machine.

Imports errors and native; mypyc and setuptools inside the process that compiles.

Chosen are modules that do the work of a message and have no models that people write: those are read at run time by
what they declare, which a compiler drops.
"""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile, rmtree, which
from tempfile import TemporaryDirectory

from hl7auth.errors import UserError
from hl7auth.native import MANIFEST, SHARED, SOURCES, about, source_of, stamp

_NAMES = {
    "wire": "ack charset delimiters escapes framing message versions",
    "rules": "check compiled datatypes judge predicate rule spot structure walk",
    "domain": (
        "action action_table answer authorization change correlation dialect document intent lines order"
        " referral_action remarks requests semantics settle snapshot status values"
    ),
    "flow": "decision forwarding handshake indexed intake kind link outbox relay reply returning",
    "store": "ahead deciding field_index journal known numbering rows",
}
MODULES = tuple(f"hl7auth.{package}.{name}" for package, names in _NAMES.items() for name in names.split())

_BUILD = """
import sys
from mypyc.build import mypycify
from setuptools import setup
made, *paths = sys.argv[1:]
sys.argv[1:] = ["--quiet", "build_ext", "--build-lib", made, "--build-temp", made + "/work"]
options = {"opt_level": "2", "debug_level": "0", "group_name": "hl7auth", "target_dir": made + "/c"}
modules = mypycify(["--ignore-missing-imports", *paths], **options)
setup(name="hl7auth-native", packages=[], py_modules=[], ext_modules=modules)
"""
_LAST_LINES = 3


def build(folder: Path, modules: Sequence[str] = MODULES) -> None:
    """Compiles the modules into the folder. Raises UserError where there is no compiler, or it does not take them."""
    _require_tools()
    with TemporaryDirectory(prefix="hl7auth-native-") as made:
        paths = [str(source_of(module)) for module in modules]
        stamps = [(module, stamp(source_of(module))) for module in modules]
        # another process, and not by name of the package: what is compiled must not be in use by who compiles it
        done = subprocess.run(  # noqa: S603 - our own words
            [sys.executable, "-c", _BUILD, made, *paths],
            cwd=SOURCES.parent,
            env={**os.environ, "HL7AUTH_NATIVE": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:]
            raise UserError(f"the modules could not be compiled: {' / '.join(said)}")
        _install(Path(made), folder, modules, stamps)


def remove(folder: Path) -> bool:
    """Takes the compiled copies away; False where there were none."""
    if not (folder / MANIFEST).exists():
        return False
    (folder / MANIFEST).unlink()
    rmtree(folder, ignore_errors=True)  # without the manifest nothing in it is used
    return True


def _require_tools() -> None:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if which(compiler) is None and which("cc") is None:
        raise UserError("there is no C compiler here: apt-get install gcc")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise UserError("the headers of Python are missing: apt-get install python3-dev")
    try:
        import mypyc  # noqa: F401
        import setuptools  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error}: pip install 'hl7auth[native]'") from None


def _install(made: Path, folder: Path, modules: Sequence[str], stamps: Sequence[tuple[str, list[int]]]) -> None:
    """Into place as a whole: without its manifest a folder counts for nothing."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        for name in (SHARED, *modules):
            # a new file, not the old one written over: running engines have that one mapped into memory
            new = folder / f"{name}.new"
            copyfile(made.joinpath(*name.split(".")).with_name(name.rpartition(".")[2] + suffix), new)
            new.replace(folder / f"{name}.so")
        (folder / MANIFEST).write_text(json.dumps({"about": about(), "stamps": stamps}))
    except OSError as error:
        raise UserError(f"can not write to {folder}: {error.strerror}") from None
