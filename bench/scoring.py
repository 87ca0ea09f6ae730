"""How near scoring comes to what the models alone would do, and to how others call the same models.

All figures of a run are of the same real texts of mixed lengths, on the same cores, with no text twice. "Raw" is the
forward pass alone: texts tokenised, cut into windows, sorted and padded beforehand, as many batches side by side as the
profile runs. What is compared takes turns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from bench.measurement import Measurement
from bench.scoring_corpus import make_exchanges
from bench.scoring_end_to_end import StoredExchanges
from bench.scoring_peers import measure_detoxify, measure_encode
from bench.turns import take_turns
from detectors.batching.plan import plan_batches, split_windows
from detectors.builtin import ToxicityDetector
from detectors.contract import Head
from detectors.model import Exchange
from detectors.profile import Profile, load_profile, reader_limits
from detectors.text.encoder import Encoder, fastest_precision, load_encoder
from detectors.text.evidence import gather_evidence
from detectors.text.grounding import MAX_BATCH_TOKENS, Floats, GroundingHead, Pair, pad_pairs
from detectors.text.hallucination import load_hallucination_detector, refuse
from detectors.text.reading import CPU_LENGTH_STEP, WINDOW, pad_windows
from detectors.text.toxicity import load_toxicity_head

ONLY_WHEN_NAMED = True

_EXCHANGES = 192
_REPEATS = 3
_MATRIX = 1_024


def measure() -> list[Measurement]:
    """Return the ratios; takes some ten minutes on two cores. ``BENCH_EXCHANGES`` says of how many exchanges."""
    exchanges = make_exchanges(int(os.environ.get("BENCH_EXCHANGES", _EXCHANGES)))
    profile = load_profile("builtin")
    raw = RawForward(exchanges, lanes=reader_limits("cpu", None).lanes)
    reading = profile.alone(next(one for one in profile.members if one.head is not None))
    with StoredExchanges(exchanges) as stored:
        taken = take_turns(
            {
                "raw reading": raw.read_texts,
                "raw": raw.read_all,
                "reading": lambda: _score(reading, exchanges),
                "profile": lambda: _score(profile, exchanges),
                "stored": stored.score,
            },
            _REPEATS,
        )
    count = len(exchanges)
    ceiling = raw.flop() / _peak_flops(raw.encoder, raw.lanes)
    return [
        Measurement("tokens of the shared encoder", raw.text_tokens, "tokens"),
        Measurement("tokens of the hallucination reader", raw.pair_tokens, "tokens"),
        Measurement("shared encoder and its heads, raw", raw.text_tokens / taken["raw reading"], "tokens/s"),
        Measurement("shared encoder and its heads, from texts", raw.text_tokens / taken["reading"], "tokens/s"),
        Measurement("of raw", taken["raw reading"] / taken["reading"], "×"),
        Measurement("all models, raw", count / taken["raw"], "exchanges/s"),
        Measurement("builtin profile, in process", count / taken["profile"], "exchanges/s"),
        Measurement("of raw", taken["raw"] / taken["profile"], "×"),
        Measurement("from claimed batch to committed scores", count / taken["stored"], "exchanges/s"),
        Measurement("of raw", taken["raw"] / taken["stored"], "×"),
        Measurement(f"ceiling by matrix products of {_MATRIX:,}", count / ceiling, "exchanges/s"),
        Measurement("builtin profile of the ceiling", ceiling / taken["profile"], "×"),
        *measure_encode(exchanges, _REPEATS),
        *measure_detoxify(exchanges),
    ]


def _score(profile: Profile, exchanges: Sequence[Exchange]) -> None:
    profile.forget()
    profile.score(exchanges)


class RawForward:
    """The forward passes that the builtin profile needs for some exchanges, with everything else done beforehand."""

    def __init__(self, exchanges: Sequence[Exchange], lanes: int) -> None:
        self.lanes = lanes
        self.encoder: Encoder = load_encoder(precision=fastest_precision("cpu"))
        toxicity = load_toxicity_head(self.encoder)
        self._head: Head = ToxicityDetector(toxicity).head
        self._depth = self.encoder.bert.shape.layers + len(toxicity.layers)
        self._pool = ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(1,))
        windows = _windows(self.encoder, exchanges)
        lengths = [len(one) for one in windows]
        batches = plan_batches(lengths, reader_limits("cpu", None).batch_tokens, CPU_LENGTH_STEP)
        self._texts = [pad_windows([windows[index] for index in batch]) for batch in batches]
        self.text_tokens = sum(lengths)
        self._reader, pairs = _pairs(self.encoder, exchanges)
        batches = plan_batches([len(pair) for pair in pairs], MAX_BATCH_TOKENS, CPU_LENGTH_STEP)
        self._pairs = [pad_pairs([pairs[index] for index in batch]) for batch in batches]
        self.pair_tokens = sum(len(pair) for pair in pairs)

    def read_texts(self) -> None:
        """Run the shared encoder and its heads."""
        list(self._pool.map(self._read_texts, self._texts))

    def read_all(self) -> None:
        """Run the shared encoder with its heads, and the hallucination reader."""
        texts = [partial(self._read_texts, one) for one in self._texts]
        pairs = [partial(self._read_pairs, one) for one in self._pairs]
        list(self._pool.map(lambda work: work(), [*texts, *pairs]))

    def flop(self) -> float:
        """Return how many floating-point operations :meth:`read_all` takes: products of matrices, and attention.

        A token costs two operations for each weight it meets, and four times the width for each token it attends to.
        """
        shape = self.encoder.bert.shape
        a_layer = 4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate
        layers = self._reader.input_layer + len(self._reader.layers)
        return sum(
            2.0 * depth * ids.numel() * (a_layer + 2 * shape.hidden * ids.shape[1])
            for depth, batches in ((self._depth, self._texts), (layers, self._pairs))
            for ids, *_ in batches
        )

    def _read_texts(self, batch: tuple[Tensor, Tensor]) -> None:
        with torch.inference_mode():
            states = self.encoder.bert.states(*batch)
            self._head.read(states, batch[1])

    def _read_pairs(self, batch: tuple[Tensor, Tensor, Tensor]) -> None:
        ids, mask, of_response = batch
        with torch.inference_mode():
            states = self.encoder.bert.states(ids, mask, upto=self._reader.input_layer)
            self._reader.outputs(states[-1], mask, of_response)


def _windows(encoder: Encoder, exchanges: Sequence[Exchange]) -> list[tuple[int, ...]]:
    texts = sorted({text for one in exchanges for text in (one.prompt, one.response) if text})
    return [
        tokens.ids[start:end]
        for tokens in encoder.tokenise(texts)
        for start, end in split_windows(len(tokens.ids), WINDOW)
    ]


def _pairs(encoder: Encoder, exchanges: Sequence[Exchange]) -> tuple[GroundingHead, list[Pair]]:
    """Return the reader and what it reads of these exchanges."""
    reader = load_hallucination_detector(encoder).reader
    heard: list[Pair] = []

    class Listening(GroundingHead):
        def read(self, pairs: Sequence[Pair]) -> list[Floats]:
            heard.extend(pairs)
            return super().read(pairs)

    listening = Listening(**{name: getattr(reader, name) for name in GroundingHead.__dataclass_fields__})
    gather_evidence([one for one in exchanges if refuse(one) is None], listening)
    return reader, heard


def _peak_flops(encoder: Encoder, lanes: int) -> float:
    """Return operations a second of square matrix products in the encoder's number format, on as many cores at once."""
    dtype = getattr(torch, encoder.precision)
    factors = torch.randn(_MATRIX, _MATRIX).to(dtype)
    rounds = 20

    def multiply(_: int) -> None:
        for _ in range(rounds):
            torch.mm(factors, factors)

    with ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(multiply, range(lanes)))
        began = time.perf_counter()
        list(pool.map(multiply, range(lanes)))
        return lanes * rounds * 2.0 * _MATRIX**3 / (time.perf_counter() - began)
