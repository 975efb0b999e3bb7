"""What a run of the tests says at its end: which other software was not there to talk to. And what it spares itself."""

import gc
import shutil
from pathlib import Path
from typing import Any

PEERS = Path(__file__).parents[1] / "benchmarks" / "interop"


def _missing() -> str:
    if shutil.which("node") is None:
        return "node is not installed"
    if not (PEERS / "node_modules" / "@medplum" / "hl7").is_dir():
        return "the packages of Node are not there: make interop"
    return ""


NODE_MISSING = _missing()

# a third of the collection of fifteen thousand tests went into looking for garbage among them
gc.set_threshold(100_000, 20, 50)


def pytest_collection_finish() -> None:
    """The tests themselves stay to the end."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Never in silence."""
    if NODE_MISSING:
        terminalreporter.write_line(f"NOT TESTED: interoperability with HL7 software in Node: {NODE_MISSING}")
