"""The public data sets that the toxicity head learns from and is judged on, split so that nothing leaks.

Splits are by source document or by template, decided by a hash of the document's or template's own text, so they depend
on no order and no seed. HateCheck is loaded for reporting only.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

Part = Literal["train", "dev", "test"]
LABELS: Final = ("toxicity", "identity_attack", "insult", "obscene", "threat")
UNKNOWN: Final = -1.0

DAVIDSON: Final = "toxicity/davidson.csv"
WIKIPEDIA: Final = "toxicity/toxicity_nonfuzzed_testset.csv"
MADLIBS: Final = "toxicity/bias_madlibs_77k.csv"
TOXIGEN: Final = "toxicity/toxigen_demonstrations.jsonl"
HATECHECK: Final = "toxicity/hatecheck_test_suite_cases.csv"
NEWS: Final = "groundedness/cg2c_doc.jsonl"
ENCYCLOPAEDIA: Final = "groundedness/wice_tokens_train.jsonl"
DIGESTED_FILES: Final = (DAVIDSON, WIKIPEDIA, MADLIBS, TOXIGEN, HATECHECK, NEWS, ENCYCLOPAEDIA)

_TWITTER_MARKS: Final = re.compile(r"(?:\bRT\b|@\w+:?|https?://\S+|&#\d+;|\"+)")
# None of the public sets says which texts are obscene. Where one of these words stands it is taken to be, in a toxic
# text without them it is not known, and elsewhere it is taken not to be.
SWEAR_WORDS: Final = re.compile(
    r"\b(?:\w*fuck\w*|\w*shit\w*|bitch\w*|cunts?|ass|asses|\w*asshole\w*|dumbass|dicks?|dickhead\w*|cocks?|pussy|"
    r"puss(?:y|ies)|whores?|sluts?|twats?|pricks?|wankers?|bastards?|goddamn\w*|tits|blowjobs?|cum|bullshit)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One text. ``targets`` hold how far each of ``LABELS`` holds, in [0, 1]; -1 is not known and teaches nothing."""

    text: str
    targets: tuple[float, ...]
    source: str
    part: Part
    weight: float = 1.0
    family: str = ""

    def holds(self, column: int) -> int:
        """Return 1 if the label holds, 0 if not, -1 if that is not known or people disagreed."""
        target = self.targets[column]
        return -1 if target < 0 or target == 0.5 else int(target > 0.5)


def make_targets(known: Mapping[str, float], *, otherwise: float) -> tuple[float, ...]:
    """Return targets in the order of ``LABELS``; labels that are not named are ``otherwise``."""
    return tuple(float(known.get(label, otherwise)) for label in LABELS)


def guess_obscene(text: str, *, toxic: bool) -> float:
    """Return whether a text is obscene as far as words tell."""
    return 1.0 if SWEAR_WORDS.search(text) else UNKNOWN if toxic else 0.0


def share_of(key: str) -> float:
    """Return a number in [0, 1) that depends on ``key`` alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def part_of(key: str, *, dev: float, test: float) -> Part:
    """Return the part that a document or template belongs to."""
    share = share_of(key)
    return "test" if share < test else "dev" if share < test + dev else "train"


def file_digests(data: Path) -> dict[str, str]:
    """Return the SHA-256 of every data file used, by its path below the data folder."""
    return {name: hashlib.sha256((data / name).read_bytes()).hexdigest() for name in DIGESTED_FILES}


def clean_tweet(text: str) -> str:
    """Return the tweet without retweet marks, user names, links and leading punctuation."""
    plain = text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    return " ".join(_TWITTER_MARKS.sub(" ", plain).split()).lstrip("!:.-#, ")


def davidson(data: Path, rng: np.random.Generator, *, per_class: int) -> Iterator[Sample]:
    """Tweets: class 0 hate speech, 1 offensive, 2 neither; targets are the shares of the people who judged."""
    seen: set[str] = set()
    by_class: dict[str, list[tuple[str, float, float]]] = {"0": [], "1": [], "2": []}
    with (data / DAVIDSON).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            text = clean_tweet(row["tweet"])
            if len(text) >= 10 and text.lower() not in seen:
                seen.add(text.lower())
                judges = int(row["count"])
                hate, offensive = int(row["hate_speech"]) / judges, int(row["offensive_language"]) / judges
                by_class[row["class"]].append((text, hate + offensive, hate))
    for label, texts in by_class.items():
        for index in rng.permutation(len(texts))[:per_class]:
            text, toxic, hate = texts[index]
            known = {"toxicity": toxic, "identity_attack": hate, "obscene": guess_obscene(text, toxic=label != "2")}
            targets = make_targets(known, otherwise=UNKNOWN if label != "2" else 0.0)
            weight = 0.5 if label == "1" else 1.0
            yield Sample(text, targets, "davidson", part_of(text, dev=0.1, test=0.15), weight)


def wikipedia(data: Path) -> Iterator[Sample]:
    """Talk-page comments. A comment that is not toxic attacks no group; of a toxic one that is not known."""
    with (data / WIKIPEDIA).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            toxic = row["toxic"] == "True"
            text = " ".join(row["comment"].split())
            known = {"toxicity": float(toxic), "obscene": guess_obscene(text, toxic=toxic)}
            targets = make_targets(known, otherwise=UNKNOWN if toxic else 0.0)
            yield Sample(text, targets, "wikipedia", part_of(row["rev_id"], dev=0.15, test=0.4), 2.0)


def toxigen(data: Path) -> Iterator[Sample]:
    """Implicit hatred and neutral statements about thirteen groups."""
    with (data / TOXIGEN).open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            hate = row["label"] == "hate"
            text = " ".join(str(row["text"]).split()).lstrip("- ")
            known = {"toxicity": hate, "identity_attack": hate, "obscene": guess_obscene(text, toxic=hate)}
            targets = make_targets(known, otherwise=UNKNOWN if hate else 0.0)
            yield Sample(text, targets, "toxigen", part_of(text, dev=0.1, test=0.25), family=row["group"])


MADLIBS_PARTS: Final[dict[str, Part]] = {
    "name_adj": "train", "you_are_adj": "train", "verb_adj": "train",
    "am_hate_adj": "dev", "being_adj": "test", "you_occupation": "test",
}  # fmt: skip
# In these templates the bad word is aimed at the identity itself; in the others at a person who also has one.
MADLIBS_ATTACKS: Final = frozenset({"being_adj", "verb_adj", "am_hate_adj"})
MADLIBS_INSULTS: Final = frozenset({"name_adj", "you_are_adj", "you_occupation"})


def madlibs(data: Path, rng: np.random.Generator, *, per_template: int) -> Iterator[Sample]:
    """Templated sentences that name identities, split by template; at most ``per_template`` of each for training."""
    by_template: dict[str, list[tuple[str, str]]] = {}
    with (data / MADLIBS).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            by_template.setdefault(row["Template"], []).append((row["Text"], row["Label"]))
    for template, rows in by_template.items():
        part = MADLIBS_PARTS[template]
        kept = rng.permutation(len(rows))[:per_template] if part == "train" else np.arange(len(rows))
        for index in kept:
            text, label = rows[index]
            known = {"toxicity": float(label == "BAD"), "obscene": guess_obscene(text, toxic=label == "BAD")}
            if label == "BAD" and template in MADLIBS_ATTACKS:
                known["identity_attack"] = 1.0
            if label == "BAD" and template in MADLIBS_INSULTS:
                known["insult"] = 1.0
            targets = make_targets(known, otherwise=UNKNOWN if label == "BAD" else 0.0)
            yield Sample(text, targets, "madlibs", part, weight=0.5, family=template)


def everyday_prose(data: Path, rng: np.random.Generator, *, count: int) -> Iterator[Sample]:
    """Sentences from news and encyclopaedia pages, which also report on violence: harmless, and plentiful in RAG."""
    documents: list[str] = []
    with (data / NEWS).open(encoding="utf-8") as file:
        documents.extend(str(json.loads(line)["text_a"]) for line in file)
    with (data / ENCYCLOPAEDIA).open(encoding="utf-8") as file:
        documents.extend(" ".join(json.loads(line)["evidence"][2:8]) for line in file)
    distinct = sorted(set(documents))
    for index in rng.permutation(len(distinct))[:count]:
        document = distinct[index]
        words = document.split()
        start = int(rng.integers(0, max(1, len(words) - 40)))
        text = " ".join(words[start : start + int(rng.integers(8, 90))])
        # Neighbouring sentences of one article share their first words; the key keeps an article in one part.
        yield Sample(text, make_targets({}, otherwise=0.0), "prose", part_of(document[:60], dev=0.1, test=0.15))


@dataclass(frozen=True, slots=True)
class HateCheckCase:
    """One functional test of HateCheck (Röttger et al. 2021, arXiv 2012.15606)."""

    text: str
    functionality: str
    hateful: bool


def hatecheck(data: Path) -> list[HateCheckCase]:
    """Return HateCheck's cases, for reporting only."""
    with (data / HATECHECK).open(newline="", encoding="utf-8") as file:
        return [
            HateCheckCase(row["test_case"].strip(), row["functionality"], row["label_gold"] == "hateful")
            for row in csv.DictReader(file)
        ]
