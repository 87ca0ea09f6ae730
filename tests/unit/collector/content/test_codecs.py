"""Stored content reads back as it was written, or says that it cannot; the dictionary is the one that was shipped."""

from __future__ import annotations

import contextlib
import random
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bench.corpus import make_body, make_texts
from collector.content import JSON, ZLIB, ZSTD, ZSTD_DICTIONARY, codecs, content_to_json
from collector.content.codecs import DICTIONARY_FILE, Codecs
from collector.dialects.normalise import normalise
from collector.otlp.body import Encoding
from collector.otlp.decode import decode_request
from custodes.kernel.errors import ConfigurationError, MalformedError
from custodes.kernel.settings import IngestSettings
from training.train_content_dictionary import DICTIONARY_ID, train

NOW_NS = 1_795_300_000_000_000_000


@pytest.fixture(scope="module")
def shared() -> Codecs:
    return Codecs()


@pytest.fixture(scope="module")
def corpus() -> list[bytes]:
    """The content of 200 spans of the benchmark's corpus."""
    body = make_body(random.Random(5), make_texts(), traces=50, start_ns=NOW_NS)
    decoded = decode_request(body, Encoding.PROTOBUF, IngestSettings(), NOW_NS + 10**12)
    return [content_to_json(normalise(raw)) for raw in decoded.spans]


class TestRoundTrip:
    @given(sizes=st.lists(st.integers(0, 300_000), max_size=6), seed=st.integers(0, 9))
    def test_every_size_comes_back_in_order(self, shared: Codecs, sizes: list[int], seed: int) -> None:
        text = random.Random(seed).randbytes(200).hex()
        bodies = [b'{"a":"%b"}' % (text * (size // 400 + 1))[:size].encode() for size in sizes]
        packed = shared.compress(bodies)
        assert [shared.decompress(codec, body) for codec, body in packed] == bodies

    def test_short_is_left_alone_long_needs_no_dictionary_and_the_rest_uses_it(self, shared: Codecs) -> None:
        bodies = [b"{}", b'{"attributes":{"gen_ai.operation.name":"chat"}}', b'{"a":"%b"}' % (b"ab" * 50_000)]
        assert [codec for codec, _ in shared.compress(bodies)] == [JSON, ZSTD_DICTIONARY, ZSTD]

    def test_what_does_not_shrink_stays_json(self, shared: Codecs) -> None:
        body = b'"%b"' % random.Random(1).randbytes(40_000)
        assert shared.compress([body]) == [(JSON, body)]

    def test_threads_do_not_disturb_each_other(self, shared: Codecs, corpus: list[bytes]) -> None:
        wrong: list[int] = []

        def work() -> None:
            for _ in range(5):
                packed = shared.compress(corpus)
                wrong.extend(n for n, one in enumerate(packed) if shared.decompress(*one) != corpus[n])

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_rows_of_earlier_releases_are_read(self, shared: Codecs) -> None:
        assert shared.decode(ZLIB, zlib.compress(b'{"a":1}')) == {"a": 1}
        assert shared.decode(JSON, b'{"a":1}') == {"a": 1}


class TestSize:
    def test_the_dictionary_earns_a_fifth(self, shared: Codecs, corpus: list[bytes]) -> None:
        packed = sum(len(body) for _, body in shared.compress(corpus))
        plain = zstandard.ZstdCompressor(level=3)
        assert packed < 0.8 * sum(len(plain.compress(body)) for body in corpus)
        assert packed / len(corpus) < 780


class TestDictionary:
    @pytest.mark.skipif(
        zstandard.ZSTD_VERSION != (1, 5, 7), reason="made with zstd 1.5.7; another one trains otherwise"
    )
    def test_it_is_the_one_the_recipe_makes(self) -> None:
        assert DICTIONARY_FILE.read_bytes() == train()

    def test_another_one_stops_start_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        changed = tmp_path / "changed"
        changed.write_bytes(DICTIONARY_FILE.read_bytes()[:-1] + b"!")
        monkeypatch.setattr(codecs, "DICTIONARY_FILE", changed)
        with pytest.raises(ConfigurationError, match="install Custodes again"):
            Codecs()
        monkeypatch.setattr(codecs, "DICTIONARY_FILE", tmp_path / "none")
        with pytest.raises(ConfigurationError, match="cannot be read"):
            Codecs()

    def test_its_number_is_written_and_checked(self, shared: Codecs, corpus: list[bytes]) -> None:
        packed = shared.compress(corpus[:1])[0][1]
        magic = zstandard.FRAME_HEADER
        assert zstandard.get_frame_parameters(magic + packed).dict_id == DICTIONARY_ID
        other = zstandard.train_dictionary(4096, list[Any](corpus * 4), dict_id=50_000)
        foreign = zstandard.ZstdCompressor(dict_data=other).compress(corpus[0])
        with pytest.raises(MalformedError, match="dictionary 50000"):
            shared.decompress(ZSTD_DICTIONARY, foreign.removeprefix(magic))
        with pytest.raises(MalformedError, match=f"dictionary {DICTIONARY_ID}"):
            shared.decompress(ZSTD, magic + packed)


class TestDamage:
    @pytest.mark.parametrize(
        ("codec", "body"),
        [
            (7, b"{}"),
            (-1, b"{}"),
            (JSON, b"{"),
            (JSON, b"[]"),
            (ZLIB, b"{}"),
            (ZLIB, zlib.compress(b"{")),
            (ZLIB, zlib.compress(b"{}")[:-3]),
            (ZSTD, b""),
            (ZSTD, b"{}"),
            (ZSTD, zstandard.compress(b"[]")),
            (ZSTD, zstandard.compress(b"{}" * 50)[:-3]),
            (ZSTD, b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8 + b"\x01\x00\x00"),
            (ZSTD_DICTIONARY, zstandard.compress(b"{}")),
        ],
    )
    def test_it_is_malformed(self, shared: Codecs, codec: int, body: bytes) -> None:
        with pytest.raises(MalformedError, match=f"codec {codec}|not an object"):
            shared.decode(codec, body)

    @given(data=st.data())
    def test_changed_bytes_give_our_errors_or_an_object(self, shared: Codecs, data: st.DataObject) -> None:
        body = bytearray(shared.compress([b'{"a":"%b"}' % (b"text and more text " * 20)])[0][1])
        for _ in range(data.draw(st.integers(1, 4))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(MalformedError):
            assert isinstance(shared.decode(ZSTD_DICTIONARY, bytes(body)), dict)
