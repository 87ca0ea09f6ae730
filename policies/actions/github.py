"""Starts a GitHub Actions workflow, and waits for how it ends.

A dispatch has no idempotency key, so the action's id travels as input ``action_id``. A workflow that is to be safe
against a crash of ours between sending and writing down names it: ``run-name: rollback ${{ inputs.action_id }}``; then
its run is found again. Where nobody can tell whether a dispatch arrived, nothing is sent a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from custodes.kernel.clock import SECOND_NS, ns_to_rfc3339
from policies.actions.adapters import Done, Order, Plan, Refused, Result, TryLater, Waiting, checked_name
from policies.actions.http import Answer, JsonClient, NoAnswer
from policies.errors import EndpointError

_HEADERS = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
_SEEN_AFTER_NS = 60 * SECOND_NS
"""How long a run may take to appear in the list of runs."""
_EARLY_NS = 5 * SECOND_NS


_UNNAMED = "started"
"""Stands for a run whose number the server did not say."""


class GitHubAdapter:
    """Dispatches ``target.workflow`` of ``target.repository`` on ``target.ref`` (``main`` unless named)."""

    def __init__(self, client: JsonClient) -> None:
        self._client = client

    def plan(self, target: Mapping[str, str]) -> Plan | TryLater | Refused:
        """Return whether the workflow can be started; versions are the workflow's own affair."""
        try:
            path = _workflow_path(target)
        except EndpointError as error:
            return Refused(str(error))
        answer = self._client.call("GET", path, headers=_HEADERS)
        if not isinstance(answer, Answer) or not answer.is_success:
            return _explain(answer, "the workflow cannot be read")
        if answer.field("state") not in ("active", None):
            return Refused(f"the workflow is {answer.field('state')}")
        return versions_named(target)

    def send(self, order: Order) -> Result:
        """Dispatch the workflow, unless a run for this action is there already."""
        if order.external_id is not None:
            return self.look(order)
        try:
            path = _workflow_path(order.target)
        except EndpointError as error:
            return Refused(str(error))
        if order.again:
            found = self._find_run(path, order)
            if found is not None:
                return found
        inputs = {"action_id": order.action_id, **inputs_of(order)}
        body = {"ref": order.target.get("ref", "main"), "inputs": inputs, "return_run_details": True}
        answer = self._client.call("POST", f"{path}/dispatches", body, headers=_HEADERS)
        if not isinstance(answer, Answer) or not answer.is_success:
            return _explain(answer, "the workflow was not started")
        run = answer.field("workflow_run_id")
        if run is None:  # Servers before February 2026 say nothing; the next look finds the run.
            return Waiting("the workflow was started", _UNNAMED)
        return Waiting(f"run {run} was started", str(run))

    def look(self, order: Order) -> Result:
        """Return how the run stands."""
        if order.external_id in (None, _UNNAMED):
            try:
                found = self._find_run(_workflow_path(order.target), order)
            except EndpointError as error:
                return Refused(str(error))
            return found or Refused("the workflow was started, and no run of it appeared")
        repository = quote(order.target["repository"], safe="/")
        answer = self._client.call("GET", f"/repos/{repository}/actions/runs/{order.external_id}", headers=_HEADERS)
        if not isinstance(answer, Answer) or not answer.is_success:
            return _explain(answer, f"run {order.external_id} cannot be read")
        return _judge_run(answer.field("status"), answer.field("conclusion"), order.external_id)

    def _find_run(self, path: str, order: Order) -> Result | None:
        """Return what became of an earlier dispatch; ``None`` when there certainly was none."""
        since = ns_to_rfc3339(order.sent_ns - _EARLY_NS)[:19] + "Z"
        query = urlencode({"event": "workflow_dispatch", "created": f">={since}", "per_page": "100"})
        answer = self._client.call("GET", f"{path}/runs?{query}", headers=_HEADERS)
        if not isinstance(answer, Answer) or not answer.is_success:
            return _explain(answer, "the runs cannot be listed")
        runs = answer.field("workflow_runs") or []
        for run in runs:
            if order.action_id in str(run.get("display_title", "")) + str(run.get("name", "")):
                return _judge_run(run.get("status"), run.get("conclusion"), str(run.get("id")))
        if runs:
            return Refused(
                "the workflow ran since, and nobody can tell whether for this action; put inputs.action_id into its "
                "run-name, look at the runs, and decide anew"
            )
        if order.facts.get("waited_ns", 0) < _SEEN_AFTER_NS:  # type: ignore[operator]  # The worker's own number.
            return TryLater("looking whether an earlier attempt has started the workflow")
        return None


def versions_named(target: Mapping[str, str]) -> Plan:
    """Return what a target says about versions that its adapter cannot read: ``from``, ``to`` and ``deployment``."""
    candidates = tuple(one.strip() for one in target.get("to", "").split(",") if one.strip())
    pattern = target.get("deployment")
    deployments = None if pattern is None else {one: pattern.replace("{version}", one) for one in candidates}
    if pattern is not None and not candidates:
        deployments = {"": pattern}
    return Plan(target.get("from"), candidates, deployments, has_versions=bool(candidates))


def inputs_of(order: Order) -> dict[str, str]:
    """Return what a job is told beside its id: the data set to train on, or the versions to go from and to."""
    if "dataset" in order.target:
        return {"dataset": order.target["dataset"], "sha256": order.target.get("sha256", "")}
    return {"from_version": order.from_version or "", "to_version": order.to_version or ""}


def _workflow_path(target: Mapping[str, str]) -> str:
    repository = checked_name(target.get("repository"), "target.repository", extra="-_./")
    if repository.count("/") != 1 or any(part in ("", ".", "..") for part in repository.split("/")):
        raise EndpointError("target.repository is written owner/name")
    return f"/repos/{repository}/actions/workflows/{checked_name(target.get('workflow'), 'target.workflow')}"


def _judge_run(status: object, conclusion: object, run: str) -> Result:
    if status != "completed":
        return Waiting(f"run {run} is {status}", run)
    if conclusion == "success":
        return Done(f"run {run} succeeded", run)
    return Refused(f"run {run} ended with {conclusion}")


def _explain(answer: Answer | NoAnswer, what: str) -> TryLater | Refused:
    if isinstance(answer, NoAnswer):
        return (Refused if answer.forbidden else TryLater)(f"{what}: {answer.reason}")
    said = answer.field("message")
    reason = f"{what}: answered {answer.status}" + (f": {said[:200]}" if isinstance(said, str) else "")
    return TryLater(reason) if answer.status >= 500 or answer.status in (408, 425, 429) else Refused(reason)
