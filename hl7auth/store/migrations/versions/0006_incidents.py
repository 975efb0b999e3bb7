"""Incidents, and who is told of them.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Alerts that open once and resolve once."""
    op.create_table(
        "incident",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("resolved_at", sa.BigInteger),
    )
    still = sa.text("resolved_at IS NULL")
    op.create_index(
        "incident_open", "incident", ["rule", "subject"], unique=True, sqlite_where=still, postgresql_where=still
    )
    op.create_table(
        "notice",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("incident_id", sa.BigInteger, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("told_at", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
    )
    untold = sa.text("told_at IS NULL")
    op.create_index("notice_untold", "notice", ["id"], sqlite_where=untold, postgresql_where=untold)
