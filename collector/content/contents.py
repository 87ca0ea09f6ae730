"""Packs captured text for storing, and unpacks it for those who may read it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from collector.content.blocks import BLOCK, SpanBody, gather_blocks
from collector.content.codecs import Codecs
from collector.content.keys import DataKey, KeyRing
from collector.content.masking import Masker
from collector.content.master import KEY_FILE, MasterKey, load_master_key, load_or_create_master_key
from collector.content.store import (
    destroy_keys,
    has_live_keys,
    has_sealed_secrets,
    insert_keys,
    lock_keys,
    read_destroyed_ids,
    read_fingerprint,
    read_keys,
    record_fingerprint,
)
from custodes.db.database import Database, ReadTx, WriteTx
from custodes.kernel.clock import Clock
from custodes.kernel.errors import ConfigurationError, ConflictError, MalformedError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import PrivacySettings, Settings

Body = tuple[str | None, bytes, bytes]
"""Whose text it is (a user id, or ``None``), what binds it to its place, and the JSON object."""

PackedRow = tuple[int, bytes | None, bytes]
"""Codec, key id and bytes."""

StoredRow = tuple[int, bytes | None, bytes, bytes]
"""Codec, key id, bytes, and what bound them to their place when they were packed."""

SpanRow = tuple[int, int | None, bytes | None, bytes | None, bytes, bytes]
"""Number of the content row, codec, key id and bytes (``None`` without one), trace id and span id."""

_NONCE_BYTES = 12


def span_aad(trace_id: bytes, span_id: bytes) -> bytes:
    """Return what binds the content of a single span to it; within its project, which is bound too."""
    return trace_id + span_id


@dataclass(slots=True)
class PackedContents:
    """Content ready for storing. ``rows`` are in the order of the bodies, and may be stored once ``keep_keys`` is done.

    ``owners`` are subject and binding of each row; ``keys`` are those the rows need, by id.
    """

    project: str
    rows: list[PackedRow]
    owners: list[tuple[str | None, bytes]] = field(default_factory=list)
    keys: dict[bytes, DataKey] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """One content object, or why there is none: its row does not decode, or its key was destroyed."""

    content: dict[str, Any] | None
    problem: Literal["damaged", "erased"] | None = None


_DAMAGED, _ERASED = Unpacked(None, "damaged"), Unpacked(None, "erased")


class Contents:
    """Packs and unpacks. Thread-safe.

    Without a ``master`` nothing can be encrypted, and encrypted rows count as damaged.
    """

    def __init__(
        self, database: Database, settings: PrivacySettings, metrics: Metrics, clock: Clock, master: MasterKey | None
    ) -> None:
        self._codecs = Codecs()
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._master = master
        self._ring = None if master is None else KeyRing(database, master, clock)
        self._masker = Masker(settings.mask) if settings.mask else None

    def pack(self, project: str, bodies: Sequence[Body]) -> PackedContents:
        """Return the rows of these bodies, in order. Call outside any transaction; it may read the database.

        Raises ``DatabaseError`` when keys cannot be looked up.
        """
        masked = self._mask([body for _, _, body in bodies])
        owners = [(subject, aad) for subject, aad, _ in bodies]
        return self._seal(project, owners, self._codecs.compress(masked))

    def pack_spans(self, project: str, spans: Sequence[SpanBody]) -> tuple[PackedContents, list[int]]:
        """Return blocks that hold the content of these spans, and for each span the place of its block among them.

        Otherwise as :meth:`pack`.
        """
        if self._masker is not None:
            # Before the blocks are made: digits of an id must not be taken for somebody's number.
            masked = self._mask([body for _, _, _, body in spans])
            spans = [(*one[:3], body) for one, body in zip(spans, masked, strict=True)]
        blocks = gather_blocks(spans)
        owners = [(subject, trace_id) for subject, trace_id, _ in blocks.bodies]
        compressed = self._codecs.compress([body for _, _, body in blocks.bodies])
        return self._seal(project, owners, [(BLOCK + codec, body) for codec, body in compressed]), blocks.places

    def _seal(
        self, project: str, owners: list[tuple[str | None, bytes]], compressed: Sequence[tuple[int, bytes]]
    ) -> PackedContents:
        """Return the rows of what is compressed, encrypted unless the settings say otherwise."""
        if self._ring is None or not self._settings.encrypt:
            return PackedContents(project, [(codec, None, body) for codec, body in compressed])
        keys = self._ring.take(project, dict(Counter(subject for subject, _ in owners)))
        nonces = os.urandom(_NONCE_BYTES * len(owners))
        prefix = project.encode() + b"\0"
        rows: list[PackedRow] = []
        for place, ((codec, body), (subject, aad)) in enumerate(zip(compressed, owners, strict=True)):
            key = keys[subject]
            nonce = nonces[place * _NONCE_BYTES : (place + 1) * _NONCE_BYTES]
            rows.append((codec, key.row.id, nonce + key.cipher.encrypt(nonce, body, b"%d:%b%b" % (codec, prefix, aad))))
        return PackedContents(project, rows, owners, {key.row.id: key for key in keys.values()})

    def keep_keys(self, tx: WriteTx, packed: PackedContents) -> None:
        """Store the keys ``packed`` needs. Call it in the storing transaction, before its rows are read.

        Rows whose key was destroyed since they were packed are encrypted anew, so nothing is ever stored under a
        destroyed key, however long a process keeps one at hand.
        """
        self.keep_all_keys(tx, [packed])

    def keep_all_keys(self, tx: WriteTx, group: Sequence[PackedContents]) -> None:
        """As :meth:`keep_keys` for several at once, in two statements."""
        needed = {key_id for packed in group for key_id in packed.keys}
        if not needed:
            return
        lock_keys(tx, {packed.project for packed in group if packed.keys})
        gone: set[bytes] = set()
        # The successor of a destroyed key may have been destroyed as well, so look until none is left.
        while destroyed := read_destroyed_ids(tx, needed):
            gone |= destroyed
            for packed in group:
                if not destroyed.isdisjoint(packed.keys):
                    self._seal_anew(packed, gone)
            needed = {key_id for packed in group for key_id in packed.keys}
        keys = {key_id: key.row for packed in group for key_id, key in packed.keys.items()}
        insert_keys(tx, keys.values())

    def unpack(self, tx: ReadTx, project: str, rows: Sequence[StoredRow]) -> list[dict[str, Any] | None]:
        """Return the content of rows, in order; ``None`` where it is damaged or its key was destroyed."""
        return [one.content for one in self.unpack_each(tx, project, rows)]

    def unpack_each(self, tx: ReadTx, project: str, rows: Sequence[StoredRow]) -> list[Unpacked]:
        """Return the content of rows of ``project``, in order, or why there is none.

        Keys are read from the database each time: what was erased cannot be read a moment later, anywhere. A row
        that was put in another row's place, or another project's, is damaged.
        """
        keys = read_keys(tx, {key_id for _, key_id, _, _ in rows if key_id is not None})
        ciphers = {} if self._ring is None else {row.id: self._ring.open(project, row) for row in keys.values()}
        prefix = project.encode() + b"\0"
        found: list[Unpacked] = []
        for codec, key_id, body, aad in rows:
            if key_id is None:
                found.append(self._decode(codec, body))
            elif key_id in keys and keys[key_id].wrapped is None:
                found.append(_ERASED)
            else:
                plain = _unseal(ciphers.get(key_id), body, b"%d:%b%b" % (codec, prefix, aad))
                found.append(_DAMAGED if plain is None else self._decode(codec, plain))
        return found

    def unpack_spans(self, tx: ReadTx, project: str, rows: Sequence[SpanRow]) -> list[Unpacked]:
        """Return the content of spans of ``project``, in order, or why there is none; each block is opened once.

        A span without a content row has an empty one.
        """
        stored: dict[int, StoredRow] = {}
        for number, codec, key_id, body, trace_id, span_id in rows:
            if codec is not None and body is not None:
                bound = trace_id if codec & BLOCK else span_aad(trace_id, span_id)
                stored.setdefault(number, (codec, key_id, body, bound))
        opened = dict(zip(stored, self.unpack_each(tx, project, list(stored.values())), strict=True))
        return [
            Unpacked({}) if codec is None else _pick(opened[number], codec, span_id)
            for number, codec, _, _, _, span_id in rows
        ]

    def destroy_subject_keys(self, tx: WriteTx, project: str, subject: str) -> int:
        """Destroy every key of a person in ``project`` and return how many there were.

        What they encrypted is unreadable, everywhere, as soon as the transaction commits. Text of this person that
        is kept under no key of theirs, as when a span did not say whose it was, is not touched.
        """
        if self._master is None:
            return 0
        return destroy_keys(tx, project, self._master.digest_subject(project, subject), self._clock())

    def pseudonym(self, project: str, subject: str) -> str:
        """Return what stands for a person where their name must not: a keyed hash in hex.

        Raises ``ConflictError`` in an installation without a master key, which encrypts nothing.
        """
        if self._master is None:
            raise ConflictError(
                "captured text is not encrypted here, so there is no key to destroy and to name people by"
            )
        return self._master.digest_subject(project, subject).hex()

    def keep_from_erasure(self, tx: WriteTx, project: str) -> None:
        """Make erasures in ``project`` wait until the transaction ends, or wait for the one under way."""
        lock_keys(tx, [project])

    def _mask(self, bodies: list[bytes]) -> list[bytes]:
        if self._masker is None:
            return bodies
        masked = [self._masker.mask(body) for body in bodies]
        total: Counter[str] = Counter()
        for _, counts in masked:
            total.update(counts)
        for kind, n in total.items():
            self._metrics.content_masked.labels(kind=kind).inc(n)
        return [body for body, _ in masked]

    def _decode(self, codec: int, body: bytes) -> Unpacked:
        try:
            return Unpacked(self._codecs.decode(codec & ~BLOCK, body))
        except MalformedError:
            return _DAMAGED

    def _seal_anew(self, packed: PackedContents, destroyed: set[bytes]) -> None:
        ring = self._ring
        if ring is None:
            return
        prefix = packed.project.encode() + b"\0"
        for place, (codec, key_id, body) in enumerate(packed.rows):
            if key_id not in destroyed or key_id is None:
                continue
            subject, aad = packed.owners[place]
            bound = b"%d:%b%b" % (codec, prefix, aad)
            plain = packed.keys[key_id].cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], bound)
            key = ring.renew(packed.project, subject, destroyed)
            nonce = os.urandom(_NONCE_BYTES)
            packed.rows[place] = (codec, key.row.id, nonce + key.cipher.encrypt(nonce, plain, bound))
            packed.keys[key.row.id] = key
        for key_id in destroyed & packed.keys.keys():
            del packed.keys[key_id]


def _pick(opened: Unpacked, codec: int, span_id: bytes) -> Unpacked:
    """Return the content of one span out of its row; a block that does not name the span was put in another's place."""
    if opened.content is None or not codec & BLOCK:
        return opened
    content = opened.content.get(span_id.hex())
    return Unpacked(content) if isinstance(content, dict) else _DAMAGED


def _unseal(cipher: AESGCM | None, body: bytes, bound: bytes) -> bytes | None:
    """Return what was encrypted; ``None`` without a key, for another place, and for bytes that were changed."""
    if cipher is None:
        return None
    try:
        return cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        return None


def open_contents(database: Database, settings: Settings, metrics: Metrics, clock: Clock) -> Contents:
    """Return the contents as configured, the master key created at the first start of an installation.

    Raises ``ConfigurationError`` when the master key is missing although the installation has one, is another one, or
    cannot be used.
    """
    return Contents(database, settings.privacy, metrics, clock, _open_master(database, settings, clock))


def check_contents(database: Database, settings: Settings) -> Path | None:
    """Return the file of the master key, ``None`` where none was needed yet; creates and records nothing.

    Raises ``ConfigurationError`` where :func:`open_contents` would because of the key an installation has.
    """
    path = settings.content_key_dir / KEY_FILE
    recorded = _require_master(database, settings, path)
    if not os.path.lexists(path):
        return None
    master = load_master_key(path)
    if recorded is not None:
        _require_same(path, master, recorded)
    return path


def _open_master(database: Database, settings: Settings, clock: Clock) -> MasterKey | None:
    path = settings.content_key_dir / KEY_FILE
    _require_master(database, settings, path)
    if not os.path.lexists(path) and not settings.privacy.encrypt:
        return None
    return _load_recorded(database, path, clock)


def open_master(database: Database, settings: Settings, clock: Clock) -> MasterKey:
    """Return the installation's master key, created where there was none. Call outside any transaction.

    Raises ``ConfigurationError`` when it is missing although one is on record, is another one, or cannot be used.
    """
    path = settings.content_key_dir / KEY_FILE
    with database.read() as tx:
        is_recorded = read_fingerprint(tx) is not None
    if is_recorded and not os.path.lexists(path):
        raise ConfigurationError(
            f"the secrets of endpoints are encrypted and the key {path} is missing; restore it from your backup, copy "
            "it from another machine of this installation, or point CUSTODES_PRIVACY__KEY_DIR to its folder"
        )
    return _load_recorded(database, path, clock)


def _load_recorded(database: Database, path: Path, clock: Clock) -> MasterKey:
    master = load_or_create_master_key(path.parent)
    with database.write() as tx:
        record_fingerprint(tx, master.fingerprint, clock())
        recorded = read_fingerprint(tx)
    _require_same(path, master, recorded)
    return master


def _require_master(database: Database, settings: Settings, path: Path) -> bytes | None:
    """Return the fingerprint on record; raise ``ConfigurationError`` when the file is needed and missing."""
    with database.read() as tx:
        recorded = read_fingerprint(tx)
        needed = recorded is not None and (settings.privacy.encrypt or has_live_keys(tx) or has_sealed_secrets(tx))
    if needed and not os.path.lexists(path):
        raise ConfigurationError(
            f"captured text or secrets of endpoints are encrypted and the key {path} is missing; restore it from your "
            "backup, copy it from another machine of this installation, or point CUSTODES_PRIVACY__KEY_DIR to its "
            "folder"
        )
    return recorded


def _require_same(path: Path, master: MasterKey, recorded: bytes | None) -> None:
    if recorded != master.fingerprint:
        raise ConfigurationError(
            f"content key {path} has fingerprint {master.fingerprint.hex()}, but this database belongs to "
            f"{'none' if recorded is None else recorded.hex()}; every machine of an installation needs the same file"
        )
