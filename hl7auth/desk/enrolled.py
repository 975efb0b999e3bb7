"""What is known of the enrollment of a request's member, as it is shown.

Imports sqlalchemy, domain and store.
"""

from typing import Any

from sqlalchemy import Connection

from hl7auth.domain.clock import iso_time
from hl7auth.domain.enrolling import wanted
from hl7auth.domain.process import Process
from hl7auth.store import enrollments
from hl7auth.store.processes import Stored


def told(connection: Connection, process: Stored, document: dict[str, Any]) -> dict[str, Any]:
    """What is known of the enrollment, and why it is waited for, for people and programs; empty where neither is."""
    asked = wanted(document, process.payor)
    kept = enrollments.read_enrollment(connection, asked.entity, asked.payor)
    trouble = enrollments.read_trouble(connection, process.id) if process.state is Process.IN_PROCESS else None
    found: dict[str, Any] = {}
    if kept is not None:
        found["enrollment"] = {"received": iso_time(kept.received_at), "data": kept.data}
    if trouble is not None:
        found["suspended"] = {
            "reason": trouble.reason, "tries": trouble.tries, "since": iso_time(trouble.since),
            "again": iso_time(trouble.retry_at),
        }  # fmt: skip
    return found
