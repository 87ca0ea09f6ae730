"""Arrays to bytes and back, exactly: how references and states are stored.

Layout: ``CDR1``, a little-endian uint32 with the length of the header, a JSON header with a kind, plain values and the
name, type and shape of each array, then the arrays' bytes, all below one zlib stream, and before everything the
SHA-256 of what follows. The same content gives the same bytes; a changed byte is found. No pickle: nothing is run.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.errors import DriftFormatError, DriftStateError

_MAGIC: Final = b"CDR1"
_TYPES: Final = ("<f8", "<f4", "<i8", "<i4", "|i1", "|b1")
_MOST_BYTES: Final = 64 * 2**20
# A monitor is packed in every scoring transaction: a third of the time, for a tenth more bytes.
_EFFORT: Final = 1


def pack(kind: str, values: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return bytes that ``unpack`` turns back into equal values and bit-identical arrays."""
    fields = []
    parts = []
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        code = array.dtype.newbyteorder("<").str
        if code not in _TYPES:
            raise TypeError(f"{name} has type {array.dtype}, which is not stored")
        fields.append([name, code, list(array.shape)])
        parts.append(array.astype(code, copy=False).tobytes())
    header = json.dumps({"kind": kind, "values": dict(values), "arrays": fields}, sort_keys=True).encode()
    body = _MAGIC + zlib.compress(struct.pack("<I", len(header)) + header + b"".join(parts), _EFFORT)
    return hashlib.sha256(body).digest() + body


def unpack(kind: str, data: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the values and arrays of ``data``.

    Raises DriftStateError if it is damaged or of another kind, and DriftFormatError if the kind differs in its number
    only, as in "reference-2": that counts formats.
    """
    body = data[32:]
    if hashlib.sha256(body).digest() != data[:32] or body[:4] != _MAGIC:
        raise DriftStateError(f"stored bytes of a {kind} are damaged ({len(data)} bytes): restore them from a backup")
    reader = zlib.decompressobj()
    raw = reader.decompress(body[4:], _MOST_BYTES)
    if reader.unconsumed_tail:
        raise DriftStateError(f"a stored {kind} holds more than {_MOST_BYTES} bytes")
    (length,) = struct.unpack_from("<I", raw)
    header = json.loads(raw[4 : 4 + length])
    if header["kind"] != kind and _without_number(header["kind"]) == _without_number(kind):
        raise DriftFormatError(f"a stored {header['kind']} has the format of another release, this one reads {kind}")
    if header["kind"] != kind:
        raise DriftStateError(f"expected a stored {kind}, found a {header['kind']}")
    arrays: dict[str, npt.NDArray[Any]] = {}
    offset = 4 + length
    for name, code, shape in header["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(raw, dtype=code, count=count, offset=offset).reshape(shape).copy()
        offset += count * np.dtype(code).itemsize
    return header["values"], arrays


def _without_number(kind: str) -> str:
    return kind.rstrip("0123456789").rstrip("-")
