"""Chat-style training exchanges built from ``support_frames.txt``: documents, a question, an answer, its wrong words.

Real groundedness data are news and Wikipedia. Assistants answer from policies, manuals and tables, in other words, with
greetings, lists and several facts at a time, and go wrong by taking a right figure for the wrong thing. The frames make
such exchanges in any number; every wrong word is known. Evaluation cases share no sentence with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np

from training.support_examples import Example

FRAMES_FILE: Final = Path(__file__).with_name("support_frames.txt")
MORE_FRAMES_FILE: Final = Path(__file__).with_name("support_frames_2.txt")

_BRACKETED: Final = re.compile(r"\[([^\]]*)\]")
_SLOT: Final = re.compile(r"\{(\w)\}")
_OPENINGS: Final = (
    "", "", "", "", "Sure! ", "Yes. ", "Good question. ", "According to the documents, ",
    "Based on the information provided, ", "Thanks for asking. ", "Happy to help! ", "In short: ",
)  # fmt: skip
_CLOSINGS: Final = (
    "", "", "", "", "",
    " Let me know if you need anything else.", " I hope this helps!",
    " Please contact us if you have questions.",
)  # fmt: skip
_ABSTENTIONS: Final = (
    "The documents do not say more about this.", "I could not find anything else on this.",
    "There is no further information in the text.", "This is not mentioned in the documents.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a domain's documents say: slots with their choices, and its wordings."""

    choices: tuple[tuple[str, tuple[str, ...]], ...]
    documents: tuple[str, ...]
    answers: tuple[str, ...]
    contradictions: tuple[str, ...]
    question: str


@dataclass(frozen=True, slots=True)
class Domain:
    """A made-up business: its facts, and what answers may add that no document of it says."""

    name: str
    facts: tuple[Fact, ...]
    extras: tuple[str, ...]


def load_domains(path: Path = FRAMES_FILE) -> list[Domain]:
    """Read the frames; raises ValueError on a line of no known kind."""
    domains: list[Domain] = []
    for block in re.split(r"^@ ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, _, body = block.partition("\n")
        facts: list[Fact] = []
        extras: list[str] = []
        for line in body.strip().splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "fact":
                slots = [slot.partition("=") for slot in rest.split(" & ") if slot]
                choices = tuple((slot, tuple(values.split("|"))) for slot, _, values in slots)
                facts.append(Fact(choices, (), (), (), ""))
            elif kind == "extra:":
                extras.append(rest)
            elif kind in {"c:", "r:", "x:", "q:"}:
                facts[-1] = _with_line(facts[-1], kind, rest)
            elif line.strip():
                raise ValueError(f"a frame line must begin with fact, c:, r:, x:, q: or extra:, got {line!r}")
        domains.append(Domain(name, tuple(facts), tuple(extras)))
    return domains


def _with_line(fact: Fact, kind: str, text: str) -> Fact:
    return Fact(
        fact.choices,
        (*fact.documents, text) if kind == "c:" else fact.documents,
        (*fact.answers, text) if kind == "r:" else fact.answers,
        (*fact.contradictions, text) if kind == "x:" else fact.contradictions,
        text if kind == "q:" else fact.question,
    )


def _choose(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _fill(template: str, values: dict[str, str], wrong: frozenset[str] = frozenset()) -> str:
    """Fill a template's slots; values of ``wrong`` slots come in square brackets."""

    def value(match: re.Match[str]) -> str:
        filled = values[match[1]]
        return f"[{filled}]" if match[1] in wrong else filled

    text = _SLOT.sub(value, template)
    place = 1 if text.startswith("[") else 0
    return text[:place] + text[place].upper() + text[place + 1 :]


def strip_brackets(marked: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the text without square brackets, and where the bracketed stretches stand in it."""
    text, ranges, at = "", [], 0
    for match in _BRACKETED.finditer(marked):
        text += marked[at : match.start()]
        ranges.append((len(text), len(text) + len(match[1])))
        text += match[1]
        at = match.end()
    return text + marked[at:], tuple(ranges)


def make_exchange(domain: Domain, kind: str, rng: np.random.Generator) -> Example:
    """Return one exchange of the domain: about half of them have something wrong."""
    values = [{slot: _choose(options, rng) for slot, options in fact.choices} for fact in domain.facts]
    shown = [int(place) for place in rng.permutation(len(domain.facts))[: int(rng.integers(2, len(domain.facts) + 1))]]
    count = int(rng.choice([1, 1, 2, 2, 3]))
    told = shown[: min(count, len(shown))]
    wrong = int(rng.integers(len(told))) if rng.random() < 0.5 else -1
    sentences = []
    for position, place in enumerate(told):
        fact = domain.facts[place]
        if position == wrong:
            sentences.append(_wrong_sentence(domain, place, values, shown, rng))
        else:
            sentences.append(_fill(_choose(fact.answers, rng), values[place]))
    if rng.random() < 0.15:
        hidden = [place for place in range(len(domain.facts)) if place not in shown]
        if rng.random() < 0.5 or not hidden:
            sentences.append(f"[{_choose(domain.extras, rng)}]")
        else:
            place = hidden[int(rng.integers(len(hidden)))]
            sentences.append(f"[{_fill(_choose(domain.facts[place].answers, rng), values[place])}]")
    if rng.random() < 0.1:
        sentences.append(_choose(_ABSTENTIONS, rng))
    answer = _choose(_OPENINGS, rng) + _join(sentences, rng) + _choose(_CLOSINGS, rng)
    text, ranges = strip_brackets(answer)
    contexts = _documents(
        domain, [domain.facts[place] for place in sorted(shown)], [values[p] for p in sorted(shown)], rng
    )
    question = domain.facts[told[0]].question
    return Example(text, contexts, bool(ranges), ranges, f"{kind}-{domain.name}", "frames", question)


def _join(sentences: Sequence[str], rng: np.random.Generator) -> str:
    if len(sentences) > 1 and rng.random() < 0.25:
        bullet = _choose(("- ", "* ", "1. "), rng)
        return "\n" + "\n".join(
            (f"{number}. " if bullet == "1. " else bullet) + sentence for number, sentence in enumerate(sentences, 1)
        )
    return " ".join(sentences)


def _wrong_sentence(
    domain: Domain, place: int, values: Sequence[dict[str, str]], shown: Sequence[int], rng: np.random.Generator
) -> str:
    """Return a false answer about a fact: contradicted, roles exchanged, another fact's figure, or a new value."""
    fact, own = domain.facts[place], values[place]
    if rng.random() < 0.3:
        return _fill(_choose(fact.contradictions, rng), own)
    answer = _choose(fact.answers, rng)
    slots = [slot for slot, _ in fact.choices if "{" + slot + "}" in answer]
    if not slots:
        return _fill(_choose(fact.contradictions, rng), own)
    if len(slots) == 2 and rng.random() < 0.7:
        return _fill(answer, {slots[0]: own[slots[1]], slots[1]: own[slots[0]]}, frozenset(slots))
    slot = slots[int(rng.integers(len(slots)))]
    kind = _kind(own[slot])
    misplaced = [
        other
        for far in shown
        if far != place
        for other in values[far].values()
        if _kind(other) == kind and other != own[slot]
    ]
    fresh = [other for other in dict(fact.choices)[slot] if other != own[slot]]
    options = misplaced if misplaced and rng.random() < 0.5 else fresh
    return _fill(answer, own | {slot: _choose(options, rng)}, frozenset({slot}))


def _kind(value: str) -> str:
    """Return what a value looks like, so that a figure is exchanged with a figure and a name with a name."""
    if re.fullmatch(r"[\d.,]+", value):
        return "figure"
    return "name" if value[0].isupper() else "words" if not value[0].isdigit() else "phrase"


def _documents(
    domain: Domain, facts: Sequence[Fact], values: Sequence[dict[str, str]], rng: np.random.Generator
) -> tuple[str, ...]:
    """Return one or two documents that say the facts, as prose, list or key and value."""
    lines = [_fill(_choose(fact.documents, rng), own) for fact, own in zip(facts, values, strict=True)]
    order = [lines[int(place)] for place in rng.permutation(len(lines))]
    style = rng.random()
    cut = int(rng.integers(1, len(order))) if len(order) > 2 and rng.random() < 0.4 else len(order)
    documents = []
    for part in (order[:cut], order[cut:]):
        if not part:
            continue
        if style < 0.6:
            documents.append(" ".join(line if line.endswith((".", "!")) else line + "." for line in part))
        elif style < 0.8:
            documents.append(f"# {domain.name.capitalize()}\n" + "\n".join(f"- {line}" for line in part))
        else:
            documents.append("\n".join(part))
    return tuple(documents)


def make_frames(
    count: int, rng: np.random.Generator, path: Path = FRAMES_FILE, *, kind: str = "frame"
) -> list[Example]:
    """Return ``count`` different exchanges, the domains taking turns; ``kind`` begins the names of their groups."""
    domains = load_domains(path)
    made: dict[tuple[str, tuple[str, ...]], Example] = {}
    for _, domain in product(range(4 * count // len(domains) + 1), domains):
        example = make_exchange(domain, kind, rng)
        made.setdefault((example.text, example.contexts), example)
        if len(made) == count:
            break
    return list(made.values())
