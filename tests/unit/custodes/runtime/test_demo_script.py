"""The demo's traffic: reproducible, grounded unless meant otherwise, and toxic only when told."""

from __future__ import annotations

import random

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from custodes.runtime.demo.history import QUARTER_NS, history_turns, quarters, turns_to_request
from custodes.runtime.demo.policies import POLICIES
from custodes.runtime.demo.registry import BAD, GOOD, Registry, RegistryClient
from custodes.runtime.demo.script import CUT_OFF_GROUP, DRIFTING, SERVICES, play_turn
from custodes.runtime.demo.simulator import CYCLE_S, TOXIC_FROM_S, TOXIC_UNTIL_S, Deployment, is_toxic
from policies.actions.adapters import Done, Order, Plan
from policies.actions.http import JsonClient
from policies.actions.mlflow import MlflowAdapter
from policies.check import test_text as run_policy_tests
from policies.hooks.address import AddressRules


class TestScript:
    def test_it_plays_the_same_turns_for_the_same_seed(self) -> None:
        first = [play_turn(SERVICES[0], random.Random(7)) for _ in range(3)]
        assert first == [play_turn(SERVICES[0], random.Random(7)) for _ in range(3)]

    def test_it_is_toxic_only_when_told(self) -> None:
        rng = random.Random(1)
        calm = [play_turn(SERVICES[0], rng).answer for _ in range(300)]
        angry = [play_turn(SERVICES[0], rng, toxic_share=1.0).answer for _ in range(50)]
        insults = ("idiot", "loser", "pathetic", "worthless", "moron")
        assert not any(word in text for text in calm for word in insults)
        assert all(any(word in text for word in insults) for text in angry)

    def test_it_cuts_off_answers_to_one_group_only_when_told(self) -> None:
        rng = random.Random(2)
        fair = [play_turn(SERVICES[2], rng) for _ in range(200)]
        unfair = [play_turn(SERVICES[2], rng, unfair=True) for _ in range(400)]
        assert {turn.finish_reason for turn in fair} == {"stop"}
        assert {turn.group for turn in unfair if turn.finish_reason == "length"} == {CUT_OFF_GROUP}
        assert (
            0.4
            < sum(turn.finish_reason == "length" for turn in unfair if turn.group == CUT_OFF_GROUP)
            / sum(turn.group == CUT_OFF_GROUP for turn in unfair)
            < 0.8
        )

    def test_it_sends_three_spans_a_turn_inside_the_quarter(self) -> None:
        start = 1_800_000_000 * 10**9
        quarter = next(quarters(start, start + 1))
        turns = history_turns(quarter, random.Random(3), toxic=False)
        request = ExportTraceServiceRequest.FromString(turns_to_request(turns, random.Random(3)))
        spans = [span for resource in request.resource_spans for span in resource.scope_spans[0].spans]
        assert len(spans) == 3 * len(turns) > 0
        assert all(quarter <= span.start_time_unix_nano < span.end_time_unix_nano for span in spans)
        assert all(span.end_time_unix_nano <= quarter + QUARTER_NS for span in spans)


class TestDrift:
    def test_two_thirds_of_the_users_ask_in_another_language_only_when_told(self) -> None:
        usual = [play_turn(DRIFTING, random.Random(n)) for n in range(300)]
        changed = [play_turn(DRIFTING, random.Random(n), drifted=True) for n in range(300)]
        german = [turn for turn in changed if " ich " in turn.question]
        assert not [turn for turn in usual if " ich " in turn.question]
        assert 0.55 < len(german) / len(changed) < 0.8
        # The same calls otherwise: who asks, when it is unsupported, and what it takes do not change with it.
        assert [(one.user, one.latency_s) for one in usual] == [(one.user, one.latency_s) for one in changed]
        assert {one.group for one in german} == {one.group for one in usual}


class TestSimulator:
    def test_it_turns_toxic_within_the_first_minute_and_recovers(self) -> None:
        assert not is_toxic(0)
        assert TOXIC_FROM_S < 60
        assert is_toxic(TOXIC_FROM_S)
        assert not is_toxic(TOXIC_UNTIL_S)
        assert is_toxic(CYCLE_S + TOXIC_FROM_S)


class TestPolicies:
    def test_they_pass_their_own_tests(self) -> None:
        for text in POLICIES:
            report = run_policy_tests(text, "demo.yaml")
            assert report.passed, report


class TestDeployment:
    def test_it_serves_what_the_alias_names_whoever_moved_it(self) -> None:
        registry = Registry()
        registry.start()
        try:
            client = RegistryClient(registry.url)
            client.prepare()
            times = iter(range(0, 100, 2))
            deployment = Deployment(client, lambda: float(next(times)))
            assert not deployment.serves_bad(False)
            assert deployment.serves_bad(True)
            client.deploy(GOOD)
            assert not deployment.serves_bad(True)
            # The deployer's wish has not changed, so it does not undo the rollback.
            assert not deployment.serves_bad(True)
            assert client.serving() == GOOD
        finally:
            registry.stop()

    def test_it_stays_as_it_was_when_the_registry_is_gone(self) -> None:
        registry = Registry()
        url = registry.url
        registry.stop()
        deployment = Deployment(RegistryClient(url))
        assert not deployment.serves_bad(False)

    def test_the_stand_in_is_enough_for_a_rollback(self) -> None:
        registry = Registry()
        registry.start()
        try:
            client = RegistryClient(registry.url)
            client.prepare()
            client.deploy(BAD)
            adapter = MlflowAdapter(JsonClient(registry.url, AddressRules.of(["127.0.0.0/8"], allow_http=True)))
            target = {"adapter": "mlflow", "model": "support-bot", "alias": "champion"}
            plan = adapter.plan(target)
            assert plan == Plan("8", ("7",), {"7": "support-bot-v7"}, has_versions=True)
            done = adapter.send(Order("a", "default", target, "8", "7", 0, False, {}))
            assert isinstance(done, Done)
            assert client.serving() == GOOD
        finally:
            registry.stop()
