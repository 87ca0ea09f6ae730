"""The life of an action, without a database: what may follow what.

::

    proposed ─► approved ─► snapshot ─► sent ─► acknowledged ─► verifying ─► helped
       │           │           │         │          │              ├──────► not_helped
       │           └─ cancelled ┴─ failed ┴──────────┘              └──────► inconclusive
       ├─► refused, cancelled, failed
    shadowed (what a policy in mode ``shadow`` would have asked for; it never moves)

Each function returns the changed action, one revision on, or raises ``ConflictError`` when its state forbids it. The
same steps are the only ones the database lets through.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from custodes.kernel.errors import ConflictError, InvalidInputError
from policies.rules.document import GuardedAction

ActionState = Literal[
    "shadowed",
    "proposed",
    "approved",
    "snapshot",
    "sent",
    "acknowledged",
    "verifying",
    "helped",
    "not_helped",
    "inconclusive",
    "refused",
    "cancelled",
    "failed",
]
Verdict = Literal["helped", "not_helped", "inconclusive"]
ActionMode = Literal["shadow", "propose", "auto"]

STEPS: Mapping[str, frozenset[str]] = {
    "shadowed": frozenset(),
    "proposed": frozenset({"approved", "refused", "cancelled", "failed"}),
    "approved": frozenset({"snapshot", "cancelled", "failed"}),
    "snapshot": frozenset({"sent", "cancelled", "failed"}),
    "sent": frozenset({"acknowledged", "failed"}),
    "acknowledged": frozenset({"verifying", "inconclusive", "failed"}),
    "verifying": frozenset({"helped", "not_helped", "inconclusive"}),
    "helped": frozenset(),
    "not_helped": frozenset(),
    "inconclusive": frozenset(),
    "refused": frozenset(),
    "cancelled": frozenset(),
    "failed": frozenset(),
}
"""Every state with the states that may follow it."""
IN_FLIGHT: frozenset[str] = frozenset({"approved", "snapshot", "sent", "acknowledged", "verifying"})
"""States in which no other action may begin on the same target."""
ENDED: frozenset[str] = frozenset(state for state, after in STEPS.items() if not after)
FAILURES: frozenset[str] = frozenset({"failed", "not_helped"})
"""Ends that count against automation."""
MAX_REASON_CHARACTERS = 1000
PROMOTION = "promotion"
"""What people ask for and policies cannot: another version is to serve."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action as it stands. Everything in it is names and numbers, never captured text."""

    id: str
    project_id: str
    kind: str
    adapter: str
    target_key: str
    target: Mapping[str, str]
    policy_id: str
    version: str
    decision_id: str
    incident_id: str
    group_key: str
    mode: ActionMode
    state: ActionState
    author: str
    idempotency_key: str
    terms: Mapping[str, Any]
    created_ns: int
    updated_ns: int
    revision: int = 1
    approver: str | None = None
    waived: bool = False
    from_version: str | None = None
    to_version: str | None = None
    deployment: str | None = None
    traffic_share: float | None = None
    share_cap: float | None = None
    external_id: str | None = None
    evidence_digest: str | None = None
    attempts: int = 0
    reason: str = ""
    finding: Mapping[str, Any] | None = field(default=None)
    planned_ns: int | None = None
    approved_ns: int | None = None
    snapshot_ns: int | None = None
    sent_ns: int | None = None
    acknowledged_ns: int | None = None
    verify_from_ns: int | None = None
    verify_until_ns: int | None = None
    next_ns: int | None = None
    finished_ns: int | None = None

    @property
    def written(self) -> GuardedAction:
        """The action as its policy writes it. A promotion, which no policy can write, has the terms of a rollback."""
        return GuardedAction.model_validate({**self.terms, **({"kind": "rollback"} if self.kind == PROMOTION else {})})


def advance(action: Action, state: ActionState, now_ns: int, reason: str = "", **changes: Any) -> Action:
    """Return the action in its next state; raise ``ConflictError`` when that step does not exist.

    The time of the step is noted under its name; an action that ends is looked at no more.
    """
    if state not in STEPS[action.state]:
        raise ConflictError(f"action {action.id} is {action.state}; it cannot become {state}")
    times: dict[str, Any] = {}
    if state in ("approved", "snapshot", "sent", "acknowledged"):
        times[f"{state}_ns"] = now_ns
    if state in ENDED:
        times |= {"finished_ns": now_ns, "next_ns": None}
    return touch(action, now_ns, state=state, reason=reason[:MAX_REASON_CHARACTERS], **{**times, **changes})


def touch(action: Action, now_ns: int, **changes: Any) -> Action:
    """Return the action with changes that are no step, one revision on."""
    return replace(action, **{"updated_ns": now_ns, "revision": action.revision + 1, **changes})


def approve(action: Action, approver: str, now_ns: int, *, waived: bool = False) -> Action:
    """Return the action as agreed to, due at once; raise ``ConflictError`` for its author and before it was planned."""
    if action.planned_ns is None:
        raise ConflictError(f"action {action.id} is being planned; read it again in some seconds")
    if approver == action.author and not waived:
        asked = "wrote the policy that asks for this" if action.incident_id else "asked for this"
        raise ConflictError(f"{approver} {asked}; somebody else has to approve it")
    alone = waived and approver == action.author
    return advance(action, "approved", now_ns, approver=approver, waived=alone, next_ns=now_ns)


def describe_action(action: Action) -> str:
    """Return what an action would do in a few words, e.g. ``rollback of support-bot@champion from 3 to 2``."""
    target = action.target
    where = target.get("model") or target.get("lora") or target.get("repository") or target.get("endpoint") or ""
    where += f"@{target['alias']}" if "alias" in target else ""
    since = f" from {action.from_version}" if action.from_version is not None else ""
    versions = f"{since} to {action.to_version}" if action.to_version is not None else ""
    return f"{action.kind}{f' of {where}' if where else ''}{versions}"


def make_idempotency_key(version: str, kind: str, target_key: str, episode: str) -> str:
    """Return the key that lets one episode of one policy version ask for one action on one target only once."""
    return hashlib.sha256(orjson.dumps([version, kind, target_key, episode])).hexdigest()


def make_target_key(kind: str, project_id: str, target: Mapping[str, str] | None) -> str:
    """Return what is acted on, the same text whoever asks and whatever for.

    Connections are shared between projects, so the same alias is the same target in all of them; endpoints of
    webhooks and work for people belong to a project. Raises ``InvalidInputError`` when it cannot be told.
    """
    names = dict(target or {})
    adapter = names.get("adapter", "people")
    connection = names.get("connection", adapter)
    objects = {
        "mlflow": ("model", "alias"),
        "vllm": ("lora",),
        "github": ("repository", "workflow"),
        "gitlab": ("repository",),
    }
    if adapter in objects:
        missing = [name for name in objects[adapter] if not names.get(name)]
        if missing:
            raise InvalidInputError(f"a {adapter} target needs {', '.join(missing)}")
        key = "/".join((connection, *(names[name] for name in objects[adapter])))
    else:
        own = names.get("name") or names.get("endpoint") or kind
        key = f"{adapter}/{project_id}/{own}"
    return key if len(key) <= 200 else f"{key[:180]}~{hashlib.sha256(key.encode()).hexdigest()[:16]}"
