"""The database as the rest of the house sees it: units of work that read, and units of work that write.

``Database.read()`` gives a :class:`ReadTx` that cannot write; ``Database.write()`` gives a
:class:`WriteTx` that commits when its block ends and rolls back when it raises. Nothing else commits.
SQLite runs in WAL mode with ``synchronous=FULL``, so a committed transaction survives SIGKILL and power
loss; its writers queue inside the process rather than poll the file lock.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, CursorResult, Engine, Executable, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from custodes.db.bulk import Row, insert_rows, select_in
from custodes.kernel.errors import ConfigurationError, ConflictError, DatabaseError, InvalidInputError

Dialect = Literal["sqlite", "postgresql"]
_WRITE = "custodes_write"
_PAGE_BYTES = 8_192
_CHECKPOINT_PAGES = 8_000
_READ_CACHE_KIB = 32 * 1024
_WRITE_CACHE_KIB = 224 * 1024


class ReadTx:
    """One read-only transaction: a consistent view, no writes."""

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        self._connection = connection
        self.dialect: Dialect = dialect

    def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Run one statement and return its result."""
        result = self._connection.execute(statement, parameters)
        if not isinstance(result, CursorResult):
            raise TypeError(f"a statement must give a cursor result, not {type(result).__name__}")
        return result

    def stream(self, statement: Executable, at_once: int) -> Generator[Sequence[Any], None, None]:
        """Yield the rows of a statement as tuples of what the driver gives, ``at_once`` at a time.

        For millions of rows: nothing is converted, so only types that need no conversion may be among the columns. What
        the database holds for it is given back when the iterator ends or is closed.
        """
        if self.dialect == "postgresql":
            with closing(self.execute(statement.execution_options(yield_per=at_once))) as result:
                yield from result.partitions()
            return
        with closing(self.execute(statement)) as result:
            # Straight from the driver: making a row of each tuple takes as long as reading it.
            while rows := result.cursor.fetchmany(at_once):
                yield rows

    def select_in(self, sql: str, values: Sequence[Any], before: Sequence[Any] = ()) -> list[Row]:
        """Run driver-level SQL that ends in ``IN`` for any number of values, with a ``?`` for each value ``before``.

        The fast way to look many keys up: see :func:`custodes.db.bulk.select_in`.
        """
        return select_in(self._connection, sql, values, before)


class WriteTx(ReadTx):
    """One unit of work. Everything done in it becomes durable together, or not at all."""

    def execute_many(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run one statement for every row; nothing happens without rows."""
        if rows:
            self._connection.execute(statement, rows)

    def execute_driver(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run driver-level SQL for many tuples: the fast way to insert; nothing happens without rows."""
        if rows:
            self._connection.exec_driver_sql(sql, list(rows))

    def bulk_insert(self, table: Table, columns: Sequence[str], rows: Sequence[Row], *, on_conflict: str = "") -> int:
        """Insert many tuples of ``columns`` the fastest way there is; return how many rows were written.

        ``on_conflict`` is an ``ON CONFLICT`` clause that both databases understand; then no two rows may share a
        key, and what it skips is not counted. See :func:`custodes.db.bulk.insert_rows`.
        """
        return insert_rows(self._connection, table, columns, rows, on_conflict)

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Undo what the block did, and only that, when it raises; the rest of the unit of work stays usable."""
        with _translate_errors(), self._connection.begin_nested():
            yield

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an INSERT that understands ``on_conflict_do_update`` and ``…_do_nothing`` on this database."""
        return sqlite.insert(table) if self.dialect == "sqlite" else postgresql.insert(table)

    def bulk_insert_sql(self, table: Table, columns: Sequence[str]) -> str:
        """Return driver-level SQL that inserts ``columns`` of ``table``, for :meth:`execute_driver`."""
        mark = "?" if self.dialect == "sqlite" else "%s"
        names = ", ".join(f'"{name}"' for name in columns)
        return f'INSERT INTO "{table.name}" ({names}) VALUES ({", ".join([mark] * len(columns))})'


class Database:
    """A pool of connections and the two kinds of transaction on it. Thread-safe."""

    def __init__(self, engine: Engine, writing: Engine | None = None) -> None:
        """``writing`` connects for units of work; without it ``engine`` does."""
        self.engine = engine
        self.writing_engine = engine if writing is None else writing
        self.dialect: Dialect = "sqlite" if engine.dialect.name == "sqlite" else "postgresql"
        self._writer = threading.Lock()
        self._writing_threads: set[int] = set()

    @contextmanager
    def read(self) -> Iterator[ReadTx]:
        """Open a read-only transaction. Raises ``DatabaseError`` when the database cannot be used."""
        with _translate_errors(), self.engine.connect() as connection, connection.begin():
            if self.dialect == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only=ON")
            else:
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            try:
                yield ReadTx(connection, self.dialect)
            finally:
                if self.dialect == "sqlite":
                    connection.exec_driver_sql("PRAGMA query_only=OFF")

    @contextmanager
    def write(self) -> Iterator[WriteTx]:
        """Open a unit of work: committed when the block ends, rolled back when it raises.

        Raises ``ConflictError`` when a uniqueness or foreign-key rule was broken, ``InvalidInputError``
        when a value does not fit its column and ``DatabaseError`` when the database cannot be used; nothing
        was written then. Opening a second unit of work inside a first one would wait for itself for
        ever, so that raises ``RuntimeError``.
        """
        thread = threading.get_ident()
        if thread in self._writing_threads:
            raise RuntimeError("this thread already has a unit of work open; pass its tx on, do not open another")
        lock = self._writer if self.dialect == "sqlite" else nullcontext()
        self._writing_threads.add(thread)
        try:
            with _translate_errors(), lock, self.writing_engine.connect() as connection:
                writer = connection.execution_options(**{_WRITE: True})
                with writer.begin():
                    yield WriteTx(writer, self.dialect)
        finally:
            self._writing_threads.discard(thread)

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()
        self.writing_engine.dispose()


def open_database(url: str, *, pool_size: int = 8, busy_timeout_s: float = 30.0) -> Database:
    """Return a database for a SQLAlchemy URL, SQLite or PostgreSQL.

    Raises ``ConfigurationError`` for any other URL, and for a folder that cannot be written. No
    connection is made yet for PostgreSQL.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigurationError(
            "CUSTODES_DATABASE__URL is not a database URL; write sqlite:////path/custodes.db or "
            "postgresql+psycopg://user:password@host/database"
        ) from error
    if backend == "postgresql":
        try:
            engine = create_engine(
                parsed.set(drivername="postgresql+psycopg"), pool_size=pool_size, max_overflow=8, pool_pre_ping=True
            )
        except ImportError as error:
            raise ConfigurationError("PostgreSQL needs its driver: pip install 'custodes[postgres]'") from error
        return Database(engine)
    if backend != "sqlite":
        raise ConfigurationError(f"CUSTODES_DATABASE__URL names {backend!r}; only sqlite and postgresql are supported")
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError(
            "CUSTODES_DATABASE__URL names a database in memory, which every connection would see empty; "
            "give a file: sqlite:////path/custodes.db"
        )
    _check_folder(Path(parsed.database))
    arguments = {"timeout": busy_timeout_s, "check_same_thread": False}
    engine = create_engine(
        parsed,
        pool_size=max(pool_size, 16),
        max_overflow=32,
        # The connection used last has its pages and its statements at hand; taking turns would warm all of them.
        pool_use_lifo=True,
        connect_args=arguments,
    )
    # What one connection has written, the others no longer have at hand. With one for all writing, the pages of the
    # indexes over random ids, of which each commit changes hundreds, stay in memory until there are many millions.
    writing = create_engine(parsed, pool_size=1, max_overflow=0, connect_args=arguments)
    _prepare_sqlite(engine, busy_timeout_s, _READ_CACHE_KIB)
    _prepare_sqlite(writing, busy_timeout_s, _WRITE_CACHE_KIB)
    return Database(engine, writing)


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite URL; ``None`` for every other URL."""
    try:
        parsed = make_url(url)
        return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None
    except (ArgumentError, NoSuchModuleError):
        return None


def _check_folder(path: Path) -> None:
    """Refuse early, by name, a data directory that cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.parent / f".custodes-write-test-{threading.get_ident()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"the data directory {path.parent} cannot be written ({error.strerror}); "
            "make it writable or set CUSTODES_DATA_DIR to another folder"
        ) from error


def _prepare_sqlite(engine: Engine, busy_timeout_s: float, cache_kib: int) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: object) -> None:
        # The driver must not begin transactions by itself: we choose BEGIN or BEGIN IMMEDIATE below.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(busy_timeout_s * 1000)}")
        # For new files only. Content rows take a third of a page of the default size, so a fifth of it lay empty.
        cursor.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        cursor.execute("PRAGMA journal_mode=WAL")
        # Pages of the indexes over random ids change again and again: copied back rarely, most are copied once.
        cursor.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA cache_size=-{cache_kib}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        # A deferred transaction that turns into a writer late can fail at once with "database is locked".
        writes = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise ConflictError(f"the database refused the change: {_first_line(error)}") from error
    except DataError as error:
        raise InvalidInputError(f"the database cannot store a value: {_first_line(error)}") from error
    except PoolTimeoutError as error:
        raise DatabaseError("no database connection became free; raise CUSTODES_DATABASE__POOL_SIZE") from error
    except DBAPIError as error:
        raise DatabaseError(f"the database could not be used: {_first_line(error)}") from error


def _first_line(error: DBAPIError) -> str:
    """Return the driver's own words without the statement or its parameters, which may hold captured text."""
    return str(error.orig).splitlines()[0] if error.orig is not None and str(error.orig) else type(error).__name__


__all__ = ["Database", "Dialect", "ReadTx", "WriteTx", "open_database", "sqlite_file"]
