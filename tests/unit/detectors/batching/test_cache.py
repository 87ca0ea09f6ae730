from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.batching.cache import LruCache, text_key


class TestTextKey:
    @given(st.text(), st.text())
    def test_tells_texts_apart(self, left: str, right: str) -> None:
        assert (text_key(left) == text_key(right)) == (left == right)

    def test_tells_lone_surrogates_apart(self) -> None:
        assert len({text_key("\ud800"), text_key("\udfff"), text_key("?"), text_key("\ufffd")}) == 4


class TestLruCache:
    def test_forgets_what_was_unused_for_longest(self) -> None:
        cache: LruCache[int] = LruCache(2)
        cache.put(b"a", 1)
        cache.put(b"b", 2)
        cache.get(b"a")
        cache.put(b"c", 3)
        assert [cache.get(key) for key in (b"a", b"b", b"c")] == [1, None, 3]

    def test_keeps_the_newest_value_of_a_key(self) -> None:
        cache: LruCache[int] = LruCache(2)
        cache.put(b"a", 1)
        cache.put(b"a", 2)
        assert (cache.get(b"a"), len(cache)) == (2, 1)

    @given(st.integers(0, 5), st.lists(st.binary(max_size=1), max_size=40))
    def test_never_grows_beyond_its_capacity(self, capacity: int, keys: list[bytes]) -> None:
        cache: LruCache[int] = LruCache(capacity)
        for number, key in enumerate(keys):
            cache.put(key, number)
            assert len(cache) <= capacity

    def test_weighs_what_it_keeps(self) -> None:
        cache: LruCache[int] = LruCache(10)
        cache.put(b"a", 1, 4)
        cache.put(b"b", 2, 4)
        cache.put(b"a", 3, 5)
        assert (cache.weight, cache.get(b"a"), cache.get(b"b")) == (9, 3, 2)
        cache.put(b"c", 4, 2)
        assert (cache.weight, cache.get(b"a"), cache.get(b"b")) == (6, None, 2)

    def test_keeps_nothing_heavier_than_itself(self) -> None:
        cache: LruCache[int] = LruCache(10)
        cache.put(b"a", 1, 4)
        cache.put(b"b", 2, 11)
        assert (cache.weight, cache.get(b"a"), cache.get(b"b")) == (4, 1, None)
        cache.put(b"a", 1, 11)
        assert (cache.weight, len(cache)) == (0, 0)

    @given(st.integers(0, 30), st.lists(st.tuples(st.binary(max_size=1), st.integers(0, 12)), max_size=40))
    def test_never_weighs_more_than_its_capacity(self, capacity: int, puts: list[tuple[bytes, int]]) -> None:
        cache: LruCache[int] = LruCache(capacity)
        for key, weight in puts:
            cache.put(key, 0, weight)
            assert 0 <= cache.weight <= capacity

    def test_refuses_a_negative_capacity(self) -> None:
        with pytest.raises(ValueError, match="-1"):
            LruCache(-1)
