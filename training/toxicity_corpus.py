"""The texts that the toxicity head learns from and is judged on, split so that nothing leaks.

Splits are by source document or by template, decided by a hash of the document's or template's own text, so they depend
on no order and no seed. HateCheck is loaded for reporting only.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from training import toxicity_frames as frames
from training import toxicity_phrases as phrases

Part = Literal["train", "dev", "test"]
UNKNOWN: Final = -1

DAVIDSON: Final = "toxicity/davidson.csv"
WIKIPEDIA: Final = "toxicity/toxicity_nonfuzzed_testset.csv"
MADLIBS: Final = "toxicity/bias_madlibs_77k.csv"
TOXIGEN: Final = "toxicity/toxigen_demonstrations.jsonl"
HATECHECK: Final = "toxicity/hatecheck_test_suite_cases.csv"
NEWS: Final = "groundedness/cg2c_doc.jsonl"
ENCYCLOPAEDIA: Final = "groundedness/wice_tokens_train.jsonl"
DIGESTED_FILES: Final = (DAVIDSON, WIKIPEDIA, MADLIBS, TOXIGEN, HATECHECK, NEWS, ENCYCLOPAEDIA)

_TWITTER_MARKS: Final = re.compile(r"(?:\bRT\b|@\w+:?|https?://\S+|&#\d+;|\"+)")
_SLOT: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Sample:
    """One text with its labels: 1 yes, 0 no, -1 not known (left out of that label's loss)."""

    text: str
    toxic: int
    attack: int
    source: str
    part: Part
    weight: float = 1.0
    family: str = ""


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
    """Tweets: class 0 hate speech, 1 offensive, 2 neither. The offensive class says nothing sure about groups."""
    seen: set[str] = set()
    by_class: dict[str, list[str]] = {"0": [], "1": [], "2": []}
    with (data / DAVIDSON).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            text = clean_tweet(row["tweet"])
            if len(text) >= 10 and text.lower() not in seen:
                seen.add(text.lower())
                by_class[row["class"]].append(text)
    for label, texts in by_class.items():
        for index in rng.permutation(len(texts))[:per_class]:
            text = texts[index]
            yield Sample(
                text, int(label != "2"), int(label == "0"), "davidson", part_of(text, dev=0.1, test=0.15),
                weight=0.5 if label == "1" else 1.0,
            )  # fmt: skip


def wikipedia(data: Path) -> Iterator[Sample]:
    """Talk-page comments. A comment that is not toxic attacks no group; of a toxic one that is not known."""
    with (data / WIKIPEDIA).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            toxic = int(row["toxic"] == "True")
            text = " ".join(row["comment"].split())
            yield Sample(text, toxic, UNKNOWN if toxic else 0, "wikipedia", part_of(row["rev_id"], dev=0.15, test=0.4))


def toxigen(data: Path) -> Iterator[Sample]:
    """Implicit hatred and neutral statements about thirteen groups."""
    with (data / TOXIGEN).open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            hate = int(row["label"] == "hate")
            text = " ".join(str(row["text"]).split()).lstrip("- ")
            yield Sample(text, hate, hate, "toxigen", part_of(text, dev=0.1, test=0.25), family=row["group"])


MADLIBS_PARTS: Final[dict[str, Part]] = {
    "name_adj": "train", "you_are_adj": "train", "verb_adj": "train",
    "am_hate_adj": "dev", "being_adj": "test", "you_occupation": "test",
}  # fmt: skip
# In these templates the bad word is aimed at the identity itself; in the others at a person who also has one.
MADLIBS_ATTACKS: Final = frozenset({"being_adj", "verb_adj", "am_hate_adj"})


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
            bad = int(label == "BAD")
            attack = (bad if template in MADLIBS_ATTACKS else UNKNOWN) if bad else 0
            yield Sample(text, bad, attack, "madlibs", part, weight=0.5, family=template)


def fill(template: str, rng: np.random.Generator) -> str:
    """Return the template with every slot filled at random, and its first letter raised."""

    def choose(match: re.Match[str]) -> str:
        return str(rng.choice(phrases.SLOTS[match[1]]))

    text = _SLOT.sub(choose, template)
    return text[0].upper() + text[1:]


PHRASE_SETS: Final = (
    ("insult", phrases.INSULTS, 1, 0, 30),
    ("threat", phrases.THREATS, 1, 0, 15),
    ("hate", phrases.HATE, 1, 1, 45),
    ("about_groups", phrases.HARMLESS_ABOUT_GROUPS, 0, 0, 50),
    ("answer", phrases.BENIGN_ANSWERS, 0, 0, 25),
    ("question", phrases.BENIGN_QUESTIONS, 0, 0, 25),
)


def own_phrases(rng: np.random.Generator) -> Iterator[Sample]:
    """Sentences of our own, split by template."""
    for family, templates, toxic, attack, copies in PHRASE_SETS:
        for template in templates:
            part = part_of(template, dev=0.12, test=0.13)
            for text in sorted({fill(template, rng) for _ in range(copies)}):
                yield Sample(text, toxic, attack, "phrases", part, family=family)


FRAME_SETS: Final = (
    ("hate", frames.CLAUSES, frames.ENDORSING, 1, 1, 1500),
    ("about_groups", frames.CLAUSES, frames.REJECTING, 0, 0, 1800),
    ("insult", frames.PERSONAL_CLAUSES, frames.PERSONAL_ENDORSING, 1, 0, 700),
    ("about_insults", frames.PERSONAL_CLAUSES, frames.PERSONAL_REJECTING, 0, 0, 600),
)


def framed_clauses(rng: np.random.Generator) -> Iterator[Sample]:
    """Contrast pairs of our own: a text is held out if its frame or its clause is."""
    for family, clauses, frame_set, toxic, attack, count in FRAME_SETS:
        for _ in range(count):
            clause, frame = str(rng.choice(clauses)), str(rng.choice(frame_set))
            parts = {part_of(frame, dev=0.12, test=0.13), part_of(clause, dev=0.06, test=0.06)}
            part: Part = "test" if "test" in parts else "dev" if "dev" in parts else "train"
            yield Sample(fill(frame.replace("{clause}", clause), rng), toxic, attack, "frames", part, family=family)


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
        yield Sample(text, 0, 0, "prose", part_of(document[:60], dev=0.1, test=0.15))


def mixtures(samples: list[Sample], rng: np.random.Generator, *, count: int) -> Iterator[Sample]:
    """Longer texts made of several: toxic if one piece is, so that an insult inside a polite answer is found."""
    for part in ("train", "dev", "test"):
        polite = [s.text for s in samples if s.part == part and s.family in ("answer", "question")]
        polite += [s.text for s in samples if s.part == part and s.source == "prose"]
        sharp = [
            s
            for s in samples
            if s.part == part and s.source in ("phrases", "frames", "toxigen", "davidson") and s.attack >= 0
        ]
        sharp = [s for s in sharp if s.toxic or s.family.startswith("about") or s.source == "toxigen"]
        size = count if part == "train" else count // 6
        for _ in range(size):
            # A quarter fills most of a window, where one bad sentence is a twentieth of the text.
            wanted_words = int(rng.integers(110, 170)) if rng.random() < 0.25 else int(rng.integers(10, 60))
            pieces: list[str] = []
            while sum(len(piece.split()) for piece in pieces) < wanted_words:
                pieces.append(polite[int(rng.integers(len(polite)))])
            toxic = attack = 0
            if rng.random() < 0.6:
                piece = sharp[int(rng.integers(len(sharp)))]
                toxic, attack = piece.toxic, piece.attack
                pieces.insert(int(rng.integers(0, len(pieces) + 1)), piece.text)
            yield Sample(" ".join(pieces), toxic, attack, "mixture", part)


def load_corpus(data: Path, rng: np.random.Generator) -> list[Sample]:
    """Return all samples of all parts, HateCheck excepted."""
    samples = [
        *davidson(data, rng, per_class=2200),
        *wikipedia(data),
        *toxigen(data),
        *madlibs(data, rng, per_template=700),
        *own_phrases(rng),
        *framed_clauses(rng),
        *everyday_prose(data, rng, count=2500),
    ]
    samples.extend(mixtures(samples, rng, count=3000))
    return samples


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
