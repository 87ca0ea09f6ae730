"""The client's calls about drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from custodes_sdk import models as answers
from custodes_sdk.decoding import decode
from custodes_sdk.governance import API, STRICT_TIMEOUT_S, Moment, path_segment, window
from custodes_sdk.reviewing import ReviewCalls


class DriftCalls(ReviewCalls):
    """The part of :class:`~custodes_sdk.Client` about drift, on top of what people decide."""

    def drift(
        self,
        *,
        service: str | None = None,
        deployment: str | None = None,
        monitor: str | None = None,
        state: str | None = None,
    ) -> answers.Drift:
        """Return the drift monitors, what drifts first, and what is promised about false alarms."""
        params = {"service": service, "deployment": deployment, "monitor": monitor, "state": state}
        return decode(answers.Drift, self._transport.get(f"{API}/drift", params))

    def drift_course(self, monitor_id: int, *, start: Moment = None, end: Moment = None) -> answers.DriftCourse:
        """Return one monitor's statistic over time; the last seven days without a window."""
        params = window(start, end) | {"monitor_id": monitor_id}
        return decode(answers.DriftCourse, self._transport.get(f"{API}/drift/course", params))

    def drift_episodes(
        self,
        *,
        service: str | None = None,
        deployment: str | None = None,
        monitor: str | None = None,
        state: str | None = None,
    ) -> answers.Page[answers.DriftEpisode]:
        """Return stretches of drift, newest first, without explanations; ``state`` is ``standing`` or ``ended``."""
        params = {"service": service, "deployment": deployment, "monitor": monitor, "state": state}
        return self._page(answers.DriftEpisode, "/drift/episodes", params)

    def drift_episode(self, episode_id: str) -> answers.DriftEpisode:
        """Return one stretch of drift with its explanation and its reports."""
        return decode(answers.DriftEpisode, self._transport.get(f"{API}/drift/episodes/{path_segment(episode_id)}"))

    def drift_references(self, place_id: int | None = None) -> answers.Page[answers.DriftReference]:
        """Return versions of what counts as usual, newest first, of one deployment or of all."""
        return self._page(answers.DriftReference, "/drift/references", {"place_id": place_id})

    def propose_drift_reference(
        self, place_id: int, reason: str, source: Mapping[str, Any] | None = None
    ) -> answers.DriftReference:
        """Say that a change is expected; it counts as usual once somebody else approves.

        ``source`` is ``{"kind": "first"}`` (the next exchanges, the default), ``{"kind": "period", "from": …,
        "to": …}``, ``{"kind": "pinned", "exchanges": [id, …]}`` or
        ``{"kind": "pinned", "dataset": id}``.
        """
        body = {"place_id": place_id, "reason": reason} | ({} if source is None else {"source": dict(source)})
        answer = self._transport.send("POST", f"{API}/drift/references", json=body, read_timeout_s=STRICT_TIMEOUT_S)
        return decode(answers.DriftReference, answer)

    def approve_drift_reference(
        self, reference_id: str, *, comment: str = "", revision: int | None = None
    ) -> answers.DriftReference:
        """Accept a change as expected: the deployment's monitors begin anew and its drift incidents are resolved."""
        return self._judge_drift(reference_id, "approve", comment, revision)

    def reject_drift_reference(
        self, reference_id: str, *, comment: str = "", revision: int | None = None
    ) -> answers.DriftReference:
        """Turn a proposed reference down."""
        return self._judge_drift(reference_id, "reject", comment, revision)

    def drift_reports(self, episode_id: str | None = None) -> answers.Page[answers.DriftReport]:
        """Return Evidently reports, newest first, of one stretch of drift or all."""
        return self._page(answers.DriftReport, "/drift/reports", {"episode_id": episode_id})

    def request_drift_report(self, monitor_id: int, episode_id: str | None = None) -> str:
        """Ask for an Evidently report of a monitor of embeddings, and return its id; a worker makes it."""
        body = {"monitor_id": monitor_id, "episode_id": episode_id}
        return str(self._transport.send("POST", f"{API}/drift/reports", json=body)["id"])

    def drift_report(self, report_id: str, form: Literal["html", "json"] = "html") -> bytes:
        """Return a report that is ready, as Evidently made it: a page with scripts of its own, or JSON."""
        return self._transport.get_bytes(f"{API}/drift/reports/{path_segment(report_id)}/{form}")

    def _judge_drift(self, reference_id: str, verb: str, comment: str, revision: int | None) -> answers.DriftReference:
        path = f"{API}/drift/references/{path_segment(reference_id)}/{verb}"
        return decode(answers.DriftReference, self._decide(path, {"comment": comment}, revision))
