"""What surrounds a call: session, user, documents and attributes, carried by a context variable.

Needs no OpenTelemetry: without :func:`custodes_sdk.init` it costs a few microseconds and does nothing else. Tasks of
asyncio inherit it; a thread gets it when it runs in ``contextvars.copy_context()``, as ``asyncio.to_thread`` does.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

MAX_DOCUMENTS_CHARACTERS = 1_000_000
"""Documents beyond this, counted in JSON, are left out: the server refuses a span with a longer attribute."""

MAX_ATTRIBUTES = 64
AttributeValue = str | bool | int | float
Documents = Sequence[str | Mapping[str, Any]]


@dataclass(slots=True)
class Place:
    """What ``with context() as place`` gives: ``trace_id`` is the trace of the latest call begun inside.

    It is 32 lower-case hex characters, for :func:`custodes_sdk.feedback`; ``None`` before any span has begun.
    """

    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that holds at one point of the program; ``documents`` is JSON text as the server reads it."""

    session: str | None = None
    user: str | None = None
    documents: str | None = None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    places: tuple[Place, ...] = ()


_NOWHERE = Surroundings()
_CURRENT: ContextVar[Surroundings] = ContextVar("custodes_surroundings", default=_NOWHERE)


def current_surroundings() -> Surroundings:
    """Return what holds here."""
    return _CURRENT.get()


@contextlib.contextmanager
def context(
    *,
    session: str | None = None,
    user: str | None = None,
    documents: Documents | str | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Place]:
    """Say whose calls follow and what they rest on: every span begun inside carries it, by any instrumentation.

    ``documents`` are what was retrieved for the answer: texts, or objects with ``content`` and optionally ``id`` and
    ``score``; hallucination is judged against them. ``attributes`` become ``custodes.attr.<name>`` and are shown to
    everyone who may read traces, so they are for labels such as ``group``, never for captured text. Inner contexts add
    to outer ones and override what they name themselves. Raises nothing: a value that cannot be used is left out.
    """
    place = Place()
    token = _CURRENT.set(_merge(_CURRENT.get(), session, user, documents, attributes, place))
    try:
        yield place
    finally:
        # A generator that is closed from another context cannot reset what was set in this one.
        with contextlib.suppress(ValueError):
            _CURRENT.reset(token)


def _merge(
    outer: Surroundings,
    session: str | None,
    user: str | None,
    documents: Documents | str | None,
    attributes: Mapping[str, AttributeValue] | None,
    place: Place,
) -> Surroundings:
    return Surroundings(
        session=outer.session if session is None else str(session),
        user=outer.user if user is None else str(user),
        documents=_merge_documents(outer.documents, documents),
        attributes=_merge_attributes(outer.attributes, attributes),
        places=(*outer.places, place),
    )


def _merge_documents(outer: str | None, inner: object) -> str | None:
    """Return the inner documents; none when they are an empty list, the outer ones when they are no documents."""
    if isinstance(inner, list | tuple) and not inner:
        return None
    return documents_to_json(inner) or outer


def _merge_attributes(outer: Mapping[str, AttributeValue], inner: object) -> Mapping[str, AttributeValue]:
    usable = inner.items() if isinstance(inner, Mapping) else ()
    merged = dict(outer)
    for name, value in usable:
        if isinstance(value, str | bool | int | float) and (len(merged) < MAX_ATTRIBUTES or name in merged):
            merged[str(name)] = value
    return merged


def documents_to_json(documents: object) -> str | None:
    """Return documents as the server reads them, as many from the first as fit; ``None`` when none can be used."""
    listed = [documents] if isinstance(documents, str | Mapping) else documents
    if not isinstance(listed, Sequence):
        return None
    texts: list[str] = []
    size = 2
    for one in listed:
        text = _document_to_json(one)
        if text is None:
            continue
        size += len(text) + 1
        if size > MAX_DOCUMENTS_CHARACTERS:
            break
        texts.append(text)
    return f"[{','.join(texts)}]" if texts else None


def _document_to_json(document: object) -> str | None:
    """Return one document as JSON: a text, a mapping, or an object with ``page_content``, ``text`` or ``content``."""
    if isinstance(document, Mapping):
        value: object = dict(document)
    elif isinstance(document, str):
        value = document
    else:
        names = ("page_content", "text", "content")
        found = (getattr(document, name, None) for name in names)
        value = next((text for text in found if isinstance(text, str)), None)
        if value is None:
            return None
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return None
