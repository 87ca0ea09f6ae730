"""Takes personal data out of captured text before it is stored, for those who switch it on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from collector.content.body import to_json
from collector.content.mask_kinds import KINDS, Kind, Outline, outline

MASKED = "custodes.masked"
"""The attribute that says how many values of which kind were masked."""

_BETWEEN = "\0"


class Masker:
    """Masks the values of some kinds, each replaced by its kind in brackets, such as ``[email]``. Thread-safe."""

    def __init__(self, kinds: Collection[str]) -> None:
        self._kinds = [kind for kind in KINDS if kind.name in kinds]

    def mask(self, body: bytes) -> tuple[bytes, Counter[str]]:
        """Return a JSON object with the texts among its values masked, and how many values of each kind were.

        Names, numbers and everything around the values stay as they are; with anything masked, ``attributes`` gains
        ``custodes.masked``.
        """
        counts: Counter[str] = Counter()
        kinds = _choose(self._kinds, outline(body))
        if not kinds:
            return body, counts
        content = orjson.loads(body)
        texts: list[str] = []
        _collect_texts(content, texts)
        changed: dict[str, str] = {}
        for text, worth in _look(kinds, texts):
            masked = _mask_text(text, worth, counts)
            if masked != text:
                changed[text] = masked
        if not changed:
            return body, counts
        content = _replace(content, changed)
        if isinstance(content.get("attributes"), dict):
            content["attributes"][MASKED] = dict(sorted(counts.items()))
        return to_json(content), counts

    def mask_text(self, text: str) -> tuple[str, Counter[str]]:
        """Return ``text`` masked, and how many values of each kind were."""
        counts: Counter[str] = Counter()
        for _, worth in _look(self._kinds, [text]):
            text = _mask_text(text, worth, counts)
        return text, counts


def _choose(kinds: Sequence[Kind], seen: Outline) -> list[Kind]:
    return [kind for kind in kinds if kind.may_hold(seen)]


def _look(kinds: Sequence[Kind], texts: Sequence[str]) -> Iterator[tuple[str, list[Kind]]]:
    """Yield the texts that may hold something, with the kinds they may hold.

    All texts are outlined at once: most of what looked like something in the JSON were numbers and times, no texts.
    """
    seen = outline(_BETWEEN.join(texts).encode("utf-8", "replace"))
    possible = _choose(kinds, seen)
    if not possible:
        return
    raw, shape, dense = (part.split(_BETWEEN.encode()) for part in seen)
    if len(raw) == len(texts):
        outlines: Iterable[Outline] = zip(raw, shape, dense, strict=True)
    else:  # A text that holds the separator itself.
        outlines = (outline(text.encode("utf-8", "replace")) for text in texts)
    for text, one in zip(texts, outlines, strict=True):
        length = len(text)
        worth = [kind for kind in possible if kind.shortest <= length and kind.may_hold(one)]
        if worth:
            yield text, worth


def _collect_texts(value: Any, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, dict):
        for one in value.values():
            _collect_texts(one, texts)
    elif isinstance(value, list):
        for one in value:
            _collect_texts(one, texts)


def _replace(value: Any, changed: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return changed.get(value, value)
    if isinstance(value, dict):
        return {name: _replace(one, changed) for name, one in value.items()}
    if isinstance(value, list):
        return [_replace(one, changed) for one in value]
    return value


def _mask_text(text: str, kinds: Sequence[Kind], counts: Counter[str]) -> str:
    for kind in kinds:
        pieces: list[str] = []
        done = 0
        for start, end in sorted(kind.find(text)):
            if start >= done:
                pieces += (text[done:start], f"[{kind.name}]")
                done = end
                counts[kind.name] += 1
        if done:
            text = "".join(pieces) + text[done:]
    return text
