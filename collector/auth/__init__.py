"""Who may do what: roles, API keys and the check of every request's credentials."""

from collector.auth.authenticate import Authenticator
from collector.auth.principal import DEV_PRINCIPAL, Principal
from collector.auth.roles import PERMISSIONS, ROLES, Permission, Role
from collector.auth.store import (
    CreatedKey,
    KeyRecord,
    create_key,
    ensure_first_admin_key,
    find_key,
    list_keys,
    revoke_key,
)

__all__ = [
    "DEV_PRINCIPAL",
    "PERMISSIONS",
    "ROLES",
    "Authenticator",
    "CreatedKey",
    "KeyRecord",
    "Permission",
    "Principal",
    "Role",
    "create_key",
    "ensure_first_admin_key",
    "find_key",
    "list_keys",
    "revoke_key",
]
