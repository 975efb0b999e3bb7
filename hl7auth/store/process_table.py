"""The tables of the desk: processes, what happened to them, why they pend, and the messages about them.

Imports sqlalchemy and store.schema only.

Times are microseconds since 1970. What was asked and what was granted stands in `authorization_version` alone.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from hl7auth.store.schema import BigKey, metadata

process = Table(
    "process",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    # the request, as `authorization_version` has it; each un-finalizing makes a version of its own
    Column("key", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("is_last", Integer, nullable=False),
    # what this version granted holds, also while a later one is worked on
    Column("in_force", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("auth_number", Text, nullable=False),
    Column("assigner", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("payor", Text, nullable=False),
    Column("member", Text, nullable=False),
    # the message that asked, and the one that says the last decision
    Column("request_message_id", BigInteger, nullable=False),
    Column("answer_message_id", BigInteger),
    Column("received_at", BigInteger, nullable=False),
    Column("expedited", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("extended_to", BigInteger),
    Column("decided_at", BigInteger),
    # counts the changes: who changes it has to have seen the last
    Column("row_version", Integer, nullable=False),
    Index("process_key", "key", "version", unique=True),
    Index("process_state", "state", "due_at", sqlite_where=text("is_last = 1")),
    Index(
        "process_decided",
        "decided_at",
        sqlite_where=text("decided_at IS NOT NULL"),
    ),
)

process_history = Table(
    "process_history",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("process_id", BigInteger, nullable=False),
    Column("from_state", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("to_state", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("process_history_process", "process_id", "id"),
)

process_pend = Table(
    "process_pend",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("process_id", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("text", Text, nullable=False),
    # the day on which somebody is to look again, as ISO date; empty where none was said
    Column("follow_up", Text, nullable=False),
    Column("attached_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
    Column("resolved_by", Text),
    Index("process_pend_process", "process_id", "id"),
)

process_message = Table(
    "process_message",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("process_id", BigInteger, nullable=False),
    Column("severity", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("text", Text, nullable=False),
    # system or user: what the system said goes when the request is submitted anew
    Column("source", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("process_message_process", "process_id", "id"),
)
