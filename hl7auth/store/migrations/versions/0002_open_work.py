"""An index of what is open.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_OPEN = sa.text("current = 1 AND status IN ('requested', 'pended')")


def upgrade() -> None:
    """The current versions that nobody has decided, by the message that made them."""
    op.create_index(
        "authorization_version_open",
        "authorization_version",
        ["message_id"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
