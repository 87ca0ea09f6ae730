"""How stored content is compressed.

``codec`` says how the bytes are written, so that every row ever stored stays readable: 0 is JSON, 1 zlib-compressed
JSON (earlier releases), 2 zstd, 3 zstd, without the magic number, with the dictionary of version 1,
``dictionary_1.zdict`` beside this file, which ``training/train_content_dictionary.py`` made. A new dictionary becomes a
new codec; version 1 stays for ever.

Measured on the corpus of ``bench/corpus.py`` (1,780 bytes of JSON a span, 12.4 µs and 724 bytes when each span is
compressed alone with zstd's ``dfast``): in blocks of four spans ``dfast`` takes 8.1 µs and leaves 493 bytes a span,
``fast`` with the parameters below 5.6 µs and 519, ``greedy`` 14.2 µs and 491. A better search is not worth a tenth of
the time that a span may cost.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import zstandard

from custodes.kernel.errors import ConfigurationError, MalformedError

JSON, ZLIB, ZSTD, ZSTD_DICTIONARY = 0, 1, 2, 3
DICTIONARY_FILE = Path(__file__).with_name("dictionary_1.zdict")
DICTIONARY_SHA256 = "db48b5bcf7c269989f62ecd7575ac4287a2edf44149cb1e89d0cf0fb398a6f32"

_MAGIC = b"\x28\xb5\x2f\xfd"
"""With this every zstd frame begins (RFC 8878, section 3.1.1); the codec says as much, so short texts go without."""

_PLAIN_ABOVE_BYTES = 64 * 1024
"""Above this a dictionary gains nothing, and a search made for short texts misses what repeats far apart."""

MAX_JSON_BYTES = 512 * 1024 * 1024
"""A row that claims to hold more is damaged: no request may be that large."""


class Codecs:
    """Compresses and decompresses stored content. Thread-safe: each thread gets contexts of its own."""

    def __init__(self) -> None:
        self._dictionary = _load_dictionary()
        self._parameters = zstandard.ZstdCompressionParameters(
            window_log=17,
            hash_log=14,
            chain_log=14,
            search_log=1,
            min_match=6,
            strategy=zstandard.STRATEGY_FAST,
            write_content_size=True,
            write_dict_id=True,
        )
        self._dictionary.precompute_compress(compression_params=self._parameters)
        self._own = threading.local()

    def compress(self, bodies: Sequence[bytes]) -> list[tuple[int, bytes]]:
        """Return codec and bytes of each JSON object, in order.

        All are compressed in one call that lets go of the interpreter's lock once, not once a span: taking it back can
        cost 5 ms each time while other threads compute.
        """
        if not bodies:
            return []
        contexts = self._contexts()
        short: list[bytes | bytearray | memoryview[int]] = [one for one in bodies if len(one) <= _PLAIN_ABOVE_BYTES]
        packed = iter(contexts.short.multi_compress_to_buffer(short)) if short else iter(())
        return [
            self._choose(body, next(packed).tobytes()[len(_MAGIC) :], ZSTD_DICTIONARY)
            if len(body) <= _PLAIN_ABOVE_BYTES
            else self._choose(body, contexts.long.compress(body), ZSTD)
            for body in bodies
        ]

    def decompress(self, codec: int, body: bytes) -> bytes:
        """Return the JSON object; raise ``MalformedError`` for an unknown codec and for bytes that don't decode."""
        if codec == JSON:
            return body
        try:
            if codec == ZLIB:
                return zlib.decompress(body)
            if codec == ZSTD:
                return self._decompress_zstd(codec, body)
            if codec == ZSTD_DICTIONARY:
                return self._decompress_zstd(codec, _MAGIC + body)
        except (zlib.error, zstandard.ZstdError) as error:
            raise MalformedError(f"stored content with codec {codec} does not decode; the row is damaged") from error
        raise MalformedError(f"stored content has codec {codec}, which this release cannot read; upgrade Custodes")

    def decode(self, codec: int, body: bytes) -> dict[str, Any]:
        """Return the content object; raise ``MalformedError`` when there is none."""
        try:
            content = orjson.loads(self.decompress(codec, body))
        except orjson.JSONDecodeError as error:
            raise MalformedError(f"stored content with codec {codec} does not decode; the row is damaged") from error
        if not isinstance(content, dict):
            raise MalformedError(f"stored content is a {type(content).__name__}, not an object; the row is damaged")
        return content

    def _choose(self, body: bytes, packed: bytes, codec: int) -> tuple[int, bytes]:
        return (codec, packed) if len(packed) < len(body) else (JSON, body)

    def _decompress_zstd(self, codec: int, body: bytes) -> bytes:
        frame = zstandard.get_frame_parameters(body)
        if frame.content_size > MAX_JSON_BYTES:
            raise zstandard.ZstdError("the frame claims an impossible size")
        if frame.dict_id != (self._dictionary.dict_id() if codec == ZSTD_DICTIONARY else 0):
            raise MalformedError(
                f"stored content needs dictionary {frame.dict_id}, which codec {codec} does not have; the row is "
                "damaged, or a later release wrote it"
            )
        return self._contexts().decompressor.decompress(body)

    def _contexts(self) -> _Contexts:
        found: _Contexts | None = getattr(self._own, "contexts", None)
        if found is None:
            found = self._own.contexts = _Contexts(self._parameters, self._dictionary)
        return found


class _Contexts:
    """The zstd contexts of one thread; none of them may be used by two at once."""

    def __init__(
        self, parameters: zstandard.ZstdCompressionParameters, dictionary: zstandard.ZstdCompressionDict
    ) -> None:
        self.short = zstandard.ZstdCompressor(compression_params=parameters, dict_data=dictionary)
        self.long = zstandard.ZstdCompressor(level=3, write_content_size=True)
        self.decompressor = zstandard.ZstdDecompressor(dict_data=dictionary)


def _load_dictionary() -> zstandard.ZstdCompressionDict:
    """Return the shipped dictionary; a changed one would make every row unreadable, so it stops start-up."""
    try:
        data = DICTIONARY_FILE.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{DICTIONARY_FILE} cannot be read ({error.strerror}); install Custodes again"
        ) from error
    if hashlib.sha256(data).hexdigest() != DICTIONARY_SHA256:
        raise ConfigurationError(f"{DICTIONARY_FILE} is not the file that Custodes ships; install Custodes again")
    return zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_FULLDICT)
