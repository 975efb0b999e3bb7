"""What an operation on `/authorization` does: the message that says it goes through the pipeline, all of it or nothing.

Imports sqlalchemy, api, domain, flow and store.

The message has a control id of the operation. One that a process began and did not end is begun again: it finds its
message, and does what is left.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection

from hl7auth.api.record_shapes import Access, ActedLine, Line, Record, Update, Window
from hl7auth.api.state import State
from hl7auth.domain.entered import Entered, EnteredLine, Head, answer
from hl7auth.domain.status import Status
from hl7auth.domain.units import said
from hl7auth.flow.intake import timestamp
from hl7auth.store import audit, pages
from hl7auth.store.balances import catch_up, keys_of_number, read_holding
from hl7auth.store.operations import Operation, Stage, accesses, end, grant_access, take_access
from hl7auth.store.statement import run

Entry = dict[str, Any]
ANYBODY = "UNKNOWN"
"""The payor of an authorization that was entered without one."""

_NAMES = {"authtype": "referral_type", "authdecision": "approval_status"}
_DONE = "SELECT 1 FROM message WHERE control_id = {p} AND disposition = 'accepted'"


class Failed(Exception):
    """The operation can not be done; `word` names the kind for programs."""

    def __init__(self, word: str, detail: str) -> None:
        super().__init__(detail)
        self.word = word


class Work(NamedTuple):
    """What is to be done: a message, and accesses that come and go; `result` is what is told then."""

    key: str
    entered: Entered | None
    granted: Sequence[tuple[str, tuple[str, str, str]]] = ()
    taken: Sequence[tuple[str | None, tuple[str, str, str] | None]] = ()
    result: Mapping[str, Any] = {}


def perform(state: State, operation: Operation) -> None:
    """Does it, and says in the operation what came of it."""
    head = Head(timestamp(operation.created_at // 1_000_000), f"O{operation.id}"[:20])
    result: Mapping[str, Any]
    try:
        work = _planned(state, operation, head)
        if work.entered is not None:
            submit(state, answer(work.entered, head), head)
        stage, result = Stage.SUCCEEDED, {"result": {"authorization": work.key, **work.result}}
    except Failed as fault:
        work, stage = Work("", None), Stage.FAILED
        result = {"error": {"type": f"urn:hl7auth:{fault.word}", "detail": str(fault)}}

    def finish(connection: Connection) -> None:
        for line, access in work.taken:
            take_access(connection, work.key, line, access)
        for line, access in work.granted:
            grant_access(connection, work.key, line, access)
        end(connection, operation.id, stage, result, state.now)
        detail = {"operation": operation.id, "status": str(stage), "request": operation.request}
        audit.write(connection, operation.caller, operation.kind, work.key, detail, state.now)

    state.write(finish)


def submit(state: State, raw: bytes, head: Head) -> None:
    """A message through the pipeline, by the channel of the desk. Raises Failed where it is refused."""
    with state.reading() as connection:
        if run(connection, _DONE, (head.control_id,)).first() is not None:
            return
    outcome = state.submit(raw)
    if outcome.disposition not in ("accepted", "duplicate"):
        found = [f"{each.path}: {each.text}" for each in outcome.findings if each.severity == "error"]
        raise Failed("refused", "; ".join(found[:5]) or "the channel of the desk refused it")


def _planned(state: State, operation: Operation, head: Head) -> Work:
    asked = operation.request
    with state.reading() as connection:
        was_done = run(connection, _DONE, (head.control_id,)).first() is not None
    state.write(lambda connection: catch_up(connection, 4))
    with state.reading() as connection:
        sees = _sees(asked)
        if operation.kind == "authorization.create":
            return _created(connection, Record.model_validate(asked["body"]), asked, was_done)
        key = _found(connection, asked["authnumber"], sees, was_done)
        if operation.kind == "authorization.delete":
            return _deleted(connection, key, was_done)
        return _updated(connection, key, Update.model_validate(asked["body"]), was_done)


def _sees(asked: Mapping[str, Any]) -> pages.Sees:
    payors, channels = asked.get("payors", ()), asked.get("channels", ())
    return lambda payor, channel: (not payors or payor in payors) and (not channels or channel in channels)


def _found(connection: Connection, number: str, sees: pages.Sees, was_done: bool) -> str:
    keys = [
        key for key in keys_of_number(connection, number, cancelled=was_done) if pages.may_see(connection, key, sees)
    ]
    if not keys:
        raise Failed("missing", f"there is no authorization '{number}'")
    if len(keys) > 1:
        raise Failed("ambiguous", f"'{number}' is several authorizations: {', '.join(keys)}; say which by its key")
    return keys[0]


def _created(connection: Connection, record: Record, asked: Mapping[str, Any], was_done: bool) -> Work:
    payors = asked.get("payors") or []
    payor = record.payor or (payors[0] if len(payors) == 1 else ANYBODY)
    if payors and payor not in payors:
        raise Failed("other-payor", f"the token is not for the payor '{payor}'")
    assigner = record.assigner or payor
    own = f"{record.authnumber}@{assigner}"
    known = [key for key in keys_of_number(connection, record.authnumber) if record.assigner is None or key == own]
    if known and not was_done:
        # as the page says: what there is already is not created, and that is no failure
        return Work(known[0], None, result={"created": False, "detail": "there is a match: nothing was created"})
    decision = {"approval_status": {"code": record.authdecision}}
    values = _values(record, record.model_fields_set) | decision | {"referral_type": {"code": record.authtype}}
    lines = [_new_line(line, decision) for line in record.lines]
    patient = {"id": record.memberid, "name": record.membername} if record.memberid else {}
    entered = Entered(record.authnumber, assigner, payor, values, "A", lines, patient)
    granted = [("", _triple(each)) for each in record.access]
    granted += [(line.authlinenumber, _triple(each)) for line in record.lines for each in line.access]
    return Work(own, entered, granted, [], {"created": True})


def _deleted(connection: Connection, key: str, was_done: bool) -> Work:
    listed = read_holding(connection, key)
    assert listed is not None
    if listed.holding.whole.used and not was_done:
        raise Failed("in-use", f"charges used {said(listed.holding.whole.used)} of it: reverse them first")
    number, assigner = _identity(connection, key)
    entered = Entered(number, assigner, listed.holding.payor, _kept_type(connection, key), "D")
    return Work(key, entered, [], [(None, None)], {"deleted": True})


def _updated(connection: Connection, key: str, update: Update, was_done: bool) -> Work:
    document = _document(connection, key)
    number, assigner = _identity(connection, key)
    values = _kept_type(connection, key) | _values(update, update.model_fields_set)
    values |= {_NAMES[name]: {"code": value} for name in _NAMES if (value := getattr(update, name)) is not None}
    stored = {_name_of(at, line): line for at, line in enumerate(document.get("lines") or [], 1)
              if line.get("procedure") and line.get("status") != Status.CANCELLED}  # fmt: skip
    decision = {"approval_status": document.get("approval_status") or {"code": "AP"}}
    changes: list[EnteredLine] = []
    granted: list[tuple[str, tuple[str, str, str]]] = []
    taken: list[tuple[str | None, tuple[str, str, str] | None]] = []
    warnings = []
    known = {(each["line"], (each["idtype"], each["providerid"], each["role"])) for each in accesses(connection, key)}
    groups = [("", update.access, "/access")]
    for at, line in enumerate(update.lines):
        place = f"/lines/{at}"
        warnings += [f"{place}/action_record: read as record_action"] * line.misspelled
        if not was_done:
            changes += _changed_line(line, stored, decision, place)
        if line.action == "d":
            taken.append((line.authlinenumber, None))
        groups.append((line.authlinenumber, line.access, f"{place}/access"))
    for name, some, place in groups:
        for at, each in enumerate(some):
            warnings += [f"{place}/{at}/action_record: read as record_action"] * each.misspelled
            exists = (name, _triple(each)) in known
            if not was_done and exists == (each.action == "n"):
                raise Failed("access", f"{place}/{at}: " + ("is there already" if exists else "is not there"))
            if each.action == "n":
                granted.append((name, _triple(each)))
            if each.action == "d":
                taken.append((name, _triple(each)))
    payor = str((document.get("payor") or {}).get("code", ANYBODY))
    entered = Entered(number, assigner, payor, values, "U", changes, document.get("patient") or {})
    result = {"updated": True} | ({"warnings": warnings} if warnings else {})
    return Work(key, entered, granted, taken, result)


def _changed_line(line: ActedLine, stored: Mapping[str, Entry], decision: Entry, place: str) -> list[EnteredLine]:
    """A line by what is done to it. Raises Failed for a new one that is there, and for others that are not."""
    name = line.authlinenumber
    known = stored.get(name)
    if line.action == "n":
        if known is not None:
            raise Failed("line", f"{place}: there is a line '{name}' already")
        return [_new_line(line, decision)]
    if known is None:
        raise Failed("line", f"{place}: there is no line '{name}'")
    identifier, code = str(known.get("identifier", "")), str((known.get("procedure") or {}).get("code", ""))
    kept = {"referral_type": known["referral_type"]} if known.get("referral_type") else {}
    if line.action == "d":
        return [EnteredLine(identifier, code, kept, "D")]
    values = kept | _values(line, line.model_fields_set)
    if line.hcpcs and line.hcpcs != code:
        # another service is another procedure: the old one ends, and one with what was known of it begins
        names = ("effective_date", "expiration_date", "authorized_units", "approval_status", "referral_type")
        before = {each: known[each] for each in names if known.get(each)}
        now = {each: value for each, value in (decision | before | values).items() if value is not None}
        return [EnteredLine(identifier, code, kept, "D"), EnteredLine(name, line.hcpcs, now, "A")]
    return [EnteredLine(identifier, code, values, "U")]


def _new_line(line: Line | ActedLine, decision: Entry) -> EnteredLine:
    values = {key: value for key, value in _values(line, line.model_fields_set).items() if value is not None}
    return EnteredLine(line.authlinenumber, line.hcpcs or "", decision | values, "A")


def _values(window: Window, given: set[str]) -> Entry:
    """Dates and units that were given, by the keys of documents; None clears."""
    values: Entry = {}
    if "dosstart" in given:
        values["effective_date"] = window.dosstart
    if "dosend" in given:
        values["expiration_date"] = window.dosend
    if "units" in given:
        values["authorized_units"] = None if window.units is None else units_of(window.units, window.unittype or "")
    return values


def units_of(units: Decimal, kind: str) -> Entry:
    """A quantity as documents have it."""
    return {"quantity": said(units), "unit": kind}


def _kept_type(connection: Connection, key: str) -> Entry:
    """AUT-13, which every AUT has to say."""
    found = _document(connection, key).get("referral_type")
    return {"referral_type": found} if found else {}


def _identity(connection: Connection, key: str) -> tuple[str, str]:
    document = _document(connection, key)
    return str(document.get("identifier", "")), str(document.get("assigner", ""))


def _document(connection: Connection, key: str) -> Entry:
    found = pages.document_of(connection, key)
    assert found is not None
    return found


def _name_of(at: int, line: Entry) -> str:
    """The authlinenumber of a line: PR1-19, else its place."""
    return str(line.get("identifier") or at)


def _triple(access: Access) -> tuple[str, str, str]:
    return access.idtype, access.providerid, access.role


def as_record(connection: Connection, key: str) -> Entry:
    """An authorization in the shape of `/authorization`."""
    document = _document(connection, key)
    allowed = accesses(connection, key)

    def of(line: str) -> list[dict[str, str]]:
        return [
            {name: each[name] for name in ("idtype", "providerid", "role")} for each in allowed if each["line"] == line
        ]

    lines = []
    for at, line in enumerate(document.get("lines") or [], 1):
        if line.get("procedure") and line.get("status") != Status.CANCELLED:
            name = _name_of(at, line)
            code = (line.get("procedure") or {}).get("code")
            lines.append({"authlinenumber": name, "hcpcs": code, **_window(line), "access": of(name)})
    return {
        "authnumber": document.get("identifier"),
        "authtype": (document.get("referral_type") or {}).get("code"),
        "authdecision": (document.get("approval_status") or {}).get("code"),
        "payor": (document.get("payor") or {}).get("code"),
        **_window(document), "access": of(""), "lines": lines,
    }  # fmt: skip


def _window(values: Entry) -> Entry:
    units = values.get("authorized_units") or {}
    return {
        "dosstart": values.get("effective_date"), "dosend": values.get("expiration_date"),
        "units": units.get("quantity"), "unittype": units.get("unit"),
    }  # fmt: skip
