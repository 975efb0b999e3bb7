"""What a Python step gave back, and how it lands in the message.

Imports wire, steps and the standard library only. The function itself runs elsewhere: steps know it as a parameter.
"""

import re

from hl7auth.steps.calls import Entries, PythonCall, Runner
from hl7auth.steps.draft import MAX_LINES, Draft
from hl7auth.steps.faults import StepFailed

_NAME = re.compile(r"[A-Z][A-Z0-9]{2}", re.ASCII)


def call(draft: Draft, request: PythonCall, runner: Runner | None, label: str) -> None:
    """Have a function shape the message. Raises StepFailed."""
    if runner is None:
        raise StepFailed(f"{request.function} can not run here: Python steps need a running engine")
    entries = runner(request, [draft.carried.meaning(line.text) for line in draft.lines])
    if entries is None:
        draft.dropped = True
        draft.remark(label, "python", f"dropped by {request.function}")
    elif list(entries) != list(range(len(draft.lines))):
        _land(draft, [_checked(draft, entry, request) for entry in entries], request)


def _land(draft: Draft, entries: Entries, request: PythonCall) -> None:
    if not entries or len(entries) > MAX_LINES or not _is_header(draft, entries[0]):
        raise StepFailed(f"{request.function} gave back no message with the MSH-1 and MSH-2 of the one it got")
    kept = [entry for entry in entries if isinstance(entry, int)]
    if len(set(kept)) < len(kept):
        raise StepFailed(f"{request.function} gave back an answer that can not be read")
    if len(entries) == len(draft.lines) and all(
        isinstance(entry, str) or entry == at for at, entry in enumerate(entries)
    ):
        for line, entry in zip(list(draft.lines), entries, strict=True):
            if isinstance(entry, str):
                line.name = entry[:3]
                draft.rewrite(line, entry)
    else:
        draft.replace_lines(entries)


def _is_header(draft: Draft, entry: int | str) -> bool:
    if isinstance(entry, int):
        return entry == 0
    return entry.startswith(f"MSH{draft.marks.field}{draft.marks.encoding_characters}{draft.marks.field}")


def _checked(draft: Draft, entry: int | str, request: PythonCall) -> int | str:
    """An entry that can stand in the message, a new text in what its character set has."""
    if isinstance(entry, int):
        if not 0 <= entry < len(draft.lines):
            raise StepFailed(f"{request.function} gave back an answer that can not be read")
        return entry
    if not _NAME.fullmatch(entry[:3]) or entry[3:4] not in ("", draft.marks.field):
        raise StepFailed(f"{request.function} gave back a segment without a name")
    if any(sign in entry for sign in "\r\x0b\x1c"):
        raise StepFailed(f"{request.function} gave back a segment with a raw segment end or framing byte")
    return draft.fit(entry)
