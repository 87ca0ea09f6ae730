"""Names of the same GenAI metric in different generations of the conventions.

Clients in use still send the names that the conventions have given up, so whoever asks for one name means the other
too. Source: the migration guide of the GenAI semantic conventions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TOKEN_TYPE = "gen_ai.token.type"
TOKEN_USAGE = "gen_ai.client.token.usage"
_OPERATION = "gen_ai.operation.name"
_INFERENCE = frozenset({"", "chat", "text_completion", "generate_content"})
_OLD, _NEW = "gen_ai.client.operation.", "gen_ai.client.inference."
_RENAMED = ("duration", "time_to_first_chunk", "time_per_output_chunk")
_SIDES = ("input", "output")


@dataclass(frozen=True, slots=True)
class MetricSource:
    """A name under which a metric is stored: only series with one of ``values`` in ``key``, with attributes ``added``.

    A series without the attribute has the value ``""``.
    """

    name: str
    key: str | None = None
    values: frozenset[str] = frozenset()
    added: Mapping[str, str] = field(default_factory=dict)

    def takes(self, attributes: Mapping[str, object]) -> bool:
        """Return whether a series with these attributes belongs to the metric."""
        return self.key is None or str(attributes.get(self.key, "")) in self.values


def _token_source(side: str) -> MetricSource:
    return MetricSource(TOKEN_USAGE, TOKEN_TYPE, frozenset({side}))


_OTHER_NAMES: Mapping[str, tuple[MetricSource, ...]] = {
    **{_OLD + one: (MetricSource(_NEW + one),) for one in _RENAMED},
    **{_NEW + one: (MetricSource(_OLD + one, _OPERATION, _INFERENCE),) for one in _RENAMED},
    TOKEN_USAGE: tuple(MetricSource(f"{_NEW}operation.{side}_tokens", added={TOKEN_TYPE: side}) for side in _SIDES),
    **{f"{_NEW}operation.{side}_tokens": (_token_source(side),) for side in _SIDES},
    **{f"{_NEW}usage.{side}_tokens": (_token_source(side),) for side in _SIDES},
}
"""What else a name stands for. The usage counters are the sums of the token histogram that came before them."""


def sources_of(name: str) -> tuple[MetricSource, ...]:
    """Return every name under which a metric may be stored, the one that was asked for first."""
    return (MetricSource(name), *_OTHER_NAMES.get(name, ()))


def other_names(name: str) -> list[str]:
    """Return the names that stand for the same metric, or for a part of it."""
    return sorted({source.name for source in _OTHER_NAMES.get(name, ())})
