"""The configured audit log: database, signing key, and the mark beside the key that a restored database cannot undo."""

from __future__ import annotations

from custodes.db import Database
from custodes.kernel.clock import Clock
from custodes.kernel.settings import Settings
from policies.audit.keys import load_or_create_key
from policies.audit.log import AuditLog
from policies.audit.signed_mark import MARK_FILE, SignedMark


def open_audit_log(settings: Settings, database: Database, clock: Clock) -> AuditLog:
    """Return the log, its key created at first use; call ``verify_state`` before anything else."""
    folder = settings.audit_key_dir
    return AuditLog(database, load_or_create_key(folder), clock, mark=SignedMark(folder / MARK_FILE))
