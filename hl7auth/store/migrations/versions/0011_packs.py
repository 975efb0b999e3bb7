"""Sealed packs: where bodies are, what a legal hold keeps, and the record of what was done to the archive.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEPT = sa.text("state = 'kept'")
_SEALED = sa.text("pack IS NOT NULL")


def upgrade() -> None:
    """Tables of the archive; every body is in the table of messages still."""
    op.add_column("message", sa.Column("pack", sa.BigInteger))
    op.create_index("message_pack", "message", ["pack"], sqlite_where=_SEALED, postgresql_where=_SEALED)
    op.create_table(
        "pack",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("messages", sa.BigInteger, nullable=False),
        sa.Column("first_id", sa.BigInteger, nullable=False),
        sa.Column("last_id", sa.BigInteger, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("body_bytes", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("sealed_at", sa.BigInteger, nullable=False),
        sa.Column("dropped_at", sa.BigInteger),
    )
    op.create_index("pack_kept", "pack", ["channel", "day"], unique=True, sqlite_where=_KEPT, postgresql_where=_KEPT)
    op.create_table(
        "archive_hold",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("first_day", sa.Text, nullable=False),
        sa.Column("last_day", sa.Text, nullable=False),
        sa.Column("placed_at", sa.BigInteger, nullable=False),
        sa.Column("placed_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("released_at", sa.BigInteger),
        sa.Column("released_by", sa.Text),
        sa.Column("release_reason", sa.Text),
    )
    op.create_table(
        "archive_event",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
