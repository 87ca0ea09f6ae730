"""Canonical JSON: the vectors of RFC 8785, the integer policy, and ambiguity refused."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.canonical import canonical_bytes, parse_canonical
from policies.audit.errors import CanonicalError
from policies.audit.strict_json import MAX_EXACT_INT, parse_object

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_EXACT_INT, MAX_EXACT_INT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
keys = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
objects = st.dictionaries(keys, values, max_size=5)


class TestKnownAnswers:
    def test_it_writes_the_example_of_rfc_8785(self) -> None:
        # Section 3.2.2 to 3.2.4: numbers, literals, string escapes and the order of keys.
        value = {
            "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": '€$\x0f\nA\'B"\\\\"/',
            "literals": [None, True, False],
        }
        assert canonical_bytes(value).decode() == (
            '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        )

    def test_it_sorts_keys_by_utf_16(self) -> None:
        value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\xf6": 7}
        assert list(json.loads(canonical_bytes(value))) == [
            "\r",
            "1",
            "\x80",
            "\xf6",
            "\u20ac",
            "\U0001f600",
            "\ufb33",
        ]

    @pytest.mark.parametrize(
        ("number", "expected"),
        [
            (MAX_EXACT_INT, b'{"n":9007199254740991}'),
            (-MAX_EXACT_INT, b'{"n":-9007199254740991}'),
            (MAX_EXACT_INT + 1, b'{"n":"9007199254740992"}'),
            (1_795_860_000_000_000_000, b'{"n":"1795860000000000000"}'),
            (-(2**70), b'{"n":"-1180591620717411303424"}'),
            (-0.0, b'{"n":0}'),
            (True, b'{"n":true}'),
            (1.0, b'{"n":1}'),
        ],
    )
    def test_it_writes_integers_a_double_cannot_hold_as_strings(self, number: object, expected: bytes) -> None:
        assert canonical_bytes({"n": number}) == expected


class TestRoundTrip:
    @given(objects)
    def test_it_reads_back_the_value_it_writes(self, value: dict[str, Any]) -> None:
        data = canonical_bytes(value)
        assert parse_canonical(data) == value
        assert canonical_bytes(parse_canonical(data)) == data

    @given(objects)
    def test_it_does_not_depend_on_the_order_of_keys(self, value: dict[str, Any]) -> None:
        assert canonical_bytes(dict(reversed(value.items()))) == canonical_bytes(value)

    def test_it_takes_tuples_as_arrays_and_any_mapping_as_an_object(self) -> None:
        assert canonical_bytes(MappingProxyType({"a": (1, 2)})) == b'{"a":[1,2]}'


class TestRefusals:
    @pytest.mark.parametrize(
        "value",
        [
            {"x": float("nan")},
            {"x": float("inf")},
            {"x": [-float("inf")]},
            {"x": b"bytes"},
            {"x": {1: 2}},
            {1: 2},
            {"x": {1, 2}},
            {"x": object()},
            {"x": "\ud800"},
            {"\udfff": 1},
        ],
    )
    def test_it_refuses_what_json_cannot_say(self, value: Any) -> None:
        with pytest.raises(CanonicalError):
            canonical_bytes(value)

    def test_it_refuses_a_value_that_contains_itself(self) -> None:
        loop: dict[str, Any] = {}
        loop["loop"] = loop
        with pytest.raises(CanonicalError):
            canonical_bytes(loop)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"[]",
            b"1",
            b"null",
            b'{"a":1,"a":1}',
            b'{"a":{"b":1,"b":2}}',
            b'{"a":NaN}',
            b'{"a":-Infinity}',
            b'{"a":1e999}',
            b'{"a":"\\ud800"}',
            b'{"\\udfff":1}',
            b'\xef\xbb\xbf{"a":1}',
            b'{"a":"\xff"}',
            b'{"a":1} {"b":2}',
            b'{"a":1}\x00',
            b'{"a":' + b"1" * 5000 + b"}",
            b'{"a":' * 100_000,
            b'{"a":' + b"[" * 100_000,
        ],
    )
    def test_it_reads_only_unambiguous_objects(self, data: bytes) -> None:
        with pytest.raises(CanonicalError):
            parse_object(data)

    @pytest.mark.parametrize(
        "data",
        [b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":1.0}', b'{"a":1}\n', b'{"a":"\\u0041"}', b'{"a":9007199254740993}'],
    )
    def test_it_tells_canonical_form_from_other_json(self, data: bytes) -> None:
        parse_object(data)
        with pytest.raises(CanonicalError):
            parse_canonical(data)

    @given(st.binary(max_size=200))
    def test_it_raises_only_its_own_error(self, data: bytes) -> None:
        try:
            parse_object(data)
        except CanonicalError:
            return
        assert isinstance(json.loads(data), dict)
