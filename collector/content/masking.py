"""Takes personal data out of captured text before it is stored, for those who switch it on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from collector.content.body import to_json
from recognisers import RECOGNISERS, Recogniser, Sieve, find_chosen, to_bytes

MASKED = "custodes.masked"
"""The attribute that says how many values of which kind were masked."""

_BETWEEN = "\0"


class Masker:
    """Masks the values of some kinds, each replaced by its kind in brackets, such as ``[email]``. Thread-safe."""

    def __init__(self, kinds: Collection[str]) -> None:
        self._sieve = Sieve([one for one in RECOGNISERS if one.kind in kinds])

    def mask(self, body: bytes) -> tuple[bytes, Counter[str]]:
        """Return a JSON object with the texts among its values masked, and how many values of each kind were.

        Names, numbers and everything around the values stay as they are; with anything masked, ``attributes`` gains
        ``custodes.masked``.
        """
        counts: Counter[str] = Counter()
        if not self._sieve.choose(body):
            return body, counts
        content = orjson.loads(body)
        texts: list[str] = []
        _collect_texts(content, texts)
        # Most of what looked like something in the JSON were numbers and times, no texts.
        possible = self._sieve.choose(to_bytes(_BETWEEN.join(texts)))
        changed: dict[str, str] = {}
        for text in texts if possible else ():
            masked = _mask_text(text, possible, counts)
            if masked is not None:
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
        masked = _mask_text(text, self._sieve.choose(to_bytes(text)), counts)
        return (text if masked is None else masked), counts


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


def _mask_text(text: str, recognisers: Sequence[Recogniser], counts: Counter[str]) -> str | None:
    """Return the text masked; ``None`` when it holds nothing."""
    values = find_chosen(text, recognisers)
    if not values:
        return None
    pieces: list[str] = []
    done = 0
    for value in values:
        pieces += (text[done : value.start], f"[{value.kind}]")
        done = value.end
        counts[value.kind] += 1
    return "".join(pieces) + text[done:]
