"""Who is calling: a principal, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass

from collector.auth.roles import PERMISSIONS, ROLES, Permission, Role
from custodes.kernel.errors import PermissionError_

SERVER_PROJECT = "default"
"""The project that exists from the first start. Its administrators look after the server as a whole."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. ``actor`` is the name the audit log gets; ``roles`` is every role it holds.

    ``max_spans_per_s`` and ``max_concurrent`` are the key's own limits at the door; ``None`` leaves the server's.
    """

    actor: str
    project: str
    role: Role
    roles: tuple[Role, ...]
    dev: bool = False
    max_spans_per_s: float | None = None
    max_concurrent: int | None = None

    def may(self, permission: Permission) -> bool:
        """Return whether one of the caller's roles holds ``permission``."""
        return not PERMISSIONS[permission].isdisjoint(self.roles)

    @property
    def administers_server(self) -> bool:
        """Whether the caller may create projects and see all of them: an administrator of :data:`SERVER_PROJECT`."""
        return self.project == SERVER_PROJECT and "admin" in self.roles

    def require(self, permission: Permission) -> None:
        """Raise ``PermissionError_`` naming the roles that may, unless the caller :meth:`may`."""
        if not self.may(permission):
            needed = tuple(role for role in ROLES if role in PERMISSIONS[permission])
            raise PermissionError_(
                f"a key with role {self.role} may not do this; use one with role {' or '.join(needed)}",
                role=self.role,
                needed=needed,
            )


DEV_PRINCIPAL = Principal(actor="dev@loopback", project=SERVER_PROJECT, role="admin", roles=ROLES, dev=True)
"""The keyless loopback caller of ``--dev``: holds every role in the project ``default``."""
