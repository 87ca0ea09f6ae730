"""The settings of actions."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from custodes.kernel.settings_section import Networks, Section


class ActionSettings(Section):
    """Rollbacks and other actions: where they act, and what keeps them from doing harm."""

    connections_file: Path | None = Field(
        default=None,
        description="YAML file that names the servers actions may use; none means webhooks and people only.",
    )
    poll_s: float = Field(default=2.0, gt=0, description="Seconds between looks for actions that are due.")
    timeout_s: float = Field(default=15.0, gt=0, le=60, description="Seconds one call to another server may take.")
    cooldown_s: float = Field(
        default=3600.0, ge=0, description="Seconds between two actions on one target, where the policy names none."
    )
    per_hour: int = Field(default=4, ge=1, description="Most actions of one project that begin within an hour.")
    max_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of the traffic an action may touch without a person's approval."
    )
    avoid_s: float = Field(
        default=86_400.0, ge=0, description="Seconds for which nothing goes back to a version that was rolled back."
    )
    recent_s: float = Field(
        default=86_400.0, gt=0, description="Seconds of past actions by which automation is judged."
    )
    min_recent: int = Field(default=4, ge=1, description="Finished actions below which automation is not judged.")
    failed_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of recent actions without success at which automation stops."
    )
    proposal_s: float = Field(default=86_400.0, gt=0, description="Seconds after which a proposal nobody decided ends.")
    acknowledge_s: float = Field(
        default=3600.0, gt=0, description="Seconds the other side has to report what became of an action."
    )
    verify_alpha: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Probability with which a verification may be wrong, however often it looks.",
    )
    allowed_private_cidrs: Networks = Field(
        default=(), description='Private networks that actions may reach, e.g. ["10.1.0.0/16"]; none by default.'
    )
    allow_http: bool = Field(default=False, description="Permit http:// connections (https:// only otherwise).")
