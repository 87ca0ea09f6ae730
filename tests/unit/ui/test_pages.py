"""Every page in Streamlit's AppTest, before a server that is well, empty, failing, strict, or quotes hostile text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

Console = Callable[..., AppTest]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
INCIDENT = "01934f2a-7c1e-7b1a-9a55-3f6f1f0c2b10"
GAP = {"segment": "7", "family": "caller:group", "group": "group:de", "outcome": "refused"}
# page, its parameters, the path it cannot do without, its headline
PAGES = [
    ("", {}, "/api/v1/overview", "Overview"),
    ("traces", {}, "/api/v1/traces", "Traces"),
    ("trace", {"id": TRACE}, "/api/v1/traces/", "POST /answer"),
    ("incidents", {}, "/api/v1/incidents", "Incidents"),
    ("incident", {"id": INCIDENT}, "/api/v1/incidents/", "Toxicity above its limit on support\\-bot\\-v7"),
    ("fairness", {}, "/api/v1/fairness", "Fairness"),
    ("fairness", GAP, "/api/v1/fairness", "Refused\\: de and everybody else"),
    ("drift", {}, "/api/v1/drift", "Drift"),
    ("drift", {"monitor": "1"}, "/api/v1/drift", "Drift\\: responses of support\\-bot support\\-bot\\-v8"),
    ("reviews", {}, "/api/v1/reviews", "Reviews"),
    ("policies", {}, "/api/v1/policies", "Policies"),
    ("policy", {"id": "toxicity-spike"}, "/api/v1/policies/", "toxicity\\-spike"),
    ("approvals", {}, "/api/v1/approvals", "Approvals"),
    ("silences", {}, "/api/v1/silences", "Silences"),
    ("actions", {}, "/api/v1/actions", "Actions"),
    ("action", {"id": "a-1"}, "/api/v1/actions/a-1", "Rollback of support\\-bot@\u2060champion from 7 to 6"),
    ("endpoints", {}, "/api/v1/endpoints", "Endpoints"),
    ("audit", {}, "/api/v1/audit/status", "Audit log"),
    ("audit", {"seq": "18230"}, "/api/v1/audit/", "Audit log"),
]
EVERY_PAGE = pytest.mark.parametrize(("page", "params", "path", "headline"), PAGES)
# These show captured text or data as it is: as plain text, on a canvas, or in a chart.
LIVE_MARKDOWN = re.compile(r"(?<!\\)(!\[|\]\(|<img|<script|:rocket:|\*\*bold|`code)")
PLAIN = {"code", "text", "dataframe", "vega_lite_chart", "table", "selectbox"}


def words(app: AppTest) -> str:
    """Return everything the page says in Markdown, headings, messages, figures and code."""
    kinds = [app.title, app.header, app.subheader, app.caption, app.markdown, app.info, app.success, app.warning]
    kinds += [app.error, app.code, app.metric]
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def markdown_nodes(app: AppTest) -> Iterator[str]:
    """Yield, as protobuf text, every element whose strings Streamlit renders as Markdown."""
    for root in (app.main, app.sidebar):
        for node in root:
            if node.type not in PLAIN and getattr(node, "proto", None) is not None:
                yield str(node.proto)


def table_cells(app: AppTest) -> Iterator[str]:
    for table in app.table:
        for column in table.value.columns:
            yield from (str(cell) for cell in table.value[column])


class TestEveryPage:
    @EVERY_PAGE
    def test_it_shows_its_headline_and_no_failure(
        self, open_console: Console, page: str, params: dict[str, str], path: str, headline: str
    ) -> None:
        app = open_console(page, **params)
        assert not app.exception
        assert not app.error
        assert headline in [title.value for title in app.title]

    @EVERY_PAGE
    def test_it_never_shows_a_missing_number_as_nan(
        self, open_console: Console, page: str, params: dict[str, str], path: str, headline: str
    ) -> None:
        app = open_console(page, **params)
        cells = [str(cell) for frame in app.dataframe for cell in frame.value.to_numpy().ravel()]
        for shown in [words(app), *table_cells(app), *cells]:
            assert "nan" not in shown.lower().split()
            assert "None" not in shown.split()

    @EVERY_PAGE
    @pytest.mark.parametrize("status", [400, 403, 500, 503])
    def test_it_says_what_is_wrong_when_the_server_refuses(
        self,
        open_console: Console,
        fake_module: Any,
        page: str,
        params: dict[str, str],
        path: str,
        headline: str,
        status: int,
    ) -> None:
        app = open_console(page, fake_module.FakeApi(fail={path: status}), **params)
        assert not app.exception
        assert len(app.error) == 1
        # Where trying again cannot help, it is not offered.
        offered = [] if status == 400 else ["Try again"]
        assert [button.label for button in app.button if button.key == "try_again"] == offered
        titles = {
            400: "The server cannot use this address or filter",
            403: "Your role does not allow this",
            500: "The server could not answer",
        }
        assert app.error[0].proto.title == titles.get(status, "Monitoring server unreachable")

    @EVERY_PAGE
    def test_it_asks_for_a_key_when_the_server_wants_one(
        self, open_console: Console, fake_module: Any, page: str, params: dict[str, str], path: str, headline: str
    ) -> None:
        app = open_console(page, fake_module.FakeApi(dev=False), **params)
        assert not app.exception
        assert [title.value for title in app.title] == ["Sign in"]

    @EVERY_PAGE
    def test_it_keeps_hostile_names_and_text_inert(
        self,
        open_console: Console,
        fake_module: Any,
        answers: Any,
        page: str,
        params: dict[str, str],
        path: str,
        headline: str,
    ) -> None:
        app = open_console(page, fake_module.FakeApi(text=answers.HOSTILE, name=answers.HOSTILE), **params)
        assert not app.exception
        for shown in [*markdown_nodes(app), *table_cells(app)]:
            assert not LIVE_MARKDOWN.search(shown)
            assert "https://" not in shown
            assert "\u202e" not in shown

    @EVERY_PAGE
    def test_it_says_so_when_a_page_has_nothing_to_show(
        self, open_console: Console, fake_module: Any, page: str, params: dict[str, str], path: str, headline: str
    ) -> None:
        app = open_console(page, fake_module.FakeApi(empty=True), **params)
        assert not app.exception
        assert not app.error
        assert len(words(app)) > 40


class TestSignIn:
    @pytest.mark.parametrize("dev", [True, False])
    def test_it_names_the_key_an_exporter_needs_where_one_is_needed(
        self, open_console: Console, fake_module: Any, dev: bool
    ) -> None:
        app = open_console("", fake_module.FakeApi(empty=True, dev=dev))
        if not dev:
            app.text_input(key="sign_in_key").input("secret-key")
            app.button[0].click().run()
        shown = "\n".join(block.value for block in app.code)
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" in shown
        assert ("x-api-key" in shown) is not dev

    def test_it_lets_in_with_a_key_and_opens_the_page_that_was_linked(
        self, open_console: Console, fake_module: Any
    ) -> None:
        app = open_console("incident", fake_module.FakeApi(dev=False, role="viewer"), id=INCIDENT)
        app.text_input(key="sign_in_key").input("secret-key")
        app.button[0].click().run()
        assert [title.value for title in app.title] == ["Toxicity above its limit on support\\-bot\\-v7"]
        assert "Development mode" not in words(app)

    def test_it_refuses_a_wrong_key_and_keeps_nothing_of_it(self, open_console: Console, fake_module: Any) -> None:
        app = open_console("", fake_module.FakeApi(dev=False))
        app.text_input(key="sign_in_key").input("wrong")
        app.button[0].click().run()
        assert "does not accept this key" in app.error[0].value
        assert [title.value for title in app.title] == ["Sign in"]

    def test_it_asks_for_a_key_when_none_was_typed(self, open_console: Console, fake_module: Any) -> None:
        app = open_console("", fake_module.FakeApi(dev=False))
        app.button[0].click().run()
        assert "Enter an API key" in app.error[0].value

    def test_it_says_that_the_session_ended_when_the_key_is_revoked(
        self, open_console: Console, fake_module: Any
    ) -> None:
        api = fake_module.FakeApi(dev=False)
        app = open_console("", api)
        app.text_input(key="sign_in_key").input("secret-key")
        app.button[0].click().run()
        assert app.title[0].value == "Overview"
        api.key = "another"
        app.run()
        assert app.title[0].value == "Sign in"
        assert "session has ended" in app.warning[0].value

    def test_it_signs_out(self, open_console: Console, fake_module: Any) -> None:
        app = open_console("", fake_module.FakeApi(dev=False))
        app.text_input(key="sign_in_key").input("secret-key")
        app.button[0].click().run()
        app.button(key="sign_out").click().run()
        assert app.title[0].value == "Sign in"

    def test_it_goes_straight_in_on_a_development_server(self, open_console: Console) -> None:
        app = open_console()
        assert "Development mode" in "".join(markdown_nodes(app))
        assert not [button for button in app.button if button.key == "sign_out"]


class TestOverview:
    def test_it_shows_services_worst_first_with_their_four_figures(self, open_console: Console) -> None:
        app = open_console()
        assert [metric.value for metric in app.metric[:4]] == ["0.91", "0.31", "1,980", "0.4%"]
        assert [heading.value for heading in app.subheader[:3]] == [
            "support\\-bot", "search\\-answers", "internal\\-copilot",
        ]  # fmt: skip

    def test_it_says_not_assessed_where_nothing_was(self, open_console: Console) -> None:
        assert open_console().metric[9].value == "not assessed"

    def test_it_says_why_exchanges_were_not_assessed(self, open_console: Console) -> None:
        assert "no response text was captured\\: 118" in words(open_console())

    def test_it_shows_how_fresh_it_is_by_the_clock_of_the_server(self, open_console: Console) -> None:
        assert "Updated 10\\:00\\:00 UTC" in words(open_console())

    def test_it_explains_how_to_connect_while_nothing_was_ever_received(
        self, open_console: Console, fake_module: Any
    ) -> None:
        app = open_console("", fake_module.FakeApi(empty=True))
        assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318" in app.code[0].value

    def test_it_asks_for_the_range_in_the_address(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        open_console("", api, range="7d")
        assert ("GET", "/api/v1/overview", {"from": "now-7d", "to": "now"}) in api.requests

    def test_it_ignores_a_range_it_does_not_know(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("", api, range="evil")
        assert not app.exception
        assert ("GET", "/api/v1/overview", {"from": "now-6h", "to": "now"}) in api.requests


class TestTraces:
    def test_it_shows_scores_as_numbers_or_as_the_word_for_their_state(self, open_console: Console) -> None:
        frame = open_console("traces").dataframe[0].value
        assert len(frame) == 50
        assert frame["Toxicity"].iloc[0] == "0.93"
        assert frame["Toxicity"].iloc[5] == "not assessed"

    def test_it_passes_the_filters_of_the_address_to_the_server(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        open_console("traces", api, service="bot", metric="Toxicity", min="0.8", state="Not assessed", range="1h")
        asked = [params for _, path, params in api.requests if path == "/api/v1/traces"]
        assert asked == [
            {
                "from": "now-1h", "to": "now", "service": "bot", "metric": "toxicity", "min": "0.8",
                "state": "not_assessed", "limit": "50",
            }
        ]  # fmt: skip

    def test_it_sends_no_bound_without_a_metric(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("traces", api, min="0.8")
        assert app.number_input(key="min").disabled
        assert "min" not in api.requests[-1][2]

    def test_it_walks_older_and_newer(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("traces", api)
        assert app.button(key="traces_newer").disabled
        app.button(key="traces_older").click().run()
        assert api.requests[-1][2]["cursor"] == "50"
        assert "Traces 51 to 100" in words(app)
        app.button(key="traces_newer").click().run()
        assert "cursor" not in api.requests[-1][2]

    def test_it_starts_at_the_first_page_again_when_a_filter_changes(
        self, open_console: Console, fake_module: Any
    ) -> None:
        api = fake_module.FakeApi()
        app = open_console("traces", api)
        app.button(key="traces_older").click().run()
        app.text_input(key="service").input("bot").run()
        assert "cursor" not in api.requests[-1][2]

    def test_it_says_when_nothing_matches(self, open_console: Console) -> None:
        app = open_console("traces", q="nothing")
        assert "No trace matches" in words(app)
        assert not app.dataframe


class TestTrace:
    def test_it_shows_verdicts_with_the_detector_that_made_them(self, open_console: Console) -> None:
        app = open_console("trace", id=TRACE)
        assert [metric.value for metric in app.metric] == ["0.93", "0.62", "0.02", "not assessed"]
        assert "toxicity/builtin 1\\.0\\.0" in words(app)

    def test_it_says_why_something_was_not_assessed(self, open_console: Console) -> None:
        assert "Because the detector failed on this text" in words(open_console("trace", id=TRACE))

    def test_it_marks_unsupported_passages_and_lists_their_offsets(self, open_console: Console) -> None:
        app = open_console("trace", id=TRACE)
        assert "and ⟦1 arrives tomorrow by 9 am⟧. If" in words(app)
        evidence = next(table.value for table in app.table if "Passage" in table.value.columns)
        assert list(evidence["From"]) == ["47", "96"]

    def test_it_shows_hidden_characters_and_counts_them(
        self, open_console: Console, fake_module: Any, answers: Any
    ) -> None:
        app = open_console("trace", fake_module.FakeApi(text=answers.HOSTILE), id=TRACE)
        assert "<U+202E>gnp.exe<U+202C>" in words(app)
        assert any("contains 4 hidden characters" in node for node in markdown_nodes(app))

    def test_it_hides_text_until_a_reason_was_given(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi(text_visible=False)
        app = open_console("trace", api, id=TRACE)
        assert "Where is my order" not in words(app)
        assert app.info[0].proto.title == "Text hidden"
        app.text_input[0].input("short")
        app.button[0].click().run()
        assert "at least 10 characters" in app.error[0].value
        assert not [path for _, path, _ in api.requests if path.endswith("/reveal")]

    def test_it_reveals_text_for_a_reason_and_names_the_audit_entry(
        self, open_console: Console, fake_module: Any
    ) -> None:
        app = open_console("trace", fake_module.FakeApi(text_visible=False), id=TRACE)
        app.text_input[0].input("looking into the open incident")
        app.button[0].click().run()
        assert "Where is my order 4471?" in words(app)
        assert [metric.value for metric in app.metric][:2] == ["0.93", "0.62"]

    def test_it_says_that_a_trace_is_not_there(self, open_console: Console) -> None:
        app = open_console("trace", id="0" * 32)
        assert app.error[0].proto.title == "Not found"
        assert "err\\-7f3a" in words(app)

    def test_it_asks_for_a_trace_when_none_is_named(self, open_console: Console) -> None:
        assert "No trace chosen" in words(open_console("trace"))

    def test_it_shows_the_messages_of_the_chosen_span_as_plain_text(self, open_console: Console) -> None:
        assert "You answer questions about orders." in [block.value for block in open_console("trace", id=TRACE).code]


class TestIncidents:
    def test_it_lists_them_in_words(self, open_console: Console) -> None:
        frame = open_console("incidents").dataframe[0].value
        assert list(frame["Severity"]) == ["◆◆◇ High", "◆◇◇ Medium"]
        assert list(frame["Lasted"]) == ["8 min", "1 h"]
        assert list(frame["Resolved (UTC)"]) == ["still open", "2026-11-21 07:00:00"]

    def test_it_asks_only_for_open_ones_when_told_to(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        frame = open_console("incidents", api, show="Open").dataframe[0].value
        assert list(frame["State"]) == ["Open"]
        assert api.requests[-1][2]["state"] == "open"

    def test_it_says_that_monitoring_is_on_when_there_is_none(self, open_console: Console, fake_module: Any) -> None:
        app = open_console("incidents", fake_module.FakeApi(empty=True))
        assert "No incident in the last 7 days" in words(app)


class TestIncident:
    def test_it_tells_the_story_from_recorded_facts(self, open_console: Console) -> None:
        story = open_console("incident", id=INCIDENT).info[0].value.replace("\\", "")
        assert "Policy toxicity-spike (version 5e1f5e1f5e1f) opened this incident at 2026-11-21 09:52:00 UTC" in story
        assert "n was 212, tox_p95 was 0.91. It is still open. 1 of 1 webhook message delivered." in story

    def test_it_shows_decisions_attempts_traces_policy_and_audit_entries(self, open_console: Console) -> None:
        app = open_console("incident", id=INCIDENT)
        columns = [set(table.value.columns) for table in app.table]
        assert any({"From", "To", "tox\\_p95"} <= names for names in columns)
        assert any({"Outcome", "Status"} <= names for names in columns)
        assert len(app.dataframe[0].value) == 3
        assert "kind: Policy" in words(app)
        assert any("18,230" in node for node in markdown_nodes(app))

    def test_it_says_that_an_incident_is_not_there(self, open_console: Console) -> None:
        assert open_console("incident", id="nope").error[0].proto.title == "Not found"


class TestAudit:
    def test_it_shows_the_newest_entries_first(self, open_console: Console) -> None:
        frame = open_console("audit").dataframe[0].value
        assert list(frame["No."])[:2] == ["18,234", "18,233"]

    @pytest.mark.parametrize(("verdict", "title"), [("intact", "The log is intact"), ("tampered", "tampered with")])
    def test_it_verifies_the_log_and_says_how_to_check_that_offline(
        self, open_console: Console, fake_module: Any, verdict: str, title: str
    ) -> None:
        app = open_console("audit", fake_module.FakeApi(verdict=verdict))
        app.button(key="verify").click().run()
        said = app.success if verdict == "intact" else app.error
        assert title in said[0].proto.title
        assert "custodes audit export --out evidence" in words(app)

    def test_it_shows_one_entry_with_its_proof(self, open_console: Console) -> None:
        app = open_console("audit", seq="18230")
        assert "Entry 18,230" in words(app)
        assert f"node  {'ab' * 32}" in words(app)

    @pytest.mark.parametrize("seq", ["-1", "x", "9" * 30, "²"])
    def test_it_refuses_a_number_that_is_none(self, open_console: Console, seq: str) -> None:
        app = open_console("audit", seq=seq)
        assert not app.exception
        assert "No such entry" in words(app)

    def test_it_says_that_an_entry_is_not_there(self, open_console: Console) -> None:
        assert "No such entry" in words(open_console("audit", seq="99999999"))


class TestFairness:
    def test_every_state_is_a_word_and_counted(self, open_console: Console) -> None:
        app = open_console("fairness")
        assert [metric.label for metric in app.metric] == [
            "Gap", "Withheld", "Watching", "Within tolerance", "Too few data",
        ]  # fmt: skip
        assert {metric.value for metric in app.metric} == {"1"}
        (table,) = app.dataframe
        assert list(table.value["State"])[:2] == ["Gap", "Withheld"]
        assert list(table.value["Gap (points)"]) == ["+12.0"] * 4 + ["no data"]
        assert next(iter(table.value["Interval (points)"])) == "+8.1 to +16.2"

    def test_it_says_what_is_promised(self, open_console: Console) -> None:
        assert "at most 1%, however often" in words(open_console("fairness"))

    def test_a_filter_leaves_what_it_names(self, open_console: Console) -> None:
        app = open_console("fairness")
        app.selectbox(key="pick_state").set_value("Withheld").run()
        (table,) = app.dataframe
        assert list(table.value["State"]) == ["Withheld"]

    def test_without_groups_it_says_where_they_come_from(self, open_console: Console, fake_module: Any) -> None:
        shown = words(open_console("fairness", fake_module.FakeApi(empty=True)))
        assert "Groups come from the attribute" in shown

    def test_one_gap_shows_strata_course_and_incident(self, open_console: Console) -> None:
        app = open_console("fairness", segment="7", family="caller:group", group="group:de", outcome="refused")
        strata, facts = (table.value for table in app.table)
        assert list(strata["Language"]) == ["en", "und"]
        assert list(strata["Gap \\(points\\)"]) == ["\\+12\\.0", "no data"]
        assert "Evidence" in str(facts.to_numpy())
        assert "beyond the tolerance of 2 points" in words(app).replace("\\", "")
        assert any("9 readings" in caption.value for caption in app.caption)

    def test_a_withheld_claim_says_why(self, open_console: Console) -> None:
        app = open_console("fairness", segment="7", family="caller:group", group="group:support-bot", outcome="toxic")
        assert "The claim is withheld" in words(app)
        assert "20.0 points" in words(app).replace("\\", "")

    def test_a_gap_that_is_gone_shows_the_list(self, open_console: Console) -> None:
        app = open_console("fairness", segment="9", family="x", group="y", outcome="z")
        assert "Fairness" in [title.value for title in app.title]
