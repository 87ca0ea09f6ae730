"""The policy file as pydantic models: exactly the fields of ``apiVersion: custodes/v1``, nothing else.

Pydantic lives at this edge only; ``policies.rules.compile`` turns a document into frozen dataclasses.
Durations are read as text (``15m``) into fields named ``*_ns``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from custodes.kernel.clock import MINUTE_NS
from policies.rules.duration import parse_duration
from policies.rules.vocabulary import FAIRNESS_AGGREGATIONS, parse_aggregation, resolve_metric

Severity = Literal["low", "medium", "high", "critical"]
NoData = Literal["ok", "hold", "fire"]
StateName = Literal["ok", "pending", "firing", "no_data", "error"]
Dimension = Literal["service", "environment", "deployment", "model"]
Mode = Literal["shadow", "propose", "auto"]
DEFAULT_QUIET_NS = 10 * MINUTE_NS
"""How long an ExchangePolicy stays firing after its last match, unless it says otherwise."""
GuardedKind = Literal["rollback", "finetune", "pause", "review"]


def _read_duration(written: object) -> int:
    try:
        return parse_duration(written)
    except ValueError as error:
        raise PydanticCustomError("duration", "{problem}", {"problem": str(error)}) from error


DurationNs = Annotated[int, BeforeValidator(_read_duration)]
# The name must survive as a CEL identifier; CEL's own words would change the meaning of the expression.
SignalName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9_.-]{0,62}[a-z0-9])?$")]
Expression = Annotated[str, Field(min_length=1, max_length=4096)]
Text = Annotated[str, Field(min_length=1, max_length=256)]
# score.toxicity, tokens.input, …: which ones exist is checked with the expressions.
VariableName = Annotated[str, Field(pattern=r"^[a-z_][a-zA-Z0-9_.]{0,95}$")]


class _Strict(BaseModel):
    """Unknown fields are errors, types are not coerced, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Scope(_Strict):
    """Which traffic the policy sees; a dimension left out matches everything."""

    environment: Text | None = None
    service: Text | None = None
    deployment: Text | None = None
    model: Text | None = None


class Signal(_Strict):
    """One number per group and evaluation: an aggregation of a metric over the last ``window``.

    ``group`` names the group of people that a fairness aggregation is about; without it, it is about all of them.
    A window with fewer than ``min_n`` values is no data, so that two bad answers at night are no alarm.
    """

    metric: str | None = None
    agg: str
    window_ns: DurationNs = Field(alias="window")
    min_n: int = Field(1, ge=1, le=1_000_000_000)
    group: Annotated[str, Field(min_length=1, max_length=160)] | None = None

    @model_validator(mode="after")
    def _names_exist(self) -> Signal:
        try:
            aggregation = parse_aggregation(self.agg)
        except ValueError as error:
            raise PydanticCustomError("unknown_aggregation", "{problem}", {"problem": str(error)}) from error
        try:
            resolve_metric(aggregation, self.metric)
        except ValueError as error:
            raise PydanticCustomError("unknown_metric", "{problem}", {"problem": str(error)}) from error
        if self.group is not None and aggregation.name not in FAIRNESS_AGGREGATIONS:
            problem = f"group goes with {' and '.join(sorted(FAIRNESS_AGGREGATIONS))} only, not with {self.agg}"
            raise PydanticCustomError("no_group", "{problem}", {"problem": problem})
        return self


class Limits(_Strict):
    """How often an action may run."""

    cooldown_ns: DurationNs | None = Field(None, alias="cooldown")
    per_hour: int | None = Field(None, ge=1, le=1000)


class Verify(_Strict):
    """What must hold on the restored version's own traffic for the action to count as helpful."""

    expr: Expression
    after_ns: DurationNs = Field(0, alias="after")
    min_n: int = Field(1, ge=1)
    within_ns: DurationNs = Field(alias="within")


class WebhookAction(_Strict):
    """Send incident events to a configured endpoint."""

    kind: Literal["webhook"]
    endpoint: Identifier


class GuardedAction(_Strict):
    """An action that changes something, so a mode says who decides. ``propose`` unless the file says otherwise."""

    kind: GuardedKind
    target: dict[Text, Text] | None = None
    mode: Mode = "propose"
    limits: Limits = Field(default_factory=Limits)
    verify: Verify | None = None

    @model_validator(mode="after")
    def _target_is_named(self) -> GuardedAction:
        if self.kind in ("rollback", "finetune") and "adapter" not in (self.target or {}):
            raise PydanticCustomError("no_target", "{problem}", {"problem": f"{self.kind} needs target.adapter"})
        return self


Action = Annotated[WebhookAction | GuardedAction, Field(discriminator="kind")]


class Expectation(_Strict):
    """The state a group must be in after the last step at or before ``at``."""

    at_ns: DurationNs = Field(alias="at")
    state: StateName


class PolicyTest(_Strict):
    """Series of signal values, one per step from 0, and the states they must lead to."""

    name: Text
    step_ns: DurationNs = Field(alias="step")
    series: dict[SignalName, str | int | float] = Field(min_length=1, max_length=64)
    expect: list[Expectation] = Field(min_length=1, max_length=256)


class ExchangeTest(_Strict):
    """One ``exchange`` and the state it must lead to, or ``series`` of them, one per step, as in a policy's tests."""

    name: Text
    exchange: dict[VariableName, float | int | str | None] | None = Field(None, max_length=64)
    step_ns: DurationNs = Field(0, alias="step")
    series: dict[VariableName, str | int | float] = Field(default_factory=dict, max_length=64)
    expect: StateName | list[Expectation]

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> ExchangeTest:
        if (self.exchange is None) == (not self.series):
            raise PydanticCustomError("test_form", "a test has either an exchange or series, not both and not neither")
        if isinstance(self.expect, str) != (self.exchange is not None):
            raise PydanticCustomError("test_form", "an exchange expects one state, series a list of at and state")
        return self


class PolicyDocument(_Strict):
    """``kind: Policy``: windowed signals, a predicate, hysteresis and actions."""

    api_version: Literal["custodes/v1"] = Field(alias="apiVersion")
    kind: Literal["Policy"]
    id: Identifier
    owner: Text
    severity: Severity
    scope: Scope = Field(default_factory=Scope)
    signals: dict[SignalName, Signal] = Field(min_length=1, max_length=64)
    group_by: list[Dimension] = Field(default_factory=list, max_length=4)
    when: Expression
    clear: Expression | None = None
    for_ns: DurationNs = Field(0, alias="for")
    keep_firing_for_ns: DurationNs = Field(0, alias="keep_firing_for")
    no_data: NoData = "hold"
    escalate_after_ns: DurationNs | None = Field(None, alias="escalate_after")
    repeat_every_ns: DurationNs | None = Field(None, alias="repeat_every")
    actions: list[Action] = Field(default_factory=list, max_length=32)
    tests: list[PolicyTest] = Field(default_factory=list, max_length=100)


class ExchangePolicyDocument(_Strict):
    """``kind: ExchangePolicy``: no windows, ``when`` sees the scores of one exchange.

    The first match opens an incident for its group; it resolves when ``keep_firing_for`` has passed without another.
    """

    api_version: Literal["custodes/v1"] = Field(alias="apiVersion")
    kind: Literal["ExchangePolicy"]
    id: Identifier
    owner: Text
    severity: Severity
    scope: Scope = Field(default_factory=Scope)
    group_by: list[Dimension] = Field(default_factory=list, max_length=4)
    when: Expression
    keep_firing_for_ns: DurationNs = Field(DEFAULT_QUIET_NS, alias="keep_firing_for")
    escalate_after_ns: DurationNs | None = Field(None, alias="escalate_after")
    repeat_every_ns: DurationNs | None = Field(None, alias="repeat_every")
    actions: list[Action] = Field(default_factory=list, max_length=32)
    tests: list[ExchangeTest] = Field(default_factory=list, max_length=100)


AnyDocument = PolicyDocument | ExchangePolicyDocument
