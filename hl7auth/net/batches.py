"""Batches over MLLP (chapter 2, 2.10.3) on one connection: taken apart, each message for itself, answered as a batch.

Imports wire, flow, net and observe only.

A batch may come in one frame or over several: it is open until its trailer (BTS, or FTS where there was a FHS), until
another one begins, or until nothing more of it comes. Only the answers are kept in memory, and they are bounded.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

from hl7auth.flow.batch_reply import plan_batch
from hl7auth.flow.channel import Channel
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.figures import Ending
from hl7auth.flow.intake import Plan
from hl7auth.flow.link import Group, Member, Taken
from hl7auth.net.courier import Courier
from hl7auth.net.intake import Intake, Timer
from hl7auth.observe import now
from hl7auth.steps.run import Shaped
from hl7auth.wire.batch import begins_batch, objection, pieces
from hl7auth.wire.framing import Frame

LONGEST_HEAD = 4_096
"""Bytes of FHS or BHS that are read: what one says is told back, and kept as long as its batch is open."""

WINDOW = 64
"""Messages of one batch under way: enough to fill commits, few enough for the other connections."""

_GOOD = (
    Disposition.ACCEPTED,
    Disposition.DUPLICATE,
    Disposition.PART,
    Disposition.LINK,
    Disposition.IGNORED,
    Disposition.FILTERED,
)


class Queue(Protocol):
    """Where messages go: into the queue of the process, through the Python steps of the channel if it has any."""

    def submit(self, sender: Any, received: Frame, /) -> None:
        """Puts a message there."""


class Owner(Protocol):
    """The connection, as its batches know it."""

    peer: str

    def plan(self, received: Frame, shaped: Shaped | None = None, /) -> Plan:
        """What a message wants, as the steps of its channel made it."""

    def count(self, outcome: Outcome, /) -> None:
        """One more for the figures."""

    def submit(self, received: Frame, /) -> None:
        """A frame that is no batch's."""

    def hold(self) -> None:
        """No further frame is taken until `release`."""

    def release(self, *, again: bool) -> None:
        """On with the frames; `again` when nobody is taking them already."""

    def give_up(self, reason: Ending, /) -> None:
        """The connection ends when everything is answered."""


class _Open:
    """One batch that is being taken; `messages` counts those that came, `members` those that are answered."""

    def __init__(self, header: str = "") -> None:
        self.header = header
        self.members: list[Member] = []
        self.faults: list[str] = []
        self.messages = 0
        self.closed = False


class _End:
    """Stands for the frame around the messages in the queue of the process."""

    def __init__(self, batches: "Batches", taken: Taken) -> None:
        self._batches = batches
        self._taken = taken

    def plan(self, received: Frame) -> Plan:  # noqa: ARG002 - the plan is of what was taken
        """The plan of the frame."""
        return self._batches.plan_end(self._taken)

    def answer(self, outcome: Outcome) -> None:
        """The frame is on disk with its reply."""
        self._batches.ended(outcome)


class Batches:
    """The batches of one connection, one after the other."""

    def __init__(self, owner: Owner, channel: Channel, intake: Intake, queue: Queue, courier: Courier) -> None:
        self._owner = owner
        self._intake = intake
        self._queue = queue
        self._courier = courier
        self._newest = channel
        self._frames: deque[Frame] = deque()
        self._frame = Frame(b"")
        self._items: Iterator[tuple[bytes, bytes, bytes]] = iter(())
        self._item: tuple[bytes, bytes, bytes] | None = None
        self._busy = self._inside = self._writing = self._over = self._failed = False
        self._awaited: deque[_Open] = deque()
        self._held: list[bytes] = []
        self._timer: Timer | None = None
        self._last_word = ""
        self._messages = self._bytes = 0
        self._file = self._version = ""
        self._forget()

    def become(self, channel: Channel) -> None:
        """The channel goes on as another version; a batch that is open ends under the one that it began under."""
        self._newest = channel
        if not (self._is_open or self._busy):
            self._forget()

    def takes(self, received: Frame) -> bool:
        """True for a frame that belongs to a batch, or comes behind one that is being worked off."""
        if self._over:
            return True
        if not self._busy and not self._is_of_batch(received):
            return False
        self._frames.append(received)
        if not self._busy:
            self._stop_timer()
            self._begin(inside=True)
        return True

    def close(self, why: str) -> None:
        """Nothing more comes: what is open is answered as it is."""
        self._stop_timer()
        self._last_word = why
        if self._is_open and not self._busy:
            self._begin(inside=False)

    def plan(self, received: Frame, shaped: Shaped | None = None) -> Plan:
        """What a message of a batch wants."""
        return self._owner.plan(received, shaped)

    def answer(self, outcome: Outcome) -> None:
        """One message of the batch is on disk with its replies."""
        self._owner.count(outcome)
        self._failed = self._failed or outcome.disposition is Disposition.FAILED
        good = outcome.disposition in _GOOD and outcome.code not in ("AE", "AR")
        replies = self._to_keep(outcome.replies, good)
        self._bytes += sum(map(len, replies))
        member = Member(outcome.plan.message_id, str(outcome.disposition), not good, replies)
        self._awaited.popleft().members.append(member)
        self._version = self._version or outcome.plan.header.version
        self._advance()

    def plan_end(self, taken: Taken) -> Plan:
        """The plan of the frame around the messages."""
        return plan_batch(taken, self._channel, now(), self._intake.new_id, self._owner.peer)

    def ended(self, outcome: Outcome) -> None:
        """The frame is on disk; its reply may leave."""
        self._owner.count(outcome)
        self._failed = self._failed or outcome.disposition is Disposition.FAILED
        self._out(outcome.replies)
        self._writing = False
        self._forget()
        self._advance()

    @property
    def _is_open(self) -> bool:
        return bool(self._file or self._groups)

    def _is_of_batch(self, received: Frame) -> bool:
        return not received.refused and (self._is_open or begins_batch(received.payload))

    def _forget(self) -> None:
        self._channel, self._bounds = self._newest, self._newest.file.protocol.batch
        self._file = self._version = ""
        self._groups: list[_Open] = []
        self._faults: list[str] = []
        self._lines: list[bytes] = []
        self._messages = self._bytes = 0
        self._ending = False

    def _begin(self, *, inside: bool) -> None:
        self._busy, self._inside = True, inside
        self._owner.hold()
        self._advance()
        self._inside = False

    def _advance(self) -> None:
        """Goes on as far as it can now: with the messages of the frame, the end of the batch, the frames behind."""
        while self._busy:
            while not self._ending and len(self._awaited) < WINDOW:
                self._item = self._item or next(self._items, None)
                if self._item is None or not self._step(*self._item):
                    break
                self._item = None
            if self._awaited or self._writing:
                return
            if self._ending:
                self._end()
            elif self._item is None and not self._next_frame():
                self._rest()

    def _step(self, name: bytes, line: bytes, rest: bytes) -> bool:
        """Takes one thing of the frame; False when the batch before it has to be ended first."""
        if name == b"MSH":
            self._message(line)
            return True
        if self._is_open and (name == b"FHS" or (name == b"BHS" and not self._file)):
            self._ending = True  # another one begins; a trailer is not needed (chapter 2, 2.10.3.1)
            return False
        self._lines.append(line)
        self._bytes += len(line)
        if name in (b"FHS", b"BHS"):
            self._head(name, line)
        else:
            self._trailer(name, line)
        if rest:
            self._faults.append(f"what stands behind {name.decode()} belongs to no message")
        self._is_too_large()
        return True

    def _head(self, name: bytes, line: bytes) -> None:
        """FHS or BHS; of one that is too long only the delimiters are kept."""
        is_long = len(line) > LONGEST_HEAD
        text = line[: 10 if is_long else None].decode("latin_1")
        faults = [f"{text[:3]} is longer than {LONGEST_HEAD} bytes and was not read"] if is_long else []
        if name == b"FHS":
            self._file = text
            self._faults += faults
        else:
            self._groups.append(_Open(text))
            self._groups[-1].faults += faults

    def _trailer(self, name: bytes, line: bytes) -> None:
        if name == b"FTS":
            alone = "" if self._is_open else "FTS came without FHS, and without a batch before it"
            fault = alone or objection(line, len(self._groups))
            self._faults += [fault] if fault else []
            self._ending = True
            return
        group = self._group()
        fault = objection(line, group.messages)
        group.faults += [fault] if fault else []
        group.closed = True
        self._ending = not self._file

    def _group(self) -> _Open:
        """The batch that is open; a message without BHS begins one."""
        if not self._groups or self._groups[-1].closed:
            self._groups.append(_Open())
        return self._groups[-1]

    def _message(self, raw: bytes) -> None:
        group = self._group()
        self._messages += 1
        self._bytes += len(raw)
        if not self._is_too_large():
            group.messages += 1
            self._awaited.append(group)
            self._queue.submit(self, Frame(raw, self._frame.notes))

    def _is_too_large(self) -> bool:
        bounds = self._bounds
        if max(self._messages, len(self._groups)) <= bounds.messages and self._bytes <= bounds.bytes:
            return False
        self._break_off(f"more than {bounds.messages} messages or {bounds.bytes} bytes; the rest was not taken")
        self._over = True
        return True

    def _break_off(self, why: str) -> None:
        """The batch ends here, whatever else comes of it."""
        (self._groups[-1].faults if self._groups and not self._file else self._faults).append(why)
        self._items, self._item = iter(()), None
        self._ending = True

    def _end(self) -> None:
        if self._failed and self._courier.commits:
            self._forget()  # NAK follows, and then the frame again: what is told of it now would be told twice
            return
        self._writing = True
        groups = tuple(Group(each.header, tuple(each.members), tuple(each.faults)) for each in self._groups)
        lines = b"\r".join(self._lines) + b"\r"
        taken = Taken(self._file, groups, tuple(self._faults), lines, self._version)
        self._intake.submit(_End(self, taken), Frame(b""))

    def _to_keep(self, replies: list[bytes], good: bool) -> tuple[bytes, ...]:
        """The replies that the answer to the batch will hold."""
        if self._bounds.replies == "each":
            self._out(replies)
        return (
            tuple(replies) if self._bounds.replies == "all" or (self._bounds.replies == "errors" and not good) else ()
        )

    def _out(self, replies: list[bytes]) -> None:
        """Replies leave behind the commit block of their frame, where there are commit blocks."""
        if self._courier.commits:
            self._held += replies
        else:
            self._courier.send(replies)

    def _next_frame(self) -> bool:
        """The frame is worked off: commit block, then replies, then the next frame. False when there is none."""
        self._tell()
        while self._frames and not self._over:
            received = self._frames.popleft()
            if self._is_of_batch(received):
                self._frame, self._items = received, pieces(received.payload)
                return True
            self._owner.submit(received)
        if self._is_open and self._last_word and not self._over:
            self._break_off(self._last_word)
            return True
        return False

    def _tell(self) -> None:
        held, self._held = self._held, []
        failed, self._failed = self._failed, False
        if self._frame.payload:
            self._courier.commit(good=not failed)
            self._frame = Frame(b"")
        if not (failed and self._courier.commits):
            self._courier.send(held)

    def _rest(self) -> None:
        """Nothing is left to do until more comes."""
        self._busy = False
        if self._over:
            self._owner.give_up(Ending.TOO_LARGE)
        elif self._is_open:
            self._timer = self._intake.reactor.callLater(self._bounds.seconds, self._silent)
        self._owner.release(again=not self._inside)

    def _silent(self) -> None:
        self._timer = None
        self.close(f"nothing more came for {self._bounds.seconds:g} s, and no trailer (BTS, FTS)")
        self._last_word = ""

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
