"""Compiled copies of the pure modules that every message goes through: used in their place while they are true copies.

Imports the standard library only, and is imported before everything else of the project.

`hl7auth compile` makes them, by mypyc, into a folder of the Python environment. Nothing else differs: each module is
the same source, and one whose source has changed since is not used any more, nor is any other.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

SOURCES = Path(__file__).resolve().parent
FOLDER = Path(os.environ.get("HL7AUTH_NATIVE") or Path(sys.prefix) / "lib" / "hl7auth-native")
"""Where the copies are; `HL7AUTH_NATIVE` names another folder, and one that does not exist means none."""

MANIFEST = "manifest.json"
SHARED = "hl7auth__mypyc"
"""The extension module that holds the code of all the others."""


def stamp(path: Path) -> list[int]:
    """Size in bytes and time of the last change in nanoseconds. Raises OSError."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def source_of(module: str) -> Path:
    """The source file of a module, by its full name."""
    return SOURCES.joinpath(*module.split(".")[1:]).with_suffix(".py")


def about() -> dict[str, object]:
    """What the copies have to be made for: this very Python and this very checkout."""
    return {"python": sys.version, "sources": str(SOURCES)}


def copies(folder: Path) -> dict[str, Path]:
    """The extension of each compiled module; none where there are none, or where one is no true copy any more."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["about"] != about() or any(stamp(source_of(name)) != then for name, then in manifest["stamps"]):
            return {}
        return {name: folder / f"{name}.so" for name in (SHARED, *(name for name, _ in manifest["stamps"]))}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


class Finder:
    """Finds the compiled copies before Python looks for the sources."""

    def __init__(self, found: dict[str, Path]) -> None:
        self.found = found

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - asked by Python
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """The place of a module that has a compiled copy."""
        file = self.found.get(fullname)
        if file is None:
            return None
        return spec_from_file_location(fullname, file, loader=ExtensionFileLoader(fullname, str(file)))


def use_copies() -> None:
    """From now on compiled copies are imported, where there are some."""
    if found := copies(FOLDER):
        sys.meta_path.insert(0, Finder(found))


def in_use() -> bool:
    """Are compiled copies imported by this process?"""
    return any(isinstance(each, Finder) for each in sys.meta_path)
