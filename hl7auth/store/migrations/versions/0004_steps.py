"""What steps made of a message, and the values that code tables lacked.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """The inbox of codes, and room for shaped messages."""
    op.add_column("message", sa.Column("shaped", sa.LargeBinary))
    op.create_table(
        "unmapped_value",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("code_table", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("message_id", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger),
        sa.Column("done_by", sa.Text),
    )
    op.create_index("unmapped_value_key", "unmapped_value", ["place", "code_table", "value"], unique=True)
