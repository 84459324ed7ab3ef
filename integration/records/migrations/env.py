"""Alembic's entry: runs the versions beside this file on the database it was handed."""

import sqlalchemy as sa
from alembic import context

from integration.records.tables import metadata

engine = sa.create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
