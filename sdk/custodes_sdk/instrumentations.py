"""Finds installed GenAI instrumentations and switches on one per library.

Order of preference for a library that several can instrument: one that is active already; then OpenTelemetry's own
(``opentelemetry-instrumentation-genai-*``); then OpenInference; then OpenLLMetry and older packages of OpenTelemetry.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from custodes_sdk.sending.quiet import QuietLog

GROUPS = ("opentelemetry_instrumentor", "openinference_instrumentor")
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
FAMILIES = ("genai", "openinference", "openllmetry")

# Packages called opentelemetry-instrumentation-<library> that record model calls, agents or retrieval; all others
# (web frameworks, databases) are none of our business.
_LIBRARIES = frozenset(
    {
        "agno", "alephalpha", "anthropic", "bedrock", "chromadb", "cohere", "crewai", "google-genai",
        "google-generativeai", "groq", "haystack", "lancedb", "langchain", "langgraph", "llamaindex", "marqo", "mcp",
        "milvus", "mistralai", "ollama", "openai", "openai-agents", "pinecone", "qdrant", "replicate", "sagemaker",
        "together", "transformers", "vertexai", "voyageai", "watsonx", "weaviate", "writer",
    }
)  # fmt: skip
_OTEL = "opentelemetry-instrumentation-"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An installed instrumentation: which library it records, its family and its package."""

    library: str
    family: str
    package: str
    entry_point: importlib.metadata.EntryPoint


def find_candidates(entry_points: Iterable[importlib.metadata.EntryPoint]) -> dict[str, list[Candidate]]:
    """Return the GenAI instrumentations by library, the preferred one first."""
    found: dict[str, dict[str, Candidate]] = {}
    for one in entry_points:
        package = re.sub(r"[-_.]+", "-", one.dist.name).lower() if one.dist is not None else ""
        family = _family(package)
        if family is not None:
            library = re.sub(r"-v\d+$", "", one.name.lower().replace("_", "-"))
            # Some packages register with both groups.
            found.setdefault(library, {}).setdefault(package, Candidate(library, family, package, one))
    return {
        library: sorted(by_package.values(), key=lambda one: (FAMILIES.index(one.family), one.package))
        for library, by_package in sorted(found.items())
    }


def installed_entry_points() -> list[importlib.metadata.EntryPoint]:
    """Return the entry points of every installed instrumentation."""
    return [one for group in GROUPS for one in importlib.metadata.entry_points(group=group)]


def allow_capture(candidates: Iterable[Candidate], variables: MutableMapping[str, str], *, capture_text: bool) -> None:
    """Set the switch of every family, unless the operator has set it.

    OpenTelemetry's packages want ``span_only`` where their predecessors wanted ``true``, and take ``true`` for a
    mistake after which no text is sent; the wish is plain, so it is put into words they understand.
    """
    families = {one.family for one in candidates}
    if not capture_text:
        variables.setdefault(CAPTURE, "no_content" if "genai" in families else "false")
        variables.setdefault("TRACELOOP_TRACE_CONTENT", "false")
        variables.setdefault("OPENINFERENCE_HIDE_INPUTS", "true")
        variables.setdefault("OPENINFERENCE_HIDE_OUTPUTS", "true")
        return
    if "genai" in families:
        if variables.get(CAPTURE, "true").strip().lower() in ("", "true", "1", "yes"):
            variables[CAPTURE] = "span_only"
    else:
        variables.setdefault(CAPTURE, "true")
    variables.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental")
    variables.setdefault("TRACELOOP_TRACE_CONTENT", "true")


def activate(found: dict[str, list[Candidate]], provider: Any, log: QuietLog) -> dict[str, str]:
    """Switch on one instrumentation per library; return the active package by library. Raises nothing.

    A library that is not installed is passed over, and one whose instrumentation fails is named in the log.
    """
    active: dict[str, str] = {}
    for library, candidates in found.items():
        loaded = [(one, instrumentor) for one in candidates if (instrumentor := _load(one, log)) is not None]
        running = next((one for one, instrumentor in loaded if _is_active(instrumentor)), None)
        if running is not None:
            active[library] = running.package
            continue
        for one, instrumentor in loaded:
            if _switch_on(instrumentor, provider, one, log):
                active[library] = one.package
                break
    return active


def _family(package: str) -> str | None:
    if package.startswith(f"{_OTEL}genai-"):
        return "genai"
    if package.startswith("openinference-instrumentation-"):
        return "openinference"
    library = re.sub(r"-v\d+$", "", package.removeprefix(_OTEL))
    return "openllmetry" if package.startswith(_OTEL) and library in _LIBRARIES else None


def _load(candidate: Candidate, log: QuietLog) -> Any:
    try:
        instrumentor = candidate.entry_point.load()()
        # The library itself may be missing or too old; instrumenting would log an error then.
        return None if instrumentor._check_dependency_conflicts() is not None else instrumentor
    except Exception as error:  # A broken package of somebody else must not stop the host.
        log.caution("cannot load %s: %s", candidate.package, type(error).__name__)
        return None


def _is_active(instrumentor: Any) -> bool:
    return bool(getattr(instrumentor, "is_instrumented_by_opentelemetry", False))


def _switch_on(instrumentor: Any, provider: Any, candidate: Candidate, log: QuietLog) -> bool:
    try:
        instrumentor.instrument(tracer_provider=provider)
    except Exception as error:  # As above.
        log.caution("cannot switch on %s: %s", candidate.package, type(error).__name__)
        return False
    return _is_active(instrumentor)
