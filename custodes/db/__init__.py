"""Database access: tables, units of work, leases, roll-ups and the migration runner."""

from custodes.db.database import Database, ReadTx, WriteTx, open_database, sqlite_file

__all__ = ["Database", "ReadTx", "WriteTx", "open_database", "sqlite_file"]
