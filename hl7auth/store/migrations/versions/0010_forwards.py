"""Deliveries with contents of their own, and forwarded requests.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Answers by other ways than the connection."""
    op.add_column("delivery", sa.Column("kind", sa.Text))
    op.add_column("delivery", sa.Column("body", sa.LargeBinary))
    op.create_table(
        "forward",
        sa.Column("message_id", _Big, primary_key=True, autoincrement=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("wanted", sa.Text, nullable=False),
        sa.Column("enhanced", sa.Integer, nullable=False),
        sa.Column("ways", sa.Text, nullable=False),
        sa.Column("within", sa.BigInteger, nullable=False),
        sa.Column("late", sa.LargeBinary),
        sa.Column("failed", sa.LargeBinary),
        sa.Column("hold_until", sa.BigInteger, nullable=False),
        sa.Column("owed", sa.Integer, nullable=False),
        sa.Column("way", sa.Text, nullable=False),
        sa.Column("lanes", sa.Text, nullable=False),
        sa.Column("said", sa.BigInteger, nullable=False),
        sa.Column("answer_id", sa.BigInteger),
        sa.Column("told_late", sa.Integer, nullable=False),
    )
    for name, column, condition in (
        ("forward_open", "message_id", "state = 'open'"),
        ("forward_owed", "hold_until", "owed = 1"),
    ):
        where = sa.text(condition)
        op.create_index(name, "forward", [column], sqlite_where=where, postgresql_where=where)
