"""The database: one door for reading and one for writing, on SQLite and PostgreSQL alike."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite

# What a read or write raises while the database is away, starts, or takes nobody more.
AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)
CONNECT_PATIENCE = 5  # seconds; a database that is off the network must not hold a page for minutes
RESTED = 0.1  # seconds that a connection lay unused, after which it is asked whether it still stands


class Records:
    """`url` is SQLAlchemy's: `sqlite:////path/to/file` or `postgresql+psycopg://...`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")
        self._lock_path: Path | None = None
        if self.sqlite:
            database = sa.make_url(url).database or ""
            Path(database).parent.mkdir(parents=True, exist_ok=True)
            self._lock_path = Path(database + ".lock")
        self.engine = sa.create_engine(
            url,
            hide_parameters=True,  # an error of the database ends in a log; what was to be written must not
            connect_args={"timeout": 10} if self.sqlite else _connecting(url),
        )
        if self.sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
        else:
            _ask_the_rested(self.engine)
        self._autocommitting = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction. On SQLite writers queue at a file lock: its own busy wait is unfair and starves some."""
        if not self.sqlite:
            with self.engine.begin() as connection:
                yield connection
            return
        assert self._lock_path is not None
        with _locked(self._lock_path), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def write_apart(self) -> Iterator[sa.Connection]:
        """Statements that need not be kept together. On PostgreSQL each is committed by itself, without the two round
        trips of a transaction's begin and end; on SQLite they are one transaction all the same.
        """
        if self.sqlite:
            with self.write() as tx:
                yield tx
        else:
            with self._autocommitting.connect() as connection:
                yield connection

    def migrate(self, version: str = "head") -> None:
        """Bring the tables up to this version of the product, or an older one (tests)."""
        config = Config()
        config.set_main_option("script_location", "integration.records:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["url"] = self.url
        command.upgrade(config, version)

    def dispose(self) -> None:
        self.engine.dispose()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """While nobody else has it. Each time anew: threads that share an open file share its lock."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def put(tx: sa.Connection, table: sa.Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    """One row for `key`, with these values, whether or not there was one. Safe where two put it at the same moment."""
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(**key, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


def _connecting(url: str) -> dict[str, Any]:
    """Nothing that `url` says itself."""
    return {} if "connect_timeout" in sa.make_url(url).query else {"connect_timeout": CONNECT_PATIENCE}


def _ask_the_rested(engine: sa.Engine) -> None:
    """What `pool_pre_ping` does, a round trip before each use, but only for connections that lay unused for a while.
    One that was used just now tells by itself, and SQLAlchemy then gives up all others with it.
    """

    @event.listens_for(engine, "checkin")
    def laid_down(_connection: Any, record: Any) -> None:
        record.info["rests_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: Any, record: Any, _proxy: Any) -> None:
        now = time.monotonic()
        if 0 <= now - record.info.get("rests_since", now) < RESTED:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise sa.exc.InvalidatePoolError from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # We begin transactions ourselves (BEGIN IMMEDIATE): a deferred one that upgrades fails at once under load.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
