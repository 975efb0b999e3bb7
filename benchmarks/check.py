"""What a full check costs by the size of the message: prints one JSON document.

Imports the standard library, the template beside it, and hl7auth's rules and wire.

    python check.py [--seconds S]

CPU milliseconds per message for structure, data types, tables, lengths, predicates and statements, under two profiles.
`check` is the check alone, with its memory of good values warm, as the best and the median of many messages; on a busy
machine the best is what the work costs. `first` is the first message of its kind; `read` is reading the bytes into a
message. `budget` is what the check of the 2 KB message may cost, and whether it keeps to it.
"""

import argparse
import base64
import gc
import json
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from hl7auth.rules.check import check
from hl7auth.rules.compiled import CompiledProfile, compiled
from hl7auth.wire.message import Message, parse

if TYPE_CHECKING or __package__:
    from .template import TEMPLATE, message
else:  # run by path: this folder is on sys.path, its parent need not be
    from template import TEMPLATE, message

Result = TypeVar("Result")
PROFILES = ("referral", "rqa-i08")
MEDIUM, MANY, LARGE = 20_000, 600_000, 2_000_000
"""Bytes of the larger messages; what makes them so is a document in OBX-5 (base64), or many observations: as many as
the engine takes have some 600 KB."""

BUDGET_MS = 0.15


def observations(size: int) -> str:
    """The template with as many observations as make up that size."""
    one = "OBX|2|NM|KNEE-FLEX^Flexion of the knee^L||85|deg^Degrees^UCUM|||||F|||20260227102000\r"
    return _before_visit(one * ((size - len(TEMPLATE)) // len(one)))


def document(size: int) -> str:
    """The template with one document of that size."""
    data = base64.b64encode(bytes(range(256)) * (size * 3 // 4 // 256)).decode()
    return _before_visit(f"OBX|2|ED|DOC^Letter^L||HILL^AP^PDF^Base64^{data}||||||F\r")


def _before_visit(segments: str) -> str:
    head, tail = TEMPLATE.split("PV1|", 1)
    return f"{head}{segments}PV1|{tail}"


def measure(template: str, name: str, seconds: float) -> dict[str, float | int]:
    """CPU milliseconds; every message is another one, as on a feed."""
    gc.freeze()
    read, checked, findings, segments, number = list[float](), list[float](), 0, 0, 0
    rules = compiled(name, parse(message(template, 0, "CHECK")).header.version)
    until = time.process_time() + seconds
    while time.process_time() < until or number < 5:
        raw = message(template, number, "CHECK")
        found, spent = _timed(lambda raw=raw: parse(raw))  # type: ignore[misc]
        read.append(spent)
        listed, spent = _timed(lambda found=found: _checked(found, rules))  # type: ignore[misc]
        checked.append(spent)
        findings, number, segments = len(listed), number + 1, len(found.segments)
    return {
        "bytes": len(raw),
        "segments": segments,
        "messages": number,
        "findings": findings,
        "read_ms": round(statistics.median(read), 4),
        "check_best_ms": round(min(checked), 4),
        "check_ms": round(statistics.median(checked), 4),
        "check_first_ms": round(checked[0], 4),
        "check_best_us_per_segment": round(min(checked) * 1e3 / segments, 2),
    }


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    before = time.process_time_ns()
    result = work()
    return result, (time.process_time_ns() - before) / 1e6


def _checked(found: Message, rules: CompiledProfile) -> list[object]:
    header = found.header
    structure = rules.structure_of(header.message_type, header.trigger_event)
    if structure is None:
        raise RuntimeError("the template has no structure")
    return list(check(found, rules, rules.layout(structure, tuple([each.name for each in found.segments]))))


def main() -> None:
    """The command."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--seconds", type=float, default=0.5, help="CPU time for each message and profile")
    asked = arguments.parse_args()
    sizes = {
        "template": TEMPLATE,
        "20 KB of observations": observations(MEDIUM),
        "600 KB of observations": observations(MANY),
        "20 KB document": document(MEDIUM),
        "2 MB document": document(LARGE),
    }
    found = {name: {size: measure(text, name, asked.seconds) for size, text in sizes.items()} for name in PROFILES}
    worst = max(each["template"]["check_best_ms"] for each in found.values())
    budget = {"must_ms": BUDGET_MS, "worst_best_ms": worst, "met": worst <= BUDGET_MS}
    print(json.dumps({"budget": budget, **found}, indent=2))


if __name__ == "__main__":
    main()
