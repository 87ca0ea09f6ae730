"""Who may do what: roles, API keys and the check of every request's credentials."""

from collector.auth.authenticate import Authenticator
from collector.auth.principal import DEV_PRINCIPAL, SERVER_PROJECT, Principal
from collector.auth.roles import PERMISSIONS, ROLES, Permission, Role
from collector.auth.store import (
    CreatedKey,
    KeyLimits,
    KeyRecord,
    RotatedKey,
    create_key,
    ensure_first_admin_key,
    find_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from collector.auth.store_projects import ProjectRecord, create_project, list_projects

__all__ = [
    "DEV_PRINCIPAL",
    "PERMISSIONS",
    "ROLES",
    "SERVER_PROJECT",
    "Authenticator",
    "CreatedKey",
    "KeyLimits",
    "KeyRecord",
    "Permission",
    "Principal",
    "ProjectRecord",
    "Role",
    "RotatedKey",
    "create_key",
    "create_project",
    "ensure_first_admin_key",
    "find_key",
    "list_keys",
    "list_projects",
    "revoke_key",
    "rotate_key",
]
