"""Which instrumentation is taken, and how each family is told to send text."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from custodes_sdk.instrumentations import CAPTURE, activate, allow_capture, find_candidates
from custodes_sdk.sending.quiet import QuietLog


class Distribution:
    def __init__(self, name: str) -> None:
        self.name = name


def entry_point(name: str, package: str, value: str = "nowhere:Nothing") -> EntryPoint:
    made = EntryPoint(name, value, "opentelemetry_instrumentor")
    vars(made)["dist"] = Distribution(package)
    return made


class Instrumentor:
    conflict: object = None
    error: Exception | None = None
    running = False

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        return type(self).running

    def _check_dependency_conflicts(self) -> object:
        return self.conflict

    def instrument(self, *, tracer_provider: object) -> None:
        if self.error is not None:
            raise self.error
        type(self).running = True


@pytest.fixture
def instrumentors(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes an entry point of a working instrumentation, with changes."""
    module: Any = types.ModuleType("fake_instrumentations")
    monkeypatch.setitem(sys.modules, "fake_instrumentations", module)

    def make(name: str, package: str, **changes: Any) -> EntryPoint:
        kind = f"I{len(vars(module))}"
        setattr(module, kind, type(kind, (Instrumentor,), changes))
        return entry_point(name, package, f"fake_instrumentations:{kind}")

    return make


class TestFinding:
    def test_it_takes_those_of_models_and_prefers_opentelemetry_s_own(self) -> None:
        found = find_candidates(
            [
                entry_point("openai", "openinference-instrumentation-openai"),
                entry_point("openai", "opentelemetry-instrumentation-openai"),
                entry_point("openai", "opentelemetry-instrumentation-genai-openai"),
                entry_point("openai", "openinference-instrumentation-openai"),
                entry_point("openai_v2", "opentelemetry-instrumentation-openai-v2"),
                entry_point("httpx", "opentelemetry-instrumentation-httpx"),
                entry_point("fastapi", "opentelemetry-instrumentation-fastapi"),
                entry_point("llama_index", "openinference-instrumentation-llama-index"),
                entry_point("chromadb", "opentelemetry_instrumentation_chromadb"),
            ]
        )
        assert {library: [one.package for one in candidates] for library, candidates in found.items()} == {
            "chromadb": ["opentelemetry-instrumentation-chromadb"],
            "llama-index": ["openinference-instrumentation-llama-index"],
            "openai": [
                "opentelemetry-instrumentation-genai-openai",
                "openinference-instrumentation-openai",
                "opentelemetry-instrumentation-openai",
                "opentelemetry-instrumentation-openai-v2",
            ],
        }


class TestSwitches:
    GENAI = find_candidates([entry_point("openai", "opentelemetry-instrumentation-genai-openai")])["openai"]
    OLD = find_candidates([entry_point("openai_v2", "opentelemetry-instrumentation-openai-v2")])["openai"]

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (None, "span_only"),
            ("", "span_only"),
            ("true", "span_only"),
            ("True", "span_only"),
            ("span_and_event", "span_and_event"),
            ("NO_CONTENT", "NO_CONTENT"),
            ("false", "false"),
        ],
    )
    def test_the_new_packages_get_their_word_for_yes(self, before: str | None, after: str) -> None:
        variables = {} if before is None else {CAPTURE: before}
        allow_capture(self.GENAI, variables, capture_text=True)
        assert variables[CAPTURE] == after

    def test_the_old_ones_get_theirs(self) -> None:
        variables: dict[str, str] = {}
        allow_capture(self.OLD, variables, capture_text=True)
        assert variables[CAPTURE] == "true"
        assert variables["TRACELOOP_TRACE_CONTENT"] == "true"

    def test_without_text_every_family_is_told(self) -> None:
        variables = {"OPENINFERENCE_HIDE_INPUTS": "false"}
        allow_capture(self.GENAI, variables, capture_text=False)
        assert variables == {
            CAPTURE: "no_content",
            "TRACELOOP_TRACE_CONTENT": "false",
            # What the operator set stays.
            "OPENINFERENCE_HIDE_INPUTS": "false",
            "OPENINFERENCE_HIDE_OUTPUTS": "true",
        }


class TestActivating:
    def activate(self, *entry_points: EntryPoint) -> dict[str, str]:
        return activate(find_candidates(entry_points), object(), QuietLog())

    def test_one_per_library(self, instrumentors: Any) -> None:
        first = instrumentors("openai", "opentelemetry-instrumentation-genai-openai")
        second = instrumentors("openai", "openinference-instrumentation-openai")
        assert self.activate(second, first) == {"openai": "opentelemetry-instrumentation-genai-openai"}
        assert not second.load().running

    def test_one_that_runs_already_stays_the_only_one(self, instrumentors: Any) -> None:
        first = instrumentors("openai", "opentelemetry-instrumentation-genai-openai")
        second = instrumentors("openai", "openinference-instrumentation-openai", running=True)
        assert self.activate(first, second) == {"openai": "openinference-instrumentation-openai"}
        assert not first.load().running

    @pytest.mark.parametrize("changes", [{"conflict": "openai is missing"}, {"error": RuntimeError("broken")}])
    def test_the_next_takes_over_from_one_that_cannot(self, instrumentors: Any, changes: dict[str, Any]) -> None:
        first = instrumentors("openai", "opentelemetry-instrumentation-genai-openai", **changes)
        second = instrumentors("openai", "openinference-instrumentation-openai")
        assert self.activate(first, second) == {"openai": "openinference-instrumentation-openai"}

    def test_a_broken_package_stops_nothing(self, instrumentors: Any) -> None:
        broken = entry_point("anthropic", "opentelemetry-instrumentation-genai-anthropic")
        assert self.activate(broken, instrumentors("openai", "openinference-instrumentation-openai")) == {
            "openai": "openinference-instrumentation-openai"
        }
