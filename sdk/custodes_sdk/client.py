"""The typed client: one method per REST endpoint.

Arguments named ``start`` and ``end`` bound a time window: an aware ``datetime``, an RFC 3339 string, or the
server's relative grammar (``"now-1h"``, ``"now"``). None leaves that side to the server's default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Literal, Self

import httpx

from custodes_sdk import models as answers
from custodes_sdk.decoding import decode
from custodes_sdk.drift import DriftCalls
from custodes_sdk.governance import API as _API
from custodes_sdk.governance import STRICT_TIMEOUT_S as _STRICT_TIMEOUT_S
from custodes_sdk.governance import Moment
from custodes_sdk.governance import path_segment as _segment
from custodes_sdk.governance import window as _window
from custodes_sdk.transport import Transport

# A full verification recomputes every leaf, which takes minutes on a large log.
_VERIFY_TIMEOUT_S = 300.0
# A receiver has up to half a minute for each of at most two calls.
_TEST_TIMEOUT_S = 75.0


class Client(DriftCalls):
    """A connection pool to one Custodes server, acting with one API key.

    Safe to share between threads. Every method raises ``CustodesSdkError`` and nothing else on failure. Reads are
    repeated after broken connections and after 503 with ``Retry-After``; writes are sent once.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        connect_timeout_s: float = 1.0,
        read_timeout_s: float = 10.0,
        http: httpx.BaseTransport | None = None,
    ) -> None:
        timeout = httpx.Timeout(read_timeout_s, connect=connect_timeout_s)
        self._transport = Transport(base_url, api_key, timeout=timeout, http=http)

    def close(self) -> None:
        """Close pooled connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Identity and health

    def me(self) -> answers.Me:
        """Return who the server takes this client for."""
        return decode(answers.Me, self._transport.get(f"{_API}/me"))

    def health(self) -> answers.Health:
        """Return whether traffic is accepted and scored; a server that is not ready is an answer, not an error."""
        return decode(answers.Health, self._transport.get("/readyz", accept_status=(503,)))

    # Aggregates

    def overview(self, *, start: Moment = None, end: Moment = None) -> answers.Overview:
        """Return services worst first, open incidents, recent events and totals of a window."""
        return decode(answers.Overview, self._transport.get(f"{_API}/overview", _window(start, end)))

    def timeseries(
        self,
        metric: str,
        agg: str,
        *,
        start: Moment = None,
        end: Moment = None,
        group_by: str | None = None,
        service: str | None = None,
        step_s: int | None = None,
    ) -> answers.Timeseries:
        """Return one aggregation of one metric over time, in at most 300 buckets per group."""
        params = _window(start, end) | {
            "metric": metric,
            "agg": agg,
            "group_by": group_by,
            "service": service,
            "step": step_s,
        }
        return decode(answers.Timeseries, self._transport.get(f"{_API}/timeseries", params))

    def ledger(self, *, start: Moment = None, end: Moment = None, service: str | None = None) -> answers.Ledger:
        """Return what became of every span that arrived in a window."""
        return decode(answers.Ledger, self._transport.get(f"{_API}/ledger", _window(start, end) | {"service": service}))

    def ledger_minutes(
        self,
        *,
        start: Moment = None,
        end: Moment = None,
        service: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> answers.Page[answers.LedgerMinute]:
        """Return one page of the ledger by minute and service, latest first; the last hour without a window."""
        params = _window(start, end) | {"service": service, "cursor": cursor, "limit": limit}
        return self._page(answers.LedgerMinute, "/ledger/minutes", params)

    def coverage(self, *, start: Moment = None, end: Moment = None) -> answers.Page[answers.Coverage]:
        """Return how complete each service's telemetry is."""
        return self._page(answers.Coverage, "/coverage", _window(start, end))

    def fairness(
        self,
        *,
        service: str | None = None,
        deployment: str | None = None,
        outcome: str | None = None,
        group: str | None = None,
        state: str | None = None,
    ) -> answers.Fairness:
        """Return the gaps between groups of people, alarms first, and what is tolerated."""
        params = {"service": service, "deployment": deployment, "outcome": outcome, "group": group, "state": state}
        return decode(answers.Fairness, self._transport.get(f"{_API}/fairness", params))

    def fairness_course(self, gap: answers.Gap, *, start: Moment = None, end: Moment = None) -> answers.GapCourse:
        """Return one gap over time; the last seven days without a window."""
        params = _window(start, end) | {
            "segment_id": gap.segment_id,
            "family": gap.family,
            "group": gap.group,
            "outcome": gap.outcome,
        }
        return decode(answers.GapCourse, self._transport.get(f"{_API}/fairness/course", params))

    def restart_fairness(self, segment_id: int, family: str, reason: str) -> answers.FairnessRestart:
        """Begin a comparison anew: its sums are forgotten, its alarms end and their incidents are resolved."""
        body = {"segment_id": segment_id, "family": family, "reason": reason}
        path = f"{_API}/fairness/restart"
        answer = self._transport.send("POST", path, json=body, read_timeout_s=_STRICT_TIMEOUT_S)
        return decode(answers.FairnessRestart, answer)

    def metrics(self) -> answers.Page[answers.Metric]:
        """Return every GenAI metric that clients and inference servers sent."""
        return self._page(answers.Metric, "/metrics")

    def metric(
        self,
        name: str,
        *,
        start: Moment = None,
        end: Moment = None,
        step_s: int | None = None,
        service: str | None = None,
        group_by: Sequence[str] = (),
    ) -> answers.MetricSeries:
        """Return one metric over time; ``group_by`` are at most four names of attributes, or ``service``."""
        params = _window(start, end) | {"step": step_s, "service": service, "group_by": ",".join(group_by) or None}
        return decode(answers.MetricSeries, self._transport.get(f"{_API}/metrics/{_segment(name)}", params))

    # Traces and exchanges

    def traces(
        self,
        *,
        start: Moment = None,
        end: Moment = None,
        service: str | None = None,
        model: str | None = None,
        session: str | None = None,
        user: str | None = None,
        metric: str | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
        state: str | None = None,
        query: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> answers.Page[answers.TraceRow]:
        """Return one page of traces, newest first. ``minimum`` and ``maximum`` bound the score of ``metric``."""
        params = _window(start, end) | {
            "service": service,
            "model": model,
            "session": session,
            "user": user,
            "metric": metric,
            "min": minimum,
            "max": maximum,
            "state": state,
            "q": query,
            "cursor": cursor,
            "limit": limit,
        }
        return self._page(answers.TraceRow, "/traces", params)

    def iterate_traces(
        self,
        *,
        start: Moment = None,
        end: Moment = None,
        service: str | None = None,
        model: str | None = None,
        session: str | None = None,
        user: str | None = None,
        metric: str | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
        state: str | None = None,
        query: str | None = None,
    ) -> Iterator[answers.TraceRow]:
        """Yield every trace that matches, newest first, reading page by page."""
        cursor: str | None = None
        while True:
            page = self.traces(
                start=start,
                end=end,
                service=service,
                model=model,
                session=session,
                user=user,
                metric=metric,
                minimum=minimum,
                maximum=maximum,
                state=state,
                query=query,
                cursor=cursor,
            )
            yield from page.rows
            if page.next_cursor is None or page.next_cursor == cursor:
                return
            cursor = page.next_cursor

    def trace(self, trace_id: str) -> answers.Trace:
        """Return one trace with its spans and exchanges."""
        return decode(answers.Trace, self._transport.get(f"{_API}/traces/{_segment(trace_id)}"))

    def exchange(self, exchange_id: str) -> answers.Exchange:
        """Return one exchange with its scores."""
        return decode(answers.Exchange, self._transport.get(f"{_API}/exchanges/{_segment(exchange_id)}"))

    def reveal(self, exchange_id: str, reason: str) -> answers.RevealedExchange:
        """Return one exchange with its text, after the audit log has recorded who asked and ``reason``."""
        path = f"{_API}/exchanges/{_segment(exchange_id)}/reveal"
        answer = self._transport.send("POST", path, json={"reason": reason}, read_timeout_s=_STRICT_TIMEOUT_S)
        receipt = answer.get("audit") if isinstance(answer, dict) else None
        return answers.RevealedExchange(
            exchange=decode(answers.Exchange, answer),
            audit=None if receipt is None else decode(answers.AuditReceipt, receipt),
        )

    def feedback(
        self,
        *,
        start: Moment = None,
        end: Moment = None,
        label: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> answers.Page[answers.Feedback]:
        """Return one page of what people said about answers, newest first."""
        params = _window(start, end) | {"label": label, "cursor": cursor, "limit": limit}
        return self._page(answers.Feedback, "/feedback", params)

    # Endpoints, keys and detectors

    def endpoints(self) -> answers.Page[answers.Endpoint]:
        """Return every receiver of messages, without secrets."""
        return self._page(answers.Endpoint, "/endpoints")

    def endpoint_kinds(self) -> answers.Page[answers.EndpointKind]:
        """Return the kinds an endpoint can be of, with their options and secrets."""
        return self._page(answers.EndpointKind, "/endpoint-kinds")

    def create_endpoint(
        self,
        endpoint_id: str,
        url: str | None = None,
        *,
        kind: str = "webhook",
        options: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        signing: Literal["v1", "v1a"] = "v1",
    ) -> answers.Endpoint:
        """Register a receiver; where it checks signatures the answer holds the secret, which is shown only here."""
        body = {"id": endpoint_id, "kind": kind, "options": dict(options or {}), "secrets": dict(secrets or {})}
        body |= {"signing": signing} | ({} if url is None else {"url": url})
        answer = self._transport.send("POST", f"{_API}/endpoints", json=body, read_timeout_s=_STRICT_TIMEOUT_S)
        return decode(answers.Endpoint, answer)

    def rotate_endpoint(self, endpoint_id: str, *, overlap: str = "24h") -> answers.Endpoint:
        """Replace a receiver's signing key; the answer holds the new one, and both sign until the overlap ends."""
        path = f"{_API}/endpoints/{_segment(endpoint_id)}/rotate"
        answer = self._transport.send("POST", path, json={"overlap": overlap}, read_timeout_s=_STRICT_TIMEOUT_S)
        return decode(answers.Endpoint, answer)

    def endpoint_messages(
        self, endpoint_id: str, *, state: str | None = None, cursor: str | None = None, limit: int | None = None
    ) -> answers.Page[answers.EndpointMessage]:
        """Return one page of the messages to a receiver, newest first; ``state`` as ``pending`` or ``dead``."""
        params = {"state": state, "cursor": cursor, "limit": limit}
        return self._page(answers.EndpointMessage, f"/endpoints/{_segment(endpoint_id)}/deliveries", params)

    def test_endpoint(self, endpoint_id: str) -> answers.EndpointTrial:
        """Send a test message now; a receiver that refuses it is an answer, not an error."""
        path = f"{_API}/endpoints/{_segment(endpoint_id)}/test"
        return decode(answers.EndpointTrial, self._transport.send("POST", path, read_timeout_s=_TEST_TIMEOUT_S))

    def replay_messages(self, endpoint_id: str, messages: Sequence[str] | None = None) -> answers.Replay:
        """Send dead messages of a receiver again, these or all; they keep their ids, and twice is once."""
        path = f"{_API}/endpoints/{_segment(endpoint_id)}/replay"
        body = {} if messages is None else {"messages": list(messages)}
        return decode(answers.Replay, self._transport.send("POST", path, json=body, read_timeout_s=_STRICT_TIMEOUT_S))

    def discard_messages(self, endpoint_id: str, messages: Sequence[str] | None = None) -> answers.Discarded:
        """Remove dead messages of a receiver for good, these or the oldest 500."""
        path = f"{_API}/endpoints/{_segment(endpoint_id)}/discard"
        body = {} if messages is None else {"messages": list(messages)}
        answer = self._transport.send("POST", path, json=body, read_timeout_s=_STRICT_TIMEOUT_S)
        return decode(answers.Discarded, answer)

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Remove a receiver."""
        self._transport.send("DELETE", f"{_API}/endpoints/{_segment(endpoint_id)}")

    def keys(self) -> answers.Page[answers.Key]:
        """Return the project's API keys, without secrets."""
        return self._page(answers.Key, "/keys")

    def create_key(self, role: str, *, expires: str | None = None) -> answers.Key:
        """Create an API key; the answer holds its secret, which is shown only here."""
        body = {"role": role} | ({"expires": expires} if expires else {})
        return decode(answers.Key, self._transport.send("POST", f"{_API}/keys", json=body))

    def rotate_key(self, key_id: str, *, overlap: str | None = None) -> answers.RotatedKey:
        """Replace an API key by one like it; both work for ``overlap``, 24 hours without it."""
        path = f"{_API}/keys/{_segment(key_id)}/rotate"
        body = {"overlap": overlap} if overlap else {}
        answer = self._transport.send("POST", path, json=body, read_timeout_s=_STRICT_TIMEOUT_S)
        return decode(answers.RotatedKey, answer)

    def revoke_key(self, key_id: str) -> None:
        """Revoke an API key at once."""
        self._transport.send("DELETE", f"{_API}/keys/{_segment(key_id)}")

    def projects(self) -> answers.Page[answers.Project]:
        """Return the projects the caller may see."""
        return self._page(answers.Project, "/projects")

    def prices(self) -> answers.Page[answers.Price]:
        """Return the project's own prices, then the list prices behind them."""
        return self._page(answers.Price, "/prices")

    def models(self) -> answers.Page[answers.Detector]:
        """Return the detectors that have scored traffic."""
        return self._page(answers.Detector, "/models")

    # Audit log

    def audit_status(self) -> answers.AuditStatus:
        """Return the log's origin, key, size and last signed checkpoint."""
        return decode(answers.AuditStatus, self._transport.get(f"{_API}/audit/status"))

    def audit_checkpoint(self) -> str:
        """Return the last signed checkpoint as a C2SP signed note."""
        return self._transport.get_bytes(f"{_API}/audit/checkpoint").decode()

    def audit_entries(
        self,
        *,
        from_seq: int | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        action: str | None = None,
        actor: str | None = None,
        object: str | None = None,
    ) -> answers.Page[answers.AuditEntry]:
        """Return one page of signed audit entries, filtered by exact action, actor or object.

        ``asc`` (the default) goes upwards from ``from_seq``, ``desc`` downwards from before it; without it the list
        starts at the respective end. ``cursor`` continues a page and replaces ``from_seq``.
        """
        params = {
            "from_seq": from_seq,
            "cursor": cursor,
            "limit": limit,
            "order": order,
            "action": action,
            "actor": actor,
            "object": object,
        }
        return self._page(answers.AuditEntry, "/audit/entries", params)

    def audit_prove(self, seq: int) -> answers.InclusionProof:
        """Return the proof that entry ``seq`` is inside the last signed checkpoint."""
        return decode(answers.InclusionProof, self._transport.get(f"{_API}/audit/prove/{seq}"))

    def audit_verify(self) -> answers.AuditVerification:
        """Have the server recompute the whole log from its leaves; may take minutes."""
        answer = self._transport.send("POST", f"{_API}/audit/verify", read_timeout_s=_VERIFY_TIMEOUT_S)
        return decode(answers.AuditVerification, answer)
