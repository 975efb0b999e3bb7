"""What rules would make of requests, beside what became of them or what other rules make of them; stores nothing.

Imports sqlalchemy, orjson, domain, flow, steps, observe (how ids tell the time) and store only.

Each request is looked at as it was when it came, on the day on which it came, as if for the first time.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from hl7auth.domain.key import shown_key
from hl7auth.domain.rule_model import RulesFile
from hl7auth.domain.ruling import Ask, Before, Ruled, Verdict, rule
from hl7auth.domain.status import UNDECIDED, Status
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition
from hl7auth.flow.trial import try_out
from hl7auth.observe import first_id
from hl7auth.steps.faults import StepFailed
from hl7auth.store.statement import run

OPEN = "open"
FAILED = "failed"
"""What became of a request that nobody has answered, and of one of which a callout failed."""

_PORTION = 200
_REQUESTS = (
    "SELECT v.key, v.version, v.document, v.message_id, m.received_at, m.channel, m.message_type, m.trigger_event"
    " FROM authorization_version v JOIN message m ON m.id = v.message_id"
    " WHERE v.message_id >= {p} AND (v.message_id > {p} OR v.key > {p}) AND v.message_id < {p}"
    " AND v.key >= '?' AND v.key < '@' AND v.status IN ('requested', 'pended')"
    " AND m.message_type NOT IN ('RPA', 'RRI') ORDER BY v.message_id, v.key LIMIT {p}"
)
_ANSWER = (
    "SELECT v.status FROM authorization_version v JOIN message m ON m.id = v.message_id WHERE v.key = {p}"
    " AND v.version > {p} AND m.message_type IN ('RPA', 'RRI') ORDER BY v.version LIMIT 1"
)
_VERDICTS = {
    Status.APPROVED: Verdict.APPROVE,
    Status.PARTIALLY_APPROVED: Verdict.APPROVE,
    Status.MODIFIED: Verdict.APPROVE,
    Status.DENIED: Verdict.DENY,
    Status.PENDED: Verdict.PEND,
}
_FURTHEST = (1 << 63) - 1


class Request(NamedTuple):
    """A request as it came: its name, its document, when (microseconds since 1970), and what became of it first."""

    name: str
    document: Mapping[str, Any]
    at: int
    channel: str
    event: str
    became: str


class Told(NamedTuple):
    """What rules make of a request: a verdict (or `failed`), and the rule that decided."""

    verdict: str
    rule: str


class Tally:
    """Counts by what it was and would be, with examples of each change, and how often each rule fired."""

    def __init__(self, examples: int) -> None:
        self._most = examples
        self.counts: Counter[tuple[str, str]] = Counter()
        self.fired: Counter[str] = Counter()
        self.examples: dict[tuple[str, str], list[dict[str, str]]] = {}

    def add(self, request: Request, before: Told, after: Told, fired: tuple[str, ...]) -> None:
        """One more request."""
        change = before.verdict, after.verdict
        self.counts[change] += 1
        self.fired.update(fired)
        kept = self.examples.setdefault(change, [])
        if before.verdict != after.verdict and len(kept) < self._most:
            kept.append({"request": request.name, "was_by": before.rule, "would_be_by": after.rule})

    @property
    def changed(self) -> int:
        """How many would come out otherwise; what nobody has answered changes nothing."""
        return sum(count for (was, would), count in self.counts.items() if was not in (would, OPEN))

    @property
    def failed(self) -> int:
        """How many could not be ruled about."""
        return sum(count for (_, would), count in self.counts.items() if would == FAILED)

    def entry(self) -> dict[str, Any]:
        """All of it as plain data, the most frequent first."""
        decisions = [
            {"was": was, "would_be": would, "requests": count, "examples": self.examples[was, would]}
            for (was, would), count in self.counts.most_common()
        ]
        return {
            "requests": self.counts.total(),
            "changed": self.changed,
            "decisions": decisions,
            "fired": dict(self.fired.most_common()),
        }


def compare(
    requests: Iterator[Request], channels: Mapping[str, Channel], rules: RulesFile, against: RulesFile | None,
    asks: tuple[Ask, Ask], examples: int,
) -> Tally:  # fmt: skip
    """What `rules` make of requests, beside what became of them or what `against` makes of them. `asks` call the
    functions of the one and of the other."""
    tally = Tally(examples)
    for each in requests:
        after, ruled = _told(rules, each, channels, asks[0])
        before = Told(each.became, "") if against is None else _told(against, each, channels, asks[1])[0]
        tally.add(each, before, after, ruled.fired if ruled is not None else ())
    return tally


def archived(connection: Connection, since: int | None, until: int | None, channel: str) -> Iterator[Request]:
    """The requests that came in that time (microseconds since 1970), oldest first, of one channel or of all."""
    last, key = first_id(since) - 1 if since is not None else 0, ""
    end = first_id(until) if until is not None else _FURTHEST
    while rows := list(run(connection, _REQUESTS, (last, last, key, end, _PORTION))):
        for row in rows:
            last, key = row.message_id, row.key
            if channel and row.channel != channel:
                continue
            answer: Any = run(connection, _ANSWER, (row.key, row.version)).scalar()
            became = OPEN if answer is None else str(_VERDICTS.get(Status(answer), answer))
            event = f"{row.message_type}^{row.trigger_event}"
            document = orjson.loads(row.document)
            yield Request(shown_key(row.key), document, row.received_at, row.channel, event, became)


def in_files(messages: list[tuple[str, bytes]], channel: Channel, at: int) -> Iterator[Request]:
    """The requests among messages of files, by the names of the files, as if they came at that time."""
    for (name, _), outcome in zip(messages, try_out([raw for _, raw in messages], channel), strict=True):
        if outcome.disposition is not Disposition.ACCEPTED:
            continue
        header = outcome.plan.header
        for change in outcome.changes:
            if change.record.status in UNDECIDED and change.record.key.startswith("?"):
                key = f"{name}: {shown_key(change.record.key)}"
                event = f"{header.message_type}^{header.trigger_event}"
                yield Request(key, change.record.document, at, channel.name, event, OPEN)


def _told(
    rules: RulesFile, request: Request, channels: Mapping[str, Channel], ask: Ask
) -> tuple[Told, Ruled | None]:  # fmt: skip
    channel = channels.get(request.channel)
    priority = request.document.get("referral", {}).get("priority", "")
    hurries = channel is not None and channel.file.clocks.agreed.hurries(priority)
    member = request.document.get("patient", {}).get("id", "")
    urgency = "expedited" if hurries else "standard"
    before = Before(1, urgency, request.channel, member, "hl7", request.event)
    today = datetime.fromtimestamp(request.at / 1_000_000, UTC).date()
    try:
        ruled = rule(rules, request.document, before, today, ask)
    except StepFailed as fault:
        return Told(FAILED, str(fault)), None
    return Told(str(ruled.verdict), ruled.decider), ruled
