"""What every section of the settings has in common."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the settings tree: frozen, and refusing fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _check_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for network in value:
        ipaddress.ip_network(network)
    return value


Networks = Annotated[tuple[str, ...], AfterValidator(_check_networks)]
"""Networks in CIDR form."""
