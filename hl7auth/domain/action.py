"""Action mode: each AUT with an action code acts on the one authorization, or the one line, that it names.

Imports wire.ack and domain only.

All members are judged before any is applied, against what was known before the message: MSA-1 speaks for the whole of
it. Empty fields keep what is stored, `""` clears it, a repeating field always comes whole (chapter 2, 2.10.4.2).
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from hl7auth.domain.action_table import SNAPSHOT_CODES, Effect, Step, step
from hl7auth.domain.authorization import Aut, Claim, Line, line_priority, line_values
from hl7auth.domain.change import Refused, end, ended, store
from hl7auth.domain.correlation import requests_of
from hl7auth.domain.document import AUT_KEYS, Document, build, of_whole, said
from hl7auth.domain.intent import Change, Intent, Known, Record, set_of
from hl7auth.domain.lines import Lines, identity
from hl7auth.domain.requests import asked_status, ends_request, is_decided, waiting
from hl7auth.domain.settle import settled_by
from hl7auth.domain.snapshot import over
from hl7auth.domain.status import Status, decided
from hl7auth.domain.values import Values
from hl7auth.wire.ack import Problem

RULE = {
    Effect.INSERT: "added",
    Effect.MERGE: "updated",
    Effect.REPLACE: "replaced",
    Effect.END: "deleted",
}
"""The rule of a change, as the history names it."""

_DECIDING = frozenset(
    {"approval_status", "authorized_units", "authorized_treatments", "requested_treatments", "effective_date"}
)


class Member(NamedTuple):
    """One AUT with what it acts on: a line, or (without one) the authorization as a whole."""

    aut: Aut
    claim: Claim
    line: Line | None
    place: int

    @property
    def key(self) -> str:
        """The key of its authorization."""
        return self.claim.identifier.key if self.claim.identifier else ""


def acts(intent: Intent) -> bool:
    """True for a message in action mode. An event that cancels does so by itself, unless a D says of what."""
    codes = {aut.action for claim in intent.claims for aut in claim.auts} - SNAPSHOT_CODES
    return "D" in codes if intent.cancels else bool(codes)


def act(intent: Intent, known: Known, request: Record | None) -> list[Change]:
    """The changes of a message in action mode. Raises Refused with every problem."""
    work = _Work(intent, known, request)
    for member in _members(intent):
        work.judge(member)
    if work.problems:
        raise Refused(*work.problems)
    for member, does, place in work.judged:
        work.apply(member, does, place)
    return work.changes()


def _members(intent: Intent) -> Iterator[Member]:
    for claim in intent.claims:
        if claim.top:
            yield Member(claim.top, claim, None, 0)
        yield from (Member(line.aut, claim, line, at) for at, line in enumerate(claim.lines) if line.aut)


class _Work:
    """The documents of one message on their way."""

    def __init__(self, intent: Intent, known: Known, request: Record | None) -> None:
        self.intent = intent
        self.known = known
        self.request = request
        self.assumed = asked_status(intent) if intent.is_request else None
        self.problems: list[Problem] = []
        self.judged: list[tuple[Member, Effect, int | None]] = []
        self._lines: dict[str, Lines] = {}
        self._added: set[tuple[str, tuple[str, str, int]]] = set()
        self._drafts: dict[str, Document] = {}
        self._rules: dict[str, str] = {}
        self._sets: dict[str, str] = {}
        self._beside: dict[str, Claim] = {}
        self._actions: dict[str, str] = {}
        self._sent: dict[str, Counter[str]] = {}
        self._with_lines: set[str] = set()

    def stored(self, key: str) -> Document | None:
        """What is known of an authorization; what has ended is not known any more."""
        record = self.known.record(key)
        return record.document if record is not None and record.status != Status.CANCELLED else None

    def judge(self, member: Member) -> None:
        """Looks the member up in the table, and for what it acts on in the store."""
        aut = member.aut
        if over(self.known.record(member.key), self.request, self.intent):
            return
        place, known, problem = self._place(member) if aut.number else (None, False, None)
        does = step(aut.action, bool(aut.number), known)
        if problem is not None and does.effect in (Effect.MERGE, Effect.END, Effect.REPLACE):
            self.problems.append(problem)
        elif does.code == "205" and self._same_again(member, place):
            self.judged.append((member, Effect.KEEP, place))
        elif does.effect is Effect.REFUSE:
            self.problems.append(_problem(aut, does))
        elif self.intent.is_request and self.intent.cancels and does.effect is not Effect.END:
            self.judged.append((member, Effect.KEEP, place))  # a cancellation changes nothing but what it ends
        else:
            self.judged.append((member, does.effect, place))

    def _place(self, member: Member) -> tuple[int | None, bool, Problem | None]:
        """The stored line that is meant, whether what is meant is known, and why that can not be told."""
        document = self.stored(member.key)
        line = member.line
        if line is None:
            mark: tuple[str, str, int] = ("", "", -1)
            known, place, problem = document is not None, None, None
        else:
            mark = (*identity(line), member.place)
            stored = document.get("lines", []) if document else []
            if member.key not in self._lines:
                self._lines[member.key] = Lines(stored)
            lines = self._lines[member.key]
            problem = self._ambiguous(member, line, lines)
            place = lines.find(line, member.place)
            known = place is not None and _is_there(stored[place], member.aut.action)
        if member.aut.action == "A":
            # a line is added to what is known only beside a message-level AUT that speaks of that
            stranger = document is not None and line is not None and member.claim.top is None
            known = known or stranger or (member.key, mark) in self._added
            self._added.add((member.key, mark))
        return place, known, problem

    def _ambiguous(self, member: Member, line: Line, lines: Lines) -> Problem | None:
        """Several stored lines of one procedure, not all of which are sent: one could be meant for another."""
        if (alike := lines.alike(line)) < 2:
            return None
        if member.key not in self._sent:
            self._sent[member.key] = Counter(identity(each)[1] for each in member.claim.lines)
        if self._sent[member.key][identity(line)[1]] >= alike:
            return None
        text = "several lines of this authorization have this procedure; PR1-19 must tell which is meant"
        return Problem("204", text, member.aut.where(6), rule="PR1-19.ambiguous")

    def _same_again(self, member: Member, place: int | None) -> bool:
        document = self.stored(member.key)
        if self.intent.terms.action.same_again == "refuse" or document is None:
            return False
        stored = document if member.line is None else document["lines"][place] if place is not None else {}
        return _aut_values(stored) == _stated(member.aut)

    def apply(self, member: Member, does: Effect, place: int | None) -> None:
        """Carries one member out on the draft of its authorization."""
        if does is Effect.KEEP:
            return
        asks = self.intent.is_request and not self.intent.cancels
        if asks and is_decided(self.known.record(member.key)) and self.stored(member.key) is not None:
            self._ask(member)
            return
        draft = self._drafts.get(member.key) or self._draft(member.key)
        if draft is None:
            draft = self._inserted(member)
        elif member.line is not None:
            draft = self._line_done(draft, member.line, member.aut, does, place)
            self._with_lines.add(member.key)
        elif does is Effect.END:
            draft = ended(draft)
        else:
            draft = self._top_done(draft, member.aut, does)
        self._drafts[member.key] = draft
        self._rules.setdefault(member.key, RULE[does])
        if does is not Effect.END:  # of what is deleted only the key counts
            self._sets[member.key] = set_of(self.intent, member.claim)

    def _ask(self, member: Member) -> None:
        """A decision stays; what is asked about it is kept beside it."""
        claim = self._beside.setdefault(member.key, Claim(member.claim.identifier))
        if member.line is None:
            claim.top = member.aut
        else:
            claim.lines.append(member.line)
        self._actions.setdefault(member.key, member.aut.action or "S")

    def _draft(self, key: str) -> Document | None:
        document = self.stored(key)
        if document is None:
            return None
        return {**document, "lines": [dict(line) for line in document.get("lines", [])]}

    def _inserted(self, member: Member) -> Document:
        plain = [line for line in member.claim.lines if line.aut is None]
        lines = plain if member.line is None else [member.line]
        claim = Claim(member.claim.identifier, None if member.line else member.aut, lines)
        return build(claim, self.intent.context, self.intent.names, self.assumed)

    def _top_done(self, draft: Document, aut: Aut, does: Effect) -> Document:
        merged = _merged(draft, aut, does)
        if self.assumed is None and self._decides(aut, does):
            lines, above = draft["lines"], self._said(merged, aut)
            if aut.values.get("approval_status") or not any("status" in line for line in lines):
                merged["status"] = above
            elif not all("status" in line for line in lines):
                merged["status"] = of_whole(lines, above)
        return self._in_context(merged)

    def _line_done(self, draft: Document, line: Line, aut: Aut, does: Effect, place: int | None) -> Document:
        lines = draft["lines"]
        follows = len(lines) == 1 and place is not None and _aut_values(draft) == _aut_values(lines[0])
        if place is None:
            draft = _no_longer_alone(draft, aut)
            lines = draft["lines"]
            lines.append({**line_values(line), "status": self._line_status(_stated(aut), aut)})
        elif does is Effect.END:
            lines[place] = {**lines[place], "status": Status.CANCELLED}
        else:
            values = _merged(lines[place], aut, does) | line_priority(line.procedure)
            if self.assumed is None and self._decides(aut, does):
                values["status"] = self._said(values, aut)
            values.setdefault("status", self._line_status(values, aut))
            lines[place] = values
        if follows and does is not Effect.END:
            draft = {key: value for key, value in draft.items() if key not in AUT_KEYS} | _aut_values(lines[0])
        return draft if does is Effect.END else self._in_context(draft)

    def _decides(self, aut: Aut, does: Effect) -> bool:
        return bool(aut.decision) or does is not Effect.MERGE or not _DECIDING.isdisjoint(aut.values)

    def _said(self, values: Values, aut: Aut) -> Status:
        return said(aut._replace(values=_aut_values(values)), True, self.intent.names)

    def _line_status(self, values: Values, aut: Aut) -> Status:
        return self.assumed or self._said(values, aut)

    def _in_context(self, document: Document) -> Document:
        """What the message says of patient, referral and diagnoses; what it leaves out is no information."""
        return document | {key: value for key, value in self.intent.context.items() if value}

    def changes(self) -> list[Change]:
        """Everything that is new, in the order of the message."""
        intent, found = self.intent, list[Change]()
        for key, document in self._drafts.items():
            if key in self._with_lines:  # once for all of its lines, of which there may be many
                above = decided(_aut_values(document), True, intent.names)
                document["status"] = of_whole(document["lines"], above) or document["status"]
            before = self.known.record(key)
            among = self._sets.get(key, before.referral if before else "")
            found += store(intent, document, before, self._rules[key], key, among)
        if self._beside:
            asked = list(self._beside.values())
            found += waiting(intent, self.known, asked, asked_status(intent), self._actions)
        if self.request is not None:
            given = [each for key, each in self._drafts.items() if self._rules[key] != RULE[Effect.END]]
            found += settled_by(intent, self.request, given)
        if intent.cancels and intent.is_request and not any(member.line for member, _, _ in self.judged):
            for open_one in requests_of(intent, self.known):
                if open_one.is_open and ends_request(intent, self.known, open_one, self._drafts):
                    found += end(intent, open_one, "cancellation")
        return found


def _is_there(line: Values, action: str) -> bool:
    """A line that was deleted is not there; one that has no AUT yet can still get one."""
    if line.get("status") == Status.CANCELLED:
        return False
    return action != "A" or any(key in line for key in AUT_KEYS)


def _problem(aut: Aut, does: Step) -> Problem:
    if does.code == "103":
        return Problem("103", "AUT-29 is not in table 0206", aut.where(29), rule="AUT-29.table")
    rules = {"101": "AUT-6.usage", "204": "AUT-6.unknown", "205": "AUT-6.duplicate"}
    return Problem(does.code, f"AUT-6: {does.text}", aut.where(6), rule=rules[does.code])


def _stated(aut: Aut) -> Values:
    return {key: value for key, value in aut.values.items() if value is not None}


def _aut_values(source: Values) -> Values:
    return {key: source[key] for key in AUT_KEYS if key in source}


def _merged(stored: Values, aut: Aut, does: Effect) -> Values:
    """Empty keeps and `""` clears; of a replaced slot nothing is kept."""
    kept = stored if does is Effect.MERGE else {key: value for key, value in stored.items() if key not in AUT_KEYS}
    cleared = {key for key, value in aut.values.items() if value is None}
    return {key: value for key, value in kept.items() if key not in cleared} | _stated(aut)


def _no_longer_alone(draft: Document, aut: Aut) -> Document:
    """Where the top only repeats the one line, a second line leaves at the top what both say of the payor."""
    lines = draft["lines"]
    if len(lines) != 1 or _aut_values(draft) != _aut_values(lines[0]):
        return draft
    shared = {key: draft.get(key) for key in ("plan", "payor", "payor_name")}
    kept = {key: value for key, value in shared.items() if value is not None and aut.values.get(key) == value}
    return {key: value for key, value in draft.items() if key not in AUT_KEYS} | kept
