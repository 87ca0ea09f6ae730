"""Bytes of an OTLP trace request to raw spans, in either encoding."""

from __future__ import annotations

from collector.otlp.body import Encoding
from collector.otlp.json import decode_json
from collector.otlp.protobuf import decode_protobuf
from collector.otlp.spans import DecodedRequest
from custodes.kernel.settings import IngestSettings


def decode_request(body: bytes, encoding: Encoding, settings: IngestSettings, now_ns: int) -> DecodedRequest:
    """Return the spans of a decompressed body; an empty body holds none and is no error.

    Raises ``MalformedError`` when the bytes are not what ``encoding`` says and ``TooLargeError`` when they
    hold more spans than a request may. Spans that break a rule alone are counted in ``rejected``.
    """
    if encoding is Encoding.JSON:
        return decode_json(body, settings, now_ns)
    return decode_protobuf(body, settings, now_ns)
