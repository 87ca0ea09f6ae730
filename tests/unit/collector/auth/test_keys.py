"""The text of API keys: form, checksum, hash."""

from __future__ import annotations

import hashlib
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.auth.keys import generate_key, hash_key, parse_key
from collector.auth.roles import ROLE_ABBREVIATIONS, ROLES, Role
from custodes.kernel.errors import AuthenticationError

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def base62(text: str) -> int:
    value = 0
    for letter in text:
        value = value * 62 + DIGITS.index(letter)
    return value


class TestGenerate:
    @pytest.mark.parametrize("role", ROLES)
    def test_it_has_the_documented_form(self, role: Role) -> None:
        form = rf"cst_{ROLE_ABBREVIATIONS[role]}_[0-9a-z]{{8}}_[0-9A-Za-z]{{43}}_[0-9A-Za-z]{{6}}"
        assert re.fullmatch(form, generate_key(role))

    def test_its_checksum_is_the_crc32_of_all_that_precedes_it(self) -> None:
        head, _, checksum = generate_key("viewer").rpartition("_")
        assert base62(checksum) == zlib.crc32(head.encode())

    def test_it_carries_256_bits_and_never_repeats(self) -> None:
        secrets = {generate_key("viewer").split("_")[3] for _ in range(200)}
        assert len(secrets) == 200
        assert all(base62(secret) < 2**256 for secret in secrets)
        assert max(base62(secret) for secret in secrets) > 2**250


class TestParse:
    def test_it_gives_back_id_role_and_hash(self) -> None:
        text = generate_key("analyst")
        parsed = parse_key(text)
        assert (parsed.id, parsed.role) == (text.split("_")[2], "analyst")
        assert parsed.hash == hashlib.sha256(text.encode()).digest() == hash_key(text)

    def test_it_notices_every_single_wrong_letter(self) -> None:
        text = generate_key("admin")
        for at in range(len("cst_adm_"), len(text)):
            if text[at] == "_":
                continue
            wrong = text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1 :]
            with pytest.raises(AuthenticationError, match="checksum"):
                parse_key(wrong)

    def test_it_notices_a_changed_role(self) -> None:
        with pytest.raises(AuthenticationError, match="checksum"):
            parse_key(generate_key("viewer").replace("cst_vwr_", "cst_adm_"))

    def test_its_message_never_repeats_the_key(self) -> None:
        text = generate_key("admin")
        with pytest.raises(AuthenticationError) as caught:
            parse_key(text[:-1] + ("0" if text[-1] != "0" else "1"))
        assert text.split("_")[3] not in str(caught.value)

    @given(st.text(max_size=100))
    def test_it_refuses_anything_else_with_our_error_only(self, text: str) -> None:
        with pytest.raises(AuthenticationError):
            parse_key(text)
