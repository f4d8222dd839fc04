"""What went wrong, in our own terms."""

from __future__ import annotations

import asyncpg
import sqlalchemy as sa

from sipcore.domain.errors import StoreUnavailableError

DATABASE_FAILURES = (sa.exc.SQLAlchemyError, OSError, asyncpg.InternalClientError)
"""What a statement raises through SQLAlchemy; the last comes when a connection is lost as it is about to be used."""
_OF_A_ROW = {"22", "23"}
"""Classes of SQLSTATE (PostgreSQL's manual, appendix A): data exception, integrity constraint violation."""


def reason_of(error: Exception) -> str:
    """Give the driver's own words in one line, without the statement that SQLAlchemy adds to them."""
    if isinstance(error, sa.exc.StatementError) and error.orig is not None:
        # Of asyncpg's errors SQLAlchemy makes its own, with the class in their text.
        words = str(error.orig.__cause__ or error.orig)
    else:
        words = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return words.strip().partition("\n")[0] or "no answer in time"


def unavailable(error: Exception) -> StoreUnavailableError:
    """Make the error that the service knows, chained to what happened."""
    failure = StoreUnavailableError(f"the database failed: {reason_of(error)}")
    failure.__cause__ = error
    return failure


def blames_the_database(error: Exception) -> bool:
    """Tell a failure of the database (locked, full, unreadable, gone) from one of a row that it refused."""
    if not isinstance(error, sa.exc.DBAPIError):
        return isinstance(error, OSError | asyncpg.InternalClientError)
    driver_error = error.orig
    state = getattr(driver_error, "sqlstate", None)
    if state is not None:
        return state[:2] not in _OF_A_ROW
    if driver_error is not None and isinstance(driver_error.__cause__, ValueError):
        return False  # asyncpg cannot write the value in PostgreSQL's way
    return isinstance(error, sa.exc.OperationalError | sa.exc.InternalError | sa.exc.InterfaceError) or (
        # The drivers raise the bare class for a file that is corrupt or no database, and for a connection that is lost.
        type(error) in {sa.exc.DatabaseError, sa.exc.DBAPIError}
    )
