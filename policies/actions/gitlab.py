"""Starts a GitLab pipeline, and waits for how it ends.

The action's id travels as variable ``CUSTODES_ACTION_ID``. After a crash of ours the pipelines since are asked for
their variables, so one that was started is found again and none is started twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from custodes.kernel.clock import SECOND_NS, ns_to_rfc3339
from policies.actions.adapters import Done, Order, Plan, Refused, Result, TryLater, Waiting, checked_name
from policies.actions.github import inputs_of, versions_named
from policies.actions.http import Answer, JsonClient, NoAnswer
from policies.errors import EndpointError

_VARIABLE = "CUSTODES_ACTION_ID"
_FAILED = frozenset({"failed", "canceled", "skipped"})
_EARLY_NS = 5 * SECOND_NS


class GitLabAdapter:
    """Creates a pipeline of ``target.repository`` (path or number) on ``target.ref`` (``main`` unless named)."""

    def __init__(self, client: JsonClient) -> None:
        self._client = client

    def plan(self, target: Mapping[str, str]) -> Plan | TryLater | Refused:
        """Return whether the project can be reached; versions are the pipeline's own affair."""
        try:
            path = _project_path(target)
        except EndpointError as error:
            return Refused(str(error))
        answer = self._client.call("GET", path)
        if not isinstance(answer, Answer) or not answer.is_success:
            return _explain(answer, "the project cannot be read")
        return versions_named(target)

    def send(self, order: Order) -> Result:
        """Create the pipeline, unless there is one for this action already."""
        if order.external_id is not None:
            return self.look(order)
        try:
            path = _project_path(order.target)
        except EndpointError as error:
            return Refused(str(error))
        if order.again:
            found = self._find_pipeline(path, order)
            if found is not None:
                return found
        told = {f"CUSTODES_{name.upper()}": value for name, value in inputs_of(order).items()}
        variables = {_VARIABLE: order.action_id, **told}
        body = {
            "ref": order.target.get("ref", "main"),
            "variables": [{"key": key, "value": value} for key, value in variables.items()],
        }
        answer = self._client.call("POST", f"{path}/pipeline", body)
        if not isinstance(answer, Answer) or not answer.is_success or answer.field("id") is None:
            return _explain(answer, "the pipeline was not created")
        return Waiting(f"pipeline {answer.field('id')} was created", str(answer.field("id")))

    def look(self, order: Order) -> Result:
        """Return how the pipeline stands."""
        answer = self._client.call("GET", f"{_project_path(order.target)}/pipelines/{order.external_id}")
        if not isinstance(answer, Answer) or not answer.is_success:
            return _explain(answer, f"pipeline {order.external_id} cannot be read")
        return _judge(answer.field("status"), str(order.external_id))

    def _find_pipeline(self, path: str, order: Order) -> Result | None:
        since = ns_to_rfc3339(order.sent_ns - _EARLY_NS)[:19] + "Z"
        answer = self._client.call("GET", f"{path}/pipelines?{urlencode({'created_after': since, 'per_page': '50'})}")
        if not isinstance(answer, Answer) or not answer.is_success:
            return _explain(answer, "the pipelines cannot be listed")
        for one in answer.body or []:
            said = self._client.call("GET", f"{path}/pipelines/{one.get('id')}/variables")
            if not isinstance(said, Answer) or not said.is_success:
                return _explain(said, f"the variables of pipeline {one.get('id')} cannot be read")
            if any((v.get("key"), v.get("value")) == (_VARIABLE, order.action_id) for v in said.body or []):
                return _judge(one.get("status"), str(one.get("id")))
        return None


def _project_path(target: Mapping[str, str]) -> str:
    project = checked_name(target.get("repository"), "target.repository", extra="-_./")
    return f"/api/v4/projects/{quote(project, safe='')}"


def _judge(status: object, pipeline: str) -> Result:
    if status == "success":
        return Done(f"pipeline {pipeline} succeeded", pipeline)
    if status in _FAILED:
        return Refused(f"pipeline {pipeline} ended as {status}")
    return Waiting(f"pipeline {pipeline} is {status}", pipeline)


def _explain(answer: Answer | NoAnswer, what: str) -> TryLater | Refused:
    if isinstance(answer, NoAnswer):
        return (Refused if answer.forbidden else TryLater)(f"{what}: {answer.reason}")
    said = answer.field("message")
    reason = f"{what}: answered {answer.status}" + (f": {said[:200]}" if isinstance(said, str) else "")
    return TryLater(reason) if answer.status >= 500 or answer.status in (408, 425, 429) else Refused(reason)
