from __future__ import annotations

from collections.abc import Callable

import pytest

from policies.hooks.channels import CHANNELS, Event, HttpCall, Target
from policies.hooks.channels.event import one_line

SECRETS = {"routing_key": "k" * 32}
OPTIONS = {"from": "a@example.org", "to": "b@example.org"}
OURS = {"webhook", "cloudevents"}
TYPES = ["incident.opened", "incident.resolved", "fairness.alarm", "endpoint.test"]


def written(kind: str, event: Event) -> bytes:
    calls = CHANNELS[kind].format(event, Target("https://a.example/x", OPTIONS, SECRETS))
    assert calls
    return b"".join(call.body if isinstance(call, HttpCall) else call.message for call in calls)


# Our own body goes out as it is; policies.hooks.payload says what is in it.
@pytest.mark.parametrize("kind", sorted(CHANNELS.keys() - OURS))
@pytest.mark.parametrize("type", TYPES)
def test_a_text_that_got_into_an_event_by_mistake_does_not_leave_with_it(
    event: Callable[..., Event], kind: str, type: str
) -> None:
    given = event(type, prompt="CAPTURED", values={"n": "CAPTURED"}, response="CAPTURED", others=["CAPTURED"])
    assert b"CAPTURED" not in written(kind, given)


@pytest.mark.parametrize("kind", sorted(CHANNELS))
@pytest.mark.parametrize("type", TYPES)
class TestEveryChannel:
    def test_it_writes_the_same_at_every_attempt(self, event: Callable[..., Event], kind: str, type: str) -> None:
        assert written(kind, event(type)) == written(kind, event(type))

    def test_it_survives_names_of_any_kind(self, event: Callable[..., Event], kind: str, type: str) -> None:
        odd = "\u202e\u0000\x1b[31m\r\n" + "𝒳" * 300
        assert written(kind, event(type, title=odd, summary=odd, group={odd: odd}, policy_id=odd, project=odd))


@pytest.mark.parametrize(
    ("given", "expected"), [("a\r\nb", "a b"), ("  a \t b ", "a b"), ("\u202eab", "ab"), (3, "3"), ("", "")]
)
def test_texts_become_one_line(given: object, expected: str) -> None:
    assert one_line(given) == expected


def test_an_action_is_told_by_what_it_does(event: Callable[..., Event]) -> None:
    given = event(
        "action.proposed", title=None, summary=None, kind="rollback", to_version="6", reason="tox_p95 is high"
    )
    assert (given.headline, given.title, given.summary) == ("Action proposed", "rollback to 6", "tox_p95 is high")


@pytest.mark.parametrize("type", ["review.requested", "audit.checkpoint"])
def test_what_is_no_incident_is_told_where_messages_are_read_and_not_where_alerts_are_kept(
    event: Callable[..., Event], type: str
) -> None:
    given = event(type, note="custodes/1\n42\nroot")
    told = {kind for kind in CHANNELS if CHANNELS[kind].format(given, Target("https://a.example/x", OPTIONS, SECRETS))}
    assert CHANNELS.keys() - told == {"pagerduty", "alertmanager"}
    assert given.headline.encode() in written("slack", given)
