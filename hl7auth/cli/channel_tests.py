"""What `channel test` does: runs the tests beside a channel, writes what is expected, and makes tests of messages.

Imports cli.channel_files, cli.common, flow, replay.runners, rules, wire and errors, and to record, the store.
"""

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hl7auth.cli.channel_files import chosen, load_folder, tests_of
from hl7auth.cli.common import messages_of, reading
from hl7auth.errors import Fault, UserError
from hl7auth.replay.runners import running

if TYPE_CHECKING:
    from hl7auth.flow.channel import Channel
    from hl7auth.flow.examples import Example
    from hl7auth.rules.compiled import CompiledProfile
    from hl7auth.wire.message import Message

Entry = dict[str, Any]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_LEAST_DAYS, _MOST_DAYS = 30, 400
_TRIES = 5


def tested(name: str | None, folder: Path | None, update: bool) -> list[Entry]:
    """One entry a test: `channel`, `test`, `passed`, `updated`, `diff` and the `messages` as they came out.

    Raises UserError where there is no test, or a file of it can not be used.
    """
    channels = load_folder(folder) if name is None else [chosen(name, folder)]
    entries = [entry for channel in channels for entry in _tested(channel, update)]
    if not entries:
        places = ", ".join(str(tests_of(channel)) for channel in channels)
        raise UserError(f"there is no test in {places} (files NAME.hl7; see `hl7auth channel test --help`)")
    return entries


def stories(channel: "Channel") -> list[list[tuple[str, bytes]]]:
    """The messages of each test of a channel with the name of their file. Raises UserError where there is none."""
    found = [list(example.messages) for example in _examples(channel)]
    if not found:
        raise UserError(f"there is no test in {tests_of(channel)} (files NAME.hl7): name the files to be tried")
    return found


def recorded(name: str | None, folder: Path | None, ids: Sequence[int], test: str | None, database: str) -> Entry:
    """Makes a test of archived messages, in the order of the ids, with other identities. Raises UserError.

    The entry has `channel`, `test`, the `written` files, and for each message how it ended then and ends now.
    """
    found = _archived(ids, database)
    channel = chosen(name or found[0]["channel"], folder)
    test = test or f"recorded-{ids[0]}"
    where = tests_of(channel)
    if not _NAME.fullmatch(test):
        raise UserError(f"'{test}' is no name of a test: letters, digits, - and _ only")
    if any(where.glob(f"{test}.*")):
        raise UserError(f"{where / test}: there is such a test; give another name with --as")
    texts = _disguised(channel, found)
    names = [f"{test}.hl7"] if len(texts) == 1 else [f"{test}.{number}.hl7" for number in range(1, len(texts) + 1)]
    try:
        where.mkdir(parents=True, exist_ok=True)
        for file, text in zip(names, texts, strict=True):
            (where / file).write_bytes(text)
    except OSError as error:
        raise UserError(f"{where}: {(error.strerror or str(error)).lower()}") from None
    (entry,) = [each for each in _tested(channel, True, test) if each["test"] == test]
    written = [*(where / file for file in names), Path(entry["file"])]
    ends = [
        {"id": one["id"], "then": one["disposition"], "now": other["disposition"]}
        for one, other in zip(found, entry["messages"], strict=True)
    ]
    return {"channel": channel.name, "test": test, "written": [str(path) for path in written], "messages": ends}


def tests_text(entries: list[Entry]) -> str:
    """The entries for people."""
    lines = [line for entry in entries for line in _test_lines(entry)]
    passed = sum(entry["passed"] for entry in entries)
    return "\n".join([*lines, f"{passed} of {len(entries)} test(s) as expected"])


def record_text(entry: Entry) -> str:
    """What was recorded, for people."""
    lines = [f"written {path}" for path in entry["written"]]
    for each in entry["messages"]:
        if each["then"] != each["now"]:
            lines.append(
                f"message {each['id']} was {each['then']} then, and is {each['now']} here: "
                "what it depends on may have to be recorded before it"
            )
    return "\n".join([*lines, "Read the files before you keep them: free text is gone, codes and organisations stay."])


def _tested(channel: "Channel", update: bool, only: str | None = None) -> list[Entry]:
    from hl7auth.flow.examples import compare, expected_text, outcomes

    examples = [example for example in _examples(channel) if only in (None, example.name)]
    with running(channel) as runner:
        came_out = [outcomes(example, channel, runner) for example in examples]
    entries = []
    for example, found in zip(examples, came_out, strict=True):
        path = tests_of(channel) / f"{example.name}.expected.yaml"
        verdict = compare(example, found)
        if write := update and not verdict.passed:
            _write(path, expected_text(example, found))
        entries.append(
            {
                "channel": channel.name,
                "test": example.name,
                "passed": verdict.passed or write,
                "updated": write,
                "file": str(path),
                "missing": verdict.missing,
                "diff": list(verdict.lines),
                "messages": found,
            }
        )
    return entries


def _examples(channel: "Channel") -> "list[Example]":
    from hl7auth.flow.examples import EXPECTED, MESSAGE, Example, example_of, in_order, read_expected

    folder = tests_of(channel)
    files = in_order(path.name for path in folder.glob(f"*{MESSAGE}"))
    names = dict.fromkeys(example_of(file) for file in files)
    for path in sorted(folder.glob(f"*{EXPECTED}")):
        if path.name.removesuffix(EXPECTED) not in names:
            raise UserError(f"{path}: there is no message {path.name.removesuffix(EXPECTED)}{MESSAGE} beside it")
    found = []
    for name in names:
        own = [file for file in files if example_of(file) == name]
        messages = tuple((file, raw) for file in own for _, raw in messages_of([folder / file]))
        expected = folder / f"{name}{EXPECTED}"
        found.append(Example(name, messages, read_expected(expected) if expected.exists() else None))
    return found


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def _archived(ids: Sequence[int], database: str) -> list[Entry]:
    from hl7auth.store.archive import read_whole

    with reading(database) as connection:
        return [read_whole(connection, each) for each in ids]


def _disguised(channel: "Channel", found: Sequence[Entry]) -> list[bytes]:
    """The messages with other people in them. Dates move by a number of days that is kept nowhere."""
    from hl7auth.flow.disguise import NotDisguised, disguised
    from hl7auth.wire.message import parse
    from hl7auth.wire.versions import VERSIONS

    def profile_of(message: "Message") -> "CompiledProfile":
        version = message.header.version
        return channel.compiled(channel.file.profile_of(message), version if version in VERSIONS else VERSIONS[-1])

    try:
        messages = [parse(each["raw"], channel.file.fallback_charset) for each in found]
    except Fault as fault:
        raise UserError(f"what is no HL7 message can not be disguised: {fault}") from None
    for _ in range(_TRIES - 1):
        try:
            return disguised(messages, profile_of, -_days())
        except NotDisguised:
            continue  # a date that moved onto a date of birth: other days will do
    return disguised(messages, profile_of, -_days())


def _days() -> int:
    return _LEAST_DAYS + secrets.randbelow(_MOST_DAYS - _LEAST_DAYS)


def _test_lines(entry: Entry) -> list[str]:
    name = f"{entry['channel']}/{entry['test']}"
    if entry["updated"]:
        return [f"{name}: written {entry['file']}", *(f"  {line}" for line in entry["diff"])]
    if entry["missing"]:
        return [f"{name}: NOT TESTED: nothing is expected yet; `--update` writes {entry['file']}"]
    if not entry["passed"]:
        return [f"{name}: NOT AS EXPECTED", *(f"  {line}" for line in entry["diff"])]
    return [f"{name}: as expected ({len(entry['messages'])} message(s))"]
