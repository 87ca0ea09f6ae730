"""Recognisers find what is personal or secret, leave what only looks like it, and are quick whatever the text."""

from __future__ import annotations

import string
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.settings import MaskedKind
from recognisers import KINDS, RECOGNISERS, find_values, sieve_of, to_bytes

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
    ("national_id", "HETU 131052-308T", "HETU [national_id]"),
    ("national_id", "pnr 811218-9876 and 19811218-9876", "pnr [national_id] and [national_id]"),
    ("national_id", "r. č. 780123/3540", "r. č. [national_id]"),
    ("national_id", "RN 85.07.30-033.28", "RN [national_id]"),
    ("national_id", "AHV 756.9217.0769.85", "AHV [national_id]"),
    ("national_id", "RUT 12.345.678-5", "RUT [national_id]"),
    ("national_id", "2345 6789 0124", "[national_id]"),
    ("national_id", "NI AB 12 34 56 C", "NI [national_id]"),
    ("national_id", "RRN 850101-1234567", "RRN [national_id]"),
    ("national_id", "CURP BOXW310820HNERXN09", "CURP [national_id]"),
    ("national_id", "My BSN is 111222333, ok?", "My BSN is [national_id], ok?"),
    ("national_id", "pesel: 44051401359", "pesel: [national_id]"),
    ("national_id", "Steuer-ID 86 095 742 719", "Steuer-ID [national_id]"),
    ("national_id", "NHS number 943 476 5919", "NHS number [national_id]"),
    ("national_id", "her SIN: 046 454 286", "her SIN: [national_id]"),
    ("national_id", "TFN 123 456 782", "TFN [national_id]"),
    ("national_id", "Aadhaar number 234567890124", "Aadhaar number [national_id]"),
    ("national_id", "CNP 1800101221144", "CNP [national_id]"),
    ("national_id", "EGN 7523169263", "EGN [national_id]"),
    ("national_id", "fødselsnummer 010190 10046", "fødselsnummer [national_id]"),
    ("national_id", "personnummer 8112189876", "personnummer [national_id]"),
    ("national_id", "NIF 123456789", "NIF [national_id]"),
    ("national_id", "Sozialversicherungsnummer 1237 010180", "Sozialversicherungsnummer [national_id]"),
    ("national_id", "OIB 94577403194", "OIB [national_id]"),
    ("national_id", "social security number 123456789", "social security number [national_id]"),
    ("national_id", "PPS number 1234567T or PPS 1234567FA", "PPS number [national_id] or PPS [national_id]"),
    ("national_id", "National Insurance number AB123456C", "National Insurance number [national_id]"),
    ("national_id", "passport number C01X00T47", "passport number [national_id]"),
    ("national_id", "driver's license number D1234567", "driver's license number [national_id]"),
    ("birth_date", "born on 4 May 1981 in Ulm", "born on [birth_date] in Ulm"),
    ("birth_date", "DOB: 1981-05-04, DOB 05/04/81", "DOB: [birth_date], DOB [birth_date]"),
    ("birth_date", "geboren am 4. Mai 1981", "geboren am [birth_date]"),
    ("birth_date", "fecha de nacimiento: 4 de mayo de 1981", "fecha de nacimiento: [birth_date]"),
    ("birth_date", "date of birth is January 5, 1990", "date of birth is [birth_date]"),
    ("bank_account", "routing number 021000021", "routing number [bank_account]"),
    ("bank_account", "bank account number 12345678", "bank account number [bank_account]"),
    ("bank_account", "Kontonummer 1234 567 890", "Kontonummer [bank_account]"),
    ("bank_account", "sort code 20-00-00", "sort code [bank_account]"),
    ("crypto_wallet", "send to 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2.", "send to [crypto_wallet]."),
    ("crypto_wallet", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "[crypto_wallet]"),
    ("crypto_wallet", "0x52908400098527886E0F7030069857D2E4169EE7", "[crypto_wallet]"),
    ("mac_address", "device 00:1a:2b:3c:4d:5e, 00-1A-2B-3C-4D-5E", "device [mac_address], [mac_address]"),
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
    "std::vector<a::b>, Be::Fa, 12:34:56, ff:ff:ff:ff:ff:ff, 00:00:00:00:00:00, a:b:c",
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
    "BSN 111222334, PESEL 44051401358, NHS 943 476 5918, SIN 146 454 287, 2345 6789 0123, 780123/3541",
    "order 20261121-0041 and 261121-0041, batch 850101-9234567",
    "he was born free in Ulm; the birth of a nation; 4 May 1981 was a Monday",
    "routing number 123456789; my account was opened on 12.05.2020; account 7",
    "0x0000000000000000000000000000000000000000 and 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3",
    "sin 146 454 286 excepciones; using 123456789; the tax file",
    "a passport costs 60 euros; passport number required",
]

HOSTILE = [
    "1", "1 ", "1-", "@", "a@", "a.@a.", "a@a.", "a:", "1.", "::", "DE89 ", "DE89370400440532", "sk-",
    "eyJaaaaaaaaaaa.",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----x-----BEGIN PRIVATE KEY-----", "+1", "+1 (", "01 ",
    "(", "a", "A", "111.", "é", "bearer ", "@a-", "\\n", "@a.a", "4111 1111 1111 111 ", "AAAAAA00", "0000000A", "1 22 ",
    "xoxb-", "2001:", "٣", "123-45-", "password=",
    "bsn 1", "born 1.", "key=a", "://a:", "0x", "bc1q", "00:", "AKIA", "born on born on",
]  # fmt: skip


def mask(text: str, kinds: object = KINDS) -> str:
    """Return ``text`` with its values replaced by their kinds."""
    chosen = [one for one in RECOGNISERS if one.kind in kinds]  # type: ignore[operator]
    pieces: list[str] = []
    done = 0
    for value in find_values(text, chosen):
        pieces += (text[done : value.start], f"[{value.kind}]")
        done = value.end
    return "".join(pieces) + text[done:]


class TestKinds:
    @pytest.mark.parametrize(("kind", "text", "expected"), FOUND)
    def test_it_finds(self, kind: str, text: str, expected: str) -> None:
        assert mask(text, [kind]) == expected

    @pytest.mark.parametrize("text", KEPT)
    def test_it_leaves_what_only_looks_like_it(self, text: str) -> None:
        assert find_values(text) == []

    def test_it_has_an_example_of_every_kind(self) -> None:
        assert {kind for kind, _, _ in FOUND} == set(KINDS)

    def test_it_gives_what_two_claim_to_the_surer_one(self) -> None:
        text = "DE89 3704 0044 0532 0130 00 or 4111 1111 1111 1111"
        assert [(value.kind, value.name) for value in find_values(text)] == [("iban", "iban"), ("card", "card")]

    def test_it_names_every_recogniser_once(self) -> None:
        names = [one.name for one in RECOGNISERS]
        assert len(names) == len(set(names))


class TestQuickLook:
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
    def test_it_never_misses(self, text: str) -> None:
        valid = text.encode("utf-8", "replace")
        sieve = sieve_of(RECOGNISERS)
        quick = {one.name for one in sieve.choose(to_bytes(text))}
        in_json = {one.name for one in sieve.choose(orjson.dumps({"x": valid.decode()}))}
        for one in RECOGNISERS:
            found = list(one.find(text))
            assert all(0 <= start < end <= len(text) for start, end in found)
            assert found == sorted(found)
            if found:
                assert min(end - start for start, end in found) >= one.shortest
                assert one.name in quick
                assert one.name in in_json

    @pytest.mark.parametrize("piece", HOSTILE)
    def test_a_megabyte_of_anything_takes_moments(self, piece: str) -> None:
        text = piece * (1_000_000 // len(piece))
        began = time.process_time()
        find_values(text)
        assert time.process_time() - began < 5.0

    @given(st.lists(st.sampled_from([text for _, text, _ in FOUND]), max_size=5), st.text(max_size=3))
    def test_values_come_in_order_and_never_overlap(self, texts: list[str], between: str) -> None:
        end = 0
        for value in find_values(between.join(texts)):
            assert end <= value.start < value.end
            end = value.end


class TestPackage:
    def test_it_needs_no_library_but_re2(self) -> None:
        root = Path(__file__).resolve().parents[3]
        code = (
            f"import sys; sys.path.insert(0, {str(root)!r}); before = set(sys.modules); import recognisers; "
            "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
        )
        command = [sys.executable, "-I", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert set(done.stdout.split()) - sys.stdlib_module_names == {"recognisers", "re2"}


class TestSettings:
    def test_every_kind_can_be_masked(self) -> None:
        assert set(get_args(MaskedKind)) == set(KINDS)
