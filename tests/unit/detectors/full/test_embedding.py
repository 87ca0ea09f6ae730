from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detectors.bundles import Bundle, import_bundle
from detectors.contract import SeenExchange
from detectors.errors import ModelFileError
from detectors.full.embedding import SentenceEncoder, SentenceVectors, load_sentence_encoder
from detectors.model import Exchange
from tests.unit.detectors.full.conftest import ENCODER, LIMITS

TEXTS = ("Where is my parcel?", "x", "The parcel arrives on Tuesday.", "wörld \U0001f600")


@pytest.fixture(scope="module")
def encoder(encoder_bundle: Bundle) -> SentenceEncoder:
    return load_sentence_encoder(encoder_bundle, device="cpu", precision="float32")


@pytest.fixture
def copied(sources: Path, tmp_path: Path) -> Path:
    """A copy of the encoder's folder, to be changed."""
    folder = tmp_path / ENCODER
    shutil.copytree(sources / ENCODER, folder)
    return folder


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def load(folder: Path) -> SentenceEncoder:
    bundle = import_bundle(folder, folder.parent / "models")
    return load_sentence_encoder(bundle, device="cpu", precision="float32")


def embed(encoder: SentenceEncoder, texts: Sequence[str]) -> list[np.ndarray[Any, Any] | None]:
    vectors = SentenceVectors(encoder, LIMITS)
    found = vectors.judge([SeenExchange(Exchange("a", None, text), {}) for text in texts])
    return [
        np.frombuffer(one.embeddings[0].vector, "<f2").astype(np.float64) if one.embeddings else None for one in found
    ]


def encode(folder: Path, texts: Sequence[str], **options: Any) -> np.ndarray[Any, Any]:
    from sentence_transformers import SentenceTransformer

    network: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    found: np.ndarray[Any, Any] = network.encode(list(texts), **options)
    unit: np.ndarray[Any, Any] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


class TestAgainstTheLibrary:
    def test_vectors_are_those_of_encode(self, encoder: SentenceEncoder, sources: Path) -> None:
        for vector, expected in zip(embed(encoder, TEXTS), encode(sources / ENCODER, TEXTS), strict=True):
            assert vector == pytest.approx(expected, abs=1e-3)

    def test_the_packaged_encoder_s_folder_gives_the_builtin_vectors(self, builtin: Any, tmp_path: Path) -> None:
        from detectors.text.encoder import locate_encoder

        folder = tmp_path / "all-MiniLM-L6-v2"
        shutil.copytree(locate_encoder(), folder, ignore=shutil.ignore_patterns(".*"))
        for left, right in zip(
            embed(load(folder), TEXTS),
            builtin.score([Exchange(str(n), None, text) for n, text in enumerate(TEXTS)]),
            strict=True,
        ):
            other = np.frombuffer(right.embeddings[0].vector, "<f2").astype(np.float64)
            assert left is not None
            assert float(left @ other) > 0.999

    def test_a_prompt_goes_before_every_text(self, copied: Path) -> None:
        change_to = {"prompts": {"query": "search query: "}, "default_prompt_name": "query"}
        (copied / "config_sentence_transformers.json").write_text(json.dumps(change_to))
        expected = encode(copied, TEXTS, prompt="search query: ")
        assert not np.allclose(expected, encode(copied, TEXTS, prompt=""), atol=1e-2)
        for vector, wanted in zip(embed(load(copied), TEXTS), expected, strict=True):
            assert vector == pytest.approx(wanted, abs=1e-3)

    def test_a_prompt_may_be_left_out_of_the_pooling(self, copied: Path) -> None:
        change(copied / "1_Pooling" / "config.json", include_prompt=False)
        change_to = {"prompts": {"query": "search query: "}, "default_prompt_name": "query"}
        (copied / "config_sentence_transformers.json").write_text(json.dumps(change_to))
        expected = encode(copied, TEXTS, prompt="search query: ")
        for vector, wanted in zip(embed(load(copied), TEXTS), expected, strict=True):
            assert vector == pytest.approx(wanted, abs=1e-3)

    def test_an_encoder_of_static_word_vectors_takes_any_length(self, tmp_path: Path, sources: Path) -> None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(sources / "minicheck-deberta-v3-large" / "tokenizer.json"))
        torch.manual_seed(7)
        SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=24)]).save(str(tmp_path / "static"))
        loaded = load(tmp_path / "static")
        texts = [*TEXTS, "The parcel arrives on Tuesday. " * 500]
        assert (loaded.loaded, loaded.dim) == (None, 24)
        for vector, expected in zip(embed(loaded, texts), encode(tmp_path / "static", texts), strict=True):
            assert vector == pytest.approx(expected, abs=1e-3)


class TestWindows:
    def test_a_long_text_is_the_mean_of_its_windows_and_not_its_beginning(
        self, encoder: SentenceEncoder, sources: Path
    ) -> None:
        text = "alpha beta gamma " * 8 + "omega psi chi " * 8
        (vector,) = embed(encoder, [text])
        (beginning,) = encode(sources / ENCODER, [text])
        assert vector is not None
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-2)
        assert float(vector @ beginning) < 0.999

    def test_what_cannot_be_read_has_no_vector(self, encoder: SentenceEncoder) -> None:
        assert embed(encoder, ["\x00\x00", "word " * 5000]) == [None, None]


class TestLoading:
    @pytest.mark.usefixtures("no_network")
    def test_it_opens_no_connection(self, encoder_bundle: Bundle) -> None:
        assert load_sentence_encoder(encoder_bundle, device="cpu", precision="float32").dim == 32

    def test_dimension_format_and_digest_are_in_the_identity(self, encoder_bundle: Bundle) -> None:
        fine = load_sentence_encoder(encoder_bundle, device="cpu", precision="float32").identity
        coarse = load_sentence_encoder(encoder_bundle, device="cpu", precision="bfloat16").identity
        assert (fine.name, fine.version) == ("encoder/tiny-encoder", "1.0.0+32.float32")
        assert coarse.version == "1.0.0+32.bfloat16"
        assert fine.digest != coarse.digest

    def test_bfloat16_points_the_same_way(self, encoder: SentenceEncoder, encoder_bundle: Bundle) -> None:
        coarse = load_sentence_encoder(encoder_bundle, device="cpu", precision="bfloat16")
        for left, right in zip(embed(encoder, TEXTS), embed(coarse, TEXTS), strict=True):
            assert left is not None
            assert right is not None
            assert float(left @ right) > 0.999

    def test_it_runs_no_module_that_is_not_the_library_s(self, copied: Path) -> None:
        modules = json.loads((copied / "modules.json").read_text())
        modules[1]["type"] = "antigravity.Pooling"
        (copied / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(ModelFileError, match=r"asks for antigravity\.Pooling"):
            load(copied)

    @pytest.mark.parametrize(
        ("name", "message"),
        [("modules.json", r"holds no modules\.json"), ("model.safetensors", "no sentence encoder")],
    )
    def test_it_says_what_is_missing(self, copied: Path, name: str, message: str) -> None:
        (copied / name).unlink()
        with pytest.raises(ModelFileError, match=message):
            load(copied)
