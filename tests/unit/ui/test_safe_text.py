"""Captured text and names from data: nothing stays hidden, nothing becomes Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from ui.components.safe_text import md_escape, show_hidden


class TestShowHidden:
    @pytest.mark.parametrize(
        ("text", "shown", "hidden"),
        [
            ("plain\n\ttext", "plain\n\ttext", 0),
            ("a\u202eb", "a<U+202E>b", 1),
            ("\u2066x\u2069", "<U+2066>x<U+2069>", 2),
            ("zero\u200bwidth\ufeff", "zero<U+200B>width<U+FEFF>", 2),
            ("tag\U000e0041", "tag<U+E0041>", 1),
            ("bell\x07", "bell<U+0007>", 1),
            ("soft\u00adhyphen", "soft<U+00AD>hyphen", 1),
            ("selector\U000e0100", "selector<U+E0100>", 1),
            ("filler\u3164", "filler<U+3164>", 1),
            ("a\u200db", "a<U+200D>b", 1),
            ("line\u2028break", "line<U+2028>break", 1),
            ("cr\rlf", "cr<U+000D>lf", 1),
            ("क्षेत्र Ünïcode 日本語", "क्षेत्र Ünïcode 日本語", 0),
        ],
    )
    def test_it_spells_out_what_cannot_be_seen(self, text: str, shown: str, hidden: int) -> None:
        assert show_hidden(text) == (shown, hidden)

    def test_it_leaves_the_joiners_that_emoji_are_made_of(self) -> None:
        family = "👩\u200d🚀 ❤\ufe0f"
        assert show_hidden(family) == (family, 0)

    @given(st.text())
    def test_it_leaves_no_direction_change_and_counts_what_it_spells_out(self, text: str) -> None:
        shown, hidden = show_hidden(text)
        assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff")
        assert shown.count("<U+") - text.count("<U+") == hidden


class TestMdEscape:
    @pytest.mark.parametrize(
        ("text", "escaped"),
        [
            ("support-bot", "support\\-bot"),
            ("![x](y)", "\\!\\[x\\]\\(y\\)"),
            ("<b>", "\\<b\\>"),
            (":rocket:", "\\:rocket\\:"),
            ("$x$", "\\$x\\$"),
            ("a\n# b", "a \\# b"),
            ("&amp;", "\\&amp;"),
        ],
    )
    def test_it_makes_markdown_inert(self, text: str, escaped: str) -> None:
        assert md_escape(text) == escaped

    @pytest.mark.parametrize(
        "address", ["https://evil.example", "www.evil.example", "ana@example.org", "HTTP://x.example"]
    )
    def test_it_interrupts_addresses_so_that_they_do_not_become_links(self, address: str) -> None:
        assert "\u2060" in md_escape(address)

    @pytest.mark.parametrize("sign", [">=", "<=", "->", "<-", "--", "~="])
    def test_it_keeps_signs_from_being_replaced(self, sign: str) -> None:
        assert "\u2060" in md_escape(f"n {sign} 8")

    def test_it_cuts_long_names(self) -> None:
        assert md_escape("x" * 100) == "x" * 79 + "…"
        assert len(md_escape("x" * 100, limit=200)) == 100

    @given(st.text(max_size=60))
    def test_it_leaves_no_live_markdown(self, text: str) -> None:
        escaped = md_escape(text, limit=10_000)
        bare = escaped.replace("\\\\", "")
        assert not any(
            character in "`*_[]()<>#!|$" and (index == 0 or bare[index - 1] != "\\")
            for index, character in enumerate(bare)
        )
        assert "\n" not in escaped


class TestSafeText:
    def test_it_shows_text_as_a_plain_block_with_a_count_of_hidden_characters(self) -> None:
        def script() -> None:
            from ui.components.safe_text import safe_text

            safe_text("![x](https://canary.invalid)\u202e")

        app = AppTest.from_function(script).run()
        assert app.code[0].value == "![x](https://canary.invalid)<U+202E>"
        assert app.code[0].language == "plaintext"
        assert len(app.markdown) == 1
        assert "contains 1 hidden character" in app.markdown[0].value

    def test_it_cuts_very_long_text_and_says_so(self) -> None:
        def script() -> None:
            from ui.components.safe_text import safe_text

            safe_text("x" * 20_001)

        app = AppTest.from_function(script).run()
        assert len(app.code[0].value) == 20_000
        assert app.caption[0].value == "The first 20,000 of 20,001 characters are shown."

    def test_it_shows_structures_as_json(self) -> None:
        def script() -> None:
            from ui.components.safe_text import safe_text

            safe_text({"type": "tool_call", "name": "![x](y)"})

        assert AppTest.from_function(script).run().code[0].value.startswith('{\n  "type": "tool_call"')

    def test_it_says_when_text_is_empty(self) -> None:
        def script() -> None:
            from ui.components.safe_text import safe_text

            safe_text("")

        app = AppTest.from_function(script).run()
        assert not app.code
        assert app.caption[0].value == "Empty text."
