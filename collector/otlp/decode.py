"""Bytes of an OTLP trace request to raw spans, in either encoding."""

from __future__ import annotations

from collector.otlp.body import Encoding
from collector.otlp.json import decode_json
from collector.otlp.protobuf import ProtobufDecoder
from collector.otlp.spans import DecodedRequest
from custodes.kernel.settings import IngestSettings


class Decoder:
    """Decodes requests in either encoding under ``settings``. Thread-safe."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._protobuf = ProtobufDecoder(settings)

    def decode(self, body: bytes, encoding: Encoding, now_ns: int) -> DecodedRequest:
        """Return the spans of a decompressed body; an empty body holds none and is no error.

        Raises ``MalformedError`` when the bytes are not what ``encoding`` says and ``TooLargeError`` when they
        hold more spans than a request may. Spans that break a rule alone are counted in ``rejected``.
        """
        if encoding is Encoding.JSON:
            return decode_json(body, self._settings, now_ns)
        return self._protobuf.decode(body, now_ns)


def decode_request(body: bytes, encoding: Encoding, settings: IngestSettings, now_ns: int) -> DecodedRequest:
    """Return the spans of one body; for many, keep a :class:`Decoder`."""
    return Decoder(settings).decode(body, encoding, now_ns)
