"""Masking finds what is personal, leaves what only looks like it, and is quick whatever the text."""

from __future__ import annotations

import string
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.content.mask_kinds import KINDS, outline
from collector.content.masking import MASKED, Masker

EVERYTHING = [kind.name for kind in KINDS]
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
TOKEN = "x7Kf93mQpZ2vT8sLw4Rb1NcY"

FOUND: list[tuple[str, str, str]] = [
    ("email", "write to ann.lee+shop@mail.example.co.uk, please", "write to [email], please"),
    ("email", "Müller <jörg.müller@bücher.example>", "Müller <[email]>"),
    ("email", 'nested {"to":"\\nbob@example.org"}', 'nested {"to":"\\n[email]"}'),
    ("email", "a@b.example,c@d.example;e@f.example.", "[email],[email];[email]."),
    ("email", "O'Brien is o'brien@example.ie!", "O'Brien is [email]!"),
    ("email", "mailto:ann@example.org?subject=x", "mailto:[email]?subject=x"),
    ("email", "邮箱 用户@例子.example 。", "邮箱 [email] 。"),
    ("phone", "call +49 30 1234567 now", "call [phone] now"),
    ("phone", "+1 (415) 555-2671", "[phone]"),
    ("phone", "tel:+14155552671.", "tel:[phone]."),
    ("phone", "(415) 555-2671 or 415-555-2671", "[phone] or [phone]"),
    ("phone", "0171 2345678, 030/1234567, (089) 123 4567", "[phone], [phone], [phone]"),
    ("phone", "0049 171 2345678", "[phone]"),
    ("phone", "01 23 45 67 89?", "01 23 45 67 89?"),
    ("phone", "+33 1 23 45 67 89?", "[phone]?"),
    ("phone", "x\\n+44 20 7946 0958", "x\\n[phone]"),
    ("card", "card 4111 1111 1111 1111, cvv 123", "card [card], cvv 123"),
    ("card", "4111-1111-1111-1111 737", "[card] 737"),
    ("card", "amex 378282246310005.", "amex [card]."),
    ("card", "5555555555554444 and 6011111111111117", "[card] and [card]"),
    ("card", "2223003122003222", "[card]"),
    ("iban", "DE89 3704 0044 0532 0130 00 BIC COBADEFF", "[iban] BIC COBADEFF"),
    ("iban", "to GB29NWBK60161331926819.", "to [iban]."),
    ("iban", "FR1420041010050500013M02606", "[iban]"),
    ("ip", "from 192.168.7.12:8080", "from [ip]:8080"),
    ("ip", "http://10.20.30.40/x and [2001:db8::8a2e:370:7334]", "http://[ip]/x and [[ip]]"),
    ("ip", "2001:0db8:85a3:0000:0000:8a2e:0370:7334 asked", "[ip] asked"),
    ("secret", f"key sk-proj-{TOKEN}!", "key [secret]!"),
    ("secret", f"ghp_{'a1B2' * 9} xoxb-{'1234567890-abc'} AKIAIOSFODNN7EXAMPLE", "[secret] [secret] [secret]"),
    ("secret", f"Authorization: Bearer {TOKEN}", "Authorization: [secret]"),
    ("secret", f"token={JWT};", "token=[secret];"),
    ("secret", "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb", "a\n[secret]\nb"),
    ("secret", "a -----BEGIN PRIVATE KEY----- MIIE cut off", "a [secret]"),
    ("national_id", "SSN 123-45-6789.", "SSN [national_id]."),
    ("national_id", "DNI 12345678Z, NIE X1234567L", "DNI [national_id], NIE [national_id]"),
    ("national_id", "CF RSSMRA85T10A562S", "CF [national_id]"),
    ("national_id", "NIR 2 55 08 14 168 025 38", "NIR [national_id]"),
    ("national_id", "CPF 111.444.777-35", "CPF [national_id]"),
]

KEPT = [
    "version 10.4.12.1 of v1.2.3.4 and release: 2.0.0.1, Chrome/120.0.0.0",
    "2026-11-21T04:47:38.123456789Z, 04:47:38, 21.11.2026, 11/21/2026",
    "1795300000000000000 ns, 1795300000123 ms, 1795300000 s",
    "order 4111111111111112, invoice 2026-0041-7788, ticket 12345678901",
    "order 1234567812345678 and 0000000000000000",
    "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "550e8400-e29b-41d4-a716-446655440000 and 01234567-0123-4123-8123-012345678901",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "icon@2x.png, @decorator, npm i left-pad@1.3.0, git@github.com:org/repo.git, user@localhost",
    "std::vector<a::b>, Be::Fa, 12:34:56, 00:1a:2b:3c:4d:5e, a:b:c",
    "127.0.0.1, 0.0.0.0, ::1, 256.1.1.1, 1.2.3.4.5",
    "task-management, risk-averse-customers, sk-learn, ask-me-anything-today-please",
    "DE00 3704 0044 0532 0130 00, GB29NWBK60161331926818, XX89370400440532013000",
    "12345678A, X1234567A, 000-12-3456, 123-456-7890-1, 111.444.777-36, RSSMRA85T10A562X",
    "5 + 12345678 = 12345683; 3.14159265358979; 1,234,567,890; 6.02214076e23",
    "page 12-13, 100-200, 2020-2026, ISBN 978-3-16-148410-0, EAN 4006381333931",
    '{"temperature": 0.2, "max_tokens": 1024, "seed": 123456789012}',
    "bearer of good news; Bearer token; the basic plan",
    "9.81 m/s2, 1e10, 0x1F4, #ff00ff, 50%, $1,299.00, 12:00-13:30",
    "٠١٢٣٤٥٦٧٨٩ ١٢٣٤٥٦٧٨٩٠١٢٣٤٥٦",
]

HOSTILE = [
    "1", "1 ", "1-", "@", "a@", "a.@a.", "a@a.", "a:", "1.", "::", "DE89 ", "DE89370400440532", "sk-",
    "eyJaaaaaaaaaaa.",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----x-----BEGIN PRIVATE KEY-----", "+1", "+1 (", "01 ",
    "(", "a", "A", "111.", "é", "bearer ", "@a-", "\\n", "@a.a", "4111 1111 1111 111 ", "AAAAAA00", "0000000A", "1 22 ",
    "xoxb-", "2001:", "٣", "123-45-",
]  # fmt: skip


class TestKinds:
    @pytest.mark.parametrize(("kind", "text", "expected"), FOUND)
    def test_it_masks(self, kind: str, text: str, expected: str) -> None:
        masked, counts = Masker([kind]).mask_text(text)
        assert masked == expected
        assert counts == ({kind: expected.count(f"[{kind}]")} if f"[{kind}]" in expected else {})

    @pytest.mark.parametrize("text", KEPT)
    def test_it_keeps_what_only_looks_like_it(self, text: str) -> None:
        assert Masker(EVERYTHING).mask_text(text) == (text, {})

    @pytest.mark.parametrize(("kind", "text", "_"), FOUND)
    def test_it_masks_only_the_kinds_asked_for(self, kind: str, text: str, _: str) -> None:
        others = [one for one in EVERYTHING if one != kind]
        assert kind not in Masker(others).mask_text(text)[1]

    @given(
        text=st.lists(
            st.one_of(
                st.sampled_from([text for _, text, _ in FOUND] + KEPT + ["\\n", "-", " "]),
                st.text(string.printable, max_size=12),
                st.text(max_size=5),
            ),
            max_size=6,
        ).map("".join)
    )
    def test_the_quick_look_never_misses(self, text: str) -> None:
        for kind in KINDS:
            found = sorted(kind.find(text))
            assert all(0 <= start < end <= len(text) for start, end in found)
            if found:
                assert min(end - start for start, end in found) >= kind.shortest
                assert kind.may_hold(outline(text.encode("utf-8", "replace")))
                assert kind.may_hold(outline(orjson.dumps({"x": text.encode("utf-8", "replace").decode()})))

    @pytest.mark.parametrize("piece", HOSTILE)
    def test_a_megabyte_of_anything_takes_moments(self, piece: str) -> None:
        text = piece * (1_000_000 // len(piece))
        began = time.process_time()
        Masker(EVERYTHING).mask_text(text)
        assert time.process_time() - began < 5.0


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
        assert Masker(EVERYTHING).mask(body) == (body, {})

    @given(
        value=st.recursive(
            st.one_of(
                st.sampled_from([text for _, text, _ in FOUND]), st.text(st.characters(exclude_categories=["Cs"])),
                st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.none(),
            ),
            lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner)),
            max_leaves=6,
        )
    )  # fmt: skip
    def test_names_numbers_and_nesting_stay(self, value: Any) -> None:
        body = orjson.dumps({"value": _valid(value)})
        masked = orjson.loads(Masker(EVERYTHING).mask(body)[0])
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
