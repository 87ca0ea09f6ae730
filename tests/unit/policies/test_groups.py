from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.errors import MalformedError
from policies.groups import Group, key_to_group, make_group
from policies.rules.vocabulary import DIMENSIONS

LABELS = st.dictionaries(st.sampled_from(DIMENSIONS), st.text(max_size=300), max_size=4)


class TestGroup:
    def test_has_a_sorted_json_key(self) -> None:
        group = make_group({"service": "a", "deployment": "b"})
        assert group.key == '{"deployment":"b","service":"a"}'
        assert group.render() == "deployment=b, service=a"

    def test_without_labels_is_all_traffic(self) -> None:
        assert (Group().key, Group().render()) == ("{}", "all traffic")

    def test_keeps_long_labels_apart(self) -> None:
        one, two = make_group({"model": "m" * 200 + "1"}), make_group({"model": "m" * 200 + "2"})
        assert one.key != two.key

    @pytest.mark.parametrize("character", ["m", '"', "\\", "\x00", "\u2028", "\U0001f600"])
    def test_fits_its_column_whatever_the_characters(self, character: str) -> None:
        assert len(make_group(dict.fromkeys(DIMENSIONS, character * 256)).key) <= 512

    @given(LABELS)
    def test_fits_its_column_and_reads_back(self, labels: dict[str, str]) -> None:
        group = make_group(labels)
        assert len(group.key) <= 512
        assert key_to_group(group.key) == group

    @pytest.mark.parametrize("key", ["", "[]", '{"a":1}', "{", "null"])
    def test_refuses_a_damaged_key(self, key: str) -> None:
        with pytest.raises(MalformedError, match="group key"):
            key_to_group(key)
