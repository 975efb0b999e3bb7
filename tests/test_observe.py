"""Ids that grow, and logs that can not quote a message."""

import json
import logging
import sys

import pytest

from hl7auth.observe import MAX_WORKERS, JsonLines, ids, log, now


def test_ids_grow_whatever_the_clock_does() -> None:
    times = iter([1_800_000_000_000_000, 1_800_000_000_000_000, 1_700_000_000_000_000, 1_800_000_000_002_000])
    new_id = ids(lambda: next(times))
    found = [new_id() for _ in range(4)]
    assert found == sorted(set(found))
    assert found[3] - found[0] > 1 << 22


def test_ids_of_workers_never_meet() -> None:
    clock = lambda: 1_800_000_000_000_000  # noqa: E731
    sources = [ids(clock, worker) for worker in range(MAX_WORKERS)]
    found = [[new_id() for _ in range(100)] for new_id in sources]
    assert len({each for some in found for each in some}) == MAX_WORKERS * 100
    assert all(some == sorted(some) and {each % MAX_WORKERS for each in some} == {n} for n, some in enumerate(found))
    # a millisecond later all are beyond all of before: what a worker gives after a restart is new
    assert ids(lambda: 1_800_000_000_001_000, 0)() > max(max(some) for some in found)


def test_ids_fit_into_64_bits_and_20_characters() -> None:
    latest = ids(lambda: 3_471_292_800_000_000)()  # the year 2080
    assert latest < 2**63
    assert len(str(ids(now)())) <= 20  # MSH-10 up to 2.6


def test_a_log_line_is_json_and_does_not_quote_exceptions(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("Quill^Ivo")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "a sentence", None, sys.exc_info())
    record.action, record.fields = "store.failed", {"messages": 3}
    line = JsonLines().format(record)
    entry = json.loads(line)
    assert (entry["action"], entry["text"], entry["messages"], entry["error"]) == (
        "store.failed",
        "a sentence",
        3,
        "ValueError",
    )
    assert entry["where"]
    assert "Quill" not in line
    with caplog.at_level(logging.INFO, "hl7auth"):
        log("listener.ready", "listening", channel="x")
    assert caplog.records[0].fields == {"channel": "x"}  # type: ignore[attr-defined]
