from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.clock import HOUR_NS, MINUTE_NS
from policies.errors import PolicyError
from policies.rules.document import ExchangePolicyDocument, GuardedAction, PolicyDocument
from policies.rules.load import parse_policy, parse_source

Change = Callable[..., str]


class TestParsePolicy:
    def test_reads_every_field_of_the_documented_example(self, policy_text: str) -> None:
        document = parse_policy(policy_text, "p.yaml")
        assert isinstance(document, PolicyDocument)
        assert document.id == "toxicity-spike"
        assert document.scope.service == "support-bot"
        assert document.signals["tox_p95"].window_ns == 15 * MINUTE_NS
        assert (document.for_ns, document.keep_firing_for_ns) == (5 * MINUTE_NS, 10 * MINUTE_NS)
        rollback = document.actions[1]
        assert isinstance(rollback, GuardedAction)
        assert rollback.limits.cooldown_ns == HOUR_NS
        assert rollback.verify is not None
        assert rollback.verify.min_n == 50

    def test_reads_an_exchange_policy(self) -> None:
        text = (
            "apiVersion: custodes/v1\nkind: ExchangePolicy\nid: x\nowner: o\nseverity: low\nwhen: score.toxicity > 0.9"
        )
        assert isinstance(parse_policy(text, "p.yaml"), ExchangePolicyDocument)

    @pytest.mark.parametrize(
        ("old", "new", "line", "field", "nearest"),
        [
            ("severity: high", "severity: hihg", 5, "severity", "high"),
            ("kind: Policy", "kind: Polcy", 2, "kind", "Policy"),
            ("metric: toxicity, agg: p95", "metric: toxcity, agg: p95", 8, "signals.tox_p95.metric", "toxicity"),
            ("agg: count", "agg: cuont", 9, "signals.n.agg", "count"),
            ("agg: p95, window", "agg: p95, windw", 8, "signals.tox_p95.windw", "window"),
            ("keep_firing_for", "keep_fireing_for", 14, "keep_fireing_for", "keep_firing_for"),
            ("[deployment]", "[deploymnt]", 10, "group_by[0]", "deployment"),
            ("service: support-bot", "sevice: support-bot", 6, "scope.sevice", "service"),
            ("no_data: hold", "no_data: holt", 15, "no_data", "hold"),
            ("kind: webhook", "kind: webhok", 17, "actions[0].kind", "webhook"),
            ("endpoint: oncall", "endpont: oncall", 17, "actions[0].endpont", "endpoint"),
            ("cooldown: 1h", "cooldwn: 1h", 21, "actions[1].limits.cooldwn", "cooldown"),
            ("min_n: 50", "min_m: 50", 22, "actions[1].verify.min_m", "min_n"),
            ("mode: propose", "mode: propos", 20, "actions[1].mode", "propose"),
            ("    step: 1m", "    stepp: 1m", 25, "tests[0].stepp", "step"),
            ("state: pending", "state: pendng", 27, "tests[0].expect[0].state", "pending"),
        ],
    )
    def test_names_line_field_and_nearest_valid_name(
        self, change: Change, old: str, new: str, line: int, field: str, nearest: str
    ) -> None:
        with pytest.raises(PolicyError) as caught:
            parse_policy(change((old, new)), "p.yaml")
        found = [(one.file, one.line, one.field, one.nearest) for one in caught.value.findings]
        assert ("p.yaml", line, field, nearest) in found

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("for: 5m", "for: 5", "not a duration: 5"),
            ("owner: risk@example.org", "owner:", "valid string"),
            ("owner: risk@example.org\n", "", "owner: this field is required"),
            ("id: toxicity-spike", "id: Toxicity Spike", "not a valid name"),
            ("id: toxicity-spike", "id: 7", "valid string"),
            ("agg: p95", "agg: rate_above(x)", "unknown aggregation"),
            ("agg: p95", "agg: cost_sum", "always reads cost_usd"),
            ("metric: toxicity, agg: p95", "agg: p95", "p95 needs a metric"),
            ("metric: toxicity, agg: p95", "metric: exchanges, agg: p95", "use agg: count"),
            ("target: {adapter: mlflow, model: support-bot, alias: champion}", "target: {model: x}", "target.adapter"),
            ("per_hour: 2", "per_hour: 2.5", "valid integer"),
            ("per_hour: 2", "per_hour: 0", "greater than or equal to 1"),
            ("custodes/v1", "custodes/v2", "is not one of custodes/v1"),
        ],
    )
    def test_says_what_is_wrong(self, change: Change, old: str, new: str, message: str) -> None:
        with pytest.raises(PolicyError, match=message):
            parse_policy(change((old, new)), "p.yaml")

    @pytest.mark.parametrize("text", ["[]", "just text", "5", "a: 1", "kind: [Policy]", "kind: Policy"])
    def test_refuses_what_is_not_a_policy_document(self, text: str) -> None:
        with pytest.raises(PolicyError):
            parse_policy(text, "p.yaml")

    def test_reports_every_problem_in_the_order_of_the_file(self, change: Change) -> None:
        text = change(("severity: high", "severity: hihg"), ("for: 5m", "for: x"), ("state: firing", "state: fire"))
        with pytest.raises(PolicyError) as caught:
            parse_policy(text, "p.yaml")
        assert [finding.line for finding in caught.value.findings] == [5, 13, 27]

    @given(data=st.data())
    def test_lets_only_its_own_error_escape(self, data: st.DataObject) -> None:
        leaf = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["5m", "x", "Policy", "count"]))
        value = st.recursive(
            leaf,
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(["kind", "agg", "window", "metric", "expect", "at"]), inner, max_size=3
                )
            ),
            max_leaves=6,
        )
        fields = ["id", "owner", "severity", "scope", "signals", "group_by", "when", "for", "actions", "tests"]
        body = data.draw(st.dictionaries(st.sampled_from(fields), value, max_size=6))
        text = orjson.dumps({"apiVersion": "custodes/v1", "kind": "Policy", **body}).decode()
        with suppress(PolicyError):
            assert isinstance(parse_policy(text, "p.yaml"), PolicyDocument)


class TestVersion:
    def test_ignores_comments_and_layout_but_no_value(self, policy_text: str, change: Change) -> None:
        version = parse_source(policy_text, "a").version
        assert version == "sha256:06641ba5137e61afaf73427a88d59a2160ac6d665f9967f31bc509cbff5f48ce"
        assert parse_source("# a comment\n" + policy_text.replace("when:  ", "when: "), "b").version == version
        assert parse_source(change(("for: 5m", "for: 300s")), "c").version != version
