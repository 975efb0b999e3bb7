"""Replays: plans, their messages, and who did what.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BECAME = sa.text("message_id IS NOT NULL")
_ARCHIVED = sa.text("source = ''")


def upgrade() -> None:
    """Empty tables."""
    op.create_table(
        "replay_plan",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("made_by", "selection", "target", "versions")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("again", "notes", "state")),
        sa.Column("pause", sa.Integer, nullable=False),
    )
    op.create_table(
        "replay_item",
        sa.Column("plan", sa.BigInteger, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("control_id", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.BigInteger, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("again", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("expected", "state", "code", "reason", "version")),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("delivery_id", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger),
        sa.PrimaryKeyConstraint("plan", "number", name="replay_item_key"),
    )
    op.create_index("replay_item_done", "replay_item", ["fingerprint", "target"])
    op.create_index(
        "replay_item_message", "replay_item", ["message_id"], sqlite_where=_BECAME, postgresql_where=_BECAME
    )
    op.create_index("replay_item_origin", "replay_item", ["place"], sqlite_where=_ARCHIVED, postgresql_where=_ARCHIVED)
    op.create_table(
        "replay_event",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("plan", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("by", "action", "detail")),
    )
    op.create_index("replay_event_plan", "replay_event", ["plan"])
    reach = sa.table("schema_revision", sa.column("revision", sa.Text), sa.column("works_with", sa.Text))
    op.bulk_insert(reach, [{"revision": "0014", "works_with": "0012"}])
