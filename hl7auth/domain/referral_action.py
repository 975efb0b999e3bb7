"""RF1-25: the same action codes for the referral itself, which is kept as the request under RF1-6.

Imports wire.ack and domain only.
"""

from hl7auth.domain.action_table import Effect, step
from hl7auth.domain.change import Refused, end
from hl7auth.domain.correlation import granted, request_made
from hl7auth.domain.intent import Change, Intent, Known, Record
from hl7auth.domain.status import UNDECIDED, Status
from hl7auth.wire.ack import Location, Problem

_RULES = {
    "101": "RF1-6.usage",
    "103": "RF1-25.table",
    "204": "RF1-6.unknown",
    "205": "RF1-6.duplicate",
}


def apply_to_referral(intent: Intent, known: Known, answered: Record | None) -> tuple[Intent | None, list[Change]]:
    """The message as it goes on behind RF1, or None and the changes where it ends with it. Raises Refused.

    A goes on as what it adds; U adds to what RF1 said before, where it is silent; X leaves RF1 as it was; D ends the
    request and what nobody has decided of it. `answered` is the request of an answer.
    """
    request = request_made(intent, known)[1] if intent.is_request and intent.referral else answered
    authorizations = granted(intent, known)
    stands = request is not None and request.status != Status.CANCELLED
    is_known = stands or any(record.status != Status.CANCELLED for record in authorizations)
    does = step(intent.referral_action, bool(intent.referral), is_known)
    if does.effect is Effect.REFUSE:
        where = Location("RF1", 1, 25 if does.code == "103" else 6)
        raise Refused(Problem(does.code, f"RF1-25: {does.text}", where, rule=_RULES[does.code]))
    if does.effect is Effect.END:
        records = [record for record in authorizations if Status(record.status) in UNDECIDED or not intent.is_request]
        records = ([request] if request is not None and stands else []) + records
        return None, [change for record in records for change in end(intent, record, "deleted with its referral")]
    if does.effect in (Effect.MERGE, Effect.KEEP) and request is not None:
        old = request.document.get("referral", {})
        said = intent.context.get("referral", {}) if does.effect is Effect.MERGE else {}
        intent = intent._replace(context={**intent.context, "referral": {**old, **said}})
    return intent, []
