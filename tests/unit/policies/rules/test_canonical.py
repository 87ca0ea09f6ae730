from __future__ import annotations

import pytest

from custodes.kernel.errors import InvalidInputError
from policies.rules.canonical import canonical_bytes, version_id


class TestVersionId:
    def test_is_the_sha256_of_the_canonical_bytes(self) -> None:
        # The digest is what `printf '{"a":1,"b":[true,null]}' | sha256sum` prints.
        assert canonical_bytes({"b": [True, None], "a": 1.0}) == b'{"a":1,"b":[true,null]}'
        digest = "1cc69c7fa23616ca2ec3ee70d24390a6225c8832db8a4c814c7e0e7f942f8668"
        assert version_id({"b": [True, None], "a": 1}) == f"sha256:{digest}"

    def test_does_not_depend_on_key_order_but_on_every_value(self) -> None:
        assert version_id({"a": 1, "b": 2}) == version_id({"b": 2, "a": 1})
        assert version_id({"for": "5m"}) != version_id({"for": "300s"})

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**60, "\ud800"])
    def test_refuses_values_json_cannot_hold(self, value: object) -> None:
        with pytest.raises(InvalidInputError, match="canonical"):
            version_id({"a": value})
