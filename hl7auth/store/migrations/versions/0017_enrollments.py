"""Enrollments that are kept, and requests that wait for one.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Tables that older code does not know and does not need."""
    op.create_table(
        "enrollment",
        sa.Column("member", sa.Text, nullable=False),
        sa.Column("payor", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("member", "payor", name="enrollment_key"),
    )
    op.create_table(
        "process_trouble",
        sa.Column("process_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("retry_at", sa.BigInteger, nullable=False),
    )
    op.create_index("process_trouble_due", "process_trouble", ["retry_at"])
    reach = sa.table("schema_revision", sa.column("revision", sa.Text), sa.column("works_with", sa.Text))
    op.bulk_insert(reach, [{"revision": revision, "works_with": "0012"}])
