"""What every section of the settings has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the settings tree: frozen, and refusing fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
