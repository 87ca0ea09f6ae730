"""Signed notes: vectors of other implementations, then every changed byte, then malformed input."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.errors import AuditError, NoteError, SignatureError, UnknownKeyError
from policies.audit.note import (
    COSIGNATURE,
    ED25519,
    Note,
    VerifierKey,
    cosign,
    count_unknown,
    decode_base64,
    parse_note,
    parse_verifier_key,
    sign_text,
    verify_note,
)

# The example key and note in the documentation of golang.org/x/mod/sumdb/note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
PETER_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_NOTE = (
    PETER_TEXT
    + "\n\u2014 PeterNeumann "
    + "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NOTE = sign_text("line one\n\nline three\n", "example.com/log", KEY)
VERIFIER = VerifierKey("example.com/log", ED25519, KEY.public_key().public_bytes_raw())
WITNESS_VERIFIER = VerifierKey("example.com/w", COSIGNATURE, WITNESS.public_key().public_bytes_raw())


class TestKnownAnswers:
    def test_it_verifies_the_note_of_the_go_documentation(self) -> None:
        verify_note(parse_note(PETER_NOTE.encode()), parse_verifier_key(PETER))

    def test_it_signs_the_same_note_byte_for_byte(self) -> None:
        private = Ed25519PrivateKey.from_private_bytes(PETER_SEED)
        assert sign_text(PETER_TEXT, "PeterNeumann", private).to_text() == PETER_NOTE

    @pytest.mark.parametrize(
        "text",
        [
            PETER,
            "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
            "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
            "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        ],
    )
    def test_it_reads_and_writes_keys_of_other_implementations(self, text: str) -> None:
        assert parse_verifier_key(text).to_text() == text

    def test_it_knows_a_cosignature_key_by_its_type(self) -> None:
        text = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
        assert parse_verifier_key(text).kind == COSIGNATURE


class TestVerifyNote:
    def test_it_accepts_a_text_with_empty_lines(self) -> None:
        assert verify_note(parse_note(NOTE.to_text().encode()), VERIFIER) is None

    def test_it_refuses_every_changed_byte(self) -> None:
        data = NOTE.to_text().encode()
        for at in range(len(data)):
            for mask in (0x01, 0x10, 0x20, 0x80):
                with pytest.raises(NoteError):
                    verify_note(parse_note(data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]), VERIFIER)

    def test_it_refuses_every_dropped_and_every_doubled_byte(self) -> None:
        data = NOTE.to_text().encode()
        for at in range(len(data)):
            for changed in (data[:at] + data[at + 1 :], data[: at + 1] + data[at:]):
                if changed != data:
                    with pytest.raises(NoteError):
                        verify_note(parse_note(changed), VERIFIER)

    def test_it_ignores_signatures_of_keys_it_does_not_know(self) -> None:
        stranger = sign_text(NOTE.text, "example.com/stranger", WITNESS).signatures[0]
        note = Note(NOTE.text, (stranger, *NOTE.signatures))
        verify_note(note, VERIFIER)
        assert count_unknown(note, [VERIFIER]) == 1

    def test_it_says_the_key_is_unknown_when_nothing_in_the_note_is_by_it(self) -> None:
        other = VerifierKey("example.com/log", ED25519, WITNESS.public_key().public_bytes_raw())
        with pytest.raises(UnknownKeyError):
            verify_note(NOTE, other)

    def test_it_says_altered_when_only_the_name_in_the_line_was_changed(self) -> None:
        renamed = NOTE.to_text().replace("\u2014 example.com/log", "\u2014 example.com/lag")
        with pytest.raises(SignatureError):
            verify_note(parse_note(renamed.encode()), VERIFIER)

    def test_it_refuses_the_note_if_one_of_two_lines_by_the_key_is_bad(self) -> None:
        bad = sign_text("another text\n", "example.com/log", KEY).signatures[0]
        with pytest.raises(SignatureError):
            verify_note(Note(NOTE.text, (*NOTE.signatures, bad)), VERIFIER)


class TestCosignatures:
    def test_it_gives_back_the_time_the_witness_signed(self) -> None:
        note = parse_note(cosign(NOTE, "example.com/w", WITNESS, 1_679_315_147).to_text().encode())
        assert verify_note(note, WITNESS_VERIFIER) == 1_679_315_147
        assert verify_note(note, VERIFIER) is None

    def test_it_signs_the_message_of_the_specification(self) -> None:
        signature = cosign(NOTE, "example.com/w", WITNESS, 7).signatures[-1]
        WITNESS.public_key().verify(signature.signed[8:], b"cosignature/v1\ntime 7\n" + NOTE.text.encode())
        assert signature.signed[:8] == b"\x00" * 7 + b"\x07"

    def test_it_binds_the_time(self) -> None:
        good = cosign(NOTE, "example.com/w", WITNESS, 7).signatures[-1]
        late = type(good)(good.name, good.key_id, (8).to_bytes(8, "big") + good.signed[8:])
        with pytest.raises(SignatureError):
            verify_note(Note(NOTE.text, (late,)), WITNESS_VERIFIER)

    def test_it_does_not_take_a_plain_signature_for_a_cosignature(self) -> None:
        plain = sign_text(NOTE.text, "example.com/w", WITNESS)
        with pytest.raises(UnknownKeyError):
            verify_note(plain, WITNESS_VERIFIER)


class TestMalformed:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\n",
            b"\n\n",
            b"text\n",
            b"text\n\n",
            b"text\n\nno signature\n",
            "text\n\n\u2014 name AAAAAAA=".encode(),
            "text\n\n\u2014 name !!!!\n".encode(),
            "text\n\n\u2014 name AAAAAA==\n".encode(),  # a key id and nothing after it
            "text\n\n\u2014  AAAAAAAA\n".encode(),
            "text\n\n\u2014 a+b AAAAAAAA\n".encode(),
            "text\n\n\u2014 a\u00a0b AAAAAAAA\n".encode(),
            "text\r\n\n\u2014 name AAAAAAAA\n".encode(),
            "te\x00xt\n\n\u2014 name AAAAAAAA\n".encode(),
            "text\n\n\u2014 name AAAAAAAA\n\n".encode(),
            b"\xff\n\n\xe2\x80\x94 name AAAAAAAA\n",
            ("text\n\n" + "\u2014 name AAAAAAAA\n" * 65).encode(),
            b"x" * 300_000,
        ],
    )
    def test_it_refuses_what_is_not_a_note(self, data: bytes) -> None:
        with pytest.raises(NoteError):
            parse_note(data)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "name",
            "name+c74f20a3",
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
            "PeterNeumann+c74f20a3+",
            "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "x\udcff+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ],
    )
    def test_it_refuses_what_is_not_a_verifier_key(self, text: str) -> None:
        with pytest.raises(NoteError):
            parse_verifier_key(text)

    @pytest.mark.parametrize("text", ["AA", "AB==", "A===", "AA==\n", " AA==", "AA==AA==", "é", "_-8="])
    def test_it_reads_base64_only_in_its_one_form(self, text: str) -> None:
        with pytest.raises(NoteError):
            decode_base64(text)

    @pytest.mark.parametrize("text", ["", "no newline", "tab\tbed\n", "a\r\n"])
    def test_it_refuses_to_sign_a_text_that_would_not_read_back(self, text: str) -> None:
        with pytest.raises(NoteError):
            sign_text(text, "name", KEY)

    @pytest.mark.parametrize("name", ["", "a b", "a+b", "a\n", "a\u3000b", "a\x7f"])
    def test_it_refuses_key_names_that_would_not_read_back(self, name: str) -> None:
        with pytest.raises(NoteError):
            sign_text("text\n", name, KEY)

    @given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: f"a\n\n\u2014 n {text}\n".encode()))
    def test_it_raises_only_its_own_errors(self, data: bytes) -> None:
        try:
            verify_note(parse_note(data), VERIFIER)
        except AuditError:
            return
        pytest.fail("an unsigned note was accepted")
