"""Run by alembic: applies migrations on the connection that hl7auth.store.database hands over.

Imports alembic and the schema.
"""

from alembic import context

from hl7auth.store import (  # noqa: F401 - they add their tables to the schema
    delivery_table,
    incident_table,
    link_table,
    replay_table,
)
from hl7auth.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
