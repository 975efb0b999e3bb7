"""What messages are searched by. Those that are there already are indexed by `hl7auth db index`.

Imports alembic and sqlalchemy only: a migration is history and does not follow the schema's changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """The index of fields, how far it reaches, and indexes of messages by what they are asked for."""
    op.create_table(
        "message_field",
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("value", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("message_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("field", "value", "message_id", name="message_field_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_mark",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("message_id", sa.BigInteger, nullable=False),
    )
    op.execute(
        "INSERT INTO search_mark (name, message_id)"
        " SELECT 'fields', max(id) + 1 FROM message HAVING max(id) IS NOT NULL"
    )
    op.create_index("message_received", "message", ["received_at"])
    op.create_index("message_channel", "message", ["channel", "id"])
    op.create_index("message_sender", "message", ["sender", "id"])
    op.create_index("message_event", "message", ["message_type", "trigger_event", "id"])
    where = sa.text("disposition <> 'accepted'")
    op.create_index("message_disposition", "message", ["disposition", "id"], sqlite_where=where, postgresql_where=where)
