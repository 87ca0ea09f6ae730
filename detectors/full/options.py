"""What may be chosen about the ``full`` profile. Needs no torch, so that settings can be checked where none is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from detectors.bundles import has_bundle
from detectors.full.escalation import Escalation

DEFAULT_TOXICITY: Final = "detoxify-unbiased"
DEFAULT_GROUNDING: Final = "lettucedect-base-modernbert-en-v1"

CheckpointLoader = Literal["safe", "package"]


@dataclass(frozen=True, slots=True)
class FullOptions:
    """Which bundles play which part, and when the claim checker is asked.

    ``claims`` None checks no claims; ``encoder`` None keeps the packaged sentence encoder. ``checkpoint_loader`` says
    who builds the network of a detoxify checkpoint: ``safe`` is ours, ``package`` is detoxify's own builder.
    """

    toxicity: str = DEFAULT_TOXICITY
    grounding: str = DEFAULT_GROUNDING
    claims: str | None = None
    encoder: str | None = None
    escalation: Escalation = field(default_factory=Escalation)
    checkpoint_loader: CheckpointLoader = "safe"

    def bundles(self) -> dict[str, str]:
        """Return the bundle that each part needs, by part."""
        wanted = {
            "toxicity": self.toxicity,
            "grounding": self.grounding,
            "claims": self.claims,
            "encoder": self.encoder,
        }
        return {part: name for part, name in wanted.items() if name is not None}


def find_missing(models_dir: Path | None, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the bundles of ``wanted`` (name by part) that are not in the models directory, as part by name.

    Reads the manifest and no model file. Raises ModelFileError if the manifest is unreadable.
    """
    return {name: part for part, name in wanted.items() if models_dir is None or not has_bundle(models_dir, name)}
