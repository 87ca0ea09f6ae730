"""What a context says in words and numbers, and how much of a sentence it covers.

Lexical on purpose: nothing to download, microseconds a sentence, and each verdict can be pointed at. Word overlap is a
strong baseline for groundedness (it beats sentence-vector cosine on TRUE and SummaC); its blind spots are paraphrase,
which looks unsupported, and a wrong relation between right words, of which ``detectors.text.relations`` sees a part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from detectors.text.numbers import conversions
from detectors.text.relations import ClauseIndex, Relations, relate
from detectors.text.sentences import Sentence, split_sentences
from detectors.text.talk import claimless_ranges
from detectors.text.vocabulary import TALK_WORDS
from detectors.text.words import Word, content_words, converted_amounts, is_known, keys_of, word_places

LARGEST_DERIVED_COUNT: Final = 12
LONGEST_PIECE: Final = 400  # characters of a context "sentence": text without full stops is no sentence


@dataclass(frozen=True, slots=True)
class Support:
    """What the contexts and the prompt offer to rest on. Built once for an exchange."""

    sentences: tuple[str, ...]  # of all contexts in order, long ones in pieces
    places: Mapping[str, tuple[int, ...]]  # word key -> the context sentences that hold it, ascending
    prompt_keys: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    counted: frozenset[str]  # stems of what the contexts give a number of
    measured: frozenset[tuple[str, str]]  # (number, unit) pairs of the contexts
    units: frozenset[str]
    clauses: ClauseIndex


def build_support(contexts: Sequence[str], prompt: str | None) -> Support:
    """Index the contexts by word and sentence."""
    places: dict[str, list[int]] = {}
    sentences: list[str] = []
    told: list[list[Word]] = []
    pairs: set[tuple[str, str]] = set()
    counted: set[str] = set()
    measured: set[tuple[str, str]] = set()
    for context in contexts:
        for piece in _pieces(context):
            words = content_words(piece)
            for key in keys_of(words):
                places.setdefault(key, []).append(len(sentences))
            sentences.append(piece)
            told.append(words)
            counted.update(word.counted for word in words if word.counted)
            measured.update((value, word.unit) for word in words if word.unit for value in (word.stem, *word.readings))
            stems = [word.stem for word in words]
            pairs.update(pairwise(stems))
            pairs.update(zip(stems, stems[2:], strict=False))
    held = {key: tuple(numbers) for key, numbers in places.items()}
    return Support(
        sentences=tuple(sentences),
        places=held,
        clauses=ClauseIndex(sentences, told, held),
        prompt_keys=frozenset(keys_of(content_words(prompt))) if prompt else frozenset(),
        pairs=frozenset(pairs),
        counted=frozenset(counted),
        measured=frozenset(measured),
        units=frozenset(unit for _, unit in measured),
    )


def _pieces(context: str) -> Iterator[str]:
    """Yield the sentences of a context; one longer than ``LONGEST_PIECE`` comes in pieces that end at a space."""
    for sentence in split_sentences(context):
        text = sentence.text
        while len(text) > LONGEST_PIECE:
            cut = text.rfind(" ", LONGEST_PIECE // 2, LONGEST_PIECE)
            cut = LONGEST_PIECE if cut < 0 else cut
            yield text[:cut]
            text = text[cut:].lstrip()
        if text:
            yield text


@dataclass(frozen=True, slots=True)
class Evidence:
    """How far one sentence is covered. Shares are in [0, 1]; ``claims`` counts the words that could be checked.

    ``content`` are all its content words, those that claim nothing among them.
    """

    sentence: Sentence
    content: tuple[Word, ...]
    claims: int
    unsupported: tuple[Word, ...]
    word_ranges: tuple[tuple[int, int], ...]
    missing_share: float
    missing_names: float
    missing_numbers: float
    missing_pairs: float
    best_sentence_missing: float
    turned_negation: float
    opposite_word: float
    misplaced_anchor: float
    suspects: tuple[tuple[int, int], ...]  # what shows a wrong relation between right words


FEATURES: Final = (
    "missing_share", "missing_names", "missing_numbers", "missing_pairs", "best_sentence_missing", "turned_negation",
    "opposite_word", "misplaced_anchor",
)  # fmt: skip


def weigh_sentence(text: str, sentence: Sentence, support: Support) -> Evidence:
    """Compare one sentence of ``text`` with the support.

    Names must come from the contexts; words and numbers may also repeat the prompt's ("your order 4711"). Small counts
    in words of things the contexts don't number ("two options") are left out, and so is talk that claims nothing.
    ``missing_numbers`` and ``missing_names`` saturate: 0 none, 1/2 one, 3/4 two, and so on.
    """
    silent = claimless_ranges(text, sentence.start, sentence.end)
    content = content_words(text, sentence.start, sentence.end)
    words = [
        word
        for word in content
        if (word.is_number or text[word.start : word.end].lower() not in TALK_WORDS)
        and not any(start <= word.start < end for start, end in silent)
        and not _is_derived_count(word, support)
    ]
    unsupported: list[Word] = []
    names = numbers = 0
    restated = {unit for _, unit in converted_amounts(words, support.places)}
    for word in words:
        if word in restated:
            continue
        if is_known(word, support.places) and not _is_measured_otherwise(word, support):
            continue
        if not word.is_name and is_known(word, support.prompt_keys):
            continue
        unsupported.append(word)
        numbers += word.is_number
        names += word.is_name
    stems = [word.stem for word in words]
    adjacent = list(pairwise(stems))
    relations = relate(text, sentence, words, support.clauses) if words else Relations()
    return Evidence(
        sentence=sentence,
        content=tuple(content),
        claims=len(words),
        unsupported=tuple(unsupported),
        word_ranges=tuple((word.start, word.end) for word in words),
        missing_share=len(unsupported) / len(words) if words else 0.0,
        missing_names=1.0 - 0.5**names,
        missing_numbers=1.0 - 0.5**numbers,
        missing_pairs=sum(pair not in support.pairs for pair in adjacent) / len(adjacent) if adjacent else 0.0,
        best_sentence_missing=1.0 - _best_sentence(words, support),
        turned_negation=relations.turned_negation,
        opposite_word=relations.opposite_word,
        misplaced_anchor=relations.misplaced_anchor,
        suspects=relations.suspects,
    )


def _is_measured_otherwise(word: Word, support: Support) -> bool:
    """Return whether the contexts give other numbers in this number's unit, and this number only for something else."""
    if word.unit not in support.units:
        return False
    same = [(value, word.unit) for value in (word.stem, *word.readings)] + conversions(word.stem, word.unit)
    return support.measured.isdisjoint(same)


def _is_derived_count(word: Word, support: Support) -> bool:
    """Return whether a number looks counted by the writer: small, in words, of things the contexts don't number."""
    if not (word.is_spelled and word.counted and not word.unit) or is_known(word, support.places):
        return False
    return word.counted not in support.counted and len(word.stem) <= 2 and int(word.stem) <= LARGEST_DERIVED_COUNT


def _best_sentence(words: Sequence[Word], support: Support) -> float:
    """Return the largest share of ``words`` that a single context sentence holds."""
    held: Counter[int] = Counter()
    for word in words:
        held.update(word_places(word, support.places))
    return max(held.values()) / len(words) if held else 0.0
