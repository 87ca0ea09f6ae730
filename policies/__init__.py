"""Rules, their engine, incidents, hooks and the audit log."""
