"""Checkpoints: the specification's example, signing and opening, and everything that is not one."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.checkpoint import checkpoint_to_text, open_checkpoint, text_to_head
from policies.audit.errors import AuditError, NoteError, SignatureError, UnknownKeyError
from policies.audit.keys import LogKey
from policies.audit.merkle import EMPTY_ROOT, leaf_hash
from policies.audit.note import parse_note

ROOT = leaf_hash(b"entry")
ROOT_64 = base64.b64encode(ROOT).decode()


class TestText:
    def test_it_reads_the_example_of_the_specification(self) -> None:
        data = (
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
            "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5"
            "/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        ).encode()
        origin, size, root = text_to_head(parse_note(data).text)
        assert (origin, size) == ("example.com/behind-the-sofa", 20852163)
        assert root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"

    def test_it_writes_three_lines(self) -> None:
        assert checkpoint_to_text("custodes/x", 1, ROOT) == f"custodes/x\n1\n{ROOT_64}\n"

    def test_it_carries_extension_lines_of_others(self) -> None:
        assert text_to_head(f"o\n1\n{ROOT_64}\nextension\n") == ("o", 1, ROOT)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "o\n1\n",
            f"o\n1\n{ROOT_64}",
            f"o\n01\n{ROOT_64}\n",
            f"o\n-1\n{ROOT_64}\n",
            f"o\n+1\n{ROOT_64}\n",
            f"o\n1 \n{ROOT_64}\n",
            f"o\n\u0661\n{ROOT_64}\n",
            f"o\n9223372036854775808\n{ROOT_64}\n",
            f"o\n{'9' * 5000}\n{ROOT_64}\n",
            f"\n1\n{ROOT_64}\n",
            f"o\n1\n{ROOT_64}\n\n",
            f"o\n1\n{ROOT_64}\n\nx\n",
            f"o\n1\n{ROOT_64[:-4]}\n",
            "o\n1\nnot base64\n",
            f"o\n0\n{ROOT_64}\n",
        ],
    )
    def test_it_refuses_what_is_not_a_checkpoint(self, text: str) -> None:
        with pytest.raises(NoteError):
            text_to_head(text)

    @pytest.mark.parametrize(("origin", "size"), [("", 1), ("a\nb", 1), ("o", -1), ("o", 2**63)])
    def test_it_refuses_to_write_what_would_not_read_back(self, origin: str, size: int) -> None:
        with pytest.raises(NoteError):
            checkpoint_to_text(origin, size, ROOT)

    @given(st.text(max_size=80))
    def test_it_raises_only_its_own_errors(self, text: str) -> None:
        with pytest.raises(AuditError):
            text_to_head(text)


class TestOpen:
    def test_it_opens_what_the_log_signed(self, log_key: LogKey) -> None:
        signed = log_key.sign_checkpoint(1, ROOT)
        assert open_checkpoint(signed.note.encode(), log_key.origin, log_key.verifier) == signed

    def test_it_opens_the_empty_log(self, log_key: LogKey) -> None:
        signed = log_key.sign_checkpoint(0, EMPTY_ROOT)
        assert open_checkpoint(signed.note.encode(), log_key.origin, log_key.verifier).size == 0

    def test_it_refuses_the_key_of_another(self, log_key: LogKey, other_key: LogKey) -> None:
        signed = other_key.sign_checkpoint(1, ROOT)
        with pytest.raises(UnknownKeyError):
            open_checkpoint(signed.note.encode(), log_key.origin, log_key.verifier)

    def test_it_refuses_a_checkpoint_of_another_log_even_by_the_same_key(self, log_key: LogKey) -> None:
        signed = log_key.sign_checkpoint(1, ROOT)
        with pytest.raises(UnknownKeyError, match="origin"):
            open_checkpoint(signed.note.encode(), "custodes/elsewhere", log_key.verifier)

    @pytest.mark.parametrize(("old", "new"), [("\n1\n", "\n2\n"), ("custodes/0", "custodes/1")])
    def test_it_refuses_an_edited_head(self, log_key: LogKey, old: str, new: str) -> None:
        edited = log_key.sign_checkpoint(1, ROOT).note.replace(old, new, 1)
        with pytest.raises(SignatureError):
            open_checkpoint(edited.encode(), log_key.origin, log_key.verifier)
