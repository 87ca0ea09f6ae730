"""The export bundle: which files there are and what the two beside the log's own formats contain.

::

    checkpoint               the signed tree head                                    (C2SP tlog-checkpoint)
    tile/<level>/<n>[.p/<w>] every hash tile of that tree                            (C2SP tlog-tiles)
    tile/entries/<n>[.p/<w>] the entries of the exported range, whole bundles        (C2SP tlog-tiles)
    entries.jsonl            the same entries as one JSON line each, for people and jq
    manifest.json            what was exported, signed by the log's key

Both extra files are functions of the others, so a verifier can compare them byte by byte. The manifest is signed
because the range is the one thing the tree cannot prove: without a signature, entries could be dropped and the
range narrowed to match. Standard library and ``cryptography`` only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from policies.audit.errors import AuditError, NoteError
from policies.audit.note import Note, VerifierKey, encode_base64, parse_note, verify_note
from policies.audit.strict_json import parse_object

CHECKPOINT_FILE = "checkpoint"
MANIFEST_FILE = "manifest.json"
ENTRIES_FILE = "entries.jsonl"
FORMAT = "custodes-audit-bundle/1"

_SIGNED_HEADER = "custodes audit bundle manifest v1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle holds of which log.

    ``first`` and ``end`` bound the entries included (``end`` exclusive); ``from_time`` and ``to_time`` are the times
    asked for (RFC 3339, ``None`` for open). ``key`` is in verifier form and informs only: trust your own copy.
    """

    origin: str
    key: str
    size: int
    root: str
    first: int
    end: int
    from_time: str | None
    to_time: str | None
    exported_at: str


def manifest_to_bytes(manifest: Manifest, sign: Callable[[str], Note]) -> bytes:
    """Return ``manifest.json``: sorted, indented JSON with the signature line of ``sign`` over its content."""
    line = sign(_signed_text(manifest)).signatures[0].to_line()
    return _render(manifest, line)


def open_manifest(data: bytes, key: VerifierKey) -> Manifest:
    """Return the manifest that ``key`` signed; raise ``AuditError`` if any byte differs from what was written."""
    value = parse_object(data)
    line = value.pop("signature", None)
    if not isinstance(line, str) or value.pop("format", None) != FORMAT:
        raise NoteError(f"manifest is not of the format {FORMAT} with a signature")
    manifest = _object_to_manifest(value)
    text = _signed_text(manifest)
    note = parse_note(f"{text}\n{line}\n".encode())
    verify_note(note, key)
    if len(note.signatures) != 1 or _render(manifest, line) != data:
        raise NoteError("manifest is not written the way its signer wrote it")
    return manifest


def entry_to_line(seq: int, body: bytes) -> bytes:
    """Return the line of ``entries.jsonl`` for one entry: the leaf itself, or base64 if it is not strict JSON."""
    try:
        parse_object(body)
    except AuditError:
        body_base64 = encode_base64(body).encode()
        return b'{"seq":%d,"leaf_base64":"%b"}\n' % (seq, body_base64)
    return b'{"seq":%d,"leaf":%b}\n' % (seq, body)


def _signed_text(manifest: Manifest) -> str:
    fields = json.dumps({"format": FORMAT, **asdict(manifest)}, sort_keys=True, separators=(",", ":"))
    # Not a checkpoint: the second line of a checkpoint is a number.
    return f"{_SIGNED_HEADER}\n{fields}\n"


def _render(manifest: Manifest, line: str) -> bytes:
    value = {"format": FORMAT, **asdict(manifest), "signature": line}
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def _object_to_manifest(value: dict[str, object]) -> Manifest:
    texts = {name: value.pop(name, None) for name in ("origin", "key", "root", "exported_at")}
    numbers = {name: value.pop(name, None) for name in ("size", "first", "end")}
    times = {name: value.pop(name, "missing") for name in ("from_time", "to_time")}
    if (
        value
        or not all(isinstance(text, str) for text in texts.values())
        or not all(type(number) is int for number in numbers.values())
        or not all(time is None or isinstance(time, str) for time in times.values())
    ):
        raise NoteError("manifest has missing, unknown or wrongly typed fields")
    return Manifest(**texts, **numbers, **times)  # type: ignore[arg-type]  # checked just above
