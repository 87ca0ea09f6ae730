"""From a checked document to the frozen, typed policy that the engine steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from custodes.kernel.clock import DAY_NS, MINUTE_NS
from policies.errors import ExpressionError, PolicyError
from policies.rules.document import (
    AnyDocument,
    GuardedAction,
    NoData,
    PolicyDocument,
    Severity,
    WebhookAction,
)
from policies.rules.expression import ExpressionEngine, Predicate, VariableType
from policies.rules.finding import Finding, nearest_name
from policies.rules.load import PolicySource
from policies.rules.quick import parse_simple
from policies.rules.tree import Path, path_to_field
from policies.rules.vocabulary import (
    CLAIM_LABELS,
    OPTIONAL_METRICS,
    SCORE_METRICS,
    TOXICITY_LABELS,
    Aggregation,
    parse_aggregation,
    resolve_metric,
)

LONGEST_WINDOW_NS = 31 * DAY_NS
_STATISTICS = frozenset({"mean", "p50", "p90", "p95", "p99", "latency_p95", "rate_above", "not_assessed_ratio"})


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """What a signal reads: an aggregation of ``metric`` over the last ``window_ns``.

    ``people`` is the group of people that a fairness aggregation is about, ``None`` for all of them.
    """

    name: str
    metric: str
    aggregation: Aggregation
    window_ns: int
    min_n: int = 1
    people: str | None = None


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """An action as the policy asks for it. ``body`` is its JSON document without defaults."""

    kind: str
    endpoint: str | None
    mode: str
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy ready to be stepped; everything in it is immutable and already checked.

    An ``ExchangePolicy`` has no signals and no ``clear``; its ``when`` reads one exchange.
    """

    kind: Literal["Policy", "ExchangePolicy"]
    id: str
    version: str
    owner: str
    severity: Severity
    scope: tuple[tuple[str, str], ...]
    signals: tuple[SignalSpec, ...]
    group_by: tuple[str, ...]
    when: Predicate
    clear: Predicate | None
    for_ns: int
    keep_firing_for_ns: int
    no_data: NoData
    escalate_after_ns: int | None
    repeat_every_ns: int | None
    actions: tuple[ActionSpec, ...]
    engine: ExpressionEngine = field(repr=False, compare=False)


def compile_policy(source: PolicySource, engine: ExpressionEngine) -> CompiledPolicy:
    """Return the compiled policy of ``source``.

    Raises ``PolicyError`` with a finding for every expression that does not type-check, and for what a model cannot
    see: windows that are not whole minutes, dimensions named twice.
    """
    document = source.document
    findings, predicates = _check_policy(source, document, engine)
    if findings:
        raise PolicyError(tuple(findings))
    windowed = document if isinstance(document, PolicyDocument) else None
    return CompiledPolicy(
        kind=document.kind,
        id=document.id,
        version=source.version,
        owner=document.owner,
        severity=document.severity,
        scope=tuple(document.scope.model_dump(exclude_none=True).items()),
        signals=tuple(_signal_specs(windowed)) if windowed else (),
        group_by=tuple(document.group_by),
        when=predicates["when"],
        clear=predicates.get("clear"),
        for_ns=windowed.for_ns if windowed else 0,
        keep_firing_for_ns=document.keep_firing_for_ns,
        no_data=windowed.no_data if windowed else "hold",
        escalate_after_ns=document.escalate_after_ns,
        repeat_every_ns=document.repeat_every_ns,
        actions=_action_specs(source, document),
        engine=engine,
    )


def check_source(source: PolicySource, engine: ExpressionEngine) -> list[Finding]:
    """Return every error and warning about a document of the right form, in the order of the file."""
    document = source.document
    findings, predicates = _check_policy(source, document, engine)
    if isinstance(document, PolicyDocument):
        findings += _advise(source, document, None if findings else predicates)
    if not document.tests:
        findings.append(source.warning((), "the policy has no tests, so policy test fails and it cannot be submitted"))
    return sorted(findings, key=lambda finding: finding.line)


def _check_policy(
    source: PolicySource, document: AnyDocument, engine: ExpressionEngine
) -> tuple[list[Finding], dict[str, Predicate]]:
    findings: list[Finding] = []
    predicates: dict[str, Predicate] = {}
    variables: Mapping[str, VariableType] = exchange_variables()
    if isinstance(document, PolicyDocument):
        variables = dict.fromkeys(document.signals, "double")
        findings += _check_windows(source, document)
    for path, expression in _expressions(document):
        try:
            predicates[path_to_field(path)] = engine.compile(expression, variables)
        except ExpressionError as error:
            findings.append(_expression_finding(source, path, error, variables))
    if len(set(document.group_by)) < len(document.group_by):
        findings.append(source.finding(("group_by",), "a dimension stands here twice; keep one"))
    repeat_ns = document.repeat_every_ns
    if repeat_ns is not None and repeat_ns < MINUTE_NS:
        findings.append(source.finding(("repeat_every",), "a reminder comes at most once a minute; write 1m or more"))
    return findings, predicates


def _check_windows(source: PolicySource, document: PolicyDocument) -> list[Finding]:
    message = "a window is a whole number of minutes from 1m to 31d, because roll-ups are kept by the minute"
    return [
        source.finding(("signals", name, "window"), message)
        for name, signal in document.signals.items()
        if not MINUTE_NS <= signal.window_ns <= LONGEST_WINDOW_NS or signal.window_ns % MINUTE_NS
    ]


def exchange_variables() -> dict[str, VariableType]:
    """Return the variables ``when`` of an ExchangePolicy may use."""
    variables: dict[str, VariableType] = {"tokens.input": "double", "tokens.output": "double"}
    for metric in (*SCORE_METRICS, *OPTIONAL_METRICS):
        variables[f"score.{metric}"] = "double"
        variables[f"state.{metric}"] = "string"
    for label in (*TOXICITY_LABELS, *CLAIM_LABELS):
        variables[f"label.{label}"] = "double"
    return variables


def _expressions(document: AnyDocument) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = [(("when",), document.when)]
    if isinstance(document, PolicyDocument) and document.clear is not None:
        found.append((("clear",), document.clear))
    for index, action in enumerate(document.actions):
        if isinstance(action, GuardedAction) and action.verify is not None:
            found.append((("actions", index, "verify", "expr"), action.verify.expr))
    return found


def _expression_finding(
    source: PolicySource, path: Path, error: ExpressionError, variables: Mapping[str, VariableType]
) -> Finding:
    nearest = nearest_name(error.unknown_name, variables) if error.unknown_name else None
    return source.finding(path, str(error), nearest)


def _advise(
    source: PolicySource, document: PolicyDocument, predicates: Mapping[str, Predicate] | None
) -> list[Finding]:
    """Return the warnings: things that work but are probably not meant."""
    advice = []
    # After an error nobody knows which signals the author meant to use.
    used = frozenset(document.signals) if predicates is None else _names_used(predicates)
    advice += [
        source.warning(("signals", name), "no expression uses this signal")
        for name in document.signals
        if name not in used
    ]
    for index, action in enumerate(document.actions):
        verify = action.verify if isinstance(action, GuardedAction) else None
        if verify is not None and parse_simple(verify.expr, list(document.signals)) is None:
            message = (
                "this cannot be verified: write comparisons of signals joined by && and ||, else it is inconclusive"
            )
            advice.append(source.warning(("actions", index, "verify", "expr"), message))
    if predicates is not None:
        advice += _advise_guard(source, document, predicates["when"])
    return advice


def _advise_guard(source: PolicySource, document: PolicyDocument, when: Predicate) -> list[Finding]:
    """Return a warning where ``when`` judges a statistic that two exchanges could decide."""
    specs = {spec.name: spec for spec in _signal_specs(document) if spec.name in when.names}
    if any(spec.aggregation.name == "count" for spec in specs.values()):
        return []
    unguarded = sorted(name for name, spec in specs.items() if spec.aggregation.name in _STATISTICS and spec.min_n == 1)
    if not unguarded:
        return []
    message = (
        f"{', '.join(unguarded)} may rest on very few exchanges; give the signal min_n, or compare a count in when too"
    )
    return [source.warning(("when",), message)]


def _names_used(predicates: Mapping[str, Predicate]) -> frozenset[str]:
    return frozenset[str]().union(*(predicate.names for predicate in predicates.values()))


def _signal_specs(document: PolicyDocument) -> list[SignalSpec]:
    specs = []
    for name, signal in document.signals.items():
        aggregation = parse_aggregation(signal.agg)
        metric = resolve_metric(aggregation, signal.metric)
        specs.append(SignalSpec(name, metric, aggregation, signal.window_ns, signal.min_n, signal.group))
    return specs


def _action_specs(source: PolicySource, document: AnyDocument) -> tuple[ActionSpec, ...]:
    written = source.tree.root["actions"] if document.actions else []  # type: ignore[index]  # The model has checked it.
    specs = []
    for action, body in zip(document.actions, written, strict=True):
        endpoint = action.endpoint if isinstance(action, WebhookAction) else None
        mode = "auto" if isinstance(action, WebhookAction) else action.mode
        specs.append(ActionSpec(action.kind, endpoint, mode, body))
    return tuple(specs)
