"""Deliveries, and what was decided about them.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """The outgoing side."""
    op.create_table(
        "delivery",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.BigInteger, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("parts", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("head", sa.Integer, nullable=False),
        sa.Column("halts", sa.Integer, nullable=False),
        sa.Column("queued_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("settled_at", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.Column("answer", sa.LargeBinary),
    )
    op.create_index("delivery_message", "delivery", ["message_id"])
    _partial("delivery_open", ["destination", "lane", "id"], "state IN ('queued', 'in_flight', 'parked')")
    _partial("delivery_ready", ["destination", "due_at"], "state = 'queued' AND head = 1 AND part = 0")
    _partial("delivery_halts", ["destination"], "halts = 1")
    _partial("delivery_in_flight", ["destination", "lane"], "state = 'in_flight'", unique=True)
    op.create_table(
        "delivery_event",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("delivery_id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("delivery_event_delivery", "delivery_event", ["delivery_id"])


def _partial(name: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, "delivery", columns, unique=unique, sqlite_where=where, postgresql_where=where)
