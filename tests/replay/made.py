"""Replays inside the process of the test: planned and run as the command line does it."""

from collections import Counter
from pathlib import Path
from typing import Any

from tests.cli.inline import Ran, run
from tests.store.stored import Store


def planned(store: Store, *words: str) -> dict[str, Any]:
    """A plan, as it is told."""
    done = run("replay", "plan", *words, "--by", "ada", "--format", "json", database=store.url)
    assert done.code == 0, done.err
    found: dict[str, Any] = done.document
    return found


def went(store: Store, number: str, *words: str) -> Ran:
    """A run."""
    return run("replay", "run", number, "--by", "ada", "--format", "json", *words, database=store.url)


def replayed(store: Store, *words: str) -> dict[str, Any]:
    """A plan that was run, with every message of it."""
    number = planned(store, *words)["replay"]
    went(store, number)
    return reported(store, number)


def reported(store: Store, number: str) -> dict[str, Any]:
    """The report, with every message of it."""
    found: dict[str, Any] = run(
        "replay", "report", number, "--limit", "0", "--format", "json", database=store.url
    ).document
    return found


def states(report: dict[str, Any]) -> Counter[str]:
    """How many messages came to which end."""
    return Counter(each["state"] for each in report["items"])


def written(path: Path, *messages: bytes) -> Path:
    """A file of messages, one behind the other."""
    path.write_bytes(b"".join(messages))
    return path


def snapshot(store: Store) -> list[tuple[Any, ...]]:
    """Every version of every authorization."""
    return store.rows(
        "SELECT key, version, current, status, message_id, document FROM authorization_version ORDER BY 1, 2"
    )
