from __future__ import annotations

from collections.abc import Callable

import pytest

from policies.errors import PolicyError
from policies.rules.cel import CelEngine
from policies.rules.compile import CompiledPolicy, check_source, compile_policy
from policies.rules.finding import Finding
from policies.rules.load import parse_source
from policies.rules.vocabulary import Aggregation

Change = Callable[..., str]
EXCHANGE = """\
apiVersion: custodes/v1
kind: ExchangePolicy
id: insult
owner: risk@example.org
severity: high
when: score.toxicity > 0.9 && label.insult > 0.8 && state.hallucination == 'assessed' && tokens.input < 100.0
tests:
  - {name: matches, exchange: {score.toxicity: 0.95, label.insult: 0.9, tokens.input: 7, state.hallucination: assessed},
     expect: firing}
"""


def findings_of(text: str) -> list[Finding]:
    return check_source(parse_source(text, "p.yaml"), CelEngine())


class TestCompilePolicy:
    def test_keeps_everything_the_engine_needs(
        self, policy_text: str, compiled: Callable[[str], CompiledPolicy]
    ) -> None:
        policy = compiled(policy_text)
        assert policy.scope == (("environment", "prod"), ("service", "support-bot"))
        assert policy.group_by == ("deployment",)
        assert [(spec.name, spec.metric, spec.aggregation) for spec in policy.signals] == [
            ("tox_p95", "toxicity", Aggregation("p95")),
            ("n", "toxicity", Aggregation("count")),
        ]
        assert [(action.kind, action.endpoint, action.mode) for action in policy.actions] == [
            ("webhook", "oncall", "auto"),
            ("rollback", None, "propose"),
        ]
        assert policy.actions[1].body["limits"] == {"cooldown": "1h", "per_hour": 2}

    def test_reads_the_threshold_of_rate_above(self, change: Change, compiled: Callable[[str], CompiledPolicy]) -> None:
        policy = compiled(change(("agg: p95", "agg: rate_above(0.75)")))
        assert policy.signals[0].aggregation == Aggregation("rate_above", 0.75)

    def test_compiles_an_exchange_policy(self, compiled: Callable[[str], CompiledPolicy]) -> None:
        policy = compiled(EXCHANGE.replace("severity: high", "severity: high\ngroup_by: [service]"))
        assert (policy.kind, policy.signals, policy.clear, policy.for_ns) == ("ExchangePolicy", (), None, 0)
        assert (policy.group_by, policy.keep_firing_for_ns) == (("service",), 600_000_000_000)
        assert "state.hallucination" in policy.when.names

    @pytest.mark.parametrize(
        ("old", "new", "line", "field", "nearest"),
        [
            ("tox_p95 > 0.80", "toxp95 > 0.80", 11, "when", "tox_p95"),
            ('clear: "tox_p95', 'clear: "tox_p96', 12, "clear", "tox_p95"),
            ('expr: "tox_p95', 'expr: "tox_p96', 22, "actions[1].verify.expr", "tox_p95"),
            ("n >= 50.0", "n >= 50", 11, "when", None),
            ("window: 15m}\n  n", "window: 90s}\n  n", 8, "signals.tox_p95.window", None),
            ("window: 15m}\n  n", "window: 32d}\n  n", 8, "signals.tox_p95.window", None),
            ("[deployment]", "[deployment, deployment]", 10, "group_by", None),
        ],
    )
    def test_names_line_field_and_nearest_signal(
        self, change: Change, old: str, new: str, line: int, field: str, nearest: str | None
    ) -> None:
        with pytest.raises(PolicyError) as caught:
            compile_policy(parse_source(change((old, new)), "p.yaml"), CelEngine())
        assert [(one.line, one.field, one.nearest) for one in caught.value.findings] == [(line, field, nearest)]


class TestCheckSource:
    def test_has_nothing_to_say_about_the_documented_example(self, policy_text: str) -> None:
        assert findings_of(policy_text) == []

    @pytest.mark.parametrize("signal", ["agg: drift_alarm", "metric: latency_ms, agg: drift_alarm"])
    def test_has_nothing_to_say_about_a_drift_signal(self, change: Change, signal: str) -> None:
        assert findings_of(change(("metric: toxicity, agg: p95", signal))) == []

    @pytest.mark.parametrize("signal", ["metric: exchanges, agg: drift_alarm", "metric: embedding, agg: p95"])
    def test_refuses_drift_of_what_is_not_watched(self, change: Change, signal: str) -> None:
        with pytest.raises(PolicyError, match=r"watched|goes with"):
            findings_of(change(("metric: toxicity, agg: p95", signal)))

    def test_warns_about_a_verification_that_nobody_can_bound(self, change: Change) -> None:
        (finding,) = findings_of(change(('verify: {expr: "tox_p95 < 0.60"', 'verify: {expr: "tox_p95 / n < 0.60"')))
        assert (finding.level, finding.field) == ("warning", "actions[1].verify.expr")

    def test_warns_about_an_unused_signal(self, change: Change) -> None:
        findings = findings_of(change(("n >= 50.0 && ", ""), ("agg: p95, ", "agg: p95, min_n: 50, ")))
        assert [(one.level, one.field) for one in findings] == [("warning", "signals.n")]

    def test_warns_about_a_statistic_that_may_rest_on_two_exchanges(self, change: Change) -> None:
        findings = findings_of(change(("n >= 50.0 && ", "")))
        assert [(one.level, one.field) for one in findings] == [("warning", "signals.n"), ("warning", "when")]
        assert "min_n" in findings[1].message

    def test_warns_about_missing_tests(self, policy_text: str) -> None:
        (finding,) = findings_of(policy_text[: policy_text.index("tests:")])
        assert (finding.level, "no tests" in finding.message) == ("warning", True)

    def test_type_checks_the_variables_of_an_exchange_policy(self) -> None:
        assert findings_of(EXCHANGE) == []
        of_the_full_profile = "score.inconsistency > 0.9 || label.disagreement > 0.5 || label.claim_unsupported > 0.5"
        assert findings_of(EXCHANGE.replace("score.toxicity > 0.9", of_the_full_profile)) == []
        (finding,) = findings_of(EXCHANGE.replace("when: score.toxicity", "when: score.toxicty"))
        assert (finding.level, finding.line, finding.nearest) == ("error", 6, "score.toxicity")
