"""Receipts: the tlog-proof format, and that a receipt proves one leaf and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.errors import AuditError, NoteError, ProofError
from policies.audit.keys import LogKey
from policies.audit.merkle import inclusion_proof, leaf_hash, root_of
from policies.audit.receipt import Receipt, parse_receipt, verify_receipt

BODIES = [f"entry {number}".encode() for number in range(11)]
HASHES = [leaf_hash(body) for body in BODIES]


def make_receipt(key: LogKey, seq: int) -> Receipt:
    """Return the receipt of one of the eleven entries."""
    return Receipt(seq, tuple(inclusion_proof(HASHES, seq)), key.sign_checkpoint(11, root_of(HASHES)).note)


class TestText:
    def test_it_is_laid_out_as_the_specification_says(self, log_key: LogKey) -> None:
        lines = make_receipt(log_key, 10).to_text().split("\n")
        assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 10"]
        assert [len(line) for line in lines[2:4]] == [44, 44]
        assert lines[4:7] == ["", "custodes/0123456789abcdef", "11"]

    @pytest.mark.parametrize("seq", range(11))
    def test_it_reads_back(self, log_key: LogKey, seq: int) -> None:
        receipt = make_receipt(log_key, seq)
        assert parse_receipt(receipt.to_text()) == receipt

    def test_it_reads_back_without_any_hash(self, log_key: LogKey) -> None:
        receipt = Receipt(0, (), log_key.sign_checkpoint(1, HASHES[0]).note)
        assert parse_receipt(receipt.to_text()) == receipt
        verify_receipt(receipt, BODIES[0], log_key.origin, log_key.verifier)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "c2sp.org/tlog-proof@v1",
            "c2sp.org/tlog-proof@v2\nindex 0\n\nx",
            "c2sp.org/tlog-proof@v1\nindex 01\n\nx",
            "c2sp.org/tlog-proof@v1\nindex -1\n\nx",
            "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nx",
            "c2sp.org/tlog-proof@v1\nextra AAAA\nindex 1\n\nx",
            "c2sp.org/tlog-proof@v1\nindex 1\n" + "A" * 43 + "=\n" * 64 + "\nx",
            "x" * 300_000,
        ],
    )
    def test_it_refuses_what_is_not_a_receipt(self, text: str) -> None:
        with pytest.raises(NoteError):
            parse_receipt(text)

    @given(st.text(max_size=200))
    def test_it_raises_only_its_own_errors(self, text: str) -> None:
        with pytest.raises(AuditError):
            parse_receipt("c2sp.org/tlog-proof@v1\nindex " + text)


class TestVerify:
    @pytest.mark.parametrize("seq", range(11))
    def test_it_proves_its_own_leaf_only(self, log_key: LogKey, seq: int) -> None:
        receipt = make_receipt(log_key, seq)
        assert verify_receipt(receipt, BODIES[seq], log_key.origin, log_key.verifier).size == 11
        for other in set(range(11)) - {seq}:
            with pytest.raises(ProofError):
                verify_receipt(receipt, BODIES[other], log_key.origin, log_key.verifier)

    def test_it_refuses_every_changed_character(self, log_key: LogKey) -> None:
        text = make_receipt(log_key, 4).to_text()
        for at, character in enumerate(text):
            changed = text[:at] + ("x" if character != "x" else "y") + text[at + 1 :]
            with pytest.raises(AuditError):
                verify_receipt(parse_receipt(changed), BODIES[4], log_key.origin, log_key.verifier)

    def test_it_refuses_the_key_of_another(self, log_key: LogKey, other_key: LogKey) -> None:
        with pytest.raises(NoteError):
            verify_receipt(make_receipt(other_key, 4), BODIES[4], log_key.origin, log_key.verifier)
