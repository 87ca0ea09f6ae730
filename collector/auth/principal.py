"""Who is calling: a principal, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass

from collector.auth.roles import PERMISSIONS, ROLES, Permission, Role
from custodes.kernel.errors import PermissionError_


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. ``actor`` is the name the audit log gets; ``roles`` is every role it holds."""

    actor: str
    project: str
    role: Role
    roles: tuple[Role, ...]
    dev: bool = False

    def may(self, permission: Permission) -> bool:
        """Return whether one of the caller's roles holds ``permission``."""
        return not PERMISSIONS[permission].isdisjoint(self.roles)

    def require(self, permission: Permission) -> None:
        """Raise ``PermissionError_`` naming the roles that may, unless the caller :meth:`may`."""
        if not self.may(permission):
            needed = tuple(role for role in ROLES if role in PERMISSIONS[permission])
            raise PermissionError_(
                f"a key with role {self.role} may not do this; use one with role {' or '.join(needed)}",
                role=self.role,
                needed=needed,
            )


DEV_PRINCIPAL = Principal(actor="dev@loopback", project="default", role="admin", roles=ROLES, dev=True)
"""The keyless loopback caller of ``--dev``: holds every role in the project ``default``."""
