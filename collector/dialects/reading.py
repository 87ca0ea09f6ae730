"""What a dialect module provides, and the readers of single values they share.

A dialect is a name, a test whether a span of some shape speaks it, and a function that reads what the span
says in it. Spans speak several vocabularies at once, so every field is taken from the first dialect that knows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

import orjson

from collector.dialects.span import Document, Message
from collector.otlp.loose_json import loads_loosely
from collector.otlp.spans import Attributes, RawSpan, Value

MAX_COUNT = 1 << 53
_DEEPEST_JSON = 64
_MAX_ENCODINGS = 4
_BLANK = " \t\r\n\ufeff"


@dataclass(frozen=True, slots=True)
class Shape:
    """What tells which vocabularies a span speaks: its scope and the names, never the values, of what it carries.

    Instrumentations send the same few shapes over and over, so what follows from a shape is worked out once.
    """

    scope: str
    keys: frozenset[str]
    events: frozenset[str]

    def present(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return those of ``keys`` that spans of this shape carry, in the same order."""
        return tuple(key for key in keys if key in self.keys)

    def has_prefix(self, *prefixes: str) -> bool:
        """Return whether any attribute's name begins with one of ``prefixes``."""
        return any(key.startswith(prefixes) for key in self.keys)


@dataclass(slots=True)
class Reading:
    """What one dialect found in a span; ``None`` where it says nothing.

    ``operation`` of ``"span"`` says that the span is no call of a model, whatever later dialects make of it.
    """

    operation: str | None = None
    provider: str | None = None
    model: str | None = None
    request_model: str | None = None
    environment: str | None = None
    input_messages: list[Message] | None = None
    output_messages: list[Message] | None = None
    retrieved_documents: list[Document] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    session_id: str | None = None
    user_id: str | None = None
    finish_reasons: list[str] | None = None
    ttft_ms: float | None = None


Reader: TypeAlias = Callable[[RawSpan], Reading]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One vocabulary: ``detect`` looks at a shape alone, ``read`` is called only for spans of shapes it accepts.

    A vocabulary with many optional names may give ``reader_for`` beside it: it returns a reader for spans of one shape
    that looks only for what such spans carry, and finds the same as ``read``.

    ``consumed`` names attributes whose content ``read`` puts into messages or documents, ``consumed_prefixes``
    whole families of them: these are not stored a second time. ``dropped_events``, and those whose names begin with
    one of ``dropped_event_prefixes``, carry nothing once the span is read, such as one mark per streamed chunk.
    ``telling_events`` are those that ``read`` takes messages or documents from: where one of a span's events was lost,
    or a part of these, what is read may be half of what there was.
    """

    name: str
    detect: Callable[[Shape], bool]
    read: Reader
    reader_for: Callable[[Shape], Reader] | None = None
    consumed: frozenset[str] = frozenset()
    consumed_prefixes: tuple[str, ...] = ()
    dropped_events: frozenset[str] = frozenset()
    dropped_event_prefixes: tuple[str, ...] = ()
    telling_events: frozenset[str] = frozenset()


def span_to_shape(span: RawSpan) -> Shape:
    """Return the shape of one span."""
    return Shape(span.scope, frozenset(span.attributes), frozenset([event.name for event in span.events]))


def first_text(attributes: Attributes, keys: Iterable[str]) -> str | None:
    """Return the first non-empty string among ``keys``; a number is written out, since ids arrive as both."""
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, str):
            if value:
                return value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return None


def first_count(attributes: Attributes, keys: Iterable[str]) -> int | None:
    """Return the first non-negative whole number among ``keys``, also when it arrives as text."""
    for key in keys:
        if key in attributes:
            number = _to_number(attributes[key])
            if number is not None and 0 <= number < MAX_COUNT:
                return int(number)
    return None


def first_amount(attributes: Attributes, keys: Iterable[str]) -> float | None:
    """Return the first finite, non-negative number among ``keys``, also when it arrives as text."""
    for key in keys:
        if key in attributes:
            number = _to_number(attributes[key])
            if number is not None and 0 <= number < MAX_COUNT:
                return float(number)
    return None


def _to_number(value: Value) -> int | float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def parse_json(value: Value) -> Any:
    """Return a structured value: as it is, or parsed when it is JSON text; text that isn't JSON stays text.

    JSON that was encoded again, up to four times in all, is unwrapped. Nesting beyond 64 levels stays text:
    nothing downstream should have to walk it.
    """
    if not isinstance(value, str):
        return value
    if value[:1] in ("[", "{"):
        # As nearly all clients write it: nothing before it, encoded once, and strict.
        try:
            parsed = orjson.loads(value)
        except orjson.JSONDecodeError:
            pass
        else:
            brackets = value.count("[") + value.count("{")
            return value if brackets > _DEEPEST_JSON and is_deeper(parsed, _DEEPEST_JSON) else parsed
    elif value.lstrip(_BLANK)[:1] not in ("[", "{", '"'):
        return value
    text = value
    for _ in range(_MAX_ENCODINGS):
        try:
            parsed = loads_loosely(text.strip(_BLANK))
        except ValueError:
            return text
        # Most texts open fewer brackets in all than may be nested, and counting them is cheap.
        if text.count("[") + text.count("{") > _DEEPEST_JSON and is_deeper(parsed, _DEEPEST_JSON):
            return text
        if not looks_like_json(parsed):
            return parsed
        text = parsed
    return text


def looks_like_json(value: Value) -> TypeGuard[str]:
    """Return whether a value is text that begins a list or an object, however often it was encoded.

    Of what :func:`parse_json` returned, that is JSON which cannot be read: most often, it was cut off.
    """
    return isinstance(value, str) and value.lstrip(_BLANK + '"\\')[:1] in ("[", "{")


def is_deeper(value: Any, levels: int) -> bool:
    """Return whether ``value`` nests lists and objects more than ``levels`` deep; recursion is as deep at most."""
    if isinstance(value, dict):
        return levels == 0 or any(is_deeper(one, levels - 1) for one in value.values())
    if isinstance(value, list):
        return levels == 0 or any(is_deeper(one, levels - 1) for one in value)
    return False


def read_finish_reasons(value: Value) -> list[str] | None:
    """Return finish reasons from a list, a JSON list in text, or ``"stop, length"``; ``None`` without any.

    The text ``None`` is what Python clients print of having no reason.
    """
    parsed = parse_json(value)
    if isinstance(parsed, str):
        parsed = [part.strip() for part in parsed.split(",")]
    if not isinstance(parsed, list):
        return None
    reasons = [one[:64] for one in parsed if isinstance(one, str) and one not in ("", "None")]
    return reasons or None


def first_event_ms(span: RawSpan, names: frozenset[str]) -> float | None:
    """Return milliseconds from the span's start to the earliest event with one of ``names``."""
    times = [event.time_ns for event in span.events if event.name in names and event.time_ns >= span.start_ns]
    return (min(times) - span.start_ns) / 1e6 if times else None


def unflatten(attributes: Attributes, prefix: str) -> dict[str, Any]:
    """Return the attributes below ``prefix`` as nested objects, split at dots.

    ``a.0.b = 1`` below ``a.`` gives ``{"0": {"b": 1}}``. A name that is both a value and a folder keeps
    the folder.
    """
    root: dict[str, Any] = {}
    for key, value in attributes.items():
        if not key.startswith(prefix):
            continue
        node = root
        *folders, leaf = key[len(prefix) :].split(".")
        if len(folders) > _DEEPEST_JSON:
            continue
        for folder in folders:
            below = node.get(folder)
            if not isinstance(below, dict):
                below = node[folder] = {}
            node = below
        if not isinstance(node.get(leaf), dict):
            node[leaf] = value
    return root


def numbered(node: object) -> list[Any]:
    """Return the values of an object whose names are numbers, in the order of those numbers."""
    if not isinstance(node, dict):
        return []
    indexes = sorted(int(name) for name in node if name.isascii() and name.isdigit() and len(name) < 7)
    return [node[str(index)] for index in dict.fromkeys(indexes) if str(index) in node]
