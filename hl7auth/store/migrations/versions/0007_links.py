"""Sequence numbers, continued messages, and which messages belong to which.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """What ties messages to one another."""
    op.create_table(
        "sequence",
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("facility", sa.Text, nullable=False),
        sa.Column("last", sa.BigInteger),
        sa.Column("message_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("channel", "sender", "facility", name="sequence_stream"),
    )
    op.create_table(
        "continuation",
        sa.Column("id", _Big, primary_key=True, autoincrement=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("facility", sa.Text, nullable=False),
        sa.Column("awaits", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("touched_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("became", sa.BigInteger),
    )
    is_open = sa.text("state = 'open'")
    op.create_index(
        "continuation_open", "continuation", ["channel", "sender", "facility", "awaits"], unique=True,
        sqlite_where=is_open, postgresql_where=is_open,
    )  # fmt: skip
    op.create_index("continuation_became", "continuation", ["became"])
    op.create_table(
        "message_part",
        sa.Column("whole", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("message_id", sa.BigInteger, nullable=False),
        sa.Column("last", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("whole", "number", name="message_part_place"),
    )
    op.create_index("message_part_message", "message_part", ["message_id"])
