"""What Alembic runs for each command: the revisions, over the connection that `upgrade` opened."""

from __future__ import annotations

from alembic import context

from sipcore.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters a table only by copying it, which Alembic calls batch mode.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
