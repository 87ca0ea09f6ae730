"""Ship the Alembic migrations inside the wheel.

An editable install keeps reading ``migrations/`` from the checkout, so only the standard wheel gets a
copy; ``custodes.db.migrate`` looks in both places.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class MigrationsHook(BuildHookInterface):  # type: ignore[type-arg]  # The base is generic only for hatchling's checker.
    """Adds ``migrations/`` to the standard wheel as ``custodes/_migrations``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the folder to include; ``version`` is ``standard`` or ``editable``."""
        if version == "standard":
            for path in ("env.py", "script.py.mako", "versions"):
                build_data["force_include"][f"migrations/{path}"] = f"custodes/_migrations/{path}"
