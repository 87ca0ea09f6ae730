"""Everything the hallucination head is trained on, in one list of examples.

Labelled claims of cg2c and WiCE, contrasts made from supported claims and from sentences of the documents themselves
(changed on either side, so that neither side alone tells the answer), and chat-style frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from detectors.text.sentences import split_sentences
from training.support_contrasts import CONTRADICTIONS, turn_equal
from training.support_examples import Example, Ranges, changed_example, load_cg2c, load_token_claims
from training.support_frames import MORE_FRAMES_FILE, make_frames

FRAMES: Final = 1800
WRITTEN: Final = 1500
MORE_FRAMES: Final = 500
REPEATED: Final = 1000
CONTRASTS_A_CLAIM: Final = 1
SENTENCES_A_DOCUMENT: Final = 1
SHORTEST_SENTENCE: Final = 50
LONGEST_SENTENCE: Final = 240
LONGEST_CUT: Final = 4  # words that may be taken out of a partly supported claim to leave a supported one


def build_corpus(data: Path, rng: np.random.Generator) -> list[Example]:
    """Return all training examples; the same for the same data, code and generator."""
    cg2c = load_cg2c(data)
    wice = [claim.example for claim in load_token_claims(data, "train")]
    supported = list({example.text: example for example in cg2c if not example.is_unsupported}.values())
    examples = [*cg2c, *wice, *(cut for example in wice for cut in without_unsupported(example))]
    for example in supported:
        examples += contrasts(example, CONTRASTS_A_CLAIM, rng)
    for example in [*supported[::2], *wice[::2]]:
        examples += from_document(example, SENTENCES_A_DOCUMENT, rng)
    return examples + make_frames(FRAMES, rng)


def build_second_corpus(first: Sequence[Example], rng: np.random.Generator) -> list[Example]:
    """Return what the second stage is trained on: relations told in other words, and a part of the first stage again.

    Without the repetition the head forgets news and encyclopedia.
    """
    again = [example for example in first if example.origin in {"wice_tokens", "wice_cut"}]
    rest = [example for example in first if example.group.startswith("cg2c-")]
    again += [rest[int(place)] for place in rng.permutation(len(rest))[:REPEATED]]
    written = make_frames(WRITTEN, rng, MORE_FRAMES_FILE, kind="written")
    return written + make_frames(MORE_FRAMES, rng) + again


def without_unsupported(example: Example) -> list[Example]:
    """Return a partly supported claim without its unsupported words, if they are few: what is left is supported."""
    if not example.unsupported or sum(len(example.text[a:b].split()) for a, b in example.unsupported) > LONGEST_CUT:
        return []
    text, at = "", 0
    for start, end in example.unsupported:
        text += example.text[at:start].rstrip()
        at = end
    text = (text + example.text[at:]).strip()
    return [replace(example, text=text, is_unsupported=False, unsupported=(), origin="wice_cut")] if text else []


def contrasts(example: Example, count: int, rng: np.random.Generator) -> list[Example]:
    """Return a supported claim changed in ``count`` ways, and once in words that mean the same."""
    made = []
    for name in rng.permutation(list(CONTRADICTIONS)):
        changed = CONTRADICTIONS[str(name)](example.text, example.contexts[0], rng)
        if changed is not None:
            made.append(changed_example(example, *changed, str(name)))
        if len(made) == count:
            break
    equal = turn_equal(example.text, example.contexts[0], rng)
    if equal is not None and rng.random() < 0.5:
        made.append(changed_example(example, equal[0], (), "equal"))
    return made


def from_document(example: Example, count: int, rng: np.random.Generator) -> list[Example]:
    """Return sentences of the document as claims: as they stand, reworded, contradicted on either side, or cut out."""
    context = example.contexts[0]
    sentences = [
        sentence.text
        for sentence in split_sentences(context)
        if SHORTEST_SENTENCE <= len(sentence.text) <= LONGEST_SENTENCE and context.count(sentence.text) == 1
    ]
    made = []
    for place in rng.permutation(len(sentences))[:count]:
        sentence = sentences[int(place)]
        plain = replace(
            example, text=sentence, is_unsupported=False, unsupported=(), origin=f"{example.origin}_sentence"
        )
        equal = turn_equal(sentence, context, rng)
        told = plain if equal is None or rng.random() < 0.5 else replace(plain, text=equal[0])
        made.append(told)
        names = rng.permutation(list(CONTRADICTIONS))
        found = (CONTRADICTIONS[str(name)](sentence, context, rng) for name in names)
        changed = next((one for one in found if one is not None), None)
        if changed is not None:
            if rng.random() < 0.5:
                made.append(changed_example(plain, *changed, "contrast"))
            else:
                other = replace(plain, contexts=(context.replace(sentence, changed[0]),))
                made.append(changed_example(other, sentence, _difference(sentence, changed[0]), "context_contrast"))
        if rng.random() < 0.3:
            rest = context.replace(sentence, "").strip()
            if rest:
                origin = f"{example.origin}_cut_out"
                made.append(replace(told, contexts=(rest,), is_unsupported=True, unsupported=None, origin=origin))
    return made


def _common_length(left: str, right: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    return next(
        (place for place, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )


def _difference(left: str, right: str) -> Ranges:
    """Return the stretch of ``left`` that differs from ``right``; the word before it where ``right`` only adds."""
    start = _common_length(left, right)
    tail = _common_length(left[start:][::-1], right[start:][::-1])
    end = len(left) - tail
    while start > 0 and left[start - 1].isalnum():
        start -= 1
    while end < len(left) and left[end].isalnum():
        end += 1
    if end <= start:
        end = start
        start = left.rfind(" ", 0, max(end - 1, 0)) + 1
    return ((start, end),)


def split_by_group(examples: Sequence[Example], share: float, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Return the indices of the examples to fit on and of those held out.

    No source document is on both sides. Of each kind of source, news, encyclopedia and frames, the same share of
    documents is held out, and at least one.
    """
    kinds: dict[str, list[str]] = {}
    for group in sorted({example.group for example in examples}):
        kinds.setdefault(group.partition("-")[0], []).append(group)
    held: set[str] = set()
    for groups in kinds.values():
        order = rng.permutation(len(groups))
        held |= {groups[int(place)] for place in order[: max(1, round(share * len(groups)))]}
    return (
        [index for index, example in enumerate(examples) if example.group not in held],
        [index for index, example in enumerate(examples) if example.group in held],
    )
