"""Messages and versions of authorizations.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """The first tables."""
    op.create_table(
        "message",
        sa.Column("id", _Big, primary_key=True, autoincrement=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("peer", sa.Text, nullable=False),
        sa.Column("control_id", sa.Text, nullable=False),
        sa.Column("digest", sa.BigInteger, nullable=False),
        sa.Column("message_type", sa.Text, nullable=False),
        sa.Column("trigger_event", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("facility", sa.Text, nullable=False),
        sa.Column("disposition", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("duplicate_of", sa.BigInteger),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("accept_ack", sa.LargeBinary),
        sa.Column("reply", sa.LargeBinary),
        sa.Column("findings", sa.Text),
    )
    op.create_index("message_control_id", "message", ["control_id", "digest"])
    op.create_table(
        "authorization_version",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("current", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("referral", sa.Text, nullable=False),
        sa.Column("requester", sa.Text, nullable=False),
        sa.Column("control_id", sa.Text, nullable=False),
        sa.Column("message_id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", "version", name="authorization_version_key"),
    )
    op.create_index("authorization_version_message", "authorization_version", ["message_id"])
    _partial("authorization_version_referral", "referral", "current = 1 AND referral <> ''")
    _partial("authorization_version_asked", "control_id", "current = 1 AND key >= '?' AND key < '@'")


def _partial(name: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "authorization_version", [column], sqlite_where=where, postgresql_where=where)
