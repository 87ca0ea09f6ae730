"""The client's calls about policies, incidents, silences, approvals and actions: what people decide.

Writes that may meet somebody else's take ``revision``, the one the caller has seen: where the object has moved on, the
server refuses with ``Conflict`` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from custodes_sdk import models as answers
from custodes_sdk.decoding import decode
from custodes_sdk.errors import UnexpectedResponse
from custodes_sdk.transport import Transport

API = "/api/v1"
# Strict actions answer only when their leaf is inside a signed checkpoint.
STRICT_TIMEOUT_S = 30.0
# A month of minutes takes the server some seconds.
_BACKTEST_TIMEOUT_S = 120.0

RowT = TypeVar("RowT")
Moment = datetime | str | None


class GovernanceCalls:
    """The part of :class:`~custodes_sdk.Client` about rules and what becomes of their alarms."""

    _transport: Transport

    # Incidents and decisions

    def incidents(
        self,
        *,
        state: str | None = None,
        label: str | None = None,
        start: Moment = None,
        end: Moment = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> answers.Page[answers.Incident]:
        """Return one page of incidents, newest first; ``state`` is ``new``, ``resolved`` or ``all``.

        ``label`` is ``true_alarm``, ``false_alarm`` or, for those that nobody has judged, ``none``.
        """
        params = window(start, end) | {"state": state, "label": label, "cursor": cursor, "limit": limit}
        return self._page(answers.Incident, "/incidents", params)

    def incident(self, incident_id: str) -> answers.IncidentDetail:
        """Return one incident with timeline, decisions, deliveries, policy and worst traces."""
        return decode(answers.IncidentDetail, self._transport.get(f"{API}/incidents/{path_segment(incident_id)}"))

    def decisions(
        self,
        *,
        start: Moment = None,
        end: Moment = None,
        policy: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> answers.Page[answers.Decision]:
        """Return one page of policy state changes, newest first."""
        params = window(start, end) | {"policy": policy, "cursor": cursor, "limit": limit}
        return self._page(answers.Decision, "/decisions", params)

    def acknowledge_incident(self, incident_id: str, *, revision: int | None = None) -> answers.Incident:
        """Take an incident over; it no longer escalates or repeats itself."""
        return self._on_incident(incident_id, "acknowledge", None, revision)

    def mute_incident(
        self, incident_id: str, *, duration: str, reason: str, revision: int | None = None
    ) -> answers.Incident:
        """Keep an incident quiet for a time such as ``4h``; it is evaluated as before."""
        return self._on_incident(incident_id, "mute", {"duration": duration, "reason": reason}, revision)

    def unmute_incident(self, incident_id: str, *, revision: int | None = None) -> answers.Incident:
        """End a mute early."""
        return self._on_incident(incident_id, "unmute", None, revision)

    def escalate_incident(self, incident_id: str, *, reason: str, revision: int | None = None) -> answers.Incident:
        """Tell the incident's receivers that more help is needed."""
        return self._on_incident(incident_id, "escalate", {"reason": reason}, revision)

    def resolve_incident(self, incident_id: str, *, reason: str, revision: int | None = None) -> answers.Incident:
        """Resolve an incident that a person opened."""
        return self._on_incident(incident_id, "resolve", {"reason": reason}, revision)

    def note_incident(self, incident_id: str, text: str) -> answers.Incident:
        """Add a note to an incident's timeline."""
        return self._on_incident(incident_id, "notes", {"text": text}, None)

    def change_incident(
        self, incident_id: str, *, revision: int | None = None, **changes: str | None
    ) -> answers.Incident:
        """Change ``assignee``, ``severity`` or ``label``; None takes assignee or label away."""
        path = f"{API}/incidents/{path_segment(incident_id)}"
        return decode(answers.Incident, self._transport.send("PATCH", path, json=changes, headers=_if_match(revision)))

    def report_incident(
        self,
        title: str,
        severity: str,
        *,
        summary: str = "",
        group: Mapping[str, str] | None = None,
        start: Moment = None,
    ) -> answers.Incident:
        """Open an incident that no policy noticed."""
        body = {"title": title, "severity": severity, "summary": summary, "group": dict(group or {})}
        began = moment(start)
        answer = self._transport.send("POST", f"{API}/incidents", json=body | ({"from": began} if began else {}))
        return decode(answers.Incident, answer)

    def start_clock(self, incident_id: str, name: str, *, aware_at: Moment = None) -> None:
        """Start the clock of a duty to report, from when people became aware."""
        path = f"{API}/incidents/{path_segment(incident_id)}/clocks"
        self._transport.send("POST", path, json={"name": name, "aware_at": moment(aware_at)})

    def report_clock(self, incident_id: str, name: str) -> None:
        """Note that a duty to report was done."""
        path = f"{API}/incidents/{path_segment(incident_id)}/clocks/{path_segment(name)}/report"
        self._transport.send("POST", path)

    # Silences

    def silences(self, *, state: str | None = None) -> answers.Page[answers.Silence]:
        """Return silences, the latest ending first; ``state`` is ``current`` or ``all``."""
        return self._page(answers.Silence, "/silences", {"state": state})

    def create_silence(
        self, matchers: Mapping[str, str], *, reason: str, ends_at: Moment, starts_at: Moment = None
    ) -> answers.Silence:
        """Keep receivers of matching incidents quiet; severe ones stay loud until somebody else approves."""
        body = {"matchers": dict(matchers), "reason": reason, "ends_at": moment(ends_at)}
        begins = moment(starts_at)
        answer = self._transport.send("POST", f"{API}/silences", json=body | ({"starts_at": begins} if begins else {}))
        return decode(answers.Silence, answer)

    def approve_silence(self, silence_id: str, *, comment: str = "", revision: int | None = None) -> answers.Silence:
        """Agree, as a second person, that severe incidents stay quiet too."""
        path = f"{API}/silences/{path_segment(silence_id)}/approve"
        return decode(answers.Silence, self._decide(path, {"comment": comment}, revision))

    def end_silence(self, silence_id: str, *, revision: int | None = None) -> answers.Silence:
        """End a silence now."""
        path = f"{API}/silences/{path_segment(silence_id)}"
        return decode(answers.Silence, self._transport.send("DELETE", path, headers=_if_match(revision)))

    # Approvals

    def pending_approvals(self) -> answers.Page[answers.PendingApproval]:
        """Return what waits for a second person, oldest first."""
        return self._page(answers.PendingApproval, "/approvals", {"state": "pending"})

    def verdicts(self) -> answers.Page[answers.Verdict]:
        """Return what people have said, newest first."""
        return self._page(answers.Verdict, "/approvals", {"state": "decided"})

    # Actions and gates

    def actions(
        self,
        *,
        state: str | None = None,
        policy: str | None = None,
        incident: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> answers.Page[answers.Action]:
        """Return one page of actions, newest first; ``state`` is one of theirs, ``open`` or ``all``."""
        params = {"state": state, "policy": policy, "incident": incident, "cursor": cursor, "limit": limit}
        return self._page(answers.Action, "/actions", params)

    def action(self, action_id: str) -> answers.ActionDetail:
        """Return one action with decision, incident, verdicts, events, evidence and audit leaves."""
        return decode(answers.ActionDetail, self._transport.get(f"{API}/actions/{path_segment(action_id)}"))

    def approve_action(self, action_id: str, *, comment: str = "", revision: int | None = None) -> answers.Action:
        """Agree to an action of a policy somebody else wrote; it begins at once."""
        return self._on_action(action_id, "approve", {"comment": comment}, revision)

    def refuse_action(self, action_id: str, *, reason: str, revision: int | None = None) -> answers.Action:
        """Turn an action down."""
        return self._on_action(action_id, "refuse", {"reason": reason}, revision)

    def cancel_action(self, action_id: str, *, reason: str, revision: int | None = None) -> answers.Action:
        """Call an action off that has not been sent."""
        return self._on_action(action_id, "cancel", {"reason": reason}, revision)

    def finish_action(
        self, action_id: str, *, result: str = "done", detail: str = "", revision: int | None = None
    ) -> answers.Action:
        """Say what became of work that people do: ``done`` or ``failed``."""
        return self._on_action(action_id, "done", {"result": result, "detail": detail}, revision)

    def action_switch(self) -> answers.ActionSwitches:
        """Return whether actions are stopped."""
        return decode(answers.ActionSwitches, self._transport.get(f"{API}/actions/switch"))

    def stop_actions(self, *, reason: str) -> answers.ActionSwitch:
        """Stop all actions of the project; what was agreed to and not sent is called off."""
        return self._switch_actions(True, reason)

    def resume_actions(self, *, reason: str) -> answers.ActionSwitch:
        """Let actions begin again."""
        return self._switch_actions(False, reason)

    def gate(self, deployment: str, *, policy: str | None = None) -> answers.Gate:
        """Return whether a deployment may go on."""
        answer = self._transport.get(f"{API}/gates/{path_segment(deployment)}", {"policy": policy})
        return decode(answers.Gate, answer)

    # Policies

    def policies(
        self, *, q: str | None = None, cursor: str | None = None, limit: int | None = None
    ) -> answers.PolicyPage:
        """Return one page of policies by id, each at its active or else newest version; ``q`` is a part of the id."""
        answer = self._transport.get(f"{API}/policies", {"q": q, "cursor": cursor, "limit": limit})
        return decode(answers.PolicyPage, answer)

    def policy(self, policy_id: str) -> answers.PolicyDetail:
        """Return one policy with its source and versions."""
        return decode(answers.PolicyDetail, self._transport.get(f"{API}/policies/{path_segment(policy_id)}"))

    def submit_policy(self, source: str) -> answers.PolicyDraft:
        """Submit policy YAML as a draft. Raises ``Invalid`` with findings when it does not compile."""
        answer = self._transport.send(
            "POST", f"{API}/policies", content=source.encode(), content_type="application/yaml"
        )
        return decode(answers.PolicyDraft, answer)

    def policy_version(self, policy_id: str, version: str) -> answers.PolicyReview:
        """Return one version with its text, verdicts and what is missing."""
        return decode(answers.PolicyReview, self._transport.get(_version_path(policy_id, version)))

    def policy_diff(self, policy_id: str, version: str, *, against: str | None = None) -> answers.PolicyDiff:
        """Return how a version differs from another, or from the active one."""
        path = f"{_version_path(policy_id, version)}/diff"
        return decode(answers.PolicyDiff, self._transport.get(path, {"against": against}))

    def policy_backtest(self, policy_id: str, version: str) -> answers.Backtest:
        """Return the back-test attached to a version. Raises ``NotFound`` without one."""
        return decode(answers.Backtest, self._transport.get(f"{_version_path(policy_id, version)}/backtest"))

    def policy_tally(
        self, policy_id: str, *, start: Moment = None, end: Moment = None
    ) -> answers.Page[answers.TallyHour]:
        """Return what a policy's evaluations came to, hour by hour."""
        return self._page(answers.TallyHour, f"/policies/{path_segment(policy_id)}/tally", window(start, end))

    def run_backtest(
        self, policy_id: str, version: str, *, start: Moment = None, end: Moment = None
    ) -> answers.Backtest:
        """Run a version over the past and attach the report; a draft thereby goes into shadow."""
        path = f"{_version_path(policy_id, version)}/backtest"
        self._transport.send("POST", path, json=window(start, end), read_timeout_s=_BACKTEST_TIMEOUT_S)
        return self.policy_backtest(policy_id, version)

    def approve_policy(
        self, policy_id: str, version: str, *, comment: str = "", revision: int | None = None
    ) -> answers.Policy:
        """Approve a version somebody else wrote, or ratify one that was activated by break-glass."""
        return self._judge(policy_id, version, "approve", comment, revision)

    def reject_policy(
        self, policy_id: str, version: str, *, comment: str, revision: int | None = None
    ) -> answers.Policy:
        """Turn a version in review down."""
        return self._judge(policy_id, version, "reject", comment, revision)

    def break_glass(self, policy_id: str, version: str, *, comment: str, revision: int | None = None) -> answers.Policy:
        """Activate a version now, without review, for 24 hours or until somebody else ratifies it."""
        return self._judge(policy_id, version, "break-glass", comment, revision)

    def activate_policy(self, policy_id: str, version: str, *, revision: int | None = None) -> answers.Policy:
        """Make an approved version of a policy the active one."""
        path = f"{_version_path(policy_id, version)}/activate"
        return decode(answers.Policy, self._decide(path, None, revision))

    def retire_policy(self, policy_id: str) -> answers.Policy:
        """Stop evaluating a policy; its open incidents resolve."""
        return decode(answers.Policy, self._decide(f"{API}/policies/{path_segment(policy_id)}/retire", None, None))

    def _judge(self, policy_id: str, version: str, verdict: str, comment: str, revision: int | None) -> answers.Policy:
        path = f"{_version_path(policy_id, version)}/{verdict}"
        return decode(answers.Policy, self._decide(path, {"comment": comment}, revision))

    def _on_incident(
        self, incident_id: str, action: str, body: Mapping[str, Any] | None, revision: int | None
    ) -> answers.Incident:
        path = f"{API}/incidents/{path_segment(incident_id)}/{action}"
        return decode(answers.Incident, self._transport.send("POST", path, json=body, headers=_if_match(revision)))

    def _on_action(self, action_id: str, verb: str, body: Mapping[str, Any], revision: int | None) -> answers.Action:
        path = f"{API}/actions/{path_segment(action_id)}/{verb}"
        return decode(answers.Action, self._decide(path, body, revision))

    def _switch_actions(self, stopped: bool, reason: str) -> answers.ActionSwitch:
        body = {"stopped": stopped, "reason": reason}
        path = f"{API}/actions/switch"
        answer = self._transport.send("PUT", path, json=body, read_timeout_s=STRICT_TIMEOUT_S)
        return decode(answers.ActionSwitch, answer)

    def _decide(self, path: str, body: Mapping[str, Any] | None, revision: int | None) -> Any:
        headers = _if_match(revision)
        return self._transport.send("POST", path, json=body, headers=headers, read_timeout_s=STRICT_TIMEOUT_S)

    def _page(self, kind: type[RowT], path: str, params: dict[str, Any] | None = None) -> answers.Page[RowT]:
        answer = self._transport.get(f"{API}{path}", params)
        if not isinstance(answer, dict) or not isinstance(answer.get("rows"), list):
            raise UnexpectedResponse(f'{path}: expected {{"rows": […]}}; do the versions match?')
        cursor = answer.get("next_cursor")
        return answers.Page(
            rows=tuple(decode(kind, row) for row in answer["rows"]),
            next_cursor=None if cursor is None else str(cursor),
        )


def window(start: Moment, end: Moment) -> dict[str, Any]:
    """Return the two ends of a time window as query parameters."""
    return {"from": moment(start), "to": moment(end)}


def moment(given: Moment) -> str | None:
    """Return a time as the server reads it; raise ``ValueError`` for a datetime without a zone."""
    if isinstance(given, datetime):
        if given.tzinfo is None:
            raise ValueError(f"{given.isoformat()} has no time zone; pass an aware datetime")
        return given.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return given


def path_segment(identifier: str) -> str:
    """Return ``identifier`` safe as one path segment, so that an id can't reach another endpoint."""
    return quote(identifier, safe="").replace(".", "%2E") if identifier in {".", ".."} else quote(identifier, safe="")


def _version_path(policy_id: str, version: str) -> str:
    return f"{API}/policies/{path_segment(policy_id)}/versions/{path_segment(version)}"


def _if_match(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"if-match": f'"{revision}"'}
