"""Masking replaces what the recognisers find, wherever in a body it stands, and leaves the rest as it is."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.content.masking import MASKED, Masker
from recognisers import KINDS, RECOGNISERS, find_values

TEXTS = [
    "write to ann.lee+shop@mail.example.co.uk, please",
    "card 4111 1111 1111 1111, cvv 123, IBAN DE89 3704 0044 0532 0130 00",
    "call +49 30 1234567 from 192.168.7.12; born on 4 May 1981; BSN 111222333",
    "key sk-proj-x7Kf93mQpZ2vT8sLw4Rb1NcY!",
    "version 10.4.12.1, 2026-11-21T04:47:38Z, order 4111111111111112",
]


class TestTexts:
    @pytest.mark.parametrize("text", TEXTS)
    def test_it_replaces_exactly_what_the_recognisers_find(self, text: str) -> None:
        masked, counts = Masker(KINDS).mask_text(text)
        values = find_values(text)
        assert counts.total() == len(values)
        for value in values:
            assert text[value.start : value.end] not in masked
        assert masked.count("[") == len(values)

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_masks_only_the_kinds_asked_for(self, kind: str) -> None:
        counts = Masker([kind]).mask_text(" ".join(TEXTS))[1]
        wanted = find_values(" ".join(TEXTS), [one for one in RECOGNISERS if one.kind == kind])
        assert counts == ({kind: len(wanted)} if wanted else {})

    def test_it_masks_two_thousand_texts_a_second(self) -> None:
        # The bound leaves room for a slow machine; `docs/privacy.md` says what was measured.
        texts = [(" ".join([text, "The parcel will arrive on Tuesday. "] * 12))[:1200] for text in TEXTS]
        masker = Masker(KINDS)
        began = time.process_time()
        for number in range(200):
            masker.mask_text(f"{number} {texts[number % len(texts)]}")
        assert time.process_time() - began < 2.0


class TestBodies:
    def test_values_are_masked_wherever_they_stand_and_counted(self) -> None:
        mail = "ann@example.org"
        body = {
            "input_messages": [{"role": "user", "parts": [{"type": "text", "content": f"I am {mail}"}]}],
            "output_messages": [{"role": "assistant", "parts": [{"type": "tool_call", "arguments": {"to": [mail]}}]}],
            "retrieved_documents": [{"id": "1", "content": f"{mail}, {mail}", "score": 0.5}],
            "attributes": {"n": 4111111111111111, mail: 1, "ip": "10.1.2.3"},
            "status_message": f"no {mail}",
            "events": [{"name": "e", "time_ns": 1, "attributes": {"x": mail}}],
        }
        masked, counts = Masker(["email", "card"]).mask(orjson.dumps(body))
        text = orjson.dumps(body).decode().replace(f'"{mail}":1', '"KEY":1').replace(mail, "[email]")
        expected = orjson.loads(text.replace('"KEY":1', f'"{mail}":1'))
        expected["attributes"][MASKED] = {"email": 6}
        assert orjson.loads(masked) == expected
        assert counts == {"email": 6}

    def test_text_with_the_separator_in_it_is_masked_all_the_same(self) -> None:
        body = orjson.dumps({"a": "x\0ann@example.org\0y", "b": ["bob@example.org", "\0", "plain"]})
        masked, counts = Masker(["email"]).mask(body)
        assert orjson.loads(masked) == {"a": "x\0[email]\0y", "b": ["[email]", "\0", "plain"]}
        assert counts == {"email": 2}

    def test_a_body_without_any_is_the_very_same(self) -> None:
        body = b'{ "attributes": {"a": "nothing 12345678 here"} }'
        assert Masker(KINDS).mask(body) == (body, {})

    @given(
        value=st.recursive(
            st.one_of(
                st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=["Cs"])),
                st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.none(),
            ),
            lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner)),
            max_leaves=6,
        )
    )  # fmt: skip
    def test_names_numbers_and_nesting_stay(self, value: Any) -> None:
        body = orjson.dumps({"value": _valid(value)})
        masked = orjson.loads(Masker(KINDS).mask(body)[0])
        assert _skeleton(masked) == _skeleton(orjson.loads(body))


def _valid(value: Any) -> Any:
    """Replace names that JSON cannot carry."""
    if isinstance(value, dict):
        return {name.encode("utf-8", "replace").decode(): _valid(one) for name, one in value.items()}
    return [_valid(one) for one in value] if isinstance(value, list) else value


def _skeleton(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _skeleton(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_skeleton(one) for one in value]
    return "text" if isinstance(value, str) else value
