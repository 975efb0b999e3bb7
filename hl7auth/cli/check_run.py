"""Checks the messages of files, on one core or on many, and draws what was found while it goes.

Imports errors, cli.check_input, cli.check_choice, reports, flow.intake (for what can not be read), rules and wire.
"""

import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hl7auth.cli.check_choice import Choice
from hl7auth.cli.check_input import Part, Source, parts
from hl7auth.errors import Fault
from hl7auth.reports.forms import form
from hl7auth.reports.report import Remark, Report, remarks
from hl7auth.reports.tally import Tally
from hl7auth.rules.check import check
from hl7auth.rules.compiled import CompiledProfile, compile_profile, compiled
from hl7auth.rules.finding import Finding, shape_of
from hl7auth.rules.profile import load_profile
from hl7auth.wire.ack import Location
from hl7auth.wire.message import Message, parse

if TYPE_CHECKING:
    from concurrent.futures import Future

_FILES_AT_ONCE = 32
"""Files of one piece of work: enough that handing it over costs nothing, few enough that a bar moves."""

_EVENT = re.compile(r"[A-Z][A-Z0-9]{2}(?:\^[A-Z0-9]{3})?", re.ASCII)
"""MSH-9 is what the sender wrote: only what can be an event is shown as it is."""

_VALUED = re.compile(r"HL7 version (?![\d.]{1,8} is).* is not supported|the character set .*", re.DOTALL)
"""Reasons that hold what the sender wrote, beyond a number."""

_COUNT = re.compile(r"(?<=TS-1 says )(?!\d{1,9} ).*(?= (?:messages|batches), \d)", re.DOTALL)
"""A count that is none, in what is odd about a batch."""

_AHEAD = 4
"""Pieces of work a core may be ahead of what was written: so memory does not grow with the number of files."""


class Settings(NamedTuple):
    """What was asked for: `profile` is a name or a file, None to choose by message; `folder` holds more profiles."""

    profile: str | None = None
    folder: Path | None = None
    form: str = "text"
    summary: bool = False
    values: bool = False
    affirmative: bool = False


class Piece(NamedTuple):
    """What came of one piece of work: what is to be written, and the counts."""

    fragments: list[str]
    tally: Tally


Work = Sequence[Source | Part]


class Checker:
    """Checks one message after another with the profile that each one asks for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.choice = Choice(settings.folder)
        self.form = form(settings.form, settings.summary)

    def work(self, work: Work) -> Piece:
        """Checks the messages of some files. Raises UserError for a profile that can not be used."""
        piece = Piece([], Tally())
        for each in work:
            found = (each,) if isinstance(each, Part) else tuple(parts(each))
            piece.tally.skipped += not found
            for part in found:
                reports = self._reports(part)
                piece.tally.add(reports, begins=part.first == 1)
                text = self.form.fragment(reports)
                if text:
                    piece.fragments.append(text)
        return piece

    def _reports(self, part: Part) -> list[Report]:
        if part.unusable:
            return [Report(part.file, part.first, "", "", "", "", (), part.unusable, part.unusable)]
        found = [self._report(part.file, number, raw) for number, raw in enumerate(part.messages, start=part.first)]
        if part.notes:
            notes = (
                part.notes if self.settings.values else [_COUNT.sub("another number of", each) for each in part.notes]
            )
            said = tuple(Remark(_file_note(note)) for note in notes)
            found[-1] = found[-1]._replace(remarks=found[-1].remarks + said)
        return found

    def _report(self, file: str, number: int, raw: bytes) -> Report:
        try:
            message = parse(raw)
            rules = self._rules(message)
        except Fault as fault:
            from hl7auth.flow.intake import salvage

            reason = (type(fault).__doc__ or "").strip()
            told = str(fault) if self.settings.values or not _VALUED.fullmatch(str(fault)) else reason
            return Report(file, number, salvage(raw)[0].control_id, "", "", "", (), told, reason)
        header = message.header
        found = self._findings(message, rules)
        shown = remarks(message, found, self.settings.values) if found else ()
        event = header.event if self.settings.values or _EVENT.fullmatch(header.event) else shape_of(header.event)
        return Report(file, number, header.control_id, event, header.version, rules.profile.profile, shown)

    def _rules(self, message: Message) -> CompiledProfile:
        """Raises UnknownVersion, and UserError for a profile that can not be used."""
        version, named = message.header.version, self.settings.profile
        if named is not None and is_file(named):
            return _compiled_file(named, version)
        return compiled(named or self.choice.of(message), version, self.settings.folder)

    def _findings(self, message: Message, rules: CompiledProfile) -> list[Finding]:
        header = message.header
        structure = rules.structure_of(header.message_type, header.trigger_event)
        if structure is None or not rules.has_structure(structure):
            return [_no_structure(message), *check(message, rules, None, affirmative=self.settings.affirmative)]
        names = tuple([segment.name for segment in message.segments])
        return check(message, rules, rules.layout(structure, names), affirmative=self.settings.affirmative)


def is_file(profile: str) -> bool:
    """True for the file of a profile, false for a name."""
    return profile.endswith((".yaml", ".yml"))


@cache
def _compiled_file(path: str, version: str) -> CompiledProfile:
    return compile_profile(load_profile(Path(path)), version)


def pieces(found: Sequence[Source], settings: Settings, jobs: int, moved: Callable[[int], None]) -> Iterator[Piece]:
    """The pieces of work in the order of the files; `moved` is told how many files are done."""
    works = _works(found)
    for piece in _alone(works, settings) if jobs < 2 else _together(works, settings, jobs):
        moved(piece.tally.files + piece.tally.skipped)
        yield piece


def _works(found: Sequence[Source]) -> Iterator[Work]:
    """Files as they stand, many at once; of a large one its parts, so that many cores can share it."""
    held: list[Source] = []
    for source in found:
        if not source.large:
            held.append(source)
        if len(held) >= _FILES_AT_ONCE or (source.large and held):
            yield held
            held = []
        if source.large:
            some = parts(source)
            first = next(some, None)
            yield from ([part] for part in chain([first], some)) if first else ([source],)
    if held:
        yield held


def _alone(works: Iterator[Work], settings: Settings) -> Iterator[Piece]:
    yield from map(Checker(settings).work, works)


def _together(works: Iterator[Work], settings: Settings, jobs: int) -> Iterator[Piece]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # a forked process has the profiles and the dictionary already; elsewhere than on Linux forking is not safe
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    running: deque[Future[Piece]] = deque()
    with ProcessPoolExecutor(jobs, context, _begin, (settings,)) as pool:
        try:
            for work in works:
                running.append(pool.submit(_work, work))
                if len(running) >= jobs * _AHEAD:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


_checkers: list[Checker] = []


def _begin(settings: Settings) -> None:
    """What each process does first: it keeps its checker, with all that it remembers of good values."""
    _checkers[:] = [Checker(settings)]


def _work(work: Work) -> Piece:
    return _checkers[0].work(work)


def _no_structure(message: Message) -> Finding:
    text = "this message has no known structure: the order of its segments is not checked"
    mend = "Send an event that the profile knows, or name its structure in the profile under `events`."
    msh = message.segments[0]
    start = sum(len(field) + 1 for field in msh.fields[:9]) - 2  # MSH-1 is the separator itself
    place = message.byte_range(start, start + len(msh.field(9)))
    return Finding(
        "MSH-9.structure", "warning", "MSH-9", text, "199", Location("MSH", 1, 9), *place,
        category="structure", line=1, mend=mend,
    )  # fmt: skip


def _file_note(note: str) -> Finding:
    """What is odd about the file, as a finding of its last message: counts of the batch protocol, framing, strays."""
    path = note[:5] if note.startswith(("BTS-1", "FTS-1")) else "MSH"
    rule = "batch.count" if path != "MSH" else "batch.file"
    mend = {
        "BTS-1": "Send in BTS-1 how many messages the batch has.",
        "FTS-1": "Send in FTS-1 how many batches the file has.",
    }.get(
        path, "Send nothing but messages in a file, framed alike, or a batch file of FHS, BHS, messages, BTS and FTS."
    )
    finding = Finding(rule, "warning", path, note, "199", Location(path[:3]), 0, 0, category="structure")
    return finding._replace(standard="HL7 chapter 2", mend=mend)
