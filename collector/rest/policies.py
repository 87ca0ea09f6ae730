"""``/policies``: rules as versions. Authors submit, somebody else approves, approvers and operators activate.

Every change is strict: it is answered once its leaf is under a signed checkpoint.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from collector.auth import Principal
from collector.rest.dependencies import (
    Activator,
    Approver,
    Backtester,
    Expected,
    Reader,
    Submitter,
    WithServices,
    actor_of,
    json_response,
    page_response,
    revision_response,
)
from collector.rest.idempotency import IdempotentRoute
from collector.rest.parameters import DEFAULT_LIMIT, Limit, RangeQuery, decode_cursor, encode_cursor
from collector.rest.parameters import Query as QueryModel
from collector.rest.problems import finding_to_json
from collector.rest.queries.policies import (
    count_policies,
    diff_versions,
    list_policies,
    load_backtest,
    load_policy,
    load_tally,
    load_version,
    version_to_json,
)
from collector.rest.strict import confirm, require_log
from collector.services import Services
from custodes.kernel.clock import DAY_NS
from custodes.kernel.errors import MalformedError, NotFoundError, UnsupportedError
from policies.approval_store import Verdict
from policies.backtest_report import report_backtest
from policies.check import lint_text, require_tested
from policies.conduct import conduct_of, review_of
from policies.evaluate import compile_version
from policies.lifecycle import (
    PolicyChange,
    activate_policy,
    attach_backtest,
    judge_policy,
    retire_policy,
    submit_policy,
)
from policies.store import require_policy_version

router = APIRouter(tags=["policies"], route_class=IdempotentRoute)
DEFAULT_RANGE_NS = 7 * DAY_NS
_YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
_YAML_BODY = {
    "requestBody": {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}},
}


class PoliciesQuery(QueryModel):
    """A page of policies, of those whose id holds ``q``."""

    q: str | None = Field(None, min_length=1, max_length=64, description="A part of the policy's id.")
    cursor: str | None = Field(None, max_length=200, description="next_cursor of the page before.")
    limit: Limit = DEFAULT_LIMIT


class BacktestBody(BaseModel):
    """``from`` and ``to`` as in queries, the last seven days without; ``labels_from`` names further policies."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    start: str | None = Field(None, alias="from")
    end: str | None = Field(None, alias="to")
    labels_from: list[str] = Field(default_factory=list, max_length=50)


class VerdictBody(BaseModel):
    """What the approver has to say."""

    model_config = ConfigDict(extra="forbid")
    comment: str = Field("", max_length=1000)


class OriginQuery(BaseModel):
    """Where a file comes from: all three, or none for one that was typed in."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    repository: str | None = Field(None, min_length=1, max_length=512)
    commit: str | None = Field(None, pattern=r"^[0-9a-f]{7,64}$")
    path: str | None = Field(None, min_length=1, max_length=512)

    def to_origin(self) -> dict[str, str] | None:
        """Return it as it is stored."""
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        if given and len(given) < 3:
            raise MalformedError("a policy from a repository names repository, commit and path")
        return given or None


async def read_yaml(request: Request) -> str:
    """Return the body as text; raise ``UnsupportedError`` or ``MalformedError`` when it is no YAML text."""
    written = request.headers.get("content-type", "")
    if written.split(";", 1)[0].strip().lower() not in _YAML_TYPES:
        raise UnsupportedError(f"Content-Type {written[:100]!r} is not supported here; send application/yaml")
    try:
        return (await request.body()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError("the policy is not UTF-8 text; save it as UTF-8") from error


PolicyText = Annotated[str, Depends(read_yaml)]


@router.get("/policies", summary="One row per policy with the state of its groups")
def get_policies(query: Annotated[PoliciesQuery, Query()], caller: Reader, services: WithServices) -> Response:
    """List policies by id, with how many there are in all."""
    after = decode_cursor(query.cursor, str)
    with services.db.read() as tx:
        rows, last = list_policies(
            tx, caller.project, q=query.q, after=None if after is None else after[0], limit=query.limit
        )
        totals = count_policies(tx, caller.project)
    cursor = None if last is None else encode_cursor(last)
    return json_response({"rows": rows, "next_cursor": cursor, "totals": totals})


@router.get("/policies/{policy_id}", summary="One policy with source and versions")
def get_policy(policy_id: str, caller: Reader, services: WithServices) -> Response:
    """Return one policy."""
    with services.db.read() as tx:
        found = load_policy(tx, caller.project, policy_id)
    if found is None:
        raise NotFoundError(f"no policy {policy_id[:128]!r} in project {caller.project}")
    return json_response(found)


@router.get("/policies/{policy_id}/versions/{version}", summary="One version with source, approvals and what it lacks")
def get_version(policy_id: str, version: str, caller: Reader, services: WithServices) -> Response:
    """Return one version; its ETag is what ``If-Match`` takes."""
    with services.db.read() as tx:
        return revision_response(load_version(tx, caller.project, policy_id, version))


@router.get("/policies/{policy_id}/versions/{version}/diff", summary="Which fields differ from another version")
def get_diff(
    policy_id: str, version: str, caller: Reader, services: WithServices, against: str | None = None
) -> Response:
    """Compare with ``against``, or with the active version without it."""
    with services.db.read() as tx:
        return json_response(diff_versions(tx, caller.project, policy_id, version, against))


@router.get("/policies/{policy_id}/versions/{version}/backtest", summary="The attached back-test")
def get_backtest(policy_id: str, version: str, caller: Reader, services: WithServices) -> Response:
    """Return the back-test that reviewers see."""
    with services.db.read() as tx:
        return json_response(load_backtest(tx, caller.project, policy_id, version))


@router.get("/policies/{policy_id}/tally", summary="What the policy's evaluations came to, by hour")
def get_tally(
    policy_id: str, query: Annotated[RangeQuery, Query()], caller: Reader, services: WithServices
) -> Response:
    """List hours with evaluations, no data, errors and firings: the proof that the control ran."""
    chosen = query.to_range(services.clock(), default_ns=DAY_NS)
    with services.db.read() as tx:
        return page_response(load_tally(tx, caller.project, policy_id, chosen.from_ns, chosen.to_ns), None)


@router.post(
    "/policies", status_code=201, summary="Submit a policy file as a draft (strict audit)", openapi_extra=_YAML_BODY
)
def post_policy(
    caller: Submitter, services: WithServices, text: PolicyText, origin: Annotated[OriginQuery, Query()]
) -> Response:
    """Store a file that passes lint and its own tests; 200 when this very version was there already."""
    require_log(services)
    change = submit_policy(
        services.db, text=text, filename="policy.yaml", review=review_of(services.settings),
        origin=origin.to_origin(), **_who_and_when(services, caller),
    )  # fmt: skip
    findings = [finding_to_json(one) for one in lint_text(text, "policy.yaml")]
    row = _changed(services, change)
    return revision_response({**row, "findings": findings}, 200 if change.intake_id is None else 201)


@router.post("/policies/backtest", summary="Back-test a policy file without storing it", openapi_extra=_YAML_BODY)
def post_trial(
    caller: Backtester, services: WithServices, text: PolicyText, query: Annotated[RangeQuery, Query()]
) -> Response:
    """Return what the file would have done; the last seven days without a range."""
    chosen = query.to_range(services.clock(), default_ns=DEFAULT_RANGE_NS)
    policy = require_tested(text, "policy.yaml").policy
    with services.db.read() as tx:
        return json_response(report_backtest(tx, caller.project, policy, chosen.from_ns, chosen.to_ns))


@router.post("/policies/{policy_id}/versions/{version}/backtest", summary="Run and attach a back-test (strict audit)")
def post_backtest(
    policy_id: str, version: str, body: BacktestBody, caller: Backtester, services: WithServices
) -> Response:
    """Run a stored version over the past and attach the report; a draft thereby goes into shadow."""
    require_log(services)
    chosen = RangeQuery(**{"from": body.start, "to": body.end}).to_range(services.clock(), default_ns=DEFAULT_RANGE_NS)
    with services.db.read() as tx:
        policy = compile_version(require_policy_version(tx, caller.project, policy_id, version))
        span = (chosen.from_ns, chosen.to_ns)
        report = report_backtest(tx, caller.project, policy, *span, labels_from=body.labels_from)
    change = attach_backtest(
        services.db, policy_id=policy_id, version=version, from_ns=span[0], to_ns=span[1], report=report,
        **_who_and_when(services, caller),
    )  # fmt: skip
    return revision_response({**_changed(services, change), "report": report}, 201)


@router.post("/policies/{policy_id}/versions/{version}/approve", summary="Approve or ratify a version (strict audit)")
def post_approval(
    policy_id: str, version: str, body: VerdictBody, caller: Approver, services: WithServices, expected: Expected
) -> Response:
    """Agree to a version somebody else wrote; also what ratifies one that was activated by break-glass."""
    return _judge(services, caller, policy_id, version, "approved", body.comment, expected)


@router.post("/policies/{policy_id}/versions/{version}/reject", summary="Reject a version (strict audit)")
def post_rejection(
    policy_id: str, version: str, body: VerdictBody, caller: Approver, services: WithServices, expected: Expected
) -> Response:
    """Turn a version in review down, with the reason."""
    return _judge(services, caller, policy_id, version, "rejected", body.comment, expected)


@router.post("/policies/{policy_id}/versions/{version}/break-glass", summary="Activate without review (strict audit)")
def post_break_glass(
    policy_id: str, version: str, body: VerdictBody, caller: Approver, services: WithServices, expected: Expected
) -> Response:
    """Activate a version at once on one approver's word; it ends after 24 hours unless somebody else ratifies it."""
    return _judge(services, caller, policy_id, version, "break_glass", body.comment, expected)


@router.post("/policies/{policy_id}/versions/{version}/activate", summary="Make a version active (strict audit)")
def post_activation(
    policy_id: str, version: str, caller: Activator, services: WithServices, expected: Expected
) -> Response:
    """Activate an approved version and retire the one before; activating the active version changes nothing."""
    require_log(services)
    change = activate_policy(
        services.db, policy_id=policy_id, version=version, conduct=conduct_of(services.settings), expected=expected,
        **_who_and_when(services, caller),
    )  # fmt: skip
    return revision_response(_changed(services, change))


@router.post("/policies/{policy_id}/retire", summary="Stop evaluating a policy (strict audit)")
def post_retirement(policy_id: str, caller: Activator, services: WithServices) -> Response:
    """Retire the active version; its open incidents resolve with that reason."""
    require_log(services)
    conduct = conduct_of(services.settings)
    change = retire_policy(services.db, policy_id=policy_id, conduct=conduct, **_who_and_when(services, caller))
    return revision_response(_changed(services, change))


def _judge(
    services: Services,
    caller: Principal,
    policy_id: str,
    version: str,
    verdict: Verdict,
    comment: str,
    expected: int | None,
) -> Response:
    require_log(services)
    change = judge_policy(
        services.db,
        policy_id=policy_id,
        version=version,
        verdict=verdict,
        comment=comment,
        conduct=conduct_of(services.settings),
        review=review_of(services.settings),
        expected=expected,
        **_who_and_when(services, caller),
    )
    return revision_response(_changed(services, change))


def _who_and_when(services: Services, caller: Principal) -> dict[str, Any]:
    return {"project_id": caller.project, "actor": actor_of(caller), "now_ns": services.clock()}


def _changed(services: Services, change: PolicyChange) -> dict[str, Any]:
    """Return the row of a change, once its leaf is signed; ``audit`` is ``None`` when nothing changed."""
    audit = None if change.intake_id is None else confirm(services, change.intake_id).to_json()
    return {**version_to_json(change.version, {}), "audit": audit}
