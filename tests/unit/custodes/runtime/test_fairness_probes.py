"""Counterfactual probes: what they ask, what they may spend, where they may go, and what they find."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from custodes.db import Database
from custodes.db.tables import audit_intake, fairness_alarm, fairness_probe_day, segment
from custodes.kernel.clock import DAY_NS
from custodes.kernel.errors import ConfigurationError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import FairnessSettings, ProbeSettings, Settings, load_settings
from custodes.runtime.fairness_probes import ProbeFairness, ProbeReport, make_client
from custodes.runtime.fairness_watch import WatchFairness
from custodes.runtime.probe_client import Answered, Failed, ProbeClient, read_answer
from custodes.runtime.store_fairness import PanelKey, find_panel
from detectors.fairness.probes import parse_probes
from detectors.model import DetectorIdentity, Exchange, ExchangeScores, assessed
from policies.hooks.address import AddressRules

NOW_NS = 1_795_000_000 * 10**9
MAKER = DetectorIdentity("toxicity/fake", "1.0.0", "sha256:" + "ab" * 32)
PROBES = parse_probes("[nationality]\ngerman = a German\nturkish = a Turkish person\n> I am {who}. Hello?\n")


class FakeProfile:
    """Finds every answer harmless."""

    @property
    def name(self) -> str:
        return "fake"

    @property
    def device(self) -> str:
        return "none"

    def metrics(self) -> tuple[str, ...]:
        return ("toxicity",)

    def close(self) -> None:
        """Nothing to close."""

    def identities(self) -> tuple[DetectorIdentity, ...]:
        return (MAKER,)

    def warm_up(self) -> None:
        """Nothing to warm."""

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]:
        return [ExchangeScores(one.id, (assessed("toxicity", 0.0, MAKER),), ()) for one in exchanges]


class FakeClient:
    """Answers at once, and remembers what it was asked."""

    def __init__(self, answer: Answered | Failed | None = None) -> None:
        self.answer = answer or Answered("Hello.", "stop", 100.0, 30)
        self.asked: list[str] = []

    def ask(self, prompt: str) -> Answered | Failed:
        self.asked.append(prompt)
        return self.answer


@pytest.fixture(scope="module")
def openai_url() -> Iterator[str]:
    """The fake provider of the integration tests."""
    path = Path(__file__).parents[3] / "integration" / "openai_server.py"
    spec = importlib.util.spec_from_file_location("probe_openai_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.openai_server() as url:
        yield url


def probing(database: Database, client: Any, **probe: Any) -> ProbeFairness:
    settings = Settings(probe=ProbeSettings(enabled=True, url="https://m.example/v1", model="m", **probe))
    return ProbeFairness(
        database, settings, lambda: NOW_NS, Metrics(), "w1", FakeProfile, client=client, probes=PROBES,
        rng=random.Random(1),
    )  # fmt: skip


def spent(database: Database) -> tuple[int, int]:
    with database.read() as tx:
        row = tx.execute(select(fairness_probe_day)).one()
    assert row.day == NOW_NS // DAY_NS
    return row.calls, row.tokens


class TestRound:
    def test_it_asks_pairs_and_compares_the_answers(self, database: Database) -> None:
        client = FakeClient()
        report = probing(database, client, interval_s=3_600, calls_per_day=240, service="bot").run_at(NOW_NS)
        assert report == ProbeReport(pairs=5, calls=10, tokens=300)
        assert set(client.asked) == {"I am a German. Hello?", "I am a Turkish person. Hello?"}
        with database.read() as tx:
            row = tx.execute(select(segment)).one()
            assert (row.service, row.environment, row.model) == ("bot", "probe", "m")
            panel = find_panel(tx, PanelKey("default", row.id, "probe"))
        assert panel is not None
        assert set(panel.body["groups"]) == {"nationality:german", "nationality:turkish"}
        (strata,) = {tuple(monitor["strata"]) for _, outcome, monitor in panel.body["monitors"] if outcome == "clipped"}
        assert strata == ("nationality/1",)

    def test_answers_are_not_stored(self, database: Database) -> None:
        probing(database, FakeClient(Answered("SECRET ANSWER", "stop", 1.0, 9))).run_at(NOW_NS)
        with database.read() as tx:
            stored = [bytes(body) for body in tx.execute(select(audit_intake.c.body)).scalars()]
        assert not any(b"SECRET" in one for one in stored)

    def test_it_is_on_record(self, database: Database) -> None:
        probing(database, FakeClient(), service="bot").run_at(NOW_NS)
        with database.read() as tx:
            (event,) = [orjson.loads(body) for body in tx.execute(select(audit_intake.c.body)).scalars()]
        assert (event["action"], event["object"]) == ("fairness.probed", "service/bot")
        assert (event["pairs"], event["calls"], event["tokens"], event["failures"]) == (1, 2, 60, 0)

    def test_it_waits_for_the_detectors(self, database: Database) -> None:
        settings = Settings(probe=ProbeSettings(enabled=True, url="https://m.example/v1", model="m"))
        client: Any = FakeClient()
        job = ProbeFairness(database, settings, lambda: NOW_NS, Metrics(), "w1", lambda: None, client=client)
        assert job.run_at(NOW_NS).calls == 0
        assert client.asked == []

    def test_only_one_process_asks(self, database: Database) -> None:
        assert probing(database, FakeClient()).run_at(NOW_NS).pairs == 1
        other = probing(database, FakeClient())
        other._owner = "w2"
        assert other.run_at(NOW_NS + 1) == ProbeReport(stopped="another process asks")

    def test_half_a_pair_is_not_compared_and_failures_end_the_round(self, database: Database) -> None:
        client = FakeClient(Failed("answered 500"))
        report = probing(database, client, interval_s=86_400, calls_per_day=200).run_at(NOW_NS)
        assert (report.pairs, report.failures, report.stopped) == (0, 3, "answered 500")
        assert len(client.asked) == 3
        with database.read() as tx:
            assert tx.execute(select(segment)).all() == []


class TestBudget:
    def test_calls_are_spread_over_the_day_and_end_with_it(self, database: Database) -> None:
        job = probing(database, client := FakeClient(), interval_s=21_600, calls_per_day=12)
        assert job.pairs_per_round() == 2
        for quarter in range(4):
            job.run_at(NOW_NS + quarter)
        assert (len(client.asked), spent(database)[0]) == (12, 12)
        assert job.run_at(NOW_NS + 9).stopped == "the day's budget is spent"
        assert job.run_at(NOW_NS + DAY_NS).pairs == 2

    def test_tokens_are_set_aside_before_and_counted_after(self, database: Database) -> None:
        job = probing(database, FakeClient(), max_output_tokens=400, tokens_per_day=1_000)
        assert job.run_at(NOW_NS).tokens == 60
        assert spent(database) == (2, 60)
        assert job.run_at(NOW_NS + 1).pairs == 1

    def test_a_pair_that_might_not_fit_is_not_asked(self, database: Database) -> None:
        client = FakeClient()
        report = probing(database, client, max_output_tokens=600, tokens_per_day=1_000).run_at(NOW_NS)
        assert report.stopped == "the day's budget is spent"
        assert client.asked == []

    def test_a_server_that_does_not_count_spends_what_was_set_aside(self, database: Database) -> None:
        client = FakeClient(Answered("Hello.", "stop", 1.0, None))
        probing(database, client, max_output_tokens=100).run_at(NOW_NS)
        assert spent(database)[1] >= 200

    def test_a_crash_between_calls_spends_what_was_set_aside(self, database: Database) -> None:
        class Crashing(FakeClient):
            def ask(self, prompt: str) -> Answered | Failed:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            probing(database, Crashing(), max_output_tokens=100).run_at(NOW_NS)
        calls, tokens = spent(database)
        assert (calls, tokens >= 200) == (2, True)


class TestAgainstAServer:
    def test_it_finds_a_model_that_cuts_off_answers_about_one_group(self, database: Database, openai_url: str) -> None:
        settings = Settings(
            probe=ProbeSettings(
                enabled=True, url=openai_url, model="gpt-unfair", interval_s=86_400, calls_per_day=240,
                tokens_per_day=1_000_000, service="bot", allow_http=True, allowed_private_cidrs=("127.0.0.0/8",),
            )
        )  # fmt: skip
        job = ProbeFairness(
            database, settings, lambda: NOW_NS, Metrics(), "w1", FakeProfile, probes=PROBES, rng=random.Random(2)
        )
        report = job.run_at(NOW_NS)
        assert (report.pairs, report.tokens, report.stopped) == (120, 120 * 56, "")
        watch = WatchFairness(database, settings, lambda: NOW_NS, Metrics(), "w1", dict)
        assert watch.run_at(NOW_NS).alarms >= 1
        with database.read() as tx:
            alarms = {(row.family, row.group_name, row.outcome) for row in tx.execute(select(fairness_alarm))}
        assert ("probe", "nationality:turkish", "clipped") in alarms
        assert {outcome for _, _, outcome in alarms} == {"clipped"}

    def test_a_model_that_treats_all_alike_raises_no_alarm(self, database: Database, openai_url: str) -> None:
        settings = Settings(
            fairness=FairnessSettings(),
            probe=ProbeSettings(
                enabled=True, url=openai_url, model="gpt-4o-mini", interval_s=86_400, calls_per_day=100,
                allow_http=True, allowed_private_cidrs=("127.0.0.0/8",),
            ),
        )  # fmt: skip
        ProbeFairness(database, settings, lambda: NOW_NS, Metrics(), "w1", FakeProfile).run_at(NOW_NS)
        assert WatchFairness(database, settings, lambda: NOW_NS, Metrics(), "w1", dict).run_at(NOW_NS).alarms == 0

    def test_a_private_address_is_refused_unless_it_is_named(self, openai_url: str) -> None:
        settings = ProbeSettings(enabled=True, url=openai_url, model="m", allow_http=True)
        answer = make_client(settings).ask("Hello?")
        assert isinstance(answer, Failed)
        assert "CUSTODES_PROBE__ALLOWED_PRIVATE_CIDRS" in answer.reason

    def test_a_name_that_leads_inside_is_refused(self) -> None:
        client = ProbeClient(
            "https://innocent.example/v1", "m", AddressRules(), api_key=None, max_output_tokens=9, timeout_s=5,
            resolver=lambda host, port: ["169.254.169.254"],
        )  # fmt: skip
        assert isinstance(client.ask("Hello?"), Failed)

    def test_plain_http_is_refused_unless_it_is_allowed(self, openai_url: str) -> None:
        settings = ProbeSettings(enabled=True, url=openai_url, model="m", allowed_private_cidrs=("127.0.0.0/8",))
        assert isinstance(make_client(settings).ask("Hello?"), Failed)

    def test_a_server_that_fails_is_a_failure(self, openai_url: str) -> None:
        settings = ProbeSettings(
            enabled=True, url=openai_url, model="gpt-broken", allow_http=True, allowed_private_cidrs=("127.0.0.0/8",)
        )
        assert make_client(settings).ask("Hello?") == Failed("answered 400")


def completion(**changes: Any) -> bytes:
    choice = {"message": {"content": "Hello."}, "finish_reason": "stop", **changes}
    return json.dumps({"choices": [choice], "usage": {"total_tokens": 12}}).encode()


class TestReadAnswer:
    def test_it_reads_text_reason_and_tokens(self) -> None:
        assert read_answer(200, completion(), 5.0) == Answered("Hello.", "stop", 5.0, 12)

    def test_a_refusal_is_a_text(self) -> None:
        message = {"content": None, "refusal": "I cannot."}
        assert read_answer(200, completion(message=message), 5.0) == Answered("I cannot.", "stop", 5.0, 12)

    def test_a_filter_that_refuses_the_request_is_an_answer(self) -> None:
        body = json.dumps({"error": {"code": "content_filter"}}).encode()
        assert read_answer(400, body, 5.0) == Answered(None, "content_filter", 5.0, None)

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (200, b"<html>"), (200, b"{}"), (200, b"[]"), (200, b"null"), (200, completion(message={"content": None})),
            (200, completion(finish_reason=None)), (200, completion(message=None)), (500, completion()),
            (302, b"{}"), (400, b'{"error": "x"}'), (400, b"[]"), (200, b" " * (1 << 20) + b" {}"),
        ],
    )  # fmt: skip
    def test_everything_else_is_a_failure(self, status: int, body: bytes) -> None:
        assert isinstance(read_answer(status, body, 5.0), Failed)

    @pytest.mark.parametrize("usage", [None, {}, {"total_tokens": -1}, {"total_tokens": True}, {"total_tokens": "9"}])
    def test_tokens_nobody_counted_are_unknown(self, usage: Any) -> None:
        body = json.loads(completion()) | {"usage": usage}
        found = read_answer(200, json.dumps(body).encode(), 5.0)
        assert isinstance(found, Answered)
        assert found.tokens is None


class TestSettings:
    def test_probes_are_off_by_default(self) -> None:
        assert not Settings().probe.enabled

    def test_probes_without_a_server_do_not_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUSTODES_PROBE__ENABLED", "true")
        with pytest.raises(ConfigurationError, match="CUSTODES_PROBE__URL"):
            load_settings()

    def test_a_key_is_read_from_its_file_and_sent(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text("sk-abc\n")
        client = make_client(ProbeSettings(enabled=True, url="https://m.example/v1", model="m", api_key_file=path))
        assert client._api_key == "sk-abc"

    @pytest.mark.parametrize("content", [b"", b"two\nlines", b"\xff"])
    def test_a_file_without_a_key_stops_the_start(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "key"
        path.write_bytes(content)
        settings = ProbeSettings(enabled=True, url="https://m.example/v1", model="m", api_key_file=path)
        with pytest.raises(ConfigurationError, match="CUSTODES_PROBE__API_KEY_FILE"):
            make_client(settings)
