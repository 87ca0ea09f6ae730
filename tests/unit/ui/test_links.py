"""Deep links: pages of this console, and nothing else."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.links import PAGE_PATHS, followable


class TestFollowable:
    @pytest.mark.parametrize(
        ("target", "canonical"),
        [
            ("/", "/"),
            ("/incident?id=42", "/incident?id=42"),
            ("/trace?id=4bf9%202f", "/trace?id=4bf9+2f"),
            ("/audit?seq=7#part", "/audit?seq=7"),
            ("/traces", "/traces"),
            ("/incident?id=//evil.example", "/incident?id=%2F%2Fevil.example"),
        ],
    )
    def test_it_accepts_pages_of_this_console(self, target: str, canonical: str) -> None:
        assert followable(target) == canonical

    @pytest.mark.parametrize(
        "target",
        [
            "",
            "incident",
            "https://evil.example/incident",
            "//evil.example/incident",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/%2Fevil.example",
            "/incident/../../evil",
            "/unknown",
            "/go?to=/incident",
            "/_stcore/health",
            "javascript:alert(1)",
            "/incident?id=1\r\nset-cookie: x=1",
            "/incident?id=\x00",
            " /incident",
            "/incident?" + "x" * 512,
            "/[incident",
        ],
    )
    def test_it_refuses_everything_else(self, target: str) -> None:
        assert followable(target) is None

    @given(st.text(max_size=600) | st.text(alphabet="/\\.:@?#%incdet=&\t\n", max_size=40))
    def test_it_never_leaves_the_console(self, target: str) -> None:
        found = followable(target)
        if found is not None:
            parts = urlsplit(found)
            assert not parts.scheme
            assert not parts.netloc
            assert parts.path.removeprefix("/") in PAGE_PATHS
            assert followable(found) == found
            assert parse_qsl(parts.query, keep_blank_values=True) == parse_qsl(
                urlsplit(target).query, keep_blank_values=True
            )
