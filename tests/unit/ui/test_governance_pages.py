"""What people decide in the console: each click reaches the server once, with the revision that was shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamlit.testing.v1 import AppTest

Console = Callable[..., AppTest]
INCIDENT = "01934f2a-7c1e-7b1a-9a55-3f6f1f0c2b10"
SHADOW = "sha256:7a" + "0" * 62


def words(app: AppTest) -> str:
    kinds = [app.title, app.header, app.subheader, app.caption, app.info, app.success, app.warning, app.error]
    return "\n".join(str(element.value) for kind in kinds for element in kind).replace("\\", "")


def press(app: AppTest, label: str) -> AppTest:
    (button,) = [one for one in app.button if one.label == label]
    return button.click().run()


class TestPolicies:
    def test_they_say_where_their_groups_stand(self, open_console: Console) -> None:
        frame = open_console("policies").dataframe[0].value
        assert list(frame["Now"]) == ["1 outside limits, 1 within limits"]
        assert list(frame["In review"]) == ["1"]

    def test_ten_thousand_are_walked_by_page_and_found_by_name(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        api.governance.many = True
        app = open_console("policies", api)
        assert len(app.dataframe[0].value) == 50
        assert "1 of 10,000 policies active, 1 version in review." in words(app)
        press(app, "Next")
        app.text_input(key="policies_q").input(" spike ").run()
        asked = [params for method, path, params in api.requests if path == "/api/v1/policies"]
        assert asked == [{}, {"cursor": "more"}, {"q": "spike"}]


class TestPolicy:
    def test_it_shows_what_a_reviewer_needs(self, open_console: Console) -> None:
        app = open_console("policy", id="toxicity-spike", version=SHADOW)
        said = words(app)
        assert "Before it can become active: it needs the approval of somebody else." in said
        assert "It equals what live evaluation recorded." in said
        assert "The active version fires 2 times: 1 in common, 0 only here, 1 only there." in said
        assert [metric.value for metric in app.metric] == ["1", "1 h", "100%", "50%"]
        fields = next(table.value for table in app.table if "Field" in table.value.columns)
        assert list(fields["Change"]) == ["changed", "added"]
        assert "kind: Policy" in app.code[0].value

    def test_it_approves_the_version_that_is_shown(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("policy", api, id="toxicity-spike", version=SHADOW)
        app.text_input(key="text_approve").input("agreed")
        press(app, "Approve")
        assert "Your approval counts." in words(app)
        (path, body) = api.bodies[0]
        assert path.endswith(f"/policies/toxicity-spike/versions/{SHADOW}/approve")
        assert body == {"comment": "agreed"}

    def test_it_asks_for_a_reason_to_reject_or_break_the_glass(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("policy", api, id="toxicity-spike", version=SHADOW)
        press(app, "Break glass")
        assert "Write at least 10 characters" in words(app)
        assert api.bodies == []
        app.text_input(key="text_break_glass").input("it insults everybody now")
        press(app, "Break glass")
        assert api.bodies[0][0].endswith("/break-glass")

    def test_it_proves_that_the_active_version_ran_and_shows_gaps(self, open_console: Console) -> None:
        app = open_console("policy", id="toxicity-spike")
        assert "3 minutes of these hours were not evaluated." in words(app)
        hours = next(table.value for table in app.table if "Minutes" in table.value.columns)
        assert list(hours["Minutes"]) == ["60 of 60", "57 of 60", "60 of 60", "22 of 60"]

    def test_it_says_what_the_server_refused(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("policy", api, id="toxicity-spike", version=SHADOW)
        api.fail = {"/api/v1/policies/toxicity-spike/versions/" + SHADOW + "/approve": 409}
        press(app, "Approve")
        assert len(app.error) == 1
        assert not app.exception


class TestApprovals:
    def test_they_offer_what_others_asked_for_and_not_ones_own(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("approvals", api)
        assert [button.label for button in app.button if button.label == "Approve"] == ["Approve"]
        assert "You asked for this" in words(app)
        press(app, "Approve")
        assert api.bodies[0][0].endswith(f"/versions/{SHADOW}/approve")


class TestSilences:
    def test_they_are_made_with_a_matcher_a_reason_and_an_end(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("silences", api)
        press(app, "Silence")
        assert "Fill in at least one of the fields" in words(app)
        app.text_input(key="m_service").input("support-bot")
        app.text_input(key="silence_reason").input("load test until noon")
        press(app, "Silence")
        (_, body) = api.bodies[0]
        assert body["matchers"] == {"service": "support-bot"}
        assert body["ends_at"] == "2026-11-21T14:00:00Z"

    def test_they_are_approved_and_ended(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("silences", api)
        assert "High and critical incidents stay loud" in words(app)
        press(app, "Approve")
        press(app, "End it now")
        assert [path for path, _ in api.bodies] == ["/api/v1/silences/s-1/approve", "/api/v1/silences/s-1"]


class TestHandling:
    def test_an_incident_is_taken_over_with_the_revision_that_was_shown(
        self, open_console: Console, fake_module: Any
    ) -> None:
        api = fake_module.FakeApi()
        app = open_console("incident", api, id=INCIDENT)
        assert "Nobody has taken it over." in words(app)
        press(app, "Acknowledge")
        assert api.bodies[0][0] == f"/api/v1/incidents/{INCIDENT}/acknowledge"
        assert "It is with you now." in words(app)

    def test_it_is_judged(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("incident", api, id=INCIDENT)
        (choice,) = [one for one in app.segmented_control if one.label.startswith("Was the alarm right")]
        choice.set_value("False alarm").run()
        assert api.bodies[0] == (f"/api/v1/incidents/{INCIDENT}", {"label": "false_alarm"})

    def test_it_is_muted_noted_and_put_on_the_clock(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("incident", api, id=INCIDENT)
        app.text_input(key="text_mute").input("known since noon")
        press(app, "Mute")
        app.text_input(key="text_note").input("Called the vendor.")
        press(app, "Add")
        app.text_input(key="text_clock").input("gdpr-breach")
        press(app, "Start its clock now")
        sent = [(path.rpartition("/")[2], body) for path, body in api.bodies]
        assert sent == [
            ("mute", {"duration": "4h", "reason": "known since noon"}),
            ("notes", {"text": "Called the vendor."}),
            ("clocks", {"name": "gdpr-breach", "aware_at": None}),
        ]


class TestActions:
    def test_they_say_what_was_asked_for_and_how_it_stands(self, open_console: Console) -> None:
        frame = open_console("actions").dataframe[0].value
        assert list(frame["State"]) == ["Waits for approval"]
        assert list(frame["What"]) == ["Rollback of support-bot@champion from 7 to 6"]

    def test_they_are_stopped_with_a_reason(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("actions", api)
        press(app, "Stop all actions")
        assert "Write at least 3 characters" in words(app)
        app.text_input(key="text_switch").input("drill")
        press(app, "Stop all actions")
        assert api.bodies == [("/api/v1/actions/switch", {"stopped": True, "reason": "drill"})]


class TestAction:
    def test_it_shows_the_chain_from_the_scores_to_the_verdict(self, open_console: Console) -> None:
        app = open_console("action", id="a-1")
        said = words(app)
        assert "when n was 212, tox_p95 was 0.91: when holds for 5m" in said
        facts = {row[0]: row[1] for table in app.table for row in table.value.itertuples(index=False) if len(row) == 2}
        plain = {name.replace("\\", ""): value.replace("\\", "") for name, value in facts.items()}
        assert plain["tox_p95 lies between"] == "0.02 and 0.31"
        assert plain["p95_ms lies between"] == "12 and no bound"
        assert plain["Values so far"] == "210 of at least 50"

    def test_it_is_approved_with_the_revision_that_was_shown(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("action", api, id="a-1")
        app.text_input(key="text_approve").input("agreed")
        press(app, "Approve")
        assert api.bodies == [("/api/v1/actions/a-1/approve", {"comment": "agreed"})]
        assert "It begins now." in words(app)

    def test_it_is_refused_with_a_reason(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("action", api, id="a-1")
        app.text_input(key="text_refuse").input("a false alarm")
        press(app, "Refuse")
        assert api.bodies == [("/api/v1/actions/a-1/refuse", {"reason": "a false alarm"})]


class TestEndpoints:
    def test_they_say_who_rests_and_what_was_given_up(self, open_console: Console) -> None:
        said = words(open_console("endpoints"))
        assert "Resting after 6 failures in a row; tried again in 2 min" in said
        assert "3 messages waiting, 2 given up." in said
        assert "Disabled: the receiver answered 410 Gone." in said
        assert "Two signing keys until" in said

    def test_a_test_says_what_came_of_it(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("endpoints", api)
        app.button(key="test_0").click().run()
        assert api.bodies == [("/api/v1/endpoints/oncall/test", None)]
        assert "The receiver accepted the test in 31 ms" in words(app)

    def test_dead_letters_are_sent_again(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("endpoints", api)
        rows = next(table.value for table in app.table if "Message" in table.value.columns)
        assert list(rows["Tried"]) == ["10 times", "10 times"]
        app.button(key="replay_0").click().run()
        assert api.bodies == [("/api/v1/endpoints/oncall/replay", {})]
        assert "What was given up is sent again." in words(app)

    def test_dead_letters_are_discarded(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("endpoints", api)
        app.button(key="discard_0").click().run()
        assert api.bodies == [("/api/v1/endpoints/oncall/discard", {})]
        assert "What was given up is removed for good." in words(app)

    def test_a_new_signing_key_is_shown_once(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("endpoints", api)
        app.button(key="rotate_0").click().run()
        assert api.bodies == [("/api/v1/endpoints/oncall/rotate", {"overlap": "24h"})]
        assert "The endpoint has a new signing key." in words(app)
        assert "whsec_rotated" in [one.value for one in [*app.code, *app.text]]
        app.run()
        assert "whsec_rotated" not in [one.value for one in [*app.code, *app.text]]

    def test_an_auditor_reads_and_sends_nothing(self, open_console: Console, fake_module: Any) -> None:
        app = open_console("endpoints", fake_module.FakeApi(role="auditor"))
        assert not {"Send a test", "Send them again", "Discard them", "Make a new key"} & {
            one.label for one in app.button
        }

    def test_a_new_one_shows_its_secret_once(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("endpoints", api)
        app.text_input(key="name_webhook").input("made")
        app.text_input(key="url_webhook").input("https://a.example")
        press(app, "Add")
        (path, body) = api.bodies[0]
        assert path == "/api/v1/endpoints"
        assert (body["id"], body["url"], body["kind"], body["secrets"]) == ("made", "https://a.example", "webhook", {})
        assert "whsec_shown_once" in [one.value for one in [*app.code, *app.text]]
        app.run()
        assert "whsec_shown_once" not in [one.value for one in [*app.code, *app.text]]

    def test_options_and_secrets_of_a_kind_are_told_apart(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("endpoints", api)
        app.selectbox(key="endpoint_kind").select("pager").run()
        app.text_input(key="name_pager").input("made")
        app.text_input(key="pager_routing_key").input("hush")
        app.text_input(key="pager_hold").input("1h")
        press(app, "Add")
        body = api.bodies[0][1]
        assert (body["options"], body["secrets"]) == ({"hold": "1h"}, {"routing_key": "hush"})
        assert "url" not in body


class TestReviews:
    def test_they_show_what_nobody_has_judged_and_what_was(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("reviews", api)
        assert "without a review, newest first" in words(app)
        assert "Alarms nobody has judged" in words(app)
        judged = next(table.value for table in app.table if "Judged" in table.value.columns)
        assert (list(judged["Judged"]), list(judged["Better answer"])) == (["bad"], ["yes"])
        asked = {path: params for _, path, params in api.requests}
        assert asked["/api/v1/traces"]["min"] == "0.8"
        assert asked["/api/v1/incidents"]["label"] == "none"

    def test_an_answer_is_judged_below_its_text(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi(dev=True)
        app = open_console("trace", api, id=fake_module.answers.TRACE_ID)
        assert "bad, with a better answer" in words(app)
        press(app, "Judge")
        assert "Say whether the answer is good or bad." in words(app)
        (verdict,) = [one for one in app.segmented_control if one.label == "The answer is"]
        verdict.set_value("Good")
        app.text_area[0].input(" We are open from 9 to 5. ")
        press(app, "Judge")
        (path, body) = api.bodies[-1]
        assert path == "/api/v1/reviews"
        assert (body["verdict"], body["corrected"]) == ("good", "We are open from 9 to 5.")
        assert "Your judgement is stored." in words(app)
