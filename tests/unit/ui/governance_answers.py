"""What the server in memory tells about policies, approvals and silences. Built for one story, see ``answers.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

POLICY_ID = "toxicity-spike"
SHADOW = "sha256:7a" + "0" * 62


class Governance:
    """Documents about rules. ``story`` is the ``Story`` they belong to, ``ago`` makes its times."""

    def __init__(self, story: Any, version: str, source: str, ago: Any) -> None:
        self.story, self.version, self.source, self.ago = story, version, source, ago
        # Whether the list of policies has ten thousand, of which a page is sent.
        self.many = False

    @property
    def _text(self) -> str:
        return self.story.text or "agreed after the review of Tuesday"

    def facts(self, version: str, state: str) -> dict[str, Any]:
        return {
            "version": version,
            "kind": "Policy",
            "state": state,
            "author": "ann@example.org",
            "origin": {"repository": "https://git.example/rules", "commit": "0123abcd", "path": "tox.yaml"},
            "revision": 4,
            "backtest_id": "b-1" if state == "shadow" else None,
            "created_at": self.ago(hours=30),
            "shadow_at": self.ago(hours=28),
            "activated_at": self.ago(hours=20) if state == "active" else None,
            "retired_at": None,
            "expires_at": None,
            "evaluated_at": self.ago(minutes=1),
        }

    def row(self, version: str | None = None, state: str = "active") -> dict[str, Any]:
        groups = [
            {"group": {"deployment": f"{self.story.name}-v7"}, "state": "firing", "since": self.ago(minutes=8)},
            {"group": {"deployment": f"{self.story.name}-v6"}, "state": "ok", "since": self.ago(hours=9)},
        ]
        return {
            "id": POLICY_ID,
            **self.facts(version or self.version, state),
            "severity": "high",
            "owner": "risk@example.org",
            "scope": {"service": self.story.name},
            "groups": groups,
            "in_review": 1,
        }

    def policies(self) -> dict[str, Any]:
        rows = [] if self.story.empty else [self.row()]
        totals = {"policies": 10_000 if self.many else len(rows), "active": len(rows), "in_review": 1}
        return {"rows": rows * (50 if self.many else 1), "next_cursor": "more" if self.many else None, "totals": totals}

    def policy(self) -> dict[str, Any]:
        versions = [self.facts(SHADOW, "shadow"), self.facts(self.version, "active")]
        return self.row() | {"source": self.source, "versions": versions}

    def review(self, version: str) -> dict[str, Any]:
        state = "shadow" if version == SHADOW else "active"
        verdict = {
            "id": "v-1",
            "kind": "policy",
            "subject": f"{POLICY_ID}@{version}",
            "requested_by": "ann@example.org",
            "approver": "bob@example.org",
            "verdict": "approved",
            "comment": self._text,
            "at": self.ago(hours=21),
            "waived": False,
        }
        return self.row(version, state) | {
            "source": self.source,
            "approvals": [verdict] if state == "active" else [],
            "approvals_needed": 1,
            "missing": "it needs the approval of somebody else" if state == "shadow" else None,
        }

    def diff(self) -> dict[str, Any]:
        change = {"field": "signals.tox_p95.window", "change": "changed", "before": "15m", "after": "10m"}
        added = {"field": "repeat_every", "change": "added", "before": None, "after": "4h"}
        return {"policy_id": POLICY_ID, "from": self.version, "to": SHADOW, "changes": [change, added]}

    def backtest(self) -> dict[str, Any]:
        firing = {
            "group": {"deployment": f"{self.story.name}-v7"},
            "from": self.ago(hours=50),
            "to": self.ago(hours=49),
            "duration_s": 3600.0,
            "values": {"tox_p95": 0.92, "n": 140.0},
            "reason": "when holds for 5m",
            "actions": [],
        }
        report = {
            "from": self.ago(hours=168),
            "to": self.ago(hours=0),
            "minutes": 10_080,
            "evaluations": 20_160,
            "no_data": 12,
            "errors": 0,
            "firing": 1,
            "firing_s": 3600.0,
            "firings": [firing],
            "active": {
                "version": self.version, "same": False, "firing": 2, "both": 1, "only_candidate": [],
                "only_active": [firing | {"from": self.ago(hours=90), "to": self.ago(hours=89)}],
            },
            "labels": {
                "true_alarms": 1, "false_alarms": 0, "unlabelled": 0, "incidents": 2, "found": 1,
                "precision": 1.0, "recall": 0.5,
            },
            "recorded": {"compared": True, "equal": True},
        }  # fmt: skip
        return {"id": "b-1", "created_at": self.ago(hours=28), "actor": "ann@example.org", "report": report}

    def tally(self) -> dict[str, Any]:
        hours = [(3, 60, 120), (2, 57, 114), (1, 60, 120), (0, 22, 44)]
        rows = [
            {
                "version": self.version, "hour": self.ago(hours=back), "minutes": minutes,
                "evaluations": evaluations, "no_data": 2, "errors": 0, "firings": 1,
            }
            for back, minutes, evaluations in hours
        ]  # fmt: skip
        return {"rows": [] if self.story.empty else rows, "next_cursor": None}

    def approvals(self, params: Mapping[str, str]) -> dict[str, Any]:
        if self.story.empty:
            return {"rows": [], "next_cursor": None}
        if params.get("state") == "decided":
            return {"rows": self.review(self.version)["approvals"], "next_cursor": None}
        version = {
            "kind": "policy", "subject": f"{POLICY_ID}@{SHADOW}", "policy_id": POLICY_ID, "version": SHADOW,
            "state": "shadow", "requested_by": "ann@example.org", "since": self.ago(hours=28), "expires_at": None,
            "approvals": [], "needed": 1, "mine": False,
        }  # fmt: skip
        silence = {
            "kind": "silence", "subject": "s-1", "state": "active", "requested_by": "ops@example.org",
            "since": self.ago(hours=1), "expires_at": self.ago(hours=-3), "approvals": [], "needed": 1, "mine": True,
            "matchers": {"service": self.story.name}, "reason": self._text,
        }  # fmt: skip
        return {"rows": [version, silence], "next_cursor": None}

    def silences(self) -> dict[str, Any]:
        row = {
            "id": "s-1", "matchers": {"service": self.story.name}, "reason": self._text, "state": "active",
            "covers": ["low", "medium"], "needs_approval": True, "author": "ops@example.org", "approver": None,
            "created_at": self.ago(hours=1), "starts_at": self.ago(hours=1), "ends_at": self.ago(hours=-3),
            "ended_at": None, "ended_by": None, "revision": 1,
        }  # fmt: skip
        return {"rows": [] if self.story.empty else [row], "next_cursor": None}

    def action(self) -> dict[str, Any]:
        return {
            "id": "a-1", "kind": "rollback", "adapter": "mlflow", "state": "proposed", "mode": "propose",
            "target": {"adapter": "mlflow", "model": self.story.name, "alias": "champion"},
            "reason": self._text, "policy_id": POLICY_ID, "policy_version": self.version, "incident_id": "i-1",
            "group": {"deployment": f"{self.story.name}-v7"}, "author": "ann@example.org", "approver": None,
            "from_version": "7", "to_version": "6", "deployment": f"{self.story.name}-v6", "traffic_share": 0.4,
            "evidence_digest": "e" * 64, "revision": 2, "created_at": self.ago(minutes=5),
            "planned_at": self.ago(minutes=4),
            "finding": {
                "deployment": f"{self.story.name}-v6", "expr": "tox_p95 < 0.60", "n": 210, "needed": 50,
                "alpha": 0.05, "intervals": {"tox_p95": [0.02, 0.31], "p95_ms": [12.0, None]},
            },
        }  # fmt: skip

    def action_detail(self) -> dict[str, Any]:
        decision = {
            "id": "d-1", "policy_id": POLICY_ID, "policy_version": self.version, "at": self.ago(minutes=5),
            "from_state": "pending", "to_state": "firing", "values": {"tox_p95": 0.91, "n": 212.0},
            "reason": "when holds for 5m", "group": {}, "mode": "live", "incident_id": "i-1",
        }  # fmt: skip
        event = {
            "at": self.ago(minutes=4), "kind": "planned", "actor": "action-worker",
            "body": {"state": "proposed", "reason": self._text},
        }  # fmt: skip
        return self.action() | {
            "decision": decision, "incident": self.story.incident_row(), "approvals": [], "events": [event],
            "evidence": {"group": {"deployment": self._text}}, "audit_seqs": [12, 15],
            "switches": [], "terms": {},
        }  # fmt: skip

    def switch(self) -> dict[str, Any]:
        return {"stopped": False, "switches": []}

    def endpoints(self) -> dict[str, Any]:
        failing = {
            "id": "oncall", "kind": "webhook", "url": "https://hooks.example/x", "options": {}, "state": "active",
            "disabled_reason": None, "signs": True, "pending": 3, "dead": 2,
            "breaker": {"state": "open", "failures": 6, "open_until": self.ago(minutes=-2)},
            "last_delivered_at": self.ago(hours=2), "last_failed_at": self.ago(minutes=1), "last_error": self._text,
            "rotating_until": self.ago(hours=-3), "created_at": self.ago(hours=90), "revision": 2,
        }  # fmt: skip
        gone = failing | {
            "id": self.story.name, "kind": "slack", "state": "disabled",
            "disabled_reason": "the receiver answered 410 Gone",
            "breaker": {"state": "closed", "failures": 0, "open_until": None}, "last_error": None, "dead": 0,
        }  # fmt: skip
        return {"rows": [] if self.story.empty else [failing, gone], "next_cursor": None}

    def endpoint_kinds(self) -> dict[str, Any]:
        key = {"name": "routing_key", "description": "integration key", "secret": True, "required": True}
        option = {"name": "hold", "description": self._text, "secret": False, "required": False}
        webhook: dict[str, Any] = {
            "kind": "webhook", "title": "Standard Webhooks", "address": "shown", "default_url": None, "signs": True,
            "settings": [],
        }  # fmt: skip
        pager = webhook | {
            "kind": "pager", "title": self.story.name, "default_url": "https://p.example", "settings": [key, option],
        }  # fmt: skip
        return {"rows": [webhook, pager], "next_cursor": None}

    def dead_letters(self) -> dict[str, Any]:
        tried = {"at": self.ago(hours=3), "outcome": "retrylater", "status": 503, "duration_ms": 12.0, "detail": "x"}
        row = {
            "id": "msg_1", "event": "incident.opened", "incident_id": None, "state": "dead", "attempts_used": 10,
            "created_at": self.ago(hours=80), "replayed_at": None, "next_attempt_at": None, "delivered_at": None,
            "last_error": self._text, "attempts": [{"n": n, **tried} for n in range(1, 11)],
        }  # fmt: skip
        return {"rows": [row, row | {"id": "msg_2"}], "next_cursor": None}

    def reviews(self, params: Mapping[str, str]) -> dict[str, Any]:
        row = {
            "id": "rv-1", "exchange": params.get("exchange", "ab" * 24), "reviewer": self._text, "verdict": "bad",
            "corrected": True, "erased": False, "at": self.ago(minutes=9),
        }  # fmt: skip
        return {"rows": [] if self.story.empty else [row], "next_cursor": None}

    def answer(self, method: str, parts: list[str], params: Mapping[str, str]) -> Any:
        """Return the document for a request below one of these resources; ``None`` when there is none."""
        if parts[0] == "policies" and len(parts) >= 2 and parts[1] != POLICY_ID:
            return None
        if method == "POST" and parts == ["endpoints"]:
            return {"id": "made", "url": "https://a.example", "secret": "whsec_shown_once"}
        if method == "POST" and parts[0] == "endpoints":
            trial = {"delivered": self.story.name == "support-bot", "detail": self._text, "duration_ms": 31.0}
            done: dict[str, Any] = {"replayed": ["msg_1", "msg_2"], "skipped": {}, "audit": None}
            if parts[-1] == "rotate":
                return {"id": parts[1], "url": "https://a.example", "secret": "whsec_rotated"}
            return done if parts[-1] in ("replay", "discard") else {"id": parts[1], "status": 204, **trial}
        if method == "POST" and parts == ["reviews"]:
            return self.reviews({})["rows"][0]
        if method != "GET":
            changed = self.silences()["rows"][0] if parts[0] == "silences" else self.row()
            changed = self.action() if parts[0] == "actions" else changed
            return changed | {"audit": {"seq": 9, "checkpoint_size": 10}}
        name = "/".join(part if not part.startswith("sha256") else "V" for part in parts)
        named = f"policies/{POLICY_ID}"
        documents = {
            "policies": self.policies,
            named: self.policy,
            f"{named}/tally": self.tally,
            f"{named}/versions/V": lambda: self.review(parts[3]),
            f"{named}/versions/V/diff": self.diff,
            f"{named}/versions/V/backtest": self.backtest,
            "approvals": lambda: self.approvals(params),
            "silences": self.silences,
            "reviews": lambda: self.reviews(params),
            "actions": lambda: {"rows": [] if self.story.empty else [self.action()], "next_cursor": None},
            "actions/switch": self.switch,
            "actions/a-1": self.action_detail,
            "endpoints": self.endpoints,
            "endpoint-kinds": self.endpoint_kinds,
            "endpoints/oncall/deliveries": self.dead_letters,
        }
        found = documents.get(name)
        return None if found is None else found()
