"""Exchanges of mixed lengths out of real text: comments as prompts, news as responses and as what was retrieved.

The texts are training data that is not part of the repository: ``BENCH_DATA`` names its folder (see training/).
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
from pathlib import Path
from typing import Final

from detectors.model import Exchange

_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")
_LONGEST_PROMPT: Final = 2_000
_MOST_SENTENCES: Final = 8
_CONTEXT_SENTENCES: Final = 6


def make_exchanges(count: int, *, seed: int = 20_261_128) -> list[Exchange]:
    """Return ``count`` exchanges, no text twice; every other one has two contexts.

    Prompts have 10 to 2,000 characters, responses one to eight sentences. Raises ``OSError`` without the data and
    ``ValueError`` for more exchanges than there are texts.
    """
    data = Path(os.environ.get("BENCH_DATA", "../shared/data"))
    with (data / "toxicity/toxicity_nonfuzzed_testset.csv").open(encoding="utf-8", newline="") as rows:
        comments = sorted({row["comment"].strip() for row in csv.DictReader(rows)})
    with (data / "groundedness/cg2c_doc.jsonl").open(encoding="utf-8") as lines:
        articles = sorted({str(json.loads(line)["text_a"]).strip() for line in lines})
    prompts = [text for text in comments if 10 <= len(text) <= _LONGEST_PROMPT]
    if count > min(len(prompts), len(articles)):
        raise ValueError(f"there are texts for {min(len(prompts), len(articles))} exchanges, not for {count}")
    rng = random.Random(seed)
    rng.shuffle(prompts)
    rng.shuffle(articles)
    exchanges = []
    for number, (prompt, article) in enumerate(zip(prompts[:count], articles[:count], strict=True)):
        sentences = _SENTENCE.split(article)
        length = rng.randint(1, _MOST_SENTENCES)
        # The contexts are the article around and after the response, so that some of it is supported.
        contexts = (
            " ".join(sentences[length // 2 : length // 2 + _CONTEXT_SENTENCES]),
            " ".join(sentences[length + _CONTEXT_SENTENCES : length + 2 * _CONTEXT_SENTENCES]),
        )
        given = tuple(one for one in contexts if one) if number % 2 else ()
        exchanges.append(Exchange(f"{number:04d}", prompt, " ".join(sentences[:length]), given))
    return exchanges
