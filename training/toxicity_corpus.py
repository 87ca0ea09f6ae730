"""All texts that the toxicity head learns from and is judged on: public sets, sentences of our own, and mixtures.

Sentences of our own are split by template, contrast pairs by frame and by clause, so a held-out text has one that
training never saw. The chat texts (``texts/toxicity_chat_*.txt``) have no template: one file is for choices, the other
for reporting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from training import toxicity_frames as frames
from training import toxicity_phrases as phrases
from training.slot_texts import fill, misspell, read_labelled, read_sections
from training.toxicity_sets import (
    LABELS,
    SWEAR_WORDS,
    UNKNOWN,
    Part,
    Sample,
    davidson,
    everyday_prose,
    madlibs,
    make_targets,
    part_of,
    toxigen,
    wikipedia,
)

TEXTS: Final = Path(__file__).resolve().parent / "texts"
FRAMES_FILE: Final = "toxicity_frames.txt"
ANSWERS_FILE: Final = "toxicity_answers.txt"
CHAT_FILES: Final[dict[Part, str]] = {"dev": "toxicity_chat_dev.txt", "test": "toxicity_chat_test.txt"}
MISSPELT_SHARE: Final = 0.12
FEW_COPIES: Final = 10
LONGEST_MIXTURE: Final = 150

PHRASE_SETS: Final = (
    ("insult", phrases.INSULTS, ("toxicity", "insult"), 30),
    ("threat", phrases.THREATS, ("toxicity", "threat"), 15),
    ("hate", phrases.HATE, ("toxicity", "identity_attack"), 45),
    ("about_groups", phrases.HARMLESS_ABOUT_GROUPS, (), 50),
    ("answer", phrases.BENIGN_ANSWERS, (), 25),
    ("question", phrases.BENIGN_QUESTIONS, (), 25),
)
# Of these families it is not known from the template whether each sentence also insults or threatens.
_UNSURE: Final[dict[str, tuple[str, ...]]] = {
    "hate": ("insult", "threat"),
    "threat": ("insult",),
    "insult": ("threat",),
}


def own_targets(text: str, labels: Iterable[str], unsure: Iterable[str] = ()) -> tuple[float, ...]:
    """Return targets of a sentence of our own; swear words that filled its slots make it obscene."""
    known = dict.fromkeys(unsure, UNKNOWN) | dict.fromkeys(labels, 1.0)
    if SWEAR_WORDS.search(text):
        known["obscene"] = 1.0
    return make_targets(known, otherwise=0.0)


def own_phrases(rng: np.random.Generator) -> Iterator[Sample]:
    """Sentences of our own, split by template."""
    for family, templates, labels, copies in PHRASE_SETS:
        for template in templates:
            part = part_of(template, dev=0.12, test=0.13)
            for text in sorted({fill(template, phrases.SLOTS, rng) for _ in range(copies)}):
                yield Sample(text, own_targets(text, labels, _UNSURE.get(family, ())), "phrases", part, family=family)


FRAME_SETS: Final = (
    ("hate", frames.CLAUSES, frames.ENDORSING, ("toxicity", "identity_attack"), ("insult", "threat"), 1500),
    ("about_groups", frames.CLAUSES, frames.REJECTING, (), (), 1800),
    ("insult", frames.PERSONAL_CLAUSES, frames.PERSONAL_ENDORSING, ("toxicity", "insult"), (), 700),
    ("about_insults", frames.PERSONAL_CLAUSES, frames.PERSONAL_REJECTING, (), (), 600),
)


def framed_clauses(rng: np.random.Generator) -> Iterator[Sample]:
    """Contrast pairs of our own: a text is held out if its frame or its clause is."""
    for family, clauses, frame_set, labels, unsure, count in FRAME_SETS:
        for _ in range(count):
            clause, frame = str(rng.choice(clauses)), str(rng.choice(frame_set))
            parts = {part_of(frame, dev=0.12, test=0.13), part_of(clause, dev=0.06, test=0.06)}
            part: Part = "test" if "test" in parts else "dev" if "dev" in parts else "train"
            text = fill(frame.replace("{clause}", clause), phrases.SLOTS, rng)
            text = text[0].upper() + text[1:]
            yield Sample(text, own_targets(text, labels, unsure), "frames", part, family=family)


def chat_frames(rng: np.random.Generator, *, share: float, name: str = FRAMES_FILE) -> Iterator[Sample]:
    """Sentences of a file of frames, split by template; ``share`` scales the copies of each.

    Some are misspelt, harmless and toxic ones alike.
    """
    slots, _ = read_sections(TEXTS / FRAMES_FILE)
    _, sections = read_sections(TEXTS / name)
    everything = {**phrases.SLOTS, **slots}
    for section in sections:
        # Of sentences with few fillings there are few copies, and each says something of its own.
        weight = 2.0 if section.copies <= FEW_COPIES else 1.0
        for template in section.templates:
            part = part_of(template, dev=0.07, test=0.08)
            copies = max(1, round(section.copies * share))
            for text in sorted({fill(template, everything, rng) for _ in range(copies)}):
                written = misspell(text, rng) if rng.random() < MISSPELT_SHARE else text
                targets = own_targets(text, section.labels)
                yield Sample(written, targets, "chat_frames", part, weight, section.family)


def chat_texts() -> Iterator[Sample]:
    """The chat texts for choices and for reporting."""
    for part, name in CHAT_FILES.items():
        for one in read_labelled(TEXTS / name):
            unknown = one.labels - set(LABELS)
            if unknown:
                raise ValueError(f"{name}: no such labels: {sorted(unknown)}")
            yield Sample(one.text, make_targets(dict.fromkeys(one.labels, 1.0), otherwise=0.0), "chat", part)


def mixtures(samples: list[Sample], rng: np.random.Generator, *, count: int) -> Iterator[Sample]:
    """Longer texts made of several: toxic if one piece is, so that an insult inside a polite answer is found."""
    parts: tuple[Part, ...] = ("train", "dev", "test")
    for part in parts:
        polite = [s.text for s in samples if s.part == part and s.family in ("answer", "question", "sharp_but_fair")]
        polite += [s.text for s in samples if s.part == part and s.source == "prose"]
        own = [s for s in samples if s.part == part and s.source in ("phrases", "frames", "chat_frames", "toxigen")]
        sharp = [s for s in own if s.targets[0] == 1.0]
        # Harmless pieces that sound sharp: without them a mixture would be told by a single word.
        near = [s for s in own if s.targets[0] == 0.0 and s.family not in ("answer", "question", "short")]
        for _ in range(count if part == "train" else count // 6):
            # A quarter fills most of a window, where one bad sentence is a twentieth of the text.
            wanted_words = int(rng.integers(100, LONGEST_MIXTURE)) if rng.random() < 0.25 else int(rng.integers(10, 60))
            pieces: list[str] = []
            while sum(len(piece.split()) for piece in pieces) < wanted_words:
                pieces.append(polite[int(rng.integers(len(polite)))])
            # All of it has to fit into one window, or the sharp piece might not be seen.
            over = sum(len(piece.split()) for piece in pieces) - LONGEST_MIXTURE
            if over > 0:
                pieces[-1] = " ".join(pieces[-1].split()[:-over])
            drawn, targets = rng.random(), make_targets({}, otherwise=0.0)
            if drawn < 0.7:
                pool = sharp if drawn < 0.4 else near
                piece = pool[int(rng.integers(len(pool)))]
                targets = piece.targets
                pieces.insert(int(rng.integers(0, len(pieces) + 1)), piece.text)
            yield Sample(" ".join(pieces), targets, "mixture", part)


def load_corpus(data: Path, rng: np.random.Generator) -> list[Sample]:
    """Return all samples of all parts, HateCheck excepted."""
    samples = [
        *davidson(data, rng, per_class=2200),
        *wikipedia(data),
        *toxigen(data),
        *madlibs(data, rng, per_template=700),
        *own_phrases(rng),
        *framed_clauses(rng),
        *chat_frames(rng, share=0.5),
        *everyday_prose(data, rng, count=2500),
        *chat_texts(),
    ]
    samples.extend(mixtures(samples, rng, count=3600))
    samples.extend(chat_frames(rng, share=0.5, name=ANSWERS_FILE))
    return samples
