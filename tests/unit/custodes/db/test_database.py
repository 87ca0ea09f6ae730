"""Units of work: what commits, what rolls back, and what a broken database looks like from outside."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from custodes.db import Database, open_database
from custodes.db.tables import lease, project
from custodes.kernel.errors import ConfigurationError, ConflictError, DatabaseError, InvalidInputError


def add_lease(name: str, token: int = 0) -> dict[str, object]:
    return {"name": name, "owner": "o", "token": token, "until_ns": 0}


def count_leases(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(lease)).scalar_one())


class TestWrite:
    def test_it_commits_when_the_block_ends(self, database: Database) -> None:
        with database.write() as tx:
            tx.execute(insert(lease).values(add_lease("a")))
        assert count_leases(database) == 1

    def test_it_rolls_everything_back_when_the_block_raises(self, database: Database) -> None:
        with pytest.raises(KeyError), database.write() as tx:  # noqa: PT012  # The unit of work is what is tested.
            tx.execute(insert(lease).values(add_lease("a")))
            raise KeyError
        assert count_leases(database) == 0

    def test_it_sees_its_own_changes_and_nobody_else_does(self, database: Database) -> None:
        with database.write() as tx:
            tx.execute(insert(lease).values(add_lease("a")))
            assert tx.execute(select(func.count()).select_from(lease)).scalar_one() == 1
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(count_leases, database).result() == 0

    def test_it_refuses_a_second_unit_of_work_in_the_same_thread(self, database: Database) -> None:
        with database.write(), pytest.raises(RuntimeError, match="already has a unit of work"), database.write():
            pass
        with database.write() as tx:
            tx.execute(insert(lease).values(add_lease("a")))
        assert count_leases(database) == 1

    def test_it_lets_a_block_read_while_it_writes(self, database: Database) -> None:
        with database.write() as tx:
            tx.execute(insert(lease).values(add_lease("a")))
            assert count_leases(database) == 0

    def test_it_makes_concurrent_writers_take_turns(self, database: Database) -> None:
        with database.write() as tx:
            tx.execute(insert(lease).values(add_lease("counter")))

        def raise_by_one(_: int) -> None:
            with database.write() as own:
                row = own.execute(select(lease).where(lease.c.name == "counter").with_for_update()).one()
                own.execute(update(lease).where(lease.c.name == "counter").values(token=row.token + 1))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(raise_by_one, range(40)))
        with database.read() as reading:
            assert reading.execute(select(lease.c.token)).scalar_one() == 40

    def test_sqlite_writes_through_one_connection(self, sqlite_url: str) -> None:
        """What one connection writes, the cache of every other has to read again."""
        database = open_database(sqlite_url)
        writers = set()
        for readers in range(3):
            with ExitStack() as stack:
                for _ in range(readers):
                    stack.enter_context(database.read())
                tx = stack.enter_context(database.write())
                tx.execute(insert(lease).values(add_lease(f"beside-{readers}")))
                writers.add(id(tx._connection.connection.dbapi_connection))
        database.dispose()
        assert len(writers) == 1

    def test_it_reports_a_broken_uniqueness_rule_as_a_conflict(self, database: Database) -> None:
        with pytest.raises(ConflictError), database.write() as tx:
            tx.execute(insert(project).values(id="default", created_ns=0))

    def test_it_keeps_statement_and_values_out_of_the_message(self, database: Database) -> None:
        with pytest.raises(DatabaseError) as caught, database.write() as tx:
            tx.execute(
                insert(lease.to_metadata(type(lease.metadata)(), name="nowhere")).values(add_lease("secret-text"))
            )
        assert "secret-text" not in str(caught.value)
        assert "INSERT" not in str(caught.value)


class TestWriteTx:
    def test_it_runs_one_statement_for_many_rows(self, database: Database) -> None:
        with database.write() as tx:
            tx.execute_many(insert(lease), [add_lease(f"l{n}") for n in range(5)])
            tx.execute_many(insert(lease), [])
        assert count_leases(database) == 5

    def test_it_inserts_tuples_through_the_driver(self, database: Database) -> None:
        with database.write() as tx:
            sql = tx.bulk_insert_sql(lease, ["name", "owner", "token", "until_ns"])
            tx.execute_driver(sql, [(f"l{n}", "o", n, 0) for n in range(5)])
            tx.execute_driver(sql, [])
        assert count_leases(database) == 5

    def test_it_ignores_or_updates_on_conflict(self, database: Database) -> None:
        with database.write() as tx:
            for token in (1, 2):
                tx.execute(tx.insert(lease).values(add_lease("a", token)).on_conflict_do_nothing())
            assert tx.execute(select(lease.c.token)).scalar_one() == 1
            statement = tx.insert(lease).values(add_lease("a", 3))
            changes = {"token": statement.excluded.token}
            tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changes))
            assert tx.execute(select(lease.c.token)).scalar_one() == 3


class TestRead:
    def test_it_cannot_write(self, database: Database) -> None:
        with pytest.raises(DatabaseError), database.read() as tx:
            tx.execute(insert(lease).values(add_lease("a")))
        assert count_leases(database) == 0

    def test_it_gives_the_connection_back_able_to_write(self, database: Database) -> None:
        for name in "abcdefghijklmnopqrstuvwxyz":
            count_leases(database)
            with database.write() as tx:
                tx.execute(insert(lease).values(add_lease(name)))
        assert count_leases(database) == 26

    def test_it_sees_one_moment(self, database: Database) -> None:
        with database.read() as tx:
            assert tx.execute(select(func.count()).select_from(lease)).scalar_one() == 0

            def write() -> None:
                with database.write() as other:
                    other.execute(insert(lease).values(add_lease("a")))

            thread = threading.Thread(target=write)
            thread.start()
            thread.join()
            assert tx.execute(select(func.count()).select_from(lease)).scalar_one() == 0
        assert count_leases(database) == 1

    @pytest.mark.parametrize("at_once", [1, 3, 5, 100])
    def test_it_streams_every_row_once_and_in_order(self, database: Database, at_once: int) -> None:
        with database.write() as tx:
            tx.execute_many(insert(lease), [add_lease(f"l{number:02}", number) for number in range(10)])
        statement = select(lease.c.name, lease.c.token).order_by(lease.c.name)
        with database.read() as tx:
            parts = list(tx.stream(statement, at_once))
            assert [tuple(row) for part in parts for row in part] == [(f"l{n:02}", n) for n in range(10)]
            assert max(len(part) for part in parts) <= at_once
            assert list(tx.stream(select(lease.c.name).where(lease.c.token < 0), at_once)) == []

    def test_it_gives_back_what_a_stream_holds_when_it_is_closed_early(self, database: Database) -> None:
        with database.write() as tx:
            tx.execute_many(insert(lease), [add_lease(f"l{number:02}", number) for number in range(10)])
        with database.read() as tx:
            stream = tx.stream(select(lease.c.name), 2)
            assert len(next(stream)) == 2
            stream.close()
        with database.write() as tx:
            tx.execute(update(lease).values(token=7))
            assert tx.execute(select(func.min(lease.c.token))).scalar_one() == 7


class TestOpenDatabase:
    @pytest.mark.parametrize(
        "url", ["", "nonsense", "mysql://host/db", "oracle+x://h/d", "sqlite://", "sqlite:///:memory:"]
    )
    def test_it_says_which_urls_it_takes(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match=r"CUSTODES_DATABASE__URL.*sqlite"):
            open_database(url)

    def test_it_keeps_the_password_out_of_the_message(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            open_database("mysql://user:hunter2@host/db")
        assert "hunter2" not in str(caught.value)

    def test_it_creates_the_data_directory(self, tmp_path: Path) -> None:
        open_database(f"sqlite:///{tmp_path / 'a' / 'b' / 'custodes.db'}").dispose()
        assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == []

    def test_it_refuses_a_data_directory_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigurationError, match=r"CUSTODES_DATA_DIR"):
            open_database(f"sqlite:///{tmp_path / 'file' / 'custodes.db'}")

    def test_it_reports_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "custodes.db").write_text("something else entirely\n" * 100)
        broken = open_database(f"sqlite:///{tmp_path / 'custodes.db'}")
        with pytest.raises(DatabaseError, match="not a database"), broken.read():
            pass
        broken.dispose()

    def test_it_reports_a_server_that_does_not_answer(self) -> None:
        absent = open_database("postgresql+psycopg://user:hunter2@127.0.0.1:1/custodes")
        with pytest.raises(DatabaseError, match="could not be used") as caught, absent.read():
            pass
        assert "hunter2" not in str(caught.value)
        absent.dispose()


class TestSqlite:
    def test_it_survives_power_loss_and_enforces_foreign_keys(self, sqlite_url: str) -> None:
        database = open_database(sqlite_url, busy_timeout_s=1.5)
        with database.read() as tx:
            pragmas = {
                name: tx._connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        database.dispose()
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 1500}

    def test_it_says_when_another_process_holds_the_file(self, sqlite_url: str) -> None:
        holder, waiter = open_database(sqlite_url), open_database(sqlite_url, busy_timeout_s=0.01)
        with holder.write(), pytest.raises(DatabaseError, match="locked"), waiter.write():
            pass
        holder.dispose()
        waiter.dispose()


class TestPostgresql:
    @pytest.mark.parametrize("value", ["nul \x00 inside", "x" * 65])
    def test_it_reports_a_value_that_does_not_fit_as_bad_input(self, postgres_database_url: str, value: str) -> None:
        database = open_database(postgres_database_url)
        with pytest.raises(InvalidInputError, match="cannot store a value"), database.write() as tx:
            tx.execute(insert(lease).values(add_lease(value)))
        database.dispose()
