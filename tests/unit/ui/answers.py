"""What the console's tests know: one moment of three services, as the documents a server would answer with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
EXCHANGE_ID = TRACE_ID + "00f067aa0ba902b7"
INCIDENT_ID = "01934f2a-7c1e-7b1a-9a55-3f6f1f0c2b10"
VERSION = "sha256:" + "5e1f" * 16
HOSTILE = (
    "# Heading ![canary](https://canary.invalid/x.png) <img src=https://canary.invalid/y.png> "
    "[click](https://canary.invalid/z) <script>fetch('https://canary.invalid')</script> **bold** $x^2$ :rocket: "
    "\u202egnp.exe\u202c \u200bzero\u200b `code`"
)


def rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def ago(**parts: float) -> str:
    return rfc3339(NOW - timedelta(**parts))


@dataclass
class Story:
    """The documents; the fields decide what they tell."""

    dev: bool = True
    empty: bool = False
    text_visible: bool = True
    role: str = "admin"
    text: str | None = None
    name: str = "support-bot"
    verdict: str = "intact"

    def me(self) -> dict[str, Any]:
        actor = "dev@loopback" if self.dev else "key:3f9a"
        roles = ["ingester", "viewer", "analyst", "author", "approver", "operator", "auditor", "admin"]
        return {
            "actor": actor,
            "project": "default",
            "role": self.role,
            "roles": roles if self.role == "admin" else [self.role],
            "dev": self.dev,
            "version": "0.1.0",
        }

    def empty_overview(self) -> dict[str, Any]:
        return {
            "from": ago(hours=1),
            "to": ago(),
            "now": ago(),
            "last_trace_at": None,
            "summary": "No traces have been received yet.",
            "totals": {"traces": 0, "exchanges": 0, "assessed": 0, "not_assessed": 0, "not_assessed_reasons": {}},
            "services": [],
            "open_incidents": [],
            "recent_events": [],
        }

    def overview(self) -> dict[str, Any]:
        name = self.name
        return {
            "from": ago(hours=1),
            "to": ago(),
            "now": ago(),
            "last_trace_at": ago(seconds=12),
            "summary": f"2 of 3 services are within their limits. {name} toxicity p95 is 0.91, "
            "above the limit of 0.80 since 09:47 UTC.",
            "totals": {
                "traces": 4182,
                "exchanges": 5230,
                "assessed": 5088,
                "not_assessed": 142,
                "not_assessed_reasons": {"no_response_text": 118, "no_context": 24},
            },
            "services": [
                _service(name, "firing", 1980, 0.004, 0.91, 0.31, 12, 1),
                _service("search-answers", "ok", 2410, 0.0, 0.06, 0.42, 9, 0),
                _service("internal-copilot", "no_data", 840, 0.162, 0.03, None, 1380, 0),
            ],
            "open_incidents": [self.incident_row()],
            "recent_events": [
                {
                    "at": ago(minutes=8),
                    "kind": "incident.opened",
                    "text": f"Toxicity above its limit on {name}",
                    "incident_id": INCIDENT_ID,
                },
                {
                    "at": ago(minutes=13),
                    "kind": "decision",
                    "text": "toxicity-spike went from ok to pending",
                    "incident_id": None,
                },
                {
                    "at": ago(hours=3),
                    "kind": "incident.resolved",
                    "text": "Hallucination above its limit on search-answers",
                    "incident_id": "01934e11-0000-7000-8000-000000000001",
                },
            ],
        }

    def timeseries(self, params: Mapping[str, str]) -> dict[str, Any]:
        metric, agg = params["metric"], params["agg"]
        points: dict[str, list[dict[str, Any]]] = {}
        groups = [] if self.empty else [self.name, "search-answers", "internal-copilot"]
        for index, group in enumerate(groups):
            points[group] = []
            for step in range(60):
                level = 0.08 + 0.05 * index + 0.03 * math.sin(step / 4 + index)
                if index == 0 and step > 46:
                    level = 0.88 + 0.03 * math.sin(step)
                value: float | None = level
                if agg == "count":
                    value = 30 + 8 * index + 6 * math.sin(step / 5 + index)
                if index == 2 and step > 36:
                    value = None
                moment = NOW - timedelta(minutes=60 - step)
                points[group].append({"t": rfc3339(moment), "value": value, "n": 0 if value is None else 30})
        return {
            "metric": metric,
            "agg": agg,
            "step_s": 60,
            "series": [{"group": group, "points": series} for group, series in points.items()],
        }

    def traces(self, params: Mapping[str, str]) -> dict[str, Any]:
        if self.empty or params.get("q") == "nothing":
            return {"rows": [], "next_cursor": None}
        first = int(params.get("cursor") or 0)
        limit = int(params.get("limit") or 50)
        rows = [self.trace_row(first + index) for index in range(min(limit, 120 - first))]
        following = first + len(rows)
        return {"rows": rows, "next_cursor": str(following) if following < 120 else None}

    def trace_row(self, index: int) -> dict[str, Any]:
        services = [self.name, "search-answers", "internal-copilot"]
        service = services[index % 3]
        toxic = index % 3 == 0 and index < 18
        assessed = index % 7 != 5
        grounded = index % 3 == 1
        return {
            "trace_id": TRACE_ID if index == 0 else f"{index:032x}",
            "start": ago(seconds=12 + index * 17),
            "duration_ms": 820.5 + 37 * (index % 11),
            "service": service,
            "deployment": f"{service}-v{7 if toxic else 6}",
            "model": ["llama-3.1-8b-instruct", "qwen2.5-14b", "mistral-small-24b"][index % 3],
            "spans": 4 if grounded or index == 0 else 2,
            "states": {
                "toxicity": "assessed" if assessed else "not_assessed",
                "prompt_toxicity": "assessed" if assessed else "not_assessed",
                "hallucination": "assessed" if assessed and (grounded or index == 0) else "not_assessed",
            },
            "scores": {
                "toxicity": (0.93 if toxic else 0.02 + index % 5 / 50) if assessed else None,
                "prompt_toxicity": 0.04 if assessed else None,
                "hallucination": (0.62 if index == 0 else 0.12) if assessed and (grounded or index == 0) else None,
            },
            "incident_ids": [INCIDENT_ID] if toxic else [],
        }

    def trace(self) -> dict[str, Any]:
        visible = self.text_visible
        start = NOW - timedelta(seconds=12)

        def span(
            number: int, parent: int | None, name: str, operation: str, offset: float, length: float
        ) -> dict[str, Any]:
            began = start + timedelta(milliseconds=offset)
            return {
                "span_id": f"{number:016x}" if number != 3 else EXCHANGE_ID[32:],
                "parent_span_id": None if parent is None else f"{parent:016x}",
                "name": name,
                "operation": operation,
                "kind": "internal",
                "start": rfc3339(began),
                "end": rfc3339(began + timedelta(milliseconds=length)),
                "duration_ms": length,
                "status": "ok",
                "service": self.name,
                "environment": "prod",
                "provider": "vllm",
                "model": "llama-3.1-8b-instruct" if operation == "chat" else None,
                "deployment": f"{self.name}-v7",
                "input_messages": None,
                "output_messages": None,
                "retrieved_documents": None,
                "input_tokens": None,
                "output_tokens": None,
                "cost_usd": None,
                "session_id": "s-118",
                "user_id": "u-42",
                "finish_reasons": None,
                "ttft_ms": None,
                "dialect": "otel-genai",
                "complete": True,
                "dropped_attributes": 0,
                "attributes": {"service.version": "7.2.0", "custodes.deployment": f"{self.name}-v7"},
            }

        documents = self.contexts()
        exchange = self.exchange(visible)
        spans = [
            span(1, None, self.text or "POST /answer", "invoke_agent", 0, 1284.0),
            span(2, 1, "search orders", "retrieval", 38, 212.4),
            span(3, 1, "chat llama-3.1-8b-instruct", "chat", 262, 941.2),
            span(4, 1, "send_reply", "execute_tool", 1214, 61.0),
        ]
        spans[1]["retrieved_documents"] = [{"id": "kb-12", "content": text} for text in documents] if visible else None
        spans[2].update(input_tokens=412, output_tokens=96, cost_usd=0.00042, ttft_ms=183.0, finish_reasons=["stop"])
        if visible:
            spans[2]["input_messages"] = [
                {"role": "system", "parts": [{"type": "text", "content": "You answer questions about orders."}]},
                {"role": "user", "parts": [{"type": "text", "content": exchange["prompt"]}]},
            ]
            spans[2]["output_messages"] = [
                {"role": "assistant", "parts": [{"type": "text", "content": exchange["response"]}]}
            ]
        return {
            "trace_id": TRACE_ID,
            "text_visible": visible,
            "spans": spans,
            "exchanges": [exchange],
            "incident_ids": [INCIDENT_ID],
        }

    def contexts(self) -> list[str]:
        if self.text is not None:
            return [self.text]
        return [
            "Order 4471 was shipped on 12 November by road freight. Delivery takes three to five working days.",
            "Refunds are paid to the original payment method within ten working days of receiving the return.",
        ]

    def exchange(self, visible: bool) -> dict[str, Any]:
        response = self.text or (
            "Your order 4471 was shipped on 12 November and arrives tomorrow by 9 am. "
            "If it doesn't, you get a full refund within 24 hours, you useless idiot."
        )
        claims = (("arrives tomorrow by 9 am", 0.91), ("a full refund within 24 hours", 0.84))
        spans = [
            {"start": response.index(claim), "end": response.index(claim) + len(claim), "value": value}
            for claim, value in claims
            if claim in response
        ]
        detector = {"version": "1.0.0", "digest": "sha256:9b1d" + "0" * 60}
        return {
            "id": EXCHANGE_ID,
            "span_id": EXCHANGE_ID[32:],
            "prompt": (self.text or "Where is my order 4471?") if visible else None,
            "response": response if visible else None,
            "contexts": self.contexts() if visible else None,
            "text_visible": visible,
            "state": "partial",
            "scores": {
                "toxicity": _score(
                    0.93, detector | {"name": "toxicity/builtin"}, labels={"insult": 0.95, "threat": 0.01}
                ),
                "prompt_toxicity": _score(0.02, detector | {"name": "toxicity/builtin"}),
                "hallucination": _score(0.62, detector | {"name": "support/builtin"}, spans=spans),
                "identity_attack": {
                    "value": None,
                    "state": "not_assessed",
                    "reason": "detector_error",
                    "labels": None,
                    "spans": None,
                    "detector": None,
                    "scored_at": None,
                },
            },
        }

    def incident_row(self) -> dict[str, Any]:
        return {
            "id": INCIDENT_ID,
            "policy_id": "toxicity-spike",
            "policy_version": VERSION,
            "group": {"service": self.name, "environment": "prod", "deployment": f"{self.name}-v7"},
            "severity": "high",
            "state": "new",
            "title": f"Toxicity above its limit on {self.name}-v7",
            "summary": "tox_p95 was 0.91 over 15 minutes (limit 0.80), 212 exchanges.",
            "opened_at": ago(minutes=8),
            "updated_at": ago(minutes=1),
            "resolved_at": None,
        }

    def incidents(self, params: Mapping[str, str]) -> dict[str, Any]:
        if self.empty:
            return {"rows": [], "next_cursor": None}
        resolved = self.incident_row() | {
            "id": "01934e11-0000-7000-8000-000000000001",
            "policy_id": "hallucination-rate",
            "severity": "medium",
            "state": "resolved",
            "title": "Hallucination above its limit on search-answers-v4",
            "group": {"service": "search-answers", "deployment": "search-answers-v4"},
            "opened_at": ago(hours=4),
            "resolved_at": ago(hours=3),
        }
        rows = [self.incident_row(), resolved]
        wanted = params.get("state", "all").replace("open", "new")
        return {"rows": [row for row in rows if wanted in ("all", row["state"])], "next_cursor": None}

    def incident(self) -> dict[str, Any]:
        values = {"tox_p95": 0.91, "n": 212.0}
        return self.incident_row() | {
            "timeline": [
                {
                    "at": ago(minutes=8),
                    "kind": "opened",
                    "actor": "system:engine",
                    "body": {"severity": "high", "summary": "toxicity-spike fired for deployment=support-bot-v7."},
                },
                {
                    "at": ago(minutes=8),
                    "kind": "notification.queued",
                    "actor": "system:engine",
                    "body": {"endpoint": "oncall", "event": "incident.opened", "message_id": "msg_2Kx"},
                },
                {
                    "at": ago(minutes=7, seconds=50),
                    "kind": "notification.delivered",
                    "actor": "system:delivery",
                    "body": {"endpoint": "oncall", "attempts": 2, "detail": "answered 204"},
                },
                {"at": ago(minutes=1), "kind": "updated", "actor": None, "body": {}},
            ],
            "decisions": [
                {
                    "id": "0193-41",
                    "at": ago(minutes=13),
                    "from_state": "ok",
                    "to_state": "pending",
                    "reason": "tox_p95 is 0.86, above 0.80",
                    "values": {"tox_p95": 0.86, "n": 190.0},
                    "policy_version": VERSION,
                },
                {
                    "id": "0193-42",
                    "at": ago(minutes=8),
                    "from_state": "pending",
                    "to_state": "firing",
                    "reason": "the condition held for 5m",
                    "values": values,
                    "policy_version": VERSION,
                },
            ],
            "deliveries": [
                {
                    "id": "msg_2Kx",
                    "endpoint": "oncall",
                    "event_type": "incident.opened",
                    "state": "delivered",
                    "attempts": 2,
                    "created_at": ago(minutes=8),
                    "delivered_at": ago(minutes=7, seconds=50),
                    "last_error": "503 Service Unavailable",
                    "attempts_log": [
                        {
                            "n": 1,
                            "at": ago(minutes=8),
                            "outcome": "retrylater",
                            "status": 503,
                            "duration_ms": 41.0,
                            "detail": "Service Unavailable",
                        },
                        {
                            "n": 2,
                            "at": ago(minutes=7, seconds=50),
                            "outcome": "delivered",
                            "status": 204,
                            "duration_ms": 18.0,
                            "detail": None,
                        },
                    ],
                }
            ],
            "audit_seqs": [18201, 18202, 18230],
            "policy": {"id": "toxicity-spike", "version": VERSION, "source": POLICY},
            "traces": [] if self.empty else [self.trace_row(index) for index in (0, 3, 6)],
        }

    def audit_status(self) -> dict[str, Any]:
        return {
            "origin": "custodes.example/default",
            "key": "custodes.example/default+1a2b3c4d+AWV4YW1wbGVrZXlleGFtcGxla2V5ZXhhbXBsZWtleQ==",
            "size": 0 if self.empty else 18235,
            "root": None if self.empty else "9f" * 32,
            "checkpoint_at": None if self.empty else ago(seconds=4),
            "pending": 0,
        }

    def audit_entries(self, params: Mapping[str, str]) -> dict[str, Any]:
        if self.empty or params.get("actor") == "nobody":
            return {"rows": [], "next_cursor": None}
        size, limit = 18235, int(params.get("limit", 50))
        start = params.get("cursor") or params.get("from_seq")
        if params.get("order") == "desc":
            first = (size if start is None else int(start)) - 1
            numbers = range(first, max(-1, first - limit), -1)
        else:
            first = 0 if start is None else int(start)
            numbers = range(first, min(first + limit, size))
        rows = []
        for seq in numbers:
            action, actor, subject = [
                ("ingest.batch", "system:worker", f"batch:{seq}"),
                ("decision.recorded", "system:engine", "policy:toxicity-spike"),
                ("exchange.reveal", "ana@example.org", EXCHANGE_ID),
            ][seq % 3]
            rows.append(
                {
                    "seq": seq,
                    "time": ago(seconds=(size - seq) * 9),
                    "actor": actor,
                    "role": "system",
                    "action": action,
                    "object": subject,
                    "data": {"spans": seq % 512},
                    "hash": f"{seq:064x}",
                }
            )
        more = params.get("order") == "desc" and len(rows) == limit
        return {"rows": rows, "next_cursor": str(rows[-1]["seq"]) if more else None}

    def proof(self, seq: int) -> dict[str, Any]:
        return {
            "seq": seq,
            "leaf_hash": f"{seq:064x}",
            "size": 18235,
            "root": "9f" * 32,
            "proof": ["ab" * 32, "cd" * 32],
            "note": "custodes.example/default\n18235\nn5+f\n\n— custodes.example x\n",
        }

    def verification(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "checked_leaves": 18235,
            "size": 18235,
            "root": "9f" * 32,
            "checkpoint_at": ago(seconds=4),
            "message": "Every leaf was hashed again and the tree is the signed one."
            if self.verdict == "intact"
            else "Leaf 18012 does not match the tree that was signed.",
            "how_to_verify_offline": [
                "custodes audit export --out evidence",
                "custodes audit verify evidence --origin custodes.example/default --key 'custodes.example/default+1a…'",
            ],
        }


POLICY = """apiVersion: custodes/v1
kind: Policy
id: toxicity-spike
owner: risk@example.org
severity: high
scope: {environment: prod, service: support-bot}
signals:
  tox_p95: {metric: toxicity, agg: p95, window: 15m}
  n:       {metric: toxicity, agg: count, window: 15m}
group_by: [deployment]
when:  "n >= 50.0 && tox_p95 > 0.80"
clear: "tox_p95 < 0.60"
for: 5m
"""


def _score(value: float, detector: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {
        "value": value,
        "state": "assessed",
        "reason": None,
        "labels": None,
        "spans": None,
        "detector": detector,
        "scored_at": ago(seconds=9),
    } | extra


def _service(
    name: str,
    status: str,
    exchanges: int,
    missing: float,
    toxicity: float,
    hallucination: float | None,
    seen: float,
    opened: int,
) -> dict[str, Any]:
    spark = []
    for step in range(30):
        high = name == "support-bot" and step > 22
        spark.append(
            {
                "t": ago(minutes=60 - 2 * step),
                "exchanges": int(60 + 14 * math.sin(step / 3)) if status != "no_data" or step < 18 else 0,
                "toxicity_p95": (toxicity if high else 0.05 + 0.02 * math.sin(step))
                if status != "no_data" or step < 18
                else None,
                "hallucination_p95": None if hallucination is None else hallucination + 0.03 * math.sin(step / 2),
            }
        )

    def summary(value: float | None, n: int) -> dict[str, Any]:
        if value is None:
            return {"n": 0, "mean": None, "p50": None, "p95": None, "rate_above_05": None}
        return {"n": n, "mean": value / 3, "p50": value / 4, "p95": value, "rate_above_05": value / 5}

    return {
        "service": name,
        "environment": "prod",
        "deployments": [f"{name}-v7", f"{name}-v6"],
        "models": ["llama-3.1-8b-instruct"],
        "status": status,
        "exchanges": exchanges,
        "not_assessed_ratio": missing,
        "last_seen": ago(seconds=seen),
        "open_incidents": opened,
        "metrics": {
            "toxicity": summary(toxicity, exchanges),
            "hallucination": summary(hallucination, exchanges),
            "prompt_toxicity": summary(0.04, exchanges),
            "latency_ms": {"n": exchanges, "mean": 871.0, "p50": 790.0, "p95": 1640.0},
        },
        "sparkline": spark,
    }
