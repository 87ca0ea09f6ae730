"""Whatever bytes arrive, only our errors come out, through decoding and normalising alike."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.content import content_to_json
from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.otlp.body import Encoding, read_body
from collector.otlp.decode import decode_request
from custodes.kernel.errors import InvalidInputError
from custodes.kernel.settings import IngestSettings

FOLDER = Path(__file__).parents[3] / "data" / "otlp"
NOW_NS = 1_795_300_000_000_000_000
PROTOBUF = [
    (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    for body in (path.read_bytes() for path in sorted(FOLDER.glob("*.bin")))
    if body[:1] != b"{"
]
JSON = [path.read_bytes() for path in sorted(FOLDER.glob("vercel*.bin"))]
FRAGMENTS = [
    *(b"\x00 \xff \x7f \x80 null -1 1e999 NaN \\ud800 __REDACTED__".split()),
    *(rb'{} [] "" {"values":[]} [[[[ '.split()),
    b"0" * 32,
    b"\xc3\x28",
    b"llm.input_messages.0.message.contents.0.message_content.image.image.url",
    b"\xff" * 9 + b"\x01",
]


@st.composite
def mutated(draw: st.DrawFn, bodies: list[bytes]) -> bytes:
    """Return a recorded body with a few pieces replaced, removed, doubled or moved."""
    body = bytearray(draw(st.sampled_from(bodies)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(body) - 1)))
        size = draw(st.integers(0, 24))
        action = draw(st.sampled_from(["flip", "insert", "cut", "double", "truncate"]))
        if action == "flip" and body:
            body[at] ^= 1 << draw(st.integers(0, 7))
        elif action == "insert":
            body[at:at] = draw(st.one_of(st.binary(max_size=24), st.sampled_from(FRAGMENTS)))
        elif action == "cut":
            del body[at : at + size]
        elif action == "double":
            body[at:at] = body[at : at + size]
        elif action == "truncate" and draw(st.booleans()):
            del body[at:]
    return bytes(body)


def run(body: bytes, encoding: Encoding) -> None:
    try:
        decoded = decode_request(body, encoding, IngestSettings(max_depth=8), NOW_NS)
    except InvalidInputError:
        return
    for raw in decoded.spans:
        span = normalise(raw)
        assert 0 < span.start_ns <= span.end_ns < 2**63
        content = orjson.loads(content_to_json(span))
        extract_exchange(content["input_messages"], content["output_messages"], content["retrieved_documents"])


class TestDecoder:
    @pytest.mark.parametrize("encoding", list(Encoding))
    @given(body=st.binary(max_size=400))
    def test_random_bytes_are_read_or_refused(self, encoding: Encoding, body: bytes) -> None:
        run(body, encoding)

    @given(body=mutated(PROTOBUF))
    @settings(max_examples=400, deadline=None)
    def test_mutated_protobuf_is_read_or_refused(self, body: bytes) -> None:
        run(body, Encoding.PROTOBUF)

    @given(body=mutated(JSON))
    @settings(max_examples=400, deadline=None)
    def test_mutated_json_is_read_or_refused(self, body: bytes) -> None:
        run(body, Encoding.JSON)

    @given(body=st.one_of(st.binary(max_size=400), mutated([gzip.compress(body) for body in PROTOBUF])))
    @example(body=b"\x1f\x8b")
    @settings(max_examples=300, deadline=None)
    def test_mutated_gzip_is_read_or_refused(self, body: bytes) -> None:
        try:
            read_body(body, "gzip", IngestSettings())
        except InvalidInputError:
            return
