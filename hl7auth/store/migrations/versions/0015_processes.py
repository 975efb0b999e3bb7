"""The desk: processes of requests, their history, pend reasons and messages.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LAST = sa.text("is_last = 1")
_DECIDED = sa.text("decided_at IS NOT NULL")


def upgrade() -> None:
    """Tables that older code does not know and does not need."""
    op.create_table(
        "process",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("is_last", sa.Integer, nullable=False),
        sa.Column("in_force", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("auth_number", sa.Text, nullable=False),
        sa.Column("assigner", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("payor", sa.Text, nullable=False),
        sa.Column("member", sa.Text, nullable=False),
        sa.Column("request_message_id", sa.BigInteger, nullable=False),
        sa.Column("answer_message_id", sa.BigInteger),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("expedited", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("extended_to", sa.BigInteger),
        sa.Column("decided_at", sa.BigInteger),
        sa.Column("row_version", sa.Integer, nullable=False),
    )
    op.create_index("process_key", "process", ["key", "version"], unique=True)
    op.create_index("process_state", "process", ["state", "due_at"], sqlite_where=_LAST, postgresql_where=_LAST)
    op.create_index("process_decided", "process", ["decided_at"], sqlite_where=_DECIDED, postgresql_where=_DECIDED)
    _happenings()
    table = sa.table("schema_revision", sa.column("revision"), sa.column("works_with"))
    op.bulk_insert(table, [{"revision": revision, "works_with": "0012"}])


def _happenings() -> None:
    op.create_table(
        "process_history",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("process_id", sa.BigInteger, nullable=False),
        sa.Column("from_state", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("to_state", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "process_pend",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("process_id", sa.BigInteger, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("follow_up", sa.Text, nullable=False),
        sa.Column("attached_at", sa.BigInteger, nullable=False),
        sa.Column("resolved_at", sa.BigInteger),
        sa.Column("resolved_by", sa.Text),
    )
    op.create_table(
        "process_message",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("process_id", sa.BigInteger, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    for name in ("history", "pend", "message"):
        op.create_index(f"process_{name}_process", f"process_{name}", ["process_id", "id"])
