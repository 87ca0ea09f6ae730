"""The settings of messages to endpoints: how long, how often, and where they may go."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from custodes.kernel.settings_section import Networks, Section

Port = Annotated[int, Field(ge=1, le=65535)]


class WebhookSettings(Section):
    """Outgoing webhooks."""

    timeout_s: float = Field(default=20.0, gt=0, le=30, description="Seconds one delivery attempt may take.")
    poll_s: float = Field(default=1.0, gt=0, description="Seconds between looks for due deliveries.")
    allowed_private_cidrs: Networks = Field(
        default=(), description='Private networks webhooks may reach, e.g. ["10.1.0.0/16"]; none by default.'
    )
    allow_http: bool = Field(default=False, description="Permit http:// endpoints (https:// only otherwise).")
    allowed_ports: tuple[Port, ...] = Field(
        default=(80, 443, 8080, 8443, 9093), description="Ports that http and https endpoints may be reached at."
    )
    allowed_mail_ports: tuple[Port, ...] = Field(
        default=(25, 465, 587, 2525), description="Ports that mail servers may be reached at."
    )
    breaker_failures: int = Field(default=5, ge=1, description="Failures in a row after which an endpoint rests.")
    breaker_pause_s: float = Field(
        default=30.0, gt=0, description="Seconds of the first rest; each next is twice that."
    )
    breaker_longest_s: float = Field(default=900.0, gt=0, description="Seconds of the longest rest.")
    retention_days: float = Field(
        default=30.0, ge=1, description="Days that delivered messages and their attempts are kept."
    )
