"""Alembic's entry: migrate over the connection that the caller opened.

`shared/db.py` calls it with a connection; nothing is read from a file, so no address is ever
written down.
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
