"""Which older code may work on a schema: so that engines of two versions run beside each other.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """From here on every revision says so of itself."""
    table = op.create_table(
        "schema_revision",
        sa.Column("revision", sa.Text, primary_key=True),
        sa.Column("works_with", sa.Text, nullable=False),
    )
    op.bulk_insert(table, [{"revision": "0013", "works_with": "0012"}])
