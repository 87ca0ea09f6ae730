"""Real sentences and their embeddings for the drift benchmark, embedded once and kept in a cache folder.

The texts are training data that is not part of the repository: ``BENCH_DATA`` names its folder (see
training/). Streams are drawn with replacement, that is independently from one distribution: exactly what "nothing has
changed" means, for streams longer than the number of texts.
"""

from __future__ import annotations

import csv
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from faker import Faker

from detectors.drift.texts import embed_texts

Vectors = npt.NDArray[np.float64]

_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")
_SHORTEST, _LONGEST = 25, 300
_TOPICS: Final = 12


@dataclass(frozen=True, slots=True)
class Corpus:
    """``usual`` traffic: news sentences without one topic, and a fifth of tweets. Everything else is what may come."""

    news: Vectors
    topic: Vectors
    tweets: Vectors
    terse: Vectors
    assistant: Vectors
    german: Vectors

    def draw(self, rng: np.random.Generator, count: int, tweets: float = 0.2) -> Vectors:
        """Return ``count`` independent draws of usual traffic, with this share of tweets."""
        drawn = self.news[rng.integers(len(self.news), size=count)]
        chosen = rng.random(count) < tweets
        drawn[chosen] = self.tweets[rng.integers(len(self.tweets), size=int(chosen.sum()))]
        return drawn


def load_corpus() -> Corpus:
    """Return the embedded corpus; the first call takes minutes, later ones read the cache."""
    folder = Path(os.environ.get("BENCH_CACHE", Path(tempfile.gettempdir()) / "custodes-bench-drift"))
    folder.mkdir(parents=True, exist_ok=True)
    names = ("news", "tweets", "terse", "assistant", "german")
    if not all((folder / f"{name}.npy").exists() for name in names):
        data = Path(os.environ.get("BENCH_DATA", "../shared/data"))
        for name, texts in select_texts(data).items():
            if not (folder / f"{name}.npy").exists():
                print(f"  embedding {len(texts)} {name} sentences", flush=True)
                np.save(folder / f"{name}.npy", embed_texts(texts)[0])
    loaded = {name: np.load(folder / f"{name}.npy").astype(np.float64) for name in names}
    news, topic = _split_topic(loaded["news"])
    return Corpus(news, topic, loaded["tweets"], loaded["terse"], loaded["assistant"], loaded["german"])


def select_texts(data: Path) -> Mapping[str, list[str]]:
    """Return the texts of each kind, always the same ones in the same order."""
    news = list(dict.fromkeys(_news_sentences(data / "groundedness/cg2c_doc.jsonl")))
    with (data / "toxicity/davidson.csv").open(encoding="utf-8", newline="") as rows:
        tweets = list(dict.fromkeys(row["tweet"] for row in csv.DictReader(rows)))
    rng = np.random.default_rng(3)
    few = [tweets[n] for n in rng.permutation(len(tweets))[:6000]]
    bases = [news[n] for n in np.random.default_rng(0).permutation(len(news))[:1500]]
    words = Faker("de_DE")
    words.seed_instance(1)
    return {
        "news": news,
        "tweets": few,
        "terse": [" ".join(one.split()[:6]) for one in bases],
        "assistant": [f"Sure! Here is what I found: {one} Let me know if you need anything else." for one in bases],
        "german": [words.sentence(nb_words=14) for _ in range(1500)],
    }


def _news_sentences(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            for sentence in _SENTENCE.split(json.loads(line)["text_a"]):
                if _SHORTEST <= len(sentence.strip()) <= _LONGEST:
                    yield sentence.strip()


def _split_topic(news: Vectors) -> tuple[Vectors, Vectors]:
    """Return the news without one topic of middling size, and that topic, by k-means into twelve."""
    rng = np.random.default_rng(0)
    centres = news[rng.choice(len(news), _TOPICS, replace=False)]
    labels = np.zeros(len(news), dtype=np.int64)
    for _ in range(30):
        labels = (news @ centres.T - 0.5 * (centres * centres).sum(axis=1)).argmax(axis=1)
        centres = np.stack([news[labels == topic].mean(axis=0) for topic in range(_TOPICS)])
    held_out = int(np.argsort(np.bincount(labels, minlength=_TOPICS))[_TOPICS // 2])
    return news[labels != held_out], news[labels == held_out]
