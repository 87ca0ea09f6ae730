"""Roles and what each may do: the one table behind every 403.

A role is the whole of a key's power; nothing is inherited. An administrator manages keys and endpoints but can
neither activate a policy nor reveal captured text, so that no single key can change a rule and hide why.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

Role = Literal["ingester", "viewer", "analyst", "author", "approver", "operator", "auditor", "admin"]
Permission = Literal[
    "ingest",
    "read",
    "reveal",
    "policy_submit",
    "policy_backtest",
    "policy_approve",
    "policy_activate",
    "incident_write",
    "silence_write",
    "silence_approve",
    "review_write",
    "action_approve",
    "action_write",
    "action_stop",
    "erase",
    "endpoint_read",
    "endpoint_write",
    "keys",
    "projects",
    "prices",
    "audit_read",
]

ROLES: tuple[Role, ...] = ("ingester", "viewer", "analyst", "author", "approver", "operator", "auditor", "admin")
"""Every role, in the order the documentation lists them."""

ROLE_ABBREVIATIONS: MappingProxyType[Role, str] = MappingProxyType(
    {
        "ingester": "ing",
        "viewer": "vwr",
        "analyst": "anl",
        "author": "aut",
        "approver": "apr",
        "operator": "opr",
        "auditor": "aud",
        "admin": "adm",
    }
)
"""What stands for the role inside a key's text."""

_READERS: frozenset[Role] = frozenset(ROLES) - {"ingester"}

PERMISSIONS: MappingProxyType[Permission, frozenset[Role]] = MappingProxyType(
    {
        # An administrator could issue an ingester key at any time, so refusing its spans would protect nothing.
        "ingest": frozenset({"ingester", "admin"}),
        "read": _READERS,
        "reveal": frozenset({"analyst"}),
        "policy_submit": frozenset({"author"}),
        "policy_backtest": frozenset({"author", "approver", "operator"}),
        # Not the administrator: who hands out keys must not also decide what counts as a rule.
        "policy_approve": frozenset({"approver"}),
        "policy_activate": frozenset({"approver", "operator"}),
        "incident_write": frozenset({"analyst", "approver", "operator"}),
        "silence_write": frozenset({"approver", "operator"}),
        "silence_approve": frozenset({"approver", "operator"}),
        # Who judges an answer has read it.
        "review_write": frozenset({"analyst"}),
        # Not the administrator, for the reason above.
        "action_approve": frozenset({"approver"}),
        "action_write": frozenset({"approver", "operator"}),
        # Stopping is never wrong for long; letting begin again takes action_approve.
        "action_stop": frozenset({"approver", "operator", "admin"}),
        # Not the administrator, who could destroy what tells against a change of their own.
        "erase": frozenset({"operator"}),
        # An endpoint's address often carries a secret in its path.
        "endpoint_read": frozenset({"operator", "admin", "auditor"}),
        "endpoint_write": frozenset({"operator", "admin"}),
        "keys": frozenset({"admin"}),
        # Which projects an administrator sees, and who may create one: see Principal.administers_server.
        "projects": frozenset({"admin"}),
        "prices": frozenset({"operator", "admin"}),
        "audit_read": frozenset({"auditor", "admin"}),
    }
)
"""Which roles hold each permission."""
