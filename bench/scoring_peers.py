"""The same weights and texts by ``SentenceTransformer.encode`` and ``Detoxify.predict``, as people call them."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from bench.measurement import Measurement
from bench.turns import take_turns
from detectors.batching.limits import ReaderLimits
from detectors.batching.reader import TextReader
from detectors.bundles import import_bundle
from detectors.contract import SeenExchange, TextReading, TextRequest
from detectors.full.catalogue import open_bundles
from detectors.full.checkpoint import find_checkpoint, read_checkpoint
from detectors.full.detoxify_package import build_by_package
from detectors.full.loading import hub_closed
from detectors.full.toxicity import ToxicityDetector, load_toxicity
from detectors.model import Exchange
from detectors.profile import reader_limits
from detectors.text.encoder import Precision, fastest_precision, load_encoder, locate_encoder
from detectors.text.reading import MiniLmModel, PreparedText, WindowReading

_NAME: Final = "detoxify-original"
_LABELS: Final = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
_TOKENIZER_FILES: Final = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
# A loop over all of them would take most of an hour.
_DETOXIFY_EXCHANGES: Final = 32
_BERT_BASE_VOCABULARY: Final = 30_522


def measure_encode(exchanges: Sequence[Exchange], repeats: int) -> list[Measurement]:
    """Return how much faster sentence vectors come from our reader than from ``encode`` with its defaults."""
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    texts = sorted({text for one in exchanges for text in (one.prompt, one.response) if text})
    with hub_closed():
        peer: Any = SentenceTransformer(str(locate_encoder()), device="cpu", local_files_only=True)
    readers = {precision: _vector_reader(precision) for precision in _precisions()}
    threads = torch.get_num_threads()

    def encode() -> None:
        # Lanes of earlier measurements may have left the calling thread with one.
        torch.set_num_threads(threads)
        peer.encode(texts, show_progress_bar=False)

    wanted = [TextRequest(text) for text in texts]
    works: dict[str, Any] = {"encode": encode}
    works |= {one: (lambda reader=reader: reader.read(wanted)) for one, reader in readers.items()}
    taken = take_turns(works, repeats)
    return [
        Measurement("SentenceTransformer.encode, float32", len(texts) / taken["encode"], "texts/s"),
        *(Measurement(f"our vectors, {one}, over it", taken["encode"] / taken[one], "×") for one in readers),
    ]


def measure_detoxify(exchanges: Sequence[Exchange]) -> list[Measurement]:
    """Return how much faster detoxify's model runs here than in a loop of ``predict``, a list for each request.

    The network is of the size of ``original`` (BERT base) with random weights: what it says means nothing, what it
    costs does not depend on that.
    """
    chosen = exchanges[:_DETOXIFY_EXCHANGES]
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        source, models = Path(folder) / _NAME, Path(folder) / "models"
        _write_checkpoint(source)
        import_bundle(source, models)
        described = open_bundles(models, {"toxicity": _NAME})["toxicity"]
        path = find_checkpoint(described.bundle)
        if path is None:
            raise RuntimeError("the checkpoint that was just written is not there")
        peer = build_by_package(read_checkpoint(path), described.bundle.path)
        ours = {one: _full_detector(described, one) for one in _precisions()}

        def predict() -> None:
            torch.set_num_threads(threads)
            for one in chosen:
                peer.predict([one.prompt, one.response])

        seen = [SeenExchange(one, {}) for one in chosen]
        works: dict[str, Any] = {"predict": predict}
        works |= {one: (lambda detector=detector: detector.judge(seen)) for one, detector in ours.items()}
        taken = take_turns(works, 1)
    return [
        Measurement("loop of Detoxify.predict, float32", len(chosen) / taken["predict"], "exchanges/s"),
        *(Measurement(f"our reader of its model, {one}, over it", taken["predict"] / taken[one], "×") for one in ours),
    ]


def _precisions() -> tuple[Precision, ...]:
    fastest = fastest_precision("cpu")
    return ("float32",) if fastest == "float32" else ("float32", fastest)


def _without_memory() -> ReaderLimits:
    limits = reader_limits("cpu", None)
    return ReaderLimits(limits.batch_tokens, limits.windows, 0, limits.lanes, limits.prepare_lane)


def _vector_reader(precision: Precision) -> TextReader[TextRequest, PreparedText, WindowReading, TextReading]:
    return TextReader(MiniLmModel(load_encoder(precision=precision), []), _without_memory())


def _full_detector(described: Any, precision: Precision) -> ToxicityDetector:
    return ToxicityDetector(load_toxicity(described, device="cpu", precision=precision), _without_memory())


def _write_checkpoint(folder: Path) -> None:
    """Write a checkpoint as detoxify publishes them, with random weights and MiniLM's tokenizer, which is BERT's."""
    import transformers  # noqa: PLC0415

    folder.mkdir(parents=True)
    for name in _TOKENIZER_FILES:
        shutil.copy(locate_encoder() / name, folder / name)
    library: Any = transformers
    torch.manual_seed(0)
    config = library.BertConfig(vocab_size=_BERT_BASE_VOCABULARY, num_labels=len(_LABELS))
    config.save_pretrained(folder)
    with contextlib.redirect_stderr(io.StringIO()):
        network = library.BertForSequenceClassification(config)
    names = {"model_name": "BertForSequenceClassification", "tokenizer_name": "BertTokenizer"}
    arch = {"type": "BERT", "args": {"num_classes": len(_LABELS), "model_type": str(folder), **names}}
    dataset = {"type": "Jigsaw", "args": {"classes": list(_LABELS), "loss_weight": 0.75}}
    content = {
        "state_dict": OrderedDict(network.state_dict()),
        "config": {"name": "original", "arch": arch, "dataset": dataset},
    }
    torch.save(content, folder / "checkpoint.ckpt")
