"""Versions of channels, and which of them each message ran under.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """What a channel was when a message came."""
    op.add_column("message", sa.Column("channel_version", sa.Text))
    op.create_table(
        "channel_version",
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("parts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("channel", "version", name="channel_version_key"),
    )
    op.create_table(
        "channel_part",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
