"""A schema is brought to its next revision while nodes of the revision before it place calls."""

import asyncio

from alembic import command
from alembic.config import Config
from node_site import NodeSite
from sqlalchemy.ext.asyncio import create_async_engine

from sipcore.domain.causes import Disposition
from sipcore.store import migrations
from sipcore.store.migrations import versions
from sipcore.store.opening import migrate

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("calls", sa.Column("colour", sa.String(8), nullable=False, server_default="red"))
    op.add_column("batches", sa.Column("colour", sa.String(8)))
    op.create_index("ix_calls_colour", "calls", ["colour"])
    op.create_table("colours", sa.Column("name", sa.String(8), primary_key=True))
"""


async def migrate_to_next(url, folder):
    """Do as `click2call migrate` of the next release will."""
    head = await migrate(url)
    (folder / "9999_next.py").write_text(NEXT.replace("{head}", head))

    def apply(connection):
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", migrations.__path__[0])
        config.set_main_option("path_separator", "newline")
        config.set_main_option("version_locations", f"{versions.__path__[0]}\n{folder}")
        command.upgrade(config, "head")

    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.begin() as connection:
        await connection.run_sync(apply)
    await engine.dispose()


async def test_nodes_go_on_while_the_schema_gets_ahead_of_them_and_start_on_it_afterwards(postgresql_copy, tmp_path):
    async with NodeSite(postgresql_copy) as site:
        before = await site.dial()
        migrated = asyncio.create_task(migrate_to_next(postgresql_copy, tmp_path))
        meanwhile = []
        while not migrated.done():
            meanwhile.append(await site.dial("101", "102"))
            site.port.hang_up(meanwhile[-1].uid1)
            assert (await site.written(meanwhile[-1].id)).disposition is Disposition.ANSWERED
        await migrated
        assert meanwhile
        site.port.hang_up(before.uid1)
        assert (await site.written(before.id)).disposition is Disposition.ANSWERED
        # Another node of this revision, for example one that has crashed.
        async with NodeSite(postgresql_copy) as another:
            call = await another.dial()
            another.port.hang_up(call.uid1)
            assert (await site.written(call.id)).disposition is Disposition.ANSWERED
