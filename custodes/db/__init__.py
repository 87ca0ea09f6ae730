"""Database access: tables, units of work, leases, roll-ups and the migration runner."""

from custodes.db.database import Database, ReadTx, WriteTx, open_database

__all__ = ["Database", "ReadTx", "WriteTx", "open_database"]
