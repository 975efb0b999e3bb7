"""Run by alembic: applies migrations on the connection that hl7auth.store.database hands over.

Imports alembic and the schema.
"""

from alembic import context

from hl7auth.store.delivery_table import delivery

context.configure(
    connection=context.config.attributes["connection"], target_metadata=delivery.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
