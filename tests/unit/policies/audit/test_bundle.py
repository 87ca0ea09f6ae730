"""The manifest and the readable copy: signed or derived, byte for byte."""

from __future__ import annotations

import json

import pytest

from policies.audit.bundle import Manifest, entry_to_line, manifest_to_bytes, open_manifest
from policies.audit.errors import AuditError, NoteError
from policies.audit.keys import LogKey


class TestManifest:
    MANIFEST = Manifest("custodes/0123456789abcdef", "key", 5, "root", 0, 5, None, "2026-11-28T10:00:00.000000Z", "now")

    def test_it_reads_back(self, log_key: LogKey) -> None:
        data = manifest_to_bytes(self.MANIFEST, log_key.sign_text)
        assert open_manifest(data, log_key.verifier) == self.MANIFEST

    def test_it_refuses_every_changed_byte(self, log_key: LogKey) -> None:
        data = manifest_to_bytes(self.MANIFEST, log_key.sign_text)
        for at in range(len(data)):
            for mask in (0x01, 0x20, 0x80):
                with pytest.raises(AuditError):
                    open_manifest(data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :], log_key.verifier)

    def test_it_refuses_another_layout_of_the_same_json(self, log_key: LogKey) -> None:
        value = json.loads(manifest_to_bytes(self.MANIFEST, log_key.sign_text))
        with pytest.raises(NoteError):
            open_manifest(json.dumps(value).encode(), log_key.verifier)

    @pytest.mark.parametrize(
        "change", [{"size": True}, {"size": "5"}, {"first": 0.5}, {"from_time": 1}, {"extra": 1}, {"signature": 1}]
    )
    def test_it_refuses_fields_of_another_type(self, log_key: LogKey, change: dict[str, object]) -> None:
        value = json.loads(manifest_to_bytes(self.MANIFEST, log_key.sign_text))
        with pytest.raises(NoteError):
            open_manifest((json.dumps(value | change, sort_keys=True, indent=2) + "\n").encode(), log_key.verifier)

    def test_it_does_not_take_a_signed_checkpoint_for_a_manifest(self, log_key: LogKey) -> None:
        line = log_key.sign_checkpoint(1, bytes(32)).note.rsplit("\n", 2)[1]
        value = json.loads(manifest_to_bytes(self.MANIFEST, log_key.sign_text))
        data = (json.dumps(value | {"signature": line}, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()
        with pytest.raises(NoteError):
            open_manifest(data, log_key.verifier)


class TestEntryLine:
    def test_it_shows_a_leaf_as_it_stands(self) -> None:
        assert entry_to_line(7, b'{"v":1}') == b'{"seq":7,"leaf":{"v":1}}\n'

    def test_it_shows_bytes_that_are_not_json_in_base64(self) -> None:
        assert entry_to_line(7, b"\xff") == b'{"seq":7,"leaf_base64":"/w=="}\n'
