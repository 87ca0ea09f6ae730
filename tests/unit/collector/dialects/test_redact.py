"""Credentials are taken out of attributes; the quick look before it changes nothing about what is found."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.dialects import redact
from collector.dialects.redact import REDACTED, is_secret_name, redact_attributes

TOKEN = "abcdefghijklmnop0123"
PIECES = st.sampled_from(
    [
        "Bearer ",
        "BASIC ",
        "basic\t",
        "sk-",
        "task-",
        " ",
        "\n",
        '"',
        ": ",
        TOKEN,
        TOKEN[:15],
        'authorization"',
        "é",
        "x",
    ]
)
NAMES = st.one_of(
    st.sampled_from(["api_key", "http.request.headers", "Authorization", "tokens", "my.set-cookie", "note", "a" * 70]),
    st.text(max_size=4),
)
VALUES = st.recursive(
    st.one_of(
        st.lists(PIECES, max_size=6).map("".join), st.integers(), st.none(), st.booleans(), st.binary(max_size=3)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)


def look_everywhere(value: Any) -> Any:
    """Apply both expressions to every name and value there is."""
    if isinstance(value, str):
        return redact._SECRET_VALUE.sub(redact._mask, value)
    if isinstance(value, list):
        return [look_everywhere(one) for one in value]
    if isinstance(value, dict):
        return {
            name: REDACTED if one is not None and redact._SECRET_KEY.search(name) else look_everywhere(one)
            for name, one in value.items()
        }
    return value


class TestValues:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (f"Bearer {TOKEN}", REDACTED),
            ("basic dXNlcjpwYXNz", REDACTED),
            (f"401 for bearer {TOKEN}!", f"401 for {REDACTED}!"),
            (f"key=SK-{TOKEN}", f"key={REDACTED}"),
            ('{"Authorization": "secret"}', '{"Authorization": "[redacted]"}'),
            ([f"sk-{TOKEN}", {"deep": f"Bearer {TOKEN}"}], [REDACTED, {"deep": REDACTED}]),
            ("the bearer of the ring", "the bearer of the ring"),
            ("a basic idea", "a basic idea"),
            ("task-abcdefghijklmnopqrstuvwx", "task-abcdefghijklmnopqrstuvwx"),
            (f"ſk-{TOKEN}", f"ſk-{TOKEN}"),
            (None, None),
        ],
    )
    def test_credentials_go_and_the_rest_stays(self, value: Any, expected: Any) -> None:
        assert redact_attributes({"note": value}) == {"note": expected}

    @given(attributes=st.dictionaries(NAMES, VALUES, max_size=5))
    @example(attributes={"note": 'x authorization": "a"'})
    def test_it_finds_what_looking_everywhere_finds(self, attributes: dict[str, Any]) -> None:
        assert redact_attributes(attributes) == look_everywhere(attributes)

    def test_it_leaves_what_it_was_given_as_it_was(self) -> None:
        given_attributes = {"note": "fine", "deep": {"api_key": "x"}}
        assert redact_attributes(given_attributes) == {"note": "fine", "deep": {"api_key": REDACTED}}
        assert given_attributes["deep"] == {"api_key": "x"}

    @pytest.mark.parametrize(
        "text",
        [
            "bearer " * 150_000,
            "basic" + " " * 1_000_000 + "x y",
            'authorization":"' * 70_000,
            "sk-" * 350_000,
            "sk-é" * 250_000,
        ],
    )
    def test_hostile_text_takes_no_longer_than_its_length(self, text: str) -> None:
        began = time.process_time()
        redact_attributes({"note": text})
        assert time.process_time() - began < 1.0


class TestNames:
    @pytest.mark.parametrize(
        "name", ["api_key", "x.API-KEY", "http.request.headers", "llm.headers", "set-cookie", "a" * 500 + ".password"]
    )
    def test_secret_ones(self, name: str) -> None:
        assert is_secret_name(name)

    @pytest.mark.parametrize(
        "name", ["", "tokens", "headersize", "apikeys", "secretary", "a" * 500 + "password", "x" * 58 + "secret"]
    )
    def test_others(self, name: str) -> None:
        assert not is_secret_name(name)

    def test_a_secret_name_hides_whatever_stands_under_it(self) -> None:
        assert redact_attributes({"cookie": {"a": 1}, "password": 5, "secret": None}) == {
            "cookie": REDACTED,
            "password": REDACTED,
            "secret": None,
        }
