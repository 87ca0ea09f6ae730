"""What the doctor says about those who send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from collector.arrivals import prepare_request
from collector.auth import create_project
from collector.content import Contents
from collector.dialects.normalise import normalise
from collector.otlp.spans import RawSpan, Rejection
from collector.remedies import REFUSAL_REMEDIES, REJECTION_REMEDIES, TEXT_REMEDIES
from collector.rest.queries import coverage
from collector.store import store_requests
from custodes.db import Database
from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from custodes.kernel.ids import RowIds
from custodes.kernel.metrics import Metrics
from custodes.runtime.exporters import examine_exporters, examine_refusals
from custodes.runtime.finding import Finding

NOW_NS = 1_795_300_000 * SECOND_NS
Send = Callable[..., None]


@pytest.fixture
def send(database: Database, contents: Contents) -> Send:
    """Store one chat of a service; any attribute, the time and a project can be given."""
    rows = RowIds()
    numbers = iter(range(1, 1000))

    def run(
        service: str = "bot",
        *,
        project: str = "default",
        age_ns: int = MINUTE_NS,
        text: bool = False,
        rejected: dict[str, int] | None = None,
        **attributes: Any,
    ) -> None:
        number = next(numbers)
        texts = {"gen_ai.input.messages": "hello", "gen_ai.output.messages": "hi"} if text else {}
        raw = RawSpan(
            resource={"service.name": service},
            scope="test",
            trace_id=f"{number:032x}",
            span_id=f"{number:016x}",
            parent_span_id=None,
            name="chat",
            kind=3,
            start_ns=NOW_NS - age_ns - SECOND_NS,
            end_ns=NOW_NS - age_ns,
            complete=True,
            status=0,
            status_message="",
            attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", **texts, **attributes},
            events=[],
            dropped_attributes=0,
        )
        refused = Counter({Rejection(service, reason): n for reason, n in (rejected or {}).items()})
        request = prepare_request(project, [normalise(raw)], refused, NOW_NS, contents)
        with database.write() as tx:
            store_requests(tx, [request], rows, contents)

    return run


def examine(database: Database, now_ns: int = NOW_NS) -> list[Finding]:
    return list(examine_exporters(database, now_ns))


class TestExporters:
    def test_silence_is_a_warning_with_the_address_to_set(self, database: Database) -> None:
        (found,) = examine(database)
        assert (found.level, found.subject) == ("warning", "exporters")
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" in found.advice

    def test_each_service_has_one_line_and_its_remedies_below(self, database: Database, send: Send) -> None:
        send("bot")
        send("search", text=True)
        bot, search = examine(database)
        assert bot.subject == "exporter of bot"
        assert "0% of 1 exchanges carry text, as otel_genai" in bot.text
        assert bot.advice.splitlines()[0] == TEXT_REMEDIES["otel_genai"]
        assert "100% of 1 exchanges" in search.text
        assert TEXT_REMEDIES["otel_genai"] not in search.advice

    def test_every_project_is_looked_at_and_named_when_there_are_several(self, database: Database, send: Send) -> None:
        with database.write() as tx:
            create_project(tx, "shop", actor="t", actor_role="", now_ns=NOW_NS)
        send("bot")
        send("till", project="shop")
        assert [one.subject for one in examine(database)] == [
            "exporter of bot in project default",
            "exporter of till in project shop",
        ]

    def test_refused_spans_of_the_last_hour_are_named_with_the_fix(self, database: Database, send: Send) -> None:
        send("bot", rejected={"too_deep": 3})
        refused = examine(database)[-1]
        assert "3 spans were refused in the last hour: too_deep" in refused.text
        assert refused.advice == REJECTION_REMEDIES["too_deep"]
        assert not any("refused" in one.text for one in examine(database, NOW_NS + 2 * HOUR_NS))

    def test_a_clock_far_ahead_is_seen(self, database: Database, send: Send) -> None:
        send("bot", age_ns=-2 * HOUR_NS)
        (found,) = examine(database)
        assert "clock 7200.0 s ahead" in found.text
        assert "NTP" in found.advice

    def test_exchanges_that_are_dated_days_back_are_noticed_by_their_arrival(
        self, database: Database, send: Send
    ) -> None:
        send("bot", age_ns=3 * DAY_NS)
        (found,) = examine(database)
        assert (found.level, found.subject) == ("warning", "exporter of bot")
        assert "1 exchanges arrived in the last hour that are dated more than a day ago" in found.text

    def test_a_quiet_service_is_seen_beside_a_busy_one(
        self, database: Database, send: Send, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(coverage, "MAX_SERVICE_TRACES", 3)
        send("quiet", age_ns=30 * MINUTE_NS)
        for _ in range(5):
            send("busy")
        busy, quiet = examine(database)
        assert "of 3 exchanges carry text, in the newest 3 traces" in busy.text
        assert "of 1 exchanges carry text" in quiet.text
        assert "newest" not in quiet.text

    def test_a_service_that_coverage_leaves_out_is_not_accused(
        self, database: Database, send: Send, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(coverage, "MAX_SERVICES", 1)
        send("a")
        send("b")
        send("c", age_ns=3 * DAY_NS)
        assert [one.subject for one in examine(database) if "dated" in one.text] == ["exporter of c"]
        assert not any("exporter of b" in one.subject for one in examine(database))


class TestRefusals:
    def counted(self, *counts: tuple[str, str, int]) -> str:
        metrics = Metrics()
        for signal, code, number in counts:
            metrics.requests.labels(signal, code).inc(number)
        return metrics.render().decode()

    def test_each_status_is_named_with_the_fix(self) -> None:
        text = self.counted(("traces", "200", 9), ("traces", "401", 4), ("logs", "413", 1))
        wrong_key, too_large = examine_refusals(text)
        assert (wrong_key.subject, wrong_key.advice) == ("refused traces", REFUSAL_REMEDIES["401"])
        assert wrong_key.text.startswith("4 requests were answered 401")
        assert too_large.advice == REFUSAL_REMEDIES["413"]

    def test_grpc_statuses_have_the_same_remedies(self) -> None:
        text = self.counted(("traces", "OK", 5), ("traces", "UNAUTHENTICATED", 2), ("traces", "DATA_LOSS", 1))
        unknown, wrong_key = examine_refusals(text)
        assert wrong_key.advice == REFUSAL_REMEDIES["401"]
        assert unknown.advice == "see the server's log"

    def test_a_server_that_refused_nothing_gets_no_finding(self) -> None:
        assert list(examine_refusals(self.counted(("traces", "200", 3)))) == []
        assert list(examine_refusals("")) == []
