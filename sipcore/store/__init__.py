"""The database: SQLAlchemy 2 Core with asyncio, its schema by Alembic."""
