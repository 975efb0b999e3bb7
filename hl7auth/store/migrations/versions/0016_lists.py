"""Indexes of lists: charges newest first, those with an issue, and authorizations that are neither approved nor open.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_ISSUES = sa.text("issues <> '[]'")
_OTHERS = sa.text("current = 1 AND status NOT IN ('approved', 'requested', 'pended')")


def upgrade() -> None:
    """Older code does without."""
    op.create_index("charge_at", "charge", ["at", "id"])
    op.create_index("charge_issue", "charge", ["at", "id"], sqlite_where=_ISSUES, postgresql_where=_ISSUES)
    op.create_index(
        "authorization_version_others", "authorization_version", ["status", "message_id"],
        sqlite_where=_OTHERS, postgresql_where=_OTHERS,
    )  # fmt: skip
    reach = sa.table("schema_revision", sa.column("revision", sa.Text), sa.column("works_with", sa.Text))
    op.bulk_insert(reach, [{"revision": "0016", "works_with": "0012"}])
