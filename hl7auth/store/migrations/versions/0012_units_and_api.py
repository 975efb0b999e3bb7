"""Units and the API: balances, charges and their ledger, papers; tokens, operations, accesses, the audit log.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_IN_FORCE = sa.text("reversed_at IS NULL")
_NEARLY_SPENT = sa.text("granted = 1 AND line = '' AND approved > 0 AND (used + external_used) * 5 > approved * 4")
_RUNS_OUT = sa.text("granted = 1 AND line = '' AND scheduled > 0 AND used + external_used + scheduled > approved")
_HAS_KEY = sa.text("key <> ''")
_IDEMPOTENT = sa.text("idempotency_key <> ''")
_OPEN = sa.text("state IN ('NotStarted', 'Running')")


def upgrade() -> None:
    """Empty tables: balances are read from the versions of authorizations when they are asked for."""
    _units()
    _desk()


def _units() -> None:
    op.create_table(
        "balance",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("member", sa.Text, nullable=False),
        sa.Column("payor", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("granted", sa.Integer, nullable=False),
        sa.Column("effective", sa.Text, nullable=False),
        sa.Column("expiration", sa.Text, nullable=False),
        sa.Column("approved", sa.BigInteger),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("external_used", sa.BigInteger, nullable=False),
        sa.Column("scheduled", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("codes", sa.Text, nullable=False),
        sa.Column("message_id", sa.BigInteger, nullable=False),
        sa.Column("row_version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", "line", name="balance_key"),
    )
    op.create_index("balance_member", "balance", ["member", "message_id"])
    op.create_index("balance_payor", "balance", ["payor", "message_id"])
    op.create_index("balance_number", "balance", ["number"])
    op.create_index("balance_spent", "balance", ["key"], sqlite_where=_NEARLY_SPENT, postgresql_where=_NEARLY_SPENT)
    op.create_index("balance_runs_out", "balance", ["key"], sqlite_where=_RUNS_OUT, postgresql_where=_RUNS_OUT)
    op.create_table(
        "charge",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("member", sa.Text, nullable=False),
        sa.Column("payor", sa.Text, nullable=False),
        sa.Column("dos", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("modifiers", sa.Text, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("amount", sa.Text, nullable=False),
        sa.Column("issues", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("row_version", sa.BigInteger, nullable=False),
    )
    op.create_index("charge_member", "charge", ["member", "at"])
    op.create_index("charge_key", "charge", ["key"], sqlite_where=_HAS_KEY, postgresql_where=_HAS_KEY)
    op.create_table(
        "charge_use",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("charge_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("dos", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reversed_at", sa.BigInteger),
        sa.Column("reversed_by", sa.Text),
    )
    op.create_index(
        "charge_use_once", "charge_use", ["charge_id"], unique=True, sqlite_where=_IN_FORCE, postgresql_where=_IN_FORCE
    )
    op.create_index("charge_use_key", "charge_use", ["key", "id"])
    op.create_table(
        "paper",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index("paper_key", "paper", ["key"])


def _desk() -> None:
    op.create_table(
        "token",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("payors", sa.Text, nullable=False),
        sa.Column("channels", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_index("token_hash", "token", ["hash"], unique=True)
    op.create_table(
        "operation",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("body_hash", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
    )
    op.create_index(
        "operation_idempotency",
        "operation",
        ["caller", "idempotency_key"],
        unique=True,
        sqlite_where=_IDEMPOTENT,
        postgresql_where=_IDEMPOTENT,
    )
    op.create_index("operation_open", "operation", ["created_at"], sqlite_where=_OPEN, postgresql_where=_OPEN)
    op.create_table(
        "authorization_access",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("idtype", sa.Text, nullable=False),
        sa.Column("providerid", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", "line", "idtype", "providerid", "role", name="authorization_access_key"),
    )
    op.create_table(
        "audit",
        sa.Column("id", _Big, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.create_index("audit_subject", "audit", ["subject", "id"])
    op.create_table(
        "audit_end",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
